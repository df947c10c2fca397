//! What a kind of failure is called in each protocol: the one table that every front door reads.

use weir_base::{Kind, SqlState};

/// A kind of failure in the terms of every protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// The kind.
    pub kind: Kind,
    /// Its name in a problem document's `type`, after `urn:weir:problem:`.
    pub slug: &'static str,
    /// Its title in a problem document.
    pub title: &'static str,
    /// The HTTP status (RFC 9110; 499 as in `google.rpc.Code` for what was cancelled).
    pub http: u16,
    /// The SQLSTATE where no finer one is known.
    pub sqlstate: SqlState,
    /// The gRPC status code.
    pub grpc: i32,
    /// The Kafka protocol's error code.
    pub kafka: i16,
}

const TABLE: [Failure; 9] = [
    row(
        Kind::Invalid,
        "invalid",
        "The request is not valid",
        400,
        3,
        42,
    ),
    row(Kind::NotFound, "not-found", "It does not exist", 404, 5, 3),
    row(
        Kind::Conflict,
        "conflict",
        "It collides with what exists",
        409,
        6,
        36,
    ),
    row(Kind::Denied, "denied", "It is not allowed", 403, 7, 29),
    row(
        Kind::LimitExceeded,
        "limit-exceeded",
        "A limit was reached",
        422,
        8,
        89,
    ),
    row(
        Kind::Unavailable,
        "unavailable",
        "It is not available now",
        503,
        14,
        5,
    ),
    row(
        Kind::Corrupt,
        "corrupt",
        "Stored data is damaged",
        500,
        15,
        56,
    ),
    row(Kind::Cancelled, "cancelled", "It was cancelled", 499, 1, 7),
    row(Kind::Internal, "internal", "An internal error", 500, 13, -1),
];

const fn row(
    kind: Kind,
    slug: &'static str,
    title: &'static str,
    http: u16,
    grpc: i32,
    kafka: i16,
) -> Failure {
    Failure {
        kind,
        slug,
        title,
        http,
        sqlstate: sqlstate(kind),
        grpc,
        kafka,
    }
}

/// As [`Kind::default_sqlstate`], which is not `const`; the test below holds them equal.
const fn sqlstate(kind: Kind) -> SqlState {
    match kind {
        Kind::Invalid => SqlState::DATA_EXCEPTION,
        Kind::NotFound => SqlState::UNDEFINED_OBJECT,
        Kind::Conflict => SqlState::DUPLICATE_OBJECT,
        Kind::Denied => SqlState::INSUFFICIENT_PRIVILEGE,
        Kind::LimitExceeded => SqlState::CONFIGURATION_LIMIT_EXCEEDED,
        Kind::Unavailable => SqlState::CANNOT_CONNECT_NOW,
        Kind::Corrupt => SqlState::DATA_CORRUPTED,
        Kind::Cancelled => SqlState::QUERY_CANCELED,
        Kind::Internal => SqlState::INTERNAL_ERROR,
    }
}

/// The table's row of `kind`.
pub fn of(kind: Kind) -> &'static Failure {
    match kind {
        Kind::Invalid => &TABLE[0],
        Kind::NotFound => &TABLE[1],
        Kind::Conflict => &TABLE[2],
        Kind::Denied => &TABLE[3],
        Kind::LimitExceeded => &TABLE[4],
        Kind::Unavailable => &TABLE[5],
        Kind::Corrupt => &TABLE[6],
        Kind::Cancelled => &TABLE[7],
        Kind::Internal => &TABLE[8],
    }
}

/// The HTTP status of a failure: 429 instead of 422 for a limit that passes by waiting, 401 for who is not known any more.
pub fn http_status(kind: Kind, sqlstate: SqlState, retry: bool) -> u16 {
    match kind {
        Kind::LimitExceeded if retry => 429,
        Kind::Denied if is_unauthenticated(sqlstate) => 401,
        kind => of(kind).http,
    }
}

/// Class 28 is that of invalid authorization.
fn is_unauthenticated(sqlstate: SqlState) -> bool {
    sqlstate.0.starts_with("28")
}

/// The gRPC status code of a failure, finer where the SQLSTATE says more than its kind: UNIMPLEMENTED (12) for what Weir
/// does not do, UNAUTHENTICATED (16) for who is not known, DEADLINE_EXCEEDED (4) for what took too long.
pub fn grpc_status(kind: Kind, sqlstate: SqlState) -> i32 {
    match (kind, sqlstate) {
        (Kind::Invalid, SqlState::FEATURE_NOT_SUPPORTED) => 12,
        (Kind::Denied, state) if is_unauthenticated(state) => 16,
        (Kind::LimitExceeded, SqlState::QUERY_CANCELED) => 4,
        (kind, _) => of(kind).grpc,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_table() {
        let shown: Vec<String> = TABLE
            .iter()
            .map(|row| {
                assert_eq!(of(row.kind), row);
                assert_eq!(row.sqlstate, row.kind.default_sqlstate());
                format!(
                    "{:13} {:14} http {} sqlstate {} grpc {:2} kafka {:2}",
                    format!("{:?}", row.kind),
                    row.slug,
                    row.http,
                    row.sqlstate,
                    row.grpc,
                    row.kafka
                )
            })
            .collect();
        insta::assert_snapshot!(shown.join("\n"), @r"
        Invalid       invalid        http 400 sqlstate 22000 grpc  3 kafka 42
        NotFound      not-found      http 404 sqlstate 42704 grpc  5 kafka  3
        Conflict      conflict       http 409 sqlstate 42710 grpc  6 kafka 36
        Denied        denied         http 403 sqlstate 42501 grpc  7 kafka 29
        LimitExceeded limit-exceeded http 422 sqlstate 53400 grpc  8 kafka 89
        Unavailable   unavailable    http 503 sqlstate 57P03 grpc 14 kafka  5
        Corrupt       corrupt        http 500 sqlstate XX001 grpc 15 kafka 56
        Cancelled     cancelled      http 499 sqlstate 57014 grpc  1 kafka  7
        Internal      internal       http 500 sqlstate XX000 grpc 13 kafka -1
        ");
    }

    #[test]
    fn grpc_has_codes_for_some_sqlstates() {
        assert_eq!(
            grpc_status(Kind::Invalid, SqlState::FEATURE_NOT_SUPPORTED),
            12
        );
        assert_eq!(
            grpc_status(Kind::Denied, SqlState::INVALID_AUTHORIZATION),
            16
        );
        assert_eq!(
            grpc_status(Kind::Denied, SqlState::INSUFFICIENT_PRIVILEGE),
            7
        );
        assert_eq!(
            grpc_status(Kind::LimitExceeded, SqlState::QUERY_CANCELED),
            4
        );
        assert_eq!(grpc_status(Kind::Invalid, SqlState::SYNTAX_ERROR), 3);
    }

    #[test]
    fn http_has_statuses_for_some_failures() {
        let status = |kind, retry| http_status(kind, of(kind).sqlstate, retry);
        assert_eq!(status(Kind::LimitExceeded, true), 429);
        assert_eq!(status(Kind::LimitExceeded, false), 422);
        assert_eq!(status(Kind::Unavailable, true), 503);
        assert_eq!(status(Kind::Denied, false), 403);
        let revoked = SqlState::INVALID_AUTHORIZATION;
        assert_eq!(http_status(Kind::Denied, revoked, false), 401);
    }
}
