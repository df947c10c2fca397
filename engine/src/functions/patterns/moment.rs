//! Dates and times in a pattern: `YYYY-MM-DD HH24:MI:SS`.

use std::fmt::Write;

use arrow::datatypes::IntervalMonthDayNano;
use chrono::{Datelike, NaiveDateTime, Timelike};
use datafusion::common::Result;

/// The names of months.
pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The names of days, from Sunday on.
pub(super) const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// A part of a pattern.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Part {
    Text(String),
    Field(Field),
}

/// A field, and what is said of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Field {
    pub(super) name: &'static str,
    /// Without padding.
    pub(super) fill: bool,
    /// `th` or `TH`.
    pub(super) ordinal: Option<bool>,
}

/// All fields; where one is the start of another, the longer comes first.
const FIELDS: [&str; 55] = [
    "HH24", "HH12", "HH", "MI", "SSSSS", "SSSS", "SS", "MS", "US", "FF1", "FF2", "FF3", "FF4",
    "FF5", "FF6", "Y,YYY", "YYYY", "YYY", "YY", "IYYY", "IYY", "IY", "IDDD", "ID", "IW", "MONTH",
    "Month", "month", "MON", "Mon", "mon", "MM", "DAY", "Day", "day", "DY", "Dy", "dy", "DDD",
    "DD", "WW", "CC", "A.M.", "P.M.", "AM", "PM", "a.m.", "p.m.", "am", "pm", "TZH", "TZM", "TZ",
    "tz", "OF",
];
const LETTERS: [&str; 7] = ["Y", "I", "D", "W", "J", "Q", "RM"];

/// Names that are known in any case, as numbers are the same in all.
fn field_at(rest: &str) -> Option<&'static str> {
    let exact = FIELDS.iter().find(|name| rest.starts_with(**name));
    let any_case = || {
        let is_numeric = |name: &&&str| {
            !name.starts_with("MON")
                && !name.starts_with("Mon")
                && !matches!(**name, "DAY" | "Day" | "DY" | "Dy")
        };
        FIELDS
            .iter()
            .chain(&LETTERS)
            .filter(is_numeric)
            .find(|name| {
                rest.get(..name.len())
                    .is_some_and(|start| start.eq_ignore_ascii_case(name))
            })
    };
    exact.or_else(any_case).copied()
}

/// Takes a pattern apart.
pub(super) fn parse(pattern: &str) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    let mut rest = pattern;
    let mut text = String::new();
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut characters = quoted.char_indices();
            let mut end = quoted.len();
            while let Some((at, character)) = characters.next() {
                match character {
                    '"' => {
                        end = at;
                        break;
                    }
                    '\\' => text.extend(characters.next().map(|(_, character)| character)),
                    other => text.push(other),
                }
            }
            rest = quoted.get(end + 1..).unwrap_or_default();
            continue;
        }
        let (fill, after_prefix) = match rest.get(..2) {
            Some(prefix) if prefix.eq_ignore_ascii_case("FM") => {
                (true, rest.get(2..).unwrap_or_default())
            }
            Some(prefix) if prefix.eq_ignore_ascii_case("FX") => {
                rest = rest.get(2..).unwrap_or_default();
                continue;
            }
            _ => (false, rest),
        };
        let Some(name) = field_at(after_prefix) else {
            if fill {
                rest = after_prefix;
                continue;
            }
            let mut characters = rest.chars();
            text.extend(characters.next());
            rest = characters.as_str();
            continue;
        };
        if !text.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut text)));
        }
        rest = after_prefix.get(name.len()..).unwrap_or_default();
        let ordinal = match rest.get(..2) {
            Some("TH") => Some(true),
            Some("th") => Some(false),
            _ => None,
        };
        if ordinal.is_some() {
            rest = rest.get(2..).unwrap_or_default();
        }
        parts.push(Part::Field(Field {
            name,
            fill,
            ordinal,
        }));
    }
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    Ok(parts)
}

/// What is shown.
pub(super) struct Shown {
    pub(super) clock: NaiveDateTime,
    /// How far the clock is ahead of UTC, if that is known.
    pub(super) ahead_seconds: Option<i32>,
}

