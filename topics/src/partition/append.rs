//! Appending: offsets are given at once, the disk comes later, many appends in one sync.

use std::collections::VecDeque;

use tokio::sync::oneshot;
use weir_base::Offset;

use super::Partition;
use crate::producers::Rejected;
use crate::remembered::Remembered;
use crate::tokens::Written;
use crate::{EncodedBatch, Error, Fingerprint, IdempotencyToken, Result};

/// A batch that has its offsets and is on its way to the disk.
#[derive(Debug)]
#[must_use = "an append is acknowledged only when `durable` has answered"]
pub struct Appended {
    /// The first record's offset.
    pub base_offset: Offset,
    /// How many records there are.
    pub record_count: u32,
    /// Whether the token was known: nothing was written, and the offsets are those of the first append under it.
    pub duplicate: bool,
    /// `None` when it is on disk already.
    synced: Option<oneshot::Receiver<Result<()>>>,
}

/// Where a partition stands, seen in one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The exclusive end of what is on disk.
    pub stable: Offset,
    /// The offset that the next record will have.
    pub next: Offset,
    /// How often the partition has given up what was not on disk. Offsets from `stable` on mean the same records only as
    /// long as this stays as it is.
    pub given_up: u64,
}

/// What was appended and is not yet on disk.
#[derive(Debug)]
pub(super) struct Queue {
    /// The offset of the next record.
    pub(super) next: Offset,
    pub(super) pending: VecDeque<Pending>,
    /// Of all that is not on disk, also of what a writer has in hand.
    pub(super) pending_bytes: u64,
    /// Who waits for the stable offset to come this far; in order of offset.
    waiting: VecDeque<(Offset, oneshot::Sender<Result<()>>)>,
    pub(super) remembered: Remembered,
    /// How often what was pending has been given up.
    pub(super) given_up: u64,
    /// Whether the partition is in line for a writer, or has one.
    pub(super) scheduled: bool,
}

/// A batch in line.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) base: Offset,
    pub(super) batch: EncodedBatch,
}

impl Pending {
    /// Gives the batch its offsets.
    pub(super) fn new(base: Offset, mut batch: EncodedBatch) -> Self {
        batch.place_at(base);
        Self { base, batch }
    }

    pub(super) fn end(&self) -> Offset {
        Offset(self.base.0 + i64::from(self.batch.record_count()))
    }
}

impl Appended {
    /// Waits until the batch is on disk, or written where the topic has `flush_ms`; answers its first offset and its exclusive end.
    ///
    /// # Errors
    /// [`Error::DiskFull`] and [`Error::Io`] when nothing of it was kept, so that a later try may succeed; [`Error::Stopped`] when a write or sync failed, so that it may or may
    /// not be there after a restart; [`Error::TopicNotFound`] when the topic was deleted meanwhile.
    pub async fn durable(self) -> Result<(Offset, Offset)> {
        if let Some(synced) = self.synced {
            synced.await.unwrap_or(Err(Error::Closed))?;
        }
        let end = Offset(self.base_offset.0 + i64::from(self.record_count));
        Ok((self.base_offset, end))
    }
}

impl Queue {
    pub(super) fn new(next: Offset, remembered: Remembered) -> Self {
        Self {
            next,
            pending: VecDeque::new(),
            pending_bytes: 0,
            waiting: VecDeque::new(),
            remembered,
            given_up: 0,
            scheduled: false,
        }
    }

    /// Puts a batch in line.
    pub(super) fn push(&mut self, pending: Pending) -> Appended {
        let (base_offset, record_count) = (pending.base, pending.batch.record_count());
        self.next = pending.end();
        self.pending_bytes += pending.batch.size_bytes() as u64;
        let synced = self.wait_for(pending.end());
        self.pending.push_back(pending);
        Appended {
            base_offset,
            record_count,
            duplicate: false,
            synced: Some(synced),
        }
    }

    /// A wait until the stable offset is at `end`. A duplicate may wait for what was appended long before the last.
    fn wait_for(&mut self, end: Offset) -> oneshot::Receiver<Result<()>> {
        let (done, synced) = oneshot::channel();
        let at = self.waiting.partition_point(|(other, _)| *other <= end);
        self.waiting.insert(at, (end, done));
        synced
    }

    /// Takes out those who waited for `end` or less.
    fn waiting_up_to(&mut self, end: Offset) -> Vec<oneshot::Sender<Result<()>>> {
        let reached = self.waiting.partition_point(|(other, _)| *other <= end);
        self.waiting
            .drain(..reached)
            .map(|(_, done)| done)
            .collect()
    }
}

