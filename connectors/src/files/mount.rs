//! A store in the place where DataFusion sees it: with paths of its own, and with errors that name the user's location.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use object_store::client::{HttpError, HttpErrorKind};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    UploadPart,
};
use weir_base::{Kind, SqlState};

use crate::Error;

/// A store under a prefix that no other store has.
///
/// DataFusion's caches of listings, statistics and Parquet footers are keyed by path alone. The prefix keeps two stores
/// that hold the same path apart, so that nothing which one connection may read is told to another.
#[derive(Clone)]
pub(crate) struct Mount {
    pub(crate) store: Arc<dyn ObjectStore>,
    /// The segments in front of each path. Empty for local files.
    pub(crate) prefix: Path,
    /// What the user writes in front of a path: `s3://bucket/`, `/`.
    pub(crate) shown: String,
    pub(crate) request_timeout: Duration,
}

/// Without the store, which keeps credentials.
impl fmt::Debug for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mount")
            .field("prefix", &self.prefix)
            .field("shown", &self.shown)
            .finish_non_exhaustive()
    }
}

impl Mount {
    /// The path that DataFusion sees.
    pub(crate) fn outer(&self, path: &Path) -> Path {
        self.prefix.parts().chain(path.parts()).collect()
    }

    pub(crate) fn inner(&self, path: &Path) -> Path {
        path.parts().skip(self.prefix.parts().count()).collect()
    }

    fn outer_meta(&self, meta: ObjectMeta) -> ObjectMeta {
        ObjectMeta {
            location: self.outer(&meta.location),
            ..meta
        }
    }

    /// A path that DataFusion sees, as the user would write it.
    pub(crate) fn show(&self, path: &Path) -> String {
        format!("{}{}", self.shown, self.inner(path))
    }

    /// Refuses the end of a Parquet file whose footer is longer than the file: the decoder subtracts the one from the other.
    ///
    /// Only readers of Parquet ask for ranges. What looks like such a footer in the middle of a file is data, so the
    /// store is asked how long the file is.
    async fn check_footers(
        &self,
        from: &Path,
        ranges: &[Range<u64>],
        pieces: &[Bytes],
    ) -> object_store::Result<()> {
        for (range, piece) in ranges.iter().zip(pieces) {
            let Some(footer_length) = parquet_footer_length(piece) else {
                continue;
            };
            if footer_length > range.end && self.head(from).await?.size == range.end {
                return Err(object_store::Error::Generic {
                    store: "object",
                    source: Box::new(Error::new(
                        Kind::Invalid,
                        format!(
                            "{} is broken, or no Parquet file: its footer says that it is longer than the file",
                            self.show(from)
                        ),
                    )),
                });
            }
        }
        Ok(())
    }

    fn explain(&self, path: &Path, error: object_store::Error) -> object_store::Error {
        let source = Box::new(explanation(&self.show(path), self.request_timeout, &error));
        let path = path.to_string();
        match error {
            object_store::Error::NotFound { .. } => object_store::Error::NotFound { path, source },
            object_store::Error::AlreadyExists { .. } => {
                object_store::Error::AlreadyExists { path, source }
            }
            object_store::Error::Precondition { .. } => {
                object_store::Error::Precondition { path, source }
            }
            object_store::Error::NotModified { .. } => {
                object_store::Error::NotModified { path, source }
            }
            object_store::Error::NotSupported { .. } => {
                object_store::Error::NotSupported { source }
            }
            object_store::Error::PermissionDenied { .. }
            | object_store::Error::Unauthenticated { .. } => {
                object_store::Error::PermissionDenied { path, source }
            }
            _ => object_store::Error::Generic {
                store: "object",
                source,
            },
        }
    }
}

/// The length of a footer of Parquet, magic bytes and length included, if `piece` ends as a file of it does.
fn parquet_footer_length(piece: &[u8]) -> Option<u64> {
    let (_, tail) = piece.split_last_chunk::<8>()?;
    let (length, magic) = tail.split_first_chunk::<4>()?;
    let is_parquet = matches!(magic, b"PAR1" | b"PARE");
    is_parquet.then(|| u64::from(u32::from_le_bytes(*length)) + 8)
}

