//! Groups as the front door uses them: members in many tasks, time that passes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use weir_base::{Classify, Kind, SystemClock};

use super::*;
use crate::groups::{GroupState, Groups};
use crate::{Error, LogSettings, TopicLog};

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let limit = Duration::from_secs(60);
    let test = async { tokio::time::timeout(limit, test).await };
    runtime.unwrap().block_on(test).expect("the test hangs")
}

async fn open(dir: &tempfile::TempDir) -> TopicLog {
    let mut settings = LogSettings::new(dir.path());
    settings.groups.initial_delay_ms = 20;
    TopicLog::open(settings, Arc::new(SystemClock))
        .await
        .unwrap()
}

/// Joins and syncs until both succeed in one generation; the leader gives each member its own id.
async fn enter(groups: &Groups, mut request: JoinRequest) -> (Joined, Synced) {
    loop {
        let joined = match groups.join(request.clone()).await {
            Ok(joined) => joined,
            Err(GroupError::MemberIdRequired(id)) => {
                request.member_id = id;
                continue;
            }
            Err(GroupError::RebalanceInProgress) => continue,
            Err(error) => panic!("{error}"),
        };
        request.member_id.clone_from(&joined.member_id);
        let ids: Vec<&str> = joined
            .members
            .iter()
            .map(|m| m.member_id.as_str())
            .collect();
        let sync = sync_request(&joined.member_id, joined.generation, &ids);
        match groups.sync(sync).await {
            Ok(synced) => return (joined, synced),
            Err(GroupError::RebalanceInProgress) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// Stays in the group until it is stable with `count` members; answers its id and generation.
async fn settle(groups: Groups, mut request: JoinRequest, count: usize) -> (String, i32) {
    loop {
        let (joined, synced) = enter(&groups, request.clone()).await;
        assert_eq!(
            synced.assignment,
            format!("{}@{}", joined.member_id, joined.generation)
        );
        request.member_id.clone_from(&joined.member_id);
        loop {
            let beat = groups.heartbeat(&membership(&joined.member_id, joined.generation));
            match beat {
                Ok(()) if groups.describe("g").members.len() == count => {
                    return (joined.member_id, joined.generation);
                }
                Ok(()) => tokio::time::sleep(Duration::from_millis(5)).await,
                Err(GroupError::RebalanceInProgress) => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn many_members_come_to_one_generation() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let log = open(&dir).await;
        let mut members = tokio::task::JoinSet::new();
        for number in 0..20 {
            let request = JoinRequest {
                member_id_required: number % 2 == 0,
                client_id: format!("c{number}"),
                ..request("")
            };
            members.spawn(settle(log.groups(), request, 20));
        }
        let settled = members.join_all().await;
        let ids: BTreeSet<_> = settled.iter().map(|(id, _)| id.clone()).collect();
        let generations: BTreeSet<_> = settled.iter().map(|(_, number)| *number).collect();
        assert_eq!((ids.len(), generations.len()), (20, 1), "{settled:?}");

        let groups = log.groups();
        let described = groups.describe("g");
        assert_eq!(described.state, GroupState::Stable);
        assert_eq!(described.protocol, "range");
        for member in &described.members {
            assert!(member.member_id.starts_with(&member.client_id));
            assert!(!member.assignment.is_empty());
        }
        let listed = groups.list();
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].protocol_type, "consumer");
        assert!(matches!(
            groups.delete("g").await,
            Err(GroupError::NotEmpty)
        ));

        let all: Vec<_> = ids.iter().map(|id| leaving(id)).collect();
        let left = groups.leave("g", &all).unwrap();
        assert!(left.iter().all(Result::is_ok));
        assert_eq!(groups.describe("g").state.name(), "Empty");
        groups.delete("g").await.unwrap();
        assert!(matches!(
            groups.delete("g").await,
            Err(GroupError::NotFound)
        ));
        assert_eq!(groups.describe("g").state, GroupState::Dead);
        assert!(groups.list().is_empty());
    });
}

#[test]
fn a_member_that_is_silent_is_removed_by_time_alone() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let log = open(&dir).await;
        let groups = log.groups();
        let brief = JoinRequest {
            session_timeout_ms: 50,
            rebalance_timeout_ms: 100,
            ..request("")
        };
        let (first, _) = enter(&groups, brief.clone()).await;
        // Another one is dropped while it waits: it counts as a member until its session ends.
        let dropped = tokio::time::timeout(Duration::from_millis(5), groups.join(brief)).await;
        assert!(dropped.is_err());
        while groups.describe("g").state != GroupState::Empty {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let heard = groups.heartbeat(&membership(&first.member_id, first.generation));
        assert!(matches!(heard, Err(GroupError::UnknownMember)));
    });
}

