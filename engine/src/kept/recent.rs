//! A map that holds so much and no more.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// Values by their keys. Where there is no room for another, the one goes that was asked for the longest ago.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    entries: HashMap<K, (u64, V)>,
    /// Counts what is asked for: the age of a value is when it was asked for last.
    clock: u64,
    max: usize,
}

impl<K: Hash + Eq, V> Recent<K, V> {
    pub(super) fn new(max: usize) -> Self {
        Self {
            entries: HashMap::new(),
            clock: 0,
            max,
        }
    }

    pub(super) fn get_mut<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let (asked, value) = self.entries.get_mut(key)?;
        self.clock += 1;
        *asked = self.clock;
        Some(value)
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        if self.entries.len() >= self.max {
            let oldest = self.entries.values().map(|(asked, _)| *asked).min();
            self.entries.retain(|_, (asked, _)| Some(*asked) != oldest);
        }
        self.clock += 1;
        self.entries.insert(key, (self.clock, value));
    }

    /// Empties it. What it held is given, for who must not let go of it here.
    pub(super) fn take(&mut self) -> Vec<V> {
        let entries = self.entries.drain();
        entries.map(|(_, (_, value))| value).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_nobody_asks_for_makes_room() {
        let mut recent = Recent::new(2);
        recent.insert("a", 1);
        recent.insert("b", 2);
        assert_eq!(recent.get_mut("a"), Some(&mut 1));
        recent.insert("c", 3);
        assert_eq!(recent.get_mut("b"), None);
        assert_eq!(recent.get_mut("a"), Some(&mut 1));
        assert_eq!(recent.get_mut("c"), Some(&mut 3));
    }
}
