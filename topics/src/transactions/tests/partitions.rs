//! Transactions as partitions and groups see them.

use std::collections::BTreeMap;

use super::*;
use crate::{Aborted, Cleanup};

const COMMIT: Outcome = Outcome::Commit;
const ABORT: Outcome = Outcome::Abort;

fn places(topic: &Topic, numbers: &[u32]) -> Vec<Place> {
    let places = numbers
        .iter()
        .map(|number| (topic.id(), PartitionId(*number)));
    places.collect()
}

#[test]
fn what_is_written_together_is_seen_together() {
    let (dir, clock) = (scratch(), Arc::new(ManualClock::at(1_000)));
    run(async {
        let log = open(dir.path(), &clock).await;
        let (topic, transactions) = (bids(&log).await, log.transactions());
        let (left, right) = (&topic.partitions()[0], &topic.partitions()[1]);
        let mut producer = comes(&log, "a").await;
        let refused = write(left, producer.producer, 0, "early").await;
        assert!(matches!(refused, Err(Error::NotInTransaction { .. })));

        let both = places(&topic, &[0, 1]);
        let added = transactions.add_partitions(&producer, &both).await;
        assert!(added.unwrap().iter().all(Result::is_ok));
        write(left, producer.producer, 0, "one").await.unwrap();
        write(right, producer.producer, 0, "two").await.unwrap();
        assert_eq!(
            (left.stable_offset(), left.last_stable_offset()),
            (Offset(1), Offset(0))
        );
        assert!(values(left).is_empty());
        let stored = left.stored(Offset(0), Offset(9), 1000).unwrap();
        assert_eq!((stored.stretches.len(), stored.next), (1, Offset(1)));

        let mut watch = left.watch_committed();
        watch.mark_unchanged();
        producer.producer = transactions
            .end(&producer, COMMIT, TransactionVersion::V2)
            .await
            .unwrap();
        assert_eq!(producer.producer.epoch, 1);
        assert!(watch.has_changed().unwrap());
        assert_eq!(left.last_stable_offset(), Offset(2));
        assert_eq!(
            (values(left), values(right)),
            (vec!["one".to_owned()], vec!["two".to_owned()])
        );
        assert_eq!(
            left.records_between(Offset(0), Offset(2)),
            None,
            "a marker is no record"
        );
        let refused = write(left, producer.producer, 0, "late").await;
        assert!(matches!(refused, Err(Error::NotInTransaction { .. })));
        assert_eq!(left.record_for_time(0).unwrap(), Some((Offset(0), 0)));
    });
}

#[test]
fn what_is_aborted_is_passed_over() {
    let (dir, clock) = (scratch(), Arc::new(ManualClock::at(1_000)));
    run(async {
        let log = open(dir.path(), &clock).await;
        let (topic, transactions) = (bids(&log).await, log.transactions());
        let left = &topic.partitions()[0];
        let (first, second) = (comes(&log, "a").await, comes(&log, "b").await);
        for producer in [&first, &second] {
            let added = transactions
                .add_partitions(producer, &places(&topic, &[0]))
                .await;
            assert!(added.unwrap().iter().all(Result::is_ok));
        }
        for number in 0..30 {
            write(left, first.producer, number, &format!("no {number}"))
                .await
                .unwrap();
            write(left, second.producer, number, &format!("yes {number}"))
                .await
                .unwrap();
        }
        transactions
            .end(&second, COMMIT, TransactionVersion::V1)
            .await
            .unwrap();
        assert!(values(left).is_empty(), "the first one has begun earlier");
        transactions
            .end(&first, ABORT, TransactionVersion::V1)
            .await
            .unwrap();
        let expected: Vec<_> = (0..30).map(|number| format!("yes {number}")).collect();
        assert_eq!(values(left), expected);
        let aborted = Aborted {
            producer_id: first.producer.producer_id,
            first_offset: Offset(0),
            last_offset: Offset(61),
        };
        assert_eq!(left.aborted(Offset(5), Offset(6)), [aborted]);
        assert!(left.aborted(Offset(62), Offset(90)).is_empty());
        let states = left.producers();
        assert_eq!((states.len(), states[0].last_sequence), (2, Some(29)));

        // A start finds it so, by the indexes and without them.
        drop((topic, transactions));
        log.close().await.unwrap();
        drop(log);
        for without_indexes in [false, true] {
            if without_indexes {
                remove_indexes(dir.path());
            }
            let log = open(dir.path(), &clock).await;
            let topic = bids(&log).await;
            let left = &topic.partitions()[0];
            assert_eq!(left.last_stable_offset(), Offset(62));
            assert_eq!(left.aborted(Offset(0), Offset(62)), [aborted]);
            assert_eq!(values(left), expected);
            // The epoch goes on, and so do its numbers.
            let transactions = log.transactions();
            let added = transactions
                .add_partitions(&second, &places(&topic, &[0]))
                .await;
            assert!(added.unwrap().iter().all(Result::is_ok));
            let gap = write(left, second.producer, 31, "gap").await;
            assert!(matches!(
                gap,
                Err(Error::OutOfSequence { expected: 30, .. })
            ));
            drop((topic, transactions));
            log.close().await.unwrap();
        }
    });
}

