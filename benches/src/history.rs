//! A full-scan aggregate over a stream's past: from the raw log, from its history in Parquet, and from a plain Parquet table of
//! the same rows.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use weir_tests::{Client, Server, wait};

use crate::report::{Promise, Report};
use crate::wire::Wire;
use crate::{Bench, runtime};

const BODY_ROWS: u64 = 100_000;
const COLUMNS: &str = "id BIGINT, kind TEXT, amount BIGINT, price DOUBLE PRECISION, at TIMESTAMP";

pub(crate) fn run(bench: &Bench, report: &mut Report) {
    let rows = bench.choose(20_000_000, 1_000_000);
    let plain = bench.data.join("history-plain");
    _ = std::fs::remove_dir_all(&plain);
    std::fs::create_dir_all(&plain).expect("the data folder is writable");
    let server = bench
        .server()
        .allow_path(&bench.data)
        .env("WEIR_HISTORY_INTERVAL", "200ms")
        .env("WEIR_TOPICS_UPKEEP_INTERVAL", "1s")
        // What is measured is decoding, not what was decoded before.
        .env("WEIR_LIMITS_DECODED_ROWS", "0")
        .env("WEIR_LIMITS_QUERY_TIMEOUT", "1h")
        .start();
    let client = server.client();
    let runtime = runtime();
    let create = format!(
        "CREATE STREAM ev ({COLUMNS}) WITH (partitions = 2, history = 'log', \"segment.bytes\" = {})",
        bench.choose(128 << 20, 8 << 20)
    );
    runtime.block_on(client.run(&[create.as_str()]));
    fill(&server, rows);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let runs = bench.choose(5, 2);

    let log = best(&runtime, &client, &over("ev"), runs);
    let per_core = rows as f64 / log.as_secs_f64() / threads as f64;
    let label = format!("Aggregate over {} M JSON records", rows / 1_000_000);
    report.add(
        format!("{label}: the raw log"),
        per_core,
        "rows/s a core",
        Promise::AtLeast(1_500_000.0),
    );

    let started = Instant::now();
    // All of it is to be converted, the segments that grow too.
    runtime.block_on(async {
        client
            .run(&["ALTER STREAM ev SET (history = 'parquet', \"segment.ms\" = 1000)"])
            .await;
        let open =
            "SELECT coalesce(sum(end_offset - base_offset), 0) FROM weir.segments WHERE topic = 'ev'";
        let patience = Duration::from_secs(600);
        wait::within(
            patience,
            "the segments are converted",
            async || match client.number(open).await {
                0 => Ok(()),
                open => Err(open),
            },
        )
        .await;
    });
    report.add(
        "  converting it, one thread",
        rows as f64 / started.elapsed().as_secs_f64(),
        "rows/s",
        Promise::None,
    );
    let folder = format!("{}/", plain.display());
    let copy = format!("COPY (SELECT * FROM ev) TO '{folder}' STORED AS PARQUET");
    let table = format!("CREATE EXTERNAL TABLE plain STORED AS PARQUET LOCATION '{folder}'");
    runtime.block_on(client.run(&[copy.as_str(), table.as_str()]));
    // By turns, so that both meet the same machine.
    let (mut history, mut parquet) = (Duration::MAX, Duration::MAX);
    for _ in 0..runs {
        history = history.min(best(&runtime, &client, &over("ev"), 1));
        parquet = parquet.min(best(&runtime, &client, &over("plain"), 1));
    }
    report.add(
        "  its history in Parquet",
        rows as f64 / history.as_secs_f64() / threads as f64,
        "rows/s a core",
        Promise::None,
    );
    report.add(
        "  its time to that of a plain Parquet table",
        history.as_secs_f64() / parquet.as_secs_f64(),
        "×",
        Promise::Below(1.2),
    );
    server.stop();
    _ = std::fs::remove_dir_all(&plain);
}

fn over(relation: &str) -> String {
    format!(
        "SELECT kind, count(*), sum(amount), min(price), max(price), avg(price) FROM {relation} GROUP BY kind ORDER BY kind"
    )
}

/// The shortest time that a query takes to its last row.
fn best(runtime: &Runtime, client: &Client, sql: &str, runs: usize) -> Duration {
    let times = (0..runs).map(|_| {
        let started = Instant::now();
        let answer = runtime.block_on(client.rows(sql));
        assert!(!answer.rows.is_empty(), "{sql} has rows");
        started.elapsed()
    });
    times.min().unwrap_or(Duration::MAX)
}

/// Sends rows through REST, as a client would.
fn fill(server: &Server, rows: u64) {
    let sent = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut wire =
                    Wire::connect(server.address()).expect("the server takes connections");
                let headers = [("content-type", "application/x-ndjson")];
                loop {
                    let first = sent.fetch_add(BODY_ROWS, Ordering::Relaxed);
                    if first >= rows {
                        return;
                    }
                    let body = body(first..rows.min(first + BODY_ROWS));
                    let request =
                        wire.request("POST", "/v1/topics/ev/records", &headers, body.as_bytes());
                    wire.ask(&request).expect("the rows are taken");
                }
            });
        }
    });
}

fn body(ids: std::ops::Range<u64>) -> String {
    let mut body = String::with_capacity(BODY_ROWS as usize * 110);
    for id in ids {
        let number = id.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
        _ = writeln!(
            body,
            "{{\"id\":{id},\"kind\":\"kind-{:02}\",\"amount\":{},\"price\":{}.{:02},\"at\":\"2024-01-01T{:02}:{:02}:{:02}.{:03}Z\"}}",
            number % 50,
            number % 100_000,
            number % 999,
            number % 100,
            number % 24,
            number % 60,
            number % 59,
            number % 1000,
        );
    }
    body
}
