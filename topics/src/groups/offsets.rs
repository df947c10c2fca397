//! Committed offsets in memory: what the records say, applied in their order.

use std::collections::BTreeMap;

use weir_base::TopicId;

use super::record::{Change, Place, offset_bytes};
use super::requests::CommittedOffset;

/// How many offsets one record of a snapshot holds at most.
const SNAPSHOT_OFFSETS_MAX: usize = 1000;

/// All groups' committed offsets.
#[derive(Debug, Default)]
pub(super) struct Offsets {
    groups: BTreeMap<String, BTreeMap<Place, CommittedOffset>>,
    bytes: u64,
}

impl Offsets {
    /// About how much a snapshot takes up, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.groups.len()
    }

    pub(super) fn contains(&self, group_id: &str) -> bool {
        self.groups.contains_key(group_id)
    }

    /// A group's offsets, in order of topic and partition.
    pub(super) fn of(&self, group_id: &str) -> impl Iterator<Item = (&Place, &CommittedOffset)> {
        self.groups.get(group_id).into_iter().flatten()
    }

    /// All groups, in order of name, with the topics of their offsets.
    pub(super) fn topics(&self) -> impl Iterator<Item = (&String, impl Iterator<Item = TopicId>)> {
        let groups = self.groups.iter();
        groups.map(|(id, offsets)| (id, offsets.keys().map(|(topic, _)| *topic)))
    }

    /// Does what a record says.
    pub(super) fn apply(&mut self, group_id: &str, change: Change) {
        match change {
            Change::Commit(offsets) if offsets.is_empty() => {}
            Change::Commit(offsets) => {
                if !self.contains(group_id) {
                    self.bytes += group_bytes(group_id);
                }
                let group = self.groups.entry(group_id.to_owned()).or_default();
                for (place, committed) in offsets {
                    self.bytes += offset_bytes(&committed);
                    if let Some(old) = group.insert(place, committed) {
                        self.bytes -= offset_bytes(&old);
                    }
                }
            }
            Change::DeleteOffsets(places) => {
                let Some(group) = self.groups.get_mut(group_id) else {
                    return;
                };
                for place in places {
                    if let Some(old) = group.remove(&place) {
                        self.bytes -= offset_bytes(&old);
                    }
                }
                if group.is_empty() {
                    self.groups.remove(group_id);
                    self.bytes -= group_bytes(group_id);
                }
            }
            Change::DeleteGroup => {
                if let Some(group) = self.groups.remove(group_id) {
                    let bytes: u64 = group.values().map(offset_bytes).sum();
                    self.bytes -= bytes + group_bytes(group_id);
                }
            }
            Change::Whole => {}
        }
    }

    /// Drops the offsets of topics that do not exist.
    pub(super) fn drop_topics(&mut self, exists: impl Fn(TopicId) -> bool) {
        self.groups.retain(|group_id, group| {
            group.retain(|(topic, _), committed| {
                let keep = exists(*topic);
                if !keep {
                    self.bytes -= offset_bytes(committed);
                }
                keep
            });
            if group.is_empty() {
                self.bytes -= group_bytes(group_id);
            }
            !group.is_empty()
        });
    }

    /// The records that say all that there is.
    pub(super) fn snapshot(&self) -> Vec<(String, Change)> {
        let mut records = Vec::new();
        for (group_id, group) in &self.groups {
            let all: Vec<_> = group.iter().map(|(at, what)| (*at, what.clone())).collect();
            for part in all.chunks(SNAPSHOT_OFFSETS_MAX) {
                records.push((group_id.clone(), Change::Commit(part.to_vec())));
            }
        }
        records
    }
}

/// How much a record takes up besides its offsets.
fn group_bytes(group_id: &str) -> u64 {
    20 + group_id.len() as u64
}
