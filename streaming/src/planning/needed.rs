//! Up to when the rows of a join are needed whose own rows go into windows that close.
//!
//! A row of the join is late as soon as the watermark of one of its rows' partitions has reached the end of its window, and late rows
//! are left out. So once the watermark of the query has reached the last end that a row can come to be in, nothing comes of it any
//! more: whatever it is joined with from then on is late. That end follows from a time of the row where the window's does, through
//! sums with constants, and through the conditions of the join: `a.at <= b.at + INTERVAL '5 minutes'`.

use arrow::datatypes::DataType;
use datafusion::common::{Column, JoinType, ScalarValue};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    Between, BinaryExpr, Expr, ExprSchemable, Join, LogicalPlan, Operator,
};

use crate::event_time::{WindowClose, Windows, nanos_per_unit};

/// A sum with an interval that is no whole number of seconds may be rounded, to the unit of a time, of which the largest is a second.
const ROUNDING_NANOS: i128 = 1_000_000_000;
const DAY_NANOS: i128 = 86_400_000_000_000;

/// A row is needed as long as the watermark has not passed a time of it and so many nanoseconds more.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct NeededUntil {
    pub(super) time: Column,
    pub(super) nanos: i128,
}

/// A join, and up to when the rows of its sides are needed, where that is known.
pub(super) type Needed = (Join, [Option<NeededUntil>; 2]);

/// The joins below windows whose rows are not needed for ever.
pub(super) fn joins_below(windows: &WindowClose) -> Vec<Needed> {
    // Of a session it is the row's own time that must not have passed.
    let decides = match windows.windows() {
        Windows::Grid { .. } => windows.end(),
        Windows::Session => windows.start(),
    };
    let mut found = Vec::new();
    if let Some(column) = decides {
        let until = NeededUntil {
            time: column.clone(),
            nanos: 0,
        };
        descend(windows.input(), until, &mut found);
    }
    found
}

fn descend(plan: &LogicalPlan, until: NeededUntil, found: &mut Vec<Needed>) {
    match plan {
        LogicalPlan::Projection(projection) => {
            let place = projection.schema.maybe_index_of_column(&until.time);
            let expr = place.and_then(|at| projection.expr.get(at));
            let below = expr.and_then(|expr| sum(expr, &projection.input, true));
            if let Some(sum) = below {
                let until = NeededUntil {
                    nanos: until.nanos + sum.nanos + sum.rounding,
                    time: sum.time,
                };
                descend(&projection.input, until, found);
            }
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let place = alias.schema.maybe_index_of_column(&until.time);
            let time = place.map(|at| Column::from(alias.input.schema().qualified_field(at)));
            if let Some(time) = time {
                descend(&alias.input, NeededUntil { time, ..until }, found);
            }
        }
        LogicalPlan::Filter(filter) => descend(&filter.input, until, found),
        LogicalPlan::Join(join) if join.join_type == JoinType::Inner => of_join(join, until, found),
        _ => {}
    }
}

fn of_join(join: &Join, until: NeededUntil, found: &mut Vec<Needed>) {
    let is_left = join.left.schema().has_column(&until.time);
    let (own, other) = match is_left {
        true => (&join.left, &join.right),
        false => (&join.right, &join.left),
    };
    if !own.schema().has_column(&until.time) {
        return;
    }
    let bounds = orders(join).into_iter().filter_map(|(less, more)| {
        let less = sum(&less, own, false).filter(|less| less.time == until.time)?;
        let more = sum(&more, other, true)?;
        let rounding = less.rounding + more.rounding;
        Some(NeededUntil {
            time: more.time,
            nanos: until.nanos + more.nanos - less.nanos + rounding,
        })
    });
    let of_other = bounds.min_by_key(|until| until.nanos);
    let sides = match is_left {
        true => [Some(until.clone()), of_other.clone()],
        false => [of_other.clone(), Some(until.clone())],
    };
    found.push((join.clone(), sides));
    descend(own, until, found);
    if let Some(until) = of_other {
        descend(other, until, found);
    }
}

