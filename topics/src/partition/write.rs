//! Writing: one group of batches, one sync, one step of the stable offset.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::Partition;
use super::append::Pending;
use crate::index::{Index, Indexed, Times};
use crate::mark::{self, Mark};
use crate::segment::{Extent, Name, Segment};
use crate::{Error, Result, durable, faults};

/// Batches below this size are gathered, so that many small ones cost one system call.
const GATHERED_BYTES_MAX: usize = 64 << 10;

/// What only the thread that writes needs.
#[derive(Debug)]
pub(super) struct Writer {
    /// Written since the last segment's index was saved, in bytes.
    since_saved: u64,
    /// Whether that index is older than the segment.
    dirty: bool,
    gathered: Vec<u8>,
    /// Said once, not at each group.
    mark_failed: bool,
    /// The mark of what was acknowledged and is still to be synced, all of it in the last segment.
    unsynced: Option<Mark>,
    /// When the last segment got its first batch, as far as this process knows.
    begun_ms: i64,
}

/// Why a group is not on disk.
enum Failed {
    /// Nothing of it is there, and what was there before is as it was: a later try may succeed.
    Refused(Error),
    /// Nobody knows what is on disk.
    Unknown(String),
}

impl Writer {
    pub(super) fn new(dirty: bool, begun_ms: i64) -> Self {
        Self {
            since_saved: 0,
            dirty,
            gathered: Vec::new(),
            mark_failed: false,
            unsynced: None,
            begun_ms,
        }
    }
}

impl Partition {
    /// Writes the next group, syncs it, and acknowledges it; says whether more has come meanwhile.
    pub(crate) fn write_group(&self) -> bool {
        let mut writer = self.0.writer.lock();
        if let Err(error) = self.check_exists().and(self.0.shared.check_running()) {
            self.fail_waiting(&error);
            return false;
        }
        if let Err(failed) = self.write_next(&mut writer) {
            let error = match failed {
                Failed::Refused(error) => error,
                Failed::Unknown(reason) => self.0.shared.stop(reason),
            };
            self.fail_waiting(&error);
            return false;
        }
        let mut queue = self.0.queue.lock();
        queue.scheduled = !queue.pending.is_empty();
        queue.scheduled
    }

    /// Saves the last segment's index if it has grown, so that the next start need not scan.
    pub(crate) fn save(&self) -> io::Result<()> {
        // What is being removed is removed first: the folder is about to be another process's.
        let _upkeep = self.0.upkeep.lock();
        let mut writer = self.0.writer.lock();
        if self.check_exists().is_ok() {
            self.sync_written(&mut writer)?;
        }
        let last = self.0.segments.read().last().cloned();
        match last {
            Some(last) if writer.dirty && self.check_exists().is_ok() => {
                self.save_index(&mut writer, &last, false)
            }
            _ => Ok(()),
        }
    }

    /// Puts on disk what was acknowledged before it was there.
    ///
    /// # Errors
    /// [`Error::Stopped`] when that fails: nobody knows what is on disk then.
    pub(crate) fn flush(&self) -> Result<()> {
        let mut writer = self.0.writer.lock();
        self.check_exists()?;
        self.0.shared.check_running()?;
        self.sync_written(&mut writer).map_err(|error| {
            let reason = format!("cannot sync {}: {error}", self.0.place);
            self.0.shared.stop(reason)
        })
    }

    /// Closes the last segment, if it has any record, and if it `is_due` by the time when it got its first.
    pub(super) fn roll_if(&self, is_due: impl FnOnce(i64) -> bool) -> Result<()> {
        let mut writer = self.0.writer.lock();
        self.check_exists()?;
        self.0.shared.check_running()?;
        let last = self.0.segments.read().last().cloned();
        let Some(last) = last.filter(|last| last.extent.read().bytes > 0) else {
            return Ok(());
        };
        if !is_due(writer.begun_ms) {
            return Ok(());
        }
        match self.roll(&mut writer, &last) {
            Ok(_) => Ok(()),
            Err(Failed::Refused(error)) => Err(error),
            Err(Failed::Unknown(reason)) => {
                let error = self.0.shared.stop(reason);
                self.fail_waiting(&error);
                Err(error)
            }
        }
    }

    /// How large a segment becomes, in bytes.
    pub(super) fn segment_bytes(&self) -> u64 {
        let own = self.0.config.get().segment_bytes;
        own.unwrap_or(self.0.shared.settings.segment_bytes_max)
    }

    fn sync_written(&self, writer: &mut Writer) -> io::Result<()> {
        let Some(mark) = writer.unsynced else {
            return Ok(());
        };
        let last = self.0.segments.read().last().cloned();
        if let Some(last) = last {
            let open = last.open(&self.0.shared.files).map_err(io::Error::other)?;
            sync(&open.file)?;
        }
        writer.unsynced = None;
        self.note_mark(writer, mark);
        Ok(())
    }

