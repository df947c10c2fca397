//! What a statement is, once it is parsed.
//!
//! Queries, expressions and types inside a statement are those of DataFusion's parser ([`ast`]), so that its planner takes
//! them as they are. Everything else is ours. Where the catalog keeps SQL (a view's query, a default, a check), the
//! statement carries the text that the user wrote beside its tree, because printing a tree moves and drops things.

use datafusion_sql::sqlparser::ast;
use weir_base::Position;

/// One statement, and the text it was parsed from.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The statement.
    pub statement: Statement,
    /// The user's own text, without the separating semicolon and the space around it.
    pub sql: String,
    /// Where the statement starts in the whole input. Spans inside the tree count from the start of the input, too.
    pub position: Position,
}

/// Any statement that Weir knows. What the engine cannot run yet is refused there, by name.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    /// `SELECT`, `VALUES`, `TABLE t`, `WITH …`, bounded or live.
    Query(Query),
    /// `INSERT INTO`.
    Insert(Insert),
    /// `UPDATE`: always an [`ast::Statement::Update`].
    Update(Box<ast::Statement>),
    /// `DELETE FROM`: always an [`ast::Statement::Delete`].
    Delete(Box<ast::Statement>),
    /// `TRUNCATE [TABLE] t, …`.
    Truncate(Vec<ast::ObjectName>),
    /// `COPY … TO`.
    Copy(Copy),
    /// `COPY t FROM`.
    CopyFrom(CopyFrom),
    /// `CREATE SCHEMA`.
    CreateSchema(CreateSchema),
    /// `CREATE STREAM`, or `CREATE SOURCE`.
    CreateStream(CreateStream),
    /// `CREATE TABLE`, with columns or `AS` a query.
    CreateTable(CreateTable),
    /// `CREATE EXTERNAL TABLE`.
    CreateExternalTable(CreateExternalTable),
    /// `CREATE VIEW`.
    CreateView(CreateView),
    /// `CREATE MATERIALIZED VIEW`.
    CreateMaterializedView(CreateMaterializedView),
    /// `CREATE SINK`.
    CreateSink(CreateSink),
    /// `CREATE CONNECTION`.
    CreateConnection(CreateConnection),
    /// `DROP …`.
    Drop(Drop),
    /// `ALTER …`.
    Alter(Alter),
    /// `COMMENT ON … IS …`.
    CommentOn(CommentOn),
    /// `SHOW …`.
    Show(Show),
    /// `DESCRIBE …` (or `DESC`).
    Describe(Describe),
    /// `EXPLAIN …`.
    Explain(Explain),
    /// `SET name = value`.
    Set(Set),
    /// `RESET name`, `RESET ALL`, `SET name TO DEFAULT`.
    Reset(Reset),
    /// `KILL [QUERY] 'id'`.
    KillQuery(String),
    /// `FLUSH`: wait until every view shows all that was acknowledged before.
    Flush,
    /// `SUBSCRIBE [TO] …`.
    Subscribe(Subscribe),
    /// `DECLARE`, `FETCH`, `MOVE`, `CLOSE`.
    Cursor(Cursor),
    /// `PREPARE`, `EXECUTE`, `DEALLOCATE`.
    Prepared(Prepared),
    /// `BEGIN`, `COMMIT`, `ROLLBACK`, savepoints.
    Transaction(Transaction),
    /// `DISCARD ALL | PLANS | SEQUENCES | TEMP`, with the word.
    Discard(String),
    /// `LISTEN`, `UNLISTEN`, `NOTIFY`, with the first word in upper case.
    Notification(String),
    /// Users, roles and rights.
    Access(Access),
}

/// A query, and how its answer arrives.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// The query.
    pub query: Box<ast::Query>,
    /// `None`: bounded, one answer as of the start.
    pub emit: Option<Emit>,
}

/// How a live query, a view or a continuous job gives out what changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Emit {
    /// `EMIT CHANGES`: each change as it happens.
    Changes,
    /// `EMIT ON WINDOW CLOSE`, `EMIT FINAL`: each window once, when it is final.
    OnWindowClose,
}

/// `INSERT INTO t …`.
#[derive(Debug, Clone, PartialEq)]
pub struct Insert {
    /// Always an [`ast::Statement::Insert`], without the words below.
    pub insert: Box<ast::Statement>,
    /// Makes a continuous job.
    pub emit: Option<Emit>,
    /// `WITH (upsert)`: a row whose key is there replaces it.
    pub upsert: bool,
}

