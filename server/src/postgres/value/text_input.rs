//! PostgreSQL's input functions, where Arrow's parsers read other forms.

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType};
use weir_engine::ScalarValue;

/// `true`, `yes`, `on`, `1`, and what these begin with where it is no word of the other side.
pub(super) fn boolean(text: &str) -> Option<bool> {
    let text = text.trim().to_ascii_lowercase();
    let begins = |word: &str| !text.is_empty() && word.starts_with(&text);
    if text == "1" || text == "on" || begins("true") || begins("yes") {
        return Some(true);
    }
    let is_off = text.len() > 1 && "off".starts_with(&text);
    (text == "0" || is_off || begins("false") || begins("no")).then_some(false)
}

/// A float, also in words.
pub(super) fn float(text: &str) -> Option<f64> {
    let text = text.trim();
    match text.to_ascii_lowercase().as_str() {
        "infinity" | "inf" | "+infinity" | "+inf" => Some(f64::INFINITY),
        "-infinity" | "-inf" => Some(f64::NEG_INFINITY),
        "nan" => Some(f64::NAN),
        _ => {
            let is_number = text.bytes().all(|byte| {
                byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e' | b'E')
            });
            text.parse().ok().filter(|_| is_number)
        }
    }
}

/// A decimal with the digits that it is written with; one that has too many is a float.
pub(super) fn decimal(text: &str) -> Option<ScalarValue> {
    let text = text.trim();
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_plain = !(whole.is_empty() && fraction.is_empty())
        && whole
            .bytes()
            .chain(fraction.bytes())
            .all(|byte| byte.is_ascii_digit());
    if !is_plain {
        // With an exponent, or no number.
        return float(text)
            .filter(|value| value.is_finite())
            .map(|value| ScalarValue::Float64(Some(value)));
    }
    let whole = whole.trim_start_matches('0');
    let precision = (whole.len() + fraction.len()).max(1);
    let fits = precision <= usize::from(DECIMAL128_MAX_PRECISION);
    let sizes = u8::try_from(precision)
        .ok()
        .zip(i8::try_from(fraction.len()).ok());
    let Some((precision, scale)) = sizes.filter(|_| fits) else {
        return float(text).map(|value| ScalarValue::Float64(Some(value)));
    };
    let value = ScalarValue::Utf8View(Some(text.to_owned()));
    value.cast_to(&DataType::Decimal128(precision, scale)).ok()
}

/// Bytes: `\x` and hexadecimal digits, or text with `\\` and octal digits after a backslash.
pub(super) fn bytea(text: &str) -> Option<Vec<u8>> {
    if let Some(digits) = text.strip_prefix("\\x") {
        let mut bytes = Vec::with_capacity(digits.len() / 2);
        let mut digits = digits.chars().filter(|digit| !digit.is_ascii_whitespace());
        while let Some(first) = digits.next() {
            let (high, low) = (first.to_digit(16)?, digits.next()?.to_digit(16)?);
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        }
        return Some(bytes);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        match rest {
            [b'\\', after @ ..] => {
                bytes.push(b'\\');
                rest = after;
            }
            [
                a @ b'0'..=b'3',
                b @ b'0'..=b'7',
                c @ b'0'..=b'7',
                after @ ..,
            ] => {
                bytes.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
                rest = after;
            }
            _ => return None,
        }
    }
    Some(bytes)
}

/// An interval in the forms of PostgreSQL (manual, 8.5.4): `1 year 2 mons -3 days 04:05:06.7`, with commas and `ago`, and that of
/// ISO 8601, `P1Y2M-3DT4H5M6.7S`. Months, days and nanoseconds.
pub(super) fn interval(text: &str) -> Option<(i32, i32, i64)> {
    let text = text
        .trim()
        .trim_start_matches('@')
        .trim()
        .to_ascii_lowercase();
    if let Some(designators) = text.strip_prefix('p') {
        return iso_interval(designators);
    }
    let mut total = Span::default();
    let mut words = text
        .split([' ', ',', '\t'])
        .filter(|word| !word.is_empty())
        .peekable();
    words.peek()?;
    let mut ago = false;
    while let Some(word) = words.next() {
        if word == "ago" {
            ago = true;
            continue;
        }
        if word.contains(':') {
            total.add_clock(word)?;
            continue;
        }
        // `3 days`, and `3days`.
        let split = word.find(|letter: char| letter.is_ascii_alphabetic());
        let (number, unit) = match split {
            Some(at) => word.split_at(at),
            None => (
                word,
                words
                    .next_if(|next| !next.contains(':'))
                    .unwrap_or("second"),
            ),
        };
        total.add(number.parse().ok()?, unit)?;
    }
    let sign = if ago { -1 } else { 1 };
    Some((
        total.months * sign,
        total.days * sign,
        total.nanos.checked_mul(i64::from(sign))?,
    ))
}

