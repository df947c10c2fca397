//! Dates, times and intervals: `age`, `timezone`, `make_date` and its kin, parts and truncation that DataFusion has not, and the
//! arithmetic of intervals.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, Int64Array,
    IntervalMonthDayNanoArray,
};
use arrow::datatypes::{
    DataType, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
    TimestampMicrosecondType,
};
use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike};
use datafusion::common::Result;
use datafusion::logical_expr::Volatility;
use weir_base::SqlState;

use super::clock;
use super::define::Kind::{
    Any, Boolean, Date, Double, Instant, Integer, Interval, Text, Time, Timestamp,
};
use super::define::{Arguments, Definition, Variant, function, takes, takes_by};
use crate::error::Error;

/// The functions of this file.
pub(super) const FUNCTIONS: [Definition; 20] = [
    function(
        "age",
        &[
            takes(&[Timestamp, Timestamp], Interval, age),
            takes(&[Instant, Instant], Interval, age),
            takes(&[Timestamp, Instant], Interval, age),
            takes(&[Instant, Timestamp], Interval, age),
        ],
    ),
    function(
        "timezone",
        &[
            takes(&[Text, Timestamp], Instant, to_instant),
            takes(&[Text, Instant], Timestamp, to_clock),
            takes(&[Interval, Timestamp], Instant, |args| shifted(args, -1)),
            takes(&[Interval, Instant], Timestamp, |args| shifted(args, 1)),
        ],
    ),
    function(
        "make_timestamp",
        &[takes(
            &[Integer, Integer, Integer, Integer, Integer, Double],
            Timestamp,
            |args| args.instants(|row| Ok(Some(clock::micros(made(args, row)?)))),
        )],
    ),
    function(
        "make_timestamptz",
        &[
            takes(
                &[Integer, Integer, Integer, Integer, Integer, Double],
                Instant,
                |args| {
                    let zone = clock::session_zone(args)?;
                    args.instants(|row| Ok(Some(clock::moment(made(args, row)?, zone))))
                },
            ),
            takes(
                &[Integer, Integer, Integer, Integer, Integer, Double, Text],
                Instant,
                |args| {
                    let zones = args.text(6)?;
                    args.instants(|row| {
                        let zone = clock::zone_of(zones.value(row))?;
                        Ok(Some(clock::moment(made(args, row)?, zone)))
                    })
                },
            ),
        ],
    ),
    function(
        "make_time",
        &[takes(&[Integer, Integer, Double], Time, |args| {
            let (hours, minutes, seconds) =
                (args.integers(0)?, args.integers(1)?, args.doubles(2)?);
            args.values::<i64, arrow::array::Time64MicrosecondArray>(|row| {
                let time = time(hours.value(row), minutes.value(row), seconds.value(row))?;
                Ok(Some(
                    i64::from(time.num_seconds_from_midnight()) * 1_000_000
                        + i64::from(time.nanosecond() / 1000),
                ))
            })
        })],
    ),
    function(
        "interval_of_parts",
        &[takes(
            &[Integer, Integer, Integer, Integer, Integer, Integer, Double],
            Interval,
            interval_of_parts,
        )],
    ),
    function("moment_of", &[takes(&[Date, Time], Timestamp, moment_of)]),
    function(
        "time_between",
        &[
            takes(&[Instant, Instant], Interval, time_between),
            takes(&[Timestamp, Timestamp], Interval, time_between),
        ],
    ),
    function(
        "interval_times",
        &[takes(&[Interval, Double], Interval, |args| {
            scaled(args, |value, by| value * by)
        })],
    ),
    function(
        "interval_divided",
        &[takes(&[Interval, Double], Interval, |args| {
            let by = args.doubles(1)?;
            if by.iter().any(|by| by == Some(0.0)) {
                return Err(Error::invalid(SqlState::DIVISION_BY_ZERO, "division by zero").into());
            }
            scaled(args, |value, by| value / by)
        })],
    ),
    function(
        "interval_span",
        &[takes(&[Interval], Integer, |args| {
            let intervals = args.intervals(0)?;
            args.values::<i64, Int64Array>(|row| Ok(Some(clock::span(intervals.value(row)))))
        })],
    ),
    function(
        "justify_hours",
        &[takes(&[Interval], Interval, |args| {
            justified(args, justify_hours)
        })],
    ),
    function(
        "justify_days",
        &[takes(&[Interval], Interval, |args| {
            justified(args, justify_days)
        })],
    ),
    function(
        "justify_interval",
        &[takes(&[Interval], Interval, |args| {
            justified(args, justify_all)
        })],
    ),
    function("extract_part", &EXTRACT),
    function("part_of", &PART_OF),
    function(
        "truncated",
        &[
            takes(&[Text, Interval], Interval, truncated_interval),
            takes(&[Text, Timestamp], Timestamp, |args| {
                let (units, values) = (args.text(0)?, args.timestamps(1)?);
                args.instants(|row| {
                    let clock = clock::naive(values.value(row))?;
                    Ok(Some(clock::micros(truncated(units.value(row), clock)?)))
                })
            }),
            takes(&[Text, Instant], Instant, |args| {
                let (units, values) = (args.text(0)?, args.timestamps(1)?);
                let zone = clock::session_zone(args)?;
                args.instants(|row| {
                    let clock = clock::local(values.value(row), zone)?;
                    Ok(Some(clock::moment(
                        truncated(units.value(row), clock)?,
                        zone,
                    )))
                })
            }),
        ],
    ),
    function(
        "overlaps",
        &[
            takes(
                &[Timestamp, Timestamp, Timestamp, Timestamp],
                Boolean,
                overlaps,
            ),
            takes(&[Instant, Instant, Instant, Instant], Boolean, overlaps),
            takes(
                &[Timestamp, Interval, Timestamp, Interval],
                Boolean,
                overlaps,
            ),
            takes(&[Instant, Interval, Instant, Interval], Boolean, overlaps),
            takes(&[Time, Time, Time, Time], Boolean, |args| {
                let times = [
                    args.times(0)?,
                    args.times(1)?,
                    args.times(2)?,
                    args.times(3)?,
                ];
                args.values::<bool, BooleanArray>(|row| {
                    let [a, b, c, d] = times.map(|times| times.value(row));
                    Ok(Some(overlap((a, b), (c, d))))
                })
            }),
        ],
    ),
    function(
        "isfinite",
        &[takes(&[Any], Boolean, |args| {
            args.values::<bool, BooleanArray>(|_| Ok(Some(true)))
        })],
    ),
    Definition {
        name: "clock_timestamp",
        volatility: Volatility::Volatile,
        variants: &[takes(&[], Instant, |args| {
            args.instants(|_| Ok(Some(chrono::Utc::now().timestamp_micros())))
        })],
    },
];

