//! Continuous queries: one kept plan, executed again for each step of new rows.
//!
//! A step takes every source partition from one offset to the next, runs the plan on just those rows, and ends at a vector
//! of offsets. History and tail are the same loop, so there is no seam between them, and the rows given out up to a
//! position are those that the same plan gives over the prefix which ends there.
//!
//! [`Job`]s keep views, in [`Group`]s that go in step, or feed sinks, each by a [`Feed`] of its own.
//!
//! There are two kinds. [`LiveQuery`] runs *stateless* queries (filters, projections, `UNION ALL`, joins against tables that do not
//! change) by one kept plan. [`Dataflow`] runs all others, by operators that remember what they need. The crate never sees SQL text
//! or a socket.

mod asof;
mod checkpoint;
mod dataflow;
mod delta;
mod error;
mod event_time;
mod guard;
mod live;
mod operators;
mod planning;
mod runtime;
mod sinks;
mod sources;
mod state;
mod stateless;

#[cfg(test)]
mod law;
#[cfg(test)]
mod tests;

pub use asof::{AsOfJoin, AsOfPlanner, Nearest};
pub use checkpoint::{Checkpoints, CopyProgress, CopyState, JobStore};
pub use dataflow::Dataflow;
pub use delta::Delta;
pub use error::{Error, Result};
pub use event_time::{WatermarkedStream, WindowClose, Windows, close_windows, late_rows};
pub use guard::{GuardExec, guarded};
pub use live::{LiveQuery, Step};
pub use operators::{Description, Follows, OnRowError, OperatorStatus, Spent, StateSize};
pub use planning::unique_key;
pub use runtime::{
    Failed, Feed, Gathered, Group, Holds, Job, JobId, JobStatus, Moved, Output, Positions, Sink,
    Upkeep, ViewSink, Written, components,
};
pub use sinks::{FileSink, Rollover, RowCheck, TableSink, TopicSink};
pub use stateless::stateless_plan;
