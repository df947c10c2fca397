//! Positions in topics: one offset, and the vector of offsets that a query reads up to.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{PartitionId, TopicName};

/// A record's number within its partition, from 0. As an end, it is exclusive.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
pub struct Offset(pub i64);

impl Offset {
    /// Where every partition starts.
    pub const ZERO: Self = Self(0);
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// For each topic, the exclusive end offset of each partition: what a bounded query reads, and where a live one stands.
///
/// As text it is a resume token, `auctions:12;bids:7,0,9`: topics in order of name, a number a partition.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OffsetVector(BTreeMap<TopicName, Vec<Offset>>);

/// Why a text is no offset vector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("resume token {0:?} is not valid: expected the form topic:offset,offset;topic:offset")]
pub struct InvalidOffsetVector(String);

impl OffsetVector {
    /// The vector that reads nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the ends of all partitions of `topic`.
    pub fn set(&mut self, topic: TopicName, ends: Vec<Offset>) {
        self.0.insert(topic, ends);
    }

    /// The ends of `topic`'s partitions, by partition number.
    pub fn topic(&self, topic: &TopicName) -> Option<&[Offset]> {
        self.0.get(topic).map(Vec::as_slice)
    }

    /// The end of one partition.
    pub fn end(&self, topic: &TopicName, partition: PartitionId) -> Option<Offset> {
        self.topic(topic)?.get(partition.0 as usize).copied()
    }

    /// All topics with their ends, in order of name.
    pub fn iter(&self) -> impl Iterator<Item = (&TopicName, &[Offset])> {
        self.0.iter().map(|(topic, ends)| (topic, ends.as_slice()))
    }

    /// Whether no topic is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for OffsetVector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (topic, ends)) in self.iter().enumerate() {
            if at > 0 {
                f.write_str(";")?;
            }
            write!(f, "{topic}:")?;
            for (at, end) in ends.iter().enumerate() {
                if at > 0 {
                    f.write_str(",")?;
                }
                write!(f, "{end}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for OffsetVector {
    type Err = InvalidOffsetVector;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidOffsetVector(text.chars().take(200).collect());
        let mut vector = Self::new();
        for part in text.split(';').filter(|part| !part.is_empty()) {
            let (topic, ends) = part.split_once(':').ok_or_else(invalid)?;
            let topic = TopicName::new(topic).map_err(|_| invalid())?;
            let ends = ends
                .split(',')
                .map(|end| {
                    end.parse()
                        .ok()
                        .filter(|end| *end >= 0)
                        .map(Offset)
                        .ok_or_else(invalid)
                })
                .collect::<Result<Vec<_>, _>>()?;
            if vector.0.insert(topic, ends).is_some() {
                return Err(invalid());
            }
        }
        Ok(vector)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_token_reads_back_as_the_vector_it_was(
            topics in proptest::collection::btree_map("[a-z._-]{3,9}", proptest::collection::vec(0..i64::MAX, 1..5), 0..4)
        ) {
            let mut vector = OffsetVector::new();
            for (topic, ends) in topics {
                vector.set(TopicName::new(topic).unwrap(), ends.into_iter().map(Offset).collect());
            }
            prop_assert_eq!(vector.to_string().parse::<OffsetVector>(), Ok(vector));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = text.parse::<OffsetVector>();
        }
    }

    #[test]
    fn wrong_tokens_are_refused() {
        for bad in [
            "bids",
            "bids:",
            "bids:x",
            "bids:-1",
            "a b:1",
            "bids:1;bids:2",
        ] {
            assert!(bad.parse::<OffsetVector>().is_err(), "{bad:?} was accepted");
        }
    }
}
