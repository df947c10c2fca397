//! Values that are encoded and read back, and bytes that are no values.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::*;
use super::{any_type, parse, schema, values};

/// Encodes a value (unions as `{"branch", "value"}`) as Avro does.
fn encode(value: &Value, of: &Type, schema: &AvroSchema, to: &mut Vec<u8>) {
    let long = |number: i64, to: &mut Vec<u8>| {
        let mut rest = ((number << 1) ^ (number >> 63)) as u64;
        while rest >= 0x80 {
            to.push((rest as u8) | 0x80);
            rest >>= 7;
        }
        to.push(rest as u8);
    };
    match &of.shape {
        Shape::Null => {}
        Shape::Boolean => to.push(u8::from(value.as_bool().unwrap())),
        Shape::Int | Shape::Long => long(value.as_i64().unwrap(), to),
        Shape::Float => to.extend((value.as_f64().unwrap() as f32).to_le_bytes()),
        Shape::Double => to.extend(value.as_f64().unwrap().to_le_bytes()),
        Shape::Bytes | Shape::String => {
            let text = value.as_str().unwrap();
            long(text.len() as i64, to);
            to.extend(text.bytes());
        }
        Shape::Array(items) => {
            // A block whose size is written, then one without.
            let list = value.as_array().unwrap();
            let (head, tail) = list.split_at(list.len() / 2);
            if !head.is_empty() {
                let mut block = Vec::new();
                head.iter()
                    .for_each(|item| encode(item, items, schema, &mut block));
                long(-(head.len() as i64), to);
                long(block.len() as i64, to);
                to.extend(block);
            }
            if !tail.is_empty() {
                long(tail.len() as i64, to);
                tail.iter().for_each(|item| encode(item, items, schema, to));
            }
            long(0, to);
        }
        Shape::Map(values) => {
            let map = value.as_object().unwrap();
            if !map.is_empty() {
                long(map.len() as i64, to);
                for (key, value) in map {
                    long(key.len() as i64, to);
                    to.extend(key.bytes());
                    encode(value, values, schema, to);
                }
            }
            long(0, to);
        }
        Shape::Union(branches) => {
            let branch = value["branch"].as_u64().unwrap() as usize;
            long(branch as i64, to);
            encode(&value["value"], &branches[branch], schema, to);
        }
        Shape::Named(name) => match &schema.named(name).unwrap().body {
            NamedBody::Record(fields) => {
                for field in fields {
                    encode(&value[&field.name], &field.of, schema, to);
                }
            }
            NamedBody::Enum { symbols, .. } => {
                let place = symbols
                    .iter()
                    .position(|symbol| Some(symbol.as_str()) == value.as_str());
                long(place.unwrap() as i64, to);
            }
            NamedBody::Fixed(_) => to.extend(value.as_str().unwrap().bytes()),
        },
    }
}

fn read(
    schema: &AvroSchema,
    bytes: &[u8],
    wanted: &[&str],
) -> std::result::Result<Value, crate::DataError> {
    let reader = AvroReader::new(schema, |name| {
        wanted.contains(&name).then_some(crate::Asked::Value)
    })
    .unwrap();
    let mut text = String::new();
    reader.read(bytes, &mut text)?;
    Ok(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
}

#[test]
fn values_are_read_as_rows_and_what_nobody_wants_is_passed_over() {
    let schema = schema(&json!({"type": "record", "name": "r", "fields": [
        {"name": "id", "type": "long"},
        {"name": "skipped", "type": {"type": "array", "items": {"type": "map", "values": "string"}}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}},
        {"name": "kind", "type": {"type": "enum", "name": "k", "symbols": ["A", "B"]}},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {"name": "more", "type": ["null", "r"], "default": null},
        {"name": "real", "type": "float"},
    ]}));
    let mut row = json!({
        "id": -7, "skipped": [{"a": "x"}, {}, {"b": "y"}], "at": 1_709_210_096_789_i64, "price": "\u{4}\u{52}",
        "kind": "B", "tags": ["x", "y\"", "z"], "more": {"branch": 0, "value": null}, "real": 0.1,
    });
    let mut inner = row.clone();
    inner["id"] = json!(i64::MAX);
    row["more"] = json!({"branch": 1, "value": inner});
    let mut bytes = Vec::new();
    encode(&row, schema.root(), &schema, &mut bytes);
    let found = read(
        &schema,
        &bytes,
        &["id", "at", "price", "kind", "tags", "real"],
    )
    .unwrap();
    assert_eq!(
        found,
        json!({"id": -7, "at": "2024-02-29T12:34:56.789Z", "price": "11.06", "kind": "B",
               "tags": ["x", "y\"", "z"], "real": 0.1})
    );
    let found = read(&schema, &bytes, &["more"]).unwrap();
    assert_eq!(found["more"]["id"], i64::MAX);
    assert_eq!(found["more"]["more"], Value::Null);
    for cut in 0..bytes.len() {
        assert!(read(&schema, &bytes[..cut], &["id"]).is_err(), "{cut}");
    }
    bytes.push(0);
    let said = read(&schema, &bytes, &["id"]).unwrap_err().to_string();
    assert_eq!(
        said,
        "1 bytes follow the value: it was written by another schema"
    );
}