/// `COPY source TO 'target' [STORED AS f] [PARTITIONED BY (c, …)] [OPTIONS (…)]`, or PostgreSQL's `COPY t TO STDOUT (…)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Copy {
    /// What is written.
    pub source: CopySource,
    /// A location, or `None` for `STDOUT`.
    pub target: Option<String>,
    /// The format as written, in lower case: `STORED AS x`, or option `format`.
    pub format: Option<String>,
    /// Names of partition columns.
    pub partitioned_by: Vec<String>,
    /// The other options, in order, keys in lower case.
    pub options: Vec<(String, String)>,
}

/// What `COPY … TO` writes.
#[derive(Debug, Clone, PartialEq)]
pub enum CopySource {
    /// `COPY (query)`.
    Query(Box<ast::Query>),
    /// `COPY t` or `COPY t (a, b)`; no columns means all.
    Table(ast::ObjectName, Vec<ast::Ident>),
}

/// `COPY t [(a, b)] FROM 'location' | STDIN [options]`.
#[derive(Debug, Clone, PartialEq)]
pub struct CopyFrom {
    /// The target.
    pub table: ast::ObjectName,
    /// Its columns; none means all.
    pub columns: Vec<ast::Ident>,
    /// A location, or `None` for `STDIN`.
    pub source: Option<String>,
    /// The format, in lower case.
    pub format: Option<String>,
    /// The other options, in order, keys in lower case.
    pub options: Vec<(String, String)>,
}

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

/// `CREATE [OR REPLACE] [TEMPORARY] TABLE [IF NOT EXISTS] t (columns) [WITH (options)] [AS query]`.
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
    SetDefault(SqlExpr),
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

/// `SHOW …`.
#[derive(Debug, Clone, PartialEq)]
pub enum Show {
    /// `SHOW TABLES [FROM schema] [LIKE 'pattern']` and its kin.
    List {
        /// What is listed.
        what: Listing,
        /// Only what is in this schema.
        schema: Option<ast::Ident>,
        /// Only names like this (SQL's `LIKE`).
        like: Option<String>,
    },
    /// `SHOW COLUMNS FROM t [LIKE 'pattern']`.
    Columns {
        /// Whose columns.
        name: ast::ObjectName,
        /// Only names like this.
        like: Option<String>,
    },
    /// `SHOW CREATE [kind] name`.
    Create {
        /// What kind of object, where given.
        kind: Option<ObjectKind>,
        /// Which one.
        name: ast::ObjectName,
    },
    /// `SHOW name`: a setting, its name in lower case and dotted.
    Variable(String),
    /// `SHOW ALL`: all settings.
    All,
}

/// What `SHOW` lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Listing {
    Schemas,
    Streams,
    Tables,
    ExternalTables,
    Views,
    MaterializedViews,
    Sinks,
    Connections,
    Jobs,
    Queries,
    Functions,
}

/// `DESCRIBE name` or `DESCRIBE query`.
#[derive(Debug, Clone, PartialEq)]
pub enum Describe {
    /// Something with columns.
    Object(ast::ObjectName),
    /// The columns of a query's answer.
    Query(Box<ast::Query>),
}

/// `EXPLAIN [ANALYZE] [VERBOSE] [FORMAT f] statement`, or `EXPLAIN (ANALYZE, FORMAT f) statement`.
#[derive(Debug, Clone, PartialEq)]
pub struct Explain {
    /// Whether it runs.
    pub analyze: bool,
    /// Whether all is shown.
    pub verbose: bool,
    /// The format, in lower case.
    pub format: Option<String>,
    /// What is explained; never itself an `EXPLAIN`.
    pub statement: Box<Statement>,
}

/// `SET [SESSION | LOCAL] name = | TO value, …`; `SET TIME ZONE z`.
#[derive(Debug, Clone, PartialEq)]
pub struct Set {
    /// The setting in lower case, dotted.
    pub name: String,
    /// The value as text, without quotes; several are joined by `, `.
    pub value: String,
    /// `SET LOCAL`: until the transaction ends.
    pub local: bool,
}

/// `RESET name | ALL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reset {
    /// All settings.
    All,
    /// One, in lower case, dotted.
    Name(String),
}

/// `SUBSCRIBE [TO] v | (query) [WITH (options)] [AS OF n] [UP TO n]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscribe {
    /// What is read.
    pub source: SubscribeSource,
    /// Options in order, keys in lower case.
    pub options: Vec<(String, String)>,
    /// Where to start.
    pub as_of: Option<SqlExpr>,
    /// Where to end.
    pub up_to: Option<SqlExpr>,
}

/// What is subscribed to.
#[derive(Debug, Clone, PartialEq)]
pub enum SubscribeSource {
    /// A stream, a table or a view.
    Object(ast::ObjectName),
    /// A query.
    Query(Box<ast::Query>),
}

