//! A state kept in an internal topic of the log, which is written anew when little of it still lives: what consumer groups have
//! committed, and the transactions.
//!
//! The first topic has the state's own name, say `__weir_groups`, later ones are `__weir_groups.1`, and so on. Each begins with
//! a snapshot of what was there before, and a record that says that the snapshot is whole; changes follow. A start takes the
//! newest topic that is whole, and deletes the others: so a crash at any moment leaves the old topic or the new one.
//!
//! One thread at a time writes: what came in while it waited for the disk is its next batch.

mod reader;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use weir_base::{PartitionId, TopicId, TopicName};

pub(crate) use reader::{Place, Reader, Unreadable, put_place, put_text};

use crate::log::WeakLog;
use crate::{
    BatchBuilder, Error, Partition, RecordRef, Result, Topic, TopicConfig, TopicLog, TopicSpec,
};

pub(crate) const SPEC: TopicSpec = TopicSpec {
    partitions: 1,
    owned: true,
};
/// A batch is closed when it has so many bytes.
const BATCH_BYTES: u64 = 1 << 20;
/// How much is read at a time.
const READ_BYTES: usize = 4 << 20;
/// The topic is written anew when it is so many times as large as what lives.
const COMPACT_RATIO: u64 = 4;

/// A state that is the sum of changes, each about one key.
pub(crate) trait Kept: Default + fmt::Debug + Send + Sync + 'static {
    /// What happens to a key.
    type Change: Clone + fmt::Debug + Send + Sync + 'static;
    /// The name of the topic.
    const TOPIC: &'static str;

    /// The record's value.
    fn encode(change: &Self::Change) -> Vec<u8>;
    /// The change that a value says; otherwise why it says none.
    fn decode(value: &[u8]) -> std::result::Result<Self::Change, String>;
    /// The change of no key that says that all which lived has been written before it.
    fn whole() -> Self::Change;
    /// Whether the change is [`Kept::whole`].
    fn is_whole(change: &Self::Change) -> bool;
    /// Does what a change says.
    fn apply(&mut self, key: &str, change: Self::Change);
    /// The changes that say all that there is.
    fn snapshot(&self) -> Vec<(String, Self::Change)>;
    /// About how much a snapshot takes up, in bytes.
    fn bytes(&self) -> u64;
    /// About how much a change takes up, in bytes.
    fn bytes_of(change: &Self::Change) -> u64;
    /// Whether a change is within the bounds.
    fn has_room(&self, key: &str, change: &Self::Change) -> bool;
    /// Forgets what is about topics that do not exist.
    fn forget_topics(&mut self, exists: impl Fn(TopicId) -> bool);
}

/// Why a change was not made.
#[derive(Debug, Clone)]
pub(crate) enum Refused {
    /// A bound is reached.
    Full,
    /// The log refused.
    Log(Error),
}

/// What was found at the start.
#[derive(Debug, Default)]
pub(crate) struct Loaded<K> {
    pub(crate) state: K,
    topic: Option<Topic>,
    next_number: u64,
    /// Topics that are not whole, or have been replaced.
    pub(crate) stale: Vec<Topic>,
}

/// Reads a state back. Blocks on the disk.
///
/// # Errors
/// As [`Partition::read`]; [`Error::Corrupt`] when a record is not understood.
pub(crate) fn load<'a, K: Kept>(topics: impl Iterator<Item = &'a Topic>) -> Result<Loaded<K>> {
    let own = topics.filter(|topic| topic.spec() == SPEC);
    let numbered =
        own.filter_map(|topic| Some((number_of(K::TOPIC, topic.name())?, topic.clone())));
    let mut numbered: Vec<(u64, Topic)> = numbered.collect();
    numbered.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
    let newest = numbered.first().map(|(number, _)| *number);
    let mut loaded = Loaded {
        next_number: newest.map_or(0, |number| number.saturating_add(1)),
        state: K::default(),
        topic: None,
        stale: Vec::new(),
    };
    for (_, topic) in numbered {
        if loaded.topic.is_none()
            && let Some(state) = read(&topic)?
        {
            loaded.state = state;
            loaded.topic = Some(topic);
        } else {
            loaded.stale.push(topic);
        }
    }
    Ok(loaded)
}

/// A state, and the topic that keeps it.
#[derive(Debug)]
pub(crate) struct Journal<K: Kept> {
    log: WeakLog,
    state: RwLock<K>,
    queue: Mutex<Queue<K::Change>>,
    /// Had by the thread that writes.
    current: Mutex<Current>,
    compact_bytes_min: u64,
}

#[derive(Debug)]
struct Queue<C> {
    waiting: VecDeque<Request<C>>,
    /// Whether a thread writes, or is about to.
    writing: bool,
}

/// A change that is to be made durable.
#[derive(Debug)]
struct Request<C> {
    key: String,
    change: C,
    answer: oneshot::Sender<std::result::Result<(), Refused>>,
}

