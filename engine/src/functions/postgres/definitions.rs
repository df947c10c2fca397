//! The text of definitions: `pg_get_viewdef`, `pg_get_constraintdef`, `pg_get_indexdef`, `pg_get_expr`, `pg_get_function_arguments`, ….

use datafusion::common::Result;
use weir_catalog::quote_ident;

use super::references::role_name;
use super::{Function, arg, oid_arg, on, stable, text_arg};
use crate::postgres::procs::{self, Proc};
use crate::postgres::values::Value;
use crate::postgres::{display_name, oids};
use crate::system::System;
use crate::system::definition;
use crate::system::objects::{Numbered, Relation, is_shown};

pub(super) const FUNCTIONS: &[Function] = &[
    // Expressions are kept as their text.
    stable(
        "pg_get_expr",
        &[
            on(&["pg_node_tree", "oid"], "text", expression),
            on(&["pg_node_tree", "oid", "bool"], "text", expression),
        ],
    ),
    stable(
        "pg_get_viewdef",
        &[
            on(&["oid"], "text", view),
            on(&["oid", "bool"], "text", view),
            on(&["oid", "int4"], "text", view),
            on(&["text"], "text", view_named),
            on(&["text", "bool"], "text", view_named),
        ],
    ),
    stable(
        "pg_get_ruledef",
        &[
            on(&["oid"], "text", rule),
            on(&["oid", "bool"], "text", rule),
        ],
    ),
    stable(
        "pg_get_constraintdef",
        &[
            on(&["oid"], "text", constraint),
            on(&["oid", "bool"], "text", constraint),
        ],
    ),
    stable(
        "pg_get_indexdef",
        &[
            on(&["oid"], "text", index),
            on(&["oid", "int4", "bool"], "text", index_column),
        ],
    ),
    stable(
        "pg_get_userbyid",
        &[on(&["oid"], "name", |system, args| {
            let oid = oid_arg(args, 0);
            let unknown = || format!("unknown (OID={oid})");
            Ok(role_name(system, oid).unwrap_or_else(unknown).into())
        })],
    ),
    stable(
        "pg_get_function_arguments",
        &[on(&["oid"], "text", |_, args| {
            of_function(args, |proc| arguments(proc, false))
        })],
    ),
    stable(
        "pg_get_function_identity_arguments",
        &[on(&["oid"], "text", |_, args| {
            of_function(args, |proc| arguments(proc, true))
        })],
    ),
    stable(
        "pg_get_function_result",
        &[on(&["oid"], "text", |_, args| of_function(args, result))],
    ),
    stable(
        "pg_get_functiondef",
        &[on(&["oid"], "text", |_, args| of_function(args, function))],
    ),
    // What follows is of things that there are none of.
    stable(
        "pg_get_function_arg_default",
        &[on(&["oid", "int4"], "text", |_, _| Ok(Value::Null))],
    ),
    stable("pg_get_function_sqlbody", &[on(&["oid"], "text", nothing)]),
    stable("pg_get_partkeydef", &[on(&["oid"], "text", nothing)]),
    stable(
        "pg_get_partition_constraintdef",
        &[on(&["oid"], "text", nothing)],
    ),
    stable(
        "pg_get_triggerdef",
        &[
            on(&["oid"], "text", nothing),
            on(&["oid", "bool"], "text", nothing),
        ],
    ),
    stable("pg_get_statisticsobjdef", &[on(&["oid"], "text", nothing)]),
    stable(
        "pg_get_statisticsobjdef_columns",
        &[on(&["oid"], "text", nothing)],
    ),
    stable(
        "pg_get_serial_sequence",
        &[on(&["text", "text"], "text", nothing)],
    ),
    stable(
        "pg_get_replica_identity_index",
        &[on(&["oid"], "regclass", |system, args| {
            let index = match system.numbered(oid_arg(args, 0)) {
                Some(Numbered::Relation(Relation::Own(entry)))
                    if !entry.primary_key().is_empty() =>
                {
                    Some(oids::key_index(entry.id))
                }
                _ => None,
            };
            Ok(index.into())
        })],
    ),
];

fn nothing(_: &System, _: &[Value]) -> Result<Value> {
    Ok(Value::Null)
}

fn expression(_: &System, args: &[Value]) -> Result<Value> {
    Ok(text_arg(args, 0).to_owned().into())
}

fn view(system: &System, args: &[Value]) -> Result<Value> {
    let relation = system.relation_numbered(oid_arg(args, 0));
    let sql = relation.and_then(Relation::view_sql);
    Ok(sql.map(definition::view).into())
}

