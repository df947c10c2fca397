//! `ASOF JOIN`: each row of the left side with the one row of the right side that is nearest to it in time, of those with its keys.
//!
//! *Nearest* is the last that is not after it, or, where the condition looks ahead, the first that is not before it. Of several right
//! rows of one time it is the last in the order of all columns of the right side, nulls first: that follows from the rows alone, so it
//! is the same however they came. A row without a time, or with a null among its keys, is near to none.
//!
//! [`AsOfJoin`] is the node of a plan. A bounded query runs it as one merge of two sorted inputs ([`exec`]); a query that goes on
//! follows it by the rows that a change can touch (`operators/asof`).

mod exec;
mod join;
mod merge;
mod planner;
#[cfg(test)]
mod tests;

pub(crate) use join::as_asof_join;
pub use join::{AsOfJoin, Nearest};
pub use planner::AsOfPlanner;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::SortOptions;
use datafusion::physical_plan::PhysicalExpr;
use std::sync::Arc;

/// The values of some expressions over a batch.
fn values(
    exprs: &[Arc<dyn PhysicalExpr>],
    batch: &RecordBatch,
) -> datafusion::common::Result<Vec<ArrayRef>> {
    let values = exprs.iter().map(|expr| {
        let value = expr.evaluate(batch)?;
        value.into_array(batch.num_rows())
    });
    values.collect()
}

/// Which rows have no null among some values.
pub(crate) fn without_nulls(values: &[ArrayRef], rows: usize) -> BooleanArray {
    let nulls = values.iter().fold(None, |nulls, values| {
        NullBuffer::union(nulls.as_ref(), values.logical_nulls().as_ref())
    });
    let are_there = nulls.map_or_else(
        || BooleanBuffer::new_set(rows),
        |nulls| nulls.inner().clone(),
    );
    BooleanArray::new(are_there, None)
}

/// The order of times in which the right row that is near to a left one is the last that is not behind it.
pub(crate) fn order_of_times(nearest: Nearest) -> SortOptions {
    SortOptions::new(nearest.looks_ahead(), true)
}
