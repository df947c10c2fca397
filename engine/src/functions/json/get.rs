//! Looking into JSON: `->`, `->>`, `#>`, `#>>`, `@>`, `?`, and the functions that ask what a value is.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array};
use datafusion::common::Result;
use weir_base::SqlState;

use super::document::{self, Document, Part};
use crate::error::Error;
use crate::functions::define::Kind::{Boolean, Integer, Json, Text, TextList};
use crate::functions::define::{Arguments, Definition, function, takes};

/// The functions of this file.
pub(super) const FUNCTIONS: [Definition; 24] = [
    function(
        "json_get_value",
        &[
            takes(&[Json, Text], Json, |args| field(args, raw)),
            takes(&[Json, Integer], Json, |args| item(args, raw)),
        ],
    ),
    function(
        "json_get_text",
        &[
            takes(&[Json, Text], Text, |args| field(args, unquoted)),
            takes(&[Json, Integer], Text, |args| item(args, unquoted)),
        ],
    ),
    function(
        "json_get_path",
        &[takes(&[Json, TextList], Json, |args| path(args, raw))],
    ),
    function(
        "json_get_path_text",
        &[takes(&[Json, TextList], Text, |args| path(args, unquoted))],
    ),
    function(
        "json_extract_path",
        &[takes(&[Json], Json, |args| steps(args, raw)).and_more(Text)],
    ),
    function(
        "jsonb_extract_path",
        &[takes(&[Json], Json, |args| steps(args, raw)).and_more(Text)],
    ),
    function(
        "json_extract_path_text",
        &[takes(&[Json], Text, |args| steps(args, unquoted)).and_more(Text)],
    ),
    function(
        "jsonb_extract_path_text",
        &[takes(&[Json], Text, |args| steps(args, unquoted)).and_more(Text)],
    ),
    function("jsonb_contains", &[takes(&[Json, Json], Boolean, contains)]),
    function("jsonb_exists", &[takes(&[Json, Text], Boolean, exists)]),
    function(
        "jsonb_exists_any",
        &[takes(&[Json, TextList], Boolean, |args| {
            exists_of(args, false)
        })],
    ),
    function(
        "jsonb_exists_all",
        &[takes(&[Json, TextList], Boolean, |args| {
            exists_of(args, true)
        })],
    ),
    function("json_typeof", &[takes(&[Json], Text, type_of)]),
    function("jsonb_typeof", &[takes(&[Json], Text, type_of)]),
    function("json_array_length", &[takes(&[Json], Integer, length)]),
    function("jsonb_array_length", &[takes(&[Json], Integer, length)]),
    function(
        "jsonb_pretty",
        &[takes(&[Json], Text, |args| {
            let documents = args.text(0)?;
            args.texts(|row| Ok(Some(document::read(documents.value(row))?.value.pretty())))
        })],
    ),
    function(
        "jsonb_text",
        &[takes(&[Text], Json, |args| {
            let documents = args.text(0)?;
            args.texts(|row| {
                Ok(Some(
                    document::read(documents.value(row))?.value.canonical(),
                ))
            })
        })],
    ),
    function(
        "json_text",
        &[takes(&[Text], Json, |args| {
            let documents = args.text(0)?;
            args.texts(|row| {
                let text = documents.value(row);
                document::read(text)?;
                Ok(Some(text.to_owned()))
            })
        })],
    ),
    function("jsonb_equal", &[takes(&[Json, Json], Boolean, equal)]),
    function(
        "json_scalar_text",
        &[takes(&[Json], Text, |args| {
            let documents = args.text(0)?;
            args.texts(|row| {
                let text = documents.value(row);
                Ok(unquoted(&document::read(text)?, text))
            })
        })],
    ),
    function("json_array_items", &[super::expand::ITEMS]),
    function("json_array_texts", &[super::expand::TEXTS]),
    function("json_keys", &[super::expand::KEYS]),
];

type Shown = fn(&Part, &str) -> Option<String>;

/// A part as it is written.
fn raw(part: &Part, text: &str) -> Option<String> {
    Some(part.text(text).to_owned())
}

/// A text without its quotes, everything else as it is written; none for `null`.
pub(super) fn unquoted(part: &Part, text: &str) -> Option<String> {
    match &part.value {
        Document::Null => None,
        Document::Text(value) => Some(value.clone()),
        _ => raw(part, text),
    }
}

fn field(args: &Arguments, shown: Shown) -> Result<ArrayRef> {
    let (documents, names) = (args.text(0)?, args.text(1)?);
    args.texts(|row| {
        let text = documents.value(row);
        let document = document::read(text)?;
        let part = document.value.field(names.value(row));
        Ok(part.and_then(|part| shown(part, text)))
    })
}

