//! Changes as records: whoever folds them has the rows; and positions that are written with them.

use std::collections::BTreeMap;

use serde_json::Value;
use weir_base::{ManualClock, OffsetVector};
use weir_topics::{BatchView, Topic};

use super::*;

/// The rows that there are, by their key.
type State = BTreeMap<i64, String>;

fn batch<'a>(rows: impl Iterator<Item = (&'a i64, &'a String)>) -> RecordBatch {
    let (ids, names): (Vec<i64>, Vec<&str>) = rows.map(|(id, name)| (*id, name.as_str())).unzip();
    let prices = Float64Array::from(vec![None; ids.len()]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(ids)),
        Arc::new(StringViewArray::from(names)),
        Arc::new(prices),
    ];
    RecordBatch::try_new(items(true).schema().clone(), columns).unwrap()
}

/// The records of the change from one state to the next: key and value.
fn records(encoder: &ChangeEncoder, from: &State, to: &State) -> Vec<(String, Option<Value>)> {
    let is_other = |state: &State, id: &i64, name: &String| state.get(id) != Some(name);
    let gone = batch(from.iter().filter(|(id, name)| is_other(to, id, name)));
    let come = batch(to.iter().filter(|(id, name)| is_other(from, id, name)));
    let mut records = Vec::new();
    for (_, batch) in encoder.encode(&[gone], &[come]).unwrap() {
        let view = BatchView::parse(Bytes::copy_from_slice(batch.as_bytes())).unwrap();
        for record in view.records() {
            let record = record.unwrap();
            let key = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
            let value = record
                .value
                .map(|value| serde_json::from_slice(value).unwrap());
            records.push((key, value));
        }
    }
    records
}

fn encoder(envelope: Envelope) -> ChangeEncoder {
    ChangeEncoder::new(items(true), envelope, 3, Arc::new(ManualClock::at(7))).unwrap()
}

fn row(value: &Value) -> (i64, String) {
    let name = value["name"].as_str().unwrap().to_owned();
    (value["id"].as_i64().unwrap(), name)
}

proptest! {
    #[test]
    fn whoever_folds_the_records_has_the_rows(
        states in proptest::collection::vec(
            proptest::collection::btree_map(0..6i64, "[a-c]", 0..6), 1..8)
    ) {
        let encoders = [Envelope::Upsert, Envelope::Changelog, Envelope::Debezium].map(encoder);
        let (mut upserts, mut changes, mut debezium) = (State::new(), Vec::new(), State::new());
        let mut from = State::new();
        for to in states {
            for (key, value) in records(&encoders[0], &from, &to) {
                let id: i64 = key.parse().unwrap();
                match value {
                    Some(value) => upserts.insert(id, row(&value).1),
                    None => upserts.remove(&id),
                };
            }
            prop_assert_eq!(&upserts, &to);
            for (_, value) in records(&encoders[1], &from, &to) {
                let value = value.unwrap();
                match value["_op"].as_str().unwrap() {
                    "insert" | "update_after" => changes.push(row(&value)),
                    _ => {
                        let at = changes.iter().position(|there| *there == row(&value));
                        prop_assert!(at.is_some(), "what goes was there");
                        changes.swap_remove(at.unwrap());
                    }
                }
            }
            changes.sort();
            prop_assert_eq!(&changes, &to.clone().into_iter().collect::<Vec<_>>());
            for (_, value) in records(&encoders[2], &from, &to) {
                let value = value.unwrap();
                let (before, after) = (&value["before"], &value["after"]);
                let op = match (before.is_null(), after.is_null()) {
                    (true, false) => "c",
                    (false, false) => "u",
                    _ => "d",
                };
                prop_assert_eq!(value["op"].as_str(), Some(op));
                prop_assert_eq!(value["ts_ms"].as_i64(), Some(7));
                if !before.is_null() {
                    let (id, name) = row(before);
                    prop_assert_eq!(debezium.remove(&id), Some(name));
                }
                if !after.is_null() {
                    let (id, name) = row(after);
                    debezium.insert(id, name);
                }
            }
            prop_assert_eq!(&debezium, &to);
            from = to;
        }
    }
}

