//! Other people's programs: pyarrow and DuckDB read what is served; schemathesis tries to break the API.

use std::process::Command;

use weir_tests::{Server, python};

async fn filled() -> Server {
    let server = Server::start();
    server
        .client()
        .run(&[
            "CREATE STREAM s (id BIGINT, yes BOOLEAN, small SMALLINT, real REAL, double DOUBLE, dec DECIMAL(20,4), text TEXT, raw BYTEA, \
             day DATE, clock TIME, at TIMESTAMP, zoned TIMESTAMPTZ, span INTERVAL, uid UUID, doc JSON, tags TEXT[], place STRUCT<lat DOUBLE, lon DOUBLE>)",
            "INSERT INTO s VALUES (1, true, -5, 1.5, 0.1, 12345.6789, 'grüß', decode('dead', 'hex'), '2024-02-29', '12:34:56.789', '2024-02-29 12:34:56.789', \
             '2024-02-29 12:34:56.789+02:00', INTERVAL '1 day', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{\"a\": 1}', ['x', 'y'], {lat: 1.5, lon: 2.5})",
            "INSERT INTO s (id) VALUES (2)",
        ])
        .await;
    server
}

#[tokio::test]
async fn pyarrow_reads_arrow_and_parquet() {
    let server = filled().await;
    let said = python::run("read_pyarrow.py", &[server.url()]);
    assert!(said.ends_with("ok\n"), "{said}");
    server.stop();
}

#[tokio::test]
async fn duckdb_reads_arrow_parquet_and_csv() {
    let server = filled().await;
    let said = python::run("read_duckdb.py", &[server.url()]);
    assert!(said.ends_with("ok\n"), "{said}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_no_way_to_a_server_error() {
    let server = Server::builder()
        .config("[limits]\nquery_timeout = \"5s\"\n")
        .start();
    let client = server.client();
    client
        .run(&[
            "CREATE STREAM bids (auction BIGINT, price BIGINT)",
            "CREATE TABLE users (id BIGINT PRIMARY KEY, name TEXT)",
        ])
        .await;
    let examples = if std::env::var_os("WEIR_SOAK").is_some() {
        "400"
    } else {
        "40"
    };
    let mut command = Command::new(python::program("schemathesis"));
    command
        .args(["run", &format!("{}/openapi.json", server.url())])
        .args([
            "--checks",
            "not_a_server_error,status_code_conformance,content_type_conformance",
        ])
        .args(["--max-examples", examples])
        .args(["--request-timeout", "20"])
        .args(["--generation-database", "none"])
        // They judge how well it makes up requests, and how fast; not the server.
        .args(["--suppress-health-check", "all"])
        .arg("--no-color")
        .current_dir(server.folder());
    let said = tokio::task::spawn_blocking(move || python::output(command, "schemathesis"))
        .await
        .expect("schemathesis runs");
    eprintln!(
        "{}",
        said.lines()
            .rev()
            .take(12)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .collect::<Vec<_>>()
            .join("\n")
    );
    assert_eq!(client.number("SELECT 1").await, 1);
    server.stop();
}