fn remove_indexes(dir: &Path) {
    for topic in std::fs::read_dir(dir).unwrap() {
        let partition = topic.unwrap().path().join("0");
        let files = std::fs::read_dir(partition).into_iter().flatten();
        for path in files.map(|file| file.unwrap().path()) {
            if path.extension().is_some_and(|ending| ending == "index") {
                std::fs::remove_file(path).unwrap();
            }
        }
    }
}

#[test]
fn a_fenced_producer_writes_nothing_more() {
    let (dir, clock) = (scratch(), Arc::new(ManualClock::at(1_000)));
    run(async {
        let log = open(dir.path(), &clock).await;
        let (topic, transactions) = (bids(&log).await, log.transactions());
        let left = &topic.partitions()[0];
        let old = comes(&log, "a").await;
        transactions
            .add_partitions(&old, &places(&topic, &[0]))
            .await
            .unwrap()[0]
            .clone()
            .unwrap();
        write(left, old.producer, 0, "old").await.unwrap();
        let new = comes(&log, "a").await;
        assert_eq!(new.producer.epoch, 2, "one epoch was for the abort");
        let refused = write(left, old.producer, 1, "old").await;
        assert!(matches!(
            refused,
            Err(Error::ProducerFenced { current: 1, .. })
        ));
        let fenced = transactions
            .add_partitions(&old, &places(&topic, &[1]))
            .await;
        assert!(matches!(
            fenced,
            Err(Error::TransactionFenced { current: 2, .. })
        ));
        let fenced = transactions.end(&old, COMMIT, TransactionVersion::V1).await;
        assert!(matches!(
            fenced,
            Err(Error::TransactionFenced { current: 2, .. })
        ));

        transactions
            .add_partitions(&new, &places(&topic, &[0]))
            .await
            .unwrap()[0]
            .clone()
            .unwrap();
        let gap = write(left, new.producer, 1, "gap").await;
        assert!(matches!(gap, Err(Error::OutOfSequence { expected: 0, .. })));
        write(left, new.producer, 0, "new").await.unwrap();
        transactions
            .end(&new, COMMIT, TransactionVersion::V1)
            .await
            .unwrap();
        assert_eq!(values(left), ["new"]);
    });
}

