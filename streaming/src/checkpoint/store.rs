//! Where state is kept.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Slice, UserKey, UserValue};
use parking_lot::{Mutex, RwLock};
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;
use weir_connectors::files::ObjectFolder;

use super::Manifest;
use super::copies::{Copier, Copies, CopyProgress, Landed};
use super::flight::{Flight, Writes};
use crate::error::{Error, Result};
use crate::runtime::JobId;

/// The number of no operator: under it is the manifest.
pub(super) const MANIFEST: [u8; 2] = [0xff, 0xff];
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
    /// Held while a checkpoint of a job is written, by the name of its keyspace.
    turns: Arc<Mutex<HashMap<String, Turn>>>,
    gate: Option<Gate>,
    copies: Option<Copies>,
}

/// Held while one writes.
pub(super) type Turn = Arc<tokio::sync::Mutex<()>>;
/// Asked before a checkpoint is written: tests hold it there, or let it fail.
type Gate = Arc<dyn Fn() -> Result<()> + Send + Sync>;

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
            turns: Arc::default(),
            gate: None,
            copies: None,
        })
    }

    /// The same, whose checkpoints pass a gate.
    #[cfg(test)]
    pub(crate) fn with_gate(self, gate: impl Fn() -> Result<()> + Send + Sync + 'static) -> Self {
        Self {
            gate: Some(Arc::new(gate)),
            ..self
        }
    }

    /// The same, whose checkpoints are copied into a folder that `folder` finds. The state of those of `jobs`, by their generations, that is
    /// not on disk is brought back from there when it is asked for.
    ///
    /// # Errors
    /// When the state on disk cannot be read.
    pub fn with_copies(
        self,
        folder: impl Fn() -> weir_connectors::Result<ObjectFolder> + Send + Sync + 'static,
        jobs: impl IntoIterator<Item = (JobId, u32)>,
    ) -> Result<Self> {
        let mut lost = HashSet::new();
        for (job, generation) in jobs {
            let name = name(job, generation);
            let is_there = self.database.keyspace_exists(&name)
                && self.keyspace(&name)?.contains_key(MANIFEST)?;
            if !is_there {
                lost.insert(name);
            }
        }
        Ok(Self {
            copies: Some(Copies::new(folder, lost)),
            ..self
        })
    }

    /// Removes the copies of all jobs, and generations of them, but some.
    ///
    /// # Errors
    /// When the place of copies cannot be read or written.
    pub async fn retain_copies(&self, is_kept: impl Fn(JobId, u32) -> bool) -> Result<()> {
        let Some(copies) = &self.copies else {
            return Ok(());
        };
        let is_kept =
            |named: &str| job_of(named).is_none_or(|(job, generation)| is_kept(job, generation));
        copies.retain(is_kept).await
    }

    /// Waits until the checkpoints of jobs that have ended are copied, for some time at the most.
    pub async fn settle_copies(&self, at_most: Duration) {
        if let Some(copies) = &self.copies {
            copies.settle(at_most).await;
        }
    }

    fn keyspace(&self, name: &str) -> Result<Keyspace> {
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
        Ok(self.database.keyspace(name, options)?)
    }

    /// The state of one job. One of another generation computes something else. A checkpoint that who had it before left on its way
    /// is waited for.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub async fn of(&self, job: JobId, generation: u32) -> Result<JobStore> {
        self.open_job(job, generation, self.copies.as_ref()).await
    }

    /// As [`Checkpoints::of`], of a job whose checkpoints are not copied: what it has written says too little of whether a copy is of the
    /// same past.
    ///
    /// # Errors
    /// As [`Checkpoints::of`].
    pub async fn uncopied(&self, job: JobId, generation: u32) -> Result<JobStore> {
        self.open_job(job, generation, None).await
    }

    async fn open_job(
        &self,
        job: JobId,
        generation: u32,
        copies: Option<&Copies>,
    ) -> Result<JobStore> {
        let name = name(job, generation);
        let turn = Arc::clone(self.turns.lock().entry(name.clone()).or_default());
        let flown = turn.lock().await;
        let keyspace = self.keyspace(&name)?;
        let mut copier = None;
        if let Some(copies) = copies {
            copies.bring_back(&name, &self.database, &keyspace).await?;
            copier = Some(copies.begin(&name, &self.database, &keyspace));
        }
        drop(flown);
        Ok(JobStore(Arc::new(Kept {
            database: self.database.clone(),
            keyspace,
            turn,
            flight: RwLock::default(),
            broken: AtomicBool::new(false),
            gate: self.gate.clone(),
            copier,
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
            if job_of(&named).is_some_and(|(job, generation)| !is_kept(job, generation)) {
                let keyspace = self
                    .database
                    .keyspace(&named, KeyspaceCreateOptions::default)?;
                self.database.delete_keyspace(keyspace)?;
                self.turns.lock().remove(&*named);
            }
        }
        Ok(())
    }
}

const PREFIX: &str = "job-";

fn name(job: JobId, generation: u32) -> String {
    format!("{PREFIX}{job}-{generation}")
}

/// The job whose keyspace has a name.
fn job_of(name: &str) -> Option<(JobId, u32)> {
    let (id, generation) = name.strip_prefix(PREFIX)?.split_once('-')?;
    Some((id.parse().ok()?, generation.parse().ok()?))
}

/// The state of one job. Clones are the same.
#[derive(Clone)]
pub struct JobStore(Arc<Kept>);

struct Kept {
    database: Database,
    keyspace: Keyspace,
    turn: Turn,
    /// What the checkpoint writes that is on its way, or that failed: the store is read as if it were there.
    flight: RwLock<Option<Arc<Writes>>>,
    /// Whether a checkpoint failed: what later ones would add to is not there.
    broken: AtomicBool,
    gate: Option<Gate>,
    copier: Option<Copier>,
}

impl Kept {
    /// Writes a checkpoint, durably, and has it copied.
    fn write(&self, writes: &Arc<Writes>, manifest: Manifest) -> Result<()> {
        let encoded = serde_json::to_vec(&manifest);
        let encoded = encoded.map_err(|_| Error::Internal("a manifest cannot be written"))?;
        if let Some(gate) = &self.gate {
            gate()?;
        }
        let mut batch = self.database.batch();
        for (key, value) in writes.iter() {
            match value {
                Some(value) => batch.insert(&self.keyspace, key.clone(), value.clone()),
                None => batch.remove(&self.keyspace, key.clone()),
            }
        }
        batch.insert(&self.keyspace, MANIFEST, encoded.as_slice());
        batch.durability(Some(PersistMode::SyncAll)).commit()?;
        if let Some(copier) = &self.copier {
            copier.offer(Landed {
                manifest,
                encoded,
                writes: Arc::clone(writes),
            });
        }
        Ok(())
    }
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
    pub async fn clear(&self) -> Result<()> {
        let _turn = self.0.turn.lock().await;
        *self.0.flight.write() = None;
        // Clearing one that has nothing costs a sync all the same.
        match self.0.keyspace.is_empty()? {
            true => Ok(()),
            false => Ok(self.0.keyspace.clear()?),
        }
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
            writes: Writes::default(),
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

    /// Tells how its copies do, where there are some.
    pub(crate) fn copies(&self) -> CopyProgress {
        let copier = self.0.copier.as_ref();
        copier.map(Copier::progress).unwrap_or_default()
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
        // In this order: what lands meanwhile is seen either way.
        let flight = store.0.flight.read().clone();
        let value = match flight.as_ref().and_then(|flight| flight.get(&stored)) {
            Some(flying) => flying.cloned(),
            None => store.0.keyspace.get(&stored)?,
        };
        let Some(value) = value else {
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
        let mut see = |key: &[u8], value: &[u8]| {
            let (key, value) = read(key, value)?;
            match key.strip_prefix(prefix.as_slice()) {
                Some(rest) => see(rest, value),
                None => Ok(()),
            }
        };
        // In this order: what lands meanwhile is seen either way.
        let flight = store.0.flight.read().clone();
        let flight = flight.as_deref();
        let flying = flight.into_iter().flat_map(|flight| flight.under(stored));
        let mut flying = flying.peekable();
        for found in store.0.keyspace.prefix(stored) {
            let (key, value): (UserKey, UserValue) = found.into_inner()?;
            while let Some((before, written)) = flying.next_if(|(flying, _)| **flying < key) {
                written.map_or(Ok(()), |written| see(before, written))?;
            }
            match flying.next_if(|(flying, _)| **flying == key) {
                Some((_, written)) => written.map_or(Ok(()), |written| see(&key, written))?,
                None => see(&key, &value)?,
            }
        }
        flying.try_for_each(|(key, written)| written.map_or(Ok(()), |written| see(key, written)))
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
    writes: Writes,
}

impl Saving {
    pub(crate) fn put(&mut self, shelf: &Shelf, parts: &[&[u8]], value: &[u8]) {
        let key = shelf.key(parts);
        if let Cow::Owned(stored) = stored_key(&key) {
            let length = (key.len() as u32).to_le_bytes();
            let value = [&length, key.as_slice(), value].concat();
            self.writes.push(stored, Some(value.into()));
        } else {
            self.writes.push(key, Some(value.into()));
        }
    }

    pub(crate) fn remove(&mut self, shelf: &Shelf, parts: &[&[u8]]) {
        let key = shelf.key(parts);
        self.writes.push(stored_key(&key).into_owned(), None);
    }

    /// Lets it be written while others go on; the store is read as if it were there at once.
    ///
    /// # Errors
    /// When another of the job is still being written.
    pub(crate) fn launch(self, manifest: &Manifest) -> Result<Flight> {
        let manifest = manifest.clone();
        let kept = Arc::clone(&self.store.0);
        let turn = Arc::clone(&kept.turn).try_lock_owned();
        let turn = turn.map_err(|_| Error::Internal("two checkpoints of a job at once"))?;
        let writes = Arc::new(self.writes);
        *kept.flight.write() = Some(Arc::clone(&writes));
        let task = spawn_blocking(move || {
            let _turn = turn;
            kept.write(&writes, manifest)?;
            *kept.flight.write() = None;
            Ok(())
        });
        Ok(Flight::new(self.store, task))
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
        let checkpoints = Checkpoints::open(dir.path()).unwrap();
        let store = checkpoints.of(1, 0).await.unwrap();
        let shelf = Shelf::new(Some(store.clone()), 7, false);
        let lengths = [0, 1, KEY_BYTES_MAX - 3, KEY_BYTES_MAX, 70_000, 200_000];
        let keys = lengths.map(|length| vec![b'k'; length]);
        let mut saving = store.begin().unwrap();
        for (key, value) in keys.iter().zip(0u8..) {
            saving.put(&shelf, &[b"group", key], &[value]);
        }
        let manifest = Manifest::new("", &[], OffsetVector::new(), 1);
        saving.launch(&manifest).unwrap().landed().await.unwrap();
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
        saving.launch(&manifest).unwrap().landed().await.unwrap();
        assert_eq!(found(&shelf, b"group"), []);
    }
    #[tokio::test]
    async fn what_is_on_its_way_is_read_as_if_it_were_there() {
        let dir = tempfile::tempdir().unwrap();
        let (open, held) = std::sync::mpsc::channel::<Result<()>>();
        let held = Mutex::new(held);
        let checkpoints = Checkpoints::open(dir.path()).unwrap();
        let checkpoints = checkpoints.with_gate(move || held.lock().recv().unwrap());
        let manifest = Manifest::new("", &[], OffsetVector::new(), 1);
        let store = checkpoints.of(1, 0).await.unwrap();
        let shelf = Shelf::new(Some(store.clone()), 7, false);
        let mut saving = store.begin().unwrap();
        for key in *b"bdf" {
            saving.put(&shelf, &[b"g", &[key]], &[1]);
        }
        open.send(Ok(())).unwrap();
        saving.launch(&manifest).unwrap().landed().await.unwrap();
        let mut saving = store.begin().unwrap();
        for key in *b"ace" {
            saving.put(&shelf, &[b"g", &[key]], &[2]);
        }
        saving.put(&shelf, &[b"g", b"d"], &[2]);
        saving.remove(&shelf, &[b"g", b"f"]);
        let flight = saving.launch(&manifest).unwrap();
        let there = |shelf: &Shelf| {
            let found = found(shelf, b"g").into_iter();
            found
                .map(|(key, value)| (key[0], value[0]))
                .collect::<Vec<_>>()
        };
        let after = [(b'a', 2), (b'b', 1), (b'c', 2), (b'd', 2), (b'e', 2)];
        assert_eq!(there(&shelf), after);
        assert_eq!(shelf.get(&[b"g", b"f"]).unwrap(), None);
        assert_eq!(shelf.get(&[b"g", b"d"]).unwrap().as_deref(), Some(&[2][..]));
        // Another at the same time would be the later one, and the earlier might land after it.
        assert!(store.begin().unwrap().launch(&manifest).is_err());
        open.send(Ok(())).unwrap();
        flight.landed().await.unwrap();
        assert_eq!(there(&shelf), after);
        // What failed is read by who took it for saved, and by nobody else.
        let mut saving = store.begin().unwrap();
        saving.remove(&shelf, &[b"g", b"a"]);
        open.send(Err(Error::Internal("no room"))).unwrap();
        assert!(saving.launch(&manifest).unwrap().landed().await.is_err());
        assert_eq!(there(&shelf), after[1..]);
        assert!(store.begin().is_err());
        let again = Shelf::new(Some(checkpoints.of(1, 0).await.unwrap()), 7, true);
        assert_eq!(there(&again), after);
    }
}
