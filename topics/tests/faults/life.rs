//! A child process dies while a log is rolled, cut, compacted, configured or given partitions; what it was told must hold.

use std::path::Path;
use std::process::Command;

use fail::FailScenario;
use weir_base::{Offset, PartitionId};
use weir_topics::{BatchBuilder, Cleanup, Partition, RecordRef, TopicConfig, TopicLog};

use crate::support::{bids, files, name, open, run, scratch, small};

const DIR: &str = "WEIR_TOPICS_TEST_LIFE";
const THIS: &str = "life::a_log_that_died_at_any_step_of_its_life_holds_what_it_said";
const KEYS: usize = 7;

#[test]
fn a_log_that_died_at_any_step_of_its_life_holds_what_it_said() {
    if let Some(dir) = std::env::var_os(DIR) {
        return child(Path::new(&dir));
    }
    for point in [
        "roll",
        "bounds",
        "remove",
        "compacting",
        "compacted",
        "configure",
        "partitions",
        "before_sync",
    ] {
        let dir = scratch();
        let mut told = Told::default();
        // Each crash is met on top of the repair of the one before.
        for round in 0..9 {
            let output = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", THIS, "--nocapture"])
                .env(DIR, dir.path())
                .env(
                    "FAILPOINTS",
                    format!("topics::{point}={round}*off->return(abort)"),
                )
                .output()
                .unwrap();
            assert!(!output.status.success(), "{point}: the child did not crash");
            told.hear(&String::from_utf8(output.stdout).unwrap());
            check(point, dir.path(), &told);
        }
    }
}

/// What the child said before it died.
#[derive(Debug, Default)]
struct Told {
    /// The end of what was acknowledged.
    end: i64,
    start: i64,
    partitions: u32,
    retention_ms: u64,
}

impl Told {
    fn hear(&mut self, output: &str) {
        for line in output.lines() {
            let mut words = line.split(' ');
            let (Some(what), Some(number)) = (words.next(), words.next()) else {
                continue;
            };
            match (what, number.parse::<i64>()) {
                ("end", Ok(end)) => self.end = end,
                ("start", Ok(start)) => self.start = start,
                ("partitions", Ok(partitions)) => self.partitions = partitions as u32,
                ("retention_ms", Ok(ms)) => self.retention_ms = ms as u64,
                _ => {}
            }
        }
    }
}

fn key(offset: i64) -> String {
    format!("key {}", offset as usize % KEYS)
}

fn check(point: &str, dir: &Path, told: &Told) {
    run(async {
        let log = open(small(dir)).await.unwrap();
        let partition = bids(&log).await;
        let topic = log.topic(&name("bids")).unwrap();
        let (start, end) = (partition.start_offset(), partition.stable_offset());
        assert!(start.0 >= told.start, "{point}: the start went back");
        assert!(end.0 >= told.end, "{point}: acknowledged rows are lost");
        assert!(topic.spec().partitions >= told.partitions, "{point}");
        let retention_ms = topic.config().retention_ms.unwrap_or_default();
        assert!(retention_ms >= told.retention_ms, "{point}");
        assert!(files(dir, ".tmp").is_empty(), "{point}");

        // Each key's last row is there, and each row is what was written there.
        let mut next = start;
        let mut seen = [-1; KEYS];
        while next < end {
            let read = partition.read(next, end, 500).unwrap();
            for record in read.batches.iter().flat_map(|batch| batch.records()) {
                let record = record.unwrap();
                let offset = record.offset.0;
                assert_eq!(record.key, Some(key(offset).as_bytes()), "{point}");
                let value = format!("value {offset}");
                assert_eq!(record.value, Some(value.as_bytes()), "{point}");
                assert!(seen[offset as usize % KEYS] < offset, "{point}: twice");
                seen[offset as usize % KEYS] = offset;
            }
            next = read.next;
        }
        for last in (start.0..end.0).rev().take(KEYS) {
            assert_eq!(seen[last as usize % KEYS], last, "{point}: {last} is gone");
        }
    });
}

fn say(what: &str, number: i64) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{what} {number}").unwrap();
    out.flush().unwrap();
}

/// Goes through the life of a log, again and again, until it dies.
fn child(dir: &Path) {
    let _scenario = FailScenario::setup();
    run(async {
        let log = open(small(dir)).await.unwrap();
        let partition = bids(&log).await;
        for round in 0..1000 {
            configure(&log, round).await;
            for _ in 0..20 {
                put(&partition).await;
            }
            log.maintain(1000).await.unwrap();
            let end = partition.stable_offset().0;
            if round % 3 == 2 {
                let start = partition.delete_before(Offset(end - 15)).unwrap();
                say("start", start.0);
            }
            let topic = log.topic(&name("bids")).unwrap();
            let partitions = topic.spec().partitions + 1;
            let topic = log.add_partitions(topic.id(), partitions).await.unwrap();
            let last = topic.partition(PartitionId(partitions - 1)).unwrap();
            put(last).await;
            say("partitions", i64::from(partitions));
        }
    });
}

async fn configure(log: &TopicLog, round: u64) {
    let topic = log.topic(&name("bids")).unwrap();
    let retention_ms = topic.config().retention_ms.unwrap_or_default() + 1;
    let config = TopicConfig {
        cleanup: Cleanup::Both,
        retention_ms: Some(retention_ms),
        segment_bytes: Some(600),
        flush_ms: (round % 2 == 1).then_some(1),
        ..TopicConfig::default()
    };
    log.configure(topic.id(), config).await.unwrap();
    say("retention_ms", retention_ms as i64);
}

async fn put(partition: &Partition) {
    let offset = partition.next_offset().0;
    let (key, value) = (key(offset), format!("value {offset}"));
    let mut builder = BatchBuilder::new();
    let record = RecordRef {
        timestamp_ms: 1000,
        key: Some(key.as_bytes()),
        value: Some(value.as_bytes()),
        ..RecordRef::default()
    };
    builder.push(record).unwrap();
    let appended = partition.append(builder.build(), None).unwrap();
    let (_, end) = appended.durable().await.unwrap();
    if partition.id() == PartitionId(0) {
        say("end", end.0);
    }
}
