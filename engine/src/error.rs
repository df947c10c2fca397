//! The engine's one error type, and how DataFusion's errors become it.

use std::fmt;
use std::time::Duration;

use weir_base::{Classify, Kind, Position, QueryId, SqlState};

/// The engine's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a request failed, in words for the person who can act on it.
#[derive(Debug, Clone)]
pub struct Error(Box<Details>);

#[derive(Debug, Clone)]
struct Details {
    kind: Kind,
    sqlstate: SqlState,
    message: String,
    hint: Option<String>,
    position: Option<Position>,
    query_id: Option<QueryId>,
    row: Option<u64>,
    column: Option<String>,
    retry_after: Option<Duration>,
}

impl Error {
    /// An error of `kind` with that kind's own SQLSTATE.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self(Box::new(Details {
            kind,
            sqlstate: kind.default_sqlstate(),
            message: message.into(),
            hint: None,
            position: None,
            query_id: None,
            row: None,
            column: None,
            retry_after: None,
        }))
    }

    /// A request that is wrong in itself.
    pub fn invalid(sqlstate: SqlState, message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, message).with_sqlstate(sqlstate)
    }

    /// Something that Weir does not do.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::invalid(SqlState::FEATURE_NOT_SUPPORTED, message)
    }

    /// Any error of another crate of Weir, its kind, SQLSTATE, hint and position kept.
    pub fn from_classified(error: &dyn Classify) -> Self {
        let mut this = Self::new(error.kind(), with_causes(error)).with_sqlstate(error.sqlstate());
        this.0.hint = error.hint();
        this.0.position = error.position();
        if error.sqlstate() == SqlState::INSUFFICIENT_RESOURCES {
            // The disk does not keep up; it passes by waiting.
            this.0.retry_after = Some(Duration::from_secs(1));
        }
        this
    }

    /// Sets the SQLSTATE.
    #[must_use]
    pub fn with_sqlstate(mut self, sqlstate: SqlState) -> Self {
        self.0.sqlstate = sqlstate;
        self
    }

    /// Sets what to do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Sets the place in the SQL text, unless one is known.
    #[must_use]
    pub fn with_position(mut self, position: Option<Position>) -> Self {
        self.0.position = self.0.position.or(position);
        self
    }

    /// Says in what the error is, before the message.
    #[must_use]
    pub(crate) fn in_context(mut self, context: &str) -> Self {
        self.0.message = format!("{context}: {}", self.0.message);
        self
    }

    /// Forgets the place, which is one in another text than the user's.
    #[must_use]
    pub(crate) fn without_position(mut self) -> Self {
        self.0.position = None;
        self
    }

    /// Sets the query that failed.
    #[must_use]
    pub fn with_query_id(mut self, query_id: QueryId) -> Self {
        self.0.query_id = Some(query_id);
        self
    }

    /// Sets the row (from 1) and the column of an ingest that are wrong.
    #[must_use]
    pub fn at_row(mut self, row: u64, column: Option<String>) -> Self {
        self.0.row = Some(row);
        self.0.column = column;
        self
    }

    /// Sets when to try again.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// The query that failed, where one had begun.
    pub fn query_id(&self) -> Option<QueryId> {
        self.0.query_id
    }

    /// The first wrong row of an ingest, from 1.
    pub fn row(&self) -> Option<u64> {
        self.0.row
    }

    /// The wrong column of that row.
    pub fn column(&self) -> Option<&str> {
        self.0.column.as_deref()
    }

    /// When to try again, for an error that passes.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// What went wrong, without hint and position.
    pub fn message(&self) -> &str {
        &self.0.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {}

impl Classify for Error {
    fn kind(&self) -> Kind {
        self.0.kind
    }
    fn sqlstate(&self) -> SqlState {
        self.0.sqlstate
    }
    fn hint(&self) -> Option<String> {
        self.0.hint.clone()
    }
    fn position(&self) -> Option<Position> {
        self.0.position
    }
}

/// The message of an error followed by those of its causes.
fn with_causes(error: &dyn Classify) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}
