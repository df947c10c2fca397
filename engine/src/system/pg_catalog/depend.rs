//! What depends on what, and what was said of it: `pg_depend`, `pg_description`.

use datafusion::common::Result;
use weir_catalog::Entry;

use super::super::System;
use super::super::objects::{Relation, is_shown};
use super::rows::{Fill, Rows};
use crate::postgres::oids;

pub(super) fn fill(name: &str) -> Option<Fill> {
    Some(match name {
        "pg_depend" => dependencies,
        "pg_description" => descriptions,
        _ => return None,
    })
}

/// How one object depends on another.
struct Dependency {
    of: (u32, u32),
    on: (u32, u32, usize),
    /// `n` for one that stands in the way of a drop, `a` for one that goes along, `i` for a part.
    kind: char,
}

fn dependencies(system: &System, rows: &mut Rows) -> Result<()> {
    for entry in system.catalog.relations() {
        for dependency in of_entry(system, entry) {
            let (class, object) = dependency.of;
            let (on_class, on_object, on_column) = dependency.on;
            rows.push([
                ("classid", class.into()),
                ("objid", object.into()),
                ("refclassid", on_class.into()),
                ("refobjid", on_object.into()),
                ("refobjsubid", on_column.into()),
                ("deptype", dependency.kind.into()),
            ])?;
        }
    }
    Ok(())
}

fn of_entry(system: &System, entry: &Entry) -> Vec<Dependency> {
    let relation = Relation::Own(entry);
    let own = (oids::PG_CLASS, relation.oid());
    let whole = (oids::PG_CLASS, relation.oid(), 0);
    let schema = system.schema_oid(&entry.name.schema);
    let mut found = vec![
        Dependency {
            of: own,
            on: (oids::PG_NAMESPACE, schema, 0),
            kind: 'n',
        },
        Dependency {
            of: (oids::PG_TYPE, relation.row_type()),
            on: whole,
            kind: 'i',
        },
    ];
    if relation.view_sql().is_some() {
        let rule = (oids::PG_REWRITE, oids::view_rule(entry.id));
        found.push(Dependency {
            of: rule,
            on: whole,
            kind: 'i',
        });
        found.extend(entry.depends_on.iter().filter_map(|id| {
            let needed = system.entry(*id)?;
            is_shown(needed).then(|| Dependency {
                of: rule,
                on: (oids::PG_CLASS, oids::relation(*id), 0),
                kind: 'n',
            })
        }));
    }
    let columns = relation.columns();
    for (column, number) in columns.iter().zip(1..) {
        if column.default.is_some() {
            found.push(Dependency {
                of: (oids::PG_ATTRDEF, oids::default(entry.id, &column.name)),
                on: (oids::PG_CLASS, relation.oid(), number),
                kind: 'a',
            });
        }
    }
    if !entry.primary_key().is_empty() {
        let constraint = oids::key_constraint(entry.id);
        found.extend(relation.key_columns().into_iter().map(|number| Dependency {
            of: (oids::PG_CONSTRAINT, constraint),
            on: (
                oids::PG_CLASS,
                relation.oid(),
                usize::try_from(number).unwrap_or_default(),
            ),
            kind: 'a',
        }));
        found.push(Dependency {
            of: (oids::PG_CLASS, oids::key_index(entry.id)),
            on: (oids::PG_CONSTRAINT, constraint, 0),
            kind: 'i',
        });
    }
    found.extend(entry.checks().iter().map(|check| Dependency {
        of: (oids::PG_CONSTRAINT, oids::check(entry.id, &check.name)),
        on: whole,
        kind: 'a',
    }));
    found
}

fn descriptions(system: &System, rows: &mut Rows) -> Result<()> {
    for schema in system.schemas() {
        if let Some(comment) = schema.comment {
            rows.push([
                ("objoid", schema.oid.into()),
                ("classoid", oids::PG_NAMESPACE.into()),
                ("objsubid", 0.into()),
                ("description", comment.into()),
            ])?;
        }
    }
    for entry in system.catalog.relations() {
        let relation = Relation::Own(entry);
        let columns = relation.columns();
        let own = columns.iter().map(|column| column.comment);
        let comments = std::iter::once(relation.comment()).chain(own);
        for (comment, number) in comments.zip(0_usize..) {
            if let Some(comment) = comment {
                rows.push([
                    ("objoid", relation.oid().into()),
                    ("classoid", oids::PG_CLASS.into()),
                    ("objsubid", number.into()),
                    ("description", comment.into()),
                ])?;
            }
        }
    }
    Ok(())
}
