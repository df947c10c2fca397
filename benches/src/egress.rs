//! Arrow egress: 10 million rows of 8 columns over REST and over Flight, against the same plan in process.
//!
//! In process, the plan keeps both cores busy. Over REST the same cores also move the bytes through a socket to the client,
//! who runs on them too; what a bare socket takes for the same bytes is measured beside, as the bound.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow_flight::sql::client::FlightSqlServiceClient;
use futures::StreamExt;
use parquet::arrow::ArrowWriter;
use weir_base::SystemClock;
use weir_engine::{Engine, Request, Settings};
use weir_tests::process;

use crate::report::{Promise, Report};
use crate::wire::Wire;
use crate::{Bench, runtime};

const BATCH_ROWS: i64 = 100_000;

pub(crate) fn run(bench: &Bench, report: &mut Report) {
    let rows: i64 = bench.choose(10_000_000, 1_000_000);
    let file = data(&bench.data, rows);
    let sql = format!("SELECT * FROM read_parquet('{}')", file.display());
    let runs = bench.choose(5, 2);

    let in_process = runtime().block_on(in_process(bench, &sql, rows, runs));
    let server = bench.server().flight().allow_path(&bench.data).start();
    let mut wire = Wire::connect(server.address()).expect("the server takes connections");
    let headers = [
        ("accept", "application/vnd.apache.arrow.stream"),
        ("content-type", "text/plain"),
    ];
    // A row group for each core, so that both answers are computed alike.
    let few = data(&bench.data, bench.choose(2_000_000, 200_000));
    let few = format!("SELECT * FROM read_parquet('{}')", few.display());
    let small = wire.request("POST", "/v1/sql", &headers, few.as_bytes());
    for _ in 0..runs {
        wire.ask_length(&small).expect("the query is answered");
    }
    let before = process::peak_resident_bytes(server.pid());
    let request = wire.request("POST", "/v1/sql", &headers, sql.as_bytes());
    let mut best: f64 = 0.0;
    let mut bytes = 0;
    for _ in 0..runs {
        let started = Instant::now();
        bytes = wire.ask_length(&request).expect("the query is answered");
        best = best.max(rows as f64 / started.elapsed().as_secs_f64());
    }
    let after = process::peak_resident_bytes(server.pid());
    let over_flight = runtime().block_on(over_flight(&server.flight(), &sql, rows, runs));
    server.stop();
    let label = format!(
        "Arrow egress, {} M rows × 8 columns ({} MB)",
        rows / 1_000_000,
        bytes >> 20
    );
    report.add(
        format!("{label}: in process"),
        in_process,
        "rows/s",
        Promise::None,
    );
    report.add("  over REST", best, "rows/s", Promise::None);
    report.add("  over Flight", over_flight, "rows/s", Promise::None);
    report.add(
        "  Flight to REST",
        over_flight / best * 100.0,
        "%",
        Promise::AtLeast(80.0),
    );
    report.add(
        "  REST to in process",
        best / in_process * 100.0,
        "%",
        Promise::AtLeast(80.0),
    );
    let moved = socket_time(bytes, runs).as_secs_f64();
    report.add(
        "  a bare socket, the same bytes",
        bytes as f64 / moved / f64::from(1 << 20),
        "MB/s",
        Promise::None,
    );
    let bound = rows as f64 / (rows as f64 / in_process + moved);
    report.add(
        "  bound: the plan, then the bare socket, to in process",
        bound / in_process * 100.0,
        "%",
        Promise::None,
    );
    report.add(
        "  REST to the bound",
        best / bound * 100.0,
        "%",
        Promise::None,
    );
    let grown = after.saturating_sub(before) as f64 / f64::from(1 << 20);
    report.add(
        "  peak memory above that of a result of a fifth",
        grown,
        "MB",
        Promise::Below(64.0),
    );
}

/// The engine in this process, with the server's settings: the best rate of `runs`.
async fn in_process(bench: &Bench, sql: &str, rows: i64, runs: usize) -> f64 {
    let folder = tempfile::tempdir_in(&bench.data).expect("the data folder is writable");
    let mut settings = Settings::new(folder.path());
    settings.allow_paths = vec![bench.data.clone()];
    let engine = Engine::open(settings, Arc::new(SystemClock))
        .await
        .expect("the engine opens");
    let mut best: f64 = 0.0;
    for _ in 0..=runs {
        let started = Instant::now();
        let answer = engine
            .session()
            .execute(Request::new(sql))
            .await
            .expect("the query is planned");
        let mut stream = answer.rows;
        let mut count = 0;
        while let Some(chunk) = stream.next().await {
            count += chunk.expect("the query runs").batch.num_rows();
        }
        assert_eq!(i64::try_from(count), Ok(rows));
        best = best.max(rows as f64 / started.elapsed().as_secs_f64());
    }
    engine.close().await;
    best
}

