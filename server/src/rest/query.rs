//! `POST /v1/sql` and `GET /v1/sql`: one statement, and its answer in the format that the client asks for.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Request as HttpRequest, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;
use weir_base::{ResumeToken, SqlState};
use weir_engine::{Answer, Envelope, Request, Session, parameter_from_json};

use super::arguments::{Arguments, header_text, media_type};
use super::caller::Caller;
use super::layer::RequestId;
use super::negotiation::{Format, FormatName};
use super::openapi::Binary;
use super::problem::Problem;
use super::reply::Head;
use super::sessions::InUse;
use super::wanted::Wanted;
use super::{Document, Rest};

/// A statement to execute.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"query": "SELECT * FROM bids WHERE price > $1", "parameters": [100], "row_limit": 10}))]
pub(crate) struct QueryDocument {
    /// The text of one statement.
    #[schema(min_length = 1)]
    query: String,
    /// Values of `$1`, `$2`, …: null, booleans, numbers, strings, arrays of one of these, or
    /// `{"type": "date", "value": "2024-01-01"}` where the type must be said.
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    parameters: Vec<Value>,
    /// A session opened by `POST /v1/sessions`; without it the statement runs on its own.
    #[serde(default)]
    #[schema(format = "uuid")]
    session: Option<String>,
    /// A tighter wall clock than the server's.
    #[serde(default)]
    #[schema(minimum = 1)]
    timeout_ms: Option<u64>,
    /// The answer ends after so many rows, and says that it is truncated.
    #[serde(default)]
    row_limit: Option<u64>,
    /// Where a live query goes on: the last resume token that the client has seen.
    #[serde(default)]
    resume: Option<String>,
    /// The form in which a live query tells of rows that change.
    #[serde(default)]
    envelope: Option<EnvelopeName>,
}

/// The form of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EnvelopeName {
    /// `_op` (`insert`, `delete`, `update_before`, `update_after`), then the row.
    Changelog,
    /// `_op` (`upsert`, `delete`), the key's columns, then the others of the newest row.
    Upsert,
    /// `before`, `after`, `op` (`c`, `u`, `d`), `ts_ms`.
    Debezium,
}

impl From<EnvelopeName> for Envelope {
    fn from(name: EnvelopeName) -> Self {
        match name {
            EnvelopeName::Changelog => Self::Changelog,
            EnvelopeName::Upsert => Self::Upsert,
            EnvelopeName::Debezium => Self::Debezium,
        }
    }
}

impl From<Envelope> for EnvelopeName {
    fn from(envelope: Envelope) -> Self {
        match envelope {
            Envelope::Changelog => Self::Changelog,
            Envelope::Upsert => Self::Upsert,
            Envelope::Debezium => Self::Debezium,
        }
    }
}

/// A decoded request: the statement, and the session it runs in.
pub(crate) struct Prepared {
    pub(crate) request: Request,
    pub(crate) session: Session,
    pub(crate) in_use: Option<InUse>,
}

impl QueryDocument {
    /// Completes a document by what the query string says; a thing said in both places is an error.
    fn merge(mut self, arguments: &mut Arguments) -> Result<Self, Problem> {
        fn either<T>(
            name: &str,
            body: Option<T>,
            argument: Option<T>,
        ) -> Result<Option<T>, Problem> {
            match (body, argument) {
                (Some(_), Some(_)) => Err(Problem::invalid(format!(
                    "{name:?} is given in the body and in the query string"
                ))),
                (body, argument) => Ok(body.or(argument)),
            }
        }
        self.session = either("session", self.session, arguments.take("session")?)?;
        self.timeout_ms = either("timeout_ms", self.timeout_ms, arguments.take("timeout_ms")?)?;
        self.row_limit = either("row_limit", self.row_limit, arguments.take("row_limit")?)?;
        self.resume = either("resume", self.resume, arguments.take("resume")?)?;
        let envelope = arguments.take::<Envelope>("envelope")?;
        self.envelope = either("envelope", self.envelope, envelope.map(Into::into))?;
        if let Some(text) = arguments.take::<String>("parameters")? {
            if !self.parameters.is_empty() {
                return Err(Problem::invalid(
                    "\"parameters\" is given in the body and in the query string",
                ));
            }
            self.parameters = serde_json::from_str(&text).map_err(|error| {
                Problem::invalid(format!("parameters is not a JSON array: {error}"))
            })?;
        }
        Ok(self)
    }

