//! The law of windows that close: what a query over them has given at a position is what the same SQL gives over the rows of the
//! windows that have closed by then, which are computed here one by one, by the rule as it is written down.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{
    DataType, Field, Int32Type, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::DFSchema;
use datafusion::datasource::{MemTable, ViewTable};
use datafusion::prelude::{SessionConfig, SessionContext};
use proptest::prelude::*;
use weir_base::{Clock, ManualClock, OffsetVector, TopicName};
use weir_connectors::topic::{
    RowColumn, RowSchema, StreamTable, TopicHold, TopicWriter, encode_batch,
};
use weir_topics::{LogSettings, TopicConfig, TopicLog, TopicSpec};

use super::{WatermarkedStream, WindowClose, Windows, close_windows};
use crate::{Checkpoints, Dataflow, JobStore};

const SECOND: i64 = 1_000_000;
/// How far the watermark is behind the latest row, in seconds.
const DELAY: i64 = 3;

/// Streams `a` and `b` of `(id BIGINT, k BIGINT, at TIMESTAMP)`, whose rows are in partitions by `k`.
pub(super) struct World {
    streams: Vec<TopicWriter>,
    pub(super) checkpoints: Checkpoints,
    _log: TopicLog,
    _dir: tempfile::TempDir,
}

/// Of a row that is written: its number, its key, and its time in seconds.
pub(super) type Row = (i64, i64, Option<i64>);

fn columns() -> Arc<RowSchema> {
    let at = DataType::Timestamp(TimeUnit::Microsecond, None);
    let columns = vec![
        RowColumn::new(Field::new("id", DataType::Int64, false)),
        RowColumn::new(Field::new("k", DataType::Int64, false)),
        RowColumn::new(Field::new("at", at, true)),
    ];
    Arc::new(RowSchema::new(columns, vec![1]).unwrap())
}

