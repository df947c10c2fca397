//! Windows that close: given once, right, and the same after every crash.

use rand::Rng;
use weir_tests::Client;

use super::{random, rounds, server};

/// The rows of a stream with the watermark of their partition before them, by the rule as it is written down.
const MARKED: &str = "SELECT k, v, at, max(at - INTERVAL '5 seconds') OVER (PARTITION BY _partition ORDER BY _offset \
     ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before FROM s";

const VIEW: &str = "SELECT window_start, window_end, k, count(*) AS n, sum(v) AS s, count(DISTINCT v) AS d \
     FROM TUMBLE(s, at, INTERVAL '10 seconds') GROUP BY window_start, window_end, k";

async fn check(client: &Client) {
    client.run(&["FLUSH"]).await;
    // Where a partition has no rows yet, nothing closes.
    let watermark = "SELECT CASE WHEN count(*) = 3 THEN min(w) END FROM \
         (SELECT _partition, max(at - INTERVAL '5 seconds') AS w FROM s GROUP BY _partition) AS own";
    let batch = format!(
        "SELECT window_start, window_end, k, count(*) AS n, sum(v) AS s, count(DISTINCT v) AS d \
         FROM TUMBLE(({MARKED}), at, INTERVAL '10 seconds') AS w \
         WHERE (before IS NULL OR before < window_end) AND window_end <= ({watermark}) GROUP BY window_start, window_end, k"
    );
    let late = format!(
        "SELECT k, v, at, window_start, window_end FROM TUMBLE(({MARKED}), at, INTERVAL '10 seconds') AS w WHERE before >= window_end"
    );
    for (view, batch) in [("m", &batch), ("m$late", &late), ("kept_late", &late)] {
        let difference = client
            .number(&format!(
                "SELECT count(*) FROM ((SELECT * FROM {view} EXCEPT ALL ({batch})) UNION ALL (({batch}) EXCEPT ALL SELECT * FROM {view})) AS d"
            ))
            .await;
        assert_eq!(difference, 0, "{view}");
    }
    let sessions = client
        .number("SELECT coalesce(max(n), 1) FROM (SELECT k, window_start, count(*) AS n FROM visits GROUP BY k, window_start)")
        .await;
    assert_eq!(sessions, 1, "a session was given twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closed_windows_are_those_of_the_rule_after_every_crash() {
    let mut random = random("closing");
    let mut running = server()
        .env("WEIR_VIEWS_CHECKPOINT_INTERVAL", "20ms")
        .start();
    running
        .client()
        .run(&[
            "CREATE STREAM s (k BIGINT, v BIGINT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '5 seconds') \
             WITH (partitions = 3, key = 'k')",
            &format!("CREATE MATERIALIZED VIEW m AS {VIEW} EMIT ON WINDOW CLOSE"),
            "CREATE MATERIALIZED VIEW visits AS SELECT k, window_start, window_end, count(*) AS n \
             FROM SESSION(s PARTITION BY k, at, INTERVAL '2 seconds') GROUP BY k, window_start, window_end EMIT ON WINDOW CLOSE",
            "CREATE MATERIALIZED VIEW kept_late AS SELECT * FROM m$late",
        ])
        .await;
    let mut now = 0;
    for round in 0..rounds() {
        let client = running.client();
        for _ in 0..random.random_range(1..20) {
            now += random.random_range(0..4);
            let rows = (0..random.random_range(1..30)).map(|_| {
                let (k, v) = (random.random_range(0..9), random.random_range(0..5));
                let at = now - random.random_range(0..14);
                format!("({k}, {v}, TIMESTAMP '2024-01-01 00:01:00' + INTERVAL '{at} seconds')")
            });
            let rows: Vec<String> = rows.collect();
            let insert = format!("INSERT INTO s VALUES {}", rows.join(", "));
            client.run(&[insert.as_str()]).await;
        }
        if random.random_bool(0.3) {
            check(&client).await;
        }
        running = match round % 3 {
            0 => running.stop().start(),
            _ => running.kill().start(),
        };
        check(&running.client()).await;
    }
    let client = running.client();
    let late = client.number("SELECT count(*) FROM m$late").await;
    let counted = "SELECT late_rows FROM weir.jobs WHERE name = 'm'";
    assert!(late > 0);
    assert_eq!(client.number(counted).await, late);
    let given = client.number("SELECT count(*) FROM m").await;
    assert!(given > 0);
    running.stop();
}
