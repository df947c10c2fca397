//! Filters on hidden columns, turned into the records that need to be read.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, TableProviderFilterPushDown};

use super::schema::Hidden;

/// Which records can pass: closed intervals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// The partitions, one by one; none means all.
    pub(crate) partitions: Option<Vec<i64>>,
    pub(crate) partition: Interval,
    pub(crate) offset: Interval,
    /// In milliseconds since the epoch.
    pub(crate) timestamp: Interval,
}

/// The numbers from `min` to `max`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Interval {
    pub(crate) min: i64,
    pub(crate) max: i64,
}

impl Interval {
    pub(crate) const ALL: Self = Self {
        min: i64::MIN,
        max: i64::MAX,
    };
    const NONE: Self = Self {
        min: i64::MAX,
        max: i64::MIN,
    };

    pub(crate) fn contains(self, value: i64) -> bool {
        (self.min..=self.max).contains(&value)
    }

    fn and(self, other: Self) -> Self {
        Self {
            min: self.min.max(other.min),
            max: self.max.min(other.max),
        }
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            partitions: None,
            partition: Interval::ALL,
            offset: Interval::ALL,
            timestamp: Interval::ALL,
        }
    }
}

impl Bounds {
    /// The records that all of `filters` can pass; what is no bound is left to others.
    pub(crate) fn of(filters: &[Expr]) -> Self {
        let mut bounds = Self::default();
        for filter in filters {
            if let Some(allowed) = allowed(filter) {
                bounds.add(allowed);
            }
        }
        bounds
    }

    /// Whether a filter is covered by the bounds that it gives.
    pub(crate) fn pushdown(filter: &Expr) -> TableProviderFilterPushDown {
        match allowed(filter) {
            Some(_) => TableProviderFilterPushDown::Exact,
            None => TableProviderFilterPushDown::Unsupported,
        }
    }

    pub(crate) fn has_partition(&self, partition: u32) -> bool {
        let partition = i64::from(partition);
        let listed = self
            .partitions
            .as_ref()
            .is_none_or(|listed| listed.contains(&partition));
        listed && self.partition.contains(partition)
    }

    fn add(&mut self, allowed: Allowed) {
        match allowed {
            Allowed::Partitions(allowed) => match &mut self.partitions {
                Some(partitions) => partitions.retain(|partition| allowed.contains(partition)),
                none => *none = Some(allowed),
            },
            Allowed::PartitionsIn(interval) => self.partition = self.partition.and(interval),
            Allowed::Offsets(interval) => self.offset = self.offset.and(interval),
            Allowed::Timestamps(interval) => self.timestamp = self.timestamp.and(interval),
        }
    }
}

/// What one filter lets through: exactly this.
enum Allowed {
    Partitions(Vec<i64>),
    PartitionsIn(Interval),
    Offsets(Interval),
    Timestamps(Interval),
}

fn allowed(filter: &Expr) -> Option<Allowed> {
    match filter {
        // A short IN list arrives as alternatives.
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Or,
            right,
        }) => {
            let mut partitions = listed(left)?;
            partitions.extend(listed(right)?);
            Some(Allowed::Partitions(partitions))
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            if let (Some(hidden), Expr::Literal(value, _)) = (column(left), &**right) {
                return compared(hidden, *op, value);
            }
            if let (Expr::Literal(value, _), Some(hidden)) = (&**left, column(right)) {
                return compared(hidden, op.swap()?, value);
            }
            None
        }
        Expr::Between(between) if !between.negated => {
            let hidden = column(&between.expr)?;
            let (Expr::Literal(low, _), Expr::Literal(high, _)) = (&*between.low, &*between.high)
            else {
                return None;
            };
            let low = interval(hidden, Operator::GtEq, low)?;
            let high = interval(hidden, Operator::LtEq, high)?;
            within(hidden, low.and(high))
        }
        Expr::InList(list) if !list.negated && column(&list.expr) == Some(Hidden::Partition) => {
            let values = list.list.iter().map(|item| match item {
                Expr::Literal(value, _) => integer(value),
                _ => None,
            });
            Some(Allowed::Partitions(values.collect::<Option<_>>()?))
        }
        _ => None,
    }
}

/// The partitions that a filter lists, if that is what it does.
fn listed(filter: &Expr) -> Option<Vec<i64>> {
    match allowed(filter)? {
        Allowed::Partitions(partitions) => Some(partitions),
        Allowed::PartitionsIn(Interval { min, max }) if min == max => Some(vec![min]),
        _ => None,
    }
}

/// The hidden column that an expression is; a timestamp may be in another unit.
fn column(expr: &Expr) -> Option<Hidden> {
    match expr {
        Expr::Column(column) => Hidden::named(&column.name),
        Expr::Cast(cast) => match (column(&cast.expr)?, cast.field.data_type()) {
            (Hidden::Timestamp, DataType::Timestamp(unit, _)) if *unit != TimeUnit::Second => {
                Some(Hidden::Timestamp)
            }
            (hidden @ (Hidden::Offset | Hidden::Partition), DataType::Int64) => Some(hidden),
            _ => None,
        },
        _ => None,
    }
}

fn compared(hidden: Hidden, op: Operator, value: &ScalarValue) -> Option<Allowed> {
    within(hidden, interval(hidden, op, value)?)
}

