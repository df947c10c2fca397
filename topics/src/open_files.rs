//! The files that are open, at most so many: the one used longest ago is closed for the next.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use weir_base::Offset;

use crate::index::Index;

/// Which file of which partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FileKey {
    /// The partition's number in this process.
    pub(crate) partition: u64,
    /// A segment's base offset and generation; `None` is the partition's mark.
    pub(crate) segment: Option<(Offset, u64)>,
}

/// An open file, and the index of the closed segment that it is, once somebody needed it.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(crate) file: File,
    pub(crate) index: Mutex<Option<Arc<Index>>>,
}

/// Open files by key. Who holds one may go on using it after it has left here.
#[derive(Debug)]
pub(crate) struct OpenFiles {
    most: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    files: HashMap<FileKey, (Arc<OpenFile>, u64)>,
    uses: u64,
}

impl OpenFiles {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            open: Mutex::default(),
        }
    }

    /// The file at `path`, which must exist, for reading and writing.
    pub(crate) fn get(&self, key: FileKey, path: &Path) -> io::Result<Arc<OpenFile>> {
        let mut open = self.open.lock();
        open.uses += 1;
        let now = open.uses;
        if let Some((file, used)) = open.files.get_mut(&key) {
            *used = now;
            return Ok(Arc::clone(file));
        }
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let file = Arc::new(OpenFile {
            file,
            index: Mutex::default(),
        });
        if open.files.len() >= self.most {
            let oldest = open.files.iter().min_by_key(|(_, (_, used))| *used);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                open.files.remove(&oldest);
            }
        }
        open.files.insert(key, (Arc::clone(&file), now));
        Ok(file)
    }

    /// Closes one file.
    pub(crate) fn forget_file(&self, key: FileKey) {
        self.open.lock().files.remove(&key);
    }

    /// Closes all files of a partition.
    pub(crate) fn forget(&self, partition: u64) {
        let mut open = self.open.lock();
        open.files.retain(|key, _| key.partition != partition);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_used_longest_ago_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let files = OpenFiles::new(2);
        let get = |base: i64| {
            let path = dir.path().join(base.to_string());
            File::create(&path).unwrap();
            let key = FileKey {
                partition: base as u64 % 2,
                segment: Some((Offset(base), 0)),
            };
            files.get(key, &path).unwrap()
        };
        let first = get(1);
        get(2);
        assert!(Arc::ptr_eq(&first, &get(1)));
        get(3);
        assert_eq!(files.open.lock().files.len(), 2);
        assert!(Arc::ptr_eq(&first, &get(1)));
        files.forget(1);
        assert!(files.open.lock().files.is_empty());
        assert!(!Arc::ptr_eq(&first, &get(1)));
    }
}
