//! Arrow columns written as JSON.

use std::fmt::Write as _;
use std::io::Write as _;

use arrow::array::types::*;
use arrow::array::*;
use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};
use arrow::error::ArrowError;

use super::json::{is_json, write_string};
use super::text::{per_second, write_date, write_hex, write_interval, write_time, write_timestamp};
use super::{Logical, logical};

/// Writes rows of a batch as JSON objects.
pub(crate) struct RowWriter<'a> {
    /// Each column's `"key":`, with the comma before all but the first.
    columns: Vec<(Vec<u8>, ColumnWriter<'a>)>,
    scratch: String,
}

impl<'a> RowWriter<'a> {
    /// A writer of `columns`, which all have as many rows, under these keys.
    pub(crate) fn new<'k>(
        columns: impl IntoIterator<Item = (&'k str, &'a Field, &'a dyn Array)>,
    ) -> Result<Self, ArrowError> {
        let columns = columns
            .into_iter()
            .enumerate()
            .map(|(at, (key, field, array))| {
                let mut lead = if at == 0 { Vec::new() } else { vec![b','] };
                write_string(key, &mut lead);
                lead.push(b':');
                Ok((lead, ColumnWriter::new(field, array)?))
            })
            .collect::<Result<_, ArrowError>>()?;
        Ok(Self {
            columns,
            scratch: String::new(),
        })
    }

    /// Appends one row to `out`. A name is given for the column of which a value cannot be written.
    pub(crate) fn write(&mut self, row: usize, out: &mut Vec<u8>) -> Result<(), (usize, String)> {
        out.push(b'{');
        for (at, (lead, column)) in self.columns.iter().enumerate() {
            out.extend_from_slice(lead);
            column
                .write(row, out, &mut self.scratch)
                .map_err(|message| (at, message))?;
        }
        out.push(b'}');
        Ok(())
    }
}

/// A column whose values can be written as JSON. The type is looked at once.
pub(crate) struct ColumnWriter<'a> {
    array: &'a dyn Array,
    form: Form<'a>,
}

type WriteText<'a> = Box<dyn Fn(usize, &mut String) + 'a>;

