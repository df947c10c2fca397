//! A failure after the first rows: no client may take the answer for complete.

use std::io::Cursor;

use arrow::ipc::reader::StreamReader;
use futures::StreamExt;
use reqwest::header::CONTENT_TYPE;
use serde_json::Value;
use weir_tests::client::media;
use weir_tests::live::{Lines, Next};
use weir_tests::{Problem, Server};

/// Fails at its last row, long after the first ones were sent: a plan, however parallel, holds only a few batches back.
const LATE: &str =
    "SELECT value, 1 / (3000000 - value) AS broken FROM generate_series(1, 3000000) AS g(value)";
/// Fails in every batch: a parallel plan may give the second batch before the first, so that one wrong row would not do.
const EARLY: &str = "SELECT 1 / (value % 2) AS broken FROM generate_series(1, 3000000) AS g(value)";

/// All bytes that came, and whether HTTP said that they are all.
async fn read(response: reqwest::Response) -> (Vec<u8>, bool) {
    let mut body = response.bytes_stream();
    let mut bytes = Vec::new();
    while let Some(piece) = body.next().await {
        match piece {
            Ok(piece) => bytes.extend_from_slice(&piece),
            Err(_) => return (bytes, false),
        }
    }
    (bytes, true)
}

#[tokio::test]
async fn before_the_first_rows_it_is_a_problem_with_its_status_in_every_format() {
    let server = Server::start();
    let client = server.client();
    for accept in [
        media::JSON,
        media::NDJSON,
        media::CSV,
        media::ARROW,
        media::PARQUET,
        media::SSE,
    ] {
        let response = client.send(client.query(EARLY, accept)).await;
        assert_eq!(response.headers()[CONTENT_TYPE], media::PROBLEM, "{accept}");
        let problem = Problem::of(response).await;
        assert_eq!(
            (problem.status, problem.sqlstate()),
            (400, "22012"),
            "{accept}: {problem}"
        );
    }
    server.stop();
}

#[tokio::test]
async fn json_csv_and_parquet_break_the_connection() {
    let server = Server::start();
    let client = server.client();
    for accept in [media::JSON, media::CSV, media::PARQUET] {
        let response = client.send(client.query(LATE, accept)).await;
        assert_eq!(response.status(), 200, "{accept}: the first rows were good");
        let (bytes, whole) = read(response).await;
        assert!(!bytes.is_empty(), "{accept}");
        assert!(!whole, "{accept}: the body ended as if it were whole");
    }
    server.stop();
}

#[tokio::test]
async fn ndjson_says_it_in_a_last_line() {
    let server = Server::start();
    let client = server.client();
    let mut lines = Lines::of(client.send(client.query(LATE, media::NDJSON)).await).await;
    let mut last = String::new();
    let mut count = 0;
    while let Next::Line(line) = lines.next().await {
        last = line;
        count += 1;
    }
    assert!(count > 1000);
    let last: Value = serde_json::from_str(&last).unwrap();
    assert_eq!(last["error"]["sqlstate"], "22012", "{last}");
    server.stop();
}

#[tokio::test]
async fn events_say_it_in_an_error_event() {
    let server = Server::start();
    let client = server.client();
    let mut lines = Lines::of(client.send(client.query(LATE, media::SSE)).await).await;
    let problem = loop {
        let event = lines.event().await;
        match event.event.as_deref() {
            Some("error") => break event.json(),
            Some("end") => panic!("it ended well"),
            _ => {}
        }
    };
    assert_eq!(problem["sqlstate"], "22012", "{problem}");
    server.stop();
}

#[tokio::test]
async fn arrow_has_no_end_of_stream() {
    let server = Server::start();
    let client = server.client();
    let response = client.send(client.query(LATE, media::ARROW)).await;
    assert_eq!(response.status(), 200);
    let (bytes, _) = read(response).await;
    assert!(
        !bytes.ends_with(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]),
        "it has an end of stream"
    );
    let rows: usize = StreamReader::try_new(Cursor::new(&bytes), None)
        .unwrap()
        .map_while(Result::ok)
        .map(|batch| batch.num_rows())
        .sum();
    assert!(rows > 0 && rows < 3_000_000, "{rows}");
    server.stop();
}

#[tokio::test]
async fn a_cancelled_query_fails_for_its_reader() {
    let server = Server::start();
    let client = server.client();
    let response = client.send(client.query(crate::LARGE, media::CSV)).await;
    let id = response.headers()["weir-query-id"]
        .to_str()
        .unwrap()
        .to_owned();
    let path = format!("/v1/queries/{id}");
    let deleted = client
        .send(client.request(reqwest::Method::DELETE, &path))
        .await;
    assert_eq!(deleted.status(), 204);
    let (_, whole) = read(response).await;
    assert!(!whole, "a cancelled answer ended as if it were whole");
    let document = client
        .document_of(client.request(reqwest::Method::GET, &path))
        .await
        .unwrap();
    assert_eq!(document["state"], "cancelled", "{document}");
    server.stop();
}

#[tokio::test]
async fn kill_query_does_the_same() {
    let server = Server::start();
    let client = server.client();
    let slow = client.clone();
    let running = tokio::spawn(async move { slow.sql(crate::SLOW).await });
    let id = weir_tests::eventually("the query runs", async || {
        let running = client.running("AS slow").await;
        running
            .first()
            .and_then(|query| query["id"].as_str().map(str::to_owned))
            .ok_or("it is not listed")
    })
    .await;
    client.run(&[&format!("KILL QUERY '{id}'")]).await;
    let problem = running.await.unwrap().unwrap_err();
    assert_eq!(problem.sqlstate(), "57014", "{problem}");
    server.stop();
}
