//! Transactions. In: what clients begin and end by actions. Each runs in a session of the engine of its own.

/// A transaction that is open.
#[derive(Debug)]
pub(crate) struct Transaction;
