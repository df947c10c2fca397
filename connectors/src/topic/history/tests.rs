use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::StreamExt;
use object_store::ObjectStoreExt;
use proptest::prelude::*;
use weir_base::{Classify, Kind, Offset, PartitionId};
use weir_topics::{Topic, TopicLog};

use super::{History, HistoryPlace};
use crate::files::{FilePolicy, FileStores};
use crate::topic::testing::TestLog;
use crate::topic::{
    RowColumn, RowSchema, StreamTable, TopicHold, TopicScanExec, TopicWriter, as_topic_scan,
    encode_ndjson,
};

/// A log with one topic and the place of its history.
struct World {
    log: TestLog,
    stores: FileStores,
    dir: tempfile::TempDir,
    topic: Topic,
    history: History,
}

/// `id BIGINT`, `name TEXT` stored as `name` but called `name_as`, and `extra BIGINT` that rows before it show as 7.
fn rows(name_as: &str, with_extra: bool) -> Arc<RowSchema> {
    let mut columns = vec![
        RowColumn::new(Field::new("id", DataType::Int64, false)),
        RowColumn::new(Field::new(name_as, DataType::Utf8, true)).with_source("name"),
    ];
    if with_extra {
        let mut extra = RowColumn::new(Field::new("extra", DataType::Int64, true));
        extra.absent = Some(ScalarValue::Int64(Some(7)));
        columns.push(extra);
    }
    Arc::new(RowSchema::new(columns, vec![]).unwrap())
}

impl World {
    async fn new(partitions: u32) -> Self {
        let log = TestLog::new().await;
        let topic = log.topic(partitions, true).await;
        let dir = tempfile::tempdir().unwrap();
        let stores = FileStores::new(FilePolicy::default()).unwrap();
        let history = open(&stores, &dir, &topic).await.unwrap();
        Self {
            log,
            stores,
            dir,
            topic,
            history,
        }
    }

    /// Closes log and history and opens them again.
    async fn reopened(self) -> Self {
        let Self {
            log,
            stores,
            dir,
            topic,
            history,
        } = self;
        let name = topic.name().clone();
        drop((history, topic));
        let log = log.reopen().await;
        let topic = TopicLog::topic(&log.log, &name).unwrap();
        let history = open(&stores, &dir, &topic).await.unwrap();
        Self {
            log,
            stores,
            dir,
            topic,
            history,
        }
    }

    /// Writes rows with these ids to partitions in turn.
    async fn write(&self, ids: impl IntoIterator<Item = i64>) {
        let lines: Vec<String> = ids
            .into_iter()
            .map(|id| format!("{{\"id\":{id},\"name\":\"name {id:04}\"}}"))
            .collect();
        let rows = encode_ndjson(&rows("name", false), &lines.join("\n").into()).unwrap();
        let clock = Arc::clone(&self.log.clock) as _;
        let writer = TopicWriter::new(self.topic.clone(), self::rows("name", false), clock);
        writer.append(&rows, None).await.unwrap();
    }

    /// Writes 300 rows, so that there are several closed segments.
    async fn fill(&self) {
        for start in [0, 100, 200] {
            self.write(start..start + 100).await;
        }
    }

    fn context(&self, target_partitions: usize) -> SessionContext {
        let config = SessionConfig::new()
            .with_target_partitions(target_partitions)
            .with_batch_size(7);
        let runtime = RuntimeEnvBuilder::new()
            .with_object_store_registry(self.stores.registry())
            .build_arc()
            .unwrap();
        SessionContext::new_with_config_rt(config, runtime)
    }

    /// Converts what there is to convert.
    async fn convert(&self, rows: &Arc<RowSchema>) {
        for partition in self.topic.partitions() {
            loop {
                let context = self.context(1).task_ctx();
                let next =
                    self.history
                        .convert_next(&self.topic, partition.id(), rows, context, 2048);
                if next.await.unwrap().is_none() {
                    break;
                }
            }
        }
    }

    /// Lets the log go of what Parquet has.
    fn drop_log(&self) {
        for partition in self.topic.partitions() {
            if let Some(end) = self.history.end(partition.id()) {
                partition
                    .delete_before(end.max(partition.start_offset()))
                    .unwrap();
            }
        }
    }

