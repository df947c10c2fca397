//! What comes in on the port and is no request: the connection ends, and everybody else goes on.

use std::time::Duration;

use rand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
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

/// The APIs that are answered, with their last versions.
const APIS: [(u8, u8); 22] = [
    (0, 13),
    (1, 17),
    (2, 9),
    (3, 13),
    (8, 9),
    (9, 9),
    (10, 6),
    (11, 9),
    (12, 4),
    (13, 5),
    (14, 5),
    (15, 6),
    (16, 5),
    (18, 4),
    (19, 7),
    (20, 6),
    (22, 5),
    (23, 4),
    (32, 4),
    (42, 2),
    (47, 0),
    (60, 2),
];

#[tokio::test]
async fn random_bodies_are_refused_or_answered() {
    let server = Server::builder().kafka().start();
    let address = server.kafka();
    let mut random = crate::recovery::random("kafka::random_bodies");
    for (key, last) in APIS {
        for version in 0..=last {
            for _ in 0..crate::recovery::rounds() / 5 {
                let mut body = vec![0, key, 0, version, 0, 0, 0, 1, 0xff, 0xff];
                let length = random.random_range(0..120);
                // Small numbers make lengths and counts that fit now and then.
                body.extend((0..length).map(|_| {
                    let byte: u8 = random.random();
                    if random.random_bool(0.7) {
                        byte % 4
                    } else {
                        byte
                    }
                }));
                let mut connection = TcpStream::connect(&address).await.unwrap();
                connection.write_all(&frame(&body)).await.unwrap();
                connection.shutdown().await.unwrap();
                let mut answer = Vec::new();
                let ended = connection.read_to_end(&mut answer);
                let ended = tokio::time::timeout(Duration::from_secs(90), ended).await;
                assert!(ended.is_ok(), "API {key}, version {version}: {body:?}");
            }
        }
    }
    assert_eq!(server.client().number("SELECT 1").await, 1);
    server.stop();
}
