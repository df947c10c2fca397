//! A job: one query, and where its changes go.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_base::{Clock, Offset, OffsetVector, TopicId};
use weir_topics::Topic;

use super::output::Output;
use super::pace::Pace;
use crate::checkpoint::CopyProgress;
use crate::dataflow::Dataflow;
use crate::delta::Delta;
use crate::error::{Error, Result};
use crate::operators::{OperatorStatus, StateSize};

/// What a job is called by who starts it.
pub type JobId = u64;

/// The bytes of state that a checkpoint writes at the most, about: with more that is unsaved, one is made at once, and the one before it
/// is waited for.
const UNSAVED_BYTES: usize = 64 << 20;
/// No more than such a part of the time goes into checkpoints: after a long one, the next waits longer.
const CHECKPOINT_SHARE: i64 = 10;

/// Keeps one view, or feeds one sink.
#[derive(Debug)]
pub struct Job {
    id: JobId,
    pub(super) dataflow: Dataflow,
    pub(super) output: Output,
    end: Offset,
    upkeep: Upkeep,
    /// The bound on how fast it reads.
    pace: Option<Pace>,
    /// When the next checkpoint is due, in milliseconds since the epoch.
    due_ms: i64,
    /// When the one that is being written was taken.
    taken_ms: i64,
    /// The bytes that were left when state was let go from memory the last time.
    stuck: usize,
    /// Why there are no more checkpoints.
    broken: Option<String>,
    steps: u64,
    rows_read: u64,
    rows_written: u64,
    /// What all steps have taken, in microseconds.
    stepping_us: u64,
    /// The mean of the last steps' times, each counting a sixteenth, in microseconds.
    step_us: u64,
    /// Since when there are rows that it has yet to read.
    behind_since_ms: Option<i64>,
}

/// How a job does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobStatus {
    /// Rows of its sources that it has yet to read.
    pub rows_behind: u64,
    /// Since when there are such rows, in milliseconds since the epoch.
    pub behind_since_ms: Option<i64>,
    /// Rows of its sources that it has read since it began or went on from a checkpoint.
    pub rows_read: u64,
    /// Rows of its query that have come or gone by that.
    pub rows_written: u64,
    /// Steps that it has taken since then.
    pub steps: u64,
    /// What they have taken, in microseconds.
    pub stepping_us: u64,
    /// What a step takes, on the mean of the last ones, in microseconds.
    pub step_us: u64,
    /// Rows that were left out because they cannot be computed.
    pub rows_skipped: u64,
    /// What its operators remember.
    pub state: StateSize,
    /// The bytes that its state takes on the disk.
    pub disk_bytes: u64,
    /// When its last checkpoint was made, in milliseconds since the epoch.
    pub checkpoint_ms: Option<i64>,
    /// Why there are no more checkpoints.
    pub checkpoint_error: Option<String>,
    /// Tells how their copies do.
    pub copies: CopyProgress,
    /// How far event time has come in it, in milliseconds since the epoch, if its windows close and it is known.
    pub watermark_ms: Option<i64>,
    /// How many rows came too late for their windows, if its windows close.
    pub late_rows: Option<u64>,
    /// How each of its operators does, each before those whose rows it takes.
    pub operators: Vec<OperatorStatus>,
}

/// When a job saves its state, and when it lets it go from memory.
#[derive(Debug, Clone)]
pub struct Upkeep {
    /// Tells when.
    pub clock: Arc<dyn Clock>,
    /// The time between two checkpoints.
    pub interval: Duration,
    /// State that takes more bytes of memory is let go after a checkpoint.
    pub memory: usize,
}

impl Job {
    /// A job whose output has what its dataflow has given so far.
    pub fn new(id: JobId, dataflow: Dataflow, output: impl Into<Output>, upkeep: Upkeep) -> Self {
        let output = output.into();
        let end = output.end();
        let mut job = Self {
            id,
            dataflow,
            output,
            end,
            due_ms: 0,
            taken_ms: 0,
            upkeep,
            pace: None,
            stuck: 0,
            broken: None,
            steps: 0,
            rows_read: 0,
            rows_written: 0,
            stepping_us: 0,
            step_us: 0,
            behind_since_ms: None,
        };
        job.due_after(0);
        job
    }

    /// Lets it read no more than so many rows a second. In a group it would hold the others back: it is to be in one of its own.
    #[must_use]
    pub fn with_rate(mut self, rows_per_second: Option<NonZeroU64>) -> Self {
        self.pace = rows_per_second.map(|rate| Pace::new(rate, Instant::now()));
        if let Some(pace) = &self.pace {
            self.dataflow.set_step_rows(pace.step_rows());
        }
        self
    }

