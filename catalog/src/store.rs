//! The catalog on disk, and its current version.
//!
//! A `fjall` database of five keyspaces: `entries` (identity → JSON of [`Entry`]), `secrets` (identity → JSON of a
//! connection's secrets), `meta` (`format`, `version`, `next_id`), `schemas` (JSON of a key → JSON of a record of the
//! schema registry), and `accounts` (JSON of a key → JSON of a user, role, token, grant or policy). A commit is one write batch over all of them, and is synced before it is acknowledged or seen.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use fail::fail_point;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::{error, info};
use weir_schemas::{Planned, Record, Registry};

use crate::accounts::{Accounts, Record as AccountRecord};
use crate::{Body, Change, Entry, Error, ObjectId, Result, Secret, Snapshot};

/// The format that this version writes and reads.
const FORMAT: u64 = 1;

/// The catalog of one data folder.
pub struct Catalog {
    current: ArcSwap<Snapshot>,
    registry: ArcSwap<Registry>,
    accounts: ArcSwap<Accounts>,
    /// Held while a change of the registry is planned and carried out: comparing schemas takes its time, which commits of
    /// the catalog itself need not wait for.
    registering: Mutex<()>,
    /// Held over a commit, so that versions follow one another.
    store: Mutex<Store>,
}

struct Store {
    dir: PathBuf,
    database: Database,
    entries: Keyspace,
    secrets: Keyspace,
    meta: Keyspace,
    schemas: Keyspace,
    accounts: Keyspace,
    failure: Option<String>,
}

