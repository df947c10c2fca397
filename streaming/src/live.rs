//! [`LiveQuery`]: the loop of steps.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use futures::Stream;
use futures::stream::{self, StreamExt};
use weir_base::OffsetVector;
use weir_connectors::topic::{TopicScanExec, as_topic_scan};

use crate::error::{Error, Result};
use crate::sources::{How, Read, STEP_ROWS, Sources};
use crate::stateless::{self, Static};

/// Steps after which the plan's operators are made anew, because each execution adds to their metrics.
const STEPS_BETWEEN_RESETS: u32 = if cfg!(test) { 3 } else { 512 };
/// Steps after which joins are made anew too, for the same reason; it costs the building of their hash tables.
const STEPS_BETWEEN_JOIN_RESETS: u32 = if cfg!(test) { 12 } else { 8192 };

/// What one step gave.
#[derive(Debug)]
pub struct Step {
    /// Rows, possibly none.
    pub batches: Vec<RecordBatch>,
    /// Where the step ends; a query that starts there gives all later rows and none of these.
    pub position: OffsetVector,
}

/// A stateless query over streams that goes on as rows arrive.
pub struct LiveQuery {
    plan: Arc<dyn ExecutionPlan>,
    sources: Sources,
    context: Arc<TaskContext>,
    /// Kept for the memory that they account for.
    _statics: Vec<Static>,
    step_rows: i64,
    steps: u32,
}

impl std::fmt::Debug for LiveQuery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveQuery")
            .field("position", &self.position())
            .field("steps", &self.steps)
            .finish_non_exhaustive()
    }
}

impl LiveQuery {
    /// Prepares `plan`, whose leaves are scans of topics and tables that do not change; the latter are read now, once, under
    /// the context's memory pool. The plan is one for one target partition. Without a position to go on from it starts at
    /// the first row that is there.
    ///
    /// # Errors
    /// When the plan reads no topic or needs state between steps, a static table does not fit into memory, or `position`
    /// does not belong to the topics.
    pub async fn new(
        plan: Arc<dyn ExecutionPlan>,
        context: Arc<TaskContext>,
        position: Option<OffsetVector>,
    ) -> Result<Self> {
        let mut reads: Vec<Read> = Vec::new();
        for_each_scan(plan.as_ref(), &mut |scan| {
            Read::add(&mut reads, scan.topic(), scan.first_offsets(), How::Stream);
            Ok(())
        })?;
        if reads.is_empty() {
            return Err(Error::ReadsNoStream);
        }
        let sources = Sources::new(reads, position.as_ref())?;
        let (plan, statics) = stateless::prepare(plan, &context).await?;
        Ok(Self {
            plan,
            sources,
            context,
            _statics: statics,
            step_rows: STEP_ROWS,
            steps: 0,
        })
    }

    /// The schema of every batch.
    pub fn schema(&self) -> SchemaRef {
        self.plan.schema()
    }

    /// Where the query stands: all rows before it have been given, and none after it.
    pub fn position(&self) -> OffsetVector {
        self.sources.position()
    }

    /// How many rows of its sources the query has yet to read.
    pub fn rows_behind(&self) -> u64 {
        self.sources.rows_behind()
    }

    /// Lets a step take no more than so many rows.
    #[must_use]
    pub fn with_step_rows(mut self, rows: u32) -> Self {
        self.step_rows = i64::from(rows.max(1));
        self
    }

    /// The steps, without an end. Dropping the stream ends the query.
    pub fn into_stream(self) -> impl Stream<Item = Result<Step>> + Send {
        stream::unfold(Some(self), |query| async {
            let mut query = query?;
            match query.step().await {
                Ok(step) => Some((Ok(step), Some(query))),
                Err(error) => Some((Err(error), None)),
            }
        })
    }

    /// Waits for rows, and runs the plan on them: on what is there, the moment it is there, up to a bound. When it is
    /// dropped before it is done, or fails, the query stands where it stood.
    ///
    /// # Errors
    /// When a row cannot be read, an expression fails on one, or a stream is dropped.
    pub async fn step(&mut self) -> Result<Step> {
        let ends = self.sources.next_ends(self.step_rows).await?;
        let ranges = self.sources.ranges(&ends);
        for_each_scan(
            self.plan.as_ref(),
            &mut |scan| match ranges.of(scan.topic().id()) {
                Some((from, to)) => Ok(scan.set_range(from, to)?),
                None => Ok(()),
            },
        )?;
        let batches = self.run().await?;
        self.sources.go_to(ends);
        Ok(Step {
            batches,
            position: self.position(),
        })
    }

    async fn run(&mut self) -> Result<Vec<RecordBatch>> {
        self.steps = self.steps.wrapping_add(1);
        if self.steps.is_multiple_of(STEPS_BETWEEN_RESETS) {
            let joins = self.steps.is_multiple_of(STEPS_BETWEEN_JOIN_RESETS);
            self.plan = stateless::renewed(&self.plan, joins)?;
        }
        let mut batches = Vec::new();
        let partitions = self.plan.output_partitioning().partition_count();
        for partition in 0..partitions {
            let mut rows = self.plan.execute(partition, Arc::clone(&self.context))?;
            while let Some(batch) = rows.next().await {
                let batch = batch?;
                if batch.num_rows() > 0 {
                    batches.push(batch);
                }
            }
        }
        Ok(batches)
    }
}

/// Calls `visit` with every topic scan of a plan.
fn for_each_scan(
    plan: &dyn ExecutionPlan,
    visit: &mut dyn FnMut(&TopicScanExec) -> Result<()>,
) -> Result<()> {
    match as_topic_scan(plan) {
        Some(scan) => visit(scan),
        None => plan
            .children()
            .into_iter()
            .try_for_each(|child| for_each_scan(child.as_ref(), visit)),
    }
}
