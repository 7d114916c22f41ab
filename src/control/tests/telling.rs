//! People and programs are told of each change once: across failures, restarts, and channels that hang.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use chrono::TimeDelta;
use uuid::Uuid;

use crate::config::{self, Smtp, SmtpTls, Webhook, WebhookShape, WebhookUrl};
use crate::control::tests::world::{self, World, person};
use crate::control::{Caller, Via};
use crate::model::NoticeKind;
use crate::notify::testing::{Hook, Hooking, Mail, Mailing, Postbox};
use crate::store::testing::{Place, on_each_engine};
use crate::store::{Delivery, DeliveryState};

/// How long a test waits for something to happen before it fails.
const PATIENCE: Duration = Duration::from_mins(1);

fn smtp(postbox: &Postbox) -> Smtp {
    Smtp {
        host: "127.0.0.1".to_owned(),
        port: postbox.address().port(),
        tls: SmtpTls::Off,
        ca: None,
        from: "portcullis@fabrikam.example".to_owned(),
        sign_in: None,
        domain: None,
        timeout: Duration::from_secs(20),
        connections: 2,
    }
}

fn webhook(name: &str, hook: &Hook) -> Webhook {
    Webhook {
        name: name.to_owned(),
        url: WebhookUrl::Url(hook.url().parse().unwrap()),
        shape: WebhookShape::Json,
        secret_file: None,
        ca: None,
        events: NoticeKind::ALL.to_vec(),
        timeout: Duration::from_secs(20),
        connections: 2,
    }
}

fn by_mail(postbox: &Postbox) -> config::Notify {
    config::Notify {
        smtp: Some(smtp(postbox)),
        ..config::Notify::default()
    }
}

fn by_webhook(hook: &Hook) -> config::Notify {
    config::Notify {
        webhooks: vec![webhook("ops", hook)],
        ..config::Notify::default()
    }
}

async fn open(place: &Place, notify: config::Notify) -> World {
    World::telling(place, notify).await.run()
}

impl World {
    async fn deliveries(&self, state: DeliveryState) -> Vec<Delivery> {
        let store = &self.control.desk.store;
        store.deliveries(&[state], None, 1_000).await.unwrap()
    }

    /// Waits until so many deliveries are in a state, and gives them.
    async fn until_deliveries(&self, state: DeliveryState, count: usize) -> Vec<Delivery> {
        let wait = async {
            loop {
                let found = self.deliveries(state).await;
                if found.len() >= count {
                    return found;
                }
            }
        };
        let Ok(found) = tokio::time::timeout(PATIENCE, wait).await else {
            panic!("{:#?}", self.deliveries(DeliveryState::Pending).await);
        };
        found
    }