impl World {
    pub(super) async fn new(partitions: [u32; 2]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(1));
        let log = TopicLog::open(LogSettings::new(dir.path()), Arc::clone(&clock));
        let log = log.await.unwrap();
        let mut streams = Vec::new();
        for (name, partitions) in ["a", "b"].into_iter().zip(partitions) {
            let spec = TopicSpec {
                partitions,
                owned: false,
            };
            let name = TopicName::new(name).unwrap();
            let topic = log.create_topic(&name, spec, TopicConfig::default());
            let topic = topic.await.unwrap();
            streams.push(TopicWriter::new(topic, columns(), Arc::clone(&clock)));
        }
        Self {
            streams,
            checkpoints: Checkpoints::open(&dir.path().join("state")).unwrap(),
            _log: log,
            _dir: dir,
        }
    }

    pub(super) async fn append(&self, stream: usize, rows: &[Row]) {
        let times = rows.iter().map(|row| Some(row.2? * SECOND));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0))),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1))),
            Arc::new(TimestampMicrosecondArray::from_iter(times)),
        ];
        let batch = RecordBatch::try_new(Arc::clone(self::columns().schema()), columns).unwrap();
        let rows = encode_batch(&self::columns(), &batch).unwrap();
        self.streams[stream].append(&rows, None).await.unwrap();
    }

    fn table(&self, stream: usize, ends: Option<&OffsetVector>) -> StreamTable {
        let topic = self.streams[stream].topic().clone();
        let ends = match ends {
            None => topic.stable_offsets(),
            Some(ends) => ends.topic(topic.name()).unwrap_or_default().to_vec(),
        };
        StreamTable::new(TopicHold::now(topic).up_to(ends), columns(), true)
    }

    /// A session in which `w` and `x` are windows that close.
    async fn session(&self, choice: &Choice) -> SessionContext {
        let context = session();
        for (at, name) in ["a", "b"].into_iter().enumerate() {
            let schema = Arc::clone(columns().read_schema());
            let df_schema = DFSchema::try_from(schema.as_ref().clone()).unwrap();
            let expr = format!("at - INTERVAL '{DELAY} seconds'");
            let expr = context.parse_sql_expr(&expr, &df_schema).unwrap();
            let expr = context.create_physical_expr(expr, &df_schema).unwrap();
            let stream = Arc::new(self.table(at, None).live());
            let stream = WatermarkedStream::new(stream, schema, expr);
            context.register_table(name, Arc::new(stream)).unwrap();
        }
        for (name, window) in [("w", &choice.w), ("x", &choice.x)] {
            let plan = context.sql(&window.sql()).await.unwrap();
            let plan = plan.into_unoptimized_plan();
            let kind = match window.kind {
                Kind::Session => Windows::Session,
                Kind::Cumulate => Windows::Grid { start: None },
                Kind::Tumble | Kind::Hop => Windows::Grid {
                    start: Some("10".to_owned()),
                },
            };
            let keys: &[&str] = match kind {
                Windows::Session => &["$key0"],
                Windows::Grid { .. } => &[],
            };
            let plan = WindowClose::plan(plan, kind, keys).unwrap();
            let view = ViewTable::new(plan, None);
            context.register_table(name, Arc::new(view)).unwrap();
        }
        context
    }

    pub(super) async fn dataflow(&self, choice: &Choice, store: Option<JobStore>) -> Dataflow {
        let context = self.session(choice).await;
        let plan = context.sql(choice.query()).await.unwrap();
        let plan = close_windows(plan.into_unoptimized_plan());
        let plan = plan.unwrap_or_else(|error| panic!("{choice:?}: {error}"));
        let plan = context.state().optimize(&plan).unwrap();
        Dataflow::on_window_close(&plan, &context.state(), &context.task_ctx(), store)
            .await
            .unwrap_or_else(|error| panic!("{choice:?}: {error}\n{}", plan.display_indent()))
    }

    /// The rows of a stream up to a position, each with the watermark of its partition before it, and the watermark of the whole.
    async fn rows(&self, stream: usize, at: &OffsetVector) -> (Vec<Timed>, Option<i64>) {
        let context = session();
        let table = self.table(stream, Some(at));
        context.register_table("s", Arc::new(table)).unwrap();
        let sql = "SELECT _partition, id, k, at FROM s ORDER BY _partition, _offset";
        let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
        let partitions = self.streams[stream].topic().partitions().len();
        let mut own: Vec<Option<i64>> = vec![None; partitions];
        let mut rows = Vec::new();
        for batch in batches {
            let partition = batch.column(0).as_primitive::<Int32Type>();
            let ids = batch.column(1).as_primitive::<Int64Type>();
            let keys = batch.column(2).as_primitive::<Int64Type>();
            let times = batch.column(3).as_primitive::<TimestampMicrosecondType>();
            for (row, time) in times.iter().enumerate() {
                let own = &mut own[partition.value(row) as usize];
                let time = time.map(|time| time / SECOND);
                rows.push(Timed {
                    row: (ids.value(row), keys.value(row), time),
                    watermark: *own,
                });
                *own = time.map(|time| time - DELAY).max(*own);
            }
        }
        let least = own.into_iter().reduce(|a, b| Some(a?.min(b?))).flatten();
        (rows, least)
    }

    /// What the batch gives over the windows that have closed, and how many rows were late.
    async fn bounded(&self, choice: &Choice, at: &OffsetVector) -> (Multiset, u64) {
        let mut streams = Vec::new();
        let mut watermark = Some(i64::MAX);
        for stream in 0..2 {
            let (rows, least) = self.rows(stream, at).await;
            if choice.streams().contains(&stream) {
                watermark = watermark.and_then(|watermark| Some(watermark.min(least?)));
            }
            streams.push(rows);
        }
        let context = session();
        let mut late = 0;
        let query = choice.query();
        for (name, window) in [("w", &choice.w), ("x", &choice.x)] {
            let rows = window.rows(&streams);
            let (rows, too_late) = window.closed(&rows, watermark);
            if reads(query, name) {
                late += too_late;
            }
            let table = MemTable::try_new(windowed_schema(), vec![vec![windowed(&rows)]]);
            context
                .register_table(name, Arc::new(table.unwrap()))
                .unwrap();
        }
        let rows = context.sql(query).await.unwrap().collect().await.unwrap();
        let mut multiset = Multiset::new();
        count(&rows, 1, &mut multiset);
        (multiset, late)
    }
}

fn session() -> SessionContext {
    let config = SessionConfig::new()
        .with_target_partitions(1)
        .with_batch_size(16);
    let context = SessionContext::new_with_config(config);
    let key = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
    let keys: ArrayRef = Arc::new(Int64Array::from_iter_values([1, 2]));
    let batch = RecordBatch::try_new(Arc::clone(&key), vec![keys]).unwrap();
    let table = MemTable::try_new(key, vec![vec![batch]]).unwrap();
    context.register_table("c", Arc::new(table)).unwrap();
    context
}

