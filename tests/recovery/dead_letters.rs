//! Records that cannot be decoded are copied once each, whenever the server is killed.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::Rng;
use weir_tests::Client;
use weir_tests::wait::{check, eventually};

use super::{random, rounds, server};

/// A record's partition and offset.
type Place = (i64, i64);

/// The bad records of the source, with their values.
async fn bad(client: &Client) -> BTreeMap<Place, String> {
    let sql = "SELECT w._partition, w._offset, CAST(w._value AS TEXT) FROM wire w JOIN judged j \
               ON w._partition = j._partition AND w._offset = j._offset WHERE j._error IS NOT NULL";
    let rows = client.rows(sql).await;
    let place = |row: &[serde_json::Value]| {
        let place = (row[0].as_i64().unwrap(), row[1].as_i64().unwrap());
        (place, row[2].as_str().unwrap().to_owned())
    };
    rows.rows.iter().map(|row| place(row)).collect()
}

/// What was copied, each with the place that its headers name.
async fn copied(client: &Client) -> Vec<(Place, String)> {
    let sql = "SELECT CAST(_headers[3]['value'] AS TEXT), CAST(_headers[4]['value'] AS TEXT), CAST(_value AS TEXT) \
               FROM \"wire.dead_letter\"";
    let rows = client.rows(sql).await;
    let number = |value: &serde_json::Value| value.as_str().unwrap().parse().unwrap();
    let letter = |row: &[serde_json::Value]| {
        let place = (number(&row[0]), number(&row[1]));
        (place, row[2].as_str().unwrap().to_owned())
    };
    rows.rows.iter().map(|row| letter(row)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_is_copied_once() {
    let mut random = random("dead letters");
    let mut running = server().start();
    running
        .client()
        .run(&[
            "CREATE STREAM wire WITH (format = 'raw', partitions = 3)",
            "CREATE STREAM judged (a INT NOT NULL) WITH (topic = 'wire')",
            "CREATE STREAM good (a INT NOT NULL) WITH (topic = 'wire', on_error = 'dead_letter')",
        ])
        .await;
    let mut number = 0;
    for _ in 0..rounds() {
        let client = running.client();
        for _ in 0..random.random_range(1..6) {
            let values: Vec<String> = (0..random.random_range(1..400))
                .map(|_| {
                    number += 1;
                    match random.random_range(0..3) {
                        0 => format!("('{{\"a\":{number}}}')"),
                        1 => format!("('{{\"a\":\"x{number}\"}}')"),
                        _ => format!("('junk {number}')"),
                    }
                })
                .collect();
            let insert = format!("INSERT INTO wire VALUES {}", values.join(", "));
            client.run(&[&insert]).await;
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(0..120))).await;
        running = running.kill().start();
    }
    let client = running.client();
    let wanted = bad(&client).await;
    assert!(!wanted.is_empty());
    let letters = eventually("all bad records are copied", async || {
        let letters = copied(&client).await;
        let count = letters.len();
        check(
            count >= wanted.len(),
            format!("{count} of {}", wanted.len()),
        )
        .map(|()| letters)
    })
    .await;
    assert_eq!(letters.len(), wanted.len(), "none is copied twice");
    assert_eq!(letters.into_iter().collect::<BTreeMap<_, _>>(), wanted);
    let rows = client.number("SELECT count(*) FROM good").await;
    let all = client
        .number("SELECT count(*) FROM judged WHERE _error IS NULL")
        .await;
    assert_eq!(rows, all);
    running.stop();
}
