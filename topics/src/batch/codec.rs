//! The codecs that a batch's records may be compressed with, for those who read records rather than batches.
//!
//! Batches are stored as they came; a Kafka consumer decompresses them itself. The codec is in the low bits of the
//! attributes (Kafka protocol guide, "Record Batch"): 1 gzip, 2 Snappy, 3 LZ4 frames, 4 Zstandard. Snappy is in the frames
//! of xerial's Java library, or plain, as some clients send it.

use std::io::{self, Read, Write};

use super::header::Malformed;

/// The most bytes that the records of one batch may have when they are decompressed: what a small batch can become.
const DECOMPRESSED_BYTES_MAX: usize = 256 << 20;
/// A byte of a Snappy block stands for fewer bytes than that: its densest element says 64 with three.
const SNAPPY_RATIO_MAX: usize = 32;

/// The front of a xerial stream: its magic, then two version numbers of four bytes.
const XERIAL_MAGIC: &[u8; 8] = b"\x82SNAPPY\0";
const XERIAL_HEADER_BYTES: usize = 16;

/// What compressed a batch's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// RFC 1952.
    Gzip,
    /// Snappy, framed or plain.
    Snappy,
    /// LZ4 frames.
    Lz4,
    /// RFC 8878.
    Zstd,
}

impl Codec {
    /// The codec that the attributes of a batch name; none if its records are plain.
    ///
    /// # Errors
    /// [`Malformed::Attributes`] for a number that is no codec's.
    pub(super) fn of(attributes: i16) -> Result<Option<Self>, Malformed> {
        Ok(Some(match attributes & super::header::CODEC {
            0 => return Ok(None),
            1 => Self::Gzip,
            2 => Self::Snappy,
            3 => Self::Lz4,
            4 => Self::Zstd,
            _ => return Err(Malformed::Attributes(attributes)),
        }))
    }

    /// Compresses records, appended to `out`.
    pub(super) fn compress(self, records: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Gzip => {
                let mut encoder =
                    flate2::write::GzEncoder::new(out, flate2::Compression::default());
                encoder.write_all(records)?;
                encoder.finish()?;
            }
            Self::Lz4 => {
                let mut encoder = lz4_flex::frame::FrameEncoder::new(out);
                encoder.write_all(records)?;
                encoder.finish()?;
            }
            Self::Zstd => zstd::stream::copy_encode(records, out, zstd::DEFAULT_COMPRESSION_LEVEL)?,
            Self::Snappy => {
                out.extend_from_slice(XERIAL_MAGIC);
                out.extend_from_slice(&1u32.to_be_bytes());
                out.extend_from_slice(&1u32.to_be_bytes());
                for block in records.chunks(XERIAL_BLOCK_BYTES) {
                    let block = snap::raw::Encoder::new().compress_vec(block)?;
                    out.extend_from_slice(&(block.len() as u32).to_be_bytes());
                    out.extend_from_slice(&block);
                }
            }
        }
        Ok(())
    }

    /// The records, appended to `out`.
    pub(super) fn decompress(self, records: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        let failed = |_| Malformed::Compression;
        match self {
            Self::Gzip => read_all(flate2::read::MultiGzDecoder::new(records), out),
            Self::Lz4 => read_all(lz4_flex::frame::FrameDecoder::new(records), out),
            Self::Zstd => read_all(
                zstd::stream::read::Decoder::with_buffer(records).map_err(failed)?,
                out,
            ),
            Self::Snappy => {
                for block in snappy_blocks(records)? {
                    let size =
                        snap::raw::decompress_len(block).map_err(|_| Malformed::Compression)?;
                    // Room is made before it is filled: not for what a block cannot hold.
                    if size / SNAPPY_RATIO_MAX > block.len() {
                        return Err(Malformed::Compression);
                    }
                    let start = out.len();
                    if start + size > DECOMPRESSED_BYTES_MAX {
                        return Err(Malformed::TooLarge);
                    }
                    out.resize(start + size, 0);
                    let room = out.get_mut(start..).unwrap_or_default();
                    let written = snap::raw::Decoder::new()
                        .decompress(block, room)
                        .map_err(|_| Malformed::Compression)?;
                    out.truncate(start + written);
                }
                Ok(())
            }
        }
    }
}

/// How much xerial's library puts into a block.
const XERIAL_BLOCK_BYTES: usize = 32 << 10;

fn read_all(reader: impl Read, out: &mut Vec<u8>) -> Result<(), Malformed> {
    let most = DECOMPRESSED_BYTES_MAX as u64;
    let read = reader
        .take(most + 1)
        .read_to_end(out)
        .map_err(|_| Malformed::Compression)?;
    if read as u64 > most {
        return Err(Malformed::TooLarge);
    }
    Ok(())
}

/// The raw Snappy blocks of what a client sent.
fn snappy_blocks(records: &[u8]) -> Result<Vec<&[u8]>, Malformed> {
    if !records.starts_with(XERIAL_MAGIC) {
        return Ok(vec![records]);
    }
    let mut rest = records
        .get(XERIAL_HEADER_BYTES..)
        .ok_or(Malformed::Compression)?;
    let mut blocks = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let (block, after) = after
            .split_at_checked(length)
            .ok_or(Malformed::Compression)?;
        blocks.push(block);
        rest = after;
    }
    if rest.is_empty() {
        Ok(blocks)
    } else {
        Err(Malformed::Compression)
    }
}
