//! What can go wrong with schemas and their registry, by the numbers of the Confluent REST form.

use weir_base::{Classify, Kind};

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What is wrong, by its number in the Confluent REST form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// No such subject.
    SubjectNotFound,
    /// No such version of the subject.
    VersionNotFound,
    /// No such schema.
    SchemaNotFound,
    /// The subject is deleted, and can only be deleted for good or registered again.
    SubjectSoftDeleted,
    /// To be deleted for good, a subject must be deleted first.
    SubjectNotSoftDeleted,
    /// The version is deleted already.
    VersionSoftDeleted,
    /// To be deleted for good, a version must be deleted first.
    VersionNotSoftDeleted,
    /// The subject has no compatibility level of its own.
    LevelNotSet,
    /// The subject has no mode of its own.
    ModeNotSet,
    /// An earlier schema of the subject and this one cannot read each other's data as the level asks.
    Incompatible,
    /// The schema is not valid.
    InvalidSchema,
    /// The version is neither a number from 1 nor `latest`.
    InvalidVersion,
    /// No such compatibility level.
    InvalidLevel,
    /// No such mode.
    InvalidMode,
    /// The subject's mode does not allow it.
    NotPermitted,
    /// Other schemas refer to it.
    ReferenceExists,
    /// The id belongs to another schema.
    IdTaken,
    /// The name is no subject's.
    InvalidSubject,
    /// The request asks for what is not built.
    Unsupported,
    /// A bound of the registry is reached.
    LimitExceeded,
    /// Stored records contradict each other.
    Corrupt,
}

impl Code {
    /// The number in the Confluent REST form; its first three digits are the HTTP status.
    pub fn number(self) -> u32 {
        match self {
            Self::SubjectNotFound => 40401,
            Self::VersionNotFound => 40402,
            Self::SchemaNotFound => 40403,
            Self::SubjectSoftDeleted => 40404,
            Self::SubjectNotSoftDeleted => 40405,
            Self::VersionSoftDeleted => 40406,
            Self::VersionNotSoftDeleted => 40407,
            Self::LevelNotSet => 40408,
            Self::ModeNotSet => 40409,
            Self::Incompatible => 409,
            Self::InvalidSchema => 42201,
            Self::InvalidVersion => 42202,
            Self::InvalidLevel => 42203,
            Self::InvalidMode => 42204,
            Self::NotPermitted => 42205,
            Self::ReferenceExists => 42206,
            Self::IdTaken => 42207,
            Self::InvalidSubject => 42208,
            Self::Unsupported | Self::LimitExceeded => 422,
            Self::Corrupt => 50001,
        }
    }
}

/// What is wrong with a schema or a request to the registry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    code: Code,
    message: String,
}

impl Error {
    /// An error of that code.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// A schema that is not valid.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidSchema, message)
    }

    /// What is wrong, by its number.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The same, said to be in `place`.
    #[must_use]
    pub(crate) fn within(mut self, place: &str) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }
}

impl Classify for Error {
    fn kind(&self) -> Kind {
        match self.code {
            Code::SubjectNotFound
            | Code::VersionNotFound
            | Code::SchemaNotFound
            | Code::SubjectSoftDeleted
            | Code::SubjectNotSoftDeleted
            | Code::VersionSoftDeleted
            | Code::VersionNotSoftDeleted
            | Code::LevelNotSet
            | Code::ModeNotSet => Kind::NotFound,
            Code::Incompatible | Code::ReferenceExists | Code::IdTaken => Kind::Conflict,
            Code::InvalidSchema
            | Code::InvalidVersion
            | Code::InvalidLevel
            | Code::InvalidMode
            | Code::InvalidSubject
            | Code::Unsupported => Kind::Invalid,
            Code::NotPermitted => Kind::Denied,
            Code::LimitExceeded => Kind::LimitExceeded,
            Code::Corrupt => Kind::Corrupt,
        }
    }
}
