//! `schemata`, `tables`, `views`, and the names of what all lies in.

use datafusion::common::Result;
use weir_catalog::{Entry, ObjectKind};

use super::super::objects::Relation;
use super::super::pg_catalog::{Fill, Rows};
use super::super::{DATABASE, OWNER, System, definition};
use super::yes_or_no;

pub(super) fn fill(name: &str) -> Option<Fill> {
    Some(match name {
        "schemata" => schemata,
        "tables" => tables,
        "views" => views,
        "view_table_usage" => view_table_usage,
        "foreign_tables" => foreign_tables,
        "information_schema_catalog_name" => catalog_name,
        "character_sets" => character_sets,
        "collations" => collations,
        _ => return None,
    })
}

fn schemata(system: &System, rows: &mut Rows) -> Result<()> {
    for schema in system.schemas() {
        rows.push([
            ("catalog_name", DATABASE.into()),
            ("schema_name", schema.name.to_owned().into()),
            ("schema_owner", OWNER.into()),
        ])?;
    }
    Ok(())
}

fn tables(system: &System, rows: &mut Rows) -> Result<()> {
    for relation in system.relations() {
        let table_type = match relation.kind() {
            'v' | 'm' => "VIEW",
            'f' => "FOREIGN",
            _ if relation.entry().is_some_and(Entry::is_temporary) => "LOCAL TEMPORARY",
            _ => "BASE TABLE",
        };
        let is_insertable = relation.entry().is_some_and(|entry| {
            !matches!(
                entry.kind(),
                ObjectKind::View | ObjectKind::MaterializedView
            )
        });
        rows.push([
            ("table_catalog", DATABASE.into()),
            ("table_schema", relation.schema().to_owned().into()),
            ("table_name", relation.name().to_owned().into()),
            ("table_type", table_type.into()),
            ("is_insertable_into", yes_or_no(is_insertable)),
            ("is_typed", yes_or_no(false)),
        ])?;
    }
    Ok(())
}

/// The views of users, those that are kept among them.
fn own_views(system: &System) -> impl Iterator<Item = (Relation<'_>, &str)> {
    let own = system.catalog.relations().map(|entry| Relation::Own(entry));
    own.filter_map(|relation| Some((relation, relation.view_sql()?)))
}

fn views(system: &System, rows: &mut Rows) -> Result<()> {
    for (relation, sql) in own_views(system) {
        rows.push([
            ("table_catalog", DATABASE.into()),
            ("table_schema", relation.schema().to_owned().into()),
            ("table_name", relation.name().to_owned().into()),
            ("view_definition", definition::view(sql).into()),
            ("check_option", "NONE".into()),
            ("is_updatable", yes_or_no(false)),
            ("is_insertable_into", yes_or_no(false)),
            ("is_trigger_updatable", yes_or_no(false)),
            ("is_trigger_deletable", yes_or_no(false)),
            ("is_trigger_insertable_into", yes_or_no(false)),
        ])?;
    }
    Ok(())
}

fn view_table_usage(system: &System, rows: &mut Rows) -> Result<()> {
    for (relation, _) in own_views(system) {
        let Some(entry) = relation.entry() else {
            continue;
        };
        for needed in entry.depends_on.iter().filter_map(|id| system.entry(*id)) {
            rows.push([
                ("view_catalog", DATABASE.into()),
                ("view_schema", relation.schema().to_owned().into()),
                ("view_name", relation.name().to_owned().into()),
                ("table_catalog", DATABASE.into()),
                ("table_schema", (&needed.name.schema).into()),
                ("table_name", (&needed.name.name).into()),
            ])?;
        }
    }
    Ok(())
}

fn foreign_tables(system: &System, rows: &mut Rows) -> Result<()> {
    for entry in system.catalog.of_kind(ObjectKind::ExternalTable) {
        rows.push([
            ("foreign_table_catalog", DATABASE.into()),
            ("foreign_table_schema", (&entry.name.schema).into()),
            ("foreign_table_name", (&entry.name.name).into()),
            ("foreign_server_catalog", DATABASE.into()),
            ("foreign_server_name", "files".into()),
        ])?;
    }
    Ok(())
}

fn catalog_name(_: &System, rows: &mut Rows) -> Result<()> {
    rows.push([("catalog_name", DATABASE.into())])
}

fn character_sets(_: &System, rows: &mut Rows) -> Result<()> {
    rows.push([
        ("character_set_name", "UTF8".into()),
        ("character_repertoire", "UCS".into()),
        ("form_of_use", "UTF8".into()),
        ("default_collate_catalog", DATABASE.into()),
        ("default_collate_schema", "pg_catalog".into()),
        ("default_collate_name", "C".into()),
    ])
}

fn collations(_: &System, rows: &mut Rows) -> Result<()> {
    for name in ["default", "C", "POSIX"] {
        rows.push([
            ("collation_catalog", DATABASE.into()),
            ("collation_schema", "pg_catalog".into()),
            ("collation_name", name.into()),
            ("pad_attribute", "NO PAD".into()),
        ])?;
    }
    Ok(())
}
