//! The forms in which a live query tells of changes.

use serde_json::{Value, json};
use weir_tests::client::media;
use weir_tests::live::{Event, Lines};
use weir_tests::{Client, Server};

/// The rows of the next event that has some, and the token after them.
pub(super) async fn rows(live: &mut Lines) -> (Value, Option<String>) {
    loop {
        let event: Event = live.event().await;
        match event.event.as_deref() {
            None | Some("message" | "rows") => return (event.json(), event.id),
            Some("schema") => {}
            Some(_) => panic!("{event:?}"),
        }
    }
}

async fn follow(client: &Client, body: &Value) -> Lines {
    Lines::of(client.send(client.query_body(body, media::SSE)).await).await
}

async fn with_table() -> Server {
    let server = Server::start();
    server
        .client()
        .run(&[
            "CREATE TABLE t (v BIGINT, id BIGINT PRIMARY KEY)",
            "INSERT INTO t VALUES (10, 1), (20, 2)",
        ])
        .await;
    server
}

const CHANGES: [&str; 3] = [
    "UPDATE t SET v = 11 WHERE id = 1",
    "DELETE FROM t WHERE id = 2",
    "INSERT INTO t VALUES (30, 3)",
];

#[tokio::test]
async fn a_changelog_pairs_the_rows_of_a_key() {
    let server = with_table().await;
    let client = server.client();
    let mut live = follow(
        &client,
        &json!({ "query": "SELECT id, v FROM t EMIT CHANGES" }),
    )
    .await;
    let columns = live.event().await.json();
    assert_eq!(
        columns["columns"],
        json!([
            { "name": "_op", "type": "TEXT", "nullable": false },
            { "name": "id", "type": "BIGINT", "nullable": false, "key": true },
            { "name": "v", "type": "BIGINT", "nullable": true },
        ])
    );
    assert_eq!(
        rows(&mut live).await.0,
        json!([{ "_op": "insert", "id": 1, "v": 10 }, { "_op": "insert", "id": 2, "v": 20 }])
    );
    let told = [
        json!([{ "_op": "update_before", "id": 1, "v": 10 }, { "_op": "update_after", "id": 1, "v": 11 }]),
        json!([{ "_op": "delete", "id": 2, "v": 20 }]),
        json!([{ "_op": "insert", "id": 3, "v": 30 }]),
    ];
    for (change, told) in CHANGES.iter().zip(told) {
        client.run(&[change]).await;
        assert_eq!(rows(&mut live).await.0, told);
    }
    // Without the key, nothing says which rows are the same.
    let mut live = follow(&client, &json!({ "query": "SELECT v FROM t EMIT CHANGES" })).await;
    rows(&mut live).await;
    client.run(&["UPDATE t SET v = 12 WHERE id = 1"]).await;
    assert_eq!(
        rows(&mut live).await.0,
        json!([{ "_op": "delete", "v": 11 }, { "_op": "insert", "v": 12 }])
    );
    server.stop();
}

#[tokio::test]
async fn upserts_have_the_key_and_the_newest_row() {
    let server = with_table().await;
    let client = server.client();
    let query = json!({ "query": "SELECT * FROM t EMIT CHANGES", "envelope": "upsert" });
    let mut live = follow(&client, &query).await;
    // The key comes first.
    let columns = live.event().await.json();
    assert_eq!(columns["columns"][1]["name"], "id");
    rows(&mut live).await;
    let told = [
        json!([{ "_op": "upsert", "id": 1, "v": 11 }]),
        json!([{ "_op": "delete", "id": 2, "v": null }]),
        json!([{ "_op": "upsert", "id": 3, "v": 30 }]),
    ];
    for (change, told) in CHANGES.iter().zip(told) {
        client.run(&[change]).await;
        assert_eq!(rows(&mut live).await.0, told);
    }
    server.stop();
}

#[tokio::test]
async fn debezium_has_the_row_before_and_after() {
    let server = with_table().await;
    let client = server.client();
    let request = client
        .query("SELECT * FROM t EMIT CHANGES", media::NDJSON)
        .query(&[("envelope", "debezium")]);
    let mut live = Lines::of(client.send(request).await).await;
    for (id, v) in [(1, 10), (2, 20)] {
        let mut event = live.json().await;
        assert!(event["ts_ms"].as_i64().unwrap() > 1_600_000_000_000);
        event["ts_ms"] = json!(0);
        assert_eq!(
            event,
            json!({ "before": null, "after": { "v": v, "id": id }, "op": "c", "ts_ms": 0 })
        );
    }
    let told = [
        json!({ "before": { "v": 10, "id": 1 }, "after": { "v": 11, "id": 1 }, "op": "u" }),
        json!({ "before": { "v": 20, "id": 2 }, "after": null, "op": "d" }),
        json!({ "before": null, "after": { "v": 30, "id": 3 }, "op": "c" }),
    ];
    for (change, told) in CHANGES.iter().zip(told) {
        client.run(&[change]).await;
        let event = live.json().await;
        for member in ["before", "after", "op"] {
            assert_eq!(event[member], told[member], "{event}");
        }
    }
    server.stop();
}

