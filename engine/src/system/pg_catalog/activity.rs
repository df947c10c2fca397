//! What runs and what has been done: `pg_stat_activity`, `pg_locks`, and the statistics of tables and of the database.

use datafusion::common::Result;
use weir_base::QueryId;

use super::super::System;
use super::super::objects::Relation;
use super::rows::{Fill, Rows};
use crate::postgres::oids;
use crate::postgres::values::Value;
use crate::queries::QueryState;

pub(super) fn fill(name: &str) -> Option<Fill> {
    Some(match name {
        "pg_stat_activity" => activity,
        "pg_stat_database" => database,
        "pg_stat_all_tables" | "pg_stat_user_tables" => tables,
        "pg_stat_xact_all_tables"
        | "pg_stat_xact_user_tables"
        | "pg_statio_all_tables"
        | "pg_statio_user_tables" => uncounted,
        "pg_stat_all_indexes" | "pg_stat_user_indexes" => key_indexes,
        _ => return None,
    })
}

/// The number by which a query is known where PostgreSQL has that of a process.
pub(in crate::system) fn process_number(query: QueryId) -> i32 {
    let bytes = query.0.as_bytes();
    // The last bytes are random, the first are a time.
    let tail = [bytes[12], bytes[13], bytes[14], bytes[15]];
    i32::from_be_bytes(tail) & i32::MAX
}

/// One row for each query: those that run, and of each session the last.
fn activity(system: &System, rows: &mut Rows) -> Result<()> {
    for query in system.facts.queries() {
        let is_running = matches!(query.state, QueryState::Running | QueryState::Queued);
        if !is_running {
            continue;
        }
        let started = Value::Time(query.started_at_ms.saturating_mul(1000));
        rows.push([
            ("datid", oids::DATABASE.into()),
            ("datname", system.database().into()),
            ("pid", process_number(query.id).into()),
            ("usesysid", oids::role(&query.user).into()),
            ("usename", (&query.user).into()),
            ("application_name", "".into()),
            ("backend_start", started.clone()),
            ("xact_start", started.clone()),
            ("query_start", started.clone()),
            ("state_change", started),
            ("state", "active".into()),
            ("query", query.sql.into()),
            ("backend_type", "client backend".into()),
        ])?;
    }
    Ok(())
}

fn database(system: &System, rows: &mut Rows) -> Result<()> {
    let running = system.facts.queries().into_iter();
    let running = running.filter(|query| query.state == QueryState::Running);
    rows.push([
        ("datid", oids::DATABASE.into()),
        ("datname", system.database().into()),
        ("numbackends", running.count().into()),
    ])
}

/// Streams and tables: how many records each has.
fn tables(system: &System, rows: &mut Rows) -> Result<()> {
    let counts = system.row_counts();
    for relation in stored(system) {
        let entry = relation.entry();
        let count = entry.and_then(|entry| counts.get(&entry.id).copied());
        rows.push([
            ("relid", relation.oid().into()),
            ("schemaname", relation.schema().to_owned().into()),
            ("relname", relation.name().to_owned().into()),
            ("n_live_tup", count.into()),
        ])?;
    }
    Ok(())
}

/// What has been done with each in the transaction that asks, and of its blocks: nobody counts it, and null says so.
fn uncounted(system: &System, rows: &mut Rows) -> Result<()> {
    for relation in stored(system) {
        rows.push([
            ("relid", relation.oid().into()),
            ("schemaname", relation.schema().to_owned().into()),
            ("relname", relation.name().to_owned().into()),
        ])?;
    }
    Ok(())
}

fn key_indexes(system: &System, rows: &mut Rows) -> Result<()> {
    for entry in super::constraint::keyed(system) {
        rows.push([
            ("relid", oids::relation(entry.id).into()),
            ("indexrelid", oids::key_index(entry.id).into()),
            ("schemaname", (&entry.name.schema).into()),
            ("relname", (&entry.name.name).into()),
            (
                "indexrelname",
                super::super::objects::key_name(entry).into(),
            ),
        ])?;
    }
    Ok(())
}

fn stored(system: &System) -> impl Iterator<Item = Relation<'_>> {
    let own = system.catalog.relations().map(|entry| Relation::Own(entry));
    own.filter(|relation| matches!(relation.kind(), 'r' | 'm'))
}