#[test]
fn values_without_end_are_refused() {
    let nulls = schema(&json!({"type": "record", "name": "r", "fields": [
        {"name": "a", "type": {"type": "array", "items": "null"}}]}));
    let many = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0];
    let error = read(&nulls, &many, &["a"]).unwrap_err();
    assert_eq!(error.message, "the value has too many parts for its length");
    assert!(read(&nulls, &many, &[]).is_err());
    let list = schema(
        &json!({"type": "record", "name": "r", "fields": [{"name": "next", "type": ["null", "r"]}]}),
    );
    let error = read(&list, &[2; 1000], &["next"]).unwrap_err();
    assert_eq!(error.message, "values are nested deeper than 64");
}

/// A value as rows have it: without the branches of unions.
fn plain(value: &Value, of: &Type, schema: &AvroSchema) -> Value {
    match &of.shape {
        Shape::Null => Value::Null,
        Shape::Bytes => hex(value),
        Shape::Array(items) => {
            let list = value.as_array().unwrap().iter();
            list.map(|item| plain(item, items, schema)).collect()
        }
        Shape::Map(values) => {
            let map = value.as_object().unwrap().iter();
            map.map(|(key, value)| (key.clone(), plain(value, values, schema)))
                .collect()
        }
        Shape::Union(branches) => {
            let branch = value["branch"].as_u64().unwrap() as usize;
            plain(&value["value"], &branches[branch], schema)
        }
        Shape::Named(name) => match &schema.named(name).unwrap().body {
            NamedBody::Record(fields) => fields
                .iter()
                .map(|field| {
                    (
                        field.name.clone(),
                        plain(&value[&field.name], &field.of, schema),
                    )
                })
                .collect(),
            NamedBody::Enum { .. } => value.clone(),
            NamedBody::Fixed(_) => hex(value),
        },
        _ => value.clone(),
    }
}

fn hex(value: &Value) -> Value {
    let bytes = value.as_str().unwrap().bytes();
    bytes
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>()
        .into()
}

/// As [`values`], with values that can be encoded.
fn encodable(of: &Type, schema: &AvroSchema) -> Vec<Value> {
    fn real(value: &mut Value, of: &Type, schema: &AvroSchema) {
        match &of.shape {
            Shape::Null => *value = Value::Null,
            Shape::Int | Shape::Long => *value = json!(-3),
            Shape::Double | Shape::Float => *value = json!(0.5),
            Shape::Boolean => *value = json!(true),
            Shape::Array(items) => {
                value
                    .as_array_mut()
                    .unwrap()
                    .iter_mut()
                    .for_each(|item| real(item, items, schema));
            }
            Shape::Map(values) => {
                value
                    .as_object_mut()
                    .unwrap()
                    .values_mut()
                    .for_each(|item| real(item, values, schema));
            }
            Shape::Union(branches) => {
                let branch = value["branch"].as_u64().unwrap() as usize;
                real(&mut value["value"], &branches[branch], schema);
            }
            Shape::Named(name) => {
                if let NamedBody::Record(fields) = &schema.named(name).unwrap().body {
                    for field in fields {
                        real(&mut value[&field.name], &field.of, schema);
                    }
                }
            }
            Shape::String | Shape::Bytes => {}
        }
    }
    let mut values = values(of, schema);
    values.iter_mut().for_each(|value| real(value, of, schema));
    values
}

proptest! {
    #[test]
    fn what_is_encoded_is_read(of in any_type(), noise in prop::collection::vec(any::<u8>(), 0..30)) {
        let record = json!({"type": "record", "name": "outer", "fields": [
            {"name": "before", "type": of}, {"name": "after", "type": "int"}]});
        let Ok(schema) = parse(&record.to_string()) else {
            return Err(TestCaseError::reject("no schema"));
        };
        for value in encodable(schema.root(), &schema) {
            let mut bytes = Vec::new();
            encode(&value, schema.root(), &schema, &mut bytes);
            let found = read(&schema, &bytes, &["before", "after"]).unwrap();
            prop_assert_eq!(&found, &plain(&value, schema.root(), &schema));
            prop_assert_eq!(read(&schema, &bytes, &["after"]).unwrap(), json!({"after": -3}));
        }
        let _ = read(&schema, &noise, &["before"]);
    }
}
