//! Offsets by time and by leader epoch, and those that groups have committed.

use std::collections::{BTreeSet, HashMap};

use kafka_protocol::messages::delete_records_request::DeleteRecordsPartition;
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::{
    DeleteRecordsRequest, DeleteRecordsResponse, ListOffsetsRequest, ListOffsetsResponse,
    OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse,
    OffsetFetchRequest, OffsetFetchResponse, OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
};
use kafka_protocol::protocol::StrBytes;
use weir_base::{Classify, Kind, Offset, PartitionId, TopicId};
use weir_engine::TopicAccess;
use weir_topics::Partition;
use weir_topics::groups::{
    CommitRequest, CommittedOffset, Membership, OFFSET_METADATA_BYTES_MAX, OffsetCommit,
};

use super::fetch::READ_COMMITTED;
use super::{Kafka, LEADER_EPOCH, code, text};

/// What a client asks for instead of a time (KIP-79, KIP-734, KIP-405).
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;

/// A name of a topic in answers and requests.
type Name = kafka_protocol::messages::TopicName;
/// A topic, and what is committed of its partitions.
type TopicOffsets = (Name, Vec<(i32, Result<Option<CommittedOffset>, i16>)>);
type Pending = BTreeSet<(TopicId, PartitionId)>;
type Committed = HashMap<(TopicId, PartitionId), CommittedOffset>;

/// The watermark that stands for "everything that is there".
const HIGH_WATERMARK: i64 = -1;

