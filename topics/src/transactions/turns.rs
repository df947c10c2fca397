//! One at a time for each key, in the order in which they came.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

/// Who has the turn of a key, and who waits for it.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

/// The turn of a key, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    key: &'a str,
    held: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    pub(super) async fn begin<'a>(&'a self, key: &'a str) -> Turn<'a> {
        let turn = Arc::clone(self.0.lock().entry(key.to_owned()).or_default());
        Turn {
            turns: self,
            key,
            held: Some(turn.lock_owned().await),
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut turns = self.turns.0.lock();
        self.held = None;
        // Who waits has it too, and nobody can begin to wait just now.
        if turns
            .get(self.key)
            .is_some_and(|turn| Arc::strong_count(turn) == 1)
        {
            turns.remove(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_follow_one_another_and_leave_nothing() {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(async {
            let turns = Turns::default();
            let (other, order) = (turns.begin("b").await, Mutex::new(Vec::new()));
            let first = turns.begin("a").await;
            let wait = async |number| {
                let _turn = turns.begin("a").await;
                order.lock().push(number);
            };
            let end = async {
                tokio::task::yield_now().await;
                assert!(order.lock().is_empty());
                drop(first);
            };
            tokio::join!(wait(1), wait(2), wait(3), end);
            assert_eq!(*order.lock(), [1, 2, 3]);
            drop(other);
            assert!(turns.is_empty());
        });
    }
}
