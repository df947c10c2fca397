//! Parsing by example; and which schema reads which, held against a reader that does what the specification says.

mod values;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::resolution::{by_name, promotes, written_as};
use super::*;
use crate::Code;

fn parse(text: &str) -> Result<AvroSchema> {
    AvroSchema::parse(text, [])
}

fn schema(value: &Value) -> AvroSchema {
    parse(&value.to_string()).unwrap_or_else(|error| panic!("{error}: {value}"))
}

fn message(text: &str) -> String {
    let error = parse(text).expect_err(text);
    assert_eq!(error.code(), Code::InvalidSchema);
    error.to_string()
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let wrong = [
        (
            r#"{"#,
            "the schema is not JSON: EOF while parsing an object at line 1 column 1",
        ),
        (
            r#"12"#,
            "at /: 12 is no type; write a name, a list or an object",
        ),
        (
            r#""strng""#,
            r#"at /: type "strng" is not defined; did you mean "string"?"#,
        ),
        (
            r#"{"name": "a"}"#,
            r#"at /: the attribute "type" is missing"#,
        ),
        (
            r#"{"type": "record", "fields": []}"#,
            "at /: the record has no name",
        ),
        (
            r#"{"type": "record", "name": "1a", "fields": []}"#,
            "at /: \"1a\" is no name: use A-Z, a-z, 0-9 and '_', not beginning with a digit",
        ),
        (
            r#"{"type": "record", "name": "a", "fields": [{"name": "x", "type": "int", "default": "one"}]}"#,
            r#"at /fields/0/default: the default "one" is no value of type int"#,
        ),
        (
            r#"{"type": "record", "name": "a", "fields": [{"name": "x", "type": "int"}, {"name": "x", "type": "int"}]}"#,
            r#"at /fields/1: field "x" is given twice"#,
        ),
        (
            r#"["int", "string", "int"]"#,
            "at /2: int is twice in the union",
        ),
        (
            r#"["int", ["string"]]"#,
            "at /1: a union is directly in a union",
        ),
        (
            r#"{"type": "enum", "name": "e", "symbols": ["A", "A"]}"#,
            r#"at /symbols: symbol "A" is given twice"#,
        ),
        (
            r#"{"type": "fixed", "name": "f", "size": -1}"#,
            "at /size: the size is no number of bytes",
        ),
        (
            r#"{"type": "array"}"#,
            r#"at /: the attribute "items" is missing"#,
        ),
    ];
    for (text, expected) in wrong {
        assert_eq!(message(text), expected, "{text}");
    }
}

#[test]
fn nesting_has_a_bound() {
    let deep = format!("{}\"int\"{}", "{\"type\":".repeat(100), "}".repeat(100));
    assert!(message(&deep).contains("nested deeper than 64"));
    let too_deep = format!("{}\"int\"{}", "{\"type\":".repeat(9000), "}".repeat(9000));
    assert!(message(&too_deep).contains("recursion limit"));
}

