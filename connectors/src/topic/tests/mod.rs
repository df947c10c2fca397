//! Rows in, rows out.

mod kept;
mod sinks;

use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::*;
use arrow::ipc::writer::StreamWriter;
use arrow::util::pretty::pretty_format_batches;
use bytes::Bytes;
use datafusion::common::ScalarValue;
use parquet::arrow::ArrowWriter;
use proptest::prelude::*;
use weir_base::{Classify, Offset, PartitionId, SqlState};

use super::testing::{TestLog, items, plan, query};
use super::*;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().unwrap()
}

fn bytes(text: &str) -> Bytes {
    Bytes::from(text.to_owned())
}

fn values(rows: &Rows) -> Vec<&str> {
    (0..rows.len())
        .map(|row| std::str::from_utf8(rows.value(row).unwrap()).unwrap())
        .collect()
}

#[test]
fn a_line_is_stored_as_it_came() {
    let schema = items(false);
    let body = "\u{feff}{ \"id\":1 , \"name\":\"é\\n\"}\r\n\n  {\"price\":1e0,\"id\":\"2\"}";
    let rows = encode_ndjson(&schema, &bytes(body)).unwrap();
    assert_eq!(
        values(&rows),
        [
            "{ \"id\":1 , \"name\":\"é\\n\"}",
            "{\"price\":1e0,\"id\":\"2\"}"
        ]
    );
    let shown = pretty_format_batches(&[rows.batch().clone()])
        .unwrap()
        .to_string();
    assert!(shown.contains("| 2  |      | 1.0   |"), "{shown}");
}

#[test]
fn defaults_and_renames_are_written_out() {
    let columns = vec![
        RowColumn::new(Field::new("id", DataType::Int64, false)).with_source("old_id"),
        RowColumn::new(Field::new("state", DataType::Utf8View, false))
            .with_default(ScalarValue::from("new")),
    ];
    let schema = RowSchema::new(columns, vec![]).unwrap();
    let rows = encode_ndjson(&schema, &bytes("{\"id\":1}\n{\"id\":2,\"state\":\"x\"}")).unwrap();
    assert_eq!(
        values(&rows),
        [
            "{\"old_id\":1,\"state\":\"new\"}",
            "{\"old_id\":2,\"state\":\"x\"}"
        ]
    );
    let plain = RowSchema::new(
        vec![
            RowColumn::new(Field::new("id", DataType::Int64, false)),
            RowColumn::new(Field::new("n", DataType::Int32, true))
                .with_default(ScalarValue::Int32(Some(7))),
        ],
        vec![],
    )
    .unwrap();
    let rows = encode_ndjson(&plain, &bytes("{\"id\":1}\n{ \"id\":2,\"n\":null}")).unwrap();
    assert_eq!(
        values(&rows),
        ["{\"id\":1,\"n\":7}", "{ \"id\":2,\"n\":null}"]
    );
    let n = rows.batch().column(1).as_primitive::<Int32Type>();
    assert_eq!(n.iter().collect::<Vec<_>>(), [Some(7), None]);
}

