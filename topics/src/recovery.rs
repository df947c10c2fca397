//! Opening a partition's folder: which segments there are, where the last one ends, what is to be repaired.
//!
//! After a clean stop nothing is scanned: mark, index and file of the last segment agree. After a crash the last segment is
//! scanned from its last saved index on, a few megabytes at most.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weir_base::Offset;

use crate::batch::Malformed;
use crate::bounds::Bounds;
use crate::index::Index;
use crate::mark::{self, Mark};
use crate::remembered::Remembered;
use crate::scan::{Scan, Scanned, reach};
use crate::segment::{Extent, Name, Place, Segment, superseded};
use crate::{Error, LogSettings, Result, durable};

/// A partition as it was found and repaired.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) bounds: Bounds,
    pub(crate) remembered: Remembered,
    /// Whether the last segment's index on disk is older than the segment.
    pub(crate) dirty: bool,
}

/// What a scan of the last segment came upon.
#[derive(Debug, Clone, Copy)]
struct Found {
    /// The end of the last whole batch.
    end: Offset,
    /// Whether more bytes follow, that are no batch.
    broken: Option<Malformed>,
    /// Up to where rows are known to have been acknowledged.
    acknowledged: Offset,
    /// Whether a later group of writes is there behind the broken bytes.
    later_group: bool,
}

/// What is known of acknowledged rows before the last segment is looked at.
#[derive(Debug, Clone, Copy)]
struct Acknowledged {
    mark: Option<Mark>,
    /// Up to here they were.
    end: Offset,
    /// Whether more were, before they were synced: those may be gone.
    flushed_later: bool,
}

/// What to do about the end of the last segment.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Repair {
    /// Nothing.
    Keep,
    /// Cut off what a crash left half written: nobody was told that it is there.
    Truncate,
    /// Nothing that would be right: acknowledged rows are damaged or gone.
    Refuse(String),
}

/// Reads and repairs the partition in `dir`; `number` is its key among open files. Where writes are `flushed_later`, the disk
/// need not have taken them in their order, and whole ones may lie behind a broken one.
pub(crate) fn recover(
    dir: &Path,
    place: &Place,
    number: u64,
    settings: &LogSettings,
    flushed_later: bool,
) -> Result<Recovered> {
    let io = |error| Error::io("read the folder of", place, error);
    let bases = segment_files(dir).map_err(io)?;
    let mark = Mark::read(&dir.join(mark::FILE_NAME)).map_err(io)?;
    let bounds = Bounds::read(dir).map_err(io)?;
    let mut remembered = Remembered::new(settings.tokens_max, settings.producers_max);
    let Some(((last_name, last_path), closed)) = bases.split_last() else {
        return match mark {
            Some(mark) if mark.end > bounds.unwrap_or_default().start => Err(Error::Corrupt {
                place: place.to_string(),
                position: 0,
                reason: format!(
                    "all segments are gone; rows were acknowledged up to offset {}",
                    mark.end
                ),
            }),
            _ => Ok(Recovered {
                segments: Vec::new(),
                bounds: bounds.unwrap_or_default(),
                remembered,
                dirty: false,
            }),
        };
    };
    let first_base = bases
        .first()
        .map_or(last_name.base, |(first, _)| first.base);
    let bounds = bounds.unwrap_or(Bounds {
        start: first_base,
        compacted: first_base,
        thinned: first_base,
    });
    if first_base > bounds.start {
        return Err(Error::Corrupt {
            place: place.to_string(),
            position: 0,
            reason: format!(
                "its first segment begins at offset {first_base}, and its records at {}",
                bounds.start
            ),
        });
    }
    let interval = settings.index_interval_bytes;
    let mut segments = Vec::with_capacity(bases.len());
    for (at, (name, path)) in closed.iter().enumerate() {
        let extent = Extent {
            end: bases
                .get(at + 1)
                .map_or(last_name.base, |(next, _)| next.base),
            bytes: fs::metadata(path).map_err(io)?.len(),
            growing: None,
        };
        let segment = Segment::new(place, number, path.clone(), extent, *name, interval);
        check_end(&segment, *name)?;
        segments.push(Arc::new(segment));
    }
    let extent = Extent {
        end: last_name.base,
        bytes: fs::metadata(last_path).map_err(io)?.len(),
        growing: None,
    };
    let last = Segment::new(
        place,
        number,
        last_path.clone(),
        extent,
        *last_name,
        interval,
    );
    check_end(&last, *last_name)?;

    let saved = last.load_index();
    let saved = saved.and_then(|(index, known)| Some((index, known?)));
    let index = match saved {
        Some((index, known)) => {
            remembered.fill(known);
            index
        }
        None => {
            recover_remembered(&segments, &mut remembered)?;
            Index::new(last.base)
        }
    };
    // What starts at an offset had all before it acknowledged.
    let acknowledged = mark.map_or(bounds.start, |mark| mark.end.max(bounds.start));
    let acknowledged = Acknowledged {
        mark,
        end: acknowledged,
        flushed_later,
    };
    let dirty = recover_last(&last, index, acknowledged, &mut remembered, settings)?;
    segments.push(Arc::new(last));
    Ok(Recovered {
        segments,
        bounds,
        remembered,
        dirty,
    })
}

