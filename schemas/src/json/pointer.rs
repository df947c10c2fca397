//! Places in a JSON document: pointers (RFC 6901), anchors and identifiers.

use std::collections::BTreeMap;

use serde_json::Value;

/// A document, and where in it schemas have names of their own.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) value: Value,
    /// Pointers by `$id`, and by `#` and `$anchor`. They are looked up often, which a search each time would not bear.
    named: BTreeMap<String, String>,
}

impl Document {
    pub(super) fn new(value: Value) -> Self {
        let mut named = BTreeMap::new();
        let mut waiting = vec![(&value, String::new())];
        while let Some((at, path)) = waiting.pop() {
            match at {
                Value::Object(object) => {
                    for keyword in ["$id", "id"] {
                        if let Some(id) = object.get(keyword).and_then(Value::as_str) {
                            named.insert(id.trim_end_matches('#').to_owned(), path.clone());
                        }
                    }
                    if let Some(anchor) = object.get("$anchor").and_then(Value::as_str) {
                        named.insert(format!("#{anchor}"), path.clone());
                    }
                    let inner = object.iter();
                    waiting.extend(
                        inner
                            .filter(|(_, value)| is_container(value))
                            .map(|(key, value)| (value, format!("{path}/{}", escaped(key)))),
                    );
                }
                Value::Array(list) => {
                    let inner = list.iter().enumerate();
                    waiting.extend(
                        inner
                            .filter(|(_, value)| is_container(value))
                            .map(|(at, value)| (value, format!("{path}/{at}"))),
                    );
                }
                _ => {}
            }
        }
        Self { value, named }
    }

    /// What a `$ref`'s part after `#` names: nothing, a JSON pointer, or an anchor.
    pub(super) fn find(&self, fragment: &str) -> Option<&Value> {
        within(&self.value, fragment).or_else(|| {
            let path = self.named.get(&format!("#{fragment}"))?;
            self.value.pointer(path)
        })
    }

    /// The schema that has this `$id`.
    pub(super) fn with_id(&self, uri: &str) -> Option<&Value> {
        self.value.pointer(self.named.get(uri)?)
    }
}

/// What a JSON pointer names in a schema; the schema itself when it is empty.
pub(super) fn within<'a>(schema: &'a Value, fragment: &str) -> Option<&'a Value> {
    if fragment.is_empty() {
        return Some(schema);
    }
    if !fragment.starts_with('/') {
        return None;
    }
    schema
        .pointer(fragment)
        .or_else(|| schema.pointer(&percent_decoded(fragment)?))
}

fn is_container(value: &Value) -> bool {
    value.is_object() || value.is_array()
}

/// A key as it stands in a pointer.
pub(super) fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}
