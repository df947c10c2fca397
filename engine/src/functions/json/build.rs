//! JSON out of values: `to_json`, `row_to_json`, `json_build_object`, `json_build_array`, `json_object`, and their kin.
//!
//! `json` is written as PostgreSQL writes it, with its spaces; `jsonb` in its canonical form.

use arrow::array::{Array, ArrayRef, AsArray, StringViewArray};
use datafusion::common::Result;
use weir_base::SqlState;

use super::document::{self, quote};
use super::{get, write};
use crate::error::Error;
use crate::functions::define::Kind::{Any, Boolean, Json, List, Text, TextList};
use crate::functions::define::{Arguments, Definition, function, is_null, takes};
use crate::functions::shown;

/// The functions of this file.
pub(super) const FUNCTIONS: [Definition; 13] = [
    function("to_json", &[takes(&[Any], Json, to_json)]),
    function(
        "to_jsonb",
        &[takes(&[Any], Json, |args| canonical(&to_json(args)?))],
    ),
    function(
        "row_to_json",
        &[
            takes(&[Any], Json, to_json),
            takes(&[Any, Boolean], Json, to_json),
        ],
    ),
    function("array_to_json", &[takes(&[Any], Json, to_json)]),
    function(
        "json_build_object",
        &[takes(&[], Json, object).and_more(Any)],
    ),
    function(
        "jsonb_build_object",
        &[takes(&[], Json, |args| canonical(&object(args)?)).and_more(Any)],
    ),
    function("json_build_array", &[takes(&[], Json, array).and_more(Any)]),
    function(
        "jsonb_build_array",
        &[takes(&[], Json, |args| canonical(&array(args)?)).and_more(Any)],
    ),
    function(
        "json_object",
        &[
            takes(&[TextList], Json, object_of_pairs),
            takes(&[TextList, TextList], Json, object_of_lists),
        ],
    ),
    // What aggregates are made of: see `planning/postgres/aggregates`.
    function(
        "json_of_items",
        &[takes(&[List], Json, |args| joined(args, "[", "]"))],
    ),
    function(
        "json_of_pairs",
        &[takes(&[List], Json, |args| joined(args, "{ ", " }"))],
    ),
    function("json_of_list", &[takes(&[List], Json, spaced)]),
    function("json_pair", &[takes(&[Any, Any], Text, pair)]),
];

/// Documents in the form of `jsonb`.
pub(crate) fn canonical(documents: &ArrayRef) -> Result<ArrayRef> {
    let documents = arrow::compute::cast(documents, &arrow::datatypes::DataType::Utf8View)?;
    let canonical = documents.as_string_view().iter().map(|text| {
        text.map(|text| Ok(document::read(text)?.value.canonical()))
            .transpose()
    });
    Ok(std::sync::Arc::new(
        canonical.collect::<Result<StringViewArray>>()?,
    ))
}

fn to_json(args: &Arguments) -> Result<ArrayRef> {
    let (values, field) = (args.array(0)?, args.fields.first());
    let plain = super::plain_field(values);
    let field = field.map_or(&plain, AsRef::as_ref);
    args.texts(|row| {
        let mut text = String::new();
        write::value(values, field, row, &mut text)?;
        Ok(Some(text))
    })
}

/// A text of each row, also of those with nulls.
fn each(args: &Arguments, value: impl Fn(usize) -> Result<String>) -> Result<ArrayRef> {
    let values = (0..args.rows).map(|row| value(row).map(Some));
    Ok(std::sync::Arc::new(
        values.collect::<Result<StringViewArray>>()?,
    ))
}

fn argument(args: &Arguments, at: usize, row: usize, out: &mut String) -> Result<()> {
    let values = args.array(at)?;
    let plain = super::plain_field(values);
    let field = args.fields.get(at).map_or(&plain, AsRef::as_ref);
    write::value(values, field, row, out)
}