/// What a store's error means to the person who named `location`. Nothing of its text is told but a status and an error
/// code: the rest holds signed URLs and what was signed.
pub(crate) fn explanation(
    location: &str,
    request_timeout: Duration,
    error: &object_store::Error,
) -> Error {
    if let Some(ours) = Error::find(error) {
        return ours.retell().at(location);
    }
    if let Some(io) = cause::<std::io::Error>(error)
        && let Some(explained) = io_explanation(location, io)
    {
        return explained;
    }
    let text = error.to_string();
    let status = text
        .split_once("status code: ")
        .and_then(|(_, rest)| rest.get(..3))
        .and_then(|digits| digits.parse::<u16>().ok());
    let code = text
        .split_once("<Code>")
        .and_then(|(_, rest)| rest.split_once("</Code>"))
        .map(|(code, _)| code)
        .filter(|code| code.len() < 60 && code.chars().all(|c| c.is_ascii_alphanumeric()));
    let answer = match (status, code) {
        (Some(status), Some(code)) => format!("the store answers {status} {code}"),
        (Some(status), None) => format!("the store answers {status}"),
        (None, Some(code)) => format!("the store answers {code}"),
        (None, None) => "the store gives no reason".to_owned(),
    };
    let unavailable = |what: String| {
        Error::new(Kind::Unavailable, format!("{location}: {what}"))
            .with_sqlstate(SqlState::IO_ERROR)
    };
    match error {
        _ if code == Some("NoSuchBucket") => Error::new(
            Kind::NotFound,
            format!("{location}: the bucket does not exist"),
        ),
        object_store::Error::NotFound { .. } => {
            Error::new(Kind::NotFound, format!("{location} does not exist"))
        }
        object_store::Error::PermissionDenied { .. }
        | object_store::Error::Unauthenticated { .. } => denied(location, &answer),
        object_store::Error::AlreadyExists { .. } => {
            Error::new(Kind::Conflict, format!("{location} exists already"))
        }
        object_store::Error::Precondition { .. } => Error::new(
            Kind::Conflict,
            format!("{location} was changed by somebody else meanwhile"),
        ),
        object_store::Error::InvalidPath { .. } => {
            Error::invalid(format!("{location} is not a path that the store can hold"))
        }
        object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. } => {
            Error::unsupported(format!("{location}: the store cannot do this"))
        }
        _ => match (status, cause::<HttpError>(error).map(HttpError::kind)) {
            (Some(401 | 403), _) => denied(location, &answer),
            (Some(404 | 410), _) => {
                Error::new(Kind::NotFound, format!("{location} does not exist"))
            }
            (Some(408 | 429 | 500..), _) => unavailable(answer),
            (Some(_), _) => Error::invalid(format!("{location}: {answer}"))
                .with_hint("check the connection's region and endpoint"),
            (None, Some(HttpErrorKind::Timeout)) => unavailable(format!(
                "no answer within {} s",
                request_timeout.as_secs_f64()
            ))
            .with_hint("the connection's request_timeout says how long to wait"),
            (None, Some(HttpErrorKind::Connect)) => {
                unavailable("no connection to the store".to_owned())
                    .with_hint("check the host, and whether the server may reach it")
            }
            (None, Some(_)) => unavailable("the store broke off its answer".to_owned()),
            (None, None) if text.contains("redirect") => {
                Error::invalid(format!("{location}: the store redirects elsewhere"))
                    .with_hint("check the connection's region")
            }
            (None, None) => unavailable(answer),
        },
    }
}

fn denied(location: &str, answer: &str) -> Error {
    Error::new(
        Kind::Denied,
        format!("{location}: access denied ({answer})"),
    )
    .with_hint("check the connection's credentials, and what they may do")
}

fn io_explanation(location: &str, error: &std::io::Error) -> Option<Error> {
    use std::io::ErrorKind;
    Some(match error.kind() {
        ErrorKind::NotFound => Error::new(Kind::NotFound, format!("{location} does not exist")),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Error::new(
            Kind::Denied,
            format!("{location}: the server's user may not use this file"),
        ),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            Error::new(Kind::LimitExceeded, format!("{location}: the disk is full"))
                .with_sqlstate(SqlState::DISK_FULL)
        }
        ErrorKind::IsADirectory | ErrorKind::NotADirectory => Error::invalid(format!(
            "{location}: a file is where a folder should be, or a folder where a file"
        )),
        // What the operating system says of local files holds nothing secret; HTTP clients wrap theirs otherwise.
        _ if error.raw_os_error().is_some() => {
            Error::new(Kind::Unavailable, format!("{location}: {error}"))
                .with_sqlstate(SqlState::IO_ERROR)
        }
        _ => return None,
    })
}

