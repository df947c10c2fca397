//! The protocol's error codes (Kafka protocol guide, "Error Codes"), and which failure has which.

use weir_base::Classify;
use weir_topics::batch::Malformed;
use weir_topics::groups::GroupError;

use crate::failure;

pub(super) const UNKNOWN_SERVER_ERROR: i16 = -1;
pub(super) const NONE: i16 = 0;
pub(super) const OFFSET_OUT_OF_RANGE: i16 = 1;
pub(super) const CORRUPT_MESSAGE: i16 = 2;
pub(super) const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
pub(super) const MESSAGE_TOO_LARGE: i16 = 10;
pub(super) const OFFSET_METADATA_TOO_LARGE: i16 = 12;
pub(super) const COORDINATOR_NOT_AVAILABLE: i16 = 15;
pub(super) const INVALID_TOPIC: i16 = 17;
pub(super) const INVALID_REQUIRED_ACKS: i16 = 21;
pub(super) const ILLEGAL_GENERATION: i16 = 22;
pub(super) const INCONSISTENT_GROUP_PROTOCOL: i16 = 23;
pub(super) const INVALID_GROUP_ID: i16 = 24;
pub(super) const UNKNOWN_MEMBER_ID: i16 = 25;
pub(super) const INVALID_SESSION_TIMEOUT: i16 = 26;
pub(super) const REBALANCE_IN_PROGRESS: i16 = 27;
pub(super) const UNSUPPORTED_SASL_MECHANISM: i16 = 33;
pub(super) const ILLEGAL_SASL_STATE: i16 = 34;
pub(super) const UNSUPPORTED_VERSION: i16 = 35;
pub(super) const TOPIC_ALREADY_EXISTS: i16 = 36;
pub(super) const INVALID_PARTITIONS: i16 = 37;
pub(super) const INVALID_REPLICATION_FACTOR: i16 = 38;
pub(super) const INVALID_REPLICA_ASSIGNMENT: i16 = 39;
pub(super) const INVALID_CONFIG: i16 = 40;
pub(super) const INVALID_REQUEST: i16 = 42;
pub(super) const UNSUPPORTED_FOR_MESSAGE_FORMAT: i16 = 43;
pub(super) const POLICY_VIOLATION: i16 = 44;
pub(super) const OUT_OF_ORDER_SEQUENCE_NUMBER: i16 = 45;
pub(super) const INVALID_PRODUCER_EPOCH: i16 = 47;
pub(super) const INVALID_TXN_STATE: i16 = 48;
pub(super) const INVALID_PRODUCER_ID_MAPPING: i16 = 49;
pub(super) const INVALID_TRANSACTION_TIMEOUT: i16 = 50;
pub(super) const CONCURRENT_TRANSACTIONS: i16 = 51;
pub(super) const TRANSACTIONAL_ID_AUTHORIZATION_FAILED: i16 = 53;
pub(super) const OPERATION_NOT_ATTEMPTED: i16 = 55;
pub(super) const KAFKA_STORAGE_ERROR: i16 = 56;
pub(super) const SASL_AUTHENTICATION_FAILED: i16 = 58;
pub(super) const NON_EMPTY_GROUP: i16 = 68;
pub(super) const GROUP_ID_NOT_FOUND: i16 = 69;
pub(super) const FETCH_SESSION_ID_NOT_FOUND: i16 = 70;
pub(super) const MEMBER_ID_REQUIRED: i16 = 79;
pub(super) const GROUP_MAX_SIZE_REACHED: i16 = 81;
pub(super) const FENCED_INSTANCE_ID: i16 = 82;
pub(super) const GROUP_SUBSCRIBED_TO_TOPIC: i16 = 86;
pub(super) const INVALID_RECORD: i16 = 87;
pub(super) const UNSTABLE_OFFSET_COMMIT: i16 = 88;
pub(super) const PRODUCER_FENCED: i16 = 90;
pub(super) const TOPIC_AUTHORIZATION_FAILED: i16 = 29;
pub(super) const GROUP_AUTHORIZATION_FAILED: i16 = 30;
pub(super) const UNKNOWN_TOPIC_ID: i16 = 100;
pub(super) const TRANSACTIONAL_ID_NOT_FOUND: i16 = 105;
pub(super) const TRANSACTION_ABORTABLE: i16 = 120;

