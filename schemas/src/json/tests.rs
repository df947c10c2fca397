//! Schemas by example, and which reads which, held against values that a small validator takes.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn parse(value: &Value) -> JsonSchema {
    JsonSchema::parse(&value.to_string(), []).unwrap_or_else(|error| panic!("{error}: {value}"))
}

fn rules(reader: Value, writer: Value) -> Vec<(&'static str, String)> {
    cannot_read(&parse(&reader), &parse(&writer))
        .into_iter()
        .map(|reason| (reason.rule, reason.path))
        .collect()
}

fn at(rule: &'static str, path: &str) -> Vec<(&'static str, String)> {
    vec![(rule, path.to_owned())]
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let wrong = [
        (
            json!(1),
            "at /: 1 is no schema; write an object, true or false",
        ),
        (
            json!({"properties": {"a/b": {"type": "strng"}}}),
            "at /properties/a~1b/type: \"strng\" is not one of null, boolean, integer, number, string, array, object, or a list of them",
        ),
        (
            json!({"minLength": -1}),
            "at /minLength: -1 is not a number of 0 or more without a fraction",
        ),
        (
            json!({"anyOf": []}),
            "at /anyOf: [] is not a list of schemas that is not empty",
        ),
        (
            json!({"$ref": "#/definitions/a"}),
            "at /$ref: \"#/definitions/a\" is neither in the schema nor among its references",
        ),
    ];
    for (schema, expected) in wrong {
        let error = JsonSchema::parse(&schema.to_string(), []).expect_err("an error");
        assert_eq!(error.to_string(), expected);
    }
    let deep = format!("{}true{}", "{\"not\":".repeat(100), "}".repeat(100));
    assert!(JsonSchema::parse(&deep, []).is_err());
}

#[test]
fn objects_by_their_content_model() {
    let open = |properties: Value| json!({"type": "object", "properties": properties});
    let closed = |properties: Value| json!({"type": "object", "properties": properties, "additionalProperties": false});
    let (a, ab) = (
        json!({"a": {"type": "string"}}),
        json!({"a": {"type": "string"}, "b": {"type": "string"}}),
    );
    let at_b = "/properties/b";
    assert_eq!(
        rules(open(ab.clone()), open(a.clone())),
        at("PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL", at_b)
    );
    assert_eq!(rules(open(a.clone()), open(ab.clone())), []);
    assert_eq!(rules(closed(ab.clone()), closed(a.clone())), []);
    assert_eq!(
        rules(closed(a.clone()), closed(ab.clone())),
        at("PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL", at_b)
    );
    assert_eq!(
        rules(closed(a.clone()), open(a.clone())),
        at("ADDITIONAL_PROPERTIES_REMOVED", "/additionalProperties")
    );
    assert_eq!(rules(open(a.clone()), closed(a.clone())), []);
    let mut partial = open(a.clone());
    partial["additionalProperties"] = json!({"type": "string"});
    assert_eq!(rules(partial.clone(), closed(ab.clone())), []);
    assert_eq!(rules(partial.clone(), partial.clone()), []);
    let numbers = closed(json!({"a": {"type": "string"}, "b": {"type": "integer"}}));
    assert_eq!(
        rules(partial, numbers),
        at(
            "PROPERTY_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL",
            at_b
        )
    );
    let mut needs_b = closed(ab);
    needs_b["required"] = json!(["b"]);
    assert_eq!(
        rules(needs_b.clone(), closed(a.clone())),
        at(
            "REQUIRED_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL",
            "/required"
        )
    );
    needs_b["properties"]["b"]["default"] = json!("");
    assert_eq!(rules(needs_b, closed(a)), []);
}

