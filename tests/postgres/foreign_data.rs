//! A real PostgreSQL reads and writes Weir as a foreign server, by `postgres_fdw`: each statement of the script, what it was sent on as
//! (`EXPLAIN`) among them, and what came back.

use insta::assert_snapshot;
use weir_tests::reference::Reference;

use super::server;

/// What a reader can read: without psql's separators, and the names of its temporary files.
fn readable(said: &str) -> String {
    let said = said.replace('\u{1e}', "\n").replace('\u{1f}', " | ");
    let lines = said.lines().map(|line| match line.split_once("ERROR:  ") {
        Some((_, error)) => format!("ERROR: {error}"),
        None => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_fdw() {
    let server = server();
    let client = server.client();
    for statement in [
        "CREATE STREAM orders (id BIGINT NOT NULL, customer_id BIGINT, amount NUMERIC(10, 2), at TIMESTAMP)",
        "CREATE TABLE things (a INTEGER PRIMARY KEY, b TEXT, c NUMERIC(10, 2), d TIMESTAMPTZ, e TEXT[], f UUID, g JSONB, h DATE)",
        "CREATE MATERIALIZED VIEW hot AS SELECT customer_id, count(*) AS n, sum(amount) AS total FROM orders GROUP BY customer_id",
        "INSERT INTO orders VALUES (1, 1, 10, '2024-01-01'), (2, 2, 5.5, '2024-01-02'), (3, 1, 2, '2024-01-03'), (4, 3, -1, '2024-01-04')",
    ] {
        client.sql(statement).await.expect("it is carried out");
    }
    let address = server.postgres();
    let (host, port) = address.rsplit_once(':').expect("an address has a port");
    let postgresql = Reference::start();
    let said = postgresql.script(&format!(
        "CREATE EXTENSION postgres_fdw;
         CREATE SERVER weir FOREIGN DATA WRAPPER postgres_fdw
             OPTIONS (host '{host}', port '{port}', dbname 'weir', fetch_size '2', batch_size '10', options '-c read_your_writes=on');
         CREATE USER MAPPING FOR weir SERVER weir OPTIONS (user 'somebody', password 'x');
         CREATE SCHEMA remote;
         IMPORT FOREIGN SCHEMA public FROM SERVER weir INTO remote;
         SET search_path = remote;"
    ));
    assert_eq!(said, "");
    assert_snapshot!(readable(&postgresql.script(SCRIPT)));
    server.stop();
}

const SCRIPT: &str = r#"
SET search_path = remote;
\echo what was imported
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relkind = 'f' AND a.attnum > 0 ORDER BY c.relname, a.attnum;
\echo rows, in parts
SELECT * FROM orders ORDER BY id;
\echo a condition and an order go along
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM orders WHERE amount > 1 AND at >= '2024-01-02' ORDER BY id LIMIT 2;
SELECT id FROM orders WHERE amount > 1 AND at >= '2024-01-02' ORDER BY id LIMIT 2;
\echo an aggregate goes along
EXPLAIN (VERBOSE, COSTS OFF) SELECT count(*), sum(amount) FROM orders WHERE customer_id IN (1, 2);
SELECT count(*), sum(amount) FROM orders WHERE customer_id IN (1, 2);
EXPLAIN (VERBOSE, COSTS OFF) SELECT customer_id, max(at) FROM orders GROUP BY customer_id HAVING count(*) > 1;
SELECT customer_id, max(at) FROM orders GROUP BY customer_id HAVING count(*) > 1;
\echo a join goes along
EXPLAIN (VERBOSE, COSTS OFF) SELECT o.id, h.total FROM orders o JOIN hot h USING (customer_id) WHERE h.n = 2;
SELECT o.id, h.total FROM orders o JOIN hot h USING (customer_id) WHERE h.n = 2 ORDER BY 1;
\echo rows go there
INSERT INTO orders VALUES (10, 1, 3.25, '2024-05-05');
SELECT total FROM hot WHERE customer_id = 1;
INSERT INTO things VALUES (1, 'x', 1.25, '2024-01-01 00:00+00', '{a,b}', '00112233-4455-6677-8899-aabbccddeeff', '{"a": 1}', '2024-02-02') RETURNING *;
INSERT INTO things (a, b) SELECT g, 'x' || g FROM generate_series(100, 125) g;
SELECT count(*), min(a), max(b) FROM things WHERE b LIKE 'x1%' OR a = ANY (ARRAY[1]);
INSERT INTO things (a, b) VALUES (1, 'again');
INSERT INTO things (a, b) VALUES (1, 'again') ON CONFLICT DO NOTHING;
UPDATE things SET b = 'y' WHERE a = 1 RETURNING a, b, c;
DELETE FROM things WHERE a > 100;
\echo transactions
BEGIN; INSERT INTO things (a) VALUES (2); SAVEPOINT s; INSERT INTO things (a) VALUES (3); ROLLBACK TO s; COMMIT;
BEGIN; INSERT INTO things (a) VALUES (4); ROLLBACK;
SELECT a, b FROM things ORDER BY a;
\echo copies, and all gone
COPY things (a, b) FROM STDIN;
7	seven
8	eight
\.
TRUNCATE things;
SELECT count(*) FROM things;
ANALYZE orders;
\echo what Weir refuses
UPDATE orders SET amount = 0 WHERE id = 1;
UPDATE things SET b = b || random()::text;
"#;
