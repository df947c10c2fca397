//! Transactions: requests and answers for the coordinator in `topics` (KIP-98, KIP-447, KIP-664, KIP-890).

use std::collections::BTreeMap;

use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::describe_producers_response::{
    PartitionResponse, ProducerState, TopicResponse,
};
use kafka_protocol::messages::describe_transactions_response::{
    TopicData, TransactionState as DescribedTransaction,
};
use kafka_protocol::messages::list_transactions_response::TransactionState as ListedTransaction;
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse, DescribeProducersRequest, DescribeProducersResponse,
    DescribeTransactionsRequest, DescribeTransactionsResponse, EndTxnRequest, EndTxnResponse,
    InitProducerIdRequest, InitProducerIdResponse, ListTransactionsRequest,
    ListTransactionsResponse, ProducerId, TransactionalId, TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
};
use weir_base::{Offset, PartitionId, TopicId};
use weir_engine::TopicAccess;
use weir_topics::groups::{CommitRequest, Membership, OFFSET_METADATA_BYTES_MAX, OffsetCommit};
use weir_topics::transactions::{
    InitProducer, Outcome, ProducerEpoch, TransactionDescription, TransactionState,
    TransactionVersion, TransactionalProducer,
};

use super::offsets::partition_of;
use super::reserved::check_transactional_id;
use super::{Kafka, code, text};

/// A partition of a request, as the log names it.
type Place = (TopicId, PartitionId);

pub(super) fn producer(id: &str, producer_id: i64, epoch: i16) -> TransactionalProducer {
    TransactionalProducer {
        transactional_id: id.to_owned(),
        producer: ProducerEpoch { producer_id, epoch },
    }
}

/// Which rules a request of this version follows, when `first` is the first that follows those of KIP-890.
pub(super) fn rules(version: i16, first: i16) -> TransactionVersion {
    match version >= first {
        true => TransactionVersion::V2,
        false => TransactionVersion::V1,
    }
}

impl Kafka {
    /// Refuses to write as a sink, or into a group that is a sink's, or has read what the user may not.
    fn check_both(&self, producer: &TransactionalProducer, group_id: &str) -> Result<(), i16> {
        check_transactional_id(&producer.transactional_id)?;
        self.check_group(group_id)
    }

