//! Numbers: `ceil` and `floor`, `div`, `width_bucket`, digits of decimals, bits.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowNativeTypeOp, AsArray, Float64Array, Int64Array, PrimitiveArray,
};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowNativeType, DataType, Decimal128Type, Decimal256Type, DecimalType, Float64Type, Int64Type,
};
use datafusion::common::Result;
use weir_base::SqlState;

use super::define::Kind::{Bytes, Decimal, Double, Integer, List, Numeric};
use super::define::{Arguments, Definition, function, takes, takes_by};
use crate::error::Error;

/// The functions of this file.
pub(super) const FUNCTIONS: [Definition; 9] = [
    function(
        "ceil",
        &[
            takes_by(&[Decimal], whole, |args| to_whole(args, true)),
            takes(&[Double], Double, |args| of_doubles(args, f64::ceil)),
        ],
    ),
    function(
        "floor",
        &[
            takes_by(&[Decimal], whole, |args| to_whole(args, false)),
            takes(&[Double], Double, |args| of_doubles(args, f64::floor)),
        ],
    ),
    function(
        "div",
        &[
            takes(&[Integer, Integer], Integer, |args| {
                let (left, right) = (args.integers(0)?, args.integers(1)?);
                args.values::<i64, Int64Array>(|row| match right.value(row) {
                    0 => Err(by_zero().into()),
                    by => Ok(Some(
                        left.value(row).checked_div(by).ok_or_else(out_of_range)?,
                    )),
                })
            }),
            takes_by(
                &[Numeric, Numeric],
                |_| Ok(DataType::Decimal128(38, 0)),
                exact_div,
            ),
        ],
    ),
    function(
        "width_bucket",
        &[
            takes(&[Double, Double, Double, Integer], Integer, width_bucket),
            takes(&[Double, List], Integer, bucket_of),
        ],
    ),
    function(
        "scale",
        &[takes(&[Numeric], Integer, |args| {
            let scale = scale(args)?;
            args.values::<i64, Int64Array>(|_| Ok(Some(scale.into())))
        })],
    ),
    function(
        "min_scale",
        &[takes(&[Numeric], Integer, |args| {
            let scale = scale(args)?;
            let values = cast(args.array(0)?, &DataType::Decimal128(38, scale))?;
            let values = values.as_primitive::<Decimal128Type>();
            args.values::<i64, Int64Array>(|row| {
                let (mut value, mut scale) = (values.value(row), i64::from(scale));
                while scale > 0 && value % 10 == 0 {
                    (value, scale) = (value / 10, scale - 1);
                }
                Ok(Some(scale))
            })
        })],
    ),
    function(
        "bit_not",
        &[takes_by(
            &[super::define::Kind::Any],
            |types| match types.first() {
                Some(data_type) if data_type.is_integer() => Ok(data_type.clone()),
                other => {
                    datafusion::common::plan_err!("No function matches: operator ~ of {other:?}")
                }
            },
            |args| {
                let values = args.array(0)?;
                let wide = cast(values, &DataType::Int64)?;
                let not = arrow::compute::kernels::bitwise::bitwise_not(
                    wide.as_primitive::<Int64Type>(),
                )?;
                Ok(cast(&not, values.data_type())?)
            },
        )],
    ),
    function(
        "bit_count",
        &[
            takes(&[Integer], Integer, |args| {
                let values = args.integers(0)?;
                args.values::<i64, Int64Array>(|row| {
                    Ok(Some(values.value(row).count_ones().into()))
                })
            }),
            takes(&[Bytes], Integer, |args| {
                let values = args.array(0)?.as_binary::<i32>();
                args.values::<i64, Int64Array>(|row| {
                    Ok(Some(
                        values
                            .value(row)
                            .iter()
                            .map(|byte| i64::from(byte.count_ones()))
                            .sum(),
                    ))
                })
            }),
        ],
    ),
    function(
        "get_byte",
        &[takes(&[Bytes, Integer], Integer, |args| {
            let (values, places) = (args.array(0)?.as_binary::<i32>(), args.integers(1)?);
            args.values::<i64, Int64Array>(|row| {
                let bytes = values.value(row);
                let byte = usize::try_from(places.value(row))
                    .ok()
                    .and_then(|at| bytes.get(at));
                match byte {
                    Some(byte) => Ok(Some((*byte).into())),
                    None => Err(Error::invalid(
                        SqlState("2202E"),
                        format!(
                            "index {} out of valid range, 0..{}",
                            places.value(row),
                            bytes.len().saturating_sub(1)
                        ),
                    )
                    .into()),
                }
            })
        })],
    ),
];

/// The type of a decimal that was made whole: without digits behind the point, and with one more before it, for 9.9.
fn whole(types: &[DataType]) -> Result<DataType> {
    let digits = |precision: u8, scale: i8, most: u8| {
        let before = i16::from(precision) - i16::from(scale) + 1;
        u8::try_from(before).map_or(most, |before| before.clamp(1, most))
    };
    match types {
        [DataType::Decimal128(precision, scale)] if *scale > 0 => {
            Ok(DataType::Decimal128(digits(*precision, *scale, 38), 0))
        }
        [DataType::Decimal256(precision, scale)] if *scale > 0 => {
            Ok(DataType::Decimal256(digits(*precision, *scale, 76), 0))
        }
        [other] => Ok(other.clone()),
        other => datafusion::common::internal_err!("a whole number of {other:?}"),
    }
}

