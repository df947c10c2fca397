//! The columns that a schema makes.
//!
//! A field that may be null is a column that may; what has no type of SQL is JSON: a union of several types, a type within itself.

use std::cell::Cell;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, IntervalUnit, TimeUnit};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use weir_schemas::Parsed;
use weir_schemas::avro::{AvroSchema, Logical, NamedBody, Shape, Type};

use crate::topic::row::{EXTENSION_NAME, JSON_EXTENSION, UUID_EXTENSION};
use crate::{Error, Result};

/// Types within types, past which one is JSON.
const DEPTH_MAX: u32 = 16;
/// Types of one column, past which it is JSON: a schema that uses its types again and again has many more than it is long.
const TYPES_MAX: u32 = 10_000;
/// The digits of the largest decimal that columns can have, and of the largest in 128 bits.
const DIGITS_MAX: u32 = 76;
const DIGITS_128_MAX: u32 = 38;
/// A decimal of Protobuf says with each value how many digits it has.
const PROTOBUF_DECIMAL: DataType = DataType::Decimal128(38, 9);

/// The columns of a record, or of the message at `path`.
///
/// # Errors
/// When the schema is no record, has no such message, or no fields.
pub(super) fn of(parsed: &Parsed, path: &[u32]) -> Result<Vec<Field>> {
    let fields = match parsed {
        Parsed::Avro(schema) => avro(schema),
        Parsed::Protobuf(file) => file.message_at(path).map(|message| protobuf(&message)),
        Parsed::Json(_) => None,
    };
    let fields =
        fields.ok_or_else(|| Error::invalid("the schema is no record, and makes no columns"))?;
    if fields.is_empty() {
        return Err(Error::invalid(
            "the schema has no fields, and makes no columns",
        ));
    }
    Ok(fields)
}

/// A column's type, and what it means.
struct Made {
    of: DataType,
    extension: Option<&'static str>,
}

impl Made {
    fn plain(of: DataType) -> Self {
        Self {
            of,
            extension: None,
        }
    }

    fn json() -> Self {
        Self {
            of: DataType::Utf8View,
            extension: Some(JSON_EXTENSION),
        }
    }

    fn field(self, name: &str, is_nullable: bool) -> Field {
        let field = Field::new(name, self.of, is_nullable);
        match self.extension {
            Some(extension) => {
                let metadata = [(EXTENSION_NAME.to_owned(), extension.to_owned())];
                field.with_metadata(metadata.into())
            }
            None => field,
        }
    }
}

/// How far a type may still reach.
#[derive(Clone, Copy)]
struct Reach<'a> {
    depth: u32,
    types_left: &'a Cell<u32>,
}

impl<'a> Reach<'a> {
    fn new(types_left: &'a Cell<u32>) -> Self {
        Self {
            depth: DEPTH_MAX,
            types_left,
        }
    }

    /// Of the types within one; none when that one is already too far.
    fn within(self) -> Option<Self> {
        self.types_left.set(self.types_left.get().checked_sub(1)?);
        let depth = self.depth.checked_sub(1)?;
        Some(Self { depth, ..self })
    }
}

fn avro(schema: &AvroSchema) -> Option<Vec<Field>> {
    let Shape::Named(name) = &schema.root().shape else {
        return None;
    };
    let NamedBody::Record(fields) = &schema.named(name)?.body else {
        return None;
    };
    let fields = fields.iter().map(|field| {
        let (of, is_nullable) = without_null(&field.of);
        let left = Cell::new(TYPES_MAX);
        let made = of.and_then(|of| avro_type(schema, of, Reach::new(&left)));
        made.unwrap_or_else(Made::json)
            .field(&field.name, is_nullable)
    });
    Some(fields.collect())
}

/// The only branch that is not null, and whether one is; a type that is no union is its own only branch.
fn without_null(of: &Type) -> (Option<&Type>, bool) {
    let Shape::Union(branches) = &of.shape else {
        return (Some(of), of.shape == Shape::Null);
    };
    let mut others = branches.iter().filter(|branch| branch.shape != Shape::Null);
    let first = others.next();
    let is_nullable = branches.iter().any(|branch| branch.shape == Shape::Null);
    match others.next() {
        Some(_) => (None, is_nullable),
        None => (first, is_nullable),
    }
}

