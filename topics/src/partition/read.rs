//! Reading: whole batches from the files, never past the stable offset.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use weir_base::Offset;

use super::Partition;
use crate::batch::{BatchHeader, HEADER_BYTES, Malformed};
use crate::index::{Stretch, Times};
use crate::isolation::Hidden;
use crate::segment::Segment;
use crate::{BatchView, Error, Result};

/// The least that is read at once: an index entry leads to at most this much before what is wanted.
const READ_BYTES_MIN: u64 = 64 << 10;

/// What is known of a segment without reading it, for pruning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentInfo {
    /// The first offset.
    pub base_offset: Offset,
    /// The exclusive end of its stable offsets.
    pub end_offset: Offset,
    /// Its size, in bytes.
    pub bytes: u64,
    /// No timestamp in it is smaller; milliseconds since the epoch. The largest number when it has no record.
    pub min_timestamp_ms: i64,
    /// No timestamp in it is larger; milliseconds since the epoch. The smallest number when it has no record.
    pub max_timestamp_ms: i64,
}

/// Batches that were read, and where to go on.
#[derive(Debug, Clone)]
pub struct Batches {
    /// Whole batches in order. Between them offsets may be missing: their records were compacted away.
    pub batches: Vec<BatchView>,
    /// Where the next read goes on; it is past what was asked for from, unless nothing stable is there.
    pub next: Offset,
}

impl Partition {
    /// Reads whole batches that hold offsets of `[from, to)`, as many as `bytes_max` allows, and at least one if there is one.
    /// The first and the last may hold offsets outside of it. `next` is where to go on: there may be no batch and still a step,
    /// where all records were compacted away. Only when nothing stable is there, `next` is `from`. Blocks on the disk; checksums
    /// are checked.
    ///
    /// It gives what is committed: nothing at or past [`Partition::last_stable_offset`], which `next` does not pass either, and no
    /// markers and no batches of aborted transactions, over which `next` goes on.
    ///
    /// From before [`Partition::start_offset`] it reads what a [`super::Pin`] holds.
    ///
    /// # Errors
    /// [`Error::OffsetOutOfRange`] when `from` is not kept any more; [`Error::Corrupt`] names segment and byte;
    /// [`Error::TopicNotFound`] when the topic was deleted; [`Error::Io`].
    pub fn read(&self, from: Offset, to: Offset, bytes_max: usize) -> Result<Batches> {
        let to = to.min(self.last_stable_offset());
        let hidden = match from < to {
            true => Hidden::new(self.aborted(from, to)),
            false => Hidden::default(),
        };
        let mut batches = Vec::new();
        let next = self.read_each(from, to, bytes_max, |segment, found| {
            // Also what is hidden, for a damaged header might hide it.
            let batch = found.check(segment)?;
            if !hidden.hides(batch.header()) {
                batches.push(batch);
            }
            Ok(())
        })?;
        Ok(Batches { batches, next })
    }

