//! Fetch: whole batches as they are stored, up to what is on disk. A fetch that finds too little waits without a thread.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use kafka_protocol::messages::fetch_request::FetchPartition;
use kafka_protocol::messages::fetch_response::{
    AbortedTransaction, FetchableTopicResponse, PartitionData,
};
use kafka_protocol::messages::{BrokerId, FetchRequest, FetchResponse, ProducerId, TopicName};
use tokio::time::Instant;
use uuid::Uuid;
use weir_base::{Offset, PartitionId};
use weir_topics::{Aborted, Partition, StoredBatches, StoredStretch};

use super::gather::Records;
use super::{Kafka, code, may_read};

/// The most bytes of records in one answer, whatever a client asks for.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// The longest that a fetch waits.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// The isolation level of a reader of what is committed.
pub(super) const READ_COMMITTED: i8 = 1;

/// What is asked of one partition.
struct Wanted {
    index: i32,
    from: Offset,
    bytes_max: usize,
    partition: Result<Partition, i16>,
}

/// What is asked of one topic.
struct WantedTopic {
    name: TopicName,
    id: Uuid,
    partitions: Vec<Wanted>,
}

/// What was found in one partition.
struct Found {
    code: i16,
    stable: Offset,
    last_stable: Offset,
    start: Offset,
    records: Records,
    /// Of a reader of what is committed: the aborted transactions whose batches it is to drop.
    aborted: Option<Vec<Aborted>>,
}

impl Kafka {
    /// Gives what there is from some offsets on: the response, and the records for which something stands in it, in order.
    pub(super) async fn fetch(
        &self,
        request: FetchRequest,
        version: i16,
    ) -> (FetchResponse, Vec<Records>) {
        let failed = |code| (FetchResponse::default().with_error_code(code), Vec::new());
        if request.session_id != 0 {
            // None is ever given: each request says all that it wants.
            return failed(code::FETCH_SESSION_ID_NOT_FOUND);
        }
        let wait = u64::try_from(request.max_wait_ms).unwrap_or(0);
        let deadline = Instant::now() + Duration::from_millis(wait).min(WAIT_MAX);
        let bytes_min = usize::try_from(request.min_bytes).unwrap_or(0);
        let bytes_max = usize::try_from(request.max_bytes)
            .unwrap_or(0)
            .min(ANSWER_BYTES_MAX);
        let committed = request.isolation_level == READ_COMMITTED;
        let mut topics: Vec<WantedTopic> = request
            .topics
            .into_iter()
            .map(|topic| {
                let access = match version {
                    13.. => self.identified(topic.topic_id),
                    _ => self.named(&topic.topic),
                }
                .and_then(may_read);
                let partitions = topic.partitions.iter();
                let partitions = partitions.map(|wanted| {
                    let partition = access.as_ref().map_err(|code| *code);
                    let partition = partition.and_then(|access| {
                        let id = u32::try_from(wanted.partition).unwrap_or(u32::MAX);
                        let found = access.topic().partition(PartitionId(id));
                        found.cloned().map_err(|error| code::of_log(&error))
                    });
                    self::wanted(wanted, partition)
                });
                WantedTopic {
                    partitions: partitions.collect(),
                    name: topic.topic,
                    id: topic.topic_id,
                }
            })
            .collect();
        let rights = self.session.rights().ok();
        loop {
            // Those who look before they read miss nothing: what comes later wakes them.
            let mut moved: Vec<_> = topics
                .iter()
                .flat_map(|topic| &topic.partitions)
                .filter_map(|wanted| wanted.partition.as_ref().ok())
                .map(|partition| match committed {
                    true => partition.watch_committed(),
                    false => partition.watch(),
                })
                .collect();
            moved.iter_mut().for_each(|watch| {
                watch.borrow_and_update();
            });
            let reading = tokio::task::spawn_blocking(move || {
                let found = read(&topics, bytes_max, committed);
                (topics, found)
            });
            let found;
            (topics, found) = match reading.await {
                Ok(done) => done,
                Err(error) => {
                    tracing::error!(%error, "a fetch could not read");
                    return failed(code::UNKNOWN_SERVER_ERROR);
                }
            };
            let bytes: usize = found
                .iter()
                .flatten()
                .map(|found| found.records.size_bytes())
                .sum();
            let failed = found.iter().flatten().any(|found| found.code != code::NONE);
            // What was allowed when the wait began may not be any more; the next fetch says what is.
            if !self
                .session
                .rights()
                .ok()
                .zip(rights.as_ref())
                .is_some_and(|(now, then)| Arc::ptr_eq(&now, then))
            {
                return (FetchResponse::default(), Vec::new());
            }
            if bytes >= bytes_min || failed || Instant::now() >= deadline || moved.is_empty() {
                return answer(topics, found, version);
            }
            let mut changes: FuturesUnordered<_> = moved
                .iter_mut()
                .map(|watch| watch.changed().map(drop))
                .collect();
            tokio::select! {
                _ = changes.next() => {}
                () = tokio::time::sleep_until(deadline) => {}
                () = self.close.cancelled() => return answer(topics, found, version),
            }
        }
    }
}

