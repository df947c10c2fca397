//! Arithmetic of whole numbers that fails where it overflows.
//!
//! DataFusion's `+`, `-` and `*` wrap around: `9223372036854775807 + 1` is a negative number. PostgreSQL refuses it, and
//! so does Weir. In: a plan whose types are settled. Out: the same plan, with those operations whose result may be out of
//! its type's range replaced by functions that check it. What cannot overflow (`small + 1` in 64 bits) is left to
//! DataFusion, which knows how to simplify it.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, Datum};
use arrow::compute::kernels::numeric;
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::error::ArrowError;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::expr::{BinaryExpr, Cast, ScalarFunction};
use datafusion::logical_expr::{
    ColumnarValue, Expr, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};

use super::rewrite::Scope;

/// How deep an expression is looked into to tell the range of its values.
const DEPTH_MAX: usize = 16;

/// `expr` with arithmetic that fails where it overflows.
pub(super) fn checked(expr: Expr, scope: &Scope<'_>) -> Result<Transformed<Expr>> {
    expr.transform_up(|expr| match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let operation = match op {
                Operator::Plus => Operation::Add,
                Operator::Minus => Operation::Subtract,
                Operator::Multiply => Operation::Multiply,
                _ => return Ok(Transformed::no(binary(left, op, right))),
            };
            let types = (integer(&left, scope), integer(&right, scope));
            let (Some(data_type), Some(other)) = types else {
                return Ok(Transformed::no(binary(left, op, right)));
            };
            let fits = combined(&left, op, &right, scope, 0)
                .is_some_and(|range| within(range, &data_type));
            if fits || data_type != other {
                return Ok(Transformed::no(binary(left, op, right)));
            }
            Ok(Transformed::yes(operation.call(vec![*left, *right])))
        }
        Expr::Negative(inner) => {
            let Some(data_type) = integer(&inner, scope) else {
                return Ok(Transformed::no(Expr::Negative(inner)));
            };
            let fits = range(&inner, scope, 0)
                .is_some_and(|(low, high)| within((-high, -low), &data_type));
            if fits {
                return Ok(Transformed::no(Expr::Negative(inner)));
            }
            Ok(Transformed::yes(Operation::Negate.call(vec![*inner])))
        }
        other => Ok(Transformed::no(other)),
    })
}

fn binary(left: Box<Expr>, op: Operator, right: Box<Expr>) -> Expr {
    Expr::BinaryExpr(BinaryExpr { left, op, right })
}

/// The type of an expression, if it is one of whole numbers. One whose columns are of a query around it has none here.
fn integer(expr: &Expr, scope: &Scope<'_>) -> Option<DataType> {
    let data_type = scope.type_of(expr)?;
    data_type.is_integer().then_some(data_type)
}

/// The least and the largest value that an expression can have, as far as its form tells.
fn range(expr: &Expr, scope: &Scope<'_>, depth: usize) -> Option<(i128, i128)> {
    let of_type = || integer(expr, scope).and_then(|data_type| bounds(&data_type));
    if depth >= DEPTH_MAX {
        return of_type();
    }
    match expr {
        Expr::Literal(value, _) => whole(value).map(|value| (value, value)),
        Expr::Alias(alias) => range(&alias.expr, scope, depth + 1),
        Expr::Cast(Cast { expr: inner, .. }) => {
            let (all, inner) = (of_type()?, range(inner, scope, depth + 1));
            // What does not fit fails in the cast.
            Some(inner.map_or(all, |(low, high)| (low.max(all.0), high.min(all.1))))
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let all = of_type()?;
            let combined = combined(left, *op, right, scope, depth + 1);
            Some(
                combined
                    .filter(|(low, high)| *low >= all.0 && *high <= all.1)
                    .unwrap_or(all),
            )
        }
        _ => of_type(),
    }
}

fn combined(
    left: &Expr,
    op: Operator,
    right: &Expr,
    scope: &Scope<'_>,
    depth: usize,
) -> Option<(i128, i128)> {
    let (a, b) = (range(left, scope, depth)?, range(right, scope, depth)?);
    Some(match op {
        Operator::Plus => (a.0 + b.0, a.1 + b.1),
        Operator::Minus => (a.0 - b.1, a.1 - b.0),
        Operator::Multiply => {
            let products = [(a.0, b.0), (a.0, b.1), (a.1, b.0), (a.1, b.1)]
                .map(|(left, right)| left.checked_mul(right));
            let products = products.into_iter().collect::<Option<Vec<_>>>()?;
            (*products.iter().min()?, *products.iter().max()?)
        }
        _ => return None,
    })
}

fn within((low, high): (i128, i128), data_type: &DataType) -> bool {
    bounds(data_type).is_some_and(|all| low >= all.0 && high <= all.1)
}

fn bounds(data_type: &DataType) -> Option<(i128, i128)> {
    Some(match data_type {
        DataType::Int8 => (i8::MIN.into(), i8::MAX.into()),
        DataType::Int16 => (i16::MIN.into(), i16::MAX.into()),
        DataType::Int32 => (i32::MIN.into(), i32::MAX.into()),
        DataType::Int64 => (i64::MIN.into(), i64::MAX.into()),
        DataType::UInt8 => (0, u8::MAX.into()),
        DataType::UInt16 => (0, u16::MAX.into()),
        DataType::UInt32 => (0, u32::MAX.into()),
        DataType::UInt64 => (0, u64::MAX.into()),
        _ => return None,
    })
}

