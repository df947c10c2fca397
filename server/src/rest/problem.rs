//! Problem documents (RFC 9457): how every failure looks over HTTP.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use weir_base::{Classify, Kind, Position, QueryId, SqlState};
use weir_engine::registry::Code;

use super::schemas::RegistryFailure;
use crate::encode::EncodeError;
use crate::failure;

/// A failure, as `application/problem+json`.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub(crate) struct Problem(Box<ProblemDocument>);

/// A failure, as `application/problem+json`.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemDocument {
    /// What kind of failure: `urn:weir:problem:` and a word.
    #[serde(rename = "type")]
    problem_type: String,
    /// The kind in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What went wrong.
    detail: String,
    /// This occurrence: the query's resource, or the request's id, by which the log tells more.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    /// PostgreSQL's five-character code.
    sqlstate: &'static str,
    /// Where in the SQL text.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<PositionDocument>)]
    position: Option<Position>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// The query that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    query_id: Option<String>,
    /// The first wrong row of an ingest, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    row: Option<u64>,
    /// The wrong column of that row.
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<String>,
    /// What a client of the schema registry reads instead of all this.
    #[serde(skip)]
    registry_code: Option<u32>,
    #[serde(skip)]
    kind: Kind,
    #[serde(skip)]
    retry_after: Option<Duration>,
    #[serde(skip)]
    headers: Vec<(header::HeaderName, HeaderValue)>,
}

/// A place in SQL text, both counted from 1.
#[derive(ToSchema)]
#[allow(dead_code)]
pub(crate) struct PositionDocument {
    /// Line, from 1.
    line: u64,
    /// Column in characters, from 1.
    column: u64,
}

impl Problem {
    /// A failure of `kind`.
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let row = failure::of(kind);
        Self(Box::new(ProblemDocument {
            problem_type: format!("urn:weir:problem:{}", row.slug),
            title: row.title,
            status: row.http,
            detail: detail.into(),
            instance: None,
            sqlstate: row.sqlstate.0,
            position: None,
            hint: None,
            query_id: None,
            row: None,
            column: None,
            registry_code: None,
            kind,
            retry_after: None,
            headers: Vec::new(),
        }))
    }

    /// A request that is wrong in itself.
    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, detail).with_sqlstate(SqlState::INVALID_PARAMETER_VALUE)
    }

    /// What the schema registry refuses. Its numbers begin with their HTTP status.
    pub(crate) fn registry(code: Code, message: impl Into<String>) -> Self {
        let number = code.number();
        let kind = match code {
            Code::Corrupt => Kind::Corrupt,
            _ => Kind::Invalid,
        };
        let mut this = Self::new(kind, message);
        this.0.status = u16::try_from(leading_status(number)).unwrap_or(500);
        this.0.registry_code = Some(number);
        this
    }

    /// Has it written as clients of a schema registry read failures.
    pub(crate) fn speak_registry(&mut self) {
        let status = u32::from(self.0.status);
        self.0.registry_code.get_or_insert(match status {
            500 => 50001,
            status => status,
        });
    }

    /// A failure that HTTP itself has a status and a name for.
    pub(crate) fn http(status: StatusCode, detail: impl Into<String>) -> Self {
        let kind = match status.as_u16() {
            404 => Kind::NotFound,
            403 => Kind::Denied,
            408 | 413 | 414 | 429 | 431 => Kind::LimitExceeded,
            503 => Kind::Unavailable,
            500 => Kind::Internal,
            _ => Kind::Invalid,
        };
        let mut this = Self::new(kind, detail);
        this.0.status = status.as_u16();
        if let Some(title) = status
            .canonical_reason()
            .filter(|_| !matches!(status.as_u16(), 404 | 500))
        {
            this.0.title = title;
            this.0.problem_type = "about:blank".to_owned();
        }
        this
    }

    #[must_use]
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub(crate) fn with_sqlstate(mut self, sqlstate: SqlState) -> Self {
        self.0.sqlstate = sqlstate.0;
        if self.0.kind == Kind::Denied {
            self.0.status = failure::http_status(self.0.kind, sqlstate, false);
        }
        self
    }

    #[must_use]
    pub(crate) fn with_query_id(mut self, id: QueryId) -> Self {
        self.0.query_id.get_or_insert_with(|| id.to_string());
        self
    }

    #[must_use]
    pub(crate) fn with_header(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// Says when to try again; a limit that passes by waiting is 429.
    #[must_use]
    pub(crate) fn with_retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        if self.0.kind == Kind::LimitExceeded {
            self.0.status = failure::http_status(self.0.kind, SqlState(self.0.sqlstate), true);
        }
        self
    }

    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.kind == Kind::Cancelled
    }

    pub(crate) fn query_id(&self) -> Option<&str> {
        self.0.query_id.as_deref()
    }

    /// Completes it for the request `request_id`: names the occurrence, and replaces what only the log may tell. Returns
    /// the detail that was replaced.
    pub(crate) fn finish(&mut self, request_id: &str) -> Option<String> {
        self.0.instance = Some(match &self.0.query_id {
            Some(query) => format!("/v1/queries/{query}"),
            None => format!("urn:weir:request:{request_id}"),
        });
        (self.0.kind == Kind::Internal).then(|| {
            std::mem::replace(
                &mut self.0.detail,
                format!(
                    "an internal error; the server's log tells more about request {request_id}"
                ),
            )
        })
    }

    /// The document as JSON text.
    pub(crate) fn to_json(&self) -> String {
        if let Some(error_code) = self.0.registry_code {
            let failure = RegistryFailure {
                error_code,
                message: match &self.0.hint {
                    Some(hint) => format!("{}; {hint}", self.0.detail),
                    None => self.0.detail.clone(),
                },
            };
            return serde_json::to_string(&failure).unwrap_or_else(|_| "{}".to_owned());
        }
        serde_json::to_string(self).unwrap_or_else(|_| "{}".to_owned())
    }
}

