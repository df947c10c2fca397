//! An answer of the engine as an HTTP response.
//!
//! The headers wait for the first rows, so that what fails before them is an error status (a live answer sends them at
//! once). Then the body is pulled: nothing is read from the engine before the client has taken what was encoded. A client
//! that goes away drops the body, and with it the query.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use futures::future::FutureExt;
use futures::{Stream, StreamExt};
use http_body_util::StreamBody;
use hyper::body::Frame;
use tokio::sync::Semaphore;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use weir_base::{Kind, QueryId};
use weir_engine::{AnswerKind, Chunk, RowStream};

use super::compression::Compressor;
use super::negotiation::{Coding, Format, choose, coding};
use super::problem::Problem;
use super::sessions::InUse;
use crate::encode::{self, EncodeError, Encoder, Ending, KEEP_ALIVE, Output, Summary};

/// Encoded bytes are gathered up to this size while rows are ready, so that small batches do not become small writes.
const GATHER_BYTES: usize = 64 << 10;
/// At most this many bytes of a batch (as Arrow arrays) are encoded at a time.
const PART_BYTES: usize = 1 << 20;
/// A part with more values than this is encoded on a thread of its own.
const INLINE_VALUES: usize = 8 << 10;

/// Where rows come from: the engine's stream, or pages of a submitted statement.
pub(crate) trait Rows:
    Stream<Item = Result<Chunk, weir_engine::Error>> + Send + Unpin + 'static
{
    /// After the end: whether rows were left out because of a row limit.
    fn truncated(&self) -> bool;
}

impl Rows for RowStream {
    fn truncated(&self) -> bool {
        RowStream::truncated(self)
    }
}

/// What all replies of a server share.
#[derive(Debug, Clone)]
pub(crate) struct Replies {
    /// Cancelled when the server drains: live answers end.
    pub(crate) drain: CancellationToken,
    /// Permits to encode on threads of their own.
    pub(crate) encoding: Arc<Semaphore>,
    pub(crate) event_keep_alive: Duration,
}

/// What is asked for in headers and arguments about the form of an answer.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    explicit: Option<Format>,
    headers: HeaderMap,
    coding: Coding,
    trailers: bool,
}

impl Wanted {
    /// Reads `?format=` (which wins), `Accept`, `Accept-Encoding` and `TE`.
    ///
    /// # Errors
    /// 406 when none of `offered` is acceptable.
    pub(crate) fn of(
        headers: &HeaderMap,
        explicit: Option<String>,
        offered: &[Format],
    ) -> Result<Self, Problem> {
        let explicit = explicit
            .map(|text| {
                Format::named(&text)
                    .filter(|format| offered.contains(format))
                    .ok_or_else(|| {
                        Problem::invalid(format!("format {text:?} is not known"))
                            .with_hint(format!("known formats: {}", names(offered)))
                    })
            })
            .transpose()?;
        let accept: HeaderMap = headers
            .get_all(header::ACCEPT)
            .iter()
            .map(|value| (header::ACCEPT, value.clone()))
            .collect();
        let trailers = headers.get_all(header::TE).iter().any(|value| {
            value.to_str().is_ok_and(|text| {
                text.split(',')
                    .any(|part| part.trim().eq_ignore_ascii_case("trailers"))
            })
        });
        let this = Self {
            explicit,
            headers: accept,
            coding: coding(headers),
            trailers,
        };
        this.format(offered)?;
        Ok(this)
    }

    /// The same wish, where a client that has no preference gets `format`.
    ///
    /// # Errors
    /// 406 when nothing that fits is acceptable.
    pub(crate) fn preferring(&self, format: Format) -> Result<Self, Problem> {
        let mut offered = vec![format];
        offered.extend(Format::PAGES.into_iter().filter(|other| *other != format));
        Ok(Self {
            explicit: Some(self.format(&offered)?),
            ..self.clone()
        })
    }

    /// The format among `offered`.
    ///
    /// # Errors
    /// 406 when none is acceptable.
    pub(crate) fn format(&self, offered: &[Format]) -> Result<Format, Problem> {
        let format = match self.explicit {
            Some(format) => offered.contains(&format).then_some(format),
            None => choose(&self.headers, offered),
        };
        format.ok_or_else(|| {
            let problem = Problem::http(
                axum::http::StatusCode::NOT_ACCEPTABLE,
                "this answer cannot be given in a format that the request accepts",
            );
            if offered == Format::LIVE {
                problem.with_hint(format!(
                    "a live query never ends; ask for one of {}",
                    names(offered)
                ))
            } else {
                problem.with_hint(format!(
                    "say in Accept or ?format= one of {}",
                    names(offered)
                ))
            }
        })
    }
}

