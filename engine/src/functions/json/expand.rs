//! JSON as rows: each of these gives a list, which the planner unnests (`planning/postgres/set_returning`).

use std::sync::Arc;

use arrow::array::{ArrayRef, ListArray, ListBuilder, StringViewBuilder, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{Result, internal_err};
use weir_base::SqlState;

use super::document::{self, Document, Part};
use super::get::unquoted;
use crate::error::Error;
use crate::functions::define::Kind::Json;
use crate::functions::define::{
    Arguments, Definition, Variant, function, json_field, takes_by, text_list,
};

/// `json_array_elements`.
pub(super) const ITEMS: Variant = takes_by(
    &[Json],
    |_| Ok(DataType::List(json_field("item"))),
    |args| items(args, true),
);

/// `json_array_elements_text`.
pub(super) const TEXTS: Variant = takes_by(&[Json], |_| Ok(text_list()), |args| items(args, false));

/// `json_object_keys`.
pub(super) const KEYS: Variant = takes_by(&[Json], |_| Ok(text_list()), keys);

/// The functions of this file that the planner knows by name.
pub(super) const FUNCTIONS: [Definition; 2] = [
    function(
        "json_pairs",
        &[takes_by(
            &[Json],
            |_| Ok(pair_list(true)),
            |args| pairs(args, true),
        )],
    ),
    function(
        "json_text_pairs",
        &[takes_by(
            &[Json],
            |_| Ok(pair_list(false)),
            |args| pairs(args, false),
        )],
    ),
];

fn pair_fields(as_json: bool) -> Fields {
    let value = match as_json {
        true => json_field("value"),
        false => Arc::new(Field::new("value", DataType::Utf8View, true)),
    };
    Fields::from(vec![
        Arc::new(Field::new("key", DataType::Utf8View, true)),
        value,
    ])
}

fn pair_list(as_json: bool) -> DataType {
    DataType::new_list(DataType::Struct(pair_fields(as_json)), true)
}

fn items(args: &Arguments, as_json: bool) -> Result<ArrayRef> {
    let documents = args.text(0)?;
    let DataType::List(field) = args.result.data_type() else {
        return internal_err!("items that are no list");
    };
    let mut lists = ListBuilder::new(StringViewBuilder::new()).with_field(Arc::clone(field));
    for row in 0..args.rows {
        if args.has_null(row) {
            lists.append_null();
            continue;
        }
        let text = documents.value(row);
        let document = document::read(text)?;
        let Document::List(items) = &document.value else {
            return Err(wrong(&document.value, "array").into());
        };
        for item in items {
            lists.values().append_option(shown(item, text, as_json));
        }
        lists.append(true);
    }
    Ok(Arc::new(lists.finish()))
}

fn shown(part: &Part, text: &str, as_json: bool) -> Option<String> {
    match as_json {
        true => Some(part.text(text).to_owned()),
        false => unquoted(part, text),
    }
}

fn keys(args: &Arguments) -> Result<ArrayRef> {
    let documents = args.text(0)?;
    let DataType::List(field) = args.result.data_type() else {
        return internal_err!("keys that are no list");
    };
    let mut lists = ListBuilder::new(StringViewBuilder::new()).with_field(Arc::clone(field));
    for row in 0..args.rows {
        if args.has_null(row) {
            lists.append_null();
            continue;
        }
        let document = document::read(documents.value(row))?;
        let Document::Object(fields) = &document.value else {
            return Err(wrong(&document.value, "object").into());
        };
        for (key, _) in fields {
            lists.values().append_value(key);
        }
        lists.append(true);
    }
    Ok(Arc::new(lists.finish()))
}

fn pairs(args: &Arguments, as_json: bool) -> Result<ArrayRef> {
    let documents = args.text(0)?;
    let (mut keys, mut values) = (StringViewBuilder::new(), StringViewBuilder::new());
    let mut lengths = Vec::with_capacity(args.rows);
    for row in 0..args.rows {
        if args.has_null(row) {
            lengths.push(0);
            continue;
        }
        let text = documents.value(row);
        let document = document::read(text)?;
        let Document::Object(fields) = &document.value else {
            return Err(wrong(&document.value, "object").into());
        };
        for (key, part) in fields {
            keys.append_value(key);
            values.append_option(shown(part, text, as_json));
        }
        lengths.push(fields.len());
    }
    let pairs = StructArray::try_new(
        pair_fields(as_json),
        vec![Arc::new(keys.finish()), Arc::new(values.finish())],
        None,
    )?;
    let nulls = NullBuffer::from_iter((0..args.rows).map(|row| !args.has_null(row)));
    let item = Arc::new(Field::new_list_field(
        DataType::Struct(pair_fields(as_json)),
        true,
    ));
    Ok(Arc::new(ListArray::try_new(
        item,
        OffsetBuffer::from_lengths(lengths),
        Arc::new(pairs),
        Some(nulls),
    )?))
}

fn wrong(found: &Document, wanted: &str) -> Error {
    Error::invalid(
        SqlState::INVALID_PARAMETER_VALUE,
        format!("a JSON {} is no {wanted}", found.type_name()),
    )
}
