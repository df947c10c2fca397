//! `weir.sinks`, and what of it `SHOW SINKS` shows.

use weir_catalog::{Body, Sink};

use super::System;
use super::rows::{Definition, Type, Value};
use super::tables::options_text;
use Type::{Text, Time};

pub(super) const SINKS: Definition = Definition {
    name: "sinks",
    columns: &[
        ("schema", Text),
        ("name", Text),
        ("definition", Text),
        ("connector", Text),
        ("target", Text),
        ("options", Text),
        ("state", Text),
        ("comment", Text),
        ("created_at", Time),
    ],
    fill: |system, rows| {
        for entry in system.catalog.sinks() {
            let Body::Sink(sink) = &entry.body else {
                continue;
            };
            let status = system.facts.job(entry.id);
            rows.push([
                ("schema", (&entry.name.schema).into()),
                ("name", (&entry.name.name).into()),
                ("definition", (&sink.query.sql).into()),
                ("connector", sink_connector(sink).into()),
                ("target", sink_target(system, sink).into()),
                ("options", options_text(&sink.options)),
                ("state", status.map(|status| status.state.as_str()).into()),
                ("comment", entry.comment.as_ref().into()),
                ("created_at", Value::Time(entry.created_at_ms)),
            ])?;
        }
        Ok(())
    },
};

/// What kind of place a sink writes to.
pub(super) fn sink_connector(sink: &Sink) -> String {
    let connector = sink.options.get("connector").cloned();
    connector.unwrap_or_else(|| "topic".to_owned())
}

/// Where a sink writes to.
pub(super) fn sink_target(system: &System, sink: &Sink) -> Option<String> {
    match sink.target {
        Some(id) => system.catalog.by_id(id).map(|entry| entry.name.to_string()),
        None => sink.options.get("location").cloned(),
    }
}
