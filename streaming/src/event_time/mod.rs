//! Event time: how far the time that rows tell of has come, and windows that close when it has passed them.
//!
//! The *watermark of a partition* is the largest value so far of the stream's watermark expression over the partition's rows, in
//! the order of their offsets; nulls have no say, and the rows of one record come at once. The *watermark of a query* is the smallest one of all partitions that it reads;
//! while one of them has none, there is none.
//!
//! A row is *late* for a window when the watermark of its own partition, of the rows before it, has already reached the window's
//! end. A window *closes* when the query's watermark has reached its end. Every row that comes after that is late for it, so what a
//! closed window has is decided by the rows of each partition alone: by no interleaving, and by no cut of steps.
//!
//! A session has no end before it is over. So a row is late for its session when its partition's watermark has passed the row's own
//! time, and a session closes when the query's watermark has passed its end: a row that is not late comes behind it then.
//!
//! [`close_windows`] makes a query one over windows that have closed, and [`late_rows`] one of the rows that were late. Start at
//! [`WindowClose`].

mod carry;
mod close;
mod exec;
mod late;
#[cfg(test)]
mod law;
mod marking;
mod marks;
mod source;
mod stream;
#[cfg(test)]
mod tests;
mod time;

pub(crate) use carry::carry;
pub(crate) use close::as_window_close;
pub use close::{WindowClose, Windows, close_windows};
pub use late::late_rows;
pub(crate) use marking::Reading;
pub(crate) use marks::{check, closing_below, is_by_window};
pub(crate) use source::{EventSource, EventTime, Now, Own, Rows};
pub use stream::WatermarkedStream;
pub(crate) use time::{as_times, nanos_per_unit, native};

/// The column that carries the watermark of a row's partition before the row: nanoseconds since 1970-01-01 00:00:00 UTC, as a
/// decimal without fraction.
pub(crate) const WATERMARK: &str = "$watermark";
/// The column that carries the end of a row's window to where rows are grouped.
pub(crate) const WINDOW_END: &str = "$window_end";