    /// Gives each batch of [`Partition::read`] to `give`; answers where to go on.
    fn read_each(
        &self,
        from: Offset,
        to: Offset,
        bytes_max: usize,
        mut give: impl FnMut(&Segment, Found<'_>) -> Result<()>,
    ) -> Result<Offset> {
        self.go_through(from, to, bytes_max, |segment, next, to, left| {
            self.read_segment(segment, next, to, left, &mut give)
        })
    }

    /// Has `step` go through the segments that hold offsets of `[from, to)` that are stable, until there is no room left. It
    /// moves the offset where to go on, which is answered.
    pub(super) fn go_through(
        &self,
        from: Offset,
        to: Offset,
        bytes_max: usize,
        mut step: impl FnMut(&Segment, &mut Offset, Offset, &mut Left) -> Result<()>,
    ) -> Result<Offset> {
        self.check_exists()?;
        let to = to.min(self.stable_offset());
        let mut next = from;
        let mut left = Left {
            bytes: bytes_max as u64,
            any: false,
        };
        while next < to && (left.bytes > 0 || !left.any) {
            if next < self.kept_from() {
                return Err(self.out_of_range(next));
            }
            let Some(segment) = self.segment_of(next) else {
                return Err(Error::Internal(format!(
                    "{} has no offset {next}",
                    self.0.place
                )));
            };
            if let Err(error) = step(&segment, &mut next, to, &mut left) {
                // A file that cannot be opened may have been deleted with its topic a moment ago, or been removed or replaced
                // since it was looked up.
                self.check_exists()?;
                if self
                    .segment_of(next)
                    .is_some_and(|now| Arc::ptr_eq(&now, &segment))
                {
                    return Err(error);
                }
            }
        }
        Ok(next)
    }

    /// How many records there are of `[from, to)` that are stable, if that is known without reading them.
    pub fn records_between(&self, from: Offset, to: Offset) -> Option<u64> {
        // So that no segment goes while it is looked at.
        let _pin = self.pin();
        let (from, to) = (from.max(self.kept_from()), to.min(self.stable_offset()));
        for segment in self.segments_of(from, to) {
            // A segment whose index cannot be had is read, and the read says why.
            let dense = segment.with_index(&self.0.shared.files, |index| index.dense);
            if !dense.unwrap_or(false) {
                return None;
            }
        }
        Some(u64::try_from(to.0.saturating_sub(from.0)).unwrap_or(0))
    }

    /// Cuts `[from, to)` into ranges of about `bytes_target` bytes that begin where batches begin, for reading in parallel.
    pub fn ranges(&self, from: Offset, to: Offset, bytes_target: u64) -> Vec<Range<Offset>> {
        let _pin = self.pin();
        let to = to.min(self.stable_offset());
        let mut ranges = Vec::new();
        let (mut start, mut bytes) = (from, 0);
        for segment in self.segments_of(from, to) {
            for stretch in self.stretches(&segment, from, to) {
                bytes += stretch.bytes;
                if bytes >= bytes_target && stretch.end < to {
                    ranges.push(start..stretch.end);
                    (start, bytes) = (stretch.end, 0);
                }
            }
        }
        if start < to {
            ranges.push(start..to);
        }
        ranges
    }

    /// The parts of `[from, to)` outside of which no record has a timestamp of `min_ms` to `max_ms`, both included.
    pub fn ranges_in_time(
        &self,
        from: Offset,
        to: Offset,
        min_ms: i64,
        max_ms: i64,
    ) -> Vec<Range<Offset>> {
        let _pin = self.pin();
        let to = to.min(self.stable_offset());
        let wanted = Times { min_ms, max_ms };
        let mut ranges: Vec<Range<Offset>> = Vec::new();
        let kept_from = self.kept_from();
        if from < kept_from.min(to) {
            // Nothing is known of what is not kept: who reads it is told so.
            ranges.push(from..kept_from.min(to));
        }
        for segment in self.segments_of(from, to) {
            // A segment whose times cannot be told is read, and the read says why.
            let times = segment.times(&self.0.shared.files).ok().flatten();
            if times.is_some_and(|times| !times.overlap(wanted)) {
                continue;
            }
            for stretch in self.stretches(&segment, from, to) {
                if !stretch.times.overlap(wanted) {
                    continue;
                }
                let (start, end) = (stretch.base.max(from), stretch.end.min(to));
                match ranges.last_mut() {
                    Some(last) if last.end == start => last.end = end,
                    _ => ranges.push(start..end),
                }
            }
        }
        ranges
    }

    /// The first offset from the start on whose record has a timestamp of `timestamp_ms` or later; the stable offset when there is none.
    ///
    /// # Errors
    /// As [`Partition::read`].
    pub fn offset_for_time(&self, timestamp_ms: i64) -> Result<Offset> {
        let found = self.record_for_time(timestamp_ms)?;
        Ok(found.map_or_else(|| self.stable_offset(), |(offset, _)| offset))
    }

    /// The first record that has a timestamp of `timestamp_ms` or later, in milliseconds since the epoch: its offset and its
    /// timestamp.
    ///
    /// # Errors
    /// As [`Partition::read`].
    pub fn record_for_time(&self, timestamp_ms: i64) -> Result<Option<(Offset, i64)>> {
        self.check_exists()?;
        let wanted = Times {
            min_ms: timestamp_ms,
            max_ms: i64::MAX,
        };
        let pin = self.pin();
        let stable = self.stable_offset();
        for segment in self.segments_of(pin.start(), stable) {
            let files = &self.0.shared.files;
            if !segment.times(files)?.is_some_and(|t| t.overlap(wanted)) {
                continue;
            }
            let stretch = segment.with_index(files, |index| {
                let mut all = index.stretches(segment.base.max(pin.start()), index.end);
                all.find(|stretch| stretch.times.overlap(wanted))
            })?;
            let Some(stretch) = stretch else { continue };
            let found = self.first_in_time(stretch.base.max(pin.start()), timestamp_ms)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The first record from `from` on that has a timestamp of `timestamp_ms` or later, by reading.
    fn first_in_time(&self, from: Offset, timestamp_ms: i64) -> Result<Option<(Offset, i64)>> {
        let stable = self.stable_offset();
        let mut next = from;
        while next < stable {
            let mut batches = Vec::new();
            let read_to =
                self.read_each(next, stable, READ_BYTES_MIN as usize, |segment, found| {
                    batches.push(found.check(segment)?);
                    Ok(())
                })?;
            for batch in batches {
                if batch.max_timestamp_ms() < timestamp_ms || batch.header().is_control() {
                    continue;
                }
                let batch = batch.decompressed()?;
                for record in batch.records() {
                    let record = record?;
                    if record.timestamp_ms >= timestamp_ms && record.offset >= from {
                        return Ok(Some((record.offset, record.timestamp_ms)));
                    }
                }
            }
            next = read_to;
        }
        Ok(None)
    }

    /// How many segments there are; the last one grows.
    pub fn segment_count(&self) -> usize {
        self.0.segments.read().len()
    }

    /// All segments, in order of offset. The first may begin before the start offset.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        let _pin = self.pin();
        let segments = self.0.segments.read().clone();
        segments
            .iter()
            .map(|segment| {
                let times = segment.times(&self.0.shared.files);
                let times = times.unwrap_or_else(|error| {
                    // It is read then, and the read says why it cannot be.
                    tracing::warn!(segment = %segment.place(), %error, "cannot tell a segment's times");
                    Some(Times {
                        min_ms: i64::MIN,
                        max_ms: i64::MAX,
                    })
                });
                let extent = segment.extent.read();
                SegmentInfo {
                    base_offset: segment.base,
                    end_offset: extent.end,
                    bytes: extent.bytes,
                    min_timestamp_ms: times.map_or(i64::MAX, |times| times.min_ms),
                    max_timestamp_ms: times.map_or(i64::MIN, |times| times.max_ms),
                }
            })
            .collect()
    }

    /// The segment that holds `offset`, if one does.
    fn segment_of(&self, offset: Offset) -> Option<Arc<Segment>> {
        let segments = self.0.segments.read();
        let after = segments.partition_point(|segment| segment.base <= offset);
        segments.get(after.checked_sub(1)?).cloned()
    }

    /// The segments that hold offsets of `[from, to)`.
    fn segments_of(&self, from: Offset, to: Offset) -> Vec<Arc<Segment>> {
        if from >= to {
            return Vec::new();
        }
        let segments = self.0.segments.read();
        let first = segments.partition_point(|segment| segment.base <= from);
        let after = segments.partition_point(|segment| segment.base < to);
        segments
            .get(first.saturating_sub(1)..after)
            .unwrap_or_default()
            .to_vec()
    }

    /// The stretches of a segment within `[from, to)`; the whole of it as one when its index cannot be had.
    fn stretches(&self, segment: &Segment, from: Offset, to: Offset) -> Vec<Stretch> {
        let stretches = segment.with_index(&self.0.shared.files, |index| {
            index.stretches(from, to).collect()
        });
        stretches.unwrap_or_else(|error| {
            tracing::warn!(segment = %segment.place(), %error, "cannot use a segment's index");
            let extent = segment.extent.read();
            vec![Stretch {
                base: segment.base,
                end: extent.end,
                bytes: extent.bytes,
                times: Times {
                    min_ms: i64::MIN,
                    max_ms: i64::MAX,
                },
            }]
        })
    }

    /// Gives the batches of a segment that hold offsets of `[next, to)`, and moves `next` behind what was given or passed over.
    fn read_segment(
        &self,
        segment: &Segment,
        next: &mut Offset,
        to: Offset,
        left: &mut Left,
        give: &mut impl FnMut(&Segment, Found<'_>) -> Result<()>,
    ) -> Result<()> {
        let files = &self.0.shared.files;
        let from = *next;
        let (mut position, past) = segment.with_index(files, |index| {
            (index.position_of(from), index.position_past(to))
        })?;
        let to = to.min(segment.end());
        let open = segment.open(files)?;
        let (mut chunk, mut at) = (Bytes::new(), 0);
        let mut sequence = Sequence::new(segment, from);
        while position < past {
            if chunk.len() - at < HEADER_BYTES {
                let size = left.bytes.max(READ_BYTES_MIN).min(past - position);
                (chunk, at) = (read_chunk(segment, &open.file, position, size)?, 0);
            }
            let header = BatchHeader::parse(chunk.get(at..).unwrap_or_default());
            let header = header.map_err(|reason| segment.corrupt(position, reason))?;
            sequence.check(&header, position)?;
            if header.base_offset >= to {
                break;
            }
            let size = header.total_bytes() as u64;
            if size > past - position {
                return Err(segment.corrupt(position, Malformed::CutOff));
            }
            let wanted = header.end_offset() > from;
            if wanted && left.is_full(size) {
                return Ok(());
            }
            if size > (chunk.len() - at) as u64 {
                if !wanted {
                    position += size;
                    (chunk, at) = (Bytes::new(), 0);
                    continue;
                }
                let size = size.max(left.bytes.min(past - position));
                (chunk, at) = (read_chunk(segment, &open.file, position, size)?, 0);
            }
            let end = at + size as usize;
            if wanted {
                let found = Found {
                    chunk: &chunk,
                    range: at..end,
                    header,
                    position,
                };
                give(segment, found)?;
                left.take(size);
                *next = header.end_offset();
            }
            at = end;
            position += size;
        }
        sequence.end(next, to, position)
    }
}

/// The order in which batches must come in a segment.
pub(super) struct Sequence<'a> {
    segment: &'a Segment,
    from: Offset,
    /// What must come next; before the first batch, only that it is not past `from`.
    pub(super) follows: Option<Offset>,
}

impl<'a> Sequence<'a> {
    pub(super) fn new(segment: &'a Segment, from: Offset) -> Self {
        Self {
            segment,
            from,
            follows: None,
        }
    }

    /// Whether the batch at `position` may be there.
    pub(super) fn check(&mut self, header: &BatchHeader, position: u64) -> Result<()> {
        let (segment, base) = (self.segment, header.base_offset);
        let in_place = match self.follows {
            Some(follows) if segment.has_gaps() => base >= follows,
            Some(follows) => base == follows,
            None => base >= segment.base && (base <= self.from || segment.has_gaps()),
        };
        if !in_place {
            let reason = Malformed::Sequence {
                expected: self.follows.unwrap_or(self.from),
                found: base,
            };
            return Err(segment.corrupt(position, reason));
        }
        self.follows = Some(header.end_offset());
        Ok(())
    }

    /// Moves `next` to the end of what was wanted, which only compaction may have taken.
    pub(super) fn end(&self, next: &mut Offset, to: Offset, position: u64) -> Result<()> {
        if *next < to && !self.segment.has_gaps() {
            return Err(self.segment.corrupt(position, Malformed::CutOff));
        }
        *next = to.max(*next);
        Ok(())
    }
}

/// A batch that was come upon.
struct Found<'a> {
    /// What was read at once, and where in it the batch is.
    chunk: &'a Bytes,
    range: Range<usize>,
    header: BatchHeader,
    /// Where in the segment.
    position: u64,
}

impl Found<'_> {
    /// The batch, if its checksum is right.
    fn check(self, segment: &Segment) -> Result<BatchView> {
        let bytes = self.chunk.slice(self.range);
        let checked = self.header.verify(&bytes);
        checked.map_err(|reason| segment.corrupt(self.position, reason))?;
        Ok(BatchView::checked(bytes, self.header))
    }
}

/// How much more may be read.
pub(super) struct Left {
    pub(super) bytes: u64,
    /// Whether anything was.
    pub(super) any: bool,
}

impl Left {
    /// Whether a batch of this size is one too many; then there is no room left.
    pub(super) fn is_full(&mut self, size: u64) -> bool {
        let full = self.any && size > self.bytes;
        if full {
            self.bytes = 0;
        }
        full
    }

    pub(super) fn take(&mut self, size: u64) {
        self.bytes = self.bytes.saturating_sub(size);
        self.any = true;
    }
}

fn read_chunk(segment: &Segment, file: &File, position: u64, size: u64) -> Result<Bytes> {
    let mut chunk = vec![0; size as usize];
    read_into(segment, file, position, &mut chunk)?;
    Ok(chunk.into())
}

pub(super) fn read_into(
    segment: &Segment,
    file: &File,
    position: u64,
    bytes: &mut [u8],
) -> Result<()> {
    file.read_exact_at(bytes, position)
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => segment.corrupt(position, Malformed::CutOff),
            _ => Error::io("read", segment.place(), error),
        })
}
