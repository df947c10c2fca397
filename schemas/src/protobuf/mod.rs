//! Protobuf files (proto2 and proto3): their descriptors, their text, and which can read which.

mod data;
mod evolution;
mod known;
mod print;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use prost::Message as _;
use prost_reflect::{FileDescriptor, MessageDescriptor};
use prost_types::FileDescriptorProto;
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

pub use data::ProtobufReader;
pub use evolution::cannot_read;

use crate::{Error, Result};

/// What the file is called that is read: errors name it, and no import does.
const FILE: &str = "schema.proto";

/// Brackets within brackets, past which a text is not read: its parser is recursive.
const NESTING_MAX: usize = 100;

/// A Protobuf file with all that it imports.
#[derive(Debug, Clone)]
pub struct ProtobufSchema {
    file: FileDescriptor,
    /// The files that it was given for its imports, by name, so that who refers to it can import them as well.
    imports: BTreeMap<String, Source>,
    own: Source,
}

/// A file as it was given.
#[derive(Debug, Clone)]
enum Source {
    Text(String),
    /// A `FileDescriptorProto`. It is kept as bytes, because what protox makes of it loses options of other files.
    Descriptor(Vec<u8>),
}

impl ProtobufSchema {
    /// Reads the text of a `.proto` file, or a `FileDescriptorProto` in base64; `references` are the files that it may
    /// import, by the names that it uses, besides `google/protobuf/*.proto` and `confluent/*.proto`.
    ///
    /// # Errors
    /// [`crate::Code::InvalidSchema`] says what is wrong and where.
    pub fn parse<'a>(
        text: &str,
        references: impl IntoIterator<Item = (&'a str, &'a Self)>,
    ) -> Result<Self> {
        let mut imports = BTreeMap::new();
        for (name, schema) in references {
            imports.extend(
                schema
                    .imports
                    .iter()
                    .map(|(name, file)| (name.clone(), file.clone())),
            );
            imports.insert(name.to_owned(), schema.own.clone());
        }
        let own = Source::new(text)?;
        let mut resolver = ChainFileResolver::new();
        let mut files = imports.clone();
        files.insert(FILE.to_owned(), own.clone());
        resolver.add(Files(files));
        resolver.add(known::Confluent);
        resolver.add(GoogleFileResolver::new());
        let mut compiler = Compiler::with_file_resolver(resolver);
        compiler.open_file(FILE).map_err(|error| invalid(&error))?;
        let file = compiler.descriptor_pool().get_file_by_name(FILE);
        let file = file.ok_or_else(|| Error::invalid("the file is empty"))?;
        Ok(Self { file, imports, own })
    }

    /// The file's descriptor.
    pub fn file(&self) -> &FileDescriptor {
        &self.file
    }

    /// The message at a path of places: the place among the file's messages, then among that one's, and so on.
    pub fn message_at(&self, path: &[u32]) -> Option<MessageDescriptor> {
        let (first, rest) = path.split_first()?;
        let place = |at: &u32| usize::try_from(*at).ok();
        let first = self.file.messages().nth(place(first)?)?;
        rest.iter().try_fold(first, |message, at| {
            message.child_messages().nth(place(at)?)
        })
    }

    /// The message of that name, in full or without the file's package, and its path.
    pub fn message(&self, name: &str) -> Option<(MessageDescriptor, Vec<u32>)> {
        let package = self.file.package_name();
        let full = if package.is_empty() {
            name.to_owned()
        } else {
            format!("{package}.{name}")
        };
        let all = self.file.parent_pool();
        let message = [name, full.as_str()]
            .into_iter()
            .filter_map(|name| all.get_message_by_name(name))
            .find(|message| message.parent_file() == self.file)?;
        // A descriptor's path alternates the numbers of the fields in which messages are kept with their places.
        let places = message.path().iter().skip(1).step_by(2);
        let path = places
            .map(|at| u32::try_from(*at).ok())
            .collect::<Option<_>>()?;
        Some((message, path))
    }

    /// The file descriptor in base64: the form `serialized`, in which the Python client gives and takes schemas.
    pub fn serialized(&self) -> String {
        BASE64.encode(self.file.encode_to_vec())
    }

    /// The file as text, without comments.
    pub fn canonical(&self) -> String {
        print::file(&self.file, false)
    }

    /// The file as text, without comments, with imports and fields in order.
    pub fn normalized(&self) -> String {
        print::file(&self.file, true)
    }

    pub(crate) fn came_as_text(&self) -> bool {
        matches!(self.own, Source::Text(_))
    }
}

