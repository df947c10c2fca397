//! `/v1/live`: queries over a WebSocket.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use weir_tests::{Server, wait};

use super::{column, numbers};

struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    async fn open(server: &Server) -> Self {
        let (socket, _) = connect_async(format!("ws://{}/v1/live", server.address()))
            .await
            .expect("a WebSocket opens");
        Self(socket)
    }

    async fn send(&mut self, message: Value) {
        self.0
            .send(Message::text(message.to_string()))
            .await
            .expect("a message is taken");
    }

    async fn next(&mut self) -> Value {
        loop {
            let message = tokio::time::timeout(Duration::from_secs(60), self.0.next()).await;
            match message
                .expect("a message comes")
                .expect("the socket is open")
                .expect("a message is whole")
            {
                Message::Text(text) => {
                    return serde_json::from_str(&text).expect("a message is JSON");
                }
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("instead of text: {other:?}"),
            }
        }
    }

    async fn rows(&mut self, name: &str, count: usize) -> (Vec<i64>, Option<String>) {
        let mut values = Vec::new();
        let mut token = None;
        while values.len() < count {
            let message = self.next().await;
            assert_eq!(message["type"], "rows", "{message}");
            values.extend(column(&message["rows"], name));
            token = message["resume"].as_str().map(str::to_owned);
        }
        (values, token)
    }
}

#[tokio::test]
async fn rows_come_with_resume_tokens_and_a_query_can_be_cancelled() {
    let server = Server::start();
    let client = server.client();
    client.run(&["CREATE STREAM s (n BIGINT)"]).await;
    client.ingest("s", numbers(0, 5)).await.unwrap();
    let mut socket = Socket::open(&server).await;
    socket
        .send(json!({ "type": "query", "query": "SELECT n FROM s EMIT CHANGES" }))
        .await;
    let schema = socket.next().await;
    assert_eq!(schema["type"], "schema", "{schema}");
    assert_eq!(schema["live"], true);
    assert_eq!(schema["columns"][0]["name"], "n");
    let (values, _) = socket.rows("n", 5).await;
    assert_eq!(values, [0, 1, 2, 3, 4]);
    client.ingest("s", numbers(5, 7)).await.unwrap();
    let (values, token) = socket.rows("n", 2).await;
    assert_eq!(values, [5, 6]);
    socket.send(json!({ "type": "cancel" })).await;
    let end = socket.next().await;
    assert_eq!(
        (&end["type"], &end["reason"]),
        (&json!("end"), &json!("cancelled")),
        "{end}"
    );
    // The same socket goes on with another query, from the token.
    client.ingest("s", numbers(7, 8)).await.unwrap();
    socket
        .send(json!({ "type": "query", "query": "SELECT n FROM s EMIT CHANGES", "resume": token.unwrap() }))
        .await;
    assert_eq!(socket.next().await["type"], "schema");
    assert_eq!(socket.rows("n", 1).await.0, [7]);
    server.stop();
}

#[tokio::test]
async fn bounded_queries_end_and_errors_do_not_close_the_socket() {
    let server = Server::start();
    let mut socket = Socket::open(&server).await;
    socket
        .send(json!({ "type": "query", "query": "SELECT nope" }))
        .await;
    let error = socket.next().await;
    assert_eq!(error["type"], "error");
    assert_eq!(error["error"]["sqlstate"], "42703", "{error}");
    socket.send(json!({ "type": "nonsense" })).await;
    assert_eq!(socket.next().await["type"], "error");
    socket
        .send(json!({ "type": "query", "query": "SELECT $1 + 1 AS n", "parameters": [41] }))
        .await;
    assert_eq!(socket.next().await["type"], "schema");
    assert_eq!(socket.rows("n", 1).await.0, [42]);
    let end = socket.next().await;
    assert_eq!(
        (&end["type"], &end["row_count"]),
        (&json!("end"), &json!(1)),
        "{end}"
    );
    server.stop();
}

