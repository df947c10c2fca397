//! Primary keys and checks, and the columns that they name. There are no foreign keys.

use datafusion::common::Result;
use weir_catalog::ident::mentions_column;

use super::super::objects::key_name;
use super::super::pg_catalog::{Fill, Rows};
use super::super::{DATABASE, System};
use super::yes_or_no;
use crate::postgres::values::Value;

pub(super) fn fill(name: &str) -> Option<Fill> {
    Some(match name {
        "table_constraints" => table_constraints,
        "key_column_usage" => key_column_usage,
        "constraint_column_usage" => constraint_column_usage,
        "constraint_table_usage" => constraint_table_usage,
        "check_constraints" => check_constraints,
        _ => return None,
    })
}

fn table_constraints(system: &System, rows: &mut Rows) -> Result<()> {
    for entry in system.catalog.relations() {
        let key = (!entry.primary_key().is_empty()).then(|| (key_name(entry), "PRIMARY KEY"));
        let checks = entry
            .checks()
            .iter()
            .map(|check| (check.name.clone(), "CHECK"));
        for (name, constraint_type) in key.into_iter().chain(checks) {
            let is_key = constraint_type == "PRIMARY KEY";
            rows.push([
                ("constraint_catalog", DATABASE.into()),
                ("constraint_schema", (&entry.name.schema).into()),
                ("constraint_name", name.into()),
                ("table_catalog", DATABASE.into()),
                ("table_schema", (&entry.name.schema).into()),
                ("table_name", (&entry.name.name).into()),
                ("constraint_type", constraint_type.into()),
                ("is_deferrable", yes_or_no(false)),
                ("initially_deferred", yes_or_no(false)),
                ("enforced", yes_or_no(true)),
                (
                    "nulls_distinct",
                    if is_key { yes_or_no(true) } else { Value::Null },
                ),
            ])?;
        }
    }
    Ok(())
}

fn key_column_usage(system: &System, rows: &mut Rows) -> Result<()> {
    for entry in system.catalog.relations() {
        for (column, number) in entry.primary_key().iter().zip(1_usize..) {
            rows.push([
                ("constraint_catalog", DATABASE.into()),
                ("constraint_schema", (&entry.name.schema).into()),
                ("constraint_name", key_name(entry).into()),
                ("table_catalog", DATABASE.into()),
                ("table_schema", (&entry.name.schema).into()),
                ("table_name", (&entry.name.name).into()),
                ("column_name", column.into()),
                ("ordinal_position", number.into()),
            ])?;
        }
    }
    Ok(())
}

fn constraint_column_usage(system: &System, rows: &mut Rows) -> Result<()> {
    for entry in system.catalog.relations() {
        let key = entry
            .primary_key()
            .iter()
            .map(|column| (column, key_name(entry)));
        let checks = entry.checks().iter().flat_map(|check| {
            let named = entry
                .columns()
                .iter()
                .filter(|column| mentions_column(&check.sql, &entry.name.name, &column.name));
            named.map(|column| (&column.name, check.name.clone()))
        });
        for (column, constraint) in key.chain(checks) {
            rows.push([
                ("table_catalog", DATABASE.into()),
                ("table_schema", (&entry.name.schema).into()),
                ("table_name", (&entry.name.name).into()),
                ("column_name", column.into()),
                ("constraint_catalog", DATABASE.into()),
                ("constraint_schema", (&entry.name.schema).into()),
                ("constraint_name", constraint.into()),
            ])?;
        }
    }
    Ok(())
}

fn constraint_table_usage(system: &System, rows: &mut Rows) -> Result<()> {
    for entry in super::super::pg_catalog::keyed(system) {
        rows.push([
            ("table_catalog", DATABASE.into()),
            ("table_schema", (&entry.name.schema).into()),
            ("table_name", (&entry.name.name).into()),
            ("constraint_catalog", DATABASE.into()),
            ("constraint_schema", (&entry.name.schema).into()),
            ("constraint_name", key_name(entry).into()),
        ])?;
    }
    Ok(())
}

fn check_constraints(system: &System, rows: &mut Rows) -> Result<()> {
    for entry in system.catalog.relations() {
        for check in entry.checks() {
            rows.push([
                ("constraint_catalog", DATABASE.into()),
                ("constraint_schema", (&entry.name.schema).into()),
                ("constraint_name", (&check.name).into()),
                ("check_clause", (&check.sql).into()),
            ])?;
        }
    }
    Ok(())
}
