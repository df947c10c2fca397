//! One transactional id: the state machine of KIP-98, KIP-360 and KIP-890, without clock, disk or network.
//!
//! ```text
//!           a partition or group is added             commit                       all have their markers
//!   Empty ─────────────────────────────► Ongoing ─────────────► PrepareCommit ──────────────► CompleteCommit
//!     ▲                                   ▲    │     abort, timeout, a new producer                 │
//!     │ a producer comes                  │    └──────────────► PrepareAbort ───────────────► CompleteAbort
//!     └──── Complete…                     └────────────────────────── a partition or group is added ┘
//! ```
//! Each function answers what the transaction would be; it is so once that is durable. What is being prepared is decided: it will
//! be completed, whatever happens in between.

use std::collections::BTreeSet;

use super::requests::{ProducerEpoch, TransactionState, TransactionVersion};
use crate::batch::{Marker, Outcome};
use crate::journal::Place;

/// There is one coordinator, and it is always the same.
const COORDINATOR_EPOCH: i32 = 0;
/// The last epoch that a producer gets: the one after it is for fencing it off.
const EPOCH_MAX: i16 = i16::MAX - 1;

/// All about a transactional id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Transaction {
    pub(super) producer: ProducerEpoch,
    /// What the producer had before, when it has asked for the next: one that did not hear the answer asks again under it.
    pub(super) previous: Option<ProducerEpoch>,
    /// The number that the producer gets when the transaction is complete, for the epochs of the one it has are used up.
    pub(super) next_id: Option<i64>,
    pub(super) timeout_ms: i32,
    pub(super) state: TransactionState,
    /// The rules by which its last transaction ended.
    pub(super) version: TransactionVersion,
    pub(super) started_at_ms: i64,
    pub(super) updated_at_ms: i64,
    pub(super) partitions: BTreeSet<Place>,
    pub(super) groups: BTreeSet<String>,
}

/// Why something is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The id is not that of the producer.
    Unknown,
    /// A producer of a later epoch has the id.
    Fenced { current: i16 },
    /// The transaction before is still being ended.
    Ending,
    /// It is not possible in this state.
    State(TransactionState),
}

/// What becomes of a producer that comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Init {
    /// It asks once more; the answer is the one that it did not hear.
    Again(ProducerEpoch),
    /// It is the producer now.
    Begin(Transaction),
    /// The transaction of the one before is to be aborted first.
    Abort(Transaction),
}

/// What becomes of a transaction that is to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// It has ended so before; the answer is the one that was not heard.
    Again(ProducerEpoch),
    /// It ends; see [`Transaction::is_ending`].
    Now(Transaction),
}

/// What the time has come for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing.
    Nothing,
    /// The transaction was open for too long, and is aborted.
    Abort(Transaction),
    /// The id was not used for too long, and is forgotten.
    Forget,
}

/// A producer comes. One that says what it has only wants the next epoch of it. `fresh_id` is a new number, and is needed when
/// [`needs_id`] says so.
pub(super) fn init(
    current: Option<&Transaction>,
    said: Option<ProducerEpoch>,
    timeout_ms: i32,
    fresh_id: Option<i64>,
    now_ms: i64,
) -> Result<Init, Refusal> {
    let Some(current) = current else {
        // Also of one that says what it has: the id was forgotten meanwhile.
        let producer_id = fresh_id.ok_or(Refusal::Unknown)?;
        return Ok(Init::Begin(Transaction {
            producer: ProducerEpoch {
                producer_id,
                epoch: 0,
            },
            previous: None,
            next_id: None,
            timeout_ms,
            state: TransactionState::Empty,
            version: TransactionVersion::V1,
            started_at_ms: now_ms,
            updated_at_ms: now_ms,
            partitions: BTreeSet::new(),
            groups: BTreeSet::new(),
        }));
    };
    let again = said.is_some() && said == current.previous;
    if said.is_some_and(|said| said != current.producer) && !again {
        return Err(current.fenced());
    }
    match current.state {
        TransactionState::PrepareCommit | TransactionState::PrepareAbort => Err(Refusal::Ending),
        // It has heard the answer, or it could not have begun a transaction.
        TransactionState::Ongoing if again => Err(current.fenced()),
        TransactionState::Ongoing => Ok(Init::Abort(current.aborted(now_ms))),
        _ if again => Ok(Init::Again(current.producer)),
        _ => Ok(Init::Begin(Transaction {
            producer: current.producer.next(fresh_id),
            previous: said,
            timeout_ms,
            state: TransactionState::Empty,
            version: TransactionVersion::V1,
            updated_at_ms: now_ms,
            ..current.clone()
        })),
    }
}

