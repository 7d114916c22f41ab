//! A histogram of seconds in plain atomics. The one in `prometheus-client` takes a lock for each observation.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// Upper bounds of the buckets, in seconds: from a decision's own time to the longest that a cmdlet may run
/// (`upstream` of `[proxy.timeouts]`, 960 s).
const BOUNDS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 120.0, 960.0,
];

/// How often something took how long. Cheap to clone; all clones count into the same series.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Observations in each bucket alone, not in it and those below.
    buckets: [AtomicU64; BOUNDS.len()],
    /// Observations above the last bound.
    beyond: AtomicU64,
    sum_nanos: AtomicU64,
}

impl Histogram {
    /// Counts one observation.
    pub fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let mut buckets = BOUNDS.iter().zip(&self.shared.buckets);
        buckets
            .find(|it| seconds <= *it.0)
            .map_or(&self.shared.beyond, |it| it.1)
            .fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.shared.sum_nanos.fetch_add(nanos, Ordering::Relaxed);
    }
}

impl TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let mut buckets: Vec<(f64, u64)> = BOUNDS
            .iter()
            .zip(&self.shared.buckets)
            .map(|(bound, count)| (*bound, count.load(Ordering::Relaxed)))
            .collect();
        buckets.push((f64::INFINITY, self.shared.beyond.load(Ordering::Relaxed)));
        // The count is the sum of what was just read, so that a page never contradicts itself.
        let count = buckets.iter().map(|it| it.1).sum();
        let sum = Duration::from_nanos(self.shared.sum_nanos.load(Ordering::Relaxed)).as_secs_f64();
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}
