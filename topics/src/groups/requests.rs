//! What is asked of groups, and what they answer.

use bytes::Bytes;
use weir_base::{Offset, PartitionId, TopicId};

/// A member wants to be in the group's next generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinRequest {
    /// The group.
    pub group_id: String,
    /// Who the member is; empty when it is new.
    pub member_id: String,
    /// The name of a static member, which stays the same when its process starts anew (KIP-345).
    pub instance_id: Option<String>,
    /// What the client calls itself; a new member's id begins with it.
    pub client_id: String,
    /// Where the client is, to be shown.
    pub client_host: String,
    /// A member that is not heard of for so long is removed, in milliseconds.
    pub session_timeout_ms: i32,
    /// How long the others wait for this member to join again, in milliseconds.
    pub rebalance_timeout_ms: i32,
    /// What kind of group it is; `consumer` for consumers.
    pub protocol_type: String,
    /// The ways of assignment that the member knows, best first, each with what the leader needs to know for it.
    pub protocols: Vec<(String, Bytes)>,
    /// Whether a new member that is not static must come again with an id (KIP-394).
    pub member_id_required: bool,
}

/// The member is in a generation of the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// The generation's number, from 1.
    pub generation: i32,
    /// What kind of group it is.
    pub protocol_type: String,
    /// The way of assignment that was voted for.
    pub protocol: String,
    /// The id of the member that assigns.
    pub leader: String,
    /// The member's own id.
    pub member_id: String,
    /// All members, when this member is the leader.
    pub members: Vec<JoinedMember>,
    /// The leader keeps the assignment that is there (KIP-814). A client that cannot be told so must not learn that it is the
    /// leader: answer it without members, and with another leader.
    pub skip_assignment: bool,
}

/// A member as the leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedMember {
    /// Its id.
    pub member_id: String,
    /// Its name, if it is static.
    pub instance_id: Option<String>,
    /// What it said about itself for the protocol that was chosen.
    pub metadata: Bytes,
}

/// A member asks for its assignment; the leader brings those of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncRequest {
    /// The group.
    pub group_id: String,
    /// The member.
    pub member_id: String,
    /// Its name, if it is static.
    pub instance_id: Option<String>,
    /// The generation that it joined.
    pub generation: i32,
    /// What kind of group it takes it for.
    pub protocol_type: Option<String>,
    /// The protocol that it takes for chosen.
    pub protocol: Option<String>,
    /// From the leader: member id and assignment.
    pub assignments: Vec<(String, Bytes)>,
}

/// What a member has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synced {
    /// What kind of group it is.
    pub protocol_type: String,
    /// The protocol that was chosen.
    pub protocol: String,
    /// What the leader assigned; empty when it assigned nothing.
    pub assignment: Bytes,
}

/// Who says that it is a member, and of what generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The group.
    pub group_id: String,
    /// The member.
    pub member_id: String,
    /// Its name, if it is static.
    pub instance_id: Option<String>,
    /// The generation that it joined.
    pub generation: i32,
}

/// A member that leaves. With an empty member id, it is the static member of that instance id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaving {
    /// The member, or empty.
    pub member_id: String,
    /// Its name, if it is static.
    pub instance_id: Option<String>,
}

/// Up to where a group has read a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The offset of the next record to read.
    pub offset: Offset,
    /// The leader epoch of the last record read, kept for the client; -1 when it said none.
    pub leader_epoch: i32,
    /// The client's own note.
    pub metadata: String,
    /// When it was committed, in milliseconds since the epoch.
    pub committed_at_ms: i64,
}

/// An offset to be committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetCommit {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionId,
    /// The offset of the next record to read.
    pub offset: Offset,
    /// The leader epoch of the last record read; -1 when it is not known.
    pub leader_epoch: i32,
    /// The client's own note, up to [`OFFSET_METADATA_BYTES_MAX`](super::OFFSET_METADATA_BYTES_MAX) bytes.
    pub metadata: String,
}

/// Offsets to be committed together: all of them or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitRequest {
    /// Who commits. A generation below 0 is that of a consumer that assigns its partitions itself, and has no member id; it may
    /// commit while the group has no members.
    pub membership: Membership,
    /// What is committed.
    pub offsets: Vec<OffsetCommit>,
}

/// What a group is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GroupState {
    /// It has no members.
    Empty,
    /// It waits for its members to join.
    PreparingRebalance,
    /// It waits for its leader to assign.
    CompletingRebalance,
    /// All members have or can get their assignment.
    Stable,
    /// There is no such group.
    Dead,
}

impl GroupState {
    /// Kafka's name for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
            Self::Dead => "Dead",
        }
    }
}

/// A group in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSummary {
    /// The group.
    pub group_id: String,
    /// What kind of group it is; empty when it had no members since the start.
    pub protocol_type: String,
    /// What it is doing.
    pub state: GroupState,
}

/// A group with its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupDescription {
    /// The group.
    pub group_id: String,
    /// What it is doing.
    pub state: GroupState,
    /// What kind of group it is; empty when it had no members since the start.
    pub protocol_type: String,
    /// The protocol in use; empty while the group is not stable.
    pub protocol: String,
    /// Its members, in order of id.
    pub members: Vec<MemberDescription>,
}

/// A member of a described group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberDescription {
    /// Its id.
    pub member_id: String,
    /// Its name, if it is static.
    pub instance_id: Option<String>,
    /// What its client calls itself.
    pub client_id: String,
    /// Where its client is.
    pub client_host: String,
    /// What it said for the protocol in use; empty while the group is not stable.
    pub metadata: Bytes,
    /// What it was assigned; empty while the group is not stable.
    pub assignment: Bytes,
}
