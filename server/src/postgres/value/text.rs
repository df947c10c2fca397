//! Values as text, in the forms of PostgreSQL's output functions.

use std::sync::Arc;

use arrow::array::types::{
    Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type,
    Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{DataType, Field};

use super::number::{self, Digits, Unscaled};
use super::{PgType, Write, Zone, array, binary, moment};
use crate::encode::{EncodeError, cells};

/// What writes a column's values.
pub(super) fn writer(
    array: &ArrayRef,
    field: &Field,
    data_type: &PgType,
    zone: &Zone,
) -> Result<Write, EncodeError> {
    use DataType as T;
    Ok(match array.data_type() {
        T::Null => Box::new(|_, _| Ok(())),
        T::Boolean => {
            let values = array.as_boolean().clone();
            Box::new(move |row, out| {
                out.push(if values.value(row) { b't' } else { b'f' });
                Ok(())
            })
        }
        T::Int8 => integer::<Int8Type>(array),
        T::Int16 => integer::<Int16Type>(array),
        T::Int32 => integer::<Int32Type>(array),
        T::Int64 => integer::<Int64Type>(array),
        T::UInt8 => integer::<UInt8Type>(array),
        T::UInt16 => integer::<UInt16Type>(array),
        T::UInt32 => integer::<UInt32Type>(array),
        T::UInt64 => decimal::<UInt64Type>(array, 0),
        T::Float16 => {
            let values = array.as_primitive::<Float16Type>().clone();
            Box::new(move |row, out| {
                number::float(values.value(row).to_f32(), 6, out);
                Ok(())
            })
        }
        T::Float32 => {
            let values = array.as_primitive::<Float32Type>().clone();
            Box::new(move |row, out| {
                number::float(values.value(row), 6, out);
                Ok(())
            })
        }
        T::Float64 => {
            let values = array.as_primitive::<Float64Type>().clone();
            Box::new(move |row, out| {
                number::float(values.value(row), 15, out);
                Ok(())
            })
        }
        T::Decimal32(_, scale) => decimal::<Decimal32Type>(array, *scale),
        T::Decimal64(_, scale) => decimal::<Decimal64Type>(array, *scale),
        T::Decimal128(_, scale) => decimal::<Decimal128Type>(array, *scale),
        T::Decimal256(_, scale) => decimal::<Decimal256Type>(array, *scale),
        T::Utf8 | T::LargeUtf8 | T::Utf8View => binary::text(array),
        T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_)
            if *data_type == PgType::Uuid =>
        {
            let bytes = binary::bytes(array);
            Box::new(move |row, out| {
                let mut raw = Vec::with_capacity(16);
                bytes(row, &mut raw)?;
                let id = uuid::Uuid::from_slice(&raw).unwrap_or_default();
                out.extend_from_slice(id.to_string().as_bytes());
                Ok(())
            })
        }
        T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) => {
            let bytes = binary::bytes(array);
            Box::new(move |row, out| {
                out.extend_from_slice(b"\\x");
                let start = out.len();
                bytes(row, out)?;
                hexadecimal(start, out);
                Ok(())
            })
        }
        T::Date32 => {
            let values = array.as_primitive::<Date32Type>().clone();
            Box::new(move |row, out| {
                moment::date(i64::from(values.value(row)), out);
                Ok(())
            })
        }
        T::Date64 => {
            let values = array.as_primitive::<Date64Type>().clone();
            Box::new(move |row, out| {
                moment::date(values.value(row).div_euclid(86_400_000), out);
                Ok(())
            })
        }
        T::Time32(_) | T::Time64(_) => moments(array, move |micros, out| {
            moment::time(micros, out);
        }),
        T::Timestamp(_, None) => moments(array, move |micros, out| {
            moment::timestamp(micros, out);
        }),
        T::Timestamp(_, Some(_)) => {
            let zone = *zone;
            moments(array, move |micros, out| {
                moment::timestamptz(micros, &zone, out);
            })
        }
        T::Interval(_) | T::Duration(_) => {
            let interval = binary::intervals(array)?;
            Box::new(move |row, out| {
                interval(row)?.text(out);
                Ok(())
            })
        }
        T::List(_) if matches!(data_type, PgType::Int2Vector | PgType::OidVector) => {
            array::vector(array, zone)?
        }
        T::List(_) => array::text(array, zone)?,
        _ => json(array, field)?,
    })
}

fn integer<T: ArrowPrimitiveType>(array: &ArrayRef) -> Write
where
    T::Native: Into<i64>,
{
    let values: PrimitiveArray<T> = array.as_primitive().clone();
    Box::new(move |row, out| {
        let value: i64 = values.value(row).into();
        if value < 0 {
            out.push(b'-');
        }
        crate::encode::clock_text::padded(value.unsigned_abs(), 1, out);
        Ok(())
    })
}

fn decimal<T: ArrowPrimitiveType>(array: &ArrayRef, scale: i8) -> Write
where
    T::Native: Unscaled,
{
    let values: PrimitiveArray<T> = array.as_primitive().clone();
    let digits = std::cell::RefCell::new(Digits::default());
    Box::new(move |row, out| {
        number::decimal_text(values.value(row), scale, &mut digits.borrow_mut(), out);
        Ok(())
    })
}

fn moments(array: &ArrayRef, write: impl Fn(i64, &mut Vec<u8>) + Send + 'static) -> Write {
    let micros = binary::micros(array);
    Box::new(move |row, out| {
        write(micros(row)?, out);
        Ok(())
    })
}

/// What PostgreSQL has no type for, as JSON.
fn json(array: &ArrayRef, field: &Field) -> Result<Write, EncodeError> {
    // Whether it can be written at all is found out now.
    cells(array.as_ref(), field)?;
    let (array, field) = (Arc::clone(array), field.clone());
    Ok(Box::new(move |row, out| {
        let row = array.slice(row, 1);
        cells(row.as_ref(), &field)?.json(0, out);
        Ok(())
    }))
}

/// Writes out the bytes from `start` on as two digits each.
fn hexadecimal(start: usize, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let bytes = out.split_off(start);
    out.reserve(bytes.len() * 2);
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}
