//! What operators and their tools ask: is it alive, is it ready, what has it counted, what can it do.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use weir_base::{Classify, Kind, SqlState};

use super::Rest;
use super::problem::Problem;

/// That the server is well.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HealthDocument {
    status: &'static str,
}

/// Whether the process answers at all.
#[utoipa::path(get, path = "/livez", tag = "operations", operation_id = "livez",
    responses((status = 200, description = "It does.", body = HealthDocument)))]
pub(crate) async fn livez() -> Json<HealthDocument> {
    Json(HealthDocument { status: "alive" })
}

/// Whether the server takes requests: not before it is open, not while it stops, not when its log cannot be written.
#[utoipa::path(get, path = "/readyz", tag = "operations", operation_id = "readyz",
    responses((status = 200, description = "It does.", body = HealthDocument)))]
pub(crate) async fn readyz(State(rest): State<Arc<Rest>>) -> Result<Json<HealthDocument>, Problem> {
    if rest.draining.is_cancelled() {
        return Err(
            Problem::new(Kind::Unavailable, "the server is shutting down")
                .with_sqlstate(SqlState::ADMIN_SHUTDOWN),
        );
    }
    rest.engine.ready().map_err(|error| {
        Problem::new(Kind::Unavailable, error.to_string()).with_sqlstate(error.sqlstate())
    })?;
    Ok(Json(HealthDocument { status: "ready" }))
}

/// Counters and gauges in OpenMetrics' text form, as Prometheus reads it.
#[utoipa::path(get, path = "/metrics", tag = "operations", operation_id = "metrics",
    responses((status = 200, description = "The metrics.", content((String = "application/openmetrics-text")))))]
pub(crate) async fn metrics(State(rest): State<Arc<Rest>>) -> Result<Response, Problem> {
    rest.metrics
        .set_kept(rest.sessions.count(), rest.statements.count());
    let text = rest
        .metrics
        .encode()
        .map_err(|error| Problem::new(Kind::Internal, error.to_string()))?;
    Ok((
        [(
            header::CONTENT_TYPE,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        )],
        text,
    )
        .into_response())
}

/// This interface as an OpenAPI document.
#[utoipa::path(get, path = "/openapi.json", tag = "operations", operation_id = "openapi",
    responses((status = 200, description = "The document.", body = Object, content_type = "application/json")))]
pub(crate) async fn openapi() -> Response {
    (
        [(header::CONTENT_TYPE, "application/json")],
        super::openapi_json(),
    )
        .into_response()
}
