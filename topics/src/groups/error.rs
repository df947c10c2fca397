//! Why a group refuses.

use weir_base::{Classify, Kind, SqlState};

use crate::Error;

/// A group's refusal. Each stands for one error code of Kafka's, which the front door gives it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum GroupError {
    /// The group id is empty or too long.
    #[error("the group id is not valid: use 1 to 1024 bytes")]
    InvalidGroupId,
    /// The group has no such member: it was removed, or never was one.
    #[error("the group has no such member")]
    UnknownMember,
    /// The request is of an earlier generation of the group.
    #[error("the generation is not the group's current one")]
    IllegalGeneration,
    /// The group gathers its members anew: join again.
    #[error("the group is rebalancing")]
    RebalanceInProgress,
    /// The member has no protocol that all others have.
    #[error("the member's protocols do not fit those of the group")]
    InconsistentProtocol,
    /// The session timeout is outside of what is taken.
    #[error("the session timeout is not valid: use 1 to 1800000 milliseconds")]
    InvalidSessionTimeout,
    /// A new member must come again with the id that it is given here.
    #[error("join again as member \"{0}\"")]
    MemberIdRequired(String),
    /// Another member has come with the same instance id.
    #[error("another member has the same instance id")]
    FencedInstance,
    /// A bound on groups, members or offsets is reached.
    #[error("no more groups, members or offsets are taken")]
    GroupFull,
    /// The group has members, so it cannot be deleted.
    #[error("the group has members")]
    NotEmpty,
    /// There is no such group.
    #[error("the group does not exist")]
    NotFound,
    /// Members read the topic, so its offsets cannot be deleted.
    #[error("members of the group are subscribed to the topic")]
    SubscribedToTopic,
    /// An offset's metadata is too long.
    #[error("the metadata of an offset is too long: use up to 4096 bytes")]
    MetadataTooLarge,
    /// The log refused. The code is that of its reason.
    #[error(transparent)]
    Log(#[from] Error),
}

impl Classify for GroupError {
    fn kind(&self) -> Kind {
        match self {
            Self::InvalidGroupId
            | Self::InconsistentProtocol
            | Self::InvalidSessionTimeout
            | Self::MetadataTooLarge => Kind::Invalid,
            Self::UnknownMember | Self::NotFound => Kind::NotFound,
            Self::IllegalGeneration
            | Self::FencedInstance
            | Self::NotEmpty
            | Self::SubscribedToTopic => Kind::Conflict,
            Self::RebalanceInProgress | Self::MemberIdRequired(_) => Kind::Unavailable,
            Self::GroupFull => Kind::LimitExceeded,
            Self::Log(error) => error.kind(),
        }
    }

    fn sqlstate(&self) -> SqlState {
        match self {
            Self::Log(error) => error.sqlstate(),
            other => other.kind().default_sqlstate(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Log(error) => error.hint(),
            Self::NotEmpty | Self::SubscribedToTopic => {
                Some("stop the group's consumers first".to_owned())
            }
            _ => None,
        }
    }
}
