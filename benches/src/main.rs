//! `make bench`: what Weir promises of speed and memory, measured on this machine over the release binary on loopback.
//!
//! It is *not* a test: nothing fails, a table says what was measured beside what is promised. Ratios are taken within one
//! run. Each measure is a module of its name; [`wire`] is the client, which costs as little as a client can, since it
//! shares the cores with the server.

mod busy;
mod egress;
mod follow;
mod history;
mod ingest;
mod latency;
mod live;
mod log;
mod nexmark;
mod pgbench;
mod point;
mod processor;
mod report;
mod settings;
mod startup;
mod tpch;
mod views;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use weir_tests::{Server, ServerBuilder, binary};

use report::Report;

/// The same allocator as the binary's, for what runs in process.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measure Weir against its promises
#[derive(Debug, Parser)]
#[command(name = "weir-bench")]
struct Args {
    /// What to measure; all, unless given
    #[arg(value_enum)]
    measures: Vec<Measure>,

    /// Shorter runs and less data: to see whether it works, not how fast
    #[arg(long)]
    quick: bool,

    /// How many events Nexmark has [default: a million; 50,000 in a quick run]
    #[arg(long, value_name = "N")]
    events: Option<u64>,

    /// The binary to measure [default: target/release/weir]
    #[arg(long, value_name = "FILE", env = "WEIR_BIN")]
    weir: Option<PathBuf>,

    /// Where generated data is kept between runs [default: target/bench-data]
    #[arg(long, value_name = "DIR", env = "WEIR_BENCH_DATA")]
    data: Option<PathBuf>,

    /// Write the table as JSON too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Measure {
    /// Start to /readyz with 100 tables and 1 GB of log; idle memory
    Start,
    /// SELECT 1 over kept-alive connections
    Point,
    /// A row by its key through pgbench, up to 500 connections, against a real PostgreSQL
    Pgbench,
    /// Arrow egress of 10 million rows against the same plan in process
    Egress,
    /// TPC-H over REST, in process, and in DuckDB
    Tpch,
    /// TPC-H with one setting changed at a time; takes an hour, and only when asked for
    Settings,
    /// NDJSON ingest, durable
    Ingest,
    /// From a row's acknowledgement to its reader
    Live,
    /// SELECT 1 and /livez while all cores are busy
    Busy,
    /// A scan of 20 million JSON records: raw, as history in Parquet, as a plain Parquet table
    History,
    /// Materialized views: the past, and what comes
    Views,
    /// Nexmark's 24 queries as materialized views, against Apache Flink from PyPI
    Nexmark,
    /// Materialized views as rows come: from a row's acknowledgement to the changed row; idle views
    Follow,
    /// The log as a Kafka broker, against a real Apache Kafka from Maven Central
    Log,
}

/// What every measure needs to know.
#[derive(Debug)]
struct Bench {
    weir: PathBuf,
    data: PathBuf,
    quick: bool,
    events: Option<u64>,
}

impl Bench {
    /// A server to measure: its log goes to the table's reader only when it is alarming.
    fn server(&self) -> ServerBuilder {
        Server::builder().binary(&self.weir).expect_log("WARN")
    }

    /// `long`, or `short` in a quick run.
    fn choose<T>(&self, long: T, short: T) -> T {
        if self.quick { short } else { long }
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let target = std::env::current_exe()
        .ok()
        .and_then(|path| Some(path.parent()?.parent()?.to_owned()))
        .unwrap_or_else(|| binary::workspace().join("target"));
    let bench = Bench {
        weir: args
            .weir
            .unwrap_or_else(|| target.join("release").join("weir")),
        data: args.data.unwrap_or_else(|| target.join("bench-data")),
        quick: args.quick,
        events: args.events,
    };
    if !bench.weir.is_file() {
        eprintln!(
            "{} is not there: build it with cargo build --release, or name one by --weir",
            bench.weir.display()
        );
        return ExitCode::FAILURE;
    }
    if let Err(error) = std::fs::create_dir_all(&bench.data) {
        eprintln!("{}: {error}", bench.data.display());
        return ExitCode::FAILURE;
    }
    let measures = if args.measures.is_empty() {
        let all = Measure::value_variants().iter().copied();
        all.filter(|measure| *measure != Measure::Settings)
            .collect()
    } else {
        args.measures
    };
    let mut report = Report::new(args.quick);
    for measure in measures {
        eprintln!("measuring {measure:?} …");
        match measure {
            Measure::Start => startup::run(&bench, &mut report),
            Measure::Point => point::run(&bench, &mut report),
            Measure::Pgbench => pgbench::run(&bench, &mut report),
            Measure::Egress => egress::run(&bench, &mut report),
            Measure::Tpch => tpch::run(&bench, &mut report),
            Measure::Settings => settings::run(&bench, &mut report),
            Measure::Ingest => ingest::run(&bench, &mut report),
            Measure::Live => live::run(&bench, &mut report),
            Measure::Busy => busy::run(&bench, &mut report),
            Measure::Log => log::run(&bench, &mut report),
            Measure::History => history::run(&bench, &mut report),
            Measure::Views => views::run(&bench, &mut report),
            Measure::Nexmark => nexmark::run(&bench, &mut report),
            Measure::Follow => follow::run(&bench, &mut report),
        }
    }
    println!("{report}");
    if let Some(path) = args.json
        && let Err(error) = std::fs::write(&path, report.to_json())
    {
        eprintln!("{}: {error}", path.display());
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// A runtime of this process's own, with as many threads as there are cores.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime can be built")
}
