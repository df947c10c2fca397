//! `generate_series` as a list: of whole numbers, decimals, and timestamps by an interval; and `generate_subscripts`.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Int64Array, ListArray, TimestampMicrosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Decimal128Type, Field, TimeUnit};
use datafusion::common::Result;
use weir_base::SqlState;

use super::clock;
use super::define::Kind::{Instant, Integer, Interval, List, Numeric, Timestamp};
use super::define::{Arguments, Definition, function, takes_by};
use crate::error::Error;
use crate::planning::UTC;

/// The functions of this file.
pub(super) const FUNCTIONS: [Definition; 3] = [
    function(
        "series",
        &[
            takes_by(&[Integer, Integer], |_| Ok(integers()), whole),
            takes_by(&[Integer, Integer, Integer], |_| Ok(integers()), whole),
            takes_by(
                &[Timestamp, Timestamp, Interval],
                |_| Ok(moments(false)),
                times,
            ),
            takes_by(&[Instant, Instant, Interval], |_| Ok(moments(true)), times),
            takes_by(&[Numeric, Numeric], decimals, exact),
            takes_by(&[Numeric, Numeric, Numeric], decimals, exact),
        ],
    ),
    function(
        "subscripts",
        &[takes_by(&[List, Integer], |_| Ok(integers()), subscripts)],
    ),
    function(
        "ordinals",
        &[takes_by(
            &[List],
            |_| Ok(integers()),
            |args| {
                let lists = args.array(0)?.as_list_opt::<i32>();
                listed(
                    args,
                    DataType::Int64,
                    |row| {
                        let length = lists.map_or(0, |lists| lists.value_length(row));
                        Ok((1..=i64::from(length)).collect())
                    },
                    |values: Vec<i64>| Ok(Arc::new(Int64Array::from(values))),
                )
            },
        )],
    ),
];

/// The most values that one call gives.
const VALUES_MAX: usize = 10_000_000;

fn integers() -> DataType {
    DataType::new_list(DataType::Int64, true)
}

fn moments(with_zone: bool) -> DataType {
    DataType::new_list(moment(with_zone), true)
}

fn moment(with_zone: bool) -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, with_zone.then(|| UTC.into()))
}

/// The type of a series of decimals: of the largest scale.
fn decimals(types: &[DataType]) -> Result<DataType> {
    Ok(DataType::new_list(
        DataType::Decimal128(38, scale(types)),
        true,
    ))
}

fn scale(types: &[DataType]) -> i8 {
    let scales = types.iter().map(|data_type| match data_type {
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => *scale,
        _ => 0,
    });
    scales.max().unwrap_or(0)
}

fn zero_step() -> Error {
    Error::invalid(
        SqlState::INVALID_PARAMETER_VALUE,
        "step size cannot equal zero",
    )
}

fn too_many() -> Error {
    Error::new(
        weir_base::Kind::LimitExceeded,
        format!("a series of more than {VALUES_MAX} values"),
    )
    .with_sqlstate(SqlState("54000"))
}

/// A list of each row that has no null, of what `values` gives.
fn listed<T>(
    args: &Arguments,
    item: DataType,
    mut values: impl FnMut(usize) -> Result<Vec<T>>,
    array: impl FnOnce(Vec<T>) -> Result<ArrayRef>,
) -> Result<ArrayRef> {
    let (mut all, mut lengths) = (Vec::new(), Vec::with_capacity(args.rows));
    for row in 0..args.rows {
        let before = all.len();
        if !args.has_null(row) {
            all.extend(values(row)?);
        }
        lengths.push(all.len() - before);
        if all.len() > VALUES_MAX {
            return Err(too_many().into());
        }
    }
    let nulls = NullBuffer::from_iter((0..args.rows).map(|row| !args.has_null(row)));
    Ok(Arc::new(ListArray::try_new(
        Arc::new(Field::new_list_field(item, true)),
        OffsetBuffer::from_lengths(lengths),
        array(all)?,
        Some(nulls),
    )?))
}

