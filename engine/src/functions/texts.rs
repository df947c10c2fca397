//! Texts: `format`, quoting, patterns of `LIKE` and `SIMILAR TO`, regular expressions, encodings.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryArray, Int64Array, ListBuilder, StringViewBuilder};
use datafusion::common::Result;
use weir_base::SqlState;
use weir_catalog::quote_ident;

use super::define::Kind::{Any, Bytes, Integer, Text};
use super::define::{Arguments, Definition, function, is_null, takes, takes_by, text_list};
use super::shown;
use crate::error::Error;

/// The functions of this file.
pub(super) const FUNCTIONS: [Definition; 15] = [
    function("format", &[takes(&[Text], Text, format).and_more(Any)]),
    function(
        "length",
        &[
            takes(&[Text], Integer, |args| {
                let texts = args.text(0)?;
                args.values::<i64, Int64Array>(|row| {
                    Ok(Some(texts.value(row).chars().count() as i64))
                })
            }),
            takes(&[Bytes], Integer, |args| {
                let values = args.array(0)?;
                let values = arrow::array::AsArray::as_binary::<i32>(values);
                args.values::<i64, Int64Array>(|row| Ok(Some(i64::from(values.value_length(row)))))
            }),
        ],
    ),
    function(
        "quote_ident",
        &[takes(&[Text], Text, |args| {
            let texts = args.text(0)?;
            args.texts(|row| Ok(Some(shown_ident(texts.value(row)))))
        })],
    ),
    function(
        "quote_literal",
        &[takes(&[Any], Text, |args| {
            let values = args.array(0)?;
            args.texts(|row| Ok(Some(quoted(&shown::output_of(values, row)?))))
        })],
    ),
    function(
        "quote_nullable",
        &[takes(&[Any], Text, |args| {
            let values = args.array(0)?;
            let mut texts = StringViewBuilder::new();
            for row in 0..args.rows {
                match is_null(values, row) {
                    true => texts.append_value("NULL"),
                    false => texts.append_value(quoted(&shown::output_of(values, row)?)),
                }
            }
            Ok(Arc::new(texts.finish()))
        })],
    ),
    function(
        "like_escape",
        &[takes(&[Text, Text], Text, |args| {
            let (patterns, escapes) = (args.text(0)?, args.text(1)?);
            args.texts(|row| like_escape(patterns.value(row), escapes.value(row)).map(Some))
        })],
    ),
    function(
        "similar_to_escape",
        &[
            takes(&[Text], Text, |args| {
                let patterns = args.text(0)?;
                args.texts(|row| similar(patterns.value(row), "\\").map(Some))
            }),
            takes(&[Text, Text], Text, |args| {
                let (patterns, escapes) = (args.text(0)?, args.text(1)?);
                args.texts(|row| similar(patterns.value(row), escapes.value(row)).map(Some))
            }),
        ],
    ),
    function(
        "convert_from",
        &[takes(&[Bytes, Text], Text, |args| {
            let values = args.array(0)?;
            let values = arrow::array::AsArray::as_binary::<i32>(values);
            let names = args.text(1)?;
            args.texts(|row| {
                check_encoding(names.value(row))?;
                let text = std::str::from_utf8(values.value(row)).map_err(|_| {
                    Error::invalid(SqlState("22021"), "the bytes are no text in UTF8")
                })?;
                Ok(Some(text.to_owned()))
            })
        })],
    ),
    function(
        "convert_to",
        &[takes(&[Text, Text], Bytes, |args| {
            let (texts, names) = (args.text(0)?, args.text(1)?);
            let values = (0..args.rows).map(|row| {
                if args.has_null(row) {
                    return Ok(None);
                }
                check_encoding(names.value(row))?;
                Ok(Some(texts.value(row).as_bytes()))
            });
            Ok(Arc::new(
                values
                    .collect::<Result<Vec<_>>>()?
                    .into_iter()
                    .collect::<BinaryArray>(),
            ))
        })],
    ),
    function(
        "unistr",
        &[takes(&[Text], Text, |args| {
            let texts = args.text(0)?;
            args.texts(|row| unescaped(texts.value(row)).map(Some))
        })],
    ),
    function(
        "num_nulls",
        &[takes(&[Any], Integer, |args| count_nulls(args, true)).and_more(Any)],
    ),
    function(
        "num_nonnulls",
        &[takes(&[Any], Integer, |args| count_nulls(args, false)).and_more(Any)],
    ),
    function(
        "parse_ident",
        &[takes_by(&[Text], |_| Ok(text_list()), parse_ident)],
    ),
    function(
        "text_output",
        &[takes(&[Any], Text, |args| {
            let values = args.array(0)?;
            args.texts(|row| shown::output_of(values, row).map(Some))
        })],
    ),
    function(
        "starts_with",
        &[takes(&[Text, Text], super::define::Kind::Boolean, |args| {
            let (texts, prefixes) = (args.text(0)?, args.text(1)?);
            args.values::<bool, arrow::array::BooleanArray>(|row| {
                Ok(Some(texts.value(row).starts_with(prefixes.value(row))))
            })
        })],
    ),
];