    /// Whether there is a bound on how fast it reads.
    pub fn is_paced(&self) -> bool {
        self.pace.is_some()
    }

    /// When it may take its next step, and of how many rows, if there is a bound on that.
    pub(super) fn bound(&self) -> Option<(Instant, i64)> {
        let pace = self.pace.as_ref()?;
        Some((pace.due(), pace.step_rows()))
    }

    /// Waits until it may take its next step.
    pub fn turn(&self) -> impl Future<Output = ()> + Send + use<> {
        let due = self.bound().map(|(due, _)| due);
        async move {
            if let Some(due) = due {
                tokio::time::sleep_until(due.into()).await;
            }
        }
    }

    /// What it is called.
    pub fn id(&self) -> JobId {
        self.id
    }

    /// The topic of its view's rows; a sink has none that others of its group could read.
    pub fn topic(&self) -> Option<&Topic> {
        self.output.topic()
    }

    /// The topic of its view's rows, and where they end.
    pub(super) fn shown(&self) -> Option<(&Topic, Offset)> {
        Some((self.output.topic()?, self.end))
    }

    /// The topics that it reads.
    pub fn reads(&self) -> impl Iterator<Item = &Topic> {
        self.dataflow.topics()
    }

    /// Its query.
    pub fn dataflow(&self) -> &Dataflow {
        &self.dataflow
    }

    /// How it does.
    pub fn status(&self) -> JobStatus {
        JobStatus {
            rows_behind: self.dataflow.rows_behind(),
            behind_since_ms: self.behind_since_ms,
            rows_read: self.rows_read,
            rows_written: self.rows_written,
            steps: self.steps,
            stepping_us: self.stepping_us,
            step_us: self.step_us,
            rows_skipped: self.dataflow.rows_skipped(),
            state: self.dataflow.state_size(),
            disk_bytes: self.dataflow.disk_bytes(),
            checkpoint_ms: self.dataflow.checkpoint_ms(),
            checkpoint_error: self.broken.clone(),
            copies: self.dataflow.copies(),
            watermark_ms: self.dataflow.watermark_ms(),
            late_rows: self.dataflow.late_rows(),
            operators: self.dataflow.operators(),
        }
    }

    /// Counts a step that gave a change.
    fn count(&mut self, began: Instant, rows_before: u64, delta: &Delta) {
        let took_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.step_us = match self.steps {
            0 => took_us,
            _ => (self.step_us * 15 + took_us) / 16,
        };
        self.steps += 1;
        self.stepping_us = self.stepping_us.saturating_add(took_us);
        self.rows_written += delta.rows() as u64;
        let rows = self.dataflow.rows_read() - rows_before;
        self.rows_read += rows;
        if let Some(pace) = &mut self.pace {
            pace.took(rows, began);
        }
        self.behind_since_ms = match self.dataflow.rows_behind() {
            0 => None,
            _ => self.behind_since_ms.or(Some(self.upkeep.clock.now_ms())),
        };
    }

    /// Takes one bounded step towards a position; says whether it is there.
    ///
    /// # Errors
    /// When the query fails. The job cannot go on then.
    pub(crate) async fn approach(&mut self, position: &OffsetVector) -> Result<bool> {
        let (began, rows) = (Instant::now(), self.dataflow.rows_read());
        let delta = self.dataflow.step_towards(position).await?;
        let at = self.dataflow.position();
        self.end = self.output.gather(&delta, &at).await?;
        self.count(began, rows, &delta);
        self.tend().await?;
        Ok(self.dataflow.is_at(position))
    }

    /// Takes one bounded step towards the end of all that is there; says whether it is there.
    ///
    /// # Errors
    /// When the query fails. The job cannot go on then.
    pub async fn advance(&mut self) -> Result<bool> {
        let end = self.dataflow.stable_position();
        self.approach(&end).await
    }

