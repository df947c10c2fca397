//! A file descriptor as the text of a `.proto` file: one text for files that say the same. Names of types are written in
//! full, options of every kind are kept, comments are not.

use std::fmt::Write as _;

use prost_reflect::{
    Cardinality, DynamicMessage, EnumDescriptor, ExtensionDescriptor, FieldDescriptor,
    FileDescriptor, Kind, MessageDescriptor, OneofDescriptor, ServiceDescriptor, Syntax, Value,
};
use prost_types::FieldDescriptorProto;
use prost_types::field_descriptor_proto::Type;

/// The file as text; `sorted` puts imports and fields in order.
pub(super) fn file(file: &FileDescriptor, sorted: bool) -> String {
    let mut to = Text::default();
    let proto = file.file_descriptor_proto();
    let syntax = match file.syntax() {
        Syntax::Proto2 => "proto2",
        Syntax::Proto3 => "proto3",
    };
    to.line(format!("syntax = \"{syntax}\";"));
    if !file.package_name().is_empty() {
        to.line(format!("package {};", file.package_name()));
    }
    let mut imports: Vec<String> = (0..)
        .zip(&proto.dependency)
        .map(|(at, name): (i32, _)| {
            let how = if proto.public_dependency.contains(&at) {
                "public "
            } else if proto.weak_dependency.contains(&at) {
                "weak "
            } else {
                ""
            };
            format!("import {how}{};", quoted(name))
        })
        .collect();
    if sorted {
        imports.sort();
    }
    imports.into_iter().for_each(|import| to.line(import));
    for option in options(&file.options()) {
        to.line(format!("option {option};"));
    }
    let printer = Printer {
        sorted,
        proto2: file.syntax() == Syntax::Proto2,
    };
    let groups: Vec<String> = file
        .extensions()
        .filter_map(|it| group_name(&it.kind(), it.is_group()))
        .collect();
    for message in file.messages() {
        if !groups.iter().any(|group| group == message.full_name()) {
            printer.message(&message, &format!("message {}", message.name()), &mut to);
        }
    }
    file.enums().for_each(|of| enumeration(&of, &mut to));
    file.extensions()
        .for_each(|extension| printer.extension(&extension, &mut to));
    file.services().for_each(|of| service(&of, &mut to));
    to.written
}

#[derive(Default)]
struct Text {
    written: String,
    indent: usize,
}

impl Text {
    fn line(&mut self, line: impl AsRef<str>) {
        for _ in 0..self.indent {
            self.written.push_str("  ");
        }
        self.written.push_str(line.as_ref());
        self.written.push('\n');
    }

    fn block(&mut self, head: &str, body: impl FnOnce(&mut Self)) {
        self.line(format!("{head} {{"));
        self.indent += 1;
        body(self);
        self.indent -= 1;
        self.line("}");
    }
}

struct Printer {
    sorted: bool,
    proto2: bool,
}

impl Printer {
    fn message(&self, message: &MessageDescriptor, head: &str, to: &mut Text) {
        to.block(head, |to| {
            for option in options_but(&message.options(), &["map_entry"]) {
                to.line(format!("option {option};"));
            }
            self.fields(message, to);
            let groups: Vec<String> = message
                .fields()
                .filter_map(|field| group_name(&field.kind(), field.is_group()))
                .chain(
                    message
                        .child_extensions()
                        .filter_map(|field| group_name(&field.kind(), field.is_group())),
                )
                .collect();
            for child in message.child_messages() {
                let is_own =
                    !child.is_map_entry() && !groups.iter().any(|group| group == child.full_name());
                if is_own {
                    self.message(&child, &format!("message {}", child.name()), to);
                }
            }
            message.child_enums().for_each(|of| enumeration(&of, to));
            message
                .child_extensions()
                .for_each(|extension| self.extension(&extension, to));
            for range in message.extension_ranges() {
                to.line(format!(
                    "extensions {};",
                    range_text(range.start, range.end)
                ));
            }
            for range in message.reserved_ranges() {
                to.line(format!("reserved {};", range_text(range.start, range.end)));
            }
            for name in message.reserved_names() {
                to.line(format!("reserved {};", quoted(name)));
            }
        });
    }

