//! The Kafka door: unmodified clients use the log as their broker, and what is no Kafka client harms nobody.

mod agreement;
mod greedy;
mod hostile;
mod recovery;
mod registry;

use weir_tests::{Server, foreign, python};

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

#[tokio::test(flavor = "multi_thread")]
async fn the_java_client_finds_all_that_it_needs() {
    let server = Server::builder().kafka().start();
    let said = foreign::java("KafkaClient.java", &[&server.kafka()]);
    assert!(said.ends_with("ok\n"), "{said}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn kafkajs_finds_all_that_it_needs() {
    let server = Server::builder().kafka().start();
    let said = foreign::node("kafkajs.js", &[&server.kafka()]);
    assert!(said.ends_with("ok\n"), "{said}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn kcat_writes_lines_and_reads_them_back() {
    let server = Server::builder().kafka().start();
    let kafka = server.kafka();
    let broker = ["-b", &kafka, "-t", "lines"];
    let write = [&broker[..], &["-P", "-K", ":", "-z", "lz4"]].concat();
    foreign::kcat(&write, "a:first\nb:second\na:third\n");
    let read = [&broker[..], &["-C", "-e", "-q", "-f", "%o %k=%s\n"]].concat();
    let said = foreign::kcat(&read, "");
    assert_eq!(said, "0 a=first\n1 b=second\n2 a=third\n");
    let client = server.client();
    assert_eq!(client.number("SELECT count(*) FROM lines").await, 3);
    server.stop();
}