    fn table(&self, rows: &Arc<RowSchema>, ends: Option<Vec<Offset>>) -> StreamTable {
        let mut hold = TopicHold::now(self.topic.clone());
        if let Some(ends) = ends {
            hold = hold.up_to(ends);
        }
        StreamTable::new(hold, Arc::clone(rows), true).with_history(self.history.view())
    }

    async fn query(&self, table: StreamTable, sql: &str) -> Vec<RecordBatch> {
        let context = self.context(3);
        context.register_table("t", Arc::new(table)).unwrap();
        context.sql(sql).await.unwrap().collect().await.unwrap()
    }

    async fn count(&self, rows: &Arc<RowSchema>, filter: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM t {filter}");
        let batches = self.query(self.table(rows, None), &sql).await;
        batches[0].column(0).as_primitive::<Int64Type>().value(0)
    }
}

async fn open(
    stores: &FileStores,
    dir: &tempfile::TempDir,
    topic: &Topic,
) -> crate::Result<History> {
    let place = HistoryPlace::local(stores, dir.path()).unwrap();
    History::open(place, topic, 17).await
}

fn scan_of(plan: &dyn ExecutionPlan) -> Option<&TopicScanExec> {
    as_topic_scan(plan).or_else(|| {
        let mut below = plan.children().into_iter();
        below.find_map(|child| scan_of(child.as_ref()))
    })
}

