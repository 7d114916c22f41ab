//! Reading a request's body whole, within bounds of size, time and memory.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Incoming};
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
}

/// A part of the budget, given back on drop.
#[derive(Debug)]
pub(super) struct Share {
    free: Arc<AtomicUsize>,
    bytes: usize,
}

impl Share {
    /// Another of the same budget, of nothing yet.
    pub(super) fn sibling(&self) -> Self {
        Self {
            free: Arc::clone(&self.free),
            bytes: 0,
        }
    }

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

/// The least that a body of unknown length is charged with.
const STEP: usize = 16 * 1024;

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
///
/// INVARIANT: what is kept is charged before. A body of known length is charged with that at once, others as they grow, and all keep
/// no more than they turn out to need.
pub(super) async fn read_whole<B: Body<Data = Bytes> + Unpin>(
    mut body: B,
    limit: usize,
    patience: Duration,
    budget: &BodyBudget,
) -> Result<WholeBody, Rejection> {
    let hint = body.size_hint();
    if hint.lower() > limit as u64 {
        return Err(Rejection::body_too_large(limit));
    }
    let known = hint.exact().and_then(|it| usize::try_from(it).ok());
    let mut room = known.unwrap_or(0);
    let mut share = budget.empty_share();
    if !share.resize(charged(room)) {
        return Err(Rejection::no_room_for_body());
    }
    if known == Some(0) {
        return Ok(WholeBody {
            bytes: Bytes::new(),
            _share: share,
        });
    }
    let reading = async {
        let mut whole: Option<Bytes> = None;
        let mut more = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| Rejection::body_broken())?.into_data() else {
                continue;
            };
            let length = whole.as_ref().map_or(0, Bytes::len) + more.len() + data.len();
            if length > limit {
                return Err(Rejection::body_too_large(limit));
            }
            if length > room {
                room = length
                    .checked_next_power_of_two()
                    .map_or(limit, |it| it.clamp(STEP, limit.max(STEP)));
                if !share.resize(charged(room)) {
                    return Err(Rejection::no_room_for_body());
                }
            }
            // Nearly every command comes in one piece, which is then used as it is.
            if whole.is_none() && more.is_empty() {
                whole = Some(data);
            } else {
                // No more than what is charged; the copy that growing takes is in what its values may take, of which there are none yet.
                more.reserve(room.saturating_sub(more.len()));
                if let Some(first) = whole.take() {
                    more.extend_from_slice(&first);
                }
                more.extend_from_slice(&data);
            }
        }
        let takes = more.capacity();
        let bytes = whole.unwrap_or_else(|| more.freeze());
        let takes = takes.max(bytes.len()).min(room);
        share.resize(takes.saturating_add(parsed_bytes(bytes.len())));
        Ok((bytes, share))
    };
    let (bytes, share) = within(patience, reading)
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

/// What a body of this length is charged with while it is read.
fn charged(length: usize) -> usize {
    length.saturating_add(parsed_bytes(length))
}

/// What the values of a body may take in memory once it is parsed, at worst: `[1,1,…]`, a value in each two bytes, each some
/// 50 bytes with its digits, up to as many values as the reader takes.
fn parsed_bytes(length: usize) -> usize {
    const VALUE_BYTES: usize = 56;
    (length / 2).min(MAX_VALUES).saturating_mul(VALUE_BYTES)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body_util::StreamBody;
    use hyper::body::Frame;

    use super::*;

    impl BodyBudget {
        fn free(&self) -> usize {
            self.free.load(Ordering::Acquire)
        }
    }

    #[test]
    fn the_budget_is_given_back() {
        let budget = BodyBudget::new(10);
        let (mut share, mut other) = (budget.empty_share(), budget.empty_share());
        assert!(share.resize(8) && !other.resize(3));
        drop(share);
        assert!(other.resize(7) && !other.resize(11) && other.resize(10));
        assert_eq!(budget.free(), 0);
        assert!(other.resize(2));
        assert_eq!(budget.free(), 8);
    }

    const LIMIT: usize = 32 * 1024 * 1024;

    /// A body of unknown length: so many pieces of this length, before each of which what is charged is looked at.
    fn pieces(
        count: usize,
        length: usize,
        budget: &BodyBudget,
        total: usize,
    ) -> impl Body<Data = Bytes, Error = Infallible> + Unpin {
        let budget = budget.clone();
        StreamBody::new(stream::iter((0..count).map(move |before| {
            assert!(total - budget.free() >= before * length);
            Ok(Frame::data(Bytes::from(vec![b' '; length])))
        })))
    }

    #[tokio::test]
    async fn a_body_of_unknown_length_is_charged_with_what_has_come_of_it() {
        let total = charged(LIMIT);
        let budget = BodyBudget::new(total);
        let patience = Duration::from_mins(1);
        let read = |count, length| {
            let body = pieces(count, length, &budget, total);
            read_whole(body, LIMIT, patience, &budget)
        };
        // As many as wait at once are far more than could grow to the limit.
        let mut kept = Vec::new();
        for _ in 0..100 {
            kept.push(read(1, 1000).await.unwrap());
        }
        assert_eq!(total - budget.free(), 100 * charged(1000));
        drop(kept);
        // In pieces it takes what its buffer does.
        let whole = read(7, 10_000).await.unwrap();
        assert_eq!(whole.bytes.len(), 70_000);
        let taken = total - budget.free();
        assert!(
            taken >= charged(70_000) && taken <= charged(131_072),
            "{taken}"
        );
        drop(whole);
        // What grows beyond what is free is refused, and gives all of it back.
        let mut other = budget.empty_share();
        assert!(other.resize(total - charged(STEP)));
        assert_eq!(read(2, 10_000).await.unwrap_err().reason, "bodies-at-limit");
        assert_eq!(budget.free(), charged(STEP));
        drop(other);
        assert_eq!(
            read(33, 1024 * 1024).await.unwrap_err().reason,
            "body-too-large"
        );
        assert_eq!(budget.free(), total);
    }
}