impl Partition {
    /// Appends a batch: its offsets are given at once, and it is written and synced by a thread of the log, together with what
    /// others append meanwhile. Batches reach the disk in the order of their offsets, so an append need not wait for the one
    /// before it to be durable. Cheap, and never waits for the disk.
    ///
    /// With a `token` that the partition remembers, or as a batch of an idempotent producer that it remembers, nothing is written;
    /// the answer is that of the first append.
    ///
    /// # Errors
    /// [`Error::EmptyBatch`] and [`Error::BatchTooLarge`]; [`Error::KeyMissing`] when the topic is compacted, and
    /// [`Error::Batch`] when that cannot be told; [`Error::TokenReused`] when the token's name stands for something
    /// else; [`Error::OutOfSequence`] and [`Error::ProducerFenced`] when the producer's earlier batches are missing, or it has
    /// been replaced; [`Error::NotInTransaction`] when the batch is of a transaction that has not this partition (KIP-890), or of a
    /// producer that has one and is not of it; [`Error::Busy`] when too much waits already (see [`Partition::ready`]); [`Error::Stopped`], [`Error::Closed`] and
    /// [`Error::TopicNotFound`] when no more is taken.
    pub fn append(
        &self,
        batch: EncodedBatch,
        token: Option<&IdempotencyToken>,
    ) -> Result<Appended> {
        self.append_where(batch, token, None)
    }

    /// As [`Partition::append`], if the partition still stands as it did at `head`: the batch gets the offset `head.next`, and
    /// what was appended before it is what was there then.
    ///
    /// # Errors
    /// As [`Partition::append`]; [`Error::Moved`] when it does not, and nothing is appended.
    pub fn append_at(&self, batch: EncodedBatch, head: Head) -> Result<Appended> {
        self.append_where(batch, None, Some(head))
    }

    /// Whether something was appended under the token and is remembered.
    ///
    /// # Errors
    /// [`Error::TokenReused`] when the token's name stands for something else.
    pub fn remembers(&self, token: &IdempotencyToken) -> Result<bool> {
        let written = self.0.queue.lock().remembered.tokens.get(token);
        match written {
            Some(written) => self.same(token, written).map(|()| true),
            None => Ok(false),
        }
    }

    /// Waits until all that was appended before `head` was seen is on disk.
    ///
    /// # Errors
    /// As [`Appended::durable`]; [`Error::Moved`] when it was given up.
    pub async fn settled(&self, head: Head) -> Result<()> {
        if head.next <= head.stable {
            return Ok(());
        }
        let synced = {
            let mut queue = self.0.queue.lock();
            if queue.given_up != head.given_up {
                return Err(self.moved());
            }
            if head.next <= self.stable_offset() {
                return Ok(());
            }
            queue.wait_for(head.next)
        };
        synced.await.unwrap_or(Err(Error::Closed))
    }

    fn append_where(
        &self,
        batch: EncodedBatch,
        token: Option<&IdempotencyToken>,
        head: Option<Head>,
    ) -> Result<Appended> {
        if batch.record_count() == 0 {
            return Err(Error::EmptyBatch);
        }
        let settings = &self.0.shared.settings;
        let config = self.0.config.get();
        let own = config.max_message_bytes.map_or(u64::MAX, u64::from);
        let limit = own.min(settings.batch_bytes_max as u64);
        if batch.size_bytes() as u64 > limit {
            return Err(Error::BatchTooLarge {
                bytes: batch.size_bytes() as u64,
                limit,
            });
        }
        if config.cleanup.compacts() && !batch.has_keys()? {
            return Err(Error::KeyMissing {
                topic: self.0.place.topic.clone(),
            });
        }
        // The token goes into the batch, and that changes its checksum: not under the lock.
        let batch = match token {
            None => batch,
            Some(token) => match self.known(token)? {
                Some(appended) => return Ok(appended),
                None => batch.with_token(token)?,
            },
        };

        let mut queue = self.0.queue.lock();
        self.check_exists()?;
        self.0.shared.check_running()?;
        if let Some(token) = token
            && let Some(written) = queue.remembered.tokens.get(token)
        {
            self.same(token, written)?;
            return Ok(self.duplicate(&mut queue, written));
        }
        let sequence = batch.sequence();
        if let Some(sequence) = sequence {
            match queue.remembered.producers.check(sequence) {
                Ok(None) => {}
                Ok(Some(written)) => return Ok(self.duplicate(&mut queue, written)),
                Err(rejected) => return Err(self.rejected(rejected)),
            }
            let (id, epoch) = (sequence.producer_id, sequence.epoch);
            let isolation = &queue.remembered.isolation;
            let due = isolation.check(id, epoch, batch.is_transactional());
            due.map_err(|undue| self.undue(undue, id))?;
        }
        if let Some(head) = head
            && (head.next, head.given_up) != (queue.next, queue.given_up)
        {
            return Err(self.moved());
        }
        if queue.pending_bytes >= settings.pending_bytes_max as u64 {
            return Err(Error::Busy {
                topic: self.0.place.topic.clone(),
                partition: self.0.place.partition,
                bytes: queue.pending_bytes,
            });
        }
        self.schedule(&mut queue)?;
        let written = Written {
            base: queue.next,
            record_count: batch.record_count(),
            fingerprint: token.map_or_else(Fingerprint::default, IdempotencyToken::fingerprint),
        };
        let pending = Pending::new(written.base, batch);
        if let Some(token) = token {
            queue
                .remembered
                .tokens
                .insert(token.name().clone(), written);
        }
        if let Some(sequence) = sequence {
            let transactional = pending.batch.is_transactional();
            let remembered = &mut queue.remembered;
            remembered.note_produced(sequence, transactional, written.base, written.record_count);
        }
        Ok(queue.push(pending))
    }

