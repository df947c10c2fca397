//! A live query that remembers rows goes on over crashes: no change is missed, and none comes twice.

use std::collections::BTreeMap;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use weir_tests::client::media;
use weir_tests::live::Lines;
use weir_tests::{Client, Problem, Server, wait};

use super::envelopes::rows;

const ROUNDS: u64 = 6;
const QUERY: &str = "SELECT m.g, m.total, m.n, u.name FROM m JOIN u ON u.g = m.g";

/// What a reader knows: the row of each key.
#[derive(Default)]
struct Reader {
    rows: BTreeMap<i64, Value>,
    token: Option<String>,
}

impl Reader {
    async fn connect(&self, client: &Client, envelope: &str) -> Lines {
        let query = format!("{QUERY} EMIT CHANGES");
        let mut body = json!({ "query": query, "envelope": envelope });
        if let Some(token) = &self.token {
            body["resume"] = json!(token);
        }
        Lines::of(client.send(client.query_body(&body, media::SSE)).await).await
    }

    async fn read(&mut self, live: &mut Lines) {
        let (changes, token) = rows(live).await;
        for change in changes.as_array().unwrap() {
            self.apply(change);
        }
        self.token = token;
    }

    /// A row takes the place of what was known under its key: of nothing, if it is a `fresh` one.
    fn come(&mut self, row: &Value, fresh: bool) {
        let key = row["g"].as_i64().unwrap();
        let old = self.rows.insert(key, row.clone());
        assert!(!fresh || old.is_none(), "{row} came over {old:?}");
    }

    /// Takes one change, which must fit what is known.
    fn apply(&mut self, change: &Value) {
        let key = |row: &Value| row["g"].as_i64().unwrap();
        if let Some(operation) = change["op"].as_str() {
            if !change["before"].is_null() {
                let before = &change["before"];
                assert_eq!(self.rows.get(&key(before)), Some(before), "{change}");
            }
            match operation {
                "c" => self.come(&change["after"], true),
                "u" => self.come(&change["after"], false),
                "d" => drop(self.rows.remove(&key(&change["before"]))),
                other => panic!("{other}"),
            }
            return;
        }
        let mut row = change.clone();
        let operation = row.as_object_mut().unwrap().remove("_op").unwrap();
        match operation.as_str().unwrap() {
            "insert" => self.come(&row, true),
            "update_after" | "upsert" => self.come(&row, false),
            "update_before" => assert_eq!(self.rows.get(&key(&row)), Some(&row)),
            "delete" => {
                let gone = self.rows.remove(&key(&row));
                let gone = gone.unwrap_or_else(|| panic!("{row} went and was not there"));
                assert!(row["total"].is_null() || row == gone, "{row}, not {gone}");
            }
            other => panic!("{other}"),
        }
    }
}