/// The files that a schema may import.
struct Files(BTreeMap<String, Source>);

impl FileResolver for Files {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let source = self.0.get(name);
        source.map_or_else(
            || Err(protox::Error::file_not_found(name)),
            |it| it.open(name),
        )
    }
}

impl Source {
    /// A descriptor in base64 is no `.proto` file, since each of those has a `;` or a brace.
    fn new(text: &str) -> Result<Self> {
        match BASE64.decode(text.trim()) {
            Ok(bytes) if !bytes.is_empty() => {
                let read = FileDescriptorProto::decode(bytes.as_slice());
                read.map_err(|error| {
                    Error::invalid(format!("the file descriptor does not read: {error}"))
                })?;
                Ok(Self::Descriptor(bytes))
            }
            _ => check_nesting(text).map(|()| Self::Text(text.to_owned())),
        }
    }

    fn open(&self, name: &str) -> Result<File, protox::Error> {
        match self {
            Self::Text(text) => File::from_source(name, text),
            Self::Descriptor(bytes) => {
                // Of two values of a field the last one counts, so another name is written behind.
                let mut bytes = bytes.clone();
                prost::encoding::string::encode(1, &name.to_owned(), &mut bytes);
                File::decode_file_descriptor_proto(bytes.as_slice()).map_err(protox::Error::new)
            }
        }
    }
}

fn check_nesting(text: &str) -> Result<()> {
    let mut depth = 0_usize;
    let mut rest = text.bytes().peekable();
    let mut line = 1;
    while let Some(byte) = rest.next() {
        match byte {
            b'\n' => line += 1,
            b'{' | b'[' | b'<' | b'(' => depth += 1,
            b'}' | b']' | b'>' | b')' => depth = depth.saturating_sub(1),
            b'/' if rest.peek() == Some(&b'/') => {
                while rest.peek().is_some_and(|byte| *byte != b'\n') {
                    rest.next();
                }
            }
            b'/' if rest.peek() == Some(&b'*') => {
                let mut last = 0;
                for byte in rest.by_ref() {
                    line += usize::from(byte == b'\n');
                    if last == b'*' && byte == b'/' {
                        break;
                    }
                    last = byte;
                }
            }
            b'"' | b'\'' => {
                while let Some(next) = rest.next() {
                    match next {
                        b'\\' => drop(rest.next()),
                        b'\n' => {
                            line += 1;
                            break;
                        }
                        next if next == byte => break,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        if depth > NESTING_MAX {
            return Err(Error::invalid(format!(
                "line {line}: brackets are nested deeper than {NESTING_MAX}"
            )));
        }
    }
    Ok(())
}

/// Its debug form begins with file, line and column.
fn invalid(error: &protox::Error) -> Error {
    let said = format!("{error:?}");
    Error::invalid(match said.strip_prefix("schema.proto:") {
        Some(rest) => match rest
            .split_once(": ")
            .map(|(at, what)| (at.split_once(':'), what))
        {
            Some((Some((line, column)), what)) => {
                format!(
                    "line {line}, column {}: {what}",
                    column.trim_end_matches(':')
                )
            }
            _ => rest.trim_start().to_owned(),
        },
        None => said,
    })
}
