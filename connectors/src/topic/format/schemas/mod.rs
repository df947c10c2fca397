//! Avro and Protobuf: values that take a schema to be read and written.
//!
//! A value is read by its writer's schema, which the id in front of it names ([`decode`]), and written by the latest schema of
//! the stream's subject ([`encode`]); a stream that was given a schema has that one for both, and no ids. A stream's columns can
//! make a schema ([`definition`]), and a schema a stream's columns ([`columns`]).

mod avro;
mod column;
mod columns;
mod decode;
mod definition;
mod encode;
mod protobuf;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef};
use weir_base::SqlState;
use weir_schemas::wire::{put_header, put_message_path};
use weir_schemas::{Asked, Definition, Parsed, SchemaId, SchemaKind};

pub(super) use self::decode::SchemaDecoder;
pub(super) use self::encode::SchemaEncoder;
use crate::{Error, Result};

/// Finds schemas: the schema registry.
pub trait Schemas: fmt::Debug + Send + Sync {
    /// The schema of that number.
    ///
    /// # Errors
    /// When there is none.
    fn schema(&self, id: SchemaId) -> weir_schemas::Result<Arc<Parsed>>;

    /// The latest schema of a subject, with its number; none when there is no such subject.
    ///
    /// # Errors
    /// When it does not read.
    fn latest(&self, subject: &str) -> weir_schemas::Result<Option<(SchemaId, Arc<Parsed>)>>;
}

/// Where the schema of a value comes from.
#[derive(Clone)]
pub enum WriterSchema {
    /// The registry: to read a value, by the id in front of it.
    Registered {
        /// The registry.
        schemas: Arc<dyn Schemas>,
        /// Where the schema is by which values are written.
        subject: String,
        /// Of Protobuf, the message that values are written as; the first one without it.
        message: Option<String>,
    },
    /// The stream's options; values are then as they are.
    Given {
        /// The text of the schema.
        text: String,
        /// The schema.
        parsed: Arc<Parsed>,
        /// Of Protobuf, the path to the message.
        path: Vec<u32>,
    },
}

/// What a stream's columns are to be registered as, so that rows can be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSchema {
    /// The subject, which is not there yet.
    pub subject: String,
    /// The schema.
    pub definition: Definition,
}

/// The schema by which values are written.
struct Target {
    parsed: Arc<Parsed>,
    /// What is in front of each value.
    header: Vec<u8>,
    /// Of Protobuf, the path to the message.
    path: Vec<u32>,
}

/// Tells schemas apart that read values differently; histories of a topic are kept by it.
impl fmt::Debug for WriterSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registered { .. } => f.write_str("Registered"),
            Self::Given { text, path, .. } => {
                f.debug_tuple("Given").field(text).field(path).finish()
            }
        }
    }
}

impl PartialEq for WriterSchema {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Registered {
                    subject, message, ..
                },
                Self::Registered {
                    subject: other_subject,
                    message: other_message,
                    ..
                },
            ) => subject == other_subject && message == other_message,
            (
                Self::Given { text, path, .. },
                Self::Given {
                    text: other_text,
                    path: other_path,
                    ..
                },
            ) => text == other_text && path == other_path,
            _ => false,
        }
    }
}

impl Eq for WriterSchema {}

impl WriterSchema {
    /// The schema that a stream's options give, of Protobuf with the name of a message, which without one is the first.
    ///
    /// # Errors
    /// When it is not valid, is no record, or has no such message.
    pub(super) fn given(kind: SchemaKind, text: String, message: Option<&str>) -> Result<Self> {
        let named = kind.as_str().to_lowercase();
        let parsed = Definition::new(kind, text.as_str()).parse(&[]);
        let parsed = parsed
            .map_err(|error| Error::invalid(format!("option \"{named}.schema\": {error}")))?;
        let path = message_path(&parsed, message)
            .map_err(|what| Error::invalid(format!("option \"protobuf.message\": {what}")))?;
        // What is wrong with it is better said now than of each record.
        decode::reader(&parsed, &path, &|_| Some(Asked::Value)).map_err(|wrong| {
            Error::invalid(format!("option \"{named}.schema\": {}", wrong.message))
        })?;
        Ok(Self::Given {
            text,
            parsed: Arc::new(parsed),
            path,
        })
    }

