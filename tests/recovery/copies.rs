//! Checkpoints in an object store: state that is lost on disk comes back from there.

use weir_tests::moto::Moto;
use weir_tests::wait::{self, eventually};
use weir_tests::{Client, Server, ServerBuilder};

const LOST: &str = "data/state";

async fn is_copied(client: &Client) {
    let copied = "SELECT count(*) FROM weir.jobs WHERE name = 'sums' AND copied_at = checkpoint_at AND copy_error IS NULL";
    eventually("the last checkpoint is copied", async || {
        wait::check(client.number(copied).await == 1, "not yet")
    })
    .await;
}

/// The server without the state of its views.
fn without_state(builder: ServerBuilder, folder: &std::path::Path) -> ServerBuilder {
    std::fs::remove_dir_all(folder.join(LOST)).expect("there is state");
    builder
}

#[tokio::test]
async fn state_comes_back_from_an_object_store() {
    let moto = Moto::start().await;
    moto.make_bucket("lake").await;
    let connection = format!(
        "CREATE CONNECTION lake WITH (type = 's3', endpoint = '{}', region = 'us-east-1', access_key_id = 'test', secret_access_key = 'test')",
        moto.url()
    );
    let folder = tempfile::tempdir().unwrap();
    let server = Server::builder()
        .data_dir(folder.path())
        .env("WEIR_ALLOW_PRIVATE_NETWORK", "true")
        .env("WEIR_VIEWS_CHECKPOINT_INTERVAL", "50ms")
        .env("WEIR_VIEWS_CHECKPOINT_LOCATION", "s3://lake/checkpoints/")
        .env("WEIR_VIEWS_CHECKPOINT_CONNECTION", "lake")
        .expect_log("cannot be copied")
        .start();
    let client = server.client();
    client
        .run(&[
            "CREATE STREAM s (k BIGINT, v BIGINT)",
            // The view is there before the place is: that is tried again.
            "CREATE MATERIALIZED VIEW sums AS SELECT k, sum(v) AS total, count(*) AS n FROM s GROUP BY k",
            "INSERT INTO s SELECT n % 100, n FROM generate_series(1, 10000) AS g(n)",
            "FLUSH",
            &connection,
        ])
        .await;
    for round in 0..5 {
        let insert = format!("INSERT INTO s VALUES ({round}, 1)");
        client.run(&[insert.as_str(), "FLUSH"]).await;
    }
    let all = "SELECT count(*) || ' ' || sum(total) || ' ' || sum(n) FROM sums";
    let before = client.value(all).await;
    let server = without_state(server.stop(), folder.path()).start();
    let client = server.client();
    assert_eq!(client.value(all).await, before);
    // It has not begun anew: its first step reads what comes now.
    client.run(&["INSERT INTO s VALUES (1, 1)", "FLUSH"]).await;
    let read = "SELECT rows_read FROM weir.jobs WHERE name = 'sums'";
    assert!(client.number(read).await < 100);
    is_copied(&client).await;
    // After a crash, what was not copied is read again.
    client
        .run(&[
            "INSERT INTO s SELECT 7, 1 FROM generate_series(1, 1000) AS g(n)",
            "FLUSH",
        ])
        .await;
    let before = client.value(all).await;
    let server = without_state(server.kill(), folder.path()).start();
    let client = server.client();
    assert_eq!(client.value(all).await, before);
    client.run(&["DROP MATERIALIZED VIEW sums"]).await;
    server.stop();
}
