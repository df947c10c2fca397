//! Groups as state machine, under concurrent members, and on disk.

mod crash;
mod durability;
mod group;
mod members;
mod random;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::error::GroupError;
use super::group::Group;
use super::requests::{JoinRequest, Joined, Leaving, Membership, SyncRequest, Synced};

/// What a wait has come to; `None` when it goes on.
fn answered<T>(
    wait: &mut oneshot::Receiver<Result<T, GroupError>>,
) -> Option<Result<T, GroupError>> {
    match wait.try_recv() {
        Ok(answer) => Some(answer),
        Err(oneshot::error::TryRecvError::Empty) => None,
        Err(oneshot::error::TryRecvError::Closed) => panic!("a wait was forgotten"),
    }
}

/// A consumer that joins the group `g`; sessions of 10 s, rebalances of 20 s.
fn request(member_id: &str) -> JoinRequest {
    JoinRequest {
        group_id: "g".to_owned(),
        member_id: member_id.to_owned(),
        instance_id: None,
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 20_000,
        protocol_type: "consumer".to_owned(),
        protocols: protocols(&["range"]),
        member_id_required: false,
    }
}

fn protocols(names: &[&str]) -> Vec<(String, Bytes)> {
    let named = names.iter().map(|name| {
        let metadata = Bytes::from(format!("metadata of {name}"));
        ((*name).to_owned(), metadata)
    });
    named.collect()
}

fn membership(member_id: &str, generation: i32) -> Membership {
    Membership {
        group_id: "g".to_owned(),
        member_id: member_id.to_owned(),
        instance_id: None,
        generation,
    }
}

fn leaving(member_id: &str) -> Leaving {
    Leaving {
        member_id: member_id.to_owned(),
        instance_id: None,
    }
}

/// A sync that assigns to each of `to` its own id and the generation.
fn sync_request(member_id: &str, generation: i32, to: &[&str]) -> SyncRequest {
    let assignments = to.iter().map(|id| {
        let assignment = Bytes::from(format!("{id}@{generation}"));
        ((*id).to_owned(), assignment)
    });
    SyncRequest {
        group_id: "g".to_owned(),
        member_id: member_id.to_owned(),
        instance_id: None,
        generation,
        protocol_type: Some("consumer".to_owned()),
        protocol: None,
        assignments: assignments.collect(),
    }
}

type Wait<T> = oneshot::Receiver<Result<T, GroupError>>;

/// A group and the time.
struct Bench {
    group: Group,
    now_ms: i64,
}

impl Bench {
    fn new(initial_delay_ms: u32) -> Self {
        Self {
            group: Group::new(initial_delay_ms, 0),
            now_ms: 0,
        }
    }

    /// Joins; the id that a new member gets is `fresh_id`.
    fn join(&mut self, request: JoinRequest, fresh_id: &str) -> Wait<Joined> {
        let (answer, wait) = oneshot::channel();
        self.group
            .join(request, fresh_id.to_owned(), 5, answer, self.now_ms);
        wait
    }

    fn sync(&mut self, request: SyncRequest) -> Wait<Synced> {
        let (answer, wait) = oneshot::channel();
        self.group.sync(request, answer, self.now_ms);
        wait
    }

    fn heartbeat(&mut self, id: &str, generation: i32) -> Result<(), GroupError> {
        self.group
            .heartbeat(&membership(id, generation), self.now_ms)
    }

    fn leave(&mut self, id: &str) -> Result<(), GroupError> {
        self.group.leave(&leaving(id), self.now_ms)
    }

    fn pass(&mut self, ms: i64) {
        self.now_ms += ms;
        self.group.tick(self.now_ms);
    }

    /// A stable group of members of these ids, in generation 1; the first leads.
    fn stable(ids: &[&str]) -> Self {
        Self::stable_with(ids.iter().map(|id| (*id, request(""))).collect())
    }

    fn stable_with(members: Vec<(&str, JoinRequest)>) -> Self {
        let mut bench = Self::new(10);
        let ids: Vec<&str> = members.iter().map(|(id, _)| *id).collect();
        let mut waits: Vec<_> = members
            .into_iter()
            .map(|(id, request)| bench.join(request, id))
            .collect();
        while waits.first().is_some_and(oneshot::Receiver::is_empty) {
            bench.pass(10);
        }
        for wait in &mut waits {
            assert_eq!(answered(wait).unwrap().unwrap().generation, 1);
        }
        for (at, id) in ids.iter().enumerate().rev() {
            let mut request = sync_request(id, 1, if at == 0 { &ids } else { &[] });
            let member = bench.group.members().get(id).unwrap();
            request.instance_id.clone_from(&member.instance_id);
            drop(bench.sync(request));
        }
        bench
    }
}
