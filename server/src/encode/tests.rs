//! Every Arrow type in every text format, exactly.

use std::sync::Arc;

use arrow::array::types::{Int8Type, Int32Type, IntervalDayTime, IntervalMonthDayNano};
use arrow::array::*;
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType, Field, Fields, Float16Type, Int64Type, Schema, UnionFields, i256,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::testing::{body, text};
use super::*;

fn one_column(field: Field, array: ArrayRef) -> RecordBatch {
    RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![array]).unwrap()
}

fn nullable(array: &ArrayRef) -> RecordBatch {
    one_column(
        Field::new("c", array.data_type().clone(), true),
        Arc::clone(array),
    )
}

/// The values of one column as NDJSON has them, and as CSV has them.
fn shown(batch: &RecordBatch) -> (Vec<String>, Vec<String>) {
    let json = text(Format::Ndjson, std::slice::from_ref(batch));
    let json = json.lines().map(|line| {
        line.strip_prefix("{\"c\":")
            .unwrap()
            .strip_suffix('}')
            .unwrap()
            .to_owned()
    });
    let csv = text(Format::Csv, std::slice::from_ref(batch));
    let csv = csv
        .strip_prefix("c\n")
        .unwrap()
        .strip_suffix("\n")
        .unwrap()
        .split("\n")
        .map(str::to_owned)
        .collect();
    (json.collect(), csv)
}

fn check(array: impl Array + 'static, json: &[&str], csv: &[&str]) {
    let array: ArrayRef = Arc::new(array);
    let data_type = array.data_type().clone();
    let (got_json, got_csv) = shown(&nullable(&array));
    assert_eq!(got_json, json, "JSON of {data_type}");
    assert_eq!(got_csv, csv, "CSV of {data_type}");
    for line in got_json {
        serde_json::from_str::<serde_json::Value>(&line).unwrap();
    }
}

#[test]
fn integers_past_two_to_the_53rd_are_strings() {
    check(
        Int64Array::from(vec![
            Some(-1),
            None,
            Some(1 << 53),
            Some((1 << 53) + 1),
            Some(i64::MIN),
        ]),
        &[
            "-1",
            "null",
            "9007199254740992",
            "\"9007199254740993\"",
            "\"-9223372036854775808\"",
        ],
        &[
            "-1",
            "",
            "9007199254740992",
            "9007199254740993",
            "-9223372036854775808",
        ],
    );
    check(
        UInt64Array::from(vec![0, u64::MAX]),
        &["0", "\"18446744073709551615\""],
        &["0", "18446744073709551615"],
    );
    check(
        Int8Array::from(vec![-128, 127]),
        &["-128", "127"],
        &["-128", "127"],
    );
    check(UInt8Array::from(vec![255]), &["255"], &["255"]);
    check(Int16Array::from(vec![-32768]), &["-32768"], &["-32768"]);
    check(UInt16Array::from(vec![65535]), &["65535"], &["65535"]);
    check(
        Int32Array::from(vec![i32::MIN]),
        &["-2147483648"],
        &["-2147483648"],
    );
    check(
        UInt32Array::from(vec![u32::MAX]),
        &["4294967295"],
        &["4294967295"],
    );
}

#[test]
fn floats_read_back_the_same() {
    check(
        Float64Array::from(vec![
            0.1,
            1.0,
            -0.0,
            1e300,
            5e-324,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
        ]),
        &[
            "0.1",
            "1.0",
            "-0.0",
            "1e300",
            "5e-324",
            "\"NaN\"",
            "\"Infinity\"",
            "\"-Infinity\"",
        ],
        &[
            "0.1",
            "1.0",
            "-0.0",
            "1e300",
            "5e-324",
            "NaN",
            "Infinity",
            "-Infinity",
        ],
    );
    check(
        Float32Array::from(vec![0.1, 16_777_216.0, f32::NAN]),
        &["0.1", "16777216.0", "\"NaN\""],
        &["0.1", "16777216.0", "NaN"],
    );
    check(Float16Array::from(vec![half(1.5)]), &["1.5"], &["1.5"]);
}

