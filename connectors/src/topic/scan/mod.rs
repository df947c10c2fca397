//! The plan node that reads records of a topic.

mod decoded;
mod reader;
mod runs;

use std::any::Any;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Statistics, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet,
};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
};
use futures::stream;
use parking_lot::RwLock;
use weir_base::{Offset, PartitionId};
use weir_topics::Topic;

pub use self::decoded::DecodedRows;
use self::reader::{Metrics, Reader};
use self::runs::{Run, shared_out};
use super::bounds::{Bounds, Interval};
use super::history::{FilePart, HistoryView};
use super::hold::TopicHold;
use super::record::projected;
use super::schema::RowSchema;
use crate::{Error, Result};

/// Reads records of a topic between offsets that are known when it is executed.
///
/// *In:* nothing. *Out:* the columns that were asked for of [`RowSchema::schema_with_hidden`], in order of offset within
/// each partition of the topic. Files are read off the threads that run queries, one piece ahead.
///
/// A continuous query runs the same node again and again, each time over [the next range](Self::set_range); then the node reads
/// Parquet history too. For a bounded query history has a plan of its own, beside this node, which DataFusion can prune.
#[derive(Debug)]
pub struct TopicScanExec {
    scan: Arc<Scan>,
    /// For each output partition, what it reads.
    parts: RwLock<Arc<Vec<Vec<Run>>>>,
    properties: Arc<PlanProperties>,
    /// What executions over the present range counted.
    metrics: RwLock<ExecutionPlanMetricsSet>,
}

#[derive(Debug, Clone)]
struct Scan {
    topic: Topic,
    /// What keeps the records that are read.
    hold: Arc<RwLock<TopicHold>>,
    history: Option<HistoryView>,
    rows: Arc<RowSchema>,
    projection: Vec<usize>,
    schema: SchemaRef,
    bounds: Bounds,
    fetch: Option<usize>,
    /// Where rows are kept that others will read, too.
    decoded: Option<Arc<DecodedRows>>,
}

impl TopicScanExec {
    /// A scan of `[from, to)` of each partition, of the records that `bounds` lets through, in up to `parts` output
    /// partitions.
    pub(crate) fn new(
        hold: &TopicHold,
        history: Option<&HistoryView>,
        rows: &Arc<RowSchema>,
        projection: Vec<usize>,
        bounds: Bounds,
        fetch: Option<usize>,
        parts: usize,
    ) -> Result<Self> {
        let scan = Scan::new(hold, history, rows, projection, bounds, fetch)?;
        let runs = scan.runs(hold.starts(), hold.ends());
        let parts = shared_out(hold.topic(), runs, parts);
        Ok(Self::over(scan, parts))
    }

    /// A scan of what the log has of that range, and the parts of files that have the rest, for a plan of their own.
    pub(crate) fn beside_history(
        hold: &TopicHold,
        history: &HistoryView,
        rows: &Arc<RowSchema>,
        projection: Vec<usize>,
        bounds: Bounds,
        fetch: Option<usize>,
        parts: usize,
    ) -> Result<(Self, Vec<FilePart>)> {
        let scan = Scan::new(hold, Some(history), rows, projection, bounds, fetch)?;
        let (mut log, mut files) = (Vec::new(), Vec::new());
        for run in scan.runs(hold.starts(), hold.ends()) {
            match run {
                Run::Log(_) => log.push(run),
                Run::File(part) => files.push(part),
            }
        }
        let parts = shared_out(hold.topic(), log, parts);
        Ok((Self::over(scan, parts), files))
    }

    /// A scan of what the log has of one partition's `range`.
    pub(crate) fn of_partition(
        hold: &TopicHold,
        rows: &Arc<RowSchema>,
        projection: Vec<usize>,
        partition: PartitionId,
        range: Range<Offset>,
    ) -> Result<Self> {
        let scan = Scan::new(hold, None, rows, projection, Bounds::default(), None)?;
        let run = Run::Log(runs::Span {
            partition,
            from: range.start,
            to: range.end,
        });
        Ok(Self::over(scan, vec![vec![run]]))
    }

    /// Keeps rows for others, and takes what they have kept.
    pub(crate) fn keeping(self, decoded: Option<Arc<DecodedRows>>) -> Self {
        let scan = Scan {
            decoded,
            ..Scan::clone(&self.scan)
        };
        Self {
            scan: Arc::new(scan),
            ..self
        }
    }

    fn over(scan: Scan, parts: Vec<Vec<Run>>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&scan.schema)),
            Partitioning::UnknownPartitioning(parts.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self {
            scan: Arc::new(scan),
            parts: RwLock::new(Arc::new(parts)),
            properties: Arc::new(properties),
            metrics: RwLock::default(),
        }
    }

    /// The topic that is read.
    pub fn topic(&self) -> &Topic {
        &self.scan.topic
    }

    /// The first offset of each partition that can be read.
    pub fn first_offsets(&self) -> Vec<Offset> {
        let hold = self.scan.hold.read();
        let partitions = self.scan.topic.partitions().iter();
        let first = partitions.map(|partition| {
            let log_start = hold.log_start(partition);
            match &self.scan.history {
                Some(history) => history.first_offset(partition.id(), log_start),
                None => log_start,
            }
        });
        first.collect()
    }

    /// Sets what the next execution reads: `[from, to)` of each partition, by partition number.
    ///
    /// # Errors
    /// When the plan was made for several threads: a continuous query is planned with one target partition.
    pub fn set_range(&self, from: &[Offset], to: &[Offset]) -> Result<()> {
        let mut parts = self.parts.write();
        if parts.len() != 1 {
            return Err(Error::new(
                weir_base::Kind::Internal,
                format!("a scan of {} parts cannot be run in steps", parts.len()),
            ));
        }
        *parts = Arc::new(vec![self.scan.runs(from, to)]);
        // What is before was read, by a step that is done.
        self.scan.hold.write().advance(from);
        *self.metrics.write() = ExecutionPlanMetricsSet::new();
        Ok(())
    }

    /// How many records the next execution reads at most.
    pub fn records(&self) -> u64 {
        self.parts.read().iter().flatten().map(Run::len).sum()
    }
}