    /// Gives a producer its number: one that none had, or that of its transactional id with the next epoch.
    pub(super) async fn init_producer_id(
        &self,
        request: &InitProducerIdRequest,
        version: i16,
    ) -> InitProducerIdResponse {
        let given = match &request.transactional_id {
            None => match self.session.new_producer_id().await {
                Ok(producer_id) => Ok(ProducerEpoch {
                    producer_id,
                    epoch: 0,
                }),
                Err(error) => {
                    tracing::warn!(%error, "a producer got no id");
                    Err(code::of_engine(&error))
                }
            },
            Some(id) if check_transactional_id(id).is_err() => {
                Err(code::TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
            }
            Some(id) => {
                let current = (request.producer_id.0 >= 0).then_some(ProducerEpoch {
                    producer_id: request.producer_id.0,
                    epoch: request.producer_epoch,
                });
                let given = self.transactions.init_producer(InitProducer {
                    transactional_id: id.to_string(),
                    timeout_ms: request.transaction_timeout_ms,
                    current,
                });
                // KIP-588: the code of an old producer's error is newer than some clients.
                given
                    .await
                    .map_err(|error| fenced(code::of_log(&error), version >= 4))
            }
        };
        let response = InitProducerIdResponse::default();
        match given {
            Ok(given) => response
                .with_producer_id(ProducerId(given.producer_id))
                .with_producer_epoch(given.epoch),
            Err(code) => response
                .with_producer_id(ProducerId(-1))
                .with_producer_epoch(-1)
                .with_error_code(code),
        }
    }

    /// Adds partitions to open transactions, or says whether they are part of them.
    pub(super) async fn add_partitions_to_txn(
        &self,
        request: AddPartitionsToTxnRequest,
        version: i16,
    ) -> AddPartitionsToTxnResponse {
        let response = AddPartitionsToTxnResponse::default();
        if version < 4 {
            let producer = producer(
                &request.v3_and_below_transactional_id,
                request.v3_and_below_producer_id.0,
                request.v3_and_below_producer_epoch,
            );
            let topics = request.v3_and_below_topics;
            let results = self.add_places(&producer, topics, false, version).await;
            return response.with_results_by_topic_v3_and_below(results);
        }
        let mut results = Vec::with_capacity(request.transactions.len());
        for transaction in request.transactions {
            let id = transaction.transactional_id;
            let producer = producer(&id, transaction.producer_id.0, transaction.producer_epoch);
            let (topics, only_verify) = (transaction.topics, transaction.verify_only);
            let added = self
                .add_places(&producer, topics, only_verify, version)
                .await;
            results.push(
                AddPartitionsToTxnResult::default()
                    .with_transactional_id(id)
                    .with_topic_results(added),
            );
        }
        response.with_results_by_transaction(results)
    }

    async fn add_places(
        &self,
        producer: &TransactionalProducer,
        topics: Vec<AddPartitionsToTxnTopic>,
        only_verify: bool,
        version: i16,
    ) -> Vec<AddPartitionsToTxnTopicResult> {
        // What is not there fails all, as nothing is added then.
        let mut places: Vec<Place> = Vec::new();
        let mut is_whole = true;
        let known: Vec<Vec<Result<usize, i16>>> = topics
            .iter()
            .map(|topic| {
                let partitions = topic.partitions.iter().map(|index| {
                    let place = self.place(self.writable(&topic.name), *index);
                    is_whole &= place.is_ok();
                    place.map(|place| {
                        places.push(place);
                        places.len() - 1
                    })
                });
                partitions.collect()
            })
            .collect();
        let added: Result<Vec<i16>, i16> =
            if let Err(code) = check_transactional_id(&producer.transactional_id) {
                Err(code)
            } else if !is_whole {
                Ok(vec![code::OPERATION_NOT_ATTEMPTED; places.len()])
            } else if only_verify {
                let found = self.transactions.has_partitions(producer, &places);
                let code = |is_in: bool| match is_in {
                    true => code::NONE,
                    false if version >= 5 => code::TRANSACTION_ABORTABLE,
                    false => code::INVALID_TXN_STATE,
                };
                found
                    .map(|found| found.into_iter().map(code).collect())
                    .map_err(|error| code::of_log(&error))
            } else {
                let added = self.transactions.add_partitions(producer, &places).await;
                let code = |added: weir_topics::Result<()>| match added {
                    Ok(()) => code::NONE,
                    Err(error) => code::of_log(&error),
                };
                added
                    .map(|added| added.into_iter().map(code).collect())
                    .map_err(|error| fenced(code::of_log(&error), version >= 2))
            };
        let results = topics.into_iter().zip(known).map(|(topic, known)| {
            let partitions = topic.partitions.iter().zip(known);
            let partitions = partitions.map(|(index, known)| {
                let code = match (known, &added) {
                    (Err(code), _) => code,
                    (Ok(_), Err(code)) => *code,
                    (Ok(at), Ok(codes)) => {
                        let code = codes.get(at).copied();
                        code.unwrap_or(code::UNKNOWN_SERVER_ERROR)
                    }
                };
                AddPartitionsToTxnPartitionResult::default()
                    .with_partition_index(*index)
                    .with_partition_error_code(code)
            });
            AddPartitionsToTxnTopicResult::default()
                .with_results_by_partition(partitions.collect())
                .with_name(topic.name.clone())
        });
        results.collect()
    }

    /// Adds a group to an open transaction.
    pub(super) async fn add_offsets_to_txn(
        &self,
        request: AddOffsetsToTxnRequest,
        version: i16,
    ) -> AddOffsetsToTxnResponse {
        let producer = producer(
            &request.transactional_id,
            request.producer_id.0,
            request.producer_epoch,
        );
        let added = match self.check_both(&producer, &request.group_id) {
            Err(code) => Err(code),
            Ok(()) => {
                let added = self.transactions.add_offsets(&producer, &request.group_id);
                let code = |error| fenced(code::of_group(&error), version >= 2);
                added.await.map_err(code)
            }
        };
        let code = added.err().unwrap_or(code::NONE);
        AddOffsetsToTxnResponse::default().with_error_code(code)
    }

    /// Commits offsets with an open transaction.
    pub(super) async fn txn_offset_commit(
        &self,
        request: TxnOffsetCommitRequest,
        version: i16,
    ) -> TxnOffsetCommitResponse {
        let mut offsets = Vec::new();
        let mut topics: Vec<(_, Vec<(i32, i16)>)> = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for wanted in topic.partitions {
                let metadata = wanted.committed_metadata.unwrap_or_default();
                let code = match self.place(self.readable(&topic.name), wanted.partition_index) {
                    Ok(_) if metadata.len() > OFFSET_METADATA_BYTES_MAX => {
                        code::OFFSET_METADATA_TOO_LARGE
                    }
                    Ok((topic, partition)) => {
                        offsets.push(OffsetCommit {
                            topic,
                            partition,
                            offset: Offset(wanted.committed_offset),
                            leader_epoch: wanted.committed_leader_epoch,
                            metadata: metadata.to_string(),
                        });
                        code::NONE
                    }
                    Err(code) => code,
                };
                partitions.push((wanted.partition_index, code));
            }
            topics.push((topic.name, partitions));
        }
        let producer = producer(
            &request.transactional_id,
            request.producer_id.0,
            request.producer_epoch,
        );
        let commit = CommitRequest {
            membership: Membership {
                group_id: request.group_id.to_string(),
                member_id: request.member_id.to_string(),
                instance_id: request.group_instance_id.map(|id| id.to_string()),
                generation: request.generation_id,
            },
            offsets,
        };
        let committed = match self.check_both(&producer, &request.group_id) {
            Err(code) => Err(code),
            Ok(()) => {
                let rules = rules(version, 5);
                let committed = self.transactions.commit_offsets(&producer, commit, rules);
                committed.await.map_err(|error| code::of_group(&error))
            }
        };
        let failed = committed.err();
        let topics = topics.into_iter().map(|(name, partitions)| {
            let partitions = partitions.into_iter().map(|(index, code)| {
                let code = match code {
                    code::NONE => failed.unwrap_or(code::NONE),
                    code => code,
                };
                TxnOffsetCommitResponsePartition::default()
                    .with_partition_index(index)
                    .with_error_code(code)
            });
            TxnOffsetCommitResponseTopic::default()
                .with_name(name)
                .with_partitions(partitions.collect())
        });
        TxnOffsetCommitResponse::default().with_topics(topics.collect())
    }

