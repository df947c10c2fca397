//! Values in binary, in the forms of PostgreSQL's send functions.

use arrow::array::types::{
    Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type,
    DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType,
    Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    IntervalDayTimeType, IntervalMonthDayNanoType, IntervalYearMonthType, Time32MillisecondType,
    Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};
use arrow::error::ArrowError;

use super::moment::{EPOCH_MICROS, Interval, sent_days};
use super::number::{self, Digits, Unscaled};
use super::{PgType, Write, Zone, array, moment, text as as_text};
use crate::encode::EncodeError;

/// What writes a column's values.
pub(super) fn writer(
    array: &ArrayRef,
    field: &Field,
    data_type: &PgType,
    zone: &Zone,
) -> Result<Write, EncodeError> {
    use DataType as T;
    Ok(match (array.data_type(), data_type) {
        (T::Boolean, _) => {
            let values = array.as_boolean().clone();
            Box::new(move |row, out| {
                out.push(u8::from(values.value(row)));
                Ok(())
            })
        }
        // An OID goes without a sign.
        (T::Int64, PgType::Oid) => {
            let values = array.as_primitive::<Int64Type>().clone();
            Box::new(move |row, out| {
                let value = u32::try_from(values.value(row)).map_err(|_| out_of_range("oid"))?;
                out.extend_from_slice(&value.to_be_bytes());
                Ok(())
            })
        }
        (T::Int8, _) => fixed::<Int8Type, 2>(array, |value| i16::from(value).to_be_bytes()),
        (T::UInt8, _) => fixed::<UInt8Type, 2>(array, |value| i16::from(value).to_be_bytes()),
        (T::Int16, _) => fixed::<Int16Type, 2>(array, i16::to_be_bytes),
        (T::UInt16, _) => fixed::<UInt16Type, 4>(array, |value| i32::from(value).to_be_bytes()),
        (T::Int32, _) => fixed::<Int32Type, 4>(array, i32::to_be_bytes),
        (T::UInt32, PgType::Oid) => fixed::<UInt32Type, 4>(array, u32::to_be_bytes),
        (T::UInt32, _) => fixed::<UInt32Type, 8>(array, |value| i64::from(value).to_be_bytes()),
        (T::Int64, _) => fixed::<Int64Type, 8>(array, i64::to_be_bytes),
        (T::UInt64, _) => decimal::<UInt64Type>(array, 0),
        (T::Float16, _) => fixed::<Float16Type, 4>(array, |value| value.to_f32().to_be_bytes()),
        (T::Float32, _) => fixed::<Float32Type, 4>(array, f32::to_be_bytes),
        (T::Float64, _) => fixed::<Float64Type, 8>(array, f64::to_be_bytes),
        (T::Decimal32(_, scale), _) => decimal::<Decimal32Type>(array, *scale),
        (T::Decimal64(_, scale), _) => decimal::<Decimal64Type>(array, *scale),
        (T::Decimal128(_, scale), _) => decimal::<Decimal128Type>(array, *scale),
        (T::Decimal256(_, scale), _) => decimal::<Decimal256Type>(array, *scale),
        (T::Utf8 | T::LargeUtf8 | T::Utf8View, PgType::Uuid) => {
            let text = text(array);
            Box::new(move |row, out| {
                let mut shown = Vec::with_capacity(36);
                text(row, &mut shown)?;
                let id = uuid::Uuid::try_parse_ascii(&shown).map_err(|_| {
                    let shown = String::from_utf8_lossy(&shown).into_owned();
                    ArrowError::ParseError(format!("{shown:?} is no uuid"))
                })?;
                out.extend_from_slice(id.as_bytes());
                Ok(())
            })
        }
        (T::Utf8 | T::LargeUtf8 | T::Utf8View, PgType::Jsonb) => {
            let text = text(array);
            Box::new(move |row, out| {
                // The version of the format.
                out.push(1);
                text(row, out)
            })
        }
        (T::Utf8 | T::LargeUtf8 | T::Utf8View, _) => text(array),
        (T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_), _) => bytes(array),
        (T::Date32, _) => {
            let values = array.as_primitive::<Date32Type>().clone();
            dates(move |row| i64::from(values.value(row)))
        }
        (T::Date64, _) => {
            let values = array.as_primitive::<Date64Type>().clone();
            dates(move |row| values.value(row).div_euclid(86_400_000))
        }
        (T::Time32(_) | T::Time64(_), _) => {
            let micros = micros(array);
            Box::new(move |row, out| {
                out.extend_from_slice(&micros(row)?.to_be_bytes());
                Ok(())
            })
        }
        (T::Timestamp(..), _) => {
            let micros = micros(array);
            Box::new(move |row, out| {
                let sent = micros(row)?.checked_sub(EPOCH_MICROS);
                let sent = sent.ok_or_else(|| out_of_range("timestamp"))?;
                out.extend_from_slice(&sent.to_be_bytes());
                Ok(())
            })
        }
        (T::Interval(_) | T::Duration(_), _) => {
            let interval = intervals(array)?;
            Box::new(move |row, out| {
                interval(row)?.binary(out);
                Ok(())
            })
        }
        (T::List(_), _) => array::binary(array, *data_type, zone)?,
        // JSON is sent as its text.
        _ => as_text::writer(array, field, data_type, zone)?,
    })
}

fn out_of_range(what: &str) -> EncodeError {
    ArrowError::ArithmeticOverflow(format!("{what} out of range")).into()
}

