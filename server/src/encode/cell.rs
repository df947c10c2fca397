//! One column's values as JSON and as plain text.
//!
//! A [`Cell`] is made once for a column of a batch and then asked row by row. In JSON, integers and decimals past 2^53 are
//! strings, so that no reader rounds them; NaN and infinities, which JSON does not have, are strings too. Bytes are
//! `\x` and hexadecimal digits, as in PostgreSQL. Plain text is what CSV holds.

use std::io::Write;

use arrow::array::types::{
    ArrowPrimitiveType, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, Float16Type,
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow::array::{Array, ArrayAccessor, AsArray, BooleanArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field};

use super::decimal_text::{EXACT_MAX, decimal, is_exact_as_double};
use super::types::is_json;
use super::{EncodeError, moments, nested};

/// The values of one column.
pub(crate) trait Cell {
    /// The value in plain text, which is nothing for null.
    fn text(&self, row: usize, out: &mut Vec<u8>);

    /// The value in JSON; unless said otherwise, the plain text is JSON.
    fn json(&self, row: usize, out: &mut Vec<u8>) {
        self.text(row, out);
    }

    /// Whether the value is null.
    fn is_null(&self, _row: usize) -> bool {
        false
    }
}

/// A column's cells.
pub(crate) fn cell<'a>(
    array: &'a dyn Array,
    field: &Field,
) -> Result<Box<dyn Cell + 'a>, EncodeError> {
    let inner = not_null(array, field)?;
    Ok(
        match array.logical_nulls().filter(|nulls| nulls.null_count() > 0) {
            Some(nulls) => Box::new(Nullable { nulls, inner }),
            None => inner,
        },
    )
}

struct Nullable<'a> {
    nulls: NullBuffer,
    inner: Box<dyn Cell + 'a>,
}

impl Cell for Nullable<'_> {
    fn text(&self, row: usize, out: &mut Vec<u8>) {
        if self.nulls.is_valid(row) {
            self.inner.text(row, out);
        }
    }
    fn json(&self, row: usize, out: &mut Vec<u8>) {
        if self.nulls.is_valid(row) {
            self.inner.json(row, out);
        } else {
            out.extend_from_slice(b"null");
        }
    }
    fn is_null(&self, row: usize) -> bool {
        self.nulls.is_null(row)
    }
}

fn not_null<'a>(array: &'a dyn Array, field: &Field) -> Result<Box<dyn Cell + 'a>, EncodeError> {
    use DataType as T;
    Ok(match array.data_type() {
        T::Null => Box::new(Null),
        T::Boolean => Box::new(Boolean(array.as_boolean())),
        T::Int8 => integer::<Int8Type>(array),
        T::Int16 => integer::<Int16Type>(array),
        T::Int32 => integer::<Int32Type>(array),
        T::Int64 => integer::<Int64Type>(array),
        T::UInt8 => integer::<UInt8Type>(array),
        T::UInt16 => integer::<UInt16Type>(array),
        T::UInt32 => integer::<UInt32Type>(array),
        T::UInt64 => integer::<UInt64Type>(array),
        T::Float16 => Box::new(Float(array.as_primitive::<Float16Type>(), |value| {
            Real::Single(value.to_f32())
        })),
        T::Float32 => Box::new(Float(array.as_primitive::<Float32Type>(), Real::Single)),
        T::Float64 => Box::new(Float(array.as_primitive::<Float64Type>(), Real::Double)),
        T::Decimal32(_, scale) => decimals::<Decimal32Type>(array, *scale),
        T::Decimal64(_, scale) => decimals::<Decimal64Type>(array, *scale),
        T::Decimal128(_, scale) => decimals::<Decimal128Type>(array, *scale),
        T::Decimal256(_, scale) => decimals::<Decimal256Type>(array, *scale),
        T::Utf8 => text(array.as_string::<i32>(), field),
        T::LargeUtf8 => text(array.as_string::<i64>(), field),
        T::Utf8View => text(array.as_string_view(), field),
        T::Binary => Box::new(Hex(array.as_binary::<i32>())),
        T::LargeBinary => Box::new(Hex(array.as_binary::<i64>())),
        T::BinaryView => Box::new(Hex(array.as_binary_view())),
        T::FixedSizeBinary(_) => Box::new(Hex(array.as_fixed_size_binary())),
        T::Date32
        | T::Date64
        | T::Time32(_)
        | T::Time64(_)
        | T::Timestamp(_, _)
        | T::Interval(_)
        | T::Duration(_) => moments::moment_cell(array)?,
        _ => nested::nested_cell(array, field)?,
    })
}

struct Null;

impl Cell for Null {
    fn text(&self, _row: usize, _out: &mut Vec<u8>) {}
    fn json(&self, _row: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(b"null");
    }
    fn is_null(&self, _row: usize) -> bool {
        true
    }
}

struct Boolean<'a>(&'a BooleanArray);

impl Cell for Boolean<'_> {
    fn text(&self, row: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.0.value(row) { b"true" } else { b"false" });
    }
}

struct Integer<'a, T: ArrowPrimitiveType>(&'a PrimitiveArray<T>);

fn integer<T: ArrowPrimitiveType>(array: &dyn Array) -> Box<dyn Cell + '_>
where
    T::Native: Into<i128>,
{
    Box::new(Integer(array.as_primitive::<T>()))
}

