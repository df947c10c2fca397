//! Connections: frames come in, answers go out in the same order.

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use futures::{FutureExt, StreamExt};
use kafka_protocol::messages::ApiKey;
use rustix::fs::sendfile;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Interest, WriteHalf};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::task::TaskTracker;
use weir_engine::Principal;
use weir_topics::StoredStretch;

use super::api::{self, Broken, Frame, Request};
use super::gather::Piece;
use super::produce::{Turn, Turns};
use super::quotas::Mute;
use super::sasl::{Sasl, Then};
use super::{Kafka, Peer};
use crate::connections::prepare;

/// How long the server waits after an accept that failed, as when no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The most that is sent from a file at once.
const SEND_BYTES: u64 = 1 << 20;
/// The most that is encrypted at once.
const TLS_BYTES: usize = 256 << 10;
/// How long a TLS handshake may take, and signing in after it.
const SIGN_IN_WITHIN: Duration = Duration::from_secs(30);
/// Requests of one connection that are worked on at once; a client sends five by default.
const IN_FLIGHT_MAX: usize = 64;
/// Room for small frames, several at a time.
const BUFFER_BYTES: usize = 64 << 10;
/// Requests above this size count against the memory for requests.
const SMALL_BYTES: usize = 64 << 10;
/// While a large request comes in it keeps others from the memory for requests: it may not pause for longer than this.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Accepts connections until the door is closed, then lets those that are open finish what they were asked.
pub(crate) async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, kafka: Arc<Kafka>) {
    let places = Arc::new(Semaphore::new(kafka.settings.connections));
    let open = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = kafka.close.cancelled() => break,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::info!(%error, "a Kafka connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            // The protocol has no word for it; a client that is cut off comes again later.
            tracing::warn!(peer = %address, "a Kafka connection was refused: too many are open");
            continue;
        };
        prepare(&stream);
        let peer = Peer {
            address: format!("/{}", address.ip()),
            ip: address.ip(),
            mute: Mute::default(),
        };
        let (kafka, tls) = (Arc::clone(&kafka), tls.clone());
        open.spawn(async move {
            match greet(kafka, stream, tls, peer).await {
                Ok(()) => {}
                // Clients that go away are everyday.
                Err(Ended::Io(error)) => {
                    tracing::debug!(peer = %address, %error, "a Kafka connection broke");
                }
                Err(error) => {
                    tracing::info!(peer = %address, %error, "a Kafka connection was closed");
                }
            }
            drop(place);
        });
    }
    drop(listener);
    open.close();
    open.wait().await;
}

/// What is to be sent, if anything, and of a fetch its turn.
type Answer = (Option<Frame>, Option<Turn>);

/// Why a connection ends before its client ends it.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Broken(#[from] Broken),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it announced a request of {0} bytes")]
    Size(i32),
    #[error("it paused for {0:?} in the middle of a large request")]
    Paused(Duration),
    #[error("it was silent for {0:?}")]
    Idle(Duration),
    #[error("{0}")]
    SignedOut(String),
    #[error("it did not read its answers for {0:?}")]
    Stalled(Duration),
}

/// Makes TLS of a connection where the door speaks it, and answers what comes.
async fn greet(
    kafka: Arc<Kafka>,
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    peer: Peer,
) -> Result<(), Ended> {
    let Some(tls) = tls else {
        let (read, write) = stream.into_split();
        return run(kafka, read, Write::Plain(write), peer).await;
    };
    let greeted = tokio::time::timeout(SIGN_IN_WITHIN, tls.accept(stream)).await;
    let stream = greeted.map_err(|_| Ended::Idle(SIGN_IN_WITHIN))??;
    let (read, write) = tokio::io::split(stream);
    run(kafka, read, Write::Tls(Box::new(write)), peer).await
}

