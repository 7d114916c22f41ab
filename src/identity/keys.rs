//! An issuer's keys as they are now: from a file or a URL, read again as they age, kept for a while when that fails.
//!
//! Nobody but a caller's request starts a read, and each read has one runner whom all wait for. How often that happens is
//! bounded, so strangers with made-up key ids cannot make the gateway hammer the issuer.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::fetch::Fetcher;
use super::jwk::KeySet;
use super::problem::{IdentityError, KeysError};
use super::{lock, read_bounded};

/// The largest JWK set, in bytes.
pub(super) const MAX_DOCUMENT_BYTES: usize = 1024 * 1024;

/// Keys from a URL are fetched again when they are this old, while requests go on with them,
const REFRESH_AFTER: Duration = Duration::from_mins(50);

/// and requests wait for newer ones once they are this old (unless fetching fails already),
const FRESH_FOR: Duration = Duration::from_hours(1);

/// and without newer ones they count no longer once they are this old.
const USABLE_FOR: Duration = Duration::from_hours(24);

/// A URL is asked at most this often, for an unknown key id or after a failure,
const URL_PACE: Duration = Duration::from_secs(30);

/// or this often while there are no keys at all.
const URL_PACE_WITHOUT_KEYS: Duration = Duration::from_secs(5);

/// A file is looked at at most this often.
const FILE_PACE: Duration = Duration::from_secs(1);

/// Where keys come from.
pub(super) enum Origin {
    File(PathBuf),
    Url(Box<Fetcher>),
}

/// An issuer's keys.
pub(super) struct KeySource {
    identity: String,
    origin: Origin,
    current: ArcSwapOption<Loaded>,
    /// When the last read began, in milliseconds since the Unix epoch.
    attempted_ms: AtomicI64,
    /// How long after that the next one is due.
    due_after_ms: AtomicI64,
    reading: Mutex<Reading>,
}

#[derive(Default)]
struct Reading {
    /// Closes when the read under way is over.
    under_way: Option<watch::Receiver<()>>,
    /// What the last read failed with.
    failure: Option<String>,
}

/// Keys with the moment at which their origin confirmed them.
pub(super) struct Loaded {
    pub(super) keys: Arc<KeySet>,
    document: Bytes,
    confirmed_ms: i64,
}

impl KeySource {
    pub(super) fn new(identity: String, origin: Origin) -> Self {
        Self {
            identity,
            origin,
            current: ArcSwapOption::empty(),
            attempted_ms: AtomicI64::new(i64::MIN / 2),
            due_after_ms: AtomicI64::new(0),
            reading: Mutex::default(),
        }
    }

    /// Reads the keys now, whatever their age.
    pub(super) async fn read_now(&self, now: DateTime<Utc>) -> Result<(), IdentityError> {
        let now_ms = now.timestamp_millis();
        self.attempted_ms.store(now_ms, Ordering::Relaxed);
        let outcome = self.document().await;
        self.take_in(outcome, now_ms)
            .map_err(|source| IdentityError::Keys {
                identity: self.identity.clone(),
                origin: self.origin(),
                source,
            })
    }

    /// Whether keys that were had count at `now`.
    pub(super) fn are_usable(&self, now_ms: i64) -> bool {
        let current = self.current.load();
        current.as_ref().is_some_and(|it| it.is_usable(now_ms))
    }

    /// Whether the keys should be read again, so that [`KeySource::current`] has something to do.
    pub(super) fn are_due(&self, now_ms: i64) -> bool {
        self.since_last_attempt(now_ms) >= self.due_after_ms.load(Ordering::Relaxed)
    }

    /// The keys that count at `now`, read again first where they are too old.
    pub(super) async fn current(self: &Arc<Self>, now: DateTime<Utc>) -> Option<Arc<Loaded>> {
        let now_ms = now.timestamp_millis();
        if self.are_due(now_ms) {
            let read = self.begin_read(now_ms, self.due_after_ms.load(Ordering::Relaxed));
            if self.is_worth_waiting(now_ms) {
                wait_for(read).await;
            }
        } else if !self.are_usable(now_ms) {
            // Somebody may be fetching the first keys.
            wait_for(self.begin_read(now_ms, i64::MAX)).await;
        }
        self.usable(now_ms)
    }

    /// The keys after another read, which there is only if the last one is not too recent: a token names a key that is unknown.
    pub(super) async fn newer(self: &Arc<Self>, now: DateTime<Utc>) -> Option<Arc<Loaded>> {
        let now_ms = now.timestamp_millis();
        let pace = match self.origin {
            Origin::File(_) => FILE_PACE,
            Origin::Url(_) => URL_PACE,
        };
        wait_for(self.begin_read(now_ms, millis(pace))).await;
        self.usable(now_ms)
    }

    /// Where the keys come from, for people.
    fn origin(&self) -> String {
        match &self.origin {
            Origin::File(path) => path.display().to_string(),
            Origin::Url(fetcher) => fetcher.origin(),
        }
    }

    fn usable(&self, now_ms: i64) -> Option<Arc<Loaded>> {
        self.current.load_full().filter(|it| it.is_usable(now_ms))
    }

