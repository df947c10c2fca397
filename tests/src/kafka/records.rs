//! Record batches, as producers write and consumers read them.

use std::io::{Read as _, Write as _};

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::records::{
    NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, Record,
    RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};

use super::{Codec, Producer};

/// What xerial's Snappy begins with, before eight bytes of versions.
const XERIAL: &[u8] = b"\x82SNAPPY\0";

/// What a producer sends to a partition at once.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Keys and values.
    pub records: Vec<(Option<Bytes>, Option<Bytes>)>,
    /// How they are compressed.
    pub codec: Codec,
    /// Who sends them, if it says so.
    pub producer: Option<Producer>,
    /// The number of the first record among those of its producer in the partition.
    pub sequence: i32,
}

/// A record as a consumer gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// Its offset.
    pub offset: i64,
    /// What it is about.
    pub key: Option<Bytes>,
    /// What it says.
    pub value: Option<Bytes>,
}

impl Batch {
    /// Values without keys, plain, of a producer that does not say who it is.
    pub fn of(values: impl IntoIterator<Item = String>) -> Self {
        let records = values.into_iter();
        Self {
            records: records.map(|value| (None, Some(value.into()))).collect(),
            codec: Codec::None,
            producer: None,
            sequence: 0,
        }
    }

    /// The bytes of it.
    ///
    /// # Panics
    /// When it is too large for a batch.
    pub fn encode(&self) -> Bytes {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = now.expect("it is after 1970").as_millis();
        let timestamp = i64::try_from(now).expect("it is before the year 292 million");
        let producer = self.producer.as_ref();
        let first = producer.map_or(NO_SEQUENCE, |_| self.sequence);
        let records = self.records.iter().zip(0i32..);
        let records = records.map(|((key, value), at)| Record {
            transactional: producer.is_some_and(|it| it.transactional_id.is_some()),
            control: false,
            delete_horizon: false,
            partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
            producer_id: producer.map_or(NO_PRODUCER_ID, |it| it.id),
            producer_epoch: producer.map_or(NO_PRODUCER_EPOCH, |it| it.epoch),
            timestamp_type: TimestampType::Creation,
            offset: at.into(),
            sequence: first + at,
            timestamp,
            key: key.clone(),
            value: value.clone(),
            headers: Default::default(),
        });
        let records: Vec<Record> = records.collect();
        let options = RecordEncodeOptions {
            version: 2,
            compression: self.codec,
        };
        let compress = |plain: &mut BytesMut, to: &mut BytesMut, codec: Codec| {
            to.extend_from_slice(&compressed(plain, codec)?);
            Ok(())
        };
        let mut bytes = BytesMut::new();
        RecordBatchEncoder::encode_with_custom_compression(
            &mut bytes,
            &records,
            &options,
            Some(compress),
        )
        .expect("a test's batch can be written");
        bytes.freeze()
    }
}

/// Reads what was fetched at `from`, without what a transaction's end or its abort took back, and gives where to go on.
///
/// # Panics
/// When it is not whole batches.
pub(super) fn read(data: &PartitionData, from: i64, into: &mut Vec<Read>) -> i64 {
    let mut bytes = data.records.clone().unwrap_or_default();
    let mut aborted: Vec<(i64, i64)> = data
        .aborted_transactions
        .iter()
        .flatten()
        .map(|it| (it.producer_id.0, it.first_offset))
        .collect();
    let mut next = from;
    while !bytes.is_empty() {
        // The offset behind the batch is in its front, also where its last records were compacted away.
        let number = |at: usize, bytes: &Bytes| {
            let four = bytes[at..at + 4].try_into().expect("four bytes");
            i32::from_be_bytes(four)
        };
        let base = i64::from_be_bytes(bytes[..8].try_into().expect("eight bytes"));
        let length = usize::try_from(number(8, &bytes)).expect("a length") + 12;
        next = base + i64::from(number(23, &bytes)) + 1;
        let mut batch = bytes.split_to(length);
        let plain = |bytes: &mut Bytes, codec: Codec| Ok(plain(bytes, codec)?);
        let set = RecordBatchDecoder::decode_with_custom_compression(&mut batch, Some(plain))
            .expect("a batch can be read");
        for record in set.records {
            if record.control {
                // A marker ends the producer's transaction.
                aborted.retain(|it| it.0 != record.producer_id || it.1 > record.offset);
                continue;
            }
            let is_aborted = record.transactional
                && aborted
                    .iter()
                    .any(|it| it.0 == record.producer_id && it.1 <= record.offset);
            if record.offset >= from && !is_aborted {
                into.push(Read {
                    offset: record.offset,
                    key: record.key,
                    value: record.value,
                });
            }
        }
    }
    next
}

fn compressed(plain: &[u8], codec: Codec) -> std::io::Result<Vec<u8>> {
    match codec {
        Codec::None => Ok(plain.to_vec()),
        Codec::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Default::default());
            encoder.write_all(plain)?;
            encoder.finish()
        }
        Codec::Snappy => Ok(snap::raw::Encoder::new().compress_vec(plain)?),
        Codec::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(plain)?;
            Ok(encoder.finish()?)
        }
        Codec::Zstd => zstd::encode_all(plain, 0),
    }
}

fn plain(bytes: &mut Bytes, codec: Codec) -> std::io::Result<Bytes> {
    let mut plain = Vec::new();
    match codec {
        Codec::None => return Ok(bytes.clone()),
        Codec::Gzip => {
            flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_end(&mut plain)?;
        }
        Codec::Snappy => match bytes.strip_prefix(XERIAL) {
            // As Java clients have it, and compaction: blocks behind their lengths.
            Some(framed) => {
                let mut rest = &framed[XERIAL.len()..];
                while let Some((length, after)) = rest.split_first_chunk::<4>() {
                    let (block, after) = after.split_at(u32::from_be_bytes(*length) as usize);
                    plain.extend(snap::raw::Decoder::new().decompress_vec(block)?);
                    rest = after;
                }
            }
            None => plain = snap::raw::Decoder::new().decompress_vec(bytes)?,
        },
        Codec::Lz4 => {
            lz4_flex::frame::FrameDecoder::new(&bytes[..]).read_to_end(&mut plain)?;
        }
        Codec::Zstd => plain = zstd::decode_all(&bytes[..])?,
    }
    Ok(plain.into())
}
