//! What goes in and out, as JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use weir_engine::registry::{
    Code, Definition, Error, Found, Parsed, Reference, Registered, Registry, Result, SchemaId,
    SchemaKind, Version, VersionRef,
};

/// A failure, in the form of the Confluent registry.
#[derive(Serialize, ToSchema)]
pub(crate) struct RegistryFailure {
    /// What went wrong, by number; its first three digits are the status.
    pub(crate) error_code: u32,
    /// What went wrong.
    pub(crate) message: String,
}

/// Another schema that a schema uses.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct ReferenceDocument {
    /// The name by which it is used.
    name: String,
    /// Where it is registered.
    subject: String,
    /// The version; -1 is the last one.
    version: i64,
}

/// A schema that is given.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GivenSchema {
    /// The text of the schema.
    schema: String,
    /// AVRO, PROTOBUF or JSON; AVRO unless it is given.
    schema_type: Option<String>,
    /// Other schemas that it uses.
    references: Option<Vec<ReferenceDocument>>,
    /// The id that it has elsewhere, in mode IMPORT.
    id: Option<i64>,
    /// The version that it has elsewhere, in mode IMPORT.
    version: Option<i64>,
    #[serde(flatten)]
    #[schema(ignore)]
    others: BTreeMap<String, Value>,
}

/// A schema as it is given out.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SchemaDocument {
    /// The text of the schema.
    schema: String,
    /// AVRO, PROTOBUF or JSON.
    schema_type: &'static str,
    /// Other schemas that it uses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    references: Vec<ReferenceDocument>,
    /// Its identity in every registry.
    guid: String,
    /// The highest id that is given, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_id: Option<u32>,
}

/// A version of a subject.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct VersionDocument {
    /// The subject.
    subject: String,
    /// The version.
    version: u32,
    /// The id of its schema, the same in every subject.
    id: u32,
    /// The schema's identity in every registry.
    guid: String,
    /// AVRO, PROTOBUF or JSON.
    schema_type: &'static str,
    /// Other schemas that the schema uses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    references: Vec<ReferenceDocument>,
    /// The text of the schema.
    schema: String,
}

/// What a schema was registered as.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IdDocument {
    /// The id.
    pub(super) id: u32,
    /// The version of the subject.
    pub(super) version: u32,
    /// The schema's identity in every registry.
    pub(super) guid: String,
}

/// A version of a subject, without its schema.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PlaceDocument {
    /// The subject.
    pub(super) subject: String,
    /// The version.
    pub(super) version: u32,
}

/// Whether a schema may follow.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CompatibilityDocument {
    /// Whether it may.
    pub(super) is_compatible: bool,
    /// Why not, when asked for by `verbose`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) messages: Option<Vec<String>>,
}

/// How the schemas of a subject may follow one another.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LevelDocument {
    /// NONE, BACKWARD, FORWARD, FULL, or one of these and `_TRANSITIVE`.
    pub(super) compatibility_level: &'static str,
}

/// How the schemas of a subject shall follow one another.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct GivenLevel {
    /// NONE, BACKWARD, FORWARD, FULL, or one of these and `_TRANSITIVE`.
    pub(super) compatibility: String,
    #[serde(flatten)]
    #[schema(ignore)]
    pub(super) others: BTreeMap<String, Value>,
}

/// What may be done with a subject.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ModeDocument {
    /// READWRITE, READONLY or IMPORT.
    pub(super) mode: String,
}

impl GivenSchema {
    /// The schema, with references to the last version resolved.
    pub(super) fn definition(&self, registry: &Registry) -> Result<Definition> {
        refuse_others(&self.others)?;
        let kind = match self.schema_type.as_deref() {
            None | Some("") => SchemaKind::default(),
            Some(name) => name.parse()?,
        };
        let given = self.references.iter().flatten();
        Ok(Definition {
            kind,
            text: self.schema.clone(),
            references: given
                .map(|reference| reference.resolved(registry))
                .collect::<Result<_>>()?,
        })
    }

    /// The id and the version that are asked for. Clients write 0 or less for none.
    pub(super) fn wanted(&self) -> Result<(Option<SchemaId>, Option<Version>)> {
        let positive = |number: Option<i64>| match number {
            Some(number) if number > 0 => u32::try_from(number)
                .ok()
                .and_then(SchemaId::new)
                .map(Some)
                .ok_or_else(|| {
                    Error::new(Code::InvalidVersion, format!("{number} is out of range"))
                }),
            _ => Ok(None),
        };
        let version = positive(self.version)?.map(|number| Version(number.get()));
        Ok((positive(self.id)?, version))
    }
}

impl ReferenceDocument {
    fn resolved(&self, registry: &Registry) -> Result<Reference> {
        let wanted: VersionRef = self.version.to_string().parse()?;
        let version = match wanted {
            VersionRef::Number(version) => version,
            VersionRef::Latest => {
                let latest = registry.version(&self.subject, wanted, Default::default());
                latest
                    .map_err(|error| Error::new(Code::InvalidSchema, error.to_string()))?
                    .version
            }
        };
        Ok(Reference {
            name: self.name.clone(),
            subject: self.subject.clone(),
            version,
        })
    }
}

impl From<&Reference> for ReferenceDocument {
    fn from(reference: &Reference) -> Self {
        Self {
            name: reference.name.clone(),
            subject: reference.subject.clone(),
            version: i64::from(reference.version.0),
        }
    }
}

impl SchemaDocument {
    pub(super) fn new(found: &Found, format: Format, max_id: Option<u32>) -> Self {
        Self {
            schema: format.text(&found.schema, &found.parsed),
            schema_type: found.schema.kind.as_str(),
            references: found.schema.references.iter().map(Into::into).collect(),
            guid: found.guid.clone(),
            max_id,
        }
    }
}

impl VersionDocument {
    pub(super) fn new(version: &Registered, registry: &Registry, format: Format) -> Result<Self> {
        let parsed = registry.parsed(version.id)?;
        Ok(Self {
            subject: version.subject.clone(),
            version: version.version.0,
            id: version.id.get(),
            guid: version.guid.clone(),
            schema_type: version.schema.kind.as_str(),
            references: version.schema.references.iter().map(Into::into).collect(),
            schema: format.text(&version.schema, &parsed),
        })
    }
}

/// In which form the text of a schema is given out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Format {
    /// As it was registered.
    #[default]
    Kept,
    /// A Protobuf file as a descriptor in base64.
    Serialized,
}

impl Format {
    pub(super) fn text(self, schema: &Definition, parsed: &Parsed) -> String {
        match (self, parsed.protobuf()) {
            (Self::Serialized, Some(file)) => file.serialized(),
            _ => schema.text.clone(),
        }
    }
}

impl std::str::FromStr for Format {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "" => Ok(Self::Kept),
            "serialized" => Ok(Self::Serialized),
            other => Err(format!(
                "format {other:?} is not known; there is \"serialized\""
            )),
        }
    }
}

/// Refuses what is set and not built: tags, rules, metadata.
pub(super) fn refuse_others(others: &BTreeMap<String, Value>) -> Result<()> {
    let says_something = |value: &Value| match value {
        Value::Null => false,
        Value::Bool(set) => *set,
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        _ => true,
    };
    match others.iter().find(|(_, value)| says_something(value)) {
        Some((name, _)) => Err(Error::new(
            Code::Unsupported,
            format!("{name:?} is not supported by this registry; leave it out"),
        )),
        None => Ok(()),
    }
}
