//! Moments, days and zones: what the functions of dates and times are made of.
//!
//! A moment is microseconds since 1970 in UTC; a timestamp without time zone is the same of its own clock.

use arrow::array::timezone::Tz;
use arrow::datatypes::IntervalMonthDayNano;
use chrono::{
    DateTime, Datelike, Days, LocalResult, Months, NaiveDate, NaiveDateTime, Offset, TimeDelta,
    TimeZone,
};
use datafusion::common::Result;
use weir_base::SqlState;

use super::define::Arguments;
use crate::error::Error;
use crate::planning::UTC;

const DAY_MICROS: i64 = 86_400_000_000;

/// An interval's length in microseconds, a month of 30 days: what intervals are compared by.
pub(crate) fn span(interval: IntervalMonthDayNano) -> i64 {
    let days = i64::from(interval.months) * 30 + i64::from(interval.days);
    days.saturating_mul(DAY_MICROS)
        .saturating_add(interval.nanoseconds / 1000)
}

/// UTC.
///
/// # Errors
/// None in fact: the offset is one that the type reads.
pub(super) fn utc() -> Result<Tz> {
    Ok(UTC.parse()?)
}

/// The zone of the session.
pub(super) fn session_zone(args: &Arguments) -> Result<Tz> {
    match args.config.execution.time_zone.as_deref() {
        Some(zone) => zone_of(zone),
        None => utc(),
    }
}

/// The zone of a name or an offset.
///
/// # Errors
/// 22023 when there is none of that name.
pub(crate) fn zone_of(name: &str) -> Result<Tz> {
    let given = name.trim();
    let known = match given.to_ascii_lowercase().as_str() {
        "utc" | "z" | "gmt" | "zulu" => UTC.parse().ok(),
        _ => given.parse().ok().or_else(|| offset(given)?.parse().ok()),
    };
    known.ok_or_else(|| {
        Error::invalid(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("time zone {given:?} not recognized"),
        )
        .with_hint("write a name such as 'Europe/Berlin', or an offset such as '+02:00'")
        .into()
    })
}

/// An offset of one or two digits as one of four.
fn offset(text: &str) -> Option<String> {
    let sign = text
        .chars()
        .next()
        .filter(|sign| matches!(sign, '+' | '-'))?;
    let digits = text.get(1..)?;
    let (hours, minutes) = match digits.split_once(':') {
        Some((hours, minutes)) => (hours, minutes),
        None if digits.len() == 4 => digits.split_at(2),
        None => (digits, "00"),
    };
    let (hours, minutes): (u32, u32) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours < 16 && minutes < 60).then(|| format!("{sign}{hours:02}:{minutes:02}"))
}

/// The clock of a moment in a zone.
pub(crate) fn local(micros: i64, zone: Tz) -> Result<NaiveDateTime> {
    let moment = DateTime::from_timestamp_micros(micros).ok_or_else(out_of_range)?;
    Ok(zone.from_utc_datetime(&moment.naive_utc()).naive_local())
}

/// How far a zone's clock is ahead of UTC at a moment, in seconds.
pub(super) fn ahead(micros: i64, zone: Tz) -> Result<i32> {
    let moment = DateTime::from_timestamp_micros(micros).ok_or_else(out_of_range)?;
    Ok(zone
        .offset_from_utc_datetime(&moment.naive_utc())
        .fix()
        .local_minus_utc())
}

/// The moment of a clock in a zone. Where a clock shows a time twice, the later, as PostgreSQL has it; where it leaves one out,
/// as if it had not been moved yet.
pub(crate) fn moment(clock: NaiveDateTime, zone: Tz) -> i64 {
    match zone.from_local_datetime(&clock) {
        LocalResult::Single(moment) => moment.timestamp_micros(),
        LocalResult::Ambiguous(first, second) => {
            first.timestamp_micros().max(second.timestamp_micros())
        }
        LocalResult::None => {
            let before = clock - TimeDelta::hours(3);
            match zone.from_local_datetime(&before).latest() {
                Some(moment) => moment.timestamp_micros() + 3 * 3_600_000_000,
                None => clock.and_utc().timestamp_micros(),
            }
        }
    }
}

/// The clock of a timestamp without time zone.
pub(crate) fn naive(micros: i64) -> Result<NaiveDateTime> {
    DateTime::from_timestamp_micros(micros)
        .map(|moment| moment.naive_utc())
        .ok_or_else(|| out_of_range().into())
}

/// Of a clock the timestamp without time zone.
pub(crate) fn micros(clock: NaiveDateTime) -> i64 {
    clock.and_utc().timestamp_micros()
}

pub(crate) fn out_of_range() -> Error {
    Error::invalid(SqlState("22008"), "date or time out of range")
}

