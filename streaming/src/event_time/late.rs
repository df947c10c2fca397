//! The rows that came too late for their windows, as a query of its own.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Column, ExprSchema, ScalarValue};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast};

use super::close::{WindowClose, Windows, as_window_close};
use super::stream::watermark_type;
use super::time::nanos_per_unit;
use crate::error::{Error, Result};

/// The rows that are late for the windows of a query, which has not been optimised yet: their columns, and the window that each is late
/// for; of a session, the one that the row alone would be in.
///
/// # Errors
/// When it has no windows, several whose rows differ in their columns, or one that cannot close.
pub fn late_rows(plan: &LogicalPlan) -> Result<LogicalPlan> {
    let mut windows: Vec<WindowClose> = Vec::new();
    plan.apply_with_subqueries(|node| {
        match as_window_close(node) {
            // The same rows may be named several times.
            Some(node) if windows.contains(node) => {}
            Some(node) => windows.push(node.clone()),
            None => return Ok(TreeNodeRecursion::Continue),
        }
        Ok(TreeNodeRecursion::Jump)
    })?;
    let mut late = windows.iter().map(late_for);
    let first = late.next().ok_or_else(|| Error::Windows {
        message: "no row is late for a query without windows".to_owned(),
        hint: "EMIT ON WINDOW CLOSE needs a window",
    })??;
    late.try_fold(first, |all, other| {
        let other = other?;
        let columns = |plan: &LogicalPlan| {
            let fields = plan.schema().fields().iter();
            let columns = fields.map(|field| (field.name().clone(), field.data_type().clone()));
            columns.collect::<Vec<_>>()
        };
        if columns(&all) != columns(&other) {
            return Err(Error::Windows {
                message: "the late rows of several windows have different columns".to_owned(),
                hint: "make a view of each window, and join the views",
            });
        }
        Ok(LogicalPlanBuilder::from(all).union(other)?.build()?)
    })
}

fn late_for(windows: &WindowClose) -> Result<LogicalPlan> {
    let windows = windows.carried()?;
    let schema = windows.input().schema();
    let (Some(start), Some(end), Some(watermark)) =
        (windows.start(), windows.end(), windows.watermark())
    else {
        return Err(Error::Internal("a window does not know of the watermark"));
    };
    let watermark_column = Expr::Column(watermark.clone());
    let nanos = |column: &Column| -> Result<Expr> {
        let unit = nanos_per_unit(schema.field_from_column(column)?.data_type())?;
        let number = cast(Expr::Column(column.clone()), DataType::Int64);
        let unit = Expr::Literal(ScalarValue::Decimal128(Some(unit), 38, 0), None);
        Ok(cast(
            cast(number, watermark_type()) * unit,
            watermark_type(),
        ))
    };
    let is_late = match windows.windows() {
        Windows::Grid { .. } => watermark_column.gt_eq(nanos(end)?),
        Windows::Session => watermark_column.gt(nanos(start)?),
    };
    let left_out = |column: &Column| column == watermark || windows.keys().contains(column);
    let columns = schema.columns().into_iter();
    let columns = columns.filter(|column| !left_out(column));
    let rows = LogicalPlanBuilder::from(windows.input().clone()).filter(is_late)?;
    Ok(rows.project(columns.map(Expr::Column))?.build()?)
}
