//! Errors of the operating system.

use fail::FailScenario;
use weir_base::{Classify, Kind, Offset, SqlState};
use weir_topics::{Error, IdempotencyToken, TopicConfig};

use crate::support::{bids, one, open, run, scratch, small, values};

#[test]
fn a_full_disk_refuses_the_write_and_no_more() {
    let scenario = FailScenario::setup();
    let dir = scratch();
    run(async {
        let log = open(small(dir.path())).await.unwrap();
        let partition = bids(&log).await;
        partition
            .append(one("a"), None)
            .unwrap()
            .durable()
            .await
            .unwrap();
        let token = IdempotencyToken::new("t").unwrap();
        fail::cfg("topics::append", "1*return(enospc)").unwrap();
        let refused = partition.append(one("b"), Some(&token)).unwrap();
        let seen = partition.head();
        let error = refused.durable().await.unwrap_err();
        assert!(matches!(error, Error::DiskFull { .. }), "{error}");
        assert_eq!(error.kind(), Kind::Unavailable);
        assert_eq!(error.sqlstate(), SqlState::DISK_FULL);
        assert_eq!(log.failure(), None);
        assert_eq!(partition.next_offset(), Offset(1));
        assert_eq!(values(&partition), ["a"]);
        // What was built on the lost record is refused, also where its offset has been given to another.
        assert!(matches!(
            partition.settled(seen).await,
            Err(Error::Moved { .. })
        ));
        let again = partition.append(one("b"), Some(&token)).unwrap();
        assert!(!again.duplicate);
        assert_eq!(again.durable().await.unwrap(), (Offset(1), Offset(2)));
        assert_eq!(partition.next_offset(), seen.next);
        assert!(matches!(
            partition.append_at(one("c"), seen),
            Err(Error::Moved { .. })
        ));

        fail::cfg("topics::roll", "1*return(enospc)").unwrap();
        let long = "x".repeat(1990);
        let refused = partition.append(one(&long), None).unwrap();
        assert!(matches!(
            refused.durable().await,
            Err(Error::DiskFull { .. })
        ));
        partition
            .append(one(&long), None)
            .unwrap()
            .durable()
            .await
            .unwrap();
        drop((log, partition));

        let log = open(small(dir.path())).await.unwrap();
        assert_eq!(values(&bids(&log).await), ["a", "b", &long]);
    });
    scenario.teardown();
}

#[test]
fn after_a_failed_sync_nothing_is_written_until_a_restart() {
    for point in [
        "topics::append",
        "topics::before_sync",
        "topics::after_sync",
    ] {
        let scenario = FailScenario::setup();
        let dir = scratch();
        run(async {
            let log = open(small(dir.path())).await.unwrap();
            let partition = bids(&log).await;
            let other = crate::support::make(&log, "other", 1).await;
            let other = other.partitions()[0].clone();
            other
                .append(one("o"), None)
                .unwrap()
                .durable()
                .await
                .unwrap();
            partition
                .append(one("a"), None)
                .unwrap()
                .durable()
                .await
                .unwrap();
            let mut watch = partition.watch();
            watch.mark_unchanged();
            fail::cfg(point, "1*return(eio)").unwrap();
            let long = "x".repeat(1990);
            let waiting = [&long, "c"].map(|row| partition.append(one(row), None).unwrap());
            for appended in waiting {
                let error = appended.durable().await.unwrap_err();
                assert!(matches!(error, Error::Stopped(_)), "{point}: {error}");
                assert_eq!(error.kind(), Kind::Unavailable);
            }
            let reason = log.failure().unwrap();
            assert!(reason.contains("topic \"bids\" partition 0"), "{reason}");
            for partition in [&partition, &other] {
                assert!(matches!(
                    partition.append(one("d"), None),
                    Err(Error::Stopped(_))
                ));
                assert!(matches!(partition.ready().await, Err(Error::Stopped(_))));
            }
            let made = log
                .create_topic(
                    &crate::support::name("late"),
                    other_spec(),
                    TopicConfig::default(),
                )
                .await;
            assert!(matches!(made, Err(Error::Stopped(_))));
            assert_eq!(values(&partition), ["a"]);
            assert_eq!(values(&other), ["o"]);
            assert_eq!(*watch.borrow(), Offset(1));
            log.close().await.unwrap();
            drop((log, partition, other));

            let log = open(small(dir.path())).await.unwrap();
            let partition = bids(&log).await;
            assert_eq!(values(&partition)[0], "a");
            partition
                .append(one("e"), None)
                .unwrap()
                .durable()
                .await
                .unwrap();
        });
        scenario.teardown();
    }
}

