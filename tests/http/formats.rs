//! One answer in every format, chosen by `Accept` or `?format=`.

use std::io::Cursor;

use arrow::ipc::reader::StreamReader;
use arrow::record_batch::RecordBatch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use serde_json::{Value, json};
use weir_tests::client::media;
use weir_tests::{Problem, Server};

const SQL: &str =
    "SELECT * FROM (VALUES (1, 'a', 1.5e0), (2, NULL, 2.5e0)) AS t(n, s, d) ORDER BY n";

fn read_arrow(body: &[u8]) -> Vec<RecordBatch> {
    StreamReader::try_new(Cursor::new(body), None)
        .expect("an Arrow stream begins with its schema")
        .map(|batch| batch.expect("a batch can be read"))
        .collect()
}

fn rows(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

#[tokio::test]
async fn json_has_columns_rows_and_counts() {
    let server = Server::start();
    let body = server.client().body(SQL, media::JSON).await;
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        body,
        json!({
            "columns": [
                { "name": "n", "type": "BIGINT", "nullable": false },
                { "name": "s", "type": "TEXT", "nullable": true },
                { "name": "d", "type": "DOUBLE PRECISION", "nullable": false },
            ],
            "rows": [{ "n": 1, "s": "a", "d": 1.5 }, { "n": 2, "s": null, "d": 2.5 }],
            "row_count": 2,
            "truncated": false,
        })
    );
    server.stop();
}

#[tokio::test]
async fn csv_has_a_header_line_and_quotes_what_needs_it() {
    let server = Server::start();
    let client = server.client();
    let body = client.body(SQL, media::CSV).await;
    assert_eq!(&body[..], b"n,s,d\n1,a,1.5\n2,,2.5\n");
    let sql = r#"SELECT 'a,b' AS "x,y", 'say "hi"' AS q, E'two\nlines' AS l, '' AS empty, NULL AS nothing"#;
    let body = client.body(sql, media::CSV).await;
    assert_eq!(
        String::from_utf8_lossy(&body),
        "\"x,y\",q,l,empty,nothing\n\"a,b\",\"say \"\"hi\"\"\",\"two\nlines\",\"\",\n"
    );
    server.stop();
}

#[tokio::test]
async fn ndjson_is_an_object_a_line() {
    let server = Server::start();
    let body = server.client().body(SQL, media::NDJSON).await;
    assert_eq!(
        String::from_utf8_lossy(&body),
        "{\"n\":1,\"s\":\"a\",\"d\":1.5}\n{\"n\":2,\"s\":null,\"d\":2.5}\n"
    );
    server.stop();
}

#[tokio::test]
async fn arrow_is_the_default_and_ends_with_its_end_of_stream() {
    let server = Server::start();
    let client = server.client();
    for accept in ["*/*", media::ARROW, "application/*"] {
        let response = client.send(client.query(SQL, accept)).await;
        assert_eq!(response.headers()[CONTENT_TYPE], media::ARROW, "{accept}");
        let body = response.bytes().await.unwrap();
        let batches = read_arrow(&body);
        assert_eq!(rows(&batches), 2);
        assert!(
            body.ends_with(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]),
            "no end of stream"
        );
    }
    server.stop();
}

#[tokio::test]
async fn parquet_is_a_file() {
    let server = Server::start();
    let body = server.client().body(SQL, media::PARQUET).await;
    let batches: Vec<RecordBatch> = ParquetRecordBatchReader::try_new(body, 1024)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(rows(&batches), 2);
    server.stop();
}

#[tokio::test]
async fn an_answer_without_rows_has_its_columns_in_every_format() {
    let server = Server::start();
    let client = server.client();
    let sql = "SELECT 1 AS one, 'x' AS x WHERE false";
    let body: Value = serde_json::from_slice(&client.body(sql, media::JSON).await).unwrap();
    assert_eq!(body["columns"].as_array().unwrap().len(), 2);
    assert_eq!(body["rows"], json!([]));
    assert_eq!(&client.body(sql, media::CSV).await[..], b"one,x\n");
    assert_eq!(&client.body(sql, media::NDJSON).await[..], b"");
    let body = client.body(sql, media::ARROW).await;
    let reader = StreamReader::try_new(Cursor::new(&body[..]), None).unwrap();
    assert_eq!(reader.schema().fields().len(), 2);
    assert_eq!(reader.count(), 0);
    let body = client.body(sql, media::PARQUET).await;
    let reader = ParquetRecordBatchReader::try_new(body, 1024).unwrap();
    assert_eq!(reader.count(), 0);
    server.stop();
}

