//! Committed offsets on disk: an internal topic of the log, written anew when little of it still lives.
//!
//! The topic is `__weir_groups`, later `__weir_groups.1`, and so on. Each begins with a snapshot of what was there before, and a
//! record that says that the snapshot is whole; changes follow. A start takes the newest topic that is whole, and deletes the
//! others: so a crash at any moment leaves the old topic or the new one.
//!
//! One thread at a time writes: what came in while it waited for the disk is its next batch.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use weir_base::{PartitionId, TopicId, TopicName};

use super::error::GroupError;
use super::members::Answer;
use super::offsets::Offsets;
use super::record::{Change, Place, offset_bytes};
use super::requests::CommittedOffset;
use super::settings::{GROUPS_MAX, OFFSETS_BYTES_MAX};
use crate::log::WeakLog;
use crate::{
    BatchBuilder, Error, Partition, RecordRef, Result, Topic, TopicConfig, TopicLog, TopicSpec,
};

const TOPIC: &str = "__weir_groups";
pub(super) const SPEC: TopicSpec = TopicSpec {
    partitions: 1,
    owned: true,
};
/// A batch is closed when it has so many bytes.
const BATCH_BYTES: usize = 1 << 20;
/// How much is read at a time.
const READ_BYTES: usize = 4 << 20;
/// The topic is written anew when it is so many times as large as what lives.
const COMPACT_RATIO: u64 = 4;

/// Whether the topic is one of the log's own, which no catalog knows: it holds what consumer groups have committed.
pub fn is_internal(name: &TopicName) -> bool {
    number_of(name).is_some()
}

/// What was found at the start.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    offsets: Offsets,
    topic: Option<Topic>,
    next_number: u64,
    /// Topics that are not whole, or have been replaced.
    pub(crate) stale: Vec<Topic>,
}

/// Reads the offsets back. Blocks on the disk.
///
/// # Errors
/// As [`Partition::read`]; [`Error::Corrupt`] when a record is not understood.
pub(crate) fn load<'a>(topics: impl Iterator<Item = &'a Topic>) -> Result<Loaded> {
    let own = topics.filter(|topic| topic.spec() == SPEC);
    let numbered = own.filter_map(|topic| Some((number_of(topic.name())?, topic.clone())));
    let mut numbered: Vec<(u64, Topic)> = numbered.collect();
    numbered.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
    let newest = numbered.first().map(|(number, _)| *number);
    let mut loaded = Loaded {
        next_number: newest.map_or(0, |number| number.saturating_add(1)),
        ..Loaded::default()
    };
    for (_, topic) in numbered {
        if loaded.topic.is_none()
            && let Some(offsets) = read(&topic)?
        {
            loaded.offsets = offsets;
            loaded.topic = Some(topic);
        } else {
            loaded.stale.push(topic);
        }
    }
    Ok(loaded)
}

/// The offsets of all groups, and the topic that keeps them.
#[derive(Debug)]
pub(super) struct Store {
    log: WeakLog,
    offsets: RwLock<Offsets>,
    queue: Mutex<Queue>,
    /// Had by the thread that writes.
    current: Mutex<Current>,
    compact_bytes_min: u64,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Request>,
    /// Whether a thread writes, or is about to.
    writing: bool,
}

/// A change that is to be made durable.
#[derive(Debug)]
struct Request {
    group_id: String,
    change: Change,
    answer: Answer<()>,
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
struct Turn {
    store: Arc<Store>,
    over: bool,
}

impl Store {
    pub(super) fn new(log: WeakLog, loaded: Loaded, compact_bytes_min: u64) -> Arc<Self> {
        Arc::new(Self {
            log,
            offsets: RwLock::new(loaded.offsets),
            queue: Mutex::default(),
            current: Mutex::new(Current {
                topic: loaded.topic,
                next_number: loaded.next_number,
                check_bytes: compact_bytes_min,
            }),
            compact_bytes_min,
        })
    }

    /// A group's offsets in topics that exist.
    pub(super) fn committed(&self, group_id: &str) -> Vec<(TopicId, PartitionId, CommittedOffset)> {
        let Ok(log) = self.log.upgrade() else {
            return Vec::new();
        };
        let offsets = self.offsets.read();
        let there = offsets
            .of(group_id)
            .filter(|((topic, _), _)| log.topic_by_id(*topic).is_some());
        there
            .map(|((topic, partition), committed)| (*topic, *partition, committed.clone()))
            .collect()
    }

