//! [`LiveQuery`]: the loop of steps.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use futures::Stream;
use futures::stream::{self, StreamExt};
use tokio::sync::watch;
use weir_base::{Offset, OffsetVector};
use weir_connectors::topic::{TopicScanExec, as_topic_scan};
use weir_topics::{Partition, Topic};

use crate::error::{Error, Result};
use crate::stateless::{self, Static};

/// Bytes of the log that one step takes of all partitions at the most, unless a single batch is larger.
const STEP_BYTES: u64 = 8 << 20;
/// Rows that a step takes at the most.
const STEP_ROWS: i64 = 64 * 1024;
/// Rows up to which a step takes what is there in a partition without looking at its size.
const SMALL_STEP_ROWS: i64 = 4096;
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
    sources: Vec<Source>,
    context: Arc<TaskContext>,
    /// Kept for the memory that they account for.
    _statics: Vec<Static>,
    step_rows: i64,
    steps: u32,
}

/// One stream of the query, and how far it has been read.
struct Source {
    topic: Topic,
    /// Everything before it has been given.
    at: Vec<Offset>,
    stable: Vec<watch::Receiver<Offset>>,
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
        let mut topics: Vec<(Topic, Vec<Offset>)> = Vec::new();
        for_each_scan(plan.as_ref(), &mut |scan| {
            let first = scan.first_offsets();
            let id = scan.topic().id();
            match topics.iter_mut().find(|(known, _)| known.id() == id) {
                // Two streams on one topic may reach back differently far.
                Some((_, known)) => {
                    let both = known.iter_mut().zip(first);
                    both.for_each(|(known, first)| *known = first.min(*known));
                }
                None => topics.push((scan.topic().clone(), first)),
            }
            Ok(())
        })?;
        if topics.is_empty() {
            return Err(Error::ReadsNoStream);
        }
        if let Some(position) = &position {
            check_topics(position, &topics)?;
        }
        let sources = topics
            .into_iter()
            .map(|(topic, first)| Source::new(topic, first, position.as_ref()))
            .collect::<Result<Vec<_>>>()?;
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
        let mut position = OffsetVector::new();
        for source in &self.sources {
            position.set(source.topic.name().clone(), source.at.clone());
        }
        position
    }

    /// How many rows of its sources the query has yet to read.
    pub fn rows_behind(&self) -> u64 {
        self.sources.iter().map(Source::rows_behind).sum()
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
        self.sources.iter().try_for_each(Source::check_grown)?;
        while self.sources.iter().all(|source| source.rows_behind() == 0) {
            self.wait().await?;
        }
        let lagging = self
            .sources
            .iter()
            .map(Source::lagging)
            .sum::<usize>()
            .max(1);
        let share = i64::try_from(lagging).unwrap_or(i64::MAX);
        let rows = (self.step_rows / share).max(1);
        let bytes = (STEP_BYTES / share.unsigned_abs()).max(1);
        let ends = self
            .sources
            .iter_mut()
            .map(|source| source.next_end(rows, bytes));
        let ends: Vec<Vec<Offset>> = ends.collect();
        let sources = &self.sources;
        for_each_scan(self.plan.as_ref(), &mut |scan| {
            let read = sources.iter().zip(&ends);
            match read
                .into_iter()
                .find(|(source, _)| source.topic.id() == scan.topic().id())
            {
                Some((source, end)) => Ok(scan.set_range(&source.at, end)?),
                None => Ok(()),
            }
        })?;
        let batches = self.run().await?;
        for (source, end) in self.sources.iter_mut().zip(ends) {
            source.at = end;
        }
        Ok(Step {
            batches,
            position: self.position(),
        })
    }

    /// Waits until any source has a row that was not read.
    async fn wait(&mut self) -> Result<()> {
        let waits = self.sources.iter_mut().flat_map(|source| {
            let topic = source.topic.name().clone();
            source.stable.iter_mut().map(move |stable| {
                let topic = topic.clone();
                Box::pin(async move {
                    let moved = stable.changed().await;
                    moved.map_err(|_closed| Error::Dropped(topic.to_string()))
                })
            })
        });
        let (woken, _, _) = futures::future::select_all(waits).await;
        woken?;
        // A topic that is deleted or grows wakes its readers too.
        self.sources.iter().try_for_each(Source::check_grown)?;
        self.sources.iter().try_for_each(Source::check_exists)
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

impl Source {
    fn new(topic: Topic, first: Vec<Offset>, position: Option<&OffsetVector>) -> Result<Self> {
        let name = topic.name().to_string();
        let mut at = first;
        if let Some(wanted) = position.and_then(|position| position.topic(topic.name())) {
            // Partitions that the topic got since are read from their beginning.
            if wanted.len() > at.len() {
                return Err(Error::WrongPosition(format!(
                    "topic {name} has {} partitions, not {}",
                    at.len(),
                    wanted.len()
                )));
            }
            let partitions = topic.partitions().iter().zip(&at);
            for ((wanted, (partition, first)), number) in wanted.iter().zip(partitions).zip(0u32..)
            {
                if wanted < first {
                    return Err(Error::RowsGone {
                        topic: name,
                        partition: number,
                        wanted: wanted.0,
                        start: first.0,
                    });
                }
                if *wanted > partition.last_stable_offset() {
                    return Err(Error::WrongPosition(format!(
                        "topic {name} partition {number} ends at offset {}, before {wanted}",
                        partition.last_stable_offset()
                    )));
                }
            }
            for (at, wanted) in at.iter_mut().zip(wanted) {
                *at = *wanted;
            }
        }
        let stable = topic
            .partitions()
            .iter()
            .map(Partition::watch_committed)
            .collect();
        Ok(Self { topic, at, stable })
    }

    fn check_grown(&self) -> Result<()> {
        match self.topic.has_grown() {
            true => Err(Error::Grown(self.topic.name().to_string())),
            false => Ok(()),
        }
    }

    fn check_exists(&self) -> Result<()> {
        let mut partitions = self.topic.partitions().iter().zip(&self.at);
        partitions.try_for_each(|(partition, at)| match partition.read(*at, *at, 0) {
            Ok(_) => Ok(()),
            Err(weir_topics::Error::TopicNotFound(topic)) => Err(Error::Dropped(topic)),
            Err(error) => Err(Error::Connector(error.into())),
        })
    }

    /// The rows that are there and were not read, partition by partition.
    fn behind(&self) -> impl Iterator<Item = i64> {
        let ends = self.stable.iter().map(|stable| *stable.borrow());
        self.at
            .iter()
            .zip(ends)
            .map(|(at, end)| (end.0 - at.0).max(0))
    }

    fn rows_behind(&self) -> u64 {
        self.behind().map(i64::unsigned_abs).sum()
    }

    /// How many partitions have rows that were not read.
    fn lagging(&self) -> usize {
        self.behind().filter(|rows| *rows > 0).count()
    }

    /// Where the next step ends: all that is there, up to each partition's share of a step.
    fn next_end(&mut self, rows: i64, bytes: u64) -> Vec<Offset> {
        let partitions = self.topic.partitions().iter();
        let read = self.at.iter().zip(&mut self.stable).zip(partitions);
        read.map(|((at, stable), partition)| {
            let stable = *stable.borrow_and_update();
            let most = stable.min(Offset(at.0.saturating_add(rows))).max(*at);
            if most.0 - at.0 <= SMALL_STEP_ROWS {
                return most;
            }
            // A range of no length would be no progress.
            let ranges = partition.ranges(*at, most, bytes);
            ranges
                .first()
                .map(|first| first.end)
                .filter(|end| end > at)
                .map_or(most, |end| end.min(most))
        })
        .collect()
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

/// A token must name exactly the topics that the query reads.
fn check_topics(position: &OffsetVector, topics: &[(Topic, Vec<Offset>)]) -> Result<()> {
    for (topic, _) in position.iter() {
        if topics.iter().all(|(read, _)| read.name() != topic) {
            return Err(Error::WrongPosition(format!(
                "the query does not read topic {topic}"
            )));
        }
    }
    match topics
        .iter()
        .find(|(topic, _)| position.topic(topic.name()).is_none())
    {
        Some((missing, _)) => Err(Error::WrongPosition(format!(
            "it says nothing of topic {}",
            missing.name()
        ))),
        None => Ok(()),
    }
}