/// Whether the next epoch of the producer needs a new number.
pub(super) fn needs_id(current: Option<&Transaction>) -> bool {
    current.is_none_or(|current| current.producer.epoch >= EPOCH_MAX)
}

/// Adds partitions and groups; `None` when the transaction has them all.
pub(super) fn add(
    current: Option<&Transaction>,
    producer: ProducerEpoch,
    partitions: &[Place],
    groups: &[String],
    now_ms: i64,
) -> Result<Option<Transaction>, Refusal> {
    let current = check(current, producer)?;
    match current.state {
        TransactionState::PrepareCommit | TransactionState::PrepareAbort => Err(Refusal::Ending),
        TransactionState::Ongoing => {
            let has_groups = groups.iter().all(|group| current.groups.contains(group));
            let mut all = partitions.iter();
            if has_groups && all.all(|place| current.partitions.contains(place)) {
                return Ok(None);
            }
            Ok(Some(current.clone().with(partitions, groups, now_ms)))
        }
        _ => {
            let begun = Transaction {
                state: TransactionState::Ongoing,
                started_at_ms: now_ms,
                ..current.clone()
            };
            Ok(Some(begun.with(partitions, groups, now_ms)))
        }
    }
}

/// Checks that the producer has a transaction open.
pub(super) fn ongoing(
    current: Option<&Transaction>,
    producer: ProducerEpoch,
) -> Result<&Transaction, Refusal> {
    let current = check(current, producer)?;
    match current.state {
        TransactionState::Ongoing => Ok(current),
        TransactionState::PrepareCommit | TransactionState::PrepareAbort => Err(Refusal::Ending),
        other => Err(Refusal::State(other)),
    }
}

/// The producer ends its transaction. `fresh_id` is as with [`init`], for transactions V2.
pub(super) fn end(
    current: Option<&Transaction>,
    producer: ProducerEpoch,
    outcome: Outcome,
    version: TransactionVersion,
    fresh_id: Option<i64>,
    now_ms: i64,
) -> Result<End, Refusal> {
    let current = current.ok_or(Refusal::Unknown)?;
    let ended = match current.state {
        TransactionState::Ongoing | TransactionState::Empty => None,
        TransactionState::PrepareCommit | TransactionState::CompleteCommit => Some(Outcome::Commit),
        TransactionState::PrepareAbort | TransactionState::CompleteAbort => Some(Outcome::Abort),
    };
    let refused = Err(Refusal::State(current.state));
    // By the rules of V2 the same epoch would be the next transaction's end.
    let again = match current.version {
        TransactionVersion::V2 => current.previous == Some(producer) && ended.is_some(),
        TransactionVersion::V1 => {
            version == TransactionVersion::V1 && current.producer == producer && ended.is_some()
        }
    };
    if again {
        return match ended == Some(outcome) {
            false => refused,
            true if current.is_ending() => Err(Refusal::Ending),
            true => Ok(End::Again(current.producer)),
        };
    }
    let current = check(Some(current), producer)?;
    match (current.state, outcome) {
        (TransactionState::Ongoing, _) => {
            Ok(End::Now(current.ended(outcome, version, fresh_id, now_ms)))
        }
        _ if current.is_ending() => Err(Refusal::Ending),
        // A producer of V2 that has written nothing, or does not know whether it has, still gets its next epoch (KIP-890).
        (_, Outcome::Abort) if version == TransactionVersion::V2 => {
            let ended = current.ended(outcome, version, fresh_id, now_ms);
            Ok(End::Now(ended.completed(now_ms)))
        }
        _ => refused,
    }
}

impl Transaction {
    /// Whether its outcome is decided, and not all partitions and groups know it.
    pub(super) fn is_ending(&self) -> bool {
        matches!(
            self.state,
            TransactionState::PrepareCommit | TransactionState::PrepareAbort
        )
    }

    /// What its partitions are told when it ends.
    pub(super) fn marker(&self) -> Marker {
        Marker {
            producer_id: self.producer.producer_id,
            epoch: self.producer.epoch,
            outcome: match self.state {
                TransactionState::PrepareCommit => Outcome::Commit,
                _ => Outcome::Abort,
            },
            coordinator_epoch: COORDINATOR_EPOCH,
        }
    }

