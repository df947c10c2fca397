//! State that outlives a restart.
//!
//! Each job has a keyspace of its own in one `fjall` database. A checkpoint writes what its operators changed since the one before,
//! and with it the position that the state is true of, in one batch, which a crash leaves whole or not at all. What is there may
//! be let go from memory: the operators look it up when they need it again. So one mechanism serves for checkpoints, for going on
//! after a crash, and for state that is larger than memory.

mod manifest;
mod store;

pub(crate) use manifest::Manifest;
pub use store::{Checkpoints, JobStore};
pub(crate) use store::{Saving, Shelf};
