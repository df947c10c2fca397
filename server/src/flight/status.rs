//! How every failure looks over gRPC: a status code, a sentence with SQLSTATE, place and hint, and the same as
//! `google.rpc.ErrorInfo` for programs.

use std::collections::HashMap;

use arrow::error::ArrowError;
use arrow_flight::sql::Any;
use prost::Message;
use tonic::{Code, Status};
use weir_base::{Classify, Kind, SqlState};
use weir_engine::Error;

use super::protocol::{ErrorInfo, RpcStatus};
use crate::failure;

/// Whose reasons [`ErrorInfo`] carries.
const DOMAIN: &str = "weir";
/// What a client is told of a defect; the log has the rest.
const DEFECT: &str = "the request failed because of a defect in the server";
/// Characters of a message: it travels in a header, of which clients take 8 or 16 KB.
const MESSAGE_MAX: usize = 2_000;

/// The status of a failure that the engine, or the door in its words, tells of.
pub(crate) fn status(error: &Error) -> Status {
    let kind = error.kind();
    if kind == Kind::Internal {
        tracing::error!(query.id = error.query_id().map(|id| id.to_string()), %error, "a request failed");
    }
    let code = Code::from_i32(failure::grpc_status(kind, error.sqlstate()));
    let message = told(error);
    let details = RpcStatus {
        code: code as i32,
        message: message.clone(),
        details: vec![Any {
            type_url: ErrorInfo::TYPE_URL.to_owned(),
            value: info(error).encode_to_vec().into(),
        }],
    };
    Status::with_details(code, message, details.encode_to_vec().into())
}

/// The failure in a sentence or two.
fn told(error: &Error) -> String {
    let message = match error.kind() {
        Kind::Internal => DEFECT,
        _ => error.message(),
    };
    let mut text: String = message.chars().take(MESSAGE_MAX).collect();
    text.push_str(&format!(" (SQLSTATE {}", error.sqlstate()));
    if let Some(position) = error.position() {
        text.push_str(&format!(", {position}"));
    }
    text.push(')');
    if let Some(hint) = error.hint() {
        text.push_str("; hint: ");
        text.extend(hint.chars().take(MESSAGE_MAX));
    }
    text
}

fn info(error: &Error) -> ErrorInfo {
    let mut metadata = HashMap::from([("sqlstate".to_owned(), error.sqlstate().to_string())]);
    let mut add = |key: &str, value: Option<String>| {
        metadata.extend(value.map(|value| (key.to_owned(), value)));
    };
    let position = error.position();
    add("line", position.map(|position| position.line.to_string()));
    add(
        "column",
        position.map(|position| position.column.to_string()),
    );
    add("hint", error.hint());
    add("query_id", error.query_id().map(|id| id.to_string()));
    add("row", error.row().map(|row| row.to_string()));
    add("row_column", error.column().map(str::to_owned));
    add(
        "retry_after_ms",
        error
            .retry_after()
            .map(|after| after.as_millis().to_string()),
    );
    ErrorInfo {
        reason: failure::of(error.kind()).slug.to_owned(),
        domain: DOMAIN.to_owned(),
        metadata,
    }
}

/// A request that is wrong in itself.
pub(crate) fn invalid(message: impl Into<String>) -> Status {
    status(&Error::invalid(SqlState::INVALID_PARAMETER_VALUE, message))
}

/// A message that is not what its place in the protocol asks for.
pub(crate) fn malformed(what: &str, reason: impl std::fmt::Display) -> Status {
    invalid(format!("the message is not a valid {what}: {reason}"))
}

/// What Weir does not do.
pub(crate) fn unsupported(message: impl Into<String>) -> Status {
    status(&Error::unsupported(message))
}

/// What is not there, or no longer.
pub(crate) fn missing(message: impl Into<String>, hint: &str) -> Status {
    status(&Error::new(Kind::NotFound, message).with_hint(hint))
}

/// What passes a bound of the door.
pub(crate) fn exceeded(message: impl Into<String>, hint: &str) -> Status {
    status(&Error::new(Kind::LimitExceeded, message).with_hint(hint))
}

/// Nobody is known by what was sent.
pub(crate) fn unauthenticated(message: impl Into<String>, hint: &str) -> Status {
    let error = Error::new(Kind::Denied, message).with_sqlstate(SqlState::INVALID_AUTHORIZATION);
    status(&error.with_hint(hint))
}

/// What Arrow says of something that the server itself has made.
pub(crate) fn defect(error: &ArrowError) -> Status {
    status(&Error::new(Kind::Internal, error.to_string()))
}

#[cfg(test)]
mod tests {
    use weir_base::Position;

    use super::*;

    #[test]
    fn a_failure_is_told_to_people_and_to_programs() {
        let error = Error::invalid(SqlState::UNDEFINED_COLUMN, "column \"prise\" not found")
            .with_hint("did you mean \"price\"?")
            .with_position(Some(Position { line: 1, column: 8 }));
        let status = status(&error);
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(
            status.message(),
            "column \"prise\" not found (SQLSTATE 42703, line 1, column 8); hint: did you mean \"price\"?"
        );
        let details = RpcStatus::decode(status.details()).unwrap();
        let info = ErrorInfo::decode(&*details.details[0].value).unwrap();
        assert_eq!((details.code, info.reason.as_str()), (3, "invalid"));
        assert_eq!(info.metadata["sqlstate"], "42703");
        assert_eq!(info.metadata["column"], "8");
    }

    #[test]
    fn codes_come_from_sqlstates_where_these_say_more() {
        assert_eq!(unsupported("x").code(), Code::Unimplemented);
        assert_eq!(unauthenticated("x", "y").code(), Code::Unauthenticated);
        assert_eq!(missing("x", "y").code(), Code::NotFound);
    }

    #[test]
    fn a_defect_says_nothing_of_itself() {
        let status = status(&Error::new(Kind::Internal, "/secret/path"));
        assert_eq!(status.code(), Code::Internal);
        assert!(
            !format!("{status:?}").contains("secret"),
            "{}",
            status.message()
        );
    }
}
