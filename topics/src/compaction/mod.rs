//! Compaction by key: of each key the last record stays, as Kafka's log cleaner has it (KIP-58, KIP-534).
//!
//! What is here decides; `partition/compact.rs` reads and writes. A pass looks at the records that no pass has looked at yet,
//! notes the last offset of each key in [`Latest`], as many keys as there is memory for, and then goes over all closed
//! segments up to there and drops each record whose key has a later one. Segments are written anew in [`groups`], so that what
//! has become small becomes one. Offsets never change: what is dropped leaves a gap.
//!
//! A record without a value deletes its key. It stays for `delete_retention_ms` after the first pass that saw it, in which all
//! before it went: whoever began to read before that pass has so long to come by. Only what is
//! decided is looked at: batches of aborted transactions go, those of committed ones are as others, and markers stay. So does a record without a key, from before the topic was compacted.

mod keys;
mod plan;

pub(crate) use keys::Latest;
pub(crate) use plan::{Candidate, groups, is_due};

use weir_base::Offset;

use crate::batch::Left;
use crate::{BatchView, Error, Record, Result};

/// What decides over a record.
#[derive(Debug)]
pub(crate) struct Pass<'a> {
    pub(crate) latest: &'a Latest,
    /// Nobody sees what is before the partition's start.
    pub(crate) start: Offset,
    /// Up to here, `latest` knows all keys.
    pub(crate) end: Offset,
    pub(crate) now_ms: i64,
    pub(crate) delete_retention_ms: u64,
}

impl Pass<'_> {
    /// What stays of a batch.
    ///
    /// # Errors
    /// [`Error::Internal`] when what stays cannot be compressed.
    pub(crate) fn filter(&self, batch: &BatchView) -> Result<Left> {
        if !is_compacted(batch) {
            return Ok(Left::Whole);
        }
        if batch.end_offset() <= self.start {
            return Ok(Left::Nothing);
        }
        let horizon_ms = batch.header().delete_horizon_ms();
        let deletions_go = horizon_ms.is_some_and(|horizon_ms| horizon_ms <= self.now_ms);
        // Only of a batch that the keys were looked up of is known that what its deletions delete has gone.
        let horizon_ms = (batch.end_offset() <= self.end).then(|| {
            let retention_ms = i64::try_from(self.delete_retention_ms).unwrap_or(i64::MAX);
            self.now_ms.saturating_add(retention_ms)
        });
        let stays = |record: &Record<'_>| {
            let Some(key) = record.key else {
                return record.offset >= self.start;
            };
            let latest = self.latest.get(key);
            record.offset >= self.start
                && latest.is_none_or(|latest| latest <= record.offset)
                && !(record.value.is_none() && deletions_go)
        };
        match batch.retain(stays, horizon_ms) {
            // It was taken compressed, and nobody looked into it. Its readers find out; it is not for us to drop.
            Err(Error::Batch { .. }) => Ok(Left::Whole),
            left => left,
        }
    }
}

/// Whether a batch's records are looked at.
fn is_compacted(batch: &BatchView) -> bool {
    !batch.header().is_control()
}

#[cfg(test)]
mod tests;