fn whole(value: &ScalarValue) -> Option<i128> {
    match value {
        ScalarValue::Int8(value) => (*value).map(i128::from),
        ScalarValue::Int16(value) => (*value).map(i128::from),
        ScalarValue::Int32(value) => (*value).map(i128::from),
        ScalarValue::Int64(value) => (*value).map(i128::from),
        ScalarValue::UInt8(value) => (*value).map(i128::from),
        ScalarValue::UInt16(value) => (*value).map(i128::from),
        ScalarValue::UInt32(value) => (*value).map(i128::from),
        ScalarValue::UInt64(value) => (*value).map(i128::from),
        _ => None,
    }
}

/// What is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Operation {
    Add,
    Subtract,
    Multiply,
    Negate,
}

impl Operation {
    fn call(self, args: Vec<Expr>) -> Expr {
        static FUNCTIONS: LazyLock<[(Operation, Arc<ScalarUDF>); 4]> = LazyLock::new(|| {
            [
                Operation::Add,
                Operation::Subtract,
                Operation::Multiply,
                Operation::Negate,
            ]
            .map(|operation| {
                (
                    operation,
                    Arc::new(ScalarUDF::from(Checked::new(operation))),
                )
            })
        });
        let function = FUNCTIONS
            .iter()
            .find(|(operation, _)| *operation == self)
            .map_or_else(
                || Arc::new(ScalarUDF::from(Checked::new(self))),
                |(_, function)| Arc::clone(function),
            );
        Expr::ScalarFunction(ScalarFunction::new_udf(function, args))
    }

    fn sign(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract | Self::Negate => "-",
            Self::Multiply => "*",
        }
    }

    fn apply(self, left: &dyn Datum, right: &dyn Datum) -> Result<ArrayRef, ArrowError> {
        match self {
            Self::Add => numeric::add(left, right),
            Self::Subtract => numeric::sub(left, right),
            Self::Multiply => numeric::mul(left, right),
            Self::Negate => numeric::neg(left.get().0),
        }
    }
}

/// An operation as a function of DataFusion's. It is shown as the operation.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    operation: Operation,
    signature: Signature,
}

impl Checked {
    fn new(operation: Operation) -> Self {
        Self {
            operation,
            signature: Signature::variadic_any(Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        match self.operation {
            Operation::Add => "checked_add",
            Operation::Subtract => "checked_subtract",
            Operation::Multiply => "checked_multiply",
            Operation::Negate => "checked_negate",
        }
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        self.schema_name(args)
    }

    /// As DataFusion names the operation that this stands for, so that no column changes its name.
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let sign = self.operation.sign();
        Ok(match args {
            [inner] => format!("({sign} {})", inner.schema_name()),
            [left, right] => format!("{} {sign} {}", left.schema_name(), right.schema_name()),
            _ => self.name().to_owned(),
        })
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types.first() {
            Some(data_type) => Ok(data_type.clone()),
            None => internal_err!("{} without operands", self.name()),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> = args
            .arg_fields
            .iter()
            .map(|field| field.data_type().clone())
            .collect();
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        let data_type = self.return_type(&types)?;
        Ok(Arc::new(Field::new(self.name(), data_type, nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let operands = match args.args.as_slice() {
            [inner] => (inner, inner),
            [left, right] => (left, right),
            other => return internal_err!("{} of {} operands", self.name(), other.len()),
        };
        let both_scalar = matches!(
            operands,
            (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_))
        );
        let (left, right) = (datum(operands.0)?, datum(operands.1)?);
        let result = self.operation.apply(left.as_ref(), right.as_ref())?;
        Ok(if both_scalar {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?)
        } else {
            ColumnarValue::Array(result)
        })
    }
}

fn datum(value: &ColumnarValue) -> Result<Box<dyn Datum>> {
    Ok(match value {
        ColumnarValue::Array(array) => Box::new(Arc::clone(array)),
        ColumnarValue::Scalar(scalar) => Box::new(scalar.to_scalar()?),
    })
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Schema;
    use datafusion::common::DFSchema;
    use datafusion::logical_expr::{col, lit};

    use super::*;

    fn is_checked(expr: Expr) -> bool {
        let fields = vec![
            Field::new("small", DataType::Int16, false),
            Field::new("big", DataType::Int64, true),
            Field::new("real", DataType::Float64, true),
        ];
        let schema = DFSchema::try_from(Schema::new(fields)).unwrap();
        let before = expr.schema_name().to_string();
        let columns = || schema.clone();
        let after = checked(expr, &Scope::new(&columns)).unwrap();
        assert_eq!(after.data.schema_name().to_string(), before);
        after.transformed
    }

    fn widened(name: &str) -> Expr {
        datafusion::logical_expr::cast(col(name), DataType::Int64)
    }

    #[test]
    fn only_what_may_overflow_is_checked() {
        assert!(is_checked(col("big") + lit(1_i64)));
        assert!(is_checked(col("big") - col("big")));
        assert!(is_checked(col("big") * lit(2_i64)));
        assert!(is_checked(-col("big")));
        assert!(is_checked(lit(i64::MAX) + lit(1_i64)));
        assert!(is_checked(col("small") + col("small")));
        assert!(!is_checked(widened("small") + lit(1_i64)));
        assert!(!is_checked(
            widened("small") * widened("small") * lit(1000_i64)
        ));
        assert!(!is_checked(-lit(5_i64)));
        assert!(!is_checked(col("real") + col("real")));
        assert!(!is_checked(col("big") / lit(2_i64)));
    }
}
