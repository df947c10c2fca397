//! What a session answers: a schema, and a stream of record batches that stops its query when dropped.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use futures::Stream;
use tokio::sync::mpsc;
use weir_base::{QueryId, ResumeToken};

use crate::error::{Error, Result};
use crate::queries::{Running, StopReason};

/// The answer to one statement.
#[derive(Debug)]
pub struct Answer {
    /// The query's identity, for cancelling and for logs.
    pub query_id: QueryId,
    /// The schema of every batch.
    pub schema: SchemaRef,
    /// What kind of answer it is.
    pub kind: AnswerKind,
    /// The rows.
    pub rows: RowStream,
}

/// What kind of answer follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerKind {
    /// Rows, and then an end.
    Rows,
    /// Rows without an end, each chunk with its position.
    Live,
    /// A command was carried out.
    Command {
        /// PostgreSQL's command tag without a count: `CREATE STREAM`, `INSERT`.
        tag: String,
        /// Rows that it wrote, where it writes rows.
        rows: Option<u64>,
        /// Whether the rows that follow are the statement's own (`RETURNING`). Otherwise there is none, or one with the count.
        gives_rows: bool,
    },
}

/// A batch of an answer.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// The rows, in the answer's schema.
    pub batch: RecordBatch,
    /// Of a live query: where it stands after this batch, its resume token.
    pub position: Option<ResumeToken>,
}

/// How far a query has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Rows given out.
    pub rows: u64,
    /// Bytes given out, as Arrow arrays.
    pub bytes: u64,
    /// Time since the request came.
    pub elapsed: Duration,
    /// Bytes spilled to disk.
    pub spilled_bytes: u64,
    /// Whether it still waits for its turn.
    pub queued: bool,
}

/// The rows of an answer. Dropping it cancels the query.
#[derive(Debug)]
pub struct RowStream {
    chunks: mpsc::Receiver<Result<Chunk>>,
    running: Arc<Running>,
    /// The schema that the reader sees, where columns share a name.
    shown: Option<SchemaRef>,
}

impl RowStream {
    pub(crate) fn new(chunks: mpsc::Receiver<Result<Chunk>>, running: Arc<Running>) -> Self {
        Self {
            chunks,
            running,
            shown: None,
        }
    }

    /// Gives batches in this schema, which differs from theirs in names only.
    pub(crate) fn showing(mut self, shown: Option<SchemaRef>) -> Self {
        self.shown = shown;
        self
    }

    /// After the end: whether rows were left out because of a row limit.
    pub fn truncated(&self) -> bool {
        self.running.is_truncated()
    }

    /// How far the query has come.
    pub fn progress(&self) -> Progress {
        self.running.progress()
    }
}

impl Stream for RowStream {
    type Item = Result<Chunk>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // A query that was dropped in the middle must not look as if it had come to its end.
        let end =
            |running: &Running| (!running.has_ended()).then(|| Err(StopReason::Shutdown.error()));
        let chunk = std::task::ready!(self.chunks.poll_recv(context));
        let chunk = match (&self.shown, chunk) {
            (Some(shown), Some(Ok(mut chunk))) => Some(
                RecordBatch::try_new(Arc::clone(shown), chunk.batch.columns().to_vec())
                    .map(|batch| {
                        chunk.batch = batch;
                        chunk
                    })
                    .map_err(Error::from),
            ),
            (_, chunk) => chunk,
        };
        Poll::Ready(chunk.or_else(|| end(&self.running)))
    }
}

impl Drop for RowStream {
    fn drop(&mut self) {
        self.running.reader_left();
    }
}
