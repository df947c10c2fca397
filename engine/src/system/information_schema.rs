//! `information_schema`, in the PostgreSQL manual's columns and types (chapter 35), as far as Weir has what they describe.

use datafusion::common::Result;
use weir_catalog::{Body, Entry, ObjectKind, RESERVED_SCHEMAS};

use super::pg_types::{PgType, pg_type};
use super::rows::{Definition, Rows, Type, Value, int, yes_or_no};
use super::{DATABASE, OWNER, System, definitions};
use Type::{Int, Text};

pub(super) static TABLES: [Definition; 9] = [
    SCHEMATA,
    TABLES_TABLE,
    COLUMNS,
    VIEWS,
    TABLE_CONSTRAINTS,
    KEY_COLUMN_USAGE,
    CONSTRAINT_COLUMN_USAGE,
    CHECK_CONSTRAINTS,
    REFERENTIAL_CONSTRAINTS,
];

const SCHEMATA: Definition = Definition {
    name: "schemata",
    columns: &[
        ("catalog_name", Text),
        ("schema_name", Text),
        ("schema_owner", Text),
        ("default_character_set_catalog", Text),
        ("default_character_set_schema", Text),
        ("default_character_set_name", Text),
        ("sql_path", Text),
    ],
    fill: schemata,
};

const TABLES_TABLE: Definition = Definition {
    name: "tables",
    columns: &[
        ("table_catalog", Text),
        ("table_schema", Text),
        ("table_name", Text),
        ("table_type", Text),
        ("self_referencing_column_name", Text),
        ("reference_generation", Text),
        ("user_defined_type_catalog", Text),
        ("user_defined_type_schema", Text),
        ("user_defined_type_name", Text),
        ("is_insertable_into", Text),
        ("is_typed", Text),
        ("commit_action", Text),
    ],
    fill: tables,
};

const COLUMNS: Definition = Definition {
    name: "columns",
    columns: &[
        ("table_catalog", Text),
        ("table_schema", Text),
        ("table_name", Text),
        ("column_name", Text),
        ("ordinal_position", Int),
        ("column_default", Text),
        ("is_nullable", Text),
        ("data_type", Text),
        ("character_maximum_length", Int),
        ("character_octet_length", Int),
        ("numeric_precision", Int),
        ("numeric_precision_radix", Int),
        ("numeric_scale", Int),
        ("datetime_precision", Int),
        ("interval_type", Text),
        ("interval_precision", Int),
        ("character_set_catalog", Text),
        ("character_set_schema", Text),
        ("character_set_name", Text),
        ("collation_catalog", Text),
        ("collation_schema", Text),
        ("collation_name", Text),
        ("domain_catalog", Text),
        ("domain_schema", Text),
        ("domain_name", Text),
        ("udt_catalog", Text),
        ("udt_schema", Text),
        ("udt_name", Text),
        ("scope_catalog", Text),
        ("scope_schema", Text),
        ("scope_name", Text),
        ("maximum_cardinality", Int),
        ("dtd_identifier", Text),
        ("is_self_referencing", Text),
        ("is_identity", Text),
        ("identity_generation", Text),
        ("identity_start", Text),
        ("identity_increment", Text),
        ("identity_maximum", Text),
        ("identity_minimum", Text),
        ("identity_cycle", Text),
        ("is_generated", Text),
        ("generation_expression", Text),
        ("is_updatable", Text),
    ],
    fill: columns,
};

const VIEWS: Definition = Definition {
    name: "views",
    columns: &[
        ("table_catalog", Text),
        ("table_schema", Text),
        ("table_name", Text),
        ("view_definition", Text),
        ("check_option", Text),
        ("is_updatable", Text),
        ("is_insertable_into", Text),
        ("is_trigger_updatable", Text),
        ("is_trigger_deletable", Text),
        ("is_trigger_insertable_into", Text),
    ],
    fill: views,
};

const TABLE_CONSTRAINTS: Definition = Definition {
    name: "table_constraints",
    columns: &[
        ("constraint_catalog", Text),
        ("constraint_schema", Text),
        ("constraint_name", Text),
        ("table_catalog", Text),
        ("table_schema", Text),
        ("table_name", Text),
        ("constraint_type", Text),
        ("is_deferrable", Text),
        ("initially_deferred", Text),
        ("enforced", Text),
        ("nulls_distinct", Text),
    ],
    fill: table_constraints,
};

const KEY_COLUMN_USAGE: Definition = Definition {
    name: "key_column_usage",
    columns: &[
        ("constraint_catalog", Text),
        ("constraint_schema", Text),
        ("constraint_name", Text),
        ("table_catalog", Text),
        ("table_schema", Text),
        ("table_name", Text),
        ("column_name", Text),
        ("ordinal_position", Int),
        ("position_in_unique_constraint", Int),
    ],
    fill: key_column_usage,
};