/// The type of SQL, if there is one. Within it everything may be null, as in SQL.
fn avro_type(schema: &AvroSchema, of: &Type, reach: Reach<'_>) -> Option<Made> {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond};
    let within = reach.within()?;
    let item = |of: &Type| {
        let made = avro_type(schema, without_null(of).0?, within)?;
        // JSON within others would be read as its text.
        (made.extension != Some(JSON_EXTENSION)).then_some(made)
    };
    let instant = |unit| DataType::Timestamp(unit, Some("UTC".into()));
    let local = |unit| DataType::Timestamp(unit, None);
    Some(Made::plain(match (&of.shape, of.logical) {
        (Shape::Named(name), logical) => match (&schema.named(name)?.body, logical) {
            (NamedBody::Record(fields), _) => {
                let fields = fields.iter().map(|field| {
                    let made = item(&field.of)?;
                    Some(made.field(&field.name, true))
                });
                let fields = fields.collect::<Option<Fields>>()?;
                (!fields.is_empty()).then_some(DataType::Struct(fields))?
            }
            (NamedBody::Enum { .. }, _) => DataType::Utf8View,
            (NamedBody::Fixed(_), Some(Logical::Decimal { precision, scale })) => {
                decimal(precision, scale)
            }
            (NamedBody::Fixed(_), Some(Logical::Uuid)) => return Some(uuid()),
            (NamedBody::Fixed(_), Some(Logical::Duration)) => {
                DataType::Interval(IntervalUnit::MonthDayNano)
            }
            (NamedBody::Fixed(_), _) => DataType::Binary,
        },
        (_, Some(Logical::Decimal { precision, scale })) => decimal(precision, scale),
        (_, Some(Logical::Uuid)) => return Some(uuid()),
        (_, Some(Logical::Date)) => DataType::Date32,
        (_, Some(Logical::TimeMillis | Logical::TimeMicros)) => DataType::Time64(Nanosecond),
        (_, Some(Logical::TimestampMillis)) => instant(Millisecond),
        (_, Some(Logical::TimestampMicros)) => instant(Microsecond),
        (_, Some(Logical::TimestampNanos)) => instant(Nanosecond),
        (_, Some(Logical::LocalTimestampMillis)) => local(Millisecond),
        (_, Some(Logical::LocalTimestampMicros)) => local(Microsecond),
        (_, Some(Logical::LocalTimestampNanos)) => local(Nanosecond),
        (_, Some(Logical::Duration)) => DataType::Interval(IntervalUnit::MonthDayNano),
        (Shape::Null | Shape::String, None) => DataType::Utf8View,
        (Shape::Boolean, None) => DataType::Boolean,
        (Shape::Int, None) => DataType::Int32,
        (Shape::Long, None) => DataType::Int64,
        (Shape::Float, None) => DataType::Float32,
        (Shape::Double, None) => DataType::Float64,
        (Shape::Bytes, None) => DataType::Binary,
        (Shape::Array(items), None) => list(item(items)?),
        (Shape::Map(values), None) => map(Made::plain(DataType::Utf8View), item(values)?),
        (Shape::Union(_), None) => return None,
    }))
}

fn uuid() -> Made {
    Made {
        of: DataType::Utf8View,
        extension: Some(UUID_EXTENSION),
    }
}

/// A decimal, or text where it has too many digits for one.
fn decimal(precision: u32, scale: u32) -> DataType {
    match (u8::try_from(precision), i8::try_from(scale)) {
        (Ok(digits), Ok(scale)) if precision <= DIGITS_128_MAX => {
            DataType::Decimal128(digits, scale)
        }
        (Ok(digits), Ok(scale)) if precision <= DIGITS_MAX => DataType::Decimal256(digits, scale),
        _ => DataType::Utf8View,
    }
}

fn list(item: Made) -> DataType {
    DataType::List(Arc::new(item.field("item", true)))
}

fn map(key: Made, value: Made) -> DataType {
    let entries = Fields::from(vec![key.field("key", false), value.field("value", true)]);
    let entries = Field::new("entries", DataType::Struct(entries), false);
    DataType::Map(Arc::new(entries), false)
}

fn protobuf(message: &MessageDescriptor) -> Vec<Field> {
    let fields = message.fields().map(|field| {
        let left = Cell::new(TYPES_MAX);
        let made = protobuf_field(&field, Reach::new(&left)).unwrap_or_else(Made::json);
        let is_nullable = field.supports_presence() && !field.is_list() && !field.is_map();
        made.field(field.name(), is_nullable)
    });
    fields.collect()
}

fn protobuf_field(field: &FieldDescriptor, reach: Reach<'_>) -> Option<Made> {
    if field.is_map() {
        let Kind::Message(entry) = field.kind() else {
            return None;
        };
        let key = protobuf_type(&entry.map_entry_key_field().kind(), reach)?;
        let value = protobuf_type(&entry.map_entry_value_field().kind(), reach)?;
        return Some(Made::plain(map(key, value)));
    }
    let of = protobuf_type(&field.kind(), reach)?;
    Some(match field.is_list() {
        true => Made::plain(list(of)),
        false => of,
    })
}

fn protobuf_type(kind: &Kind, reach: Reach<'_>) -> Option<Made> {
    let within = reach.within()?;
    Some(Made::plain(match kind {
        Kind::Bool => DataType::Boolean,
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => DataType::Int32,
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => DataType::Int64,
        Kind::Uint32 | Kind::Fixed32 => DataType::UInt32,
        Kind::Uint64 | Kind::Fixed64 => DataType::UInt64,
        Kind::Float => DataType::Float32,
        Kind::Double => DataType::Float64,
        Kind::String | Kind::Enum(_) => DataType::Utf8View,
        Kind::Bytes => DataType::Binary,
        Kind::Message(of) => match of.full_name() {
            "google.protobuf.Timestamp" => {
                DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
            }
            "confluent.type.Decimal" => PROTOBUF_DECIMAL,
            name if super::protobuf::is_wrapper(name) => {
                return protobuf_type(&of.get_field(1)?.kind(), within);
            }
            _ => {
                let fields = of.fields().map(|field| {
                    let made = protobuf_field(&field, within)?;
                    Some(made.field(field.name(), true))
                });
                let fields = fields.collect::<Option<Fields>>()?;
                (!fields.is_empty()).then_some(DataType::Struct(fields))?
            }
        },
    }))
}
