//! `POST /v1/topics/{name}/records`: all rows or none, durable when it answers.

use reqwest::Method;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde_json::{Value, json};
use weir_tests::client::media;
use weir_tests::{Client, Problem, Server, files};

fn records(
    client: &Client,
    topic: &str,
    media: &str,
    body: impl Into<reqwest::Body>,
) -> reqwest::RequestBuilder {
    client
        .request(Method::POST, &format!("/v1/topics/{topic}/records"))
        .header(CONTENT_TYPE, media)
        .body(body)
}

#[tokio::test]
async fn ndjson_csv_arrow_and_parquet_write_the_same_rows() {
    let server = Server::start();
    let client = server.client();
    let columns = "(id BIGINT, city TEXT, distance DOUBLE, day DATE, fast BOOLEAN, fare DECIMAL(10,2), at TIMESTAMP)";
    let batch = files::batch(&files::trips(50));
    for (stream, media, body) in [
        ("from_ndjson", media::NDJSON, files::ndjson(&batch)),
        ("from_csv", media::CSV, files::csv(&batch)),
        ("from_arrow", media::ARROW, files::arrow_stream(&batch)),
        ("from_parquet", media::PARQUET, files::parquet(&batch, 20)),
    ] {
        client
            .run(&[&format!("CREATE STREAM {stream} {columns}")])
            .await;
        let answer = client
            .document_of(records(&client, stream, media, body))
            .await
            .unwrap_or_else(|problem| panic!("{stream}: {problem}"));
        assert_eq!(
            answer,
            json!({
                "rows": 50,
                "partitions": [{ "partition": 0, "base_offset": 0, "end_offset": 50 }],
                "duplicate": false,
            }),
            "{stream}"
        );
    }
    for other in ["from_csv", "from_arrow", "from_parquet"] {
        let sql = format!(
            "SELECT count(*) FROM (SELECT * FROM from_ndjson EXCEPT SELECT * FROM {other}) AS missing"
        );
        assert_eq!(client.number(&sql).await, 0, "{other}");
        let sql = format!(
            "SELECT count(*) FROM (SELECT * FROM {other} EXCEPT SELECT * FROM from_ndjson) AS added"
        );
        assert_eq!(client.number(&sql).await, 0, "{other}");
    }
    assert_eq!(
        client
            .number("SELECT count(*) FROM from_ndjson WHERE city IS NULL")
            .await,
        7
    );
    server.stop();
}

#[tokio::test]
async fn the_first_wrong_row_is_named_and_none_is_written() {
    let server = Server::start();
    let client = server.client();
    client
        .run(&["CREATE STREAM s (id INT NOT NULL, price DOUBLE, at TIMESTAMP, CHECK (price >= 0))"])
        .await;
    let cases: &[(&str, &str, u64, Option<&str>, &str)] = &[
        (media::NDJSON, "{\"id\":1}\n{\"id\":2", 2, None, "22P02"),
        (
            media::NDJSON,
            "{\"id\":1}\n\n{\"id\":\"two\"}\n",
            2,
            Some("id"),
            "22P02",
        ),
        (
            media::NDJSON,
            "{\"id\":1}\n{\"price\":2}\n",
            2,
            Some("id"),
            "23502",
        ),
        (
            media::NDJSON,
            "{\"id\":1}\n{\"id\":null}\n",
            2,
            Some("id"),
            "23502",
        ),
        (media::NDJSON, "{\"id\":1,\"price\":-1}\n", 1, None, "23514"),
        (
            media::NDJSON,
            "{\"id\":1,\"at\":\"yesterday\"}\n",
            1,
            Some("at"),
            "22P02",
        ),
        (
            media::NDJSON,
            "{\"id\":3000000000}\n",
            1,
            Some("id"),
            "22003",
        ),
        (media::NDJSON, "[1,2]\n", 1, None, "22P02"),
        (
            media::NDJSON,
            "{\"id\":1}\n{\"id\":2}{\"id\":3}\n",
            2,
            None,
            "22P02",
        ),
        (
            media::CSV,
            "id,price\n1,2\n2,x\n",
            2,
            Some("price"),
            "22P02",
        ),
        (media::CSV, "id,price\n1,2\n,3\n", 2, Some("id"), "23502"),
        (media::CSV, "id,price\n1,2,3\n", 1, None, "22P02"),
    ];
    for (media, body, row, column, sqlstate) in cases {
        let response = client.send(records(&client, "s", media, *body)).await;
        let problem = Problem::of(response).await;
        assert_eq!(problem.status, 400, "{body:?}: {problem}");
        assert_eq!(
            problem.body["row"],
            json!(row),
            "{body:?}: {}",
            problem.body
        );
        assert_eq!(
            problem.body["column"].as_str(),
            *column,
            "{body:?}: {}",
            problem.body
        );
        assert_eq!(problem.sqlstate(), *sqlstate, "{body:?}: {problem}");
    }
    assert_eq!(client.number("SELECT count(*) FROM s").await, 0);
    server.stop();
}

