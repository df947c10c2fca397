//! Whole benchmarks as materialized views: each view is what its query gives, while data comes and goes and after a restart.

mod nexmark;
mod tpch;

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
        let missing =
            format!("SELECT count(*) FROM ((SELECT * FROM {view}) EXCEPT ALL ({sql}\n)) AS d");
        let more =
            format!("SELECT count(*) FROM (({sql}\n) EXCEPT ALL (SELECT * FROM {view})) AS d");
        let (missing, more) = (client.number(&missing).await, client.number(&more).await);
        if (missing, more) != (0, 0) {
            wrong.push(format!(
                "{view} has {missing} rows that its query has not, and lacks {more}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