fn wanted(wanted: &FetchPartition, partition: Result<Partition, i16>) -> Wanted {
    Wanted {
        index: wanted.partition,
        from: Offset(wanted.fetch_offset),
        bytes_max: usize::try_from(wanted.partition_max_bytes).unwrap_or(0),
        partition,
    }
}

/// Reads what is wanted, in the order of the request, until the answer is full. The first partition with something gives a
/// batch however large it is.
fn read(topics: &[WantedTopic], bytes_max: usize, committed: bool) -> Vec<Vec<Found>> {
    let mut bytes_left = bytes_max;
    let mut is_first = true;
    let mut one = |wanted: &Wanted| {
        let failed = |code| Found {
            code,
            stable: Offset(-1),
            last_stable: Offset(-1),
            start: Offset(-1),
            records: Records::none(),
            aborted: None,
        };
        let partition = match &wanted.partition {
            Ok(partition) => partition,
            Err(code) => return failed(*code),
        };
        let start = partition.start_offset();
        // In this order: what is decided is on disk.
        let last_stable = partition.last_stable_offset();
        let stable = partition.stable_offset();
        let end = if committed { last_stable } else { stable };
        let found = |code, records| Found {
            code,
            stable,
            last_stable,
            start,
            records,
            aborted: committed.then(Vec::new),
        };
        if wanted.from < start || wanted.from > stable {
            return found(code::OFFSET_OUT_OF_RANGE, Records::none());
        }
        if wanted.from >= end || (bytes_left == 0 && !is_first) {
            return found(code::NONE, Records::none());
        }
        let most = wanted.bytes_max.min(bytes_left);
        let stored = partition.stored(wanted.from, end, most);
        let stored = stored.map_err(|error| {
            tracing::warn!(%error, "a fetch failed");
            code::of_log(&error)
        });
        let (stretches, next) = match stored {
            Ok(StoredBatches { stretches, next }) => (stretches, next),
            Err(code) => return found(code, Records::none()),
        };
        let size: u64 = stretches.iter().map(StoredStretch::size_bytes).sum();
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if size > bytes_left && !is_first {
            bytes_left = 0;
            return found(code::NONE, Records::none());
        }
        bytes_left = bytes_left.saturating_sub(size);
        is_first &= size == 0;
        match Records::stored(stretches) {
            Ok(records) => Found {
                aborted: committed.then(|| partition.aborted(wanted.from, next.min(end))),
                ..found(code::NONE, records)
            },
            Err(error) => {
                tracing::warn!(%error, "a fetch could not read");
                found(code::KAFKA_STORAGE_ERROR, Records::none())
            }
        }
    };
    topics
        .iter()
        .map(|topic| topic.partitions.iter().map(&mut one).collect())
        .collect()
}

fn answer(
    topics: Vec<WantedTopic>,
    found: Vec<Vec<Found>>,
    version: i16,
) -> (FetchResponse, Vec<Records>) {
    let mut records = Vec::new();
    let responses = topics.into_iter().zip(found).map(|(topic, found)| {
        let partitions = topic.partitions.iter().zip(found).map(|(wanted, found)| {
            let mut data = PartitionData::default()
                .with_partition_index(wanted.index)
                .with_error_code(found.code)
                .with_high_watermark(found.stable.0)
                .with_last_stable_offset(found.last_stable.0)
                .with_records(Some(found.records.stand_in()));
            records.push(found.records);
            if let Some(aborted) = found.aborted {
                let aborted = aborted.iter().map(|aborted| {
                    AbortedTransaction::default()
                        .with_producer_id(ProducerId(aborted.producer_id))
                        .with_first_offset(aborted.first_offset.0)
                });
                data.aborted_transactions = Some(aborted.collect());
            }
            if version >= 5 {
                data.log_start_offset = found.start.0;
            }
            if version >= 11 {
                data.preferred_read_replica = BrokerId(-1);
            }
            data
        });
        let mut response = FetchableTopicResponse::default().with_partitions(partitions.collect());
        if version >= 13 {
            response.topic_id = topic.id;
        } else {
            response.topic = topic.name;
        }
        response
    });
    let response = FetchResponse::default().with_responses(responses.collect());
    (response, records)
}
