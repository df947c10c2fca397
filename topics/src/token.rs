//! What lets a writer try again without writing twice.

use bytes::Bytes;

use crate::{Error, Result};

/// A name that a writer gives to a batch. Appending again under the same name answers the first append's offsets, as long
/// as the partition remembers it: see `LogSettings::tokens_max`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyToken(Bytes);

impl IdempotencyToken {
    /// The most bytes that a token has.
    pub const BYTES_MAX: usize = 64;

    /// A token of 1 to 64 bytes, of any value.
    ///
    /// # Errors
    /// [`Error::Token`] when it is empty or longer.
    pub fn new(token: impl AsRef<[u8]>) -> Result<Self> {
        let token = token.as_ref();
        if token.is_empty() || token.len() > Self::BYTES_MAX {
            return Err(Error::Token(token.len()));
        }
        Ok(Self(Bytes::copy_from_slice(token)))
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
