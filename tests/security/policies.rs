//! Row filters and column masks.

use serde_json::json;
use weir_tests::client::media;

use super::{closed, state, user};

#[tokio::test(flavor = "multi_thread")]
async fn rows_and_values_are_hidden_from_whom_a_policy_names() {
    let server = closed().kafka().start();
    let admin = server.admin();
    let (ada, bob) = (
        user(&server, "ada", &["reader"]).await,
        user(&server, "bob", &["writer"]).await,
    );
    admin
        .run(&[
            "CREATE TABLE people (id BIGINT PRIMARY KEY, owner TEXT, card TEXT, pay DECIMAL(10, 2))",
            "INSERT INTO people VALUES (1, 'ada', '1111-2222', 10.5), (2, 'bob', '3333-4444', 20.5), (3, 'bob', '5555-6666', 0)",
            "CREATE POLICY own ON people FOR SELECT TO ada, bob USING (owner = current_user)",
            "CREATE POLICY cards ON people TO ada MASK (card AS left(card, 2) || '…', pay AS NULL)",
        ])
        .await;
    let seen = ada.rows("SELECT * FROM people").await;
    assert_eq!(
        seen.rows,
        [vec![json!(1), json!("ada"), json!("11…"), json!(null)]]
    );
    assert_eq!(ada.number("SELECT count(*) FROM people").await, 1);
    assert_eq!(bob.number("SELECT count(*) FROM people").await, 2);
    assert_eq!(admin.number("SELECT count(*) FROM people").await, 3);
    assert_eq!(
        ada.number("SELECT count(*) FROM people WHERE card = '1111-2222'")
            .await,
        0
    );
    assert_eq!(
        ada.value("SELECT _key FROM people").await,
        json!(null),
        "nor by its record"
    );
    // An error would tell of a row that is not seen.
    assert_eq!(
        bob.number("SELECT count(*) FROM people WHERE 1 / (id - 1) >= 0")
            .await,
        2
    );
    assert_eq!(
        bob.number("SELECT count(*) FROM people AS a JOIN people AS b ON a.owner = b.owner")
            .await,
        4
    );
    for sql in [
        "UPDATE people SET pay = 0",
        "DELETE FROM people",
        "TRUNCATE people",
        "CREATE MATERIALIZED VIEW m AS SELECT count(*) AS n FROM people",
    ] {
        assert_eq!(state(&bob, sql).await, "42501", "{sql}");
    }
    bob.run(&[
        "CREATE VIEW of_bob AS SELECT card FROM people",
        "GRANT SELECT ON of_bob TO ada",
    ])
    .await;
    assert_eq!(
        ada.number("SELECT count(*) FROM of_bob").await,
        2,
        "as its owner sees it"
    );

    admin.run(&["DROP POLICY own ON people"]).await;
    assert_eq!(ada.number("SELECT count(*) FROM people").await, 3);
    for (sql, expected) in [
        (
            "CREATE POLICY p ON people TO ada USING (nothing = 1)",
            "42703",
        ),
        ("CREATE POLICY p ON people TO ada USING (id)", "42804"),
        (
            "CREATE POLICY p ON people TO ada MASK (nothing AS NULL)",
            "42703",
        ),
        (
            "CREATE POLICY p ON people TO ada USING (id IN (SELECT 1))",
            "0A000",
        ),
        ("CREATE POLICY cards ON people TO ada USING (true)", "42710"),
        ("DROP POLICY nothing ON people", "42704"),
    ] {
        assert_eq!(state(&admin, sql).await, expected, "{sql}");
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn live_queries_are_under_policies_too() {
    let server = closed().start();
    let admin = server.admin();
    let ada = user(&server, "ada", &["reader"]).await;
    admin
        .run(&[
            "CREATE STREAM s (region TEXT, x BIGINT)",
            "INSERT INTO s VALUES ('eu', 1), ('us', 2)",
            "CREATE POLICY eu ON s TO ada USING (region = 'eu') MASK (x AS x * 100)",
        ])
        .await;
    let live = ada.query(
        "SELECT region, x FROM s EMIT CHANGES LIMIT 2",
        media::NDJSON,
    );
    let reading = tokio::spawn({
        let ada = ada.clone();
        async move { ada.send(live).await.text().await.unwrap_or_default() }
    });
    admin
        .run(&["INSERT INTO s VALUES ('us', 3), ('eu', 4)"])
        .await;
    let said = reading.await.unwrap();
    assert!(
        said.contains("100") && said.contains("400") && !said.contains("us"),
        "{said}"
    );
    server.stop();
}
