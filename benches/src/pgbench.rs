//! pgbench over the PostgreSQL protocol: a row of a table by its key, as `pgbench -S` asks for it, and the same of a real PostgreSQL.
//!
//! Client and server share the cores. What a query costs the server is told beside how many there were, because on shared cores the
//! client takes its part.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use weir_tests::Server;
use weir_tests::reference::Reference;

use crate::Bench;
use crate::latency::Latencies;
use crate::processor::{ended_children_seconds, processor_seconds};
use crate::report::{Promise, Report};

/// Rows of the table.
const ROWS: u32 = 100_000;
/// Connections at once, and the queries that they ask in a second.
const CONNECTIONS: u32 = 500;
const RATE: u32 = 5_000;

/// What is asked, and how.
#[derive(Debug, Clone, Copy)]
struct Load {
    /// `simple` sends a text with its values each time; `prepared` sends values.
    protocol: &'static str,
    connections: u32,
    /// Queries a second; none asks as fast as it is answered.
    rate: Option<u32>,
}

/// What came of it.
struct Outcome {
    latencies: Latencies,
    /// Queries a second.
    rate: f64,
    /// What a query took of the server's processors, in microseconds.
    cost: f64,
}

/// A server, by how its programs are told to find it.
struct Peer<'a> {
    host: String,
    port: String,
    seconds: &'a dyn Fn() -> f64,
}

pub(crate) fn run(bench: &Bench, report: &mut Report) {
    let server = bench.server().postgres().start();
    let pid = server.pid();
    let (host, port) = server
        .postgres()
        .rsplit_once(':')
        .map(|(host, port)| (host.to_owned(), port.to_owned()))
        .expect("an address has a port");
    let weir = Peer {
        host,
        port,
        seconds: &|| processor_seconds(pid),
    };
    let reference = Reference::start_with("-c max_connections=600");
    let postmaster = reference.pid();
    let postgres = Peer {
        host: reference.socket(),
        port: "5432".to_owned(),
        // Each connection is a process.
        seconds: &|| ended_children_seconds(postmaster),
    };
    for peer in [&weir, &postgres] {
        fill(peer);
    }
    let span = Duration::from_secs(bench.choose(10, 2));
    for protocol in ["simple", "prepared"] {
        for (connections, rate) in [(1, None), (8, None), (CONNECTIONS, Some(RATE))] {
            let load = Load {
                protocol,
                connections,
                rate,
            };
            compare(&weir, &postgres, load, span, report);
        }
    }
    drop(reference);
    Server::stop(server);
}

fn compare(weir: &Peer<'_>, postgres: &Peer<'_>, load: Load, span: Duration, report: &mut Report) {
    let mut ours = ask(weir, load, span);
    let mut theirs = ask(postgres, load, span);
    let asked = load
        .rate
        .map_or(String::new(), |rate| format!(", {rate}/s asked"));
    let promise = match load.rate {
        Some(rate) => Promise::AtLeast(f64::from(rate) * 0.98),
        None => Promise::None,
    };
    report.add(
        format!(
            "a row by its key, {}, {} connections{asked}: rate",
            load.protocol, load.connections
        ),
        ours.rate,
        "/s",
        promise,
    );
    report.add("  PostgreSQL's", theirs.rate, "/s", Promise::None);
    for percentile in [50.0, 99.0] {
        let ours = ours.latencies.percentile_ms(percentile);
        report.add(format!("  p{percentile:.0}"), ours, "ms", Promise::None);
        let theirs = theirs.latencies.percentile_ms(percentile);
        report.add("  PostgreSQL's", theirs, "ms", Promise::None);
    }
    report.add(
        "  the server's processor time a query",
        ours.cost,
        "µs",
        Promise::None,
    );
    report.add("  PostgreSQL's", theirs.cost, "µs", Promise::None);
}

/// Makes the table of pgbench's accounts.
fn fill(peer: &Peer<'_>) {
    let statements = [
        "CREATE TABLE pgbench_accounts (aid INTEGER PRIMARY KEY, bid INTEGER, abalance INTEGER, filler TEXT)".to_owned(),
        format!("INSERT INTO pgbench_accounts SELECT i, 1, 0, repeat(' ', 84) FROM generate_series(1, {ROWS}) AS s(i)"),
    ];
    for statement in statements {
        let status = Command::new("psql")
            .args([
                "-q", "-h", &peer.host, "-p", &peer.port, "-U", "weir", "-c", &statement, "weir",
            ])
            .status();
        assert!(status.is_ok_and(|status| status.success()), "{statement}");
    }
}

/// Runs pgbench.
fn ask(peer: &Peer<'_>, load: Load, span: Duration) -> Outcome {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let script = folder.path().join("select.sql");
    let text = format!(
        "\\set aid random(1, {ROWS})\nSELECT abalance FROM pgbench_accounts WHERE aid = :aid;\n"
    );
    std::fs::write(&script, text).expect("a script can be written");
    let before = (peer.seconds)();
    let mut command = Command::new("pgbench");
    command
        .current_dir(folder.path())
        .args(["-h", &peer.host, "-p", &peer.port, "-U", "weir"])
        .args(["--no-vacuum", "--log", "--jobs", "2"])
        .args(["--protocol", load.protocol])
        .args(["--client", &load.connections.to_string()])
        .args(["--time", &span.as_secs().to_string()])
        .arg("--file")
        .arg(&script);
    if let Some(rate) = load.rate {
        command.args(["--rate", &rate.to_string()]);
    }
    let output = command.arg("weir").output().expect("pgbench can be run");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let cost = (peer.seconds)() - before;
    let latencies = logged(folder.path());
    let queries = latencies.len() as f64;
    Outcome {
        rate: tps(&String::from_utf8_lossy(&output.stdout)),
        cost: cost * 1e6 / queries.max(1.0),
        latencies,
    }
}

/// Transactions a second, once all have connected, as pgbench says them.
fn tps(said: &str) -> f64 {
    let line = said.lines().find_map(|line| line.strip_prefix("tps = "));
    let rate = line.and_then(|line| line.split(' ').next()?.parse().ok());
    rate.unwrap_or_else(|| panic!("pgbench tells no rate: {said}"))
}

/// The latencies of each query, from pgbench's logs: the third of a line's fields, in microseconds.
fn logged(folder: &Path) -> Latencies {
    let mut latencies = Latencies::default();
    let files = std::fs::read_dir(folder).expect("the folder can be listed");
    for file in files {
        let path = file.expect("the folder can be listed").path();
        if !path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("pgbench_log"))
        {
            continue;
        }
        let log = std::fs::read_to_string(&path).expect("a log can be read");
        for line in log.lines() {
            let time = line.split(' ').nth(2).and_then(|field| field.parse().ok());
            latencies.push(Duration::from_micros(time.expect("a line has a time")));
        }
    }
    latencies
}
