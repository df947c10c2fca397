//! Columns into the fields of a Protobuf message.
//!
//! A list is a repeated field and a map a map field: neither is ever null, nor is anything in it. Another column is null where
//! the message lacks the field, so that null goes only where a lacking field is not its type's default.

use arrow::array::Array;
use arrow::datatypes::{DataType, i256};
use prost_reflect::{Cardinality, FieldDescriptor, Kind, MessageDescriptor};

use super::avro::{is_number, nested, unfit_within};
use super::column::{Clock, Column, Get, Inner, Values};
use super::encode::{
    Part, Parts, Put, Unfit, decimal, minimal, narrow, rescaled, whole_double, whole_float,
};

/// The seconds since 1970 of the years 1 to 9999, which are those of `google.protobuf.Timestamp`.
const TIMESTAMP_SECONDS: std::ops::Range<i64> = -62_135_596_800..253_402_300_800;
/// The digits of the largest decimal that columns can have.
const PRECISION_MAX: u32 = 76;
const NANOS: i64 = 1_000_000_000;

/// How a value stands behind its tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wire {
    Varint = 0,
    Eight = 1,
    Length = 2,
    Four = 5,
}

/// What is written of each row.
pub(super) fn parts<'a>(
    message: &MessageDescriptor,
    columns: &[Inner<'a>],
) -> Result<Parts<'a>, Unfit> {
    let mut parts = Vec::with_capacity(columns.len());
    let mut missing = Vec::new();
    for (at, column) in columns.iter().enumerate() {
        let Some(field) = message.get_field_by_name(column.key) else {
            missing.push(at);
            continue;
        };
        let put = member(&field, *column).map_err(|unfit| Unfit {
            column: Some(at),
            ..unfit
        })?;
        parts.push(Part {
            column: Some(at),
            put,
        });
    }
    let lacks = |field: &FieldDescriptor| columns.iter().all(|column| column.key != field.name());
    let mut required = message
        .fields()
        .filter(|field| field.cardinality() == Cardinality::Required);
    if let Some(field) = required.find(lacks) {
        let message = format!(
            "the schema's required field {:?} has no column",
            field.name()
        );
        return Err(Unfit::new(message, true));
    }
    let place = |field: FieldDescriptor| columns.iter().position(|it| it.key == field.name());
    let alternatives = message
        .oneofs()
        .filter(|oneof| !oneof.is_synthetic())
        .map(|oneof| oneof.fields().filter_map(place).collect());
    Ok(Parts {
        parts,
        missing,
        alternatives: alternatives.collect(),
    })
}

/// A field with its tag, or nothing where it is null.
fn member<'a>(field: &FieldDescriptor, inner: Inner<'a>) -> Result<Put<'a>, Unfit> {
    if field.is_group() {
        return Err(Unfit::new("groups are not written", true));
    }
    let array = inner.array;
    let put: Put<'a> = if field.is_map() {
        map(field, inner)?
    } else if field.is_list() {
        repeated(field, inner)?
    } else {
        let number = field.number();
        let (wire, put) = value(&field.kind(), inner)?;
        Box::new(move |row, to| {
            put_tag(number, wire, to);
            put(row, to)
        })
    };
    let is_required = field.cardinality() == Cardinality::Required;
    let is_optional = field.supports_presence() && !is_required;
    let no_null = match field.is_list() || field.is_map() {
        true => "null is not allowed: a repeated field is empty instead",
        false if is_required => "null is not allowed: the schema requires the field",
        false => "null is not allowed: the schema's field is not optional",
    };
    Ok(Box::new(move |row, to| {
        match (is_nothing(array, row), is_optional) {
            (true, true) => Ok(()),
            (true, false) => Err(no_null.to_owned()),
            (false, _) => put(row, to),
        }
    }))
}

