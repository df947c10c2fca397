//! What follows when a transaction's outcome is decided: its partitions and groups are told, and then it is over. All of it can
//! be done twice, so a start does it again for those that a crash left in between.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::requests::{ProducerEpoch, TransactionState};
use super::transaction::Transaction;
use super::{Inner, Place, Transactions};
use crate::batch::{Marker, Outcome};
use crate::journal::Refused;
use crate::{Error, Partition, Result, TopicLog, faults};

impl Transactions {
    /// Goes on where the last run has stopped: open transactions are open again, decided ones are completed, and what is open in
    /// a partition for no transaction is aborted. What cannot be completed now is tried again later.
    pub(crate) async fn resume(&self) -> Result<()> {
        let log = self.0.log.upgrade()?;
        let found: Vec<(String, Transaction)> = {
            let ledger = self.0.journal.state();
            let all = ledger.iter();
            all.map(|(id, transaction)| (id.clone(), transaction.clone()))
                .collect()
        };
        let mut completions = Vec::new();
        for (id, transaction) in &found {
            if transaction.state == TransactionState::Ongoing {
                let partitions: Vec<Place> = transaction.partitions.iter().copied().collect();
                self.0.admit(transaction.producer, &partitions)?;
            }
            if transaction.is_ending() {
                let (inner, id, ended) = (Arc::clone(&self.0), id.clone(), transaction.clone());
                completions.push(tokio::spawn(async move {
                    let turn = inner.turns.begin(&id).await;
                    inner.finish(&id, &ended, None).await;
                    drop(turn);
                }));
            }
        }
        for completion in completions {
            completion
                .await
                .map_err(|error| Error::Internal(error.to_string()))?;
        }
        self.0.abort_strays(&log, &found)?;
        for (id, _) in &found {
            self.0.look_after(id);
        }
        Ok(())
    }
}

impl Inner {
    /// Lets partitions take the batches of a transaction. One that was deleted takes nothing.
    pub(super) fn admit(&self, producer: ProducerEpoch, partitions: &[Place]) -> Result<()> {
        let log = self.log.upgrade()?;
        for place in partitions {
            if let Some(partition) = partition_at(&log, place) {
                partition.admit(producer.producer_id, producer.epoch);
            }
        }
        Ok(())
    }

    /// Completes a transaction whose outcome is durable, and answers its producer when all partitions and groups know it. If they
    /// cannot be told, it stays as it is: somebody tries again. In the id's turn.
    pub(super) async fn finish(
        &self,
        id: &str,
        ended: &Transaction,
        answer: Option<oneshot::Sender<Result<ProducerEpoch>>>,
    ) {
        let completed = ended.completed(self.clock.now_ms());
        let told = match ended.is_ending() {
            true => self.tell(ended).await,
            false => Ok(()),
        };
        if let Some(answer) = answer {
            // The outcome is decided in any case. Who no longer waits need not know.
            let _ = answer.send(Ok(completed.producer));
        }
        if !ended.is_ending() {
            return;
        }
        let done = match told.and_then(|()| faults::transaction_told()) {
            Ok(()) => match self.flush(ended).await {
                Ok(()) => self.write(id, completed).await,
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => {}
            // The next start completes it.
            Err(Error::Closed) => {
                tracing::debug!(
                    transactional_id = id,
                    "a transaction that is decided was not completed before the log was closed"
                );
            }
            Err(error) => {
                tracing::warn!(transactional_id = id, %error, "cannot complete a transaction that is decided; tries again");
            }
        }
    }

    /// Tells the transaction's partitions and groups how it has ended; durable on return.
    async fn tell(&self, ended: &Transaction) -> Result<()> {
        faults::transaction_prepared()?;
        let log = self.log.upgrade()?;
        let (marker, now_ms) = (ended.marker(), self.clock.now_ms());
        let mut appended = Vec::with_capacity(ended.partitions.len());
        for place in &ended.partitions {
            faults::transaction_marker()?;
            if let Some(partition) = partition_at(&log, place) {
                let marked = gone_is_done(partition.append_marker(&marker, now_ms))?;
                appended.extend(marked.flatten());
            }
        }
        let groups = log.groups();
        let commit = marker.outcome == Outcome::Commit;
        let submitted: Vec<_> = ended
            .groups
            .iter()
            .map(|group_id| groups.submit_end(group_id, marker.producer_id, commit))
            .collect();
        drop(log);
        for appended in appended {
            gone_is_done(appended.durable().await)?;
        }
        for submitted in submitted {
            submitted.done().await.map_err(|refused| match refused {
                Refused::Full => Error::Internal("an end was refused for its size".to_owned()),
                Refused::Log(error) => error,
            })?;
        }
        Ok(())
    }

    /// Syncs the markers of topics that acknowledge before they sync: when the transaction is complete, nobody writes them again.
    async fn flush(&self, ended: &Transaction) -> Result<()> {
        let log = self.log.upgrade()?;
        let unsynced = ended.partitions.iter().filter_map(|place| {
            let topic = log.topic_by_id(place.0)?;
            topic.config().flush_ms?;
            topic.partition(place.1).ok().cloned()
        });
        let unsynced: Vec<Partition> = unsynced.collect();
        drop(log);
        if unsynced.is_empty() {
            return Ok(());
        }
        let flush = move || {
            let mut flushed = unsynced
                .iter()
                .map(|partition| gone_is_done(partition.flush()));
            flushed.try_for_each(|flushed| flushed.map(|_| ()))
        };
        let flushed = tokio::task::spawn_blocking(flush).await;
        flushed.unwrap_or_else(|error| Err(Error::Internal(error.to_string())))
    }

    /// Aborts what is open in a partition and is not of an open transaction that has the partition. Nobody could end it, and it
    /// would hold back readers for ever. This is so only when a part of the log's folder was lost or restored.
    fn abort_strays(&self, log: &TopicLog, found: &[(String, Transaction)]) -> Result<()> {
        let mut by_producer: HashMap<i64, &Transaction> = HashMap::new();
        for (_, transaction) in found {
            by_producer.insert(transaction.producer.producer_id, transaction);
        }
        for topic in log.topics() {
            for partition in topic.partitions() {
                let place = (topic.id(), partition.id());
                for (producer_id, open) in partition.open_transactions() {
                    let known = by_producer.get(&producer_id);
                    if known.is_some_and(|transaction| transaction.partitions.contains(&place)) {
                        continue;
                    }
                    tracing::warn!(
                        topic = %topic.name(),
                        partition = %partition.id(),
                        producer_id,
                        first_offset = %open.first,
                        "aborts a transaction that is not known"
                    );
                    let marker = Marker {
                        producer_id,
                        epoch: open.epoch,
                        outcome: Outcome::Abort,
                        coordinator_epoch: 0,
                    };
                    partition.append_marker(&marker, self.clock.now_ms())?;
                }
            }
        }
        Ok(())
    }
}

fn partition_at(log: &TopicLog, (topic, partition): &Place) -> Option<Partition> {
    let topic = log.topic_by_id(*topic)?;
    topic.partition(*partition).ok().cloned()
}

/// What is to be told to a topic that was deleted need not be told.
fn gone_is_done<T>(told: Result<T>) -> Result<Option<T>> {
    match told {
        Ok(told) => Ok(Some(told)),
        Err(Error::TopicNotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
