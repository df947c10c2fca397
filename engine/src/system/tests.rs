//! What the system tables say of a small catalog with one object of each kind.

mod listings;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, TimeUnit};
use arrow::util::pretty::pretty_format_batches;
use datafusion::prelude::SessionContext;
use weir_base::{Classify, Offset, PartitionId, QueryId, TopicId, TopicName};
use weir_catalog::{
    Body, Check, Column, Connection, ExternalTable, IfExists, MaterializedView, NewObject,
    ObjectId, Secret, Sink, Stream, Table, View, Watermark,
};
use weir_connectors::topic::HistoryFile;
use weir_sql::statement::{Listing, Statement};
use weir_topics::SegmentInfo;

use super::facts::*;
use super::*;
use crate::queries::{QueryInfo, QueryState};

#[derive(Debug)]
struct Fixed;

const TOPIC: TopicId = TopicId(uuid::Uuid::from_u128(7));

impl Facts for Fixed {
    fn topics(&self, with_segments: bool) -> Vec<TopicFacts> {
        let partition = |id, end| PartitionFacts {
            id: PartitionId(id),
            start_offset: Offset(10),
            end_offset: Offset(end),
            bytes: 1_000,
            segments: if with_segments {
                vec![SegmentInfo {
                    base_offset: Offset(10),
                    end_offset: Offset(end),
                    bytes: 1_000,
                    min_timestamp_ms: 0,
                    max_timestamp_ms: 60_000,
                }]
            } else {
                Vec::new()
            },
        };
        vec![TopicFacts {
            name: TopicName::new("bids").unwrap(),
            id: TOPIC,
            partitions: vec![partition(0, 110), partition(1, 30)],
        }]
    }

    fn history(&self, _stream: ObjectId) -> Vec<HistoryFile> {
        let file = |start, end| HistoryFile {
            partition: PartitionId(0),
            location: format!("history/{start}.parquet"),
            start: Offset(start),
            end: Offset(end),
            rows: 9,
            bytes: 500,
            min_timestamp_ms: 0,
            max_timestamp_ms: 60_000,
        };
        vec![file(0, 10), file(10, 20)]
    }

    fn history_failure(&self, _stream: ObjectId) -> Option<String> {
        Some("the disk is full".to_owned())
    }

    fn job(&self, _job: weir_catalog::ObjectId) -> Option<crate::views::ViewStatus> {
        Some(crate::views::ViewStatus {
            state: crate::views::ViewState::Running,
            job: weir_streaming::JobStatus {
                rows_behind: 3,
                behind_since_ms: Some(1_000),
                rows_read: 40,
                step_us: 600,
                state: weir_streaming::StateSize {
                    rows: 2,
                    bytes: 100,
                    ..Default::default()
                },
                disk_bytes: 700,
                checkpoint_ms: Some(2_000),
                watermark_ms: Some(1_700_000_000_123),
                late_rows: Some(4),
                operators: vec![weir_streaming::OperatorStatus {
                    description: Arc::new(weir_streaming::Description {
                        name: "Linear",
                        detail: "Filter: price > 1".to_owned(),
                        follows: weir_streaming::Follows::Rows,
                    }),
                    into: None,
                    spent: weir_streaming::Spent {
                        steps: 7,
                        rows: 9,
                        total_ns: 21_999,
                        step_ns: 3_000,
                    },
                    state: weir_streaming::StateSize::default(),
                }],
                ..Default::default()
            },
        })
    }

    fn groups(&self) -> Vec<super::groups::GroupFacts> {
        super::groups::tests::groups(TOPIC)
    }

    fn queries(&self) -> Vec<QueryInfo> {
        vec![QueryInfo {
            id: QueryId(uuid::Uuid::from_u128(9)),
            user: "weir".to_owned(),
            sql: "SELECT 1".to_owned(),
            state: QueryState::Running,
            started_at_ms: 0,
            elapsed: Duration::from_millis(5),
            rows: 1,
            bytes: 8,
            spilled_bytes: 0,
            memory_bytes: 64,
            live: false,
            error: None,
        }]
    }

