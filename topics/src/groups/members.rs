//! The members of a group, and the counts over them that a join must not recount.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::error::GroupError;
use super::requests::{Joined, JoinedMember, MemberDescription, Synced};

/// Who waits for a group to answer.
pub(super) type Answer<T> = oneshot::Sender<Result<T, GroupError>>;

/// What a join says about its member.
#[derive(Debug)]
pub(super) struct Profile {
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) session_timeout_ms: i64,
    pub(super) rebalance_timeout_ms: i64,
    /// Best first; no name twice.
    pub(super) protocols: Vec<(String, Bytes)>,
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) id: String,
    pub(super) instance_id: Option<String>,
    /// Those who joined earlier have smaller numbers.
    order: u64,
    profile: Profile,
    assignment: Bytes,
    joining: Option<Answer<Joined>>,
    /// It waits for the leader's assignment.
    pub(super) syncing: Option<Answer<Synced>>,
    /// It has asked for its assignment in this generation.
    pub(super) synced: bool,
    /// It was in no generation yet.
    pub(super) is_new: bool,
}

impl Member {
    pub(super) fn is_joining(&self) -> bool {
        self.joining.is_some()
    }

    pub(super) fn assignment(&self) -> &Bytes {
        &self.assignment
    }

    pub(super) fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Answers whoever waits for the member, which is no longer one.
    pub(super) fn dismiss(self, why: &GroupError) {
        if let Some(answer) = self.joining {
            let _ = answer.send(Err(why.clone()));
        }
        if let Some(answer) = self.syncing {
            let _ = answer.send(Err(why.clone()));
        }
    }

    fn metadata(&self, protocol: &str) -> Bytes {
        let mut protocols = self.profile.protocols.iter();
        let found = protocols.find(|(name, _)| name == protocol);
        found
            .map(|(_, metadata)| metadata.clone())
            .unwrap_or_default()
    }

    fn bytes(&self) -> usize {
        protocols_bytes(&self.profile.protocols) + self.assignment.len()
    }
}

/// How much a member's protocols take up.
pub(super) fn protocols_bytes(protocols: &[(String, Bytes)]) -> usize {
    let sizes = protocols.iter().map(|(name, data)| name.len() + data.len());
    sizes.sum()
}

/// All members of a group, by id.
#[derive(Debug, Default)]
pub(super) struct Members {
    by_id: BTreeMap<String, Member>,
    by_instance: HashMap<String, String>,
    by_order: BTreeMap<u64, String>,
    /// By how many members each protocol is known.
    supported: HashMap<String, usize>,
    joining: usize,
    bytes: usize,
    next_order: u64,
}

