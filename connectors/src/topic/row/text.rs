//! The text of values that JSON has no form of its own for: dates, times, timestamps, intervals, decimals, bytes, UUIDs.
//!
//! What is written is read back exactly, over the whole range of the Arrow type; what is read is wider: the forms of
//! ISO 8601 and of PostgreSQL that people send. Calendar arithmetic follows Howard Hinnant's "chrono-compatible low-level
//! date algorithms", which hold for every year that 64 bits can name.

use std::fmt::Write as _;

use arrow::compute::kernels::cast_utils::{
    IntervalParseConfig, IntervalUnit, parse_interval_month_day_nano_config,
};
use arrow::datatypes::TimeUnit;

/// Nanoseconds of a second.
const NANOS: i64 = 1_000_000_000;
/// Seconds of a day.
const DAY: i64 = 86_400;

/// How many of `unit` make a second.
pub(crate) fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => NANOS,
    }
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year, month and day of a number of days since 1970-01-01.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

fn month_days(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Reads text from the left, a piece at a time.
struct Pieces<'a>(&'a [u8]);

impl Pieces<'_> {
    fn eat(&mut self, byte: u8) -> bool {
        match self.0.split_first() {
            Some((first, rest)) if *first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    /// Between `least` and `most` digits as a number, with how many there were.
    fn digits(&mut self, least: usize, most: usize) -> Option<(i64, usize)> {
        let mut value = 0i64;
        let mut count = 0;
        for byte in self.0.iter().take(most) {
            if !byte.is_ascii_digit() {
                break;
            }
            value = value * 10 + i64::from(byte - b'0');
            count += 1;
        }
        if count < least {
            return None;
        }
        self.0 = self.0.get(count..)?;
        Some((value, count))
    }

    fn two(&mut self) -> Option<i64> {
        self.digits(2, 2).map(|(value, _)| value)
    }

    /// `YYYY-MM-DD`, the year with a sign and up to twelve digits, as days since 1970.
    fn date(&mut self) -> Option<i64> {
        let negative = self.eat(b'-');
        let signed = negative || self.eat(b'+');
        let (year, count) = self.digits(4, 12)?;
        if count > 4 && !signed {
            return None;
        }
        let year = if negative { -year } else { year };
        if !self.eat(b'-') {
            return None;
        }
        let month = self.two()?;
        if !self.eat(b'-') {
            return None;
        }
        let day = self.two()?;
        let valid = (1..=12).contains(&month) && day >= 1 && day <= month_days(year, month);
        valid.then(|| days_from_civil(year, month, day))
    }

    /// `HH:MM[:SS[.fraction]]` as seconds and nanoseconds of the day. Digits past nanoseconds are cut off.
    fn time(&mut self) -> Option<(i64, i64)> {
        let hour = self.two()?;
        if !self.eat(b':') {
            return None;
        }
        let minute = self.two()?;
        let mut second = 0;
        let mut nanos = 0;
        if self.eat(b':') {
            second = self.two()?;
            if self.eat(b'.') {
                let (value, count) = self.digits(1, 9)?;
                nanos = value * 10i64.pow(9 - count as u32);
                while self.digits(1, 9).is_some() {}
            }
        }
        let valid = hour < 24 && minute < 60 && second < 60;
        valid.then_some((hour * 3_600 + minute * 60 + second, nanos))
    }

    /// Nothing, `Z`, or an offset from UTC; seconds east of it.
    fn zone(&mut self) -> Option<Option<i64>> {
        self.eat(b' ');
        if self.0.is_empty() {
            return Some(None);
        }
        if self.eat(b'Z') || self.eat(b'z') {
            return Some(Some(0));
        }
        let west = self.eat(b'-');
        if !west && !self.eat(b'+') {
            return None;
        }
        let hour = self.two()?;
        let minute = if self.eat(b':') || !self.0.is_empty() {
            self.two()?
        } else {
            0
        };
        let east = hour * 3_600 + minute * 60;
        (hour < 24 && minute < 60).then_some(Some(if west { -east } else { east }))
    }
}

/// A date as days since 1970.
pub(crate) fn parse_date(text: &str) -> Option<i64> {
    let mut pieces = Pieces(text.trim().as_bytes());
    let days = pieces.date()?;
    pieces.0.is_empty().then_some(days)
}

/// A time of day in `unit`.
pub(crate) fn parse_time(text: &str, unit: TimeUnit) -> Option<i64> {
    let mut pieces = Pieces(text.trim().as_bytes());
    let (seconds, nanos) = pieces.time()?;
    pieces
        .0
        .is_empty()
        .then(|| seconds * per_second(unit) + nanos / (NANOS / per_second(unit)))
}

/// A timestamp in `unit` since 1970 UTC. Text without an offset is at `east` seconds east of UTC.
pub(crate) fn parse_timestamp(text: &str, unit: TimeUnit, east: i64) -> Option<i64> {
    let mut pieces = Pieces(text.trim().as_bytes());
    let days = pieces.date()?;
    let (mut seconds, mut nanos) = (0, 0);
    let mut offset = None;
    if !pieces.0.is_empty() {
        if !(pieces.eat(b'T') || pieces.eat(b' ') || pieces.eat(b't')) {
            return None;
        }
        (seconds, nanos) = pieces.time()?;
        offset = pieces.zone()?;
        if !pieces.0.is_empty() {
            return None;
        }
    }
    let seconds = i128::from(days) * i128::from(DAY) + i128::from(seconds)
        - i128::from(offset.unwrap_or(east));
    let value =
        seconds * i128::from(per_second(unit)) + i128::from(nanos / (NANOS / per_second(unit)));
    i64::try_from(value).ok()
}

/// Writes a date given as days since 1970.
pub(crate) fn write_date(days: i64, out: &mut String) {
    let (year, month, day) = civil_from_days(days);
    let written = match year {
        0..=9999 => write!(out, "{year:04}-{month:02}-{day:02}"),
        _ => write!(out, "{year:+05}-{month:02}-{day:02}"),
    };
    debug_assert!(written.is_ok(), "writing to a string does not fail");
}

/// Writes a time of day given in `unit`; a value outside the day is written with as many hours as it takes.
pub(crate) fn write_time(value: i64, unit: TimeUnit, out: &mut String) {
    let per = per_second(unit);
    let (seconds, fraction) = (value.div_euclid(per), value.rem_euclid(per));
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let written = write!(out, "{hour:02}:{minute:02}:{second:02}");
    debug_assert!(written.is_ok(), "writing to a string does not fail");
    write_fraction(fraction, unit, out);
}

fn write_fraction(fraction: i64, unit: TimeUnit, out: &mut String) {
    let written = match (fraction, unit) {
        (0, _) => Ok(()),
        (_, TimeUnit::Second) => Ok(()),
        (_, TimeUnit::Millisecond) => write!(out, ".{fraction:03}"),
        (_, TimeUnit::Microsecond) => write!(out, ".{fraction:06}"),
        (_, TimeUnit::Nanosecond) => write!(out, ".{fraction:09}"),
    };
    debug_assert!(written.is_ok(), "writing to a string does not fail");
}

/// Writes a timestamp given in `unit` since 1970 UTC, with a `Z` when it is an instant.
pub(crate) fn write_timestamp(value: i64, unit: TimeUnit, instant: bool, out: &mut String) {
    let per = per_second(unit);
    let (seconds, fraction) = (value.div_euclid(per), value.rem_euclid(per));
    write_date(seconds.div_euclid(DAY), out);
    out.push('T');
    write_time(seconds.rem_euclid(DAY), TimeUnit::Second, out);
    write_fraction(fraction, unit, out);
    if instant {
        out.push('Z');
    }
}

/// Writes an interval as ISO 8601 with a sign for each field, PostgreSQL's `iso_8601` style.
pub(crate) fn write_interval(months: i32, days: i32, nanos: i64, out: &mut String) {
    let sign = if nanos < 0 { "-" } else { "" };
    let size = nanos.unsigned_abs();
    let (seconds, fraction) = (size / NANOS as u64, size % NANOS as u64);
    let written = match fraction {
        0 => write!(out, "P{months}M{days}DT{sign}{seconds}S"),
        _ => write!(out, "P{months}M{days}DT{sign}{seconds}.{fraction:09}S"),
    };
    debug_assert!(written.is_ok(), "writing to a string does not fail");
}

/// An interval as months, days and nanoseconds: ISO 8601 (`P1Y2M3DT4H5M6.7S`), PostgreSQL's (`1 day 02:00:00`),
/// and other forms that people write (`1 day 2 hours`).
pub(crate) fn parse_interval(text: &str) -> Option<(i32, i32, i64)> {
    let text = text.trim();
    if let Some(iso) = text.strip_prefix('P') {
        return parse_iso_interval(iso.as_bytes());
    }
    if let Some(value) = super::interval::parse(text) {
        return Some(value);
    }
    let config = IntervalParseConfig::new(IntervalUnit::Second);
    let value = parse_interval_month_day_nano_config(text, config).ok()?;
    Some((value.months, value.days, value.nanoseconds))
}

fn parse_iso_interval(text: &[u8]) -> Option<(i32, i32, i64)> {
    let mut pieces = Pieces(text);
    let (mut months, mut days, mut nanos) = (0i128, 0i128, 0i128);
    let mut in_time = false;
    let mut fields = 0;
    while !pieces.0.is_empty() {
        if !in_time && pieces.eat(b'T') {
            in_time = true;
            continue;
        }
        let negative = pieces.eat(b'-');
        if !negative {
            pieces.eat(b'+');
        }
        let (whole, _) = pieces.digits(1, 18)?;
        let mut fraction = 0;
        let mut fractional = false;
        if pieces.eat(b'.') {
            let (value, count) = pieces.digits(1, 9)?;
            fraction = value * 10i64.pow(9 - count as u32);
            fractional = true;
        }
        let (unit, rest) = pieces.0.split_first()?;
        pieces.0 = rest;
        let signed = |value: i128| if negative { -value } else { value };
        let whole = signed(i128::from(whole));
        let nano = i128::from(NANOS);
        match (unit, in_time) {
            (b'Y', false) if !fractional => months += whole * 12,
            (b'M', false) if !fractional => months += whole,
            (b'W', false) if !fractional => days += whole * 7,
            (b'D', false) if !fractional => days += whole,
            (b'H', true) if !fractional => nanos += whole * 3_600 * nano,
            (b'M', true) if !fractional => nanos += whole * 60 * nano,
            (b'S', true) => nanos += whole * nano + signed(i128::from(fraction)),
            _ => return None,
        }
        fields += 1;
    }
    if fields == 0 {
        return None;
    }
    Some((
        months.try_into().ok()?,
        days.try_into().ok()?,
        nanos.try_into().ok()?,
    ))
}

/// Why a text is no decimal of a precision and scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DecimalError {
    /// Not a number.
    Text,
    /// More digits before the point than the precision leaves room for.
    Range,
}