fn item(args: &Arguments, shown: Shown) -> Result<ArrayRef> {
    let (documents, places) = (args.text(0)?, args.integers(1)?);
    args.texts(|row| {
        let text = documents.value(row);
        let document = document::read(text)?;
        let part = document.value.item(places.value(row));
        Ok(part.and_then(|part| shown(part, text)))
    })
}

/// The part that the steps of a path lead to.
pub(super) fn follow(
    document: &Part,
    steps: impl IntoIterator<Item = impl AsRef<str>>,
) -> Option<&Part> {
    steps.into_iter().try_fold(document, |part, step| {
        let step = step.as_ref();
        match &part.value {
            Document::Object(_) => part.value.field(step),
            Document::List(_) => part.value.item(step.trim().parse().ok()?),
            _ => None,
        }
    })
}

fn path(args: &Arguments, shown: Shown) -> Result<ArrayRef> {
    let documents = args.text(0)?;
    args.texts(|row| {
        let text = documents.value(row);
        let Some(steps) = list(args.array(1)?, row)
            .into_iter()
            .collect::<Option<Vec<_>>>()
        else {
            return Ok(None);
        };
        let document = document::read(text)?;
        Ok(follow(&document, steps).and_then(|part| shown(part, text)))
    })
}

fn steps(args: &Arguments, shown: Shown) -> Result<ArrayRef> {
    let documents = args.text(0)?;
    args.texts(|row| {
        let text = documents.value(row);
        let document = document::read(text)?;
        let steps = (1..args.len()).map(|at| args.text(at).map(|steps| steps.value(row)));
        let steps = steps.collect::<Result<Vec<_>>>()?;
        Ok(follow(&document, steps).and_then(|part| shown(part, text)))
    })
}

/// The texts of a list in a row.
pub(super) fn list(lists: &ArrayRef, row: usize) -> Vec<Option<String>> {
    let Some(lists) = lists
        .as_list_opt::<i32>()
        .filter(|lists| !lists.is_null(row))
    else {
        return Vec::new();
    };
    let items = lists.value(row);
    match items.as_string_view_opt() {
        Some(items) => items.iter().map(|item| item.map(str::to_owned)).collect(),
        None => Vec::new(),
    }
}

fn contains(args: &Arguments) -> Result<ArrayRef> {
    let (left, right) = (args.text(0)?, args.text(1)?);
    args.values::<bool, BooleanArray>(|row| {
        let (left, right) = (
            document::read(left.value(row))?,
            document::read(right.value(row))?,
        );
        Ok(Some(left.value.contains(&right.value)))
    })
}

fn equal(args: &Arguments) -> Result<ArrayRef> {
    let (left, right) = (args.text(0)?, args.text(1)?);
    args.values::<bool, BooleanArray>(|row| {
        let (left, right) = (
            document::read(left.value(row))?,
            document::read(right.value(row))?,
        );
        Ok(Some(left.value.equals(&right.value)))
    })
}

/// Whether a text is a key of an object, or an item of a list.
fn has(document: &Document, key: &str) -> bool {
    match document {
        Document::Object(_) => document.field(key).is_some(),
        Document::List(items) => items
            .iter()
            .any(|item| matches!(&item.value, Document::Text(text) if text == key)),
        Document::Text(text) => text == key,
        _ => false,
    }
}

fn exists(args: &Arguments) -> Result<ArrayRef> {
    let (documents, keys) = (args.text(0)?, args.text(1)?);
    args.values::<bool, BooleanArray>(|row| {
        let document = document::read(documents.value(row))?;
        Ok(Some(has(&document.value, keys.value(row))))
    })
}

fn exists_of(args: &Arguments, all: bool) -> Result<ArrayRef> {
    let documents = args.text(0)?;
    args.values::<bool, BooleanArray>(|row| {
        let document = document::read(documents.value(row))?;
        let keys = list(args.array(1)?, row);
        let mut found = keys.iter().flatten().map(|key| has(&document.value, key));
        Ok(Some(match all {
            true => found.all(|found| found),
            false => found.any(|found| found),
        }))
    })
}

fn type_of(args: &Arguments) -> Result<ArrayRef> {
    let documents = args.text(0)?;
    args.texts(|row| {
        let document = document::read(documents.value(row))?;
        Ok(Some(document.value.type_name().to_owned()))
    })
}

fn length(args: &Arguments) -> Result<ArrayRef> {
    let documents = args.text(0)?;
    args.values::<i64, Int64Array>(|row| match document::read(documents.value(row))?.value {
        Document::List(items) => Ok(Some(items.len() as i64)),
        other => Err(Error::invalid(
            SqlState::INVALID_PARAMETER_VALUE,
            format!(
                "cannot get the length of a JSON {}: it is no array",
                other.type_name()
            ),
        )
        .into()),
    })
}
