//! Rounds of upkeep: what goes by time and size, what is closed, what is compacted, what is synced later.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use weir_base::{Classify, Kind, ManualClock, Offset};
use weir_topics::{
    BatchBuilder, Cleanup, Error, LogSettings, Partition, RecordRef, TopicConfig, TopicLog,
};

use crate::support::{batch, bids, files, name, one, open, run, scratch, small, values};

async fn configure(log: &TopicLog, config: TopicConfig) -> Partition {
    let partition = bids(log).await;
    let id = log.topic(&name("bids")).unwrap().id();
    log.configure(id, config).await.unwrap();
    partition
}

/// Appends one record a batch, with these timestamps.
async fn write(partition: &Partition, timestamps: impl IntoIterator<Item = i64>) {
    for timestamp_ms in timestamps {
        let appended = partition.append(batch([(timestamp_ms, "row")]), None);
        appended.unwrap().durable().await.unwrap();
    }
}

/// Appends one keyed record; `None` deletes the key.
async fn put(partition: &Partition, key: &str, value: Option<&str>) {
    let mut builder = BatchBuilder::new();
    let record = RecordRef {
        key: Some(key.as_bytes()),
        value: value.map(str::as_bytes),
        ..RecordRef::default()
    };
    builder.push(record).unwrap();
    let appended = partition.append(builder.build(), None).unwrap();
    appended.durable().await.unwrap();
}

/// All records from the start on: offset, key, value.
fn table(partition: &Partition) -> Vec<(i64, String, Option<String>)> {
    let (mut next, end) = (partition.start_offset(), partition.stable_offset());
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut rows = Vec::new();
    while next < end {
        let read = partition.read(next, end, 300).unwrap();
        for batch in &read.batches {
            for record in batch.records() {
                let record = record.unwrap();
                let key = text(record.key.unwrap());
                rows.push((record.offset.0, key, record.value.map(text)));
            }
        }
        next = read.next;
    }
    rows
}

#[test]
fn what_is_old_goes_segment_by_segment_and_the_growing_one_last() {
    let dir = scratch();
    run(async {
        let log = open(small(dir.path())).await.unwrap();
        let config = TopicConfig {
            retention_ms: Some(100),
            segment_bytes: Some(400),
            ..TopicConfig::default()
        };
        let partition = configure(&log, config).await;
        write(&partition, 0..30).await;
        let segments = partition.segments();
        assert!(segments.len() > 3);
        log.maintain(100).await.unwrap();
        assert_eq!(partition.start_offset(), Offset(0));
        let second = segments[1];
        log.maintain(second.max_timestamp_ms + 101).await.unwrap();
        assert_eq!(partition.start_offset(), second.end_offset);
        assert_eq!(files(dir.path(), ".log").len(), segments.len() - 2);
        log.maintain(1000).await.unwrap();
        let ends = (partition.start_offset(), partition.next_offset());
        assert_eq!(ends, (Offset(30), Offset(30)));
        assert_eq!(partition.size_bytes(), 0);
        assert_eq!(files(dir.path(), ".log").len(), 1);
        drop((log, partition));

        // An empty log goes on where it was.
        let log = open(small(dir.path())).await.unwrap();
        let partition = bids(&log).await;
        assert_eq!(partition.start_offset(), Offset(30));
        write(&partition, [5000]).await;
        assert_eq!(partition.stable_offset(), Offset(31));
        assert_eq!(values(&partition), ["row"]);
    });
}

#[test]
fn what_is_too_much_goes() {
    let dir = scratch();
    run(async {
        let log = open(small(dir.path())).await.unwrap();
        let config = TopicConfig {
            retention_bytes: Some(1000),
            segment_bytes: Some(400),
            ..TopicConfig::default()
        };
        let partition = configure(&log, config).await;
        write(&partition, 0..40).await;
        let before = partition.size_bytes();
        log.maintain(0).await.unwrap();
        let after = partition.size_bytes();
        assert!((1000..1400).contains(&after) && after < before, "{after}");
        assert_eq!(
            partition.segments()[0].base_offset,
            partition.start_offset()
        );
        log.maintain(0).await.unwrap();
        assert_eq!(partition.size_bytes(), after);
    });
}

#[test]
fn a_segment_is_closed_when_it_has_grown_long_enough() {
    let dir = scratch();
    run(async {
        let clock = Arc::new(ManualClock::at(1000));
        let log = TopicLog::open(small(dir.path()), clock.clone())
            .await
            .unwrap();
        let config = TopicConfig {
            segment_ms: Some(50),
            ..TopicConfig::default()
        };
        let partition = configure(&log, config).await;
        log.maintain(5000).await.unwrap();
        assert!(partition.segments().is_empty(), "nothing to be closed");
        write(&partition, [7]).await;
        log.maintain(1049).await.unwrap();
        assert_eq!(partition.segments().len(), 1);
        log.maintain(1050).await.unwrap();
        assert_eq!(partition.segments().len(), 2);
        log.maintain(2000).await.unwrap();
        assert_eq!(partition.segments().len(), 2);
        clock.advance(1000);
        write(&partition, [8]).await;
        log.maintain(2049).await.unwrap();
        assert_eq!(partition.segments().len(), 2);
        log.maintain(2050).await.unwrap();
        assert_eq!(partition.segments().len(), 3);
        assert_eq!(values(&partition).len(), 2);
    });
}

