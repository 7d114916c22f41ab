//! Reading a request's body whole, within bounds of size, time and memory.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::time::{Instant, timeout, timeout_at};

use crate::dialect::json::MAX_VALUES;

use super::reject::Rejection;

/// Bytes of request bodies that may be held at once, all connections together.
#[derive(Clone, Debug)]
pub struct BodyBudget {
    free: Arc<AtomicUsize>,
}

impl BodyBudget {
    /// A budget of `total` bytes.
    pub fn new(total: usize) -> Self {
        Self {
            free: Arc::new(AtomicUsize::new(total)),
        }
    }

    /// A share of nothing yet.
    pub(super) fn empty_share(&self) -> Share {
        Share {
            free: Arc::clone(&self.free),
            bytes: 0,
        }
    }

    fn take(&self, bytes: usize) -> Option<Share> {
        self.free
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |free| {
                free.checked_sub(bytes)
            })
            .ok()
            .map(|_| Share {
                free: Arc::clone(&self.free),
                bytes,
            })
    }
}

/// A part of the budget, given back on drop.
#[derive(Debug)]
pub(super) struct Share {
    free: Arc<AtomicUsize>,
    bytes: usize,
}

impl Share {
    /// Makes it as large as this, if there is room; else it stays as it is.
    pub(super) fn resize(&mut self, bytes: usize) -> bool {
        let (more, less) = (
            bytes.saturating_sub(self.bytes),
            self.bytes.saturating_sub(bytes),
        );
        let taken = self
            .free
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |free| {
                free.checked_sub(more)
            });
        if taken.is_err() {
            return false;
        }
        self.free.fetch_add(less, Ordering::AcqRel);
        self.bytes = bytes;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.free.fetch_add(self.bytes, Ordering::AcqRel);
    }
}

/// A body that was read whole, with its share of the memory budget.
#[derive(Debug)]
pub(super) struct WholeBody {
    pub(super) bytes: Bytes,
    _share: Share,
}

/// How much of a body was thrown away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Discarded {
    /// Some of it may come still.
    Part,
    /// All of it.
    Whole,
}

/// The longest body that is read to be thrown away, in bytes,
const MOST_DISCARDED: usize = 64 * 1024;

/// and for how long.
const DISCARD_PATIENCE: Duration = Duration::from_secs(1);

/// Reads `body` and throws it away, if it is short and comes soon.
pub(super) async fn discard(mut body: Incoming) -> Discarded {
    if body.size_hint().lower() > MOST_DISCARDED as u64 {
        return Discarded::Part;
    }
    let work = async {
        let mut bytes = 0_usize;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                return Discarded::Part;
            };
            bytes = bytes.saturating_add(frame.data_ref().map_or(0, Bytes::len));
            if bytes > MOST_DISCARDED {
                return Discarded::Part;
            }
        }
        Discarded::Whole
    };
    timeout(DISCARD_PATIENCE, work)
        .await
        .unwrap_or(Discarded::Part)
}

/// Reads `body` to its end: at most `limit` bytes, within `patience`. Trailers are dropped.
pub(super) async fn read_whole(
    mut body: Incoming,
    limit: usize,
    patience: Duration,
    budget: &BodyBudget,
) -> Result<WholeBody, Rejection> {
    let hint = body.size_hint();
    if hint.lower() > limit as u64 {
        return Err(Rejection::body_too_large(limit));
    }
    // A body of unknown length is charged at the limit: what it could grow to.
    let length = hint
        .exact()
        .map_or(limit, |exact| usize::try_from(exact).unwrap_or(limit));
    let share = budget
        .take(length.saturating_add(parsed_bytes(length)))
        .ok_or_else(Rejection::no_room_for_body)?;
    let reading = async {
        let mut whole: Option<Bytes> = None;
        let mut more = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| Rejection::body_broken())?.into_data() else {
                continue;
            };
            let length = whole.as_ref().map_or(0, Bytes::len) + more.len();
            if length.saturating_add(data.len()) > limit {
                return Err(Rejection::body_too_large(limit));
            }
            // Nearly every command comes in one piece, which is then used as it is.
            if whole.is_none() && more.is_empty() {
                whole = Some(data);
            } else {
                if let Some(first) = whole.take() {
                    more.extend_from_slice(&first);
                }
                more.extend_from_slice(&data);
            }
        }
        Ok(whole.unwrap_or_else(|| more.freeze()))
    };
    if hint.exact() == Some(0) {
        return Ok(WholeBody {
            bytes: Bytes::new(),
            _share: share,
        });
    }
    let bytes = within(patience, reading)
        .await
        .ok_or_else(Rejection::body_too_slow)??;
    Ok(WholeBody {
        bytes,
        _share: share,
    })
}

/// What `work` comes to, or `None` if that takes longer than `patience`.
///
/// A body that came with its head is there when it is asked for the second time, so only then a timer is set.
async fn within<T>(patience: Duration, work: impl Future<Output = T>) -> Option<T> {
    let deadline = Instant::now() + patience;
    let mut work = pin!(work);
    let mut was_asked = false;
    let soon = poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if was_asked => Poll::Ready(None),
        Poll::Pending => {
            was_asked = true;
            context.waker().wake_by_ref();
            Poll::Pending
        }
    });
    match soon.await {
        Some(done) => Some(done),
        None => timeout_at(deadline, work).await.ok(),
    }
}

/// What the values of a body may take in memory once it is parsed, at worst: `[1,1,…]`, a value in each two bytes, each some
/// 50 bytes with its digits, up to as many values as the reader takes.
fn parsed_bytes(length: usize) -> usize {
    const VALUE_BYTES: usize = 56;
    (length / 2).min(MAX_VALUES).saturating_mul(VALUE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_given_back() {
        let budget = BodyBudget::new(10);
        let share = budget.take(8).unwrap();
        assert!(budget.take(3).is_none());
        drop(share);
        assert!(budget.take(10).is_some());
        let mut share = budget.empty_share();
        assert!(share.resize(7) && !share.resize(11) && share.resize(10));
        assert!(budget.take(1).is_none());
        assert!(share.resize(2));
        assert!(budget.take(8).is_some());
    }
}
