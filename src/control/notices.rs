//! What a notice means for the store: whom it is owed to, and when.

use chrono::TimeDelta;
use uuid::Uuid;

use crate::model::{Notice, NoticeKind};
use crate::notify::Channels;
use crate::store::{OwedDelivery, OwedNotification, Relevance, StoreError, Write};

/// What there is to store of `notice`, in the transaction of the change that it tells of: nothing where nobody is told. A
/// request that is filed also owes its reminder and its escalation, which are forgotten when it is decided.
pub(super) fn owe(notice: &Notice, channels: &Channels) -> Result<Vec<Write>, StoreError> {
    let mut writes = Vec::new();
    writes.extend(owed(notice, channels)?);
    if notice.kind == NoticeKind::RequestFiled {
        for (kind, after) in channels.later() {
            let Some(at) = TimeDelta::from_std(after)
                .ok()
                .and_then(|after| notice.at.checked_add_signed(after))
                .filter(|at| notice.lapses.is_none_or(|lapses| *at < lapses))
            else {
                continue;
            };
            let later = Notice {
                id: Uuid::now_v7(),
                at,
                kind,
                ..notice.clone()
            };
            writes.extend(owed(&later, channels)?);
        }
    }
    Ok(writes)
}

fn owed(notice: &Notice, channels: &Channels) -> Result<Option<Write>, StoreError> {
    let to = channels.addressed(notice);
    if to.is_empty() {
        return Ok(None);
    }
    let json = serde_json::to_string(notice).map_err(|error| StoreError::Damaged {
        what: format!("a notice that cannot be written: {error}"),
    })?;
    let deliveries = to.into_iter().map(|to| OwedDelivery {
        id: Uuid::now_v7(),
        channel: to.channel.to_string(),
        recipient: to.recipient,
        due: notice.at,
    });
    Ok(Some(Write::Notify(OwedNotification {
        id: notice.id,
        kind: notice.kind.as_str().to_owned(),
        request: (notice.kind != NoticeKind::Test).then_some(notice.request),
        json,
        relevance: if notice.kind.is_reminder() {
            Relevance::WhilePending
        } else {
            Relevance::Always
        },
        created: notice.at,
        deliveries: deliveries.collect(),
    })))
}
