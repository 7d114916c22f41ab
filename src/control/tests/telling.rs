//! People and programs are told of each change once: across failures, restarts, and channels that hang.

mod giving_up;
mod reminding;

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::TimeDelta;
use uuid::Uuid;

use crate::config::{self, Smtp, SmtpTls, Webhook, WebhookShape, WebhookUrl};
use crate::control::tests::world::World;
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

    /// Waits until all was sent or given up, and gives what was given up.
    async fn until_no_more_pending(&self) -> Vec<Delivery> {
        let wait = async {
            while !self.deliveries(DeliveryState::Pending).await.is_empty() {
                self.pass(TimeDelta::minutes(30));
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap();
        self.deliveries(DeliveryState::Dead).await
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
