//! Materialized views: how fast a new one reads the past, beside the same query once; and how fast views follow.

use std::time::Instant;

use weir_tests::Client;

use crate::report::{Promise, Report};
use crate::{Bench, runtime};

/// A name, and the query that is kept.
const VIEWS: [(&str, &str); 3] = [
    (
        "a filter and a projection",
        "SELECT auction, price * 2 AS twice FROM bids WHERE price > 9000",
    ),
    (
        "1,000 groups",
        "SELECT auction, count(*) AS n, sum(price) AS s, max(price) AS top FROM bids GROUP BY auction",
    ),
    (
        "a join with a table, 10 groups",
        "SELECT a.category, count(*) AS n, sum(b.price) AS s FROM bids AS b JOIN auctions AS a ON a.id = b.auction GROUP BY a.category",
    ),
];

pub(crate) fn run(bench: &Bench, report: &mut Report) {
    let rows: u64 = bench.choose(4_000_000, 200_000);
    let more: u64 = bench.choose(1_000_000, 100_000);
    let server = bench
        .server()
        .env("WEIR_LIMITS_QUERY_TIMEOUT", "1h")
        .start();
    let client = server.client();
    runtime().block_on(async {
        client
            .run(&[
                "CREATE STREAM bids (id BIGINT, auction BIGINT, price BIGINT) WITH (partitions = 2)",
                "CREATE TABLE auctions (id BIGINT PRIMARY KEY, category BIGINT)",
                "INSERT INTO auctions SELECT i, i % 10 FROM generate_series(0, 999) AS g(i)",
            ])
            .await;
        fill(&client, 0, rows).await;
        for (at, (name, query)) in VIEWS.iter().enumerate() {
            let once = format!("SELECT count(*) FROM ({query}) AS q");
            let started = Instant::now();
            client.rows(&once).await;
            let batch = started.elapsed().as_secs_f64();
            let create = format!("CREATE MATERIALIZED VIEW v{at} AS {query}");
            let started = Instant::now();
            client.run(&[create.as_str()]).await;
            let backfill = started.elapsed().as_secs_f64();
            report.add(
                format!("a new view: {name}"),
                rows as f64 / backfill,
                "rows/s",
                Promise::None,
            );
            report.add(
                "  its time to that of the query, once",
                backfill / batch,
                "×",
                Promise::None,
            );
            let drop = format!("DROP MATERIALIZED VIEW v{at}");
            client.run(&[drop.as_str()]).await;
        }
        for (at, (name, query)) in VIEWS.iter().enumerate() {
            let create = format!("CREATE MATERIALIZED VIEW v{at} AS {query}");
            client.run(&[create.as_str()]).await;
            let started = Instant::now();
            let first = rows + more * at as u64;
            fill(&client, first, first + more).await;
            client.run(&["FLUSH"]).await;
            report.add(
                format!("rows written and followed by {} views, the last: {name}", at + 1),
                more as f64 / started.elapsed().as_secs_f64(),
                "rows/s",
                Promise::None,
            );
        }
    });
    server.stop();
}

async fn fill(client: &Client, from: u64, to: u64) {
    let first = from..to;
    for start in first.step_by(50_000) {
        let ids = start..to.min(start + 50_000);
        let body: String = ids
            .map(|id| {
                let number = id.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
                format!(
                    "{{\"id\":{id},\"auction\":{},\"price\":{}}}\n",
                    number % 1000,
                    number % 10_007
                )
            })
            .collect();
        client.ingest("bids", body).await.expect("rows are taken");
    }
}
