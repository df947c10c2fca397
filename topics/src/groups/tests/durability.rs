//! Committed offsets survive restarts, deletions, and being written anew.

use std::path::Path;
use std::sync::Arc;

use weir_base::{ManualClock, Offset, PartitionId, TopicId, TopicName};

use super::*;
use crate::groups::Offsets;
use crate::groups::record::Change;
use crate::groups::{
    CommitRequest, CommittedOffset, GroupState, Groups, OFFSET_METADATA_BYTES_MAX, OffsetCommit,
};
use crate::journal::{SPEC, append};
use crate::{Error, LogSettings, Topic, TopicConfig, TopicLog, TopicSpec, is_internal};

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(test)
}

async fn open(dir: &Path, compact_bytes_min: u64) -> TopicLog {
    let mut settings = LogSettings::new(dir);
    settings.groups.compact_bytes_min = compact_bytes_min;
    TopicLog::open(settings, Arc::new(ManualClock::at(1_000)))
        .await
        .unwrap()
}

fn name(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

async fn make(log: &TopicLog, topic: &str) -> TopicId {
    let spec = TopicSpec {
        partitions: 3,
        owned: false,
    };
    log.create_topic(&name(topic), spec, TopicConfig::default())
        .await
        .unwrap()
        .id()
}

/// What a consumer without a group's members commits: partition and offset.
fn commit(group_id: &str, topic: TopicId, offsets: &[(u32, i64)]) -> CommitRequest {
    let offsets = offsets.iter().map(|(partition, offset)| OffsetCommit {
        topic,
        partition: PartitionId(*partition),
        offset: Offset(*offset),
        leader_epoch: 7,
        metadata: format!("note {offset}"),
    });
    CommitRequest {
        membership: Membership {
            group_id: group_id.to_owned(),
            member_id: String::new(),
            instance_id: None,
            generation: -1,
        },
        offsets: offsets.collect(),
    }
}

/// What the group has committed: partition and offset.
fn committed(groups: &Groups, group_id: &str) -> Vec<(u32, i64)> {
    let committed = groups.committed(group_id);
    let pairs = committed.iter().map(|(_, partition, committed)| {
        assert_eq!(committed.metadata, format!("note {}", committed.offset));
        assert_eq!(
            (committed.leader_epoch, committed.committed_at_ms),
            (7, 1_000)
        );
        (partition.0, committed.offset.0)
    });
    pairs.collect()
}

/// The log's own topics.
fn own(log: &TopicLog) -> Vec<String> {
    let topics = log.topics();
    let own = topics
        .iter()
        .map(Topic::name)
        .filter(|name| is_internal(name));
    own.map(ToString::to_string).collect()
}

#[test]
fn commits_and_deletions_survive_restarts() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let log = open(dir.path(), u64::MAX).await;
        let groups = log.groups();
        let bids = make(&log, "bids").await;
        assert!(own(&log).is_empty());
        groups
            .commit(commit("a", bids, &[(0, 5), (1, 6)]))
            .await
            .unwrap();
        groups
            .commit(commit("a", bids, &[(1, 7), (2, 1)]))
            .await
            .unwrap();
        groups.commit(commit("b", bids, &[(0, 8)])).await.unwrap();
        groups.commit(commit("c", bids, &[(0, 9)])).await.unwrap();
        groups.delete("c").await.unwrap();
        let places = [(bids, PartitionId(2)), (TopicId::random(), PartitionId(0))];
        let deleted = groups.delete_offsets("a", &places).await.unwrap();
        assert!(deleted.iter().all(Result::is_ok));
        drop((log, groups));

        let log = open(dir.path(), u64::MAX).await;
        let groups = log.groups();
        assert_eq!(committed(&groups, "a"), [(0, 5), (1, 7)]);
        assert_eq!(committed(&groups, "b"), [(0, 8)]);
        assert_eq!(committed(&groups, "c"), []);
        let listed: Vec<_> = groups
            .list()
            .into_iter()
            .map(|group| group.group_id)
            .collect();
        assert_eq!(listed, ["a", "b"]);
        assert_eq!(groups.describe("a").state, GroupState::Empty);
        assert!(matches!(
            groups.delete("c").await,
            Err(GroupError::NotFound)
        ));
        let none = groups.delete_offsets("c", &places).await;
        assert!(matches!(none, Err(GroupError::NotFound)));
        assert_eq!(own(&log), ["__weir_groups"]);
        log.close().await.unwrap();
        let late = groups.commit(commit("a", bids, &[(0, 6)])).await;
        assert!(matches!(late, Err(GroupError::Log(Error::Closed))));
        assert_eq!(committed(&groups, "a"), [(0, 5), (1, 7)]);
    });
}

