//! Cutting a partition off at the front: first the start moves, durably; then files go that nobody holds.

use std::sync::Arc;

use weir_base::Offset;

use super::Partition;
use crate::bounds::Bounds;
use crate::segment::Segment;
use crate::{Error, Result, faults};

impl Partition {
    /// Deletes the records before `offset`, also those of open transactions, which becomes the start offset if it is after the one of now; answers the start
    /// offset. It is durable on return. Whole segments before it go at once, unless a [`super::Pin`] holds them; what lies in
    /// a segment with later records goes with that segment. Blocks on the disk.
    ///
    /// # Errors
    /// [`Error::OffsetOutOfRange`] when `offset` is past the stable offset; [`Error::TopicNotFound`], [`Error::Closed`],
    /// [`Error::Stopped`]; [`Error::Io`] when the start cannot be noted, and nothing is deleted.
    pub fn delete_before(&self, offset: Offset) -> Result<Offset> {
        let upkeep = self.0.upkeep.lock();
        self.check_writable()?;
        if offset > self.stable_offset() || offset < Offset::ZERO {
            return Err(self.out_of_range(offset));
        }
        self.move_start(offset)?;
        drop(upkeep);
        self.remove_doomed();
        Ok(self.start_offset())
    }

    /// Removes the segments that nobody can read any more. Those whose removal fails go with the next start.
    pub(crate) fn remove_doomed(&self) {
        let _upkeep = self.0.upkeep.lock();
        let from = self.kept_from();
        let (doomed, segments) = {
            let segments = self.0.segments.read();
            (doomed(&segments, from), segments.len())
        };
        if doomed == 0 {
            return;
        }
        // What is remembered of writers is told by the index of a closed segment, and these may be the last ones.
        if doomed + 1 == segments
            && let Err(error) = self.save_remembered()
        {
            tracing::warn!(partition = %self.0.place, %error, "segments that are not needed stay: cannot save an index");
            return;
        }
        let removed: Vec<Arc<Segment>> = {
            // Under this lock, so that no pin is taken on what goes. The last segment stays: it says where offsets go on.
            let kept = self.0.kept.lock();
            let mut segments = self.0.segments.write();
            let doomed = self::doomed(&segments, kept.from());
            let removed = segments.drain(..doomed).collect();
            let mut queue = self.0.queue.lock();
            queue.remembered.isolation.prune(kept.from());
            removed
        };
        self.remove_files(&removed);
    }

    /// Waits for a change of files that is under way. The log is closing: none begins.
    pub(crate) fn finish_upkeep(&self) {
        drop(self.0.upkeep.lock());
    }

    /// Removes the files of segments that are no longer listed.
    pub(super) fn remove_files(&self, segments: &[Arc<Segment>]) {
        for segment in segments {
            let removed = faults::remove().and_then(|()| segment.remove(&self.0.shared.files));
            if let Err(error) = removed {
                tracing::warn!(segment = %segment.place(), %error, "cannot remove a segment's files; the next start will");
            }
        }
    }

    /// Moves the start to `offset` if that is further on; durable on return. The caller keeps others from it.
    pub(super) fn move_start(&self, offset: Offset) -> Result<()> {
        let bounds = self.0.kept.lock().bounds;
        if offset <= bounds.start {
            return Ok(());
        }
        // A start is taken to say that all before it was on disk.
        self.flush()?;
        self.set_bounds(Bounds {
            start: offset,
            ..bounds
        })?;
        self.undecided_from(offset);
        Ok(())
    }

    /// Notes the bounds, durable on return. The caller keeps others from it.
    pub(super) fn set_bounds(&self, bounds: Bounds) -> Result<()> {
        faults::bounds()
            .and_then(|()| bounds.write(&self.0.dir))
            .map_err(|error| Error::io("note the bounds of", &self.0.place, error))?;
        self.0.kept.lock().bounds = bounds;
        Ok(())
    }

    /// Refuses when nothing may be changed any more.
    pub(super) fn check_writable(&self) -> Result<()> {
        self.check_exists()?;
        self.0.shared.check_open()?;
        self.0.shared.check_running()
    }

    pub(super) fn out_of_range(&self, from: Offset) -> Error {
        Error::OffsetOutOfRange {
            topic: self.0.place.topic.clone(),
            partition: self.0.place.partition,
            from,
            start: self.start_offset(),
            end: self.stable_offset(),
        }
    }
}

/// How many segments end at or before `from`, the last one apart.
fn doomed(segments: &[Arc<Segment>], from: Offset) -> usize {
    let closed = segments.len().saturating_sub(1);
    let closed = segments.get(..closed).unwrap_or_default();
    closed.partition_point(|segment| segment.end() <= from)
}
