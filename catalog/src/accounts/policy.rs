//! Policies: which rows and values of a relation somebody sees.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::AccountId;
use crate::ObjectId;

/// The identity of a policy: never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PolicyId(pub u64);

/// What those to whom it applies see of a relation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Its identity.
    pub id: PolicyId,
    /// Its name; on one relation it tells policies apart.
    pub name: String,
    /// The relation.
    pub on: ObjectId,
    /// To whom it applies: users, and roles for all who have them.
    pub to: BTreeSet<AccountId>,
    /// Which rows they see, as an expression over the relation's columns; `None` is all.
    pub rows: Option<String>,
    /// What they see in the place of columns, as expressions over the relation's columns.
    pub masks: BTreeMap<String, String>,
    /// When it was made, in milliseconds since the Unix epoch.
    pub created_at_ms: i64,
}