#[test]
fn the_log_looks_after_itself() {
    let dir = scratch();
    run(async {
        let settings = LogSettings {
            upkeep_interval_ms: 1,
            ..small(dir.path())
        };
        let clock = Arc::new(ManualClock::at(1000));
        let log = TopicLog::open(settings, clock.clone()).await.unwrap();
        let config = TopicConfig {
            retention_ms: Some(10),
            ..TopicConfig::default()
        };
        let partition = configure(&log, config).await;
        write(&partition, [1000]).await;
        clock.advance(11);
        // Whoever holds something before the upkeep begins has it.
        let pin = partition.pin();
        log.begin_upkeep();
        while partition.start_offset() == Offset(0) {
            std::thread::yield_now();
        }
        assert_eq!(partition.start_offset(), Offset(1));
        assert_eq!(pin.start(), Offset(0));
        log.close().await.unwrap();
        assert!(matches!(log.maintain(0).await, Err(Error::Closed)));
    });
}

#[test]
fn a_topic_has_limits_of_its_own() {
    let dir = scratch();
    run(async {
        let log = open(small(dir.path())).await.unwrap();
        let config = TopicConfig {
            max_message_bytes: Some(100),
            cleanup: Cleanup::Compact,
            ..TopicConfig::default()
        };
        let partition = configure(&log, config).await;
        let refused = partition.append(one(&"x".repeat(100)), None).unwrap_err();
        assert!(matches!(refused, Error::BatchTooLarge { limit: 100, .. }));
        let refused = partition.append(one("x"), None).unwrap_err();
        assert!(matches!(refused, Error::KeyMissing { .. }));
        assert_eq!(refused.kind(), Kind::Invalid);
        put(&partition, "a", Some("1")).await;
    });
}

#[test]
fn of_each_key_the_last_record_stays_and_deletions_go_in_time() {
    let dir = scratch();
    run(async {
        // Room for about two keys: it takes several passes.
        let settings = LogSettings {
            compaction_bytes: 150,
            ..small(dir.path())
        };
        let log = open(settings.clone()).await.unwrap();
        let config = TopicConfig {
            cleanup: Cleanup::Compact,
            segment_bytes: Some(400),
            delete_retention_ms: 100,
            ..TopicConfig::default()
        };
        let partition = configure(&log, config).await;
        for round in 0..10 {
            for key in ["a", "b", "c", "d", "e"] {
                put(&partition, key, Some(&round.to_string())).await;
            }
        }
        put(&partition, "b", None).await;
        // In a segment of its own, which grows.
        put(&partition, "z", Some(&"z".repeat(400))).await;
        let before = partition.size_bytes();
        assert_eq!(partition.compacted_offset(), Offset(0));
        log.maintain(1000).await.unwrap();
        assert_eq!(partition.compacted_offset(), Offset(51));
        let last = |value: &str| Some(value.to_owned());
        let mut expected = vec![
            (45, "a".to_owned(), last("9")),
            (47, "c".to_owned(), last("9")),
            (48, "d".to_owned(), last("9")),
            (49, "e".to_owned(), last("9")),
            (50, "b".to_owned(), None),
            (51, "z".to_owned(), last(&"z".repeat(400))),
        ];
        assert_eq!(table(&partition), expected);
        assert_eq!(partition.start_offset(), Offset(0));
        assert_eq!(partition.records_between(Offset(0), Offset(52)), None);
        assert_eq!(partition.records_between(Offset(51), Offset(52)), Some(1));
        assert!(partition.size_bytes() < before / 2);
        assert!(files(dir.path(), ".log").len() <= 3);
        assert!(files(dir.path(), ".tmp").is_empty());

        // With the next record that is compacted, the deletion has had its time.
        put(&partition, "y", Some(&"y".repeat(400))).await;
        log.maintain(1099).await.unwrap();
        assert_eq!(table(&partition)[4], expected[4]);
        put(&partition, "x", Some(&"x".repeat(400))).await;
        log.maintain(1100).await.unwrap();
        expected.remove(4);
        assert_eq!(table(&partition)[..5], expected);
        log.close().await.unwrap();
        drop((log, partition));
        let log = open(settings).await.unwrap();
        let partition = bids(&log).await;
        assert_eq!(table(&partition)[..5], expected);
        assert_eq!(partition.compacted_offset(), Offset(53));
    });
}

