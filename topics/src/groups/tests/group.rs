//! The state machine of one group, told the time.

use super::*;
use crate::groups::GroupState;
use crate::groups::group::Within;

fn fixed(instance_id: &str) -> JoinRequest {
    JoinRequest {
        instance_id: Some(instance_id.to_owned()),
        ..request("")
    }
}

fn ids(joined: &Joined) -> Vec<&str> {
    let members = joined.members.iter();
    members.map(|member| member.member_id.as_str()).collect()
}

#[test]
fn the_first_member_waits_for_others_and_leads() {
    let mut bench = Bench::new(300);
    let mut a = bench.join(request(""), "a");
    bench.pass(299);
    let mut b = bench.join(request(""), "b");
    // The second one made the wait longer, the third did again.
    bench.pass(1);
    let mut c = bench.join(request(""), "c");
    bench.pass(299);
    assert_eq!(bench.group.state(), GroupState::PreparingRebalance);
    bench.pass(1);
    assert!(answered(&mut a).is_none());
    bench.pass(300);
    let a = answered(&mut a).unwrap().unwrap();
    assert_eq!((a.generation, a.leader.as_str()), (1, "a"));
    assert_eq!(ids(&a), ["a", "b", "c"]);
    assert_eq!(a.members[1].metadata, "metadata of range");
    for wait in [&mut b, &mut c] {
        let joined = answered(wait).unwrap().unwrap();
        assert_eq!((joined.generation, joined.leader.as_str()), (1, "a"));
        assert!(joined.members.is_empty());
    }
}

#[test]
fn the_first_wait_ends_with_the_rebalance_timeout() {
    let mut bench = Bench::new(300);
    let short = JoinRequest {
        rebalance_timeout_ms: 500,
        ..request("")
    };
    let mut a = bench.join(short.clone(), "a");
    for id in ["b", "c"] {
        drop(bench.join(short.clone(), id));
        bench.pass(250);
    }
    assert!(answered(&mut a).is_some());
}

#[test]
fn no_delay_makes_a_generation_at_once() {
    let mut bench = Bench::new(0);
    let mut a = bench.join(request(""), "a");
    assert_eq!(answered(&mut a).unwrap().unwrap().generation, 1);
}

#[test]
fn all_get_what_the_leader_assigns() {
    let mut bench = Bench::new(0);
    drop(bench.join(request(""), "a"));
    let mut b = bench.join(request(""), "b");
    assert!(matches!(
        bench.heartbeat("a", 1),
        Err(GroupError::RebalanceInProgress)
    ));
    let mut a = bench.join(request("a"), "");
    let a = answered(&mut a).unwrap().unwrap();
    assert_eq!((a.generation, ids(&a)), (2, vec!["a", "b"]));
    assert_eq!(answered(&mut b).unwrap().unwrap().generation, 2);
    assert_eq!(bench.group.state(), GroupState::CompletingRebalance);

    let mut b = bench.sync(sync_request("b", 2, &[]));
    assert!(answered(&mut b).is_none());
    bench.heartbeat("a", 2).unwrap();
    let mut a = bench.sync(sync_request("a", 2, &["a", "b", "stranger"]));
    assert_eq!(answered(&mut a).unwrap().unwrap().assignment, "a@2");
    let b = answered(&mut b).unwrap().unwrap();
    assert_eq!(b.assignment, "b@2");
    assert_eq!(
        (b.protocol_type.as_str(), b.protocol.as_str()),
        ("consumer", "range")
    );
    assert_eq!(bench.group.state(), GroupState::Stable);
    // And again, when the answer was lost.
    let mut b = bench.sync(sync_request("b", 2, &[]));
    assert_eq!(answered(&mut b).unwrap().unwrap().assignment, "b@2");
    let (protocol, members) = bench.group.described();
    assert_eq!(protocol, "range");
    assert_eq!(members[1].assignment, "b@2");
    assert_eq!(members[1].client_host, "/127.0.0.1");
}

