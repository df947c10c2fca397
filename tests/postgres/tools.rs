//! Tools that people work with, over the PostgreSQL door.

use weir_tests::python;

use super::server;

/// Runs a script of `tests/python/` with the tools' packages.
fn tool(script: &str, end: &str) {
    let server = server();
    let said = python::run_in("tools", script, &[&server.postgres()]);
    assert!(said.contains(end), "{said}");
    server.stop();
}

#[test]
fn pandas() {
    tool("postgres_pandas.py", "pandas holds");
}

#[test]
fn adbc() {
    tool("postgres_adbc.py", "adbc holds");
}

#[test]
fn ibis() {
    tool("postgres_ibis.py", "ibis holds");
}

#[test]
fn dbt() {
    tool("postgres_dbt.py", "dbt holds");
}

#[test]
fn jupysql() {
    tool("postgres_jupysql.py", "jupysql holds");
}

#[test]
fn odbc() {
    tool("postgres_odbc.py", "odbc holds");
}
