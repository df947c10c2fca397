//! Consumer groups: who reads which partitions together (Kafka's classic protocol: KIP-62, KIP-345, KIP-394), and up to where.
//!
//! Start at [`Groups`]. What a group does is in `group.rs`, a state machine that is told the time; `coordinator.rs` has all
//! groups. Committed offsets are durable: `store.rs` tells how, `record.rs` in what format. Members are not: after a restart
//! they join again.
//!
//! It knows nothing of Kafka's frames and error codes, and hands out no records.
//!
//! # What holds
//! - Each wait of a join or a sync ends: with an answer, a refusal, or the end of the log.
//! - A committed offset is seen only when it is on disk, and offsets are seen in the order in which they are there.
//! - There are at most 65,536 groups with members and 65,536 with offsets, 10,000 members a group, 100,000 members and
//!   256 MiB of what they say in all, and 256 MiB of offsets. Past that, [`GroupError::GroupFull`].

mod coordinator;
mod error;
mod group;
mod members;
mod offsets;
mod pending;
mod record;
mod requests;
mod settings;
mod store;
mod subscription;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use weir_base::{Clock, PartitionId, TopicId};

pub use error::GroupError;
pub(crate) use offsets::Offsets;
pub use requests::{
    CommitRequest, CommittedOffset, GroupDescription, GroupState, GroupSummary, JoinRequest,
    Joined, JoinedMember, Leaving, MemberDescription, Membership, OffsetCommit, SyncRequest,
    Synced,
};
pub use settings::{
    GROUP_ID_BYTES_MAX, GroupSettings, OFFSET_METADATA_BYTES_MAX, SESSION_TIMEOUT_MS_MAX,
    SESSION_TIMEOUT_MS_MIN,
};
pub(crate) use store::Loaded;

use crate::Error;
use crate::deadlines::{Tender, Tick};
use crate::journal::Submitted;
use crate::log::WeakLog;
pub(crate) use coordinator::check_group_id;
use coordinator::{Bounds, Coordinator};
use group::Within;
use record::{Change, Place};
use store::Store;

/// All consumer groups of a log. Clones are the same groups.
///
/// A member whose caller stops waiting for [`Groups::join`] or [`Groups::sync`] stays a member until its session ends.
#[derive(Debug, Clone)]
pub struct Groups(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    log: WeakLog,
    clock: Arc<dyn Clock>,
    tended: Mutex<Tended>,
    /// Wakes the task that looks after deadlines.
    wake: Arc<Notify>,
    store: Store,
}

/// Offsets that were checked, to be committed with a transaction.
#[derive(Debug)]
pub(crate) struct PendingCommit {
    pub(crate) group_id: String,
    offsets: Vec<(Place, CommittedOffset)>,
}

/// The groups, and the task that looks after their deadlines.
#[derive(Debug)]
struct Tended {
    coordinator: Coordinator,
    tender: Tender,
    closed: bool,
}

impl Groups {
    pub(crate) fn new(
        log: WeakLog,
        loaded: Loaded,
        settings: GroupSettings,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let delay_ms = settings.initial_delay_ms;
        let wake = Arc::<Notify>::default();
        Self(Arc::new(Inner {
            store: Store::new(log.clone(), loaded, settings.compact_bytes_min),
            log,
            clock,
            tended: Mutex::new(Tended {
                coordinator: Coordinator::new(delay_ms, Bounds::default()),
                tender: Tender::new(Arc::clone(&wake)),
                closed: false,
            }),
            wake,
        }))
    }

    /// Joins a group, and waits until its next generation begins: all members have joined again, or had the time to.
    ///
    /// # Errors
    /// [`GroupError::MemberIdRequired`] asks a new member to come again; [`GroupError::UnknownMember`] and
    /// [`GroupError::FencedInstance`] when it is no longer one; [`GroupError::InconsistentProtocol`],
    /// [`GroupError::InvalidSessionTimeout`], [`GroupError::InvalidGroupId`], [`GroupError::GroupFull`];
    /// [`GroupError::RebalanceInProgress`] when the same member joined once more meanwhile.
    pub async fn join(&self, request: JoinRequest) -> Result<Joined, GroupError> {
        let (answer, joined) = oneshot::channel();
        self.with(|coordinator, now_ms| coordinator.join(request, answer, now_ms))?;
        joined.await.unwrap_or(Err(Error::Closed.into()))
    }

    /// Waits for the member's assignment, which the leader brings with a call of this.
    ///
    /// # Errors
    /// [`GroupError::RebalanceInProgress`] when the member must join again; [`GroupError::UnknownMember`],
    /// [`GroupError::FencedInstance`], [`GroupError::IllegalGeneration`], [`GroupError::InconsistentProtocol`],
    /// [`GroupError::GroupFull`].
    pub async fn sync(&self, request: SyncRequest) -> Result<Synced, GroupError> {
        let (answer, synced) = oneshot::channel();
        self.with(|coordinator, now_ms| coordinator.sync(request, answer, now_ms))?;
        synced.await.unwrap_or(Err(Error::Closed.into()))
    }

