//! Closed segments become Parquet, and no row is missed or read twice: through crashes at each step, restarts, changed columns, on
//! a disk and in an object store.

use serde_json::Value;
use weir_tests::kafka::KafkaClient;
use weir_tests::moto::Moto;
use weir_tests::{Client, Server, ServerBuilder, eventually};

use super::ends_at;
use crate::live::numbers;

const CREATE: &str = "CREATE STREAM s (n BIGINT) WITH (partitions = 2, \"segment.bytes\" = 4096, history = 'parquet')";

fn builder() -> ServerBuilder {
    Server::builder().env("WEIR_HISTORY_INTERVAL", "20ms")
}

/// Writes `n` from `from` on, in batches that fill several segments.
async fn fill(client: &Client, from: i64, to: i64) {
    for start in (from..to).step_by(100) {
        let rows = numbers(start, to.min(start + 100));
        client.ingest("s", rows).await.unwrap();
    }
}

/// The answer over history and log is that over what was written: all of `0..end`, once.
async fn holds(client: &Client, end: i64) {
    let row = client
        .rows("SELECT count(*), count(DISTINCT n), min(n), max(n) FROM s WHERE n >= 0")
        .await;
    let numbers: Vec<i64> = row.rows[0].iter().filter_map(Value::as_i64).collect();
    assert_eq!(numbers, [end, end, 0, end - 1]);
    assert_eq!(client.number("SELECT count(*) FROM s").await, end);
    let each = "SELECT count(*) FROM (SELECT DISTINCT _partition, _offset FROM s)";
    assert_eq!(client.number(each).await, end);
}

fn as_text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// Waits until all closed segments are in Parquet and only there.
async fn converted(client: &Client) {
    eventually("the closed segments are converted", async || {
        let open = "SELECT count(*) FROM weir.segments WHERE topic = 's'";
        match client.number(open).await {
            0..=2 => Ok(()),
            open => Err(format!("{open} segments")),
        }
    })
    .await;
    let files = "SELECT count(*) FROM weir.history WHERE stream = 's'";
    assert!(client.number(files).await > 0);
}

#[tokio::test]
async fn killed_at_each_step_of_a_conversion() {
    for point in ["history::written", "history::named"] {
        let server = ends_at(builder(), point, 3).start();
        let client = server.client();
        client.run(&[CREATE]).await;
        let mut written = 0;
        // It dies at the fourth conversion, in the middle of this or after it.
        while let Ok(true) = sent(&client, written).await {
            written += 100;
        }
        let (_, again) = server.wait_for_end();
        let again = again.without_env();
        let server = again.env("WEIR_HISTORY_INTERVAL", "20ms").start();
        let client = server.client();
        // What was not acknowledged may be there.
        let end = client.number("SELECT count(*) FROM s").await;
        assert!(end == written || end == written + 100, "{end} of {written}");
        holds(&client, end).await;
        fill(&client, end, end + 1000).await;
        converted(&client).await;
        holds(&client, end + 1000).await;
        server.stop();
    }
}

/// Sends the next hundred rows; false when the server is gone.
async fn sent(client: &Client, from: i64) -> reqwest::Result<bool> {
    let request = client
        .request(reqwest::Method::POST, "/v1/topics/s/records")
        .header("content-type", "application/x-ndjson")
        .body(numbers(from, from + 100));
    let answer = request.send().await?;
    Ok(answer.status().is_success())
}

#[tokio::test]
async fn columns_change_and_what_only_parquet_has_follows() {
    let server = builder().start();
    let client = server.client();
    client.run(&[CREATE]).await;
    fill(&client, 0, 1000).await;
    converted(&client).await;
    client
        .run(&[
            "ALTER STREAM s ADD COLUMN extra INT DEFAULT 7",
            "ALTER STREAM s RENAME COLUMN n TO number",
        ])
        .await;
    let sums = "SELECT sum(number), sum(extra), count(*) FROM s WHERE _offset >= 0";
    assert_eq!(client.rows(sums).await.rows[0], [499_500, 7000, 1000]);
    let server = server.kill().start();
    assert_eq!(
        server.client().rows(sums).await.rows[0],
        [499_500, 7000, 1000]
    );
    server.stop();
}

#[tokio::test]
async fn a_live_query_reads_history_and_goes_on_in_the_log() {
    let server = builder().start();
    let client = server.client();
    client.run(&[CREATE]).await;
    fill(&client, 0, 1000).await;
    converted(&client).await;
    let live = client.body("SELECT n FROM s EMIT CHANGES LIMIT 1500", "text/csv");
    let writing = async {
        fill(&client, 1000, 1500).await;
    };
    let (live, ()) = tokio::join!(live, writing);
    let live = String::from_utf8(live.to_vec()).unwrap();
    let mut seen: Vec<i64> = live.lines().filter_map(|line| line.parse().ok()).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..1500).collect::<Vec<i64>>());
    server.stop();
}