pub(super) fn invalid(message: impl Into<String>) -> Error {
    Error::invalid(SqlState::INVALID_PARAMETER_VALUE, message.into())
}

/// An identifier, in quotes where it needs them.
fn shown_ident(name: &str) -> String {
    quote_ident(name)
}

/// A text as a literal.
fn quoted(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    match doubled.contains('\\') {
        true => format!(" E'{}'", doubled.replace('\\', "\\\\"))
            .trim_start()
            .to_owned(),
        false => format!("'{doubled}'"),
    }
}

/// `format('%I %L %s', …)`.
fn format(args: &Arguments) -> Result<ArrayRef> {
    let patterns = args.text(0)?;
    let mut texts = StringViewBuilder::with_capacity(args.rows);
    for row in 0..args.rows {
        match patterns.is_null(row) {
            true => texts.append_null(),
            false => texts.append_value(formatted(patterns.value(row), args, row)?),
        }
    }
    Ok(Arc::new(texts.finish()))
}

fn formatted(pattern: &str, args: &Arguments, row: usize) -> Result<String> {
    let too_few = || invalid("too few arguments for format()");
    let mut out = String::new();
    let mut next = 1;
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        rest = after;
        if let Some(after) = rest.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        // `2$`: which argument.
        let length = digits(rest);
        if length > 0 && rest.get(length..).is_some_and(|rest| rest.starts_with('$')) {
            next = rest
                .get(..length)
                .and_then(|text| text.parse().ok())
                .unwrap_or(0);
            if next == 0 {
                return Err(invalid(
                    "format specifies argument 0, but arguments are numbered from 1",
                )
                .into());
            }
            rest = rest.get(length + 1..).unwrap_or_default();
        }
        let is_left = rest.starts_with('-');
        rest = rest.trim_start_matches('-');
        let (mut width, mut is_left) = (0_i64, is_left);
        if let Some(after) = rest.strip_prefix('*') {
            let widths = args.array(next).map_err(|_| too_few())?;
            width = shown::text_of(widths, row)?.parse().unwrap_or(0);
            next += 1;
            rest = after;
        } else {
            let length = digits(rest);
            if length > 0 {
                width = rest
                    .get(..length)
                    .and_then(|text| text.parse().ok())
                    .unwrap_or(0);
                rest = rest.get(length..).unwrap_or_default();
            }
        }
        is_left |= width < 0;
        let width = usize::try_from(width.unsigned_abs())
            .unwrap_or(0)
            .min(10_000_000);
        let mut characters = rest.chars();
        let kind = characters.next();
        rest = characters.as_str();
        let values = match args.arrays.get(next) {
            Some(values) => values,
            None => return Err(too_few().into()),
        };
        next += 1;
        let is_null = is_null(values, row);
        let text = match kind {
            Some('s') if is_null => String::new(),
            Some('L') if is_null => "NULL".to_owned(),
            Some('I') if is_null => {
                return Err(Error::invalid(
                    SqlState("22004"),
                    "null values cannot be formatted as an SQL identifier",
                )
                .into());
            }
            Some('s') => shown::output_of(values, row)?,
            Some('L') => quoted(&shown::output_of(values, row)?),
            Some('I') => shown_ident(&shown::output_of(values, row)?),
            Some(other) => {
                return Err(
                    invalid(format!("unrecognized format() type specifier \"{other}\"")).into(),
                );
            }
            None => return Err(invalid("unterminated format() type specifier").into()),
        };
        let missing = width.saturating_sub(text.chars().count());
        let space = " ".repeat(missing);
        match is_left {
            true => out.extend([text, space]),
            false => out.extend([space, text]),
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn escape_character(escape: &str) -> Result<Option<char>> {
    let mut characters = escape.chars();
    let first = characters.next();
    match characters.next() {
        None => Ok(first),
        Some(_) => Err(Error::invalid(
            SqlState("22019"),
            "invalid escape string: it must be empty or one character",
        )
        .into()),
    }
}

/// A pattern with another escape character, as one with a backslash.
fn like_escape(pattern: &str, escape: &str) -> Result<String> {
    let escape = escape_character(escape)?;
    let mut out = String::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if Some(character) == escape {
            out.push('\\');
            out.extend(characters.next());
        } else if character == '\\' {
            out.push_str("\\\\");
        } else {
            out.push(character);
        }
    }
    Ok(out)
}

/// A pattern of `SIMILAR TO` as a regular expression.
pub(super) fn similar(pattern: &str, escape: &str) -> Result<String> {
    let escape = escape_character(escape)?;
    let mut out = "^(?:".to_owned();
    let mut in_class = false;
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if Some(character) == escape {
            if let Some(escaped) = characters.next() {
                out.push_str(&regex::escape(&escaped.to_string()));
            }
            continue;
        }
        match character {
            '[' => {
                in_class = true;
                out.push('[');
            }
            ']' => {
                in_class = false;
                out.push(']');
            }
            '\\' => out.push_str("\\\\"),
            other if in_class => out.push(other),
            '%' => out.push_str("(?s:.*)"),
            '_' => out.push_str("(?s:.)"),
            '(' => out.push_str("(?:"),
            '.' | '^' | '$' => {
                out.push('\\');
                out.push(character);
            }
            other => out.push(other),
        }
    }
    out.push_str(")$");
    Ok(out)
}

