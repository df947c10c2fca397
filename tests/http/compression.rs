//! Answers by gzip and zstd, as the client accepts them.

use std::io::Read;

use flate2::read::GzDecoder;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, VARY};
use weir_tests::Server;
use weir_tests::client::media;

const SQL: &str = "SELECT value, 'the same text again' AS text FROM generate_series(1, 20000) AS g(value) ORDER BY value";

#[tokio::test]
async fn a_compressed_answer_is_the_same_answer() {
    let server = Server::start();
    let client = server.client();
    let plain = client.body(SQL, media::CSV).await;
    for coding in ["gzip", "zstd"] {
        let request = client
            .query(SQL, media::CSV)
            .header(ACCEPT_ENCODING, coding);
        let response = client.send(request).await;
        assert_eq!(response.headers()[CONTENT_ENCODING], coding);
        let vary = response.headers()[VARY].to_str().unwrap().to_lowercase();
        assert!(vary.contains("accept-encoding"), "{vary}");
        let body = response.bytes().await.unwrap();
        assert!(
            body.len() * 5 < plain.len(),
            "{coding}: {} of {}",
            body.len(),
            plain.len()
        );
        let mut whole = Vec::new();
        match coding {
            "gzip" => GzDecoder::new(&body[..]).read_to_end(&mut whole).unwrap(),
            _ => zstd::Decoder::new(&body[..])
                .unwrap()
                .read_to_end(&mut whole)
                .unwrap(),
        };
        assert_eq!(whole, plain, "{coding}");
    }
    server.stop();
}

#[tokio::test]
async fn what_the_client_does_not_accept_is_not_sent() {
    let server = Server::start();
    let client = server.client();
    for accepted in ["identity", "br", "gzip;q=0", "zstd;q=0, gzip;q=0"] {
        let request = client
            .query(SQL, media::CSV)
            .header(ACCEPT_ENCODING, accepted);
        let response = client.send(request).await;
        assert!(
            !response.headers().contains_key(CONTENT_ENCODING),
            "{accepted}"
        );
    }
    let request = client
        .query(SQL, media::CSV)
        .header(ACCEPT_ENCODING, "gzip;q=0.5, zstd");
    assert_eq!(
        client.send(request).await.headers()[CONTENT_ENCODING],
        "zstd"
    );
    server.stop();
}