impl Catalog {
    /// Opens the catalog in a folder, which is created when it is not there.
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::Format`], [`Error::Corrupt`], or [`Error::Storage`].
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        let store = Store::open(dir)?;
        let snapshot = match store.load()? {
            Some(snapshot) => snapshot,
            None => store.initialise()?,
        };
        let registry = store.load_registry()?;
        let accounts = store.load_accounts()?;
        info!(dir = %dir.display(), version = snapshot.version(), objects = snapshot.entries().count(), "catalog opened");
        Ok(Self {
            current: ArcSwap::from_pointee(snapshot),
            registry: ArcSwap::from_pointee(registry),
            accounts: ArcSwap::from_pointee(accounts),
            registering: Mutex::new(()),
            store: Mutex::new(store),
        })
    }

    /// The current version.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Makes changes true that were planned on the version `expected`: all of them, durably, or none. Blocks on the disk.
    ///
    /// # Errors
    /// [`Error::Stale`] when that version is not the current one any more; else when the outcome would not be consistent.
    /// [`Error::Storage`] when it cannot be written: whether it survives a restart is then not known, and the catalog
    /// takes no more changes until it is opened again.
    pub fn commit(&self, expected: u64, changes: Vec<Change>) -> Result<Arc<Snapshot>> {
        let mut store = self.store.lock();
        if let Some(reason) = &store.failure {
            return Err(Error::Failed(reason.clone()));
        }
        let current = self.current.load_full();
        if current.version() != expected {
            return Err(Error::Stale {
                expected,
                actual: current.version(),
            });
        }
        if changes.is_empty() {
            return Ok(current);
        }
        let next = Arc::new(current.apply(&changes)?);
        fail_point!("catalog::before_commit", |action| {
            abort_if_asked(action.as_deref());
            Err(Error::Internal(
                "fail point catalog::before_commit".to_owned(),
            ))
        });
        if let Err(failed) = store.write(&next, &changes) {
            error!(error = %failed, version = next.version(), "catalog commit failed, no more are taken");
            store.failure = Some(failed.to_string());
            return Err(failed);
        }
        fail_point!("catalog::after_commit", |action| {
            abort_if_asked(action.as_deref());
            Err(Error::Internal(
                "fail point catalog::after_commit".to_owned(),
            ))
        });
        self.current.store(next.clone());
        Ok(next)
    }

    /// The schema registry as it is now.
    pub fn registry(&self) -> Arc<Registry> {
        self.registry.load_full()
    }

    /// Carries out what `plan` makes of the current schema registry, durably or not at all, and gives its answer. Blocks on
    /// the disk, and on what `plan` computes.
    ///
    /// # Errors
    /// [`Error::Registry`] when `plan` refuses; [`Error::Storage`] as [`Catalog::commit`].
    pub fn change_registry<T>(
        &self,
        plan: impl FnOnce(&Registry) -> weir_schemas::Result<Planned<T>>,
    ) -> Result<T> {
        let _planning = self.registering.lock();
        let current = self.registry.load_full();
        let Planned { changes, answer } = plan(&current)?;
        if changes.is_empty() {
            return Ok(answer);
        }
        let next = Arc::new(current.apply(&changes)?);
        let mut store = self.store.lock();
        if let Some(reason) = &store.failure {
            return Err(Error::Failed(reason.clone()));
        }
        if let Err(failed) = store.write_registry(&changes) {
            error!(error = %failed, "a change of the schema registry failed, no more are taken");
            store.failure = Some(failed.to_string());
            return Err(failed);
        }
        fail_point!("catalog::after_registry", |action| {
            abort_if_asked(action.as_deref());
            Err(Error::Internal(
                "fail point catalog::after_registry".to_owned(),
            ))
        });
        self.registry.store(next);
        Ok(answer)
    }

    /// Users, roles, tokens, grants and policies as they are now.
    pub fn accounts(&self) -> Arc<Accounts> {
        self.accounts.load_full()
    }

    /// Makes true what `change` does to a draft of the next version of the accounts, durably or not at all, and gives its answer.
    /// Blocks on the disk; changes follow one another.
    ///
    /// # Errors
    /// When `change` refuses, or nobody would be left who may do everything; [`Error::Storage`] as [`Catalog::commit`].
    pub fn change_accounts<T>(&self, change: impl FnOnce(&mut Accounts) -> Result<T>) -> Result<T> {
        let mut store = self.store.lock();
        if let Some(reason) = &store.failure {
            return Err(Error::Failed(reason.clone()));
        }
        let current = self.accounts.load_full();
        let mut next = current.draft();
        let answer = change(&mut next)?;
        let snapshot = self.snapshot();
        // Identities are not given twice, so that what is left of a dropped object does no harm until now.
        next.forget_objects(|id| snapshot.by_id(id).is_none());
        next.may_follow(&current)?;
        if let Err(failed) = store.write_accounts(&current, &next) {
            error!(error = %failed, "a change of users and rights failed, no more are taken");
            store.failure = Some(failed.to_string());
            return Err(failed);
        }
        self.accounts.store(Arc::new(next));
        Ok(answer)
    }

    /// Why the catalog takes no more changes, once a commit has failed on the disk.
    pub fn failure(&self) -> Option<String> {
        self.store.lock().failure.clone()
    }
}

impl std::fmt::Debug for Catalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Catalog")
            .field("version", &self.current.load().version())
            .finish_non_exhaustive()
    }
}

impl Store {
    fn open(dir: &Path) -> Result<Self> {
        create_private_dir(dir).map_err(|error| storage(dir, "opened", error))?;
        let database = Database::builder(dir)
            .worker_threads(1)
            .cache_size(1 << 20)
            .max_journaling_size(64 << 20)
            .open()
            .map_err(|error| match error {
                fjall::Error::Locked => Error::Locked(dir.to_owned()),
                other => storage(dir, "opened", other),
            })?;
        let keyspace = |name: &str| {
            database
                .keyspace(name, KeyspaceCreateOptions::default)
                .map_err(|error| storage(dir, "opened", error))
        };
        Ok(Self {
            entries: keyspace("entries")?,
            secrets: keyspace("secrets")?,
            meta: keyspace("meta")?,
            schemas: keyspace("schemas")?,
            accounts: keyspace("accounts")?,
            dir: dir.to_owned(),
            database,
            failure: None,
        })
    }

    /// The version on disk; none in a new folder.
    fn load(&self) -> Result<Option<Snapshot>> {
        let Some(format) = self.number("format")? else {
            return if self
                .entries
                .is_empty()
                .map_err(|error| self.storage("read", error))?
            {
                Ok(None)
            } else {
                Err(self.corrupt("it has objects but no format number"))
            };
        };
        if format != FORMAT {
            return Err(Error::Format {
                dir: self.dir.clone(),
                found: format,
                supported: FORMAT,
            });
        }
        let required = |key: &str| {
            self.number(key)?
                .ok_or_else(|| self.corrupt(&format!("it has no {key}")))
        };
        let version = required("version")?;
        let next_id = ObjectId(required("next_id")?);
        let mut secrets: BTreeMap<ObjectId, BTreeMap<String, String>> = self.all(&self.secrets)?;
        let mut by_id = BTreeMap::new();
        for (id, mut entry) in self.all::<Entry>(&self.entries)? {
            if entry.id != id || id >= next_id {
                return Err(self.corrupt(&format!("object {id} is out of place")));
            }
            if let Body::Connection(connection) = &mut entry.body {
                let secrets = secrets.remove(&id).unwrap_or_default();
                connection.secrets = secrets
                    .into_iter()
                    .map(|(key, secret)| (key, Secret::new(secret)))
                    .collect();
            }
            by_id.insert(id, Arc::new(entry));
        }
        Snapshot::build(version, next_id, by_id)
            .map(Some)
            .map_err(|error| self.corrupt(&error.to_string()))
    }

    /// The schema registry on disk; an empty one in a new folder, and in one of before there were schemas.
    fn load_registry(&self) -> Result<Registry> {
        let mut records = Vec::new();
        for pair in self.schemas.iter() {
            let (_, value) = pair
                .into_inner()
                .map_err(|error| self.storage("read", error))?;
            let record: Record = serde_json::from_slice(&value)
                .map_err(|error| self.corrupt(&format!("a schema does not read: {error}")))?;
            records.push(record);
        }
        Registry::load(records)
            .map_err(|error| self.corrupt(&format!("the schema registry: {error}")))
    }

    /// Writes changes of the schema registry as one atomic batch, and syncs it.
    fn write_registry(&self, changes: &[weir_schemas::Change]) -> Result<()> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        for change in changes {
            match change {
                weir_schemas::Change::Put(record) => {
                    batch.insert(&self.schemas, to_json(&record.key())?, to_json(record)?);
                }
                weir_schemas::Change::Remove(key) => batch.remove(&self.schemas, to_json(key)?),
            }
        }
        fail_point!("catalog::write_registry", |action| {
            abort_if_asked(action.as_deref());
            Err(self.storage(
                "written",
                std::io::Error::other("fail point catalog::write_registry"),
            ))
        });
        batch
            .commit()
            .map_err(|error| self.storage("written", error))
    }

    /// The accounts on disk; the built-in ones alone in a new folder, and in one of before there were users.
    fn load_accounts(&self) -> Result<Accounts> {
        let mut records = Vec::new();
        for pair in self.accounts.iter() {
            let (_, value) = pair
                .into_inner()
                .map_err(|error| self.storage("read", error))?;
            // What does not read is a verifier or a hash: the reason must not quote it.
            let record: AccountRecord = serde_json::from_slice(&value)
                .map_err(|_| self.corrupt("a user, role, token, grant or policy does not read"))?;
            records.push(record);
        }
        Ok(Accounts::load(records))
    }

    /// Writes what differs between two versions of the accounts as one atomic batch, and syncs it.
    fn write_accounts(&self, earlier: &Accounts, next: &Accounts) -> Result<()> {
        let (earlier, next) = (earlier.records(), next.records());
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        for key in earlier.keys().filter(|key| !next.contains_key(*key)) {
            batch.remove(&self.accounts, to_json(key)?);
        }
        for (key, record) in &next {
            if earlier.get(key) != Some(record) {
                batch.insert(&self.accounts, to_json(key)?, to_json(record)?);
            }
        }
        batch
            .commit()
            .map_err(|error| self.storage("written", error))
    }

    /// Writes the first version.
    fn initialise(&self) -> Result<Snapshot> {
        let first = Snapshot::initial();
        let changes: Vec<Change> = first.entries().cloned().map(Change::Put).collect();
        self.write(&first, &changes)?;
        Ok(first)
    }

    /// Writes a version as one atomic batch, and syncs it.
    fn write(&self, next: &Snapshot, changes: &[Change]) -> Result<()> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        for change in changes {
            match change {
                Change::Put(entry) => {
                    let key = key_of(entry.id);
                    batch.insert(&self.entries, key, to_json(entry.as_ref())?);
                    match &entry.body {
                        Body::Connection(connection) if !connection.secrets.is_empty() => {
                            let secrets: BTreeMap<&str, &str> = connection
                                .secrets
                                .iter()
                                .map(|(key, secret)| (key.as_str(), secret.expose()))
                                .collect();
                            batch.insert(&self.secrets, key, to_json(&secrets)?);
                        }
                        Body::Connection(_) => batch.remove(&self.secrets, key),
                        _ => {}
                    }
                }
                Change::Remove(id) => {
                    batch.remove(&self.entries, key_of(*id));
                    batch.remove(&self.secrets, key_of(*id));
                }
            }
        }
        for (key, number) in [
            ("format", FORMAT),
            ("version", next.version()),
            ("next_id", next.next_id().0),
        ] {
            batch.insert(&self.meta, key, number.to_be_bytes());
        }
        fail_point!("catalog::write", |_| Err(self.storage(
            "written",
            std::io::Error::other("fail point catalog::write")
        )));
        batch
            .commit()
            .map_err(|error| self.storage("written", error))
    }

    fn number(&self, key: &str) -> Result<Option<u64>> {
        let bytes = self
            .meta
            .get(key)
            .map_err(|error| self.storage("read", error))?;
        bytes
            .map(|bytes| {
                let bytes = bytes.as_ref().try_into();
                let bytes = bytes.map_err(|_| self.corrupt(&format!("{key} is no number")))?;
                Ok(u64::from_be_bytes(bytes))
            })
            .transpose()
    }

    fn all<T: DeserializeOwned>(&self, keyspace: &Keyspace) -> Result<BTreeMap<ObjectId, T>> {
        let mut all = BTreeMap::new();
        for pair in keyspace.iter() {
            let (key, value) = pair
                .into_inner()
                .map_err(|error| self.storage("read", error))?;
            let id = key.as_ref().try_into().map(u64::from_be_bytes);
            let id = ObjectId(id.map_err(|_| self.corrupt("a key is no identity"))?);
            let value = serde_json::from_slice(&value)
                .map_err(|error| self.corrupt(&format!("object {id} does not read: {error}")))?;
            all.insert(id, value);
        }
        Ok(all)
    }

    fn storage(
        &self,
        doing: &'static str,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Error {
        storage(&self.dir, doing, source)
    }

    fn corrupt(&self, reason: &str) -> Error {
        Error::Corrupt {
            dir: self.dir.clone(),
            reason: reason.to_owned(),
        }
    }
}

fn key_of(id: ObjectId) -> [u8; 8] {
    id.0.to_be_bytes()
}

fn to_json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::Internal(error.to_string()))
}

fn storage(
    dir: &Path,
    doing: &'static str,
    source: impl std::error::Error + Send + Sync + 'static,
) -> Error {
    Error::Storage {
        dir: dir.to_owned(),
        doing,
        source: Box::new(source),
    }
}

/// The folder holds secrets: nobody but the server's own user looks into it.
fn create_private_dir(dir: &Path) -> std::io::Result<()> {
    fs::create_dir_all(dir)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Ends the process as a crash does, where a test set the fail point to `return(abort)`.
#[cfg_attr(not(feature = "failpoints"), allow(dead_code))]
fn abort_if_asked(action: Option<&str>) {
    if action == Some("abort") {
        std::process::abort();
    }
}