/// Body, and the error it gives.
#[test]
fn the_first_bad_row_is_named() {
    let schema = items(false);
    let error = |body: &str| encode_ndjson(&schema, &bytes(body)).unwrap_err();
    for (body, message, sqlstate) in [
        (
            "{\"id\":1}\n\n{\"id\":\"x\"}",
            "row 2, column \"id\": expected BIGINT, found \"x\"",
            "22P02",
        ),
        (
            "{\"id\":1.5}",
            "row 1, column \"id\": expected BIGINT, found 1.5",
            "22P02",
        ),
        (
            "{\"id\":9223372036854775808}",
            "row 1, column \"id\": 9223372036854775808 is out of range for BIGINT",
            "22003",
        ),
        (
            "{\"id\":null}",
            "row 1, column \"id\": null is not allowed: it is declared NOT NULL",
            "23502",
        ),
        (
            "{\"name\":\"a\"}",
            "row 1, column \"id\": a value is missing: it is declared NOT NULL and has no default",
            "23502",
        ),
        (
            "{\"id\":1,\"id\":2}",
            "row 1, column \"id\": it is given twice",
            "22P02",
        ),
        (
            "{\"id\":1,\"nmae\":\"a\"}",
            "row 1, column \"nmae\": there is no such column",
            "42703",
        ),
        (
            "{\"id\":1} {\"id\":2}",
            "row 1: not valid JSON at byte 10: expected the end of the row, found '{'",
            "22P02",
        ),
        (
            "[1]",
            "row 1: a row is a JSON object, found a list",
            "22P02",
        ),
        (
            "{\"id\":1,\"name\":5}",
            "row 1, column \"name\": expected TEXT, found 5",
            "22P02",
        ),
        (
            "{\"id\":1,\"price\":1e999}",
            "row 1, column \"price\": 1e999 is out of range for DOUBLE PRECISION",
            "22003",
        ),
    ] {
        let error = error(body);
        assert_eq!(error.to_string(), message);
        assert_eq!(error.sqlstate(), SqlState(sqlstate), "{body}");
        assert_eq!(crate::Error::from(error).to_string(), message);
    }
    assert_eq!(
        error("{\"id\":1,\"nmae\":\"a\"}").hint().as_deref(),
        Some("did you mean \"name\"?")
    );
    let broken = Bytes::from_static(b"{\"id\":1}\n\n{\"id\":2}\n{\"id\":3,\"name\":\"\xff\"}");
    assert_eq!(
        encode_ndjson(&schema, &broken).unwrap_err().to_string(),
        "row 3: it is not valid UTF-8"
    );
}

