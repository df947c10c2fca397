//! What wrong statements are told: what, where, and what to do.

use weir_base::{Classify, SqlState};
use weir_sql::parse;

/// `line:column SQLSTATE message`, and the hint on a second line.
fn error(sql: &str) -> String {
    let error = match parse(sql) {
        Ok(parsed) => panic!("{sql} was read as {}", parsed[0].statement.tag()),
        Err(error) => error,
    };
    let position = error.position().expect("a position");
    let hint = error
        .hint()
        .map(|hint| format!("\n{hint}"))
        .unwrap_or_default();
    format!(
        "{}:{} {} {error}{hint}",
        position.line,
        position.column,
        error.sqlstate()
    )
}

#[test]
fn each_error_says_what_and_where() {
    let all: Vec<String> = [
        "SELCT 1",
        "FLUSHH",
        "hello",
        "'text'",
        "SELECT * FORM bids",
        "SELECT *\nFROM bids\nWEHRE price > 1",
        "SELECT a, FROM b",
        "SELECT a FROM b WHERE",
        "SELECT a FROM b GROUP a",
        "SELECT (1 + 2",
        "SELECT 1 + 2)",
        "SELECT [1, (2]",
        "SELECT 'abc",
        "SELECT \"abc",
        "SELECT 1 /* abc",
        "SELECT 1 2 3",
        "SELECT * FROM mv EMIT",
        "SELECT * FROM (SELECT * FROM bids EMIT CHANGES) x",
        "SELECT * FROM bids EMIT CHANGE",
        "SELECT * FROM (SELECT * FROM bids WEHRE a = 1) x",
        "SELECT * FROM (SELECT a + FROM bids) x JOIN (SELECT 1) y",
        "SELECT * FROM (SELECT a FROM bids WHERE) x",
        "SELECT * FROM a WHERE b IN (SELECT c FROM (SELECT d, FROM e) f)",
        "CREATE VIEW v AS SELECT *\nFROM (SELECT a\n FORM b)",
        "SELECT $x$ abc",
        "SELECT * FROM STREAM bid",
        "SELECT CAST(a AS) FROM b",
        "CREATE",
        "CREATE STREM a (b INT)",
        "CREATE INDEX a ON b (c)",
        "CREATE DATABASE a",
        "CREATE STREAM a",
        "CREATE STREAM a (b)",
        "CREATE STREAM a (b INT, b TEXT)",
        "CREATE STREAM a (b INT c TEXT)",
        "CREATE STREAM a (b INT, WATERMARK FOR c)",
        "CREATE STREAM a (b INT) WITH (partitions = 4, partitions = 5)",
        "CREATE STREAM a (b INT) WITH partitions = 4",
        "CREATE STREAM a AS SELECT 1",
        "CREATE TABLE a (b INT PRIMARY KEY, c INT PRIMARY KEY)",
        "CREATE TABLE a (b INT, PRIMARY KEY (c))",
        "CREATE TABLE a (b INT NOTNULL)",
        "CREATE TABLE a (b INT REFERENCES c (d))",
        "CREATE TABLE a (b INT NULL NOT NULL)",
        "CREATE TABLE a (b INT) STORED AS PARQUET",
        "CREATE TABLE a.b.c.d (e INT)",
        "CREATE TEMPORARY STREAM a (b INT)",
        "CREATE EXTERNAL TABLE a STORED AS CSV",
        "CREATE VIEW v AS SELECT 1 EMIT CHANGES",
        "CREATE VIEW v AS SELCT 1",
        "CREATE MATERIALIZED VIEW v SELECT 1",
        "CREATE SINK s FROM v",
        "CREATE CONNECTION c",
        "DROP TABEL a",
        "DROP INDEX a",
        "DROP TABLE",
        "ALTER TABLE a RENAM TO b",
        "ALTER TABLE a ADD COLUMN b INT, ADD COLUMN c INT",
        "ALTER TABLE a ADD CONSTRAINT b CHECK (c)",
        "SHOW TABELS",
        "SHOW",
        "EXPLAIN EXPLAIN SELECT 1",
        "EXPLAIN (BUFFERS) SELECT 1",
        "INSERT INTO a WITH (upsrt) VALUES (1)",
        "INSERT INTO",
        "UPDATE a SET",
        "DELETE a",
        "MERGE INTO a USING b ON c WHEN MATCHED THEN DELETE",
        "COPY a TO x",
        "COPY (SELECT 1) FROM 'x'",
        "SET a",
        "SET TRANSACTION",
        "KILL QUERY",
        "TEST CONNECTION",
        "TEST CONNECTION c AT d",
        "TEST THIS",
        "KILL QUERY x; DROP TABLE y",
        "SUBSCRIBE",
        "DECLARE c CURSOR FOR DELETE FROM t",
        "WITH a AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * FROM a",
        "WITH a AS (SELECT 1) DELETE FROM t",
        "FETCH 99999999999999999999 FROM c",
        "PREPARE p AS DROP TABLE t",
        "GRANT SELECT TO",
        "USE a",
        "FLUSH now",
        "COMMENT ON INDEX a IS 'b'",
        "SELECT 1; SELECT 2;\n SELEC 3",
        "SELECT ü, FROM x",
    ]
    .into_iter()
    .map(|sql| format!("{sql}\n=> {}\n", error(sql)))
    .collect();
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn the_error_does_not_repeat_a_long_text() {
    let error = parse(&format!("SELECT 1 + 2 3 '{}'", "x".repeat(100_000))).unwrap_err();
    assert!(error.to_string().len() < 400);
    assert_eq!(error.sqlstate(), SqlState::SYNTAX_ERROR);
}
