//! Places in a JSON document: pointers (RFC 6901), anchors and identifiers.

use serde_json::Value;

/// What a `$ref`'s part after `#` names: nothing, a JSON pointer, or an anchor.
pub(super) fn find<'a>(document: &'a Value, fragment: &str) -> Option<&'a Value> {
    if fragment.is_empty() {
        return Some(document);
    }
    if fragment.starts_with('/') {
        return document
            .pointer(fragment)
            .or_else(|| document.pointer(&percent_decoded(fragment)?));
    }
    search(document, &|object| {
        object.get("$anchor").and_then(Value::as_str) == Some(fragment)
            || object
                .get("$id")
                .and_then(Value::as_str)
                .is_some_and(|id| id.strip_prefix('#') == Some(fragment))
    })
}

/// The schema in a document that has this `$id`.
pub(super) fn with_id<'a>(document: &'a Value, uri: &str) -> Option<&'a Value> {
    search(document, &|object| {
        object.get("$id").and_then(Value::as_str) == Some(uri)
    })
}

fn search<'a>(
    document: &'a Value,
    matches: &dyn Fn(&serde_json::Map<String, Value>) -> bool,
) -> Option<&'a Value> {
    let mut waiting = vec![document];
    while let Some(value) = waiting.pop() {
        match value {
            Value::Object(object) if matches(object) => return Some(value),
            Value::Object(object) => waiting.extend(object.values()),
            Value::Array(list) => waiting.extend(list),
            _ => {}
        }
    }
    None
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