/// `start`, `start + step`, … up to `stop`.
fn steps(start: i128, stop: i128, step: i128) -> Result<Vec<i128>> {
    if step == 0 {
        return Err(zero_step().into());
    }
    let mut values = Vec::new();
    let mut value = start;
    while if step > 0 {
        value <= stop
    } else {
        value >= stop
    } {
        values.push(value);
        if values.len() > VALUES_MAX {
            return Err(too_many().into());
        }
        match value.checked_add(step) {
            Some(next) => value = next,
            None => break,
        }
    }
    Ok(values)
}

fn whole(args: &Arguments) -> Result<ArrayRef> {
    let (starts, stops) = (args.integers(0)?, args.integers(1)?);
    let step = match args.len() {
        3 => Some(args.integers(2)?),
        _ => None,
    };
    listed(
        args,
        DataType::Int64,
        |row| {
            let step = step.map_or(1, |step| step.value(row));
            let values = steps(
                starts.value(row).into(),
                stops.value(row).into(),
                step.into(),
            )?;
            // None is outside of the bounds, which are of 64 bits.
            Ok(values.into_iter().map(|value| value as i64).collect())
        },
        |values: Vec<i64>| Ok(Arc::new(Int64Array::from(values))),
    )
}

fn exact(args: &Arguments) -> Result<ArrayRef> {
    let types: Vec<_> = args
        .arrays
        .iter()
        .map(|array| array.data_type().clone())
        .collect();
    let item = DataType::Decimal128(38, scale(&types));
    let columns = args
        .arrays
        .iter()
        .map(|array| arrow::compute::cast(array, &item))
        .collect::<Result<Vec<_>, _>>()?;
    let value = |at: usize, row: usize| {
        columns
            .get(at)
            .map(|column: &ArrayRef| column.as_primitive::<Decimal128Type>().value(row))
    };
    let one = 10_i128.pow(u32::try_from(scale(&types)).unwrap_or(0));
    listed(
        args,
        item.clone(),
        |row| {
            let (Some(start), Some(stop)) = (value(0, row), value(1, row)) else {
                return Ok(vec![]);
            };
            steps(start, stop, value(2, row).unwrap_or(one))
        },
        |values: Vec<i128>| {
            let values = Decimal128Array::from(values).with_data_type(item.clone());
            Ok(Arc::new(values))
        },
    )
}

fn times(args: &Arguments) -> Result<ArrayRef> {
    let (starts, stops, by) = (args.timestamps(0)?, args.timestamps(1)?, args.intervals(2)?);
    let with_zone = matches!(starts.data_type(), DataType::Timestamp(_, Some(_)));
    let zone = match with_zone {
        true => clock::session_zone(args)?,
        false => clock::utc()?,
    };
    let item = moment(with_zone);
    let data_type = item.clone();
    listed(
        args,
        item,
        |row| {
            let (start, stop, step) = (starts.value(row), stops.value(row), by.value(row));
            let direction = clock::span(step);
            if direction == 0 {
                return Err(zero_step().into());
            }
            let mut values = Vec::new();
            let mut value = start;
            // From the value before, as PostgreSQL does: a month after January 31 and another one is March 29.
            while if direction > 0 {
                value <= stop
            } else {
                value >= stop
            } {
                values.push(value);
                if values.len() > VALUES_MAX {
                    return Err(too_many().into());
                }
                value = clock::plus(value, step, zone)?;
            }
            Ok(values)
        },
        |values: Vec<i64>| {
            let values = TimestampMicrosecondArray::from(values).with_data_type(data_type);
            Ok(Arc::new(values))
        },
    )
}

fn subscripts(args: &Arguments) -> Result<ArrayRef> {
    let (lists, dimensions) = (args.array(0)?.as_list_opt::<i32>(), args.integers(1)?);
    listed(
        args,
        DataType::Int64,
        |row| {
            let length = match (lists, dimensions.value(row)) {
                (Some(lists), 1) => lists.value_length(row),
                _ => 0,
            };
            Ok((1..=i64::from(length)).collect())
        },
        |values: Vec<i64>| Ok(Arc::new(Int64Array::from(values))),
    )
}
