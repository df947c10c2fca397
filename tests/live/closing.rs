//! A live query with `EMIT ON WINDOW CLOSE` gives rows that only come.

use serde_json::Value;
use weir_tests::Server;
use weir_tests::client::media;
use weir_tests::live::{Event, Lines};

/// The next rows, and the place behind them.
async fn next(live: &mut Lines) -> (Vec<String>, Option<String>) {
    loop {
        let Event { event, id, data } = live.event().await;
        if matches!(event.as_deref(), None | Some("message" | "rows")) {
            let rows: Value = serde_json::from_str(&data).unwrap();
            let rows = rows.as_array().cloned().unwrap_or_else(|| vec![rows]);
            return (rows.iter().map(Value::to_string).collect(), id);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_window_comes_once_also_after_a_crash() {
    let sql = "SELECT window_end, count(*) AS n FROM TUMBLE(s, at, INTERVAL '10 seconds') GROUP BY window_end EMIT ON WINDOW CLOSE";
    let server = Server::start();
    let client = server.client();
    client
        .run(&[
            "CREATE STREAM s (at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '1 second')",
            "INSERT INTO s VALUES ('2024-01-01 00:00:01'), ('2024-01-01 00:00:05'), ('2024-01-01 00:00:12')",
        ])
        .await;
    let mut live = Lines::of(client.send(client.query(sql, media::SSE)).await).await;
    let (rows, last) = next(&mut live).await;
    assert_eq!(rows, [r#"{"n":2,"window_end":"2024-01-01T00:00:10"}"#]);
    let server = server.kill().start();
    let client = server.client();
    client
        .run(&["INSERT INTO s VALUES ('2024-01-01 00:00:03'), ('2024-01-01 00:00:11'), ('2024-01-01 00:00:21')"])
        .await;
    let request = client
        .query(sql, media::SSE)
        .header("last-event-id", last.unwrap());
    let mut live = Lines::of(client.send(request).await).await;
    let (rows, _) = next(&mut live).await;
    assert_eq!(rows, [r#"{"n":2,"window_end":"2024-01-01T00:00:20"}"#]);
    server.stop();
}