/// A moment in a pattern.
pub(super) fn show(pattern: &[Part], shown: &Shown) -> String {
    let mut out = String::new();
    for part in pattern {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Field(field) => {
                let text = field_text(field, shown);
                out.push_str(&text);
                if let Some(upper) = field.ordinal {
                    out.push_str(ordinal(&text, upper));
                }
            }
        }
    }
    out
}

fn ordinal(number: &str, upper: bool) -> &'static str {
    let digits: Vec<u8> = number.bytes().filter(u8::is_ascii_digit).collect();
    let is_teen = digits.len() > 1 && digits.get(digits.len() - 2) == Some(&b'1');
    match (digits.last(), is_teen, upper) {
        (Some(b'1'), false, false) => "st",
        (Some(b'1'), false, true) => "ST",
        (Some(b'2'), false, false) => "nd",
        (Some(b'2'), false, true) => "ND",
        (Some(b'3'), false, false) => "rd",
        (Some(b'3'), false, true) => "RD",
        (_, _, false) => "th",
        (_, _, true) => "TH",
    }
}

fn padded(number: i64, width: usize, field: &Field) -> String {
    match field.fill {
        true => number.to_string(),
        false => format!("{number:0width$}"),
    }
}

fn name(name: &str, field: &Field, width: usize) -> String {
    let first = field.name.as_bytes();
    let upper = |at: usize| first.get(at).is_some_and(u8::is_ascii_uppercase);
    let text = match (upper(0), upper(1)) {
        (true, true) => name.to_uppercase(),
        (true, false) => name.to_owned(),
        _ => name.to_lowercase(),
    };
    match field.fill {
        true => text,
        false => format!("{text:width$}"),
    }
}

fn field_text(field: &Field, shown: &Shown) -> String {
    let clock = &shown.clock;
    let year = i64::from(clock.year());
    let iso = clock.iso_week();
    let nanos = clock.nanosecond() % 1_000_000_000;
    let hour12 = match clock.hour() % 12 {
        0 => 12,
        hour => hour,
    };
    let fraction = |digits: usize| {
        let text = format!("{nanos:09}");
        text.get(..digits).unwrap_or_default().to_owned()
    };
    let meridian = |am: &str, pm: &str| if clock.hour() < 12 { am } else { pm }.to_owned();
    match field.name {
        "HH24" => padded(clock.hour().into(), 2, field),
        "HH12" | "HH" => padded(hour12.into(), 2, field),
        "MI" => padded(clock.minute().into(), 2, field),
        "SSSS" | "SSSSS" => padded(clock.num_seconds_from_midnight().into(), 1, field),
        "SS" => padded(clock.second().into(), 2, field),
        "MS" | "FF3" => fraction(3),
        "US" | "FF6" => fraction(6),
        "FF1" => fraction(1),
        "FF2" => fraction(2),
        "FF4" => fraction(4),
        "FF5" => fraction(5),
        "Y,YYY" => format!("{},{:03}", year / 1000, year % 1000),
        "YYYY" => padded(year, 4, field),
        "YYY" => padded(year % 1000, 3, field),
        "YY" => padded(year % 100, 2, field),
        "Y" => padded(year % 10, 1, field),
        "IYYY" => padded(iso.year().into(), 4, field),
        "IYY" => padded(i64::from(iso.year()) % 1000, 3, field),
        "IY" => padded(i64::from(iso.year()) % 100, 2, field),
        "I" => padded(i64::from(iso.year()) % 10, 1, field),
        "IW" => padded(iso.week().into(), 2, field),
        "IDDD" => {
            let day = i64::from(iso.week0()) * 7 + i64::from(clock.weekday().number_from_monday());
            padded(day, 3, field)
        }
        "ID" => clock.weekday().number_from_monday().to_string(),
        "MONTH" | "Month" | "month" => name(month(clock), field, 9),
        "MON" | "Mon" | "mon" => name(month(clock).get(..3).unwrap_or_default(), field, 3),
        "MM" => padded(clock.month().into(), 2, field),
        "DAY" | "Day" | "day" => name(day(clock), field, 9),
        "DY" | "Dy" | "dy" => name(day(clock).get(..3).unwrap_or_default(), field, 3),
        "DDD" => padded(clock.ordinal().into(), 3, field),
        "DD" => padded(clock.day().into(), 2, field),
        "D" => clock.weekday().number_from_sunday().to_string(),
        "WW" => padded(i64::from(clock.ordinal0() / 7 + 1), 2, field),
        "W" => (clock.day0() / 7 + 1).to_string(),
        "CC" => padded((year + 99).div_euclid(100), 2, field),
        "J" => (i64::from(clock.num_days_from_ce()) + 1_721_425).to_string(),
        "Q" => (clock.month0() / 3 + 1).to_string(),
        "RM" => roman_month(clock.month(), field),
        "AM" | "PM" => meridian("AM", "PM"),
        "am" | "pm" => meridian("am", "pm"),
        "A.M." | "P.M." => meridian("A.M.", "P.M."),
        "a.m." | "p.m." => meridian("a.m.", "p.m."),
        "TZ" | "tz" => match shown.ahead_seconds {
            Some(0) => if field.name == "TZ" { "UTC" } else { "utc" }.to_owned(),
            Some(ahead) => offset(ahead),
            None => String::new(),
        },
        "OF" => offset(shown.ahead_seconds.unwrap_or(0)),
        "TZH" => format!("{:+03}", shown.ahead_seconds.unwrap_or(0) / 3600),
        "TZM" => format!("{:02}", shown.ahead_seconds.unwrap_or(0).abs() / 60 % 60),
        other => other.to_owned(),
    }
}

