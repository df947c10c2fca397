//! Avro schemas (specification 1.12): their types, their text, and which can read which.

mod canonical;
mod data;
mod default;
mod encode;
mod parse;
mod resolution;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

pub use data::AvroReader;
pub use encode::{put_bytes, put_long};
pub use resolution::cannot_read;

use crate::Result;

/// A schema: its outermost type, and all named types in it and in what it refers to, by full name.
#[derive(Debug, Clone)]
pub struct AvroSchema {
    root: Type,
    named: BTreeMap<Arc<str>, Arc<Named>>,
    document: Value,
}

/// A type, and what it stands for.
#[derive(Debug, Clone, PartialEq)]
pub struct Type {
    /// What is encoded.
    pub shape: Shape,
    /// What it stands for. An unknown or impossible logical type is none, as the specification asks.
    pub logical: Option<Logical>,
}

/// What is encoded.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum Shape {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Array(Box<Type>),
    Map(Box<Type>),
    Union(Vec<Type>),
    /// A record, enum or fixed, by its full name.
    Named(Arc<str>),
}

/// What a type stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Logical {
    Decimal { precision: u32, scale: u32 },
    Uuid,
    Date,
    TimeMillis,
    TimeMicros,
    TimestampMillis,
    TimestampMicros,
    TimestampNanos,
    LocalTimestampMillis,
    LocalTimestampMicros,
    LocalTimestampNanos,
    Duration,
}

/// A type with a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Named {
    /// Its full name.
    pub name: Arc<str>,
    /// Other full names that a reader knows it by.
    pub aliases: Vec<String>,
    /// What it is.
    pub body: NamedBody,
}

/// What a type with a name is.
#[derive(Debug, Clone, PartialEq)]
pub enum NamedBody {
    /// Fields, in the order in which they are encoded.
    Record(Vec<Field>),
    /// One of these symbols, encoded by its place.
    Enum {
        /// The symbols.
        symbols: Vec<String>,
        /// What a reader takes for a symbol that it does not know.
        default: Option<String>,
    },
    /// So many bytes.
    Fixed(usize),
}

/// A field of a record.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Other names that a reader knows it by.
    pub aliases: Vec<String>,
    /// Its type.
    pub of: Type,
    /// What a reader takes where the writer has no such field.
    pub default: Option<Value>,
}

impl AvroSchema {
    /// Reads a schema; `earlier` are those whose named types it may use.
    ///
    /// # Errors
    /// [`crate::Code::InvalidSchema`] says what is wrong and where.
    pub fn parse<'a>(text: &str, earlier: impl IntoIterator<Item = &'a Self>) -> Result<Self> {
        let mut named = BTreeMap::new();
        for schema in earlier {
            named.extend(
                schema
                    .named
                    .iter()
                    .map(|(name, of)| (Arc::clone(name), Arc::clone(of))),
            );
        }
        let (root, named, document) = parse::parse(text, named)?;
        Ok(Self {
            root,
            named,
            document,
        })
    }

    /// The outermost type.
    pub fn root(&self) -> &Type {
        &self.root
    }

    /// The record, enum or fixed of that full name.
    pub fn named(&self, name: &str) -> Option<&Arc<Named>> {
        self.named.get(name)
    }

    /// The schema as it was given, with attributes in one order and without what says nothing.
    pub fn canonical(&self) -> String {
        canonical::canonical(&self.document).to_string()
    }

    /// The schema with full names and sorted attributes.
    pub fn normalized(&self) -> String {
        canonical::normalized(&self.document).to_string()
    }
}

impl Type {
    pub(crate) fn plain(shape: Shape) -> Self {
        Self {
            shape,
            logical: None,
        }
    }

    /// What the specification calls it: `record` and such for a named type too.
    pub fn describe(&self, named: impl Fn(&str) -> Option<Arc<Named>>) -> String {
        match &self.shape {
            Shape::Null => "null".to_owned(),
            Shape::Boolean => "boolean".to_owned(),
            Shape::Int => "int".to_owned(),
            Shape::Long => "long".to_owned(),
            Shape::Float => "float".to_owned(),
            Shape::Double => "double".to_owned(),
            Shape::Bytes => "bytes".to_owned(),
            Shape::String => "string".to_owned(),
            Shape::Array(_) => "array".to_owned(),
            Shape::Map(_) => "map".to_owned(),
            Shape::Union(_) => "union".to_owned(),
            Shape::Named(name) => match named(name).map(|it| it.body.word()) {
                Some(word) => format!("{word} {name}"),
                None => name.to_string(),
            },
        }
    }
}

impl NamedBody {
    /// `record`, `enum` or `fixed`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Record(_) => "record",
            Self::Enum { .. } => "enum",
            Self::Fixed(_) => "fixed",
        }
    }
}

/// A name as it is written, in the namespace that surrounds it, in full.
pub(crate) fn full_name(name: &str, namespace: Option<&str>) -> String {
    match namespace {
        Some(space) if !name.contains('.') && !space.is_empty() => format!("{space}.{name}"),
        _ => name.trim_start_matches('.').to_owned(),
    }
}

/// The type of that name which has no parts.
pub(crate) fn primitive(name: &str) -> Option<Shape> {
    Some(match name {
        "null" => Shape::Null,
        "boolean" => Shape::Boolean,
        "int" => Shape::Int,
        "long" => Shape::Long,
        "float" => Shape::Float,
        "double" => Shape::Double,
        "bytes" => Shape::Bytes,
        "string" => Shape::String,
        _ => return None,
    })
}
