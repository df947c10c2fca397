//! What the topic of transactions holds: one record a change. The key is the transactional id; the value, little-endian:
//!
//! ```text
//! version u8 = 1 │ kind u8 │ …
//! kind 1, all about the id:  producer id i64, epoch i16, previous producer id i64 (-1: none), its epoch i16,
//!                            next producer id i64 (-1: none), timeout i32 (ms), state u8, transactions V2 u8,
//!                            started at i64, updated at i64 (ms since the epoch),
//!                            count u32, for each: topic [u8; 16], partition u32,
//!                            count u32, for each: length u16, group id
//! kind 2, the id is forgotten
//! kind 3, what came before is whole; the key is empty. A topic without it is not used.
//! ```
//! States are numbered as Kafka's: 0 empty, 1 ongoing, 2 prepare commit, 3 prepare abort, 4 complete commit, 5 complete abort.

use super::requests::{ProducerEpoch, TransactionState, TransactionVersion};
use super::transaction::Transaction;
use crate::journal::{Reader, Unreadable, put_place, put_text};

const VERSION: u8 = 1;
const STATE: u8 = 1;
const FORGET: u8 = 2;
const WHOLE: u8 = 3;
const NONE: i64 = -1;

/// What happens to a transactional id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// This is all about it.
    State(Transaction),
    /// It is forgotten.
    Forget,
    /// Of no id: all that lives has been written.
    Whole,
}

impl Change {
    /// The record's value.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut value = vec![VERSION];
        match self {
            Self::State(transaction) => {
                value.push(STATE);
                put_transaction(&mut value, transaction);
            }
            Self::Forget => value.push(FORGET),
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
            STATE => take_transaction(&mut reader).map(Self::State),
            FORGET => Ok(Self::Forget),
            WHOLE => Ok(Self::Whole),
            other => Err(Unreadable::Kind(other)),
        }
    }
}

fn put_transaction(value: &mut Vec<u8>, transaction: &Transaction) {
    let no_producer = ProducerEpoch {
        producer_id: NONE,
        epoch: -1,
    };
    put_producer(value, transaction.producer);
    put_producer(value, transaction.previous.unwrap_or(no_producer));
    value.extend(transaction.next_id.unwrap_or(NONE).to_le_bytes());
    value.extend(transaction.timeout_ms.to_le_bytes());
    value.push(match transaction.state {
        TransactionState::Empty => 0,
        TransactionState::Ongoing => 1,
        TransactionState::PrepareCommit => 2,
        TransactionState::PrepareAbort => 3,
        TransactionState::CompleteCommit => 4,
        TransactionState::CompleteAbort => 5,
    });
    value.push(u8::from(transaction.version == TransactionVersion::V2));
    value.extend(transaction.started_at_ms.to_le_bytes());
    value.extend(transaction.updated_at_ms.to_le_bytes());
    value.extend((transaction.partitions.len() as u32).to_le_bytes());
    for place in &transaction.partitions {
        put_place(value, place);
    }
    value.extend((transaction.groups.len() as u32).to_le_bytes());
    for group_id in &transaction.groups {
        // The length was checked when it came in.
        put_text(value, group_id);
    }
}

fn take_transaction(reader: &mut Reader<'_>) -> Result<Transaction, Unreadable> {
    let producer = take_producer(reader)?;
    let previous = take_producer(reader)?;
    let next_id = reader.i64()?;
    let timeout_ms = reader.i32()?;
    let [state, v2] = reader.take::<2>()?;
    let states = TransactionState::ALL;
    let state = states.get(usize::from(state)).copied();
    let (started_at_ms, updated_at_ms) = (reader.i64()?, reader.i64()?);
    let count = reader.u32()?;
    let partitions = (0..count).map(|_| reader.place());
    let partitions = partitions.collect::<Result<_, _>>()?;
    let count = reader.u32()?;
    let groups = (0..count).map(|_| reader.text());
    Ok(Transaction {
        producer,
        previous: (previous.producer_id != NONE).then_some(previous),
        next_id: (next_id != NONE).then_some(next_id),
        timeout_ms,
        state: state.ok_or(Unreadable::Kind(STATE))?,
        version: match v2 {
            0 => TransactionVersion::V1,
            _ => TransactionVersion::V2,
        },
        started_at_ms,
        updated_at_ms,
        partitions,
        groups: groups.collect::<Result<_, _>>()?,
    })
}

fn put_producer(value: &mut Vec<u8>, producer: ProducerEpoch) {
    value.extend(producer.producer_id.to_le_bytes());
    value.extend(producer.epoch.to_le_bytes());
}

fn take_producer(reader: &mut Reader<'_>) -> Result<ProducerEpoch, Unreadable> {
    Ok(ProducerEpoch {
        producer_id: reader.i64()?,
        epoch: reader.i16()?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;
    use uuid::Uuid;
    use weir_base::{PartitionId, TopicId};

    use super::*;

    fn producer() -> impl Strategy<Value = ProducerEpoch> {
        (0..i64::MAX, 0..i16::MAX)
            .prop_map(|(producer_id, epoch)| ProducerEpoch { producer_id, epoch })
    }

    fn change() -> impl Strategy<Value = Change> {
        let place = (any::<u128>(), any::<u32>())
            .prop_map(|(id, partition)| (TopicId(Uuid::from_u128(id)), PartitionId(partition)));
        let numbers = (
            producer(),
            proptest::option::of(producer()),
            proptest::option::of(0..i64::MAX),
            any::<i32>(),
        );
        let state = (
            0..TransactionState::ALL.len(),
            any::<bool>(),
            any::<i64>(),
            any::<i64>(),
        );
        let parts = (btree_set(place, 0..5), btree_set(".{0,20}", 0..3));
        let transaction = (numbers, state, parts).prop_map(
            |(
                (producer, previous, next_id, timeout_ms),
                (state, v2, started_at_ms, updated_at_ms),
                (partitions, groups),
            )| Transaction {
                producer,
                previous,
                next_id,
                timeout_ms,
                state: TransactionState::ALL[state],
                version: match v2 {
                    false => TransactionVersion::V1,
                    true => TransactionVersion::V2,
                },
                started_at_ms,
                updated_at_ms,
                partitions,
                groups,
            },
        );
        prop_oneof![
            8 => transaction.prop_map(Change::State),
            1 => Just(Change::Forget),
            1 => Just(Change::Whole),
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
        let transaction = Transaction {
            producer: ProducerEpoch {
                producer_id: 7,
                epoch: 2,
            },
            previous: None,
            next_id: None,
            timeout_ms: 60_000,
            state: TransactionState::PrepareAbort,
            version: TransactionVersion::V2,
            started_at_ms: 3,
            updated_at_ms: 4,
            partitions: [(TopicId(Uuid::from_u128(1)), PartitionId(2))].into(),
            groups: ["g".to_owned()].into(),
        };
        assert_eq!(
            Change::State(transaction).encode(),
            b"\x01\x01\x07\0\0\0\0\0\0\0\x02\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\
              \xff\xff\xff\xff\xff\xff\xff\xff\x60\xea\0\0\x03\x01\
              \x03\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0\
              \x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x02\0\0\0\x01\0\0\0\x01\0g"
        );
        assert_eq!(Change::decode(&[2, 1]), Err(Unreadable::Version(2)));
        assert_eq!(Change::decode(&[1, 9]), Err(Unreadable::Kind(9)));
    }
}
