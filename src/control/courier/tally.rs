//! How deliveries went since the start, for metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::notify::Channels;
use crate::store::DeliveryCounts;

/// What became of deliveries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deliveries {
    /// Since the start, by channel.
    pub channels: Vec<ChannelTally>,
    /// To be tried, on all channels, as of the last look.
    pub pending: i64,
    /// Given up and not yet forgotten.
    pub dead: i64,
}

/// What became of one channel's deliveries since the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelTally {
    /// The channel.
    pub name: Arc<str>,
    /// Taken by the far side.
    pub sent: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Given up.
    pub dead: u64,
}

/// Counters that are written by couriers and read by whoever asks.
#[derive(Debug)]
pub(in crate::control) struct Tallies {
    channels: Vec<Counters>,
    pending: AtomicI64,
    dead: AtomicI64,
}

#[derive(Debug)]
struct Counters {
    name: Arc<str>,
    sent: AtomicU64,
    failed: AtomicU64,
    dead: AtomicU64,
}

impl Tallies {
    pub(in crate::control) fn new(channels: &Channels) -> Self {
        let channels = channels.names().map(|(name, _)| Counters {
            name: Arc::clone(name),
            sent: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            dead: AtomicU64::new(0),
        });
        Self {
            channels: channels.collect(),
            pending: AtomicI64::new(0),
            dead: AtomicI64::new(0),
        }
    }

    pub(super) fn sent(&self, channel: &str) {
        self.count(channel, |it| &it.sent);
    }

    pub(super) fn failed(&self, channel: &str) {
        self.count(channel, |it| &it.failed);
    }

    pub(super) fn dead(&self, channel: &str) {
        self.count(channel, |it| &it.dead);
    }

    fn count(&self, channel: &str, counter: impl Fn(&Counters) -> &AtomicU64) {
        if let Some(found) = self.channels.iter().find(|it| &*it.name == channel) {
            counter(found).fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn set_counts(&self, counts: DeliveryCounts) {
        self.pending.store(counts.pending, Ordering::Relaxed);
        self.dead.store(counts.dead, Ordering::Relaxed);
    }

    pub(in crate::control) fn read(&self) -> Deliveries {
        let channels = self.channels.iter().map(|it| ChannelTally {
            name: Arc::clone(&it.name),
            sent: it.sent.load(Ordering::Relaxed),
            failed: it.failed.load(Ordering::Relaxed),
            dead: it.dead.load(Ordering::Relaxed),
        });
        Deliveries {
            channels: channels.collect(),
            pending: self.pending.load(Ordering::Relaxed),
            dead: self.dead.load(Ordering::Relaxed),
        }
    }
}
