//! What each endpoint answers to wrong requests: the whole problem document, as a table a person can read.
//!
//! The tables are snapshots under `snapshots/`; `INSTA_UPDATE=always` writes them anew, to be read before they are
//! committed.

use std::fmt::Write;

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use weir_tests::client::media;
use weir_tests::{Client, Server};

/// A wrong request, in short.
struct Wrong {
    method: Method,
    path: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: String,
}

fn wrong(method: Method, path: &'static str) -> Wrong {
    Wrong {
        method,
        path,
        headers: &[],
        body: String::new(),
    }
}

impl Wrong {
    fn body(mut self, body: impl Into<String>) -> Self {
        self.body = body.into();
        self
    }

    fn json(mut self, body: &Value) -> Self {
        self.headers = &[("content-type", "application/json")];
        self.body(body.to_string())
    }

    fn headers(mut self, headers: &'static [(&'static str, &'static str)]) -> Self {
        self.headers = headers;
        self
    }
}

async fn table(client: &Client, requests: Vec<Wrong>) -> String {
    let mut table = String::new();
    for wrong in requests {
        let mut request = client.request(wrong.method.clone(), wrong.path);
        for (name, value) in wrong.headers {
            request = request.header(*name, *value);
        }
        let response = client.send(request.body(wrong.body.clone())).await;
        let status = response.status().as_u16();
        let media = response
            .headers()
            .get(CONTENT_TYPE)
            .map(|value| value.to_str().unwrap().to_owned())
            .unwrap_or_default();
        let allow = response
            .headers()
            .get("allow")
            .map(|value| value.to_str().unwrap().to_owned());
        let text = response.text().await.unwrap();
        assert!(
            status >= 400,
            "{} {} {:?} was not wrong: {text}",
            wrong.method,
            wrong.path,
            wrong.body
        );
        assert!(
            status < 500,
            "{} {} {:?} broke the server: {text}",
            wrong.method,
            wrong.path,
            wrong.body
        );
        assert_eq!(
            media,
            media::PROBLEM,
            "{} {} {text}",
            wrong.method,
            wrong.path
        );
        let mut document: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["status"], status, "{document}");
        for id in ["query_id", "instance"] {
            if !document[id].is_null() {
                document[id] = json!("…");
            }
        }
        let headers: Vec<String> = wrong
            .headers
            .iter()
            .map(|(name, value)| format!(" [{name}: {value}]"))
            .collect();
        writeln!(
            table,
            "{} {}{} {}",
            wrong.method,
            wrong.path,
            headers.concat(),
            wrong.body.escape_debug()
        )
        .unwrap();
        if let Some(allow) = allow {
            writeln!(table, "  allow: {allow}").unwrap();
        }
        writeln!(table, "  {document}").unwrap();
    }
    table
}