#[tokio::test]
async fn the_format_parameter_wins_over_accept() {
    let server = Server::start();
    let client = server.client();
    for (format, media) in [
        ("csv", media::CSV),
        ("json", media::JSON),
        ("ndjson", media::NDJSON),
        ("arrow", media::ARROW),
        ("parquet", media::PARQUET),
        ("sse", media::SSE),
    ] {
        let request = client
            .request(Method::POST, &format!("/v1/sql?format={format}"))
            .header(ACCEPT, "text/html")
            .body("SELECT 1 AS one");
        let response = client.send(request).await;
        assert_eq!(response.status(), 200, "{format}");
        let given = response.headers()[CONTENT_TYPE].to_str().unwrap();
        assert!(given.starts_with(media), "{format}: {given}");
    }
    server.stop();
}

#[tokio::test]
async fn accept_is_weighed_as_http_says() {
    let server = Server::start();
    let client = server.client();
    for (accept, wanted) in [
        ("text/csv;q=0.5, application/json", media::JSON),
        ("text/csv, application/json;q=0.9", media::CSV),
        ("text/html, application/x-ndjson;q=0.1", media::NDJSON),
        ("application/json; charset=utf-8", media::JSON),
        ("text/*", media::CSV),
    ] {
        let response = client.send(client.query("SELECT 1", accept)).await;
        assert_eq!(response.status(), 200, "{accept}");
        let given = response.headers()[CONTENT_TYPE].to_str().unwrap();
        assert!(given.starts_with(wanted), "{accept}: {given}");
    }
    let response = client.send(client.query("SELECT 1", "image/png")).await;
    let problem = Problem::of(response).await;
    assert_eq!(problem.status, 406, "{problem}");
    server.stop();
}

#[tokio::test]
async fn sql_is_plain_text_or_json_or_a_url() {
    let server = Server::start();
    let client = server.client();
    let plain = client
        .request(Method::POST, "/v1/sql")
        .header(ACCEPT, media::CSV)
        .header(CONTENT_TYPE, "text/plain; charset=utf-8")
        .body("SELECT 1 AS one");
    // What curl --data says of itself.
    let form = client
        .request(Method::POST, "/v1/sql")
        .header(ACCEPT, media::CSV)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body("SELECT 1 AS one");
    let sql = client
        .request(Method::POST, "/v1/sql")
        .header(ACCEPT, media::CSV)
        .header(CONTENT_TYPE, "application/sql")
        .body("SELECT 1 AS one");
    let url = client
        .request(Method::GET, "/v1/sql")
        .query(&[("q", "SELECT 1 AS one")])
        .header(ACCEPT, media::CSV);
    for (name, request) in [("plain", plain), ("form", form), ("sql", sql), ("url", url)] {
        let response = client.send(request).await;
        assert_eq!(response.status(), 200, "{name}");
        assert_eq!(response.text().await.unwrap(), "one\n1\n", "{name}");
    }
    server.stop();
}

#[tokio::test]
async fn get_only_reads() {
    let server = Server::start();
    let client = server.client();
    client.run(&["CREATE TABLE t (a INT)"]).await;
    for sql in [
        "INSERT INTO t VALUES (1)",
        "CREATE TABLE u (a INT)",
        "DROP TABLE t",
        "DELETE FROM t",
        "COPY t TO '/tmp/x.csv'",
        "EXPLAIN ANALYZE INSERT INTO t VALUES (1)",
    ] {
        let request = client.request(Method::GET, "/v1/sql").query(&[("q", sql)]);
        let problem = Problem::of(client.send(request).await).await;
        assert_eq!(problem.sqlstate(), "25006", "{sql}: {problem}");
    }
    assert_eq!(client.number("SELECT count(*) FROM t").await, 0);
    let request = client
        .request(Method::GET, "/v1/sql")
        .query(&[("q", "SELECT count(*) AS n FROM t"), ("format", "csv")]);
    assert_eq!(client.send(request).await.text().await.unwrap(), "n\n0\n");
    server.stop();
}

