//! What is encoded reads back, and what is wrong harms nothing beside it.

use std::sync::Arc;

use arrow::array::*;
use arrow::compute::{concat_batches, filter_record_batch, is_null};
use arrow::datatypes::*;
use proptest::prelude::*;
use weir_base::{PartitionId, TopicName};
use weir_topics::{BatchBuilder, BatchView, RecordRef};

use super::*;
use crate::topic::record::RecordDecoder;
use crate::topic::row::tests::batches;
use crate::topic::{
    CsvLayout, Hidden, RowColumn, RowSchema, encode_batch, encode_csv, encode_ndjson,
};

fn formats() -> impl Strategy<Value = Format> {
    let csv = |delimiter, quote, null: &str| {
        Format::Csv(CsvForm {
            delimiter,
            quote,
            null: null.to_owned(),
        })
    };
    prop::sample::select(vec![
        Format::Json,
        Format::Csv(CsvForm::default()),
        csv(b';', b'\'', "\\N"),
        csv(b'\t', b'"', "NULL"),
        Format::Arrow,
    ])
}

pub(super) fn schema(fields: &Fields, value: Format, on_error: OnError) -> RowSchema {
    let columns = fields.iter().map(|field| RowColumn::new(Arc::clone(field)));
    let format = RecordFormat {
        value,
        key: None,
        on_error,
    };
    let schema = RowSchema::new(columns.collect(), vec![]).unwrap();
    schema.with_format(format).unwrap()
}

/// A registry without schemas.
#[derive(Debug)]
struct NoSchemas;

impl Schemas for NoSchemas {
    fn schema(
        &self,
        id: weir_schemas::SchemaId,
    ) -> weir_schemas::Result<Arc<weir_schemas::Parsed>> {
        weir_schemas::Registry::default().parsed(id)
    }

    fn latest(
        &self,
        _subject: &str,
    ) -> weir_schemas::Result<Option<(weir_schemas::SchemaId, Arc<weir_schemas::Parsed>)>> {
        Ok(None)
    }
}

pub(super) fn no_schemas() -> Arc<dyn Schemas> {
    Arc::new(NoSchemas)
}

fn stored(values: &[Option<Vec<u8>>]) -> BatchView {
    let mut builder = BatchBuilder::new();
    for value in values {
        let record = RecordRef {
            timestamp_ms: 5,
            key: None,
            value: value.as_deref(),
            headers: &[],
        };
        builder.push(record).unwrap();
    }
    BatchView::parse(builder.build().as_bytes().to_vec().into()).unwrap()
}

/// The rows of values in the columns at `projection`.
pub(super) fn decode(
    schema: &RowSchema,
    values: &[Option<Vec<u8>>],
    projection: &[usize],
) -> RecordBatch {
    let topic = TopicName::new("t").unwrap();
    let mut decoder = RecordDecoder::new(&topic, PartitionId(0), schema, projection).unwrap();
    if !values.is_empty() {
        for record in stored(values).records() {
            decoder.push(&record.unwrap()).unwrap();
        }
    }
    decoder.finish().unwrap()
}

fn encode(schema: &RowSchema, batch: &RecordBatch) -> Vec<Option<Vec<u8>>> {
    let rows = encode_batch(schema, batch).unwrap();
    (0..rows.len())
        .map(|row| rows.value(row).map(<[u8]>::to_vec))
        .collect()
}

/// What stands among good values: anything, parts of good values, good values of other columns, nothing.
fn spoilt(good: Vec<Option<Vec<u8>>>) -> impl Strategy<Value = Vec<Option<Vec<u8>>>> {
    let one = (
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        0..5u8,
        prop::collection::vec(any::<u8>(), 0..40),
    );
    prop::collection::vec(one, 1..12).prop_map(move |changes| {
        let mut values = good.clone();
        for (place, cut, kind, garbage) in changes {
            let at = place.index(values.len());
            let old = values[at].clone().unwrap_or_default();
            let cut = cut.index(old.len() + 1);
            let new = match kind {
                0 => None,
                1 => Some(garbage),
                2 => Some(old[..cut].to_vec()),
                3 => Some([&old[..cut], &garbage, &old[cut..]].concat()),
                _ => {
                    // One byte flipped.
                    let mut new = old;
                    if let Some(byte) = new.get_mut(cut) {
                        *byte ^= garbage.first().copied().unwrap_or(1) | 1;
                    }
                    Some(new)
                }
            };
            values.insert(at, new);
        }
        values
    })
}