#[test]
fn offsets_are_committed_with_the_transaction() {
    let (dir, clock) = (scratch(), Arc::new(ManualClock::at(1_000)));
    run(async {
        let log = open(dir.path(), &clock).await;
        let (topic, transactions) = (bids(&log).await, log.transactions());
        let mut producer = comes(&log, "a").await;
        let commit = |producer: &TransactionalProducer, offset, version| {
            let (producer, request) = (producer.clone(), offsets("g", topic.id(), offset));
            let transactions = transactions.clone();
            async move {
                transactions
                    .commit_offsets(&producer, request, version)
                    .await
            }
        };
        let refused = commit(&producer, 1, TransactionVersion::V1).await;
        assert!(matches!(
            refused,
            Err(GroupError::Log(Error::TransactionState { .. }))
        ));
        transactions.add_offsets(&producer, "g").await.unwrap();
        commit(&producer, 1, TransactionVersion::V1).await.unwrap();
        commit(&producer, 2, TransactionVersion::V1).await.unwrap();
        let place = (topic.id(), PartitionId(0));
        assert_eq!(committed(&log, "g"), None);
        assert_eq!(log.groups().pending("g"), [place].into());
        producer.producer = transactions
            .end(&producer, COMMIT, TransactionVersion::V2)
            .await
            .unwrap();
        assert_eq!(committed(&log, "g"), Some(2));
        assert!(log.groups().pending("g").is_empty());

        commit(&producer, 3, TransactionVersion::V2).await.unwrap();
        producer.producer = transactions
            .end(&producer, ABORT, TransactionVersion::V2)
            .await
            .unwrap();
        assert_eq!(
            (committed(&log, "g"), log.groups().pending("g").len()),
            (Some(2), 0)
        );

        // What is committed later without a transaction is newer.
        commit(&producer, 4, TransactionVersion::V2).await.unwrap();
        log.groups()
            .commit(offsets("g", topic.id(), 9))
            .await
            .unwrap();
        drop((topic, transactions));
        drop(log);
        let log = open(dir.path(), &clock).await;
        log.transactions()
            .end(&producer, COMMIT, TransactionVersion::V2)
            .await
            .unwrap();
        assert_eq!(committed(&log, "g"), Some(9));

        // A member of a generation that is not the group's is refused (KIP-447).
        let mut stale = offsets("g", bids(&log).await.id(), 5);
        stale.membership.generation = 3;
        stale.membership.member_id = "gone".to_owned();
        let transactions = log.transactions();
        let refused = transactions
            .commit_offsets(&producer, stale, TransactionVersion::V2)
            .await;
        assert!(matches!(refused, Err(GroupError::IllegalGeneration)));
    });
}

#[test]
fn time_ends_what_nobody_ends() {
    let (dir, clock) = (scratch(), Arc::new(ManualClock::at(1_000)));
    run(async {
        let log = open(dir.path(), &clock).await;
        let (topic, transactions) = (bids(&log).await, log.transactions());
        let left = topic.partitions()[0].clone();
        let producer = comes(&log, "a").await;
        transactions
            .add_partitions(&producer, &places(&topic, &[0]))
            .await
            .unwrap()[0]
            .clone()
            .unwrap();
        write(&left, producer.producer, 0, "slow").await.unwrap();
        pass(&log, &clock, 59_999).await;
        assert_eq!(left.last_stable_offset(), Offset(0));
        assert_eq!(
            transactions.describe("a").unwrap().started_at_ms,
            Some(1_000)
        );
        pass(&log, &clock, 1).await;
        assert_eq!(left.last_stable_offset(), Offset(2));
        assert!(values(&left).is_empty());
        let described = transactions.describe("a").unwrap();
        assert_eq!(described.state, TransactionState::CompleteAbort);
        assert_eq!(described.producer.epoch, 1);
        let late = transactions
            .end(&producer, COMMIT, TransactionVersion::V1)
            .await;
        assert!(matches!(late, Err(Error::TransactionFenced { .. })));
        pass(&log, &clock, 7 * 24 * 3_600_000).await;
        assert!(transactions.list().is_empty());
        assert_ne!(
            comes(&log, "a").await.producer.producer_id,
            producer.producer.producer_id
        );
    });
}

