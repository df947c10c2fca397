//! What objects and arrays may hold. A content model is *open* where anything may be added, *closed* where nothing may, and
//! *partially open* where what is added must fit a schema.

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::Value;

use super::comparison::{Check, Place};
use super::pointer::escaped;

/// The largest automaton that a pattern of `patternProperties` may need.
const PATTERN_BYTES_MAX: usize = 1 << 18;

impl Check {
    pub(super) fn objects(&mut self, reader: Place<'_>, writer: Place<'_>, path: &str) {
        for (name, is) in properties(reader) {
            let path = format!("{path}/properties/{}", escaped(name));
            match property(writer, name) {
                Some(was) => self.schemas(is, was, &path),
                None => self.added(name, is, writer, &path),
            }
        }
        for (name, was) in properties(writer) {
            if property(reader, name).is_none() {
                let path = format!("{path}/properties/{}", escaped(name));
                self.removed(name, was, reader, &path);
            }
        }
        self.required(reader, writer, path);
        self.additional(reader, writer, path);
        self.dependencies(reader, writer, path);
    }

    /// A property that only the reader names: what the writer wrote under that name, if it may, must fit it.
    fn added(&mut self, name: &str, property: Place<'_>, writer: Place<'_>, path: &str) {
        match model(writer, name) {
            _ if property.is_open() => {}
            Model::Closed => {}
            Model::Open => self.report(
                "PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL",
                path,
                "the writer may write anything under this name, since it allows additional properties",
            ),
            Model::Partial(covers) => {
                if !covers.into_iter().any(|of| self.reads(property, of)) {
                    self.report(
                        "PROPERTY_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL",
                        path,
                        "what the writer may write under this name does not fit the property",
                    );
                }
            }
        }
    }

    /// A property that only the writer names: the reader must take it among its additional ones.
    fn removed(&mut self, name: &str, was: Place<'_>, reader: Place<'_>, path: &str) {
        match model(reader, name) {
            Model::Open => {}
            _ if was.is_closed() => {}
            Model::Closed => self.report(
                "PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL",
                path,
                "the reader has no such property and allows no additional ones",
            ),
            Model::Partial(covers) => {
                if !covers.into_iter().all(|of| self.reads(of, was)) {
                    self.report(
                        "PROPERTY_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL",
                        path,
                        "the property does not fit what the reader asks of additional ones",
                    );
                }
            }
        }
    }

    fn required(&mut self, reader: Place<'_>, writer: Place<'_>, path: &str) {
        let (wanted, promised) = (required(reader), required(writer));
        let has_default = |name: &str| {
            property(reader, name).is_some_and(|property| property.keyword("default").is_some())
        };
        for name in wanted.difference(&promised) {
            if has_default(name) {
                continue;
            }
            let rule = if property(writer, name).is_some() {
                "REQUIRED_ATTRIBUTE_ADDED"
            } else {
                "REQUIRED_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL"
            };
            self.report(
                rule,
                &format!("{path}/required"),
                format!("the reader requires {name:?}, has no default for it, and the writer may leave it out"),
            );
        }
    }

    /// What neither names.
    fn additional(&mut self, reader: Place<'_>, writer: Place<'_>, path: &str) {
        let path = format!("{path}/additionalProperties");
        let (asked, kept) = (additional(reader), additional(writer));
        if asked.is_closed() && !kept.is_closed() {
            self.report(
                "ADDITIONAL_PROPERTIES_REMOVED",
                &path,
                "the reader allows no additional properties, the writer does",
            );
        } else if !self.reads(asked, kept) {
            self.report(
                "ADDITIONAL_PROPERTIES_NARROWED",
                &path,
                "the writer's additional properties do not fit what the reader asks of them",
            );
        }
        for (pattern, asked) in patterns(reader) {
            let kept = patterns(writer).find(|(other, _)| *other == pattern);
            let fits = match kept {
                Some((_, kept)) => self.reads(asked, kept),
                None => self.reads(asked, kept_elsewhere(writer)),
            };
            if !fits {
                self.report(
                    "PATTERN_PROPERTY_CHANGED",
                    &path.replace("additionalProperties", "patternProperties"),
                    format!("what the writer may write under names like {pattern:?} does not fit"),
                );
            }
        }
        for (pattern, kept) in patterns(writer) {
            let known = patterns(reader).any(|(other, _)| other == pattern);
            if !known && !self.reads(asked, kept) {
                self.report(
                    "PATTERN_PROPERTY_REMOVED",
                    &path.replace("additionalProperties", "patternProperties"),
                    format!(
                        "the reader does not take what is written under names like {pattern:?}"
                    ),
                );
            }
        }
    }

    fn dependencies(&mut self, reader: Place<'_>, writer: Place<'_>, path: &str) {
        for keyword in ["dependencies", "dependentRequired", "dependentSchemas"] {
            let Some(Value::Object(asked)) = reader.keyword(keyword) else {
                continue;
            };
            for (name, asked) in asked {
                let path = format!("{path}/{keyword}/{}", escaped(name));
                let kept = writer.keyword(keyword).and_then(|kept| kept.get(name));
                match (asked, kept) {
                    (Value::Array(asked), Some(Value::Array(kept))) => {
                        if asked.iter().any(|name| !kept.contains(name)) {
                            self.report(
                                "DEPENDENCY_ARRAY_EXTENDED",
                                &path,
                                "the reader requires more properties",
                            );
                        }
                    }
                    (Value::Array(asked), _) if asked.is_empty() => {}
                    (Value::Array(_), _) => self.report(
                        "DEPENDENCY_ARRAY_ADDED",
                        &path,
                        "the reader requires properties",
                    ),
                    (asked, Some(kept)) => self.schemas(reader.at(asked), writer.at(kept), &path),
                    (asked, None) => {
                        if !reader.at(asked).is_open() {
                            self.report(
                                "DEPENDENCY_SCHEMA_ADDED",
                                &path,
                                "the reader asks for more where this property is",
                            );
                        }
                    }
                }
            }
        }
    }

