//! `/v1/live`: queries over a WebSocket (RFC 6455).
//!
//! The client sends `{"type": "query", "query": …}` with the members of `POST /v1/sql`; the server answers `schema`, `rows`
//! (each with its resume token), and `end` or `error`. `{"type": "cancel"}` stops the query. Several queries run on one
//! connection, told apart by an `"id"` that the client chooses. A message is sent before the next rows are taken from the engine,
//! so a slow reader slows its own queries and nothing else; one that takes nothing for long is left.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::value::RawValue;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use weir_base::Kind;
use weir_engine::Chunk;

use super::Rest;
use super::arguments::Arguments;
use super::caller::Caller;
use super::layer::RequestId;
use super::live_messages::{FromClient, News, NotUnderstood, ToClient, Wish};
use super::live_queries::{Event, Name, Queries, Query};
use super::problem::Problem;
use super::query::{Prepared, QueryDocument};
use crate::encode::{columns_document, rows_array};

/// A client's message is a query, not data.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Queries that run on one connection at a time.
const QUERIES_MAX: usize = 32;
/// How long a message may wait for its reader once the server drains.
const DRAIN: Duration = Duration::from_secs(1);
/// How often a quiet connection is asked whether it is still there; one that does not answer the second time is closed.
const PING: Duration = Duration::from_secs(15);

/// The protocol of the messages.
const PROTOCOL: &str = "weir";

