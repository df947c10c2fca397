//! What is wrong with a text, where, and what to do about it.

use datafusion_sql::sqlparser::tokenizer::TokenWithSpan;
use weir_base::{Classify, Kind, Position, SqlState};

/// The result of parsing.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a text is no statement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It does not follow the grammar.
    #[error("syntax error: {message}")]
    Syntax {
        /// What was expected and what was found.
        message: String,
        /// Where it was found.
        position: Position,
        /// What may have been meant.
        hint: Option<String>,
    },
    /// It is SQL, but not SQL that Weir has.
    #[error("{what} is not supported")]
    Unsupported {
        /// The statement or clause.
        what: String,
        /// Where it stands.
        position: Position,
        /// What to use in its place.
        hint: Option<String>,
    },
    /// It contradicts itself: a column twice, two primary keys.
    #[error("{message}")]
    Definition {
        /// The contradiction.
        message: String,
        /// Where it shows.
        position: Position,
        /// The finest SQLSTATE.
        sqlstate: SqlState,
    },
    /// It is nested more deeply, or chains more operators, than can be handled.
    #[error("statement too complex: {what}")]
    TooComplex {
        /// What there is too much of.
        what: String,
        /// Where it became too much.
        position: Position,
    },
}

impl Error {
    pub(crate) fn syntax(message: impl Into<String>, position: Position) -> Self {
        Self::Syntax {
            message: message.into(),
            position,
            hint: None,
        }
    }

    pub(crate) fn unsupported(
        what: impl Into<String>,
        position: Position,
        hint: Option<&str>,
    ) -> Self {
        Self::Unsupported {
            what: what.into(),
            position,
            hint: hint.map(str::to_owned),
        }
    }

    /// For a part of a statement: what was found at its end is not the statement's end, but `token`.
    pub(crate) fn at_the_end_found(mut self, token: &TokenWithSpan) -> Self {
        if let Self::Syntax {
            message, position, ..
        } = &mut self
            && let Some(expected) = message.strip_suffix("the end of the statement")
            && expected.ends_with("found ")
        {
            *message = format!("{expected}{token}");
            *position = crate::source::position(token.span.start);
        }
        self
    }

    /// Gives a syntax error without a hint this one.
    pub(crate) fn or_hint(mut self, new: impl FnOnce() -> Option<String>) -> Self {
        if let Self::Syntax { hint, .. } = &mut self
            && hint.is_none()
        {
            *hint = new();
        }
        self
    }
}

impl Classify for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::TooComplex { .. } => Kind::LimitExceeded,
            _ => Kind::Invalid,
        }
    }

    fn sqlstate(&self) -> SqlState {
        match self {
            Self::Syntax { .. } => SqlState::SYNTAX_ERROR,
            Self::Unsupported { .. } => SqlState::FEATURE_NOT_SUPPORTED,
            Self::Definition { sqlstate, .. } => *sqlstate,
            Self::TooComplex { .. } => SqlState::STATEMENT_TOO_COMPLEX,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Syntax { hint, .. } | Self::Unsupported { hint, .. } => hint.clone(),
            Self::Definition { .. } => None,
            Self::TooComplex { .. } => {
                Some("split the statement, or put values in a list or a table".to_owned())
            }
        }
    }

    fn position(&self) -> Option<Position> {
        match self {
            Self::Syntax { position, .. }
            | Self::Unsupported { position, .. }
            | Self::Definition { position, .. }
            | Self::TooComplex { position, .. } => Some(*position),
        }
    }
}
