//! Values in Avro's binary encoding as the JSON text of rows, of those fields that are asked for; the others are passed over.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{AvroSchema, Logical, NamedBody, Shape, Type};
use crate::text::{
    Asked, DataError, check_length, put_bytes, put_date, put_decimal, put_float, put_integer,
    put_json, put_text, put_time, put_timestamp, put_uuid,
};
use crate::{Error, Result};

/// Values within values, past which one is not read: a recursive type has values of any depth.
const DEPTH_MAX: u32 = 64;

/// Reads values of one writer's schema.
#[derive(Debug)]
pub struct AvroReader {
    nodes: Vec<Node>,
    /// The record's fields: of those that are asked for, their names as JSON with the colon.
    fields: Vec<(Option<String>, usize)>,
}

/// A type; others are named by their place in the list, so that a type may be within itself.
#[derive(Debug)]
enum Node {
    Null,
    Boolean,
    Int(Option<Logical>),
    Long(Option<Logical>),
    Float,
    Double,
    Bytes(Option<usize>),
    Text,
    /// A text that is JSON.
    Json,
    Fixed(usize, Option<Logical>),
    Enum(Vec<String>),
    Array(usize),
    Map(usize),
    Union(Vec<usize>),
    Record(Vec<(String, String, usize)>),
    /// Not filled in yet.
    Open,
}

impl AvroReader {
    /// A reader of what `writer` describes, of the fields for which `wanted` says as what.
    ///
    /// # Errors
    /// [`crate::Code::InvalidSchema`] when the schema is no record.
    pub fn new(writer: &AvroSchema, wanted: impl Fn(&str) -> Option<Asked>) -> Result<Self> {
        let mut compiler = Compiler {
            schema: writer,
            nodes: Vec::new(),
            named: BTreeMap::new(),
        };
        let Shape::Named(name) = &writer.root().shape else {
            return Err(Error::invalid("the writer's schema is no record"));
        };
        let Some(NamedBody::Record(fields)) = writer.named(name).map(|named| &named.body) else {
            return Err(Error::invalid("the writer's schema is no record"));
        };
        let mut read = Vec::with_capacity(fields.len());
        for field in fields {
            let asked = wanted(&field.name);
            let node = match asked {
                Some(Asked::JsonText) => compiler.json_text(&field.of)?,
                _ => compiler.node(&field.of)?,
            };
            read.push((asked.map(|_| key(&field.name)), node));
        }
        Ok(Self {
            nodes: compiler.nodes,
            fields: read,
        })
    }

    /// Appends a value to `to`, as a JSON object.
    ///
    /// # Errors
    /// When the bytes are no value of the schema; `to` then ends anyhow.
    pub fn read(&self, bytes: &[u8], to: &mut String) -> std::result::Result<(), DataError> {
        let mut input = Input {
            nodes: &self.nodes,
            rest: bytes,
            // Values without bytes cost nothing to write and something to read.
            steps: bytes.len().saturating_mul(64).saturating_add(1 << 16),
            skipped: String::new(),
        };
        to.push('{');
        let mut first = true;
        for (key, node) in &self.fields {
            let read = match key {
                Some(key) => {
                    if !std::mem::take(&mut first) {
                        to.push(',');
                    }
                    to.push_str(key);
                    input.read(*node, Some(to), 0)
                }
                None => input.read(*node, None, 0),
            };
            read.map_err(|error| match key {
                Some(key) => error.within(key.trim_end_matches(':').trim_matches('"')),
                None => error,
            })?;
        }
        to.push('}');
        match input.rest {
            [] => Ok(()),
            rest => Err(DataError::new(format!(
                "{} bytes follow the value: it was written by another schema",
                rest.len()
            ))),
        }
    }
}

struct Compiler<'a> {
    schema: &'a AvroSchema,
    nodes: Vec<Node>,
    named: BTreeMap<Arc<str>, usize>,
}