    /// Takes a checkpoint if it is time for one, or too much is unsaved, and has it written while the job goes on; with too little
    /// memory, lets go of what is saved.
    ///
    /// # Errors
    /// When what the checkpoint needs cannot be put out. A checkpoint that fails itself is the last one, and stops nothing.
    pub(crate) async fn tend(&mut self) -> Result<()> {
        let on_its_way = self.dataflow.checkpoint_on_its_way();
        if on_its_way == Some(true) {
            self.saved().await;
        }
        let state = self.dataflow.state_size();
        // What could not be let go the last time cannot be now.
        let freeable = state.bytes.saturating_sub(self.stuck);
        let is_full = state.bytes > self.upkeep.memory && freeable > self.upkeep.memory / 4;
        // While one is being written, the next waits, unless what it would write becomes too much.
        let is_due = self.upkeep.clock.now_ms() >= self.due_ms && on_its_way != Some(false);
        if is_full || is_due || state.unsaved > UNSAVED_BYTES {
            self.begin_checkpoint().await?;
            if is_full {
                self.dataflow.release();
                self.stuck = self.dataflow.state_size().bytes;
            }
        }
        Ok(())
    }

    /// How long until it is time for a checkpoint, if rows have come since the last one: it is not to wait for more of them.
    pub(super) fn checkpoint_in(&self) -> Option<Duration> {
        let wants = self.broken.is_none()
            && self.dataflow.is_unsaved()
            && !self.is_saving()
            && self.output.is_whole();
        let rest = self.due_ms.saturating_sub(self.upkeep.clock.now_ms());
        wants.then(|| Duration::from_millis(u64::try_from(rest).unwrap_or(0)))
    }

    /// Takes a checkpoint, and has it written while the job goes on.
    async fn begin_checkpoint(&mut self) -> Result<()> {
        self.saved().await;
        if self.broken.is_some() {
            return Ok(());
        }
        // What the state is true of must be put out before: it will not be given again.
        if !self.output.is_whole() {
            return Ok(());
        }
        self.show().await?;
        self.taken_ms = self.upkeep.clock.now_ms();
        let shown = self.shown().map(|(_, end)| end);
        let begun = self
            .dataflow
            .begin_checkpoint_of(self.taken_ms, shown)
            .await;
        self.due_after(0);
        match begun {
            Ok(_) => {}
            Err(error) => self.break_off(&error),
        }
        Ok(())
    }

    /// Waits for the checkpoint that is being written, if there is one.
    pub(super) async fn saved(&mut self) {
        if self.dataflow.checkpoint_on_its_way().is_none() {
            return;
        }
        if let Err(error) = self.dataflow.end_checkpoint().await {
            self.break_off(&error);
        }
        let now_ms = self.upkeep.clock.now_ms();
        self.due_after(now_ms.saturating_sub(self.taken_ms));
    }

    /// Whether a checkpoint is being written.
    pub(super) fn is_saving(&self) -> bool {
        self.dataflow.checkpoint_on_its_way().is_some()
    }

    fn break_off(&mut self, error: &Error) {
        tracing::warn!(job = self.id, %error, "a checkpoint cannot be made; after a restart, the one before is gone on from");
        self.broken = Some(error.to_string());
    }

    /// Makes a checkpoint: it is written on return.
    ///
    /// # Errors
    /// As [`Job::tend`].
    pub async fn checkpoint(&mut self) -> Result<()> {
        self.begin_checkpoint().await?;
        self.saved().await;
        Ok(())
    }

    fn due_after(&mut self, took_ms: i64) {
        let interval = i64::try_from(self.upkeep.interval.as_millis()).unwrap_or(i64::MAX);
        let rest = interval.max(took_ms.saturating_mul(CHECKPOINT_SHARE));
        self.due_ms = self.upkeep.clock.now_ms().saturating_add(rest);
    }

    /// Shows what was computed so far, which is the whole view at the job's position.
    pub(crate) async fn show(&mut self) -> Result<()> {
        self.end = self.output.show(&self.dataflow.position()).await?;
        Ok(())
    }

    /// Computes a bounded step towards a position, whose change is yet to be put out.
    pub(super) async fn compute(&mut self, position: &OffsetVector) -> Result<Delta> {
        let (began, rows) = (Instant::now(), self.dataflow.rows_read());
        let delta = self.dataflow.step_towards(position).await?;
        self.count(began, rows, &delta);
        Ok(delta)
    }

    /// Takes one step to a position.
    pub(crate) async fn step_to(&mut self, position: &OffsetVector) -> Result<usize> {
        let (began, rows) = (Instant::now(), self.dataflow.rows_read());
        let delta = self.dataflow.step_to(position).await?;
        self.end = self.output.take(&delta, &self.dataflow.position()).await?;
        self.count(began, rows, &delta);
        self.tend().await?;
        Ok(delta.rows())
    }
}

/// Where topics are read up to, by those who want to see the same moment of all.
pub type Positions = BTreeMap<TopicId, Vec<Offset>>;