#[tokio::test]
async fn queries_share_a_socket_by_their_names() {
    let server = Server::start();
    let client = server.client();
    client
        .run(&["CREATE STREAM s (n BIGINT)", "CREATE STREAM r (n BIGINT)"])
        .await;
    client.ingest("s", numbers(0, 2)).await.unwrap();
    let mut socket = Socket::open(&server).await;
    for (id, query) in [
        ("all", "SELECT n FROM s EMIT CHANGES"),
        ("count", "SELECT count(*) AS n FROM s EMIT CHANGES"),
        ("other", "SELECT n FROM r EMIT CHANGES"),
    ] {
        socket
            .send(json!({ "type": "query", "id": id, "query": query }))
            .await;
    }
    // A second of the same name is refused, and touches none.
    let again = json!({ "type": "query", "id": "all", "query": "SELECT 1" });
    socket.send(again).await;
    let mut seen: std::collections::BTreeMap<String, Vec<Value>> = Default::default();
    let mut until = async |socket: &mut Socket, id: &str, count: usize| {
        while seen.get(id).map_or(0, Vec::len) < count {
            let message = socket.next().await;
            let of = message["id"].as_str().expect("a name").to_owned();
            match message["type"].as_str().unwrap() {
                "schema" => {}
                "rows" => {
                    let rows = message["rows"].as_array().unwrap().clone();
                    seen.entry(of).or_default().extend(rows);
                }
                "error" => {
                    assert_eq!(message["error"]["sqlstate"], "55006", "{message}");
                    seen.entry("refused".to_owned()).or_default().push(message);
                }
                other => panic!("{other}"),
            }
        }
        seen[id].clone()
    };
    until(&mut socket, "refused", 1).await;
    assert_eq!(
        until(&mut socket, "all", 2).await,
        [json!({ "n": 0 }), json!({ "n": 1 })]
    );
    assert_eq!(
        until(&mut socket, "count", 1).await,
        [json!({ "_op": "insert", "n": 2 })]
    );
    client.ingest("s", numbers(2, 3)).await.unwrap();
    assert_eq!(until(&mut socket, "all", 3).await[2], json!({ "n": 2 }));
    let counts = until(&mut socket, "count", 3).await;
    assert_eq!(counts[2], json!({ "_op": "update_after", "n": 3 }));
    // One that is cancelled ends, and the others go on.
    socket.send(json!({ "type": "cancel", "id": "all" })).await;
    let end = socket.next().await;
    assert_eq!(
        (&end["type"], &end["id"], &end["reason"]),
        (&json!("end"), &json!("all"), &json!("cancelled")),
        "{end}"
    );
    client.ingest("r", numbers(7, 8)).await.unwrap();
    assert_eq!(until(&mut socket, "other", 1).await, [json!({ "n": 7 })]);
    wait::eventually("two are left", async || {
        let running = client.running("EMIT CHANGES").await.len();
        wait::check(running == 2, running)
    })
    .await;
    server.stop();
}

#[tokio::test]
async fn one_connection_has_only_so_many_queries() {
    let server = Server::start();
    let client = server.client();
    client.run(&["CREATE STREAM s (n BIGINT)"]).await;
    let mut socket = Socket::open(&server).await;
    for id in 0..33 {
        socket
            .send(json!({ "type": "query", "id": id.to_string(), "query": "SELECT n FROM s EMIT CHANGES" }))
            .await;
    }
    let error = loop {
        let message = socket.next().await;
        if message["type"] == "error" {
            break message;
        }
    };
    assert_eq!(error["id"], "32", "{error}");
    assert_eq!(error["error"]["sqlstate"], "53400", "{error}");
    server.stop();
}

#[tokio::test]
async fn the_server_says_why_it_closes() {
    use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
    let server = Server::start();
    let too_large = Message::text(format!(
        "{{\"type\":\"query\",\"query\":\"{}\"}}",
        "x".repeat(1 << 20)
    ));
    for (message, code) in [
        (Message::binary(vec![1, 2, 3]), CloseCode::Unsupported),
        (too_large, CloseCode::Size),
    ] {
        let mut socket = Socket::open(&server).await;
        socket.0.send(message).await.unwrap();
        let closed = tokio::time::timeout(Duration::from_secs(60), socket.0.next()).await;
        match closed
            .expect("it is closed")
            .expect("with a frame")
            .unwrap()
        {
            Message::Close(Some(frame)) => assert_eq!(frame.code, code),
            other => panic!("instead of a close: {other:?}"),
        }
    }
    server.stop();
}

