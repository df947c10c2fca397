//! Every kind of statement, tried by users with more and less rights. One table says what each is answered.

use serde_json::json;
use weir_tests::client::Client;

use super::{closed, state, token, user};

/// What a statement is answered: to who has no rights at all, to a reader, to a writer, and to an administrator. `-` is that it is
/// done. What is not there for somebody is not found (42P01, 42704, 3F000); what is there and not allowed is 42501.
const ATTEMPTS: &[(&str, [&str; 4])] = &[
    ("SELECT 1", ["-", "-", "-", "-"]),
    ("SELECT * FROM t", ["42P01", "-", "-", "-"]),
    ("SELECT * FROM s", ["42P01", "-", "-", "-"]),
    ("SELECT * FROM v", ["42P01", "-", "-", "-"]),
    ("SELECT * FROM mv", ["42P01", "-", "-", "-"]),
    ("SELECT _key, * FROM s", ["42P01", "-", "-", "-"]),
    (
        "SELECT 1 WHERE EXISTS (SELECT * FROM t)",
        ["42P01", "-", "-", "-"],
    ),
    (
        "WITH x AS (SELECT * FROM t) SELECT * FROM x",
        ["42P01", "-", "-", "-"],
    ),
    ("EXPLAIN SELECT * FROM t", ["42P01", "-", "-", "-"]),
    ("DESCRIBE t", ["42P01", "-", "-", "-"]),
    ("SHOW CREATE TABLE t", ["42P01", "-", "-", "-"]),
    ("DESCRIBE SELECT * FROM t", ["42P01", "-", "-", "-"]),
    (
        "INSERT INTO t VALUES (7, 'x')",
        ["42P01", "42501", "-", "23505"],
    ),
    ("INSERT INTO s VALUES (7)", ["42P01", "42501", "-", "-"]),
    (
        "INSERT INTO t SELECT x, 'y' FROM s WHERE false",
        ["42P01", "42501", "-", "-"],
    ),
    (
        "INSERT INTO t VALUES (1, 'z') ON CONFLICT (id) DO UPDATE SET name = excluded.name",
        ["42P01", "42501", "-", "-"],
    ),
    (
        "UPDATE t SET name = 'y' WHERE id = 7",
        ["42P01", "42501", "-", "-"],
    ),
    ("DELETE FROM t WHERE id = 7", ["42P01", "42501", "-", "-"]),
    ("TRUNCATE t", ["42P01", "42501", "-", "-"]),
    (
        "EXPLAIN INSERT INTO t VALUES (8, 'x')",
        ["42P01", "42501", "-", "-"],
    ),
    (
        "CREATE STREAM own_s (x BIGINT)",
        ["42501", "42501", "-", "42P07"],
    ),
    (
        "CREATE TABLE own_t (x BIGINT)",
        ["42501", "42501", "-", "42P07"],
    ),
    (
        "CREATE TABLE own_c AS SELECT * FROM t",
        ["42501", "42501", "-", "42P07"],
    ),
    (
        "CREATE VIEW own_v AS SELECT * FROM t",
        ["42501", "42501", "-", "42P07"],
    ),
    (
        "CREATE MATERIALIZED VIEW own_m AS SELECT count(*) AS n FROM s",
        ["42501", "42501", "-", "42P07"],
    ),
    (
        "CREATE SINK own_k INTO t AS SELECT x AS id, 'k' AS name FROM s",
        ["42501", "42501", "-", "42P07"],
    ),
    ("CREATE SCHEMA own", ["42501", "42501", "-", "42P06"]),
    (
        "CREATE CONNECTION c WITH (type = 's3', bucket = 'b')",
        ["42501", "42501", "42501", "*"],
    ),
    (
        "TEST CONNECTION WITH (type = 'http', url = 'http://127.0.0.1:1/')",
        ["42501", "42501", "42501", "*"],
    ),
    ("TEST CONNECTION lake", ["42501", "42501", "42501", "*"]),
    (
        "CREATE EXTERNAL TABLE e STORED AS CSV LOCATION '/no/where.csv'",
        ["42501", "42501", "42501", "*"],
    ),
    (
        "SELECT * FROM '/no/where.csv'",
        ["42501", "42501", "42501", "*"],
    ),
    (
        "SELECT * FROM read_csv('/no/where.csv')",
        ["42501", "42501", "42501", "*"],
    ),
    (
        "COPY (SELECT 1) TO '/no/where.csv'",
        ["42501", "42501", "42501", "*"],
    ),
    (
        "CREATE STREAM spy (x BIGINT) WITH (topic = 's')",
        ["42501", "42501", "42501", "-"],
    ),
    (
        "CREATE OR REPLACE VIEW v AS SELECT 1 AS id",
        ["42501", "42501", "42501", "*"],
    ),
    (
        "ALTER TABLE t ADD COLUMN y BIGINT",
        ["42P01", "42501", "42501", "-"],
    ),
    (
        "ALTER TABLE t RENAME TO u",
        ["42P01", "42501", "42501", "*"],
    ),
    (
        "COMMENT ON TABLE t IS 'x'",
        ["42P01", "42501", "42501", "-"],
    ),
    (
        "ALTER MATERIALIZED VIEW mv PAUSE",
        ["42P01", "42501", "42501", "-"],
    ),
    ("DROP VIEW v", ["42P01", "42501", "42501", "*"]),
    ("DROP VIEW IF EXISTS v", ["-", "42501", "42501", "*"]),
    ("DROP TABLE t CASCADE", ["42P01", "42501", "42501", "*"]),
    (
        "DROP SCHEMA private CASCADE",
        ["3F000", "42501", "42501", "*"],
    ),
    (
        "GRANT SELECT ON t TO PUBLIC",
        ["42P01", "42501", "42501", "*"],
    ),
    (
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO PUBLIC",
        ["42501", "42501", "42501", "*"],
    ),
    ("GRANT admin TO nobody", ["42501", "42501", "42501", "*"]),
    (
        "CREATE USER x PASSWORD 'a good password'",
        ["42501", "42501", "42501", "-"],
    ),
    (
        "ALTER USER x PASSWORD 'another good password'",
        ["42501", "42501", "42501", "-"],
    ),
    ("DROP USER admin_user", ["42501", "42501", "42501", "*"]),
    (
        "CREATE TOKEN k FOR admin_user",
        ["42501", "42501", "42501", "-"],
    ),
    (
        "CREATE POLICY p ON t TO nobody USING (false)",
        ["42P01", "42501", "42501", "*"],
    ),
    ("SET batch_size = 1024", ["-", "-", "-", "-"]),
    ("SHOW TABLES", ["-", "-", "-", "-"]),
    ("FLUSH", ["-", "-", "-", "-"]),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_statement_is_refused_to_who_may_not() {
    // Its table gets another column.
    let server = closed().expect_log("a sink has failed").start();
    let admin = server.admin();
    admin
        .run(&[
            "CREATE SCHEMA private",
            "CREATE TABLE private.x (id BIGINT)",
            "CREATE TABLE t (id BIGINT PRIMARY KEY, name TEXT)",
            "CREATE STREAM s (x BIGINT)",
            "CREATE VIEW v AS SELECT id FROM t",
            "CREATE MATERIALIZED VIEW mv AS SELECT count(*) AS n FROM s",
            "INSERT INTO t VALUES (1, 'one')",
        ])
        .await;
    let clients = [
        user(&server, "nobody", &[]).await,
        user(&server, "reader_user", &["reader"]).await,
        user(&server, "writer_user", &["writer"]).await,
        user(&server, "admin_user", &["admin"]).await,
    ];
    let mut wrong = Vec::new();
    for (sql, expected) in ATTEMPTS {
        for (client, expected) in clients.iter().zip(expected) {
            if *expected == "*" {
                // What an administrator may do is shown elsewhere, and would change what follows here.
                continue;
            }
            let found = state(client, sql).await;
            if found != *expected {
                let who = clients.iter().position(|one| std::ptr::eq(one, client));
                wrong.push(format!("{sql}\n  by {who:?}: {found}, not {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_have_what_their_reader_may_use() {
    let server = closed().start();
    let admin = server.admin();
    let ada = user(&server, "ada", &[]).await;
    admin
        .run(&[
            "CREATE TABLE seen (id BIGINT PRIMARY KEY)",
            "CREATE TABLE hidden (id BIGINT PRIMARY KEY)",
            "CREATE STREAM hidden_too (x BIGINT)",
            "CREATE SCHEMA other",
            "GRANT SELECT ON seen TO ada",
        ])
        .await;
    for sql in [
        "SHOW TABLES",
        "SHOW STREAMS",
        "SHOW SCHEMAS",
        "SELECT table_name FROM information_schema.tables",
        "SELECT table_name, column_name FROM information_schema.columns",
        "SELECT * FROM weir.topics",
        "SELECT * FROM weir.history",
        "SHOW QUERIES",
    ] {
        let shown = format!("{:?}", ada.rows(sql).await);
        assert!(
            !shown.contains("hidden") && !shown.contains("other"),
            "{sql}: {shown}"
        );
    }
    let tables = ada.rows("SHOW TABLES").await;
    assert!(format!("{tables:?}").contains("seen"));
    let error = ada
        .sql("SELECT * FROM hiden")
        .await
        .unwrap_err()
        .to_string();
    assert!(
        !error.contains("\"hidden\""),
        "no hint names what is hidden: {error}"
    );
    let ingest = ada.ingest("hidden_too", "{\"x\": 1}").await.unwrap_err();
    assert_eq!(ingest.status, 404, "{ingest}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn grants_give_what_they_name_and_no_more() {
    let server = closed().start();
    let admin = server.admin();
    let ada = user(&server, "ada", &[]).await;
    admin
        .run(&[
            "CREATE SCHEMA sales",
            "CREATE TABLE sales.a (id BIGINT PRIMARY KEY)",
            "CREATE TABLE b (id BIGINT PRIMARY KEY)",
            "CREATE ROLE team",
            "GRANT team TO ada",
            "GRANT INSERT ON b TO ada",
            "GRANT SELECT ON ALL TABLES IN SCHEMA sales TO team",
        ])
        .await;
    assert_eq!(
        state(&ada, "SELECT * FROM sales.a").await,
        "-",
        "through a role"
    );
    admin
        .run(&["CREATE TABLE sales.later (id BIGINT PRIMARY KEY)"])
        .await;
    assert_eq!(
        state(&ada, "SELECT * FROM sales.later").await,
        "-",
        "also what comes later"
    );
    assert_eq!(state(&ada, "INSERT INTO b VALUES (1)").await, "-");
    assert_eq!(state(&ada, "SELECT * FROM b").await, "42501");
    assert_eq!(state(&ada, "INSERT INTO sales.a VALUES (1)").await, "42501");
    assert_eq!(
        state(&ada, "CREATE TABLE sales.own (id BIGINT)").await,
        "42501"
    );
    admin.run(&["GRANT CREATE ON SCHEMA sales TO team"]).await;
    assert_eq!(
        state(&ada, "CREATE TABLE sales.own (id BIGINT PRIMARY KEY)").await,
        "-"
    );
    assert_eq!(
        state(&ada, "INSERT INTO sales.own VALUES (1)").await,
        "-",
        "it is hers"
    );
    let bob = user(&server, "bob", &[]).await;
    assert_eq!(state(&bob, "SELECT * FROM sales.own").await, "3F000");
    assert_eq!(
        state(&ada, "GRANT SELECT ON sales.own TO bob").await,
        "-",
        "owners grant"
    );
    assert_eq!(state(&bob, "SELECT * FROM sales.own").await, "-");
    assert_eq!(state(&bob, "DROP TABLE sales.own").await, "42501");
    admin.run(&["REVOKE team FROM ada"]).await;
    assert_eq!(state(&ada, "SELECT * FROM sales.a").await, "42P01");
    assert_eq!(state(&ada, "DROP TABLE sales.own").await, "-");
    for (sql, expected) in [
        ("GRANT FILES ON b TO ada", "0LP01"),
        ("GRANT SELECT ON SCHEMA sales TO ada", "0LP01"),
        ("GRANT SELECT ON b TO eve", "42704"),
        ("GRANT SELECT (id) ON b TO ada", "0A000"),
        ("GRANT SELECT ON b TO ada WITH GRANT OPTION", "0A000"),
        ("GRANT public TO ada", "0LP01"),
        ("DROP ROLE reader", "2BP01"),
        ("CREATE USER ada", "42710"),
        ("CREATE USER pg_x", "42939"),
        ("CREATE USER short PASSWORD 'short'", "22023"),
        ("REVOKE admin FROM weir", "2BP01"),
        ("ALTER USER weir NOLOGIN", "2BP01"),
        ("DROP USER weir", "2BP01"),
    ] {
        assert_eq!(state(&admin, sql).await, expected, "{sql}");
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn views_read_with_their_owners_rights() {
    let server = closed().start();
    let admin = server.admin();
    let (ada, bob) = (
        user(&server, "ada", &["writer"]).await,
        user(&server, "bob", &[]).await,
    );
    admin
        .run(&[
            "CREATE TABLE t (id BIGINT PRIMARY KEY)",
            "INSERT INTO t VALUES (1), (2)",
        ])
        .await;
    ada.run(&[
        "CREATE VIEW v AS SELECT id FROM t WHERE id > 1",
        "GRANT SELECT ON v TO bob",
    ])
    .await;
    assert_eq!(bob.number("SELECT count(*) FROM v").await, 1);
    assert_eq!(state(&bob, "SELECT * FROM t").await, "42P01");
    admin.run(&["REVOKE writer FROM ada"]).await;
    assert_eq!(
        state(&bob, "SELECT * FROM v").await,
        "42P01",
        "the owner may not either"
    );
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tokens_scope_narrows_what_its_user_may() {
    let server = closed().start();
    let admin = server.admin();
    let ada = user(&server, "ada", &["writer"]).await;
    admin.run(&["CREATE TABLE t (id BIGINT PRIMARY KEY)"]).await;
    let by = |value: String| -> Client { server.client().with_token(&value) };
    let reads = by(token(&ada, "reads SCOPE SELECT").await);
    assert_eq!(state(&reads, "SELECT * FROM t").await, "-");
    assert_eq!(state(&reads, "INSERT INTO t VALUES (1)").await, "42501");
    assert_eq!(state(&reads, "CREATE TABLE x (id BIGINT)").await, "42501");
    assert_eq!(
        state(&reads, "CREATE TOKEN all_of_it").await,
        "42501",
        "nor one without a scope"
    );
    assert_eq!(
        state(&reads, "ALTER USER ada PASSWORD 'another password'").await,
        "42501"
    );
    let writes = by(token(&ada, "writes SCOPE INSERT").await);
    assert_eq!(state(&writes, "INSERT INTO t VALUES (2)").await, "-");
    assert_eq!(state(&writes, "SELECT * FROM t").await, "42501");
    let admins = by(token(&admin, "of_admin FOR weir SCOPE SELECT").await);
    assert_eq!(state(&admins, "SELECT * FROM t").await, "-");
    assert_eq!(state(&admins, "DROP TABLE t").await, "42501");
    assert_eq!(state(&admins, "CREATE USER eve").await, "42501");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_of_others_are_not_seen_or_stopped() {
    let server = closed().start();
    let (ada, bob) = (
        user(&server, "ada", &["reader"]).await,
        user(&server, "bob", &["reader"]).await,
    );
    let slow = tokio::spawn({
        let ada = ada.clone();
        async move { ada.sql(crate::SLOW).await }
    });
    let running = "SELECT query_id FROM weir.queries WHERE state = 'running' AND sql LIKE '%slow%' AND sql NOT LIKE '%weir.queries%'";
    let mut id = String::new();
    super::until("it runs", async || {
        match ada.rows(running).await.rows.first() {
            Some(row) => {
                id = row[0].as_str().unwrap_or_default().to_owned();
                true
            }
            None => false,
        }
    })
    .await;
    assert_eq!(
        bob.rows(running).await.rows,
        Vec::<Vec<serde_json::Value>>::new()
    );
    assert_eq!(state(&bob, &format!("KILL QUERY '{id}'")).await, "42704");
    let one = bob.request(reqwest::Method::GET, &format!("/v1/queries/{id}"));
    assert_eq!(bob.send(one).await.status(), 404);
    assert_eq!(state(&ada, &format!("KILL QUERY '{id}'")).await, "-");
    assert!(slow.await.unwrap().is_err());
    assert_eq!(ada.value("SELECT 1").await, json!(1));
    server.stop();
}

/// A sink replaces the rows of a table with a key, and takes rows away: the right to add some is not enough.
#[tokio::test(flavor = "multi_thread")]
async fn a_sink_needs_the_rights_to_what_it_does() {
    let server = closed().start();
    let admin = server.admin();
    let ada = user(&server, "ada", &[]).await;
    admin
        .run(&[
            "CREATE SCHEMA own",
            "CREATE TABLE t (id BIGINT PRIMARY KEY, name TEXT)",
            "INSERT INTO t VALUES (1, 'as it was')",
            "GRANT CREATE ON SCHEMA own TO ada",
            "GRANT INSERT ON t TO ada",
        ])
        .await;
    ada.run(&[
        "CREATE STREAM own.s (id BIGINT, name TEXT)",
        "INSERT INTO own.s VALUES (1, 'overwritten')",
    ])
    .await;
    let sink = "CREATE SINK own.k INTO t AS SELECT id, name FROM own.s";
    assert_eq!(state(&ada, sink).await, "42501");
    assert_eq!(state(&ada, "INSERT INTO t VALUES (1, 'x')").await, "23505");
    assert_eq!(admin.value("SELECT name FROM t").await, json!("as it was"));
    admin.run(&["GRANT UPDATE, DELETE ON t TO ada"]).await;
    assert_eq!(state(&ada, sink).await, "-");
    server.stop();
}

/// What a transaction has defined and taken back is gone for its user as for all others, also where somebody else defined something
/// in between.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_back_is_not_seen_any_more() {
    let server = closed().start();
    let admin = server.admin();
    let ada = user(&server, "ada", &["writer"]).await;
    admin
        .run(&["CREATE SCHEMA own", "GRANT CREATE ON SCHEMA own TO ada"])
        .await;
    let session = ada.open_session().await;
    session
        .run(&[
            "BEGIN",
            "CREATE TABLE own.taken_back (id BIGINT PRIMARY KEY)",
            "SELECT * FROM own.taken_back",
            "ROLLBACK",
        ])
        .await;
    admin
        .run(&["CREATE TABLE own.stays (id BIGINT PRIMARY KEY)"])
        .await;
    assert_eq!(
        state(&session, "SELECT * FROM own.taken_back").await,
        "42P01"
    );
    assert_eq!(state(&session, "SELECT * FROM own.stays").await, "-");
    server.stop();
}
