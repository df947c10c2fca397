//! Whether everything that a writer's schema describes is valid for a reader's, keyword by keyword, with the rules' names of
//! the Confluent registry. What cannot be told from the keywords counts as not readable.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::pointer::Document;
use super::{JsonSchema, count, types};
use crate::Incompatibility;

/// Schemas within schemas, past which a comparison gives up: it is recursive.
const DEPTH_MAX: u32 = 100;

/// Comparisons of two schemas, past which it gives up: with nested `anyOf` they grow exponentially.
const STEPS_MAX: u32 = 50_000;

/// References that lead to references.
const REFERENCES_MAX: usize = 32;

/// Reasons that are told.
const REASONS_MAX: usize = 50;

/// Why `reader` cannot read what `writer` wrote; empty when it can.
pub fn cannot_read(reader: &JsonSchema, writer: &JsonSchema) -> Vec<Incompatibility> {
    let mut check = Check::default();
    check.schemas(Place::root(reader), Place::root(writer), "");
    check.found
}

/// A schema, the document that it is in, and what the document may refer to.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) schema: &'a Value,
    document: &'a Document,
    owner: &'a JsonSchema,
}

#[derive(Default)]
pub(super) struct Check {
    /// Pairs that are being compared, or were: a recursive schema is readable unless shown otherwise.
    assumed: BTreeSet<(usize, usize)>,
    /// The same in the order in which they came, so that what a failed attempt assumed can be taken back.
    trail: Vec<(usize, usize)>,
    found: Vec<Incompatibility>,
    depth: u32,
    steps: u32,
}

/// The schema of which everything is an instance.
static ANYTHING: Value = Value::Bool(true);

impl<'a> Place<'a> {
    fn root(owner: &'a JsonSchema) -> Self {
        Self {
            schema: &owner.document().value,
            document: owner.document(),
            owner,
        }
    }

    /// Another schema of the same document.
    pub(super) fn at(self, schema: &'a Value) -> Self {
        Self { schema, ..self }
    }

    pub(super) fn anything(self) -> Self {
        self.at(&ANYTHING)
    }

    /// The schema that references lead to; none when they lead in a circle.
    fn followed(mut self) -> Option<Self> {
        for _ in 0..REFERENCES_MAX {
            let Some(reference) = self.schema.get("$ref").and_then(Value::as_str) else {
                return Some(self);
            };
            let (schema, document) = self.owner.resolve(self.document, reference)?;
            self = Self {
                schema,
                document,
                ..self
            };
        }
        None
    }

    /// Whether everything is valid.
    pub(super) fn is_open(self) -> bool {
        match self.schema {
            Value::Bool(open) => *open,
            Value::Object(object) => object.keys().all(|key| is_annotation(key)),
            _ => false,
        }
    }

    pub(super) fn is_closed(self) -> bool {
        self.schema == &Value::Bool(false)
    }

    pub(super) fn keyword(self, name: &str) -> Option<&'a Value> {
        self.schema.get(name)
    }

    fn list(self, name: &str) -> Option<Vec<Self>> {
        let list = self.keyword(name)?.as_array()?;
        Some(list.iter().map(|schema| self.at(schema)).collect())
    }
}

impl Check {
    pub(super) fn report(&mut self, rule: &'static str, path: &str, message: impl Into<String>) {
        if self.found.len() >= REASONS_MAX {
            return;
        }
        let path = if path.is_empty() { "/" } else { path };
        self.found.push(Incompatibility::new(rule, path, message));
    }

    /// Reports why `reader` does not take what `writer` describes.
    pub(super) fn schemas(&mut self, reader: Place<'_>, writer: Place<'_>, path: &str) {
        self.steps += 1;
        if self.depth >= DEPTH_MAX || self.steps > STEPS_MAX {
            return self.report(
                "TOO_COMPLEX",
                path,
                "the schemas are too deep or too entangled to be compared",
            );
        }
        let (Some(reader), Some(writer)) = (reader.followed(), writer.followed()) else {
            return self.report("REFERENCE_CIRCLE", path, "references lead in a circle");
        };
        if reader.is_open() || writer.is_closed() {
            return;
        }
        if reader.is_closed() {
            return self.report("TYPE_NARROWED", path, "the reader takes nothing here");
        }
        let address = |place: Place<'_>| std::ptr::from_ref(place.schema) as usize;
        let pair = (address(reader), address(writer));
        if !self.assumed.insert(pair) {
            return;
        }
        self.trail.push(pair);
        self.depth += 1;
        self.combined(reader, writer, path);
        self.depth -= 1;
    }

