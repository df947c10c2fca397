//! `information_schema`, in PostgreSQL 15's columns and types, as far as Weir has what they describe.
//!
//! As in `pg_catalog`, the columns are read from a table of facts, and a view without a function that fills it is empty. One thing
//! differs from PostgreSQL: materialized views are listed as views, because many tools look for relations here alone.

mod columns;
mod constraints;
mod privileges;
mod relations;
mod routines;

use weir_catalog::{Body, Entry};

use super::pg_catalog::Fill;
use crate::postgres::values::Value;

/// The function that fills the view of this name.
pub(super) fn fill(name: &str) -> Option<Fill> {
    relations::fill(name)
        .or_else(|| columns::fill(name))
        .or_else(|| constraints::fill(name))
        .or_else(|| privileges::fill(name))
        .or_else(|| routines::fill(name))
}

/// `YES` or `NO`, as the SQL standard writes truth in its information schema.
fn yes_or_no(yes: bool) -> Value {
    Value::from(if yes { "YES" } else { "NO" })
}

/// A relation's columns, and after them those that its folders' names give.
pub(crate) fn all_columns(entry: &Entry) -> impl Iterator<Item = &weir_catalog::Column> {
    let partitions = match &entry.body {
        Body::ExternalTable(table) => table.partitioned_by.as_slice(),
        _ => &[],
    };
    entry.columns().iter().chain(partitions)
}
