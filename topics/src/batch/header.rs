//! The 61 bytes in front of a batch's records.

use weir_base::Offset;

/// The size of a batch without records, in bytes.
pub const HEADER_BYTES: usize = 61;

/// What the length field does not count: itself and the base offset.
pub(crate) const LENGTH_BASE: usize = 12;
/// Where the bytes under the checksum begin.
pub(super) const CRC_FROM: usize = 21;
const MAGIC: i8 = 2;
pub(super) const CODEC: i16 = 0b111;
const LOG_APPEND_TIME: i16 = 1 << 3;
pub(super) const TRANSACTIONAL: i16 = 1 << 4;
pub(super) const CONTROL: i16 = 1 << 5;
const DELETE_HORIZON: i16 = 1 << 6;

/// The fields of a batch's header, as they are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// The first record's offset.
    pub base_offset: Offset,
    /// Bytes after the length field.
    pub length: i32,
    /// The epoch of the leader that took the batch; −1 when unknown.
    pub partition_leader_epoch: i32,
    /// CRC-32C of everything after the field.
    pub crc: u32,
    /// Codec, timestamp type, transactional and control bits.
    pub attributes: i16,
    /// The last record's offset less the first's.
    pub last_offset_delta: i32,
    /// What timestamp deltas are added to, in milliseconds since the epoch.
    pub base_timestamp_ms: i64,
    /// The largest timestamp, in milliseconds since the epoch.
    pub max_timestamp_ms: i64,
    /// The idempotent producer's id; −1 when there is none.
    pub producer_id: i64,
    /// The idempotent producer's epoch; −1 when there is none.
    pub producer_epoch: i16,
    /// The first record's sequence number; −1 when there is none.
    pub base_sequence: i32,
    /// How many records follow.
    pub record_count: i32,
}

/// Why bytes are no record batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The bytes end before the batch does.
    #[error("it is cut off")]
    CutOff,
    /// The magic byte is not 2.
    #[error("its version is {0}, not 2")]
    Version(i8),
    /// The length field cannot be right.
    #[error("its length field is {0}")]
    Length(i32),
    /// The checksum is not that of the bytes.
    #[error("its checksum is {stored:08x}, that of its bytes is {computed:08x}")]
    Checksum {
        /// The checksum in the header.
        stored: u32,
        /// The checksum of the bytes.
        computed: u32,
    },
    /// The number of records, or of offsets, cannot be right.
    #[error("it has {records} records and a last offset delta of {last_offset_delta}")]
    Counts {
        /// The number of records in the header.
        records: i32,
        /// The last offset delta in the header.
        last_offset_delta: i32,
    },
    /// It does not follow the batch before it.
    #[error("it starts at offset {found} where {expected} was expected")]
    Sequence {
        /// The offset that was expected.
        expected: Offset,
        /// The offset that is there.
        found: Offset,
    },
    /// A record does not decode.
    #[error("record {0} does not decode")]
    Record(u32),
    /// More bytes than records.
    #[error("bytes follow its last record")]
    TrailingBytes,
    /// Its records are of a kind that is not known here.
    #[error("attributes {0:#06x} are not supported here")]
    Attributes(i16),
    /// Its records do not decompress.
    #[error("its records do not decompress")]
    Compression,
    /// Its records are too large when they are decompressed.
    #[error("its records are larger than 256 MiB when they are decompressed")]
    TooLarge,
}