impl Compiler<'_> {
    fn push(&mut self, node: Node) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    fn node(&mut self, of: &Type) -> Result<usize> {
        self.node_within(of, 0)
    }

    /// The node of a type that holds JSON as text, if it does: a string, or a string or null.
    fn json_text(&mut self, of: &Type) -> Result<usize> {
        match &of.shape {
            Shape::String => Ok(self.push(Node::Json)),
            Shape::Union(branches)
                if branches
                    .iter()
                    .all(|branch| matches!(branch.shape, Shape::String | Shape::Null)) =>
            {
                let nodes = branches.iter().map(|branch| self.json_text(branch));
                let nodes = nodes.collect::<Result<_>>()?;
                Ok(self.push(Node::Union(nodes)))
            }
            _ => self.node(of),
        }
    }

    fn node_within(&mut self, of: &Type, depth: u32) -> Result<usize> {
        if depth > 4 * DEPTH_MAX {
            return Err(Error::invalid(
                "the types of the writer's schema are too deep",
            ));
        }
        let logical = of.logical;
        let node = match &of.shape {
            Shape::Null => Node::Null,
            Shape::Boolean => Node::Boolean,
            Shape::Int => Node::Int(logical),
            Shape::Long => Node::Long(logical),
            Shape::Float => Node::Float,
            Shape::Double => Node::Double,
            Shape::Bytes => Node::Bytes(match logical {
                Some(Logical::Decimal { scale, .. }) => Some(scale as usize),
                _ => None,
            }),
            Shape::String => Node::Text,
            Shape::Array(items) => Node::Array(self.node_within(items, depth + 1)?),
            Shape::Map(values) => Node::Map(self.node_within(values, depth + 1)?),
            Shape::Union(branches) => Node::Union(
                branches
                    .iter()
                    .map(|branch| self.node_within(branch, depth + 1))
                    .collect::<Result<_>>()?,
            ),
            Shape::Named(name) => return self.named(name, logical, depth),
        };
        Ok(self.push(node))
    }

    fn named(&mut self, name: &Arc<str>, logical: Option<Logical>, depth: u32) -> Result<usize> {
        let schema = self.schema;
        let named = schema
            .named(name)
            .ok_or_else(|| Error::invalid(format!("type {name:?} is not defined")))?;
        match &named.body {
            NamedBody::Fixed(size) => Ok(self.push(Node::Fixed(*size, logical))),
            NamedBody::Enum { symbols, .. } => {
                let symbols = symbols.iter().map(|symbol| format!("\"{symbol}\""));
                let symbols = symbols.collect();
                Ok(self.push(Node::Enum(symbols)))
            }
            NamedBody::Record(fields) => {
                if let Some(known) = self.named.get(name) {
                    return Ok(*known);
                }
                let place = self.push(Node::Open);
                self.named.insert(Arc::clone(name), place);
                let mut read = Vec::with_capacity(fields.len());
                for field in fields {
                    let node = self.node_within(&field.of, depth + 1)?;
                    read.push((field.name.clone(), key(&field.name), node));
                }
                if let Some(open) = self.nodes.get_mut(place) {
                    *open = Node::Record(read);
                }
                Ok(place)
            }
        }
    }
}

fn key(name: &str) -> String {
    format!("\"{name}\":")
}

struct Input<'a> {
    nodes: &'a [Node],
    rest: &'a [u8],
    steps: usize,
    /// Where what is passed over is written where passing over would not be shorter.
    skipped: String,
}

type Read<T> = std::result::Result<T, DataError>;

impl<'a> Input<'a> {
    fn read(&mut self, node: usize, to: Option<&mut String>, depth: u32) -> Read<()> {
        let nodes = self.nodes;
        let node = nodes.get(node).unwrap_or(&Node::Open);
        self.steps = self
            .steps
            .checked_sub(1)
            .ok_or_else(|| DataError::new("the value has too many parts for its length"))?;
        if depth > DEPTH_MAX {
            return Err(DataError::new(format!(
                "values are nested deeper than {DEPTH_MAX}"
            )));
        }
        match node {
            Node::Array(items) => self.array(*items, to, depth),
            Node::Map(values) => self.map(*values, to, depth),
            Node::Union(branches) => {
                let branch = self.long()?;
                let branch = usize::try_from(branch).ok().and_then(|at| branches.get(at));
                let branch =
                    branch.ok_or_else(|| DataError::new("its union has no such branch"))?;
                self.read(*branch, to, depth + 1)
            }
            Node::Record(fields) => self.record(fields, to, depth),
            scalar => match to {
                Some(to) => self.scalar(scalar, to),
                None => self.skip(scalar),
            },
        }
    }