    fn write_next(&self, writer: &mut Writer) -> std::result::Result<(), Failed> {
        let mut segment = self.growing_segment()?;
        let mut position = segment.extent.read().bytes;
        let mut group = self.take_group(position);
        let config = self.0.config.get();
        if group.is_empty() {
            if self.0.queue.lock().pending.is_empty() {
                return Ok(());
            }
            segment = self.roll(writer, &segment)?;
            position = 0;
            group = self.take_group(position);
        }
        let open = segment
            .open(&self.0.shared.files)
            .map_err(Failed::Refused)?;
        if let Err(error) = write_batches(&open.file, position, &group, &mut writer.gathered) {
            return Err(self.take_back(&open.file, position, &segment, error));
        }
        if config.flush_ms.is_none() {
            sync(&open.file).map_err(|error| unknown("sync", &segment, &error))?;
        }
        if position == 0 {
            writer.begun_ms = self.0.shared.clock.now_ms();
        }

        let bytes = self.extend(&segment, &group);
        let Some(end) = group.last().map(Pending::end) else {
            return Ok(());
        };
        let mark = Mark {
            segment: segment.base,
            position: position + bytes,
            end,
        };
        match config.flush_ms {
            None => {
                writer.unsynced = None;
                self.note_mark(writer, mark);
            }
            Some(flush_ms) => {
                // The mark would say of rows that are lost in a power cut that they must be there.
                if writer.unsynced.replace(mark).is_none() {
                    self.0.shared.upkeep.flush_within(flush_ms, self);
                }
            }
        }
        self.acknowledge(end, bytes);
        writer.dirty = true;
        writer.since_saved += bytes;
        if writer.since_saved < self.0.shared.settings.checkpoint_bytes {
            return Ok(());
        }
        self.sync_written(writer)
            .map_err(|error| unknown("sync", &segment, &error))?;
        if let Err(error) = self.save_index(writer, &segment, false) {
            // Only a start after a crash takes longer for it.
            tracing::warn!(segment = %segment.place(), %error, "cannot save a segment's index");
        }
        Ok(())
    }

    /// The segment to write to, which the first append makes.
    fn growing_segment(&self) -> std::result::Result<Arc<Segment>, Failed> {
        if let Some(last) = self.0.segments.read().last() {
            return Ok(Arc::clone(last));
        }
        self.begin_segment()
    }

    /// Closes a full segment, and begins the next one.
    fn roll(
        &self,
        writer: &mut Writer,
        full: &Segment,
    ) -> std::result::Result<Arc<Segment>, Failed> {
        faults::roll().map_err(|error| self.not_made(error))?;
        // A closed segment is whole, whatever happens.
        self.sync_written(writer)
            .map_err(|error| unknown("sync", full, &error))?;
        if let Err(error) = self.save_index(writer, full, true) {
            // It is made again when somebody needs it.
            tracing::warn!(segment = %full.place(), %error, "cannot save a segment's index");
        }
        let next = self.begin_segment()?;
        full.extent.write().growing = None;
        Ok(next)
    }

