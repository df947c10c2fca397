use std::time::Duration;

use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;
use weir_base::SystemClock;
use weir_engine::{Engine, Settings};

use super::*;
use crate::config::HttpSettings;
use crate::rest::router;

struct Fixture {
    rest: Arc<Rest>,
    _folder: tempfile::TempDir,
}

async fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(
        Settings::new(folder.path().join("data")),
        Arc::new(SystemClock),
    )
    .await
    .unwrap();
    let settings = HttpSettings {
        allow_origins: vec!["https://tools.example".to_owned()],
        allow_hosts: vec!["weir.internal".to_owned()],
        session_idle: Duration::ZERO,
        ..HttpSettings::default()
    };
    Fixture {
        rest: Rest::new(engine, settings),
        _folder: folder,
    }
}

impl Fixture {
    async fn send(
        &self,
        method: &str,
        uri: &str,
        headers: &[(&str, &str)],
    ) -> (StatusCode, HeaderMap, Value) {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = router(Arc::clone(&self.rest))
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        (
            parts.status,
            parts.headers,
            serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        )
    }
}

#[tokio::test]
async fn failures_are_problem_documents_with_the_requests_id() {
    let fixture = fixture().await;
    for (method, uri, status) in [
        ("GET", "/nowhere", 404),
        ("PUT", "/v1/sql", 405),
        ("GET", "/v1/sql", 400),
        ("GET", "/v1/sql?q=SELECT%201&fromat=csv", 400),
        ("GET", "/v1/live", 426),
        ("DELETE", "/v1/queries/x", 404),
        ("DELETE", "/v1/sessions/x", 404),
        ("GET", "/v1/statements/x", 404),
        ("GET", "/v1/statements/%ff", 400),
        ("POST", "/v1/topics/bids/records", 415),
        ("POST", "/v1/sql", 400),
    ] {
        let (got, headers, problem) = fixture.send(method, uri, &[("x-request-id", "r-1")]).await;
        assert_eq!(got, status, "{method} {uri}: {problem}");
        assert_eq!(headers["content-type"], "application/problem+json");
        assert_eq!(headers["x-request-id"], "r-1");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["instance"], "urn:weir:request:r-1");
        assert_eq!(problem["sqlstate"].as_str().unwrap().len(), 5);
    }
    assert_eq!(fixture.rest.in_flight.now(), 0);
}

#[tokio::test]
async fn an_unusable_request_id_is_replaced() {
    let fixture = fixture().await;
    let (_, headers, _) = fixture
        .send("GET", "/livez", &[("x-request-id", "a b\"c")])
        .await;
    assert_eq!(headers["x-request-id"].len(), 36);
}

#[tokio::test]
async fn pages_of_others_and_names_of_others_are_refused() {
    let fixture = fixture().await;
    for (headers, status) in [
        (vec![("host", "localhost:8080")], 200),
        (vec![("host", "127.0.0.1")], 200),
        (vec![("host", "[::1]:8080")], 200),
        (vec![("host", "weir.internal:80")], 200),
        (vec![("host", "rebound.example")], 403),
        (vec![("host", "localhost.example")], 403),
        (
            vec![
                ("host", "localhost:8080"),
                ("origin", "http://localhost:8080"),
            ],
            200,
        ),
        (
            vec![
                ("host", "localhost:8080"),
                ("origin", "http://localhost:3000"),
            ],
            403,
        ),
        (vec![("host", "localhost:8080"), ("origin", "null")], 403),
        (
            vec![
                ("host", "localhost:8080"),
                ("origin", "https://tools.example"),
            ],
            200,
        ),
    ] {
        let (got, _, problem) = fixture.send("GET", "/livez", &headers).await;
        assert_eq!(got, status, "{headers:?}: {problem}");
    }
    let preflight = [
        ("host", "localhost"),
        ("origin", "https://tools.example"),
        ("access-control-request-method", "POST"),
    ];
    let (status, headers, _) = fixture.send("OPTIONS", "/v1/sql", &preflight).await;
    assert_eq!(status, 204);
    assert_eq!(
        headers["access-control-allow-origin"],
        "https://tools.example"
    );
}

#[tokio::test]
async fn a_draining_server_says_so() {
    let fixture = fixture().await;
    assert_eq!(fixture.send("GET", "/readyz", &[]).await.0, 200);
    fixture.rest.draining.cancel();
    for uri in ["/readyz", "/v1/queries"] {
        let (status, _, problem) = fixture.send("GET", uri, &[]).await;
        assert_eq!(
            (status.as_u16(), problem["sqlstate"].as_str()),
            (503, Some("57P01")),
            "{uri}"
        );
    }
    assert_eq!(fixture.send("GET", "/livez", &[]).await.0, 200);
}

#[tokio::test]
async fn sessions_are_opened_closed_and_expire() {
    let fixture = fixture().await;
    let (status, headers, session) = fixture.send("POST", "/v1/sessions", &[]).await;
    assert_eq!(status, 201);
    let resource = headers["location"].to_str().unwrap();
    assert_eq!(
        resource,
        format!("/v1/sessions/{}", session["session"].as_str().unwrap())
    );
    assert_eq!(fixture.send("DELETE", resource, &[]).await.0, 204);
    assert_eq!(fixture.send("DELETE", resource, &[]).await.0, 404);
    let (_, headers, _) = fixture.send("POST", "/v1/sessions", &[]).await;
    // The fixture's sessions may not be idle at all.
    fixture.rest.expire();
    assert_eq!(
        fixture
            .send("DELETE", headers["location"].to_str().unwrap(), &[])
            .await
            .0,
        404
    );
}

#[tokio::test]
async fn metrics_count_requests_and_queries() {
    let fixture = fixture().await;
    fixture.send("GET", "/livez", &[]).await;
    fixture.send("BREW", "/livez", &[]).await;
    let text = fixture.rest.metrics.encode().unwrap();
    for line in [
        "weir_http_requests_total{route=\"/livez\",method=\"GET\",status=\"200\"} 1",
        "weir_http_requests_total{route=\"/livez\",method=\"other\",status=\"405\"} 1",
        "weir_queries_finished_total 0",
        "weir_live_queries_active 0",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
}
