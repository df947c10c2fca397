//! NDJSON of about 190 bytes a row through REST, in batches of 10,000, each durable when it is acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::report::{Promise, Report};
use crate::wire::Wire;
use crate::{Bench, runtime};

const BATCH_ROWS: u64 = 10_000;

pub(crate) fn run(bench: &Bench, report: &mut Report) {
    let server = bench.server().start();
    let create = "CREATE STREAM bids (auction BIGINT, bidder BIGINT, price BIGINT, channel TEXT, url TEXT, at TIMESTAMP) WITH (partitions = 4)";
    runtime().block_on(async { server.client().run(&[create]).await });
    let bodies: Vec<Vec<u8>> = (0..8).map(body).collect();
    let row_bytes = bodies[0].len() as f64 / BATCH_ROWS as f64;
    let span = Duration::from_secs(bench.choose(15, 2));
    let mut best: f64 = 0.0;
    for connections in [1, 2, 4] {
        let rate = measure(server.address(), &bodies, connections, span);
        let what = format!(
            "NDJSON ingest, {row_bytes:.0} B a row, batches of {BATCH_ROWS}, durable, {connections} at once"
        );
        report.add(what, rate, "rows/s", Promise::None);
        best = best.max(rate);
    }
    report.add(
        "  the best of these",
        best,
        "rows/s",
        Promise::AtLeast(600_000.0),
    );
    server.stop();
}

fn body(seed: u64) -> Vec<u8> {
    let mut body = Vec::new();
    for row in 0..BATCH_ROWS {
        let number = (seed * BATCH_ROWS + row).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
        let line = format!(
            "{{\"auction\":{},\"bidder\":{},\"price\":{},\"channel\":\"channel-{:04}\",\"url\":\"https://www.example.org/item/{:012}/offers.html?query=1\",\"at\":\"2024-01-01T{:02}:{:02}:{:02}.{:03}Z\"}}\n",
            1000 + number % 9000,
            1_000_000 + number % 8_999_999,
            100 + number % 99_999,
            number % 10_000,
            number % 1_000_000_000_000,
            number % 24,
            number % 60,
            number % 59,
            number % 1000,
        );
        body.extend_from_slice(line.as_bytes());
    }
    body
}

fn measure(address: &str, bodies: &[Vec<u8>], connections: usize, span: Duration) -> f64 {
    let rows = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for connection in 0..connections {
            let rows = rows.clone();
            scope.spawn(move || {
                let mut wire = Wire::connect(address).expect("the server takes connections");
                let headers = [("content-type", "application/x-ndjson")];
                let requests: Vec<Vec<u8>> = bodies
                    .iter()
                    .map(|body| wire.request("POST", "/v1/topics/bids/records", &headers, body))
                    .collect();
                let mut at = connection;
                while begun.elapsed() < span {
                    wire.ask(&requests[at % requests.len()])
                        .expect("the rows are taken");
                    rows.fetch_add(BATCH_ROWS, Ordering::Relaxed);
                    at += 1;
                }
            });
        }
    });
    rows.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64()
}
