//! The log: all topics in one folder, which one process has at a time.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use weir_base::{Clock, PartitionId, TopicId, TopicName};

use crate::config::ConfigCell;
use crate::groups::Groups;
use crate::journal;
use crate::meta::TopicMeta;
use crate::producer_ids::ProducerIds;
use crate::segment::Place;
use crate::shared::Shared;
use crate::transactions::Transactions;
use crate::upkeep::Upkeep;
use crate::{
    Error, LogSettings, Partition, Result, Topic, TopicConfig, TopicSpec, durable, faults,
    is_internal,
};

/// The most partitions that a topic has.
const PARTITIONS_MAX: u32 = 4096;
const LOCK_FILE: &str = "LOCK";

/// All topics in one folder. Clones are the same log.
///
/// ```
/// # use weir_topics::*; use weir_base::*; use std::sync::Arc;
/// # async fn example() -> Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// let log = TopicLog::open(LogSettings::new(dir.path()), Arc::new(SystemClock)).await?;
/// let spec = TopicSpec { partitions: 1, owned: false };
/// let topic = log.create_topic(&TopicName::new("bids").unwrap(), spec, TopicConfig::default()).await?;
/// let partition = topic.partition(PartitionId(0))?;
///
/// let mut builder = BatchBuilder::new();
/// builder.push(RecordRef { timestamp_ms: 17, value: Some(b"{}"), ..RecordRef::default() })?;
/// let (base, end) = partition.append(builder.build(), None)?.durable().await?;
///
/// let read = partition.read(base, end, 1 << 20)?;
/// assert_eq!(read.next, end);
/// assert_eq!(read.batches[0].records().next().unwrap()?.value, Some(b"{}".as_slice()));
/// log.close().await
/// # }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct TopicLog(Arc<Inner>);

/// A log that may be gone.
#[derive(Debug, Clone)]
pub(crate) struct WeakLog(Weak<Inner>);

impl WeakLog {
    /// The log, if anybody still has it.
    pub(crate) fn upgrade(&self) -> Result<TopicLog> {
        self.0.upgrade().map(TopicLog).ok_or(Error::Closed)
    }
}

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
    /// Shared with the thread of the upkeep, which must not keep the log itself alive.
    topics: Arc<RwLock<Topics>>,
    groups: Groups,
    transactions: Transactions,
    /// Held while topics are made, changed or deleted.
    changing: Mutex<()>,
    writers: Mutex<Vec<JoinHandle<()>>>,
    upkeep: Mutex<Vec<JoinHandle<()>>>,
    producer_ids: ProducerIds,
    /// The folder's lock, until the log is closed.
    lock: Mutex<Option<File>>,
}

#[derive(Debug, Default)]
struct Topics {
    by_name: BTreeMap<TopicName, Topic>,
    by_id: HashMap<TopicId, Topic>,
}

impl TopicLog {
    /// Opens the log in the settings' folder, which is made if it is not there, and repairs what a crash left. Transactions that
    /// were decided are complete on return, if the disk takes their markers.
    ///
    /// # Errors
    /// [`Error::Locked`] when another process has the folder; [`Error::Corrupt`] when acknowledged rows are damaged;
    /// [`Error::Setting`]; [`Error::Io`].
    pub async fn open(settings: LogSettings, clock: Arc<dyn Clock>) -> Result<Self> {
        let log = blocking(move || Self::open_blocking(settings, clock)).await?;
        log.0.transactions.resume().await?;
        Ok(log)
    }

    /// Makes a topic. It is durable on return.
    ///
    /// # Errors
    /// [`Error::TopicExists`], [`Error::TopicReserved`], [`Error::PartitionCount`], [`Error::Setting`], [`Error::Closed`],
    /// [`Error::Stopped`], [`Error::Io`].
    pub async fn create_topic(
        &self,
        name: &TopicName,
        spec: TopicSpec,
        config: TopicConfig,
    ) -> Result<Topic> {
        if is_internal(name) {
            return Err(Error::TopicReserved(name.clone()));
        }
        let (log, name) = (self.clone(), name.clone());
        blocking(move || log.create_blocking(name, spec, config)).await
    }

