//! Regular expressions: PostgreSQL's functions and flags, on the syntax of the `regex` crate.

use std::sync::Arc;

use arrow::array::{ArrayRef, ListBuilder, StringViewBuilder};
use arrow::datatypes::DataType;
use datafusion::common::Result;
use regex::{Regex, RegexBuilder};
use weir_base::SqlState;

use super::define::Kind::{Integer, Text};
use super::define::{Arguments, Definition, Memo, function, takes, takes_by, text_list};
use super::texts::invalid;
use crate::error::Error;

const LIST_OF_LISTS: fn(&[DataType]) -> Result<DataType> =
    |_| Ok(DataType::new_list(text_list(), true));

/// The functions of this file.
pub(super) const FUNCTIONS: [Definition; 6] = [
    function(
        "substring_pattern",
        &[takes(&[Text, Text], Text, |args| {
            let (texts, patterns) = (args.text(0)?, args.text(1)?);
            let mut memo = Memo::new();
            args.texts(|row| {
                let regex = memo.get(patterns.value(row), |pattern| compiled(pattern, ""))?;
                let found = regex.captures(texts.value(row));
                Ok(found.and_then(|found| {
                    let part = if found.len() > 1 {
                        found.get(1)
                    } else {
                        found.get(0)
                    };
                    part.map(|part| part.as_str().to_owned())
                }))
            })
        })],
    ),
    function(
        "regexp_all_matches",
        &[
            takes_by(&[Text, Text], LIST_OF_LISTS, matches),
            takes_by(&[Text, Text, Text], LIST_OF_LISTS, matches),
        ],
    ),
    function(
        "regexp_split_to_array",
        &[
            takes_by(&[Text, Text], |_| Ok(text_list()), split),
            takes_by(&[Text, Text, Text], |_| Ok(text_list()), split),
        ],
    ),
    function(
        "regexp_substr",
        &[
            takes(&[Text, Text], Text, substring),
            takes(&[Text, Text, Integer], Text, substring),
            takes(&[Text, Text, Integer, Integer], Text, substring),
            takes(&[Text, Text, Integer, Integer, Text], Text, substring),
        ],
    ),
    function(
        "regexp_replace",
        &[
            takes(&[Text, Text, Text], Text, replace),
            takes(&[Text, Text, Text, Text], Text, replace),
            takes(&[Text, Text, Text, Integer], Text, replace_from),
            takes(&[Text, Text, Text, Integer, Integer], Text, replace_from),
            takes(
                &[Text, Text, Text, Integer, Integer, Text],
                Text,
                replace_from,
            ),
        ],
    ),
    function(
        "substring_similar",
        &[takes(&[Text, Text, Text], Text, similar)],
    ),
];

/// `substring(text SIMILAR pattern ESCAPE '#')`: what is between the two `#"`.
fn similar(args: &Arguments) -> Result<ArrayRef> {
    let (texts, patterns, escapes) = (args.text(0)?, args.text(1)?, args.text(2)?);
    args.texts(|row| {
        let escape = escapes.value(row);
        let mark = format!("{escape}\"");
        let parts: Vec<&str> = patterns.value(row).split(mark.as_str()).collect();
        let [before, inside, after] = parts.as_slice() else {
            return Err(invalid(
                "the pattern must have two marks: an escape character and a quote",
            )
            .into());
        };
        let part = |pattern: &str| {
            let whole = super::texts::similar(pattern, escape)?;
            let bare = whole.trim_start_matches('^').trim_end_matches('$');
            Ok::<_, datafusion::error::DataFusionError>(bare.to_owned())
        };
        // The parts around take as little as they can.
        let pattern = format!(
            "^(?U:{})({}){}$",
            part(before)?,
            part(inside)?,
            part(after)?
        );
        let regex = compiled(&pattern, "")?;
        let found = regex.captures(texts.value(row));
        Ok(found.and_then(|found| found.get(1).map(|part| part.as_str().to_owned())))
    })
}

/// A regular expression, with PostgreSQL's flags.
pub(super) fn compiled(pattern: &str, flags: &str) -> Result<Regex> {
    let mut builder = RegexBuilder::new(pattern);
    // As PostgreSQL has it: a dot is any character, a line's end too.
    builder.dot_matches_new_line(true);
    for flag in flags.chars() {
        match flag {
            'i' => builder.case_insensitive(true),
            'c' => builder.case_insensitive(false),
            'n' | 'm' => builder.multi_line(true).dot_matches_new_line(false),
            'p' => builder.dot_matches_new_line(false),
            'w' => builder.multi_line(true),
            's' => builder.multi_line(false).dot_matches_new_line(true),
            'x' => builder.ignore_whitespace(true),
            'g' | 'e' | 't' => &mut builder,
            other => {
                return Err(
                    invalid(format!("invalid regular expression option: \"{other}\"")).into(),
                );
            }
        };
    }
    builder.build().map_err(|error| {
        Error::invalid(
            SqlState("2201B"),
            format!("invalid regular expression: {error}"),
        )
        .into()
    })
}

fn flags_of(args: &Arguments, at: usize, row: usize) -> Result<&str> {
    match args.len() > at {
        true => Ok(args.text(at)?.value(row)),
        false => Ok(""),
    }
}

