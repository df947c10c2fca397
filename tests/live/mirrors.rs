//! Tables that somebody else owns, as a topic's records tell of them: read, followed, and kept in views.

use std::collections::BTreeMap;

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use weir_tests::client::media;
use weir_tests::kafka::{Batch, KafkaClient};
use weir_tests::live::Lines;
use weir_tests::{Client, Server};

use super::envelopes::rows;

const PARTITIONS: i32 = 3;

#[derive(Debug, Clone, Copy)]
enum Form {
    Debezium,
    Upsert,
}

/// Somebody else's table `(id, g, v)`, and how it is told of.
struct Source {
    form: Form,
    rows: BTreeMap<i64, (i64, Option<i64>)>,
    random: SmallRng,
}

impl Source {
    fn row(id: i64, (g, v): (i64, Option<i64>)) -> Value {
        json!({ "id": id, "g": g, "v": v, "ignored": { "x": [1] } })
    }

    /// Changes a row, and gives the records that say so.
    fn change(&mut self) -> Vec<(i64, Option<Value>)> {
        let id = self.random.random_range(0..30);
        let old = self.rows.get(&id).copied();
        if self.random.random_range(0..4) == 0 {
            self.rows.remove(&id);
            return match (self.form, old) {
                (Form::Upsert, _) => vec![(id, None)],
                (Form::Debezium, None) => vec![(id, None)],
                (Form::Debezium, Some(old)) => {
                    let event = json!({ "before": Self::row(id, old), "after": null, "op": "d" });
                    // A tombstone follows.
                    vec![(id, Some(event)), (id, None)]
                }
            };
        }
        let v = self.random.random_range(0..20);
        let new = (self.random.random_range(0..4), (v > 0).then_some(v));
        self.rows.insert(id, new);
        let after = Self::row(id, new);
        match self.form {
            Form::Upsert => vec![(id, Some(after))],
            Form::Debezium => {
                let before = old.map(|old| Self::row(id, old));
                let op = match (&before, self.random.random_bool(0.2)) {
                    (None, true) => "r",
                    (None, false) => "c",
                    (Some(_), _) => "u",
                };
                let event = json!({ "before": before, "after": after, "source": { "db": "d" }, "op": op, "ts_ms": 1 });
                match self.random.random_bool(0.5) {
                    true => vec![(
                        id,
                        Some(json!({ "schema": { "type": "struct" }, "payload": event })),
                    )],
                    false => vec![(id, Some(event))],
                }
            }
        }
    }

    async fn produce(&mut self, server: &Server, topic: &str, changes: usize) {
        let mut batches: BTreeMap<i32, Batch> = BTreeMap::new();
        for _ in 0..changes {
            for (id, value) in self.change() {
                let partition = i32::try_from(id).unwrap() % PARTITIONS;
                let key = Bytes::from(id.to_string());
                let value = value.map(|value| Bytes::from(value.to_string()));
                let batch = batches.entry(partition);
                let batch = batch.or_insert_with(|| Batch::of([]));
                batch.records.push((Some(key), value));
            }
        }
        let mut kafka = KafkaClient::connect(&server.kafka()).await.unwrap();
        for (partition, batch) in batches {
            kafka.produce(topic, partition, &batch).await.unwrap();
        }
    }

    fn answer(&self) -> Vec<Value> {
        let rows = self.rows.iter();
        rows.map(|(id, (g, v))| json!([id, g, v])).collect()
    }

    /// `(g, count, sum)` of each group.
    fn groups(&self) -> Vec<Value> {
        let mut groups: BTreeMap<i64, (i64, Option<i64>)> = BTreeMap::new();
        for (g, v) in self.rows.values() {
            let (n, sum) = groups.entry(*g).or_default();
            *n += 1;
            if let Some(v) = v {
                *sum = Some(sum.unwrap_or(0) + v);
            }
        }
        let groups = groups.into_iter();
        groups.map(|(g, (n, sum))| json!([g, n, sum])).collect()
    }
}

async fn all(client: &Client, sql: &str) -> Vec<Value> {
    let rows = client.rows(sql).await.rows.into_iter();
    rows.map(|row| json!(row)).collect()
}

/// Reads upserts until a reader has `wanted`, a row under each key.
async fn until(
    live: &mut Lines,
    known: &mut BTreeMap<i64, Value>,
    wanted: &[Value],
) -> Option<String> {
    let mut token = None;
    while !known.values().eq(wanted) {
        let (changes, last) = rows(live).await;
        for change in changes.as_array().unwrap() {
            let g = change["g"].as_i64().unwrap();
            match change["_op"].as_str().unwrap() {
                "upsert" => drop(known.insert(g, json!([g, change["n"], change["sum"]]))),
                "delete" => drop(known.remove(&g).expect("it was there")),
                other => panic!("{other}"),
            }
        }
        token = last;
    }
    token
}

