//! A log through its life, step by step beside a plain list: whatever is appended, rolled, cut, retained, compacted, pinned,
//! reconfigured and restarted, all readings agree with the list.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use weir_base::{ManualClock, Offset, PartitionId};
use weir_topics::{
    BatchBuilder, Cleanup, EncodedBatch, Error, LogSettings, Partition, Pin, RecordRef,
    TopicConfig, TopicLog,
};

use crate::support::{files, name, run, scratch, small};

const DELETE_RETENTION_MS: u64 = 500;

/// What is done to the log.
#[derive(Debug, Clone)]
enum Step {
    /// Records (key, value or deletion), of so much age, by a codec, perhaps of an idempotent producer.
    Append {
        records: Vec<(u8, bool)>,
        age_ms: i64,
        codec: u8,
        idempotent: bool,
    },
    /// The clock moves on, and a round of upkeep is made.
    Maintain(i64),
    /// In percent of what is there.
    DeleteBefore(i64),
    Configure(Box<TopicConfig>),
    AddPartition,
    Pin,
    Unpin,
    /// In percent of what is there.
    Advance(i64),
    Restart {
        clean: bool,
        torn: Option<u8>,
        indexes: bool,
    },
}

/// A record as the list has it.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    offset: i64,
    timestamp_ms: i64,
    key: u8,
    value: Option<String>,
}

/// What must be there at least, and what may be.
#[derive(Debug, Default)]
struct Model {
    /// All that was ever appended.
    rows: Vec<Row>,
    start: i64,
    /// The keys' last deletions may have gone with compaction; nothing else that is the last of its key may.
    compacts: bool,
    /// Below this, what is not the last of its key may have gone.
    compacted: bool,
    producer_id: i64,
    sequence: i32,
}

fn config() -> impl Strategy<Value = TopicConfig> {
    let cleanup = prop_oneof![
        Just(Cleanup::Delete),
        Just(Cleanup::Compact),
        Just(Cleanup::Both)
    ];
    let some = |range: std::ops::Range<u64>| proptest::option::of(range);
    let parts = (
        some(0..3000),
        some(500..8000),
        cleanup,
        some(300..3000),
        some(1..2000),
    );
    (parts, some(0..2), 0..1000u64).prop_map(|(parts, flush_ms, min_compaction_lag_ms)| {
        let (retention_ms, retention_bytes, cleanup, segment_bytes, segment_ms) = parts;
        TopicConfig {
            retention_ms,
            retention_bytes,
            cleanup,
            segment_bytes,
            segment_ms,
            flush_ms,
            max_message_bytes: None,
            min_compaction_lag_ms,
            delete_retention_ms: DELETE_RETENTION_MS,
        }
    })
}

fn step() -> impl Strategy<Value = Step> {
    let records = proptest::collection::vec((0..12u8, any::<bool>()), 1..12);
    let append = (records, 0..1500i64, 0..5u8, any::<bool>());
    let append = append.prop_map(|(records, age_ms, codec, idempotent)| Step::Append {
        records,
        age_ms,
        codec,
        idempotent,
    });
    let restart = (
        any::<bool>(),
        proptest::option::of(any::<u8>()),
        any::<bool>(),
    );
    prop_oneof![
        12 => append,
        6 => (0..800i64).prop_map(Step::Maintain),
        1 => (0..=100i64).prop_map(Step::DeleteBefore),
        2 => config().prop_map(|config| Step::Configure(Box::new(config))),
        1 => Just(Step::AddPartition),
        1 => Just(Step::Pin),
        2 => Just(Step::Unpin),
        1 => (0..=100i64).prop_map(Step::Advance),
        2 => restart.prop_map(|(clean, torn, indexes)| Step::Restart { clean, torn, indexes }),
    ]
}

/// The records as a producer would send them.
fn batch(rows: &[Row], codec: u8, sequence: Option<(i64, i32)>) -> EncodedBatch {
    let mut builder = BatchBuilder::new();
    for row in rows {
        let record = RecordRef {
            timestamp_ms: row.timestamp_ms,
            key: Some(&[row.key]),
            value: row.value.as_ref().map(String::as_bytes),
            ..RecordRef::default()
        };
        builder.push(record).unwrap();
    }
    let plain = builder.build();
    let (front, body) = plain.as_bytes().split_at(61);
    let body = match codec {
        1 => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Default::default());
            std::io::Write::write_all(&mut encoder, body).unwrap();
            encoder.finish().unwrap()
        }
        2 => snap::raw::Encoder::new().compress_vec(body).unwrap(),
        3 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            std::io::Write::write_all(&mut encoder, body).unwrap();
            encoder.finish().unwrap()
        }
        4 => zstd::encode_all(body, 1).unwrap(),
        _ => body.to_vec(),
    };
    let mut bytes = [front, &body].concat();
    let length = bytes.len() as i32 - 12;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    bytes[22] = codec;
    if let Some((producer_id, first)) = sequence {
        bytes[43..51].copy_from_slice(&producer_id.to_be_bytes());
        bytes[51..53].copy_from_slice(&0i16.to_be_bytes());
        bytes[53..57].copy_from_slice(&first.to_be_bytes());
    }
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    EncodedBatch::from_bytes(bytes).unwrap()
}

