use chrono::Duration;

use crate::model::{Request, RequestState};
use crate::store::testing::{Place, on_each_engine};
use crate::store::{StoreError, Write};

use super::*;

fn at(minute: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_800_000_000_123).unwrap() + Duration::minutes(minute)
}

fn owed(relevance: Relevance, request: Option<Uuid>, to: &[(&str, &str, i64)]) -> OwedNotification {
    let deliveries = to.iter().map(|(channel, recipient, minute)| OwedDelivery {
        id: Uuid::now_v7(),
        channel: (*channel).to_owned(),
        recipient: (*recipient).to_owned(),
        due: at(*minute),
    });
    OwedNotification {
        id: Uuid::now_v7(),
        kind: "request-filed".to_owned(),
        request,
        json: "{\"why\":\"\u{e9}\"}".to_owned(),
        relevance,
        created: at(0),
        deliveries: deliveries.collect(),
    }
}

async fn store_all(store: &Store, owed: &[OwedNotification]) {
    let writes: Vec<Write> = owed.iter().cloned().map(Write::Notify).collect();
    store.commit(&writes).await.unwrap();
}

/// Recipients of what is due on a channel at a minute.
async fn due(store: &Store, channel: &str, minute: i64) -> Vec<String> {
    let due = store.due_deliveries(channel, at(minute), 10).await.unwrap();
    due.into_iter().map(|it| it.recipient).collect()
}

#[tokio::test]
async fn a_delivery_is_due_in_its_time_on_its_channel_until_it_has_ended() {
    on_each_engine(async |place| {
        let store = place.open().await;
        let to = [
            ("mail", "b@x.example", 2),
            ("mail", "a@x.example", 1),
            ("ops", "", 0),
        ];
        let notice = owed(Relevance::Always, None, &to);
        store_all(&store, std::slice::from_ref(&notice)).await;
        store.close().await;
        let store = place.open().await;
        assert_eq!(due(&store, "mail", 0).await, [""; 0]);
        assert_eq!(due(&store, "mail", 2).await, ["a@x.example", "b@x.example"]);
        assert_eq!(due(&store, "ops", 2).await, [""]);
        assert_eq!(store.next_delivery("mail").await.unwrap(), Some(at(1)));
        assert_eq!(store.channels_in_use().await.unwrap(), ["mail", "ops"]);

        let mut first = store
            .due_deliveries("mail", at(2), 1)
            .await
            .unwrap()
            .remove(0);
        assert_eq!(
            first,
            Delivery {
                id: notice.deliveries[1].id,
                notice: notice.id,
                kind: notice.kind.clone(),
                request: None,
                json: notice.json.clone(),
                relevance: Relevance::Always,
                created: at(0),
                channel: "mail".to_owned(),
                recipient: "a@x.example".to_owned(),
                state: DeliveryState::Pending,
                attempts: 0,
                due: at(1),
                last_error: None,
                retried: None,
                ended: None,
                version: 0,
            }
        );
        first.state = DeliveryState::Sent;
        first.attempts = 1;
        first.ended = Some(at(2));
        let sent = Write::UpdateDelivery(first.clone());
        store.commit(std::slice::from_ref(&sent)).await.unwrap();
        assert_eq!(due(&store, "mail", 9).await, ["b@x.example"]);
        // From an older version, and of one that has ended: nothing changes.
        let again = store.commit(&[sent]).await;
        assert!(matches!(again, Err(StoreError::Changed)), "{again:?}");
        first.version = 1;
        let again = store.commit(&[Write::UpdateDelivery(first.clone())]).await;
        assert!(matches!(again, Err(StoreError::Changed)), "{again:?}");
        let stored = store
            .deliveries(&[DeliveryState::Sent], None, 10)
            .await
            .unwrap();
        assert_eq!(stored, [first]);
        let counts = store.delivery_counts().await.unwrap();
        assert_eq!(
            counts,
            DeliveryCounts {
                dead: 0,
                pending: 2
            }
        );
    })
    .await;
}