proptest! {
    #[test]
    fn every_row_reads_back(batch in batches(), format in formats()) {
        let schema = schema(batch.schema().fields(), format, OnError::Fail);
        let all: Vec<usize> = (0..batch.num_columns()).collect();
        let read = decode(&schema, &encode(&schema, &batch), &all);
        prop_assert!(read == batch, "{:?}\n{:?}", read, batch);
    }

    #[test]
    fn wrong_records_harm_no_other(
        (batch, format, values) in (batches(), formats()).prop_flat_map(|(batch, format)| {
            let good = encode(&schema(batch.schema().fields(), format.clone(), OnError::Null), &batch);
            (Just(batch), Just(format), spoilt(good))
        }),
        pick in any::<u8>(),
    ) {
        let shown = batch.num_columns();
        let rows = schema(batch.schema().fields(), format.clone(), OnError::Null);
        let error = shown + Hidden::ALL.iter().position(|hidden| *hidden == Hidden::Error).unwrap();
        let all: Vec<usize> = (0..shown).chain([error]).collect();
        let read = decode(&rows, &values, &all);

        // Each is what it is alone.
        let alone: Vec<_> = values.iter().map(|value| decode(&rows, std::slice::from_ref(value), &all)).collect();
        let alone = concat_batches(&read.schema(), &alone).unwrap();
        prop_assert!(read == alone, "{:?}\n{:?}", read, alone);
        if format != Format::Arrow {
            prop_assert_eq!(read.num_rows(), values.len());
        }

        // One that is wrong has nulls only.
        let errors = read.column(shown);
        for row in (0..read.num_rows()).filter(|row| errors.is_valid(*row)) {
            for column in &read.columns()[..shown] {
                prop_assert!(column.data_type() == &DataType::Null || column.is_null(row));
            }
        }

        // Whichever columns are asked for.
        let some: Vec<usize> = (0..shown).filter(|at| pick >> at & 1 == 1).collect();
        prop_assert!(decode(&rows, &values, &some) == read.project(&some).unwrap());

        // Left out, they are the only ones that are.
        let dropping = schema(batch.schema().fields(), format, OnError::Skip);
        let good = filter_record_batch(&read.project(&some).unwrap(), &is_null(errors).unwrap()).unwrap();
        prop_assert!(decode(&dropping, &values, &some) == good);
    }
}

#[test]
fn lists_and_maps_that_hold_no_null_are_whole_after_an_error() {
    let int = |nullable| Field::new("item", DataType::Int32, nullable);
    let entries = vec![
        Field::new("keys", DataType::Int32, false),
        Field::new("values", DataType::Int32, false),
    ];
    let entries = Field::new("entries", DataType::Struct(entries.into()), false);
    let lists = DataType::List(Arc::new(int(false)));
    let fields: Fields = vec![
        Field::new("l", lists.clone(), true),
        Field::new("f", DataType::FixedSizeList(Arc::new(int(false)), 2), true),
        Field::new("m", DataType::Map(Arc::new(entries), false), true),
        Field::new(
            "ll",
            DataType::List(Arc::new(Field::new("item", lists, false))),
            true,
        ),
    ]
    .into();
    let rows = schema(&fields, Format::Json, OnError::Skip);
    let good = [
        r#"{"l":[1,2],"f":[1,2],"m":{"1":2},"ll":[[1],[]]}"#,
        r#"{"l":[],"f":[3,4],"m":{},"ll":[]}"#,
        r#"{"l":[5],"f":null,"m":{"7":8,"9":10},"ll":[[2,3]]}"#,
    ];
    let wrong = [
        r#"{"l":[1,null],"f":[1,2]}"#,
        r#"{"l":[1,"x"]}"#,
        r#"{"l":[1],"f":[1,2,3]}"#,
        r#"{"f":[1]}"#,
        r#"{"f":[1,null]}"#,
        r#"{"m":{"1":2,"x":3}}"#,
        r#"{"m":{"1":2,"3":null}}"#,
        r#"{"m":{"1":2,"3":"x"}}"#,
        r#"{"ll":[[1],[2,"x"]],"l":[1]}"#,
        r#"{"ll":[[1],null]}"#,
        r#"{"l":[1,2]"#,
    ];
    let bytes = |text: &str| Some(text.as_bytes().to_vec());
    let all: Vec<usize> = (0..fields.len()).collect();
    let wanted = decode(&rows, &good.map(bytes), &all);
    assert_eq!(wanted.num_rows(), good.len());
    for bad in wrong {
        let values: Vec<_> = good
            .iter()
            .flat_map(|good| [bad, good, bad])
            .map(bytes)
            .collect();
        assert_eq!(decode(&rows, &values, &all), wanted, "{bad}");
    }
}

