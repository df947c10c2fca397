//! Materialized views as rows come: from a row's acknowledgement to the changed row at a subscriber, and what idle views cost.

use std::collections::HashMap;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use weir_tests::Server;
use weir_tests::nexmark::{Events, schema};

use crate::latency::Latencies;
use crate::processor::processor_seconds;
use crate::report::{Promise, Report};
use crate::wire::Wire;
use crate::{Bench, runtime};

const ROWS_A_SECOND: u64 = 20_000;
/// One request of so many rows at a time.
const BATCH_ROWS: u64 = 50;
const WRITERS: u64 = 4;
/// Auctions from here on are those of one row in each request, by which it is known again.
const MARKS: u64 = 1_000_000_000;

/// q5's count.
const HOT: &str = "SELECT auction, window_start, count(*) AS num \
    FROM HOP(bid, date_time, INTERVAL '2' SECOND, INTERVAL '10' SECOND) GROUP BY auction, window_start";

/// Ten operators on the way of a row: stream, filter, aggregation, projection, join, projection, aggregation, projection, join,
/// projection.
const TEN_OPERATORS: &str = "SELECT u.label, x.total, x.groups FROM ( \
        SELECT y.part, sum(y.total) AS total, count(*) AS groups FROM ( \
            SELECT t.part, g.total FROM ( \
                SELECT id % 100 AS k, sum(v * 2) AS total FROM s WHERE v > 0 GROUP BY id % 100) AS g \
            JOIN t ON t.k = g.k) AS y \
        GROUP BY y.part) AS x \
    JOIN u ON u.part = x.part EMIT CHANGES";

const IDLE_VIEWS: usize = 200;

pub(crate) fn run(bench: &Bench, report: &mut Report) {
    let marked = format!("SELECT * FROM hot WHERE auction >= {MARKS} EMIT CHANGES");
    at_a_rate(bench, report, "a view's rows", &marked, true);
    let all = format!("{HOT} EMIT CHANGES");
    at_a_rate(bench, report, "all changes of the query", &all, false);
    one_row(bench, report);
    idle(bench, report);
}

/// A connection's request for a live query, as server-sent events.
fn subscription(wire: &Wire, sql: &str) -> Vec<u8> {
    let headers = [
        ("accept", "text/event-stream"),
        ("content-type", "text/plain"),
    ];
    wire.request("POST", "/v1/sql", &headers, sql.as_bytes())
}

fn at_a_rate(bench: &Bench, report: &mut Report, what: &str, sql: &str, has_view: bool) {
    let server = bench.server().start();
    let client = server.client();
    let schema = schema();
    let view = format!("CREATE MATERIALIZED VIEW hot AS {HOT}");
    let mut statements: Vec<&str> = schema.iter().map(String::as_str).collect();
    if has_view {
        statements.push(&view);
    }
    runtime().block_on(client.run(&statements));
    let seconds = bench.choose(20, 3);
    let batches = seconds * ROWS_A_SECOND / BATCH_ROWS;
    let bodies = bodies(batches);
    let address = server.address().to_owned();
    let (arrived, arrivals) = mpsc::channel::<(u64, Instant)>();
    let reader = {
        let (address, sql) = (address.clone(), sql.to_owned());
        std::thread::spawn(move || {
            let mut wire = Wire::connect(&address).expect("the server takes connections");
            let request = subscription(&wire, &sql);
            let mut left: Vec<bool> = vec![true; usize::try_from(batches).expect("a few")];
            let mut count = left.len();
            let done = wire.follow(&request, |line| {
                let now = Instant::now();
                for auction in numbers(line, b"\"auction\":") {
                    let batch = auction.checked_sub(MARKS);
                    let seen = batch.and_then(|batch| left.get_mut(usize::try_from(batch).ok()?));
                    // A row is in several windows; its first change counts.
                    if let (Some(batch), Some(waits @ true)) = (batch, seen) {
                        *waits = false;
                        count -= 1;
                        arrived.send((batch, now)).expect("the measure goes on");
                    }
                }
                count > 0
            });
            done.expect("the live query goes on");
        })
    };
    wait_for_reader(&server);
    let begun = Instant::now();
    let (acknowledged, acknowledgements) = mpsc::channel::<(u64, Instant)>();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let acknowledged = acknowledged.clone();
            let (address, bodies) = (&address, &bodies);
            scope.spawn(move || write(address, writer, bodies, begun, &acknowledged));
        }
    });
    drop(acknowledged);
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
        format!("windows counted, acknowledged to read, {what}: p50"),
        latencies.percentile_ms(50.0),
        "ms",
        Promise::Below(5.0),
    );
    report.add(
        "  p99",
        latencies.percentile_ms(99.0),
        "ms",
        Promise::Below(25.0),
    );
    report.add(
        "  at a rate of",
        rate,
        "rows/s",
        Promise::AtLeast(ROWS_A_SECOND as f64 * 0.95),
    );
    server.stop();
}