/// Whether a query names a relation of one letter.
fn reads(query: &str, name: &str) -> bool {
    let mut words = query.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
    words.any(|word| word == name)
}

/// A row, and the watermark that it came behind.
#[derive(Debug, Clone, Copy)]
struct Timed {
    row: Row,
    watermark: Option<i64>,
}

/// A row in a window: start and end.
type Windowed = ((i64, i64, i64), i64, i64);

fn windowed_schema() -> SchemaRef {
    let time = || DataType::Timestamp(TimeUnit::Microsecond, None);
    let fields = vec![
        Field::new("id", DataType::Int64, false),
        Field::new("k", DataType::Int64, false),
        Field::new("at", time(), true),
        Field::new("window_start", time(), true),
        Field::new("window_end", time(), true),
    ];
    Arc::new(Schema::new(fields))
}

fn windowed(rows: &[Windowed]) -> RecordBatch {
    let numbers = |of: fn(&Windowed) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(rows.iter().map(of)))
    };
    let times = |of: fn(&Windowed) -> i64| -> ArrayRef {
        let times = rows.iter().map(|row| of(row) * SECOND);
        Arc::new(TimestampMicrosecondArray::from_iter_values(times))
    };
    let columns = vec![
        numbers(|row| row.0.0),
        numbers(|row| row.0.1),
        times(|row| row.0.2),
        times(|row| row.1),
        times(|row| row.2),
    ];
    RecordBatch::try_new(windowed_schema(), columns).unwrap()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Tumble,
    Hop,
    Cumulate,
    Session,
}

/// What windows are over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Base {
    Stream(usize),
    Filtered,
    Union,
    Join,
    /// A join of rows that are not far from one another.
    Interval,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) kind: Kind,
    pub(super) base: Base,
}

impl Window {
    fn sql(&self) -> String {
        let base = match self.base {
            Base::Stream(0) => "a",
            Base::Stream(_) => "b",
            Base::Filtered => "(SELECT at, id, k FROM a AS f WHERE id > 2 ORDER BY id) AS g",
            Base::Union => "(SELECT * FROM a UNION ALL SELECT id, k, at FROM b) AS u",
            Base::Join => "(SELECT l.id, r.k, r.at FROM a AS l JOIN b AS r ON l.id = r.id) AS j",
            Base::Interval => {
                "(SELECT l.id, r.k, l.at FROM a AS l JOIN b AS r ON l.k = r.k AND l.at \
                 BETWEEN r.at - INTERVAL '4 seconds' AND r.at + INTERVAL '5 seconds') AS j"
            }
        };
        let (bounds, from) = match self.kind {
            Kind::Tumble => (
                "date_bin(INTERVAL '10 seconds', at) AS window_start, \
                 date_bin(INTERVAL '10 seconds', at) + INTERVAL '10 seconds' AS window_end",
                base.to_owned(),
            ),
            Kind::Hop => (
                "window_start, window_start + INTERVAL '10 seconds' AS window_end",
                format!(
                    "(SELECT *, unnest(generate_series(date_bin(INTERVAL '4 seconds', at - INTERVAL '10 seconds') + INTERVAL '4 seconds', \
                     date_bin(INTERVAL '4 seconds', at), INTERVAL '4 seconds')) AS window_start FROM {base} WHERE at IS NOT NULL) AS h"
                ),
            ),
            Kind::Cumulate => (
                "window_start, window_end",
                format!(
                    "(SELECT *, date_bin(INTERVAL '9 seconds', at) AS window_start, \
                     unnest(generate_series(date_bin(INTERVAL '3 seconds', at) + INTERVAL '3 seconds', \
                     date_bin(INTERVAL '9 seconds', at) + INTERVAL '9 seconds', INTERVAL '3 seconds')) AS window_end \
                     FROM {base} WHERE at IS NOT NULL) AS h"
                ),
            ),
            Kind::Session => (
                "at AS window_start, at + INTERVAL '4 seconds' AS window_end, k AS \"$key0\"",
                base.to_owned(),
            ),
        };
        format!("SELECT id, k, at, {bounds} FROM {from} WHERE at IS NOT NULL")
    }

