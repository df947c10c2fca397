//! Which schemas may follow one another, and what is wrong when they may not.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Code, Error, Parsed, avro, json, protobuf};

/// What a new schema of a subject must be able to do with the data of the earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Level {
    /// Anything goes.
    None,
    /// The new schema reads what the last one wrote.
    #[default]
    Backward,
    /// The new schema reads what any earlier one wrote.
    BackwardTransitive,
    /// The last schema reads what the new one writes.
    Forward,
    /// Every earlier schema reads what the new one writes.
    ForwardTransitive,
    /// Both ways with the last one.
    Full,
    /// Both ways with every earlier one.
    FullTransitive,
}

impl Level {
    /// All levels.
    pub const ALL: [Self; 7] = [
        Self::None,
        Self::Backward,
        Self::BackwardTransitive,
        Self::Forward,
        Self::ForwardTransitive,
        Self::Full,
        Self::FullTransitive,
    ];

    /// Its name in the REST form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Backward => "BACKWARD",
            Self::BackwardTransitive => "BACKWARD_TRANSITIVE",
            Self::Forward => "FORWARD",
            Self::ForwardTransitive => "FORWARD_TRANSITIVE",
            Self::Full => "FULL",
            Self::FullTransitive => "FULL_TRANSITIVE",
        }
    }

    /// Whether every earlier schema counts, not only the last.
    pub fn is_transitive(self) -> bool {
        matches!(
            self,
            Self::BackwardTransitive | Self::ForwardTransitive | Self::FullTransitive
        )
    }

    fn is_backward(self) -> bool {
        matches!(
            self,
            Self::Backward | Self::BackwardTransitive | Self::Full | Self::FullTransitive
        )
    }

    fn is_forward(self) -> bool {
        matches!(
            self,
            Self::Forward | Self::ForwardTransitive | Self::Full | Self::FullTransitive
        )
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Level {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let level = Self::ALL
            .into_iter()
            .find(|level| level.as_str().eq_ignore_ascii_case(name));
        level.ok_or_else(|| {
            Error::new(
                Code::InvalidLevel,
                format!(
                    "compatibility level {name:?} is not known; choose one of {}",
                    Self::ALL.map(Self::as_str).join(", ")
                ),
            )
        })
    }
}

/// One reason why a reader's schema cannot read what a writer's schema wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incompatibility {
    /// The rule that is broken, by its name in the Confluent registry.
    pub rule: &'static str,
    /// Where: a JSON pointer into the schema, or for Protobuf a path of names.
    pub path: String,
    /// What is wrong there, in a sentence.
    pub message: String,
}

impl Incompatibility {
    pub(crate) fn new(
        rule: &'static str,
        path: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            rule,
            path: path.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Incompatibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{{errorType:'{}', description:'{}', path:'{}'}}",
            self.rule, self.message, self.path
        )
    }
}

/// Why `reader` cannot read what `writer` wrote; empty when it can.
pub fn cannot_read(reader: &Parsed, writer: &Parsed) -> Vec<Incompatibility> {
    match (reader, writer) {
        (Parsed::Avro(reader), Parsed::Avro(writer)) => avro::cannot_read(reader, writer),
        (Parsed::Protobuf(reader), Parsed::Protobuf(writer)) => {
            protobuf::cannot_read(reader, writer)
        }
        (Parsed::Json(reader), Parsed::Json(writer)) => json::cannot_read(reader, writer),
        _ => vec![Incompatibility::new(
            "SCHEMA_TYPE_CHANGED",
            "/",
            format!(
                "one schema is {} and the other {}",
                writer.kind(),
                reader.kind()
            ),
        )],
    }
}

/// Why `new` may not follow `old` at this level, each reason with the direction in which it does not read.
pub fn violations(level: Level, new: &Parsed, old: &Parsed) -> Vec<String> {
    let mut said = Vec::new();
    if level.is_backward() {
        for reason in cannot_read(new, old) {
            said.push(format!(
                "the new schema cannot read data of the old one: {reason}"
            ));
        }
    }
    if level.is_forward() {
        for reason in cannot_read(old, new) {
            said.push(format!(
                "the old schema cannot read data of the new one: {reason}"
            ));
        }
    }
    said
}
