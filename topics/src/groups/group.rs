//! One group: the state machine of Kafka's classic protocol (KIP-62, KIP-345, KIP-394), without clock, disk or network.
//!
//! ```text
//!            first join                all have joined, or waited long enough
//!   Empty ───────────────► Preparing ─────────────────────────────► Completing
//!     ▲                     ▲  ▲  │ nobody is left                       │ the leader assigns
//!     └─────────────────────┼──┼──┘                                      ▼
//!                           │  └──── a member joins, leaves, is lost ── Stable
//!                           └─────── the same, before the leader assigned
//! ```
//! Time comes in as `now_ms`; what waits for time is in [`Group::next_deadline_ms`], and happens in [`Group::tick`].

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;

use super::error::GroupError;
use super::members::{Answer, Member, Members, Profile};
use super::requests::{
    GroupState, JoinRequest, Joined, Leaving, MemberDescription, Membership, SyncRequest, Synced,
};
use super::subscription::subscribes;
use crate::deadlines::Deadlines;

/// A new member does not know its id while it waits, so it sends no heartbeats; it is given up after so long.
const NEW_MEMBER_MS: i64 = 300_000;
/// How long a group without members is remembered.
const EMPTY_MS: i64 = 600_000;
/// The protocol type of consumers, whose metadata can be read here.
const CONSUMER: &str = "consumer";

/// What a deadline is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Timer {
    /// Members have joined for long enough.
    Rebalance,
    /// Members have had enough time to ask for their assignment.
    Sync,
    /// A group without members is forgotten.
    Forget,
    /// A member was not heard of.
    Session(String),
    /// A member that was given an id did not come again.
    Pending(String),
}

/// The wait for further members of a group that was empty.
#[derive(Debug)]
struct InitialWait {
    /// How far it may be extended; ms since the epoch.
    until_ms: i64,
    /// Whether somebody came since it was last extended.
    came: bool,
}

/// What offsets are committed as part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Within {
    /// They are committed at once.
    Nothing,
    /// They are committed with a producer's transaction.
    Transaction,
}

/// What a join is, seen from the group.
enum Entry {
    /// A new member that gets its id first.
    Pending,
    /// A new member of this id.
    New(String),
    /// A static member that has lost its id.
    Returned(String),
    /// A member that is known.
    Known,
}

/// A group and who waits for it.
#[derive(Debug)]
pub(super) struct Group {
    state: GroupState,
    generation: i32,
    protocol_type: String,
    protocol: String,
    leader: String,
    members: Members,
    /// Ids that were given to members that have not come again.
    pending: BTreeSet<String>,
    initial_delay_ms: i64,
    initial: Option<InitialWait>,
    timers: Deadlines<Timer>,
}

impl Group {
    /// A group without members.
    pub(super) fn new(initial_delay_ms: u32, now_ms: i64) -> Self {
        let mut timers = Deadlines::default();
        timers.set(Timer::Forget, now_ms.saturating_add(EMPTY_MS));
        Self {
            state: GroupState::Empty,
            generation: 0,
            protocol_type: String::new(),
            protocol: String::new(),
            leader: String::new(),
            members: Members::default(),
            pending: BTreeSet::new(),
            initial_delay_ms: i64::from(initial_delay_ms),
            initial: None,
            timers,
        }
    }

    /// What it is doing; [`GroupState::Dead`] when it can be forgotten.
    pub(super) fn state(&self) -> GroupState {
        self.state
    }

    /// The number of its generation; 0 before the first.
    #[cfg(test)]
    pub(super) fn generation(&self) -> i32 {
        self.generation
    }

    /// What kind of group it is.
    pub(super) fn protocol_type(&self) -> &str {
        &self.protocol_type
    }

    /// Its members.
    pub(super) fn members(&self) -> &Members {
        &self.members
    }

    /// The id of its leader; empty when it has none.
    #[cfg(test)]
    pub(super) fn leader(&self) -> &str {
        &self.leader
    }

    /// How many members it has or has given an id to.
    pub(super) fn size(&self) -> usize {
        self.members.len() + self.pending.len()
    }

    /// Whether nothing has come of it.
    pub(super) fn is_unused(&self) -> bool {
        self.state == GroupState::Empty && self.generation == 0 && self.pending.is_empty()
    }

    /// When [`Group::tick`] has something to do.
    pub(super) fn next_deadline_ms(&self) -> Option<i64> {
        self.timers.next_ms()
    }

