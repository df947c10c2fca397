//! Produce: batches go to the log as they are.

use bytes::Bytes;
use kafka_protocol::messages::produce_request::PartitionProduceData;
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};
use tokio::sync::oneshot;
use weir_base::PartitionId;
use weir_engine::TopicAccess;
use weir_topics::{Appended, BatchView, EncodedBatch};

use weir_topics::transactions::TransactionVersion;

use super::reserved::check_transactional_id;
use super::transactions::{producer, rules};
use super::{Kafka, code, may_write, text};

/// Batches whose records are looked at are looked at here and now when they are no larger; others on a thread of their own.
const INLINE_BYTES: usize = 64 << 10;
/// The first version whose clients know that a transaction can only be aborted, and the first that adds partitions by itself.
const VERSION_OF_ABORTABLE: i16 = 11;
const VERSION_OF_KIP_890: i16 = 12;

/// Gives each of some requests of a connection its turn, in the order in which they came.
#[derive(Default)]
pub(super) struct Turns {
    last: Option<oneshot::Receiver<()>>,
}

/// A request's place in line.
pub(super) struct Turn {
    before: Option<oneshot::Receiver<()>>,
    /// Its end, also by being dropped, lets the next one go on.
    _next: oneshot::Sender<()>,
}

impl Turns {
    pub(super) fn next(&mut self) -> Turn {
        let (next, wait) = oneshot::channel();
        Turn {
            before: self.last.replace(wait),
            _next: next,
        }
    }
}

impl Turn {
    /// Waits for the end of the one before.
    pub(super) async fn begin(&mut self) {
        if let Some(before) = self.before.take() {
            // Both an end and a drop are ends.
            let _ = before.await;
        }
    }
}

/// Why a partition's batch is not taken.
struct Refused {
    code: i16,
    message: Option<String>,
    /// The record that is wrong, by its number in the batch.
    record: Option<usize>,
}

impl From<i16> for Refused {
    fn from(code: i16) -> Self {
        Self {
            code,
            message: None,
            record: None,
        }
    }
}

impl From<weir_topics::Error> for Refused {
    fn from(error: weir_topics::Error) -> Self {
        Self {
            code: code::of_log(&error),
            message: Some(error.to_string()),
            record: None,
        }
    }
}

impl From<weir_engine::Error> for Refused {
    fn from(error: weir_engine::Error) -> Self {
        use weir_base::Classify;
        let record = error
            .row()
            .and_then(|row| usize::try_from(row.checked_sub(1)?).ok());
        let code = match (record, error.kind()) {
            (Some(_), _) => code::INVALID_RECORD,
            (None, weir_base::Kind::Invalid) => code::POLICY_VIOLATION,
            _ => code::of_engine(&error),
        };
        let mut message = error.message().to_owned();
        if let Some(hint) = error.hint() {
            message = format!("{message} ({hint})");
        }
        Self {
            code,
            message: Some(message),
            record,
        }
    }
}

impl Kafka {
    /// Appends, and answers when everything is on disk; nothing is answered to `acks = 0`.
    pub(super) async fn produce(
        &self,
        request: ProduceRequest,
        version: i16,
        mut turn: Turn,
    ) -> Option<ProduceResponse> {
        turn.begin().await;
        let acks = request.acks;
        let transactional_id = request.transactional_id.as_ref().map(|id| id.as_str());
        let mut begun = Vec::new();
        for topic in request.topic_data {
            let access = match version {
                13.. => self.identified(topic.topic_id),
                _ => self.named(&topic.name),
            }
            .and_then(may_write);
            let mut partitions = Vec::with_capacity(topic.partition_data.len());
            for data in topic.partition_data {
                let index = data.index;
                let appended = match &access {
                    _ if !(-1..=1).contains(&acks) => Err(code::INVALID_REQUIRED_ACKS.into()),
                    Err(code) => Err((*code).into()),
                    Ok(access) => self.append(access, data, transactional_id, version).await,
                };
                partitions.push((index, appended));
            }
            begun.push((topic.name, topic.topic_id, access.ok(), partitions));
        }
        drop(turn);
        let mut responses = Vec::with_capacity(begun.len());
        for (name, topic_id, access, partitions) in begun {
            let mut answered = Vec::with_capacity(partitions.len());
            for (index, appended) in partitions {
                let durable = match appended {
                    Ok(appended) => appended.durable().await.map_err(Refused::from),
                    Err(refused) => Err(refused),
                };
                answered.push(outcome(index, version, access.as_ref(), durable));
            }
            let mut response = TopicProduceResponse::default().with_partition_responses(answered);
            if version >= 13 {
                response.topic_id = topic_id;
            } else {
                response.name = name;
            }
            responses.push(response);
        }
        (acks != 0).then(|| ProduceResponse::default().with_responses(responses))
    }
}

