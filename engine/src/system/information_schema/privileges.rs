//! Roles, and what the one who asks may do with relations and their columns.

use datafusion::common::Result;

use super::super::facts::Right;
use super::super::objects::Relation;
use super::super::pg_catalog::{Fill, Rows};
use super::super::{DATABASE, OWNER, System};
use super::yes_or_no;

pub(super) fn fill(name: &str) -> Option<Fill> {
    Some(match name {
        "enabled_roles" => enabled_roles,
        "applicable_roles" | "administrable_role_authorizations" => applicable_roles,
        "table_privileges" | "role_table_grants" => table_privileges,
        "column_privileges" | "role_column_grants" => column_privileges,
        _ => return None,
    })
}

fn enabled_roles(system: &System, rows: &mut Rows) -> Result<()> {
    let session = system.facts.session();
    for role in system.facts.roles() {
        let is_own = role.name == session.user;
        if is_own || system.facts.has_role(&session.user, &role.name) {
            rows.push([("role_name", role.name.into())])?;
        }
    }
    Ok(())
}

fn applicable_roles(system: &System, rows: &mut Rows) -> Result<()> {
    let session = system.facts.session();
    let all = system.facts.roles();
    for role in all.iter().filter(|role| role.name == session.user) {
        for group in &role.member_of {
            rows.push([
                ("grantee", (&role.name).into()),
                ("role_name", group.into()),
                ("is_grantable", yes_or_no(false)),
            ])?;
        }
    }
    Ok(())
}

/// What can be done with a relation, in the standard's words.
fn rights(relation: Relation<'_>) -> &'static [(Right, &'static str)] {
    match relation.kind() {
        'r' if !relation.is_system() => &[
            (Right::Insert, "INSERT"),
            (Right::Select, "SELECT"),
            (Right::Update, "UPDATE"),
            (Right::Delete, "DELETE"),
        ],
        _ => &[(Right::Select, "SELECT")],
    }
}

fn table_privileges(system: &System, rows: &mut Rows) -> Result<()> {
    let session = system.facts.session();
    for relation in system.relations() {
        for (right, word) in rights(relation) {
            if !system.facts.may(&session.user, *right, relation) {
                continue;
            }
            rows.push([
                ("grantor", OWNER.into()),
                ("grantee", (&session.user).into()),
                ("table_catalog", DATABASE.into()),
                ("table_schema", relation.schema().to_owned().into()),
                ("table_name", relation.name().to_owned().into()),
                ("privilege_type", (*word).into()),
                ("is_grantable", yes_or_no(session.user == OWNER)),
                ("with_hierarchy", yes_or_no(*right == Right::Select)),
            ])?;
        }
    }
    Ok(())
}

/// Rights are those of the whole relation.
fn column_privileges(system: &System, rows: &mut Rows) -> Result<()> {
    let session = system.facts.session();
    for relation in system.relations() {
        for (right, word) in rights(relation) {
            let is_of_columns = *right != Right::Delete;
            if !is_of_columns || !system.facts.may(&session.user, *right, relation) {
                continue;
            }
            for column in relation.columns() {
                rows.push([
                    ("grantor", OWNER.into()),
                    ("grantee", (&session.user).into()),
                    ("table_catalog", DATABASE.into()),
                    ("table_schema", relation.schema().to_owned().into()),
                    ("table_name", relation.name().to_owned().into()),
                    ("column_name", column.name.into_owned().into()),
                    ("privilege_type", (*word).into()),
                    ("is_grantable", yes_or_no(session.user == OWNER)),
                ])?;
            }
        }
    }
    Ok(())
}