/// Rows that come as JSON or CSV are stored in the stream's own format.
#[test]
fn rows_that_come_in_are_stored_in_the_streams_format() {
    let fields: Fields = vec![
        Field::new("a", DataType::Int32, false),
        Field::new("b", DataType::Utf8View, true),
    ]
    .into();
    for format in [Format::Csv(CsvForm::default()), Format::Arrow] {
        let rows = schema(&fields, format, OnError::Null);
        let json = "{\"b\":\"x,y\",\"a\":1}\n{\"a\":2}".to_owned();
        let json = encode_ndjson(&rows, &json.into()).unwrap();
        let csv = encode_csv(
            &rows,
            &"a,b\n1,\"x,y\"\n2,".to_owned().into(),
            CsvLayout::default(),
        );
        for stored in [json, csv.unwrap()] {
            let values: Vec<_> = (0..2)
                .map(|row| stored.value(row).map(<[u8]>::to_vec))
                .collect();
            let read = decode(&rows, &values, &[0, 1]);
            assert_eq!(read.columns(), stored.batch().columns());
        }
        let wrong = encode_ndjson(&rows, &"{\"b\":\"x\"}".to_owned().into());
        assert_eq!(wrong.unwrap_err().row, Some(1));
    }
}

/// A topic's keys and values together: one that is wrong makes the record wrong.
#[test]
fn a_record_is_wrong_whose_key_is() {
    let columns = [("k", DataType::Int32), ("v", DataType::Int32)];
    let columns = columns.map(|(name, t)| RowColumn::new(Field::new(name, t, true)));
    let format = RecordFormat {
        value: Format::Json,
        key: Some(KeyFormat::Text),
        on_error: OnError::Null,
    };
    let rows = RowSchema::new(columns.to_vec(), vec![0]).unwrap();
    let rows = rows.with_format(format).unwrap();
    let mut builder = BatchBuilder::new();
    for (key, value) in [
        (Some("1"), Some("{\"v\":1}")),
        (Some("x"), Some("{\"v\":2}")),
        (Some("3"), Some("{")),
        (None, Some("{\"v\":4}")),
        (Some("5"), None),
        (Some("6"), Some("{\"k\":9,\"v\":6}")),
    ] {
        let record = RecordRef {
            timestamp_ms: 5,
            key: key.map(str::as_bytes),
            value: value.map(str::as_bytes),
            headers: &[],
        };
        builder.push(record).unwrap();
    }
    let stored = BatchView::parse(builder.build().as_bytes().to_vec().into()).unwrap();
    let topic = TopicName::new("t").unwrap();
    let read = |projection: &[usize]| {
        let mut decoder = RecordDecoder::new(&topic, PartitionId(0), &rows, projection).unwrap();
        for record in stored.records() {
            decoder.push(&record.unwrap()).unwrap();
        }
        decoder.finish().unwrap()
    };
    let ints = |batch: &RecordBatch, at: usize| -> Vec<Option<i32>> {
        batch
            .column(at)
            .as_primitive::<Int32Type>()
            .iter()
            .collect()
    };
    let all = read(&[1, 0, 7]);
    assert_eq!(ints(&all, 0), [Some(1), None, None, Some(4), None, Some(6)]);
    assert_eq!(ints(&all, 1), [Some(1), None, None, None, None, Some(6)]);
    let said: Vec<_> = all.column(2).as_string::<i32>().iter().collect();
    assert_eq!(
        said[1],
        Some("column \"k\": its key: expected INTEGER, found \"x\"")
    );
    assert_eq!((said[3], said[4]), (None, Some("it has no value")));
    assert_eq!(ints(&read(&[0]), 0), ints(&all, 1));
    assert_eq!(ints(&read(&[1]), 0), ints(&all, 0));
}

