//! A schema as it is given, and as it is understood.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Code, Error, Result, Version, avro, json, protobuf};

/// The longest text of a schema that is taken.
pub const SCHEMA_BYTES_MAX: usize = 1 << 20;

/// The most references that one schema may have.
pub const REFERENCES_MAX: usize = 100;

/// In which language a schema is written.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "UPPERCASE")]
pub enum SchemaKind {
    /// Apache Avro 1.12, as JSON.
    #[default]
    Avro,
    /// Protocol Buffers 2 or 3, as the text of a `.proto` file, or as a file descriptor in base64.
    Protobuf,
    /// JSON Schema, drafts 4 to 7, 2019-09 and 2020-12.
    Json,
}

impl SchemaKind {
    /// All languages, in the order in which the registry lists them.
    pub const ALL: [Self; 3] = [Self::Json, Self::Protobuf, Self::Avro];

    /// Its name in the REST form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Avro => "AVRO",
            Self::Protobuf => "PROTOBUF",
            Self::Json => "JSON",
        }
    }
}

impl fmt::Display for SchemaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for SchemaKind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let kind = Self::ALL
            .into_iter()
            .find(|kind| kind.as_str().eq_ignore_ascii_case(name));
        kind.ok_or_else(|| {
            Error::invalid(format!(
                "schema type {name:?} is not known; choose one of AVRO, PROTOBUF, JSON"
            ))
        })
    }
}

/// Another schema that this one uses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Reference {
    /// The name by which the schema uses it: of an Avro type, of an imported file, or the URI of a `$ref`.
    pub name: String,
    /// Where it is registered.
    pub subject: String,
    /// Which version of the subject.
    pub version: Version,
}

/// A schema as it is given: its language, its text and what it refers to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// The language.
    #[serde(rename = "type", default)]
    pub kind: SchemaKind,
    /// The text.
    pub text: String,
    /// What the text refers to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<Reference>,
}

/// What says that two definitions are one schema: SHA-256 over language, canonical text and references.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Its first 16 bytes as a UUID (version 8, RFC 9562): the `guid` of the REST form.
    pub fn guid(&self) -> String {
        let mut bytes: [u8; 16] = std::array::from_fn(|at| self.0[at]);
        bytes[6] = (bytes[6] & 0x0f) | 0x80;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        let mut text = String::with_capacity(36);
        for (at, byte) in bytes.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            text.push_str(&format!("{byte:02x}"));
        }
        text
    }
}

/// A schema as it is understood.
#[derive(Debug, Clone)]
pub enum Parsed {
    /// An Avro schema.
    Avro(avro::AvroSchema),
    /// A Protobuf file.
    Protobuf(protobuf::ProtobufSchema),
    /// A JSON Schema.
    Json(json::JsonSchema),
}

/// What a schema refers to, by the name that it uses.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The name.
    pub name: String,
    /// The schema of that name.
    pub parsed: Arc<Parsed>,
}

impl Definition {
    /// An Avro schema without references.
    pub fn avro(text: impl Into<String>) -> Self {
        Self::new(SchemaKind::Avro, text)
    }

    /// A schema without references.
    pub fn new(kind: SchemaKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
            references: Vec::new(),
        }
    }

    /// Reads and checks the text, given what it refers to.
    ///
    /// # Errors
    /// [`Code::InvalidSchema`] says what is wrong and where; [`Code::LimitExceeded`] when it is too large.
    pub fn parse(&self, references: &[Resolved]) -> Result<Parsed> {
        if self.text.len() > SCHEMA_BYTES_MAX {
            return Err(Error::new(
                Code::LimitExceeded,
                format!(
                    "the schema has {} bytes, at most {SCHEMA_BYTES_MAX} are taken",
                    self.text.len()
                ),
            ));
        }
        if let Some(other) = references
            .iter()
            .find(|reference| reference.parsed.kind() != self.kind)
        {
            return Err(Error::invalid(format!(
                "reference {:?} is a schema of type {}, not {}",
                other.name,
                other.parsed.kind(),
                self.kind
            )));
        }
        match self.kind {
            SchemaKind::Avro => {
                let earlier = references.iter().filter_map(|it| it.parsed.avro());
                avro::AvroSchema::parse(&self.text, earlier).map(Parsed::Avro)
            }
            SchemaKind::Protobuf => {
                let files = references
                    .iter()
                    .filter_map(|it| Some((it.name.as_str(), it.parsed.protobuf()?)));
                protobuf::ProtobufSchema::parse(&self.text, files).map(Parsed::Protobuf)
            }
            SchemaKind::Json => {
                let others = references
                    .iter()
                    .filter_map(|it| Some((it.name.as_str(), it.parsed.json()?)));
                json::JsonSchema::parse(&self.text, others).map(Parsed::Json)
            }
        }
    }
}

impl Parsed {
    /// The language.
    pub fn kind(&self) -> SchemaKind {
        match self {
            Self::Avro(_) => SchemaKind::Avro,
            Self::Protobuf(_) => SchemaKind::Protobuf,
            Self::Json(_) => SchemaKind::Json,
        }
    }

    /// The text in one form, whatever its spaces and the order of its attributes: two texts with the same are one schema.
    pub fn canonical(&self) -> String {
        match self {
            Self::Avro(schema) => schema.canonical(),
            Self::Protobuf(schema) => schema.canonical(),
            Self::Json(schema) => schema.canonical(),
        }
    }

    /// The text in a form in which schemas that mean the same are equal more often than in the canonical one.
    pub fn normalized(&self) -> String {
        match self {
            Self::Avro(schema) => schema.normalized(),
            Self::Protobuf(schema) => schema.normalized(),
            Self::Json(schema) => schema.normalized(),
        }
    }

    /// The text that is kept and given out of a schema that came as `given`.
    pub(crate) fn kept_text(&self, given: &str) -> String {
        match self {
            // Comments and order are worth keeping; a descriptor is of no use to a person.
            Self::Protobuf(schema) if schema.came_as_text() => given.to_owned(),
            _ => self.canonical(),
        }
    }

    /// What says that two schemas are one.
    pub fn fingerprint(&self, references: &[Reference]) -> Fingerprint {
        let mut digest = Sha256::new();
        let mut part = |text: &str| {
            digest.update((text.len() as u64).to_be_bytes());
            digest.update(text);
        };
        part(self.kind().as_str());
        part(&self.canonical());
        for reference in references {
            part(&reference.name);
            part(&reference.subject);
            part(&reference.version.to_string());
        }
        Fingerprint(digest.finalize().into())
    }

    /// The Avro schema, if it is one.
    pub fn avro(&self) -> Option<&avro::AvroSchema> {
        match self {
            Self::Avro(schema) => Some(schema),
            _ => None,
        }
    }

    /// The Protobuf file, if it is one.
    pub fn protobuf(&self) -> Option<&protobuf::ProtobufSchema> {
        match self {
            Self::Protobuf(schema) => Some(schema),
            _ => None,
        }
    }

    /// The JSON Schema, if it is one.
    pub fn json(&self) -> Option<&json::JsonSchema> {
        match self {
            Self::Json(schema) => Some(schema),
            _ => None,
        }
    }
}
