//! What kinds of columns the files tell apart: a letter each.

use sqllogictest::ColumnType;

/// The kind of a column: its letter in `query BITRD…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Boolean,
    Integer,
    Real,
    Decimal,
    Text,
    /// Bytes.
    Bytes,
    /// Dates, times, timestamps, intervals.
    Time,
    /// Arrays, structs, maps, JSON.
    Nested,
    /// Whatever it is; also the type of NULL.
    Any,
}

impl ColumnType for Kind {
    fn from_char(letter: char) -> Option<Self> {
        Some(match letter {
            'B' => Self::Boolean,
            'I' => Self::Integer,
            'R' => Self::Real,
            'D' => Self::Decimal,
            'T' => Self::Text,
            'X' => Self::Bytes,
            'P' => Self::Time,
            'N' => Self::Nested,
            '?' => Self::Any,
            _ => return None,
        })
    }

    fn to_char(&self) -> char {
        match self {
            Self::Boolean => 'B',
            Self::Integer => 'I',
            Self::Real => 'R',
            Self::Decimal => 'D',
            Self::Text => 'T',
            Self::Bytes => 'X',
            Self::Time => 'P',
            Self::Nested => 'N',
            Self::Any => '?',
        }
    }
}

impl Kind {
    /// Of a type's SQL name.
    pub(crate) fn of(name: &str) -> Self {
        let name = name.to_uppercase();
        let is = |words: &[&str]| words.iter().any(|word| name.starts_with(word));
        if name.ends_with("[]") || is(&["STRUCT", "MAP", "ARRAY", "LIST", "JSON", "ROW"]) {
            Self::Nested
        } else if is(&["BOOL"]) {
            Self::Boolean
        } else if is(&["DATE", "TIME", "INTERVAL"]) {
            Self::Time
        } else if is(&["BIGINT", "INT", "SMALLINT", "TINYINT", "UINT", "OID", "XID"])
            || name.contains("UNSIGNED")
        {
            Self::Integer
        } else if is(&["DOUBLE", "REAL", "FLOAT"]) {
            Self::Real
        } else if is(&["DECIMAL", "NUMERIC"]) {
            Self::Decimal
        } else if is(&[
            "TEXT", "VARCHAR", "CHAR", "STRING", "UUID", "NAME", "REG", "\"CHAR",
        ]) {
            Self::Text
        } else if is(&["BYTEA", "BLOB", "BINARY", "VARBINARY"]) {
            Self::Bytes
        } else {
            Self::Any
        }
    }
}
