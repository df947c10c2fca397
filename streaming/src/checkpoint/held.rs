//! Checkpoints that tests hold on their way.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use super::Checkpoints;
use crate::error::{Error, Result};

/// Lets checkpoints through, or holds them until it does, or until they are lost as in a crash. When it is dropped, those that are held
/// are lost.
#[derive(Debug)]
pub(crate) struct Barrier(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Closed,
    Broken,
}

impl Barrier {
    /// Checkpoints behind a barrier that is open.
    pub(crate) fn before(checkpoints: Checkpoints) -> (Checkpoints, Self) {
        let inner = Arc::new(Inner {
            state: Mutex::new(State::Open),
            changed: Condvar::new(),
        });
        let barrier = Self(Arc::clone(&inner));
        (checkpoints.with_gate(move || inner.pass()), barrier)
    }

    /// Those that come from now on wait.
    pub(crate) fn hold(&self) {
        self.0.set(State::Closed);
    }

    /// All may pass.
    pub(crate) fn open(&self) {
        self.0.set(State::Open);
    }

    /// Those that wait are lost.
    pub(crate) fn lose(&self) {
        self.0.set(State::Broken);
    }
}

impl Drop for Barrier {
    fn drop(&mut self) {
        self.lose();
    }
}

impl Inner {
    fn set(&self, state: State) {
        *self.state.lock() = state;
        self.changed.notify_all();
    }

    fn pass(&self) -> Result<()> {
        let mut state = self.state.lock();
        self.changed
            .wait_while(&mut state, |state| *state == State::Closed);
        match *state {
            State::Broken => Err(Error::Internal("a checkpoint is lost")),
            _ => Ok(()),
        }
    }
}
