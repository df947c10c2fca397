//! What a statement is, once it is parsed.
//!
//! Queries, expressions and types inside a statement are those of DataFusion's parser ([`ast`]), so that its planner takes
//! them as they are. Everything else is ours. Where the catalog keeps SQL (a view's query, a default, a check), the
//! statement carries the text that the user wrote beside its tree, because printing a tree moves and drops things.

mod access;
mod definition;
mod session;

use datafusion_sql::sqlparser::ast;
use weir_base::Position;

pub use access::*;
pub use definition::*;
pub use session::*;

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
    /// `TEST CONNECTION`.
    TestConnection(TestConnection),
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

/// Whether a statement is about the session that sends it and nothing else.
pub fn is_of_session(statement: &Statement) -> bool {
    matches!(
        statement,
        Statement::Set(_)
            | Statement::Reset(_)
            | Statement::Discard(_)
            | Statement::Cursor(_)
            | Statement::Prepared(_)
            | Statement::Transaction(_)
            | Statement::Notification(_)
            | Statement::KillQuery(_)
    )
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
            Self::TestConnection(_) => "TEST CONNECTION",
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
            Self::Access(access) => access.tag(),
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