/// How a column's values are written.
enum Form<'a> {
    Null,
    Boolean(&'a BooleanArray),
    Signed(Box<dyn Fn(usize) -> i64 + 'a>),
    Unsigned(Box<dyn Fn(usize) -> u64 + 'a>),
    Float32(&'a Float32Array),
    Float64(&'a Float64Array),
    Float16(&'a Float16Array),
    /// Written into text, then quoted; the text has nothing to escape.
    Plain(WriteText<'a>),
    Text(Box<dyn Fn(usize) -> &'a str + 'a>),
    Json(Box<dyn Fn(usize) -> &'a str + 'a>),
    List(
        Box<dyn Fn(usize) -> (usize, usize) + 'a>,
        Box<ColumnWriter<'a>>,
    ),
    Struct(Vec<(Vec<u8>, ColumnWriter<'a>)>),
    Map(&'a MapArray, Box<ColumnWriter<'a>>, Box<ColumnWriter<'a>>),
}

impl<'a> ColumnWriter<'a> {
    /// A writer of `array`, whose type is `field`'s.
    ///
    /// # Errors
    /// For a type that rows cannot hold.
    pub(crate) fn new(field: &Field, array: &'a dyn Array) -> Result<Self, ArrowError> {
        let form = form(field, array)?;
        Ok(Self { array, form })
    }

    /// Appends one value as JSON. The error says why it has no JSON form.
    pub(crate) fn write(
        &self,
        row: usize,
        out: &mut Vec<u8>,
        scratch: &mut String,
    ) -> Result<(), String> {
        if self.array.is_null(row) {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        match &self.form {
            Form::Null => out.extend_from_slice(b"null"),
            Form::Boolean(array) => {
                out.extend_from_slice(if array.value(row) { b"true" } else { b"false" });
            }
            Form::Signed(value) => display(value(row), out),
            Form::Unsigned(value) => display(value(row), out),
            Form::Float16(array) => float(f64::from(array.value(row).to_f32()), out),
            Form::Float32(array) => {
                let value = array.value(row);
                match value.is_finite() {
                    true => debug(value, out),
                    false => float(f64::from(value), out),
                }
            }
            Form::Float64(array) => float(array.value(row), out),
            Form::Plain(write) => {
                scratch.clear();
                write(row, scratch);
                out.push(b'"');
                out.extend_from_slice(scratch.as_bytes());
                out.push(b'"');
            }
            Form::Text(value) => write_string(value(row), out),
            Form::Json(value) => {
                let text = value(row).trim();
                if !is_json(text) {
                    let short: String = text.chars().take(40).collect();
                    return Err(format!("{short:?} is not valid JSON"));
                }
                out.extend_from_slice(text.as_bytes());
            }
            Form::List(range, items) => {
                let (start, end) = range(row);
                out.push(b'[');
                for item in start..end {
                    if item > start {
                        out.push(b',');
                    }
                    items.write(item, out, scratch)?;
                }
                out.push(b']');
            }
            Form::Struct(fields) => {
                out.push(b'{');
                for (lead, field) in fields {
                    out.extend_from_slice(lead);
                    field.write(row, out, scratch)?;
                }
                out.push(b'}');
            }
            Form::Map(array, keys, values) => {
                let ends = array.value_offsets();
                let end = |at: usize| ends.get(at).map_or(0, |end| *end as usize);
                out.push(b'{');
                for entry in end(row)..end(row + 1) {
                    if entry > end(row) {
                        out.push(b',');
                    }
                    keys.write_key(entry, out, scratch)?;
                    out.push(b':');
                    values.write(entry, out, scratch)?;
                }
                out.push(b'}');
            }
        }
        Ok(())
    }

    /// Appends one value as the quoted key of an object.
    fn write_key(&self, row: usize, out: &mut Vec<u8>, scratch: &mut String) -> Result<(), String> {
        let start = out.len();
        self.write(row, out, scratch)?;
        if out.get(start) != Some(&b'"') {
            out.insert(start, b'"');
            out.push(b'"');
        }
        Ok(())
    }

    /// Appends one value as the text that reads back as it where its type is known: as [`Self::write_bare`], and also numbers
    /// that JSON has not without quotes.
    pub(crate) fn write_text(
        &self,
        row: usize,
        out: &mut Vec<u8>,
        scratch: &mut String,
    ) -> Result<(), String> {
        let start = out.len();
        self.write_bare(row, out, scratch)?;
        let is_float = matches!(
            self.form,
            Form::Float16(_) | Form::Float32(_) | Form::Float64(_)
        );
        if is_float && out.get(start) == Some(&b'"') {
            out.remove(start);
            out.pop();
        }
        Ok(())
    }

    /// Appends one value as bare text, without quotes or escapes where it is text. Null is nothing.
    pub(crate) fn write_bare(
        &self,
        row: usize,
        out: &mut Vec<u8>,
        scratch: &mut String,
    ) -> Result<(), String> {
        if self.array.is_null(row) {
            return Ok(());
        }
        match &self.form {
            Form::Text(value) => out.extend_from_slice(value(row).as_bytes()),
            Form::Plain(write) => {
                scratch.clear();
                write(row, scratch);
                out.extend_from_slice(scratch.as_bytes());
            }
            _ => self.write(row, out, scratch)?,
        }
        Ok(())
    }
}

fn display(value: impl std::fmt::Display, out: &mut Vec<u8>) {
    let written = write!(out, "{value}");
    debug_assert!(written.is_ok(), "writing to a vector does not fail");
}

/// Floats in the shortest form that reads back, with an exponent where that is shorter.
fn debug(value: impl std::fmt::Debug, out: &mut Vec<u8>) {
    let written = write!(out, "{value:?}");
    debug_assert!(written.is_ok(), "writing to a vector does not fail");
}

fn float(value: f64, out: &mut Vec<u8>) {
    if value.is_finite() {
        debug(value, out);
    } else if value.is_nan() {
        out.extend_from_slice(b"\"NaN\"");
    } else if value > 0.0 {
        out.extend_from_slice(b"\"Infinity\"");
    } else {
        out.extend_from_slice(b"\"-Infinity\"");
    }
}

fn plain<'a, T, F>(array: &'a dyn Array, write: F) -> Form<'a>
where
    T: ArrowPrimitiveType,
    F: Fn(T::Native, &mut String) + 'a,
{
    let array = array.as_primitive::<T>();
    Form::Plain(Box::new(move |row, out| write(array.value(row), out)))
}

fn signed<T: ArrowPrimitiveType>(array: &dyn Array) -> Form<'_>
where
    T::Native: Into<i64>,
{
    let array = array.as_primitive::<T>();
    Form::Signed(Box::new(move |row| array.value(row).into()))
}

fn unsigned<T: ArrowPrimitiveType>(array: &dyn Array) -> Form<'_>
where
    T::Native: Into<u64>,
{
    let array = array.as_primitive::<T>();
    Form::Unsigned(Box::new(move |row| array.value(row).into()))
}

fn text<'a>(field: &Field, value: Box<dyn Fn(usize) -> &'a str + 'a>) -> Form<'a> {
    match logical(field) {
        Some(Logical::Json) => Form::Json(value),
        _ => Form::Text(value),
    }
}

fn hex<'a>(value: impl Fn(usize) -> &'a [u8] + 'a) -> Form<'a> {
    Form::Plain(Box::new(move |row, out| write_hex(value(row), out)))
}

fn decimal<T: DecimalType>(array: &dyn Array, precision: u8, scale: i8) -> Form<'_> {
    plain::<T, _>(array, move |value, out| {
        out.push_str(&T::format_decimal(value, precision, scale));
    })
}

fn duration<T: ArrowPrimitiveType<Native = i64>>(array: &dyn Array, unit: TimeUnit) -> Form<'_> {
    plain::<T, _>(array, move |value, out| {
        let per = per_second(unit).unsigned_abs();
        let sign = if value < 0 { "-" } else { "" };
        let (seconds, fraction) = (value.unsigned_abs() / per, value.unsigned_abs() % per);
        let nanos = fraction * (1_000_000_000 / per);
        let written = match nanos {
            0 => write!(out, "PT{sign}{seconds}S"),
            _ => write!(out, "PT{sign}{seconds}.{nanos:09}S"),
        };
        debug_assert!(written.is_ok(), "writing to a string does not fail");
    })
}

fn list<'a, O: OffsetSizeTrait>(
    item: &Field,
    array: &'a dyn Array,
) -> Result<Form<'a>, ArrowError> {
    let array = array.as_list::<O>();
    let ends = array.value_offsets();
    let range = move |row: usize| {
        let end = |at: usize| ends.get(at).map_or(0, |end| end.as_usize());
        (end(row), end(row + 1))
    };
    let items = ColumnWriter::new(item, array.values().as_ref())?;
    Ok(Form::List(Box::new(range), Box::new(items)))
}

fn form<'a>(field: &Field, array: &'a dyn Array) -> Result<Form<'a>, ArrowError> {
    let data_type = array.data_type();
    if data_type != field.data_type() {
        return Err(ArrowError::SchemaError(format!(
            "column {:?} is {data_type}, not {}",
            field.name(),
            field.data_type()
        )));
    }
    Ok(match data_type {
        DataType::Null => Form::Null,
        DataType::Boolean => Form::Boolean(array.as_boolean()),
        DataType::Int8 => signed::<Int8Type>(array),
        DataType::Int16 => signed::<Int16Type>(array),
        DataType::Int32 => signed::<Int32Type>(array),
        DataType::Int64 => signed::<Int64Type>(array),
        DataType::UInt8 => unsigned::<UInt8Type>(array),
        DataType::UInt16 => unsigned::<UInt16Type>(array),
        DataType::UInt32 => unsigned::<UInt32Type>(array),
        DataType::UInt64 => unsigned::<UInt64Type>(array),
        DataType::Float16 => Form::Float16(array.as_primitive()),
        DataType::Float32 => Form::Float32(array.as_primitive()),
        DataType::Float64 => Form::Float64(array.as_primitive()),
        DataType::Decimal32(p, s) => decimal::<Decimal32Type>(array, *p, *s),
        DataType::Decimal64(p, s) => decimal::<Decimal64Type>(array, *p, *s),
        DataType::Decimal128(p, s) => decimal::<Decimal128Type>(array, *p, *s),
        DataType::Decimal256(p, s) => decimal::<Decimal256Type>(array, *p, *s),
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
            hex(move |row| array.value(row))
        }
        DataType::LargeBinary => {
            let array = array.as_binary::<i64>();
            hex(move |row| array.value(row))
        }
        DataType::BinaryView => {
            let array = array.as_binary_view();
            hex(move |row| array.value(row))
        }
        DataType::FixedSizeBinary(_) => {
            let array = array.as_fixed_size_binary();
            hex(move |row| array.value(row))
        }
        DataType::Date32 => {
            plain::<Date32Type, _>(array, |days, out| write_date(i64::from(days), out))
        }
        DataType::Date64 => plain::<Date64Type, _>(array, |value, out| {
            write_timestamp(value, TimeUnit::Millisecond, false, out);
        }),
        DataType::Time32(TimeUnit::Second) => plain::<Time32SecondType, _>(array, |value, out| {
            write_time(i64::from(value), TimeUnit::Second, out);
        }),
        DataType::Time32(_) => plain::<Time32MillisecondType, _>(array, |value, out| {
            write_time(i64::from(value), TimeUnit::Millisecond, out);
        }),
        DataType::Time64(TimeUnit::Microsecond) => {
            plain::<Time64MicrosecondType, _>(array, |value, out| {
                write_time(value, TimeUnit::Microsecond, out);
            })
        }
        DataType::Time64(_) => plain::<Time64NanosecondType, _>(array, |value, out| {
            write_time(value, TimeUnit::Nanosecond, out);
        }),
        DataType::Timestamp(unit, zone) => {
            let (unit, instant) = (*unit, zone.is_some());
            let write =
                move |value: i64, out: &mut String| write_timestamp(value, unit, instant, out);
            match unit {
                TimeUnit::Second => plain::<TimestampSecondType, _>(array, write),
                TimeUnit::Millisecond => plain::<TimestampMillisecondType, _>(array, write),
                TimeUnit::Microsecond => plain::<TimestampMicrosecondType, _>(array, write),
                TimeUnit::Nanosecond => plain::<TimestampNanosecondType, _>(array, write),
            }
        }
        DataType::Duration(unit) => match unit {
            TimeUnit::Second => duration::<DurationSecondType>(array, *unit),
            TimeUnit::Millisecond => duration::<DurationMillisecondType>(array, *unit),
            TimeUnit::Microsecond => duration::<DurationMicrosecondType>(array, *unit),
            TimeUnit::Nanosecond => duration::<DurationNanosecondType>(array, *unit),
        },
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            plain::<IntervalMonthDayNanoType, _>(array, |value, out| {
                write_interval(value.months, value.days, value.nanoseconds, out);
            })
        }
        DataType::Interval(IntervalUnit::DayTime) => {
            plain::<IntervalDayTimeType, _>(array, |value, out| {
                write_interval(
                    0,
                    value.days,
                    i64::from(value.milliseconds) * 1_000_000,
                    out,
                );
            })
        }
        DataType::Interval(IntervalUnit::YearMonth) => {
            plain::<IntervalYearMonthType, _>(array, |months, out| {
                write_interval(months, 0, 0, out);
            })
        }
        DataType::List(item) => list::<i32>(item, array)?,
        DataType::LargeList(item) => list::<i64>(item, array)?,
        DataType::FixedSizeList(item, size) => {
            let array = array.as_fixed_size_list();
            let size = usize::try_from(*size).unwrap_or_default();
            let items = ColumnWriter::new(item, array.values().as_ref())?;
            Form::List(
                Box::new(move |row| (row * size, (row + 1) * size)),
                Box::new(items),
            )
        }
        DataType::Struct(fields) => {
            let array = array.as_struct();
            let fields = fields
                .iter()
                .zip(array.columns())
                .enumerate()
                .map(|(at, (field, column))| {
                    let mut lead = if at == 0 { Vec::new() } else { vec![b','] };
                    write_string(field.name(), &mut lead);
                    lead.push(b':');
                    Ok((lead, ColumnWriter::new(field, column.as_ref())?))
                })
                .collect::<Result<_, ArrowError>>()?;
            Form::Struct(fields)
        }
        DataType::Map(entries, _) => {
            let array = array.as_map();
            let DataType::Struct(fields) = entries.data_type() else {
                return Err(ArrowError::SchemaError(
                    "a map's entries are structs".to_owned(),
                ));
            };
            let [key, value] = &fields[..] else {
                return Err(ArrowError::SchemaError(
                    "a map's entries have two fields".to_owned(),
                ));
            };
            Form::Map(
                array,
                Box::new(ColumnWriter::new(key, array.keys().as_ref())?),
                Box::new(ColumnWriter::new(value, array.values().as_ref())?),
            )
        }
        other => {
            return Err(ArrowError::NotYetImplemented(format!(
                "columns of type {other}"
            )));
        }
    })
}