/// The topic that is written, and when to look at its size again.
#[derive(Debug)]
struct Current {
    topic: Option<Topic>,
    /// Of the next topic. None is used twice: a topic whose deletion failed may still be on disk.
    next_number: u64,
    check_bytes: u64,
}

/// The right to write; when it ends early, nobody is left waiting.
struct Turn<K: Kept> {
    journal: Arc<Journal<K>>,
    over: bool,
}

/// A change on its way to the disk.
#[derive(Debug)]
pub(crate) struct Submitted(oneshot::Receiver<std::result::Result<(), Refused>>);

impl Submitted {
    /// Waits until the change is durable and seen.
    pub(crate) async fn done(self) -> std::result::Result<(), Refused> {
        self.0.await.unwrap_or(Err(Refused::Log(Error::Closed)))
    }
}

impl<K: Kept> Journal<K> {
    /// Goes on with what was found.
    pub(crate) fn new(log: WeakLog, loaded: Loaded<K>, compact_bytes_min: u64) -> Arc<Self> {
        Arc::new(Self {
            log,
            state: RwLock::new(loaded.state),
            queue: Mutex::new(Queue {
                waiting: VecDeque::new(),
                writing: false,
            }),
            current: Mutex::new(Current {
                topic: loaded.topic,
                next_number: loaded.next_number,
                check_bytes: compact_bytes_min,
            }),
            compact_bytes_min,
        })
    }

    /// What is durable. To be held for moments only.
    pub(crate) fn state(&self) -> RwLockReadGuard<'_, K> {
        self.state.read()
    }

    /// Makes a change, durable on return. It is made even if the caller does not wait for it.
    pub(crate) async fn change(
        self: &Arc<Self>,
        key: &str,
        change: K::Change,
    ) -> std::result::Result<(), Refused> {
        self.submit(key, change).done().await
    }

    /// As [`Journal::change`]; changes are made in the order in which they are submitted. To be called within a runtime.
    pub(crate) fn submit(self: &Arc<Self>, key: &str, change: K::Change) -> Submitted {
        let (answer, done) = oneshot::channel();
        let begin = {
            let mut queue = self.queue.lock();
            queue.waiting.push_back(Request {
                key: key.to_owned(),
                change,
                answer,
            });
            !std::mem::replace(&mut queue.writing, true)
        };
        if begin {
            let turn = Turn {
                journal: Arc::clone(self),
                over: false,
            };
            tokio::task::spawn_blocking(move || turn.write_all());
        }
        Submitted(done)
    }

    /// Makes the changes durable and then seen, all or none.
    fn write(&self, changes: &[(String, K::Change)]) -> Result<()> {
        let log = self.log.upgrade()?;
        let mut current = self.current.lock();
        let topic = match &current.topic {
            Some(topic) if log.topic_by_id(topic.id()).is_some() => topic.clone(),
            _ => {
                let topic = self.begin_topic(&log, &mut current)?;
                current.topic = Some(topic.clone());
                topic
            }
        };
        append::<K>(topic.partition(PartitionId(0))?, changes)?;
        let mut state = self.state.write();
        for (key, change) in changes {
            state.apply(key, change.clone());
        }
        drop(state);
        if topic.size_bytes() > current.check_bytes {
            self.compact(&log, &mut current, &topic);
        }
        Ok(())
    }

    /// Writes the topic anew if little of it lives.
    fn compact(&self, log: &TopicLog, current: &mut Current, topic: &Topic) {
        let size_bytes = topic.size_bytes();
        let live_bytes = self.forget_topics(log);
        if size_bytes > live_bytes.saturating_mul(COMPACT_RATIO) {
            match self.begin_topic(log, current) {
                Ok(new) => {
                    current.topic = Some(new);
                    delete(log, topic);
                }
                Err(error) => {
                    tracing::warn!(topic = %topic.name(), %error, size_bytes, "cannot write an internal topic anew");
                    current.check_bytes = size_bytes.saturating_mul(2);
                    return;
                }
            }
        }
        let next_bytes = live_bytes.saturating_mul(COMPACT_RATIO);
        current.check_bytes = next_bytes.max(self.compact_bytes_min);
    }

    /// Forgets what is about deleted topics; how much is left.
    fn forget_topics(&self, log: &TopicLog) -> u64 {
        let mut state = self.state.write();
        state.forget_topics(|topic| log.topic_by_id(topic).is_some());
        state.bytes()
    }

    /// Makes the next topic, with all that lives in it.
    fn begin_topic(&self, log: &TopicLog, current: &mut Current) -> Result<Topic> {
        let name = name_of(K::TOPIC, current.next_number)?;
        current.next_number = current.next_number.saturating_add(1);
        let topic = log.create_blocking(name, SPEC, TopicConfig::default())?;
        let written = self.write_snapshot(&topic);
        if written.is_err() {
            delete(log, &topic);
        }
        written.map(|()| topic)
    }

    fn write_snapshot(&self, topic: &Topic) -> Result<()> {
        let partition = topic.partition(PartitionId(0))?;
        let records = self.state.read().snapshot();
        let (mut part, mut part_bytes) = (Vec::new(), 0);
        for record in records {
            part_bytes += K::bytes_of(&record.1);
            part.push(record);
            if part_bytes >= BATCH_BYTES {
                append::<K>(partition, &part)?;
                (part, part_bytes) = (Vec::new(), 0);
            }
        }
        if !part.is_empty() {
            append::<K>(partition, &part)?;
        }
        // By itself, so that it is there only when all else is.
        append::<K>(partition, &[(String::new(), K::whole())])
    }

    /// Whether there is room for a change.
    fn has_room(&self, request: &Request<K::Change>) -> bool {
        let Request { key, change, .. } = request;
        if self.state.read().has_room(key, change) {
            return true;
        }
        if let Ok(log) = self.log.upgrade() {
            self.forget_topics(&log);
        }
        self.state.read().has_room(key, change)
    }
}

