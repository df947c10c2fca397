//! All groups with members: which there are, how many, and which has something to do next.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::error::GroupError;
use super::group::{Group, Within};
use super::members::{Answer, protocols_bytes};
use super::requests::{GroupState, JoinRequest, Joined, Leaving, Membership, SyncRequest, Synced};
use super::settings::{
    GROUP_ID_BYTES_MAX, GROUP_MEMBERS_MAX, GROUPS_MAX, MEMBERS_BYTES_MAX, MEMBERS_MAX,
    SESSION_TIMEOUT_MS_MAX, SESSION_TIMEOUT_MS_MIN,
};
use crate::deadlines::Deadlines;

/// How much there may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) groups: usize,
    pub(super) group_members: usize,
    pub(super) members: usize,
    pub(super) members_bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            groups: GROUPS_MAX,
            group_members: GROUP_MEMBERS_MAX,
            members: MEMBERS_MAX,
            members_bytes: MEMBERS_BYTES_MAX,
        }
    }
}

/// The groups that have members, or had some lately.
#[derive(Debug)]
pub(super) struct Coordinator {
    groups: BTreeMap<String, Group>,
    /// Each group's next deadline.
    deadlines: Deadlines<String>,
    initial_delay_ms: u32,
    bounds: Bounds,
    /// Members of all groups, and what they take up.
    members: usize,
    members_bytes: usize,
}

impl Coordinator {
    pub(super) fn new(initial_delay_ms: u32, bounds: Bounds) -> Self {
        Self {
            groups: BTreeMap::new(),
            deadlines: Deadlines::default(),
            initial_delay_ms,
            bounds,
            members: 0,
            members_bytes: 0,
        }
    }

    /// See [`Group::join`].
    pub(super) fn join(&mut self, request: JoinRequest, answer: Answer<Joined>, now_ms: i64) {
        if let Err(error) = self.check_join(&request) {
            let _ = answer.send(Err(error));
            return;
        }
        let group_id = request.group_id.clone();
        let room = self.bounds.members.saturating_sub(self.members);
        if !self.groups.contains_key(&group_id) {
            let group = Group::new(self.initial_delay_ms, now_ms);
            self.groups.insert(group_id.clone(), group);
        }
        let fresh_id = fresh_id(&request);
        let group_members_max = self.bounds.group_members;
        self.with(&group_id, |group| {
            let size_max = group_members_max.min(group.size().saturating_add(room));
            group.join(request, fresh_id, size_max, answer, now_ms);
        });
    }

    /// See [`Group::sync`].
    pub(super) fn sync(&mut self, request: SyncRequest, answer: Answer<Synced>, now_ms: i64) {
        let group_id = request.group_id.clone();
        let refused = if group_id.is_empty() {
            GroupError::InvalidGroupId
        } else if !self.groups.contains_key(&group_id) {
            GroupError::UnknownMember
        } else if !self.has_room(protocols_bytes(&request.assignments)) {
            GroupError::GroupFull
        } else {
            self.with(&group_id, |group| group.sync(request, answer, now_ms));
            return;
        };
        let _ = answer.send(Err(refused));
    }

    /// See [`Group::heartbeat`].
    pub(super) fn heartbeat(
        &mut self,
        membership: &Membership,
        now_ms: i64,
    ) -> Result<(), GroupError> {
        check_group_id(&membership.group_id)?;
        let heard = self.with(&membership.group_id, |group| {
            group.heartbeat(membership, now_ms)
        });
        heard.unwrap_or(Err(GroupError::UnknownMember))
    }

    /// See [`Group::commit`].
    pub(super) fn commit(
        &mut self,
        membership: &Membership,
        within: Within,
        now_ms: i64,
    ) -> Result<(), GroupError> {
        check_group_id(&membership.group_id)?;
        let allowed = self.with(&membership.group_id, |group| {
            group.commit(membership, within, now_ms)
        });
        allowed.unwrap_or(match membership.generation < 0 {
            true => Ok(()),
            false => Err(GroupError::IllegalGeneration),
        })
    }

