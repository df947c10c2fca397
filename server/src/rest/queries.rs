//! `GET /v1/queries` and `DELETE /v1/queries/{id}`: what runs, and stopping it.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use chrono::DateTime;
use serde::Serialize;
use utoipa::ToSchema;
use weir_base::{Kind, QueryId};
use weir_engine::QueryInfo;

use super::caller::Caller;
use super::problem::Problem;
use super::{Rest, path_problem};

/// Queries that run, and the last few hundred that ended.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QueriesDocument {
    queries: Vec<QueryInfoDocument>,
}

/// A query and how far it is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QueryInfoDocument {
    /// Its id.
    id: String,
    /// Whose it is.
    user: String,
    /// Its text.
    sql: String,
    /// queued, running, finished, failed or cancelled.
    state: &'static str,
    /// When it came.
    started_at: String,
    /// How long it took so far, or in all.
    elapsed_ms: u64,
    /// Rows given out.
    rows: u64,
    /// Bytes given out, as Arrow arrays.
    bytes: u64,
    /// Bytes spilled to disk.
    spilled_bytes: u64,
    /// Bytes of memory reserved.
    memory_bytes: u64,
    /// Whether it is a live query.
    live: bool,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl From<QueryInfo> for QueryInfoDocument {
    fn from(info: QueryInfo) -> Self {
        Self {
            id: info.id.to_string(),
            user: info.user,
            sql: info.sql,
            state: info.state.as_str(),
            started_at: DateTime::from_timestamp_millis(info.started_at_ms)
                .map_or_else(String::new, |at| {
                    at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
                }),
            elapsed_ms: millis(info.elapsed),
            rows: info.rows,
            bytes: info.bytes,
            spilled_bytes: info.spilled_bytes,
            memory_bytes: info.memory_bytes,
            live: info.live,
            error: info.error,
        }
    }
}

pub(crate) fn millis(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Lists queries.
#[utoipa::path(get, path = "/v1/queries", tag = "queries", operation_id = "listQueries",
    responses((status = 200, description = "Queries in order of arrival.", body = QueriesDocument)))]
pub(crate) async fn list(
    State(rest): State<Arc<Rest>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<QueriesDocument>, Problem> {
    let queries = caller.session(&rest)?.queries()?;
    Ok(Json(QueriesDocument {
        queries: queries.into_iter().map(Into::into).collect(),
    }))
}

/// Tells about one query.
#[utoipa::path(get, path = "/v1/queries/{id}", tag = "queries", operation_id = "getQuery",
    params(("id" = String, Path, description = "The query's id.")),
    responses((status = 200, description = "The query.", body = QueryInfoDocument)))]
pub(crate) async fn get(
    State(rest): State<Arc<Rest>>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<QueryInfoDocument>, Problem> {
    let Path(id) = id.map_err(path_problem)?;
    let session = caller.session(&rest)?;
    let info = match id.parse() {
        Ok(id) => session.query(id)?,
        Err(_) => None,
    };
    let info = info.ok_or_else(|| unknown(&id))?;
    Ok(Json(info.into()))
}

/// Cancels a query.
#[utoipa::path(delete, path = "/v1/queries/{id}", tag = "queries", operation_id = "cancelQuery",
    params(("id" = String, Path, description = "The query's id.")),
    responses((status = 204, description = "The query is asked to stop, or had ended already.")))]
pub(crate) async fn cancel(
    State(rest): State<Arc<Rest>>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let Path(text) = id.map_err(path_problem)?;
    let id: QueryId = text.parse().map_err(|_| unknown(&text))?;
    // One that has ended needs no stopping.
    let session = caller.session(&rest)?;
    if session.cancel(id)? || session.query(id)?.is_some() {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(unknown(&text))
}

fn unknown(id: &str) -> Problem {
    Problem::new(Kind::NotFound, format!("there is no query {id:?}"))
        .with_hint("GET /v1/queries lists them")
}
