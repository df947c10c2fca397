//! Messages in Protobuf's binary encoding as the JSON text of rows, of those fields that are asked for; the others are passed
//! over.
//!
//! A field that has no presence of its own (proto3 without `optional`) is its type's default where the message lacks it, as the
//! language says; any other is null. `google.protobuf.Timestamp` is a point in time, the wrappers (`Int32Value`, …) are their
//! values, and `confluent.type.Decimal` is a decimal.

use std::collections::BTreeMap;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use crate::text::{
    Asked, DataError, check_length, put_bytes, put_decimal, put_float, put_instant, put_integer,
    put_json, put_text,
};

/// Messages within messages, past which one is not read.
const DEPTH_MAX: u32 = 64;

/// The largest number of digits after the point of a decimal.
const SCALE_MAX: i64 = 1_000;

/// Reads messages of one type.
#[derive(Debug)]
pub struct ProtobufReader {
    messages: Vec<Message>,
    /// The numbers of those fields of the outermost message that are asked for.
    wanted: Vec<(u32, Asked)>,
}

#[derive(Debug)]
struct Message {
    meaning: Meaning,
    /// In the order of their numbers.
    fields: Vec<Field>,
}

/// What a message stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Fields,
    Timestamp,
    Decimal,
    /// The value of its only field.
    Wrapper,
}

#[derive(Debug)]
struct Field {
    number: u32,
    name: String,
    of: Of,
    shape: Shape,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// One value, and its type's default where there is none.
    Plain,
    /// One value, and null where there is none.
    Optional,
    List,
    Map,
}

/// The type of a field.
#[derive(Debug)]
enum Of {
    Bool,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Float,
    Double,
    Text,
    Bytes,
    Enum(BTreeMap<i32, String>),
    /// By its place in the list, so that a message may be within itself.
    Message(usize),
}

impl ProtobufReader {
    /// A reader of messages of type `message`, of the fields for which `wanted` says as what.
    pub fn new(message: &MessageDescriptor, wanted: impl Fn(&str) -> Option<Asked>) -> Self {
        let mut messages: Vec<Message> = Vec::new();
        let mut places = BTreeMap::from([(message.full_name().to_owned(), 0)]);
        let mut waiting = vec![message.clone()];
        let mut at = 0;
        while let Some(descriptor) = waiting.get(at).cloned() {
            at += 1;
            let mut place = |of: MessageDescriptor| {
                let next = waiting.len();
                *places.entry(of.full_name().to_owned()).or_insert_with(|| {
                    waiting.push(of);
                    next
                })
            };
            let mut fields: Vec<Field> = descriptor
                .fields()
                .map(|field| Field::new(&field, &mut place))
                .collect();
            fields.sort_by_key(|field| field.number);
            messages.push(Message {
                meaning: Meaning::of(descriptor.full_name()),
                fields,
            });
        }
        let wanted = message
            .fields()
            .filter_map(|field| Some((field.number(), wanted(field.name())?)))
            .collect();
        Self { messages, wanted }
    }

    /// Appends a message to `to`, as a JSON object.
    ///
    /// # Errors
    /// When the bytes are no message of the type; `to` then ends anyhow.
    pub fn read(&self, bytes: &[u8], to: &mut String) -> Result<(), DataError> {
        let Some(message) = self.messages.first() else {
            return Err(DataError::new("there is no message to read"));
        };
        let found = self.split(message, bytes)?;
        to.push('{');
        let mut first = true;
        let fields = message.fields.iter().zip(&found);
        for (field, values) in fields {
            let mut asked = self.wanted.iter();
            let Some((_, asked)) = asked.find(|(number, _)| *number == field.number) else {
                continue;
            };
            if !std::mem::take(&mut first) {
                to.push(',');
            }
            match (asked, &field.of, field.shape, values.last()) {
                (Asked::JsonText, Of::Text, Shape::Optional | Shape::Plain, Some(last)) => {
                    put_text(&field.name, to);
                    to.push(':');
                    last.text()
                        .and_then(|text| put_json(text, to))
                        .map_err(|error| error.within(&field.name))?;
                }
                _ => self.member(field, values, to, 0)?,
            }
        }
        to.push('}');
        Ok(())
    }

