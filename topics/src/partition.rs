//! A partition (interface; the body follows).
#![allow(missing_docs, unused_variables, dead_code, clippy::unimplemented)]

use std::ops::Range;

use tokio::sync::watch;
use weir_base::{Offset, PartitionId, TopicName};

use crate::{BatchView, EncodedBatch, IdempotencyToken, Result};

/// A partition of a topic. Clones are the same partition.
#[derive(Debug, Clone)]
pub struct Partition;

/// A batch that has its offsets and is on its way to the disk.
#[derive(Debug)]
pub struct Appended {
    /// The first record's offset.
    pub base_offset: Offset,
    /// How many records there are.
    pub record_count: u32,
    /// Whether the token was known, and the offsets are those of the first append under it.
    pub duplicate: bool,
}

impl Appended {
    /// Waits until the batch is on disk; answers its first offset and its exclusive end.
    pub async fn durable(self) -> Result<(Offset, Offset)> {
        unimplemented!()
    }
}

/// A segment, for pruning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentInfo {
    pub base_offset: Offset,
    pub end_offset: Offset,
    pub bytes: u64,
    pub min_timestamp_ms: i64,
    pub max_timestamp_ms: i64,
}

impl Partition {
    pub fn topic(&self) -> &TopicName {
        unimplemented!()
    }
    pub fn id(&self) -> PartitionId {
        unimplemented!()
    }
    /// Waits until an append would not be refused as [`crate::Error::Busy`].
    pub async fn ready(&self) -> Result<()> {
        unimplemented!()
    }
    pub fn append(
        &self,
        batch: EncodedBatch,
        token: Option<&IdempotencyToken>,
    ) -> Result<Appended> {
        unimplemented!()
    }
    pub fn start_offset(&self) -> Offset {
        unimplemented!()
    }
    pub fn stable_offset(&self) -> Offset {
        unimplemented!()
    }
    pub fn next_offset(&self) -> Offset {
        unimplemented!()
    }
    pub fn watch(&self) -> watch::Receiver<Offset> {
        unimplemented!()
    }
    pub fn read(&self, from: Offset, to: Offset, bytes_max: usize) -> Result<Vec<BatchView>> {
        unimplemented!()
    }
    pub fn ranges(&self, from: Offset, to: Offset, bytes_target: u64) -> Vec<Range<Offset>> {
        unimplemented!()
    }
    /// The parts of `[from, to)` that can hold a record with `min <= timestamp <= max`.
    pub fn ranges_in_time(
        &self,
        from: Offset,
        to: Offset,
        min_ms: i64,
        max_ms: i64,
    ) -> Vec<Range<Offset>> {
        unimplemented!()
    }
    pub fn offset_for_time(&self, timestamp_ms: i64) -> Result<Offset> {
        unimplemented!()
    }
    pub fn segments(&self) -> Vec<SegmentInfo> {
        unimplemented!()
    }
    pub fn size_bytes(&self) -> u64 {
        unimplemented!()
    }
}