/// The texts of `_error` for values of `(a INT NOT NULL, b TEXT)`.
fn errors(format: Format, values: &[&[u8]]) -> Vec<Option<String>> {
    let fields: Fields = vec![
        Field::new("a", DataType::Int32, false),
        Field::new("b", DataType::Utf8View, true),
    ]
    .into();
    let rows = schema(&fields, format, OnError::Null);
    let values: Vec<_> = values.iter().map(|value| Some(value.to_vec())).collect();
    let read = decode(&rows, &values, &[7]);
    let texts = read.column(0).as_string::<i32>();
    texts.iter().map(|text| text.map(str::to_owned)).collect()
}

#[test]
fn what_is_wrong_is_said() {
    let said = errors(
        Format::Json,
        &[
            b"{\"a\":1}",
            b"{\"a\":\"x\"}",
            b"{\"b\":\"x\"}",
            b"{\"a\":1",
            b"[]",
            b"\xff",
            b"",
        ],
    );
    let said: Vec<_> = said.iter().map(Option::as_deref).collect();
    assert_eq!(
        said,
        [
            None,
            Some("column \"a\": expected INTEGER, found \"x\""),
            Some("column \"a\": a value is missing: it is declared NOT NULL and has no default"),
            Some("not valid JSON at byte 7: expected ',' or '}', but the text ends"),
            Some("a row is a JSON object, found a list"),
            Some("it is not valid UTF-8 at byte 1"),
            Some("not valid JSON at byte 1: expected a value, but the text ends"),
        ]
    );
    let said = errors(
        Format::Csv(CsvForm::default()),
        &[
            b"1,x",
            b"1",
            b"x,y",
            b",y",
            b"1,\"y",
            b"1,x\n2,y",
            b"1,x\r\n",
        ],
    );
    let said: Vec<_> = said.iter().map(Option::as_deref).collect();
    assert_eq!(
        said,
        [
            None,
            Some("it has 1 fields where 2 are expected"),
            Some("column \"a\": expected INTEGER, found \"x\""),
            Some("column \"a\": null is not allowed: it is declared NOT NULL"),
            Some("not valid CSV: a quoted field has no closing quote"),
            Some("not valid CSV: it has more than one line"),
            None,
        ]
    );
    let said = errors(Format::Arrow, &[b"", b"{}"]);
    assert_eq!(
        said[1].as_deref(),
        Some("not a whole Arrow stream: it ends too early")
    );
}

#[test]
fn a_long_error_is_cut() {
    let mut value = b"{\"a\":1,\"b\":\"".to_vec();
    value.extend(std::iter::repeat_n(b'x', 5000));
    value.extend_from_slice(b"\", 7}");
    let said = errors(Format::Json, &[&value]);
    assert!(said[0].as_ref().unwrap().chars().count() < 600);
}

/// An Arrow stream that says it has more than it has.
#[test]
fn arrow_streams_that_lie_about_their_size_are_refused() {
    let fields: Fields = vec![Field::new("a", DataType::Int32, true)].into();
    let rows = schema(&fields, Format::Arrow, OnError::Null);
    let batch = RecordBatch::try_new(
        Arc::new(Schema::new(fields.clone())),
        vec![Arc::new(Int32Array::from(vec![1]))],
    )
    .unwrap();
    let good = encode(&rows, &batch).remove(0).unwrap();
    for at in 0..good.len() {
        for byte in [0, 0x7f, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[at] = byte;
            let read = decode(
                &rows,
                &[Some(good.clone()), Some(bad), Some(good.clone())],
                &[0],
            );
            let read = read.column(0).as_primitive::<Int32Type>();
            assert_eq!(read.value(0), 1);
            assert_eq!(read.value(read.len() - 1), 1);
        }
    }
}