fn to_whole(args: &Arguments, up: bool) -> Result<ArrayRef> {
    let values = args.array(0)?;
    let of = args.result.data_type();
    Ok(match *values.data_type() {
        DataType::Decimal128(_, scale) if scale > 0 => Arc::new(
            next_whole::<Decimal128Type>(values.as_primitive(), scale, up)?
                .with_data_type(of.clone()),
        ),
        DataType::Decimal256(_, scale) if scale > 0 => Arc::new(
            next_whole::<Decimal256Type>(values.as_primitive(), scale, up)?
                .with_data_type(of.clone()),
        ),
        _ => Arc::clone(values),
    })
}

/// The next whole number of each value, above it or below.
fn next_whole<T: DecimalType>(
    values: &PrimitiveArray<T>,
    scale: i8,
    up: bool,
) -> Result<PrimitiveArray<T>> {
    let one = T::Native::usize_as(10).pow_checked(scale.unsigned_abs().into())?;
    Ok(values.unary(|value| {
        let (cut, rest) = (value.div_wrapping(one), value.mod_wrapping(one));
        if up && rest.is_gt(T::Native::ZERO) {
            cut.add_wrapping(T::Native::ONE)
        } else if !up && rest.is_lt(T::Native::ZERO) {
            cut.sub_wrapping(T::Native::ONE)
        } else {
            cut
        }
    }))
}

fn of_doubles(args: &Arguments, of: impl Fn(f64) -> f64) -> Result<ArrayRef> {
    let values: Float64Array = args.doubles(0)?.unary::<_, Float64Type>(of);
    Ok(Arc::new(values))
}

fn by_zero() -> Error {
    Error::invalid(SqlState::DIVISION_BY_ZERO, "division by zero")
}

fn out_of_range() -> Error {
    Error::invalid(
        SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
        "a quotient is out of range",
    )
}

fn scale(args: &Arguments) -> Result<i8> {
    Ok(match args.array(0)?.data_type() {
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => *scale,
        _ => 0,
    })
}

/// The whole part of a quotient of decimals.
fn exact_div(args: &Arguments) -> Result<ArrayRef> {
    let scales = args.arrays.iter().map(|array| match array.data_type() {
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => *scale,
        _ => 0,
    });
    let common = DataType::Decimal128(38, scales.max().unwrap_or(0));
    let options = arrow::compute::CastOptions {
        safe: false,
        ..Default::default()
    };
    let of = |at: usize| -> Result<ArrayRef> {
        Ok(arrow::compute::cast_with_options(
            args.array(at)?,
            &common,
            &options,
        )?)
    };
    let (left, right) = (of(0)?, of(1)?);
    let (left, right) = (
        left.as_primitive::<Decimal128Type>(),
        right.as_primitive::<Decimal128Type>(),
    );
    let values =
        args.values::<i128, arrow::array::Decimal128Array>(|row| match right.value(row) {
            0 => Err(by_zero().into()),
            by => Ok(Some(left.value(row) / by)),
        })?;
    let values = values.as_primitive::<Decimal128Type>().clone();
    Ok(Arc::new(values.with_precision_and_scale(38, 0)?))
}

fn width_bucket(args: &Arguments) -> Result<ArrayRef> {
    let (values, lows, highs, counts) = (
        args.doubles(0)?,
        args.doubles(1)?,
        args.doubles(2)?,
        args.integers(3)?,
    );
    let wrong = |message: &str| Error::invalid(SqlState("2201G"), message);
    args.values::<i64, Int64Array>(|row| {
        let (value, low, high, count) = (
            values.value(row),
            lows.value(row),
            highs.value(row),
            counts.value(row),
        );
        if count <= 0 {
            return Err(wrong("count must be greater than zero").into());
        }
        if low == high {
            return Err(wrong("lower bound cannot equal upper bound").into());
        }
        if value.is_nan() || !low.is_finite() || !high.is_finite() {
            return Err(wrong("operand and bounds must be finite").into());
        }
        let is_below = if low < high { value < low } else { value > low };
        let is_above = if low < high {
            value >= high
        } else {
            value <= high
        };
        Ok(Some(match (is_below, is_above) {
            (true, _) => 0,
            (_, true) => count.checked_add(1).ok_or_else(out_of_range)?,
            _ => ((value - low) / (high - low) * count as f64).floor() as i64 + 1,
        }))
    })
}

/// The place among sorted bounds.
fn bucket_of(args: &Arguments) -> Result<ArrayRef> {
    let values = args.doubles(0)?;
    let lists = cast(args.array(1)?, &DataType::new_list(DataType::Float64, true))?;
    let lists = lists.as_list::<i32>();
    args.values::<i64, Int64Array>(|row| {
        let bounds = lists.value(row);
        let bounds = bounds.as_primitive::<arrow::datatypes::Float64Type>();
        let below = bounds
            .iter()
            .flatten()
            .take_while(|bound| *bound <= values.value(row));
        Ok(Some(below.count() as i64))
    })
}