    /// Whether `reader` takes what `writer` describes, without a word about why not.
    pub(super) fn reads(&mut self, reader: Place<'_>, writer: Place<'_>) -> bool {
        let (found, assumed) = (self.found.len(), self.trail.len());
        self.schemas(reader, writer, "");
        let reads = self.found.len() == found;
        if !reads {
            self.found.truncate(found);
            for pair in self.trail.drain(assumed..) {
                self.assumed.remove(&pair);
            }
        }
        reads
    }

    fn combined(&mut self, reader: Place<'_>, writer: Place<'_>, path: &str) {
        // A writer's alternatives must be readable one by one.
        for keyword in ["anyOf", "oneOf"] {
            let Some(branches) = writer.list(keyword) else {
                continue;
            };
            if branches.len() == 1 || only_combines(writer, keyword) {
                for (at, branch) in branches.into_iter().enumerate() {
                    if !self.reads(reader, branch) {
                        self.report(
                            "SUM_TYPE_NARROWED",
                            &format!("{path}/{keyword}/{at}"),
                            "the reader does not take this alternative of the writer",
                        );
                    }
                }
                return;
            }
        }
        // What the writer asks of all at once, one of its parts may already say.
        if let Some(parts) = writer.list("allOf")
            && (parts.len() == 1 || reader.keyword("allOf").is_none())
            && parts.into_iter().any(|part| self.reads(reader, part))
        {
            return;
        }
        if let Some(parts) = reader.list("allOf") {
            let written = writer.list("allOf").unwrap_or_default();
            for (at, part) in parts.into_iter().enumerate() {
                let said = written.iter().any(|written| self.reads(part, *written));
                if !said && !self.reads(part, writer) {
                    self.report(
                        "PRODUCT_TYPE_EXTENDED",
                        &format!("{path}/allOf/{at}"),
                        "the reader asks for this as well, and the writer does not promise it",
                    );
                }
            }
        }
        for keyword in ["anyOf", "oneOf"] {
            if let Some(branches) = reader.list(keyword)
                && !branches
                    .into_iter()
                    .any(|branch| self.reads(branch, writer))
            {
                self.report(
                    "COMBINED_TYPE_CHANGED",
                    &format!("{path}/{keyword}"),
                    "no alternative of the reader takes what the writer describes",
                );
            }
        }
        if let Some(not) = reader.keyword("not") {
            let path = format!("{path}/not");
            match writer.keyword("not") {
                // What the reader excludes, the writer must have excluded.
                Some(excluded) => {
                    if !self.reads(writer.at(excluded), reader.at(not)) {
                        self.report("NOT_TYPE_EXTENDED", &path, "the reader excludes more");
                    }
                }
                None => self.report("NOT_TYPE_ADDED", &path, "the reader excludes something"),
            }
        }
        for keyword in [
            "if",
            "then",
            "else",
            "contains",
            "propertyNames",
            "unevaluatedItems",
            "unevaluatedProperties",
            "minContains",
            "maxContains",
        ] {
            if let Some(asked) = reader.keyword(keyword)
                && writer.keyword(keyword) != Some(asked)
                && asked != &ANYTHING
            {
                self.report(
                    "CONDITION_CHANGED",
                    &format!("{path}/{keyword}"),
                    format!("the reader's {keyword:?} is not the writer's"),
                );
            }
        }
        self.values(reader, writer, path);
    }

