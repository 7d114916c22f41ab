use std::process::Command;
use std::str::FromStr as _;

use super::*;
use crate::store::testing::Place;

/// More than a lock that is to be had can take.
const LONG: Duration = Duration::from_secs(20);

async fn session(place: &Place) -> PgConnection {
    options(place).connect().await.unwrap()
}

fn options(place: &Place) -> PgConnectOptions {
    PgConnectOptions::from_str(&place.config().url).unwrap()
}

/// Waits until the hold was lost and is there again, and sees that it keeps others out.
async fn is_regained(state: &mut watch::Receiver<Held>, place: &Place) {
    let regained = tokio::time::timeout(LONG, state.wait_for(|it| *it == Held::Held)).await;
    assert!(regained.is_ok(), "its own old session keeps it out");
    assert!(!take(&mut session(place).await).await.unwrap());
}

#[tokio::test]
async fn a_hold_that_is_lost_with_a_session_that_lives_is_taken_again() {
    let Some(place) = Place::on_server().await else {
        return;
    };
    let mut old = session(&place).await;
    assert!(take(&mut old).await.unwrap());
    // As behind a pooler, it has a lock, and not the one that is asked for.
    let elsewhere = sqlx::raw_sql("set search_path to pg_catalog");
    elsewhere.execute(&mut old).await.unwrap();
    let hold = Hold::session(old, options(&place));
    let mut state = hold.held();
    state.changed().await.unwrap();
    is_regained(&mut state, &place).await;
}

/// A process of the server that does nothing until this is dropped.
struct Stopped(String);

impl Stopped {
    /// None where the server is not on this machine, or not ours to stop.
    fn new(pid: i32) -> Option<Self> {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        let pid = pid.to_string();
        (name.starts_with("postgres") && signal("-STOP", &pid)).then_some(Self(pid))
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        signal("-CONT", &self.0);
    }
}

fn signal(which: &str, pid: &str) -> bool {
    let mut kill = Command::new("kill");
    kill.args([which, pid]).status().unwrap().success()
}

#[tokio::test]
#[expect(
    clippy::print_stderr,
    reason = "a test that did not run must not look as if it had"
)]
async fn a_server_that_stalls_gives_the_hold_back_when_it_goes_on() {
    let Some(place) = Place::on_server().await else {
        return;
    };
    let mut old = session(&place).await;
    assert!(take(&mut old).await.unwrap());
    let pid: i32 = sqlx::query("select pg_backend_pid()")
        .fetch_one(&mut old)
        .await
        .unwrap()
        .get(0);
    let Some(stalled) = Stopped::new(pid) else {
        eprintln!("NOT RUN: the server's processes cannot be stopped from here");
        return;
    };
    let hold = Hold::session(old, options(&place));
    let mut state = hold.held();
    state.changed().await.unwrap();
    assert_eq!(*state.borrow(), Held::Lost);
    drop(stalled);
    is_regained(&mut state, &place).await;
}
