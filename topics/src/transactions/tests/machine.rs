//! One transactional id, step by step.

use weir_base::PartitionId;

use super::*;
use crate::transactions::transaction::{
    Due, End, Init, Refusal, Transaction, add, end, init, needs_id, ongoing,
};
use TransactionState::*;
use TransactionVersion::{V1, V2};

const TIMEOUT_MS: i32 = 60_000;

fn producer(producer_id: i64, epoch: i16) -> ProducerEpoch {
    ProducerEpoch { producer_id, epoch }
}

fn places(numbers: &[u32]) -> Vec<Place> {
    let topic = TopicId(uuid::Uuid::from_u128(1));
    let places = numbers.iter().map(|number| (topic, PartitionId(*number)));
    places.collect()
}

/// The id of producer 7 in this epoch, without a transaction.
fn at_epoch(epoch: i16) -> Transaction {
    let Ok(Init::Begin(mut transaction)) = init(None, None, TIMEOUT_MS, Some(7), 0) else {
        panic!("a new producer is taken");
    };
    transaction.producer.epoch = epoch;
    transaction
}

/// The same with a transaction that has partitions 0 and 1.
fn open_at_epoch(epoch: i16) -> Transaction {
    let transaction = at_epoch(epoch);
    let begun = add(
        Some(&transaction),
        producer(7, epoch),
        &places(&[0, 1]),
        &[],
        100,
    );
    begun.unwrap().unwrap()
}

fn ended(transaction: &Transaction, outcome: Outcome, version: TransactionVersion) -> Transaction {
    let fresh_id = needs_id(Some(transaction)).then_some(8);
    match end(
        Some(transaction),
        transaction.producer,
        outcome,
        version,
        fresh_id,
        200,
    ) {
        Ok(End::Now(ended)) => ended,
        other => panic!("it does not end: {other:?}"),
    }
}

fn try_end(
    transaction: &Transaction,
    producer: ProducerEpoch,
    outcome: Outcome,
    version: TransactionVersion,
) -> std::result::Result<End, Refusal> {
    end(Some(transaction), producer, outcome, version, None, 300)
}

#[test]
fn a_producer_that_comes_fences_the_one_before() {
    let first = at_epoch(0);
    assert_eq!((first.producer, first.state), (producer(7, 0), Empty));
    let Ok(Init::Begin(second)) = init(Some(&first), None, 5, None, 1) else {
        panic!("a second producer is taken");
    };
    assert_eq!(second.producer, producer(7, 1));
    assert_eq!((second.timeout_ms, second.previous), (5, None));
    let fenced = Err(Refusal::Fenced { current: 1 });
    assert_eq!(
        add(Some(&second), producer(7, 0), &places(&[0]), &[], 2),
        fenced
    );
    assert_eq!(
        add(Some(&second), producer(6, 1), &places(&[0]), &[], 2),
        Err(Refusal::Unknown)
    );
    assert_eq!(
        add(None, producer(7, 0), &[], &[], 2),
        Err(Refusal::Unknown)
    );
    assert_eq!(
        init(Some(&second), Some(producer(7, 0)), 5, None, 3),
        Err(Refusal::Fenced { current: 1 })
    );
}

#[test]
fn a_producer_that_says_what_it_has_gets_the_next_epoch_once() {
    let first = at_epoch(4);
    let said = Some(producer(7, 4));
    let Ok(Init::Begin(second)) = init(Some(&first), said, TIMEOUT_MS, None, 1) else {
        panic!("its own next epoch is given");
    };
    assert_eq!((second.producer, second.previous), (producer(7, 5), said));
    // The answer was lost.
    let again = init(Some(&second), said, TIMEOUT_MS, None, 2);
    assert_eq!(again, Ok(Init::Again(producer(7, 5))));
    let begun = add(Some(&second), second.producer, &places(&[0]), &[], 3);
    let begun = begun.unwrap().unwrap();
    assert_eq!(
        init(Some(&begun), said, TIMEOUT_MS, None, 4),
        Err(Refusal::Fenced { current: 5 }),
        "it was not lost"
    );
    let aborts = init(Some(&begun), Some(producer(7, 5)), TIMEOUT_MS, None, 4);
    let Ok(Init::Abort(aborted)) = aborts else {
        panic!("the open transaction is aborted: {aborts:?}");
    };
    assert_eq!(
        (aborted.producer, aborted.state),
        (producer(7, 6), PrepareAbort)
    );
}

