//! JSON out of JSON: `jsonb_set`, `jsonb_insert`, `||`, `-`, `#-`, and without nulls.

use arrow::array::ArrayRef;
use datafusion::common::Result;
use weir_base::SqlState;

use super::document::{self, Document, Part, index};
use super::get::list;
use crate::error::Error;
use crate::functions::define::Kind::{Boolean, Integer, Json, Text, TextList};
use crate::functions::define::{Arguments, Definition, function, takes};

/// The functions of this file.
pub(super) const FUNCTIONS: [Definition; 7] = [
    function(
        "jsonb_set",
        &[
            takes(&[Json, TextList, Json], Json, set),
            takes(&[Json, TextList, Json, Boolean], Json, set),
        ],
    ),
    function(
        "jsonb_insert",
        &[
            takes(&[Json, TextList, Json], Json, insert),
            takes(&[Json, TextList, Json, Boolean], Json, insert),
        ],
    ),
    function("jsonb_concat", &[takes(&[Json, Json], Json, concat)]),
    function(
        "jsonb_delete",
        &[
            takes(&[Json, Text], Json, delete_key),
            takes(&[Json, Integer], Json, delete_item),
            takes(&[Json, TextList], Json, delete_keys),
        ],
    ),
    function(
        "jsonb_delete_path",
        &[takes(&[Json, TextList], Json, delete_path)],
    ),
    function(
        "jsonb_strip_nulls",
        &[takes(&[Json], Json, |args| strip_nulls(args, true))],
    ),
    function(
        "json_strip_nulls",
        &[takes(&[Json], Json, |args| strip_nulls(args, false))],
    ),
];

/// What is done where a path ends.
enum Change {
    /// Puts a value there; whether one that is not there comes into being.
    Set(Document, bool),
    /// Puts a value before or after what is there.
    Insert(Document, bool),
    Delete,
}

/// Does `change` where `path` ends. A path that leads nowhere changes nothing.
fn change(document: &mut Document, path: &[String], change: Change) -> Result<()> {
    let Some((step, rest)) = path.split_first() else {
        return Ok(());
    };
    match document {
        Document::Object(fields) => {
            let at = fields.iter().rposition(|(key, _)| key == step);
            if !rest.is_empty() {
                if let Some((_, part)) = at.and_then(|at| fields.get_mut(at)) {
                    return self::change(&mut part.value, rest, change);
                }
                return Ok(());
            }
            match (change, at) {
                (Change::Set(value, _), Some(at)) => {
                    if let Some((_, part)) = fields.get_mut(at) {
                        *part = Part::made(value);
                    }
                }
                (Change::Set(value, true) | Change::Insert(value, _), None) => {
                    fields.push((step.clone(), Part::made(value)));
                }
                (Change::Set(_, false), None) => {}
                (Change::Insert(..), Some(_)) => {
                    return Err(Error::invalid(
                        SqlState::INVALID_PARAMETER_VALUE,
                        format!("the key {step:?} is there already"),
                    )
                    .with_hint("use jsonb_set to replace its value")
                    .into());
                }
                (Change::Delete, _) => fields.retain(|(key, _)| key != step),
            }
        }
        Document::List(items) => {
            let place = step.trim().parse::<i64>().map_err(|_| {
                Error::invalid(
                    SqlState::INVALID_TEXT_REPRESENTATION,
                    format!(
                        "the path element {step:?} is no whole number, but stands where an array is"
                    ),
                )
            })?;
            let at = index(place, items.len());
            let found = at.filter(|at| *at < items.len());
            if !rest.is_empty() {
                if let Some(part) = found.and_then(|at| items.get_mut(at)) {
                    return self::change(&mut part.value, rest, change);
                }
                return Ok(());
            }
            match (change, found) {
                (Change::Set(value, _), Some(at)) => {
                    if let Some(part) = items.get_mut(at) {
                        *part = Part::made(value);
                    }
                }
                (Change::Set(_, false), None) => {}
                (Change::Insert(value, after), Some(at)) => {
                    items.insert(at + usize::from(after), Part::made(value));
                }
                (Change::Set(value, true) | Change::Insert(value, _), None) => {
                    let end = if place < 0 { 0 } else { items.len() };
                    items.insert(end, Part::made(value));
                }
                (Change::Delete, Some(at)) => {
                    items.remove(at);
                }
                (Change::Delete, None) => {}
            }
        }
        _ => {}
    }
    Ok(())
}

fn path_of(args: &Arguments, at: usize, row: usize) -> Result<Option<Vec<String>>> {
    Ok(list(args.array(at)?, row).into_iter().collect())
}

fn flag(args: &Arguments, at: usize, row: usize, default: bool) -> Result<bool> {
    match args.len() > at {
        true => Ok(args.booleans(at)?.value(row)),
        false => Ok(default),
    }
}

