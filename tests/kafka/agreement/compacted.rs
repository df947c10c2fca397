//! A compacted topic beside the stream: whatever goes, the last record of each key stays, and nothing changes its place.

use std::collections::BTreeMap;

use bytes::Bytes;
use rand::Rng;
use rand::rngs::SmallRng;
use serde_json::Value;
use weir_tests::kafka::{Batch, KafkaClient};
use weir_tests::{Client, Server};

/// A record's key, and its value unless it deletes the key.
type Record = (String, Option<String>);

/// All that was ever acknowledged, by offset.
#[derive(Debug, Default)]
pub(super) struct Compacted {
    records: BTreeMap<i64, Record>,
    /// The offsets that were there when somebody last looked, unless something was written since.
    seen: Option<Vec<i64>>,
}

const TOPIC: &str = "compacted";

impl Compacted {
    pub(super) async fn create(client: &Client) {
        let create = format!(
            "CREATE STREAM {TOPIC} WITH (format = 'raw', \"cleanup.policy\" = 'compact', \"segment.bytes\" = 1024)"
        );
        client.run(&[&create]).await;
    }

    pub(super) async fn produce(&mut self, server: &Server, random: &mut SmallRng) {
        let records: Vec<Record> = (0..random.random_range(1..25))
            .map(|_| {
                let key = format!("key {}", random.random_range(0..9));
                let number: u32 = random.random();
                let value = random.random_bool(0.85).then(|| format!("value {number}"));
                (key, value)
            })
            .collect();
        let batch = Batch {
            records: records
                .iter()
                .map(|(key, value)| {
                    let value = value.as_ref().map(|value| Bytes::from(value.clone()));
                    (Some(Bytes::from(key.clone())), value)
                })
                .collect(),
            codec: super::codec(random),
            ..Batch::of([])
        };
        let mut kafka = KafkaClient::connect(&server.kafka()).await.unwrap();
        let base = kafka.produce(TOPIC, 0, &batch).await.unwrap();
        let end = self
            .records
            .last_key_value()
            .map_or(0, |(last, _)| last + 1);
        assert_eq!(base, end, "offsets go on");
        self.records.extend((base..).zip(records));
        self.seen = None;
    }

    /// Both doors' answers are each some state on the way of compaction, SQL's the earlier one.
    pub(super) async fn check(&mut self, client: &Client, kafka: &mut KafkaClient) {
        let sql = format!(
            "SELECT _offset, CAST(_key AS TEXT) AS k, CAST(_value AS TEXT) AS v FROM {TOPIC} ORDER BY 1"
        );
        let rows = client.rows(&sql).await.rows;
        let queried = rows.into_iter().map(|row| {
            let text = |value: &Value| value.as_str().map(str::to_owned);
            (
                row[0].as_i64().unwrap(),
                (text(&row[1]).unwrap(), text(&row[2])),
            )
        });
        self.check_state(queried.collect());
        let fetched = kafka.read(TOPIC, 0, 0, true).await.unwrap();
        let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        let fetched = fetched.records.into_iter().map(|record| {
            let value = record.value.map(text);
            (record.offset, (text(record.key.unwrap()), value))
        });
        self.check_state(fetched.collect());
    }

    fn check_state(&mut self, state: BTreeMap<i64, Record>) {
        for (offset, record) in &state {
            assert_eq!(self.records.get(offset), Some(record), "at {offset}");
        }
        let latest = |records: &BTreeMap<i64, Record>| -> BTreeMap<String, (i64, Option<String>)> {
            let records = records.iter();
            records
                .map(|(offset, (key, value))| (key.clone(), (*offset, value.clone())))
                .collect()
        };
        // A deletion may go when all that it deletes has.
        let mut wanted = latest(&self.records);
        let found = latest(&state);
        wanted.retain(|key, (_, value)| value.is_some() || found.contains_key(key));
        assert_eq!(found, wanted);
        let offsets: Vec<i64> = state.into_keys().collect();
        if let Some(seen) = &self.seen {
            let came_back = offsets.iter().find(|at| seen.binary_search(at).is_err());
            assert_eq!(came_back, None, "what has gone stays gone");
        }
        self.seen = Some(offsets);
    }
}
