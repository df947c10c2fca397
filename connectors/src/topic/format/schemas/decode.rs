//! Values by their writers' schemas as rows.
//!
//! *In:* a value as the Confluent serialisers frame it, with the id of its writer's schema; or, in a stream that was given a
//! schema, without a frame. *Out:* the fields that are asked for, by their names, as the text of a row, which goes through the
//! row codec like any other: so every type means the same in each format. Fields that nobody asked for are passed over.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::Field;
use arrow::error::ArrowError;
use weir_schemas::wire::{split, split_message_path};
use weir_schemas::{Asked, AvroReader, DataError, Parsed, ProtobufReader, SchemaId, SchemaKind};

use super::super::Decode;
use super::WriterSchema;
use crate::topic::row::{Care, Logical, RowReader, Wanted, Wrong, logical};

/// Reads the values of one writer.
pub(super) enum Reader {
    Avro(AvroReader),
    Protobuf(ProtobufReader),
}

impl Reader {
    fn read(&self, bytes: &[u8], to: &mut String) -> std::result::Result<(), DataError> {
        match self {
            Self::Avro(reader) => reader.read(bytes, to),
            Self::Protobuf(reader) => reader.read(bytes, to),
        }
    }
}

pub(super) fn reader(
    parsed: &Parsed,
    path: &[u32],
    wanted: &dyn Fn(&str) -> Option<Asked>,
) -> std::result::Result<Reader, Wrong> {
    match parsed {
        Parsed::Avro(schema) => AvroReader::new(schema, wanted)
            .map(Reader::Avro)
            .map_err(|error| Wrong::text(error.to_string())),
        Parsed::Protobuf(file) => match file.message_at(path) {
            Some(message) => Ok(Reader::Protobuf(ProtobufReader::new(&message, wanted))),
            None => Err(Wrong::text("its schema has no message at that place")),
        },
        Parsed::Json(_) => Err(Wrong::text(
            "its schema is a JSON Schema: the value is JSON behind its first five bytes",
        )),
    }
}

/// Writers whose readers are kept; in a topic of more, some are made anew.
const WRITERS_MAX: usize = 256;

pub(crate) struct SchemaDecoder {
    kind: SchemaKind,
    source: WriterSchema,
    rows: RowReader,
    /// The names of the fields that are asked for, and as what.
    wanted: Vec<(String, Asked)>,
    /// Whether the others are asked for as well, so that they are refused.
    strict: bool,
    known: Vec<Known>,
    /// The place of the one that was used last, which most often is the next one too.
    last: usize,
    text: String,
}

/// A writer that was met.
struct Known {
    /// What is in front of its values. No such header begins another one.
    header: Vec<u8>,
    reader: Reader,
}

impl SchemaDecoder {
    pub(crate) fn new(
        kind: SchemaKind,
        source: &WriterSchema,
        columns: &[Wanted<'_>],
        strict: bool,
    ) -> std::result::Result<Self, ArrowError> {
        let columns_asked = columns.iter().filter(|column| column.care != Care::Ignored);
        let wanted = columns_asked.map(|column| (column.key.to_owned(), asked(column.field)));
        Ok(Self {
            kind,
            source: source.clone(),
            rows: RowReader::new(columns.iter().cloned(), strict)?,
            wanted: wanted.collect(),
            strict,
            known: Vec::new(),
            last: 0,
            text: String::new(),
        })
    }

    /// Writes the value's row into `text`.
    fn transcribe(&mut self, bytes: &[u8]) -> std::result::Result<(), Wrong> {
        let begins = |known: &Known| bytes.starts_with(&known.header);
        if !self.known.get(self.last).is_some_and(begins) {
            self.last = match self.known.iter().position(begins) {
                Some(place) => place,
                None => self.meet(bytes)?,
            };
        }
        let Some(known) = self.known.get(self.last) else {
            return Err(Wrong::text("its writer is not known"));
        };
        self.text.clear();
        let body = bytes.get(known.header.len()..).unwrap_or_default();
        known
            .reader
            .read(body, &mut self.text)
            .map_err(|error| Wrong::field(error.path, error.message))
    }

    /// Makes a reader for a value of a new writer, and gives its place.
    fn meet(&mut self, bytes: &[u8]) -> std::result::Result<usize, Wrong> {
        let framed = |error: weir_schemas::wire::FrameError| Wrong::text(error.to_string());
        let (id, path, body) = match &self.source {
            WriterSchema::Given { path, .. } => (None, path.clone(), bytes),
            WriterSchema::Registered { .. } => {
                let (id, body) = split(bytes).map_err(framed)?;
                let (path, body) = match self.kind {
                    SchemaKind::Protobuf => split_message_path(body).map_err(framed)?,
                    _ => (Vec::new(), body),
                };
                (Some(id), path, body)
            }
        };
        let header = bytes.get(..bytes.len() - body.len()).unwrap_or_default();
        let reader = self.reader(id, &path)?;
        if self.known.len() >= WRITERS_MAX {
            self.known.clear();
        }
        self.known.push(Known {
            header: header.to_vec(),
            reader,
        });
        Ok(self.known.len() - 1)
    }

    fn reader(&self, id: Option<SchemaId>, path: &[u32]) -> std::result::Result<Reader, Wrong> {
        let parsed = match (&self.source, id) {
            (WriterSchema::Registered { schemas, .. }, Some(id)) => schemas
                .schema(id)
                .map_err(|error| Wrong::text(format!("the schema with id {id}: {error}")))?,
            (WriterSchema::Given { parsed, .. }, _) => Arc::clone(parsed),
            (WriterSchema::Registered { .. }, None) => {
                return Err(Wrong::text("it has no schema id"));
            }
        };
        if parsed.kind() != self.kind {
            return Err(Wrong::text(format!(
                "its schema is of type {}, and the stream's format is {}",
                parsed.kind(),
                self.kind
            )));
        }
        reader(&parsed, path, &|name| {
            let wanted = self.wanted.iter().find(|(key, _)| key == name);
            let other = || self.strict.then_some(Asked::Value);
            wanted.map(|(_, asked)| *asked).or_else(other)
        })
    }
}

/// The text of a column of JSON is JSON.
fn asked(field: &Field) -> Asked {
    match logical(field) {
        Some(Logical::Json) => Asked::JsonText,
        _ => Asked::Value,
    }
}

impl Decode for SchemaDecoder {
    fn decode(&mut self, bytes: &[u8]) -> std::result::Result<(), Wrong> {
        self.transcribe(bytes)?;
        self.rows.object(&self.text)
    }
    fn null(&mut self) {
        self.rows.null();
    }
    fn rows(&self) -> usize {
        self.rows.rows()
    }
    fn finish(&mut self) -> std::result::Result<Vec<ArrayRef>, ArrowError> {
        self.rows.columns()
    }
}
