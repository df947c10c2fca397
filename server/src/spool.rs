//! The rows of an answer that its client reads in parts, in a bounded file.
//!
//! The file holds Arrow IPC streams, one a batch, so that each can be read alone and while later ones are still written.
//! Where each lies is kept in memory. The file is removed when the spool is dropped.

use std::fs::File;
use std::io::Cursor;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;
use parking_lot::Mutex;
use weir_base::{Kind, SqlState};
use weir_engine::Error;

/// A batch in the file.
#[derive(Debug, Clone, Copy)]
struct Block {
    at: u64,
    bytes: usize,
    first_row: u64,
    rows: u64,
}

#[derive(Debug)]
pub(crate) struct Spool {
    file: File,
    path: PathBuf,
    bytes_max: u64,
    index: Mutex<Index>,
}

#[derive(Debug, Default)]
struct Index {
    blocks: Vec<Block>,
    bytes: u64,
    rows: u64,
}

impl Drop for Spool {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a spooled result was not removed");
        }
    }
}

impl Spool {
    /// A new empty spool in `folder`.
    ///
    /// # Errors
    /// As the file system.
    pub(crate) fn create(folder: &Path, name: &str, bytes_max: u64) -> Result<Arc<Self>, Error> {
        std::fs::create_dir_all(folder).map_err(failed)?;
        let path = folder.join(format!("{name}.arrows"));
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(failed)?;
        Ok(Arc::new(Self {
            file,
            path,
            bytes_max,
            index: Mutex::default(),
        }))
    }

    /// Appends a batch. One writer at a time.
    ///
    /// # Errors
    /// When the bound is reached, or as the file system.
    pub(crate) fn append(&self, batch: &RecordBatch) -> Result<(), Error> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let mut bytes = Vec::with_capacity(batch.get_array_memory_size().min(16 << 20));
        let written = StreamWriter::try_new(&mut bytes, &batch.schema()).and_then(|mut writer| {
            writer.write(batch)?;
            writer.finish()
        });
        written.map_err(|error| Error::new(Kind::Internal, error.to_string()))?;
        let at = self.index.lock().bytes;
        if at.saturating_add(bytes.len() as u64) > self.bytes_max {
            return Err(
                Error::new(Kind::LimitExceeded, format!("the result is larger than {} bytes", self.bytes_max))
                    .with_hint("ask for fewer rows, read it as a stream from POST /v1/sql, or let the operator raise rest.statement_bytes or postgres_door.cursor_bytes"),
            );
        }
        self.file.write_all_at(&bytes, at).map_err(failed)?;
        let mut index = self.index.lock();
        let block = Block {
            at,
            bytes: bytes.len(),
            first_row: index.rows,
            rows: batch.num_rows() as u64,
        };
        index.blocks.push(block);
        index.bytes += block.bytes as u64;
        index.rows += block.rows;
        Ok(())
    }

    /// Rows in it.
    pub(crate) fn rows(&self) -> u64 {
        self.index.lock().rows
    }

    /// The first batch with rows of `[from, to)`, cut to them; `None` when there is none.
    ///
    /// # Errors
    /// When the file does not hold what was written.
    pub(crate) fn read(&self, from: u64, to: u64) -> Result<Option<RecordBatch>, Error> {
        let block = {
            let index = self.index.lock();
            let at = index
                .blocks
                .partition_point(|block| block.first_row + block.rows <= from);
            index
                .blocks
                .get(at)
                .copied()
                .filter(|block| block.first_row < to && from < to)
        };
        let Some(block) = block else {
            return Ok(None);
        };
        let mut bytes = vec![0; block.bytes];
        self.file
            .read_exact_at(&mut bytes, block.at)
            .map_err(failed)?;
        let damaged = |reason: String| {
            Error::new(
                Kind::Corrupt,
                format!("a spooled result is damaged: {reason}"),
            )
        };
        let batch = StreamReader::try_new(Cursor::new(bytes), None)
            .and_then(|mut reader| reader.next().transpose())
            .map_err(|error| damaged(error.to_string()))?
            .filter(|batch| batch.num_rows() as u64 == block.rows)
            .ok_or_else(|| damaged("a batch is missing".to_owned()))?;
        let start = from.max(block.first_row) - block.first_row;
        let end = to.min(block.first_row + block.rows) - block.first_row;
        // Both fit: they are at most the rows of a batch in memory.
        Ok(Some(batch.slice(start as usize, (end - start) as usize)))
    }
}

fn failed(error: std::io::Error) -> Error {
    let kind = if error.kind() == std::io::ErrorKind::StorageFull {
        Kind::LimitExceeded
    } else {
        Kind::Unavailable
    };
    let sqlstate = if kind == Kind::LimitExceeded {
        SqlState::DISK_FULL
    } else {
        SqlState::IO_ERROR
    };
    Error::new(kind, format!("the spooled result cannot be kept: {error}")).with_sqlstate(sqlstate)
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array};

    use super::*;

    fn batch(from: i64, to: i64) -> RecordBatch {
        RecordBatch::try_from_iter([(
            "n",
            Arc::new(Int64Array::from_iter_values(from..to)) as ArrayRef,
        )])
        .unwrap()
    }

    #[test]
    fn any_range_of_rows_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::create(folder.path(), "s", 1 << 20).unwrap();
        for (from, to) in [(0, 10), (10, 11), (11, 11), (11, 30)] {
            spool.append(&batch(from, to)).unwrap();
        }
        assert_eq!(spool.rows(), 30);
        for from in 0..31_u64 {
            for to in from..32 {
                let mut at = from;
                let mut got = Vec::new();
                while let Some(part) = spool.read(at, to).unwrap() {
                    at += part.num_rows() as u64;
                    got.extend(
                        part.column(0)
                            .as_any()
                            .downcast_ref::<Int64Array>()
                            .unwrap()
                            .values()
                            .to_vec(),
                    );
                }
                let expected: Vec<i64> = (from.cast_signed()..to.min(30).cast_signed()).collect();
                assert_eq!(got, expected, "[{from}, {to})");
            }
        }
        drop(spool);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_bound_holds() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::create(folder.path(), "s", 2000).unwrap();
        spool.append(&batch(0, 100)).unwrap();
        assert!(spool.append(&batch(0, 100)).is_err());
        assert_eq!(spool.rows(), 100);
    }
}
