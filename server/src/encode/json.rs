//! JSON documents and NDJSON. In: batches. Out: an object a row.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use serde::Serialize;
use utoipa::ToSchema;
use weir_base::ResumeToken;
use weir_engine::KEY_COLUMN;

use super::cell::{Cell, cell};
use super::nested::json_key;
use super::types::sql_type;
use super::{EncodeError, Encoder, Ending, Output, Summary, unique_names};

/// A column of an answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Column {
    /// Its name, unique in the answer.
    name: String,
    /// Its SQL type.
    #[serde(rename = "type")]
    sql_type: String,
    /// Whether it can be null.
    nullable: bool,
    /// Whether it is one of those that tell the rows of a live query apart.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    key: bool,
}

/// The columns of an answer.
pub(crate) fn columns_document(schema: &SchemaRef) -> Vec<Column> {
    unique_names(schema)
        .into_iter()
        .zip(schema.fields())
        .map(|(name, field)| Column {
            name,
            sql_type: sql_type(field),
            nullable: field.is_nullable(),
            key: field.metadata().contains_key(KEY_COLUMN),
        })
        .collect()
}

/// Writes rows as JSON objects.
struct Objects {
    schema: SchemaRef,
    /// `"name":` of each column.
    keys: Vec<Vec<u8>>,
}

impl Objects {
    fn new(schema: &SchemaRef) -> Self {
        Self {
            schema: Arc::clone(schema),
            keys: unique_names(schema)
                .iter()
                .map(|name| json_key(name))
                .collect(),
        }
    }

    /// Writes every row; `between` is called with the row's number before it.
    fn write(
        &self,
        batch: &RecordBatch,
        out: &mut Vec<u8>,
        mut between: impl FnMut(usize, &mut Vec<u8>),
    ) -> Result<(), EncodeError> {
        let cells = self
            .schema
            .fields()
            .iter()
            .zip(batch.columns())
            .map(|(field, column)| cell(column.as_ref(), field))
            .collect::<Result<Vec<Box<dyn Cell>>, _>>()?;
        for row in 0..batch.num_rows() {
            between(row, out);
            out.push(b'{');
            for (at, (key, cell)) in self.keys.iter().zip(&cells).enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(key);
                cell.json(row, out);
            }
            out.push(b'}');
        }
        Ok(())
    }
}

/// The rows of a batch as a JSON array without line breaks.
pub(crate) fn rows_array(batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    out.push(b'[');
    Objects::new(&batch.schema()).write(batch, out, |row, out| {
        if row > 0 {
            out.push(b',');
        }
    })?;
    out.push(b']');
    Ok(())
}

pub(super) struct JsonEncoder {
    objects: Objects,
    first: bool,
}

impl JsonEncoder {
    pub(super) fn new(schema: &SchemaRef) -> Self {
        Self {
            objects: Objects::new(schema),
            first: true,
        }
    }
}

#[derive(Serialize)]
struct Tail<'a> {
    row_count: u64,
    truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<&'a str>,
}

impl Encoder for JsonEncoder {
    fn begin(&mut self, out: &mut Output) -> Result<(), EncodeError> {
        out.tail().extend_from_slice(b"{\"columns\":");
        serde_json::to_writer(out.tail(), &columns_document(&self.objects.schema))?;
        out.tail().extend_from_slice(b",\"rows\":[");
        Ok(())
    }

    fn rows(
        &mut self,
        batch: &RecordBatch,
        _position: Option<&ResumeToken>,
        out: &mut Output,
    ) -> Result<(), EncodeError> {
        let first = &mut self.first;
        self.objects.write(batch, out.tail(), |_, out| {
            out.extend_from_slice(if *first { b"\n" } else { b",\n" });
            *first = false;
        })
    }

    fn end(&mut self, summary: &Summary, out: &mut Output) -> Result<(), EncodeError> {
        let tail = serde_json::to_string(&Tail {
            row_count: summary.rows,
            truncated: summary.truncated,
            command: summary.command.as_deref(),
        })?;
        out.tail()
            .extend_from_slice(if self.first { b"]," } else { b"\n]," });
        // The tail's own opening brace is left out: the document is open already.
        out.tail().extend_from_slice(&tail.as_bytes()[1..]);
        out.tail().push(b'\n');
        Ok(())
    }
}

pub(super) struct NdjsonEncoder(Objects);

impl NdjsonEncoder {
    pub(super) fn new(schema: &SchemaRef) -> Self {
        Self(Objects::new(schema))
    }
}

impl Encoder for NdjsonEncoder {
    fn begin(&mut self, _out: &mut Output) -> Result<(), EncodeError> {
        Ok(())
    }

    fn rows(
        &mut self,
        batch: &RecordBatch,
        _position: Option<&ResumeToken>,
        out: &mut Output,
    ) -> Result<(), EncodeError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.0.write(batch, out.tail(), |row, out| {
            if row > 0 {
                out.push(b'\n');
            }
        })?;
        out.tail().push(b'\n');
        Ok(())
    }

    fn end(&mut self, _summary: &Summary, _out: &mut Output) -> Result<(), EncodeError> {
        Ok(())
    }

    fn fail(&mut self, problem: &str, out: &mut Output) -> Ending {
        out.tail()
            .extend_from_slice(format!("{{\"error\":{problem}}}\n").as_bytes());
        Ending::Told
    }
}
