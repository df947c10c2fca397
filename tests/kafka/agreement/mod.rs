//! A stream through its life, over both doors, beside a plain list: whatever is written by Kafka clients, SQL and REST, rolled,
//! converted, cut, retained, compacted, restarted and killed, SQL and a Kafka consumer agree with the list at every step.
//!
//! A few runs, and fifty with `WEIR_SOAK=1`. Each prints its seed; `WEIR_SEED` sets that of the first.

mod compacted;
mod model;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use reqwest::Method;
use serde_json::{Value, json};
use weir_tests::client::media;
use weir_tests::kafka::{Batch, Codec, Failed, KafkaClient, Producer};
use weir_tests::{Client, Server, ServerBuilder, eventually};

use self::compacted::Compacted;
use self::model::{Model, Place};
use crate::recovery;

const PARTITIONS: usize = 2;
const STEPS: usize = 30;
/// The code of a broker that is at it.
const CONCURRENT_TRANSACTIONS: i16 = 51;

/// What is done to the stream.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// A batch of a Kafka producer, idempotent or not.
    Produce {
        idempotent: bool,
    },
    /// A batch of one of two transactional producers.
    ProduceOpen(usize),
    End {
        transaction: usize,
        committed: bool,
    },
    Insert,
    Ingest,
    History(&'static str),
    AddColumn,
    DeleteRecords,
    Retain,
    Compact,
    Restart,
    Kill,
    KillWhileWriting,
    KillWhileEnding,
}

fn step(random: &mut SmallRng) -> Step {
    match random.random_range(0..100) {
        0..20 => Step::Produce { idempotent: false },
        20..32 => Step::Produce { idempotent: true },
        32..45 => Step::ProduceOpen(random.random_range(0..2)),
        45..55 => Step::End {
            transaction: random.random_range(0..2),
            committed: random.random_bool(0.6),
        },
        55..61 => Step::Insert,
        61..68 => Step::Ingest,
        68..74 => Step::History(["both", "parquet", "log"][random.random_range(0..3)]),
        74..76 => Step::AddColumn,
        76..80 => Step::DeleteRecords,
        80..82 => Step::Retain,
        82..88 => Step::Compact,
        88..91 => Step::Restart,
        91..94 => Step::Kill,
        94..98 => Step::KillWhileWriting,
        _ => Step::KillWhileEnding,
    }
}

