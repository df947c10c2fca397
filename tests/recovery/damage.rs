//! Damaged files: a torn tail is repaired, a damaged middle is named and never skipped in silence.

use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use weir_tests::{Server, ServerBuilder};

use crate::live::numbers;

/// A folder with 50 batches of 10 rows, after a crash.
async fn filled() -> (ServerBuilder, PathBuf) {
    let server = Server::start();
    let client = server.client();
    client.run(&["CREATE STREAM s (n BIGINT)"]).await;
    for batch in 0..50 {
        client
            .ingest("s", numbers(batch * 10, batch * 10 + 10))
            .await
            .unwrap();
    }
    let folder = server.folder().to_owned();
    let builder = server.kill();
    let segment = largest_file(&folder, "log").expect("a segment file is there");
    (builder, segment)
}

fn largest_file(folder: &Path, extension: &str) -> Option<PathBuf> {
    let mut found: Vec<(u64, PathBuf)> = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).ok()? {
            let path = entry.ok()?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push((path.metadata().ok()?.len(), path));
            }
        }
    }
    found.into_iter().max().map(|(_, path)| path)
}

#[tokio::test]
async fn half_a_batch_at_the_end_is_cut_off() {
    let (builder, segment) = filled().await;
    let whole = fs::read(&segment).unwrap();
    // With the segment goes what is beside it: the mark of what was acknowledged, the index.
    let folder = segment.parent().unwrap();
    let before: Vec<(PathBuf, Vec<u8>)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(&path).unwrap()))
        .collect();
    // What a crash in the middle of a write leaves: the beginning of one more batch, or zeros.
    for tail in [&whole[..30], &whole[..100], &[0; 4096][..]] {
        let mut file = OpenOptions::new().append(true).open(&segment).unwrap();
        file.write_all(tail).unwrap();
        drop(file);
        let server = builder.clone().expect_log(super::TORN).start();
        let client = server.client();
        assert_eq!(client.number("SELECT count(*) FROM s").await, 500);
        client.ingest("s", numbers(500, 501)).await.unwrap();
        assert_eq!(client.number("SELECT count(DISTINCT n) FROM s").await, 501);
        server.kill();
        // As it was, for the next one.
        for entry in fs::read_dir(folder).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        for (path, content) in &before {
            fs::write(path, content).unwrap();
        }
    }
}

#[tokio::test]
async fn a_flipped_bit_in_the_middle_is_an_error_that_names_the_place() {
    let (builder, segment) = filled().await;
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&segment)
        .unwrap();
    let middle = file.metadata().unwrap().len() / 2;
    let mut byte = [0];
    file.seek(SeekFrom::Start(middle)).unwrap();
    file.read_exact(&mut byte).unwrap();
    byte[0] ^= 0x40;
    file.seek(SeekFrom::Start(middle)).unwrap();
    file.write_all(&byte).unwrap();
    drop(file);
    // What was acknowledged is not there: the server does not start as if it were.
    let (status, said) = builder.refused();
    assert!(!status.success());
    for wanted in [
        "topic \"s\"",
        "00000000000000000000.log",
        "damaged at byte",
        "acknowledged",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
}

#[tokio::test]
async fn lost_index_files_are_made_again() {
    let (builder, segment) = filled().await;
    let folder = segment.parent().unwrap();
    let mut removed = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension.to_string_lossy().contains("index"))
        {
            fs::remove_file(path).unwrap();
            removed += 1;
        }
    }
    let server = builder.start();
    let client = server.client();
    assert_eq!(
        client.number("SELECT count(*) FROM s").await,
        500,
        "{removed} removed"
    );
    assert_eq!(
        client.number("SELECT n FROM s WHERE _offset = 321").await,
        321
    );
    server.stop();
}