fn repeated<'a>(field: &FieldDescriptor, inner: Inner<'a>) -> Result<Put<'a>, Unfit> {
    let column = Column::new(inner.field, inner.array)?;
    let (range, items) = match column.values {
        Values::List(range, items) => (range, items),
        Values::Null => return Ok(Box::new(|_, _| Ok(()))),
        ref other => {
            let message = format!("{} is not written as a repeated field", column.of);
            return Err(Unfit::new(message, matches!(other, Values::Json(_))));
        }
    };
    let (wire, put) = value(&field.kind(), nested(items)?)?;
    let array = items.array;
    let item = move |row: usize, to: &mut Vec<u8>| match is_nothing(array, row) {
        true => Err("null is not allowed in a repeated field".to_owned()),
        false => put(row, to),
    };
    let number = field.number();
    if !field.is_packed() || wire == Wire::Length {
        return Ok(Box::new(move |row, to| {
            range(row).try_for_each(|at| {
                put_tag(number, wire, to);
                item(at, to)
            })
        }));
    }
    Ok(Box::new(move |row, to| {
        let range = range(row);
        if range.is_empty() {
            return Ok(());
        }
        put_tag(number, Wire::Length, to);
        put_sized(to, |to| {
            let mut range = range;
            range.try_for_each(|at| item(at, to))
        })
    }))
}

fn map<'a>(field: &FieldDescriptor, inner: Inner<'a>) -> Result<Put<'a>, Unfit> {
    let column = Column::new(inner.field, inner.array)?;
    let Kind::Message(entry) = field.kind() else {
        return Err(Unfit::new("the schema's map has no entries", false));
    };
    let (range, key, values) = match column.values {
        Values::Map(range, key, values) => (range, key, values),
        Values::Null => return Ok(Box::new(|_, _| Ok(()))),
        ref other => {
            let reads = matches!(other, Values::Json(_) | Values::Struct(_));
            let message = format!("{} is not written as a map field", column.of);
            return Err(Unfit::new(message, reads));
        }
    };
    let (key_wire, put_key) = value(&entry.map_entry_key_field().kind(), key)?;
    let (wire, put_value) = value(&entry.map_entry_value_field().kind(), nested(values)?)?;
    let array = values.array;
    let number = field.number();
    Ok(Box::new(move |row, to| {
        range(row).try_for_each(|at| {
            if is_nothing(array, at) {
                return Err("null is not allowed in a map field".to_owned());
            }
            put_tag(number, Wire::Length, to);
            put_sized(to, |to| {
                put_tag(1, key_wire, to);
                put_key(at, to)?;
                put_tag(2, wire, to);
                put_value(at, to)
            })
        })
    }))
}

fn is_nothing(array: &dyn Array, row: usize) -> bool {
    array.is_null(row) || *array.data_type() == DataType::Null
}

/// What is not null, without its tag.
fn value<'a>(kind: &Kind, inner: Inner<'a>) -> Result<(Wire, Put<'a>), Unfit> {
    let column = Column::new(inner.field, inner.array)?;
    let unfit = |reads: bool| {
        let message = format!("{} is not written as Protobuf's {}", column.of, name(kind));
        Err(Unfit::new(message, reads))
    };
    if matches!(column.values, Values::Null) {
        return Ok((Wire::Length, Box::new(|_, _| Ok(()))));
    }
    let is_json = matches!(column.values, Values::Json(_));
    let reads = is_json || is_number(&column.values);
    let wire = wire(kind);
    let put: Put<'a> = match (kind, column.values) {
        (Kind::Bool, Values::Boolean(get)) => Box::new(move |row, to| {
            to.push(u8::from(get(row)));
            Ok(())
        }),
        (
            Kind::Int32
            | Kind::Int64
            | Kind::Uint32
            | Kind::Uint64
            | Kind::Sint32
            | Kind::Sint64
            | Kind::Fixed32
            | Kind::Fixed64
            | Kind::Sfixed32
            | Kind::Sfixed64,
            Values::Integer(get),
        ) => integer(kind, get),
        (Kind::Float, Values::Single(get)) => float(move |row| Ok(get(row))),
        (Kind::Float, Values::Double(get)) => float(move |row| narrow(get(row))),
        (Kind::Float, Values::Integer(get)) => float(move |row| whole_float(get(row))),
        (Kind::Double, Values::Single(get)) => double(move |row| Ok(get(row).into())),
        (Kind::Double, Values::Double(get)) => double(move |row| Ok(get(row))),
        (Kind::Double, Values::Integer(get)) => double(move |row| whole_double(get(row))),
        (Kind::String, Values::Text(get) | Values::Uuid(get) | Values::Json(get)) => {
            Box::new(move |row, to| {
                put_bytes(get(row).as_bytes(), to);
                Ok(())
            })
        }
        (Kind::String, Values::List(..) | Values::Struct(_) | Values::Map(..)) => {
            return unfit(false);
        }
        (Kind::String, _) => {
            let column = Column::new(inner.field, inner.array)?;
            Box::new(move |row, to| put_sized(to, |to| column.put_text(row, to)))
        }
        (Kind::Bytes, Values::Bytes(get)) => Box::new(move |row, to| {
            put_bytes(get(row), to);
            Ok(())
        }),
        (Kind::Enum(of), Values::Text(get)) => {
            let of = of.clone();
            Box::new(move |row, to| {
                let text = get(row);
                // A value of a later schema is read as its number.
                let number = of.get_value_by_name(text).map(|value| value.number());
                let number = number.or_else(|| text.parse().ok());
                let number = number.ok_or_else(|| format!("{text:?} is no value of the enum"))?;
                put_varint(i64::from(number) as u64, to);
                Ok(())
            })
        }
        (Kind::Message(of), values) => match message(of, inner, values)? {
            Some(put) => Box::new(move |row, to| put_sized(to, |to| put(row, to))),
            None => return unfit(reads || is_open(inner)),
        },
        _ => return unfit(reads && *kind != Kind::Bool || is_json),
    };
    Ok((wire, put))
}

