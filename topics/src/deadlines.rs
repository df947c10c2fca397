//! Deadlines by what they are for: the next one is found at once; and the task that looks after them.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// The longest sleep of a task that looks after deadlines.
const SLEEP_MS_MAX: i64 = 3_600_000;

/// Each key has one deadline or none, in milliseconds since the epoch.
#[derive(Debug)]
pub(crate) struct Deadlines<K> {
    ordered: BTreeSet<(i64, K)>,
    by_key: HashMap<K, i64>,
}

impl<K> Default for Deadlines<K> {
    fn default() -> Self {
        Self {
            ordered: BTreeSet::new(),
            by_key: HashMap::new(),
        }
    }
}

impl<K: Ord + Hash + Clone> Deadlines<K> {
    /// Sets a key's deadline, in the place of the one it had.
    pub(crate) fn set(&mut self, key: K, at_ms: i64) {
        if self.by_key.get(&key) == Some(&at_ms) {
            return;
        }
        self.clear(&key);
        self.by_key.insert(key.clone(), at_ms);
        self.ordered.insert((at_ms, key));
    }

    /// Takes a key's deadline away.
    pub(crate) fn clear(&mut self, key: &K) {
        if let Some((key, at_ms)) = self.by_key.remove_entry(key) {
            self.ordered.remove(&(at_ms, key));
        }
    }

    /// The next deadline.
    pub(crate) fn next_ms(&self) -> Option<i64> {
        self.ordered.first().map(|(at_ms, _)| *at_ms)
    }

    /// Takes out one whose time has come.
    pub(crate) fn take_due(&mut self, now_ms: i64) -> Option<K> {
        if self.next_ms()? > now_ms {
            return None;
        }
        let (_, key) = self.ordered.pop_first()?;
        self.by_key.remove(&key);
        Some(key)
    }
}

/// What has deadlines that a task looks after.
pub(crate) trait Tick: Send + Sync + 'static {
    /// Does what the time has come for, and says how long there is nothing to do; `None` when that is for ever.
    fn tick(self: &Arc<Self>) -> Option<Duration>;
}

/// The task that looks after deadlines, as long as something is there to be looked after.
#[derive(Debug)]
pub(crate) struct Tender {
    task: Option<JoinHandle<()>>,
    /// When the task wakes by itself.
    wakes_at_ms: i64,
    wake: Arc<Notify>,
}

impl Tender {
    /// None runs yet. Whoever notifies `wake` makes the task look again.
    pub(crate) fn new(wake: Arc<Notify>) -> Self {
        Self {
            task: None,
            wakes_at_ms: i64::MIN,
            wake,
        }
    }

    /// Sees to it that somebody looks at `next_ms`. Outside of a runtime nobody can; the next call does it.
    pub(crate) fn see_to<T: Tick>(&mut self, of: &Arc<T>, next_ms: i64) {
        // A task ends with its runtime.
        let runs = self.task.as_ref().is_some_and(|task| !task.is_finished());
        if !runs && let Ok(runtime) = Handle::try_current() {
            let (of, wake) = (Arc::downgrade(of), Arc::clone(&self.wake));
            self.task = Some(runtime.spawn(tend(of, wake)));
        } else if next_ms < self.wakes_at_ms {
            self.wake.notify_one();
        }
    }

    /// The task, which is forgotten here.
    #[cfg(test)]
    pub(crate) fn take_task(&mut self) -> Option<JoinHandle<()>> {
        self.task.take()
    }

    /// How long the task may sleep, which it is about to do.
    pub(crate) fn sleep(&mut self, next_ms: Option<i64>, now_ms: i64) -> Duration {
        let sleep_ms = next_ms.map_or(SLEEP_MS_MAX, |at_ms| at_ms.saturating_sub(now_ms));
        let sleep_ms = sleep_ms.clamp(1, SLEEP_MS_MAX);
        self.wakes_at_ms = now_ms.saturating_add(sleep_ms);
        Duration::from_millis(sleep_ms.unsigned_abs())
    }
}

/// Looks after deadlines until what has them is gone. While it sleeps, it keeps nothing alive.
async fn tend<T: Tick>(of: Weak<T>, wake: Arc<Notify>) {
    while let Some(sleep) = of.upgrade().and_then(|of| of.tick()) {
        // Woken or not, it looks again.
        let _ = tokio::time::timeout(sleep, wake.notified()).await;
    }
}