/// The log, what it should be, and who holds it.
struct Life {
    settings: LogSettings,
    clock: Arc<ManualClock>,
    log: Option<TopicLog>,
    partition: Partition,
    /// What was at hand when each was taken: from its start on all of it must stay.
    pins: Vec<(Pin, Vec<Row>)>,
    model: Model,
    /// The last batch of the idempotent producer, and where it went.
    last_sent: Option<(EncodedBatch, i64)>,
}

impl Life {
    async fn begin(dir: &Path) -> Self {
        let settings = LogSettings {
            compaction_bytes: 500,
            ..small(dir)
        };
        let clock = Arc::new(ManualClock::at(100_000));
        let log = TopicLog::open(settings.clone(), clock.clone())
            .await
            .unwrap();
        let partition = crate::support::bids(&log).await;
        Self {
            settings,
            clock,
            log: Some(log),
            partition,
            pins: Vec::new(),
            model: Model::default(),
            last_sent: None,
        }
    }

    fn log(&self) -> &TopicLog {
        self.log.as_ref().unwrap()
    }

    fn end(&self) -> i64 {
        self.model.rows.len() as i64
    }

    /// So many percent of what is there.
    fn at(&self, percent: i64) -> Offset {
        let (start, end) = (self.model.start, self.end());
        Offset(start + (end - start) * percent / 100)
    }

    async fn step(&mut self, step: Step) {
        use weir_base::Clock;
        match step {
            Step::Append {
                records,
                age_ms,
                codec,
                idempotent,
            } => {
                let timestamp_ms = self.clock.now_ms() - age_ms;
                let first = self.end();
                let rows: Vec<Row> = records
                    .iter()
                    .zip(first..)
                    .map(|((key, deletes), offset)| Row {
                        offset,
                        timestamp_ms: timestamp_ms + offset % 3,
                        key: *key,
                        value: (!deletes).then(|| format!("value {offset}")),
                    })
                    .collect();
                let sequence = idempotent.then_some((self.model.producer_id, self.model.sequence));
                let batch = batch(&rows, codec, sequence);
                if idempotent {
                    self.model.sequence += rows.len() as i32;
                    self.last_sent = Some((batch.clone(), first));
                }
                let appended = self.partition.append(batch, None).unwrap();
                let (base, end) = appended.durable().await.unwrap();
                assert_eq!((base.0, end.0), (first, first + rows.len() as i64));
                self.model.rows.extend(rows);
            }
            Step::Maintain(ms) => {
                self.clock.advance(ms);
                self.log().maintain(self.clock.now_ms()).await.unwrap();
                self.model.compacted |= self.model.compacts;
                self.check_retention();
            }
            Step::DeleteBefore(percent) => {
                let to = self.at(percent);
                assert_eq!(self.partition.delete_before(to).unwrap(), to);
                self.model.start = to.0;
            }
            Step::Configure(config) => {
                let id = self.log().topic(&name("bids")).unwrap().id();
                let topic = self.log().configure(id, *config).await.unwrap();
                assert_eq!(topic.config(), *config);
                self.model.compacts = config.cleanup.compacts();
            }
            Step::AddPartition => {
                let topic = self.log().topic(&name("bids")).unwrap();
                let total = topic.spec().partitions + 1;
                let topic = self.log().add_partitions(topic.id(), total).await.unwrap();
                assert_eq!(topic.partitions().len() as u32, total);
            }
            Step::Pin => {
                let pin = self.partition.pin();
                assert_eq!(pin.start(), self.partition.start_offset());
                let there = self.read(pin.start());
                self.pins.push((pin, there));
            }
            Step::Unpin => {
                if !self.pins.is_empty() {
                    drop(self.pins.remove(0));
                }
            }
            Step::Advance(percent) => {
                let to = self.at(percent);
                if let Some((pin, there)) = self.pins.last_mut() {
                    pin.advance(to);
                    there.retain(|row| row.offset >= pin.start().0);
                }
            }
            Step::Restart {
                clean,
                torn,
                indexes,
            } => self.restart(clean, torn, indexes).await,
        }
    }

    async fn restart(&mut self, clean: bool, torn: Option<u8>, indexes: bool) {
        self.pins.clear();
        if clean {
            self.log().close().await.unwrap();
        }
        self.log = None;
        let dir = self.settings.dir.clone();
        if let (false, Some(byte)) = (clean, torn)
            && let Some(last) = files(&dir, ".log").pop()
        {
            // The front of a batch that was never finished.
            let mut bytes = std::fs::read(&last).unwrap();
            bytes.extend_from_slice(&self.end().to_be_bytes());
            bytes.resize(bytes.len() + usize::from(byte), byte);
            std::fs::write(&last, bytes).unwrap();
        }
        if !indexes {
            for index in files(&dir, ".index") {
                std::fs::remove_file(index).unwrap();
            }
            // What was compacted away is then forgotten of its writers: another one comes.
            self.model.producer_id += 1;
            self.model.sequence = 0;
            self.last_sent = None;
        }
        let log = TopicLog::open(self.settings.clone(), self.clock.clone()).await;
        self.log = Some(log.unwrap());
        let topic = self.log().topic(&name("bids")).unwrap();
        self.partition = topic.partition(PartitionId(0)).unwrap().clone();
    }