/// The first cause of type `T`.
fn cause<'a, T: std::error::Error + 'static>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        // A failed connection ends in an io::Error too, but its kind says less than the HTTP client's.
        if error.is::<HttpError>() {
            return None;
        }
        next = error.source();
    }
    None
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

#[async_trait]
impl ObjectStore for Mount {
    async fn put_opts(
        &self,
        to: &Path,
        data: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        let put = self.store.put_opts(&self.inner(to), data, options).await;
        put.map_err(|error| self.explain(to, error))
    }

    async fn put_multipart_opts(
        &self,
        to: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        let upload = self
            .store
            .put_multipart_opts(&self.inner(to), options)
            .await;
        Ok(Box::new(Upload {
            upload: upload.map_err(|error| self.explain(to, error))?,
            mount: self.clone(),
            to: to.clone(),
        }))
    }

    async fn get_opts(&self, from: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        let head = options.head;
        let mut result = self
            .store
            .get_opts(&self.inner(from), options)
            .await
            .map_err(|error| self.explain(from, error))?;
        result.meta = self.outer_meta(result.meta);
        result.payload = match result.payload {
            GetResultPayload::Stream(stream) if !head => GetResultPayload::Stream(whole(
                stream,
                self.clone(),
                from.clone(),
                result.range.end - result.range.start,
            )),
            payload => payload,
        };
        Ok(result)
    }

    async fn get_ranges(
        &self,
        from: &Path,
        ranges: &[Range<u64>],
    ) -> object_store::Result<Vec<Bytes>> {
        let pieces = self
            .store
            .get_ranges(&self.inner(from), ranges)
            .await
            .map_err(|error| self.explain(from, error))?;
        self.check_footers(from, ranges, &pieces).await?;
        Ok(pieces)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        let (to_inner, mount) = (self.clone(), self.clone());
        self.store
            .delete_stream(locations.map_ok(move |path| to_inner.inner(&path)).boxed())
            .map(move |deleted| match deleted {
                Ok(path) => Ok(mount.outer(&path)),
                Err(error) => Err(mount.explain(&mount.prefix, error)),
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        let mount = self.clone();
        let at = prefix.cloned().unwrap_or_else(|| self.prefix.clone());
        self.store
            .list(Some(&self.inner(&at)))
            .map(move |found| match found {
                Ok(meta) => Ok(mount.outer_meta(meta)),
                Err(error) => Err(mount.explain(&at, error)),
            })
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        let at = prefix.cloned().unwrap_or_else(|| self.prefix.clone());
        let found = self.store.list_with_delimiter(Some(&self.inner(&at))).await;
        let found = found.map_err(|error| self.explain(&at, error))?;
        Ok(ListResult {
            common_prefixes: found
                .common_prefixes
                .iter()
                .map(|path| self.outer(path))
                .collect(),
            objects: found
                .objects
                .into_iter()
                .map(|meta| self.outer_meta(meta))
                .collect(),
        })
    }

    async fn copy_opts(
        &self,
        from: &Path,
        to: &Path,
        options: CopyOptions,
    ) -> object_store::Result<()> {
        let copied = self
            .store
            .copy_opts(&self.inner(from), &self.inner(to), options)
            .await;
        copied.map_err(|error| self.explain(from, error))
    }
}

/// The pieces of an object, with an error at the end when they are fewer than announced.
fn whole(
    stream: BoxStream<'static, object_store::Result<Bytes>>,
    mount: Mount,
    from: Path,
    announced: u64,
) -> BoxStream<'static, object_store::Result<Bytes>> {
    let counted = futures::stream::unfold(Some((stream, 0_u64)), move |state| {
        let (mount, from) = (mount.clone(), from.clone());
        async move {
            let (mut stream, seen) = state?;
            match stream.next().await {
                Some(Ok(piece)) => {
                    let seen = seen + piece.len() as u64;
                    Some((Ok(piece), Some((stream, seen))))
                }
                Some(Err(error)) => Some((Err(mount.explain(&from, error)), None)),
                None if seen < announced => {
                    let error = Error::new(
                        Kind::Unavailable,
                        format!(
                            "{}: the store broke off its answer after {seen} of {announced} bytes",
                            mount.show(&from)
                        ),
                    )
                    .with_sqlstate(SqlState::IO_ERROR);
                    let error = object_store::Error::Generic {
                        store: "object",
                        source: Box::new(error),
                    };
                    Some((Err(error), None))
                }
                None => None,
            }
        }
    });
    counted.boxed()
}

#[derive(Debug)]
struct Upload {
    upload: Box<dyn MultipartUpload>,
    mount: Mount,
    to: Path,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let part = self.upload.put_part(data);
        let (mount, to) = (self.mount.clone(), self.to.clone());
        Box::pin(async move { part.await.map_err(|error| mount.explain(&to, error)) })
    }

