//! The law: after every step, the sum of all changes that a dataflow gave is what the same SQL gives, as a batch, over the
//! prefix that it has read.

mod asof;
mod gone;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::execution::memory_pool::UnboundedMemoryPool;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use proptest::prelude::*;
use weir_base::{Clock, ManualClock, OffsetVector, TopicName};
use weir_connectors::topic::{
    Change, FollowedTable, Format, KeyFormat, KeyedTable, MirroredTable, OnConflict, OnError,
    RecordFormat, RowColumn, RowSchema, StreamTable, TopicHold, TopicWriter, encode_batch,
};
use weir_topics::{BatchBuilder, LogSettings, RecordRef, Topic, TopicConfig, TopicLog, TopicSpec};

use crate::checkpoint::{Barrier, JobStore};
use crate::{AsOfPlanner, Checkpoints, Dataflow, Delta, unique_key};

/// Streams `a` and `b`, tables `t` and `u`, and the table `m` that somebody else owns, all of `(id BIGINT, v BIGINT, name TEXT)`; `id`
/// is the tables' key.
struct World {
    streams: Vec<TopicWriter>,
    tables: Vec<KeyedTable>,
    mirrored: Topic,
    checkpoints: Checkpoints,
    flights: Barrier,
    log: TopicLog,
    _dir: tempfile::TempDir,
}

fn columns(keyed: bool) -> Arc<RowSchema> {
    let columns = vec![
        RowColumn::new(Field::new("id", DataType::Int64, false)),
        RowColumn::new(Field::new("v", DataType::Int64, true)),
        RowColumn::new(Field::new("name", DataType::Utf8View, true)),
    ];
    let key = if keyed { vec![0] } else { vec![] };
    Arc::new(RowSchema::new(columns, key).unwrap())
}

/// How the records of `m` tell of its rows.
fn mirrored_columns() -> Arc<RowSchema> {
    let rows = RowSchema::new(columns(true).columns().to_vec(), vec![0]).unwrap();
    let format = RecordFormat {
        value: Format::Upsert(Box::new(Format::Json)),
        key: Some(KeyFormat::Text),
        on_error: OnError::Fail,
    };
    Arc::new(rows.with_format(format).unwrap())
}

type Row = (i64, Option<i64>, Option<&'static str>);

fn batch(rows: &[Row]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0))),
        Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.1))),
        Arc::new(StringViewArray::from_iter(rows.iter().map(|row| row.2))),
    ];
    RecordBatch::try_new(Arc::clone(columns_schema()), columns).unwrap()
}

fn columns_schema() -> &'static arrow::datatypes::SchemaRef {
    static SCHEMA: std::sync::LazyLock<arrow::datatypes::SchemaRef> =
        std::sync::LazyLock::new(|| Arc::clone(columns(false).schema()));
    &SCHEMA
}

