//! Operators whose meaning depends on the types of their operands: JSON, dates, intervals, ranges of arrays.

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use datafusion::common::{DFSchema, Result, plan_err};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, cast};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use weir_catalog::Logical;

use crate::functions;

/// Plans such operators as calls.
#[derive(Debug, Default)]
pub(crate) struct Operators;

/// What an operand is, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operand {
    Json,
    /// A text that was written in the statement.
    Literal,
    Text,
    List,
    Date,
    Time,
    Timestamp,
    Interval,
    Integer,
    Number,
    Boolean,
    Other,
}

fn operand(expr: &Expr, schema: &DFSchema) -> Operand {
    let Ok((_, field)) = expr.to_field(schema) else {
        return Operand::Other;
    };
    if Logical::of_field(&field) == Some(Logical::Json) {
        return Operand::Json;
    }
    match field.data_type() {
        DataType::Utf8 if matches!(expr, Expr::Literal(..)) => Operand::Literal,
        data_type if data_type.is_string() => Operand::Text,
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => Operand::List,
        DataType::Date32 | DataType::Date64 => Operand::Date,
        DataType::Time32(_) | DataType::Time64(_) => Operand::Time,
        DataType::Timestamp(..) => Operand::Timestamp,
        DataType::Interval(_) | DataType::Duration(_) => Operand::Interval,
        DataType::Boolean => Operand::Boolean,
        data_type if data_type.is_integer() => Operand::Integer,
        data_type if data_type.is_numeric() => Operand::Number,
        _ => Operand::Other,
    }
}

const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);
const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

impl ExprPlanner for Operators {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        use BinaryOperator as Op;
        use Operand::{
            Boolean, Date, Integer, Interval, Json, List, Literal, Number, Text, Time, Timestamp,
        };
        let (left, right) = (operand(&expr.left, schema), operand(&expr.right, schema));
        let RawBinaryExpr {
            op,
            left: l,
            right: r,
        } = expr;
        let called = |name: &str, args| functions::call(name, args).map(PlannerResult::Planned);
        let original =
            |op, left, right| Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }));
        match (&op, left, right) {
            (Op::Arrow, Json | Text | Literal, _) => called("json_get_value", vec![l, r]),
            (Op::LongArrow, Json | Text | Literal, _) => called("json_get_text", vec![l, r]),
            (Op::HashArrow, ..) => called("json_get_path", vec![l, r]),
            (Op::HashLongArrow, ..) => called("json_get_path_text", vec![l, r]),
            (Op::HashMinus, ..) => called("jsonb_delete_path", vec![l, r]),
            (Op::Question, ..) => called("jsonb_exists", vec![l, r]),
            (Op::QuestionPipe, ..) => called("jsonb_exists_any", vec![l, r]),
            (Op::QuestionAnd, ..) => called("jsonb_exists_all", vec![l, r]),
            // A literal is read as what it is compared with.
            (
                Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq,
                List | Boolean,
                Literal,
            ) => {
                let right = cast(r, l.get_type(schema)?);
                original(op, l, right)
            }
            (
                Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq,
                Literal,
                List | Boolean,
            ) => {
                let left = cast(l, r.get_type(schema)?);
                original(op, left, r)
            }
            (Op::AtArrow, List, Literal) => {
                let list = l.get_type(schema)?;
                let right = cast(r, list);
                called("array_has_all", vec![l, right])
            }
            (Op::AtArrow, Json, _) | (Op::AtArrow, _, Json) => called("jsonb_contains", vec![l, r]),
            (Op::ArrowAt, Json, _) | (Op::ArrowAt, _, Json) => called("jsonb_contains", vec![r, l]),
            (Op::PGOverlap, List, _) => called("array_has_any", vec![l, r]),
            (Op::StringConcat, Json, _) | (Op::StringConcat, _, Json)
                if matches!((left, right), (Json, Json | Literal) | (Literal, Json)) =>
            {
                called("jsonb_concat", vec![l, r])
            }
            (Op::Minus, Json, _) => called("jsonb_delete", vec![l, r]),
            (Op::Eq, Json, Json | Literal) | (Op::Eq, Literal, Json) => {
                called("jsonb_equal", vec![l, r])
            }
            (Op::NotEq, Json, Json | Literal) | (Op::NotEq, Literal, Json) => {
                let equal = functions::call("jsonb_equal", vec![l, r])?;
                Ok(PlannerResult::Planned(Expr::Not(Box::new(equal))))
            }
            // A day and a time of it.
            (Op::Plus, Date, Time) => called("moment_of", vec![l, r]),
            (Op::Plus, Time, Date) => called("moment_of", vec![r, l]),
            (Op::Plus | Op::Minus, Date, Interval) => original(op, cast(l, TIMESTAMP), r),
            (Op::Plus, Interval, Date) => original(op, l, cast(r, TIMESTAMP)),
            (Op::Plus, Timestamp, Literal) | (Op::Plus, Date, Literal) => {
                let left = if left == Date { cast(l, TIMESTAMP) } else { l };
                original(op, left, cast(r, INTERVAL))
            }
            (Op::Minus, Timestamp, Literal) => {
                let right = cast(r, l.get_type(schema)?);
                called("time_between", vec![l, right])
            }
            (Op::Minus, Timestamp, Timestamp | Date) | (Op::Minus, Date, Timestamp) => {
                let zone = |expr: &Expr| {
                    expr.get_type(schema)
                        .is_ok_and(|data_type| matches!(data_type, DataType::Timestamp(_, Some(_))))
                };
                // Of two kinds both become timestamps with time zone, as PostgreSQL has it.
                let (l, r) = match (zone(&l), zone(&r)) {
                    (true, false) => {
                        let wanted = l.get_type(schema)?;
                        (l, cast(r, wanted))
                    }
                    (false, true) => {
                        let wanted = r.get_type(schema)?;
                        (cast(l, wanted), r)
                    }
                    _ => (l, r),
                };
                called("time_between", vec![l, r])
            }
            (Op::Multiply, Interval, Integer | Number) => called("interval_times", vec![l, r]),
            (Op::Multiply, Integer | Number, Interval) => called("interval_times", vec![r, l]),
            (Op::Divide, Interval, Integer | Number) => called("interval_divided", vec![l, r]),
            (
                Op::Plus | Op::Minus | Op::Multiply | Op::Divide | Op::Modulo,
                Literal,
                Integer | Number,
            ) => {
                let wanted = r.get_type(schema)?;
                original(op, cast(l, wanted), r)
            }
            (
                Op::Plus | Op::Minus | Op::Multiply | Op::Divide | Op::Modulo,
                Integer | Number,
                Literal,
            ) => {
                let wanted = l.get_type(schema)?;
                original(op, l, cast(r, wanted))
            }
            (
                Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq,
                Text,
                Integer | Number,
            )
            | (
                Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq,
                Integer | Number,
                Text,
            ) => {
                let name = |expr: &Expr| {
                    expr.get_type(schema)
                        .map(|data_type| crate::sql_types::sql_name(&data_type).to_lowercase())
                };
                plan_err!(
                    "No function matches: operator does not exist: {} {op} {}",
                    name(&l)?,
                    name(&r)?
                )
            }
            _ => original(op, l, r),
        }
    }
}
