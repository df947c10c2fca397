//! A child process commits and is killed, often while the topic is written anew: what it was told is durable is there.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use weir_base::{ManualClock, Offset, PartitionId, TopicName};

use super::*;
use crate::groups::{CommitRequest, OffsetCommit};
use crate::{LogSettings, TopicConfig, TopicLog, TopicSpec, is_internal};

const DIR: &str = "WEIR_TOPICS_TEST_GROUPS_CRASH";
const THIS: &str = "groups::tests::crash::what_was_committed_is_there_after_a_kill";

#[test]
fn what_was_committed_is_there_after_a_kill() {
    if let Some(dir) = std::env::var_os(DIR) {
        return child(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 1..10 {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", THIS, "--nocapture"])
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let told = BufReader::new(writer.stdout.take().unwrap()).lines();
        let told = told.map_while(std::io::Result::ok);
        let mut told = told.filter_map(|line| line.strip_prefix("committed ")?.parse().ok());
        acknowledged = told.by_ref().take(round * 7).last().unwrap_or(acknowledged);
        writer.kill().unwrap();
        // What it said between the last look and its death counts too.
        acknowledged = told.last().unwrap_or(acknowledged);
        writer.wait().unwrap();

        run(async {
            let log = open(dir.path()).await;
            let own = log.topics();
            let own = own.iter().filter(|topic| is_internal(topic.name()));
            assert_eq!(own.count(), 1);
            let committed = log.groups().committed("g");
            let offsets: Vec<i64> = committed.iter().map(|(_, _, c)| c.offset.0).collect();
            // Both of a commit, and the last one that was acknowledged or the one under way.
            assert_eq!(offsets.len(), 2);
            assert_eq!(offsets[0], offsets[1]);
            let under_way = acknowledged + 1;
            assert!(
                (acknowledged..=under_way).contains(&offsets[0]),
                "{offsets:?}, {acknowledged}"
            );
        });
    }
    assert!(acknowledged > 100);
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(test)
}

async fn open(dir: &Path) -> TopicLog {
    let mut settings = LogSettings::new(dir);
    settings.groups.compact_bytes_min = 600;
    TopicLog::open(settings, Arc::new(ManualClock::at(0)))
        .await
        .unwrap()
}

/// Commits n, n + 1, n + 2 … until it dies, where n is what comes after what it finds.
fn child(dir: &Path) {
    run(async {
        let log = open(dir).await;
        let name = TopicName::new("bids").unwrap();
        let spec = TopicSpec {
            partitions: 2,
            owned: false,
        };
        let topic = match log.topic(&name) {
            Some(topic) => topic.id(),
            None => log
                .create_topic(&name, spec, TopicConfig::default())
                .await
                .unwrap()
                .id(),
        };
        let groups = log.groups();
        let found = groups.committed("g");
        let found = found
            .first()
            .map_or(0, |(_, _, committed)| committed.offset.0);
        for offset in found + 1..found + 100_000 {
            let offsets = [0, 1].map(|partition| OffsetCommit {
                topic,
                partition: PartitionId(partition),
                offset: Offset(offset),
                leader_epoch: -1,
                metadata: String::new(),
            });
            let request = CommitRequest {
                membership: membership("", -1),
                offsets: offsets.to_vec(),
            };
            groups.commit(request).await.unwrap();
            let mut out = std::io::stdout().lock();
            writeln!(out, "committed {offset}").unwrap();
            out.flush().unwrap();
        }
    });
}
