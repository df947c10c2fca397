//! psql: what it shows, where errors are, and rows that flow until it is stopped.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use weir_tests::python;

use super::server;

fn psql(address: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("psql");
    let dsn = format!("postgresql://somebody@{address}/weir");
    command
        .args(["--no-psqlrc", "--quiet", &dsn])
        .args(arguments);
    command
}

fn said(address: &str, sql: &str) -> String {
    python::output(
        psql(address, &["--tuples-only", "--no-align", "-c", sql]),
        "psql",
    )
}

fn refused(address: &str, sql: &str) -> String {
    let output = psql(address, &["-v", "VERBOSITY=verbose", "-c", sql])
        .output()
        .expect("psql can be run");
    assert!(!output.status.success(), "{sql} was taken");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn it_shows_answers_and_errors() {
    let server = server();
    let address = server.postgres();
    assert_eq!(
        said(
            &address,
            "SELECT 1 AS n, 'x', NULL, true, 1.50, 1e20::double"
        ),
        "1|x||t|1.50|1e+20\n"
    );
    assert_eq!(said(&address, "SHOW server_version"), "15.0\n");
    assert!(said(&address, "SELECT version()").starts_with("PostgreSQL 15.0 "));
    // Several statements in one message are one transaction.
    said(
        &address,
        "CREATE TABLE t (id BIGINT PRIMARY KEY); INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)",
    );
    assert_eq!(said(&address, "SELECT count(*) FROM t"), "2\n");
    refused(&address, "INSERT INTO t VALUES (3); SELECT 1 / 0");
    assert_eq!(said(&address, "SELECT count(*) FROM t"), "2\n");
    let error = refused(&address, "SELECT id,\n  prise FROM t");
    assert!(error.contains("42703"), "{error}");
    assert!(error.contains("LINE 2:   prise FROM t"), "{error}");
    let error = refused(&address, "SELEKT 1");
    assert!(
        error.contains("42601") && error.contains("LINE 1: SELEKT 1"),
        "{error}"
    );
    let error = refused(&address, "BEGIN; CREATE STREAM s (a BIGINT)");
    assert!(error.contains("25001"), "{error}");
    let wrong = Command::new("psql")
        .arg(format!("postgresql://somebody@{address}/elsewhere"))
        .output()
        .expect("psql can be run");
    let error = String::from_utf8_lossy(&wrong.stderr);
    assert!(
        error.contains("database \"elsewhere\" does not exist"),
        "{error}"
    );
    server.stop();
}

#[test]
fn copies_go_through_files() {
    let server = server();
    let address = server.postgres();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("rows.csv");
    std::fs::write(&path, "id;name\n1;\"a;b\"\n2;\n").expect("a file can be written");
    said(
        &address,
        "CREATE TABLE t (id BIGINT PRIMARY KEY, name TEXT)",
    );
    let path = path.display();
    said(
        &address,
        &format!("\\copy t from '{path}' with (format csv, header, delimiter ';')"),
    );
    assert_eq!(
        said(&address, "COPY (SELECT * FROM t ORDER BY id) TO STDOUT"),
        "1\ta;b\n2\t\\N\n"
    );
    server.stop();
}

#[test]
fn live_rows_flow_until_it_is_stopped() {
    let server = server();
    let address = server.postgres();
    said(&address, "CREATE STREAM s (a BIGINT)");
    said(&address, "INSERT INTO s VALUES (1)");
    let mut live = psql(
        &address,
        &[
            "--no-align",
            "--tuples-only",
            "-v",
            "FETCH_COUNT=0",
            "-c",
            "SELECT a FROM s EMIT CHANGES LIMIT 2",
        ],
    )
    .stdout(Stdio::piped())
    .spawn()
    .expect("psql can be run");
    said(&address, "INSERT INTO s VALUES (2)");
    let output = live.stdout.take().expect("its output is read");
    let lines: Vec<String> = BufReader::new(output)
        .lines()
        .map_while(Result::ok)
        .collect();
    assert_eq!(lines, ["1", "2"]);
    assert!(live.wait().expect("psql ends").success());
    server.stop();
}
