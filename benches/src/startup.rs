//! The time from the start of the process to `/readyz`, with 100 tables and 1 GB of log; and the memory of an idle server.

use std::time::{Duration, Instant};

use weir_tests::client::Method;
use weir_tests::{Client, Server, process};

use crate::report::{Promise, Report};
use crate::{Bench, runtime};

const TABLES: usize = 100;

pub(crate) fn run(bench: &Bench, report: &mut Report) {
    let runtime = runtime();
    let log_bytes: u64 = bench.choose(1 << 30, 32 << 20);
    let folder = tempfile::tempdir_in(&bench.data).expect("the data folder is writable");
    let server = bench.server().data_dir(folder.path()).start();
    runtime.block_on(fill(&server.client(), log_bytes));
    let mut builder = server.stop();
    let runs = bench.choose(9, 3);
    let mut times = Vec::new();
    let mut idle = 0;
    for run in 0..runs {
        let started = Instant::now();
        let server = builder.start();
        runtime.block_on(ready(&server));
        times.push(started.elapsed());
        if run + 1 == runs {
            idle = runtime.block_on(settled_bytes(&server));
        }
        builder = server.stop();
    }
    times.sort_unstable();
    let what = format!(
        "start to /readyz, {TABLES} tables, {} MB of log, median of {runs}",
        log_bytes >> 20
    );
    report.add(
        what,
        ms(times[times.len() / 2]),
        "ms",
        Promise::Below(300.0),
    );
    let server = builder.start();
    let builder = server.kill();
    let started = Instant::now();
    let server = builder.start();
    runtime.block_on(ready(&server));
    report.add(
        "  the same after kill -9",
        ms(started.elapsed()),
        "ms",
        Promise::None,
    );
    server.stop();
    report.add(
        "idle memory (resident), the same data",
        idle as f64 / f64::from(1 << 20),
        "MB",
        Promise::Below(120.0),
    );
}

async fn fill(client: &Client, bytes: u64) {
    let half = TABLES / 2;
    for number in 0..half {
        client
            .run(&[
                &format!("CREATE TABLE table_{number} (id BIGINT PRIMARY KEY, name TEXT, price DOUBLE, at TIMESTAMP)"),
                &format!("CREATE STREAM stream_{number} (id BIGINT, text TEXT) WITH (partitions = 2)"),
            ])
            .await;
    }
    let text = "x".repeat(170);
    let rows = 10_000;
    let body: String = (0..rows)
        .map(|id| format!("{{\"id\":{id},\"text\":\"{text}\"}}\n"))
        .collect();
    let mut written = 0;
    let mut number = 0;
    while written < bytes {
        let stream = format!("stream_{}", number % half);
        let answer = client.ingest(&stream, body.clone()).await;
        answer.unwrap_or_else(|problem| panic!("{problem}"));
        written += body.len() as u64;
        number += 1;
    }
}

async fn ready(server: &Server) {
    let client = server.client();
    loop {
        let response = client.request(Method::GET, "/readyz").send().await;
        if response.is_ok_and(|response| response.status().is_success()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// The resident memory when it has not changed for a while.
async fn settled_bytes(server: &Server) -> u64 {
    let mut last = 0;
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = process::resident_bytes(server.pid());
        if now.abs_diff(last) < 256 << 10 {
            return now;
        }
        last = now;
    }
    last
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
