//! Who may do what, and in which database: `pg_roles`, `pg_authid`, `pg_user`, `pg_auth_members`, `pg_database`, `pg_tablespace`.

use datafusion::common::Result;

use super::super::System;
use super::super::facts::RoleFacts;
use super::rows::{Fill, Rows};
use crate::postgres::oids;
use crate::postgres::values::Value;

pub(super) fn fill(name: &str) -> Option<Fill> {
    Some(match name {
        "pg_roles" => roles,
        "pg_authid" => authentications,
        "pg_user" | "pg_shadow" => users,
        "pg_group" => groups,
        "pg_auth_members" => members,
        "pg_database" => databases,
        "pg_tablespace" => tablespaces,
        _ => return None,
    })
}

/// What is shown where PostgreSQL hides a password.
const HIDDEN: &str = "********";

fn valid_until(role: &RoleFacts) -> Value {
    let micros = role.valid_until_ms.map(|ms| ms.saturating_mul(1000));
    micros.map_or(Value::Null, Value::Time)
}

fn roles(system: &System, rows: &mut Rows) -> Result<()> {
    for role in system.facts.roles() {
        rows.push([
            ("rolname", (&role.name).into()),
            ("rolsuper", role.is_admin.into()),
            ("rolinherit", true.into()),
            ("rolcreaterole", role.is_admin.into()),
            ("rolcreatedb", role.is_admin.into()),
            ("rolcanlogin", role.may_sign_in.into()),
            ("rolreplication", role.is_admin.into()),
            ("rolconnlimit", (-1).into()),
            ("rolpassword", HIDDEN.into()),
            ("rolvaliduntil", valid_until(&role)),
            ("rolbypassrls", role.is_admin.into()),
            ("oid", oids::role(&role.name).into()),
        ])?;
    }
    Ok(())
}

/// As `pg_roles`; no password is shown, not even hashed.
fn authentications(system: &System, rows: &mut Rows) -> Result<()> {
    for role in system.facts.roles() {
        rows.push([
            ("oid", oids::role(&role.name).into()),
            ("rolname", (&role.name).into()),
            ("rolsuper", role.is_admin.into()),
            ("rolinherit", true.into()),
            ("rolcreaterole", role.is_admin.into()),
            ("rolcreatedb", role.is_admin.into()),
            ("rolcanlogin", role.may_sign_in.into()),
            ("rolreplication", role.is_admin.into()),
            ("rolbypassrls", role.is_admin.into()),
            ("rolconnlimit", (-1).into()),
            ("rolvaliduntil", valid_until(&role)),
        ])?;
    }
    Ok(())
}

fn users(system: &System, rows: &mut Rows) -> Result<()> {
    let all = system.facts.roles().into_iter();
    for role in all.filter(|role| role.may_sign_in) {
        rows.push([
            ("usename", (&role.name).into()),
            ("usesysid", oids::role(&role.name).into()),
            ("usecreatedb", role.is_admin.into()),
            ("usesuper", role.is_admin.into()),
            ("userepl", role.is_admin.into()),
            ("usebypassrls", role.is_admin.into()),
            ("passwd", HIDDEN.into()),
            ("valuntil", valid_until(&role)),
        ])?;
    }
    Ok(())
}

fn groups(system: &System, rows: &mut Rows) -> Result<()> {
    let all = system.facts.roles();
    for role in all.iter().filter(|role| !role.may_sign_in) {
        let members = all.iter().filter(|it| it.member_of.contains(&role.name));
        let members = members.map(|member| oids::role(&member.name));
        rows.push([
            ("groname", (&role.name).into()),
            ("grosysid", oids::role(&role.name).into()),
            ("grolist", Value::Oids(members.collect())),
        ])?;
    }
    Ok(())
}

fn members(system: &System, rows: &mut Rows) -> Result<()> {
    for role in system.facts.roles() {
        for group in &role.member_of {
            rows.push([
                ("roleid", oids::role(group).into()),
                ("member", oids::role(&role.name).into()),
                ("grantor", oids::OWNER.into()),
            ])?;
        }
    }
    Ok(())
}

fn databases(system: &System, rows: &mut Rows) -> Result<()> {
    rows.push([
        ("oid", oids::DATABASE.into()),
        ("datname", system.database().into()),
        ("datdba", oids::OWNER.into()),
        ("encoding", UTF8.into()),
        ("datlocprovider", 'c'.into()),
        ("datistemplate", false.into()),
        ("datallowconn", true.into()),
        ("datconnlimit", (-1).into()),
        ("dattablespace", oids::DEFAULT_TABLESPACE.into()),
        ("datcollate", "C".into()),
        ("datctype", "C".into()),
    ])
}

/// PostgreSQL's number of the encoding.
const UTF8: i32 = 6;

fn tablespaces(_: &System, rows: &mut Rows) -> Result<()> {
    for (oid, name) in [
        (oids::DEFAULT_TABLESPACE, "pg_default"),
        (1664, "pg_global"),
    ] {
        rows.push([
            ("oid", oid.into()),
            ("spcname", name.into()),
            ("spcowner", oids::OWNER.into()),
        ])?;
    }
    Ok(())
}
