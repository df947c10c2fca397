//! Where state is kept.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fjall::{
    Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode, Slice, UserKey,
    UserValue,
};
use tokio::task::spawn_blocking;

use super::Manifest;
use crate::error::{Error, Result};
use crate::runtime::JobId;

/// The number of no operator: under it is the manifest.
const MANIFEST: [u8; 2] = [0xff, 0xff];
/// How much of the store is held in memory to be read again, in bytes, for all jobs together.
const CACHE_BYTES: u64 = 64 << 20;
/// How much a job's newest state takes in memory before it is written out, in bytes.
const MEMTABLE_BYTES: u64 = 16 << 20;

/// The state of all jobs, in one folder. Clones are the same.
#[derive(Clone)]
pub struct Checkpoints {
    database: Database,
}

impl std::fmt::Debug for Checkpoints {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checkpoints").finish_non_exhaustive()
    }
}

impl Checkpoints {
    /// Opens the folder, or makes it.
    ///
    /// # Errors
    /// When it cannot be read or written, or another process has it.
    pub fn open(folder: &Path) -> Result<Self> {
        let builder = Database::builder(folder)
            .cache_size(CACHE_BYTES)
            .worker_threads(1);
        Ok(Self {
            database: builder.open()?,
        })
    }

    /// The state of one job. One of another generation computes something else.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn of(&self, job: JobId, generation: u32) -> Result<JobStore> {
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
        let keyspace = self.database.keyspace(&name(job, generation), options)?;
        Ok(JobStore(Arc::new(Kept {
            database: self.database.clone(),
            keyspace,
            broken: AtomicBool::new(false),
        })))
    }

    /// Forgets the state of a job that has ended.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn forget(&self, job: JobId) -> Result<()> {
        self.retain(|other, _| other != job)
    }

    /// Forgets the state of all jobs, and generations of them, but some.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn retain(&self, is_kept: impl Fn(JobId, u32) -> bool) -> Result<()> {
        for named in self.database.list_keyspace_names() {
            let job = named.strip_prefix(PREFIX).and_then(|job| {
                let (id, generation) = job.split_once('-')?;
                Some((id.parse().ok()?, generation.parse().ok()?))
            });
            if job.is_some_and(|(job, generation)| !is_kept(job, generation)) {
                let keyspace = self
                    .database
                    .keyspace(&named, KeyspaceCreateOptions::default)?;
                self.database.delete_keyspace(keyspace)?;
            }
        }
        Ok(())
    }
}

const PREFIX: &str = "job-";

fn name(job: JobId, generation: u32) -> String {
    format!("{PREFIX}{job}-{generation}")
}

/// The state of one job. Clones are the same.
#[derive(Clone)]
pub struct JobStore(Arc<Kept>);

struct Kept {
    database: Database,
    keyspace: Keyspace,
    /// Whether a checkpoint failed: what later ones would add to is not there.
    broken: AtomicBool,
}

impl std::fmt::Debug for JobStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JobStore")
            .field("keyspace", self.0.keyspace.name())
            .finish_non_exhaustive()
    }
}

impl JobStore {
    /// What the last checkpoint says of itself, if there is one that can be understood.
    pub(crate) fn manifest(&self) -> Result<Option<Manifest>> {
        let bytes = self.0.keyspace.get(MANIFEST)?;
        // Of another version: as if there were none.
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// Forgets everything.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn clear(&self) -> Result<()> {
        Ok(self.0.keyspace.clear()?)
    }

    /// Begins a checkpoint.
    ///
    /// # Errors
    /// When one before it failed.
    pub(crate) fn begin(&self) -> Result<Saving> {
        if self.is_broken() {
            return Err(Error::Internal("a checkpoint before this one failed"));
        }
        Ok(Saving {
            store: self.clone(),
            batch: self.0.database.batch(),
        })
    }

    /// Lets no other checkpoint be made: something is taken for saved that is not.
    pub(crate) fn break_off(&self) {
        self.0.broken.store(true, Ordering::Release);
    }

    /// Whether a checkpoint failed, so that there will be no other.
    pub(crate) fn is_broken(&self) -> bool {
        self.0.broken.load(Ordering::Acquire)
    }

    /// What the state takes on the disk, in bytes.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.0.keyspace.disk_space()
    }
}

/// The place of one operator's state within that of its job.
#[derive(Debug, Clone)]
pub(crate) struct Shelf {
    /// None where state is not kept.
    store: Option<JobStore>,
    number: [u8; 2],
    is_restored: bool,
}

impl Shelf {
    /// The place of the operator with a number, in a store that holds a checkpoint or not.
    pub(crate) fn new(store: Option<JobStore>, number: u16, is_restored: bool) -> Self {
        Self {
            store,
            number: number.to_be_bytes(),
            is_restored,
        }
    }

    /// Whether there are checkpoints.
    pub(crate) fn is_kept(&self) -> bool {
        self.store.is_some()
    }

    /// Whether the state goes on from a checkpoint.
    pub(crate) fn is_restored(&self) -> bool {
        self.is_restored
    }

    /// A key as the store has it.
    fn key(&self, parts: &[&[u8]]) -> Vec<u8> {
        let mut key = Vec::with_capacity(2 + parts.iter().map(|part| part.len()).sum::<usize>());
        key.extend(self.number);
        parts.iter().for_each(|part| key.extend_from_slice(part));
        key
    }

    /// What was saved under a key.
    pub(crate) fn get(&self, parts: &[&[u8]]) -> Result<Option<Slice>> {
        match &self.store {
            Some(store) => Ok(store.0.keyspace.get(self.key(parts))?),
            None => Ok(None),
        }
    }

    /// Gives everything that was saved under a prefix to `see`, with what follows the prefix in its key.
    pub(crate) fn scan(
        &self,
        prefix: &[&[u8]],
        mut see: impl FnMut(&[u8], &[u8]) -> Result<()>,
    ) -> Result<()> {
        let Some(store) = &self.store else {
            return Ok(());
        };
        let prefix = self.key(prefix);
        for found in store.0.keyspace.prefix(&prefix) {
            let (key, value): (UserKey, UserValue) = found.into_inner()?;
            see(key.get(prefix.len()..).unwrap_or_default(), &value)?;
        }
        Ok(())
    }
}

/// A checkpoint that is being made.
pub(crate) struct Saving {
    store: JobStore,
    batch: OwnedWriteBatch,
}

impl Saving {
    pub(crate) fn put(&mut self, shelf: &Shelf, parts: &[&[u8]], value: &[u8]) {
        self.batch
            .insert(&self.store.0.keyspace, shelf.key(parts), value);
    }

    pub(crate) fn remove(&mut self, shelf: &Shelf, parts: &[&[u8]]) {
        self.batch.remove(&self.store.0.keyspace, shelf.key(parts));
    }

    /// Writes it, durably.
    ///
    /// # Errors
    /// When it cannot be written. Then the one before it holds, and there will be no other.
    pub(crate) async fn commit(mut self, manifest: &Manifest) -> Result<()> {
        let manifest = serde_json::to_vec(manifest);
        let manifest = manifest.map_err(|_| Error::Internal("a manifest cannot be written"))?;
        let kept = Arc::clone(&self.store.0);
        self.batch.insert(&kept.keyspace, MANIFEST, manifest);
        let batch = self.batch.durability(Some(PersistMode::SyncAll));
        let written = spawn_blocking(move || batch.commit()).await;
        let written = written.map_err(|_panic| Error::Internal("a checkpoint was broken off"));
        let written = written.and_then(|written| Ok(written?));
        if written.is_err() {
            self.store.break_off();
        }
        written
    }
}
