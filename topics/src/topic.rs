//! A topic: a name, an identity, partitions.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde::{Deserialize, Serialize};
use weir_base::{Offset, PartitionId, TopicId, TopicName};

use crate::config::ConfigCell;
use crate::groups::Offsets;
use crate::journal::{Kept, number_of};
use crate::meta::TopicMeta;
use crate::transactions::Ledger;
use crate::{Error, Partition, Result, TopicConfig};

/// What a topic is made as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicSpec {
    /// How many partitions it has. They become more by `TopicLog::add_partitions`, never fewer.
    pub partitions: u32,
    /// Whether only its owner (a table, a view) may write it.
    pub owned: bool,
}

/// Whether the topic is one of the log's own, which no catalog knows: it holds what consumer groups have committed, or the
/// transactions.
pub fn is_internal(name: &TopicName) -> bool {
    let states = [Offsets::TOPIC, Ledger::TOPIC];
    let mut states = states.into_iter();
    states.any(|topic| number_of(topic, name).is_some())
}

/// A topic of the log. Clones are the same topic, with the partitions that it had when the first of them was asked for: after
/// [`TopicLog::add_partitions`](crate::TopicLog::add_partitions) only a topic that is asked for anew has the new ones, so that
/// the offsets that one clone gives stay one for each of its partitions. The configuration is that of now, in all of them.
#[derive(Debug, Clone)]
pub struct Topic(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    meta: TopicMeta,
    config: ConfigCell,
    partitions: Vec<Partition>,
    /// How many partitions the topic has now; shared with those that are asked for later.
    now: Arc<AtomicU32>,
}

impl Topic {
    /// Its name.
    pub fn name(&self) -> &TopicName {
        &self.0.meta.name
    }

    /// Its identity, which a later topic of the same name does not share.
    pub fn id(&self) -> TopicId {
        self.0.meta.id
    }

    /// What it was made as.
    pub fn spec(&self) -> TopicSpec {
        self.0.meta.spec
    }

    /// How it keeps its records, as of now.
    pub fn config(&self) -> TopicConfig {
        self.0.config.get()
    }

    /// When it was made, in milliseconds since the epoch.
    pub fn created_at_ms(&self) -> i64 {
        self.0.meta.created_at_ms
    }

    /// Its partitions, by number.
    pub fn partitions(&self) -> &[Partition] {
        &self.0.partitions
    }

    /// Whether the topic has got more partitions than this clone knows of. Who watches a partition is woken when it does.
    pub fn has_grown(&self) -> bool {
        self.0.now.load(Ordering::Acquire) as usize > self.0.partitions.len()
    }

    /// One partition.
    ///
    /// # Errors
    /// [`Error::PartitionNotFound`].
    pub fn partition(&self, id: PartitionId) -> Result<&Partition> {
        self.0
            .partitions
            .get(id.0 as usize)
            .ok_or_else(|| Error::PartitionNotFound {
                topic: self.0.meta.name.clone(),
                partition: id,
                partitions: self.0.meta.spec.partitions,
            })
    }

    /// Each partition's stable offset: the exclusive end of what is on disk and may be read.
    pub fn stable_offsets(&self) -> Vec<Offset> {
        let partitions = self.0.partitions.iter();
        partitions.map(Partition::stable_offset).collect()
    }

    /// Each partition's log start offset.
    pub fn start_offsets(&self) -> Vec<Offset> {
        let partitions = self.0.partitions.iter();
        partitions.map(Partition::start_offset).collect()
    }

    /// What its segments take up, in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.0.partitions.iter().map(Partition::size_bytes).sum()
    }

    pub(crate) fn new(meta: TopicMeta, config: ConfigCell, partitions: Vec<Partition>) -> Self {
        let now = Arc::new(AtomicU32::new(meta.spec.partitions));
        Self(Arc::new(Inner {
            meta,
            config,
            partitions,
            now,
        }))
    }

    /// The topic with more partitions. Clones from before [have grown](Self::has_grown) once [`Topic::tell_growth`] is called.
    pub(crate) fn grown(&self, meta: TopicMeta, partitions: Vec<Partition>) -> Self {
        Self(Arc::new(Inner {
            meta,
            config: self.0.config.clone(),
            partitions,
            now: Arc::clone(&self.0.now),
        }))
    }

    /// Tells those who watch earlier clones that there are more partitions.
    pub(crate) fn tell_growth(&self) {
        self.0
            .now
            .store(self.0.meta.spec.partitions, Ordering::Release);
        self.0.partitions.iter().for_each(Partition::wake_readers);
    }

    /// What is durable about it.
    pub(crate) fn meta(&self) -> TopicMeta {
        let mut meta = self.0.meta.clone();
        meta.config = self.config();
        meta
    }

    pub(crate) fn config_cell(&self) -> &ConfigCell {
        &self.0.config
    }
}
