//! What a registry is made of, one piece each, as it is stored.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Code, Definition, Error, Level, Result};

/// The number of a schema, the same in every subject, from 1 to 2^31 − 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct SchemaId(NonZeroU32);

impl SchemaId {
    /// The first that is given.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// The id of that number; none for 0 and for what no signed integer of 32 bits holds.
    pub fn new(number: u32) -> Option<Self> {
        let number = NonZeroU32::new(number)?;
        (number.get() <= i32::MAX as u32).then_some(Self(number))
    }

    /// Its number.
    pub fn get(self) -> u32 {
        self.0.get()
    }
}

impl TryFrom<u32> for SchemaId {
    type Error = String;

    fn try_from(number: u32) -> Result<Self, String> {
        Self::new(number).ok_or_else(|| format!("{number} is no schema id"))
    }
}

impl From<SchemaId> for u32 {
    fn from(id: SchemaId) -> Self {
        id.get()
    }
}

impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

/// The number of a schema within its subject, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version(pub u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which version of a subject is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionRef {
    /// The last one.
    Latest,
    /// That one.
    Number(Version),
}

impl FromStr for VersionRef {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "latest" | "-1" => Ok(Self::Latest),
            text => match text.parse::<u32>() {
                Ok(number) if number > 0 && number <= i32::MAX as u32 => {
                    Ok(Self::Number(Version(number)))
                }
                _ => Err(Error::new(
                    Code::InvalidVersion,
                    format!(
                        "The specified version '{text}' is not a valid version id. Allowed values are between [1, 2^31-1] and the string \"latest\""
                    ),
                )),
            },
        }
    }
}

/// What may be done with a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Mode {
    /// Everything.
    #[default]
    ReadWrite,
    /// Nothing is registered or deleted.
    ReadOnly,
    /// Schemas are registered with the ids and versions that they have elsewhere, unchecked.
    Import,
}

impl Mode {
    /// All modes.
    pub const ALL: [Self; 3] = [Self::ReadWrite, Self::ReadOnly, Self::Import];

    /// Its name in the REST form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadWrite => "READWRITE",
            Self::ReadOnly => "READONLY",
            Self::Import => "IMPORT",
        }
    }
}

impl FromStr for Mode {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let mode = Self::ALL
            .into_iter()
            .find(|mode| mode.as_str().eq_ignore_ascii_case(name));
        mode.ok_or_else(|| {
            Error::new(
                Code::InvalidMode,
                format!(
                    "mode {name:?} is not known; choose one of {}",
                    Self::ALL.map(Self::as_str).join(", ")
                ),
            )
        })
    }
}

/// What tells one record from another: a later one of the same key takes the place of the earlier.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Key {
    /// A schema.
    Schema(SchemaId),
    /// A version of a subject.
    Version(String, Version),
    /// The settings of a subject, or with none those of all.
    Settings(Option<String>),
    /// The number that the next new schema gets.
    NextId,
}

/// A piece of a registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// A schema has this number.
    Schema {
        /// The number.
        id: SchemaId,
        /// The schema.
        schema: Definition,
    },
    /// A subject has this version.
    Version {
        /// The subject.
        subject: String,
        /// The version.
        version: Version,
        /// The number of its schema.
        id: SchemaId,
        /// Whether it was deleted, and is kept until it is deleted for good.
        #[serde(default)]
        deleted: bool,
    },
    /// What was set for a subject, or for all.
    Settings {
        /// The subject; none for all.
        subject: Option<String>,
        /// How schemas may follow one another.
        #[serde(default)]
        level: Option<Level>,
        /// What may be done.
        #[serde(default)]
        mode: Option<Mode>,
    },
    /// The number that the next new schema gets. No number is given twice, even when its schema is gone.
    NextId(SchemaId),
}

impl Record {
    /// What it is stored under.
    pub fn key(&self) -> Key {
        match self {
            Self::Schema { id, .. } => Key::Schema(*id),
            Self::Version {
                subject, version, ..
            } => Key::Version(subject.clone(), *version),
            Self::Settings { subject, .. } => Key::Settings(subject.clone()),
            Self::NextId(_) => Key::NextId,
        }
    }
}

/// What becomes of one record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It is there, in place of an earlier one of its key.
    Put(Record),
    /// It is gone.
    Remove(Key),
}
