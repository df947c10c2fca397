//! The chunks of a live query, one a step.
//!
//! The engine gives a step's rows in several batches, of which only the last has the step's position. A reader that goes
//! on from a position must have all rows before it and none after it, so they are handed on together. A step is bounded.

use std::pin::Pin;
use std::task::{Context, Poll};

use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;
use futures::{Stream, StreamExt};
use weir_base::Kind;
use weir_engine::{Chunk, Error};

use super::pump::Rows;

pub(crate) struct Steps<R> {
    rows: R,
    live: bool,
    held: Vec<RecordBatch>,
}

impl<R> Steps<R> {
    /// The steps of `rows`; unless they are `live`, the chunks as they are.
    pub(crate) fn new(rows: R, live: bool) -> Self {
        Self {
            rows,
            live,
            held: Vec::new(),
        }
    }

    fn join(&mut self, last: RecordBatch) -> Result<RecordBatch, Error> {
        if self.held.is_empty() {
            return Ok(last);
        }
        let schema = last.schema();
        self.held.push(last);
        concat_batches(&schema, &std::mem::take(&mut self.held))
            .map_err(|error| Error::new(Kind::Internal, error.to_string()))
    }
}

impl<R: Rows> Stream for Steps<R> {
    type Item = Result<Chunk, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let chunk = match self.rows.poll_next_unpin(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(chunk))) => chunk,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(None) => {
                    // Rows without a position are those of an answer that was cut short, as by a row limit.
                    let Some(last) = self.held.pop() else {
                        return Poll::Ready(None);
                    };
                    let joined = self.join(last);
                    return Poll::Ready(Some(joined.map(|batch| Chunk {
                        batch,
                        position: None,
                    })));
                }
            };
            if self.live && chunk.position.is_none() {
                self.held.push(chunk.batch);
                continue;
            }
            let position = chunk.position;
            return Poll::Ready(Some(
                self.join(chunk.batch)
                    .map(|batch| Chunk { batch, position }),
            ));
        }
    }
}

impl<R: Rows> Rows for Steps<R> {
    fn truncated(&self) -> bool {
        self.rows.truncated()
    }
}
