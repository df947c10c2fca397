//! What kind of failure an error is, and where in the SQL text it lies.
//!
//! Each crate has one error type of its own; all of them implement [`Classify`], so that a front door can answer in its
//! protocol's terms without knowing the crate.

use std::fmt;

/// What the caller should do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request itself is wrong; change it.
    Invalid,
    /// What it names does not exist.
    NotFound,
    /// It collides with what exists (a name, a key, a version).
    Conflict,
    /// Not allowed for this user or on this server.
    Denied,
    /// A limit was reached; ask for less, wait, or raise the limit.
    LimitExceeded,
    /// Something needed is not reachable now; try again.
    Unavailable,
    /// Stored bytes are not what was written.
    Corrupt,
    /// The caller, or the server at its stop, ended the work.
    Cancelled,
    /// A defect of Weir.
    Internal,
}

/// A five-character SQLSTATE, from the PostgreSQL manual's appendix A.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SqlState(pub &'static str);

#[allow(missing_docs)]
impl SqlState {
    pub const FEATURE_NOT_SUPPORTED: Self = Self("0A000");
    pub const CARDINALITY_VIOLATION: Self = Self("21000");
    pub const DATA_EXCEPTION: Self = Self("22000");
    pub const NUMERIC_VALUE_OUT_OF_RANGE: Self = Self("22003");
    pub const DIVISION_BY_ZERO: Self = Self("22012");
    pub const INVALID_PARAMETER_VALUE: Self = Self("22023");
    pub const INVALID_TEXT_REPRESENTATION: Self = Self("22P02");
    pub const INTEGRITY_CONSTRAINT_VIOLATION: Self = Self("23000");
    pub const NOT_NULL_VIOLATION: Self = Self("23502");
    pub const UNIQUE_VIOLATION: Self = Self("23505");
    pub const CHECK_VIOLATION: Self = Self("23514");
    pub const READ_ONLY_SQL_TRANSACTION: Self = Self("25006");
    pub const INVALID_AUTHORIZATION: Self = Self("28000");
    pub const DEPENDENT_OBJECTS_STILL_EXIST: Self = Self("2BP01");
    pub const INVALID_SCHEMA_NAME: Self = Self("3F000");
    pub const SERIALIZATION_FAILURE: Self = Self("40001");
    pub const SYNTAX_ERROR: Self = Self("42601");
    pub const INSUFFICIENT_PRIVILEGE: Self = Self("42501");
    pub const AMBIGUOUS_COLUMN: Self = Self("42702");
    pub const UNDEFINED_COLUMN: Self = Self("42703");
    pub const UNDEFINED_OBJECT: Self = Self("42704");
    pub const DUPLICATE_COLUMN: Self = Self("42701");
    pub const DUPLICATE_OBJECT: Self = Self("42710");
    pub const WRONG_OBJECT_TYPE: Self = Self("42809");
    pub const GROUPING_ERROR: Self = Self("42803");
    pub const DATATYPE_MISMATCH: Self = Self("42804");
    pub const UNDEFINED_FUNCTION: Self = Self("42883");
    pub const UNDEFINED_TABLE: Self = Self("42P01");
    pub const DUPLICATE_SCHEMA: Self = Self("42P06");
    pub const DUPLICATE_TABLE: Self = Self("42P07");
    pub const INVALID_TABLE_DEFINITION: Self = Self("42P16");
    pub const INSUFFICIENT_RESOURCES: Self = Self("53000");
    pub const DISK_FULL: Self = Self("53100");
    pub const OUT_OF_MEMORY: Self = Self("53200");
    pub const TOO_MANY_CONNECTIONS: Self = Self("53300");
    pub const CONFIGURATION_LIMIT_EXCEEDED: Self = Self("53400");
    pub const PROGRAM_LIMIT_EXCEEDED: Self = Self("54000");
    pub const STATEMENT_TOO_COMPLEX: Self = Self("54001");
    pub const OBJECT_IN_USE: Self = Self("55006");
    pub const QUERY_CANCELED: Self = Self("57014");
    pub const ADMIN_SHUTDOWN: Self = Self("57P01");
    pub const CANNOT_CONNECT_NOW: Self = Self("57P03");
    pub const IO_ERROR: Self = Self("58030");
    pub const INTERNAL_ERROR: Self = Self("XX000");
    pub const DATA_CORRUPTED: Self = Self("XX001");
}

impl fmt::Display for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Kind {
    /// The SQLSTATE of an error of this kind that knows no finer one.
    pub fn default_sqlstate(self) -> SqlState {
        match self {
            Self::Invalid => SqlState::DATA_EXCEPTION,
            Self::NotFound => SqlState::UNDEFINED_OBJECT,
            Self::Conflict => SqlState::DUPLICATE_OBJECT,
            Self::Denied => SqlState::INSUFFICIENT_PRIVILEGE,
            Self::LimitExceeded => SqlState::CONFIGURATION_LIMIT_EXCEEDED,
            Self::Unavailable => SqlState::CANNOT_CONNECT_NOW,
            Self::Corrupt => SqlState::DATA_CORRUPTED,
            Self::Cancelled => SqlState::QUERY_CANCELED,
            Self::Internal => SqlState::INTERNAL_ERROR,
        }
    }
}

/// A place in SQL text: line and column, both counted from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Position {
    /// Line, from 1.
    pub line: u64,
    /// Column in characters, from 1.
    pub column: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// How an error of any crate presents itself to a front door.
pub trait Classify: std::error::Error {
    /// What the caller can do.
    fn kind(&self) -> Kind;
    /// The finest SQLSTATE known.
    fn sqlstate(&self) -> SqlState {
        self.kind().default_sqlstate()
    }
    /// What to do about it, in a sentence, where there is something to say.
    fn hint(&self) -> Option<String> {
        None
    }
    /// Where in the SQL text.
    fn position(&self) -> Option<Position> {
        None
    }
}
