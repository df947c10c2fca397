//! Server-sent events go on where a client stopped: no row is missed, none comes twice.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use weir_tests::client::media;
use weir_tests::live::{Event, Lines};
use weir_tests::{Client, Server};

use super::{column, numbers};

const SQL: &str = "SELECT n FROM s EMIT CHANGES";

async fn connect(client: &Client, last: Option<&str>) -> Lines {
    let mut request = client.query(SQL, media::SSE);
    if let Some(id) = last {
        request = request.header("last-event-id", id);
    }
    Lines::of(client.send(request).await).await
}

/// The next event with rows.
async fn rows(live: &mut Lines) -> Event {
    loop {
        let event = live.event().await;
        match event.event.as_deref() {
            None | Some("message" | "rows") => return event,
            Some("schema") => {
                let columns: Value = event.json();
                assert_eq!(columns["columns"][0]["name"], "n");
            }
            Some(_) => panic!("{event:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_comes_back_again_and_again_sees_every_row_once() {
    const ROWS: i64 = 20_000;
    let server = Server::start();
    let client = server.client();
    client
        .run(&["CREATE STREAM s (n BIGINT) WITH (partitions = 2)"])
        .await;
    let writer = client.clone();
    let writing = tokio::spawn(async move {
        for from in (0..ROWS).step_by(100) {
            writer.ingest("s", numbers(from, from + 100)).await.unwrap();
        }
    });
    let mut random = SmallRng::seed_from_u64(7);
    let mut seen = vec![false; usize::try_from(ROWS).unwrap()];
    let mut count = 0;
    let mut last: Option<String> = None;
    while count < ROWS {
        let mut live = connect(&client, last.as_deref()).await;
        for _ in 0..random.random_range(1..=5) {
            let event = rows(&mut live).await;
            for n in column(&event.json(), "n") {
                let at = usize::try_from(n).unwrap();
                assert!(!std::mem::replace(&mut seen[at], true), "{n} came twice");
                count += 1;
            }
            last = Some(event.id.expect("an event of rows has an id"));
            if count == ROWS {
                break;
            }
        }
    }
    writing.await.unwrap();
    server.stop();
}

#[tokio::test]
async fn a_token_outlives_a_restart_and_a_crash() {
    let mut server = Server::start();
    server.client().run(&["CREATE STREAM s (n BIGINT)"]).await;
    let mut last: Option<String> = None;
    let mut wanted = 0;
    for round in 0..4 {
        let client = server.client();
        client
            .ingest("s", numbers(round * 10, round * 10 + 10))
            .await
            .unwrap();
        let mut live = connect(&client, last.as_deref()).await;
        while wanted < (round + 1) * 10 {
            let event = rows(&mut live).await;
            for n in column(&event.json(), "n") {
                assert_eq!(n, wanted);
                wanted += 1;
            }
            last = event.id;
        }
        drop(live);
        server = if round % 2 == 0 {
            server.stop().start()
        } else {
            server.kill().start()
        };
    }
    server.stop();
}

#[tokio::test]
async fn a_step_that_a_limit_cuts_is_no_place_to_go_on_from() {
    let server = Server::start();
    let client = server.client();
    client.run(&["CREATE STREAM s (n BIGINT)"]).await;
    client.ingest("s", numbers(0, 10)).await.unwrap();
    let sql = "SELECT n FROM s LIMIT 3 EMIT CHANGES";
    let mut live = Lines::of(client.send(client.query(sql, media::SSE)).await).await;
    let event = rows(&mut live).await;
    assert_eq!(column(&event.json(), "n"), [0, 1, 2]);
    // Its seven other rows would be missed.
    assert_eq!(event.id, None);
    server.stop();
}

#[tokio::test]
async fn the_token_may_come_in_the_body_or_the_url() {
    let server = Server::start();
    let client = server.client();
    client.run(&["CREATE STREAM s (n BIGINT)"]).await;
    client.ingest("s", numbers(0, 10)).await.unwrap();
    let body = json!({ "query": SQL, "resume": "s:4" });
    let mut live = Lines::of(client.send(client.query_body(&body, media::NDJSON)).await).await;
    assert_eq!(live.json().await, json!({ "n": 4 }));
    let request = client.request(reqwest::Method::GET, "/v1/sql").query(&[
        ("q", SQL),
        ("resume", "s:9"),
        ("format", "ndjson"),
    ]);
    let mut live = Lines::of(client.send(request).await).await;
    assert_eq!(live.json().await, json!({ "n": 9 }));
    server.stop();
}

#[tokio::test]
async fn a_quiet_event_stream_carries_comments() {
    let server = Server::builder()
        .config("[rest]\nevent_keep_alive = \"100ms\"\n")
        .start();
    let client = server.client();
    client.run(&["CREATE STREAM s (n BIGINT)"]).await;
    let mut live = connect(&client, None).await;
    loop {
        if live.line().await.starts_with(':') {
            break;
        }
    }
    server.stop();
}
