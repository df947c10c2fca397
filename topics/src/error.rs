//! What can go wrong in the log, and what a caller can do about it.

use std::io;
use std::sync::Arc;

use weir_base::{Classify, Kind, Offset, PartitionId, SqlState, TopicName};

use crate::batch::Malformed;

/// The result of everything here.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure of the topic log. It clones, because one failed write answers every append that waited for it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// A topic of that name exists already.
    #[error("topic \"{0}\" exists already")]
    TopicExists(TopicName),
    /// The name is one of the log's own topics.
    #[error("topic name \"{0}\" is reserved")]
    TopicReserved(TopicName),
    /// The topic does not exist, or was deleted while it was in use.
    #[error("topic \"{0}\" does not exist")]
    TopicNotFound(String),
    /// The topic has no such partition.
    #[error("topic \"{topic}\" has no partition {partition}; it has {partitions}")]
    PartitionNotFound {
        /// The topic's name.
        topic: TopicName,
        /// The partition that was asked for.
        partition: PartitionId,
        /// How many partitions the topic has.
        partitions: u32,
    },
    /// A topic was asked for with a number of partitions that is not offered.
    #[error("a topic of {given} partitions is not possible: use {least} to {most}")]
    PartitionCount {
        /// What was asked for.
        given: u32,
        /// The smallest number: of a topic that exists, one more than it has.
        least: u32,
        /// The largest number.
        most: u32,
    },
    /// A setting of the log is not usable.
    #[error("setting {name} is not valid: {reason}")]
    Setting {
        /// The setting's name.
        name: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A batch without records was appended.
    #[error("a batch without records cannot be appended")]
    EmptyBatch,
    /// A record cannot be written as it is.
    #[error("record cannot be written: {0}")]
    Record(&'static str),
    /// A topic that is compacted by key was given a record without one.
    #[error("topic \"{topic}\" is compacted by key: each of its records must have one")]
    KeyMissing {
        /// The topic's name.
        topic: TopicName,
    },
    /// An idempotency token is empty or too long.
    #[error("an idempotency token of {0} bytes is not valid: use 1 to 64 bytes")]
    Token(usize),
    /// A token that was used for one batch came again with another.
    #[error(
        "an idempotency token was used before for other records: those from offset {base} of topic \"{topic}\" partition {partition}"
    )]
    TokenReused {
        /// The topic's name.
        topic: TopicName,
        /// The partition.
        partition: PartitionId,
        /// The first offset of what was appended under it.
        base: Offset,
    },
    /// Batches of an idempotent producer are missing before this one.
    #[error(
        "topic \"{topic}\" partition {partition}: the producer's next record must have sequence number {expected}"
    )]
    OutOfSequence {
        /// The topic's name.
        topic: TopicName,
        /// The partition.
        partition: PartitionId,
        /// The sequence number that must come next.
        expected: i32,
    },
    /// A producer with the same id and a later epoch has written.
    #[error(
        "topic \"{topic}\" partition {partition}: the producer was replaced by one of epoch {current}"
    )]
    ProducerFenced {
        /// The topic's name.
        topic: TopicName,
        /// The partition.
        partition: PartitionId,
        /// The epoch that writes now.
        current: i16,
    },
    /// A batch is not part of the open transaction of its producer: the transaction has not this partition, or has ended, or the
    /// batch was written outside of it. Kafka's INVALID_TXN_STATE, and TRANSACTION_ABORTABLE for clients that know it (KIP-890).
    #[error(
        "topic \"{topic}\" partition {partition}: the batch is not part of an open transaction of producer {producer_id}"
    )]
    NotInTransaction {
        /// The topic's name.
        topic: TopicName,
        /// The partition.
        partition: PartitionId,
        /// The producer.
        producer_id: i64,
    },
    /// A transactional id is empty or too long. Kafka's INVALID_REQUEST.
    #[error("the transactional id is not valid: use 1 to {most} bytes")]
    TransactionalId {
        /// The longest, in bytes.
        most: usize,
    },
    /// A transaction's timeout is not offered. Kafka's INVALID_TRANSACTION_TIMEOUT.
    #[error("a transaction timeout of {given} ms is not possible: use 1 to {most}")]
    TransactionTimeout {
        /// What was asked for, in milliseconds.
        given: i32,
        /// The longest, in milliseconds.
        most: i32,
    },
    /// No producer has the transactional id, or one of another number. Kafka's INVALID_PRODUCER_ID_MAPPING.
    #[error("transactional id \"{0}\" does not belong to the producer")]
    ProducerUnknown(String),
    /// The transactional id belongs to a producer of a later epoch. Kafka's PRODUCER_FENCED, INVALID_PRODUCER_EPOCH for old
    /// clients (KIP-588).
    #[error(
        "transactional id \"{transactional_id}\": the producer was replaced by one of epoch {current}"
    )]
    TransactionFenced {
        /// The transactional id.
        transactional_id: String,
        /// The epoch that it has now.
        current: i16,
    },
    /// The transaction before is still being ended. Kafka's CONCURRENT_TRANSACTIONS.
    #[error("transactional id \"{0}\": the transaction is being ended")]
    TransactionEnding(String),
    /// What is asked for is not possible in the transaction's state. Kafka's INVALID_TXN_STATE.
    #[error("transactional id \"{transactional_id}\": this is not possible in state {state}")]
    TransactionState {
        /// The transactional id.
        transactional_id: String,
        /// The state, by Kafka's name.
        state: &'static str,
    },
    /// A bound on transactions is reached.
    #[error("no more transactional ids or partitions of transactions are taken")]
    TransactionsFull,
    /// Nothing was done, because something else of the same request cannot be. Kafka's OPERATION_NOT_ATTEMPTED.
    #[error("nothing was done, for another part of the request is not possible")]
    NotAttempted,
    /// An append that depended on what was there before came too late.
    #[error("topic \"{topic}\" partition {partition} was changed in between")]
    Moved {
        /// The topic's name.
        topic: TopicName,
        /// The partition.
        partition: PartitionId,
    },
    /// An offset is not there: it was deleted, or nothing has been written there yet.
    #[error(
        "topic \"{topic}\" partition {partition} has no offset {from}: it has {start} to {end}, the end excluded"
    )]
    OffsetOutOfRange {
        /// The topic's name.
        topic: TopicName,
        /// The partition.
        partition: PartitionId,
        /// What was asked for.
        from: Offset,
        /// The first offset that new readers see.
        start: Offset,
        /// The stable offset.
        end: Offset,
    },
    /// A batch is larger than the log takes.
    #[error("a batch of {bytes} bytes is larger than the limit of {limit} bytes")]
    BatchTooLarge {
        /// The batch's size.
        bytes: u64,
        /// The largest size.
        limit: u64,
    },
    /// The disk does not keep up with what is appended.
    #[error("topic \"{topic}\" partition {partition}: {bytes} bytes wait to be written")]
    Busy {
        /// The topic's name.
        topic: TopicName,
        /// The partition.
        partition: PartitionId,
        /// How much is waiting.
        bytes: u64,
    },
    /// The disk is full. What was stored before is intact and readable.
    #[error(
        "the disk that holds topic \"{topic}\" partition {partition} is full; nothing was written"
    )]
    DiskFull {
        /// The topic's name.
        topic: TopicName,
        /// The partition.
        partition: PartitionId,
    },
    /// Another process works in the folder.
    #[error("folder {0} is in use by another process")]
    Locked(String),
    /// A write or sync failed earlier: no more is written until a restart. Reads go on.
    #[error("the topic log stopped taking writes: {0}")]
    Stopped(String),
    /// The log is closing or closed.
    #[error("the topic log is closed")]
    Closed,
    /// Bytes that were stored are not what is there now.
    #[error("{place} is damaged at byte {position}: {reason}")]
    Corrupt {
        /// Topic, partition and segment.
        place: String,
        /// Where in the segment's file, in bytes.
        position: u64,
        /// What is wrong there.
        reason: String,
    },
    /// A record inside a batch whose checksum is right does not decode.
    #[error("the batch at offset {base_offset} is malformed: {reason}")]
    Batch {
        /// The batch's first offset.
        base_offset: Offset,
        /// What is wrong with it.
        reason: Malformed,
    },
    /// The operating system refused.
    #[error("cannot {action} {place}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which file or folder.
        place: String,
        /// Why it failed.
        source: Arc<io::Error>,
    },
    /// A defect of the log itself.
    #[error("internal error in the topic log: {0}")]
    Internal(String),
}