    async fn complete(&mut self) -> object_store::Result<PutResult> {
        let completed = self.upload.complete().await;
        completed.map_err(|error| self.mount.explain(&self.to, error))
    }

    async fn abort(&mut self) -> object_store::Result<()> {
        let aborted = self.upload.abort().await;
        aborted.map_err(|error| self.mount.explain(&self.to, error))
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;
    use weir_base::Classify;

    use super::*;

    fn mount(prefix: &str) -> Mount {
        Mount {
            store: Arc::new(InMemory::new()),
            prefix: Path::from(prefix),
            shown: "s3://lake/".to_owned(),
            request_timeout: Duration::from_secs(30),
        }
    }

    #[tokio::test]
    async fn paths_have_the_prefix_outside_and_not_inside() {
        let mount = mount("s3:conn/lake");
        let outer = Path::from("s3:conn/lake/a/b.csv");
        mount.put(&outer, "x".into()).await.unwrap();
        assert!(mount.store.head(&Path::from("a/b.csv")).await.is_ok());
        assert_eq!(mount.head(&outer).await.unwrap().location, outer);
        let listed: Vec<ObjectMeta> = mount
            .list(Some(&Path::from("s3:conn/lake/a")))
            .try_collect()
            .await
            .unwrap();
        assert_eq!(listed[0].location, outer);
        let error = mount
            .get(&Path::from("s3:conn/lake/nope"))
            .await
            .unwrap_err();
        assert!(matches!(error, object_store::Error::NotFound { .. }));
        let ours = Error::find(&error).unwrap();
        assert_eq!(ours.to_string(), "s3://lake/nope does not exist");
        assert_eq!(ours.kind(), Kind::NotFound);
    }

    #[tokio::test]
    async fn a_footer_that_is_longer_than_its_file_is_refused() {
        let mount = mount("");
        let path = Path::from("x.parquet");
        let put = async |bytes: &[u8]| mount.put(&path, bytes.to_vec().into()).await.unwrap();
        let end = async |range: Range<u64>| mount.get_ranges(&path, &[range]).await;
        put(b"PAR1\x09\0\0\0PAR1").await;
        let error = end(0..12).await.unwrap_err();
        assert!(
            Error::find(&error)
                .unwrap()
                .to_string()
                .contains("lake/x.parquet")
        );
        assert!(end(4..12).await.is_err());
        put(b"PAR1\x04\0\0\0PAR1").await;
        assert!(end(0..12).await.is_ok());
        // In the middle of a file it is data.
        put(b"PAR1\x09\0\0\0PAR1\x04\0\0\0PAR1").await;
        assert!(end(0..12).await.is_ok());
        put(b"R1").await;
        assert!(end(0..2).await.is_ok());
    }

    #[tokio::test]
    async fn a_body_that_ends_early_is_an_error() {
        let pieces = futures::stream::iter([Ok(Bytes::from_static(b"abc"))]).boxed();
        let read: Vec<_> = whole(pieces, mount(""), Path::from("x"), 5).collect().await;
        let error = read[1].as_ref().unwrap_err();
        let ours = Error::find(error).unwrap();
        assert_eq!(ours.kind(), Kind::Unavailable);
        assert_eq!(
            ours.to_string(),
            "s3://lake/x: the store broke off its answer after 3 of 5 bytes"
        );
    }

    #[test]
    fn only_status_and_code_of_an_answer_are_told() {
        let error = object_store::Error::PermissionDenied {
            path: "x".into(),
            source: "Error performing GET http://h/b?X-Amz-Signature=hush - Server returned non-2xx status code: 403 Forbidden: <Error><Code>SignatureDoesNotMatch</Code><StringToSign>hush</StringToSign></Error>".into(),
        };
        let explained = explanation("s3://lake/x", Duration::from_secs(1), &error);
        assert_eq!(explained.kind(), Kind::Denied);
        assert_eq!(
            explained.to_string(),
            "s3://lake/x: access denied (the store answers 403 SignatureDoesNotMatch)"
        );
        assert!(!format!("{explained:?}").contains("hush"));
    }
}
