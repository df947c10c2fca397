//! A child process commits and aborts transactions and dies at a fail point, or is killed: what it was told is committed is
//! there, what it was told is aborted is not, and nothing is there by half.

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use fail::FailScenario;
use weir_base::{Offset, PartitionId};
use weir_topics::groups::{CommitRequest, Membership, OffsetCommit};
use weir_topics::transactions::{
    InitProducer, Outcome, TransactionState, TransactionVersion, TransactionalProducer,
};
use weir_topics::{Partition, Topic, TopicLog};

use crate::support::{make, name, open, scratch, small, transactional};

const DIR: &str = "WEIR_TOPICS_TEST_TRANSACTIONS";
const ROUND: &str = "WEIR_TOPICS_TEST_TRANSACTIONS_ROUND";
const THIS: &str = "transactions::what_is_committed_is_whole_after_a_crash";

/// What the children were told, by transaction.
type Told = BTreeMap<i64, Outcome>;

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.unwrap().block_on(test)
}

fn command(dir: &Path, round: usize) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", THIS, "--nocapture"])
        .env(DIR, dir)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped());
    command
}

fn note(told: &mut Told, lines: impl Iterator<Item = String>) {
    for line in lines {
        let committed = line.strip_prefix("committed ");
        let aborted = line.strip_prefix("aborted ");
        if let Some(number) = committed {
            told.insert(number.parse().unwrap(), Outcome::Commit);
        }
        if let Some(number) = aborted {
            told.insert(number.parse().unwrap(), Outcome::Abort);
        }
    }
}

#[test]
fn what_is_committed_is_whole_after_a_crash() {
    if let Some(dir) = std::env::var_os(DIR) {
        let round = std::env::var(ROUND).unwrap().parse().unwrap();
        return child(Path::new(&dir), round);
    }
    let points = [
        "transaction_prepared",
        "transaction_marker",
        "transaction_told",
        "append",
        "after_sync",
    ];
    for point in points {
        let (dir, mut told) = (scratch(), Told::new());
        // Each crash is met on top of the repair of the one before.
        for round in 0..6 {
            let fails = format!("topics::{point}={}*off->return(abort)", round * 3 + 2);
            let output = command(dir.path(), round).env("FAILPOINTS", fails).output();
            let output = output.unwrap();
            assert!(!output.status.success(), "{point}: the child did not crash");
            let out = String::from_utf8(output.stdout).unwrap();
            note(&mut told, out.lines().map(str::to_owned));
            check(point, dir.path(), &told);
        }
        assert!(!told.is_empty(), "{point}: no transaction ended");
    }
}

#[test]
fn what_is_committed_is_whole_after_a_kill() {
    let (dir, mut told) = (scratch(), Told::new());
    for round in 0..6 {
        let mut child = command(dir.path(), round).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines = lines.map_while(std::io::Result::ok);
        note(&mut told, lines.by_ref().take(10 + round * 7));
        child.kill().unwrap();
        // What it said between the last look and its death counts too.
        note(&mut told, lines);
        child.wait().unwrap();
        check("kill", dir.path(), &told);
    }
}

/// Committed numbers, in order.
fn rows(partition: &Partition) -> Vec<i64> {
    let (mut next, end) = (Offset(0), partition.last_stable_offset());
    let mut rows = Vec::new();
    while next < end {
        let read = partition.read(next, end, 1 << 20).unwrap();
        for batch in &read.batches {
            for record in batch.records() {
                let value = std::str::from_utf8(record.unwrap().value.unwrap()).unwrap();
                rows.push(value.parse().unwrap());
            }
        }
        next = read.next;
    }
    rows
}

fn check(death: &str, dir: &Path, told: &Told) {
    run(async {
        let log = open(small(dir)).await.unwrap();
        let described = log.transactions().describe("id");
        let state = described.map(|described| described.state);
        assert!(
            !matches!(
                state,
                Some(TransactionState::PrepareCommit | TransactionState::PrepareAbort)
            ),
            "{death}: what was decided is completed by the start"
        );
        // Whoever comes next aborts what is open.
        comes(&log).await;
        let Some(topic) = log.topic(&name("bids")) else {
            return;
        };
        let [left, right] = [0, 1].map(|at| rows(&topic.partitions()[at]));
        for partition in topic.partitions() {
            assert_eq!(partition.last_stable_offset(), partition.stable_offset());
        }
        assert_eq!(left, right, "{death}: half a transaction");
        assert!(left.is_sorted(), "{death}: in order");
        let present: HashSet<_> = left.iter().copied().collect();
        assert_eq!(present.len(), left.len(), "{death}: a row is there twice");
        for (number, outcome) in told {
            let committed = *outcome == Outcome::Commit;
            assert_eq!(present.contains(number), committed, "{death}: {number}");
        }
        let groups = log.groups();
        assert!(groups.pending("g").is_empty(), "{death}");
        let committed = groups.committed("g");
        let committed = committed
            .first()
            .map(|(_, _, committed)| committed.offset.0);
        assert_eq!(committed, left.last().copied(), "{death}: the offset");
        log.close().await.unwrap();
    });
}

async fn comes(log: &TopicLog) -> TransactionalProducer {
    let request = InitProducer {
        transactional_id: "id".to_owned(),
        timeout_ms: 60_000,
        current: None,
    };
    let producer = log.transactions().init_producer(request).await.unwrap();
    TransactionalProducer {
        transactional_id: "id".to_owned(),
        producer,
    }
}

fn commit_request(topic: &Topic, offset: i64) -> CommitRequest {
    CommitRequest {
        membership: Membership {
            group_id: "g".to_owned(),
            member_id: String::new(),
            instance_id: None,
            generation: -1,
        },
        offsets: vec![OffsetCommit {
            topic: topic.id(),
            partition: PartitionId(0),
            offset: Offset(offset),
            leader_epoch: -1,
            metadata: String::new(),
        }],
    }
}

/// Transactions of one row in each of two partitions and an offset, the row's number, until it dies. Every third is aborted.
fn child(dir: &Path, round: usize) {
    let _scenario = FailScenario::setup();
    run(async {
        let log = open(small(dir)).await.unwrap();
        let topic = match log.topic(&name("bids")) {
            Some(topic) => topic,
            None => make(&log, "bids", 2).await,
        };
        let (transactions, mut producer) = (log.transactions(), comes(&log).await);
        let places = [0, 1].map(|number| (topic.id(), PartitionId(number)));
        let v2 = TransactionVersion::V2;
        for number in 0..100_000 {
            let number = round as i64 * 100_000 + number;
            let added = transactions.add_partitions(&producer, &places).await;
            assert!(added.unwrap().iter().all(Result::is_ok));
            let (id, epoch) = (producer.producer.producer_id, producer.producer.epoch);
            for partition in topic.partitions() {
                let batch = transactional(id, epoch, 0, &[&number.to_string()]);
                let appended = partition.append(batch, None).unwrap();
                appended.durable().await.unwrap();
            }
            let request = commit_request(&topic, number);
            let done = transactions.commit_offsets(&producer, request, v2);
            done.await.unwrap();
            let outcome = match number % 3 {
                2 => Outcome::Abort,
                _ => Outcome::Commit,
            };
            producer.producer = transactions.end(&producer, outcome, v2).await.unwrap();
            let mut out = std::io::stdout().lock();
            let told = match outcome {
                Outcome::Abort => "aborted",
                Outcome::Commit => "committed",
            };
            writeln!(out, "{told} {number}").unwrap();
            out.flush().unwrap();
        }
    });
}
