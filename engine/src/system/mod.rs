//! What the server says about itself in rows: `information_schema`, the `weir.*` tables, `SHOW` and `DESCRIBE`.
//!
//! Each table is a [`Definition`]: a name, columns, and a function that fills rows from a [`System`], which is one catalog
//! snapshot and the facts that the catalog does not have ([`Facts`]). Rows are made when the table is scanned, not before.
//! To wire it in: [`System::of`], then [`table`] for a name in `FROM`, and [`show`] and its kin for statements.

mod access;
mod engine_facts;
mod facts;
mod groups;
mod information_schema;
mod jobs;
mod pg_types;
mod provider;
mod rows;
mod show;
mod sinks;
mod tables;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use weir_catalog::{ObjectName, Snapshot};

use crate::security::Rights;
use facts::Facts;
pub(crate) use information_schema::all_columns;
use provider::SystemTable;
use rows::Definition;
pub(crate) use show::{
    describe_entry, describe_schema, show, show_all, show_create, show_variable,
};

/// The name of the one database.
pub(crate) const DATABASE: &str = "weir";

/// The user on a server without credentials.
const OWNER: &str = "weir";

/// What system tables are made from.
#[derive(Debug, Clone)]
pub(crate) struct System {
    /// The catalog of the statement that reads them.
    pub(crate) catalog: Arc<Snapshot>,
    /// What the catalog does not have.
    pub(crate) facts: Arc<dyn Facts>,
    /// Those of its reader.
    pub(crate) rights: Arc<Rights>,
}

/// The system table of this name, if there is one.
pub(crate) fn table(name: &ObjectName, system: &System) -> Option<Arc<dyn TableProvider>> {
    let definition = definitions()
        .find(|(schema, definition)| *schema == name.schema && definition.name == name.name);
    definition.map(|(_, definition)| SystemTable::provider(definition, system.clone()))
}

/// All system tables: their schemas, their names, their columns.
pub(crate) fn tables() -> impl Iterator<Item = (&'static str, &'static str, SchemaRef)> {
    definitions().map(|(schema, definition)| (schema, definition.name, definition.schema()))
}

/// All system tables with their schemas.
fn definitions() -> impl Iterator<Item = (&'static str, &'static Definition)> {
    let standard = information_schema::TABLES.iter();
    let own = tables::TABLES.iter();
    standard
        .map(|definition| ("information_schema", definition))
        .chain(
            own.chain(&access::TABLES)
                .chain([&groups::CONSUMER_GROUPS])
                .map(|definition| ("weir", definition)),
        )
}

#[cfg(test)]
mod tests;
