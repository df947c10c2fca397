//! What is asked of transactions, and what they answer.

use std::fmt;

use weir_base::{PartitionId, TopicId};

/// A producer's number and the epoch in which it has it. Each is the only one of its number: a later epoch fences it off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProducerEpoch {
    /// The number.
    pub producer_id: i64,
    /// The epoch, from 0.
    pub epoch: i16,
}

/// A producer asks for its number (InitProducerId).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitProducer {
    /// Its name, which stays the same when its process starts anew.
    pub transactional_id: String,
    /// A transaction that is open for so long is aborted, in milliseconds.
    pub timeout_ms: i32,
    /// The number that it has, if it only wants the next epoch of it (KIP-360).
    pub current: Option<ProducerEpoch>,
}

/// Who asks something of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionalProducer {
    /// Its name.
    pub transactional_id: String,
    /// Its number, which must be the one of now.
    pub producer: ProducerEpoch,
}

/// Which rules a client's transactions follow (KIP-890). EndTxn from version 5 on, TxnOffsetCommit from 5 and Produce from 12
/// are V2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TransactionVersion {
    /// The client adds partitions and groups before it uses them, and keeps its epoch from one transaction to the next.
    V1,
    /// Partitions and groups are added when they are used, and each end begins the producer's next epoch.
    V2,
}

/// What a transactional id is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TransactionState {
    /// It had no transaction since its producer came.
    Empty,
    /// Its transaction is open.
    Ongoing,
    /// Its transaction is committed, and not all partitions know it.
    PrepareCommit,
    /// Its transaction is aborted, and not all partitions know it.
    PrepareAbort,
    /// Its last transaction was committed.
    CompleteCommit,
    /// Its last transaction was aborted.
    CompleteAbort,
}

impl TransactionState {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Empty,
        Self::Ongoing,
        Self::PrepareCommit,
        Self::PrepareAbort,
        Self::CompleteCommit,
        Self::CompleteAbort,
    ];

    /// Kafka's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
        }
    }
}

impl fmt::Display for TransactionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A transactional id with its transaction (KIP-664).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionDescription {
    /// The transactional id.
    pub transactional_id: String,
    /// What it is doing.
    pub state: TransactionState,
    /// Its producer.
    pub producer: ProducerEpoch,
    /// A transaction that is open for so long is aborted, in milliseconds.
    pub timeout_ms: i32,
    /// When its open transaction began, in milliseconds since the epoch; `None` when none is open.
    pub started_at_ms: Option<i64>,
    /// The partitions of its open transaction, in order.
    pub partitions: Vec<(TopicId, PartitionId)>,
}