#[tokio::test]
async fn unknown_columns_are_an_error_and_missing_ones_have_their_default() {
    let server = Server::start();
    let client = server.client();
    client
        .run(&["CREATE STREAM s (a INT, b TEXT DEFAULT 'none', c TIMESTAMP DEFAULT now())"])
        .await;
    client.ingest("s", "{\"a\":1}\n").await.unwrap();
    let rows = client.rows("SELECT a, b, c IS NOT NULL AS c FROM s").await;
    assert_eq!(rows.rows, [[json!(1), json!("none"), json!(true)]]);
    let problem = client
        .ingest("s", "{\"a\":1,\"bb\":2}\n")
        .await
        .unwrap_err();
    assert!(problem.detail().contains("\"bb\""), "{problem}");
    server.stop();
}

#[tokio::test]
async fn an_idempotency_key_appends_once() {
    let server = Server::start();
    let client = server.client();
    client
        .run(&["CREATE STREAM s (a INT) WITH (partitions = 3)"])
        .await;
    let send = async |client: &Client, key: &str, body: &'static str| -> Value {
        let request = records(client, "s", media::NDJSON, body).header("idempotency-key", key);
        client.document_of(request).await.unwrap()
    };
    let first = send(&client, "order-1", "{\"a\":1}\n{\"a\":2}\n").await;
    assert_eq!(first["duplicate"], false);
    let again = send(&client, "order-1", "{\"a\":1}\n{\"a\":2}\n").await;
    assert_eq!(again["duplicate"], true);
    assert_eq!(again["partitions"], first["partitions"]);
    send(&client, "order-2", "{\"a\":1}\n{\"a\":2}\n").await;
    assert_eq!(client.number("SELECT count(*) FROM s").await, 4);
    // Across a restart, and a crash.
    let server = server.stop().start();
    let again = send(&server.client(), "order-1", "{\"a\":1}\n{\"a\":2}\n").await;
    assert_eq!(again["duplicate"], true);
    let server = server.kill().start();
    let client = server.client();
    let again = send(&client, "order-2", "{\"a\":1}\n{\"a\":2}\n").await;
    assert_eq!(again["duplicate"], true);
    assert_eq!(client.number("SELECT count(*) FROM s").await, 4);
    server.stop();
}

