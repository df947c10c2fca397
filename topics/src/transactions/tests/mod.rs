//! Transactions as state machine, under many producers, and on disk.

mod machine;
mod partitions;
mod random;

use std::path::Path;
use std::sync::Arc;

use weir_base::{ManualClock, Offset, PartitionId, TopicId, TopicName};

use super::*;
use crate::groups::{Membership, OffsetCommit};
use crate::{
    BatchBuilder, EncodedBatch, LogSettings, Partition, RecordRef, Topic, TopicConfig, TopicLog,
    TopicSpec,
};

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.unwrap().block_on(test)
}

/// A folder in memory where there is one: a test of many syncs should not wait for a disk.
fn scratch() -> tempfile::TempDir {
    match Path::new("/dev/shm").is_dir() {
        true => tempfile::tempdir_in("/dev/shm").unwrap(),
        false => tempfile::tempdir().unwrap(),
    }
}

async fn open(dir: &Path, clock: &Arc<ManualClock>) -> TopicLog {
    let mut settings = LogSettings::new(dir);
    settings.segment_bytes_max = 2000;
    settings.checkpoint_bytes = 700;
    settings.transactions.compact_bytes_min = 3000;
    settings.compaction_dirty_percent = 0;
    settings.upkeep_interval_ms = 3_600_000;
    TopicLog::open(settings, Arc::<ManualClock>::clone(clock))
        .await
        .unwrap()
}

/// The topic `bids` of two partitions, made if it is not there.
async fn bids(log: &TopicLog) -> Topic {
    let name = TopicName::new("bids").unwrap();
    let spec = TopicSpec {
        partitions: 2,
        owned: false,
    };
    match log.topic(&name) {
        Some(topic) => topic,
        None => log
            .create_topic(&name, spec, TopicConfig::default())
            .await
            .unwrap(),
    }
}

/// Makes the caller the producer of `id`; timeout 60 s.
async fn comes(log: &TopicLog, id: &str) -> TransactionalProducer {
    let request = InitProducer {
        transactional_id: id.to_owned(),
        timeout_ms: 60_000,
        current: None,
    };
    let producer = log.transactions().init_producer(request).await.unwrap();
    TransactionalProducer {
        transactional_id: id.to_owned(),
        producer,
    }
}

/// A batch of one record of the producer's transaction, whose key is what its value begins with.
fn batch(producer: ProducerEpoch, sequence: i32, value: &str) -> EncodedBatch {
    let mut builder = BatchBuilder::new();
    let record = RecordRef {
        key: value.split('/').next().map(str::as_bytes),
        value: Some(value.as_bytes()),
        ..RecordRef::default()
    };
    builder.push(record).unwrap();
    let mut bytes = builder.build().as_bytes().to_vec();
    bytes[21..23].copy_from_slice(&0x10i16.to_be_bytes());
    bytes[43..51].copy_from_slice(&producer.producer_id.to_be_bytes());
    bytes[51..53].copy_from_slice(&producer.epoch.to_be_bytes());
    bytes[53..57].copy_from_slice(&sequence.to_be_bytes());
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    EncodedBatch::from_bytes(bytes).unwrap()
}

async fn write(
    partition: &Partition,
    producer: ProducerEpoch,
    sequence: i32,
    value: &str,
) -> Result<Offset> {
    let appended = partition.append(batch(producer, sequence, value), None)?;
    Ok(appended.durable().await?.0)
}

/// What is committed: offset and value, read in small pieces.
fn rows(partition: &Partition) -> Vec<(i64, String)> {
    let (mut next, end) = (partition.start_offset(), partition.last_stable_offset());
    let mut rows = Vec::new();
    while next < end {
        let read = partition.read(next, end, 150).unwrap();
        for batch in &read.batches {
            for record in batch.records() {
                let record = record.unwrap();
                let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
                rows.push((record.offset.0, value));
            }
        }
        assert!(read.next > next);
        next = read.next;
    }
    rows
}

fn values(partition: &Partition) -> Vec<String> {
    rows(partition)
        .into_iter()
        .map(|(_, value)| value)
        .collect()
}

/// What a producer that says nothing of the group commits with its transaction.
fn offsets(group_id: &str, topic: TopicId, offset: i64) -> CommitRequest {
    CommitRequest {
        membership: Membership {
            group_id: group_id.to_owned(),
            member_id: String::new(),
            instance_id: None,
            generation: -1,
        },
        offsets: vec![OffsetCommit {
            topic,
            partition: PartitionId(0),
            offset: Offset(offset),
            leader_epoch: -1,
            metadata: String::new(),
        }],
    }
}

/// What the group has committed.
fn committed(log: &TopicLog, group_id: &str) -> Option<i64> {
    let committed = log.groups().committed(group_id);
    committed
        .first()
        .map(|(_, _, committed)| committed.offset.0)
}

/// Lets `ms` pass, and waits until what is due then is done.
async fn pass(log: &TopicLog, clock: &ManualClock, ms: i64) {
    let transactions = log.transactions();
    let now_ms = clock.now_ms() + ms;
    let due: Vec<String> = {
        let ledger = transactions.0.journal.state();
        let expiration_ms = transactions.0.settings.id_expiration_ms;
        let due = ledger.iter().filter(|(_, transaction)| {
            transaction
                .deadline_ms(expiration_ms)
                .is_some_and(|at_ms| at_ms <= now_ms)
        });
        due.map(|(id, _)| id.clone()).collect()
    };
    clock.advance(ms);
    transactions.0.tick();
    // What was begun has its turn before what comes now.
    tokio::task::yield_now().await;
    for id in due {
        drop(transactions.0.turns.begin(&id).await);
    }
}