impl Kafka {
    /// Checks a partition's batch and puts it in line for the disk. A batch of a transaction that follows KIP-890 makes its
    /// partition part of it.
    async fn append(
        &self,
        access: &TopicAccess,
        data: PartitionProduceData,
        transactional_id: Option<&str>,
        version: i16,
    ) -> Result<Appended, Refused> {
        if let Some(id) = transactional_id {
            check_transactional_id(id)?;
        }
        let records = data.records.filter(|records| !records.is_empty());
        let records = records.ok_or(code::INVALID_RECORD)?;
        let number = u32::try_from(data.index).map_err(|_| code::UNKNOWN_TOPIC_OR_PARTITION)?;
        let partition = access.topic().partition(PartitionId(number))?;
        let batch = if records.len() <= INLINE_BYTES {
            checked(access, records)?
        } else {
            let access = access.clone();
            let checking = tokio::task::spawn_blocking(move || checked(&access, records));
            checking.await.map_err(|error| {
                tracing::error!(%error, "a batch could not be checked");
                Refused::from(code::UNKNOWN_SERVER_ERROR)
            })??
        };
        if let Some(id) = transactional_id
            && batch.is_transactional()
            && let Some((producer_id, epoch)) = batch.producer()
            && rules(version, VERSION_OF_KIP_890) == TransactionVersion::V2
        {
            let producer = producer(id, producer_id, epoch);
            let place = [(access.topic().id(), partition.id())];
            for added in self.transactions.add_partitions(&producer, &place).await? {
                added?;
            }
        }
        partition.ready().await?;
        partition.append(batch, None).map_err(|error| {
            let mut refused = Refused::from(error);
            if refused.code == code::INVALID_TXN_STATE && version >= VERSION_OF_ABORTABLE {
                refused.code = code::TRANSACTION_ABORTABLE;
            }
            refused
        })
    }
}

fn checked(access: &TopicAccess, records: Bytes) -> Result<EncodedBatch, Refused> {
    let view = BatchView::parse(records)?;
    let batch = EncodedBatch::from_view(view.clone())?;
    if !access.takes_any() {
        access.admit(&view)?;
    }
    Ok(batch)
}

fn outcome(
    index: i32,
    version: i16,
    access: Option<&TopicAccess>,
    durable: Result<(weir_base::Offset, weir_base::Offset), Refused>,
) -> PartitionProduceResponse {
    let mut response = PartitionProduceResponse::default().with_index(index);
    response.log_append_time_ms = -1;
    match durable {
        Ok((base, _)) => {
            response.base_offset = base.0;
            let number = PartitionId(u32::try_from(index).unwrap_or(u32::MAX));
            let partition = access.and_then(|access| access.topic().partition(number).ok());
            if let Some(partition) = partition
                && version >= 5
            {
                response.log_start_offset = partition.start_offset().0;
            }
        }
        Err(refused) => {
            response.error_code = refused.code;
            response.base_offset = -1;
            if version >= 8 {
                let message = refused.message.as_deref().map(text);
                if let Some(record) = refused.record {
                    response.record_errors = vec![
                        BatchIndexAndErrorMessage::default()
                            .with_batch_index(i32::try_from(record).unwrap_or(i32::MAX))
                            .with_batch_index_error_message(message.clone()),
                    ];
                }
                response.error_message = message;
            }
        }
    }
    response
}
