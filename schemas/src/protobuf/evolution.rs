//! Whether a reader's file can read what was written by a writer's, by the rules of the Protobuf guide on updating messages,
//! with the rules' names of the Confluent registry.

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::{Cardinality, FieldDescriptor, Kind, MessageDescriptor, OneofDescriptor};

use super::ProtobufSchema;
use crate::Incompatibility;

/// Why `reader` cannot read what `writer` wrote; empty when it can.
///
/// Messages belong together by their names without the package, fields by their numbers.
pub fn cannot_read(reader: &ProtobufSchema, writer: &ProtobufSchema) -> Vec<Incompatibility> {
    let mut check = Check::default();
    let readers = messages(reader.file.messages());
    for (name, old) in messages(writer.file.messages()) {
        match readers.get(&name) {
            Some(new) => check.pair(new, &old),
            None => check.report(
                "MESSAGE_REMOVED",
                &name,
                format!("the reader has no message {name:?}, which the writer has"),
            ),
        }
    }
    while let Some((new, old)) = check.waiting.pop() {
        check.messages(&new, &old);
    }
    check.found.sort_by(|one, other| one.path.cmp(&other.path));
    check.found
}

#[derive(Default)]
struct Check {
    compared: BTreeSet<(String, String)>,
    waiting: Vec<(MessageDescriptor, MessageDescriptor)>,
    found: Vec<Incompatibility>,
}

/// What encodes alike may be read as one another.
#[derive(PartialEq, Eq)]
enum Wire {
    Varint,
    ZigZag,
    Fixed32,
    Fixed64,
    Float,
    Double,
    Text,
    Message,
    Map,
}

impl Check {
    fn report(&mut self, rule: &'static str, path: &str, message: String) {
        self.found.push(Incompatibility::new(rule, path, message));
    }

    /// Compares two messages, once.
    fn pair(&mut self, new: &MessageDescriptor, old: &MessageDescriptor) {
        let names = (new.full_name().to_owned(), old.full_name().to_owned());
        if self.compared.insert(names) {
            self.waiting.push((new.clone(), old.clone()));
        }
    }

    fn messages(&mut self, new: &MessageDescriptor, old: &MessageDescriptor) {
        let message = local_name(new);
        for was in old.fields() {
            let path = format!("{message}.{}", was.name());
            match new.get_field(was.number()) {
                Some(is) => self.fields(&is, &was, &path),
                None if was.is_required() => self.report(
                    "REQUIRED_FIELD_REMOVED",
                    &path,
                    format!(
                        "the reader has no field {}, which is required",
                        was.number()
                    ),
                ),
                None if real_oneof(&was).is_some() => self.report(
                    "ONEOF_FIELD_REMOVED",
                    &path,
                    format!("the reader's oneof lacks field {}", was.number()),
                ),
                None => {}
            }
        }
        for is in new.fields() {
            if is.is_required()
                && old
                    .get_field(is.number())
                    .is_none_or(|was| !was.is_required())
            {
                self.report(
                    "REQUIRED_FIELD_ADDED",
                    &format!("{message}.{}", is.name()),
                    "the reader requires the field, and the writer may leave it out".to_owned(),
                );
            }
        }
        for oneof in new.oneofs().filter(|oneof| !oneof.is_synthetic()) {
            self.moved_into(&oneof, old, &message);
        }
    }

    /// Fields that stood alone and are now one of several: the last one written would hide the others.
    fn moved_into(&mut self, oneof: &OneofDescriptor, old: &MessageDescriptor, message: &str) {
        let existed = old
            .oneofs()
            .any(|was| !was.is_synthetic() && was.name() == oneof.name());
        let moved: Vec<String> = oneof
            .fields()
            .filter(|is| {
                let was = old.get_field(is.number());
                was.is_some_and(|was| {
                    real_oneof(&was).is_none_or(|from| from.name() != oneof.name())
                })
            })
            .map(|is| is.name().to_owned())
            .collect();
        let path = format!("{message}.{}", oneof.name());
        if existed && !moved.is_empty() {
            self.report(
                "FIELD_MOVED_TO_EXISTING_ONEOF",
                &path,
                format!(
                    "the fields [{}] moved into an existing oneof",
                    moved.join(", ")
                ),
            );
        } else if moved.len() > 1 && !all_from_one(oneof, old) {
            self.report(
                "MULTIPLE_FIELDS_MOVED_TO_ONEOF",
                &path,
                format!("the fields [{}] moved into one oneof", moved.join(", ")),
            );
        }
    }

