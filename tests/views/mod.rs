//! Whole benchmarks as materialized views: each view is what its query gives, while data comes and goes and after a restart.

mod nexmark;
mod operation;
mod tpch;

use serde_json::Value;
use weir_tests::Client;
use weir_tests::queries::Query;

/// Makes each query a view, named after it behind a prefix.
async fn create(client: &Client, prefix: &str, queries: &[Query]) {
    for Query { name, sql } in queries {
        let create = format!("CREATE MATERIALIZED VIEW {prefix}{name} AS {sql}");
        client.run(&[create.as_str()]).await;
    }
}

/// Holds each view against its query, run once.
async fn check(client: &Client, prefix: &str, queries: &[Query]) {
    client.run(&["FLUSH"]).await;
    let mut wrong = Vec::new();
    for Query { name, sql } in queries {
        let view = format!("{prefix}{name}");
        // EXCEPT ALL takes away a row as often as it is there, whatever the other side's number: so they are counted, too.
        let compare = format!(
            "WITH kept AS (SELECT * FROM {view}), once AS ({sql}\n) \
             SELECT (SELECT count(*) FROM kept) AS kept, (SELECT count(*) FROM once) AS once, \
             (SELECT count(*) FROM (SELECT * FROM kept EXCEPT ALL SELECT * FROM once) AS more) AS more, \
             (SELECT count(*) FROM (SELECT * FROM once EXCEPT ALL SELECT * FROM kept) AS less) AS less"
        );
        let counts = client.rows(&compare).await;
        let counts: Vec<i64> = counts.rows[0].iter().filter_map(Value::as_i64).collect();
        match counts.as_slice() {
            [kept, once, 0, 0] if kept == once => {}
            [kept, once, more, less] => wrong.push(format!(
                "{view} has {kept} rows, its query {once}; {more} of them it has alone, {less} its query"
            )),
            other => panic!("{view}: {other:?}"),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
