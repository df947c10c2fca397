//! What who may do: `has_table_privilege` and its kin, `pg_has_role`, `aclexplode`'s companions.

use datafusion::common::Result;

use super::references::{role, role_name};
use super::{Function, arg, on, refused, stable, text_arg};
use crate::postgres::oids;
use crate::postgres::values::Value;
use crate::system::System;
use crate::system::facts::Right;
use crate::system::objects::{Numbered, Relation};

/// The six lists of arguments that such a function has: a user by name, by number or none; a thing by name or by number.
macro_rules! privilege {
    ($name:literal, $check:expr) => {
        stable(
            $name,
            &[
                on(&["name", "text", "text"], "bool", |system, args| {
                    $check(system, Some(arg(args, 0)), arg(args, 1), text_arg(args, 2))
                }),
                on(&["name", "oid", "text"], "bool", |system, args| {
                    $check(system, Some(arg(args, 0)), arg(args, 1), text_arg(args, 2))
                }),
                on(&["oid", "text", "text"], "bool", |system, args| {
                    $check(system, Some(arg(args, 0)), arg(args, 1), text_arg(args, 2))
                }),
                on(&["oid", "oid", "text"], "bool", |system, args| {
                    $check(system, Some(arg(args, 0)), arg(args, 1), text_arg(args, 2))
                }),
                on(&["text", "text"], "bool", |system, args| {
                    $check(system, None, arg(args, 0), text_arg(args, 1))
                }),
                on(&["oid", "text"], "bool", |system, args| {
                    $check(system, None, arg(args, 0), text_arg(args, 1))
                }),
            ],
        )
    };
}

/// As above, with a column by name or number behind the table.
const COLUMN_PRIVILEGE: &[super::Variant] = &[
    on(&["text", "text", "text"], "bool", own_column),
    on(&["text", "int2", "text"], "bool", own_column),
    on(&["oid", "text", "text"], "bool", own_column),
    on(&["oid", "int2", "text"], "bool", own_column),
    on(&["name", "text", "text", "text"], "bool", users_column),
    on(&["name", "text", "int2", "text"], "bool", users_column),
    on(&["name", "oid", "text", "text"], "bool", users_column),
    on(&["name", "oid", "int2", "text"], "bool", users_column),
    on(&["oid", "text", "text", "text"], "bool", users_column),
    on(&["oid", "text", "int2", "text"], "bool", users_column),
    on(&["oid", "oid", "text", "text"], "bool", users_column),
    on(&["oid", "oid", "int2", "text"], "bool", users_column),
];

fn own_column(system: &System, args: &[Value]) -> Result<Value> {
    table(system, None, arg(args, 0), text_arg(args, 2))
}

fn users_column(system: &System, args: &[Value]) -> Result<Value> {
    table(system, Some(arg(args, 0)), arg(args, 1), text_arg(args, 3))
}

pub(super) const FUNCTIONS: &[Function] = &[
    privilege!("has_table_privilege", table),
    privilege!("has_any_column_privilege", table),
    stable("has_column_privilege", COLUMN_PRIVILEGE),
    privilege!("has_schema_privilege", schema),
    privilege!("has_database_privilege", database),
    privilege!("has_function_privilege", usage),
    privilege!("has_type_privilege", usage),
    privilege!("has_language_privilege", usage),
    privilege!("has_tablespace_privilege", usage),
    privilege!("has_sequence_privilege", nothing),
    privilege!("has_server_privilege", usage),
    privilege!("has_foreign_data_wrapper_privilege", usage),
    stable(
        "pg_has_role",
        &[
            on(&["name", "name", "text"], "bool", |system, args| {
                member(system, Some(arg(args, 0)), arg(args, 1))
            }),
            on(&["name", "oid", "text"], "bool", |system, args| {
                member(system, Some(arg(args, 0)), arg(args, 1))
            }),
            on(&["oid", "name", "text"], "bool", |system, args| {
                member(system, Some(arg(args, 0)), arg(args, 1))
            }),
            on(&["oid", "oid", "text"], "bool", |system, args| {
                member(system, Some(arg(args, 0)), arg(args, 1))
            }),
            on(&["name", "text"], "bool", |system, args| {
                member(system, None, arg(args, 0))
            }),
            on(&["oid", "text"], "bool", |system, args| {
                member(system, None, arg(args, 0))
            }),
        ],
    ),
    // No list of rights is kept with an object, so that none is written as an item or taken apart.
    stable(
        "acldefault",
        &[on(&["char", "oid"], "_aclitem", |_, _| Ok(Value::Null))],
    ),
    stable(
        "makeaclitem",
        &[on(
            &["oid", "oid", "text", "bool"],
            "aclitem",
            |system, args| {
                let role = |at| role_name(system, super::oid_arg(args, at)).unwrap_or_default();
                let letters: String = text_arg(args, 2)
                    .split(',')
                    .filter_map(|word| acl_letter(word.trim()))
                    .flat_map(|letter| match arg(args, 3).truth() {
                        Some(true) => vec![letter, '*'],
                        _ => vec![letter],
                    })
                    .collect();
                Ok(format!("{}={letters}/{}", role(0), role(1)).into())
            },
        )],
    ),
];

/// The letter of a right in a list of rights.
fn acl_letter(word: &str) -> Option<char> {
    Some(match word.to_uppercase().as_str() {
        "SELECT" => 'r',
        "INSERT" => 'a',
        "UPDATE" => 'w',
        "DELETE" => 'd',
        "TRUNCATE" => 'D',
        "REFERENCES" => 'x',
        "TRIGGER" => 't',
        "EXECUTE" => 'X',
        "USAGE" => 'U',
        "CREATE" => 'C',
        "CONNECT" => 'c',
        "TEMPORARY" | "TEMP" => 'T',
        _ => return None,
    })
}