fn half(value: f32) -> <Float16Type as ArrowPrimitiveType>::Native {
    <Float16Type as ArrowPrimitiveType>::Native::from_f32(value)
}

#[test]
fn decimals_keep_every_digit() {
    check(
        Decimal128Array::from(vec![Some(12_345), None, Some(-5), Some(10_i128.pow(37))])
            .with_precision_and_scale(38, 2)
            .unwrap(),
        &[
            "123.45",
            "null",
            "-0.05",
            "\"100000000000000000000000000000000000.00\"",
        ],
        &[
            "123.45",
            "",
            "-0.05",
            "100000000000000000000000000000000000.00",
        ],
    );
    check(
        Decimal256Array::from(vec![
            i256::from_string("123456789012345678901234567890123456789012345").unwrap(),
        ])
        .with_precision_and_scale(76, 40)
        .unwrap(),
        &["\"12345.6789012345678901234567890123456789012345\""],
        &["12345.6789012345678901234567890123456789012345"],
    );
    check(
        Decimal32Array::from(vec![150])
            .with_precision_and_scale(9, 2)
            .unwrap(),
        &["1.50"],
        &["1.50"],
    );
    check(
        Decimal64Array::from(vec![-150])
            .with_precision_and_scale(18, 0)
            .unwrap(),
        &["-150"],
        &["-150"],
    );
}

#[test]
fn texts_and_bytes() {
    let texts = [
        "plain",
        "",
        "a,b",
        "say \"hi\"",
        "two\r\nlines\u{1}\t",
        "ünï ✓",
        "\\",
    ];
    let json = [
        "\"plain\"",
        "\"\"",
        "\"a,b\"",
        "\"say \\\"hi\\\"\"",
        "\"two\\r\\nlines\\u0001\\t\"",
        "\"ünï ✓\"",
        "\"\\\\\"",
    ];
    for array in [
        Arc::new(StringArray::from_iter_values(texts)) as ArrayRef,
        Arc::new(LargeStringArray::from_iter_values(texts)),
        Arc::new(StringViewArray::from_iter_values(texts)),
    ] {
        let batch = nullable(&array);
        assert_eq!(
            text(Format::Ndjson, std::slice::from_ref(&batch))
                .lines()
                .collect::<Vec<_>>()
                .len(),
            texts.len()
        );
        let got: Vec<String> = shown(&nullable(&array.slice(0, 4))).0;
        assert_eq!(got, json[..4]);
        assert_eq!(
            text(Format::Csv, &[batch]),
            "c\nplain\n\"\"\n\"a,b\"\n\"say \"\"hi\"\"\"\n\"two\r\nlines\u{1}\t\"\nünï ✓\n\\\n"
        );
    }
    let whole: ArrayRef = Arc::new(StringArray::from_iter_values(texts));
    let lines = text(Format::Ndjson, &[nullable(&whole)]);
    for (line, text) in lines.lines().zip(texts) {
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(line).unwrap()["c"],
            text
        );
    }
    let bytes: [&[u8]; 2] = [&[0, 255, 16], &[]];
    for array in [
        Arc::new(BinaryArray::from_iter_values(bytes)) as ArrayRef,
        Arc::new(LargeBinaryArray::from_iter_values(bytes)),
        Arc::new(BinaryViewArray::from_iter_values(bytes)),
    ] {
        assert_eq!(
            shown(&nullable(&array)),
            (
                vec!["\"\\\\x00ff10\"".into(), "\"\\\\x\"".into()],
                vec!["\\x00ff10".into(), "\\x".into()]
            )
        );
    }
    check(
        FixedSizeBinaryArray::try_from_iter([[1_u8, 2]].into_iter()).unwrap(),
        &["\"\\\\x0102\""],
        &["\\x0102"],
    );
    check(
        BooleanArray::from(vec![Some(true), Some(false), None]),
        &["true", "false", "null"],
        &["true", "false", ""],
    );
    check(NullArray::new(1), &["null"], &[""]);
}

