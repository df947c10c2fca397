//! Dates and times as PostgreSQL reads them where nothing says how they are written (manual, 8.5.1): ISO 8601, with a space or
//! without seconds, `Jan 5, 2024`, `5 January 2024`, `20240105`, `01/05/2024`, `3:04 PM`, a zone behind.

use arrow::array::timezone::Tz;
use chrono::{NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};
use datafusion::common::Result;
use weir_base::SqlState;

use super::clock;
use crate::error::Error;

/// What a text says.
pub(crate) struct Read {
    date: Option<NaiveDate>,
    time: Option<NaiveTime>,
    zone: Option<Tz>,
}

impl Read {
    /// The day.
    pub(crate) fn date(&self, text: &str) -> Result<NaiveDate> {
        self.date.ok_or_else(|| no_moment(text, "DATE").into())
    }

    /// The time of day.
    pub(crate) fn time(&self, text: &str) -> Result<NaiveTime> {
        self.time.ok_or_else(|| no_moment(text, "TIME").into())
    }

    /// The clock; a zone behind it is passed over, as PostgreSQL has it.
    pub(crate) fn clock(&self, text: &str) -> Result<NaiveDateTime> {
        Ok(self
            .date(text)?
            .and_time(self.time.unwrap_or(NaiveTime::MIN)))
    }

    /// The moment, by the zone behind the clock, or else by this one.
    pub(crate) fn micros(&self, text: &str, zone: Tz) -> Result<i64> {
        Ok(clock::moment(self.clock(text)?, self.zone.unwrap_or(zone)))
    }
}

fn no_moment(text: &str, data_type: &str) -> Error {
    let shown: String = text.chars().take(100).collect();
    Error::invalid(
        SqlState("22007"),
        format!("{shown:?} is no value of type {data_type}"),
    )
}

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

/// Reads a date, a time, or both.
///
/// # Errors
/// 22007 when the text is none, 22008 when there is no such day or time.
pub(crate) fn read(text: &str, data_type: &str) -> Result<Read> {
    let wrong = || no_moment(text, data_type);
    let out_of_range = || {
        let shown: String = text.chars().take(100).collect();
        Error::invalid(
            SqlState("22008"),
            format!("date/time field value out of range: {shown:?}"),
        )
    };
    let mut read = Read {
        date: None,
        time: None,
        zone: None,
    };
    let mut month = None;
    let mut numbers: Vec<&str> = Vec::new();
    let mut clock: Option<(i64, i64, i64)> = None;
    let mut afternoon = None;
    for word in words(text) {
        let lower = word.to_lowercase();
        if word.contains(':') {
            let (time, zone) = split_zone(word);
            clock = Some(clock_of(time).ok_or_else(wrong)?);
            if let Some(zone) = zone {
                read.zone = Some(clock::zone_of(zone).map_err(|_| wrong())?);
            }
        } else if let Some(date) = calendar(word) {
            let (year, month, day) = date;
            read.date = Some(NaiveDate::from_ymd_opt(year, month, day).ok_or_else(out_of_range)?);
        } else if word.bytes().all(|byte| byte.is_ascii_digit()) {
            match (word.len(), read.date) {
                (8, None) => {
                    let part = |range: std::ops::Range<usize>| {
                        word.get(range).and_then(|part| part.parse().ok())
                    };
                    let (year, month, day) = (part(0..4), part(4..6), part(6..8));
                    let date = year.zip(month).zip(day).and_then(
                        |((year, month), day): ((u32, u32), u32)| {
                            NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)
                        },
                    );
                    read.date = Some(date.ok_or_else(out_of_range)?);
                }
                (6, Some(_)) => {
                    let part = |range: std::ops::Range<usize>| {
                        word.get(range)
                            .and_then(|part| part.parse::<i64>().ok())
                            .unwrap_or(0)
                    };
                    clock = Some((part(0..2), part(2..4), part(4..6) * 1_000_000));
                }
                _ => numbers.push(word),
            }
        } else if let Some(at) = MONTHS.iter().position(|name| {
            lower.starts_with(name) && lower.bytes().all(|byte| byte.is_ascii_alphabetic())
        }) {
            month = Some(at as u32 + 1);
        } else if lower == "am" || lower == "pm" {
            afternoon = Some(lower == "pm");
        } else if ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
            .iter()
            .any(|day| lower.starts_with(day))
        {
            // The day of the week says nothing more.
        } else if clock.is_some() || read.date.is_some() {
            read.zone = Some(clock::zone_of(word).map_err(|_| wrong())?);
        } else {
            return Err(wrong().into());
        }
    }
    if let Some(month) = month {
        let (day, year) = match numbers.as_slice() {
            [first, second] if first.len() > 2 => (second, first),
            [first, second] => (first, second),
            _ => return Err(wrong().into()),
        };
        let (day, year) = (
            day.parse().map_err(|_| wrong())?,
            year.parse().map_err(|_| wrong())?,
        );
        read.date = Some(NaiveDate::from_ymd_opt(year, month, day).ok_or_else(out_of_range)?);
    } else if !numbers.is_empty() {
        return Err(wrong().into());
    }
    if let Some((mut hours, minutes, micros)) = clock {
        match afternoon {
            Some(_) if !(1..=12).contains(&hours) => return Err(out_of_range().into()),
            Some(true) if hours < 12 => hours += 12,
            Some(false) if hours == 12 => hours = 0,
            _ => {}
        }
        let next_day = hours == 24 && minutes == 0 && micros == 0;
        let is_time = (0..24).contains(&hours)
            && (0..60).contains(&minutes)
            && (0..=60_000_000).contains(&micros);
        if !is_time && !next_day {
            return Err(out_of_range().into());
        }
        let of_day = (hours * 3600 + minutes * 60) * 1_000_000 + micros;
        if let Some(date) = read.date.filter(|_| of_day >= 86_400_000_000) {
            read.date = Some(date.succ_opt().ok_or_else(out_of_range)?);
        }
        read.time = Some(NaiveTime::MIN + TimeDelta::microseconds(of_day % 86_400_000_000));
    }
    match read.date.is_some() || read.time.is_some() {
        true => Ok(read),
        false => Err(wrong().into()),
    }
}

