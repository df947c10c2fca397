//! Request bodies: read whole, within bounds, and decompressed.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use weir_base::Kind;

use super::arguments::header_text;
use super::problem::Problem;
use crate::config::HttpSettings;

/// The memory that all request bodies share, in units of 1 KiB.
#[derive(Debug, Clone)]
pub(crate) struct BodyMemory {
    units: Arc<Semaphore>,
    body_bytes_max: usize,
    timeout: Duration,
}

/// A request's body. It holds its share of the memory until it is dropped.
#[derive(Debug)]
pub(crate) struct WholeBody {
    pub(crate) bytes: Bytes,
    _share: Share,
}

#[derive(Debug, Default)]
struct Share(Option<OwnedSemaphorePermit>);

const UNIT: usize = 1024;
/// Of a body that is refused, so much is still taken in, for so long: most clients read no answer while they send, and one
/// whose connection breaks meanwhile never learns why.
const DISCARDED_BYTES: usize = 64 << 20;
const DISCARDED_TIME: Duration = Duration::from_secs(5);
/// Bodies up to this size are decompressed in place; larger ones on a thread of their own.
const INLINE_BYTES: usize = 16 << 10;

impl BodyMemory {
    pub(crate) fn new(settings: &HttpSettings) -> Self {
        let units = usize::try_from(settings.bodies_bytes.0).unwrap_or(usize::MAX) / UNIT;
        Self {
            units: Arc::new(Semaphore::new(units.clamp(1, Semaphore::MAX_PERMITS))),
            body_bytes_max: usize::try_from(settings.body_bytes.0).unwrap_or(usize::MAX),
            timeout: settings.body_timeout,
        }
    }

    /// Reads a whole body and undoes its `Content-Encoding`.
    ///
    /// # Errors
    /// 413 when it is too long, 415 for an unknown compression, 408 when it takes too long, 429 when all bodies together
    /// take too much memory, 400 when it ends early or does not decompress.
    pub(crate) async fn read(
        &self,
        headers: &HeaderMap,
        mut body: Body,
    ) -> Result<WholeBody, Problem> {
        let read = self.read_from(headers, &mut body).await;
        if let Err(problem) = &read
            && problem.status() != StatusCode::REQUEST_TIMEOUT
        {
            discard(headers, body).await;
        }
        read
    }

    async fn read_from(&self, headers: &HeaderMap, body: &mut Body) -> Result<WholeBody, Problem> {
        let coding = header_text(headers, "content-encoding")?
            .unwrap_or("identity")
            .trim()
            .to_lowercase();
        if !matches!(
            coding.as_str(),
            "identity" | "" | "gzip" | "x-gzip" | "zstd"
        ) {
            return Err(Problem::http(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                format!("compression {coding:?} is not understood"),
            )
            .with_hint("use zstd or gzip, or none")
            .with_header(
                header::ACCEPT_ENCODING,
                HeaderValue::from_static("zstd, gzip"),
            ));
        }
        let mut share = Share::default();
        let collected =
            tokio::time::timeout(self.timeout, self.collect(headers, body, &mut share)).await;
        let bytes = collected.map_err(|_| {
            Problem::http(
                StatusCode::REQUEST_TIMEOUT,
                format!("the body did not come within {} s", self.timeout.as_secs()),
            )
        })??;
        let bytes = match coding.as_str() {
            "gzip" | "x-gzip" | "zstd" => {
                let max = self.body_bytes_max;
                let plain = if bytes.len() <= INLINE_BYTES {
                    decompress(&coding, &bytes, max)?
                } else {
                    tokio::task::spawn_blocking(move || decompress(&coding, &bytes, max))
                        .await
                        .map_err(|error| Problem::new(Kind::Internal, error.to_string()))??
                };
                self.grow(&mut share, plain.len())?;
                plain
            }
            _ => bytes,
        };
        Ok(WholeBody {
            bytes,
            _share: share,
        })
    }

    async fn collect(
        &self,
        headers: &HeaderMap,
        body: &mut Body,
        share: &mut Share,
    ) -> Result<Bytes, Problem> {
        let announced = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<usize>().ok())
            .unwrap_or(0);
        if announced > self.body_bytes_max {
            return Err(too_large(self.body_bytes_max));
        }
        self.grow(share, announced)?;
        let mut first: Option<Bytes> = None;
        let mut whole = BytesMut::new();
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame
                .map_err(|error| Problem::invalid(format!("the body ended early: {error}")))?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            length += data.len();
            if length > self.body_bytes_max {
                return Err(too_large(self.body_bytes_max));
            }
            // A body that came in one piece is not copied.
            if length == data.len() {
                first = Some(data);
                continue;
            }
            if let Some(first) = first.take() {
                whole.reserve(announced.max(length));
                whole.extend_from_slice(&first);
            }
            self.grow(share, length)?;
            whole.extend_from_slice(&data);
        }
        self.grow(share, length)?;
        Ok(first.unwrap_or_else(|| whole.freeze()))
    }

    /// Grows the share of the memory to `bytes`.
    fn grow(&self, share: &mut Share, bytes: usize) -> Result<(), Problem> {
        let wanted = bytes.div_ceil(UNIT);
        let held = share
            .0
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        if wanted <= held {
            return Ok(());
        }
        let more = u32::try_from(wanted - held).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.units)
            .try_acquire_many_owned(more)
            .map_err(|_| {
                Problem::new(
                    Kind::LimitExceeded,
                    "too many request bodies are in memory at once",
                )
                .with_retry_after(Duration::from_secs(1))
                .with_hint("send fewer requests at once, or raise rest.bodies_bytes")
            })?;
        match &mut share.0 {
            Some(held) => held.merge(permit),
            None => share.0 = Some(permit),
        }
        Ok(())
    }
}

