//! What the engine counts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use weir_catalog::ObjectKind;

use crate::engine::Engine;

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

/// How one continuous query does: that of a materialized view, or of a sink. Its counts begin anew when it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobMetrics {
    /// The schema of the view or sink.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// `view` or `sink`.
    pub kind: &'static str,
    /// What it is doing, in a word: as `weir.jobs.state`.
    pub state: &'static str,
    /// Rows of its sources that it has read.
    pub rows_read: u64,
    /// Rows of its query that have come or gone.
    pub rows_written: u64,
    /// Rows that were left out because they cannot be computed.
    pub rows_skipped: u64,
    /// Rows that came too late for their windows.
    pub late_rows: u64,
    /// Steps that it has taken.
    pub steps: u64,
    /// What they took.
    pub stepping: Duration,
    /// Rows of its sources that it has yet to read.
    pub rows_behind: u64,
    /// For how long there have been such rows.
    pub behind: Duration,
    /// The bytes of memory that its state takes.
    pub state_bytes: u64,
    /// The bytes of disk that its state takes.
    pub disk_bytes: u64,
    /// How old its last checkpoint is.
    pub checkpoint_age: Option<Duration>,
}

impl Engine {
    /// How the continuous queries do, those that were created first before the others.
    pub fn job_metrics(&self) -> Vec<JobMetrics> {
        let engine = &self.0;
        let snapshot = engine.catalog.snapshot();
        let now_ms = engine.clock.now_ms();
        let since = |then_ms: i64| {
            let passed = now_ms.saturating_sub(then_ms);
            Duration::from_millis(u64::try_from(passed).unwrap_or(0))
        };
        let views = snapshot.relations();
        let views = views.filter(|entry| entry.kind() == ObjectKind::MaterializedView);
        let views = views.map(|entry| ("view", entry, engine.views.status(entry.id)));
        let sinks = snapshot.sinks();
        let sinks = sinks.map(|entry| ("sink", entry, engine.sinks.status(entry.id)));
        let mut found: Vec<_> = views.chain(sinks).collect();
        found.sort_unstable_by_key(|(_, entry, _)| entry.id);
        let metrics = found.into_iter().filter_map(|(kind, entry, status)| {
            let status = status?;
            let job = status.job;
            Some(JobMetrics {
                schema: entry.name.schema.clone(),
                name: entry.name.name.clone(),
                kind,
                state: status.state.as_str(),
                rows_read: job.rows_read,
                rows_written: job.rows_written,
                rows_skipped: job.rows_skipped,
                late_rows: job.late_rows.unwrap_or(0),
                steps: job.steps,
                stepping: Duration::from_micros(job.stepping_us),
                rows_behind: job.rows_behind,
                behind: job.behind_since_ms.map_or(Duration::ZERO, since),
                state_bytes: job.state.bytes as u64,
                disk_bytes: job.disk_bytes,
                checkpoint_age: job.checkpoint_ms.map(since),
            })
        });
        metrics.collect()
    }
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
