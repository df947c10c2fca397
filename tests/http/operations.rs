//! What an operator meets: start, stop, health, metrics, the API's description, refused binds.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use weir_tests::client::media;
use weir_tests::{Client, Server, wait};

async fn text(client: &Client, path: &str) -> (u16, String) {
    let response = client.send(client.request(Method::GET, path)).await;
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test]
async fn health_and_metrics() {
    let server = Server::start();
    let client = server.client();
    assert_eq!(text(&client, "/livez").await.0, 200);
    assert_eq!(text(&client, "/readyz").await.0, 200);
    client.run(&["CREATE STREAM s (a INT)", "SELECT 1"]).await;
    client.ingest("s", "{\"a\":1}\n{\"a\":2}\n").await.unwrap();
    let (status, metrics) = text(&client, "/metrics").await;
    assert_eq!(status, 200);
    for line in metrics.lines() {
        let well_formed = line.starts_with("# ")
            || line.is_empty()
            || line
                .rsplit_once(' ')
                .is_some_and(|(_, value)| value.parse::<f64>().is_ok());
        assert!(well_formed, "{line:?}");
    }
    assert!(metrics.contains("weir_"), "{metrics}");
    assert!(metrics.trim_end().ends_with("# EOF") || !metrics.contains("# EOF"));
    server.stop();
}

#[tokio::test]
async fn records_that_cannot_be_decoded_are_counted() {
    let server = Server::start();
    let client = server.client();
    client
        .run(&[
            "CREATE STREAM wire WITH (format = 'raw')",
            "CREATE STREAM s (a INT) WITH (topic = 'wire', on_error = 'dead_letter')",
            "INSERT INTO wire VALUES ('{}'), ('no json'), ('neither')",
            "SELECT a FROM s",
            "SELECT a FROM s",
        ])
        .await;
    wait::eventually("both are counted each time, and copied", async || {
        let (_, metrics) = text(&client, "/metrics").await;
        let counted = |line: &str| metrics.lines().any(|have| have == line);
        let holds = counted("weir_decode_errors_total{topic=\"wire\"} 4")
            && counted("weir_dead_letters_total{topic=\"wire\"} 2");
        wait::check(holds, metrics)
    })
    .await;
    server.stop();
}

#[tokio::test]
async fn the_openapi_document_names_every_path() {
    let server = Server::start();
    let (status, document) = text(&server.client(), "/openapi.json").await;
    assert_eq!(status, 200);
    let document: Value = serde_json::from_str(&document).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    let paths = document["paths"].as_object().unwrap();
    for path in [
        "/v1/sql",
        "/v1/statements",
        "/v1/statements/{id}",
        "/v1/statements/{id}/rows",
        "/v1/sessions",
        "/v1/topics/{name}/records",
        "/v1/queries",
        "/v1/queries/{id}",
        "/v1/live",
        "/livez",
        "/readyz",
        "/metrics",
    ] {
        assert!(paths.contains_key(path), "{path} is not described");
    }
    server.stop();
}

#[tokio::test]
async fn a_restart_keeps_everything() {
    let server = Server::start();
    let client = server.client();
    client
        .run(&[
            "CREATE STREAM s (a INT) WITH (partitions = 2)",
            "CREATE TABLE t (k INT PRIMARY KEY, v TEXT)",
            "CREATE VIEW v AS SELECT a FROM s WHERE a > 1",
            "INSERT INTO s VALUES (1), (2), (3)",
            "INSERT INTO t VALUES (1, 'a'), (2, 'b')",
            "UPDATE t SET v = 'c' WHERE k = 1",
            "DELETE FROM t WHERE k = 2",
        ])
        .await;
    let server = server.stop().start();
    let client = server.client();
    assert_eq!(client.number("SELECT sum(a) FROM v").await, 5);
    let rows = client.rows("SELECT * FROM t").await;
    assert_eq!(rows.rows, [[Value::from(1), Value::from("c")]]);
    client.run(&["INSERT INTO s VALUES (4)"]).await;
    assert_eq!(client.number("SELECT count(*) FROM s").await, 4);
    server.stop();
}