#[test]
fn each_keyword() {
    assert_eq!(
        rules(json!({"type": "number"}), json!({"type": "integer"})),
        []
    );
    assert_eq!(
        rules(
            json!({"type": "integer"}),
            json!({"type": ["integer", "null"]})
        ),
        at("TYPE_NARROWED", "/type")
    );
    assert_eq!(
        rules(json!({"type": "integer"}), json!({"type": "string"})),
        at("TYPE_CHANGED", "/type")
    );
    let text = |keyword: &str, value: Value| json!({"type": "string", keyword: value});
    assert_eq!(
        rules(text("maxLength", json!(3)), text("maxLength", json!(4))),
        at("MAX_LENGTH_DECREASED", "/maxLength")
    );
    assert_eq!(
        rules(text("maxLength", json!(4)), text("maxLength", json!(3))),
        []
    );
    assert_eq!(
        rules(text("pattern", json!("a")), json!({"type": "string"})),
        at("PATTERN_ADDED", "/pattern")
    );
    assert_eq!(
        rules(text("enum", json!(["a"])), text("enum", json!(["a", "b"]))),
        at("ENUM_ARRAY_NARROWED", "/enum")
    );
    assert_eq!(
        rules(text("enum", json!(["a", "b"])), text("const", json!("a"))),
        []
    );
    let number = |keyword: &str, value: Value| json!({"type": "number", keyword: value});
    assert_eq!(
        rules(
            number("exclusiveMaximum", json!(3)),
            number("maximum", json!(3))
        ),
        at("MAXIMUM_DECREASED", "/maximum")
    );
    assert_eq!(
        rules(
            number("multipleOf", json!(2)),
            number("multipleOf", json!(4))
        ),
        []
    );
    let list = |items: Value, more: Value| json!({"type": "array", "items": items, "additionalItems": more});
    let (one, two) = (
        json!([{"type": "string"}]),
        json!([{"type": "string"}, {"type": "null"}]),
    );
    assert_eq!(
        rules(
            list(two.clone(), json!(false)),
            list(one.clone(), json!(false))
        ),
        []
    );
    assert_eq!(
        rules(
            list(one.clone(), json!(false)),
            list(two.clone(), json!(false))
        ),
        at("ITEM_REMOVED_FROM_CLOSED_CONTENT_MODEL", "/items/1")
    );
    assert_eq!(
        rules(list(two, json!(true)), list(one, json!(true))),
        at("ITEM_ADDED_TO_OPEN_CONTENT_MODEL", "/items/1")
    );
}

#[test]
fn combinations() {
    let (text, number) = (json!({"type": "string"}), json!({"type": "number"}));
    let one = json!({"oneOf": [text]});
    let both = json!({"oneOf": [text, number]});
    assert_eq!(rules(both.clone(), one.clone()), []);
    assert_eq!(rules(both.clone(), text.clone()), []);
    assert_eq!(
        rules(one, both.clone()),
        at("SUM_TYPE_NARROWED", "/oneOf/1")
    );
    assert_eq!(rules(json!({"type": ["string", "number"]}), both), []);
    let all = |parts: Value| json!({"allOf": parts});
    let short = json!({"type": "string", "maxLength": 3});
    assert_eq!(rules(all(json!([text])), all(json!([text, short]))), []);
    assert_eq!(
        rules(all(json!([text, short])), all(json!([text]))),
        at("PRODUCT_TYPE_EXTENDED", "/allOf/1")
    );
    assert_eq!(rules(text.clone(), all(json!([number, text]))), []);
    let not = |of: &Value| json!({"not": of});
    assert_eq!(rules(not(&short), not(&text)), []);
    assert_eq!(
        rules(not(&text), not(&short)),
        at("NOT_TYPE_EXTENDED", "/not")
    );
}

#[test]
fn references_are_followed_even_in_circles() {
    let tree = |leaf: &str| {
        json!({"$ref": "#/definitions/tree", "definitions": {"tree": {
            "type": "object",
            "properties": {"leaf": {"type": leaf}, "next": {"$ref": "#/definitions/tree"}}
        }}})
    };
    assert_eq!(rules(tree("number"), tree("integer")), []);
    assert_eq!(
        rules(tree("integer"), tree("number")),
        at("TYPE_NARROWED", "/properties/leaf/type")
    );
    let circle =
        json!({"$ref": "#/definitions/a", "definitions": {"a": {"$ref": "#/definitions/a"}}});
    assert_eq!(rules(circle.clone(), circle), at("REFERENCE_CIRCLE", "/"));
    let other = parse(&json!({"definitions": {"name": {"type": "string"}}}));
    let user =
        json!({"type": "object", "properties": {"n": {"$ref": "names.json#/definitions/name"}}});
    let user = JsonSchema::parse(&user.to_string(), [("names.json", &other)]).unwrap();
    assert!(cannot_read(&user, &user).is_empty());
}

