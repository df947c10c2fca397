//! Schemas, relations and their columns: `pg_namespace`, `pg_class`, `pg_attribute`, `pg_attrdef`, `pg_rewrite`, `pg_foreign_table`.

use datafusion::common::Result;
use weir_catalog::{Body, Entry, ObjectKind};

use super::super::System;
use super::super::objects::{Relation, key_name};
use super::rows::{Fill, Rows};
use crate::postgres::values::Value;
use crate::postgres::{Type, oids};

pub(super) fn fill(name: &str) -> Option<Fill> {
    Some(match name {
        "pg_namespace" => namespaces,
        "pg_class" => classes,
        "pg_attribute" => attributes,
        "pg_attrdef" => defaults,
        "pg_rewrite" => rules,
        "pg_foreign_table" => foreign_tables,
        "pg_foreign_server" => foreign_servers,
        "pg_foreign_data_wrapper" => wrappers,
        _ => return None,
    })
}

/// The server of external tables that name no connection, and the wrapper of all.
const FILES_SERVER: &str = "files";
const WRAPPER: &str = "weir_files";

fn namespaces(system: &System, rows: &mut Rows) -> Result<()> {
    for schema in system.schemas() {
        rows.push([
            ("oid", schema.oid.into()),
            ("nspname", schema.name.to_owned().into()),
            ("nspowner", oids::OWNER.into()),
        ])?;
    }
    Ok(())
}

fn classes(system: &System, rows: &mut Rows) -> Result<()> {
    let counts = rows.wants("reltuples").then(|| system.row_counts());
    for relation in system.relations() {
        let oid = relation.oid();
        if !rows.wants_row("oid", oid) {
            continue;
        }
        let entry = relation.entry();
        let kind = relation.kind();
        let is_stored = matches!(kind, 'r' | 'm');
        let has_key = entry.is_some_and(|entry| !entry.primary_key().is_empty());
        let count = counts
            .as_ref()
            .and_then(|counts| counts.get(&entry?.id).copied());
        rows.push([
            ("oid", oid.into()),
            ("relname", relation.name().to_owned().into()),
            ("relnamespace", system.schema_oid(relation.schema()).into()),
            ("reltype", relation.row_type().into()),
            ("relowner", oids::role(&system.owner(relation)).into()),
            ("relam", if is_stored { oids::HEAP } else { 0 }.into()),
            ("relfilenode", if is_stored { oid } else { 0 }.into()),
            ("reltuples", Value::Float(row_estimate(kind, count))),
            ("relhasindex", has_key.into()),
            ("relpersistence", persistence(entry).into()),
            ("relkind", kind.into()),
            ("relnatts", relation.columns().len().into()),
            (
                "relchecks",
                entry.map_or(0, |entry| entry.checks().len()).into(),
            ),
            ("relhasrules", matches!(kind, 'v' | 'm').into()),
            ("relispopulated", true.into()),
            (
                "relreplident",
                match kind {
                    'r' | 'm' if !relation.is_system() => 'd',
                    _ => 'n',
                }
                .into(),
            ),
            ("reloptions", options(relation)),
        ])?;
    }
    for entry in system.catalog.relations() {
        let oid = oids::key_index(entry.id);
        if entry.primary_key().is_empty() || !rows.wants_row("oid", oid) {
            continue;
        }
        rows.push([
            ("oid", oid.into()),
            ("relname", key_name(entry).into()),
            ("relnamespace", system.schema_oid(&entry.name.schema).into()),
            ("relowner", oids::OWNER.into()),
            ("relam", oids::BTREE.into()),
            ("relfilenode", oid.into()),
            ("relpersistence", persistence(Some(entry)).into()),
            ("relkind", 'i'.into()),
            ("relnatts", entry.primary_key().len().into()),
            ("relispopulated", true.into()),
            ("relreplident", 'n'.into()),
        ])?;
    }
    Ok(())
}

/// Whether it is there for its session alone, or stays.
fn persistence(entry: Option<&Entry>) -> char {
    match entry.is_some_and(Entry::is_temporary) {
        true => 't',
        false => 'p',
    }
}

/// As a number of a planner: -1 where nobody counted, 0 where there is nothing to count.
fn row_estimate(kind: char, count: Option<i64>) -> f64 {
    #[allow(clippy::cast_precision_loss)]
    match (kind, count) {
        (_, Some(count)) => count as f64,
        ('r' | 'm', None) => -1.0,
        _ => 0.0,
    }
}

/// The options of a stream's or table's `WITH`, as storage parameters.
fn options(relation: Relation<'_>) -> Value {
    let options = relation.entry().and_then(|entry| match &entry.body {
        Body::Stream(stream) => Some(&stream.options),
        Body::Table(table) => Some(&table.options),
        _ => None,
    });
    match options {
        Some(options) if !options.is_empty() => {
            Value::texts(options.iter().map(|(key, value)| format!("{key}={value}")))
        }
        _ => Value::Null,
    }
}

