use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{ArrayRef, Int64Array};
use arrow::ipc::reader::StreamReader;
use arrow::record_batch::RecordBatch;
use axum::http::{HeaderMap, StatusCode};
use futures::Stream;
use futures::stream::BoxStream;
use http_body_util::BodyExt;
use weir_base::{Offset, OffsetVector};
use weir_engine::{Chunk, Error};

use super::*;

struct TestRows {
    chunks: BoxStream<'static, Result<Chunk, Error>>,
    dropped: Arc<AtomicBool>,
}

impl Stream for TestRows {
    type Item = Result<Chunk, Error>;
    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.chunks.poll_next_unpin(context)
    }
}

impl Rows for TestRows {
    fn truncated(&self) -> bool {
        true
    }
}

impl Drop for TestRows {
    fn drop(&mut self) {
        self.dropped.store(true, Ordering::SeqCst);
    }
}

fn batch(from: i64, to: i64) -> RecordBatch {
    RecordBatch::try_from_iter([(
        "n",
        Arc::new(Int64Array::from_iter_values(from..to)) as ArrayRef,
    )])
    .unwrap()
}

fn chunk(from: i64, to: i64) -> Result<Chunk, Error> {
    Ok(Chunk {
        batch: batch(from, to),
        position: None,
    })
}

fn failure() -> Result<Chunk, Error> {
    Err(Error::new(Kind::LimitExceeded, "out of memory"))
}

fn rows(chunks: impl Stream<Item = Result<Chunk, Error>> + Send + 'static) -> TestRows {
    TestRows {
        chunks: chunks.boxed(),
        dropped: Arc::default(),
    }
}

/// Chunks that come one after another, not all at once.
fn slowly(chunks: Vec<Result<Chunk, Error>>) -> TestRows {
    rows(futures::stream::iter(chunks).then(|chunk| async {
        tokio::task::yield_now().await;
        chunk
    }))
}

fn replies() -> Replies {
    Replies {
        drain: CancellationToken::new(),
        encoding: Arc::new(Semaphore::new(1)),
        event_keep_alive: Duration::from_millis(1),
    }
}

fn head(kind: AnswerKind) -> Head {
    Head {
        query_id: QueryId::new_now(),
        schema: batch(0, 0).schema(),
        kind,
        request_id: "r1".to_owned(),
        in_use: None,
    }
}

fn wanted(format: Format, headers: &[(header::HeaderName, &'static str)]) -> Wanted {
    let headers = headers
        .iter()
        .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
        .collect();
    Wanted::of(&headers, Some(format.name().to_owned()), &Format::ALL).unwrap()
}

/// What arrives of a body, and whether it ended well.
async fn read(response: Response) -> (Vec<u8>, bool) {
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes.extend(frame.into_data().unwrap_or_default()),
            Err(_) => return (bytes, false),
        }
    }
    (bytes, true)
}

async fn answered(format: Format, rows: TestRows) -> (Vec<u8>, bool) {
    let response = replies()
        .respond(head(AnswerKind::Rows), rows, &wanted(format, &[]))
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    read(response).await
}

#[tokio::test]
async fn what_fails_before_or_soon_after_the_first_rows_is_a_status() {
    for rows in [
        rows(futures::stream::iter([failure()])),
        rows(futures::stream::iter([chunk(0, 3), failure()])),
        slowly(vec![chunk(0, 3), chunk(3, 6), failure()]),
    ] {
        let refused = replies()
            .respond(head(AnswerKind::Rows), rows, &wanted(Format::Csv, &[]))
            .await;
        let problem = refused.unwrap_err();
        assert_eq!(problem.status(), 422);
        assert!(problem.query_id().is_some());
    }
}

