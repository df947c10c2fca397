//! One text for schemas that differ only in how they are written.
//!
//! Unlike the specification's *parsing canonical form*, nothing is lost that a reader or a person uses: defaults, aliases,
//! documentation and other attributes stay.

use serde_json::{Map, Value};

use super::{full_name, primitive};

/// The order in which attributes are written; others follow in the order in which they were given.
const ORDER: [&str; 13] = [
    "type",
    "name",
    "namespace",
    "doc",
    "fields",
    "items",
    "values",
    "size",
    "symbols",
    "default",
    "order",
    "aliases",
    "logicalType",
];

/// The schema with attributes in one order, and `{"type": "int"}` as `"int"`.
pub(super) fn canonical(schema: &Value) -> Value {
    let Value::Object(object) = schema else {
        return match schema {
            Value::Array(branches) => branches.iter().map(canonical).collect(),
            other => other.clone(),
        };
    };
    if let Some(inner) = sole_type(object) {
        return canonical(inner);
    }
    let mut written = Map::new();
    let others = object.keys().map(String::as_str);
    for name in ORDER.into_iter().chain(others) {
        if written.contains_key(name) {
            continue;
        }
        let Some(value) = object.get(name) else {
            continue;
        };
        let value = match (name, value) {
            ("type" | "items" | "values", value) => canonical(value),
            ("fields", Value::Array(fields)) => fields.iter().map(field).collect(),
            (_, value) => value.clone(),
        };
        written.insert(name.to_owned(), value);
    }
    Value::Object(written)
}

/// A field keeps its object whatever is in it.
fn field(field: &Value) -> Value {
    let Value::Object(object) = field else {
        return field.clone();
    };
    let mut written = Map::new();
    let others = object.keys().map(String::as_str);
    let order = ["name", "type", "doc", "default", "order", "aliases"];
    for name in order.into_iter().chain(others) {
        if !written.contains_key(name)
            && let Some(value) = object.get(name)
            // Ascending is what it is anyway.
            && (name != "order" || value != "ascending")
        {
            let value = if name == "type" {
                canonical(value)
            } else {
                value.clone()
            };
            written.insert(name.to_owned(), value);
        }
    }
    Value::Object(written)
}

/// The type that an object is, if it says nothing else.
fn sole_type(object: &Map<String, Value>) -> Option<&Value> {
    let of = object.get("type")?;
    match of {
        Value::String(name) if primitive(name).is_none() => None,
        _ if object.len() == 1 => Some(of),
        _ => None,
    }
}

/// The canonical schema with every name in full and attributes sorted.
pub(super) fn normalized(schema: &Value) -> Value {
    in_full(&canonical(schema), None)
}

fn in_full(schema: &Value, namespace: Option<&str>) -> Value {
    match schema {
        Value::String(name) if primitive(name).is_none() => full_name(name, namespace).into(),
        Value::Array(branches) => branches
            .iter()
            .map(|branch| in_full(branch, namespace))
            .collect(),
        Value::Object(object) => object_in_full(object, namespace),
        other => other.clone(),
    }
}

fn object_in_full(object: &Map<String, Value>, surrounding: Option<&str>) -> Value {
    let own = object.get("namespace").and_then(Value::as_str);
    let name = object.get("name").and_then(Value::as_str);
    let full = name.map(|name| full_name(name, own.or(surrounding)));
    let namespace = match &full {
        Some(full) => full.rsplit_once('.').map(|(space, _)| space),
        None => surrounding,
    };
    let mut names: Vec<&String> = object.keys().filter(|name| *name != "namespace").collect();
    names.sort();
    let mut written = Map::new();
    for name in names {
        let Some(value) = object.get(name) else {
            continue;
        };
        let value = match (name.as_str(), value) {
            ("name", _) => full.clone().map_or_else(|| value.clone(), Value::String),
            ("type", Value::String(word)) if is_word(word) => value.clone(),
            ("type" | "items" | "values", value) => in_full(value, namespace),
            ("fields", Value::Array(fields)) => fields
                .iter()
                .map(|field| field_in_full(field, namespace))
                .collect(),
            ("aliases", Value::Array(aliases)) => aliases
                .iter()
                .map(|alias| {
                    alias
                        .as_str()
                        .map_or_else(|| alias.clone(), |alias| full_name(alias, namespace).into())
                })
                .collect(),
            (_, value) => value.clone(),
        };
        written.insert(name.clone(), value);
    }
    Value::Object(written)
}

fn field_in_full(field: &Value, namespace: Option<&str>) -> Value {
    let Value::Object(object) = field else {
        return field.clone();
    };
    let mut names: Vec<(&String, &Value)> = object.iter().collect();
    names.sort_by_key(|(name, _)| *name);
    names
        .into_iter()
        .map(|(name, value)| {
            let value = if name == "type" {
                in_full(value, namespace)
            } else {
                value.clone()
            };
            (name.clone(), value)
        })
        .collect()
}

fn is_word(name: &str) -> bool {
    matches!(
        name,
        "record" | "error" | "enum" | "fixed" | "array" | "map"
    )
}
