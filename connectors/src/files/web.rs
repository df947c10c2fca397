//! Files of plain web servers.

use std::fmt;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt};
use object_store::http::HttpStore;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use crate::Error;

/// A web server as a store that is only read, file by file.
///
/// Servers that know no ranges answer with the whole file; the range is then cut out of it. A listing is empty: a web
/// server has none.
#[derive(Debug)]
pub(crate) struct WebStore {
    pub(crate) server: HttpStore,
}

impl fmt::Display for WebStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("web server")
    }
}

fn read_only<T>() -> Result<T> {
    let error = Error::unsupported("files of a web server can be read, not written")
        .with_hint("write to a local folder, or to an s3, gcs or azure connection");
    Err(object_store::Error::NotSupported {
        source: Box::new(error),
    })
}

#[async_trait]
impl ObjectStore for WebStore {
    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        read_only()
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        read_only()
    }

    async fn get_opts(&self, from: &Path, options: GetOptions) -> Result<GetResult> {
        let Some(range) = options.range.clone() else {
            return self.server.get_opts(from, options).await;
        };
        match self.server.get_opts(from, options.clone()).await {
            Err(object_store::Error::NotSupported { .. }) => {
                let whole = GetOptions {
                    range: None,
                    ..options
                };
                cut(self.server.get_opts(from, whole).await?, &range)
            }
            result => result,
        }
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        locations.map(|_| read_only()).boxed()
    }

    fn list(&self, _: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        futures::stream::empty().boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Ok(ListResult {
            common_prefixes: Vec::new(),
            objects: Vec::new(),
        })
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        read_only()
    }
}

/// The range of a result that holds the whole file.
fn cut(result: GetResult, range: &GetRange) -> Result<GetResult> {
    let size = result.meta.size;
    let range = match range {
        GetRange::Bounded(range) => range.start..range.end.min(size),
        GetRange::Offset(start) => *start..size,
        GetRange::Suffix(length) => size.saturating_sub(*length)..size,
    };
    if range.start > range.end {
        return Err(object_store::Error::Generic {
            store: "HTTP",
            source: Box::new(Error::invalid(
                "the range starts behind the end of the file",
            )),
        });
    }
    let GetResult {
        payload: GetResultPayload::Stream(stream),
        meta,
        attributes,
        ..
    } = result
    else {
        return Ok(result);
    };
    let wanted = range.clone();
    let pieces = stream
        .scan(0_u64, move |seen, piece| {
            let piece = piece.map(|piece| {
                let from = *seen;
                *seen += piece.len() as u64;
                overlap(&piece, from, &wanted)
            });
            // Once the range is over, the rest of the file need not come.
            let over = matches!(&piece, Ok(piece) if piece.is_empty()) && *seen >= wanted.end;
            futures::future::ready((!over).then_some(piece))
        })
        .filter(|piece| futures::future::ready(!matches!(piece, Ok(piece) if piece.is_empty())));
    Ok(GetResult {
        payload: GetResultPayload::Stream(pieces.boxed()),
        meta,
        range,
        attributes,
    })
}

/// The part of a piece, which starts at `from` in the file, that lies in `wanted`.
fn overlap(piece: &Bytes, from: u64, wanted: &Range<u64>) -> Bytes {
    let within = |position: u64| {
        let position = position.saturating_sub(from);
        usize::try_from(position)
            .unwrap_or(usize::MAX)
            .min(piece.len())
    };
    let (start, end) = (within(wanted.start), within(wanted.end));
    if start >= end {
        Bytes::new()
    } else {
        piece.slice(start..end)
    }
}

#[cfg(test)]
mod tests {
    use object_store::http::HttpBuilder;
    use object_store::{ClientOptions, ObjectStoreExt};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_server_without_ranges_is_read_all_the_same() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut request = [0; 2048];
                let _ = socket.read(&mut request).await;
                let body = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\nlast-modified: Tue, 01 Jan 2030 00:00:00 GMT\r\nconnection: close\r\n\r\n0123456789";
                let _ = socket.write_all(body.as_bytes()).await;
            }
        });
        let store = WebStore {
            server: HttpBuilder::new()
                .with_url(format!("http://127.0.0.1:{port}/"))
                .with_client_options(ClientOptions::new().with_allow_http(true))
                .build()
                .unwrap(),
        };
        let path = Path::from("x");
        assert_eq!(store.get_range(&path, 3..6).await.unwrap(), "345");
        assert_eq!(store.get_range(&path, 8..20).await.unwrap(), "89");
        let options = GetOptions::new().with_range(Some(GetRange::Suffix(4)));
        let suffix = store.get_opts(&path, options).await.unwrap();
        assert_eq!(suffix.range, 6..10);
        assert_eq!(suffix.bytes().await.unwrap(), "6789");
        assert!(store.put(&path, "x".into()).await.is_err());
    }
}
