//! Values by the schemas of a registry: read by their writers', and what is wrong said.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Fields, Int64Type, TimeUnit};
use proptest::prelude::*;
use weir_schemas::Registry;

use super::super::tests::{decode, no_schemas, schema};
use super::super::{Format, Given, OnError};
use super::*;
use crate::topic::row::tests::named_batches;

#[derive(Debug)]
struct Registered(Registry);

impl Schemas for Registered {
    fn schema(&self, id: SchemaId) -> weir_schemas::Result<Arc<Parsed>> {
        self.0.parsed(id)
    }

    fn latest(&self, subject: &str) -> weir_schemas::Result<Option<(SchemaId, Arc<Parsed>)>> {
        self.0.latest(subject)
    }
}

fn registered(schemas: Arc<dyn Schemas>) -> WriterSchema {
    WriterSchema::Registered {
        schemas,
        subject: "s".to_owned(),
        message: None,
    }
}

const OLD: &str = r#"{"type": "record", "name": "r", "fields": [
    {"name": "id", "type": "long"}, {"name": "name", "type": ["null", "string"]}]}"#;
const NEW: &str = r#"{"type": "record", "name": "r", "fields": [
    {"name": "name", "type": "string"}, {"name": "id", "type": "int"},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}}]}"#;
const PROTO: &str =
    "syntax = \"proto3\"; message A {} message M { string name = 1; int64 id = 2; }";

fn registry() -> Arc<dyn Schemas> {
    let mut registry = Registry::default();
    for (at, definition) in [
        Definition::avro(OLD),
        Definition::avro(NEW),
        Definition::new(SchemaKind::Protobuf, PROTO),
    ]
    .into_iter()
    .enumerate()
    {
        let planned = registry.register(&format!("s{at}"), &definition, false, None, None);
        registry = registry.apply(&planned.unwrap().changes).unwrap();
    }
    Arc::new(Registered(registry))
}

