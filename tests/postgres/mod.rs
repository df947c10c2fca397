//! The PostgreSQL door, with the clients that people have.

mod foreign_data;
mod hostile;
mod kept;
mod psql;
mod tools;

use weir_tests::{Server, foreign, python};

/// A server whose log may tell of what clients did wrong, on purpose.
fn server() -> Server {
    Server::builder().postgres().start()
}

#[test]
fn psycopg() {
    let server = server();
    let said = python::run("postgres_psycopg.py", &[&server.postgres()]);
    assert!(said.contains("live cursors hold"), "{said}");
    server.stop();
}

#[test]
fn asyncpg() {
    let server = server();
    let said = python::run("postgres_asyncpg.py", &[&server.postgres()]);
    assert!(said.contains("asyncpg holds"), "{said}");
    server.stop();
}

#[test]
fn pg8000() {
    let server = server();
    let said = python::run("postgres_pg8000.py", &[&server.postgres()]);
    assert!(said.contains("pg8000 holds"), "{said}");
    server.stop();
}

#[test]
fn sqlalchemy() {
    let server = server();
    let said = python::run("postgres_sqlalchemy.py", &[&server.postgres()]);
    assert!(said.contains("sqlalchemy holds"), "{said}");
    server.stop();
}

#[test]
fn node_postgres() {
    let server = server();
    let said = foreign::node("postgres.js", &[&server.postgres()]);
    assert!(said.contains("node holds"), "{said}");
    server.stop();
}

#[test]
fn postgres_js() {
    let server = server();
    let said = foreign::node("postgres_js.js", &[&server.postgres()]);
    assert!(said.contains("postgres.js holds"), "{said}");
    server.stop();
}

#[test]
fn jdbc_metadata() {
    let server = server();
    let said = foreign::java("PostgresMetadata.java", &[&server.postgres()]);
    assert!(said.contains("metadata holds"), "{said}");
    server.stop();
}

#[test]
fn jdbc() {
    let server = server();
    let said = foreign::java("PostgresClient.java", &[&server.postgres()]);
    assert!(said.contains("jdbc holds"), "{said}");
    server.stop();
}