/// Writes until the server is gone.
async fn write(client: Client, seed: u64) {
    let mut random = SmallRng::seed_from_u64(seed);
    loop {
        let (id, g, v) = (
            random.random_range(0..40),
            random.random_range(0..6),
            random.random_range(0..100),
        );
        let statement = match random.random_range(0..6) {
            0 => format!("DELETE FROM t WHERE id = {id}"),
            1 => format!("UPDATE t SET g = {g} WHERE id % 7 = {}", id % 7),
            2 => format!("DELETE FROM u WHERE g = {g}"),
            3 => format!(
                "INSERT INTO u VALUES ({g}, 'name {v}') ON CONFLICT (g) DO UPDATE SET name = excluded.name"
            ),
            _ => format!(
                "INSERT INTO t VALUES ({id}, {g}, {v}) ON CONFLICT (id) DO UPDATE SET g = excluded.g, v = excluded.v"
            ),
        };
        match client.try_sql(&statement).await {
            None => return,
            Some(Err(problem)) if problem.status >= 500 => return,
            Some(answer) => drop(answer.unwrap()),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_are_neither_missed_nor_doubled() {
    let seed = rand::random::<u64>();
    println!("seed {seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let mut server = Server::start();
    server
        .client()
        .run(&[
            "CREATE TABLE t (id BIGINT PRIMARY KEY, g BIGINT, v BIGINT)",
            "CREATE TABLE u (g BIGINT PRIMARY KEY, name TEXT)",
            "CREATE MATERIALIZED VIEW m AS SELECT g, sum(v) AS total, count(*) AS n FROM t GROUP BY g",
            "INSERT INTO t VALUES (1, 1, 1), (2, 2, 2)",
            "INSERT INTO u VALUES (1, 'one'), (2, 'two')",
            "FLUSH",
        ])
        .await;
    let mut reader = Reader::default();
    for round in 0..ROUNDS {
        let client = server.client();
        let writing = tokio::spawn(write(client.clone(), seed.wrapping_add(round)));
        let envelope = ["changelog", "upsert", "debezium"][random.random_range(0..3)];
        let mut live = reader.connect(&client, envelope).await;
        for _ in 0..random.random_range(1..30) {
            reader.read(&mut live).await;
        }
        // Whatever else was on its way to the reader is lost, and its token with it.
        drop(live);
        let killed = server.kill();
        writing.await.unwrap();
        server = killed.start();
    }
    let client = server.client();
    client
        .run(&[
            "INSERT INTO t VALUES (1000, 1000, 1)",
            "INSERT INTO u VALUES (1000, 'last')",
            "FLUSH",
        ])
        .await;
    let answer = client
        .rows(&format!(
            "SELECT g, total, n, name FROM ({QUERY}) ORDER BY g"
        ))
        .await;
    let answer: BTreeMap<i64, Value> = answer
        .rows
        .iter()
        .map(|row| {
            let named = json!({ "g": row[0], "total": row[1], "n": row[2], "name": row[3] });
            (row[0].as_i64().unwrap(), named)
        })
        .collect();
    let mut live = reader.connect(&client, "changelog").await;
    while reader.rows != answer {
        reader.read(&mut live).await;
    }
    drop(live);
    server.stop();
}

#[tokio::test]
async fn the_token_of_another_query_is_refused() {
    let server = Server::start();
    let client = server.client();
    client
        .run(&[
            "CREATE STREAM s (k BIGINT)",
            "CREATE TABLE t (k BIGINT PRIMARY KEY)",
            "INSERT INTO s VALUES (1)",
            "INSERT INTO t VALUES (1)",
        ])
        .await;
    let of_token = async |query: &str| {
        let request = client.query(&format!("{query} EMIT CHANGES"), media::SSE);
        let mut live = Lines::of(client.send(request).await).await;
        rows(&mut live).await.1.unwrap()
    };
    let resume = async |query: &str, token: &str| {
        let body = json!({ "query": format!("{query} EMIT CHANGES"), "resume": token });
        client.send(client.query_body(&body, media::SSE)).await
    };
    const COUNT: &str = "SELECT k, count(*) AS n FROM s GROUP BY k";
    let (of_count, of_rows, of_table) = (
        of_token(COUNT).await,
        of_token("SELECT k FROM s").await,
        of_token("SELECT k FROM t").await,
    );
    assert!(resume(COUNT, &of_count).await.status().is_success());
    // A place in a topic is one for any query that remembers nothing.
    assert!(
        resume("SELECT k + 1 AS l FROM s", &of_rows)
            .await
            .status()
            .is_success()
    );
    for (query, token) in [
        (
            "SELECT k, count(*) AS m FROM s WHERE k > 0 GROUP BY k",
            &of_count,
        ),
        ("SELECT k FROM s", &of_count),
        (COUNT, &of_rows),
        (COUNT, &of_table),
        ("SELECT k FROM t WHERE k > 1", &of_table),
    ] {
        let problem = Problem::of(resume(query, token).await).await;
        assert_eq!(problem.status, 400, "{query} at {token}: {problem}");
        assert!(problem.to_string().contains("resume token"), "{problem}");
    }
    // Nor is that of a table which is another by now.
    client
        .run(&[
            "DROP TABLE t",
            "CREATE TABLE t (k BIGINT PRIMARY KEY)",
            "INSERT INTO t VALUES (1), (2)",
        ])
        .await;
    let problem = Problem::of(resume("SELECT k FROM t", &of_table).await).await;
    assert!(
        problem.to_string().contains("of another query"),
        "{problem}"
    );
    server.stop();
}

#[tokio::test]
async fn an_answer_whose_rows_are_gone_cannot_be_gone_on_with() {
    let server = Server::builder()
        .config("[topics]\nsegment_bytes = \"4 kB\"\nupkeep_interval = \"50ms\"\n")
        .start();
    let client = server.client();
    client
        .run(&["CREATE STREAM s (k BIGINT, filling TEXT)"])
        .await;
    let filling = "x".repeat(3000);
    let insert = format!("INSERT INTO s VALUES (1, '{filling}')");
    client.run(&[&insert, &insert]).await;
    const COUNT: &str = "SELECT k, count(*) AS n FROM s GROUP BY k EMIT CHANGES";
    let mut live = Lines::of(client.send(client.query(COUNT, media::SSE)).await).await;
    let token = rows(&mut live).await.1.unwrap();
    drop(live);
    client
        .run(&["ALTER STREAM s SET (\"retention.bytes\" = 1)", &insert])
        .await;
    let body = json!({ "query": COUNT, "resume": token });
    wait::eventually("the rows are gone", async || {
        let answer = client.send(client.query_body(&body, media::SSE)).await;
        if answer.status().is_success() {
            return wait::check(false, "it went on".to_owned());
        }
        let problem = Problem::of(answer).await;
        wait::check(
            problem.status == 404 && problem.to_string().contains("that are gone"),
            problem.to_string(),
        )
    })
    .await;
    server.stop();
}
