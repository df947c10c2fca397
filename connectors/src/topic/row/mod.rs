//! The row codec: a row is a JSON object, and this turns objects into Arrow columns and back.
//!
//! Every type reads back exactly as it was written: floats in their shortest form (`"NaN"` and `"Infinity"` as text),
//! decimals as text, bytes as hexadecimal digits, dates and times in ISO 8601, intervals as ISO 8601 durations, UUIDs in
//! lower case, JSON as it is (its null is SQL's), lists as lists, structs and maps as objects.

mod bytes;
mod column;
mod fields;
mod interval;
mod json;
mod nested;
mod read;
mod scalar;
mod text;
mod write;

use arrow::datatypes::{DataType, Field};

pub(crate) use column::Wrong;
pub(crate) use json::write_string;
pub(crate) use read::{Care, RowReader, Wanted};
pub(crate) use scalar::{east_of_utc, sql_name};
pub(crate) use text::per_second;
pub(crate) use write::{ColumnWriter, RowWriter};

/// The key of the field metadata that names a type's logical meaning (Arrow's canonical extension mechanism).
pub const EXTENSION_NAME: &str = "ARROW:extension:name";
/// The extension name of UUIDs kept as text.
pub const UUID_EXTENSION: &str = "weir.uuid";
/// The extension name of JSON kept as text.
pub const JSON_EXTENSION: &str = "arrow.json";

/// What the text of a column means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Logical {
    Uuid,
    Json,
}

/// The logical meaning that a field's metadata gives it.
pub(crate) fn logical(field: &Field) -> Option<Logical> {
    match field.metadata().get(EXTENSION_NAME).map(String::as_str) {
        Some(UUID_EXTENSION) => Some(Logical::Uuid),
        Some(JSON_EXTENSION) => Some(Logical::Json),
        _ => None,
    }
}

/// Whether a nested type holds UUIDs or JSON.
pub(crate) fn has_logical(data_type: &DataType) -> bool {
    let within = |field: &Field| logical(field).is_some() || has_logical(field.data_type());
    match data_type {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            within(item)
        }
        DataType::Struct(fields) => fields.iter().any(|field| within(field)),
        DataType::Map(entries, _) => has_logical(entries.data_type()),
        _ => false,
    }
}

/// Whether rows can hold this type; if not, the type within it that they cannot hold.
pub(crate) fn unsupported(data_type: &DataType) -> Option<String> {
    match data_type {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            unsupported(item.data_type())
        }
        DataType::Struct(fields) => fields
            .iter()
            .find_map(|field| unsupported(field.data_type())),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => {
                let key = &fields[0];
                let nested = key.data_type().is_nested() || logical(key) == Some(Logical::Json);
                match nested {
                    true => Some(format!(
                        "MAP with keys of type {}",
                        sql_name(key.data_type())
                    )),
                    false => fields
                        .iter()
                        .find_map(|field| unsupported(field.data_type())),
                }
            }
            other => Some(other.to_string()),
        },
        DataType::Timestamp(_, Some(zone)) if east_of_utc(zone).is_none() => {
            Some(format!("TIMESTAMP in time zone {zone:?}"))
        }
        DataType::Null
        | DataType::Boolean
        | DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => None,
        other if scalar::reader(other).is_some() => None,
        other => Some(sql_name(other)),
    }
}

#[cfg(test)]
pub(crate) mod tests;
