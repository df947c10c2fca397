//! The plan node that reads records of a topic.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Statistics, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet, RecordOutput,
};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
};
use futures::stream;
use parking_lot::RwLock;
use weir_base::{Offset, PartitionId};
use weir_topics::{BatchView, Topic};

use super::bounds::{Bounds, Interval};
use super::record::{RecordDecoder, projected};
use super::schema::RowSchema;
use crate::{Error, Result};

/// How much is read at a time; one piece is decoded while the next is read.
const READ_BYTES: usize = 1 << 20;
/// A batch of rows is given out when it holds so much, however few rows that are.
const BATCH_BYTES: usize = 32 << 20;
/// The least that is worth an output partition of its own.
const PART_BYTES_MIN: u64 = 4 << 20;

/// Reads records of a topic between offsets that are known when it is executed.
///
/// *In:* nothing. *Out:* the columns that were asked for of [`RowSchema::schema_with_hidden`], in order of offset within
/// each partition of the topic. Files are read off the threads that run queries, one piece ahead.
///
/// A continuous query runs the same node again and again, each time over [the next range](Self::set_range).
#[derive(Debug)]
pub struct TopicScanExec {
    scan: Arc<Scan>,
    /// For each output partition, what it reads.
    parts: RwLock<Arc<Vec<Vec<Span>>>>,
    properties: Arc<PlanProperties>,
    /// What executions over the present range counted.
    metrics: RwLock<ExecutionPlanMetricsSet>,
}

#[derive(Debug, Clone)]
struct Scan {
    topic: Topic,
    rows: Arc<RowSchema>,
    projection: Vec<usize>,
    schema: SchemaRef,
    bounds: Bounds,
    fetch: Option<usize>,
}

/// A run of offsets of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    partition: PartitionId,
    from: Offset,
    to: Offset,
}

impl Span {
    fn len(self) -> u64 {
        self.to.0.saturating_sub(self.from.0).max(0).unsigned_abs()
    }
}

impl TopicScanExec {
    /// A scan of `[from, to)` of each partition, of the records that `bounds` lets through, in up to `parts` output
    /// partitions.
    pub(crate) fn new(
        topic: &Topic,
        rows: &Arc<RowSchema>,
        projection: Vec<usize>,
        bounds: Bounds,
        fetch: Option<usize>,
        range: (&[Offset], &[Offset]),
        parts: usize,
    ) -> Result<Self> {
        let schema = Arc::new(projected(rows, &projection)?);
        let scan = Scan {
            topic: topic.clone(),
            rows: Arc::clone(rows),
            projection,
            schema,
            bounds,
            fetch,
        };
        let spans = scan.spans(range.0, range.1);
        Ok(Self::over(scan, shared_out(topic, spans, parts)))
    }

    fn over(scan: Scan, parts: Vec<Vec<Span>>) -> Self {
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
        *parts = Arc::new(vec![self.scan.spans(from, to)]);
        *self.metrics.write() = ExecutionPlanMetricsSet::new();
        Ok(())
    }

    /// How many records the next execution reads at most.
    pub fn records(&self) -> u64 {
        self.parts
            .read()
            .iter()
            .flatten()
            .map(|span| span.len())
            .sum()
    }
}

impl Scan {
    /// What has to be read of `[from, to)` of each partition.
    fn spans(&self, from: &[Offset], to: &[Offset]) -> Vec<Span> {
        let mut spans = Vec::new();
        for (at, (partition, to)) in self.topic.partitions().iter().zip(to).enumerate() {
            let id = PartitionId(at as u32);
            if !self.bounds.has_partition(id.0) {
                continue;
            }
            let from = from.get(at).copied().unwrap_or(Offset::ZERO);
            let from = from
                .max(partition.start_offset())
                .max(Offset(self.bounds.offset.min));
            let to = (*to).min(Offset(self.bounds.offset.max.saturating_add(1)));
            if from >= to {
                continue;
            }
            let Interval { min, max } = self.bounds.timestamp;
            if self.bounds.timestamp == Interval::ALL {
                spans.push(Span {
                    partition: id,
                    from,
                    to,
                });
            } else if min <= max {
                let ranges = partition.ranges_in_time(from, to, min, max);
                spans.extend(ranges.into_iter().map(|range| Span {
                    partition: id,
                    from: range.start.max(from),
                    to: range.end.min(to),
                }));
            }
        }
        spans
    }

    /// Whether records need not be looked at, only counted.
    fn counts_only(&self) -> bool {
        self.projection.is_empty()
            && self.bounds.timestamp == Interval::ALL
            && self.rows.is_row_per_record()
    }
}