pub(super) fn codec(random: &mut SmallRng) -> Codec {
    let codecs = [
        Codec::None,
        Codec::Gzip,
        Codec::Snappy,
        Codec::Lz4,
        Codec::Zstd,
    ];
    codecs[random.random_range(0..codecs.len())]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sql_and_kafka_agree_with_what_was_acknowledged() {
    let mut random = recovery::random("kafka::agreement");
    for _ in 0..recovery::rounds().div_ceil(2) + 1 {
        let mut world = World::new(random.clone()).await;
        for _ in 0..STEPS {
            let step = step(&mut world.random);
            eprintln!("  {step:?}");
            world.take(step).await;
            world.check().await;
        }
        world.finish().await;
        let seed: u64 = random.random();
        eprintln!("kafka::agreement: WEIR_SEED={seed}");
        random = SmallRng::seed_from_u64(seed);
    }
}

/// A writer to one or more partitions, that numbers what it writes.
#[derive(Debug)]
struct Writer {
    producer: Producer,
    sequences: BTreeMap<i64, i32>,
    is_open: bool,
}

/// The server and what is known of it.
struct World {
    server: Option<Server>,
    model: Model,
    compacted: Compacted,
    random: SmallRng,
    idempotent: Option<Writer>,
    transactional: [Option<Writer>; 2],
    columns: usize,
}

fn builder() -> ServerBuilder {
    recovery::server()
        .kafka()
        .env("WEIR_HISTORY_INTERVAL", "20ms")
        .env("WEIR_TOPICS_UPKEEP_INTERVAL", "50ms")
}

fn row(n: i64, padding: usize) -> String {
    let padding = "x".repeat(padding);
    json!({ "n": n, "padding": padding }).to_string()
}

impl World {
    async fn new(mut random: SmallRng) -> Self {
        let server = builder().start();
        let client = server.client();
        let history = ["both", "parquet", "log"][random.random_range(0..3)];
        let create = format!(
            "CREATE STREAM s (n BIGINT, padding TEXT) WITH (partitions = {PARTITIONS}, \"segment.bytes\" = 4096, history = '{history}')"
        );
        client.run(&[&create]).await;
        Compacted::create(&client).await;
        let mut model = Model::new(PARTITIONS);
        model.log_is_cut = history == "parquet";
        Self {
            server: Some(server),
            model,
            compacted: Compacted::default(),
            random,
            idempotent: None,
            transactional: [None, None],
            columns: 0,
        }
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("it runs between steps")
    }

    fn client(&self) -> Client {
        self.server().client()
    }

    async fn kafka(&self) -> KafkaClient {
        let address = self.server().kafka();
        KafkaClient::connect(&address).await.expect("it listens")
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Produce { idempotent } => self.produce(idempotent).await,
            Step::ProduceOpen(transaction) => self.produce_open(transaction).await,
            Step::End {
                transaction,
                committed,
            } => self.end(transaction, committed, false).await,
            Step::Insert => self.insert().await,
            Step::Ingest => self.ingest().await,
            Step::History(mode) => {
                self.model.log_is_cut |= mode == "parquet";
                let alter = format!("ALTER STREAM s SET (history = '{mode}')");
                self.client().run(&[&alter]).await;
            }
            Step::AddColumn => {
                self.columns += 1;
                let column = self.columns;
                let alter = format!("ALTER STREAM s ADD COLUMN extra{column} INT DEFAULT {column}");
                self.client().run(&[&alter]).await;
            }
            Step::DeleteRecords => self.delete_records().await,
            Step::Retain => {
                self.model.retains = true;
                let bytes = self.random.random_range(20_000..60_000);
                let alter = format!("ALTER STREAM s SET (\"retention.bytes\" = {bytes})");
                self.client().run(&[&alter]).await;
            }
            Step::Compact => {
                let server = self.server.as_ref().expect("it runs between steps");
                self.compacted.produce(server, &mut self.random).await;
            }
            Step::Restart => self.restart(Server::stop),
            Step::Kill => self.restart(Server::kill),
            Step::KillWhileWriting => self.kill_while_writing().await,
            Step::KillWhileEnding => {
                let open = self
                    .transactional
                    .iter()
                    .position(|writer| writer.as_ref().is_some_and(|writer| writer.is_open));
                match open {
                    Some(transaction) => self.end(transaction, true, true).await,
                    None => self.restart(Server::kill),
                }
            }
        }
    }

    fn restart(&mut self, end: impl FnOnce(Server) -> ServerBuilder) {
        let server = self.server.take().expect("it runs between steps");
        self.server = Some(end(server).start());
    }

    fn batch(&mut self) -> (i64, Vec<i64>, Batch) {
        let partition = self.random.random_range(0..self.model.partitions());
        let rows = self.random.random_range(1..40);
        let rows = self.model.take(rows);
        let padding = self.random.random_range(0..120);
        let is_keyed = self.random.random_bool(0.5);
        let records = rows.iter().map(|n| {
            let key = is_keyed.then(|| Bytes::from(format!("key {}", n % 7)));
            (key, Some(row(*n, padding).into()))
        });
        let batch = Batch {
            records: records.collect(),
            codec: codec(&mut self.random),
            ..Batch::of([])
        };
        (partition, rows, batch)
    }

    async fn produce(&mut self, idempotent: bool) {
        let mut kafka = self.kafka().await;
        let (partition, rows, mut batch) = self.batch();
        if idempotent {
            let mut writer = match self.idempotent.take() {
                Some(writer) => writer,
                None => Writer::new(kafka.init_producer(None).await.unwrap()),
            };
            writer.number(partition, &mut batch);
            self.idempotent = Some(writer);
        }
        let base = kafka.produce("s", partition as i32, &batch).await.unwrap();
        if idempotent {
            // A producer that did not hear the answer asks again.
            let again = kafka.produce("s", partition as i32, &batch).await.unwrap();
            assert_eq!(again, base, "a batch that was sent twice is there once");
        }
        self.model.placed(partition, base, &rows, None);
    }

    async fn produce_open(&mut self, transaction: usize) {
        let mut kafka = self.kafka().await;
        let (partition, rows, mut batch) = self.batch();
        let mut writer = match self.transactional[transaction].take() {
            Some(writer) => writer,
            None => {
                let id = format!("producer {transaction}");
                Writer::new(kafka.init_producer(Some(&id)).await.unwrap())
            }
        };
        writer.number(partition, &mut batch);
        writer.is_open = true;
        let base = kafka.produce("s", partition as i32, &batch).await.unwrap();
        self.transactional[transaction] = Some(writer);
        self.model.placed(partition, base, &rows, Some(transaction));
    }

    /// Ends a transaction, if there is one; perhaps the server is killed at it, and the producer asks again.
    async fn end(&mut self, transaction: usize, committed: bool, killed: bool) {
        let writer = self.transactional[transaction].take();
        let Some(writer) = writer.filter(|writer| writer.is_open) else {
            return;
        };
        let mut ended = None;
        if killed {
            let mut kafka = self.kafka().await;
            let producer = writer.producer.clone();
            let ending =
                tokio::spawn(async move { kafka.end_transaction(&producer, committed).await });
            let moment = Duration::from_micros(self.random.random_range(0..6000));
            tokio::time::sleep(moment).await;
            self.restart(Server::kill);
            match ending.await.unwrap() {
                Ok(producer) => ended = Some(producer),
                Err(Failed::Gone(_)) => {}
                Err(Failed::Code(code)) => panic!("the end of a transaction: {code}"),
            }
        }
        let producer = match ended {
            Some(producer) => producer,
            None => {
                let address = self.server().kafka();
                eventually("the transaction is ended", async || {
                    let mut kafka = KafkaClient::connect(&address).await.unwrap();
                    match kafka.end_transaction(&writer.producer, committed).await {
                        Err(Failed::Code(CONCURRENT_TRANSACTIONS)) => Err("it is under way"),
                        ended => Ok(ended.unwrap()),
                    }
                })
                .await
            }
        };
        self.transactional[transaction] = Some(Writer::new(producer));
        self.model.ended(transaction, committed);
    }

    async fn insert(&mut self) {
        let rows = self.random.random_range(1..20);
        let rows = self.model.take(rows);
        let values: Vec<String> = rows.iter().map(|n| format!("({n}, 'inserted')")).collect();
        let insert = format!("INSERT INTO s (n, padding) VALUES {}", values.join(", "));
        self.client().run(&[&insert]).await;
        self.model.acknowledged(&rows);
    }

    async fn ingest(&mut self) {
        let rows = self.random.random_range(1..40);
        let rows = self.model.take(rows);
        let body: Vec<String> = rows.iter().map(|n| row(*n, 20)).collect();
        self.client().ingest("s", body.join("\n")).await.unwrap();
        self.model.acknowledged(&rows);
    }

    async fn delete_records(&mut self) {
        let partition = self.random.random_range(0..self.model.partitions());
        let end = self.model.open_from(partition);
        let end = end.unwrap_or_else(|| self.model.end(partition));
        // Mostly a few, so that something is left; offsets before the log's start are asked for, too.
        let before = self.random.random_range(0..=end) / self.random.random_range(1..4);
        let mut kafka = self.kafka().await;
        let kept = kafka.delete_records("s", partition as i32, before).await;
        assert!(kept.unwrap() >= before);
        self.model.deleted(partition, before);
    }

    /// Writes by both doors until the server is killed.
    async fn kill_while_writing(&mut self) {
        let (client, mut kafka) = (self.client(), self.kafka().await);
        let mut placed = Vec::new();
        let mut acknowledged = Vec::new();
        let mut unanswered = Vec::new();
        let batches: Vec<_> = (0..200).map(|_| self.batch()).collect();
        let writing = tokio::spawn(async move {
            for (at, (partition, rows, batch)) in batches.into_iter().enumerate() {
                let is_done = if at % 2 == 0 {
                    match kafka.produce("s", partition as i32, &batch).await {
                        Ok(base) => {
                            placed.push((partition, base, rows));
                            continue;
                        }
                        Err(Failed::Gone(_)) => false,
                        Err(Failed::Code(code)) => panic!("a batch: {code}"),
                    }
                } else {
                    let body: Vec<String> = rows.iter().map(|n| row(*n, 10)).collect();
                    let request = client
                        .request(Method::POST, "/v1/topics/s/records")
                        .header("content-type", media::NDJSON)
                        .body(body.join("\n"));
                    let answer = request.send().await;
                    answer.is_ok_and(|answer| answer.status().is_success())
                };
                if !is_done {
                    unanswered.extend(rows);
                    break;
                }
                acknowledged.extend(rows);
            }
            (placed, acknowledged, unanswered)
        });
        let moment = Duration::from_millis(self.random.random_range(0..60));
        tokio::time::sleep(moment).await;
        self.restart(Server::kill);
        let (placed, acknowledged, unanswered) = writing.await.unwrap();
        self.model.acknowledged(&acknowledged);
        self.model.unanswered(&unanswered);
        for (partition, base, rows) in placed {
            self.model.placed(partition, base, &rows, None);
        }
    }

    async fn check(&mut self) {
        let client = self.client();
        let mut kafka = self.kafka().await;
        for partition in 0..self.model.partitions() {
            let all = kafka.read("s", partition as i32, 0, false).await.unwrap();
            let is_new = all
                .records
                .iter()
                .map(|it| ((partition, it.offset), &it.value));
            self.model
                .learn(is_new.map(|(place, value)| (place, number(value.as_ref()))));
        }
        let all = all(&client).await;
        self.model.learn(all.iter().copied());
        self.model.settle();
        self.model.check_query(&all);

        let before = if self.model.retains {
            all_of(&mut self.model, &client).await
        } else {
            all
        };
        let counted = client.number("SELECT count(*) FROM s").await;
        let filtered =
            "SELECT _partition, _offset, n FROM s WHERE n % 3 = 1 AND n >= 10 ORDER BY 1, 2";
        let filtered = places(client.rows(filtered).await.rows);
        let after = if self.model.retains {
            all_of(&mut self.model, &client).await
        } else {
            before.clone()
        };
        let most = before.len() as i64;
        assert!((after.len() as i64..=most).contains(&counted), "{counted}");
        let passes = |((_, _), n): &&(Place, i64)| n % 3 == 1 && *n >= 10;
        for row in before.iter().filter(passes) {
            let stays = after.contains(row);
            assert!(!stays || filtered.contains(row), "{row:?} is not found");
        }
        for row in &filtered {
            assert!(passes(&row) && before.contains(row), "{row:?} is found");
        }

        if !self.model.retains && !before.is_empty() {
            let limit = before.len();
            let live = format!("SELECT _partition, _offset, n FROM s EMIT CHANGES LIMIT {limit}");
            let live = client.body(&live, media::NDJSON).await;
            let live = live
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty());
            let live = live.map(|line| {
                let row: Value = serde_json::from_slice(line).unwrap();
                let values = ["_partition", "_offset", "n"].map(|name| row[name].clone());
                values.to_vec()
            });
            let mut live = places(live.collect());
            live.sort_unstable();
            assert_eq!(live, before, "a live query begins with what there is");
        }

        for partition in 0..self.model.partitions() {
            let read = kafka.read("s", partition as i32, 0, true).await.unwrap();
            let rows: Vec<_> = read
                .records
                .iter()
                .map(|it| ((partition, it.offset), number(it.value.as_ref())))
                .collect();
            self.model.check_consumer(partition, read.from, &rows);
            let stable = self.model.open_from(partition);
            assert_eq!(read.last_stable, stable.unwrap_or(read.high_watermark));
        }
        self.compacted.check(&client, &mut kafka).await;
    }

    /// Ends what is open, has everything converted, and looks again, also after a start.
    async fn finish(mut self) {
        for transaction in 0..2 {
            self.end(transaction, true, false).await;
        }
        self.take(Step::History("parquet")).await;
        let client = self.client();
        eventually("the closed segments are converted", async || {
            let open = "SELECT count(*) FROM weir.segments WHERE topic = 's'";
            match client.number(open).await {
                0..=2 => Ok(()),
                open => Err(format!("{open} segments")),
            }
        })
        .await;
        self.check().await;
        self.restart(Server::stop);
        self.check().await;
        self.server.take().expect("it runs").stop();
    }
}