impl<K: Kept> Turn<K> {
    /// Writes until nothing waits.
    fn write_all(mut self) {
        let journal = Arc::clone(&self.journal);
        loop {
            let mut batch = Vec::new();
            {
                let mut queue = journal.queue.lock();
                let mut bytes = 0;
                while bytes < BATCH_BYTES
                    && let Some(request) = queue.waiting.pop_front()
                {
                    bytes += K::bytes_of(&request.change);
                    batch.push(request);
                }
                if batch.is_empty() {
                    // From here on another may have its turn.
                    queue.writing = false;
                    self.over = true;
                    return;
                }
            }
            let (batch, refused): (Vec<_>, Vec<_>) = batch
                .into_iter()
                .partition(|request| journal.has_room(request));
            for request in refused {
                let _ = request.answer.send(Err(Refused::Full));
            }
            let (mut changes, mut answers) = (Vec::new(), Vec::new());
            for request in batch {
                changes.push((request.key, request.change));
                answers.push(request.answer);
            }
            if changes.is_empty() {
                continue;
            }
            let written = journal.write(&changes);
            for answer in answers {
                // Who no longer waits need not know.
                let _ = answer.send(written.clone().map_err(Refused::Log));
            }
        }
    }
}

impl<K: Kept> Drop for Turn<K> {
    /// The runtime may have ended before the turn came, or a defect have ended it.
    fn drop(&mut self) {
        if !self.over {
            let mut queue = self.journal.queue.lock();
            queue.writing = false;
            queue.waiting.clear();
        }
    }
}

/// The state that a topic says; `None` when it is not whole.
fn read<K: Kept>(topic: &Topic) -> Result<Option<K>> {
    let partition = topic.partition(PartitionId(0))?;
    let end = partition.stable_offset();
    let (mut next, mut state, mut whole) = (partition.start_offset(), K::default(), false);
    while next < end {
        let read = partition.read(next, end, READ_BYTES)?;
        for batch in &read.batches {
            for record in batch.records() {
                let record = record?;
                let corrupt = |reason: String| Error::Corrupt {
                    place: format!("the record at offset {} of {}", record.offset, topic.name()),
                    position: 0,
                    reason,
                };
                let change = K::decode(record.value.unwrap_or_default()).map_err(corrupt)?;
                let key = std::str::from_utf8(record.key.unwrap_or_default());
                let key = key.map_err(|error| corrupt(error.to_string()))?;
                whole |= K::is_whole(&change);
                state.apply(key, change);
            }
        }
        next = read.next;
    }
    Ok(whole.then_some(state))
}

/// Appends the changes as one batch, durable on return. Blocks; outside of asynchronous code only.
pub(crate) fn append<K: Kept>(
    partition: &Partition,
    changes: &[(String, K::Change)],
) -> Result<()> {
    let mut builder = BatchBuilder::new();
    for (key, change) in changes {
        builder.push(RecordRef {
            key: Some(key.as_bytes()),
            value: Some(&K::encode(change)),
            ..RecordRef::default()
        })?;
    }
    let appended = partition.append(builder.build(), None)?;
    Handle::current().block_on(appended.durable())?;
    Ok(())
}

fn delete(log: &TopicLog, topic: &Topic) {
    if let Err(error) = log.delete_blocking(topic.id()) {
        tracing::warn!(topic = %topic.name(), %error, "cannot delete an internal topic; the next start will");
    }
}

fn name_of(topic: &str, number: u64) -> Result<TopicName> {
    let name = match number {
        0 => topic.to_owned(),
        number => format!("{topic}.{number}"),
    };
    TopicName::new(name).map_err(|error| Error::Internal(error.to_string()))
}

/// Which of the topics of a state has this name, if one has.
pub(crate) fn number_of(topic: &str, name: &TopicName) -> Option<u64> {
    let rest = name.as_str().strip_prefix(topic)?;
    if rest.is_empty() {
        return Some(0);
    }
    let digits = rest.strip_prefix('.')?;
    let number: u64 = digits.parse().ok()?;
    // Only as it is written here: not "+1" or "01".
    (number > 0 && number.to_string() == digits).then_some(number)
}
