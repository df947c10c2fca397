//! Sinks: their targets have the batch answer after every crash, each row once.

use std::collections::BTreeMap;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use weir_tests::wait::{check, eventually};
use weir_tests::{Client, Server, python};

use super::{random, rounds, server};

const TOTALS: &str = "SELECT k, count(*) AS n, sum(v) AS total FROM s GROUP BY k";

/// Each target that can be read as rows, and the query that it is to have the rows of.
fn targets(folder: &str) -> Vec<(String, String)> {
    vec![
        (
            "SELECT id, k, v FROM dear".to_owned(),
            "SELECT id, k, v FROM s WHERE v > 3".to_owned(),
        ),
        ("SELECT * FROM sums".to_owned(), TOTALS.to_owned()),
        (
            "SELECT * FROM seen".to_owned(),
            "SELECT v FROM s".to_owned(),
        ),
        (
            "SELECT * FROM names".to_owned(),
            "SELECT m.k, m.n, t.name FROM totals AS m JOIN t ON t.k = m.k".to_owned(),
        ),
        (
            format!("SELECT id, v, k FROM read_parquet('{folder}')"),
            "SELECT id, v, k FROM s".to_owned(),
        ),
    ]
}

/// How often each row is there.
type Counts = BTreeMap<String, i64>;

async fn counts(client: &Client, sql: &str) -> Result<Counts, String> {
    let mut counts = Counts::new();
    match client.sql(sql).await {
        Ok(rows) => {
            for row in rows.rows {
                *counts.entry(format!("{row:?}")).or_default() += 1;
            }
        }
        // A folder without files is none, or there is not even a folder.
        Err(problem) if matches!(problem.sqlstate(), "42704" | "58P01") => {}
        Err(problem) => {
            return Err(format!(
                "{sql}: {} {}",
                problem.sqlstate(),
                problem.detail()
            ));
        }
    }
    Ok(counts)
}

/// The records of a topic, in order, as JSON.
async fn records(client: &Client, stream: &str) -> Vec<(String, Value)> {
    let sql = format!(
        "SELECT coalesce(CAST(_key AS TEXT), ''), coalesce(CAST(_value AS TEXT), 'null') FROM {stream} ORDER BY _partition, _offset"
    );
    let rows = client.rows(&sql).await.rows.into_iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    rows.map(|row| {
        let value = serde_json::from_str(&text(&row[1])).unwrap();
        (text(&row[0]), value)
    })
    .collect()
}

fn row(value: &Value) -> String {
    format!("{} {} {}", value["k"], value["n"], value["total"])
}

/// What the changes in a topic sum up to. No row may go that is not there.
async fn folded(client: &Client) -> Counts {
    let mut counts = Counts::new();
    for (_, value) in records(client, "changelog").await {
        let count = counts.entry(row(&value)).or_default();
        *count += match value["_op"].as_str().unwrap() {
            "insert" | "update_after" => 1,
            _ => -1,
        };
        assert!((0..=1).contains(count), "{value} comes or goes twice");
    }
    counts.retain(|_, count| *count != 0);
    counts
}

/// The newest row of each key in a topic.
async fn newest(client: &Client) -> Counts {
    let mut newest = BTreeMap::new();
    for (key, value) in records(client, "upserts").await {
        match value {
            Value::Null => newest.remove(&key),
            value => newest.insert(key, row(&value)),
        };
    }
    newest.into_values().map(|row| (row, 1)).collect()
}

async fn totals(client: &Client) -> Counts {
    let rows = client.rows(TOTALS).await.rows.into_iter();
    rows.map(|row| (format!("{} {} {}", row[0], row[1], row[2]), 1))
        .collect()
}

async fn check_all(client: &Client, folder: &str) {
    for (target, query) in targets(folder) {
        eventually(&target, async || {
            let (is, should) = (
                counts(client, &target).await?,
                counts(client, &query).await?,
            );
            check(is == should, format!("{is:?}, not {should:?}"))
        })
        .await;
    }
    eventually("the changes sum up to the totals", async || {
        let (is, should) = (folded(client).await, totals(client).await);
        check(is == should, format!("{is:?}, not {should:?}"))
    })
    .await;
    eventually("the newest rows are the totals", async || {
        let (is, should) = (newest(client).await, totals(client).await);
        check(is == should, format!("{is:?}, not {should:?}"))
    })
    .await;
}

