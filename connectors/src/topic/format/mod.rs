//! The forms that keys and values of records have: JSON, CSV, Avro, Protobuf, Arrow IPC, bytes as they are, changes of rows.
//!
//! *In:* the bytes of one key or value. *Out:* Arrow columns, of those columns of the stream that are asked for. And back:
//! the rows of a batch, each as bytes. A format is a [`Format`] (of values) or [`KeyFormat`] (of keys) with its options; what
//! it does is behind [`Decode`] and [`Encode`]. To add one: a file beside these, a variant, its options in [`options`].

mod changes;
mod csv;
mod ipc;
mod json;
mod options;
mod raw;
mod schemas;
mod text;

#[cfg(test)]
mod tests;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::Field;
use arrow::error::ArrowError;
use weir_schemas::SchemaKind;

pub(crate) use self::changes::{DELETED, deleted_field};
pub use self::csv::CsvForm;
pub(crate) use self::csv::Splitter;
pub(crate) use self::ipc::read_stream;
pub use self::options::{OnError, RecordFormat};
pub use self::schemas::{NewSchema, Schemas, WriterSchema};
use super::row::{Wanted, Wrong};
use crate::Result;

/// How the values of a stream's records are encoded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Format {
    /// An object whose fields are the columns.
    #[default]
    Json,
    /// A line whose fields are the columns, in order.
    Csv(CsvForm),
    /// An Arrow IPC stream of any number of rows, whose fields are the columns, by name.
    Arrow,
    /// An Avro record, whose fields are the columns, by name.
    Avro(WriterSchema),
    /// A Protobuf message, whose fields are the columns, by name.
    Protobuf(WriterSchema),
    /// The bytes as they are, in one column.
    Raw,
    /// Debezium's envelopes in JSON, each of which tells how a row changed. Of a row that is gone, these columns are known: the key's.
    Debezium(Vec<String>),
    /// A row of another format, which takes the place of the one under its key; no value takes that one away.
    Upsert(Box<Self>),
}

/// How the keys of a stream's records are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyFormat {
    /// The text of one column.
    #[default]
    Text,
    /// An object whose fields are the key's columns.
    Json,
    /// The bytes as they are, in one column of bytes.
    Raw,
}

/// Grows columns from encoded rows.
///
/// One decoder has the columns of a stream that its format holds. It gives those with [`Care::Kept`](super::row::Care),
/// and finds values of the wrong type also in those with [`Care::Checked`](super::row::Care).
pub(crate) trait Decode: Send {
    /// Appends the rows of one key or value. After an error all columns still have as many rows as [`Decode::rows`] says, of
    /// which those that this call has appended mean nothing: the caller drops them.
    fn decode(&mut self, bytes: &[u8]) -> Result<(), Wrong>;
    /// Appends a row in which every column is null, also where null is not allowed.
    fn null(&mut self);
    /// How many rows there are since the last [`Decode::finish`].
    fn rows(&self) -> usize;
    /// The kept columns of the rows so far, in order; the decoder is empty again.
    fn finish(&mut self) -> Result<Vec<ArrayRef>, ArrowError>;
}

/// Writes rows of a batch, each as the bytes of one key or value.
pub(crate) trait Encode {
    /// Appends a row to `out`; false when it has no bytes, not even none: a record's value is then null. The error says what
    /// has no form in this format, and of which column.
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) -> Result<bool, (usize, String)>;
}

/// A column to be encoded.
#[derive(Clone, Copy)]
pub(crate) struct Given<'a> {
    /// The name under which rows have it.
    pub(crate) key: &'a str,
    pub(crate) field: &'a Field,
    pub(crate) array: &'a dyn Array,
}

