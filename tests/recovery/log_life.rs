//! The server dies while its log is rolled, cut, compacted, or ends transactions: what was acknowledged is there once, in
//! order and at its place, for SQL and for Kafka clients.

use std::collections::BTreeMap;

use bytes::Bytes;
use rand::Rng;
use weir_tests::kafka::{Batch, Failed, KafkaClient, Producer};
use weir_tests::{Server, ServerBuilder, eventually};

use super::{ends_at, random};

/// The code of a broker that is at it.
const CONCURRENT_TRANSACTIONS: i16 = 51;
const KEYS: i64 = 7;

fn builder() -> ServerBuilder {
    super::server().kafka()
}

fn with_upkeep(builder: ServerBuilder) -> ServerBuilder {
    builder.env("WEIR_TOPICS_UPKEEP_INTERVAL", "10ms")
}

/// A topic, as an idempotent producer knows it.
struct Told {
    topic: &'static str,
    producer: Option<Producer>,
    /// The acknowledged numbers by offset.
    records: BTreeMap<i64, i64>,
    sent: i32,
    /// What was sent last, and had no answer.
    unanswered: Option<(Vec<i64>, Batch)>,
}

impl Told {
    fn new(topic: &'static str) -> Self {
        Self {
            topic,
            producer: None,
            records: BTreeMap::new(),
            sent: 0,
            unanswered: None,
        }
    }

    /// Sends some numbers, or those again that had no answer.
    async fn send(&mut self, kafka: &mut KafkaClient) -> Result<(), Failed> {
        if self.producer.is_none() {
            self.producer = Some(kafka.init_producer(None).await?);
        }
        let (numbers, batch) = self.unanswered.take().unwrap_or_else(|| {
            let numbers: Vec<i64> = (0..20).map(|at| i64::from(self.sent + at)).collect();
            let records = numbers.iter().map(|number| {
                let key = Bytes::from(format!("key {}", number % KEYS));
                (Some(key), Some(Bytes::from(number.to_string())))
            });
            let batch = Batch {
                records: records.collect(),
                producer: self.producer.clone(),
                sequence: self.sent,
                ..Batch::of([])
            };
            self.sent += 20;
            (numbers, batch)
        });
        match kafka.produce(self.topic, 0, &batch).await {
            Ok(base) => {
                self.records.extend((base..).zip(numbers));
                Ok(())
            }
            Err(failed) => {
                self.unanswered = Some((numbers, batch));
                Err(failed)
            }
        }
    }

    /// What a query and what a consumer find, each by offset.
    async fn found(&self, server: &Server, kafka: &mut KafkaClient) -> [BTreeMap<i64, i64>; 2] {
        // The consumer comes last: between the two, the log may let go of more.
        let sql = format!(
            "SELECT _offset, CAST(CAST(_value AS TEXT) AS BIGINT) FROM {}",
            self.topic
        );
        let rows = server.client().rows(&sql).await.rows;
        let number = |value: &serde_json::Value| value.as_i64().unwrap();
        let queried = rows.iter().map(|row| (number(&row[0]), number(&row[1])));
        let read = kafka.read(self.topic, 0, 0, true).await.unwrap();
        let number = |value: Option<Bytes>| -> i64 {
            let text = String::from_utf8(value.unwrap().to_vec()).unwrap();
            text.parse().unwrap()
        };
        let read = read.records.into_iter();
        let read = read.map(|record| (record.offset, number(record.value)));
        [queried.collect(), read.collect()]
    }

    fn check_order(&self) {
        let numbers: Vec<i64> = self.records.values().copied().collect();
        let all: Vec<i64> = (0..numbers.len() as i64).collect();
        assert_eq!(numbers, all, "{}: each once, in order", self.topic);
        let offsets: Vec<i64> = self.records.keys().copied().collect();
        assert_eq!(offsets, all, "{}: no offset is left out", self.topic);
    }
}