#[test]
fn what_is_of_another_generation_or_member_is_refused() {
    let mut bench = Bench::stable(&["a", "b"]);
    for generation in [0, 2, -1] {
        assert!(matches!(
            bench.heartbeat("a", generation),
            Err(GroupError::IllegalGeneration)
        ));
        let mut wait = bench.sync(sync_request("a", generation, &[]));
        let answer = answered(&mut wait).unwrap();
        assert!(matches!(answer, Err(GroupError::IllegalGeneration)));
    }
    let unknown = bench.heartbeat("c", 1);
    assert!(matches!(unknown, Err(GroupError::UnknownMember)));
    let mut wait = bench.join(request("c"), "");
    let answer = answered(&mut wait).unwrap();
    assert!(matches!(answer, Err(GroupError::UnknownMember)));
    let mut other = sync_request("a", 1, &[]);
    other.protocol = Some("sticky".to_owned());
    let answer = answered(&mut bench.sync(other)).unwrap();
    assert!(matches!(answer, Err(GroupError::InconsistentProtocol)));
}

#[test]
fn a_follower_that_joins_again_unchanged_disturbs_nobody_and_the_leader_does() {
    let mut bench = Bench::stable(&["a", "b"]);
    let mut b = bench.join(request("b"), "");
    let b = answered(&mut b).unwrap().unwrap();
    assert_eq!((b.generation, b.leader.as_str()), (1, "a"));
    assert_eq!(bench.group.state(), GroupState::Stable);

    let changed = JoinRequest {
        protocols: vec![("range".to_owned(), Bytes::from_static(b"other topics"))],
        ..request("b")
    };
    let mut b = bench.join(changed, "");
    assert!(answered(&mut b).is_none());
    assert_eq!(bench.group.state(), GroupState::PreparingRebalance);
    let mut a = bench.join(request("a"), "");
    assert_eq!(answered(&mut a).unwrap().unwrap().generation, 2);

    let mut bench = Bench::stable(&["a", "b"]);
    let mut a = bench.join(request("a"), "");
    assert!(answered(&mut a).is_none());
    assert_eq!(bench.group.state(), GroupState::PreparingRebalance);
}

#[test]
fn a_member_whose_answer_was_lost_gets_it_again() {
    let mut bench = Bench::new(0);
    drop(bench.join(request(""), "a"));
    let mut again = bench.join(request("a"), "");
    let again = answered(&mut again).unwrap().unwrap();
    assert_eq!((again.generation, ids(&again)), (1, vec!["a"]));
    assert_eq!(bench.group.state(), GroupState::CompletingRebalance);
}

#[test]
fn those_who_do_not_join_again_are_removed() {
    let mut bench = Bench::stable(&["a", "b", "c"]);
    let mut c = bench.join(
        JoinRequest {
            protocols: protocols(&["range", "x"]),
            ..request("c")
        },
        "",
    );
    for _ in 0..3 {
        bench.pass(5_000);
        for id in ["a", "b"] {
            assert!(matches!(
                bench.heartbeat(id, 1),
                Err(GroupError::RebalanceInProgress)
            ));
        }
    }
    let mut b = bench.join(request("b"), "");
    bench.pass(4_999);
    assert!(answered(&mut b).is_none());
    bench.pass(1);
    let b = answered(&mut b).unwrap().unwrap();
    assert_eq!((b.generation, b.leader.as_str()), (2, "b"));
    assert_eq!(ids(&b), ["b", "c"]);
    assert_eq!(answered(&mut c).unwrap().unwrap().leader, "b");
    assert!(matches!(
        bench.heartbeat("a", 1),
        Err(GroupError::UnknownMember)
    ));
}