    fn record(
        &mut self,
        fields: &[(String, String, usize)],
        mut to: Option<&mut String>,
        depth: u32,
    ) -> Read<()> {
        for (at, (name, key, node)) in fields.iter().enumerate() {
            if let Some(to) = to.as_deref_mut() {
                check_length(to)?;
                to.push(if at == 0 { '{' } else { ',' });
                to.push_str(key);
            }
            self.read(*node, to.as_deref_mut(), depth + 1)
                .map_err(|error| error.within(name))?;
        }
        if let Some(to) = to {
            to.push_str(if fields.is_empty() { "{}" } else { "}" });
        }
        Ok(())
    }

    /// The number of items of the next block, and how many bytes it has where that is written.
    fn block(&mut self) -> Read<(u64, Option<usize>)> {
        let count = self.long()?;
        if count >= 0 {
            return Ok((count.unsigned_abs(), None));
        }
        Ok((count.unsigned_abs(), Some(self.length()?)))
    }

    fn array(&mut self, items: usize, mut to: Option<&mut String>, depth: u32) -> Read<()> {
        let mut first = true;
        if let Some(to) = to.as_deref_mut() {
            to.push('[');
        }
        loop {
            let (count, bytes) = self.block()?;
            if count == 0 {
                break;
            }
            if let (None, Some(bytes)) = (&to, bytes) {
                self.take(bytes)?;
                continue;
            }
            for _ in 0..count {
                if let Some(to) = to.as_deref_mut()
                    && !std::mem::take(&mut first)
                {
                    to.push(',');
                }
                self.read(items, to.as_deref_mut(), depth + 1)
                    .map_err(|error| error.within("[]"))?;
            }
        }
        if let Some(to) = to {
            to.push(']');
        }
        Ok(())
    }

    fn map(&mut self, values: usize, mut to: Option<&mut String>, depth: u32) -> Read<()> {
        let mut first = true;
        if let Some(to) = to.as_deref_mut() {
            to.push('{');
        }
        loop {
            let (count, bytes) = self.block()?;
            if count == 0 {
                break;
            }
            if let (None, Some(bytes)) = (&to, bytes) {
                self.take(bytes)?;
                continue;
            }
            for _ in 0..count {
                let key = self.text()?;
                if let Some(to) = to.as_deref_mut() {
                    if !std::mem::take(&mut first) {
                        to.push(',');
                    }
                    put_text(key, to);
                    to.push(':');
                }
                self.read(values, to.as_deref_mut(), depth + 1)
                    .map_err(|error| error.within(key))?;
            }
        }
        if let Some(to) = to {
            to.push('}');
        }
        Ok(())
    }

    fn skip(&mut self, node: &Node) -> Read<()> {
        match node {
            Node::Bytes(_) | Node::Text | Node::Json => {
                let length = self.length()?;
                self.take(length)?;
            }
            Node::Fixed(size, _) => drop(self.take(*size)?),
            Node::Float => drop(self.take(4)?),
            Node::Double => drop(self.take(8)?),
            Node::Int(_) | Node::Long(_) | Node::Enum(_) => drop(self.long()?),
            other => {
                let mut skipped = std::mem::take(&mut self.skipped);
                skipped.clear();
                self.scalar(other, &mut skipped)?;
                self.skipped = skipped;
            }
        }
        Ok(())
    }