fn fixed<T: ArrowPrimitiveType, const N: usize>(
    array: &ArrayRef,
    bytes: fn(T::Native) -> [u8; N],
) -> Write {
    let values: PrimitiveArray<T> = array.as_primitive().clone();
    Box::new(move |row, out| {
        out.extend_from_slice(&bytes(values.value(row)));
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
        number::decimal_binary(values.value(row), scale, &mut digits.borrow_mut(), out);
        Ok(())
    })
}

fn dates(days: impl Fn(usize) -> i64 + Send + 'static) -> Write {
    Box::new(move |row, out| {
        let days = sent_days(days(row)).ok_or_else(|| out_of_range("date"))?;
        out.extend_from_slice(&days.to_be_bytes());
        Ok(())
    })
}

/// The text of an array of text as it is.
pub(super) fn text(array: &ArrayRef) -> Write {
    macro_rules! strings {
        ($values:expr) => {{
            let values = $values.clone();
            Box::new(move |row: usize, out: &mut Vec<u8>| {
                out.extend_from_slice(values.value(row).as_bytes());
                Ok(())
            })
        }};
    }
    match array.data_type() {
        DataType::LargeUtf8 => strings!(array.as_string::<i64>()),
        DataType::Utf8View => strings!(array.as_string_view()),
        _ => strings!(array.as_string::<i32>()),
    }
}

/// The bytes of an array of bytes as they are.
pub(super) fn bytes(array: &ArrayRef) -> Write {
    macro_rules! binaries {
        ($values:expr) => {{
            let values = $values.clone();
            Box::new(move |row: usize, out: &mut Vec<u8>| {
                out.extend_from_slice(values.value(row));
                Ok(())
            })
        }};
    }
    match array.data_type() {
        DataType::LargeBinary => binaries!(array.as_binary::<i64>()),
        DataType::BinaryView => binaries!(array.as_binary_view()),
        DataType::FixedSizeBinary(_) => binaries!(array.as_fixed_size_binary()),
        _ => binaries!(array.as_binary::<i32>()),
    }
}

type Micros = Box<dyn Fn(usize) -> Result<i64, EncodeError> + Send>;

/// Times of day and timestamps in microseconds.
pub(super) fn micros(array: &ArrayRef) -> Micros {
    fn of<T: ArrowPrimitiveType>(array: &ArrayRef, per_second: i64) -> Micros
    where
        T::Native: Into<i64>,
    {
        let values: PrimitiveArray<T> = array.as_primitive().clone();
        Box::new(move |row| {
            let micros = moment::micros(values.value(row).into(), per_second);
            micros.ok_or_else(|| out_of_range("timestamp"))
        })
    }
    match array.data_type() {
        DataType::Time32(TimeUnit::Second) => of::<Time32SecondType>(array, 1),
        DataType::Time32(_) => of::<Time32MillisecondType>(array, 1000),
        DataType::Time64(TimeUnit::Microsecond) => of::<Time64MicrosecondType>(array, 1_000_000),
        DataType::Time64(_) => of::<Time64NanosecondType>(array, 1_000_000_000),
        DataType::Timestamp(TimeUnit::Second, _) => of::<TimestampSecondType>(array, 1),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            of::<TimestampMillisecondType>(array, 1000)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            of::<TimestampMicrosecondType>(array, 1_000_000)
        }
        _ => of::<TimestampNanosecondType>(array, 1_000_000_000),
    }
}

type Intervals = Box<dyn Fn(usize) -> Result<Interval, EncodeError> + Send>;

/// Intervals and durations.
pub(super) fn intervals(array: &ArrayRef) -> Result<Intervals, EncodeError> {
    fn durations<T: ArrowPrimitiveType<Native = i64>>(
        array: &ArrayRef,
        per_second: i64,
    ) -> Intervals {
        let values: PrimitiveArray<T> = array.as_primitive().clone();
        Box::new(move |row| {
            let micros = moment::micros(values.value(row), per_second);
            Ok(Interval {
                months: 0,
                days: 0,
                micros: micros.ok_or_else(|| out_of_range("interval"))?,
            })
        })
    }
    Ok(match array.data_type() {
        DataType::Interval(IntervalUnit::YearMonth) => {
            let values = array.as_primitive::<IntervalYearMonthType>().clone();
            Box::new(move |row| {
                Ok(Interval {
                    months: values.value(row),
                    days: 0,
                    micros: 0,
                })
            })
        }
        DataType::Interval(IntervalUnit::DayTime) => {
            let values = array.as_primitive::<IntervalDayTimeType>().clone();
            Box::new(move |row| {
                let value = values.value(row);
                Ok(Interval {
                    months: 0,
                    days: value.days,
                    micros: i64::from(value.milliseconds) * 1000,
                })
            })
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let values = array.as_primitive::<IntervalMonthDayNanoType>().clone();
            Box::new(move |row| {
                let value = values.value(row);
                Ok(Interval {
                    months: value.months,
                    days: value.days,
                    micros: value.nanoseconds / 1000,
                })
            })
        }
        DataType::Duration(TimeUnit::Second) => durations::<DurationSecondType>(array, 1),
        DataType::Duration(TimeUnit::Millisecond) => {
            durations::<DurationMillisecondType>(array, 1000)
        }
        DataType::Duration(TimeUnit::Microsecond) => {
            durations::<DurationMicrosecondType>(array, 1_000_000)
        }
        DataType::Duration(TimeUnit::Nanosecond) => {
            durations::<DurationNanosecondType>(array, 1_000_000_000)
        }
        other => {
            return Err(ArrowError::NotYetImplemented(format!("{other} as an interval")).into());
        }
    })
}
