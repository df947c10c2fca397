//! Carrying a column from below a plan up to its top.

use std::any::Any;
use std::sync::Arc;

use datafusion::common::{Column, JoinType};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::logical_plan::builder::unnest_with_options;
use datafusion::logical_expr::{
    Expr, Filter, Join, LogicalPlan, Projection, SubqueryAlias, Union, when,
};
use weir_connectors::topic::{FollowedTable, MirroredTable, StreamTable};

use super::stream::WatermarkedStream;
use crate::asof::as_asof_join;
use crate::error::{Error, Result};
use crate::guard::{behind_guard, guarded};

/// Gives the plan and the column where carrying begins, of a plan where it does.
pub(crate) type Leaf<'a> = dyn FnMut(&LogicalPlan) -> Result<Option<(LogicalPlan, Column)>> + 'a;

/// The plan with a column from below, and that column. `leaf` gives both where it begins; `name` is what it is called on the way.
/// Where rows of two come together, it is the larger of both.
///
/// # Errors
/// When a row of the plan is not made of one row of each of its sources.
pub(crate) fn carry(
    plan: &LogicalPlan,
    name: &str,
    leaf: &mut Leaf<'_>,
) -> Result<(LogicalPlan, Column)> {
    if let Some(begun) = leaf(plan)? {
        return Ok(begun);
    }
    match plan {
        LogicalPlan::Projection(projection) => {
            let (input, column) = carry(&projection.input, name, leaf)?;
            let mut exprs = projection.expr.clone();
            exprs.push(Expr::Column(column).alias(name));
            let projection = Projection::try_new(exprs, Arc::new(input))?;
            Ok((
                LogicalPlan::Projection(projection),
                Column::new_unqualified(name),
            ))
        }
        LogicalPlan::Filter(filter) => {
            let (input, column) = carry(&filter.input, name, leaf)?;
            let filter = Filter::try_new(filter.predicate.clone(), Arc::new(input))?;
            Ok((LogicalPlan::Filter(filter), column))
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let (input, column) = carry(&alias.input, name, leaf)?;
            let column = Column::new(Some(alias.alias.clone()), column.name);
            let alias = SubqueryAlias::try_new(Arc::new(input), alias.alias.clone())?;
            Ok((LogicalPlan::SubqueryAlias(alias), column))
        }
        LogicalPlan::Unnest(unnest) => {
            let (input, column) = carry(&unnest.input, name, leaf)?;
            let columns = unnest.exec_columns.clone();
            let plan = unnest_with_options(input, columns, unnest.options.clone())?;
            Ok((plan, column))
        }
        plan if let Some(input) = behind_guard(plan) => {
            let (input, column) = carry(input, name, leaf)?;
            Ok((guarded(input), column))
        }
        // Rows in a window are in no order.
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => carry(&sort.input, name, leaf),
        LogicalPlan::Union(union) => {
            let inputs = union.inputs.iter().map(|input| {
                let (carried, column) = carry(input, name, leaf)?;
                let columns = input.schema().columns().into_iter().map(Expr::Column);
                let columns = columns.chain([Expr::Column(column).alias(name)]);
                let input = Projection::try_new(columns.collect(), Arc::new(carried))?;
                Ok(Arc::new(LogicalPlan::Projection(input)))
            });
            let union = Union::try_new_with_loose_types(inputs.collect::<Result<_>>()?)?;
            let column = union.schema.columns().pop();
            let column = column.ok_or(Error::Internal("a union has no columns"))?;
            Ok((LogicalPlan::Union(union), column))
        }
        LogicalPlan::Join(join) if join.join_type == JoinType::Inner => {
            joined(plan, join, name, leaf)
        }
        LogicalPlan::TableScan(scan) if changes(plan)? => Err(Error::Windows {
            message: format!("{} has no watermark", scan.table_name),
            hint: "only a stream can have one: CREATE STREAM s (…, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '5 seconds')",
        }),
        LogicalPlan::TableScan(_) | LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => {
            Err(Error::Windows {
                message: "a window that closes must be over a stream".to_owned(),
                hint: "leave EMIT ON WINDOW CLOSE out: what does not change is complete at once",
            })
        }
        plan => Err(Error::Windows {
            message: format!(
                "a window that closes must be over the rows of a stream as they come, and cannot be over {}",
                node_name(plan)
            ),
            hint: "put the window around the stream: TUMBLE(s, at, INTERVAL '1 minute')",
        }),
    }
}

/// An inner join: a row of it is late as soon as one of its rows is.
fn joined(
    plan: &LogicalPlan,
    join: &Join,
    name: &str,
    leaf: &mut Leaf<'_>,
) -> Result<(LogicalPlan, Column)> {
    let mut carried = Vec::new();
    let mut sides = Vec::new();
    for side in [&join.left, &join.right] {
        if changes(side)? {
            let (side, column) = carry(side, name, leaf)?;
            // Both sides may call it the same.
            let alias = format!("{name}{}", carried.len());
            let columns = side.schema().columns().into_iter();
            let columns = columns.filter(|other| *other != column).map(Expr::Column);
            let columns = columns.chain([Expr::Column(column.clone()).alias(&alias)]);
            let side = Projection::try_new(columns.collect(), Arc::new(side.clone()))?;
            sides.push(LogicalPlan::Projection(side));
            carried.push(Expr::Column(Column::new_unqualified(alias)));
        } else {
            sides.push(side.as_ref().clone());
        }
    }
    let larger = match carried.as_slice() {
        [only] => only.clone(),
        [a, b] => when(a.clone().is_null(), b.clone())
            .when(b.clone().is_null(), a.clone())
            .when(a.clone().gt_eq(b.clone()), a.clone())
            .otherwise(b.clone())?,
        _ => {
            return Err(Error::Windows {
                message: "a window that closes must be over a stream".to_owned(),
                hint: "leave EMIT ON WINDOW CLOSE out: what does not change is complete at once",
            });
        }
    };
    let top = plan.with_new_exprs(plan.expressions(), sides)?;
    let columns = join.schema.columns().into_iter().map(Expr::Column);
    let columns = columns.chain([larger.alias(name)]).collect();
    let top = Projection::try_new(columns, Arc::new(top))?;
    let column = Column::new_unqualified(name);
    Ok((LogicalPlan::Projection(top), column))
}

/// Whether a plan reads what changes.
pub(super) fn changes(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            let provider = source_as_provider(&scan.source)?;
            let provider = provider.as_ref() as &dyn Any;
            found |= provider.is::<StreamTable>()
                || provider.is::<FollowedTable>()
                || provider.is::<MirroredTable>()
                || provider.is::<WatermarkedStream>();
        }
        Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// A node of a plan in SQL's words.
pub(super) fn node_name(plan: &LogicalPlan) -> &'static str {
    match plan {
        LogicalPlan::Aggregate(_) => "GROUP BY or an aggregate",
        LogicalPlan::Distinct(_) => "DISTINCT",
        LogicalPlan::Window(_) => "OVER windows",
        LogicalPlan::Join(_) => "this kind of join",
        LogicalPlan::Sort(_) | LogicalPlan::Limit(_) => "LIMIT",
        LogicalPlan::RecursiveQuery(_) => "a recursive query",
        plan if as_asof_join(plan).is_some() => "ASOF JOIN",
        LogicalPlan::Extension(_) => "a window",
        _ => "this kind of query",
    }
}
