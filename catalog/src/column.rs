//! Columns and checks of a relation.

use std::collections::HashMap;
use std::fmt;

use arrow_schema::{DataType, Field};
use serde::{Deserialize, Serialize};

/// The key in a field's metadata under which Arrow names an extension type.
pub const EXTENSION_NAME_KEY: &str = "ARROW:extension:name";

/// A column of a stream, table, external table or view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name in SQL.
    pub name: String,
    /// The field's name in stored rows. A rename of the column does not change it.
    pub source: String,
    /// Its Arrow type.
    pub data_type: DataType,
    /// What its text means, where the Arrow type does not say it.
    pub logical: Option<Logical>,
    /// Its type as the user wrote it.
    pub sql_type: String,
    /// Whether it may be null.
    pub nullable: bool,
    /// The SQL expression of its default.
    pub default: Option<String>,
    /// The literal that rows written before the column existed show; null without one.
    #[serde(default)]
    pub absent: Option<String>,
    /// What `COMMENT ON COLUMN` said.
    pub comment: Option<String>,
}

impl Column {
    /// A nullable column that is stored under its own name, without a default.
    pub fn new(name: impl Into<String>, data_type: DataType, sql_type: impl Into<String>) -> Self {
        let name = name.into();
        Self {
            source: name.clone(),
            name,
            data_type,
            logical: None,
            sql_type: sql_type.into(),
            nullable: true,
            default: None,
            absent: None,
            comment: None,
        }
    }

    /// The Arrow field: name, type, nullability, and the extension type's name in the metadata.
    pub fn field(&self) -> Field {
        let field = Field::new(&self.name, self.data_type.clone(), self.nullable);
        match self.logical {
            Some(logical) => field.with_metadata(HashMap::from([(
                EXTENSION_NAME_KEY.to_owned(),
                logical.extension_name().to_owned(),
            )])),
            None => field,
        }
    }
}

/// A type that Arrow carries as text, and marks by an extension name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Logical {
    /// A UUID, in its canonical text form.
    Uuid,
    /// A JSON document.
    Json,
}

impl Logical {
    /// The value of [`EXTENSION_NAME_KEY`] for this type.
    pub fn extension_name(self) -> &'static str {
        match self {
            Self::Uuid => "weir.uuid",
            Self::Json => "arrow.json",
        }
    }

    /// The logical type of a field that has one.
    pub fn of_field(field: &Field) -> Option<Self> {
        match field.metadata().get(EXTENSION_NAME_KEY)?.as_str() {
            "weir.uuid" => Some(Self::Uuid),
            "arrow.json" => Some(Self::Json),
            _ => None,
        }
    }
}

impl fmt::Display for Logical {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uuid => "UUID",
            Self::Json => "JSON",
        })
    }
}

/// A condition that every row satisfies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// The constraint's name, unique within its relation.
    pub name: String,
    /// The condition, as the user wrote it.
    pub sql: String,
}
