//! What values can be done with: `pg_operator`, `pg_cast`, `pg_opclass`, `pg_opfamily`, `pg_am`, `pg_collation`.

use datafusion::common::Result;

use super::super::System;
use super::rows::{Fill, Rows};
use crate::postgres::{facts, named, oids};

pub(super) fn fill(name: &str) -> Option<Fill> {
    Some(match name {
        "pg_operator" => operators,
        "pg_cast" => casts,
        "pg_opclass" => classes,
        "pg_opfamily" => families,
        "pg_am" => methods,
        "pg_collation" => collations,
        _ => return None,
    })
}

fn operators(_: &System, rows: &mut Rows) -> Result<()> {
    for operator in facts::operators() {
        let [left, right, result, commutator, negator, code] = operator.numbers;
        rows.push([
            ("oid", operator.oid.into()),
            ("oprname", operator.name.into()),
            ("oprnamespace", oids::CATALOG_SCHEMA.into()),
            ("oprowner", oids::OWNER.into()),
            ("oprkind", operator.kind.into()),
            ("oprcanmerge", operator.can_merge.into()),
            ("oprcanhash", operator.can_hash.into()),
            ("oprleft", left.into()),
            ("oprright", right.into()),
            ("oprresult", result.into()),
            ("oprcom", commutator.into()),
            ("oprnegate", negator.into()),
            ("oprcode", code.into()),
        ])?;
    }
    Ok(())
}

fn casts(_: &System, rows: &mut Rows) -> Result<()> {
    for cast in facts::casts() {
        let [oid, source, target, function] = cast.numbers;
        rows.push([
            ("oid", oid.into()),
            ("castsource", source.into()),
            ("casttarget", target.into()),
            ("castfunc", function.into()),
            ("castcontext", cast.context.into()),
            ("castmethod", cast.method.into()),
        ])?;
    }
    Ok(())
}

fn classes(_: &System, rows: &mut Rows) -> Result<()> {
    for class in facts::operator_classes() {
        rows.push([
            ("oid", class.oid.into()),
            ("opcmethod", oids::BTREE.into()),
            ("opcname", class.name.into()),
            ("opcnamespace", oids::CATALOG_SCHEMA.into()),
            ("opcowner", oids::OWNER.into()),
            ("opcfamily", class.family.into()),
            ("opcintype", class.input.into()),
            ("opcdefault", class.is_default.into()),
            ("opckeytype", class.key.into()),
        ])?;
    }
    Ok(())
}

fn families(_: &System, rows: &mut Rows) -> Result<()> {
    let mut families: Vec<_> = facts::operator_classes()
        .iter()
        .map(|class| (class.family, class.family_name))
        .collect();
    families.sort_unstable();
    families.dedup();
    for (oid, name) in families {
        rows.push([
            ("oid", oid.into()),
            ("opfmethod", oids::BTREE.into()),
            ("opfname", name.into()),
            ("opfnamespace", oids::CATALOG_SCHEMA.into()),
            ("opfowner", oids::OWNER.into()),
        ])?;
    }
    Ok(())
}

/// How tables and keys are kept, in PostgreSQL's words.
fn methods(_: &System, rows: &mut Rows) -> Result<()> {
    for (oid, name, kind) in [(oids::HEAP, "heap", 't'), (oids::BTREE, "btree", 'i')] {
        rows.push([
            ("oid", oid.into()),
            ("amname", name.into()),
            ("amtype", kind.into()),
        ])?;
    }
    Ok(())
}

/// Text is compared byte by byte, which all three of PostgreSQL's built-in names mean here.
fn collations(_: &System, rows: &mut Rows) -> Result<()> {
    let default = named("text").map_or(100, |text| text.collation);
    for (oid, name, provider, locale) in [
        (default, "default", 'd', None),
        (950, "C", 'c', Some("C")),
        (951, "POSIX", 'c', Some("POSIX")),
    ] {
        rows.push([
            ("oid", oid.into()),
            ("collname", name.into()),
            ("collnamespace", oids::CATALOG_SCHEMA.into()),
            ("collowner", oids::OWNER.into()),
            ("collprovider", provider.into()),
            ("collisdeterministic", true.into()),
            ("collencoding", (-1).into()),
            ("collcollate", locale.into()),
            ("collctype", locale.into()),
        ])?;
    }
    Ok(())
}
