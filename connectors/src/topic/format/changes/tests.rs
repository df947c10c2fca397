use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use proptest::prelude::*;

use super::super::Decode;
use super::*;

fn decoder(fields: &[FieldRef]) -> DebeziumDecoder {
    let wanted: Vec<Wanted<'_>> = fields
        .iter()
        .map(|field| Wanted::kept(field, field.name()))
        .collect();
    DebeziumDecoder::new(&wanted, &["id".to_owned()]).unwrap()
}

fn fields() -> Vec<FieldRef> {
    vec![
        Arc::new(Field::new("id", DataType::Int64, false)),
        Arc::new(Field::new("name", DataType::Utf8View, false)),
        Arc::new(deleted_field()),
    ]
}

#[test]
fn what_is_wrong_is_said() {
    let fields = fields();
    let mut decoder = decoder(&fields);
    for (value, says) in [
        ("", "it is no Debezium event"),
        ("[]", "it is no Debezium event"),
        ("{}", "it has no \"op\""),
        (r#"{"payload":{}}"#, "it has no \"op\""),
        (
            r#"{"op":"c"}"#,
            "has its row in \"after\", which is not there",
        ),
        (
            r#"{"op":"c","after":null}"#,
            "has its row in \"after\", which is not there",
        ),
        (
            r#"{"op":"d","after":{"id":1}}"#,
            "has its row in \"before\", which is not there",
        ),
        (r#"{"op":"t"}"#, "was emptied"),
        (r#"{"op":"x"}"#, "none of Debezium's"),
        (r#"{"op":"c","after":7}"#, "(in \"after\")"),
        (r#"{"op":"u","after":{"id":1}}"#, "a value is missing"),
        (r#"{"op":"d","before":{"name":"a"}}"#, "(in \"before\")"),
    ] {
        let before = decoder.rows();
        let wrong = decoder.decode(value.as_bytes()).unwrap_err();
        assert!(wrong.message.contains(says), "{value}: {}", wrong.message);
        assert!(decoder.rows() <= before + 1);
    }
    let rows = decoder.rows();
    assert!(
        decoder
            .finish()
            .unwrap()
            .iter()
            .all(|column| column.len() == rows)
    );
}

proptest! {
    /// Columns have as many rows as there are said to be, whatever is decoded, and no text panics.
    #[test]
    fn columns_keep_step(values in prop::collection::vec(prop_oneof![
        ".{0,12}",
        r#"\{"op":"[cudrtm]"(,"(after|before)":(null|\{"id":(1|"x"|null)(,"name":("a"|null|1))?\}))?\}"#,
    ], 0..20)) {
        let fields = fields();
        let mut decoder = decoder(&fields);
        let mut right = Vec::new();
        for value in &values {
            let before = decoder.rows();
            let decoded = decoder.decode(value.as_bytes()).is_ok();
            right.extend((before..decoder.rows()).map(|_| decoded));
        }
        let rows = decoder.rows();
        let columns = decoder.finish().unwrap();
        prop_assert_eq!(decoder.rows(), 0);
        prop_assert!(columns.iter().all(|column| column.len() == rows));
        // What is right has a key, and what its row must have.
        let ids = columns[0].as_primitive::<Int64Type>();
        let deleted = columns[2].as_boolean();
        for (row, right) in right.into_iter().enumerate() {
            if right && deleted.is_valid(row) {
                prop_assert!(ids.is_valid(row));
                prop_assert!(deleted.value(row) || columns[1].is_valid(row));
            }
        }
    }
}