#[tokio::test]
async fn sigterm_lets_a_running_query_finish() {
    let server = Server::start();
    let client = server.client();
    let sql = "SELECT value FROM generate_series(1, 2000000) AS g(value) ORDER BY value % 1000";
    let response = client.send(client.query(sql, media::CSV)).await;
    assert_eq!(response.status(), 200);
    let reader = tokio::spawn(async move { response.bytes().await });
    let stopped = tokio::task::spawn_blocking(move || server.stop());
    let body = reader.await.unwrap().expect("the answer came whole");
    assert_eq!(
        body.iter().filter(|byte| **byte == b'\n').count(),
        2_000_001
    );
    stopped.await.unwrap();
}

#[tokio::test]
async fn sigterm_ends_live_queries() {
    let server = Server::start();
    let client = server.client();
    client.run(&["CREATE STREAM s (a INT)"]).await;
    let live = client
        .send(client.query("SELECT * FROM s EMIT CHANGES", media::NDJSON))
        .await;
    assert_eq!(live.status(), 200);
    tokio::task::spawn_blocking(move || server.stop())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_second_server_on_the_same_folder_is_refused() {
    let first = Server::start();
    let (status, said) = Server::builder().data_dir(first.folder()).refused();
    assert!(!status.success());
    assert!(said.contains("use") || said.contains("lock"), "{said}");
    assert_eq!(first.client().number("SELECT 1").await, 1);
    first.stop();
}

#[tokio::test]
async fn a_public_bind_without_credentials_is_refused() {
    for address in ["0.0.0.0:0", "[::]:0"] {
        let (status, said) = Server::builder().arg("--http").arg(address).refused();
        assert!(!status.success(), "{address}");
        assert!(
            said.contains("credentials") || said.contains("loopback"),
            "{address}: {said}"
        );
    }
}

#[tokio::test]
async fn wrong_flags_and_settings_are_refused_with_what_was_meant() {
    let (_, said) = Server::builder()
        .config("[limits]\nmemorry = \"1GB\"\n")
        .refused();
    assert!(
        said.contains("memorry") && said.contains("limits.memory"),
        "{said}"
    );
    let (_, said) = Server::builder()
        .config("[limits]\nmemory = \"lots\"\n")
        .refused();
    assert!(said.contains("limits.memory"), "{said}");
    let (_, said) = Server::builder().arg("--postgres").arg("nowhere").refused();
    assert!(
        said.contains("nowhere") && said.contains("host:port"),
        "{said}"
    );
    let (_, said) = Server::builder().env("WEIR_LIMITS_MEMRY", "1GB").refused();
    assert!(said.contains("WEIR_LIMITS_MEMRY"), "{said}");
}

#[tokio::test]
async fn flags_win_over_the_environment_and_that_over_the_file() {
    let server = Server::builder()
        .config("[limits]\nresult_rows = 1\n")
        .env("WEIR_LIMITS_RESULT_ROWS", "2")
        .start();
    let problem = server
        .client()
        .sql("SELECT * FROM generate_series(1, 10)")
        .await
        .unwrap_err();
    assert!(problem.detail().contains("more than 2 rows"), "{problem}");
    server.stop();
}

#[tokio::test]
async fn a_browser_page_from_elsewhere_cannot_use_the_server() {
    let server = Server::start();
    let client = server.client();
    for (header, value) in [
        ("origin", "https://evil.example"),
        ("host", "evil.example"),
        ("sec-fetch-site", "cross-site"),
    ] {
        let request = client.query("SELECT 1", media::JSON).header(header, value);
        let response = client.send(request).await;
        let open = response
            .headers()
            .get("access-control-allow-origin")
            .cloned();
        assert!(open.is_none(), "{header}: {open:?}");
        if header == "host" {
            assert!(
                response.status().is_client_error(),
                "a rebound name was served: {}",
                response.status()
            );
        }
    }
    server.stop();
}

#[tokio::test]
async fn the_query_list_shows_ended_ones_too() {
    let server = Server::start();
    let client = server.client();
    client.run(&["SELECT 1 AS done_query"]).await;
    let _ = client.sql("SELECT 1 / 0 AS failed_query").await;
    wait::within(Duration::from_secs(20), "both are listed", async || {
        let queries = client.queries().await;
        let state = |piece: &str| {
            queries
                .iter()
                .find(|query| query["sql"].as_str().is_some_and(|sql| sql.contains(piece)))
                .map(|query| query["state"].clone())
        };
        let states = (state("done_query"), state("failed_query"));
        let wanted = (Some(Value::from("finished")), Some(Value::from("failed")));
        wait::check(states == wanted, format!("{states:?}"))
    })
    .await;
    server.stop();
}
