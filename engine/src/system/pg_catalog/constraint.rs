//! Primary keys and checks: `pg_index`, `pg_constraint`.

use datafusion::common::Result;
use weir_catalog::{Entry, ident};

use super::super::System;
use super::super::objects::{Relation, key_name};
use super::rows::{Fill, Rows};
use crate::postgres::values::Value;
use crate::postgres::{facts, oids};

pub(super) fn fill(name: &str) -> Option<Fill> {
    Some(match name {
        "pg_index" => indexes,
        "pg_constraint" => constraints,
        _ => return None,
    })
}

fn indexes(system: &System, rows: &mut Rows) -> Result<()> {
    for entry in keyed(system) {
        let relation = Relation::Own(entry);
        if !rows.wants_row("indrelid", relation.oid()) {
            continue;
        }
        let columns = relation.columns();
        let key = relation.key_columns();
        let types = key.iter().filter_map(|number| {
            let at = usize::try_from(number - 1).ok()?;
            Some(columns.get(at)?.type_ref.pg_type)
        });
        let types: Vec<_> = types.collect();
        rows.push([
            ("indexrelid", oids::key_index(entry.id).into()),
            ("indrelid", relation.oid().into()),
            ("indnatts", key.len().into()),
            ("indnkeyatts", key.len().into()),
            ("indisunique", true.into()),
            ("indisprimary", true.into()),
            ("indimmediate", true.into()),
            ("indisvalid", true.into()),
            ("indisready", true.into()),
            ("indislive", true.into()),
            ("indoption", Value::Ints(vec![0; key.len()])),
            (
                "indcollation",
                Value::Oids(types.iter().map(|pg_type| pg_type.collation).collect()),
            ),
            (
                "indclass",
                Value::Oids(
                    types
                        .iter()
                        .map(|pg_type| facts::operator_class_of(pg_type))
                        .collect(),
                ),
            ),
            ("indkey", Value::Ints(key)),
        ])?;
    }
    Ok(())
}

fn constraints(system: &System, rows: &mut Rows) -> Result<()> {
    for entry in system.catalog.relations() {
        let relation = Relation::Own(entry);
        if !rows.wants_row("conrelid", relation.oid()) {
            continue;
        }
        let key = relation.key_columns();
        if !key.is_empty() {
            rows.push([
                ("oid", oids::key_constraint(entry.id).into()),
                ("conname", key_name(entry).into()),
                ("contype", 'p'.into()),
                ("connoinherit", true.into()),
                ("conindid", oids::key_index(entry.id).into()),
                ("conkey", Value::Ints(key)),
                ("conbin", Value::Null),
                ("connamespace", system.schema_oid(&entry.name.schema).into()),
                ("convalidated", true.into()),
                ("conrelid", relation.oid().into()),
                ("confupdtype", ' '.into()),
                ("confdeltype", ' '.into()),
                ("confmatchtype", ' '.into()),
                ("conislocal", true.into()),
            ])?;
        }
        for check in entry.checks() {
            rows.push([
                ("oid", oids::check(entry.id, &check.name).into()),
                ("conname", (&check.name).into()),
                ("contype", 'c'.into()),
                ("connoinherit", false.into()),
                ("conindid", 0_u32.into()),
                ("conkey", mentioned(entry, &check.sql)),
                ("conbin", (&check.sql).into()),
                ("connamespace", system.schema_oid(&entry.name.schema).into()),
                ("convalidated", true.into()),
                ("conrelid", relation.oid().into()),
                ("confupdtype", ' '.into()),
                ("confdeltype", ' '.into()),
                ("confmatchtype", ' '.into()),
                ("conislocal", true.into()),
            ])?;
        }
    }
    Ok(())
}

/// The numbers of the columns that a check names.
fn mentioned(entry: &Entry, sql: &str) -> Value {
    let numbered = entry.columns().iter().zip(1..);
    let named = numbered
        .filter(|(column, _)| ident::mentions_column(sql, &entry.name.name, &column.name))
        .map(|(_, number)| number);
    Value::Ints(named.collect())
}

/// The relations that have a primary key.
pub(in crate::system) fn keyed(system: &System) -> impl Iterator<Item = &Entry> {
    let relations = system.catalog.relations();
    relations
        .map(|entry| -> &Entry { entry })
        .filter(|entry| !entry.primary_key().is_empty())
}
