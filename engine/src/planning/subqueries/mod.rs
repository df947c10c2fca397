//! Subqueries that read columns of the query around them, and that DataFusion does not make joins of.
//!
//! One that is used as a value becomes the aggregate `only_row` of its rows, of which DataFusion then makes a join where what
//! correlates it are equalities. What is left (other correlations, `EXISTS` and `IN` among the columns) is *applied*: run as a
//! function of the values that it reads.

mod applied;
mod domain;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result, internal_err};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::async_udf::AsyncScalarUDF;
use datafusion::logical_expr::logical_plan::{Subquery, check_subquery_expr};
use datafusion::logical_expr::{
    AggregateUDF, Expr, LogicalPlan, LogicalPlanBuilder, Signature, Volatility,
};
use datafusion::optimizer::decorrelate::PullUpCorrelatedExpr;

use super::rewrite;
use crate::functions::OnlyRow;
use applied::{Applied, Kind};

/// Makes each subquery of a plan one that can be run.
pub(super) fn runnable(
    plan: LogicalPlan,
    state: &SessionState,
    runtime: &Arc<RuntimeEnv>,
) -> Result<LogicalPlan> {
    let mut is_needed = false;
    plan.apply(|node| {
        is_needed |= has_subquery(node)?;
        Ok(match is_needed {
            true => TreeNodeRecursion::Stop,
            false => TreeNodeRecursion::Continue,
        })
    })?;
    if !is_needed {
        return Ok(plan);
    }
    let mut numbers = 0;
    plan.transform_up_with_subqueries(|node| {
        if !has_subquery(&node)? {
            return Ok(Transformed::no(node));
        }
        let inputs = node.inputs().into_iter().map(|input| input.schema());
        let mut columns = DFSchema::empty();
        for input in inputs {
            columns.merge(input);
        }
        let place = node.clone();
        rewrite::node(node, &mut |expr, _| {
            expr.transform_up(|expr| {
                if !is_subquery(&expr) {
                    return Ok(Transformed::no(expr));
                }
                let settled = settled(expr, &place)?;
                if is_joined(&settled.data, &place)? {
                    return Ok(settled);
                }
                numbers += 1;
                applied(settled.data, &columns, numbers, state, runtime).map(Transformed::yes)
            })
        })
    })
    .data()
}

/// Whether an expression of a node has a subquery.
fn has_subquery(node: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    node.apply_expressions(|expr| {
        found |= expr.exists(|expr| Ok(is_subquery(expr)))?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

fn is_subquery(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_)
    )
}

/// A correlated subquery used as a value, as an aggregate where it is none.
fn settled(expr: Expr, place: &LogicalPlan) -> Result<Transformed<Expr>> {
    let Expr::ScalarSubquery(subquery) = &expr else {
        return Ok(Transformed::no(expr));
    };
    let is_known = check_subquery_expr(place, &subquery.subquery, &expr).is_ok();
    if subquery.outer_ref_columns.is_empty() || is_known {
        return Ok(Transformed::no(expr));
    }
    let inner = subquery.subquery.as_ref();
    let [(qualifier, field)] = inner.schema().iter().collect::<Vec<_>>()[..] else {
        return Ok(Transformed::no(expr));
    };
    let only = AggregateUDF::from(OnlyRow::default());
    let value = Expr::Column(Column::from((qualifier, field)));
    let one = only.call(vec![value]).alias(field.name());
    let plan = LogicalPlanBuilder::from(inner.clone())
        .aggregate(Vec::<Expr>::new(), vec![one])?
        .build()?;
    Ok(Transformed::yes(Expr::ScalarSubquery(Subquery {
        subquery: Arc::new(plan),
        ..subquery.clone()
    })))
}

/// Whether DataFusion runs a subquery by itself, where it stands.
fn is_joined(expr: &Expr, place: &LogicalPlan) -> Result<bool> {
    let (subquery, is_value) = match expr {
        Expr::ScalarSubquery(subquery) => (subquery, true),
        Expr::Exists(exists) => (&exists.subquery, false),
        Expr::InSubquery(within) => (&within.subquery, false),
        _ => return Ok(true),
    };
    if check_subquery_expr(place, &subquery.subquery, expr).is_err()
        || !is_correlated_by_filters(&subquery.subquery)?
    {
        return Ok(false);
    }
    if !is_value {
        return Ok(matches!(place, LogicalPlan::Filter(_)));
    }
    if subquery.outer_ref_columns.is_empty() {
        return Ok(true);
    }
    if !matches!(place, LogicalPlan::Filter(_) | LogicalPlan::Projection(_)) {
        return Ok(false);
    }
    let mut pull_up = PullUpCorrelatedExpr::new().with_need_handle_count_bug(true);
    let pulled = subquery.subquery.as_ref().clone().rewrite(&mut pull_up);
    Ok(pulled.is_ok() && pull_up.can_pull_up)
}

/// Whether columns of the query around it stand in conditions only: nothing else is pulled up.
fn is_correlated_by_filters(plan: &LogicalPlan) -> Result<bool> {
    let mut has_others = false;
    plan.apply(|node| {
        if !matches!(node, LogicalPlan::Filter(_)) {
            node.apply_expressions(|expr| {
                has_others |= expr.contains_outer();
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(!has_others)
}

/// The call of a function that runs the subquery.
fn applied(
    expr: Expr,
    columns: &DFSchema,
    number: usize,
    state: &SessionState,
    runtime: &Arc<RuntimeEnv>,
) -> Result<Expr> {
    let (subquery, kind, needle) = match expr {
        Expr::ScalarSubquery(subquery) => (subquery, Kind::Value, None),
        Expr::Exists(exists) => (
            exists.subquery,
            Kind::Exists {
                negated: exists.negated,
            },
            None,
        ),
        Expr::InSubquery(within) => (
            within.subquery,
            Kind::Contains {
                negated: within.negated,
            },
            Some(*within.expr),
        ),
        expr => return Ok(expr),
    };
    let mut outer = Vec::new();
    for reference in &subquery.outer_ref_columns {
        if let Expr::OuterReferenceColumn(_, column) = reference
            && !outer.contains(column)
        {
            outer.push(column.clone());
        }
    }
    let mut args = Vec::with_capacity(outer.len() + 1);
    for reference in &subquery.outer_ref_columns {
        if let Expr::OuterReferenceColumn(_, column) = reference
            && args.len() < outer.len()
            && outer.get(args.len()) == Some(column)
        {
            // A column of a query further out stays one, and is given when that is run.
            args.push(match columns.has_column(column) {
                true => Expr::Column(column.clone()),
                false => reference.clone(),
            });
        }
    }
    args.extend(needle);
    let field = match kind {
        Kind::Value => match subquery.subquery.schema().fields().first() {
            Some(field) => Arc::new(field.as_ref().clone().with_nullable(true)),
            None => return internal_err!("a subquery without columns"),
        },
        _ => Arc::new(Field::new("exists", DataType::Boolean, true)),
    };
    let function = Applied {
        name: format!("subquery_{number}"),
        plan: subquery.subquery.as_ref().clone(),
        outer,
        kind,
        field,
        state: state.clone(),
        runtime: Arc::clone(runtime),
        // As what it calls may give something else each time.
        signature: match args.len() {
            0 => Signature::nullary(Volatility::Volatile),
            count => Signature::any(count, Volatility::Volatile),
        },
    };
    let function = AsyncScalarUDF::new(Arc::new(function)).into_scalar_udf();
    Ok(function.call(args))
}
