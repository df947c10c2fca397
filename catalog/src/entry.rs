//! One object of the catalog.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use weir_base::{TopicId, TopicName};

use crate::accounts::AccountId;
use crate::ident::quote_ident;
use crate::{Check, Column, DEFAULT_SCHEMA, Secret};

/// An object's identity: never given twice, not even after a drop. Kept by a rename and by `CREATE OR REPLACE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectId(pub u64);

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A schema and a name within it. Schemas and connections themselves lie in the schema `""`.
///
/// `Display` is for messages: `bids`, or `sales.bids` outside of `public`. [`ObjectName::sql`] is for statements.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectName {
    /// The schema, or `""`.
    pub schema: String,
    /// The name within it.
    pub name: String,
}

impl ObjectName {
    /// A name within a schema.
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            schema: schema.into(),
            name: name.into(),
        }
    }

    /// A name within `public`.
    pub fn public(name: impl Into<String>) -> Self {
        Self::new(DEFAULT_SCHEMA, name)
    }

    /// The name of a schema or connection, which lies in no schema.
    pub fn global(name: impl Into<String>) -> Self {
        Self::new("", name)
    }

    /// The name as SQL text that reads back: qualified, and quoted where it must be.
    pub fn sql(&self) -> String {
        if self.schema.is_empty() {
            quote_ident(&self.name)
        } else {
            format!("{}.{}", quote_ident(&self.schema), quote_ident(&self.name))
        }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.schema.is_empty() || self.schema == DEFAULT_SCHEMA {
            f.write_str(&self.name)
        } else {
            write!(f, "{}.{}", self.schema, self.name)
        }
    }
}

/// What sort of object it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ObjectKind {
    /// A schema.
    Schema,
    /// An append-only stream.
    Stream,
    /// A table that takes INSERT, UPDATE and DELETE.
    Table,
    /// Files read as a table.
    ExternalTable,
    /// A stored query.
    View,
    /// A query whose rows are kept.
    MaterializedView,
    /// A query whose changes go elsewhere.
    Sink,
    /// A place outside, with its credentials.
    Connection,
}

impl ObjectKind {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::Schema,
        Self::Stream,
        Self::Table,
        Self::ExternalTable,
        Self::View,
        Self::MaterializedView,
        Self::Sink,
        Self::Connection,
    ];

    /// Whether objects of this kind share the one namespace that each schema has for relations. Sinks do, though nothing can be
    /// read from them.
    pub fn is_relation(self) -> bool {
        !matches!(self, Self::Schema | Self::Connection)
    }

    /// The word of statements: `STREAM`, `EXTERNAL TABLE`, ….
    pub fn sql(self) -> &'static str {
        match self {
            Self::Schema => "SCHEMA",
            Self::Stream => "STREAM",
            Self::Table => "TABLE",
            Self::ExternalTable => "EXTERNAL TABLE",
            Self::View => "VIEW",
            Self::MaterializedView => "MATERIALIZED VIEW",
            Self::Sink => "SINK",
            Self::Connection => "CONNECTION",
        }
    }
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Schema => "schema",
            Self::Stream => "stream",
            Self::Table => "table",
            Self::ExternalTable => "external table",
            Self::View => "view",
            Self::MaterializedView => "materialized view",
            Self::Sink => "sink",
            Self::Connection => "connection",
        })
    }
}

/// One object. Serialises without the secrets of connections, which the store keeps apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its identity.
    pub id: ObjectId,
    /// Its name.
    pub name: ObjectName,
    /// What it is.
    pub body: Body,
    /// What `COMMENT ON` said.
    pub comment: Option<String>,
    /// The statement that created it, as given; secrets redacted.
    pub sql: String,
    /// The objects that it cannot be without, its schema aside.
    pub depends_on: BTreeSet<ObjectId>,
    /// When it was created, in milliseconds since the Unix epoch.
    pub created_at_ms: i64,
    /// Who may change and drop it, and with whose rights its query runs; `None` is the operator.
    #[serde(default)]
    pub owner: Option<AccountId>,
}