    /// Whether the group has offsets, in whatever topic.
    pub(super) fn contains(&self, group_id: &str) -> bool {
        self.offsets.read().contains(group_id)
    }

    /// The groups that have offsets in topics that exist, in order of id.
    pub(super) fn groups(&self) -> Vec<String> {
        let Ok(log) = self.log.upgrade() else {
            return Vec::new();
        };
        let offsets = self.offsets.read();
        let mut groups = Vec::new();
        for (group_id, mut topics) in offsets.topics() {
            if topics.any(|topic| log.topic_by_id(topic).is_some()) {
                groups.push(group_id.clone());
            }
        }
        groups
    }

    /// Makes a change, durable on return. It is made even if the caller does not wait for it.
    pub(super) async fn change(
        self: &Arc<Self>,
        group_id: &str,
        change: Change,
    ) -> std::result::Result<(), GroupError> {
        let (answer, done) = oneshot::channel();
        let begin = {
            let mut queue = self.queue.lock();
            queue.waiting.push_back(Request {
                group_id: group_id.to_owned(),
                change,
                answer,
            });
            !std::mem::replace(&mut queue.writing, true)
        };
        if begin {
            let turn = Turn {
                store: Arc::clone(self),
                over: false,
            };
            tokio::task::spawn_blocking(move || turn.write_all());
        }
        done.await.unwrap_or(Err(Error::Closed.into()))
    }

    /// Makes the changes durable and then seen, all or none.
    fn write(&self, changes: &[(String, Change)]) -> Result<()> {
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
        append(topic.partition(PartitionId(0))?, changes)?;
        let mut offsets = self.offsets.write();
        for (group_id, change) in changes {
            offsets.apply(group_id, change.clone());
        }
        drop(offsets);
        if topic.size_bytes() > current.check_bytes {
            self.compact(&log, &mut current, &topic);
        }
        Ok(())
    }

    /// Writes the topic anew if little of it lives.
    fn compact(&self, log: &TopicLog, current: &mut Current, topic: &Topic) {
        let size_bytes = topic.size_bytes();
        let live_bytes = self.drop_topics(log);
        if size_bytes > live_bytes.saturating_mul(COMPACT_RATIO) {
            match self.begin_topic(log, current) {
                Ok(new) => {
                    current.topic = Some(new);
                    delete(log, topic);
                }
                Err(error) => {
                    tracing::warn!(topic = %topic.name(), %error, size_bytes, "cannot write the committed offsets anew");
                    current.check_bytes = size_bytes.saturating_mul(2);
                    return;
                }
            }
        }
        let next_bytes = live_bytes.saturating_mul(COMPACT_RATIO);
        current.check_bytes = next_bytes.max(self.compact_bytes_min);
    }

    /// Forgets the offsets of deleted topics; how much is left.
    fn drop_topics(&self, log: &TopicLog) -> u64 {
        let mut offsets = self.offsets.write();
        offsets.drop_topics(|topic| log.topic_by_id(topic).is_some());
        offsets.bytes()
    }

    /// Makes the next topic, with all that lives in it.
    fn begin_topic(&self, log: &TopicLog, current: &mut Current) -> Result<Topic> {
        let name = name_of(current.next_number)?;
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
        let records = self.offsets.read().snapshot();
        let (mut part, mut part_bytes) = (Vec::new(), 0);
        for record in records {
            part_bytes += size_of_change(&record.1);
            part.push(record);
            if part_bytes >= BATCH_BYTES {
                append(partition, &part)?;
                (part, part_bytes) = (Vec::new(), 0);
            }
        }
        if !part.is_empty() {
            append(partition, &part)?;
        }
        // By itself, so that it is there only when all else is.
        append(partition, &[(String::new(), Change::Whole)])
    }

