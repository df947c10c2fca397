//! The plan node that finds the newest rows. In: changes, in any order. Out: rows, in none.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, Partitioning, PlanProperties,
};
use futures::{StreamExt, TryStreamExt, stream};

use super::Newest;

/// Finds the newest row of each key.
#[derive(Debug)]
pub(super) struct NewestExec {
    changes: Arc<dyn ExecutionPlan>,
    /// The columns that are remembered, and which of them are the key.
    rows: (SchemaRef, Vec<usize>),
    /// Which of them are given.
    places: Vec<usize>,
    properties: Arc<PlanProperties>,
}

impl NewestExec {
    pub(super) fn new(
        changes: Arc<dyn ExecutionPlan>,
        rows: (SchemaRef, Vec<usize>),
        places: Vec<usize>,
        schema: SchemaRef,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Self {
            changes,
            rows,
            places,
            properties: Arc::new(properties),
        }
    }

    fn over(&self, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let [changes] = children.as_slice() else {
            return internal_err!("NewestExec has one input");
        };
        Ok(Arc::new(Self {
            changes: Arc::clone(changes),
            rows: self.rows.clone(),
            places: self.places.clone(),
            properties: Arc::clone(&self.properties),
        }))
    }
}

impl DisplayAs for NewestExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (schema, key) = &self.rows;
        let key = key.iter().filter_map(|at| schema.fields().get(*at));
        let key: Vec<&str> = key.map(|field| field.name().as_str()).collect();
        write!(f, "NewestExec: key=[{}]", key.join(", "))
    }
}

impl ExecutionPlan for NewestExec {
    fn name(&self) -> &'static str {
        "NewestExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.changes]
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![Distribution::SinglePartition]
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
        self.over(children)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.over(children)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return internal_err!("NewestExec has one partition");
        }
        let (schema, key) = self.rows.clone();
        let reservation = MemoryConsumer::new("newest rows").register(context.memory_pool());
        let mut newest = Newest::new(schema, key, reservation).map_err(DataFusionError::from)?;
        let mut changes = self.changes.execute(0, context)?;
        let places = self.places.clone();
        let rows = async move {
            while let Some(batch) = changes.next().await {
                newest.push(&batch?).map_err(DataFusionError::from)?;
            }
            let renewed = newest.renewed().map_err(DataFusionError::from)?;
            let batches = renewed
                .added
                .into_iter()
                .map(move |batch| batch.project(&places).map_err(DataFusionError::from));
            // What is remembered is held until its rows are given.
            Ok::<_, DataFusionError>(stream::iter(batches).map(move |batch| {
                let _ = &newest;
                batch
            }))
        };
        let rows = stream::once(rows).try_flatten();
        let schema = self.schema();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }
}
