//! State that outlives a restart.
//!
//! Each job has a keyspace of its own in one `fjall` database. A checkpoint writes what its operators changed since the one before,
//! and with it the position that the state is true of, in one batch, which a crash leaves whole or not at all. What is there may
//! be let go from memory: the operators look it up when they need it again. So one mechanism serves for checkpoints, for going on
//! after a crash, and for state that is larger than memory.
//!
//! Where there is an object store for them, checkpoints are copied there (`copies`).
//!
//! What changed is taken from the operators between two steps, in memory, and written while they take the next ones.

mod copies;
mod flight;
#[cfg(test)]
mod held;
mod manifest;
mod store;

pub use copies::{CopyProgress, CopyState};
pub(crate) use flight::Flight;
#[cfg(test)]
pub(crate) use held::Barrier;
pub(crate) use manifest::Manifest;
pub use store::{Checkpoints, JobStore};
pub(crate) use store::{Saving, Shelf};