impl Format {
    /// Its name in `WITH (format = '…')`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv(_) => "csv",
            Self::Arrow => "arrow",
            Self::Avro(_) => "avro",
            Self::Protobuf(_) => "protobuf",
            Self::Raw => "raw",
            Self::Debezium(_) => "debezium_json",
            Self::Upsert(_) => "upsert",
        }
    }

    /// Whether values tell how rows changed that have a key, instead of being rows.
    pub fn is_changelog(&self) -> bool {
        matches!(self, Self::Debezium(_) | Self::Upsert(_))
    }

    /// Whether the format of that name [is a changelog](Self::is_changelog).
    pub fn names_changelog(name: &str) -> bool {
        matches!(name, "debezium_json" | "upsert")
    }

    /// Whether each value is exactly one row, as far as it can be decoded at all.
    pub fn is_row_per_value(&self) -> bool {
        !matches!(self, Self::Arrow)
    }

    /// Where the schema of values comes from, in a format that takes one, and in which language it is written.
    pub fn schema(&self) -> Option<(SchemaKind, &WriterSchema)> {
        match self {
            Self::Avro(of) => Some((SchemaKind::Avro, of)),
            Self::Protobuf(of) => Some((SchemaKind::Protobuf, of)),
            Self::Upsert(of) => of.schema(),
            Self::Json | Self::Csv(_) | Self::Arrow | Self::Raw | Self::Debezium(_) => None,
        }
    }

    /// The columns that the schema of values makes; none in a format without one.
    ///
    /// # Errors
    /// When there is no schema yet, or one that makes no columns.
    pub fn columns(&self) -> Result<Option<Vec<Field>>> {
        let schema = self.schema();
        schema.map(|(kind, of)| of.columns(kind)).transpose()
    }

    /// A decoder of these columns. `strict` refuses fields that are not among them.
    ///
    /// # Errors
    /// When a column's type is none that rows can hold.
    pub(crate) fn decoder(
        &self,
        columns: &[Wanted<'_>],
        strict: bool,
    ) -> Result<Box<dyn Decode>, ArrowError> {
        Ok(match self {
            Self::Json => Box::new(json::JsonDecoder::new(columns, strict)?),
            Self::Csv(form) => Box::new(csv::CsvDecoder::new(form, columns)?),
            Self::Arrow => Box::new(ipc::IpcDecoder::new(columns, strict)?),
            Self::Avro(of) => Box::new(schemas::SchemaDecoder::new(
                SchemaKind::Avro,
                of,
                columns,
                strict,
            )?),
            Self::Protobuf(of) => Box::new(schemas::SchemaDecoder::new(
                SchemaKind::Protobuf,
                of,
                columns,
                strict,
            )?),
            Self::Raw => Box::new(raw::RawDecoder::new(columns)),
            Self::Debezium(key) => Box::new(changes::DebeziumDecoder::new(columns, key)?),
            Self::Upsert(of) => Box::new(changes::UpsertDecoder::new(of, columns)?),
        })
    }

    /// An encoder of these columns, which all have as many rows.
    ///
    /// # Errors
    /// When a column's type is none that rows can hold.
    pub(crate) fn encoder<'a>(
        &'a self,
        columns: &[Given<'a>],
    ) -> Result<Box<dyn Encode + 'a>, ArrowError> {
        Ok(match self {
            Self::Json => Box::new(json::JsonEncoder::new(columns)?),
            Self::Csv(form) => Box::new(csv::CsvEncoder::new(form, columns)?),
            Self::Arrow => Box::new(ipc::IpcEncoder::new(columns)?),
            Self::Avro(of) => Box::new(schemas::SchemaEncoder::new(SchemaKind::Avro, of, columns)?),
            Self::Protobuf(of) => Box::new(schemas::SchemaEncoder::new(
                SchemaKind::Protobuf,
                of,
                columns,
            )?),
            Self::Raw => Box::new(raw::RawEncoder::new(columns)?),
            Self::Debezium(_) | Self::Upsert(_) => {
                let message = "what others tell of their rows is not written";
                return Err(ArrowError::NotYetImplemented(message.to_owned()));
            }
        })
    }
}

impl KeyFormat {
    /// Its name in `WITH ("key.format" = '…')`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Raw => "raw",
        }
    }

    /// As [`Format::decoder`], of the key's columns.
    pub(crate) fn decoder(self, columns: &[Wanted<'_>]) -> Result<Box<dyn Decode>, ArrowError> {
        Ok(match self {
            Self::Text => Box::new(text::TextDecoder::new(columns)?),
            Self::Json => Box::new(json::JsonDecoder::new(columns, false)?),
            Self::Raw => Box::new(raw::RawDecoder::new(columns)),
        })
    }

    /// As [`Format::encoder`], of the key's columns.
    pub(crate) fn encoder<'a>(
        self,
        columns: &[Given<'a>],
    ) -> Result<Box<dyn Encode + 'a>, ArrowError> {
        Ok(match self {
            Self::Text => Box::new(text::TextEncoder::new(columns)?),
            Self::Json => Box::new(json::JsonEncoder::new(columns)?),
            Self::Raw => Box::new(raw::RawEncoder::new(columns)?),
        })
    }
}

/// The bytes as text.
#[inline]
fn utf8(bytes: &[u8]) -> Result<&str, Wrong> {
    std::str::from_utf8(bytes).map_err(|error| {
        Wrong::text(format!(
            "it is not valid UTF-8 at byte {}",
            error.valid_up_to() + 1
        ))
    })
}