    /// Waits until a delivery is as it should be.
    async fn until_deliveries_of(&self, id: Uuid, is_good: impl Fn(&Delivery) -> bool) {
        let wait = async {
            loop {
                let found = self.control.desk.store.delivery(id).await.unwrap();
                if is_good(&found.unwrap()) {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap();
    }

    /// Waits until so many pending deliveries have failed so often.
    async fn until_failed(&self, count: usize, attempts: i64) -> Vec<Delivery> {
        let wait = async {
            loop {
                let mut found = self.deliveries(DeliveryState::Pending).await;
                found.retain(|it| it.attempts == attempts && it.last_error.is_some());
                if found.len() == count {
                    return found;
                }
            }
        };
        let Ok(found) = tokio::time::timeout(PATIENCE, wait).await else {
            panic!("{:#?}", self.deliveries(DeliveryState::Pending).await);
        };
        found
    }

    async fn approve(&self, who: &str, id: &str) {
        let line = format!("Approve-ElevatedAccessRequest -RequestId {id} -Comment fine");
        self.call(who, &line).await.unwrap();
    }
}

/// Recipients and subjects, in alphabetical order.
fn subjects(mails: &[Mail]) -> Vec<String> {
    let line = |it: &Mail| format!("{}: {}", it.to, it.header("Subject").unwrap());
    let mut lines: Vec<String> = mails.iter().map(line).collect();
    lines.sort();
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn those_whom_it_concerns_are_told_of_each_change_once() {
    on_each_engine(async |place| {
        let postbox = Postbox::start(Mailing::Accepts);
        let hook = Hook::start(Hooking::Status(200, ""));
        let notify = config::Notify {
            webhooks: vec![webhook("ops", &hook)],
            ..by_mail(&postbox)
        };
        let mut world = open(place, notify).await;
        let id = world.file("ann", r"Exchange\New-MoveRequest").await;
        postbox.wait_for(2);
        world.approve("amy", &id).await;
        postbox.wait_for(3);
        let revoke = format!("Revoke-ElevatedAccessAuthorization -Identity {id} -Comment over");
        world.call("bo", &revoke).await.unwrap();
        postbox.wait_for(4);
        world.until_deliveries(DeliveryState::Sent, 7).await;
        insta::allow_duplicates! {
            insta::assert_snapshot!(subjects(&postbox.mails()).join("\n"), @"
            amy@fabrikam.example: ann@fabrikam.example asks for Exchange\\New-MoveRequest
            ann@fabrikam.example: Approved: Exchange\\New-MoveRequest for ann@fabrikam.example
            ann@fabrikam.example: Revoked: Exchange\\New-MoveRequest of ann@fabrikam.example
            bo@fabrikam.example: ann@fabrikam.example asks for Exchange\\New-MoveRequest
            ");
        }
        let kinds: Vec<String> = hook
            .posts()
            .iter()
            .map(|it| it.json()["kind"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(
            kinds,
            ["request-filed", "request-approved", "grant-revoked"]
        );
        let denied = world.file("ann", r"Exchange\New-JournalRule").await;
        let deny = format!("Deny-ElevatedAccessRequest -RequestId {denied} -Comment no");
        world.call("cy", &deny).await.unwrap();
        world.until_deliveries(DeliveryState::Sent, 12).await;

        // Nothing is told again after a restart.
        let told = subjects(&postbox.mails());
        assert_eq!(told.len(), 7);
        world.stop().await;
        let world = world.restart(place).await.run();
        let lapsed = world.file("ann", r"Exchange\New-JournalRule").await;
        world.until_deliveries(DeliveryState::Sent, 15).await;
        world.pass(TimeDelta::hours(25));
        world.until_deliveries(DeliveryState::Sent, 17).await;
        assert_eq!(world.status("ann", &lapsed).await, "Expired");
        let mails = postbox.mails();
        assert_eq!(subjects(&mails[..7]), told);
        insta::allow_duplicates! {
            insta::assert_snapshot!(subjects(&mails[7..]).join("\n"), @"
            ann@fabrikam.example: Not decided in time: Exchange\\New-JournalRule for ann@fabrikam.example
            cy@fabrikam.example: ann@fabrikam.example asks for Exchange\\New-JournalRule
            dee@fabrikam.example: ann@fabrikam.example asks for Exchange\\New-JournalRule
            ");
        }
        let ids: BTreeSet<String> = mails
            .iter()
            .map(|it| it.header("Message-ID").unwrap())
            .collect();
        assert_eq!(ids.len(), mails.len());
        // The tally follows the store.
        world
            .until(|it| it.control.deliveries().pending == 0)
            .await;
        assert_eq!(world.control.deliveries().dead, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_hangs_delays_neither_the_others_nor_the_gateway() {
    let postbox = Postbox::start(Mailing::Accepts);
    let hanging = Hook::start(Hooking::Hangs);
    let quick = Hook::start(Hooking::Status(200, ""));
    let notify = config::Notify {
        webhooks: vec![webhook("hanging", &hanging), webhook("quick", &quick)],
        ..by_mail(&postbox)
    };
    let place = Place::sqlite();
    let mut world = open(&place, notify).await;
    // More than the hanging channel has connections for.
    for task in ["New-MoveRequest", "New-JournalRule", "Remove-Mailbox"] {
        let id = world.file("ann", &format!(r"Exchange\{task}")).await;
        assert_eq!(world.status("ann", &id).await, "Pending");
    }
    assert_eq!(quick.wait_for(3).len(), 3);
    postbox.wait_for(6);
    assert_eq!(hanging.wait_for(2).len(), 2, "no more at once than it may");
    // When it answers again, what waited is told, and nothing twice.
    hanging.behave(Hooking::Status(200, ""));
    world.until_deliveries(DeliveryState::Sent, 12).await;
    assert_eq!(hanging.posts().len(), 3);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_tried_again_under_the_same_id_until_it_arrives() {
    on_each_engine(async |place| {
        let hook = Hook::start(Hooking::Status(503, ""));
        let mut world = open(place, by_webhook(&hook)).await;
        world.file("ann", r"Exchange\New-MoveRequest").await;
        let failed = world.until_failed(1, 1).await.remove(0);
        assert!(failed.due > failed.created);
        let why = failed.last_error.unwrap();
        assert!(why.contains("503"), "{why}");
        // Before its time, it is left alone: another delivery goes out meanwhile.
        assert_eq!(hook.posts().len(), 1);
        world.pass(TimeDelta::seconds(7));
        world.until_failed(1, 2).await;
        // A restart keeps the time of the next attempt.
        world.stop().await;
        let mut world = world.restart(place).await.run();
        hook.behave(Hooking::Status(200, ""));
        world.file("ann", r"Exchange\New-JournalRule").await;
        world.until_deliveries(DeliveryState::Sent, 1).await;
        assert_eq!(hook.posts().len(), 3);
        world.pass(TimeDelta::seconds(20));
        world.until_deliveries(DeliveryState::Sent, 2).await;
        let posts = hook.posts();
        let ids: Vec<&String> = posts
            .iter()
            .map(|it| &it.headers["portcullis-delivery"])
            .collect();
        assert_eq!(ids[0], ids[1]);
        assert_eq!(ids[0], ids[3]);
        assert_ne!(ids[0], ids[2]);
        assert_eq!(posts[0].body, posts[3].body);
        world.stop().await;
    })
    .await;
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
async fn an_attempt_that_was_cut_off_is_repeated_recognisably_and_what_arrived_is_not() {
    on_each_engine(async |place| {
        let postbox = Postbox::start(Mailing::Accepts);
        let mut world = open(place, by_mail(&postbox)).await;
        world.file("ann", r"Exchange\New-MoveRequest").await;
        world.until_deliveries(DeliveryState::Sent, 2).await;
        // The server has the mail, and the gateway dies before it hears so.
        postbox.behave(Mailing::Hangs("."));
        let id = world.file("bob", r"Exchange\New-JournalRule").await;
        postbox.wait_for(4);
        world.crash().await;
        postbox.behave(Mailing::Accepts);
        let mut world = world.restart(place).await.run();
        world.until_deliveries(DeliveryState::Sent, 4).await;
        let mails = postbox.mails();
        assert_eq!(mails.len(), 6, "{:?}", subjects(&mails));
        let sorted = |mails: &[Mail]| {
            let mut all = mails.to_vec();
            all.sort_by(|one, two| one.to.cmp(&two.to));
            all
        };
        // To the byte the same, so that a mailbox can tell.
        assert_eq!(sorted(&mails[2..4]), sorted(&mails[4..6]));
        assert!(mails[4].words().contains(&id));
        world.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_waits_is_brought_to_mind_once_and_then_to_others() {
    on_each_engine(async |place| {
        let postbox = Postbox::start(Mailing::Accepts);
        let notify = config::Notify {
            remind_after: Some(Duration::from_hours(1)),
            escalate_after: Some(Duration::from_hours(2)),
            escalate_to: vec!["boss@fabrikam.example".to_owned()],
            ..by_mail(&postbox)
        };
        let mut world = open(place, notify).await;
        // Two of each group have to approve; one has done it when the others are reminded.
        let id = world.file("eve", r"Exchange\Set-Mailbox").await;
        let decided = world.file("eve", r"Exchange\New-JournalRule").await;
        postbox.wait_for(7);
        world.approve("amy", &id).await;
        world.approve("cy", &decided).await;
        postbox.wait_for(8);
        world.pass(TimeDelta::minutes(61));
        let mails = postbox.wait_for(12);
        insta::allow_duplicates! {
            insta::assert_snapshot!(subjects(&mails[8..]).join("\n"), @"
            ann@fabrikam.example: Still waiting: eve@fabrikam.example asks for Exchange\\Set-Mailbox
            bo@fabrikam.example: Still waiting: eve@fabrikam.example asks for Exchange\\Set-Mailbox
            cy@fabrikam.example: Still waiting: eve@fabrikam.example asks for Exchange\\Set-Mailbox
            dee@fabrikam.example: Still waiting: eve@fabrikam.example asks for Exchange\\Set-Mailbox
            ");
        }
        assert!(
            mails[8]
                .words()
                .contains("Answered: amy@fabrikam.example (approved)")
        );
        world.pass(TimeDelta::minutes(60));
        let mails = postbox.wait_for(13);
        insta::allow_duplicates! {
            insta::assert_snapshot!(subjects(&mails[12..]).join("\n"), @"boss@fabrikam.example: Nobody has decided: eve@fabrikam.example asks for Exchange\\Set-Mailbox");
        }
        world.until_deliveries(DeliveryState::Sent, 13).await;
        assert_eq!(world.deliveries(DeliveryState::Pending).await, []);
        world.stop().await;
    })
    .await;
}

fn caller(who: &str) -> Caller {
    Caller {
        principal: person(who),
        source: IpAddr::V4(Ipv4Addr::LOCALHOST),
        decision: None,
        via: Via::Cmdlet,
    }
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

#[tokio::test(flavor = "multi_thread")]
async fn an_emergency_is_told_to_both_sides_and_brought_to_mind_until_somebody_has_reviewed_it() {
    on_each_engine(async |place| {
        let postbox = Postbox::start(Mailing::Accepts);
        let notify = config::Notify {
            remind_after: Some(Duration::from_hours(1)),
            escalate_after: Some(Duration::from_hours(2)),
            escalate_to: vec!["boss@fabrikam.example".to_owned()],
            ..by_mail(&postbox)
        };
        let mut world = open(place, notify).await;
        let take = r"New-ElevatedAccessRequest -Task Exchange\Set-TransportRule -BreakGlass true -Reason 'mail loops since noon'";
        let taken = world.call("ann", take).await.unwrap();
        let id = world::property(&taken, "Identity");
        let told = postbox.wait_for(4);
        world.until_deliveries(DeliveryState::Sent, 4).await;
        insta::allow_duplicates! {
            insta::assert_snapshot!(subjects(&told).join("\n"), @r"
            amy@fabrikam.example: BREAK GLASS: ann@fabrikam.example took Exchange\Set-TransportRule without approval
            ann@fabrikam.example: BREAK GLASS: ann@fabrikam.example took Exchange\Set-TransportRule without approval
            bo@fabrikam.example: BREAK GLASS: ann@fabrikam.example took Exchange\Set-TransportRule without approval
            boss@fabrikam.example: BREAK GLASS: ann@fabrikam.example took Exchange\Set-TransportRule without approval
            ");
        }
        world.pass(TimeDelta::minutes(61));
        let reminded = postbox.wait_for(7).split_off(4);
        world.until_deliveries(DeliveryState::Sent, 7).await;
        insta::allow_duplicates! {
            insta::assert_snapshot!(subjects(&reminded).join("\n"), @r"
            amy@fabrikam.example: Not reviewed yet: ann@fabrikam.example took Exchange\Set-TransportRule without approval
            bo@fabrikam.example: Not reviewed yet: ann@fabrikam.example took Exchange\Set-TransportRule without approval
            boss@fabrikam.example: Not reviewed yet: ann@fabrikam.example took Exchange\Set-TransportRule without approval
            ");
        }
        // The command that the mail names is the one that ends the reminders.
        let grant = world::property(
            &world.call("bo", "Get-ElevatedAccessAuthorization -AwaitsReview true").await.unwrap(),
            "Identity",
        );
        let review = format!("Set-ElevatedAccessAuthorization -RequestId {grant} -Review");
        assert!(reminded[0].words().contains(&review), "{}", reminded[0].words());
        let review = format!("{review} true -Comment fine");
        let reviewed = world.call("bo", &review).await.unwrap();
        assert_eq!(world::property(&reviewed, "RequestId"), id);
        let last = postbox.wait_for(8).split_off(7);
        assert_eq!(last[0].to, "ann@fabrikam.example");
        world.until_deliveries(DeliveryState::Sent, 8).await;
        assert_eq!(world.deliveries(DeliveryState::Pending).await, []);
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
