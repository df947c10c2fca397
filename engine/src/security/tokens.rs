//! The values of tokens: random, shown once, kept as a hash.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use weir_catalog::Secret;
use weir_catalog::accounts::TokenHash;

use super::password::random;
use crate::error::Result;

/// What every token begins with, so that scanners of source code find one that was left there.
const PREFIX: &str = "weir_";

/// A new token's value, and the hash to keep of it.
///
/// # Errors
/// When the system gives no random bytes.
pub(crate) fn new_token() -> Result<(Secret, TokenHash)> {
    let value = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random::<32>()?));
    let hash = hash_of(&value);
    Ok((Secret::new(value), hash))
}

/// The hash of a token's value.
pub(crate) fn hash_of(value: &str) -> TokenHash {
    TokenHash(Sha256::digest(value.as_bytes()).into())
}

/// Whether a text may be the value of a token.
pub(super) fn looks_like_a_token(text: &str) -> bool {
    text.starts_with(PREFIX)
}
