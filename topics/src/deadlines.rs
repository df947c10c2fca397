//! Deadlines by what they are for: the next one is found at once.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

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
