//! What the parser reads, DataFusion plans: also at the limits, on the stack of a worker thread. And what is said to be
//! ignored is ignored.

use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement as Planned;
use weir_sql::{Statement, ast, parse, unsupported};

fn plan(sql: &str) -> Result<LogicalPlan, String> {
    let mut parsed = parse(sql).map_err(|error| error.to_string())?;
    let Statement::Query(query) = parsed.remove(0).statement else {
        return Err("no query".to_owned());
    };
    let statement = Planned::Statement(Box::new(ast::Statement::Query(query.query)));
    let state = SessionContext::new().state();
    futures::executor::block_on(state.statement_to_plan(statement))
        .map_err(|error| error.to_string())
}

#[test]
fn what_is_read_is_planned() {
    for sql in [
        "SELECT * EXCLUDE (a) FROM (VALUES (1, 2)) t (a, b)",
        "SELECT * REPLACE (a + 1 AS a) FROM (VALUES (1, 2)) t (a, b)",
        "SELECT {'a': 1}, MAP {'a': 1}, STRUCT(1, 'x'), ARRAY[1, 2][1], [1, 2]",
        "SELECT E'a\\'b', $$it's$$, INTERVAL '1 day', INTERVAL '5' SECOND, DATE '2024-01-01', 1_000",
        "SELECT a FROM (VALUES (1)) t (a) ORDER BY a OFFSET 1 ROWS FETCH FIRST 2 ROWS ONLY",
        "SELECT sum(a) FILTER (WHERE a > 1) OVER w FROM (VALUES (1)) t (a) WINDOW w AS (ORDER BY a)",
        "SELECT CAST(1 AS TEXT) AS a, 1::BIGINT AS b, extract(year FROM now()), trim(both 'x' from 'xax'), position('a' IN 'ba')",
        "SELECT 1 WHERE 1 IN (SELECT 1) AND EXISTS (SELECT 1) AND 1 = ANY(ARRAY[1])",
    ] {
        plan(sql).unwrap_or_else(|error| panic!("{sql}\n{error}"));
    }
}

#[test]
fn the_longest_and_deepest_are_planned_on_a_workers_stack() {
    let table = "(VALUES (1)) t (a)";
    let statements = [
        format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(1000)),
        format!("SELECT 1{}", " EXCEPT SELECT 1".repeat(50)),
        format!(
            "SELECT a FROM {table} WHERE a = 0{}",
            " OR a = 1".repeat(2000)
        ),
        format!("SELECT a{} FROM {table}", " + 1".repeat(195)),
        format!("SELECT {}1{}", "(".repeat(90), ")".repeat(90)),
        format!("SELECT {}1{}", "abs(".repeat(90), ")".repeat(90)),
        format!(
            "SELECT * FROM {}{table}{}",
            "(SELECT * FROM ".repeat(38),
            ") x".repeat(38)
        ),
    ];
    let planned = std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(move || {
            for sql in statements {
                let start: String = sql.chars().take(50).collect();
                let plan = plan(&sql).unwrap_or_else(|error| panic!("{start}: {error}"));
                assert!(!plan.schema().fields().is_empty(), "{start}");
            }
        });
    planned.expect("a thread").join().expect("no panic");
}

/// If one of these is an error one day, DataFusion has learnt it, or refuses it: then [`unsupported`] need not.
#[test]
fn what_is_ignored_is_ignored() {
    for sql in [
        "SELECT 1 FOR UPDATE",
        "SELECT * FROM (SELECT 1) x TABLESAMPLE SYSTEM (10)",
        "SELECT * FROM (VALUES (1)) t (a TEXT)",
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 9 LIMIT 5) SELECT * FROM r",
    ] {
        let parsed = parse(sql).unwrap_or_else(|error| panic!("{sql}\n{error}"));
        assert!(
            unsupported::first_ignored(&parsed[0].statement).is_some(),
            "{sql}"
        );
        plan(sql).unwrap_or_else(|error| panic!("{sql} is no more ignored: {error}"));
    }
}
