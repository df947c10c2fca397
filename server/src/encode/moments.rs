//! Dates, times, timestamps, intervals and durations, in quotes in JSON.

use arrow::array::timezone::Tz;
use arrow::array::types::{
    ArrowPrimitiveType, Date32Type, Date64Type, DurationMicrosecondType, DurationMillisecondType,
    DurationNanosecondType, DurationSecondType, IntervalDayTimeType, IntervalMonthDayNanoType,
    IntervalYearMonthType, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
    Time64NanosecondType, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use arrow::array::{Array, AsArray, PrimitiveArray};
use arrow::datatypes::{DataType as T, IntervalUnit, TimeUnit};
use arrow::error::ArrowError;
use chrono::{DateTime, Offset, TimeZone};

use super::cell::Cell;
use super::{EncodeError, clock_text};

/// The cells of an array of one of these types.
pub(super) fn moment_cell(array: &dyn Array) -> Result<Box<dyn Cell + '_>, EncodeError> {
    Ok(match array.data_type() {
        T::Date32 => {
            quoted::<Date32Type>(array, |days, out| clock_text::date(i64::from(days), out))
        }
        T::Date64 => quoted::<Date64Type>(array, date64),
        T::Time32(TimeUnit::Second) => quoted::<Time32SecondType>(array, |value, out| {
            clock_text::time(i64::from(value), 0, out);
        }),
        T::Time32(_) => quoted::<Time32MillisecondType>(array, |value, out| {
            units(i64::from(value), 1000, clock_text::time, out);
        }),
        T::Time64(TimeUnit::Nanosecond) => quoted::<Time64NanosecondType>(array, |value, out| {
            units(value, 1_000_000_000, clock_text::time, out);
        }),
        T::Time64(_) => quoted::<Time64MicrosecondType>(array, |value, out| {
            units(value, 1_000_000, clock_text::time, out);
        }),
        T::Timestamp(TimeUnit::Second, zone) => {
            instant::<TimestampSecondType>(array, 1, zone.as_deref())
        }
        T::Timestamp(TimeUnit::Millisecond, zone) => {
            instant::<TimestampMillisecondType>(array, 1000, zone.as_deref())
        }
        T::Timestamp(TimeUnit::Microsecond, zone) => {
            instant::<TimestampMicrosecondType>(array, 1_000_000, zone.as_deref())
        }
        T::Timestamp(TimeUnit::Nanosecond, zone) => {
            instant::<TimestampNanosecondType>(array, 1_000_000_000, zone.as_deref())
        }
        T::Interval(IntervalUnit::YearMonth) => {
            quoted::<IntervalYearMonthType>(array, |months, out| {
                clock_text::interval(i64::from(months), 0, 0, out);
            })
        }
        T::Interval(IntervalUnit::DayTime) => quoted::<IntervalDayTimeType>(array, |value, out| {
            clock_text::interval(
                0,
                i64::from(value.days),
                i128::from(value.milliseconds) * 1_000_000,
                out,
            );
        }),
        T::Interval(IntervalUnit::MonthDayNano) => {
            quoted::<IntervalMonthDayNanoType>(array, |value, out| {
                clock_text::interval(
                    i64::from(value.months),
                    i64::from(value.days),
                    i128::from(value.nanoseconds),
                    out,
                );
            })
        }
        T::Duration(TimeUnit::Second) => duration::<DurationSecondType>(array, 1_000_000_000),
        T::Duration(TimeUnit::Millisecond) => duration::<DurationMillisecondType>(array, 1_000_000),
        T::Duration(TimeUnit::Microsecond) => duration::<DurationMicrosecondType>(array, 1000),
        T::Duration(TimeUnit::Nanosecond) => duration::<DurationNanosecondType>(array, 1),
        other => {
            return Err(
                ArrowError::NotYetImplemented(format!("text of a column of type {other}")).into(),
            );
        }
    })
}

/// Values whose text needs quotes in JSON, but no escapes.
struct Quoted<'a, T: ArrowPrimitiveType>(&'a PrimitiveArray<T>, fn(T::Native, &mut Vec<u8>));

