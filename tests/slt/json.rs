//! Values of Arrow as the JSON that the REST door writes, so that a file's words hold for record batches, too. It is
//! written anew here: what the server writes is not judged by the server's own code.

use arrow::array::types::{
    DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType,
    Float32Type, Float64Type, IntervalMonthDayNanoType,
};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};
use arrow::util::display::array_value_to_string;
use serde_json::Value;
use serde_json::value::RawValue;

use super::connection::{number, word};

/// Whether the texts of a column are JSON documents.
pub(super) fn is_json(field: &Field) -> bool {
    field.extension_type_name() == Some("arrow.json")
}

/// A value as JSON.
///
/// # Panics
/// For a type that the Flight door does not send.
pub(super) fn json(array: &ArrayRef, field: &Field, row: usize) -> String {
    use DataType as T;
    if array.is_null(row) {
        return "null".to_owned();
    }
    match array.data_type() {
        T::Null => "null".to_owned(),
        T::Boolean => shown(array, row),
        T::Float32 => real(array.as_primitive::<Float32Type>().value(row)),
        T::Float64 => real(array.as_primitive::<Float64Type>().value(row)),
        data_type if data_type.is_integer() || data_type.is_decimal() => number(shown(array, row)),
        T::Utf8 | T::LargeUtf8 => {
            let text = shown(array, row);
            // What is no document all the same is a string.
            match serde_json::from_str::<&RawValue>(&text) {
                Ok(_) if is_json(field) => text,
                _ => quoted(text),
            }
        }
        T::Binary | T::LargeBinary | T::FixedSizeBinary(_) => {
            quoted(format!("\\x{}", shown(array, row)))
        }
        T::Date32 | T::Date64 | T::Time32(_) | T::Time64(_) | T::Timestamp(..) => {
            quoted(shown(array, row))
        }
        T::Interval(IntervalUnit::MonthDayNano) => {
            let value = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
            quoted(interval(value.months, value.days, value.nanoseconds.into()))
        }
        T::Duration(unit) => quoted(interval(0, 0, nanoseconds(array, *unit, row))),
        T::List(item) => items(&array.as_list::<i32>().value(row), item),
        T::LargeList(item) => items(&array.as_list::<i64>().value(row), item),
        T::FixedSizeList(item, _) => items(&array.as_fixed_size_list().value(row), item),
        T::Struct(fields) => {
            let columns = array.as_struct().columns().iter().zip(fields);
            object(columns.map(|(column, field)| (field.name().clone(), json(column, field, row))))
        }
        T::Map(..) => {
            let map = array.as_map();
            let entries = map.value(row);
            let (key, value) = map.entries_fields();
            object((0..entries.len()).map(|at| {
                let name = word(&json(entries.column(0), key, at));
                (name, json(entries.column(1), value, at))
            }))
        }
        other => panic!("the Flight door sent a column of {other}"),
    }
}

fn shown(array: &ArrayRef, row: usize) -> String {
    array_value_to_string(array, row).expect("Arrow shows its own values")
}

fn quoted(text: impl Into<String>) -> String {
    Value::String(text.into()).to_string()
}

fn items(items: &ArrayRef, field: &Field) -> String {
    let items: Vec<String> = (0..items.len()).map(|at| json(items, field, at)).collect();
    format!("[{}]", items.join(","))
}

fn object(fields: impl Iterator<Item = (String, String)>) -> String {
    let fields: Vec<String> = fields
        .map(|(name, value)| format!("{}:{value}", quoted(name)))
        .collect();
    format!("{{{}}}", fields.join(","))
}

/// The shortest digits that read back as the same number; what JSON has no number for is a string.
fn real<F: Copy + Into<f64> + std::fmt::Debug>(value: F) -> String {
    let double: f64 = value.into();
    match double {
        _ if double.is_finite() => format!("{value:?}"),
        f64::INFINITY => quoted("Infinity"),
        f64::NEG_INFINITY => quoted("-Infinity"),
        _ => quoted("NaN"),
    }
}

fn nanoseconds(array: &ArrayRef, unit: TimeUnit, row: usize) -> i128 {
    let (value, nanoseconds) = match unit {
        TimeUnit::Second => (
            array.as_primitive::<DurationSecondType>().value(row),
            1_000_000_000,
        ),
        TimeUnit::Millisecond => (
            array.as_primitive::<DurationMillisecondType>().value(row),
            1_000_000,
        ),
        TimeUnit::Microsecond => (
            array.as_primitive::<DurationMicrosecondType>().value(row),
            1_000,
        ),
        TimeUnit::Nanosecond => (array.as_primitive::<DurationNanosecondType>().value(row), 1),
    };
    i128::from(value) * nanoseconds
}

/// PostgreSQL's form: `1 year 2 mons -3 days +04:05:06.789`.
fn interval(months: i32, days: i32, nanoseconds: i128) -> String {
    let mut parts = Vec::new();
    let mut is_after_negative = false;
    for (value, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if value != 0 {
            let plus = if is_after_negative && value > 0 {
                "+"
            } else {
                ""
            };
            let plural = if value == 1 { "" } else { "s" };
            parts.push(format!("{plus}{value} {unit}{plural}"));
            is_after_negative = value < 0;
        }
    }
    if nanoseconds != 0 || parts.is_empty() {
        let sign = match nanoseconds {
            ..0 => "-",
            _ if is_after_negative => "+",
            _ => "",
        };
        let seconds = nanoseconds.unsigned_abs() / 1_000_000_000;
        let fraction = format!(".{:09}", nanoseconds.unsigned_abs() % 1_000_000_000);
        parts.push(format!(
            "{sign}{:02}:{:02}:{:02}{}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60,
            fraction.trim_end_matches('0').trim_end_matches('.')
        ));
    }
    parts.join(" ")
}