/// Pairs of which the first is never more than the second, by the conditions of a join.
fn orders(join: &Join) -> Vec<(Expr, Expr)> {
    let mut orders = Vec::new();
    for (a, b) in &join.on {
        orders.push((a.clone(), b.clone()));
        orders.push((b.clone(), a.clone()));
    }
    let conditions = join.filter.iter().flat_map(split_conjunction);
    for condition in conditions {
        match condition {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                let (a, b) = (left.as_ref().clone(), right.as_ref().clone());
                match op {
                    Operator::Lt | Operator::LtEq => orders.push((a, b)),
                    Operator::Gt | Operator::GtEq => orders.push((b, a)),
                    Operator::Eq => orders.extend([(a.clone(), b.clone()), (b, a)]),
                    _ => {}
                }
            }
            Expr::Between(Between {
                expr,
                negated: false,
                low,
                high,
            }) => {
                let expr = expr.as_ref();
                orders.push((low.as_ref().clone(), expr.clone()));
                orders.push((expr.clone(), high.as_ref().clone()));
            }
            _ => {}
        }
    }
    orders
}

/// A time and so many nanoseconds more, which may be rounded by some.
struct Sum {
    time: Column,
    nanos: i128,
    rounding: i128,
}

/// An expression over the columns of a plan as a sum. With `at_most` it may be less than that, and never more.
fn sum(expr: &Expr, of: &LogicalPlan, at_most: bool) -> Option<Sum> {
    match expr {
        Expr::Alias(alias) => sum(&alias.expr, of, at_most),
        Expr::Column(time) => {
            // Days are as long as others, and no clock is put forward.
            let is_plain = matches!(
                expr.get_type(of.schema()).ok()?,
                DataType::Timestamp(_, None)
            );
            is_plain.then(|| Sum {
                time: time.clone(),
                nanos: 0,
                rounding: 0,
            })
        }
        Expr::Cast(cast) => {
            let from = cast.expr.get_type(of.schema()).ok()?;
            let to = cast.field.data_type();
            let is_exact = matches!(to, DataType::Timestamp(_, None))
                && nanos_per_unit(to).ok()? <= nanos_per_unit(&from).ok()?;
            sum(&cast.expr, of, at_most).filter(|_| is_exact)
        }
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Plus,
            right,
        }) => match (interval(left), interval(right)) {
            (None, Some(nanos)) => Some(sum(left, of, at_most)?.and(nanos)),
            (Some(nanos), None) => Some(sum(right, of, at_most)?.and(nanos)),
            _ => None,
        },
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Minus,
            right,
        }) => {
            let nanos = interval(right)?;
            Some(sum(left, of, at_most)?.and(-nanos))
        }
        // The start of a bin is not after what is in it.
        Expr::ScalarFunction(call) if at_most && call.func.name() == "date_bin" => {
            sum(call.args.get(1)?, of, at_most)
        }
        _ => None,
    }
}

impl Sum {
    fn and(self, nanos: i128) -> Self {
        let is_whole = nanos % ROUNDING_NANOS == 0;
        Self {
            nanos: self.nanos + nanos,
            rounding: self.rounding + if is_whole { 0 } else { ROUNDING_NANOS },
            ..self
        }
    }
}

/// How long a constant interval is, if it is always as long.
fn interval(expr: &Expr) -> Option<i128> {
    let Expr::Literal(value, _) = expr else {
        return None;
    };
    match value {
        ScalarValue::IntervalMonthDayNano(Some(interval)) if interval.months == 0 => {
            Some(i128::from(interval.days) * DAY_NANOS + i128::from(interval.nanoseconds))
        }
        ScalarValue::IntervalDayTime(Some(interval)) => Some(
            i128::from(interval.days) * DAY_NANOS + i128::from(interval.milliseconds) * 1_000_000,
        ),
        ScalarValue::DurationSecond(Some(seconds)) => Some(i128::from(*seconds) * 1_000_000_000),
        ScalarValue::DurationMillisecond(Some(millis)) => Some(i128::from(*millis) * 1_000_000),
        ScalarValue::DurationMicrosecond(Some(micros)) => Some(i128::from(*micros) * 1000),
        ScalarValue::DurationNanosecond(Some(nanos)) => Some(i128::from(*nanos)),
        _ => None,
    }
}
