//! Statements about a session: settings, cursors, prepared statements, transactions, users.

use datafusion_sql::sqlparser::ast;

use super::Parsed;

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
        /// A query or a `SUBSCRIBE`, with its text.
        statement: Box<Parsed>,
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
