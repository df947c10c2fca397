//! A topic: a name, an identity, partitions.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use weir_base::{Offset, PartitionId, TopicId, TopicName};

use crate::meta::TopicMeta;
use crate::{Error, Partition, Result};

/// What a topic is made as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicSpec {
    /// How many partitions it has, for good.
    pub partitions: u32,
    /// Whether only its owner (a table, a view) may write it.
    pub owned: bool,
}

/// A topic of the log. Clones are the same topic.
#[derive(Debug, Clone)]
pub struct Topic(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    meta: TopicMeta,
    partitions: Vec<Partition>,
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

    /// When it was made, in milliseconds since the epoch.
    pub fn created_at_ms(&self) -> i64 {
        self.0.meta.created_at_ms
    }

    /// Its partitions, by number.
    pub fn partitions(&self) -> &[Partition] {
        &self.0.partitions
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

    /// Each partition's first offset.
    pub fn start_offsets(&self) -> Vec<Offset> {
        let partitions = self.0.partitions.iter();
        partitions.map(Partition::start_offset).collect()
    }

    /// What its segments take up, in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.0.partitions.iter().map(Partition::size_bytes).sum()
    }

    pub(crate) fn new(meta: TopicMeta, partitions: Vec<Partition>) -> Self {
        Self(Arc::new(Inner { meta, partitions }))
    }

    pub(crate) fn meta(&self) -> &TopicMeta {
        &self.0.meta
    }
}
