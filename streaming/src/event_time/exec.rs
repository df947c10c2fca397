//! A stream with its watermarks, read once.

use std::fmt;
use std::sync::Arc;

use arrow::compute::SortOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, internal_datafusion_err, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{
    Distribution, EquivalenceProperties, LexOrdering, OrderingRequirements, PhysicalSortExpr,
};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, InputDistributionRequirements, Partitioning,
    PhysicalExpr, PlanProperties,
};
use futures::StreamExt;

use super::marking::{Marking, Progress};

/// Gives the rows of a stream the watermarks before them.
///
/// *In:* records in order of partition and offset. *Out:* what a [`Marking`] gives of them.
#[derive(Debug)]
pub(super) struct WatermarkExec {
    input: Arc<dyn ExecutionPlan>,
    marking: Arc<Marking>,
    partitions: usize,
    /// By partition and offset.
    order: LexOrdering,
    properties: Arc<PlanProperties>,
}

impl WatermarkExec {
    /// Over `input`, whose records are in any order, of so many partitions of a topic.
    pub(super) fn over(
        input: Arc<dyn ExecutionPlan>,
        marking: Marking,
        partitions: usize,
    ) -> datafusion::common::Result<Self> {
        let schema = input.schema();
        let order = marking.place().into_iter().filter_map(|at| {
            let name = schema.fields().get(at)?.name();
            let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(name, at));
            Some(PhysicalSortExpr::new(column, SortOptions::default()))
        });
        let order = LexOrdering::new(order);
        let order = order.ok_or_else(|| internal_datafusion_err!("records have no order"))?;
        let all = Arc::new(CoalescePartitionsExec::new(input));
        let sorted = Arc::new(SortExec::new(order.clone(), all));
        Ok(Self::sorted(sorted, Arc::new(marking), partitions, order))
    }

    fn sorted(
        input: Arc<dyn ExecutionPlan>,
        marking: Arc<Marking>,
        partitions: usize,
        order: LexOrdering,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(marking.schema())),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self {
            input,
            marking,
            partitions,
            order,
            properties: Arc::new(properties),
        }
    }
}

impl DisplayAs for WatermarkExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WatermarkExec")
    }
}

impl ExecutionPlan for WatermarkExec {
    fn name(&self) -> &'static str {
        "WatermarkExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![Distribution::SinglePartition])
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![Some(OrderingRequirements::from(self.order.clone()))]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
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
        match children.as_slice() {
            [input] => {
                let marking = Arc::clone(&self.marking);
                let order = self.order.clone();
                let plan = Self::sorted(Arc::clone(input), marking, self.partitions, order);
                Ok(Arc::new(plan))
            }
            _ => internal_err!("WatermarkExec has one input"),
        }
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        self.replace_children(children, options)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> datafusion::common::Result<SendableRecordBatchStream> {
        let rows = self.input.execute(partition, context)?;
        let marking = Arc::clone(&self.marking);
        let mut partitions = vec![Progress::default(); self.partitions];
        let schema = Arc::clone(self.marking.schema());
        let rows = rows.map(move |batch| {
            let marked = marking.mark(&batch?, &mut partitions);
            marked.map_err(|error| DataFusionError::External(Box::new(error)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }
}
