//! How much there is: `pg_relation_size` and its kin, `pg_size_pretty`.

use datafusion::common::Result;

use super::{Function, arg, immutable, oid_arg, on, refused, stable, text_arg};
use crate::postgres::oids;
use crate::postgres::values::Value;
use crate::system::System;

pub(super) const FUNCTIONS: &[Function] = &[
    stable(
        "pg_relation_size",
        &[
            on(&["oid"], "int8", relation),
            on(&["text"], "int8", relation_named),
            on(&["oid", "text"], "int8", relation),
            on(&["text", "text"], "int8", relation_named),
        ],
    ),
    stable(
        "pg_table_size",
        &[
            on(&["oid"], "int8", relation),
            on(&["text"], "int8", relation_named),
        ],
    ),
    stable(
        "pg_total_relation_size",
        &[
            on(&["oid"], "int8", relation),
            on(&["text"], "int8", relation_named),
        ],
    ),
    // Keys are looked up in the table itself.
    stable(
        "pg_indexes_size",
        &[
            on(&["oid"], "int8", |_, _| Ok(0.into())),
            on(&["text"], "int8", |_, _| Ok(0.into())),
        ],
    ),
    stable(
        "pg_database_size",
        &[
            on(&["name"], "int8", |system, args| match text_arg(args, 0) {
                name if name == system.database() => Ok(all(system)),
                name => refused("3D000", format!("database {name:?} does not exist")),
            }),
            on(&["oid"], "int8", |system, args| {
                Ok(match oid_arg(args, 0) {
                    oids::DATABASE => all(system),
                    _ => Value::Null,
                })
            }),
        ],
    ),
    stable(
        "pg_tablespace_size",
        &[
            on(&["name"], "int8", |system, _| Ok(all(system))),
            on(&["oid"], "int8", |system, _| Ok(all(system))),
        ],
    ),
    immutable(
        "pg_size_pretty",
        &[on(&["int8"], "text", |_, args| {
            Ok(pretty(arg(args, 0).int().unwrap_or_default()).into())
        })],
    ),
    stable(
        "pg_relation_filenode",
        &[on(&["oid"], "oid", |system, args| {
            let oid = oid_arg(args, 0);
            let relation = system.relation_numbered(oid);
            let is_stored = relation.is_some_and(|it| matches!(it.kind(), 'r' | 'm'));
            Ok(is_stored.then_some(oid).into())
        })],
    ),
    stable(
        "pg_relation_filepath",
        &[on(&["oid"], "text", |_, _| Ok(Value::Null))],
    ),
    stable(
        "pg_tablespace_location",
        &[on(&["oid"], "text", |_, _| Ok("".into()))],
    ),
];

/// The bytes of a relation's topic; 0 where it has none.
fn relation(system: &System, args: &[Value]) -> Result<Value> {
    let oid = oid_arg(args, 0);
    let Some(relation) = system.relation_numbered(oid) else {
        return Ok(match system.numbered(oid) {
            Some(_) => 0.into(),
            None => Value::Null,
        });
    };
    let topic = relation.entry().and_then(|entry| entry.topic());
    let bytes = topic.and_then(|(_, id)| {
        let topics = system.facts.topics(false).into_iter();
        let mut found = topics.filter(|topic| topic.id == id);
        found.next().map(|topic| topic.bytes())
    });
    Ok(bytes.unwrap_or(0).into())
}

fn relation_named(system: &System, args: &[Value]) -> Result<Value> {
    let name = text_arg(args, 0);
    let parts = super::references::qualified(name);
    let oid = parts.and_then(|(schema, name)| system.class_oid(schema.as_deref(), &name));
    match oid {
        Some(oid) => relation(system, &[oid.into()]),
        None => refused("42P01", format!("relation {name:?} does not exist")),
    }
}

/// The bytes of all topics.
fn all(system: &System) -> Value {
    let topics = system.facts.topics(false);
    let bytes: u64 = topics
        .iter()
        .map(crate::system::facts::TopicFacts::bytes)
        .sum();
    bytes.into()
}

/// Bytes in the unit in which they are below 10,240, rounded, as PostgreSQL writes them.
fn pretty(bytes: i64) -> String {
    const UNITS: [&str; 6] = ["bytes", "kB", "MB", "GB", "TB", "PB"];
    const LIMIT: i64 = 10 * 1024;
    let mut size = bytes;
    // From the second unit on one bit more is kept, to round by.
    let mut is_doubled = false;
    for (at, unit) in UNITS.iter().enumerate() {
        let limit = if is_doubled { LIMIT * 2 - 1 } else { LIMIT };
        if size.saturating_abs() < limit || at == UNITS.len() - 1 {
            let shown = match is_doubled {
                true if size < 0 => (size - 1) / 2,
                true => (size + 1) / 2,
                false => size,
            };
            return format!("{shown} {unit}");
        }
        size /= if is_doubled { 1 << 10 } else { 1 << 9 };
        is_doubled = true;
    }
    format!("{bytes} bytes")
}

#[cfg(test)]
mod tests {
    use super::pretty;

    #[test]
    fn sizes_are_written_as_postgresql_writes_them() {
        for (bytes, shown) in [
            (0, "0 bytes"),
            (10_239, "10239 bytes"),
            (10_240, "10 kB"),
            (-10_240, "-10 kB"),
            (1_572_864, "1536 kB"),
            (10 << 20, "10 MB"),
            (123_456_789_012, "115 GB"),
        ] {
            assert_eq!(pretty(bytes), shown);
        }
    }
}