#[tokio::test]
async fn a_failure_after_the_first_rows_never_looks_like_an_end() {
    let chunks = || slowly(vec![chunk(0, 100_000), failure()]);
    for format in [Format::Json, Format::Csv, Format::Arrow] {
        let (bytes, whole) = answered(format, chunks()).await;
        assert!(!whole, "{format:?} ended well");
        if format == Format::Arrow {
            assert_ne!(
                bytes[bytes.len() - 8..],
                [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]
            );
        }
    }
    let (bytes, whole) = answered(Format::Ndjson, chunks()).await;
    assert!(whole);
    let text = String::from_utf8(bytes).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..3], ["{\"n\":0}", "{\"n\":1}", "{\"n\":2}"]);
    let last = lines[100_000];
    assert!(
        last.starts_with("{\"error\":{\"type\":\"urn:weir:problem:limit-exceeded\""),
        "{last}"
    );
    let (bytes, whole) = answered(Format::Sse, chunks()).await;
    assert!(whole);
    assert!(
        String::from_utf8(bytes)
            .unwrap()
            .contains("event: error\ndata: {\"type\"")
    );
}

#[tokio::test]
async fn every_row_arrives_once_however_batches_are_cut() {
    let total = 300_000;
    for step in [1_000_i64, 150_000, 300_000] {
        let chunks = futures::stream::iter(
            (0..total)
                .step_by(step as usize)
                .map(move |from| chunk(from, from + step)),
        );
        let (bytes, whole) = answered(Format::Arrow, rows(chunks)).await;
        assert!(whole);
        let read: Vec<RecordBatch> = StreamReader::try_new(&bytes[..], None)
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let whole = arrow::compute::concat_batches(&read[0].schema(), &read).unwrap();
        assert_eq!(whole, batch(0, total));
    }
    let (bytes, whole) =
        answered(Format::Csv, rows(futures::stream::iter([chunk(0, total)]))).await;
    assert!(whole);
    let text = String::from_utf8(bytes).unwrap();
    let mut lines = text.lines().skip(1);
    assert!(
        (0..total).all(|n| lines.next() == Some(n.to_string().as_str())) && lines.next().is_none()
    );
}

#[tokio::test]
async fn an_empty_answer_is_whole() {
    for format in Format::ALL {
        let (bytes, whole) = answered(format, rows(futures::stream::empty())).await;
        assert!(
            whole && (format == Format::Ndjson || !bytes.is_empty()),
            "{format:?}"
        );
    }
}

#[tokio::test]
async fn answers_are_compressed_and_live_ones_are_not() {
    let wanted = wanted(Format::Csv, &[(header::ACCEPT_ENCODING, "gzip, zstd")]);
    let bounded = rows(futures::stream::iter([
        chunk(0, 50_000),
        chunk(50_000, 100_000),
    ]));
    let response = replies()
        .respond(head(AnswerKind::Rows), bounded, &wanted)
        .await
        .unwrap();
    assert_eq!(response.headers()[header::CONTENT_ENCODING], "zstd");
    let (bytes, _) = read(response).await;
    assert_eq!(
        zstd::decode_all(&bytes[..])
            .unwrap()
            .iter()
            .filter(|byte| **byte == b'\n')
            .count(),
        100_001
    );
    let live = rows(futures::stream::pending());
    let response = replies()
        .respond(head(AnswerKind::Live), live, &wanted)
        .await
        .unwrap();
    assert!(!response.headers().contains_key(header::CONTENT_ENCODING));
}

#[tokio::test]
async fn trailers_tell_counts_to_those_who_take_them() {
    let wanted = wanted(Format::Csv, &[(header::TE, "trailers")]);
    let bounded = rows(futures::stream::iter([chunk(0, 7)]));
    let response = replies()
        .respond(head(AnswerKind::Rows), bounded, &wanted)
        .await
        .unwrap();
    let trailers = response
        .into_body()
        .collect()
        .await
        .unwrap()
        .trailers()
        .cloned()
        .unwrap();
    assert_eq!(trailers["weir-row-count"], "7");
    assert_eq!(trailers["weir-truncated"], "true");
}

