//! Batches as they are stored: where they lie, for those who send them on without looking into them.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use weir_base::Offset;

use super::Partition;
use super::read::{Left, Sequence, read_into};
use crate::Result;
use crate::batch::{BatchHeader, HEADER_BYTES, Malformed};
use crate::open_files::OpenFile;
use crate::segment::Segment;

/// Where batches are stored, and where to go on.
#[derive(Debug, Clone)]
pub struct StoredBatches {
    /// Whole batches in order, back to back.
    pub stretches: Vec<StoredStretch>,
    /// As [`crate::Batches::next`].
    pub next: Offset,
}

/// A stretch of a segment's file. Who holds one can read it, also when its segment has been removed since.
#[derive(Debug, Clone)]
pub struct StoredStretch {
    open: Arc<OpenFile>,
    range: Range<u64>,
}

impl StoredStretch {
    /// Its file, and its bytes there.
    pub fn place(&self) -> (&File, Range<u64>) {
        (&self.open.file, self.range.clone())
    }

    /// How long it is.
    pub fn size_bytes(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Its bytes. Blocks on the disk.
    ///
    /// # Errors
    /// As the file system gives them.
    pub fn read(&self) -> io::Result<Bytes> {
        let mut bytes = vec![0; self.size_bytes() as usize];
        self.open.file.read_exact_at(&mut bytes, self.range.start)?;
        Ok(bytes.into())
    }
}

impl Partition {
    /// Finds batches as [`Partition::read`] does, committed or not and markers too. Little more is read than the index: what
    /// the batches hold, and their checksums, are for the reader to check, as Kafka's consumers do. Who wants only what is
    /// committed asks up to [`Partition::last_stable_offset`] and drops the batches of [`Partition::aborted`] transactions.
    ///
    /// # Errors
    /// As [`Partition::read`].
    pub fn stored(&self, from: Offset, to: Offset, bytes_max: usize) -> Result<StoredBatches> {
        let mut stretches = Vec::new();
        let next = self.go_through(from, to, bytes_max, |segment, next, to, left| {
            stretches.extend(self.stored_in(segment, next, to, left)?);
            Ok(())
        })?;
        Ok(StoredBatches { stretches, next })
    }

    /// The stretch of a segment that holds offsets of `[next, to)`, if one does; moves `next` behind it.
    fn stored_in(
        &self,
        segment: &Segment,
        next: &mut Offset,
        to: Offset,
        left: &mut Left,
    ) -> Result<Option<StoredStretch>> {
        let files = &self.0.shared.files;
        let from = *next;
        let (mut position, past) = segment.with_index(files, |index| {
            (index.position_of(from), index.position_past(to))
        })?;
        let to = to.min(segment.end());
        let open = segment.open(files)?;
        let mut sequence = Sequence::new(segment, from);
        let mut start = None;
        let mut header = [0; HEADER_BYTES];
        let mut is_full = false;
        while position < past {
            read_into(segment, &open.file, position, &mut header)?;
            let header = BatchHeader::parse(&header);
            let header = header.map_err(|reason| segment.corrupt(position, reason))?;
            sequence.check(&header, position)?;
            if header.base_offset >= to {
                break;
            }
            let size = header.total_bytes() as u64;
            if size > past - position {
                return Err(segment.corrupt(position, Malformed::CutOff));
            }
            if header.end_offset() <= from {
                position += size;
                continue;
            }
            is_full = left.is_full(size);
            if is_full {
                break;
            }
            left.take(size);
            position += size;
            *next = header.end_offset();
            if start.is_none() {
                start = Some(position - size);
                // The index leads over most of what fits; the last few batches are looked at.
                let ahead = segment.with_index(files, |index| {
                    index.furthest(position.saturating_add(left.bytes), to)
                })?;
                if let Some((ahead, offset)) = ahead.filter(|(ahead, _)| *ahead > position) {
                    left.take(ahead - position);
                    position = ahead;
                    *next = offset;
                    sequence.follows = Some(offset);
                }
            }
        }
        let range = start.map(|start| start..position);
        if !is_full {
            sequence.end(next, to, position)?;
        }
        Ok(range.map(|range| StoredStretch { open, range }))
    }
}
