//! Views that are kept: jobs that turn the changes of a query into the rows of a table, and groups of them that go in step.

mod feed;
mod group;
mod job;
mod output;
mod pace;
mod sink;

pub use feed::{Feed, Holds};
pub use group::{Failed, Gathered, Group, Moved, components};
pub use job::{Job, JobId, JobStatus, Positions, Upkeep};
pub use output::{Output, Sink, Written};
pub use sink::ViewSink;
