//! Who asks, where, and with what settings: `current_user`, `current_schema`, `current_setting`, `pg_backend_pid`, ….

use datafusion::common::{DataFusionError, Result, exec_err};

use super::{Function, arg, on, on_nulls, refused, stable, text_arg, volatile};
use crate::postgres::values::Value;
use crate::system::{System, server_setting};

pub(super) const FUNCTIONS: &[Function] = &[
    stable("current_user", &[on(&[], "name", user)]),
    stable("session_user", &[on(&[], "name", user)]),
    stable("current_role", &[on(&[], "name", user)]),
    stable("user", &[on(&[], "name", user)]),
    stable(
        "current_database",
        &[on(&[], "name", |system, _| Ok(system.database().into()))],
    ),
    stable(
        "current_catalog",
        &[on(&[], "name", |system, _| Ok(system.database().into()))],
    ),
    stable(
        "current_schema",
        &[on(&[], "name", |system, _| {
            let schema = system.facts.session().schema;
            let is_there = system.schema_oid(&schema) != 0;
            Ok(is_there.then_some(schema).into())
        })],
    ),
    stable(
        "current_schemas",
        &[on(&["bool"], "_name", |system, args| {
            let implicit = arg(args, 0).truth().unwrap_or(false);
            let path = system.search_path().into_iter();
            let own = system.catalog.temporary_schema();
            let shown = path.filter(|schema| {
                implicit || (schema != "pg_catalog" && own != Some(schema.as_str()))
            });
            Ok(Value::texts(
                shown.filter(|schema| system.schema_oid(schema) != 0),
            ))
        })],
    ),
    stable(
        "current_setting",
        &[
            on(&["text"], "text", |system, args| {
                let name = text_arg(args, 0);
                match setting(system, name) {
                    Some(value) => Ok(value.into()),
                    None => refused(
                        "42704",
                        format!("unrecognized configuration parameter {name:?}"),
                    ),
                }
            }),
            on(&["text", "bool"], "text", |system, args| {
                let name = text_arg(args, 0);
                match (setting(system, name), arg(args, 1).truth()) {
                    (Some(value), _) => Ok(value.into()),
                    (None, Some(true)) => Ok(Value::Null),
                    (None, _) => refused(
                        "42704",
                        format!("unrecognized configuration parameter {name:?}"),
                    ),
                }
            }),
        ],
    ),
    volatile(
        "set_config",
        &[on_nulls(&["text", "text", "bool"], "text", set_config)],
    ),
    stable(
        "pg_backend_pid",
        &[on(&[], "int4", |system, _| {
            Ok(system.facts.session().process.into())
        })],
    ),
    volatile("pg_cancel_backend", &[on(&["int4"], "bool", cancel)]),
    volatile(
        "pg_terminate_backend",
        &[
            on(&["int4"], "bool", cancel),
            on(&["int4", "int8"], "bool", cancel),
        ],
    ),
    stable(
        "pg_is_in_recovery",
        &[on(&[], "bool", |_, _| Ok(false.into()))],
    ),
    stable(
        "pg_postmaster_start_time",
        &[on(&[], "timestamptz", started)],
    ),
    stable("pg_conf_load_time", &[on(&[], "timestamptz", started)]),
    // The doors know where a client is; statements do not.
    stable("inet_server_addr", &[on(&[], "inet", unknown)]),
    stable("inet_server_port", &[on(&[], "int4", unknown)]),
    stable("inet_client_addr", &[on(&[], "inet", unknown)]),
    stable("inet_client_port", &[on(&[], "int4", unknown)]),
    stable(
        "pg_my_temp_schema",
        &[on(&[], "oid", |system, _| {
            let own = system.catalog.temporary_schema();
            Ok(own.map_or(0, |own| system.schema_oid(own)).into())
        })],
    ),
    stable(
        "pg_is_other_temp_schema",
        &[on(&["oid"], "bool", |_, _| Ok(false.into()))],
    ),
    stable(
        "pg_blocking_pids",
        &[on(&["int4"], "_int4", |_, _| Ok(Value::Ints(Vec::new())))],
    ),
    stable(
        "pg_jit_available",
        &[on(&[], "bool", |_, _| Ok(false.into()))],
    ),
];

fn user(system: &System, _: &[Value]) -> Result<Value> {
    Ok(system.facts.session().user.into())
}

fn started(system: &System, _: &[Value]) -> Result<Value> {
    let started_ms = system.facts.session().started_ms;
    Ok(Value::Time(started_ms.saturating_mul(1000)))
}

fn unknown(_: &System, _: &[Value]) -> Result<Value> {
    Ok(Value::Null)
}

/// A setting of the session, or one that the server fixes.
fn setting(system: &System, name: &str) -> Option<String> {
    let name = name.to_lowercase();
    system
        .facts
        .setting(&name)
        .or_else(|| server_setting(&name))
}

fn set_config(system: &System, args: &[Value]) -> Result<Value> {
    let name = text_arg(args, 0);
    if arg(args, 2).truth() == Some(true) {
        return exec_err!(
            "set_config({name:?}, …, true) sets for a transaction, which is not supported yet"
        );
    }
    let external = |error: crate::error::Error| DataFusionError::External(Box::new(error));
    let value = text_arg(args, 1);
    system.facts.set(name, value).map_err(external)?;
    Ok(value.to_owned().into())
}

fn cancel(system: &System, args: &[Value]) -> Result<Value> {
    let process = arg(args, 0).int().and_then(|it| i32::try_from(it).ok());
    Ok(process.is_some_and(|it| system.facts.cancel(it)).into())
}