    fn settings(&self) -> Vec<SettingFacts> {
        vec![SettingFacts {
            name: "batch_size".to_owned(),
            value: "8192".to_owned(),
            description: "Rows of a batch.".to_owned(),
        }]
    }

    fn functions(&self) -> Vec<FunctionFacts> {
        functions_of(&SessionContext::new().state())
    }

    fn session(&self) -> SessionFacts {
        SessionFacts {
            user: OWNER.to_owned(),
            schema: "public".to_owned(),
            process: 7,
            now_ms: 1_700_000_000_000,
            started_ms: 0,
        }
    }

    fn setting(&self, name: &str) -> Option<String> {
        (name == "batch_size").then(|| "8192".to_owned())
    }

    fn set(&self, _name: &str, _value: &str) -> crate::error::Result<()> {
        Ok(())
    }

    fn cancel(&self, _process: i32) -> bool {
        false
    }

    fn roles(&self) -> Vec<RoleFacts> {
        vec![RoleFacts {
            name: OWNER.to_owned(),
            is_admin: true,
            may_sign_in: true,
            valid_until_ms: None,
            member_of: vec!["reader".to_owned()],
        }]
    }

    fn has_role(&self, user: &str, role: &str) -> bool {
        user == role
    }

    fn may(&self, _user: &str, _right: Right, _relation: objects::Relation<'_>) -> bool {
        true
    }
}

fn bigint(name: &str) -> Column {
    Column::new(name, DataType::Int64, "BIGINT")
}

fn create(system: &mut System, name: ObjectName, body: Body, depends_on: &[ObjectId]) -> ObjectId {
    let new = NewObject {
        name,
        body,
        comment: None,
        sql: String::new(),
        depends_on: depends_on.iter().copied().collect(),
        created_at_ms: 1_700_000_000_000,
        owner: None,
    };
    let created = system.catalog.create(new, IfExists::Refuse).unwrap();
    system.catalog = Arc::new(system.catalog.apply(&created.changes).unwrap());
    created.id
}

pub(super) fn system() -> System {
    let mut system = System {
        catalog: Arc::new(Snapshot::initial()),
        facts: Arc::new(Fixed),
        rights: Arc::new(crate::security::Rights::operator(Arc::default())),
    };
    let public = ObjectName::public;
    create(&mut system, ObjectName::global("Sales"), Body::Schema, &[]);
    let stream = Stream {
        columns: vec![
            Column {
                nullable: false,
                ..bigint("auction")
            },
            Column {
                comment: Some("in cents".to_owned()),
                ..bigint("price")
            },
            Column::new(
                "at",
                DataType::Timestamp(TimeUnit::Microsecond, None),
                "TIMESTAMP",
            ),
        ],
        checks: vec![Check {
            name: "bids_price_check".to_owned(),
            sql: "price > 0".to_owned(),
        }],
        topic: TopicName::new("bids").unwrap(),
        topic_id: TOPIC,
        named_topic: false,
        key_columns: vec![],
        partitions: 2,
        key: Some("auction".to_owned()),
        format: "json".to_owned(),
        watermark: Some(Watermark {
            column: "at".to_owned(),
            sql: "\"at\" - INTERVAL '5' SECOND".to_owned(),
        }),
        options: BTreeMap::new(),
        retired_sources: BTreeSet::new(),
    };
    let bids = create(&mut system, public("bids"), Body::Stream(stream), &[]);
    let table = Table {
        columns: vec![
            Column {
                nullable: false,
                ..bigint("id")
            },
            Column {
                default: Some("'?'".to_owned()),
                ..Column::new("name", DataType::Utf8View, "VARCHAR(20)")
            },
            Column::new("credit", DataType::Decimal128(12, 2), "NUMERIC(12, 2)"),
        ],
        checks: Vec::new(),
        primary_key: vec!["id".to_owned()],
        topic: TopicName::new("Sales.users").unwrap(),
        topic_id: TopicId(uuid::Uuid::from_u128(8)),
        options: BTreeMap::new(),
        retired_sources: BTreeSet::new(),
    };
    create(
        &mut system,
        ObjectName::new("Sales", "users"),
        Body::Table(table),
        &[],
    );
    let connection = Connection {
        kind: "s3".to_owned(),
        options: BTreeMap::from([("region".to_owned(), "eu-1".to_owned())]),
        secrets: BTreeMap::from([("secret_access_key".to_owned(), Secret::new("hunter2"))]),
    };
    create(
        &mut system,
        ObjectName::global("lake"),
        Body::Connection(connection),
        &[],
    );
    let trips = ExternalTable {
        columns: Some(vec![Column::new(
            "fare",
            DataType::Float64,
            "DOUBLE PRECISION",
        )]),
        format: "parquet".to_owned(),
        location: "s3://bucket/trips/".to_owned(),
        connection: Some("lake".to_owned()),
        partitioned_by: vec![Column::new("day", DataType::Date32, "DATE")],
        options: BTreeMap::new(),
    };
    create(
        &mut system,
        public("trips"),
        Body::ExternalTable(trips),
        &[],
    );
    let view = View {
        sql: "SELECT auction AS lot FROM bids".to_owned(),
        columns: vec![bigint("lot")],
        named_columns: false,
        default_schema: "public".to_owned(),
    };
    create(&mut system, public("hot"), Body::View(view), &[bids]);
    let accounts = super::access::tests::accounts(bids);
    system.rights = Arc::new(crate::security::Rights::operator(Arc::new(accounts)));
    system
}

