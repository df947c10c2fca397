//! A column's values in the few kinds that schemas tell apart.

use std::ops::Range;

use arrow::array::types::*;
use arrow::array::*;
use arrow::datatypes::{DataType, Field, TimeUnit, i256};
use arrow::error::ArrowError;

use crate::topic::row::{ColumnWriter, Logical, east_of_utc, logical, per_second, sql_name};

/// Gives the value of a row.
pub(super) type Get<'a, T> = Box<dyn Fn(usize) -> T + 'a>;

/// A column to be encoded.
pub(super) struct Column<'a> {
    text: ColumnWriter<'a>,
    /// What SQL calls its type.
    pub(super) of: String,
    pub(super) values: Values<'a>,
}

/// Values by what they are, however wide. What is asked of a row that is null means nothing.
pub(super) enum Values<'a> {
    /// Each is null.
    Null,
    Boolean(Get<'a, bool>),
    Integer(Get<'a, i128>),
    Single(Get<'a, f32>),
    Double(Get<'a, f64>),
    /// So many digits after the point.
    Decimal(i8, Get<'a, i256>),
    Text(Get<'a, &'a str>),
    Uuid(Get<'a, &'a str>),
    Json(Get<'a, &'a str>),
    Bytes(Get<'a, &'a [u8]>),
    /// Days since 1970.
    Date(Get<'a, i64>),
    /// So many parts of a second each.
    Time(i64, Get<'a, i64>),
    Timestamp(Clock, Get<'a, i64>),
    /// Intervals and durations, which have a text alone.
    Plain,
    List(Get<'a, Range<usize>>, Inner<'a>),
    Struct(Vec<Inner<'a>>),
    /// Keys and values.
    Map(Get<'a, Range<usize>>, Inner<'a>, Inner<'a>),
}

/// A column within a column.
#[derive(Clone, Copy)]
pub(super) struct Inner<'a> {
    /// The name of its field.
    pub(super) key: &'a str,
    pub(super) field: &'a Field,
    pub(super) array: &'a dyn Array,
}

/// How a timestamp counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clock {
    /// How many of its parts are a second.
    pub(super) per_second: i64,
    /// How many seconds east of UTC a zone's clocks are; zero without a zone.
    pub(super) east: i64,
}

impl<'a> Column<'a> {
    /// # Errors
    /// For a type that rows cannot hold.
    pub(super) fn new(field: &'a Field, array: &'a dyn Array) -> Result<Self, ArrowError> {
        Ok(Self {
            text: ColumnWriter::new(field, array)?,
            of: match logical(field) {
                Some(Logical::Uuid) => "UUID".to_owned(),
                Some(Logical::Json) => "JSON".to_owned(),
                None => sql_name(field.data_type()),
            },
            values: values(field, array)?,
        })
    }

    /// Whether its values have a text that reads back: nested ones have not, where a schema says text.
    pub(super) fn has_text(&self) -> bool {
        !matches!(
            self.values,
            Values::List(..) | Values::Struct(_) | Values::Map(..)
        )
    }

    /// Appends a value as text without quotes.
    pub(super) fn put_text(&self, row: usize, to: &mut Vec<u8>) -> Result<(), String> {
        match &self.values {
            Values::Json(text) => to.extend_from_slice(text(row).as_bytes()),
            _ => self.text.write_text(row, to, &mut String::new())?,
        }
        Ok(())
    }
}

fn values<'a>(field: &'a Field, array: &'a dyn Array) -> Result<Values<'a>, ArrowError> {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    Ok(match array.data_type() {
        DataType::Null => Values::Null,
        DataType::Boolean => {
            let array = array.as_boolean();
            Values::Boolean(Box::new(move |row| array.value(row)))
        }
        DataType::Int8 => integers::<Int8Type>(array),
        DataType::Int16 => integers::<Int16Type>(array),
        DataType::Int32 => integers::<Int32Type>(array),
        DataType::Int64 => integers::<Int64Type>(array),
        DataType::UInt8 => integers::<UInt8Type>(array),
        DataType::UInt16 => integers::<UInt16Type>(array),
        DataType::UInt32 => integers::<UInt32Type>(array),
        DataType::UInt64 => integers::<UInt64Type>(array),
        DataType::Float16 => {
            let array = array.as_primitive::<Float16Type>();
            Values::Single(Box::new(move |row| array.value(row).to_f32()))
        }
        DataType::Float32 => Values::Single(native::<Float32Type>(array)),
        DataType::Float64 => Values::Double(native::<Float64Type>(array)),
        DataType::Decimal32(_, scale) => Values::Decimal(
            *scale,
            mapped::<Decimal32Type, _>(array, |it| i256::from_i128(it.into())),
        ),
        DataType::Decimal64(_, scale) => Values::Decimal(
            *scale,
            mapped::<Decimal64Type, _>(array, |it| i256::from_i128(it.into())),
        ),
        DataType::Decimal128(_, scale) => {
            Values::Decimal(*scale, mapped::<Decimal128Type, _>(array, i256::from_i128))
        }
        DataType::Decimal256(_, scale) => Values::Decimal(*scale, native::<Decimal256Type>(array)),
        DataType::Utf8 => {
            let array = array.as_string::<i32>();
            text(field, Box::new(move |row| array.value(row)))
        }
        DataType::LargeUtf8 => {
            let array = array.as_string::<i64>();
            text(field, Box::new(move |row| array.value(row)))
        }
        DataType::Utf8View => {
            let array = array.as_string_view();
            text(field, Box::new(move |row| array.value(row)))
        }
        DataType::Binary => {
            let array = array.as_binary::<i32>();
            Values::Bytes(Box::new(move |row| array.value(row)))
        }
        DataType::LargeBinary => {
            let array = array.as_binary::<i64>();
            Values::Bytes(Box::new(move |row| array.value(row)))
        }
        DataType::BinaryView => {
            let array = array.as_binary_view();
            Values::Bytes(Box::new(move |row| array.value(row)))
        }
        DataType::FixedSizeBinary(_) => {
            let array = array.as_fixed_size_binary();
            Values::Bytes(Box::new(move |row| array.value(row)))
        }
        DataType::Date32 => Values::Date(mapped::<Date32Type, _>(array, i64::from)),
        DataType::Date64 => {
            let clock = Clock {
                per_second: 1_000,
                east: 0,
            };
            Values::Timestamp(clock, native::<Date64Type>(array))
        }
        DataType::Time32(Second) => {
            Values::Time(1, mapped::<Time32SecondType, _>(array, i64::from))
        }
        DataType::Time32(_) => {
            Values::Time(1_000, mapped::<Time32MillisecondType, _>(array, i64::from))
        }
        DataType::Time64(Microsecond) => {
            Values::Time(1_000_000, native::<Time64MicrosecondType>(array))
        }
        DataType::Time64(_) => Values::Time(1_000_000_000, native::<Time64NanosecondType>(array)),
        DataType::Timestamp(unit, zone) => {
            let clock = Clock {
                per_second: per_second(*unit),
                east: zone.as_deref().and_then(east_of_utc).unwrap_or(0),
            };
            let value = match unit {
                Second => native::<TimestampSecondType>(array),
                Millisecond => native::<TimestampMillisecondType>(array),
                Microsecond => native::<TimestampMicrosecondType>(array),
                Nanosecond => native::<TimestampNanosecondType>(array),
            };
            Values::Timestamp(clock, value)
        }
        DataType::Duration(_) | DataType::Interval(_) => Values::Plain,
        DataType::List(item) => list::<i32>(item, array),
        DataType::LargeList(item) => list::<i64>(item, array),
        DataType::FixedSizeList(item, size) => {
            let size = usize::try_from(*size).unwrap_or(0);
            let inner = Inner {
                key: item.name(),
                field: item,
                array: array.as_fixed_size_list().values().as_ref(),
            };
            Values::List(Box::new(move |row| row * size..(row + 1) * size), inner)
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            let fields = fields.iter().zip(columns).map(|(field, array)| Inner {
                key: field.name(),
                field,
                array: array.as_ref(),
            });
            Values::Struct(fields.collect())
        }
        DataType::Map(entries, _) => {
            let DataType::Struct(fields) = entries.data_type() else {
                return Err(unknown(array));
            };
            let array_of_maps = array.as_map();
            let [key, value] = &fields[..] else {
                return Err(unknown(array));
            };
            let ends = array_of_maps.value_offsets();
            Values::Map(
                Box::new(move |row| range(ends, row)),
                Inner {
                    key: key.name(),
                    field: key,
                    array: array_of_maps.keys().as_ref(),
                },
                Inner {
                    key: value.name(),
                    field: value,
                    array: array_of_maps.values().as_ref(),
                },
            )
        }
        _ => return Err(unknown(array)),
    })
}

fn unknown(array: &dyn Array) -> ArrowError {
    ArrowError::NotYetImplemented(format!("columns of type {}", array.data_type()))
}

fn native<T: ArrowPrimitiveType>(array: &dyn Array) -> Get<'_, T::Native> {
    mapped::<T, _>(array, |value| value)
}

fn mapped<'a, T: ArrowPrimitiveType, V>(
    array: &'a dyn Array,
    map: impl Fn(T::Native) -> V + 'a,
) -> Get<'a, V> {
    let array = array.as_primitive::<T>();
    Box::new(move |row| map(array.value(row)))
}

fn integers<T: ArrowPrimitiveType>(array: &dyn Array) -> Values<'_>
where
    T::Native: Into<i128>,
{
    Values::Integer(mapped::<T, _>(array, Into::into))
}

fn text<'a>(field: &Field, value: Get<'a, &'a str>) -> Values<'a> {
    match logical(field) {
        Some(Logical::Uuid) => Values::Uuid(value),
        Some(Logical::Json) => Values::Json(value),
        None => Values::Text(value),
    }
}

fn range<O: OffsetSizeTrait>(ends: &[O], row: usize) -> Range<usize> {
    let end = |at: usize| ends.get(at).map_or(0, |end| end.as_usize());
    end(row)..end(row + 1)
}

fn list<'a, O: OffsetSizeTrait>(item: &'a Field, array: &'a dyn Array) -> Values<'a> {
    let array = array.as_list::<O>();
    let ends = array.value_offsets();
    let inner = Inner {
        key: item.name(),
        field: item,
        array: array.values().as_ref(),
    };
    Values::List(Box::new(move |row| range(ends, row)), inner)
}