/// Cursors.
#[derive(Debug, Clone, PartialEq)]
pub enum Cursor {
    /// `DECLARE name [BINARY] [[NO] SCROLL] CURSOR [WITH | WITHOUT HOLD] FOR statement`.
    Declare {
        /// The cursor.
        name: ast::Ident,
        /// `BINARY`.
        binary: bool,
        /// `SCROLL` or `NO SCROLL`.
        scroll: Option<bool>,
        /// `WITH HOLD`.
        hold: bool,
        /// A [`Statement::Query`] or a [`Statement::Subscribe`].
        statement: Box<Statement>,
    },
    /// `FETCH [direction] [FROM | IN] name`.
    Fetch {
        /// The cursor.
        name: ast::Ident,
        /// How far.
        direction: FetchDirection,
    },
    /// `MOVE [direction] [FROM | IN] name`.
    Move {
        /// The cursor.
        name: ast::Ident,
        /// How far.
        direction: FetchDirection,
    },
    /// `CLOSE name`; `None` is `ALL`.
    Close(Option<ast::Ident>),
}

/// How far a cursor moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchDirection {
    /// `n` rows forward (`NEXT` is 1, `PRIOR` is −1); negative is backward.
    Relative(i64),
    /// `ABSOLUTE n` (`FIRST` is 1, `LAST` is −1).
    Absolute(i64),
    /// `RELATIVE n`: the one row that is n away.
    Step(i64),
    /// `ALL`, `FORWARD ALL`.
    All,
    /// `BACKWARD ALL`.
    BackwardAll,
}

/// Prepared statements by SQL.
#[derive(Debug, Clone, PartialEq)]
pub enum Prepared {
    /// `PREPARE name [(types)] AS statement`.
    Prepare {
        /// The statement's name.
        name: ast::Ident,
        /// Types of the parameters.
        types: Vec<ast::DataType>,
        /// The statement with its text.
        statement: Box<Parsed>,
    },
    /// `EXECUTE name [(values)]`.
    Execute {
        /// The statement's name.
        name: ast::Ident,
        /// Values of the parameters.
        parameters: Vec<ast::Expr>,
    },
    /// `DEALLOCATE [PREPARE] name`; `None` is `ALL`.
    Deallocate(Option<ast::Ident>),
}

/// Users, roles and rights.
#[derive(Debug, Clone, PartialEq)]
pub enum Access {
    /// `CREATE ROLE`, `ALTER ROLE`, `DROP ROLE`, and the same of `USER`, which is a role that logs in; `GRANT … ON …`,
    /// `REVOKE … ON …`; as the parser gives them.
    Other(Box<ast::Statement>),
    /// `GRANT role, … TO role, …`.
    GrantRoles {
        /// What is granted.
        roles: Vec<ast::Ident>,
        /// To whom.
        to: Vec<ast::Ident>,
    },
    /// `REVOKE role, … FROM role, …`.
    RevokeRoles {
        /// What is taken away.
        roles: Vec<ast::Ident>,
        /// From whom.
        from: Vec<ast::Ident>,
    },
}

/// Transactions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transaction {
    /// `BEGIN`, `START TRANSACTION`.
    Begin {
        /// `READ ONLY`, `READ WRITE`.
        read_only: Option<bool>,
        /// `ISOLATION LEVEL x`, in lower case.
        isolation: Option<String>,
    },
    /// `COMMIT`, `END`.
    Commit,
    /// `ROLLBACK`, `ABORT`.
    Rollback,
    /// `SAVEPOINT name`.
    Savepoint(String),
    /// `RELEASE [SAVEPOINT] name`.
    Release(String),
    /// `ROLLBACK TO [SAVEPOINT] name`.
    RollbackTo(String),
    /// `SET TRANSACTION …`, `SET SESSION CHARACTERISTICS AS TRANSACTION …`.
    Set {
        /// `READ ONLY`, `READ WRITE`.
        read_only: Option<bool>,
        /// `ISOLATION LEVEL x`, in lower case.
        isolation: Option<String>,
        /// For the session, not only for this transaction.
        session: bool,
    },
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