#[test]
fn a_new_producer_aborts_what_is_open() {
    let open = open_at_epoch(3);
    let Ok(Init::Abort(aborted)) = init(Some(&open), None, TIMEOUT_MS, None, 150) else {
        panic!("the open transaction is aborted");
    };
    assert_eq!(aborted.marker().epoch, 4, "later than its records");
    assert_eq!(aborted.marker().outcome, Outcome::Abort);
    assert_eq!(aborted.partitions, open.partitions);
    assert_eq!(
        init(Some(&aborted), None, TIMEOUT_MS, None, 160),
        Err(Refusal::Ending)
    );
    let over = aborted.completed(170);
    assert_eq!((over.state, over.partitions.len()), (CompleteAbort, 0));
    let Ok(Init::Begin(next)) = init(Some(&over), None, TIMEOUT_MS, None, 180) else {
        panic!("it is taken then");
    };
    assert_eq!((next.producer, next.state), (producer(7, 5), Empty));
}

#[test]
fn the_last_epoch_is_followed_by_a_new_number() {
    assert!(!needs_id(Some(&at_epoch(i16::MAX - 2))));
    let last = at_epoch(i16::MAX - 1);
    assert!(needs_id(Some(&last)) && needs_id(None));
    let said = Some(last.producer);
    let Ok(Init::Begin(next)) = init(Some(&last), said, TIMEOUT_MS, Some(8), 1) else {
        panic!("it gets a new number");
    };
    assert_eq!((next.producer, next.previous), (producer(8, 0), said));
    let again = init(Some(&next), said, TIMEOUT_MS, None, 2);
    assert_eq!(again, Ok(Init::Again(producer(8, 0))));

    // It can be fenced off, and its transaction in V2 ends under the epoch that nobody gets.
    let open = open_at_epoch(i16::MAX - 1);
    let Ok(Init::Abort(aborted)) = init(Some(&open), None, TIMEOUT_MS, Some(8), 1) else {
        panic!("the open transaction is aborted");
    };
    assert_eq!(aborted.producer, producer(7, i16::MAX));
    let committed = ended(&open, Outcome::Commit, V2);
    assert_eq!(
        (committed.marker().producer_id, committed.marker().epoch),
        (7, i16::MAX)
    );
    let over = committed.completed(2);
    assert_eq!(over.producer, producer(8, 0));
    let again = try_end(&over, producer(7, i16::MAX - 1), Outcome::Commit, V2);
    assert_eq!(again, Ok(End::Again(producer(8, 0))));
}

#[test]
fn what_is_there_is_not_added_again() {
    let open = open_at_epoch(0);
    assert_eq!((open.state, open.started_at_ms), (Ongoing, 100));
    assert_eq!(
        add(Some(&open), producer(7, 0), &places(&[1]), &[], 110),
        Ok(None)
    );
    let groups = ["g".to_owned()];
    let more = add(Some(&open), producer(7, 0), &places(&[1, 2]), &groups, 120);
    let more = more.unwrap().unwrap();
    assert_eq!(
        more.partitions.into_iter().collect::<Vec<_>>(),
        places(&[0, 1, 2])
    );
    assert_eq!(more.groups, groups.into());
    assert_eq!((more.started_at_ms, more.updated_at_ms), (100, 120));
    let ending = ended(&open, Outcome::Commit, V1);
    assert_eq!(
        add(Some(&ending), producer(7, 0), &places(&[0]), &[], 210),
        Err(Refusal::Ending)
    );
    let over = ending.completed(220);
    let next = add(Some(&over), producer(7, 0), &places(&[2]), &[], 230);
    let next = next.unwrap().unwrap();
    assert_eq!((next.started_at_ms, next.partitions.len()), (230, 1));
}

