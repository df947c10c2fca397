//! Transactions: records of several partitions and offsets of groups that are seen together or not at all (KIP-98, KIP-360,
//! KIP-447, KIP-890).
//!
//! Start at [`Transactions`], the coordinator. What a transactional id does is in `transaction.rs`, a state machine that is told
//! the time; `ledger.rs` has all of them, durable by the internal topic `__weir_transactions`. What a transaction has written
//! is in the partitions; they know which transactions are open and which were aborted, see
//! [`Partition::last_stable_offset`](crate::Partition::last_stable_offset).
//!
//! It knows nothing of Kafka's frames and error codes.
//!
//! # What holds
//! - A transaction is committed at the moment when its state *prepare commit* is on disk. From then on its partitions and groups
//!   get their markers, also after a crash.
//! - A partition takes a batch of a transaction only while the transaction is noted, on disk, as having that partition. So no
//!   batch comes after its marker, and none is without one for longer than the timeout.
//! - What is asked for one transactional id is done one after another, and is done also if nobody waits for the answer.
//! - There are at most 65,536 transactional ids, and 64 MiB of what is known of them. Past that, [`Error::TransactionsFull`].

mod completion;
mod ledger;
mod record;
mod requests;
mod settings;
mod transaction;
mod turns;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use weir_base::{Clock, PartitionId, TopicId};

pub(crate) use ledger::Ledger;
pub use requests::{
    InitProducer, ProducerEpoch, TransactionDescription, TransactionState, TransactionVersion,
    TransactionalProducer,
};
pub use settings::{TRANSACTIONAL_ID_BYTES_MAX, TransactionSettings};

pub use crate::batch::Outcome;

use crate::deadlines::{Deadlines, Tender, Tick};
use crate::groups::{CommitRequest, GroupError};
use crate::journal::{Journal, Loaded, Place, Refused};
use crate::log::WeakLog;
use crate::{Error, Result};
use record::Change;
use settings::RETRY_MS;
use transaction::{Due, End, Init, Refusal, Transaction};
use turns::Turns;

/// All transactional ids of a log. Clones are the same.
///
/// An error of kind *unavailable* leaves open whether something was done: ask once more, which is the same as asking once.
#[derive(Debug, Clone)]
pub struct Transactions(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    log: WeakLog,
    clock: Arc<dyn Clock>,
    settings: TransactionSettings,
    journal: Arc<Journal<Ledger>>,
    turns: Turns,
    tended: Mutex<Tended>,
    /// Wakes the task that looks after deadlines.
    wake: Arc<Notify>,
}

/// When which id has something to do, and the task that looks after it.
#[derive(Debug)]
struct Tended {
    deadlines: Deadlines<String>,
    tender: Tender,
    closed: bool,
}

impl Transactions {
    pub(crate) fn new(
        log: WeakLog,
        loaded: Loaded<Ledger>,
        settings: TransactionSettings,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let wake = Arc::<Notify>::default();
        Self(Arc::new(Inner {
            journal: Journal::new(log.clone(), loaded, settings.compact_bytes_min),
            log,
            clock,
            settings,
            turns: Turns::default(),
            tended: Mutex::new(Tended {
                deadlines: Deadlines::default(),
                tender: Tender::new(Arc::clone(&wake)),
                closed: false,
            }),
            wake,
        }))
    }

    /// Makes the caller the producer of a transactional id (InitProducerId). An older one is fenced off, and its open transaction
    /// is aborted first. One that says which number it has gets the next epoch of it, if that is still its own (KIP-360).
    ///
    /// # Errors
    /// [`Error::TransactionalId`], [`Error::TransactionTimeout`]; [`Error::TransactionFenced`] when another producer has come
    /// since; [`Error::TransactionEnding`] while the transaction before is being ended; [`Error::TransactionsFull`];
    /// [`Error::DiskFull`], [`Error::Stopped`], [`Error::Closed`] and [`Error::Io`] when the log cannot write.
    pub async fn init_producer(&self, request: InitProducer) -> Result<ProducerEpoch> {
        check_id(&request.transactional_id)?;
        let most = self.0.settings.timeout_ms_max;
        if !(1..=most).contains(&request.timeout_ms) {
            return Err(Error::TransactionTimeout {
                given: request.timeout_ms,
                most,
            });
        }
        let id = request.transactional_id.clone();
        self.in_turn(&id, async move |inner, answer| {
            // Who no longer waits need not know.
            let _ = answer.send(inner.init(&request).await);
        })
        .await
    }

