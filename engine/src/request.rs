//! What a front door asks of a session.

use std::time::Duration;

use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use datafusion::scalar::ScalarValue;
use weir_base::ResumeToken;

use crate::changelog::Envelope;

/// One statement to execute.
#[derive(Debug, Clone)]
pub struct Request {
    /// The text of exactly one statement.
    pub sql: String,
    /// Values of `$1`, `$2`, …
    pub parameters: Vec<ScalarValue>,
    /// Types of the parameters, where the client said them: they are planned as such, and not as what their places ask for.
    pub hints: Vec<Option<DataType>>,
    /// Whether the door gives out the rows of `COPY … TO STDOUT` in the form that it asks for.
    pub copies_out: bool,
    /// The rows of a `COPY … FROM STDIN`.
    pub copied: Option<Copied>,
    /// A tighter wall clock than the session's.
    pub timeout: Option<Duration>,
    /// The answer ends after so many rows, and says that it is truncated.
    pub row_limit: Option<u64>,
    /// Refuse everything that writes.
    pub read_only: bool,
    /// Where a live query goes on: the position of the last chunk that the client has.
    pub resume: Option<ResumeToken>,
    /// The form in which a live query tells of changes; without it a changelog, and rows as they are where they only come.
    pub envelope: Option<Envelope>,
}

impl Request {
    /// A request without parameters and without bounds of its own.
    pub fn new(sql: impl Into<String>) -> Self {
        Self {
            sql: sql.into(),
            parameters: Vec::new(),
            hints: Vec::new(),
            copies_out: false,
            copied: None,
            timeout: None,
            row_limit: None,
            read_only: false,
            resume: None,
            envelope: None,
        }
    }
}

/// Rows that a client sent with `COPY … FROM STDIN`, with the columns that it names. Texts are read as PostgreSQL reads them.
#[derive(Debug, Clone)]
pub struct Copied {
    /// The columns as [`Session::copy_columns`](crate::Session::copy_columns) gave them.
    pub schema: SchemaRef,
    /// The rows, in columns of these or of text.
    pub batches: Vec<RecordBatch>,
}

/// How the rows of an [`Ingest`] are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IngestFormat {
    /// A JSON object a line.
    Ndjson,
    /// RFC 4180 with a header line.
    Csv,
    /// An Arrow IPC stream.
    Arrow,
    /// A Parquet file.
    Parquet,
}

/// Rows to append to a stream, all or none.
#[derive(Debug, Clone)]
pub struct Ingest {
    /// The stream's name, `bids` or `schema.bids`.
    pub stream: String,
    /// How `body` is written.
    pub format: IngestFormat,
    /// The rows.
    pub body: Bytes,
    /// A retry with the same key and body appends nothing and gets the first answer; another body is refused.
    pub idempotency_key: Option<String>,
}

/// What an ingest did; when it is returned, the rows are on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingested {
    /// Rows in the request.
    pub rows: u64,
    /// Where they are.
    pub partitions: Vec<IngestedPartition>,
    /// Whether an earlier request with the same key had already appended them.
    pub duplicate: bool,
}

/// The offsets that an ingest got in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IngestedPartition {
    /// The partition's number.
    pub partition: u32,
    /// Offset of the first row.
    pub base_offset: i64,
    /// Offset after the last row.
    pub end_offset: i64,
}
