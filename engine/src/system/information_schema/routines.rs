//! Functions and their arguments: those of PostgreSQL that can be called here.

use std::collections::HashSet;

use datafusion::common::Result;

use super::super::pg_catalog::{Fill, Rows};
use super::super::{DATABASE, System};
use super::yes_or_no;
use crate::postgres::numbered;
use crate::postgres::procs::{self, Proc};

pub(super) fn fill(name: &str) -> Option<Fill> {
    Some(match name {
        "routines" => routines,
        "parameters" => parameters,
        _ => return None,
    })
}

fn callable(system: &System) -> impl Iterator<Item = &'static Proc> {
    let known = system.facts.functions().into_iter();
    let known: HashSet<String> = known.map(|function| function.name).collect();
    let all = procs::postgres().iter();
    all.filter(move |proc| known.contains(proc.name))
}

/// The name by which one function is told from others of its name.
fn specific_name(proc: &Proc) -> String {
    format!("{}_{}", proc.name, proc.oid)
}

fn routines(system: &System, rows: &mut Rows) -> Result<()> {
    for proc in callable(system) {
        let result = numbered(proc.result);
        let is_function = proc.kind == "f";
        rows.push([
            ("specific_catalog", DATABASE.into()),
            ("specific_schema", "pg_catalog".into()),
            ("specific_name", specific_name(proc).into()),
            ("routine_catalog", DATABASE.into()),
            ("routine_schema", "pg_catalog".into()),
            ("routine_name", proc.name.into()),
            ("routine_type", is_function.then_some("FUNCTION").into()),
            ("data_type", result.map(|result| result.sql_name).into()),
            ("type_udt_catalog", DATABASE.into()),
            ("type_udt_schema", "pg_catalog".into()),
            ("type_udt_name", result.map(|result| result.name).into()),
            ("dtd_identifier", "0".into()),
            ("routine_body", "EXTERNAL".into()),
            ("external_name", proc.name.into()),
            ("external_language", "INTERNAL".into()),
            ("parameter_style", "GENERAL".into()),
            ("is_deterministic", yes_or_no(proc.volatility == "i")),
            ("sql_data_access", "MODIFIES".into()),
            ("is_null_call", yes_or_no(proc.is_strict)),
            ("schema_level_routine", yes_or_no(true)),
            ("max_dynamic_result_sets", 0.into()),
            ("security_type", "INVOKER".into()),
            ("as_locator", yes_or_no(false)),
            ("is_udt_dependent", yes_or_no(false)),
        ])?;
    }
    Ok(())
}

fn parameters(system: &System, rows: &mut Rows) -> Result<()> {
    for proc in callable(system) {
        for (argument, number) in proc.arguments.iter().zip(1_usize..) {
            let pg_type = numbered(*argument);
            let name = proc.names.get(number - 1).filter(|name| !name.is_empty());
            rows.push([
                ("specific_catalog", DATABASE.into()),
                ("specific_schema", "pg_catalog".into()),
                ("specific_name", specific_name(proc).into()),
                ("ordinal_position", number.into()),
                ("parameter_mode", "IN".into()),
                ("is_result", yes_or_no(false)),
                ("as_locator", yes_or_no(false)),
                ("parameter_name", name.copied().into()),
                ("data_type", pg_type.map(|it| it.sql_name).into()),
                ("udt_catalog", DATABASE.into()),
                ("udt_schema", "pg_catalog".into()),
                ("udt_name", pg_type.map(|it| it.name).into()),
                ("dtd_identifier", number.to_string().into()),
            ])?;
        }
    }
    Ok(())
}
