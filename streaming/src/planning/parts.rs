//! Aggregations in parts: what rows come to, what such parts come to together, and what comes out in the end.

use std::sync::Arc;

use datafusion::logical_expr::{Aggregate, Expr};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};

use super::Kernel;
use crate::error::Result;

/// Functions whose result does not depend on the order in which parts are put together, and whose accumulators can be asked again and
/// again while rows come.
pub(crate) const UNORDERED: [&str; 13] = [
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "bool_and",
    "bool_or",
    "bit_and",
    "bit_or",
    "bit_xor",
    "stddev",
    "var",
    "approx_distinct",
];

/// Whether an aggregation's result is the same in whatever parts its rows are taken.
pub(super) fn can_be_parted(aggregate: &Aggregate) -> bool {
    let is_plain = |expr: &Expr| !matches!(expr, Expr::GroupingSet(_));
    aggregate.group_expr.iter().all(is_plain)
        && aggregate
            .aggr_expr
            .iter()
            .all(|expr| match expr.clone().unalias() {
                Expr::AggregateFunction(call) => {
                    UNORDERED.contains(&call.func.name()) && call.params.order_by.is_empty()
                }
                _ => false,
            })
}

/// The three parts of an aggregation.
pub(super) struct Parts {
    /// From rows to a row for each group.
    pub(super) partial: Kernel,
    /// From several such rows for a group to one.
    pub(super) reduce: Kernel,
    /// From such rows to what the aggregation gives, without one of its keys.
    pub(super) whole: Kernel,
}

impl Parts {
    /// Takes the aggregation that `kernel` runs apart, if it is one; its key at `dropped` is left out in the end.
    pub(super) fn of(kernel: Kernel, dropped: usize) -> Result<Option<Self>> {
        let Some(whole) = kernel.plan().downcast_ref::<AggregateExec>() else {
            return Ok(None);
        };
        let is_single = matches!(
            whole.mode(),
            AggregateMode::Single | AggregateMode::SinglePartitioned
        );
        if !is_single || whole.limit_options().is_some() {
            return Ok(None);
        }
        let input_schema = whole.input_schema();
        let calls = whole.aggr_expr().to_vec();
        let groups = whole.group_expr().clone();
        let partial: Arc<dyn ExecutionPlan> = Arc::new(AggregateExec::try_new(
            AggregateMode::Partial,
            groups.clone(),
            calls.clone(),
            whole.filter_expr().to_vec(),
            Arc::clone(whole.input()),
            Arc::clone(&input_schema),
        )?);
        let of_parts = |mode, leaf| -> Result<Arc<dyn ExecutionPlan>> {
            Ok(Arc::new(AggregateExec::try_new(
                mode,
                groups.as_final(),
                calls.clone(),
                vec![None; calls.len()],
                leaf,
                Arc::clone(&input_schema),
            )?))
        };
        let schema = partial.schema();
        let reduce = kernel.over(&schema, |leaf| of_parts(AggregateMode::PartialReduce, leaf))?;
        let whole = kernel.over(&schema, |leaf| {
            let whole = of_parts(AggregateMode::Final, leaf)?;
            let schema = whole.schema();
            let columns = schema.fields().iter().enumerate();
            let columns = columns.filter(|(at, _)| *at != dropped).map(|(at, field)| {
                let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), at));
                (column, field.name().clone())
            });
            let columns: Vec<_> = columns.collect();
            Ok(Arc::new(ProjectionExec::try_new(columns, whole)?))
        })?;
        Ok(Some(Self {
            partial: kernel.with_plan(partial),
            reduce,
            whole,
        }))
    }
}