fn names(formats: &[Format]) -> String {
    formats
        .iter()
        .map(|format| format.name())
        .collect::<Vec<_>>()
        .join(", ")
}

/// Everything about an answer except its rows.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) query_id: QueryId,
    pub(crate) schema: arrow::datatypes::SchemaRef,
    pub(crate) kind: AnswerKind,
    pub(crate) request_id: String,
    /// Keeps the session from expiring while the rows are read.
    pub(crate) in_use: Option<InUse>,
}

impl Replies {
    /// The response to an answer.
    ///
    /// # Errors
    /// What fails before the first rows, as a problem.
    pub(crate) async fn respond<R: Rows>(
        &self,
        head: Head,
        mut rows: R,
        wanted: &Wanted,
    ) -> Result<Response, Problem> {
        let live = head.kind == AnswerKind::Live;
        let format = wanted.format(if live { &Format::LIVE } else { &Format::ALL })?;
        let named = |problem: Problem| problem.with_query_id(head.query_id);
        // Event streams and live answers stay uncompressed: some proxies and readers hold compressed pieces back.
        let coding = if live || matches!(format, Format::Sse | Format::Parquet) {
            Coding::Identity
        } else {
            wanted.coding
        };
        let mut encoder = encode::encoder(format, &head.schema, &head.query_id.to_string())
            .map_err(|error| named(error.into()))?;
        let mut out = Output::default();
        encoder
            .begin(&mut out)
            .map_err(|error| named(error.into()))?;
        let compressor = Compressor::new(coding)
            .map_err(|error| named(Problem::new(Kind::Internal, error.to_string())))?;
        let first = if live {
            None
        } else {
            Some(
                rows.next()
                    .await
                    .transpose()
                    .map_err(|error| named(error.into()))?,
            )
        };
        let command = match &head.kind {
            AnswerKind::Command { tag, .. } => Some(tag.clone()),
            AnswerKind::Rows | AnswerKind::Live => None,
        };
        let mut pump = Pump {
            rows,
            work: Some(Work {
                encoder,
                compressor,
                out,
            }),
            ready: VecDeque::new(),
            part: None,
            summary: Summary {
                command: command.clone(),
                ..Summary::default()
            },
            stage: Stage::Rows,
            live,
            trailers: wanted.trailers,
            drain: self.drain.clone().cancelled_owned().boxed(),
            encoding: Arc::clone(&self.encoding),
            keep_alive: (format == Format::Sse).then(|| keep_alive(self.event_keep_alive)),
            query_id: head.query_id,
            request_id: head.request_id,
            _in_use: head.in_use,
        };
        // The first rows are encoded before the headers go out: a type that the format cannot hold is an error status.
        match first {
            None => pump
                .flush_begin()
                .map_err(|error| named(Problem::new(Kind::Internal, error.to_string())))?,
            Some(None) => pump
                .end()
                .await
                .map_err(|failure| named(failure.into_problem()))?,
            Some(Some(chunk)) => {
                pump.part = Some((chunk, 0));
                pump.gather()
                    .await
                    .map_err(|failure| named(failure.into_problem()))?;
            }
        }
        let mut response = Response::new(pump.into_body());
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(format.content_type()),
        );
        headers.append(
            header::VARY,
            HeaderValue::from_static("accept, accept-encoding"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if coding != Coding::Identity {
            headers.insert(
                header::CONTENT_ENCODING,
                HeaderValue::from_static(coding.name()),
            );
        }
        if live || format == Format::Sse {
            // Tells nginx to pass on each piece at once.
            headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        }
        if wanted.trailers {
            headers.insert(
                header::TRAILER,
                HeaderValue::from_static("weir-row-count, weir-truncated"),
            );
        }
        if let Ok(id) = HeaderValue::from_str(&head.query_id.to_string()) {
            headers.insert("weir-query-id", id);
        }
        if let Some(tag) = command.and_then(|tag| HeaderValue::from_str(&tag).ok()) {
            headers.insert("weir-command", tag);
        }
        Ok(response)
    }
}

fn keep_alive(period: Duration) -> Interval {
    let period = period.max(Duration::from_millis(1));
    let mut interval = tokio::time::interval_at(Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// What encodes, so that it can be moved to another thread and back.
struct Work {
    encoder: Box<dyn Encoder>,
    compressor: Compressor,
    out: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Rows,
    /// Everything is encoded; trailers may follow.
    Ended,
    /// The connection must break.
    Broken,
    Done,
}

/// Why a body ends before its rows do.
enum Failure {
    Engine(weir_engine::Error),
    Encode(EncodeError),
    Io(std::io::Error),
    Lost(String),
}

impl Failure {
    fn into_problem(self) -> Problem {
        match self {
            Self::Engine(error) => error.into(),
            Self::Encode(error) => error.into(),
            Self::Io(error) => Problem::new(Kind::Internal, error.to_string()),
            Self::Lost(reason) => Problem::new(Kind::Internal, reason),
        }
    }
}

struct Pump<R> {
    rows: R,
    /// `None` only while a part is being encoded elsewhere.
    work: Option<Work>,
    ready: VecDeque<Bytes>,
    /// A batch and how many of its rows are encoded.
    part: Option<(Chunk, usize)>,
    summary: Summary,
    stage: Stage,
    live: bool,
    trailers: bool,
    drain: futures::future::BoxFuture<'static, ()>,
    encoding: Arc<Semaphore>,
    keep_alive: Option<Interval>,
    query_id: QueryId,
    request_id: String,
    _in_use: Option<InUse>,
}

enum Event {
    Chunk(Chunk),
    End,
    Failed(weir_engine::Error),
    KeepAlive,
}

impl<R: Rows> Pump<R> {
    fn into_body(self) -> Body {
        let frames = futures::stream::unfold(self, |mut pump| async move {
            let frame = pump.next_frame().await?;
            Some((frame, pump))
        });
        Body::new(StreamBody::new(frames))
    }

    async fn next_frame(&mut self) -> Option<Result<Frame<Bytes>, std::io::Error>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Some(Ok(Frame::data(bytes)));
            }
            match self.stage {
                Stage::Rows => {}
                Stage::Ended => {
                    self.stage = Stage::Done;
                    if self.trailers {
                        return Some(Ok(Frame::trailers(self.trailer_fields())));
                    }
                    return None;
                }
                Stage::Broken => {
                    self.stage = Stage::Done;
                    return Some(Err(std::io::Error::other(
                        "the answer failed after its first rows",
                    )));
                }
                Stage::Done => return None,
            }
            let outcome = if self.part.is_some() {
                self.gather().await
            } else {
                match self.next_event().await {
                    Event::Chunk(chunk) => {
                        self.part = Some((chunk, 0));
                        self.gather().await
                    }
                    Event::End => self.end().await,
                    Event::Failed(error) => Err(Failure::Engine(error)),
                    Event::KeepAlive => {
                        self.ready.push_back(Bytes::from_static(KEEP_ALIVE));
                        Ok(())
                    }
                }
            };
            if let Err(failure) = outcome {
                self.fail(failure);
            }
        }
    }