async fn run(
    mut kafka: Arc<Kafka>,
    read: impl AsyncRead + Unpin,
    mut write: Write,
    peer: Peer,
) -> Result<(), Ended> {
    let mut frames = Frames::new(read, &kafka);
    if kafka.engine.requires_sign_in() {
        let signing_in = sign_in(&kafka, &mut frames, &mut write, &peer);
        let signed_in = tokio::time::timeout(SIGN_IN_WITHIN, signing_in).await;
        match signed_in.map_err(|_| Ended::Idle(SIGN_IN_WITHIN))?? {
            Some(principal) => kafka = kafka.for_user(principal),
            None => return Ok(()),
        }
    }
    frames.admit_large(&kafka);
    let mut turns = Turns::default();
    let mut fetches = Turns::default();
    let mut answers: FuturesOrdered<BoxFuture<'static, Result<Answer, Broken>>> =
        FuturesOrdered::new();
    let idle = kafka.settings.idle;
    let mut reading = true;
    loop {
        if !reading && answers.is_empty() {
            return Ok(());
        }
        let muted = peer.mute.until();
        let may_read = reading && answers.len() < IN_FLIGHT_MAX && muted.is_none();
        let is_idle = answers.is_empty() && muted.is_none();
        tokio::select! {
            Some(answer) = answers.next(), if !answers.is_empty() => {
                // Its end lets the next fetch begin: a client that asks and does not read has one answer in memory.
                let (frame, _fetch) = answer?;
                if let Some(frame) = frame {
                    tokio::time::timeout(idle, send(&mut write, frame))
                        .await
                        .map_err(|_| Ended::Stalled(idle))??;
                }
            }
            frame = frames.next(), if may_read => match frame? {
                None => reading = false,
                Some((frame, memory)) => match api::read(frame)? {
                    Request::ApiVersionsTooNew { correlation_id } => {
                        let answer = api::versions_too_new(correlation_id);
                        let answer = answer.map(|frame| (Some(frame), None));
                        answers.push_back(futures::future::ready(answer).boxed());
                    }
                    Request::Known(head, body) => {
                        // A user who may no longer sign in is not answered any more either.
                        kafka.session.rights().map_err(|error| Ended::SignedOut(error.to_string()))?;
                        let turn = turns.next();
                        let mut fetch = (head.api == ApiKey::Fetch).then(|| fetches.next());
                        let answer = Arc::clone(&kafka).answer(peer.clone(), head, body, turn);
                        answers.push_back(async move {
                            if let Some(fetch) = &mut fetch {
                                fetch.begin().await;
                            }
                            let answer = answer.await;
                            drop(memory);
                            Ok((answer?, fetch))
                        }.boxed());
                    }
                },
            },
            () = kafka.close.cancelled(), if reading => reading = false,
            () = tokio::time::sleep_until(muted.unwrap_or_else(Instant::now)), if muted.is_some() => {}
            () = tokio::time::sleep(idle), if is_idle => {
                // Who waits for room is not idle: others hold it.
                if !frames.awaits_room() {
                    return Err(Ended::Idle(idle));
                }
            }
        }
    }
}

/// Goes through SASL; none of a client that leaves, or is turned away.
async fn sign_in(
    kafka: &Kafka,
    frames: &mut Frames<impl AsyncRead + Unpin>,
    write: &mut Write,
    peer: &Peer,
) -> Result<Option<Principal>, Ended> {
    let mut sasl = Sasl::new(kafka.engine.clone(), peer.ip);
    loop {
        let frame = tokio::select! {
            frame = frames.next() => frame?,
            () = kafka.close.cancelled() => return Ok(None),
        };
        let Some((frame, _)) = frame else {
            return Ok(None);
        };
        let step = sasl.step(frame).await?;
        if let Some(answer) = step.answer {
            send(write, answer).await?;
        }
        match step.then {
            Then::Wait => {}
            Then::Welcome(principal) => return Ok(Some(principal)),
            Then::Close => return Ok(None),
        }
    }
}

/// Where answers go.
enum Write {
    /// To the socket itself, so that the kernel can send from files.
    Plain(OwnedWriteHalf),
    /// Through TLS.
    Tls(Box<WriteHalf<TlsStream<TcpStream>>>),
}

/// Sends an answer, and what is stored of it from the page cache.
async fn send(write: &mut Write, frame: Frame) -> io::Result<()> {
    for piece in frame {
        match (piece, &mut *write) {
            (Piece::Memory(mut chunks), Write::Plain(write)) => {
                write.write_all_buf(&mut chunks).await?;
            }
            (Piece::Memory(mut chunks), Write::Tls(write)) => {
                write.write_all_buf(&mut chunks).await?;
            }
            (Piece::Stored(stretch), Write::Plain(write)) => {
                send_stored(write.as_ref(), &stretch).await?;
            }
            (Piece::Stored(stretch), Write::Tls(write)) => send_read(write, &stretch).await?,
        }
    }
    match write {
        Write::Plain(_) => Ok(()),
        // What TLS keeps back until its buffer is full is the end of this answer.
        Write::Tls(write) => write.flush().await,
    }
}

