//! The command line, as a person and a script use it.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use weir_tests::{Server, binary, files, process, python};

fn weir(server: &Server, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary::weir());
    command
        .args(arguments)
        .env("WEIR_URL", server.url())
        .env_remove("WEIR_FORMAT")
        .stdin(Stdio::null());
    command
}

fn run(server: &Server, arguments: &[&str]) -> Output {
    weir(server, arguments).output().expect("weir can be run")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn said(server: &Server, arguments: &[&str]) -> String {
    let output = run(server, arguments);
    assert!(
        output.status.success(),
        "{arguments:?}: {}\n{}",
        output.status,
        text(&output.stderr)
    );
    text(&output.stdout)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_prints_rows() {
    let server = Server::start();
    let sql = "SELECT * FROM (VALUES (1, 'a'), (2, NULL)) AS t(n, s) ORDER BY n";
    let print = |format: &str| said(&server, &["sql", "-c", sql, "--format", format]);
    assert_eq!(print("csv"), "n,s\n1,a\n2,\n");
    assert_eq!(print("tsv"), "n\ts\n1\ta\n2\t\\N\n");
    assert_eq!(
        print("ndjson"),
        "{\"n\":1,\"s\":\"a\"}\n{\"n\":2,\"s\":null}\n"
    );
    let rows: Value = serde_json::from_str(&print("json")).unwrap();
    assert!(rows.to_string().contains("\"n\":2"), "{rows}");
    let markdown = print("markdown");
    assert!(
        markdown.lines().nth(1).unwrap().starts_with("|--")
            || markdown.lines().nth(1).unwrap().starts_with("| --"),
        "{markdown}"
    );
    assert_eq!(
        print("table"),
        " n |  s\n---+------\n 1 | a\n 2 | NULL\n(2 rows)\n"
    );
    assert!(print("vertical").lines().count() >= 4);
    let arrow = run(&server, &["sql", "-c", sql, "--format", "arrow"]).stdout;
    let reader =
        arrow::ipc::reader::StreamReader::try_new(std::io::Cursor::new(arrow), None).unwrap();
    assert_eq!(
        reader.map(|batch| batch.unwrap().num_rows()).sum::<usize>(),
        2
    );
    let parquet = run(&server, &["sql", "-c", sql, "--format", "parquet"]).stdout;
    assert!(parquet.starts_with(b"PAR1") && parquet.ends_with(b"PAR1"));
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_come_from_arguments_files_and_standard_input() {
    let server = Server::start();
    let script = server.folder().join("script.sql");
    std::fs::write(&script, "CREATE TABLE t (a INT);\n-- a comment; with a semicolon\nINSERT INTO t VALUES (1), (2);\nSELECT 'a;b' AS x, sum(a) AS s FROM t;\n").unwrap();
    let out = said(
        &server,
        &["sql", "-f", script.to_str().unwrap(), "--format", "csv"],
    );
    assert!(out.ends_with("x,s\na;b,3\n"), "{out}");
    let mut child = weir(&server, &["sql", "--format", "csv"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"SELECT 1 AS a;\nSELECT 2 AS b")
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(text(&output.stdout), "a\n1\nb\n2\n");
    // One session: what is SET stays.
    let out = said(
        &server,
        &[
            "sql",
            "-c",
            "SET row_limit = 1",
            "-c",
            "SELECT value FROM generate_series(1, 3) AS g(value)",
            "--format",
            "ndjson",
        ],
    );
    assert!(out.ends_with("{\"value\":1}\n"), "{out}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_told_with_place_and_hint_and_by_the_exit_code() {
    let server = Server::start();
    server
        .client()
        .run(&["CREATE STREAM bids (price BIGINT)"])
        .await;
    let output = run(
        &server,
        &["sql", "-c", "SELECT prise FROM bids", "-c", "SELECT 1"],
    );
    assert_eq!(output.status.code(), Some(1));
    let errors = text(&output.stderr);
    for wanted in ["prise", "LINE 1", "did you mean", "price"] {
        assert!(errors.contains(wanted), "{wanted}: {errors}");
    }
    assert!(
        !text(&output.stdout).contains('1'),
        "it went on after the failure"
    );
    let output = run(
        &server,
        &[
            "sql",
            "--keep-going",
            "--format",
            "csv",
            "-c",
            "SELECT nope",
            "-c",
            "SELECT 1 AS one",
        ],
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("one\n1\n"));
    let output = run(&server, &["sql", "--formt", "csv"]);
    assert_eq!(output.status.code(), Some(2));
    let nobody = Command::new(binary::weir())
        .args(["sql", "--url", "http://127.0.0.1:9", "-c", "SELECT 1"])
        .output()
        .unwrap();
    assert!(
        !nobody.status.success() && nobody.status.code() != Some(1),
        "{:?}",
        nobody.status
    );
    assert!(
        text(&nobody.stderr).contains("127.0.0.1:9"),
        "{}",
        text(&nobody.stderr)
    );
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_cancels_on_the_server() {
    let server = Server::start();
    let client = server.client();
    let mut child = process::spawn(
        weir(&server, &["sql", "-c", crate::SLOW])
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    )
    .unwrap();
    weir_tests::eventually("the query runs", async || {
        weir_tests::wait::check(!client.running("AS slow").await.is_empty(), "not listed")
    })
    .await;
    process::signal(&child, libc::SIGINT);
    let status = process::wait(&mut child, Duration::from_secs(30), "weir sql after Ctrl-C");
    assert!(!status.success());
    weir_tests::wait::within(Duration::from_secs(5), "the query stops", async || {
        let running = client.running("AS slow").await;
        weir_tests::wait::check(running.is_empty(), format!("{running:?}"))
    })
    .await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn load_and_tail_move_rows() {
    let server = Server::start();
    let client = server.client();
    client
        .run(&["CREATE STREAM trips (id BIGINT, city TEXT, distance DOUBLE, day DATE, fast BOOLEAN, fare DECIMAL(10,2), at TIMESTAMP) WITH (partitions = 2)"])
        .await;
    let folder = tempfile::TempDir::new().unwrap();
    files::lay_out(folder.path());
    for (at, name) in ["trips.ndjson", "trips.csv", "trips.arrow", "trips.parquet"]
        .iter()
        .enumerate()
    {
        let path = folder.path().join(name);
        said(
            &server,
            &[
                "load",
                "trips",
                path.to_str().unwrap(),
                "--batch-rows",
                "30",
            ],
        );
        let rows = i64::try_from(at + 1).unwrap() * 100;
        assert_eq!(
            client.number("SELECT count(*) FROM trips").await,
            rows,
            "{name}"
        );
    }
    // A named load, again, stores nothing twice.
    let path = folder.path().join("trips.ndjson");
    for _ in 0..2 {
        said(
            &server,
            &["load", "trips", path.to_str().unwrap(), "--id", "once"],
        );
    }
    assert_eq!(client.number("SELECT count(*) FROM trips").await, 500);
    let tail = said(
        &server,
        &[
            "tail",
            "trips",
            "--from-start",
            "--limit",
            "500",
            "--format",
            "ndjson",
        ],
    );
    assert_eq!(tail.lines().count(), 500);
    let tail = said(&server, &["tail", "trips", "-n", "3", "--limit", "3"]);
    assert_eq!(tail.lines().count(), 3);
    let output = run(&server, &["load", "nothing", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn live_queries_print_rows_as_they_come() {
    let server = Server::start();
    let client = server.client();
    client.run(&["CREATE STREAM s (n BIGINT)"]).await;
    let mut child = process::spawn(
        weir(
            &server,
            &[
                "sql",
                "--format",
                "ndjson",
                "-c",
                "SELECT n FROM s EMIT CHANGES",
            ],
        )
        .stdout(Stdio::piped())
        .stderr(Stdio::null()),
    )
    .unwrap();
    let lines = weir_tests::logs::Lines::collect(child.stdout.take().unwrap());
    for n in 0..3 {
        client
            .ingest("s", crate::live::numbers(n, n + 1))
            .await
            .unwrap();
        weir_tests::eventually("the row is printed", async || {
            let printed = lines.now();
            weir_tests::wait::check(
                printed.last() == Some(&format!("{{\"n\":{n}}}")),
                format!("{printed:?}"),
            )
        })
        .await;
    }
    process::signal(&child, libc::SIGINT);
    process::wait(&mut child, Duration::from_secs(30), "weir sql after Ctrl-C");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_prompt_works_on_a_terminal() {
    let server = Server::start();
    server
        .client()
        .run(&["CREATE STREAM bids (auction BIGINT, price BIGINT)"])
        .await;
    let home = server.folder().join("home");
    std::fs::create_dir_all(&home).unwrap();
    let weir = binary::weir();
    let printed = python::run(
        "prompt.py",
        &[weir.to_str().unwrap(), server.url(), home.to_str().unwrap()],
    );
    assert!(printed.ends_with("ok\n"), "{printed}");
    server.stop();
}

#[test]
fn config_prints_every_setting_and_what_was_set() {
    let folder = tempfile::TempDir::new().unwrap();
    let print = |file: Option<&std::path::Path>| {
        let mut command = Command::new(binary::weir());
        command
            .arg("config")
            .env_clear()
            .env("WEIR_LIMITS_RESULT_ROWS", "77")
            .current_dir(folder.path());
        if let Some(file) = file {
            command.arg("--config").arg(file);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let printed = print(None);
    for wanted in ["[limits]", "memory", "result_rows = 77", "# "] {
        assert!(printed.contains(wanted), "{wanted}: {printed}");
    }
    // What it prints can be read again, and says the same: only where it was set is told otherwise.
    let file = folder.path().join("printed.toml");
    std::fs::write(&file, &printed).unwrap();
    let again = print(Some(&file));
    assert!(again.contains("# Set by "), "{again}");
    let settings = |printed: &str| -> Vec<String> {
        let lines = printed
            .lines()
            .filter(|line| !line.starts_with("# Set by "));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(settings(&again), settings(&printed));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_has_live_streams_and_files_and_says_what_to_try() {
    let server = Server::builder()
        .arg("--demo")
        .arg("--demo-rate")
        .arg("2000")
        .start();
    let client = server.client();
    for stream in ["bids", "auctions", "people"] {
        weir_tests::eventually(&format!("{stream} has rows"), async || {
            let count = match client.sql(&format!("SELECT count(*) FROM {stream}")).await {
                Ok(rows) => rows.rows[0][0].as_i64().unwrap_or(0),
                Err(problem) => return Err(problem.to_string()),
            };
            weir_tests::wait::check(count > 0, "none".to_owned())
        })
        .await;
    }
    let rows = client
        .rows("SELECT auction, count(*) FROM bids GROUP BY 1 ORDER BY 2 DESC LIMIT 5")
        .await;
    assert!(rows.row_count > 0);
    weir_tests::eventually("the welcome names the URL", async || {
        let printed = server.output().join("\n");
        let enough = printed.contains("curl") && printed.contains(server.address());
        weir_tests::wait::check(enough, printed)
    })
    .await;
    assert!(
        server.output().len() <= 40,
        "more than a screenful:\n{}",
        server.output().join("\n")
    );
    server.stop();
}
