//! Numbers in a pattern: `FM9,990.00`.

use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array};
use datafusion::common::Result;
use weir_base::SqlState;

use super::super::define::Arguments;
use crate::error::Error;

/// A pattern taken apart.
#[derive(Debug, Default)]
pub(super) struct Pattern {
    parts: Vec<Part>,
    /// Digits before and after the point.
    whole: usize,
    fraction: usize,
    fill: bool,
    sign: Sign,
    /// `EEEE`.
    scientific: bool,
    /// `V`: so many places are multiplied.
    shift: usize,
    roman: Option<bool>,
    /// Of the digits before the point the first that is always shown.
    first_zero: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
enum Sign {
    /// A minus before the first digit, or a space.
    #[default]
    Before,
    /// `S`, before or after.
    Anchored,
    /// `MI`.
    Minus,
    /// `PR`.
    Angles,
    /// `PL`, `SG`.
    Plus,
}

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Digit { zero: bool },
    Point,
    Group,
    Sign,
    Minus,
    Angles,
    Plus,
    Currency,
    Ordinal(bool),
    Text(String),
}

/// Takes a pattern apart.
///
/// # Errors
/// 42601 for a pattern that says two things at once.
pub(super) fn parse(pattern: &str) -> Result<Pattern> {
    let mut parsed = Pattern::default();
    let mut after_point = false;
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        let upper = |length: usize| rest.get(..length).map(str::to_ascii_uppercase);
        let (length, part) = if upper(2).as_deref() == Some("FM") {
            parsed.fill = true;
            (2, None)
        } else if upper(2).as_deref() == Some("MI") {
            parsed.sign = Sign::Minus;
            (2, Some(Part::Minus))
        } else if upper(2).as_deref() == Some("PL") || upper(2).as_deref() == Some("SG") {
            parsed.sign = Sign::Plus;
            (2, Some(Part::Plus))
        } else if upper(2).as_deref() == Some("PR") {
            parsed.sign = Sign::Angles;
            (2, Some(Part::Angles))
        } else if upper(2).as_deref() == Some("TH") {
            (2, Some(Part::Ordinal(rest.starts_with('T'))))
        } else if upper(2).as_deref() == Some("RN") {
            parsed.roman = Some(rest.starts_with('R'));
            (2, None)
        } else if upper(4).as_deref() == Some("EEEE") {
            parsed.scientific = true;
            (4, None)
        } else {
            match first.to_ascii_uppercase() {
                digit @ ('9' | '0') => {
                    let zero = digit == '0';
                    match after_point {
                        true => parsed.fraction += 1,
                        false => {
                            if zero && parsed.first_zero.is_none() {
                                parsed.first_zero = Some(parsed.whole);
                            }
                            parsed.whole += 1;
                        }
                    }
                    (1, Some(Part::Digit { zero }))
                }
                '.' | 'D' => {
                    if after_point {
                        return Err(Error::invalid(
                            SqlState::SYNTAX_ERROR,
                            "multiple decimal points in a number's pattern",
                        )
                        .into());
                    }
                    after_point = true;
                    (1, Some(Part::Point))
                }
                ',' | 'G' => (1, Some(Part::Group)),
                'S' => {
                    parsed.sign = Sign::Anchored;
                    (1, Some(Part::Sign))
                }
                'L' => (1, Some(Part::Currency)),
                'V' => {
                    parsed.shift = rest
                        .get(1..)
                        .unwrap_or_default()
                        .bytes()
                        .filter(|byte| matches!(byte, b'9' | b'0'))
                        .count();
                    (1, None)
                }
                '"' => {
                    let quoted = rest.get(1..).unwrap_or_default();
                    let end = quoted.find('"').unwrap_or(quoted.len());
                    let text = quoted.get(..end).unwrap_or_default().to_owned();
                    ((end + 2).min(rest.len()), Some(Part::Text(text)))
                }
                _ => (first.len_utf8(), Some(Part::Text(first.to_string()))),
            }
        };
        parsed.parts.extend(part);
        rest = rest.get(length..).unwrap_or_default();
    }
    Ok(parsed)
}

/// A number, given as its digits, in a pattern.
pub(super) fn show(pattern: &Pattern, number: &str) -> Result<String> {
    let (is_negative, digits) = match number.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, number),
    };
    if let Some(upper) = pattern.roman {
        return Ok(roman(is_negative, digits, upper, pattern.fill));
    }
    if digits.bytes().any(|byte| byte.is_ascii_alphabetic()) {
        // NaN and infinities are never digits.
        return Ok("#".repeat(pattern.whole + pattern.fraction));
    }
    if pattern.scientific {
        return Ok(scientific(pattern, is_negative, digits));
    }
    let shifted = shift(digits, pattern.shift);
    let (whole, fraction) = rounded(&shifted, pattern.fraction);
    let is_zero = whole
        .bytes()
        .chain(fraction.bytes())
        .all(|digit| digit == b'0');
    let is_negative = is_negative && !is_zero;
    let overflows = whole.len() > pattern.whole && whole != "0";
    // Zero has no digit before the point, where the pattern asks for none.
    let whole = match whole.as_str() {
        "0" if !(pattern.fraction == 0 || pattern.first_zero.is_some()) => "",
        whole => whole,
    };
    Ok(filled(pattern, is_negative, whole, &fraction, overflows))
}

