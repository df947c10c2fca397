//! Copies of checkpoints in an object store, from which the state of a job comes back when that on disk is lost.
//!
//! Each job has a folder there. A *full* copy is all of its state as of one checkpoint, in parts; a *delta* is what one checkpoint
//! wrote. Each is under the number of its checkpoint, and a number that stands for the history that counts: state that was computed
//! anew has another. The newest full copy and the deltas behind it, as far as no number is missing, are a checkpoint. Objects are
//! written once; the last one of a full copy says how many parts there are, so that a copy that was cut off is none.

mod copier;
mod object;
mod restore;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use fjall::{Database, Keyspace};
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use weir_connectors::files::ObjectFolder;

pub(super) use copier::{Copier, Landed};
pub use copier::{CopyProgress, CopyState};

use super::store::Turn;
use crate::error::Result;

/// Finds the folder, when it is needed: what leads there may have changed.
type Folder = Arc<dyn Fn() -> weir_connectors::Result<ObjectFolder> + Send + Sync>;

/// Where copies go. Clones are the same.
#[derive(Clone)]
pub(super) struct Copies {
    folder: Folder,
    /// The jobs whose state is not on disk, by the names of their keyspaces.
    lost: Arc<Mutex<HashSet<String>>>,
    /// Held by who writes the copies of a job.
    turns: Arc<Mutex<HashMap<String, Turn>>>,
    tasks: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl fmt::Debug for Copies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Copies").finish_non_exhaustive()
    }
}

impl Copies {
    pub(super) fn new(
        folder: impl Fn() -> weir_connectors::Result<ObjectFolder> + Send + Sync + 'static,
        lost: HashSet<String>,
    ) -> Self {
        Self {
            folder: Arc::new(folder),
            lost: Arc::new(Mutex::new(lost)),
            turns: Arc::default(),
            tasks: Arc::default(),
        }
    }

    /// Brings the state of a job back, if it is lost and there is a copy of it.
    ///
    /// # Errors
    /// When the copies cannot be read, or the state not be written.
    pub(super) async fn bring_back(
        &self,
        job: &str,
        database: &Database,
        keyspace: &Keyspace,
    ) -> Result<()> {
        if !self.lost.lock().contains(job) {
            return Ok(());
        }
        let folder = (self.folder)()?;
        restore::restore(&folder, job, database, keyspace).await?;
        self.lost.lock().remove(job);
        Ok(())
    }

    /// Begins to copy the checkpoints of a job.
    pub(super) fn begin(&self, job: &str, database: &Database, keyspace: &Keyspace) -> Copier {
        let turn = Arc::clone(self.turns.lock().entry(job.to_owned()).or_default());
        let source = (database.clone(), keyspace.clone());
        let (copier, work) = Copier::new(Arc::clone(&self.folder), job.to_owned(), source, turn);
        let mut tasks = self.tasks.lock();
        tasks.retain(|task| !task.is_finished());
        tasks.push(tokio::spawn(work));
        copier
    }

    /// Waits until those have ended whose jobs have, for some time at the most.
    pub(super) async fn settle(&self, at_most: Duration) {
        let tasks = std::mem::take(&mut *self.tasks.lock());
        let all = futures::future::join_all(tasks);
        if tokio::time::timeout(at_most, all).await.is_err() {
            tracing::warn!(
                "the last checkpoints were not copied; the next start copies all state anew"
            );
        }
    }

    /// Removes the copies of jobs that are not kept.
    ///
    /// # Errors
    /// When the folder cannot be read or written.
    pub(super) async fn retain(&self, is_kept: impl Fn(&str) -> bool) -> Result<()> {
        let folder = (self.folder)()?;
        for job in folder.folders().await? {
            if !is_kept(&job) {
                for (name, _) in folder.list(&job).await? {
                    folder.remove(&job, &name).await?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
