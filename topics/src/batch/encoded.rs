//! A batch that is ready to be appended.

use bytes::Bytes;
use weir_base::Offset;

use super::builder::{field_width, put_field};
use super::header::{BatchHeader, CRC_FROM, HEADER_BYTES, LENGTH_BASE, Malformed, TRANSACTIONAL};
use super::{BatchView, TOKEN_HEADER, varint};
use crate::producers::Sequence;
use crate::transactions::ProducerEpoch;
use crate::{Error, IdempotencyToken, Result};

/// The leader of a partition never changes.
const LEADER_EPOCH: i32 = 0;

/// A whole batch, checksummed, to which only the log's offsets are still to be given. It owns its bytes, so that
/// appending moves it and copies nothing.
#[derive(Debug, Clone)]
pub struct EncodedBatch {
    bytes: Vec<u8>,
    record_count: u32,
    min_timestamp_ms: i64,
    max_timestamp_ms: i64,
    sequence: Option<Sequence>,
    transactional: bool,
    keys: Keys,
}

/// Whether all records of a batch have keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keys {
    All,
    Missing,
    /// They are compressed.
    Unknown,
}

impl EncodedBatch {
    /// Takes a batch as a Kafka producer sends it.
    ///
    /// # Errors
    /// [`Error::Batch`] when it is not one whole, well-formed batch with the right checksum, or when it is of a transaction and
    /// no producer's; [`Error::Record`] when it uses the reserved header name [`TOKEN_HEADER`], or is a marker, which only the
    /// log writes. Compressed records are not looked at.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self> {
        Self::from_view(BatchView::parse(Bytes::from(bytes))?)
    }

    /// As [`EncodedBatch::from_bytes`], of a batch whose checksum was checked.
    ///
    /// # Errors
    /// As there.
    pub fn from_view(view: BatchView) -> Result<Self> {
        let header = *view.header();
        let malformed = |reason| Error::Batch {
            base_offset: header.base_offset,
            reason,
        };
        if header.is_control() {
            return Err(Error::Record(
                "control records are written by the log alone",
            ));
        }
        let numbered =
            header.producer_id >= 0 && header.producer_epoch >= 0 && header.base_sequence >= 0;
        if header.is_transactional() && !numbered {
            return Err(malformed(Malformed::Attributes(header.attributes)));
        }
        if header.delete_horizon_ms().is_some() {
            // Only the log says when a deletion may be forgotten.
            return Err(malformed(Malformed::Attributes(header.attributes)));
        }
        if view.size_bytes() != view.as_bytes().len() {
            return Err(malformed(Malformed::TrailingBytes));
        }
        if header.last_offset_delta != header.record_count - 1 {
            return Err(malformed(Malformed::Counts {
                records: header.record_count,
                last_offset_delta: header.last_offset_delta,
            }));
        }
        let mut keys = Keys::Unknown;
        if view.codec()?.is_none() {
            keys = Keys::All;
            if view.token_header()?.is_some() {
                return Err(Error::Record("the header name \"weir-token\" is reserved"));
            }
            for record in view.records() {
                let record = record?;
                if record.key.is_none() {
                    keys = Keys::Missing;
                }
                for field in record.headers() {
                    field?;
                }
            }
        }
        let (min_timestamp_ms, max_timestamp_ms) = view.time_bounds()?;
        Ok(Self {
            record_count: header.record_count as u32,
            min_timestamp_ms,
            max_timestamp_ms,
            sequence: Sequence::of(&header),
            transactional: header.is_transactional(),
            keys,
            bytes: view.into_bytes().into(),
        })
    }

    /// How many records it holds, and so, how many offsets it takes up.
    pub fn record_count(&self) -> u32 {
        self.record_count
    }

    /// The same batch as a part of its producer's transaction (KIP-98), its first record having this number among all that the
    /// producer writes to the partition.
    ///
    /// # Errors
    /// None that a caller could mend.
    pub fn in_transaction(mut self, producer: ProducerEpoch, sequence: i32) -> Result<Self> {
        let mut header = BatchHeader::parse(&self.bytes)
            .map_err(|reason| Error::Internal(format!("a batch to be appended: {reason}")))?;
        header.attributes |= TRANSACTIONAL;
        header.producer_id = producer.producer_id;
        header.producer_epoch = producer.epoch;
        header.base_sequence = sequence;
        if let Some(front) = self.bytes.first_chunk_mut() {
            header.write(front);
        }
        self.sequence = Sequence::of(&header);
        self.transactional = true;
        self.checksum();
        Ok(self)
    }

    /// The same batch, of which it is known whether all records have keys.
    pub(super) fn with_keys(self, keys: Keys) -> Self {
        Self { keys, ..self }
    }

    /// Whether each record has a key. Compressed ones are looked at for it.
    ///
    /// # Errors
    /// [`Error::Batch`] when they do not decompress.
    pub(crate) fn has_keys(&self) -> Result<bool> {
        if self.keys != Keys::Unknown {
            return Ok(self.keys == Keys::All);
        }
        let view = BatchView::parse(Bytes::copy_from_slice(&self.bytes))?.decompressed()?;
        for record in view.records() {
            if record?.key.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether each of its offsets is one plain record.
    pub(crate) fn is_dense(&self) -> bool {
        BatchHeader::parse(&self.bytes).is_ok_and(|header| header.is_dense())
    }

    /// Its size, in bytes.
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The smallest timestamp of its records, in milliseconds since the epoch.
    pub fn min_timestamp_ms(&self) -> i64 {
        self.min_timestamp_ms
    }

    /// The largest timestamp of its records, in milliseconds since the epoch.
    pub fn max_timestamp_ms(&self) -> i64 {
        self.max_timestamp_ms
    }

    /// Where it stands among the batches of its idempotent producer, if it is one's.
    pub(crate) fn sequence(&self) -> Option<Sequence> {
        self.sequence
    }

    /// Whether its records are part of a transaction of its producer (KIP-98).
    pub fn is_transactional(&self) -> bool {
        self.transactional
    }

    /// The idempotent producer that made it, and its epoch, if one did.
    pub fn producer(&self) -> Option<(i64, i16)> {
        let sequence = self.sequence?;
        Some((sequence.producer_id, sequence.epoch))
    }

    /// The bytes as they will be stored, but for the base offset (and the token, if one is given).
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Writes `header` in front of the records, with length and checksum set.
    pub(super) fn seal(mut bytes: Vec<u8>, header: BatchHeader, min_timestamp_ms: i64) -> Self {
        if let Some(front) = bytes.first_chunk_mut() {
            header.write(front);
        }
        let mut batch = Self {
            bytes,
            record_count: header.record_count as u32,
            min_timestamp_ms,
            max_timestamp_ms: header.max_timestamp_ms,
            sequence: Sequence::of(&header),
            transactional: header.is_transactional(),
            keys: Keys::Unknown,
        };
        batch.checksum();
        batch
    }

    /// Places the batch in its partition. Base offset and leader epoch are not under the checksum, so this is all it takes.
    pub(crate) fn place_at(&mut self, base: Offset) {
        if let Some(front) = self.bytes.first_chunk_mut::<16>() {
            front[..8].copy_from_slice(&base.0.to_be_bytes());
            front[12..].copy_from_slice(&LEADER_EPOCH.to_be_bytes());
        }
    }

    /// Adds the token to the first record's headers, so that it is stored in the same write as the rows it stands for.
    pub(crate) fn with_token(mut self, token: &IdempotencyToken) -> Result<Self> {
        let malformed = || Error::Internal("a batch to be appended has no first record".to_owned());
        // The record is: length, attributes, two deltas, key, value, number of headers, headers.
        let records = self.bytes.get(HEADER_BYTES..).ok_or_else(malformed)?;
        let mut rest = records;
        let body_bytes = varint::take(&mut rest).ok_or_else(malformed)?;
        let body_at = records.len() - rest.len();
        let mut cursor = rest.get(1..).ok_or_else(malformed)?;
        varint::take(&mut cursor).ok_or_else(malformed)?;
        varint::take(&mut cursor).ok_or_else(malformed)?;
        for _ in 0..2 {
            let length = varint::take(&mut cursor).ok_or_else(malformed)?;
            cursor = cursor.get(length.max(0) as usize..).ok_or_else(malformed)?;
        }
        let count_at = records.len() - cursor.len();
        let headers = varint::take(&mut cursor).ok_or_else(malformed)?;
        let headers_at = records.len() - cursor.len();

        let stored = token.to_bytes();
        let header_bytes = field_width(Some(TOKEN_HEADER.as_bytes())) + field_width(Some(&stored));
        let count_grows = varint::width(headers + 1) - varint::width(headers);
        let mut front = Vec::with_capacity(headers_at + header_bytes + 8);
        varint::put(&mut front, body_bytes + (header_bytes + count_grows) as i64);
        front.extend_from_slice(records.get(body_at..count_at).ok_or_else(malformed)?);
        varint::put(&mut front, headers + 1);
        put_field(&mut front, Some(TOKEN_HEADER.as_bytes()));
        put_field(&mut front, Some(&stored));
        self.bytes
            .splice(HEADER_BYTES..HEADER_BYTES + headers_at, front);
        let length =
            i32::try_from(self.bytes.len() - LENGTH_BASE).map_err(|_| Error::BatchTooLarge {
                bytes: self.bytes.len() as u64,
                limit: i32::MAX as u64,
            })?;
        self.bytes[8..LENGTH_BASE].copy_from_slice(&length.to_be_bytes());
        self.checksum();
        Ok(self)
    }

    fn checksum(&mut self) {
        let crc = crc32c::crc32c(&self.bytes[CRC_FROM..]);
        self.bytes[CRC_FROM - 4..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
    }
}