    /// Commits or aborts an open transaction.
    pub(super) async fn end_txn(&self, request: EndTxnRequest, version: i16) -> EndTxnResponse {
        let producer = producer(
            &request.transactional_id,
            request.producer_id.0,
            request.producer_epoch,
        );
        let outcome = match request.committed {
            true => Outcome::Commit,
            false => Outcome::Abort,
        };
        let ended = match check_transactional_id(&producer.transactional_id) {
            Err(code) => Err(code),
            Ok(()) => {
                let ended = self
                    .transactions
                    .end(&producer, outcome, rules(version, 5))
                    .await;
                ended.map_err(|error| fenced(code::of_log(&error), version >= 2))
            }
        };
        let mut response = EndTxnResponse::default();
        match ended {
            Ok(next) if version >= 5 => {
                response.producer_id = ProducerId(next.producer_id);
                response.producer_epoch = next.epoch;
            }
            Ok(_) => {}
            Err(code) => response.error_code = code,
        }
        response
    }

    /// All transactions, or those that a client asks for.
    pub(super) fn list_transactions(
        &self,
        request: &ListTransactionsRequest,
    ) -> ListTransactionsResponse {
        let is_known = |name: &str| {
            TransactionState::ALL
                .iter()
                .any(|state| state.name() == name)
        };
        let unknown = request.state_filters.iter();
        let unknown = unknown.filter(|name| !is_known(name)).cloned();
        let now_ms = self.session.now_ms();
        let is_wanted = |listed: &TransactionDescription| {
            let states = &request.state_filters;
            let producers = &request.producer_id_filters;
            let age_ms = listed
                .started_at_ms
                .map_or(0, |start| now_ms.saturating_sub(start));
            (states.is_empty() || states.iter().any(|state| **state == *listed.state.name()))
                && (producers.is_empty()
                    || producers.contains(&ProducerId(listed.producer.producer_id)))
                && (request.duration_filter < 0 || age_ms > request.duration_filter)
        };
        // They belong to no topic, so that only who may do everything sees those of others.
        let all = match self.is_admin() {
            true => self.transactions.list(),
            false => Vec::new(),
        };
        let listed = all.into_iter().filter(is_wanted);
        let listed = listed.map(|listed| {
            ListedTransaction::default()
                .with_transactional_id(TransactionalId(text(&listed.transactional_id)))
                .with_producer_id(ProducerId(listed.producer.producer_id))
                .with_transaction_state(text(listed.state.name()))
        });
        ListTransactionsResponse::default()
            .with_unknown_state_filters(unknown.collect())
            .with_transaction_states(listed.collect())
    }