#[test]
fn a_segment_that_cannot_be_made_is_tried_again() {
    let scenario = FailScenario::setup();
    let dir = scratch();
    run(async {
        let log = open(small(dir.path())).await.unwrap();
        let partition = bids(&log).await;
        let long = "x".repeat(1900);
        partition
            .append(one(&long), None)
            .unwrap()
            .durable()
            .await
            .unwrap();
        fail::cfg("topics::roll", "1*return(eio)").unwrap();
        let refused = partition.append(one(&long), None).unwrap();
        let error = refused.durable().await.unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error}");
        assert_eq!(
            error.to_string(),
            "cannot make a segment of topic \"bids\" partition 0"
        );
        assert_eq!((log.failure(), partition.next_offset()), (None, Offset(1)));
        let again = partition.append(one(&long), None).unwrap();
        assert_eq!(again.durable().await.unwrap(), (Offset(1), Offset(2)));
    });
    scenario.teardown();
}

#[test]
fn a_defect_in_a_writer_stops_the_log_and_leaves_nobody_waiting() {
    let scenario = FailScenario::setup();
    let dir = scratch();
    run(async {
        let log = open(small(dir.path())).await.unwrap();
        let partition = bids(&log).await;
        fail::cfg("topics::before_sync", "1*panic").unwrap();
        let appended = partition.append(one("a"), None).unwrap();
        assert!(matches!(appended.durable().await, Err(Error::Stopped(_))));
        assert!(log.failure().is_some());
        log.close().await.unwrap();
    });
    scenario.teardown();
}

#[test]
fn a_second_attempt_waits_for_the_first_and_shares_its_fate() {
    let scenario = FailScenario::setup();
    let dir = scratch();
    run(async {
        let log = open(small(dir.path())).await.unwrap();
        let partition = bids(&log).await;
        let token = IdempotencyToken::new("t").unwrap();
        fail::cfg("topics::append", "pause").unwrap();
        let first = partition.append(one("a"), Some(&token)).unwrap();
        let second = partition.append(one("a"), Some(&token)).unwrap();
        let later = partition.append(one("b"), None).unwrap();
        assert!(second.duplicate);
        assert_eq!(
            (partition.next_offset(), partition.stable_offset()),
            (Offset(2), Offset(0))
        );
        assert!(
            partition
                .read(Offset(0), Offset(2), 100)
                .unwrap()
                .batches
                .is_empty()
        );
        fail::cfg("topics::append", "1*return(enospc)").unwrap();
        // Whether the group had been taken before "b" came or not, the line behind a refused one is refused.
        for appended in [first, second, later] {
            assert!(matches!(
                appended.durable().await,
                Err(Error::DiskFull { .. })
            ));
        }
        assert_eq!(partition.next_offset(), Offset(0));
    });
    scenario.teardown();
}

#[test]
fn a_deletion_answers_those_who_wait() {
    let scenario = FailScenario::setup();
    let dir = scratch();
    run(async {
        let log = open(small(dir.path())).await.unwrap();
        let partition = bids(&log).await;
        fail::cfg("topics::append", "pause").unwrap();
        let first = partition.append(one("a"), None).unwrap();
        let second = partition.append(one("b"), None).unwrap();
        let id = log.topics()[0].id();
        let deletion = log.delete_topic(id);
        let resume = async { fail::remove("topics::append") };
        tokio::join!(deletion, resume).0.unwrap();
        for appended in [first, second] {
            match appended.durable().await {
                Ok(_) | Err(Error::TopicNotFound(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(log.failure(), None);
        assert!(log.topics().is_empty());
    });
    scenario.teardown();
}

fn other_spec() -> weir_topics::TopicSpec {
    weir_topics::TopicSpec {
        partitions: 1,
        owned: false,
    }
}