    /// Changes how a topic keeps its records. It is durable on return, and all clones of the topic have it.
    ///
    /// # Errors
    /// [`Error::TopicNotFound`], [`Error::TopicReserved`] for the log's own topics, [`Error::Setting`], [`Error::Closed`],
    /// [`Error::Stopped`], [`Error::Io`]; nothing is changed.
    pub async fn configure(&self, id: TopicId, config: TopicConfig) -> Result<Topic> {
        let log = self.clone();
        blocking(move || log.configure_blocking(id, config)).await
    }

    /// Gives a topic more partitions, `total` in all. They are durable on return. The topic that is answered has them, and so
    /// has each that is asked for from now on; clones from before keep their number.
    ///
    /// # Errors
    /// [`Error::PartitionCount`] when `total` is not more than it has, or too many; [`Error::TopicReserved`] for the log's own
    /// topics; [`Error::TopicNotFound`], [`Error::Closed`], [`Error::Stopped`], [`Error::Io`].
    pub async fn add_partitions(&self, id: TopicId, total: u32) -> Result<Topic> {
        let log = self.clone();
        blocking(move || log.add_partitions_blocking(id, total)).await
    }

    /// The topic of that name.
    pub fn topic(&self, name: &TopicName) -> Option<Topic> {
        self.0.topics.read().by_name.get(name).cloned()
    }

    /// The topic of that identity.
    pub fn topic_by_id(&self, id: TopicId) -> Option<Topic> {
        self.0.topics.read().by_id.get(&id).cloned()
    }

    /// The consumer groups, and what they have read.
    pub fn groups(&self) -> Groups {
        self.0.groups.clone()
    }

    /// The transactions.
    pub fn transactions(&self) -> Transactions {
        self.0.transactions.clone()
    }

    /// All topics, in order of name; also those of the log itself, see [`is_internal`].
    pub fn topics(&self) -> Vec<Topic> {
        self.0.topics.read().by_name.values().cloned().collect()
    }

    /// Deletes a topic and all its records. Who still holds it gets [`Error::TopicNotFound`] from then on; watchers wake.
    ///
    /// # Errors
    /// [`Error::TopicNotFound`], [`Error::Closed`], [`Error::Io`].
    pub async fn delete_topic(&self, id: TopicId) -> Result<()> {
        let log = self.clone();
        blocking(move || log.delete_blocking(id)).await
    }

    /// Looks after all topics once: closes segments that are due, moves starts by retention, compacts, and removes files that
    /// nobody holds any more. After [`TopicLog::begin_upkeep`] a thread of the log does the same every `upkeep_interval_ms`.
    /// `now_ms` is the time in milliseconds since the epoch.
    ///
    /// # Errors
    /// The first one that was met, when all partitions have been looked at.
    pub async fn maintain(&self, now_ms: i64) -> Result<()> {
        let log = self.clone();
        blocking(move || maintain(&log.0.shared, &log.0.topics, now_ms)).await
    }

    /// From now on, a thread of the log does what [`TopicLog::maintain`] does, every `upkeep_interval_ms`. Before this call nothing
    /// that was kept is taken away, so that who goes on from where it was can hold what it needs first.
    pub fn begin_upkeep(&self) {
        let interval = Duration::from_millis(self.0.shared.settings.upkeep_interval_ms);
        self.0.shared.upkeep.begin_rounds(interval);
    }

    /// A number for an idempotent producer, which none had before.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be noted.
    pub async fn new_producer_id(&self) -> Result<i64> {
        let log = self.clone();
        blocking(move || {
            let next = log.0.producer_ids.next();
            next.map_err(|error| Error::io("note", "the producers' numbers", error))
        })
        .await
    }

    /// Takes no more appends, finishes those under way, saves the indexes so that the next start is quick, and gives the folder
    /// free. Reads still work.
    ///
    /// # Errors
    /// [`Error::Io`] when an index cannot be saved: no row is lost by that.
    pub async fn close(&self) -> Result<()> {
        let log = self.clone();
        blocking(move || log.0.close()).await
    }