fn fields() -> Fields {
    let at = DataType::Timestamp(TimeUnit::Microsecond, None);
    vec![
        Field::new("id", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
        Field::new("at", at, true),
    ]
    .into()
}

fn values(values: &[&[u8]]) -> Vec<Option<Vec<u8>>> {
    values.iter().map(|value| Some(value.to_vec())).collect()
}

/// The errors of values, in order.
fn said(format: Format, given: &[&[u8]]) -> Vec<Option<String>> {
    let schema = schema(&fields(), format, OnError::Null);
    let error = schema
        .schema_with_hidden()
        .index_of("_error")
        .expect("a column of errors");
    let rows = decode(&schema, &values(given), &[error]);
    let errors = rows.column(0).as_string::<i32>();
    errors.iter().map(|text| text.map(str::to_owned)).collect()
}

#[test]
fn each_value_is_read_by_its_own_writers_schema() {
    let schema = schema(
        &fields(),
        Format::Avro(registered(registry())),
        OnError::Null,
    );
    let given = values(&[
        &[0, 0, 0, 0, 1, 14, 2, 2, b'a'],
        &[0, 0, 0, 0, 2, 2, b'b', 16, 2],
        &[0, 0, 0, 0, 1, 18, 0],
    ]);
    let rows = decode(&schema, &given, &[0, 1, 2]);
    let ids = rows.column(0).as_primitive::<Int64Type>();
    assert_eq!(ids.values(), &[7, 8, 9]);
    let names: Vec<_> = rows.column(1).as_string::<i32>().iter().collect();
    assert_eq!(names, [Some("a"), Some("b"), None]);
    let at = rows
        .column(2)
        .as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
    assert_eq!(at.iter().collect::<Vec<_>>(), [None, Some(1_000), None]);
    // Of one column only.
    let rows = decode(&schema, &given, &[1]);
    assert_eq!(rows.column(0).as_string::<i32>().value(1), "b");
}

#[test]
fn messages_are_found_by_their_path_and_without_a_frame_by_their_name() {
    let registered = Format::Protobuf(registered(registry()));
    let given = WriterSchema::given(SchemaKind::Protobuf, PROTO.to_owned(), Some("M"));
    let message = [10, 1, b'a', 16, 7];
    let framed = [&[0, 0, 0, 0, 3, 2, 2], &message[..]].concat();
    for (format, value) in [
        (registered, framed.as_slice()),
        (Format::Protobuf(given.unwrap()), &message[..]),
    ] {
        let rows = decode(
            &schema(&fields(), format, OnError::Null),
            &values(&[value]),
            &[0, 1],
        );
        assert_eq!(rows.column(0).as_primitive::<Int64Type>().value(0), 7);
        assert_eq!(rows.column(1).as_string::<i32>().value(0), "a");
    }
}

#[test]
fn what_is_wrong_is_said() {
    let avro = Format::Avro(registered(registry()));
    let errors = said(
        avro,
        &[
            b"{\"id\": 1}",
            &[0, 0, 0, 0, 9, 2],
            &[0, 0, 0, 0, 3, 0],
            &[0, 0, 0, 0, 1, 2, 2, 10],
            &[0, 0, 0, 0, 1, 2, 0],
        ],
    );
    let errors: Vec<_> = errors.iter().map(Option::as_deref).collect();
    assert_eq!(
        errors,
        [
            Some("it begins with byte 123 instead of the magic 0 of a value with a schema id"),
            Some("the schema with id 9: Schema 9 not found"),
            Some("its schema is of type PROTOBUF, and the stream's format is AVRO"),
            Some("column \"name\": the value ends too early"),
            None,
        ]
    );
    let protobuf = Format::Protobuf(registered(no_schemas()));
    let errors = said(protobuf, &[&[0, 0, 0, 0, 1]]);
    assert_eq!(
        errors[0].as_deref(),
        Some("the path to its message does not read")
    );
}

/// What may keep a row from being written by the schema that its own columns make.
const ROW_ERRORS: [&str; 6] = [
    "is out of range for the schema",
    "too fine for the schema",
    "in the years 1 to 9999",
    "null is not allowed in a repeated field",
    "null is not allowed in a map field",
    "null is not allowed: a repeated field is empty instead",
];

fn made(kind: SchemaKind, batch: &RecordBatch) -> Result<WriterSchema> {
    let schema = batch.schema();
    let columns: Vec<_> = schema
        .fields()
        .iter()
        .map(|field| (field.name().as_str(), field))
        .collect();
    let new = registered(no_schemas())
        .to_register(kind, "s", &columns)?
        .unwrap();
    WriterSchema::given(kind, new.definition.text, None)
}

proptest! {
    #[test]
    fn rows_read_back_by_the_schema_that_their_columns_make(batch in named_batches(|at| format!("c_{at}"))) {
        for kind in [SchemaKind::Avro, SchemaKind::Protobuf] {
            let of = match made(kind, &batch) {
                Ok(of) => of,
                Err(error) => {
                    let said = error.to_string();
                    let is_known = said.contains("Protobuf has no lists or maps of") && kind == SchemaKind::Protobuf;
                    prop_assert!(is_known, "{}", said);
                    continue;
                }
            };
            let format = match kind {
                SchemaKind::Avro => Format::Avro(of),
                _ => Format::Protobuf(of),
            };
            let batch_schema = batch.schema();
            let given: Vec<Given<'_>> = batch_schema.fields().iter().zip(batch.columns()).map(|(field, array)| Given {
                key: field.name(), field, array: array.as_ref(),
            }).collect();
            let mut encoder = match format.encoder(&given) {
                Ok(encoder) => encoder,
                Err(error) => {
                    prop_assert!(error.to_string().contains("JSON within lists"), "{}", error);
                    continue;
                }
            };
            let mut kept = Vec::new();
            let mut values = Vec::new();
            for row in 0..batch.num_rows() {
                let mut value = Vec::new();
                match encoder.encode(row, &mut value) {
                    Ok(is_there) => prop_assert!(is_there),
                    Err((_, said)) => {
                        prop_assert!(ROW_ERRORS.iter().any(|known| said.contains(known)), "{}", said);
                        continue;
                    }
                }
                kept.push(row as u32);
                values.push(Some(value));
            }
            let kept = arrow::array::UInt32Array::from(kept);
            let expected = arrow::compute::take_record_batch(&batch, &kept).unwrap();
            let all: Vec<usize> = (0..batch.num_columns()).collect();
            let read = decode(&schema(batch_schema.fields(), format.clone(), OnError::Fail), &values, &all);
            prop_assert!(same(&read, &expected), "{:?}\n{:?}\n{:?}", kind, read, expected);
        }
    }
}

/// Whether batches have the same values. Of maps the order of entries does not count, which Protobuf does not keep.
fn same(one: &RecordBatch, other: &RecordBatch) -> bool {
    fn shown(batch: &RecordBatch) -> Vec<serde_json::Value> {
        let schema = batch.schema();
        let columns = schema.fields().iter().zip(batch.columns());
        let columns =
            columns.map(|(field, array)| (field.name().as_str(), field.as_ref(), array.as_ref()));
        let mut writer = crate::topic::row::RowWriter::new(columns).unwrap();
        let mut rows = Vec::new();
        for row in 0..batch.num_rows() {
            let mut text = Vec::new();
            writer.write(row, &mut text).unwrap();
            // A number that is JSON, and no float.
            let text = String::from_utf8(text).unwrap().replace("1e400", "14");
            rows.push(serde_json::from_str(&text).unwrap());
        }
        rows
    }
    one == other || shown(one) == shown(other)
}