    fn fields(&mut self, is: &FieldDescriptor, was: &FieldDescriptor, path: &str) {
        let (new, old) = (wire(is), wire(was));
        if new != old {
            let scalars = [&new, &old]
                .iter()
                .all(|wire| !matches!(wire, Wire::Message | Wire::Map));
            let rule = if scalars {
                "FIELD_SCALAR_KIND_CHANGED"
            } else {
                "FIELD_KIND_CHANGED"
            };
            return self.report(
                rule,
                path,
                format!(
                    "field {} is of type {} for the reader and {} for the writer",
                    was.number(),
                    type_name(is),
                    type_name(was)
                ),
            );
        }
        let repeated = |field: &FieldDescriptor| field.cardinality() == Cardinality::Repeated;
        if repeated(is) != repeated(was) && !matches!(new, Wire::Text | Wire::Message) {
            self.report(
                "FIELD_NUMERIC_LABEL_CHANGED",
                path,
                format!(
                    "field {} is repeated for only one of reader and writer",
                    was.number()
                ),
            );
        }
        if let (Kind::Message(new), Kind::Message(old)) = (is.kind(), was.kind()) {
            if !is.is_map() && local_name(&new) != local_name(&old) {
                return self.report(
                    "FIELD_NAMED_TYPE_CHANGED",
                    path,
                    format!(
                        "field {} is of type {} for the reader and {} for the writer",
                        was.number(),
                        new.full_name(),
                        old.full_name()
                    ),
                );
            }
            self.pair(&new, &old);
        }
    }
}

/// Whether all fields of a oneof that the writer has stood in one oneof of its own, which was only renamed.
fn all_from_one(oneof: &OneofDescriptor, old: &MessageDescriptor) -> bool {
    let mut from = oneof
        .fields()
        .filter_map(|is| old.get_field(is.number()))
        .map(|was| real_oneof(&was).map(|oneof| oneof.name().to_owned()));
    let first = from.next().flatten();
    first.is_some() && from.all(|other| other == first)
}

fn real_oneof(field: &FieldDescriptor) -> Option<OneofDescriptor> {
    field
        .containing_oneof()
        .filter(|oneof| !oneof.is_synthetic())
}

fn wire(field: &FieldDescriptor) -> Wire {
    if field.is_map() {
        return Wire::Map;
    }
    match field.kind() {
        Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Bool | Kind::Enum(_) => {
            Wire::Varint
        }
        Kind::Sint32 | Kind::Sint64 => Wire::ZigZag,
        Kind::Fixed32 | Kind::Sfixed32 => Wire::Fixed32,
        Kind::Fixed64 | Kind::Sfixed64 => Wire::Fixed64,
        Kind::Float => Wire::Float,
        Kind::Double => Wire::Double,
        Kind::String | Kind::Bytes => Wire::Text,
        Kind::Message(_) => Wire::Message,
    }
}

fn type_name(field: &FieldDescriptor) -> String {
    if field.is_map() {
        return "map".to_owned();
    }
    match field.kind() {
        Kind::Message(message) => message.full_name().to_owned(),
        Kind::Enum(of) => of.full_name().to_owned(),
        scalar => format!("{scalar:?}"),
    }
}

/// All messages, nested ones too, by their names without the package; map entries belong to their fields.
fn messages(of: impl Iterator<Item = MessageDescriptor>) -> BTreeMap<String, MessageDescriptor> {
    let mut found = BTreeMap::new();
    let mut waiting: Vec<MessageDescriptor> = of.collect();
    while let Some(message) = waiting.pop() {
        if !message.is_map_entry() {
            waiting.extend(message.child_messages());
            found.insert(local_name(&message), message);
        }
    }
    found
}

fn local_name(message: &MessageDescriptor) -> String {
    let full = message.full_name();
    let package = message.package_name();
    match full.strip_prefix(package) {
        Some(rest) if !package.is_empty() => rest.trim_start_matches('.').to_owned(),
        _ => full.to_owned(),
    }
}
