//! Intervals that are compared: by their length, a month of 30 days and a day of 24 hours, as PostgreSQL has it. Arrow compares
//! months first, then days, then the rest, so that 4 days of 96 hours are less than one of a day.
//!
//! In: a plan whose types are settled. Out: the same plan, in which comparisons and sorts of intervals are those of their lengths.

use arrow::datatypes::{DataType, IntervalUnit};
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::{Expr, LogicalPlan, Operator};

use super::rewrite::Scope;
use crate::functions;

/// `expr` with comparisons of intervals as those of their lengths.
pub(super) fn compared(expr: Expr, scope: &Scope<'_>) -> Result<Transformed<Expr>> {
    expr.transform_up(|mut expr| {
        let changed = match &mut expr {
            Expr::BinaryExpr(binary) if is_comparison(binary.op) => {
                spans([&mut *binary.left, &mut *binary.right], scope)?
            }
            Expr::Between(between) => spans(
                [&mut *between.expr, &mut *between.low, &mut *between.high],
                scope,
            )?,
            Expr::InList(list) => spans(
                std::iter::once(&mut *list.expr).chain(&mut list.list),
                scope,
            )?,
            _ => false,
        };
        Ok(match changed {
            true => Transformed::yes(expr),
            false => Transformed::no(expr),
        })
    })
}

fn is_comparison(op: Operator) -> bool {
    matches!(
        op,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}

fn is_interval(expr: &Expr, scope: &Scope<'_>) -> bool {
    scope.type_of(expr) == Some(DataType::Interval(IntervalUnit::MonthDayNano))
}

/// Puts the lengths of intervals in their place, if all operands are some.
fn spans<'a>(operands: impl IntoIterator<Item = &'a mut Expr>, scope: &Scope<'_>) -> Result<bool> {
    let operands: Vec<_> = operands.into_iter().collect();
    if !operands.iter().all(|operand| is_interval(operand, scope)) {
        return Ok(false);
    }
    for operand in operands {
        *operand = functions::call("interval_span", vec![std::mem::take(operand)])?;
    }
    Ok(true)
}

/// A sort by intervals as one by their lengths.
pub(super) fn sorted(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Sort(mut sort) = plan else {
        return Ok(Transformed::no(plan));
    };
    let schema = sort.input.schema().as_ref().clone();
    let columns = || schema.clone();
    let scope = Scope::new(&columns);
    let mut changed = false;
    for by in &mut sort.expr {
        if is_interval(&by.expr, &scope) {
            by.expr = functions::call("interval_span", vec![std::mem::take(&mut by.expr)])?;
            changed = true;
        }
    }
    let plan = LogicalPlan::Sort(sort);
    Ok(match changed {
        true => Transformed::yes(plan),
        false => Transformed::no(plan),
    })
}
