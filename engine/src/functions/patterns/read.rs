//! Texts read by a pattern of dates and times.

use chrono::{Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};
use datafusion::common::Result;
use weir_base::SqlState;

use super::moment::{DAYS, Field, MONTHS, Part};
use crate::error::Error;

/// What a text says.
pub(super) struct Read {
    pub(super) clock: NaiveDateTime,
    /// How far it is ahead of UTC, where the text says so.
    pub(super) ahead_seconds: Option<i32>,
}

#[derive(Default)]
struct Fields {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    week: Option<i64>,
    julian: Option<i64>,
    hour: Option<i64>,
    is_half_day: bool,
    afternoon: Option<bool>,
    minute: Option<i64>,
    second: Option<i64>,
    of_day: Option<i64>,
    micros: Option<i64>,
    zone_hours: Option<i64>,
    zone_minutes: Option<i64>,
}

/// Reads `text` by `pattern`.
///
/// # Errors
/// 22007 when the text is not what the pattern says, 22008 when there is no such date.
pub(super) fn read(text: &str, pattern: &[Part]) -> Result<Read> {
    let mut fields = Fields::default();
    let mut rest = text.trim_start();
    for (at, part) in pattern.iter().enumerate() {
        if rest.is_empty() {
            break;
        }
        match part {
            Part::Text(separator) => {
                for expected in separator.chars() {
                    let mut characters = rest.chars();
                    match characters.next() {
                        // Any separator stands for any other (manual, 9.8), and space for nothing.
                        Some(found)
                            if found == expected
                                || (!found.is_alphanumeric() && !expected.is_alphanumeric()) =>
                        {
                            rest = characters.as_str();
                        }
                        Some(_) if expected.is_alphanumeric() => rest = characters.as_str(),
                        _ => {}
                    }
                }
            }
            Part::Field(field) => {
                rest = rest.trim_start();
                let is_tight = matches!(pattern.get(at + 1), Some(Part::Field(_)));
                rest = field_of(field, rest, is_tight, &mut fields)
                    .ok_or_else(|| wrong(text, field))?;
            }
        }
    }
    let clock = fields.clock().ok_or_else(|| {
        Error::invalid(
            SqlState("22008"),
            format!("date/time field value out of range: {text:?}"),
        )
    })?;
    let ahead_seconds = fields.zone_hours.map(|hours| {
        let minutes = fields.zone_minutes.unwrap_or(0);
        let seconds = hours * 3600 + if hours < 0 { -minutes } else { minutes } * 60;
        i32::try_from(seconds).unwrap_or(0)
    });
    Ok(Read {
        clock,
        ahead_seconds,
    })
}

fn wrong(text: &str, field: &Field) -> Error {
    Error::invalid(
        SqlState("22007"),
        format!("{text:?} has no value for {:?}", field.name),
    )
}

/// A number of at most so many digits, and what follows it.
fn number(text: &str, digits: usize) -> Option<(i64, &str)> {
    let signed = text.strip_prefix(['+', '-']).unwrap_or(text);
    let sign = text.len() - signed.len();
    let length = signed
        .bytes()
        .take(digits)
        .take_while(u8::is_ascii_digit)
        .count();
    let value = text.get(..sign + length)?.parse().ok()?;
    Some((value, text.get(sign + length..)?))
}

/// A name, of which `length` letters are enough where it is given.
fn named<'t>(text: &'t str, names: &[&str], length: Option<usize>) -> Option<(i64, &'t str)> {
    names.iter().enumerate().find_map(|(at, name)| {
        let name = match length {
            Some(length) => name.get(..length)?,
            None => name,
        };
        let start = text.get(..name.len())?;
        start
            .eq_ignore_ascii_case(name)
            .then(|| Some((i64::try_from(at).ok()?, text.get(name.len()..)?)))
            .flatten()
    })
}

