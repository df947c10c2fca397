//! The Kafka door: unmodified clients use the log as their broker, and what is no Kafka client harms nobody.

mod hostile;

use weir_tests::{Server, python};

#[tokio::test(flavor = "multi_thread")]
async fn librdkafka_finds_all_that_it_needs() {
    let server = Server::builder().kafka().start();
    let said = python::run("kafka_confluent.py", &[&server.kafka(), server.url()]);
    assert!(said.ends_with("ok\n"), "{said}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_python_finds_all_that_it_needs() {
    let server = Server::builder().kafka().start();
    let said = python::run("kafka_python.py", &[&server.kafka()]);
    assert!(said.ends_with("ok\n"), "{said}");
    server.stop();
}