/// Returns when a live query runs: its reader is there before the first row.
fn wait_for_reader(server: &Server) {
    runtime().block_on(server.client().in_state("EMIT CHANGES", &["running"]));
}

/// Bids, as bodies of requests. The first row of each is known by its auction.
fn bodies(batches: u64) -> Vec<String> {
    let mut events = Events::new(usize::try_from(ROWS_A_SECOND).expect("a small number"));
    let mut bids = std::iter::repeat_with(move || events.portion(1000).streams)
        .flat_map(|[_, _, bids]| bids.lines().map(str::to_owned).collect::<Vec<_>>());
    let mut body = |batch: u64| {
        let mut rows = bids
            .by_ref()
            .take(usize::try_from(BATCH_ROWS).expect("a few"));
        let first = rows.next().unwrap_or_default();
        let rest = first.find(",\"bidder\"").map_or("", |at| &first[at..]);
        let mut body = format!("{{\"auction\":{}{rest}\n", MARKS + batch);
        for row in rows {
            body.push_str(&row);
            body.push('\n');
        }
        body
    };
    (0..batches).map(&mut body).collect()
}

/// Writes its share of the batches, each at its time.
fn write(
    address: &str,
    writer: u64,
    bodies: &[String],
    begun: Instant,
    acknowledged: &mpsc::Sender<(u64, Instant)>,
) {
    let mut wire = Wire::connect(address).expect("the server takes connections");
    let headers = [("content-type", "application/x-ndjson")];
    let share = (0..)
        .zip(bodies)
        .skip(usize::try_from(writer).expect("a few"));
    for (batch, body) in share.step_by(usize::try_from(WRITERS).expect("a few")) {
        let request = wire.request("POST", "/v1/topics/bid/records", &headers, body.as_bytes());
        let due = begun + Duration::from_micros(batch * BATCH_ROWS * 1_000_000 / ROWS_A_SECOND);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        wire.ask(&request).expect("the rows are taken");
        acknowledged
            .send((batch, Instant::now()))
            .expect("the measure goes on");
    }
}

/// The numbers behind a key, without the cost of a JSON parser.
fn numbers<'a>(line: &'a [u8], key: &'a [u8]) -> impl Iterator<Item = u64> + 'a {
    let places = line.windows(key.len()).enumerate();
    let places = places.filter_map(move |(at, piece)| (piece == key).then_some(at + key.len()));
    places.filter_map(|start| {
        let digits = line[start..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit());
        let number = &line[start..start + digits.count()];
        std::str::from_utf8(number).ok()?.parse().ok()
    })
}

