//! Stopping what another connection does: by the number and the secret that its client was given.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use parking_lot::Mutex;
use subtle::ConstantTimeEq;
use tokio_util::sync::CancellationToken;

/// Bytes of a secret: what protocol 3.0 has room for.
const SECRET_BYTES: usize = 4;

/// The connections that are open.
#[derive(Debug, Default)]
pub(super) struct Connections {
    next: AtomicI32,
    open: Mutex<HashMap<i32, Entry>>,
}

#[derive(Debug)]
struct Entry {
    secret: [u8; SECRET_BYTES],
    stop: Stop,
}

/// What a connection looks at while it works.
#[derive(Debug, Clone, Default)]
pub(super) struct Stop(Arc<Mutex<CancellationToken>>);

impl Stop {
    /// The token of what begins now: what was asked before is over.
    pub(super) fn begin(&self) -> CancellationToken {
        let mut token = self.0.lock();
        if token.is_cancelled() {
            *token = CancellationToken::new();
        }
        token.clone()
    }

    fn cancel(&self) {
        self.0.lock().cancel();
    }
}

/// A connection's place among those that are open; it leaves it when dropped.
pub(super) struct Place {
    pub(super) process: i32,
    pub(super) secret: [u8; SECRET_BYTES],
    pub(super) stop: Stop,
    connections: Arc<super::Postgres>,
}

impl Connections {
    /// A place for a new connection.
    pub(super) fn enter(door: &Arc<super::Postgres>) -> Place {
        let this = &door.connections;
        let secret: [u8; SECRET_BYTES] = rand::random();
        let stop = Stop::default();
        let mut open = this.open.lock();
        let process = loop {
            // From 1 on; after two billion connections, around again.
            let number = this.next.fetch_add(1, Ordering::Relaxed) & i32::MAX;
            let number = number.checked_add(1).unwrap_or(1);
            if !open.contains_key(&number) {
                break number;
            }
        };
        open.insert(
            process,
            Entry {
                secret,
                stop: stop.clone(),
            },
        );
        drop(open);
        Place {
            process,
            secret,
            stop,
            connections: Arc::clone(door),
        }
    }

    /// Stops what a connection does, if the secret is its own. Nobody is told whether it was.
    pub(super) fn cancel(&self, process: i32, secret: &[u8]) {
        let open = self.open.lock();
        if let Some(entry) = open.get(&process)
            && bool::from(entry.secret.as_slice().ct_eq(secret))
        {
            entry.stop.cancel();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections
            .connections
            .open
            .lock()
            .remove(&self.process);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_is_for_what_runs_and_not_for_what_comes() {
        let stop = Stop::default();
        let first = stop.begin();
        stop.cancel();
        assert!(first.is_cancelled());
        assert!(!stop.begin().is_cancelled());
    }
}