    /// The values of each field of a message, in the order of the fields.
    fn split<'a>(
        &self,
        message: &Message,
        bytes: &'a [u8],
    ) -> Result<Vec<Vec<Raw<'a>>>, DataError> {
        let mut found: Vec<Vec<Raw<'a>>> = Vec::new();
        found.resize_with(message.fields.len(), Vec::new);
        let mut input = Input(bytes);
        while !input.0.is_empty() {
            let (number, raw) = input.tagged(0)?;
            let place = message
                .fields
                .binary_search_by_key(&number, |field| field.number);
            if let Some(values) = place.ok().and_then(|place| found.get_mut(place)) {
                values.push(raw);
            }
        }
        Ok(found)
    }

    /// `"name":value`.
    fn member(
        &self,
        field: &Field,
        values: &[Raw<'_>],
        to: &mut String,
        depth: u32,
    ) -> Result<(), DataError> {
        put_text(&field.name, to);
        to.push(':');
        self.field(field, values, to, depth)
            .map_err(|error| error.within(&field.name))
    }

    fn field(
        &self,
        field: &Field,
        values: &[Raw<'_>],
        to: &mut String,
        depth: u32,
    ) -> Result<(), DataError> {
        match (field.shape, values.last()) {
            (Shape::List, _) => {
                to.push('[');
                let mut first = true;
                for raw in values {
                    self.items(&field.of, raw, &mut first, to, depth)?;
                }
                to.push(']');
                Ok(())
            }
            (Shape::Map, _) => self.map(&field.of, values, to, depth),
            (_, Some(last)) => match (&field.of, values) {
                // Of a message that comes in pieces all fields count.
                (Of::Message(_), [_, _, ..]) => {
                    let mut whole = Vec::new();
                    for raw in values {
                        whole.extend_from_slice(raw.bytes()?);
                    }
                    self.value(&field.of, &Raw::Bytes(&whole), to, depth)
                }
                (of, _) => self.value(of, last, to, depth),
            },
            (Shape::Optional, None) => {
                to.push_str("null");
                Ok(())
            }
            (Shape::Plain, None) => {
                field.of.put_default(to);
                Ok(())
            }
        }
    }

    /// The items of one value of a repeated field: those of numbers may be packed.
    fn items(
        &self,
        of: &Of,
        raw: &Raw<'_>,
        first: &mut bool,
        to: &mut String,
        depth: u32,
    ) -> Result<(), DataError> {
        let mut put = |raw: &Raw<'_>, to: &mut String| {
            if !std::mem::take(first) {
                to.push(',');
            }
            self.value(of, raw, to, depth)
                .map_err(|error| error.within("[]"))
        };
        match (raw, of.packed()) {
            (Raw::Bytes(bytes), Some(width)) => {
                let mut input = Input(bytes);
                while !input.0.is_empty() {
                    let raw = match width {
                        Width::Varint => Raw::Varint(input.varint()?),
                        Width::Four => Raw::Four(input.array()?),
                        Width::Eight => Raw::Eight(input.array()?),
                    };
                    put(&raw, to)?;
                }
                Ok(())
            }
            (raw, _) => put(raw, to),
        }
    }

    fn map(
        &self,
        of: &Of,
        entries: &[Raw<'_>],
        to: &mut String,
        depth: u32,
    ) -> Result<(), DataError> {
        let Of::Message(place) = of else {
            return Err(DataError::new("a map has no entries"));
        };
        let entry = self.messages.get(*place);
        let Some((entry, [key, value])) = entry.map(|it| (it, it.fields.as_slice())) else {
            return Err(DataError::new("a map's entries have no key and value"));
        };
        // The last entry of a key counts.
        let mut written: BTreeMap<String, String> = BTreeMap::new();
        for raw in entries {
            let found = self.split(entry, raw.bytes()?)?;
            let [keys, values] = found.as_slice() else {
                continue;
            };
            let (mut name, mut text) = (String::new(), String::new());
            self.field(key, keys, &mut name, depth)?;
            self.field(value, values, &mut text, depth + 1)?;
            if !name.starts_with('"') {
                name = format!("\"{name}\"");
            }
            written.insert(name, text);
        }
        to.push('{');
        for (at, (name, value)) in written.into_iter().enumerate() {
            if at > 0 {
                to.push(',');
            }
            to.push_str(&name);
            to.push(':');
            to.push_str(&value);
        }
        to.push('}');
        Ok(())
    }

    fn value(&self, of: &Of, raw: &Raw<'_>, to: &mut String, depth: u32) -> Result<(), DataError> {
        match of {
            Of::Bool => to.push_str(if raw.varint()? == 0 { "false" } else { "true" }),
            // Numbers are cut to their width, as the language says.
            Of::Int32 => put_integer(raw.varint()? as i32, to),
            Of::Int64 => put_integer(raw.varint()? as i64, to),
            Of::Uint32 => put_integer(raw.varint()? as u32, to),
            Of::Uint64 => put_integer(raw.varint()?, to),
            Of::Sint32 => put_integer(zigzag(u64::from(raw.varint()? as u32)) as i32, to),
            Of::Sint64 => put_integer(zigzag(raw.varint()?), to),
            Of::Fixed32 => put_integer(u32::from_le_bytes(raw.four()?), to),
            Of::Fixed64 => put_integer(u64::from_le_bytes(raw.eight()?), to),
            Of::Sfixed32 => put_integer(i32::from_le_bytes(raw.four()?), to),
            Of::Sfixed64 => put_integer(i64::from_le_bytes(raw.eight()?), to),
            Of::Float => put_float(f32::from_le_bytes(raw.four()?), to),
            Of::Double => put_float(f64::from_le_bytes(raw.eight()?), to),
            Of::Text => put_text(raw.text()?, to),
            Of::Bytes => put_bytes(raw.bytes()?, to),
            Of::Enum(names) => {
                let number = raw.varint()? as i32;
                match names.get(&number) {
                    Some(name) => put_text(name, to),
                    // A value of a later schema.
                    None => put_text(&number.to_string(), to),
                }
            }
            Of::Message(place) => return self.message(*place, raw.bytes()?, to, depth + 1),
        }
        Ok(())
    }

    fn message(
        &self,
        place: usize,
        bytes: &[u8],
        to: &mut String,
        depth: u32,
    ) -> Result<(), DataError> {
        if depth > DEPTH_MAX {
            return Err(DataError::new(format!(
                "messages are nested deeper than {DEPTH_MAX}"
            )));
        }
        let message = self
            .messages
            .get(place)
            .ok_or_else(|| DataError::new("there is no such message"))?;
        let found = self.split(message, bytes)?;
        let last = |number: u32| {
            let fields = message.fields.iter().zip(&found);
            let mut values = fields.filter(|(field, _)| field.number == number);
            values.next().and_then(|(_, values)| values.last())
        };
        match (message.meaning, message.fields.as_slice()) {
            (Meaning::Timestamp, _) => {
                let number = |raw: Option<&Raw<'_>>| raw.map_or(Ok(0), Raw::varint);
                let (seconds, nanos) = (number(last(1))? as i64, number(last(2))? as i32);
                put_instant(seconds, nanos, to);
                Ok(())
            }
            (Meaning::Decimal, _) => {
                let scale = last(3).map_or(Ok(0), Raw::varint)? as i32;
                let scale = i64::from(scale);
                if !(0..=SCALE_MAX).contains(&scale) {
                    return Err(DataError::new(format!("a decimal has no scale {scale}")));
                }
                let digits = last(1).map_or(Ok(&[][..]), Raw::bytes)?;
                put_decimal(digits, usize::try_from(scale).unwrap_or(0), to)
            }
            (Meaning::Wrapper, [field]) => {
                let values = found.first().map_or(&[][..], Vec::as_slice);
                self.field(field, values, to, depth)
            }
            _ => {
                to.push('{');
                for (at, (field, values)) in message.fields.iter().zip(&found).enumerate() {
                    check_length(to)?;
                    if at > 0 {
                        to.push(',');
                    }
                    self.member(field, values, to, depth)?;
                }
                to.push('}');
                Ok(())
            }
        }
    }
}

impl Meaning {
    fn of(full_name: &str) -> Self {
        match full_name {
            "google.protobuf.Timestamp" => Self::Timestamp,
            "confluent.type.Decimal" => Self::Decimal,
            "google.protobuf.DoubleValue"
            | "google.protobuf.FloatValue"
            | "google.protobuf.Int64Value"
            | "google.protobuf.UInt64Value"
            | "google.protobuf.Int32Value"
            | "google.protobuf.UInt32Value"
            | "google.protobuf.BoolValue"
            | "google.protobuf.StringValue"
            | "google.protobuf.BytesValue" => Self::Wrapper,
            _ => Self::Fields,
        }
    }
}

impl Field {
    fn new(field: &FieldDescriptor, place: &mut impl FnMut(MessageDescriptor) -> usize) -> Self {
        let shape = if field.is_map() {
            Shape::Map
        } else if field.is_list() {
            Shape::List
        } else if field.supports_presence() {
            Shape::Optional
        } else {
            Shape::Plain
        };
        let of = match field.kind() {
            Kind::Bool => Of::Bool,
            Kind::Int32 => Of::Int32,
            Kind::Int64 => Of::Int64,
            Kind::Uint32 => Of::Uint32,
            Kind::Uint64 => Of::Uint64,
            Kind::Sint32 => Of::Sint32,
            Kind::Sint64 => Of::Sint64,
            Kind::Fixed32 => Of::Fixed32,
            Kind::Fixed64 => Of::Fixed64,
            Kind::Sfixed32 => Of::Sfixed32,
            Kind::Sfixed64 => Of::Sfixed64,
            Kind::Float => Of::Float,
            Kind::Double => Of::Double,
            Kind::String => Of::Text,
            Kind::Bytes => Of::Bytes,
            Kind::Enum(of) => Of::Enum(
                // Of names for one number the first counts.
                of.enum_descriptor_proto()
                    .value
                    .iter()
                    .rev()
                    .map(|value| (value.number(), value.name().to_owned()))
                    .collect(),
            ),
            Kind::Message(of) => Of::Message(place(of)),
        };
        Self {
            number: field.number(),
            name: field.name().to_owned(),
            of,
            shape,
        }
    }
}

enum Width {
    Varint,
    Four,
    Eight,
}

impl Of {
    /// How its values stand one after another in a packed field; none when they do not.
    fn packed(&self) -> Option<Width> {
        match self {
            Self::Text | Self::Bytes | Self::Message(_) => None,
            Self::Fixed32 | Self::Sfixed32 | Self::Float => Some(Width::Four),
            Self::Fixed64 | Self::Sfixed64 | Self::Double => Some(Width::Eight),
            _ => Some(Width::Varint),
        }
    }

    fn put_default(&self, to: &mut String) {
        match self {
            Self::Bool => to.push_str("false"),
            Self::Text | Self::Bytes => to.push_str("\"\""),
            Self::Float | Self::Double => to.push_str("0.0"),
            Self::Enum(names) => match names.get(&0) {
                Some(name) => put_text(name, to),
                None => to.push_str("null"),
            },
            Self::Message(_) => to.push_str("null"),
            _ => to.push('0'),
        }
    }
}

/// A value as it is encoded.
#[derive(Debug, Clone, Copy)]
enum Raw<'a> {
    Varint(u64),
    Four([u8; 4]),
    Eight([u8; 8]),
    Bytes(&'a [u8]),
}

impl<'a> Raw<'a> {
    fn varint(&self) -> Result<u64, DataError> {
        match self {
            Self::Varint(value) => Ok(*value),
            _ => Err(wrong_wire()),
        }
    }

    fn four(&self) -> Result<[u8; 4], DataError> {
        match self {
            Self::Four(bytes) => Ok(*bytes),
            _ => Err(wrong_wire()),
        }
    }

    fn eight(&self) -> Result<[u8; 8], DataError> {
        match self {
            Self::Eight(bytes) => Ok(*bytes),
            _ => Err(wrong_wire()),
        }
    }

    fn bytes(&self) -> Result<&'a [u8], DataError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(wrong_wire()),
        }
    }

    fn text(&self) -> Result<&'a str, DataError> {
        std::str::from_utf8(self.bytes()?)
            .map_err(|_| DataError::new("the text is not valid UTF-8"))
    }
}