/// The subset of JSON Schema that the property test makes.
fn is_valid(value: &Value, schema: &Value) -> bool {
    let Value::Object(schema) = schema else {
        return schema == &Value::Bool(true);
    };
    schema
        .iter()
        .all(|(keyword, asked)| match keyword.as_str() {
            "type" => types(asked).unwrap().into_iter().any(|of| match of {
                "null" => value.is_null(),
                "boolean" => value.is_boolean(),
                "integer" => value.is_i64(),
                "number" => value.is_number(),
                "string" => value.is_string(),
                "array" => value.is_array(),
                _ => value.is_object(),
            }),
            "enum" => asked.as_array().unwrap().contains(value),
            "maximum" => value
                .as_f64()
                .is_none_or(|number| number <= asked.as_f64().unwrap()),
            "minimum" => value
                .as_f64()
                .is_none_or(|number| number >= asked.as_f64().unwrap()),
            "maxLength" => value
                .as_str()
                .is_none_or(|text| text.len() as u64 <= asked.as_u64().unwrap()),
            "items" => value
                .as_array()
                .is_none_or(|list| list.iter().all(|item| is_valid(item, asked))),
            "maxItems" => value
                .as_array()
                .is_none_or(|list| list.len() as u64 <= asked.as_u64().unwrap()),
            "required" => value.as_object().is_none_or(|object| {
                strings(asked)
                    .unwrap()
                    .into_iter()
                    .all(|name| object.contains_key(name))
            }),
            "properties" => value.as_object().is_none_or(|object| {
                object.iter().all(|(name, value)| {
                    asked
                        .get(name)
                        .is_none_or(|property| is_valid(value, property))
                })
            }),
            "additionalProperties" => value.as_object().is_none_or(|object| {
                let named = schema.get("properties");
                object.iter().all(|(name, value)| {
                    named.is_some_and(|named| named.get(name).is_some()) || is_valid(value, asked)
                })
            }),
            "anyOf" => asked
                .as_array()
                .unwrap()
                .iter()
                .any(|branch| is_valid(value, branch)),
            "allOf" => asked
                .as_array()
                .unwrap()
                .iter()
                .all(|part| is_valid(value, part)),
            "not" => !is_valid(value, asked),
            other => panic!("{other}"),
        })
}

fn any_schema() -> impl Strategy<Value = Value> {
    let name = || prop::sample::select(vec!["null", "boolean", "integer", "number", "string"]);
    let leaf = prop_oneof![
        Just(json!(true)),
        Just(json!(false)),
        name().prop_map(|name| json!({"type": name})),
        prop::sample::subsequence(
            vec!["null", "integer", "number", "string", "object", "array"],
            1..4
        )
        .prop_map(|names| json!({"type": names})),
        prop::sample::subsequence(vec![json!(1), json!("a"), json!(null)], 1..3)
            .prop_map(|values| json!({"enum": values})),
        (0..3).prop_map(|bound| json!({"type": "number", "maximum": bound})),
        (0..3).prop_map(|bound| json!({"minimum": bound})),
        (0..3).prop_map(|bound| json!({"type": "string", "maxLength": bound})),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let properties = prop::collection::btree_map(
            prop::sample::select(vec!["a", "b"]), inner.clone(), 0..3);
        prop_oneof![
            4 => (properties, prop::option::of(inner.clone()), prop::sample::subsequence(vec!["a", "b"], 0..3))
                .prop_map(|(properties, rest, required)| {
                    let mut of = json!({"type": "object", "properties": properties, "required": required});
                    if let Some(rest) = rest {
                        of["additionalProperties"] = rest;
                    }
                    of
                }),
            2 => (inner.clone(), 0..3).prop_map(|(items, most)| json!({"type": "array", "items": items, "maxItems": most})),
            1 => prop::collection::vec(inner.clone(), 1..3).prop_map(|branches| json!({"anyOf": branches})),
            1 => prop::collection::vec(inner.clone(), 1..3).prop_map(|parts| json!({"allOf": parts})),
            1 => inner.prop_map(|of| json!({"not": of})),
        ]
    })
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        Just(json!(true)),
        (0..4).prop_map(|number| json!(number)),
        Just(json!(0.5)),
        "[a-c]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 10, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(prop::sample::select(vec!["a", "b", "c"]), inner, 0..3)
                .prop_map(|map| json!(map)),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_the_writer_describes_is_valid_for_a_reader_that_can_read_it(
        reader in any_schema(),
        writer in any_schema(),
        values in prop::collection::vec(any_value(), 20),
    ) {
        let reasons = cannot_read(&parse(&reader), &parse(&writer));
        if reasons.is_empty() {
            for value in values.iter().filter(|value| is_valid(value, &writer)) {
                prop_assert!(is_valid(value, &reader), "{reader} does not take {value} of {writer}");
            }
        }
        prop_assert!(cannot_read(&parse(&writer), &parse(&writer)).is_empty(), "{writer}");
    }
}
