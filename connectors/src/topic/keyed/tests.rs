//! Tables against a model: a map, and what it was after every statement.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, BinaryArray, Float64Array, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{Float64Type, Int64Type};
use datafusion::catalog::TableProvider;
use datafusion::execution::memory_pool::{
    GreedyMemoryPool, MemoryConsumer, MemoryPool, UnboundedMemoryPool,
};
use proptest::prelude::*;
use weir_base::{Classify, Offset, SqlState};

use super::{Change, KeyedTable, OnConflict, TableWriter};
use crate::topic::testing::{TestLog, items, query};
use crate::topic::{Rows, encode_batch};

fn rows(keyed: bool, rows: &[(i64, f64)]) -> Rows {
    let schema = items(keyed);
    let ids = Int64Array::from_iter_values(rows.iter().map(|(id, _)| *id));
    let names = StringViewArray::from_iter_values(
        rows.iter().map(|(id, _)| format!("the name of row {id}")),
    );
    let prices = Float64Array::from_iter_values(rows.iter().map(|(_, price)| *price));
    let columns: Vec<arrow::array::ArrayRef> =
        vec![Arc::new(ids), Arc::new(names), Arc::new(prices)];
    let batch = RecordBatch::try_new(Arc::clone(schema.schema()), columns).unwrap();
    encode_batch(&schema, &batch).unwrap()
}

/// A table's `(_key, id, price)`.
async fn contents(table: Arc<dyn TableProvider>) -> Vec<(Vec<u8>, i64, f64)> {
    let batches = query(table, "SELECT _key, id, price FROM t").await;
    let mut rows: Vec<_> = batches
        .iter()
        .flat_map(|batch| {
            let keys = batch.column(0).as_binary::<i32>();
            let ids = batch.column(1).as_primitive::<Int64Type>();
            let prices = batch.column(2).as_primitive::<Float64Type>();
            (0..batch.num_rows())
                .map(move |row| (keys.value(row).to_vec(), ids.value(row), prices.value(row)))
        })
        .collect();
    rows.sort_by(|a, b| a.partial_cmp(b).unwrap());
    rows
}

/// What a table holds: by key, `(id, price)`.
type Model = BTreeMap<Vec<u8>, (i64, f64)>;

fn listed(model: &Model) -> Vec<(Vec<u8>, i64, f64)> {
    model
        .iter()
        .map(|(key, (id, price))| (key.clone(), *id, *price))
        .collect()
}

#[derive(Debug, Clone)]
enum Step {
    Insert(Vec<i64>, OnConflict),
    /// Of the rows there, those whose place is chosen get new prices; keys move on by the number.
    Update(Vec<prop::sample::Index>, i64),
    Delete(Vec<prop::sample::Index>),
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let index = || prop::collection::vec(any::<prop::sample::Index>(), 0..6);
    let conflict = prop::sample::select(vec![
        OnConflict::Error,
        OnConflict::Nothing,
        OnConflict::Replace,
    ]);
    prop::collection::vec(
        prop_oneof![
            4 => (prop::collection::vec(0..20i64, 0..8), conflict).prop_map(|(ids, conflict)| Step::Insert(ids, conflict)),
            3 => (index(), 0..3i64).prop_map(|(rows, by)| Step::Update(rows, by)),
            2 => index().prop_map(Step::Delete),
            1 => Just(Step::Reopen),
        ],
        1..25,
    )
}

