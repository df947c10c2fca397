//! What users and roles may do.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::AccountId;
use crate::{ObjectId, ObjectKind};

/// What somebody may do with something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Privilege {
    /// Read rows; consume a topic.
    Select,
    /// Add rows; produce to a topic.
    Insert,
    /// Change rows.
    Update,
    /// Take rows away.
    Delete,
    /// Make objects in a schema; schemas, connections and topics on the server.
    Create,
    /// Read through a connection.
    Usage,
    /// Read and write files and URLs that the operator allowed.
    Files,
}

impl Privilege {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Select,
        Self::Insert,
        Self::Update,
        Self::Delete,
        Self::Create,
        Self::Usage,
        Self::Files,
    ];

    /// The word of statements.
    pub fn sql(self) -> &'static str {
        match self {
            Self::Select => "SELECT",
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Create => "CREATE",
            Self::Usage => "USAGE",
            Self::Files => "FILES",
        }
    }

    /// The privilege of this word, in any case of letters.
    pub fn from_sql(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|privilege| privilege.sql().eq_ignore_ascii_case(word))
    }
}

impl fmt::Display for Privilege {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sql())
    }
}

/// What a grant is about. `Server` is the least of all, see [`super::Accounts::grants_to`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Target {
    /// The server: what belongs to no object.
    Server,
    /// One schema itself, or a relation, a sink or a connection.
    Object(ObjectId),
    /// All objects of a kind in a schema, also those to come; without a kind all of its relations.
    AllIn {
        /// The schema.
        schema: ObjectId,
        /// Which of its objects.
        kind: Option<ObjectKind>,
    },
}

/// What one account may do on one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Who may.
    pub to: AccountId,
    /// On what.
    pub on: Target,
    /// What; never empty.
    pub privileges: BTreeSet<Privilege>,
}
