//! A disk that is full for a moment: what was refused has not happened, and everything goes on.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use weir_tests::client::media;
use weir_tests::{Client, Problem, Server, ServerBuilder};

const WRITERS: i64 = 6;
const ROWS: i64 = 25;

/// A server whose log finds the disk full when it has written so many groups, and then once in a while.
fn builder(action: &str) -> ServerBuilder {
    Server::builder()
        .env("FAILPOINTS", format!("topics::append={action}"))
        .expect_log("the disk is full")
}

fn assert_full(problem: &Problem) {
    assert_eq!(
        (problem.status, problem.sqlstate()),
        (503, "53100"),
        "{problem}"
    );
    assert!(problem.hint().is_some(), "{problem}");
}

#[tokio::test]
async fn a_statement_that_was_refused_has_not_happened() {
    let server = builder("1*off->1*return(enospc)->1*off->1*return(enospc)->off").start();
    let client = server.client();
    client
        .run(&[
            "CREATE TABLE t (k INT PRIMARY KEY, v INT)",
            "INSERT INTO t VALUES (1, 1), (2, 2)",
        ])
        .await;
    let update = "INSERT INTO t VALUES (1, 9), (3, 9) ON CONFLICT (k) DO UPDATE SET v = excluded.v";
    assert_full(&client.sql(update).await.unwrap_err());
    assert_eq!(client.number("SELECT sum(v) FROM t").await, 3);
    assert_eq!(client.number("SELECT v FROM t WHERE k = 1").await, 1);
    client.run(&["DELETE FROM t WHERE k = 2"]).await;
    assert_full(&client.sql("DELETE FROM t").await.unwrap_err());
    assert_eq!(client.number("SELECT count(*) FROM t").await, 1);
    client.run(&[update]).await;
    let server = server.kill().without_env().start();
    let client = server.client();
    assert_eq!(client.number("SELECT sum(v * k) FROM t").await, 36);
    server.stop();
}

#[tokio::test]
async fn an_ingest_that_was_refused_is_taken_when_it_comes_again() {
    let server = builder("1*return(enospc)->off").start();
    let client = server.client();
    client.run(&["CREATE STREAM s (n BIGINT)"]).await;
    let send = async |client: &Client| {
        let request = client
            .request(Method::POST, "/v1/topics/s/records")
            .header(CONTENT_TYPE, media::NDJSON)
            .header("idempotency-key", "one")
            .body("{\"n\":1}\n");
        client.document_of(request).await
    };
    assert_full(&send(&client).await.unwrap_err());
    assert_eq!(client.number("SELECT count(*) FROM s").await, 0);
    assert_eq!(send(&client).await.unwrap()["duplicate"], false);
    assert_eq!(send(&client).await.unwrap()["duplicate"], true);
    assert_eq!(client.number("SELECT count(*) FROM s").await, 1);
    server.stop();
}

/// Writes each of its rows until it is acknowledged: a refused one must not be there.
async fn write(client: Client, table: &'static str, writer: i64, refused: Arc<Mutex<u32>>) {
    for row in 0..ROWS {
        let sql = format!("INSERT INTO {table} VALUES ({})", writer * 1000 + row);
        loop {
            match client.sql(&sql).await {
                Ok(_) => break,
                Err(problem) => {
                    assert!(
                        matches!(problem.sqlstate(), "53100" | "40001"),
                        "{sql}: {problem}"
                    );
                    assert_eq!(problem.status, 503, "{sql}: {problem}");
                    *refused.lock() += 1;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_at_once_lose_nothing_and_double_nothing() {
    let server = builder("25%return(enospc)").start();
    let client = server.client();
    // With a key, a row that is there all the same would be refused; without, it would be there twice.
    let tables = ["keyed", "bare"];
    client
        .run(&[
            "CREATE TABLE keyed (n BIGINT PRIMARY KEY)",
            "CREATE TABLE bare (n BIGINT)",
        ])
        .await;
    let refused = Arc::new(Mutex::new(0));
    let writers = (0..WRITERS).flat_map(|writer| {
        let (client, refused) = (client.clone(), Arc::clone(&refused));
        tables.map(|table| tokio::spawn(write(client.clone(), table, writer, refused.clone())))
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert!(*refused.lock() > 0, "the disk was never full");
    let wanted: BTreeSet<i64> = (0..WRITERS)
        .flat_map(|writer| (0..ROWS).map(move |row| writer * 1000 + row))
        .collect();
    let check = async |client: &Client| {
        for table in tables {
            let rows = client.rows(&format!("SELECT n FROM {table}")).await.rows;
            let found: BTreeSet<i64> = rows.iter().map(|row| row[0].as_i64().unwrap()).collect();
            assert_eq!(rows.len(), found.len(), "{table} has a row twice");
            assert_eq!(found, wanted, "{table}");
        }
    };
    check(&client).await;
    let server = server.kill().without_env().start();
    check(&server.client()).await;
    server.stop();
}
