//! `regclass`, `regtype`, `regproc`, `regnamespace`, `regrole`, …: numbers of things that are written as their names.

use datafusion::common::Result;
use weir_catalog::quote_ident;

use super::names::name_parts;
use super::{Function, oid_arg, on, refused, stable, text_arg};
use crate::postgres::procs::{self, Proc};
use crate::postgres::values::Value;
use crate::postgres::{Type, display_name, facts, named, numbered, oids};
use crate::system::System;
use crate::system::objects::{self, Numbered, Relation};

/// The functions of one kind of reference: from text, from text with null for what is not found, to text.
macro_rules! reference {
    ($find:expr, $show:expr, $type:literal, $read:literal, $write:literal, $try:literal) => {
        [
            stable(
                $read,
                &[on(&["text"], $type, |system, args| {
                    let text = text_arg(args, 0);
                    match number(text).or_else(|| $find(system, text)) {
                        Some(oid) => Ok(oid.into()),
                        None => not_found($type, text),
                    }
                })],
            ),
            stable(
                $write,
                &[on(&["oid"], "text", |system, args| {
                    let oid = oid_arg(args, 0);
                    Ok(match oid {
                        0 => "-".to_owned(),
                        oid => $show(system, oid).unwrap_or_else(|| oid.to_string()),
                    }
                    .into())
                })],
            ),
            stable(
                $try,
                &[on(&["text"], $type, |system, args| {
                    Ok($find(system, text_arg(args, 0)).into())
                })],
            ),
        ]
    };
}

const CLASS: [Function; 3] = reference!(
    class,
    class_name,
    "regclass",
    "regclassin",
    "regclassout",
    "to_regclass"
);
const TYPE: [Function; 3] = reference!(
    of_type,
    type_name,
    "regtype",
    "regtypein",
    "regtypeout",
    "to_regtype"
);
const PROC: [Function; 3] = reference!(
    proc,
    proc_name,
    "regproc",
    "regprocin",
    "regprocout",
    "to_regproc"
);
const PROCEDURE: [Function; 3] = reference!(
    procedure,
    procedure_name,
    "regprocedure",
    "regprocedurein",
    "regprocedureout",
    "to_regprocedure"
);
const OPERATOR: [Function; 3] = reference!(
    operator,
    operator_name,
    "regoper",
    "regoperin",
    "regoperout",
    "to_regoper"
);
const NAMESPACE: [Function; 3] = reference!(
    namespace,
    namespace_name,
    "regnamespace",
    "regnamespacein",
    "regnamespaceout",
    "to_regnamespace"
);
const ROLE: [Function; 3] = reference!(
    role,
    role_name,
    "regrole",
    "regrolein",
    "regroleout",
    "to_regrole"
);
const COLLATION: [Function; 3] = reference!(
    collation,
    collation_name,
    "regcollation",
    "regcollationin",
    "regcollationout",
    "to_regcollation"
);

pub(super) const FUNCTIONS: &[Function] = &{
    let [a1, a2, a3] = CLASS;
    let [b1, b2, b3] = TYPE;
    let [c1, c2, c3] = PROC;
    let [d1, d2, d3] = PROCEDURE;
    let [e1, e2, e3] = OPERATOR;
    let [f1, f2, f3] = NAMESPACE;
    let [g1, g2, g3] = ROLE;
    let [h1, h2, h3] = COLLATION;
    [
        a1, a2, a3, b1, b2, b3, c1, c2, c3, d1, d2, d3, e1, e2, e3, f1, f2, f3, g1, g2, g3, h1, h2,
        h3,
    ]
};

/// The name of the function that reads a reference from text.
pub(crate) fn reference_of_text(reference: &Type) -> String {
    format!("{}in", base(reference))
}

/// The name of the function that writes it.
pub(crate) fn text_of_reference(reference: &Type) -> String {
    format!("{}out", base(reference))
}

/// Operators with their arguments are written as those without.
fn base(reference: &Type) -> &'static str {
    match reference.name {
        "regoperator" => "regoper",
        name => name,
    }
}

