//! The one error type of this crate.

use datafusion::error::DataFusionError;
use weir_base::{Classify, Kind, SqlState};

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a live query cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The plan has an operator that needs state between steps.
    #[error("a query that remembers nothing cannot have {0}")]
    NeedsState(
        /// The operator in SQL's words.
        &'static str,
    ),
    /// A window cannot close, or something is asked of closed windows that would change later.
    #[error("{message}")]
    Windows {
        /// What is wrong.
        message: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// What a join by time asks for cannot be told.
    #[error("{message}")]
    AsOf {
        /// What is wrong.
        message: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// Nothing that the plan reads can change.
    #[error("this query reads no stream, so nothing can change in it")]
    ReadsNoStream,
    /// The position to go on from does not belong to this query.
    #[error("the resume token does not fit this query: {0}")]
    WrongPosition(String),
    /// Rows after the position to go on from are no longer there.
    #[error(
        "the rows of topic {topic} partition {partition} from offset {wanted} on are gone: the first that is left is {start}"
    )]
    RowsGone {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// The offset to go on from.
        wanted: i64,
        /// The first offset that is there.
        start: i64,
    },
    /// What changed in a table after the position to go on from was compacted away.
    #[error("what changed in a table since the position to go on from can no longer be told")]
    ChangesGone,
    /// Rows that an answer rests on, to which only changes were to be added, are no longer there.
    #[error("the answer so far rests on rows of topic {0} that are gone")]
    AnswerGone(String),
    /// A stream that the query reads was dropped.
    #[error("stream topic {0} was dropped")]
    Dropped(String),
    /// A stream that the query reads has got more partitions, of which the query's plan knows nothing.
    #[error("stream topic {0} has got more partitions")]
    Grown(String),
    /// Two rows have one key, where a key may have one.
    #[error("the query has two rows with the key ({key})")]
    KeyNotUnique {
        /// The key's columns with their values.
        key: String,
    },
    /// Rows went from a view whose rows only come.
    #[error(
        "rows have gone from {0}, of closed windows: it has been given another query, or was computed again over fewer rows"
    )]
    Shrunk(String),
    /// Planning or execution failed.
    #[error(transparent)]
    DataFusion(#[from] DataFusionError),
    /// Arrow refused something.
    #[error(transparent)]
    Arrow(#[from] arrow::error::ArrowError),
    /// A row cannot be computed.
    #[error("{source} in {operator}, for the row {row}")]
    Row {
        /// What is wrong with it.
        source: Box<Error>,
        /// Where it came to be known.
        operator: String,
        /// The row, or its beginning.
        row: String,
    },
    /// Something that cannot be; the defect is ours.
    #[error("{0}")]
    Internal(&'static str),
    /// The state of a job cannot be kept.
    #[error("the state of a continuous query cannot be kept: {0}")]
    Store(#[from] fjall::Error),
    /// A topic cannot be read.
    #[error(transparent)]
    Connector(#[from] weir_connectors::Error),
}

impl Error {
    /// Whether what is stored makes no sense, so that trying again would find the same.
    pub fn is_damage(&self) -> bool {
        use std::io::ErrorKind;
        let Self::Store(error) = self else {
            return false;
        };
        if matches!(error, fjall::Error::Locked | fjall::Error::Poisoned) {
            return false;
        }
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<std::io::Error>() {
                // What is missing, cut off or garbled; not what cannot be read now.
                return matches!(
                    error.kind(),
                    ErrorKind::NotFound | ErrorKind::UnexpectedEof | ErrorKind::InvalidData
                );
            }
            cause = error.source();
        }
        true
    }
}

impl Classify for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::NeedsState(_)
            | Self::Windows { .. }
            | Self::AsOf { .. }
            | Self::WrongPosition(_)
            | Self::ReadsNoStream
            | Self::KeyNotUnique { .. } => Kind::Invalid,
            Self::Connector(error) => error.kind(),
            Self::Row { source, .. } => source.kind(),
            Self::RowsGone { .. } | Self::ChangesGone | Self::AnswerGone(_) | Self::Dropped(_) => {
                Kind::NotFound
            }
            Self::Grown(_) | Self::Shrunk(_) | Self::Store(_) => Kind::Unavailable,
            Self::DataFusion(_) | Self::Arrow(_) | Self::Internal(_) => Kind::Internal,
        }
    }

    fn sqlstate(&self) -> SqlState {
        match self {
            Self::NeedsState(_)
            | Self::Windows { .. }
            | Self::AsOf { .. }
            | Self::ReadsNoStream => SqlState::FEATURE_NOT_SUPPORTED,
            Self::WrongPosition(_) => SqlState::INVALID_PARAMETER_VALUE,
            Self::Dropped(_) => SqlState::UNDEFINED_TABLE,
            Self::KeyNotUnique { .. } => SqlState::UNIQUE_VIOLATION,
            Self::Connector(error) => error.sqlstate(),
            Self::Row { source, .. } => source.sqlstate(),
            Self::RowsGone { .. }
            | Self::ChangesGone
            | Self::AnswerGone(_)
            | Self::Grown(_)
            | Self::Shrunk(_)
            | Self::DataFusion(_)
            | Self::Arrow(_)
            | Self::Store(_)
            | Self::Internal(_) => self.kind().default_sqlstate(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Windows { hint, .. } | Self::AsOf { hint, .. } => Some((*hint).to_owned()),
            Self::WrongPosition(_) => {
                Some("start without a token to read from the beginning".to_owned())
            }
            Self::RowsGone { .. } | Self::ChangesGone | Self::AnswerGone(_) => {
                Some("start again without a token".to_owned())
            }
            Self::Grown(_) => {
                Some("go on from the last resume token: nothing is missed".to_owned())
            }
            Self::KeyNotUnique { .. } => {
                Some("name the columns that tell rows apart: key = 'a, b'".to_owned())
            }
            Self::ReadsNoStream => Some("leave EMIT CHANGES out".to_owned()),
            Self::Connector(error) => error.hint(),
            Self::Row { source, .. } => source.hint(),
            Self::Shrunk(_) => Some("drop what reads it, and create that again".to_owned()),
            Self::Store(_) => Some("look at the disk of the data folder".to_owned()),
            Self::NeedsState(_)
            | Self::Dropped(_)
            | Self::DataFusion(_)
            | Self::Arrow(_)
            | Self::Internal(_) => None,
        }
    }
}
