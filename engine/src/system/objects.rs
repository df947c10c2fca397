//! All relations as PostgreSQL's catalogs see them, those of users and those that the server fills, by name and by number.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::datatypes::{Schema as ArrowSchema, SchemaRef};
use weir_catalog::{Body, Entry, ObjectId, ObjectKind, ObjectName};

use super::information_schema::all_columns;
use super::rows::Definition;
use super::{DATABASE, OWNER, System, access, groups, operators, tables};
use crate::postgres::facts::{self, SystemRelation};
use crate::postgres::{TypeRef, oids, type_of_field};

/// A relation, whoever made it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Relation<'a> {
    /// One of the catalog.
    Own(&'a Entry),
    /// One of `pg_catalog` or `information_schema`.
    System(&'static SystemRelation),
    /// One of `weir`, with its number.
    Weir(&'static Definition, u32),
}

/// A column of one.
#[derive(Debug)]
pub(crate) struct Column<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) type_ref: TypeRef,
    pub(crate) not_null: bool,
    pub(crate) default: Option<&'a String>,
    pub(crate) comment: Option<&'a String>,
}

/// A schema.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schema<'a> {
    pub(crate) oid: u32,
    pub(crate) name: &'a str,
    pub(crate) comment: Option<&'a String>,
}

impl<'a> Relation<'a> {
    pub(crate) fn oid(self) -> u32 {
        match self {
            Self::Own(entry) => oids::relation(entry.id),
            Self::System(relation) => relation.oid,
            Self::Weir(_, oid) => oid,
        }
    }

    pub(crate) fn schema(self) -> &'a str {
        match self {
            Self::Own(entry) => &entry.name.schema,
            Self::System(relation) => relation.schema,
            Self::Weir(..) => "weir",
        }
    }

    pub(crate) fn name(self) -> &'a str {
        match self {
            Self::Own(entry) => &entry.name.name,
            Self::System(relation) => relation.name,
            Self::Weir(definition, _) => definition.name,
        }
    }

    /// PostgreSQL's letter: `r` for what is stored, `v` for a view, `m` for one that is kept, `f` for files.
    pub(crate) fn kind(self) -> char {
        match self {
            Self::Own(entry) => match entry.kind() {
                ObjectKind::View => 'v',
                ObjectKind::MaterializedView => 'm',
                ObjectKind::ExternalTable => 'f',
                _ => 'r',
            },
            Self::System(relation) => relation.kind,
            Self::Weir(..) => 'v',
        }
    }

    /// The type of its rows, 0 for none.
    pub(crate) fn row_type(self) -> u32 {
        match self {
            Self::Own(entry) => oids::row_type(entry.id),
            Self::System(_) | Self::Weir(..) => 0,
        }
    }

    pub(crate) fn comment(self) -> Option<&'a String> {
        match self {
            Self::Own(entry) => entry.comment.as_ref(),
            Self::System(_) | Self::Weir(..) => None,
        }
    }

    /// The catalog's entry, if it has one.
    pub(crate) fn entry(self) -> Option<&'a Entry> {
        match self {
            Self::Own(entry) => Some(entry),
            Self::System(_) | Self::Weir(..) => None,
        }
    }

    /// Whether the server fills it.
    pub(crate) fn is_system(self) -> bool {
        self.entry().is_none()
    }

    pub(crate) fn columns(self) -> Vec<Column<'a>> {
        match self {
            Self::Own(entry) => all_columns(entry)
                .map(|column| Column {
                    name: Cow::Borrowed(column.name.as_str()),
                    type_ref: type_of_field(&column.field()),
                    not_null: !column.nullable,
                    default: column.default.as_ref(),
                    comment: column.comment.as_ref(),
                })
                .collect(),
            Self::System(relation) => {
                let columns = relation.columns.iter();
                columns
                    .map(|column| Column {
                        name: Cow::Borrowed(column.name),
                        type_ref: TypeRef {
                            pg_type: column.pg_type,
                            modifier: -1,
                        },
                        not_null: column.not_null,
                        default: None,
                        comment: None,
                    })
                    .collect()
            }
            Self::Weir(definition, _) => {
                let schema = definition.schema();
                let fields = schema.fields().iter();
                fields
                    .map(|field| Column {
                        name: Cow::Owned(field.name().clone()),
                        type_ref: type_of_field(field),
                        not_null: false,
                        default: None,
                        comment: None,
                    })
                    .collect()
            }
        }
    }

    /// Its columns as Arrow has them.
    pub(crate) fn arrow_schema(self) -> SchemaRef {
        match self {
            Self::Own(entry) => entry.arrow_schema(),
            Self::System(relation) => {
                let columns = relation.columns.iter();
                let fields = columns.map(|column| column.pg_type.field(column.name));
                Arc::new(ArrowSchema::new(fields.collect::<Vec<_>>()))
            }
            Self::Weir(definition, _) => definition.schema(),
        }
    }

    /// The query of a view.
    pub(crate) fn view_sql(self) -> Option<&'a str> {
        match &self.entry()?.body {
            Body::View(view) => Some(&view.sql),
            Body::MaterializedView(kept) => Some(&kept.view.sql),
            _ => None,
        }
    }

    /// The numbers, from 1, of the columns of its primary key.
    pub(crate) fn key_columns(self) -> Vec<i64> {
        let Some(entry) = self.entry() else {
            return Vec::new();
        };
        let numbers = entry.primary_key().iter().filter_map(|name| {
            let at = all_columns(entry).position(|column| column.name == *name)?;
            i64::try_from(at + 1).ok()
        });
        numbers.collect()
    }
}

