//! A segment: a file of record batches, one after another, and its index.
//!
//! `00000000000000004711.log` holds the batches from offset 4711 on, up to the next segment's; `….index` beside it is
//! [`Index`]. The last segment grows; all others never change again. Compaction writes a new file that takes the place of
//! some: `00000000000000004711-00000000000000009000-2.log` holds what is left of the offsets 4711 to 8999, and the file of the
//! highest last number, the generation, is the one that counts. So no name ever stands for two contents.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;
use weir_base::{Offset, PartitionId, TopicName};

use crate::index::{Index, Times};
use crate::open_files::{FileKey, OpenFile, OpenFiles};
use crate::remembered::Known;
use crate::scan::{Scan, Scanned};
use crate::{Error, Result, durable};

/// What messages call a partition.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) topic: TopicName,
    pub(crate) partition: PartitionId,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "topic \"{}\" partition {}", self.topic, self.partition)
    }
}

/// One segment of a partition.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) base: Offset,
    pub(crate) generation: u64,
    pub(crate) path: PathBuf,
    pub(crate) extent: RwLock<Extent>,
    key: FileKey,
    place: Place,
    interval: u32,
    times: OnceLock<Times>,
}

/// How far a segment reaches on disk.
#[derive(Debug)]
pub(crate) struct Extent {
    pub(crate) end: Offset,
    pub(crate) bytes: u64,
    /// The index while the segment grows; a closed segment's is read when it is needed.
    pub(crate) growing: Option<Index>,
}

/// An index as it was saved, and what the partition remembered then, unless that is not known.
pub(crate) type SavedIndex = (Index, Option<Known>);

/// What the name of a segment's file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    pub(crate) base: Offset,
    /// Of a segment that compaction wrote.
    pub(crate) compacted: Option<Compacted>,
}

/// What the name of a compacted segment says besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Compacted {
    /// The exclusive end of the offsets whose place it takes.
    pub(crate) end: Offset,
    /// 1 or more, and higher than that of each file whose place it takes.
    pub(crate) generation: u64,
}

impl Name {
    /// That of the segment that begins at `base`, as it was written.
    pub(crate) fn plain(base: Offset) -> Self {
        Self {
            base,
            compacted: None,
        }
    }

    /// What the file at `path` is called, if it is a segment.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        if path.extension() != Some(OsStr::new("log")) {
            return None;
        }
        let offset = |digits: &str| {
            let all = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
            all.then(|| digits.parse().ok().map(Offset))?
        };
        let mut parts = path.file_stem()?.to_str()?.split('-');
        let base = offset(parts.next()?)?;
        let compacted = match (parts.next(), parts.next(), parts.next()) {
            (None, ..) => None,
            (Some(end), Some(generation), None) => Some(Compacted {
                end: offset(end)?,
                generation: generation
                    .parse()
                    .ok()
                    .filter(|generation| *generation > 0)?,
            }),
            _ => return None,
        };
        Some(Self { base, compacted })
    }

    pub(crate) fn generation(self) -> u64 {
        self.compacted.map_or(0, |compacted| compacted.generation)
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let base = self.base.0;
        match self.compacted {
            None => write!(f, "{base:020}.log"),
            Some(Compacted { end, generation }) => {
                write!(f, "{base:020}-{:020}-{generation}.log", end.0)
            }
        }
    }
}

/// Which of the files another one has taken the place of: those whose removal a crash cut short.
pub(crate) fn superseded(names: &[Name]) -> Vec<Name> {
    let mut sorted = names.to_vec();
    sorted.sort_by_key(|name| (name.base, std::cmp::Reverse(name.generation())));
    let mut superseded = Vec::new();
    // Those that reach over what comes next.
    let mut over: Vec<Compacted> = Vec::new();
    for name in sorted {
        over.retain(|compacted| compacted.end > name.base);
        let generation = name.generation();
        if over
            .iter()
            .any(|compacted| compacted.generation > generation)
        {
            superseded.push(name);
        } else {
            over.extend(name.compacted);
        }
    }
    superseded
}

impl Segment {
    /// A segment whose file is at `path`.
    pub(crate) fn new(
        place: &Place,
        partition: u64,
        path: PathBuf,
        extent: Extent,
        name: Name,
        interval: u32,
    ) -> Self {
        Self {
            base: name.base,
            generation: name.generation(),
            path,
            extent: RwLock::new(extent),
            key: FileKey {
                partition,
                segment: Some((name.base, name.generation())),
            },
            place: place.clone(),
            interval,
            times: OnceLock::new(),
        }
    }

    /// What messages call it.
    pub(crate) fn place(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        format!("{} segment {}", self.place, name.display())
    }

    pub(crate) fn corrupt(&self, position: u64, reason: impl ToString) -> Error {
        Error::Corrupt {
            place: self.place(),
            position,
            reason: reason.to_string(),
        }
    }

    pub(crate) fn end(&self) -> Offset {
        self.extent.read().end
    }

    /// Whether offsets may be missing in it.
    pub(crate) fn has_gaps(&self) -> bool {
        self.generation > 0
    }

    /// Its file, open.
    pub(crate) fn open(&self, files: &OpenFiles) -> Result<Arc<OpenFile>> {
        files
            .get(self.key, &self.path)
            .map_err(|error| Error::io("open", self.place(), error))
    }

    /// Asks its index.
    pub(crate) fn with_index<T>(
        &self,
        files: &OpenFiles,
        ask: impl FnOnce(&Index) -> T,
    ) -> Result<T> {
        if let Some(growing) = &self.extent.read().growing {
            return Ok(ask(growing));
        }
        let open = self.open(files)?;
        let mut slot = open.index.lock();
        let index = match &*slot {
            Some(index) => Arc::clone(index),
            None => Arc::clone(slot.insert(Arc::new(self.stored_index(&open)?))),
        };
        drop(slot);
        Ok(ask(&index))
    }