impl Entry {
    /// What sort of object it is.
    pub fn kind(&self) -> ObjectKind {
        match &self.body {
            Body::Schema => ObjectKind::Schema,
            Body::Stream(_) => ObjectKind::Stream,
            Body::Table(_) => ObjectKind::Table,
            Body::ExternalTable(_) => ObjectKind::ExternalTable,
            Body::View(_) => ObjectKind::View,
            Body::MaterializedView(_) => ObjectKind::MaterializedView,
            Body::Sink(_) => ObjectKind::Sink,
            Body::Connection(_) => ObjectKind::Connection,
        }
    }

    /// Its columns; none for a schema, a connection, and an external table whose schema is inferred. Those of an
    /// external table do not include the partition columns.
    pub fn columns(&self) -> &[Column] {
        match &self.body {
            Body::Schema | Body::Connection(_) => &[],
            Body::Stream(stream) => &stream.columns,
            Body::Table(table) => &table.columns,
            Body::ExternalTable(table) => table.columns.as_deref().unwrap_or_default(),
            Body::View(view) => &view.columns,
            Body::MaterializedView(kept) => &kept.view.columns,
            Body::Sink(sink) => &sink.query.columns,
        }
    }

    /// Its columns as an Arrow schema.
    pub fn arrow_schema(&self) -> SchemaRef {
        let fields: Vec<_> = self.columns().iter().map(Column::field).collect();
        Arc::new(Schema::new(fields))
    }

    /// The column of this name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns().iter().find(|column| column.name == name)
    }

    /// Its checks.
    pub fn checks(&self) -> &[Check] {
        match &self.body {
            Body::Stream(stream) => &stream.checks,
            Body::Table(table) => &table.checks,
            _ => &[],
        }
    }

    /// The primary key's columns, in order; empty without one.
    pub fn primary_key(&self) -> &[String] {
        match &self.body {
            Body::Table(table) => &table.primary_key,
            Body::Stream(stream) if stream.is_changelog() => &stream.key_columns,
            _ => &[],
        }
    }

    /// The topic of the embedded log that holds its rows.
    pub fn topic(&self) -> Option<(&TopicName, TopicId)> {
        match &self.body {
            Body::Stream(stream) => Some((&stream.topic, stream.topic_id)),
            Body::Table(table) => Some((&table.topic, table.topic_id)),
            Body::MaterializedView(kept) => Some((&kept.topic, kept.topic_id)),
            _ => None,
        }
    }

    /// Kind and name, as messages give them: `stream "bids"`.
    pub fn describe(&self) -> String {
        format!("{} \"{}\"", self.kind(), self.name)
    }
}

/// What an object is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// A schema.
    Schema,
    /// A stream.
    Stream(Stream),
    /// A table.
    Table(Table),
    /// An external table.
    ExternalTable(ExternalTable),
    /// A view.
    View(View),
    /// A view whose rows are kept.
    MaterializedView(MaterializedView),
    /// A sink.
    Sink(Sink),
    /// A connection.
    Connection(Connection),
}

/// An append-only stream on a topic of the embedded log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    /// Its columns.
    pub columns: Vec<Column>,
    /// Its checks.
    pub checks: Vec<Check>,
    /// The topic that holds its rows. A rename of the stream does not change it.
    pub topic: TopicName,
    /// The topic's identity.
    pub topic_id: TopicId,
    /// Whether the statement named the topic, which may be another's too.
    #[serde(default)]
    pub named_topic: bool,
    /// How many partitions the topic has.
    pub partitions: u32,
    /// The column whose value is also the records' key.
    pub key: Option<String>,
    /// The columns that are in the records' key alone, in order; where records are changes, those that tell rows apart.
    #[serde(default)]
    pub key_columns: Vec<String>,
    /// The format of the records' values.
    pub format: String,
    /// Its watermark.
    pub watermark: Option<Watermark>,
    /// The other options of its `WITH` clause.
    pub options: BTreeMap<String, String>,
    /// Fields of stored rows that belonged to columns since dropped, so that no new column takes their values up.
    #[serde(default)]
    pub retired_sources: BTreeSet<String>,
}

impl Stream {
    /// Whether its one column is the records' values as they are: `format = 'raw'`.
    pub fn is_raw(&self) -> bool {
        self.format == "raw"
    }