impl Kafka {
    /// Deletes the records of partitions that lie before an offset.
    pub(super) async fn delete_records(
        &self,
        request: DeleteRecordsRequest,
    ) -> DeleteRecordsResponse {
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for wanted in topic.partitions {
                let deleted = self.delete_before(&topic.name, &wanted).await;
                let (low_watermark, code) = match deleted {
                    Ok(start) => (start.0, code::NONE),
                    Err(code) => (-1, code),
                };
                partitions.push(
                    DeleteRecordsPartitionResult::default()
                        .with_partition_index(wanted.partition_index)
                        .with_low_watermark(low_watermark)
                        .with_error_code(code),
                );
            }
            topics.push(
                DeleteRecordsTopicResult::default()
                    .with_name(topic.name)
                    .with_partitions(partitions),
            );
        }
        DeleteRecordsResponse::default().with_topics(topics)
    }

    async fn delete_before(
        &self,
        topic: &str,
        wanted: &DeleteRecordsPartition,
    ) -> Result<Offset, i16> {
        let access = self.named(topic)?;
        let partition =
            u32::try_from(wanted.partition_index).map_err(|_| code::UNKNOWN_TOPIC_OR_PARTITION)?;
        let stable = access
            .topic()
            .partition(PartitionId(partition))
            .map_err(|error| code::of_log(&error))?
            .stable_offset();
        let before = match wanted.offset {
            HIGH_WATERMARK => stable,
            offset if (0..=stable.0).contains(&offset) => Offset(offset),
            _ => return Err(code::OFFSET_OUT_OF_RANGE),
        };
        let deleted = self
            .session
            .delete_records(topic, PartitionId(partition), before)
            .await;
        deleted.map_err(|error| match error.kind() {
            Kind::Invalid => code::POLICY_VIOLATION,
            _ => code::of_engine(&error),
        })
    }

    pub(super) fn partition(&self, name: &str, index: i32) -> Result<Partition, i16> {
        partition_of(&self.readable(name)?, index)
    }

    /// The first offset at or after a time.
    pub(super) async fn list_offsets(
        &self,
        request: ListOffsetsRequest,
        version: i16,
    ) -> ListOffsetsResponse {
        let committed = request.isolation_level == READ_COMMITTED;
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for wanted in &topic.partitions {
                let partition = self.partition(&topic.name, wanted.partition_index);
                let found = match partition {
                    Ok(partition) => offset_of(partition, wanted.timestamp, committed).await,
                    Err(code) => Err(code),
                };
                let mut response = ListOffsetsPartitionResponse::default()
                    .with_partition_index(wanted.partition_index);
                response.timestamp = -1;
                response.offset = -1;
                match found {
                    Ok((offset, timestamp_ms)) => {
                        response.offset = offset;
                        response.timestamp = timestamp_ms;
                        if version >= 4 {
                            response.leader_epoch = LEADER_EPOCH;
                        }
                    }
                    Err(code) => response.error_code = code,
                }
                partitions.push(response);
            }
            topics.push(
                ListOffsetsTopicResponse::default()
                    .with_name(topic.name)
                    .with_partitions(partitions),
            );
        }
        ListOffsetsResponse::default().with_topics(topics)
    }

    /// Where an epoch ends: there is one, and it goes on.
    pub(super) fn end_of_epoch(
        &self,
        request: OffsetForLeaderEpochRequest,
    ) -> OffsetForLeaderEpochResponse {
        let topics = request.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|wanted| {
                let response = EpochEndOffset::default().with_partition(wanted.partition);
                match self.partition(&topic.topic, wanted.partition) {
                    Ok(partition) if wanted.leader_epoch >= LEADER_EPOCH => response
                        .with_leader_epoch(LEADER_EPOCH)
                        .with_end_offset(partition.stable_offset().0),
                    Ok(_) => response.with_leader_epoch(-1).with_end_offset(-1),
                    Err(code) => response
                        .with_error_code(code)
                        .with_leader_epoch(-1)
                        .with_end_offset(-1),
                }
            });
            OffsetForLeaderTopicResult::default()
                .with_partitions(partitions.collect())
                .with_topic(topic.topic.clone())
        });
        OffsetForLeaderEpochResponse::default().with_topics(topics.collect())
    }

    /// Notes how far a group has read; it is durable when this answers.
    pub(super) async fn offset_commit(&self, request: OffsetCommitRequest) -> OffsetCommitResponse {
        let mut offsets = Vec::new();
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            let access = self.readable(&topic.name);
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for committed in topic.partitions {
                let known = access.as_ref().map_err(|code| *code).and_then(|access| {
                    partition_of(access, committed.partition_index).map(|_| access)
                });
                let metadata = committed.committed_metadata.as_deref();
                let metadata_bytes = metadata.map_or(0, str::len);
                let code = match known {
                    Ok(_) if metadata_bytes > OFFSET_METADATA_BYTES_MAX => {
                        code::OFFSET_METADATA_TOO_LARGE
                    }
                    Ok(access) => {
                        offsets.push(OffsetCommit {
                            topic: access.topic().id(),
                            partition: PartitionId(committed.partition_index.unsigned_abs()),
                            offset: Offset(committed.committed_offset),
                            leader_epoch: committed.committed_leader_epoch,
                            metadata: committed
                                .committed_metadata
                                .map_or_else(String::new, |metadata| metadata.to_string()),
                        });
                        code::NONE
                    }
                    Err(code) => code,
                };
                partitions.push(
                    OffsetCommitResponsePartition::default()
                        .with_partition_index(committed.partition_index)
                        .with_error_code(code),
                );
            }
            topics.push((topic.name, partitions));
        }
        let membership = Membership {
            group_id: request.group_id.to_string(),
            member_id: request.member_id.to_string(),
            instance_id: request.group_instance_id.map(|id| id.to_string()),
            generation: request.generation_id_or_member_epoch,
        };
        let committed = match self.check_group(&membership.group_id) {
            Err(code) => Err(code),
            Ok(()) => {
                let request = CommitRequest {
                    membership,
                    offsets,
                };
                let committed = self.groups.commit(request).await;
                committed.map_err(|error| code::of_group(&error))
            }
        };
        if let Err(code) = committed {
            for (_, partitions) in &mut topics {
                for partition in partitions {
                    if partition.error_code == code::NONE {
                        partition.error_code = code;
                    }
                }
            }
        }
        let topics = topics.into_iter().map(|(name, partitions)| {
            OffsetCommitResponseTopic::default()
                .with_name(name)
                .with_partitions(partitions)
        });
        OffsetCommitResponse::default().with_topics(topics.collect())
    }

    /// How far groups have read.
    pub(super) fn offset_fetch(
        &self,
        request: &OffsetFetchRequest,
        version: i16,
    ) -> OffsetFetchResponse {
        if version >= 8 {
            let groups = request.groups.iter().map(|group| {
                let committed = self.committed(&group.group_id);
                let pending = self.pending(&group.group_id, request.require_stable);
                let wanted = group.topics.as_ref().map(|topics| {
                    let topics = topics.iter();
                    topics.map(|topic| (&topic.name, topic.partition_indexes.as_slice()))
                });
                let topics = self.offsets_of(&committed, &pending, wanted);
                let topics = topics.into_iter().map(|(name, partitions)| {
                    let partitions = partitions.into_iter().map(|(index, offset)| {
                        let (offset, epoch, metadata, code) = shown(offset);
                        OffsetFetchResponsePartitions::default()
                            .with_partition_index(index)
                            .with_committed_offset(offset)
                            .with_committed_leader_epoch(epoch)
                            .with_metadata(Some(metadata))
                            .with_error_code(code)
                    });
                    OffsetFetchResponseTopics::default()
                        .with_name(name)
                        .with_partitions(partitions.collect())
                });
                OffsetFetchResponseGroup::default()
                    .with_topics(topics.collect())
                    .with_group_id(group.group_id.clone())
            });
            return OffsetFetchResponse::default().with_groups(groups.collect());
        }
        let committed = self.committed(&request.group_id);
        let pending = self.pending(&request.group_id, request.require_stable);
        let wanted = request.topics.as_ref().map(|topics| {
            let topics = topics.iter();
            topics.map(|topic| (&topic.name, topic.partition_indexes.as_slice()))
        });
        let topics = self.offsets_of(&committed, &pending, wanted);
        let topics = topics.into_iter().map(|(name, partitions)| {
            let partitions = partitions.into_iter().map(|(index, offset)| {
                let (offset, epoch, metadata, code) = shown(offset);
                let mut response = OffsetFetchResponsePartition::default()
                    .with_partition_index(index)
                    .with_committed_offset(offset)
                    .with_metadata(Some(metadata))
                    .with_error_code(code);
                if version >= 5 {
                    response.committed_leader_epoch = epoch;
                }
                response
            });
            OffsetFetchResponseTopic::default()
                .with_name(name)
                .with_partitions(partitions.collect())
        });
        OffsetFetchResponse::default().with_topics(topics.collect())
    }

    /// Forgets how far a group has read some partitions.
    pub(super) async fn offset_delete(&self, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
        if let Err(code) = self.check_group(&request.group_id) {
            return OffsetDeleteResponse::default().with_error_code(code);
        }
        let mut wanted = Vec::new();
        let mut topics = Vec::new();
        for topic in request.topics {
            let access = self.readable(&topic.name);
            let partitions: Vec<(i32, Option<usize>)> = topic
                .partitions
                .iter()
                .map(|partition| {
                    let index = partition.partition_index;
                    let at = access.as_ref().ok().map(|access| {
                        wanted.push((access.topic().id(), PartitionId(index.unsigned_abs())));
                        wanted.len() - 1
                    });
                    (index, at)
                })
                .collect();
            topics.push((topic.name, partitions));
        }
        let deleted = match self.groups.delete_offsets(&request.group_id, &wanted).await {
            Ok(deleted) => deleted,
            Err(error) => {
                return OffsetDeleteResponse::default().with_error_code(code::of_group(&error));
            }
        };
        let topics = topics.into_iter().map(|(name, partitions)| {
            let partitions = partitions.into_iter().map(|(index, at)| {
                let code = match at.and_then(|at| deleted.get(at)) {
                    None => code::UNKNOWN_TOPIC_OR_PARTITION,
                    Some(Ok(())) => code::NONE,
                    Some(Err(error)) => code::of_group(error),
                };
                OffsetDeleteResponsePartition::default()
                    .with_partition_index(index)
                    .with_error_code(code)
            });
            OffsetDeleteResponseTopic::default()
                .with_name(name)
                .with_partitions(partitions.collect())
        });
        OffsetDeleteResponse::default().with_topics(topics.collect())
    }

    fn committed(&self, group_id: &str) -> Committed {
        let committed = self.groups.committed(group_id).into_iter();
        committed
            .map(|(topic, partition, offset)| ((topic, partition), offset))
            .collect()
    }

    /// The partitions whose committed offsets an open transaction may change; none for a client that does not ask (KIP-447).
    fn pending(&self, group_id: &str, require_stable: bool) -> Pending {
        match require_stable {
            true => self.groups.pending(group_id),
            false => Pending::new(),
        }
    }

    /// Offsets of the partitions that are wanted, or of all that there are; an error's code for those that are `pending`.
    fn offsets_of<'a>(
        &self,
        committed: &Committed,
        pending: &Pending,
        wanted: Option<impl Iterator<Item = (&'a Name, &'a [i32])>>,
    ) -> Vec<TopicOffsets> {
        if let Some(wanted) = wanted {
            return wanted
                .map(|(name, indexes)| {
                    let id = self.named(name).ok().map(|access| access.topic().id());
                    let offsets = indexes.iter().map(|index| {
                        let number = PartitionId(index.unsigned_abs());
                        let place = id.map(|id| (id, number));
                        (*index, settled(committed, pending, place))
                    });
                    (name.clone(), offsets.collect())
                })
                .collect();
        }
        let topics = self.session.topics();
        let topics = topics.iter().filter_map(|access| {
            let topic = access.topic();
            let mut offsets: Vec<_> = committed
                .iter()
                .filter(|((id, _), _)| *id == topic.id())
                .map(|(place, _)| {
                    let index = i32::try_from(place.1.0).unwrap_or(i32::MAX);
                    (index, settled(committed, pending, Some(*place)))
                })
                .collect();
            offsets.sort_by_key(|(index, _)| *index);
            (!offsets.is_empty()).then(|| (text(topic.name().as_str()).into(), offsets))
        });
        topics.collect()
    }
}