/// A reference may be written as the number that it is, and `-` is none.
fn number(text: &str) -> Option<u32> {
    match text.trim() {
        "-" => Some(0),
        text => text.parse().ok(),
    }
}

fn not_found(reference: &str, text: &str) -> Result<Value> {
    let (what, state) = match reference {
        "regclass" => ("relation", "42P01"),
        "regtype" => ("type", "42704"),
        "regproc" | "regprocedure" => ("function", "42883"),
        "regnamespace" => ("schema", "3F000"),
        "regrole" => ("role", "42704"),
        "regcollation" => ("collation", "42704"),
        _ => ("operator", "42883"),
    };
    refused(state, format!("{what} {text:?} does not exist"))
}

/// A name of one or two parts, or of three with the database.
pub(super) fn qualified(text: &str) -> Option<(Option<String>, String)> {
    let (mut parts, rest) = name_parts(text)?;
    if !rest.is_empty() {
        return None;
    }
    let name = parts.pop()?;
    let schema = parts.pop();
    Some((schema, name))
}

fn class(system: &System, text: &str) -> Option<u32> {
    let (schema, name) = qualified(text)?;
    system.class_oid(schema.as_deref(), &name)
}

/// A relation's name, with its schema where it is not found without.
pub(super) fn shown(system: &System, relation: Relation<'_>) -> String {
    let name = quote_ident(relation.name());
    match system.is_visible(relation) {
        true => name,
        false => format!("{}.{name}", quote_ident(relation.schema())),
    }
}

fn class_name(system: &System, oid: u32) -> Option<String> {
    Some(match system.numbered(oid)? {
        Numbered::Relation(relation) => shown(system, relation),
        Numbered::KeyIndex(entry) => {
            let name = quote_ident(&objects::key_name(entry));
            match system.class_oid(None, &objects::key_name(entry)) == Some(oid) {
                true => name,
                false => format!("{}.{name}", quote_ident(&entry.name.schema)),
            }
        }
    })
}

/// A type by SQL's name or PostgreSQL's, by that of a relation for its rows, or as an array of these.
pub(super) fn of_type(system: &System, text: &str) -> Option<u32> {
    let text = text.trim();
    if let Some(element) = text.strip_suffix("[]") {
        let element = of_type(system, element)?;
        let own = oids::object(element).and_then(|(id, part)| (part == 1).then_some(id));
        return match own {
            Some(id) => Some(oids::row_array_type(id)),
            None => numbered(element).map(|element| element.array),
        };
    }
    // A length or precision is no part of the type.
    let bare = match (text.find('('), text.find(')')) {
        (Some(open), Some(close)) if open < close => {
            format!("{}{}", text.get(..open)?, text.get(close + 1..)?)
        }
        _ => text.to_owned(),
    };
    let bare = bare.split_whitespace().collect::<Vec<_>>().join(" ");
    let lower = bare.to_lowercase();
    let lower = lower.strip_prefix("pg_catalog.").unwrap_or(&lower);
    let alias = match lower {
        "int" => "int4",
        "decimal" | "dec" => "numeric",
        "float" => "float8",
        "char" | "character" => "bpchar",
        "timestamp" => "timestamp",
        "string" => "text",
        lower => lower,
    };
    let by_sql_name = || {
        crate::postgres::all()
            .iter()
            .find(|it| it.sql_name == alias)
    };
    // `"char"` in quotes is the type of one byte.
    let quoted = || {
        let name = bare.strip_prefix('"')?.strip_suffix('"')?;
        named(name)
    };
    let known = named(alias)
        .filter(|_| alias != "char")
        .or_else(by_sql_name);
    if let Some(pg_type) = known.or_else(quoted) {
        return Some(pg_type.oid);
    }
    let (schema, name) = qualified(text)?;
    let path = system.search_path();
    let schemas = match &schema {
        Some(schema) => vec![schema],
        None => path.iter().collect(),
    };
    schemas.into_iter().find_map(|schema| {
        let relation = system.relation_named(schema, &name)?;
        Some(relation.row_type()).filter(|oid| *oid != 0)
    })
}