fn wrong_wire() -> DataError {
    DataError::new("it is encoded as another type: it was written by another schema")
}

fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// The next field's number and value.
    fn tagged(&mut self, depth: u32) -> Result<(u32, Raw<'a>), DataError> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| *number > 0);
        let number = number.ok_or_else(|| DataError::new("a field's number is out of range"))?;
        let raw = match tag & 7 {
            0 => Raw::Varint(self.varint()?),
            1 => Raw::Eight(self.array()?),
            2 => {
                let length = self.varint()?;
                let split = usize::try_from(length)
                    .ok()
                    .and_then(|length| self.0.split_at_checked(length));
                let (bytes, rest) = split.ok_or_else(too_early)?;
                self.0 = rest;
                Raw::Bytes(bytes)
            }
            3 => Raw::Bytes(self.group(number, depth)?),
            5 => Raw::Four(self.array()?),
            other => {
                return Err(DataError::new(format!(
                    "a field has the wire type {other}, which there is not here"
                )));
            }
        };
        Ok((number, raw))
    }

    /// The bytes of a group up to its end, which is passed over.
    fn group(&mut self, number: u32, depth: u32) -> Result<&'a [u8], DataError> {
        if depth > DEPTH_MAX {
            return Err(DataError::new(format!(
                "groups are nested deeper than {DEPTH_MAX}"
            )));
        }
        let begin = self.0;
        loop {
            let here = self.0;
            if self.varint()? == (u64::from(number) << 3 | 4) {
                let length = begin.len() - here.len();
                return Ok(begin.get(..length).unwrap_or_default());
            }
            self.0 = here;
            self.tagged(depth + 1)?;
        }
    }

    fn varint(&mut self) -> Result<u64, DataError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DataError::new("a number has more than ten bytes"))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DataError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or_else(too_early)?;
        self.0 = rest;
        Ok(*taken)
    }
}

fn too_early() -> DataError {
    DataError::new("the message ends too early")
}