impl<T: ArrowPrimitiveType> Cell for Integer<'_, T>
where
    T::Native: Into<i128>,
{
    fn text(&self, row: usize, out: &mut Vec<u8>) {
        digits(self.0.value(row).into(), out);
    }
    fn json(&self, row: usize, out: &mut Vec<u8>) {
        let value: i128 = self.0.value(row).into();
        if value.unsigned_abs() <= u128::from(EXACT_MAX) {
            digits(value, out);
        } else {
            out.push(b'"');
            digits(value, out);
            out.push(b'"');
        }
    }
}

fn digits(value: i128, out: &mut Vec<u8>) {
    // All integers of Arrow fit in 65 bits; 64-bit division is several times faster than 128-bit.
    if let Ok(mut rest) = u64::try_from(value.unsigned_abs()) {
        let mut digits = [0_u8; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if value < 0 {
            out.push(b'-');
        }
        out.extend_from_slice(&digits[at..]);
    } else {
        out.extend_from_slice(value.to_string().as_bytes());
    }
}

enum Real {
    Single(f32),
    Double(f64),
}

struct Float<'a, T: ArrowPrimitiveType>(&'a PrimitiveArray<T>, fn(T::Native) -> Real);

impl<T: ArrowPrimitiveType> Float<'_, T> {
    /// Writes the value, and returns whether it is finite.
    fn write(&self, row: usize, out: &mut Vec<u8>) -> bool {
        // `Debug` is the shortest text that reads back as the same number; a `Vec` takes every write.
        let (value, written) = match (self.1)(self.0.value(row)) {
            Real::Single(value) if value.is_finite() => {
                (f64::from(value), write!(out, "{value:?}"))
            }
            Real::Double(value) if value.is_finite() => (value, write!(out, "{value:?}")),
            Real::Single(value) => (f64::from(value), Ok(())),
            Real::Double(value) => (value, Ok(())),
        };
        debug_assert!(written.is_ok());
        if value.is_nan() {
            out.extend_from_slice(b"NaN");
        } else if value.is_infinite() {
            out.extend_from_slice(if value > 0.0 {
                b"Infinity"
            } else {
                b"-Infinity"
            });
        }
        value.is_finite()
    }
}

impl<T: ArrowPrimitiveType> Cell for Float<'_, T> {
    fn text(&self, row: usize, out: &mut Vec<u8>) {
        self.write(row, out);
    }
    fn json(&self, row: usize, out: &mut Vec<u8>) {
        let start = out.len();
        if !self.write(row, out) {
            out.insert(start, b'"');
            out.push(b'"');
        }
    }
}

struct Decimal<'a, T: ArrowPrimitiveType> {
    array: &'a PrimitiveArray<T>,
    scale: i8,
}

fn decimals<T: ArrowPrimitiveType>(array: &dyn Array, scale: i8) -> Box<dyn Cell + '_>
where
    T::Native: std::fmt::Display,
{
    Box::new(Decimal {
        array: array.as_primitive::<T>(),
        scale,
    })
}

impl<T: ArrowPrimitiveType> Cell for Decimal<'_, T>
where
    T::Native: std::fmt::Display,
{
    fn text(&self, row: usize, out: &mut Vec<u8>) {
        decimal(&self.array.value(row).to_string(), self.scale, out);
    }
    fn json(&self, row: usize, out: &mut Vec<u8>) {
        let start = out.len();
        self.text(row, out);
        if !is_exact_as_double(&out[start..]) {
            out.insert(start, b'"');
            out.push(b'"');
        }
    }
}

struct Hex<A>(A);

impl<'a, A: ArrayAccessor<Item = &'a [u8]>> Cell for Hex<A> {
    fn text(&self, row: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\\x");
        hex(self.0.value(row), out);
    }
    fn json(&self, row: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\"\\\\x");
        hex(self.0.value(row), out);
        out.push(b'"');
    }
}

fn hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.reserve(bytes.len() * 2);
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}

struct Text<A>(A);
struct Json<A>(A);

fn text<'a, A: ArrayAccessor<Item = &'a str> + 'a>(array: A, field: &Field) -> Box<dyn Cell + 'a> {
    if is_json(field) {
        Box::new(Json(array))
    } else {
        Box::new(Text(array))
    }
}

impl<'a, A: ArrayAccessor<Item = &'a str>> Cell for Text<A> {
    fn text(&self, row: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.value(row).as_bytes());
    }
    fn json(&self, row: usize, out: &mut Vec<u8>) {
        json_string(self.0.value(row), out);
    }
}

impl<'a, A: ArrayAccessor<Item = &'a str>> Cell for Json<A> {
    fn text(&self, row: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.value(row).as_bytes());
    }
    fn json(&self, row: usize, out: &mut Vec<u8>) {
        let value = self.0.value(row);
        if serde_json::from_str::<serde::de::IgnoredAny>(value).is_err() {
            return json_string(value, out);
        }
        // A line break can only stand between tokens: in NDJSON and in events it must not be there.
        out.extend(value.bytes().map(|byte| {
            if matches!(byte, b'\n' | b'\r') {
                b' '
            } else {
                byte
            }
        }));
    }
}

/// `text` as a JSON string.
pub(super) fn json_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut done = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if *byte >= 0x20 && *byte != b'"' && *byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[done..at]);
        done = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => {
                out.extend_from_slice(b"\\u00");
                hex(&[*control], out);
            }
        }
    }
    out.extend_from_slice(&bytes[done..]);
    out.push(b'"');
}