/// Over the Flight door, by a client that takes the messages and does not decode them: the best rate of `runs`.
async fn over_flight(address: &str, sql: &str, rows: i64, runs: usize) -> f64 {
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{address}"))
        .expect("an address")
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(16 << 20)
        .connect()
        .await
        .expect("the Flight door is open");
    let mut client = FlightSqlServiceClient::new(channel);
    let mut best: f64 = 0.0;
    for _ in 0..=runs {
        let started = Instant::now();
        let info = client.execute(sql.to_owned(), None).await;
        let info = info.expect("the query is planned");
        let ticket = info.endpoint.first().and_then(|end| end.ticket.clone());
        let rows_of = client
            .inner_mut()
            .do_get(ticket.expect("rows have a ticket"))
            .await;
        let mut messages = rows_of.expect("the query runs").into_inner();
        let mut bytes = 0;
        while let Some(message) = messages.next().await {
            bytes += message.expect("the rows arrive").data_body.len();
        }
        assert!(bytes as i64 > rows, "{bytes} bytes came");
        best = best.max(rows as f64 / started.elapsed().as_secs_f64());
    }
    best
}

/// The least time that `bytes` take through a socket of this machine, sent and received at once, in pieces of a batch.
fn socket_time(bytes: u64, runs: usize) -> Duration {
    const PIECE: usize = 1 << 20;
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a port");
    let address = listener.local_addr().expect("it is bound");
    let mut best = Duration::MAX;
    for _ in 0..runs {
        let mut receiver = TcpStream::connect(address).expect("it listens");
        let (mut sender, _) = listener.accept().expect("it was connected to");
        let started = Instant::now();
        let sending = std::thread::spawn(move || {
            let piece = vec![7; PIECE];
            let mut left = usize::try_from(bytes).expect("it fits");
            while left > 0 {
                let part = &piece[..left.min(PIECE)];
                sender.write_all(part).expect("the receiver reads");
                left -= part.len();
            }
        });
        let mut buffer = vec![0; PIECE];
        while receiver.read(&mut buffer).expect("the sender sends") > 0 {}
        sending.join().expect("all was sent");
        best = best.min(started.elapsed());
    }
    best
}

/// The table as a Parquet file, made once.
fn data(folder: &Path, rows: i64) -> PathBuf {
    let path = folder.join(format!("egress-{rows}.parquet"));
    if path.is_file() {
        return path;
    }
    let unfinished = path.with_extension("unfinished");
    let file = std::fs::File::create(&unfinished).expect("the data folder is writable");
    let properties = parquet::file::properties::WriterProperties::builder()
        .set_compression(parquet::basic::Compression::SNAPPY)
        .build();
    let mut writer = ArrowWriter::try_new(file, batch(0).schema(), Some(properties))
        .expect("the schema can be written");
    for first in (0..rows).step_by(usize::try_from(BATCH_ROWS).expect("it fits")) {
        writer.write(&batch(first)).expect("the disk has room");
    }
    writer.close().expect("the disk has room");
    std::fs::rename(&unfinished, &path).expect("a file can be renamed");
    path
}

fn batch(first: i64) -> RecordBatch {
    let mixed = |salt: i64| {
        (first..first + BATCH_ROWS)
            .map(move |row| (row ^ salt).wrapping_mul(6_364_136_223_846_793_005) >> 33)
    };
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            "id",
            Arc::new(Int64Array::from_iter_values(first..first + BATCH_ROWS)),
        ),
        (
            "auction",
            Arc::new(Int64Array::from_iter_values(
                mixed(1).map(|value| value % 10_000),
            )),
        ),
        (
            "bidder",
            Arc::new(Int64Array::from_iter_values(
                mixed(2).map(|value| value % 1_000_000),
            )),
        ),
        (
            "price",
            Arc::new(Int64Array::from_iter_values(
                mixed(3).map(|value| value % 100_000),
            )),
        ),
        (
            "rate",
            Arc::new(Float64Array::from_iter_values(
                mixed(4).map(|value| value as f64 / 1000.0),
            )),
        ),
        (
            "at",
            Arc::new(TimestampMicrosecondArray::from_iter_values(
                (first..first + BATCH_ROWS).map(|row| 1_700_000_000_000_000 + row * 1000),
            )),
        ),
        (
            "channel",
            Arc::new(StringArray::from_iter_values(
                mixed(5).map(|value| format!("channel-{}", value.rem_euclid(100))),
            )),
        ),
        (
            "item",
            Arc::new(StringArray::from_iter_values(
                mixed(6).map(|value| format!("item-{value:012}")),
            )),
        ),
    ];
    RecordBatch::try_from_iter(columns).expect("the columns have one length")
}