/// Two timestamps, of which one may have a time zone, by the session's clock.
fn clocks(args: &Arguments, at: usize, row: usize) -> Result<NaiveDateTime> {
    let values = args.timestamps(at)?;
    let value = values.value(row);
    match values.data_type() {
        DataType::Timestamp(_, Some(_)) => clock::local(value, clock::session_zone(args)?),
        _ => clock::naive(value),
    }
}

fn intervals(
    args: &Arguments,
    value: impl FnMut(usize) -> Result<Option<IntervalMonthDayNano>>,
) -> Result<ArrayRef> {
    args.values::<IntervalMonthDayNano, IntervalMonthDayNanoArray>(value)
}

fn age(args: &Arguments) -> Result<ArrayRef> {
    intervals(args, |row| {
        Ok(Some(clock::age(
            clocks(args, 0, row)?,
            clocks(args, 1, row)?,
        )))
    })
}

fn time_between(args: &Arguments) -> Result<ArrayRef> {
    let (later, earlier) = (args.timestamps(0)?, args.timestamps(1)?);
    intervals(args, |row| {
        clock::between(later.value(row), earlier.value(row)).map(Some)
    })
}

fn to_instant(args: &Arguments) -> Result<ArrayRef> {
    let (zones, clocks) = (args.text(0)?, args.timestamps(1)?);
    args.instants(|row| {
        let zone = clock::zone_of(zones.value(row))?;
        Ok(Some(clock::moment(clock::naive(clocks.value(row))?, zone)))
    })
}

