//! What the topic of offsets holds: one record a change. The key is the group id; the value, little-endian:
//!
//! ```text
//! version u8 = 1 │ kind u8 │ …
//! kind 1, offsets are committed:   count u32, for each: topic [u8; 16], partition u32, offset i64, leader epoch i32,
//!                                  committed at i64 (ms since the epoch), metadata length u16, metadata
//! kind 2, offsets are deleted:     count u32, for each: topic [u8; 16], partition u32
//! kind 3, the group is deleted
//! kind 4, what came before is whole; the key is empty. A topic without it is not used.
//! kind 5, a transaction will commit offsets:  producer id i64, then as kind 1
//! kind 6, a transaction has ended:  producer id i64, committed u8 (0: aborted)
//! ```

use weir_base::Offset;

use super::requests::CommittedOffset;
pub(crate) use crate::journal::Place;
use crate::journal::{Reader, Unreadable, put_place, put_text};

const VERSION: u8 = 1;
const COMMIT: u8 = 1;
const DELETE_OFFSETS: u8 = 2;
const DELETE_GROUP: u8 = 3;
const WHOLE: u8 = 4;
const PENDING: u8 = 5;
const END: u8 = 6;

/// What happens to a group's offsets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    Commit(Vec<(Place, CommittedOffset)>),
    DeleteOffsets(Vec<Place>),
    DeleteGroup,
    /// Of no group: all that lives has been written.
    Whole,
    /// Offsets that are committed when the transaction of this producer is.
    Pending(i64, Vec<(Place, CommittedOffset)>),
    /// The transaction of this producer has ended, and was it committed?
    End(i64, bool),
}

/// How much an offset takes up in a record, in bytes.
pub(super) fn offset_bytes(committed: &CommittedOffset) -> u64 {
    42 + committed.metadata.len() as u64
}

impl Change {
    /// The record's value.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut value = vec![VERSION];
        match self {
            Self::Commit(offsets) => {
                value.push(COMMIT);
                put_offsets(&mut value, offsets);
            }
            Self::Pending(producer_id, offsets) => {
                value.push(PENDING);
                value.extend(producer_id.to_le_bytes());
                put_offsets(&mut value, offsets);
            }
            Self::End(producer_id, committed) => {
                value.push(END);
                value.extend(producer_id.to_le_bytes());
                value.push(u8::from(*committed));
            }
            Self::DeleteOffsets(places) => {
                value.push(DELETE_OFFSETS);
                value.extend((places.len() as u32).to_le_bytes());
                for place in places {
                    put_place(&mut value, place);
                }
            }
            Self::DeleteGroup => value.push(DELETE_GROUP),
            Self::Whole => value.push(WHOLE),
        }
        value
    }

    /// The change that a value says.
    pub(super) fn decode(value: &[u8]) -> Result<Self, Unreadable> {
        let mut reader = Reader(value);
        let [version, kind] = reader.take::<2>()?;
        if version != VERSION {
            return Err(Unreadable::Version(version));
        }
        match kind {
            COMMIT => Ok(Self::Commit(reader.offsets()?)),
            PENDING => Ok(Self::Pending(reader.i64()?, reader.offsets()?)),
            END => Ok(Self::End(reader.i64()?, reader.take::<1>()? != [0])),
            DELETE_OFFSETS => {
                let count = reader.u32()?;
                let places = (0..count).map(|_| reader.place());
                Ok(Self::DeleteOffsets(places.collect::<Result<_, _>>()?))
            }
            DELETE_GROUP => Ok(Self::DeleteGroup),
            WHOLE => Ok(Self::Whole),
            other => Err(Unreadable::Kind(other)),
        }
    }
}

fn put_offsets(value: &mut Vec<u8>, offsets: &[(Place, CommittedOffset)]) {
    value.extend((offsets.len() as u32).to_le_bytes());
    for (place, committed) in offsets {
        put_place(value, place);
        value.extend(committed.offset.0.to_le_bytes());
        value.extend(committed.leader_epoch.to_le_bytes());
        value.extend(committed.committed_at_ms.to_le_bytes());
        // The length was checked when it came in.
        put_text(value, &committed.metadata);
    }
}