#[test]
fn what_cannot_be_committed_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let log = open(dir.path(), u64::MAX).await;
        let groups = log.groups();
        let bids = make(&log, "bids").await;
        let mut long = commit("a", bids, &[(0, 1)]);
        long.offsets[0].metadata = "x".repeat(OFFSET_METADATA_BYTES_MAX + 1);
        let refused = groups.commit(long.clone()).await;
        assert!(matches!(refused, Err(GroupError::MetadataTooLarge)));
        long.offsets[0].metadata.pop();
        groups.commit(long).await.unwrap();

        let refused = groups.commit(commit("a", bids, &[(0, 2), (3, 1)])).await;
        assert!(matches!(
            refused,
            Err(GroupError::Log(Error::PartitionNotFound { .. }))
        ));
        let refused = groups
            .commit(commit("a", TopicId::random(), &[(0, 2)]))
            .await;
        assert!(matches!(
            refused,
            Err(GroupError::Log(Error::TopicNotFound(_)))
        ));
        let mut member = commit("a", bids, &[(0, 2)]);
        member.membership.generation = 1;
        let refused = groups.commit(member).await;
        assert!(matches!(refused, Err(GroupError::IllegalGeneration)));
        let refused = groups.commit(commit("", bids, &[(0, 2)])).await;
        assert!(matches!(refused, Err(GroupError::InvalidGroupId)));
        assert_eq!(groups.committed("a")[0].2.offset, Offset(1));
        groups.commit(commit("z", bids, &[])).await.unwrap();
        assert_eq!(groups.list().len(), 1);

        for reserved in [
            "__weir_groups",
            "__weir_groups.12",
            "__weir_transactions",
            "__weir_transactions.3",
        ] {
            let refused = log
                .create_topic(&name(reserved), SPEC, TopicConfig::default())
                .await;
            assert!(matches!(refused, Err(Error::TopicReserved(_))));
        }
        for free in [
            "__weir_groups.x",
            "__weir_groups.01",
            "__weir_groups.",
            "weir_groups",
        ] {
            assert!(!is_internal(&name(free)), "{free}");
        }
    });
}

#[test]
fn offsets_of_a_deleted_topic_are_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let log = open(dir.path(), u64::MAX).await;
        let groups = log.groups();
        let (bids, other) = (make(&log, "bids").await, make(&log, "other").await);
        groups.commit(commit("a", bids, &[(0, 5)])).await.unwrap();
        groups.commit(commit("a", other, &[(1, 6)])).await.unwrap();
        groups.commit(commit("b", bids, &[(0, 7)])).await.unwrap();
        log.delete_topic(bids).await.unwrap();
        let bids = make(&log, "bids").await;
        assert_eq!(committed(&groups, "a"), [(1, 6)]);
        assert_eq!(groups.list().len(), 1);
        assert_eq!(groups.describe("b").state, GroupState::Dead);
        groups.commit(commit("b", bids, &[(2, 1)])).await.unwrap();
        assert_eq!(committed(&groups, "b"), [(2, 1)]);
    });
}