fn filled(
    pattern: &Pattern,
    is_negative: bool,
    whole: &str,
    fraction: &str,
    overflows: bool,
) -> String {
    // Each place before the point: a digit, a zero that is always shown, or nothing.
    let missing = pattern.whole.saturating_sub(whole.len());
    let first_shown = pattern.first_zero.unwrap_or(pattern.whole).min(missing);
    let mut out = String::new();
    let mut sign_is_out = !matches!(pattern.sign, Sign::Before | Sign::Anchored);
    let anchored_before = pattern
        .parts
        .iter()
        .take_while(|part| !matches!(part, Part::Digit { .. } | Part::Point))
        .any(|part| *part == Part::Sign);
    let put_sign = |out: &mut String, sign_is_out: &mut bool| {
        if *sign_is_out {
            return;
        }
        *sign_is_out = true;
        match (pattern.sign, is_negative) {
            (Sign::Before, true) | (Sign::Anchored, true) => out.push('-'),
            (Sign::Anchored, false) => out.push('+'),
            (Sign::Before, false) if !pattern.fill => out.push(' '),
            _ => {}
        }
    };
    if pattern.sign == Sign::Angles && is_negative {
        sign_is_out = true;
    }
    let (mut place, mut after_point, mut fraction_at) = (0, false, 0);
    let mut has_digit = false;
    // With FM, zeros at the end are shown only where the pattern has a 0.
    let last_zero = pattern
        .parts
        .iter()
        .skip_while(|part| **part != Part::Point)
        .filter_map(|part| match part {
            Part::Digit { zero } => Some(*zero),
            _ => None,
        })
        .enumerate()
        .filter_map(|(at, zero)| zero.then_some(at + 1))
        .last()
        .unwrap_or(0);
    let shown_fraction = match pattern.fill {
        true => fraction.trim_end_matches('0').len().max(last_zero),
        false => fraction.len(),
    };
    for part in &pattern.parts {
        match part {
            Part::Digit { .. } if !after_point => {
                let digit = match place.cmp(&missing) {
                    std::cmp::Ordering::Less if place < first_shown => None,
                    std::cmp::Ordering::Less => Some('0'),
                    _ => whole
                        .as_bytes()
                        .get(place - missing)
                        .map(|digit| char::from(*digit)),
                };
                place += 1;
                match digit {
                    Some(digit) => {
                        if pattern.sign != Sign::Anchored || anchored_before {
                            put_sign(&mut out, &mut sign_is_out);
                        }
                        if pattern.sign == Sign::Angles && is_negative && !has_digit {
                            out.push('<');
                        }
                        has_digit = true;
                        out.push(if overflows { '#' } else { digit });
                    }
                    None if !pattern.fill => out.push(' '),
                    None => {}
                }
            }
            Part::Digit { .. } => {
                if fraction_at < shown_fraction {
                    let digit = fraction
                        .as_bytes()
                        .get(fraction_at)
                        .map_or('0', |digit| char::from(*digit));
                    out.push(if overflows { '#' } else { digit });
                }
                fraction_at += 1;
            }
            Part::Point => {
                if pattern.sign != Sign::Anchored || anchored_before {
                    put_sign(&mut out, &mut sign_is_out);
                }
                after_point = true;
                out.push('.');
            }
            Part::Group => match (has_digit, pattern.fill) {
                (true, _) => out.push(','),
                (false, false) => out.push(' '),
                (false, true) => {}
            },
            Part::Sign => {
                if after_point || place == pattern.whole && place > 0 {
                    out.push(if is_negative { '-' } else { '+' });
                }
            }
            Part::Minus => match (is_negative, pattern.fill) {
                (true, _) => out.push('-'),
                (false, false) => out.push(' '),
                (false, true) => {}
            },
            Part::Angles => match (is_negative, pattern.fill) {
                (true, _) => out.push('>'),
                (false, false) => out.push(' '),
                (false, true) => {}
            },
            Part::Plus => out.push(if is_negative { '-' } else { '+' }),
            Part::Currency => {
                if !pattern.fill {
                    out.push(' ');
                }
            }
            Part::Ordinal(upper) => {
                if !is_negative && pattern.fraction == 0 {
                    let last = whole.bytes().last();
                    let is_teen =
                        whole.len() > 1 && whole.as_bytes().get(whole.len() - 2) == Some(&b'1');
                    let text = match last {
                        Some(b'1') if !is_teen => "st",
                        Some(b'2') if !is_teen => "nd",
                        Some(b'3') if !is_teen => "rd",
                        _ => "th",
                    };
                    match upper {
                        true => out.push_str(&text.to_uppercase()),
                        false => out.push_str(text),
                    }
                }
            }
            Part::Text(text) => out.push_str(text),
        }
    }
    out
}

