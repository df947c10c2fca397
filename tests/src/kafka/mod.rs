//! A Kafka client as thin as a test wants it: one connection, one request at a time, and every answer as it came.
//!
//! It asks what it is told to ask: no retries, no metadata, no batching. Start at [`KafkaClient`].

mod records;

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    ApiKey, DeleteRecordsRequest, EndTxnRequest, FetchRequest, GroupId, InitProducerIdRequest,
    OffsetFetchRequest, ProduceRequest, ProducerId, RequestHeader, ResponseHeader, TopicName,
    TransactionalId, TxnOffsetCommitRequest,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub use kafka_protocol;
pub use kafka_protocol::records::Compression as Codec;
pub use records::{Batch, Read};

/// How long an answer may take.
const ANSWER_BOUND: Duration = Duration::from_secs(60);
/// The versions that are asked in: the last that name topics by name.
const PRODUCE: i16 = 12;
const FETCH: i16 = 12;
/// Of an answer to a request that named offsets which are not there.
const OFFSET_OUT_OF_RANGE: i16 = 1;

/// One connection to a broker.
#[derive(Debug)]
pub struct KafkaClient {
    stream: TcpStream,
    asked: i32,
}

/// Why there is no answer, or not the wanted one.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The broker is not there, or not any more: what was asked may have been done.
    #[error("the broker is gone: {0}")]
    Gone(#[from] std::io::Error),
    /// The broker said no.
    #[error("error code {0}")]
    Code(i16),
}

/// A producer's number, and where in its life it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Producer {
    /// Of a transactional one.
    pub transactional_id: Option<String>,
    /// Its number.
    pub id: i64,
    /// How often it was begun anew.
    pub epoch: i16,
}

/// What a partition had from some offset on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The records, in order of offset.
    pub records: Vec<Read>,
    /// From where on that is all.
    pub from: i64,
    /// Up to where everything is decided.
    pub last_stable: i64,
    /// Up to where everything is on disk.
    pub high_watermark: i64,
}