#[test]
fn dates_times_and_intervals() {
    check(
        Date32Array::from(vec![Some(0), None, Some(19_782)]),
        &["\"1970-01-01\"", "null", "\"2024-02-29\""],
        &["1970-01-01", "", "2024-02-29"],
    );
    check(
        Date64Array::from(vec![86_400_000, 1]),
        &["\"1970-01-02\"", "\"1970-01-01T00:00:00.001\""],
        &["1970-01-02", "1970-01-01T00:00:00.001"],
    );
    check(
        Time32SecondArray::from(vec![3661]),
        &["\"01:01:01\""],
        &["01:01:01"],
    );
    check(
        Time32MillisecondArray::from(vec![1]),
        &["\"00:00:00.001\""],
        &["00:00:00.001"],
    );
    check(
        Time64MicrosecondArray::from(vec![1]),
        &["\"00:00:00.000001\""],
        &["00:00:00.000001"],
    );
    check(
        Time64NanosecondArray::from(vec![86_399_999_999_999]),
        &["\"23:59:59.999999999\""],
        &["23:59:59.999999999"],
    );
    check(
        TimestampSecondArray::from(vec![-1]),
        &["\"1969-12-31T23:59:59\""],
        &["1969-12-31T23:59:59"],
    );
    check(
        TimestampMillisecondArray::from(vec![1500]),
        &["\"1970-01-01T00:00:01.500\""],
        &["1970-01-01T00:00:01.500"],
    );
    let noon = 1_720_000_000_000_001;
    check(
        TimestampMicrosecondArray::from(vec![noon]).with_timezone("UTC"),
        &["\"2024-07-03T09:46:40.000001Z\""],
        &["2024-07-03T09:46:40.000001Z"],
    );
    check(
        TimestampMicrosecondArray::from(vec![noon]).with_timezone("+05:30"),
        &["\"2024-07-03T15:16:40.000001+05:30\""],
        &["2024-07-03T15:16:40.000001+05:30"],
    );
    check(
        TimestampNanosecondArray::from(vec![noon * 1000, 1_704_067_200_000_000_000])
            .with_timezone("Europe/Berlin"),
        &[
            "\"2024-07-03T11:46:40.000001+02:00\"",
            "\"2024-01-01T01:00:00+01:00\"",
        ],
        &[
            "2024-07-03T11:46:40.000001+02:00",
            "2024-01-01T01:00:00+01:00",
        ],
    );
    check(
        TimestampNanosecondArray::from(vec![i64::MIN]),
        &["\"1677-09-21T00:12:43.145224192\""],
        &["1677-09-21T00:12:43.145224192"],
    );
    check(
        IntervalMonthDayNanoArray::from(vec![IntervalMonthDayNano::new(13, -2, 3_600_000_000_001)]),
        &["\"1 year 1 mon -2 days +01:00:00.000000001\""],
        &["1 year 1 mon -2 days +01:00:00.000000001"],
    );
    check(
        IntervalYearMonthArray::from(vec![25]),
        &["\"2 years 1 mon\""],
        &["2 years 1 mon"],
    );
    check(
        IntervalDayTimeArray::from(vec![IntervalDayTime::new(1, -1)]),
        &["\"1 day -00:00:00.001\""],
        &["1 day -00:00:00.001"],
    );
    check(
        DurationSecondArray::from(vec![-90]),
        &["\"-00:01:30\""],
        &["-00:01:30"],
    );
    check(
        DurationNanosecondArray::from(vec![i64::MAX]),
        &["\"2562047:47:16.854775807\""],
        &["2562047:47:16.854775807"],
    );
    check(
        DurationMillisecondArray::from(vec![1]),
        &["\"00:00:00.001\""],
        &["00:00:00.001"],
    );
    check(
        DurationMicrosecondArray::from(vec![0]),
        &["\"00:00:00\""],
        &["00:00:00"],
    );
}