#[tokio::test]
async fn a_key_with_another_body_is_refused_and_writes_nothing() {
    let mut server = Server::start();
    server
        .client()
        .run(&[
            "CREATE STREAM s (a INT, at TIMESTAMP DEFAULT now()) WITH (partitions = 3)",
            // Rows go by key, so that another body need not meet the first in a partition.
            "CREATE STREAM keyed (a INT) WITH (partitions = 8, key = 'a')",
        ])
        .await;
    let send = |client: &Client, stream: &'static str, body: &'static str| {
        let client = client.clone();
        async move {
            let request =
                records(&client, stream, media::NDJSON, body).header("idempotency-key", "order-1");
            client.document_of(request).await
        }
    };
    let first = "{\"a\":1}\n{\"a\":2}\n";
    for round in ["at once", "after a stop", "after a crash"] {
        let client = server.client();
        for stream in ["s", "keyed"] {
            // The same body is the same request, though `now()` is another.
            let answer = send(&client, stream, first).await.unwrap();
            assert_eq!(answer["duplicate"], round != "at once", "{stream} {round}");
            for other in [
                "{\"a\":1}\n{\"a\":3}\n",
                "{\"a\":1}\n",
                "{\"a\":4}\n{\"a\":5}\n{\"a\":6}\n{\"a\":7}\n",
            ] {
                let problem = send(&client, stream, other).await.unwrap_err();
                assert_eq!(
                    (problem.status, problem.sqlstate()),
                    (409, "23000"),
                    "{stream} {round}: {problem}"
                );
                assert!(problem.detail().contains("order-1"), "{problem}");
            }
            let count = format!("SELECT count(*) FROM {stream}");
            assert_eq!(client.number(&count).await, 2, "{stream} {round}");
        }
        server = match round {
            "at once" => server.stop().start(),
            _ => server.kill().start(),
        };
    }
    server.stop();
}

#[tokio::test]
async fn one_key_at_once_from_many_appends_once() {
    let server = Server::start();
    let client = server.client();
    client.run(&["CREATE STREAM s (a INT)"]).await;
    let requests = (0..16).map(|_| {
        let client = client.clone();
        async move {
            let request =
                records(&client, "s", media::NDJSON, "{\"a\":1}\n").header("idempotency-key", "k");
            client.document_of(request).await.unwrap()["duplicate"] == false
        }
    });
    let first = futures::future::join_all(requests).await;
    assert_eq!(first.iter().filter(|first| **first).count(), 1);
    assert_eq!(client.number("SELECT count(*) FROM s").await, 1);
    server.stop();
}

#[tokio::test]
async fn bodies_may_be_compressed() {
    let server = Server::start();
    let client = server.client();
    client.run(&["CREATE STREAM s (a INT)"]).await;
    let plain: String = (0..1000).map(|a| format!("{{\"a\":{a}}}\n")).collect();
    for (coding, body) in [
        ("gzip", files::gzip(plain.as_bytes())),
        ("zstd", files::zstd(plain.as_bytes())),
    ] {
        let request = records(&client, "s", media::NDJSON, body).header(CONTENT_ENCODING, coding);
        assert_eq!(
            client.document_of(request).await.unwrap()["rows"],
            1000,
            "{coding}"
        );
    }
    let request = records(&client, "s", media::NDJSON, "not gzip").header(CONTENT_ENCODING, "gzip");
    assert_eq!(Problem::of(client.send(request).await).await.status, 400);
    let request = records(&client, "s", media::NDJSON, "x").header(CONTENT_ENCODING, "br");
    assert_eq!(Problem::of(client.send(request).await).await.status, 415);
    server.stop();
}

#[tokio::test]
async fn tables_take_rows_too_and_keep_their_keys() {
    let server = Server::start();
    let client = server.client();
    client
        .run(&["CREATE TABLE t (id INT PRIMARY KEY, v TEXT)"])
        .await;
    client
        .ingest("t", "{\"id\":1,\"v\":\"a\"}\n")
        .await
        .unwrap();
    let problem = client
        .ingest("t", "{\"id\":2}\n{\"id\":1}\n")
        .await
        .unwrap_err();
    assert_eq!(
        (problem.status, problem.sqlstate()),
        (409, "23505"),
        "{problem}"
    );
    assert_eq!(client.number("SELECT count(*) FROM t").await, 1);
    server.stop();
}

#[tokio::test]
async fn a_name_with_schema_finds_its_stream() {
    let server = Server::start();
    let client = server.client();
    client
        .run(&["CREATE SCHEMA lab", "CREATE STREAM lab.runs (a INT)"])
        .await;
    client.ingest("lab.runs", "{\"a\":1}\n").await.unwrap();
    assert_eq!(client.number("SELECT count(*) FROM lab.runs").await, 1);
    server.stop();
}