#[test]
fn offsets_of_topics_that_are_read_are_not_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        let mut settings = LogSettings::new(dir.path());
        settings.groups.initial_delay_ms = 0;
        let log = TopicLog::open(settings, Arc::new(ManualClock::at(0)))
            .await
            .unwrap();
        let groups = log.groups();
        let (bids, other) = (make(&log, "bids").await, make(&log, "other").await);
        let subscription = Bytes::from_static(b"\0\0\0\0\0\x01\0\x04bids\xff\xff\xff\xff");
        let reader = JoinRequest {
            protocols: vec![("range".to_owned(), subscription)],
            ..request("")
        };
        let joined = groups.join(reader).await.unwrap();
        let id = joined.member_id.as_str();
        groups.sync(sync_request(id, 1, &[id])).await.unwrap();
        for topic in [bids, other] {
            let by_member = CommitRequest {
                membership: membership(id, 1),
                ..commit("g", topic, &[(0, 4)])
            };
            groups.commit(by_member).await.unwrap();
        }
        let places = [(bids, PartitionId(0)), (other, PartitionId(0))];
        let deleted = groups.delete_offsets("g", &places).await.unwrap();
        assert!(matches!(
            deleted[..],
            [Err(GroupError::SubscribedToTopic), Ok(())]
        ));
        let left = groups.committed("g");
        assert_eq!((left.len(), left[0].0), (1, bids));

        let stranger = groups.commit(commit("g", bids, &[(0, 9)])).await;
        assert!(matches!(stranger, Err(GroupError::UnknownMember)));
        let worker = JoinRequest {
            group_id: "w".to_owned(),
            protocol_type: "connect".to_owned(),
            ..request("")
        };
        groups.join(worker).await.unwrap();
        let refused = groups.delete_offsets("w", &places).await;
        assert!(matches!(refused, Err(GroupError::NotEmpty)));
    });
}

#[test]
fn many_commits_at_once_are_all_there_and_the_last_one_counts() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let expected = runtime.block_on(async {
        let log = open(dir.path(), 2_000).await;
        let bids = make(&log, "bids").await;
        let mut tasks = tokio::task::JoinSet::new();
        for group in 0..20 {
            let groups = log.groups();
            tasks.spawn(async move {
                for offset in 1..=30 {
                    let request = commit(&format!("g{group}"), bids, &[(0, offset), (1, -offset)]);
                    if offset % 7 == 0 {
                        // Nobody waits for this one.
                        let doomed = tokio::spawn({
                            let groups = groups.clone();
                            async move { groups.commit(request).await }
                        });
                        tokio::task::yield_now().await;
                        doomed.abort();
                        let _ = doomed.await;
                        continue;
                    }
                    groups.commit(request).await.unwrap();
                }
            });
        }
        tasks.join_all().await;
        let groups = log.groups();
        for group in 0..20 {
            let now = committed(&groups, &format!("g{group}"));
            assert_eq!(now, [(0, 30), (1, -30)]);
        }
        assert!(own(&log) != ["__weir_groups"], "it was never written anew");
        assert_eq!(own(&log).len(), 1);
        let all = groups.list();
        all.iter()
            .map(|g| committed(&groups, &g.group_id))
            .collect::<Vec<_>>()
    });
    let found = runtime.block_on(async {
        let log = open(dir.path(), 2_000).await;
        let groups = log.groups();
        let all = groups.list();
        all.iter()
            .map(|g| committed(&groups, &g.group_id))
            .collect::<Vec<_>>()
    });
    assert_eq!(found, expected);
}

#[test]
fn the_topic_does_not_grow_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let log = open(dir.path(), 1_000).await;
        let groups = log.groups();
        let (bids, old) = (make(&log, "bids").await, make(&log, "old").await);
        groups.commit(commit("old", old, &[(0, 1)])).await.unwrap();
        log.delete_topic(old).await.unwrap();
        for offset in 0..300 {
            groups
                .commit(commit("a", bids, &[(0, offset), (2, 1)]))
                .await
                .unwrap();
            let [own] = &own(&log)[..] else { panic!() };
            let size_bytes = log.topic(&name(own)).unwrap().size_bytes();
            assert!(size_bytes < 1_500, "{size_bytes}");
        }
        // What was of a deleted topic is forgotten.
        assert!(!groups.0.store.contains("old"));
        drop((log, groups));
        let log = open(dir.path(), 1_000).await;
        assert_eq!(committed(&log.groups(), "a"), [(0, 299), (2, 1)]);
        assert!(!log.groups().0.store.contains("old"));
    });
}

/// A record of a commit of `offset` to partition 0.
fn record(group_id: &str, topic: TopicId, offset: i64) -> (String, Change) {
    let committed = CommittedOffset {
        offset: Offset(offset),
        leader_epoch: 7,
        metadata: format!("note {offset}"),
        committed_at_ms: 1_000,
    };
    let change = Change::Commit(vec![((topic, PartitionId(0)), committed)]);
    (group_id.to_owned(), change)
}

