//! What an operator may choose about the log.

use std::path::PathBuf;

use crate::groups::GroupSettings;
use crate::transactions::TransactionSettings;
use crate::{Error, Result};

/// How the log works. Plain data; [`TopicLog::open`](crate::TopicLog::open) checks it.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// The folder that holds everything. It is made if it is not there, and belongs to one process at a time.
    pub dir: PathBuf,
    /// A segment that would grow past this is closed, and the next one begun, unless its topic says otherwise. Default 128 MiB, at most 2 GiB.
    pub segment_bytes_max: u64,
    /// Between entries of a segment's index there are at least so many bytes: a read skips fewer than this. Default 16 KiB.
    pub index_interval_bytes: u32,
    /// The largest batch that is taken. Default 256 MiB.
    pub batch_bytes_max: usize,
    /// A partition takes no more batches while so much waits to be written. Default 256 MiB.
    pub pending_bytes_max: usize,
    /// The most bytes that are written before a sync. Default 16 MiB.
    pub group_bytes_max: usize,
    /// After so many bytes the index of the growing segment is saved, so that a start after a crash has less to scan.
    /// Default 8 MiB.
    pub checkpoint_bytes: u64,
    /// How many segment files stay open for reading and writing. Default 256.
    pub open_files_max: usize,
    /// How many threads write and sync. Each serves one partition at a time. Default 4.
    pub writer_threads: usize,
    /// How many idempotency tokens a partition remembers, the last ones. Default 4096.
    pub tokens_max: usize,
    /// How many idempotent producers a partition remembers, those that wrote last. Default 4096.
    pub producers_max: usize,
    /// How often the log looks for what retention and compaction take, and for segments to be closed by time, in
    /// milliseconds. Default 5 s.
    pub upkeep_interval_ms: u64,
    /// A partition is compacted when so much of what could be has not been, in percent of its bytes. Default 50.
    pub compaction_dirty_percent: u8,
    /// About how much memory a compaction uses for the keys that it looks for; with more keys it takes several passes.
    /// Default 64 MiB.
    pub compaction_bytes: usize,
    /// How consumer groups work.
    pub groups: GroupSettings,
    /// How transactions work.
    pub transactions: TransactionSettings,
}

impl LogSettings {
    /// The defaults, in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            segment_bytes_max: 128 << 20,
            index_interval_bytes: 16 << 10,
            batch_bytes_max: 256 << 20,
            pending_bytes_max: 256 << 20,
            group_bytes_max: 16 << 20,
            checkpoint_bytes: 8 << 20,
            open_files_max: 256,
            writer_threads: 4,
            tokens_max: 4096,
            producers_max: 4096,
            upkeep_interval_ms: 5000,
            compaction_dirty_percent: 50,
            compaction_bytes: 64 << 20,
            groups: GroupSettings::default(),
            transactions: TransactionSettings::default(),
        }
    }

    /// Refuses what cannot work.
    pub(crate) fn check(&self) -> Result<()> {
        let wrong = |name, reason: &str| {
            Err(Error::Setting {
                name,
                reason: reason.to_owned(),
            })
        };
        if !(1..=2 << 30).contains(&self.segment_bytes_max) {
            return wrong("segment_bytes_max", "use 1 byte to 2 GiB");
        }
        if !(1..=i32::MAX as usize).contains(&self.batch_bytes_max) {
            return wrong("batch_bytes_max", "use 1 byte to 2 GiB");
        }
        if self.pending_bytes_max == 0 || self.group_bytes_max == 0 {
            return wrong("pending_bytes_max", "it cannot be 0, nor group_bytes_max");
        }
        if self.open_files_max == 0 || self.writer_threads == 0 {
            return wrong("open_files_max", "it cannot be 0, nor writer_threads");
        }
        let transactions = &self.transactions;
        if transactions.timeout_ms_max < 1 || transactions.id_expiration_ms < 1 {
            return wrong(
                "transactions.timeout_ms_max",
                "use 1 or more, and so for id_expiration_ms",
            );
        }
        if self.upkeep_interval_ms == 0 {
            return wrong("upkeep_interval_ms", "it cannot be 0");
        }
        if self.compaction_dirty_percent > 100 || self.compaction_bytes == 0 {
            return wrong(
                "compaction_dirty_percent",
                "use 0 to 100, and compaction_bytes above 0",
            );
        }
        Ok(())
    }
}
