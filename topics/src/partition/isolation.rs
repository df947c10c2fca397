//! Transactions in a partition: who may write within one, markers, and what is decided (KIP-98, KIP-890).

use tokio::sync::watch;
use weir_base::Offset;

use super::Partition;
use super::append::{Appended, Pending};
use crate::batch::Marker;
use crate::isolation::{Aborted, Open, Undue};
use crate::{Error, Result};

/// An idempotent producer that a partition remembers (KIP-664's DescribeProducers).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerState {
    /// The producer.
    pub producer_id: i64,
    /// The epoch that it writes under.
    pub epoch: i16,
    /// The number of its last record; `None` while it has written nothing under its epoch.
    pub last_sequence: Option<i32>,
    /// The first offset of its open transaction, if it has one.
    pub transaction_start: Option<Offset>,
}

impl Partition {
    /// The exclusive end of what is decided: the stable offset, or the first offset of an open transaction, if that is before it.
    /// What lies before it is committed or aborted for good, and it never moves back.
    pub fn last_stable_offset(&self) -> Offset {
        // Both offsets move under this lock, the stable one first: who has seen that one move sees this one moved.
        let _queue = self.0.queue.lock();
        *self.0.committed.borrow()
    }

    /// The last stable offset, and a wake-up whenever it moves. It also wakes when the topic is deleted: a read then says so.
    pub fn watch_committed(&self) -> watch::Receiver<Offset> {
        self.0.committed.subscribe()
    }

    /// The aborted transactions that have offsets in `[from, to)`, for a fetch of only what is committed: it drops their batches.
    /// All of them, if `to` is not past the last stable offset.
    pub fn aborted(&self, from: Offset, to: Offset) -> Vec<Aborted> {
        self.0.queue.lock().remembered.isolation.aborted(from, to)
    }

    /// Whether the partition takes batches of the producer's transaction: its coordinator has noted that they are part of it.
    pub fn admits(&self, producer_id: i64, epoch: i16) -> bool {
        let queue = self.0.queue.lock();
        queue.remembered.isolation.admits(producer_id, epoch)
    }

    /// The idempotent producers that are remembered, in order of id.
    pub fn producers(&self) -> Vec<ProducerState> {
        let queue = self.0.queue.lock();
        let remembered = &queue.remembered;
        let known = remembered.producers.known().into_iter();
        let states = known.map(|(producer_id, producer)| ProducerState {
            producer_id,
            epoch: producer.epoch,
            last_sequence: producer.last_sequence(),
            transaction_start: remembered
                .isolation
                .open(producer_id)
                .map(|open| open.first),
        });
        states.collect()
    }

    /// Ends a producer's transaction here: from now on nothing of it is taken, and what was written is committed or not. There
    /// is nothing to be written, and so no answer, when the transaction has written nothing here or has ended already.
    ///
    /// A marker is taken however much waits to be written.
    ///
    /// # Errors
    /// [`Error::Stopped`], [`Error::Closed`] and [`Error::TopicNotFound`] when no more is taken.
    pub fn append_marker(&self, marker: &Marker, timestamp_ms: i64) -> Result<Option<Appended>> {
        let batch = marker.encode(timestamp_ms)?;
        let mut queue = self.0.queue.lock();
        self.check_exists()?;
        self.0.shared.check_running()?;
        queue.remembered.isolation.dismiss(marker.producer_id);
        if queue
            .remembered
            .isolation
            .open(marker.producer_id)
            .is_none()
        {
            return Ok(None);
        }
        self.schedule(&mut queue)?;
        let pending = Pending::new(queue.next, batch);
        queue.remembered.note_marker(marker, pending.base);
        Ok(Some(queue.push(pending)))
    }

    /// Takes batches of the producer's transaction from now on.
    pub(crate) fn admit(&self, producer_id: i64, epoch: i16) {
        let mut queue = self.0.queue.lock();
        queue.remembered.isolation.admit(producer_id, epoch);
    }

    /// The transactions that are open here, by producer.
    pub(crate) fn open_transactions(&self) -> Vec<(i64, Open)> {
        self.0.queue.lock().remembered.isolation.all_open()
    }

    pub(super) fn undue(&self, undue: Undue, producer_id: i64) -> Error {
        let (topic, partition) = (self.0.place.topic.clone(), self.0.place.partition);
        match undue {
            Undue::Epoch { current } => Error::ProducerFenced {
                topic,
                partition,
                current,
            },
            Undue::Transaction => Error::NotInTransaction {
                topic,
                partition,
                producer_id,
            },
        }
    }
}