    /// The keywords that stand beside combinations.
    fn values(&mut self, reader: Place<'_>, writer: Place<'_>, path: &str) {
        let written = writer.keyword("type").and_then(types);
        if let Some(wanted) = reader.keyword("type").and_then(types) {
            let path = format!("{path}/type");
            let takes =
                |of: &&str| wanted.contains(of) || (*of == "integer" && wanted.contains(&"number"));
            match &written {
                None => self.report(
                    "TYPE_NARROWED",
                    &path,
                    format!(
                        "the reader takes only {}, the writer writes any type",
                        wanted.join(", ")
                    ),
                ),
                Some(written) if written.iter().all(takes) => {}
                Some(written) => {
                    let integers = wanted.contains(&"integer") && written.contains(&"number");
                    let rule = if integers || written.iter().any(takes) {
                        "TYPE_NARROWED"
                    } else {
                        "TYPE_CHANGED"
                    };
                    self.report(
                        rule,
                        &path,
                        format!(
                            "the reader takes {}, the writer writes {}",
                            wanted.join(", "),
                            written.join(", ")
                        ),
                    );
                    return;
                }
            }
        }
        self.enumerations(reader, writer, path);
        let may_be = |of: &[&str]| {
            written
                .as_ref()
                .is_none_or(|written| written.iter().any(|name| of.contains(name)))
        };
        if may_be(&["string"]) {
            self.bounds(reader, writer, path, &STRING_BOUNDS);
            self.pattern(reader, writer, path);
        }
        if may_be(&["number", "integer"]) {
            self.numbers(reader, writer, path);
        }
        if may_be(&["object"]) {
            self.bounds(reader, writer, path, &OBJECT_BOUNDS);
            self.objects(reader, writer, path);
        }
        if may_be(&["array"]) {
            self.bounds(reader, writer, path, &ARRAY_BOUNDS);
            self.arrays(reader, writer, path);
        }
    }

    fn enumerations(&mut self, reader: Place<'_>, writer: Place<'_>, path: &str) {
        let Some(wanted) = allowed(reader) else {
            return;
        };
        let path = format!("{path}/enum");
        match allowed(writer) {
            None => self.report(
                "ENUM_ARRAY_NARROWED",
                &path,
                "the reader takes only some values, the writer writes others as well",
            ),
            Some(written) => {
                let missing: Vec<String> = written
                    .iter()
                    .filter(|value| !wanted.iter().any(|known| same(known, value)))
                    .map(ToString::to_string)
                    .collect();
                if !missing.is_empty() {
                    self.report(
                        "ENUM_ARRAY_NARROWED",
                        &path,
                        format!("the reader does not take [{}]", missing.join(", ")),
                    );
                }
            }
        }
    }

    fn bounds(&mut self, reader: Place<'_>, writer: Place<'_>, path: &str, bounds: &[Bound]) {
        for bound in bounds {
            let read = |place: Place<'_>| place.keyword(bound.keyword).and_then(count);
            let Some(asked) = read(reader) else {
                continue;
            };
            let path = format!("{path}/{}", bound.keyword);
            match read(writer) {
                None if !bound.is_upper && asked == 0 => {}
                None => self.report(bound.added, &path, format!("the reader asks for {asked}")),
                Some(kept)
                    if (bound.is_upper && kept > asked) || (!bound.is_upper && kept < asked) =>
                {
                    self.report(
                        bound.tightened,
                        &path,
                        format!("the reader asks for {asked}, the writer keeps to {kept}"),
                    );
                }
                Some(_) => {}
            }
        }
    }

    fn pattern(&mut self, reader: Place<'_>, writer: Place<'_>, path: &str) {
        let path = format!("{path}/pattern");
        match (reader.keyword("pattern"), writer.keyword("pattern")) {
            (Some(asked), None) => self.report(
                "PATTERN_ADDED",
                &path,
                format!("the reader asks for the pattern {asked}"),
            ),
            (Some(asked), Some(kept)) if asked != kept => self.report(
                "PATTERN_CHANGED",
                &path,
                format!("the reader asks for the pattern {asked}, the writer keeps to {kept}"),
            ),
            _ => {}
        }
    }

    fn numbers(&mut self, reader: Place<'_>, writer: Place<'_>, path: &str) {
        for (side, added, tightened) in [
            ("maximum", "MAXIMUM_ADDED", "MAXIMUM_DECREASED"),
            ("minimum", "MINIMUM_ADDED", "MINIMUM_INCREASED"),
        ] {
            let (asked, kept) = (limits(reader, side), limits(writer, side));
            let path = format!("{path}/{side}");
            match (asked, kept) {
                (Some((asked, _)), None) => {
                    self.report(added, &path, format!("the reader asks for {asked}"));
                }
                (Some((asked, open)), Some((kept, kept_open))) => {
                    let beyond = if side == "maximum" {
                        kept > asked
                    } else {
                        kept < asked
                    };
                    if beyond || (kept == asked && open && !kept_open) {
                        self.report(
                            tightened,
                            &path,
                            format!("the reader asks for {asked}, the writer keeps to {kept}"),
                        );
                    }
                }
                _ => {}
            }
        }
        let number = |place: Place<'_>| place.keyword("multipleOf").and_then(Value::as_f64);
        let path = format!("{path}/multipleOf");
        match (number(reader), number(writer)) {
            (Some(asked), None) => self.report(
                "MULTIPLE_OF_ADDED",
                &path,
                format!("the reader asks for multiples of {asked}"),
            ),
            (Some(asked), Some(kept)) if kept % asked != 0.0 => self.report(
                "MULTIPLE_OF_CHANGED",
                &path,
                format!(
                    "the reader asks for multiples of {asked}, the writer writes those of {kept}"
                ),
            ),
            _ => {}
        }
    }
}

