//! The merge against the rule as it is written down, by an ordinary join that ranks all pairs.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::pretty::pretty_format_batches;
use datafusion::datasource::MemTable;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use proptest::prelude::*;

use super::{AsOfJoin, AsOfPlanner};

type Row = (Option<i64>, Option<i64>, Option<&'static str>);

fn table(rows: &[Row], batch_rows: usize) -> MemTable {
    let schema = Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, true),
        Field::new("t", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
    ]));
    let batches = rows.chunks(batch_rows.max(1)).map(|rows| {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.0))),
            Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.1))),
            Arc::new(StringArray::from_iter(rows.iter().map(|row| row.2))),
        ];
        RecordBatch::try_new(Arc::clone(&schema), columns).unwrap()
    });
    let batches = batches.collect();
    MemTable::try_new(Arc::clone(&schema), vec![batches]).unwrap()
}

fn session(partitions: usize, batch_rows: usize) -> SessionContext {
    let config = SessionConfig::new()
        .with_target_partitions(partitions)
        .with_batch_size(batch_rows);
    let state = SessionStateBuilder::new_with_default_features()
        .with_config(config)
        .with_query_planner(Arc::new(AsOfPlanner))
        .build();
    SessionContext::new_with_state(state)
}

async fn joined(
    context: &SessionContext,
    nearest: &str,
    keyed: bool,
    keeps_left: bool,
) -> LogicalPlan {
    let side = async |name: &str| {
        let rows = context.sql(&format!("SELECT * FROM {name}")).await.unwrap();
        rows.alias(name).unwrap().into_unoptimized_plan()
    };
    let (left, right) = (side("l").await, side("r").await);
    let both = left.schema().join(right.schema()).unwrap();
    let nearest = context.parse_sql_expr(nearest, &both).unwrap();
    let on = context.parse_sql_expr("l.k = r.k", &both).unwrap();
    AsOfJoin::by_conditions(left, right, &nearest, keyed.then_some(&on), keeps_left).unwrap()
}

async fn rows_of(context: &SessionContext, plan: LogicalPlan) -> Vec<String> {
    let batches = context
        .execute_logical_plan(plan)
        .await
        .unwrap()
        .collect()
        .await
        .unwrap();
    let text = pretty_format_batches(&batches).unwrap().to_string();
    // Without what fills the columns up to the width of the widest row and of their names.
    let cells = |row: &str| row.split('|').map(str::trim).collect::<Vec<_>>().join("|");
    let rows = text.lines().skip(3).filter(|row| row.starts_with('|'));
    let mut rows: Vec<String> = rows.map(cells).collect();
    rows.sort();
    rows
}

async fn as_written_down(
    context: &SessionContext,
    nearest: &str,
    keyed: bool,
    keeps_left: bool,
) -> Vec<String> {
    let on = if keyed { "AND l.k = r.k" } else { "" };
    let join = if keeps_left { "LEFT JOIN" } else { "JOIN" };
    let order = if nearest.contains('>') { "DESC" } else { "ASC" };
    let sql = format!(
        "SELECT k, t, name, k1, t1, name1 FROM (
           SELECT l.k, l.t, l.name, r.k AS k1, r.t AS t1, r.name AS name1,
             row_number() OVER (PARTITION BY n ORDER BY r.t {order}, r.k DESC NULLS LAST, r.name DESC NULLS LAST) AS place
           FROM (SELECT *, row_number() OVER () AS n FROM l) AS l {join} r ON {nearest} {on}
         ) WHERE place = 1"
    );
    let plan = context.sql(&sql).await.unwrap().into_unoptimized_plan();
    rows_of(context, plan).await
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = (
        prop::option::weighted(0.9, 0..4i64),
        prop::option::weighted(0.9, 0..12i64),
        prop::sample::select(vec![Some("a"), Some("b"), None]),
    );
    prop::collection::vec(row, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn each_row_meets_the_nearest(
        left in rows(),
        right in rows(),
        operator in prop::sample::select(vec![">=", ">", "<=", "<"]),
        keyed in any::<bool>(),
        keeps_left in any::<bool>(),
        partitions in 1..4usize,
        batch_rows in 1..20usize,
    ) {
        let nearest = format!("l.t {operator} r.t");
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let context = session(partitions, batch_rows);
            context.register_table("l", Arc::new(table(&left, batch_rows))).unwrap();
            context.register_table("r", Arc::new(table(&right, batch_rows))).unwrap();
            let plan = joined(&context, &nearest, keyed, keeps_left).await;
            let rows = rows_of(&context, plan).await;
            let expected = as_written_down(&context, &nearest, keyed, keeps_left).await;
            assert_eq!(rows, expected);
        });
    }
}

/// A join that ranked all pairs would look at 10 ^ 11 of them.
#[tokio::test]
async fn it_takes_one_pass() {
    const ROWS: i64 = 300_000;
    let times = |offset: i64| -> RecordBatch {
        let schema = Schema::new(vec![
            Field::new("k", DataType::Int64, true),
            Field::new("t", DataType::Int64, true),
        ]);
        // In no order.
        let scattered = (0..ROWS).map(|n| n * 7919 % ROWS);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(
                scattered.clone().map(|n| n % 3),
            )),
            Arc::new(Int64Array::from_iter_values(
                scattered.map(|n| n * 2 + offset),
            )),
        ];
        RecordBatch::try_new(Arc::new(schema), columns).unwrap()
    };
    let context = session(2, 8192);
    context.register_batch("l", times(1)).unwrap();
    context.register_batch("r", times(0)).unwrap();
    let plan = joined(&context, "l.t >= r.t", true, false).await;
    let batches = context
        .execute_logical_plan(plan)
        .await
        .unwrap()
        .collect()
        .await
        .unwrap();
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    assert_eq!(rows, ROWS as usize);
    for batch in batches {
        let time = |at: usize| {
            batch
                .column(at)
                .as_any()
                .downcast_ref::<Int64Array>()
                .unwrap()
                .clone()
        };
        assert!(
            time(1)
                .iter()
                .zip(time(3).iter())
                .all(|(left, right)| left == right.map(|right| right + 1))
        );
    }
}
