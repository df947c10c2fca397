//! Statements that were acknowledged are there after a crash; each is there whole or not at all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::Rng;
use weir_tests::{Client, Server, ServerBuilder};

use super::{ends_at, random, rounds};

/// What is known of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    There,
    /// With the one row that was written into it.
    Filled,
    Gone,
    /// The statement that would tell was not answered.
    Unknown,
}

type Known = Arc<Mutex<BTreeMap<String, State>>>;

/// Creates things, writes a row into each that takes one, and drops every fourth again, until the server is gone.
async fn change(client: Client, mut number: u64, known: Known) -> u64 {
    loop {
        number += 1;
        let kinds = ["STREAM", "TABLE", "VIEW"];
        let kind = kinds[usize::try_from(number).unwrap() % 3];
        let name = format!("{}_{number}", kind.to_lowercase());
        let create = match kind {
            "STREAM" => format!("CREATE STREAM {name} (a INT) WITH (partitions = 2)"),
            "TABLE" => format!("CREATE TABLE {name} (a INT PRIMARY KEY)"),
            _ => format!("CREATE VIEW {name} AS SELECT {number} AS a"),
        };
        if !run(&client, &create, &name, State::There, &known).await {
            return number;
        }
        if kind != "VIEW" {
            let insert = format!("INSERT INTO {name} VALUES (0)");
            match client.try_sql(&insert).await {
                Some(Ok(_)) => known.lock().insert(name.clone(), State::Filled),
                Some(Err(problem)) => {
                    assert!(problem.status >= 500, "{insert}: {problem}");
                    return number;
                }
                None => return number,
            };
        }
        if number.is_multiple_of(4)
            && !run(
                &client,
                &format!("DROP {kind} {name}"),
                &name,
                State::Gone,
                &known,
            )
            .await
        {
            return number;
        }
    }
}

async fn run(client: &Client, sql: &str, name: &str, then: State, known: &Known) -> bool {
    known.lock().insert(name.to_owned(), State::Unknown);
    match client.try_sql(sql).await {
        Some(Ok(_)) => {
            known.lock().insert(name.to_owned(), then);
            true
        }
        Some(Err(problem)) => {
            assert!(problem.status >= 500, "{sql}: {problem}");
            false
        }
        None => false,
    }
}

async fn check(client: &Client, known: &Known) {
    let rows = client
        .rows("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        .await;
    let there: Vec<&str> = rows.rows.iter().filter_map(|row| row[0].as_str()).collect();
    let mut known = known.lock().clone();
    let mut found = BTreeMap::new();
    for name in &there {
        let state = known.remove(*name);
        assert!(
            matches!(state, Some(State::There | State::Filled | State::Unknown)),
            "{name} is there and should not be: {state:?}"
        );
        found.insert(*name, state);
    }
    for (name, state) in &known {
        assert!(
            !matches!(state, State::There | State::Filled),
            "{name} was acknowledged and is gone"
        );
    }
    // Each that is there works, whole.
    for (name, state) in found {
        let count = client.number(&format!("SELECT count(a) FROM {name}")).await;
        if name.starts_with("view") {
            assert_eq!(count, 1, "{name}");
            continue;
        }
        let rows = if state == Some(State::Filled) {
            1..=1
        } else {
            0..=1
        };
        assert!(rows.contains(&count), "{name} has {count} rows: {state:?}");
        client
            .run(&[&format!("INSERT INTO {name} VALUES ({count})")])
            .await;
        let after = client.number(&format!("SELECT count(a) FROM {name}")).await;
        assert_eq!(after, count + 1, "{name}");
    }
    for name in known.keys() {
        // A name that is not there is free.
        let client = client.clone();
        let Some((kind, _)) = name.split_once('_') else {
            continue;
        };
        if kind == "view" {
            client
                .run(&[
                    &format!("CREATE VIEW {name} AS SELECT 1 AS a"),
                    &format!("DROP VIEW {name}"),
                ])
                .await;
        } else {
            client
                .run(&[
                    &format!("CREATE {kind} {name} (a INT)"),
                    &format!("DROP {kind} {name}"),
                ])
                .await;
        }
    }
}

/// Forgets what cannot be known, by what is there.
async fn settle(client: &Client, known: &Known) {
    let rows = client
        .rows("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        .await;
    let mut known = known.lock();
    for (name, state) in known.iter_mut() {
        if *state == State::Unknown {
            let there = rows.rows.iter().any(|row| row[0] == name.as_str());
            *state = if there { State::There } else { State::Gone };
        }
    }
    known.retain(|_, state| matches!(state, State::There | State::Filled));
}

async fn round(
    server: Server,
    number: &mut u64,
    known: &Known,
    end: impl AsyncFnOnce(Server) -> ServerBuilder,
) -> Server {
    let changing = tokio::spawn(change(server.client(), *number, known.clone()));
    let builder = end(server).await;
    *number = changing.await.unwrap();
    let server = builder.without_env().start();
    check(&server.client(), known).await;
    settle(&server.client(), known).await;
    // So that a long run does not slow down with the number of things.
    let names: Vec<String> = known.lock().keys().cloned().collect();
    for name in names {
        let kind = name.split('_').next().unwrap_or_default();
        server.client().run(&[&format!("DROP {kind} {name}")]).await;
    }
    known.lock().clear();
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_random_moments() {
    let mut random = random("ddl at random moments");
    let known = Known::default();
    let mut number = 0;
    let mut server = super::server().start();
    for _ in 0..rounds() {
        let moment = Duration::from_millis(random.random_range(0..400));
        server = round(server, &mut number, &known, async |server| {
            tokio::time::sleep(moment).await;
            server.kill()
        })
        .await;
    }
    eprintln!("{number} statements");
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ended_at_fail_points() {
    let mut random = random("ddl at fail points");
    let known = Known::default();
    let mut number = 0;
    let mut next = super::server().start().stop();
    let points = [
        "catalog::before_commit",
        "catalog::after_commit",
        "topics::before_sync",
    ];
    for at in 0..rounds() {
        let point = points[usize::try_from(at).unwrap() % points.len()];
        let nth = random.random_range(0..if point.starts_with("topics") { 3 } else { 15 });
        let server = ends_at(next, point, nth).start();
        let server = round(server, &mut number, &known, async |server| {
            let (_, builder) = server.wait_for_end();
            builder
        })
        .await;
        next = server.stop();
    }
    eprintln!("{number} statements");
}
