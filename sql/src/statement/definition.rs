//! Statements that make, change and drop objects.

use datafusion_sql::sqlparser::ast;
use weir_base::Position;

use super::Emit;

/// `CREATE SCHEMA [IF NOT EXISTS] s`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateSchema {
    /// The schema, possibly after the database's name.
    pub name: ast::ObjectName,
    /// Whether an existing one is fine.
    pub if_not_exists: bool,
}

/// `CREATE [OR REPLACE] STREAM [IF NOT EXISTS] s (columns, WATERMARK FOR …) WITH (options)`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateStream {
    /// The stream.
    pub name: ast::ObjectName,
    /// Whether an existing one is replaced.
    pub or_replace: bool,
    /// Whether an existing one is fine.
    pub if_not_exists: bool,
    /// Columns in order.
    pub columns: Vec<ColumnDef>,
    /// The declared key, which for a stream only says how rows spread over partitions.
    pub primary_key: Vec<ast::Ident>,
    /// Checks of columns and of the stream.
    pub checks: Vec<Check>,
    /// Event time.
    pub watermark: Option<Watermark>,
    /// Options in order, keys in lower case.
    pub options: Vec<(String, String)>,
}

/// `CREATE [OR REPLACE] [TEMPORARY] TABLE [IF NOT EXISTS] t (columns) [WITH (options)] [ON COMMIT …] [AS query]`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateTable {
    /// The table.
    pub name: ast::ObjectName,
    /// Whether an existing one is replaced.
    pub or_replace: bool,
    /// Whether an existing one is fine.
    pub if_not_exists: bool,
    /// Whether it lives as long as the session.
    pub temporary: bool,
    /// `ON COMMIT DROP`: it lives as long as the transaction.
    pub drop_on_commit: bool,
    /// Columns in order; empty for a plain `AS`.
    pub columns: Vec<ColumnDef>,
    /// Names alone: `CREATE TABLE t (a, b) AS …`.
    pub column_names: Vec<ast::Ident>,
    /// The primary key, whether written beside a column or as a constraint.
    pub primary_key: Vec<ast::Ident>,
    /// `UNIQUE` constraints other than the primary key.
    pub unique: Vec<Vec<ast::Ident>>,
    /// Checks of columns and of the table.
    pub checks: Vec<Check>,
    /// Event time.
    pub watermark: Option<Watermark>,
    /// `AS query`.
    pub query: Option<Box<ast::Query>>,
    /// `WITH NO DATA`: take the query's columns, not its rows.
    pub without_data: bool,
    /// Options in order, keys in lower case.
    pub options: Vec<(String, String)>,
}

/// `CREATE [OR REPLACE] EXTERNAL TABLE [IF NOT EXISTS] t [(columns)] [STORED AS f] [PARTITIONED BY (…)] LOCATION 'l'`
/// with `WITH (…)` or `OPTIONS (…)`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateExternalTable {
    /// The table.
    pub name: ast::ObjectName,
    /// Whether an existing one is replaced.
    pub or_replace: bool,
    /// Whether an existing one is fine.
    pub if_not_exists: bool,
    /// Declared columns; none means that they are inferred.
    pub columns: Vec<ColumnDef>,
    /// The format as written, in lower case; `None` means by extension.
    pub stored_as: Option<String>,
    /// A path, a glob or a URL.
    pub location: String,
    /// Hive partition columns in order.
    pub partitioned_by: Vec<PartitionColumn>,
    /// Options in order, keys in lower case.
    pub options: Vec<(String, String)>,
}

/// A column that is in the path of a file: `PARTITIONED BY (day)` or `(day DATE)`.
#[derive(Debug, Clone, PartialEq)]
pub struct PartitionColumn {
    /// Its name.
    pub name: ast::Ident,
    /// Its type and the text of it, where given.
    pub data_type: Option<(ast::DataType, String)>,
}

/// `CREATE [OR REPLACE] VIEW [IF NOT EXISTS] v [(columns)] AS query`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateView {
    /// The view.
    pub name: ast::ObjectName,
    /// Whether an existing one is replaced.
    pub or_replace: bool,
    /// Whether an existing one is fine.
    pub if_not_exists: bool,
    /// Whether it lives as long as the session.
    pub temporary: bool,
    /// New names of the query's columns; none means that they stay.
    pub columns: Vec<ast::Ident>,
    /// The query.
    pub query: Box<ast::Query>,
    /// The query's text.
    pub query_sql: String,
}