fn roman_month(month: u32, field: &Field) -> String {
    const ROMAN: [&str; 12] = [
        "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII",
    ];
    let text = ROMAN.get(month as usize - 1).copied().unwrap_or_default();
    match field.fill {
        true => text.to_owned(),
        false => format!("{text:4}"),
    }
}

fn month(clock: &NaiveDateTime) -> &'static str {
    MONTHS
        .get(clock.month0() as usize)
        .copied()
        .unwrap_or_default()
}

fn day(clock: &NaiveDateTime) -> &'static str {
    let day = clock.weekday().num_days_from_sunday() as usize;
    DAYS.get(day).copied().unwrap_or_default()
}

fn offset(ahead: i32) -> String {
    let sign = if ahead < 0 { '-' } else { '+' };
    let (hours, minutes) = (ahead.abs() / 3600, ahead.abs() / 60 % 60);
    match minutes {
        0 => format!("{sign}{hours:02}"),
        minutes => format!("{sign}{hours:02}:{minutes:02}"),
    }
}

/// An interval in a pattern.
pub(super) fn show_interval(pattern: &[Part], value: IntervalMonthDayNano) -> String {
    let mut out = String::new();
    let micros = value.nanoseconds / 1000;
    let seconds = micros / 1_000_000;
    for part in pattern {
        let field = match part {
            Part::Text(text) => {
                out.push_str(text);
                continue;
            }
            Part::Field(field) => field,
        };
        let hours = seconds / 3600;
        let _ = match field.name {
            "HH24" => write!(out, "{}", padded(hours, 2, field)),
            "HH12" | "HH" => {
                let hour = match hours % 12 {
                    0 => 12,
                    hour => hour,
                };
                write!(out, "{}", padded(hour, 2, field))
            }
            "MI" => write!(out, "{}", padded(seconds / 60 % 60, 2, field)),
            "SS" => write!(out, "{}", padded(seconds % 60, 2, field)),
            "MS" => write!(out, "{:03}", micros % 1_000_000 / 1000),
            "US" => write!(out, "{:06}", micros % 1_000_000),
            "SSSS" | "SSSSS" => write!(out, "{seconds}"),
            "YYYY" => write!(out, "{}", padded((value.months / 12).into(), 4, field)),
            "YY" => write!(out, "{}", padded((value.months / 12).into(), 2, field)),
            "MM" => write!(out, "{}", padded((value.months % 12).into(), 2, field)),
            "DD" => write!(out, "{}", padded(value.days.into(), 2, field)),
            "DDD" => write!(
                out,
                "{}",
                padded((value.months * 30 + value.days).into(), 3, field)
            ),
            other => write!(out, "{other}"),
        };
    }
    out
}