    /// Adds partitions to the producer's transaction, which begins with the first (AddPartitionsToTxn; in transactions V2 a
    /// produce request does it by itself, before it appends). An answer for each: all are added, or none. It is durable on
    /// return, and the partitions take the transaction's batches; for those that do already ([`crate::Partition::admits`]) it
    /// costs nothing.
    ///
    /// # Errors
    /// [`Error::ProducerUnknown`], [`Error::TransactionFenced`], [`Error::TransactionEnding`], [`Error::TransactionsFull`]; when
    /// the log cannot write. Of a partition: [`Error::TopicNotFound`], [`Error::PartitionNotFound`], and
    /// [`Error::NotAttempted`] for the others then.
    pub async fn add_partitions(
        &self,
        producer: &TransactionalProducer,
        partitions: &[(TopicId, PartitionId)],
    ) -> Result<Vec<Result<()>>> {
        let log = self.0.log.upgrade()?;
        let ProducerEpoch { producer_id, epoch } = producer.producer;
        let (mut found, mut admitted) = (Vec::with_capacity(partitions.len()), true);
        for (topic, partition) in partitions {
            let topic = log
                .topic_by_id(*topic)
                .ok_or_else(|| Error::TopicNotFound(topic.to_string()));
            let partition = topic.and_then(|topic| topic.partition(*partition).cloned());
            admitted &= partition
                .as_ref()
                .is_ok_and(|partition| partition.admits(producer_id, epoch));
            found.push(partition.map(|_| ()));
        }
        if admitted && !found.is_empty() {
            return Ok(found);
        }
        if found.iter().any(Result::is_err) {
            let others = |found: Result<()>| found.and(Err(Error::NotAttempted));
            return Ok(found.into_iter().map(others).collect());
        }
        self.add(producer, partitions.to_vec(), Vec::new()).await?;
        Ok(found)
    }

    /// Whether each of the partitions is part of the producer's open transaction (AddPartitionsToTxn, verify only; KIP-890).
    ///
    /// # Errors
    /// [`Error::ProducerUnknown`], [`Error::TransactionFenced`], [`Error::TransactionEnding`].
    pub fn has_partitions(
        &self,
        producer: &TransactionalProducer,
        partitions: &[(TopicId, PartitionId)],
    ) -> Result<Vec<bool>> {
        let id = &producer.transactional_id;
        let ledger = self.0.journal.state();
        match transaction::ongoing(ledger.get(id), producer.producer) {
            Ok(current) => {
                let partitions = partitions.iter();
                Ok(partitions
                    .map(|place| current.partitions.contains(place))
                    .collect())
            }
            Err(Refusal::State(_)) => Ok(vec![false; partitions.len()]),
            Err(refusal) => Err(refusal.of(id)),
        }
    }

    /// Adds a group to the producer's transaction, so that it may commit offsets of it (AddOffsetsToTxn). Durable on return.
    ///
    /// # Errors
    /// As [`Transactions::add_partitions`]; [`GroupError::InvalidGroupId`].
    pub async fn add_offsets(
        &self,
        producer: &TransactionalProducer,
        group_id: &str,
    ) -> std::result::Result<(), GroupError> {
        crate::groups::check_group_id(group_id)?;
        let groups = vec![group_id.to_owned()];
        Ok(self.add(producer, Vec::new(), groups).await?)
    }