    /// See [`Group::leave`]; an answer for each.
    pub(super) fn leave(
        &mut self,
        group_id: &str,
        members: &[Leaving],
        now_ms: i64,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        check_group_id(group_id)?;
        let left = self.with(group_id, |group| {
            let left = members.iter().map(|member| group.leave(member, now_ms));
            left.collect()
        });
        Ok(left.unwrap_or_else(|| vec![Err(GroupError::UnknownMember); members.len()]))
    }

    /// Forgets a group without members; whether there was one.
    pub(super) fn delete(&mut self, group_id: &str) -> Result<bool, GroupError> {
        match self.groups.get(group_id).map(Group::state) {
            None => Ok(false),
            Some(GroupState::Empty | GroupState::Dead) => {
                self.remove(group_id);
                Ok(true)
            }
            Some(_) => Err(GroupError::NotEmpty),
        }
    }

    pub(super) fn get(&self, group_id: &str) -> Option<&Group> {
        self.groups.get(group_id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &Group)> {
        self.groups.iter()
    }

    /// When [`Coordinator::tick`] has something to do.
    pub(super) fn next_deadline_ms(&self) -> Option<i64> {
        self.deadlines.next_ms()
    }

    /// Does what the time has come for, in all groups.
    pub(super) fn tick(&mut self, now_ms: i64) {
        while let Some(group_id) = self.deadlines.take_due(now_ms) {
            self.with(&group_id, |group| group.tick(now_ms));
        }
    }

    /// Forgets all groups; those who wait are let go.
    pub(super) fn clear(&mut self) {
        *self = Self::new(self.initial_delay_ms, self.bounds);
    }

    fn check_join(&self, request: &JoinRequest) -> Result<(), GroupError> {
        check_group_id(&request.group_id)?;
        let timeouts = SESSION_TIMEOUT_MS_MIN..=SESSION_TIMEOUT_MS_MAX;
        if !timeouts.contains(&request.session_timeout_ms) {
            return Err(GroupError::InvalidSessionTimeout);
        }
        if request.protocol_type.is_empty() || request.protocols.is_empty() {
            return Err(GroupError::InconsistentProtocol);
        }
        if !self.has_room(protocols_bytes(&request.protocols)) {
            return Err(GroupError::GroupFull);
        }
        if self.groups.contains_key(&request.group_id) {
            return Ok(());
        }
        if !request.member_id.is_empty() {
            return Err(GroupError::UnknownMember);
        }
        match self.groups.len() < self.bounds.groups {
            true => Ok(()),
            false => Err(GroupError::GroupFull),
        }
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.members_bytes.saturating_add(bytes) <= self.bounds.members_bytes
    }

    /// Does something with a group, and keeps the counts and the deadline right.
    fn with<R>(&mut self, group_id: &str, work: impl FnOnce(&mut Group) -> R) -> Option<R> {
        let group = self.groups.get_mut(group_id)?;
        let (size, bytes) = (group.size(), group.members().bytes());
        let result = work(group);
        self.members = self.members + group.size() - size;
        self.members_bytes = self.members_bytes + group.members().bytes() - bytes;
        let over = group.state() == GroupState::Dead || group.is_unused();
        match group.next_deadline_ms() {
            _ if over => self.remove(group_id),
            Some(at_ms) => self.deadlines.set(group_id.to_owned(), at_ms),
            None => self.deadlines.clear(&group_id.to_owned()),
        }
        Some(result)
    }

    fn remove(&mut self, group_id: &str) {
        self.deadlines.clear(&group_id.to_owned());
        if let Some(group) = self.groups.remove(group_id) {
            self.members -= group.size();
            self.members_bytes -= group.members().bytes();
        }
    }
}

/// Refuses a group id that cannot be.
pub(crate) fn check_group_id(group_id: &str) -> Result<(), GroupError> {
    match (1..=GROUP_ID_BYTES_MAX).contains(&group_id.len()) {
        true => Ok(()),
        false => Err(GroupError::InvalidGroupId),
    }
}

/// An id that no member had before.
fn fresh_id(request: &JoinRequest) -> String {
    let begin = request.instance_id.as_ref().unwrap_or(&request.client_id);
    format!("{begin}-{}", Uuid::new_v4())
}
