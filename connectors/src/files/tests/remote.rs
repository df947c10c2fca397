//! Stores over HTTP, played by servers on loopback, with their failures.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// What a server does with a request.
#[derive(Clone, Copy)]
enum Answer {
    /// Gives the file, whole or the range that was asked for.
    File(&'static str),
    /// Gives a status and a body.
    Status(u16, &'static str),
    /// Says how much comes, and closes before all of it came.
    CutOff,
    /// Never answers.
    Silence,
}

/// A server on loopback, and its URL.
async fn server(answer: Answer) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket, answer));
        }
    });
    url
}

async fn serve(mut socket: TcpStream, answer: Answer) {
    let mut request = vec![0; 8192];
    let read = socket.read(&mut request).await.unwrap_or(0);
    let request = String::from_utf8_lossy(&request[..read]).to_lowercase();
    let head = request.starts_with("head");
    let headers =
        "last-modified: Tue, 01 Jan 2030 00:00:00 GMT\r\netag: \"x\"\r\nconnection: close\r\n";
    let reply = match answer {
        Answer::Silence => std::future::pending().await,
        Answer::Status(status, body) => {
            let body = if head { "" } else { body };
            format!(
                "HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            )
        }
        Answer::CutOff => {
            let body = if head { "" } else { "a\n1\n" };
            format!("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n{headers}\r\n{body}")
        }
        Answer::File(text) => {
            let range = request.split("range: bytes=").nth(1).and_then(|rest| {
                let (start, end) = rest.split("\r\n").next()?.split_once('-')?;
                Some((
                    start.parse::<usize>().ok()?,
                    end.parse::<usize>().ok()?.min(text.len() - 1),
                ))
            });
            let (status, part, extra) = match range {
                Some((start, end)) => (
                    206,
                    &text[start..=end],
                    format!("content-range: bytes {start}-{end}/{}\r\n", text.len()),
                ),
                None => (200, text, String::new()),
            };
            let body = if head { "" } else { part };
            format!(
                "HTTP/1.1 {status} OK\r\ncontent-length: {}\r\n{extra}{headers}\r\n{body}",
                part.len()
            )
        }
    };
    let _ = socket.write_all(reply.as_bytes()).await;
}

fn connection(kind: &str, pairs: &[(&str, &str)]) -> ConnectionSpec {
    let quick = [("request_timeout", "200ms"), ("max_retries", "0")];
    ConnectionSpec {
        name: "lake".into(),
        kind: kind.into(),
        options: options(&[pairs, &quick].concat()),
    }
}

fn s3(endpoint: &str) -> ConnectionSpec {
    connection(
        "s3",
        &[
            ("endpoint", endpoint),
            ("access_key_id", "id"),
            ("secret_access_key", "hush-hush"),
        ],
    )
}

#[tokio::test]
async fn a_web_servers_file_is_a_table() {
    let house = House::new();
    let url = server(Answer::File("a,b\n1,x\n2,y\n")).await;
    house
        .table(&at(format!("{url}/data/t.csv?signature=hush")))
        .await;
    assert!(
        house
            .rows("SELECT sum(a) AS s FROM t")
            .await
            .contains("| 3 |")
    );
    let error = house.open(&at(format!("{url}/data/"))).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound, "{error}");
}

#[tokio::test]
async fn failures_of_a_store_are_told_with_the_location_and_no_secret() {
    let house = House::new();
    let denied = "<Error><Code>AccessDenied</Code><AWSAccessKeyId>id</AWSAccessKeyId></Error>";
    let nowhere = "<Error><Code>NoSuchBucket</Code></Error>";
    for (answer, kind, message) in [
        (
            Answer::Status(403, denied),
            Kind::Denied,
            "s3://lake/t.csv: access denied (the store answers 403",
        ),
        (
            Answer::Status(404, nowhere),
            Kind::NotFound,
            "s3://lake/t.csv: the bucket does not exist",
        ),
        (
            Answer::Status(503, "SlowDown"),
            Kind::Unavailable,
            "s3://lake/t.csv: the store answers 503",
        ),
        (
            Answer::Silence,
            Kind::Unavailable,
            "s3://lake/t.csv: no answer within 0.2 s",
        ),
    ] {
        let spec = s3(&server(answer).await);
        let opened = open_table(
            &house.stores,
            &house.context.state(),
            &at("s3://lake/t.csv"),
            Some(&spec),
        )
        .await;
        let error = opened.unwrap_err();
        assert!(error.to_string().contains(message), "{message}: {error}");
        assert_eq!(error.kind(), kind, "{error}");
        assert!(!format!("{error:?}").contains("hush-hush"), "{error:?}");
    }
    // A port where nobody listens.
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let spec = s3(&format!("http://127.0.0.1:{port}"));
    let opened = open_table(
        &house.stores,
        &house.context.state(),
        &at("s3://lake/t.csv"),
        Some(&spec),
    )
    .await;
    let error = opened.unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (
            Kind::Unavailable,
            "s3://lake/t.csv: no connection to the store"
        )
    );
}