/// The last offset of each key.
fn latest(records: &BTreeMap<i64, i64>) -> BTreeMap<i64, i64> {
    let keys = records.iter();
    keys.map(|(offset, number)| (number % KEYS, *offset))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ended_at_each_step_of_rolling_cutting_and_compacting() {
    let mut random = random("recovery::log_life");
    let server = builder().start();
    let create = [
        "CREATE STREAM cut WITH (format = 'raw', \"segment.bytes\" = 2048, \"retention.bytes\" = 8192)",
        "CREATE STREAM compacted WITH (format = 'raw', \"segment.bytes\" = 2048, \"cleanup.policy\" = 'compact')",
    ];
    server.client().run(&create).await;
    let mut next = server.stop();
    let (mut cut, mut compacted) = (Told::new("cut"), Told::new("compacted"));
    let points = ["roll", "bounds", "remove", "compacting", "compacted"];
    for round in 0..points.len().max(super::rounds() as usize) {
        let point = format!("topics::{}", points[round % points.len()]);
        let passes = random.random_range(0..6);
        let server = ends_at(with_upkeep(next), &point, passes).start();
        // Upkeep of what earlier rounds left may end it before anybody is there.
        if let Ok(mut kafka) = KafkaClient::connect(&server.kafka()).await {
            while let (Ok(()), Ok(())) =
                (cut.send(&mut kafka).await, compacted.send(&mut kafka).await)
            {}
        }
        let (_, again) = server.wait_for_end();
        let server = with_upkeep(again.without_env()).start();
        let mut kafka = KafkaClient::connect(&server.kafka()).await.unwrap();
        // What had no answer is asked for again, and is there once.
        cut.send(&mut kafka).await.unwrap();
        compacted.send(&mut kafka).await.unwrap();
        cut.check_order();
        compacted.check_order();
        for found in cut.found(&server, &mut kafka).await {
            let start = found.first_key_value().map(|(offset, _)| *offset);
            let start = start.expect("retention leaves some");
            let kept: BTreeMap<i64, i64> =
                cut.records.range(start..).map(|(k, v)| (*k, *v)).collect();
            assert_eq!(found, kept, "{point}: what is kept is all from there on");
        }
        for found in compacted.found(&server, &mut kafka).await {
            for (offset, number) in &found {
                assert_eq!(compacted.records.get(offset), Some(number), "{point}");
            }
            assert_eq!(latest(&found), latest(&compacted.records), "{point}");
        }
        next = server.stop().without_env();
    }
    assert!(cut.records.len() > 100 && compacted.records.len() > 100);
}

/// What a transactional producer knows of its transactions, by number.
#[derive(Default)]
struct Transactions {
    producer: Option<Producer>,
    number: i64,
    committed: Vec<i64>,
    /// Its end was asked for, and had no answer.
    ending: Option<bool>,
}

impl Transactions {
    /// Writes into two partitions and commits an offset, all in one transaction; each third is aborted.
    async fn one(&mut self, kafka: &mut KafkaClient) -> Result<(), Failed> {
        let producer = match self.producer.clone() {
            Some(producer) => producer,
            None => kafka.init_producer(Some("writer")).await?,
        };
        // Until its end is asked for, a transaction that breaks off is aborted by the next producer of that name.
        self.producer = None;
        self.number += 1;
        let number = self.number;
        for partition in 0..2 {
            let batch = Batch {
                producer: Some(producer.clone()),
                sequence: 0,
                ..Batch::of([number.to_string()])
            };
            kafka.produce("both", partition, &batch).await?;
        }
        let place = ("both", 0, number);
        kafka
            .commit_in_transaction(&producer, "group", place)
            .await?;
        let committed = number % 3 != 0;
        self.producer = Some(producer.clone());
        self.ending = Some(committed);
        let next = kafka.end_transaction(&producer, committed).await?;
        self.ended(next);
        Ok(())
    }

    fn ended(&mut self, next: Producer) {
        assert_ne!(self.producer.as_ref(), Some(&next), "its epoch goes on");
        self.producer = Some(next);
        if self.ending.take() == Some(true) {
            self.committed.push(self.number);
        }
    }

    /// Asks again for the end that had no answer.
    async fn end_again(&mut self, address: &str) {
        let (Some(committed), Some(producer)) = (self.ending, self.producer.clone()) else {
            return;
        };
        let next = eventually("the transaction is ended", async || {
            let mut kafka = KafkaClient::connect(address).await.unwrap();
            match kafka.end_transaction(&producer, committed).await {
                Err(Failed::Code(CONCURRENT_TRANSACTIONS)) => Err("it is under way"),
                ended => Ok(ended.unwrap()),
            }
        });
        let next = next.await;
        self.ended(next);
    }

    async fn check(&self, server: &Server, kafka: &mut KafkaClient, point: &str) {
        for partition in 0..2 {
            let sql = format!(
                "SELECT CAST(CAST(_value AS TEXT) AS BIGINT) AS n FROM both WHERE _partition = {partition} ORDER BY _offset"
            );
            let rows = server.client().rows(&sql).await;
            assert_eq!(rows.column("n"), self.committed, "{point}, by SQL");
            let read = kafka.read("both", partition, 0, true).await.unwrap();
            let read: Vec<i64> = read
                .records
                .into_iter()
                .map(|it| String::from_utf8(it.value.unwrap().to_vec()).unwrap())
                .map(|text| text.parse().unwrap())
                .collect();
            assert_eq!(read, self.committed, "{point}, by Kafka");
            assert_eq!(read.len(), rows.rows.len());
        }
        let committed = kafka.committed("group", "both", 0).await.unwrap();
        let last = self.committed.last().copied();
        assert_eq!(committed, last.unwrap_or(-1), "{point}, of the group");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ended_at_each_step_of_a_transactions_end() {
    let mut random = random("recovery::transactions");
    let server = builder().start();
    let create = ["CREATE STREAM both WITH (format = 'raw', partitions = 2)"];
    server.client().run(&create).await;
    let mut next = server.stop();
    let mut told = Transactions::default();
    let points = [
        "transaction_prepared",
        "transaction_marker",
        "transaction_told",
        "before_sync",
        "after_sync",
    ];
    for round in 0..points.len().max(super::rounds() as usize) {
        let point = format!("topics::{}", points[round % points.len()]);
        let passes = random.random_range(0..15);
        let server = ends_at(next, &point, passes).start();
        let mut kafka = KafkaClient::connect(&server.kafka()).await.unwrap();
        loop {
            match told.one(&mut kafka).await {
                Ok(()) => {}
                Err(Failed::Gone(_)) => break,
                Err(Failed::Code(code)) => panic!("{point}: {code}"),
            }
        }
        let (_, again) = server.wait_for_end();
        let server = again.without_env().start();
        told.end_again(&server.kafka()).await;
        let mut kafka = KafkaClient::connect(&server.kafka()).await.unwrap();
        // What broke off before its end is aborted by the next one.
        told.one(&mut kafka).await.unwrap();
        told.check(&server, &mut kafka, &point).await;
        next = server.stop();
    }
    assert!(told.committed.len() > 10);
}