    /// Commits offsets with the producer's transaction (TxnOffsetCommit): they are the group's when the transaction is committed.
    /// Until then they are among [`Groups::pending`](crate::groups::Groups::pending). In transactions V2 this adds the group.
    /// Durable on return.
    ///
    /// # Errors
    /// As [`Groups::commit`](crate::groups::Groups::commit), but a request that names no member and no generation is that of a
    /// client from before KIP-447 and not checked so; [`GroupError::Log`] of what [`Transactions::add_partitions`] says, and of
    /// [`Error::TransactionState`] when the transaction is not open or has not the group.
    pub async fn commit_offsets(
        &self,
        producer: &TransactionalProducer,
        request: CommitRequest,
        version: TransactionVersion,
    ) -> std::result::Result<(), GroupError> {
        let groups = self.0.log.upgrade()?.groups();
        let commit = groups.check_pending(request)?;
        if version == TransactionVersion::V2 {
            self.add_offsets(producer, &commit.group_id).await?;
        }
        let TransactionalProducer {
            transactional_id: id,
            producer,
        } = producer.clone();
        let committed = self
            .in_turn(&id.clone(), async move |inner, answer| {
                let allowed = {
                    let ledger = inner.journal.state();
                    let current = transaction::ongoing(ledger.get(&id), producer);
                    current.and_then(|current| match current.groups.contains(&commit.group_id) {
                        true => Ok(()),
                        false => Err(Refusal::State(current.state)),
                    })
                };
                let done = match allowed {
                    // In this turn, so that it is before the transaction's end.
                    Ok(()) => {
                        let submitted = groups.submit_pending(producer.producer_id, commit);
                        Ok(submitted.done().await)
                    }
                    Err(refusal) => Err(refusal.of(&id)),
                };
                let _ = answer.send(done);
            })
            .await?;
        Ok(committed?)
    }

    /// Ends the producer's transaction (EndTxn); answers the producer for the next one, which in transactions V2 has another
    /// epoch. What was committed is seen on return, unless the disk is full: then it is as soon as there is room. Asking again
    /// is the same as asking once.
    ///
    /// # Errors
    /// [`Error::ProducerUnknown`], [`Error::TransactionFenced`]; [`Error::TransactionState`] when there is no transaction, or it
    /// has ended otherwise; [`Error::TransactionEnding`] while it is being ended; when the log cannot write.
    pub async fn end(
        &self,
        producer: &TransactionalProducer,
        outcome: Outcome,
        version: TransactionVersion,
    ) -> Result<ProducerEpoch> {
        let TransactionalProducer {
            transactional_id: id,
            producer,
        } = producer.clone();
        self.in_turn(&id.clone(), async move |inner, answer| {
            match inner.begin_end(&id, producer, outcome, version).await {
                Ok(End::Now(ended)) => inner.finish(&id, &ended, Some(answer)).await,
                Ok(End::Again(producer)) => {
                    let _ = answer.send(Ok(producer));
                }
                Err(error) => {
                    let _ = answer.send(Err(error));
                }
            }
        })
        .await
    }

    /// All transactional ids, in order (ListTransactions, KIP-664).
    pub fn list(&self) -> Vec<TransactionDescription> {
        let ledger = self.0.journal.state();
        let all = ledger.iter();
        all.map(|(id, transaction)| transaction.describe(id))
            .collect()
    }

    /// One transactional id, if it is known (DescribeTransactions, KIP-664).
    pub fn describe(&self, transactional_id: &str) -> Option<TransactionDescription> {
        let ledger = self.0.journal.state();
        let transaction = ledger.get(transactional_id);
        transaction.map(|transaction| transaction.describe(transactional_id))
    }

    /// Takes nothing in from now on.
    pub(crate) fn close(&self) {
        self.0.tended.lock().closed = true;
        self.0.wake.notify_one();
    }

    async fn add(
        &self,
        producer: &TransactionalProducer,
        partitions: Vec<Place>,
        groups: Vec<String>,
    ) -> Result<()> {
        let TransactionalProducer {
            transactional_id: id,
            producer,
        } = producer.clone();
        self.in_turn(&id.clone(), async move |inner, answer| {
            let added = inner.add(&id, producer, &partitions, &groups).await;
            let _ = answer.send(added);
        })
        .await
    }

