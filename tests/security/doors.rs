//! The doors of PostgreSQL and Flight SQL: a table of attempts by users with few rights, by the drivers that people have; and what
//! these doors hold for who is not known.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weir_tests::{Server, python};

use super::{PASSWORD, closed, user};

/// Users who may read, who may add, who may do nothing, whose right passes, and one who may do all.
async fn furnished(server: &Server) {
    for (name, roles) in [
        ("reads", &[][..]),
        ("adds", &[]),
        ("nobody", &[]),
        ("passing", &[]),
        ("boss", &["admin"]),
    ] {
        user(server, name, roles).await;
    }
    server
        .admin()
        .run(&[
            "CREATE TABLE t (id BIGINT PRIMARY KEY, name TEXT)",
            "INSERT INTO t VALUES (1, 'one'), (2, 'two')",
            "CREATE STREAM s (x BIGINT)",
            "CREATE TABLE policed (id BIGINT PRIMARY KEY, area TEXT)",
            "INSERT INTO policed VALUES (1, 'open'), (2, 'secret')",
            "GRANT SELECT ON t, s, policed TO reads",
            "GRANT INSERT ON t TO adds",
            "CREATE POLICY p ON policed TO reads USING (area <> 'secret')",
        ])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_drivers_are_held_to_their_users_rights() {
    let server = closed().postgres().start();
    furnished(&server).await;
    let said = python::run("postgres_rights.py", &[&server.postgres(), PASSWORD]);
    assert!(said.ends_with("ok\n"), "{said}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn flight_drivers_are_held_to_their_users_rights() {
    let server = closed().flight().start();
    furnished(&server).await;
    let said = python::run("flight_rights.py", &[&server.flight(), PASSWORD]);
    assert!(said.ends_with("ok\n"), "{said}");
    server.stop();
}

/// Sends bytes, and reads until the server closes; it must, within a bound.
async fn closed_after(address: &str, bytes: &[u8]) -> Vec<u8> {
    let mut connection = TcpStream::connect(address).await.unwrap();
    // The server may close while we still write.
    let _ = connection.write_all(bytes).await;
    let mut answer = Vec::new();
    let closed = connection.read_to_end(&mut answer);
    let closed = tokio::time::timeout(Duration::from_secs(60), closed).await;
    let _ = closed.expect("the server closes the connection");
    answer
}

fn startup() -> Vec<u8> {
    let parameters = b"user\0reads\0database\0weir\0\0";
    let length = u32::try_from(parameters.len() + 8).unwrap();
    [&length.to_be_bytes()[..], &[0, 3, 0, 0], parameters].concat()
}

/// Who is not known yet gets no room for large messages, and the server does not wait for them.
#[tokio::test(flavor = "multi_thread")]
async fn little_is_kept_for_who_is_not_known() {
    let server = closed()
        .postgres()
        .arg("--set")
        .arg("postgres_door.startup_timeout=10m")
        .start();
    let announced = [&startup()[..], b"p", &(32_u32 << 20).to_be_bytes()].concat();
    let started = std::time::Instant::now();
    let said = closed_after(&server.postgres(), &announced).await;
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "it is closed at once"
    );
    assert!(said.starts_with(b"R"), "it was asked who it is");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_speaks_tls_and_nothing_else_where_it_does() {
    let server = closed().postgres().arg("--tls").start();
    let said = closed_after(&server.postgres(), &startup()).await;
    let said = String::from_utf8_lossy(&said);
    assert!(said.starts_with('E') && said.contains("28000"), "{said}");
    server.stop();
}

/// A connection on which nobody was let in does not keep its place, however often it calls.
#[tokio::test(flavor = "multi_thread")]
async fn flight_connections_of_nobody_end() {
    let server = closed()
        .flight()
        .arg("--set")
        .arg("flight_door.handshake_timeout=1s")
        .start();
    let http = reqwest::Client::builder()
        .http2_prior_knowledge()
        .no_proxy()
        .build()
        .unwrap();
    let call = async |name: &str, body: Vec<u8>| {
        let url = format!(
            "http://{}/arrow.flight.protocol.FlightService/{name}",
            server.flight()
        );
        let request = http.post(url).header("content-type", "application/grpc");
        request.header("te", "trailers").body(body).send().await
    };
    let refused = call("GetFlightInfo", vec![0; 5]).await.unwrap();
    assert_eq!(refused.headers()["grpc-status"], "16");
    // A name and a password have no megabytes.
    let large = [&[0][..], &(1_u32 << 20).to_be_bytes(), &vec![0; 1 << 20]].concat();
    let refused = call("Handshake", large).await.unwrap();
    let status = refused.headers().get("grpc-status").cloned();
    assert!(status.is_some_and(|status| status != "0"));
    super::until("its place is free again", async || {
        let metrics = server.admin();
        let text = metrics.send(metrics.request(reqwest::Method::GET, "/metrics"));
        let text = text.await.text().await.unwrap_or_default();
        text.lines()
            .filter(|line| line.starts_with("weir_flight_connections"))
            .any(|line| line.ends_with(" 0"))
    })
    .await;
    server.stop();
}