    /// Why the log stopped taking writes, if it did: after a failed write or sync it takes none until a restart.
    pub fn failure(&self) -> Option<String> {
        self.0.shared.failure().map(str::to_owned)
    }

    fn open_blocking(settings: LogSettings, clock: Arc<dyn Clock>) -> Result<Self> {
        settings.check()?;
        let dir = settings.dir.clone();
        durable::create_dir_all(&dir)
            .map_err(|error| Error::io("make the folder", dir.display(), error))?;
        let lock = lock_folder(&dir)?;
        let metas = TopicMeta::read_all(&dir)?;
        let producer_ids = ProducerIds::open(&dir)
            .map_err(|error| Error::io("read", "the producers' numbers", error))?;
        let shared = Shared::new(settings, Arc::clone(&clock));
        let opened = in_parallel(&metas, |meta| open_topic(&shared, &dir, meta));
        let mut topics = Topics::default();
        for topic in opened {
            let topic = topic?;
            topics.by_id.insert(topic.id(), topic.clone());
            if let Some(other) = topics.by_name.insert(topic.name().clone(), topic) {
                return Err(Error::Corrupt {
                    place: "the topic log's folder".to_owned(),
                    position: 0,
                    reason: format!("two topics are called \"{}\"", other.name()),
                });
            }
        }
        let offsets = journal::load(topics.by_name.values())?;
        let ledger = journal::load(topics.by_name.values())?;
        for topic in offsets.stale.iter().chain(&ledger.stale) {
            topics.remove(topic.id());
            if let Err(error) = remove_topic(&dir, topic) {
                tracing::warn!(%error, "an internal topic that is not used stays");
            }
        }
        let writers = shared
            .start_writers()
            .map_err(|error| Error::io("start", "the topic log's writers", error))?;
        let topics = Arc::new(RwLock::new(topics));
        let interval = Duration::from_millis(shared.settings.upkeep_interval_ms);
        let looked_after = Arc::clone(&topics);
        let weak = Arc::downgrade(&shared);
        // Said once, not at each round.
        let said = Mutex::new(None);
        let upkeep = Upkeep::start(&shared, interval, move || {
            let Some(shared) = weak.upgrade() else { return };
            let now_ms = shared.clock.now_ms();
            let failed = match maintain(&shared, &looked_after, now_ms) {
                Ok(()) | Err(Error::Closed | Error::Stopped(_)) => None,
                Err(error) => Some(error),
            };
            let text = failed.as_ref().map(Error::to_string);
            let mut said = said.lock();
            if let Some(error) = failed
                && *said != text
            {
                tracing::warn!(%error, "the upkeep of the topic log failed; it is tried again");
            }
            *said = text;
        });
        let upkeep = upkeep.map_err(|error| {
            shared.begin_close();
            shared.upkeep.begin_close();
            Error::io("start", "the topic log's upkeep", error)
        })?;
        Ok(Self(Arc::new_cyclic(|log| {
            let log = WeakLog(log.clone());
            let (groups, transactions) = (
                shared.settings.groups.clone(),
                shared.settings.transactions.clone(),
            );
            Inner {
                groups: Groups::new(log.clone(), offsets, groups, Arc::clone(&clock)),
                transactions: Transactions::new(log, ledger, transactions, Arc::clone(&clock)),
                dir,
                clock,
                shared,
                topics,
                changing: Mutex::default(),
                upkeep: Mutex::new(upkeep),
                writers: Mutex::new(writers),
                producer_ids,
                lock: Mutex::new(Some(lock)),
            }
        })))
    }

