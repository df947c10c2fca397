//! Dates, times, timestamps and intervals as text: ISO 8601, and PostgreSQL's form for intervals.

const DAY_SECONDS: i64 = 86_400;

/// `2024-02-29`; years beyond four digits carry a sign, as ISO 8601 has it.
pub(super) fn date(days: i64, out: &mut Vec<u8>) {
    let (year, month, day) = civil(days);
    if (0..=9999).contains(&year) {
        padded(year.unsigned_abs(), 4, out);
    } else {
        out.push(if year < 0 { b'-' } else { b'+' });
        padded(year.unsigned_abs(), 4, out);
    }
    out.push(b'-');
    padded(month, 2, out);
    out.push(b'-');
    padded(day, 2, out);
}

/// `23:59:59.123`, with 0, 3, 6 or 9 digits after the point.
pub(super) fn time(seconds: i64, nanos: u32, out: &mut Vec<u8>) {
    let seconds = seconds.rem_euclid(DAY_SECONDS).unsigned_abs();
    padded(seconds / 3600, 2, out);
    out.push(b':');
    padded(seconds / 60 % 60, 2, out);
    out.push(b':');
    padded(seconds % 60, 2, out);
    match nanos {
        0 => {}
        nanos if nanos % 1_000_000 == 0 => fraction(u64::from(nanos / 1_000_000), 3, out),
        nanos if nanos % 1000 == 0 => fraction(u64::from(nanos / 1000), 6, out),
        nanos => fraction(u64::from(nanos), 9, out),
    }
}

/// `2024-02-29T23:59:59.123`.
pub(super) fn timestamp(seconds: i64, nanos: u32, out: &mut Vec<u8>) {
    date(seconds.div_euclid(DAY_SECONDS), out);
    out.push(b'T');
    time(seconds, nanos, out);
}

/// `+02:00`, or `Z` for none.
pub(super) fn zone_offset(seconds: i32, out: &mut Vec<u8>) {
    if seconds == 0 {
        out.push(b'Z');
        return;
    }
    out.push(if seconds < 0 { b'-' } else { b'+' });
    let absolute = u64::from(seconds.unsigned_abs());
    padded(absolute / 3600, 2, out);
    out.push(b':');
    padded(absolute / 60 % 60, 2, out);
    if absolute % 60 != 0 {
        out.push(b':');
        padded(absolute % 60, 2, out);
    }
}

/// PostgreSQL's form: `1 year 2 mons -3 days +04:05:06.789`.
pub(crate) fn interval(months: i64, days: i64, nanos: i128, out: &mut Vec<u8>) {
    let start = out.len();
    let mut after_negative = false;
    for (value, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if value == 0 {
            continue;
        }
        if out.len() > start {
            out.push(b' ');
        }
        if after_negative && value > 0 {
            out.push(b'+');
        }
        let plural = if value == 1 { "" } else { "s" };
        out.extend_from_slice(format!("{value} {unit}{plural}").as_bytes());
        after_negative = value < 0;
    }
    if nanos == 0 && out.len() > start {
        return;
    }
    if out.len() > start {
        out.push(b' ');
    }
    if nanos < 0 {
        out.push(b'-');
    } else if after_negative {
        out.push(b'+');
    }
    let nanos = nanos.unsigned_abs();
    let seconds = nanos / 1_000_000_000;
    out.extend_from_slice(
        format!(
            "{:02}:{:02}:{:02}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        )
        .as_bytes(),
    );
    let rest = nanos % 1_000_000_000;
    if rest != 0 {
        let digits = format!("{rest:09}");
        out.push(b'.');
        out.extend_from_slice(digits.trim_end_matches('0').as_bytes());
    }
}

fn fraction(value: u64, width: usize, out: &mut Vec<u8>) {
    out.push(b'.');
    padded(value, width, out);
}

/// Digits, at least so many.
pub(crate) fn padded(value: u64, width: usize, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    let mut rest = value;
    while rest > 0 || digits.len() - at < width {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&digits[at..]);
}

/// Year, month and day of a day number since 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date algorithms").
pub(crate) fn civil(days: i64) -> (i64, u64, u64) {
    let shifted = days.saturating_add(719_468);
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 {
        month_index + 3
    } else {
        month_index - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month.unsigned_abs(), day.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Datelike};

    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn dates_agree_with_chrono_for_three_thousand_years() {
        for days in (-600_000_i64..600_000).step_by(97) {
            let expected = DateTime::from_timestamp(days * DAY_SECONDS, 0).unwrap();
            let (year, month, day) = civil(days);
            assert_eq!(
                (year, month, day),
                (
                    i64::from(expected.year()),
                    u64::from(expected.month()),
                    u64::from(expected.day())
                )
            );
        }
        assert_eq!(
            text(|out| date(i64::MAX, out)).len(),
            "+25252734927766554-07-27".len()
        );
        assert_eq!(text(|out| date(-719_529, out)), "-0001-12-31");
        assert_eq!(text(|out| date(2_932_897, out)), "+10000-01-01");
    }

    #[test]
    fn timestamps_before_the_epoch_and_their_fractions() {
        assert_eq!(
            text(|out| timestamp(-1, 500_000_000, out)),
            "1969-12-31T23:59:59.500"
        );
        assert_eq!(
            text(|out| timestamp(0, 1, out)),
            "1970-01-01T00:00:00.000000001"
        );
        assert_eq!(
            text(|out| timestamp(0, 12_000, out)),
            "1970-01-01T00:00:00.000012"
        );
        assert_eq!(text(|out| zone_offset(-12_600, out)), "-03:30");
    }

    #[test]
    fn intervals_read_as_in_postgresql() {
        let shown = |months, days, nanos| text(|out| interval(months, days, nanos, out));
        assert_eq!(shown(0, 0, 0), "00:00:00");
        assert_eq!(
            shown(14, 3, 14_706_789_000_000),
            "1 year 2 mons 3 days 04:05:06.789"
        );
        assert_eq!(shown(-1, 1, 1_000_000_000), "-1 mons +1 day 00:00:01");
        assert_eq!(shown(0, -1, 7_200_000_000_000), "-1 days +02:00:00");
        assert_eq!(shown(0, 0, -1), "-00:00:00.000000001");
        assert_eq!(shown(24, 0, 0), "2 years");
        assert_eq!(shown(0, 0, 360_000_000_000_000), "100:00:00");
    }
}
