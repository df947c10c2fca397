//! Which parts of a query over closed windows need no memory: those in which rows of different windows have nothing to do with one
//! another. As each window's rows come in one step and never again, such a part is run on the rows of a step alone.

use datafusion::common::{Column, JoinType};
use datafusion::logical_expr::{
    Aggregate, Distinct, Expr, ExprSchemable, Join, LogicalPlan, Window,
};

use super::carry::{changes, node_name};
use super::close::{WindowClose, Windows, as_window_close};
use super::time::nanos_per_unit;
use crate::error::{Error, Result};
use crate::guard::behind_guard;

/// What tells a column that all rows with one of its values come in one step.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Mark {
    /// It is the end of a window.
    End { of_session: bool },
    /// It is the start of a window whose end follows from it.
    Start(String),
}

/// The marks of a plan's columns.
fn marks(plan: &LogicalPlan) -> Vec<Option<Mark>> {
    if let Some(windows) = as_window_close(plan) {
        return of_windows(windows, plan);
    }
    let none = || vec![None; plan.schema().fields().len()];
    match plan {
        LogicalPlan::Projection(projection) => {
            let below = Below::of(&projection.input);
            projection
                .expr
                .iter()
                .map(|expr| below.mark(expr))
                .collect()
        }
        LogicalPlan::Filter(filter) => marks(&filter.input),
        LogicalPlan::SubqueryAlias(alias) => marks(&alias.input),
        plan if let Some(input) = behind_guard(plan) => marks(input),
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => marks(&sort.input),
        LogicalPlan::Distinct(Distinct::All(input)) => marks(input),
        LogicalPlan::Aggregate(aggregate) if is_by_window(plan) => {
            let below = Below::of(&aggregate.input);
            let mut marks: Vec<_> = aggregate
                .group_expr
                .iter()
                .map(|key| below.mark(key))
                .collect();
            marks.resize(plan.schema().fields().len(), None);
            marks
        }
        LogicalPlan::Window(window) if is_by_window(plan) => {
            let mut marks = marks(&window.input);
            marks.resize(plan.schema().fields().len(), None);
            marks
        }
        LogicalPlan::Union(union) => {
            let mut inputs = union.inputs.iter().map(|input| marks(input));
            let first = inputs.next().unwrap_or_default();
            inputs.fold(first, |all, other| {
                let both = all.into_iter().zip(other);
                both.map(|(a, b)| a.filter(|a| b.as_ref() == Some(a)))
                    .collect()
            })
        }
        LogicalPlan::Join(join) if is_by_window(plan) || is_lookup(join) => of_join(join),
        _ => none(),
    }
}

fn of_windows(windows: &WindowClose, plan: &LogicalPlan) -> Vec<Option<Mark>> {
    let columns = plan.schema().columns().into_iter();
    let marks = columns.map(|column| {
        if Some(&column) == windows.end() {
            let of_session = *windows.windows() == Windows::Session;
            return Some(Mark::End { of_session });
        }
        match windows.windows() {
            Windows::Grid { start: Some(name) } if Some(&column) == windows.start() => {
                Some(Mark::Start(name.clone()))
            }
            _ => None,
        }
    });
    marks.collect()
}

/// The marks of a join's columns. A side that is filled up with nulls has the same value in windows that close at different times.
fn of_join(join: &Join) -> Vec<Option<Mark>> {
    let side = |plan: &LogicalPlan, keeps: bool| {
        let mut marks = marks(plan);
        if !keeps {
            marks.fill(None);
        }
        marks
    };
    let (left, right) = match join.join_type {
        JoinType::Inner => (true, true),
        JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => {
            (true, false)
        }
        JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => {
            (false, true)
        }
        JoinType::Full => (false, false),
    };
    let mut all = match join.join_type {
        JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => side(&join.right, right),
        JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => side(&join.left, left),
        _ => {
            let mut all = side(&join.left, left);
            all.extend(side(&join.right, right));
            all
        }
    };
    all.resize(join.schema.fields().len(), None);
    all
}

/// The columns of an input with their marks.
struct Below<'a> {
    plan: &'a LogicalPlan,
    marks: Vec<Option<Mark>>,
}

impl<'a> Below<'a> {
    fn of(plan: &'a LogicalPlan) -> Self {
        Self {
            plan,
            marks: marks(plan),
        }
    }

    fn mark(&self, expr: &Expr) -> Option<Mark> {
        match expr {
            Expr::Alias(alias) => self.mark(&alias.expr),
            Expr::Column(column) => self.of_column(column),
            // What is told apart before is told apart after it.
            Expr::Cast(cast) => {
                let from = nanos_per_unit(&cast.expr.get_type(self.plan.schema()).ok()?).ok()?;
                let to = nanos_per_unit(cast.field.data_type()).ok()?;
                self.mark(&cast.expr).filter(|_| to <= from)
            }
            _ => None,
        }
    }

