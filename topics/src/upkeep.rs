//! The thread that looks after a log: it syncs what was acknowledged before (`flush_ms`), and now and then goes round all
//! topics for retention, compaction and segments that are to be closed. It sleeps until something is due.

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

/// What is due, and when. Of the log, not of a topic.
#[derive(Debug, Default)]
pub(crate) struct Upkeep {
    due: Mutex<Due>,
    changed: Condvar,
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

    /// Starts the thread; `round` is what it does every `interval` once rounds have begun.
    pub(crate) fn start(
        shared: &Arc<Shared>,
        interval: Duration,
        round: impl Fn() + Send + 'static,
    ) -> io::Result<JoinHandle<()>> {
        let shared = Arc::clone(shared);
        std::thread::Builder::new()
            .name("topics-upkeep".to_owned())
            .spawn(move || {
                shared.upkeep.run(interval, || {
                    if catch_unwind(AssertUnwindSafe(&round)).is_err() {
                        shared.stop("the upkeep met a defect".to_owned());
                    }
                });
            })
    }

    /// Has the thread begin its rounds.
    pub(crate) fn begin_rounds(&self, interval: Duration) {
        let first = Instant::now() + interval;
        self.due.lock().next_round.get_or_insert(first);
        self.changed.notify_all();
    }

    /// Has the thread sync what waits for it, and end.
    pub(crate) fn begin_close(&self) {
        self.due.lock().closing = true;
        self.changed.notify_all();
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

    fn run(&self, interval: Duration, round: impl Fn()) {
        let mut due = self.due.lock();
        loop {
            let now = Instant::now();
            let first = due.flushes.first_key_value().map(|((at, _), _)| *at);
            if first.is_some_and(|at| at <= now || due.closing) {
                if let Some(((_, number), partition)) = due.flushes.pop_first() {
                    due.flushing.remove(&number);
                    drop(due);
                    // A failure has stopped the log, which has said so.
                    let _ = partition.flush();
                    due = self.due.lock();
                }
            } else if due.closing {
                return;
            } else if due.next_round.is_some_and(|at| at <= now) {
                drop(due);
                round();
                due = self.due.lock();
                due.next_round = Some(Instant::now() + interval);
            } else {
                match first.into_iter().chain(due.next_round).min() {
                    Some(until) => drop(self.changed.wait_until(&mut due, until)),
                    None => self.changed.wait(&mut due),
                }
            }
        }
    }
}