fn triples(batches: &[RecordBatch]) -> Vec<(i32, i64, i64)> {
    let rows = batches.iter().flat_map(|batch| {
        let partitions = batch.column(0).as_primitive::<Int32Type>();
        let offsets = batch.column(1).as_primitive::<Int64Type>();
        let ids = batch.column(2).as_primitive::<Int64Type>();
        (0..batch.num_rows()).map(|row| (partitions.value(row), offsets.value(row), ids.value(row)))
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort_unstable();
    rows
}

#[derive(Debug, Clone)]
enum Step {
    Write(usize),
    Convert,
    DropLog,
    Restart,
    AlterColumns,
    Tick(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..120usize).prop_map(Step::Write),
        3 => Just(Step::Convert),
        1 => Just(Step::DropLog),
        1 => Just(Step::Restart),
        1 => Just(Step::AlterColumns),
        2 => (1..50i64).prop_map(Step::Tick),
    ];
    prop::collection::vec(step, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever was converted, dropped from the log, and altered since: a query up to any offsets gives exactly the rows that were
    /// written up to there, bounded and live, whatever it filters by.
    #[test]
    fn history_and_log_are_one_table(
        steps in steps(),
        ends in prop::collection::vec(0..400i64, 2),
        min_offset in prop::option::of(0..300i64),
        time in prop::option::of((0..400i64, 0..200i64)),
        partition in prop::option::of(0..2i32),
        min_id in prop::option::of(0..600i64),
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let mut world = World::new(2).await;
            let mut model: Vec<(i32, i64, i64, i64)> = Vec::new();
            let (mut id, mut altered) = (0i64, 0u32);
            let mut columns = rows("name", false);
            for step in steps {
                match step {
                    Step::Write(count) => {
                        let before = world.topic.stable_offsets();
                        world.write(id..id + count as i64).await;
                        let all = world.query(
                            StreamTable::new(
                                TopicHold::now(world.topic.clone()).starting_at(before),
                                Arc::clone(&columns),
                                true,
                            ),
                            "SELECT _partition, _offset, id FROM t",
                        ).await;
                        let now = weir_base::Clock::now_ms(world.log.clock.as_ref());
                        model.extend(triples(&all).into_iter().map(|(p, o, id)| (p, o, id, now)));
                        id += count as i64;
                    }
                    Step::Convert => world.convert(&columns).await,
                    Step::DropLog => world.drop_log(),
                    Step::Restart => world = world.reopened().await,
                    Step::AlterColumns => {
                        altered += 1;
                        columns = rows(&format!("name{altered}"), altered % 2 == 1);
                    }
                    Step::Tick(ms) => {
                        world.log.clock.advance(ms);
                    }
                }
            }
            prop_assert_eq!(model.len() as i64, id);

            let stable = world.topic.stable_offsets();
            let ends: Vec<Offset> = ends.iter().zip(&stable).map(|(end, stable)| Offset(*end).min(*stable)).collect();
            model.retain(|(p, offset, _, _)| *offset < ends[*p as usize].0);
            let whole: Vec<_> = {
                let mut whole: Vec<_> = model.iter().map(|(p, o, id, _)| (*p, *o, *id)).collect();
                whole.sort_unstable();
                whole
            };
            let mut filters = vec!["id >= 0".to_owned()];
            if let Some(min) = min_offset {
                filters.push(format!("_offset >= {min}"));
                model.retain(|row| row.1 >= min);
            }
            if let Some((from, span)) = time {
                let (from, to) = (1_000 + from, 1_000 + from + span);
                let at = |ms: i64| format!("arrow_cast({ms}, 'Timestamp(Millisecond, Some(\"UTC\"))')");
                filters.push(format!("_timestamp BETWEEN {} AND {}", at(from), at(to)));
                model.retain(|row| (from..=to).contains(&row.3));
            }
            if let Some(partition) = partition {
                filters.push(format!("_partition = {partition}"));
                model.retain(|row| row.0 == partition);
            }
            if let Some(min) = min_id {
                filters.push(format!("id >= {min}"));
                model.retain(|row| row.2 >= min);
            }
            let mut expected: Vec<_> = model.iter().map(|(p, o, id, _)| (*p, *o, *id)).collect();
            expected.sort_unstable();
            let filters = filters.join(" AND ");
            let table = || world.table(&columns, Some(ends.clone()));
            let sql = format!("SELECT _partition, _offset, id FROM t WHERE {filters}");
            prop_assert_eq!(triples(&world.query(table(), &sql).await), expected.clone());
            let counted = world.query(table(), "SELECT count(*) FROM t").await;
            prop_assert_eq!(counted[0].column(0).as_primitive::<Int64Type>().value(0) as usize, whole.len());
            // Every column, by the name that it has now.
            let name = columns.columns()[1].field.name();
            let wrong = format!("SELECT _partition, _offset, id FROM t WHERE \"{name}\" IS DISTINCT FROM concat('name ', lpad(cast(id AS text), 4, '0'))");
            prop_assert_eq!(triples(&world.query(table(), &wrong).await), vec![]);
            if columns.columns().len() == 3 {
                let wrong = "SELECT _partition, _offset, id FROM t WHERE extra IS DISTINCT FROM 7";
                prop_assert_eq!(triples(&world.query(table(), wrong).await), vec![]);
            }
            // A live query reads the same in one step after the other.
            let context = world.context(1);
            context.register_table("t", Arc::new(table().live())).unwrap();
            let plan = context.sql("SELECT _partition, _offset, id FROM t").await.unwrap();
            let plan = plan.create_physical_plan().await.unwrap();
            // Of nothing DataFusion makes no scan.
            let Some(scan) = scan_of(plan.as_ref()) else {
                prop_assert!(whole.is_empty());
                return Ok(());
            };
            let mut at = scan.first_offsets();
            let mut batches = Vec::new();
            while at.iter().zip(&ends).any(|(at, end)| at < end) {
                let to: Vec<Offset> = at.iter().zip(&ends).map(|(at, end)| Offset(at.0 + 23).min(*end).max(*at)).collect();
                scan.set_range(&at, &to).unwrap();
                let mut rows = plan.execute(0, context.task_ctx()).unwrap();
                while let Some(batch) = rows.next().await {
                    batches.push(batch.unwrap());
                }
                at = to;
            }
            prop_assert_eq!(triples(&batches), whole);
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn counting_and_pruning_open_no_file_that_cannot_have_a_row() {
    let world = World::new(1).await;
    let columns = rows("name", false);
    for _ in 0..6 {
        world.write(0..100).await;
        world.log.clock.advance(1_000);
    }
    world.convert(&columns).await;
    let files = world.history.view().files();
    assert!(files.len() > 3, "{files:?}");
    // Without the files only what is known of them can answer.
    let first = &files[0];
    let table = world.table(&columns, None);
    for file in &files[1..] {
        std::fs::remove_file(&file.location).unwrap();
    }
    let counted = world.query(table, "SELECT count(*) FROM t").await;
    assert_eq!(
        counted[0].column(0).as_primitive::<Int64Type>().value(0),
        600
    );
    world.drop_log();
    let filter = format!("WHERE _offset < {} AND id >= 0", first.end.0);
    assert_eq!(world.count(&columns, &filter).await, first.end.0);
    let at = format!(
        "arrow_cast({}, 'Timestamp(Millisecond, Some(\"UTC\"))')",
        first.max_timestamp_ms - 1
    );
    let filter = format!("WHERE _timestamp < {at} AND _offset >= 0");
    assert_eq!(world.count(&columns, &filter).await, 0);
}

#[tokio::test]
async fn what_a_query_reads_is_removed_after_it() {
    let world = World::new(1).await;
    let columns = rows("name", false);
    world.fill().await;
    world.convert(&columns).await;
    world.drop_log();
    let view = world.history.view();
    let locations: Vec<String> = view.files().into_iter().map(|file| file.location).collect();
    world
        .history
        .retain(&world.topic, i64::MAX, Some(0), None)
        .await
        .unwrap();
    world.history.sweep().await.unwrap();
    assert!(world.history.view().is_empty());
    let there = || {
        locations
            .iter()
            .filter(|file| std::path::Path::new(file).exists())
            .count()
    };
    assert_eq!(there(), locations.len());
    drop(view);
    world.history.sweep().await.unwrap();
    assert_eq!(there(), 0);
}

#[tokio::test]
async fn what_a_crash_left_is_removed_and_what_is_broken_is_said() {
    let world = World::new(1).await;
    let columns = rows("name", false);
    world.fill().await;
    world.convert(&columns).await;
    let folder = world
        .dir
        .path()
        .join(world.topic.name().as_str())
        .join("17/partition=0");
    for left in ["0-1.parquet", "0-9.parquet#1", "_manifest.tmp"] {
        std::fs::write(folder.join(left), b"half").unwrap();
    }
    let files = world.history.view().files().len();
    let world = world.reopened().await;
    assert_eq!(world.history.view().files().len(), files);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), files + 1);
    assert_eq!(world.count(&columns, "").await, 300);

    // As long as the log has everything, a broken manifest costs nothing but work.
    let manifest = folder.join("_manifest.json");
    let whole = std::fs::read(&manifest).unwrap();
    std::fs::write(&manifest, &whole[..whole.len() / 2]).unwrap();
    let world = world.reopened().await;
    assert!(world.history.view().is_empty());
    assert_eq!(world.count(&columns, "").await, 300);
    world.convert(&columns).await;
    world.drop_log();
    std::fs::write(&manifest, b"{}").unwrap();
    let error = open(&world.stores, &world.dir, &world.topic)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt, "{error}");
    assert!(error.to_string().contains("_manifest.json"), "{error}");
}

#[tokio::test]
async fn half_a_file_is_an_error_that_names_it() {
    let world = World::new(1).await;
    let columns = rows("name", false);
    world.fill().await;
    world.convert(&columns).await;
    world.drop_log();
    let file = world.history.view().files().remove(0).location;
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let context = world.context(1);
    context
        .register_table("t", Arc::new(world.table(&columns, None)))
        .unwrap();
    let query = context.sql("SELECT sum(id) FROM t").await.unwrap();
    let error = query.collect().await.unwrap_err();
    assert!(error.to_string().contains(".parquet"), "{error}");
}

#[test]
fn columns_that_parquet_does_not_know_are_refused_by_name() {
    let interval = DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano);
    let list = DataType::new_list(interval.clone(), true);
    for wrong in [interval, list] {
        let columns = vec![RowColumn::new(Field::new("waits", wrong, true))];
        let rows = RowSchema::new(columns, vec![]).unwrap();
        let error = History::can_hold(&rows).unwrap_err();
        assert!(error.to_string().contains("INTERVAL"), "{error}");
    }
    History::can_hold(&rows("name", true)).unwrap();
}

#[tokio::test]
async fn a_replaced_topic_has_no_history_of_the_old_one() {
    let world = World::new(1).await;
    world.fill().await;
    world.convert(&rows("name", false)).await;
    let other = world.log.topic(1, true).await;
    let place = HistoryPlace::local(&world.stores, world.dir.path()).unwrap();
    let manifest = world
        .history
        .path(PartitionId(0), super::manifest::FILE_NAME);
    let of_other = place.path(&[
        other.name().as_str(),
        "17",
        "partition=0",
        super::manifest::FILE_NAME,
    ]);
    let bytes = place.read(&manifest).await.unwrap().unwrap();
    place.store().put(&of_other, bytes.into()).await.unwrap();
    let history = History::open(place, &other, 17).await.unwrap();
    assert!(history.view().is_empty());
}