/// The words of a text: separated by space, commas, and the `T` between date and time.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_whitespace() || c == ',')
        .flat_map(|word| {
            let at = word.find(['T', 't']).filter(|at| {
                let before = word.get(..*at).unwrap_or_default();
                let after = word.get(at + 1..).unwrap_or_default();
                before.ends_with(|c: char| c.is_ascii_digit())
                    && after.starts_with(|c: char| c.is_ascii_digit())
            });
            match at {
                Some(at) => [word.get(..at), word.get(at + 1..)],
                None => [Some(word), None],
            }
        })
        .flatten()
        .filter(|word| !word.is_empty())
}

/// A clock and the zone that stands right behind it.
fn split_zone(word: &str) -> (&str, Option<&str>) {
    let end = word
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, ':' | '.')))
        .unwrap_or(word.len());
    let (time, zone) = word.split_at(end);
    (time, (!zone.is_empty()).then_some(zone))
}

/// Hours, minutes, and microseconds of the minute.
fn clock_of(text: &str) -> Option<(i64, i64, i64)> {
    let mut parts = text.split(':');
    let (hours, minutes) = (parts.next()?, parts.next()?);
    let micros = match parts.next() {
        Some(seconds) => {
            let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
            if whole.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            let digits = format!("{fraction:0<7}");
            let micros: i64 = digits.get(..6)?.parse().ok()?;
            let round = i64::from(digits.as_bytes().get(6)? >= &b'5');
            whole.parse::<i64>().ok()? * 1_000_000 + micros + round
        }
        None => 0,
    };
    if parts.next().is_some() {
        return None;
    }
    Some((hours.parse().ok()?, minutes.parse().ok()?, micros))
}

/// `2024-01-05`, `2024/1/5`, `1/5/2024`, `05-Jan-2024`.
fn calendar(word: &str) -> Option<(i32, u32, u32)> {
    let separator = word.chars().find(|c| matches!(c, '-' | '/' | '.'))?;
    let parts: Vec<&str> = word.split(separator).collect();
    let [first, second, third] = parts.as_slice() else {
        return None;
    };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let month = |name: &str| {
        let name = name.to_lowercase();
        let at = MONTHS.iter().position(|month| name.starts_with(month))?;
        u32::try_from(at + 1).ok()
    };
    if is_number(first) && is_number(second) && is_number(third) {
        return match first.len() > 2 {
            true => Some((
                first.parse().ok()?,
                second.parse().ok()?,
                third.parse().ok()?,
            )),
            // Month, day, year: PostgreSQL's default of DateStyle.
            false => Some((year(third)?, first.parse().ok()?, second.parse().ok()?)),
        };
    }
    match (is_number(first), is_number(second), is_number(third)) {
        (true, false, true) if first.len() > 2 => {
            Some((first.parse().ok()?, month(second)?, third.parse().ok()?))
        }
        (true, false, true) => Some((year(third)?, month(second)?, first.parse().ok()?)),
        (false, true, true) => Some((year(third)?, month(first)?, second.parse().ok()?)),
        _ => None,
    }
}

/// A year, of which two digits are those from 1970 to 2069.
fn year(text: &str) -> Option<i32> {
    let year: i32 = text.parse().ok()?;
    Some(match text.len() {
        1 | 2 if year < 70 => 2000 + year,
        1 | 2 => 1900 + year,
        _ => year,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_in_all_their_forms() {
        for text in [
            "2024-01-05",
            "Jan 5, 2024",
            "January 5 2024",
            "5 Jan 2024",
            "20240105",
            "1/5/2024",
            "05-Jan-2024",
            "2024/1/5",
            "Fri Jan 5 2024",
            "2024-Jan-05",
            " 2024-01-05 ",
        ] {
            let read = read(text, "DATE").unwrap();
            assert_eq!(read.date(text).unwrap().to_string(), "2024-01-05", "{text}");
        }
        for text in ["", "abc", "2024-01", "10:00:00:00", "Jan 2024", "1 2 3"] {
            assert!(
                read(text, "DATE").and_then(|read| read.date(text)).is_err(),
                "{text}"
            );
        }
        for text in ["2024-02-30", "2024-13-01", "2024-01-01 25:00"] {
            assert!(read(text, "DATE").is_err(), "{text}");
        }
    }

    #[test]
    fn clocks_and_zones_are_read() {
        let zone = clock::utc().unwrap();
        for (text, expected) in [
            ("2024-01-05 10:20", "2024-01-05 10:20:00"),
            ("2024-01-05T10:20:30Z", "2024-01-05 10:20:30"),
            ("2024-01-05 10:20+02", "2024-01-05 08:20:00"),
            ("2024-01-05 10:20:00 Europe/Berlin", "2024-01-05 09:20:00"),
            ("2024-01-05 3:04 PM", "2024-01-05 15:04:00"),
            ("2024-01-05 24:00", "2024-01-06 00:00:00"),
            ("20240105T102030", "2024-01-05 10:20:30"),
        ] {
            let micros = read(text, "TIMESTAMP").unwrap().micros(text, zone).unwrap();
            assert_eq!(
                clock::naive(micros).unwrap().to_string(),
                expected,
                "{text}"
            );
        }
    }
}
