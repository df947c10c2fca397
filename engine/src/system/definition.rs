//! The text of definitions, as PostgreSQL gives it: `pg_get_viewdef` and its kin.

use weir_catalog::{Check, Entry, quote_ident};

use super::objects::key_name;

/// The query of a view, with the semicolon that PostgreSQL ends it with.
pub(crate) fn view(sql: &str) -> String {
    format!("{};", sql.trim_end().trim_end_matches(';'))
}

/// The primary key as a constraint.
pub(crate) fn key_constraint(entry: &Entry) -> String {
    format!("PRIMARY KEY ({})", key_columns(entry))
}

/// The primary key as an index.
pub(crate) fn key_index(entry: &Entry) -> String {
    format!(
        "CREATE UNIQUE INDEX {} ON {}.{} USING btree ({})",
        quote_ident(&key_name(entry)),
        quote_ident(&entry.name.schema),
        quote_ident(&entry.name.name),
        key_columns(entry)
    )
}

/// A check as a constraint.
pub(crate) fn check(check: &Check) -> String {
    format!("CHECK (({}))", check.sql)
}

fn key_columns(entry: &Entry) -> String {
    let columns: Vec<String> = entry
        .primary_key()
        .iter()
        .map(|name| quote_ident(name))
        .collect();
    columns.join(", ")
}
