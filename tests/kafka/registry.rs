//! The schema registry: the Confluent serialisers, unmodified, and the ids that they were given after a restart and a crash.

use serde_json::{Value, json};
use weir_tests::client::Method;
use weir_tests::{Client, Server, python};

use crate::recovery::ends_at;

#[tokio::test(flavor = "multi_thread")]
async fn confluent_serialisers_find_the_registry_that_they_know() {
    let run = |step: &str, server: &Server| {
        let said = python::run("schema_registry.py", &[step, &server.kafka(), server.url()]);
        assert!(said.ends_with("ok\n"), "{said}");
        said
    };
    let server = Server::builder().kafka().start();
    let before = run("before", &server);
    let server = server.stop().start();
    assert_eq!(run("after", &server), before);
    server.stop();
}

async fn register(client: &Client, subject: &str, schema: &str) -> Option<Value> {
    let path = format!("/subjects/{subject}/versions");
    let request = client
        .request(Method::POST, &path)
        .json(&json!({ "schema": schema }));
    request.send().await.ok()?.json().await.ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_was_answered_is_there_after_a_crash_with_its_id() {
    for (point, is_there) in [
        ("catalog::write_registry", false),
        ("catalog::after_registry", true),
    ] {
        let server = ends_at(Server::builder(), point, 1).start();
        let first = register(&server.client(), "a", "\"int\"").await;
        assert_eq!(first.unwrap()["id"], 1);
        assert_eq!(register(&server.client(), "a", "\"long\"").await, None);
        let (_, builder) = server.wait_for_end();
        let server = builder.without_env().start();
        let client = server.client();
        let versions = client.request(Method::GET, "/subjects/a/versions").send();
        let versions: Value = versions.await.unwrap().json().await.unwrap();
        let expected = if is_there { json!([1, 2]) } else { json!([1]) };
        assert_eq!(versions, expected, "{point}");
        let again = register(&client, "a", "\"long\"").await.unwrap();
        assert_eq!((&again["id"], &again["version"]), (&json!(2), &json!(2)));
        server.stop();
    }
}
