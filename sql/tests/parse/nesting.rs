//! Statements that are nested deeply, or are long, in every way that there is: they are read or refused, in little time and
//! on the stack of a worker thread, and what is read can be copied, printed, walked and dropped there, too.

use std::time::{Duration, Instant};

use weir_base::{Classify, SqlState};
use weir_sql::{hidden, parse, unsupported};

/// As small as the stacks of a server's threads are.
const STACK_BYTES: usize = 2 << 20;

fn survives(name: &str, sql: String) -> Result<(), weir_sql::Error> {
    let name = name.to_owned();
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
    let start = Instant::now();
    let result = thread
        .spawn(move || {
            let parsed = parse(&sql)?;
            for parsed in &parsed {
                let copy = parsed.clone();
                assert_eq!(copy, *parsed);
                if parsed.sql.len() < 20_000 {
                    assert!(!format!("{copy:?}").is_empty());
                }
                unsupported::first_ignored(&parsed.statement);
                hidden::references_hidden(&parsed.statement);
                if let weir_sql::Statement::Query(query) = &parsed.statement {
                    assert!(!query.query.to_string().is_empty());
                }
            }
            Ok(())
        })
        .expect("a thread")
        .join()
        .unwrap_or_else(|_| panic!("{name} panicked"));
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{name} took {:?}",
        start.elapsed()
    );
    result
}

/// `open` n times, `middle`, `close` n times, after `start` and before `end`.
type Form = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

