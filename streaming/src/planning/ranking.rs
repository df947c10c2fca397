//! The first rows of each key: `ROW_NUMBER() OVER (PARTITION BY k ORDER BY o)` below a filter that lets pass small numbers alone.

use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::expr::{Sort, WindowFunctionParams};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator, Window};

/// Rows that are numbered by key, of which the first are asked for.
#[derive(Debug, PartialEq)]
pub(super) struct Ranked<'a> {
    pub(super) input: &'a LogicalPlan,
    pub(super) partition_by: &'a [Expr],
    pub(super) order_by: &'a [Sort],
    /// How many of each key at most.
    pub(super) first: usize,
}

impl<'a> Ranked<'a> {
    /// What `window` numbers, if that is all that it does, and `filter` above it bounds the number.
    pub(super) fn of(window: &'a Window, filter: &Expr) -> Option<Self> {
        let [expr] = window.window_expr.as_slice() else {
            return None;
        };
        let Expr::WindowFunction(function) = without_alias(expr) else {
            return None;
        };
        let WindowFunctionParams {
            partition_by,
            order_by,
            filter: None,
            distinct: false,
            ..
        } = &function.params
        else {
            return None;
        };
        if function.fun.name() != "row_number" {
            return None;
        }
        let number = window.schema.columns().pop()?;
        let bounds = split_conjunction(filter).into_iter();
        let first = bounds
            .filter_map(|bound| upper_bound(bound, &number))
            .min()?;
        Some(Self {
            input: window.input.as_ref(),
            partition_by,
            order_by,
            first,
        })
    }
}

fn without_alias(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => without_alias(&alias.expr),
        other => other,
    }
}

/// The largest number that a condition lets pass.
fn upper_bound(condition: &Expr, number: &Column) -> Option<usize> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = condition else {
        return None;
    };
    let (column, op, bound) = match (left.as_ref(), right.as_ref()) {
        (Expr::Column(column), Expr::Literal(bound, _)) => (column, *op, bound),
        (Expr::Literal(bound, _), Expr::Column(column)) => (column, op.swap()?, bound),
        _ => return None,
    };
    let bound = match bound {
        ScalarValue::UInt64(Some(bound)) => usize::try_from(*bound).ok()?,
        ScalarValue::Int64(Some(bound)) => usize::try_from(*bound).ok()?,
        _ => return None,
    };
    if column != number {
        return None;
    }
    match op {
        Operator::LtEq | Operator::Eq => Some(bound),
        Operator::Lt => Some(bound.saturating_sub(1)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{col, lit};

    use super::*;

    #[test]
    fn a_number_is_bounded_from_above() {
        let number = Column::from_name("n");
        let bound = |condition: Expr| upper_bound(&condition, &number);
        assert_eq!(bound(col("n").lt_eq(lit(3u64))), Some(3));
        assert_eq!(bound(col("n").lt(lit(3i64))), Some(2));
        assert_eq!(bound(col("n").eq(lit(1u64))), Some(1));
        assert_eq!(bound(lit(4u64).gt(col("n"))), Some(3));
        assert_eq!(bound(col("n").lt(lit(0u64))), Some(0));
        assert_eq!(bound(col("n").gt(lit(3u64))), None);
        assert_eq!(bound(col("n").lt_eq(lit(-3i64))), None);
        assert_eq!(bound(col("m").lt_eq(lit(3u64))), None);
        assert_eq!(bound(col("n").lt_eq(col("m"))), None);
        assert_eq!(bound(col("n").not_eq(lit(3u64))), None);
    }
}
