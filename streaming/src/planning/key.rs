//! [`unique_key`]: which columns tell a query's rows apart. In: a logical plan. Out: columns of its output.

use std::any::Any;
use std::collections::BTreeSet;

use datafusion::common::{DFSchema, JoinType};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Aggregate, Distinct, Expr, Join, LogicalPlan, TableScan};
use weir_connectors::topic::{FollowedTable, MirroredTable};

/// Columns whose values no two rows of an answer share, as numbers in order; where an answer never has more than one row, no columns.
/// `None` where nothing is known: a query over the rows of streams has none, for they have no key.
///
/// They are the primary keys of tables, what rows are grouped by, and what is left of both through joins and projections.
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
        LogicalPlan::Filter(filter) => key_of(&filter.input),
        LogicalPlan::SubqueryAlias(alias) => key_of(&alias.input),
        LogicalPlan::Sort(sort) => key_of(&sort.input),
        LogicalPlan::Limit(limit) => key_of(&limit.input),
        LogicalPlan::Repartition(repartition) => key_of(&repartition.input),
        // Its functions' columns come after those of its input.
        LogicalPlan::Window(window) => key_of(&window.input),
        LogicalPlan::Aggregate(aggregate) => of_groups(aggregate),
        LogicalPlan::Distinct(Distinct::All(input)) => {
            let all = (0..input.schema().fields().len()).collect();
            Some(key_of(input).unwrap_or(all))
        }
        LogicalPlan::Join(join) => of_join(join),
        _ => None,
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
