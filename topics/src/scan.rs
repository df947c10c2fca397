//! Reading a segment's batches from front to back, to check them or to index them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use weir_base::Offset;

use crate::batch::{BatchHeader, BatchView, HEADER_BYTES, LENGTH_BASE, Malformed};
use crate::index::{Indexed, Times};

const CHUNK_BYTES: u64 = 1 << 20;

/// A walk over the batches of a segment, each of which must follow the one before.
#[derive(Debug)]
pub(crate) struct Scan<'a> {
    file: &'a File,
    file_bytes: u64,
    /// Where the next batch begins.
    pub(crate) position: u64,
    /// The offset that it must have.
    pub(crate) next: Offset,
    gaps: bool,
    chunk: Bytes,
    chunk_at: u64,
}

/// What a walk comes upon.
#[derive(Debug)]
pub(crate) enum Scanned {
    /// A whole batch.
    Batch(BatchView),
    /// The end of the file, right after a batch.
    End,
    /// Bytes that are no batch, or not the one that must follow.
    Broken(Malformed),
}

impl<'a> Scan<'a> {
    /// A walk over the first `file_bytes` bytes of `file` from `position`, where offset `next` is due.
    pub(crate) fn new(file: &'a File, file_bytes: u64, position: u64, next: Offset) -> Self {
        Self {
            file,
            file_bytes,
            position,
            next,
            gaps: false,
            chunk: Bytes::new(),
            chunk_at: position,
        }
    }

    /// Whether offsets may be missing between batches.
    pub(crate) fn with_gaps(self, gaps: bool) -> Self {
        Self { gaps, ..self }
    }

    /// Goes to the next batch. It does not go past what is broken.
    pub(crate) fn step(&mut self) -> io::Result<Scanned> {
        if self.position == self.file_bytes {
            return Ok(Scanned::End);
        }
        let broken = |reason| Ok(Scanned::Broken(reason));
        let front = self.bytes(HEADER_BYTES as u64)?;
        let header = match BatchHeader::parse(&front) {
            Ok(header) => header,
            Err(reason) => return broken(reason),
        };
        let follows =
            header.base_offset == self.next || (self.gaps && header.base_offset > self.next);
        if !follows {
            return broken(Malformed::Sequence {
                expected: self.next,
                found: header.base_offset,
            });
        }
        let size = header.total_bytes() as u64;
        if size > self.file_bytes - self.position {
            return broken(Malformed::CutOff);
        }
        let bytes = self.bytes(size)?;
        if let Err(reason) = header.verify(&bytes) {
            return broken(reason);
        }
        self.position += size;
        self.next = header.end_offset();
        Ok(Scanned::Batch(BatchView::checked(bytes, header)))
    }

    /// Whether a whole batch of later offsets begins anywhere from `from` on: then what is broken here is not the torn end
    /// of the file, for what was written after it is there.
    pub(crate) fn any_whole_batch_from(&mut self, from: u64) -> io::Result<bool> {
        let expected = self.next;
        let mut at = from;
        while at + (HEADER_BYTES as u64) <= self.file_bytes {
            self.position = at;
            let window = self.bytes(CHUNK_BYTES.min(self.file_bytes - at))?;
            let starts = window.len() + 1 - HEADER_BYTES;
            for start in 0..starts {
                let plausible = BatchHeader::parse(&window[start..]).ok().filter(|header| {
                    header.base_offset > expected
                        && header.total_bytes() as u64 <= self.file_bytes - at - start as u64
                });
                if let Some(header) = plausible {
                    self.position = at + start as u64;
                    let batch = self.bytes(header.total_bytes() as u64)?;
                    if header.verify(&batch).is_ok() {
                        return Ok(true);
                    }
                }
            }
            at += starts as u64;
        }
        Ok(false)
    }

    /// So many bytes from the position on, or fewer at the end of the file.
    fn bytes(&mut self, wanted: u64) -> io::Result<Bytes> {
        let wanted = wanted.min(self.file_bytes - self.position);
        let within = self
            .position
            .checked_sub(self.chunk_at)
            .filter(|start| start + wanted <= self.chunk.len() as u64);
        let start = match within {
            Some(start) => start as usize,
            None => {
                let size = wanted.max(CHUNK_BYTES).min(self.file_bytes - self.position);
                let mut chunk = vec![0; size as usize];
                self.file.read_exact_at(&mut chunk, self.position)?;
                (self.chunk, self.chunk_at) = (chunk.into(), self.position);
                0
            }
        };
        Ok(self.chunk.slice(start..start + wanted as usize))
    }
}

impl BatchView {
    /// What an index notes of a batch, which costs a look at each record's timestamp.
    pub(crate) fn indexed(&self) -> crate::Result<Indexed> {
        let (min_ms, max_ms) = self.time_bounds()?;
        Ok(Indexed {
            base: self.base_offset(),
            end: self.end_offset(),
            bytes: self.size_bytes() as u64,
            times: Times { min_ms, max_ms },
            plain: self.header().is_dense(),
        })
    }
}

/// How far a batch's own length says that it reaches, if its front is readable at all.
pub(crate) fn reach(front: &[u8]) -> u64 {
    front
        .get(8..LENGTH_BASE)
        .and_then(|field| field.try_into().ok())
        .map(i32::from_be_bytes)
        .map_or(0, |length| length.max(0) as u64)
}
