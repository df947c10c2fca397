//! JSON Schema: what is checked of it, its text, and which can read what another describes.

mod comparison;
mod content;
mod pointer;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use pointer::Document;
use serde_json::{Map, Value};

pub use comparison::cannot_read;

use crate::{Error, Result};

/// No schema nests deeper: what walks it is recursive.
const DEPTH_MAX: usize = 64;

/// A JSON Schema with what it refers to.
#[derive(Debug, Clone)]
pub struct JsonSchema {
    document: Arc<Document>,
    /// Other documents, by the URI that `$ref` gives.
    others: BTreeMap<String, Arc<Document>>,
}

impl JsonSchema {
    /// Reads a schema; `references` are the documents that its `$ref` may name.
    ///
    /// # Errors
    /// [`crate::Code::InvalidSchema`] says what is wrong and where.
    pub fn parse<'a>(
        text: &str,
        references: impl IntoIterator<Item = (&'a str, &'a Self)>,
    ) -> Result<Self> {
        let document: Value = serde_json::from_str(text)
            .map_err(|error| Error::invalid(format!("the schema is not JSON: {error}")))?;
        let mut others = BTreeMap::new();
        for (name, schema) in references {
            others.extend(
                schema
                    .others
                    .iter()
                    .map(|(name, of)| (name.clone(), Arc::clone(of))),
            );
            others.insert(name.to_owned(), Arc::clone(&schema.document));
        }
        let schema = Self {
            document: Arc::new(Document::new(document)),
            others,
        };
        schema.check(&schema.document.value, "", 0)?;
        Ok(schema)
    }

    /// The schema without spaces.
    pub fn canonical(&self) -> String {
        self.document.value.to_string()
    }

    /// The schema without spaces, with sorted keys.
    pub fn normalized(&self) -> String {
        sorted(&self.document.value).to_string()
    }

    pub(crate) fn document(&self) -> &Document {
        &self.document
    }

    fn check(&self, schema: &Value, path: &str, depth: usize) -> Result<()> {
        if depth > DEPTH_MAX {
            return Err(invalid(
                path,
                &format!("schemas are nested deeper than {DEPTH_MAX}"),
            ));
        }
        let object = match schema {
            Value::Bool(_) => return Ok(()),
            Value::Object(object) => object,
            other => {
                return Err(invalid(
                    path,
                    &format!("{other} is no schema; write an object, true or false"),
                ));
            }
        };
        for (key, value) in object {
            let path = format!("{path}/{}", pointer::escaped(key));
            self.check_keyword(key, value, &path)?;
            for (inner, at) in subschemas(key, value) {
                self.check(inner, &format!("{path}{at}"), depth + 1)?;
            }
        }
        Ok(())
    }

    fn check_keyword(&self, key: &str, value: &Value, path: &str) -> Result<()> {
        let expected = match key {
            "type" if types(value).is_none() => {
                "one of null, boolean, integer, number, string, array, object, or a list of them"
            }
            "enum" if !value.is_array() => "a list",
            "required" if strings(value).is_none() && !value.is_boolean() => "a list of names",
            "properties" | "patternProperties" | "definitions" | "$defs" | "dependencies"
            | "dependentSchemas" | "dependentRequired"
                if !value.is_object() =>
            {
                "an object"
            }
            "allOf" | "anyOf" | "oneOf" | "prefixItems"
                if value.as_array().is_none_or(Vec::is_empty) =>
            {
                "a list of schemas that is not empty"
            }
            "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties"
            | "maxProperties"
                if count(value).is_none() =>
            {
                "a number of 0 or more without a fraction"
            }
            "minimum" | "maximum" if !value.is_number() => "a number",
            "exclusiveMinimum" | "exclusiveMaximum"
                if !value.is_number() && !value.is_boolean() =>
            {
                "a number"
            }
            "multipleOf" if value.as_f64().is_none_or(|number| number <= 0.0) => "a number above 0",
            "pattern" | "format" | "title" | "description" | "$schema" | "$id" | "$ref"
            | "$anchor"
                if !value.is_string() =>
            {
                "a text"
            }
            "uniqueItems" if !value.is_boolean() => "true or false",
            "$ref" => return self.check_reference(value.as_str().unwrap_or_default(), path),
            _ => return Ok(()),
        };
        Err(invalid(path, &format!("{value} is not {expected}")))
    }

    fn check_reference(&self, reference: &str, path: &str) -> Result<()> {
        match self.resolve(&self.document, reference) {
            Some(_) => Ok(()),
            None => Err(invalid(
                path,
                &format!("{reference:?} is neither in the schema nor among its references"),
            )),
        }
    }

    /// The schema that a `$ref` in `document` names, and the document that it is in.
    pub(crate) fn resolve<'a>(
        &'a self,
        document: &'a Document,
        reference: &str,
    ) -> Option<(&'a Value, &'a Document)> {
        let (uri, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        if uri.is_empty() {
            return document.find(fragment).map(|found| (found, document));
        }
        if let Some(other) = self.others.get(uri) {
            return other.find(fragment).map(|found| (found, &**other));
        }
        if let Some(inner) = document.with_id(uri) {
            let found = pointer::within(inner, fragment).or_else(|| document.find(fragment));
            return found.map(|found| (found, document));
        }
        // The drafts' own schemas describe schemas: of those nothing is compared.
        uri.contains("json-schema.org/")
            .then_some((&Value::Bool(true), document))
    }
}