fn iso_interval(text: &str) -> Option<(i32, i32, i64)> {
    let (dates, times) = text.split_once('t').unwrap_or((text, ""));
    let mut total = Span::default();
    let units = [
        (
            dates,
            [("y", "year"), ("m", "month"), ("w", "week"), ("d", "day")],
        ),
        (
            times,
            [("h", "hour"), ("m", "minute"), ("s", "second"), ("", "")],
        ),
    ];
    for (part, names) in units {
        let mut rest = part;
        while !rest.is_empty() {
            let at = rest.find(|letter: char| letter.is_ascii_alphabetic())?;
            let (number, after) = rest.split_at(at);
            let (letter, after) = after.split_at(1);
            let (_, unit) = names.iter().find(|(name, _)| *name == letter)?;
            total.add(number.parse().ok()?, unit)?;
            rest = after;
        }
    }
    Some((total.months, total.days, total.nanos))
}

/// A span of time, being added up.
#[derive(Default)]
struct Span {
    months: i32,
    days: i32,
    nanos: i64,
}

impl Span {
    /// Adds so many of a unit; parts of a month are days of 30, parts of a day are hours.
    fn add(&mut self, count: f64, unit: &str) -> Option<()> {
        let unit = match unit {
            "s" | "sec" | "m" | "min" | "h" | "hr" | "d" | "w" | "mon" | "y" | "yr" | "ms"
            | "us" | "century" => unit,
            longer => longer.strip_suffix('s').unwrap_or(longer),
        };
        let (months, days, seconds) = match unit {
            "millennium" | "millennia" => (12_000.0, 0.0, 0.0),
            "century" | "centurie" => (1200.0, 0.0, 0.0),
            "decade" => (120.0, 0.0, 0.0),
            "year" | "yr" | "y" => (12.0, 0.0, 0.0),
            "month" | "mon" => (1.0, 0.0, 0.0),
            "week" | "w" => (0.0, 7.0, 0.0),
            "day" | "d" => (0.0, 1.0, 0.0),
            "hour" | "hr" | "h" => (0.0, 0.0, 3600.0),
            "minute" | "min" | "m" => (0.0, 0.0, 60.0),
            "second" | "sec" | "s" => (0.0, 0.0, 1.0),
            "millisecond" | "msec" | "ms" => (0.0, 0.0, 1e-3),
            "microsecond" | "usec" | "us" => (0.0, 0.0, 1e-6),
            _ => return None,
        };
        let months = months * count;
        let days = days * count + months.fract() * 30.0;
        let seconds = seconds * count + days.fract() * 86_400.0;
        let fits = months.abs() < 2e9 && days.abs() < 2e9 && seconds.abs() < 9e9;
        if !fits || !count.is_finite() {
            return None;
        }
        self.months = self.months.checked_add(months.trunc() as i32)?;
        self.days = self.days.checked_add(days.trunc() as i32)?;
        // In whole microseconds, as PostgreSQL keeps them.
        let micros = (seconds * 1e6).round() as i64;
        self.nanos = self.nanos.checked_add(micros.checked_mul(1000)?)?;
        Some(())
    }