fn within(hidden: Hidden, interval: Interval) -> Option<Allowed> {
    match hidden {
        Hidden::Partition => Some(Allowed::PartitionsIn(interval)),
        Hidden::Offset => Some(Allowed::Offsets(interval)),
        Hidden::Timestamp => Some(Allowed::Timestamps(interval)),
        Hidden::Key | Hidden::Headers | Hidden::Error => None,
    }
}

/// The values that `op value` lets through.
fn interval(hidden: Hidden, op: Operator, value: &ScalarValue) -> Option<Interval> {
    let (value, exact) = match hidden {
        Hidden::Timestamp => milliseconds(value)?,
        _ => (integer(value)?, true),
    };
    Some(match op {
        Operator::Eq if exact => Interval {
            min: value,
            max: value,
        },
        // Between two milliseconds there is none.
        Operator::Eq => Interval::NONE,
        Operator::GtEq if exact => Interval {
            min: value,
            ..Interval::ALL
        },
        Operator::Gt | Operator::GtEq => match value.checked_add(1) {
            Some(min) => Interval {
                min,
                ..Interval::ALL
            },
            None => Interval::NONE,
        },
        Operator::LtEq => Interval {
            max: value,
            ..Interval::ALL
        },
        Operator::Lt if !exact => Interval {
            max: value,
            ..Interval::ALL
        },
        Operator::Lt => match value.checked_sub(1) {
            Some(max) => Interval {
                max,
                ..Interval::ALL
            },
            None => Interval::NONE,
        },
        _ => return None,
    })
}

fn integer(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::Int8(value) => value.map(i64::from),
        ScalarValue::Int16(value) => value.map(i64::from),
        ScalarValue::Int32(value) => value.map(i64::from),
        ScalarValue::Int64(value) => *value,
        ScalarValue::UInt8(value) => value.map(i64::from),
        ScalarValue::UInt16(value) => value.map(i64::from),
        ScalarValue::UInt32(value) => value.map(i64::from),
        _ => None,
    }
}

/// A timestamp's whole milliseconds, rounded down, and whether nothing was rounded away.
fn milliseconds(value: &ScalarValue) -> Option<(i64, bool)> {
    let divided = |value: i64, by: i64| (value.div_euclid(by), value.rem_euclid(by) == 0);
    match value {
        ScalarValue::TimestampSecond(Some(value), _) => Some((value.checked_mul(1_000)?, true)),
        ScalarValue::TimestampMillisecond(Some(value), _) => Some((*value, true)),
        ScalarValue::TimestampMicrosecond(Some(value), _) => Some(divided(*value, 1_000)),
        ScalarValue::TimestampNanosecond(Some(value), _) => Some(divided(*value, 1_000_000)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{col, lit};
    use proptest::prelude::*;

    use super::*;

    fn nanos(value: i64) -> Expr {
        lit(ScalarValue::TimestampNanosecond(
            Some(value),
            Some("UTC".into()),
        ))
    }

    fn operators() -> impl Strategy<Value = (Operator, fn(i64, i64) -> bool)> {
        prop::sample::select(vec![
            (Operator::Eq, (|a, b| a == b) as fn(i64, i64) -> bool),
            (Operator::Lt, |a, b| a < b),
            (Operator::LtEq, |a, b| a <= b),
            (Operator::Gt, |a, b| a > b),
            (Operator::GtEq, |a, b| a >= b),
        ])
    }

    proptest! {
        /// A millisecond passes the bounds exactly when it passes the filter, whatever the literal's unit.
        #[test]
        fn bounds_say_what_the_filter_says(
            filters in prop::collection::vec((operators(), -5_000_000..5_000_000i64, any::<bool>()), 1..4),
            value in -6..6i64,
        ) {
            let exprs: Vec<Expr> = filters
                .iter()
                .map(|((op, _), literal, swapped)| {
                    let column = Box::new(col("_timestamp"));
                    let literal = Box::new(nanos(*literal));
                    Expr::BinaryExpr(match swapped {
                        false => BinaryExpr::new(column, *op, literal),
                        true => BinaryExpr::new(literal, op.swap().unwrap(), column),
                    })
                })
                .collect();
            for expr in &exprs {
                prop_assert_eq!(Bounds::pushdown(expr), TableProviderFilterPushDown::Exact);
            }
            let passes = filters.iter().all(|((_, passes), literal, _)| passes(value * 1_000_000, *literal));
            prop_assert_eq!(Bounds::of(&exprs).timestamp.contains(value), passes);
        }
    }

    #[test]
    fn what_is_no_bound_is_left_to_others() {
        for filter in [
            col("price").gt(lit(1i64)),
            col("_offset").not_eq(lit(1i64)),
            col("_offset").gt(col("_partition")),
            col("_key").eq(lit("a")),
            col("_partition").in_list(vec![lit(1)], true),
        ] {
            assert_eq!(
                Bounds::pushdown(&filter),
                TableProviderFilterPushDown::Unsupported,
                "{filter}"
            );
        }
    }

    #[test]
    fn partitions_are_chosen() {
        let bounds = Bounds::of(&[
            col("_partition").in_list(vec![lit(1), lit(3), lit(9)], false),
            col("_partition").lt(lit(5)),
        ]);
        let chosen: Vec<u32> = (0..10)
            .filter(|partition| bounds.has_partition(*partition))
            .collect();
        assert_eq!(chosen, [1, 3]);
        let bounds = Bounds::of(&[col("_offset").between(lit(10i64), lit(20i64))]);
        assert_eq!(bounds.offset, Interval { min: 10, max: 20 });
    }
}