    /// The rows that the windows are over.
    fn rows(&self, streams: &[Vec<Timed>]) -> Vec<Timed> {
        let [a, b] = streams else {
            panic!("there are two streams")
        };
        match self.base {
            Base::Stream(stream) => streams[stream].clone(),
            Base::Filtered => a.iter().filter(|timed| timed.row.0 > 2).copied().collect(),
            Base::Union => a.iter().chain(b).copied().collect(),
            Base::Join => {
                let pairs = a.iter().flat_map(|a| b.iter().map(move |b| (a, b)));
                let pairs = pairs.filter(|(a, b)| a.row.0 == b.row.0);
                let joined = pairs.map(|(a, b)| Timed {
                    row: (a.row.0, b.row.1, b.row.2),
                    watermark: a.watermark.max(b.watermark),
                });
                joined.collect()
            }
            Base::Interval => {
                let pairs = a.iter().flat_map(|a| b.iter().map(move |b| (a, b)));
                let near = |a: &Timed, b: &Timed| {
                    let apart = a.row.2.zip(b.row.2).map(|(a, b)| a - b);
                    a.row.1 == b.row.1 && apart.is_some_and(|apart| (-4..=5).contains(&apart))
                };
                let pairs = pairs.filter(|(a, b)| near(a, b));
                let joined = pairs.map(|(a, b)| Timed {
                    row: (a.row.0, b.row.1, a.row.2),
                    watermark: a.watermark.max(b.watermark),
                });
                joined.collect()
            }
        }
    }

    /// Whether rows may be freed whose late ones nobody counts then.
    fn frees_rows(&self) -> bool {
        matches!(self.base, Base::Join | Base::Interval)
            && matches!(self.kind, Kind::Tumble | Kind::Session)
    }

    /// The rows of closed windows, and how many were late.
    fn closed(&self, rows: &[Timed], watermark: Option<i64>) -> (Vec<Windowed>, u64) {
        let mut on_time = Vec::new();
        let mut late = 0;
        for timed in rows {
            let (id, k, Some(at)) = timed.row else {
                continue;
            };
            let windows: Vec<(i64, i64)> = match self.kind {
                Kind::Tumble => vec![(at.div_euclid(10) * 10, at.div_euclid(10) * 10 + 10)],
                Kind::Hop => {
                    let starts = (-20..100).map(|n| n * 4);
                    let starts = starts.filter(|start| *start <= at && at < start + 10);
                    starts.map(|start| (start, start + 10)).collect()
                }
                Kind::Cumulate => {
                    let start = at.div_euclid(9) * 9;
                    let ends = [start + 3, start + 6, start + 9].into_iter();
                    ends.filter(|end| at < *end)
                        .map(|end| (start, end))
                        .collect()
                }
                Kind::Session => vec![(at, at + 4)],
            };
            for (start, end) in windows {
                let is_late = timed.watermark.is_some_and(|watermark| match self.kind {
                    Kind::Session => watermark > at,
                    _ => watermark >= end,
                });
                if is_late {
                    late += 1;
                } else {
                    on_time.push(((id, k, at), start, end));
                }
            }
        }
        let Some(watermark) = watermark else {
            return (Vec::new(), late);
        };
        if self.kind == Kind::Session {
            return (closed_sessions(on_time, watermark), late);
        }
        on_time.retain(|(_, _, end)| *end <= watermark);
        (on_time, late)
    }
}

fn closed_sessions(on_time: Vec<Windowed>, watermark: i64) -> Vec<Windowed> {
    let mut by_key: BTreeMap<i64, Vec<Windowed>> = BTreeMap::new();
    for row in on_time {
        by_key.entry(row.0.1).or_default().push(row);
    }
    let mut closed = Vec::new();
    for mut rows in by_key.into_values() {
        rows.sort_by_key(|row| row.1);
        let sessions = rows.chunk_by(|a, b| b.1 <= a.2);
        for session in sessions {
            let (start, end) = (session[0].1, session[session.len() - 1].2);
            if end < watermark {
                closed.extend(session.iter().map(|row| (row.0, start, end)));
            }
        }
    }
    closed
}

/// Rows as text, and how often each is there.
pub(super) type Multiset = BTreeMap<String, i64>;

pub(super) fn count(batches: &[RecordBatch], weight: i64, rows: &mut Multiset) {
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
}

