//! What a live query gives is what the same query gives over the prefix that it has read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use proptest::prelude::*;
use weir_base::{Clock, ManualClock, Offset, OffsetVector, TopicName};
use weir_connectors::topic::{
    RowColumn, RowSchema, StreamTable, TopicHold, TopicWriter, encode_batch,
};
use weir_topics::{LogSettings, TopicConfig, TopicLog, TopicSpec};

use crate::{Error, LiveQuery};

/// Two streams `a` and `b` of `(id BIGINT, v BIGINT, name TEXT)`, and a table `t (k BIGINT, label TEXT)` that does not change.
struct World {
    writers: Vec<TopicWriter>,
    table: Arc<CountingTable>,
    log: TopicLog,
    _dir: tempfile::TempDir,
}

/// A table that counts how often it is read.
#[derive(Debug)]
struct CountingTable {
    table: MemTable,
    scans: AtomicUsize,
}

#[async_trait::async_trait]
impl TableProvider for CountingTable {
    fn schema(&self) -> SchemaRef {
        self.table.schema()
    }
    fn table_type(&self) -> TableType {
        TableType::Base
    }
    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        self.scans.fetch_add(1, Ordering::SeqCst);
        self.table.scan(state, projection, filters, limit).await
    }
}

fn rows_schema() -> Arc<RowSchema> {
    let columns = vec![
        RowColumn::new(Field::new("id", DataType::Int64, false)),
        RowColumn::new(Field::new("v", DataType::Int64, true)),
        RowColumn::new(Field::new("name", DataType::Utf8View, true)),
    ];
    Arc::new(RowSchema::new(columns, vec![]).unwrap())
}

impl World {
    async fn new(partitions: [u32; 2], table_rows: i64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(1));
        let mut settings = LogSettings::new(dir.path());
        settings.segment_bytes_max = 64 << 10;
        settings.index_interval_bytes = 512;
        let log = TopicLog::open(settings, Arc::clone(&clock)).await.unwrap();
        let mut writers = Vec::new();
        for (name, partitions) in ["a", "b"].into_iter().zip(partitions) {
            let spec = TopicSpec {
                partitions,
                owned: false,
            };
            let topic = log
                .create_topic(&TopicName::new(name).unwrap(), spec, TopicConfig::default())
                .await
                .unwrap();
            writers.push(TopicWriter::new(topic, rows_schema(), Arc::clone(&clock)));
        }
        let keys = Int64Array::from_iter_values((0..table_rows).map(|k| k * 2));
        let labels =
            StringViewArray::from_iter_values((0..table_rows).map(|k| format!("label {}", k * 2)));
        let schema = arrow::datatypes::Schema::new(vec![
            Field::new("k", DataType::Int64, false),
            Field::new("label", DataType::Utf8View, false),
        ]);
        let batch =
            RecordBatch::try_new(Arc::new(schema), vec![Arc::new(keys), Arc::new(labels)]).unwrap();
        let table = MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap();
        let table = Arc::new(CountingTable {
            table,
            scans: AtomicUsize::new(0),
        });
        Self {
            writers,
            table,
            log,
            _dir: dir,
        }
    }

    async fn append(&self, stream: usize, ids: std::ops::Range<i64>) {
        let v = Int64Array::from_iter(ids.clone().map(|id| (id % 7 != 0).then_some(id % 5)));
        let names = StringViewArray::from_iter_values(ids.clone().map(|id| format!("row {id}")));
        let columns: Vec<arrow::array::ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(ids)),
            Arc::new(v),
            Arc::new(names),
        ];
        let batch = RecordBatch::try_new(Arc::clone(rows_schema().schema()), columns).unwrap();
        let rows = encode_batch(&rows_schema(), &batch).unwrap();
        self.writers[stream].append(&rows, None).await.unwrap();
    }

    /// A session that sees the streams up to these offsets.
    fn session(&self, ends: Option<&OffsetVector>) -> SessionContext {
        let config = SessionConfig::new()
            .with_target_partitions(1)
            .with_batch_size(16);
        let context = SessionContext::new_with_config(config);
        for writer in &self.writers {
            let topic = writer.topic().clone();
            let name = topic.name().clone();
            let ends = match ends {
                None => topic.stable_offsets(),
                // A stream that the query does not read has no say.
                Some(ends) => ends
                    .topic(&name)
                    .map(<[Offset]>::to_vec)
                    .unwrap_or_default(),
            };
            let table =
                StreamTable::new(TopicHold::now(topic).up_to(ends), rows_schema(), true).live();
            context
                .register_table(name.as_str(), Arc::new(table))
                .unwrap();
        }
        context
            .register_table("t", Arc::clone(&self.table) as Arc<dyn TableProvider>)
            .unwrap();
        context
    }

    async fn live(&self, sql: &str, position: Option<OffsetVector>) -> crate::Result<LiveQuery> {
        let context = self.session(None);
        let plan = context
            .sql(sql)
            .await
            .unwrap()
            .create_physical_plan()
            .await
            .unwrap();
        LiveQuery::new(plan, context.task_ctx(), position).await
    }

    /// What a query gives over a prefix, sorted.
    async fn bounded(&self, sql: &str, ends: &OffsetVector) -> Vec<String> {
        let mut rows = shown(
            &self
                .session(Some(ends))
                .sql(sql)
                .await
                .unwrap()
                .collect()
                .await
                .unwrap(),
        );
        rows.sort();
        rows
    }
}

