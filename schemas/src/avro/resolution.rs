//! Whether a reader's schema can read what a writer's schema wrote, by the specification's *schema resolution*, with the
//! rules' names of Avro's Java library, which the Confluent registry shows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{AvroSchema, Field, Named, NamedBody, Shape, Type};
use crate::Incompatibility;

/// Types within types, past which a comparison gives up: it is recursive.
const DEPTH_MAX: u32 = 200;

/// Comparisons of two types, past which it gives up: with aliases in unions they can grow exponentially.
const STEPS_MAX: u32 = 200_000;

/// Reasons that are told.
const REASONS_MAX: usize = 50;

/// Why `reader` cannot read what `writer` wrote; empty when it can.
pub fn cannot_read(reader: &AvroSchema, writer: &AvroSchema) -> Vec<Incompatibility> {
    let mut check = Check {
        reader,
        writer,
        assumed: BTreeSet::new(),
        trail: Vec::new(),
        found: Vec::new(),
        depth: 0,
        steps: 0,
    };
    check.types(&reader.root, &writer.root, "");
    check.found
}

struct Check<'a> {
    reader: &'a AvroSchema,
    writer: &'a AvroSchema,
    /// Pairs of records that are being compared, or were: a recursive type is readable unless shown otherwise.
    assumed: BTreeSet<(Arc<str>, Arc<str>)>,
    /// The same in the order in which they came, so that what a failed attempt assumed can be taken back.
    trail: Vec<(Arc<str>, Arc<str>)>,
    found: Vec<Incompatibility>,
    depth: u32,
    steps: u32,
}

