//! An answer as it comes over the connection: an Arrow IPC stream, decoded batch by batch.

use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamDecoder;
use arrow::record_batch::RecordBatch;
use reqwest::Response;

use super::{Client, Problem, QUERY_ID, root_cause};
use crate::error::{Error, Result};

/// The headers that tell of a command: its tag, and the rows that it wrote.
const COMMAND: &str = "weir-command";
const COMMAND_ROWS: &str = "weir-rows";

/// How an Arrow IPC stream says that it is complete.
const END_OF_STREAM: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

/// A command that was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Command {
    /// The tag: `CREATE STREAM`, `INSERT`.
    pub(crate) tag: String,
    /// Rows that it wrote, where it writes rows.
    pub(crate) rows: Option<u64>,
}

/// The answer to one statement. Dropping it ends the connection, which cancels the query.
#[derive(Debug)]
pub(crate) struct Answer {
    client: Client,
    response: Response,
    query_id: Option<String>,
    command: Option<Command>,
    decoder: StreamDecoder,
    undecoded: Buffer,
    first: Option<RecordBatch>,
    tail: Tail,
    bytes: u64,
}

impl Answer {
    /// Reads as far as the schema.
    pub(super) async fn begin(client: Client, response: Response) -> Result<Self> {
        let header = |name: &str| {
            let value = response.headers().get(name)?;
            Some(value.to_str().ok()?.to_owned())
        };
        let command = header(COMMAND).map(|tag| Command {
            tag,
            rows: header(COMMAND_ROWS).and_then(|rows| rows.parse().ok()),
        });
        let mut answer = Self {
            client,
            query_id: header(QUERY_ID),
            command,
            response,
            decoder: StreamDecoder::new(),
            undecoded: Buffer::from_vec(Vec::<u8>::new()),
            first: None,
            tail: Tail::default(),
            bytes: 0,
        };
        while answer.decoder.schema().is_none() {
            if !answer.receive().await? {
                return Err(answer.broken_off().await);
            }
            answer.first = answer.decoder.decode(&mut answer.undecoded)?;
        }
        Ok(answer)
    }

    /// The columns.
    pub(crate) fn schema(&self) -> Result<SchemaRef> {
        self.decoder
            .schema()
            .ok_or_else(|| Error::Protocol("an Arrow stream without a schema".into()))
    }

    /// The query's identity on the server.
    pub(crate) fn query_id(&self) -> Option<&str> {
        self.query_id.as_deref()
    }

    /// What was done, when the statement was a command.
    pub(crate) fn command(&self) -> Option<&Command> {
        self.command.as_ref()
    }

    /// Bytes received so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next rows, or nothing after the last.
    ///
    /// # Errors
    /// [`Error::Refused`] or [`Error::Lost`] when the stream ended before its end.
    pub(crate) async fn next(&mut self) -> Result<Option<RecordBatch>> {
        if let Some(batch) = self.first.take() {
            return Ok(Some(batch));
        }
        loop {
            if let Some(batch) = self.decoder.decode(&mut self.undecoded)? {
                return Ok(Some(batch));
            }
            if !self.receive().await? {
                if self.tail.is_end_of_stream() {
                    return Ok(None);
                }
                return Err(self.broken_off().await);
            }
        }
    }

    async fn receive(&mut self) -> Result<bool> {
        match self.response.chunk().await {
            Ok(Some(chunk)) => {
                self.bytes += chunk.len() as u64;
                self.tail.push(&chunk);
                self.undecoded = Buffer::from(chunk);
                Ok(true)
            }
            Ok(None) => Ok(false),
            Err(error) => Err(match self.broken_off().await {
                Error::Lost(_) => Error::Lost(root_cause(&error)),
                known => known,
            }),
        }
    }

    /// The server breaks an answer off when the query fails after its first rows; it keeps the reason for a while.
    async fn broken_off(&self) -> Error {
        let reason = match &self.query_id {
            Some(query_id) => self.client.failure(query_id).await,
            None => None,
        };
        match reason {
            Some(reason) => Error::Refused(Box::new(Problem {
                detail: Some(reason),
                query_id: self.query_id.clone(),
                ..Problem::default()
            })),
            None => Error::Lost("the answer ended before its end".into()),
        }
    }
}

/// The last eight bytes of a stream.
#[derive(Debug, Default)]
struct Tail([u8; 8]);

impl Tail {
    fn push(&mut self, chunk: &[u8]) {
        for byte in chunk.iter().skip(chunk.len().saturating_sub(8)) {
            self.0.rotate_left(1);
            self.0[7] = *byte;
        }
    }

    fn is_end_of_stream(&self) -> bool {
        self.0 == END_OF_STREAM
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_stream_is_known_however_it_is_cut() {
        let stream = [&[1u8, 2, 3][..], &END_OF_STREAM].concat();
        for at in 0..=stream.len() {
            let mut tail = Tail::default();
            tail.push(&stream[..at]);
            assert_eq!(tail.is_end_of_stream(), at == stream.len());
            tail.push(&stream[at..]);
            assert!(tail.is_end_of_stream(), "cut at {at}");
        }
    }
}
