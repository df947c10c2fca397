//! `/v1/live`: queries over a WebSocket (RFC 6455).
//!
//! The client sends `{"type": "query", "query": …}` with the members of `POST /v1/sql`; the server answers `schema`, `rows`
//! (each with its resume token), and `end` or `error`. `{"type": "cancel"}` stops the query. A message is sent before the
//! next rows are taken from the engine, so a slow reader slows its own query and nothing else.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use futures::StreamExt;
use serde_json::value::RawValue;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use weir_base::Kind;
use weir_engine::{Answer, AnswerKind, Chunk, RowStream};

use super::Rest;
use super::arguments::Arguments;
use super::layer::RequestId;
use super::live_messages::{FromClient, ToClient};
use super::problem::Problem;
use super::pump::Rows;
use super::query::{Prepared, QueryDocument};
use super::sessions::InUse;
use super::steps::Steps;
use crate::encode::{columns_document, rows_array};

/// A client's message is a query, not data.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// How often a quiet connection is asked whether it is still there; one that does not answer the second time is closed.
const PING: Duration = Duration::from_secs(15);

/// Opens a WebSocket for live queries.
#[utoipa::path(get, path = "/v1/live", tag = "sql", operation_id = "live",
    responses((status = 101, description = "The connection is a WebSocket now; messages are JSON.")))]
pub(crate) async fn get(
    State(rest): State<Arc<Rest>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    Arguments::of(request.uri())?.finish()?;
    let upgrade = upgrade.map_err(|rejection| {
        Problem::http(
            StatusCode::UPGRADE_REQUIRED,
            format!("this resource speaks WebSocket: {}", rejection.body_text()),
        )
        .with_header(header::UPGRADE, HeaderValue::from_static("websocket"))
    })?;
    let request_id = RequestId::of(request.extensions());
    Ok(upgrade
        .max_message_size(MESSAGE_BYTES_MAX)
        .on_upgrade(move |socket| async move {
            let _in_flight = rest.in_flight.enter();
            Conversation {
                rest,
                socket,
                request_id,
                query: None,
                unanswered: 0,
            }
            .run()
            .await;
        }))
}

struct Conversation {
    rest: Arc<Rest>,
    socket: WebSocket,
    request_id: String,
    query: Option<Query>,
    /// Pings since the client was last heard of.
    unanswered: u32,
}

struct Query {
    rows: Steps<RowStream>,
    command: Option<String>,
    row_count: u64,
    query_id: weir_base::QueryId,
    _in_use: Option<InUse>,
}

/// The connection is of no more use.
struct Gone;

enum Event {
    Received(Option<Result<Message, axum::Error>>),
    Rows(Option<Result<Chunk, weir_engine::Error>>),
    Ping,
    Drain,
}

impl Conversation {
    async fn run(mut self) {
        let mut ping = interval_at(Instant::now() + PING, PING);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let drain = self.rest.draining.clone();
        loop {
            let query = &mut self.query;
            let rows = async {
                match query {
                    Some(query) => query.rows.next().await,
                    None => std::future::pending().await,
                }
            };
            let event = tokio::select! {
                received = self.socket.recv() => Event::Received(received),
                () = drain.cancelled() => Event::Drain,
                chunk = rows => Event::Rows(chunk),
                _ = ping.tick() => Event::Ping,
            };
            let went_on = match event {
                Event::Received(Some(Ok(message))) => self.received(message).await,
                Event::Received(Some(Err(_)) | None) => Err(Gone),
                Event::Rows(chunk) => self.rows(chunk).await,
                Event::Ping => self.ping().await,
                Event::Drain => self.drain().await,
            };
            if went_on.is_err() {
                return;
            }
        }
    }

    async fn received(&mut self, message: Message) -> Result<(), Gone> {
        self.unanswered = 0;
        let text = match message {
            Message::Text(text) => text,
            Message::Close(_) => return Err(Gone),
            Message::Ping(_) | Message::Pong(_) => return Ok(()),
            Message::Binary(_) => {
                return self
                    .refuse(Problem::invalid("messages are JSON text, not binary"))
                    .await;
            }
        };
        match serde_json::from_str(&text) {
            Err(error) => {
                self.refuse(Problem::invalid(format!(
                    "the message is not understood: {error}"
                )))
                .await
            }
            Ok(FromClient::Cancel {}) => match self.query.take() {
                Some(query) => self.ended(query, Some("cancelled")).await,
                None => Ok(()),
            },
            Ok(FromClient::Query(_)) if self.query.is_some() => {
                let busy = Problem::new(Kind::Conflict, "a query runs on this connection")
                    .with_sqlstate(weir_base::SqlState::OBJECT_IN_USE)
                    .with_hint("send {\"type\": \"cancel\"} first, or open another connection");
                self.refuse(busy).await
            }
            Ok(FromClient::Query(document)) => self.start(document).await,
        }
    }