struct Bound {
    keyword: &'static str,
    is_upper: bool,
    added: &'static str,
    tightened: &'static str,
}

const fn upper(keyword: &'static str, added: &'static str, tightened: &'static str) -> Bound {
    Bound {
        keyword,
        is_upper: true,
        added,
        tightened,
    }
}

const fn lower(keyword: &'static str, added: &'static str, tightened: &'static str) -> Bound {
    Bound {
        keyword,
        is_upper: false,
        added,
        tightened,
    }
}

const STRING_BOUNDS: [Bound; 2] = [
    upper("maxLength", "MAX_LENGTH_ADDED", "MAX_LENGTH_DECREASED"),
    lower("minLength", "MIN_LENGTH_ADDED", "MIN_LENGTH_INCREASED"),
];
const OBJECT_BOUNDS: [Bound; 2] = [
    upper(
        "maxProperties",
        "MAX_PROPERTIES_ADDED",
        "MAX_PROPERTIES_DECREASED",
    ),
    lower(
        "minProperties",
        "MIN_PROPERTIES_ADDED",
        "MIN_PROPERTIES_INCREASED",
    ),
];
const ARRAY_BOUNDS: [Bound; 2] = [
    upper("maxItems", "MAX_ITEMS_ADDED", "MAX_ITEMS_DECREASED"),
    lower("minItems", "MIN_ITEMS_ADDED", "MIN_ITEMS_INCREASED"),
];

/// The tighter of `maximum` and `exclusiveMaximum`, and whether it is itself left out. Draft 4 writes the latter as `true`.
fn limits(place: Place<'_>, side: &str) -> Option<(f64, bool)> {
    let exclusive = if side == "maximum" {
        "exclusiveMaximum"
    } else {
        "exclusiveMinimum"
    };
    let closed = place.keyword(side).and_then(Value::as_f64);
    match (closed, place.keyword(exclusive)) {
        (closed, Some(Value::Bool(open))) => closed.map(|closed| (closed, *open)),
        (closed, Some(open)) => {
            let open = open.as_f64()?;
            let tighter = |closed: f64| {
                if side == "maximum" {
                    closed < open
                } else {
                    closed > open
                }
            };
            match closed {
                Some(closed) if tighter(closed) => Some((closed, false)),
                _ => Some((open, true)),
            }
        }
        (closed, None) => closed.map(|closed| (closed, false)),
    }
}

/// The values that `enum` or `const` allow.
fn allowed(place: Place<'_>) -> Option<Vec<&Value>> {
    match (place.keyword("enum"), place.keyword("const")) {
        (_, Some(only)) => Some(vec![only]),
        (Some(Value::Array(values)), None) => Some(values.iter().collect()),
        _ => None,
    }
}

/// Numbers are compared by what they are: 1 is 1.0.
fn same(one: &Value, other: &Value) -> bool {
    one == other || (one.is_number() && other.is_number() && one.as_f64() == other.as_f64())
}

/// Whether a schema says nothing but that it has alternatives.
fn only_combines(place: Place<'_>, keyword: &str) -> bool {
    let says = |object: &Map<String, Value>| {
        object
            .keys()
            .all(|key| key == keyword || is_annotation(key))
    };
    place.schema.as_object().is_some_and(says)
}

/// Keywords that do not decide whether a value is valid.
fn is_annotation(key: &str) -> bool {
    matches!(
        key,
        "$schema"
            | "$id"
            | "id"
            | "$anchor"
            | "$comment"
            | "$defs"
            | "definitions"
            | "title"
            | "description"
            | "default"
            | "examples"
            | "deprecated"
            | "readOnly"
            | "writeOnly"
            | "format"
            | "contentEncoding"
            | "contentMediaType"
            | "contentSchema"
    ) || key.starts_with("x-")
        || key.starts_with("confluent:")
        || key == "connect.type"
        || key == "javaType"
}
