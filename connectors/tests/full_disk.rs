//! What a full disk does to a table: statements that the log gives up have not happened, nor has what was built on them.
//!
//! A process of its own, as fail points are the process's.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, mpsc};

use arrow::array::{ArrayRef, AsArray, BinaryArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type};
use datafusion::catalog::TableProvider;
use datafusion::execution::memory_pool::UnboundedMemoryPool;
use datafusion::prelude::SessionContext;
use fail::FailScenario;
use parking_lot::Mutex;
use weir_base::{Classify, Clock, ManualClock, SqlState, TopicName};
use weir_connectors::topic::{
    Change, Commit, KeyedTable, OnConflict, RowColumn, RowSchema, Rows, TableWriter, encode_batch,
};
use weir_topics::{LogSettings, TopicConfig, TopicLog, TopicSpec};

fn schema() -> Arc<RowSchema> {
    let columns = vec![
        RowColumn::new(Field::new("k", DataType::Int64, false)),
        RowColumn::new(Field::new("v", DataType::Int64, true)),
    ];
    Arc::new(RowSchema::new(columns, vec![0]).unwrap())
}

fn rows(given: &[(i64, i64)]) -> Rows {
    let schema = schema();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(given.iter().map(|row| row.0))),
        Arc::new(Int64Array::from_iter_values(given.iter().map(|row| row.1))),
    ];
    let batch = RecordBatch::try_new(Arc::clone(schema.schema()), columns).unwrap();
    encode_batch(&schema, &batch).unwrap()
}

fn insert(given: &[(i64, i64)], on_conflict: OnConflict) -> Change {
    Change::Insert {
        rows: rows(given),
        on_conflict,
    }
}

fn delete(keys: &[&str]) -> Change {
    Change::Delete {
        keys: BinaryArray::from_iter_values(keys),
    }
}

async fn open(dir: &Path) -> (TopicLog, KeyedTable) {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(1_000));
    let log = TopicLog::open(LogSettings::new(dir), Arc::clone(&clock))
        .await
        .unwrap();
    let name = TopicName::new("t").unwrap();
    let topic = match log.topic(&name) {
        Some(topic) => topic,
        None => log
            .create_topic(
                &name,
                TopicSpec {
                    partitions: 1,
                    owned: true,
                },
                TopicConfig::default(),
            )
            .await
            .unwrap(),
    };
    let memory = Arc::new(UnboundedMemoryPool::default());
    let table = KeyedTable::new(topic, schema(), clock, memory).unwrap();
    (log, table)
}

async fn read(table: Arc<dyn TableProvider>, filter: &str) -> BTreeMap<i64, i64> {
    let context = SessionContext::new();
    context.register_table("t", table).unwrap();
    let sql = format!("SELECT k, v FROM t WHERE {filter}");
    let batches = context.sql(&sql).await.unwrap().collect().await.unwrap();
    let rows = batches.iter().flat_map(|batch| {
        let keys = batch.column(0).as_primitive::<Int64Type>().values();
        let values = batch.column(1).as_primitive::<Int64Type>().values();
        keys.iter().copied().zip(values.iter().copied())
    });
    rows.collect()
}

async fn contents(table: &KeyedTable) -> BTreeMap<i64, i64> {
    let now = table.snapshot(table.stable_offset(), true).await.unwrap();
    read(now, "true").await
}

async fn done(table: &KeyedTable, changes: Vec<Change>) -> Commit {
    let writer: TableWriter = table.writer().await.unwrap();
    writer.commit(changes).await.unwrap()
}

/// Whether a statement that saw what was lost is told so: it waited for it, or came after.
fn passes(error: &weir_connectors::Error) -> bool {
    [SqlState::DISK_FULL, SqlState::SERIALIZATION_FAILURE].contains(&error.sqlstate())
}

/// Holds the log's writer back before its next sync until the answer is dropped; it is there when this returns.
struct HeldSync {
    reached: mpsc::Receiver<()>,
    release: Option<mpsc::Sender<()>>,
}

impl HeldSync {
    fn prepare() -> Self {
        let (reaches, reached) = mpsc::channel();
        let (release, released) = mpsc::channel();
        let once = Mutex::new(Some((reaches, released)));
        fail::cfg_callback("topics::before_sync", move || {
            if let Some((reaches, released)) = once.lock().take() {
                let _ = reaches.send(());
                let _: Result<(), _> = released.recv();
            }
        })
        .unwrap();
        Self {
            reached,
            release: Some(release),
        }
    }