/// What the model becomes, and the change that should make it so; an error is the SQLSTATE.
fn expected(
    model: &Model,
    step: &Step,
    keyed: bool,
    price: f64,
    next: i64,
) -> (Change, Result<Model, SqlState>) {
    let key_of = |id: i64| id.to_string().into_bytes();
    let mut after = model.clone();
    let pick = |rows: &[prop::sample::Index]| -> Vec<Vec<u8>> {
        let mut keys: Vec<Vec<u8>> = if model.is_empty() {
            Vec::new()
        } else {
            rows.iter()
                .map(|at| model.keys().nth(at.index(model.len())).unwrap().clone())
                .collect()
        };
        keys.sort();
        keys.dedup();
        keys
    };
    match step {
        Step::Insert(ids, on_conflict) => {
            let given: Vec<(i64, f64)> = ids.iter().map(|id| (*id, price)).collect();
            let change = Change::Insert {
                rows: rows(keyed, &given),
                on_conflict: *on_conflict,
            };
            for (at, (id, price)) in given.into_iter().enumerate() {
                let key = if keyed {
                    key_of(id)
                } else {
                    (next + at as i64).to_be_bytes().to_vec()
                };
                match (after.contains_key(&key), on_conflict) {
                    (true, OnConflict::Error) => return (change, Err(SqlState::UNIQUE_VIOLATION)),
                    (true, OnConflict::Nothing) => {}
                    _ => {
                        after.insert(key, (id, price));
                    }
                }
            }
            (change, Ok(after))
        }
        Step::Update(chosen, by) => {
            let old = pick(chosen);
            let new: Vec<(i64, f64)> = old.iter().map(|key| (model[key].0 + by, price)).collect();
            let change = Change::Update {
                keys: BinaryArray::from_iter_values(&old),
                rows: rows(keyed, &new),
            };
            for key in &old {
                after.remove(key);
            }
            for (old, (id, price)) in old.into_iter().zip(new) {
                let key = if keyed { key_of(id) } else { old };
                if after.insert(key, (id, price)).is_some() {
                    return (change, Err(SqlState::UNIQUE_VIOLATION));
                }
            }
            (change, Ok(after))
        }
        Step::Delete(chosen) => {
            let keys = pick(chosen);
            for key in &keys {
                after.remove(key);
            }
            (
                Change::Delete {
                    keys: BinaryArray::from_iter_values(&keys),
                },
                Ok(after),
            )
        }
        Step::Reopen => (
            Change::Delete {
                keys: BinaryArray::from_iter_values::<Vec<u8>, _>([]),
            },
            Ok(after),
        ),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is done to a table, it is what the map is; at every offset of the past, it is what the map was.
    #[test]
    fn a_table_is_a_map_with_a_past(steps in steps(), keyed in any::<bool>()) {
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let mut log = TestLog::new().await;
            let topic = log.topic(1, true).await;
            let mut table = KeyedTable::new(topic.clone(), items(keyed), log.clock.clone(), unbounded()).unwrap();
            let mut model = Model::new();
            let mut past = vec![(Offset(0), model.clone())];
            for (at, step) in steps.iter().enumerate() {
                if matches!(step, Step::Reopen) {
                    log = log.reopen().await;
                    let topic = log.log.topics().remove(0);
                    table = KeyedTable::new(topic, items(keyed), log.clock.clone(), unbounded()).unwrap();
                }
                let writer = table.writer().await.unwrap();
                prop_assert_eq!(contents(writer.snapshot(true)).await, listed(&model));
                let next = table.stable_offset().0;
                let (change, after) = expected(&model, step, keyed, at as f64, next);
                match (writer.commit(vec![change]).await, after) {
                    (Ok(commit), Ok(after)) => {
                        let end = commit.durable().await.unwrap();
                        model = after;
                        past.push((end, model.clone()));
                    }
                    (Err(error), Err(sqlstate)) => prop_assert_eq!(error.sqlstate(), sqlstate, "{}", error),
                    (got, wanted) => prop_assert!(false, "{step:?}: {got:?}, not {wanted:?}"),
                }
                let now = table.snapshot(table.stable_offset(), true).await.unwrap();
                prop_assert_eq!(contents(now).await, listed(&model));
            }
            for (offset, model) in &past {
                let then = table.snapshot(*offset, true).await.unwrap();
                prop_assert_eq!(contents(then).await, listed(model), "at {}", offset);
            }
            // Taken back to any of these, it is what it was, also to who asks by key; and it comes back to what it is.
            for (offset, before) in past.iter().rev() {
                {
                    let mut state = table.0.state.write();
                    state.durable = *offset;
                    state.roll_back().unwrap();
                    prop_assert_eq!(state.end, *offset);
                    prop_assert_eq!(state.reserved_bytes(), state.memory_bytes());
                    for key in before.keys().chain(model.keys()) {
                        prop_assert_eq!(state.find(key).is_some(), before.contains_key(key));
                    }
                }
                let then = table.snapshot(*offset, true).await.unwrap();
                prop_assert_eq!(contents(then).await, listed(before), "taken back to {}", offset);
                let writer = table.writer().await.unwrap();
                prop_assert_eq!(contents(writer.snapshot(true)).await, listed(&model));
            }
            Ok(())
        })?;
    }
}