    /// The schema by which values are written; none while the subject is not there.
    ///
    /// # Errors
    /// When the subject's latest schema does not read, is of another kind, or has no such message.
    fn target(&self, kind: SchemaKind) -> Result<Option<Target>> {
        let (schemas, subject, message) = match self {
            Self::Given { parsed, path, .. } => {
                return Ok(Some(Target {
                    parsed: Arc::clone(parsed),
                    header: Vec::new(),
                    path: path.clone(),
                }));
            }
            Self::Registered {
                schemas,
                subject,
                message,
            } => (schemas, subject, message.as_deref()),
        };
        let of_subject = |what: String| {
            Error::invalid(format!(
                "the latest schema of subject {subject:?} cannot be used: {what}"
            ))
            .with_sqlstate(SqlState("55000"))
        };
        let latest = schemas.latest(subject);
        let Some((id, parsed)) = latest.map_err(|error| of_subject(error.to_string()))? else {
            return Ok(None);
        };
        if parsed.kind() != kind {
            return Err(of_subject(format!(
                "it is of type {}, and the stream's format is {kind}",
                parsed.kind()
            )));
        }
        let path = message_path(&parsed, message).map_err(of_subject)?;
        let mut header = Vec::new();
        put_header(id, &mut header);
        if kind == SchemaKind::Protobuf {
            put_message_path(&path, &mut header);
        }
        Ok(Some(Target {
            parsed,
            header,
            path,
        }))
    }

    /// The columns that values by this schema have.
    ///
    /// # Errors
    /// When there is no schema, or one that is no record.
    pub(super) fn columns(&self, kind: SchemaKind) -> Result<Vec<Field>> {
        match self.target(kind)? {
            Some(target) => columns::of(&target.parsed, &target.path),
            None => Err(self.no_schema()),
        }
    }

    /// What is to be registered so that rows of these columns can be written; none when there is a schema, which then must have
    /// place for each of them. `name` is the stream's.
    ///
    /// # Errors
    /// When a column has no place in the schema, or no form in any.
    pub(crate) fn to_register(
        &self,
        kind: SchemaKind,
        name: &str,
        columns: &[(&str, &FieldRef)],
    ) -> Result<Option<NewSchema>> {
        if let Some(target) = self.target(kind)? {
            let checked = encode::check(&target, columns);
            if checked.is_err() && self.reads_another_message(&target, columns) {
                return Ok(None);
            }
            return checked.map(|()| None);
        }
        let Self::Registered { subject, .. } = self else {
            return Ok(None);
        };
        let text = match kind {
            SchemaKind::Protobuf => definition::protobuf(name, columns),
            _ => definition::avro(name, columns),
        };
        let definition = Definition::new(kind, text?);
        let parsed = definition.parse(&[]).map_err(|error| {
            Error::invalid(format!(
                "the columns make no schema of type {kind}: {error}"
            ))
            .with_hint("give columns names of letters, digits and '_'")
            .with_sqlstate(SqlState::INVALID_TABLE_DEFINITION)
        })?;
        let target = Target {
            parsed: Arc::new(parsed),
            header: Vec::new(),
            path: vec![0],
        };
        encode::check(&target, columns)?;
        Ok(Some(NewSchema {
            subject: subject.clone(),
            definition,
        }))
    }

    /// Whether the columns are those of a message of the same file that is not the one rows are written as: each value says
    /// which message it is, so that such columns can be read.
    fn reads_another_message(&self, target: &Target, columns: &[(&str, &FieldRef)]) -> bool {
        let (Self::Registered { message: None, .. }, Parsed::Protobuf(file)) =
            (self, target.parsed.as_ref())
        else {
            return false;
        };
        let paths = (0..).map(|at| vec![at]);
        let mut others = paths.take_while(|path| file.message_at(path).is_some());
        others.any(|path| {
            let other = Target {
                parsed: Arc::clone(&target.parsed),
                header: Vec::new(),
                path,
            };
            encode::check(&other, columns).is_ok()
        })
    }

    fn no_schema(&self) -> Error {
        match self {
            Self::Registered { subject, .. } => {
                Error::invalid(format!("subject {subject:?} has no schema"))
                    .with_hint("register one, or give the stream columns, which make one")
            }
            Self::Given { .. } => Error::invalid("there is no schema"),
        }
        .with_sqlstate(SqlState::UNDEFINED_OBJECT)
    }
}

/// Where a schema has the message of that name: of Protobuf without one the first, of Avro nowhere.
fn message_path(parsed: &Parsed, message: Option<&str>) -> std::result::Result<Vec<u32>, String> {
    let Some(file) = parsed.protobuf() else {
        return Ok(vec![]);
    };
    match message {
        None => Ok(vec![0]),
        Some(name) => match file.message(name) {
            Some((_, path)) => Ok(path),
            None => Err(format!("the schema has no message {name:?}")),
        },
    }
}
