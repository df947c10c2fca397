//! Avro and Protobuf: values that take a schema to be read.
//!
//! *In:* a value as the Confluent serialisers frame it, with the id of its writer's schema; or, in a stream that was given a
//! schema, without a frame. *Out:* the fields that are asked for, by their names, as the text of a row, which goes through the
//! row codec like any other: so every type means the same in each format. Fields that nobody asked for are passed over.

use std::fmt;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::error::ArrowError;
use weir_schemas::wire::{split, split_message_path};
use weir_schemas::{
    AvroReader, DataError, Definition, Parsed, ProtobufReader, SchemaId, SchemaKind,
};

use super::Decode;
use crate::topic::row::{Care, RowReader, Wanted, Wrong};
use crate::{Error, Result};

/// Finds schemas by their numbers: the schema registry.
pub trait Schemas: fmt::Debug + Send + Sync {
    /// The schema of that number.
    ///
    /// # Errors
    /// When there is none.
    fn schema(&self, id: SchemaId) -> weir_schemas::Result<Arc<Parsed>>;
}

/// Where the schema of a value comes from.
#[derive(Debug, Clone)]
pub enum WriterSchema {
    /// The registry, by the id in front of the value.
    Registered(Arc<dyn Schemas>),
    /// The stream's options; values are then as they are.
    Given {
        /// The text of the schema.
        text: String,
        /// The schema.
        parsed: Arc<Parsed>,
        /// Of Protobuf, the path to the message.
        path: Vec<u32>,
    },
}

impl PartialEq for WriterSchema {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Registered(_), Self::Registered(_)) => true,
            (
                Self::Given { text, path, .. },
                Self::Given {
                    text: other_text,
                    path: other_path,
                    ..
                },
            ) => text == other_text && path == other_path,
            _ => false,
        }
    }
}

impl Eq for WriterSchema {}

impl WriterSchema {
    /// The schema that a stream's options give, of Protobuf with the name of a message, which without one is the first.
    ///
    /// # Errors
    /// When it is not valid, is no record, or has no such message.
    pub(super) fn given(kind: SchemaKind, text: String, message: Option<&str>) -> Result<Self> {
        let named = kind.as_str().to_lowercase();
        let parsed = Definition::new(kind, text.as_str()).parse(&[]);
        let parsed = parsed
            .map_err(|error| Error::invalid(format!("option \"{named}.schema\": {error}")))?;
        let mut path = vec![0];
        if let (Some(name), Some(file)) = (message, parsed.protobuf()) {
            let found = file.message(name);
            (_, path) = found.ok_or_else(|| {
                Error::invalid(format!(
                    "option \"protobuf.message\": the schema has no message {name:?}"
                ))
            })?;
        }
        // What is wrong with it is better said now than of each record.
        reader(&parsed, &path, &|_| true).map_err(|wrong| {
            Error::invalid(format!("option \"{named}.schema\": {}", wrong.message))
        })?;
        Ok(Self::Given {
            text,
            parsed: Arc::new(parsed),
            path,
        })
    }
}