    /// Says that the member is there.
    ///
    /// # Errors
    /// [`GroupError::RebalanceInProgress`] when the member must join again; it was heard all the same.
    /// [`GroupError::UnknownMember`], [`GroupError::FencedInstance`], [`GroupError::IllegalGeneration`].
    pub fn heartbeat(&self, membership: &Membership) -> Result<(), GroupError> {
        self.with(|coordinator, now_ms| coordinator.heartbeat(membership, now_ms))?
    }

    /// Removes members; an answer for each.
    ///
    /// # Errors
    /// [`GroupError::InvalidGroupId`]. Of a member: [`GroupError::UnknownMember`], [`GroupError::FencedInstance`].
    pub fn leave(
        &self,
        group_id: &str,
        members: &[Leaving],
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        self.with(|coordinator, now_ms| coordinator.leave(group_id, members, now_ms))?
    }

    /// Commits offsets. They are durable on return; a caller that stops waiting does not stop it.
    ///
    /// # Errors
    /// [`GroupError::UnknownMember`], [`GroupError::FencedInstance`], [`GroupError::IllegalGeneration`];
    /// [`GroupError::RebalanceInProgress`] between a join and the assignment; [`GroupError::MetadataTooLarge`],
    /// [`GroupError::GroupFull`]; [`GroupError::Log`] when a topic or partition does not exist, or the log cannot write.
    pub async fn commit(&self, request: CommitRequest) -> Result<(), GroupError> {
        let offsets = self.checked(request.offsets, &request.membership, Within::Nothing)?;
        if offsets.is_empty() {
            return Ok(());
        }
        let group_id = &request.membership.group_id;
        self.0.store.change(group_id, Change::Commit(offsets)).await
    }

    /// The partitions of which transactions that are still open have offsets of the group: what is committed there may change any
    /// moment, so a consumer that wants stable offsets (KIP-447) asks again later.
    pub fn pending(&self, group_id: &str) -> BTreeSet<(TopicId, PartitionId)> {
        self.0.store.pending(group_id).into_iter().collect()
    }

    /// Checks offsets that are to be committed with a transaction.
    pub(crate) fn check_pending(
        &self,
        request: CommitRequest,
    ) -> Result<PendingCommit, GroupError> {
        let offsets = self.checked(request.offsets, &request.membership, Within::Transaction)?;
        Ok(PendingCommit {
            group_id: request.membership.group_id,
            offsets,
        })
    }

    /// Notes offsets that are committed when the transaction of the producer is.
    pub(crate) fn submit_pending(&self, producer_id: i64, commit: PendingCommit) -> Submitted {
        let change = Change::Pending(producer_id, commit.offsets);
        self.0.store.submit(&commit.group_id, change)
    }

    /// Commits or forgets what was noted for the transaction of the producer. What is submitted before this is a part of it.
    pub(crate) fn submit_end(&self, group_id: &str, producer_id: i64, commit: bool) -> Submitted {
        self.0
            .store
            .submit(group_id, Change::End(producer_id, commit))
    }

    /// What the group has committed, in topics that exist; in order of topic and partition.
    pub fn committed(&self, group_id: &str) -> Vec<(TopicId, PartitionId, CommittedOffset)> {
        self.0.store.committed(group_id)
    }

    /// All groups that have members, had some lately, or have committed offsets; in order of id.
    pub fn list(&self) -> Vec<GroupSummary> {
        let mut groups: BTreeMap<String, (String, GroupState)> = BTreeMap::new();
        for group_id in self.0.store.groups() {
            groups.insert(group_id, (String::new(), GroupState::Empty));
        }
        for (group_id, group) in self.0.tended.lock().coordinator.iter() {
            let shown = (group.protocol_type().to_owned(), group.state());
            groups.insert(group_id.clone(), shown);
        }
        let groups = groups.into_iter();
        let summaries = groups.map(|(group_id, (protocol_type, state))| GroupSummary {
            group_id,
            protocol_type,
            state,
        });
        summaries.collect()
    }

    /// A group with its members. One that does not exist is [`GroupState::Dead`].
    pub fn describe(&self, group_id: &str) -> GroupDescription {
        let mut described = GroupDescription {
            group_id: group_id.to_owned(),
            state: GroupState::Dead,
            protocol_type: String::new(),
            protocol: String::new(),
            members: Vec::new(),
        };
        if let Some(group) = self.0.tended.lock().coordinator.get(group_id) {
            described.state = group.state();
            group
                .protocol_type()
                .clone_into(&mut described.protocol_type);
            (described.protocol, described.members) = group.described();
        } else if !self.0.store.committed(group_id).is_empty() {
            described.state = GroupState::Empty;
        }
        described
    }

