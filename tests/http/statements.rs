//! Submitted statements: submit, poll, page, cancel.

use reqwest::Method;
use reqwest::header::{ACCEPT, LINK, LOCATION};
use serde_json::{Value, json};
use weir_tests::client::media;
use weir_tests::{Client, Problem, Rows, Server, wait};

use crate::SLOW;

async fn submit(client: &Client, sql: &str) -> String {
    let request = client
        .request(Method::POST, "/v1/statements")
        .json(&json!({ "query": sql }));
    let response = client.send(request).await;
    assert_eq!(response.status(), 202, "{sql}");
    let location = response.headers()[LOCATION].to_str().unwrap().to_owned();
    let body: Value = response.json().await.unwrap();
    assert_eq!(
        location,
        format!("/v1/statements/{}", body["id"].as_str().unwrap())
    );
    location
}

async fn get(client: &Client, path: &str) -> Value {
    client
        .document_of(client.request(Method::GET, path))
        .await
        .unwrap_or_else(|problem| panic!("{path}: {problem}"))
}

#[tokio::test]
async fn a_statement_runs_by_itself_and_its_rows_are_paged() {
    let server = Server::start();
    let client = server.client();
    let sql = "SELECT value AS n FROM generate_series(1, 25) AS g(value) ORDER BY n";
    let statement = submit(&client, sql).await;
    let document = get(&client, &format!("{statement}?wait_ms=30000")).await;
    assert_eq!(document["state"], "finished", "{document}");
    assert_eq!(document["row_count"], 25);
    assert_eq!(document["truncated"], false);
    assert_eq!(document["sql"], sql);
    assert_eq!(document["columns"][0]["name"], "n");
    assert_eq!(document["progress"]["rows"], 25);
    let mut path = format!("{}?limit=10", document["rows"].as_str().unwrap());
    let mut pages = Vec::new();
    loop {
        let response = client.send(client.request(Method::GET, &path)).await;
        let next = response.headers().get(LINK).map(|link| {
            let link = link.to_str().unwrap();
            let (target, relation) = link.split_once(';').unwrap();
            assert_eq!(relation.trim(), "rel=\"next\"");
            target.trim_matches(['<', '>']).to_owned()
        });
        let page = Rows::from_json(&response.json().await.unwrap());
        pages.push(page.rows.len());
        match next {
            Some(next) => path = next,
            None => break,
        }
    }
    assert_eq!(pages, [10, 10, 5]);
    // Any page, again, in another format.
    let request = client
        .request(Method::GET, &format!("{statement}/rows?offset=23"))
        .header(ACCEPT, media::CSV);
    assert_eq!(
        client.send(request).await.text().await.unwrap(),
        "n\n24\n25\n"
    );
    server.stop();
}

#[tokio::test]
async fn a_command_and_a_failure_are_told_by_the_document() {
    let server = Server::start();
    let client = server.client();
    let statement = submit(&client, "CREATE TABLE t (a INT)").await;
    let document = get(&client, &format!("{statement}?wait_ms=30000")).await;
    assert_eq!(document["command"], "CREATE TABLE", "{document}");
    assert_eq!(client.number("SELECT count(*) FROM t").await, 0);
    let statement = submit(
        &client,
        "SELECT 1 / (value - 3) FROM generate_series(1, 5) AS g(value)",
    )
    .await;
    let document = get(&client, &format!("{statement}?wait_ms=30000")).await;
    assert_eq!(document["state"], "failed");
    assert_eq!(document["error"]["sqlstate"], "22012", "{document}");
    let rows = client.request(Method::GET, &format!("{statement}/rows"));
    let problem = Problem::of(client.send(rows).await).await;
    assert_eq!(problem.sqlstate(), "22012");
    server.stop();
}

#[tokio::test]
async fn a_running_statement_shows_progress_and_can_be_cancelled() {
    let server = Server::start();
    let client = server.client();
    let statement = submit(&client, SLOW).await;
    wait::eventually("the statement runs", async || {
        let document = get(&client, &statement).await;
        wait::check(document["state"] == "running", document)
    })
    .await;
    let document = get(&client, &statement).await;
    assert!(document["progress"]["elapsed_ms"].is_u64(), "{document}");
    let response = client
        .send(client.request(Method::DELETE, &statement))
        .await;
    assert_eq!(response.status(), 204);
    wait::eventually("its query stops", async || {
        let running = client.running("AS slow").await;
        wait::check(running.is_empty(), format!("{running:?}"))
    })
    .await;
    let response = client.send(client.request(Method::GET, &statement)).await;
    assert_eq!(Problem::of(response).await.status, 404);
    server.stop();
}

#[tokio::test]
async fn a_submitted_result_is_bounded_on_disk() {
    let server = Server::builder()
        .config("[rest]\nstatement_bytes = \"1MB\"\n")
        .start();
    let client = server.client();
    let sql = "SELECT repeat('x', 1000) AS wide FROM generate_series(1, 100000) AS g(value)";
    let statement = submit(&client, sql).await;
    let document = get(&client, &format!("{statement}?wait_ms=60000")).await;
    assert_eq!(document["state"], "failed", "{document}");
    let detail = document["error"]["hint"].to_string() + &document["error"]["detail"].to_string();
    assert!(
        detail.contains("statement_bytes") || detail.contains("1MB"),
        "{document}"
    );
    server.stop();
}

#[tokio::test]
async fn a_live_query_cannot_be_submitted() {
    let server = Server::start();
    let client = server.client();
    client.run(&["CREATE STREAM s (a INT)"]).await;
    let statement = submit(&client, "SELECT * FROM s EMIT CHANGES").await;
    let document = get(&client, &format!("{statement}?wait_ms=30000")).await;
    assert_eq!(document["state"], "failed");
    assert_eq!(document["error"]["sqlstate"], "0A000", "{document}");
    server.stop();
}
