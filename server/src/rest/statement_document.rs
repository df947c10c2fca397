//! How a submitted statement is shown.

use serde::Serialize;
use utoipa::ToSchema;
use weir_engine::{AnswerKind, Engine};

use super::problem::{Problem, ProblemDocument};
use super::queries::millis;
use super::statements::Statement;
use crate::encode::{Column, columns_document};

/// A submitted statement.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StatementDocument {
    /// Its id.
    id: String,
    /// queued, running, finished, failed or cancelled.
    state: &'static str,
    /// Its text.
    sql: String,
    /// Its query, once it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    query_id: Option<String>,
    /// How far it is.
    progress: ProgressDocument,
    /// Its columns, once they are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    columns: Option<Vec<Column>>,
    /// Rows that can be fetched.
    row_count: u64,
    /// Whether rows were left out because of a row limit.
    truncated: bool,
    /// The tag of a command: `CREATE STREAM`.
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
    /// Where its rows are.
    rows: String,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ProblemDocument>)]
    error: Option<Problem>,
}

/// How far a statement is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProgressDocument {
    /// Rows that the query gave out.
    rows: u64,
    /// Bytes that it gave out, as Arrow arrays.
    bytes: u64,
    /// Time since it was submitted.
    elapsed_ms: u64,
    /// Bytes spilled to disk.
    spilled_bytes: u64,
}

/// The document of a statement now.
pub(crate) fn of(engine: &Engine, statement: &Statement) -> StatementDocument {
    let outcome = statement.outcome.borrow().clone();
    let state = match (&outcome.started, &outcome.ended) {
        (_, Some(ended)) if ended.cancelled => "cancelled",
        (_, Some(ended)) if ended.failure.is_some() => "failed",
        (_, Some(_)) => "finished",
        (Some(_), None) => "running",
        (None, None) => "queued",
    };
    let running = outcome
        .started
        .as_ref()
        .and_then(|started| engine.query(started.query_id));
    let progress = match (&outcome.ended, running) {
        (Some(ended), _) => ProgressDocument {
            rows: ended.progress.rows,
            bytes: ended.progress.bytes,
            elapsed_ms: millis(ended.progress.elapsed),
            spilled_bytes: ended.progress.spilled_bytes,
        },
        (None, running) => ProgressDocument {
            rows: running.as_ref().map_or(0, |info| info.rows),
            bytes: running.as_ref().map_or(0, |info| info.bytes),
            elapsed_ms: millis(statement.submitted.elapsed()),
            spilled_bytes: running.as_ref().map_or(0, |info| info.spilled_bytes),
        },
    };
    let command = outcome
        .started
        .as_ref()
        .and_then(|started| match &started.kind {
            AnswerKind::Command { tag, .. } => Some(tag.clone()),
            AnswerKind::Rows | AnswerKind::Live => None,
        });
    StatementDocument {
        id: statement.id.to_string(),
        state,
        sql: statement.sql.clone(),
        query_id: outcome
            .started
            .as_ref()
            .map(|started| started.query_id.to_string()),
        progress,
        columns: outcome
            .started
            .as_ref()
            .map(|started| columns_document(&started.schema)),
        row_count: statement.spool.rows(),
        truncated: outcome.ended.as_ref().is_some_and(|ended| ended.truncated),
        command,
        rows: format!("/v1/statements/{}/rows", statement.id),
        error: outcome.ended.and_then(|ended| ended.failure),
    }
}
