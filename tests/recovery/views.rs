//! Views that are kept: right after every crash, and at one moment with all that belongs to them.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use weir_tests::kafka::kafka_protocol::messages::CreatePartitionsRequest;
use weir_tests::kafka::kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use weir_tests::kafka::{KafkaClient, name};
use weir_tests::wait::{self, eventually};
use weir_tests::{Client, Server};

use super::{random, rounds, server};

/// Each view, and the query that it keeps.
const VIEWS: [(&str, &str); 4] = [
    (
        "totals",
        "SELECT k, count(*) AS n, sum(v) AS s, min(v) AS least, max(id) AS last FROM s GROUP BY k",
    ),
    (
        "named",
        "SELECT s.id, s.v, t.name FROM s LEFT JOIN t ON t.k = s.k",
    ),
    ("most", "SELECT k, n FROM totals ORDER BY n DESC, k LIMIT 2"),
    (
        "joined",
        "SELECT m.k, m.n, t.name FROM totals AS m FULL JOIN t ON t.k = m.k WHERE coalesce(m.n, 0) >= 0",
    ),
];

async fn check(client: &Client) {
    client.run(&["FLUSH"]).await;
    for (view, query) in VIEWS {
        let difference = client
            .number(&format!(
                "SELECT count(*) FROM ((SELECT * FROM {view} EXCEPT ALL ({query})) UNION ALL (({query}) EXCEPT ALL SELECT * FROM {view})) AS d"
            ))
            .await;
        assert_eq!(difference, 0, "{view}");
    }
}

