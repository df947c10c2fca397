//! A live query that remembers rows gives a changelog: what went and what came, step by step.

use std::collections::BTreeMap;

use serde_json::Value;
use weir_tests::Server;
use weir_tests::client::media;
use weir_tests::live::{Event, Lines};

/// The rows that a changelog leaves, as text, from its next event on until they are `wanted`.
async fn until(live: &mut Lines, rows: &mut Vec<String>, wanted: &[&str]) -> Option<String> {
    let mut last = None;
    while {
        rows.sort();
        *rows != wanted
    } {
        let Event { event, id, data } = live.event().await;
        if !matches!(event.as_deref(), None | Some("message" | "rows")) {
            continue;
        }
        let changes: Value = serde_json::from_str(&data).unwrap();
        let changes = changes.as_array().cloned().unwrap_or_else(|| vec![changes]);
        for change in changes {
            let change = change.as_object().unwrap().clone();
            let mut change: BTreeMap<String, Value> = change.into_iter().collect();
            let operation = change.remove("_op").unwrap();
            let row = serde_json::to_string(&change).unwrap();
            match operation.as_str().unwrap() {
                "insert" | "update_after" => rows.push(row),
                "delete" | "update_before" => {
                    let at = rows.iter().position(|other| *other == row);
                    rows.remove(at.unwrap_or_else(|| panic!("{row} went and never came")));
                }
                other => panic!("{other}"),
            }
        }
        last = id;
    }
    last
}

const SQL: &str = "SELECT k, count(*) AS n FROM s GROUP BY k EMIT CHANGES";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_aggregate_goes_on_where_it_was_after_a_crash() {
    let server = Server::start();
    let client = server.client();
    client
        .run(&[
            "CREATE STREAM s (k BIGINT)",
            "INSERT INTO s VALUES (1), (1), (2)",
        ])
        .await;
    let mut rows = Vec::new();
    let mut live = Lines::of(client.send(client.query(SQL, media::SSE)).await).await;
    let first = [r#"{"k":1,"n":2}"#, r#"{"k":2,"n":1}"#];
    until(&mut live, &mut rows, &first).await;
    client.run(&["INSERT INTO s VALUES (2), (3)"]).await;
    let second = [r#"{"k":1,"n":2}"#, r#"{"k":2,"n":2}"#, r#"{"k":3,"n":1}"#];
    let last = until(&mut live, &mut rows, &second).await.unwrap();
    let server = server.kill().start();
    let client = server.client();
    client.run(&["INSERT INTO s VALUES (3)"]).await;
    // What was given is not given again: only the change comes.
    let request = client.query(SQL, media::SSE).header("last-event-id", last);
    let mut live = Lines::of(client.send(request).await).await;
    let third = [r#"{"k":1,"n":2}"#, r#"{"k":2,"n":2}"#, r#"{"k":3,"n":2}"#];
    until(&mut live, &mut rows, &third).await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_and_views_are_followed() {
    let server = Server::start();
    let client = server.client();
    client
        .run(&[
            "CREATE TABLE t (id BIGINT PRIMARY KEY, v BIGINT)",
            "INSERT INTO t VALUES (1, 10), (2, 20)",
            "CREATE MATERIALIZED VIEW m AS SELECT v % 20 AS r, count(*) AS n FROM t GROUP BY v % 20",
        ])
        .await;
    let mut of_table = Lines::of(
        client
            .send(client.query("SELECT * FROM t EMIT CHANGES", media::SSE))
            .await,
    )
    .await;
    let mut of_view = Lines::of(
        client
            .send(client.query("SELECT * FROM m EMIT CHANGES", media::SSE))
            .await,
    )
    .await;
    let (mut rows, mut kept) = (Vec::new(), Vec::new());
    until(
        &mut of_table,
        &mut rows,
        &[r#"{"id":1,"v":10}"#, r#"{"id":2,"v":20}"#],
    )
    .await;
    until(
        &mut of_view,
        &mut kept,
        &[r#"{"n":1,"r":0}"#, r#"{"n":1,"r":10}"#],
    )
    .await;
    client
        .run(&[
            "UPDATE t SET v = 40 WHERE id = 1",
            "DELETE FROM t WHERE id = 2",
        ])
        .await;
    until(&mut of_table, &mut rows, &[r#"{"id":1,"v":40}"#]).await;
    until(&mut of_view, &mut kept, &[r#"{"n":1,"r":0}"#]).await;
    server.stop();
}

#[tokio::test]
async fn explain_tells_how_each_operator_follows_changes() {
    let server = Server::start();
    let client = server.client();
    client
        .run(&[
            "CREATE STREAM s (id BIGINT, k BIGINT)",
            "CREATE TABLE t (k BIGINT PRIMARY KEY, name TEXT)",
        ])
        .await;
    let query =
        "SELECT t.name, count(*) AS n FROM s JOIN t ON t.k = s.k WHERE s.id > 1 GROUP BY t.name";
    for statement in [
        format!("EXPLAIN CREATE MATERIALIZED VIEW m AS {query}"),
        format!("EXPLAIN {query} EMIT CHANGES"),
    ] {
        let plans = client.rows(&statement).await.rows;
        assert_eq!(plans[1][0], "continuous_plan");
        let plan = plans[1][1].as_str().unwrap();
        for line in [
            "\n  Aggregate: Aggregate: groupBy=[[t.name]], aggr=[[count(Int64(1))]] [",
            "Join: Inner Join: s.k = t.k [incremental]",
            "Linear: Projection: s.k, Filter: s.id > Int64(1) [stateless]",
            "Stream: s [stateless]",
            "Table: t [incremental]",
        ] {
            assert!(plan.contains(line), "{plan}");
        }
    }
    let last = "SELECT id FROM (SELECT *, row_number() OVER (PARTITION BY k ORDER BY id DESC) AS n FROM s) AS r WHERE n <= 3 EMIT CHANGES";
    let plans = client.rows(&format!("EXPLAIN {last}")).await.rows;
    let plan = plans[1][1].as_str().unwrap();
    assert!(plan.contains("\n  Ranking: first 3 of "), "{plan}");
    let plain = "EXPLAIN CREATE MATERIALIZED VIEW m AS SELECT id FROM s WHERE k > 1";
    let plans = client.rows(plain).await.rows;
    let plan = plans[1][1].as_str().unwrap();
    assert!(plan.ends_with("Stream: s [stateless]"), "{plan}");
    server.stop();
}