#[tokio::test]
async fn retention_and_dropping_take_the_files_too() {
    let server = builder().start();
    let client = server.client();
    client.run(&[CREATE]).await;
    fill(&client, 0, 1000).await;
    converted(&client).await;
    let folder = server.folder().join("data/history");
    client
        .run(&["ALTER STREAM s SET (\"retention.bytes\" = 1)"])
        .await;
    eventually("the files are gone", async || {
        match client.number("SELECT count(*) FROM weir.history").await {
            0 => Ok(()),
            files => Err(files),
        }
    })
    .await;
    assert!(client.number("SELECT count(*) FROM s").await < 1000);
    client.run(&["DROP STREAM s"]).await;
    let left = walk(&folder);
    assert!(left.is_empty(), "{left:?}");
    server.stop();
}

#[tokio::test]
async fn deleting_the_first_records_keeps_all_others() {
    for history in ["parquet", "both"] {
        let server = builder().kafka().start();
        let client = server.client();
        client.run(&[&CREATE.replace("parquet", history)]).await;
        // Before anything is converted, in the middle of a segment.
        fill(&client, 0, 20).await;
        let mut kafka = KafkaClient::connect(&server.kafka()).await.unwrap();
        kafka.delete_records("s", 0, 3).await.unwrap();
        fill(&client, 20, 1000).await;
        eventually("there are files", async || {
            match client.number("SELECT count(*) FROM weir.history").await {
                0..=1 => Err("none"),
                _ => Ok(()),
            }
        })
        .await;
        // In the middle of a file, and before where the log begins when only Parquet has the rest.
        kafka.delete_records("s", 0, 8).await.unwrap();
        kafka.delete_records("s", 0, 5).await.unwrap();
        let server = server.kill().start();
        let client = server.client();
        let first = "SELECT min(_offset) FROM s GROUP BY _partition ORDER BY _partition";
        let first = client.rows(first).await.rows;
        assert_eq!(first, [[Value::from(8)], [Value::from(0)]], "{history}");
        assert_eq!(client.number("SELECT count(*) FROM s").await, 992);
        server.stop();
    }
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => files.extend(walk(&path)),
            false => files.push(path),
        }
    }
    files
}

#[tokio::test]
async fn other_tools_read_the_files() {
    let server = builder().start();
    let client = server.client();
    client.run(&[CREATE]).await;
    fill(&client, 0, 1000).await;
    converted(&client).await;
    let rows = client
        .rows("SELECT location, start_offset, end_offset FROM weir.history")
        .await;
    assert!(rows.rows.len() > 1);
    for row in &rows.rows {
        let arguments: Vec<String> = row.iter().map(as_text).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        weir_tests::python::run("history_file.py", &arguments);
    }
    let folder = server.folder().join("data/history/s");
    let counted = weir_tests::python::run("history_folder.py", &[folder.to_str().unwrap()]);
    let converted = client.number("SELECT sum(rows) FROM weir.history").await;
    assert_eq!(counted.trim(), converted.to_string());
    server.stop();
}

#[tokio::test]
async fn the_log_keeps_what_another_stream_over_the_topic_reads_there() {
    let server = builder().start();
    let client = server.client();
    let other = "CREATE STREAM other (n BIGINT) WITH (topic = 's', history = 'log')";
    client.run(&[CREATE, other]).await;
    fill(&client, 0, 1000).await;
    eventually("the closed segments are converted", async || {
        let files = "SELECT count(*) FROM weir.history WHERE stream = 's'";
        match client.number(files).await {
            0..=1 => Err("too few files"),
            _ => Ok(()),
        }
    })
    .await;
    // The other one lets go: then the log may, too.
    assert_eq!(client.number("SELECT count(*) FROM other").await, 1000);
    client.run(&["DROP STREAM other"]).await;
    fill(&client, 1000, 2000).await;
    converted(&client).await;
    holds(&client, 2000).await;
    server.stop();
}

#[tokio::test]
async fn in_an_object_store() {
    let moto = Moto::start().await;
    moto.make_bucket("lake").await;
    let connection = format!(
        "CREATE CONNECTION lake WITH (type = 's3', endpoint = '{}', region = 'us-east-1', access_key_id = 'test', secret_access_key = 'test')",
        moto.url()
    );
    let server = builder()
        .env("WEIR_ALLOW_PRIVATE_NETWORK", "true")
        .env("WEIR_HISTORY_LOCATION", "s3://lake/history/")
        .env("WEIR_HISTORY_CONNECTION", "lake")
        .start();
    let client = server.client();
    client.run(&[&connection, CREATE]).await;
    fill(&client, 0, 1000).await;
    converted(&client).await;
    let location = client.value("SELECT min(location) FROM weir.history").await;
    assert!(
        location
            .as_str()
            .unwrap()
            .starts_with("s3://lake/history/s/"),
        "{location}"
    );
    holds(&client, 1000).await;
    let server = server.kill().start();
    holds(&server.client(), 1000).await;
    server.stop();
}
