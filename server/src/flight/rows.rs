//! Rows on their way to a client. In: chunks of an answer, taken when the client has room. Out: Flight's messages, each within
//! the size that clients take, the last one of a live query's chunk with the position after it.

use std::collections::VecDeque;

use arrow::array::Array;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions};
use arrow::record_batch::RecordBatch;
use arrow_flight::{FlightData, SchemaAsIpc};
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use weir_base::{Kind, SqlState};
use weir_engine::{Chunk, Error};

use super::status::{defect, status};
use super::types::converted;

/// What a message has besides the rows' own bytes.
const MESSAGE_OVERHEAD: usize = 4 << 10;

/// What ends a stream from outside.
#[derive(Debug, Clone)]
pub(crate) struct Ends {
    /// Somebody cancelled the query by its ticket.
    pub(crate) cancelled: CancellationToken,
    /// The server stops; a live query ends then, others go on.
    pub(crate) draining: Option<CancellationToken>,
}

/// The messages of an answer: its schema as `sent`, then its rows. `held` is let go with the stream.
pub(crate) fn messages<S, H>(
    rows: S,
    sent: SchemaRef,
    message_bytes: usize,
    ends: Ends,
    held: H,
) -> BoxStream<'static, Result<FlightData, Status>>
where
    S: Stream<Item = Result<Chunk, Error>> + Send + Unpin + 'static,
    H: Send + 'static,
{
    let first = schema_message(&sent);
    let sending = Sending {
        rows,
        encoder: BatchEncoder::new(sent, message_bytes),
        ready: VecDeque::from([first]),
        ends,
        has_ended: false,
        _held: held,
    };
    futures::stream::unfold(sending, |mut sending| async move {
        let message = sending.next().await?;
        Some((message, sending))
    })
    .boxed()
}

fn schema_message(schema: &SchemaRef) -> FlightData {
    SchemaAsIpc::new(schema, &IpcWriteOptions::default()).into()
}

struct Sending<S, H> {
    rows: S,
    encoder: BatchEncoder,
    ready: VecDeque<FlightData>,
    ends: Ends,
    has_ended: bool,
    _held: H,
}

impl<S: Stream<Item = Result<Chunk, Error>> + Unpin, H> Sending<S, H> {
    async fn next(&mut self) -> Option<Result<FlightData, Status>> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Some(Ok(message));
            }
            if self.has_ended {
                return None;
            }
            let position = match self.encoder.next_message() {
                Ok(Some(message)) => return Some(Ok(message)),
                Ok(None) => self.next_chunk().await?,
                Err(error) => Err(error),
            };
            if let Err(error) = position {
                self.has_ended = true;
                return Some(Err(error));
            }
        }
    }

    /// Takes the next chunk; `None` at the end of the rows.
    async fn next_chunk(&mut self) -> Option<Result<(), Status>> {
        let draining = async {
            match &self.ends.draining {
                Some(draining) => draining.cancelled().await,
                None => std::future::pending().await,
            }
        };
        let ended = |error: Error| Some(Err(status(&error)));
        tokio::select! {
            // First, because a live query with much to catch up on always has rows.
            biased;
            () = self.ends.cancelled.cancelled() => {
                ended(Error::new(Kind::Cancelled, "the query was cancelled on request"))
            }
            () = draining => ended(
                Error::new(Kind::Unavailable, "the server is shutting down")
                    .with_sqlstate(SqlState::ADMIN_SHUTDOWN),
            ),
            chunk = self.rows.next() => match chunk? {
                Ok(chunk) => Some(self.encoder.begin(chunk)),
                Err(error) => ended(error),
            },
        }
    }
}

/// Cuts batches into messages.
struct BatchEncoder {
    schema: SchemaRef,
    message_bytes: usize,
    options: IpcWriteOptions,
    generator: IpcDataGenerator,
    context: IpcWriteContext,
    /// Nothing that is sent has a dictionary, but the writer wants to know of them.
    dictionaries: DictionaryTracker,
    /// Rows that are not sent yet, and what is said with the last of them.
    rest: Option<(RecordBatch, Bytes)>,
}

impl BatchEncoder {
    fn new(schema: SchemaRef, message_bytes: usize) -> Self {
        Self {
            schema,
            message_bytes,
            options: IpcWriteOptions::default(),
            generator: IpcDataGenerator::default(),
            context: IpcWriteContext::default(),
            dictionaries: DictionaryTracker::new(false),
            rest: None,
        }
    }

    fn begin(&mut self, chunk: Chunk) -> Result<(), Status> {
        let position = chunk.position.map_or_else(Bytes::new, |position| {
            Bytes::from(position.to_string().into_bytes())
        });
        if chunk.batch.num_rows() > 0 || !position.is_empty() {
            let batch = converted(&chunk.batch, &self.schema).map_err(|error| defect(&error))?;
            self.rest = Some((batch, position));
        }
        Ok(())
    }

