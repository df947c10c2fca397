//! Values as the JSON text of rows: dates and times in ISO 8601, decimals as text, bytes as hexadecimal digits.

use std::fmt::Write as _;

const DAY_SECONDS: i64 = 86_400;

/// The longest text that one value is written as. A few bytes can stand for much: an empty message has all its fields.
const TEXT_BYTES_MAX: usize = 64 << 20;

/// Refuses a value whose text grows past all bounds.
pub(crate) fn check_length(to: &str) -> Result<(), DataError> {
    if to.len() > TEXT_BYTES_MAX {
        return Err(DataError::new(format!(
            "the value is longer than {TEXT_BYTES_MAX} bytes as text"
        )));
    }
    Ok(())
}

/// As what a field is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Its value.
    Value,
    /// The JSON that its text is; a field that is no text is its value.
    JsonText,
}

/// Why encoded bytes are no value of their schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DataError {
    /// The field that is wrong: `address.zip`; none for the value as a whole.
    pub path: Option<String>,
    /// What is wrong.
    pub message: String,
}

impl DataError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            path: None,
            message: message.into(),
        }
    }

    pub(crate) fn within(mut self, name: &str) -> Self {
        self.path = Some(match self.path {
            Some(path) => format!("{name}.{path}"),
            None => name.to_owned(),
        });
        self
    }
}

/// Appends a text in quotes.
pub(crate) fn put_text(text: &str, to: &mut String) {
    to.push('"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..=0x1f => "",
            _ => continue,
        };
        to.push_str(text.get(plain..at).unwrap_or_default());
        plain = at + 1;
        if escape.is_empty() {
            // Writing to a String does not fail; so below.
            let _ = write!(to, "\\u{byte:04x}");
        } else {
            to.push_str(escape);
        }
    }
    to.push_str(text.get(plain..).unwrap_or_default());
    to.push('"');
}

/// Appends a text that is JSON, as it is.
pub(crate) fn put_json(text: &str, to: &mut String) -> Result<(), DataError> {
    match serde_json::from_str::<&serde_json::value::RawValue>(text) {
        Ok(json) => to.push_str(json.get()),
        Err(error) => {
            return Err(DataError::new(format!("its text is not JSON: {error}")));
        }
    }
    Ok(())
}

/// Appends bytes as hexadecimal digits, in quotes.
pub(crate) fn put_bytes(bytes: &[u8], to: &mut String) {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    to.reserve(bytes.len() * 2 + 2);
    to.push('"');
    for byte in bytes {
        to.push(DIGITS[usize::from(byte >> 4)]);
        to.push(DIGITS[usize::from(byte & 15)]);
    }
    to.push('"');
}

/// Appends a UUID of 16 bytes, in quotes.
pub(crate) fn put_uuid(bytes: &[u8], to: &mut String) {
    to.push('"');
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            to.push('-');
        }
        let _ = write!(to, "{byte:02x}");
    }
    to.push('"');
}

/// Appends a whole number.
pub(crate) fn put_integer(value: impl std::fmt::Display, to: &mut String) {
    let _ = write!(to, "{value}");
}

/// Appends a float in its shortest form, which for those that JSON has not is a text.
pub(crate) fn put_float(value: impl Into<f64> + std::fmt::Debug + Copy, to: &mut String) {
    let wide: f64 = value.into();
    if wide.is_finite() {
        let _ = write!(to, "{value:?}");
    } else if wide.is_nan() {
        to.push_str("\"NaN\"");
    } else {
        to.push_str(if wide > 0.0 {
            "\"Infinity\""
        } else {
            "\"-Infinity\""
        });
    }
}

/// Appends a number in two's complement, big-endian, with so many digits after the point, in quotes. At most 32 bytes.
pub(crate) fn put_decimal(bytes: &[u8], scale: usize, to: &mut String) -> Result<(), DataError> {
    let negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    if bytes.len() > 32 {
        return Err(DataError::new(format!(
            "the decimal has {} bytes, at most 32 are read",
            bytes.len()
        )));
    }
    let mut magnitude: Vec<u8> = bytes.to_vec();
    if negative {
        let mut carry = true;
        for byte in magnitude.iter_mut().rev() {
            *byte = !*byte;
            if carry {
                (*byte, carry) = byte.overflowing_add(1);
            }
        }
    }
    let mut digits = Vec::new();
    while magnitude.iter().any(|byte| *byte != 0) {
        let mut rest = 0_u32;
        for byte in &mut magnitude {
            let value = rest * 256 + u32::from(*byte);
            *byte = (value / 10) as u8;
            rest = value % 10;
        }
        digits.push(char::from(b'0' + rest as u8));
    }
    while digits.len() <= scale {
        digits.push('0');
    }
    to.push('"');
    if negative {
        to.push('-');
    }
    for (at, digit) in digits.iter().enumerate().rev() {
        to.push(*digit);
        if at == scale && scale > 0 {
            to.push('.');
        }
    }
    to.push('"');
    Ok(())
}