#[test]
fn what_is_held_or_young_is_not_compacted() {
    let dir = scratch();
    run(async {
        let log = open(small(dir.path())).await.unwrap();
        let config = TopicConfig {
            cleanup: Cleanup::Compact,
            segment_bytes: Some(100),
            min_compaction_lag_ms: 50,
            ..TopicConfig::default()
        };
        let partition = configure(&log, config).await;
        for value in ["1", "2", "3", "4"] {
            put(&partition, "a", Some(value)).await;
        }
        log.maintain(49).await.unwrap();
        assert_eq!(table(&partition).len(), 4, "young");
        let mut pin = partition.pin();
        log.maintain(50).await.unwrap();
        assert_eq!(table(&partition).len(), 4, "held");
        pin.advance(Offset(2));
        log.maintain(50).await.unwrap();
        let offsets: Vec<i64> = table(&partition).iter().map(|row| row.0).collect();
        assert_eq!(offsets, [1, 2, 3]);
        drop(pin);
        log.maintain(50).await.unwrap();
        let offsets: Vec<i64> = table(&partition).iter().map(|row| row.0).collect();
        assert_eq!(offsets, [2, 3]);
    });
}

#[test]
fn readers_without_a_pin_go_on_while_segments_are_replaced() {
    let dir = scratch();
    run(async {
        let log = open(small(dir.path())).await.unwrap();
        let config = TopicConfig {
            cleanup: Cleanup::Compact,
            segment_bytes: Some(400),
            ..TopicConfig::default()
        };
        let partition = configure(&log, config).await;
        let done = Arc::new(AtomicBool::new(false));
        let reader = {
            let (partition, done) = (partition.clone(), Arc::clone(&done));
            std::thread::spawn(move || {
                let mut rounds = 0;
                while !done.load(Ordering::Acquire) || rounds == 0 {
                    let rows = table(&partition);
                    assert!(rows.windows(2).all(|two| two[0].0 < two[1].0));
                    let pinned = partition.pin();
                    let rows = table(&partition);
                    let keys: HashSet<_> = rows.iter().map(|row| &row.1).collect();
                    // From the last ten on, each key is there whatever is replaced.
                    assert!(rows.len() < 10 || keys.len() == 5, "{rows:?}");
                    drop(pinned);
                    rounds += 1;
                }
            })
        };
        for round in 0..60 {
            for key in ["a", "b", "c", "d", "e"] {
                put(&partition, key, Some(&round.to_string())).await;
            }
            log.maintain(0).await.unwrap();
        }
        done.store(true, Ordering::Release);
        reader.join().unwrap();
        log.maintain(0).await.unwrap();
        let keys: HashSet<_> = table(&partition).into_iter().map(|row| row.1).collect();
        assert_eq!(keys.len(), 5);
        assert!(table(&partition).len() < 30);
    });
}

#[test]
fn what_is_synced_later_is_read_at_once_and_there_after_a_restart() {
    let dir = scratch();
    run(async {
        let log = open(small(dir.path())).await.unwrap();
        let config = TopicConfig {
            flush_ms: Some(u64::MAX),
            ..TopicConfig::default()
        };
        let partition = configure(&log, config).await;
        write(&partition, 0..5).await;
        assert_eq!(values(&partition).len(), 5);
        let marked = || std::fs::read(&files(dir.path(), "stable")[0]).is_ok_and(|b| !b.is_empty());
        assert!(
            files(dir.path(), "stable").is_empty(),
            "it is marked unsynced"
        );
        // Who wants all of it on disk from now on has it there.
        let id = log.topic(&name("bids")).unwrap().id();
        log.configure(id, TopicConfig::default()).await.unwrap();
        assert!(marked());
        write(&partition, [5]).await;
        log.configure(id, config).await.unwrap();
        write(&partition, 6..60).await;
        log.close().await.unwrap();
        drop((log, partition));
        let log = open(small(dir.path())).await.unwrap();
        let partition = bids(&log).await;
        assert_eq!(values(&partition).len(), 60);
        write(&partition, [60]).await;
        drop((log, partition));
        let log = open(small(dir.path())).await.unwrap();
        assert_eq!(values(&bids(&log).await).len(), 61);
    });
}

#[test]
fn a_sync_comes_within_its_time() {
    let dir = scratch();
    run(async {
        let log = open(small(dir.path())).await.unwrap();
        let config = TopicConfig {
            flush_ms: Some(1),
            ..TopicConfig::default()
        };
        let partition = configure(&log, config).await;
        write(&partition, 0..3).await;
        while files(dir.path(), "stable").is_empty() {
            std::thread::yield_now();
        }
        log.close().await.unwrap();
    });
}
