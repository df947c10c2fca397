//! Where a load stands.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// The load's name, its batch size, and the next batch to send; as text `name.10000.17`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    id: String,
    pub(super) batch_rows: u32,
    pub(super) next: u64,
}

/// So that the key, with a batch's number, stays below the server's 64 bytes.
const ID_MAX: usize = 40;

impl Token {
    /// A load that begins.
    ///
    /// # Errors
    /// [`Error::Usage`] when `id` has more than 40 characters, or others than letters, digits, `_` and `-`.
    pub(super) fn new(id: &str, batch_rows: u32) -> Result<Self> {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if id.is_empty() || id.len() > ID_MAX || !id.chars().all(legal) {
            return Err(Error::usage(format!(
                "{id:?} is no name for a load: use 1 to {ID_MAX} of a-z, A-Z, 0-9, _ and -"
            )));
        }
        Ok(Self {
            id: id.to_owned(),
            batch_rows,
            next: 0,
        })
    }

    /// The idempotency key of the next batch.
    pub(super) fn key(&self) -> String {
        format!("{}-{}", self.id, self.next)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.id, self.batch_rows, self.next)
    }
}

impl FromStr for Token {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::usage(format!("{text:?} is not a token that a load printed"));
        let mut parts = text.splitn(3, '.');
        let mut part = || parts.next().ok_or_else(wrong);
        let (id, batch_rows, next) = (part()?, part()?, part()?);
        let batch_rows = batch_rows
            .parse()
            .ok()
            .filter(|rows| *rows > 0)
            .ok_or_else(wrong)?;
        let mut token = Self::new(id, batch_rows)?;
        token.next = next.parse().map_err(|_| wrong())?;
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back() {
        let mut token = Token::new("nightly-7", 500).unwrap();
        token.next = 17;
        assert_eq!(token.to_string(), "nightly-7.500.17");
        assert_eq!(token.to_string().parse::<Token>().unwrap(), token);
        assert_eq!(token.key(), "nightly-7-17");
        for bad in [
            "", "a", "a.1", "a.0.1", "a.1.x", "a b.1.1", ".1.1", "a.1.1.1",
        ] {
            assert!(bad.parse::<Token>().is_err(), "{bad:?} was accepted");
        }
    }
}
