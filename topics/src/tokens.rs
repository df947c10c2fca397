//! The idempotency tokens that a partition remembers.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use weir_base::Offset;

use crate::IdempotencyToken;
use crate::token::Fingerprint;

/// The last tokens, at most so many, and what was appended under each.
#[derive(Debug)]
pub(crate) struct Tokens {
    /// By the token's name.
    known: HashMap<Bytes, Written>,
    /// In order of offset.
    order: VecDeque<(Bytes, Offset)>,
    most: usize,
}

/// What was appended under a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) base: Offset,
    pub(crate) record_count: u32,
    pub(crate) fingerprint: Fingerprint,
}

impl Written {
    pub(crate) fn end(self) -> Offset {
        Offset(self.base.0 + i64::from(self.record_count))
    }
}

impl Tokens {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            known: HashMap::new(),
            order: VecDeque::new(),
            most,
        }
    }

    /// What was appended under a token's name.
    pub(crate) fn get(&self, token: &IdempotencyToken) -> Option<Written> {
        self.known.get(token.name()).copied()
    }

    pub(crate) fn insert(&mut self, name: Bytes, written: Written) {
        if self.most == 0 {
            return;
        }
        if self.order.len() == self.most
            && let Some((oldest, base)) = self.order.pop_front()
        {
            self.forget(&oldest, base);
        }
        self.order.push_back((name.clone(), written.base));
        self.known.insert(name, written);
    }

    /// Forgets what was appended at `from` and after it.
    pub(crate) fn truncate(&mut self, from: Offset) {
        while let Some((name, base)) = self.order.pop_back_if(|(_, base)| *base >= from) {
            self.forget(&name, base);
        }
    }

    /// Those appended before `end`, oldest first.
    pub(crate) fn before(&self, end: Offset) -> Vec<(Bytes, Written)> {
        self.order
            .iter()
            .filter(|(_, base)| *base < end)
            .filter_map(|(name, base)| {
                let written = self
                    .known
                    .get(name)
                    .filter(|written| written.base == *base)?;
                Some((name.clone(), *written))
            })
            .collect()
    }

    /// A token may have come again after it was forgotten: only the append at `base` is.
    fn forget(&mut self, name: &Bytes, base: Offset) {
        if self
            .known
            .get(name)
            .is_some_and(|written| written.base == base)
        {
            self.known.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(number: u32) -> IdempotencyToken {
        IdempotencyToken::new(number.to_be_bytes()).unwrap()
    }

    fn name(number: u32) -> Bytes {
        token(number).name().clone()
    }

    fn at(base: i64) -> Written {
        Written {
            base: Offset(base),
            record_count: 1,
            fingerprint: Fingerprint::of(&base.to_be_bytes()),
        }
    }

    #[test]
    fn the_last_ones_are_kept() {
        let mut tokens = Tokens::new(3);
        for number in 0..5 {
            tokens.insert(name(number), at(i64::from(number)));
        }
        assert_eq!(tokens.get(&token(1)), None);
        assert_eq!(tokens.get(&token(2)), Some(at(2)));
        assert_eq!(
            tokens.before(Offset(4)),
            [(name(2), at(2)), (name(3), at(3))]
        );
        tokens.truncate(Offset(3));
        assert_eq!(tokens.get(&token(3)), None);
        assert_eq!(tokens.get(&token(2)), Some(at(2)));
    }

    #[test]
    fn one_that_comes_again_after_it_was_forgotten_is_new() {
        let mut tokens = Tokens::new(2);
        for (number, base) in [(1, 0), (2, 1), (3, 2), (1, 3), (4, 4)] {
            tokens.insert(name(number), at(base));
        }
        assert_eq!(tokens.get(&token(1)), Some(at(3)));
        assert_eq!(tokens.get(&token(4)), Some(at(4)));
        assert_eq!(tokens.get(&token(3)), None);
    }
}