/// The names of all system tables.
fn names() -> Vec<ObjectName> {
    let system = system();
    let relations = system.relations().filter(|relation| relation.is_system());
    relations
        .map(|relation| ObjectName::new(relation.schema(), relation.name()))
        .collect()
}

/// All rows of a system table.
async fn rows_of(name: &ObjectName, system: &System) -> RecordBatch {
    let context = SessionContext::new();
    let table = table(name, system).unwrap();
    let schema = table.schema();
    let batches = context.read_table(table).unwrap().collect().await.unwrap();
    let name = name.to_string();
    for batch in &batches {
        assert_eq!(batch.schema(), schema, "{name}");
    }
    arrow::compute::concat_batches(&schema, &batches).unwrap()
}

#[track_caller]
pub(super) fn assert_shows(batch: &RecordBatch, expected: &str) {
    let shown = pretty_format_batches(std::slice::from_ref(batch))
        .unwrap()
        .to_string();
    assert_eq!(shown, expected.trim(), "\n{shown}");
}

async fn query(sql: &str) -> RecordBatch {
    let context = SessionContext::new();
    let system = system();
    for name in names() {
        let table = table(&name, &system).unwrap();
        // The test's session has no schemas of its own.
        context
            .register_table(format!("{}_{}", name.schema, name.name), table)
            .unwrap();
    }
    let frame = context.sql(sql).await.unwrap();
    let schema = Arc::clone(frame.schema().inner());
    let batches = frame.collect().await.unwrap();
    arrow::compute::concat_batches(&schema, &batches).unwrap()
}

/// Beside all else, a materialized view and a sink.
fn with_a_kept_view(mut system: System) -> System {
    let query = View {
        sql: "SELECT 1 AS one".to_owned(),
        columns: vec![Column::new("one", DataType::Int64, "BIGINT")],
        named_columns: false,
        default_schema: "public".to_owned(),
    };
    let kept = MaterializedView {
        view: query.clone(),
        topic: TopicName::new("kept").unwrap(),
        topic_id: TopicId(uuid::Uuid::from_u128(11)),
        options: BTreeMap::new(),
        paused: false,
        generation: 0,
        on_window_close: false,
    };
    let name = ObjectName::new("public", "kept");
    create(&mut system, name, Body::MaterializedView(kept), &[]);
    let sink = Sink {
        query,
        from: None,
        expands_kept: false,
        on_window_close: false,
        target: None,
        target_columns: vec![],
        options: BTreeMap::from([("connector".to_owned(), "topic".to_owned())]),
        paused: false,
    };
    let name = ObjectName::new("public", "passed_on");
    create(&mut system, name, Body::Sink(sink), &[]);
    system
}