impl BatchHeader {
    /// Reads a header from the front of `bytes` and checks what can be checked without the records.
    ///
    /// # Errors
    /// [`Malformed`] when no batch can start so.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let bytes: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(Malformed::CutOff)?;
        let header = Self {
            base_offset: Offset(i64::from_be_bytes(field(bytes, 0))),
            length: i32::from_be_bytes(field(bytes, 8)),
            partition_leader_epoch: i32::from_be_bytes(field(bytes, 12)),
            crc: u32::from_be_bytes(field(bytes, 17)),
            attributes: i16::from_be_bytes(field(bytes, 21)),
            last_offset_delta: i32::from_be_bytes(field(bytes, 23)),
            base_timestamp_ms: i64::from_be_bytes(field(bytes, 27)),
            max_timestamp_ms: i64::from_be_bytes(field(bytes, 35)),
            producer_id: i64::from_be_bytes(field(bytes, 43)),
            producer_epoch: i16::from_be_bytes(field(bytes, 51)),
            base_sequence: i32::from_be_bytes(field(bytes, 53)),
            record_count: i32::from_be_bytes(field(bytes, 57)),
        };
        let magic = i8::from_be_bytes(field(bytes, 16));
        if magic != MAGIC {
            return Err(Malformed::Version(magic));
        }
        if header.length < (HEADER_BYTES - LENGTH_BASE) as i32 {
            return Err(Malformed::Length(header.length));
        }
        if header.record_count < 1 || header.last_offset_delta < header.record_count - 1 {
            return Err(Malformed::Counts {
                records: header.record_count,
                last_offset_delta: header.last_offset_delta,
            });
        }
        Ok(header)
    }

    /// The whole batch's size, in bytes.
    pub fn total_bytes(&self) -> usize {
        LENGTH_BASE + self.length.max(0) as usize
    }

    /// The offset after the last record's.
    pub fn end_offset(&self) -> Offset {
        Offset(
            self.base_offset
                .0
                .saturating_add(i64::from(self.last_offset_delta))
                .saturating_add(1),
        )
    }

    /// Whether the records are compressed.
    pub fn is_compressed(&self) -> bool {
        self.attributes & CODEC != 0
    }

    /// Whether every record has the maximum timestamp, because the log and not the producer set it.
    pub fn is_log_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME != 0
    }

    /// Whether the records are part of a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    /// Whether the records are transaction markers and no data.
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// From when on compaction may drop its records that delete a key (KIP-534), in milliseconds since the epoch. Its base
    /// timestamp is that then.
    pub fn delete_horizon_ms(&self) -> Option<i64> {
        (self.attributes & DELETE_HORIZON != 0).then_some(self.base_timestamp_ms)
    }

    /// Says from when on records that delete a key may go. The records' timestamp deltas are then from that time.
    pub(super) fn set_delete_horizon(&mut self, horizon_ms: i64) {
        self.attributes |= DELETE_HORIZON;
        self.base_timestamp_ms = horizon_ms;
    }

    /// Whether each of its offsets is one plain record: none was compacted away, and none is of a transaction.
    pub fn is_dense(&self) -> bool {
        self.attributes & (TRANSACTIONAL | CONTROL) == 0
            && self.last_offset_delta == self.record_count.saturating_sub(1)
    }

    /// Checks that `batch`, whose header this is, is whole and has the checksum that it says.
    ///
    /// # Errors
    /// [`Malformed::CutOff`] or [`Malformed::Checksum`].
    pub fn verify(&self, batch: &[u8]) -> Result<(), Malformed> {
        let covered = batch
            .get(CRC_FROM..self.total_bytes())
            .ok_or(Malformed::CutOff)?;
        let computed = crc32c::crc32c(covered);
        if computed == self.crc {
            Ok(())
        } else {
            Err(Malformed::Checksum {
                stored: self.crc,
                computed,
            })
        }
    }

    /// Writes all fields to the front of `bytes`, the checksum as it is here.
    pub(super) fn write(&self, bytes: &mut [u8; HEADER_BYTES]) {
        bytes[0..8].copy_from_slice(&self.base_offset.0.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.length.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.partition_leader_epoch.to_be_bytes());
        bytes[16] = MAGIC as u8;
        bytes[17..21].copy_from_slice(&self.crc.to_be_bytes());
        bytes[21..23].copy_from_slice(&self.attributes.to_be_bytes());
        bytes[23..27].copy_from_slice(&self.last_offset_delta.to_be_bytes());
        bytes[27..35].copy_from_slice(&self.base_timestamp_ms.to_be_bytes());
        bytes[35..43].copy_from_slice(&self.max_timestamp_ms.to_be_bytes());
        bytes[43..51].copy_from_slice(&self.producer_id.to_be_bytes());
        bytes[51..53].copy_from_slice(&self.producer_epoch.to_be_bytes());
        bytes[53..57].copy_from_slice(&self.base_sequence.to_be_bytes());
        bytes[57..61].copy_from_slice(&self.record_count.to_be_bytes());
    }
}

/// `N` bytes of the header from `at`; callers stay inside it.
fn field<const N: usize>(bytes: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[at..at + N]);
    field
}
