//! Files by example, their printed form, and which reads which, held against messages that are encoded and decoded.

use proptest::prelude::*;
use prost::Message as _;
use prost_reflect::{DynamicMessage, Value};

use super::*;

fn parse(text: &str) -> ProtobufSchema {
    ProtobufSchema::parse(text, []).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

const EVERYTHING: &str = r#"
    // A comment.
    syntax = "proto3";
    package shop.v1;
    import "google/protobuf/timestamp.proto";
    import "confluent/meta.proto";
    option java_package = "com.shop";
    message Order {
      option (confluent.message_meta) = { doc: "an order", tags: ["PII"] };
      reserved 9, 20 to 30;
      reserved "old";
      int64 id = 1 [deprecated = true];
      optional string note = 2 [json_name = "remark"];
      repeated Item items = 3;
      map<string, Item> by_name = 4;
      oneof paid { string card = 5; bool cash = 6; }
      google.protobuf.Timestamp at = 7;
      State state = 8;
      message Item { string sku = 1 [(confluent.field_meta).doc = "key"]; double price = 2; }
      enum State { NEW = 0; SENT = 1; reserved 5; }
    }
    service Shop { rpc Place (Order) returns (stream Order); }
"#;

#[test]
fn text_and_descriptor_are_one_schema() {
    let text = parse(EVERYTHING);
    let printed = text.canonical();
    assert_eq!(parse(&printed).canonical(), printed, "{printed}");
    assert_eq!(parse(&text.serialized()).canonical(), printed);
    for part in [
        "option (.confluent.message_meta) = { doc:\"an order\",tags:[\"PII\"] };",
        "  string sku = 1 [(.confluent.field_meta) = { doc:\"key\" }];",
        "  optional string note = 2 [json_name = \"remark\"];",
        "  map<string, .shop.v1.Order.Item> by_name = 4;",
        "  reserved 20 to 30;",
        "  rpc Place (.shop.v1.Order) returns (stream .shop.v1.Order);",
    ] {
        assert!(printed.contains(part), "{part}\n{printed}");
    }
}

#[test]
fn groups_and_defaults_of_proto2_are_printed() {
    let text = parse(
        r#"syntax = "proto2";
           message A {
             required int32 a = 1 [default = -4];
             optional string b = 2 [default = "x\"y"];
             optional bytes c = 3 [default = "\001\"z"];
             repeated group G = 4 { optional A inner = 1; }
             extensions 100 to max;
           }
           extend A { optional int32 more = 100; }"#,
    );
    let printed = text.canonical();
    assert_eq!(parse(&printed).canonical(), printed);
    assert!(printed.contains("  repeated group G = 4 {"), "{printed}");
    assert!(printed.contains("  extensions 100 to max;"), "{printed}");
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let deep = format!("message A {{ option (a) = {}", "{a:".repeat(200));
    for (text, expected) in [
        ("syntax = \"proto3\"\nmessage A {}", "line 2, column 1: "),
        (
            "syntax = \"proto3\";\nmessage A { B b = 1; }",
            "line 2, column 13: ",
        ),
        (
            "import \"other.proto\";",
            "line 1, column 1: import 'other.proto' not found",
        ),
        (deep.as_str(), "line 1: brackets are nested deeper than 100"),
        ("AAAA", "the file descriptor does not read: "),
    ] {
        let error = ProtobufSchema::parse(text, []).expect_err(text).to_string();
        assert!(error.starts_with(expected), "{error:?} of {text:?}");
    }
}

#[test]
fn messages_are_found_by_place_and_name() {
    let schema = parse(EVERYTHING);
    let (item, path) = schema.message("Order.Item").unwrap();
    assert_eq!(schema.message_at(&path).unwrap(), item);
    assert_eq!(schema.message("shop.v1.Order").unwrap().1, [0]);
    assert!(schema.message_at(&[7]).is_none() && schema.message("Nothing").is_none());
    assert!(schema.message("google.protobuf.Timestamp").is_none());
}

#[test]
fn references_are_imported_by_their_names_and_bring_their_own() {
    let base = parse("syntax = \"proto3\"; package b; message B { int32 x = 1; }");
    let middle = ProtobufSchema::parse(
        "syntax = \"proto3\"; package m; import \"b.proto\"; message M { b.B b = 1; }",
        [("b.proto", &base)],
    )
    .unwrap();
    let top = ProtobufSchema::parse(
        "syntax = \"proto3\"; import \"m.proto\"; message T { m.M m = 1; }",
        [("m.proto", &middle)],
    );
    assert!(top.is_ok(), "{top:?}");
}

fn rules(reader: &str, writer: &str) -> Vec<(&'static str, String)> {
    let file = |body: &str| parse(&format!("syntax = \"proto3\"; package p; {body}"));
    cannot_read(&file(reader), &file(writer))
        .into_iter()
        .map(|reason| (reason.rule, reason.path))
        .collect()
}

#[test]
fn each_rule_of_evolution() {
    let at = |rule, path: &str| vec![(rule, path.to_owned())];
    let m = |fields: &str| format!("message M {{ {fields} }}");
    let check = |new: &str, old: &str| rules(&m(new), &m(old));
    assert_eq!(check("int32 a = 1; string b = 2;", "int32 a = 1;"), []);
    assert_eq!(check("int32 a = 1;", "int32 a = 1; string b = 2;"), []);
    assert_eq!(check("int32 renamed = 1;", "int32 a = 1;"), []);
    assert_eq!(check("int64 a = 1;", "int32 a = 1;"), []);
    assert_eq!(check("bytes a = 1;", "string a = 1;"), []);
    assert_eq!(
        check("string a = 1;", "int32 a = 1;"),
        at("FIELD_SCALAR_KIND_CHANGED", "M.a")
    );
    assert_eq!(
        check("sint32 a = 1;", "int32 a = 1;"),
        at("FIELD_SCALAR_KIND_CHANGED", "M.a")
    );
    assert_eq!(
        check("M a = 1;", "int32 a = 1;"),
        at("FIELD_KIND_CHANGED", "M.a")
    );
    assert_eq!(
        check("repeated int32 a = 1;", "int32 a = 1;"),
        at("FIELD_NUMERIC_LABEL_CHANGED", "M.a")
    );
    assert_eq!(check("repeated string a = 1;", "string a = 1;"), []);
    assert_eq!(check("oneof o { int32 a = 1; }", "int32 a = 1;"), []);
    assert_eq!(
        check(
            "oneof o { int32 a = 1; int32 b = 2; }",
            "int32 a = 1; int32 b = 2;"
        ),
        at("MULTIPLE_FIELDS_MOVED_TO_ONEOF", "M.o")
    );
    assert_eq!(
        check(
            "oneof o { int32 a = 1; int32 b = 2; }",
            "oneof o { int32 a = 1; } int32 b = 2;"
        ),
        at("FIELD_MOVED_TO_EXISTING_ONEOF", "M.o")
    );
    assert_eq!(
        check(
            "oneof o { int32 a = 1; }",
            "oneof o { int32 a = 1; int32 b = 2; }"
        ),
        at("ONEOF_FIELD_REMOVED", "M.b")
    );
    assert_eq!(
        check(
            "oneof q { int32 a = 1; int32 b = 2; }",
            "oneof o { int32 a = 1; int32 b = 2; }"
        ),
        []
    );
    assert_eq!(
        rules("message N {}", "message M {} message N {}"),
        at("MESSAGE_REMOVED", "M")
    );
    assert_eq!(
        rules(
            "message M { A a = 1; } message A { string x = 1; }",
            "message M { A a = 1; } message A { int32 x = 1; }"
        ),
        at("FIELD_SCALAR_KIND_CHANGED", "A.x")
    );
    let two = |fields: &str| parse(&format!("syntax = \"proto2\"; message M {{ {fields} }}"));
    let (none, one) = (two(""), two("required int32 a = 1;"));
    assert_eq!(cannot_read(&one, &none)[0].rule, "REQUIRED_FIELD_ADDED");
    assert_eq!(cannot_read(&none, &one)[0].rule, "REQUIRED_FIELD_REMOVED");
}

const TYPES: [&str; 10] = [
    "int32", "int64", "sint32", "bool", "fixed32", "fixed64", "double", "string", "bytes", "M",
];

fn any_file() -> impl Strategy<Value = String> {
    let field = (0..TYPES.len(), any::<bool>());
    prop::collection::btree_map(1..5_u32, field, 0..4).prop_map(|fields| {
        let mut text = "syntax = \"proto3\"; message M {".to_owned();
        for (number, (of, repeated)) in fields {
            let label = if repeated { "repeated" } else { "" };
            let of = TYPES[of];
            text.push_str(&format!("{label} {of} f{number} = {number};"));
        }
        text + "}"
    })
}

/// A message with every field set.
fn full(of: &MessageDescriptor, depth: u32) -> DynamicMessage {
    let mut message = DynamicMessage::new(of.clone());
    for field in of.fields() {
        let value = match field.kind() {
            Kind::Int32 | Kind::Sint32 => Value::I32(7),
            Kind::Int64 => Value::I64(7),
            Kind::Bool => Value::Bool(true),
            Kind::Fixed32 => Value::U32(7),
            Kind::Fixed64 => Value::U64(7),
            Kind::Double => Value::F64(7.5),
            Kind::String => Value::String("seven".to_owned()),
            Kind::Bytes => Value::Bytes("seven".into()),
            _ if depth == 0 => continue,
            _ => Value::Message(full(of, depth - 1)),
        };
        let value = if field.is_list() {
            Value::List(vec![value.clone(), value])
        } else {
            value
        };
        message.set_field(&field, value);
    }
    message
}

use prost_reflect::Kind;

proptest! {
    #[test]
    fn what_can_be_read_decodes_with_every_field_that_both_have(
        reader in any_file(),
        writer in any_file(),
    ) {
        let (reader, writer) = (parse(&reader), parse(&writer));
        prop_assert!(cannot_read(&writer, &writer).is_empty());
        if cannot_read(&reader, &writer).is_empty() {
            let (new, old) = (reader.message_at(&[0]).unwrap(), writer.message_at(&[0]).unwrap());
            let bytes = full(&old, 2).encode_to_vec();
            let read = DynamicMessage::decode(new.clone(), bytes.as_slice());
            prop_assert!(read.is_ok(), "{read:?}");
            let read = read.unwrap();
            for was in old.fields().filter(|was| !matches!(was.kind(), Kind::Message(_))) {
                if let Some(is) = new.get_field(was.number()) {
                    prop_assert!(read.has_field(&is), "{}", is.name());
                }
            }
        }
    }

    #[test]
    fn the_printed_file_is_the_same_file(text in any_file()) {
        let schema = parse(&text);
        for printed in [schema.canonical(), schema.serialized()] {
            let again = parse(&printed);
            prop_assert_eq!(again.canonical(), schema.canonical());
            prop_assert!(cannot_read(&again, &schema).is_empty());
        }
    }
}

fn row(
    schema: &ProtobufSchema,
    message: &str,
    bytes: &[u8],
    wanted: &[&str],
) -> Result<String, crate::DataError> {
    let (message, _) = schema.message(message).unwrap();
    let mut text = String::new();
    ProtobufReader::new(&message, |name| {
        wanted.contains(&name).then_some(crate::Asked::Value)
    })
    .read(bytes, &mut text)?;
    let _: serde_json::Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    Ok(text)
}

#[test]
fn messages_are_read_as_rows_and_what_nobody_wants_is_passed_over() {
    let schema = parse(
        r#"syntax = "proto3";
           import "google/protobuf/timestamp.proto";
           import "google/protobuf/wrappers.proto";
           import "confluent/type/decimal.proto";
           message M {
             int64 id = 1; string text = 2; optional int32 maybe = 3; repeated sint32 many = 4;
             map<string, M> by_name = 5; google.protobuf.Timestamp at = 6; E kind = 7;
             google.protobuf.StringValue wrapped = 8; confluent.type.Decimal price = 9; bytes raw = 10;
             enum E { ZERO = 0; ONE = 1; }
           }"#,
    );
    let all = [
        "id", "text", "maybe", "many", "by_name", "at", "kind", "wrapped", "price", "raw",
    ];
    assert_eq!(
        row(&schema, "M", &[], &all).unwrap(),
        r#"{"id":0,"text":"","maybe":null,"many":[],"by_name":{},"at":null,"kind":"ZERO","wrapped":null,"price":null,"raw":""}"#
    );
    let bytes = [
        &[8, 1, 8, 7][..],                        // id, twice: the last counts
        &[18, 2, b'h', b'i'],                     // text
        &[24, 0],                                 // maybe
        &[32, 1, 34, 2, 2, 3],                    // many: -1, packed 1 and -2
        &[42, 7, 10, 1, b'a', 18, 2, 8, 9],       // by_name: a => id 9
        &[50, 2, 8, 60, 50, 4, 16, 144, 161, 15], // at, in two pieces
        &[56, 1],                                 // kind
        &[66, 3, 10, 1, b'w'],                    // wrapped
        &[74, 6, 10, 2, 0xfb, 0x2e, 24, 2],       // price
        &[163, 6, 8, 1, 164, 6],                  // a group that nobody knows
    ];
    let bytes = bytes.concat();
    assert_eq!(
        row(&schema, "M", &bytes, &all).unwrap(),
        concat!(
            r#"{"id":7,"text":"hi","maybe":0,"many":[-1,1,-2],"by_name":{"a":{"id":9,"text":"","maybe":null,"many":[],"#,
            r#""by_name":{},"at":null,"kind":"ZERO","wrapped":null,"price":null,"raw":""}},"at":"1970-01-01T00:01:00.000250000Z","#,
            r#""kind":"ONE","wrapped":"w","price":"-12.34","raw":""}"#
        )
    );
    assert_eq!(
        row(&schema, "M", &bytes, &["kind"]).unwrap(),
        r#"{"kind":"ONE"}"#
    );
    let wrong = row(&schema, "M", &[10, 0], &["id"]).unwrap_err();
    assert_eq!(wrong.path.as_deref(), Some("id"));
    assert!(row(&schema, "M", &[8], &["id"]).is_err());
    assert!(row(&schema, "M", &[163, 6], &["id"]).is_err());
    let deep: Vec<u8> = std::iter::repeat_n([163, 6], 1000).flatten().collect();
    assert!(row(&schema, "M", &deep, &["id"]).is_err());
}

proptest! {
    #[test]
    fn what_is_encoded_is_read(text in any_file(), noise in prop::collection::vec(any::<u8>(), 0..30)) {
        let schema = parse(&text);
        let message = schema.message_at(&[0]).unwrap();
        let wanted = ["f1", "f2", "f3", "f4"];
        let bytes = full(&message, 2).encode_to_vec();
        let found = row(&schema, "M", &bytes, &wanted).unwrap();
        let found: serde_json::Value = serde_json::from_str(&found).unwrap();
        for field in message.fields().filter(|field| !matches!(field.kind(), Kind::Message(_))) {
            let one = match field.kind() {
                Kind::Bool => serde_json::json!(true),
                Kind::Double => serde_json::json!(7.5),
                Kind::String => serde_json::json!("seven"),
                Kind::Bytes => serde_json::json!("736576656e"),
                _ => serde_json::json!(7),
            };
            let expected = if field.is_list() { serde_json::json!([one, one]) } else { one };
            prop_assert_eq!(&found[field.name()], &expected);
        }
        let _ = row(&schema, "M", &noise, &wanted);
    }
}