impl Statement {
    /// What the statement is, in SQL's words: the command tag without counts.
    pub fn tag(&self) -> &'static str {
        match self {
            Self::Query(_) => "SELECT",
            Self::Insert(_) => "INSERT",
            Self::Update(_) => "UPDATE",
            Self::Delete(_) => "DELETE",
            Self::Truncate(_) => "TRUNCATE TABLE",
            Self::Copy(_) | Self::CopyFrom(_) => "COPY",
            Self::CreateSchema(_) => "CREATE SCHEMA",
            Self::CreateStream(_) => "CREATE STREAM",
            Self::CreateTable(_) => "CREATE TABLE",
            Self::CreateExternalTable(_) => "CREATE EXTERNAL TABLE",
            Self::CreateView(_) => "CREATE VIEW",
            Self::CreateMaterializedView(_) => "CREATE MATERIALIZED VIEW",
            Self::CreateSink(_) => "CREATE SINK",
            Self::CreateConnection(_) => "CREATE CONNECTION",
            Self::Drop(drop) => match drop.kind {
                ObjectKind::Schema => "DROP SCHEMA",
                ObjectKind::Stream => "DROP STREAM",
                ObjectKind::Table => "DROP TABLE",
                ObjectKind::ExternalTable => "DROP EXTERNAL TABLE",
                ObjectKind::View => "DROP VIEW",
                ObjectKind::MaterializedView => "DROP MATERIALIZED VIEW",
                ObjectKind::Sink => "DROP SINK",
                ObjectKind::Connection => "DROP CONNECTION",
            },
            Self::Alter(alter) => match alter.kind {
                ObjectKind::Schema => "ALTER SCHEMA",
                ObjectKind::Stream => "ALTER STREAM",
                ObjectKind::Table => "ALTER TABLE",
                ObjectKind::ExternalTable => "ALTER EXTERNAL TABLE",
                ObjectKind::View => "ALTER VIEW",
                ObjectKind::MaterializedView => "ALTER MATERIALIZED VIEW",
                ObjectKind::Sink => "ALTER SINK",
                ObjectKind::Connection => "ALTER CONNECTION",
            },
            Self::CommentOn(_) => "COMMENT",
            Self::Show(_) => "SHOW",
            Self::Describe(_) => "DESCRIBE",
            Self::Explain(_) => "EXPLAIN",
            Self::Set(_) | Self::Transaction(Transaction::Set { .. }) => "SET",
            Self::Reset(_) => "RESET",
            Self::KillQuery(_) => "KILL QUERY",
            Self::Flush => "FLUSH",
            Self::Subscribe(_) => "SUBSCRIBE",
            Self::Cursor(Cursor::Declare { .. }) => "DECLARE CURSOR",
            Self::Cursor(Cursor::Fetch { .. }) => "FETCH",
            Self::Cursor(Cursor::Move { .. }) => "MOVE",
            Self::Cursor(Cursor::Close(_)) => "CLOSE CURSOR",
            Self::Prepared(Prepared::Prepare { .. }) => "PREPARE",
            Self::Prepared(Prepared::Execute { .. }) => "EXECUTE",
            Self::Prepared(Prepared::Deallocate(_)) => "DEALLOCATE",
            Self::Transaction(Transaction::Begin { .. }) => "BEGIN",
            Self::Transaction(Transaction::Commit) => "COMMIT",
            Self::Transaction(Transaction::Rollback | Transaction::RollbackTo(_)) => "ROLLBACK",
            Self::Transaction(Transaction::Savepoint(_)) => "SAVEPOINT",
            Self::Transaction(Transaction::Release(_)) => "RELEASE",
            Self::Discard(_) => "DISCARD",
            Self::Notification(word) => match word.as_str() {
                "LISTEN" => "LISTEN",
                "UNLISTEN" => "UNLISTEN",
                _ => "NOTIFY",
            },
            Self::Access(Access::GrantRoles { .. }) => "GRANT ROLE",
            Self::Access(Access::RevokeRoles { .. }) => "REVOKE ROLE",
            Self::Access(Access::Other(statement)) => match **statement {
                ast::Statement::Grant(_) => "GRANT",
                ast::Statement::Revoke(_) => "REVOKE",
                ast::Statement::Drop { .. } => "DROP ROLE",
                ast::Statement::AlterRole { .. } => "ALTER ROLE",
                _ => "CREATE ROLE",
            },
        }
    }

    /// Whether the statement changes nothing that another session could see. (An `EXPLAIN` that does not run what it
    /// explains reads only.)
    pub fn reads_only(&self) -> bool {
        match self {
            Self::Query(_)
            | Self::Show(_)
            | Self::Describe(_)
            | Self::Subscribe(_)
            | Self::Flush
            | Self::Set(_)
            | Self::Reset(_)
            | Self::Cursor(_)
            | Self::Transaction(_)
            | Self::Discard(_) => true,
            Self::Copy(copy) => copy.target.is_none(),
            Self::Explain(explain) => !explain.analyze || explain.statement.reads_only(),
            Self::Prepared(Prepared::Prepare { statement, .. }) => statement.statement.reads_only(),
            Self::Prepared(Prepared::Deallocate(_)) => true,
            _ => false,
        }
    }
}
