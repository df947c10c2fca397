use std::collections::BTreeMap;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use proptest::prelude::*;

use super::*;

/// `(k, v, name)`, of which `k` and `name` are the key.
type Row = (Option<i64>, i64, &'static str);

/// The value of each key.
type Table = BTreeMap<(Option<i64>, String), i64>;

fn rows_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, true),
        Field::new("v", DataType::Int64, false),
        Field::new("name", DataType::Utf8View, false),
    ]))
}

fn batch(rows: &[Row]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.0))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1))),
        Arc::new(StringViewArray::from_iter_values(
            rows.iter().map(|row| row.2),
        )),
    ];
    RecordBatch::try_new(rows_schema(), columns).unwrap()
}

/// What changes between two tables, in batches of their own.
fn delta(before: &[Row], after: &[Row]) -> Delta {
    let without = |rows: &[Row], others: &[Row]| -> Vec<RecordBatch> {
        let rows = rows.iter().filter(|row| !others.contains(row));
        rows.map(|row| batch(&[*row])).collect()
    };
    Delta {
        plus: without(after, before),
        minus: without(before, after),
    }
}

fn key_of(rows: &RecordBatch, row: usize) -> (Option<i64>, String) {
    let k = rows
        .column_by_name("k")
        .unwrap()
        .as_primitive::<Int64Type>();
    let name = rows.column_by_name("name").unwrap().as_string_view();
    (
        k.is_valid(row).then(|| k.value(row)),
        name.value(row).to_owned(),
    )
}

fn value_of(rows: &RecordBatch, row: usize) -> Option<i64> {
    let v = rows
        .column_by_name("v")
        .unwrap()
        .as_primitive::<Int64Type>();
    v.is_valid(row).then(|| v.value(row))
}

/// Does to `table` what a batch tells, as its reader would.
fn apply(envelope: Envelope, batch: &RecordBatch, table: &mut Table) {
    match envelope {
        Envelope::Changelog | Envelope::Upsert => {
            let operations = batch.column_by_name(OPERATION).unwrap().as_string_view();
            let mut before = None;
            for (row, operation) in operations.iter().enumerate() {
                let (key, value) = (key_of(batch, row), value_of(batch, row));
                match operation.unwrap() {
                    "insert" => assert_eq!(table.insert(key, value.unwrap()), None),
                    "delete" if envelope == Envelope::Changelog => {
                        assert_eq!(table.remove(&key), value);
                    }
                    "update_before" => {
                        assert_eq!(table.remove(&key), value);
                        before = Some(key);
                    }
                    "update_after" => {
                        assert_eq!(before.take().as_ref(), Some(&key));
                        table.insert(key, value.unwrap());
                    }
                    "upsert" => {
                        table.insert(key, value.unwrap());
                    }
                    "delete" => {
                        assert_eq!(value, None);
                        table.remove(&key).unwrap();
                    }
                    other => panic!("{other}"),
                }
            }
            assert_eq!(before, None);
        }
        Envelope::Debezium => {
            let image = |name: &str| batch.column_by_name(name).unwrap().as_struct().clone();
            let (before, after) = (image("before"), image("after"));
            let rows = |image: &StructArray| {
                RecordBatch::from(
                    StructArray::new(image.fields().clone(), image.columns().to_vec(), None)
                        .clone(),
                )
            };
            let operations = batch.column_by_name("op").unwrap().as_string_view();
            for (row, operation) in operations.iter().enumerate() {
                let old = before.is_valid(row).then(|| {
                    let rows = rows(&before.slice(row, 1));
                    (key_of(&rows, 0), value_of(&rows, 0).unwrap())
                });
                let new = after.is_valid(row).then(|| {
                    let rows = rows(&after.slice(row, 1));
                    (key_of(&rows, 0), value_of(&rows, 0).unwrap())
                });
                let expected = match (&old, &new) {
                    (None, Some(_)) => "c",
                    (Some(old), Some(new)) if old.0 == new.0 => "u",
                    (Some(_), None) => "d",
                    other => panic!("{other:?}"),
                };
                assert_eq!(operation, Some(expected));
                if let Some((key, value)) = old {
                    assert_eq!(table.remove(&key), Some(value));
                }
                table.extend(new);
            }
        }
    }
}

fn tables() -> impl Strategy<Value = Vec<Vec<Row>>> {
    let key = (
        prop::option::of(0..4i64),
        prop::sample::select(vec!["a", "b"]),
    );
    let table = prop::collection::btree_map(key, 0..3i64, 0..8);
    let rows = table.prop_map(|table| {
        let rows = table.into_iter();
        rows.map(|((k, name), v)| (k, v, name))
            .collect::<Vec<Row>>()
    });
    prop::collection::vec(rows, 1..8)
}

proptest! {
    /// Who does what it is told has the query's answer, after each step.
    #[test]
    fn a_reader_of_any_form_has_the_answer(tables in tables()) {
        for envelope in Envelope::ALL {
            let changelog = Changelog::new(envelope, &rows_schema(), Some(vec![0, 2]), false).unwrap();
            let mut told = Table::new();
            let mut before: &[Row] = &[];
            for after in &tables {
                if let Some(batch) = changelog.encode(&delta(before, after), 7).unwrap() {
                    prop_assert_eq!(&batch.schema(), changelog.schema());
                    apply(envelope, &batch, &mut told);
                }
                let answer: Table = after.iter().map(|(k, v, name)| ((*k, (*name).to_owned()), *v)).collect();
                prop_assert_eq!(&told, &answer);
                before = after;
            }
        }
    }
}

#[test]
fn what_needs_a_key_is_refused_without_one() {
    let new = |envelope, key, only_grows| Changelog::new(envelope, &rows_schema(), key, only_grows);
    for (envelope, only_grows) in [
        (Envelope::Upsert, false),
        (Envelope::Upsert, true),
        (Envelope::Debezium, false),
    ] {
        let Err(error) = new(envelope, None, only_grows) else {
            panic!("{envelope:?} was taken");
        };
        assert!(error.to_string().contains(envelope.name()), "{error}");
    }
    // Where nothing goes, nothing has to be found again.
    assert!(new(Envelope::Debezium, None, true).is_ok());
    assert!(new(Envelope::Changelog, None, false).is_ok());
}

#[test]
fn without_a_key_rows_go_and_come() {
    let changelog = Changelog::new(Envelope::Changelog, &rows_schema(), None, false).unwrap();
    let delta = delta(&[(Some(1), 1, "a")], &[(Some(1), 2, "a")]);
    let batch = changelog.encode(&delta, 7).unwrap().unwrap();
    let operations = batch.column(0).as_string_view();
    assert_eq!(
        operations.iter().collect::<Vec<_>>(),
        [Some("delete"), Some("insert")]
    );
}

#[test]
fn the_one_row_of_an_aggregate_over_everything_is_one_key() {
    let changelog = Changelog::new(Envelope::Upsert, &rows_schema(), Some(vec![]), false).unwrap();
    let delta = delta(&[(Some(1), 1, "a")], &[(Some(2), 2, "b")]);
    let batch = changelog.encode(&delta, 7).unwrap().unwrap();
    assert_eq!(batch.column(0).as_string_view().value(0), "upsert");
    assert_eq!(batch.num_rows(), 1);
}