/// Reads one field, and gives what follows it.
fn field_of<'t>(
    field: &Field,
    text: &'t str,
    is_tight: bool,
    fields: &mut Fields,
) -> Option<&'t str> {
    let width = |digits: usize| if is_tight { digits } else { digits.max(2) };
    let take = |digits: usize| number(text, width(digits));
    let (value, mut rest) = match field.name {
        "YYYY" | "IYYY" => number(text, if is_tight { 4 } else { 9 })?,
        "Y,YYY" => {
            let (thousands, after) = number(text, 3)?;
            let (units, after) = number(after.strip_prefix(',')?, 3)?;
            (thousands * 1000 + units, after)
        }
        "YYY" | "IYY" => number(text, 3)?,
        "YY" | "IY" => number(text, if is_tight { 2 } else { 4 })?,
        "Y" | "I" | "D" | "ID" | "W" | "Q" => number(text, 1)?,
        "DDD" | "IDDD" => number(text, 3)?,
        "J" => number(text, 9)?,
        "SSSS" | "SSSSS" => number(text, 5)?,
        "MS" | "FF3" => fraction(text, 3)?,
        "US" | "FF6" => fraction(text, 6)?,
        "FF1" => fraction(text, 1)?,
        "FF2" => fraction(text, 2)?,
        "FF4" => fraction(text, 4)?,
        "FF5" => fraction(text, 5)?,
        "MONTH" | "Month" | "month" => {
            named(text, &MONTHS, None).or_else(|| named(text, &MONTHS, Some(3)))?
        }
        "MON" | "Mon" | "mon" => named(text, &MONTHS, Some(3))?,
        "DAY" | "Day" | "day" => {
            named(text, &DAYS, None).or_else(|| named(text, &DAYS, Some(3)))?
        }
        "DY" | "Dy" | "dy" => named(text, &DAYS, Some(3))?,
        "AM" | "PM" | "am" | "pm" => named(text, &["AM", "PM"], None)?,
        "A.M." | "P.M." | "a.m." | "p.m." => named(text, &["A.M.", "P.M."], None)?,
        "TZH" | "OF" | "TZ" | "tz" => number(text, 2)?,
        _ => take(2)?,
    };
    match field.name {
        "YYYY" | "IYYY" | "Y,YYY" => fields.year = Some(value),
        // Years are those near 2020 (manual, 9.8).
        "YYY" | "IYY" if value < 1000 => {
            fields.year = Some(if value < 520 {
                2000 + value
            } else {
                1000 + value
            });
        }
        "YY" | "IY" if value < 100 => {
            fields.year = Some(if value < 70 {
                2000 + value
            } else {
                1900 + value
            });
        }
        "YYY" | "IYY" | "YY" | "IY" => fields.year = Some(value),
        "Y" | "I" => fields.year = Some(2020 + value),
        "MM" => fields.month = Some(value),
        "MONTH" | "Month" | "month" | "MON" | "Mon" | "mon" => fields.month = Some(value + 1),
        "DD" => fields.day = Some(value),
        "DDD" => fields.day_of_year = Some(value),
        "WW" => fields.week = Some(value),
        "J" => fields.julian = Some(value),
        "HH24" => fields.hour = Some(value),
        "HH12" | "HH" => {
            fields.hour = Some(value);
            fields.is_half_day = true;
        }
        "AM" | "PM" | "am" | "pm" | "A.M." | "P.M." | "a.m." | "p.m." => {
            fields.afternoon = Some(value == 1);
        }
        "MI" => fields.minute = Some(value),
        "SS" => fields.second = Some(value),
        "SSSS" | "SSSSS" => fields.of_day = Some(value),
        "MS" | "US" | "FF1" | "FF2" | "FF3" | "FF4" | "FF5" | "FF6" => fields.micros = Some(value),
        "OF" | "TZ" | "tz" => {
            fields.zone_hours = Some(value);
            if let Some((minutes, after)) = rest.strip_prefix(':').and_then(|rest| number(rest, 2))
            {
                fields.zone_minutes = Some(minutes);
                rest = after;
            }
        }
        "TZH" => fields.zone_hours = Some(value),
        "TZM" => fields.zone_minutes = Some(value),
        _ => {}
    }
    match field.ordinal {
        Some(_) => rest.get(2..).or(Some(rest)),
        None => Some(rest),
    }
}

/// Digits behind the point, in millionths.
fn fraction(text: &str, digits: usize) -> Option<(i64, &str)> {
    let (value, rest) = number(text, digits)?;
    let length = text.len() - rest.len();
    let zeros = u32::try_from(6_usize.checked_sub(length)?).ok()?;
    Some((value * 10_i64.pow(zeros), rest))
}

impl Fields {
    fn clock(&self) -> Option<NaiveDateTime> {
        let date = match (self.julian, self.day_of_year, self.week) {
            (Some(julian), ..) => {
                NaiveDate::from_num_days_from_ce_opt(i32::try_from(julian - 1_721_425).ok()?)?
            }
            (_, Some(day), _) => {
                NaiveDate::from_yo_opt(i32::try_from(self.year?).ok()?, u32::try_from(day).ok()?)?
            }
            (_, _, Some(week)) => {
                let first = NaiveDate::from_yo_opt(i32::try_from(self.year?).ok()?, 1)?;
                first.checked_add_days(Days::new(u64::try_from((week - 1) * 7).ok()?))?
            }
            _ => {
                // PostgreSQL's year 0 is 1 BC.
                let year = i32::try_from(self.year.unwrap_or(1)).ok()?;
                let month = u32::try_from(self.month.unwrap_or(1)).ok()?;
                NaiveDate::from_ymd_opt(year, month, u32::try_from(self.day.unwrap_or(1)).ok()?)?
            }
        };
        let hour = match (self.hour.unwrap_or(0), self.afternoon) {
            (hour, _) if self.is_half_day && !(1..=12).contains(&hour) => return None,
            (12, Some(false)) => 0,
            (12, None) if self.is_half_day => 0,
            (12, Some(true)) => 12,
            (hour, Some(true)) => hour + 12,
            (hour, _) => hour,
        };
        let time = match self.of_day {
            Some(seconds) => {
                NaiveTime::from_num_seconds_from_midnight_opt(u32::try_from(seconds).ok()?, 0)?
            }
            None => {
                let part = |part: Option<i64>| u32::try_from(part.unwrap_or(0)).ok();
                NaiveTime::from_hms_opt(
                    u32::try_from(hour).ok()?,
                    part(self.minute)?,
                    part(self.second)?,
                )?
            }
        };
        let clock = date.and_time(time);
        clock.checked_add_signed(TimeDelta::microseconds(self.micros.unwrap_or(0)))
    }
}
