//! What cannot be brought is given up in its time, and tried again when an operator says so.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use chrono::TimeDelta;
use uuid::Uuid;

use super::{by_mail, by_webhook, open, webhook};
use crate::config::{self, Webhook};
use crate::control::tests::world::{LedgerMode, World, person};
use crate::control::{Caller, Via};
use crate::model::NoticeKind;
use crate::notify::testing::{Hook, Hooking, Mailing, Postbox};
use crate::store::testing::{Place, on_each_engine};
use crate::store::{Delivery, DeliveryState};

fn caller(who: &str) -> Caller {
    Caller {
        principal: person(who),
        source: IpAddr::V4(Ipv4Addr::LOCALHOST),
        decision: None,
        via: Via::Cmdlet,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_or_fails_too_long_is_given_up_and_put_on_record() {
    on_each_engine(async |place| {
        let postbox = Postbox::start(Mailing::Answers("RCPT", "550 no such user"));
        let hook = Hook::start(Hooking::Status(503, ""));
        let notify = config::Notify {
            webhooks: vec![Webhook {
                events: vec![NoticeKind::RequestFiled],
                ..webhook("ops", &hook)
            }],
            ..by_mail(&postbox)
        };
        let mut world = open(place, notify).await;
        world.file("ann", r"Exchange\New-JournalRule").await;
        for attempts in 1..5 {
            world.until_failed(3, attempts).await;
            world.pass(TimeDelta::minutes(75));
        }
        let dead = world.until_deliveries(DeliveryState::Dead, 2).await;
        assert!(
            dead.iter()
                .all(|it| it.channel == "mail" && it.attempts == 5)
        );
        // The webhook is only out of order, so it is tried to the end of the time.
        let pending = world.deliveries(DeliveryState::Pending).await;
        assert_eq!(pending.len(), 1);
        world.pass(TimeDelta::days(3));
        world.until_deliveries(DeliveryState::Dead, 3).await;
        world
            .until(|it| it.ledger.count("notification.dead") == 3)
            .await;
        let events = world.ledger.events();
        let record = events
            .iter()
            .find(|it| it.kind == "notification.dead")
            .unwrap();
        assert_eq!(record.details["channel"], "mail");
        assert_eq!(record.details["event"], "request-filed");
        assert!(
            record.details["error"]
                .as_str()
                .unwrap()
                .contains("no such user")
        );
        let tally = world.control.deliveries();
        let dead: Vec<u64> = tally.channels.iter().map(|it| it.dead).collect();
        assert_eq!(dead, [2, 1]);
        world.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_up_has_its_whole_time_again_when_an_operator_says_so() {
    on_each_engine(async |place| {
        let hook = Hook::start(Hooking::Status(503, ""));
        let notify = config::Notify {
            remind_after: Some(Duration::from_hours(1)),
            give_up_after: Duration::from_hours(2),
            ..by_webhook(&hook)
        };
        let mut world = open(place, notify).await;
        let id = world.file("ann", r"Exchange\New-MoveRequest").await;
        world.until_failed(1, 1).await;
        world.pass(TimeDelta::minutes(61));
        world.until_failed(1, 1).await;
        world.pass(TimeDelta::minutes(130));
        world.until_deliveries(DeliveryState::Dead, 2).await;
        // Nobody decides it, and so the reminder is of no use any more.
        world.pass(TimeDelta::hours(24));
        let by_kind = |found: &[Delivery], kind: &str| {
            found
                .iter()
                .find(|it| it.kind == kind)
                .map(|it| it.id)
                .unwrap()
        };
        let dead = world.deliveries(DeliveryState::Dead).await;
        let filed = by_kind(&dead, "request-filed");
        let reminder = by_kind(&dead, "request-reminder");
        let retry = async |who: &str, id| {
            let told = world
                .control
                .retry_notification(caller(who), id, None)
                .await;
            told.map_err(|it| it.to_string())
        };
        assert!(
            retry("amy", filed)
                .await
                .unwrap_err()
                .contains("only an operator")
        );
        assert!(
            retry("kim", reminder)
                .await
                .unwrap_err()
                .contains("reminder")
        );
        assert!(
            retry("kim", Uuid::nil())
                .await
                .unwrap_err()
                .contains("no message")
        );
        let before = hook.posts().len();
        let revived = retry("kim", filed).await.unwrap();
        assert_eq!(
            (revived.state, revived.attempts),
            (DeliveryState::Pending, 0)
        );
        assert!(retry("kim", filed).await.unwrap_err().contains("already"));
        // It fails once more, and is not given up at once though it is a day old.
        hook.wait_for(before + 1);
        world
            .until_deliveries_of(filed, |it| {
                it.state == DeliveryState::Pending && it.last_error.is_some()
            })
            .await;
        world.pass(TimeDelta::days(4));
        world
            .until_deliveries_of(filed, |it| it.state == DeliveryState::Dead)
            .await;
        hook.behave(Hooking::Status(200, ""));
        let all = world
            .control
            .retry_notifications(caller("kim"), Some("mended".to_owned()));
        let count = all.await.unwrap();
        assert!(count >= 1, "the reminder is left out");
        world
            .until_deliveries_of(filed, |it| it.state == DeliveryState::Sent)
            .await;
        assert!(retry("kim", filed).await.unwrap_err().contains("was sent"));
        let dead = world.deliveries(DeliveryState::Dead).await;
        let dead: BTreeSet<Uuid> = dead.iter().map(|it| it.id).collect();
        assert!(dead.contains(&reminder) && !dead.contains(&filed));
        let events = world.ledger.events();
        let records: Vec<_> = events
            .iter()
            .filter(|it| it.kind == "notification.retried")
            .collect();
        assert_eq!(records.len(), 1 + count);
        assert_eq!(
            records[0].principal.as_ref().unwrap().1,
            "kim@fabrikam.example"
        );
        assert_eq!(records[0].request.unwrap().to_string(), id);
        assert_eq!(records[count].details["comment"], "mended");
        world.stop().await;
    })
    .await;
}

/// All that was given up of three requests that were withdrawn, but for the reminder of one, which nobody has to answer any more.
async fn given_up(world: &World) -> Vec<Uuid> {
    let withdraw = async |who: &str, request: &str| {
        let withdraw = format!("Set-ElevatedAccessRequest -RequestId {request} -Withdraw true");
        world.call(who, &withdraw).await.unwrap();
    };
    let reminded = world.file("eve", r"Exchange\Set-Mailbox").await;
    world.until_failed(1, 1).await;
    world.pass(TimeDelta::minutes(61));
    let is_of_reminder = |it: &Delivery| it.kind == "request-reminder" && it.last_error.is_some();
    let mut pending = world.until_deliveries(DeliveryState::Pending, 2).await;
    while !pending.iter().any(is_of_reminder) {
        pending = world.until_deliveries(DeliveryState::Pending, 2).await;
    }
    world.pass(TimeDelta::minutes(130));
    world.until_deliveries(DeliveryState::Dead, 2).await;
    withdraw("eve", &reminded).await;
    // Before time goes on: of what is withdrawn nobody is reminded.
    for (who, task) in [
        ("ann", r"Exchange\New-MoveRequest"),
        ("bob", r"Exchange\New-JournalRule"),
    ] {
        let request = world.file(who, task).await;
        withdraw(who, &request).await;
    }
    world.pass(TimeDelta::hours(4));
    let mut dead = world.until_no_more_pending().await;
    dead.retain(|it| it.kind != "request-reminder");
    dead.iter().map(|it| it.id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_was_given_up_and_is_of_use_is_sent_again_together() {
    on_each_engine(async |place| {
        let hook = Hook::start(Hooking::Status(503, ""));
        let notify = config::Notify {
            remind_after: Some(Duration::from_hours(1)),
            give_up_after: Duration::from_hours(2),
            ..by_webhook(&hook)
        };
        let mut world = open(place, notify).await;
        let useful = given_up(&world).await;
        assert_eq!(useful.len(), 6, "three were filed, three withdrawn");
        let retry_all = async |who: &str| {
            let all = world
                .control
                .retry_notifications(caller(who), Some("mended".to_owned()));
            all.await.map_err(|it| it.to_string())
        };
        let refused = retry_all("amy").await.unwrap_err();
        assert!(refused.contains("only an operator"), "{refused}");
        assert_eq!(world.ledger.count("notification.retried"), 0);

        hook.behave(Hooking::Status(200, ""));
        // Without its record it is on its way all the same, and whoever asked is told not to ask again.
        world.ledger.set(LedgerMode::Fails);
        let unrecorded = retry_all("kim").await.unwrap_err();
        let told = format!(
            "{} messages are sent again, but the audit log",
            useful.len()
        );
        assert!(unrecorded.starts_with(&told), "{unrecorded}");
        world.ledger.set(LedgerMode::Works);
        for id in &useful {
            world
                .until_deliveries_of(*id, |it| it.state == DeliveryState::Sent)
                .await;
        }
        world.pass(TimeDelta::minutes(1));
        world
            .until(|it| it.ledger.count("notification.retried") == useful.len())
            .await;
        // The reminder is left, and nothing else: another time nothing is sent.
        assert_eq!(retry_all("kim").await.unwrap(), 0);
        let left = world.deliveries(DeliveryState::Dead).await;
        let kinds: BTreeSet<&str> = left.iter().map(|it| it.kind.as_str()).collect();
        assert_eq!(kinds, BTreeSet::from(["request-reminder"]));
        world.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_owed_to_a_channel_that_is_gone_is_given_up_in_its_time() {
    let place = Place::sqlite();
    let hook = Hook::start(Hooking::Status(503, ""));
    let mut world = open(&place, by_webhook(&hook)).await;
    world.file("ann", r"Exchange\New-MoveRequest").await;
    world.until_failed(1, 1).await;
    world.stop().await;
    world.tell(config::Notify::default());
    let mut world = world.restart(&place).await.run();
    world.pass(TimeDelta::minutes(1));
    let failed = world.until_failed(1, 2).await.remove(0);
    let why = failed.last_error.unwrap();
    assert_eq!(why, "the configuration has no channel `ops` any more");
    world.pass(TimeDelta::days(4));
    world.until_deliveries(DeliveryState::Dead, 1).await;
    world.stop().await;
}