    /// The protocol and the members to be shown; what they said and were assigned only while that is in force.
    pub(super) fn described(&self) -> (String, Vec<MemberDescription>) {
        if self.state != GroupState::Stable {
            return (String::new(), self.members.described(None));
        }
        let members = self.members.described(Some(&self.protocol));
        (self.protocol.clone(), members)
    }

    /// Whether members may read the topic; `None` when that cannot be told for this kind of group.
    pub(super) fn subscribes(&self, topic: &str) -> Option<bool> {
        if self.protocol_type != CONSUMER {
            return None;
        }
        let protocols = self.members.iter().flat_map(|m| &m.profile().protocols);
        let mut metadata = protocols.map(|(_, metadata)| metadata);
        Some(metadata.any(|metadata| subscribes(metadata, topic)))
    }

    /// Takes a member in, or answers at once why not. `fresh_id` is the id that it gets if it needs one; `size_max` is how many
    /// members the group may have.
    pub(super) fn join(
        &mut self,
        request: JoinRequest,
        fresh_id: String,
        size_max: usize,
        answer: Answer<Joined>,
        now_ms: i64,
    ) {
        let entry = match self.entry(&request, size_max, fresh_id.clone()) {
            Ok(entry) => entry,
            Err(error) => return refuse(answer, error),
        };
        let session_ms = i64::from(request.session_timeout_ms);
        let profile = profile(&request);
        match entry {
            Entry::Pending => {
                self.pending.insert(fresh_id.clone());
                let until_ms = now_ms.saturating_add(session_ms);
                self.timers.set(Timer::Pending(fresh_id.clone()), until_ms);
                refuse(answer, GroupError::MemberIdRequired(fresh_id));
            }
            Entry::New(id) => {
                self.drop_pending(&id);
                if self.members.is_empty() {
                    self.protocol_type = request.protocol_type;
                }
                if self.leader.is_empty() {
                    self.leader.clone_from(&id);
                }
                if let Some(initial) = &mut self.initial {
                    initial.came = true;
                }
                self.members
                    .add(id.clone(), request.instance_id, profile, answer);
                let until_ms = now_ms.saturating_add(NEW_MEMBER_MS);
                self.timers.set(Timer::Session(id), until_ms);
                self.rebalance(now_ms);
            }
            Entry::Returned(old_id) => self.replace(&old_id, fresh_id, profile, answer, now_ms),
            Entry::Known => self.rejoin(&request.member_id, profile, answer, now_ms),
        }
    }

    /// Gives a member its assignment, when there is one; the leader brings it.
    pub(super) fn sync(&mut self, request: SyncRequest, answer: Answer<Synced>, now_ms: i64) {
        if let Err(error) = self.check_sync(&request) {
            return refuse(answer, error);
        }
        let id = &request.member_id;
        if let Some(member) = self.members.get_mut(id) {
            member.synced = true;
            if let Some(earlier) = member.syncing.replace(answer) {
                refuse(earlier, GroupError::RebalanceInProgress);
            }
        }
        // Who waits need not be heard of.
        self.timers.clear(&Timer::Session(id.clone()));
        match self.state {
            GroupState::Stable => self.hand_out(id, now_ms),
            _ if *id == self.leader => {
                let mut assignments: HashMap<String, Bytes> =
                    request.assignments.into_iter().collect();
                self.state = GroupState::Stable;
                for id in self.members.ids() {
                    let assignment = assignments.remove(&id).unwrap_or_default();
                    self.members.set_assignment(&id, assignment);
                    self.hand_out(&id, now_ms);
                }
            }
            _ => {}
        }
    }