fn to_clock(args: &Arguments) -> Result<ArrayRef> {
    let (zones, moments) = (args.text(0)?, args.timestamps(1)?);
    args.instants(|row| {
        let zone = clock::zone_of(zones.value(row))?;
        Ok(Some(clock::micros(clock::local(moments.value(row), zone)?)))
    })
}

fn shifted(args: &Arguments, sign: i64) -> Result<ArrayRef> {
    let (offsets, values) = (args.intervals(0)?, args.timestamps(1)?);
    args.instants(|row| {
        let offset = offsets.value(row);
        if offset.months != 0 || offset.days != 0 {
            return Err(Error::invalid(
                SqlState::INVALID_PARAMETER_VALUE,
                "an interval that is a time zone must not have months or days",
            )
            .into());
        }
        Ok(Some(values.value(row) + sign * (offset.nanoseconds / 1000)))
    })
}

fn out_of_range() -> Error {
    clock::out_of_range()
}

fn part<T: TryFrom<i64>>(value: i64) -> Result<T> {
    T::try_from(value).map_err(|_| out_of_range().into())
}

fn time(hours: i64, minutes: i64, seconds: f64) -> Result<NaiveTime> {
    if !(0.0..=60.0).contains(&seconds) {
        return Err(out_of_range().into());
    }
    let micros = (seconds * 1e6).round() as i64;
    let of_day =
        NaiveTime::from_hms_opt(part(hours)?, part(minutes)?, 0).ok_or_else(out_of_range)?;
    Ok(of_day + chrono::TimeDelta::microseconds(micros))
}

fn made(args: &Arguments, row: usize) -> Result<NaiveDateTime> {
    let field = |at: usize| args.integers(at).map(|values| values.value(row));
    let date = NaiveDate::from_ymd_opt(part(field(0)?)?, part(field(1)?)?, part(field(2)?)?)
        .ok_or_else(out_of_range)?;
    let midnight = date.and_time(NaiveTime::MIN);
    let seconds = args.doubles(5)?.value(row);
    let time = time(field(3)?, field(4)?, seconds)?;
    Ok(midnight + (time - NaiveTime::MIN))
}

fn interval_of_parts(args: &Arguments) -> Result<ArrayRef> {
    let seconds = args.doubles(6)?;
    intervals(args, |row| {
        let field = |at: usize| args.integers(at).map(|values| values.value(row));
        let months = field(0)?.saturating_mul(12).saturating_add(field(1)?);
        let days = field(2)?.saturating_mul(7).saturating_add(field(3)?);
        let clock = field(4)?
            .saturating_mul(3600)
            .saturating_add(field(5)?.saturating_mul(60));
        let micros = (seconds.value(row) * 1e6).round() as i64;
        let nanos = clock
            .checked_mul(1_000_000)
            .and_then(|clock| clock.checked_add(micros))
            .and_then(|micros| micros.checked_mul(1000))
            .ok_or_else(out_of_range)?;
        Ok(Some(IntervalMonthDayNano::new(
            part(months)?,
            part(days)?,
            nanos,
        )))
    })
}

fn moment_of(args: &Arguments) -> Result<ArrayRef> {
    let (days, times) = (args.dates(0)?, args.times(1)?);
    args.instants(|row| {
        Ok(Some(
            i64::from(days.value(row)) * 86_400_000_000 + times.value(row),
        ))
    })
}

