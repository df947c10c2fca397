//! [`ResumeToken`]: where a live query goes on.

use std::fmt;
use std::str::FromStr;

use crate::OffsetVector;

/// What a client hands back to go on where a live query stood: every row before it was given, and none after it.
///
/// Of a query that treats rows one by one it is a place in topics and nothing more: `bids:7,0,9`. A query that remembers rows adds
/// what it is, and what of its sources was gone when it began: `bids:7,0,9~5c1f00d2a4b3e697`, `bids:7,0,9~5c1f00d2a4b3e697~bids:3,0,0`.
/// Who holds such a token holds an answer to which only the same query, over the same rows, can add changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResumeToken {
    /// Where it stood.
    pub position: OffsetVector,
    /// What else must be as it was, of a query that remembers rows.
    pub origin: Option<Origin>,
}

/// What changes of an answer add to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// Stands for the query: its plan, and the topics that it reads.
    pub query: u64,
    /// For each topic of which something was gone: a number a partition, which grows whenever more goes.
    pub gone: OffsetVector,
}

/// Why a text is no resume token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "resume token {0:?} is not valid: expected the form topic:offset,offset;topic:offset, as a live query gave it"
)]
pub struct InvalidResumeToken(String);

/// Between the parts of a token: no topic's name has it, and neither a URL nor a header changes it.
const BETWEEN: char = '~';

impl From<OffsetVector> for ResumeToken {
    fn from(position: OffsetVector) -> Self {
        Self {
            position,
            origin: None,
        }
    }
}

impl fmt::Display for ResumeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.position.fmt(f)?;
        if let Some(Origin { query, gone }) = &self.origin {
            write!(f, "{BETWEEN}{query:016x}")?;
            if !gone.is_empty() {
                write!(f, "{BETWEEN}{gone}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for ResumeToken {
    type Err = InvalidResumeToken;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidResumeToken(text.chars().take(200).collect());
        let vector = |part: &str| part.parse::<OffsetVector>().map_err(|_| invalid());
        let mut parts = text.split(BETWEEN);
        let position = vector(parts.next().unwrap_or_default())?;
        let query = match parts.next() {
            None => None,
            // A sign is none of its digits.
            Some(query)
                if query.len() == 16 && query.bytes().all(|digit| digit.is_ascii_hexdigit()) =>
            {
                Some(u64::from_str_radix(query, 16).map_err(|_| invalid())?)
            }
            Some(_) => return Err(invalid()),
        };
        let gone = parts.next().map(vector).transpose()?.unwrap_or_default();
        if parts.next().is_some() {
            return Err(invalid());
        }
        let origin = query.map(|query| Origin { query, gone });
        Ok(Self { position, origin })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Offset, TopicName};

    fn vectors() -> impl Strategy<Value = OffsetVector> {
        let ends = proptest::collection::vec(0..i64::MAX, 1..5);
        proptest::collection::btree_map("[a-z._-]{3,9}", ends, 0..4).prop_map(|topics| {
            let mut vector = OffsetVector::new();
            for (topic, ends) in topics {
                let ends = ends.into_iter().map(Offset).collect();
                vector.set(TopicName::new(topic).unwrap(), ends);
            }
            vector
        })
    }

    proptest! {
        #[test]
        fn a_token_reads_back_as_it_was(position in vectors(), query in any::<Option<u64>>(), gone in vectors()) {
            let origin = query.map(|query| Origin { query, gone });
            let token = ResumeToken { position, origin };
            prop_assert_eq!(token.to_string().parse::<ResumeToken>(), Ok(token));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = text.parse::<ResumeToken>();
        }
    }

    #[test]
    fn wrong_tokens_are_refused() {
        for bad in [
            "bids",
            "bids:1~",
            "bids:1~12",
            "bids:1~zzzzzzzzzzzzzzzz",
            "bids:1~+00000000000000f",
            "bids:1~5c1f00d2a4b3e697~x",
            "bids:1~5c1f00d2a4b3e697~a:1~",
        ] {
            assert!(bad.parse::<ResumeToken>().is_err(), "{bad:?} was accepted");
        }
    }
}
