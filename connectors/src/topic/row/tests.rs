//! What is written is read back, for every type.

use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::*;
use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::*;

/// Types that rows hold, nested up to `depth`; fields within them have these names.
fn data_types(depth: u32, name: fn(usize) -> String) -> BoxedStrategy<DataType> {
    use DataType::*;
    let units = prop::sample::select(vec![
        TimeUnit::Second,
        TimeUnit::Millisecond,
        TimeUnit::Microsecond,
        TimeUnit::Nanosecond,
    ]);
    let leaf = prop_oneof![
        prop::sample::select(vec![
            Null,
            Boolean,
            Int8,
            Int16,
            Int32,
            Int64,
            UInt8,
            UInt16,
            UInt32,
            UInt64,
            Float16,
            Float32,
            Float64,
            Utf8,
            LargeUtf8,
            Utf8View,
            Binary,
            LargeBinary,
            BinaryView,
            FixedSizeBinary(3),
            Date32,
            Date64,
            Time32(TimeUnit::Second),
            Time32(TimeUnit::Millisecond),
            Time64(TimeUnit::Microsecond),
            Time64(TimeUnit::Nanosecond),
            Interval(IntervalUnit::MonthDayNano),
            Interval(IntervalUnit::DayTime),
            Interval(IntervalUnit::YearMonth),
            Decimal32(7, 2),
            Decimal64(18, 3),
            Decimal128(38, 10),
            Decimal128(5, -2),
            Decimal256(76, 30),
        ]),
        units.clone().prop_map(|unit| Timestamp(unit, None)),
        units
            .clone()
            .prop_map(|unit| Timestamp(unit, Some("UTC".into()))),
        units
            .clone()
            .prop_map(|unit| Timestamp(unit, Some("+02:00".into()))),
        units.prop_map(Duration),
    ];
    if depth == 0 {
        return leaf.boxed();
    }
    let nested = data_types(depth - 1, name);
    let key = data_types(0, name).prop_filter("a key is a simple value", |t| *t != Null);
    prop_oneof![
        4 => leaf,
        1 => nested.clone().prop_map(|t| List(Arc::new(Field::new("item", t, true)))),
        1 => nested.clone().prop_map(|t| LargeList(Arc::new(Field::new("item", t, true)))),
        1 => nested.clone().prop_map(|t| FixedSizeList(Arc::new(Field::new("item", t, true)), 2)),
        1 => prop::collection::vec(nested.clone(), 1..4).prop_map(move |types| Struct(
            types.into_iter().enumerate().map(|(at, t)| Field::new(name(at), t, true)).collect()
        )),
        1 => (key, nested).prop_map(|(key, value)| Map(
            Arc::new(Field::new("entries", Struct(vec![
                Field::new("keys", key, false),
                Field::new("values", value, true),
            ].into()), false)),
            false,
        )),
    ]
    .boxed()
}

/// An array of a type. Texts have every kind of character; numbers, their whole range.
fn arrays(field: FieldRef, rows: usize) -> BoxedStrategy<ArrayRef> {
    any::<u64>()
        .prop_map(move |seed| {
            let mut runner = proptest::test_runner::TestRunner::new_with_rng(
                ProptestConfig::default(),
                proptest::test_runner::TestRng::from_seed(
                    proptest::test_runner::RngAlgorithm::ChaCha,
                    &std::array::from_fn::<u8, 32, _>(|at| (seed >> (at % 8 * 8)) as u8),
                ),
            );
            array(&field, rows, &mut runner)
        })
        .boxed()
}

type Runner = proptest::test_runner::TestRunner;

fn draw<T: std::fmt::Debug>(strategy: impl Strategy<Value = T>, runner: &mut Runner) -> T {
    strategy.new_tree(runner).unwrap().current()
}

fn values<T: std::fmt::Debug>(
    field: &Field,
    rows: usize,
    runner: &mut Runner,
    strategy: impl Strategy<Value = T> + Clone,
) -> Vec<Option<T>> {
    let nulls = field.is_nullable();
    (0..rows)
        .map(|_| (!nulls || draw(0..4u8, runner) > 0).then(|| draw(strategy.clone(), runner)))
        .collect()
}

fn primitive<T: ArrowPrimitiveType>(
    field: &Field,
    rows: usize,
    runner: &mut Runner,
    strategy: impl Strategy<Value = T::Native> + Clone,
) -> ArrayRef {
    let array: PrimitiveArray<T> = values(field, rows, runner, strategy).into_iter().collect();
    Arc::new(array.with_data_type(field.data_type().clone()))
}