/// One row at a time, on a server that has nothing else to do.
fn one_row(bench: &Bench, report: &mut Report) {
    let server = bench.server().start();
    let rows = bench.choose(2000, 100);
    runtime().block_on(server.client().run(&[
        "CREATE STREAM s (id BIGINT, v BIGINT)",
        "CREATE TABLE t (k BIGINT PRIMARY KEY, part BIGINT)",
        "CREATE TABLE u (part BIGINT PRIMARY KEY, label TEXT)",
        "INSERT INTO t SELECT i, i % 10 FROM generate_series(0, 99) AS g(i)",
        "INSERT INTO u SELECT i, 'part ' || i FROM generate_series(0, 9) AS g(i)",
    ]));
    let address = server.address().to_owned();
    let (arrived, arrivals) = mpsc::channel::<Instant>();
    let reader = std::thread::spawn(move || {
        let mut wire = Wire::connect(&address).expect("the server takes connections");
        let request = subscription(&wire, TEN_OPERATORS);
        let mut left = rows;
        let done = wire.follow(&request, |line| {
            let now = Instant::now();
            if line.windows(8).any(|piece| piece == b"\"insert\"") {
                arrived.send(now).expect("the measure goes on");
                left -= 1;
            }
            left > 0
        });
        done.expect("the live query goes on");
    });
    wait_for_reader(&server);
    let mut wire = Wire::connect(server.address()).expect("the server takes connections");
    let headers = [("content-type", "application/x-ndjson")];
    let mut latencies = Latencies::default();
    for id in 0..rows {
        let row = format!("{{\"id\":{id},\"v\":{}}}\n", 1 + id % 7);
        let request = wire.request("POST", "/v1/topics/s/records", &headers, row.as_bytes());
        wire.ask(&request).expect("the row is taken");
        let acknowledged = Instant::now();
        let arrived = arrivals.recv().expect("a change comes of each row");
        latencies.push(arrived.saturating_duration_since(acknowledged));
    }
    reader.join().expect("the reader does not panic");
    report.add(
        "one row through ten operators, acknowledged to read: p50",
        latencies.percentile_ms(50.0),
        "ms",
        Promise::Below(1.0),
    );
    report.add("  p99", latencies.percentile_ms(99.0), "ms", Promise::None);
    server.stop();
}

/// The share of a core that views take which have nothing to do.
fn idle(bench: &Bench, report: &mut Report) {
    let server = bench.server().start();
    let client = server.client();
    let seconds = bench.choose(20, 3);
    runtime().block_on(async {
        client
            .run(&[
                "CREATE STREAM s (id BIGINT, k BIGINT)",
                "INSERT INTO s SELECT i, i % 100 FROM generate_series(0, 9999) AS g(i)",
            ])
            .await;
        for view in 0..IDLE_VIEWS {
            let sql = format!(
                "CREATE MATERIALIZED VIEW v{view} AS SELECT k, count(*) AS n FROM s WHERE id % 200 = {view} GROUP BY k"
            );
            client.run(&[sql.as_str()]).await;
        }
        client.run(&["FLUSH"]).await;
    });
    let before = processor_seconds(server.pid());
    std::thread::sleep(Duration::from_secs(seconds));
    let spent = processor_seconds(server.pid()) - before;
    report.add(
        format!("{IDLE_VIEWS} idle views, of a core"),
        100.0 * spent / seconds as f64,
        "%",
        Promise::Below(1.0),
    );
    server.stop();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_behind_their_key() {
        let line = br#"data: [{"auction":17,"num":1},{"auction":1000000003,"num":2}]"#;
        let found: Vec<u64> = numbers(line, b"\"auction\":").collect();
        assert_eq!(found, [17, MARKS + 3]);
    }

    #[test]
    fn each_request_has_a_row_of_its_own() {
        for (batch, body) in bodies(3).iter().enumerate() {
            assert_eq!(body.lines().count() as u64, BATCH_ROWS);
            let first: serde_json::Value =
                serde_json::from_str(body.lines().next().unwrap()).unwrap();
            assert_eq!(first["auction"], MARKS + batch as u64);
        }
    }
}
