//! `columns`, and the types of what is in them.

use datafusion::common::Result;
use weir_catalog::ObjectKind;

use super::super::pg_catalog::{Fill, Rows};
use super::super::{DATABASE, System};
use super::yes_or_no;
use crate::postgres::{Type, TypeRef, numbered};

pub(super) fn fill(name: &str) -> Option<Fill> {
    Some(match name {
        "columns" => columns,
        "element_types" => element_types,
        _ => return None,
    })
}

/// What the information schema says of a type beside its name.
#[derive(Debug, Default, PartialEq, Eq)]
struct Words {
    character_maximum_length: Option<i32>,
    character_octet_length: Option<i32>,
    numeric_precision: Option<i32>,
    numeric_precision_radix: Option<i32>,
    numeric_scale: Option<i32>,
    datetime_precision: Option<i32>,
}

/// The SQL name of a type as the information schema writes it: arrays are all `ARRAY`.
fn data_type(pg_type: &'static Type) -> &'static str {
    if pg_type.category == 'A' && pg_type.element != 0 {
        return "ARRAY";
    }
    pg_type.sql_name
}

/// Lengths and precisions (PostgreSQL manual, 37.17).
fn words(type_ref: TypeRef) -> Words {
    let modifier = Some(type_ref.modifier).filter(|modifier| *modifier >= 0);
    let binary = |bits, scale| Words {
        numeric_precision: Some(bits),
        numeric_precision_radix: Some(2),
        numeric_scale: scale,
        ..Words::default()
    };
    match type_ref.pg_type.name {
        "int2" => binary(16, Some(0)),
        "int4" => binary(32, Some(0)),
        "int8" => binary(64, Some(0)),
        "float4" => binary(24, None),
        "float8" => binary(53, None),
        "numeric" => Words {
            numeric_precision: modifier.map(|modifier| (modifier - 4) >> 16),
            numeric_precision_radix: Some(10),
            numeric_scale: modifier.map(|modifier| (modifier - 4) & 0xffff),
            ..Words::default()
        },
        "text" | "varchar" | "bpchar" => Words {
            character_maximum_length: modifier.map(|modifier| modifier - 4),
            character_octet_length: Some(1 << 30),
            ..Words::default()
        },
        "date" => Words {
            datetime_precision: Some(0),
            ..Words::default()
        },
        "time" | "timetz" | "timestamp" | "timestamptz" | "interval" => Words {
            datetime_precision: modifier.or(Some(6)),
            ..Words::default()
        },
        _ => Words::default(),
    }
}

fn columns(system: &System, rows: &mut Rows) -> Result<()> {
    for relation in system.relations() {
        let is_updatable = relation
            .entry()
            .is_some_and(|entry| entry.kind() == ObjectKind::Table);
        for (column, number) in relation.columns().into_iter().zip(1_usize..) {
            let pg_type = column.type_ref.pg_type;
            let words = words(column.type_ref);
            rows.push([
                ("table_catalog", DATABASE.into()),
                ("table_schema", relation.schema().to_owned().into()),
                ("table_name", relation.name().to_owned().into()),
                ("column_name", column.name.into_owned().into()),
                ("ordinal_position", number.into()),
                ("column_default", column.default.into()),
                ("is_nullable", yes_or_no(!column.not_null)),
                ("data_type", data_type(pg_type).into()),
                (
                    "character_maximum_length",
                    words.character_maximum_length.into(),
                ),
                (
                    "character_octet_length",
                    words.character_octet_length.into(),
                ),
                ("numeric_precision", words.numeric_precision.into()),
                (
                    "numeric_precision_radix",
                    words.numeric_precision_radix.into(),
                ),
                ("numeric_scale", words.numeric_scale.into()),
                ("datetime_precision", words.datetime_precision.into()),
                ("udt_catalog", DATABASE.into()),
                ("udt_schema", "pg_catalog".into()),
                ("udt_name", pg_type.name.into()),
                ("dtd_identifier", number.to_string().into()),
                ("is_self_referencing", yes_or_no(false)),
                ("is_identity", yes_or_no(false)),
                ("identity_cycle", yes_or_no(false)),
                ("is_generated", "NEVER".into()),
                ("is_updatable", yes_or_no(is_updatable)),
            ])?;
        }
    }
    Ok(())
}

/// What the arrays among columns are arrays of.
fn element_types(system: &System, rows: &mut Rows) -> Result<()> {
    for relation in system.relations() {
        for (column, number) in relation.columns().into_iter().zip(1_usize..) {
            let pg_type = column.type_ref.pg_type;
            let Some(element) = numbered(pg_type.element).filter(|_| pg_type.category == 'A')
            else {
                continue;
            };
            rows.push([
                ("object_catalog", DATABASE.into()),
                ("object_schema", relation.schema().to_owned().into()),
                ("object_name", relation.name().to_owned().into()),
                (
                    "object_type",
                    match relation.kind() {
                        'v' | 'm' => "VIEW",
                        _ => "TABLE",
                    }
                    .into(),
                ),
                ("collection_type_identifier", number.to_string().into()),
                ("data_type", element.sql_name.into()),
                ("udt_catalog", DATABASE.into()),
                ("udt_schema", "pg_catalog".into()),
                ("udt_name", element.name.into()),
                ("dtd_identifier", format!("a{number}").into()),
            ])?;
        }
    }
    Ok(())
}
