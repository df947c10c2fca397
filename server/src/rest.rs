//! The REST door: SQL, statements, sessions, ingest, live queries over WebSocket, the schema registry, and operations.
//!
//! One endpoint, one file. [`reply`] turns an answer of the engine into a response, [`problem`] a failure into a problem
//! document, and [`layer`] is around every request. It never sees a socket; [`crate::connections`] does.

mod arguments;
mod body;
mod caller;
mod compression;
mod ingest;
pub(crate) mod layer;
mod live;
mod live_messages;
mod live_queries;
mod negotiation;
mod openapi;
mod operations;
mod page;
mod pages;
mod problem;
mod pump;
mod queries;
mod query;
mod reply;
mod schemas;
mod sessions;
mod statement_document;
mod statements;
mod steps;
mod wanted;

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::http::StatusCode;
use axum::routing::{delete, get, post};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;
use weir_engine::Engine;

pub(crate) use negotiation::Format;
pub use openapi::openapi_json;
pub(crate) use problem::Problem;

use crate::config::HttpSettings;
use crate::console::Console;
use crate::encode::Column;
use crate::in_flight::InFlightCount;
use crate::metrics::Metrics;
use body::BodyMemory;
use reply::Replies;
use sessions::Sessions;
use statements::Statements;

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Rest {
    pub(crate) engine: Engine,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) in_flight: InFlightCount,
    /// Cancelled when the server stops taking requests.
    pub(crate) draining: CancellationToken,
    settings: HttpSettings,
    sessions: Arc<Sessions>,
    statements: Statements,
    bodies: BodyMemory,
    console: Console,
    replies: Replies,
}

/// An answer as JSON.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Document {
    /// The columns.
    columns: Vec<Column>,
    /// The rows, an object each. Integers and decimals past 2^53 are strings, as are NaN and infinities.
    #[schema(value_type = Vec<Object>)]
    rows: Vec<Value>,
    /// How many rows there are.
    row_count: u64,
    /// Whether rows were left out because of a row limit.
    truncated: bool,
    /// The tag of a command: `CREATE STREAM`.
    command: Option<String>,
}

impl Rest {
    pub(crate) fn new(engine: Engine, settings: HttpSettings) -> Arc<Self> {
        let draining = CancellationToken::new();
        let encoders = std::thread::available_parallelism().map_or(2, usize::from);
        Arc::new(Self {
            metrics: Arc::new(Metrics::new(&engine)),
            in_flight: InFlightCount::default(),
            sessions: Arc::new(Sessions::new(settings.session_idle, settings.sessions)),
            statements: Statements::new(&settings, engine.scratch_dir()),
            bodies: BodyMemory::new(&settings),
            console: Console::new(),
            replies: Replies {
                drain: draining.clone(),
                encoding: Arc::new(Semaphore::new(encoders)),
                event_keep_alive: settings.event_keep_alive,
            },
            draining,
            settings,
            engine,
        })
    }

    /// Drops sessions and statements that nobody uses any more.
    pub(crate) fn expire(&self) {
        self.sessions.expire_idle();
        self.statements.expire_ended();
    }
}

/// All routes.
pub(crate) fn router(rest: Arc<Rest>) -> Router {
    Router::new()
        .route("/", get(page::index))
        .route("/icon.svg", get(page::icon))
        .route("/assets/{file}", get(page::asset))
        .route("/livez", get(operations::livez))
        .route("/readyz", get(operations::readyz))
        .route("/metrics", get(operations::metrics))
        .route("/openapi.json", get(operations::openapi))
        .route("/v1/sql", get(query::get).post(query::post))
        .route("/v1/live", get(live::get))
        .route("/v1/sessions", post(sessions::open))
        .route("/v1/sessions/{session}", delete(sessions::close))
        .route("/v1/statements", post(statements::submit))
        .route(
            "/v1/statements/{id}",
            get(statements::get).delete(statements::remove),
        )
        .route("/v1/statements/{id}/rows", get(statements::rows))
        .route("/v1/topics/{name}/records", post(ingest::post))
        .route("/v1/queries", get(queries::list))
        .route(
            "/v1/queries/{id}",
            get(queries::get).delete(queries::cancel),
        )
        .merge(schemas::router())
        .fallback(async || {
            Problem::http(StatusCode::NOT_FOUND, "there is no such resource")
                .with_hint("GET /openapi.json lists them")
        })
        .method_not_allowed_fallback(async || {
            Problem::http(
                StatusCode::METHOD_NOT_ALLOWED,
                "the resource does not take this method",
            )
        })
        .layer(axum::middleware::from_fn_with_state(
            Arc::clone(&rest),
            layer::around,
        ))
        .with_state(rest)
}

fn path_problem(rejection: PathRejection) -> Problem {
    Problem::invalid(format!("the path is not valid: {}", rejection.body_text()))
}