impl World {
    async fn new(partitions: [u32; 2]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(1));
        let mut settings = LogSettings::new(dir.path());
        settings.segment_bytes_max = 16 << 10;
        settings.index_interval_bytes = 512;
        let log = TopicLog::open(settings, Arc::clone(&clock)).await.unwrap();
        let make = async |name: &str, partitions, owned| {
            let spec = TopicSpec { partitions, owned };
            let name = TopicName::new(name).unwrap();
            log.create_topic(&name, spec, TopicConfig::default())
                .await
                .unwrap()
        };
        let mut streams = Vec::new();
        for (name, partitions) in ["a", "b"].into_iter().zip(partitions) {
            let topic = make(name, partitions, false).await;
            streams.push(TopicWriter::new(topic, columns(false), Arc::clone(&clock)));
        }
        let mut tables = Vec::new();
        for name in ["t", "u"] {
            let topic = make(name, 1, true).await;
            let memory = Arc::new(UnboundedMemoryPool::default());
            tables.push(KeyedTable::new(topic, columns(true), Arc::clone(&clock), memory).unwrap());
        }
        let mirrored = make("m", 2, false).await;
        let checkpoints = Checkpoints::open(&dir.path().join("state")).unwrap();
        let (checkpoints, flights) = Barrier::before(checkpoints);
        Self {
            streams,
            tables,
            mirrored,
            checkpoints,
            flights,
            log,
            _dir: dir,
        }
    }

    async fn append(&self, stream: usize, rows: &[Row]) {
        let rows = encode_batch(&columns(false), &batch(rows)).unwrap();
        self.streams[stream].append(&rows, None).await.unwrap();
    }

    async fn upsert(&self, table: usize, rows: &[Row]) {
        let rows = encode_batch(&columns(true), &batch(rows)).unwrap();
        let insert = Change::Insert {
            rows,
            on_conflict: OnConflict::Replace,
        };
        let writer = self.tables[table].writer().await.unwrap();
        writer
            .commit(vec![insert])
            .await
            .unwrap()
            .durable()
            .await
            .unwrap();
    }

    async fn delete(&self, table: usize, ids: &[i64]) {
        let keys = ids.iter().map(i64::to_string);
        let keys = BinaryArray::from_iter_values(keys.map(String::into_bytes));
        let writer = self.tables[table].writer().await.unwrap();
        let commit = writer.commit(vec![Change::Delete { keys }]).await.unwrap();
        commit.durable().await.unwrap();
    }

    /// Somebody else's rows are put, or taken away.
    async fn mirror(&self, changes: &[(i64, Option<Row>)]) {
        let mut batches = [BatchBuilder::new(), BatchBuilder::new()];
        for (id, row) in changes {
            let key = id.to_string();
            let value = row.map(|(_, v, name)| {
                let v = v.map_or("null".to_owned(), |v| v.to_string());
                let name = name.map_or("null".to_owned(), |name| format!("\"{name}\""));
                format!("{{\"v\":{v},\"name\":{name}}}")
            });
            let record = RecordRef {
                key: Some(key.as_bytes()),
                value: value.as_deref().map(str::as_bytes),
                ..RecordRef::default()
            };
            batches[(id % 2) as usize].push(record).unwrap();
        }
        for (partition, batch) in self.mirrored.partitions().iter().zip(batches) {
            if !batch.is_empty() {
                let appended = partition.append(batch.build(), None).unwrap();
                appended.durable().await.unwrap();
            }
        }
    }

    /// A session that follows everything, or one that sees it up to a position.
    async fn session(&self, ends: Option<&OffsetVector>) -> SessionContext {
        let config = SessionConfig::new()
            .with_target_partitions(1)
            .with_batch_size(16);
        let state = SessionStateBuilder::new_with_default_features()
            .with_config(config)
            .with_query_planner(Arc::new(AsOfPlanner))
            .build();
        let context = SessionContext::new_with_state(state);
        context
            .register_relation_planner(Arc::new(asof::ByTime))
            .unwrap();
        for writer in &self.streams {
            let topic = writer.topic().clone();
            let name = topic.name().clone();
            let ends = match ends {
                None => topic.stable_offsets(),
                Some(ends) => ends.topic(&name).map(<[_]>::to_vec).unwrap_or_default(),
            };
            let hold = TopicHold::now(topic).up_to(ends);
            let table = StreamTable::new(hold, columns(false), true).live();
            context
                .register_table(name.as_str(), Arc::new(table))
                .unwrap();
        }
        for table in &self.tables {
            let name = table.topic().name();
            let provider: Arc<dyn datafusion::catalog::TableProvider> = match ends {
                None => Arc::new(FollowedTable::new(table.clone(), true)),
                Some(ends) => {
                    let at = ends.topic(name).and_then(|ends| ends.first().copied());
                    table.snapshot(at.unwrap_or_default(), true).await.unwrap()
                }
            };
            context.register_table(name.as_str(), provider).unwrap();
        }
        let topic = self.mirrored.clone();
        let ends = match ends {
            None => topic.stable_offsets(),
            Some(ends) => ends
                .topic(topic.name())
                .map(<[_]>::to_vec)
                .unwrap_or_default(),
        };
        let rows = mirrored_columns();
        let changes = StreamTable::new(TopicHold::now(topic).up_to(ends), Arc::clone(&rows), true);
        let schema = Arc::clone(columns(true).schema());
        let mirrored = MirroredTable::new(changes.live(), rows, schema).unwrap();
        context.register_table("m", Arc::new(mirrored)).unwrap();
        context
    }

    /// A query that DataFusion can plan as a batch: some are beyond its optimizer.
    async fn a_query(&self, number: u64) -> String {
        let context = self.session(None).await;
        for number in number..number.saturating_add(100) {
            let sql = Choice(number).query();
            let planned = context.sql(&sql).await;
            if planned
                .and_then(datafusion::prelude::DataFrame::into_optimized_plan)
                .is_ok()
            {
                return sql;
            }
        }
        panic!("none of a hundred queries can be planned");
    }

    /// A dataflow, which goes on from the last checkpoint, and what tells its rows apart.
    async fn dataflow(&self, sql: &str) -> (Dataflow, Option<Vec<usize>>) {
        self.dataflow_with(sql, Some(self.checkpoints.of(1, 0).await.unwrap()))
            .await
    }

    /// As [`World::dataflow`], with its state in a store, or in none.
    async fn dataflow_with(
        &self,
        sql: &str,
        store: Option<JobStore>,
    ) -> (Dataflow, Option<Vec<usize>>) {
        let context = self.session(None).await;
        let plan = context
            .sql(sql)
            .await
            .unwrap()
            .into_optimized_plan()
            .unwrap();
        let dataflow = Dataflow::new(&plan, &context.state(), &context.task_ctx(), store)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        (dataflow, unique_key(&plan))
    }

    async fn bounded(&self, sql: &str, at: &OffsetVector) -> Multiset {
        let context = self.session(Some(at)).await;
        let rows = context.sql(sql).await.unwrap().collect().await.unwrap();
        let mut multiset = Multiset::new();
        count(&rows, 1, &mut multiset);
        multiset
    }
}