#[test]
fn what_cannot_be_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let log = open(&dir).await;
        let groups = log.groups();
        for (session_timeout_ms, taken) in [
            (0, false),
            (1, true),
            (1_800_000, true),
            (1_800_001, false),
            (-1, false),
        ] {
            let timed = JoinRequest {
                group_id: format!("timed {session_timeout_ms}"),
                session_timeout_ms,
                ..request("")
            };
            let joined = groups.join(timed).await;
            match joined {
                Err(GroupError::InvalidSessionTimeout) => assert!(!taken),
                Ok(_) => assert!(taken),
                Err(error) => panic!("{error}"),
            }
        }
        for group_id in [String::new(), "x".repeat(1025)] {
            let named = JoinRequest {
                group_id: group_id.clone(),
                ..request("")
            };
            let refused = groups.join(named).await.unwrap_err();
            assert!(matches!(refused, GroupError::InvalidGroupId));
            assert_eq!(refused.kind(), Kind::Invalid);
            assert!(matches!(
                groups.delete(&group_id).await,
                Err(GroupError::InvalidGroupId)
            ));
        }
        let unknown = groups.join(request("nobody")).await;
        assert!(matches!(unknown, Err(GroupError::UnknownMember)));
        let none = JoinRequest {
            protocols: Vec::new(),
            ..request("")
        };
        assert!(matches!(
            groups.join(none).await,
            Err(GroupError::InconsistentProtocol)
        ));
        // What was refused leaves no group behind.
        assert_eq!(groups.describe("g").state, GroupState::Dead);
        let unknown = groups.sync(sync_request("nobody", 1, &[])).await;
        assert!(matches!(unknown, Err(GroupError::UnknownMember)));
        let left = groups.leave("g", &[leaving("nobody")]).unwrap();
        assert!(matches!(left[..], [Err(GroupError::UnknownMember)]));
        let late = groups.heartbeat(&membership("nobody", 1));
        assert!(matches!(late, Err(GroupError::UnknownMember)));
    });
}

#[test]
fn the_end_of_the_log_lets_all_go() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        for close in [true, false] {
            let log = open(&dir).await;
            let groups = log.groups();
            enter(&groups, request("")).await;
            let waits = tokio::spawn({
                let groups = groups.clone();
                async move { groups.join(request("")).await }
            });
            while groups.describe("g").state == GroupState::Stable {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let task = groups.0.tended.lock().tender.take_task().unwrap();
            match close {
                true => log.close().await.unwrap(),
                false => drop(log),
            }
            let answer = waits.await.unwrap();
            assert!(matches!(answer, Err(GroupError::Log(Error::Closed))));
            task.await.unwrap();
            let answer = groups.join(request("")).await;
            assert!(matches!(answer, Err(GroupError::Log(Error::Closed))));
        }
    });
}

#[test]
fn groups_outlive_a_runtime() {
    let dir = tempfile::tempdir().unwrap();
    let log = run(open(&dir));
    for _ in 0..2 {
        run(async {
            let groups = log.groups();
            enter(
                &groups,
                JoinRequest {
                    session_timeout_ms: 30,
                    ..request("")
                },
            )
            .await;
            while groups.describe("g").state != GroupState::Empty {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
    }
}
