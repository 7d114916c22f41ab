//! `/notifications`

use crate::api::call::Call;
use crate::api::problem::Failure;
use crate::api::types::{
    Notification, NotificationQuery, NotificationState, Page, Remark, Retried,
};
use crate::api::{Answer, Api, views};
use crate::control::{Delivery, DeliveryQuery, DeliveryState};

pub(super) async fn list(api: &Api, call: &Call) -> Result<Answer, Failure> {
    let query: NotificationQuery = call.query()?;
    let query = DeliveryQuery {
        states: match query.state {
            None => vec![DeliveryState::Dead, DeliveryState::Pending],
            Some(NotificationState::Dead) => vec![DeliveryState::Dead],
            Some(NotificationState::Pending) => vec![DeliveryState::Pending],
            Some(NotificationState::Sent) => vec![DeliveryState::Sent],
        },
        after: views::cursor(query.cursor.as_deref())?,
        most: views::limit(query.limit),
    };
    let page = api.control.notifications(call.who(), &query).await?;
    Answer::ok(&Page {
        items: page.items.iter().map(view).collect(),
        next: page.next.map(|it| it.to_string()),
    })
}

pub(super) async fn retry(api: &Api, call: &Call) -> Result<Answer, Failure> {
    call.no_query()?;
    let remark: Remark = call.read()?;
    let id = call.id()?;
    let revived = api
        .control
        .retry_notification(call.caller.clone(), id, remark.comment);
    Answer::ok(&view(&revived.await?))
}

pub(super) async fn retry_dead(api: &Api, call: &Call) -> Result<Answer, Failure> {
    call.no_query()?;
    let remark: Remark = call.read()?;
    let count = api
        .control
        .retry_notifications(call.caller.clone(), remark.comment)
        .await?;
    Answer::ok(&Retried {
        retried: u64::try_from(count).unwrap_or(u64::MAX),
    })
}

fn view(it: &Delivery) -> Notification {
    Notification {
        id: it.id,
        notice: it.notice,
        event: it.kind.clone(),
        request: it.request,
        channel: it.channel.clone(),
        recipient: it.recipient.clone(),
        state: match it.state {
            DeliveryState::Dead => NotificationState::Dead,
            DeliveryState::Pending => NotificationState::Pending,
            DeliveryState::Sent => NotificationState::Sent,
        },
        attempts: it.attempts,
        created: it.created,
        retried: it.retried,
        next_try: it.next_try(),
        ended: it.ended,
        last_error: it.last_error.clone(),
    }
}
