//! Appends: dense offsets, many in flight, tokens that make a second attempt harmless.

use weir_base::{Classify, Kind, Offset};
use weir_topics::{BatchBuilder, Error, Fingerprint, IdempotencyToken, LogSettings};

use crate::support::{batch, bids, one, open, produced, run, scratch, small, values};

fn token(number: usize) -> IdempotencyToken {
    let token = IdempotencyToken::new(format!("attempt-{number}")).unwrap();
    token.standing_for(Fingerprint::of(&number.to_be_bytes()))
}

/// The same name, for something else.
fn mistaken(number: usize) -> IdempotencyToken {
    token(number).standing_for(Fingerprint::of(b"something else"))
}

#[test]
fn appends_are_pipelined_and_their_offsets_are_dense() {
    let dir = scratch();
    run(async {
        let log = open(small(dir.path())).await.unwrap();
        let partition = bids(&log).await;
        let mut watch = partition.watch();
        let mut waiting = Vec::new();
        for number in 0..500i64 {
            let value = number.to_string();
            let appended = partition.append(one(&value), None).unwrap();
            assert_eq!(appended.base_offset, Offset(number));
            waiting.push(appended);
        }
        assert_eq!(partition.next_offset(), Offset(500));
        for (number, appended) in waiting.into_iter().enumerate() {
            let (base, end) = appended.durable().await.unwrap();
            assert_eq!((base.0, end.0), (number as i64, number as i64 + 1));
            assert!(partition.stable_offset() >= end);
        }
        assert_eq!(*watch.borrow_and_update(), Offset(500));
        let expected: Vec<_> = (0..500).map(|number| number.to_string()).collect();
        assert_eq!(values(&partition), expected);
        assert!(partition.segments().len() > 5);
    });
}

#[test]
fn writers_on_many_threads_share_syncs_and_lose_nothing() {
    let dir = scratch();
    let (log, partition) = run(async {
        let log = open(LogSettings::new(dir.path())).await.unwrap();
        let partition = bids(&log).await;
        (log, partition)
    });
    let ends: Vec<i64> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let partition = &partition;
                scope.spawn(move || {
                    run(async {
                        let mut ends = Vec::new();
                        for number in 0..50 {
                            let value = format!("{writer}/{number}");
                            let appended = partition.append(one(&value), None).unwrap();
                            ends.push(appended.durable().await.unwrap().1.0);
                        }
                        ends
                    })
                })
            })
            .collect();
        writers
            .into_iter()
            .flat_map(|w| w.join().unwrap())
            .collect()
    });
    let mut ends = ends;
    ends.sort_unstable();
    assert_eq!(ends, (1..=400).collect::<Vec<_>>());
    let values = values(&partition);
    for writer in 0..8 {
        let prefix = format!("{writer}/");
        let own = values.iter().filter(|value| value.starts_with(&prefix));
        let own: Vec<_> = own
            .map(|value| value[prefix.len()..].parse::<i32>().unwrap())
            .collect();
        assert_eq!(own, (0..50).collect::<Vec<_>>(), "order of writer {writer}");
    }
    drop(log);
}

#[test]
fn a_token_answers_the_first_attempt() {
    let dir = scratch();
    run(async {
        let log = open(small(dir.path())).await.unwrap();
        let partition = bids(&log).await;
        let first = partition
            .append(batch([(1, "a"), (2, "b")]), Some(&token(0)))
            .unwrap();
        let second = partition.append(one("never"), Some(&token(0))).unwrap();
        assert!(!first.duplicate && second.duplicate);
        assert_eq!((second.base_offset, second.record_count), (Offset(0), 2));
        let ends = (Offset(0), Offset(2));
        assert_eq!(second.durable().await.unwrap(), ends);
        assert_eq!(first.durable().await.unwrap(), ends);
        let third = partition.append(one("never"), Some(&token(0))).unwrap();
        assert_eq!(third.durable().await.unwrap(), ends);
        assert_eq!(values(&partition), ["a", "b"]);
    });
}

#[test]
fn tokens_survive_restarts_of_any_kind() {
    let dir = scratch();
    run(async {
        let mut written = 0;
        for round in 0..6 {
            let log = open(small(dir.path())).await.unwrap();
            let partition = bids(&log).await;
            for number in 0..written {
                let again = partition
                    .append(one("never"), Some(&token(number)))
                    .unwrap();
                assert!(again.duplicate, "token {number} forgotten in round {round}");
                assert_eq!(again.base_offset, Offset(number as i64));
                assert!(partition.remembers(&token(number)).unwrap());
                for refused in [
                    partition
                        .append(one("never"), Some(&mistaken(number)))
                        .err(),
                    partition.remembers(&mistaken(number)).err(),
                ] {
                    let base = match refused {
                        Some(Error::TokenReused { base, .. }) => base,
                        other => panic!("token {number} in round {round}: {other:?}"),
                    };
                    assert_eq!(base, Offset(number as i64));
                }
            }
            assert!(!partition.remembers(&token(written)).unwrap());
            for _ in 0..40 {
                let appended = partition.append(one("row"), Some(&token(written))).unwrap();
                appended.durable().await.unwrap();
                written += 1;
            }
            assert_eq!(values(&partition).len(), written);
            if round % 3 == 0 {
                log.close().await.unwrap();
            }
            drop((log, partition));
            if round % 3 == 2 {
                // Whatever is derived can be lost.
                for index in crate::support::files(dir.path(), ".index") {
                    std::fs::remove_file(index).unwrap();
                }
            }
        }
    });
}

