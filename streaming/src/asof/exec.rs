//! Runs an `ASOF JOIN` once: each partition is one merge of two inputs that are sorted by key and time.
//!
//! DataFusion puts the sorts there, which spill to disk; the merge itself holds a few batches.

use std::fmt;
use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_datafusion_err, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{
    Distribution, EquivalenceProperties, LexOrdering, OrderingRequirements, PhysicalSortExpr,
};
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties,
    InputDistributionRequirements, PhysicalExpr, PlanProperties,
};
use futures::stream::try_unfold;

use super::join::Nearest;
use super::merge::{Merge, Side};
use super::order_of_times;

/// What a join is made of, left before right.
#[derive(Debug, Clone)]
pub(super) struct Sides {
    pub(super) inputs: [Arc<dyn ExecutionPlan>; 2],
    /// The keys, as many of one side as of the other.
    pub(super) on: [Vec<Arc<dyn PhysicalExpr>>; 2],
    /// The time of each side.
    pub(super) times: [Vec<Arc<dyn PhysicalExpr>>; 2],
}

/// Joins each row with the nearest in time.
///
/// *In:* two sides, partitioned by their keys, sorted by key and time. *Out:* the columns of both, in the order of the left side.
#[derive(Debug)]
pub(super) struct AsOfExec {
    sides: Sides,
    nearest: Nearest,
    keeps_left: bool,
    orders: [LexOrdering; 2],
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl AsOfExec {
    pub(super) fn new(
        sides: Sides,
        nearest: Nearest,
        keeps_left: bool,
        schema: SchemaRef,
    ) -> Result<Self> {
        let order = |at: usize| {
            let keys = sides.on.get(at).into_iter().flatten();
            let keys = keys.map(|key| (key, SortOptions::default()));
            let times = sides.times.get(at).into_iter().flatten();
            let times = times.map(|time| (time, order_of_times(nearest)));
            let all = keys.chain(times);
            LexOrdering::new(
                all.map(|(expr, options)| PhysicalSortExpr::new(Arc::clone(expr), options)),
            )
            .ok_or_else(|| internal_datafusion_err!("an ASOF JOIN has no times"))
        };
        let [left, _] = &sides.inputs;
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            left.output_partitioning().clone(),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self {
            orders: [order(0)?, order(1)?],
            properties: Arc::new(properties),
            sides,
            nearest,
            keeps_left,
            schema,
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }
}

impl DisplayAs for AsOfExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.keeps_left {
            true => "Left",
            false => "Inner",
        };
        write!(f, "AsOfExec: kind={kind}, nearest={:?}, on=[", self.nearest)?;
        let [left, right] = &self.sides.on;
        for (at, (a, b)) in left.iter().zip(right).enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            write!(f, "{comma}({a}, {b})")?;
        }
        write!(f, "]")
    }
}

impl ExecutionPlan for AsOfExec {
    fn name(&self) -> &'static str {
        "AsOfExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.sides.inputs.iter().collect()
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        let [left, right] = &self.sides.on;
        if left.is_empty() {
            return InputDistributionRequirements::new(vec![
                Distribution::SinglePartition,
                Distribution::SinglePartition,
            ]);
        }
        InputDistributionRequirements::co_partitioned(vec![
            Distribution::KeyPartitioned(left.clone()),
            Distribution::KeyPartitioned(right.clone()),
        ])
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        let orders = self.orders.iter();
        orders
            .map(|order| Some(OrderingRequirements::from(order.clone())))
            .collect()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let exprs = self.sides.on.iter().chain(&self.sides.times).flatten();
        for expr in exprs {
            if f(expr)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Ok(inputs) = <[Arc<dyn ExecutionPlan>; 2]>::try_from(children) else {
            return internal_err!("AsOfExec has two inputs");
        };
        let sides = Sides {
            inputs,
            ..self.sides.clone()
        };
        let schema = Arc::clone(&self.schema);
        let plan = Self::new(sides, self.nearest, self.keeps_left, schema)?;
        Ok(Arc::new(plan))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        self.replace_children(children, options)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let side = |at: usize| {
            let input = self.sides.inputs.get(at);
            let input = input.ok_or_else(|| internal_datafusion_err!("a side has no input"))?;
            let rows = input.execute(partition, Arc::clone(&context))?;
            let own = |exprs: &[Vec<_>; 2]| exprs.get(at).cloned().unwrap_or_default();
            let (keys, times) = (own(&self.sides.on), own(&self.sides.times));
            Side::new(rows, keys, times, order_of_times(self.nearest))
        };
        let schema = Arc::clone(&self.schema);
        let sides = [side(0)?, side(1)?];
        let merge = Merge::new(sides, self.nearest.or_equal(), self.keeps_left, schema)?;
        let counted = BaselineMetrics::new(&self.metrics, partition);
        let rows = try_unfold((merge, counted), |(mut merge, counted)| async move {
            let Some(batch) = merge.next().await? else {
                counted.done();
                return Ok(None);
            };
            counted.record_output(batch.num_rows());
            Ok(Some((batch, (merge, counted))))
        });
        let schema = Arc::clone(&self.schema);
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