#[test]
fn a_session_ends_when_nothing_is_heard() {
    let mut bench = Bench::stable(&["a", "b"]);
    bench.pass(9_000);
    bench.heartbeat("a", 1).unwrap();
    bench.pass(1_000);
    assert_eq!(bench.group.members().ids(), ["a"]);
    assert!(matches!(
        bench.heartbeat("a", 1),
        Err(GroupError::RebalanceInProgress)
    ));
    let mut a = bench.join(request("a"), "");
    assert_eq!(answered(&mut a).unwrap().unwrap().generation, 2);
    // It does not ask for its assignment, and is not heard of.
    bench.pass(10_000);
    assert_eq!(bench.group.state(), GroupState::Empty);
    assert_eq!(bench.group.generation(), 3);
    bench.pass(600_000);
    assert_eq!(bench.group.state(), GroupState::Dead);
    assert_eq!(bench.group.next_deadline_ms(), None);
}

#[test]
fn those_who_wait_need_not_be_heard() {
    let mut bench = Bench::stable(&["a", "b"]);
    let mut a = bench.join(request("a"), "");
    bench.pass(9_999);
    drop(bench.heartbeat("b", 1));
    bench.pass(9_999);
    assert!(answered(&mut a).is_none());
    bench.pass(2);
    assert_eq!(ids(&answered(&mut a).unwrap().unwrap()), ["a"]);
}

#[test]
fn a_leader_that_does_not_assign_is_removed() {
    let mut bench = Bench::new(0);
    drop(bench.join(request(""), "a"));
    let mut b = bench.join(request(""), "b");
    drop(bench.join(request("a"), ""));
    assert_eq!(answered(&mut b).unwrap().unwrap().leader, "a");
    let mut b = bench.sync(sync_request("b", 2, &[]));
    for _ in 0..3 {
        bench.pass(6_000);
        bench.heartbeat("a", 2).unwrap();
        assert!(answered(&mut b).is_none());
    }
    bench.pass(2_000);
    let answer = answered(&mut b).unwrap();
    assert!(matches!(answer, Err(GroupError::RebalanceInProgress)));
    let mut b = bench.join(request("b"), "");
    let b = answered(&mut b).unwrap().unwrap();
    assert_eq!((b.leader.as_str(), ids(&b)), ("b", vec!["b"]));
}

#[test]
fn a_member_that_leaves_makes_the_others_join_again() {
    let mut bench = Bench::stable(&["a", "b"]);
    bench.leave("a").unwrap();
    assert!(matches!(bench.leave("a"), Err(GroupError::UnknownMember)));
    let mut b = bench.join(request("b"), "");
    let b = answered(&mut b).unwrap().unwrap();
    assert_eq!((b.generation, b.leader.as_str()), (2, "b"));
    bench.leave("b").unwrap();
    assert_eq!(bench.group.state(), GroupState::Empty);
}

#[test]
fn a_member_that_leaves_while_it_waits_is_told() {
    let mut bench = Bench::stable(&["a", "b"]);
    let mut a = bench.join(request("a"), "");
    bench.leave("a").unwrap();
    let answer = answered(&mut a).unwrap();
    assert!(matches!(answer, Err(GroupError::UnknownMember)));
}

#[test]
fn the_protocol_is_voted_for_among_those_that_all_know() {
    let knows = |names: &[&str]| JoinRequest {
        protocols: protocols(names),
        ..request("")
    };
    let mut bench = Bench::new(10);
    let mut a = bench.join(knows(&["x", "range", "sticky"]), "a");
    drop(bench.join(knows(&["sticky", "range"]), "b"));
    drop(bench.join(knows(&["sticky", "range", "y"]), "c"));
    let mut d = bench.join(knows(&["x"]), "d");
    let answer = answered(&mut d).unwrap();
    assert!(matches!(answer, Err(GroupError::InconsistentProtocol)));
    let other = JoinRequest {
        protocol_type: "connect".to_owned(),
        ..knows(&["range"])
    };
    let answer = answered(&mut bench.join(other, "e")).unwrap();
    assert!(matches!(answer, Err(GroupError::InconsistentProtocol)));
    bench.pass(10);
    bench.pass(10);
    assert_eq!(answered(&mut a).unwrap().unwrap().protocol, "sticky");
}

