//! Casts to whole numbers that round: a decimal to the nearest, half away from zero; a double to the nearest, half to
//! even. Both are PostgreSQL's (manual, 8.1.2); Arrow cuts the fraction off.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::expr::{Cast, ScalarFunction, TryCast};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::rewrite::Scope;

/// `expr` with each number with a fraction rounded before it is cast to a whole one.
pub(super) fn rounded(expr: Expr, scope: &Scope<'_>) -> Result<Transformed<Expr>> {
    expr.transform_up(|mut expr| {
        if let Expr::ScalarFunction(call) = &mut expr
            && call.func.name() == "round"
            && let [number] = call.args.as_mut_slice()
            && scope
                .type_of(number)
                .is_some_and(|data_type| data_type.is_floating())
        {
            // Of a double, half to even.
            let number = std::mem::take(number);
            let call = ScalarFunction::new_udf(Arc::clone(&NEAREST), vec![number]);
            return Ok(Transformed::yes(Expr::ScalarFunction(call)));
        }
        let (Expr::Cast(Cast { expr: inner, field })
        | Expr::TryCast(TryCast { expr: inner, field })) = &mut expr
        else {
            return Ok(Transformed::no(expr));
        };
        let is_rounded = field.data_type().is_integer()
            && scope
                .type_of(inner)
                .is_some_and(|data_type| whole(&data_type).is_some())
            && !matches!(inner.as_ref(), Expr::ScalarFunction(call) if call.func.name() == NAME);
        if !is_rounded {
            return Ok(Transformed::no(expr));
        }
        let number = std::mem::take(inner.as_mut());
        **inner = Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(&NEAREST), vec![number]));
        Ok(Transformed::yes(expr))
    })
}

/// The type of a number of `data_type` that was rounded; none where there is nothing to round.
fn whole(data_type: &DataType) -> Option<DataType> {
    // The digits before the point, and one more for 9.9.
    let digits = |precision: u8, scale: i8, most: u8| {
        precision
            .saturating_sub(scale.unsigned_abs())
            .saturating_add(1)
            .min(most)
    };
    match *data_type {
        DataType::Float32 | DataType::Float64 => Some(data_type.clone()),
        DataType::Decimal32(precision, scale) if scale > 0 => {
            Some(DataType::Decimal32(digits(precision, scale, 9), 0))
        }
        DataType::Decimal64(precision, scale) if scale > 0 => {
            Some(DataType::Decimal64(digits(precision, scale, 18), 0))
        }
        DataType::Decimal128(precision, scale) if scale > 0 => {
            Some(DataType::Decimal128(digits(precision, scale, 38), 0))
        }
        DataType::Decimal256(precision, scale) if scale > 0 => {
            Some(DataType::Decimal256(digits(precision, scale, 76), 0))
        }
        _ => None,
    }
}

const NAME: &str = "nearest_whole";

static NEAREST: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| Arc::new(ScalarUDF::from(Nearest::default())));

/// The nearest whole number, in the type of the number. A function and no cast, because DataFusion takes a cast in a
/// comparison for one that keeps the value.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Nearest(Signature);

impl Default for Nearest {
    fn default() -> Self {
        Self(Signature::any(1, Volatility::Immutable))
    }
}

impl ScalarUDFImpl for Nearest {
    fn name(&self) -> &str {
        NAME
    }

    /// As its argument, so that no column changes its name.
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        Ok(match args {
            [number] => number.schema_name().to_string(),
            _ => NAME.to_owned(),
        })
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types.first().and_then(whole) {
            Some(data_type) => Ok(data_type),
            None => internal_err!("{NAME} of {types:?}"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let to = args.return_type().clone();
        match args.args.as_slice() {
            [ColumnarValue::Array(numbers)] => Ok(ColumnarValue::Array(nearest(numbers, &to)?)),
            [ColumnarValue::Scalar(number)] => {
                let number = nearest(&number.to_array()?, &to)?;
                let number = datafusion::common::ScalarValue::try_from_array(&number, 0)?;
                Ok(ColumnarValue::Scalar(number))
            }
            other => internal_err!("{NAME} of {} arguments", other.len()),
        }
    }
}

fn nearest(numbers: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    Ok(match to {
        DataType::Float32 => Arc::new(
            numbers
                .as_primitive::<Float32Type>()
                .unary::<_, Float32Type>(f32::round_ties_even),
        ),
        DataType::Float64 => Arc::new(
            numbers
                .as_primitive::<Float64Type>()
                .unary::<_, Float64Type>(f64::round_ties_even),
        ),
        // Arrow rounds a decimal that loses digits, half away from zero.
        _ => cast(numbers, to)?,
    })
}