impl Check<'_> {
    fn report(&mut self, rule: &'static str, path: &str, message: String) {
        if self.found.len() >= REASONS_MAX {
            return;
        }
        let path = if path.is_empty() { "/" } else { path };
        self.found.push(Incompatibility::new(rule, path, message));
    }

    fn types(&mut self, reader: &Type, writer: &Type, path: &str) {
        self.steps += 1;
        if self.depth >= DEPTH_MAX || self.steps > STEPS_MAX {
            let message = "the schemas are too deep or too entangled to be compared".to_owned();
            return self.report("TOO_COMPLEX", path, message);
        }
        self.depth += 1;
        self.shapes(reader, writer, path);
        self.depth -= 1;
    }

    fn shapes(&mut self, reader: &Type, writer: &Type, path: &str) {
        match (&reader.shape, &writer.shape) {
            (_, Shape::Union(branches)) => {
                for (at, branch) in branches.iter().enumerate() {
                    match &reader.shape {
                        Shape::Union(_) => self.in_union(reader, branch, &format!("{path}/{at}")),
                        _ => self.types(reader, branch, path),
                    }
                }
            }
            (Shape::Union(_), _) => self.in_union(reader, writer, path),
            (Shape::Array(reader), Shape::Array(writer)) => {
                self.types(reader, writer, &format!("{path}/items"));
            }
            (Shape::Map(reader), Shape::Map(writer)) => {
                self.types(reader, writer, &format!("{path}/values"));
            }
            (Shape::Named(one), Shape::Named(other)) => {
                match (self.reader.named(one), self.writer.named(other)) {
                    (Some(one), Some(other)) => {
                        let (one, other) = (Arc::clone(one), Arc::clone(other));
                        self.named(&one, &other, path);
                    }
                    _ => self.mismatch(reader, writer, path),
                }
            }
            (one, other) if promotes(other, one) => {}
            _ => self.mismatch(reader, writer, path),
        }
    }

    fn mismatch(&mut self, reader: &Type, writer: &Type, path: &str) {
        let reader = reader.describe(|name| self.reader.named(name).cloned());
        let writer = writer.describe(|name| self.writer.named(name).cloned());
        self.report(
            "TYPE_MISMATCH",
            path,
            format!("the reader's type {reader} cannot read the writer's type {writer}"),
        );
    }

    /// Whether one branch of the reader's union reads the writer's type.
    fn in_union(&mut self, reader: &Type, writer: &Type, path: &str) {
        let Shape::Union(branches) = &reader.shape else {
            return self.types(reader, writer, path);
        };
        let (found, assumed) = (self.found.len(), self.trail.len());
        for branch in branches {
            self.types(branch, writer, path);
            if self.found.len() == found {
                return;
            }
            self.found.truncate(found);
            for pair in self.trail.drain(assumed..) {
                self.assumed.remove(&pair);
            }
            if self.steps > STEPS_MAX {
                break;
            }
        }
        let writer = writer.describe(|name| self.writer.named(name).cloned());
        self.report(
            "MISSING_UNION_BRANCH",
            path,
            format!("the reader's union has no branch that reads the writer's type {writer}"),
        );
    }

    fn named(&mut self, reader: &Named, writer: &Named, path: &str) {
        let known = reader.name == writer.name
            || reader.aliases.iter().any(|alias| **alias == *writer.name);
        if !known {
            self.report(
                "NAME_MISMATCH",
                &format!("{path}/name"),
                format!(
                    "the reader's {} {:?} has neither the name nor an alias of the writer's {} {:?}",
                    reader.body.word(),
                    reader.name,
                    writer.body.word(),
                    writer.name
                ),
            );
            return;
        }
        match (&reader.body, &writer.body) {
            (NamedBody::Record(fields), NamedBody::Record(written)) => {
                let pair = (Arc::clone(&reader.name), Arc::clone(&writer.name));
                if self.assumed.insert(pair.clone()) {
                    self.trail.push(pair);
                    self.fields(fields, written, path);
                }
            }
            (
                NamedBody::Enum { symbols, default },
                NamedBody::Enum {
                    symbols: written, ..
                },
            ) => {
                let missing: Vec<&str> = written
                    .iter()
                    .filter(|symbol| !symbols.contains(symbol))
                    .map(String::as_str)
                    .collect();
                if default.is_none() && !missing.is_empty() {
                    self.report(
                        "MISSING_ENUM_SYMBOLS",
                        &format!("{path}/symbols"),
                        format!(
                            "the reader's enum has no default, and lacks the writer's symbols [{}]",
                            missing.join(", ")
                        ),
                    );
                }
            }
            (NamedBody::Fixed(size), NamedBody::Fixed(written)) => {
                if size != written {
                    self.report(
                        "FIXED_SIZE_MISMATCH",
                        &format!("{path}/size"),
                        format!("the reader's fixed has {size} bytes, the writer's {written}"),
                    );
                }
            }
            (one, other) => self.report(
                "TYPE_MISMATCH",
                path,
                format!(
                    "{:?} is {} for the reader and {} for the writer",
                    reader.name,
                    one.word(),
                    other.word()
                ),
            ),
        }
    }

    fn fields(&mut self, fields: &[Field], written: &[Field], path: &str) {
        let by_name = by_name(written);
        for (at, field) in fields.iter().enumerate() {
            let path = format!("{path}/fields/{at}");
            match written_as(field, &by_name) {
                Some(writer) => self.types(&field.of, &writer.of, &format!("{path}/type")),
                None if field.default.is_none() => self.report(
                    "READER_FIELD_MISSING_DEFAULT_VALUE",
                    &path,
                    format!(
                        "the reader's field {:?} has no default value, and the writer has no such field",
                        field.name
                    ),
                ),
                None => {}
            }
        }
    }
}

/// A writer's fields by their names.
pub(super) fn by_name(written: &[Field]) -> BTreeMap<&str, &Field> {
    let fields = written.iter();
    fields.map(|field| (field.name.as_str(), field)).collect()
}

/// The writer's field that a reader's field is read from: by its name, else by an alias.
pub(super) fn written_as<'a>(
    field: &Field,
    written: &BTreeMap<&str, &'a Field>,
) -> Option<&'a Field> {
    let mut names = std::iter::once(&field.name).chain(&field.aliases);
    names.find_map(|name| written.get(name.as_str()).copied())
}

/// Whether a writer's type without parts is read as the reader's.
pub(super) fn promotes(writer: &Shape, reader: &Shape) -> bool {
    use Shape::{Bytes, Double, Float, Int, Long, String};
    match (writer, reader) {
        (Int, Long | Float | Double)
        | (Long, Float | Double)
        | (Float, Double)
        | (String, Bytes)
        | (Bytes, String) => true,
        (Shape::Named(_) | Shape::Array(_) | Shape::Map(_) | Shape::Union(_), _) => false,
        (writer, reader) => writer == reader,
    }
}
