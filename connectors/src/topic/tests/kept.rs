//! What queries keep for one another changes no answer.

use weir_base::Clock;

use super::*;

/// A step of a story about one topic.
#[derive(Debug, Clone)]
enum Step {
    /// Appends so many rows.
    Append(usize),
    /// Queries some columns up to an offset, and from an offset and a time on, in hundredths of what there is.
    Query {
        columns: usize,
        from: i64,
        to: i64,
        time: Option<i64>,
    },
}

const COLUMNS: [&str; 4] = ["id", "name", "price", "id, name, price"];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (1usize..400).prop_map(Step::Append),
        5 => (0..COLUMNS.len(), 0i64..100, 0i64..=100, proptest::option::of(0i64..100))
            .prop_map(|(columns, from, to, time)| Step::Query { columns, from, to, time }),
    ]
}

/// The answer with what is kept, and how many of its rows had been kept.
async fn answer(table: StreamTable, sql: &str) -> (String, usize) {
    let config = datafusion::prelude::SessionConfig::new()
        .with_target_partitions(2)
        .with_batch_size(100);
    let context = datafusion::prelude::SessionContext::new_with_config(config);
    context.register_table("t", Arc::new(table)).unwrap();
    let plan = context.sql(sql).await.unwrap();
    let plan = plan.create_physical_plan().await.unwrap();
    let rows = datafusion::physical_plan::collect(Arc::clone(&plan), context.task_ctx());
    let rows = pretty_format_batches(&rows.await.unwrap()).unwrap();
    let mut kept = 0;
    let mut nodes = vec![plan];
    while let Some(node) = nodes.pop() {
        let metrics = node.metrics().and_then(|all| all.sum_by_name("kept_rows"));
        kept += metrics.map_or(0, |metric| metric.as_usize());
        nodes.extend(node.children().into_iter().cloned());
    }
    (rows.to_string(), kept)
}

async fn tell(partitions: u32, budget: usize, steps: &[Step]) -> usize {
    let log = TestLog::new().await;
    let topic = log.topic(partitions, false).await;
    let schema = items(false);
    let writer = TopicWriter::new(topic.clone(), Arc::clone(&schema), log.clock.clone());
    let decoded = Arc::new(DecodedRows::new(budget));
    let (mut rows, mut kept_rows) = (0, 0);
    for step in steps {
        match step {
            Step::Append(count) => {
                log.clock.advance(100);
                let name = "n".repeat(900);
                let body = (rows..rows + count).map(|id| {
                    format!("{{\"id\":{id},\"name\":\"{name}{id}\",\"price\":{id}.5}}\n")
                });
                let body = encode_ndjson(&schema, &bytes(&body.collect::<String>())).unwrap();
                writer.append(&body, None).await.unwrap();
                rows += count;
            }
            Step::Query {
                columns,
                from,
                to,
                time,
            } => {
                let columns = COLUMNS[*columns];
                let ends = topic.stable_offsets();
                let most = ends.iter().map(|end| end.0).max().unwrap_or(0);
                let (from, to) = (most * from / 100, most * to / 100);
                let time = time.map(|at| {
                    let now = log.clock.now_ms();
                    format!(
                        " AND _timestamp >= to_timestamp_millis({})",
                        1000 + (now - 1000) * at / 100
                    )
                });
                let sql = format!(
                    "SELECT {columns}, _offset FROM t WHERE _offset >= {from} AND _offset < {to}{} \
                     ORDER BY _partition, _offset",
                    time.unwrap_or_default()
                );
                let hold = TopicHold::now(topic.clone());
                let table = || StreamTable::new(hold.clone(), Arc::clone(&schema), true);
                let (kept, count) = answer(table().keeping(Arc::clone(&decoded)), &sql).await;
                let (plain, none) = answer(table(), &sql).await;
                assert_eq!(kept, plain, "{sql}");
                assert_eq!(none, 0);
                kept_rows += count;
                assert!(decoded.size_bytes() <= budget);
            }
        }
    }
    kept_rows
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_is_kept_changes_no_answer(
        partitions in 1u32..3,
        budget in prop_oneof![Just(0usize), Just(300 << 10), Just(64 << 20)],
        steps in proptest::collection::vec(step(), 1..25),
    ) {
        runtime().block_on(tell(partitions, budget, &steps));
    }
}

#[test]
fn a_second_look_decodes_nothing() {
    let look = Step::Query {
        columns: 3,
        from: 0,
        to: 100,
        time: None,
    };
    let steps = [Step::Append(300), look.clone(), look.clone()];
    assert_eq!(runtime().block_on(tell(1, 64 << 20, &steps)), 300);
    let steps = [Step::Append(300), look.clone(), Step::Append(10), look];
    assert_eq!(runtime().block_on(tell(1, 64 << 20, &steps)), 300);
}