#[tokio::test]
async fn envelopes_and_tokens_of_changes_go_over_a_socket() {
    let server = Server::start();
    let client = server.client();
    client
        .run(&[
            "CREATE TABLE t (id BIGINT PRIMARY KEY, v BIGINT)",
            "INSERT INTO t VALUES (1, 1)",
        ])
        .await;
    let mut socket = Socket::open(&server).await;
    let mut query = json!({ "type": "query", "query": "SUBSCRIBE t", "envelope": "upsert" });
    socket.send(query.clone()).await;
    assert_eq!(socket.next().await["columns"][1]["key"], true);
    let message = socket.next().await;
    assert_eq!(
        message["rows"],
        json!([{ "_op": "upsert", "id": 1, "v": 1 }])
    );
    socket.send(json!({ "type": "cancel" })).await;
    assert_eq!(socket.next().await["type"], "end");
    client.run(&["DELETE FROM t WHERE id = 1"]).await;
    query["resume"] = message["resume"].clone();
    socket.send(query).await;
    socket.next().await;
    let message = socket.next().await;
    assert_eq!(
        message["rows"],
        json!([{ "_op": "delete", "id": 1, "v": null }])
    );
    server.stop();
}

#[tokio::test]
async fn a_closed_socket_stops_its_query() {
    let server = Server::start();
    let client = server.client();
    client.run(&["CREATE STREAM s (n BIGINT)"]).await;
    let mut socket = Socket::open(&server).await;
    socket
        .send(json!({ "type": "query", "query": "SELECT n FROM s EMIT CHANGES" }))
        .await;
    assert_eq!(socket.next().await["type"], "schema");
    wait::eventually("it runs", async || {
        wait::check(
            client.running("EMIT CHANGES").await.len() == 1,
            "not listed",
        )
    })
    .await;
    drop(socket);
    wait::within(Duration::from_secs(5), "it stops", async || {
        let running = client.running("EMIT CHANGES").await;
        wait::check(running.is_empty(), format!("{running:?}"))
    })
    .await;
    server.stop();
}

#[tokio::test]
async fn a_client_that_does_not_read_is_left() {
    let server = Server::builder()
        .config("[rest]\nwebsocket_send_timeout = \"500ms\"\n")
        .start();
    let client = server.client();
    client.run(&["CREATE STREAM s (n BIGINT, text TEXT)"]).await;
    // It has little room for what comes, so that it is the server that has to wait.
    let stream = tokio::net::TcpSocket::new_v4().unwrap();
    stream.set_recv_buffer_size(4096).unwrap();
    let stream = stream.connect(server.address().parse().unwrap()).await;
    let url = format!("ws://{}/v1/live", server.address());
    let opened = tokio_tungstenite::client_async(url, stream.unwrap()).await;
    let (mut silent, _) = opened.unwrap();
    for name in ["a", "b"] {
        let query = json!({ "type": "query", "id": name, "query": "SELECT * FROM s EMIT CHANGES" });
        silent.send(Message::text(query.to_string())).await.unwrap();
    }
    wait::eventually("both run", async || {
        let running = client.running("EMIT CHANGES").await.len();
        wait::check(running == 2, format!("{running} run"))
    })
    .await;
    let rows = "INSERT INTO s SELECT n, repeat('x', 1000) FROM generate_series(1, 20000) AS g(n)";
    client.run(&[rows]).await;
    wait::eventually("both have ended", async || {
        let running = client.running("EMIT CHANGES").await;
        wait::check(running.is_empty(), format!("{running:?}"))
    })
    .await;
    drop(silent);
    server.stop();
}

#[tokio::test]
async fn a_page_from_elsewhere_gets_no_socket() {
    use tokio_tungstenite::tungstenite::client::IntoClientRequest;
    let server = Server::start();
    let mut request = format!("ws://{}/v1/live", server.address())
        .into_client_request()
        .unwrap();
    request
        .headers_mut()
        .insert("origin", "https://evil.example".parse().unwrap());
    assert!(connect_async(request).await.is_err(), "it was let in");
    server.stop();
}