#[tokio::test]
async fn every_system_table_fills_its_columns() {
    let empty = System {
        catalog: Arc::new(Snapshot::initial()),
        ..system()
    };
    let mut filled = 0;
    for name in names() {
        rows_of(&name, &empty).await;
        let rows = rows_of(&name, &with_a_kept_view(system())).await;
        filled += usize::from(rows.num_rows() > 0);
        let is_of_accounts = access::TABLES.iter().any(|it| it.name == name.name);
        if name.schema == "weir" && !is_of_accounts {
            assert!(rows.num_rows() > 0, "{name}");
        }
    }
    assert!(filled > 70, "{filled}");
}

#[tokio::test]
async fn no_system_table_shows_a_secret() {
    let system = system();
    for name in names() {
        let shown = pretty_format_batches(&[rows_of(&name, &system).await]).unwrap();
        assert!(!shown.to_string().contains("hunter2"), "{name}");
    }
}

#[tokio::test]
async fn a_scan_gives_the_columns_that_are_read_in_their_order() {
    let rows =
        query("SELECT relkind, relname FROM pg_catalog_pg_class WHERE relname = 'bids'").await;
    assert_shows(
        &rows,
        "
+---------+---------+
| relkind | relname |
+---------+---------+
| r       | bids    |
+---------+---------+",
    );
}

#[tokio::test]
async fn information_schema_speaks_as_postgresql_does() {
    assert_shows(
        &query(
            "SELECT table_schema, table_name, table_type, is_insertable_into FROM information_schema_tables
             WHERE table_schema NOT IN ('weir', 'information_schema', 'pg_catalog') ORDER BY 1, 2",
        )
        .await,
        "
+--------------+------------+------------+--------------------+
| table_schema | table_name | table_type | is_insertable_into |
+--------------+------------+------------+--------------------+
| Sales        | users      | BASE TABLE | YES                |
| public       | bids       | BASE TABLE | YES                |
| public       | hot        | VIEW       | NO                 |
| public       | trips      | FOREIGN    | YES                |
+--------------+------------+------------+--------------------+",
    );
    assert_shows(
        &query(
            "SELECT table_name AS t, column_name, ordinal_position AS n, column_default AS d, is_nullable AS nullable,
                    data_type, udt_name, numeric_precision AS p, numeric_scale AS s, datetime_precision AS dp
             FROM information_schema_columns WHERE table_schema IN ('public', 'Sales') ORDER BY t, n",
        )
        .await,
        "
+-------+-------------+---+-----+----------+-----------------------------+-----------+----+---+----+
| t     | column_name | n | d   | nullable | data_type                   | udt_name  | p  | s | dp |
+-------+-------------+---+-----+----------+-----------------------------+-----------+----+---+----+
| bids  | auction     | 1 |     | NO       | bigint                      | int8      | 64 | 0 |    |
| bids  | price       | 2 |     | YES      | bigint                      | int8      | 64 | 0 |    |
| bids  | at          | 3 |     | YES      | timestamp without time zone | timestamp |    |   | 6  |
| hot   | lot         | 1 |     | YES      | bigint                      | int8      | 64 | 0 |    |
| trips | fare        | 1 |     | YES      | double precision            | float8    | 53 |   |    |
| trips | day         | 2 |     | YES      | date                        | date      |    |   | 0  |
| users | id          | 1 |     | NO       | bigint                      | int8      | 64 | 0 |    |
| users | name        | 2 | '?' | YES      | text                        | text      |    |   |    |
| users | credit      | 3 |     | YES      | numeric                     | numeric   | 12 | 2 |    |
+-------+-------------+---+-----+----------+-----------------------------+-----------+----+---+----+",
    );
    assert_shows(
        &query(
            "SELECT c.table_name, c.constraint_name, c.constraint_type, u.column_name
             FROM information_schema_table_constraints c
             JOIN information_schema_constraint_column_usage u USING (constraint_name) ORDER BY 1",
        )
        .await,
        "
+------------+------------------+-----------------+-------------+
| table_name | constraint_name  | constraint_type | column_name |
+------------+------------------+-----------------+-------------+
| bids       | bids_price_check | CHECK           | price       |
| users      | users_pkey       | PRIMARY KEY     | id          |
+------------+------------------+-----------------+-------------+",
    );
}