fn changed(
    args: &Arguments,
    change: impl Fn(usize, &mut Document) -> Result<()>,
) -> Result<ArrayRef> {
    let documents = args.text(0)?;
    args.texts(|row| {
        let mut document = document::read(documents.value(row))?.value;
        change(row, &mut document)?;
        Ok(Some(document.canonical()))
    })
}

fn set(args: &Arguments) -> Result<ArrayRef> {
    let values = args.text(2)?;
    changed(args, |row, document| {
        let Some(path) = path_of(args, 1, row)? else {
            return Err(null_in_path().into());
        };
        let value = document::read(values.value(row))?.value;
        change(
            document,
            &path,
            Change::Set(value, flag(args, 3, row, true)?),
        )
    })
}

fn insert(args: &Arguments) -> Result<ArrayRef> {
    let values = args.text(2)?;
    changed(args, |row, document| {
        let Some(path) = path_of(args, 1, row)? else {
            return Err(null_in_path().into());
        };
        let value = document::read(values.value(row))?.value;
        change(
            document,
            &path,
            Change::Insert(value, flag(args, 3, row, false)?),
        )
    })
}

fn null_in_path() -> Error {
    Error::invalid(SqlState("22004"), "an element of the path is null")
}

fn delete_path(args: &Arguments) -> Result<ArrayRef> {
    changed(args, |row, document| match path_of(args, 1, row)? {
        Some(path) => change(document, &path, Change::Delete),
        None => Err(null_in_path().into()),
    })
}

fn delete_key(args: &Arguments) -> Result<ArrayRef> {
    let keys = args.text(1)?;
    changed(args, |row, document| {
        without(document, &|key| key == keys.value(row));
        Ok(())
    })
}

fn delete_keys(args: &Arguments) -> Result<ArrayRef> {
    changed(args, |row, document| {
        let keys = list(args.array(1)?, row);
        without(document, &|key| {
            keys.iter().flatten().any(|gone| gone == key)
        });
        Ok(())
    })
}

fn without(document: &mut Document, gone: &dyn Fn(&str) -> bool) {
    match document {
        Document::Object(fields) => fields.retain(|(key, _)| !gone(key)),
        Document::List(items) => {
            items.retain(|item| !matches!(&item.value, Document::Text(text) if gone(text)));
        }
        _ => {}
    }
}

fn delete_item(args: &Arguments) -> Result<ArrayRef> {
    let places = args.integers(1)?;
    changed(args, |row, document| {
        let Document::List(items) = document else {
            return Err(Error::invalid(
                SqlState::INVALID_PARAMETER_VALUE,
                format!(
                    "cannot delete by a place from a JSON {}",
                    document.type_name()
                ),
            )
            .into());
        };
        if let Some(at) = index(places.value(row), items.len()).filter(|at| *at < items.len()) {
            items.remove(at);
        }
        Ok(())
    })
}

fn concat(args: &Arguments) -> Result<ArrayRef> {
    let right = args.text(1)?;
    changed(args, |row, left| {
        let right = document::read(right.value(row))?.value;
        let both = match (std::mem::replace(left, Document::Null), right) {
            (Document::Object(mut fields), Document::Object(more)) => {
                fields.extend(more);
                Document::Object(fields)
            }
            (left, right) => {
                let mut items = items_of(left);
                items.extend(items_of(right));
                Document::List(items)
            }
        };
        *left = both;
        Ok(())
    })
}

/// The items of a list; of another value, itself.
fn items_of(document: Document) -> Vec<Part> {
    match document {
        Document::List(items) => items,
        other => vec![Part::made(other)],
    }
}

fn strip_nulls(args: &Arguments, is_binary: bool) -> Result<ArrayRef> {
    let documents = args.text(0)?;
    args.texts(|row| {
        let mut document = document::read(documents.value(row))?.value;
        strip(&mut document);
        let text = document.canonical();
        Ok(Some(match is_binary {
            true => text,
            false => compact(&document),
        }))
    })
}

fn strip(document: &mut Document) {
    match document {
        Document::Object(fields) => {
            fields.retain(|(_, part)| part.value != Document::Null);
            fields
                .iter_mut()
                .for_each(|(_, part)| strip(&mut part.value));
        }
        Document::List(items) => items.iter_mut().for_each(|part| strip(&mut part.value)),
        _ => {}
    }
}

/// The text without spaces, fields in their order.
fn compact(document: &Document) -> String {
    let mut text = String::new();
    match document {
        Document::Object(fields) => {
            text.push('{');
            for (at, (key, part)) in fields.iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                document::quote(key, &mut text);
                text.push(':');
                text.push_str(&compact(&part.value));
            }
            text.push('}');
        }
        Document::List(items) => {
            let items: Vec<_> = items.iter().map(|part| compact(&part.value)).collect();
            text = format!("[{}]", items.join(","));
        }
        simple => text = simple.canonical(),
    }
    text
}