/// What PostgreSQL puts behind a table's name for that of its primary key and of the key's index.
const KEY_SUFFIX: &str = "_pkey";

/// The name that PostgreSQL gives a primary key and its index.
pub(crate) fn key_name(entry: &Entry) -> String {
    format!("{}{KEY_SUFFIX}", entry.name.name)
}

/// Whether an object of the catalog is a relation for PostgreSQL, too: a sink gives no rows.
pub(crate) fn is_shown(entry: &Entry) -> bool {
    entry.kind().is_relation() && entry.kind() != ObjectKind::Sink
}

/// What an object's number is the number of.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Numbered<'a> {
    Relation(Relation<'a>),
    /// The index of a relation's primary key.
    KeyIndex(&'a Entry),
}

impl System {
    /// All relations: those of the catalog, then those that the server fills.
    pub(crate) fn relations(&self) -> impl Iterator<Item = Relation<'_>> {
        let own = self.catalog.relations();
        own.map(|entry| Relation::Own(entry))
            .chain(facts::relations().iter().map(Relation::System))
            .chain(weir_tables())
    }

    /// All schemas: those of the catalog, then those that the server fills.
    pub(crate) fn schemas(&self) -> impl Iterator<Item = Schema<'_>> {
        let own = self.catalog.schemas().map(|entry| Schema {
            oid: oids::schema(entry.id, &entry.name.name),
            name: &entry.name.name,
            comment: entry.comment.as_ref(),
        });
        let system = [
            (oids::CATALOG_SCHEMA, "pg_catalog"),
            (oids::INFORMATION_SCHEMA, "information_schema"),
            (oids::WEIR_SCHEMA, "weir"),
        ];
        own.chain(system.into_iter().map(|(oid, name)| Schema {
            oid,
            name,
            comment: None,
        }))
    }

    /// The number of the schema of this name; 0 if there is none.
    pub(crate) fn schema_oid(&self, name: &str) -> u32 {
        match name {
            "pg_catalog" => oids::CATALOG_SCHEMA,
            "information_schema" => oids::INFORMATION_SCHEMA,
            "weir" => oids::WEIR_SCHEMA,
            name => {
                let entry = self.catalog.schema(name);
                entry.map_or(0, |entry| oids::schema(entry.id, name))
            }
        }
    }

    /// The schema of this number.
    pub(crate) fn schema_numbered(&self, oid: u32) -> Option<Schema<'_>> {
        self.schemas().find(|schema| schema.oid == oid)
    }

    /// The relation or index of this number.
    pub(crate) fn numbered(&self, oid: u32) -> Option<Numbered<'_>> {
        if let Some((id, part)) = oids::object(oid) {
            let entry = self.catalog.by_id(id)?;
            return match part {
                0 if is_shown(entry) => Some(Numbered::Relation(Relation::Own(entry))),
                3 if !entry.primary_key().is_empty() => Some(Numbered::KeyIndex(entry)),
                _ => None,
            };
        }
        let relation = system_relation(oid)?;
        Some(Numbered::Relation(relation))
    }

    /// The relation of this number.
    pub(crate) fn relation_numbered(&self, oid: u32) -> Option<Relation<'_>> {
        match self.numbered(oid)? {
            Numbered::Relation(relation) => Some(relation),
            Numbered::KeyIndex(_) => None,
        }
    }

    /// The relation of this name.
    pub(crate) fn relation_named(&self, schema: &str, name: &str) -> Option<Relation<'_>> {
        if let Some(relation) = facts::relation(schema, name) {
            return Some(Relation::System(relation));
        }
        if schema == "weir" {
            return weir_tables().find(|relation| relation.name() == name);
        }
        let entry = self.catalog.get(&ObjectName::new(schema, name))?;
        is_shown(entry).then(|| Relation::Own(entry))
    }

    /// The number of what a name in the path of schemas means: a relation, or the index of a primary key.
    pub(crate) fn class_oid(&self, schema: Option<&str>, name: &str) -> Option<u32> {
        let path = self.search_path();
        let schemas = match schema {
            Some(schema) => vec![self.catalog.meant_schema(schema)],
            None => path.iter().map(String::as_str).collect(),
        };
        schemas.into_iter().find_map(|schema| {
            if let Some(relation) = self.relation_named(schema, name) {
                return Some(relation.oid());
            }
            let keyed = name.strip_suffix(KEY_SUFFIX)?;
            let entry = self.catalog.get(&ObjectName::new(schema, keyed))?;
            (!entry.primary_key().is_empty()).then(|| oids::key_index(entry.id))
        })
    }

    /// The schemas in which names are looked for, in order.
    pub(crate) fn search_path(&self) -> Vec<String> {
        let temporary = self.catalog.temporary_schema().map(str::to_owned);
        let named = ["pg_catalog".to_owned(), self.facts.session().schema];
        temporary.into_iter().chain(named).collect()
    }

    /// Whether a relation is found by its name alone.
    pub(crate) fn is_visible(&self, relation: Relation<'_>) -> bool {
        let found = self.class_oid(None, relation.name());
        found == Some(relation.oid())
    }

    /// The name of who owns a relation.
    pub(crate) fn owner(&self, relation: Relation<'_>) -> String {
        let owner = relation.entry().and_then(|entry| entry.owner);
        let account = owner.and_then(|owner| self.rights.accounts().account(owner));
        account.map_or_else(|| OWNER.to_owned(), |account| account.name.clone())
    }

    /// The one database.
    pub(crate) fn database(&self) -> &'static str {
        DATABASE
    }
}