#[tokio::test]
async fn numbers_past_2_to_the_53_and_special_floats_are_exact() {
    let server = Server::start();
    let client = server.client();
    let rows = client
        .rows(
            "SELECT 9007199254740991 AS a, 9007199254740993 AS b, -9223372036854775808 AS c, \
             CAST('NaN' AS DOUBLE) AS d, CAST('12345678901234567890.5' AS DECIMAL(30,1)) AS e, CAST(1.5 AS DECIMAL(3,1)) AS f",
        )
        .await;
    assert_eq!(
        rows.rows,
        [[
            json!(9_007_199_254_740_991_i64),
            json!("9007199254740993"),
            json!("-9223372036854775808"),
            json!("NaN"),
            json!("12345678901234567890.5"),
            json!(1.5),
        ]]
    );
    server.stop();
}

#[tokio::test]
async fn columns_of_one_name_are_told_apart_in_json_and_kept_in_arrow() {
    let server = Server::start();
    let client = server.client();
    let sql = "SELECT a.x, b.x FROM (VALUES (1)) AS a(x), (VALUES (2)) AS b(x)";
    let rows = client.rows(sql).await;
    assert_eq!(rows.columns, ["x", "x_2"]);
    assert_eq!(rows.rows, [[json!(1), json!(2)]]);
    let batches = read_arrow(&client.body(sql, media::ARROW).await);
    let schema = batches[0].schema();
    let names: Vec<&String> = schema.fields().iter().map(|field| field.name()).collect();
    assert_eq!(names, ["x", "x"]);
    server.stop();
}

#[tokio::test]
async fn every_answer_names_its_query_and_its_request() {
    let server = Server::start();
    let client = server.client();
    let response = client.send(client.query("SELECT 1", media::JSON)).await;
    let id = response.headers()["weir-query-id"].to_str().unwrap();
    uuid::Uuid::parse_str(id).expect("a query id is a UUID");
    assert!(response.headers().contains_key("x-request-id"));
    let request = client
        .query("SELECT nope", media::JSON)
        .header("x-request-id", "my-own-7");
    let response = client.send(request).await;
    assert_eq!(response.headers()["x-request-id"], "my-own-7");
    server.stop();
}

#[tokio::test]
async fn a_small_answer_has_a_length_and_a_large_one_comes_in_pieces() {
    let server = Server::start();
    let client = server.client();
    for accept in [media::JSON, media::ARROW, media::CSV, media::PARQUET] {
        let response = client.send(client.query("SELECT 1", accept)).await;
        let length = response.headers()["content-length"].to_str().unwrap();
        let length: usize = length.parse().unwrap();
        assert_eq!(response.bytes().await.unwrap().len(), length, "{accept}");
    }
    let large = "SELECT * FROM generate_series(1, 100000) AS g(value)";
    let response = client.send(client.query(large, media::CSV)).await;
    assert!(!response.headers().contains_key("content-length"));
    let text = response.text().await.unwrap();
    assert_eq!(text.lines().count(), 100_001);
    server.stop();
}

#[tokio::test]
async fn a_command_answers_its_tag_and_a_change_its_count() {
    let server = Server::start();
    let client = server.client();
    let rows = client.rows("CREATE TABLE t (a INT)").await;
    assert_eq!(rows.command.as_deref(), Some("CREATE TABLE"));
    assert_eq!((rows.columns.len(), rows.row_count), (0, 0));
    let rows = client.rows("INSERT INTO t VALUES (1), (2)").await;
    assert_eq!(rows.columns, ["count"]);
    assert_eq!(rows.rows, [[json!(2)]]);
    server.stop();
}