#[test]
fn csv_is_read_with_and_without_a_header() {
    let schema = items(false);
    let rows = encode_csv(
        &schema,
        &bytes("name,id\n\"a,b\",1\n,2\n"),
        CsvLayout::default(),
    )
    .unwrap();
    assert_eq!(
        values(&rows),
        [
            "{\"id\":1,\"name\":\"a,b\",\"price\":null}",
            "{\"id\":2,\"name\":null,\"price\":null}",
        ]
    );
    let positional = CsvLayout {
        header: false,
        delimiter: b';',
    };
    let rows = encode_csv(&schema, &bytes("1;\"\";NaN\n2;x;-Infinity"), positional).unwrap();
    assert_eq!(
        values(&rows),
        [
            "{\"id\":1,\"name\":\"\",\"price\":\"NaN\"}",
            "{\"id\":2,\"name\":\"x\",\"price\":\"-Infinity\"}",
        ]
    );
    for (body, message) in [
        ("id,nmae\n1,a", "column \"nmae\": there is no such column"),
        ("id,id\n1,2", "column \"id\": the header names it twice"),
        ("id\n1,2", "row 1: it has 2 fields where 1 are expected"),
        (
            "id,name\n1,a\n,b",
            "row 2, column \"id\": null is not allowed: it is declared NOT NULL",
        ),
        (
            "id,name\n1,\"a",
            "row 1: a quoted field has no closing quote",
        ),
        (
            "",
            "the body is empty: the first line of CSV names the columns",
        ),
    ] {
        let error = encode_csv(&schema, &bytes(body), CsvLayout::default()).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

fn ipc(batch: &RecordBatch) -> Bytes {
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap().into()
}

#[test]
fn arrow_columns_are_found_by_name_and_converted() {
    let schema = items(false);
    let batch = |columns: Vec<(&str, ArrayRef)>| ipc(&RecordBatch::try_from_iter(columns).unwrap());
    let body = batch(vec![
        ("name", Arc::new(StringArray::from(vec![Some("a"), None]))),
        ("id", Arc::new(Int16Array::from(vec![1, 2]))),
    ]);
    let rows = encode_arrow(&schema, &body).unwrap();
    assert_eq!(
        values(&rows),
        [
            "{\"id\":1,\"name\":\"a\",\"price\":null}",
            "{\"id\":2,\"name\":null,\"price\":null}",
        ]
    );
    for (body, message) in [
        (
            batch(vec![("id", Arc::new(UInt64Array::from(vec![1, u64::MAX])))]),
            "row 2, column \"id\": a value does not fit BIGINT: Cast error: Can't cast value 18446744073709551615 to type Int64",
        ),
        (
            batch(vec![("id", Arc::new(Float64Array::from(vec![1.0])))]),
            "column \"id\": expected BIGINT, found DOUBLE PRECISION",
        ),
        (
            batch(vec![(
                "id",
                Arc::new(Int64Array::from(vec![Some(1), None])),
            )]),
            "row 2, column \"id\": null is not allowed: it is declared NOT NULL",
        ),
        (
            batch(vec![("x", Arc::new(Int64Array::from(vec![1])))]),
            "column \"x\": there is no such column",
        ),
    ] {
        assert_eq!(
            encode_arrow(&schema, &body).unwrap_err().to_string(),
            message
        );
    }
    let whole = batch(vec![("id", Arc::new(Int64Array::from(vec![1])))]);
    assert!(encode_arrow(&schema, &whole.slice(0..whole.len() / 2)).is_err());
    assert!(encode_arrow(&schema, &Bytes::new()).is_err());
}

fn parquet(batch: &RecordBatch) -> Vec<u8> {
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

#[test]
fn parquet_columns_are_found_by_name_and_broken_files_refused() {
    let schema = items(false);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("name", Arc::new(StringArray::from(vec![Some("a"), None]))),
        ("id", Arc::new(Int16Array::from(vec![1, 2]))),
    ];
    let whole = parquet(&RecordBatch::try_from_iter(columns).unwrap());
    let rows = encode_parquet(&schema, &whole.clone().into()).unwrap();
    assert_eq!(
        values(&rows),
        [
            "{\"id\":1,\"name\":\"a\",\"price\":null}",
            "{\"id\":2,\"name\":null,\"price\":null}",
        ]
    );
    let says = |body: &[u8]| {
        let body = Bytes::copy_from_slice(body);
        encode_parquet(&schema, &body).unwrap_err().to_string()
    };
    let begins = "the body is no Parquet file that can be taken: ";
    assert_eq!(
        says(b""),
        format!("{begins}it does not begin and end as one")
    );
    assert_eq!(
        says(b"PAR1\xff\xff\xff\x7fPAR1"),
        format!("{begins}its footer says that it is longer than the file")
    );
    // Whatever is wrong with a file, it is said, and nothing ends.
    for at in 0..whole.len() {
        let mut broken = whole.clone();
        broken[at] ^= 0x55;
        let _ = encode_parquet(&schema, &broken.into());
        assert!(says(&whole[..at]).starts_with(begins), "{at}");
    }
}

#[test]
fn a_parquet_file_that_is_long_when_unpacked_is_refused() {
    let schema = items(false);
    // Its dictionary has the one value once.
    let long = "x".repeat(1 << 19);
    let names = std::iter::repeat_n(&long, 600);
    let name: ArrayRef = Arc::new(StringArray::from_iter_values(names));
    let body = parquet(&RecordBatch::try_from_iter([("name", name)]).unwrap());
    assert!(body.len() < 4 << 20, "{}", body.len());
    let error = encode_parquet(&schema, &body.into()).unwrap_err();
    assert!(error.to_string().contains("more than 256 MB"), "{error}");
}

#[test]
fn logical_types_are_kept_in_one_form() {
    let field = |name: &str, extension: &str| {
        let metadata = [(row::EXTENSION_NAME.to_owned(), extension.to_owned())].into();
        RowColumn::new(Field::new(name, DataType::Utf8View, true).with_metadata(metadata))
    };
    let schema = RowSchema::new(
        vec![
            field("u", row::UUID_EXTENSION),
            field("j", row::JSON_EXTENSION),
        ],
        vec![],
    )
    .unwrap();
    let batch = |u: &str, j: &str| {
        let text = |text: &str| Arc::new(StringViewArray::from(vec![text])) as ArrayRef;
        RecordBatch::try_from_iter(vec![("u", text(u)), ("j", text(j))]).unwrap()
    };
    let rows = encode_batch(
        &schema,
        &batch("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", " {\"a\": 1} "),
    )
    .unwrap();
    let stored = "{\"u\":\"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11\",\"j\":{\"a\": 1}}";
    assert_eq!(values(&rows), [stored]);
    assert_eq!(
        encode_ndjson(&schema, &bytes(stored)).unwrap().batch(),
        rows.batch()
    );
    let error = encode_batch(&schema, &batch("x", "1")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "row 1, column \"u\": expected UUID, found \"x\""
    );
    let error =
        encode_batch(&schema, &batch("a0eebc999c0b4ef8bb6d6bb9bd380a11", "{a:1}")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "row 1, column \"j\": expected JSON, found \"{a:1}\""
    );
}

#[test]
fn a_key_that_was_used_for_another_request_is_refused() {
    runtime().block_on(async {
        let mut log = TestLog::new().await;
        log.topic(8, false).await;
        // Rows go to the partitions of their keys, so that two requests need have none in common.
        let schema = items(true);
        let rows = |id: i64| encode_ndjson(&schema, &bytes(&format!("{{\"id\":{id}}}"))).unwrap();
        let content = |id: i64| IdempotencyKey::new("k", &id.to_be_bytes());
        for reopened in [false, true] {
            if reopened {
                log = log.reopen().await;
            }
            let topic = log.log.topics().remove(0);
            let writer = TopicWriter::new(topic.clone(), Arc::clone(&schema), log.clock.clone());
            let first = writer.append(&rows(0), Some(&content(0))).await.unwrap();
            assert_eq!(first.duplicate, reopened);
            for other in 1..20 {
                let refused = writer.append(&rows(other), Some(&content(other))).await;
                let error = refused.unwrap_err();
                assert_eq!(error.sqlstate(), SqlState::INTEGRITY_CONSTRAINT_VIOLATION);
                assert_eq!(error.kind(), weir_base::Kind::Conflict);
                assert!(error.to_string().contains("\"k\""), "{error}");
            }
            let ends: i64 = topic.stable_offsets().iter().map(|end| end.0).sum();
            assert_eq!(ends, 1);
        }
    });
}

#[test]
fn a_repeated_request_is_stored_once() {
    runtime().block_on(async {
        let log = TestLog::new().await;
        let topic = log.topic(3, false).await;
        let schema = items(false);
        let writer = TopicWriter::new(topic.clone(), Arc::clone(&schema), log.clock.clone());
        let rows = encode_ndjson(&schema, &bytes("{\"id\":1}\n{\"id\":2}")).unwrap();
        let key = IdempotencyKey::new("a", b"the request");
        let first = writer.append(&rows, Some(&key)).await.unwrap();
        let again = writer.append(&rows, Some(&key)).await.unwrap();
        assert!(!first.duplicate && again.duplicate);
        assert_eq!((first.rows, &first.ranges), (2, &again.ranges));
        let [range] = first.ranges[..] else {
            panic!("{first:?}")
        };
        assert_eq!((range.base, range.end), (Offset(0), Offset(2)));
        // Requests without a key take turns.
        for turn in 0..6 {
            let written = writer.append(&rows, None).await.unwrap();
            assert_eq!(written.ranges[0].partition, PartitionId(turn % 3));
        }
        let ends: i64 = topic.stable_offsets().iter().map(|end| end.0).sum();
        assert_eq!(ends, 14);
        assert_eq!(
            writer
                .append(&encode_ndjson(&schema, &Bytes::new()).unwrap(), None)
                .await
                .unwrap()
                .rows,
            0
        );
    });
}

#[test]
fn rows_of_a_key_stay_together() {
    runtime().block_on(async {
        let log = TestLog::new().await;
        let topic = log.topic(4, false).await;
        let schema = items(true);
        let writer = TopicWriter::new(topic.clone(), Arc::clone(&schema), log.clock.clone());
        let body: String = (0..100).map(|id| format!("{{\"id\":{}}}\n", id % 10)).collect();
        writer.append(&encode_ndjson(&schema, &bytes(&body)).unwrap(), None).await.unwrap();
        let table = Arc::new(StreamTable::new(TopicHold::now(topic.clone()), schema, true));
        let shown = query(
            table,
            "SELECT id, _partition, count(*) AS n, min(cast(_key AS text)) AS k FROM t GROUP BY 1, 2 ORDER BY 1",
        )
        .await;
        let batch = arrow::compute::concat_batches(&shown[0].schema(), &shown).unwrap();
        assert_eq!(batch.num_rows(), 10);
        for row in 0..10 {
            let id = batch.column(0).as_primitive::<Int64Type>().value(row);
            let partition = batch.column(1).as_primitive::<Int32Type>().value(row);
            assert_eq!(partition as u32, partition_for_key(id.to_string().as_bytes(), 4));
            assert_eq!(batch.column(2).as_primitive::<Int64Type>().value(row), 10);
        }
    });
}

#[test]
fn counting_reads_nothing() {
    runtime().block_on(async {
        let log = TestLog::new().await;
        let topic = log.topic(2, false).await;
        let schema = items(false);
        let writer = TopicWriter::new(topic.clone(), Arc::clone(&schema), log.clock.clone());
        let rows = encode_ndjson(&schema, &bytes("{\"id\":1}\n{\"id\":2}\n{\"id\":3}")).unwrap();
        writer.append(&rows, None).await.unwrap();
        writer.append(&rows, None).await.unwrap();
        let table = |ends| {
            Arc::new(StreamTable::new(
                TopicHold::now(topic.clone()).up_to(ends),
                Arc::clone(&schema),
                true,
            ))
        };
        let all = table(topic.stable_offsets());
        let counted = plan(all.clone(), "SELECT count(*) FROM t").await;
        assert!(
            counted.contains("PlaceholderRowExec") && !counted.contains("TopicScan"),
            "{counted}"
        );
        let count = |table, sql: &'static str| async move {
            query(table, sql).await[0]
                .column(0)
                .as_primitive::<Int64Type>()
                .value(0)
        };
        assert_eq!(count(all.clone(), "SELECT count(*) FROM t").await, 6);
        assert_eq!(
            count(
                all.clone(),
                "SELECT count(*) FROM t WHERE _offset >= 1 AND _partition = 1"
            )
            .await,
            2
        );
        assert_eq!(
            count(table(vec![Offset(2), Offset(1)]), "SELECT count(*) FROM t").await,
            3
        );
        assert_eq!(
            count(
                all.clone(),
                "SELECT count(*) FROM (SELECT _offset FROM t LIMIT 4) AS s"
            )
            .await,
            4
        );
        let filtered = plan(
            all,
            "SELECT id FROM t WHERE _offset < 2 AND _partition IN (0, 7)",
        )
        .await;
        assert!(
            !filtered.contains("FilterExec") && filtered.contains("records=2"),
            "{filtered}"
        );
    });
}

#[test]
fn a_row_that_cannot_be_read_is_named() {
    runtime().block_on(async {
        let log = TestLog::new().await;
        let topic = log.topic(1, false).await;
        let mut builder = weir_topics::BatchBuilder::new();
        for value in [&b"{\"id\":1}"[..], b"{\"id\":true}"] {
            let record = weir_topics::RecordRef { value: Some(value), ..Default::default() };
            builder.push(record).unwrap();
        }
        let appended = topic.partitions()[0].append(builder.build(), None).unwrap();
        appended.durable().await.unwrap();
        let table = Arc::new(StreamTable::new(TopicHold::now(topic.clone()), items(false), false));
        let context = datafusion::prelude::SessionContext::new();
        context.register_table("t", table).unwrap();
        let error = context.sql("SELECT id FROM t").await.unwrap().collect().await.unwrap_err();
        let error = crate::Error::find(&error).unwrap();
        assert_eq!(
            error.to_string(),
            "topic \"t0\", partition 0, offset 1: the record cannot be read as a row: column \"id\": expected BIGINT, found true"
        );
        // Columns that are not asked for are not looked at.
        let names = context.sql("SELECT name FROM t").await.unwrap().collect().await.unwrap();
        assert_eq!(names.iter().map(RecordBatch::num_rows).sum::<usize>(), 2);
    });
}

/// What a model of the topic knows of a row.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
struct Known {
    partition: i32,
    offset: i64,
    timestamp_ms: i64,
    id: i64,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Any filter on hidden columns gives just the rows that pass it, from any prefix, in order within a partition.
    #[test]
    fn a_prefix_is_read_exactly(
        requests in prop::collection::vec((1..60usize, 0..5i64), 1..12),
        partitions in 1..4u32,
        ends in prop::collection::vec(0..150i64, 3),
        min_offset in prop::option::of(0..100i64),
        time in prop::option::of((990..1_030i64, 0..20i64)),
        partition in prop::option::of(0..4i32),
        limit in prop::option::of(0..40usize),
    ) {
        runtime().block_on(async {
            let log = TestLog::new().await;
            let topic = log.topic(partitions, false).await;
            let schema = items(false);
            let writer = TopicWriter::new(topic.clone(), Arc::clone(&schema), log.clock.clone());
            let mut model = Vec::new();
            let mut id = 0;
            for (rows, wait) in requests {
                log.clock.advance(wait);
                let body: String = (0..rows).map(|at| format!("{{\"id\":{}}}\n", id + at as i64)).collect();
                let written = writer.append(&encode_ndjson(&schema, &bytes(&body)).unwrap(), None).await.unwrap();
                for range in written.ranges {
                    for offset in range.base.0..range.end.0 {
                        model.push(Known {
                            partition: range.partition.0 as i32,
                            offset,
                            timestamp_ms: weir_base::Clock::now_ms(log.clock.as_ref()),
                            id,
                        });
                        id += 1;
                    }
                }
            }
            let ends: Vec<Offset> = topic
                .stable_offsets()
                .iter()
                .zip(ends)
                .map(|(stable, end)| Offset(end.min(stable.0)))
                .collect();
            let mut filters = vec!["id >= 0".to_owned()];
            model.retain(|row| row.offset < ends[row.partition as usize].0);
            if let Some(min) = min_offset {
                filters.push(format!("_offset >= {min}"));
                model.retain(|row| row.offset >= min);
            }
            if let Some((from, span)) = time {
                let at = |ms: i64| format!("arrow_cast({ms}, 'Timestamp(Millisecond, Some(\"UTC\"))')");
                filters.push(format!("_timestamp BETWEEN {} AND {}", at(from), at(from + span)));
                model.retain(|row| (from..=from + span).contains(&row.timestamp_ms));
            }
            if let Some(partition) = partition {
                filters.push(format!("{partition} = _partition"));
                model.retain(|row| row.partition == partition);
            }
            let limited = limit.map(|limit| format!(" LIMIT {limit}")).unwrap_or_default();
            let sql = format!("SELECT _partition, _offset, _timestamp, id FROM t WHERE {}{limited}", filters.join(" AND "));
            let table = Arc::new(StreamTable::new(TopicHold::now(topic.clone()).up_to(ends), Arc::clone(&schema), true));
            let batches = query(table, &sql).await;
            let mut read: Vec<Known> = batches.iter().flat_map(|batch| {
                (0..batch.num_rows()).map(|row| Known {
                    partition: batch.column(0).as_primitive::<Int32Type>().value(row),
                    offset: batch.column(1).as_primitive::<Int64Type>().value(row),
                    timestamp_ms: batch.column(2).as_primitive::<TimestampMillisecondType>().value(row),
                    id: batch.column(3).as_primitive::<Int64Type>().value(row),
                }).collect::<Vec<_>>()
            }).collect();
            read.sort_by(|a, b| a.partial_cmp(b).unwrap());
            model.sort_by(|a, b| a.partial_cmp(b).unwrap());
            match limit {
                None => prop_assert_eq!(read, model),
                Some(limit) => {
                    prop_assert_eq!(read.len(), limit.min(model.len()));
                    prop_assert!(read.iter().all(|row| model.contains(row)));
                }
            }
            Ok(())
        })?;
    }
}