/// An interval times or through a number; what is left of a month is days, of 30 to a month, and what is left of a day is time.
fn scaled(args: &Arguments, scale: fn(f64, f64) -> f64) -> Result<ArrayRef> {
    let (values, factors) = (args.intervals(0)?, args.doubles(1)?);
    intervals(args, |row| {
        let (value, factor) = (values.value(row), factors.value(row));
        let months = scale(f64::from(value.months), factor);
        let days = scale(f64::from(value.days), factor) + tidy(months.fract() * 30.0);
        let micros =
            scale((value.nanoseconds / 1000) as f64, factor) + tidy(days.fract() * 86400.0) * 1e6;
        if ![months, days, micros].iter().all(|part| part.is_finite())
            || months.abs() > f64::from(i32::MAX)
            || days.abs() > f64::from(i32::MAX)
            || micros.abs() > 9.2e15
        {
            return Err(out_of_range().into());
        }
        Ok(Some(IntervalMonthDayNano::new(
            months.trunc() as i32,
            days.trunc() as i32,
            micros.round() as i64 * 1000,
        )))
    })
}

/// A fraction without the noise of its last digits.
fn tidy(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

fn justified(
    args: &Arguments,
    justify: fn(IntervalMonthDayNano) -> IntervalMonthDayNano,
) -> Result<ArrayRef> {
    let values = args.intervals(0)?;
    intervals(args, |row| Ok(Some(justify(values.value(row)))))
}

const DAY_NANOS: i64 = 86_400_000_000_000;

fn justify_hours(value: IntervalMonthDayNano) -> IntervalMonthDayNano {
    let mut days = i64::from(value.days) + value.nanoseconds / DAY_NANOS;
    let mut nanos = value.nanoseconds % DAY_NANOS;
    if days > 0 && nanos < 0 {
        (days, nanos) = (days - 1, nanos + DAY_NANOS);
    } else if days < 0 && nanos > 0 {
        (days, nanos) = (days + 1, nanos - DAY_NANOS);
    }
    IntervalMonthDayNano::new(value.months, days as i32, nanos)
}

fn justify_days(value: IntervalMonthDayNano) -> IntervalMonthDayNano {
    let (mut months, mut days) = (value.months + value.days / 30, value.days % 30);
    if months > 0 && days < 0 {
        (months, days) = (months - 1, days + 30);
    } else if months < 0 && days > 0 {
        (months, days) = (months + 1, days - 30);
    }
    IntervalMonthDayNano::new(months, days, value.nanoseconds)
}

fn justify_all(value: IntervalMonthDayNano) -> IntervalMonthDayNano {
    let IntervalMonthDayNano {
        months,
        days,
        nanoseconds,
    } = justify_hours(value);
    let (mut months, mut days, mut nanos) = (months + days / 30, days % 30, nanoseconds);
    if months > 0 && (days < 0 || (days == 0 && nanos < 0)) {
        (months, days) = (months - 1, days + 30);
    } else if months < 0 && (days > 0 || (days == 0 && nanos > 0)) {
        (months, days) = (months + 1, days - 30);
    }
    if days > 0 && nanos < 0 {
        (days, nanos) = (days - 1, nanos + DAY_NANOS);
    } else if days < 0 && nanos > 0 {
        (days, nanos) = (days + 1, nanos - DAY_NANOS);
    }
    IntervalMonthDayNano::new(months, days, nanos)
}

/// `EXTRACT`: exact numbers.
const EXTRACT: [Variant; 5] = [
    takes_by(&[Text, Timestamp], exact_part, extracted),
    takes_by(&[Text, Instant], exact_part, extracted),
    takes_by(&[Text, Interval], exact_part, extracted),
    takes_by(&[Text, Time], exact_part, extracted),
    takes_by(&[Text, Date], exact_part, extracted),
];

/// `date_part`: doubles.
const PART_OF: [Variant; 5] = [
    takes(&[Text, Timestamp], Double, part_of),
    takes(&[Text, Instant], Double, part_of),
    takes(&[Text, Interval], Double, part_of),
    takes(&[Text, Time], Double, part_of),
    takes(&[Text, Date], Double, part_of),
];

fn exact_part(_: &[DataType]) -> Result<DataType> {
    Ok(DataType::Decimal128(24, 6))
}

fn extracted(args: &Arguments) -> Result<ArrayRef> {
    let values = args.values::<i128, Decimal128Array>(|row| Ok(Some(micro_part(args, row)?)))?;
    let values = values
        .as_primitive::<arrow::datatypes::Decimal128Type>()
        .clone();
    Ok(Arc::new(values.with_precision_and_scale(24, 6)?))
}

fn part_of(args: &Arguments) -> Result<ArrayRef> {
    args.values::<f64, Float64Array>(|row| Ok(Some(micro_part(args, row)? as f64 / 1e6)))
}

/// The part of a value, in millionths.
fn micro_part(args: &Arguments, row: usize) -> Result<i128> {
    let unit = args.text(0)?.value(row).to_lowercase();
    let unknown = || {
        Error::invalid(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("unit {unit:?} not recognized for this type"),
        )
    };
    let values = args.array(1)?;
    let micros = match values.data_type() {
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let value = values.as_primitive::<IntervalMonthDayNanoType>().value(row);
            return interval_part(&unit, value).ok_or_else(|| unknown().into());
        }
        DataType::Time64(_) => {
            let micros = args.times(1)?.value(row);
            return time_part(&unit, micros)
                .or_else(|| (unit == "epoch").then_some(i128::from(micros)))
                .ok_or_else(|| unknown().into());
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let value = values.as_primitive::<TimestampMicrosecondType>().value(row);
            if unit == "epoch" {
                return Ok(value.into());
            }
            match zone {
                None => value,
                Some(_) => {
                    let zone = clock::session_zone(args)?;
                    let ahead = clock::ahead(value, zone)?;
                    let seconds = match unit.as_str() {
                        "timezone" => Some(ahead),
                        "timezone_hour" => Some(ahead / 3600),
                        "timezone_minute" => Some(ahead / 60 % 60),
                        _ => None,
                    };
                    if let Some(seconds) = seconds {
                        return Ok(i128::from(seconds) * 1_000_000);
                    }
                    clock::micros(clock::local(value, zone)?)
                }
            }
        }
        _ => i64::from(args.dates(1)?.value(row)) * 86_400_000_000,
    };
    if unit == "epoch" {
        return Ok(micros.into());
    }
    let of_day = micros.rem_euclid(86_400_000_000);
    if let Some(part) = time_part(&unit, of_day) {
        return Ok(part);
    }
    let date = clock::naive(micros)?.date();
    let year = date.year();
    let whole = match unit.as_str() {
        "century" => (year + 99).div_euclid(100),
        "decade" => year.div_euclid(10),
        "millennium" => (year + 999).div_euclid(1000),
        "isodow" => date.weekday().number_from_monday() as i32,
        "isoyear" => date.iso_week().year(),
        "julian" => {
            let days = i128::from(date.num_days_from_ce()) + 1_721_425;
            return Ok(days * 1_000_000 + i128::from(of_day) * 1_000_000 / 86_400_000_000);
        }
        _ => return Err(unknown().into()),
    };
    Ok(i128::from(whole) * 1_000_000)
}