#[tokio::test]
async fn weir_tables_show_what_the_log_has() {
    assert_shows(
        &query("SELECT name, partitions, key, records, bytes, created_at FROM weir_streams").await,
        "
+------+------------+---------+---------+-------+----------------------+
| name | partitions | key     | records | bytes | created_at           |
+------+------------+---------+---------+-------+----------------------+
| bids | 2          | auction | 129     | 2000  | 2023-11-14T22:13:20Z |
+------+------------+---------+---------+-------+----------------------+",
    );
    assert_shows(
        &query("SELECT topic, partition, start_offset, end_offset, schema, name, type FROM weir_topics").await,
        "
+-------+-----------+--------------+------------+--------+------+--------+
| topic | partition | start_offset | end_offset | schema | name | type   |
+-------+-----------+--------------+------------+--------+------+--------+
| bids  | 0         | 10           | 110        | public | bids | stream |
| bids  | 1         | 10           | 30         | public | bids | stream |
+-------+-----------+--------------+------------+--------+------+--------+",
    );
    assert_shows(
        &query(
            "SELECT partition, end_offset, max_timestamp FROM weir_segments WHERE partition = 1",
        )
        .await,
        "
+-----------+------------+----------------------+
| partition | end_offset | max_timestamp        |
+-----------+------------+----------------------+
| 1         | 30         | 1970-01-01T00:01:00Z |
+-----------+------------+----------------------+",
    );
    assert_shows(
        &query("SELECT name, type, depends_on_name, depends_on_type FROM weir_dependencies").await,
        "
+-------+----------------+-----------------+-----------------+
| name  | type           | depends_on_name | depends_on_type |
+-------+----------------+-----------------+-----------------+
| hot   | view           | bids            | stream          |
| trips | external table | lake            | connection      |
+-------+----------------+-----------------+-----------------+",
    );
    assert_shows(
        &query("SELECT name, options FROM weir_connections").await,
        "
+------+--------------------------------------------+
| name | options                                    |
+------+--------------------------------------------+
| lake | region = 'eu-1', secret_access_key = '***' |
+------+--------------------------------------------+",
    );
    assert_shows(
        &query("SELECT name, type, syntax FROM weir_functions WHERE name IN ('abs', 'sum', 'rank') ORDER BY 1").await,
        "
+------+-----------+-------------------------+
| name | type      | syntax                  |
+------+-----------+-------------------------+
| abs  | scalar    | abs(numeric_expression) |
| rank | window    | rank()                  |
| sum  | aggregate | sum(expression)         |
+------+-----------+-------------------------+",
    );
}

#[test]
fn describe_tells_types_keys_and_comments() {
    let system = system();
    let entry = |name: ObjectName| system.catalog.relation(&name).unwrap().clone();
    assert_shows(
        &describe_entry(&entry(ObjectName::public("bids")), None).unwrap(),
        "
+-------------+-----------+-------------+----------------+-----+----------+
| column_name | data_type | is_nullable | column_default | key | comment  |
+-------------+-----------+-------------+----------------+-----+----------+
| auction     | BIGINT    | NO          |                | KEY |          |
| price       | BIGINT    | YES         |                |     | in cents |
| at          | TIMESTAMP | YES         |                |     |          |
+-------------+-----------+-------------+----------------+-----+----------+",
    );
    assert_shows(
        &describe_entry(&entry(ObjectName::new("Sales", "users")), Some("%d%")).unwrap(),
        "
+-------------+----------------+-------------+----------------+-------------+---------+
| column_name | data_type      | is_nullable | column_default | key         | comment |
+-------------+----------------+-------------+----------------+-------------+---------+
| id          | BIGINT         | NO          |                | PRIMARY KEY |         |
| credit      | NUMERIC(12, 2) | YES         |                |             |         |
+-------------+----------------+-------------+----------------+-------------+---------+",
    );
    let topics = table(&ObjectName::new("weir", "segments"), &system).unwrap();
    assert_shows(
        &describe_schema(&topics.schema(), Some("m%")).unwrap(),
        "
+---------------+-----------------------------+-------------+----------------+-----+---------+
| column_name   | data_type                   | is_nullable | column_default | key | comment |
+---------------+-----------------------------+-------------+----------------+-----+---------+
| min_timestamp | TIMESTAMP(3) WITH TIME ZONE | YES         |                |     |         |
| max_timestamp | TIMESTAMP(3) WITH TIME ZONE | YES         |                |     |         |
+---------------+-----------------------------+-------------+----------------+-----+---------+",
    );
    let lake = system.catalog.connection("lake").unwrap();
    assert_eq!(
        describe_entry(lake, None).unwrap_err().to_string(),
        "connection \"lake\" has no columns"
    );
}

