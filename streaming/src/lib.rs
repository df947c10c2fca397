//! Continuous queries: one kept plan, executed again for each step of new rows.
//!
//! A step takes every source partition from one offset to the next, runs the plan on just those rows, and ends at a vector
//! of offsets. History and tail are the same loop, so there is no seam between them, and the rows given out up to a
//! position are those that the same plan gives over the prefix which ends there.
//!
//! Here are *stateless* queries: filters, projections, `UNION ALL`, and joins against tables that do not change. What needs
//! state (aggregates, joins of streams, ordering) is refused by name. The crate never sees SQL text or a socket. Start at
//! [`LiveQuery`].

mod error;
mod live;
mod stateless;

#[cfg(test)]
mod tests;

pub use error::{Error, Result};
pub use live::{LiveQuery, Step};
