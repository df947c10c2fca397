//! The life of a log: it is configured, grows partitions, is cut off at the front, and is held by pins.

use weir_base::{Classify, Kind, Offset, PartitionId};
use weir_topics::{Cleanup, Error, Partition, TopicConfig};

use crate::support::{bids, files, make, name, one, open, read, run, scratch, small, values};

/// Appends so many rows, each a batch of its own, numbered on from the next offset; durable on return.
async fn fill(partition: &Partition, rows: i64) {
    let mut last = None;
    for _ in 0..rows {
        let value = format!("row {}", partition.next_offset().0);
        last = Some(partition.append(one(&value), None).unwrap());
    }
    if let Some(last) = last {
        last.durable().await.unwrap();
    }
}

fn out_of_range(error: &Error) -> bool {
    matches!(error, Error::OffsetOutOfRange { .. }) && error.kind() == Kind::Invalid
}

#[test]
fn a_topic_is_configured_while_it_is_in_use() {
    let dir = scratch();
    run(async {
        let log = open(small(dir.path())).await.unwrap();
        let topic = make(&log, "bids", 2).await;
        assert_eq!(topic.config(), TopicConfig::default());
        let config = TopicConfig {
            retention_ms: Some(1),
            cleanup: Cleanup::Both,
            ..TopicConfig::default()
        };
        let configured = log.configure(topic.id(), config).await.unwrap();
        assert_eq!((configured.config(), topic.config()), (config, config));
        let wrong = TopicConfig {
            segment_bytes: Some(0),
            ..config
        };
        let refused = log.configure(topic.id(), wrong).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::Invalid);
        drop((log, topic, configured));
        let log = open(small(dir.path())).await.unwrap();
        let topic = log.topic(&name("bids")).unwrap();
        assert_eq!(topic.config(), config);
        assert_eq!(topic.partitions().len(), 2);
    });
}

#[test]
fn a_topic_from_before_there_was_a_configuration_opens() {
    let dir = scratch();
    run(async {
        let log = open(small(dir.path())).await.unwrap();
        let id = make(&log, "bids", 1).await.id();
        drop(log);
        let path = dir.path().join(id.to_string()).join("topic.json");
        let mut meta: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        meta.as_object_mut().unwrap().remove("config").unwrap();
        std::fs::write(&path, serde_json::to_vec(&meta).unwrap()).unwrap();
        let log = open(small(dir.path())).await.unwrap();
        let topic = log.topic_by_id(id).unwrap();
        assert_eq!(topic.config(), TopicConfig::default());
    });
}

#[test]
fn partitions_are_added_and_old_clones_keep_their_number() {
    let dir = scratch();
    run(async {
        let log = open(small(dir.path())).await.unwrap();
        let old = make(&log, "bids", 2).await;
        fill(old.partition(PartitionId(1)).unwrap(), 3).await;
        let new = log.add_partitions(old.id(), 5).await.unwrap();
        assert_eq!((old.partitions().len(), new.partitions().len()), (2, 5));
        assert_eq!((old.spec().partitions, new.spec().partitions), (2, 5));
        fill(new.partition(PartitionId(4)).unwrap(), 2).await;
        fill(new.partition(PartitionId(1)).unwrap(), 1).await;
        assert_eq!(old.stable_offsets(), [Offset(0), Offset(4)]);
        for total in [0, 4, 5, 4097] {
            let refused = log.add_partitions(old.id(), total).await.unwrap_err();
            assert!(matches!(refused, Error::PartitionCount { .. }), "{total}");
        }
        // Both share one configuration.
        let config = TopicConfig {
            retention_ms: Some(7),
            ..TopicConfig::default()
        };
        log.configure(old.id(), config).await.unwrap();
        assert_eq!(old.config(), config);
        assert_eq!(log.topic(&name("bids")).unwrap().partitions().len(), 5);
        drop((log, old, new));
        let log = open(small(dir.path())).await.unwrap();
        let found = log.topic(&name("bids")).unwrap();
        assert_eq!(found.config(), config);
        let ends = [0, 4, 0, 0, 2].map(Offset);
        assert_eq!(found.stable_offsets(), ends);
    });
}

