//! What lets a writer try again without writing twice.

use bytes::Bytes;

use crate::{Error, Result};

/// A name that a writer gives to a batch. Appending again under the same name answers the first append's offsets, as long
/// as the partition remembers it: see `LogSettings::tokens_max`.
///
/// It also says what the name stands for, by a [`Fingerprint`]: the same name for something else is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyToken {
    name: Bytes,
    fingerprint: Fingerprint,
}

/// A short digest of what is written under a token: its length and CRC-32C. It tells a second attempt from a name that was
/// used again by mistake, not from one that somebody forged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// The size of [`Self::to_bytes`].
    pub(crate) const BYTES: usize = 8;

    /// That of `content`.
    pub fn of(content: &[u8]) -> Self {
        Self(u64::from(content.len() as u32) << 32 | u64::from(crc32c::crc32c(content)))
    }

    pub(crate) fn to_bytes(self) -> [u8; Self::BYTES] {
        self.0.to_be_bytes()
    }

    pub(crate) fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(u64::from_be_bytes(bytes))
    }
}

impl IdempotencyToken {
    /// The most bytes that a token's name has.
    pub const BYTES_MAX: usize = 64;

    /// A token whose name has 1 to 64 bytes, of any value.
    ///
    /// # Errors
    /// [`Error::Token`] when it is empty or longer.
    pub fn new(name: impl AsRef<[u8]>) -> Result<Self> {
        let name = name.as_ref();
        if name.is_empty() || name.len() > Self::BYTES_MAX {
            return Err(Error::Token(name.len()));
        }
        Ok(Self {
            name: Bytes::copy_from_slice(name),
            fingerprint: Fingerprint::default(),
        })
    }

    /// The same name, for what has this fingerprint.
    #[must_use]
    pub fn standing_for(self, fingerprint: Fingerprint) -> Self {
        Self {
            fingerprint,
            ..self
        }
    }

    /// Its name.
    pub fn name(&self) -> &Bytes {
        &self.name
    }

    /// What it stands for.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// As it is stored with a batch: the fingerprint, then the name.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        [&self.fingerprint.to_bytes()[..], &self.name].concat()
    }

    /// Reads [`Self::to_bytes`] back; `None` when it is no token.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (fingerprint, name) = bytes.split_first_chunk()?;
        let token = Self::new(name).ok()?;
        Some(token.standing_for(Fingerprint::from_bytes(*fingerprint)))
    }
}