    /// What is known of transactional ids.
    pub(super) fn describe_transactions(
        &self,
        request: &DescribeTransactionsRequest,
    ) -> DescribeTransactionsResponse {
        let described = request.transactional_ids.iter().map(|id| {
            let described = DescribedTransaction::default().with_transactional_id(id.clone());
            let known = self.transactions.describe(id);
            let Some(known) = known.filter(|_| self.is_admin()) else {
                return described.with_error_code(code::TRANSACTIONAL_ID_NOT_FOUND);
            };
            let mut topics: BTreeMap<TopicId, Vec<i32>> = BTreeMap::new();
            for (topic, partition) in known.partitions {
                let partition = i32::try_from(partition.0).unwrap_or(i32::MAX);
                topics.entry(topic).or_default().push(partition);
            }
            // A topic that was dropped meanwhile has no name.
            let topics = topics.into_iter().filter_map(|(topic, partitions)| {
                let access = self.session.topic_by_id(topic).ok()?;
                let name = text(access.topic().name().as_str());
                Some(
                    TopicData::default()
                        .with_topic(name.into())
                        .with_partitions(partitions),
                )
            });
            described
                .with_topics(topics.collect())
                .with_transaction_state(text(known.state.name()))
                .with_transaction_timeout_ms(known.timeout_ms)
                .with_transaction_start_time_ms(known.started_at_ms.unwrap_or(-1))
                .with_producer_id(ProducerId(known.producer.producer_id))
                .with_producer_epoch(known.producer.epoch)
        });
        DescribeTransactionsResponse::default().with_transaction_states(described.collect())
    }

    /// The producers that partitions remember.
    pub(super) fn describe_producers(
        &self,
        request: DescribeProducersRequest,
    ) -> DescribeProducersResponse {
        let topics = request.topics.into_iter().map(|topic| {
            let partitions = topic.partition_indexes.iter().map(|index| {
                let response = PartitionResponse::default().with_partition_index(*index);
                let partition = match self.partition(&topic.name, *index) {
                    Ok(partition) => partition,
                    Err(code) => return response.with_error_code(code),
                };
                let producers = partition.producers().into_iter().map(|known| {
                    ProducerState::default()
                        .with_producer_id(ProducerId(known.producer_id))
                        .with_producer_epoch(known.epoch.into())
                        .with_last_sequence(known.last_sequence.unwrap_or(-1))
                        .with_last_timestamp(-1)
                        .with_current_txn_start_offset(
                            known.transaction_start.map_or(-1, |start| start.0),
                        )
                });
                response.with_active_producers(producers.collect())
            });
            TopicResponse::default()
                .with_partitions(partitions.collect())
                .with_name(topic.name.clone())
        });
        DescribeProducersResponse::default().with_topics(topics.collect())
    }

    fn place(&self, topic: Result<TopicAccess, i16>, index: i32) -> Result<Place, i16> {
        let topic = topic?;
        let partition = partition_of(&topic, index)?;
        Ok((topic.topic().id(), partition.id()))
    }
}

/// The code for a producer that was replaced, which old clients know by another one (KIP-588).
fn fenced(code: i16, knows_it: bool) -> i16 {
    match code {
        code::PRODUCER_FENCED if !knows_it => code::INVALID_PRODUCER_EPOCH,
        code => code,
    }
}