    fn of_column(&self, column: &Column) -> Option<Mark> {
        let at = self.plan.schema().maybe_index_of_column(column)?;
        self.marks.get(at)?.clone()
    }
}

/// Whether rows of different windows have nothing to do with one another in a node.
pub(crate) fn is_by_window(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Aggregate(aggregate) => {
            let below = Below::of(&aggregate.input);
            let mut keys = aggregate.group_expr.iter();
            keys.any(|key| below.mark(key).is_some())
        }
        LogicalPlan::Distinct(Distinct::All(input)) => marks(input).iter().any(Option::is_some),
        LogicalPlan::Window(window) => is_within_windows(window),
        LogicalPlan::Join(join) if !join.null_aware => {
            let (left, right) = (Below::of(&join.left), Below::of(&join.right));
            join.on.iter().any(|(a, b)| {
                let mark = left.mark(a);
                mark.is_some() && mark == right.mark(b)
            })
        }
        _ => false,
    }
}

fn is_within_windows(window: &Window) -> bool {
    let below = Below::of(&window.input);
    window.window_expr.iter().all(|expr| {
        let expr = match expr {
            Expr::Alias(alias) => alias.expr.as_ref(),
            expr => expr,
        };
        let Expr::WindowFunction(function) = expr else {
            return false;
        };
        let mut keys = function.params.partition_by.iter();
        keys.any(|key| below.mark(key).is_some())
    })
}

/// Whether a join looks rows up in what does not change.
fn is_lookup(join: &Join) -> bool {
    let is_fixed = |plan| changes(plan).is_ok_and(|changes| !changes);
    join.join_type == JoinType::Inner && (is_fixed(&join.left) || is_fixed(&join.right))
}

/// The windows whose rows an aggregation groups, one by one, if there is nothing else between them.
pub(crate) fn closing_below(aggregate: &Aggregate) -> Option<&WindowClose> {
    let mut plan = aggregate.input.as_ref();
    loop {
        plan = match plan {
            LogicalPlan::Projection(projection) => &projection.input,
            LogicalPlan::Filter(filter) => &filter.input,
            LogicalPlan::SubqueryAlias(alias) => &alias.input,
            plan => {
                let windows = as_window_close(plan)?;
                return (*windows.windows() != Windows::Session).then_some(windows);
            }
        };
    }
}

/// Refuses a query over closed windows, which has been optimised, that would change what it gave before.
///
/// # Errors
/// When it would, with what to do about it.
pub(crate) fn check(plan: &LogicalPlan) -> Result<()> {
    if as_window_close(plan).is_some() {
        return Ok(());
    }
    let refused = |message: &str, hint| {
        Err(Error::Windows {
            message: format!("EMIT ON WINDOW CLOSE gives each window once, and {message}"),
            hint,
        })
    };
    let mut has_queries = false;
    plan.apply_subqueries(|_| {
        has_queries = true;
        Ok(datafusion::common::tree_node::TreeNodeRecursion::Stop)
    })?;
    if has_queries {
        return refused(
            "a subquery may change after that",
            "join with it ON window_start and window_end",
        );
    }
    // What is wrong below is why something above is no longer by windows.
    plan.inputs().into_iter().try_for_each(check)?;
    match plan {
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Unnest(_)
        | LogicalPlan::Union(_)
        | LogicalPlan::Repartition(_)
        | LogicalPlan::EmptyRelation(_)
        | LogicalPlan::Values(_) => {}
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => {}
        LogicalPlan::Join(join) if is_lookup(join) => {}
        plan if is_by_window(plan) || behind_guard(plan).is_some() => {}
        LogicalPlan::TableScan(scan) => {
            if changes(plan)? {
                let message = format!("{} is in no window", scan.table_name);
                return refused(
                    &message,
                    "put a window around it, or join with it when the view is read",
                );
            }
        }
        LogicalPlan::Aggregate(_) | LogicalPlan::Distinct(_) => {
            return refused(
                "groups may not reach over several",
                "add window_start and window_end to GROUP BY",
            );
        }
        LogicalPlan::Window(_) => {
            return refused(
                "OVER may not reach over several",
                "add window_end to each PARTITION BY",
            );
        }
        LogicalPlan::Join(_) => {
            return refused(
                "a join may not reach over several",
                "join by the same windows of both sides: ON a.window_start = b.window_start AND a.window_end = b.window_end",
            );
        }
        plan => {
            let message = format!("{} may not reach over several", node_name(plan));
            return refused(&message, "ask for it when the view is read");
        }
    }
    Ok(())
}