pub(super) fn partition_of(access: &TopicAccess, index: i32) -> Result<Partition, i16> {
    let number = u32::try_from(index).map_err(|_| code::UNKNOWN_TOPIC_OR_PARTITION)?;
    let partition = access.topic().partition(PartitionId(number));
    partition.cloned().map_err(|error| code::of_log(&error))
}

/// What is committed of a partition, unless an open transaction may change it.
fn settled(
    committed: &Committed,
    pending: &Pending,
    place: Option<(TopicId, PartitionId)>,
) -> Result<Option<CommittedOffset>, i16> {
    match place {
        Some(place) if pending.contains(&place) => Err(code::UNSTABLE_OFFSET_COMMIT),
        Some(place) => Ok(committed.get(&place).cloned()),
        None => Ok(None),
    }
}

/// An offset as answers have it: with its leader's epoch, metadata, and an error's code.
fn shown(offset: Result<Option<CommittedOffset>, i16>) -> (i64, i32, StrBytes, i16) {
    match offset {
        Ok(Some(offset)) => {
            let metadata = text(&offset.metadata);
            (offset.offset.0, offset.leader_epoch, metadata, code::NONE)
        }
        Ok(None) => (-1, -1, StrBytes::default(), code::NONE),
        Err(code) => (-1, -1, StrBytes::default(), code),
    }
}