/// A part of a time of day that has fractions, in millionths.
fn time_part(unit: &str, of_day: i64) -> Option<i128> {
    let of_minute = i128::from(of_day % 60_000_000);
    Some(match unit {
        "second" | "seconds" => of_minute,
        "millisecond" | "milliseconds" => of_minute * 1000,
        "microsecond" | "microseconds" => of_minute * 1_000_000,
        _ => return None,
    })
}

fn interval_part(unit: &str, value: IntervalMonthDayNano) -> Option<i128> {
    let micros = value.nanoseconds / 1000;
    if let Some(part) = time_part(unit, micros) {
        return Some(part);
    }
    let years = value.months / 12;
    let whole = match unit {
        // Of years PostgreSQL takes a quarter of a day more than 365.
        "epoch" => {
            let years = i128::from(years) * 31_557_600 * 1_000_000;
            let rest = i128::from(value.months % 12) * 30 + i128::from(value.days);
            return Some(years + rest * 86_400_000_000 + i128::from(micros));
        }
        "century" => years / 100,
        "decade" => years / 10,
        "millennium" => years / 1000,
        _ => return None,
    };
    Some(i128::from(whole) * 1_000_000)
}

fn unknown_unit(unit: &str) -> Error {
    Error::invalid(
        SqlState::INVALID_PARAMETER_VALUE,
        format!("unit {unit:?} not recognized"),
    )
    .with_hint("units are microseconds, milliseconds, second, minute, hour, day, week, month, quarter, year, decade, century, millennium")
}