/// Segment files in order of base offset. What an earlier run did not finish is removed: unfinished files, segments that
/// compaction replaced, indexes without a segment.
fn segment_files(dir: &Path) -> std::io::Result<Vec<(Name, PathBuf)>> {
    let mut found = BTreeMap::new();
    let mut indexes = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension() == Some(OsStr::new(durable::UNFINISHED)) {
            fs::remove_file(&path)?;
        } else if path.extension() == Some(OsStr::new("index")) {
            indexes.push(path);
        } else if let Some(name) = Name::of(&path) {
            found.insert(name, path);
        }
    }
    let names: Vec<Name> = found.keys().copied().collect();
    for name in superseded(&names) {
        if let Some(path) = found.remove(&name) {
            fs::remove_file(path)?;
        }
    }
    for index in indexes {
        let name = Name::of(&index.with_extension("log"));
        if name.is_some_and(|name| !found.contains_key(&name)) {
            fs::remove_file(index)?;
        }
    }
    Ok(found.into_iter().collect())
}

/// A compacted segment says where it ends, and there is always one after it.
fn check_end(segment: &Segment, name: Name) -> Result<()> {
    let (end, bytes) = {
        let extent = segment.extent.read();
        (extent.end, extent.bytes)
    };
    match name.compacted {
        Some(compacted) if compacted.end != end => Err(segment.corrupt(
            bytes,
            format!(
                "no segment begins at offset {}, where it ends",
                compacted.end
            ),
        )),
        _ => Ok(()),
    }
}

/// Finds what was remembered at the end of the closed segments: from the newest index that tells it, and from the batches of
/// the segments after it.
fn recover_remembered(closed: &[Arc<Segment>], remembered: &mut Remembered) -> Result<()> {
    let mut unread = closed.len();
    for segment in closed.iter().rev() {
        let whole = |index: &Index| {
            let extent = segment.extent.read();
            (index.end, index.bytes) == (extent.end, extent.bytes)
        };
        if let Some((index, Some(known))) = segment.load_index()
            && whole(&index)
        {
            remembered.fill(known);
            break;
        }
        unread -= 1;
    }
    for segment in closed.iter().skip(unread) {
        let io = |action| move |error| Error::io(action, segment.place(), error);
        let file = File::open(&segment.path).map_err(io("open"))?;
        let index = segment.index_by_reading(&file, |batch| remembered.note(batch))?;
        let known = remembered.before(index.end);
        segment
            .save_index(&index, Some(&known), true)
            .map_err(io("save the index of"))?;
    }
    Ok(())
}

