//! A job that feeds a sink: its query's changes, step by step, each written before the next is computed.
//!
//! It is no part of a group: a sink that is slow or away must hold up no view. What it reads of views it reads from their topics, up
//! to where they are shown.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use weir_base::{Kind, OffsetVector, TopicId};
use weir_topics::{Pin, Topic};

use super::job::{Job, Positions};
use super::output::{Output, Sink, Written};
use crate::delta::Delta;
use crate::error::{Error, Result};

/// Rows of sources after which it is noted that nothing came of them.
const IDLE_ROWS: u64 = 10_000;

/// The tables that a sink reads, kept as they were at the position that a start would go on from: from what a table has become
/// since, nobody could say what it was. Clones hold the same.
#[derive(Debug, Clone, Default)]
pub struct Holds(Arc<Mutex<Vec<Pin>>>);

impl Holds {
    /// Holds a table from its beginning on, unless it is held already.
    pub fn hold(&self, table: &Topic) {
        let mut pins = self.0.lock();
        for partition in table.partitions() {
            let is_held = |pin: &Pin| {
                pin.partition().topic() == partition.topic()
                    && pin.partition().id() == partition.id()
            };
            if !pins.iter().any(is_held) {
                pins.push(partition.pin());
            }
        }
    }

    /// Lets go of what is before a position.
    fn advance(&self, from: &OffsetVector) {
        for pin in self.0.lock().iter_mut() {
            let partition = pin.partition();
            if let Some(offset) = from.end(partition.topic(), partition.id()) {
                pin.advance(offset);
            }
        }
    }
}

/// Feeds a sink.
#[derive(Debug)]
pub struct Feed {
    job: Job,
    /// The change that is to be written, and where it leads.
    pending: Option<(Delta, OffsetVector)>,
    /// Where the sink was brought to.
    given: Option<OffsetVector>,
    holds: Holds,
}

impl Feed {
    /// Of a job whose output is a sink, and which has done nothing yet. `holds` outlives it, so that another can go on where it ends.
    pub fn new(job: Job, holds: Holds) -> Self {
        let tables = job.dataflow.reads().iter().filter(|read| read.has_keys());
        tables.for_each(|read| holds.hold(read.topic()));
        Self {
            holds,
            job,
            pending: None,
            given: None,
        }
    }

    /// The job.
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// Finds out what was written, and computes the query up to there.
    ///
    /// # Errors
    /// When the sink cannot say it (*unavailable*: it may be tried again), or the query fails.
    pub async fn open(&mut self) -> Result<()> {
        let Written { up_to, begun } = self.sink()?.settle().await?;
        // A checkpoint may be behind it, of rows that nothing came of.
        if let Some(up_to) = &up_to
            && !self.job.dataflow.is_at(up_to)
        {
            self.job.dataflow.go_to(up_to).await?;
        }
        self.given = up_to;
        self.let_go();
        if let Some(begun) = begun {
            let delta = self.job.dataflow.step_to(&begun).await?;
            self.pending = Some((delta, begun));
        }
        Ok(())
    }

    /// Waits until it may take its next step.
    pub fn turn(&self) -> impl Future<Output = ()> + Send + use<> {
        self.job.turn()
    }

    /// Whether something is to be written before it can go on.
    pub fn owes(&self) -> bool {
        let is_due = self.due().is_some_and(|due| due <= Instant::now());
        self.pending.is_some() || is_due
    }

    /// When what the sink keeps back is due.
    fn due(&self) -> Option<Instant> {
        match &self.job.output {
            Output::Sink(sink) => sink.due(),
            Output::View(_) => None,
        }
    }

    /// When it is to go on though no rows come: what the sink keeps back is due, or a checkpoint is.
    pub fn wakes_at(&self) -> Option<Instant> {
        let unsaved = self.job.checkpoint_in().filter(|_| self.pending.is_none());
        let checkpoint = unsaved.map(|rest| Instant::now() + rest);
        self.due().into_iter().chain(checkpoint).min()
    }