const CONSTRAINT_COLUMN_USAGE: Definition = Definition {
    name: "constraint_column_usage",
    columns: &[
        ("table_catalog", Text),
        ("table_schema", Text),
        ("table_name", Text),
        ("column_name", Text),
        ("constraint_catalog", Text),
        ("constraint_schema", Text),
        ("constraint_name", Text),
    ],
    fill: constraint_column_usage,
};

const CHECK_CONSTRAINTS: Definition = Definition {
    name: "check_constraints",
    columns: &[
        ("constraint_catalog", Text),
        ("constraint_schema", Text),
        ("constraint_name", Text),
        ("check_clause", Text),
    ],
    fill: check_constraints,
};

/// Always empty: there are no foreign keys. It is here because tools ask for it without looking whether it is.
const REFERENTIAL_CONSTRAINTS: Definition = Definition {
    name: "referential_constraints",
    columns: &[
        ("constraint_catalog", Text),
        ("constraint_schema", Text),
        ("constraint_name", Text),
        ("unique_constraint_catalog", Text),
        ("unique_constraint_schema", Text),
        ("unique_constraint_name", Text),
        ("match_option", Text),
        ("update_rule", Text),
        ("delete_rule", Text),
    ],
    fill: |_, _| Ok(()),
};

fn schemata(system: &System, rows: &mut Rows) -> Result<()> {
    let own = system
        .catalog
        .schemas()
        .map(|schema| schema.name.name.as_str());
    // `pg_catalog` is reserved, but there is nothing in it yet.
    let reserved = RESERVED_SCHEMAS
        .into_iter()
        .filter(|schema| *schema != "pg_catalog");
    for schema in own.chain(reserved) {
        rows.push([
            ("catalog_name", DATABASE.into()),
            ("schema_name", schema.into()),
            ("schema_owner", OWNER.into()),
        ])?;
    }
    Ok(())
}

fn tables(system: &System, rows: &mut Rows) -> Result<()> {
    let mut push = |schema: &str, name: &str, table_type: &str, is_insertable: bool| {
        rows.push([
            ("table_catalog", DATABASE.into()),
            ("table_schema", schema.into()),
            ("table_name", name.into()),
            ("table_type", table_type.into()),
            ("is_insertable_into", yes_or_no(is_insertable)),
            ("is_typed", yes_or_no(false)),
        ])
    };
    for entry in system.catalog.relations() {
        let table_type = match entry.kind() {
            ObjectKind::View | ObjectKind::MaterializedView => "VIEW",
            ObjectKind::ExternalTable => "FOREIGN",
            _ => "BASE TABLE",
        };
        let is_insertable = !matches!(
            entry.kind(),
            ObjectKind::View | ObjectKind::MaterializedView
        );
        push(
            &entry.name.schema,
            &entry.name.name,
            table_type,
            is_insertable,
        )?;
    }
    for (schema, definition) in definitions() {
        push(schema, definition.name, "VIEW", false)?;
    }
    Ok(())
}

/// A column as `information_schema.columns` shows it.
struct ShownColumn<'a> {
    schema: &'a str,
    table: &'a str,
    name: &'a str,
    /// From 0.
    position: usize,
    default: Option<&'a String>,
    nullable: bool,
    pg_type: PgType,
    updatable: bool,
}

fn columns(system: &System, rows: &mut Rows) -> Result<()> {
    for entry in system.catalog.relations() {
        for (position, column) in all_columns(entry).enumerate() {
            let shown = ShownColumn {
                schema: &entry.name.schema,
                table: &entry.name.name,
                name: &column.name,
                position,
                default: column.default.as_ref(),
                nullable: column.nullable,
                pg_type: pg_type(&column.data_type, column.logical),
                updatable: entry.kind() == ObjectKind::Table,
            };
            push_column(rows, &shown)?;
        }
    }
    for (schema, definition) in definitions() {
        for (position, (name, data_type)) in definition.columns.iter().enumerate() {
            let shown = ShownColumn {
                schema,
                table: definition.name,
                name,
                position,
                default: None,
                nullable: true,
                pg_type: pg_type(&data_type.arrow(), None),
                updatable: false,
            };
            push_column(rows, &shown)?;
        }
    }
    Ok(())
}

