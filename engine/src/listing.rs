//! What a session may see of the catalog, as data: for doors whose protocol has messages of its own for it.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use weir_catalog::{Entry, ObjectKind, RESERVED_SCHEMAS, Snapshot};

use crate::system;

/// Schemas and relations, as of one version of the catalog.
#[derive(Debug, Clone)]
pub struct Listing {
    /// The name of the one database.
    pub database: &'static str,
    /// Names of schemas.
    pub schemas: Vec<String>,
    /// Everything that can stand in `FROM`.
    pub relations: Vec<Relation>,
}

/// Something that can stand in `FROM`.
#[derive(Debug, Clone)]
pub struct Relation {
    /// The schema that it is in.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: RelationKind,
    /// Its columns.
    pub columns: SchemaRef,
    /// The primary key's columns, in order; empty without one.
    pub primary_key: Vec<String>,
    /// What was said of it with `COMMENT ON`.
    pub comment: Option<String>,
}

/// What a relation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RelationKind {
    /// An append-only topic with columns.
    Stream,
    /// A topic of changes by key.
    Table,
    /// Files.
    ExternalTable,
    /// A query with a name.
    View,
    /// A table that a query keeps.
    MaterializedView,
    /// What the server says of itself.
    System,
}

/// All of `snapshot`, and the system tables.
pub(crate) fn list(snapshot: &Snapshot) -> Listing {
    let own = snapshot.schemas().map(|schema| schema.name.name.clone());
    let reserved = RESERVED_SCHEMAS.into_iter().map(str::to_owned);
    let mut schemas: Vec<String> = own.chain(reserved).collect();
    schemas.sort();
    schemas.dedup();
    let relations = snapshot
        .relations()
        .filter_map(|entry| relation(entry))
        .chain(system_relations());
    Listing {
        database: system::DATABASE,
        schemas,
        relations: relations.collect(),
    }
}

fn relation(entry: &Entry) -> Option<Relation> {
    let kind = match entry.kind() {
        ObjectKind::Stream => RelationKind::Stream,
        ObjectKind::Table => RelationKind::Table,
        ObjectKind::ExternalTable => RelationKind::ExternalTable,
        ObjectKind::View => RelationKind::View,
        ObjectKind::MaterializedView => RelationKind::MaterializedView,
        _ => return None,
    };
    let fields: Vec<_> = system::all_columns(entry)
        .map(weir_catalog::Column::field)
        .collect();
    Some(Relation {
        schema: entry.name.schema.clone(),
        name: entry.name.name.clone(),
        kind,
        columns: Arc::new(Schema::new(fields)),
        primary_key: entry.primary_key().to_vec(),
        comment: entry.comment.clone(),
    })
}

fn system_relations() -> impl Iterator<Item = Relation> {
    system::tables().map(|(schema, name, columns)| Relation {
        schema: schema.to_owned(),
        name: name.to_owned(),
        kind: RelationKind::System,
        columns,
        primary_key: Vec::new(),
        comment: None,
    })
}