    /// Puts the partition in line for a writer, unless it is.
    pub(super) fn schedule(&self, queue: &mut Queue) -> Result<()> {
        if !queue.scheduled {
            self.0.shared.schedule(self)?;
            queue.scheduled = true;
        }
        Ok(())
    }

    /// Waits until the partition would take one more batch, so that a fast writer goes at the disk's pace. Others may be
    /// quicker: an append right after it can still be [`Error::Busy`].
    ///
    /// # Errors
    /// As [`Partition::append`], when no more is taken.
    pub async fn ready(&self) -> Result<()> {
        let mut stable = self.watch();
        let limit = self.0.shared.settings.pending_bytes_max as u64;
        loop {
            stable.mark_unchanged();
            self.check_exists()?;
            self.0.shared.check_running()?;
            if self.0.queue.lock().pending_bytes < limit {
                return Ok(());
            }
            stable.changed().await.map_err(|_| Error::Closed)?;
        }
    }

    /// What was appended under a token before.
    fn known(&self, token: &IdempotencyToken) -> Result<Option<Appended>> {
        let mut queue = self.0.queue.lock();
        let Some(written) = queue.remembered.tokens.get(token) else {
            return Ok(None);
        };
        self.same(token, written)?;
        Ok(Some(self.duplicate(&mut queue, written)))
    }

    /// Refuses a token whose name was used for something else.
    fn same(&self, token: &IdempotencyToken, written: Written) -> Result<()> {
        if token.fingerprint() == written.fingerprint {
            return Ok(());
        }
        Err(Error::TokenReused {
            topic: self.0.place.topic.clone(),
            partition: self.0.place.partition,
            base: written.base,
        })
    }

    fn rejected(&self, rejected: Rejected) -> Error {
        let (topic, partition) = (self.0.place.topic.clone(), self.0.place.partition);
        match rejected {
            Rejected::Epoch { current } => Error::ProducerFenced {
                topic,
                partition,
                current,
            },
            Rejected::Sequence { expected } => Error::OutOfSequence {
                topic,
                partition,
                expected,
            },
        }
    }

    fn moved(&self) -> Error {
        Error::Moved {
            topic: self.0.place.topic.clone(),
            partition: self.0.place.partition,
        }
    }

    fn duplicate(&self, queue: &mut Queue, written: Written) -> Appended {
        let on_disk = written.end() <= self.stable_offset();
        Appended {
            base_offset: written.base,
            record_count: written.record_count,
            duplicate: true,
            synced: (!on_disk).then(|| queue.wait_for(written.end())),
        }
    }

    /// Moves the stable offset, and tells all who waited for it.
    pub(super) fn acknowledge(&self, end: Offset, bytes: u64) {
        let mut queue = self.0.queue.lock();
        queue.pending_bytes = queue.pending_bytes.saturating_sub(bytes);
        // Under the lock, so that nobody begins to wait for an offset that has just been passed.
        self.0.stable.send_replace(end);
        self.commit_up_to(&mut queue, end);
        let reached = queue.waiting_up_to(end);
        drop(queue);
        for done in reached {
            // Who no longer waits need not know.
            let _ = done.send(Ok(()));
        }
    }

    /// Nothing before `start` is there any more that would have to be decided.
    pub(super) fn undecided_from(&self, start: Offset) {
        let mut queue = self.0.queue.lock();
        queue.remembered.isolation.cut(start);
        self.commit_up_to(&mut queue, self.stable_offset());
    }

    /// Moves the last stable offset, if more is decided by what is on disk now.
    fn commit_up_to(&self, queue: &mut Queue, stable: Offset) {
        let isolation = &mut queue.remembered.isolation;
        isolation.settle(stable);
        let committed = isolation.last_stable(stable);
        self.0.committed.send_if_modified(|last| {
            let moved = *last < committed;
            *last = committed.max(*last);
            moved
        });
    }

    /// Gives up all that is not on disk: its offsets are free again, its tokens forgotten.
    pub(crate) fn fail_waiting(&self, error: &Error) {
        let mut queue = self.0.queue.lock();
        let stable = self.stable_offset();
        queue.next = stable;
        queue.given_up += 1;
        queue.pending.clear();
        queue.pending_bytes = 0;
        queue.scheduled = false;
        queue.remembered.truncate(stable);
        let waiting = std::mem::take(&mut queue.waiting);
        drop(queue);
        for (_, done) in waiting {
            let _ = done.send(Err(error.clone()));
        }
        // Those who wait for room, and live readers of a deleted topic, look again.
        self.0.stable.send_modify(|_| ());
        self.0.committed.send_modify(|_| ());
    }
}
