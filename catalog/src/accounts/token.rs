//! API tokens.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{AccountId, Privilege};

/// The identity of a token: never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TokenId(pub u64);

/// SHA-256 of a token's value. The value is random and long, so that its hash needs neither salt nor many rounds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TokenHash(pub [u8; 32]);

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(crate::secret::REDACTED)
    }
}

/// By which somebody signs in without a password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Its identity.
    pub id: TokenId,
    /// Its name; that of one user's tokens tells them apart.
    pub name: String,
    /// Who signs in by it.
    pub user: AccountId,
    /// The hash of its value.
    pub hash: TokenHash,
    /// All that it may be used for, of what the user may do; `None` is everything.
    pub scope: Option<BTreeSet<Privilege>>,
    /// When it is no longer taken, in milliseconds since the Unix epoch.
    pub expires_at_ms: Option<i64>,
    /// When it was made, in milliseconds since the Unix epoch.
    pub created_at_ms: i64,
}

impl Token {
    /// Whether it is no longer taken.
    pub fn has_expired(&self, now_ms: i64) -> bool {
        self.expires_at_ms.is_some_and(|at| at <= now_ms)
    }
}