/// The digits of `value × 10^scale`, with a sign, for an integer parser to read. Digits past the scale are rounded half
/// away from zero, as PostgreSQL does; digits before it that do not fit `precision` are an error.
pub(crate) fn decimal_digits(
    text: &str,
    precision: u8,
    scale: i8,
    out: &mut String,
) -> Result<(), DecimalError> {
    out.clear();
    let text = text.trim();
    let (negative, unsigned) = match text.as_bytes().first() {
        Some(b'-') => (true, text.get(1..).unwrap_or_default()),
        Some(b'+') => (false, text.get(1..).unwrap_or_default()),
        _ => (false, text),
    };
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => {
            let exponent = unsigned.get(at + 1..).unwrap_or_default();
            let exponent: i32 = exponent.parse().map_err(|_| DecimalError::Text)?;
            (unsigned.get(..at).unwrap_or_default(), exponent)
        }
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    if whole.len() + fraction.len() == 0 || !digits().all(|byte| byte.is_ascii_digit()) {
        return Err(DecimalError::Text);
    }
    // How many of the digits stand before the point of the scaled number.
    let kept = i64::try_from(whole.len())
        .unwrap_or(i64::MAX)
        .saturating_add(i64::from(exponent))
        + i64::from(scale);
    let leading = digits().take_while(|byte| *byte == b'0').count() as i64;
    let significant = kept.saturating_sub(leading);
    let all_zero = leading == (whole.len() + fraction.len()) as i64;
    if all_zero || significant < 0 {
        out.push('0');
        return Ok(());
    }
    if significant > i64::from(precision) {
        return Err(DecimalError::Range);
    }
    if negative {
        out.push('-');
    }
    let start = out.len();
    let mut rest = digits().skip(leading as usize);
    for _ in 0..significant {
        out.push(char::from(rest.next().unwrap_or(b'0')));
    }
    if rest.next().is_some_and(|next| next >= b'5') {
        round_up(out, start);
    }
    if out.len() == start {
        out.truncate(0);
        out.push('0');
    }
    if out.len() - start > usize::from(precision) {
        return Err(DecimalError::Range);
    }
    Ok(())
}