/// Rows as text, and how often each is there.
type Multiset = BTreeMap<String, i64>;

fn count(batches: &[RecordBatch], weight: i64, rows: &mut Multiset) {
    let options = FormatOptions::default().with_null("-");
    for batch in batches {
        let columns = batch.columns().iter();
        let columns: Vec<_> = columns
            .map(|column| ArrayFormatter::try_new(column, &options).unwrap())
            .collect();
        for row in 0..batch.num_rows() {
            let values = columns.iter().map(|column| column.value(row).to_string());
            *rows
                .entry(values.collect::<Vec<_>>().join("|"))
                .or_default() += weight;
        }
    }
    rows.retain(|_, weight| *weight != 0);
}

fn add(delta: &Delta, rows: &mut Multiset) {
    count(&delta.plus, 1, rows);
    count(&delta.minus, -1, rows);
    assert!(
        rows.values().all(|weight| *weight > 0),
        "a row went that never came: {rows:?}"
    );
}

/// Chooses the parts of queries by a number.
struct Choice(u64);

impl Choice {
    fn below(&mut self, most: u64) -> u64 {
        // SplitMix64 (Steele, Lea and Flood, 2014).
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % most
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len() as u64) as usize]
    }

    fn number(&mut self) -> u64 {
        self.below(6)
    }

    /// Something with the columns `id`, `v` and `name`.
    fn relation(&mut self, depth: u32) -> String {
        if depth == 0 {
            return self.of(&["a", "b", "t", "u", "m"]).to_owned();
        }
        match self.below(15) {
            0..=4 => self.relation(0),
            5 => format!(
                "(SELECT id, v, name FROM {} WHERE {})",
                self.relation(depth - 1),
                self.predicate()
            ),
            6 => {
                let union = self.of(&[
                    "UNION ALL",
                    "UNION",
                    "EXCEPT",
                    "EXCEPT ALL",
                    "INTERSECT",
                    "INTERSECT ALL",
                ]);
                let (left, right) = (self.relation(depth - 1), self.relation(depth - 1));
                format!(
                    "(SELECT id, v, name FROM {left} AS l {union} SELECT id, v, name FROM {right} AS r)"
                )
            }
            7 => format!(
                "(SELECT DISTINCT v AS id, v, 'd' AS name FROM {} AS d)",
                self.relation(depth - 1)
            ),
            8 => {
                let aggregate = self.of(&[
                    "count(*)",
                    "sum(id)",
                    "min(id)",
                    "max(v)",
                    "count(DISTINCT id)",
                ]);
                format!(
                    "(SELECT coalesce(v, -1) AS id, {aggregate} AS v, min(name) AS name FROM {} AS g GROUP BY coalesce(v, -1))",
                    self.relation(depth - 1)
                )
            }
            9 => {
                let join = self.of(&["JOIN", "LEFT JOIN", "FULL JOIN"]);
                let (left, right) = (self.relation(depth - 1), self.relation(depth - 1));
                format!(
                    "(SELECT coalesce(l.id, r.id) AS id, r.v AS v, l.name AS name FROM {left} AS l {join} {right} AS r ON l.id = r.id)"
                )
            }
            10 => {
                let n = self.number() + 1;
                format!(
                    "(SELECT id, v, name FROM {} AS o ORDER BY id DESC, v, name LIMIT {n})",
                    self.relation(depth - 1)
                )
            }
            11 => format!(
                "(SELECT id, CAST(row_number() OVER (PARTITION BY v ORDER BY id, name) AS BIGINT) AS v, name FROM {} AS w)",
                self.relation(depth - 1)
            ),
            12 => {
                let exists = self.of(&["EXISTS", "NOT EXISTS"]);
                let (left, right) = (self.relation(depth - 1), self.relation(0));
                format!(
                    "(SELECT id, v, name FROM {left} AS l WHERE {exists} (SELECT 1 FROM {right} AS r WHERE r.id = l.id AND r.v > 1))"
                )
            }
            13 => self.by_time(depth - 1),
            _ => {
                let (left, right) = (self.relation(depth - 1), self.relation(0));
                format!(
                    "(SELECT id, v, name FROM {left} AS l WHERE v > (SELECT avg(v) FROM {right} AS r))"
                )
            }
        }
    }

    fn predicate(&mut self) -> String {
        let n = self.number();
        match self.below(6) {
            0 => format!("v > {n}"),
            1 => format!("id % {} = 0", n + 1),
            2 => "v IS NULL OR name < 'm'".to_owned(),
            3 => format!("id IN (SELECT v FROM u WHERE v > {n})"),
            4 => "id NOT IN (SELECT id FROM t WHERE v < 3)".to_owned(),
            _ => format!("coalesce(v, {n}) <> {n}"),
        }
    }

    fn query(&mut self) -> String {
        let r = self.relation(2);
        let n = self.number();
        match self.below(20) {
            18 | 19 => format!("SELECT * FROM {} AS q", self.by_time(1)),
            0 => format!("SELECT * FROM {r} AS q"),
            1 => {
                format!("SELECT id + {n} AS x, upper(name) AS y FROM {r} AS q WHERE v IS NOT NULL")
            }
            2 => format!(
                "SELECT count(*), count(v), sum(v), min(id), max(name), avg(v) FROM {r} AS q"
            ),
            3 => format!(
                "SELECT v, count(*) AS n, sum(id) AS s, avg(id) AS m, count(DISTINCT name) AS d FROM {r} AS q GROUP BY v"
            ),
            4 => format!(
                "SELECT v, count(*) FILTER (WHERE id > {n}) AS n FROM {r} AS q GROUP BY v HAVING count(*) > 1"
            ),
            5 => format!("SELECT v, name, count(*) AS n FROM {r} AS q GROUP BY ROLLUP (v, name)"),
            6 => format!(
                "SELECT v, name, sum(id) AS n, grouping(v) AS g FROM {r} AS q GROUP BY CUBE (v, name)"
            ),
            7 => {
                let join = self.of(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
                let on = self.of(&[
                    "q.id = s.id",
                    "q.v = s.v",
                    "q.id = s.v AND q.v < s.id",
                    "q.id < s.v",
                    "q.id = s.id AND q.v > 2",
                ]);
                let s = self.relation(1);
                format!(
                    "SELECT q.id, q.v, q.name, s.id AS i, s.name AS m FROM {r} AS q {join} {s} AS s ON {on}"
                )
            }
            8 => {
                let s = self.relation(1);
                format!(
                    "SELECT q.id, s.v FROM {r} AS q CROSS JOIN {s} AS s WHERE q.id + s.id < {}",
                    n + 4
                )
            }
            9 => format!(
                "SELECT id, v, rank() OVER (PARTITION BY v ORDER BY id) AS r, sum(id) OVER (PARTITION BY v) AS s FROM {r} AS q"
            ),
            10 => format!(
                "SELECT id, sum(id) OVER (ORDER BY id, v, name ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS s FROM {r} AS q"
            ),
            // Of the operators those with the most cases of their own.
            11 | 16 | 17 => {
                let key = self.of(&["PARTITION BY name", "PARTITION BY v % 2, name", ""]);
                let order = self.of(&["id DESC, v, name", "v NULLS FIRST, name DESC, id"]);
                let first = self.of(&["n <= 2", "n = 1", "n < 4", "3 >= n AND id > 2", "n <= 0"]);
                format!(
                    "SELECT id, v, n FROM (SELECT id, v, row_number() OVER ({key} ORDER BY {order}) AS n FROM {r} AS q) AS x WHERE {first}"
                )
            }
            12 => format!(
                "SELECT id, (SELECT max(v) FROM u) AS m FROM {r} AS q WHERE id IN (SELECT id FROM b)"
            ),
            13 => format!(
                "SELECT id, v, name FROM {r} AS q ORDER BY id, v, name LIMIT {} OFFSET {}",
                n + 1,
                n / 2
            ),
            14 => format!(
                "WITH RECURSIVE c(x) AS (SELECT v FROM {r} AS q WHERE v < 3 UNION SELECT x + 1 FROM c WHERE x < 5) SELECT x FROM c"
            ),
            _ => {
                let (s, t) = (self.relation(1), self.relation(0));
                format!(
                    "SELECT q.id, s.v, x.name FROM {r} AS q JOIN {s} AS s ON q.id = s.id LEFT JOIN {t} AS x ON x.v = s.v"
                )
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Act {
    Append(usize, Vec<Row>),
    Upsert(usize, Vec<Row>),
    Delete(usize, Vec<i64>),
    Mirror(Vec<(i64, Option<Row>)>),
    Step,
    /// A checkpoint, after which state is let go or not. One that flies is on its way until it lands.
    Checkpoint {
        release: bool,
        flies: bool,
    },
    Land,
    /// A crash: all goes on from the last checkpoint. One that is on its way is lost or not.
    Restart {
        loses: bool,
    },
    /// Another one goes on, which knows of the first no more than its token.
    Resume,
}

fn long_name() -> &'static str {
    static NAME: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| "long".repeat(2000));
    &NAME
}

fn row() -> impl Strategy<Value = Row> {
    // Seldom one that is longer than a key of the store may be.
    let name = prop_oneof![
        40 => prop::sample::select(vec![Some("ab"), Some("mn"), Some("yz"), Some(""), None]),
        1 => Just(Some(long_name())),
    ];
    (0..12i64, prop::option::weighted(0.85, 0..6i64), name)
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let rows = || prop::collection::vec(row(), 1..12);
    prop::collection::vec(
        prop_oneof![
            3 => (0..2usize, rows()).prop_map(|(stream, rows)| Act::Append(stream, rows)),
            3 => (0..2usize, rows()).prop_map(|(table, mut rows)| {
                rows.sort_by_key(|row| row.0);
                rows.dedup_by_key(|row| row.0);
                Act::Upsert(table, rows)
            }),
            2 => (0..2usize, prop::collection::vec(0..12i64, 1..4)).prop_map(|(table, ids)| Act::Delete(table, ids)),
            2 => prop::collection::vec((0..12i64, prop::option::weighted(0.7, row())), 1..12).prop_map(Act::Mirror),
            4 => Just(Act::Step),
            2 => any::<[bool; 2]>().prop_map(|[release, flies]| Act::Checkpoint { release, flies }),
            1 => Just(Act::Land),
            1 => any::<bool>().prop_map(|loses| Act::Restart { loses }),
            1 => Just(Act::Resume),
        ],
        1..18,
    )
}

/// A dataflow, what it has given, and whether it has begun.
struct Follower {
    dataflow: Dataflow,
    key: Option<Vec<usize>>,
    rows: Multiset,
    begun: bool,
}

impl Follower {
    async fn step(&mut self, world: &World, sql: &str, most: usize) {
        for _ in 0..most {
            if self.begun && self.dataflow.rows_behind() == 0 {
                break;
            }
            self.begun = true;
            let delta = self.dataflow.step().await;
            add(
                &delta.unwrap_or_else(|error| panic!("{sql}: {error}")),
                &mut self.rows,
            );
            let at = self.dataflow.position();
            assert_eq!(
                self.rows,
                world.bounded(sql, &at).await,
                "{sql} at {at}\n{}",
                self.dataflow.explain()
            );
            self.check_key(sql);
        }
    }

    /// No two rows are the same in the columns that are said to tell rows apart.
    fn check_key(&self, sql: &str) {
        let Some(key) = &self.key else {
            return;
        };
        let mut seen = BTreeMap::new();
        for (row, times) in &self.rows {
            let columns: Vec<&str> = row.split('|').collect();
            let values: Vec<&str> = key.iter().map(|at| columns[*at]).collect();
            *seen.entry(values).or_insert(0) += times;
        }
        let twice = seen.iter().find(|(_, times)| **times > 1);
        assert_eq!(twice, None, "{sql}: columns {key:?} are no key");
    }
}

async fn holds(query: u64, partitions: [u32; 2], step_rows: u32, acts: &[Act]) {
    let world = World::new(partitions).await;
    let sql = world.a_query(query).await;
    let (dataflow, key) = world.dataflow(&sql).await;
    let mut follower = Follower {
        dataflow: dataflow.with_step_rows(step_rows),
        key,
        rows: Multiset::new(),
        begun: false,
    };
    // What a restart goes back to.
    let mut saved = (Multiset::new(), false);
    // What it goes back to when the checkpoint has landed that is on its way.
    let mut flying = None;
    // One that only has a token has no checkpoints.
    let mut is_kept = true;
    let begin = async |store| {
        let (dataflow, _) = world.dataflow_with(&sql, store).await;
        dataflow.with_step_rows(step_rows)
    };
    for act in acts {
        match act {
            Act::Append(stream, rows) => world.append(*stream, rows).await,
            Act::Upsert(table, rows) => world.upsert(*table, rows).await,
            Act::Delete(table, ids) => world.delete(*table, ids).await,
            Act::Mirror(changes) => world.mirror(changes).await,
            Act::Step => follower.step(&world, &sql, 1).await,
            Act::Checkpoint { release, flies } if follower.begun => {
                world.flights.open();
                follower.dataflow.end_checkpoint().await.unwrap();
                saved = flying.take().unwrap_or(saved);
                if *flies {
                    world.flights.hold();
                    follower.dataflow.begin_checkpoint(1).await.unwrap();
                    flying = is_kept.then(|| (follower.rows.clone(), true));
                } else {
                    follower.dataflow.checkpoint(1).await.unwrap();
                    if is_kept {
                        saved = (follower.rows.clone(), true);
                    }
                }
                if *release {
                    follower.dataflow.release();
                }
            }
            Act::Checkpoint { .. } => {}
            Act::Land => {
                world.flights.open();
                follower.dataflow.end_checkpoint().await.unwrap();
                saved = flying.take().unwrap_or(saved);
            }
            Act::Restart { loses } => {
                drop(follower.dataflow);
                match (flying.take(), loses) {
                    (Some(flying), false) => {
                        world.flights.open();
                        saved = flying;
                    }
                    _ => world.flights.lose(),
                }
                // It is waited for, whatever becomes of it.
                let store = world.checkpoints.of(1, 0).await.unwrap();
                world.flights.open();
                follower.dataflow = begin(Some(store)).await;
                is_kept = true;
                (follower.rows, follower.begun) = saved.clone();
                assert_eq!(follower.begun, follower.dataflow.is_restored());
            }
            Act::Resume if follower.begun => {
                let token = follower.dataflow.token().to_string();
                drop(follower.dataflow);
                world.flights.open();
                saved = flying.take().unwrap_or(saved);
                follower.dataflow = begin(None).await;
                is_kept = false;
                follower.dataflow.resume(&token.parse().unwrap()).unwrap();
            }
            Act::Resume => {}
        }
    }
    follower.step(&world, &sql, usize::MAX).await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever is asked, however rows come and go, and wherever steps are cut.
    #[test]
    fn the_sum_of_changes_is_the_batch_answer(
        query in any::<u64>(),
        partitions in [1..4u32, 1..3u32],
        step_rows in prop_oneof![1..8u32, Just(1000)],
        acts in acts(),
    ) {
        tokio::runtime::Runtime::new().unwrap().block_on(holds(query, partitions, step_rows, &acts));
    }
}
