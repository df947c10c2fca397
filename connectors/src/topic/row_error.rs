//! What is wrong with rows that come in.

use arrow::datatypes::Field;
use arrow::error::ArrowError;
use weir_base::{Classify, Kind, SqlState};

use super::row::Wrong;
use crate::Error;

/// Why rows are refused: the first bad row, and what is wrong with it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}{message}", self.place())]
pub struct RowError {
    /// The row's number within the request, from 1; none when it is not one row that is wrong.
    pub row: Option<u64>,
    /// The column, or the field within it (`address.zip`).
    pub column: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The SQLSTATE.
    pub sqlstate: SqlState,
}

impl RowError {
    pub(super) fn new(row: usize, wrong: Wrong) -> Self {
        Self {
            row: Some(row as u64 + 1),
            column: wrong.path,
            message: wrong.message,
            hint: wrong.hint,
            sqlstate: wrong.sqlstate,
        }
    }

    /// The body as a whole is wrong.
    pub(super) fn body(message: impl Into<String>) -> Self {
        Self {
            row: None,
            column: None,
            message: message.into(),
            hint: None,
            sqlstate: SqlState::INVALID_TEXT_REPRESENTATION,
        }
    }

    pub(super) fn column(field: &Field, message: impl Into<String>, sqlstate: SqlState) -> Self {
        Self {
            column: Some(field.name().clone()),
            sqlstate,
            ..Self::body(message)
        }
    }

    pub(super) fn at(self, row: usize) -> Self {
        Self {
            row: Some(row as u64 + 1),
            ..self
        }
    }

    fn place(&self) -> String {
        match (self.row, &self.column) {
            (Some(row), Some(column)) => format!("row {row}, column {column:?}: "),
            (Some(row), None) => format!("row {row}: "),
            (None, Some(column)) => format!("column {column:?}: "),
            (None, None) => String::new(),
        }
    }
}

impl Classify for RowError {
    fn kind(&self) -> Kind {
        if self.sqlstate == SqlState::INTERNAL_ERROR {
            Kind::Internal
        } else {
            Kind::Invalid
        }
    }
    fn sqlstate(&self) -> SqlState {
        self.sqlstate
    }
    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}

impl From<RowError> for Error {
    fn from(error: RowError) -> Self {
        let ours = Self::new(error.kind(), error.to_string()).with_sqlstate(error.sqlstate);
        let ours = match &error.hint {
            Some(hint) => ours.with_hint(hint),
            None => ours,
        };
        ours.with_source(error)
    }
}

impl From<ArrowError> for RowError {
    fn from(error: ArrowError) -> Self {
        let (sqlstate, message) = match error {
            ArrowError::NotYetImplemented(what) => (SqlState::FEATURE_NOT_SUPPORTED, what),
            other => (SqlState::INTERNAL_ERROR, other.to_string()),
        };
        Self {
            sqlstate,
            ..Self::body(message)
        }
    }
}