/// Whether a column can be read from a message of any fields.
fn is_open(inner: Inner<'_>) -> bool {
    matches!(inner.field.data_type(), DataType::Map(..))
}

/// The fields of a message, of whose meanings there are a few; none when the values have no place in it.
fn message<'a>(
    of: &MessageDescriptor,
    inner: Inner<'a>,
    values: Values<'a>,
) -> Result<Option<Put<'a>>, Unfit> {
    Ok(Some(match (of.full_name(), values) {
        ("google.protobuf.Timestamp", Values::Timestamp(clock, get)) => timestamp(clock, get),
        ("confluent.type.Decimal", Values::Decimal(scale, get)) => {
            let precision = match inner.field.data_type() {
                DataType::Decimal32(precision, _)
                | DataType::Decimal64(precision, _)
                | DataType::Decimal128(precision, _)
                | DataType::Decimal256(precision, _) => u32::from(*precision),
                _ => PRECISION_MAX,
            };
            decimal_message(precision, scale, get)
        }
        ("confluent.type.Decimal", Values::Integer(get)) => {
            decimal_message(20, 0, Box::new(move |row| i256::from_i128(get(row))))
        }
        ("google.protobuf.Timestamp" | "confluent.type.Decimal", _) => return Ok(None),
        (name, Values::Struct(fields)) if !is_wrapper(name) => {
            let fields: Vec<Inner<'a>> =
                fields.into_iter().map(nested).collect::<Result<_, _>>()?;
            let parts = parts(of, &fields).map_err(|unfit| unfit_within(unfit, &fields))?;
            Box::new(move |row, to| parts.put_within(&fields, row, to))
        }
        (name, _) if is_wrapper(name) => match of.get_field(1) {
            Some(field) => {
                let (wire, put) = value(&field.kind(), nested(inner)?)?;
                Box::new(move |row, to| {
                    put_tag(1, wire, to);
                    put(row, to)
                })
            }
            None => return Ok(None),
        },
        _ => return Ok(None),
    }))
}

pub(super) fn is_wrapper(name: &str) -> bool {
    matches!(
        name.strip_prefix("google.protobuf."),
        Some(
            "DoubleValue"
                | "FloatValue"
                | "Int64Value"
                | "UInt64Value"
                | "Int32Value"
                | "UInt32Value"
                | "BoolValue"
                | "StringValue"
                | "BytesValue"
        )
    )
}

