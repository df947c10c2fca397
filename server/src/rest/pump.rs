//! The body of an answer, pulled by the client: rows are taken from the engine when what came before is on its way.
//!
//! In: a stream of batches. Out: frames of a body, which ends as its format ends, or breaks when the rows did not end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue};
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use futures::{Stream, StreamExt};
use http_body_util::StreamBody;
use hyper::body::Frame;
use tokio::sync::Semaphore;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use weir_base::{Kind, QueryId, ResumeToken};
use weir_engine::{Chunk, RowStream};

use super::compression::Compressor;
use super::problem::Problem;
use super::sessions::InUse;
use crate::encode::{EncodeError, Encoder, Ending, KEEP_ALIVE, Output, Summary};

/// Encoded bytes are gathered up to this size while rows are ready, so that small batches do not become small writes.
const GATHER_BYTES: usize = 64 << 10;
/// At most this many bytes of a batch (as Arrow arrays) are encoded at a time.
const PART_BYTES: usize = 1 << 20;
/// A part with more values than this is encoded on a thread of its own.
const INLINE_VALUES: usize = 8 << 10;

/// How long after its first rows a bounded answer waits for more before its headers go out.
const PATIENCE: Duration = Duration::from_millis(50);

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

/// What encodes, so that it can be moved to another thread and back.
pub(super) struct Work {
    pub(super) encoder: Box<dyn Encoder>,
    pub(super) compressor: Compressor,
    pub(super) out: Output,
}

/// How far a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Rows,
    /// Everything is encoded; trailers may follow.
    Ended,
    /// The connection must break.
    Broken,
    Done,
}

/// Why a body ends before its rows do.
pub(super) enum Failure {
    Engine(weir_engine::Error),
    Encode(EncodeError),
    Io(std::io::Error),
    Lost(String),
}

impl Failure {
    pub(super) fn into_problem(self) -> Problem {
        match self {
            Self::Engine(error) => error.into(),
            Self::Encode(error) => error.into(),
            Self::Io(error) => Problem::new(Kind::Internal, error.to_string()),
            Self::Lost(reason) => Problem::new(Kind::Internal, reason),
        }
    }
}

/// A body that is being made.
pub(super) struct Pump<R> {
    pub(super) rows: R,
    /// `None` only while a part is being encoded elsewhere.
    pub(super) work: Option<Work>,
    pub(super) ready: VecDeque<Bytes>,
    /// A batch and how many of its rows are encoded.
    pub(super) part: Option<(Chunk, usize)>,
    pub(super) summary: Summary,
    pub(super) stage: Stage,
    pub(super) live: bool,
    pub(super) trailers: bool,
    pub(super) drain: BoxFuture<'static, ()>,
    pub(super) encoding: Arc<Semaphore>,
    pub(super) keep_alive: Option<Interval>,
    pub(super) query_id: QueryId,
    pub(super) request_id: String,
    /// Keeps the session from expiring.
    pub(super) _in_use: Option<InUse>,
}

enum Event {
    Chunk(Chunk),
    End,
    Failed(weir_engine::Error),
    KeepAlive,
}

impl<R: Rows> Pump<R> {
    /// The body: in one piece and with its length when all of it is there, else as it comes.
    pub(super) fn into_body(mut self) -> Body {
        let encoded = self.encoded();
        if self.stage == Stage::Ended && !self.trailers && encoded <= GATHER_BYTES {
            let mut pieces = self.ready.drain(..);
            return match (pieces.next(), pieces.next()) {
                (None, _) => Body::empty(),
                (Some(only), None) => Body::from(only),
                (Some(first), Some(second)) => {
                    let mut whole = Vec::with_capacity(encoded);
                    whole.extend_from_slice(&first);
                    whole.extend_from_slice(&second);
                    pieces.for_each(|piece| whole.extend_from_slice(&piece));
                    Body::from(whole)
                }
            };
        }
        let frames = futures::stream::unfold(self, |mut pump| async move {
            let frame = pump.next_frame().await?;
            Some((frame, pump))
        });
        Body::new(StreamBody::new(frames))
    }

    /// Encodes more rows before the headers go out, for a moment and up to one piece of the body: what a small answer
    /// fails with is then still a status, and its length is known.
    pub(super) async fn gather_small(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + PATIENCE;
        while self.stage == Stage::Rows && self.encoded() < GATHER_BYTES {
            if self.part.is_some() {
                self.gather().await?;
                continue;
            }
            match tokio::time::timeout_at(deadline, self.next_event()).await {
                Err(_) => break,
                Ok(Event::Chunk(chunk)) => self.part = Some((chunk, 0)),
                Ok(Event::End) => self.end().await?,
                Ok(Event::Failed(error)) => return Err(Failure::Engine(error)),
                Ok(Event::KeepAlive) => self.ready.push_back(Bytes::from_static(KEEP_ALIVE)),
            }
        }
        Ok(())
    }

    /// Bytes that are encoded and not on their way.
    fn encoded(&self) -> usize {
        self.ready.iter().map(Bytes::len).sum()
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
            // First, because a live query with much to catch up on always has rows.
            biased;
            () = drained => Event::End,
            chunk = rows.next() => match chunk {
                Some(Ok(chunk)) => Event::Chunk(chunk),
                Some(Err(error)) => Event::Failed(error),
                None => Event::End,
            },
            _ = tick => Event::KeepAlive,
        }
    }

    /// Sends off what comes before the rows.
    pub(super) fn flush_begin(&mut self) -> std::io::Result<()> {
        if let Some(work) = &mut self.work {
            let parts = work.out.take();
            self.ready.extend(work.compressor.write(parts, true)?);
        }
        Ok(())
    }

    /// Encodes the current batch, and further ones while they are there and little is encoded.
    pub(super) async fn gather(&mut self) -> Result<(), Failure> {
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
        batch: RecordBatch,
        position: Option<ResumeToken>,
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
    pub(super) async fn end(&mut self) -> Result<(), Failure> {
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

/// A clock for comments in a quiet event stream.
pub(super) fn keep_alive(period: Duration) -> Interval {
    let period = period.max(Duration::from_millis(1));
    let mut interval = tokio::time::interval_at(Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