/// Shares spans out among up to `parts` readers, neighbours together, so that each has about as many bytes.
fn shared_out(topic: &Topic, spans: Vec<Span>, parts: usize) -> Vec<Vec<Span>> {
    let whole: u64 = spans.iter().map(|span| span.len()).sum();
    if parts <= 1 || whole == 0 {
        return vec![spans];
    }
    // Offsets per byte are known for the topic as a whole only; that is near enough to share work out.
    let records: u64 = topic
        .partitions()
        .iter()
        .map(|partition| {
            (partition.next_offset().0 - partition.start_offset().0)
                .max(1)
                .unsigned_abs()
        })
        .sum();
    let bytes = (u128::from(topic.size_bytes()) * u128::from(whole) / u128::from(records)) as u64;
    let target = (bytes / parts as u64).max(PART_BYTES_MIN);
    let mut pieces = Vec::new();
    for span in spans {
        let Ok(partition) = topic.partition(span.partition) else {
            continue;
        };
        // Smaller pieces than parts, so that the last part is not much larger or smaller than the others.
        let ranges = partition.ranges(span.from, span.to, (target / 4).max(1));
        pieces.extend(ranges.into_iter().map(|range| Span {
            partition: span.partition,
            from: range.start.max(span.from),
            to: range.end.min(span.to),
        }));
    }
    let parts = parts
        .min(usize::try_from(bytes / PART_BYTES_MIN).unwrap_or(parts))
        .max(1);
    let share = whole.div_ceil(parts as u64).max(1);
    let mut out: Vec<Vec<Span>> = Vec::new();
    let mut have = u64::MAX;
    for piece in pieces {
        if have >= share && out.len() < parts {
            out.push(Vec::new());
            have = 0;
        }
        have = have.saturating_add(piece.len());
        if let Some(part) = out.last_mut() {
            match part.last_mut() {
                Some(last) if last.partition == piece.partition && last.to == piece.from => {
                    last.to = piece.to;
                }
                _ => part.push(piece),
            }
        }
    }
    if out.is_empty() {
        vec![Vec::new()]
    } else {
        out
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
        let Some(spans) = parts.get(partition) else {
            return internal_err!("TopicScanExec has {} parts, not {partition}", parts.len());
        };
        let metrics = self.metrics.read().clone();
        let metrics = Metrics {
            baseline: BaselineMetrics::new(&metrics, partition),
            bytes: MetricBuilder::new(&metrics).counter("bytes_scanned", partition),
            errors: MetricBuilder::new(&metrics).counter("decode_errors", partition),
        };
        let reader = Reader {
            scan: Arc::clone(&self.scan),
            batch_rows: context.session_config().batch_size().max(1),
            left: self.scan.fetch.unwrap_or(usize::MAX),
            spans: spans.iter().copied().collect(),
            decoder: None,
            reading: None,
            ready: VecDeque::new(),
            metrics,
        };
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
        let rows: u64 = match args.partition() {
            None => parts.iter().flatten().map(|span| span.len()).sum(),
            Some(at) => parts
                .get(at)
                .into_iter()
                .flatten()
                .map(|span| span.len())
                .sum(),
        };
        let rows = usize::try_from(rows).unwrap_or(usize::MAX);
        let mut statistics = Statistics::new_unknown(&self.scan.schema);
        // Every offset is one record: an owned topic loses none, and a stream's are never compacted away.
        let is_exact =
            self.scan.bounds.timestamp == Interval::ALL && self.scan.rows.is_row_per_record();
        statistics.num_rows = match (is_exact, self.scan.fetch) {
            (true, None) => Precision::Exact(rows),
            (true, Some(fetch)) if parts.len() == 1 => Precision::Exact(rows.min(fetch)),
            (_, Some(fetch)) => Precision::Inexact(rows.min(fetch)),
            (false, None) => Precision::Inexact(rows),
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

#[derive(Debug)]
struct Metrics {
    baseline: BaselineMetrics,
    bytes: Count,
    errors: Count,
}

/// One output partition, being read.
struct Reader {
    scan: Arc<Scan>,
    batch_rows: usize,
    /// How many rows may still be given.
    left: usize,
    /// What is not yet being read.
    spans: VecDeque<Span>,
    decoder: Option<(PartitionId, RecordDecoder)>,
    reading: Option<Piece>,
    ready: VecDeque<RecordBatch>,
    metrics: Metrics,
}

/// A piece of a span that is on its way from the disk.
struct Piece {
    span: Span,
    batches: SpawnedTask<weir_topics::Result<Vec<BatchView>>>,
}

impl Reader {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return Ok(Some(batch.record_output(&self.metrics.baseline)));
            }
            if self.left == 0 {
                self.metrics.baseline.done();
                return Ok(None);
            }
            if self.scan.counts_only() {
                match self.spans.pop_front() {
                    Some(span) => self.count(span)?,
                    None => return Ok(None),
                }
                continue;
            }
            let Some(piece) = self.reading.take().or_else(|| self.start()) else {
                self.metrics.baseline.done();
                return Ok(None);
            };
            let span = piece.span;
            let batches = piece.batches.join().await.map_err(stopped)??;
            if let Some(last) = batches.last() {
                let rest = Span {
                    from: last.end_offset(),
                    ..span
                };
                if rest.from < rest.to {
                    self.spans.push_front(rest);
                }
            }
            self.reading = self.start();
            let timer = self.metrics.baseline.elapsed_compute().clone();
            let _timer = timer.timer();
            self.decode(span, &batches)?;
        }
    }

    /// Begins to read the next piece.
    fn start(&mut self) -> Option<Piece> {
        let span = self.spans.pop_front()?;
        let topic = self.scan.topic.clone();
        let batches = SpawnedTask::spawn_blocking(move || {
            let partition = topic.partition(span.partition)?;
            let batches = partition.read(span.from, span.to, READ_BYTES)?;
            batches.into_iter().map(BatchView::decompressed).collect()
        });
        Some(Piece { span, batches })
    }

    fn decode(&mut self, span: Span, batches: &[BatchView]) -> Result<()> {
        let mut decoder = match self.decoder.take() {
            Some((partition, decoder)) if partition == span.partition => decoder,
            _ => RecordDecoder::new(
                self.scan.topic.name(),
                span.partition,
                &self.scan.rows,
                &self.scan.projection,
            )?,
        };
        let time = self.scan.bounds.timestamp;
        'all: for batch in batches {
            self.metrics.bytes.add(batch.size_bytes());
            for record in batch.records() {
                let record = record?;
                if record.offset >= span.to || self.left == 0 {
                    break 'all;
                }
                if record.offset < span.from || !time.contains(record.timestamp_ms) {
                    continue;
                }
                if let Err(error) = decoder.push(&record) {
                    self.count_errors(&mut decoder);
                    return Err(error);
                }
                let is_full = decoder.rows().max(decoder.records()) >= self.batch_rows;
                if is_full || decoder.bytes() >= BATCH_BYTES || decoder.rows() >= self.left {
                    self.give(&mut decoder)?;
                }
            }
        }
        self.give(&mut decoder)?;
        self.decoder = Some((span.partition, decoder));
        Ok(())
    }

    /// Puts what is decoded among what is ready, up to the rows that may still be given.
    fn give(&mut self, decoder: &mut RecordDecoder) -> Result<()> {
        self.count_errors(decoder);
        if decoder.records() > 0 {
            let batch = decoder.finish()?;
            let rows = batch.num_rows().min(self.left);
            if rows > 0 {
                self.left -= rows;
                self.ready.push_back(batch.slice(0, rows));
            }
        }
        Ok(())
    }

    fn count_errors(&self, decoder: &mut RecordDecoder) {
        let errors = decoder.take_errors();
        if errors > 0 {
            let count = usize::try_from(errors).unwrap_or(usize::MAX);
            self.metrics.errors.add(count);
            self.scan.rows.decode_errors().add(errors);
        }
    }

    /// Rows without columns: as many as there are offsets.
    fn count(&mut self, span: Span) -> Result<()> {
        let mut rows = usize::try_from(span.len())
            .unwrap_or(usize::MAX)
            .min(self.left);
        self.left -= rows;
        while rows > 0 {
            let some = rows.min(self.batch_rows);
            rows -= some;
            let options = RecordBatchOptions::new().with_row_count(Some(some));
            let batch = RecordBatch::try_new_with_options(
                Arc::clone(&self.scan.schema),
                Vec::new(),
                &options,
            )
            .map_err(|error| {
                Error::new(weir_base::Kind::Internal, "rows cannot be counted").with_source(error)
            })?;
            self.ready.push_back(batch);
        }
        Ok(())
    }
}

fn stopped(error: tokio::task::JoinError) -> Error {
    Error::new(weir_base::Kind::Internal, "reading a topic was broken off").with_source(error)
}