fn shown(batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::default().with_null("-");
    let mut rows = Vec::new();
    for batch in batches {
        let columns = batch.columns().iter();
        let columns: Vec<_> = columns
            .map(|column| ArrayFormatter::try_new(column, &options).unwrap())
            .collect();
        for row in 0..batch.num_rows() {
            let values: Vec<String> = columns
                .iter()
                .map(|column| column.value(row).to_string())
                .collect();
            rows.push(values.join("|"));
        }
    }
    rows
}

/// Runs a query until it has read all that is there; gives its rows and where it stands.
async fn drain(query: &mut LiveQuery, into: &mut Vec<String>) -> OffsetVector {
    while query.rows_behind() > 0 {
        let step = query.step().await.unwrap();
        into.extend(shown(&step.batches));
        assert_eq!(step.position, query.position());
    }
    query.position()
}

/// Queries that can be live; `{n}` is some number.
const QUERIES: [&str; 15] = [
    "SELECT id, v, name FROM a",
    "SELECT id + {n} AS x, upper(name) FROM a WHERE v > {n} % 5",
    "SELECT name FROM a WHERE id % ({n} + 1) = 0 OR v IS NULL",
    "SELECT id FROM a UNION ALL SELECT v FROM b WHERE v < {n}",
    "SELECT id, 'all' AS tag FROM a UNION ALL SELECT id, 'some' FROM a WHERE id > {n}",
    "SELECT a.id, t.label FROM a JOIN t ON a.id = t.k",
    "SELECT a.id, t.label FROM a LEFT JOIN t ON a.v = t.k AND a.id > {n}",
    "SELECT t.label, b.id FROM t RIGHT JOIN b ON b.id = t.k + {n}",
    "SELECT id FROM a WHERE EXISTS (SELECT 1 FROM t WHERE t.k = a.id)",
    "SELECT id FROM a WHERE NOT EXISTS (SELECT 1 FROM t WHERE t.k = a.id)",
    "SELECT id FROM a WHERE id NOT IN (SELECT k FROM t WHERE k <> {n})",
    "SELECT id FROM b WHERE v IN (SELECT k FROM t WHERE k > {n})",
    "SELECT a.id, t.k FROM a JOIN t ON a.v < t.k AND t.k < {n}",
    "SELECT a.id, s.n FROM a CROSS JOIN (SELECT count(*) AS n FROM t) AS s",
    "SELECT u.id, t.label FROM (SELECT id FROM a UNION ALL SELECT id FROM b) AS u LEFT JOIN t ON t.k = u.id \
     WHERE u.id % 3 <> {n} % 3",
];

