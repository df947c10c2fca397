//! `$1`, `$2`, … with typed JSON values.

use serde_json::{Value, json};
use weir_tests::Server;

#[tokio::test]
async fn values_are_taken_by_their_json_type_and_never_as_sql() {
    let server = Server::start();
    let client = server.client();
    let cases: &[(&str, Value, Value)] = &[
        ("SELECT $1 + 1", json!([41]), json!(42)),
        ("SELECT $1 * 2", json!([1.25]), json!(2.5)),
        ("SELECT $1 || '!'", json!(["it's"]), json!("it's!")),
        ("SELECT NOT $1", json!([true]), json!(false)),
        ("SELECT $1 IS NULL", json!([null]), json!(true)),
        (
            "SELECT length($1)",
            json!(["'); DROP TABLE t; --"]),
            json!(20),
        ),
        ("SELECT $2 - $1", json!([1, 3]), json!(2)),
        ("SELECT $1 + $1", json!([2]), json!(4)),
        (
            "SELECT $1 + INTERVAL '1 day'",
            json!([{ "type": "timestamp", "value": "2024-02-28T00:00:00" }]),
            json!("2024-02-29T00:00:00"),
        ),
        (
            "SELECT $1",
            json!([{ "type": "date", "value": "2024-01-01" }]),
            json!("2024-01-01"),
        ),
        (
            "SELECT $1 * 2",
            json!([{ "type": "numeric", "value": "1.05" }]),
            json!(2.10),
        ),
        (
            "SELECT $1",
            json!([{ "type": "bigint", "value": "9007199254740993" }]),
            json!("9007199254740993"),
        ),
        ("SELECT cardinality($1)", json!([[1, 2, 3]]), json!(3)),
        ("SELECT 2 = ANY($1)", json!([[1, 2, 3]]), json!(true)),
    ];
    for (sql, parameters, wanted) in cases {
        match client.sql_with(sql, parameters.clone()).await {
            Ok(rows) => assert_eq!(rows.rows, [[wanted.clone()]], "{sql} with {parameters}"),
            Err(problem) => panic!("{sql} with {parameters}: {problem}"),
        }
    }
    server.stop();
}

#[tokio::test]
async fn parameters_work_in_every_clause_and_in_changes() {
    let server = Server::start();
    let client = server.client();
    client
        .run(&["CREATE TABLE t (id INT PRIMARY KEY, name TEXT, at TIMESTAMP)"])
        .await;
    let insert = "INSERT INTO t VALUES ($1, $2, $3), (2, $2, NULL)";
    let given = json!([1, "x", "2024-01-01T00:00:00"]);
    client.sql_with(insert, given).await.unwrap();
    let sql = "SELECT id FROM t WHERE name = $1 ORDER BY id LIMIT $2";
    let rows = client.sql_with(sql, json!(["x", 1])).await.unwrap();
    assert_eq!(rows.rows, [[json!(1)]]);
    let update = "UPDATE t SET name = $1 WHERE id = $2";
    client.sql_with(update, json!(["y", 2])).await.unwrap();
    let delete = "DELETE FROM t WHERE name = $1";
    let rows = client.sql_with(delete, json!(["y"])).await.unwrap();
    assert_eq!(rows.rows, [[json!(1)]]);
    server.stop();
}