    async fn next_event(&mut self) -> Event {
        let Self {
            rows,
            drain,
            keep_alive,
            live,
            ..
        } = self;
        let tick = async {
            match keep_alive {
                Some(interval) => interval.tick().await,
                None => std::future::pending().await,
            }
        };
        let drained = async {
            if *live {
                drain.await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            chunk = rows.next() => match chunk {
                Some(Ok(chunk)) => Event::Chunk(chunk),
                Some(Err(error)) => Event::Failed(error),
                None => Event::End,
            },
            () = drained => Event::End,
            _ = tick => Event::KeepAlive,
        }
    }

    /// Sends off what comes before the rows.
    fn flush_begin(&mut self) -> std::io::Result<()> {
        if let Some(work) = &mut self.work {
            let parts = work.out.take();
            self.ready.extend(work.compressor.write(parts, true)?);
        }
        Ok(())
    }

    /// Encodes the current batch, and further ones while they are there and little is encoded.
    async fn gather(&mut self) -> Result<(), Failure> {
        let mut encoded = 0;
        while let Some((chunk, done)) = self.part.take() {
            let rows = chunk.batch.num_rows();
            let take = self.part_rows(&chunk).min(rows - done);
            let last = done + take == rows;
            let batch = if take == rows {
                chunk.batch.clone()
            } else {
                chunk.batch.slice(done, take)
            };
            let position = if last { chunk.position.clone() } else { None };
            encoded += self.encode(batch, position).await?;
            self.summary.rows += take as u64;
            if !last {
                self.part = Some((chunk, done + take));
            } else if !self.live && encoded < GATHER_BYTES {
                match self.rows.next().now_or_never() {
                    Some(Some(Ok(next))) => self.part = Some((next, 0)),
                    Some(Some(Err(error))) => return Err(Failure::Engine(error)),
                    Some(None) => return self.end().await,
                    None => {}
                }
            }
            if encoded >= GATHER_BYTES {
                break;
            }
        }
        Ok(())
    }

    /// How many rows of a batch are encoded at a time.
    fn part_rows(&self, chunk: &Chunk) -> usize {
        let divides = self.work.as_ref().is_none_or(|work| work.encoder.divides());
        let bytes = chunk.batch.get_array_memory_size();
        let rows = chunk.batch.num_rows();
        if !divides || bytes <= PART_BYTES || rows == 0 {
            return rows.max(1);
        }
        (rows / bytes.div_ceil(PART_BYTES)).max(256)
    }

    /// Encodes a batch, here or on a thread of its own, and returns how many bytes it came to.
    async fn encode(
        &mut self,
        batch: arrow::record_batch::RecordBatch,
        position: Option<weir_base::OffsetVector>,
    ) -> Result<usize, Failure> {
        let lost = || Failure::Lost("the encoder was lost".to_owned());
        let flush = self.live;
        let mut work = self.work.take().ok_or_else(lost)?;
        let values = batch.num_rows() * batch.num_columns().max(1);
        let cheap = work.compressor.is_identity() && work.encoder.is_cheap();
        let run = move || {
            let encoded = work
                .encoder
                .rows(&batch, position.as_ref(), &mut work.out)
                .map_err(Failure::Encode);
            let bytes = work.out.len();
            let parts = encoded.and_then(|()| {
                work.compressor
                    .write(work.out.take(), flush)
                    .map_err(Failure::Io)
            });
            (work, bytes, parts)
        };
        let (work, bytes, parts) = if cheap || values <= INLINE_VALUES {
            run()
        } else {
            let permit = Arc::clone(&self.encoding).acquire_owned().await;
            let ran = tokio::task::spawn_blocking(run).await;
            drop(permit);
            ran.map_err(|error| Failure::Lost(error.to_string()))?
        };
        self.work = Some(work);
        self.ready.extend(parts?);
        Ok(bytes)
    }

    /// Encodes what comes after the last row.
    async fn end(&mut self) -> Result<(), Failure> {
        self.summary.truncated = self.rows.truncated();
        if let Some(work) = &mut self.work {
            work.encoder
                .end(&self.summary, &mut work.out)
                .map_err(Failure::Encode)?;
            let parts = work.out.take();
            self.ready
                .extend(work.compressor.write(parts, false).map_err(Failure::Io)?);
            self.ready
                .extend(work.compressor.finish().map_err(Failure::Io)?);
        }
        self.stage = Stage::Ended;
        Ok(())
    }

    /// Ends a body whose headers are out, so that no client takes it for whole.
    fn fail(&mut self, failure: Failure) {
        let mut problem = failure.into_problem().with_query_id(self.query_id);
        let told = problem.detail().to_owned();
        let hidden = problem.finish(&self.request_id);
        match &hidden {
            Some(detail) => {
                tracing::error!(query.id = %self.query_id, request.id = %self.request_id, error = %detail, "an answer broke off");
            }
            None => {
                tracing::info!(query.id = %self.query_id, request.id = %self.request_id, error = %told, "an answer broke off");
            }
        }
        self.stage = Stage::Broken;
        let Some(work) = &mut self.work else {
            return;
        };
        // Half-written rows are left out: what the reader sees last must be the failure.
        work.out = Output::default();
        if work.encoder.fail(&problem.to_json(), &mut work.out) == Ending::Told {
            let parts = work.out.take();
            if let (Ok(parts), Ok(rest)) = (
                work.compressor.write(parts, false),
                work.compressor.finish(),
            ) {
                self.ready.extend(parts);
                self.ready.extend(rest);
                self.stage = Stage::Done;
            }
        }
    }

    fn trailer_fields(&self) -> HeaderMap {
        let mut fields = HeaderMap::new();
        fields.insert("weir-row-count", HeaderValue::from(self.summary.rows));
        fields.insert(
            "weir-truncated",
            HeaderValue::from_static(if self.summary.truncated {
                "true"
            } else {
                "false"
            }),
        );
        fields
    }
}

#[cfg(test)]
mod tests;