fn attributes(system: &System, rows: &mut Rows) -> Result<()> {
    for relation in system.relations() {
        let oid = relation.oid();
        if !rows.wants_row("attrelid", oid) {
            continue;
        }
        for (at, column) in relation.columns().into_iter().enumerate() {
            let pg_type = column.type_ref.pg_type;
            let values = Attribute {
                relation: oid,
                name: column.name.into_owned(),
                number: at + 1,
                pg_type,
                modifier: column.type_ref.modifier,
                not_null: column.not_null,
                has_default: column.default.is_some(),
            };
            push_attribute(rows, values)?;
        }
    }
    for entry in system.catalog.relations() {
        let index = oids::key_index(entry.id);
        if !rows.wants_row("attrelid", index) {
            continue;
        }
        let relation = Relation::Own(entry);
        let columns = relation.columns();
        for (at, number) in relation.key_columns().into_iter().enumerate() {
            let column = usize::try_from(number - 1).ok();
            let Some(column) = column.and_then(|at| columns.get(at)) else {
                continue;
            };
            let values = Attribute {
                relation: index,
                name: column.name.clone().into_owned(),
                number: at + 1,
                pg_type: column.type_ref.pg_type,
                modifier: column.type_ref.modifier,
                not_null: false,
                has_default: false,
            };
            push_attribute(rows, values)?;
        }
    }
    Ok(())
}

/// A row of `pg_attribute`.
struct Attribute {
    relation: u32,
    name: String,
    number: usize,
    pg_type: &'static Type,
    modifier: i32,
    not_null: bool,
    has_default: bool,
}

fn push_attribute(rows: &mut Rows, attribute: Attribute) -> Result<()> {
    let pg_type = attribute.pg_type;
    rows.push([
        ("attrelid", attribute.relation.into()),
        ("attname", attribute.name.into()),
        ("atttypid", pg_type.oid.into()),
        ("attstattarget", (-1).into()),
        ("attlen", pg_type.len.into()),
        ("attnum", attribute.number.into()),
        ("attndims", i32::from(pg_type.category == 'A').into()),
        ("attcacheoff", (-1).into()),
        ("atttypmod", attribute.modifier.into()),
        ("attbyval", pg_type.by_value.into()),
        ("attalign", pg_type.align.into()),
        ("attstorage", pg_type.storage.into()),
        ("attnotnull", attribute.not_null.into()),
        ("atthasdef", attribute.has_default.into()),
        ("attislocal", true.into()),
        ("attcollation", pg_type.collation.into()),
    ])
}

fn defaults(system: &System, rows: &mut Rows) -> Result<()> {
    for entry in system.catalog.relations() {
        if !rows.wants_row("adrelid", oids::relation(entry.id)) {
            continue;
        }
        for (at, column) in Relation::Own(entry).columns().into_iter().enumerate() {
            let Some(default) = column.default else {
                continue;
            };
            rows.push([
                ("oid", oids::default(entry.id, &column.name).into()),
                ("adrelid", oids::relation(entry.id).into()),
                ("adnum", (at + 1).into()),
                ("adbin", default.into()),
            ])?;
        }
    }
    Ok(())
}

/// A view is a rule that puts its query in the place of its rows.
fn rules(system: &System, rows: &mut Rows) -> Result<()> {
    for entry in system.catalog.relations() {
        let Some(sql) = Relation::Own(entry).view_sql() else {
            continue;
        };
        rows.push([
            ("oid", oids::view_rule(entry.id).into()),
            ("rulename", "_RETURN".into()),
            ("ev_class", oids::relation(entry.id).into()),
            ("ev_type", '1'.into()),
            ("ev_enabled", 'O'.into()),
            ("is_instead", true.into()),
            ("ev_qual", "<>".into()),
            ("ev_action", sql.to_owned().into()),
        ])?;
    }
    Ok(())
}

fn foreign_tables(system: &System, rows: &mut Rows) -> Result<()> {
    for entry in system.catalog.of_kind(ObjectKind::ExternalTable) {
        let Body::ExternalTable(table) = &entry.body else {
            continue;
        };
        let server = match &table.connection {
            Some(connection) => {
                let connection = system.catalog.connection(connection);
                connection.map_or(0, |connection| oids::relation(connection.id))
            }
            None => oids::function(FILES_SERVER),
        };
        let options = [
            format!("location={}", table.location),
            format!("format={}", table.format),
        ];
        rows.push([
            ("ftrelid", oids::relation(entry.id).into()),
            ("ftserver", server.into()),
            ("ftoptions", Value::texts(options)),
        ])?;
    }
    Ok(())
}

/// Connections, and the server itself, whose files need none. Their options may be secret and are not shown.
fn foreign_servers(system: &System, rows: &mut Rows) -> Result<()> {
    let wrapper = oids::function(WRAPPER);
    rows.push([
        ("oid", oids::function(FILES_SERVER).into()),
        ("srvname", FILES_SERVER.into()),
        ("srvowner", oids::OWNER.into()),
        ("srvfdw", wrapper.into()),
    ])?;
    for entry in system.catalog.connections() {
        let Body::Connection(connection) = &entry.body else {
            continue;
        };
        rows.push([
            ("oid", oids::relation(entry.id).into()),
            ("srvname", (&entry.name.name).into()),
            ("srvowner", oids::OWNER.into()),
            ("srvfdw", wrapper.into()),
            ("srvtype", (&connection.kind).into()),
        ])?;
    }
    Ok(())
}

fn wrappers(_: &System, rows: &mut Rows) -> Result<()> {
    rows.push([
        ("oid", oids::function(WRAPPER).into()),
        ("fdwname", WRAPPER.into()),
        ("fdwowner", oids::OWNER.into()),
    ])
}
