//! Sessions: what one SETs, no other sees.

use reqwest::Method;
use serde_json::json;
use weir_tests::{Problem, Server, wait};

#[tokio::test]
async fn a_setting_lives_in_its_session_only() {
    let server = Server::start();
    let plain = server.client();
    let one = plain.open_session().await;
    let two = plain.open_session().await;
    assert_ne!(one.session(), two.session());
    one.run(&["SET row_limit = 1"]).await;
    let sql = "SELECT value FROM generate_series(1, 3) AS g(value)";
    let rows = one.rows(sql).await;
    assert_eq!((rows.row_count, rows.truncated), (1, true));
    assert_eq!(two.rows(sql).await.row_count, 3);
    assert_eq!(plain.rows(sql).await.row_count, 3);
    // Without a session, a SET lasts for its own request.
    plain.run(&["SET row_limit = 1"]).await;
    assert_eq!(plain.rows(sql).await.row_count, 3);
    server.stop();
}

#[tokio::test]
async fn a_closed_session_is_gone() {
    let server = Server::start();
    let client = server.client().open_session().await;
    let path = format!("/v1/sessions/{}", client.session().unwrap());
    let response = client.send(client.request(Method::DELETE, &path)).await;
    assert_eq!(response.status(), 204);
    let problem = client.sql("SELECT 1").await.unwrap_err();
    assert_eq!(problem.status, 404, "{problem}");
    let response = client.send(client.request(Method::DELETE, &path)).await;
    assert_eq!(Problem::of(response).await.status, 404);
    server.stop();
}

#[tokio::test]
async fn an_idle_session_expires_and_a_used_one_does_not() {
    let server = Server::builder()
        .config("[rest]\nsession_idle = \"3s\"\n")
        .start();
    let client = server.client();
    let idle = client.open_session().await;
    let used = client.open_session().await;
    wait::eventually("one of two sessions expires", async || {
        // To ask for the idle one would be to use it: how many there are is a metric.
        used.run(&["SELECT 1"]).await;
        let metrics = client
            .send(client.request(Method::GET, "/metrics"))
            .await
            .text()
            .await
            .unwrap();
        let kept = metrics
            .lines()
            .find_map(|line| line.strip_prefix("weir_sessions "))
            .map(str::to_owned);
        wait::check(kept.as_deref() == Some("1"), format!("{kept:?}"))
    })
    .await;
    used.run(&["SELECT 1"]).await;
    let problem = idle.sql("SELECT 1").await.unwrap_err();
    assert_eq!(problem.status, 404, "{problem}");
    server.stop();
}

#[tokio::test]
async fn sessions_are_bounded() {
    let server = Server::builder().config("[rest]\nsessions = 2\n").start();
    let client = server.client();
    let first = client.open_session().await;
    let _second = client.open_session().await;
    let response = client
        .send(client.request(Method::POST, "/v1/sessions"))
        .await;
    let problem = Problem::of(response).await;
    assert_eq!(problem.status, 429, "{problem}");
    let path = format!("/v1/sessions/{}", first.session().unwrap());
    client.send(client.request(Method::DELETE, &path)).await;
    client.open_session().await;
    server.stop();
}

#[tokio::test]
async fn a_session_takes_statements_at_once() {
    let server = Server::start();
    let session = server.client().open_session().await;
    session.run(&["CREATE STREAM s (a INT)"]).await;
    let inserts = (0..20).map(|number| {
        let session = session.clone();
        async move {
            let sql = format!("INSERT INTO s VALUES ({number})");
            session.sql(&sql).await.map(|rows| rows.rows)
        }
    });
    for answer in futures::future::join_all(inserts).await {
        assert_eq!(answer.unwrap(), [[json!(1)]]);
    }
    assert_eq!(session.number("SELECT count(*) FROM s").await, 20);
    server.stop();
}