async fn write(log: &TopicLog, topic: &str, batches: Vec<Vec<(String, Change)>>) {
    let (log, topic) = (log.clone(), name(topic));
    let written = tokio::task::spawn_blocking(move || {
        let topic = log
            .create_blocking(topic, SPEC, TopicConfig::default())
            .unwrap();
        for batch in batches {
            append::<Offsets>(topic.partition(PartitionId(0)).unwrap(), &batch).unwrap();
        }
    });
    written.await.unwrap();
}

#[test]
fn a_crash_while_it_is_written_anew_leaves_the_old_or_the_new() {
    let whole = || vec![(String::new(), Change::Whole)];
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let log = open(dir.path(), u64::MAX).await;
        let bids = make(&log, "bids").await;
        log.groups()
            .commit(commit("a", bids, &[(0, 1)]))
            .await
            .unwrap();
        write(&log, "__weir_groups.1", vec![]).await;
        write(&log, "__weir_groups.10", vec![vec![record("a", bids, 2)]]).await;
        drop(log);

        // Neither was whole.
        let log = open(dir.path(), u64::MAX).await;
        assert_eq!(committed(&log.groups(), "a"), [(0, 1)]);
        assert_eq!(own(&log), ["__weir_groups"]);
        write(
            &log,
            "__weir_groups.2",
            vec![vec![record("a", bids, 3)], whole()],
        )
        .await;
        let newest = vec![
            vec![record("a", bids, 4)],
            whole(),
            vec![record("b", bids, 5)],
        ];
        write(&log, "__weir_groups.10", newest).await;
        write(&log, "__weir_groups.11", vec![vec![record("a", bids, 6)]]).await;
        drop(log);

        // The newest whole one counts, with what came after.
        for _ in 0..2 {
            let log = open(dir.path(), u64::MAX).await;
            assert_eq!(committed(&log.groups(), "a"), [(0, 4)]);
            assert_eq!(committed(&log.groups(), "b"), [(0, 5)]);
            assert_eq!(own(&log), ["__weir_groups.10"]);
        }
        // The next one has a number that none had.
        let log = open(dir.path(), 0).await;
        for offset in 6..60 {
            log.groups()
                .commit(commit("a", bids, &[(0, offset)]))
                .await
                .unwrap();
        }
        let now = own(&log);
        assert_eq!(now.len(), 1);
        assert_ne!(now, ["__weir_groups.10"]);
        assert_eq!(committed(&log.groups(), "b"), [(0, 5)]);
    });
}

#[test]
fn a_topic_that_is_gone_is_made_anew_with_all_that_was_in_it() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let log = open(dir.path(), u64::MAX).await;
        let bids = make(&log, "bids").await;
        log.groups()
            .commit(commit("a", bids, &[(0, 1)]))
            .await
            .unwrap();
        let own_id = log.topic(&name("__weir_groups")).unwrap().id();
        log.delete_topic(own_id).await.unwrap();
        log.groups()
            .commit(commit("b", bids, &[(0, 2)]))
            .await
            .unwrap();
        drop(log);
        let log = open(dir.path(), u64::MAX).await;
        assert_eq!(committed(&log.groups(), "a"), [(0, 1)]);
        assert_eq!(committed(&log.groups(), "b"), [(0, 2)]);
    });
}

#[test]
fn a_record_that_is_not_understood_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let log = open(dir.path(), u64::MAX).await;
        let bids = make(&log, "bids").await;
        log.groups()
            .commit(commit("a", bids, &[(0, 1)]))
            .await
            .unwrap();
        let own = log.topic(&name("__weir_groups")).unwrap();
        let mut builder = crate::BatchBuilder::new();
        let record = crate::RecordRef {
            key: Some(b"a"),
            value: Some(&[9, 1]),
            ..crate::RecordRef::default()
        };
        builder.push(record).unwrap();
        let partition = own.partition(PartitionId(0)).unwrap();
        let appended = partition.append(builder.build(), None).unwrap();
        appended.durable().await.unwrap();
        drop((log, own));
        let settings = LogSettings::new(dir.path());
        let opened = TopicLog::open(settings, Arc::new(ManualClock::at(0))).await;
        let error = opened.unwrap_err().to_string();
        assert!(error.contains("version 9 is not known here"), "{error}");
    });
}