#[tokio::test]
async fn a_body_that_is_cut_off_is_an_error_and_not_a_short_table() {
    let house = House::new();
    let spec = s3(&server(Answer::CutOff).await);
    let columns = Schema::new(vec![Field::new("a", DataType::Int64, true)]);
    let table = FileTable {
        columns: Some(Arc::new(columns)),
        ..at("s3://lake/t.csv")
    };
    let provider = open_table(&house.stores, &house.context.state(), &table, Some(&spec))
        .await
        .unwrap();
    house.context.register_table("t", provider).unwrap();
    let error = house
        .context
        .sql("SELECT * FROM t")
        .await
        .unwrap()
        .collect()
        .await
        .unwrap_err();
    let ours = Error::find(&error).unwrap_or_else(|| panic!("{error:?}"));
    assert_eq!(ours.kind(), Kind::Unavailable);
    assert!(
        ours.to_string()
            .starts_with("s3://lake/t.csv: the store broke off its answer"),
        "{ours}"
    );
}

#[tokio::test]
async fn private_addresses_are_out_of_reach_through_every_kind_of_store() {
    let stores = FileStores::new(FilePolicy::default()).unwrap();
    let house = House::new();
    let url = server(Answer::File("a\n1\n")).await;
    let named = url.replace("127.0.0.1", "localhost");
    for (location, spec) in [
        (format!("{url}/t.csv"), None),
        (format!("{named}/t.csv"), None),
        ("s3://lake/t.csv".to_owned(), Some(s3(&url))),
        ("s3://lake/t.csv".to_owned(), Some(s3(&named))),
        (
            "gs://lake/t.csv".to_owned(),
            Some(connection(
                "gcs",
                &[("endpoint", &url), ("anonymous", "true")],
            )),
        ),
        (
            "az://lake/t.csv".to_owned(),
            Some(connection(
                "azure",
                &[("account", "a"), ("endpoint", &url), ("anonymous", "true")],
            )),
        ),
        (
            format!("{url}/t.csv"),
            Some(connection("http", &[("url", &url), ("bearer_token", "t")])),
        ),
    ] {
        let (session, table) = (house.context.state(), at(&location));
        let opened = open_table(&stores, &session, &table, spec.as_ref());
        let error = tokio::time::timeout(Duration::from_secs(5), opened)
            .await
            .expect("it was tried again and again")
            .unwrap_err();
        assert_eq!(error.kind(), Kind::Denied, "{location} {spec:?}: {error}");
        assert!(
            error
                .hint()
                .unwrap()
                .contains("--set allow_private_network=true")
        );
    }
}

#[tokio::test]
async fn a_failing_store_fails_the_write_with_its_reason() {
    let house = House::new();
    let spec = s3(&server(Answer::Status(
        403,
        "<Error><Code>AccessDenied</Code></Error>",
    ))
    .await);
    for to in [
        to("s3://lake/out.csv", &[]),
        to(
            "s3://lake/out/",
            &[("format", "parquet"), ("if_exists", "append")],
        ),
    ] {
        let input = house
            .context
            .sql(SOURCE)
            .await
            .unwrap()
            .into_unoptimized_plan();
        let plan = copy_plan(&house.stores, input, &to, Some(&spec)).unwrap();
        let error = house
            .context
            .execute_logical_plan(plan)
            .await
            .unwrap()
            .collect()
            .await
            .unwrap_err();
        let ours = Error::find(&error).unwrap_or_else(|| panic!("{error:?}"));
        assert_eq!(ours.kind(), Kind::Denied, "{ours}");
        assert!(ours.to_string().starts_with("s3://lake/out"), "{ours}");
    }
}
