//! The one error type of this crate.

use std::fmt;

use datafusion::error::DataFusionError;
use weir_base::{Classify, Kind, OptionError, SqlState};

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong between Weir and a place where rows come from or go to.
///
/// The message names the place as the user wrote it, and never a secret. Causes are reached by
/// [`std::error::Error::source`]; `Display` does not repeat them.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    sqlstate: Option<SqlState>,
    message: String,
    hint: Option<String>,
    row: Option<u64>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of this kind, with a message for the person who can act.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            sqlstate: None,
            message: message.into(),
            hint: None,
            row: None,
            source: None,
        }
    }

    /// The request is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, message).with_sqlstate(SqlState::INVALID_PARAMETER_VALUE)
    }

    /// What is asked for is not built, or not possible with this format or store.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, message).with_sqlstate(SqlState::FEATURE_NOT_SUPPORTED)
    }

    /// Says what to do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says which of the rows that were given is meant, counted from 1.
    #[must_use]
    pub fn with_row(mut self, row: u64) -> Self {
        self.row = Some(row);
        self
    }

    /// Which of the rows that were given is meant, counted from 1.
    pub fn row(&self) -> Option<u64> {
        self.row
    }

    /// Gives a finer SQLSTATE than the kind's own.
    #[must_use]
    pub fn with_sqlstate(mut self, sqlstate: SqlState) -> Self {
        self.sqlstate = Some(sqlstate);
        self
    }

    /// Keeps the cause. Its text must hold no secret: it goes to logs.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The error of this crate that caused `error`, if one did, however deep DataFusion, Arrow or Parquet wrapped it.
    pub fn find<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref::<Self>() {
                return Some(found);
            }
            next = inner(error);
        }
        None
    }

    /// The same error with the place in front of its message.
    #[must_use]
    pub fn at(mut self, place: &str) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    /// The same kind, message and hint without the cause, for an error that is told more than once.
    #[must_use]
    pub fn retell(&self) -> Self {
        Self {
            kind: self.kind,
            sqlstate: self.sqlstate,
            message: self.message.clone(),
            hint: self.hint.clone(),
            row: self.row,
            source: None,
        }
    }
}

/// One step down the chain of causes. `io::Error` and a shared `DataFusionError` hide the error they wrap behind that
/// error's own cause, so they are opened first.
fn inner<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a (dyn std::error::Error + 'static)> {
    if let Some(io) = error.downcast_ref::<std::io::Error>()
        && let Some(wrapped) = io.get_ref()
    {
        return Some(wrapped as &(dyn std::error::Error + 'static));
    }
    if let Some(DataFusionError::Shared(shared)) = error.downcast_ref::<DataFusionError>() {
        return Some(shared.as_ref());
    }
    if let Some(DataFusionError::Collection(errors)) = error.downcast_ref::<DataFusionError>() {
        return errors
            .iter()
            .find(|error| Error::find(*error).is_some())
            .or(errors.first())
            .map(|error| error as &(dyn std::error::Error + 'static));
    }
    error.source()
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn std::error::Error + 'static))
    }
}

impl Classify for Error {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn sqlstate(&self) -> SqlState {
        self.sqlstate.unwrap_or(self.kind.default_sqlstate())
    }

    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}

impl From<OptionError> for Error {
    fn from(error: OptionError) -> Self {
        let invalid = Self::invalid(error.to_string());
        match error.hint() {
            Some(hint) => invalid.with_hint(hint),
            None => invalid,
        }
    }
}

impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        Self::External(Box::new(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_found_under_every_wrapping() {
        let ours = || Error::new(Kind::Denied, "s3://lake/a: access denied");
        let io = std::io::Error::other(ours());
        let arrow = datafusion::arrow::error::ArrowError::ExternalError(Box::new(io));
        let shared = DataFusionError::Shared(std::sync::Arc::new(arrow.into()));
        let wrapped = DataFusionError::Context("reading".into(), Box::new(shared));
        assert_eq!(
            Error::find(&wrapped).map(Classify::kind),
            Some(Kind::Denied)
        );
        let many = DataFusionError::Collection(vec![
            DataFusionError::Execution("x".into()),
            ours().into(),
        ]);
        assert_eq!(Error::find(&many).map(Classify::kind), Some(Kind::Denied));
        assert!(Error::find(&DataFusionError::Execution("x".into())).is_none());
    }
}