/// Queries over any windows.
const QUERIES: [&str; 17] = [
    "SELECT window_end, count(*) AS n, sum(id) AS s, min(id), max(k) FROM w GROUP BY window_end",
    "SELECT window_start, window_end, k, avg(id) AS m, count(*) FILTER (WHERE id > 4) AS n FROM w WHERE k < 4 GROUP BY window_start, window_end, k",
    "SELECT k, window_end, count(DISTINCT id) AS n FROM w GROUP BY k, window_end HAVING count(*) > 1",
    "SELECT * FROM w",
    "SELECT id + k AS y, window_start, at FROM w WHERE id % 2 = 0",
    "SELECT DISTINCT window_end, k FROM w",
    "SELECT window_end, max(n) AS n FROM (SELECT window_end, k, count(*) AS n FROM w GROUP BY window_end, k) AS g GROUP BY window_end",
    "SELECT id, window_end, row_number() OVER (PARTITION BY window_end, k ORDER BY id, at) AS r FROM w",
    "SELECT id, at FROM (SELECT *, row_number() OVER (PARTITION BY k, window_end ORDER BY id DESC, at) AS r FROM w) AS r WHERE r <= 2",
    "SELECT window_end, array_agg(id ORDER BY id) AS ids, stddev(id) AS d FROM w GROUP BY window_end",
    "SELECT w.id, x.id AS i, w.window_end FROM w JOIN x ON w.window_end = x.window_end AND w.k = x.k",
    "SELECT w.id, x.id AS i, w.window_end, w.window_start FROM w LEFT JOIN x ON w.window_end = x.window_end AND w.id < x.id",
    "SELECT l.n, r.n AS m, l.k FROM (SELECT window_end, k, count(*) AS n FROM w GROUP BY window_end, k) AS l \
     FULL JOIN (SELECT window_end, k, count(*) AS n FROM x GROUP BY window_end, k) AS r ON l.window_end = r.window_end AND l.k = r.k",
    "SELECT id, window_end FROM w UNION ALL SELECT k, window_end FROM x",
    "SELECT id, window_end FROM w WHERE EXISTS (SELECT 1 FROM x WHERE x.window_end = w.window_end AND x.id = w.id)",
    "SELECT w.id, w.window_end, c.n FROM w JOIN c ON w.k = c.n",
    "SELECT window_end, count(*) AS n FROM w JOIN c ON w.k = c.n GROUP BY window_end",
];

/// Queries over windows whose end follows from their start.
const OF_STARTS: [&str; 2] = [
    "SELECT window_start, k, sum(id) AS s, count(*) AS n FROM w GROUP BY window_start, k",
    "SELECT w.id, x.k FROM w JOIN x ON w.window_start = x.window_start AND w.k = x.k",
];

#[derive(Debug, Clone)]
pub(super) struct Choice {
    pub(super) query: usize,
    pub(super) w: Window,
    pub(super) x: Window,
}

impl Choice {
    fn query(&self) -> &'static str {
        let has_ends = |window: &Window| matches!(window.kind, Kind::Tumble | Kind::Hop);
        let all = QUERIES.iter().chain(&OF_STARTS);
        let count = match has_ends(&self.w) && has_ends(&self.x) {
            true => QUERIES.len() + OF_STARTS.len(),
            false => QUERIES.len(),
        };
        all.copied().nth(self.query % count).unwrap()
    }

    /// The streams whose watermarks count.
    fn streams(&self) -> BTreeSet<usize> {
        let windows = [("w", &self.w), ("x", &self.x)].into_iter();
        let windows = windows.filter(|(name, _)| reads(self.query(), name));
        let streams = windows.flat_map(|(_, window)| match window.base {
            Base::Stream(stream) => vec![stream],
            Base::Filtered => vec![0],
            Base::Union | Base::Join | Base::Interval => vec![0, 1],
        });
        streams.collect()
    }
}

#[derive(Debug, Clone)]
enum Act {
    Append(usize, Vec<Row>),
    Step,
    Checkpoint,
    /// All goes on from the last checkpoint.
    Crash,
    /// Another goes on from the same position.
    Resume,
}