    /// Makes a request of it.
    ///
    /// # Errors
    /// When a value is wrong or the session does not exist.
    pub(crate) fn prepare(
        self,
        rest: &Rest,
        caller: &Caller,
        last_event_id: Option<&str>,
        read_only: bool,
    ) -> Result<Prepared, Problem> {
        if self.query.trim().is_empty() {
            return Err(
                Problem::invalid("the query is empty").with_sqlstate(SqlState::SYNTAX_ERROR)
            );
        }
        if self.timeout_ms == Some(0) {
            return Err(Problem::invalid("timeout_ms must be at least 1"));
        }
        // A browser that reconnects repeats the URL, `resume` included, and adds what it saw last: that is further on.
        let resume = last_event_id
            .filter(|id| !id.is_empty())
            .map(str::to_owned)
            .or(self.resume);
        let resume = resume
            .map(|token| {
                token
                    .parse::<ResumeToken>()
                    .map_err(|error| Problem::invalid(error.to_string()))
            })
            .transpose()?;
        let parameters = self
            .parameters
            .iter()
            .map(parameter_from_json)
            .collect::<Result<_, _>>()?;
        let (session, in_use) = match &self.session {
            Some(id) => {
                let (session, in_use) = rest.sessions.get(id, caller)?;
                (session, Some(in_use))
            }
            None => (caller.session(rest)?, None),
        };
        let request = Request {
            parameters,
            timeout: self.timeout_ms.map(Duration::from_millis),
            row_limit: self.row_limit,
            read_only,
            resume,
            envelope: self.envelope.map(Into::into),
            ..Request::new(self.query)
        };
        Ok(Prepared {
            request,
            session,
            in_use,
        })
    }
}

/// Reads a statement from a request body: JSON, or the SQL text itself.
///
/// # Errors
/// 400, 408, 413, 415 or 429, as the body is.
pub(crate) async fn read_document(
    rest: &Rest,
    headers: &HeaderMap,
    body: Body,
    arguments: &mut Arguments,
) -> Result<QueryDocument, Problem> {
    let json = match media_type(headers)?.as_deref() {
        Some("application/json") => true,
        // What `curl --data` says of a body that it was given as it is.
        None | Some("text/plain" | "application/sql" | "application/x-www-form-urlencoded") => {
            false
        }
        Some(other) => {
            return Err(Problem::http(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                format!("content type {other:?} is not understood"),
            )
            .with_hint("send application/json, or the SQL itself as text/plain"));
        }
    };
    let body = rest.bodies.read(headers, body).await?;
    let document = if json {
        serde_json::from_slice(&body.bytes).map_err(|error| {
            Problem::invalid(format!("the body is not a query document: {error}"))
        })?
    } else {
        let query = std::str::from_utf8(&body.bytes)
            .map_err(|error| Problem::invalid(format!("the SQL text is not UTF-8: {error}")))?;
        QueryDocument {
            query: query.to_owned(),
            ..QueryDocument::default()
        }
    };
    document.merge(arguments)
}

/// Executes one statement.
///
/// The answer's format follows `Accept` or `format`; without either it is an Arrow stream. A live query (`EMIT CHANGES`)
/// streams until it is closed, as Arrow, NDJSON, CSV or events.
#[utoipa::path(post, path = "/v1/sql", tag = "sql", operation_id = "execute",
    params(
        ("format" = inline(Option<FormatName>), Query, description = "The answer's format; wins over Accept."),
        ("session" = Option<uuid::Uuid>, Query, description = "A session; also in the body."),
        ("timeout_ms" = Option<u64>, Query, minimum = 1, description = "A tighter wall clock; also in the body."),
        ("row_limit" = Option<u64>, Query, description = "The most rows; also in the body."),
        ("parameters" = Option<String>, Query, description = "A JSON array; also in the body."),
        ("resume" = Option<String>, Query, description = "A resume token; also in the body."),
        ("envelope" = inline(Option<EnvelopeName>), Query, description = "The form of a live query's changes; also in the body."),
        ("Last-Event-ID" = Option<String>, Header, description = "A resume token, as event streams send it."),
    ),
    request_body(content((QueryDocument = "application/json"), (String = "text/plain"), (String = "application/sql")), description = "The statement."),
    responses((status = 200, description = "The answer's rows.", content(
        (Document = "application/json"), (Binary = "application/vnd.apache.arrow.stream"), (String = "application/x-ndjson"),
        (String = "text/csv"), (Binary = "application/vnd.apache.parquet"), (String = "text/event-stream")),
        headers(("weir-query-id" = String, description = "The query's id.")))))]