#[test]
fn an_end_of_v1_keeps_the_epoch_and_may_be_asked_again() {
    let (commit, abort) = (Outcome::Commit, Outcome::Abort);
    let open = open_at_epoch(2);
    let own = producer(7, 2);
    let ending = ended(&open, commit, V1);
    assert_eq!((ending.state, ending.producer), (PrepareCommit, own));
    assert_eq!(try_end(&ending, own, commit, V1), Err(Refusal::Ending));
    assert_eq!(
        try_end(&ending, own, abort, V1),
        Err(Refusal::State(PrepareCommit))
    );
    let over = ending.completed(210);
    assert_eq!(over.state, CompleteCommit);
    assert_eq!(try_end(&over, own, commit, V1), Ok(End::Again(own)));
    assert_eq!(
        try_end(&over, own, abort, V1),
        Err(Refusal::State(CompleteCommit))
    );
    let fenced = Err(Refusal::Fenced { current: 2 });
    assert_eq!(try_end(&over, producer(7, 1), commit, V1), fenced);
    assert_eq!(
        try_end(&over, producer(6, 2), commit, V1),
        Err(Refusal::Unknown)
    );
    let empty = at_epoch(2);
    assert_eq!(try_end(&empty, own, abort, V1), Err(Refusal::State(Empty)));
    assert_eq!(end(None, own, abort, V1, None, 1), Err(Refusal::Unknown));
}

#[test]
fn an_end_of_v2_begins_the_next_epoch() {
    let (commit, abort) = (Outcome::Commit, Outcome::Abort);
    let open = open_at_epoch(2);
    let (own, next) = (producer(7, 2), producer(7, 3));
    let ending = ended(&open, commit, V2);
    assert_eq!((ending.state, ending.producer), (PrepareCommit, next));
    assert_eq!(ending.marker().epoch, 3);
    assert_eq!(try_end(&ending, own, commit, V2), Err(Refusal::Ending));
    assert_eq!(
        try_end(&ending, own, abort, V2),
        Err(Refusal::State(PrepareCommit))
    );
    let over = ending.completed(210);
    assert_eq!(try_end(&over, own, commit, V2), Ok(End::Again(next)));
    assert_eq!(
        try_end(&over, own, abort, V2),
        Err(Refusal::State(CompleteCommit))
    );
    assert_eq!(
        try_end(&over, next, commit, V2),
        Err(Refusal::State(CompleteCommit)),
        "nothing was written since"
    );
    // But it may abort what it has perhaps written.
    let Ok(End::Now(aborted)) = try_end(&over, next, abort, V2) else {
        panic!("it aborts nothing");
    };
    assert_eq!(
        (aborted.state, aborted.producer),
        (CompleteAbort, producer(7, 4))
    );
    assert_eq!(
        try_end(&aborted, next, abort, V2),
        Ok(End::Again(producer(7, 4)))
    );
    let begun = add(Some(&aborted), producer(7, 4), &places(&[0]), &[], 1);
    let begun = begun.unwrap().unwrap();
    let late = try_end(&begun, next, abort, V2);
    assert_eq!(late, Err(Refusal::Fenced { current: 4 }));
}

#[test]
fn time_aborts_what_is_open_and_forgets_what_is_not() {
    let open = open_at_epoch(0);
    let expiration_ms = 1_000_000;
    assert_eq!(open.deadline_ms(expiration_ms), Some(60_100));
    assert_eq!(open.due(expiration_ms, 60_099), Due::Nothing);
    let Due::Abort(aborted) = open.due(expiration_ms, 60_100) else {
        panic!("it is aborted");
    };
    assert_eq!(
        (aborted.state, aborted.producer),
        (PrepareAbort, producer(7, 1))
    );
    assert_eq!(aborted.deadline_ms(expiration_ms), None);
    assert_eq!(aborted.due(expiration_ms, i64::MAX), Due::Nothing);
    let late = try_end(&aborted, producer(7, 0), Outcome::Commit, V1);
    assert_eq!(late, Err(Refusal::Fenced { current: 1 }));
    let over = aborted.completed(70_000);
    assert_eq!(over.due(expiration_ms, 1_069_999), Due::Nothing);
    assert_eq!(over.due(expiration_ms, 1_070_000), Due::Forget);
}

#[test]
fn only_an_open_transaction_is_ongoing() {
    let open = open_at_epoch(0);
    assert!(ongoing(Some(&open), producer(7, 0)).is_ok());
    let ending = ended(&open, Outcome::Abort, V1);
    let refused = |transaction: &Transaction| ongoing(Some(transaction), producer(7, 0)).err();
    assert_eq!(refused(&ending), Some(Refusal::Ending));
    assert_eq!(
        refused(&ending.completed(9)),
        Some(Refusal::State(CompleteAbort))
    );
    assert_eq!(refused(&at_epoch(0)), Some(Refusal::State(Empty)));
    assert_eq!(refused(&at_epoch(1)), Some(Refusal::Fenced { current: 1 }));
}
