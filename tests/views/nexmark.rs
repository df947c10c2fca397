//! q0 to q23 of Nexmark.

use weir_tests::nexmark::{Events, STREAMS, queries, schema};
use weir_tests::queries::Query;
use weir_tests::{Client, Server};

use super::{check, create};

/// So few that windows of 10 seconds follow each other within a few thousand.
const EVENTS_A_SECOND: usize = 50;
const PORTION_EVENTS: usize = 1000;

async fn feed(client: &Client, events: &mut Events) {
    // The rows of one portion come in several requests, and so into several partitions.
    for _ in 0..4 {
        let portion = events.portion(PORTION_EVENTS / 4);
        for (stream, rows) in STREAMS.iter().zip(portion.streams) {
            client.ingest(stream, rows).await.expect("rows are taken");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_query_of_nexmark_is_followed() {
    let server = Server::start();
    let client = server.client();
    let schema = schema();
    let schema: Vec<&str> = schema.iter().map(String::as_str).collect();
    client.run(&schema).await;
    let queries = queries();
    let mut events = Events::new(EVENTS_A_SECOND);
    create(&client, "early_", &queries).await;
    check(&client, "early_", &queries).await;
    for _ in 0..2 {
        feed(&client, &mut events).await;
        check(&client, "early_", &queries).await;
    }
    create(&client, "late_", &queries).await;
    check(&client, "late_", &queries).await;
    feed(&client, &mut events).await;
    check(&client, "early_", &queries).await;
    check(&client, "late_", &queries).await;
    for Query { name, .. } in &queries {
        let rows = client
            .number(&format!("SELECT count(*) FROM early_{name}"))
            .await;
        assert!(rows > 0, "{name} has no rows to be compared");
    }

    let server = server.stop().start();
    let client = server.client();
    check(&client, "early_", &queries).await;
    feed(&client, &mut events).await;
    check(&client, "early_", &queries).await;
    check(&client, "late_", &queries).await;
    server.stop();
}
