//! What happens by itself.

use chrono::Duration;

use tokio::sync::broadcast;

use crate::control::tests::world::{LedgerMode, World};
use crate::control::{Happening, HappeningKind};
use crate::model::RequestState;
use crate::state::OwnCmdlets as _;
use crate::store::testing::on_each_engine;

#[tokio::test]
async fn a_request_that_nobody_decides_expires_after_a_day_and_can_be_filed_again() {
    on_each_engine(async |place| {
        let world = World::open(place).await.run();
        let id = world.file("ann", r"Exchange\New-MoveRequest").await;
        world.pass(Duration::hours(24) - Duration::milliseconds(1));
        assert_eq!(world.status("ann", &id).await, "Pending");
        assert_eq!(world.file("ann", r"Exchange\New-MoveRequest").await, id);
        world.pass(Duration::milliseconds(1));
        world
            .until(|it| it.ledger.count("request.expired") == 1)
            .await;
        assert_eq!(world.status("ann", &id).await, "Expired");
        let late = world
            .refusal(
                "amy",
                &format!("Approve-ElevatedAccessRequest -RequestId {id}"),
            )
            .await;
        assert!(
            late.starts_with("the request expired at 2027-01-16 08:00:00 UTC"),
            "{late}"
        );
        assert_ne!(world.file("ann", r"Exchange\New-MoveRequest").await, id);
        assert_eq!(world.ledger.count("request.expired"), 1);
    })
    .await;
}

#[tokio::test]
async fn an_expired_request_is_treated_as_such_before_the_keeper_comes() {
    on_each_engine(async |place| {
        let world = World::open(place).await;
        let id = world.file("ann", r"Exchange\New-MoveRequest").await;
        world.pass(Duration::hours(24));
        assert_eq!(world.status("ann", &id).await, "Expired");
        let late = world
            .refusal(
                "amy",
                &format!("Deny-ElevatedAccessRequest -RequestId {id}"),
            )
            .await;
        assert!(late.starts_with("the request expired"), "{late}");
        assert_ne!(world.file("ann", r"Exchange\New-MoveRequest").await, id);
        assert_eq!(
            world.ledger.kinds(),
            ["request.filed", "request.expired", "request.filed"]
        );
    })
    .await;
}

#[tokio::test]
async fn a_grant_that_ends_is_recorded_once_and_leaves_the_table() {
    on_each_engine(async |place| {
        let world = World::open(place).await.run();
        for who in ["ann", "bob"] {
            let id = world.file(who, r"Exchange\New-MoveRequest").await;
            world.approve("amy", &id).await;
            world.pass(Duration::hours(1));
        }
        assert_eq!(world.in_force(), 2);
        world.pass(Duration::hours(2));
        world
            .until(|it| it.ledger.count("grant.expired") == 1 && it.in_force() == 1)
            .await;
        let mut world = world;
        world.stop().await;
        let world = world.restart(place).await.run();
        assert_eq!(world.in_force(), 1);
        world.pass(Duration::hours(1));
        world
            .until(|it| it.ledger.count("grant.expired") == 2 && it.in_force() == 0)
            .await;
    })
    .await;
}

#[tokio::test]
async fn the_keeper_expires_while_the_audit_log_fails_and_records_when_it_works() {
    on_each_engine(async |place| {
        let world = World::open(place).await;
        let id = world.file("ann", r"Exchange\New-MoveRequest").await;
        world.approve("amy", &id).await;
        let world = world.run();
        world.ledger.set(LedgerMode::Fails);
        world.pass(Duration::hours(4));
        world.until(|it| it.in_force() == 0).await;
        assert_eq!(world.ledger.count("grant.expired"), 0);
        world.ledger.set(LedgerMode::Works);
        world.control.wake();
        world
            .until(|it| it.ledger.count("grant.expired") == 1)
            .await;
    })
    .await;
}

#[tokio::test]
async fn who_watches_is_told_of_what_ends_by_itself() {
    on_each_engine(async |place| {
        let world = World::open(place).await.run();
        let granted = world.file("bob", r"Exchange\New-MoveRequest").await;
        world.approve("amy", &granted).await;
        let lapsing = world.file("ann", r"Exchange\New-MoveRequest").await;
        let mut happenings = world.control.happenings();
        let waits = world.control.settled(lapsing.parse().unwrap());
        let mut waits = std::pin::pin!(waits);
        assert!(
            futures_util::poll!(waits.as_mut()).is_pending(),
            "nobody decided it"
        );
        world.pass(Duration::hours(4));
        let ended = told(&mut happenings, HappeningKind::GrantExpired).await;
        assert_eq!(ended.request.unwrap().to_string(), granted);
        assert_eq!(ended.by, None);
        world.pass(Duration::hours(20));
        let expired = told(&mut happenings, HappeningKind::RequestExpired).await;
        assert_eq!(expired.request.unwrap().to_string(), lapsing);
        let settled = tokio::time::timeout(LONG, waits).await;
        assert_eq!(settled.unwrap().unwrap(), RequestState::Expired);
    })
    .await;
}

/// The next happening, which is of this kind.
async fn told(happenings: &mut broadcast::Receiver<Happening>, kind: HappeningKind) -> Happening {
    let happening = tokio::time::timeout(LONG, happenings.recv()).await;
    let happening = happening.unwrap().unwrap();
    assert_eq!(happening.kind, kind);
    happening
}

/// More than the keeper needs.
const LONG: std::time::Duration = std::time::Duration::from_secs(30);