    fn fields(&self, message: &MessageDescriptor, to: &mut Text) {
        let mut fields: Vec<FieldDescriptor> = message
            .descriptor_proto()
            .field
            .iter()
            .filter_map(|field| message.get_field_by_name(field.name()))
            .collect();
        if self.sorted {
            fields.sort_by_key(FieldDescriptor::number);
        }
        let mut written: Vec<String> = Vec::new();
        for field in fields {
            let oneof = field
                .containing_oneof()
                .filter(|oneof| !oneof.is_synthetic());
            match oneof {
                None => self.field(&field, true, to),
                Some(oneof) if written.iter().any(|name| name == oneof.name()) => {}
                Some(oneof) => {
                    written.push(oneof.name().to_owned());
                    self.oneof(&oneof, to);
                }
            }
        }
    }

    fn oneof(&self, oneof: &OneofDescriptor, to: &mut Text) {
        to.block(&format!("oneof {}", oneof.name()), |to| {
            for option in options(&oneof.options()) {
                to.line(format!("option {option};"));
            }
            let mut fields: Vec<FieldDescriptor> = oneof.fields().collect();
            fields.sort_by_key(FieldDescriptor::number);
            for field in fields {
                self.field(&field, false, to);
            }
        });
    }

    fn field(&self, field: &FieldDescriptor, labelled: bool, to: &mut Text) {
        let proto = field.field_descriptor_proto();
        let mut extra = Vec::new();
        if proto.json_name.is_some() && proto.json_name() != json_name(field.name()) {
            extra.push(format!("json_name = {}", quoted(proto.json_name())));
        }
        let name = if field.is_map() {
            let Kind::Message(entry) = field.kind() else {
                return;
            };
            let key = kind_name(&entry.map_entry_key_field().kind());
            let value = kind_name(&entry.map_entry_value_field().kind());
            format!("map<{key}, {value}>")
        } else {
            let label = match field.cardinality() {
                _ if !labelled => "",
                Cardinality::Repeated => "repeated ",
                Cardinality::Required => "required ",
                Cardinality::Optional if self.proto2 || proto.proto3_optional() => "optional ",
                Cardinality::Optional => "",
            };
            if field.is_group()
                && let Kind::Message(group) = field.kind()
            {
                let head = format!("{label}group {} = {}", group.name(), field.number());
                return self.message(&group, &head, to);
            }
            format!("{label}{}", kind_name(&field.kind()))
        };
        extra.extend(default(proto));
        extra.extend(options(&field.options()));
        to.line(format!(
            "{name} {} = {}{};",
            field.name(),
            field.number(),
            in_brackets(&extra)
        ));
    }

    fn extension(&self, extension: &ExtensionDescriptor, to: &mut Text) {
        let head = format!("extend .{}", extension.containing_message().full_name());
        to.block(&head, |to| {
            let label = match extension.cardinality() {
                Cardinality::Repeated => "repeated ",
                Cardinality::Required => "required ",
                Cardinality::Optional => "optional ",
            };
            let number = extension.number();
            if extension.is_group()
                && let Kind::Message(group) = extension.kind()
            {
                let head = format!("{label}group {} = {number}", group.name());
                return self.message(&group, &head, to);
            }
            let mut extra: Vec<String> = default(extension.field_descriptor_proto())
                .into_iter()
                .collect();
            extra.extend(options(&extension.options()));
            to.line(format!(
                "{label}{} {} = {number}{};",
                kind_name(&extension.kind()),
                extension.name(),
                in_brackets(&extra)
            ));
        });
    }
}

fn enumeration(of: &EnumDescriptor, to: &mut Text) {
    to.block(&format!("enum {}", of.name()), |to| {
        for option in options(&of.options()) {
            to.line(format!("option {option};"));
        }
        let proto = of.enum_descriptor_proto();
        for value in &proto.value {
            let options = of
                .values()
                .find(|it| it.name() == value.name())
                .map(|it| options(&it.options()))
                .unwrap_or_default();
            let (name, number) = (value.name(), value.number());
            to.line(format!("{name} = {number}{};", in_brackets(&options)));
        }
        for range in of.reserved_ranges() {
            let (first, last) = (range.start(), range.end());
            to.line(if first == last {
                format!("reserved {first};")
            } else {
                format!("reserved {first} to {last};")
            });
        }
        for name in of.reserved_names() {
            to.line(format!("reserved {};", quoted(name)));
        }
    });
}

