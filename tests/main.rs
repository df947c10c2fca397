//! Everything that is tested over the real binary. Each module is a promise; `weir_tests` is what they stand on.
//!
//! `make test` builds the binary, sets Python's side up and runs this. A long run is `WEIR_SOAK=1` (`make soak`).

mod cli;
mod clients;
mod console;
mod dependency_direction;
mod flight;
mod http;
mod kafka;
mod layout;
mod live;
mod postgres;
#[path = "postgres/catalog.rs"]
mod postgres_catalog;
mod recovery;
mod s3;
mod security;
mod slt;
#[path = "postgres/sql_agreement.rs"]
mod sql_agreement;
mod superset;
mod views;

/// A query that keeps the cores busy for longer than any test waits, and answers one row.
pub(crate) const SLOW: &str = "SELECT count(*) AS slow FROM generate_series(1, 1000000) AS a(x) \
    CROSS JOIN generate_series(1, 1000000) AS b(y) WHERE (x * 7 + y) % 1000003 = 1000002";

/// A query that gives rows for longer than any test reads.
pub(crate) const LARGE: &str =
    "SELECT value, 'row ' || value AS text FROM generate_series(1, 1000000000) AS g(value)";