/// One write, acknowledged or not.
async fn write(client: &Client, random: &mut SmallRng, next: &mut i64) -> bool {
    let k = random.random_range(0..6);
    let sql = match random.random_range(0..5) {
        0 => format!(
            "INSERT INTO t VALUES ({k}, 'n{next}') ON CONFLICT (k) DO UPDATE SET name = excluded.name"
        ),
        1 => format!("DELETE FROM t WHERE k = {k}"),
        2 => format!("UPDATE t SET name = name || '!' WHERE k >= {k}"),
        _ => {
            let rows = random.random_range(1..20);
            let rows =
                (*next..*next + rows).map(|id| format!("({id}, {}, {})", id % 5, id * 7 % 11));
            format!(
                "INSERT INTO s VALUES {}",
                rows.collect::<Vec<_>>().join(", ")
            )
        }
    };
    *next += 20;
    matches!(client.try_sql(&sql).await, Some(Ok(_)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_is_the_batch_answer_after_every_crash() {
    let mut random = random("views");
    let mut next = 0;
    // As often as can be, so that a crash finds checkpoints of all ages.
    let mut running = server()
        .env("WEIR_VIEWS_CHECKPOINT_INTERVAL", "20ms")
        .start();
    running
        .client()
        .run(&[
            "CREATE STREAM s (id BIGINT, k BIGINT, v BIGINT) WITH (partitions = 3)",
            "CREATE TABLE t (k BIGINT PRIMARY KEY, name TEXT)",
        ])
        .await;
    for (view, query) in VIEWS {
        let create = format!("CREATE MATERIALIZED VIEW {view} AS {query}");
        running.client().run(&[create.as_str()]).await;
    }
    for round in 0..rounds() {
        let client = running.client();
        for _ in 0..random.random_range(1..30) {
            assert!(write(&client, &mut random, &mut next).await);
            if random.random_bool(0.1) {
                check(&client).await;
            }
        }
        running = match round % 3 {
            0 => running.stop().start(),
            _ => {
                // Writes are on their way when it dies.
                let writing = {
                    let client = client.clone();
                    let mut random = SmallRng::seed_from_u64(u64::from(round));
                    let mut first = next + 100_000;
                    next += 1_000_000;
                    tokio::spawn(
                        async move { while write(&client, &mut random, &mut first).await {} },
                    )
                };
                tokio::time::sleep(std::time::Duration::from_millis(
                    random.random_range(0..200),
                ))
                .await;
                let killed = running.kill();
                writing.await.unwrap();
                killed.start()
            }
        };
        check(&running.client()).await;
    }
    running.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_is_neither_made_nor_lost_between_views() {
    let server = Server::start();
    let client = server.client();
    client
        .run(&[
            "CREATE TABLE accounts (id BIGINT PRIMARY KEY, balance BIGINT)",
            "INSERT INTO accounts SELECT i, 100 FROM generate_series(0, 19) AS g(i)",
            "CREATE MATERIALIZED VIEW total AS SELECT sum(balance) AS s FROM accounts",
            "CREATE MATERIALIZED VIEW halves AS SELECT id % 2 AS half, sum(balance) AS s FROM accounts GROUP BY id % 2",
            "CREATE MATERIALIZED VIEW again AS SELECT sum(s) AS s FROM halves",
        ])
        .await;
    let writer = client.clone();
    let writing = tokio::spawn(async move {
        let mut random = SmallRng::seed_from_u64(3);
        for _ in 0..20 * rounds() {
            let (from, to) = (random.random_range(0..20), random.random_range(0..20));
            let transfer = format!(
                "UPDATE accounts SET balance = balance + CASE WHEN id = {from} THEN -7 ELSE 0 END + CASE WHEN id = {to} THEN 7 ELSE 0 END \
                 WHERE id IN ({from}, {to})"
            );
            writer.run(&[transfer.as_str()]).await;
        }
    });
    let mut reads = 0;
    while !writing.is_finished() || reads < 20 {
        let rows = client
            .rows(
                "SELECT (SELECT s FROM total) AS a, (SELECT sum(s) FROM halves) AS b, (SELECT s FROM again) AS c, (SELECT sum(balance) FROM accounts) AS d",
            )
            .await;
        assert_eq!(
            format!("{:?}", rows.rows),
            "[[Number(2000), Number(2000), Number(2000), Number(2000)]]"
        );
        reads += 1;
    }
    writing.await.unwrap();
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_fails_stops_its_view_alone_and_loses_nothing() {
    let running = Server::builder()
        .expect_log("a materialized view has failed")
        .start();
    let client = running.client();
    client
        .run(&[
            "CREATE TABLE t (id BIGINT PRIMARY KEY, v BIGINT)",
            "CREATE MATERIALIZED VIEW m AS SELECT id FROM t",
            "CREATE MATERIALIZED VIEW ratio AS SELECT id, 100 / v AS r FROM t",
            "INSERT INTO t VALUES (1, 5), (2, 0)",
            "FLUSH",
        ])
        .await;
    assert_eq!(client.number("SELECT count(*) FROM m").await, 2);
    let problem = client.sql("SELECT * FROM ratio").await.unwrap_err();
    assert_eq!(problem.sqlstate(), "22012");
    let state = "SELECT state || ' ' || error FROM weir.jobs WHERE name = 'ratio'";
    let failed = client.rows(state).await.rows[0][0].to_string();
    assert!(
        failed.contains("failed division by zero in Projection: ") && failed.contains("v = 0"),
        "{failed}"
    );
    // It goes on when the row is right.
    client
        .run(&[
            "UPDATE t SET v = 4 WHERE id = 2",
            "ALTER MATERIALIZED VIEW ratio RESUME",
        ])
        .await;
    assert_eq!(client.number("SELECT sum(r) FROM ratio").await, 45);
    running.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_gets_partitions_stays_in_its_views() {
    let running = Server::builder().kafka().start();
    let client = running.client();
    client
        .run(&[
            "CREATE STREAM s (id BIGINT) WITH (partitions = 1)",
            "INSERT INTO s VALUES (1), (2)",
            "CREATE MATERIALIZED VIEW m AS SELECT count(*) AS n FROM s",
        ])
        .await;
    let mut kafka = KafkaClient::connect(&running.kafka()).await.unwrap();
    let topic = CreatePartitionsTopic::default()
        .with_name(name("s"))
        .with_count(4);
    let request = CreatePartitionsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(10_000);
    let answer = kafka.ask(3, &request).await.unwrap();
    assert_eq!(answer.results[0].error_code, 0);
    for round in 0..8 {
        let insert = format!("INSERT INTO s VALUES ({round}), ({round})");
        client.run(&[insert.as_str()]).await;
    }
    eventually("the view counts the rows of all partitions", async || {
        client.run(&["FLUSH"]).await;
        wait::check(
            client.number("SELECT n FROM m").await == 18,
            "not all are there",
        )
    })
    .await;
    running.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_reads_what_came_since_the_last_checkpoint() {
    let running = Server::builder()
        .env("WEIR_VIEWS_CHECKPOINT_INTERVAL", "20ms")
        .start();
    let client = running.client();
    let view = "SELECT k % 1000 AS k, count(*) AS n, max(v) AS m FROM s GROUP BY k % 1000";
    client
        .run(&[
            "CREATE STREAM s (k BIGINT, v BIGINT)",
            "INSERT INTO s SELECT i, i * 7 % 1009 FROM generate_series(1, 50000) AS g(i)",
            &format!("CREATE MATERIALIZED VIEW m AS {view}"),
        ])
        .await;
    // A checkpoint is made after a step.
    eventually("a checkpoint", async || {
        client.run(&["INSERT INTO s VALUES (1, 1)"]).await;
        let made = "SELECT count(*) FROM weir.jobs WHERE checkpoint_at IS NOT NULL";
        match client.number(made).await {
            1 => Ok(()),
            _ => Err("none was made".to_owned()),
        }
    })
    .await;
    let running = running.kill().start();
    let client = running.client();
    client.run(&["INSERT INTO s VALUES (2, 2)", "FLUSH"]).await;
    let read = client.number("SELECT rows_read FROM weir.jobs").await;
    assert!(read < 1000, "{read} rows were read again");
    let difference = format!("SELECT count(*) FROM ((SELECT * FROM m) EXCEPT ALL ({view})) AS d");
    assert_eq!(client.number(&difference).await, 0);
    running.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_that_is_larger_than_memory_goes_to_disk() {
    let running = Server::builder()
        .env("WEIR_LIMITS_VIEW_MEMORY", "24MB")
        .start();
    let client = running.client();
    // 200,000 groups take more than 12 MB; the view has one row.
    client
        .run(&[
            "CREATE STREAM s (k BIGINT, v BIGINT)",
            "CREATE MATERIALIZED VIEW m AS SELECT count(*) AS groups, sum(n) AS rows, sum(s) AS total \
             FROM (SELECT k, count(*) AS n, sum(v) AS s FROM s GROUP BY k) AS g",
        ])
        .await;
    for round in 0..4 {
        let insert = format!(
            "INSERT INTO s SELECT (i * 7919 + {round} * 50000) % 200000, i FROM generate_series(1, 100000) AS g(i)"
        );
        client.run(&[insert.as_str(), "FLUSH"]).await;
    }
    let state = "SELECT state_bytes FROM weir.jobs WHERE disk_bytes > 0";
    let state = client.number(state).await;
    assert!(state < 24 << 20, "{state} bytes in memory");
    let same = "SELECT count(*) FROM m WHERE groups = (SELECT count(DISTINCT k) FROM s) \
                AND rows = (SELECT count(*) FROM s) AND total = (SELECT sum(v) FROM s)";
    assert_eq!(client.number(same).await, 1);
    running.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_that_many_give_queries_at_once_has_that_of_one_of_them() {
    let mut running = server()
        .env("WEIR_VIEWS_CHECKPOINT_INTERVAL", "20ms")
        .start();
    let query =
        |least: usize| format!("SELECT k, count(*) AS n FROM s WHERE v >= {least} GROUP BY k");
    running
        .client()
        .run(&[
            "CREATE STREAM s (id BIGINT, k BIGINT, v BIGINT) WITH (partitions = 2)",
            &format!("CREATE MATERIALIZED VIEW m AS {}", query(0)),
            "CREATE MATERIALIZED VIEW total AS SELECT sum(n) AS n FROM m",
        ])
        .await;
    for round in 0..rounds() / 2 {
        let altering = (0..3usize).map(|who| {
            let client = running.client();
            tokio::spawn(async move {
                for at in 0..4 {
                    let alter = format!("ALTER MATERIALIZED VIEW m AS {}", query((who + at) % 7));
                    if let Some(Err(problem)) = client.try_sql(&alter).await {
                        // Whoever comes while it is being computed is told so.
                        assert_eq!(problem.sqlstate(), "55006", "{}", problem.detail());
                    }
                }
            })
        });
        let altering: Vec<_> = altering.collect();
        for at in 0..10 {
            let first = i64::from(round) * 1000 + at * 20;
            let rows = (first..first + 20).map(|id| format!("({id}, {}, {})", id % 5, id % 11));
            let insert = format!(
                "INSERT INTO s VALUES {}",
                rows.collect::<Vec<_>>().join(", ")
            );
            running.client().run(&[insert.as_str()]).await;
        }
        for task in altering {
            task.await.unwrap();
        }
        running = running.kill().start();
        let client = running.client();
        client.run(&["FLUSH"]).await;
        let definition = "SELECT definition FROM weir.materialized_views WHERE name = 'm'";
        let definition = client.value(definition).await;
        let definition = definition.as_str().unwrap();
        let difference = format!(
            "SELECT count(*) FROM ((SELECT * FROM m EXCEPT ALL ({definition})) UNION ALL (({definition}) EXCEPT ALL SELECT * FROM m)) AS d"
        );
        assert_eq!(client.number(&difference).await, 0, "{definition}");
        let same = "SELECT count(*) FROM total WHERE n = (SELECT sum(n) FROM m)";
        assert_eq!(client.number(same).await, 1);
    }
    running.stop();
}
