//! Values as the text that PostgreSQL shows: what a cast to text gives, and what functions that put texts together read.
//!
//! In: any array. Out: `2024-01-02 03:04:05.5`, `1 day 02:00:00`, `{1,2,NULL}`, `(1,a)`, `1e+20`, `\x00ff`.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringViewBuilder};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, DurationMicrosecondType, Float32Type, Float64Type, IntervalMonthDayNano,
    IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::Result;

use super::define::Kind::{Any, Text};
use super::define::{Arguments, Definition, function, is_null, takes};

/// The functions of this file.
pub(super) const FUNCTIONS: [Definition; 1] =
    [function("text_of_value", &[takes(&[Any], Text, texts)])];

/// Whether a cast of this type to text is done here, because Arrow's text is another. (Bytes are read as UTF-8: it is how records
/// of raw streams are looked at.)
pub(crate) fn is_shown_here(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Timestamp(..)
            | DataType::Interval(_)
            | DataType::Duration(_)
            | DataType::Time32(_)
            | DataType::Time64(_)
            | DataType::Float32
            | DataType::Float64
            | DataType::List(_)
            | DataType::LargeList(_)
            | DataType::FixedSizeList(..)
            | DataType::Struct(_)
    )
}

fn texts(args: &Arguments) -> Result<ArrayRef> {
    of_array(args.array(0)?)
}

/// The texts of an array.
pub(crate) fn of_array(values: &ArrayRef) -> Result<ArrayRef> {
    let mut texts = StringViewBuilder::with_capacity(values.len());
    for row in 0..values.len() {
        match is_null(values, row) {
            true => texts.append_null(),
            false => texts.append_value(text_of(values, row)?),
        }
    }
    Ok(Arc::new(texts.finish()))
}

/// The text of a value that is not null. A boolean is `true` or `false` here, as a cast has it.
pub(crate) fn text_of(values: &ArrayRef, row: usize) -> Result<String> {
    Ok(match values.data_type() {
        DataType::Utf8View => values.as_string_view().value(row).to_owned(),
        DataType::Utf8 => values.as_string::<i32>().value(row).to_owned(),
        DataType::LargeUtf8 => values.as_string::<i64>().value(row).to_owned(),
        DataType::Float64 => double(values.as_primitive::<Float64Type>().value(row)),
        DataType::Float32 => real(values.as_primitive::<Float32Type>().value(row)),
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            interval(values.as_primitive::<IntervalMonthDayNanoType>().value(row))
        }
        DataType::Interval(_) => {
            let values = values.slice(row, 1);
            let values = cast(&values, &DataType::Interval(IntervalUnit::MonthDayNano))?;
            text_of(&values, 0)?
        }
        DataType::Duration(_) => {
            let values = values.slice(row, 1);
            let values = cast(&values, &DataType::Duration(TimeUnit::Microsecond))?;
            let micros = values.as_primitive::<DurationMicrosecondType>().value(0);
            interval(IntervalMonthDayNano::new(0, 0, micros.saturating_mul(1000)))
        }
        DataType::Timestamp(_, zone) => {
            let text = formatted(values, row)?.replacen('T', " ", 1);
            let (clock, offset) = match zone {
                None => (text.as_str(), String::new()),
                Some(_) => match text.strip_suffix('Z') {
                    Some(clock) => (clock, "+00".to_owned()),
                    None => match text.rfind(['+', '-']).filter(|at| *at > 10) {
                        Some(at) => {
                            let (clock, offset) = text.split_at(at);
                            (clock, offset.trim_end_matches(":00").to_owned())
                        }
                        None => (text.as_str(), String::new()),
                    },
                },
            };
            format!("{}{offset}", without_zeros(clock))
        }
        DataType::Time32(_) | DataType::Time64(_) => {
            without_zeros(&formatted(values, row)?).to_owned()
        }
        DataType::List(_) => list(&values.as_list::<i32>().value(row))?,
        DataType::LargeList(_) => list(&values.as_list::<i64>().value(row))?,
        DataType::FixedSizeList(..) => list(&values.as_fixed_size_list().value(row))?,
        DataType::Struct(_) => record(values.as_struct().columns(), row)?,
        DataType::Binary => bytes(values.as_binary::<i32>().value(row)),
        DataType::LargeBinary => bytes(values.as_binary::<i64>().value(row)),
        DataType::BinaryView => bytes(values.as_binary_view().value(row)),
        _ => formatted(values, row)?,
    })
}

/// As [`text_of`], but with `t` and `f`: what PostgreSQL sends of a boolean, and puts into other texts.
pub(crate) fn output_of(values: &ArrayRef, row: usize) -> Result<String> {
    match values.data_type() {
        DataType::Boolean => Ok(if values.as_boolean().value(row) {
            "t".to_owned()
        } else {
            "f".to_owned()
        }),
        _ => text_of(values, row),
    }
}

fn formatted(values: &ArrayRef, row: usize) -> Result<String> {
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(values.as_ref(), &options)?;
    Ok(formatter.value(row).try_to_string()?)
}

/// A clock without the zeros that a fraction of a second ends in.
fn without_zeros(clock: &str) -> &str {
    match clock.rsplit_once('.') {
        Some((_, fraction)) if fraction.bytes().all(|byte| byte.is_ascii_digit()) => {
            clock.trim_end_matches('0').trim_end_matches('.')
        }
        _ => clock,
    }
}

