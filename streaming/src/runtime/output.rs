//! Where a job's changes go: into the table of a view, or away.

use std::fmt;
use std::time::Instant;

use futures::future::BoxFuture;
use weir_base::{Offset, OffsetVector};
use weir_topics::Topic;

use super::sink::ViewSink;
use crate::delta::Delta;
use crate::error::Result;

/// Where a job's changes go.
#[derive(Debug)]
pub enum Output {
    /// Into the table of a view, which others of its group may read.
    View(ViewSink),
    /// Away: nobody in a group reads it.
    Sink(Box<dyn Sink>),
}

/// What takes a query's changes away, and remembers how far it is.
///
/// What it has written, read in order, is what the query's changes come to up to a position: nothing is missing and nothing is
/// there twice, whatever ended the process.
pub trait Sink: fmt::Debug + Send {
    /// Makes sure that nothing of an earlier attempt is on its way any more, and says what was written.
    ///
    /// # Errors
    /// When that cannot be found out; it may be asked once more.
    fn settle(&mut self) -> BoxFuture<'_, Result<Written>>;

    /// Writes a change, and with it the position that it leads to: both, or neither.
    ///
    /// # Errors
    /// When that failed. What became of it, [`Sink::settle`] says.
    fn take<'a>(
        &'a mut self,
        delta: &'a Delta,
        position: &'a OffsetVector,
    ) -> BoxFuture<'a, Result<()>>;

    /// Writes what it has kept back, at the latest when that is due.
    ///
    /// # Errors
    /// As [`Sink::take`].
    fn flush(&mut self) -> BoxFuture<'_, Result<()>>;

    /// The position that a start would go on from: before it, nothing is needed any more.
    fn kept_from(&self) -> Option<&OffsetVector>;

    /// Whether it keeps nothing back.
    fn is_whole(&self) -> bool;

    /// When what it keeps back is due to be written, if that is ever.
    fn due(&self) -> Option<Instant>;
}

/// What a sink has written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// Up to where all is there; none where nothing was written.
    pub up_to: Option<OffsetVector>,
    /// Where a write from there leads that may have happened. It is done again as it was, in one step.
    pub begun: Option<OffsetVector>,
}

impl Output {
    /// The topic of what is written, where others of the group may read it.
    pub(super) fn topic(&self) -> Option<&Topic> {
        match self {
            Self::View(view) => Some(view.table().topic()),
            Self::Sink(_) => None,
        }
    }

    /// Where that topic ends.
    pub(super) fn end(&self) -> Offset {
        match self {
            Self::View(view) => view.table().stable_offset(),
            Self::Sink(_) => Offset::ZERO,
        }
    }

    /// Takes in the change that leads to a position. Answers where the topic ends then.
    pub(super) async fn take(&mut self, delta: &Delta, position: &OffsetVector) -> Result<Offset> {
        match self {
            Self::View(view) => view.take(delta, position).await,
            Self::Sink(sink) => {
                sink.take(delta, position).await?;
                Ok(Offset::ZERO)
            }
        }
    }

    /// Takes in the change that leads to a position, on the way to where it is to be shown: what comes and goes on the way need not
    /// be put out.
    pub(super) async fn gather(
        &mut self,
        delta: &Delta,
        position: &OffsetVector,
    ) -> Result<Offset> {
        match self {
            Self::View(view) => view.gather(delta, position).await,
            Self::Sink(_) => self.take(delta, position).await,
        }
    }

    /// Whether what was put out can be made to be what was computed, at any time.
    pub(super) fn is_whole(&self) -> bool {
        match self {
            Self::View(view) => !view.is_unknown(),
            // What it keeps back, a checkpoint would say was written.
            Self::Sink(sink) => sink.is_whole(),
        }
    }

    /// Shows what was taken so far. Answers where the topic ends then.
    pub(super) async fn show(&mut self, position: &OffsetVector) -> Result<Offset> {
        match self {
            Self::View(view) => view.show(position).await,
            // It has been written already.
            Self::Sink(_) => Ok(Offset::ZERO),
        }
    }
}

impl From<ViewSink> for Output {
    fn from(view: ViewSink) -> Self {
        Self::View(view)
    }
}
