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
            let _ = (array(&text), bytea(&text), decimal(&text), float(&text), boolean(&text));
        }
    }
}