/// The schemas directly in a keyword's value, each with the rest of its path.
fn subschemas<'a>(key: &str, value: &'a Value) -> Vec<(&'a Value, String)> {
    match (key, value) {
        (
            "properties" | "patternProperties" | "definitions" | "$defs" | "dependentSchemas",
            Value::Object(map),
        ) => in_map(map).collect(),
        ("dependencies", Value::Object(map)) => {
            in_map(map).filter(|(value, _)| !value.is_array()).collect()
        }
        ("allOf" | "anyOf" | "oneOf" | "prefixItems" | "items", Value::Array(list)) => list
            .iter()
            .enumerate()
            .map(|(at, of)| (of, format!("/{at}")))
            .collect(),
        (
            "items"
            | "additionalItems"
            | "unevaluatedItems"
            | "contains"
            | "additionalProperties"
            | "unevaluatedProperties"
            | "propertyNames"
            | "not"
            | "if"
            | "then"
            | "else",
            of,
        ) => vec![(of, String::new())],
        _ => Vec::new(),
    }
}

fn in_map(map: &Map<String, Value>) -> impl Iterator<Item = (&Value, String)> {
    map.iter()
        .map(|(name, of)| (of, format!("/{}", pointer::escaped(name))))
}

/// The types that the keyword `type` names.
pub(crate) fn types(value: &Value) -> Option<Vec<&str>> {
    let known = |name: &&str| {
        matches!(
            *name,
            "null" | "boolean" | "integer" | "number" | "string" | "array" | "object"
        )
    };
    match value {
        Value::String(name) => Some(vec![name.as_str()]).filter(|names| names.iter().all(known)),
        Value::Array(_) => {
            strings(value).filter(|names| !names.is_empty() && names.iter().all(known))
        }
        _ => None,
    }
}

fn strings(value: &Value) -> Option<Vec<&str>> {
    value.as_array()?.iter().map(Value::as_str).collect()
}

/// A number without a fraction: `2.0` is one, as the drafts say.
pub(crate) fn count(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| {
        let number = value.as_f64()?;
        (number >= 0.0 && number.fract() == 0.0 && number < 9e15).then_some(number as u64)
    })
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<(&String, &Value)> = map.iter().collect();
            keys.sort_by_key(|(key, _)| *key);
            keys.into_iter()
                .map(|(key, value)| (key.clone(), sorted(value)))
                .collect()
        }
        Value::Array(list) => list.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

fn invalid(path: &str, message: &str) -> Error {
    let path = if path.is_empty() { "/" } else { path };
    Error::invalid(format!("at {path}: {message}"))
}