fn check_encoding(name: &str) -> Result<()> {
    match name.to_ascii_lowercase().replace('-', "").as_str() {
        "utf8" | "unicode" => Ok(()),
        _ => Err(
            Error::unsupported(format!("encoding {name:?} is not supported"))
                .with_hint("texts are in UTF8")
                .into(),
        ),
    }
}

/// `unistr`: `\0041`, `\+000041`, `\u0041`, `\U00000041`.
fn unescaped(text: &str) -> Result<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('\\') {
            out.push('\\');
            rest = after;
            continue;
        }
        let (skip, length) = match after.chars().next() {
            Some('+') => (1, 6),
            Some('u') => (1, 4),
            Some('U') => (1, 8),
            _ => (0, 4),
        };
        let digits = after.get(skip..skip + length);
        let character = digits
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .and_then(char::from_u32)
            .ok_or_else(|| invalid("invalid Unicode escape"))?;
        out.push(character);
        rest = after.get(skip + length..).unwrap_or_default();
    }
    out.push_str(rest);
    Ok(out)
}

fn count_nulls(args: &Arguments, nulls: bool) -> Result<ArrayRef> {
    let counts = (0..args.rows).map(|row| {
        let matching = args
            .arrays
            .iter()
            .filter(|array| is_null(array, row) == nulls);
        Some(matching.count() as i64)
    });
    Ok(Arc::new(counts.collect::<Int64Array>()))
}

/// The parts of a name, as they are looked up.
fn parse_ident(args: &Arguments) -> Result<ArrayRef> {
    let texts = args.text(0)?;
    let mut lists = ListBuilder::new(StringViewBuilder::new());
    for row in 0..args.rows {
        if args.has_null(row) {
            lists.append_null();
            continue;
        }
        let wrong = || {
            invalid(format!(
                "string is not a valid identifier: {:?}",
                texts.value(row)
            ))
        };
        let mut rest = texts.value(row).trim();
        loop {
            let name = match rest.strip_prefix('"') {
                Some(quoted) => {
                    let mut name = String::new();
                    let mut characters = quoted.char_indices().peekable();
                    let mut end = None;
                    while let Some((at, character)) = characters.next() {
                        if character != '"' {
                            name.push(character);
                        } else if characters.peek().is_some_and(|(_, next)| *next == '"') {
                            name.push('"');
                            characters.next();
                        } else {
                            end = Some(at + 1);
                            break;
                        }
                    }
                    rest = quoted.get(end.ok_or_else(wrong)?..).unwrap_or_default();
                    name
                }
                None => {
                    let end = rest
                        .find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '$')))
                        .unwrap_or(rest.len());
                    let name = rest.get(..end).unwrap_or_default().to_lowercase();
                    rest = rest.get(end..).unwrap_or_default();
                    name
                }
            };
            if name.is_empty() {
                return Err(wrong().into());
            }
            lists.values().append_value(name);
            rest = rest.trim_start();
            match rest.strip_prefix('.') {
                Some(after) => rest = after.trim_start(),
                None if rest.is_empty() => break,
                None => return Err(wrong().into()),
            }
        }
        lists.append(true);
    }
    Ok(Arc::new(lists.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_similar_to_match_the_whole_text() {
        for (text, pattern, expected) in [
            ("abc", "a%", true),
            ("abc", "(a|b)c", false),
            ("abc", "(b|a)bc", true),
            ("abc", "b", false),
            ("a.c", "a.c", true),
            ("abc", "a.c", false),
            ("aab", "a{2}b", true),
            ("a%", "a\\%", true),
            ("ab", "a[bc]", true),
        ] {
            let regex =
                super::super::regexes::compiled(&similar(pattern, "\\").unwrap(), "").unwrap();
            assert_eq!(regex.is_match(text), expected, "{text} {pattern}");
        }
    }

    #[test]
    fn escapes_of_like_become_backslashes() {
        assert_eq!(like_escape("a!%b\\", "!").unwrap(), "a\\%b\\\\");
        assert_eq!(like_escape("a\\%", "").unwrap(), "a\\\\%");
        assert!(like_escape("a", "ab").is_err());
    }
}
