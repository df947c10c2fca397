//! Avro's binary encoding, of what a writer has not at hand as a value of its own: numbers before values, and defaults.

use serde_json::Value;

use super::{AvroSchema, NamedBody, Shape, Type};
use crate::{Error, Result};

/// Defaults within defaults, past which one is not written: the default of a recursive type may be of any depth.
const DEPTH_MAX: u32 = 64;

/// Appends a number of the types `int` and `long`; so are lengths, symbols and branches.
pub fn put_long(value: i64, to: &mut Vec<u8>) {
    let mut rest = (value << 1 ^ value >> 63) as u64;
    while rest >= 0x80 {
        to.push((rest as u8 & 0x7f) | 0x80);
        rest >>= 7;
    }
    to.push(rest as u8);
}

/// Appends bytes or a text, behind their length.
pub fn put_bytes(value: &[u8], to: &mut Vec<u8>) {
    // No allocation is longer than `isize::MAX` bytes.
    put_long(value.len() as i64, to);
    to.extend_from_slice(value);
}

impl AvroSchema {
    /// Appends a default, which is a value of type `of` in JSON. Of a union it is of the first branch that has such a value.
    ///
    /// # Errors
    /// [`crate::Code::InvalidSchema`] when it is no value of the type, or is nested too deep.
    pub fn put_default(&self, value: &Value, of: &Type, to: &mut Vec<u8>) -> Result<()> {
        self.put_default_within(value, of, to, 0)
    }

    fn put_default_within(
        &self,
        value: &Value,
        of: &Type,
        to: &mut Vec<u8>,
        depth: u32,
    ) -> Result<()> {
        let wrong = || {
            let name = of.describe(|name| self.named(name).cloned());
            Error::invalid(format!("the default {value} is no value of type {name}"))
        };
        if depth > DEPTH_MAX {
            return Err(Error::invalid("a default is nested too deep"));
        }
        match &of.shape {
            Shape::Null => value.as_null().ok_or_else(wrong)?,
            Shape::Boolean => to.push(u8::from(value.as_bool().ok_or_else(wrong)?)),
            Shape::Int | Shape::Long => put_long(value.as_i64().ok_or_else(wrong)?, to),
            Shape::Float => {
                let value = float(value).ok_or_else(wrong)? as f32;
                to.extend_from_slice(&value.to_le_bytes());
            }
            Shape::Double => {
                to.extend_from_slice(&float(value).ok_or_else(wrong)?.to_le_bytes());
            }
            Shape::Bytes => put_bytes(&latin(value).ok_or_else(wrong)?, to),
            Shape::String => put_bytes(value.as_str().ok_or_else(wrong)?.as_bytes(), to),
            Shape::Array(items) => {
                let list = value.as_array().ok_or_else(wrong)?;
                if !list.is_empty() {
                    put_long(list.len() as i64, to);
                }
                for item in list {
                    self.put_default_within(item, items, to, depth + 1)?;
                }
                put_long(0, to);
            }
            Shape::Map(values) => {
                let map = value.as_object().ok_or_else(wrong)?;
                if !map.is_empty() {
                    put_long(map.len() as i64, to);
                }
                for (key, value) in map {
                    put_bytes(key.as_bytes(), to);
                    self.put_default_within(value, values, to, depth + 1)?;
                }
                put_long(0, to);
            }
            Shape::Union(branches) => {
                let start = to.len();
                for (at, branch) in branches.iter().enumerate() {
                    put_long(at as i64, to);
                    if self
                        .put_default_within(value, branch, to, depth + 1)
                        .is_ok()
                    {
                        return Ok(());
                    }
                    to.truncate(start);
                }
                return Err(wrong());
            }
            Shape::Named(name) => match self.named(name).map(|named| &named.body) {
                Some(NamedBody::Record(fields)) => {
                    let object = value.as_object().ok_or_else(wrong)?;
                    for field in fields {
                        let given = object.get(&field.name).or(field.default.as_ref());
                        let given = given.ok_or_else(wrong)?;
                        self.put_default_within(given, &field.of, to, depth + 1)?;
                    }
                }
                Some(NamedBody::Enum { symbols, .. }) => {
                    let symbol = value.as_str().ok_or_else(wrong)?;
                    let place = symbols.iter().position(|known| known == symbol);
                    put_long(place.ok_or_else(wrong)? as i64, to);
                }
                Some(NamedBody::Fixed(size)) => {
                    let bytes = latin(value).filter(|bytes| bytes.len() == *size);
                    to.extend_from_slice(&bytes.ok_or_else(wrong)?);
                }
                None => return Err(wrong()),
            },
        }
        Ok(())
    }
}

fn float(value: &Value) -> Option<f64> {
    match value.as_str() {
        Some("NaN") => Some(f64::NAN),
        Some("Infinity") => Some(f64::INFINITY),
        Some("-Infinity") => Some(f64::NEG_INFINITY),
        _ => value.as_f64(),
    }
}

/// Bytes are written as text of the code points 0 to 255.
fn latin(value: &Value) -> Option<Vec<u8>> {
    let points = value.as_str()?.chars();
    points.map(|point| u8::try_from(point).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Asked;
    use crate::avro::AvroReader;

    #[test]
    fn defaults_read_back() {
        let text = r#"{"type": "record", "name": "r", "fields": [
            {"name": "a", "type": "long", "default": -3},
            {"name": "b", "type": ["null", "string"], "default": null},
            {"name": "c", "type": ["null", "string"], "default": "x"},
            {"name": "d", "type": "bytes", "default": "\u00ff\u0000"},
            {"name": "e", "type": {"type": "array", "items": "int"}, "default": [1, 2]},
            {"name": "f", "type": {"type": "map", "values": "double"}, "default": {"k": 1.5}},
            {"name": "g", "type": {"type": "enum", "name": "E", "symbols": ["A", "B"]}, "default": "B"},
            {"name": "h", "type": {"type": "fixed", "name": "F", "size": 2}, "default": "ab"},
            {"name": "i", "type": {"type": "record", "name": "I", "fields": [
                {"name": "x", "type": "boolean"}, {"name": "y", "type": "float", "default": 2}]},
             "default": {"x": true}}]}"#;
        let schema = AvroSchema::parse(text, []).unwrap();
        let mut bytes = Vec::new();
        let whole = serde_json::json!({});
        schema
            .put_default(&whole, schema.root(), &mut bytes)
            .unwrap();
        let mut row = String::new();
        let reader = AvroReader::new(&schema, |_| Some(Asked::Value)).unwrap();
        reader.read(&bytes, &mut row).unwrap();
        assert_eq!(
            row,
            concat!(
                r#"{"a":-3,"b":null,"c":"x","d":"ff00","e":[1,2],"f":{"k":1.5},"#,
                r#""g":"B","h":"6162","i":{"x":true,"y":2.0}}"#
            )
        );
        for (value, of) in [("1", "\"string\""), ("{}", "\"null\""), ("[1]", "\"int\"")] {
            let schema = AvroSchema::parse(of, []).unwrap();
            let value = serde_json::from_str(value).unwrap();
            let put = schema.put_default(&value, schema.root(), &mut Vec::new());
            assert!(put.is_err());
        }
    }
}