#[test]
fn what_cannot_be_is_refused() {
    let (dir, clock) = (scratch(), Arc::new(ManualClock::at(1_000)));
    run(async {
        let log = open(dir.path(), &clock).await;
        let (topic, transactions) = (bids(&log).await, log.transactions());
        let init = |id: &str, timeout_ms| InitProducer {
            transactional_id: id.to_owned(),
            timeout_ms,
            current: None,
        };
        for id in [String::new(), "x".repeat(TRANSACTIONAL_ID_BYTES_MAX + 1)] {
            let refused = transactions.init_producer(init(&id, 1)).await;
            assert!(matches!(refused, Err(Error::TransactionalId { .. })));
        }
        for timeout_ms in [0, -1, 900_001] {
            let refused = transactions.init_producer(init("a", timeout_ms)).await;
            assert!(matches!(refused, Err(Error::TransactionTimeout { .. })));
        }
        let stranger = TransactionalProducer {
            transactional_id: "b".to_owned(),
            producer: ProducerEpoch {
                producer_id: 5,
                epoch: 0,
            },
        };
        let unknown = transactions
            .end(&stranger, ABORT, TransactionVersion::V2)
            .await;
        assert!(matches!(unknown, Err(Error::ProducerUnknown(_))));
        let unknown = transactions
            .add_partitions(&stranger, &places(&topic, &[0]))
            .await;
        assert!(matches!(unknown, Err(Error::ProducerUnknown(_))));

        let producer = comes(&log, "a").await;
        let mixed = transactions
            .add_partitions(&producer, &places(&topic, &[0, 2]))
            .await
            .unwrap();
        assert!(matches!(mixed[0], Err(Error::NotAttempted)));
        assert!(matches!(mixed[1], Err(Error::PartitionNotFound { .. })));
        assert_eq!(
            transactions
                .has_partitions(&producer, &places(&topic, &[0]))
                .unwrap(),
            [false]
        );
        transactions
            .add_partitions(&producer, &places(&topic, &[0]))
            .await
            .unwrap()[0]
            .clone()
            .unwrap();
        assert_eq!(
            transactions
                .has_partitions(&producer, &places(&topic, &[0, 1]))
                .unwrap(),
            [true, false]
        );

        // A deleted topic does not keep a transaction from ending.
        write(&topic.partitions()[0], producer.producer, 0, "gone")
            .await
            .unwrap();
        log.delete_topic(topic.id()).await.unwrap();
        transactions
            .end(&producer, COMMIT, TransactionVersion::V1)
            .await
            .unwrap();
        // An end is answered before it is noted that it is complete.
        drop(transactions.0.turns.begin("a").await);
        assert_eq!(
            transactions.list()[0].state,
            TransactionState::CompleteCommit
        );
        log.close().await.unwrap();
        let closed = transactions.init_producer(init("a", 1)).await;
        assert!(matches!(closed, Err(Error::Closed)));
    });
}

#[test]
fn what_is_open_for_no_transaction_is_aborted_at_the_start() {
    let (dir, clock) = (scratch(), Arc::new(ManualClock::at(1_000)));
    run(async {
        let log = open(dir.path(), &clock).await;
        let (topic, transactions) = (bids(&log).await, log.transactions());
        let producer = comes(&log, "a").await;
        transactions
            .add_partitions(&producer, &places(&topic, &[0]))
            .await
            .unwrap()[0]
            .clone()
            .unwrap();
        write(&topic.partitions()[0], producer.producer, 0, "lost")
            .await
            .unwrap();
        let own = log
            .topics()
            .into_iter()
            .find(|topic| crate::is_internal(topic.name()));
        log.delete_topic(own.unwrap().id()).await.unwrap();
        drop((topic, transactions));
        log.close().await.unwrap();
        drop(log);
        let log = open(dir.path(), &clock).await;
        let topic = bids(&log).await;
        let left = &topic.partitions()[0];
        let mut watch = left.watch_committed();
        watch.wait_for(|end| *end == Offset(2)).await.unwrap();
        assert!(values(left).is_empty());
    });
}