fn view_named(system: &System, args: &[Value]) -> Result<Value> {
    let Some((schema, name)) = super::references::qualified(text_arg(args, 0)) else {
        return Ok(Value::Null);
    };
    match system.class_oid(schema.as_deref(), &name) {
        Some(oid) => view(system, &[oid.into()]),
        None => Ok(Value::Null),
    }
}

fn rule(system: &System, args: &[Value]) -> Result<Value> {
    let oid = oid_arg(args, 0);
    let Some((id, 5)) = oids::object(oid) else {
        return Ok(Value::Null);
    };
    let entry = system.entry(id).filter(|entry| is_shown(entry));
    let found = entry.and_then(|entry| {
        let sql = Relation::Own(entry).view_sql()?;
        Some(format!(
            "CREATE RULE \"_RETURN\" AS\n    ON SELECT TO {} DO INSTEAD {}",
            entry.name.sql(),
            definition::view(sql)
        ))
    });
    Ok(found.into())
}

fn constraint(system: &System, args: &[Value]) -> Result<Value> {
    let oid = oid_arg(args, 0);
    if let Some((id, part)) = oids::object(oid) {
        let entry = system.entry(id).filter(|entry| is_shown(entry));
        let keyed = entry.filter(|entry| part == 4 && !entry.primary_key().is_empty());
        return Ok(keyed.map(definition::key_constraint).into());
    }
    // A check has no identity of its own; its number is made from its name.
    let found = system.catalog.relations().find_map(|entry| {
        let mut checks = entry.checks().iter();
        let check = checks.find(|check| oids::check(entry.id, &check.name) == oid)?;
        Some(definition::check(check))
    });
    Ok(found.into())
}

fn index(system: &System, args: &[Value]) -> Result<Value> {
    Ok(match system.numbered(oid_arg(args, 0)) {
        Some(Numbered::KeyIndex(entry)) => definition::key_index(entry).into(),
        _ => Value::Null,
    })
}

/// The column of a number; the whole for 0.
fn index_column(system: &System, args: &[Value]) -> Result<Value> {
    let column = arg(args, 1).int().and_then(|at| usize::try_from(at).ok());
    match (column, system.numbered(oid_arg(args, 0))) {
        (Some(0), _) => index(system, args),
        (Some(number), Some(Numbered::KeyIndex(entry))) => {
            let name = entry.primary_key().get(number - 1);
            Ok(name.map(|name| quote_ident(name)).into())
        }
        _ => Ok(Value::Null),
    }
}

fn of_function(args: &[Value], show: fn(&Proc) -> String) -> Result<Value> {
    Ok(procs::numbered(oid_arg(args, 0)).map(show).into())
}

/// The arguments as `CREATE FUNCTION` has them; those that identify the function leave out what it only gives.
fn arguments(proc: &Proc, only_given: bool) -> String {
    let types = match proc.all_arguments.as_slice() {
        [] => &proc.arguments,
        all => all,
    };
    let modes: Vec<char> = proc.modes.chars().collect();
    let shown = types.iter().enumerate().filter_map(|(at, oid)| {
        let mode = modes.get(at).copied().unwrap_or('i');
        let word = match mode {
            't' => return None,
            'o' if only_given => return None,
            'o' => "OUT ",
            'b' => "INOUT ",
            'v' => "VARIADIC ",
            _ => "",
        };
        let name = proc.names.get(at).filter(|name| !name.is_empty());
        let name = name.map(|name| format!("{} ", quote_ident(name)));
        let name = name.unwrap_or_default();
        Some(format!("{word}{name}{}", display_name(*oid, None)))
    });
    shown.collect::<Vec<_>>().join(", ")
}

fn result(proc: &Proc) -> String {
    let modes = proc.modes.chars().enumerate();
    let columns: Vec<String> = modes
        .filter(|(_, mode)| *mode == 't')
        .filter_map(|(at, _)| {
            let name = proc.names.get(at)?;
            let oid = proc.all_arguments.get(at)?;
            Some(format!(
                "{} {}",
                quote_ident(name),
                display_name(*oid, None)
            ))
        })
        .collect();
    if !columns.is_empty() {
        return format!("TABLE({})", columns.join(", "));
    }
    let set = if proc.returns_set { "SETOF " } else { "" };
    format!("{set}{}", display_name(proc.result, None))
}

fn function(proc: &Proc) -> String {
    let volatility = match proc.volatility {
        "i" => " IMMUTABLE",
        "s" => " STABLE",
        _ => "",
    };
    let strict = if proc.is_strict { " STRICT" } else { "" };
    format!(
        "CREATE OR REPLACE FUNCTION pg_catalog.{}({})\n RETURNS {}\n LANGUAGE internal\n{volatility}{strict}\nAS $function${}$function$\n",
        quote_ident(proc.name),
        arguments(proc, false),
        result(proc),
        proc.name
    )
}