/// Adds one to the decimal digits of `out` from `start` on.
fn round_up(out: &mut String, start: usize) {
    let mut tail = 0;
    while out.len() > start {
        match out.pop() {
            Some('9') => tail += 1,
            Some(digit) => {
                out.push(char::from(digit as u8 + 1));
                out.extend(std::iter::repeat_n('0', tail));
                return;
            }
            None => break,
        }
    }
    out.push('1');
    out.extend(std::iter::repeat_n('0', tail));
}

/// Writes bytes as hexadecimal digits.
pub(crate) fn write_hex(bytes: &[u8], out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.reserve(bytes.len() * 2);
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

/// Reads bytes from hexadecimal digits, with or without PostgreSQL's `\x` before them.
pub(crate) fn parse_hex(text: &str, out: &mut Vec<u8>) -> bool {
    out.clear();
    let digits = text.strip_prefix("\\x").unwrap_or(text).as_bytes();
    let value = |digit: u8| char::from(digit).to_digit(16);
    if !digits.len().is_multiple_of(2) {
        return false;
    }
    for pair in digits.chunks_exact(2) {
        match (value(pair[0]), value(pair[1])) {
            (Some(high), Some(low)) => out.push((high * 16 + low) as u8),
            _ => return false,
        }
    }
    true
}

/// Whether a text is a UUID in the one form that is stored: lower case, with hyphens.
pub(crate) fn is_canonical_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl FnOnce(&mut String)) -> String {
        let mut out = String::new();
        write(&mut out);
        out
    }

    const UNITS: [TimeUnit; 4] = [
        TimeUnit::Second,
        TimeUnit::Millisecond,
        TimeUnit::Microsecond,
        TimeUnit::Nanosecond,
    ];

    proptest! {
        #[test]
        fn dates_read_back(days in any::<i32>()) {
            let text = written(|out| write_date(i64::from(days), out));
            prop_assert_eq!(parse_date(&text), Some(i64::from(days)), "{}", text);
        }

        #[test]
        fn timestamps_read_back(value in any::<i64>(), unit in 0..4usize, instant in any::<bool>()) {
            let text = written(|out| write_timestamp(value, UNITS[unit], instant, out));
            prop_assert_eq!(parse_timestamp(&text, UNITS[unit], 0), Some(value), "{}", text);
        }

        #[test]
        fn times_read_back(seconds in 0..DAY, nanos in 0..NANOS, unit in 0..4usize) {
            let unit = UNITS[unit];
            let value = seconds * per_second(unit) + nanos / (NANOS / per_second(unit));
            let text = written(|out| write_time(value, unit, out));
            prop_assert_eq!(parse_time(&text, unit), Some(value), "{}", text);
        }

        #[test]
        fn intervals_read_back(months in any::<i32>(), days in any::<i32>(), nanos in any::<i64>()) {
            let text = written(|out| write_interval(months, days, nanos, out));
            prop_assert_eq!(parse_interval(&text), Some((months, days, nanos)), "{}", text);
        }

        #[test]
        fn decimals_of_a_scale_read_back(value in -(10i128.pow(38) - 1)..10i128.pow(38), scale in 0..39i8) {
            let text = arrow::datatypes::Decimal128Type::format_decimal(value, 38, scale);
            let mut digits = String::new();
            prop_assert_eq!(decimal_digits(&text, 38, scale, &mut digits), Ok(()), "{}", text);
            prop_assert_eq!(digits.parse::<i128>(), Ok(value), "{}", text);
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = parse_date(&text);
            let _ = parse_timestamp(&text, TimeUnit::Nanosecond, 0);
            let _ = parse_interval(&text);
            let _ = decimal_digits(&text, 10, 2, &mut String::new());
            let _ = parse_hex(&text, &mut Vec::new());
        }
    }

    use arrow::datatypes::DecimalType;

    #[test]
    fn what_people_write_is_read() {
        let micros = |text| parse_timestamp(text, TimeUnit::Microsecond, 0);
        for text in [
            "2024-02-29T12:00:00Z",
            "2024-02-29 12:00:00",
            "2024-02-29T12:00",
            "2024-02-29T14:00:00+02:00",
            "2024-02-29 14:00:00.000+02",
            "2024-02-29T06:30:00-0530",
        ] {
            assert_eq!(micros(text), Some(1_709_208_000_000_000), "{text}");
        }
        assert_eq!(micros("2024-02-29"), Some(1_709_164_800_000_000));
        for text in [
            "2023-02-29",
            "2024-1-1",
            "yesterday",
            "2024-01-01T25:00",
            "12345-01-01",
            "",
        ] {
            assert_eq!(micros(text), None, "{text}");
        }
        assert_eq!(parse_interval("1 day 2 hours"), Some((0, 1, 7_200 * NANOS)));
        assert_eq!(
            parse_interval("P1Y2M3W4DT5H6M7.5S"),
            Some((14, 25, 18_367_500_000_000))
        );
        assert_eq!(parse_interval("P"), None);
    }

    #[test]
    fn decimals_round_and_overflow() {
        let digits = |text: &str| {
            let mut out = String::new();
            decimal_digits(text, 5, 2, &mut out).map(|()| out)
        };
        assert_eq!(digits("1.005").as_deref(), Ok("101"));
        assert_eq!(digits("-1.995").as_deref(), Ok("-200"));
        assert_eq!(digits("0.004").as_deref(), Ok("0"));
        assert_eq!(digits("0.005").as_deref(), Ok("1"));
        assert_eq!(digits("1e2").as_deref(), Ok("10000"));
        assert_eq!(digits("12e-1").as_deref(), Ok("120"));
        assert_eq!(digits("999.994").as_deref(), Ok("99999"));
        assert_eq!(digits("999.995"), Err(DecimalError::Range));
        assert_eq!(digits("1000"), Err(DecimalError::Range));
        assert_eq!(digits("1e999999999"), Err(DecimalError::Range));
        assert_eq!(digits("0e999999999").as_deref(), Ok("0"));
        assert_eq!(digits("1."), Ok("100".to_owned()));
        for bad in ["", "-", ".", "1x", "1e", "--1", "NaN"] {
            assert_eq!(digits(bad), Err(DecimalError::Text), "{bad}");
        }
    }
}
