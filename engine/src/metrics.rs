//! What the engine counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters since the start, and gauges of now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MetricsSnapshot {
    /// Queries that gave all their rows.
    pub queries_finished: u64,
    /// Queries that ended with an error.
    pub queries_failed: u64,
    /// Queries that were stopped.
    pub queries_cancelled: u64,
    /// Queries that were refused because too many ran.
    pub queries_rejected: u64,
    /// Bounded queries that run or wait now.
    pub queries_active: u64,
    /// Queries that wait for their turn now.
    pub queries_queued: u64,
    /// Live queries that run now.
    pub live_queries_active: u64,
    /// Rows given out.
    pub rows_out: u64,
    /// Bytes given out, as Arrow arrays.
    pub bytes_out: u64,
    /// Rows ingested.
    pub rows_in: u64,
    /// Bytes ingested, as they came.
    pub bytes_in: u64,
    /// Bytes of memory reserved by queries now.
    pub memory_bytes: u64,
    /// Bytes of memory that the decoded rows of topics' ends take now.
    pub decoded_bytes: u64,
    /// Bytes of disk that spilled data takes now.
    pub spill_bytes: u64,
    /// Bytes of the topic log.
    pub log_bytes: u64,
    /// The catalog's version.
    pub catalog_version: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) finished: Counter,
    pub(crate) failed: Counter,
    pub(crate) cancelled: Counter,
    pub(crate) rejected: Counter,
    pub(crate) rows_out: Counter,
    pub(crate) bytes_out: Counter,
    pub(crate) rows_in: Counter,
    pub(crate) bytes_in: Counter,
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
