//! A disk that is full, by a real limit on the size of files in a child process.

use std::path::Path;
use std::process::Command;

use weir_base::{Classify, Offset, SqlState};
use weir_topics::{Error, IdempotencyToken, LogSettings};

use crate::support::{bids, one, open, run, scratch, values};

const DIR: &str = "WEIR_TOPICS_TEST_FULL_DISK";

#[test]
fn a_full_disk_refuses_writes_and_keeps_what_is_there() {
    if let Some(dir) = std::env::var_os(DIR) {
        return child(Path::new(&dir));
    }
    let dir = scratch();
    // 32 kB a file; without the signal that would end the process.
    let script = "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\"";
    let output = Command::new("sh")
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "full_disk::a_full_disk_refuses_writes_and_keeps_what_is_there",
        ])
        .env(DIR, dir.path())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );

    run(async {
        let log = open(LogSettings::new(dir.path())).await.unwrap();
        let partition = bids(&log).await;
        let values = values(&partition);
        assert!(values.len() > 10);
        assert_eq!(values.last().map(String::as_str), Some("small"));
        partition
            .append(one("and on"), None)
            .unwrap()
            .durable()
            .await
            .unwrap();
    });
}

fn child(dir: &Path) {
    run(async {
        let log = open(LogSettings::new(dir)).await.unwrap();
        let partition = bids(&log).await;
        let long = "x".repeat(3000);
        let mut stored = 0;
        let token = |number: i64| IdempotencyToken::new(number.to_be_bytes()).unwrap();
        let error = loop {
            let appended = partition.append(one(&long), Some(&token(stored))).unwrap();
            match appended.durable().await {
                Ok(_) => stored += 1,
                Err(error) => break error,
            }
        };
        // What was refused is not remembered.
        let again = partition.append(one(&long), Some(&token(stored))).unwrap();
        assert!(!again.duplicate);
        assert!(again.durable().await.is_err());
        assert!(matches!(error, Error::DiskFull { .. }), "{error}");
        assert_eq!(error.sqlstate(), SqlState::DISK_FULL);
        assert_eq!(partition.next_offset(), Offset(stored));
        assert_eq!(partition.stable_offset(), Offset(stored));
        assert_eq!(log.failure(), None);
        assert_eq!(values(&partition).len() as i64, stored);
        // Both that wait are refused, also the one that would have fitted behind the other.
        let refused = [&long, "small"].map(|row| partition.append(one(row), None).unwrap());
        for appended in refused {
            // Unless they were not in line together: then it fits.
            if let Ok((base, _)) = appended.durable().await {
                assert_eq!(base, Offset(stored));
            }
        }
        partition
            .append(one("small"), None)
            .unwrap()
            .durable()
            .await
            .unwrap();
    });
}
