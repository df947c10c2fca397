//! Exact decimals where they meet doubles and divisions.
//!
//! [`Division`] comes before types are settled, [`ExactDoubles`] after.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::Cast;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, cast};
use datafusion::optimizer::AnalyzerRule;
use datafusion::sql::sqlparser::ast::BinaryOperator;

/// The digits after the point that a quotient gets where there is room: as many significant ones as PostgreSQL gives at
/// least (`select_div_scale`, `NUMERIC_MIN_SIG_DIGITS`).
const QUOTIENT_SCALE: i32 = 16;

/// What Arrow adds to the dividend's scale.
const ADDED_SCALE: i32 = 4;

/// The most digits of a decimal of 128 bits.
const DIGITS: i32 = 38;

/// Gives quotients of decimals enough digits. `1 / 3.0` has four in Arrow, which keeps the dividend's scale and adds that
/// many; so the dividend gets a larger scale first, as far as its whole digits and the divisor's scale leave room.
#[derive(Debug, Default)]
pub(crate) struct Division;

impl ExprPlanner for Division {
    fn plan_binary_op(
        &self,
        mut expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        if expr.op == BinaryOperator::Divide
            && let (Ok(left), Ok(right)) = (expr.left.get_type(schema), expr.right.get_type(schema))
            && let Some(wider) = dividend(&left, &right)
        {
            expr.left = cast(expr.left, wider);
        }
        Ok(PlannerResult::Original(expr))
    }
}

/// The type that a dividend is converted to before it is divided.
fn dividend(left: &DataType, right: &DataType) -> Option<DataType> {
    if !left.is_decimal() && !right.is_decimal() {
        return None;
    }
    let ((digits, scale), (_, divisor_scale)) = (digits(left)?, digits(right)?);
    let room = DIGITS - (digits - scale) - ADDED_SCALE - divisor_scale;
    let wanted = (QUOTIENT_SCALE - ADDED_SCALE).min(room);
    if wanted <= scale {
        return None;
    }
    let precision = u8::try_from(digits - scale + wanted).ok()?;
    Some(DataType::Decimal128(precision, i8::try_from(wanted).ok()?))
}

/// Precision and scale of an exact number.
fn digits(data_type: &DataType) -> Option<(i32, i32)> {
    Some(match data_type {
        DataType::Int8 | DataType::UInt8 => (3, 0),
        DataType::Int16 | DataType::UInt16 => (5, 0),
        DataType::Int32 | DataType::UInt32 => (10, 0),
        DataType::Int64 | DataType::UInt64 => (20, 0),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
            if *scale >= 0 =>
        {
            (i32::from(*precision), i32::from(*scale))
        }
        _ => return None,
    })
}

/// Turns literal decimals that are converted to doubles into the doubles nearest to them.
///
/// Arrow divides the digits by a power of ten, both rounded: with more than fifteen digits the last may come out wrong,
/// and a double that was printed and is written back as a literal would not be itself again.
#[derive(Debug, Default)]
pub(crate) struct ExactDoubles;

impl AnalyzerRule for ExactDoubles {
    fn name(&self) -> &str {
        "exact_doubles"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                Ok(exact(expr)?.update_data(|expr| name.restore(expr)))
            })
        })
        .data()
    }
}

/// `expr` with its literal decimals that are converted to doubles as doubles.
pub(crate) fn exact(expr: Expr) -> Result<Transformed<Expr>> {
    expr.transform_up(|expr| {
        if let Expr::Cast(Cast { expr: inner, field }) = &expr
            && let Expr::Literal(value, metadata) = inner.as_ref()
            && let Some(double) = nearest(value, field.data_type())
        {
            return Ok(Transformed::yes(Expr::Literal(double, metadata.clone())));
        }
        Ok(Transformed::no(expr))
    })
}

fn nearest(value: &ScalarValue, wanted: &DataType) -> Option<ScalarValue> {
    let is_decimal = matches!(
        value,
        ScalarValue::Decimal128(Some(_), ..) | ScalarValue::Decimal256(Some(_), ..)
    );
    if !is_decimal {
        return None;
    }
    let text = value.cast_to(&DataType::Utf8).ok()?;
    let ScalarValue::Utf8(Some(text)) = text else {
        return None;
    };
    Some(match wanted {
        DataType::Float64 => ScalarValue::Float64(text.parse().ok()),
        DataType::Float32 => ScalarValue::Float32(text.parse().ok()),
        _ => return None,
    })
}

/// The rules of this file and of [`super::checked`], to be added behind DataFusion's own.
pub(crate) fn analyzer_rules() -> [Arc<dyn AnalyzerRule + Send + Sync>; 2] {
    [
        Arc::new(ExactDoubles),
        Arc::new(super::checked::CheckedArithmetic),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotients_get_as_many_digits_as_there_is_room_for() {
        use DataType::{Decimal128, Float64, Int64};
        assert_eq!(
            dividend(&Int64, &Decimal128(2, 1)),
            Some(Decimal128(32, 12))
        );
        assert_eq!(
            dividend(&Decimal128(8, 2), &Int64),
            Some(Decimal128(18, 12))
        );
        assert_eq!(
            dividend(&Decimal128(30, 2), &Decimal128(8, 2)),
            Some(Decimal128(32, 4))
        );
        assert_eq!(dividend(&Decimal128(38, 10), &Decimal128(38, 10)), None);
        assert_eq!(dividend(&Decimal128(38, 20), &Int64), None);
        assert_eq!(dividend(&Int64, &Int64), None);
        assert_eq!(dividend(&Float64, &Decimal128(2, 1)), None);
    }

    #[test]
    fn a_literal_becomes_the_nearest_double() {
        for text in [
            "0.1",
            "0.30000000000000004",
            "9007199254740993.123",
            "1234567890.123456789",
            "0.00000000000000000000012345678901234567",
        ] {
            let digits = text.split_once('.').unwrap();
            let scale = digits.1.len();
            let value: i128 = format!("{}{}", digits.0, digits.1).parse().unwrap();
            let decimal = ScalarValue::Decimal128(Some(value), 38, scale as i8);
            assert_eq!(
                nearest(&decimal, &DataType::Float64),
                Some(ScalarValue::Float64(Some(text.parse().unwrap()))),
                "{text}"
            );
        }
    }
}
