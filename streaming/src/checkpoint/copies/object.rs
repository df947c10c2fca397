//! The objects that copies consist of: their names, and what is in them.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// The bytes of a SHA-256 (FIPS 180-4).
const DIGEST_BYTES: usize = 32;
/// Stands for the length of a value that goes.
const GONE: u32 = u32::MAX;

/// An object's name: what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    /// The number of the checkpoint.
    pub(super) number: u64,
    /// Which history it is of.
    pub(super) history: u64,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A part of a full copy.
    Part(u32),
    /// Makes a full copy of its parts: a [`Whole`].
    Whole,
    /// What the checkpoint wrote.
    Delta,
}

/// What the last object of a full copy says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Whole {
    pub(super) parts: u32,
    /// When its checkpoint was made.
    pub(super) made_ms: i64,
    /// The bytes of all parts.
    pub(super) bytes: u64,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}-{:016x}-", self.number, self.history)?;
        match self.kind {
            Kind::Part(part) => write!(f, "full-{part:06}"),
            Kind::Whole => f.write_str("full"),
            Kind::Delta => f.write_str("delta"),
        }
    }
}

impl Name {
    /// Reads a name; none for that of something else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '-');
        let number = parts.next()?.parse().ok()?;
        let history = u64::from_str_radix(parts.next()?, 16).ok()?;
        let kind = match parts.next()? {
            "full" => Kind::Whole,
            "delta" => Kind::Delta,
            part => Kind::Part(part.strip_prefix("full-")?.parse().ok()?),
        };
        Some(Self {
            number,
            history,
            kind,
        })
    }
}

/// A full copy and the deltas behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) history: u64,
    /// The number of the full copy.
    pub(super) full: u64,
    /// The number of the last delta, or of the full copy.
    pub(super) tip: u64,
}

impl Chain {
    /// The newest of a history among some objects.
    pub(super) fn newest(names: &[Name], history: u64) -> Option<Self> {
        let own = || names.iter().filter(|name| name.history == history);
        let wholes = own().filter(|name| name.kind == Kind::Whole);
        let full = wholes.map(|name| name.number).max()?;
        let mut tip = full;
        let is_there =
            |number: u64| own().any(|name| name.kind == Kind::Delta && name.number == number);
        while let Some(next) = tip.checked_add(1)
            && is_there(next)
        {
            tip = next;
        }
        Some(Self { history, full, tip })
    }

    /// The histories that have a full copy.
    pub(super) fn histories(names: &[Name]) -> Vec<Self> {
        let wholes = names.iter().filter(|name| name.kind == Kind::Whole);
        let mut histories: Vec<u64> = wholes.map(|name| name.history).collect();
        histories.sort_unstable();
        histories.dedup();
        let chains = histories.into_iter();
        chains
            .filter_map(|history| Self::newest(names, history))
            .collect()
    }
}

/// Values by their keys as bytes, which end with their SHA-256.
#[derive(Debug, Default)]
pub(super) struct Packed(Vec<u8>);

impl Packed {
    pub(super) fn push(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.0.extend((key.len() as u32).to_le_bytes());
        self.0.extend_from_slice(key);
        match value {
            Some(value) => {
                self.0.extend((value.len() as u32).to_le_bytes());
                self.0.extend_from_slice(value);
            }
            None => self.0.extend(GONE.to_le_bytes()),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn finish(mut self) -> Bytes {
        let digest = Sha256::digest(&self.0);
        self.0.extend(digest);
        self.0.into()
    }

    /// Gives the keys and values of what [`Packed::finish`] made to `see`.
    ///
    /// # Errors
    /// When it is something else; `see` has been given nothing then.
    pub(super) fn each<'a>(
        packed: &'a [u8],
        mut see: impl FnMut(&'a [u8], Option<&'a [u8]>),
    ) -> Result<()> {
        let damaged = || Error::Internal("a copy of a checkpoint is damaged");
        let end = packed.len().checked_sub(DIGEST_BYTES);
        let (mut rest, digest) = end
            .and_then(|end| packed.split_at_checked(end))
            .ok_or_else(damaged)?;
        if Sha256::digest(rest).as_slice() != digest {
            return Err(damaged());
        }
        while !rest.is_empty() {
            let key;
            (key, rest) = piece(rest).ok_or_else(damaged)?;
            let key = key.ok_or_else(damaged)?;
            let value;
            (value, rest) = piece(rest).ok_or_else(damaged)?;
            see(key, value);
        }
        Ok(())
    }
}

/// A length and so many bytes, or none where it says that; and what is behind.
fn piece(bytes: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    match u32::from_le_bytes(*length) {
        GONE => Some((None, rest)),
        length => {
            let (piece, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            Some((Some(piece), rest))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(number: u64, kind: Kind) -> Name {
        Name {
            number,
            history: 7,
            kind,
        }
    }

    #[test]
    fn the_newest_chain_ends_where_a_number_is_missing() {
        let names = [
            name(2, Kind::Whole),
            name(3, Kind::Delta),
            // One that was cut off is none.
            name(9, Kind::Part(0)),
            name(5, Kind::Whole),
            name(6, Kind::Delta),
            name(7, Kind::Delta),
            name(9, Kind::Delta),
            Name {
                history: 8,
                ..name(8, Kind::Delta)
            },
        ];
        let chain = Chain {
            history: 7,
            full: 5,
            tip: 7,
        };
        assert_eq!(Chain::newest(&names, 7), Some(chain));
        assert_eq!(Chain::newest(&names, 8), None);
        assert_eq!(Chain::histories(&names), [chain]);
    }

    proptest! {
        #[test]
        fn names_read_back(number: u64, history: u64, part: u32) {
            for kind in [Kind::Part(part), Kind::Whole, Kind::Delta] {
                let name = Name { number, history, kind };
                prop_assert_eq!(Name::parse(&name.to_string()), Some(name));
            }
        }

        #[test]
        fn packed_values_read_back(
            values in prop::collection::vec((any::<Vec<u8>>(), any::<Option<Vec<u8>>>()), 0..20),
            flip: prop::sample::Index,
        ) {
            let mut packed = Packed::default();
            for (key, value) in &values {
                packed.push(key, value.as_deref());
            }
            let mut bytes = packed.finish().to_vec();
            let mut read = Vec::new();
            Packed::each(&bytes, |key, value| read.push((key.to_vec(), value.map(<[u8]>::to_vec)))).unwrap();
            prop_assert_eq!(read, values);
            let at = flip.index(bytes.len());
            bytes[at] ^= 1;
            let is_damaged = Packed::each(&bytes, |_, _| {}).is_err();
            prop_assert!(is_damaged);
        }

        #[test]
        fn nothing_else_panics(bytes: Vec<u8>, text in ".*") {
            let _ = Packed::each(&bytes, |_, _| {});
            let _ = Name::parse(&text);
        }
    }
}
