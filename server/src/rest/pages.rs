//! Rows of a spool as a stream, read when the client has taken what came before.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use weir_base::Kind;
use weir_engine::{Chunk, Error};

use super::pump::Rows;
use crate::spool::Spool;

pub(crate) struct Pages {
    chunks: BoxStream<'static, Result<Chunk, Error>>,
    truncated: bool,
}

impl Pages {
    /// Rows `[from, to)` of `spool`.
    pub(crate) fn new(spool: Arc<Spool>, from: u64, to: u64, truncated: bool) -> Self {
        let chunks = futures::stream::try_unfold(from, move |at| {
            let spool = Arc::clone(&spool);
            async move {
                let read = tokio::task::spawn_blocking(move || spool.read(at, to)).await;
                let batch =
                    read.map_err(|error| Error::new(Kind::Internal, error.to_string()))??;
                Ok(batch.map(|batch| {
                    let next = at + batch.num_rows() as u64;
                    (
                        Chunk {
                            batch,
                            position: None,
                        },
                        next,
                    )
                }))
            }
        });
        Self {
            chunks: chunks.boxed(),
            truncated,
        }
    }
}

impl Stream for Pages {
    type Item = Result<Chunk, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.chunks.poll_next_unpin(context)
    }
}

impl Rows for Pages {
    fn truncated(&self) -> bool {
        self.truncated
    }
}
