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
fn its_own_commands_list_what_there_is() {
    let server = server();
    let address = server.postgres();
    for sql in [
        "CREATE SCHEMA sales",
        "CREATE TABLE users (id BIGINT PRIMARY KEY, name TEXT NOT NULL DEFAULT 'nobody', credit NUMERIC(12, 2), CONSTRAINT solvent CHECK (credit > 0))",
        "CREATE STREAM clicks (page TEXT, at TIMESTAMP)",
        "CREATE TABLE sales.orders (number BIGINT PRIMARY KEY)",
        "CREATE VIEW rich AS SELECT id FROM users WHERE credit > 100",
        "CREATE MATERIALIZED VIEW pages AS SELECT page, count(*) AS hits FROM clicks GROUP BY page",
        "COMMENT ON TABLE users IS 'who buys'",
        "COMMENT ON COLUMN users.credit IS 'in francs'",
    ] {
        said(&address, sql);
    }
    let shown = |command: &str| said(&address, command);
    assert_eq!(
        shown("\\d"),
        "public|clicks|table|weir\npublic|pages|materialized view|weir\npublic|rich|view|weir\npublic|users|table|weir\n"
    );
    assert_eq!(shown("\\dt sales.*"), "sales|orders|table|weir\n");
    assert_eq!(shown("\\dv"), "public|rich|view|weir\n");
    assert_eq!(shown("\\dm"), "public|pages|materialized view|weir\n");
    assert_eq!(shown("\\di"), "public|users_pkey|index|weir|users\n");
    assert_eq!(shown("\\dn"), "public|weir\nsales|weir\nweir|weir\n");
    assert!(shown("\\l").starts_with("weir|weir|UTF8|C|C|"));
    assert!(shown("\\du weir").starts_with("weir|Superuser"));
    assert_eq!(
        shown("\\df format_type"),
        "pg_catalog|format_type|text|oid, integer|func\n"
    );
    assert!(shown("\\dt+").contains("|who buys\n"));
    // With what stands below the columns.
    let shown_whole =
        |command: &str| python::output(psql(&address, &["--no-align", "-c", command]), "psql");
    let table = shown_whole("\\d users");
    for line in [
        "id|bigint||not null|\n",
        "name|text||not null|'nobody'\n",
        "credit|numeric(12,2)|||\n",
        "\"users_pkey\" PRIMARY KEY, btree (id)",
        "\"solvent\" CHECK ((credit > 0))",
    ] {
        assert!(table.contains(line), "{line}: {table}");
    }
    let table = shown_whole("\\d+ users");
    assert!(table.contains("|in francs\n"), "{table}");
    let view = shown_whole("\\d+ rich");
    assert!(
        view.contains("SELECT id FROM users WHERE credit > 100;"),
        "{view}"
    );
    assert!(shown("\\d+ pages").contains("hits|bigint|"));
    assert!(shown("\\d users_pkey").contains("id|bigint|yes|id\n"));
    refused(&address, "\\d nothing");
    // What there is nothing of is empty, and no failure.
    for command in [
        "\\dp",
        "\\dd",
        "\\dD",
        "\\ds",
        "\\dx",
        "\\dT",
        "\\do",
        "\\dC",
        "\\da",
        "\\dF",
        "\\dew",
        "\\des",
        "\\det",
        "\\db",
        "\\dL",
        "\\dO",
        "\\dRp",
        "\\dRs",
        "\\dX",
        "\\dy",
        "\\dA",
        "\\dAc",
        "\\dconfig",
        "\\drds",
        "\\dP",
        "\\dl",
        "\\ddp",
        "\\dc",
        "\\dg",
        "\\z",
        "\\l+",
        "\\dn+",
        "\\df+ now",
        "\\sv rich",
        "\\sf now",
    ] {
        shown(command);
    }
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
