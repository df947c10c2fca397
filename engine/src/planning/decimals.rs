//! Exact decimals where they meet doubles and divisions.
//!
//! [`Division`] and [`doubles_win`] come before types are settled, [`Values`] after.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::Cast;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Union, cast};
use datafusion::optimizer::AnalyzerRule;
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::checked::checked;
use super::rewrite::{self, Scope};
use super::rounded::rounded;
use super::{bytea, from_text, spans};

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

/// `expr` with the doubles nearest to its literal decimals where they are converted to doubles.
///
/// Arrow divides the digits by a power of ten, both rounded: with more than fifteen digits the last may come out wrong,
/// and a double that was printed and is written back as a literal would not be itself again.
pub(super) fn exact(expr: Expr) -> Result<Transformed<Expr>> {
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

/// Makes doubles of the decimals that a plan compares or mixes with doubles, as PostgreSQL does. DataFusion makes decimals
/// of 30 digits of the doubles, which cuts small ones off and fails for large ones.
///
/// It comes before anybody looks at the types of the plan's columns.
pub(super) fn doubles_win(plan: LogicalPlan) -> Result<LogicalPlan> {
    if !has_decimals(&plan)? {
        return Ok(plan);
    }
    plan.transform_up_with_subqueries(|plan| {
        let plan = match plan {
            LogicalPlan::Union(union) => agreeing(union)?,
            other => other,
        };
        let rewritten = rewrite::node(plan, &mut |expr, scope| {
            expr.transform_up(|expr| mixed(expr, scope))
        })?;
        Ok(Transformed::yes(rewritten.data.recompute_schema()?))
    })
    .data()
}

fn has_decimals(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|plan| {
        found |= plan
            .schema()
            .fields()
            .iter()
            .any(|field| field.data_type().is_decimal());
        if !found {
            plan.apply_expressions(|expr| {
                found |= expr.exists(|expr| {
                    Ok(matches!(expr, Expr::Literal(value, _) if value.data_type().is_decimal()))
                })?;
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        Ok(if found {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    })?;
    Ok(found)
}

/// Functions whose arguments become one type.
const UNIFYING: [&str; 8] = [
    "coalesce",
    "nvl",
    "nvl2",
    "nullif",
    "greatest",
    "least",
    "make_array",
    "array_position",
];

/// An expression whose operands become one type, its decimals as doubles where there is a double among them.
pub(super) fn mixed(mut expr: Expr, scope: &Scope<'_>) -> Result<Transformed<Expr>> {
    let changed = match &mut expr {
        Expr::BinaryExpr(binary) => agree([&mut *binary.left, &mut *binary.right], scope),
        Expr::Between(between) => agree(
            [&mut *between.expr, &mut *between.low, &mut *between.high],
            scope,
        ),
        Expr::InList(list) => agree(
            std::iter::once(&mut *list.expr).chain(&mut list.list),
            scope,
        ),
        Expr::Case(case) => {
            let results = case
                .when_then_expr
                .iter_mut()
                .map(|(_, then)| &mut **then)
                .chain(case.else_expr.as_deref_mut());
            let results = agree(results, scope);
            let compared = case.expr.as_deref_mut().is_some_and(|compared| {
                let values = case.when_then_expr.iter_mut().map(|(when, _)| &mut **when);
                agree(std::iter::once(compared).chain(values), scope)
            });
            results || compared
        }
        Expr::ScalarFunction(call) if UNIFYING.contains(&call.func.name()) => {
            agree(&mut call.args, scope)
        }
        Expr::AggregateFunction(call) if call.func.name() == "avg" => {
            averaged(&mut call.params.args, scope)
        }
        _ => false,
    };
    Ok(if changed {
        Transformed::yes(expr)
    } else {
        Transformed::no(expr)
    })
}

/// Gives the mean of decimals as many digits as a quotient has.
fn averaged(args: &mut [Expr], scope: &Scope<'_>) -> bool {
    let [value] = args else { return false };
    let is_decimal = |data_type: &DataType| data_type.is_decimal();
    let wider = scope
        .type_of(value)
        .filter(is_decimal)
        .and_then(|data_type| dividend(&data_type, &DataType::Int8));
    match wider {
        Some(wider) => {
            *value = cast(std::mem::take(value), wider);
            true
        }
        None => false,
    }
}

/// Makes doubles of the decimals among `operands`, if there is a double among them too.
fn agree<'a>(operands: impl IntoIterator<Item = &'a mut Expr>, scope: &Scope<'_>) -> bool {
    let operands: Vec<(Option<DataType>, &mut Expr)> = operands
        .into_iter()
        .map(|operand| (scope.type_of(operand), operand))
        .collect();
    let is = |test: fn(&DataType) -> bool| {
        operands
            .iter()
            .any(|(data_type, _)| data_type.as_ref().is_some_and(test))
    };
    if !(is(DataType::is_decimal) && is(DataType::is_floating)) {
        return false;
    }
    for (data_type, operand) in operands {
        if data_type.is_some_and(|data_type| data_type.is_decimal()) {
            *operand = cast(std::mem::take(operand), DataType::Float64);
        }
    }
    true
}

/// A union with doubles in those columns of its inputs that are doubles in some and decimals in others.
fn agreeing(union: Union) -> Result<LogicalPlan> {
    let width = union.schema.fields().len();
    let is = |at: usize, test: fn(&DataType) -> bool| {
        union.inputs.iter().any(|input| {
            let fields = input.schema().fields();
            fields.get(at).is_some_and(|field| test(field.data_type()))
        })
    };
    let mixed: Vec<bool> = (0..width)
        .map(|at| is(at, DataType::is_decimal) && is(at, DataType::is_floating))
        .collect();
    if !mixed.contains(&true) {
        return Ok(LogicalPlan::Union(union));
    }
    let inputs = union.inputs.into_iter().map(|input| {
        let columns: Vec<Expr> = input
            .schema()
            .iter()
            .zip(&mixed)
            .map(|((relation, field), mixed)| {
                let column = Expr::Column((relation, field).into());
                if *mixed && field.data_type().is_decimal() {
                    cast(column, DataType::Float64).alias_qualified(relation.cloned(), field.name())
                } else {
                    column
                }
            })
            .collect();
        let plan = LogicalPlanBuilder::from(Arc::unwrap_or_clone(input))
            .project(columns)?
            .build()?;
        Ok(Arc::new(plan))
    });
    let inputs = inputs.collect::<Result<Vec<_>>>()?;
    Ok(LogicalPlan::Union(Union::try_new_with_loose_types(inputs)?))
}

/// What is done to the values of a plan once its types are settled: [`exact`] doubles, [`checked`] arithmetic, [`rounded`]
/// whole numbers, bytes and intervals read from text.
#[derive(Debug, Default)]
pub(crate) struct Values;

impl AnalyzerRule for Values {
    fn name(&self) -> &str {
        "values"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        let plan = plan.transform_up_with_subqueries(spans::sorted).data()?;
        rewrite::expressions(plan, settled)
    }
}

fn settled(expr: Expr, scope: &Scope<'_>) -> Result<Transformed<Expr>> {
    exact(expr)?
        .transform_data(bytea::read)?
        .transform_data(|expr| checked(expr, scope))?
        .transform_data(|expr| rounded(expr, scope))?
        .transform_data(|expr| from_text::read(expr, scope))?
        .transform_data(|expr| spans::compared(expr, scope))
}

/// An expression over the columns of `schema`, planned and made ready by `coerce`, which settles its types.
pub(super) fn settled_expression(
    expr: Expr,
    schema: &DFSchema,
    coerce: impl FnOnce(Expr) -> Result<Expr>,
) -> Result<Expr> {
    let columns = || schema.clone();
    let scope = Scope::new(&columns);
    let expr = expr.transform_up(|expr| mixed(expr, &scope))?.data;
    Ok(settled(coerce(expr)?, &scope)?.data)
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