fn array(field: &Field, rows: usize, runner: &mut Runner) -> ArrayRef {
    use DataType::*;
    let day = 86_400i64;
    match field.data_type() {
        Null => Arc::new(NullArray::new(rows)),
        Boolean => Arc::new(BooleanArray::from(values(
            field,
            rows,
            runner,
            any::<bool>(),
        ))),
        Int8 => primitive::<Int8Type>(field, rows, runner, any::<i8>()),
        Int16 => primitive::<Int16Type>(field, rows, runner, any::<i16>()),
        Int32 => primitive::<Int32Type>(field, rows, runner, any::<i32>()),
        Int64 => primitive::<Int64Type>(field, rows, runner, any::<i64>()),
        UInt8 => primitive::<UInt8Type>(field, rows, runner, any::<u8>()),
        UInt16 => primitive::<UInt16Type>(field, rows, runner, any::<u16>()),
        UInt32 => primitive::<UInt32Type>(field, rows, runner, any::<u32>()),
        UInt64 => primitive::<UInt64Type>(field, rows, runner, any::<u64>()),
        Float16 => {
            let value = prop_oneof![
                -60_000f32..60_000.0,
                -1f32..1.0,
                Just(f32::NAN),
                Just(f32::INFINITY)
            ];
            let array = Float32Array::from(values(field, rows, runner, value));
            arrow::compute::cast(&array, &Float16).unwrap()
        }
        // A NaN is written as such, without its payload.
        Float32 => {
            let value =
                prop::num::f32::ANY.prop_map(|value| if value.is_nan() { f32::NAN } else { value });
            primitive::<Float32Type>(field, rows, runner, value)
        }
        Float64 => {
            let value =
                prop::num::f64::ANY.prop_map(|value| if value.is_nan() { f64::NAN } else { value });
            primitive::<Float64Type>(field, rows, runner, value)
        }
        Utf8 => Arc::new(StringArray::from(values(field, rows, runner, texts(field)))),
        LargeUtf8 => Arc::new(LargeStringArray::from(values(
            field,
            rows,
            runner,
            texts(field),
        ))),
        Utf8View => Arc::new(StringViewArray::from_iter(values(
            field,
            rows,
            runner,
            texts(field),
        ))),
        Binary => Arc::new(BinaryArray::from_iter(values(
            field,
            rows,
            runner,
            any::<Vec<u8>>(),
        ))),
        LargeBinary => Arc::new(LargeBinaryArray::from_iter(values(
            field,
            rows,
            runner,
            any::<Vec<u8>>(),
        ))),
        BinaryView => Arc::new(BinaryViewArray::from_iter(values(
            field,
            rows,
            runner,
            any::<Vec<u8>>(),
        ))),
        FixedSizeBinary(_) => {
            let values = values(field, rows, runner, any::<[u8; 3]>());
            Arc::new(
                FixedSizeBinaryArray::try_from_sparse_iter_with_size(values.into_iter(), 3)
                    .unwrap(),
            )
        }
        Date32 => primitive::<Date32Type>(field, rows, runner, any::<i32>()),
        Date64 => primitive::<Date64Type>(field, rows, runner, any::<i64>()),
        Time32(TimeUnit::Second) => {
            primitive::<Time32SecondType>(field, rows, runner, 0..day as i32)
        }
        Time32(_) => primitive::<Time32MillisecondType>(field, rows, runner, 0..day as i32 * 1_000),
        Time64(TimeUnit::Microsecond) => {
            primitive::<Time64MicrosecondType>(field, rows, runner, 0..day * 1_000_000)
        }
        Time64(_) => primitive::<Time64NanosecondType>(field, rows, runner, 0..day * 1_000_000_000),
        Interval(IntervalUnit::MonthDayNano) => primitive::<IntervalMonthDayNanoType>(
            field,
            rows,
            runner,
            (any::<i32>(), any::<i32>(), any::<i64>()).prop_map(|(months, days, nanos)| {
                arrow::datatypes::IntervalMonthDayNano::new(months, days, nanos)
            }),
        ),
        Interval(IntervalUnit::DayTime) => primitive::<IntervalDayTimeType>(
            field,
            rows,
            runner,
            (any::<i32>(), any::<i32>())
                .prop_map(|(days, ms)| arrow::datatypes::IntervalDayTime::new(days, ms)),
        ),
        Interval(IntervalUnit::YearMonth) => {
            primitive::<IntervalYearMonthType>(field, rows, runner, any::<i32>())
        }
        Decimal32(p, _) => primitive::<Decimal32Type>(
            field,
            rows,
            runner,
            -(10i32.pow(u32::from(*p)) - 1)..10i32.pow(u32::from(*p)),
        ),
        Decimal64(p, _) => primitive::<Decimal64Type>(
            field,
            rows,
            runner,
            -(10i64.pow(u32::from(*p)) - 1)..10i64.pow(u32::from(*p)),
        ),
        Decimal128(p, _) => primitive::<Decimal128Type>(
            field,
            rows,
            runner,
            -(10i128.pow(u32::from(*p)) - 1)..10i128.pow(u32::from(*p)),
        ),
        Decimal256(_, _) => primitive::<Decimal256Type>(
            field,
            rows,
            runner,
            "-?[1-9][0-9]{0,75}".prop_map(|text| i256::from_string(&text).unwrap()),
        ),
        Timestamp(TimeUnit::Second, _) => {
            primitive::<TimestampSecondType>(field, rows, runner, any::<i64>())
        }
        Timestamp(TimeUnit::Millisecond, _) => {
            primitive::<TimestampMillisecondType>(field, rows, runner, any::<i64>())
        }
        Timestamp(TimeUnit::Microsecond, _) => {
            primitive::<TimestampMicrosecondType>(field, rows, runner, any::<i64>())
        }
        Timestamp(TimeUnit::Nanosecond, _) => {
            primitive::<TimestampNanosecondType>(field, rows, runner, any::<i64>())
        }
        // An ISO duration is read as an interval, whose time is in 64-bit nanoseconds.
        Duration(TimeUnit::Second) => {
            primitive::<DurationSecondType>(field, rows, runner, -9_000_000_000i64..9_000_000_000)
        }
        Duration(TimeUnit::Millisecond) => primitive::<DurationMillisecondType>(
            field,
            rows,
            runner,
            -9_000_000_000_000i64..9_000_000_000_000,
        ),
        Duration(TimeUnit::Microsecond) => primitive::<DurationMicrosecondType>(
            field,
            rows,
            runner,
            -9_000_000_000_000_000i64..9_000_000_000_000_000,
        ),
        Duration(TimeUnit::Nanosecond) => {
            primitive::<DurationNanosecondType>(field, rows, runner, any::<i64>())
        }
        List(item) => list::<i32>(field, item, rows, runner),
        LargeList(item) => list::<i64>(field, item, rows, runner),
        FixedSizeList(item, size) => {
            let items = array(item, rows * *size as usize, runner);
            let nulls = nulls(field, rows, runner);
            Arc::new(FixedSizeListArray::new(
                Arc::clone(item),
                *size,
                items,
                nulls,
            ))
        }
        Struct(fields) => {
            let columns = fields
                .iter()
                .map(|field| array(field, rows, runner))
                .collect();
            let nulls = nulls(field, rows, runner);
            Arc::new(StructArray::new(fields.clone(), columns, nulls))
        }
        Map(entries, _) => {
            let Struct(fields) = entries.data_type() else {
                unreachable!()
            };
            let (offsets, nulls) = (offsets::<i32>(rows, runner), nulls(field, rows, runner));
            let count = *offsets.last().unwrap() as usize;
            let columns = fields
                .iter()
                .map(|field| array(field, count, runner))
                .collect();
            let structs = StructArray::new(fields.clone(), columns, None);
            Arc::new(MapArray::new(
                Arc::clone(entries),
                offsets,
                structs,
                nulls,
                false,
            ))
        }
        other => unreachable!("{other}"),
    }
}