    /// Does something when it is the id's turn, also if the caller does not wait for the answer.
    async fn in_turn<T: Send + 'static, W>(
        &self,
        transactional_id: &str,
        work: impl FnOnce(Arc<Inner>, oneshot::Sender<Result<T>>) -> W + Send + 'static,
    ) -> Result<T>
    where
        W: Future<Output = ()> + Send + 'static,
    {
        if self.0.tended.lock().closed {
            return Err(Error::Closed);
        }
        let (answer, answered) = oneshot::channel();
        let (inner, id) = (Arc::clone(&self.0), transactional_id.to_owned());
        tokio::spawn(async move {
            let turn = inner.turns.begin(&id).await;
            work(Arc::clone(&inner), answer).await;
            inner.look_after(&id);
            drop(turn);
        });
        answered.await.unwrap_or(Err(Error::Closed))
    }
}

impl Inner {
    /// See [`Transactions::init_producer`].
    async fn init(&self, request: &InitProducer) -> Result<ProducerEpoch> {
        let id = &request.transactional_id;
        let mut said = request.current;
        loop {
            let fresh_id = self.fresh_id(id).await?;
            let decided = transaction::init(
                self.journal.state().get(id),
                said,
                request.timeout_ms,
                fresh_id,
                self.clock.now_ms(),
            );
            match decided.map_err(|refusal| refusal.of(id))? {
                Init::Again(producer) => return Ok(producer),
                Init::Begin(transaction) => {
                    let producer = transaction.producer;
                    self.write(id, transaction).await?;
                    return Ok(producer);
                }
                Init::Abort(aborted) => {
                    self.write(id, aborted.clone()).await?;
                    self.finish(id, &aborted, None).await;
                    // Who has said what it had goes on from there.
                    said = said.map(|_| aborted.producer);
                }
            }
        }
    }

    async fn add(
        &self,
        id: &str,
        producer: ProducerEpoch,
        partitions: &[Place],
        groups: &[String],
    ) -> Result<()> {
        let now_ms = self.clock.now_ms();
        let added = transaction::add(
            self.journal.state().get(id),
            producer,
            partitions,
            groups,
            now_ms,
        );
        if let Some(added) = added.map_err(|refusal| refusal.of(id))? {
            self.write(id, added).await?;
        }
        self.admit(producer, partitions)
    }

    /// Decides how a transaction ends; that is durable on return.
    async fn begin_end(
        &self,
        id: &str,
        producer: ProducerEpoch,
        outcome: Outcome,
        version: TransactionVersion,
    ) -> Result<End> {
        let fresh_id = match version {
            TransactionVersion::V1 => None,
            TransactionVersion::V2 if self.journal.state().get(id).is_none() => None,
            TransactionVersion::V2 => self.fresh_id(id).await?,
        };
        let now_ms = self.clock.now_ms();
        let end = transaction::end(
            self.journal.state().get(id),
            producer,
            outcome,
            version,
            fresh_id,
            now_ms,
        );
        let end = end.map_err(|refusal| refusal.of(id))?;
        if let End::Now(ended) = &end {
            self.write(id, ended.clone()).await?;
        }
        Ok(end)
    }

    /// Does what the time has come for. In the id's turn.
    async fn expire(&self, id: &str) -> Result<()> {
        let current = self.journal.state().get(id).cloned();
        let Some(current) = current else {
            return Ok(());
        };
        if current.is_ending() {
            self.finish(id, &current, None).await;
            return Ok(());
        }
        let expiration_ms = self.settings.id_expiration_ms;
        match current.due(expiration_ms, self.clock.now_ms()) {
            Due::Nothing => Ok(()),
            Due::Forget => self.change(id, Change::Forget).await,
            Due::Abort(aborted) => {
                tracing::info!(
                    transactional_id = id,
                    timeout_ms = current.timeout_ms,
                    "aborts a transaction that was open for too long"
                );
                self.write(id, aborted.clone()).await?;
                self.finish(id, &aborted, None).await;
                Ok(())
            }
        }
    }