impl Reader<'_> {
    fn offsets(&mut self) -> Result<Vec<(Place, CommittedOffset)>, Unreadable> {
        let count = self.u32()?;
        (0..count).map(|_| self.committed()).collect()
    }

    fn committed(&mut self) -> Result<(Place, CommittedOffset), Unreadable> {
        let place = self.place()?;
        let offset = Offset(self.i64()?);
        let leader_epoch = self.i32()?;
        let committed_at_ms = self.i64()?;
        let committed = CommittedOffset {
            offset,
            leader_epoch,
            metadata: self.text()?,
            committed_at_ms,
        };
        Ok((place, committed))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use uuid::Uuid;
    use weir_base::{PartitionId, TopicId};

    use super::*;

    fn place() -> impl Strategy<Value = Place> {
        (any::<u128>(), any::<u32>())
            .prop_map(|(id, partition)| (TopicId(Uuid::from_u128(id)), PartitionId(partition)))
    }

    fn committed() -> impl Strategy<Value = CommittedOffset> {
        (any::<i64>(), any::<i32>(), ".{0,20}", any::<i64>()).prop_map(
            |(offset, leader_epoch, metadata, committed_at_ms)| CommittedOffset {
                offset: Offset(offset),
                leader_epoch,
                metadata,
                committed_at_ms,
            },
        )
    }

    fn change() -> impl Strategy<Value = Change> {
        prop_oneof![
            vec((place(), committed()), 0..5).prop_map(Change::Commit),
            vec(place(), 0..5).prop_map(Change::DeleteOffsets),
            Just(Change::DeleteGroup),
            Just(Change::Whole),
            (any::<i64>(), vec((place(), committed()), 0..5))
                .prop_map(|(id, offsets)| Change::Pending(id, offsets)),
            (any::<i64>(), any::<bool>()).prop_map(|(id, committed)| Change::End(id, committed)),
        ]
    }

    proptest! {
        #[test]
        fn a_change_reads_back_as_it_was(change in change()) {
            prop_assert_eq!(Change::decode(&change.encode()), Ok(change));
        }

        #[test]
        fn a_change_that_is_cut_off_is_refused(change in change(), cut in any::<prop::sample::Index>()) {
            let value = change.encode();
            let cut = cut.index(value.len());
            prop_assert_eq!(Change::decode(&value[..cut]), Err(Unreadable::CutOff));
        }

        #[test]
        fn no_bytes_panic(value in vec(any::<u8>(), 0..200)) {
            let _ = Change::decode(&value);
            let _ = Change::decode(&[&[1, 1], value.as_slice()].concat());
        }
    }

    #[test]
    fn the_format_is_what_it_was() {
        let place = (TopicId(Uuid::from_u128(1)), PartitionId(2));
        let committed = CommittedOffset {
            offset: Offset(3),
            leader_epoch: -1,
            metadata: "m".to_owned(),
            committed_at_ms: 4,
        };
        assert_eq!(
            Change::Commit(vec![(place, committed)]).encode(),
            b"\x01\x01\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x02\0\0\0\x03\0\0\0\0\0\0\0\xff\xff\xff\xff\x04\0\0\0\0\0\0\0\x01\0m"
        );
        assert_eq!(
            Change::End(5, true).encode(),
            b"\x01\x06\x05\0\0\0\0\0\0\0\x01"
        );
        assert_eq!(
            Change::Pending(5, Vec::new()).encode(),
            b"\x01\x05\x05\0\0\0\0\0\0\0\0\0\0\0"
        );
        assert_eq!(Change::decode(&[2, 1]), Err(Unreadable::Version(2)));
        assert_eq!(Change::decode(&[1, 9]), Err(Unreadable::Kind(9)));
    }
}