/// Opens a WebSocket for live queries.
///
/// A page in a browser, which can set no header, sends a token as a second protocol: `weir` and `weir.bearer.TOKEN`.
#[utoipa::path(get, path = "/v1/live", tag = "sql", operation_id = "live",
    responses((status = 101, description = "The connection is a WebSocket now; messages are JSON. The client sends \
        `{\"type\": \"query\", \"id\"?, \"query\", \"parameters\"?, \"resume\"?, \"envelope\"?, …}` and `{\"type\": \"cancel\", \"id\"?}`; \
        the server `schema`, `rows` (with `resume`), `end` and `error`, each with the query's `id`.")))]
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
    let caller = Caller::of(request.extensions())?;
    Ok(upgrade
        // Who sends a token among the protocols must be answered with one of them.
        .protocols([PROTOCOL])
        // A message that is larger is answered with a close code; one that is much larger breaks the connection.
        .max_message_size(2 * MESSAGE_BYTES_MAX)
        .on_upgrade(move |socket| async move {
            let _in_flight = rest.in_flight.enter();
            Conversation {
                rest,
                socket,
                request_id,
                caller,
                queries: Queries::default(),
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
    caller: Caller,
    queries: Queries,
    /// Pings since the client was last heard of.
    unanswered: u32,
}

/// The connection is of no more use.
struct Gone;

enum Heard {
    Received(Option<Result<Message, axum::Error>>),
    Query(Name, Event),
    Ping,
    Drain,
}

impl Conversation {
    async fn run(mut self) {
        let mut ping = interval_at(Instant::now() + PING, PING);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let drain = self.rest.draining.clone();
        loop {
            let heard = tokio::select! {
                received = self.socket.recv() => Heard::Received(received),
                () = drain.cancelled() => Heard::Drain,
                (name, event) = self.queries.next() => Heard::Query(name, event),
                _ = ping.tick() => Heard::Ping,
            };
            let went_on = match heard {
                Heard::Received(Some(Ok(message))) => self.received(message).await,
                Heard::Received(Some(Err(_)) | None) => Err(Gone),
                Heard::Query(name, event) => self.happened(name, event).await,
                Heard::Ping => self.ping().await,
                Heard::Drain => self.drain().await,
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
                let reason = "messages are JSON text, not binary";
                return self.close(close_code::UNSUPPORTED, reason).await;
            }
        };
        if text.len() > MESSAGE_BYTES_MAX {
            let reason = format!("a message has at most {MESSAGE_BYTES_MAX} bytes");
            return self.close(close_code::SIZE, &reason).await;
        }
        let FromClient { name, wish } = match FromClient::parse(&text) {
            Ok(message) => message,
            Err(NotUnderstood { name, reason }) => {
                let problem = Problem::invalid(format!("the message is not understood: {reason}"));
                return self.refuse(&name, problem).await;
            }
        };
        match wish {
            Wish::Cancel(_) => match self.queries.take(&name) {
                Some(query) => self.ended(query, Some("cancelled")).await,
                // It has ended meanwhile.
                None => Ok(()),
            },
            Wish::Query(document) => match self.start(&name, *document) {
                Ok(query) => {
                    self.queries.add(query);
                    Ok(())
                }
                Err(problem) => self.refuse(&name, problem).await,
            },
        }
    }

    /// A query that is on its way.
    fn start(&self, name: &Name, document: QueryDocument) -> Result<Query, Problem> {
        if self.queries.has(name) {
            let busy = match name {
                None => "a query runs on this connection".to_owned(),
                Some(name) => format!("a query {name:?} runs on this connection"),
            };
            return Err(Problem::new(Kind::Conflict, busy)
                .with_sqlstate(weir_base::SqlState::OBJECT_IN_USE)
                .with_hint("give each query an \"id\" of its own, or cancel the one that runs"));
        }
        if self.queries.len() >= QUERIES_MAX {
            let many = format!("{QUERIES_MAX} queries run on this connection, and no more can");
            return Err(Problem::new(Kind::LimitExceeded, many)
                .with_hint("cancel one, or open another connection"));
        }
        let Prepared {
            request,
            session,
            in_use,
        } = document.prepare(&self.rest, &self.caller, None, false)?;
        let planning = async move { session.execute(request).await };
        Ok(Query::new(name.clone(), planning, in_use))
    }

    async fn happened(&mut self, name: Name, event: Event) -> Result<(), Gone> {
        match event {
            Event::Runs(schema) => {
                let query = self.queries.get(&name);
                let news = News::Schema {
                    query_id: query
                        .and_then(|query| query.query_id)
                        .map(|id| id.to_string())
                        .unwrap_or_default(),
                    columns: columns_document(&schema),
                    live: query.is_some_and(|query| query.live),
                };
                self.tell(&name, news).await
            }
            Event::Rows(chunk) => match rows_json(&chunk) {
                Ok(rows) => {
                    let news = News::Rows {
                        rows: &rows,
                        resume: chunk.position.map(|token| token.to_string()),
                    };
                    self.tell(&name, news).await
                }
                Err(problem) => self.failed(&name, problem).await,
            },
            Event::Ended => match self.queries.take(&name) {
                Some(query) => self.ended(query, None).await,
                None => Ok(()),
            },
            Event::Failed(error) => self.failed(&name, error.into()).await,
        }
    }

    async fn ended(&mut self, query: Query, reason: Option<&'static str>) -> Result<(), Gone> {
        let news = News::End {
            row_count: query.row_count,
            truncated: query.truncated(),
            command: query.command.clone(),
            reason,
        };
        let name = query.name.clone();
        drop(query);
        self.tell(&name, news).await
    }

    async fn failed(&mut self, name: &Name, problem: Problem) -> Result<(), Gone> {
        let query_id = self.queries.take(name).and_then(|query| query.query_id);
        let problem = match query_id {
            Some(id) => problem.with_query_id(id),
            None => problem,
        };
        self.refuse(name, problem).await
    }

    async fn refuse(&mut self, name: &Name, mut problem: Problem) -> Result<(), Gone> {
        if let Some(hidden) = problem.finish(&self.request_id) {
            tracing::error!(request.id = %self.request_id, query.id = problem.query_id(), error = %hidden, "a live query failed");
        }
        match RawValue::from_string(problem.to_json()) {
            Ok(error) => self.tell(name, News::Error { error: &error }).await,
            Err(error) => self.not_encoded(&error),
        }
    }

    async fn ping(&mut self) -> Result<(), Gone> {
        if self.unanswered >= 2 {
            let reason = "nothing was heard of the client";
            return self.close(close_code::POLICY, reason).await;
        }
        self.unanswered += 1;
        self.send(Message::Ping(bytes::Bytes::new())).await
    }

    async fn drain(&mut self) -> Result<(), Gone> {
        while let Some(query) = self.queries.pop() {
            self.ended(query, Some("shutdown")).await?;
        }
        self.close(close_code::AWAY, "the server is shutting down")
            .await
    }

    /// Says why, and ends the connection.
    async fn close(&mut self, code: u16, reason: &str) -> Result<(), Gone> {
        let close = CloseFrame {
            code,
            reason: reason.into(),
        };
        self.send(Message::Close(Some(close))).await?;
        Err(Gone)
    }

    async fn tell(&mut self, name: &Name, news: News<'_>) -> Result<(), Gone> {
        let id = name.as_deref();
        match (ToClient { id, news }).to_json() {
            Ok(text) => self.send(Message::Text(text.into())).await,
            Err(error) => self.not_encoded(&error),
        }
    }

    fn not_encoded(&self, error: &serde_json::Error) -> Result<(), Gone> {
        tracing::error!(request.id = %self.request_id, %error, "a message was not encoded");
        Err(Gone)
    }

    async fn send(&mut self, message: Message) -> Result<(), Gone> {
        let drain = self.rest.draining.clone();
        let sending = self.socket.send(message);
        // A reader that takes nothing must not keep the server from its end.
        let too_late = async {
            drain.cancelled().await;
            tokio::time::sleep(DRAIN).await;
        };
        let bound = self.rest.settings.websocket_send_timeout;
        tokio::select! {
            biased;
            sent = sending => sent.map_err(|_| Gone),
            () = too_late => Err(Gone),
            () = tokio::time::sleep(bound) => {
                // There is no use in telling a client why that takes nothing.
                tracing::info!(request.id = %self.request_id, queries = self.queries.len(), ?bound, "a WebSocket is closed whose client does not read");
                Err(Gone)
            }
        }
    }
}

/// The rows of a chunk as a JSON array.
fn rows_json(chunk: &Chunk) -> Result<Box<RawValue>, Problem> {
    let mut rows = Vec::new();
    rows_array(&chunk.batch, &mut rows).map_err(Problem::from)?;
    let internal = |error: String| Problem::new(Kind::Internal, error);
    let rows = String::from_utf8(rows).map_err(|error| internal(error.to_string()))?;
    RawValue::from_string(rows).map_err(|error| internal(error.to_string()))
}