/// All matches, or the first without `g`: of each its groups, or itself.
fn matches(args: &Arguments) -> Result<ArrayRef> {
    let (texts, patterns) = (args.text(0)?, args.text(1)?);
    let mut lists = ListBuilder::new(ListBuilder::new(StringViewBuilder::new()));
    let mut memo = Memo::new();
    for row in 0..args.rows {
        if args.has_null(row) {
            lists.append_null();
            continue;
        }
        let flags = flags_of(args, 2, row)?;
        let key = format!("{flags}\0{}", patterns.value(row));
        let regex = memo.get(&key, |_| compiled(patterns.value(row), flags))?;
        let most = if flags.contains('g') { usize::MAX } else { 1 };
        for found in regex.captures_iter(texts.value(row)).take(most) {
            let groups = if found.len() > 1 {
                1..found.len()
            } else {
                0..1
            };
            let groups_out = lists.values();
            for group in groups {
                let text = found.get(group).map(|found| found.as_str());
                groups_out.values().append_option(text);
            }
            groups_out.append(true);
        }
        lists.append(true);
    }
    Ok(Arc::new(lists.finish()))
}

fn split(args: &Arguments) -> Result<ArrayRef> {
    let (texts, patterns) = (args.text(0)?, args.text(1)?);
    let mut lists = ListBuilder::new(StringViewBuilder::new());
    let mut memo = Memo::new();
    for row in 0..args.rows {
        if args.has_null(row) {
            lists.append_null();
            continue;
        }
        let flags = flags_of(args, 2, row)?;
        let key = format!("{flags}\0{}", patterns.value(row));
        let regex = memo.get(&key, |_| compiled(patterns.value(row), flags))?;
        let text = texts.value(row);
        let mut from = 0;
        for found in regex.find_iter(text) {
            // An empty match splits between characters, not before the first or after the last.
            if found.is_empty() && (found.start() == 0 || found.end() == text.len()) {
                continue;
            }
            lists
                .values()
                .append_value(text.get(from..found.start()).unwrap_or_default());
            from = found.end();
        }
        lists
            .values()
            .append_value(text.get(from..).unwrap_or_default());
        lists.append(true);
    }
    Ok(Arc::new(lists.finish()))
}

/// Where the character of a number, counted from 1, starts.
fn start_of(text: &str, number: i64) -> Result<usize> {
    let number = usize::try_from(number)
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| invalid("invalid value for parameter \"start\": it must be 1 or more"))?;
    Ok(text
        .char_indices()
        .nth(number - 1)
        .map_or(text.len(), |(at, _)| at))
}

fn substring(args: &Arguments) -> Result<ArrayRef> {
    let (texts, patterns) = (args.text(0)?, args.text(1)?);
    let mut memo = Memo::new();
    args.texts(|row| {
        let flags = flags_of(args, 4, row)?;
        let key = format!("{flags}\0{}", patterns.value(row));
        let regex = memo.get(&key, |_| compiled(patterns.value(row), flags))?;
        let text = texts.value(row);
        let number = |at: usize| match args.len() > at {
            true => args.integers(at).map(|numbers| numbers.value(row)),
            false => Ok(1),
        };
        let start = start_of(text, number(2)?)?;
        let nth = usize::try_from(number(3)?).unwrap_or(1).max(1);
        let found = regex
            .find_iter(text.get(start..).unwrap_or_default())
            .nth(nth - 1);
        Ok(found.map(|found| found.as_str().to_owned()))
    })
}

/// What `\1` and `\&` in a replacement stand for.
fn expand(replacement: &str, found: &regex::Captures<'_>, out: &mut String) {
    let mut characters = replacement.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match characters.next() {
            Some('&') => out.push_str(found.get(0).map_or("", |found| found.as_str())),
            Some(digit @ '1'..='9') => {
                let group = digit.to_digit(10).unwrap_or(0) as usize;
                out.push_str(found.get(group).map_or("", |found| found.as_str()));
            }
            Some('\\') => out.push('\\'),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
}

/// Replaces the match of a number, or all where it is 0, from a byte on.
fn replaced(regex: &Regex, text: &str, replacement: &str, start: usize, nth: usize) -> String {
    let mut out = text.get(..start).unwrap_or_default().to_owned();
    let rest = text.get(start..).unwrap_or_default();
    let mut from = 0;
    for (at, found) in regex.captures_iter(rest).enumerate() {
        if nth != 0 && at + 1 != nth {
            continue;
        }
        let Some(whole) = found.get(0) else { continue };
        out.push_str(rest.get(from..whole.start()).unwrap_or_default());
        expand(replacement, &found, &mut out);
        from = whole.end();
        if nth != 0 {
            break;
        }
    }
    out.push_str(rest.get(from..).unwrap_or_default());
    out
}

fn replace(args: &Arguments) -> Result<ArrayRef> {
    let (texts, patterns, replacements) = (args.text(0)?, args.text(1)?, args.text(2)?);
    let mut memo = Memo::new();
    args.texts(|row| {
        let flags = flags_of(args, 3, row)?;
        let key = format!("{flags}\0{}", patterns.value(row));
        let regex = memo.get(&key, |_| compiled(patterns.value(row), flags))?;
        let nth = if flags.contains('g') { 0 } else { 1 };
        Ok(Some(replaced(
            regex,
            texts.value(row),
            replacements.value(row),
            0,
            nth,
        )))
    })
}

fn replace_from(args: &Arguments) -> Result<ArrayRef> {
    let (texts, patterns, replacements) = (args.text(0)?, args.text(1)?, args.text(2)?);
    let mut memo = Memo::new();
    args.texts(|row| {
        let flags = flags_of(args, 5, row)?;
        let key = format!("{flags}\0{}", patterns.value(row));
        let regex = memo.get(&key, |_| compiled(patterns.value(row), flags))?;
        let text = texts.value(row);
        let start = start_of(text, args.integers(3)?.value(row))?;
        let nth = match args.len() > 4 {
            true => args.integers(4)?.value(row),
            false => 1,
        };
        let nth = usize::try_from(nth).map_err(|_| invalid("invalid value for parameter \"n\""))?;
        Ok(Some(replaced(
            regex,
            text,
            replacements.value(row),
            start,
            nth,
        )))
    })
}