    fn begin_segment(&self) -> std::result::Result<Arc<Segment>, Failed> {
        let base = self.stable_offset();
        let name = Name::plain(base);
        let path = self.0.dir.join(name.to_string());
        // An attempt that failed may have left an empty one.
        let made = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path);
        made.map_err(|error| self.not_made(error))?;
        durable::sync_dir(&self.0.dir).map_err(|error| {
            Failed::Unknown(format!(
                "cannot sync the folder of {}: {error}",
                self.0.place
            ))
        })?;
        let extent = Extent {
            end: base,
            bytes: 0,
            growing: Some(Index::new(base)),
        };
        let interval = self.0.shared.settings.index_interval_bytes;
        let segment = Segment::new(&self.0.place, self.0.number, path, extent, name, interval);
        let segment = Arc::new(segment);
        self.0.segments.write().push(Arc::clone(&segment));
        Ok(segment)
    }

    /// Takes batches off the line that are written and synced together: as many as fit, and at least one if it fits into the
    /// segment.
    fn take_group(&self, position: u64) -> Vec<Pending> {
        let settings = &self.0.shared.settings;
        let segment_bytes = self.segment_bytes();
        let mut group = Vec::new();
        let mut bytes = 0;
        let mut queue = self.0.queue.lock();
        while let Some(next) = queue.pending.front() {
            let size = next.batch.size_bytes() as u64;
            let end = position + bytes;
            let rolls = end > 0 && end + size > segment_bytes;
            let enough = bytes > 0 && bytes + size > settings.group_bytes_max as u64;
            if rolls || enough {
                break;
            }
            bytes += size;
            group.extend(queue.pending.pop_front());
        }
        group
    }

    /// Lets readers see the group in the segment; answers its size in bytes.
    fn extend(&self, segment: &Segment, group: &[Pending]) -> u64 {
        let interval = self.0.shared.settings.index_interval_bytes;
        let mut extent = segment.extent.write();
        let mut sum = 0;
        for pending in group {
            let bytes = pending.batch.size_bytes() as u64;
            let indexed = Indexed {
                base: pending.base,
                end: pending.end(),
                bytes,
                times: Times {
                    min_ms: pending.batch.min_timestamp_ms(),
                    max_ms: pending.batch.max_timestamp_ms(),
                },
                plain: pending.batch.is_dense(),
            };
            if let Some(index) = &mut extent.growing {
                index.add(indexed, interval);
            }
            extent.end = indexed.end;
            extent.bytes += bytes;
            sum += bytes;
        }
        sum
    }

    /// After a failed write: makes the segment what it was before, if the disk was merely full.
    fn take_back(&self, file: &File, position: u64, segment: &Segment, error: io::Error) -> Failed {
        if !durable::is_full(&error) {
            return unknown("write", segment, &error);
        }
        // Synced, for what was refused must not come back after a power cut.
        match file.set_len(position).and_then(|()| file.sync_data()) {
            Ok(()) => {
                tracing::warn!(segment = %segment.place(), %error, "refused a write: the disk is full");
                Failed::Refused(self.full())
            }
            Err(error) => unknown("truncate", segment, &error),
        }
    }

    fn note_mark(&self, writer: &mut Writer, mark: Mark) {
        let path = self.0.dir.join(mark::FILE_NAME);
        let files = &self.0.shared.files;
        let open = files.get(self.mark_key(), &path).or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                return Err(error);
            }
            File::create_new(&path)?;
            files.get(self.mark_key(), &path)
        });
        if let Err(error) = open.and_then(|open| mark.write(&open.file))
            && !writer.mark_failed
        {
            // An old mark is a right one: it only tells less.
            tracing::warn!(partition = %self.0.place, %error, "cannot note the stable offset");
            writer.mark_failed = true;
        }
    }

    /// Saves the growing segment's index on disk, so that what is remembered outlives the segments before it.
    pub(super) fn save_remembered(&self) -> io::Result<()> {
        let mut writer = self.0.writer.lock();
        let last = self.0.segments.read().last().cloned();
        match last {
            Some(last) => self.save_index(&mut writer, &last, true),
            None => Ok(()),
        }
    }

    fn save_index(&self, writer: &mut Writer, segment: &Segment, sync: bool) -> io::Result<()> {
        let extent = segment.extent.read();
        let Some(index) = &extent.growing else {
            return Ok(());
        };
        let known = self.0.queue.lock().remembered.before(index.end);
        segment.save_index(index, Some(&known), sync)?;
        writer.since_saved = 0;
        writer.dirty = false;
        Ok(())
    }

    fn not_made(&self, error: io::Error) -> Failed {
        tracing::warn!(partition = %self.0.place, %error, "cannot make a segment");
        Failed::Refused(if durable::is_full(&error) {
            self.full()
        } else {
            Error::io("make a segment of", &self.0.place, error)
        })
    }

    pub(super) fn full(&self) -> Error {
        Error::DiskFull {
            topic: self.0.place.topic.clone(),
            partition: self.0.place.partition,
        }
    }
}

fn sync(file: &File) -> io::Result<()> {
    faults::before_sync()?;
    file.sync_data()?;
    faults::after_sync()
}

fn write_batches(
    file: &File,
    mut position: u64,
    group: &[Pending],
    gathered: &mut Vec<u8>,
) -> io::Result<()> {
    faults::append()?;
    gathered.clear();
    let mut write = |bytes: &[u8]| -> io::Result<()> {
        file.write_all_at(bytes, position)?;
        position += bytes.len() as u64;
        Ok(())
    };
    for pending in group {
        let bytes = pending.batch.as_bytes();
        if gathered.len() + bytes.len() > GATHERED_BYTES_MAX {
            write(gathered)?;
            gathered.clear();
        }
        if bytes.len() > GATHERED_BYTES_MAX {
            write(bytes)?;
        } else {
            gathered.extend_from_slice(bytes);
        }
    }
    write(gathered)
}

fn unknown(action: &str, segment: &Segment, error: &io::Error) -> Failed {
    Failed::Unknown(format!("cannot {action} {}: {error}", segment.place()))
}
