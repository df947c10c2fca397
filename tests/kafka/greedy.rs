//! Clients that take more than they give: connections without end, requests that do not come, answers that nobody reads.
//! Everybody else is served meanwhile, and the server's memory has a bound.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rand::RngCore;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weir_tests::kafka::kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use weir_tests::kafka::kafka_protocol::messages::{ApiKey, FetchRequest, RequestHeader};
use weir_tests::kafka::kafka_protocol::protocol::{Encodable, StrBytes};
use weir_tests::kafka::{Batch, KafkaClient, name};
use weir_tests::{Server, eventually, process};

const MIB: u64 = 1 << 20;

/// How many times as many clients a long run has.
fn scale() -> usize {
    match crate::recovery::rounds() {
        0..100 => 1,
        _ => 10,
    }
}

/// A client that sends `bytes`, and then nothing, and stays.
async fn half_open(address: &str, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// Waits until the server has closed a connection, and drops what it said before.
async fn closed(stream: &mut TcpStream) {
    let bound = Duration::from_secs(60);
    let end = tokio::time::timeout(bound, stream.read_to_end(&mut Vec::new())).await;
    // An end and a reset are the same to us.
    let _ = end.expect("the server closes the connection");
}

async fn serves(server: &Server, records: usize) {
    let mut kafka = KafkaClient::connect(&server.kafka()).await.unwrap();
    let batch = Batch::of((0..records).map(|_| "x".repeat(1000)));
    let base = kafka.produce("s", 0, &batch).await.unwrap();
    let read = kafka.read("s", 0, base, true).await.unwrap();
    assert_eq!(read.records.len(), records);
}

async fn create(server: &Server) {
    let create = "CREATE STREAM s WITH (format = 'raw')";
    server.client().run(&[create]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_never_come_whole_keep_nobody_waiting_for_long() {
    let server = Server::builder()
        .kafka()
        .config(
            "[kafka_door]\nidle = \"3s\"\nrequest_bytes = \"8MiB\"\nrequests_bytes = \"16MiB\"\n",
        )
        .start();
    create(&server).await;
    let address = server.kafka();
    let before = process::resident_bytes(server.pid());
    let mut greedy = Vec::new();
    for at in 0..100 * scale() {
        // Nothing at all, a part of a length, a part of a small request, and a large one that is only announced.
        let announced = i32::try_from(8 * MIB).unwrap().to_be_bytes();
        let bytes: &[u8] = match at % 4 {
            0 => b"",
            1 => &announced[..2],
            2 => &[0, 0, 1, 0, 0, 3, 0, 1],
            _ => &[&announced[..], &[0, 0, 0, 9]].concat(),
        };
        greedy.push(half_open(&address, bytes).await);
    }
    // Small requests need no room, and are served at once.
    let asked = Instant::now();
    serves(&server, 10).await;
    assert!(
        asked.elapsed() < Duration::from_secs(3),
        "{:?}",
        asked.elapsed()
    );
    // A large one has to wait for those that were announced before, until they are given up.
    serves(&server, 1000).await;
    let grown = process::resident_bytes(server.pid()).saturating_sub(before);
    assert!(grown < 100 * MIB, "{} MiB for what never came", grown / MIB);
    for stream in &mut greedy {
        closed(stream).await;
    }
    server.stop();
}

#[tokio::test]
async fn a_request_that_is_too_large_ends_its_connection_before_it_comes() {
    let server = Server::builder()
        .kafka()
        .config("[kafka_door]\nrequest_bytes = \"1MiB\"\n")
        .start();
    create(&server).await;
    let most = i32::try_from(MIB).unwrap();
    for announced in [most + 1, i32::MAX, -1, i32::MIN] {
        let mut stream = half_open(&server.kafka(), &announced.to_be_bytes()).await;
        closed(&mut stream).await;
    }
    // One below the limit is waited for.
    let mut stream = half_open(&server.kafka(), &most.to_be_bytes()).await;
    serves(&server, 10).await;
    let silent = Duration::from_millis(1);
    let answer = tokio::time::timeout(silent, stream.read_u8()).await;
    assert!(answer.is_err(), "{answer:?}");
    server.stop();
}

#[tokio::test]
async fn connections_over_the_limit_are_closed_and_the_others_stay() {
    let server = Server::builder()
        .kafka()
        .config("[kafka_door]\nconnections = 20\n")
        .expect_log("too many are open")
        .start();
    create(&server).await;
    let address = server.kafka();
    let mut first = KafkaClient::connect(&address).await.unwrap();
    first
        .produce("s", 0, &Batch::of(["a".to_owned()]))
        .await
        .unwrap();
    let mut held = Vec::new();
    for _ in 0..19 {
        held.push(half_open(&address, b"").await);
    }
    for _ in 0..100 * scale() {
        closed(&mut half_open(&address, b"").await).await;
    }
    first
        .produce("s", 0, &Batch::of(["b".to_owned()]))
        .await
        .unwrap();
    drop(held);
    eventually("there is room again", async || {
        let mut kafka = KafkaClient::connect(&address)
            .await
            .map_err(|error| error.to_string())?;
        let base = kafka.produce("s", 0, &Batch::of(["c".to_owned()])).await;
        base.map_err(|error| error.to_string())
    })
    .await;
    server.stop();
}

/// A request for all of a topic, in version 12.
fn fetch(bytes_max: i32) -> Bytes {
    let wanted = FetchPartition::default().with_partition_max_bytes(bytes_max);
    let topic = FetchTopic::default()
        .with_topic(name("s"))
        .with_partitions(vec![wanted]);
    let request = FetchRequest::default()
        .with_max_bytes(bytes_max)
        .with_session_epoch(-1)
        .with_topics(vec![topic]);
    let header = RequestHeader::default()
        .with_request_api_key(ApiKey::Fetch as i16)
        .with_request_api_version(12)
        .with_client_id(Some(StrBytes::from_static_str("greedy")));
    let mut body = BytesMut::new();
    header.encode(&mut body, 2).unwrap();
    request.encode(&mut body, 12).unwrap();
    let mut frame = BytesMut::from(&i32::try_from(body.len()).unwrap().to_be_bytes()[..]);
    frame.extend_from_slice(&body);
    frame.freeze()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_nobody_reads_are_few() {
    let server = Server::builder()
        .kafka()
        .config("[kafka_door]\nidle = \"20s\"\n")
        .start();
    create(&server).await;
    let address = server.kafka();
    let mut kafka = KafkaClient::connect(&address).await.unwrap();
    for _ in 0..32 {
        let mut value = vec![0; MIB as usize];
        rand::rng().fill_bytes(&mut value);
        let batch = Batch {
            records: vec![(None, Some(value.into()))],
            ..Batch::of([])
        };
        kafka.produce("s", 0, &batch).await.unwrap();
    }
    let before = process::resident_bytes(server.pid());
    // Each asks for all of it, many times, and reads nothing.
    let request = fetch(50 << 20);
    let mut greedy = Vec::new();
    for _ in 0..3 {
        let mut stream = half_open(&address, &request).await;
        for _ in 1..20 {
            stream.write_all(&request).await.unwrap();
        }
        // The first answer has begun to come, and those behind it could be made.
        stream.peek(&mut [0; 4]).await.unwrap();
        greedy.push(stream);
    }
    for _ in 0..20 {
        serves(&server, 10).await;
    }
    let grown = process::peak_resident_bytes(server.pid()).saturating_sub(before);
    assert!(grown < 400 * MIB, "{} MiB for answers", grown / MIB);
    for stream in &mut greedy {
        // Whoever begins to read gets what it asked for.
        let mut answer = vec![0; 32 * MIB as usize];
        let read = tokio::time::timeout(Duration::from_secs(60), stream.read_exact(&mut answer));
        read.await.unwrap().unwrap();
    }
    server.stop();
}
