//! The plan node that reads rows of a table.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet, RecordOutput,
};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
};
use futures::stream;

use super::bound::{BoundTable, computed};
use super::state::Chunk;
use super::version::{Lookup, Version};

/// Reads the rows of the version that its table is bound to when it is executed.
///
/// *In:* nothing. *Out:* the columns that were asked for, in batches that share the table's memory. Where a filter gives the primary key
/// the index finds the row, if it knows it; otherwise the rows are all given, for the filter to choose from.
#[derive(Debug)]
pub struct TableScanExec {
    table: BoundTable,
    columns: Vec<usize>,
    schema: SchemaRef,
    /// What the primary key equals.
    key: Option<Arc<dyn PhysicalExpr>>,
    fetch: Option<usize>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl TableScanExec {
    pub(super) fn new(
        table: BoundTable,
        (columns, schema): (Vec<usize>, SchemaRef),
        key: Option<Arc<dyn PhysicalExpr>>,
        fetch: Option<usize>,
        partitions: usize,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self {
            table,
            columns,
            schema,
            key,
            fetch,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    /// What it reads.
    pub fn table(&self) -> &BoundTable {
        &self.table
    }

    /// At most how many rows the next run gives, and how many bytes it looks through for them, as far as that is known without looking.
    pub fn size_max(&self) -> (usize, usize) {
        let (rows, bytes) = match (&self.key, self.table.version()) {
            (Some(key), Some(version)) if is_found(key, &version) => (1, 0),
            (_, Some(version)) => (version.rows_max(), version.bytes_max()),
            (_, None) => (0, 0),
        };
        (self.fetch.map_or(rows, |fetch| rows.min(fetch)), bytes)
    }

    fn partitions(&self) -> usize {
        self.properties.partitioning.partition_count()
    }

    fn version(&self) -> Result<Arc<Version>> {
        match self.table.version() {
            Some(version) => Ok(version),
            None => internal_err!("a table is read that is bound to no version"),
        }
    }
}

/// Whether the index finds the row of a key, or knows that there is none.
fn is_found(key: &Arc<dyn PhysicalExpr>, version: &Version) -> bool {
    computed(key).is_some_and(|value| version.offset_of_key(&value) != Lookup::Unknown)
}

impl DisplayAs for TableScanExec {
    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = match t {
            DisplayFormatType::TreeRender => "\n",
            _ => ", ",
        };
        if !matches!(t, DisplayFormatType::TreeRender) {
            write!(f, "TableScanExec: ")?;
        }
        let fields = self.schema.fields().iter();
        let columns: Vec<&str> = fields.map(|field| field.name().as_str()).collect();
        let topic = self.table.table().topic();
        write!(
            f,
            "topic={}{separator}columns=[{}]",
            topic.name(),
            columns.join(", ")
        )?;
        if let Some(key) = &self.key {
            write!(f, "{separator}key={key}")?;
        }
        if let Some(fetch) = self.fetch {
            write!(f, "{separator}fetch={fetch}")?;
        }
        Ok(())
    }
}

impl ExecutionPlan for TableScanExec {
    fn name(&self) -> &'static str {
        "TableScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        match &self.key {
            Some(key) => f(key),
            None => Ok(TreeNodeRecursion::Continue),
        }
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if !children.is_empty() {
            return internal_err!("TableScanExec has no inputs");
        }
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if !children.is_empty() {
            return internal_err!("TableScanExec has no inputs");
        }
        Ok(self)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let version = self.version()?;
        let baseline = BaselineMetrics::new(&self.metrics, partition);
        let key = self.key.as_ref().and_then(computed);
        let found = key.map_or(Lookup::Unknown, |key| {
            version.row_of_key(&key, &self.columns)
        });
        let (row, chunks) = match found {
            Lookup::Found(row) => (Some(row), vec![]),
            Lookup::Nothing => (None, vec![]),
            Lookup::Unknown => {
                let chunks = version.chunks().skip(partition).step_by(self.partitions());
                (None, chunks.cloned().collect())
            }
        };
        let rows = Rows {
            chunks: chunks.into_iter(),
            columns: self.columns.clone(),
            next: row,
            batch_size: context.session_config().batch_size().max(1),
            left: self.fetch.unwrap_or(usize::MAX),
            version,
        };
        let rows = rows.map(move |batch| batch.map(|batch| batch.record_output(&baseline)));
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            stream::iter(rows),
        )))
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self {
            table: self.table.clone(),
            columns: self.columns.clone(),
            schema: Arc::clone(&self.schema),
            key: self.key.clone(),
            fetch: self.fetch,
            properties: Arc::clone(&self.properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(
        &self,
        _inputs: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema);
        let whole = args.partition().is_none() || self.partitions() == 1;
        statistics.num_rows = match (&self.key, self.table.version()) {
            (Some(_), _) => Precision::Inexact(1),
            (None, Some(version)) if whole && !self.table.is_reused() && self.fetch.is_none() => {
                Precision::Exact(version.rows())
            }
            (None, Some(version)) => {
                let rows = version.rows_max();
                let rows = if whole {
                    rows
                } else {
                    rows / self.partitions()
                };
                Precision::Inexact(self.fetch.map_or(rows, |fetch| rows.min(fetch)))
            }
            (None, None) => Precision::Absent,
        };
        Ok(Arc::new(statistics))
    }
}

/// The rows of one partition, batch after batch.
struct Rows {
    version: Arc<Version>,
    chunks: std::vec::IntoIter<Arc<Chunk>>,
    columns: Vec<usize>,
    /// What was read and is not given yet.
    next: Option<RecordBatch>,
    batch_size: usize,
    /// Rows that are still wanted.
    left: usize,
}

impl Iterator for Rows {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let batch = loop {
            let batch = match self.next.take() {
                Some(batch) => batch,
                None => {
                    let chunk = self.chunks.next()?;
                    match self.version.rows_of(&chunk, &self.columns) {
                        Ok(batch) => batch,
                        Err(error) => return Some(Err(error)),
                    }
                }
            };
            if batch.num_rows() > 0 {
                break batch;
            }
        };
        let rows = batch.num_rows().min(self.batch_size).min(self.left);
        self.left -= rows;
        if rows < batch.num_rows() {
            self.next = Some(batch.slice(rows, batch.num_rows() - rows));
        }
        Some(Ok(batch.slice(0, rows)))
    }
}
