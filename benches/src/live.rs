//! From a row's acknowledgement to the row in a live reader's hands, at 10,000 rows/s.

use std::collections::HashMap;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::latency::Latencies;
use crate::report::{Promise, Report};
use crate::wire::Wire;
use crate::{Bench, runtime};

const ROWS_PER_SECOND: u64 = 10_000;
/// One request of so many rows at a time.
const BATCH_ROWS: u64 = 50;
const WRITERS: u64 = 4;

pub(crate) fn run(bench: &Bench, report: &mut Report) {
    let server = bench.server().start();
    let create = "CREATE STREAM ticks (batch BIGINT, n BIGINT, price DOUBLE, text TEXT)";
    runtime().block_on(async { server.client().run(&[create]).await });
    let seconds = bench.choose(20, 3);
    let batches = seconds * ROWS_PER_SECOND / BATCH_ROWS;
    let address = server.address().to_owned();
    let (acknowledged, acknowledgements) = mpsc::channel::<(u64, Instant)>();
    let (arrived, arrivals) = mpsc::channel::<(u64, Instant)>();

    let reader = {
        let address = address.clone();
        std::thread::spawn(move || {
            let mut wire = Wire::connect(&address).expect("the server takes connections");
            let headers = [
                ("accept", "application/x-ndjson"),
                ("content-type", "text/plain"),
            ];
            let request = wire.request(
                "POST",
                "/v1/sql",
                &headers,
                b"SELECT batch, n, price FROM ticks WHERE price > 0 EMIT CHANGES",
            );
            let mut left = batches * BATCH_ROWS;
            let done = wire.follow(&request, |line| {
                let now = Instant::now();
                let batch = batch_of(line).expect("a row has a batch");
                arrived.send((batch, now)).expect("the measure goes on");
                left -= 1;
                left > 0
            });
            done.expect("the live query goes on");
        })
    };
    // The reader is there before the first row.
    std::thread::sleep(Duration::from_millis(500));
    let begun = Instant::now();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (address, acknowledged) = (address.clone(), acknowledged.clone());
            std::thread::spawn(move || write(&address, writer, batches, begun, &acknowledged))
        })
        .collect();
    drop(acknowledged);
    for writer in writers {
        writer.join().expect("a writer does not panic");
    }
    let took = begun.elapsed();
    reader.join().expect("the reader does not panic");
    let acknowledged: HashMap<u64, Instant> = acknowledgements.into_iter().collect();
    let mut latencies = Latencies::default();
    for (batch, at) in arrivals {
        // A row may be read before its writer has heard of it.
        latencies.push(at.saturating_duration_since(acknowledged[&batch]));
    }
    let rate = (batches * BATCH_ROWS) as f64 / took.as_secs_f64();
    report.add(
        "live, acknowledged to read: p50",
        latencies.percentile_ms(50.0),
        "ms",
        Promise::Below(3.0),
    );
    report.add(
        "  p99",
        latencies.percentile_ms(99.0),
        "ms",
        Promise::Below(15.0),
    );
    report.add(
        "  at a rate of",
        rate,
        "rows/s",
        Promise::AtLeast(ROWS_PER_SECOND as f64 * 0.95),
    );
    server.stop();
}

/// Writes its share of the batches, each at its time.
fn write(
    address: &str,
    writer: u64,
    batches: u64,
    begun: Instant,
    acknowledged: &mpsc::Sender<(u64, Instant)>,
) {
    let mut wire = Wire::connect(address).expect("the server takes connections");
    let headers = [("content-type", "application/x-ndjson")];
    for batch in (writer..batches).step_by(usize::try_from(WRITERS).expect("a few")) {
        let body: String = (0..BATCH_ROWS)
            .map(|n| format!("{{\"batch\":{batch},\"n\":{n},\"price\":{n}.5,\"text\":\"some words to carry along\"}}\n"))
            .collect();
        // The price is above zero in every row.
        let body = body.replace("\"price\":0.5", "\"price\":1.5");
        let request = wire.request(
            "POST",
            "/v1/topics/ticks/records",
            &headers,
            body.as_bytes(),
        );
        let due = begun + Duration::from_micros(batch * BATCH_ROWS * 1_000_000 / ROWS_PER_SECOND);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        wire.ask(&request).expect("the rows are taken");
        acknowledged
            .send((batch, Instant::now()))
            .expect("the measure goes on");
    }
}

/// The number after `"batch":`, without the cost of a JSON parser.
fn batch_of(line: &[u8]) -> Option<u64> {
    let start = line.windows(8).position(|piece| piece == b"\"batch\":")? + 8;
    let digits = line[start..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit());
    std::str::from_utf8(&line[start..start + digits.count()])
        .ok()?
        .parse()
        .ok()
}