    pub(crate) fn create_blocking(
        &self,
        name: TopicName,
        spec: TopicSpec,
        config: TopicConfig,
    ) -> Result<Topic> {
        check_partitions(spec.partitions, 1)?;
        config.check()?;
        let _changing = self.0.changing.lock();
        self.0.check_open()?;
        self.0.shared.check_running()?;
        if self.topic(&name).is_some() {
            return Err(Error::TopicExists(name));
        }
        let meta = TopicMeta::new(name, spec, config, self.0.clock.now_ms());
        meta.create(&self.0.dir)
            .map_err(|error| Error::io("make", format!("topic \"{}\"", meta.name), error))?;
        let topic = open_topic(&self.0.shared, &self.0.dir, &meta)?;
        let mut topics = self.0.topics.write();
        topics.by_id.insert(meta.id, topic.clone());
        topics.by_name.insert(meta.name, topic.clone());
        Ok(topic)
    }

    fn configure_blocking(&self, id: TopicId, config: TopicConfig) -> Result<Topic> {
        config.check()?;
        let _changing = self.0.changing.lock();
        let topic = self.changeable(id)?;
        if is_internal(topic.name()) {
            return Err(Error::TopicReserved(topic.name().clone()));
        }
        let mut meta = topic.meta();
        let before = std::mem::replace(&mut meta.config, config);
        if before.flush_ms.is_some() && config.flush_ms.is_none() {
            // What was acknowledged unsynced is synced before it is written down that nothing is.
            topic.config_cell().set(TopicConfig {
                flush_ms: None,
                ..before
            });
        }
        let flushed = topic.partitions().iter().try_for_each(Partition::flush);
        let replaced = flushed.and_then(|()| {
            faults::configure()
                .and_then(|()| meta.replace(&self.0.dir, meta.spec.partitions))
                .map_err(|error| Error::io("configure", format!("topic \"{}\"", meta.name), error))
        });
        let now = if replaced.is_ok() { config } else { before };
        topic.config_cell().set(now);
        replaced.map(|()| topic)
    }

    fn add_partitions_blocking(&self, id: TopicId, total: u32) -> Result<Topic> {
        let _changing = self.0.changing.lock();
        let topic = self.changeable(id)?;
        if is_internal(topic.name()) {
            return Err(Error::TopicReserved(topic.name().clone()));
        }
        let mut meta = topic.meta();
        let before = std::mem::replace(&mut meta.spec.partitions, total);
        check_partitions(total, before.saturating_add(1))?;
        meta.replace(&self.0.dir, before).map_err(|error| {
            Error::io(
                "add partitions to",
                format!("topic \"{}\"", meta.name),
                error,
            )
        })?;
        let config = topic.config_cell();
        let mut partitions = topic.partitions().to_vec();
        for partition in before..total {
            partitions.push(open_partition(
                &self.0.shared,
                &self.0.dir,
                &meta,
                partition,
                config,
            )?);
        }
        let topic = topic.grown(meta, partitions);
        {
            let mut topics = self.0.topics.write();
            topics.by_id.insert(id, topic.clone());
            topics.by_name.insert(topic.name().clone(), topic.clone());
        }
        topic.tell_growth();
        Ok(topic)
    }

    /// The topic as it is now, if it and the log may be changed.
    fn changeable(&self, id: TopicId) -> Result<Topic> {
        self.0.check_open()?;
        self.0.shared.check_running()?;
        let topic = self.topic_by_id(id);
        topic.ok_or_else(|| Error::TopicNotFound(id.to_string()))
    }

    pub(crate) fn delete_blocking(&self, id: TopicId) -> Result<()> {
        let _changing = self.0.changing.lock();
        self.0.check_open()?;
        let topic = self.0.topics.write().remove(id);
        let topic = topic.ok_or_else(|| Error::TopicNotFound(id.to_string()))?;
        remove_topic(&self.0.dir, &topic)
    }
}

impl Topics {
    fn remove(&mut self, id: TopicId) -> Option<Topic> {
        let topic = self.by_id.remove(&id)?;
        self.by_name.remove(topic.name());
        Some(topic)
    }
}

impl Inner {
    fn check_open(&self) -> Result<()> {
        match &*self.lock.lock() {
            Some(_) => Ok(()),
            None => Err(Error::Closed),
        }
    }

