//! A table's changes, one by one: after a crash it is what the acknowledged statements made of it.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::Rng;
use rand::rngs::SmallRng;
use weir_tests::Client;

use super::{random, rounds};

type Model = BTreeMap<i64, i64>;

/// A statement, and what it makes of the table if it happens.
fn change(random: &mut SmallRng, model: &Model) -> (String, Model) {
    let mut after = model.clone();
    let key = random.random_range(0..50_i64);
    let value = random.random_range(0..1000_i64);
    let sql = match random.random_range(0..5) {
        0 if !model.contains_key(&key) => {
            after.insert(key, value);
            format!("INSERT INTO t VALUES ({key}, {value})")
        }
        0 | 1 => {
            after.insert(key, value);
            after.insert(key + 1, value);
            format!(
                "INSERT INTO t VALUES ({key}, {value}), ({}, {value}) ON CONFLICT (k) DO UPDATE SET v = excluded.v",
                key + 1
            )
        }
        2 => {
            for (k, v) in &mut after {
                if k % 3 == key % 3 {
                    *v += 1;
                }
            }
            format!("UPDATE t SET v = v + 1 WHERE k % 3 = {}", key % 3)
        }
        3 => {
            after.retain(|k, _| k % 7 != key % 7);
            format!("DELETE FROM t WHERE k % 7 = {}", key % 7)
        }
        _ => {
            after.remove(&key);
            format!("DELETE FROM t WHERE k = {key}")
        }
    };
    (sql, after)
}

async fn contents(client: &Client) -> Model {
    let rows = client.rows("SELECT k, v FROM t").await;
    let count = rows.rows.len();
    let model: Model = rows
        .rows
        .into_iter()
        .map(|row| (row[0].as_i64().unwrap(), row[1].as_i64().unwrap()))
        .collect();
    assert_eq!(model.len(), count, "a key is there twice");
    model
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_is_what_its_acknowledged_statements_made_of_it() {
    let mut random = random("table changes");
    let mut server = super::server().start();
    server
        .client()
        .run(&["CREATE TABLE t (k BIGINT PRIMARY KEY, v BIGINT)"])
        .await;
    let mut model = Model::new();
    let mut statements = 0;
    for _ in 0..rounds() {
        let client = server.client();
        let moment = tokio::time::sleep(Duration::from_millis(random.random_range(0..400)));
        let changes = async {
            loop {
                let (sql, after) = change(&mut random, &model);
                match client.try_sql(&sql).await {
                    Some(Ok(_)) => model = after,
                    Some(Err(problem)) => {
                        assert!(problem.status >= 500, "{sql}: {problem}");
                        return (sql, after);
                    }
                    None => return (sql, after),
                }
                statements += 1;
            }
        };
        let end = async {
            moment.await;
            server.kill()
        };
        let ((sql, unanswered), builder) = tokio::join!(changes, end);
        server = builder.start();
        let found = contents(&server.client()).await;
        assert!(
            found == model || found == unanswered,
            "after {sql}\nfound {found:?}\nnot   {model:?}\nnor   {unanswered:?}"
        );
        model = found;
    }
    eprintln!("{statements} statements");
    server.stop();
}
