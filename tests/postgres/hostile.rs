//! What comes in on the port and is no client: the connection ends, and everybody else goes on.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::server;

/// Sends bytes, and says what comes back until the server closes.
async fn answer_to(address: &str, bytes: &[u8]) -> Vec<u8> {
    let mut connection = TcpStream::connect(address).await.unwrap();
    // The server may close while we still write.
    let _ = connection.write_all(bytes).await;
    let mut answer = Vec::new();
    let closed = connection.read_to_end(&mut answer);
    let closed = tokio::time::timeout(Duration::from_secs(60), closed).await;
    let _ = closed.expect("the server closes the connection");
    answer
}

fn startup(parameters: &[u8]) -> Vec<u8> {
    let mut message = (parameters.len() as i32 + 9).to_be_bytes().to_vec();
    message.extend_from_slice(&[0, 3, 0, 0]);
    message.extend_from_slice(parameters);
    message.push(0);
    message
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut message = vec![tag];
    message.extend_from_slice(&(body.len() as i32 + 4).to_be_bytes());
    message.extend_from_slice(body);
    message
}

/// What the server says after a start, to these messages.
async fn after_start(address: &str, messages: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = startup(b"user\0x\0database\0weir\0");
    for sent in messages {
        bytes.extend_from_slice(sent);
    }
    // The end, as clients say it.
    bytes.extend_from_slice(&message(b'X', b""));
    answer_to(address, &bytes).await
}

fn has(answer: &[u8], text: &[u8]) -> bool {
    answer.windows(text.len()).any(|window| window == text)
}

#[tokio::test]
async fn garbage_ends_its_connection_alone() {
    let server = server();
    let address = server.postgres();
    for garbage in [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0; 64],
        vec![0xff; 64],
        i32::MAX.to_be_bytes().to_vec(),
        // Protocol 2, and a start without its end.
        vec![0, 0, 0, 8, 0, 2, 0, 0],
        vec![0, 0, 0, 12, 0, 3, 0, 0, b'u', b's', b'e', b'r'],
        // To stop what is not there.
        vec![0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0, 1, 0, 0, 0, 1],
    ] {
        answer_to(&address, &garbage).await;
    }
    // TLS that is not spoken here, and then a start.
    let mut bytes = vec![0, 0, 0, 8, 4, 210, 22, 47];
    bytes.extend_from_slice(&startup(b"user\0x\0database\0weir\0"));
    bytes.extend_from_slice(&message(b'X', b""));
    let answer = answer_to(&address, &bytes).await;
    assert_eq!(answer.first(), Some(&b'N'));
    assert!(has(&answer, b"server_version"));
    for (wrong, sqlstate) in [
        (message(b'B', b"\0\0\xff\xff\xff\xff"), &b"C08P01"[..]),
        (message(b'?', b""), b"C08P01"),
        (message(b'Q', b"SELECT \xff\0"), b"C22021"),
        (message(b'E', b"nothing\0\0\0\0\0"), b"C34000"),
        (message(b'D', b"Snothing\0"), b"C26000"),
        (message(b'F', b"\0\0\0\0"), b"C0A000"),
    ] {
        let answer = after_start(&address, std::slice::from_ref(&wrong)).await;
        assert!(has(&answer, sqlstate), "{wrong:?}: {answer:?}");
    }
    // A length that nobody means.
    let answer = after_start(&address, &[vec![b'Q', 0x7f, 0xff, 0xff, 0xff]]).await;
    assert!(has(&answer, b"server_version"));
    // After an error all is passed over up to a Sync.
    let answer = after_start(
        &address,
        &[
            message(b'P', b"\0SELEKT\0\0\0"),
            message(b'B', b"\0\0\0\0\0\0\0\0"),
            message(b'E', b"\0\0\0\0\0"),
            message(b'S', b""),
            message(b'Q', b"SELECT 42 AS answer\0"),
        ],
    )
    .await;
    assert!(
        has(&answer, b"C42601") && has(&answer, b"answer"),
        "{answer:?}"
    );
    server.stop();
}

#[tokio::test]
async fn random_messages_break_nothing() {
    let server = server();
    let address = server.postgres();
    let mut chance = SmallRng::seed_from_u64(7);
    for _ in 0..200 {
        let mut messages = Vec::new();
        for _ in 0..chance.random_range(1..8) {
            let tags = b"QPBDCEHSdcfpF";
            let tag = tags[chance.random_range(0..tags.len())];
            let mut body: Vec<u8> = (0..chance.random_range(0..40))
                .map(|_| chance.random())
                .collect();
            if chance.random_bool(0.5) {
                body = [b"\0SELECT $1\0", body.as_slice()].concat();
            }
            messages.push(message(tag, &body));
        }
        after_start(&address, &messages).await;
    }
    let answer = after_start(&address, &[message(b'Q', b"SELECT 'still here' AS x\0")]).await;
    assert!(has(&answer, b"still here"));
    server.stop();
}
