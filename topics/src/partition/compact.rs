//! Compacting: reading closed segments, writing what stays of them, and putting the new files in the place of the old.
//!
//! A new segment is written under an unfinished name, synced, and renamed to a name that says which offsets it holds: from that
//! moment it counts, after a crash too, and those that it replaces are removed. Up to where all is compacted is noted last.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use weir_base::Offset;

use super::Partition;
use crate::batch::Left;
use crate::bounds::Bounds;
use crate::compaction::{Candidate, Latest, Pass, groups, is_due};
use crate::index::Index;
use crate::isolation::Hidden;
use crate::scan::{Scan, Scanned};
use crate::segment::{Compacted, Extent, Name, Segment};
use crate::{BatchView, Error, Result, durable, faults};

/// A new segment is synced whenever so much of it was written: a sync of more at once holds up those of appends.
const SYNC_BYTES: usize = 4 << 20;

impl Partition {
    /// Compacts what is closed, old enough and held by nobody, if there is enough of it. Blocks on the disk; it ends early
    /// when the log closes.
    pub(super) fn compact(&self, now_ms: i64) -> Result<()> {
        let settings = &self.0.shared.settings;
        let mut goal = None;
        loop {
            let segments = self.compactable(now_ms)?;
            let candidates: Vec<Candidate> = segments.iter().map(candidate).collect();
            let bounds = self.0.kept.lock().bounds;
            let due = match goal {
                None => is_due(
                    &candidates,
                    bounds.compacted,
                    settings.compaction_dirty_percent,
                ),
                // What a pass left over is the next one's, and what is closed meanwhile is another time's.
                Some(goal) => bounds.compacted < goal && is_due(&candidates, bounds.compacted, 0),
            };
            if !due {
                return Ok(());
            }
            goal = goal.or_else(|| candidates.last().map(|last| last.end));
            let mut latest = Latest::new(settings.compaction_bytes);
            let hidden = Hidden::new(self.aborted(Offset::ZERO, self.last_stable_offset()));
            let noted = self.note_keys(&segments, bounds.compacted, &hidden, &mut latest)?;
            let Some(end) = noted else {
                return Ok(());
            };
            let pass = Pass {
                latest: &latest,
                start: bounds.start,
                end,
                now_ms,
                delete_retention_ms: self.0.config.get().delete_retention_ms,
            };
            let reached = candidates.partition_point(|candidate| candidate.base < end);
            let (Some(candidates), Some(segments)) =
                (candidates.get(..reached), segments.get(..reached))
            else {
                return Ok(());
            };
            self.note_thinned(end)?;
            for group in groups(candidates, self.segment_bytes()) {
                let sources = segments.get(group).unwrap_or_default();
                if !self.compact_group(sources, &pass, &hidden)? {
                    return Ok(());
                }
            }
            let _upkeep = self.0.upkeep.lock();
            self.check_writable()?;
            let bounds = self.0.kept.lock().bounds;
            self.set_bounds(Bounds {
                compacted: end,
                ..bounds
            })?;
        }
    }

    /// Makes durable that records before `end` may go.
    fn note_thinned(&self, end: Offset) -> Result<()> {
        let _upkeep = self.0.upkeep.lock();
        self.check_writable()?;
        let bounds = self.0.kept.lock().bounds;
        if bounds.thinned >= end {
            return Ok(());
        }
        self.set_bounds(Bounds {
            thinned: end,
            ..bounds
        })
    }

    /// The leading segments that are closed, held by nobody, older than the lag, and before every open transaction.
    fn compactable(&self, now_ms: i64) -> Result<Vec<Arc<Segment>>> {
        let lag_ms = self.0.config.get().min_compaction_lag_ms;
        let decided = self.last_stable_offset();
        let free = self.0.kept.lock().free();
        let segments = self.0.segments.read().clone();
        let closed = segments.len().saturating_sub(1);
        let mut compactable = Vec::new();
        for segment in segments.into_iter().take(closed) {
            if segment.end() > decided || free.is_some_and(|free| segment.end() > free) {
                break;
            }
            if lag_ms > 0 {
                let times = segment.times(&self.0.shared.files)?;
                let young =
                    |max_ms: i64| i128::from(now_ms) - i128::from(max_ms) < i128::from(lag_ms);
                if times.is_some_and(|times| young(times.max_ms)) {
                    break;
                }
            }
            compactable.push(segment);
        }
        Ok(compactable)
    }

