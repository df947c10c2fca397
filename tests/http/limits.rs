//! Limits: memory with spilling, wall clock, rows, the queue, bodies, connections.

use std::time::Duration;

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weir_tests::client::media;
use weir_tests::{Problem, Server, wait};

use crate::SLOW;

#[tokio::test]
async fn a_sort_larger_than_its_memory_spills_and_answers() {
    let server = Server::builder()
        .config("[limits]\nquery_memory = \"32MB\"\nmemory = \"64MB\"\nspill = \"4GB\"\n")
        .start();
    let client = server.client();
    let sql = "SELECT value, repeat('x', 100) AS wide FROM generate_series(1, 1000000) AS g(value) \
               ORDER BY (value * 7919) % 1000003";
    let response = client.send(client.query(sql, media::CSV)).await;
    let id = response.headers()["weir-query-id"]
        .to_str()
        .unwrap()
        .to_owned();
    let body = response.bytes().await.unwrap();
    assert_eq!(
        body.iter().filter(|byte| **byte == b'\n').count(),
        1_000_001
    );
    let path = format!("/v1/queries/{id}");
    let query = client
        .document_of(client.request(Method::GET, &path))
        .await
        .unwrap();
    assert!(
        query["spilled_bytes"].as_u64().unwrap() > 0,
        "it did not spill: {query}"
    );
    server.stop();
}

#[tokio::test]
async fn what_cannot_spill_is_refused_and_hurts_nobody_else() {
    let server = Server::builder()
        .config("[limits]\nquery_memory = \"16MB\"\nmemory = \"64MB\"\n")
        .start();
    let client = server.client();
    let greedy = "SELECT array_agg(repeat('x', 1000) || value) AS all_of_it FROM generate_series(1, 1000000) AS g(value)";
    let problem = client.sql(greedy).await.unwrap_err();
    assert_eq!(problem.sqlstate(), "53200", "{problem}");
    assert!(problem.hint().is_some(), "{}", problem.body);
    assert_eq!(
        client
            .number("SELECT count(*) FROM generate_series(1, 100000)")
            .await,
        100_000
    );
    server.stop();
}

#[tokio::test]
async fn the_spill_has_a_cap() {
    let server = Server::builder()
        .config("[limits]\nquery_memory = \"16MB\"\nmemory = \"64MB\"\nspill = \"8MB\"\n")
        .start();
    let client = server.client();
    let sql = "SELECT value, repeat('x', 100) AS wide FROM generate_series(1, 1000000) AS g(value) ORDER BY (value * 7919) % 1000003 LIMIT 900000";
    let problem = client.sql(sql).await.unwrap_err();
    assert!(
        matches!(problem.sqlstate(), "53100" | "53200" | "53400"),
        "{problem}"
    );
    assert_eq!(client.number("SELECT 1").await, 1);
    server.stop();
}