impl Scan {
    fn new(
        hold: &TopicHold,
        history: Option<&HistoryView>,
        rows: &Arc<RowSchema>,
        projection: Vec<usize>,
        bounds: Bounds,
        fetch: Option<usize>,
    ) -> Result<Self> {
        Ok(Self {
            schema: Arc::new(projected(rows, &projection)?),
            topic: hold.topic().clone(),
            hold: Arc::new(RwLock::new(hold.clone())),
            history: history.cloned(),
            rows: Arc::clone(rows),
            projection,
            bounds,
            fetch,
            decoded: None,
        })
    }

    /// Whether records need not be looked at, only counted.
    fn counts_only(&self) -> bool {
        self.projection.is_empty()
            && self.bounds.timestamp == Interval::ALL
            && self.rows.is_row_per_record()
    }
}

impl DisplayAs for TopicScanExec {
    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if matches!(t, DisplayFormatType::TreeRender) {
            "\n"
        } else {
            ", "
        };
        if !matches!(t, DisplayFormatType::TreeRender) {
            write!(f, "TopicScanExec: ")?;
        }
        let columns: Vec<&str> = self
            .scan
            .schema
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect();
        write!(
            f,
            "topic={}{separator}columns=[{}]",
            self.scan.topic.name(),
            columns.join(", ")
        )?;
        let parts = Arc::clone(&self.parts.read());
        write!(
            f,
            "{separator}records={}{separator}parts={}",
            self.records(),
            parts.len()
        )?;
        if let Some(fetch) = self.scan.fetch {
            write!(f, "{separator}fetch={fetch}")?;
        }
        if self.scan.bounds.timestamp != Interval::ALL {
            let Interval { min, max } = self.scan.bounds.timestamp;
            write!(f, "{separator}timestamp_ms={min}..={max}")?;
        }
        Ok(())
    }
}

impl ExecutionPlan for TopicScanExec {
    fn name(&self) -> &'static str {
        "TopicScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> datafusion::common::Result<TreeNodeRecursion>,
    ) -> datafusion::common::Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        if !children.is_empty() {
            return internal_err!("TopicScanExec has no inputs");
        }
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        if !children.is_empty() {
            return internal_err!("TopicScanExec has no inputs");
        }
        Ok(self)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> datafusion::common::Result<SendableRecordBatchStream> {
        let parts = Arc::clone(&self.parts.read());
        let Some(runs) = parts.get(partition) else {
            return internal_err!("TopicScanExec has {} parts, not {partition}", parts.len());
        };
        let metrics = self.metrics.read().clone();
        let metrics = Metrics {
            baseline: BaselineMetrics::new(&metrics, partition),
            bytes: MetricBuilder::new(&metrics).counter("bytes_scanned", partition),
            errors: MetricBuilder::new(&metrics).counter("decode_errors", partition),
            kept: MetricBuilder::new(&metrics).counter("kept_rows", partition),
        };
        let reader = Reader::new(Arc::clone(&self.scan), runs, context, metrics);
        let batches = stream::try_unfold(reader, |mut reader| async move {
            let next = reader.next().await.map_err(DataFusionError::from)?;
            Ok::<_, DataFusionError>(next.map(|batch| (batch, reader)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.scan.schema),
            batches,
        )))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.read().clone_inner())
    }

    fn statistics_from_inputs(
        &self,
        _inputs: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> datafusion::common::Result<Arc<Statistics>> {
        let parts = Arc::clone(&self.parts.read());
        let runs: Vec<&Run> = match args.partition() {
            None => parts.iter().flatten().collect(),
            Some(at) => parts.get(at).into_iter().flatten().collect(),
        };
        let known: Option<u64> = runs.iter().map(|run| self.scan.rows(run)).sum();
        let most = known.unwrap_or_else(|| runs.iter().map(|run| run.len()).sum());
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let mut statistics = Statistics::new_unknown(&self.scan.schema);
        statistics.num_rows = match (known, self.scan.fetch) {
            (Some(_), None) => Precision::Exact(most),
            (Some(_), Some(fetch)) if parts.len() == 1 => Precision::Exact(most.min(fetch)),
            (_, Some(fetch)) => Precision::Inexact(most.min(fetch)),
            (None, None) => Precision::Inexact(most),
        };
        Ok(Arc::new(statistics))
    }

    fn supports_limit_pushdown(&self) -> bool {
        false
    }

    fn fetch(&self) -> Option<usize> {
        self.scan.fetch
    }

    fn with_fetch(&self, fetch: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        let scan = Scan {
            fetch,
            ..Scan::clone(&self.scan)
        };
        Some(Arc::new(Self::over(scan, Vec::clone(&self.parts.read()))))
    }
}

/// The scan within a plan node, if the node is one.
pub fn as_topic_scan(plan: &dyn ExecutionPlan) -> Option<&TopicScanExec> {
    (plan as &dyn Any).downcast_ref()
}