impl Writer {
    fn new(producer: Producer) -> Self {
        Self {
            producer,
            sequences: BTreeMap::new(),
            is_open: false,
        }
    }

    fn number(&mut self, partition: i64, batch: &mut Batch) {
        let next = self.sequences.entry(partition).or_default();
        batch.producer = Some(self.producer.clone());
        batch.sequence = *next;
        *next += batch.records.len() as i32;
    }
}

async fn all(client: &Client) -> Vec<(Place, i64)> {
    places(
        client
            .rows("SELECT _partition, _offset, n FROM s ORDER BY 1, 2")
            .await
            .rows,
    )
}

/// As [`all`], checked.
async fn all_of(model: &mut Model, client: &Client) -> Vec<(Place, i64)> {
    let rows = all(client).await;
    model.check_query(&rows);
    rows
}

fn places(rows: Vec<Vec<Value>>) -> Vec<(Place, i64)> {
    let rows = rows.iter().map(|row| {
        let number = |at: usize| row[at].as_i64().unwrap_or_else(|| panic!("{row:?}"));
        ((number(0), number(1)), number(2))
    });
    rows.collect()
}

fn number(value: Option<&Bytes>) -> i64 {
    let value = value.expect("each row has a value");
    let row: Value = serde_json::from_slice(value).expect("each row is JSON");
    row["n"].as_i64().expect("each row has a number")
}