    fn scalar(&mut self, node: &Node, to: &mut String) -> Read<()> {
        match node {
            Node::Null => to.push_str("null"),
            Node::Boolean => match self.take(1)? {
                [0] => to.push_str("false"),
                [1] => to.push_str("true"),
                _ => return Err(DataError::new("its byte is no boolean")),
            },
            Node::Int(logical) => {
                let value = i32::try_from(self.long()?)
                    .map_err(|_| DataError::new("the number is too large for an int"))?;
                match logical {
                    Some(Logical::Date) => put_date(i64::from(value), to),
                    Some(Logical::TimeMillis) => put_time(i64::from(value), 1_000, to)?,
                    _ => put_integer(value, to),
                }
            }
            Node::Long(logical) => {
                let value = self.long()?;
                match logical {
                    Some(Logical::TimeMicros) => put_time(value, 1_000_000, to)?,
                    Some(Logical::TimestampMillis) => put_timestamp(value, 1_000, true, to),
                    Some(Logical::TimestampMicros) => put_timestamp(value, 1_000_000, true, to),
                    Some(Logical::TimestampNanos) => put_timestamp(value, 1_000_000_000, true, to),
                    Some(Logical::LocalTimestampMillis) => put_timestamp(value, 1_000, false, to),
                    Some(Logical::LocalTimestampMicros) => {
                        put_timestamp(value, 1_000_000, false, to);
                    }
                    Some(Logical::LocalTimestampNanos) => {
                        put_timestamp(value, 1_000_000_000, false, to);
                    }
                    _ => put_integer(value, to),
                }
            }
            Node::Float => put_float(f32::from_le_bytes(self.array_of()?), to),
            Node::Double => put_float(f64::from_le_bytes(self.array_of()?), to),
            Node::Bytes(scale) => {
                let length = self.length()?;
                let bytes = self.take(length)?;
                match scale {
                    Some(scale) => put_decimal(bytes, *scale, to)?,
                    None => put_bytes(bytes, to),
                }
            }
            Node::Text => put_text(self.text()?, to),
            Node::Json => put_json(self.text()?, to)?,
            Node::Fixed(size, logical) => {
                let bytes = self.take(*size)?;
                match logical {
                    Some(Logical::Decimal { scale, .. }) => {
                        put_decimal(bytes, *scale as usize, to)?;
                    }
                    Some(Logical::Uuid) => put_uuid(bytes, to),
                    Some(Logical::Duration) => put_duration(bytes, to),
                    _ => put_bytes(bytes, to),
                }
            }
            Node::Enum(symbols) => {
                let symbol = self.long()?;
                let symbol = usize::try_from(symbol).ok().and_then(|at| symbols.get(at));
                to.push_str(symbol.ok_or_else(|| DataError::new("its enum has no such symbol"))?);
            }
            Node::Array(_) | Node::Map(_) | Node::Union(_) | Node::Record(_) | Node::Open => {
                return Err(DataError::new("its type is not filled in"));
            }
        }
        Ok(())
    }

    fn take(&mut self, count: usize) -> Read<&'a [u8]> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or_else(|| DataError::new("the value ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array_of<const N: usize>(&mut self) -> Read<[u8; N]> {
        let (taken, rest) = self
            .rest
            .split_first_chunk()
            .ok_or_else(|| DataError::new("the value ends too early"))?;
        self.rest = rest;
        Ok(*taken)
    }

    fn long(&mut self) -> Read<i64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array_of()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        Err(DataError::new("a number has more than ten bytes"))
    }

    fn length(&mut self) -> Read<usize> {
        usize::try_from(self.long()?).map_err(|_| DataError::new("a length is negative"))
    }

    fn text(&mut self) -> Read<&'a str> {
        let length = self.length()?;
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map_err(|_| DataError::new("the text is not valid UTF-8"))
    }
}

/// Months, days and milliseconds, each four bytes (little-endian), as an ISO 8601 duration.
fn put_duration(bytes: &[u8], to: &mut String) {
    let mut parts = bytes
        .chunks_exact(4)
        .map(|part| u32::from_le_bytes(part.try_into().unwrap_or_default()));
    let mut next = || parts.next().unwrap_or_default();
    let (months, days, millis) = (next(), next(), next());
    let (seconds, rest) = (millis / 1_000, millis % 1_000);
    to.push_str(&format!("\"P{months}M{days}DT{seconds}.{rest:03}S\""));
}
