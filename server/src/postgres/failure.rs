//! Errors of the engine as the protocol reports them.

use weir_base::{Classify, Kind, Position};
use weir_engine::Error;

use super::value::ParameterError;
use super::wire::{Malformed, Report, Severity};
use crate::encode::EncodeError;

/// An error in a statement, which is the part of `text` that starts at `start`.
pub(super) fn report(error: &Error, text: &str, start: Position) -> Report {
    if error.kind() == Kind::Internal {
        tracing::error!(%error, sqlstate = %error.sqlstate(), "a statement failed inside");
    }
    let message = match error.kind() {
        Kind::Internal => "an internal error; the server's log has more".to_owned(),
        _ => error.message().to_owned(),
    };
    Report {
        hint: error.hint(),
        position: error
            .position()
            .and_then(|position| character(text, start, position)),
        detail: error.row().map(|row| format!("It is row {row}.")),
        column: error.column().map(str::to_owned),
        ..Report::error(error.sqlstate().0, message)
    }
}

/// An error without a place.
pub(super) fn plain(error: &Error) -> Report {
    let start = Position { line: 1, column: 1 };
    let mut report = report(error, "", start);
    report.position = None;
    report
}

/// Which character of `text` stands at a place in the statement that starts at `start`; both count from 1.
fn character(text: &str, start: Position, at: Position) -> Option<usize> {
    // A statement's own places count from its start.
    let line = start.line + at.line - 1;
    let column = match at.line {
        1 => start.column + at.column - 1,
        _ => at.column,
    };
    let mut characters = 0;
    for (number, content) in text.split('\n').enumerate() {
        let length = content.chars().count();
        if number as u64 + 1 == line {
            let column = usize::try_from(column).ok()?;
            return (column <= length + 1).then_some(characters + column);
        }
        characters += length + 1;
    }
    None
}

impl From<&Error> for Report {
    fn from(error: &Error) -> Self {
        plain(error)
    }
}

impl From<Error> for Report {
    fn from(error: Error) -> Self {
        plain(&error)
    }
}

impl From<EncodeError> for Report {
    fn from(error: EncodeError) -> Self {
        use arrow::error::ArrowError;
        let sqlstate = match &error {
            EncodeError::Arrow(ArrowError::NotYetImplemented(_)) => "0A000",
            EncodeError::Arrow(ArrowError::ArithmeticOverflow(_)) => "22003",
            EncodeError::Arrow(ArrowError::ParseError(_)) => "22P02",
            _ => {
                tracing::error!(%error, "a batch could not be encoded");
                "XX000"
            }
        };
        let message = match sqlstate {
            "XX000" => "an internal error; the server's log has more".to_owned(),
            _ => error.to_string(),
        };
        Self::error(sqlstate, message)
    }
}

impl From<ParameterError> for Report {
    fn from(error: ParameterError) -> Self {
        Self::error(error.sqlstate(), error.to_string())
    }
}

impl From<Malformed> for Report {
    fn from(error: Malformed) -> Self {
        let (sqlstate, severity) = match error {
            Malformed::Text => ("22021", Severity::Error),
            Malformed::Protocol(..) => ("0A000", Severity::Fatal),
            Malformed::Length(_) | Malformed::Type(_) => ("08P01", Severity::Fatal),
        };
        Self::error(sqlstate, error.to_string()).with_severity(severity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_characters_of_the_whole_text() {
        let text = "SELECT 'ü';\n  SELECT x\nFROM t";
        let at = |line, column| Position { line, column };
        assert_eq!(character(text, at(1, 1), at(1, 8)), Some(8));
        // The second statement starts in line 2, column 3.
        assert_eq!(character(text, at(2, 3), at(1, 8)), Some(12 + 10));
        assert_eq!(character(text, at(2, 3), at(2, 1)), Some(24));
        assert_eq!(character(text, at(2, 3), at(9, 1)), None);
    }
}
