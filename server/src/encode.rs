//! Record batches as bytes, in every format that a client can ask for, a bounded piece at a time.
//!
//! An [`Encoder`] knows nothing of HTTP. It appends to an [`Output`], which the caller drains after each call, so memory
//! does not grow with the result.

mod arrow_stream;
mod cell;
pub(crate) mod clock_text;
mod csv;
mod decimal_text;
mod json;
mod moments;
mod nested;
mod parquet_file;
mod sse;
mod types;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use weir_base::ResumeToken;

pub(crate) use cell::cell as cells;
pub(crate) use json::{Column, columns_document, rows_array};
pub(crate) use sse::KEEP_ALIVE;
pub(crate) use types::sql_type;
use types::unique_names;

use crate::rest::Format;

/// A batch that cannot be put in the format that was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EncodeError {
    /// Arrow's own reason.
    #[error("{0}")]
    Arrow(#[from] arrow::error::ArrowError),
    /// Parquet's own reason.
    #[error("{0}")]
    Parquet(#[from] parquet::errors::ParquetError),
    /// A writer that failed, though it writes to memory.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A JSON document of ours that does not serialise.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
}

/// What is known when the rows have ended.
#[derive(Debug, Clone, Default)]
pub(crate) struct Summary {
    /// Rows given out.
    pub(crate) rows: u64,
    /// Whether rows were left out because of a row limit.
    pub(crate) truncated: bool,
    /// The tag of a command: `CREATE STREAM`.
    pub(crate) command: Option<String>,
}

/// How a body ends after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The failure was written where every reader of the format sees it.
    Told,
    /// The format has no place for a failure: the connection must break, so that nobody takes the body for whole.
    Break,
}

/// Encoded bytes: whole buffers that are passed on without a copy, and a tail that is written to.
#[derive(Debug, Default)]
pub(crate) struct Output {
    segments: Vec<Bytes>,
    segments_bytes: usize,
    tail: Vec<u8>,
}

/// Buffers shorter than this are copied together: a chunk of its own costs more than the copy.
const COPY_BELOW: usize = 4096;

impl Output {
    /// Where small things are written.
    pub(crate) fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.tail
    }

    /// Appends bytes, without a copy when they are many.
    pub(crate) fn push(&mut self, bytes: Bytes) {
        if bytes.len() < COPY_BELOW {
            self.tail.extend_from_slice(&bytes);
        } else {
            self.cut();
            self.segments_bytes += bytes.len();
            self.segments.push(bytes);
        }
    }

    /// Bytes in it.
    pub(crate) fn len(&self) -> usize {
        self.segments_bytes + self.tail.len()
    }

    /// Everything in it, in order.
    pub(crate) fn take(&mut self) -> Vec<Bytes> {
        self.cut();
        self.segments_bytes = 0;
        std::mem::take(&mut self.segments)
    }

    fn cut(&mut self) {
        if !self.tail.is_empty() {
            self.segments_bytes += self.tail.len();
            self.segments
                .push(Bytes::from(std::mem::take(&mut self.tail)));
        }
    }
}

/// One answer's encoder. The calls come in this order: `begin`, `rows` any number of times, then `end` or `fail`.
pub(crate) trait Encoder: Send {
    /// What comes before the rows.
    fn begin(&mut self, out: &mut Output) -> Result<(), EncodeError>;

    /// The rows of a batch; `position` is a live query's resume token after it.
    fn rows(
        &mut self,
        batch: &RecordBatch,
        position: Option<&ResumeToken>,
        out: &mut Output,
    ) -> Result<(), EncodeError>;

    /// What comes after the last row.
    fn end(&mut self, summary: &Summary, out: &mut Output) -> Result<(), EncodeError>;

    /// Ends a body that failed; `problem` is the JSON of the problem document.
    fn fail(&mut self, problem: &str, out: &mut Output) -> Ending {
        let _ = (problem, out);
        Ending::Break
    }

    /// Whether encoding costs so little that it is not worth another thread.
    fn is_cheap(&self) -> bool {
        false
    }

    /// Whether a batch may be encoded in parts.
    fn divides(&self) -> bool {
        true
    }
}

/// The encoder of `format`. `event` is what an event stream begins with.
///
/// # Errors
/// When the schema has no counterpart in the format.
pub(crate) fn encoder(
    format: Format,
    schema: &SchemaRef,
    query_id: &str,
) -> Result<Box<dyn Encoder>, EncodeError> {
    Ok(match format {
        Format::Arrow => Box::new(arrow_stream::ArrowEncoder::new(schema)?),
        Format::Json => Box::new(json::JsonEncoder::new(schema)),
        Format::Ndjson => Box::new(json::NdjsonEncoder::new(schema)),
        Format::Csv => Box::new(csv::CsvEncoder::new(schema)),
        Format::Parquet => Box::new(parquet_file::ParquetEncoder::new(schema)?),
        Format::Sse => Box::new(sse::SseEncoder::new(schema, query_id)),
    })
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// The whole body of one answer.
    pub(crate) fn body(format: Format, batches: &[RecordBatch]) -> Vec<u8> {
        let mut encoder = encoder(format, &batches[0].schema(), "q1").unwrap();
        let mut out = Output::default();
        encoder.begin(&mut out).unwrap();
        let mut rows = 0;
        for batch in batches {
            rows += batch.num_rows() as u64;
            encoder.rows(batch, None, &mut out).unwrap();
        }
        let summary = Summary {
            rows,
            ..Summary::default()
        };
        encoder.end(&summary, &mut out).unwrap();
        out.take().concat()
    }

    pub(crate) fn text(format: Format, batches: &[RecordBatch]) -> String {
        String::from_utf8(body(format, batches)).unwrap()
    }
}

#[cfg(test)]
mod tests;
