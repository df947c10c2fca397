//! Committed offsets in memory: what the records say, applied in their order.

use std::collections::BTreeMap;

use weir_base::TopicId;

use super::pending::Pending;
use super::record::{Change, Place, offset_bytes};
use super::requests::CommittedOffset;
use super::settings::{GROUPS_MAX, OFFSETS_BYTES_MAX};
use crate::journal::Kept;

/// How many offsets one record of a snapshot holds at most.
const SNAPSHOT_OFFSETS_MAX: usize = 1000;

/// All groups' committed offsets.
#[derive(Debug, Default)]
pub(crate) struct Offsets {
    groups: BTreeMap<String, BTreeMap<Place, CommittedOffset>>,
    bytes: u64,
    pending: Pending,
}

impl Offsets {
    /// Whether the group has offsets, committed or pending.
    pub(super) fn contains(&self, group_id: &str) -> bool {
        self.groups.contains_key(group_id) || self.pending.contains(group_id)
    }

    /// The partitions of which open transactions have offsets of the group.
    pub(super) fn pending(&self, group_id: &str) -> impl Iterator<Item = Place> {
        self.pending.places(group_id)
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

    /// Commits offsets, in the place of what was there.
    fn commit(&mut self, group_id: &str, offsets: Vec<(Place, CommittedOffset)>) {
        if offsets.is_empty() {
            return;
        }
        if !self.groups.contains_key(group_id) {
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

    fn delete(&mut self, group_id: &str, places: &[Place]) {
        let Some(group) = self.groups.get_mut(group_id) else {
            return;
        };
        for place in places {
            if let Some(old) = group.remove(place) {
                self.bytes -= offset_bytes(&old);
            }
        }
        if group.is_empty() {
            self.groups.remove(group_id);
            self.bytes -= group_bytes(group_id);
        }
    }
}

impl Kept for Offsets {
    type Change = Change;
    const TOPIC: &'static str = "__weir_groups";

    fn encode(change: &Change) -> Vec<u8> {
        change.encode()
    }

    fn decode(value: &[u8]) -> Result<Change, String> {
        Change::decode(value).map_err(|reason| reason.to_string())
    }

    fn whole() -> Change {
        Change::Whole
    }

    fn is_whole(change: &Change) -> bool {
        *change == Change::Whole
    }

    fn apply(&mut self, group_id: &str, change: Change) {
        match change {
            Change::Commit(offsets) => {
                let places = offsets.iter().map(|(place, _)| *place);
                self.pending.forget(group_id, places);
                self.commit(group_id, offsets);
            }
            Change::DeleteOffsets(places) => {
                self.pending.forget(group_id, places.iter().copied());
                self.delete(group_id, &places);
            }
            Change::DeleteGroup => {
                self.pending.forget_group(group_id);
                if let Some(group) = self.groups.remove(group_id) {
                    let bytes: u64 = group.values().map(offset_bytes).sum();
                    self.bytes -= bytes + group_bytes(group_id);
                }
            }
            Change::Pending(producer_id, offsets) => {
                self.pending.add(group_id, producer_id, offsets);
            }
            Change::End(producer_id, committed) => {
                let offsets = self.pending.end(group_id, producer_id, committed);
                self.commit(group_id, offsets);
            }
            Change::Whole => {}
        }
    }

    fn snapshot(&self) -> Vec<(String, Change)> {
        let mut records = Vec::new();
        for (group_id, group) in &self.groups {
            let all: Vec<_> = group.iter().map(|(at, what)| (*at, what.clone())).collect();
            for part in all.chunks(SNAPSHOT_OFFSETS_MAX) {
                records.push((group_id.clone(), Change::Commit(part.to_vec())));
            }
        }
        // After what is committed, which would take their place.
        records.extend(self.pending.snapshot());
        records
    }

    fn bytes(&self) -> u64 {
        self.bytes + self.pending.bytes()
    }

    fn bytes_of(change: &Change) -> u64 {
        match change {
            Change::Commit(offsets) | Change::Pending(_, offsets) => {
                let offsets = offsets.iter();
                offsets.map(|(_, committed)| offset_bytes(committed)).sum()
            }
            Change::DeleteOffsets(places) => size_of::<Place>() as u64 * places.len() as u64,
            Change::DeleteGroup | Change::Whole | Change::End(..) => 0,
        }
    }

    fn has_room(&self, group_id: &str, change: &Change) -> bool {
        if !matches!(change, Change::Commit(_) | Change::Pending(..)) {
            return true;
        }
        let groups_max = GROUPS_MAX - usize::from(!self.groups.contains_key(group_id));
        let bytes = self.bytes().saturating_add(Self::bytes_of(change));
        self.groups.len() <= groups_max && bytes <= OFFSETS_BYTES_MAX
    }

    fn forget_topics(&mut self, exists: impl Fn(TopicId) -> bool) {
        self.pending.forget_topics(&exists);
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
}

/// How much a record takes up besides its offsets.
fn group_bytes(group_id: &str) -> u64 {
    20 + group_id.len() as u64
}