#[test]
fn a_new_member_gets_an_id_first_and_is_waited_for() {
    let asks = JoinRequest {
        member_id_required: true,
        ..request("")
    };
    let mut bench = Bench::stable(&["a"]);
    let mut b = bench.join(asks.clone(), "b");
    let answer = answered(&mut b).unwrap();
    assert!(matches!(answer, Err(GroupError::MemberIdRequired(id)) if id == "b"));
    assert_eq!(bench.group.state(), GroupState::Stable);
    // It is not forgotten when the others join again before it.
    let mut a = bench.join(request("a"), "");
    assert!(answered(&mut a).is_none());
    let mut b = bench.join(
        JoinRequest {
            member_id: "b".to_owned(),
            ..asks.clone()
        },
        "",
    );
    assert_eq!(ids(&answered(&mut a).unwrap().unwrap()), ["a", "b"]);
    assert_eq!(answered(&mut b).unwrap().unwrap().member_id, "b");

    // One that does not come holds up nobody for longer than its session, or if it leaves.
    let mut bench = Bench::stable(&["a"]);
    drop(bench.join(asks.clone(), "b"));
    drop(bench.join(asks.clone(), "c"));
    let mut a = bench.join(request("a"), "");
    bench.leave("c").unwrap();
    bench.pass(9_999);
    assert!(answered(&mut a).is_none());
    bench.pass(1);
    assert!(answered(&mut a).is_some());
    let mut b = bench.join(
        JoinRequest {
            member_id: "b".to_owned(),
            ..asks
        },
        "",
    );
    assert!(matches!(
        answered(&mut b).unwrap(),
        Err(GroupError::UnknownMember)
    ));
}

#[test]
fn a_full_group_takes_no_new_member_but_its_own() {
    let mut bench = Bench::stable(&["a", "b", "c", "d"]);
    drop(bench.join(
        JoinRequest {
            member_id_required: true,
            ..request("")
        },
        "e",
    ));
    let mut f = bench.join(request(""), "f");
    assert!(matches!(
        answered(&mut f).unwrap(),
        Err(GroupError::GroupFull)
    ));
    let mut b = bench.join(request("b"), "");
    assert!(answered(&mut b).unwrap().is_ok());
    let mut e = bench.join(request("e"), "");
    assert!(answered(&mut e).is_none());
}

#[test]
fn a_static_member_that_comes_back_takes_its_place_without_a_rebalance() {
    let mut bench = Bench::stable_with(vec![("a", fixed("one")), ("b", fixed("two"))]);
    let mut b = bench.join(fixed("two"), "b2");
    let b = answered(&mut b).unwrap().unwrap();
    assert_eq!((b.generation, b.member_id.as_str()), (1, "b2"));
    assert_eq!((b.leader.as_str(), b.skip_assignment), ("a", false));
    let mut request = sync_request("b2", 1, &[]);
    request.instance_id = Some("two".to_owned());
    let mut wait = bench.sync(request);
    assert_eq!(answered(&mut wait).unwrap().unwrap().assignment, "b@1");

    // The old one is fenced.
    let mut old = membership("b", 1);
    old.instance_id = Some("two".to_owned());
    let heard = bench.group.heartbeat(&old, bench.now_ms);
    assert!(matches!(heard, Err(GroupError::FencedInstance)));
    assert!(matches!(
        bench.heartbeat("b", 1),
        Err(GroupError::UnknownMember)
    ));
    let committed = bench.group.commit(&old, Within::Nothing, bench.now_ms);
    assert!(matches!(committed, Err(GroupError::FencedInstance)));

    // The leader that comes back is told not to assign.
    let mut a = bench.join(fixed("one"), "a2");
    let a = answered(&mut a).unwrap().unwrap();
    assert_eq!((a.leader.as_str(), a.skip_assignment), ("a2", true));
    assert_eq!(ids(&a), ["a2", "b2"]);
    assert_eq!(bench.group.state(), GroupState::Stable);
}