fn lists() -> ListArray {
    ListArray::from_iter_primitive::<Int64Type, _, _>([
        Some(vec![Some(1), None]),
        None,
        Some(vec![]),
        Some(vec![Some(i64::MAX)]),
    ])
}

#[test]
fn nested_values_are_json_everywhere() {
    let json = ["[1,null]", "null", "[]", "[\"9223372036854775807\"]"];
    check(
        lists(),
        &json,
        &[
            "\"[1,null]\"",
            "",
            "[]",
            "\"[\"\"9223372036854775807\"\"]\"",
        ],
    );
    check(lists().slice(1, 2), &json[1..3], &["", "[]"]);
    let fixed = FixedSizeListArray::from_iter_primitive::<Int32Type, _, _>(
        [Some(vec![Some(1), Some(2)]), None],
        2,
    );
    check(fixed.clone(), &["[1,2]", "null"], &["\"[1,2]\"", ""]);
    check(fixed.slice(0, 1), &["[1,2]"], &["\"[1,2]\""]);
    let item = Arc::new(Field::new("item", DataType::Int32, true));
    let views = ListViewArray::try_new(
        item,
        ScalarBuffer::from(vec![1, 0]),
        ScalarBuffer::from(vec![2, 1]),
        Arc::new(Int32Array::from(vec![7, 8, 9])),
        None,
    )
    .unwrap();
    check(views, &["[8,9]", "[7]"], &["\"[8,9]\"", "[7]"]);
    let fields = Fields::from(vec![
        Field::new("a \"b\"", DataType::Utf8, true),
        Field::new("n", DataType::Boolean, true),
    ]);
    let structs = StructArray::new(
        fields,
        vec![
            Arc::new(StringArray::from(vec![Some("x"), None])),
            Arc::new(BooleanArray::from(vec![true, false])),
        ],
        Some(vec![true, false].into()),
    );
    check(
        structs,
        &["{\"a \\\"b\\\"\":\"x\",\"n\":true}", "null"],
        &["\"{\"\"a \\\"\"b\\\"\"\"\":\"\"x\"\",\"\"n\"\":true}\"", ""],
    );
    let mut map = MapBuilder::new(None, Int32Builder::new(), Float64Builder::new());
    map.keys().append_value(1);
    map.values().append_value(f64::NAN);
    map.append(true).unwrap();
    map.append(false).unwrap();
    check(
        map.finish(),
        &["{\"1\":\"NaN\"}", "null"],
        &["\"{\"\"1\"\":\"\"NaN\"\"}\"", ""],
    );
    let dictionary: DictionaryArray<Int8Type> = [Some("a"), None, Some("b"), Some("a")]
        .into_iter()
        .collect();
    check(
        dictionary,
        &["\"a\"", "null", "\"b\"", "\"a\""],
        &["a", "", "b", "a"],
    );
    let runs = RunArray::<Int32Type>::try_new(
        &Int32Array::from(vec![2, 3]),
        &StringArray::from(vec![Some("x"), None]),
    )
    .unwrap();
    check(runs.slice(1, 2), &["\"x\"", "null"], &["x", ""]);
    let fields: UnionFields = [
        (0, Arc::new(Field::new("i", DataType::Int32, true))),
        (1, Arc::new(Field::new("s", DataType::Utf8, true))),
    ]
    .into_iter()
    .collect();
    let union = UnionArray::try_new(
        fields,
        ScalarBuffer::from(vec![0_i8, 1, 0]),
        Some(ScalarBuffer::from(vec![0, 0, 1])),
        vec![
            Arc::new(Int32Array::from(vec![Some(1), None])),
            Arc::new(StringArray::from(vec!["t"])),
        ],
    )
    .unwrap();
    check(union, &["1", "\"t\"", "null"], &["1", "t", ""]);
}