    /// Adds `[-]hours:minutes[:seconds]`.
    fn add_clock(&mut self, clock: &str) -> Option<()> {
        let (sign, clock) = match clock.strip_prefix('-') {
            Some(rest) => (-1.0, rest),
            None => (1.0, clock.strip_prefix('+').unwrap_or(clock)),
        };
        let mut parts = clock.split(':');
        for unit in ["hour", "minute", "second"] {
            let Some(part) = parts.next() else { break };
            if !part
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.')
            {
                return None;
            }
            self.add(sign * part.parse::<f64>().ok()?, unit)?;
        }
        parts.next().is_none().then_some(())
    }
}

/// The elements of an array of one dimension: `{a,"b, c",NULL}`.
pub(super) fn array(text: &str) -> Option<Vec<Option<String>>> {
    let text = text.trim();
    // Lower bounds: `[0:2]={…}`.
    let text = match text.strip_prefix('[') {
        Some(bounded) => bounded.split_once("]=")?.1,
        None => text,
    };
    let inner = text.strip_prefix('{')?.strip_suffix('}')?;
    let mut items = Vec::new();
    let mut rest = inner.trim_start();
    if rest.is_empty() {
        return Some(items);
    }
    loop {
        let mut item = String::new();
        let mut was_quoted = false;
        let mut chars = rest.char_indices();
        let mut end = None;
        let mut in_quotes = false;
        while let Some((at, letter)) = chars.next() {
            match letter {
                '\\' => item.push(chars.next()?.1),
                '"' => {
                    in_quotes = !in_quotes;
                    was_quoted = true;
                }
                ',' if !in_quotes => {
                    end = Some(at);
                    break;
                }
                '{' | '}' if !in_quotes => return None,
                _ => item.push(letter),
            }
        }
        if in_quotes {
            return None;
        }
        let item = if was_quoted {
            item
        } else {
            item.trim().to_owned()
        };
        if item.is_empty() && !was_quoted {
            return None;
        }
        let is_null = !was_quoted && item.eq_ignore_ascii_case("null");
        items.push((!is_null).then_some(item));
        match end {
            Some(at) => rest = rest.get(at + 1..)?.trim_start(),
            None => return Some(items),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn arrays_are_read() {
        let text = |items: &[Option<&str>]| -> Option<Vec<Option<String>>> {
            Some(items.iter().map(|item| item.map(str::to_owned)).collect())
        };
        assert_eq!(array("{}"), Some(vec![]));
        assert_eq!(array("{1, 2}"), text(&[Some("1"), Some("2")]));
        assert_eq!(
            array(r#"{"a, b",NULL,"NULL",x\,y,"q\"z"}"#),
            text(&[Some("a, b"), None, Some("NULL"), Some("x,y"), Some("q\"z")])
        );
        for wrong in ["", "{", "{1", "{1,}", "{{1},{2}}", "{\"a}"] {
            assert_eq!(array(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn intervals_are_read() {
        const HOUR: i64 = 3_600_000_000_000;
        for (text, expected) in [
            (
                "3 days, 4:00:05.500000",
                Some((0, 3, 4 * HOUR + 5_500_000_000)),
            ),
            ("1 year 2 mons -3 days +04:00:00", Some((14, -3, 4 * HOUR))),
            ("-1:30:00", Some((0, 0, -HOUR - HOUR / 2))),
            ("1 day 2 hours ago", Some((0, -1, -2 * HOUR))),
            ("P1Y2M-3DT4H", Some((14, -3, 4 * HOUR))),
            ("1.5 months", Some((1, 15, 0))),
            ("90", Some((0, 0, 90_000_000_000))),
            ("", None),
            ("3 parsecs", None),
            ("1:2:3:4", None),
        ] {
            assert_eq!(interval(text), expected, "{text}");
        }
    }

    #[test]
    fn booleans_and_bytes_are_read() {
        assert_eq!(boolean("T"), Some(true));
        assert_eq!(boolean("of"), Some(false));
        assert_eq!(boolean("o"), None);
        assert_eq!(boolean(""), None);
        assert_eq!(bytea("\\x00fF"), Some(vec![0, 255]));
        assert_eq!(bytea("a\\\\b\\001"), Some(b"a\\b\x01".to_vec()));
        assert_eq!(bytea("\\x0"), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,30}") {
            let _ = (interval(&text), array(&text), bytea(&text), decimal(&text), float(&text), boolean(&text));
        }
    }
}