    /// A new number for the id's producer, if its next epoch needs one.
    async fn fresh_id(&self, id: &str) -> Result<Option<i64>> {
        match transaction::needs_id(self.journal.state().get(id)) {
            true => {}
            false => return Ok(None),
        }
        let log = self.log.upgrade()?;
        log.new_producer_id().await.map(Some)
    }

    async fn write(&self, id: &str, transaction: Transaction) -> Result<()> {
        self.change(id, Change::State(transaction)).await
    }

    async fn change(&self, id: &str, change: Change) -> Result<()> {
        let changed = self.journal.change(id, change).await;
        changed.map_err(|refused| match refused {
            Refused::Full => Error::TransactionsFull,
            Refused::Log(error) => error,
        })
    }

    /// Sees to it that the id's next deadline is met.
    fn look_after(self: &Arc<Self>, id: &str) {
        let now_ms = self.clock.now_ms();
        let at_ms = self.journal.state().get(id).and_then(|transaction| {
            match transaction.is_ending() {
                // It could not be finished just now.
                true => Some(now_ms.saturating_add(RETRY_MS)),
                false => transaction.deadline_ms(self.settings.id_expiration_ms),
            }
        });
        let mut tended = self.tended.lock();
        match at_ms {
            Some(at_ms) => tended.deadlines.set(id.to_owned(), at_ms),
            None => tended.deadlines.clear(&id.to_owned()),
        }
        if let Some(next_ms) = tended.deadlines.next_ms()
            && !tended.closed
        {
            tended.tender.see_to(self, next_ms);
        }
    }
}

impl Tick for Inner {
    fn tick(self: &Arc<Self>) -> Option<Duration> {
        let mut tended = self.tended.lock();
        if tended.closed {
            return None;
        }
        let now_ms = self.clock.now_ms();
        while let Some(id) = tended.deadlines.take_due(now_ms) {
            let inner = Arc::clone(self);
            tokio::spawn(async move {
                let turn = inner.turns.begin(&id).await;
                if let Err(error) = inner.expire(&id).await {
                    tracing::warn!(transactional_id = id, %error, "cannot end a transaction that is due; tries again");
                }
                inner.look_after(&id);
                drop(turn);
            });
        }
        let next_ms = tended.deadlines.next_ms();
        Some(tended.tender.sleep(next_ms, now_ms))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.wake.notify_one();
    }
}

impl Refusal {
    /// The error that it is for a transactional id.
    fn of(self, transactional_id: &str) -> Error {
        let transactional_id = transactional_id.to_owned();
        match self {
            Self::Unknown => Error::ProducerUnknown(transactional_id),
            Self::Fenced { current } => Error::TransactionFenced {
                transactional_id,
                current,
            },
            Self::Ending => Error::TransactionEnding(transactional_id),
            Self::State(state) => Error::TransactionState {
                transactional_id,
                state: state.name(),
            },
        }
    }
}

impl Transaction {
    fn describe(&self, transactional_id: &str) -> TransactionDescription {
        TransactionDescription {
            transactional_id: transactional_id.to_owned(),
            state: self.state,
            producer: self.producer,
            timeout_ms: self.timeout_ms,
            started_at_ms: match self.state {
                TransactionState::Ongoing
                | TransactionState::PrepareCommit
                | TransactionState::PrepareAbort => Some(self.started_at_ms),
                _ => None,
            },
            partitions: self.partitions.iter().copied().collect(),
        }
    }
}

/// Refuses a transactional id that cannot be.
fn check_id(transactional_id: &str) -> Result<()> {
    match (1..=TRANSACTIONAL_ID_BYTES_MAX).contains(&transactional_id.len()) {
        true => Ok(()),
        false => Err(Error::TransactionalId {
            most: TRANSACTIONAL_ID_BYTES_MAX,
        }),
    }
}
