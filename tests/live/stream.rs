//! What a live query gives: all of history, all that comes, once each.

use serde_json::json;
use weir_tests::client::media;
use weir_tests::live::Lines;
use weir_tests::{Problem, Server, files, wait};

use super::numbers;

#[tokio::test]
async fn history_then_new_rows_in_order() {
    let server = Server::start();
    let client = server.client();
    client.run(&["CREATE STREAM s (n BIGINT)"]).await;
    client.ingest("s", numbers(0, 1000)).await.unwrap();
    let sql = "SELECT n, n * 2 AS twice FROM s WHERE n % 2 = 0 EMIT CHANGES";
    let mut live = Lines::of(client.send(client.query(sql, media::NDJSON)).await).await;
    for n in (0..1000).step_by(2) {
        assert_eq!(live.json().await, json!({ "n": n, "twice": n * 2 }));
    }
    for n in 1000..1100 {
        client.ingest("s", numbers(n, n + 1)).await.unwrap();
        if n % 2 == 0 {
            assert_eq!(live.json().await, json!({ "n": n, "twice": n * 2 }));
        }
    }
    server.stop();
}

#[tokio::test]
async fn records_that_cannot_be_decoded_stop_no_other() {
    let server = Server::start();
    let client = server.client();
    client
        .run(&[
            "CREATE STREAM wire WITH (format = 'raw')",
            "CREATE STREAM nulls (n BIGINT NOT NULL) WITH (topic = 'wire')",
            "CREATE STREAM skips (n BIGINT NOT NULL) WITH (topic = 'wire', on_error = 'skip')",
            "INSERT INTO wire VALUES ('{\"n\":0}'), ('junk')",
        ])
        .await;
    let follow = async |sql| Lines::of(client.send(client.query(sql, media::NDJSON)).await).await;
    let mut nulls = follow("SELECT n, _error IS NULL AS good FROM nulls EMIT CHANGES").await;
    let mut skips = follow("SELECT n FROM skips EMIT CHANGES").await;
    for n in 0..20 {
        assert_eq!(nulls.json().await, json!({ "n": n, "good": true }));
        assert_eq!(nulls.json().await, json!({ "n": null, "good": false }));
        assert_eq!(skips.json().await, json!({ "n": n }));
        let next = n + 1;
        let insert = format!("INSERT INTO wire VALUES ('{{\"n\":{next}}}'), ('junk')");
        client.run(&[&insert]).await;
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_seam_between_history_and_tail_loses_and_doubles_nothing() {
    let server = Server::start();
    let client = server.client();
    client
        .run(&["CREATE STREAM s (n BIGINT) WITH (partitions = 3)"])
        .await;
    let writer = client.clone();
    let writing = tokio::spawn(async move {
        for batch in 0..200_i64 {
            writer
                .ingest("s", numbers(batch * 50, batch * 50 + 50))
                .await
                .unwrap();
        }
    });
    // Readers that begin at every moment of the writing.
    let mut readers = Vec::new();
    for _ in 0..4 {
        let client = client.clone();
        readers.push(tokio::spawn(async move {
            let response = client
                .send(client.query(
                    "SELECT n, _partition, _offset FROM s EMIT CHANGES",
                    media::NDJSON,
                ))
                .await;
            let mut live = Lines::of(response).await;
            let mut seen = vec![false; 10_000];
            let mut next = [0_i64; 3];
            for _ in 0..10_000 {
                let row = live.json().await;
                let n = usize::try_from(row["n"].as_i64().unwrap()).unwrap();
                assert!(!std::mem::replace(&mut seen[n], true), "{n} came twice");
                let partition = usize::try_from(row["_partition"].as_i64().unwrap()).unwrap();
                assert_eq!(
                    row["_offset"].as_i64().unwrap(),
                    next[partition],
                    "partition {partition}"
                );
                next[partition] += 1;
            }
        }));
        tokio::task::yield_now().await;
    }
    writing.await.unwrap();
    for reader in readers {
        reader.await.unwrap();
    }
    server.stop();
}

#[tokio::test]
async fn unions_functions_and_joins_against_files_are_live() {
    let data = tempfile::TempDir::new().unwrap();
    files::lay_out(data.path());
    let server = Server::builder().allow_path(data.path()).start();
    let client = server.client();
    client
        .run(&[
            "CREATE STREAM a (n BIGINT)",
            "CREATE STREAM b (n BIGINT)",
            &format!(
                "CREATE EXTERNAL TABLE trips STORED AS PARQUET LOCATION '{}/trips.parquet'",
                data.path().display()
            ),
        ])
        .await;
    let union = "SELECT 'a' AS source, n FROM a UNION ALL SELECT 'b', n FROM b EMIT CHANGES";
    let mut union = Lines::of(client.send(client.query(union, media::NDJSON)).await).await;
    let join = "SELECT a.n, t.city FROM a JOIN trips t ON t.id = a.n EMIT CHANGES";
    let mut join = Lines::of(client.send(client.query(join, media::NDJSON)).await).await;
    client.ingest("b", numbers(7, 8)).await.unwrap();
    assert_eq!(union.json().await, json!({ "source": "b", "n": 7 }));
    client.ingest("a", numbers(5, 6)).await.unwrap();
    assert_eq!(union.json().await, json!({ "source": "a", "n": 5 }));
    assert_eq!(join.json().await, json!({ "n": 5, "city": "Lisboa" }));
    client.ingest("a", numbers(1000, 1001)).await.unwrap();
    client.ingest("a", numbers(6, 7)).await.unwrap();
    assert_eq!(join.json().await, json!({ "n": 6, "city": "Kraków" }));
    server.stop();
}

#[tokio::test]
async fn every_format_that_can_go_on_for_ever_is_live() {
    let server = Server::start();
    let client = server.client();
    client.run(&["CREATE STREAM s (n BIGINT)"]).await;
    client.ingest("s", numbers(0, 3)).await.unwrap();
    let sql = "SELECT n FROM s EMIT CHANGES";
    let mut csv = Lines::of(client.send(client.query(sql, media::CSV)).await).await;
    assert_eq!(csv.line().await, "n");
    for n in 0..3 {
        assert_eq!(csv.line().await, n.to_string());
    }
    let arrow = client.send(client.query(sql, media::ARROW)).await;
    assert_eq!(arrow.status(), 200);
    for accept in [media::JSON, media::PARQUET] {
        let problem = Problem::of(client.send(client.query(sql, accept)).await).await;
        assert!(matches!(problem.status, 400 | 406), "{accept}: {problem}");
    }
    server.stop();
}

#[tokio::test]
async fn a_dropped_stream_ends_its_readers_with_a_failure() {
    let server = Server::start();
    let client = server.client();
    client.run(&["CREATE STREAM s (n BIGINT)"]).await;
    client.ingest("s", numbers(0, 1)).await.unwrap();
    let response = client
        .send(client.query("SELECT n FROM s EMIT CHANGES", media::NDJSON))
        .await;
    let mut live = Lines::of(response).await;
    assert_eq!(live.json().await, json!({ "n": 0 }));
    match client.sql("DROP STREAM s").await {
        // Either it is in use, or its readers are told.
        Err(problem) => assert_eq!(problem.sqlstate(), "55006", "{problem}"),
        Ok(_) => {
            let last = live.json().await;
            assert!(last["error"]["sqlstate"].is_string(), "{last}");
        }
    }
    server.stop();
}

#[tokio::test]
async fn many_readers_of_one_stream_each_get_all() {
    let server = Server::start();
    let client = server.client();
    client.run(&["CREATE STREAM s (n BIGINT)"]).await;
    let mut readers = Vec::new();
    for _ in 0..20 {
        let response = client
            .send(client.query("SELECT n FROM s EMIT CHANGES", media::NDJSON))
            .await;
        readers.push(Lines::of(response).await);
    }
    wait::eventually("all are listed", async || {
        let running = client.running("EMIT CHANGES").await.len();
        wait::check(running == 20, running)
    })
    .await;
    for batch in 0..10 {
        client
            .ingest("s", numbers(batch * 10, batch * 10 + 10))
            .await
            .unwrap();
    }
    for reader in &mut readers {
        for n in 0..100 {
            assert_eq!(reader.json().await["n"], n);
        }
    }
    server.stop();
}
