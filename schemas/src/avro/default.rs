//! Whether a field's default is a value of its type. For a union, any branch will do, as in Avro 1.12.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::{Named, NamedBody, Shape, Type};
use crate::{Error, Result};

pub(super) fn check(
    value: &Value,
    of: &Type,
    named: &BTreeMap<Arc<str>, Arc<Named>>,
) -> Result<()> {
    if is_value(value, of, named) {
        return Ok(());
    }
    let name = of.describe(|name| named.get(name).cloned());
    Err(Error::invalid(format!(
        "the default {value} is no value of type {name}"
    )))
}

fn is_value(value: &Value, of: &Type, named: &BTreeMap<Arc<str>, Arc<Named>>) -> bool {
    match &of.shape {
        Shape::Null => value.is_null(),
        Shape::Boolean => value.is_boolean(),
        Shape::Int => value
            .as_i64()
            .is_some_and(|number| i32::try_from(number).is_ok()),
        Shape::Long => value.is_i64(),
        Shape::Float | Shape::Double => {
            value.is_number() || matches!(value.as_str(), Some("NaN" | "Infinity" | "-Infinity"))
        }
        Shape::Bytes => value.as_str().is_some_and(is_latin),
        Shape::String => value.is_string(),
        Shape::Array(items) => value
            .as_array()
            .is_some_and(|list| list.iter().all(|item| is_value(item, items, named))),
        Shape::Map(values) => value
            .as_object()
            .is_some_and(|map| map.values().all(|value| is_value(value, values, named))),
        Shape::Union(branches) => branches.iter().any(|of| is_value(value, of, named)),
        Shape::Named(name) => match named.get(name).map(|named| &named.body) {
            Some(NamedBody::Record(fields)) => value.as_object().is_some_and(|object| {
                fields.iter().all(|field| match object.get(&field.name) {
                    Some(value) => is_value(value, &field.of, named),
                    None => field.default.is_some(),
                })
            }),
            Some(NamedBody::Enum { symbols, .. }) => value
                .as_str()
                .is_some_and(|symbol| symbols.iter().any(|known| known == symbol)),
            Some(NamedBody::Fixed(size)) => value
                .as_str()
                .is_some_and(|text| is_latin(text) && text.chars().count() == *size),
            None => false,
        },
    }
}

/// Bytes are written as text of the code points 0 to 255.
fn is_latin(text: &str) -> bool {
    text.chars().all(|point| u32::from(point) < 256)
}