#[tokio::test]
async fn an_event_is_told_once_to_each_recipient() {
    on_each_engine(async |place| {
        let store = place.open().await;
        let notice = owed(Relevance::Always, None, &[("mail", "a@x.example", 0)]);
        store_all(&store, std::slice::from_ref(&notice)).await;
        let twice = store.commit(&[Write::Notify(notice)]).await;
        assert!(matches!(twice, Err(StoreError::Changed)), "{twice:?}");
        let to = [("mail", "a@x.example", 0), ("mail", "a@x.example", 0)];
        let doubled = Write::Notify(owed(Relevance::Always, None, &to));
        let doubled = store.commit(&[doubled]).await;
        assert!(matches!(doubled, Err(StoreError::Changed)), "{doubled:?}");
        assert_eq!(due(&store, "mail", 0).await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_notice_is_stored_with_its_change_or_not_at_all() {
    on_each_engine(async |place| {
        let store = place.open().await;
        let request = request();
        let add = Write::AddRequest {
            request: request.clone(),
            most_pending: 3,
        };
        store.commit(std::slice::from_ref(&add)).await.unwrap();
        let notice = owed(Relevance::Always, Some(request.id), &[("ops", "", 0)]);
        // The request is there already, so neither is stored.
        let failed = store.commit(&[Write::Notify(notice), add]).await;
        assert!(matches!(failed, Err(StoreError::Changed)), "{failed:?}");
        assert_eq!(due(&store, "ops", 0).await, [""; 0]);
    })
    .await;
}

#[tokio::test]
async fn reminders_are_forgotten_with_the_decision_and_nothing_else_is() {
    on_each_engine(async |place| {
        let store = place.open().await;
        let mut request = request();
        let add = Write::AddRequest {
            request: request.clone(),
            most_pending: 3,
        };
        store.commit(&[add]).await.unwrap();
        let id = Some(request.id);
        let others = Some(Uuid::now_v7());
        let all = [
            owed(Relevance::Always, id, &[("ops", "news", 0)]),
            owed(Relevance::WhileAwaited, id, &[("ops", "reminder", 0)]),
            owed(Relevance::WhileAwaited, others, &[("ops", "another's", 0)]),
        ];
        store_all(&store, &all).await;
        // Another vote leaves it pending.
        store
            .commit(&[Write::UpdateRequest(request.clone())])
            .await
            .unwrap();
        request.version += 1;
        assert_eq!(due(&store, "ops", 0).await.len(), 3);
        request.state = RequestState::Denied;
        request.decided = Some(at(1));
        store
            .commit(&[Write::UpdateRequest(request)])
            .await
            .unwrap();
        assert_eq!(due(&store, "ops", 0).await, ["news", "another's"]);
    })
    .await;
}

#[tokio::test]
async fn an_attempt_without_an_end_is_repeated_and_only_that() {
    on_each_engine(async |place| {
        let store = place.open().await;
        let to = [
            ("ops", "begun", 0),
            ("ops", "failed", 0),
            ("ops", "waiting", 5),
        ];
        store_all(&store, &[owed(Relevance::Always, None, &to)]).await;
        for mut delivery in store.due_deliveries("ops", at(0), 10).await.unwrap() {
            delivery.attempts = 1;
            delivery.due = at(90);
            if delivery.recipient == "failed" {
                delivery.last_error = Some("refused".to_owned());
            }
            store
                .commit(&[Write::UpdateDelivery(delivery)])
                .await
                .unwrap();
        }
        store.reopen_deliveries("cut off", at(1)).await.unwrap();
        let due = store.due_deliveries("ops", at(1), 10).await.unwrap();
        assert_eq!(due.len(), 1);
        assert_eq!(due[0].recipient, "begun");
        assert_eq!(due[0].last_error.as_deref(), Some("cut off"));
        // What has moved on since it was read cannot be dropped; what has not, can.
        let mut older = due[0].clone();
        older.version = 0;
        let failed = store.commit(&[Write::DropDelivery(older)]).await;
        assert!(matches!(failed, Err(StoreError::Changed)), "{failed:?}");
        let drop = Write::DropDelivery(due[0].clone());
        store.commit(&[drop]).await.unwrap();
        assert_eq!(store.delivery_counts().await.unwrap().pending, 2);
    })
    .await;
}

#[tokio::test]
async fn what_ended_long_ago_is_forgotten_with_its_notice() {
    on_each_engine(async |place| {
        let store = place.open().await;
        let all = [
            owed(Relevance::Always, None, &[("ops", "old", 0)]),
            owed(Relevance::Always, None, &[("ops", "new", 0)]),
            owed(Relevance::Always, None, &[("ops", "pending", 0)]),
        ];
        store_all(&store, &all).await;
        for mut delivery in store.due_deliveries("ops", at(0), 10).await.unwrap() {
            delivery.ended = match delivery.recipient.as_str() {
                "old" => Some(at(1)),
                "new" => Some(at(9)),
                _ => continue,
            };
            delivery.state = DeliveryState::Dead;
            store
                .commit(&[Write::UpdateDelivery(delivery)])
                .await
                .unwrap();
        }
        store.forget_deliveries(at(5)).await.unwrap();
        let left = store
            .deliveries(&[DeliveryState::Dead, DeliveryState::Pending], None, 10)
            .await
            .unwrap();
        let left: Vec<&str> = left.iter().map(|it| it.recipient.as_str()).collect();
        assert_eq!(left, ["pending", "new"]);
        // Its notice is gone too: it could be stored again.
        store_all(&store, &all[..1]).await;
    })
    .await;
}

#[tokio::test]
async fn one_can_look_beside_the_gateway_and_change_nothing() {
    on_each_engine(async |place: &Place| {
        let store = place.open().await;
        store_all(&store, &[owed(Relevance::Always, None, &[("ops", "", 0)])]).await;
        let looking = Store::look(&place.config()).await.unwrap();
        assert_eq!(due(&looking, "ops", 0).await, [""]);
        let refused = looking
            .commit(&[Write::Notify(owed(Relevance::Always, None, &[]))])
            .await;
        assert!(
            matches!(refused, Err(StoreError::Unavailable { .. })),
            "{refused:?}"
        );
        // What is committed later is seen, too.
        store_all(&store, &[owed(Relevance::Always, None, &[("ops", "", 0)])]).await;
        assert_eq!(due(&looking, "ops", 0).await.len(), 2);
        looking.close().await;
        store.close().await;
        // And when nobody has it open.
        let looking = Store::look(&place.config()).await.unwrap();
        assert_eq!(due(&looking, "ops", 0).await.len(), 2);
    })
    .await;
}

fn request() -> Request {
    Request {
        id: Uuid::now_v7(),
        principal_key: "local:ann".to_owned(),
        principal_name: "ann@fabrikam.example".to_owned(),
        policy: r"exchange\remove-*".to_owned(),
        task: None,
        reason: "because".to_owned(),
        context: Vec::new(),
        external_identity: None,
        duration: Duration::hours(4),
        pins: crate::model::Pins::default(),
        starts: None,
        uses: None,
        extends: None,
        break_glass: false,
        state: RequestState::Pending,
        created: at(0),
        expires: at(24 * 60),
        decided: None,
        decided_by: None,
        comment: None,
        version: 0,
    }
}