pub(crate) async fn post(
    State(rest): State<Arc<Rest>>,
    request: HttpRequest<Body>,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let mut arguments = Arguments::of(&parts.uri)?;
    let wanted = Wanted::of(&parts.headers, arguments.take("format")?, &Format::ALL)?;
    let document = read_document(&rest, &parts.headers, body, &mut arguments).await?;
    arguments.finish()?;
    let prepared = document.prepare(
        &rest,
        &Caller::of(&parts.extensions)?,
        header_text(&parts.headers, "last-event-id")?,
        false,
    )?;
    answer(&rest, prepared, &wanted, RequestId::of(&parts.extensions)).await
}

/// Executes one statement that reads.
#[utoipa::path(get, path = "/v1/sql", tag = "sql", operation_id = "query",
    params(
        ("q" = String, Query, min_length = 1, description = "The text of one statement that does not write.", example = "SELECT 1"),
        ("format" = inline(Option<FormatName>), Query, description = "The answer's format; wins over Accept."),
        ("session" = Option<uuid::Uuid>, Query, description = "A session."),
        ("timeout_ms" = Option<u64>, Query, minimum = 1, description = "A tighter wall clock."),
        ("row_limit" = Option<u64>, Query, description = "The most rows."),
        ("parameters" = Option<String>, Query, description = "Values of $1, $2, … as a JSON array."),
        ("resume" = Option<String>, Query, description = "Where a live query goes on."),
        ("envelope" = inline(Option<EnvelopeName>), Query, description = "The form of a live query's changes."),
        ("Last-Event-ID" = Option<String>, Header, description = "A resume token, as event streams send it."),
    ),
    responses((status = 200, description = "The answer's rows.", content(
        (Document = "application/json"), (Binary = "application/vnd.apache.arrow.stream"), (String = "application/x-ndjson"),
        (String = "text/csv"), (Binary = "application/vnd.apache.parquet"), (String = "text/event-stream")),
        headers(("weir-query-id" = String, description = "The query's id.")))))]
pub(crate) async fn get(
    State(rest): State<Arc<Rest>>,
    request: HttpRequest<Body>,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let mut arguments = Arguments::of(&parts.uri)?;
    let query = arguments.take::<String>("q")?.ok_or_else(|| {
        Problem::invalid("argument \"q\" is required").with_hint("GET /v1/sql?q=SELECT%201")
    })?;
    let wanted = Wanted::of(&parts.headers, arguments.take("format")?, &Format::ALL)?;
    let document = QueryDocument {
        query,
        ..QueryDocument::default()
    };
    let document = document.merge(&mut arguments)?;
    arguments.finish()?;
    let prepared = document.prepare(
        &rest,
        &Caller::of(&parts.extensions)?,
        header_text(&parts.headers, "last-event-id")?,
        true,
    )?;
    answer(&rest, prepared, &wanted, RequestId::of(&parts.extensions)).await
}

async fn answer(
    rest: &Rest,
    prepared: Prepared,
    wanted: &Wanted,
    request_id: String,
) -> Result<Response, Problem> {
    let Answer {
        query_id,
        schema,
        kind,
        rows,
    } = prepared.session.execute(prepared.request).await?;
    let head = Head {
        query_id,
        schema,
        kind,
        request_id,
        in_use: prepared.in_use,
    };
    rest.replies.respond(head, rows, wanted).await
}