/// The tables of the schema `weir`.
pub(super) fn weir_tables<'a>() -> impl Iterator<Item = Relation<'a>> {
    let numbers = oids::WEIR_TABLES..;
    let tables = tables::TABLES.iter().chain(&access::TABLES);
    let last = [&groups::CONSUMER_GROUPS, &operators::OPERATORS];
    let tables = tables.chain(last).zip(numbers);
    tables.map(|(definition, oid)| Relation::Weir(definition, oid))
}

fn system_relation<'a>(oid: u32) -> Option<Relation<'a>> {
    let mut weir = weir_tables();
    if (oids::WEIR_TABLES..oids::FIRST).contains(&oid) {
        return weir.find(|relation| relation.oid() == oid);
    }
    facts::numbered(oid).map(Relation::System)
}

/// The identity of the object in the catalog whose comment a number's description is.
pub(crate) fn described(system: &System, class: u32, oid: u32, column: i64) -> Option<String> {
    match class {
        oids::PG_CLASS => {
            let relation = system.relation_numbered(oid)?;
            match column {
                0 => relation.comment().cloned(),
                number => {
                    let at = usize::try_from(number).ok()?.checked_sub(1)?;
                    relation.columns().get(at)?.comment.cloned()
                }
            }
        }
        oids::PG_NAMESPACE => system.schema_numbered(oid)?.comment.cloned(),
        _ => None,
    }
}

impl System {
    /// The entry of an identity, where it is a relation.
    pub(crate) fn entry(&self, id: ObjectId) -> Option<&Entry> {
        self.catalog.by_id(id).map(AsRef::as_ref)
    }
}
