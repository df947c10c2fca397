//! CSV by RFC 4180, with line feeds alone between lines, as shells like them: a header line, quotes where needed.
//! Null is an empty field, an empty text is `""`.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use weir_base::ResumeToken;

use super::cell::{Cell, cell};
use super::{EncodeError, Encoder, Output, Summary};

pub(super) struct CsvEncoder(SchemaRef);

impl CsvEncoder {
    pub(super) fn new(schema: &SchemaRef) -> Self {
        Self(Arc::clone(schema))
    }
}

impl Encoder for CsvEncoder {
    fn begin(&mut self, out: &mut Output) -> Result<(), EncodeError> {
        if self.0.fields().is_empty() {
            return Ok(());
        }
        let out = out.tail();
        for (at, field) in self.0.fields().iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            let start = out.len();
            out.extend_from_slice(field.name().as_bytes());
            quote(start, out);
        }
        out.extend_from_slice(b"\n");
        Ok(())
    }

    fn rows(
        &mut self,
        batch: &RecordBatch,
        _position: Option<&ResumeToken>,
        out: &mut Output,
    ) -> Result<(), EncodeError> {
        if batch.num_columns() == 0 {
            return Ok(());
        }
        let out = out.tail();
        let cells = self
            .0
            .fields()
            .iter()
            .zip(batch.columns())
            .map(|(field, column)| cell(column.as_ref(), field))
            .collect::<Result<Vec<Box<dyn Cell>>, _>>()?;
        for row in 0..batch.num_rows() {
            for (at, cell) in cells.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                if cell.is_null(row) {
                    // The only field of its line would leave the line empty, which readers skip; RFC 4180 has no other null.
                    continue;
                }
                let start = out.len();
                cell.text(row, out);
                quote(start, out);
            }
            out.extend_from_slice(b"\n");
        }
        Ok(())
    }

    fn end(&mut self, _summary: &Summary, _out: &mut Output) -> Result<(), EncodeError> {
        Ok(())
    }
}

/// Puts what stands from `start` on into quotes, where it needs them.
fn quote(start: usize, out: &mut Vec<u8>) {
    let written = &out[start..];
    let needs = written.is_empty()
        || written
            .iter()
            .any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r'));
    if !needs {
        return;
    }
    let value = out.split_off(start);
    out.push(b'"');
    let mut done = 0;
    for at in memchr::memchr_iter(b'"', &value) {
        out.extend_from_slice(&value[done..=at]);
        out.push(b'"');
        done = at + 1;
    }
    out.extend_from_slice(&value[done..]);
    out.push(b'"');
}
