use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Field, Int64Type};
use proptest::prelude::*;
use weir_topics::{BatchBuilder, RecordRef};

use super::*;
use crate::topic::testing::{TestLog, query};
use crate::topic::{Format, KeyFormat, OnError, RecordFormat, RowColumn, TopicHold};

/// `(id BIGINT NOT NULL, name TEXT NOT NULL, price BIGINT)` with key `id`.
fn columns() -> Vec<RowColumn> {
    vec![
        RowColumn::new(Field::new("id", DataType::Int64, false)),
        RowColumn::new(Field::new("name", DataType::Utf8View, false)),
        RowColumn::new(Field::new("price", DataType::Int64, true)),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Debezium,
    DebeziumWithSchema,
    Upsert,
}

fn rows_of(form: Form, on_error: OnError) -> Arc<RowSchema> {
    let (value, key) = match form {
        Form::Debezium | Form::DebeziumWithSchema => (Format::Debezium(Vec::new()), None),
        Form::Upsert => (
            Format::Upsert(Box::new(Format::Json)),
            Some(KeyFormat::Text),
        ),
    };
    let format = RecordFormat {
        value,
        key,
        on_error,
    };
    let rows = RowSchema::new(columns(), vec![0]).unwrap();
    Arc::new(rows.with_format(format).unwrap())
}

type Row = (String, Option<i64>);

#[derive(Debug, Clone)]
enum Act {
    /// A row of a key.
    Put(i64, Row),
    Delete(i64),
    /// What follows a deletion, or tells of no row.
    Noise(i64),
    Wrong,
}

fn row_json(id: i64, (name, price): &Row) -> String {
    let price = price.map_or("null".to_owned(), |price| price.to_string());
    format!(r#"{{"id":{id},"name":"{name}","price":{price},"more":[1,{{"x":2}}]}}"#)
}

/// The key and value of the record that says so.
fn record(form: Form, act: &Act, is_there: bool) -> (Option<String>, Option<String>) {
    let (id, value) = match act {
        Act::Put(id, row) if form == Form::Upsert => (*id, Some(row_json(*id, row))),
        Act::Delete(id) if form == Form::Upsert => (*id, None),
        Act::Noise(id) if form == Form::Upsert => (*id, None),
        Act::Put(id, row) => {
            let op = if is_there { "u" } else { "c" };
            let row = row_json(*id, row);
            (
                *id,
                Some(format!(
                    r#"{{"before":null,"after":{row},"source":{{"db":"d"}},"op":"{op}","ts_ms":1}}"#
                )),
            )
        }
        // Sources may say no more than the key of what is gone.
        Act::Delete(id) => (
            *id,
            Some(format!(
                r#"{{"before":{{"id":{id},"name":null}},"after":null,"op":"d"}}"#
            )),
        ),
        Act::Noise(id) => (*id, None),
        Act::Wrong => (0, Some(r#"{"op":"u","after":{"id":1}"#.to_owned())),
    };
    let value = match form {
        Form::DebeziumWithSchema => {
            value.map(|value| format!(r#"{{"schema":{{"type":"struct"}},"payload":{value}}}"#))
        }
        _ => value,
    };
    (Some(id.to_string()), value)
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let row = ("[a-z]{0,3}", prop::option::of(0..100i64));
    let act = prop_oneof![
        4 => (0..8i64, row).prop_map(|(id, row)| Act::Put(id, row)),
        2 => (0..8i64).prop_map(Act::Delete),
        1 => (0..8i64).prop_map(Act::Noise),
        1 => Just(Act::Wrong),
    ];
    prop::collection::vec(act, 0..60)
}

async fn shown(table: MirroredTable, sql: &str) -> BTreeMap<i64, Row> {
    let mut rows = BTreeMap::new();
    for batch in query(Arc::new(table), sql).await {
        let ids = batch.column_by_name("id").unwrap();
        let ids = ids.as_primitive::<Int64Type>();
        let names = batch.column_by_name("name").unwrap().as_string_view();
        let prices = batch.column_by_name("price").unwrap();
        let prices = prices.as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let price = arrow::array::Array::is_valid(prices, row).then(|| prices.value(row));
            let known = rows.insert(ids.value(row), (names.value(row).to_owned(), price));
            assert_eq!(known, None, "a key came twice");
        }
    }
    rows
}

async fn holds(form: Form, partitions: u32, acts: Vec<Act>, portion: usize) {
    let log = TestLog::new().await;
    let topic = log.topic(partitions, false).await;
    let mut model: BTreeMap<i64, Row> = BTreeMap::new();
    for (number, acts) in acts.chunks(portion).enumerate() {
        let mut batches: BTreeMap<usize, BatchBuilder> = BTreeMap::new();
        for act in acts {
            let (key, value) = record(form, act, false);
            let id = key.as_deref().unwrap().parse::<usize>().unwrap();
            let batch = batches.entry(id % partitions as usize).or_default();
            batch
                .push(RecordRef {
                    timestamp_ms: number as i64,
                    key: key.as_deref().map(str::as_bytes),
                    value: value.as_deref().map(str::as_bytes),
                    headers: &[],
                })
                .unwrap();
            match act {
                Act::Put(id, row) => drop(model.insert(*id, row.clone())),
                Act::Delete(id) => drop(model.remove(id)),
                Act::Noise(id) if form == Form::Upsert => drop(model.remove(id)),
                Act::Noise(_) | Act::Wrong => {}
            }
        }
        for (partition, batch) in batches {
            let partition = &topic.partitions()[partition];
            let appended = partition.append(batch.build(), None).unwrap();
            appended.durable().await.unwrap();
        }
        let rows = rows_of(form, OnError::Skip);
        let table = || {
            let changes = StreamTable::new(TopicHold::now(topic.clone()), Arc::clone(&rows), true);
            let schema = RowSchema::new(columns(), vec![0]).unwrap().schema().clone();
            MirroredTable::new(changes, Arc::clone(&rows), schema).unwrap()
        };
        assert_eq!(shown(table(), "SELECT * FROM t").await, model);
        // A filter looks at the newest row, and not for an older one that would pass.
        let mut some = model.clone();
        some.retain(|_, (name, price)| name.as_str() < "m" && price.is_some());
        let sql = "SELECT price, name, id FROM t WHERE name < 'm' AND price IS NOT NULL";
        assert_eq!(shown(table(), sql).await, some);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_rows_are_those_of_the_source(
        form in prop::sample::select(vec![Form::Debezium, Form::DebeziumWithSchema, Form::Upsert]),
        partitions in 1..4u32,
        acts in acts(),
        portion in 1..20usize,
    ) {
        tokio::runtime::Runtime::new().unwrap().block_on(holds(form, partitions, acts, portion));
    }
}
