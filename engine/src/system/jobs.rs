//! `weir.jobs` and `SHOW JOBS`: how the continuous queries do.

use datafusion::common::Result;
use weir_catalog::ObjectKind;

use super::System;
use super::rows::{Definition, Rows, Type, Value};
use crate::rate;
use Type::{BigInt, Text, Time};

pub(super) const JOB_COLUMNS: &[(&str, Type)] = &[
    ("schema", Text),
    ("name", Text),
    ("type", Text),
    ("state", Text),
    ("rows_behind", BigInt),
    ("behind_since", Time),
    ("rows_read", BigInt),
    ("rows_written", BigInt),
    ("rows_skipped", BigInt),
    ("step_us", BigInt),
    ("state_rows", BigInt),
    ("state_bytes", BigInt),
    ("disk_bytes", BigInt),
    ("checkpoint_at", Time),
    ("checkpoint_error", Text),
    ("copied_at", Time),
    ("copy_error", Text),
    ("watermark", Time),
    ("late_rows", BigInt),
    ("rate", BigInt),
    ("error", Text),
];

pub(super) const JOBS: Definition = Definition {
    name: "jobs",
    columns: JOB_COLUMNS,
    fill: jobs,
};

/// The continuous queries: one for each materialized view, and one for each sink.
pub(super) fn jobs(system: &System, rows: &mut Rows) -> Result<()> {
    let views = system.catalog.of_kind(ObjectKind::MaterializedView);
    for entry in views.chain(system.catalog.sinks()) {
        let Some(status) = system.facts.job(entry.id) else {
            continue;
        };
        let job = status.job;
        let copies = job.copies.state();
        rows.push([
            ("schema", (&entry.name.schema).into()),
            ("name", (&entry.name.name).into()),
            ("type", entry.kind().to_string().into()),
            ("state", status.state.as_str().into()),
            ("rows_behind", count(job.rows_behind)),
            ("behind_since", time(job.behind_since_ms)),
            ("rows_read", count(job.rows_read)),
            ("rows_written", count(job.rows_written)),
            ("rows_skipped", count(job.rows_skipped)),
            ("step_us", count(job.step_us)),
            ("state_rows", count(job.state.rows)),
            ("state_bytes", count(job.state.bytes as u64)),
            ("disk_bytes", count(job.disk_bytes)),
            ("checkpoint_at", time(job.checkpoint_ms)),
            ("checkpoint_error", job.checkpoint_error.into()),
            ("copied_at", time(copies.copied_ms)),
            ("copy_error", copies.error.into()),
            ("watermark", time(job.watermark_ms)),
            ("late_rows", job.late_rows.map_or(Value::Null, count)),
            ("rate", rate::of(&entry.body).map_or(Value::Null, count)),
            (
                "error",
                status
                    .state
                    .error()
                    // It may show a row of what the query reads.
                    .filter(|_| system.rights.owns(entry))
                    .map(str::to_owned)
                    .into(),
            ),
        ])?;
    }
    Ok(())
}

fn count(number: u64) -> Value {
    Value::BigInt(i64::try_from(number).unwrap_or(i64::MAX))
}

fn time(ms: Option<i64>) -> Value {
    ms.map_or(Value::Null, Value::Time)
}
