//! Dates, times, timestamps and intervals as PostgreSQL shows (`DateStyle` ISO, `IntervalStyle` postgres) and sends them.
//! Its finest unit is a microsecond; what is finer is cut off, in text and binary alike.

use arrow::array::timezone::Tz;
use chrono::{DateTime, Offset, TimeZone};

use crate::encode::clock_text::{civil, interval, padded};

const DAY_MICROS: i64 = 86_400_000_000;
/// Days from 1970-01-01 to 2000-01-01, from which PostgreSQL counts.
const EPOCH_DAYS: i64 = 10_957;
pub(super) const EPOCH_MICROS: i64 = EPOCH_DAYS * DAY_MICROS;

/// The time zone of a session.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Zone {
    Utc,
    Named(Tz),
}

impl Zone {
    /// The zone of a name that `SET TimeZone` has accepted.
    pub(crate) fn of_name(name: &str) -> Self {
        match name {
            "UTC" | "Z" | "+00:00" => Self::Utc,
            // What is not known is shown in UTC: another text of the same moment.
            name => name.parse().map_or(Self::Utc, Self::Named),
        }
    }

    /// Its offset at a moment, in seconds.
    fn offset(&self, micros: i64) -> i32 {
        match self {
            Self::Utc => 0,
            Self::Named(zone) => DateTime::from_timestamp_micros(micros).map_or(0, |at| {
                let offset = zone.offset_from_utc_datetime(&at.naive_utc());
                offset.fix().local_minus_utc()
            }),
        }
    }
}

/// Microseconds of a number of units, `per_second` of which are a second.
pub(super) fn micros(value: i64, per_second: i64) -> Option<i64> {
    match per_second {
        1_000_000_000 => Some(value.div_euclid(1000)),
        per_second => value.checked_mul(1_000_000 / per_second),
    }
}

/// `2024-02-29`, and ` BC` where it is before the first year.
fn date_of(days: i64, out: &mut Vec<u8>) -> bool {
    let (year, month, day) = civil(days);
    let is_bc = year <= 0;
    let year = if is_bc { 1 - year } else { year };
    padded(year.unsigned_abs(), 4, out);
    out.push(b'-');
    padded(month, 2, out);
    out.push(b'-');
    padded(day, 2, out);
    is_bc
}

fn era(is_bc: bool, out: &mut Vec<u8>) {
    if is_bc {
        out.extend_from_slice(b" BC");
    }
}

pub(super) fn date(days: i64, out: &mut Vec<u8>) {
    let is_bc = date_of(days, out);
    era(is_bc, out);
}

/// `23:59:59.123`, without zeros at the end.
pub(super) fn time(micros: i64, out: &mut Vec<u8>) {
    let seconds = micros.div_euclid(1_000_000).unsigned_abs();
    padded(seconds / 3600, 2, out);
    out.push(b':');
    padded(seconds / 60 % 60, 2, out);
    out.push(b':');
    padded(seconds % 60, 2, out);
    let rest = micros.rem_euclid(1_000_000).unsigned_abs();
    if rest > 0 {
        out.push(b'.');
        padded(rest, 6, out);
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
}

/// `2024-02-29 23:59:59.123`.
pub(super) fn timestamp(micros: i64, out: &mut Vec<u8>) {
    let is_bc = date_of(micros.div_euclid(DAY_MICROS), out);
    out.push(b' ');
    time(micros.rem_euclid(DAY_MICROS), out);
    era(is_bc, out);
}

/// `2024-02-29 23:59:59.123+01`.
pub(super) fn timestamptz(micros: i64, zone: &Zone, out: &mut Vec<u8>) {
    let offset = zone.offset(micros);
    let local = micros.saturating_add(i64::from(offset) * 1_000_000);
    let is_bc = date_of(local.div_euclid(DAY_MICROS), out);
    out.push(b' ');
    time(local.rem_euclid(DAY_MICROS), out);
    out.push(if offset < 0 { b'-' } else { b'+' });
    let offset = u64::from(offset.unsigned_abs());
    padded(offset / 3600, 2, out);
    if offset % 3600 != 0 {
        out.push(b':');
        padded(offset / 60 % 60, 2, out);
    }
    if offset % 60 != 0 {
        out.push(b':');
        padded(offset % 60, 2, out);
    }
    era(is_bc, out);
}

/// Months, days and microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Interval {
    pub(super) months: i32,
    pub(super) days: i32,
    pub(super) micros: i64,
}

impl Interval {
    pub(super) fn text(self, out: &mut Vec<u8>) {
        interval(
            i64::from(self.months),
            i64::from(self.days),
            i128::from(self.micros) * 1000,
            out,
        );
    }

    pub(super) fn binary(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.micros.to_be_bytes());
        out.extend_from_slice(&self.days.to_be_bytes());
        out.extend_from_slice(&self.months.to_be_bytes());
    }
}

/// The days of a date as they are sent.
pub(super) fn sent_days(days: i64) -> Option<i32> {
    i32::try_from(days - EPOCH_DAYS).ok()
}

/// The days of a date that was sent.
pub(super) fn days_sent(days: i32) -> Option<i32> {
    days.checked_add(i32::try_from(EPOCH_DAYS).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn moments_as_postgresql_shows_them() {
        assert_eq!(text(|out| date(0, out)), "1970-01-01");
        assert_eq!(text(|out| date(-719_529, out)), "0002-12-31 BC");
        assert_eq!(text(|out| time(3_723_500_000, out)), "01:02:03.5");
        let at = 1_709_251_199_123_456;
        assert_eq!(text(|out| timestamp(at, out)), "2024-02-29 23:59:59.123456");
        assert_eq!(
            text(|out| timestamptz(at, &Zone::of_name("UTC"), out)),
            "2024-02-29 23:59:59.123456+00"
        );
        assert_eq!(
            text(|out| timestamptz(at, &Zone::of_name("Asia/Kolkata"), out)),
            "2024-03-01 05:29:59.123456+05:30"
        );
        let interval = Interval {
            months: 14,
            days: -3,
            micros: 4_500_000,
        };
        assert_eq!(
            text(|out| interval.text(out)),
            "1 year 2 mons -3 days +00:00:04.5"
        );
    }
}