const BRACKETS: &[Form] = &[
    ("SELECT ", "(", "1", ")", ""),
    ("SELECT ", "f(", "1", ")", ""),
    ("SELECT ", "f(a => ", "1", ")", ""),
    ("SELECT ", "f(1, ", "1", ")", ""),
    ("SELECT ", "coalesce((", "1", "))", ""),
    ("SELECT ", "ARRAY[", "1", "]", ""),
    ("SELECT ", "[", "1", "]", ""),
    ("SELECT a", "[", "1", "]", ""),
    ("SELECT ", "{'a': ", "1", "}", ""),
    ("SELECT ", "MAP {'a': ", "1", "}", ""),
    ("SELECT ", "STRUCT(", "1", ")", ""),
    ("SELECT ", "(1, ", "1", ")", ""),
    ("SELECT ", "CASE WHEN a THEN ", "1", " END", ""),
    ("SELECT ", "CASE ", "1", " WHEN 1 THEN 1 END", ""),
    ("SELECT ", "CASE WHEN a THEN 1 ELSE ", "1", " END", ""),
    ("SELECT ", "CASE WHEN ", "1", " THEN 1 END", ""),
    ("SELECT ", "(SELECT ", "1", ")", ""),
    ("SELECT ", "1 + (SELECT ", "1", ")", ""),
    ("SELECT ", "EXISTS (SELECT ", "1", ")", ""),
    ("SELECT ", "1 IN (SELECT ", "1", ")", ""),
    ("SELECT ", "1 IN (", "1", ")", ""),
    ("SELECT ", "1 = ANY(", "1", ")", ""),
    ("SELECT ", "CAST(", "1", " AS INT)", ""),
    ("SELECT ", "EXTRACT(YEAR FROM ", "1", ")", ""),
    ("SELECT ", "TRIM(", "1", ")", ""),
    ("SELECT ", "SUBSTRING(", "1", " FROM 1)", ""),
    ("SELECT ", "POSITION('a' IN ", "1", ")", ""),
    ("SELECT ", "OVERLAY(", "1", " PLACING 'a' FROM 1)", ""),
    ("SELECT ", "CEIL(", "1", ")", ""),
    ("SELECT ", "sum(1) FILTER (WHERE ", "1", ")", ""),
    ("SELECT ", "sum(1) OVER (PARTITION BY ", "1", ")", ""),
    ("SELECT ", "a(1 ORDER BY ", "1", ")", ""),
    ("SELECT ", "INTERVAL (", "1", ")", ""),
    ("SELECT * FROM ", "(", "a", ")", ""),
    ("SELECT * FROM ", "(SELECT * FROM ", "a", ") x", ""),
    ("SELECT * FROM ", "(SELECT * FROM ", "a", ")", ""),
    ("SELECT * FROM ", "((SELECT * FROM ", "a", "))", ""),
    ("SELECT * FROM ", "(a JOIN ", "a", " ON true)", ""),
    ("SELECT * FROM ", "LATERAL (SELECT * FROM ", "a", ") x", ""),
    ("SELECT * FROM ", "TABLE(f(", "a", "))", ""),
    ("SELECT * FROM ", "f((SELECT * FROM ", "a", "))", ""),
    ("SELECT * FROM ", "UNNEST(", "a", ")", ""),
    ("", "(", "SELECT 1", ")", ""),
    ("", "(SELECT 1 UNION ", "SELECT 1", ")", ""),
    ("", "SELECT 1 UNION (", "SELECT 1", ")", ""),
    ("", "WITH a AS (", "SELECT 1", ") SELECT 1", ""),
    ("", "WITH a AS (SELECT 1) (", "SELECT 1", ")", ""),
    ("VALUES ", "(", "1", ")", ""),
    ("SELECT 1 GROUP BY ", "ROLLUP (", "a", ")", ""),
    ("SELECT 1 GROUP BY ", "GROUPING SETS ((", "a", "))", ""),
    ("SELECT 1 ORDER BY ", "(", "a", ")", ""),
    ("SELECT 1 LIMIT ", "(", "1", ")", ""),
    ("CREATE TABLE t (a ", "ARRAY<", "INT", ">", ")"),
    ("CREATE TABLE t (a ", "STRUCT<a ", "INT", ">", ")"),
    ("CREATE TABLE t (a ", "MAP<TEXT, ", "INT", ">", ")"),
    ("CREATE TABLE t (a INT DEFAULT ", "(", "1", ")", ")"),
    ("CREATE TABLE t (CHECK ", "(", "a", ")", ")"),
    (
        "CREATE STREAM t (a INT, WATERMARK FOR a AS ",
        "(",
        "1",
        ")",
        ")",
    ),
    ("CREATE VIEW v AS ", "(", "SELECT 1", ")", ""),
    ("INSERT INTO t ", "(", "SELECT 1", ")", ""),
    ("UPDATE t SET a = ", "(", "1", ")", ""),
    ("DELETE FROM t WHERE ", "(", "1", ")", ""),
    ("COPY ", "(", "SELECT 1", ")", " TO 'x'"),
    ("SUBSCRIBE ", "(", "SELECT 1", ")", ""),
    ("EXECUTE p (", "(", "1", ")", ")"),
    ("SELECT CAST(1 AS ", "ARRAY<", "INT", ">", ")"),
    ("PREPARE p (", "ARRAY<", "INT", ">", ") AS SELECT 1"),
    ("CREATE CONNECTION c WITH ", "(", "a", ")", ""),
    ("", "EXPLAIN ", "SELECT 1", "", ""),
    ("", "PREPARE p AS ", "SELECT 1", "", ""),
    ("", "DECLARE c CURSOR FOR ", "SELECT 1", "", ""),
    ("", "BEGIN ", "SELECT 1", " END", ""),
];