    /// A clock that was set back makes the last attempt lie in the future: it counts as long ago as it lies ahead.
    fn since_last_attempt(&self, now_ms: i64) -> i64 {
        let attempted_ms = self.attempted_ms.load(Ordering::Relaxed);
        now_ms.saturating_sub(attempted_ms).saturating_abs()
    }

    /// Whether a request should wait for the read that is due. A file is read in no time; a URL is not, so whoever
    /// has keys of tolerable age, or keys of a URL that fails anyway, goes on with them.
    fn is_worth_waiting(&self, now_ms: i64) -> bool {
        if matches!(self.origin, Origin::File(_)) {
            return true;
        }
        match self.usable(now_ms) {
            Some(loaded) => {
                loaded.age_ms(now_ms) >= millis(FRESH_FOR) && lock(&self.reading).failure.is_none()
            }
            None => true,
        }
    }

    /// The read under way, or a new one if the last began at least `pace_ms` ago.
    fn begin_read(self: &Arc<Self>, now_ms: i64, pace_ms: i64) -> Option<watch::Receiver<()>> {
        let mut reading = lock(&self.reading);
        if let Some(under_way) = &reading.under_way
            && under_way.has_changed().is_ok()
        {
            return Some(under_way.clone());
        }
        if self.since_last_attempt(now_ms) < pace_ms {
            return None;
        }
        self.attempted_ms.store(now_ms, Ordering::Relaxed);
        let (over, under_way) = watch::channel(());
        reading.under_way = Some(under_way.clone());
        let source = Arc::clone(self);
        // It runs to its end even if the request that began it goes away; it is bounded in time by the origin.
        tokio::spawn(async move {
            let outcome = source.document().await;
            // What there is to say about a failure was said there.
            let _ = source.take_in(outcome, now_ms);
            drop(over);
        });
        Some(under_way)
    }

    async fn document(&self) -> Result<Bytes, KeysError> {
        match &self.origin {
            Origin::File(path) => {
                let document = read_bounded(path, MAX_DOCUMENT_BYTES).await;
                document.map(Bytes::from).map_err(KeysError::Read)
            }
            Origin::Url(fetcher) => fetcher.fetch().await.map_err(KeysError::Fetch),
        }
    }

    fn take_in(&self, outcome: Result<Bytes, KeysError>, now_ms: i64) -> Result<(), KeysError> {
        // Held to the end, so that of two sets taken in at once one replaces the other.
        let mut reading = lock(&self.reading);
        let old = self.current.load_full();
        let outcome = outcome.and_then(|document| {
            let keys = match &old {
                Some(old) if old.document == document => Arc::clone(&old.keys),
                _ => self.keys_of(&document, old.as_deref())?,
            };
            Ok(Loaded {
                keys,
                document,
                confirmed_ms: now_ms,
            })
        });
        let (pace, result) = match outcome {
            Ok(loaded) => {
                self.current.store(Some(Arc::new(loaded)));
                reading.failure = None;
                (REFRESH_AFTER, Ok(()))
            }
            Err(error) => {
                let text = format!("{error}: {}", causes(&error));
                let is_news = reading.failure.as_ref() != Some(&text);
                let pace = if self.are_usable(now_ms) {
                    if is_news {
                        warn!(identity = %self.identity, origin = %self.origin(), error = %text, "Keys of an issuer cannot be renewed; those from before count for a day, and it is tried again");
                    }
                    URL_PACE
                } else {
                    if is_news {
                        error!(identity = %self.identity, origin = %self.origin(), error = %text, "Keys of an issuer cannot be had: nobody can sign in with its tokens until they can; it is tried again with each sign-in, some seconds apart");
                    }
                    URL_PACE_WITHOUT_KEYS
                };
                reading.failure = Some(text);
                (pace, Err(error))
            }
        };
        let pace = match self.origin {
            Origin::File(_) => FILE_PACE,
            Origin::Url(_) => pace,
        };
        self.due_after_ms.store(millis(pace), Ordering::Relaxed);
        result
    }

    fn keys_of(&self, document: &[u8], old: Option<&Loaded>) -> Result<Arc<KeySet>, KeysError> {
        let mut keys = KeySet::read(document)?;
        if let Some(old) = old {
            keys = keys.replacing(&old.keys);
        }
        info!(identity = %self.identity, keys = keys.len(), skipped = %keys.skipped.join(", "), "Keys of an issuer taken");
        Ok(Arc::new(keys))
    }
}

impl Loaded {
    fn is_usable(&self, now_ms: i64) -> bool {
        self.age_ms(now_ms) < millis(USABLE_FOR)
    }

    fn age_ms(&self, now_ms: i64) -> i64 {
        now_ms.saturating_sub(self.confirmed_ms).saturating_abs()
    }
}

async fn wait_for(read: Option<watch::Receiver<()>>) {
    if let Some(mut read) = read {
        // Nothing is ever sent: this ends when the sender is dropped.
        let _ = read.changed().await;
    }
}

fn causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |it| it.source());
    let texts: Vec<_> = causes.map(ToString::to_string).collect();
    texts.join(": ")
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