#[derive(Debug, Clone)]
enum Act {
    Append(usize, i64),
    /// Steps up to this many, each of at most so many rows.
    Step(usize),
    /// Start anew at the position reached.
    Resume,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    prop::collection::vec(
        prop_oneof![
            4 => (0..2usize, 1..60i64).prop_map(|(stream, rows)| Act::Append(stream, rows)),
            4 => (1..8usize).prop_map(Act::Step),
            1 => Just(Act::Resume),
        ],
        1..16,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However rows arrive and steps are cut, and wherever the query is resumed: no row is missing, and none comes twice.
    #[test]
    fn live_is_bounded_at_every_position(
        query in prop::sample::select(QUERIES.to_vec()),
        n in 0..9i64,
        partitions in (1..4u32, 1..3u32),
        history in (0..80i64, 0..80i64),
        step_rows in 1..40u32,
        acts in acts(),
    ) {
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let sql = query.replace("{n}", &n.to_string());
            let world = World::new([partitions.0, partitions.1], 10).await;
            world.append(0, 0..history.0).await;
            world.append(1, 0..history.1).await;
            let mut next = [history.0, history.1];
            let mut live = world.live(&sql, None).await.unwrap().with_step_rows(step_rows);
            let mut given = Vec::new();
            for act in acts {
                match act {
                    Act::Append(stream, rows) => {
                        world.append(stream, next[stream]..next[stream] + rows).await;
                        next[stream] += rows;
                    }
                    Act::Step(steps) => {
                        for _ in 0..steps {
                            if live.rows_behind() > 0 {
                                given.extend(shown(&live.step().await.unwrap().batches));
                            }
                        }
                    }
                    Act::Resume => {
                        let token = live.position().to_string().parse().unwrap();
                        live = world.live(&sql, Some(token)).await.unwrap().with_step_rows(step_rows);
                    }
                }
                let mut so_far = given.clone();
                so_far.sort();
                prop_assert_eq!(so_far, world.bounded(&sql, &live.position()).await, "{} at {}", sql, live.position());
            }
            let end = drain(&mut live, &mut given).await;
            given.sort();
            prop_assert_eq!(given, world.bounded(&sql, &end).await, "{}", sql);
            for writer in &world.writers {
                if let Some(end) = end.topic(writer.topic().name()) {
                    prop_assert_eq!(end, writer.topic().stable_offsets());
                }
            }
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn a_static_table_is_read_once() {
    let world = World::new([1, 1], 100_000).await;
    let sql = "SELECT a.id, t.label FROM a JOIN t ON a.id = t.k";
    let mut live = world.live(sql, None).await.unwrap();
    let mut given = Vec::new();
    for round in 0..30 {
        world.append(0, round * 10..round * 10 + 10).await;
        drain(&mut live, &mut given).await;
    }
    assert_eq!(given.len(), 150);
    assert_eq!(world.table.scans.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_row_wakes_the_query_that_waits_for_it() {
    let world = World::new([2, 1], 0).await;
    let live = world
        .live("SELECT name FROM a WHERE id > 1", None)
        .await
        .unwrap();
    let waiting = tokio::spawn(async move {
        let mut live = live;
        let mut given = Vec::new();
        while given.is_empty() {
            given = shown(&live.step().await.unwrap().batches);
        }
        given
    });
    world.append(0, 0..1).await;
    world.append(0, 2..3).await;
    assert_eq!(waiting.await.unwrap(), ["row 2"]);
}

#[tokio::test]
async fn a_dropped_stream_ends_the_query() {
    let mut world = World::new([1, 1], 0).await;
    let mut live = world.live("SELECT id FROM a", None).await.unwrap();
    let topic = world.writers.remove(0).topic().clone();
    let waiting = tokio::spawn(async move { live.step().await.unwrap_err() });
    world.log.delete_topic(topic.id()).await.unwrap();
    let error = waiting.await.unwrap();
    assert!(matches!(error, Error::Dropped(_)), "{error:?}");
}

#[tokio::test]
async fn a_stream_that_grows_is_gone_on_with_from_the_last_position() {
    let mut world = World::new([1, 1], 0).await;
    world.append(0, 0..10).await;
    let mut live = world.live("SELECT name FROM a", None).await.unwrap();
    let mut given = Vec::new();
    drain(&mut live, &mut given).await;
    let position = live.position();
    let waiting = tokio::spawn(async move { live.step().await.unwrap_err() });
    let id = world.writers[0].topic().id();
    let topic = world.log.add_partitions(id, 3).await.unwrap();
    let error = waiting.await.unwrap();
    assert!(matches!(error, Error::Grown(_)), "{error:?}");
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(1));
    world.writers[0] = TopicWriter::new(topic, rows_schema(), clock);
    for start in [10, 20, 30] {
        world.append(0, start..start + 10).await;
    }
    let mut live = world
        .live("SELECT name FROM a", Some(position))
        .await
        .unwrap();
    drain(&mut live, &mut given).await;
    given.sort();
    let mut expected: Vec<String> = (0..40).map(|id| format!("row {id}")).collect();
    expected.sort();
    assert_eq!(given, expected);
}

#[tokio::test]
async fn what_needs_state_is_refused_by_name() {
    let world = World::new([1, 1], 10).await;
    world.append(0, 0..10).await;
    for (sql, what) in [
        (
            "SELECT v, count(*) FROM a GROUP BY v",
            "GROUP BY, DISTINCT or an aggregate",
        ),
        (
            "SELECT DISTINCT v FROM a",
            "GROUP BY, DISTINCT or an aggregate",
        ),
        ("SELECT id FROM a ORDER BY id", "ORDER BY"),
        ("SELECT id FROM a LIMIT 3", "LIMIT within the query"),
        (
            "SELECT id FROM a WHERE v = 1 LIMIT 3",
            "LIMIT within the query",
        ),
        ("SELECT id, row_number() OVER () FROM a", "OVER windows"),
        (
            "SELECT a.id FROM a JOIN b ON a.id = b.id",
            "a join of two streams",
        ),
        (
            "SELECT id FROM a UNION ALL SELECT k FROM t",
            "a UNION with a part that reads no stream",
        ),
        (
            "SELECT id FROM a WHERE v NOT IN (SELECT k FROM t)",
            "NOT IN with a subquery",
        ),
        (
            "SELECT a.id, t.k FROM t LEFT JOIN a ON a.id = t.k",
            "an outer join that keeps rows of the table without a partner in the stream",
        ),
        (
            "SELECT a.id, t.k FROM a FULL JOIN t ON a.id = t.k",
            "an outer join that keeps rows of the table without a partner in the stream",
        ),
        (
            "SELECT k FROM t WHERE EXISTS (SELECT 1 FROM a WHERE a.id = t.k)",
            "an outer join that keeps rows of the table without a partner in the stream",
        ),
    ] {
        let error = world.live(sql, None).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("a query that remembers nothing cannot have {what}"),
            "{sql}"
        );
    }
    let error = world.live("SELECT k FROM t", None).await.unwrap_err();
    assert!(matches!(error, Error::ReadsNoStream), "{error}");
}

#[tokio::test]
async fn a_token_must_fit_the_query() {
    let world = World::new([2, 1], 0).await;
    world.append(0, 0..3).await;
    for (token, wrong) in [
        ("", "it says nothing of topic a"),
        ("b:0", "the query does not read topic b"),
        ("a:0,0,0", "topic a has 2 partitions, not 3"),
        ("a:9,0", "topic a partition 0 ends at offset 3, before 9"),
    ] {
        let token: OffsetVector = token.parse().unwrap();
        let error = world
            .live("SELECT id FROM a", Some(token))
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("the resume token does not fit this query: {wrong}")
        );
    }
}