/// Takes in what is left of a refused request's body, within bounds, and forgets it.
pub(crate) async fn discard(headers: &HeaderMap, mut body: Body) {
    if headers.contains_key(header::EXPECT) {
        // The client sends it only when it is asked to.
        return;
    }
    let rest = async {
        let mut left = DISCARDED_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(bytes) {
                Some(fewer) => left = fewer,
                None => break,
            }
        }
    };
    // Whoever is slower than this has had its chance.
    let _ = tokio::time::timeout(DISCARDED_TIME, rest).await;
}

fn too_large(max: usize) -> Problem {
    Problem::http(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("the body is larger than {max} bytes"),
    )
    .with_hint("send it in parts, or raise rest.body_bytes")
}

fn decompress(coding: &str, bytes: &[u8], max: usize) -> Result<Bytes, Problem> {
    let mut plain = Vec::with_capacity(bytes.len().saturating_mul(4).min(max));
    let limit = max as u64 + 1;
    let read = match coding {
        "zstd" => zstd::stream::read::Decoder::with_buffer(bytes)
            .and_then(|decoder| decoder.take(limit).read_to_end(&mut plain)),
        _ => flate2::bufread::MultiGzDecoder::new(bytes)
            .take(limit)
            .read_to_end(&mut plain),
    };
    read.map_err(|error| Problem::invalid(format!("the body is not {coding}: {error}")))?;
    if plain.len() > max {
        return Err(too_large(max));
    }
    Ok(plain.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use weir_base::ByteSize;

    use super::*;

    fn memory(body: u64, all: u64) -> BodyMemory {
        BodyMemory::new(&HttpSettings {
            body_bytes: ByteSize(body),
            bodies_bytes: ByteSize(all),
            body_timeout: Duration::from_millis(50),
            ..HttpSettings::default()
        })
    }

    fn encoded(coding: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::CONTENT_ENCODING, HeaderValue::from_static(coding))])
    }

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    #[tokio::test]
    async fn bodies_are_decompressed() {
        let plain = b"SELECT 1".repeat(10_000);
        let memory = memory(1 << 20, 4 << 20);
        let zstd = zstd::encode_all(&plain[..], 1).unwrap();
        assert_eq!(
            memory
                .read(&encoded("zstd"), zstd.into())
                .await
                .unwrap()
                .bytes,
            plain
        );
        assert_eq!(
            memory
                .read(&encoded("GZIP"), gzip(&plain).into())
                .await
                .unwrap()
                .bytes,
            plain
        );
        let wrong = memory
            .read(&encoded("gzip"), Body::from("SELECT 1"))
            .await
            .unwrap_err();
        assert_eq!(wrong.status(), 400);
        assert_eq!(
            memory
                .read(&encoded("br"), Body::empty())
                .await
                .unwrap_err()
                .status(),
            415
        );
    }

    #[tokio::test]
    async fn a_small_bomb_is_too_large() {
        let bomb = gzip(&vec![0; 8 << 20]);
        assert!(bomb.len() < 64 << 10);
        let problem = memory(1 << 20, 64 << 20)
            .read(&encoded("gzip"), bomb.into())
            .await
            .unwrap_err();
        assert_eq!(problem.status(), 413);
    }

    #[tokio::test]
    async fn too_many_bodies_at_once_have_to_wait() {
        let memory = memory(4096, 4096);
        let first = memory
            .read(&HeaderMap::new(), Body::from(vec![0; 4096]))
            .await
            .unwrap();
        assert_eq!(
            memory
                .read(&HeaderMap::new(), Body::from("x"))
                .await
                .unwrap_err()
                .status(),
            429
        );
        drop(first);
        assert!(
            memory
                .read(&HeaderMap::new(), Body::from("x"))
                .await
                .is_ok()
        );
    }

    #[tokio::test]
    async fn a_body_that_never_comes_is_not_waited_for() {
        let never = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
        assert_eq!(
            memory(1, 1)
                .read(&HeaderMap::new(), never)
                .await
                .unwrap_err()
                .status(),
            408
        );
    }
}