fn unbounded() -> Arc<dyn MemoryPool> {
    Arc::new(UnboundedMemoryPool::default())
}

async fn table(log: &TestLog, keyed: bool) -> KeyedTable {
    let topic = log.topic(1, true).await;
    KeyedTable::new(topic, items(keyed), log.clock.clone(), unbounded()).unwrap()
}

async fn insert(table: &KeyedTable, ids: std::ops::Range<i64>) {
    let given: Vec<(i64, f64)> = ids.map(|id| (id, 0.5)).collect();
    let change = Change::Insert {
        rows: rows(true, &given),
        on_conflict: OnConflict::Replace,
    };
    let writer: TableWriter = table.writer().await.unwrap();
    writer
        .commit(vec![change])
        .await
        .unwrap()
        .durable()
        .await
        .unwrap();
}

#[tokio::test]
async fn dead_versions_go_and_the_past_is_read_from_the_log() {
    let log = TestLog::new().await;
    let table = table(&log, true).await;
    insert(&table, 0..1000).await;
    let then = table.stable_offset();
    let once = table.memory_bytes();
    for _ in 0..40 {
        insert(&table, 0..1000).await;
        assert!(
            table.memory_bytes() < 8 * once,
            "{} bytes, at first {once}",
            table.memory_bytes()
        );
    }
    insert(&table, 1000..1001).await;
    let past = contents(table.snapshot(then, true).await.unwrap()).await;
    assert_eq!(past.len(), 1000);
    let now = contents(table.snapshot(table.stable_offset(), true).await.unwrap()).await;
    assert_eq!(now.len(), 1001);
    let beyond = Offset(table.stable_offset().0 + 1);
    assert!(table.snapshot(beyond, true).await.is_err());
}

#[tokio::test]
async fn a_row_is_found_by_its_key() {
    let log = TestLog::new().await;
    let table = table(&log, true).await;
    insert(&table, 0..100).await;
    let before = table.snapshot(table.stable_offset(), true).await.unwrap();
    insert(&table, 50..51).await;
    let after = table.snapshot(table.stable_offset(), true).await.unwrap();
    for (snapshot, offset) in [(before, 50), (after, 100)] {
        let found = query(snapshot, "SELECT _offset, name FROM t WHERE id = 50").await;
        assert_eq!(found.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
        assert_eq!(
            found[0].column(0).as_primitive::<Int64Type>().value(0),
            offset
        );
    }
}

#[tokio::test]
async fn conflicts_show_what_is_there() {
    let log = TestLog::new().await;
    let table = table(&log, true).await;
    insert(&table, 0..3).await;
    let writer = table.writer().await.unwrap();
    let conflicts = writer
        .conflicts(&rows(true, &[(7, 1.0), (2, 1.0), (9, 1.0), (0, 1.0)]))
        .unwrap();
    assert_eq!(conflicts.fresh.values(), &[0, 2]);
    assert_eq!(conflicts.given.values(), &[1, 3]);
    assert_eq!(
        conflicts
            .existing
            .column(0)
            .as_primitive::<Int64Type>()
            .values(),
        &[2, 0]
    );
    let error = writer
        .conflicts(&rows(true, &[(7, 1.0), (7, 2.0)]))
        .unwrap_err();
    assert_eq!(error.sqlstate(), SqlState::CARDINALITY_VIOLATION);
    let change = Change::Insert {
        rows: rows(true, &[(5, 1.0), (2, 1.0)]),
        on_conflict: OnConflict::Error,
    };
    let error = writer.commit(vec![change]).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "a row with key (id) = \"2\" exists already"
    );
    assert_eq!(
        contents(table.snapshot(table.stable_offset(), true).await.unwrap())
            .await
            .len(),
        3
    );
}