fn type_name(system: &System, oid: u32) -> Option<String> {
    if let Some(pg_type) = numbered(oid) {
        return Some(display_name(pg_type.oid, None));
    }
    super::names::own_type(system, oid)
}

/// The functions that can be called here or that PostgreSQL's types are read by, all of them in `pg_catalog`.
fn procs_named(text: &str) -> Vec<&'static Proc> {
    match qualified(text) {
        Some((None, name)) => procs::named(&name).collect(),
        Some((Some(schema), name)) if schema == "pg_catalog" => procs::named(&name).collect(),
        _ => Vec::new(),
    }
}

/// A name alone must be that of one function.
fn proc(_: &System, text: &str) -> Option<u32> {
    match procs_named(text).as_slice() {
        [proc] => Some(proc.oid),
        _ => None,
    }
}

fn proc_name(_: &System, oid: u32) -> Option<String> {
    Some(quote_ident(procs::numbered(oid)?.name))
}

fn procedure(system: &System, text: &str) -> Option<u32> {
    let (name, arguments) = text.trim().strip_suffix(')')?.split_once('(')?;
    let arguments = arguments.split(',').filter(|it| !it.trim().is_empty());
    let arguments = arguments
        .map(|it| of_type(system, it))
        .collect::<Option<Vec<u32>>>()?;
    let procs = procs_named(name);
    let proc = procs.into_iter().find(|proc| proc.arguments == arguments)?;
    Some(proc.oid)
}

fn procedure_name(_: &System, oid: u32) -> Option<String> {
    let proc = procs::numbered(oid)?;
    let arguments: Vec<String> = proc
        .arguments
        .iter()
        .map(|oid| display_name(*oid, None))
        .collect();
    Some(format!(
        "{}({})",
        quote_ident(proc.name),
        arguments.join(",")
    ))
}

fn operator(_: &System, text: &str) -> Option<u32> {
    let text = text.trim();
    let name = text.strip_prefix("pg_catalog.").unwrap_or(text);
    let mut named = facts::operators().iter().filter(|it| it.name == name);
    let found = named.next()?;
    named.next().is_none().then_some(found.oid)
}

fn operator_name(_: &System, oid: u32) -> Option<String> {
    let found = facts::operators().iter().find(|it| it.oid == oid)?;
    Some(found.name.to_owned())
}

fn namespace(system: &System, text: &str) -> Option<u32> {
    let (schema, name) = qualified(text)?;
    let oid = system.schema_oid(&name);
    (schema.is_none() && oid != 0).then_some(oid)
}

fn namespace_name(system: &System, oid: u32) -> Option<String> {
    Some(quote_ident(system.schema_numbered(oid)?.name))
}

pub(super) fn role(system: &System, text: &str) -> Option<u32> {
    let (schema, name) = qualified(text)?;
    let roles = system.facts.roles();
    let found = roles.into_iter().find(|role| role.name == name)?;
    schema.is_none().then(|| oids::role(&found.name))
}

/// The role of this number.
pub(super) fn role_name(system: &System, oid: u32) -> Option<String> {
    let roles = system.facts.roles().into_iter();
    let mut found = roles.filter(|role| oids::role(&role.name) == oid);
    found.next().map(|role| role.name)
}

/// The built-in ones, which all compare bytes.
const COLLATIONS: [(u32, &str); 3] = [(100, "default"), (950, "C"), (951, "POSIX")];

fn collation(_: &System, text: &str) -> Option<u32> {
    let (_, name) = qualified(text)?;
    let mut found = COLLATIONS.iter().filter(|(_, it)| *it == name);
    found.next().map(|(oid, _)| *oid)
}

fn collation_name(_: &System, oid: u32) -> Option<String> {
    let mut found = COLLATIONS.iter().filter(|(it, _)| *it == oid);
    found.next().map(|(_, name)| quote_ident(name))
}