#[tokio::test]
async fn sql() {
    let server = Server::start();
    let client = server.client();
    client
        .run(&["CREATE STREAM bids (auction BIGINT, price BIGINT)"])
        .await;
    let post = |body: Value| wrong(Method::POST, "/v1/sql").json(&body);
    let requests = vec![
        wrong(Method::POST, "/v1/sql"),
        wrong(Method::POST, "/v1/sql").body("   "),
        wrong(Method::POST, "/v1/sql").body("SELEKT 1"),
        wrong(Method::POST, "/v1/sql").body("SELECT prise\nFROM bids"),
        wrong(Method::POST, "/v1/sql").body("SELECT * FROM bid"),
        wrong(Method::POST, "/v1/sql").body("SELECT 1; SELECT 2"),
        wrong(Method::POST, "/v1/sql").body("SELECT 1 / 0"),
        wrong(Method::POST, "/v1/sql").body("SELECT * FROM bids EMIT ON WINDOW CLOSE"),
        wrong(Method::POST, "/v1/sql")
            .headers(&[("content-type", "application/json")])
            .body("{"),
        wrong(Method::POST, "/v1/sql")
            .headers(&[("content-type", "application/xml")])
            .body("<q/>"),
        wrong(Method::POST, "/v1/sql")
            .headers(&[("content-type", "text/plain; charset=utf-16")])
            .body("SELECT 1"),
        wrong(Method::POST, "/v1/sql")
            .headers(&[("accept", "image/png")])
            .body("SELECT 1"),
        wrong(Method::POST, "/v1/sql?format=xlsx").body("SELECT 1"),
        wrong(Method::POST, "/v1/sql?fromat=csv").body("SELECT 1"),
        wrong(Method::POST, "/v1/sql")
            .headers(&[("accept", "application/vnd.apache.parquet")])
            .body("SELECT * FROM bids EMIT CHANGES"),
        wrong(Method::POST, "/v1/sql")
            .headers(&[("last-event-id", "nonsense")])
            .body("SELECT * FROM bids EMIT CHANGES"),
        wrong(Method::POST, "/v1/sql")
            .headers(&[("last-event-id", "bids:99")])
            .body("SELECT * FROM bids EMIT CHANGES"),
        wrong(Method::POST, "/v1/sql")
            .headers(&[("content-encoding", "br")])
            .body("SELECT 1"),
        post(json!({})),
        post(json!([])),
        post(json!({ "query": 1 })),
        post(json!({ "query": "SELECT 1", "querry": "" })),
        post(json!({ "query": "SELECT 1", "parameters": 1 })),
        post(json!({ "query": "SELECT $1", "parameters": [] })),
        post(json!({ "query": "SELECT 1", "parameters": [1] })),
        post(
            json!({ "query": "SELECT $1", "parameters": [{ "type": "date", "value": "yesterday" }] }),
        ),
        post(
            json!({ "query": "SELECT $1", "parameters": [{ "type": "dat", "value": "2024-01-01" }] }),
        ),
        post(json!({ "query": "SELECT $1", "parameters": [{ "a": 1 }] })),
        post(json!({ "query": "SELECT $1", "parameters": [[1, "a"]] })),
        post(json!({ "query": "SELECT 1", "session": "no-such" })),
        post(json!({ "query": "SELECT 1", "timeout_ms": 0 })),
        post(json!({ "query": "SELECT 1", "timeout_ms": -5 })),
        post(json!({ "query": "SELECT 1", "row_limit": "ten" })),
        post(json!({ "query": "SELECT 1", "resume": "bids:0" })),
        wrong(Method::GET, "/v1/sql"),
        wrong(Method::GET, "/v1/sql?q="),
        wrong(Method::GET, "/v1/sql?q=INSERT+INTO+bids+VALUES+(1,1)"),
        wrong(Method::GET, "/v1/sql?q=SELECT+1&q=SELECT+2"),
        wrong(Method::GET, "/v1/sql?q=SELECT+1&timeout_ms=soon"),
        wrong(Method::PUT, "/v1/sql"),
        wrong(Method::DELETE, "/v1/sql"),
    ];
    insta::assert_snapshot!(table(&client, requests).await);
    server.stop();
}

#[tokio::test]
async fn ingest() {
    let server = Server::start();
    let client = server.client();
    client
        .run(&[
            "CREATE STREAM bids (auction BIGINT NOT NULL, price BIGINT CHECK (price > 0))",
            "CREATE TABLE users (id INT PRIMARY KEY)",
            "CREATE VIEW v AS SELECT * FROM bids",
            "INSERT INTO users VALUES (1)",
            "CREATE STREAM orders (id BIGINT)",
        ])
        .await;
    let order = client
        .request(Method::POST, "/v1/topics/orders/records")
        .header(CONTENT_TYPE, media::NDJSON)
        .header("idempotency-key", "order-1")
        .body("{\"id\":1}");
    client.document_of(order).await.unwrap();
    let post = || {
        wrong(Method::POST, "/v1/topics/bids/records")
            .headers(&[("content-type", "application/x-ndjson")])
    };
    let requests = vec![
        wrong(Method::POST, "/v1/topics/bids/records").body("{\"auction\":1}"),
        wrong(Method::POST, "/v1/topics/bids/records")
            .headers(&[("content-type", "text/plain")])
            .body("x"),
        wrong(Method::POST, "/v1/topics/nothing/records")
            .headers(&[("content-type", "application/x-ndjson")])
            .body("{}"),
        wrong(Method::POST, "/v1/topics/bid/records")
            .headers(&[("content-type", "application/x-ndjson")])
            .body("{}"),
        wrong(Method::POST, "/v1/topics/v/records")
            .headers(&[("content-type", "application/x-ndjson")])
            .body("{}"),
        wrong(Method::POST, "/v1/topics/users/records")
            .headers(&[("content-type", "application/x-ndjson")])
            .body("{\"id\":1}"),
        wrong(Method::POST, "/v1/topics/users/records")
            .headers(&[("content-type", "application/x-ndjson")])
            .body("{\"id\":2}\n{\"id\":2}"),
        wrong(Method::POST, "/v1/topics/users/records")
            .headers(&[
                ("content-type", "application/x-ndjson"),
                ("idempotency-key", "k"),
            ])
            .body("{\"id\":2}"),
        wrong(Method::POST, "/v1/topics/orders/records")
            .headers(&[
                ("content-type", "application/x-ndjson"),
                ("idempotency-key", "order-1"),
            ])
            .body("{\"id\":2}"),
        wrong(Method::POST, "/v1/topics/a%2Fb/records")
            .headers(&[("content-type", "application/x-ndjson")])
            .body("{}"),
        post().body("not json"),
        post().body("{\"auction\":1}\n{\"auction\":"),
        post().body("{\"auction\":1}\n{\"auction\":\"x\"}"),
        post().body("{\"auction\":1}\n{\"price\":1}"),
        post().body("{\"auction\":1,\"price\":0}"),
        post().body("{\"auction\":1,\"prise\":1}"),
        post().body("{\"auction\":1,\"_offset\":1}"),
        post().body("[1]"),
        wrong(Method::POST, "/v1/topics/bids/records")
            .headers(&[("content-type", "text/csv")])
            .body("auction,price\n1,x\n"),
        wrong(Method::POST, "/v1/topics/bids/records")
            .headers(&[("content-type", "text/csv")])
            .body("auction,prise\n1,2\n"),
        wrong(Method::POST, "/v1/topics/bids/records")
            .headers(&[("content-type", "application/vnd.apache.arrow.stream")])
            .body("not arrow"),
        wrong(Method::POST, "/v1/topics/bids/records")
            .headers(&[
                ("content-type", "application/x-ndjson"),
                ("content-encoding", "gzip"),
            ])
            .body("{}"),
        wrong(Method::POST, "/v1/topics/bids/records")
            .headers(&[
                ("content-type", "application/x-ndjson"),
                (
                    "idempotency-key",
                    "0123456789012345678901234567890123456789012345678901234567890123456789",
                ),
            ])
            .body("{\"auction\":1}"),
        wrong(Method::POST, "/v1/topics/bids/records?formt=csv")
            .headers(&[("content-type", "application/x-ndjson")])
            .body("{\"auction\":1}"),
        wrong(Method::GET, "/v1/topics/bids/records"),
    ];
    insta::assert_snapshot!(table(&client, requests).await);
    assert_eq!(client.number("SELECT count(*) FROM bids").await, 0);
    server.stop();
}