impl KafkaClient {
    /// Connects to `address`, host:port.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn connect(address: &str) -> Result<Self, Failed> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, asked: 0 })
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// [`Failed::Gone`] when none comes.
    ///
    /// # Panics
    /// When the request cannot be said in that version, or the answer not be read.
    pub async fn ask<R: Request>(
        &mut self,
        version: i16,
        request: &R,
    ) -> Result<R::Response, Failed> {
        self.asked += 1;
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.asked)
            .with_client_id(Some(StrBytes::from_static_str("weir-tests")));
        let mut frame = BytesMut::new();
        let key = ApiKey::try_from(R::KEY).expect("the library knows its own keys");
        header
            .encode(&mut frame, key.request_header_version(version))
            .and_then(|()| request.encode(&mut frame, version))
            .expect("a test's request can be said");
        let length = i32::try_from(frame.len()).expect("a test's request is small");
        self.stream.write_all(&length.to_be_bytes()).await?;
        self.stream.write_all(&frame).await?;
        let answer = tokio::time::timeout(ANSWER_BOUND, self.answer());
        let mut answer = answer
            .await
            .unwrap_or_else(|_| panic!("{key:?} was not answered within {ANSWER_BOUND:?}"))?;
        let header_version = <R::Response as HeaderVersion>::header_version(version);
        let header = ResponseHeader::decode(&mut answer, header_version);
        let header = header.expect("an answer has a header");
        assert_eq!(header.correlation_id, self.asked, "answers come in order");
        let response = R::Response::decode(&mut answer, version).expect("an answer can be read");
        assert!(!answer.has_remaining(), "an answer of {key:?} has a rest");
        Ok(response)
    }

    async fn answer(&mut self) -> std::io::Result<Bytes> {
        let length = self.stream.read_i32().await?;
        let mut frame = vec![0; usize::try_from(length).expect("a length is not negative")];
        self.stream.read_exact(&mut frame).await?;
        Ok(frame.into())
    }

    /// Appends a batch, and gives the offset of its first record when it is on disk.
    ///
    /// # Errors
    /// What the broker said of it, or that it is gone.
    pub async fn produce(
        &mut self,
        topic: &str,
        partition: i32,
        batch: &Batch,
    ) -> Result<i64, Failed> {
        let transactional_id = batch.producer.as_ref();
        let transactional_id = transactional_id.and_then(|it| it.transactional_id.as_deref());
        let data = PartitionProduceData::default()
            .with_index(partition)
            .with_records(Some(batch.encode()));
        let topic = TopicProduceData::default()
            .with_name(name(topic))
            .with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_transactional_id(transactional_id.map(transactional))
            .with_acks(-1)
            .with_timeout_ms(30_000)
            .with_topic_data(vec![topic]);
        let answer = self.ask(PRODUCE, &request).await?;
        let answer = &answer.responses[0].partition_responses[0];
        checked(answer.error_code)?;
        Ok(answer.base_offset)
    }

    /// All that a partition has from `from` on, or from its log's start if that is later.
    ///
    /// # Errors
    /// What the broker said, or that it is gone.
    pub async fn read(
        &mut self,
        topic: &str,
        partition: i32,
        from: i64,
        committed: bool,
    ) -> Result<Fetched, Failed> {
        let (mut from, mut at) = (from, from);
        let mut records = Vec::new();
        loop {
            let data = self.fetch(topic, partition, at, committed, 1 << 20).await?;
            match data.error_code {
                // What was read so far has gone meanwhile, too.
                OFFSET_OUT_OF_RANGE if data.log_start_offset > at => {
                    from = data.log_start_offset;
                    at = from;
                    records.clear();
                    continue;
                }
                code => checked(code)?,
            }
            let end = if committed {
                data.last_stable_offset
            } else {
                data.high_watermark
            };
            let next = records::read(&data, at, &mut records);
            if next >= end {
                return Ok(Fetched {
                    records,
                    from,
                    last_stable: data.last_stable_offset,
                    high_watermark: data.high_watermark,
                });
            }
            assert!(next > at, "a fetch at {at} gives nothing before {end}");
            at = next;
        }
    }

    /// One fetch, which does not wait.
    ///
    /// # Errors
    /// When the broker is gone.
    pub async fn fetch(
        &mut self,
        topic: &str,
        partition: i32,
        from: i64,
        committed: bool,
        bytes_max: i32,
    ) -> Result<PartitionData, Failed> {
        let wanted = FetchPartition::default()
            .with_partition(partition)
            .with_fetch_offset(from)
            .with_partition_max_bytes(bytes_max);
        let topic = FetchTopic::default()
            .with_topic(name(topic))
            .with_partitions(vec![wanted]);
        let request = FetchRequest::default()
            .with_max_bytes(bytes_max)
            .with_session_epoch(-1)
            .with_isolation_level(committed.into())
            .with_topics(vec![topic]);
        let mut answer = self.ask(FETCH, &request).await?;
        checked(answer.error_code)?;
        Ok(answer.responses.remove(0).partitions.remove(0))
    }

    /// Deletes a partition's records before an offset.
    ///
    /// # Errors
    /// What the broker said, or that it is gone.
    pub async fn delete_records(
        &mut self,
        topic: &str,
        partition: i32,
        before: i64,
    ) -> Result<i64, Failed> {
        let wanted = DeleteRecordsPartition::default()
            .with_partition_index(partition)
            .with_offset(before);
        let topic = DeleteRecordsTopic::default()
            .with_name(name(topic))
            .with_partitions(vec![wanted]);
        let request = DeleteRecordsRequest::default()
            .with_timeout_ms(30_000)
            .with_topics(vec![topic]);
        let answer = self.ask(2, &request).await?;
        let answer = &answer.topics[0].partitions[0];
        checked(answer.error_code)?;
        Ok(answer.low_watermark)
    }

    /// A number for a producer: an idempotent one's, or that of a transactional id.
    ///
    /// # Errors
    /// What the broker said, or that it is gone.
    pub async fn init_producer(&mut self, id: Option<&str>) -> Result<Producer, Failed> {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(id.map(transactional))
            .with_transaction_timeout_ms(600_000)
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1);
        let answer = self.ask(4, &request).await?;
        checked(answer.error_code)?;
        Ok(Producer {
            transactional_id: id.map(str::to_owned),
            id: answer.producer_id.0,
            epoch: answer.producer_epoch,
        })
    }

    /// Ends a producer's transaction, and gives the producer as it goes on (KIP-890).
    ///
    /// # Errors
    /// What the broker said, or that it is gone.
    ///
    /// # Panics
    /// When the producer is not transactional.
    pub async fn end_transaction(
        &mut self,
        producer: &Producer,
        committed: bool,
    ) -> Result<Producer, Failed> {
        let id = producer.transactional_id.as_deref();
        let request = EndTxnRequest::default()
            .with_transactional_id(transactional(id.expect("a transactional producer")))
            .with_producer_id(ProducerId(producer.id))
            .with_producer_epoch(producer.epoch)
            .with_committed(committed);
        let answer = self.ask(5, &request).await?;
        checked(answer.error_code)?;
        Ok(Producer {
            transactional_id: producer.transactional_id.clone(),
            id: answer.producer_id.0,
            epoch: answer.producer_epoch,
        })
    }

    /// Commits a group's offset of a topic's partition as part of a producer's transaction (KIP-890: without more ado).
    ///
    /// # Errors
    /// What the broker said, or that it is gone.
    ///
    /// # Panics
    /// When the producer is not transactional.
    pub async fn commit_in_transaction(
        &mut self,
        producer: &Producer,
        group: &str,
        (topic, partition, offset): (&str, i32, i64),
    ) -> Result<(), Failed> {
        let id = producer.transactional_id.as_deref();
        let wanted = TxnOffsetCommitRequestPartition::default()
            .with_partition_index(partition)
            .with_committed_offset(offset);
        let topic = TxnOffsetCommitRequestTopic::default()
            .with_name(name(topic))
            .with_partitions(vec![wanted]);
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(transactional(id.expect("a transactional producer")))
            .with_group_id(self::group(group))
            .with_producer_id(ProducerId(producer.id))
            .with_producer_epoch(producer.epoch)
            .with_generation_id(-1)
            .with_topics(vec![topic]);
        let answer = self.ask(5, &request).await?;
        checked(answer.topics[0].partitions[0].error_code)
    }

    /// The offset that a group has committed of a topic's partition, -1 for none; not before all transactions with it are
    /// decided.
    ///
    /// # Errors
    /// What the broker said, or that it is gone.
    pub async fn committed(
        &mut self,
        group: &str,
        topic: &str,
        partition: i32,
    ) -> Result<i64, Failed> {
        let topic = OffsetFetchRequestTopic::default()
            .with_name(name(topic))
            .with_partition_indexes(vec![partition]);
        let request = OffsetFetchRequest::default()
            .with_group_id(self::group(group))
            .with_topics(Some(vec![topic]))
            .with_require_stable(true);
        let answer = self.ask(7, &request).await?;
        checked(answer.error_code)?;
        let answer = &answer.topics[0].partitions[0];
        checked(answer.error_code)?;
        Ok(answer.committed_offset)
    }
}

fn checked(code: i16) -> Result<(), Failed> {
    match code {
        0 => Ok(()),
        code => Err(Failed::Code(code)),
    }
}

/// A topic's name, for a request.
pub fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

fn group(id: &str) -> GroupId {
    GroupId(StrBytes::from_string(id.to_owned()))
}

fn transactional(id: &str) -> TransactionalId {
    TransactionalId(StrBytes::from_string(id.to_owned()))
}
