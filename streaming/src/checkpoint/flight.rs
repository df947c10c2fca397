//! A checkpoint on its way to the disk.
//!
//! What it writes was taken from the operators between two steps, and they go on while it is written: who reads the store meanwhile
//! sees it as if it were there already.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::OnceLock;

use fjall::{UserKey, UserValue};
use tokio::task::JoinHandle;

use super::store::JobStore;
use crate::error::{Error, Result};

/// What a checkpoint writes: values, and keys that go.
#[derive(Debug, Default)]
pub(super) struct Writes {
    /// As they were made; of two with one key, the later one holds.
    made: Vec<(UserKey, Option<UserValue>)>,
    /// The same by their keys, from when somebody first looks for one.
    by_key: OnceLock<BTreeMap<UserKey, Option<UserValue>>>,
}

impl Writes {
    pub(super) fn push(&mut self, key: impl Into<UserKey>, value: Option<UserValue>) {
        self.made.push((key.into(), value));
    }

    /// In the order in which they were made.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&UserKey, Option<&UserValue>)> {
        self.made.iter().map(|(key, value)| (key, value.as_ref()))
    }

    /// What becomes of a key; none if nothing does.
    pub(super) fn get(&self, key: &[u8]) -> Option<Option<&UserValue>> {
        self.by_key().get(key).map(Option::as_ref)
    }

    /// What becomes of the keys with a prefix, in their order.
    pub(super) fn under<'a>(
        &'a self,
        prefix: &'a [u8],
    ) -> impl Iterator<Item = (&'a UserKey, Option<&'a UserValue>)> {
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let found = self.by_key().range::<[u8], _>(from);
        found
            .take_while(move |(key, _)| key.starts_with(prefix))
            .map(|(key, value)| (key, value.as_ref()))
    }

    fn by_key(&self) -> &BTreeMap<UserKey, Option<UserValue>> {
        // Of equal keys, a map keeps the one that comes last.
        self.by_key
            .get_or_init(|| self.made.iter().cloned().collect())
    }
}

/// A checkpoint that is being written.
#[derive(Debug)]
pub(crate) struct Flight {
    store: JobStore,
    task: JoinHandle<Result<()>>,
    /// What became of it, when that has been heard.
    outcome: Option<Result<()>>,
}

impl Flight {
    pub(super) fn new(store: JobStore, task: JoinHandle<Result<()>>) -> Self {
        Self {
            store,
            task,
            outcome: None,
        }
    }

    /// Whether it is written, or has failed.
    pub(crate) fn has_ended(&self) -> bool {
        self.outcome.is_some() || self.task.is_finished()
    }

    /// Waits until it is written, or has failed.
    pub(crate) async fn ended(&mut self) {
        if self.outcome.is_some() {
            return;
        }
        let written = (&mut self.task).await;
        let written = written.map_err(|_panic| Error::Internal("a checkpoint was broken off"));
        let written = written.and_then(|written| written);
        if written.is_err() {
            self.store.break_off();
        }
        self.outcome = Some(written);
    }

    /// Waits until it is durable.
    ///
    /// # Errors
    /// When it cannot be written. Then the one before it holds, and there will be no other.
    pub(crate) async fn landed(mut self) -> Result<()> {
        self.ended().await;
        self.outcome.unwrap_or(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_of_two_writes_holds() {
        let mut writes = Writes::default();
        let one = || Some(UserValue::from([1]));
        writes.push(*b"b", one());
        writes.push(*b"ab", one());
        writes.push(*b"aa", None);
        writes.push(*b"b", None);
        assert_eq!(writes.get(b"b"), Some(None));
        assert_eq!(writes.get(b"ab"), Some(one().as_ref()));
        assert_eq!(writes.get(b"c"), None);
        let under: Vec<&[u8]> = writes.under(b"a").map(|(key, _)| key.as_ref()).collect();
        assert_eq!(under, [b"aa", b"ab"]);
        assert_eq!(writes.iter().count(), 4);
    }
}
