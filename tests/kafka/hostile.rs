//! What comes in on the port and is no request: the connection ends, and everybody else goes on.

use std::time::Duration;

use bytes::BytesMut;
use rand::Rng;
use rand::rngs::SmallRng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weir_tests::kafka::KafkaClient;
use weir_tests::kafka::kafka_protocol::messages::*;
use weir_tests::kafka::kafka_protocol::protocol::Encodable;
use weir_tests::{Server, python};

/// Sends bytes and says what comes back until the server closes.
async fn answer_to(address: &str, bytes: &[u8]) -> Vec<u8> {
    let mut connection = TcpStream::connect(address).await.unwrap();
    // The server may close while we still write.
    let _ = connection.write_all(bytes).await;
    let mut answer = Vec::new();
    let closed = connection.read_to_end(&mut answer);
    let closed = tokio::time::timeout(Duration::from_secs(60), closed);
    let _ = closed.await.expect("the server closes the connection");
    answer
}

fn frame(body: &[u8]) -> Vec<u8> {
    let mut frame = (body.len() as i32).to_be_bytes().to_vec();
    frame.extend_from_slice(body);
    frame
}

#[tokio::test]
async fn garbage_ends_its_connection_alone() {
    let server = Server::builder().kafka().start();
    let address = server.kafka();
    let garbage: Vec<Vec<u8>> = vec![
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0; 64],
        vec![0xff; 64],
        i32::MAX.to_be_bytes().to_vec(),
        frame(b""),
        frame(b"abc"),
        // An API that is not there, and a version that is not.
        frame(&[3, 231, 0, 0, 0, 0, 0, 1, 0xff, 0xff]),
        frame(&[0, 0, 0, 99, 0, 0, 0, 1, 0xff, 0xff]),
        // Metadata v1 with two billion topics, and one that ends in the middle.
        frame(&[0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]),
        frame(&[0, 3, 0, 1, 0, 0, 0, 1, 0, 9, b'x']),
    ];
    for bytes in garbage {
        let answer = answer_to(&address, &bytes).await;
        assert_eq!(answer, b"", "after {bytes:?}");
    }
    // ApiVersions of the future is answered, in version 0 and with error 35.
    let mut connection = TcpStream::connect(&address).await.unwrap();
    let request = frame(&[0, 18, 0, 99, 0, 0, 0, 7, 0xff, 0xff]);
    connection.write_all(&request).await.unwrap();
    let mut front = [0; 10];
    connection.read_exact(&mut front).await.unwrap();
    assert_eq!(front[4..], [0, 0, 0, 7, 0, 35]);
    // Half a request, and then nothing, keeps nobody else from being served.
    let mut half = TcpStream::connect(&address).await.unwrap();
    half.write_all(&[0, 0, 1, 0, 0, 3]).await.unwrap();
    let said = python::run("kafka_python.py", &[&address]);
    assert!(said.ends_with("ok\n"), "{said}");
    server.stop();
}