#[tokio::test]
async fn readers_do_not_see_what_is_not_durable_and_writers_do() {
    let log = TestLog::new().await;
    let table = table(&log, true).await;
    insert(&table, 0..3).await;
    let at = table.stable_offset();
    let writer = table.writer().await.unwrap();
    let delete = Change::Delete {
        keys: BinaryArray::from_iter_values([b"1".as_slice(), b"8"]),
    };
    let add = Change::Insert {
        rows: rows(true, &[(1, 9.0), (4, 9.0)]),
        on_conflict: OnConflict::Error,
    };
    let commit = writer.commit(vec![delete, add]).await.unwrap();
    assert_eq!(commit.affected, [1, 2]);
    let next = table.writer().await.unwrap();
    let seen = contents(next.snapshot(true)).await;
    assert_eq!(
        seen.iter()
            .map(|(_, id, price)| (*id, *price))
            .collect::<Vec<_>>(),
        [(0, 0.5), (1, 9.0), (2, 0.5), (4, 9.0)]
    );
    let held = contents(table.snapshot(at, true).await.unwrap()).await;
    assert_eq!(held.len(), 3);
    assert_eq!(held[1].2, 0.5);
    commit.durable().await.unwrap();
}

#[tokio::test]
async fn a_statement_made_for_an_older_table_is_refused() {
    let log = TestLog::new().await;
    let one = table(&log, true).await;
    insert(&one, 0..3).await;
    let other = KeyedTable::new(
        one.topic().clone(),
        items(true),
        log.clock.clone(),
        unbounded(),
    )
    .unwrap();
    let writer = one.writer().await.unwrap();
    insert(&other, 3..5).await;
    let change = |id| Change::Insert {
        rows: rows(true, &[(id, 1.0)]),
        on_conflict: OnConflict::Error,
    };
    let error = writer.commit(vec![change(9)]).await.unwrap_err();
    assert_eq!(error.sqlstate(), SqlState::SERIALIZATION_FAILURE);
    // The next writer has what the other instance wrote.
    let writer = one.writer().await.unwrap();
    let error = writer.commit(vec![change(4)]).await.unwrap_err();
    assert_eq!(error.sqlstate(), SqlState::UNIQUE_VIOLATION);
    let all = contents(one.snapshot(one.stable_offset(), true).await.unwrap()).await;
    assert_eq!(all.len(), 5);
}

#[tokio::test]
async fn rows_count_against_the_memory_that_is_there() {
    let log = TestLog::new().await;
    let topic = log.topic(1, true).await;
    let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(200_000));
    let open = || {
        KeyedTable::new(
            topic.clone(),
            items(true),
            log.clock.clone(),
            Arc::clone(&pool),
        )
    };
    let table = open().unwrap();
    insert(&table, 0..500).await;
    assert_eq!(pool.reserved(), table.memory_bytes());
    let given: Vec<(i64, f64)> = (500..10_000).map(|id| (id, 0.5)).collect();
    let change = Change::Insert {
        rows: rows(true, &given),
        on_conflict: OnConflict::Error,
    };
    let refused = table.writer().await.unwrap().commit(vec![change]).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.sqlstate(), SqlState::OUT_OF_MEMORY, "{refused}");
    // Nothing of it happened, and the table goes on.
    insert(&table, 500..501).await;
    let now = table.snapshot(table.stable_offset(), true).await.unwrap();
    assert_eq!(contents(now).await.len(), 501);
    drop(table);
    assert_eq!(pool.reserved(), 0);
    // A table that grew under a larger limit is not read under a smaller one.
    let held = MemoryConsumer::new("others").register(&pool);
    held.grow(190_000);
    let table = open().unwrap();
    let refused = table.snapshot(table.stable_offset(), true).await;
    assert_eq!(refused.unwrap_err().sqlstate(), SqlState::OUT_OF_MEMORY);
    held.free();
    let now = table.snapshot(table.stable_offset(), true).await.unwrap();
    assert_eq!(contents(now).await.len(), 501);
}
