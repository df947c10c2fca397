//! The threads that look after a log: one syncs what was acknowledged before (`flush_ms`), the other now and then goes round all
//! topics for retention, compaction and segments that are to be closed. They sleep until something is due.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::partition::Partition;
use crate::shared::Shared;
use crate::{Error, Result};

/// How much later than others rounds are scheduled: after queries and views, which have 5.
const ROUND_NICE: i32 = 10;

/// What is due, and when. Of the log, not of a topic.
#[derive(Debug, Default)]
pub(crate) struct Upkeep {
    due: Mutex<Due>,
    changed: Condvar,
    /// When rounds begin, or end.
    rounds: Condvar,
    /// Held for a round, so that there is one at a time.
    round: Mutex<()>,
}

#[derive(Debug, Default)]
struct Due {
    /// Partitions by when they must be synced, and by their number.
    flushes: BTreeMap<(Instant, u64), Partition>,
    /// The numbers of those partitions.
    flushing: HashSet<u64>,
    /// When the next round is due; none until rounds have begun.
    next_round: Option<Instant>,
    closing: bool,
}

impl Upkeep {
    /// Has a partition synced within so many milliseconds, or when it is due already.
    pub(crate) fn flush_within(&self, flush_ms: u64, partition: &Partition) {
        let now = Instant::now();
        let mut due = self.due.lock();
        if !due.flushing.insert(partition.number()) {
            return;
        }
        // A time that no clock will show waits for the close.
        let at = now
            .checked_add(Duration::from_millis(flush_ms))
            .unwrap_or(now + Duration::from_hours(24 * 365));
        due.flushes
            .insert((at, partition.number()), partition.clone());
        drop(due);
        self.changed.notify_all();
    }

    /// Starts the threads: one that syncs, and one that does `round` every `interval` once rounds have begun. That one lets others go
    /// first: it has time, and writers and queries have not.
    pub(crate) fn start(
        shared: &Arc<Shared>,
        interval: Duration,
        round: impl Fn() + Send + 'static,
    ) -> io::Result<Vec<JoinHandle<()>>> {
        let syncing = Arc::clone(shared);
        let sync = std::thread::Builder::new()
            .name("topics-sync".to_owned())
            .spawn(move || syncing.upkeep.sync_when_due())?;
        let shared = Arc::clone(shared);
        let rounds = std::thread::Builder::new()
            .name("topics-upkeep".to_owned())
            .spawn(move || {
                weir_base::lower_priority(ROUND_NICE);
                shared.upkeep.go_rounds(interval, || {
                    if catch_unwind(AssertUnwindSafe(&round)).is_err() {
                        shared.stop("the upkeep met a defect".to_owned());
                    }
                });
            });
        // If there is no second one, the caller closes the log, and the first ends.
        Ok(vec![sync, rounds?])
    }

    /// Has the thread begin its rounds.
    pub(crate) fn begin_rounds(&self, interval: Duration) {
        let first = Instant::now() + interval;
        self.due.lock().next_round.get_or_insert(first);
        self.rounds.notify_all();
    }

    /// Has the thread sync what waits for it, and end.
    pub(crate) fn begin_close(&self) {
        self.due.lock().closing = true;
        self.changed.notify_all();
        self.rounds.notify_all();
    }

    /// Does `work` for each partition, one round at a time. All get their turn; the first error is the answer.
    pub(crate) fn go_round(
        &self,
        partitions: &[Partition],
        mut work: impl FnMut(&Partition) -> Result<()>,
    ) -> Result<()> {
        let _round = self.round.lock();
        let mut done = Ok(());
        for partition in partitions {
            match work(partition) {
                // Deleted a moment ago.
                Err(Error::TopicNotFound(_)) => {}
                result => done = done.and(result),
            }
        }
        done
    }

    fn sync_when_due(&self) {
        let mut due = self.due.lock();
        loop {
            let first = due.flushes.first_key_value().map(|((at, _), _)| *at);
            let is_due = first.is_some_and(|at| at <= Instant::now() || due.closing);
            if is_due {
                if let Some(((_, number), partition)) = due.flushes.pop_first() {
                    due.flushing.remove(&number);
                    drop(due);
                    // A failure has stopped the log, which has said so.
                    let _ = partition.flush();
                    due = self.due.lock();
                }
            } else if due.closing {
                return;
            } else {
                match first {
                    Some(until) => {
                        self.changed.wait_until(&mut due, until);
                    }
                    None => self.changed.wait(&mut due),
                }
            }
        }
    }

    fn go_rounds(&self, interval: Duration, round: impl Fn()) {
        let mut due = self.due.lock();
        while !due.closing {
            match due.next_round {
                Some(at) if at <= Instant::now() => {
                    drop(due);
                    round();
                    due = self.due.lock();
                    due.next_round = Some(Instant::now() + interval);
                }
                Some(at) => {
                    self.rounds.wait_until(&mut due, at);
                }
                None => self.rounds.wait(&mut due),
            }
        }
    }
}
