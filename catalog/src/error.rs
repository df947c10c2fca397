//! What can go wrong with the catalog.

use std::path::PathBuf;

use weir_base::{Classify, Kind, SqlState};

use crate::ObjectKind;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with the catalog.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing of this name exists.
    #[error("{what} \"{name}\" not found")]
    NotFound {
        /// `stream`, `relation`, `schema`, ….
        what: String,
        /// The name that was asked for.
        name: String,
        /// What to do about it.
        hint: Option<String>,
        /// The SQLSTATE of what is missing.
        sqlstate: SqlState,
    },
    /// No such column.
    #[error("column \"{column}\" not found in {relation}")]
    ColumnNotFound {
        /// The name that was asked for.
        column: String,
        /// Kind and name of the relation.
        relation: String,
        /// The nearest column.
        nearest: Option<String>,
    },
    /// The object exists, and is of another kind.
    #[error("\"{name}\" is {}, not {}", with_article(*found), with_article(*wanted))]
    WrongKind {
        /// The object's name.
        name: String,
        /// What it is.
        found: ObjectKind,
        /// What it was taken for.
        wanted: ObjectKind,
    },
    /// The name is taken.
    #[error("{kind} \"{name}\" already exists")]
    Exists {
        /// What has the name.
        kind: ObjectKind,
        /// The name.
        name: String,
    },
    /// Others depend on it.
    #[error("cannot {verb} {object}: {} on it", list(dependants))]
    Dependants {
        /// What was asked for: `drop`, `rename`, ….
        verb: &'static str,
        /// Kind and name of the object.
        object: String,
        /// Kind and name of each that depends on it.
        dependants: Vec<String>,
    },
    /// What was asked for breaks a rule.
    #[error("{message}")]
    Rule {
        /// Which rule.
        message: String,
        /// What to do about it.
        hint: Option<String>,
        /// Its SQLSTATE.
        sqlstate: SqlState,
    },
    /// What was asked of the schema registry is refused.
    #[error(transparent)]
    Registry(#[from] weir_schemas::Error),
    /// Another commit came first.
    #[error(
        "the catalog changed meanwhile: this statement was planned on version {expected}, and version {actual} is current"
    )]
    Stale {
        /// The version that the changes were planned on.
        expected: u64,
        /// The current version.
        actual: u64,
    },
    /// The folder was written by another version of Weir.
    #[error(
        "the catalog in {dir:?} has format {found}, and this version of Weir reads format {supported}"
    )]
    Format {
        /// The catalog's folder.
        dir: PathBuf,
        /// The format found.
        found: u64,
        /// The format that this version reads.
        supported: u64,
    },
    /// Another process has it open.
    #[error("the catalog in {0:?} is in use by another process")]
    Locked(PathBuf),
    /// Stored bytes are not what was written.
    #[error("the catalog in {dir:?} is corrupt: {reason}")]
    Corrupt {
        /// The catalog's folder.
        dir: PathBuf,
        /// What was found.
        reason: String,
    },
    /// Reading or writing failed.
    #[error("the catalog in {dir:?} cannot be {doing}")]
    Storage {
        /// The catalog's folder.
        dir: PathBuf,
        /// `opened`, `read`, `written`.
        doing: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A commit failed before, so that what is on disk is not known.
    #[error("the catalog takes no more changes: {0}")]
    Failed(String),
    /// A defect of the caller.
    #[error("catalog: {0}")]
    Internal(String),
}

impl Error {
    pub(crate) fn rule(
        sqlstate: SqlState,
        message: impl Into<String>,
        hint: impl Into<Option<&'static str>>,
    ) -> Self {
        Self::Rule {
            message: message.into(),
            hint: hint.into().map(str::to_owned),
            sqlstate,
        }
    }
}

impl Classify for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::NotFound { .. } | Self::ColumnNotFound { .. } => Kind::NotFound,
            Self::Exists { .. } | Self::Dependants { .. } | Self::Stale { .. } => Kind::Conflict,
            Self::WrongKind { .. } | Self::Rule { .. } => Kind::Invalid,
            Self::Format { .. } | Self::Locked(_) | Self::Storage { .. } | Self::Failed(_) => {
                Kind::Unavailable
            }
            Self::Registry(error) => error.kind(),
            Self::Corrupt { .. } => Kind::Corrupt,
            Self::Internal(_) => Kind::Internal,
        }
    }

    fn sqlstate(&self) -> SqlState {
        match self {
            Self::NotFound { sqlstate, .. } | Self::Rule { sqlstate, .. } => *sqlstate,
            Self::ColumnNotFound { .. } => SqlState::UNDEFINED_COLUMN,
            Self::WrongKind { .. } => SqlState::WRONG_OBJECT_TYPE,
            Self::Exists { kind, .. } => match kind {
                ObjectKind::Schema => SqlState::DUPLICATE_SCHEMA,
                ObjectKind::Connection => SqlState::DUPLICATE_OBJECT,
                _ => SqlState::DUPLICATE_TABLE,
            },
            Self::Registry(error) => error.sqlstate(),
            Self::Dependants { .. } => SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
            Self::Stale { .. } => SqlState::SERIALIZATION_FAILURE,
            Self::Storage { .. } | Self::Failed(_) => SqlState::IO_ERROR,
            Self::Format { .. } | Self::Locked(_) | Self::Corrupt { .. } | Self::Internal(_) => {
                self.kind().default_sqlstate()
            }
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound { hint, .. } | Self::Rule { hint, .. } => hint.clone(),
            Self::ColumnNotFound { nearest, .. } => nearest
                .as_ref()
                .map(|nearest| format!("did you mean \"{nearest}\"?")),
            Self::WrongKind { found, .. } => Some(format!(
                "use the statement for {} instead",
                with_article(*found)
            )),
            Self::Exists { .. } => Some(
                "choose another name, drop it first, or use IF NOT EXISTS or OR REPLACE".into(),
            ),
            Self::Dependants { verb: "drop", .. } => {
                Some("drop what depends on it first, or use DROP … CASCADE".into())
            }
            Self::Dependants { .. } => {
                Some("drop what depends on it first, and create it again afterwards".into())
            }
            Self::Stale { .. } => Some("run the statement again".into()),
            Self::Format {
                found, supported, ..
            } if found > supported => Some(
                "start the newer version of Weir that wrote it, or use another data folder".into(),
            ),
            Self::Format { .. } => Some(
                "start the older version of Weir that wrote it, or use another data folder".into(),
            ),
            Self::Locked(_) => Some("stop the other process, or use another data folder".into()),
            Self::Corrupt { .. } => Some("restore the data folder from a backup".into()),
            Self::Storage { .. } => Some("look at the disk's space and health".into()),
            Self::Failed(_) => {
                Some("look at the disk's space and health, then restart the server".into())
            }
            Self::Registry(error) => error.hint(),
            Self::Internal(_) => None,
        }
    }
}

fn with_article(kind: ObjectKind) -> String {
    let article = match kind {
        ObjectKind::ExternalTable => "an",
        _ => "a",
    };
    format!("{article} {kind}")
}

/// `view "a" depends`, or `view "a" and view "b" depend`; no more than ten by name.
fn list(dependants: &[String]) -> String {
    const NAMED_MAX: usize = 10;
    match dependants {
        [] => "nothing depends".to_owned(),
        [one] => format!("{one} depends"),
        many if many.len() > NAMED_MAX => {
            let named = many.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>();
            format!(
                "{} and {} more depend",
                named.join(", "),
                many.len() - NAMED_MAX
            )
        }
        [first @ .., last] => format!("{} and {last} depend", first.join(", ")),
    }
}