/// Appends a date, given in days since 1970, in quotes.
pub(crate) fn put_date(days: i64, to: &mut String) {
    to.push('"');
    date(days, to);
    to.push('"');
}

/// Appends a time of day, given in so many parts of a second, in quotes.
pub(crate) fn put_time(value: i64, per_second: i64, to: &mut String) -> Result<(), DataError> {
    let seconds = value.div_euclid(per_second);
    if !(0..DAY_SECONDS).contains(&seconds) {
        return Err(DataError::new(format!("{value} is no time of day")));
    }
    to.push('"');
    clock(seconds, value.rem_euclid(per_second), per_second, to);
    to.push('"');
    Ok(())
}

/// Appends a point in time, given in so many parts of a second since 1970, in quotes; in UTC, or of no zone.
pub(crate) fn put_timestamp(value: i64, per_second: i64, utc: bool, to: &mut String) {
    let seconds = value.div_euclid(per_second);
    to.push('"');
    date(seconds.div_euclid(DAY_SECONDS), to);
    to.push('T');
    clock(
        seconds.rem_euclid(DAY_SECONDS),
        value.rem_euclid(per_second),
        per_second,
        to,
    );
    to.push_str(if utc { "Z\"" } else { "\"" });
}

/// Appends a point in time in UTC, given in seconds since 1970 and nanoseconds after those, in quotes.
pub(crate) fn put_instant(seconds: i64, nanos: i32, to: &mut String) {
    const NANOS: i64 = 1_000_000_000;
    let seconds = seconds.saturating_add(i64::from(nanos).div_euclid(NANOS));
    to.push('"');
    date(seconds.div_euclid(DAY_SECONDS), to);
    to.push('T');
    let parts = i64::from(nanos).rem_euclid(NANOS);
    clock(seconds.rem_euclid(DAY_SECONDS), parts, NANOS, to);
    to.push_str("Z\"");
}

fn clock(seconds: i64, parts: i64, per_second: i64, to: &mut String) {
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let _ = write!(to, "{hour:02}:{minute:02}:{second:02}");
    if parts != 0 {
        let width = per_second.ilog10() as usize;
        let _ = write!(to, ".{parts:0width$}");
    }
}

/// Days since 1970 as a date of the Gregorian calendar (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn date(days: i64, to: &mut String) {
    let shifted = days.saturating_add(719_468);
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let _ = match year {
        0..=9999 => write!(to, "{year:04}-{month:02}-{day:02}"),
        _ => write!(to, "{year:+05}-{month:02}-{day:02}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(put: impl FnOnce(&mut String)) -> String {
        let mut text = String::new();
        put(&mut text);
        text
    }

    #[test]
    fn each_kind_of_value() {
        assert_eq!(
            text(|to| put_text("a\"\\\n\u{1}ü", to)),
            r#""a\"\\\n\u0001ü""#
        );
        assert_eq!(text(|to| put_bytes(&[0, 0xff, 0x1a], to)), r#""00ff1a""#);
        assert_eq!(text(|to| put_float(0.1_f32, to)), "0.1");
        assert_eq!(text(|to| put_float(1e300, to)), "1e300");
        assert_eq!(text(|to| put_float(f64::NEG_INFINITY, to)), "\"-Infinity\"");
        let decimal =
            |bytes: &[u8], scale| text(|to| put_decimal(bytes, scale, to).expect("a decimal"));
        assert_eq!(decimal(&[0x04, 0xd2], 2), "\"12.34\"");
        assert_eq!(decimal(&[0xfb, 0x2e], 2), "\"-12.34\"");
        assert_eq!(decimal(&[0xff], 3), "\"-0.001\"");
        assert_eq!(decimal(&[], 0), "\"0\"");
        assert_eq!(decimal(&[0x80, 0], 0), "\"-32768\"");
        assert_eq!(text(|to| put_date(0, to)), "\"1970-01-01\"");
        assert_eq!(text(|to| put_date(19_782, to)), "\"2024-02-29\"");
        assert_eq!(text(|to| put_date(-719_529, to)), "\"-0001-12-31\"");
        assert_eq!(
            text(|to| put_timestamp(-1, 1_000, true, to)),
            "\"1969-12-31T23:59:59.999Z\""
        );
        assert_eq!(
            text(|to| put_timestamp(1_709_210_096_000_001, 1_000_000, false, to)),
            "\"2024-02-29T12:34:56.000001\""
        );
        assert_eq!(
            text(|to| put_time(45_296_789, 1_000, to).expect("a time")),
            "\"12:34:56.789\""
        );
        assert!(put_time(86_400_000, 1_000, &mut String::new()).is_err());
    }
}
