//! Small questions while every core is busy with large ones, on new connections.

use std::time::{Duration, Instant};

use crate::Bench;
use crate::latency::Latencies;
use crate::report::{Promise, Report};
use crate::wire::Wire;

const SLOW: &str = "SELECT count(*) AS slow FROM generate_series(1, 1000000) AS a(x) \
    CROSS JOIN generate_series(1, 1000000) AS b(y) WHERE (x * 7 + y) % 1000003 = 1000002";

pub(crate) fn run(bench: &Bench, report: &mut Report) {
    let server = bench.server().start();
    let address = server.address().to_owned();
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let busy: Vec<Wire> = (0..cores * 2)
        .map(|_| {
            let wire = Wire::connect(&address).expect("the server takes connections");
            let request = wire.request(
                "POST",
                "/v1/sql",
                &[
                    ("accept", "application/json"),
                    ("content-type", "text/plain"),
                ],
                SLOW.as_bytes(),
            );
            wire.send_only(&request).expect("the query is taken");
            wire
        })
        .collect();
    std::thread::sleep(Duration::from_secs(2));
    let times = bench.choose(200, 20);
    for (what, method, path, body) in [
        ("SELECT 1", "POST", "/v1/sql", &b"SELECT 1"[..]),
        ("/livez", "GET", "/livez", &b""[..]),
    ] {
        let mut latencies = Latencies::default();
        for _ in 0..times {
            let asked = Instant::now();
            let mut wire = Wire::connect(&address).expect("the server takes connections");
            let request = wire.request(
                method,
                path,
                &[
                    ("accept", "application/json"),
                    ("content-type", "text/plain"),
                ],
                body,
            );
            wire.ask(&request).expect("it is answered");
            latencies.push(asked.elapsed());
        }
        let label = format!(
            "{what} with all cores busy ({} heavy queries): slowest of {times}",
            cores * 2
        );
        report.add(
            label,
            latencies.percentile_ms(100.0),
            "ms",
            Promise::Below(100.0),
        );
        report.add("  p50", latencies.percentile_ms(50.0), "ms", Promise::None);
    }
    drop(busy);
    server.kill();
}