#[tokio::test]
async fn the_wall_clock_counts_from_the_queue_to_the_last_byte() {
    let server = Server::start();
    let client = server.client();
    // While it computes.
    let body = json!({ "query": SLOW, "timeout_ms": 200 });
    let problem = client
        .rows_of(client.query_body(&body, media::JSON))
        .await
        .unwrap_err();
    assert_eq!(
        (problem.status, problem.sqlstate()),
        (422, "57014"),
        "{problem}"
    );
    // While the client does not read.
    let mut connection = TcpStream::connect(server.address()).await.unwrap();
    let body = json!({ "query": crate::LARGE, "timeout_ms": 1000 }).to_string();
    let request = format!(
        "POST /v1/sql HTTP/1.1\r\nhost: {}\r\naccept: text/csv\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        server.address(),
        body.len()
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut some = [0; 1000];
    connection.read_exact(&mut some).await.unwrap();
    wait::eventually("the query of the silent reader ends", async || {
        let running = client.running("'row '").await;
        wait::check(running.is_empty(), format!("{running:?}"))
    })
    .await;
    server.stop();
}

#[tokio::test]
async fn the_servers_timeout_cannot_be_raised() {
    let server = Server::builder()
        .config("[limits]\nquery_timeout = \"300ms\"\n")
        .start();
    let client = server.client();
    let body = json!({ "query": SLOW, "timeout_ms": 60_000 });
    let problem = client
        .rows_of(client.query_body(&body, media::JSON))
        .await
        .unwrap_err();
    assert_eq!(problem.sqlstate(), "57014", "{problem}");
    server.stop();
}

#[tokio::test]
async fn a_row_limit_cuts_and_says_so() {
    let server = Server::start();
    let client = server.client();
    let body = json!({ "query": crate::LARGE, "row_limit": 3 });
    let rows = client
        .rows_of(client.query_body(&body, media::JSON))
        .await
        .unwrap();
    assert_eq!(
        (rows.rows.len(), rows.row_count, rows.truncated),
        (3, 3, true)
    );
    // Exactly as many rows as allowed is not truncated.
    let body = json!({ "query": "SELECT * FROM generate_series(1, 3)", "row_limit": 3 });
    let rows = client
        .rows_of(client.query_body(&body, media::JSON))
        .await
        .unwrap();
    assert_eq!((rows.row_count, rows.truncated), (3, false));
    server.stop();
}

#[tokio::test]
async fn the_servers_bounds_on_rows_and_bytes_hold() {
    let server = Server::builder()
        .config("[limits]\nresult_rows = 1000\nresult_bytes = \"1MB\"\n")
        .start();
    let client = server.client();
    let problem = client.sql(crate::LARGE).await.unwrap_err();
    assert_eq!(problem.sqlstate(), "53400", "{problem}");
    assert!(
        problem.hint().unwrap().contains("limits.result_rows"),
        "{problem}"
    );
    assert_eq!(
        client
            .rows("SELECT * FROM generate_series(1, 1000)")
            .await
            .row_count,
        1000
    );
    let wide = "SELECT repeat('x', 100000) AS wide FROM generate_series(1, 500) AS g(value)";
    let problem = client.sql(wide).await.unwrap_err();
    assert_eq!(problem.sqlstate(), "53400", "{problem}");
    server.stop();
}

#[tokio::test]
async fn a_full_queue_is_429_with_a_time_to_come_back() {
    let server = Server::builder()
        .config("[limits]\nconcurrent_queries = 1\nqueued_queries = 1\nqueue_wait = \"60s\"\n")
        .start();
    let client = server.client();
    let run = || {
        let client = client.clone();
        tokio::spawn(async move { client.sql(SLOW).await })
    };
    let first = run();
    wait::eventually("one runs", async || {
        let running = client.in_state("AS slow", &["running"]).await;
        wait::check(running.len() == 1, "not yet")
    })
    .await;
    let second = run();
    wait::eventually("one waits", async || {
        let waiting = client.in_state("AS slow", &["queued"]).await;
        wait::check(waiting.len() == 1, "not yet")
    })
    .await;
    let problem = client.sql(SLOW).await.unwrap_err();
    assert_eq!(
        (problem.status, problem.sqlstate()),
        (429, "53300"),
        "{problem}"
    );
    let seconds: u64 = problem.retry_after.expect("Retry-After").parse().unwrap();
    assert!(seconds >= 1);
    first.abort();
    second.abort();
    wait::eventually("both are gone", async || {
        let running = client.running("AS slow").await;
        wait::check(running.is_empty(), format!("{running:?}"))
    })
    .await;
    assert_eq!(client.number("SELECT 1").await, 1);
    server.stop();
}

#[tokio::test]
async fn waiting_in_the_queue_has_an_end() {
    let server = Server::builder()
        .config("[limits]\nconcurrent_queries = 1\nqueued_queries = 5\nqueue_wait = \"200ms\"\n")
        .start();
    let client = server.client();
    let slow = client.clone();
    let first = tokio::spawn(async move { slow.sql(SLOW).await });
    wait::eventually("one runs", async || {
        let running = client.in_state("AS slow", &["running"]).await;
        wait::check(running.len() == 1, "not yet")
    })
    .await;
    let problem = client.sql(SLOW).await.unwrap_err();
    assert_eq!(problem.status, 429, "{problem}");
    first.abort();
    server.stop();
}

#[tokio::test]
async fn live_queries_have_their_own_bound() {
    let server = Server::builder()
        .config("[limits]\nlive_queries = 1\n")
        .start();
    let client = server.client();
    client.run(&["CREATE STREAM s (a INT)"]).await;
    let live = "SELECT * FROM s EMIT CHANGES";
    let first = client.send(client.query(live, media::NDJSON)).await;
    assert_eq!(first.status(), 200);
    let second = client.send(client.query(live, media::NDJSON)).await;
    let problem = Problem::of(second).await;
    assert_eq!(problem.status, 429, "{problem}");
    drop(first);
    wait::eventually("the place is free again", async || {
        let response = client.send(client.query(live, media::NDJSON)).await;
        wait::check(response.status() == 200, response.status())
    })
    .await;
    server.stop();
}

#[tokio::test]
async fn bodies_are_bounded_also_after_decompression() {
    let server = Server::builder()
        .config("[rest]\nbody_bytes = \"1MB\"\n")
        .start();
    let client = server.client();
    client.run(&["CREATE STREAM s (a TEXT)"]).await;
    let large = format!("{{\"a\":\"{}\"}}\n", "x".repeat(8 << 20));
    // The refusal reaches a client that is still sending, each time.
    for _ in 0..10 {
        let problem = client.ingest("s", large.clone()).await.unwrap_err();
        assert_eq!(problem.status, 413, "{problem}");
        let request = client
            .request(Method::POST, "/v1/topics/s/records")
            .header(CONTENT_TYPE, "text/plain")
            .body(large.clone());
        assert_eq!(Problem::of(client.send(request).await).await.status, 415);
    }
    let bomb = weir_tests::files::gzip(large.as_bytes());
    assert!(bomb.len() < 100_000);
    let request = client
        .request(Method::POST, "/v1/topics/s/records")
        .header(CONTENT_TYPE, media::NDJSON)
        .header("content-encoding", "gzip")
        .body(bomb);
    assert_eq!(Problem::of(client.send(request).await).await.status, 413);
    assert_eq!(client.number("SELECT count(*) FROM s").await, 0);
    server.stop();
}

#[tokio::test]
async fn connections_are_bounded_and_idle_ones_end() {
    let server = Server::builder()
        .config("[rest]\nconnections = 4\nheader_timeout = \"500ms\"\n")
        .start();
    let mut idle = Vec::new();
    for _ in 0..4 {
        idle.push(TcpStream::connect(server.address()).await.unwrap());
    }
    // Those that say nothing are let go, so that others get in.
    wait::within(
        Duration::from_secs(20),
        "a place is free again",
        async || match reqwest::get(format!("{}/livez", server.url())).await {
            Ok(response) => wait::check(response.status() == 200, response.status().to_string()),
            Err(error) => Err(error.to_string()),
        },
    )
    .await;
    drop(idle);
    server.stop();
}

#[tokio::test]
async fn deep_and_long_statements_do_not_crash_the_server() {
    let server = Server::start();
    let client = server.client();
    let nested = format!("SELECT {}1{}", "(".repeat(20_000), ")".repeat(20_000));
    let added = format!("SELECT 1{}", " + 1".repeat(50_000));
    let anded = format!("SELECT 1 WHERE true{}", " AND true".repeat(20_000));
    let subqueries = format!(
        "SELECT * FROM {}(SELECT 1 AS a){}",
        "(SELECT * FROM ".repeat(2_000),
        " AS t)".repeat(2_000)
    );
    let listed = format!("SELECT 1 WHERE 1 IN ({}1)", "1, ".repeat(50_000));
    let cases = format!(
        "SELECT {}1{}",
        "CASE WHEN true THEN ".repeat(5_000),
        " END".repeat(5_000)
    );
    for (name, sql) in [
        ("parentheses", nested),
        ("sum", added),
        ("and", anded),
        ("subqueries", subqueries),
        ("list", listed),
        ("case", cases),
    ] {
        if let Some(Err(problem)) = client.try_sql(&sql).await {
            assert!(
                matches!(problem.sqlstate(), "54001" | "54000" | "42601" | "53200"),
                "{name}: {problem}"
            );
        }
        assert_eq!(
            client.number("SELECT 1").await,
            1,
            "{name} took the server down"
        );
    }
    server.stop();
}
