//! What views are doing.

use weir_base::{Classify, Kind, SqlState};
use weir_streaming::JobStatus;

use crate::error::Error;

/// What a view is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ViewState {
    /// It is computed from the beginning, and shows what it showed last.
    Starting,
    /// It follows its sources.
    Running,
    /// It was told to stand still.
    Paused,
    /// What it writes to is away: it tries again.
    Retrying(Failure),
    /// It cannot go on.
    Failed(Failure),
}

/// Why a view stands still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    kind: Kind,
    sqlstate: SqlState,
    message: String,
    hint: Option<String>,
}

impl Failure {
    pub(crate) fn of(error: &Error) -> Self {
        Self {
            kind: error.kind(),
            sqlstate: error.sqlstate(),
            message: error.to_string(),
            hint: error.hint(),
        }
    }

    pub(super) fn error(&self) -> Error {
        let error = Error::new(self.kind, self.message.clone()).with_sqlstate(self.sqlstate);
        match &self.hint {
            Some(hint) => error.with_hint(hint.clone()),
            None => error,
        }
    }
}

impl ViewState {
    /// The state in a word.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Retrying(_) => "retrying",
            Self::Failed(_) => "failed",
        }
    }

    /// What is wrong, if something is.
    pub(crate) fn error(&self) -> Option<&str> {
        match self {
            Self::Retrying(failure) | Self::Failed(failure) => Some(&failure.message),
            _ => None,
        }
    }
}

/// A view as an operator sees it.
#[derive(Debug, Clone)]
pub(crate) struct ViewStatus {
    pub(crate) state: ViewState,
    /// How its job does, or did when it ended.
    pub(crate) job: JobStatus,
}
