//! What is found by its name alone: `pg_table_is_visible` and its kin.

use datafusion::common::Result;

use super::{Function, oid_arg, on, stable};
use crate::postgres::values::Value;
use crate::postgres::{facts, numbered, oids, procs};
use crate::system::System;
use crate::system::objects::{Numbered, Relation, key_name};

pub(super) const FUNCTIONS: &[Function] = &[
    stable("pg_table_is_visible", &[on(&["oid"], "bool", class)]),
    stable("pg_type_is_visible", &[on(&["oid"], "bool", of_type)]),
    stable(
        "pg_function_is_visible",
        &[on(&["oid"], "bool", |_, args| {
            Ok(known(procs::numbered(oid_arg(args, 0)).is_some()))
        })],
    ),
    stable(
        "pg_operator_is_visible",
        &[on(&["oid"], "bool", |_, args| {
            let oid = oid_arg(args, 0);
            Ok(known(facts::operators().iter().any(|it| it.oid == oid)))
        })],
    ),
    stable(
        "pg_opclass_is_visible",
        &[on(&["oid"], "bool", |_, args| {
            let oid = oid_arg(args, 0);
            let mut all = facts::operator_classes().iter();
            Ok(known(all.any(|it| it.oid == oid)))
        })],
    ),
    stable(
        "pg_opfamily_is_visible",
        &[on(&["oid"], "bool", |_, args| {
            let oid = oid_arg(args, 0);
            let mut all = facts::operator_classes().iter();
            Ok(known(all.any(|it| it.family == oid)))
        })],
    ),
    stable(
        "pg_collation_is_visible",
        &[on(&["oid"], "bool", |_, args| {
            Ok(known(matches!(oid_arg(args, 0), 100 | 950 | 951)))
        })],
    ),
    stable("pg_conversion_is_visible", &[on(&["oid"], "bool", none)]),
    stable(
        "pg_statistics_obj_is_visible",
        &[on(&["oid"], "bool", none)],
    ),
    stable("pg_ts_config_is_visible", &[on(&["oid"], "bool", none)]),
    stable("pg_ts_dict_is_visible", &[on(&["oid"], "bool", none)]),
    stable("pg_ts_parser_is_visible", &[on(&["oid"], "bool", none)]),
    stable("pg_ts_template_is_visible", &[on(&["oid"], "bool", none)]),
];

/// What is in `pg_catalog` is visible; of other numbers nothing is known.
fn known(is_there: bool) -> Value {
    match is_there {
        true => Value::Bool(true),
        false => Value::Null,
    }
}

fn none(_: &System, _: &[Value]) -> Result<Value> {
    Ok(Value::Null)
}

fn class(system: &System, args: &[Value]) -> Result<Value> {
    let oid = oid_arg(args, 0);
    Ok(match system.numbered(oid) {
        Some(Numbered::Relation(relation)) => Value::Bool(system.is_visible(relation)),
        Some(Numbered::KeyIndex(entry)) => {
            Value::Bool(system.class_oid(None, &key_name(entry)) == Some(oid))
        }
        None => Value::Null,
    })
}

fn of_type(system: &System, args: &[Value]) -> Result<Value> {
    let oid = oid_arg(args, 0);
    if numbered(oid).is_some() {
        return Ok(Value::Bool(true));
    }
    let entry = oids::object(oid).and_then(|(id, _)| system.entry(id));
    Ok(match entry {
        Some(entry) => Value::Bool(system.is_visible(Relation::Own(entry))),
        None => Value::Null,
    })
}
