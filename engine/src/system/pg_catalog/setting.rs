//! `pg_settings`: what a session can set, and what PostgreSQL's clients ask about the server.

use datafusion::common::Result;

use super::super::System;
use super::rows::{Fill, Rows};

pub(super) fn fill(name: &str) -> Option<Fill> {
    (name == "pg_settings").then_some(settings as Fill)
}

/// What of PostgreSQL's settings is fixed here, and clients ask for: name, value, meaning.
const FIXED: &[(&str, &str, &str)] = &[
    (
        "block_size",
        "8192",
        "Bytes of a block; a size that clients reckon with.",
    ),
    ("bytea_output", "hex", "How bytes are written as text."),
    (
        "default_table_access_method",
        "heap",
        "How tables are kept: in the one way.",
    ),
    (
        "default_tablespace",
        "",
        "The tablespace of new tables: the only one.",
    ),
    (
        "default_transaction_deferrable",
        "off",
        "Whether transactions wait for a safe snapshot.",
    ),
    (
        "default_transaction_isolation",
        "repeatable read",
        "What a transaction sees of others.",
    ),
    (
        "default_transaction_read_only",
        "off",
        "Whether transactions may only read.",
    ),
    (
        "in_hot_standby",
        "off",
        "Whether the server only reads along.",
    ),
    (
        "integer_datetimes",
        "on",
        "Whether times are whole numbers.",
    ),
    (
        "intervalstyle",
        "postgres",
        "How intervals are written as text.",
    ),
    ("is_superuser", "on", "Whether the user may do all."),
    ("lc_collate", "C", "How text is ordered: by its bytes."),
    ("lc_ctype", "C", "How characters are told apart."),
    ("lc_messages", "C", "The language of messages."),
    ("lc_monetary", "C", "How money is written."),
    ("lc_numeric", "C", "How numbers are written."),
    ("lc_time", "C", "How times are written."),
    (
        "max_identifier_length",
        "63",
        "Bytes of a name that every client can show.",
    ),
    (
        "max_index_keys",
        "32",
        "Columns of an index that clients reckon with.",
    ),
    (
        "password_encryption",
        "scram-sha-256",
        "How passwords are kept.",
    ),
    ("server_encoding", "UTF8", "The encoding of text."),
    (
        "session_replication_role",
        "origin",
        "Whether triggers fire.",
    ),
    (
        "transaction_isolation",
        "repeatable read",
        "What this transaction sees of others.",
    ),
    (
        "transaction_read_only",
        "off",
        "Whether this transaction may only read.",
    ),
    ("wal_level", "logical", "How much the log has."),
];

/// The value of a setting that is fixed.
pub(crate) fn server_setting(name: &str) -> Option<String> {
    let found = FIXED.iter().find(|(fixed, ..)| *fixed == name);
    found.map(|(_, value, _)| (*value).to_owned())
}

fn settings(system: &System, rows: &mut Rows) -> Result<()> {
    let own = system.facts.settings();
    let own_names: Vec<String> = own.iter().map(|it| it.name.clone()).collect();
    let own = own
        .into_iter()
        .map(|it| (it.name, it.value, it.description, "user"));
    let fixed = FIXED
        .iter()
        .map(|(name, value, help)| (*name, (*value).to_owned(), *help))
        .filter(|(name, ..)| !own_names.iter().any(|own| own == name))
        .map(|(name, value, help)| (name.to_owned(), value, help.to_owned(), "internal"));
    let mut all: Vec<_> = own.chain(fixed).collect();
    all.sort();
    for (name, value, help, context) in all {
        let kind = match value.as_str() {
            "on" | "off" => "bool",
            text if text.parse::<i64>().is_ok() => "integer",
            _ => "string",
        };
        rows.push([
            ("name", shown_name(&name).into()),
            ("setting", (&value).into()),
            ("category", "Weir".into()),
            ("short_desc", help.into()),
            ("context", context.into()),
            ("vartype", kind.into()),
            ("source", "default".into()),
            ("boot_val", (&value).into()),
            ("reset_val", value.into()),
            ("pending_restart", false.into()),
        ])?;
    }
    Ok(())
}

/// The spelling that PostgreSQL has for three of them.
fn shown_name(name: &str) -> String {
    match name {
        "datestyle" => "DateStyle",
        "intervalstyle" => "IntervalStyle",
        "timezone" => "TimeZone",
        name => name,
    }
    .to_owned()
}