async fn follows_its_source(form: Form) {
    let seed = rand::random::<u64>();
    println!("seed {seed}");
    let mut source = Source {
        form,
        rows: BTreeMap::new(),
        random: SmallRng::seed_from_u64(seed),
    };
    let mut server = Server::builder().kafka().start();
    let format = match form {
        Form::Debezium => "debezium_json",
        Form::Upsert => "upsert",
    };
    server
        .client()
        .run(&[
            &format!("CREATE STREAM t (id BIGINT PRIMARY KEY, g BIGINT NOT NULL, v BIGINT) WITH (format = '{format}', partitions = {PARTITIONS})"),
            "CREATE MATERIALIZED VIEW m AS SELECT g, count(*) AS n, sum(v) AS sum FROM t GROUP BY g",
        ])
        .await;
    const LIVE: &str = "SELECT g, count(*) AS n, sum(v) AS sum FROM t GROUP BY g EMIT CHANGES";
    let mut token = None;
    let mut known = BTreeMap::new();
    for round in 0..4 {
        let client = server.client();
        let mut body = json!({ "query": LIVE, "envelope": "upsert" });
        if let Some(token) = &token {
            body["resume"] = json!(token);
        }
        let mut live = Lines::of(client.send(client.query_body(&body, media::SSE)).await).await;
        for _ in 0..5 {
            let changes = source.random.random_range(1..40);
            source.produce(&server, "t", changes).await;
            client.run(&["FLUSH"]).await;
            assert_eq!(
                all(&client, "SELECT id, g, v FROM t ORDER BY id").await,
                source.answer()
            );
            assert_eq!(
                all(&client, "SELECT g, n, sum FROM m ORDER BY g").await,
                source.groups()
            );
        }
        token = until(&mut live, &mut known, &source.groups())
            .await
            .or(token);
        drop(live);
        server = match round % 2 {
            0 => server.kill().start(),
            _ => server.stop().start(),
        };
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn debezium_events_are_the_rows_of_their_source() {
    follows_its_source(Form::Debezium).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upserts_are_the_rows_of_their_source() {
    follows_its_source(Form::Upsert).await;
}

#[tokio::test]
async fn a_wrong_record_is_refused_or_left_out_as_the_policy_says() {
    let server = Server::builder().kafka().start();
    let client = server.client();
    let columns = "(id BIGINT PRIMARY KEY, name TEXT NOT NULL)";
    client
        .run(&[
            &format!("CREATE STREAM strict {columns} WITH (format = 'debezium_json')"),
            &format!(
                "CREATE STREAM lenient {columns} WITH (format = 'debezium_json', on_error = 'skip')"
            ),
            &format!(
                "CREATE STREAM letters {columns} WITH (format = 'upsert', on_error = 'dead_letter')"
            ),
        ])
        .await;
    let good = r#"{"op":"c","before":null,"after":{"id":1,"name":"one"}}"#;
    let without_name = r#"{"op":"c","before":null,"after":{"id":2}}"#;
    let mut kafka = KafkaClient::connect(&server.kafka()).await.unwrap();
    let mut produce = async |topic: &str, records: &[(Option<&str>, &str)]| {
        let records = records.iter().map(|(key, value)| {
            let bytes = |text: &str| Bytes::from(text.to_owned());
            (key.map(bytes), Some(bytes(value)))
        });
        let batch = Batch {
            records: records.collect(),
            ..Batch::of([])
        };
        kafka.produce(topic, 0, &batch).await
    };
    produce("strict", &[(None, good)]).await.unwrap();
    // Nothing wrong comes in where it would be an error to read it.
    produce("strict", &[(None, without_name)])
        .await
        .unwrap_err();
    assert_eq!(
        all(&client, "SELECT * FROM strict").await,
        [json!([1, "one"])]
    );
    produce(
        "lenient",
        &[
            (None, good),
            (None, without_name),
            (None, "junk"),
            (None, r#"{"op":"t"}"#),
        ],
    )
    .await
    .unwrap();
    assert_eq!(
        all(&client, "SELECT * FROM lenient").await,
        [json!([1, "one"])]
    );
    // An upsert has its key in the record's key.
    produce(
        "letters",
        &[
            (Some("7"), r#"{"name":"seven"}"#),
            (Some("x"), r#"{"name":"x"}"#),
            (None, r#"{"name":"none"}"#),
        ],
    )
    .await
    .unwrap();
    assert_eq!(
        all(&client, "SELECT * FROM letters").await,
        [json!([7, "seven"])]
    );
    weir_tests::wait::eventually("the others are copied", async || {
        let copied = client
            .number("SELECT count(*) FROM \"letters.dead_letter\"")
            .await;
        weir_tests::wait::check(copied == 2, copied)
    })
    .await;
    server.stop();
}