/// The offset that a time, or a word for one, stands for; and the record's time.
async fn offset_of(
    partition: Partition,
    timestamp: i64,
    committed: bool,
) -> Result<(i64, i64), i16> {
    let decided = partition.last_stable_offset();
    let found = match timestamp {
        LATEST if committed => return Ok((partition.last_stable_offset().0, -1)),
        LATEST => return Ok((partition.stable_offset().0, -1)),
        EARLIEST | EARLIEST_LOCAL => return Ok((partition.start_offset().0, -1)),
        LATEST_TIERED => return Ok((-1, -1)),
        _ => tokio::task::spawn_blocking(move || {
            let timestamp = match timestamp {
                MAX_TIMESTAMP => {
                    let segments = partition.segments();
                    segments.iter().map(|s| s.max_timestamp_ms).max()
                }
                other => Some(other),
            };
            match timestamp {
                Some(timestamp) => partition.record_for_time(timestamp),
                None => Ok(None),
            }
        }),
    };
    match found.await {
        // What is not decided, a reader of what is committed does not see.
        Ok(Ok(Some((offset, _)))) if committed && offset >= decided => Ok((-1, -1)),
        Ok(Ok(Some((offset, timestamp_ms)))) => Ok((offset.0, timestamp_ms)),
        Ok(Ok(None)) => Ok((-1, -1)),
        Ok(Err(error)) => Err(code::of_log(&error)),
        Err(error) => {
            tracing::error!(%error, "an offset could not be looked for");
            Err(code::UNKNOWN_SERVER_ERROR)
        }
    }
}