    /// Deletes a group without members, and its offsets. Durable on return.
    ///
    /// # Errors
    /// [`GroupError::NotEmpty`], [`GroupError::NotFound`], [`GroupError::InvalidGroupId`]; [`GroupError::Log`] when the log
    /// cannot write.
    pub async fn delete(&self, group_id: &str) -> Result<(), GroupError> {
        check_group_id(group_id)?;
        let known = self.with(|coordinator, _| coordinator.delete(group_id))??;
        if self.0.store.contains(group_id) {
            return self.0.store.change(group_id, Change::DeleteGroup).await;
        }
        match known {
            true => Ok(()),
            false => Err(GroupError::NotFound),
        }
    }

    /// Deletes committed offsets; an answer for each. Durable on return.
    ///
    /// # Errors
    /// [`GroupError::NotFound`], [`GroupError::InvalidGroupId`]; [`GroupError::NotEmpty`] when the group has members that are
    /// not consumers; [`GroupError::Log`] when the log cannot write. Of an offset: [`GroupError::SubscribedToTopic`].
    pub async fn delete_offsets(
        &self,
        group_id: &str,
        offsets: &[(TopicId, PartitionId)],
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        check_group_id(group_id)?;
        let log = self.0.log.upgrade()?;
        let answers = self.with(|coordinator, _| {
            let Some(group) = coordinator.get(group_id) else {
                return match self.0.store.contains(group_id) {
                    true => Ok(vec![Ok(()); offsets.len()]),
                    false => Err(GroupError::NotFound),
                };
            };
            if group.members().is_empty() {
                return Ok(vec![Ok(()); offsets.len()]);
            }
            let answers = offsets.iter().map(|(topic, _)| {
                let topic = log.topic_by_id(*topic);
                let subscribed = match topic {
                    Some(topic) => group.subscribes(topic.name().as_str()),
                    None => Some(false),
                };
                match subscribed {
                    Some(false) => Ok(Ok(())),
                    Some(true) => Ok(Err(GroupError::SubscribedToTopic)),
                    None => Err(GroupError::NotEmpty),
                }
            });
            answers.collect::<Result<Vec<_>, _>>()
        })??;
        drop(log);
        let places = offsets.iter().zip(&answers);
        let places = places.filter(|(_, answer)| answer.is_ok());
        let places: Vec<_> = places.map(|(place, _)| *place).collect();
        if !places.is_empty() {
            let change = Change::DeleteOffsets(places);
            self.0.store.change(group_id, change).await?;
        }
        Ok(answers)
    }

    /// Checks that the offsets may be committed and their partitions exist.
    fn checked(
        &self,
        commits: Vec<OffsetCommit>,
        membership: &Membership,
        within: Within,
    ) -> Result<Vec<(Place, CommittedOffset)>, GroupError> {
        let too_large = |commit: &OffsetCommit| commit.metadata.len() > OFFSET_METADATA_BYTES_MAX;
        if commits.iter().any(too_large) {
            return Err(GroupError::MetadataTooLarge);
        }
        let committed_at_ms = self.with(|coordinator, now_ms| {
            coordinator.commit(membership, within, now_ms)?;
            Ok::<_, GroupError>(now_ms)
        })??;
        let log = self.0.log.upgrade()?;
        let mut offsets = Vec::with_capacity(commits.len());
        for commit in commits {
            let topic = log.topic_by_id(commit.topic);
            let topic = topic.ok_or_else(|| Error::TopicNotFound(commit.topic.to_string()))?;
            topic.partition(commit.partition)?;
            let committed = CommittedOffset {
                offset: commit.offset,
                leader_epoch: commit.leader_epoch,
                metadata: commit.metadata,
                committed_at_ms,
            };
            offsets.push(((commit.topic, commit.partition), committed));
        }
        Ok(offsets)
    }

    /// Lets all go who wait, and takes nobody in from now on.
    pub(crate) fn close(&self) {
        let mut tended = self.0.tended.lock();
        tended.closed = true;
        tended.coordinator.clear();
        self.0.wake.notify_one();
    }

    /// Does something with the groups, and sees to it that their deadlines are looked after.
    fn with<R>(&self, work: impl FnOnce(&mut Coordinator, i64) -> R) -> Result<R, GroupError> {
        let mut tended = self.0.tended.lock();
        if tended.closed {
            return Err(Error::Closed.into());
        }
        let result = work(&mut tended.coordinator, self.0.clock.now_ms());
        if let Some(next_ms) = tended.coordinator.next_deadline_ms() {
            tended.tender.see_to(&self.0, next_ms);
        }
        Ok(result)
    }
}

impl Tick for Inner {
    fn tick(self: &Arc<Self>) -> Option<Duration> {
        let mut tended = self.tended.lock();
        if tended.closed {
            return None;
        }
        let now_ms = self.clock.now_ms();
        tended.coordinator.tick(now_ms);
        let next_ms = tended.coordinator.next_deadline_ms();
        Some(tended.tender.sleep(next_ms, now_ms))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.wake.notify_one();
    }
}
