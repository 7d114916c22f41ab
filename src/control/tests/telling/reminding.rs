//! Who is asked for something and does not answer is reminded, and then others are.

use std::time::Duration;

use chrono::TimeDelta;

use super::{by_mail, open, subjects};
use crate::config;
use crate::control::tests::world;
use crate::notify::testing::{Mailing, Postbox};
use crate::store::DeliveryState;
use crate::store::testing::on_each_engine;

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