/// `start`, `link` n times, `end`.
/// Forms that may be one thing or another, around something that is neither.
const DOUBTS: &[Form] = &[
    ("SELECT ", "CAST(", "1", " AS INT)", ""),
    ("SELECT ", "TRY_CAST(", "1 +", " AS INT)", ""),
    ("SELECT ", "CAST(", "1 +", " AS INT)", ""),
    ("SELECT ", "EXTRACT(YEAR FROM ", "1 +", ")", ""),
    ("SELECT ", "TRIM(", "1 +", ")", ""),
    ("SELECT ", "FLOOR(", "1 +", ")", ""),
    ("SELECT ", "SUBSTRING(", "1 +", " FROM 1)", ""),
    ("SELECT ", "OVERLAY(", "1", ", 2, 3)", ""),
    ("SELECT ", "POSITION(", "1", ", 2)", ""),
    ("SELECT ", "POSITION(", "1 +", " IN 2)", ""),
    ("SELECT ", "CONVERT(", "1 +", ", 2)", ""),
    ("SELECT ", "INTERVAL (", "1 +", ")", ""),
    ("SELECT ", "INTERVAL(", "1", ")", ""),
    ("SELECT ", "CASE (", "1 +", ") END", ""),
    ("SELECT ", "CASE WHEN (", "1 +", ") THEN 1 END", ""),
    ("SELECT ", "NOT (", "1 +", ")", ""),
    ("SELECT ", "ARRAY(", "1 +", ")", ""),
    ("SELECT ", "ARRAY[", "1 +", "]", ""),
    ("SELECT ", "STRUCT(", "1 +", ")", ""),
    ("SELECT ", "STRUCT<a INT>(", "1 +", ")", ""),
    ("SELECT ", "{fn f(", "1 +", ")}", ""),
    ("SELECT ", "{'a': ", "1 +", "}", ""),
    ("SELECT ", "f(a => ", "1 +", ")", ""),
    ("SELECT ", "EXISTS (SELECT ", "1 +", ")", ""),
    ("SELECT ", "EXISTS ((SELECT ", "1 +", "))", ""),
    ("SELECT ", "1 IN (SELECT ", "1 +", ")", ""),
    ("SELECT ", "1 IN (SELECT (", "1 +", "))", ""),
    ("SELECT ", "1 IN ((SELECT ", "1 +", "))", ""),
    ("SELECT ", "1 IN (VALUES (", "1 +", "))", ""),
    ("SELECT ", "1 IN (", "1 +", ")", ""),
    ("SELECT ", "a.(", "1 +", ")", ""),
    ("SELECT ", "a.f(", "1 +", ")", ""),
    ("SELECT * FROM ", "(", "a +", ")", ""),
    ("SELECT * FROM ", "(SELECT * FROM ", "a +", ") x", ""),
    ("SELECT * FROM ", "((SELECT * FROM ", "a +", ") x)", ""),
    (
        "SELECT * FROM ",
        "((SELECT * FROM ",
        "a",
        ") x JOIN b ON true)",
        "",
    ),
    (
        "SELECT * FROM ",
        "(((SELECT * FROM ",
        "a",
        ") x JOIN b ON true))",
        "",
    ),
    (
        "SELECT * FROM ",
        "(SELECT (SELECT * FROM ",
        "a +",
        ")) x",
        "",
    ),
    (
        "SELECT * FROM ",
        "(VALUES ((SELECT * FROM ",
        "a +",
        "))) x",
        "",
    ),
    ("SELECT * FROM ", "(TABLE a JOIN (", "a +", ")) x", ""),
    ("SELECT * FROM ", "f((SELECT * FROM ", "a +", "))", ""),
    ("SELECT * FROM ", "TABLE(f(", "a +", "))", ""),
    (
        "SELECT * FROM ",
        "LATERAL (SELECT * FROM ",
        "a +",
        ") x",
        "",
    ),
    ("SELECT * FROM a TABLESAMPLE (", "(", "1 +", ")", ")"),
    (
        "WITH a AS ",
        "(WITH a AS ",
        "1 +",
        " SELECT 1)",
        " SELECT 1",
    ),
    ("", "(SELECT 1 UNION (", "1 +", "))", ""),
    ("INSERT INTO t VALUES ", "(", "1 +", ")", ""),
    (
        "CREATE VIEW v AS SELECT * FROM ",
        "((SELECT * FROM ",
        "a +",
        ") x)",
        "",
    ),
];

#[test]
fn what_is_in_doubt_is_read_or_refused_soon() {
    for (start, open, middle, close, end) in DOUBTS {
        for depth in [1, 4, 9, 18, 39, 90] {
            let sql = format!(
                "{start}{}{middle}{}{end}",
                open.repeat(depth),
                close.repeat(depth)
            );
            let _ = survives(&format!("{start}{open}{middle}{close}{end} × {depth}"), sql);
        }
    }
}

