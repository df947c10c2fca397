//! Logs, batches and readings for tests.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use weir_base::{ManualClock, Offset, PartitionId, TopicName};
use weir_topics::{
    BatchBuilder, BatchView, EncodedBatch, LogSettings, Partition, RecordRef, Result, Topic,
    TopicConfig, TopicLog, TopicSpec,
};

/// A folder in memory where there is one: a test of many syncs should not wait for a disk.
pub(crate) fn scratch() -> tempfile::TempDir {
    match Path::new("/dev/shm").is_dir() {
        true => tempfile::tempdir_in("/dev/shm").unwrap(),
        false => tempfile::tempdir().unwrap(),
    }
}

/// Small segments and intervals, so that little data has many of them.
pub(crate) fn small(dir: &Path) -> LogSettings {
    LogSettings {
        segment_bytes_max: 2000,
        index_interval_bytes: 200,
        checkpoint_bytes: 700,
        writer_threads: 2,
        open_files_max: 4,
        upkeep_interval_ms: 3_600_000,
        compaction_dirty_percent: 0,
        ..LogSettings::new(dir)
    }
}

pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(test)
}

pub(crate) async fn open(settings: LogSettings) -> Result<TopicLog> {
    TopicLog::open(settings, Arc::new(ManualClock::at(1_000))).await
}

pub(crate) fn name(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

/// The topic `bids` of one partition, made if it is not there.
pub(crate) async fn bids(log: &TopicLog) -> Partition {
    let topic = match log.topic(&name("bids")) {
        Some(topic) => topic,
        None => make(log, "bids", 1).await,
    };
    topic.partition(PartitionId(0)).unwrap().clone()
}

pub(crate) async fn make(log: &TopicLog, topic: &str, partitions: u32) -> Topic {
    let spec = TopicSpec {
        partitions,
        owned: false,
    };
    log.create_topic(&name(topic), spec, TopicConfig::default())
        .await
        .unwrap()
}

/// A batch of records (timestamp, value).
pub(crate) fn batch<'a>(records: impl IntoIterator<Item = (i64, &'a str)>) -> EncodedBatch {
    let mut builder = BatchBuilder::new();
    for (timestamp_ms, value) in records {
        let record = RecordRef {
            timestamp_ms,
            value: Some(value.as_bytes()),
            ..RecordRef::default()
        };
        builder.push(record).unwrap();
    }
    builder.build()
}

/// A batch of one record.
pub(crate) fn one(value: &str) -> EncodedBatch {
    batch([(0, value)])
}

/// All records of `[from, to)`, read in pieces of `bytes_max`: offset, timestamp, value.
pub(crate) fn read(
    partition: &Partition,
    from: Offset,
    to: Offset,
    bytes_max: usize,
) -> Result<Vec<(i64, i64, String)>> {
    let mut rows = Vec::new();
    let mut next = from;
    loop {
        let read = partition.read(next, to, bytes_max)?;
        let batches = read.batches;
        if batches.is_empty() {
            assert!(read.next == next || read.next >= to);
            return Ok(rows);
        }
        assert!(batches[0].base_offset() <= next && next < batches[0].end_offset());
        assert!(
            batches
                .windows(2)
                .all(|two| two[0].end_offset() == two[1].base_offset())
        );
        let beyond_first: usize = batches.iter().skip(1).map(BatchView::size_bytes).sum();
        assert!(beyond_first <= bytes_max, "{beyond_first} > {bytes_max}");
        for batch in &batches {
            for record in batch.records() {
                let record = record?;
                if record.offset >= next && record.offset < to {
                    let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
                    rows.push((record.offset.0, record.timestamp_ms, value));
                }
            }
        }
        assert_eq!(read.next, batches[batches.len() - 1].end_offset());
        next = read.next;
        if next >= to {
            return Ok(rows);
        }
    }
}

/// The values of all records, in order; their offsets are checked to be dense.
pub(crate) fn values(partition: &Partition) -> Vec<String> {
    let (start, end) = (partition.start_offset(), partition.stable_offset());
    let rows = read(partition, start, end, 1 << 20).unwrap();
    assert!(
        rows.iter()
            .zip(start.0..)
            .all(|(row, offset)| row.0 == offset)
    );
    assert_eq!(rows.len() as i64, end.0 - start.0);
    rows.into_iter().map(|(_, _, value)| value).collect()
}

/// The files in the only topic's only partition that end so, in order of name.
pub(crate) fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for topic in std::fs::read_dir(dir).unwrap() {
        let partition = topic.unwrap().path().join("0");
        if partition.is_dir() {
            for file in std::fs::read_dir(partition).unwrap() {
                let path = file.unwrap().path();
                if path.to_str().unwrap().ends_with(ending) {
                    found.push(path);
                }
            }
        }
    }
    found.sort();
    found
}

/// A batch as the idempotent producer 7 sends it: one record a value, numbered from `first`.
pub(crate) fn produced(epoch: i16, first: i32, values: &[&str]) -> EncodedBatch {
    let mut bytes = batch(values.iter().map(|value| (5, *value)))
        .as_bytes()
        .to_vec();
    bytes[43..51].copy_from_slice(&7i64.to_be_bytes());
    bytes[51..53].copy_from_slice(&epoch.to_be_bytes());
    bytes[53..57].copy_from_slice(&first.to_be_bytes());
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    EncodedBatch::from_bytes(bytes).unwrap()
}

/// A batch of a producer's transaction: one record a value, numbered from `first`.
pub(crate) fn transactional(
    producer_id: i64,
    epoch: i16,
    first: i32,
    values: &[&str],
) -> EncodedBatch {
    let mut bytes = batch(values.iter().map(|value| (5, *value)))
        .as_bytes()
        .to_vec();
    bytes[21..23].copy_from_slice(&0x10i16.to_be_bytes());
    bytes[43..51].copy_from_slice(&producer_id.to_be_bytes());
    bytes[51..53].copy_from_slice(&epoch.to_be_bytes());
    bytes[53..57].copy_from_slice(&first.to_be_bytes());
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    EncodedBatch::from_bytes(bytes).unwrap()
}
