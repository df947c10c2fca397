//! TLS on the doors, and what a door asks of those who open it to other machines.

use std::fs;

use serde_json::json;
use weir_tests::client::Client;
use weir_tests::{Server, foreign, python};

use super::{PASSWORD, closed, user};

/// What the server's certificate is, once it has one.
fn certificate(server: &Server) -> String {
    let path = server.folder().join("data/tls/certificate.pem");
    fs::read_to_string(path).expect("it was made")
}

#[tokio::test(flavor = "multi_thread")]
async fn rest_speaks_tls_by_a_certificate_of_its_own() {
    let server = closed().arg("--tls").start();
    assert!(server.url().starts_with("https://"), "{}", server.url());
    let trusting = Client::new(server.url())
        .trusting(&certificate(&server))
        .with_token(&server.token());
    assert_eq!(trusting.value("SELECT 1").await, json!(1));
    let strange = Client::new(server.url()).with_token(&server.token());
    assert!(
        strange.try_sql("SELECT 1").await.is_none(),
        "who does not know it does not go on"
    );
    let plain = Client::new(&server.url().replace("https", "http"));
    assert!(
        plain.try_sql("SELECT 1").await.is_none(),
        "one port speaks one thing"
    );
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_door_to_other_machines_needs_credentials_and_tls() {
    for (flags, missing) in [
        (vec![], "credentials and TLS"),
        (vec!["--auth"], "TLS"),
        (vec!["--tls"], "credentials"),
    ] {
        let mut builder = Server::builder().arg("--http").arg("0.0.0.0:0");
        for flag in flags {
            builder = builder.arg(flag);
        }
        let (status, said) = builder.refused();
        assert!(!status.success());
        assert!(said.contains(&format!("without {missing}")), "{said}");
        assert!(said.contains("--dangerously-open-to-the-network"), "{said}");
    }
    let wanted = Server::builder()
        .arg("--http")
        .arg("0.0.0.0:0")
        .arg("--dangerously-open-to-the-network")
        .expect_log("open to other machines")
        .start();
    wanted.stop();
    let protected = closed().arg("--tls").arg("--http").arg("0.0.0.0:0").start();
    protected.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_clients_sign_in_over_tls() {
    let server = closed().arg("--tls").kafka().start();
    let url = server.url().to_owned();
    let admin = Client::new(&url)
        .trusting(&certificate(&server))
        .with_token(&server.token());
    admin
        .run(&[
            &format!("CREATE USER ada PASSWORD '{PASSWORD}' IN ROLE writer"),
            "CREATE STREAM t WITH (format = 'raw')",
        ])
        .await;
    let trusted = server.folder().join("data/tls/certificate.pem");
    let trusted = trusted.to_str().unwrap();
    let arguments = [&server.kafka(), "SASL_SSL", "ada", PASSWORD, trusted];
    let said = python::run("kafka_sasl_confluent.py", &arguments);
    assert!(said.ends_with("ok\n"), "{said}");
    let said = foreign::java("KafkaSasl.java", &arguments);
    assert!(said.ends_with("ok\n"), "{said}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_taken_up() {
    let server = closed().arg("--tls").start();
    let elsewhere = closed().arg("--tls").start();
    let url = server.url().to_owned();
    let token = server.token();
    for name in ["key.pem", "certificate.pem"] {
        let from = elsewhere.folder().join("data/tls").join(name);
        fs::copy(from, server.folder().join("data/tls").join(name)).unwrap();
    }
    let new = Client::new(&url)
        .trusting(&certificate(&elsewhere))
        .with_token(&token);
    super::until("connections get the new one", async || {
        new.try_sql("SELECT 1")
            .await
            .is_some_and(|answer| answer.is_ok())
    })
    .await;
    elsewhere.stop();
    server.stop();
}

/// Over plain connections as over TLS: the same users, by each way in.
#[tokio::test(flavor = "multi_thread")]
async fn users_are_the_same_over_plain_connections() {
    let server = closed().start();
    let ada = user(&server, "ada", &["reader"]).await;
    assert_eq!(ada.value("SELECT 1").await, json!(1));
    server.stop();
}
