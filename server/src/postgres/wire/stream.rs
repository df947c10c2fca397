//! Bytes of one connection: frames in, messages out, and word of a client that leaves while it is served.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::backend::Out;

/// Room for small messages, several at a time.
const BUFFER_BYTES: usize = 16 << 10;
/// Messages above this size count against the memory for large ones.
const SMALL_BYTES: usize = 64 << 10;
/// What a client may send ahead while it is served.
const AHEAD_BYTES: usize = 1 << 20;
/// A first message is short.
const STARTUP_BYTES: usize = 10_000;
/// While a large message comes in it keeps others from the memory for them: it may not pause for longer than this.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Permits for the bytes of large messages in memory, a permit a KiB.
pub(crate) type Large = Arc<Semaphore>;

/// A message as it came.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) tag: u8,
    pub(crate) body: Bytes,
    /// Its place in the memory for large messages, until it is worked on.
    pub(crate) memory: Option<OwnedSemaphorePermit>,
}

/// Why a connection ends though nobody said so.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Closed {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("a message of {0} bytes was announced")]
    Size(u32),
    #[error("it paused for {0:?} in the middle of a large message")]
    Paused(Duration),
    #[error("it did not read its answers for {0:?}")]
    Stalled(Duration),
    #[error("it left")]
    Left,
}

/// One connection's stream.
#[derive(Debug)]
pub(crate) struct Wire<S> {
    stream: S,
    input: BytesMut,
    /// What is to be sent.
    pub(crate) out: Out,
    message_bytes_max: usize,
    large: Large,
    /// A client that does not read for so long is cut off.
    stall: Duration,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// A stream that takes small messages alone, until [`Self::admit_large`].
    pub(crate) fn new(stream: S, large: Large, stall: Duration) -> Self {
        Self {
            stream,
            input: BytesMut::with_capacity(BUFFER_BYTES),
            out: Out::default(),
            message_bytes_max: STARTUP_BYTES,
            large,
            stall,
        }
    }

    /// From now on messages may have so many bytes: it is known whose they are.
    pub(crate) fn admit_large(&mut self, message_bytes_max: usize) {
        self.message_bytes_max = message_bytes_max;
    }

    /// The stream itself, when nothing has been read ahead: what follows in plain text on a request for TLS is somebody
    /// else's (CVE-2021-23222).
    pub(crate) fn into_stream(self) -> Option<S> {
        self.input.is_empty().then_some(self.stream)
    }

    /// The body of a first message; none when the client left.
    pub(crate) async fn startup(&mut self) -> Result<Option<Bytes>, Closed> {
        if !self.fill(4).await? {
            return Ok(None);
        }
        let length = self.length_at(0);
        let size = length as usize;
        if !(8..=STARTUP_BYTES).contains(&size) {
            return Err(Closed::Size(length));
        }
        if !self.fill(size).await? {
            return Err(Closed::Left);
        }
        self.input.advance(4);
        Ok(Some(self.input.split_to(size - 4).freeze()))
    }

    /// The next message; none when the client left between two. Safe to drop.
    pub(crate) async fn next(&mut self) -> Result<Option<Frame>, Closed> {
        if !self.fill(5).await? {
            return Ok(None);
        }
        let length = self.length_at(1);
        let size = length as usize;
        if size < 4 || size > self.message_bytes_max {
            return Err(Closed::Size(length));
        }
        let memory = if size > SMALL_BYTES {
            let permits = u32::try_from(size >> 10).unwrap_or(u32::MAX);
            let memory = Arc::clone(&self.large).acquire_many_owned(permits).await;
            let filled = tokio::time::timeout(PAUSE_MAX, async {
                let mut have = self.input.len();
                while have < size + 1 {
                    if !self.fill(have + 1).await? {
                        return Err(Closed::Left);
                    }
                    have = self.input.len();
                }
                Ok(())
            });
            filled.await.map_err(|_| Closed::Paused(PAUSE_MAX))??;
            memory.ok()
        } else if self.fill(size + 1).await? {
            None
        } else {
            return Err(Closed::Left);
        };
        let tag = self.input.get_u8();
        self.input.advance(4);
        let body = self.input.split_to(size - 4).freeze();
        Ok(Some(Frame { tag, body, memory }))
    }

    /// The type of the next message, once its first byte is there; none when the client left. Safe to drop.
    pub(crate) async fn peek(&mut self) -> Result<Option<u8>, Closed> {
        Ok(match self.fill(1).await? {
            true => self.input.first().copied(),
            false => None,
        })
    }

    /// Returns when the client has left. Meanwhile it may send ahead, up to a bound. Safe to drop.
    pub(crate) async fn left(&mut self) {
        loop {
            if self.input.len() >= AHEAD_BYTES.min(self.message_bytes_max) {
                return std::future::pending().await;
            }
            match self.read_more().await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    /// Sends everything. A client that does not read holds up nobody but itself, and not forever.
    pub(crate) async fn flush(&mut self) -> Result<(), Closed> {
        if self.out.len() == 0 {
            return Ok(());
        }
        let stall = self.stall;
        let (stream, out) = (&mut self.stream, &self.out);
        let sending = async {
            // Piece by piece: a slow client that reads is not a stalled one.
            for piece in out.bytes().chunks(64 << 10) {
                tokio::time::timeout(stall, stream.write_all(piece))
                    .await
                    .map_err(|_| Closed::Stalled(stall))??;
            }
            tokio::time::timeout(stall, stream.flush())
                .await
                .map_err(|_| Closed::Stalled(stall))??;
            Ok(())
        };
        let sent: Result<(), Closed> = sending.await;
        self.out.clear();
        sent
    }

    /// Ends the stream in order.
    pub(crate) async fn shutdown(&mut self) {
        // The client may be gone, which is the end, too.
        let _ = self.stream.shutdown().await;
    }

    /// Whether so many bytes could be had.
    async fn fill(&mut self, bytes: usize) -> Result<bool, Closed> {
        while self.input.len() < bytes {
            if self.read_more().await? == 0 {
                return match self.input.is_empty() || bytes <= 5 {
                    true => Ok(false),
                    false => Err(Closed::Left),
                };
            }
        }
        Ok(true)
    }

    async fn read_more(&mut self) -> io::Result<usize> {
        if self.input.capacity() - self.input.len() < BUFFER_BYTES / 4 {
            self.input.reserve(BUFFER_BYTES);
        }
        self.stream.read_buf(&mut self.input).await
    }

    /// The length that stands there; [`Self::fill`] has seen to it that it does.
    fn length_at(&self, at: usize) -> u32 {
        self.input
            .get(at..at + 4)
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0, u32::from_be_bytes)
    }
}