#[tokio::test]
async fn statements_sessions_and_queries() {
    let server = Server::start();
    let client = server.client();
    let requests = vec![
        wrong(Method::POST, "/v1/statements"),
        wrong(Method::POST, "/v1/statements").json(&json!({ "query": "" })),
        wrong(Method::POST, "/v1/statements").json(&json!({ "query": "SELECT 1", "session": "x" })),
        wrong(Method::POST, "/v1/statements")
            .json(&json!({ "query": "SELECT 1", "resume": "a:1" })),
        wrong(Method::GET, "/v1/statements/none"),
        wrong(
            Method::GET,
            "/v1/statements/00000000-0000-7000-8000-000000000000",
        ),
        wrong(
            Method::GET,
            "/v1/statements/00000000-0000-7000-8000-000000000000/rows",
        ),
        wrong(
            Method::GET,
            "/v1/statements/00000000-0000-7000-8000-000000000000/rows?limit=0",
        ),
        wrong(
            Method::GET,
            "/v1/statements/00000000-0000-7000-8000-000000000000/rows?offset=-1",
        ),
        wrong(Method::DELETE, "/v1/statements/none"),
        wrong(Method::PUT, "/v1/statements"),
        wrong(Method::DELETE, "/v1/sessions/none"),
        wrong(Method::GET, "/v1/sessions"),
        wrong(Method::GET, "/v1/queries/none"),
        wrong(
            Method::DELETE,
            "/v1/queries/00000000-0000-7000-8000-000000000000",
        ),
        wrong(Method::POST, "/v1/queries"),
        wrong(Method::GET, "/v1/live"),
        wrong(Method::GET, "/v1/nothing"),
        wrong(Method::GET, "/v2/sql"),
        wrong(Method::POST, "/livez"),
        wrong(Method::POST, "/metrics"),
    ];
    insta::assert_snapshot!(table(&client, requests).await);
    server.stop();
}

#[tokio::test]
async fn a_request_that_is_no_http_is_answered_or_cut_and_nothing_else_happens() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let server = Server::start();
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/sql HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST /v1/sql HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /\0 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"\r\n\r\n\r\n\r\n",
    ] {
        let mut connection = tokio::net::TcpStream::connect(server.address()).await.unwrap();
        connection.write_all(bytes).await.unwrap();
        let _ = connection.shutdown().await;
        let mut answer = Vec::new();
        let _ = connection.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1."), "{answer}");
        assert!(!answer.starts_with("HTTP/1.1 5"), "{answer}");
    }
    assert_eq!(server.client().number("SELECT 1").await, 1);
    server.stop();
}