/// As [`send_stored`], where each byte has to pass through this process.
async fn send_read(
    write: &mut (impl AsyncWrite + Unpin),
    stretch: &StoredStretch,
) -> io::Result<()> {
    let (file, range) = stretch.place();
    let mut buffer = vec![
        0;
        usize::try_from(range.end - range.start)
            .unwrap_or(TLS_BYTES)
            .min(TLS_BYTES)
    ];
    let mut at = range.start;
    while at < range.end {
        let most = usize::try_from(range.end - at)
            .unwrap_or(TLS_BYTES)
            .min(buffer.len());
        let chunk = buffer.get_mut(..most).unwrap_or_default();
        tokio::task::block_in_place(|| file.read_exact_at(chunk, at))?;
        write.write_all(chunk).await?;
        at += most as u64;
    }
    Ok(())
}

async fn send_stored(socket: &TcpStream, stretch: &StoredStretch) -> io::Result<()> {
    let (file, range) = stretch.place();
    let mut at = range.start;
    while at < range.end {
        let most = (range.end - at).min(SEND_BYTES) as usize;
        let sending = || {
            // What is not in the page cache is waited for here, where no other task waits with it.
            let sent = tokio::task::block_in_place(|| sendfile(socket, file, Some(&mut at), most));
            sent.map_err(io::Error::from)
        };
        if socket.async_io(Interest::WRITABLE, sending).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// Frames as they come in: a length of four bytes, then as many.
struct Frames<R> {
    read: R,
    buffer: BytesMut,
    most: usize,
    memory: Arc<Semaphore>,
    /// How long a large frame may pause.
    pause: Duration,
    /// What is held for the frame that is coming in.
    held: Option<OwnedSemaphorePermit>,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    /// Only small ones, until [`Self::admit_large`].
    fn new(read: R, kafka: &Kafka) -> Self {
        Self {
            read,
            buffer: BytesMut::with_capacity(BUFFER_BYTES),
            most: SMALL_BYTES,
            memory: Arc::clone(&kafka.request_memory),
            pause: kafka.settings.idle.min(PAUSE_MAX),
            held: None,
        }
    }

    /// From now on frames may be as large as requests may.
    fn admit_large(&mut self, kafka: &Kafka) {
        self.most = usize::try_from(kafka.settings.request_bytes.0).unwrap_or(usize::MAX);
    }

    /// Whether a frame was announced for which there is no room yet.
    fn awaits_room(&self) -> bool {
        let length = self.buffer.first_chunk::<4>();
        let length = length.and_then(|length| usize::try_from(i32::from_be_bytes(*length)).ok());
        self.held.is_none() && length.is_some_and(|length| length > SMALL_BYTES)
    }

    /// The next frame, and what it holds of the memory for requests; none at the end. It may be dropped and called again:
    /// what has come stays.
    async fn next(&mut self) -> Result<Option<(Bytes, Option<OwnedSemaphorePermit>)>, Ended> {
        loop {
            if let Some(length) = self.buffer.first_chunk::<4>() {
                let announced = i32::from_be_bytes(*length);
                let length = usize::try_from(announced)
                    .ok()
                    .filter(|length| *length <= self.most)
                    .ok_or(Ended::Size(announced))?;
                let whole = length + 4;
                if self.buffer.len() >= whole {
                    let mut frame = self.buffer.split_to(whole).freeze();
                    frame.advance(4);
                    return Ok(Some((frame, self.held.take())));
                }
                if length > SMALL_BYTES && self.held.is_none() {
                    let permits = u32::try_from(length >> 10).unwrap_or(u32::MAX);
                    let memory = Arc::clone(&self.memory).acquire_many_owned(permits).await;
                    self.held = memory.ok();
                }
                self.buffer.reserve(whole - self.buffer.len());
            } else {
                self.buffer.reserve(BUFFER_BYTES);
            }
            let reading = self.read.read_buf(&mut self.buffer);
            let read = match self.held {
                None => reading.await?,
                Some(_) => tokio::time::timeout(self.pause, reading)
                    .await
                    .map_err(|_| Ended::Paused(self.pause))??,
            };
            if read == 0 {
                return Ok(None);
            }
        }
    }
}