/// A moment and an interval later: months and days by the clock of the zone, the rest by time.
pub(super) fn plus(value: i64, interval: IntervalMonthDayNano, zone: Tz) -> Result<i64> {
    let mut value = value;
    if interval.months != 0 || interval.days != 0 {
        let clock = local(value, zone)?;
        let moved = months_later(clock, interval.months)
            .and_then(|clock| days_later(clock, interval.days))
            .ok_or_else(out_of_range)?;
        value = moment(moved, zone);
    }
    value
        .checked_add(interval.nanoseconds / 1000)
        .ok_or_else(|| out_of_range().into())
}

fn months_later(clock: NaiveDateTime, months: i32) -> Option<NaiveDateTime> {
    let by = Months::new(months.unsigned_abs());
    match months < 0 {
        true => clock.checked_sub_months(by),
        false => clock.checked_add_months(by),
    }
}

fn days_later(clock: NaiveDateTime, days: i32) -> Option<NaiveDateTime> {
    let by = Days::new(days.unsigned_abs().into());
    match days < 0 {
        true => clock.checked_sub_days(by),
        false => clock.checked_add_days(by),
    }
}

/// The time between two clocks in days and a rest: what PostgreSQL's `-` gives.
pub(super) fn between(later: i64, earlier: i64) -> Result<IntervalMonthDayNano> {
    let micros = later.checked_sub(earlier).ok_or_else(out_of_range)?;
    let days = i32::try_from(micros / DAY_MICROS).map_err(|_| out_of_range())?;
    Ok(IntervalMonthDayNano::new(
        0,
        days,
        micros % DAY_MICROS * 1000,
    ))
}

/// `age`: the time between two clocks in years, months and days by the calendar (`timestamp_age`).
pub(super) fn age(later: NaiveDateTime, earlier: NaiveDateTime) -> IntervalMonthDayNano {
    if later < earlier {
        let age = self::age(earlier, later);
        return IntervalMonthDayNano::new(-age.months, -age.days, -age.nanoseconds);
    }
    let day_micros = |clock: NaiveDateTime| {
        let midnight = clock.date().and_time(chrono::NaiveTime::MIN);
        (clock - midnight).num_microseconds().unwrap_or_default()
    };
    let mut micros = day_micros(later) - day_micros(earlier);
    let mut days = i64::from(later.day()) - i64::from(earlier.day());
    let mut months = i64::from(later.year() - earlier.year()) * 12 + i64::from(later.month())
        - i64::from(earlier.month());
    if micros < 0 {
        micros += DAY_MICROS;
        days -= 1;
    }
    // A month that is not whole counts as the days of the month that it began in.
    let mut month = earlier.date();
    while days < 0 {
        days += i64::from(days_of_month(month.year(), month.month()));
        months -= 1;
        month = month.checked_add_months(Months::new(1)).unwrap_or(month);
    }
    IntervalMonthDayNano::new(months as i32, days as i32, micros * 1000)
}

/// How many days a month has.
pub(super) fn days_of_month(year: i32, month: u32) -> u32 {
    let (next_year, next_month) = if month == 12 {
        (year + 1, 1)
    } else {
        (year, month + 1)
    };
    NaiveDate::from_ymd_opt(next_year, next_month, 1)
        .and_then(|first| first.pred_opt())
        .map_or(31, |last| last.day())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(text: &str) -> NaiveDateTime {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").unwrap()
    }

    #[test]
    fn ages_are_by_the_calendar() {
        for (later, earlier, expected) in [
            ("2024-03-01 00:00:00", "2024-01-31 00:00:00", (1, 1, 0)),
            ("2001-04-10 00:00:00", "1957-06-13 00:00:00", (525, 27, 0)),
            ("2024-01-31 00:00:00", "2024-03-01 00:00:00", (-1, -1, 0)),
            ("2024-01-02 01:00:00", "2024-01-01 02:00:00", (0, 0, 23)),
        ] {
            let age = age(clock(later), clock(earlier));
            let hours = age.nanoseconds / 3_600_000_000_000;
            assert_eq!((age.months, age.days, hours), expected, "{later} {earlier}");
        }
    }

    #[test]
    fn zones_are_names_and_offsets() {
        for name in ["UTC", "Europe/Berlin", "+02", "-05:30", "+0200", "+2"] {
            assert!(zone_of(name).is_ok(), "{name}");
        }
        assert!(zone_of("Nowhere").is_err());
        let berlin = zone_of("Europe/Berlin").unwrap();
        let summer = clock("2024-07-01 14:00:00");
        assert_eq!(moment(summer, berlin), micros(clock("2024-07-01 12:00:00")));
        // The hour that is left out.
        let gone = clock("2024-03-31 02:30:00");
        assert_eq!(moment(gone, berlin), micros(clock("2024-03-31 01:30:00")));
    }
}
