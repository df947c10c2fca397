//! Numbers for idempotent producers, none of which is given twice.
//!
//! The file `producers` of the log's folder says below which number all may have been given; it goes ahead in blocks, so that
//! most numbers cost no write, and a start goes on behind the block.

use std::io;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use crate::durable;

const FILE_NAME: &str = "producers";
const BLOCK: i64 = 1000;

#[derive(Debug)]
pub(crate) struct ProducerIds {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    next: i64,
    /// What the file says.
    reserved: i64,
}

impl ProducerIds {
    /// Goes on where the file in `dir` says.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let path = dir.join(FILE_NAME);
        let reserved = match std::fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().map_err(|_| {
                let what = format!("{} holds no number", path.display());
                io::Error::new(io::ErrorKind::InvalidData, what)
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        Ok(Self {
            path,
            state: Mutex::new(State {
                next: reserved,
                reserved,
            }),
        })
    }

    /// A number that was never given. Blocks on the disk now and then.
    pub(crate) fn next(&self) -> io::Result<i64> {
        let mut state = self.state.lock();
        if state.next == state.reserved {
            let reserved = state.reserved + BLOCK;
            durable::replace(&self.path, format!("{reserved}\n").as_bytes(), true)?;
            if let Some(dir) = self.path.parent() {
                durable::sync_dir(dir)?;
            }
            state.reserved = reserved;
        }
        let id = state.next;
        state.next += 1;
        Ok(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_comes_twice_also_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let mut last = -1;
        for _ in 0..3 {
            let ids = ProducerIds::open(dir.path()).unwrap();
            for _ in 0..BLOCK + 5 {
                let id = ids.next().unwrap();
                assert!(id > last);
                last = id;
            }
        }
        std::fs::write(dir.path().join(FILE_NAME), "x").unwrap();
        assert!(ProducerIds::open(dir.path()).is_err());
    }
}
