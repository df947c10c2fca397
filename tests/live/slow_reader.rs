//! A client that reads one row a second of a large live query while another writes at full speed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpSocket;
use weir_tests::client::media;
use weir_tests::live::Lines;
use weir_tests::{Server, process, wait};

/// How far the server may grow over where it was: far below what is written meanwhile.
const GROWTH_MAX: u64 = 400 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_slows_only_itself_and_memory_stays_bounded() {
    let rows = if std::env::var_os("WEIR_SOAK").is_some() {
        30_000_000
    } else {
        4_000_000
    };
    let server = Server::start();
    let client = server.client();
    client
        .run(&["CREATE STREAM s (n BIGINT, text TEXT) WITH (partitions = 2)"])
        .await;

    // The slow reader, with a receive buffer that holds little, so that it is the server that has to wait.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut slow = socket
        .connect(server.address().parse().unwrap())
        .await
        .unwrap();
    let sql = "SELECT * FROM s EMIT CHANGES";
    let request = format!(
        "POST /v1/sql HTTP/1.1\r\nhost: {}\r\naccept: {}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n{sql}",
        server.address(),
        media::NDJSON,
        sql.len()
    );
    slow.write_all(request.as_bytes()).await.unwrap();
    let reading = Arc::new(AtomicBool::new(true));
    let slow_rows = Arc::new(AtomicI64::new(0));
    let slow_reader = {
        let (reading, slow_rows) = (reading.clone(), slow_rows.clone());
        tokio::spawn(async move {
            let mut lines = BufReader::with_capacity(256, slow).lines();
            while reading.load(Ordering::SeqCst) {
                let line = lines
                    .next_line()
                    .await
                    .unwrap()
                    .expect("the answer goes on");
                if line.starts_with('{') {
                    slow_rows.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        })
    };

    // A quick reader beside it, which must keep up.
    let quick_count = Arc::new(AtomicI64::new(0));
    let quick_reader = {
        let (client, quick_count) = (client.clone(), quick_count.clone());
        tokio::spawn(async move {
            let response = client
                .send(client.query("SELECT n FROM s EMIT CHANGES", media::NDJSON))
                .await;
            let mut lines = Lines::of(response).await;
            loop {
                lines.line().await;
                quick_count.fetch_add(1, Ordering::SeqCst);
            }
        })
    };

    let text = "x".repeat(150);
    let before = process::resident_bytes(server.pid());
    let mut written: i64 = 0;
    let mut most = 0;
    while written < rows {
        let body: String = (written..written + 5_000)
            .map(|n| format!("{{\"n\":{n},\"text\":\"{text}\"}}\n"))
            .collect();
        let ingest = tokio::time::timeout(wait::PATIENCE, client.ingest("s", body)).await;
        ingest.expect("the slow reader held the writer").unwrap();
        written += 5_000;
        most = most.max(process::resident_bytes(server.pid()));
    }
    let grown = most.saturating_sub(before);
    eprintln!(
        "{written} rows written beside a slow reader; {} read by it; the server grew by {} MB",
        slow_rows.load(Ordering::SeqCst),
        grown >> 20
    );
    assert!(grown < GROWTH_MAX, "the server grew by {} MB", grown >> 20);
    wait::eventually("the quick reader catches up", async || {
        let read = quick_count.load(Ordering::SeqCst);
        wait::check(read >= written, format!("{read} of {written}"))
    })
    .await;
    wait::eventually("the slow reader gets its rows", async || {
        wait::check(slow_rows.load(Ordering::SeqCst) >= 1, "none yet")
    })
    .await;
    let slow = slow_rows.load(Ordering::SeqCst);
    assert!(slow < rows / 2, "the slow reader was quick: {slow} rows");
    reading.store(false, Ordering::SeqCst);
    quick_reader.abort();
    slow_reader.await.unwrap();
    server.stop();
}