fn push_column(rows: &mut Rows, column: &ShownColumn<'_>) -> Result<()> {
    let pg_type = column.pg_type;
    let octet_length = (pg_type.data_type == "text").then_some(1 << 30);
    rows.push([
        ("table_catalog", DATABASE.into()),
        ("table_schema", column.schema.into()),
        ("table_name", column.table.into()),
        ("column_name", column.name.into()),
        ("ordinal_position", int(column.position + 1)),
        ("column_default", column.default.into()),
        ("is_nullable", yes_or_no(column.nullable)),
        ("data_type", pg_type.data_type.into()),
        ("character_octet_length", octet_length.into()),
        ("numeric_precision", pg_type.numeric_precision.into()),
        (
            "numeric_precision_radix",
            pg_type.numeric_precision_radix.into(),
        ),
        ("numeric_scale", pg_type.numeric_scale.into()),
        ("datetime_precision", pg_type.datetime_precision.into()),
        ("udt_catalog", DATABASE.into()),
        ("udt_schema", "pg_catalog".into()),
        ("udt_name", pg_type.udt_name.into()),
        ("dtd_identifier", (column.position + 1).to_string().into()),
        ("is_self_referencing", yes_or_no(false)),
        ("is_identity", yes_or_no(false)),
        ("identity_cycle", yes_or_no(false)),
        ("is_generated", "NEVER".into()),
        ("is_updatable", yes_or_no(column.updatable)),
    ])
}

/// A relation's columns, and after them those that its folders' names give.
pub(crate) fn all_columns(entry: &Entry) -> impl Iterator<Item = &weir_catalog::Column> {
    let partitions = match &entry.body {
        Body::ExternalTable(table) => table.partitioned_by.as_slice(),
        _ => &[],
    };
    entry.columns().iter().chain(partitions)
}

fn views(system: &System, rows: &mut Rows) -> Result<()> {
    for entry in system.catalog.of_kind(ObjectKind::View) {
        let Body::View(view) = &entry.body else {
            continue;
        };
        rows.push([
            ("table_catalog", DATABASE.into()),
            ("table_schema", (&entry.name.schema).into()),
            ("table_name", (&entry.name.name).into()),
            ("view_definition", (&view.sql).into()),
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

/// The name that PostgreSQL gives a primary key.
fn primary_key_name(entry: &Entry) -> String {
    format!("{}_pkey", entry.name.name)
}

fn table_constraints(system: &System, rows: &mut Rows) -> Result<()> {
    for entry in system.catalog.relations() {
        let key =
            (!entry.primary_key().is_empty()).then(|| (primary_key_name(entry), "PRIMARY KEY"));
        let checks = entry
            .checks()
            .iter()
            .map(|check| (check.name.clone(), "CHECK"));
        for (name, constraint_type) in key.into_iter().chain(checks) {
            let nulls_distinct = (constraint_type == "PRIMARY KEY").then_some("YES");
            rows.push([
                ("constraint_catalog", DATABASE.into()),
                ("constraint_schema", (&entry.name.schema).into()),
                ("constraint_name", name.into()),
                ("table_catalog", DATABASE.into()),
                ("table_schema", (&entry.name.schema).into()),
                ("table_name", (&entry.name.name).into()),
                ("constraint_type", constraint_type.into()),
                ("is_deferrable", yes_or_no(false)),
                ("initially_deferred", yes_or_no(false)),
                ("enforced", yes_or_no(true)),
                ("nulls_distinct", nulls_distinct.into()),
            ])?;
        }
    }
    Ok(())
}

fn key_column_usage(system: &System, rows: &mut Rows) -> Result<()> {
    for entry in system.catalog.relations() {
        for (position, column) in entry.primary_key().iter().enumerate() {
            rows.push([
                ("constraint_catalog", DATABASE.into()),
                ("constraint_schema", (&entry.name.schema).into()),
                ("constraint_name", primary_key_name(entry).into()),
                ("table_catalog", DATABASE.into()),
                ("table_schema", (&entry.name.schema).into()),
                ("table_name", (&entry.name.name).into()),
                ("column_name", column.into()),
                ("ordinal_position", int(position + 1)),
            ])?;
        }
    }
    Ok(())
}

fn constraint_column_usage(system: &System, rows: &mut Rows) -> Result<()> {
    for entry in system.catalog.relations() {
        let mut push = |column: &String, constraint: Value| {
            rows.push([
                ("table_catalog", DATABASE.into()),
                ("table_schema", (&entry.name.schema).into()),
                ("table_name", (&entry.name.name).into()),
                ("column_name", column.into()),
                ("constraint_catalog", DATABASE.into()),
                ("constraint_schema", (&entry.name.schema).into()),
                ("constraint_name", constraint),
            ])
        };
        for column in entry.primary_key() {
            push(column, primary_key_name(entry).into())?;
        }
        for check in entry.checks() {
            for column in entry.columns() {
                let relation = &entry.name.name;
                if weir_catalog::ident::mentions_column(&check.sql, relation, &column.name) {
                    push(&column.name, (&check.name).into())?;
                }
            }
        }
    }
    Ok(())
}

fn check_constraints(system: &System, rows: &mut Rows) -> Result<()> {
    for entry in system.catalog.relations() {
        for check in entry.checks() {
            rows.push([
                ("constraint_catalog", DATABASE.into()),
                ("constraint_schema", (&entry.name.schema).into()),
                ("constraint_name", (&check.name).into()),
                ("check_clause", (&check.sql).into()),
            ])?;
        }
    }
    Ok(())
}
