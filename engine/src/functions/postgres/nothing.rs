//! Functions about what Weir does not have, whose answer is therefore always the same: advisory locks with one server that never
//! holds any for a transaction, publications, statistics of scans. Clients call them when they connect or let go of a connection.

use datafusion::common::Result;

use super::{Function, on, stable, volatile};
use crate::postgres::values::Value;
use crate::system::System;

pub(super) const FUNCTIONS: &[Function] = &[
    // No statement waits for such a lock, and all are let go of at once.
    volatile("pg_advisory_unlock_all", &[on(&[], "void", done)]),
    volatile(
        "pg_advisory_unlock",
        &[
            on(&["int8"], "bool", not_held),
            on(&["int4", "int4"], "bool", not_held),
        ],
    ),
    volatile(
        "pg_advisory_unlock_shared",
        &[
            on(&["int8"], "bool", not_held),
            on(&["int4", "int4"], "bool", not_held),
        ],
    ),
    stable(
        "pg_relation_is_publishable",
        &[on(&["oid"], "bool", |_, _| Ok(false.into()))],
    ),
    stable(
        "pg_relation_is_updatable",
        &[on(&["oid", "bool"], "int4", updatable)],
    ),
    stable(
        "pg_column_is_updatable",
        &[on(&["oid", "int2", "bool"], "bool", |system, args| {
            let oid = super::oid_arg(args, 0);
            Ok((events(system, oid) & 4 != 0).into())
        })],
    ),
    stable("pg_stat_get_numscans", &[on(&["oid"], "int8", zero)]),
    stable("pg_stat_get_live_tuples", &[on(&["oid"], "int8", zero)]),
    stable("pg_stat_get_dead_tuples", &[on(&["oid"], "int8", zero)]),
    stable("pg_stat_get_tuples_inserted", &[on(&["oid"], "int8", zero)]),
    stable("pg_stat_get_tuples_updated", &[on(&["oid"], "int8", zero)]),
    stable("pg_stat_get_tuples_deleted", &[on(&["oid"], "int8", zero)]),
    stable(
        "pg_stat_get_last_vacuum_time",
        &[on(&["oid"], "timestamptz", unknown)],
    ),
    stable(
        "pg_stat_get_last_analyze_time",
        &[on(&["oid"], "timestamptz", unknown)],
    ),
    stable("pg_sequence_last_value", &[on(&["oid"], "int8", unknown)]),
    stable(
        "pg_index_column_has_property",
        &[on(&["oid", "int4", "text"], "bool", unknown)],
    ),
    stable(
        "pg_index_has_property",
        &[on(&["oid", "text"], "bool", unknown)],
    ),
    stable(
        "pg_indexam_has_property",
        &[on(&["oid", "text"], "bool", unknown)],
    ),
    // Transactions have no numbers here. The catalog's versions have, and clients compare them to find out what is new in it.
    stable(
        "txid_current",
        &[on(&[], "int8", |system, _| {
            Ok(i64::from(xid(system)).into())
        })],
    ),
    stable(
        "catalog_xmin",
        &[on(&[], "xid", |system, _| Ok(xid(system).into()))],
    ),
    stable(
        "xid_age",
        &[on(&["xid"], "int4", |system, args| {
            let age = i64::from(xid(system)) - i64::from(super::oid_arg(args, 0));
            Ok(age.into())
        })],
    ),
    stable("txid_current_if_assigned", &[on(&[], "int8", unknown)]),
];

/// The catalog's version in 32 bits, without the numbers that mean no transaction.
fn xid(system: &System) -> u32 {
    const FIRST: u64 = 3;
    let version = system.catalog.version() % (u64::from(u32::MAX) - FIRST);
    u32::try_from(version + FIRST).unwrap_or(u32::MAX)
}

fn done(_: &System, _: &[Value]) -> Result<Value> {
    Ok("".into())
}

fn not_held(_: &System, _: &[Value]) -> Result<Value> {
    Ok(false.into())
}

fn zero(_: &System, _: &[Value]) -> Result<Value> {
    Ok(0.into())
}

fn unknown(_: &System, _: &[Value]) -> Result<Value> {
    Ok(Value::Null)
}

/// What can be done with a relation, in PostgreSQL's bits: insert 8, update 4, delete 16.
fn events(system: &System, oid: u32) -> i64 {
    let entry = system
        .relation_numbered(oid)
        .and_then(crate::system::objects::Relation::entry);
    match entry.map(weir_catalog::Entry::kind) {
        Some(weir_catalog::ObjectKind::Table) => 28,
        Some(weir_catalog::ObjectKind::Stream | weir_catalog::ObjectKind::ExternalTable) => 8,
        _ => 0,
    }
}

fn updatable(system: &System, args: &[Value]) -> Result<Value> {
    Ok(events(system, super::oid_arg(args, 0)).into())
}