#[test]
fn a_static_member_whose_protocols_changed_makes_a_rebalance() {
    let knows = |instance: &str, names: &[&str]| JoinRequest {
        protocols: protocols(names),
        ..fixed(instance)
    };
    let mut bench = Bench::stable_with(vec![
        ("a", knows("one", &["range", "sticky"])),
        ("b", knows("two", &["range", "sticky"])),
    ]);
    let mut b = bench.join(knows("two", &["sticky"]), "b2");
    assert!(answered(&mut b).is_none());
    let again = JoinRequest {
        member_id: "a".to_owned(),
        ..knows("one", &["range", "sticky"])
    };
    let mut a = bench.join(again, "");
    let a = answered(&mut a).unwrap().unwrap();
    assert_eq!((a.generation, a.protocol.as_str()), (2, "sticky"));
    assert_eq!(ids(&a), ["a", "b2"]);
    assert_eq!(answered(&mut b).unwrap().unwrap().member_id, "b2");
}

#[test]
fn a_static_member_fences_one_that_waits() {
    let mut bench = Bench::new(300);
    let mut old = bench.join(fixed("one"), "a");
    let mut new = bench.join(fixed("one"), "a2");
    assert!(matches!(
        answered(&mut old).unwrap(),
        Err(GroupError::FencedInstance)
    ));
    bench.pass(300);
    let new = answered(&mut new).unwrap().unwrap();
    assert_eq!((new.leader.as_str(), ids(&new)), ("a2", vec!["a2"]));
}

#[test]
fn a_static_member_stays_until_its_session_is_over() {
    let mut long = fixed("one");
    long.session_timeout_ms = 60_000;
    let mut bench = Bench::stable_with(vec![("a", long), ("b", request(""))]);
    let mut b = bench.join(
        JoinRequest {
            protocols: protocols(&["range", "x"]),
            ..request("b")
        },
        "",
    );
    bench.pass(20_000);
    // It has not come, so another leads; but it has its place.
    let b = answered(&mut b).unwrap().unwrap();
    assert_eq!((b.leader.as_str(), ids(&b)), ("b", vec!["a", "b"]));
    drop(bench.sync(sync_request("b", 2, &["a", "b"])));
    assert_eq!(bench.group.state(), GroupState::Stable);
    let _ = bench.group.leave(
        &Leaving {
            member_id: String::new(),
            instance_id: Some("one".to_owned()),
        },
        bench.now_ms,
    );
    assert_eq!(bench.group.members().ids(), ["b"]);
    assert_eq!(bench.group.state(), GroupState::PreparingRebalance);
}

#[test]
fn who_may_commit() {
    let mut bench = Bench::stable(&["a"]);
    let alone = membership("", -1);
    let refused = bench.group.commit(&alone, Within::Nothing, bench.now_ms);
    assert!(matches!(refused, Err(GroupError::UnknownMember)));
    bench
        .group
        .commit(&membership("a", 1), Within::Nothing, bench.now_ms)
        .unwrap();
    let refused = bench
        .group
        .commit(&membership("a", 0), Within::Nothing, bench.now_ms);
    assert!(matches!(refused, Err(GroupError::IllegalGeneration)));

    drop(bench.join(request("a"), ""));
    let early = bench
        .group
        .commit(&membership("a", 2), Within::Nothing, bench.now_ms);
    assert!(matches!(early, Err(GroupError::RebalanceInProgress)));
    bench.leave("a").unwrap();
    bench
        .group
        .commit(&alone, Within::Nothing, bench.now_ms)
        .unwrap();
    let named = Membership {
        instance_id: Some("one".to_owned()),
        ..alone
    };
    bench
        .group
        .commit(&named, Within::Nothing, bench.now_ms)
        .unwrap();

    // A commit is heard like a heartbeat, and taken while others join.
    let mut bench = Bench::stable(&["a"]);
    drop(bench.join(request(""), "b"));
    bench.pass(9_999);
    bench
        .group
        .commit(&membership("a", 1), Within::Nothing, bench.now_ms)
        .unwrap();
    bench.pass(9_999);
    assert_eq!(bench.group.members().ids(), ["a", "b"]);
}