const CHAINS: &[(&str, &str, &str)] = &[
    ("SELECT 1", " + 1", ""),
    ("SELECT 1", " OR 1", ""),
    ("SELECT a", " AND b = 1", ""),
    ("SELECT a", " AND b = 1", " +"),
    ("SELECT a", " UNION ALL SELECT b", " +"),
    ("SELECT a", " = b", ""),
    ("SELECT 1 WHERE a", " + b", ""),
    ("SELECT a", " || 'b'", ""),
    ("SELECT a", " -> 'b'", ""),
    ("SELECT a", " IS NULL", ""),
    ("SELECT a", " NOTNULL", ""),
    ("SELECT a", " IS DISTINCT FROM b", ""),
    ("SELECT a", " LIKE b", ""),
    ("SELECT a", " IN (1)", ""),
    ("SELECT a", " BETWEEN 1 AND 2", ""),
    ("SELECT a", " AT TIME ZONE 'UTC'", ""),
    ("SELECT a", " COLLATE c", ""),
    ("SELECT a", "::INT", ""),
    ("SELECT a", "[1]", ""),
    ("SELECT a", ".b", ""),
    ("SELECT a", " !", ""),
    ("SELECT f(a)", ".b", ""),
    ("SELECT f(a)", " WITHIN GROUP (ORDER BY b) + f(a)", ""),
    ("SELECT ", "NOT ", "a"),
    ("SELECT ", "- ", "a"),
    ("SELECT ", "+", "a"),
    ("SELECT ", "~ ", "a"),
    ("SELECT ", "@ ", "a"),
    ("SELECT ", "!", "a"),
    ("SELECT ", "INTERVAL ", "'1'"),
    ("SELECT ", "PRIOR ", "a"),
    ("SELECT ", "DATE ", "'1'"),
    ("SELECT ", "a -> ", "b"),
    ("SELECT ", "a = NOT ", "b"),
    ("SELECT ", "1 + - ", "b"),
    ("SELECT CASE", " WHEN a THEN b", " END"),
    ("SELECT 1", ", 1", ""),
    ("SELECT 1", " UNION ALL SELECT 1", ""),
    ("SELECT 1", " UNION SELECT 1 INTERSECT SELECT 1", ""),
    ("SELECT 1", " EXCEPT SELECT 1", ""),
    ("VALUES (1)", " UNION VALUES (1)", ""),
    ("SELECT * FROM a", " JOIN a ON true", ""),
    ("SELECT * FROM a", " JOIN a", " ON true"),
    ("SELECT * FROM a", " CROSS JOIN a", ""),
    ("SELECT * FROM a", " NATURAL JOIN a", ""),
    ("SELECT * FROM a", " LEFT JOIN b USING (c)", ""),
    ("SELECT * FROM a", ", a", ""),
    ("WITH a AS (SELECT 1)", ", a AS (SELECT 1)", " SELECT 1"),
    ("VALUES (1)", ", (1)", ""),
    ("INSERT INTO t VALUES (1, 'a')", ", (1, 'a')", ""),
    ("SELECT 1 WHERE a IN (1", ", 1", ")"),
    ("SELECT 'a'", "\n'a'", ""),
    ("SELECT ", "(", "1"),
    ("SELECT ", ")", "1"),
    ("", ";", ""),
    ("SELECT a", " /* ", ""),
    ("CREATE TABLE t (a INT", "[]", ")"),
    ("CREATE TABLE t (a INT", ", b INT", ")"),
    ("CREATE TABLE t (a INT", " NOT NULL", ")"),
    ("CREATE TABLE t (a ", "ARRAY<", "INT)"),
    ("CREATE CONNECTION c WITH (a = 1", ", b = 1", ")"),
    ("CREATE SINK s FROM v WITH (a", ".a", " = 1)"),
    ("DROP TABLE a", ", a", ""),
    ("SET a = 1", ", 1", ""),
    ("BEGIN", " READ ONLY", ""),
    ("DECLARE c", " BINARY", " CURSOR FOR SELECT 1"),
    ("FETCH ", "FORWARD ", "c"),
    ("GRANT a", ", a", " TO b"),
    ("EXPLAIN", " ANALYZE", " SELECT 1"),
    ("SELECT * FROM a", " FOR UPDATE", ""),
    ("SELECT * FROM a", " EMIT CHANGES", ""),
    ("SELECT sum(a) OVER (ORDER BY b", ", b", ")"),
    ("SELECT ", "a(", ""),
    ("SELECT ", "CASE ", ""),
    ("SELECT ", "CASE WHEN ", ""),
    ("SELECT ", "end(", ""),
    ("SELECT ", "(SELECT ", ""),
    ("SELECT * FROM ", "(", ""),
    ("SELECT * FROM ", "(a JOIN ", ""),
    ("", "WITH a AS (", ""),
    ("", "(", ""),
    ("", "EXPLAIN ", ""),
    ("SELECT ", "{'a': ", ""),
    ("SELECT ", "CAST(", ""),
    ("SELECT ", "MAP {", ""),
    ("SELECT ", "STRUCT<a ", ""),
];

