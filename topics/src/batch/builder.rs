//! Writing a batch, record by record.

use weir_base::Offset;

use super::encoded::{EncodedBatch, Keys};
use super::header::{BatchHeader, HEADER_BYTES, LENGTH_BASE};
use super::{TOKEN_HEADER, varint};
use crate::{Error, Result};

/// The largest batch that the format's 32-bit length can say, in bytes.
const BATCH_BYTES_MAX: usize = i32::MAX as usize;

/// A record to be written. `None` is null, which is not the same as empty.
#[derive(Debug, Clone, Copy, Default)]
pub struct RecordRef<'a> {
    /// When it happened, in milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// What it is about.
    pub key: Option<&'a [u8]>,
    /// What it says; for a keyed topic, null is a deletion.
    pub value: Option<&'a [u8]>,
    /// Further names and values, in order.
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
}

/// Collects records into one batch, which the log takes whole or not at all.
#[derive(Debug)]
pub struct BatchBuilder {
    /// Room for the header, then the records.
    bytes: Vec<u8>,
    count: i32,
    base_timestamp_ms: i64,
    min_timestamp_ms: i64,
    max_timestamp_ms: i64,
    keys: Keys,
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl BatchBuilder {
    /// An empty batch.
    pub fn new() -> Self {
        Self::with_capacity(0)
    }

    /// An empty batch with room for `records_bytes` bytes of records.
    pub fn with_capacity(records_bytes: usize) -> Self {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + records_bytes);
        bytes.resize(HEADER_BYTES, 0);
        Self {
            bytes,
            count: 0,
            base_timestamp_ms: 0,
            min_timestamp_ms: i64::MAX,
            max_timestamp_ms: i64::MIN,
            keys: Keys::All,
        }
    }

    /// Adds a record. After an error the batch is what it was before.
    ///
    /// # Errors
    /// [`Error::Record`] when a header uses the reserved name [`TOKEN_HEADER`]; [`Error::BatchTooLarge`] when the batch would
    /// pass the 2 GiB that its format can say.
    pub fn push(&mut self, record: RecordRef<'_>) -> Result<()> {
        if record.headers.iter().any(|(key, _)| *key == TOKEN_HEADER) {
            return Err(Error::Record("the header name \"weir-token\" is reserved"));
        }
        let first = self.count == 0;
        let base = if first {
            record.timestamp_ms
        } else {
            self.base_timestamp_ms
        };
        // Wrapping, as Kafka's own arithmetic does: the reader wraps back.
        let timestamp_delta = record.timestamp_ms.wrapping_sub(base);
        let offset_delta = i64::from(self.count);
        let body = 1
            + varint::width(timestamp_delta)
            + varint::width(offset_delta)
            + field_width(record.key)
            + field_width(record.value)
            + varint::width(record.headers.len() as i64)
            + record
                .headers
                .iter()
                .map(|(key, value)| field_width(Some(key.as_bytes())) + field_width(*value))
                .sum::<usize>();
        let total = self.bytes.len() + body + varint::width(body as i64);
        if total > BATCH_BYTES_MAX || self.count == i32::MAX {
            return Err(Error::BatchTooLarge {
                bytes: total as u64,
                limit: BATCH_BYTES_MAX as u64,
            });
        }
        let bytes = &mut self.bytes;
        bytes.reserve(total - bytes.len());
        varint::put(bytes, body as i64);
        bytes.push(0);
        varint::put(bytes, timestamp_delta);
        varint::put(bytes, offset_delta);
        put_field(bytes, record.key);
        put_field(bytes, record.value);
        varint::put(bytes, record.headers.len() as i64);
        for (key, value) in record.headers {
            put_field(bytes, Some(key.as_bytes()));
            put_field(bytes, *value);
        }
        self.base_timestamp_ms = base;
        self.min_timestamp_ms = self.min_timestamp_ms.min(record.timestamp_ms);
        self.max_timestamp_ms = self.max_timestamp_ms.max(record.timestamp_ms);
        if record.key.is_none() {
            self.keys = Keys::Missing;
        }
        self.count += 1;
        Ok(())
    }

    /// How many records it holds.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How large the batch is, in bytes.
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Finishes the batch: header and checksum.
    pub fn build(self) -> EncodedBatch {
        self.build_with(|_| ())
    }

    /// As [`BatchBuilder::build`], with a header that says more.
    pub(super) fn build_with(self, set: impl FnOnce(&mut BatchHeader)) -> EncodedBatch {
        let mut header = BatchHeader {
            base_offset: Offset::ZERO,
            length: (self.bytes.len() - LENGTH_BASE) as i32,
            partition_leader_epoch: -1,
            crc: 0,
            attributes: 0,
            last_offset_delta: self.count - 1,
            base_timestamp_ms: self.base_timestamp_ms,
            max_timestamp_ms: self.max_timestamp_ms,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            record_count: self.count,
        };
        set(&mut header);
        EncodedBatch::seal(self.bytes, header, self.min_timestamp_ms).with_keys(self.keys)
    }
}

pub(super) fn field_width(field: Option<&[u8]>) -> usize {
    match field {
        None => 1,
        Some(field) => varint::width(field.len() as i64) + field.len(),
    }
}

pub(super) fn put_field(bytes: &mut Vec<u8>, field: Option<&[u8]>) {
    match field {
        None => varint::put(bytes, -1),
        Some(field) => {
            varint::put(bytes, field.len() as i64);
            bytes.extend_from_slice(field);
        }
    }
}
