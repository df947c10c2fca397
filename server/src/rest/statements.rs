//! Submitted statements: `POST /v1/statements` answers at once, the rows wait in a file until they are fetched.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, Request as HttpRequest, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use futures::StreamExt;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use weir_base::{Kind, QueryId, SqlState};
use weir_engine::{Answer, AnswerKind, Error, Progress, Session};

use super::arguments::Arguments;
use super::caller::Caller;
use super::layer::RequestId;
use super::negotiation::{Format, PageFormatName};
use super::openapi::Binary;
use super::pages::Pages;
use super::problem::Problem;
use super::query::{Prepared, QueryDocument, read_document};
use super::reply::Head;
use super::statement_document::{self as document, StatementDocument};
use super::wanted::Wanted;
use super::{Rest, path_problem};
use crate::config::HttpSettings;
use crate::in_flight::InFlight;
use crate::spool::Spool;

/// Rows of a page, unless the client says otherwise.
const PAGE_ROWS: u64 = 10_000;
/// The longest that `wait_ms` waits.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// All submitted statements.
#[derive(Debug)]
pub(crate) struct Statements {
    known: Mutex<HashMap<Uuid, Arc<Statement>>>,
    folder: PathBuf,
    count_max: usize,
    bytes_max: u64,
    expiry: Duration,
}

/// A submitted statement.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) id: Uuid,
    pub(crate) sql: String,
    /// Whose it is.
    session: Session,
    pub(crate) spool: Arc<Spool>,
    pub(crate) submitted: Instant,
    pub(crate) outcome: watch::Sender<Outcome>,
    last_used: Mutex<Instant>,
    stop: CancellationToken,
}

/// How far a statement is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcome {
    /// Set once it is planned and admitted.
    pub(crate) started: Option<Started>,
    /// Set once it has ended.
    pub(crate) ended: Option<Ended>,
}

#[derive(Debug, Clone)]
pub(crate) struct Started {
    pub(crate) query_id: QueryId,
    pub(crate) schema: arrow::datatypes::SchemaRef,
    pub(crate) kind: AnswerKind,
}

#[derive(Debug, Clone)]
pub(crate) struct Ended {
    pub(crate) progress: Progress,
    pub(crate) truncated: bool,
    pub(crate) failure: Option<Problem>,
    pub(crate) cancelled: bool,
}

impl Statements {
    pub(crate) fn new(settings: &HttpSettings, scratch: &std::path::Path) -> Self {
        Self {
            known: Mutex::default(),
            folder: scratch.join("statements"),
            count_max: settings.statements,
            bytes_max: settings.statement_bytes.0,
            expiry: settings.statement_expiry,
        }
    }

    fn submit(&self, sql: String, session: Session) -> Result<Arc<Statement>, Problem> {
        let mut known = self.known.lock();
        self.expire(&mut known);
        if known.len() >= self.count_max {
            return Err(Problem::new(Kind::LimitExceeded, format!("{} submitted statements are kept", known.len()))
                .with_retry_after(Duration::from_secs(10))
                .with_hint("remove what you have read with DELETE /v1/statements/{id}, or raise rest.statements"));
        }
        let id = Uuid::now_v7();
        let statement = Arc::new(Statement {
            id,
            sql,
            session,
            spool: Spool::create(&self.folder, &id.to_string(), self.bytes_max)?,
            submitted: Instant::now(),
            outcome: watch::Sender::new(Outcome::default()),
            last_used: Mutex::new(Instant::now()),
            stop: CancellationToken::new(),
        });
        known.insert(id, Arc::clone(&statement));
        Ok(statement)
    }

    fn get(&self, id: &str, caller: &Caller) -> Result<Arc<Statement>, Problem> {
        let mut known = self.known.lock();
        self.expire(&mut known);
        let found = id.parse().ok().and_then(|id: Uuid| known.get(&id).cloned());
        let statement = found
            .filter(|statement| caller.is_of(&statement.session))
            .ok_or_else(|| unknown(id))?;
        *statement.last_used.lock() = Instant::now();
        Ok(statement)
    }

    fn remove(&self, id: &str, caller: &Caller) -> Result<(), Problem> {
        let statement = self.get(id, caller)?;
        self.known.lock().remove(&statement.id);
        statement.stop.cancel();
        Ok(())
    }

    /// Removes what nobody has asked for since it ended too long ago.
    pub(crate) fn expire_ended(&self) {
        self.expire(&mut self.known.lock());
    }

    pub(crate) fn count(&self) -> usize {
        self.known.lock().len()
    }

    fn expire(&self, known: &mut HashMap<Uuid, Arc<Statement>>) {
        known.retain(|_, statement| {
            statement.outcome.borrow().ended.is_none()
                || statement.last_used.lock().elapsed() < self.expiry
        });
    }
}

fn unknown(id: &str) -> Problem {
    Problem::new(Kind::NotFound, format!("there is no statement {id:?}"))
        .with_hint("it may have expired")
}

