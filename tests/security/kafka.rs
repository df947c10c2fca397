//! The Kafka door: SASL by the same users, and rights on topics.

use weir_tests::{foreign, python};

use super::{PASSWORD, closed, token, user};

#[tokio::test(flavor = "multi_thread")]
async fn librdkafka_signs_in_and_is_held_to_its_rights() {
    let server = closed().kafka().start();
    user(&server, "ada", &["writer"]).await;
    server
        .admin()
        .run(&["CREATE STREAM t WITH (format = 'raw')"])
        .await;
    let arguments = [&server.kafka(), "SASL_PLAINTEXT", "ada", PASSWORD, ""];
    let said = python::run("kafka_sasl_confluent.py", &arguments);
    assert!(said.ends_with("ok\n"), "{said}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_python_signs_in() {
    let server = closed().kafka().start();
    user(&server, "ada", &["writer"]).await;
    server
        .admin()
        .run(&["CREATE STREAM t WITH (format = 'raw')"])
        .await;
    let said = python::run("kafka_sasl_python.py", &[&server.kafka(), "ada", PASSWORD]);
    assert!(said.ends_with("ok\n"), "{said}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_java_client_signs_in() {
    let server = closed().kafka().start();
    user(&server, "ada", &["writer"]).await;
    server
        .admin()
        .run(&["CREATE STREAM t WITH (format = 'raw')"])
        .await;
    let arguments = [&server.kafka(), "SASL_PLAINTEXT", "ada", PASSWORD, ""];
    let said = foreign::java("KafkaSasl.java", &arguments);
    assert!(said.ends_with("ok\n"), "{said}");
    server.stop();
}

/// Each API that touches a topic, by users with more and less rights.
#[tokio::test(flavor = "multi_thread")]
async fn each_request_is_refused_to_who_may_not() {
    let server = closed().kafka().start();
    let admin = server.admin();
    for name in ["nobody", "reads", "writes", "own"] {
        user(&server, name, &[]).await;
    }
    admin
        .run(&[
            "CREATE STREAM t WITH (format = 'raw')",
            "CREATE STREAM policed (x BIGINT)",
            "INSERT INTO policed VALUES (1)",
            "GRANT SELECT ON t TO reads",
            "GRANT SELECT ON policed TO reads",
            "GRANT INSERT ON t TO writes",
            "GRANT CREATE ON SCHEMA public TO own",
            "CREATE POLICY p ON policed TO reads USING (false)",
        ])
        .await;
    let spent = token(&admin, "spent FOR reads").await;
    admin.run(&["DROP TOKEN spent FOR reads"]).await;
    let said = python::run("kafka_rights.py", &[&server.kafka(), PASSWORD, &spent]);
    assert!(said.ends_with("ok\n"), "{said}");
    server.stop();
}
