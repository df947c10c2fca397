//! The schema that a stream's columns make.
//!
//! Avro: a record named after the stream, in which a column that may be null is a union with null first and null as its default.
//! Protobuf (proto3): a message named after the stream, in which such a column is `optional`. What neither language has is a
//! text: intervals, UUIDs of Protobuf, times in nanoseconds, and so on.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit};
use serde_json::{Value, json};
use weir_base::SqlState;

use crate::topic::row::{Logical, logical, sql_name};
use crate::{Error, Result};

/// The text of an Avro schema.
///
/// # Errors
/// When a column's name is none in Avro, or its type has no form there.
pub(super) fn avro(name: &str, columns: &[(&str, &FieldRef)]) -> Result<String> {
    let name = identifier(name);
    let fields = columns
        .iter()
        .map(|(key, field)| {
            check_name(key, field)?;
            avro_field(key, field, &name)
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(json!({"type": "record", "name": name, "fields": fields}).to_string())
}

fn avro_field(key: &str, field: &Field, within: &str) -> Result<Value> {
    let of = avro_type(field, &format!("{within}_{key}"))?;
    Ok(match field.is_nullable() {
        true if of == "null" => json!({"name": key, "type": of, "default": null}),
        true => json!({"name": key, "type": ["null", of], "default": null}),
        false => json!({"name": key, "type": of}),
    })
}

/// A type that may be null, within a list or a map.
fn avro_item(field: &Field, name: &str) -> Result<Value> {
    let of = avro_type(field, name)?;
    Ok(match of == "null" {
        true => of,
        false => json!(["null", of]),
    })
}

/// The type of a field; `name` is that of a record, if it is one.
fn avro_type(field: &Field, name: &str) -> Result<Value> {
    let logical_type = |of: &str, logical: &str| json!({"type": of, "logicalType": logical});
    let decimal = |precision: u32, scale: u32| json!({"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale});
    Ok(match field.data_type() {
        DataType::Null => json!("null"),
        DataType::Boolean => json!("boolean"),
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 => {
            json!("int")
        }
        DataType::Int64 | DataType::UInt32 => json!("long"),
        DataType::UInt64 => decimal(20, 0),
        DataType::Float16 | DataType::Float32 => json!("float"),
        DataType::Float64 => json!("double"),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => match u32::try_from(*scale) {
            Ok(scale) => decimal((*precision).into(), scale),
            Err(_) => json!("string"),
        },
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => json!("bytes"),
        DataType::Date32 => logical_type("int", "date"),
        DataType::Date64 => logical_type("long", "local-timestamp-millis"),
        DataType::Time32(_) => logical_type("int", "time-millis"),
        DataType::Time64(_) => logical_type("long", "time-micros"),
        DataType::Timestamp(unit, zone) => {
            let unit = match unit {
                TimeUnit::Second | TimeUnit::Millisecond => "millis",
                TimeUnit::Microsecond => "micros",
                TimeUnit::Nanosecond => "nanos",
            };
            let local = if zone.is_some() { "" } else { "local-" };
            logical_type("long", &format!("{local}timestamp-{unit}"))
        }
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            json!({"type": "array", "items": avro_item(item, name)?})
        }
        DataType::Struct(fields) => {
            let fields = fields.iter().map(|field| {
                check_name(field.name(), field)?;
                avro_field(field.name(), field, name)
            });
            json!({"type": "record", "name": name, "fields": fields.collect::<Result<Vec<_>>>()?})
        }
        DataType::Map(entries, _) => {
            let (_, value) = entry(entries)?;
            json!({"type": "map", "values": avro_item(value, name)?})
        }
        _ if logical(field) == Some(Logical::Uuid) => logical_type("string", "uuid"),
        _ => json!("string"),
    })
}

/// The text of a `.proto` file, whose first message is the row.
///
/// # Errors
/// When a column's name is none in Protobuf, or its type has no form there: lists of lists, say.
pub(super) fn protobuf(name: &str, columns: &[(&str, &FieldRef)]) -> Result<String> {
    let mut imports = BTreeSet::new();
    let mut body = String::new();
    put_message(&identifier(name), columns, 0, &mut imports, &mut body)?;
    let mut file = "syntax = \"proto3\";\n\n".to_owned();
    for import in &imports {
        put(&mut file, format_args!("import \"{import}\";\n"));
    }
    if !imports.is_empty() {
        file.push('\n');
    }
    file.push_str(&body);
    Ok(file)
}

/// Appends text; that does not fail.
fn put(to: &mut String, text: std::fmt::Arguments<'_>) {
    let written = to.write_fmt(text);
    debug_assert!(written.is_ok(), "writing to a string does not fail");
}

fn put_message(
    name: &str,
    columns: &[(&str, &FieldRef)],
    depth: usize,
    imports: &mut BTreeSet<&'static str>,
    to: &mut String,
) -> Result<()> {
    let indent = "  ".repeat(depth);
    put(to, format_args!("{indent}message {name} {{\n"));
    let mut taken = BTreeSet::new();
    for (at, (key, field)) in columns.iter().enumerate() {
        check_name(key, field)?;
        // The name of the message that the column is of, if it is a struct or holds some.
        let mut own = camel(key);
        while !taken.insert(own.clone()) {
            own.push('_');
        }
        if let Some(fields) = struct_within(field.data_type()) {
            let fields = named(fields);
            put_message(&own, &fields, depth + 1, imports, to)?;
        }
        let (label, of) = match field.data_type() {
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                ("repeated ", protobuf_type(item, field, &own, imports)?)
            }
            DataType::Map(entries, _) => {
                let (key, value) = entry(entries)?;
                let key = map_key(key.data_type());
                let value = protobuf_type(value, field, &own, imports)?;
                ("", format!("map<{key}, {value}>"))
            }
            _ => {
                let label = if field.is_nullable() { "optional " } else { "" };
                (label, protobuf_type(field, field, &own, imports)?)
            }
        };
        put(
            to,
            format_args!("{indent}  {label}{of} {key} = {};\n", number(at)),
        );
    }
    put(to, format_args!("{indent}}}\n"));
    Ok(())
}

/// The number of a field; some are Protobuf's own.
fn number(at: usize) -> usize {
    const OWN: std::ops::Range<usize> = 19_000..20_000;
    match at + 1 {
        number if number < OWN.start => number,
        number => number + OWN.len(),
    }
}

fn named(fields: &Fields) -> Vec<(&str, &FieldRef)> {
    let fields = fields.iter();
    fields.map(|field| (field.name().as_str(), field)).collect()
}

/// The fields of a struct, or of those that a list or map directly holds.
fn struct_within(of: &DataType) -> Option<&Fields> {
    match of {
        DataType::Struct(fields) => Some(fields),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            match item.data_type() {
                DataType::Struct(fields) => Some(fields),
                _ => None,
            }
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) => match fields.get(1).map(|value| value.data_type()) {
                Some(DataType::Struct(fields)) => Some(fields),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

fn protobuf_type(
    field: &Field,
    column: &Field,
    own: &str,
    imports: &mut BTreeSet<&'static str>,
) -> Result<String> {
    let word = match field.data_type() {
        DataType::Boolean => "bool",
        DataType::Int8 | DataType::Int16 | DataType::Int32 => "int32",
        DataType::Int64 => "int64",
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => "uint32",
        DataType::UInt64 => "uint64",
        DataType::Float16 | DataType::Float32 => "float",
        DataType::Float64 => "double",
        DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => {
            imports.insert("confluent/type/decimal.proto");
            ".confluent.type.Decimal"
        }
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => "bytes",
        DataType::Timestamp(..) => {
            imports.insert("google/protobuf/timestamp.proto");
            ".google.protobuf.Timestamp"
        }
        DataType::Struct(_) => own,
        DataType::List(_)
        | DataType::LargeList(_)
        | DataType::FixedSizeList(..)
        | DataType::Map(..) => {
            return Err(Error::unsupported(format!(
                "column {:?}: Protobuf has no lists or maps of {}",
                column.name(),
                sql_name(field.data_type())
            ))
            .with_hint("put the inner list into a STRUCT"));
        }
        _ => "string",
    };
    Ok(word.to_owned())
}

fn map_key(of: &DataType) -> &'static str {
    match of {
        DataType::Boolean => "bool",
        DataType::Int8 | DataType::Int16 | DataType::Int32 => "int32",
        DataType::Int64 => "int64",
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => "uint32",
        DataType::UInt64 => "uint64",
        _ => "string",
    }
}

/// The key and the value of a map's entries.
fn entry(entries: &Field) -> Result<(&FieldRef, &FieldRef)> {
    match entries.data_type() {
        DataType::Struct(fields) if fields.len() == 2 => fields.first().zip(fields.last()),
        _ => None,
    }
    .ok_or_else(|| Error::unsupported("a map whose entries are not a key and a value"))
}

/// A name of letters, digits and '_', with '_' for all else.
fn identifier(name: &str) -> String {
    let plain = |letter: char| match letter {
        'A'..='Z' | 'a'..='z' | '0'..='9' | '_' => letter,
        _ => '_',
    };
    let name: String = name.chars().map(plain).collect();
    match name.chars().next() {
        Some(first) if !first.is_ascii_digit() => name,
        _ => format!("_{name}"),
    }
}

fn check_name(name: &str, field: &Field) -> Result<()> {
    if identifier(name) == name {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "column {:?}: a schema's fields have names of letters, digits and '_'",
        field.name()
    ))
    .with_hint("rename the column, or use a format that takes any name, such as 'json'")
    .with_sqlstate(SqlState::INVALID_TABLE_DEFINITION))
}

/// `home_address` as `HomeAddress`.
fn camel(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    for part in name.split('_') {
        let mut letters = part.chars();
        camel.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    identifier(&camel)
}