fn texts(field: &Field) -> BoxedStrategy<String> {
    match logical(field) {
        Some(Logical::Uuid) => any::<u128>()
            .prop_map(|bits| uuid::Uuid::from_u128(bits).to_string())
            .boxed(),
        Some(Logical::Json) => prop::sample::select(vec![
            r#"{"a": [1, 2.50, null], "b": "x\n"}"#,
            "[]",
            "\"null\"",
            "1e400",
            "true",
        ])
        .prop_map(str::to_owned)
        .boxed(),
        None => prop_oneof![
            any::<String>(),
            Just("null".to_owned()),
            Just(String::new())
        ]
        .boxed(),
    }
}

fn nulls(field: &Field, rows: usize, runner: &mut Runner) -> Option<arrow::buffer::NullBuffer> {
    let valid: Vec<bool> = (0..rows)
        .map(|_| !field.is_nullable() || draw(0..4u8, runner) > 0)
        .collect();
    Some(valid.into())
}

fn offsets<O: OffsetSizeTrait>(rows: usize, runner: &mut Runner) -> arrow::buffer::OffsetBuffer<O> {
    arrow::buffer::OffsetBuffer::from_lengths((0..rows).map(|_| draw(0..4usize, runner)))
}

fn list<O: OffsetSizeTrait>(
    field: &Field,
    item: &FieldRef,
    rows: usize,
    runner: &mut Runner,
) -> ArrayRef {
    let (offsets, nulls) = (offsets::<O>(rows, runner), nulls(field, rows, runner));
    let items = array(item, offsets.last().unwrap().as_usize(), runner);
    Arc::new(GenericListArray::<O>::new(
        Arc::clone(item),
        offsets,
        items,
        nulls,
    ))
}