    /// Hears of a member.
    pub(super) fn heartbeat(
        &mut self,
        membership: &Membership,
        now_ms: i64,
    ) -> Result<(), GroupError> {
        self.check_generation(membership)?;
        self.touch(&membership.member_id, now_ms);
        match self.state {
            GroupState::PreparingRebalance => Err(GroupError::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    /// Whether offsets may be committed so; hears of the member.
    pub(super) fn commit(
        &mut self,
        membership: &Membership,
        within: Within,
        now_ms: i64,
    ) -> Result<(), GroupError> {
        // A consumer that assigns its partitions itself.
        if membership.generation < 0 && self.members.is_empty() {
            return Ok(());
        }
        let anonymous = membership.generation < 0
            && membership.member_id.is_empty()
            && membership.instance_id.is_none();
        if within == Within::Transaction && anonymous {
            // Before KIP-447 a producer said nothing of the group: it fenced by its transactional id alone.
            return Ok(());
        }
        self.check_generation(membership)?;
        if within == Within::Nothing && self.state == GroupState::CompletingRebalance {
            return Err(GroupError::RebalanceInProgress);
        }
        // While others join, too: the heartbeat tells the member of it, and its offsets are not lost.
        self.touch(&membership.member_id, now_ms);
        Ok(())
    }

    /// Removes a member at its own wish.
    pub(super) fn leave(&mut self, leaving: &Leaving, now_ms: i64) -> Result<(), GroupError> {
        if self.drop_pending(&leaving.member_id) {
            self.complete_if_all_joined(now_ms);
            return Ok(());
        }
        let id = match &leaving.instance_id {
            Some(instance_id) if leaving.member_id.is_empty() => {
                let id = self.members.of_instance(instance_id);
                id.ok_or(GroupError::UnknownMember)?.to_owned()
            }
            instance_id => {
                self.check_member(&leaving.member_id, instance_id.as_deref())?;
                leaving.member_id.clone()
            }
        };
        self.remove(&id);
        self.after_removal(now_ms);
        Ok(())
    }

    /// Does what the time has come for.
    pub(super) fn tick(&mut self, now_ms: i64) {
        while let Some(timer) = self.timers.take_due(now_ms) {
            match timer {
                Timer::Rebalance => self.end_wait(now_ms),
                Timer::Sync => self.drop_unsynced(now_ms),
                Timer::Forget if self.pending.is_empty() => self.state = GroupState::Dead,
                Timer::Forget => self.forget_later(now_ms),
                Timer::Session(id) => {
                    self.remove(&id);
                    self.after_removal(now_ms);
                }
                Timer::Pending(id) => {
                    self.drop_pending(&id);
                    self.complete_if_all_joined(now_ms);
                }
            }
        }
    }

    fn entry(
        &self,
        request: &JoinRequest,
        size_max: usize,
        fresh_id: String,
    ) -> Result<Entry, GroupError> {
        let fits = self.members.is_empty() || self.protocol_type == request.protocol_type;
        if !fits || !self.members.support_one_of(&request.protocols) {
            return Err(GroupError::InconsistentProtocol);
        }
        let id = &request.member_id;
        if self.pending.contains(id) {
            return Ok(Entry::New(id.clone()));
        }
        if !id.is_empty() {
            self.check_member(id, request.instance_id.as_deref())?;
            return Ok(Entry::Known);
        }
        if let Some(instance_id) = &request.instance_id
            && let Some(old_id) = self.members.of_instance(instance_id)
        {
            return Ok(Entry::Returned(old_id.to_owned()));
        }
        if self.size() >= size_max {
            return Err(GroupError::GroupFull);
        }
        match request.member_id_required && request.instance_id.is_none() {
            true => Ok(Entry::Pending),
            false => Ok(Entry::New(fresh_id)),
        }
    }

    /// A static member is back without its id: it gets a new one, and who still has the old one is fenced.
    fn replace(
        &mut self,
        old_id: &str,
        id: String,
        profile: Profile,
        answer: Answer<Joined>,
        now_ms: i64,
    ) {
        if let Some(old) = self.members.take_joining(old_id) {
            refuse(old, GroupError::FencedInstance);
        }
        let syncing = self.members.get_mut(old_id).and_then(|m| m.syncing.take());
        if let Some(old) = syncing {
            refuse(old, GroupError::FencedInstance);
        }
        self.timers.clear(&Timer::Session(old_id.to_owned()));
        self.members.rename(old_id, id.clone());
        self.members.set_profile(&id, profile);
        let leads = self.leader == old_id;
        if leads {
            self.leader.clone_from(&id);
        }
        let stays = self.state == GroupState::Stable
            && self.members.vote(&self.leader).as_ref() == Some(&self.protocol);
        if stays {
            self.touch(&id, now_ms);
            let _ = answer.send(Ok(Joined {
                skip_assignment: leads,
                ..self.joined(&id)
            }));
        } else {
            // Also after the leader was told of the members: it may assign to the old id.
            self.await_generation(&id, answer);
            self.rebalance(now_ms);
        }
    }

    /// A member that is known joins: for a new generation, or because it missed the answer.
    fn rejoin(&mut self, id: &str, profile: Profile, answer: Answer<Joined>, now_ms: i64) {
        let same = self
            .members
            .get(id)
            .is_some_and(|member| member.profile().protocols == profile.protocols);
        let current = match self.state {
            GroupState::CompletingRebalance => same,
            // The leader joins when it wants to assign anew.
            GroupState::Stable => same && self.leader != id,
            _ => false,
        };
        if current {
            self.touch(id, now_ms);
            let _ = answer.send(Ok(self.joined(id)));
            return;
        }
        self.members.set_profile(id, profile);
        self.await_generation(id, answer);
        self.rebalance(now_ms);
    }

    /// Lets a known member wait for the next generation.
    fn await_generation(&mut self, id: &str, answer: Answer<Joined>) {
        if let Some(earlier) = self.members.set_joining(id, answer) {
            refuse(earlier, GroupError::RebalanceInProgress);
        }
        if self.members.get(id).is_some_and(|member| !member.is_new) {
            self.timers.clear(&Timer::Session(id.to_owned()));
        }
    }

    /// Begins to gather the members, if that is not under way, and ends it if all are here.
    fn rebalance(&mut self, now_ms: i64) {
        if self.state != GroupState::PreparingRebalance {
            self.cancel_syncs(now_ms);
            self.timers.clear(&Timer::Sync);
            self.timers.clear(&Timer::Forget);
            let delay_ms = self.initial_delay_ms;
            if self.state == GroupState::Empty && delay_ms > 0 {
                let longest_ms = self.members.rebalance_timeout_ms().max(delay_ms);
                self.initial = Some(InitialWait {
                    until_ms: now_ms.saturating_add(longest_ms),
                    came: false,
                });
                let until_ms = now_ms.saturating_add(delay_ms);
                self.timers.set(Timer::Rebalance, until_ms);
            } else {
                self.wait_for_all(now_ms);
            }
            self.state = GroupState::PreparingRebalance;
        }
        self.complete_if_all_joined(now_ms);
    }

    fn wait_for_all(&mut self, now_ms: i64) {
        let wait_ms = self.members.rebalance_timeout_ms().max(1);
        let until_ms = now_ms.saturating_add(wait_ms);
        self.timers.set(Timer::Rebalance, until_ms);
    }

    /// The time to join is over, unless it was the first wait and somebody came.
    fn end_wait(&mut self, now_ms: i64) {
        if let Some(initial) = &mut self.initial
            && initial.came
            && now_ms < initial.until_ms
        {
            initial.came = false;
            let until_ms = now_ms.saturating_add(self.initial_delay_ms);
            let until_ms = until_ms.min(initial.until_ms);
            self.timers.set(Timer::Rebalance, until_ms);
            return;
        }
        self.complete_join(now_ms);
    }

    fn complete_if_all_joined(&mut self, now_ms: i64) {
        if self.state == GroupState::PreparingRebalance
            && self.initial.is_none()
            && self.pending.is_empty()
            && self.members.all_joining()
        {
            self.complete_join(now_ms);
        }
    }

    /// The members that are here are the next generation. Static ones that are not stay until their session ends.
    fn complete_join(&mut self, now_ms: i64) {
        self.initial = None;
        self.timers.clear(&Timer::Rebalance);
        let late = |member: &&Member| !member.is_joining() && member.instance_id.is_none();
        let late: Vec<_> = self.members.iter().filter(late).map(id_of).collect();
        for id in late {
            self.remove(&id);
        }
        if self.members.is_empty() {
            self.generation = self.generation.saturating_add(1);
            self.protocol.clear();
            self.state = GroupState::Empty;
            self.forget_later(now_ms);
            return;
        }
        let joined = |id: &str| self.members.get(id).is_some_and(Member::is_joining);
        if !joined(&self.leader) {
            match self.members.first(Member::is_joining) {
                Some(id) => self.leader = id.to_owned(),
                // Only static members are left, and none is here: until one comes, or the last one's session is over.
                None => return self.wait_for_all(now_ms),
            }
        }
        self.generation = self.generation.saturating_add(1);
        self.protocol = self.members.vote(&self.leader).unwrap_or_default();
        self.state = GroupState::CompletingRebalance;
        for id in self.members.ids() {
            let joining = self.members.take_joining(&id);
            if let Some(member) = self.members.get_mut(&id) {
                member.synced = false;
                member.is_new &= joining.is_none();
            }
            if let Some(answer) = joining {
                let _ = answer.send(Ok(self.joined(&id)));
                self.touch(&id, now_ms);
            }
        }
        let wait_ms = self.members.rebalance_timeout_ms().max(1);
        let until_ms = now_ms.saturating_add(wait_ms);
        self.timers.set(Timer::Sync, until_ms);
    }

    /// Removes those that did not ask for their assignment in time.
    fn drop_unsynced(&mut self, now_ms: i64) {
        let late = self.members.iter().filter(|member| !member.synced);
        let late: Vec<_> = late.map(id_of).collect();
        for id in &late {
            self.remove(id);
        }
        if !late.is_empty() {
            self.after_removal(now_ms);
        }
    }

    fn cancel_syncs(&mut self, now_ms: i64) {
        for id in self.members.ids() {
            let syncing = self.members.get_mut(&id).and_then(|m| m.syncing.take());
            if let Some(answer) = syncing {
                refuse(answer, GroupError::RebalanceInProgress);
                self.touch(&id, now_ms);
            }
        }
    }

    /// Answers a member that waits for its assignment.
    fn hand_out(&mut self, id: &str, now_ms: i64) {
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        let Some(answer) = member.syncing.take() else {
            return;
        };
        let _ = answer.send(Ok(Synced {
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment: member.assignment().clone(),
        }));
        self.touch(id, now_ms);
    }

    /// Begins a member's session anew, unless it waits for others.
    fn touch(&mut self, id: &str, now_ms: i64) {
        let Some(member) = self.members.get(id) else {
            return;
        };
        if member.is_new || member.is_joining() || member.syncing.is_some() {
            return;
        }
        let until_ms = now_ms.saturating_add(member.profile().session_timeout_ms);
        self.timers.set(Timer::Session(id.to_owned()), until_ms);
    }

    fn forget_later(&mut self, now_ms: i64) {
        let until_ms = now_ms.saturating_add(EMPTY_MS);
        self.timers.set(Timer::Forget, until_ms);
    }

    fn drop_pending(&mut self, id: &str) -> bool {
        let was = self.pending.remove(id);
        if was {
            self.timers.clear(&Timer::Pending(id.to_owned()));
        }
        was
    }

    fn remove(&mut self, id: &str) {
        self.timers.clear(&Timer::Session(id.to_owned()));
        let Some(member) = self.members.remove(id) else {
            return;
        };
        // A consumer that is still there joins anew.
        member.dismiss(&GroupError::UnknownMember);
        if self.leader == id {
            let first = self.members.first(|_| true);
            self.leader = first.unwrap_or_default().to_owned();
        }
    }

    fn after_removal(&mut self, now_ms: i64) {
        match self.state {
            GroupState::Stable | GroupState::CompletingRebalance => self.rebalance(now_ms),
            _ => self.complete_if_all_joined(now_ms),
        }
    }

    /// What a member of the current generation is told.
    fn joined(&self, id: &str) -> Joined {
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            member_id: id.to_owned(),
            members: match self.leader == id {
                true => self.members.joined(&self.protocol),
                false => Vec::new(),
            },
            skip_assignment: false,
        }
    }

    fn check_member(&self, id: &str, instance_id: Option<&str>) -> Result<(), GroupError> {
        if let Some(instance_id) = instance_id {
            return match self.members.of_instance(instance_id) {
                Some(current) if current == id => Ok(()),
                Some(_) => Err(GroupError::FencedInstance),
                None => Err(GroupError::UnknownMember),
            };
        }
        match self.members.get(id) {
            Some(_) => Ok(()),
            None => Err(GroupError::UnknownMember),
        }
    }

    fn check_generation(&self, membership: &Membership) -> Result<(), GroupError> {
        self.check_member(&membership.member_id, membership.instance_id.as_deref())?;
        match membership.generation == self.generation {
            true => Ok(()),
            false => Err(GroupError::IllegalGeneration),
        }
    }

    fn check_sync(&self, request: &SyncRequest) -> Result<(), GroupError> {
        self.check_member(&request.member_id, request.instance_id.as_deref())?;
        if request.generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        if self.state == GroupState::PreparingRebalance {
            return Err(GroupError::RebalanceInProgress);
        }
        let differs =
            |given: &Option<String>, own: &str| given.as_deref().is_some_and(|g| g != own);
        if differs(&request.protocol_type, &self.protocol_type)
            || differs(&request.protocol, &self.protocol)
        {
            return Err(GroupError::InconsistentProtocol);
        }
        Ok(())
    }
}

fn id_of(member: &Member) -> String {
    member.id.clone()
}

fn profile(request: &JoinRequest) -> Profile {
    let mut protocols: Vec<(String, Bytes)> = Vec::with_capacity(request.protocols.len());
    let mut names = BTreeSet::new();
    for (name, metadata) in &request.protocols {
        if names.insert(name) {
            protocols.push((name.clone(), metadata.clone()));
        }
    }
    Profile {
        client_id: request.client_id.clone(),
        client_host: request.client_host.clone(),
        session_timeout_ms: i64::from(request.session_timeout_ms),
        rebalance_timeout_ms: i64::from(request.rebalance_timeout_ms.max(0)),
        protocols,
    }
}

fn refuse<T>(answer: Answer<T>, error: GroupError) {
    // Who no longer waits need not know.
    let _ = answer.send(Err(error));
}