/// Digits with the point moved to the right.
fn shift(digits: &str, places: usize) -> String {
    if places == 0 {
        return digits.to_owned();
    }
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let fraction = format!("{fraction:0<places$}");
    let (moved, rest) = fraction.split_at(places);
    let whole = format!("{whole}{moved}");
    let whole = whole.trim_start_matches('0');
    format!("{}.{rest}", if whole.is_empty() { "0" } else { whole })
}

/// Digits before the point, and so many after it; half away from zero.
fn rounded(digits: &str, places: usize) -> (String, String) {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let padded = format!("{fraction:0<places$}");
    let (kept, cut) = padded.split_at(places);
    let mut all: Vec<u8> = format!("{whole}{kept}").into_bytes();
    if cut.as_bytes().first().is_some_and(|digit| *digit >= b'5') {
        let mut at = all.len();
        loop {
            let Some(before) = at.checked_sub(1) else {
                all.insert(0, b'1');
                break;
            };
            at = before;
            match all.get_mut(at) {
                Some(digit) if *digit == b'9' => *digit = b'0',
                Some(digit) => {
                    *digit += 1;
                    break;
                }
                None => break,
            }
        }
    }
    let text = String::from_utf8_lossy(&all).into_owned();
    let (whole, fraction) = text.split_at(text.len() - places);
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    (whole.to_owned(), fraction.to_owned())
}

fn scientific(pattern: &Pattern, is_negative: bool, digits: &str) -> String {
    let value: f64 = digits.parse().unwrap_or_default();
    let text = format!("{value:.*e}", pattern.fraction);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let sign = match (is_negative, pattern.fill) {
        (true, _) => "-",
        (false, true) => "",
        (false, false) => " ",
    };
    let direction = if exponent < 0 { '-' } else { '+' };
    format!("{sign}{mantissa}e{direction}{:02}", exponent.abs())
}

fn roman(is_negative: bool, digits: &str, upper: bool, fill: bool) -> String {
    const VALUES: [(u32, &str); 13] = [
        (1000, "M"),
        (900, "CM"),
        (500, "D"),
        (400, "CD"),
        (100, "C"),
        (90, "XC"),
        (50, "L"),
        (40, "XL"),
        (10, "X"),
        (9, "IX"),
        (5, "V"),
        (4, "IV"),
        (1, "I"),
    ];
    let (whole, _) = rounded(digits, 0);
    let value = whole
        .parse::<u32>()
        .ok()
        .filter(|value| (1..4000).contains(value) && !is_negative);
    let Some(mut value) = value else {
        return "#".repeat(15);
    };
    let mut text = String::new();
    for (worth, letters) in VALUES {
        while value >= worth {
            text.push_str(letters);
            value -= worth;
        }
    }
    let text = if upper { text } else { text.to_lowercase() };
    if fill { text } else { format!("{text:>15}") }
}

/// `to_number`: the digits of each text, by its pattern.
pub(super) fn read_all(args: &Arguments) -> Result<ArrayRef> {
    let (texts, patterns) = (args.text(0)?, args.text(1)?);
    let values = args.values::<i128, Decimal128Array>(|row| {
        read(texts.value(row), patterns.value(row)).map(Some)
    })?;
    let values = arrow::array::AsArray::as_primitive::<arrow::datatypes::Decimal128Type>(&values);
    Ok(Arc::new(values.clone().with_precision_and_scale(38, 10)?))
}

/// The number in a text, in units of 10^-10.
fn read(text: &str, pattern: &str) -> Result<i128> {
    let pattern = parse(pattern)?;
    let is_negative = text.contains('-') || (text.contains('<') && pattern.sign == Sign::Angles);
    let (mut digits, mut after_point) = (String::new(), None);
    for character in text.chars() {
        match character {
            '0'..='9' => {
                let whole = digits.len() - after_point.unwrap_or(digits.len()).min(digits.len());
                let is_room = match after_point {
                    Some(_) => whole < pattern.fraction,
                    None => digits.len() < pattern.whole,
                };
                if is_room {
                    digits.push(character);
                }
            }
            '.' if after_point.is_none() && pattern.fraction > 0 => {
                after_point = Some(digits.len());
            }
            '.' => break,
            _ => {}
        }
    }
    if digits.is_empty() {
        return Err(Error::invalid(
            SqlState::INVALID_TEXT_REPRESENTATION,
            format!("invalid input syntax for type numeric: {text:?}"),
        )
        .into());
    }
    let scale = digits.len() - after_point.unwrap_or(digits.len());
    let out_of_range = || {
        Error::invalid(
            SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
            format!("{text:?} is out of range for a number of 38 digits"),
        )
    };
    let value: i128 = digits.parse().map_err(|_| out_of_range())?;
    let value = match 10_usize.checked_sub(scale) {
        Some(missing) => value
            .checked_mul(10_i128.pow(missing as u32))
            .filter(|value| *value < 10_i128.pow(38))
            .ok_or_else(out_of_range)?,
        None => value / 10_i128.pow((scale - 10) as u32),
    };
    Ok(if is_negative { -value } else { value })
}