#[test]
fn an_append_at_a_head_is_the_next_one_or_none() {
    let dir = scratch();
    run(async {
        let log = open(small(dir.path())).await.unwrap();
        let partition = bids(&log).await;
        let head = partition.head();
        let first = partition.append_at(one("a"), head).unwrap();
        assert_eq!(first.base_offset, head.next);
        let late = partition.append_at(one("b"), head);
        assert!(matches!(late, Err(Error::Moved { .. })), "{late:?}");
        let after = partition.head();
        assert_eq!(after.next, Offset(1));
        partition.settled(after).await.unwrap();
        assert_eq!(partition.stable_offset(), Offset(1));
        let second = partition.append_at(one("b"), after).unwrap();
        second.durable().await.unwrap();
        assert_eq!(values(&partition), ["a", "b"]);
    });
}

#[test]
fn only_the_last_tokens_are_remembered() {
    let dir = scratch();
    run(async {
        let settings = LogSettings {
            tokens_max: 10,
            ..small(dir.path())
        };
        let log = open(settings.clone()).await.unwrap();
        let partition = bids(&log).await;
        for number in 0..30 {
            let appended = partition.append(one("row"), Some(&token(number))).unwrap();
            appended.durable().await.unwrap();
        }
        drop((log, partition));
        let log = open(settings).await.unwrap();
        let partition = bids(&log).await;
        assert!(
            partition
                .append(one("x"), Some(&token(20)))
                .unwrap()
                .duplicate
        );
        assert!(
            !partition
                .append(one("x"), Some(&token(19)))
                .unwrap()
                .duplicate
        );
    });
}

#[test]
fn what_cannot_be_taken_is_refused() {
    let dir = scratch();
    run(async {
        let settings = LogSettings {
            batch_bytes_max: 1000,
            ..small(dir.path())
        };
        let log = open(settings).await.unwrap();
        let partition = bids(&log).await;
        let empty = partition.append(BatchBuilder::new().build(), None);
        assert!(matches!(empty, Err(Error::EmptyBatch)));
        let long = "x".repeat(1000);
        let error = partition.append(one(&long), None).unwrap_err();
        assert_eq!(error.kind(), Kind::LimitExceeded);
        assert_eq!(
            error.to_string(),
            "a batch of 1070 bytes is larger than the limit of 1000 bytes"
        );
        assert_eq!(partition.next_offset(), Offset(0));
    });
}

#[test]
fn a_batch_larger_than_a_segment_has_one_of_its_own() {
    let dir = scratch();
    run(async {
        let log = open(small(dir.path())).await.unwrap();
        let partition = bids(&log).await;
        let long = "x".repeat(200_000);
        let rows = ["a", &long, "b", &long, "c"];
        let appends: Vec<_> = rows
            .iter()
            .map(|row| partition.append(one(row), None))
            .collect();
        for appended in appends {
            appended.unwrap().durable().await.unwrap();
        }
        assert_eq!(values(&partition), rows);
        assert_eq!(partition.segments().len(), 5);
        drop((log, partition));
        let log = open(small(dir.path())).await.unwrap();
        assert_eq!(values(&bids(&log).await), rows);
    });
}

#[test]
fn a_writer_that_is_too_fast_is_told_and_can_wait() {
    let dir = scratch();
    run(async {
        let settings = LogSettings {
            pending_bytes_max: 60_000,
            ..LogSettings::new(dir.path())
        };
        let log = open(settings).await.unwrap();
        let partition = bids(&log).await;
        let long = "x".repeat(30_000);
        let mut refused = 0;
        let mut taken = 0;
        while refused < 3 {
            match partition.append(one(&long), None) {
                Ok(_appended) => taken += 1,
                Err(error) => {
                    assert!(matches!(error, Error::Busy { .. }), "{error}");
                    assert_eq!(error.kind(), Kind::LimitExceeded);
                    refused += 1;
                    partition.ready().await.unwrap();
                    let _appended = partition.append(one(&long), None).unwrap();
                    taken += 1;
                }
            }
        }
        log.close().await.unwrap();
        assert_eq!(partition.stable_offset(), Offset(taken));
    });
}

#[test]
fn a_batch_of_an_idempotent_producer_is_written_once_also_after_a_restart() {
    let first_values: Vec<String> = (0..40).map(|number| format!("value {number}")).collect();
    for is_clean in [true, false] {
        let dir = scratch();
        run(async {
            let log = open(small(dir.path())).await.unwrap();
            let partition = bids(&log).await;
            let epoch = 3;
            // Small segments: some roll in between.
            for (at, value) in first_values.iter().enumerate() {
                let batch = || produced(epoch, at as i32, &[value]);
                let (base, _) = partition
                    .append(batch(), None)
                    .unwrap()
                    .durable()
                    .await
                    .unwrap();
                let again = partition.append(batch(), None).unwrap();
                assert!(again.duplicate);
                assert_eq!(again.durable().await.unwrap().0, base);
            }
            if is_clean {
                log.close().await.unwrap();
            }
            drop((partition, log));

            let log = open(small(dir.path())).await.unwrap();
            let partition = bids(&log).await;
            for at in 36..40 {
                let again = partition
                    .append(produced(epoch, at, &["other"]), None)
                    .unwrap();
                assert!(again.duplicate);
                assert_eq!(again.base_offset, Offset(at.into()));
            }
            let gap = partition.append(produced(epoch, 50, &["gap"]), None);
            assert!(matches!(
                gap,
                Err(Error::OutOfSequence { expected: 40, .. })
            ));
            let old = partition.append(produced(epoch - 1, 40, &["old"]), None);
            assert!(matches!(old, Err(Error::ProducerFenced { .. })));
            assert_eq!(partition.next_offset(), Offset(40));
        });
    }
}