pub(crate) fn batches() -> impl Strategy<Value = RecordBatch> {
    named_batches(|at| format!("c\\{at}\"é"))
}

/// Batches whose columns, and the fields within them, have these names.
pub(crate) fn named_batches(name: fn(usize) -> String) -> impl Strategy<Value = RecordBatch> {
    let field = (data_types(2, name), 0..3u8).prop_map(|(data_type, kind)| {
        let extension = match kind {
            1 => Some(UUID_EXTENSION),
            2 => Some(JSON_EXTENSION),
            _ => None,
        };
        (data_type, extension)
    });
    (prop::collection::vec(field, 1..5), 1..12usize).prop_flat_map(move |(fields, rows)| {
        let fields: Vec<FieldRef> = fields
            .into_iter()
            .enumerate()
            .map(|(at, (data_type, extension))| {
                let is_text = matches!(
                    data_type,
                    DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
                );
                let field = Field::new(name(at), data_type, true);
                Arc::new(match extension {
                    Some(name) if is_text => {
                        field.with_metadata([(EXTENSION_NAME.to_owned(), name.to_owned())].into())
                    }
                    _ => field,
                })
            })
            .collect();
        let columns: Vec<_> = fields
            .iter()
            .map(|field| arrays(Arc::clone(field), rows))
            .collect();
        columns.prop_map(move |columns| {
            RecordBatch::try_new(Schema::new(fields.clone()).into(), columns).unwrap()
        })
    })
}

fn write(batch: &RecordBatch) -> Vec<String> {
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns());
    let mut writer = RowWriter::new(
        columns.map(|(field, column)| (field.name().as_str(), field.as_ref(), column.as_ref())),
    )
    .unwrap();
    (0..batch.num_rows())
        .map(|row| {
            let mut out = Vec::new();
            writer.write(row, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        })
        .collect()
}

fn wanted(schema: &Schema, only: &[usize]) -> RowReader {
    let columns = only
        .iter()
        .map(|at| Wanted::kept(&schema.fields()[*at], schema.field(*at).name()));
    RowReader::new(columns, false).unwrap()
}

proptest! {
    #[test]
    fn every_type_reads_back_as_it_was_written(batch in batches(), pick in any::<u8>()) {
        for field in batch.schema().fields() {
            prop_assert_eq!(unsupported(field.data_type()), None);
        }
        let rows = write(&batch);
        for row in &rows {
            prop_assert!(serde_json::from_str::<&serde_json::value::RawValue>(row).is_ok(), "{}", row);
        }
        let all: Vec<usize> = (0..batch.num_columns()).collect();
        let mut reader = wanted(&batch.schema(), &all);
        for row in &rows {
            reader.object(row).map_err(|wrong| TestCaseError::fail(format!("{wrong:?} in {row}")))?;
        }
        prop_assert_eq!(reader.rows(), batch.num_rows());
        let read = reader.finish().unwrap();
        prop_assert!(read == batch, "{:?}\n{:?}\n{:?}", rows, read, batch);

        let some: Vec<usize> = all.into_iter().filter(|at| pick >> at & 1 == 1).collect();
        let mut reader = wanted(&batch.schema(), &some);
        for row in &rows {
            reader.object(row).map_err(|wrong| TestCaseError::fail(format!("{wrong:?} in {row}")))?;
        }
        let read = reader.finish().unwrap();
        prop_assert!(read == batch.project(&some).unwrap(), "{:?}", read);
    }

    #[test]
    fn no_row_panics(batch in batches(), text in "\\PC*", cut in any::<usize>()) {
        let all: Vec<usize> = (0..batch.num_columns()).collect();
        let mut reader = wanted(&batch.schema(), &all);
        let _ = reader.object(&text);
        for row in write(&batch) {
            let cut: String = row.chars().take(cut % (row.len() + 1)).collect();
            if reader.object(&cut).is_err() {
                reader = wanted(&batch.schema(), &all);
            }
        }
    }
}