fn bytes(bytes: &[u8]) -> String {
    let mut text = "\\x".to_owned();
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A double in the fewest digits that are it again.
pub(crate) fn double(value: f64) -> String {
    shortest(&format!("{value:e}"), value.is_finite(), 15)
}

fn real(value: f32) -> String {
    shortest(&format!("{value:e}"), value.is_finite(), 6)
}

/// `scientific` is `d.ddde7`; numbers of that many digits before the point, or four zeros behind it, keep the exponent.
fn shortest(scientific: &str, is_finite: bool, digits_max: i32) -> String {
    if !is_finite {
        return match scientific {
            "inf" => "Infinity".to_owned(),
            "-inf" => "-Infinity".to_owned(),
            _ => "NaN".to_owned(),
        };
    }
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return scientific.to_owned();
    };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if exponent < -4 || exponent >= digits_max {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(mantissa) => ("-", mantissa),
        None => ("", mantissa),
    };
    let digits = mantissa.replace('.', "");
    match usize::try_from(exponent) {
        Ok(exponent) if digits.len() <= exponent + 1 => {
            format!("{sign}{digits:0<width$}", width = exponent + 1)
        }
        Ok(exponent) => {
            let (whole, fraction) = digits.split_at(exponent + 1);
            format!("{sign}{whole}.{fraction}")
        }
        Err(_) => {
            let zeros = "0".repeat(usize::try_from(-exponent - 1).unwrap_or_default());
            format!("{sign}0.{zeros}{digits}")
        }
    }
}

/// An interval in PostgreSQL's style.
pub(crate) fn interval(value: IntervalMonthDayNano) -> String {
    let mut parts = Vec::new();
    let mut had_negative = false;
    let mut unit = |count: i32, one: &str, many: &str| {
        if count != 0 {
            // After a negative part a positive one says so.
            let sign = if had_negative && count > 0 { "+" } else { "" };
            had_negative = count < 0;
            let name = if count == 1 { one } else { many };
            parts.push(format!("{sign}{count} {name}"));
        }
    };
    unit(value.months / 12, "year", "years");
    unit(value.months % 12, "mon", "mons");
    unit(value.days, "day", "days");
    let micros = value.nanoseconds / 1000;
    if micros != 0 || parts.is_empty() {
        let sign = match (micros < 0, had_negative) {
            (true, _) => "-",
            (false, true) => "+",
            (false, false) => "",
        };
        let all = micros.unsigned_abs();
        let (seconds, fraction) = (all / 1_000_000, all % 1_000_000);
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let clock = format!("{sign}{hours:02}:{minutes:02}:{seconds:02}.{fraction:06}");
        parts.push(without_zeros(&clock).to_owned());
    }
    parts.join(" ")
}

/// `{1,NULL,"a b"}`.
fn list(items: &ArrayRef) -> Result<String> {
    let is_nested = matches!(
        items.data_type(),
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..)
    );
    let mut text = "{".to_owned();
    for row in 0..items.len() {
        if row > 0 {
            text.push(',');
        }
        if is_null(items, row) {
            text.push_str("NULL");
            continue;
        }
        let item = output_of(items, row)?;
        let needs_quotes = !is_nested
            && (item.is_empty()
                || item.eq_ignore_ascii_case("null")
                || item.contains(|c: char| {
                    matches!(c, '{' | '}' | ',' | '"' | '\\') || c.is_ascii_whitespace()
                }));
        match needs_quotes {
            true => quote(&item, &mut text, '\\'),
            false => text.push_str(&item),
        }
    }
    text.push('}');
    Ok(text)
}

/// `(1,"a b",)`.
fn record(columns: &[ArrayRef], row: usize) -> Result<String> {
    let mut text = "(".to_owned();
    for (at, column) in columns.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        if is_null(column, row) {
            continue;
        }
        let item = output_of(column, row)?;
        let needs_quotes = item.is_empty()
            || item.contains(|c: char| {
                matches!(c, '(' | ')' | ',' | '"' | '\\') || c.is_ascii_whitespace()
            });
        match needs_quotes {
            true => quote(&item, &mut text, '"'),
            false => text.push_str(&item),
        }
    }
    text.push(')');
    Ok(text)
}

/// Writes a text in quotes, a quote in it behind `escape` and a backslash twice.
fn quote(item: &str, text: &mut String, escape: char) {
    text.push('"');
    for character in item.chars() {
        match character {
            '"' => text.extend([escape, '"']),
            '\\' => text.push_str("\\\\"),
            other => text.push(other),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_as_short_as_they_can_be() {
        for (value, text) in [
            (0.1, "0.1"),
            (100.0, "100"),
            (-2.5, "-2.5"),
            (1e15, "1e+15"),
            (123456789012345.0, "123456789012345"),
            (1.5e-7, "1.5e-07"),
            (0.00012, "0.00012"),
            (f64::INFINITY, "Infinity"),
            (f64::NAN, "NaN"),
            (0.0, "0"),
        ] {
            assert_eq!(double(value), text);
        }
    }

    #[test]
    fn intervals_have_their_units_and_a_clock() {
        let of = |months, days, micros: i64| {
            interval(IntervalMonthDayNano::new(months, days, micros * 1000))
        };
        assert_eq!(
            of(14, 3, 14_706_789_000),
            "1 year 2 mons 3 days 04:05:06.789"
        );
        assert_eq!(of(0, 0, 0), "00:00:00");
        assert_eq!(of(-1, 1, 1), "-1 mons +1 day 00:00:00.000001");
        assert_eq!(of(0, -7, 0), "-7 days");
        assert_eq!(of(0, 0, -90_000_000), "-00:01:30");
    }
}
