//! The mark: up to where a partition was acknowledged, noted after each sync.
//!
//! The note itself is not synced: it survives the death of the process, and after a power cut it may be old but never ahead of
//! the truth. So whatever is broken before it is damage to acknowledged rows, and not the torn end of a write.
//!
//! Little-endian: magic `WMRK`, segment's base offset (8), position (8), end offset (8), CRC-32C of these 28 bytes.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::{Buf, BufMut};
use weir_base::Offset;

/// The mark's file in a partition's folder.
pub(crate) const FILE_NAME: &str = "stable";
const MAGIC: &[u8; 4] = b"WMRK";
const BYTES: usize = 32;

/// All records before `end` are on disk, the last of them right before `position` in segment `segment`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) segment: Offset,
    pub(crate) position: u64,
    pub(crate) end: Offset,
}

impl Mark {
    /// Notes the mark in place: 32 bytes at the front of a file lie in one sector.
    pub(crate) fn write(self, file: &File) -> io::Result<()> {
        file.write_all_at(&self.encode(), 0)
    }

    /// The mark at `path`; `None` when there is none that is whole.
    pub(crate) fn read(path: &Path) -> io::Result<Option<Self>> {
        match fs::read(path) {
            Ok(bytes) => Ok(Self::decode(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn encode(self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        let mut rest = bytes.as_mut_slice();
        rest.put_slice(MAGIC);
        rest.put_i64_le(self.segment.0);
        rest.put_u64_le(self.position);
        rest.put_i64_le(self.end.0);
        let crc = crc32c::crc32c(&bytes[..BYTES - 4]);
        bytes[BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; BYTES] = bytes.try_into().ok()?;
        let (mut rest, crc) = bytes.split_last_chunk::<4>()?;
        if crc32c::crc32c(rest) != u32::from_le_bytes(*crc) || !rest.starts_with(MAGIC) {
            return None;
        }
        rest.advance(MAGIC.len());
        Some(Self {
            segment: Offset(rest.get_i64_le()),
            position: rest.get_u64_le(),
            end: Offset(rest.get_i64_le()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back_and_a_torn_one_is_none() {
        let mark = Mark {
            segment: Offset(5),
            position: 1 << 40,
            end: Offset(99),
        };
        let bytes = mark.encode();
        assert_eq!(Mark::decode(&bytes), Some(mark));
        for at in 0..bytes.len() {
            let mut torn = bytes;
            torn[at] ^= 4;
            assert_eq!(Mark::decode(&torn), None);
            assert_eq!(Mark::decode(&bytes[..at]), None);
        }
    }
}
