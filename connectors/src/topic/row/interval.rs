//! PostgreSQL's text of an interval: `1 year 2 mons -3 days +04:05:06.789`, as answers show it.

/// Months, days and nanoseconds of a text in exactly that form. The words may stand in any order, each at most once; the
/// clock comes last.
pub(super) fn parse(text: &str) -> Option<(i32, i32, i64)> {
    let mut words = text.split_ascii_whitespace();
    let (mut years, mut months, mut days) = (None, None, None);
    let mut nanos = None;
    while let Some(word) = words.next() {
        if nanos.is_some() {
            return None;
        }
        if word.contains(':') {
            nanos = Some(clock(word)?);
            continue;
        }
        let number: i64 = signed(word)?;
        let field = match words.next()? {
            "year" | "years" => &mut years,
            "mon" | "mons" => &mut months,
            "day" | "days" => &mut days,
            _ => return None,
        };
        if field.replace(number).is_some() {
            return None;
        }
    }
    if years.is_none() && months.is_none() && days.is_none() && nanos.is_none() {
        return None;
    }
    let months = years
        .unwrap_or(0)
        .checked_mul(12)?
        .checked_add(months.unwrap_or(0))?;
    Some((
        months.try_into().ok()?,
        days.unwrap_or(0).try_into().ok()?,
        nanos.unwrap_or(0),
    ))
}

fn signed(word: &str) -> Option<i64> {
    let digits = word.strip_prefix(['+', '-']).unwrap_or(word);
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| word.parse().ok())?
}

/// Nanoseconds of `[+-]HH:MM:SS[.fraction]`; there may be any number of hours.
fn clock(word: &str) -> Option<i64> {
    let negative = word.starts_with('-');
    let unsigned = word.strip_prefix(['+', '-']).unwrap_or(word);
    let mut parts = unsigned.split(':');
    let (hours, minutes, seconds) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let number = |text: &str| -> Option<i128> {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse().ok())?
    };
    let (hours, minutes, whole) = (number(hours)?, number(minutes)?, number(seconds)?);
    if minutes > 59 || whole > 59 || fraction.len() > 9 || hours > i128::from(i64::MAX) {
        return None;
    }
    let fraction = number(&format!("{fraction:0<9}"))?;
    let nanos = (hours * 3_600 + minutes * 60 + whole) * 1_000_000_000 + fraction;
    i64::try_from(if negative { -nanos } else { nanos }).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_answers_show_is_read() {
        const SECOND: i64 = 1_000_000_000;
        for (text, value) in [
            ("00:00:00", (0, 0, 0)),
            (
                "1 year 2 mons 3 days 04:05:06.789",
                (14, 3, 14_706 * SECOND + 789_000_000),
            ),
            ("-1 mons +1 day 00:00:01", (-1, 1, SECOND)),
            ("-1 days +02:00:00", (0, -1, 7_200 * SECOND)),
            ("-00:00:00.000000001", (0, 0, -1)),
            ("100:00:00", (0, 0, 360_000 * SECOND)),
            ("-178956970 years -8 mons", (i32::MIN, 0, 0)),
            ("-2562047:47:16.854775808", (0, 0, i64::MIN)),
        ] {
            assert_eq!(parse(text), Some(value), "{text}");
        }
        for other in [
            "",
            "1 fortnight",
            "1 day 2 days",
            "01:00",
            "01:60:00",
            "1 day 01:00:00 1 day",
            "99999999999 days",
            "9999999999999999999:00:00",
            "+ days",
            "--1 days",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[-+0-9:. yeardmons]{0,24}") {
            let _ = parse(&text);
        }
    }
}