#[tokio::test]
async fn a_live_answer_begins_at_once_flushes_each_chunk_and_ends_when_the_server_drains() {
    let mut position = OffsetVector::new();
    position.set("bids".parse().unwrap(), vec![Offset(7)]);
    let first = Ok(Chunk {
        batch: batch(0, 1),
        position: Some(position.into()),
    });
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    let live = rows(futures::stream::unfold(
        receiver,
        |mut receiver| async move { Some((receiver.recv().await?, receiver)) },
    ));
    let replies = replies();
    let response = replies
        .respond(head(AnswerKind::Live), live, &wanted(Format::Sse, &[]))
        .await
        .unwrap();
    let mut body = response.into_body();
    let mut next = async || {
        String::from_utf8(
            body.frame()
                .await
                .unwrap()
                .unwrap()
                .into_data()
                .unwrap()
                .to_vec(),
        )
        .unwrap()
    };
    assert!(next().await.starts_with("retry: 1000\nevent: schema\n"));
    assert_eq!(next().await, ": keep-alive\n\n");
    sender.send(first).unwrap();
    let event = loop {
        let event = next().await;
        if !event.starts_with(':') {
            break event;
        }
    };
    assert_eq!(event, "id: bids:7\ndata: [{\"n\":0}]\n\n");
    replies.drain.cancel();
    let end = loop {
        let event = next().await;
        if !event.starts_with(':') {
            break event;
        }
    };
    assert_eq!(
        end,
        "event: end\ndata: {\"row_count\":1,\"truncated\":true}\n\n"
    );
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn a_step_of_several_batches_is_one_event() {
    let at = |offset| {
        let mut position = OffsetVector::new();
        position.set("bids".parse().unwrap(), vec![Offset(offset)]);
        Some(position.into())
    };
    let chunk = |from, to, position| {
        Ok(Chunk {
            batch: batch(from, to),
            position,
        })
    };
    let chunks = vec![
        chunk(0, 1, None),
        chunk(1, 2, None),
        chunk(2, 3, at(3)),
        chunk(3, 3, at(9)),
        chunk(3, 4, at(10)),
    ];
    let live = rows(futures::stream::iter(chunks));
    let response = replies()
        .respond(head(AnswerKind::Live), live, &wanted(Format::Sse, &[]))
        .await
        .unwrap();
    let (bytes, whole) = read(response).await;
    assert!(whole);
    let text = String::from_utf8(bytes).unwrap();
    let (_, events) = text.split_once("\n\n").unwrap();
    assert_eq!(
        events,
        "id: bids:3\ndata: [{\"n\":0},{\"n\":1},{\"n\":2}]\n\nid: bids:9\n\nid: bids:10\ndata: [{\"n\":3}]\n\n\
         event: end\ndata: {\"row_count\":4,\"truncated\":true}\n\n"
    );
}

#[tokio::test]
async fn a_live_answer_is_no_document() {
    for format in [Format::Json, Format::Parquet] {
        let refused = replies()
            .respond(
                head(AnswerKind::Live),
                rows(futures::stream::pending()),
                &wanted(format, &[]),
            )
            .await;
        assert_eq!(refused.unwrap_err().status(), 406);
    }
}

#[tokio::test]
async fn a_client_that_goes_away_drops_the_query() {
    let rows = rows(futures::stream::iter([chunk(0, 1)]).chain(futures::stream::pending()));
    let dropped = Arc::clone(&rows.dropped);
    let response = replies()
        .respond(head(AnswerKind::Rows), rows, &wanted(Format::Csv, &[]))
        .await
        .unwrap();
    assert!(!dropped.load(Ordering::SeqCst));
    drop(response);
    assert!(dropped.load(Ordering::SeqCst));
}

#[test]
fn an_unknown_format_names_the_known_ones() {
    let problem = Wanted::of(&HeaderMap::new(), Some("xml".to_owned()), &Format::ALL).unwrap_err();
    assert_eq!(problem.status(), 400);
    assert!(
        problem
            .to_json()
            .contains("known formats: arrow, json, ndjson, csv, parquet, sse")
    );
    let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static("text/html"))]);
    assert_eq!(
        Wanted::of(&headers, None, &Format::ALL)
            .unwrap_err()
            .status(),
        406
    );
}