    /// Waits for rows of those of its sources that are not among `others`, or until a checkpoint is written.
    ///
    /// # Errors
    /// When a source was dropped, or has got more partitions.
    pub async fn ready_but(&mut self, others: &[TopicId]) -> Result<()> {
        self.job.dataflow.ready_but(others).await
    }

    /// Computes a step through what is there, of some topics no more than what is shown; says whether there was anything. What comes of
    /// it is owed then.
    ///
    /// # Errors
    /// When a row cannot be read or computed, or a source was dropped or has grown. It cannot go on then.
    pub async fn step(&mut self, shown: Option<&Positions>) -> Result<bool> {
        let to = self.job.dataflow.position_within(shown)?;
        if self.pending.is_some() || self.job.dataflow.is_at(&to) {
            return Ok(false);
        }
        let delta = self.job.compute(&to).await?;
        let position = self.job.dataflow.position();
        if !delta.is_empty() || rows_between(self.given.as_ref(), &position) >= IDLE_ROWS {
            self.pending = Some((delta, position));
        }
        Ok(true)
    }

    /// Writes what is owed.
    ///
    /// # Errors
    /// When it could not be written. [`Feed::settle`] finds out what became of it.
    pub async fn write(&mut self) -> Result<()> {
        if let Some((delta, position)) = &self.pending {
            let Output::Sink(sink) = &mut self.job.output else {
                return Err(no_sink());
            };
            sink.take(delta, position).await?;
            self.given = self.pending.take().map(|(_, position)| position);
        }
        if self.owes() {
            self.sink()?.flush().await?;
        }
        self.let_go();
        Ok(())
    }

    /// Saves the query's state, if it is time for that and all of it is written.
    ///
    /// # Errors
    /// When the state cannot be read again. The job cannot go on then.
    pub async fn tend(&mut self) -> Result<()> {
        match self.pending {
            None => self.job.tend().await,
            Some(_) => Ok(()),
        }
    }

    /// Saves the query's state, if all of it is written, before the job ends.
    ///
    /// # Errors
    /// As [`Feed::tend`].
    pub async fn save(mut self) -> Result<()> {
        match self.pending {
            None => self.job.checkpoint().await,
            Some(_) => Ok(()),
        }
    }

    /// After a failed write: finds out whether it has happened all the same.
    ///
    /// # Errors
    /// When that cannot be found out; of kind *conflict* when something else was written, so that the job must begin anew.
    pub async fn settle(&mut self) -> Result<()> {
        let Written { up_to, .. } = self.sink()?.settle().await?;
        if up_to == self.given {
            return Ok(());
        }
        if self.pending.as_ref().map(|(_, position)| position) == up_to.as_ref() {
            self.pending = None;
            self.given = up_to;
            return Ok(());
        }
        let message = "the sink's target has another position than this job has written";
        Err(weir_connectors::Error::new(Kind::Conflict, message).into())
    }

    fn sink(&mut self) -> Result<&mut Box<dyn Sink>> {
        match &mut self.job.output {
            Output::Sink(sink) => Ok(sink),
            Output::View(_) => Err(no_sink()),
        }
    }

    /// Lets go of what no start would need any more.
    fn let_go(&mut self) {
        let Output::Sink(sink) = &self.job.output else {
            return;
        };
        if let Some(from) = sink.kept_from() {
            self.holds.advance(from);
        }
    }
}

fn no_sink() -> Error {
    Error::Internal("a feed's job keeps a view")
}

fn rows_between(from: Option<&OffsetVector>, to: &OffsetVector) -> u64 {
    let ends = to.iter().flat_map(|(topic, ends)| {
        let from = from.and_then(|from| from.topic(topic)).unwrap_or_default();
        ends.iter().enumerate().map(|(at, end)| {
            let from = from.get(at).map_or(0, |from| from.0);
            end.0.saturating_sub(from).max(0).unsigned_abs()
        })
    });
    ends.sum()
}