/// `CREATE [OR REPLACE] MATERIALIZED VIEW [IF NOT EXISTS] v [(columns)] [WITH (options)] AS query [EMIT …]`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateMaterializedView {
    /// The view.
    pub name: ast::ObjectName,
    /// Whether an existing one is replaced.
    pub or_replace: bool,
    /// Whether an existing one is fine.
    pub if_not_exists: bool,
    /// New names of the query's columns; none means that they stay.
    pub columns: Vec<ast::Ident>,
    /// Options in order, keys in lower case.
    pub options: Vec<(String, String)>,
    /// The query.
    pub query: Box<ast::Query>,
    /// The query's text, without `EMIT …`.
    pub query_sql: String,
    /// When the view shows a window.
    pub emit: Option<Emit>,
}

/// `CREATE [OR REPLACE] SINK [IF NOT EXISTS] s [INTO t] FROM v | AS query [EMIT …] [WITH (options)]`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateSink {
    /// The sink.
    pub name: ast::ObjectName,
    /// Whether an existing one is replaced.
    pub or_replace: bool,
    /// Whether an existing one is fine.
    pub if_not_exists: bool,
    /// The table or stream of ours that it writes to, where it is one.
    pub into: Option<ast::ObjectName>,
    /// What it writes.
    pub source: SinkSource,
    /// When it writes a window.
    pub emit: Option<Emit>,
    /// Options in order, keys in lower case.
    pub options: Vec<(String, String)>,
}

/// What a sink writes.
#[derive(Debug, Clone, PartialEq)]
pub enum SinkSource {
    /// `FROM v`.
    Object(ast::ObjectName),
    /// `AS query`.
    Query {
        /// The query.
        query: Box<ast::Query>,
        /// The query's text, without `EMIT …`.
        query_sql: String,
    },
}

/// `CREATE [OR REPLACE] CONNECTION [IF NOT EXISTS] c WITH (options)`.
///
/// The text of this statement holds secrets: log and store it only redacted.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateConnection {
    /// The connection.
    pub name: ast::ObjectName,
    /// Whether an existing one is replaced.
    pub or_replace: bool,
    /// Whether an existing one is fine.
    pub if_not_exists: bool,
    /// Options in order, keys in lower case.
    pub options: Vec<(String, String)>,
}

/// `TEST CONNECTION c | WITH (options) [AT 'location']`.
///
/// The text of this statement may hold secrets: log and store it only redacted.
#[derive(Debug, Clone, PartialEq)]
pub struct TestConnection {
    /// What is tested.
    pub connection: TestedConnection,
    /// Where it is to lead to.
    pub at: Option<String>,
}

/// A connection that is tested.
#[derive(Debug, Clone, PartialEq)]
pub enum TestedConnection {
    /// One that is there.
    Named(ast::ObjectName),
    /// One that is not made, by its options in order, keys in lower case.
    New(Vec<(String, String)>),
}

/// A declared column.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnDef {
    /// Its name.
    pub name: ast::Ident,
    /// Its type.
    pub data_type: ast::DataType,
    /// Its type as the user wrote it.
    pub sql_type: String,
    /// `NOT NULL`, or part of the primary key.
    pub not_null: bool,
    /// `DEFAULT e`.
    pub default: Option<SqlExpr>,
    /// `COMMENT 'text'`.
    pub comment: Option<String>,
    /// Where its name stands.
    pub position: Position,
}

/// An expression, and the text of it.
#[derive(Debug, Clone, PartialEq)]
pub struct SqlExpr {
    /// The expression.
    pub expr: ast::Expr,
    /// The user's own text.
    pub sql: String,
}

/// `[CONSTRAINT name] CHECK (expr)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// Its name, where given.
    pub name: Option<String>,
    /// The condition.
    pub expr: ast::Expr,
    /// The condition's text.
    pub sql: String,
}

