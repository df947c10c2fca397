//! TPC-H in process with one setting changed at a time: what the engine's choices in `engine/src/variables.rs` rest on.
//!
//! Each candidate runs between two runs of the base, query by query, so that a noisy machine disturbs both alike.

use std::path::Path;

use datafusion::prelude::SessionConfig;

use crate::report::{Promise, Report};
use crate::tpch::{self, Times};
use crate::{Bench, runtime};

/// DataFusion's options, and the value that is tried.
const CANDIDATES: &[(&str, &str)] = &[
    ("datafusion.execution.batch_size", "8192"),
    ("datafusion.execution.batch_size", "32768"),
    ("datafusion.execution.parquet.pushdown_filters", "true"),
    ("datafusion.execution.parquet.bloom_filter_on_read", "false"),
    ("datafusion.execution.parquet.enable_page_index", "false"),
    (
        "datafusion.execution.parquet.schema_force_view_types",
        "true",
    ),
    ("datafusion.execution.collect_statistics", "false"),
    (
        "datafusion.execution.skip_partial_aggregation_probe_ratio_threshold",
        "0.5",
    ),
    (
        "datafusion.optimizer.hash_join_single_partition_threshold",
        "16777216",
    ),
    (
        "datafusion.optimizer.hash_join_single_partition_threshold_rows",
        "2000000",
    ),
    (
        "datafusion.optimizer.enable_join_dynamic_filter_pushdown",
        "false",
    ),
    (
        "datafusion.optimizer.enable_round_robin_repartition",
        "false",
    ),
    ("datafusion.optimizer.repartition_aggregations", "false"),
    ("datafusion.optimizer.repartition_file_scans", "false"),
];

pub(crate) fn run(bench: &Bench, report: &mut Report) {
    let scale = bench.choose("1", "0.05");
    let data = match tpch::data(&bench.data, scale) {
        Ok(data) => data,
        Err(why) => return report.not_measured("TPC-H settings", why),
    };
    let queries = tpch::queries();
    let runs = bench.choose(3, 1);
    let total = |times: Times| times.values().sum::<f64>();
    let measure = |config: SessionConfig| {
        total(runtime().block_on(tpch::in_process(&data as &Path, &queries, runs, config)))
    };
    for (name, value) in CANDIDATES {
        let mut changed = tpch::config();
        if let Err(error) = changed.options_mut().set(name, value) {
            report.not_measured(format!("{name} = {value}"), error.to_string());
            continue;
        }
        let before = measure(tpch::config());
        let with = measure(changed);
        let after = measure(tpch::config());
        report.add(
            format!("{name} = {value}, to the base"),
            with / before.min(after),
            "×",
            Promise::None,
        );
    }
}
