//! Committed offsets on disk, in the internal topic `__weir_groups`; see [`journal`](crate::journal).

use std::sync::Arc;

use weir_base::{PartitionId, TopicId};

use super::error::GroupError;
use super::offsets::Offsets;
use super::record::{Change, Place};
use super::requests::CommittedOffset;
use crate::journal::{Journal, Refused, Submitted};
use crate::log::WeakLog;

pub(crate) type Loaded = crate::journal::Loaded<Offsets>;

/// The offsets of all groups, and the topic that keeps them.
#[derive(Debug)]
pub(super) struct Store {
    log: WeakLog,
    journal: Arc<Journal<Offsets>>,
}

impl Store {
    pub(super) fn new(log: WeakLog, loaded: Loaded, compact_bytes_min: u64) -> Self {
        Self {
            journal: Journal::new(log.clone(), loaded, compact_bytes_min),
            log,
        }
    }

    /// A group's offsets in topics that exist.
    pub(super) fn committed(&self, group_id: &str) -> Vec<(TopicId, PartitionId, CommittedOffset)> {
        let Ok(log) = self.log.upgrade() else {
            return Vec::new();
        };
        let offsets = self.journal.state();
        let there = offsets
            .of(group_id)
            .filter(|((topic, _), _)| log.topic_by_id(*topic).is_some());
        there
            .map(|((topic, partition), committed)| (*topic, *partition, committed.clone()))
            .collect()
    }

    /// The partitions of which open transactions have offsets of the group.
    pub(super) fn pending(&self, group_id: &str) -> Vec<Place> {
        self.journal.state().pending(group_id).collect()
    }

    /// Whether the group has offsets, in whatever topic.
    pub(super) fn contains(&self, group_id: &str) -> bool {
        self.journal.state().contains(group_id)
    }

    /// The groups that have offsets in topics that exist, in order of id.
    pub(super) fn groups(&self) -> Vec<String> {
        let Ok(log) = self.log.upgrade() else {
            return Vec::new();
        };
        let offsets = self.journal.state();
        let mut groups = Vec::new();
        for (group_id, mut topics) in offsets.topics() {
            if topics.any(|topic| log.topic_by_id(topic).is_some()) {
                groups.push(group_id.clone());
            }
        }
        groups
    }

    /// Makes a change, durable on return. It is made even if the caller does not wait for it.
    pub(super) async fn change(&self, group_id: &str, change: Change) -> Result<(), GroupError> {
        Ok(self.journal.change(group_id, change).await?)
    }

    /// As [`Store::change`]; changes are made in the order in which they are submitted.
    pub(super) fn submit(&self, group_id: &str, change: Change) -> Submitted {
        self.journal.submit(group_id, change)
    }
}

impl From<Refused> for GroupError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Full => Self::GroupFull,
            Refused::Log(error) => Self::Log(error),
        }
    }
}
