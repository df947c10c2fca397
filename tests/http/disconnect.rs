//! A client that goes away stops its query within a second.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weir_tests::client::media;
use weir_tests::{Server, wait};

use crate::{LARGE, SLOW};

/// The promise is one second; what is watched is the list of queries, on a machine that may be busy with other tests.
const BOUND: Duration = Duration::from_secs(1);
const MARGIN: Duration = Duration::from_secs(4);

async fn post(server: &Server, sql: &str, accept: &str) -> TcpStream {
    let body = json!({ "query": sql }).to_string();
    let mut connection = TcpStream::connect(server.address()).await.unwrap();
    let request = format!(
        "POST /v1/sql HTTP/1.1\r\nhost: {}\r\naccept: {accept}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        server.address(),
        body.len()
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    connection
}

async fn stops_with_its_client(server: &Server, connection: TcpStream, piece: &str) {
    let client = server.client();
    wait::eventually("the query runs", async || {
        let running = client.running(piece).await;
        wait::check(!running.is_empty(), "it is not listed")
    })
    .await;
    drop(connection);
    wait::within(
        BOUND + MARGIN,
        "the query stops after its client",
        async || {
            let running = client.running(piece).await;
            wait::check(running.is_empty(), format!("{running:?}"))
        },
    )
    .await;
}

#[tokio::test]
async fn before_the_first_row() {
    let server = Server::start();
    let connection = post(&server, SLOW, media::JSON).await;
    stops_with_its_client(&server, connection, "AS slow").await;
    server.stop();
}

#[tokio::test]
async fn while_rows_flow() {
    let server = Server::start();
    let mut connection = post(&server, LARGE, media::NDJSON).await;
    let mut some = vec![0; 100_000];
    connection.read_exact(&mut some).await.unwrap();
    stops_with_its_client(&server, connection, "'row '").await;
    server.stop();
}

#[tokio::test]
async fn while_a_live_query_is_quiet() {
    let server = Server::start();
    server.client().run(&["CREATE STREAM s (a INT)"]).await;
    let connection = post(&server, "SELECT * FROM s EMIT CHANGES", media::NDJSON).await;
    stops_with_its_client(&server, connection, "EMIT CHANGES").await;
    server.stop();
}

#[tokio::test]
async fn while_it_waits_in_the_queue() {
    let server = Server::builder()
        .config("[limits]\nconcurrent_queries = 1\nqueued_queries = 5\nqueue_wait = \"60s\"\n")
        .start();
    let first = post(&server, SLOW, media::JSON).await;
    let client = server.client();
    wait::eventually("the first runs", async || {
        wait::check(
            client.running("AS slow").await.len() == 1,
            "it is not listed",
        )
    })
    .await;
    let second = post(&server, LARGE, media::NDJSON).await;
    stops_with_its_client(&server, second, "'row '").await;
    stops_with_its_client(&server, first, "AS slow").await;
    server.stop();
}

#[tokio::test]
async fn a_reader_that_stops_reading_holds_no_memory_and_no_other_reader() {
    let server = Server::start();
    let client = server.client();
    let before = weir_tests::process::resident_bytes(server.pid());
    let mut stalled = post(&server, LARGE, media::NDJSON).await;
    let mut some = vec![0; 1000];
    stalled.read_exact(&mut some).await.unwrap();
    // Meanwhile another one reads 400 MB, in batches of 16. A few of them are on their way at a time.
    let sql = "SELECT repeat('x', 1000) AS x FROM generate_series(1, 400000) AS g(value)";
    let body = client.body(sql, media::CSV).await;
    assert_eq!(body.len(), "x\n".len() + 400_000 * 1001);
    let grown = weir_tests::process::resident_bytes(server.pid()).saturating_sub(before);
    assert!(grown < 300 << 20, "the server grew by {} MB", grown >> 20);
    stops_with_its_client(&server, stalled, "'row '").await;
    server.stop();
}
