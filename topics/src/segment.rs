//! A segment: a file of record batches, one after another, and its index.
//!
//! `00000000000000004711.log` holds the batches from offset 4711 on, up to the next segment's; `….index` beside it is
//! [`Index`]. The last segment grows; all others never change again.

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

/// The name of the segment that begins at `base`.
pub(crate) fn file_name(base: Offset) -> String {
    format!("{:020}.log", base.0)
}

/// The base offset that a file name says, if it is a segment's.
pub(crate) fn base_of(path: &Path) -> Option<Offset> {
    if path.extension() != Some(OsStr::new("log")) {
        return None;
    }
    let stem = path.file_stem()?.to_str()?;
    let digits = stem.len() == 20 && stem.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| stem.parse().ok().map(Offset))?
}

impl Segment {
    /// A segment whose file is at `path`.
    pub(crate) fn new(
        place: &Place,
        partition: u64,
        path: PathBuf,
        extent: Extent,
        base: Offset,
        interval: u32,
    ) -> Self {
        Self {
            base,
            path,
            extent: RwLock::new(extent),
            key: FileKey {
                partition,
                segment: Some(base),
            },
            place: place.clone(),
            interval,
            times: OnceLock::new(),
        }
    }

    /// What messages call it.
    pub(crate) fn place(&self) -> String {
        format!("{} segment {}", self.place, file_name(self.base))
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
        false
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
        let mut scan = Scan::new(file, bytes, 0, self.base);
        loop {
            let scanned = scan.step();
            match scanned.map_err(|error| Error::io("read", self.place(), error))? {
                Scanned::Batch(batch) => {
                    index.add(batch.indexed()?, self.interval);
                    see(&batch)?;
                }
                Scanned::End if scan.next == end => return Ok(index),
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
