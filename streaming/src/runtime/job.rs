//! A job: one query, and where its changes go.

use std::collections::BTreeMap;

use weir_base::{Offset, OffsetVector, TopicId};
use weir_topics::Topic;

use super::output::Output;
use crate::dataflow::Dataflow;
use crate::error::Result;

/// What a job is called by who starts it.
pub type JobId = u64;

/// Keeps one view, or feeds one sink.
#[derive(Debug)]
pub struct Job {
    id: JobId,
    pub(super) dataflow: Dataflow,
    pub(super) output: Output,
    end: Offset,
}

impl Job {
    /// A job that has done nothing yet.
    pub fn new(id: JobId, dataflow: Dataflow, output: impl Into<Output>) -> Self {
        let output = output.into();
        let end = output.end();
        Self {
            id,
            dataflow,
            output,
            end,
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

    /// Takes one bounded step towards a position; says whether it is there.
    ///
    /// # Errors
    /// When the query fails. The job cannot go on then.
    pub(crate) async fn approach(&mut self, position: &OffsetVector) -> Result<bool> {
        let delta = self.dataflow.step_towards(position).await?;
        self.end = self.output.take(&delta, &self.dataflow.position()).await?;
        Ok(self.dataflow.is_at(position))
    }

    /// Shows what was computed so far, which is the whole view at the job's position.
    pub(crate) async fn show(&mut self) -> Result<()> {
        self.end = self.output.show().await?;
        Ok(())
    }

    /// Takes one step to a position.
    pub(crate) async fn step_to(&mut self, position: &OffsetVector) -> Result<usize> {
        let delta = self.dataflow.step_to(position).await?;
        self.end = self.output.take(&delta, &self.dataflow.position()).await?;
        Ok(delta.rows())
    }
}

/// Where topics are read up to, by those who want to see the same moment of all.
pub type Positions = BTreeMap<TopicId, Vec<Offset>>;