fn service(of: &ServiceDescriptor, to: &mut Text) {
    to.block(&format!("service {}", of.name()), |to| {
        for option in options(&of.options()) {
            to.line(format!("option {option};"));
        }
        for method in of.methods() {
            let stream = |is: bool| if is { "stream " } else { "" };
            let head = format!(
                "rpc {} ({}.{}) returns ({}.{})",
                method.name(),
                stream(method.is_client_streaming()),
                method.input().full_name(),
                stream(method.is_server_streaming()),
                method.output().full_name()
            );
            let options = options(&method.options());
            if options.is_empty() {
                to.line(format!("{head};"));
            } else {
                to.block(&head, |to| {
                    for option in options {
                        to.line(format!("option {option};"));
                    }
                });
            }
        }
    });
}

/// The full name of the message that a group field declares.
fn group_name(kind: &Kind, is_group: bool) -> Option<String> {
    match kind {
        Kind::Message(message) if is_group => Some(message.full_name().to_owned()),
        _ => None,
    }
}

fn kind_name(kind: &Kind) -> String {
    match kind {
        Kind::Message(message) => format!(".{}", message.full_name()),
        Kind::Enum(of) => format!(".{}", of.full_name()),
        scalar => format!("{scalar:?}"),
    }
}

/// `default = …` of a proto2 field.
fn default(proto: &FieldDescriptorProto) -> Option<String> {
    let value = proto.default_value.as_ref()?;
    let value = match proto.r#type() {
        // Bytes are kept escaped as in C.
        Type::Bytes => format!("\"{value}\""),
        Type::String => quoted(value),
        _ => value.clone(),
    };
    Some(format!("default = {value}"))
}

fn options(of: &DynamicMessage) -> Vec<String> {
    options_but(of, &[])
}

/// Options as `name = value`, those of other files in parentheses.
fn options_but(of: &DynamicMessage, left_out: &[&str]) -> Vec<String> {
    let own = of
        .fields()
        .filter(|(field, _)| !left_out.contains(&field.name()))
        .map(|(field, value)| (field.name().to_owned(), field.kind(), value));
    let others = of
        .extensions()
        .map(|(field, value)| (format!("(.{})", field.full_name()), field.kind(), value));
    let mut options = Vec::new();
    for (name, kind, value) in own.chain(others) {
        match value {
            Value::List(values) => {
                for value in values {
                    options.push(format!("{name} = {}", option_value(value, &kind)));
                }
            }
            value => options.push(format!("{name} = {}", option_value(value, &kind))),
        }
    }
    options.sort();
    options
}

fn option_value(value: &Value, kind: &Kind) -> String {
    match (value, kind) {
        (Value::Message(message), _) => format!("{{ {} }}", message.to_text_format()),
        (Value::String(text), _) => quoted(text),
        (Value::EnumNumber(number), Kind::Enum(of)) => of
            .get_value(*number)
            .map_or_else(|| number.to_string(), |value| value.name().to_owned()),
        (Value::Bytes(bytes), _) => format!("\"{}\"", bytes.escape_ascii()),
        (value, _) => value.to_string(),
    }
}

fn in_brackets(options: &[String]) -> String {
    if options.is_empty() {
        String::new()
    } else {
        format!(" [{}]", options.join(", "))
    }
}

/// A range without its end, as in descriptors, with it, as in text.
fn range_text(start: u32, end: u32) -> String {
    /// The largest number of a field.
    const MAX: u32 = (1 << 29) - 1;
    match end.saturating_sub(1) {
        last if last == start => start.to_string(),
        last if last >= MAX => format!("{start} to max"),
        last => format!("{start} to {last}"),
    }
}

/// The JSON name that a field has unless it is given another.
fn json_name(name: &str) -> String {
    let mut json = String::with_capacity(name.len());
    let mut upper = false;
    for point in name.chars() {
        if point == '_' {
            upper = true;
        } else if std::mem::take(&mut upper) {
            json.push(point.to_ascii_uppercase());
        } else {
            json.push(point);
        }
    }
    json
}

fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for point in text.chars() {
        match point {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            point if point.is_control() => {
                for byte in point.to_string().bytes() {
                    // Writing to a String does not fail.
                    let _ = write!(quoted, "\\{byte:03o}");
                }
            }
            point => quoted.push(point),
        }
    }
    quoted.push('"');
    quoted
}
