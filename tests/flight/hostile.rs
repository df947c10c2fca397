//! What comes in on the port and is no Flight call: it ends, and everybody else goes on.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weir_tests::Server;

use super::client;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Sends bytes and waits until the server closes.
async fn is_closed_after(address: &str, bytes: &[u8]) {
    let mut connection = TcpStream::connect(address).await.unwrap();
    // The server may close while we still write.
    let _ = connection.write_all(bytes).await;
    let mut answer = Vec::new();
    let closed = connection.read_to_end(&mut answer);
    let closed = tokio::time::timeout(Duration::from_secs(60), closed);
    let _ = closed.await.expect("the server closes the connection");
}

/// An HTTP/2 frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

#[tokio::test]
async fn garbage_and_silence_end_their_connection_alone() {
    let server = Server::builder()
        .flight()
        .arg("--set")
        .arg("flight_door.handshake_timeout=500ms")
        .start();
    let address = server.flight();
    let settings = frame(4, 0, 0, b"");
    let garbage: Vec<Vec<u8>> = vec![
        b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        vec![0; 64],
        vec![0xff; 64],
        // Nothing; half a preface; a preface and no call.
        Vec::new(),
        PREFACE[..10].to_vec(),
        [PREFACE, &settings].concat(),
        // A frame of 16 MB that does not come, headers that are none, data for no stream.
        [PREFACE, &settings, &[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1]].concat(),
        [PREFACE, &settings, &frame(1, 4, 1, &[0xff; 32])].concat(),
        [PREFACE, &settings, &frame(0, 0, 1, b"data")].concat(),
    ];
    for bytes in garbage {
        is_closed_after(&address, &bytes).await;
    }
    let mut client = client(&server).await;
    client.execute("SELECT 1".to_owned(), None).await.unwrap();
    server.stop();
}

#[tokio::test]
async fn calls_that_are_none_are_refused() {
    let server = Server::builder().flight().start();
    let http = reqwest::Client::builder()
        .http2_prior_knowledge()
        .no_proxy()
        .build()
        .unwrap();
    let url = |path: &str| format!("http://{}{path}", server.flight());
    let call = async |path: &str, body: Vec<u8>| {
        let response = http
            .post(url(path))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(body)
            .send()
            .await
            .unwrap();
        let status = response.headers().get("grpc-status").cloned();
        status.map(|status| status.to_str().unwrap().to_owned())
    };
    let flight = "/arrow.flight.protocol.FlightService/";
    // Calls and services that are not there.
    assert_eq!(
        call(&format!("{flight}Nothing"), vec![]).await.as_deref(),
        Some("12")
    );
    assert_eq!(
        call("/grpc.health.v1.Health/Check", vec![])
            .await
            .as_deref(),
        Some("12")
    );
    // No message, half of one, one that is longer than it says, one that says to have 4 GB.
    for body in [
        vec![],
        vec![0, 0, 0, 0, 9, 1],
        vec![0, 0, 0, 0, 1, 0xff, 0xff],
        vec![0, 0xff, 0xff, 0xff, 0xff, 0],
        vec![1, 0, 0, 0, 1, 0],
    ] {
        for name in ["GetFlightInfo", "DoGet", "DoAction", "GetSchema"] {
            let code = call(&format!("{flight}{name}"), body.clone()).await;
            assert!(code.is_some_and(|code| code != "0"), "{name} with {body:?}");
        }
    }
    // Headers beyond their bound.
    let large = http
        .post(url(&format!("{flight}GetFlightInfo")))
        .header("content-type", "application/grpc")
        .header("x-large", "x".repeat(64 << 10))
        .send()
        .await;
    assert!(large.is_err() || large.is_ok_and(|response| response.status() == 431));
    let mut client = client(&server).await;
    client.execute("SELECT 1".to_owned(), None).await.unwrap();
    server.stop();
}
