//! `weir.operators`: what the operators of the continuous queries do, and how long each takes.

use datafusion::common::Result;
use weir_catalog::ObjectKind;

use super::System;
use super::rows::{Definition, Rows, Type, Value};
use Type::{BigInt, Int, Text};

pub(super) const OPERATORS: Definition = Definition {
    name: "operators",
    columns: &[
        ("schema", Text),
        ("name", Text),
        ("number", Int),
        ("into_number", Int),
        ("operator", Text),
        ("detail", Text),
        ("follows", Text),
        ("steps", BigInt),
        ("rows", BigInt),
        ("total_us", BigInt),
        ("step_us", BigInt),
        ("state_rows", BigInt),
        ("state_bytes", BigInt),
    ],
    fill: operators,
};

/// The operators of the views and sinks that the reader owns: what they say of themselves is the query, with what its reader may not see.
fn operators(system: &System, rows: &mut Rows) -> Result<()> {
    let views = system.catalog.of_kind(ObjectKind::MaterializedView);
    let jobs = views.chain(system.catalog.sinks());
    for entry in jobs.filter(|entry| system.rights.owns(entry)) {
        let Some(status) = system.facts.job(entry.id) else {
            continue;
        };
        for (number, operator) in status.job.operators.iter().enumerate() {
            let (description, spent) = (&operator.description, operator.spent);
            rows.push([
                ("schema", (&entry.name.schema).into()),
                ("name", (&entry.name.name).into()),
                ("number", place(number)),
                ("into_number", operator.into.map_or(Value::Null, place)),
                ("operator", description.name.to_owned().into()),
                ("detail", description.detail.clone().into()),
                ("follows", description.follows.as_str().into()),
                ("steps", count(spent.steps)),
                ("rows", count(spent.rows)),
                ("total_us", count(spent.total_ns / 1_000)),
                ("step_us", count(spent.step_ns / 1_000)),
                ("state_rows", count(operator.state.rows)),
                ("state_bytes", count(operator.state.bytes as u64)),
            ])?;
        }
    }
    Ok(())
}

fn count(number: u64) -> Value {
    Value::BigInt(i64::try_from(number).unwrap_or(i64::MAX))
}

fn place(number: usize) -> Value {
    Value::Int(i32::try_from(number).unwrap_or(i32::MAX))
}