/// That of a failure of the log.
pub(super) fn of_log(error: &weir_topics::Error) -> i16 {
    use weir_topics::Error;
    match error {
        Error::TopicNotFound(_) | Error::PartitionNotFound { .. } => UNKNOWN_TOPIC_OR_PARTITION,
        Error::BatchTooLarge { .. } => MESSAGE_TOO_LARGE,
        Error::OffsetOutOfRange { .. } => OFFSET_OUT_OF_RANGE,
        Error::Batch {
            reason: Malformed::Attributes(_),
            ..
        } => UNSUPPORTED_FOR_MESSAGE_FORMAT,
        Error::Batch { .. } | Error::EmptyBatch => CORRUPT_MESSAGE,
        Error::Record(_) | Error::KeyMissing { .. } => INVALID_RECORD,
        Error::OutOfSequence { .. } => OUT_OF_ORDER_SEQUENCE_NUMBER,
        Error::ProducerFenced { .. } => INVALID_PRODUCER_EPOCH,
        Error::NotInTransaction { .. } | Error::TransactionState { .. } => INVALID_TXN_STATE,
        Error::NotAttempted => OPERATION_NOT_ATTEMPTED,
        Error::TransactionalId { .. } => INVALID_REQUEST,
        Error::TransactionTimeout { .. } => INVALID_TRANSACTION_TIMEOUT,
        Error::ProducerUnknown(_) => INVALID_PRODUCER_ID_MAPPING,
        Error::TransactionFenced { .. } => PRODUCER_FENCED,
        Error::TransactionEnding(_) => CONCURRENT_TRANSACTIONS,
        Error::DiskFull { .. } | Error::Stopped(_) | Error::Io { .. } | Error::Corrupt { .. } => {
            KAFKA_STORAGE_ERROR
        }
        other => failure::of(other.kind()).kafka,
    }
}

/// That of a failure of the engine.
pub(super) fn of_engine(error: &weir_engine::Error) -> i16 {
    failure::of(error.kind()).kafka
}

/// That of a failure of a group.
pub(super) fn of_group(error: &GroupError) -> i16 {
    match error {
        GroupError::InvalidGroupId => INVALID_GROUP_ID,
        GroupError::UnknownMember => UNKNOWN_MEMBER_ID,
        GroupError::IllegalGeneration => ILLEGAL_GENERATION,
        GroupError::RebalanceInProgress => REBALANCE_IN_PROGRESS,
        GroupError::InconsistentProtocol => INCONSISTENT_GROUP_PROTOCOL,
        GroupError::InvalidSessionTimeout => INVALID_SESSION_TIMEOUT,
        GroupError::MemberIdRequired(_) => MEMBER_ID_REQUIRED,
        GroupError::FencedInstance => FENCED_INSTANCE_ID,
        GroupError::GroupFull => GROUP_MAX_SIZE_REACHED,
        GroupError::NotEmpty => NON_EMPTY_GROUP,
        GroupError::NotFound => GROUP_ID_NOT_FOUND,
        GroupError::SubscribedToTopic => GROUP_SUBSCRIBED_TO_TOPIC,
        GroupError::MetadataTooLarge => OFFSET_METADATA_TOO_LARGE,
        // A client tries again, and the log says what is wrong in its own log.
        GroupError::Log(
            error @ (weir_topics::Error::TopicNotFound(_)
            | weir_topics::Error::PartitionNotFound { .. }),
        ) => of_log(error),
        GroupError::Log(_) => COORDINATOR_NOT_AVAILABLE,
    }
}
