//! A child process writes and dies, at a fail point or killed; what it was told is durable must be there, and nothing twice.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use fail::FailScenario;
use weir_topics::IdempotencyToken;

use crate::support::{batch, bids, open, run, scratch, small, values};

const DIR: &str = "WEIR_TOPICS_TEST_CRASH";
const THIS: &str = "crash::whatever_was_acknowledged_is_there_after_a_crash";

#[test]
fn whatever_was_acknowledged_is_there_after_a_crash() {
    if let Some(dir) = std::env::var_os(DIR) {
        return child(Path::new(&dir));
    }
    for point in ["append", "before_sync", "after_sync", "roll"] {
        let dir = scratch();
        let mut acknowledged = HashSet::new();
        // Each crash is met on top of the repair of the one before.
        for round in 0..6 {
            let output = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", THIS, "--nocapture"])
                .env(DIR, dir.path())
                .env(
                    "FAILPOINTS",
                    format!("topics::{point}={}*off->return(abort)", round * 2 + 1),
                )
                .output()
                .unwrap();
            assert!(!output.status.success(), "{point}: the child did not crash");
            let told = String::from_utf8(output.stdout).unwrap();
            let told = told
                .lines()
                .filter_map(|line| line.strip_prefix("acknowledged "));
            acknowledged.extend(told.map(str::to_owned));

            check(point, dir.path(), &acknowledged);
        }
        assert!(
            !acknowledged.is_empty(),
            "{point}: nothing was acknowledged"
        );
    }
}

#[test]
fn whatever_was_acknowledged_is_there_after_a_kill() {
    let dir = scratch();
    let mut acknowledged = HashSet::new();
    for round in 1..8 {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", THIS, "--nocapture"])
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let told = BufReader::new(writer.stdout.take().unwrap()).lines();
        let told = told.map_while(std::io::Result::ok);
        let mut told = told.filter_map(|line| Some(line.strip_prefix("acknowledged ")?.to_owned()));
        acknowledged.extend(told.by_ref().take(round * 37));
        writer.kill().unwrap();
        // What it said between the last look and its death counts too.
        acknowledged.extend(told);
        writer.wait().unwrap();
        check("kill", dir.path(), &acknowledged);
    }
}

/// All that was acknowledged is there, nothing twice, no statement by half.
fn check(death: &str, dir: &Path, acknowledged: &HashSet<String>) {
    run(async {
        let log = open(small(dir)).await.unwrap();
        let values = values(&bids(&log).await);
        let present: HashSet<_> = values.iter().cloned().collect();
        assert_eq!(present.len(), values.len(), "{death}: a row is there twice");
        for row in acknowledged {
            assert!(present.contains(row), "{death}: {row} is lost");
        }
        // A statement's rows are one batch: all or none.
        assert_eq!(values.len() % 3, 0, "{death}: half a statement");
        for (at, rows) in values.chunks(3).enumerate() {
            let statement = format!("{at}/");
            assert!(rows.iter().all(|row| row.starts_with(&statement)));
        }
    });
}

/// Writes statements 0, 1, 2 … until it dies. Each has a token, and each run begins again at the first.
fn child(dir: &Path) {
    let _scenario = FailScenario::setup();
    run(async {
        let log = open(small(dir)).await.unwrap();
        let partition = bids(&log).await;
        for statement in 0..10_000 {
            let rows = [0, 1, 2].map(|row| format!("{statement}/{row}"));
            let records = rows.iter().map(|row| (0, row.as_str()));
            let token = IdempotencyToken::new(format!("statement {statement}")).unwrap();
            let appended = partition.append(batch(records), Some(&token)).unwrap();
            let duplicate = appended.duplicate;
            appended.durable().await.unwrap();
            let mut out = std::io::stdout().lock();
            for row in rows.iter().filter(|_| !duplicate) {
                writeln!(out, "acknowledged {row}").unwrap();
            }
            out.flush().unwrap();
        }
    });
}