    /// Notes the keys from `from` on, as many as there is room for; answers up to where, or `None` when a segment has gone
    /// meanwhile.
    fn note_keys(
        &self,
        segments: &[Arc<Segment>],
        from: Offset,
        hidden: &Hidden,
        latest: &mut Latest,
    ) -> Result<Option<Offset>> {
        let mut reached = from;
        for segment in segments.iter().filter(|segment| segment.end() > from) {
            let mut full = false;
            let read = self.each_batch(segment, |batch| {
                full = full || (latest.is_full() && reached > from);
                if !full && batch.end_offset() > from {
                    // What was aborted takes nothing's place.
                    if !hidden.hides(batch.header()) {
                        latest.note(batch);
                    }
                    reached = batch.end_offset();
                }
                Ok(!full)
            })?;
            if !read {
                return Ok(None);
            }
            if full {
                return Ok(Some(reached));
            }
            reached = segment.end();
        }
        Ok(Some(reached))
    }

    /// Writes what stays of neighbouring segments as one, and puts it in their place; `false` when somebody holds them now or
    /// they have gone. Nothing is written when all of one segment stays.
    fn compact_group(
        &self,
        sources: &[Arc<Segment>],
        pass: &Pass<'_>,
        hidden: &Hidden,
    ) -> Result<bool> {
        let (Some(first), Some(last)) = (sources.first(), sources.last()) else {
            return Ok(true);
        };
        if let [only] = sources {
            let mut whole = true;
            let read = self.each_batch(only, |batch| {
                whole = matches!(left_of(batch, pass, hidden)?, Left::Whole);
                Ok(whole)
            })?;
            if !read || whole {
                return Ok(read);
            }
        }
        let generation = sources.iter().map(|source| source.generation).max();
        let name = Name {
            base: first.base,
            compacted: Some(Compacted {
                end: last.end(),
                generation: generation.unwrap_or(0).saturating_add(1),
            }),
        };
        let path = self.0.dir.join(name.to_string());
        let unfinished = path.with_added_extension(durable::UNFINISHED);
        let written = self.write_compacted(sources, pass, hidden, &unfinished, name);
        let swapped = match written {
            Ok(Some(segment)) => self.swap(sources, segment, &unfinished),
            Ok(None) => Ok(false),
            Err(error) => Err(error),
        };
        if !matches!(swapped, Ok(true)) {
            for made in [&unfinished, &path, &path.with_extension("index")] {
                self.discard(made);
            }
        }
        swapped
    }

    /// Writes the new segment's unfinished file and its index, synced; `None` when a source has gone.
    fn write_compacted(
        &self,
        sources: &[Arc<Segment>],
        pass: &Pass<'_>,
        hidden: &Hidden,
        unfinished: &Path,
        name: Name,
    ) -> Result<Option<Segment>> {
        let place = &self.0.place;
        let failed = |error: io::Error| {
            if durable::is_full(&error) {
                self.full()
            } else {
                Error::io("write a compacted segment of", place, error)
            }
        };
        let interval = self.0.shared.settings.index_interval_bytes;
        let mut index = Index::new(name.base);
        let mut out = BufWriter::new(File::create(unfinished).map_err(failed)?);
        let mut unsynced = 0;
        for source in sources {
            let read = self.each_batch(source, |batch| {
                let left = match left_of(batch, pass, hidden)? {
                    Left::Nothing => return Ok(true),
                    Left::Whole => batch.clone(),
                    Left::Part(left) => left,
                };
                index.add(left.indexed()?, interval);
                out.write_all(left.as_bytes()).map_err(failed)?;
                unsynced += left.as_bytes().len();
                if unsynced >= SYNC_BYTES {
                    unsynced = 0;
                    let synced = out.flush().and_then(|()| out.get_ref().sync_data());
                    synced.map_err(failed)?;
                }
                Ok(true)
            })?;
            if !read {
                return Ok(None);
            }
        }
        let (end, known) = match sources.last() {
            Some(last) => (
                last.end(),
                last.load_index()
                    .filter(|(index, _)| index.end == last.end()),
            ),
            None => (name.base, None),
        };
        index.finish(end);
        let file = out
            .into_inner()
            .map_err(|error| failed(error.into_error()))?;
        faults::compacting()
            .and_then(|()| file.sync_all())
            .map_err(failed)?;
        let extent = Extent {
            end,
            bytes: index.bytes,
            growing: None,
        };
        let path = self.0.dir.join(name.to_string());
        let segment = Segment::new(place, self.0.number, path, extent, name, interval);
        let known = known.and_then(|(_, known)| known);
        faults::compacting()
            .and_then(|()| segment.save_index(&index, known.as_ref(), true))
            .map_err(failed)?;
        Ok(Some(segment))
    }