/// A body that a client could have sent, if there is one without anything particular in it.
fn empty_body(key: ApiKey, version: i16) -> Option<Vec<u8>> {
    let mut body = BytesMut::new();
    macro_rules! encode {
        ($($api:ident => $request:ident),* $(,)?) => {
            match key {
                $(ApiKey::$api => $request::default().encode(&mut body, version),)*
                other => panic!("{other:?} is answered and not tried here"),
            }
        };
    }
    let encoded = encode!(
        Produce => ProduceRequest,
        Fetch => FetchRequest,
        ListOffsets => ListOffsetsRequest,
        Metadata => MetadataRequest,
        OffsetCommit => OffsetCommitRequest,
        OffsetFetch => OffsetFetchRequest,
        FindCoordinator => FindCoordinatorRequest,
        JoinGroup => JoinGroupRequest,
        Heartbeat => HeartbeatRequest,
        LeaveGroup => LeaveGroupRequest,
        SyncGroup => SyncGroupRequest,
        DescribeGroups => DescribeGroupsRequest,
        ListGroups => ListGroupsRequest,
        ApiVersions => ApiVersionsRequest,
        CreateTopics => CreateTopicsRequest,
        DeleteTopics => DeleteTopicsRequest,
        DeleteRecords => DeleteRecordsRequest,
        InitProducerId => InitProducerIdRequest,
        OffsetForLeaderEpoch => OffsetForLeaderEpochRequest,
        AddPartitionsToTxn => AddPartitionsToTxnRequest,
        AddOffsetsToTxn => AddOffsetsToTxnRequest,
        EndTxn => EndTxnRequest,
        TxnOffsetCommit => TxnOffsetCommitRequest,
        DescribeConfigs => DescribeConfigsRequest,
        CreatePartitions => CreatePartitionsRequest,
        DeleteGroups => DeleteGroupsRequest,
        IncrementalAlterConfigs => IncrementalAlterConfigsRequest,
        OffsetDelete => OffsetDeleteRequest,
        DescribeCluster => DescribeClusterRequest,
        DescribeProducers => DescribeProducersRequest,
        DescribeTransactions => DescribeTransactionsRequest,
        ListTransactions => ListTransactionsRequest,
        SaslHandshake => SaslHandshakeRequest,
        SaslAuthenticate => SaslAuthenticateRequest,
    );
    encoded.ok().map(|()| body.to_vec())
}

/// Bodies of all kinds of wrong: cut off, with wrong bytes, and made of nothing but chance.
fn bodies(key: ApiKey, version: i16, random: &mut SmallRng) -> Vec<Vec<u8>> {
    let tries = crate::recovery::rounds() / 5;
    let mut bodies = Vec::new();
    for _ in 0..tries {
        let length = random.random_range(0..120);
        // Small numbers make lengths and counts that fit now and then.
        let body = (0..length).map(|_| {
            let byte: u8 = random.random();
            if random.random_bool(0.7) {
                byte % 4
            } else {
                byte
            }
        });
        bodies.push(body.collect());
        let Some(mut body) = empty_body(key, version).filter(|body| !body.is_empty()) else {
            continue;
        };
        bodies.push(body[..random.random_range(0..body.len())].to_vec());
        let at = random.random_range(0..body.len());
        body[at] = random.random();
        bodies.push(body);
    }
    bodies
}

#[tokio::test]
async fn bodies_that_are_cut_off_or_wrong_are_refused_or_answered() {
    let server = Server::builder().kafka().start();
    let address = server.kafka();
    let mut random = crate::recovery::random("kafka::bodies");
    let mut kafka = KafkaClient::connect(&address).await.unwrap();
    let asked = ApiVersionsRequest::default()
        .with_client_software_name("weir-tests".into())
        .with_client_software_version("1".into());
    let answered = kafka.ask(3, &asked).await.unwrap();
    assert!(answered.api_keys.len() >= 32, "{}", answered.api_keys.len());
    for api in answered.api_keys {
        let key = ApiKey::try_from(api.api_key).unwrap();
        for version in api.min_version..=api.max_version {
            for body in bodies(key, version, &mut random) {
                let mut request = api.api_key.to_be_bytes().to_vec();
                request.extend_from_slice(&version.to_be_bytes());
                request.extend_from_slice(&[0, 0, 0, 1, 0xff, 0xff]);
                if key.request_header_version(version) >= 2 {
                    request.push(0);
                }
                request.extend_from_slice(&body);
                let mut connection = TcpStream::connect(&address).await.unwrap();
                connection.write_all(&frame(&request)).await.unwrap();
                connection.shutdown().await.unwrap();
                let mut answer = Vec::new();
                let ended = connection.read_to_end(&mut answer);
                let ended = tokio::time::timeout(Duration::from_secs(90), ended).await;
                assert!(ended.is_ok(), "{key:?}, version {version}: {body:?}");
            }
        }
    }
    assert_eq!(server.client().number("SELECT 1").await, 1);
    server.stop();
}