fn quoted<T: ArrowPrimitiveType>(
    array: &dyn Array,
    write: fn(T::Native, &mut Vec<u8>),
) -> Box<dyn Cell + '_> {
    Box::new(Quoted(array.as_primitive::<T>(), write))
}

impl<T: ArrowPrimitiveType> Cell for Quoted<'_, T> {
    fn text(&self, row: usize, out: &mut Vec<u8>) {
        (self.1)(self.0.value(row), out);
    }
    fn json(&self, row: usize, out: &mut Vec<u8>) {
        out.push(b'"');
        self.text(row, out);
        out.push(b'"');
    }
}

fn date64(ms: i64, out: &mut Vec<u8>) {
    if ms.rem_euclid(86_400_000) == 0 {
        clock_text::date(ms.div_euclid(86_400_000), out);
    } else {
        units(ms, 1000, clock_text::timestamp, out);
    }
}

/// Calls `write` with whole seconds and nanoseconds.
fn units(value: i64, per_second: i64, write: fn(i64, u32, &mut Vec<u8>), out: &mut Vec<u8>) {
    let (seconds, nanos) = split(value, per_second);
    write(seconds, nanos, out);
}

fn split(value: i64, per_second: i64) -> (i64, u32) {
    let rest = value.rem_euclid(per_second) * (1_000_000_000 / per_second);
    (value.div_euclid(per_second), rest as u32)
}

struct Duration<'a, T: ArrowPrimitiveType> {
    array: &'a PrimitiveArray<T>,
    unit_nanos: i128,
}

fn duration<T: ArrowPrimitiveType<Native = i64>>(
    array: &dyn Array,
    unit_nanos: i128,
) -> Box<dyn Cell + '_> {
    Box::new(Duration {
        array: array.as_primitive::<T>(),
        unit_nanos,
    })
}

impl<T: ArrowPrimitiveType<Native = i64>> Cell for Duration<'_, T> {
    fn text(&self, row: usize, out: &mut Vec<u8>) {
        clock_text::interval(
            0,
            0,
            i128::from(self.array.value(row)) * self.unit_nanos,
            out,
        );
    }
    fn json(&self, row: usize, out: &mut Vec<u8>) {
        out.push(b'"');
        self.text(row, out);
        out.push(b'"');
    }
}

enum Zone {
    /// A timestamp without a zone.
    None,
    /// An offset from UTC in seconds.
    Fixed(i32),
    /// A zone with its rules.
    Named(Tz),
}

struct Instant<'a, T: ArrowPrimitiveType> {
    array: &'a PrimitiveArray<T>,
    per_second: i64,
    zone: Zone,
}

fn instant<'a, T: ArrowPrimitiveType<Native = i64>>(
    array: &'a dyn Array,
    per_second: i64,
    zone: Option<&str>,
) -> Box<dyn Cell + 'a> {
    let zone = match zone {
        None => Zone::None,
        Some("UTC" | "utc" | "Z" | "+00:00" | "+00") => Zone::Fixed(0),
        // A zone that is not known changes how an instant is shown, not which one it is: it is shown in UTC.
        Some(name) => name.parse().map_or(Zone::Fixed(0), Zone::Named),
    };
    Box::new(Instant {
        array: array.as_primitive::<T>(),
        per_second,
        zone,
    })
}

impl<T: ArrowPrimitiveType<Native = i64>> Cell for Instant<'_, T> {
    fn text(&self, row: usize, out: &mut Vec<u8>) {
        let (seconds, nanos) = split(self.array.value(row), self.per_second);
        let offset = match &self.zone {
            Zone::None => return clock_text::timestamp(seconds, nanos, out),
            Zone::Fixed(offset) => *offset,
            Zone::Named(zone) => DateTime::from_timestamp(seconds, nanos).map_or(0, |at| {
                zone.offset_from_utc_datetime(&at.naive_utc())
                    .fix()
                    .local_minus_utc()
            }),
        };
        clock_text::timestamp(seconds.saturating_add(i64::from(offset)), nanos, out);
        clock_text::zone_offset(offset, out);
    }
    fn json(&self, row: usize, out: &mut Vec<u8>) {
        out.push(b'"');
        self.text(row, out);
        out.push(b'"');
    }
}