impl Statement {
    /// Runs it to its end. `_in_flight` keeps a stopping server waiting.
    async fn run(self: Arc<Self>, prepared: Prepared, request_id: String, _in_flight: InFlight) {
        let stop = self.stop.clone();
        let mut progress = Progress::default();
        let ran = tokio::select! {
            ran = self.execute(prepared, &mut progress) => ran,
            () = stop.cancelled() => Err(Error::new(Kind::Cancelled, "the statement was cancelled on request")),
        };
        progress.elapsed = self.submitted.elapsed();
        let truncated = ran.as_ref().is_ok_and(|truncated| *truncated);
        let failure = ran.err().map(|error| {
            let mut problem = Problem::from(error);
            if let Some(started) = &self.outcome.borrow().started {
                problem = problem.with_query_id(started.query_id);
            }
            if let Some(hidden) = problem.finish(&request_id) {
                tracing::error!(statement.id = %self.id, request.id = %request_id, error = %hidden, "a statement failed");
            }
            problem
        });
        let cancelled = failure.as_ref().is_some_and(Problem::is_cancelled);
        *self.last_used.lock() = Instant::now();
        self.outcome.send_modify(|outcome| {
            outcome.ended = Some(Ended {
                progress,
                truncated,
                failure,
                cancelled,
            });
        });
    }

    async fn execute(&self, prepared: Prepared, progress: &mut Progress) -> Result<bool, Error> {
        let Prepared {
            request,
            session,
            in_use: _in_use,
        } = prepared;
        let Answer {
            query_id,
            schema,
            kind,
            mut rows,
        } = session.execute(request).await?;
        if kind == AnswerKind::Live {
            return Err(Error::unsupported(
                "a live query cannot be submitted, because it never ends",
            )
            .with_query_id(query_id)
            .with_hint("stream it from POST /v1/sql or /v1/live"));
        }
        self.outcome.send_modify(|outcome| {
            outcome.started = Some(Started {
                query_id,
                schema,
                kind,
            });
        });
        while let Some(chunk) = rows.next().await {
            let batch = chunk?.batch;
            let spool = Arc::clone(&self.spool);
            let appended = tokio::task::spawn_blocking(move || spool.append(&batch)).await;
            appended.map_err(|error| Error::new(Kind::Internal, error.to_string()))??;
            *progress = rows.progress();
        }
        *progress = rows.progress();
        Ok(rows.truncated())
    }
}

/// Submits a statement and answers at once.
#[utoipa::path(post, path = "/v1/statements", tag = "statements", operation_id = "submit",
    params(
        ("session" = Option<uuid::Uuid>, Query, description = "A session; also in the body."),
        ("timeout_ms" = Option<u64>, Query, minimum = 1, description = "A tighter wall clock; also in the body."),
        ("row_limit" = Option<u64>, Query, description = "The most rows; also in the body."),
        ("parameters" = Option<String>, Query, description = "A JSON array; also in the body."),
    ),
    request_body(content((QueryDocument = "application/json"), (String = "text/plain"), (String = "application/sql")), description = "The statement."),
    responses((status = 202, description = "The statement will run.", body = StatementDocument,
        headers(("location" = String, description = "The statement's resource.")))))]
pub(crate) async fn submit(
    State(rest): State<Arc<Rest>>,
    request: HttpRequest<Body>,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let mut arguments = Arguments::of(&parts.uri)?;
    let caller = Caller::of(&parts.extensions)?;
    let document = read_document(&rest, &parts.headers, body, &mut arguments).await?;
    arguments.finish()?;
    let prepared = document.prepare(&rest, &caller, None, false)?;
    if prepared.request.resume.is_some() || prepared.request.envelope.is_some() {
        return Err(Problem::invalid(
            "a submitted statement is not live: it has no \"resume\" and no \"envelope\"",
        )
        .with_sqlstate(SqlState::FEATURE_NOT_SUPPORTED));
    }
    let statement = rest
        .statements
        .submit(prepared.request.sql.clone(), prepared.session.clone())?;
    let location = HeaderValue::from_str(&format!("/v1/statements/{}", statement.id))
        .map_err(|error| Problem::new(Kind::Internal, error.to_string()))?;
    tokio::spawn(Arc::clone(&statement).run(
        prepared,
        RequestId::of(&parts.extensions),
        rest.in_flight.enter(),
    ));
    let document = Json(document::of(&rest.engine, &statement));
    Ok((
        StatusCode::ACCEPTED,
        [(header::LOCATION, location)],
        document,
    )
        .into_response())
}

/// Tells how far a statement is.
#[utoipa::path(get, path = "/v1/statements/{id}", tag = "statements", operation_id = "getStatement",
    params(
        ("id" = String, Path, description = "The statement's id."),
        ("wait_ms" = Option<u64>, Query, description = "Answer when the statement has ended, or after this time (at most 60000)."),
    ),
    responses((status = 200, description = "The statement.", body = StatementDocument)))]