    /// The smallest and largest timestamp in it; `None` when it is empty.
    pub(crate) fn times(&self, files: &OpenFiles) -> Result<Option<Times>> {
        if let Some(times) = self.times.get() {
            return Ok(Some(*times));
        }
        let times = self.with_index(files, |index| index.times)?;
        if let Some(times) = times
            && self.extent.read().growing.is_none()
        {
            let _ = self.times.set(times);
        }
        Ok(times)
    }

    /// Saves an index of this segment, with what the partition remembered at its end, if that is known.
    pub(crate) fn save_index(
        &self,
        index: &Index,
        known: Option<&Known>,
        sync: bool,
    ) -> std::io::Result<()> {
        durable::replace(&self.index_path(), &index.encode(known), sync)
    }

    /// What was saved by [`Segment::save_index`], if it is whole and can be this segment's.
    pub(crate) fn load_index(&self) -> Option<SavedIndex> {
        // Whatever is wrong with the file, the segment says the same.
        let bytes = fs::read(self.index_path()).ok()?;
        let (index, known) = Index::decode(&bytes)?;
        (index.base == self.base).then_some((index, known))
    }

    /// The index of a closed segment, from its file, or else made again from the segment.
    fn stored_index(&self, open: &OpenFile) -> Result<Index> {
        let (end, bytes) = {
            let extent = self.extent.read();
            (extent.end, extent.bytes)
        };
        if let Some((index, _)) = self.load_index()
            && (index.end, index.bytes) == (end, bytes)
        {
            return Ok(index);
        }
        let index = self.index_by_reading(&open.file, |_| Ok(()))?;
        tracing::info!(segment = %self.place(), "made a segment's index again");
        // What was remembered at its end, this segment alone does not say.
        if let Err(error) = self.save_index(&index, None, false) {
            tracing::warn!(segment = %self.place(), %error, "cannot save a segment's index");
        }
        Ok(index)
    }

    /// Reads a closed segment from front to back, and gives each batch to `see`.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it is not whole, or does not end where the next segment begins.
    pub(crate) fn index_by_reading(
        &self,
        file: &File,
        mut see: impl FnMut(&crate::BatchView) -> Result<()>,
    ) -> Result<Index> {
        let (end, bytes) = {
            let extent = self.extent.read();
            (extent.end, extent.bytes)
        };
        let mut index = Index::new(self.base);
        let mut scan = Scan::new(file, bytes, 0, self.base).with_gaps(self.has_gaps());
        loop {
            let scanned = scan.step();
            match scanned.map_err(|error| Error::io("read", self.place(), error))? {
                Scanned::Batch(batch) => {
                    index.add(batch.indexed()?, self.interval);
                    see(&batch)?;
                }
                Scanned::End if scan.next == end || (self.has_gaps() && scan.next < end) => {
                    index.finish(end);
                    return Ok(index);
                }
                Scanned::End => {
                    let reason = format!(
                        "it ends at offset {}, and the next segment begins at {end}",
                        scan.next
                    );
                    return Err(self.corrupt(scan.position, reason));
                }
                Scanned::Broken(reason) => return Err(self.corrupt(scan.position, reason)),
            }
        }
    }

    /// Removes its files. Who has it open reads on.
    pub(crate) fn remove(&self, files: &OpenFiles) -> std::io::Result<()> {
        fs::remove_file(&self.path)?;
        // After the file, so that nobody opens it again.
        files.forget_file(self.key);
        match fs::remove_file(self.index_path()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn index_path(&self) -> PathBuf {
        self.path.with_extension("index")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compacted(base: i64, end: i64, generation: u64) -> Name {
        Name {
            base: Offset(base),
            compacted: Some(Compacted {
                end: Offset(end),
                generation,
            }),
        }
    }

    #[test]
    fn names_read_back() {
        for name in [Name::plain(Offset(4711)), compacted(0, 1 << 40, 17)] {
            assert_eq!(Name::of(Path::new(&name.to_string())), Some(name));
        }
        for other in [
            "4711.log",
            "00000000000000004711.index",
            "0000000000000000471x.log",
            "00000000000000004711-00000000000000004712.log",
            "00000000000000004711-00000000000000004712-0.log",
            "00000000000000004711-00000000000000004712-1-1.log",
            "00000000000000004711-4712-1.log",
        ] {
            assert_eq!(Name::of(Path::new(other)), None, "{other}");
        }
    }

    #[test]
    fn the_highest_generation_takes_the_place_of_what_it_reaches_over() {
        let plain = |base| Name::plain(Offset(base));
        assert!(superseded(&[plain(0), plain(5), plain(9)]).is_empty());
        let names = [plain(0), plain(5), compacted(0, 9, 1), plain(9)];
        assert_eq!(superseded(&names), [plain(0), plain(5)]);
        let names = [
            compacted(0, 9, 1),
            compacted(9, 20, 1),
            compacted(0, 20, 2),
            plain(20),
            compacted(0, 9, 3),
        ];
        assert!(superseded(&names).contains(&compacted(0, 9, 1)));
        let names = [
            compacted(0, 9, 1),
            compacted(9, 20, 1),
            compacted(0, 20, 2),
            plain(20),
        ];
        assert_eq!(
            superseded(&names),
            [compacted(0, 9, 1), compacted(9, 20, 1)]
        );
    }
}
