//! Rows that were acknowledged are there after a crash, each once; rows that were not are there whole or not at all.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::Rng;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use weir_tests::client::media;
use weir_tests::{Client, Server, ServerBuilder};

use super::{ends_at, random, rounds};

const WRITERS: i64 = 4;

/// What the writers know: the batches that were acknowledged, and those whose answer did not come.
#[derive(Default)]
struct Known {
    acknowledged: BTreeSet<i64>,
    unanswered: Vec<i64>,
}

/// An offset of each partition.
type Offsets = [i64; 3];

/// What earlier rounds have checked.
#[derive(Default)]
struct History {
    acknowledged: BTreeSet<i64>,
    ends: Offsets,
}

/// A batch is 1 to 40 rows, by its number.
fn rows_of(batch: i64) -> i64 {
    1 + (batch * 7919) % 40
}

fn body_of(batch: i64) -> String {
    let padding = "x".repeat(usize::try_from(batch % 400).unwrap());
    (0..rows_of(batch))
        .map(|row| format!("{{\"batch\":{batch},\"row\":{row},\"padding\":\"{padding}\"}}\n"))
        .collect()
}

/// Writes batches `first`, `first + WRITERS`, … until the server is gone.
async fn write(client: Client, first: i64, known: Arc<Mutex<Known>>) {
    let mut batch = first;
    loop {
        let request = client
            .request(Method::POST, "/v1/topics/s/records")
            .header(CONTENT_TYPE, media::NDJSON)
            .header("idempotency-key", format!("batch-{batch}"))
            .body(body_of(batch));
        match request.send().await {
            Ok(response) if response.status().is_success() => {
                known.lock().acknowledged.insert(batch);
                batch += WRITERS;
            }
            Ok(response) => {
                // A server that ends may still answer that it ends; then the batch is not known to be there.
                let status = response.status();
                assert!(
                    status.is_server_error(),
                    "batch {batch}: {status} {:?}",
                    response.text().await
                );
                known.lock().unanswered.push(batch);
                return;
            }
            Err(_) => {
                known.lock().unanswered.push(batch);
                return;
            }
        }
    }
}

/// Checks what is there from some offset of each partition on against what is known of it, and gives the partitions' ends.
async fn check(client: &Client, known: &Known, from: &Offsets) -> Offsets {
    let least = from.iter().min().copied().unwrap_or_default();
    let [first, second, third] = from;
    let is_new = format!(
        "_offset >= {least} AND _offset >= CASE _partition WHEN 0 THEN {first} WHEN 1 THEN {second} ELSE {third} END"
    );
    let batches = format!(
        "SELECT batch, count(*) AS rows, count(DISTINCT row) AS different, min(row) AS first, max(row) AS last FROM s WHERE {is_new} GROUP BY batch"
    );
    let rows = client.rows(&batches).await;
    let mut there = BTreeSet::new();
    for row in &rows.rows {
        let numbers: Vec<i64> = row.iter().map(|value| value.as_i64().unwrap()).collect();
        let [batch, count, different, first, last] = numbers[..] else {
            panic!("{row:?}")
        };
        let wanted = rows_of(batch);
        assert_eq!(
            (count, different, first, last),
            (wanted, wanted, 0, wanted - 1),
            "batch {batch} is not there once and whole"
        );
        there.insert(batch);
    }
    let gone = known.acknowledged.difference(&there).next();
    assert_eq!(gone, None, "was acknowledged and is gone");
    let mut unknown = there.difference(&known.acknowledged);
    let unknown = unknown.find(|batch| !known.unanswered.contains(batch));
    assert_eq!(unknown, None, "was never sent");
    // Offsets have no holes and no doubles.
    let extents = format!(
        "SELECT _partition, count(*) AS rows, max(_offset) + 1 AS end FROM s WHERE {is_new} GROUP BY _partition"
    );
    let mut ends = *from;
    for row in client.rows(&extents).await.rows {
        let number = |at: usize| row[at].as_i64().unwrap();
        let end = &mut ends[usize::try_from(number(0)).unwrap()];
        assert_eq!(*end + number(1), number(2), "partition {}", row[0]);
        *end = number(2);
    }
    ends
}

/// Retries what was not answered: it must be there once after that.
async fn retry(client: &Client, known: &mut Known) {
    for batch in std::mem::take(&mut known.unanswered) {
        let request = client
            .request(Method::POST, "/v1/topics/s/records")
            .header(CONTENT_TYPE, media::NDJSON)
            .header("idempotency-key", format!("batch-{batch}"))
            .body(body_of(batch));
        let answer = client
            .document_of(request)
            .await
            .unwrap_or_else(|problem| panic!("batch {batch}: {problem}"));
        assert_eq!(answer["rows"], rows_of(batch), "batch {batch}: {answer}");
        known.acknowledged.insert(batch);
    }
}

/// Lets writers write to a server that ends by `end`, starts it again, and checks what was written. What earlier rounds wrote is
/// looked at again in the end.
async fn round(
    server: Server,
    history: &mut History,
    end: impl AsyncFnOnce(Server) -> ServerBuilder,
) -> Server {
    let known = Arc::new(Mutex::new(Known::default()));
    let next = history.acknowledged.last();
    let next = next.map_or(0, |last| last + WRITERS - last % WRITERS);
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(write(server.client(), next + writer, known.clone())))
        .collect();
    let builder = end(server).await;
    for writer in writers {
        writer.await.unwrap();
    }
    let server = builder.without_env().start();
    let client = server.client();
    let mut known = std::mem::take(&mut *known.lock());
    check(&client, &known, &history.ends).await;
    retry(&client, &mut known).await;
    history.ends = check(&client, &known, &history.ends).await;
    history.acknowledged.append(&mut known.acknowledged);
    server
}

/// Looks at everything once more.
async fn check_all(server: &Server, history: History) {
    eprintln!("{} batches acknowledged", history.acknowledged.len());
    let known = Known {
        acknowledged: history.acknowledged,
        ..Known::default()
    };
    let ends = check(&server.client(), &known, &Offsets::default()).await;
    assert_eq!(ends, history.ends);
}

/// Small segments, so that many rolls happen while it is killed.
fn builder() -> ServerBuilder {
    super::server().config("[topics]\nsegment_bytes = \"64kB\"\n")
}

async fn create(client: &Client) {
    client
        .run(&["CREATE STREAM s (batch BIGINT, row BIGINT, padding TEXT) WITH (partitions = 3)"])
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_random_moments() {
    let mut random = random("ingest at random moments");
    let mut history = History::default();
    let mut server = builder().start();
    create(&server.client()).await;
    for _ in 0..rounds() {
        let moment = Duration::from_millis(random.random_range(0..400));
        server = round(server, &mut history, async |server| {
            tokio::time::sleep(moment).await;
            server.kill()
        })
        .await;
    }
    check_all(&server, history).await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ended_at_fail_points() {
    let mut random = random("ingest at fail points");
    let mut history = History::default();
    let server = builder().start();
    create(&server.client()).await;
    let mut next = server.stop();
    let points = [
        "topics::append",
        "topics::before_sync",
        "topics::after_sync",
        "topics::roll",
    ];
    for at in 0..rounds() {
        let point = points[usize::try_from(at).unwrap() % points.len()];
        let most = if point == "topics::roll" { 5 } else { 60 };
        let nth = random.random_range(0..most);
        let server = ends_at(next, point, nth).start();
        let server = round(server, &mut history, async |server| {
            let (_, builder) = server.wait_for_end();
            builder
        })
        .await;
        next = server.stop();
    }
    let server = next.start();
    check_all(&server, history).await;
    server.stop();
}
