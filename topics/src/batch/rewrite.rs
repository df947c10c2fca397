//! A batch without some of its records, as compaction leaves it.
//!
//! Base offset, last offset delta, producer and sequence stay, so that offsets and what is known of producers do. The records
//! that stay are the bytes that they were, in the codec that they were in. A batch with records that delete a key says from
//! when on these may go too: bit 6 of its attributes, and the base timestamp then is that time (KIP-534).

use bytes::Bytes;

use super::header::{BatchHeader, CODEC, HEADER_BYTES, LENGTH_BASE, Malformed};
use super::{BatchView, EncodedBatch, Record, varint};
use crate::{Error, Result};

/// What is left of a batch.
#[derive(Debug)]
pub(crate) enum Left {
    /// All of it, as it is.
    Whole,
    /// Nothing.
    Nothing,
    /// This. It has the offsets of before.
    Part(BatchView),
}

impl BatchView {
    /// The batch with the records that `stays` says. If some of these delete a key and the batch does not say yet from when on
    /// they may go, it says `horizon_ms`, unless that is `None`. The batch must not be of a transaction.
    ///
    /// # Errors
    /// [`Error::Batch`] when the records do not decode.
    pub(crate) fn retain(
        &self,
        mut stays: impl FnMut(&Record<'_>) -> bool,
        horizon_ms: Option<i64>,
    ) -> Result<Left> {
        let codec = self.codec()?;
        let plain = self.clone().decompressed()?;
        let mut left = Vec::new();
        let mut deletes = false;
        let mut max_timestamp_ms = i64::MIN;
        let mut records = plain.records();
        let mut rest = records.rest();
        let mut count = 0;
        while let Some(record) = records.next() {
            let record = record?;
            let after = records.rest();
            let bytes = rest.len().checked_sub(after.len());
            let bytes = bytes.and_then(|length| rest.get(..length));
            let bytes = bytes.ok_or_else(|| self.malformed(Malformed::Record(count)))?;
            rest = after;
            count += 1;
            if stays(&record) {
                deletes |= record.key.is_some() && record.value.is_none();
                max_timestamp_ms = max_timestamp_ms.max(record.timestamp_ms);
                left.push((record.timestamp_ms, bytes));
            }
        }
        let horizon_ms =
            horizon_ms.filter(|_| deletes && self.header().delete_horizon_ms().is_none());
        if left.is_empty() {
            return Ok(Left::Nothing);
        }
        if left.len() as u64 == u64::from(count) && horizon_ms.is_none() {
            return Ok(Left::Whole);
        }
        let mut header = BatchHeader {
            record_count: i32::try_from(left.len())
                .map_err(|_| self.malformed(Malformed::TooLarge))?,
            ..*self.header()
        };
        if !header.is_log_append_time() {
            header.max_timestamp_ms = max_timestamp_ms;
        }
        if let Some(horizon_ms) = horizon_ms {
            header.set_delete_horizon(horizon_ms);
        }
        let mut records = Vec::with_capacity(left.iter().map(|(_, bytes)| bytes.len() + 10).sum());
        for (timestamp_ms, bytes) in left {
            match horizon_ms {
                None => records.extend_from_slice(bytes),
                Some(horizon_ms) => {
                    let delta = timestamp_ms.wrapping_sub(horizon_ms);
                    with_timestamp_delta(bytes, delta, &mut records)
                        .ok_or_else(|| self.malformed(Malformed::Record(0)))?;
                }
            }
        }
        let mut bytes = vec![0; HEADER_BYTES];
        match codec {
            None => bytes.append(&mut records),
            Some(codec) => codec
                .compress(&records, &mut bytes)
                .map_err(|error| Error::Internal(format!("cannot compress a batch: {error}")))?,
        }
        debug_assert_eq!(header.attributes & CODEC, self.header().attributes & CODEC);
        header.length = i32::try_from(bytes.len() - LENGTH_BASE)
            .map_err(|_| self.malformed(Malformed::TooLarge))?;
        let sealed = EncodedBatch::seal(bytes, header, i64::MIN);
        Ok(Left::Part(BatchView::parse(Bytes::copy_from_slice(
            sealed.as_bytes(),
        ))?))
    }
}

/// Appends a record, given as it is stored, with another timestamp delta. `None` when it does not decode.
fn with_timestamp_delta(record: &[u8], delta: i64, out: &mut Vec<u8>) -> Option<()> {
    let mut rest = record;
    varint::take(&mut rest)?;
    let (attributes, mut rest) = rest.split_first()?;
    varint::take(&mut rest)?;
    varint::put(out, (1 + varint::width(delta) + rest.len()) as i64);
    out.push(*attributes);
    varint::put(out, delta);
    out.extend_from_slice(rest);
    Some(())
}
