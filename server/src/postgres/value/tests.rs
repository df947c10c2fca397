//! Whole columns, as they are sent.

use std::collections::HashMap;

use arrow::array::types::Int32Type;
use arrow::array::{
    BooleanArray, Float64Array, Int32Array, ListArray, RecordBatch, StringArray, StructArray,
    TimestampNanosecondArray,
};

use super::*;

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap()
}

/// The values of a row as text.
fn texts(batch: &RecordBatch, row: usize) -> Vec<String> {
    let columns = columns(batch, &[], &Zone::of_name("UTC")).unwrap();
    let shown = columns.iter().map(|column| {
        if column.is_null(row) {
            return "NULL".to_owned();
        }
        let mut out = Vec::new();
        column.value(row, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    });
    shown.collect()
}

#[test]
fn rows_of_text() {
    let list =
        ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1), None]), None]);
    let structure = StructArray::from(vec![(
        Arc::new(Field::new("a", DataType::Int32, true)),
        Arc::new(Int32Array::from(vec![1, 2])) as ArrayRef,
    )]);
    let batch = batch(vec![
        ("b", Arc::new(BooleanArray::from(vec![Some(true), None]))),
        ("f", Arc::new(Float64Array::from(vec![1.0, 0.5]))),
        ("t", Arc::new(StringArray::from(vec!["", "x"]))),
        ("l", Arc::new(list)),
        ("s", Arc::new(structure)),
        (
            "at",
            Arc::new(TimestampNanosecondArray::from(vec![1_999, 2_000]).with_timezone("UTC")),
        ),
    ]);
    assert_eq!(
        texts(&batch, 0),
        [
            "t",
            "1",
            "",
            "{1,NULL}",
            "{\"a\":1}",
            "1970-01-01 00:00:00.000001+00"
        ]
    );
    assert_eq!(
        texts(&batch, 1),
        [
            "NULL",
            "0.5",
            "x",
            "NULL",
            "{\"a\":2}",
            "1970-01-01 00:00:00.000002+00"
        ]
    );
}

#[test]
fn a_row_in_binary() {
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(7)])]);
    let batch = batch(vec![
        ("i", Arc::new(Int32Array::from(vec![-1]))),
        ("l", Arc::new(list)),
    ]);
    let columns = columns(&batch, &[Format::Binary, Format::Binary], &Zone::Utc).unwrap();
    let mut out = Vec::new();
    row(&columns, 0, &mut out).unwrap();
    let expected: Vec<u8> = [
        &[0, 2][..],
        &[0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff],
        // One dimension, no nulls, int4; one element from 1 on.
        &[0, 0, 0, 28, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 23],
        &[0, 0, 0, 1, 0, 0, 0, 1],
        &[0, 0, 0, 4, 0, 0, 0, 7],
    ]
    .concat();
    assert_eq!(out, expected);
}

#[test]
fn texts_that_are_more_than_text() {
    let metadata = HashMap::from([("ARROW:extension:name".to_owned(), "weir.uuid".to_owned())]);
    let field = Field::new("id", DataType::Utf8, true).with_metadata(metadata);
    assert_eq!(PgType::of_field(&field), PgType::Uuid);
    let array: ArrayRef = Arc::new(StringArray::from(vec![
        "00000000-0000-0000-0000-0000000000ff",
    ]));
    let column = Column::new(&array, &field, Format::Binary, &Zone::Utc).unwrap();
    let mut out = Vec::new();
    column.value(0, &mut out).unwrap();
    assert_eq!((out.len(), out.last()), (16, Some(&255)));
}

#[test]
fn formats_are_none_one_or_each() {
    use Format::{Binary, Text};
    assert_eq!(formats(&[], 2).unwrap(), [Text, Text]);
    assert_eq!(formats(&[1], 2).unwrap(), [Binary, Binary]);
    assert_eq!(formats(&[1, 0], 2).unwrap(), [Binary, Text]);
    assert!(formats(&[1, 0, 0], 2).is_err());
    assert!(formats(&[2], 2).is_err());
}
