//! Topics are made, found again and deleted; a folder has one owner.

use weir_base::{Classify, Kind, Offset, PartitionId, SqlState, TopicId};
use weir_topics::{Error, TopicConfig, TopicSpec};

use crate::support::{bids, make, name, one, open, run, scratch, small, values};

#[test]
fn topics_are_there_after_a_restart() {
    let dir = scratch();
    run(async {
        let log = open(small(dir.path())).await.unwrap();
        let spec = TopicSpec {
            partitions: 3,
            owned: true,
        };
        let made = log
            .create_topic(&name("a.b-c_D"), spec, TopicConfig::default())
            .await
            .unwrap();
        make(&log, "Zebra", 1).await;
        let error = log
            .create_topic(&name("a.b-c_D"), spec, TopicConfig::default())
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "topic \"a.b-c_D\" exists already");
        assert_eq!(error.sqlstate(), SqlState::DUPLICATE_TABLE);
        drop(log);

        let log = open(small(dir.path())).await.unwrap();
        let names: Vec<_> = log.topics().iter().map(|t| t.name().to_string()).collect();
        assert_eq!(names, ["Zebra", "a.b-c_D"]);
        let found = log.topic(&name("a.b-c_D")).unwrap();
        assert_eq!((found.id(), found.spec()), (made.id(), spec));
        assert_eq!(found.created_at_ms(), 1_000);
        assert_eq!(log.topic_by_id(made.id()).unwrap().name(), made.name());
        assert_eq!(found.stable_offsets(), [Offset::ZERO; 3]);
        assert_eq!(found.start_offsets(), [Offset::ZERO; 3]);
        assert_eq!(found.size_bytes(), 0);
        assert_eq!(
            found.partition(PartitionId(2)).unwrap().id(),
            PartitionId(2)
        );
        let error = found.partition(PartitionId(3)).unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
    });
}

#[test]
fn a_number_of_partitions_that_cannot_be_is_refused() {
    let dir = scratch();
    run(async {
        let log = open(small(dir.path())).await.unwrap();
        for partitions in [0, 4097] {
            let spec = TopicSpec {
                partitions,
                owned: false,
            };
            let error = log
                .create_topic(&name("bids"), spec, TopicConfig::default())
                .await
                .unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid);
        }
        assert!(log.topics().is_empty());
    });
}

#[test]
fn a_deleted_topic_is_gone_for_those_who_hold_it() {
    let dir = scratch();
    run(async {
        let log = open(small(dir.path())).await.unwrap();
        let partition = bids(&log).await;
        let old = log.topic(&name("bids")).unwrap().id();
        partition
            .append(one("x"), None)
            .unwrap()
            .durable()
            .await
            .unwrap();
        let mut watch = partition.watch();
        watch.mark_unchanged();
        log.delete_topic(old).await.unwrap();

        watch.changed().await.unwrap();
        let gone = |error: Error| {
            assert_eq!(error.to_string(), "topic \"bids\" does not exist");
            assert_eq!(error.sqlstate(), SqlState::UNDEFINED_TABLE);
        };
        gone(partition.read(Offset(0), Offset(1), 100).unwrap_err());
        gone(partition.append(one("y"), None).unwrap_err());
        gone(partition.ready().await.unwrap_err());
        gone(partition.offset_for_time(0).unwrap_err());
        assert!(log.topic(&name("bids")).is_none() && log.topic_by_id(old).is_none());
        assert_eq!(
            log.delete_topic(old).await.unwrap_err().kind(),
            Kind::NotFound
        );

        let again = bids(&log).await;
        assert_ne!(log.topic(&name("bids")).unwrap().id(), old);
        again
            .append(one("z"), None)
            .unwrap()
            .durable()
            .await
            .unwrap();
        drop((log, partition, again));
        let log = open(small(dir.path())).await.unwrap();
        assert_eq!(values(&bids(&log).await), ["z"]);
        assert_eq!(log.topics().len(), 1);
    });
}

#[test]
fn a_folder_has_one_owner_at_a_time() {
    let dir = scratch();
    run(async {
        let log = open(small(dir.path())).await.unwrap();
        let error = open(small(dir.path())).await.unwrap_err();
        assert!(matches!(error, Error::Locked(_)), "{error}");
        assert_eq!(error.kind(), Kind::Unavailable);
        let partition = bids(&log).await;
        log.close().await.unwrap();
        log.close().await.unwrap();
        let other = open(small(dir.path())).await.unwrap();

        assert!(matches!(
            partition.append(one("x"), None),
            Err(Error::Closed)
        ));
        let spec = TopicSpec {
            partitions: 1,
            owned: false,
        };
        let made = log
            .create_topic(&name("late"), spec, TopicConfig::default())
            .await;
        assert!(matches!(made, Err(Error::Closed)));
        let deleted = log.delete_topic(TopicId::random()).await;
        assert!(matches!(deleted, Err(Error::Closed)));
        drop((log, other));
        open(small(dir.path())).await.unwrap();
    });
}

#[test]
fn what_an_unfinished_change_left_is_removed() {
    let dir = scratch();
    run(async {
        let log = open(small(dir.path())).await.unwrap();
        bids(&log).await;
        drop(log);
        let unfinished = dir.path().join("11111111-2222-4333-8444-555555555555.tmp");
        std::fs::create_dir_all(unfinished.join("0")).unwrap();
        std::fs::create_dir(dir.path().join("lost+found")).unwrap();
        let log = open(small(dir.path())).await.unwrap();
        assert_eq!(log.topics().len(), 1);
        assert!(!unfinished.exists());
    });
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let dir = scratch();
    run(async {
        for wrong in [
            |s: &mut weir_topics::LogSettings| s.segment_bytes_max = 0,
            |s: &mut weir_topics::LogSettings| s.segment_bytes_max = 3 << 30,
            |s: &mut weir_topics::LogSettings| s.batch_bytes_max = 0,
            |s: &mut weir_topics::LogSettings| s.writer_threads = 0,
            |s: &mut weir_topics::LogSettings| s.open_files_max = 0,
        ] {
            let mut settings = small(dir.path());
            wrong(&mut settings);
            assert_eq!(open(settings).await.unwrap_err().kind(), Kind::Invalid);
        }
    });
}