    /// Whether its records tell how rows changed that have a key, and what it shows are these rows.
    pub fn is_changelog(&self) -> bool {
        matches!(self.format.as_str(), "debezium_json" | "upsert")
    }
}

/// `WATERMARK FOR column AS sql`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watermark {
    /// The event-time column.
    pub column: String,
    /// The watermark's expression, as the user wrote it.
    pub sql: String,
}

/// A table on a keyed changelog topic of the embedded log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its columns.
    pub columns: Vec<Column>,
    /// Its checks.
    pub checks: Vec<Check>,
    /// The primary key's columns, in order; empty when rows have a hidden key.
    pub primary_key: Vec<String>,
    /// The topic that holds its changelog. A rename of the table does not change it.
    pub topic: TopicName,
    /// The topic's identity.
    pub topic_id: TopicId,
    /// The options of its `WITH` clause.
    pub options: BTreeMap<String, String>,
    /// Fields of stored rows that belonged to columns since dropped, so that no new column takes their values up.
    #[serde(default)]
    pub retired_sources: BTreeSet<String>,
}

/// Files that are read as a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalTable {
    /// The declared columns; none when the files' schema is inferred.
    pub columns: Option<Vec<Column>>,
    /// The files' format, in lower case.
    pub format: String,
    /// Where the files are: a path or URL, possibly with globs.
    pub location: String,
    /// The connection that it reads through.
    pub connection: Option<String>,
    /// The columns that the folders' names (`day=2024-01-01`) give.
    pub partitioned_by: Vec<Column>,
    /// The other options.
    pub options: BTreeMap<String, String>,
}

/// A stored query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// The query, as the user wrote it.
    pub sql: String,
    /// Its columns as they were planned at creation.
    pub columns: Vec<Column>,
    /// Whether the statement gave the columns' names: `CREATE VIEW v (a, b) AS …`.
    pub named_columns: bool,
    /// The schema of names in `sql` that give none.
    #[serde(default = "default_schema")]
    pub default_schema: String,
}

/// A stored query whose rows are kept as its sources change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaterializedView {
    /// The query.
    pub view: View,
    /// The topic that holds the changelog of its rows. A rename of the view does not change it.
    pub topic: TopicName,
    /// The topic's identity.
    pub topic_id: TopicId,
    /// The options of its `WITH` clause.
    pub options: BTreeMap<String, String>,
    /// Whether it was told to stand still.
    #[serde(default)]
    pub paused: bool,
    /// How often it was given another query.
    #[serde(default)]
    pub generation: u32,
    /// Whether it shows each window once, when that has closed: `EMIT ON WINDOW CLOSE`.
    #[serde(default)]
    pub on_window_close: bool,
}

/// A stored query whose changes go elsewhere as they happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sink {
    /// The query.
    pub query: View,
    /// The relation whose rows it takes, where the statement says `FROM` and no query.
    #[serde(default)]
    pub from: Option<ObjectId>,
    /// Whether views that are kept are read by their text, from their own sources: so where rows only come.
    #[serde(default)]
    pub expands_kept: bool,
    /// Whether it gives rows of windows that have closed, and never changes one.
    #[serde(default)]
    pub on_window_close: bool,
    /// The stream or table that it writes to, if it is one.
    #[serde(default)]
    pub target: Option<ObjectId>,
    /// Those of the target's columns that the query gives, in order; empty when it gives all of them.
    #[serde(default)]
    pub target_columns: Vec<String>,
    /// The options of its `WITH` clause.
    pub options: BTreeMap<String, String>,
    /// Whether it was told to stand still.
    #[serde(default)]
    pub paused: bool,
}

fn default_schema() -> String {
    DEFAULT_SCHEMA.to_owned()
}

/// A place outside that external tables read through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// `s3`, `gcs`, `azure` or `http`.
    pub kind: String,
    /// The options that are no secrets.
    pub options: BTreeMap<String, String>,
    /// The options that are. Not serialised: the store keeps them apart.
    #[serde(skip)]
    pub secrets: BTreeMap<String, Secret>,
}