fn timestamp(clock: Clock, get: Get<'_, i64>) -> Put<'_> {
    Box::new(move |row, to| {
        let value = get(row);
        let seconds = value.div_euclid(clock.per_second);
        if !TIMESTAMP_SECONDS.contains(&seconds) {
            return Err("it is not in the years 1 to 9999 of the schema's Timestamp".to_owned());
        }
        let parts = value.rem_euclid(clock.per_second);
        let nanos = rescaled(parts, clock.per_second, NANOS)?;
        put_tag(1, Wire::Varint, to);
        put_varint(seconds as u64, to);
        put_tag(2, Wire::Varint, to);
        put_varint(nanos as u64, to);
        Ok(())
    })
}

fn decimal_message(precision: u32, scale: i8, get: Get<'_, i256>) -> Put<'_> {
    let to_scale = scale.max(0).unsigned_abs().into();
    // A negative scale has zeros before the point.
    let precision = precision + u32::from(scale.min(0).unsigned_abs());
    Box::new(move |row, to| {
        let value = decimal(get(row), scale, to_scale, PRECISION_MAX.max(precision))?;
        put_tag(1, Wire::Length, to);
        put_bytes(&minimal(value), to);
        put_tag(2, Wire::Varint, to);
        put_varint(precision.into(), to);
        put_tag(3, Wire::Varint, to);
        put_varint(to_scale.into(), to);
        Ok(())
    })
}

fn integer<'a>(kind: &Kind, get: Get<'a, i128>) -> Put<'a> {
    let name = name(kind);
    let range = match kind {
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => i32::MIN.into()..=i32::MAX.into(),
        Kind::Uint32 | Kind::Fixed32 => 0..=u32::MAX.into(),
        Kind::Uint64 | Kind::Fixed64 => 0..=u64::MAX.into(),
        _ => i64::MIN.into()..=i64::MAX.into(),
    };
    let is_zigzag = matches!(kind, Kind::Sint32 | Kind::Sint64);
    let wire = wire(kind);
    Box::new(move |row, to| {
        let value = get(row);
        if !range.contains(&value) {
            return Err(format!("{value} is out of range for the schema's {name}"));
        }
        // In range, what is cut off are copies of the sign.
        match wire {
            Wire::Four => to.extend_from_slice(&(value as u32).to_le_bytes()),
            Wire::Eight => to.extend_from_slice(&(value as u64).to_le_bytes()),
            _ if is_zigzag => {
                let value = value as i64;
                put_varint((value << 1 ^ value >> 63) as u64, to);
            }
            _ => put_varint(value as u64, to),
        }
        Ok(())
    })
}

fn float<'a>(get: impl Fn(usize) -> Result<f32, String> + 'a) -> Put<'a> {
    Box::new(move |row, to| {
        to.extend_from_slice(&get(row)?.to_le_bytes());
        Ok(())
    })
}

fn double<'a>(get: impl Fn(usize) -> Result<f64, String> + 'a) -> Put<'a> {
    Box::new(move |row, to| {
        to.extend_from_slice(&get(row)?.to_le_bytes());
        Ok(())
    })
}

fn wire(kind: &Kind) -> Wire {
    match kind {
        Kind::Fixed32 | Kind::Sfixed32 | Kind::Float => Wire::Four,
        Kind::Fixed64 | Kind::Sfixed64 | Kind::Double => Wire::Eight,
        Kind::String | Kind::Bytes | Kind::Message(_) => Wire::Length,
        _ => Wire::Varint,
    }
}

/// What a type is called, for a person.
fn name(kind: &Kind) -> String {
    match kind {
        Kind::Message(of) => format!("message {}", of.full_name()),
        Kind::Enum(of) => format!("enum {}", of.full_name()),
        other => format!("{other:?}").to_lowercase(),
    }
}

fn put_tag(number: u32, wire: Wire, to: &mut Vec<u8>) {
    put_varint(u64::from(number) << 3 | wire as u64, to);
}

fn put_varint(value: u64, to: &mut Vec<u8>) {
    let mut rest = value;
    while rest >= 0x80 {
        to.push((rest as u8 & 0x7f) | 0x80);
        rest >>= 7;
    }
    to.push(rest as u8);
}

fn put_bytes(bytes: &[u8], to: &mut Vec<u8>) {
    put_varint(bytes.len() as u64, to);
    to.extend_from_slice(bytes);
}

/// Appends what `put` appends, behind its length.
fn put_sized(
    to: &mut Vec<u8>,
    put: impl FnOnce(&mut Vec<u8>) -> Result<(), String>,
) -> Result<(), String> {
    let mut sized = Vec::new();
    put(&mut sized)?;
    put_bytes(&sized, to);
    Ok(())
}