#[test]
fn what_cannot_be_said_is_refused() {
    let clock: Arc<ManualClock> = Arc::new(ManualClock::at(7));
    let refused = ChangeEncoder::new(items(false), Envelope::Upsert, 1, clock).unwrap_err();
    assert!(refused.to_string().contains("needs a key"), "{refused}");
    let state = State::from([(1, "a".to_owned())]);
    let append = encoder(Envelope::Append);
    assert!(append.encode(&[batch(state.iter())], &[]).is_err());
    assert_eq!("debezium".parse(), Ok(Envelope::Debezium));
    assert!("x".parse::<Envelope>().is_err());
}

fn position(topic: &Topic, ends: &[i64]) -> OffsetVector {
    let mut position = OffsetVector::new();
    let ends = ends.iter().map(|end| Offset(*end));
    position.set(topic.name().clone(), ends.collect());
    position
}

/// The values of a topic's committed records.
fn committed(topic: &Topic) -> Vec<String> {
    let mut values = Vec::new();
    for partition in topic.partitions() {
        let (mut next, end) = (partition.start_offset(), partition.last_stable_offset());
        while next < end {
            let read = partition.read(next, end, 1 << 20).unwrap();
            for record in read.batches.iter().flat_map(BatchView::records) {
                let value = record.unwrap().value.unwrap().to_vec();
                values.push(String::from_utf8(value).unwrap());
            }
            next = read.next;
        }
    }
    values.sort();
    values
}

#[test]
fn records_and_position_are_committed_together_and_once() {
    runtime().block_on(async {
        let test = TestLog::new().await;
        let (source, target) = (test.topic(2, true).await, test.topic(3, true).await);
        let encoder = encoder(Envelope::Append);
        let step = |from: i64| {
            let rows: State = (from..from + 3).map(|id| (id, "x".to_owned())).collect();
            encoder.encode(&[], &[batch(rows.iter())]).unwrap()
        };
        let writer = |test: &TestLog, source: &Topic, target: &Topic| {
            let progress = SourceProgress::new(&test.log, "sink", vec![source.clone()]);
            TransactionalWriter::new(&test.log, target.clone(), progress)
        };
        let mut first = writer(&test, &source, &target);
        assert_eq!(first.begin().await.unwrap(), None);
        for (from, ends) in [(0, [1, 0]), (3, [2, 5])] {
            first
                .commit(step(from), &position(&source, &ends))
                .await
                .unwrap();
        }
        // Nothing but the position.
        first
            .commit(Vec::new(), &position(&source, &[2, 6]))
            .await
            .unwrap();
        let mut second = writer(&test, &source, &target);
        assert_eq!(
            second.begin().await.unwrap(),
            Some(position(&source, &[2, 6]))
        );
        let fenced = first.commit(step(6), &position(&source, &[9, 9])).await;
        assert!(fenced.is_err());
        second
            .commit(step(6), &position(&source, &[3, 6]))
            .await
            .unwrap();
        assert_eq!(committed(&target).len(), 9);
        let names = (source.name().clone(), target.name().clone());
        drop((first, second, source, target));

        let test = test.reopen().await;
        let source = test.log.topic(&names.0).unwrap();
        let target = test.log.topic(&names.1).unwrap();
        let mut third = writer(&test, &source, &target);
        assert_eq!(
            third.begin().await.unwrap(),
            Some(position(&source, &[3, 6]))
        );
        let values = committed(&target);
        assert_eq!(values.len(), 9);
        assert!(values.windows(2).all(|two| two[0] != two[1]), "{values:?}");
    });
}

#[test]
fn a_position_and_the_next_are_noted() {
    runtime().block_on(async {
        let test = TestLog::new().await;
        let source = test.topic(2, true).await;
        let progress = SourceProgress::new(&test.log, "sink", vec![source.clone()]);
        assert_eq!(progress.noted().unwrap(), Noted::default());
        let (one, two) = (position(&source, &[1, 2]), position(&source, &[3, 2]));
        for (at, next) in [
            (None, Some(&one)),
            (Some(&one), Some(&two)),
            (Some(&two), None),
        ] {
            progress.note(at, next).await.unwrap();
            let noted = Noted {
                position: at.cloned(),
                next: next.cloned(),
            };
            assert_eq!(progress.noted().unwrap(), noted);
        }
    });
}