fn truncated(unit: &str, clock: NaiveDateTime) -> Result<NaiveDateTime> {
    let unit = unit.to_lowercase();
    let year = clock.year();
    let first_of = |year: i32, month: u32| {
        NaiveDate::from_ymd_opt(year, month, 1)
            .map(|date| date.and_time(NaiveTime::MIN))
            .ok_or_else(out_of_range)
    };
    let micros = clock::micros(clock);
    let to = |unit: i64| clock::naive(micros - micros.rem_euclid(unit));
    Ok(match unit.trim_end_matches('s') {
        "microsecond" => to(1)?,
        "millisecond" => to(1000)?,
        "second" => to(1_000_000)?,
        "minute" => to(60_000_000)?,
        "hour" => to(3_600_000_000)?,
        "day" => to(86_400_000_000)?,
        "week" => {
            let day = to(86_400_000_000)?;
            day - chrono::Days::new(day.weekday().num_days_from_monday().into())
        }
        "month" => first_of(year, clock.month())?,
        "quarter" => first_of(year, clock.month0() / 3 * 3 + 1)?,
        "year" => first_of(year, 1)?,
        "decade" => first_of(year.div_euclid(10) * 10, 1)?,
        "century" | "centurie" => first_of((year - 1).div_euclid(100) * 100 + 1, 1)?,
        "millennium" | "millennia" => first_of((year - 1).div_euclid(1000) * 1000 + 1, 1)?,
        _ => return Err(unknown_unit(&unit).into()),
    })
}

fn truncated_interval(args: &Arguments) -> Result<ArrayRef> {
    let (units, values) = (args.text(0)?, args.intervals(1)?);
    intervals(args, |row| {
        let value = values.value(row);
        let of = |months: i32, days: i32, nanos: i64| {
            Ok(Some(IntervalMonthDayNano::new(months, days, nanos)))
        };
        let to_months = |months: i32| of(value.months / months * months, 0, 0);
        let to_nanos = |nanos: i64| of(value.months, value.days, value.nanoseconds / nanos * nanos);
        let unit = units.value(row).to_lowercase();
        match unit.trim_end_matches('s') {
            "microsecond" => to_nanos(1000),
            "millisecond" => to_nanos(1_000_000),
            "second" => to_nanos(1_000_000_000),
            "minute" => to_nanos(60_000_000_000),
            "hour" => to_nanos(3_600_000_000_000),
            "day" => of(value.months, value.days, 0),
            "month" => to_months(1),
            "quarter" => to_months(3),
            "year" => to_months(12),
            "decade" => to_months(120),
            "century" => to_months(1200),
            "millennium" => to_months(12_000),
            _ => Err(unknown_unit(&unit).into()),
        }
    })
}

fn overlaps(args: &Arguments) -> Result<ArrayRef> {
    let end = |start: i64, at: usize, row: usize| -> Result<i64> {
        match args.array(at)?.data_type() {
            DataType::Interval(_) => {
                clock::plus(start, args.intervals(at)?.value(row), clock::utc()?)
            }
            _ => Ok(args.timestamps(at)?.value(row)),
        }
    };
    let (first, second) = (args.timestamps(0)?, args.timestamps(2)?);
    args.values::<bool, BooleanArray>(|row| {
        let (first, second) = (first.value(row), second.value(row));
        Ok(Some(overlap(
            (first, end(first, 1, row)?),
            (second, end(second, 3, row)?),
        )))
    })
}

/// Whether two periods have a moment in common; the end is none of theirs, but where it is the start, too.
fn overlap(left: (i64, i64), right: (i64, i64)) -> bool {
    let ordered = |(from, to): (i64, i64)| (from.min(to), from.max(to));
    let (left, right) = (ordered(left), ordered(right));
    left.0 == right.0 || (left.0 < right.1 && right.0 < left.1)
}
