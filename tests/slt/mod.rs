//! Runs every `.slt` file of this folder through REST, the PostgreSQL protocol and Flight SQL, each on a server of its own.
//!
//! `WEIR_SLT=piece` runs the files whose path holds the piece; `WEIR_SLT_UPDATE=1` writes what the server answers into
//! the files, to be read before it is committed.

mod connection;
mod flight;
mod json;
mod kind;
mod postgres;
mod rest;

use std::path::{Path, PathBuf};

use futures::StreamExt;
use sqllogictest::{MakeConnection, Record, Runner, parse_file};
use weir_tests::{Server, binary, files, logs};

use connection::{Connection, Door};
pub(crate) use kind::Kind;

/// Two servers at a time: as many as the smallest machine has cores.
const FILES_AT_ONCE: usize = 2;

#[tokio::test(flavor = "multi_thread")]
async fn every_file_holds() {
    let folder = binary::workspace().join("tests/slt");
    let wanted = std::env::var("WEIR_SLT").unwrap_or_default();
    let mut paths = Vec::new();
    find(&folder, &mut paths);
    paths.retain(|path| path.to_string_lossy().contains(&wanted));
    paths.sort();
    assert!(!paths.is_empty(), "no .slt file matches {wanted:?}");
    let count = paths.len();
    let is_update = std::env::var_os("WEIR_SLT_UPDATE").is_some();
    // Answers are written as the first door gives them.
    let doors = if is_update {
        &Door::ALL[..1]
    } else {
        &Door::ALL[..]
    };
    let runs = paths
        .iter()
        .flat_map(|path| doors.iter().map(|door| (path.clone(), *door)))
        .collect::<Vec<_>>();
    let failures: Vec<String> = futures::stream::iter(runs)
        // Tasks of their own, because the start of a server waits on its thread.
        .map(|(path, door)| tokio::spawn(async move { run(&path, door).await }))
        .buffered(FILES_AT_ONCE)
        .map(|failures| failures.expect("a file is run to its end"))
        .flat_map(futures::stream::iter)
        .collect()
        .await;
    assert!(
        failures.is_empty(),
        "{} records of {count} files do not hold:\n\n{}",
        failures.len(),
        failures.join("\n\n")
    );
}

fn find(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the folder of .slt files is there") {
        let path = entry.expect("a folder can be listed").path();
        if path.is_dir() {
            find(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "slt") {
            into.push(path);
        }
    }
}

/// Runs one file and gives what does not hold: every record, not only the first that fails.
async fn run(path: &Path, door: Door) -> Vec<String> {
    let data = tempfile::Builder::new()
        .prefix("weir-slt-")
        .tempdir()
        .expect("a temporary folder can be made");
    files::lay_out(data.path());
    let builder = Server::builder();
    let builder = match door {
        Door::Rest => builder,
        Door::Postgres => builder.postgres(),
        Door::Flight => builder.flight(),
    };
    let server = builder
        .allow_path(data.path())
        .env("TZ", "UTC")
        // Alarming lines are told with the records of the file, below.
        .expect_log("")
        .start();
    let runner = Runner::new(|| async { Ok(Connection::open(door, &server).await) });
    let mut failures = records(path, door.label(), runner, data.path()).await;
    let alarming = logs::unexpected(&server.log(), &[]);
    failures.extend(
        alarming
            .iter()
            .map(|line| format!("{}: the server logged {line}", path.display())),
    );
    server.stop();
    failures
}

/// Runs the records of a file over one door.
async fn records<M>(
    path: &Path,
    door: &str,
    mut runner: Runner<Connection, M>,
    data: &Path,
) -> Vec<String>
where
    M: MakeConnection<Conn = Connection>,
{
    runner.add_label(door);
    runner.with_column_validator(types_hold);
    runner.set_var(
        "DATA".to_owned(),
        data.to_str().expect("a plain path").to_owned(),
    );
    if std::env::var_os("WEIR_SLT_UPDATE").is_some() {
        let updated = runner
            .update_test_file(
                path,
                " ",
                sqllogictest::default_validator,
                sqllogictest::default_normalizer,
                types_hold,
            )
            .await;
        return updated
            .err()
            .map(|error| error.to_string())
            .into_iter()
            .collect();
    }
    let records: Vec<Record<Kind>> = match parse_file(path) {
        Ok(records) => records,
        Err(error) => return vec![error.to_string()],
    };
    let mut failures = Vec::new();
    for record in records {
        if matches!(record, Record::Halt { .. }) {
            break;
        }
        if let Err(error) = runner.run_async(record).await {
            failures.push(format!("over {door}: {error}"));
        }
    }
    failures
}

/// `?` in a file stands for any type, and so does a type that a door cannot tell from another.
#[allow(clippy::ptr_arg)]
fn types_hold(actual: &Vec<Kind>, expected: &Vec<Kind>) -> bool {
    actual.len() == expected.len()
        && actual.iter().zip(expected).all(|(actual, expected)| {
            *expected == Kind::Any || *actual == Kind::Any || actual == expected
        })
}