#[test]
fn a_long_chain_of_records_is_compared_without_overflow() {
    let mut records = vec![r#"{"type":"record","name":"r0","fields":[]}"#.to_owned()];
    records.extend((1..9000).map(|at| {
        let before = at - 1;
        format!(
            r#"{{"type":"record","name":"r{at}","fields":[{{"name":"f","type":"r{before}"}}]}}"#
        )
    }));
    records.reverse();
    let last = records.remove(0);
    records.reverse();
    let text = format!("[{},{last}]", records.join(","));
    let schema = parse(&text).unwrap();
    assert!(
        cannot_read(&schema, &schema)
            .iter()
            .all(|reason| matches!(reason.rule, "TOO_COMPLEX" | "MISSING_UNION_BRANCH"))
    );
}

#[test]
fn names_are_found_in_their_namespace_and_in_references() {
    let item =
        schema(&json!({"type": "record", "name": "Item", "namespace": "shop", "fields": []}));
    let text = json!({"type": "record", "name": "shop.Order", "fields": [
        {"name": "items", "type": {"type": "array", "items": "Item"}},
        {"name": "next", "type": ["null", "Order"], "default": null},
    ]});
    let order = AvroSchema::parse(&text.to_string(), [&item]).unwrap();
    assert!(order.named("shop.Item").is_some());
    assert!(parse(&text.to_string()).is_err());
    assert!(cannot_read(&order, &order).is_empty());
}

#[test]
fn logical_types_are_what_they_can_be_and_else_ignored() {
    let of = |value: Value| schema(&value).root().logical;
    assert_eq!(
        of(json!({"type": "int", "logicalType": "date"})),
        Some(Logical::Date)
    );
    assert_eq!(of(json!({"type": "string", "logicalType": "date"})), None);
    assert_eq!(
        of(json!({"type": "string", "logicalType": "uuid"})),
        Some(Logical::Uuid)
    );
    let decimal = |precision: u64, scale: u64, size: u64| {
        of(
            json!({"type": "fixed", "name": "d", "size": size, "logicalType": "decimal",
                  "precision": precision, "scale": scale}),
        )
    };
    assert_eq!(
        decimal(18, 2, 8),
        Some(Logical::Decimal {
            precision: 18,
            scale: 2
        })
    );
    assert_eq!(decimal(19, 2, 8), None);
    assert_eq!(decimal(5, 6, 8), None);
}

#[test]
fn one_schema_written_in_two_ways_is_one() {
    let one = parse(
        r#"{"type": "record", "name": "a", "fields": [{"name": "x", "type": {"type": "int"}, "order": "ascending"}]}"#,
    );
    let other = parse(r#"{"fields":[{"type":"int","name":"x"}],"name":"a","type":"record"}"#);
    assert_eq!(one.unwrap().canonical(), other.unwrap().canonical());
    let one = parse(
        r#"{"type": "record", "name": "n.a", "fields": [{"name": "x", "type": ["null", "a"]}]}"#,
    )
    .unwrap();
    let other = parse(
        r#"{"type": "record", "name": "a", "namespace": "n", "fields": [{"name": "x", "type": ["null", "n.a"]}]}"#,
    )
    .unwrap();
    assert_ne!(one.canonical(), other.canonical());
    assert_eq!(one.normalized(), other.normalized());
    for text in [one.canonical(), one.normalized()] {
        assert_eq!(parse(&text).unwrap().root(), one.root());
    }
}

fn rules(reader: &Value, writer: &Value) -> Vec<(&'static str, String)> {
    cannot_read(&schema(reader), &schema(writer))
        .into_iter()
        .map(|reason| (reason.rule, reason.path))
        .collect()
}

#[test]
fn each_rule_of_resolution() {
    let record = |fields: Value| json!({"type": "record", "name": "r", "fields": fields});
    let a = json!({"name": "a", "type": "int"});
    let both = |b: Value| record(json!([a, b]));
    let old = record(json!([a]));
    let at = |rule, path: &str| vec![(rule, path.to_owned())];
    assert_eq!(
        rules(&both(json!({"name": "b", "type": "int"})), &old),
        at("READER_FIELD_MISSING_DEFAULT_VALUE", "/fields/1")
    );
    assert_eq!(
        rules(
            &both(json!({"name": "b", "type": "int", "default": 0})),
            &old
        ),
        []
    );
    assert_eq!(
        rules(
            &both(json!({"name": "b", "type": "int", "aliases": ["a"]})),
            &old
        ),
        []
    );
    assert_eq!(rules(&old, &both(json!({"name": "b", "type": "int"}))), []);
    assert_eq!(
        rules(&json!("int"), &json!("long")),
        at("TYPE_MISMATCH", "/")
    );
    assert_eq!(rules(&json!("long"), &json!("int")), []);
    assert_eq!(rules(&json!("bytes"), &json!("string")), []);
    assert_eq!(rules(&json!(["null", "int"]), &json!("int")), []);
    assert_eq!(
        rules(&json!("int"), &json!(["null", "int"])),
        at("TYPE_MISMATCH", "/")
    );
    assert_eq!(
        rules(&json!(["null", "int"]), &json!(["null", "string"])),
        at("MISSING_UNION_BRANCH", "/1")
    );
    let symbols = |symbols: Value, default: Option<&str>| {
        let mut of = json!({"type": "enum", "name": "e", "symbols": symbols});
        if let Some(default) = default {
            of["default"] = default.into();
        }
        of
    };
    let (few, many) = (json!(["A"]), json!(["A", "B"]));
    assert_eq!(
        rules(&symbols(few.clone(), None), &symbols(many.clone(), None)),
        at("MISSING_ENUM_SYMBOLS", "/symbols")
    );
    assert_eq!(
        rules(
            &symbols(few.clone(), Some("A")),
            &symbols(many.clone(), None)
        ),
        []
    );
    assert_eq!(rules(&symbols(many, None), &symbols(few, None)), []);
    let fixed = |name: &str, size: u64| json!({"type": "fixed", "name": name, "size": size});
    assert_eq!(
        rules(&fixed("f", 4), &fixed("f", 8)),
        at("FIXED_SIZE_MISMATCH", "/size")
    );
    assert_eq!(
        rules(&fixed("g", 4), &fixed("f", 4)),
        at("NAME_MISMATCH", "/name")
    );
}

/// Reads a writer's value (as JSON) by the reader's schema, as the specification says; none when that is an error.
fn resolve(
    value: &Value,
    writer: (&Type, &AvroSchema),
    reader: (&Type, &AvroSchema),
) -> Option<Value> {
    let (of, schema) = writer;
    if let Shape::Union(branches) = &of.shape {
        // A union's value is written with the number of its branch.
        let branch = branches.get(usize::try_from(value["branch"].as_u64()?).ok()?)?;
        return resolve(&value["value"], (branch, schema), reader);
    }
    let (wanted, known) = reader;
    if let Shape::Union(branches) = &wanted.shape {
        return branches
            .iter()
            .find_map(|branch| resolve(value, writer, (branch, known)));
    }
    match (&of.shape, &wanted.shape) {
        (Shape::Array(of), Shape::Array(wanted)) => value
            .as_array()?
            .iter()
            .map(|item| resolve(item, (of, schema), (wanted, known)))
            .collect(),
        (Shape::Map(of), Shape::Map(wanted)) => value
            .as_object()?
            .iter()
            .map(|(key, item)| Some((key.clone(), resolve(item, (of, schema), (wanted, known))?)))
            .collect(),
        (Shape::Named(of), Shape::Named(wanted)) => {
            let (of, wanted) = (schema.named(of)?, known.named(wanted)?);
            if of.name != wanted.name && !wanted.aliases.iter().any(|alias| **alias == *of.name) {
                return None;
            }
            match (&of.body, &wanted.body) {
                (NamedBody::Record(written), NamedBody::Record(fields)) => fields
                    .iter()
                    .map(|field| {
                        let read = match written_as(field, &by_name(written)) {
                            Some(of) => {
                                resolve(value.get(&of.name)?, (&of.of, schema), (&field.of, known))
                            }
                            None => field.default.clone(),
                        };
                        Some((field.name.clone(), read?))
                    })
                    .collect(),
                (NamedBody::Enum { .. }, NamedBody::Enum { symbols, default }) => {
                    let symbol = value.as_str()?;
                    if symbols.iter().any(|known| known == symbol) {
                        Some(value.clone())
                    } else {
                        default.clone().map(Value::String)
                    }
                }
                (NamedBody::Fixed(one), NamedBody::Fixed(other)) if one == other => {
                    Some(value.clone())
                }
                _ => None,
            }
        }
        (of, wanted) if promotes(of, wanted) => Some(value.clone()),
        _ => None,
    }
}

/// Every way in which a value of the type can be, a few of each: all branches, all symbols, empty and full lists.
fn values(of: &Type, schema: &AvroSchema) -> Vec<Value> {
    match &of.shape {
        Shape::Union(branches) => branches
            .iter()
            .enumerate()
            .flat_map(|(at, branch)| {
                values(branch, schema)
                    .into_iter()
                    .map(move |value| json!({"branch": at, "value": value}))
            })
            .collect(),
        Shape::Array(items) => {
            let items = values(items, schema);
            items
                .into_iter()
                .map(|item| json!([item]))
                .chain([json!([])])
                .collect()
        }
        Shape::Map(items) => {
            let items = values(items, schema);
            items
                .into_iter()
                .map(|item| json!({"k": item}))
                .chain([json!({})])
                .collect()
        }
        Shape::Named(name) => match &schema.named(name).unwrap().body {
            NamedBody::Enum { symbols, .. } => symbols.iter().map(|it| json!(it)).collect(),
            NamedBody::Fixed(size) => vec![json!("x".repeat(*size))],
            NamedBody::Record(fields) => {
                let columns: Vec<Vec<Value>> = fields
                    .iter()
                    .map(|field| values(&field.of, schema))
                    .collect();
                let rows = columns.iter().map(Vec::len).max().unwrap_or(1);
                (0..rows)
                    .map(|row| {
                        let cells = fields.iter().zip(&columns);
                        cells
                            .map(|(field, column)| {
                                (field.name.clone(), column[row % column.len()].clone())
                            })
                            .collect()
                    })
                    .collect()
            }
        },
        _ => vec![json!("value")],
    }
}

/// A random type. Names are few, so that two schemas often share them.
fn any_type() -> impl Strategy<Value = Value> {
    let primitive = prop::sample::select(vec!["int", "long", "double", "string", "bytes"]);
    let symbols = prop::sample::subsequence(vec!["A", "B", "C"], 1..=3);
    let leaf = prop_oneof![
        3 => primitive.prop_map(Value::from),
        1 => (symbols, any::<bool>()).prop_map(|(symbols, default)| {
            let mut of = json!({"type": "enum", "name": "e", "symbols": symbols});
            if default {
                of["default"] = json!(symbols[0]);
            }
            of
        }),
        1 => (1..3_u64).prop_map(|size| json!({"type": "fixed", "name": "f", "size": size})),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            inner
                .clone()
                .prop_map(|items| json!({"type": "array", "items": items})),
            inner
                .clone()
                .prop_map(|items| json!({"type": "map", "values": items})),
            inner.clone().prop_map(|of| json!(["null", of])),
            (inner.clone(), inner.clone()).prop_map(|(one, other)| json!([one, other])),
            prop::collection::vec(
                (
                    inner,
                    prop::sample::select(vec!["x", "y", "z"]),
                    any::<bool>()
                ),
                1..3
            )
            .prop_map(|fields| {
                let fields: Vec<Value> = fields
                    .into_iter()
                    .map(|(of, name, nullable)| {
                        if nullable {
                            json!({"name": name, "type": ["null", of], "default": null})
                        } else {
                            json!({"name": name, "type": of})
                        }
                    })
                    .collect();
                json!({"type": "record", "name": "r", "fields": fields})
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { max_global_rejects: 200_000, ..ProptestConfig::with_cases(600) })]

    #[test]
    fn what_can_be_read_is_read_and_what_cannot_has_a_value_that_fails(
        reader in any_type(),
        writer in any_type(),
    ) {
        let (Ok(reader), Ok(writer)) = (parse(&reader.to_string()), parse(&writer.to_string())) else {
            // The same name twice in one schema.
            return Err(TestCaseError::reject("no schema"));
        };
        let reasons = cannot_read(&reader, &writer);
        let fails = values(writer.root(), &writer)
            .iter()
            .any(|value| resolve(value, (writer.root(), &writer), (reader.root(), &reader)).is_none());
        if reasons.is_empty() {
            prop_assert!(!fails, "{} does not read {}", reader.canonical(), writer.canonical());
        } else if !writer.canonical().contains("\"fields\"") {
            // Of a record not all combinations of its fields' values were tried.
            prop_assert!(fails, "{} reads {}: {reasons:?}", reader.canonical(), writer.canonical());
        }
        prop_assert!(cannot_read(&writer, &writer).is_empty());
    }

    #[test]
    fn the_canonical_text_is_the_same_schema(of in any_type()) {
        if let Ok(schema) = parse(&of.to_string()) {
            let again = parse(&schema.canonical()).unwrap();
            prop_assert_eq!(again.root(), schema.root());
            prop_assert_eq!(again.canonical(), schema.canonical());
            let normal = parse(&schema.normalized()).unwrap();
            prop_assert_eq!(normal.root(), schema.root());
            prop_assert_eq!(normal.normalized(), schema.normalized());
        }
    }

    #[test]
    fn no_text_is_a_panic(text in "[\\[\\]{}:,\"a-z]{0,60}") {
        let _ = parse(&text);
    }
}