#[test]
fn what_is_nested_is_read_or_refused() {
    for (start, open, middle, close, end) in BRACKETS {
        for depth in [1, 8, 39, 95, 5000] {
            let sql = format!(
                "{start}{}{middle}{}{end}",
                open.repeat(depth),
                close.repeat(depth)
            );
            let name = format!("{start}{open}{middle}{close}{end} × {depth}");
            if let Err(error) = survives(&name, sql)
                && depth > 100
            {
                assert_ne!(error.sqlstate(), SqlState::INTERNAL_ERROR, "{name}");
            }
        }
    }
}

#[test]
fn what_is_chained_is_read_or_refused() {
    for (start, link, end) in CHAINS {
        for length in [2, 49, 199, 3999, 9000] {
            let sql = format!("{start}{}{end}", link.repeat(length));
            let _ = survives(&format!("{start}{link}{end} × {length}"), sql);
        }
    }
}

#[test]
fn what_people_and_tools_write_is_within_the_limits() {
    let nested = format!(
        "SELECT * FROM {}a{}",
        "(SELECT * FROM ".repeat(30),
        ") x".repeat(30)
    );
    let brackets = format!("SELECT {}1{}", "(".repeat(60), ")".repeat(60));
    let ors = format!("SELECT * FROM t WHERE a = 0{}", " OR a = 1".repeat(3900));
    let list = format!("SELECT * FROM t WHERE a IN (0{})", ", 1".repeat(20_000));
    let values = format!(
        "INSERT INTO t VALUES (0, 'a'){}",
        ", (1, 'b')".repeat(20_000)
    );
    let unions = format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(400));
    let cases = format!(
        "SELECT CASE{} END",
        " WHEN a = 1 AND b = 2 THEN 'c'".repeat(3000)
    );
    let columns = format!(
        "CREATE TABLE t (a INT{})",
        (0..2000)
            .map(|at| format!(", c{at} DECIMAL(10, 2) NOT NULL DEFAULT {at}"))
            .collect::<String>()
    );
    for sql in [nested, brackets, ors, list, values, unions, cases, columns] {
        let start = sql.chars().take(60).collect::<String>();
        survives(&start, sql).unwrap_or_else(|error| panic!("{start}: {error}"));
    }
}

#[test]
fn too_much_is_refused_by_name() {
    for (sql, message) in [
        (
            format!("SELECT {}1", "(".repeat(200)),
            "nested more than 96 levels deep",
        ),
        (
            format!("SELECT 1{}", " + 1".repeat(2000)),
            "more than 200 operators in one expression",
        ),
        (
            format!("SELECT 1{}", " OR 1".repeat(5000)),
            "more than 4000 times AND or OR in one expression",
        ),
        (
            format!("SELECT 1{}", " UNION SELECT 1".repeat(2000)),
            "more than 1000 joins and set operations in one query",
        ),
        (
            format!("SELECT {}1", "(SELECT ".repeat(60)),
            "queries nested more than 40 levels deep",
        ),
        (
            format!("SELECT 1{}", " EXCEPT SELECT 1".repeat(60)),
            "more than 50 set operations of different kinds in a row",
        ),
        (
            format!("SELECT {}1", "NOT ".repeat(100)),
            "more than 40 keywords or signs in a row",
        ),
        (
            format!("CREATE TABLE t (a {}INT)", "ARRAY<".repeat(100)),
            "types nested more than 32 levels deep",
        ),
    ] {
        let error = parse(&sql).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("statement too complex: {message}")
        );
        assert_eq!(error.sqlstate(), SqlState::STATEMENT_TOO_COMPLEX);
        assert!(
            error
                .position()
                .is_some_and(|position| position.column >= 1)
        );
    }
}