    /// Whether there is room for a change.
    fn has_room(&self, request: &Request) -> bool {
        if !matches!(request.change, Change::Commit(_)) {
            return true;
        }
        let added_bytes = size_of_change(&request.change) as u64;
        let fits = |offsets: &Offsets| {
            let groups_max = GROUPS_MAX - usize::from(!offsets.contains(&request.group_id));
            offsets.len() <= groups_max
                && offsets.bytes().saturating_add(added_bytes) <= OFFSETS_BYTES_MAX
        };
        if fits(&self.offsets.read()) {
            return true;
        }
        if let Ok(log) = self.log.upgrade() {
            self.drop_topics(&log);
        }
        fits(&self.offsets.read())
    }
}

impl Turn {
    /// Writes until nothing waits.
    fn write_all(mut self) {
        let store = Arc::clone(&self.store);
        loop {
            let mut batch = Vec::new();
            {
                let mut queue = store.queue.lock();
                let mut bytes = 0;
                while bytes < BATCH_BYTES
                    && let Some(request) = queue.waiting.pop_front()
                {
                    bytes += size_of_change(&request.change);
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
                .partition(|request| store.has_room(request));
            for request in refused {
                let _ = request.answer.send(Err(GroupError::GroupFull));
            }
            let (mut changes, mut answers) = (Vec::new(), Vec::new());
            for request in batch {
                changes.push((request.group_id, request.change));
                answers.push(request.answer);
            }
            if changes.is_empty() {
                continue;
            }
            let written = store.write(&changes);
            for answer in answers {
                // Who no longer waits need not know.
                let _ = answer.send(written.clone().map_err(GroupError::from));
            }
        }
    }
}

impl Drop for Turn {
    /// The runtime may have ended before the turn came, or a defect have ended it.
    fn drop(&mut self) {
        if !self.over {
            let mut queue = self.store.queue.lock();
            queue.writing = false;
            queue.waiting.clear();
        }
    }
}

/// The offsets that a topic says; `None` when it is not whole.
fn read(topic: &Topic) -> Result<Option<Offsets>> {
    let partition = topic.partition(PartitionId(0))?;
    let end = partition.stable_offset();
    let (mut next, mut offsets, mut whole) = (partition.start_offset(), Offsets::default(), false);
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
                let change = Change::decode(record.value.unwrap_or_default());
                let change = change.map_err(|reason| corrupt(reason.to_string()))?;
                let group_id = std::str::from_utf8(record.key.unwrap_or_default());
                let group_id = group_id.map_err(|error| corrupt(error.to_string()))?;
                whole |= change == Change::Whole;
                offsets.apply(group_id, change);
            }
        }
        next = read.next;
    }
    Ok(whole.then_some(offsets))
}

/// Appends the changes as one batch, durable on return. Blocks; outside of asynchronous code only.
pub(super) fn append(partition: &Partition, changes: &[(String, Change)]) -> Result<()> {
    let mut builder = BatchBuilder::new();
    for (group_id, change) in changes {
        builder.push(RecordRef {
            key: Some(group_id.as_bytes()),
            value: Some(&change.encode()),
            ..RecordRef::default()
        })?;
    }
    let appended = partition.append(builder.build(), None)?;
    Handle::current().block_on(appended.durable())?;
    Ok(())
}

fn delete(log: &TopicLog, topic: &Topic) {
    if let Err(error) = log.delete_blocking(topic.id()) {
        tracing::warn!(topic = %topic.name(), %error, "cannot delete a topic of committed offsets; the next start will");
    }
}

fn size_of_change(change: &Change) -> usize {
    let bytes = match change {
        Change::Commit(offsets) => offsets
            .iter()
            .map(|(_, committed)| offset_bytes(committed))
            .sum(),
        Change::DeleteOffsets(places) => std::mem::size_of::<Place>() as u64 * places.len() as u64,
        Change::DeleteGroup | Change::Whole => 0,
    };
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn name_of(number: u64) -> Result<TopicName> {
    let name = match number {
        0 => TOPIC.to_owned(),
        number => format!("{TOPIC}.{number}"),
    };
    TopicName::new(name).map_err(|error| Error::Internal(error.to_string()))
}

fn number_of(name: &TopicName) -> Option<u64> {
    let rest = name.as_str().strip_prefix(TOPIC)?;
    if rest.is_empty() {
        return Some(0);
    }
    let digits = rest.strip_prefix('.')?;
    let number: u64 = digits.parse().ok()?;
    // Only as it is written here: not "+1" or "01".
    (number > 0 && number.to_string() == digits).then_some(number)
}
