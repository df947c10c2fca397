//! `SELECT 1` over kept-alive connections, on cores that client and server share.

use std::time::{Duration, Instant};

use crate::Bench;
use crate::latency::Latencies;
use crate::report::{Promise, Report};
use crate::wire::Wire;

pub(crate) fn run(bench: &Bench, report: &mut Report) {
    let server = bench.server().start();
    let address = server.address().to_owned();
    let span = Duration::from_secs(bench.choose(10, 1));
    let _ = measure(&address, 4, Duration::from_secs(1));
    let (mut latencies, rate) = measure(&address, 1, span);
    report.add(
        "SELECT 1 over REST, 1 connection: p50",
        latencies.percentile_ms(50.0),
        "ms",
        Promise::Below(1.0),
    );
    report.add(
        "  p99",
        latencies.percentile_ms(99.0),
        "ms",
        Promise::Below(5.0),
    );
    report.add("  rate", rate, "req/s", Promise::None);
    let (mut latencies, rate) = measure(&address, 8, span);
    report.add(
        "SELECT 1 over REST, 8 connections: rate",
        rate,
        "req/s",
        Promise::AtLeast(5000.0),
    );
    report.add("  p50", latencies.percentile_ms(50.0), "ms", Promise::None);
    report.add(
        "  p99",
        latencies.percentile_ms(99.0),
        "ms",
        Promise::Below(5.0),
    );
    server.stop();
}

/// Asks on `connections` at once for `span`.
fn measure(address: &str, connections: usize, span: Duration) -> (Latencies, f64) {
    let threads: Vec<_> = (0..connections)
        .map(|_| {
            let address = address.to_owned();
            std::thread::spawn(move || {
                let mut wire = Wire::connect(&address).expect("the server takes connections");
                let headers = [
                    ("accept", "application/json"),
                    ("content-type", "text/plain"),
                ];
                let request = wire.request("POST", "/v1/sql", &headers, b"SELECT 1");
                let mut latencies = Latencies::default();
                let begun = Instant::now();
                while begun.elapsed() < span {
                    let asked = Instant::now();
                    let body = wire.ask(&request).expect("SELECT 1 is answered");
                    latencies.push(asked.elapsed());
                    assert!(!body.is_empty());
                }
                latencies
            })
        })
        .collect();
    let mut all = Latencies::default();
    for thread in threads {
        all.merge(thread.join().expect("a client does not panic"));
    }
    let rate = all.len() as f64 / span.as_secs_f64();
    (all, rate)
}