#[tokio::test]
async fn keys_are_found_through_views_joins_and_groups() {
    let server = with_table().await;
    let client = server.client();
    client
        .run(&[
            "CREATE STREAM s (k BIGINT, n BIGINT)",
            "CREATE MATERIALIZED VIEW per_k AS SELECT k AS key, sum(n) AS total FROM s GROUP BY k",
            "CREATE VIEW shown AS SELECT p.total, p.key, t.v FROM per_k p JOIN t ON t.id = p.key WHERE p.total > 0",
            "INSERT INTO s VALUES (1, 5)",
        ])
        .await;
    for (query, first, second) in [
        (
            "SELECT * FROM per_k EMIT CHANGES",
            json!([{ "_op": "upsert", "key": 1, "total": 5 }]),
            json!([{ "_op": "upsert", "key": 1, "total": 6 }]),
        ),
        (
            "SUBSCRIBE shown",
            json!([{ "_op": "upsert", "key": 1, "total": 6, "v": 10 }]),
            json!([{ "_op": "upsert", "key": 1, "total": 7, "v": 10 }]),
        ),
        (
            "SUBSCRIBE (SELECT count(*) AS n FROM s)",
            json!([{ "_op": "upsert", "n": 3 }]),
            json!([{ "_op": "upsert", "n": 4 }]),
        ),
        (
            "SUBSCRIBE (SELECT DISTINCT k FROM s)",
            json!([{ "_op": "upsert", "k": 1 }]),
            json!([{ "_op": "upsert", "k": 2 }]),
        ),
    ] {
        let body = json!({ "query": query, "envelope": "upsert" });
        let mut live = follow(&client, &body).await;
        assert_eq!(rows(&mut live).await.0, first, "{query}");
        let k = if query.contains("DISTINCT") { 2 } else { 1 };
        let insert = format!("INSERT INTO s VALUES ({k}, 1)");
        client.run(&[&insert, "FLUSH"]).await;
        assert_eq!(rows(&mut live).await.0, second, "{query}");
    }
    server.stop();
}

#[tokio::test]
async fn the_first_row_of_each_group_has_its_key() {
    let server = Server::start();
    let client = server.client();
    client
        .run(&[
            "CREATE STREAM s (k BIGINT, n BIGINT)",
            "INSERT INTO s VALUES (1, 5)",
        ])
        .await;
    let numbered = "SELECT k, n, row_number() OVER (PARTITION BY k ORDER BY n DESC) AS r FROM s";
    let query = format!("SELECT k, n FROM ({numbered}) WHERE r = 1 EMIT CHANGES");
    let body = json!({ "query": query, "envelope": "upsert" });
    let mut live = follow(&client, &body).await;
    let row = |n: i64| json!([{ "_op": "upsert", "k": 1, "n": n }]);
    assert_eq!(rows(&mut live).await.0, row(5));
    client.run(&["INSERT INTO s VALUES (1, 4), (1, 6)"]).await;
    assert_eq!(rows(&mut live).await.0, row(6));
    server.stop();
}

#[tokio::test]
async fn what_cannot_be_told_is_refused_with_what_to_do() {
    let server = with_table().await;
    let client = server.client();
    client.run(&["CREATE STREAM s (n BIGINT)"]).await;
    for (body, says) in [
        (
            json!({ "query": "SELECT v FROM t EMIT CHANGES", "envelope": "upsert" }),
            "shows no key",
        ),
        (
            json!({ "query": "SELECT n FROM s EMIT CHANGES", "envelope": "upsert" }),
            "shows no key",
        ),
        (
            json!({ "query": "SELECT v FROM t EMIT CHANGES", "envelope": "debezium" }),
            "shows no key",
        ),
        (
            json!({ "query": "SELECT v FROM t", "envelope": "upsert" }),
            "only a live query has an envelope",
        ),
        (
            json!({ "query": "SUBSCRIBE t WITH (envelope = 'upsert')", "envelope": "debezium" }),
            "the request asks for envelope 'debezium', and the statement for 'upsert'",
        ),
        (
            json!({ "query": "SUBSCRIBE t WITH (envelope = 'avro')" }),
            "is not one of 'changelog', 'upsert', 'debezium'",
        ),
    ] {
        let answer = client.send(client.query_body(&body, media::SSE)).await;
        let problem = weir_tests::Problem::of(answer).await;
        assert_eq!(problem.status, 400, "{body}: {problem}");
        assert!(problem.to_string().contains(says), "{body}: {problem}");
    }
    // What only comes can be told of by any form that needs no key.
    client.run(&["INSERT INTO s VALUES (1)"]).await;
    for (envelope, wanted) in [
        ("changelog", json!([{ "_op": "insert", "n": 1 }])),
        ("debezium", json!({ "n": 1 })),
    ] {
        let body = json!({ "query": "SUBSCRIBE s", "envelope": envelope });
        let mut live = follow(&client, &body).await;
        let told = rows(&mut live).await.0;
        match envelope {
            "debezium" => assert_eq!(told[0]["after"], wanted),
            _ => assert_eq!(told, wanted),
        }
    }
    server.stop();
}
