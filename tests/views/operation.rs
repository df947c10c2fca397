//! How an operator sees and bounds views and sinks.

use weir_tests::wait::{self, eventually};
use weir_tests::{Client, Server, client};

/// The value of a metric of one view or sink.
async fn metric(client: &Client, metric: &str, name: &str) -> Option<f64> {
    let response = client
        .send(client.request(client::Method::GET, "/metrics"))
        .await;
    let text = response.text().await.expect("metrics are text");
    let label = format!("name=\"{name}\"");
    let mut lines = text.lines();
    let line = lines.find(|line| {
        line.strip_prefix(metric)
            .is_some_and(|rest| rest.starts_with('{') && rest.contains(&label))
    })?;
    let value = line.rsplit(' ').next().expect("a line has a value");
    Some(value.parse().expect("a value is a number"))
}

#[tokio::test]
async fn views_and_sinks_are_measured() {
    let server = Server::builder()
        .config("[views]\ncheckpoint_interval = \"50ms\"\n")
        .start();
    let client = server.client();
    client
        .run(&[
            "CREATE STREAM s (k BIGINT, v BIGINT)",
            "INSERT INTO s VALUES (1, 1), (1, 2), (2, 0)",
            "CREATE MATERIALIZED VIEW sums AS SELECT k, sum(v) AS total FROM s GROUP BY k",
            "CREATE MATERIALIZED VIEW ratios WITH (on_error = 'skip') AS SELECT 10 / v AS ratio FROM s",
            "CREATE TABLE t (k BIGINT PRIMARY KEY, total BIGINT)",
            "CREATE SINK copy INTO t AS SELECT k, sum(v) AS total FROM s GROUP BY k",
            "INSERT INTO s VALUES (1, 3)",
            "FLUSH",
        ])
        .await;
    eventually("the sink has written", async || {
        let rows = client.number("SELECT coalesce(sum(total), 0) FROM t").await;
        wait::check(rows == 6, format!("{rows}"))
    })
    .await;
    for (name, metrics) in [
        (
            "sums",
            &[
                ("weir_job_rows_read_total", 4.0),
                // Two rows came, and then one took the place of another.
                ("weir_job_rows_written_total", 4.0),
                ("weir_job_rows_behind", 0.0),
                ("weir_job_behind_seconds", 0.0),
            ][..],
        ),
        ("ratios", &[("weir_job_rows_skipped_total", 1.0)]),
        (
            "copy",
            &[
                ("weir_job_rows_read_total", 4.0),
                ("weir_job_rows_behind", 0.0),
            ],
        ),
    ] {
        for (of, expected) in metrics {
            eventually(of, async || {
                let found = metric(&client, of, name).await;
                wait::check(found == Some(*expected), format!("{name}: {found:?}"))
            })
            .await;
        }
    }
    for of in [
        "weir_job_step_seconds_total",
        "weir_job_steps_total",
        "weir_job_state_bytes",
    ] {
        let found = metric(&client, of, "sums").await;
        assert!(found.is_some_and(|value| value > 0.0), "{of}: {found:?}");
    }
    // What has come is saved in its time, also if nothing comes any more.
    for round in 0..5 {
        let before = client.value("SELECT now()::text").await;
        let insert = format!("INSERT INTO s VALUES ({}, 1)", 10 + round);
        client.run(&[insert.as_str(), "FLUSH"]).await;
        let before = before.as_str().expect("a moment is a text");
        let saved = format!(
            "SELECT count(*) FROM weir.jobs WHERE name IN ('sums', 'copy') AND checkpoint_at > '{before}'"
        );
        eventually("the state is saved", async || {
            let jobs = client.number(&saved).await;
            wait::check(jobs == 2, format!("{jobs} of 2"))
        })
        .await;
    }
    let age = metric(&client, "weir_job_checkpoint_age_seconds", "sums").await;
    assert!(age.is_some());
    let states = client
        .send(client.request(client::Method::GET, "/metrics"))
        .await;
    let states = states.text().await.unwrap();
    for line in [
        "weir_jobs{type=\"sink\",state=\"running\"} 1",
        "weir_jobs{type=\"view\",state=\"running\"} 2",
    ] {
        assert!(states.lines().any(|found| found == line), "{line}");
    }
    server.stop();
}