    /// The next rows that fit into a message; `None` when all are sent.
    fn next_message(&mut self) -> Result<Option<FlightData>, Status> {
        let Some((batch, position)) = self.rest.take() else {
            return Ok(None);
        };
        let mut rows = rows_within(&batch, self.message_bytes);
        loop {
            let part = batch.slice(0, rows);
            let message = self.encode(&part).map_err(|error| defect(&error))?;
            let size = message.data_body.len() + message.data_header.len() + MESSAGE_OVERHEAD;
            // A row that is larger is sent: only the client knows what it takes.
            if size > self.message_bytes && rows > 1 {
                rows = smaller(rows, size, self.message_bytes);
                continue;
            }
            return Ok(Some(if rows == batch.num_rows() {
                message.with_app_metadata(position)
            } else {
                let rest = batch.slice(rows, batch.num_rows() - rows);
                self.rest = Some((rest, position));
                message
            }));
        }
    }

    fn encode(&mut self, batch: &RecordBatch) -> Result<FlightData, ArrowError> {
        let (_, encoded) = self.generator.encode(
            batch,
            &mut self.dictionaries,
            &self.options,
            &mut self.context,
        )?;
        Ok(encoded.into())
    }
}

/// How many rows from the start of `batch` are about `bytes` large, if all are alike.
fn rows_within(batch: &RecordBatch, bytes: usize) -> usize {
    let size: usize = batch
        .columns()
        .iter()
        .map(|column| {
            let data = column.to_data();
            data.get_slice_memory_size()
                .unwrap_or_else(|_| column.get_array_memory_size())
        })
        .sum();
    let room = bytes.saturating_sub(MESSAGE_OVERHEAD).max(1);
    if size <= room {
        return batch.num_rows();
    }
    (batch.num_rows().saturating_mul(room) / size.max(1)).clamp(1, batch.num_rows().max(1))
}

/// How many rows to try after so many were too large.
fn smaller(rows: usize, size: usize, bytes: usize) -> usize {
    let fit = rows.saturating_mul(bytes) / size.max(1);
    fit.min(rows / 2).max(1)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use arrow_flight::decode::FlightRecordBatchStream;
    use arrow_flight::error::FlightError;
    use futures::TryStreamExt;

    use super::*;

    const MESSAGE_BYTES: usize = 64 << 10;

    fn ends() -> Ends {
        Ends {
            cancelled: CancellationToken::new(),
            draining: None,
        }
    }

    fn batch(texts: Vec<String>) -> RecordBatch {
        let numbers = Int64Array::from_iter_values(0..texts.len() as i64);
        RecordBatch::try_from_iter([
            ("n", Arc::new(numbers) as ArrayRef),
            ("t", Arc::new(StringArray::from(texts)) as ArrayRef),
        ])
        .unwrap()
    }

    async fn sent(batch: &RecordBatch, position: Option<&str>) -> Vec<FlightData> {
        let chunk = Chunk {
            batch: batch.clone(),
            position: position.map(|text| text.parse().unwrap()),
        };
        let rows = futures::stream::iter([Ok(chunk)]);
        messages(rows, batch.schema(), MESSAGE_BYTES, ends(), ())
            .try_collect()
            .await
            .unwrap()
    }

    async fn read(messages: Vec<FlightData>) -> Vec<RecordBatch> {
        let messages = futures::stream::iter(messages.into_iter().map(Ok::<_, FlightError>));
        FlightRecordBatchStream::new_from_flight_data(messages)
            .try_collect()
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn messages_stay_within_their_size_also_where_rows_differ() {
        // All of the bytes are in the last rows.
        let texts = (0..5_000_usize).map(|row| "x".repeat(if row > 4_900 { 4_000 } else { 1 }));
        let batch = batch(texts.collect());
        let messages = sent(&batch, None).await;
        for message in &messages {
            assert!(message.data_body.len() + message.data_header.len() <= MESSAGE_BYTES);
        }
        let read = read(messages).await;
        assert!(read.len() > 5, "{}", read.len());
        let whole = arrow::compute::concat_batches(&batch.schema(), &read).unwrap();
        assert_eq!(whole, batch);
    }

    #[tokio::test]
    async fn a_row_that_is_larger_than_a_message_is_sent_alone() {
        let huge = "y".repeat(4 * MESSAGE_BYTES);
        let batch = batch(vec!["a".to_owned(), huge, "b".to_owned()]);
        let read = read(sent(&batch, None).await).await;
        assert_eq!(
            arrow::compute::concat_batches(&batch.schema(), &read).unwrap(),
            batch
        );
    }

    #[tokio::test]
    async fn the_position_comes_with_the_last_rows_of_its_chunk() {
        let batch = batch((0..3_000).map(|row| format!("{row:0100}")).collect());
        let messages = sent(&batch, Some("bids:7")).await;
        assert!(messages.len() > 3);
        let (last, before) = messages.split_last().unwrap();
        assert_eq!(&last.app_metadata[..], b"bids:7");
        assert!(before.iter().all(|message| message.app_metadata.is_empty()));
    }

    #[tokio::test]
    async fn a_cancelled_stream_ends_with_an_error() {
        let batch = batch(vec!["a".to_owned()]);
        let ends = ends();
        ends.cancelled.cancel();
        let rows = futures::stream::pending::<Result<Chunk, Error>>();
        let all: Vec<_> = messages(rows, batch.schema(), MESSAGE_BYTES, ends, ())
            .collect()
            .await;
        assert_eq!(all.len(), 2);
        assert_eq!(all[1].as_ref().unwrap_err().code(), tonic::Code::Cancelled);
    }
}
