//! Users and roles.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::FIRST_ID;
use crate::secret::REDACTED;

/// The identity of a user or role: never given twice, and not that of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AccountId(pub u64);

/// Whether somebody can sign in as it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccountKind {
    /// Somebody who signs in.
    User,
    /// A set of rights that users have.
    Role,
}

/// A user or a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its identity.
    pub id: AccountId,
    /// Its name. Users and roles share one namespace.
    pub name: String,
    /// Which of the two it is.
    pub kind: AccountKind,
    /// What a password is compared with; a user without one signs in by token alone.
    pub verifiers: Option<Verifiers>,
    /// Whether it may sign in now: `LOGIN` and `NOLOGIN`.
    pub may_sign_in: bool,
    /// When its password is no longer taken, in milliseconds since the Unix epoch.
    pub valid_until_ms: Option<i64>,
    /// The roles that it has, directly.
    pub roles: BTreeSet<AccountId>,
    /// When it was made, in milliseconds since the Unix epoch.
    pub created_at_ms: i64,
}

impl Account {
    pub(super) fn role(id: AccountId, name: &str, created_at_ms: i64) -> Self {
        Self {
            id,
            name: name.to_owned(),
            kind: AccountKind::Role,
            verifiers: None,
            may_sign_in: false,
            valid_until_ms: None,
            roles: BTreeSet::new(),
            created_at_ms,
        }
    }

    /// Whether it is there in every catalog, and cannot be changed.
    pub fn is_built_in(&self) -> bool {
        self.id.0 < FIRST_ID
    }

    /// Kind and name, as messages give them: `user "ada"`.
    pub fn describe(&self) -> String {
        let kind = match self.kind {
            AccountKind::User => "user",
            AccountKind::Role => "role",
        };
        format!("{kind} \"{}\"", self.name)
    }
}

/// What a password is compared with, once for each of SCRAM's hashes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verifiers {
    /// Of SCRAM-SHA-256.
    pub sha256: ScramKeys,
    /// Of SCRAM-SHA-512.
    pub sha512: ScramKeys,
}

/// What a server keeps of a password for SCRAM (RFC 5802, section 3). It does not give the password away, but who has it can
/// try passwords: `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScramKeys {
    /// The salt.
    pub salt: Vec<u8>,
    /// How often the password was hashed.
    pub iterations: u32,
    /// The hash of the client's key.
    pub stored_key: Vec<u8>,
    /// The server's key.
    pub server_key: Vec<u8>,
}

impl fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}
