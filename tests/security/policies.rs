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

/// A text that comes again is answered by a plan that is kept.
#[tokio::test(flavor = "multi_thread")]
async fn rights_and_policies_that_change_hold_for_plans_that_are_kept() {
    let server = closed().start();
    let admin = server.admin();
    let (ada, bob) = (
        user(&server, "ada", &[]).await,
        user(&server, "bob", &["reader"]).await,
    );
    admin
        .run(&[
            "CREATE TABLE people (id BIGINT PRIMARY KEY, owner TEXT, pay BIGINT)",
            "INSERT INTO people VALUES (1, 'ada', 10), (2, 'bob', 20), (3, 'bob', 40)",
            "CREATE VIEW all_of_them AS SELECT * FROM people",
        ])
        .await;
    let counts = "SELECT count(*) FROM people";
    let (sums, through) = (
        "SELECT sum(pay) FROM people",
        "SELECT count(*) FROM all_of_them",
    );
    for _ in 0..4 {
        assert_eq!(admin.number(counts).await, 3);
        assert_eq!(bob.number(counts).await, 3);
        assert_eq!(bob.number(sums).await, 70);
        assert_eq!(state(&ada, counts).await, "42P01");
        assert_eq!(state(&ada, through).await, "42P01");
    }
    admin.run(&["GRANT SELECT ON all_of_them TO ada"]).await;
    for _ in 0..4 {
        assert_eq!(ada.number(through).await, 3);
        assert_eq!(state(&ada, counts).await, "42P01");
    }
    admin
        .run(&["CREATE POLICY own ON people FOR SELECT TO bob USING (owner = current_user)"])
        .await;
    for _ in 0..4 {
        assert_eq!(bob.number(counts).await, 2);
        assert_eq!(bob.number(sums).await, 60);
        assert_eq!(admin.number(counts).await, 3);
    }
    admin
        .run(&["CREATE POLICY pay ON people TO bob MASK (pay AS 1)"])
        .await;
    for _ in 0..4 {
        assert_eq!(bob.number(sums).await, 2);
    }
    admin
        .run(&[
            "DROP POLICY own ON people",
            "DROP POLICY pay ON people",
            "REVOKE SELECT ON all_of_them FROM ada",
        ])
        .await;
    for _ in 0..4 {
        assert_eq!(bob.number(sums).await, 70);
        assert_eq!(state(&ada, through).await, "42P01");
        assert_eq!(admin.number(through).await, 3);
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

/// What a live query is refused for tells nothing of rows that a policy hides: its conditions are asked of the others alone.
#[tokio::test(flavor = "multi_thread")]
async fn no_error_of_a_live_query_tells_of_a_hidden_row() {
    let server = closed().start();
    let admin = server.admin();
    let ada = user(&server, "ada", &["reader"]).await;
    admin
        .run(&[
            "CREATE STREAM s (region TEXT, x BIGINT, note TEXT, at TIMESTAMP, WATERMARK FOR at)",
            "CREATE STREAM plain (region TEXT, x BIGINT, note TEXT)",
            "CREATE TABLE t (x BIGINT PRIMARY KEY, region TEXT, note TEXT)",
            "INSERT INTO s VALUES ('us', 2, 'hidden', '2024-01-01 00:00:01'), ('eu', 1, '17', '2024-01-01 00:00:02'), ('eu', 1, '17', '2024-01-01 00:02:00')",
            "INSERT INTO plain VALUES ('us', 2, 'hidden'), ('eu', 1, '17')",
            "INSERT INTO t VALUES (2, 'us', 'hidden'), (1, 'eu', '17')",
            "CREATE POLICY eu ON s TO ada USING (region = 'eu')",
            "CREATE POLICY eu ON plain TO ada USING (region = 'eu')",
            "CREATE POLICY eu ON t TO ada USING (region = 'eu')",
        ])
        .await;
    for sql in [
        "SELECT x FROM plain WHERE CAST(note AS BIGINT) = 17 EMIT CHANGES LIMIT 1",
        "SELECT x FROM plain WHERE 1 / (x - 2) < 1 EMIT CHANGES LIMIT 1",
        "SELECT x, CAST(note AS BIGINT) AS n FROM plain EMIT CHANGES LIMIT 1",
        "SELECT x FROM s WHERE CAST(note AS BIGINT) = 17 EMIT CHANGES LIMIT 1",
        "SELECT x FROM t WHERE CAST(note AS BIGINT) = 17 EMIT CHANGES LIMIT 1",
        "SELECT count(*) AS n FROM plain WHERE 1 / (x - 2) < 1 EMIT CHANGES LIMIT 1",
        "SELECT a.x FROM plain AS a JOIN t AS b ON a.x = b.x WHERE CAST(a.note AS BIGINT) = CAST(b.note AS BIGINT) EMIT CHANGES LIMIT 1",
        "SELECT window_end, count(*) AS n FROM TUMBLE(s, at, INTERVAL '1 minute') WHERE CAST(note AS BIGINT) = 17 GROUP BY window_end EMIT ON WINDOW CLOSE LIMIT 1",
    ] {
        let said = ada.send(ada.query(sql, media::NDJSON)).await;
        let said = said.text().await.unwrap_or_default();
        assert!(
            !said.contains("hidden") && !said.contains("sqlstate") && said.contains(':'),
            "{sql}: {said}"
        );
    }
    server.stop();
}

/// A view that leaves rows out hides them from who may not read what it reads; and a plan does not tell what and how.
#[tokio::test(flavor = "multi_thread")]
async fn no_error_and_no_plan_tells_of_what_a_view_or_a_policy_hides() {
    let server = closed().start();
    let admin = server.admin();
    let (ada, bob) = (
        user(&server, "ada", &["reader"]).await,
        user(&server, "bob", &[]).await,
    );
    admin
        .run(&[
            "CREATE TABLE t (id BIGINT PRIMARY KEY, note TEXT)",
            "INSERT INTO t VALUES (1, '17'), (2, 'hidden')",
            "CREATE VIEW some AS SELECT id, note FROM t WHERE id < 2",
            "CREATE VIEW more AS SELECT * FROM some",
            "GRANT SELECT ON some, more TO bob",
            "CREATE POLICY p ON t TO ada USING (note <> 'hidden')",
        ])
        .await;
    for (who, relation) in [(&bob, "some"), (&bob, "more"), (&ada, "t"), (&ada, "some")] {
        for emit in ["", " EMIT CHANGES LIMIT 1"] {
            let sql = format!("SELECT id FROM {relation} WHERE CAST(note AS BIGINT) = 17{emit}");
            let said = who.send(who.query(&sql, media::NDJSON)).await;
            let said = said.text().await.unwrap_or_default();
            assert!(
                !said.contains("hidden") && !said.contains("sqlstate"),
                "{sql}: {said}"
            );
        }
        let plan = who
            .rows(&format!(
                "EXPLAIN VERBOSE SELECT * FROM {relation} WHERE id > 0"
            ))
            .await;
        let plan = format!("{plan:?}");
        assert!(
            plan.contains("GuardExec") && !plan.contains("hidden") && !plan.contains("id < 2"),
            "{plan}"
        );
        for explain in [
            format!("EXPLAIN ANALYZE SELECT * FROM {relation}"),
            format!("EXPLAIN (FORMAT JSON) SELECT * FROM {relation}"),
            format!("EXPLAIN SELECT * FROM {relation} EMIT CHANGES"),
        ] {
            assert_eq!(state(who, &explain).await, "42501", "{explain}");
        }
    }
    // Who may read it all sees what it does with it.
    let plan = format!("{:?}", admin.rows("EXPLAIN SELECT * FROM some").await);
    assert!(!plan.contains("GuardExec"), "{plan}");
    server.stop();
}

/// The late rows of a view are rows of its streams, which the view itself does not show.
#[tokio::test(flavor = "multi_thread")]
async fn late_rows_are_for_who_may_read_the_streams() {
    let server = closed().start();
    let admin = server.admin();
    let (ada, bob, eve) = (
        user(&server, "ada", &[]).await,
        user(&server, "bob", &[]).await,
        user(&server, "eve", &[]).await,
    );
    admin
        .run(&[
            "CREATE STREAM s (who TEXT, at TIMESTAMP, WATERMARK FOR at)",
            "INSERT INTO s VALUES ('a', '2024-01-01 00:00:01'), ('b', '2024-01-01 00:05:00')",
            "INSERT INTO s VALUES ('secret', '2024-01-01 00:00:02')",
            "CREATE MATERIALIZED VIEW v AS SELECT window_end, count(*) AS n FROM TUMBLE(s, at, INTERVAL '1 minute') GROUP BY window_end EMIT ON WINDOW CLOSE",
            "GRANT SELECT ON v TO ada, bob, eve",
            "GRANT SELECT ON s TO bob, eve",
            "CREATE POLICY p ON v TO eve USING (n > 100)",
        ])
        .await;
    for client in [&admin, &bob] {
        assert_eq!(client.number("SELECT count(*) FROM v$late").await, 1);
    }
    for (client, expected) in [(&ada, "42P01"), (&eve, "42501")] {
        assert_eq!(
            client.value("SELECT count(*) >= 0 FROM v").await,
            json!(true)
        );
        let problem = client.sql("SELECT * FROM v$late").await.unwrap_err();
        assert_eq!(problem.sqlstate(), expected, "{problem}");
        assert!(!problem.to_string().contains("secret"), "{problem}");
    }
    server.stop();
}

/// Why a view has failed shows a row of what it reads: that is for its owner.
#[tokio::test(flavor = "multi_thread")]
async fn why_a_view_has_failed_is_told_to_its_owner() {
    let server = closed()
        .expect_log("a materialized view has failed")
        .start();
    let admin = server.admin();
    let ada = user(&server, "ada", &[]).await;
    admin
        .run(&[
            "CREATE STREAM s (note TEXT)",
            "INSERT INTO s VALUES ('17')",
            "CREATE MATERIALIZED VIEW v AS SELECT CAST(note AS BIGINT) AS n FROM s",
            "GRANT SELECT ON v TO ada",
            "INSERT INTO s VALUES ('secret')",
        ])
        .await;
    super::until("it has failed", async || {
        admin.sql("SELECT * FROM v").await.is_err()
    })
    .await;
    let told = admin.sql("SELECT * FROM v").await.unwrap_err().to_string();
    assert!(told.contains("secret"), "{told}");
    let told = ada.sql("SELECT * FROM v").await.unwrap_err().to_string();
    assert!(
        told.contains("failed") && !told.contains("secret"),
        "{told}"
    );
    let jobs = format!("{:?}", ada.rows("SELECT * FROM weir.jobs").await);
    assert!(
        jobs.contains("failed") && !jobs.contains("secret"),
        "{jobs}"
    );
    server.stop();
}
