//! `FROM t, LATERAL (SELECT … FROM u WHERE u.k = t.k ORDER BY o LIMIT n)`: the first rows for each row of the relations before.
//!
//! In: a plan with such a query, which DataFusion cannot decorrelate. Out: the same plan, in which `row_number()` over the rows of each
//! key, in that order, takes the place of the limit. What is left of the correlation is a comparison, which DataFusion turns into
//! a join.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, Result, ScalarValue};
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{
    Expr, ExprFunctionExt, Filter, Limit, LogicalPlan, LogicalPlanBuilder, Operator, Projection,
    SortExpr, Subquery, lit,
};

/// The column of the number.
const NUMBER: &str = "\u{1}number";

/// A plan whose lateral queries have no such limit.
pub(in crate::planning) fn numbered(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|plan| match plan {
        LogicalPlan::Subquery(subquery) => Ok(match unlimited(&subquery.subquery)? {
            Some(rows) => Transformed::yes(LogicalPlan::Subquery(Subquery {
                subquery: Arc::new(rows),
                ..subquery
            })),
            None => Transformed::no(LogicalPlan::Subquery(subquery)),
        }),
        other => Ok(Transformed::no(other)),
    })
    .data()
}

/// What is to be limited, and how.
struct Wanted {
    skip: i64,
    fetch: i64,
    order: Vec<SortExpr>,
}

fn unlimited(plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    match plan {
        LogicalPlan::Projection(projection) => {
            let input = unlimited(&projection.input)?;
            input
                .map(|input| {
                    Projection::try_new(projection.expr.clone(), Arc::new(input))
                        .map(LogicalPlan::Projection)
                })
                .transpose()
        }
        LogicalPlan::Limit(Limit { skip, fetch, input }) => {
            let (Some(skip), Some(fetch)) = (
                skip.as_deref().map_or(Some(0), number),
                fetch.as_deref().and_then(number),
            ) else {
                return Ok(None);
            };
            let wanted = Wanted {
                skip,
                fetch,
                order: vec![],
            };
            limited(input, wanted)
        }
        _ => Ok(None),
    }
}

fn number(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Literal(ScalarValue::Int64(number), _) => *number,
        Expr::Literal(ScalarValue::UInt64(number), _) => i64::try_from((*number)?).ok(),
        _ => None,
    }
}

/// The first rows of `plan` for each key that its filter compares with a row around it.
fn limited(plan: &LogicalPlan, mut wanted: Wanted) -> Result<Option<LogicalPlan>> {
    match plan {
        LogicalPlan::Sort(sort) if wanted.order.is_empty() && sort.fetch.is_none() => {
            wanted.order.clone_from(&sort.expr);
            limited(&sort.input, wanted)
        }
        LogicalPlan::Projection(projection) => {
            for by in &mut wanted.order {
                by.expr = below(std::mem::take(&mut by.expr), projection)?;
            }
            let input = limited(&projection.input, wanted)?;
            input
                .map(|input| {
                    Projection::try_new(projection.expr.clone(), Arc::new(input))
                        .map(LogicalPlan::Projection)
                })
                .transpose()
        }
        LogicalPlan::Filter(filter) => {
            let (outer, own): (Vec<_>, Vec<_>) = split_conjunction_owned(filter.predicate.clone())
                .into_iter()
                .partition(Expr::contains_outer);
            let keys: Option<Vec<Expr>> = outer.iter().map(key).collect();
            let Some(keys) = keys.filter(|keys| !keys.is_empty()) else {
                return Ok(None);
            };
            let mut rows = LogicalPlanBuilder::from(filter.input.as_ref().clone());
            for predicate in own {
                rows = rows.filter(predicate)?;
            }
            let number = row_number().partition_by(keys);
            // An empty order is none: DataFusion takes it for one by a column that is not there.
            let number = match wanted.order.is_empty() {
                true => number,
                false => number.order_by(wanted.order),
            };
            let number = number.build()?.alias(NUMBER);
            let rows = rows.window(vec![number])?.build()?;
            let number = Expr::Column(Column::new_unqualified(NUMBER));
            let first = number
                .clone()
                .gt(lit(wanted.skip))
                .and(number.lt_eq(lit(wanted.skip.saturating_add(wanted.fetch))));
            let predicate = outer.into_iter().fold(first, Expr::and);
            Ok(Some(LogicalPlan::Filter(Filter::try_new(
                predicate,
                Arc::new(rows),
            )?)))
        }
        _ => Ok(None),
    }
}

/// Of a comparison of a column here with one around, the column here.
fn key(predicate: &Expr) -> Option<Expr> {
    let Expr::BinaryExpr(binary) = predicate else {
        return None;
    };
    if binary.op != Operator::Eq {
        return None;
    }
    match (binary.left.contains_outer(), binary.right.contains_outer()) {
        (false, true) => Some(binary.left.as_ref().clone()),
        (true, false) => Some(binary.right.as_ref().clone()),
        _ => None,
    }
}

/// An expression over what a projection gives, as one over its input.
fn below(expr: Expr, projection: &Projection) -> Result<Expr> {
    expr.transform(|expr| {
        if let Expr::Column(column) = &expr
            && let Some(at) = projection.schema.maybe_index_of_column(column)
            && let Some(inner) = projection.expr.get(at)
        {
            return Ok(Transformed::yes(inner.clone().unalias()));
        }
        Ok(Transformed::no(expr))
    })
    .data()
}