    async fn start(&mut self, document: QueryDocument) -> Result<(), Gone> {
        let Prepared {
            request,
            session,
            in_use,
        } = match document.prepare(&self.rest, None, false) {
            Ok(prepared) => prepared,
            Err(problem) => return self.refuse(problem).await,
        };
        // A client that leaves while its query waits or is planned must not keep it.
        let executed = {
            let execute = session.execute(request);
            tokio::pin!(execute);
            loop {
                tokio::select! {
                    executed = &mut execute => break executed,
                    received = self.socket.recv() => match received {
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                        Some(Ok(Message::Text(text))) if matches!(serde_json::from_str(&text), Ok(FromClient::Cancel {})) => {
                            break Err(weir_engine::Error::new(Kind::Cancelled, "the query was cancelled on request"));
                        }
                        Some(Ok(Message::Text(_) | Message::Binary(_))) => {
                            break Err(weir_engine::Error::new(Kind::Conflict, "a message came while the query was being planned"));
                        }
                        Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(Gone),
                    },
                }
            }
        };
        let Answer {
            query_id,
            schema,
            kind,
            rows,
        } = match executed {
            Ok(answer) => answer,
            Err(error) => return self.refuse(error.into()).await,
        };
        let schema = ToClient::Schema {
            query_id: query_id.to_string(),
            columns: columns_document(&schema),
            live: kind == AnswerKind::Live,
        }
        .to_json();
        self.query = Some(Query {
            rows: Steps::new(rows, kind == AnswerKind::Live),
            command: match kind {
                AnswerKind::Command { tag, .. } => Some(tag),
                AnswerKind::Rows | AnswerKind::Live => None,
            },
            row_count: 0,
            query_id,
            _in_use: in_use,
        });
        self.send_json(schema).await
    }

    async fn rows(&mut self, chunk: Option<Result<Chunk, weir_engine::Error>>) -> Result<(), Gone> {
        let chunk = match chunk {
            Some(Ok(chunk)) => chunk,
            Some(Err(error)) => {
                let query_id = self.query.take().map(|query| query.query_id);
                let problem = Problem::from(error);
                return self
                    .refuse(query_id.map_or(problem.clone(), |id| problem.with_query_id(id)))
                    .await;
            }
            None => {
                return match self.query.take() {
                    Some(query) => self.ended(query, None).await,
                    None => Ok(()),
                };
            }
        };
        if chunk.batch.num_rows() == 0 && chunk.position.is_none() {
            return Ok(());
        }
        if let Some(query) = &mut self.query {
            query.row_count += chunk.batch.num_rows() as u64;
        }
        let mut rows = Vec::new();
        let message = rows_array(&chunk.batch, &mut rows)
            .map_err(Problem::from)
            .and_then(|()| {
                let rows = String::from_utf8(rows)
                    .map_err(|error| error.to_string())
                    .and_then(|text| RawValue::from_string(text).map_err(|error| error.to_string()))
                    .map_err(|error| Problem::new(Kind::Internal, error))?;
                Ok(ToClient::Rows {
                    rows: &rows,
                    resume: chunk.position.map(|position| position.to_string()),
                }
                .to_json())
            });
        match message {
            Ok(message) => self.send_json(message).await,
            Err(problem) => {
                self.query = None;
                self.refuse(problem).await
            }
        }
    }

    async fn ended(&mut self, query: Query, reason: Option<&'static str>) -> Result<(), Gone> {
        let message = ToClient::End {
            row_count: query.row_count,
            truncated: query.rows.truncated(),
            command: query.command,
            reason,
        }
        .to_json();
        self.send_json(message).await
    }

    async fn refuse(&mut self, mut problem: Problem) -> Result<(), Gone> {
        if let Some(hidden) = problem.finish(&self.request_id) {
            tracing::error!(request.id = %self.request_id, query.id = problem.query_id(), error = %hidden, "a live query failed");
        }
        let message = RawValue::from_string(problem.to_json())
            .and_then(|error| ToClient::Error { error: &error }.to_json());
        self.send_json(message).await
    }

    async fn ping(&mut self) -> Result<(), Gone> {
        if self.unanswered >= 2 {
            return Err(Gone);
        }
        self.unanswered += 1;
        self.send(Message::Ping(bytes::Bytes::new())).await
    }

    async fn drain(&mut self) -> Result<(), Gone> {
        if let Some(query) = self.query.take() {
            self.ended(query, Some("shutdown")).await?;
        }
        let close = CloseFrame {
            code: close_code::AWAY,
            reason: "the server is shutting down".into(),
        };
        self.send(Message::Close(Some(close))).await?;
        Err(Gone)
    }

    async fn send_json(&mut self, message: Result<String, serde_json::Error>) -> Result<(), Gone> {
        match message {
            Ok(text) => self.send(Message::Text(text.into())).await,
            Err(error) => {
                tracing::error!(request.id = %self.request_id, %error, "a message was not encoded");
                Err(Gone)
            }
        }
    }

    async fn send(&mut self, message: Message) -> Result<(), Gone> {
        self.socket.send(message).await.map_err(|_| Gone)
    }
}