/// The name of a user that is given by name or number; the session's if none is given.
fn user(system: &System, given: Option<&Value>) -> Result<String> {
    let Some(given) = given else {
        return Ok(system.facts.session().user);
    };
    let found = match (given.text(), given.oid()) {
        (Some("public"), _) => Some("public".to_owned()),
        (Some(name), _) => {
            let roles = system.facts.roles().into_iter();
            roles.map(|role| role.name).find(|it| it == name)
        }
        (None, Some(oid)) => role_name(system, oid),
        (None, None) => None,
    };
    match found {
        Some(name) => Ok(name),
        None => refused("42704", format!("role {} does not exist", shown(given))),
    }
}

fn shown(given: &Value) -> String {
    match given {
        Value::Text(name) => format!("{name:?}"),
        other => other.oid().unwrap_or_default().to_string(),
    }
}

/// The rights that a list names, as in `SELECT, INSERT WITH GRANT OPTION`.
fn rights(list: &str) -> impl Iterator<Item = String> {
    list.split(',').map(|word| {
        let word = word.trim().to_uppercase();
        word.trim_end_matches("WITH GRANT OPTION").trim().to_owned()
    })
}

/// Whether the user has one of the rights.
fn table(system: &System, given: Option<&Value>, table: &Value, list: &str) -> Result<Value> {
    let user = user(system, given)?;
    let oid = match table.text() {
        Some(name) => {
            let parts = super::references::qualified(name);
            parts.and_then(|(schema, name)| system.class_oid(schema.as_deref(), &name))
        }
        None => table.oid(),
    };
    let relation = match oid.and_then(|oid| system.numbered(oid)) {
        Some(Numbered::Relation(relation)) => relation,
        Some(Numbered::KeyIndex(entry)) => Relation::Own(entry),
        // Of a number that is gone nothing is known; a name must be one.
        None if table.text().is_none() => return Ok(Value::Null),
        None => return refused("42P01", format!("relation {} does not exist", shown(table))),
    };
    let mut may = false;
    for word in rights(list) {
        let right = match word.as_str() {
            "SELECT" => Right::Select,
            "INSERT" => Right::Insert,
            "UPDATE" => Right::Update,
            "DELETE" | "TRUNCATE" => Right::Delete,
            "REFERENCES" | "TRIGGER" | "RULE" => Right::Other,
            _ => return refused("22023", format!("unrecognized privilege type: {word:?}")),
        };
        may = may || system.facts.may(&user, right, relation);
    }
    Ok(may.into())
}

fn schema(system: &System, given: Option<&Value>, schema: &Value, list: &str) -> Result<Value> {
    let user = user(system, given)?;
    let oid = match schema.text() {
        Some(name) => match system.schema_oid(name) {
            0 => return refused("3F000", format!("schema {name:?} does not exist")),
            oid => oid,
        },
        None => schema.oid().unwrap_or_default(),
    };
    let Some(found) = system.schema_numbered(oid) else {
        return Ok(Value::Null);
    };
    let is_reserved = weir_catalog::RESERVED_SCHEMAS.contains(&found.name);
    let mut may = false;
    for word in rights(list) {
        may = may
            || match word.as_str() {
                "USAGE" => true,
                "CREATE" => !is_reserved && is_admin(system, &user),
                _ => return refused("22023", format!("unrecognized privilege type: {word:?}")),
            };
    }
    Ok(may.into())
}

fn is_admin(system: &System, user: &str) -> bool {
    let roles = system.facts.roles();
    roles.iter().any(|role| role.name == user && role.is_admin)
}

fn database(system: &System, given: Option<&Value>, database: &Value, list: &str) -> Result<Value> {
    let user = user(system, given)?;
    let is_ours = match database.text() {
        Some(name) if name == system.database() => true,
        Some(name) => return refused("3D000", format!("database {name:?} does not exist")),
        None => database.oid() == Some(oids::DATABASE),
    };
    if !is_ours {
        return Ok(Value::Null);
    }
    let mut may = false;
    for word in rights(list) {
        may = may
            || match word.as_str() {
                "CONNECT" => true,
                "CREATE" => is_admin(system, &user),
                "TEMPORARY" | "TEMP" => false,
                _ => return refused("22023", format!("unrecognized privilege type: {word:?}")),
            };
    }
    Ok(may.into())
}

/// Functions, types and languages are everybody's.
fn usage(system: &System, given: Option<&Value>, _: &Value, _: &str) -> Result<Value> {
    user(system, given)?;
    Ok(true.into())
}

/// There is none of these.
fn nothing(system: &System, given: Option<&Value>, thing: &Value, _: &str) -> Result<Value> {
    user(system, given)?;
    match thing.text() {
        Some(name) => refused("42P01", format!("relation {name:?} does not exist")),
        None => Ok(Value::Null),
    }
}

fn member(system: &System, given: Option<&Value>, of: &Value) -> Result<Value> {
    let user = user(system, given)?;
    let name = match of.text() {
        Some(name) => role(system, name).and_then(|oid| role_name(system, oid)),
        None => of.oid().and_then(|oid| role_name(system, oid)),
    };
    match name {
        Some(name) => {
            let is_member =
                user == name || is_admin(system, &user) || system.facts.has_role(&user, &name);
            Ok(is_member.into())
        }
        None if of.text().is_none() => Ok(false.into()),
        None => refused("42704", format!("role {} does not exist", shown(of))),
    }
}
