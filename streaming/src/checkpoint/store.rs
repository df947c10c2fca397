//! Where state is kept.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fjall::{
    Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode, Slice, UserKey,
    UserValue,
};
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;

use super::Manifest;
use crate::error::{Error, Result};
use crate::runtime::JobId;

/// The number of no operator: under it is the manifest.
const MANIFEST: [u8; 2] = [0xff, 0xff];
/// A key of the store has no more bytes: the format of `fjall` has no room for more than 65,535. A longer one is cut, and ends with its
/// SHA-256; what it was is in the value.
const KEY_BYTES_MAX: usize = 4096;
/// The bytes of a SHA-256 (FIPS 180-4).
const DIGEST_BYTES: usize = 32;
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

    /// A key, whole.
    fn key(&self, parts: &[&[u8]]) -> Vec<u8> {
        let mut key = Vec::with_capacity(2 + parts.iter().map(|part| part.len()).sum::<usize>());
        key.extend(self.number);
        parts.iter().for_each(|part| key.extend_from_slice(part));
        key
    }

    /// What was saved under a key.
    pub(crate) fn get(&self, parts: &[&[u8]]) -> Result<Option<Slice>> {
        let Some(store) = &self.store else {
            return Ok(None);
        };
        let key = self.key(parts);
        let stored = stored_key(&key);
        let Some(value) = store.0.keyspace.get(&stored)? else {
            return Ok(None);
        };
        match &stored {
            Cow::Borrowed(_) => Ok(Some(value)),
            Cow::Owned(stored) => Ok(Some(read(stored, &value)?.1.into())),
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
        // Of a long prefix, the keys in the store have the beginning.
        let stored = prefix
            .get(..KEY_BYTES_MAX - DIGEST_BYTES)
            .unwrap_or(&prefix);
        for found in store.0.keyspace.prefix(stored) {
            let (key, value): (UserKey, UserValue) = found.into_inner()?;
            let (key, value) = read(&key, &value)?;
            if let Some(rest) = key.strip_prefix(prefix.as_slice()) {
                see(rest, value)?;
            }
        }
        Ok(())
    }
}

/// A key as the store has it.
fn stored_key(key: &[u8]) -> Cow<'_, [u8]> {
    if key.len() < KEY_BYTES_MAX {
        return Cow::Borrowed(key);
    }
    let mut stored = key
        .get(..KEY_BYTES_MAX - DIGEST_BYTES)
        .unwrap_or(key)
        .to_vec();
    stored.extend(Sha256::digest(key));
    Cow::Owned(stored)
}

/// The key that is stored as `stored`, and its value.
fn read<'a>(stored: &'a [u8], value: &'a [u8]) -> Result<(&'a [u8], &'a [u8])> {
    if stored.len() < KEY_BYTES_MAX {
        return Ok((stored, value));
    }
    let whole = value.split_first_chunk().and_then(|(length, rest)| {
        rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)
    });
    whole.ok_or(Error::Internal("a long key in the state is cut off"))
}

/// A checkpoint that is being made.
pub(crate) struct Saving {
    store: JobStore,
    batch: OwnedWriteBatch,
}

impl Saving {
    pub(crate) fn put(&mut self, shelf: &Shelf, parts: &[&[u8]], value: &[u8]) {
        let key = shelf.key(parts);
        let stored = stored_key(&key);
        let keyspace = &self.store.0.keyspace;
        if let Cow::Owned(stored) = stored {
            let length = (key.len() as u32).to_le_bytes();
            let value = [&length, key.as_slice(), value].concat();
            self.batch.insert(keyspace, stored, value);
        } else {
            self.batch.insert(keyspace, key, value);
        }
    }

    pub(crate) fn remove(&mut self, shelf: &Shelf, parts: &[&[u8]]) {
        let key = shelf.key(parts);
        let stored = stored_key(&key).into_owned();
        self.batch.remove(&self.store.0.keyspace, stored);
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

#[cfg(test)]
mod tests {
    use weir_base::OffsetVector;

    use super::*;

    /// Everything under a prefix, in order.
    fn found(shelf: &Shelf, prefix: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut found = Vec::new();
        let see = |key: &[u8], value: &[u8]| {
            found.push((key.to_vec(), value.to_vec()));
            Ok(())
        };
        shelf.scan(&[prefix], see).unwrap();
        found
    }

    #[tokio::test]
    async fn keys_may_be_of_any_length() {
        let dir = tempfile::tempdir().unwrap();
        let store = Checkpoints::open(dir.path()).unwrap().of(1, 0).unwrap();
        let shelf = Shelf::new(Some(store.clone()), 7, false);
        let lengths = [0, 1, KEY_BYTES_MAX - 3, KEY_BYTES_MAX, 70_000, 200_000];
        let keys = lengths.map(|length| vec![b'k'; length]);
        let mut saving = store.begin().unwrap();
        for (key, value) in keys.iter().zip(0u8..) {
            saving.put(&shelf, &[b"group", key], &[value]);
        }
        let manifest = Manifest::new("", &[], OffsetVector::new(), 1);
        saving.commit(&manifest).await.unwrap();
        for (key, value) in keys.iter().zip(0u8..) {
            let got = shelf.get(&[b"group", key]).unwrap();
            assert_eq!(got.as_deref(), Some(&[value][..]), "{}", key.len());
        }
        assert_eq!(found(&shelf, b"group").len(), keys.len());
        assert_eq!(found(&shelf, b"other"), []);
        // A prefix that is itself longer than a key may be.
        let long = [&b"group"[..], &vec![b'k'; 70_000]].concat();
        let rest: Vec<usize> = found(&shelf, &long)
            .iter()
            .map(|(key, _)| key.len())
            .collect();
        let mut rest = rest;
        rest.sort_unstable();
        assert_eq!(rest, [0, 130_000]);
        let mut saving = store.begin().unwrap();
        for key in &keys {
            saving.remove(&shelf, &[b"group", key]);
        }
        saving.commit(&manifest).await.unwrap();
        assert_eq!(found(&shelf, b"group"), []);
    }
}