/// `WATERMARK FOR column [AS expr]`; without `AS` the column itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Watermark {
    /// The event time column.
    pub column: ast::Ident,
    /// No row older than this is expected any more.
    pub expr: ast::Expr,
    /// The expression's text.
    pub sql: String,
}

/// A kind of object with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectKind {
    /// A schema.
    Schema,
    /// A stream (or source).
    Stream,
    /// A table.
    Table,
    /// An external table.
    ExternalTable,
    /// A view.
    View,
    /// A materialized view.
    MaterializedView,
    /// A sink.
    Sink,
    /// A connection.
    Connection,
}

/// `DROP kind [IF EXISTS] name, … [CASCADE | RESTRICT]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Drop {
    /// What kind of object.
    pub kind: ObjectKind,
    /// Whether a missing one is fine.
    pub if_exists: bool,
    /// Which ones.
    pub names: Vec<ast::ObjectName>,
    /// Whether what depends on them goes, too.
    pub cascade: bool,
}

/// `ALTER kind [IF EXISTS] name operation`.
#[derive(Debug, Clone, PartialEq)]
pub struct Alter {
    /// What kind of object.
    pub kind: ObjectKind,
    /// Whether a missing one is fine.
    pub if_exists: bool,
    /// Which one.
    pub name: ast::ObjectName,
    /// What changes.
    pub operation: AlterOperation,
}

/// What an `ALTER` changes.
#[derive(Debug, Clone, PartialEq)]
pub enum AlterOperation {
    /// `RENAME TO name`.
    RenameTo(ast::Ident),
    /// `SET SCHEMA name`.
    SetSchema(ast::Ident),
    /// `RENAME [COLUMN] from TO to`.
    RenameColumn {
        /// The old name.
        from: ast::Ident,
        /// The new name.
        to: ast::Ident,
    },
    /// `ADD [COLUMN] [IF NOT EXISTS] column`.
    AddColumn {
        /// The column.
        column: Box<ColumnDef>,
        /// Whether an existing one is fine.
        if_not_exists: bool,
        /// Checks written beside the column.
        checks: Vec<Check>,
    },
    /// `DROP [COLUMN] [IF EXISTS] name [CASCADE]`.
    DropColumn {
        /// The column.
        name: ast::Ident,
        /// Whether a missing one is fine.
        if_exists: bool,
        /// Whether what depends on it goes, too.
        cascade: bool,
    },
    /// `ALTER [COLUMN] name …`.
    AlterColumn {
        /// The column.
        name: ast::Ident,
        /// What changes about it.
        change: ColumnChange,
    },
    /// `SET (options)`.
    SetOptions(Vec<(String, String)>),
    /// `RESET (keys)`.
    ResetOptions(Vec<String>),
    /// `PAUSE`.
    Pause,
    /// `RESUME`.
    Resume,
    /// `AS query [EMIT …]`: another query under the same name.
    As {
        /// The query.
        query: Box<ast::Query>,
        /// The query's text, without `EMIT …`.
        query_sql: String,
        /// When the view shows a window.
        emit: Option<Emit>,
    },
}

/// What `ALTER COLUMN` changes.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnChange {
    /// `SET DEFAULT e`.
    SetDefault(Box<SqlExpr>),
    /// `DROP DEFAULT`.
    DropDefault,
    /// `SET NOT NULL`.
    SetNotNull,
    /// `DROP NOT NULL`.
    DropNotNull,
    /// `[SET DATA] TYPE t`, with the type's text.
    SetType(ast::DataType, String),
}

/// `COMMENT ON kind name IS 'text' | NULL`, `COMMENT ON COLUMN t.c IS …`.
#[derive(Debug, Clone, PartialEq)]
pub struct CommentOn {
    /// What kind of object; for a column `None`, as the statement does not say what it belongs to.
    pub kind: Option<ObjectKind>,
    /// The object, or the column's.
    pub name: ast::ObjectName,
    /// The column, where it is one.
    pub column: Option<ast::Ident>,
    /// `None` takes the comment away.
    pub comment: Option<String>,
}

/// A name as PostgreSQL folds it, and DataFusion does: in lower case, unless it is in quotes.
pub fn fold(ident: &ast::Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_ascii_lowercase(),
    }
}

impl ObjectKind {
    /// The kind in SQL's words.
    pub fn keywords(self) -> &'static str {
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
