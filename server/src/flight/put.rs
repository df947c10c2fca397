//! What clients put: a stream of messages, gathered within bounds into the bytes of an Arrow IPC stream.
//!
//! A Flight message is an IPC message in two parts, so nothing is decoded here: whoever takes the rows checks them.

use std::sync::Arc;
use std::time::Duration;

use arrow_flight::FlightData;
use arrow_flight::sql::DoPutUpdateResult;
use bytes::Bytes;
use futures::{Stream, StreamExt};
use prost::Message;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;
use weir_base::{Kind, SqlState};
use weir_engine::Error;

use super::Flight;
use super::status::{exceeded, invalid, status};

/// What comes before each message of an IPC stream.
const CONTINUATION: [u8; 4] = [0xff; 4];
/// Messages and their bodies begin at multiples of this.
const ALIGNMENT: usize = 8;

/// Rows that a client has put.
#[derive(Debug)]
pub(crate) struct Uploaded {
    /// An Arrow IPC stream.
    pub(super) body: Bytes,
    /// Keeps their memory reserved.
    _memory: Vec<OwnedSemaphorePermit>,
}

/// The first message and those after it.
pub(super) async fn first<S>(mut messages: S, wait: Duration) -> Result<(FlightData, S), Status>
where
    S: Stream<Item = Result<FlightData, Status>> + Unpin,
{
    match next(&mut messages, wait).await? {
        Some(message) => Ok((message, messages)),
        None => Err(invalid("a DoPut without a message asks for nothing")),
    }
}

/// The next message, if it comes in time.
async fn next<S>(messages: &mut S, wait: Duration) -> Result<Option<FlightData>, Status>
where
    S: Stream<Item = Result<FlightData, Status>> + Unpin,
{
    match tokio::time::timeout(wait, messages.next()).await {
        Ok(message) => message.transpose(),
        Err(_) => Err(exceeded(
            format!("no message came for {} ms", wait.as_millis()),
            "send rows as they are there, or raise flight_door.upload_timeout",
        )),
    }
}

/// The answer to what changed so many rows.
pub(super) fn changed(record_count: i64) -> Vec<u8> {
    DoPutUpdateResult { record_count }.encode_to_vec()
}

impl Flight {
    /// Gathers an upload to its end.
    ///
    /// # Errors
    /// When it is too large, breaks off, or there is no memory for it now.
    pub(super) async fn gather<S>(
        &self,
        first: FlightData,
        mut messages: S,
    ) -> Result<Uploaded, Status>
    where
        S: Stream<Item = Result<FlightData, Status>> + Unpin,
    {
        let mut gathered = Gathered {
            bytes: Vec::new(),
            bytes_max: usize::try_from(self.settings.upload_bytes.0).unwrap_or(usize::MAX),
            memory: Arc::clone(&self.upload_memory),
            reserved: Vec::new(),
        };
        gathered.add(&first)?;
        while let Some(message) = next(&mut messages, self.settings.upload_timeout).await? {
            gathered.add(&message)?;
        }
        Ok(gathered.finish())
    }
}

struct Gathered {
    bytes: Vec<u8>,
    bytes_max: usize,
    memory: Arc<Semaphore>,
    reserved: Vec<OwnedSemaphorePermit>,
}

impl Gathered {
    fn add(&mut self, message: &FlightData) -> Result<(), Status> {
        let FlightData {
            data_header: header,
            data_body: body,
            ..
        } = message;
        if header.is_empty() {
            // It carries a descriptor or something of the application's, and no rows.
            return if body.is_empty() {
                Ok(())
            } else {
                Err(invalid("a message has a body and no header"))
            };
        }
        let size = header.len() + body.len() + 2 * ALIGNMENT;
        if self.bytes.len().saturating_add(size) > self.bytes_max {
            return Err(exceeded(
                format!("the upload has more than {} bytes", self.bytes_max),
                "put the rows in several parts, or raise flight_door.upload_bytes",
            ));
        }
        self.reserve(size)?;
        let padding = header.len().next_multiple_of(ALIGNMENT) - header.len();
        let length = u32::try_from(header.len() + padding)
            .map_err(|_| invalid("the header of a message is too large"))?;
        self.bytes.extend_from_slice(&CONTINUATION);
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(header);
        self.bytes.extend(std::iter::repeat_n(0, padding));
        self.bytes.extend_from_slice(body);
        Ok(())
    }

    fn reserve(&mut self, size: usize) -> Result<(), Status> {
        let permits = u32::try_from(size.div_ceil(1 << 10)).unwrap_or(u32::MAX);
        let memory = Arc::clone(&self.memory);
        // Waiting would have uploads that are half there wait for one another.
        let permit = memory.try_acquire_many_owned(permits).map_err(|_| {
            let error = Error::new(
                Kind::LimitExceeded,
                "other uploads have all the memory that is for uploads",
            )
            .with_sqlstate(SqlState::INSUFFICIENT_RESOURCES)
            .with_retry_after(Duration::from_secs(1))
            .with_hint("try again, or raise flight_door.uploads_bytes");
            status(&error)
        })?;
        self.reserved.push(permit);
        Ok(())
    }

    fn finish(mut self) -> Uploaded {
        self.bytes.extend_from_slice(&CONTINUATION);
        self.bytes.extend_from_slice(&[0; 4]);
        Uploaded {
            body: Bytes::from(self.bytes),
            _memory: self.reserved,
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use arrow::ipc::reader::StreamReader;
    use arrow::record_batch::RecordBatch;
    use arrow_flight::utils::batches_to_flight_data;

    use super::*;

    fn gathered(bytes_max: usize, permits: usize) -> Gathered {
        Gathered {
            bytes: Vec::new(),
            bytes_max,
            memory: Arc::new(Semaphore::new(permits)),
            reserved: Vec::new(),
        }
    }

    fn messages() -> (RecordBatch, Vec<FlightData>) {
        let batch = RecordBatch::try_from_iter([
            (
                "n",
                Arc::new(Int64Array::from_iter_values(0..1000)) as ArrayRef,
            ),
            (
                "t",
                Arc::new(StringArray::from_iter_values(
                    (0..1000).map(|n| format!("row {n}")),
                )) as ArrayRef,
            ),
        ])
        .unwrap();
        let messages =
            batches_to_flight_data(&batch.schema(), vec![batch.clone(), batch.slice(3, 5)])
                .unwrap();
        (batch, messages)
    }

    #[test]
    fn messages_become_a_stream() {
        let (batch, messages) = messages();
        let mut gathered = gathered(1 << 20, 1 << 10);
        gathered.add(&FlightData::default()).unwrap();
        for message in &messages {
            gathered.add(message).unwrap();
        }
        let body = gathered.finish().body;
        let read: Vec<_> = StreamReader::try_new(&body[..], None)
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(read, [batch.clone(), batch.slice(3, 5)]);
    }

    #[test]
    fn an_upload_is_bounded_alone_and_with_others() {
        let (_, messages) = messages();
        let add_all = |mut gathered: Gathered| {
            messages
                .iter()
                .try_for_each(|message| gathered.add(message))
                .map_err(|status| status.code())
        };
        assert_eq!(
            add_all(gathered(1000, 1 << 10)),
            Err(tonic::Code::ResourceExhausted)
        );
        assert_eq!(
            add_all(gathered(1 << 20, 1)),
            Err(tonic::Code::ResourceExhausted)
        );
        assert_eq!(add_all(gathered(1 << 20, 1 << 10)), Ok(()));
    }
}