    /// What it is when all partitions and groups know its outcome.
    pub(super) fn completed(&self, now_ms: i64) -> Self {
        let producer = self.next_id.map(|producer_id| ProducerEpoch {
            producer_id,
            epoch: 0,
        });
        Self {
            producer: producer.unwrap_or(self.producer),
            previous: self.previous,
            next_id: None,
            state: match self.state {
                TransactionState::PrepareCommit => TransactionState::CompleteCommit,
                _ => TransactionState::CompleteAbort,
            },
            updated_at_ms: now_ms,
            partitions: BTreeSet::new(),
            groups: BTreeSet::new(),
            timeout_ms: self.timeout_ms,
            version: self.version,
            started_at_ms: self.started_at_ms,
        }
    }

    /// What the time has come for. An id is forgotten after `expiration_ms`.
    pub(super) fn due(&self, expiration_ms: i64, now_ms: i64) -> Due {
        match self.deadline_ms(expiration_ms) {
            Some(at_ms) if at_ms <= now_ms => match self.state {
                TransactionState::Ongoing => Due::Abort(self.aborted(now_ms)),
                _ => Due::Forget,
            },
            _ => Due::Nothing,
        }
    }

    /// When [`Transaction::due`] has something to say; never while it is being ended.
    pub(super) fn deadline_ms(&self, expiration_ms: i64) -> Option<i64> {
        match self.state {
            TransactionState::PrepareCommit | TransactionState::PrepareAbort => None,
            TransactionState::Ongoing => {
                Some(self.started_at_ms.saturating_add(self.timeout_ms.into()))
            }
            _ => Some(self.updated_at_ms.saturating_add(expiration_ms)),
        }
    }

    /// About how much it takes up in a record, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        let groups: u64 = self.groups.iter().map(|id| 2 + id.len() as u64).sum();
        80 + 20 * self.partitions.len() as u64 + groups
    }

    fn fenced(&self) -> Refusal {
        Refusal::Fenced {
            current: self.producer.epoch,
        }
    }

    fn with(mut self, partitions: &[Place], groups: &[String], now_ms: i64) -> Self {
        self.partitions.extend(partitions);
        self.groups.extend(groups.iter().cloned());
        self.updated_at_ms = now_ms;
        self
    }

    /// The producer ends it.
    fn ended(
        &self,
        outcome: Outcome,
        version: TransactionVersion,
        fresh_id: Option<i64>,
        now_ms: i64,
    ) -> Self {
        let mut ended = Self {
            state: match outcome {
                Outcome::Commit => TransactionState::PrepareCommit,
                Outcome::Abort => TransactionState::PrepareAbort,
            },
            version,
            updated_at_ms: now_ms,
            ..self.clone()
        };
        if version == TransactionVersion::V2 {
            ended.previous = Some(self.producer);
            ended.producer.epoch = self.producer.epoch.saturating_add(1);
            ended.next_id = fresh_id;
        }
        ended
    }

    /// It is aborted, and its producer fenced off.
    fn aborted(&self, now_ms: i64) -> Self {
        Self {
            producer: ProducerEpoch {
                epoch: self.producer.epoch.saturating_add(1),
                ..self.producer
            },
            previous: None,
            state: TransactionState::PrepareAbort,
            version: TransactionVersion::V1,
            updated_at_ms: now_ms,
            ..self.clone()
        }
    }
}

impl ProducerEpoch {
    /// The next epoch, or the first of a new number.
    fn next(self, fresh_id: Option<i64>) -> Self {
        match fresh_id {
            Some(producer_id) => Self {
                producer_id,
                epoch: 0,
            },
            None => Self {
                epoch: self.epoch.saturating_add(1),
                ..self
            },
        }
    }
}

/// Checks that the id is the producer's, of this epoch.
fn check(current: Option<&Transaction>, producer: ProducerEpoch) -> Result<&Transaction, Refusal> {
    let current = current.ok_or(Refusal::Unknown)?;
    if current.producer.producer_id != producer.producer_id {
        return Err(Refusal::Unknown);
    }
    match current.producer.epoch == producer.epoch {
        true => Ok(current),
        false => Err(current.fenced()),
    }
}
