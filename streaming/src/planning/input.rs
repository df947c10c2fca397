//! A table that stands for what an operator is given in a step.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DFSchemaRef, TableReference, internal_err};
use datafusion::datasource::provider_as_source;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan, TableType};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::memory::MemoryStream;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
};
use parking_lot::Mutex;

/// What is given, until it is taken back.
pub(crate) struct Slot {
    schema: SchemaRef,
    batches: Mutex<Vec<RecordBatch>>,
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

impl Slot {
    pub(crate) fn set(&self, batches: Vec<RecordBatch>) {
        *self.batches.lock() = batches;
    }
}

/// A leaf for a plan, in the place of one that has `schema`, and the slot that it reads.
pub(crate) fn input(schema: &DFSchemaRef) -> (LogicalPlan, Arc<Slot>) {
    let slot = Arc::new(Slot {
        schema: Arc::clone(schema.inner()),
        batches: Mutex::default(),
    });
    let table = InputTable(Arc::clone(&slot));
    let scan = LogicalPlan::TableScan(TableScan {
        table_name: TableReference::bare("input"),
        source: provider_as_source(Arc::new(table)),
        projection: None,
        projected_schema: Arc::clone(schema),
        filters: Vec::new(),
        fetch: None,
        statistics_requests: Default::default(),
    });
    (scan, slot)
}

/// The same as a plan that can be run.
pub(crate) fn input_exec(schema: &SchemaRef) -> (Arc<dyn ExecutionPlan>, Arc<Slot>) {
    let slot = Arc::new(Slot {
        schema: Arc::clone(schema),
        batches: Mutex::default(),
    });
    (Arc::new(InputExec::new(&slot)), slot)
}

#[derive(Debug)]
struct InputTable(Arc<Slot>);

#[async_trait]
impl TableProvider for InputTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.0.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if projection.is_some() {
            return internal_err!("the input of an operator is taken whole");
        }
        Ok(Arc::new(InputExec::new(&self.0)))
    }
}

/// Gives what is in a slot.
#[derive(Debug)]
struct InputExec {
    slot: Arc<Slot>,
    properties: Arc<PlanProperties>,
}

impl InputExec {
    fn new(slot: &Arc<Slot>) -> Self {
        Self {
            slot: Arc::clone(slot),
            properties: Arc::new(PlanProperties::new(
                EquivalenceProperties::new(Arc::clone(&slot.schema)),
                Partitioning::UnknownPartitioning(1),
                EmissionType::Incremental,
                Boundedness::Bounded,
            )),
        }
    }
}

impl DisplayAs for InputExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InputExec")
    }
}

impl ExecutionPlan for InputExec {
    fn name(&self) -> &'static str {
        "InputExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if !children.is_empty() {
            return internal_err!("InputExec has no inputs");
        }
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if !children.is_empty() {
            return internal_err!("InputExec has no inputs");
        }
        Ok(self)
    }

    fn execute(
        &self,
        _partition: usize,
        _context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let batches = self.slot.batches.lock().clone();
        let schema = Arc::clone(&self.slot.schema);
        Ok(Box::pin(MemoryStream::try_new(batches, schema, None)?))
    }
}
