//! Nexmark's queries as materialized views, against the same queries in Apache Flink.
//!
//! Both read the same events, two partitions of a stream: Weir from its log, where they are JSON, and Flink the same lines from
//! files, since a broker's work would be taken from the same cores. Both read from the first to the last event as fast as they
//! can, as streams. What comes out of Flink goes into a black hole; Weir keeps it, durably, in a view that can be read.
//!
//! Rates are events of all kinds, whichever a query reads, by the seconds that a system spent on processors, which is how the
//! Nexmark suite tells events a second and core. Flink is warm, and what it
//! takes without any event is taken off: planning, and the start of a cluster.

mod data;
mod flink;

use std::time::Instant;

use weir_tests::nexmark::{STREAMS, queries, schema};
use weir_tests::queries::Query;
use weir_tests::{Client, Problem};

use crate::processor::processor_seconds;
use crate::report::{Promise, Report};
use crate::{Bench, runtime};
use data::Data;

/// Those that are promised at ten times Flink's rate; the others are at five times.
const TENFOLD: [&str; 5] = ["q4", "q7", "q9", "q16", "q20"];

/// What a query took, in seconds.
#[derive(Debug, Clone, Copy)]
struct Times {
    wall: f64,
    processor: f64,
}

pub(crate) fn run(bench: &Bench, report: &mut Report) {
    let events = bench.events.unwrap_or(bench.choose(1_000_000, 50_000));
    let data = match data::data(&bench.data, events) {
        Ok(data) => data,
        Err(error) => return report.not_measured("Nexmark", format!("no events: {error}")),
    };
    let queries = queries();
    let ours = weir(bench, &data, &queries);
    let theirs = flink::run(&bench.data, &data, &queries);
    if let Err(why) = &theirs {
        report.not_measured("Nexmark in Apache Flink", why);
    }
    let rate = |times: Times| events as f64 / times.processor;
    for (Query { name, .. }, ours) in queries.iter().zip(ours) {
        let label = format!("Nexmark {name}, {events} events: a second and core");
        let ours = match ours {
            Ok(ours) => ours,
            Err(problem) => {
                report.not_measured(label, problem.detail());
                continue;
            }
        };
        report.add(label, rate(ours), "events/s", Promise::None);
        report.add("  seconds, as a new view", ours.wall, "s", Promise::None);
        match theirs.as_ref().ok().and_then(|theirs| theirs.get(name)) {
            Some(Ok(theirs)) => {
                let factor = if TENFOLD.contains(&name.as_str()) {
                    10.0
                } else {
                    5.0
                };
                let label = format!(
                    "  to Flink's ({:.0} events/s a core, {:.2} s)",
                    rate(*theirs),
                    theirs.wall
                );
                let ratio = theirs.processor / ours.processor;
                report.add(label, ratio, "×", Promise::AtLeast(factor));
            }
            Some(Err(why)) => report.not_measured("  to Flink's", why),
            None => {}
        }
    }
}

/// Makes each query a view over a log that holds all events.
fn weir(bench: &Bench, data: &Data, queries: &[Query]) -> Vec<Result<Times, Problem>> {
    let server = bench
        .server()
        .env("WEIR_LIMITS_QUERY_TIMEOUT", "2h")
        .start();
    let client = server.client();
    let pid = server.pid();
    let times = runtime().block_on(async {
        let schema = schema();
        let schema: Vec<&str> = schema.iter().map(String::as_str).collect();
        client.run(&schema).await;
        for stream in STREAMS {
            load(&client, data, stream).await;
        }
        let mut times = Vec::new();
        for query in queries {
            times.push(as_view(&client, pid, query).await);
        }
        times
    });
    server.stop();
    times
}

async fn load(client: &Client, data: &Data, stream: &str) {
    for piece in data.pieces(stream) {
        let piece = piece.expect("the events can be read");
        client.ingest(stream, piece).await.expect("rows are taken");
    }
}

async fn as_view(client: &Client, pid: u32, Query { name, sql }: &Query) -> Result<Times, Problem> {
    let before = processor_seconds(pid);
    let started = Instant::now();
    client
        .sql(&format!("CREATE MATERIALIZED VIEW {name} AS {sql}"))
        .await?;
    let times = Times {
        wall: started.elapsed().as_secs_f64(),
        processor: processor_seconds(pid) - before,
    };
    let rows = client.number(&format!("SELECT count(*) FROM {name}")).await;
    eprintln!(
        "  Weir, {name}: {:.2} s, {:.2} s on processors, {rows} rows",
        times.wall, times.processor
    );
    client
        .sql(&format!("DROP MATERIALIZED VIEW {name}"))
        .await?;
    Ok(times)
}