#[test]
fn retention_and_compaction_heed_what_is_decided() {
    let (dir, clock) = (scratch(), Arc::new(ManualClock::at(1_000)));
    run(async {
        let log = open(dir.path(), &clock).await;
        let (topic, transactions) = (bids(&log).await, log.transactions());
        let left = topic.partitions()[0].clone();
        let (good, bad) = (comes(&log, "good").await, comes(&log, "bad").await);
        let both = [(&good, Outcome::Commit), (&bad, Outcome::Abort)];
        let (mut sequence, mut last) = (0, BTreeMap::new());
        for round in 0..20 {
            for (producer, outcome) in both {
                let place = places(&topic, &[0]);
                let added = transactions.add_partitions(producer, &place).await;
                added.unwrap()[0].clone().unwrap();
                for key in 0..3 {
                    let value = format!("{key}/{round}/{outcome:?}");
                    let number = sequence + key;
                    write(&left, producer.producer, number, &value)
                        .await
                        .unwrap();
                    if outcome == Outcome::Commit {
                        last.insert(key, value);
                    }
                }
                let ended = transactions.end(producer, outcome, TransactionVersion::V1);
                ended.await.unwrap();
            }
            sequence += 3;
        }
        // One stays open, and all after it is not touched.
        let place = places(&topic, &[0]);
        let added = transactions.add_partitions(&good, &place).await;
        added.unwrap()[0].clone().unwrap();
        let open_at = write(&left, good.producer, sequence, "0/open")
            .await
            .unwrap();
        for number in 0..60 {
            let (producer, value) = (bad.producer, format!("1/{number}/late"));
            let added = transactions.add_partitions(&bad, &place).await;
            added.unwrap()[0].clone().unwrap();
            write(&left, producer, sequence + number, &value)
                .await
                .unwrap();
        }
        transactions
            .end(&bad, COMMIT, TransactionVersion::V1)
            .await
            .unwrap();

        let mut config = topic.config();
        config.cleanup = Cleanup::Compact;
        log.configure(topic.id(), config).await.unwrap();
        log.maintain(clock.now_ms()).await.unwrap();
        assert_eq!(left.last_stable_offset(), open_at);
        let stored = stored(&left);
        let aborted = stored.iter().filter(|value| value.ends_with("Abort"));
        assert!(
            aborted.count() < 12,
            "only in the segment of the open transaction"
        );
        let late = stored.iter().filter(|value| value.ends_with("late"));
        assert_eq!(late.count(), 60);
        let seen: BTreeMap<_, _> = values(&left)
            .into_iter()
            .map(|value| {
                let key: i32 = value.split('/').next().unwrap().parse().unwrap();
                (key, value)
            })
            .collect();
        assert_eq!(seen, last);

        config.cleanup = Cleanup::Delete;
        config.retention_bytes = Some(0);
        log.configure(topic.id(), config).await.unwrap();
        log.maintain(clock.now_ms()).await.unwrap();
        assert_eq!(left.last_stable_offset(), open_at);
        assert!(left.start_offset() <= open_at);
        transactions
            .end(&good, COMMIT, TransactionVersion::V1)
            .await
            .unwrap();
        assert_eq!(
            values(&left)
                .iter()
                .filter(|value| *value == "0/open")
                .count(),
            1
        );

        // What somebody deletes in spite of an open transaction need not be decided.
        let added = transactions.add_partitions(&good, &place).await;
        added.unwrap()[0].clone().unwrap();
        write(&left, good.producer, sequence + 1, "0/deleted")
            .await
            .unwrap();
        let end = left.stable_offset();
        left.delete_before(end).unwrap();
        assert_eq!((left.start_offset(), left.last_stable_offset()), (end, end));
        transactions
            .end(&good, COMMIT, TransactionVersion::V1)
            .await
            .unwrap();
        assert_eq!(left.last_stable_offset(), left.stable_offset());
    });
}

/// The values of all records that are stored, but for markers.
fn stored(partition: &Partition) -> Vec<String> {
    let (mut next, end) = (partition.start_offset(), partition.stable_offset());
    let mut values = Vec::new();
    while next < end {
        let read = partition.stored(next, end, 1000).unwrap();
        for stretch in &read.stretches {
            let mut piece = stretch.read().unwrap();
            while !piece.is_empty() {
                let batch = crate::BatchView::parse(piece.clone()).unwrap();
                let _ = piece.split_to(batch.size_bytes());
                let records = batch.records().filter(|_| !batch.header().is_control());
                values.extend(records.map(|record| {
                    String::from_utf8(record.unwrap().value.unwrap().to_vec()).unwrap()
                }));
            }
        }
        assert!(read.next > next);
        next = read.next;
    }
    values
}
