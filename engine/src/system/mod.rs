//! What the server says about itself in rows: `pg_catalog`, `information_schema`, the `weir.*` tables, `SHOW` and `DESCRIBE`.
//!
//! Each table has columns and a function that fills rows from a [`System`], which is one catalog snapshot and the facts that the
//! catalog does not have ([`Facts`]). Rows are made when the table is scanned, not before. The columns of the `weir.*` tables are
//! written beside what fills them (`rows::Definition`); those of the other two are PostgreSQL's ([`crate::postgres`]).
//! To wire it in: [`System::of`], then [`table`] for a name in `FROM`, and [`show`] and its kin for statements.

mod access;
pub(crate) mod definition;
mod engine_facts;
pub(crate) mod facts;
mod groups;
mod information_schema;
mod jobs;
mod keywords;
pub(crate) mod objects;
mod operators;
mod pg_catalog;
mod provider;
mod rows;
mod show;
mod sinks;
mod tables;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use weir_catalog::{ObjectId, ObjectName, Snapshot};

use crate::postgres::facts as facts_of_postgres;
use crate::security::Rights;
pub(crate) use engine_facts::Asker;
use facts::Facts;
pub(crate) use information_schema::all_columns;
pub(crate) use keywords::keywords;
use objects::Relation;
pub(crate) use pg_catalog::server_setting;
use provider::SystemTable;
pub(crate) use show::{
    describe_entry, describe_schema, show, show_all, show_create, show_variable,
};

/// The name of the one database.
pub(crate) const DATABASE: &str = "weir";

/// The user on a server without credentials.
pub(crate) const OWNER: &str = "weir";

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
    if let Some(relation) = facts_of_postgres::relation(&name.schema, &name.name) {
        let fill = match relation.schema {
            "pg_catalog" => pg_catalog::fill(relation.name),
            _ => information_schema::fill(relation.name),
        };
        return Some(pg_catalog::Relation::provider(
            relation,
            fill,
            system.clone(),
        ));
    }
    let mut own = objects::weir_tables();
    let own = own.find(|it| name.schema == it.schema() && name.name == it.name());
    match own? {
        Relation::Weir(definition, _) => Some(SystemTable::provider(definition, system.clone())),
        Relation::Own(_) | Relation::System(_) => None,
    }
}

/// Whether a provider is that of a system table.
pub(crate) fn is_table(provider: &dyn TableProvider) -> bool {
    provider.is::<pg_catalog::Relation>() || provider.is::<SystemTable>()
}

/// The schema of a relation that a statement names without one: PostgreSQL looks into its catalog first.
pub(crate) fn schema_of<'a>(name: &str, default_schema: &'a str) -> &'a str {
    match facts_of_postgres::relation("pg_catalog", name) {
        Some(_) => "pg_catalog",
        None => default_schema,
    }
}

impl System {
    /// How many records each stream and table has.
    fn row_counts(&self) -> HashMap<ObjectId, i64> {
        let topics = self.facts.topics(false).into_iter();
        let topics: HashMap<_, _> = topics.map(|topic| (topic.id, topic.records())).collect();
        let relations = self.catalog.relations();
        relations
            .filter_map(|entry| {
                let (_, topic) = entry.topic()?;
                Some((entry.id, *topics.get(&topic)?))
            })
            .collect()
    }
}

/// All system tables: their schemas, their names, their columns.
pub(crate) fn tables() -> impl Iterator<Item = (&'static str, &'static str, SchemaRef)> {
    let standard = facts_of_postgres::relations().iter().map(Relation::System);
    let all = standard.chain(objects::weir_tables());
    all.map(|relation| (relation.schema(), relation.name(), relation.arrow_schema()))
}

#[cfg(test)]
mod tests;