    pub(super) fn arrays(&mut self, reader: Place<'_>, writer: Place<'_>, path: &str) {
        let unique = |place: Place<'_>| place.keyword("uniqueItems") == Some(&Value::Bool(true));
        if unique(reader) && !unique(writer) {
            self.report(
                "UNIQUE_ITEMS_ADDED",
                &format!("{path}/uniqueItems"),
                "the reader asks for items that differ",
            );
        }
        let ((wanted, rest), (written, others)) = (items(reader), items(writer));
        for at in 0..wanted.len().max(written.len()) {
            let path = format!("{path}/items/{at}");
            match (wanted.get(at), written.get(at)) {
                (Some(is), Some(was)) => self.schemas(*is, *was, &path),
                (Some(is), None) => {
                    if !others.is_closed() && !self.reads(*is, others) {
                        let rule = if others.is_open() {
                            "ITEM_ADDED_TO_OPEN_CONTENT_MODEL"
                        } else {
                            "ITEM_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL"
                        };
                        self.report(rule, &path, "what the writer may write here does not fit");
                    }
                }
                (None, Some(was)) => {
                    if !self.reads(rest, *was) {
                        let rule = if rest.is_closed() {
                            "ITEM_REMOVED_FROM_CLOSED_CONTENT_MODEL"
                        } else {
                            "ITEM_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL"
                        };
                        self.report(rule, &path, "the reader does not take this item");
                    }
                }
                (None, None) => {}
            }
        }
        if wanted.is_empty() && written.is_empty() {
            self.schemas(rest, others, &format!("{path}/items"));
        } else if rest.is_closed() && !others.is_closed() {
            self.report(
                "ADDITIONAL_ITEMS_REMOVED",
                &format!("{path}/additionalItems"),
                "the reader allows no additional items, the writer does",
            );
        } else if !self.reads(rest, others) {
            self.report(
                "ADDITIONAL_ITEMS_NARROWED",
                &format!("{path}/additionalItems"),
                "the writer's additional items do not fit what the reader asks of them",
            );
        }
    }
}

/// What may stand under a name that is not among the properties.
enum Model<'a> {
    Open,
    Closed,
    /// What fits all of these.
    Partial(Vec<Place<'a>>),
}

fn model<'a>(place: Place<'a>, name: &str) -> Model<'a> {
    let matching: Vec<Place<'a>> = patterns(place)
        .filter(|(pattern, _)| matches(pattern, name))
        .map(|(_, of)| of)
        .collect();
    let rest = additional(place);
    match matching.is_empty() {
        false => Model::Partial(matching),
        true if rest.is_open() => Model::Open,
        true if rest.is_closed() => Model::Closed,
        true => Model::Partial(vec![rest]),
    }
}

/// Whether a name fits a pattern of `patternProperties`. One that this engine of regular expressions does not know (it has no
/// look-around) is taken to fit, which leads to a comparison and not past one.
fn matches(pattern: &str, name: &str) -> bool {
    regex::RegexBuilder::new(pattern)
        .size_limit(PATTERN_BYTES_MAX)
        .build()
        .map_or(true, |pattern: Regex| pattern.is_match(name))
}

fn properties(place: Place<'_>) -> impl Iterator<Item = (&str, Place<'_>)> {
    named(place, "properties")
}

fn property<'a>(place: Place<'a>, name: &str) -> Option<Place<'a>> {
    let properties = place.keyword("properties")?;
    properties.get(name).map(|schema| place.at(schema))
}

fn patterns(place: Place<'_>) -> impl Iterator<Item = (&str, Place<'_>)> {
    named(place, "patternProperties")
}

fn named<'a>(place: Place<'a>, keyword: &str) -> impl Iterator<Item = (&'a str, Place<'a>)> {
    let object = place.keyword(keyword).and_then(Value::as_object);
    object
        .into_iter()
        .flatten()
        .map(move |(name, schema)| (name.as_str(), place.at(schema)))
}

/// Properties that must be there.
fn required(place: Place<'_>) -> BTreeSet<&str> {
    let list = place.keyword("required").and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

fn additional(place: Place<'_>) -> Place<'_> {
    place
        .keyword("additionalProperties")
        .map_or_else(|| place.anything(), |schema| place.at(schema))
}

/// What a writer may write under names of which only the reader has a pattern.
fn kept_elsewhere(writer: Place<'_>) -> Place<'_> {
    let names_some = properties(writer).next().is_some() || patterns(writer).next().is_some();
    if names_some {
        // Its named properties may fit the pattern as well: nothing is known of them.
        writer.anything()
    } else {
        additional(writer)
    }
}

/// The items that have a place of their own, and what all others are.
fn items(place: Place<'_>) -> (Vec<Place<'_>>, Place<'_>) {
    let or_anything = |keyword: &str| {
        place
            .keyword(keyword)
            .map_or_else(|| place.anything(), |of| place.at(of))
    };
    let (list, rest) = match (place.keyword("prefixItems"), place.keyword("items")) {
        (Some(Value::Array(list)), _) => (list, "items"),
        (_, Some(Value::Array(list))) => (list, "additionalItems"),
        _ => return (Vec::new(), or_anything("items")),
    };
    (
        list.iter().map(|of| place.at(of)).collect(),
        or_anything(rest),
    )
}
