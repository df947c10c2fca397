//! The views that list relations by kind: `pg_tables`, `pg_views`, `pg_matviews`, `pg_indexes`, `pg_rules`; and time zones.

use arrow::datatypes::IntervalMonthDayNano;
use chrono::{Offset, TimeZone};
use chrono_tz::{OffsetComponents, OffsetName, TZ_VARIANTS};
use datafusion::common::Result;

use super::super::System;
use super::super::definition;
use super::super::objects::{Relation, key_name};
use super::rows::{Fill, Rows};
use crate::postgres::values::Value;

pub(super) fn fill(name: &str) -> Option<Fill> {
    Some(match name {
        "pg_tables" => tables,
        "pg_views" => views,
        "pg_matviews" => materialized_views,
        "pg_indexes" => indexes,
        "pg_rules" => rules,
        "pg_timezone_names" => time_zones,
        _ => return None,
    })
}

fn of_kind(system: &System, kind: char) -> impl Iterator<Item = Relation<'_>> {
    let relations = system.relations();
    relations.filter(move |relation| relation.kind() == kind)
}

fn tables(system: &System, rows: &mut Rows) -> Result<()> {
    for relation in of_kind(system, 'r') {
        let entry = relation.entry();
        rows.push([
            ("schemaname", relation.schema().to_owned().into()),
            ("tablename", relation.name().to_owned().into()),
            ("tableowner", system.owner(relation).into()),
            (
                "hasindexes",
                entry
                    .is_some_and(|entry| !entry.primary_key().is_empty())
                    .into(),
            ),
            ("hasrules", false.into()),
            ("hastriggers", false.into()),
            ("rowsecurity", false.into()),
        ])?;
    }
    Ok(())
}

fn views(system: &System, rows: &mut Rows) -> Result<()> {
    for relation in of_kind(system, 'v') {
        rows.push([
            ("schemaname", relation.schema().to_owned().into()),
            ("viewname", relation.name().to_owned().into()),
            ("viewowner", system.owner(relation).into()),
            (
                "definition",
                relation.view_sql().map(definition::view).into(),
            ),
        ])?;
    }
    Ok(())
}

fn materialized_views(system: &System, rows: &mut Rows) -> Result<()> {
    for relation in of_kind(system, 'm') {
        rows.push([
            ("schemaname", relation.schema().to_owned().into()),
            ("matviewname", relation.name().to_owned().into()),
            ("matviewowner", system.owner(relation).into()),
            ("hasindexes", false.into()),
            ("ispopulated", true.into()),
            (
                "definition",
                relation.view_sql().map(definition::view).into(),
            ),
        ])?;
    }
    Ok(())
}

fn indexes(system: &System, rows: &mut Rows) -> Result<()> {
    for entry in super::constraint::keyed(system) {
        rows.push([
            ("schemaname", (&entry.name.schema).into()),
            ("tablename", (&entry.name.name).into()),
            ("indexname", key_name(entry).into()),
            ("indexdef", definition::key_index(entry).into()),
        ])?;
    }
    Ok(())
}

/// PostgreSQL leaves the rules out that are views, and there are no others.
fn rules(_: &System, _: &mut Rows) -> Result<()> {
    Ok(())
}

/// The zones that `SET timezone` takes, with what their clocks show now.
fn time_zones(system: &System, rows: &mut Rows) -> Result<()> {
    let now = chrono::DateTime::from_timestamp_millis(system.facts.session().now_ms);
    let now = now.unwrap_or_default().naive_utc();
    for zone in &TZ_VARIANTS {
        let offset = zone.offset_from_utc_datetime(&now);
        let nanos = i64::from(offset.fix().local_minus_utc()) * 1_000_000_000;
        rows.push([
            ("name", zone.name().into()),
            ("abbrev", offset.abbreviation().map(str::to_owned).into()),
            (
                "utc_offset",
                Value::Interval(IntervalMonthDayNano::new(0, 0, nanos)),
            ),
            ("is_dst", (!offset.dst_offset().is_zero()).into()),
        ])?;
    }
    Ok(())
}