/// Scans the last segment from where `index` ends, repairs its end, and leaves it ready to grow. Says whether the index
/// has become newer than the one on disk.
fn recover_last(
    segment: &Segment,
    saved: Index,
    known: Acknowledged,
    remembered: &mut Remembered,
    settings: &LogSettings,
) -> Result<bool> {
    let io = |action| move |error| Error::io(action, segment.place(), error);
    let file_bytes = segment.extent.read().bytes;
    // An index is saved after the sync of what it tells of.
    let acknowledged = known.end.max(saved.end);
    if saved.bytes > file_bytes {
        let reason = format!(
            "it is shorter than it was; rows were acknowledged up to offset {acknowledged}"
        );
        return Err(segment.corrupt(file_bytes, reason));
    }
    let mut index = saved;
    let from = index.bytes;
    if from < file_bytes {
        let file = File::options().read(true).write(true).open(&segment.path);
        let file = file.map_err(io("open"))?;
        let mut scan = Scan::new(&file, file_bytes, from, index.end);
        let broken = loop {
            match scan.step().map_err(io("read"))? {
                Scanned::Batch(batch) => {
                    index.add(batch.indexed()?, settings.index_interval_bytes);
                    remembered.note(&batch)?;
                }
                Scanned::End => break None,
                Scanned::Broken(reason) => break Some(reason),
            }
        };
        let later_group = broken.is_some() && !known.flushed_later && {
            let mut front = [0; 12];
            let at = index.bytes;
            let read = std::os::unix::fs::FileExt::read_at(&file, &mut front, at);
            let front = front.get(..read.map_err(io("read"))?).unwrap_or_default();
            let group = reach(front).max(settings.group_bytes_max as u64);
            scan.any_whole_batch_from(at.saturating_add(group))
                .map_err(io("read"))?
        };
        let found = Found {
            end: index.end,
            broken,
            acknowledged,
            later_group,
        };
        match repair(&found) {
            Repair::Keep => {}
            Repair::Truncate => {
                tracing::warn!(
                    segment = %segment.place(),
                    position = index.bytes,
                    bytes = file_bytes - index.bytes,
                    "cut off a write that was never acknowledged"
                );
                file.set_len(index.bytes).map_err(io("truncate"))?;
            }
            Repair::Refuse(reason) => return Err(segment.corrupt(index.bytes, reason)),
        }
        // What the crash left in the system's cache must be on disk before anybody reads it as stable.
        let synced = known
            .mark
            .is_some_and(|mark| (mark.segment, mark.position) == (segment.base, file_bytes));
        if !synced {
            file.sync_data().map_err(io("sync"))?;
        }
    } else if let Repair::Refuse(reason) = repair(&Found {
        end: index.end,
        broken: None,
        acknowledged,
        later_group: false,
    }) {
        return Err(segment.corrupt(file_bytes, reason));
    }
    let mut extent = segment.extent.write();
    let dirty = index.bytes != from;
    (extent.end, extent.bytes) = (index.end, index.bytes);
    extent.growing = Some(index);
    Ok(dirty)
}

fn repair(found: &Found) -> Repair {
    let Found {
        end, acknowledged, ..
    } = found;
    match found.broken {
        Some(reason) if end < acknowledged => Repair::Refuse(format!(
            "{reason}; rows were acknowledged up to offset {acknowledged}, and the last whole batch ends at {end}"
        )),
        Some(reason) if found.later_group => Repair::Refuse(format!(
            "{reason}; whole batches follow, so it is not a write cut short"
        )),
        Some(_) => Repair::Truncate,
        None if end < acknowledged => Repair::Refuse(format!(
            "it ends at offset {end}, and rows were acknowledged up to {acknowledged}"
        )),
        None => Repair::Keep,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_acknowledged_is_never_cut_off() {
        let found = |end, broken: bool, acknowledged, later_group| Found {
            end: Offset(end),
            broken: broken.then_some(Malformed::CutOff),
            acknowledged: Offset(acknowledged),
            later_group,
        };
        assert_eq!(repair(&found(5, false, 5, false)), Repair::Keep);
        assert_eq!(repair(&found(7, false, 5, false)), Repair::Keep);
        assert_eq!(repair(&found(5, true, 5, false)), Repair::Truncate);
        let refused = |found: Found| matches!(repair(&found), Repair::Refuse(_));
        assert!(refused(found(4, false, 5, false)));
        assert!(refused(found(4, true, 5, false)));
        assert!(refused(found(5, true, 5, true)));
    }
}