fn object(args: &Arguments) -> Result<ArrayRef> {
    if args.len() % 2 == 1 {
        return Err(Error::invalid(
            SqlState::INVALID_PARAMETER_VALUE,
            "an object is built of keys and values in turn: their number must be even",
        )
        .into());
    }
    each(args, |row| {
        let mut text = "{".to_owned();
        for at in (0..args.len()).step_by(2) {
            if at > 0 {
                text.push_str(", ");
            }
            let keys = args.array(at)?;
            if is_null(keys, row) {
                return Err(no_key().into());
            }
            quote(&write::key(keys, row)?, &mut text);
            text.push_str(" : ");
            argument(args, at + 1, row, &mut text)?;
        }
        text.push('}');
        Ok(text)
    })
}

pub(super) fn no_key() -> Error {
    Error::invalid(
        SqlState::INVALID_PARAMETER_VALUE,
        "a key of a JSON object is null",
    )
}

fn array(args: &Arguments) -> Result<ArrayRef> {
    each(args, |row| {
        let mut text = "[".to_owned();
        for at in 0..args.len() {
            if at > 0 {
                text.push_str(", ");
            }
            argument(args, at, row, &mut text)?;
        }
        text.push(']');
        Ok(text)
    })
}

fn object_text(pairs: &[(Option<String>, Option<String>)]) -> Result<String> {
    let mut text = "{".to_owned();
    for (at, (key, value)) in pairs.iter().enumerate() {
        if at > 0 {
            text.push_str(", ");
        }
        quote(key.as_deref().ok_or_else(no_key)?, &mut text);
        text.push_str(" : ");
        match value {
            Some(value) => quote(value, &mut text),
            None => text.push_str("null"),
        }
    }
    text.push('}');
    Ok(text)
}

fn object_of_pairs(args: &Arguments) -> Result<ArrayRef> {
    args.texts(|row| {
        let texts = get::list(args.array(0)?, row);
        let (pairs, rest) = texts.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(uneven().into());
        }
        let pairs: Vec<_> = pairs
            .iter()
            .map(|[key, value]| (key.clone(), value.clone()))
            .collect();
        object_text(&pairs).map(Some)
    })
}

fn object_of_lists(args: &Arguments) -> Result<ArrayRef> {
    args.texts(|row| {
        let (keys, values) = (
            get::list(args.array(0)?, row),
            get::list(args.array(1)?, row),
        );
        if keys.len() != values.len() {
            return Err(uneven().into());
        }
        let pairs: Vec<_> = keys.into_iter().zip(values).collect();
        object_text(&pairs).map(Some)
    })
}

fn uneven() -> Error {
    Error::invalid(
        SqlState("2202E"),
        "an object is made of as many keys as values",
    )
}

/// A list of texts that are JSON as one document; null of a list that is null.
fn joined(args: &Arguments, open: &str, close: &str) -> Result<ArrayRef> {
    args.texts(|row| {
        let items = items(args, row)?;
        let items = (0..items.len()).map(|at| match is_null(&items, at) {
            true => Ok("null".to_owned()),
            false => shown::text_of(&items, at),
        });
        let items = items.collect::<Result<Vec<_>>>()?;
        Ok(Some(format!("{open}{}{close}", items.join(", "))))
    })
}

fn items(args: &Arguments, row: usize) -> Result<ArrayRef> {
    Ok(args.array(0)?.as_list::<i32>().value(row))
}

/// A list of any values as a JSON array, a space between its items.
fn spaced(args: &Arguments) -> Result<ArrayRef> {
    args.texts(|row| {
        let items = items(args, row)?;
        let field = super::plain_field(&items);
        let mut text = "[".to_owned();
        for at in 0..items.len() {
            if at > 0 {
                text.push_str(", ");
            }
            write::value(&items, &field, at, &mut text)?;
        }
        text.push(']');
        Ok(Some(text))
    })
}

/// `"key" : value`.
fn pair(args: &Arguments) -> Result<ArrayRef> {
    each(args, |row| {
        let keys = args.array(0)?;
        if is_null(keys, row) {
            return Err(no_key().into());
        }
        let mut text = String::new();
        quote(&write::key(keys, row)?, &mut text);
        text.push_str(" : ");
        argument(args, 1, row, &mut text)?;
        Ok(text)
    })
}