#[test]
fn what_is_deleted_is_gone_and_offsets_go_on() {
    let dir = scratch();
    run(async {
        let log = open(small(dir.path())).await.unwrap();
        let partition = bids(&log).await;
        fill(&partition, 200).await;
        let segments = partition.segments();
        assert!(segments.len() > 4);
        let inside = Offset(segments[2].base_offset.0 + 1);
        assert_eq!(partition.delete_before(inside).unwrap(), inside);
        assert_eq!(partition.start_offset(), inside);
        assert_eq!(partition.segments()[0].base_offset, segments[2].base_offset);
        assert_eq!(files(dir.path(), ".log").len(), segments.len() - 2);
        // Never back, and never past the end.
        assert_eq!(partition.delete_before(Offset(1)).unwrap(), inside);
        assert!(out_of_range(
            &partition.delete_before(Offset(201)).unwrap_err()
        ));
        assert!(out_of_range(
            &partition.delete_before(Offset(-1)).unwrap_err()
        ));
        for before in [Offset(0), Offset(inside.0 - 1)] {
            let refused = partition.read(before, Offset(200), 100).unwrap_err();
            assert!(out_of_range(&refused), "{refused}");
            let message = format!("has no offset {before}: it has {inside} to 200");
            assert!(refused.to_string().contains(&message), "{refused}");
        }
        assert_eq!(partition.offset_for_time(0).unwrap(), inside);
        assert_eq!(values(&partition)[0], format!("row {inside}"));
        let rows = (200 - inside.0) as u64;
        assert_eq!(
            partition.records_between(Offset(0), Offset(900)),
            Some(rows)
        );

        // All of it, and also a start without any segment of before goes on where it was.
        assert_eq!(partition.delete_before(Offset(200)).unwrap(), Offset(200));
        assert_eq!(partition.records_between(Offset(0), Offset(900)), Some(0));
        drop((log, partition));
        let log = open(small(dir.path())).await.unwrap();
        let partition = bids(&log).await;
        let ends = (partition.start_offset(), partition.next_offset());
        assert_eq!(ends, (Offset(200), Offset(200)));
        fill(&partition, 1).await;
        assert_eq!(values(&partition), ["row 200"]);
    });
}

#[test]
fn a_pin_keeps_what_is_deleted_until_it_is_dropped() {
    let dir = scratch();
    run(async {
        let log = open(small(dir.path())).await.unwrap();
        let partition = bids(&log).await;
        fill(&partition, 200).await;
        let segments = partition.segments();
        let pin = partition.pin();
        let mut second = pin.clone();
        second.advance(segments[2].base_offset);
        second.advance(Offset(0));
        assert_eq!(second.start(), segments[2].base_offset);
        assert_eq!(partition.delete_before(Offset(199)).unwrap(), Offset(199));
        assert_eq!(partition.start_offset(), Offset(199));
        assert_eq!(partition.segments().len(), segments.len());
        let all = read(&partition, Offset(0), Offset(200), 500).unwrap();
        assert_eq!(all.len(), 200);
        let new = partition.pin();
        assert_eq!(new.start(), Offset(199));

        drop(pin);
        let refused = partition.read(Offset(0), Offset(200), 100).unwrap_err();
        assert!(out_of_range(&refused));
        assert_eq!(partition.delete_before(Offset(0)).unwrap(), Offset(199));
        assert_eq!(partition.segments()[0].base_offset, segments[2].base_offset);
        let rest = read(&partition, second.start(), Offset(200), 500).unwrap();
        assert_eq!(rest.len() as i64, 200 - second.start().0);

        // A start drops all pins.
        drop((log, partition, second, new));
        let log = open(small(dir.path())).await.unwrap();
        let partition = bids(&log).await;
        assert_eq!(partition.segments().len(), 1);
        assert_eq!(values(&partition), ["row 199"]);
    });
}

#[test]
fn nothing_is_deleted_from_a_log_that_is_closed() {
    let dir = scratch();
    run(async {
        let log = open(small(dir.path())).await.unwrap();
        let topic = make(&log, "bids", 1).await;
        let partition = topic.partitions()[0].clone();
        fill(&partition, 5).await;
        log.close().await.unwrap();
        let closed = |error| matches!(error, Error::Closed);
        assert!(closed(partition.delete_before(Offset(3)).unwrap_err()));
        let config = TopicConfig::default();
        assert!(closed(log.configure(topic.id(), config).await.unwrap_err()));
        assert!(closed(log.add_partitions(topic.id(), 9).await.unwrap_err()));
    });
}