/// Rows whose times go on from act to act, and to and fro in each.
fn acts() -> impl Strategy<Value = Vec<Act>> {
    let row = (0..8i64, 0..5i64, prop::option::weighted(0.9, -12..9i64));
    let append = (0..2usize, prop::collection::vec(row, 1..10));
    let act = prop_oneof![
        5 => append.prop_map(|(stream, rows)| Act::Append(stream, rows)),
        3 => Just(Act::Step),
        2 => Just(Act::Checkpoint),
        1 => Just(Act::Crash),
        1 => Just(Act::Resume),
    ];
    let going_on = |(at, act): (usize, Act)| match act {
        Act::Append(stream, mut rows) => {
            for row in &mut rows {
                row.2 = row.2.map(|time| time + 3 * at as i64);
            }
            Act::Append(stream, rows)
        }
        act => act,
    };
    let acts = prop::collection::vec(act, 1..24);
    acts.prop_map(move |acts| acts.into_iter().enumerate().map(going_on).collect())
}

fn window() -> impl Strategy<Value = Window> {
    static KINDS: [Kind; 4] = [Kind::Tumble, Kind::Hop, Kind::Cumulate, Kind::Session];
    static BASES: [Base; 6] = [
        Base::Stream(0),
        Base::Stream(1),
        Base::Filtered,
        Base::Union,
        Base::Join,
        Base::Interval,
    ];
    let parts = (
        prop::sample::select(&KINDS[..]),
        prop::sample::select(&BASES[..]),
    );
    parts.prop_map(|(kind, base)| Window { kind, base })
}

/// Sessions close later than other windows of the same end, so they are not joined with these.
fn choice() -> impl Strategy<Value = Choice> {
    (any::<usize>(), window(), window()).prop_map(|(query, w, mut x)| {
        if (w.kind == Kind::Session) != (x.kind == Kind::Session) {
            x.kind = w.kind;
        }
        Choice { query, w, x }
    })
}

async fn holds(choice: &Choice, partitions: [u32; 2], step_rows: u32, acts: &[Act]) {
    let world = World::new(partitions).await;
    let begin = async |store| {
        let dataflow = world.dataflow(choice, store).await;
        dataflow.with_step_rows(step_rows)
    };
    let store = async || Some(world.checkpoints.of(1, 0).await.unwrap());
    let mut dataflow = begin(store().await).await;
    let mut is_stored = true;
    let (mut given, mut saved) = (Multiset::new(), Multiset::new());
    let (mut begun, mut saved_begun) = (false, false);
    for act in acts.iter().chain([&Act::Step; 40]) {
        match act {
            Act::Append(stream, rows) => world.append(*stream, rows).await,
            Act::Resume => {
                let at = dataflow.position();
                drop(dataflow);
                dataflow = begin(None).await;
                dataflow.go_to(&at).await.unwrap();
                (is_stored, begun) = (false, true);
            }
            Act::Checkpoint if is_stored && begun => {
                dataflow.checkpoint(1).await.unwrap();
                dataflow.release();
                (saved, saved_begun) = (given.clone(), true);
            }
            Act::Crash => {
                drop(dataflow);
                dataflow = begin(store().await).await;
                (given, begun) = (saved.clone(), saved_begun);
                is_stored = true;
            }
            Act::Checkpoint => {}
            Act::Step if begun && dataflow.rows_behind() == 0 => {}
            Act::Step => {
                begun = true;
                let delta = dataflow.step().await;
                let delta = delta.unwrap_or_else(|error| panic!("{choice:?}: {error}"));
                assert!(delta.minus.is_empty(), "{choice:?}: a row went");
                count(&delta.plus, 1, &mut given);
                let at = dataflow.position();
                let (rows, late) = world.bounded(choice, &at).await;
                let context = || {
                    format!(
                        "{}\n{choice:?} at {at}\n{}",
                        choice.query(),
                        dataflow.explain()
                    )
                };
                assert_eq!(given, rows, "{}", context());
                match choice.w.frees_rows() || choice.x.frees_rows() {
                    true => assert!(dataflow.late_rows() <= Some(late), "{}", context()),
                    false => assert_eq!(dataflow.late_rows(), Some(late), "{}", context()),
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However rows are late and out of order, wherever steps are cut, and whenever it starts again.
    #[test]
    fn closed_windows_are_given_once_and_are_those_of_the_rule(
        choice in choice(),
        partitions in [1..4u32, 1..3u32],
        step_rows in prop_oneof![1..8u32, Just(1000)],
        acts in acts(),
    ) {
        tokio::runtime::Runtime::new().unwrap().block_on(holds(&choice, partitions, step_rows, &acts));
    }
}