fn encoded(format: &Format, batch: &RecordBatch) -> Vec<std::result::Result<Vec<u8>, String>> {
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns());
    let given: Vec<Given<'_>> = columns
        .map(|(field, array)| Given {
            key: field.name(),
            field,
            array: array.as_ref(),
        })
        .collect();
    let mut encoder = format.encoder(&given).unwrap();
    let rows = 0..batch.num_rows();
    rows.map(|row| {
        let mut value = Vec::new();
        let written = encoder.encode(row, &mut value);
        written.map(|_| value).map_err(|(_, said)| said)
    })
    .collect()
}

#[test]
fn timestamps_of_all_years_of_protobuf_read_back() {
    let micros = [0, -1, 253_402_300_799_999_999, -62_135_596_800_000_000];
    let array = arrow::array::TimestampMicrosecondArray::from(micros.to_vec());
    let field = Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, None), true);
    let fields: arrow::datatypes::SchemaRef = Arc::new(arrow::datatypes::Schema::new(vec![field]));
    let batch = RecordBatch::try_new(fields, vec![Arc::new(array)]).unwrap();
    let format = Format::Protobuf(made(SchemaKind::Protobuf, &batch).unwrap());
    let values: Vec<_> = encoded(&format, &batch)
        .into_iter()
        .map(|it| Some(it.unwrap()))
        .collect();
    let read = decode(
        &schema(batch.schema().fields(), format, OnError::Fail),
        &values,
        &[0],
    );
    assert_eq!(read, batch);
}

#[test]
fn the_columns_of_a_made_schema_are_those_that_made_it() {
    let text = |extension: &str| {
        let metadata = [(
            crate::topic::row::EXTENSION_NAME.to_owned(),
            extension.to_owned(),
        )];
        Field::new("x", DataType::Utf8View, true).with_metadata(metadata.into())
    };
    let item = |of| DataType::List(Arc::new(Field::new("item", of, true)));
    let inner = Fields::from(vec![Field::new("zip", DataType::Int32, true)]);
    let both = [
        Field::new("a", DataType::Boolean, false),
        Field::new("b", DataType::Int64, true),
        Field::new("c", DataType::Float64, true),
        Field::new("d", DataType::Binary, true),
        Field::new("e", item(DataType::Utf8View), false),
        Field::new("f", DataType::Struct(inner), true),
        Field::new(
            "g",
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            true,
        ),
    ];
    let avro = [
        text(crate::topic::row::UUID_EXTENSION).with_name("h"),
        Field::new("i", DataType::Decimal128(10, 2), true),
        Field::new("j", DataType::Date32, true),
        Field::new("k", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        Field::new("l", DataType::Time64(TimeUnit::Nanosecond), true),
    ];
    for (kind, fields) in [
        (SchemaKind::Protobuf, both.to_vec()),
        (SchemaKind::Avro, [&both[..], &avro[..]].concat()),
    ] {
        let schema: arrow::datatypes::SchemaRef =
            Arc::new(arrow::datatypes::Schema::new(fields.clone()));
        let of = made(kind, &RecordBatch::new_empty(schema)).unwrap();
        assert_eq!(of.columns(kind).unwrap(), fields);
    }
}

/// A type that uses itself, and one that uses others so often that it has more fields than could be kept.
#[test]
fn types_without_end_are_json() {
    let recursive = r#"{"type": "record", "name": "r", "fields": [
        {"name": "id", "type": "long"}, {"name": "next", "type": ["null", "r"]},
        {"name": "either", "type": ["int", "string"]}]}"#;
    let wide = |level: usize| {
        (0..9)
            .map(|at| format!("M{} f{at} = {};", level + 1, at + 1))
            .collect::<String>()
    };
    let mut messages = "syntax = \"proto3\";".to_owned();
    for level in 0..12 {
        messages.push_str(&format!("message M{level} {{ {} }}", wide(level)));
    }
    messages.push_str("message M12 { string x = 1; }");
    for (kind, text, json) in [
        (SchemaKind::Avro, recursive.to_owned(), 2),
        (SchemaKind::Protobuf, messages, 9),
    ] {
        let columns = WriterSchema::given(kind, text, None)
            .unwrap()
            .columns(kind)
            .unwrap();
        let is_json = |field: &&Field| {
            crate::topic::row::logical(field) == Some(crate::topic::row::Logical::Json)
        };
        assert_eq!(columns.iter().filter(is_json).count(), json, "{columns:?}");
    }
}