impl Error {
    pub(crate) fn io(action: &'static str, place: impl ToString, source: io::Error) -> Self {
        Self::Io {
            action,
            place: place.to_string(),
            source: Arc::new(source),
        }
    }
}

impl Classify for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::TopicExists(_)
            | Self::TokenReused { .. }
            | Self::OutOfSequence { .. }
            | Self::ProducerFenced { .. }
            | Self::NotInTransaction { .. }
            | Self::TransactionFenced { .. }
            | Self::TransactionState { .. }
            | Self::NotAttempted => Kind::Conflict,
            Self::TopicNotFound(_) | Self::PartitionNotFound { .. } | Self::ProducerUnknown(_) => {
                Kind::NotFound
            }
            Self::TopicReserved(_)
            | Self::PartitionCount { .. }
            | Self::Setting { .. }
            | Self::EmptyBatch
            | Self::OffsetOutOfRange { .. }
            | Self::Record(_)
            | Self::KeyMissing { .. }
            | Self::Token(_)
            | Self::TransactionalId { .. }
            | Self::TransactionTimeout { .. } => Kind::Invalid,
            Self::BatchTooLarge { .. } | Self::Busy { .. } | Self::TransactionsFull => {
                Kind::LimitExceeded
            }
            // What was sent is right, and a later try may succeed.
            Self::DiskFull { .. }
            | Self::Moved { .. }
            | Self::TransactionEnding(_)
            | Self::Locked(_)
            | Self::Stopped(_)
            | Self::Closed => Kind::Unavailable,
            Self::Corrupt { .. } | Self::Batch { .. } => Kind::Corrupt,
            Self::Io { .. } => Kind::Unavailable,
            Self::Internal(_) => Kind::Internal,
        }
    }

    fn sqlstate(&self) -> SqlState {
        match self {
            Self::TopicExists(_) => SqlState::DUPLICATE_TABLE,
            Self::TopicNotFound(_) => SqlState::UNDEFINED_TABLE,
            Self::TopicReserved(_)
            | Self::PartitionCount { .. }
            | Self::Setting { .. }
            | Self::Token(_) => SqlState::INVALID_PARAMETER_VALUE,
            Self::TokenReused { .. } => SqlState::INTEGRITY_CONSTRAINT_VIOLATION,
            Self::Moved { .. } => SqlState::SERIALIZATION_FAILURE,
            Self::BatchTooLarge { .. } => SqlState::PROGRAM_LIMIT_EXCEEDED,
            Self::Busy { .. } => SqlState::INSUFFICIENT_RESOURCES,
            Self::DiskFull { .. } => SqlState::DISK_FULL,
            Self::Locked(_) => SqlState::OBJECT_IN_USE,
            Self::Closed => SqlState::ADMIN_SHUTDOWN,
            Self::Stopped(_) | Self::Io { .. } => SqlState::IO_ERROR,
            other => other.kind().default_sqlstate(),
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::TokenReused { .. } => "give other records a token of their own",
            Self::Moved { .. } | Self::TransactionEnding(_) => "try again",
            Self::NotInTransaction { .. } => "abort the transaction, and begin it again",
            Self::Busy { .. } => "wait for earlier writes to be acknowledged, then try again",
            Self::DiskFull { .. } => "free space on the disk, then try again",
            Self::Locked(_) => "stop the other process, or choose another data folder",
            Self::Stopped(_) => "check the disk, then restart the service",
            Self::BatchTooLarge { .. } => "send fewer rows at a time",
            Self::KeyMissing { .. } => "give each record a key",
            Self::OffsetOutOfRange { .. } => "read on from the partition's first offset",
            Self::Corrupt { .. } => "restore the file from a backup",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