#[test]
fn show_create_parses_back_to_what_it_shows() {
    let system = system();
    for entry in system.catalog.entries() {
        let sql = weir_catalog::create_statement(entry, &system.catalog);
        let parsed = weir_sql::parse(&sql).unwrap_or_else(|error| panic!("{error}\n{sql}"));
        let comments = entry
            .columns()
            .iter()
            .filter(|column| column.comment.is_some())
            .count();
        assert_eq!(parsed.len(), 1 + comments, "{sql}");
        let columns = |columns: &[weir_sql::statement::ColumnDef]| -> Vec<(String, String, bool)> {
            columns
                .iter()
                .map(|column| {
                    (
                        column.name.value.clone(),
                        column.sql_type.clone(),
                        !column.not_null,
                    )
                })
                .collect()
        };
        let known: Vec<_> = entry
            .columns()
            .iter()
            .map(|column| {
                (
                    column.name.clone(),
                    column.sql_type.clone(),
                    column.nullable,
                )
            })
            .collect();
        match (&parsed[0].statement, &entry.body) {
            (Statement::CreateSchema(_), Body::Schema) => {}
            (Statement::CreateStream(create), Body::Stream(stream)) => {
                assert_eq!(columns(&create.columns), known);
                assert_eq!(create.checks[0].sql, stream.checks[0].sql);
                assert_eq!(create.checks[0].name.as_ref(), Some(&stream.checks[0].name));
                assert_eq!(
                    create.watermark.as_ref().unwrap().sql,
                    stream.watermark.as_ref().unwrap().sql
                );
                let options: BTreeMap<_, _> = create.options.iter().cloned().collect();
                let given = [("format", "json"), ("key", "auction"), ("partitions", "2")];
                assert_eq!(
                    options,
                    given
                        .map(|(key, value)| (key.to_owned(), value.to_owned()))
                        .into()
                );
            }
            (Statement::CreateTable(create), Body::Table(table)) => {
                assert_eq!(create.name.to_string(), "\"Sales\".users");
                let key: Vec<_> = create
                    .primary_key
                    .iter()
                    .map(|ident| &ident.value)
                    .collect();
                assert_eq!(key, table.primary_key.iter().collect::<Vec<_>>());
                assert_eq!(columns(&create.columns), known);
                assert_eq!(
                    create.columns[1]
                        .default
                        .as_ref()
                        .map(|default| &default.sql),
                    Some(&"'?'".to_owned())
                );
            }
            (Statement::CreateExternalTable(create), Body::ExternalTable(table)) => {
                assert_eq!(columns(&create.columns), known);
                assert_eq!(create.stored_as.as_ref(), Some(&table.format));
                assert_eq!(create.location, table.location);
                assert_eq!(create.partitioned_by[0].name.value, "day");
                assert_eq!(
                    create.options,
                    [("connection".to_owned(), "lake".to_owned())]
                );
            }
            (Statement::CreateView(create), Body::View(view)) => {
                assert_eq!(create.query_sql, view.sql);
            }
            (Statement::CreateConnection(create), Body::Connection(_)) => {
                assert!(
                    create
                        .options
                        .contains(&("secret_access_key".to_owned(), "***".to_owned()))
                );
            }
            (other, _) => panic!("{other:?}"),
        }
    }
}