/// One write, acknowledged or not.
async fn write(client: &Client, random: &mut SmallRng, next: &mut i64) -> bool {
    let k = random.random_range(0..5);
    let sql = match random.random_range(0..4) {
        0 => format!(
            "INSERT INTO t VALUES ({k}, 'n{next}') ON CONFLICT (k) DO UPDATE SET name = excluded.name"
        ),
        1 => format!("DELETE FROM t WHERE k = {k}"),
        _ => {
            let rows = random.random_range(1..20);
            let rows =
                (*next..*next + rows).map(|id| format!("({id}, {}, {})", id % 5, id * 7 % 11));
            let rows = rows.collect::<Vec<_>>().join(", ");
            format!("INSERT INTO s VALUES {rows}")
        }
    };
    *next += 20;
    matches!(client.try_sql(&sql).await, Some(Ok(_)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_has_the_batch_answer_after_every_crash() {
    let mut random = random("sinks");
    let mut next = 0;
    let out = tempfile::tempdir().unwrap();
    let folder = format!("{}/out/", out.path().display());
    let mut running = server()
        .allow_path(out.path())
        .config("[topics]\nupkeep_interval = \"50ms\"\n")
        .start();
    let files = format!(
        "CREATE SINK to_files FROM s WITH (connector = 'files', location = '{folder}', partition_by = 'k', rollover_rows = 15, rollover_interval = '50ms')"
    );
    let materialized = format!("CREATE MATERIALIZED VIEW totals AS {TOTALS}");
    running
        .client()
        .run(&[
            "CREATE STREAM s (id BIGINT, k BIGINT, v BIGINT) WITH (partitions = 3)",
            "CREATE TABLE t (k BIGINT PRIMARY KEY, name TEXT)",
            &materialized,
            "CREATE STREAM dear (id BIGINT, k BIGINT, v BIGINT) WITH (partitions = 2, key = 'id')",
            "INSERT INTO dear SELECT id, k, v FROM s WHERE v > 3 EMIT CHANGES",
            "CREATE TABLE sums (k BIGINT PRIMARY KEY, n BIGINT, total BIGINT)",
            "CREATE SINK to_sums INTO sums FROM totals",
            "CREATE TABLE seen (v BIGINT)",
            "CREATE SINK to_seen INTO seen AS SELECT v FROM s",
            "CREATE TABLE names (k BIGINT PRIMARY KEY, n BIGINT, name TEXT)",
            "CREATE SINK to_names INTO names AS SELECT m.k, m.n, t.name FROM totals AS m JOIN t ON t.k = m.k",
            "CREATE SINK to_changelog FROM totals WITH (connector = 'topic', topic = 'changelog', envelope = 'changelog')",
            "CREATE SINK to_upserts FROM totals WITH (connector = 'topic', topic = 'upserts', envelope = 'upsert', key = 'k', partitions = 2)",
            &files,
        ])
        .await;
    for round in 0..rounds() {
        let client = running.client();
        for _ in 0..random.random_range(1..20) {
            assert!(write(&client, &mut random, &mut next).await);
        }
        running = match round % 4 {
            0 => running.stop().start(),
            _ => {
                // Writes are on their way when it dies.
                let writing = {
                    let client = client.clone();
                    let mut random = SmallRng::seed_from_u64(u64::from(round));
                    let mut first = next + 100_000;
                    next += 1_000_000;
                    tokio::spawn(
                        async move { while write(&client, &mut random, &mut first).await {} },
                    )
                };
                let pause = random.random_range(0..300);
                tokio::time::sleep(std::time::Duration::from_millis(pause)).await;
                let killed = running.kill();
                writing.await.unwrap();
                killed.start()
            }
        };
        check_all(&running.client(), &folder).await;
        // A table that no view reads wakes who joins it with a view.
        let last = format!(
            "INSERT INTO t VALUES (0, 'last {round}') ON CONFLICT (k) DO UPDATE SET name = excluded.name"
        );
        running.client().run(&[last.as_str()]).await;
        check_all(&running.client(), &folder).await;
    }
    running.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_whose_target_is_away_tries_again_and_stops_nobody() {
    let out = tempfile::tempdir().unwrap();
    let folder = out.path().join("out");
    let running = Server::builder()
        .allow_path(out.path())
        .expect_log("a sink cannot write; it tries again")
        .start();
    let client = running.client();
    // A file is where the folder should be.
    std::fs::write(&folder, "in the way").unwrap();
    let files = format!(
        "CREATE SINK out FROM s WITH (connector = 'files', location = '{}/', rollover_interval = '10ms')",
        folder.display()
    );
    client
        .run(&[
            "CREATE STREAM s (id BIGINT)",
            "CREATE STREAM copy (id BIGINT)",
            &files,
            "INSERT INTO copy SELECT id FROM s EMIT CHANGES",
            "CREATE MATERIALIZED VIEW m AS SELECT count(*) AS n FROM s",
            "INSERT INTO s VALUES (1), (2)",
            "FLUSH",
        ])
        .await;
    assert_eq!(client.number("SELECT n FROM m").await, 2);
    let job = "SELECT state || ' ' || coalesce(error, '') FROM weir.jobs WHERE name = 'out'";
    eventually("the sink says that it tries again", async || {
        let job = client.value(job).await.to_string();
        check(job.contains("retrying") && job.len() > 12, job)
    })
    .await;
    eventually("another sink goes on", async || {
        let count = client.number("SELECT count(*) FROM copy").await;
        check(count == 2, count)
    })
    .await;
    std::fs::remove_file(&folder).unwrap();
    client.run(&["INSERT INTO s VALUES (3)"]).await;
    let written = format!("SELECT count(*) FROM read_parquet('{}/')", folder.display());
    eventually("all rows are written, each once", async || {
        match client.sql(&written).await {
            Ok(rows) => check(rows.rows[0][0] == 3, format!("{:?}", rows.rows)),
            Err(problem) => Err(problem.detail()),
        }
    })
    .await;
    running.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_written_stops_a_sink_which_goes_on_when_it_can() {
    let running = Server::builder().expect_log("a sink has failed").start();
    let client = running.client();
    client
        .run(&[
            "CREATE TABLE t (id BIGINT PRIMARY KEY, k BIGINT)",
            "CREATE STREAM s (v BIGINT)",
            "CREATE STREAM small (v BIGINT CHECK (v < 10))",
            "CREATE SINK twins FROM t WITH (connector = 'topic', envelope = 'upsert', key = 'k')",
            "CREATE SINK checked INTO small FROM s",
            "INSERT INTO t VALUES (1, 1), (2, 1)",
            "INSERT INTO s VALUES (1), (100)",
        ])
        .await;
    for (sink, why) in [
        ("twins", "the query has two rows with the key (k = 1)"),
        ("checked", "it violates constraint"),
    ] {
        let job = format!("SELECT state || ': ' || error FROM weir.jobs WHERE name = '{sink}'");
        eventually(sink, async || {
            let rows = client.rows(&job).await.rows;
            let job = format!("{rows:?}");
            check(job.contains("failed: ") && job.contains(why), job)
        })
        .await;
    }
    assert_eq!(client.number("SELECT count(*) FROM small").await, 0);
    client
        .run(&["UPDATE t SET k = 2 WHERE id = 2", "ALTER SINK twins RESUME"])
        .await;
    eventually("the sink goes on", async || {
        let count = client.number("SELECT count(*) FROM twins_topic").await;
        check(count == 2, count)
    })
    .await;
    running.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kafka_consumer_sees_each_row_once() {
    let mut random = random("sinks_kafka");
    let mut running = server().kafka().start();
    running
        .client()
        .run(&[
            "CREATE STREAM s (id BIGINT, k BIGINT)",
            "CREATE STREAM out (id BIGINT, k BIGINT) WITH (partitions = 3, key = 'k')",
            "INSERT INTO out SELECT id, k FROM s WHERE k <> 1 EMIT CHANGES",
        ])
        .await;
    let mut next = 0;
    for _ in 0..rounds() / 2 {
        let client = running.client();
        let writing = {
            let client = client.clone();
            let first = next;
            next += 1_000_000;
            tokio::spawn(async move {
                let mut next = first;
                loop {
                    let rows = (next..next + 50).map(|id| format!("({id}, {})", id % 7));
                    let rows = rows.collect::<Vec<_>>().join(", ");
                    let insert = format!("INSERT INTO s VALUES {rows}");
                    if !matches!(client.try_sql(&insert).await, Some(Ok(_))) {
                        return;
                    }
                    next += 50;
                }
            })
        };
        let pause = random.random_range(50..400);
        tokio::time::sleep(std::time::Duration::from_millis(pause)).await;
        let killed = running.kill();
        writing.await.unwrap();
        running = killed.start();
    }
    let client = running.client();
    let should = counts(&client, "SELECT id, k FROM s WHERE k <> 1").await;
    let should = should.expect("the stream is there");
    eventually("all rows are there", async || {
        let is = counts(&client, "SELECT id, k FROM out").await?;
        check(
            is == should,
            format!("{} rows, not {}", is.len(), should.len()),
        )
    })
    .await;
    let said = python::run("kafka_committed.py", &[&running.kafka(), "out"]);
    let mut seen = Counts::new();
    for line in said.lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        let row = format!("{:?}", [&value["id"], &value["k"]]);
        *seen.entry(row).or_default() += 1;
    }
    assert_eq!(seen, should);
    running.stop();
}
