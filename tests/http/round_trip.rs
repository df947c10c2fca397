//! What an answer shows, ingest reads: rows go out as text and come back the same.

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use weir_tests::Server;
use weir_tests::client::media;

#[tokio::test]
async fn intervals_come_back_from_ndjson_and_csv() {
    let server = Server::start();
    let client = server.client();
    client
        .run(&[
            "CREATE STREAM given (k INT, iv INTERVAL)",
            "CREATE STREAM from_ndjson (k INT, iv INTERVAL)",
            "CREATE STREAM from_csv (k INT, iv INTERVAL)",
            "INSERT INTO given VALUES (1, INTERVAL '1 year 2 months 3 days 04:05:06.000007'), \
             (2, INTERVAL '-1 month'), (3, INTERVAL '-1 month' + INTERVAL '1 day' - INTERVAL '1 second'), \
             (4, INTERVAL '0 seconds'), (5, NULL), (6, INTERVAL '-25 hours'), (7, INTERVAL '1 day -1 hour')",
        ])
        .await;
    for (stream, media) in [("from_ndjson", media::NDJSON), ("from_csv", media::CSV)] {
        let body = client.body("SELECT k, iv FROM given", media).await;
        let shown = String::from_utf8_lossy(&body).into_owned();
        assert!(
            shown.contains("1 year 2 mons 3 days 04:05:06.000007"),
            "{shown}"
        );
        let request = client
            .request(Method::POST, &format!("/v1/topics/{stream}/records"))
            .header(CONTENT_TYPE, media)
            .body(body);
        let answer = client.document_of(request).await;
        let answer = answer.unwrap_or_else(|problem| panic!("{stream}: {problem}: {shown}"));
        assert_eq!(answer["rows"], 7);
        // As text, since intervals that are shown alike may be compared otherwise.
        for (one, other) in [("given", stream), (stream, "given")] {
            let text = |from| format!("SELECT k, CAST(iv AS TEXT) FROM {from}");
            let sql = format!(
                "SELECT count(*) FROM ({} EXCEPT {}) AS different",
                text(one),
                text(other)
            );
            assert_eq!(client.number(&sql).await, 0, "{one} and {other}: {shown}");
        }
    }
    server.stop();
}