pub(crate) async fn get(
    State(rest): State<Arc<Rest>>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
    request: HttpRequest<Body>,
) -> Result<Json<StatementDocument>, Problem> {
    let Path(id) = id.map_err(path_problem)?;
    let mut arguments = Arguments::of(request.uri())?;
    let wait = arguments.take::<u64>("wait_ms")?.map(Duration::from_millis);
    arguments.finish()?;
    let statement = rest.statements.get(&id, &caller)?;
    if let Some(wait) = wait {
        let mut outcome = statement.outcome.subscribe();
        let ended = outcome.wait_for(|outcome| outcome.ended.is_some());
        tokio::select! {
            // Whether it ended or time ran out, the document says.
            _ = tokio::time::timeout(wait.min(WAIT_MAX), ended) => {}
            () = rest.replies.drain.cancelled() => {}
        }
    }
    Ok(Json(document::of(&rest.engine, &statement)))
}

/// A page of a statement's rows; of a statement that still runs, of the rows that are there.
///
/// The `Link` header with `rel="next"` leads to the next page, and is missing after the last one.
#[utoipa::path(get, path = "/v1/statements/{id}/rows", tag = "statements", operation_id = "getStatementRows",
    params(
        ("id" = String, Path, description = "The statement's id."),
        ("offset" = Option<u64>, Query, description = "The first row, from 0."),
        ("limit" = Option<u64>, Query, minimum = 1, description = "The most rows, 10000 unless given."),
        ("format" = inline(Option<PageFormatName>), Query, description = "The page's format; wins over Accept. JSON unless either says otherwise."),
    ),
    responses((status = 200, description = "Rows.", content(
        (super::Document = "application/json"), (Binary = "application/vnd.apache.arrow.stream"), (String = "application/x-ndjson"),
        (String = "text/csv"), (Binary = "application/vnd.apache.parquet")),
        headers(("link" = String, description = "The next page.")))))]
pub(crate) async fn rows(
    State(rest): State<Arc<Rest>>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
    request: HttpRequest<Body>,
) -> Result<Response, Problem> {
    let Path(id) = id.map_err(path_problem)?;
    let (parts, _) = request.into_parts();
    let mut arguments = Arguments::of(&parts.uri)?;
    let offset = arguments.take::<u64>("offset")?.unwrap_or(0);
    let limit = arguments.take::<u64>("limit")?.unwrap_or(PAGE_ROWS);
    let wanted = Wanted::of(&parts.headers, arguments.take("format")?, &Format::PAGES)?;
    arguments.finish()?;
    if limit == 0 {
        return Err(Problem::invalid("limit must be at least 1"));
    }
    let statement = rest.statements.get(&id, &caller)?;
    let outcome = statement.outcome.borrow().clone();
    if let Some(failure) = outcome
        .ended
        .as_ref()
        .and_then(|ended| ended.failure.clone())
    {
        return Err(failure);
    }
    let Some(started) = outcome.started else {
        return Err(Problem::new(
            Kind::Conflict,
            "the statement waits for its turn; it has no rows yet",
        )
        .with_sqlstate(SqlState::OBJECT_IN_USE)
        .with_hint("GET the statement with wait_ms first")
        .with_retry_after(Duration::from_secs(1)));
    };
    let end = offset.saturating_add(limit).min(statement.spool.rows());
    let truncated = outcome.ended.as_ref().is_some_and(|ended| ended.truncated);
    let last = outcome.ended.is_some() && end >= statement.spool.rows();
    let head = Head {
        query_id: started.query_id,
        schema: started.schema,
        kind: started.kind,
        request_id: RequestId::of(&parts.extensions),
        in_use: None,
    };
    let pages = Pages::new(
        Arc::clone(&statement.spool),
        offset.min(end),
        end,
        truncated,
    );
    let mut response = rest
        .replies
        .respond(head, pages, &wanted.preferring(Format::Json)?)
        .await?;
    if !last {
        let next = format!(
            "</v1/statements/{}/rows?offset={}&limit={limit}>; rel=\"next\"",
            statement.id,
            end.max(offset)
        );
        if let Ok(next) = HeaderValue::from_str(&next) {
            response.headers_mut().insert(header::LINK, next);
        }
    }
    Ok(response)
}

/// Cancels a statement and removes its rows.
#[utoipa::path(delete, path = "/v1/statements/{id}", tag = "statements", operation_id = "removeStatement",
    params(("id" = String, Path, description = "The statement's id.")),
    responses((status = 204, description = "The statement is stopped and its rows are gone.")))]
pub(crate) async fn remove(
    State(rest): State<Arc<Rest>>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let Path(id) = id.map_err(path_problem)?;
    rest.statements.remove(&id, &caller)?;
    Ok(StatusCode::NO_CONTENT)
}