/// The first three digits.
fn leading_status(mut number: u32) -> u32 {
    while number > 999 {
        number /= 10;
    }
    number
}

impl From<weir_engine::Error> for Problem {
    fn from(error: weir_engine::Error) -> Self {
        let mut this = Self::new(error.kind(), error.to_string()).with_sqlstate(error.sqlstate());
        this.0.hint = error.hint();
        this.0.position = error.position();
        this.0.query_id = error.query_id().map(|id| id.to_string());
        this.0.row = error.row();
        this.0.column = error.column().map(str::to_owned);
        match error.retry_after() {
            Some(after) => this.with_retry_after(after),
            None => this,
        }
    }
}

impl From<EncodeError> for Problem {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::Arrow(arrow::error::ArrowError::NotYetImplemented(reason)) => {
                Self::invalid(format!("the answer does not fit the format: {reason}"))
                    .with_hint("ask for another format, or cast the column")
            }
            EncodeError::Parquet(parquet::errors::ParquetError::NYI(reason)) => {
                Self::invalid(format!("the answer does not fit the format: {reason}"))
                    .with_hint("ask for another format, or cast the column")
            }
            error => Self::new(Kind::Internal, format!("cannot encode the answer: {error}")),
        }
    }
}

impl IntoResponse for Problem {
    /// The document itself is written by the outermost layer, which knows the request's id.
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(after) = self.0.retry_after {
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        if let Some(id) = self
            .0
            .query_id
            .as_deref()
            .and_then(|id| HeaderValue::from_str(id).ok())
        {
            headers.insert("weir-query-id", id);
        }
        if self.status() == StatusCode::UNAUTHORIZED {
            let way = HeaderValue::from_static("Bearer realm=\"weir\"");
            headers.insert(header::WWW_AUTHENTICATE, way);
        }
        for (name, value) in &self.0.headers {
            headers.insert(name, value.clone());
        }
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_error_keeps_everything_it_knows() {
        let error = weir_engine::Error::invalid(
            SqlState::UNDEFINED_COLUMN,
            "column \"prise\" not found in stream \"bids\"",
        )
        .with_hint("did you mean \"price\"?")
        .with_position(Some(Position { line: 2, column: 7 }))
        .with_query_id("01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap());
        let mut problem = Problem::from(error);
        assert_eq!(problem.finish("r1"), None);
        insta::assert_snapshot!(serde_json::to_string_pretty(&problem).unwrap(), @r#"
        {
          "type": "urn:weir:problem:invalid",
          "title": "The request is not valid",
          "status": 400,
          "detail": "column \"prise\" not found in stream \"bids\"",
          "instance": "/v1/queries/01890a5d-ac96-774b-bcce-b302099a8057",
          "sqlstate": "42703",
          "position": {
            "line": 2,
            "column": 7
          },
          "hint": "did you mean \"price\"?",
          "query_id": "01890a5d-ac96-774b-bcce-b302099a8057"
        }
        "#);
    }

    #[test]
    fn an_ingest_error_names_row_and_column_and_waiting_is_429() {
        let error = weir_engine::Error::new(Kind::Invalid, "not a number")
            .at_row(3, Some("price".to_owned()));
        let mut problem = Problem::from(error);
        problem.finish("r1");
        let json = problem.to_json();
        assert!(json.contains(r#""row":3,"column":"price""#), "{json}");
        assert!(
            json.contains(r#""instance":"urn:weir:request:r1""#),
            "{json}"
        );
        let busy = weir_engine::Error::new(Kind::LimitExceeded, "busy")
            .with_retry_after(Duration::from_millis(1200));
        let response = Problem::from(busy).into_response();
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()["retry-after"], "2");
        assert_eq!(Problem::new(Kind::LimitExceeded, "too large").status(), 422);
    }

    #[test]
    fn an_internal_error_leaks_nothing() {
        let mut problem = Problem::new(Kind::Internal, "index out of bounds in /home/me/x.rs");
        assert_eq!(
            problem.finish("r7").as_deref(),
            Some("index out of bounds in /home/me/x.rs")
        );
        assert!(!problem.to_json().contains("/home/me"));
        assert!(problem.to_json().contains("request r7"));
    }
}
