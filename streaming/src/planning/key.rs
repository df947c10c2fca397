//! [`unique_key`]: which columns tell a query's rows apart. In: a logical plan. Out: columns of its output.

use std::any::Any;
use std::collections::BTreeSet;

use datafusion::common::{DFSchema, JoinType};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Distinct, Expr, Join, LogicalPlan, Operator, TableScan, Window,
};
use weir_connectors::topic::{FollowedTable, MirroredTable};

use crate::asof::as_asof_join;
use crate::guard::behind_guard;

/// Columns whose values no two rows of an answer share, as numbers in order; where an answer never has more than one row, no columns.
/// `None` where nothing is known: the rows of streams have no key.
///
/// They are the primary keys of tables, what rows are grouped or numbered by, and what is left of these through joins and projections.
pub fn unique_key(plan: &LogicalPlan) -> Option<Vec<usize>> {
    let key = key_of(plan)?;
    Some(key.into_iter().collect())
}

type Key = BTreeSet<usize>;

fn key_of(plan: &LogicalPlan) -> Option<Key> {
    match plan {
        LogicalPlan::TableScan(scan) => of_scan(scan),
        LogicalPlan::Projection(projection) => {
            let key = key_of(&projection.input)?;
            let input = projection.input.schema();
            let place = |wanted: usize| {
                let mut exprs = projection.expr.iter();
                exprs.position(|expr| column_of(expr, input) == Some(wanted))
            };
            key.into_iter().map(place).collect()
        }
        LogicalPlan::Filter(filter) => {
            let mut key = key_of(&filter.input)?;
            // What is the same in all rows tells none apart.
            for condition in split_conjunction(&filter.predicate) {
                if let Some(column) = one_value(condition, filter.input.schema()) {
                    key.remove(&column);
                }
            }
            Some(key)
        }
        LogicalPlan::SubqueryAlias(alias) => key_of(&alias.input),
        plan if let Some(input) = behind_guard(plan) => key_of(input),
        LogicalPlan::Sort(sort) => key_of(&sort.input),
        LogicalPlan::Limit(limit) => key_of(&limit.input),
        LogicalPlan::Repartition(repartition) => key_of(&repartition.input),
        // Its functions' columns come after those of its input.
        LogicalPlan::Window(window) => key_of(&window.input).or_else(|| of_row_numbers(window)),
        LogicalPlan::Aggregate(aggregate) => of_groups(aggregate),
        LogicalPlan::Distinct(Distinct::All(input)) => {
            let all = (0..input.schema().fields().len()).collect();
            Some(key_of(input).unwrap_or(all))
        }
        LogicalPlan::Join(join) => of_join(join),
        // Each row of the left side is there once at the most, and its columns come first.
        plan => {
            let [left, _] = as_asof_join(plan)?.sides();
            key_of(left)
        }
    }
}

fn of_scan(scan: &TableScan) -> Option<Key> {
    let provider = source_as_provider(&scan.source).ok()?;
    let provider = provider.as_ref() as &dyn Any;
    let key = match provider.downcast_ref::<MirroredTable>() {
        Some(mirrored) => mirrored.key(),
        None => provider.downcast_ref::<FollowedTable>()?.key()?,
    };
    let place = |column: usize| match &scan.projection {
        None => Some(column),
        Some(columns) => columns.iter().position(|other| *other == column),
    };
    key.iter().map(|column| place(*column)).collect()
}

fn of_groups(aggregate: &Aggregate) -> Option<Key> {
    match aggregate.group_expr.as_slice() {
        // A row of one set may look like that of another.
        [Expr::GroupingSet(_)] => None,
        groups => Some((0..groups.len()).collect()),
    }
}

/// A row's number, and what rows are numbered by.
fn of_row_numbers(window: &Window) -> Option<Key> {
    let input = window.input.schema();
    let first = input.fields().len();
    window
        .window_expr
        .iter()
        .enumerate()
        .find_map(|(at, expr)| {
            let Expr::WindowFunction(function) = expr.clone().unalias() else {
                return None;
            };
            if function.fun.name() != "row_number" {
                return None;
            }
            let by = function.params.partition_by.iter();
            let by = by.map(|by| column_of(by, input));
            by.chain([Some(first + at)]).collect()
        })
}

/// The column that has one value in all rows that pass a condition.
fn one_value(condition: &Expr, input: &DFSchema) -> Option<usize> {
    let Expr::BinaryExpr(BinaryExpr {
        left,
        op: Operator::Eq,
        right,
    }) = condition
    else {
        return None;
    };
    match (left.as_ref(), right.as_ref()) {
        // A zero equals the negative one, which is another value.
        (column, Expr::Literal(value, _)) | (Expr::Literal(value, _), column)
            if !value.data_type().is_floating() =>
        {
            column_of(column, input)
        }
        _ => None,
    }
}

fn of_join(join: &Join) -> Option<Key> {
    let left_columns = join.left.schema().fields().len();
    match join.join_type {
        JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => {
            return key_of(&join.left);
        }
        JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => {
            return key_of(&join.right);
        }
        // A row that has no partner on one side may look like one that has none on the other.
        JoinType::Full => return None,
        JoinType::Inner | JoinType::Left | JoinType::Right => {}
    }
    let left = key_of(&join.left)?;
    let right = key_of(&join.right)?;
    let side = |of_left: bool| -> Key {
        let pairs = join.on.iter().filter_map(|(left, right)| match of_left {
            true => column_of(left, join.left.schema()),
            false => column_of(right, join.right.schema()),
        });
        pairs.collect()
    };
    // Each row of one side meets one of the other at the most, where all of that one's key is asked for.
    if join.join_type != JoinType::Right && right.is_subset(&side(false)) {
        return Some(left);
    }
    let right: Key = right.into_iter().map(|at| at + left_columns).collect();
    if join.join_type != JoinType::Left && left.is_subset(&side(true)) {
        return Some(right);
    }
    Some(left.union(&right).copied().collect())
}

/// The column of `input` that an expression gives as it is.
fn column_of(expr: &Expr, input: &DFSchema) -> Option<usize> {
    match expr {
        Expr::Column(column) => input.maybe_index_of_column(column),
        Expr::Alias(alias) => column_of(&alias.expr, input),
        _ => None,
    }
}
