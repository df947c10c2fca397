//! The bounds of a partition that its segments alone do not say: where it starts, and up to where it is compacted.
//!
//! The file is replaced in one step and synced before anything that depends on it: what lies before the start is removed only
//! after the start is durable, so that a crash between leaves files too many and never a start that is too low.
//!
//! Little-endian: magic `WBND`, start offset (8), compacted offset (8), thinned offset (8), CRC-32C of these 28 bytes.

use std::fs;
use std::io;
use std::path::Path;

use bytes::{Buf, BufMut};
use weir_base::Offset;

use crate::durable;

/// The file in a partition's folder.
pub(crate) const FILE_NAME: &str = "bounds";
const MAGIC: &[u8; 4] = b"WBND";
const BYTES: usize = 32;

/// What is durable of a partition besides its records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// The log start offset: new readers begin here.
    pub(crate) start: Offset,
    /// Before this, each key's records are known to those behind it: compaction goes on from here.
    pub(crate) compacted: Offset,
    /// Before this, records may be gone that a later one of their key, also before this, took the place of. It is durable before the
    /// first of them goes.
    pub(crate) thinned: Offset,
}

impl Bounds {
    /// Replaces the file in the partition's folder `dir`; durable on return.
    pub(crate) fn write(self, dir: &Path) -> io::Result<()> {
        durable::replace(&dir.join(FILE_NAME), &self.encode(), true)?;
        durable::sync_dir(dir)
    }

    /// What the file in `dir` says; `None` when there is none, as in a partition that was never cut.
    ///
    /// # Errors
    /// Also when the file is damaged: without it, records that were deleted would come back.
    pub(crate) fn read(dir: &Path) -> io::Result<Option<Self>> {
        match fs::read(dir.join(FILE_NAME)) {
            Ok(bytes) => match Self::decode(&bytes) {
                Some(bounds) => Ok(Some(bounds)),
                None => Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the file \"bounds\" is damaged",
                )),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn encode(self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        let mut rest = bytes.as_mut_slice();
        rest.put_slice(MAGIC);
        rest.put_i64_le(self.start.0);
        rest.put_i64_le(self.compacted.0);
        rest.put_i64_le(self.thinned.0);
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
            start: Offset(rest.get_i64_le()),
            compacted: Offset(rest.get_i64_le()),
            thinned: Offset(rest.get_i64_le()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back_and_a_damaged_one_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Bounds::read(dir.path()).unwrap(), None);
        let bounds = Bounds {
            start: Offset(7),
            compacted: Offset(1 << 40),
            thinned: Offset(1 << 41),
        };
        bounds.write(dir.path()).unwrap();
        assert_eq!(Bounds::read(dir.path()).unwrap(), Some(bounds));
        for at in 0..BYTES {
            let mut damaged = bounds.encode();
            damaged[at] ^= 1;
            fs::write(dir.path().join(FILE_NAME), damaged).unwrap();
            assert!(Bounds::read(dir.path()).is_err());
        }
    }
}