#[test]
fn json_columns_are_embedded_when_they_are_json() {
    let metadata = [("ARROW:extension:name".to_owned(), "arrow.json".to_owned())].into();
    let field = Field::new("c", DataType::Utf8View, true).with_metadata(metadata);
    let texts = StringViewArray::from(vec![
        Some("{\"a\":\n 1.10}"),
        Some("not json"),
        None,
        Some("12345678901234567890"),
    ]);
    let (json, _) = shown(&one_column(field, Arc::new(texts)));
    assert_eq!(
        json,
        [
            "{\"a\":  1.10}",
            "\"not json\"",
            "null",
            "12345678901234567890"
        ]
    );
}

#[test]
fn a_json_document_has_columns_rows_and_counts() {
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("id", DataType::Decimal128(10, 2), true),
        Field::new("tags", DataType::new_list(DataType::Utf8, true), true),
    ]);
    let tags = ListArray::new(
        Arc::new(Field::new_list_field(DataType::Utf8, true)),
        OffsetBuffer::from_lengths([1]),
        Arc::new(StringArray::from(vec!["x"])),
        None,
    );
    let amount = Decimal128Array::from(vec![5])
        .with_precision_and_scale(10, 2)
        .unwrap();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![1])),
        Arc::new(amount),
        Arc::new(tags),
    ];
    let batch = RecordBatch::try_new(Arc::new(schema), columns).unwrap();
    insta::assert_snapshot!(text(Format::Json, &[batch.clone(), batch.slice(0, 0), batch.clone()]), @r#"
    {"columns":[{"name":"id","type":"BIGINT","nullable":false},{"name":"id_2","type":"DECIMAL(10, 2)","nullable":true},{"name":"tags","type":"TEXT[]","nullable":true}],"rows":[
    {"id":1,"id_2":0.05,"tags":["x"]},
    {"id":1,"id_2":0.05,"tags":["x"]}
    ],"row_count":2,"truncated":false}
    "#);
    insta::assert_snapshot!(text(Format::Json, &[batch.slice(0, 0)]).lines().last().unwrap(), @r#"{"columns":[{"name":"id","type":"BIGINT","nullable":false},{"name":"id_2","type":"DECIMAL(10, 2)","nullable":true},{"name":"tags","type":"TEXT[]","nullable":true}],"rows":[],"row_count":0,"truncated":false}"#);
    insta::assert_snapshot!(text(Format::Sse, &[batch]), @r#"
    retry: 1000
    event: schema
    data: {"query_id":"q1","columns":[{"name":"id","type":"BIGINT","nullable":false},{"name":"id_2","type":"DECIMAL(10, 2)","nullable":true},{"name":"tags","type":"TEXT[]","nullable":true}]}

    data: [{"id":1,"id_2":0.05,"tags":["x"]}]

    event: end
    data: {"row_count":1,"truncated":false}
    "#);
}

#[test]
fn a_command_without_columns_fits_every_format() {
    let schema = Arc::new(Schema::empty());
    for format in Format::ALL {
        let mut encoder = encoder(format, &schema, "q1").unwrap();
        let mut out = Output::default();
        encoder.begin(&mut out).unwrap();
        let summary = Summary {
            command: Some("CREATE STREAM".to_owned()),
            ..Summary::default()
        };
        encoder.end(&summary, &mut out).unwrap();
        let body = out.take().concat();
        match format {
            Format::Json => assert_eq!(
                String::from_utf8(body).unwrap(),
                "{\"columns\":[],\"rows\":[],\"row_count\":0,\"truncated\":false,\"command\":\"CREATE STREAM\"}\n"
            ),
            Format::Ndjson | Format::Csv => assert!(body.is_empty()),
            Format::Arrow | Format::Parquet | Format::Sse => assert!(!body.is_empty()),
        }
    }
}

#[test]
fn a_failure_is_told_where_the_format_can() {
    let schema = lists_schema();
    for (format, ending) in [
        (Format::Arrow, Ending::Break),
        (Format::Json, Ending::Break),
        (Format::Csv, Ending::Break),
        (Format::Parquet, Ending::Break),
        (Format::Ndjson, Ending::Told),
        (Format::Sse, Ending::Told),
    ] {
        let mut out = Output::default();
        assert_eq!(
            encoder(format, &schema, "q1").unwrap().fail("{}", &mut out),
            ending,
            "{format:?}"
        );
        assert_eq!(out.len() > 0, ending == Ending::Told);
    }
    let mut out = Output::default();
    encoder(Format::Ndjson, &schema, "q1")
        .unwrap()
        .fail("{\"status\":500}", &mut out);
    assert_eq!(out.take().concat(), b"{\"error\":{\"status\":500}}\n");
}

fn lists_schema() -> SchemaRef {
    nullable(&(Arc::new(lists()) as ArrayRef)).schema()
}

#[test]
fn parquet_reads_back_and_holds_what_it_has_no_type_for_as_text() {
    let interval =
        IntervalMonthDayNanoArray::from(vec![Some(IntervalMonthDayNano::new(1, 0, 0)), None]);
    let runs =
        RunArray::<Int32Type>::try_new(&Int32Array::from(vec![2]), &Int64Array::from(vec![5]))
            .unwrap();
    let batch = RecordBatch::try_from_iter([
        ("n", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef),
        ("n", Arc::new(interval) as ArrayRef),
        ("r", Arc::new(runs) as ArrayRef),
        ("l", Arc::new(lists().slice(0, 2)) as ArrayRef),
        (
            "d",
            Arc::new(DurationSecondArray::from(vec![1, 2])) as ArrayRef,
        ),
    ])
    .unwrap();
    let bytes = body(Format::Parquet, &[batch]);
    let mut reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes))
        .unwrap()
        .build()
        .unwrap();
    let read = reader.next().unwrap().unwrap();
    let names: Vec<String> = read
        .schema()
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    assert_eq!(names, ["n", "n_2", "r", "l", "d"]);
    assert_eq!(
        read.column(1).as_string::<i32>().iter().collect::<Vec<_>>(),
        [Some("1 mon"), None]
    );
    assert_eq!(read.column(2).as_primitive::<Int64Type>().values(), &[5, 5]);
    assert_eq!(read.column(3).as_ref(), &lists().slice(0, 2) as &dyn Array);
}