/// Reads the values of one writer.
enum Reader {
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

fn reader(
    parsed: &Parsed,
    path: &[u32],
    wanted: &dyn Fn(&str) -> bool,
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

pub(super) struct SchemaDecoder {
    kind: SchemaKind,
    source: WriterSchema,
    rows: RowReader,
    /// The names of the fields that are asked for; none when all are.
    wanted: Option<Vec<String>>,
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
    pub(super) fn new(
        kind: SchemaKind,
        source: &WriterSchema,
        columns: &[Wanted<'_>],
        strict: bool,
    ) -> std::result::Result<Self, ArrowError> {
        let asked = columns.iter().filter(|column| column.care != Care::Ignored);
        let wanted = (!strict).then(|| asked.map(|column| column.key.to_owned()).collect());
        Ok(Self {
            kind,
            source: source.clone(),
            rows: RowReader::new(columns.iter().cloned(), strict)?,
            wanted,
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
            WriterSchema::Registered(_) => {
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
            (WriterSchema::Registered(schemas), Some(id)) => schemas
                .schema(id)
                .map_err(|error| Wrong::text(format!("the schema with id {id}: {error}")))?,
            (WriterSchema::Given { parsed, .. }, _) => Arc::clone(parsed),
            (WriterSchema::Registered(_), None) => {
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
            let wanted = self.wanted.as_ref();
            wanted.is_none_or(|wanted| wanted.iter().any(|key| key == name))
        })
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

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::{DataType, Field, Fields, Int64Type, TimeUnit};
    use weir_schemas::Registry;

    use super::super::tests::{decode, no_schemas, schema};
    use super::super::{Format, OnError};
    use super::*;

    #[derive(Debug)]
    struct Registered(Registry);

    impl Schemas for Registered {
        fn schema(&self, id: SchemaId) -> weir_schemas::Result<Arc<Parsed>> {
            self.0.parsed(id)
        }
    }

    const OLD: &str = r#"{"type": "record", "name": "r", "fields": [
        {"name": "id", "type": "long"}, {"name": "name", "type": ["null", "string"]}]}"#;
    const NEW: &str = r#"{"type": "record", "name": "r", "fields": [
        {"name": "name", "type": "string"}, {"name": "id", "type": "int"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}}]}"#;
    const PROTO: &str =
        "syntax = \"proto3\"; message A {} message M { string name = 1; int64 id = 2; }";

    fn registry() -> Arc<dyn Schemas> {
        let mut registry = Registry::default();
        for (at, definition) in [
            Definition::avro(OLD),
            Definition::avro(NEW),
            Definition::new(SchemaKind::Protobuf, PROTO),
        ]
        .into_iter()
        .enumerate()
        {
            let planned = registry.register(&format!("s{at}"), &definition, false, None, None);
            registry = registry.apply(&planned.unwrap().changes).unwrap();
        }
        Arc::new(Registered(registry))
    }

    fn fields() -> Fields {
        let at = DataType::Timestamp(TimeUnit::Microsecond, None);
        vec![
            Field::new("id", DataType::Int64, true),
            Field::new("name", DataType::Utf8, true),
            Field::new("at", at, true),
        ]
        .into()
    }

    fn values(values: &[&[u8]]) -> Vec<Option<Vec<u8>>> {
        values.iter().map(|value| Some(value.to_vec())).collect()
    }

    /// The errors of values, in order.
    fn said(format: Format, given: &[&[u8]]) -> Vec<Option<String>> {
        let schema = schema(&fields(), format, OnError::Null);
        let error = schema
            .schema_with_hidden()
            .index_of("_error")
            .expect("a column of errors");
        let rows = decode(&schema, &values(given), &[error]);
        let errors = rows.column(0).as_string::<i32>();
        errors.iter().map(|text| text.map(str::to_owned)).collect()
    }

    #[test]
    fn each_value_is_read_by_its_own_writers_schema() {
        let schema = schema(
            &fields(),
            Format::Avro(WriterSchema::Registered(registry())),
            OnError::Null,
        );
        let given = values(&[
            &[0, 0, 0, 0, 1, 14, 2, 2, b'a'],
            &[0, 0, 0, 0, 2, 2, b'b', 16, 2],
            &[0, 0, 0, 0, 1, 18, 0],
        ]);
        let rows = decode(&schema, &given, &[0, 1, 2]);
        let ids = rows.column(0).as_primitive::<Int64Type>();
        assert_eq!(ids.values(), &[7, 8, 9]);
        let names: Vec<_> = rows.column(1).as_string::<i32>().iter().collect();
        assert_eq!(names, [Some("a"), Some("b"), None]);
        let at = rows
            .column(2)
            .as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
        assert_eq!(at.iter().collect::<Vec<_>>(), [None, Some(1_000), None]);
        // Of one column only.
        let rows = decode(&schema, &given, &[1]);
        assert_eq!(rows.column(0).as_string::<i32>().value(1), "b");
    }

    #[test]
    fn messages_are_found_by_their_path_and_without_a_frame_by_their_name() {
        let registered = Format::Protobuf(WriterSchema::Registered(registry()));
        let given = WriterSchema::given(SchemaKind::Protobuf, PROTO.to_owned(), Some("M"));
        let message = [10, 1, b'a', 16, 7];
        let framed = [&[0, 0, 0, 0, 3, 2, 2], &message[..]].concat();
        for (format, value) in [
            (registered, framed.as_slice()),
            (Format::Protobuf(given.unwrap()), &message[..]),
        ] {
            let rows = decode(
                &schema(&fields(), format, OnError::Null),
                &values(&[value]),
                &[0, 1],
            );
            assert_eq!(rows.column(0).as_primitive::<Int64Type>().value(0), 7);
            assert_eq!(rows.column(1).as_string::<i32>().value(0), "a");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let avro = Format::Avro(WriterSchema::Registered(registry()));
        let errors = said(
            avro,
            &[
                b"{\"id\": 1}",
                &[0, 0, 0, 0, 9, 2],
                &[0, 0, 0, 0, 3, 0],
                &[0, 0, 0, 0, 1, 2, 2, 10],
                &[0, 0, 0, 0, 1, 2, 0],
            ],
        );
        let errors: Vec<_> = errors.iter().map(Option::as_deref).collect();
        assert_eq!(
            errors,
            [
                Some("it begins with byte 123 instead of the magic 0 of a value with a schema id"),
                Some("the schema with id 9: Schema 9 not found"),
                Some("its schema is of type PROTOBUF, and the stream's format is AVRO"),
                Some("column \"name\": the value ends too early"),
                None,
            ]
        );
        let protobuf = Format::Protobuf(WriterSchema::Registered(no_schemas()));
        let errors = said(protobuf, &[&[0, 0, 0, 0, 1]]);
        assert_eq!(
            errors[0].as_deref(),
            Some("the path to its message does not read")
        );
    }
}