    /// Retention only takes what it should, and whole segments.
    fn check_retention(&mut self) {
        let start = self.partition.start_offset().0;
        let topic = self.log().topic(&name("bids")).unwrap();
        assert!(start >= self.model.start);
        if start > self.model.start {
            assert!(topic.config().cleanup.deletes());
            self.model.start = start;
        }
    }

    /// All rows from `from` on.
    fn read(&self, from: Offset) -> Vec<Row> {
        let end = self.partition.stable_offset();
        let (mut next, mut rows) = (from, Vec::new());
        while next < end {
            let read = self.partition.read(next, end, 700).unwrap();
            assert!(read.next > next, "no step at {next}");
            let stored = self.partition.stored(next, end, 700).unwrap();
            let stretches = stored.stretches.iter();
            let stretches = stretches.map(|stretch| stretch.read().unwrap());
            let batches = read.batches.iter().map(|batch| batch.as_bytes().clone());
            assert_eq!(
                (stretches.collect::<Vec<_>>().concat(), stored.next),
                (batches.collect::<Vec<_>>().concat(), read.next)
            );
            for batch in read.batches {
                for record in batch.decompressed().unwrap().records() {
                    let record = record.unwrap();
                    if record.offset >= next && record.offset < end {
                        rows.push(Row {
                            offset: record.offset.0,
                            timestamp_ms: record.timestamp_ms,
                            key: record.key.unwrap()[0],
                            value: record
                                .value
                                .map(|value| String::from_utf8(value.to_vec()).unwrap()),
                        });
                    }
                }
            }
            next = read.next;
        }
        rows
    }

    fn check(&self) {
        let (start, end) = (Offset(self.model.start), Offset(self.end()));
        assert_eq!(self.partition.start_offset(), start);
        assert_eq!(self.partition.stable_offset(), end);
        assert_eq!(self.partition.next_offset(), end);
        let found = self.read(start);
        self.check_rows(&found);
        for (pin, there) in &self.pins {
            let found = self.read(pin.start());
            assert!(found.len() >= there.len());
            assert_eq!(found[..there.len()], there[..], "a pin did not hold");
        }
        if let Some(count) = self.partition.records_between(start, end) {
            assert_eq!(count, found.len() as u64);
        }
        for probe in [0, 99_000, 100_500, i64::MAX] {
            let first = found.iter().find(|row| row.timestamp_ms >= probe);
            let first = first.map(|row| (Offset(row.offset), row.timestamp_ms));
            assert_eq!(self.partition.record_for_time(probe).unwrap(), first);
        }
        let held = self.pins.iter().map(|(pin, _)| pin.start().0).min();
        let kept = held.map_or(start.0, |held| held.min(start.0));
        if kept > 0 {
            let gone = self.partition.read(Offset(kept - 1), end, 700);
            if kept - 1 < end.0 {
                assert!(matches!(gone, Err(Error::OffsetOutOfRange { .. })));
            }
        }
    }

    /// Each row is one that was appended; none is missing but what compaction may take.
    fn check_rows(&self, found: &[Row]) {
        let appended = &self.model.rows[self.model.start as usize..];
        if !self.model.compacted {
            assert_eq!(found, appended);
            return;
        }
        let mut last = HashMap::new();
        for row in appended {
            last.insert(row.key, row.offset);
        }
        let mut left = found.iter().peekable();
        for row in appended {
            if left.next_if(|found| *found == row).is_none() {
                let is_last = last[&row.key] == row.offset;
                assert!(!is_last || row.value.is_none(), "{row:?} is missing");
                let deleted = !is_last || found.iter().all(|found| found.key != row.key);
                assert!(deleted, "what {row:?} deleted is there again");
            }
        }
        assert_eq!(left.next(), None, "a row that was never appended");
    }

    /// The last batch of the producer is known, whatever has become of it.
    async fn check_producer(&self) {
        let Some((batch, base)) = &self.last_sent else {
            return;
        };
        let again = self.partition.append(batch.clone(), None).unwrap();
        assert!(again.duplicate, "a batch was taken twice");
        assert_eq!(again.durable().await.unwrap().0.0, *base);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_log_agrees_with_a_list_through_its_life(steps in proptest::collection::vec(step(), 1..60)) {
        let dir = scratch();
        run(async {
            let mut life = Life::begin(dir.path()).await;
            for step in steps {
                life.step(step).await;
                life.check();
                life.check_producer().await;
            }
        });
    }
}
