//! TPC-H over Parquet: through REST, by DataFusion in this process with the same settings, and by DuckDB.
//!
//! The queries are those of the TPC-H specification with its validation parameters; the data is what `tpchgen-cli`
//! writes. The results are no TPC benchmark results.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use futures::StreamExt;
use weir_tests::{binary, python};

use crate::report::{Promise, Report};
use crate::wire::Wire;
use crate::{Bench, runtime};

const TABLES: [&str; 8] = [
    "customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier",
];

/// The best time of each query in seconds, by its name.
pub(crate) type Times = BTreeMap<String, f64>;

pub(crate) fn run(bench: &Bench, report: &mut Report) {
    let scale = bench.choose("1", "0.05");
    let label = format!("TPC-H, 22 queries, SF{scale}");
    let data = match data(&bench.data, scale) {
        Ok(data) => data,
        Err(why) => return report.not_measured(label, why),
    };
    let queries = queries();
    let runs = bench.choose(3, 1);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);

    let in_process = runtime().block_on(in_process(&data, &queries, runs, config()));
    let rest = over_rest(bench, &data, &queries, runs);
    let duckdb = duckdb(&data, &folder(), runs, threads);

    let total = |times: &Times| times.values().sum::<f64>();
    report.add(
        format!("{label}: DataFusion in process, best of {runs}"),
        total(&in_process),
        "s",
        Promise::None,
    );
    report.add("  through REST", total(&rest), "s", Promise::None);
    report.add(
        "  REST to in process",
        total(&rest) / total(&in_process),
        "×",
        Promise::Below(1.05),
    );
    match &duckdb {
        Ok(duckdb) => {
            report.add("  DuckDB", total(duckdb), "s", Promise::None);
            report.add(
                "  REST to DuckDB",
                total(&rest) / total(duckdb),
                "×",
                Promise::None,
            );
        }
        Err(why) => report.not_measured("  DuckDB", why),
    }
    for (name, time) in &rest {
        let mut line = format!("  {name}: in process {:.3} s", in_process[name]);
        if let Ok(duckdb) = &duckdb {
            line.push_str(&format!(
                ", DuckDB {:.3} s ({:.1} ×)",
                duckdb[name],
                time / duckdb[name]
            ));
        }
        report.add(line, *time, "s", Promise::None);
    }
}

fn folder() -> PathBuf {
    binary::workspace().join("benches/tpch")
}

/// The 22 queries with their names.
pub(crate) fn queries() -> Vec<(String, String)> {
    let mut queries: Vec<(String, String)> = std::fs::read_dir(folder())
        .expect("the queries are there")
        .map(|entry| entry.expect("a folder can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .map(|path| {
            let name = path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            (
                name,
                std::fs::read_to_string(&path).expect("a query is text"),
            )
        })
        .collect();
    queries.sort();
    assert_eq!(queries.len(), 22, "{}", folder().display());
    queries
}

/// The tables as Parquet files, made once by `tpchgen-cli` of the tests' Python environment.
pub(crate) fn data(folder: &Path, scale: &str) -> Result<PathBuf, String> {
    let data = folder.join(format!("tpch-sf{scale}"));
    if TABLES
        .iter()
        .all(|table| data.join(format!("{table}.parquet")).is_file())
    {
        return Ok(data);
    }
    let program = python::environment().join("bin/tpchgen-cli");
    if !program.is_file() {
        return Err("tpchgen-cli is not there; run tests/setup.sh".to_owned());
    }
    let status = Command::new(program)
        .args(["parquet", "--scale-factor", scale, "--output-dir"])
        .arg(&data)
        .status()
        .map_err(|error| error.to_string())?;
    if status.success() {
        Ok(data)
    } else {
        Err(format!("tpchgen-cli: {status}"))
    }
}

/// The settings that the server gives a session which sets nothing.
pub(crate) fn config() -> SessionConfig {
    weir_engine::session_config(&weir_engine::Limits::default())
        .with_create_default_catalog_and_schema(true)
}

/// DataFusion as a library.
pub(crate) async fn in_process(
    data: &Path,
    queries: &[(String, String)],
    runs: usize,
    config: SessionConfig,
) -> Times {
    let context = SessionContext::new_with_config(config);
    for table in TABLES {
        let path = data.join(format!("{table}.parquet"));
        context
            .register_parquet(table, path.to_string_lossy(), ParquetReadOptions::default())
            .await
            .expect("a table can be registered");
    }
    let mut times = Times::new();
    for (name, sql) in queries {
        let mut best = f64::INFINITY;
        for _ in 0..runs {
            let started = Instant::now();
            let frame = context.sql(sql).await.expect("the query is planned");
            let mut stream = frame.execute_stream().await.expect("the query starts");
            while let Some(batch) = stream.next().await {
                batch.expect("the query runs");
            }
            best = best.min(started.elapsed().as_secs_f64());
        }
        times.insert(name.clone(), best);
    }
    times
}

fn over_rest(bench: &Bench, data: &Path, queries: &[(String, String)], runs: usize) -> Times {
    let server = bench.server().allow_path(data).start();
    runtime().block_on(async {
        for table in TABLES {
            let sql = format!(
                "CREATE EXTERNAL TABLE {table} STORED AS PARQUET LOCATION '{}/{table}.parquet'",
                data.display()
            );
            server.client().run(&[&sql]).await;
        }
    });
    let mut wire = Wire::connect(server.address()).expect("the server takes connections");
    let headers = [
        ("accept", "application/vnd.apache.arrow.stream"),
        ("content-type", "text/plain"),
    ];
    let mut times = Times::new();
    for (name, sql) in queries {
        let request = wire.request("POST", "/v1/sql", &headers, sql.as_bytes());
        let mut best = f64::INFINITY;
        for _ in 0..runs {
            let started = Instant::now();
            wire.ask_length(&request)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            best = best.min(started.elapsed().as_secs_f64());
        }
        times.insert(name.clone(), best);
    }
    server.stop();
    times
}

fn duckdb(data: &Path, folder: &Path, runs: usize, threads: usize) -> Result<Times, String> {
    let program = python::environment().join("bin/python");
    if !program.is_file() {
        return Err("the Python environment is not there; run tests/setup.sh".to_owned());
    }
    let output = Command::new(program)
        .arg(binary::workspace().join("benches/python/tpch_duckdb.py"))
        .arg(data)
        .arg(folder)
        .args([runs.to_string(), threads.to_string()])
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    Ok(String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
        })
        .collect())
}
