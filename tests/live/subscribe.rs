//! `SUBSCRIBE` is the same live read as `SELECT … EMIT CHANGES`.

use serde_json::json;
use weir_tests::client::media;
use weir_tests::live::Lines;
use weir_tests::{Client, Problem, Server};

use super::envelopes::rows;

async fn follow(client: &Client, sql: &str) -> Lines {
    Lines::of(client.send(client.query(sql, media::SSE)).await).await
}

#[tokio::test]
async fn views_tables_and_streams_are_subscribed_to() {
    let server = Server::start();
    let client = server.client();
    client
        .run(&[
            "CREATE STREAM s (n BIGINT)",
            "CREATE TABLE t (n BIGINT PRIMARY KEY)",
            "CREATE MATERIALIZED VIEW m AS SELECT count(*) AS n FROM s",
            "CREATE VIEW v AS SELECT n FROM s WHERE n > 0",
            "INSERT INTO s VALUES (1)",
            "INSERT INTO t VALUES (1)",
            "FLUSH",
        ])
        .await;
    let insert = |n: i64| {
        (
            format!("INSERT INTO s VALUES ({n})"),
            format!("INSERT INTO t VALUES ({n})"),
        )
    };
    for (number, (name, first, second)) in [
        ("s", json!([{ "n": 1 }]), json!([{ "n": 2 }])),
        (
            "t",
            json!([{ "_op": "insert", "n": 1 }, { "_op": "insert", "n": 2 }]),
            json!([{ "_op": "insert", "n": 3 }]),
        ),
        (
            "m",
            json!([{ "_op": "insert", "n": 3 }]),
            json!([{ "_op": "update_before", "n": 3 }, { "_op": "update_after", "n": 4 }]),
        ),
        (
            "v",
            json!([{ "n": 1 }, { "n": 2 }, { "n": 3 }, { "n": 4 }]),
            json!([{ "n": 5 }]),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let mut all = follow(&client, &format!("SUBSCRIBE TO {name}")).await;
        let mut new = follow(
            &client,
            &format!("SUBSCRIBE {name} WITH (snapshot = false)"),
        )
        .await;
        assert_eq!(rows(&mut all).await.0, first, "{name}");
        let (stream, table) = insert(number as i64 + 2);
        client.run(&[&stream, &table]).await;
        // Only the change comes, and it is the same.
        assert_eq!(rows(&mut new).await.0, second, "{name}");
        assert_eq!(rows(&mut all).await.0, second, "{name}");
    }
    server.stop();
}

#[tokio::test]
async fn a_position_is_a_token() {
    let server = Server::start();
    let client = server.client();
    client
        .run(&[
            "CREATE STREAM s (n BIGINT)",
            "INSERT INTO s VALUES (1), (2)",
        ])
        .await;
    let count = "(SELECT n % 2 AS odd, count(*) AS c FROM s GROUP BY n % 2)";
    let mut live = follow(&client, &format!("SUBSCRIBE {count}")).await;
    let (_, token) = rows(&mut live).await;
    let token = token.unwrap();
    client.run(&["INSERT INTO s VALUES (3)"]).await;
    let subscribe = format!("SUBSCRIBE {count} WITH (snapshot = false) AS OF '{token}'");
    let mut live = follow(&client, &subscribe).await;
    assert_eq!(
        rows(&mut live).await.0,
        json!([{ "_op": "update_before", "odd": 1, "c": 1 }, { "_op": "update_after", "odd": 1, "c": 2 }])
    );
    for (sql, says) in [
        ("SUBSCRIBE s AS OF 's:1'", "and not the rows up to it"),
        (
            "SUBSCRIBE s WITH (snapshot = false) AS OF 7",
            "AS OF 7 is no position",
        ),
        (
            "SUBSCRIBE s WITH (snapshot = false) AS OF 'x'",
            "is not valid",
        ),
        ("SUBSCRIBE s UP TO 7", "UP TO is not supported"),
        (
            "SUBSCRIBE s WITH (snapshots = false)",
            "did you mean \"snapshot\"",
        ),
        ("SUBSCRIBE nothing", "not found"),
    ] {
        let problem = Problem::of(client.send(client.query(sql, media::SSE)).await).await;
        assert!(problem.to_string().contains(says), "{sql}: {problem}");
    }
    server.stop();
}
