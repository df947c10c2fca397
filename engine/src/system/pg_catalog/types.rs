//! `pg_type`: PostgreSQL's types that we have, and the types of the rows of relations.

use datafusion::common::Result;

use super::super::System;
use super::super::objects::Relation;
use super::rows::{Fill, Rows};
use crate::postgres::{all, named, oids};

pub(super) fn fill(name: &str) -> Option<Fill> {
    (name == "pg_type").then_some(types as Fill)
}

fn types(system: &System, rows: &mut Rows) -> Result<()> {
    for pg_type in all() {
        let [
            input,
            output,
            receive,
            send,
            modifier_in,
            modifier_out,
            subscript,
            analyze,
        ] = pg_type.functions;
        rows.push([
            ("oid", pg_type.oid.into()),
            ("typname", pg_type.name.into()),
            ("typnamespace", oids::CATALOG_SCHEMA.into()),
            ("typowner", oids::OWNER.into()),
            ("typlen", pg_type.len.into()),
            ("typbyval", pg_type.by_value.into()),
            ("typtype", pg_type.kind.into()),
            ("typcategory", pg_type.category.into()),
            ("typispreferred", pg_type.preferred.into()),
            ("typisdefined", true.into()),
            ("typdelim", pg_type.delimiter.into()),
            ("typrelid", 0_u32.into()),
            ("typsubscript", subscript.into()),
            ("typelem", pg_type.element.into()),
            ("typarray", pg_type.array.into()),
            ("typinput", input.into()),
            ("typoutput", output.into()),
            ("typreceive", receive.into()),
            ("typsend", send.into()),
            ("typmodin", modifier_in.into()),
            ("typmodout", modifier_out.into()),
            ("typanalyze", analyze.into()),
            ("typalign", pg_type.align.into()),
            ("typstorage", pg_type.storage.into()),
            ("typtypmod", (-1).into()),
            ("typcollation", pg_type.collation.into()),
        ])?;
    }
    for entry in system.catalog.relations() {
        let relation = Relation::Own(entry);
        let schema = system.schema_oid(&entry.name.schema);
        let array = oids::row_array_type(entry.id);
        row_type(rows, relation, schema, array)?;
        array_type(rows, relation, schema, array)?;
    }
    Ok(())
}

/// The type of a relation's rows, read and written as records are.
fn row_type(rows: &mut Rows, relation: Relation<'_>, schema: u32, array: u32) -> Result<()> {
    let functions = named("record").map_or([0; 8], |record| record.functions);
    let [input, output, receive, send, ..] = functions;
    rows.push([
        ("oid", relation.row_type().into()),
        ("typname", relation.name().to_owned().into()),
        ("typnamespace", schema.into()),
        ("typowner", oids::OWNER.into()),
        ("typlen", (-1).into()),
        ("typtype", 'c'.into()),
        ("typcategory", 'C'.into()),
        ("typisdefined", true.into()),
        ("typdelim", ','.into()),
        ("typrelid", relation.oid().into()),
        ("typarray", array.into()),
        ("typinput", input.into()),
        ("typoutput", output.into()),
        ("typreceive", receive.into()),
        ("typsend", send.into()),
        ("typalign", 'd'.into()),
        ("typstorage", 'x'.into()),
        ("typtypmod", (-1).into()),
    ])
}

fn array_type(rows: &mut Rows, relation: Relation<'_>, schema: u32, array: u32) -> Result<()> {
    let functions = named("_text").map_or([0; 8], |texts| texts.functions);
    let [input, output, receive, send, _, _, subscript, analyze] = functions;
    rows.push([
        ("oid", array.into()),
        ("typname", format!("_{}", relation.name()).into()),
        ("typnamespace", schema.into()),
        ("typowner", oids::OWNER.into()),
        ("typlen", (-1).into()),
        ("typtype", 'b'.into()),
        ("typcategory", 'A'.into()),
        ("typisdefined", true.into()),
        ("typdelim", ','.into()),
        ("typelem", relation.row_type().into()),
        ("typsubscript", subscript.into()),
        ("typinput", input.into()),
        ("typoutput", output.into()),
        ("typreceive", receive.into()),
        ("typsend", send.into()),
        ("typanalyze", analyze.into()),
        ("typalign", 'd'.into()),
        ("typstorage", 'x'.into()),
        ("typtypmod", (-1).into()),
    ])
}