impl Members {
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// What protocols and assignments take up.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn get(&self, id: &str) -> Option<&Member> {
        self.by_id.get(id)
    }

    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut Member> {
        self.by_id.get_mut(id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.by_id.values()
    }

    pub(super) fn ids(&self) -> Vec<String> {
        self.by_id.keys().cloned().collect()
    }

    /// The member of an instance id.
    pub(super) fn of_instance(&self, instance_id: &str) -> Option<&str> {
        self.by_instance.get(instance_id).map(String::as_str)
    }

    pub(super) fn all_joining(&self) -> bool {
        self.joining == self.by_id.len()
    }

    /// The member that joined first, of those that `wanted` takes.
    pub(super) fn first(&self, wanted: impl Fn(&Member) -> bool) -> Option<&str> {
        let ordered = self.by_order.values();
        let mut members = ordered.filter_map(|id| self.by_id.get(id));
        members
            .find(|member| wanted(member))
            .map(|member| member.id.as_str())
    }

    pub(super) fn rebalance_timeout_ms(&self) -> i64 {
        let timeouts = self.iter().map(|m| m.profile.rebalance_timeout_ms);
        timeouts.max().unwrap_or(0)
    }

    /// Whether all members know one of the protocols.
    pub(super) fn support_one_of(&self, protocols: &[(String, Bytes)]) -> bool {
        protocols.iter().any(|(name, _)| self.all_support(name))
    }

    /// The protocol that most members like best among those that all know; of two, the one that the leader likes better.
    pub(super) fn vote(&self, leader: &str) -> Option<String> {
        let mut votes: HashMap<&str, usize> = HashMap::new();
        for member in self.by_id.values() {
            let mut protocols = member.profile.protocols.iter();
            if let Some((name, _)) = protocols.find(|(name, _)| self.all_support(name)) {
                *votes.entry(name.as_str()).or_default() += 1;
            }
        }
        let mut best: Option<(&str, usize)> = None;
        for (name, _) in &self.by_id.get(leader)?.profile.protocols {
            let count = votes.get(name.as_str()).copied().unwrap_or(0);
            if count > best.map_or(0, |(_, most)| most) {
                best = Some((name, count));
            }
        }
        best.map(|(name, _)| name.to_owned())
    }

    /// Adds a new member, which waits for the next generation.
    pub(super) fn add(
        &mut self,
        id: String,
        instance_id: Option<String>,
        profile: Profile,
        joining: Answer<Joined>,
    ) {
        let order = self.next_order;
        self.next_order += 1;
        self.insert(Member {
            id,
            instance_id,
            order,
            profile,
            assignment: Bytes::new(),
            joining: Some(joining),
            syncing: None,
            synced: false,
            is_new: true,
        });
    }

    pub(super) fn remove(&mut self, id: &str) -> Option<Member> {
        let member = self.by_id.remove(id)?;
        self.by_order.remove(&member.order);
        if let Some(instance_id) = &member.instance_id {
            self.by_instance.remove(instance_id);
        }
        self.count_out(&member);
        Some(member)
    }

    /// Gives a static member another id; it keeps its place and its assignment, and nobody waits for it any more.
    pub(super) fn rename(&mut self, id: &str, new_id: String) {
        if let Some(mut member) = self.remove(id) {
            member.id = new_id;
            member.joining = None;
            member.syncing = None;
            self.insert(member);
        }
    }

    pub(super) fn set_profile(&mut self, id: &str, profile: Profile) {
        self.change(id, |member| member.profile = profile);
    }

    pub(super) fn set_assignment(&mut self, id: &str, assignment: Bytes) {
        self.change(id, |member| member.assignment = assignment);
    }

    /// Lets a member wait for the next generation; answers who waited for it before.
    pub(super) fn set_joining(
        &mut self,
        id: &str,
        answer: Answer<Joined>,
    ) -> Option<Answer<Joined>> {
        self.change(id, |member| member.joining.replace(answer))?
    }

    pub(super) fn take_joining(&mut self, id: &str) -> Option<Answer<Joined>> {
        self.change(id, |member| member.joining.take())?
    }

    /// All members, with what they said for `protocol`, as the leader sees them.
    pub(super) fn joined(&self, protocol: &str) -> Vec<JoinedMember> {
        let seen = self.iter().map(|member| JoinedMember {
            member_id: member.id.clone(),
            instance_id: member.instance_id.clone(),
            metadata: member.metadata(protocol),
        });
        seen.collect()
    }

    /// All members to be shown, with what they said for `protocol` and were assigned, if the group is stable.
    pub(super) fn described(&self, protocol: Option<&str>) -> Vec<MemberDescription> {
        let shown = self.iter().map(|member| MemberDescription {
            member_id: member.id.clone(),
            instance_id: member.instance_id.clone(),
            client_id: member.profile.client_id.clone(),
            client_host: member.profile.client_host.clone(),
            metadata: protocol
                .map(|name| member.metadata(name))
                .unwrap_or_default(),
            assignment: protocol
                .map(|_| member.assignment.clone())
                .unwrap_or_default(),
        });
        shown.collect()
    }

    fn all_support(&self, protocol: &str) -> bool {
        self.supported.get(protocol).copied().unwrap_or(0) == self.by_id.len()
    }

    fn insert(&mut self, member: Member) {
        self.count_in(&member);
        self.by_order.insert(member.order, member.id.clone());
        if let Some(instance_id) = &member.instance_id {
            let instance_id = instance_id.clone();
            self.by_instance.insert(instance_id, member.id.clone());
        }
        self.by_id.insert(member.id.clone(), member);
    }

    fn change<R>(&mut self, id: &str, change: impl FnOnce(&mut Member) -> R) -> Option<R> {
        let (key, mut member) = self.by_id.remove_entry(id)?;
        self.count_out(&member);
        let result = change(&mut member);
        self.count_in(&member);
        self.by_id.insert(key, member);
        Some(result)
    }

    fn count_in(&mut self, member: &Member) {
        self.bytes += member.bytes();
        self.joining += usize::from(member.is_joining());
        for (name, _) in &member.profile.protocols {
            *self.supported.entry(name.clone()).or_default() += 1;
        }
    }

    fn count_out(&mut self, member: &Member) {
        self.bytes = self.bytes.saturating_sub(member.bytes());
        self.joining = self
            .joining
            .saturating_sub(usize::from(member.is_joining()));
        for (name, _) in &member.profile.protocols {
            if let Some(count) = self.supported.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    self.supported.remove(name);
                }
            }
        }
    }
}