    fn wait(&self) {
        self.reached.recv().unwrap();
    }

    fn release(&mut self) {
        self.release.take();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_log_gave_up_has_not_happened_and_the_table_goes_on() {
    let scenario = FailScenario::setup();
    let dir = tempfile::tempdir().unwrap();
    let (log, table) = open(dir.path()).await;
    let first = done(
        &table,
        vec![insert(&[(0, 0), (1, 0), (2, 0)], OnConflict::Error)],
    )
    .await;
    first.durable().await.unwrap();

    // One statement is being synced, others wait behind it.
    let mut sync = HeldSync::prepare();
    let synced = done(&table, vec![insert(&[(3, 0)], OnConflict::Error)]).await;
    sync.wait();
    let lost = done(
        &table,
        vec![
            delete(&["1"]),
            insert(&[(0, 9), (4, 9)], OnConflict::Replace),
        ],
    )
    .await;
    // What finds nothing to do because of the one that will be lost is not acknowledged before it.
    let nothing = done(&table, vec![insert(&[(4, 1)], OnConflict::Nothing)]).await;
    assert_eq!(nothing.affected, [0]);
    // This one has its turn, and has read the rows, when they are lost.
    let behind = table.writer().await.unwrap();
    assert_eq!(
        read(behind.snapshot(true), "true").await,
        BTreeMap::from([(0, 9), (2, 0), (3, 0), (4, 9)])
    );
    fail::cfg("topics::append", "1*return(enospc)").unwrap();
    sync.release();
    synced.durable().await.unwrap();
    let error = lost.durable().await.unwrap_err();
    assert_eq!(error.sqlstate(), SqlState::DISK_FULL, "{error}");
    let error = nothing.durable().await.unwrap_err();
    assert!(passes(&error), "{error}");
    let error = behind.commit(vec![delete(&["0"])]).await.unwrap_err();
    assert_eq!(error.sqlstate(), SqlState::SERIALIZATION_FAILURE, "{error}");

    let kept = BTreeMap::from([(0, 0), (1, 0), (2, 0), (3, 0)]);
    assert_eq!(contents(&table).await, kept);
    for (key, value) in &kept {
        let now = table.snapshot(table.stable_offset(), true).await.unwrap();
        let one = read(now, &format!("k = {key}")).await;
        assert_eq!(one, BTreeMap::from([(*key, *value)]));
    }
    let next = done(
        &table,
        vec![
            delete(&["2", "4"]),
            insert(&[(4, 3)], OnConflict::Error),
            insert(&[(1, 3)], OnConflict::Nothing),
        ],
    )
    .await;
    assert_eq!(next.affected, [1, 1, 0]);
    next.durable().await.unwrap();
    let after = BTreeMap::from([(0, 0), (1, 0), (3, 0), (4, 3)]);
    assert_eq!(contents(&table).await, after);
    log.close().await.unwrap();
    drop((log, table));
    let (_log, table) = open(dir.path()).await;
    assert_eq!(contents(&table).await, after);

    // A key is not said to be there when the row that had it is lost.
    let mut sync = HeldSync::prepare();
    let synced = done(&table, vec![delete(&["0"])]).await;
    sync.wait();
    let lost = done(&table, vec![insert(&[(5, 0)], OnConflict::Error)]).await;
    let writer = table.writer().await.unwrap();
    let collides = tokio::spawn(async move {
        writer
            .commit(vec![insert(&[(5, 1)], OnConflict::Error)])
            .await
    });
    fail::cfg("topics::append", "1*return(enospc)").unwrap();
    sync.release();
    synced.durable().await.unwrap();
    assert!(lost.durable().await.is_err());
    let error = collides.await.unwrap().unwrap_err();
    assert!(passes(&error), "{error}");
    let again = done(&table, vec![insert(&[(5, 1)], OnConflict::Error)]).await;
    again.durable().await.unwrap();
    let after = BTreeMap::from([(1, 0), (3, 0), (4, 3), (5, 1)]);
    assert_eq!(contents(&table).await, after);
    scenario.teardown();
}
