//! Offsets that are part of transactions which are still open (KIP-98, KIP-447): they are committed when the transaction is,
//! and forgotten when it is not.

use std::collections::BTreeMap;

use weir_base::TopicId;

use super::record::{Change, Place, offset_bytes};
use super::requests::CommittedOffset;

/// All groups' pending offsets.
#[derive(Debug, Default)]
pub(super) struct Pending {
    groups: BTreeMap<String, BTreeMap<Place, Vec<Entry>>>,
    bytes: u64,
}

/// A producer's offset. Those of a partition are in the order in which they came: what is committed takes the place of all
/// that came before it, and of nothing that came after it.
type Entry = (i64, CommittedOffset);

impl Pending {
    /// About how much a snapshot takes up, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn contains(&self, group_id: &str) -> bool {
        self.groups.contains_key(group_id)
    }

    /// The partitions of which the group has pending offsets.
    pub(super) fn places(&self, group_id: &str) -> impl Iterator<Item = Place> {
        let places = self.groups.get(group_id).into_iter();
        places.flat_map(|places| places.keys().copied())
    }

    /// Adds what a producer's transaction will commit; the producer's own earlier offset of the same partition goes.
    pub(super) fn add(
        &mut self,
        group_id: &str,
        producer_id: i64,
        offsets: Vec<(Place, CommittedOffset)>,
    ) {
        self.change(group_id, |places| {
            for (place, offset) in offsets {
                let entries = places.entry(place).or_default();
                entries.retain(|(other, _)| *other != producer_id);
                entries.push((producer_id, offset));
            }
        });
    }

    /// Takes out what the producer's transaction has pending; what is to be committed, if it is.
    pub(super) fn end(
        &mut self,
        group_id: &str,
        producer_id: i64,
        committed: bool,
    ) -> Vec<(Place, CommittedOffset)> {
        let mut taken = Vec::new();
        self.change(group_id, |places| {
            for (place, entries) in places {
                let Some(at) = entries.iter().position(|(id, _)| *id == producer_id) else {
                    continue;
                };
                if committed {
                    let last = entries.drain(..=at).next_back();
                    taken.extend(last.map(|(_, offset)| (*place, offset)));
                } else {
                    entries.remove(at);
                }
            }
        });
        taken
    }

    /// Forgets what is pending for these partitions, because something newer was committed, or the offsets were deleted.
    pub(super) fn forget(&mut self, group_id: &str, gone: impl IntoIterator<Item = Place>) {
        if self.contains(group_id) {
            self.change(group_id, |places| {
                for place in gone {
                    places.remove(&place);
                }
            });
        }
    }

    /// Forgets all that is pending for the group.
    pub(super) fn forget_group(&mut self, group_id: &str) {
        self.change(group_id, BTreeMap::clear);
    }

    /// Forgets the offsets of topics that do not exist.
    pub(super) fn forget_topics(&mut self, exists: impl Fn(TopicId) -> bool) {
        let groups: Vec<String> = self.groups.keys().cloned().collect();
        for group_id in groups {
            self.change(&group_id, |places| {
                places.retain(|(topic, _), _| exists(*topic));
            });
        }
    }

    /// The records that say all that there is.
    pub(super) fn snapshot(&self) -> impl Iterator<Item = (String, Change)> {
        self.groups.iter().flat_map(|(group_id, places)| {
            places.iter().flat_map(|(place, entries)| {
                entries.iter().map(|(producer_id, offset)| {
                    let change = Change::Pending(*producer_id, vec![(*place, offset.clone())]);
                    (group_id.clone(), change)
                })
            })
        })
    }

    /// Does something with a group's partitions, and keeps the sum right.
    fn change(&mut self, group_id: &str, change: impl FnOnce(&mut BTreeMap<Place, Vec<Entry>>)) {
        let mut places = self.groups.remove(group_id).unwrap_or_default();
        self.bytes -= sum_of(&places);
        change(&mut places);
        places.retain(|_, entries| !entries.is_empty());
        self.bytes += sum_of(&places);
        if !places.is_empty() {
            self.groups.insert(group_id.to_owned(), places);
        }
    }
}

/// Each may be a record of its own.
fn bytes_of(offset: &CommittedOffset) -> u64 {
    28 + offset_bytes(offset)
}

fn sum_of(places: &BTreeMap<Place, Vec<Entry>>) -> u64 {
    let entries = places.values().flatten();
    entries.map(|(_, offset)| bytes_of(offset)).sum()
}
