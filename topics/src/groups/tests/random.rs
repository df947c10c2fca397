//! Whatever members do and in whatever order, what a group promises holds.

use std::collections::HashMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::groups::GroupState;

const MEMBERS: usize = 5;

/// What one of a few clients does next, with what it knows of the group.
#[derive(Debug, Clone)]
enum Step {
    Join {
        client: usize,
        knows_id: bool,
        many: bool,
    },
    Sync {
        client: usize,
    },
    Heartbeat {
        client: usize,
    },
    Leave {
        client: usize,
    },
    /// It does not wait for its answer.
    HangUp {
        client: usize,
    },
    Pass {
        ms: i64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let client = || 0..MEMBERS;
    prop_oneof![
        4 => (client(), any::<bool>(), any::<bool>())
            .prop_map(|(client, knows_id, many)| Step::Join { client, knows_id, many }),
        4 => client().prop_map(|client| Step::Sync { client }),
        2 => client().prop_map(|client| Step::Heartbeat { client }),
        1 => client().prop_map(|client| Step::Leave { client }),
        1 => client().prop_map(|client| Step::HangUp { client }),
        3 => prop_oneof![0i64..50, 100i64..3_000, 5_000i64..30_000].prop_map(|ms| Step::Pass { ms }),
    ]
}

/// A client: 0 and 1 are static, 2 asks for its id first.
#[derive(Default)]
struct Client {
    id: String,
    generation: i32,
    leads: bool,
    members: Vec<String>,
    joins: Vec<Wait<Joined>>,
    syncs: Vec<Wait<Synced>>,
}

struct World {
    bench: Bench,
    clients: Vec<Client>,
    ids: usize,
    generation: i32,
    /// What leaders assigned, by generation.
    assigned: HashMap<i32, Vec<String>>,
}

impl World {
    fn new() -> Self {
        Self {
            bench: Bench::new(300),
            clients: (0..MEMBERS).map(|_| Client::default()).collect(),
            ids: 0,
            generation: 0,
            assigned: HashMap::new(),
        }
    }

    fn instance(client: usize) -> Option<String> {
        (client < 2).then(|| format!("instance {client}"))
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Join {
                client,
                knows_id,
                many,
            } => {
                let known = &self.clients[client].id;
                let request = JoinRequest {
                    instance_id: Self::instance(client),
                    member_id_required: client == 2,
                    protocols: protocols(if many {
                        &["sticky", "range"]
                    } else {
                        &["range"]
                    }),
                    ..request(if knows_id { known } else { "" })
                };
                self.ids += 1;
                let wait = self.bench.join(request, &format!("m{}", self.ids));
                self.clients[client].joins.push(wait);
            }
            Step::Sync { client } => {
                let who = &self.clients[client];
                let to: Vec<&str> = match who.leads {
                    true => who.members.iter().map(String::as_str).collect(),
                    false => Vec::new(),
                };
                let mut request = sync_request(&who.id, who.generation, &to);
                request.instance_id = Self::instance(client);
                let wait = self.bench.sync(request);
                self.clients[client].syncs.push(wait);
            }
            Step::Heartbeat { client } => {
                let who = &self.clients[client];
                let mut membership = membership(&who.id, who.generation);
                membership.instance_id = Self::instance(client);
                let _ = self.bench.group.heartbeat(&membership, self.bench.now_ms);
            }
            Step::Leave { client } => {
                let mut leaving = leaving(&self.clients[client].id);
                leaving.instance_id = Self::instance(client);
                let _ = self.bench.group.leave(&leaving, self.bench.now_ms);
            }
            Step::HangUp { client } => {
                self.clients[client].joins.clear();
                self.clients[client].syncs.clear();
            }
            Step::Pass { ms } => self.bench.pass(ms),
        }
        self.hear();
        self.check();
    }

    /// Clients take in what they are answered.
    fn hear(&mut self) {
        for client in &mut self.clients {
            for mut wait in std::mem::take(&mut client.joins) {
                match answered(&mut wait) {
                    None => client.joins.push(wait),
                    Some(Ok(joined)) => {
                        client.leads = joined.leader == joined.member_id;
                        client.generation = joined.generation;
                        client.id = joined.member_id;
                        client.members = joined.members.into_iter().map(|m| m.member_id).collect();
                        assert!(!client.leads || client.members.contains(&client.id));
                        if client.leads && !joined.skip_assignment {
                            self.assigned
                                .insert(joined.generation, client.members.clone());
                        }
                    }
                    Some(Err(GroupError::MemberIdRequired(id))) => client.id = id,
                    Some(Err(_)) => {}
                }
            }
            for mut wait in std::mem::take(&mut client.syncs) {
                if answered(&mut wait).is_none() {
                    client.syncs.push(wait);
                }
            }
        }
    }

    fn check(&mut self) {
        let group = &self.bench.group;
        let members = group.members();
        assert!(group.generation() >= self.generation);
        self.generation = group.generation();
        let leaders = members.iter().filter(|m| m.id == group.leader()).count();
        assert_eq!(leaders, usize::from(!members.is_empty()));
        assert!(members.len() <= MEMBERS);
        let joining = members.iter().filter(|m| m.is_joining()).count();
        assert_eq!(members.all_joining(), joining == members.len());
        match group.state() {
            GroupState::Empty => assert!(members.is_empty()),
            GroupState::Dead => assert!(members.is_empty()),
            GroupState::PreparingRebalance => {
                assert!(members.iter().all(|m| m.syncing.is_none()));
            }
            GroupState::CompletingRebalance => assert_eq!(joining, 0),
            GroupState::Stable => {
                assert_eq!(joining, 0);
                let ending = format!("@{}", group.generation());
                for member in members.iter() {
                    assert!(member.syncing.is_none());
                    let assignment = String::from_utf8(member.assignment().to_vec()).unwrap();
                    // That of the id which it had when the leader assigned.
                    let to = assignment.strip_suffix(&ending).expect(&assignment);
                    assert!(to == member.id || member.instance_id.is_some());
                }
            }
        }
        if !members.is_empty() {
            assert!(group.next_deadline_ms().is_some());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_group_keeps_its_promises(steps in vec(step(), 0..60)) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
        }
        // From here on nobody does anything: all waits end, and all members are removed.
        for _ in 0..1_000 {
            match world.bench.group.next_deadline_ms() {
                Some(at_ms) => {
                    let ms = (at_ms - world.bench.now_ms).max(0);
                    world.take(&Step::Pass { ms });
                }
                None => break,
            }
        }
        prop_assert_eq!(world.bench.group.state(), GroupState::Dead);
        for client in &world.clients {
            prop_assert!(client.joins.is_empty() && client.syncs.is_empty());
        }
    }
}