    /// Puts a segment whose file has still its unfinished name in the place of others; `false` when somebody holds them now.
    fn swap(&self, sources: &[Arc<Segment>], segment: Segment, unfinished: &Path) -> Result<bool> {
        let _upkeep = self.0.upkeep.lock();
        self.check_writable()?;
        let Some(range) = self.range_of(sources) else {
            return Ok(false);
        };
        let renamed = faults::compacting()
            .and_then(|()| fs::rename(unfinished, &segment.path))
            .and_then(|()| durable::sync_dir(&self.0.dir))
            .and_then(|()| faults::compacted());
        renamed.map_err(|error| Error::io("compact", segment.place(), error))?;
        {
            // Both under their locks, so that no pin is taken on what is replaced. If one has been, the new file goes; a crash
            // before that ends the pin too.
            let kept = self.0.kept.lock();
            let mut segments = self.0.segments.write();
            if kept.free().is_some_and(|free| segment.end() > free) {
                return Ok(false);
            }
            segments.splice(range, [Arc::new(segment)]);
        }
        self.remove_files(sources);
        Ok(true)
    }

    /// Where neighbouring segments are listed, if all still are. They stay as long as the caller has the upkeep's lock.
    fn range_of(&self, sources: &[Arc<Segment>]) -> Option<Range<usize>> {
        let segments = self.0.segments.read();
        let first = sources.first()?;
        let at = segments
            .iter()
            .position(|other| Arc::ptr_eq(other, first))?;
        let range = at..at + sources.len();
        let mut both = segments.get(range.clone())?.iter().zip(sources);
        both.all(|(one, other)| Arc::ptr_eq(one, other))
            .then_some(range)
    }

    /// Gives each batch of a closed segment to `see`, until that answers `false`; `false` when the segment's file has gone.
    ///
    /// # Errors
    /// [`Error::Closed`] and [`Error::TopicNotFound`] as soon as that is so; [`Error::Corrupt`]; [`Error::Io`].
    fn each_batch(
        &self,
        segment: &Segment,
        mut see: impl FnMut(&BatchView) -> Result<bool>,
    ) -> Result<bool> {
        let bytes = segment.extent.read().bytes;
        // Not by the open files, which are for readers.
        let file = match File::open(&segment.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(Error::io("open", segment.place(), error)),
        };
        let mut scan = Scan::new(&file, bytes, 0, segment.base).with_gaps(segment.has_gaps());
        loop {
            self.check_writable()?;
            let scanned = scan.step();
            match scanned.map_err(|error| Error::io("read", segment.place(), error))? {
                Scanned::Batch(batch) => {
                    if !see(&batch)? {
                        return Ok(true);
                    }
                }
                Scanned::End => return Ok(true),
                Scanned::Broken(reason) => return Err(segment.corrupt(scan.position, reason)),
            }
        }
    }

    /// Removes a file that nothing counts on.
    fn discard(&self, path: &Path) {
        if let Err(error) = fs::remove_file(path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(partition = %self.0.place, %error, "cannot remove an unfinished segment; the next start will");
        }
    }
}

/// What stays of a batch: nothing of an aborted transaction. Markers stay, for who reads on behind them has to know that the
/// transaction is over.
fn left_of(batch: &BatchView, pass: &Pass<'_>, hidden: &Hidden) -> Result<Left> {
    match !batch.header().is_control() && hidden.hides(batch.header()) {
        true => Ok(Left::Nothing),
        false => pass.filter(batch),
    }
}

fn candidate(segment: &Arc<Segment>) -> Candidate {
    let extent = segment.extent.read();
    Candidate {
        base: segment.base,
        end: extent.end,
        bytes: extent.bytes,
    }
}