    fn close(&self) -> Result<()> {
        self.groups.close();
        self.transactions.close();
        let _changing = self.changing.lock();
        self.finish_writers();
        if self.lock.lock().is_none() {
            return Ok(());
        }
        let mut saved = Ok(());
        for topic in self.topics.read().by_name.values() {
            for partition in topic.partitions() {
                if let Err(error) = partition.save() {
                    let place = format!("the index of topic \"{}\"", topic.name());
                    saved = Err(Error::io("save", place, error));
                }
            }
        }
        self.unlock();
        saved
    }

    /// Said, and not left to the closing of the file, which a child process forked just now may share.
    fn unlock(&self) {
        if let Some(lock) = self.lock.lock().take()
            && let Err(error) = lock.unlock()
        {
            tracing::warn!(%error, "cannot unlock the topic log's folder");
        }
    }

    fn finish_writers(&self) {
        self.shared.begin_close();
        for writer in self.writers.lock().drain(..) {
            // It has answered for its own failures.
            let _ = writer.join();
        }
        // After them, so that all that they wrote is synced.
        self.shared.upkeep.begin_close();
        for upkeep in self.upkeep.lock().drain(..) {
            let _ = upkeep.join();
        }
    }
}

impl Drop for Inner {
    /// What was appended is finished, and the folder is free; the next start scans a little, as nothing is saved here.
    fn drop(&mut self) {
        self.groups.close();
        self.transactions.close();
        self.finish_writers();
        for topic in self.topics.read().by_name.values() {
            topic.partitions().iter().for_each(Partition::finish_upkeep);
        }
        self.unlock();
    }
}

fn open_topic(shared: &Arc<Shared>, log: &Path, meta: &TopicMeta) -> Result<Topic> {
    let config = ConfigCell::new(meta.config);
    let partitions = (0..meta.spec.partitions)
        .map(|partition| open_partition(shared, log, meta, partition, &config))
        .collect::<Result<_>>()?;
    Ok(Topic::new(meta.clone(), config, partitions))
}

fn open_partition(
    shared: &Arc<Shared>,
    log: &Path,
    meta: &TopicMeta,
    partition: u32,
    config: &ConfigCell,
) -> Result<Partition> {
    let place = Place {
        topic: meta.name.clone(),
        partition: PartitionId(partition),
    };
    let dir = meta.partition_dir(log, place.partition);
    Partition::open(shared, place, dir, config.clone())
}

fn check_partitions(given: u32, least: u32) -> Result<()> {
    if (least..=PARTITIONS_MAX).contains(&given) {
        return Ok(());
    }
    Err(Error::PartitionCount {
        given,
        least,
        most: PARTITIONS_MAX,
    })
}

/// One round of upkeep.
fn maintain(shared: &Shared, topics: &RwLock<Topics>, now_ms: i64) -> Result<()> {
    let topics: Vec<Topic> = topics.read().by_name.values().cloned().collect();
    let partitions: Vec<Partition> = topics
        .iter()
        .flat_map(|topic| topic.partitions().iter().cloned())
        .collect();
    drop(topics);
    shared
        .upkeep
        .go_round(&partitions, |partition| partition.maintain(now_ms))
}

/// Ends all use of a topic that is no longer listed, and removes its folder.
fn remove_topic(log: &Path, topic: &Topic) -> Result<()> {
    for partition in topic.partitions() {
        partition.delete();
    }
    let removed = topic.meta().remove(log);
    removed.map_err(|error| Error::io("delete", format!("topic \"{}\"", topic.name()), error))
}

/// Takes the folder for this process. The lock goes when the file is closed, so also when the process dies.
fn lock_folder(dir: &Path) -> Result<File> {
    let io = |error| Error::io("lock the folder", dir.display(), error);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(dir.join(LOCK_FILE))
        .map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Locked(dir.display().to_string())),
        Err(TryLockError::Error(error)) => Err(io(error)),
    }
}

/// Does `work` for each item on a few threads; the answers are in the items' order.
fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = threads.min(8).min(items.len());
    if threads <= 1 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(items.len()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(at) else { return };
                    let result = work(item);
                    done.lock().push((at, result));
                }
            });
        }
    });
    let mut done = done.into_inner();
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(Error::Internal(error.to_string())))
}
