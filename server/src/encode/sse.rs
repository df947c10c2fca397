//! Server-sent events (WHATWG HTML, 9.2). In: batches. Out: one event a batch, whose data is a JSON array of its rows.
//!
//! An event carries a whole step of a live query, because its `id` is the resume token after all of its rows: a client that goes on from
//! the last id it saw misses no row and sees none twice. The first event, `schema`, has the columns; `end` and `error`
//! say how it ended.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use serde::Serialize;
use weir_base::ResumeToken;

use super::json::Column;
use super::{EncodeError, Encoder, Ending, Output, Summary, columns_document, rows_array};

pub(super) struct SseEncoder {
    schema: SchemaRef,
    query_id: String,
}

impl SseEncoder {
    pub(super) fn new(schema: &SchemaRef, query_id: &str) -> Self {
        Self {
            schema: Arc::clone(schema),
            query_id: query_id.to_owned(),
        }
    }
}

#[derive(Serialize)]
struct SchemaEvent<'a> {
    query_id: &'a str,
    columns: Vec<Column>,
}

#[derive(Serialize)]
struct EndEvent<'a> {
    row_count: u64,
    truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<&'a str>,
}

/// A comment, which keeps the connection open and means nothing.
pub(crate) const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

impl Encoder for SseEncoder {
    fn begin(&mut self, out: &mut Output) -> Result<(), EncodeError> {
        out.tail()
            .extend_from_slice(b"retry: 1000\nevent: schema\ndata: ");
        serde_json::to_writer(
            out.tail(),
            &SchemaEvent {
                query_id: &self.query_id,
                columns: columns_document(&self.schema),
            },
        )?;
        out.tail().extend_from_slice(b"\n\n");
        Ok(())
    }

    fn rows(
        &mut self,
        batch: &RecordBatch,
        position: Option<&ResumeToken>,
        out: &mut Output,
    ) -> Result<(), EncodeError> {
        let out = out.tail();
        if let Some(position) = position {
            out.extend_from_slice(format!("id: {position}\n").as_bytes());
        }
        if batch.num_rows() == 0 {
            // An event without data is not shown to the page, but its id is kept: the query has read on and found nothing.
            if position.is_some() {
                out.push(b'\n');
            }
            return Ok(());
        }
        out.extend_from_slice(b"data: ");
        rows_array(batch, out)?;
        out.extend_from_slice(b"\n\n");
        Ok(())
    }

    fn end(&mut self, summary: &Summary, out: &mut Output) -> Result<(), EncodeError> {
        out.tail().extend_from_slice(b"event: end\ndata: ");
        serde_json::to_writer(
            out.tail(),
            &EndEvent {
                row_count: summary.rows,
                truncated: summary.truncated,
                command: summary.command.as_deref(),
            },
        )?;
        out.tail().extend_from_slice(b"\n\n");
        Ok(())
    }

    fn fail(&mut self, problem: &str, out: &mut Output) -> Ending {
        out.tail()
            .extend_from_slice(format!("event: error\ndata: {problem}\n\n").as_bytes());
        Ending::Told
    }

    fn divides(&self) -> bool {
        false
    }
}