#[tokio::test]
async fn a_view_with_a_rate_holds_nobody_back() {
    let server = Server::start();
    let client = server.client();
    client
        .run(&[
            "CREATE STREAM s (n BIGINT) WITH (partitions = 2)",
            "CREATE MATERIALIZED VIEW quick AS SELECT count(*) AS n, sum(n) AS total FROM s",
            "CREATE MATERIALIZED VIEW slow WITH (rate = 500) AS SELECT count(*) AS n, sum(n) AS total FROM s",
            "CREATE MATERIALIZED VIEW above AS SELECT n * 2 AS twice FROM slow",
        ])
        .await;
    let began = std::time::Instant::now();
    client
        .run(&[
            "INSERT INTO s SELECT n FROM generate_series(1, 2000) AS g(n)",
            "FLUSH",
        ])
        .await;
    assert_eq!(client.number("SELECT n FROM quick").await, 2000);
    let behind = "SELECT rows_behind FROM weir.jobs WHERE name = 'slow' AND rate = 500";
    eventually("it is behind", async || {
        let rows = client.number(behind).await;
        wait::check(rows > 0, format!("{rows}"))
    })
    .await;
    eventually("it comes to the end", async || {
        let n = client.number("SELECT n FROM slow").await;
        wait::check(n == 2000, format!("{n}"))
    })
    .await;
    let took = began.elapsed();
    assert!(took.as_millis() >= 3500, "2000 rows in {took:?}");
    eventually("who reads it follows", async || {
        let twice = client.number("SELECT twice FROM above").await;
        wait::check(twice == 4000, format!("{twice}"))
    })
    .await;
    // Without its rate it goes in step with the others again, also through a restart with another.
    client
        .run(&[
            "ALTER MATERIALIZED VIEW slow RESET (rate)",
            "INSERT INTO s SELECT n FROM generate_series(1, 10000) AS g(n)",
            "FLUSH",
        ])
        .await;
    assert_eq!(client.number("SELECT n FROM slow").await, 12_000);
    assert_eq!(client.number("SELECT twice FROM above").await, 24_000);
    client
        .run(&["ALTER MATERIALIZED VIEW slow SET (rate = 1000000, memory = '64MB')"])
        .await;
    let server = server.kill().start();
    let client = server.client();
    client.run(&["INSERT INTO s VALUES (1)"]).await;
    eventually("it goes on", async || {
        let n = client.number("SELECT n FROM slow").await;
        wait::check(n == 12_001, format!("{n}"))
    })
    .await;
    let same = "SELECT count(*) FROM slow JOIN quick USING (n, total)";
    eventually("both are the same", async || {
        let n = client.number(same).await;
        wait::check(n == 1, format!("{n}"))
    })
    .await;
    server.stop();
}

#[tokio::test]
async fn a_sink_with_a_rate_takes_its_time() {
    let server = Server::start();
    let client = server.client();
    client
        .run(&[
            "CREATE STREAM s (n BIGINT)",
            "CREATE STREAM t (n BIGINT)",
            "INSERT INTO s SELECT n FROM generate_series(1, 100000) AS g(n)",
            "CREATE SINK copy INTO t WITH (rate = 1000) AS SELECT n FROM s",
        ])
        .await;
    eventually("it begins", async || {
        let n = client.number("SELECT count(*) FROM t").await;
        wait::check(n > 0, format!("{n}"))
    })
    .await;
    assert!(client.number("SELECT count(*) FROM t").await < 100_000);
    client.run(&["ALTER SINK copy RESET (rate)"]).await;
    wait::within(
        std::time::Duration::from_secs(30),
        "it is as fast as it can",
        async || {
            let n = client.number("SELECT count(*) FROM t").await;
            wait::check(n == 100_000, format!("{n}"))
        },
    )
    .await;
    server.stop();
}