#[test]
fn parquet_leaves_in_row_groups() {
    let rows = 400_000_i64;
    let numbers = Int64Array::from_iter_values(
        (0..rows).map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64.cast_signed())),
    );
    let batch = RecordBatch::try_from_iter([("n", Arc::new(numbers) as ArrayRef)]).unwrap();
    let mut encoder = encoder(Format::Parquet, &batch.schema(), "q1").unwrap();
    let mut out = Output::default();
    let mut early = 0;
    let mut whole = Vec::new();
    for _ in 0..10 {
        encoder.rows(&batch, None, &mut out).unwrap();
        early += out.len();
        whole.extend(out.take().concat());
    }
    assert!(early > 10 << 20, "only {early} bytes left before the end");
    encoder.end(&Summary::default(), &mut out).unwrap();
    whole.extend(out.take().concat());
    let metadata = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(whole)).unwrap();
    assert_eq!(metadata.metadata().file_metadata().num_rows(), rows * 10);
    assert!(metadata.metadata().num_row_groups() > 1);
}

#[test]
fn output_keeps_the_order_and_does_not_copy_what_is_large() {
    let mut out = Output::default();
    out.tail().extend_from_slice(b"a");
    out.push(Bytes::from_static(b"b"));
    let large = Bytes::from(vec![b'x'; COPY_BELOW]);
    out.push(large.clone());
    out.tail().extend_from_slice(b"c");
    assert_eq!(out.len(), COPY_BELOW + 3);
    let parts = out.take();
    assert_eq!(parts[0], "ab");
    assert_eq!(parts[1].as_ptr(), large.as_ptr());
    assert_eq!(parts[2], "c");
    assert_eq!(out.len(), 0);
}
