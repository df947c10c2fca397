//! What SHOW CREATE prints makes the same thing again.

use serde_json::Value;
use weir_tests::{Server, files};

#[tokio::test]
async fn show_create_runs_again_to_the_same_thing() {
    let data = tempfile::TempDir::new().unwrap();
    files::lay_out(data.path());
    let server = Server::builder().allow_path(data.path()).start();
    let client = server.client();
    let location = data.path().join("days");
    let external = format!(
        "CREATE EXTERNAL TABLE e (id BIGINT, city TEXT, distance DOUBLE, day DATE) STORED AS PARQUET PARTITIONED BY (day) LOCATION '{}/'",
        location.display()
    );
    let made = [
        (
            "STREAM",
            "s",
            "CREATE STREAM s (a BIGINT NOT NULL, \"B c\" TEXT DEFAULT 'it''s', at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '5' SECOND, CHECK (a > 0)) WITH (partitions = 3, key = 'a')",
        ),
        (
            "TABLE",
            "t",
            "CREATE TABLE t (k INT, j TEXT, d DECIMAL(10,2) DEFAULT 1.5, tags TEXT[], u UUID, PRIMARY KEY (k, j), CONSTRAINT positive CHECK (d > 0))",
        ),
        (
            "VIEW",
            "v",
            "CREATE VIEW v (x, y) AS SELECT a, at FROM s WHERE a > 1",
        ),
        ("EXTERNAL TABLE", "e", external.as_str()),
    ];
    for (_, _, sql) in &made {
        client.run(&[sql]).await;
    }
    client.run(&["COMMENT ON STREAM s IS 'a comment'"]).await;
    let columns = "SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns \
                   WHERE table_schema = 'public' ORDER BY table_name, ordinal_position";
    let before = client.rows(columns).await;
    let mut printed = Vec::new();
    for (kind, name, _) in &made {
        let rows = client.rows(&format!("SHOW CREATE {kind} {name}")).await;
        let sql = rows.rows[0]
            .iter()
            .filter_map(Value::as_str)
            .find(|text| text.starts_with("CREATE"));
        printed.push(sql.unwrap_or_else(|| panic!("{rows:?}")).to_owned());
    }
    client
        .run(&[
            "DROP VIEW v",
            "DROP STREAM s",
            "DROP TABLE t",
            "DROP EXTERNAL TABLE e",
        ])
        .await;
    for sql in &printed {
        // The thing, and then a statement for each comment on it.
        for statement in sql.split(";\n") {
            client.run(&[statement]).await;
        }
    }
    assert_eq!(client.rows(columns).await, before);
    for (at, (kind, name, _)) in made.iter().enumerate() {
        let rows = client.rows(&format!("SHOW CREATE {kind} {name}")).await;
        assert!(
            rows.rows[0].contains(&Value::from(printed[at].clone())),
            "{rows:?}"
        );
    }
    server.stop();
}
