//! Functions: `pg_proc`, `pg_aggregate`, `pg_language`.

use std::collections::HashSet;

use datafusion::common::Result;

use super::super::System;
use super::rows::{Fill, Rows};
use crate::postgres::procs::{self, Proc};
use crate::postgres::values::Value;
use crate::postgres::{all, oids};

pub(super) fn fill(name: &str) -> Option<Fill> {
    Some(match name {
        "pg_proc" => functions,
        "pg_aggregate" => aggregates,
        "pg_language" => languages,
        _ => return None,
    })
}

/// PostgreSQL's functions that can be called here and those that its types are read and written by; then those that only we have.
/// Of the latter the arguments are not told: most take values of many types.
fn functions(system: &System, rows: &mut Rows) -> Result<()> {
    let known = system.facts.functions();
    let callable: HashSet<&str> = known.iter().map(|it| it.name.as_str()).collect();
    let of_types: HashSet<u32> = all().iter().flat_map(|it| it.functions).collect();
    let mut shown = HashSet::new();
    for proc in procs::postgres() {
        let is_callable = callable.contains(proc.name);
        if is_callable {
            shown.insert(proc.name);
        }
        if is_callable || of_types.contains(&proc.oid) {
            function(rows, proc)?;
        }
    }
    for own in &known {
        if shown.contains(own.name.as_str()) {
            continue;
        }
        rows.push([
            ("oid", oids::function(&own.name).into()),
            ("proname", (&own.name).into()),
            ("pronamespace", oids::CATALOG_SCHEMA.into()),
            ("proowner", oids::OWNER.into()),
            ("prolang", oids::INTERNAL_LANGUAGE.into()),
            ("procost", Value::Float(1.0)),
            ("provariadic", ANY.into()),
            ("prokind", kind(own.kind).into()),
            ("proretset", (own.kind == "table").into()),
            ("provolatile", 'i'.into()),
            ("proparallel", 's'.into()),
            ("pronargs", 1.into()),
            ("prorettype", ANY.into()),
            ("proargtypes", Value::Oids(vec![ANY])),
            ("proallargtypes", Value::Oids(vec![ANY])),
            ("proargmodes", Value::texts(["v"])),
            ("prosrc", (&own.name).into()),
        ])?;
    }
    Ok(())
}

/// The pseudo type of anything.
const ANY: u32 = 2276;

fn kind(kind: &str) -> char {
    match kind {
        "aggregate" => 'a',
        "window" => 'w',
        _ => 'f',
    }
}

fn function(rows: &mut Rows, proc: &'static Proc) -> Result<()> {
    let optional = |list: &[u32]| match list {
        [] => Value::Null,
        list => Value::Oids(list.to_vec()),
    };
    let modes = match proc.modes {
        "" => Value::Null,
        modes => Value::texts(modes.chars().map(|mode| mode.to_string())),
    };
    let names = match proc.names.as_slice() {
        [] => Value::Null,
        names => Value::texts(names.iter().copied()),
    };
    rows.push([
        ("oid", proc.oid.into()),
        ("proname", proc.name.into()),
        ("pronamespace", oids::CATALOG_SCHEMA.into()),
        ("proowner", oids::OWNER.into()),
        ("prolang", oids::INTERNAL_LANGUAGE.into()),
        ("procost", Value::Float(1.0)),
        (
            "prorows",
            Value::Float(if proc.returns_set { 1000.0 } else { 0.0 }),
        ),
        ("provariadic", proc.variadic.into()),
        ("prokind", proc.kind.into()),
        ("proisstrict", proc.is_strict.into()),
        ("proretset", proc.returns_set.into()),
        ("provolatile", proc.volatility.into()),
        ("proparallel", 's'.into()),
        ("pronargs", proc.arguments.len().into()),
        ("pronargdefaults", proc.defaults.into()),
        ("prorettype", proc.result.into()),
        ("proargtypes", Value::Oids(proc.arguments.clone())),
        ("proallargtypes", optional(&proc.all_arguments)),
        ("proargmodes", modes),
        ("proargnames", names),
        ("prosrc", proc.name.into()),
    ])
}

fn aggregates(system: &System, rows: &mut Rows) -> Result<()> {
    let known = system.facts.functions();
    let callable: HashSet<&str> = known.iter().map(|it| it.name.as_str()).collect();
    for proc in procs::postgres() {
        if proc.kind == "a" && callable.contains(proc.name) {
            rows.push([
                ("aggfnoid", proc.oid.into()),
                ("aggkind", 'n'.into()),
                ("aggfinalmodify", 'r'.into()),
                ("aggmfinalmodify", 'r'.into()),
                ("aggtranstype", proc.result.into()),
            ])?;
        }
    }
    Ok(())
}

fn languages(_: &System, rows: &mut Rows) -> Result<()> {
    for (oid, name, is_trusted) in [
        (oids::INTERNAL_LANGUAGE, "internal", false),
        (14, "sql", true),
    ] {
        rows.push([
            ("oid", oid.into()),
            ("lanname", name.into()),
            ("lanowner", oids::OWNER.into()),
            ("lanpltrusted", is_trusted.into()),
        ])?;
    }
    Ok(())
}
