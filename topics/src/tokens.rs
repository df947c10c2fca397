//! The idempotency tokens that a partition remembers.

use std::collections::{HashMap, VecDeque};

use weir_base::Offset;

use crate::IdempotencyToken;

/// The last tokens, at most so many, and what was appended under each.
#[derive(Debug)]
pub(crate) struct Tokens {
    known: HashMap<IdempotencyToken, Written>,
    /// In order of offset.
    order: VecDeque<(IdempotencyToken, Offset)>,
    most: usize,
}

/// What was appended under a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) base: Offset,
    pub(crate) record_count: u32,
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

    pub(crate) fn get(&self, token: &IdempotencyToken) -> Option<Written> {
        self.known.get(token).copied()
    }

    pub(crate) fn insert(&mut self, token: IdempotencyToken, written: Written) {
        if self.most == 0 {
            return;
        }
        if self.order.len() == self.most
            && let Some((oldest, base)) = self.order.pop_front()
        {
            self.forget(&oldest, base);
        }
        self.order.push_back((token.clone(), written.base));
        self.known.insert(token, written);
    }

    /// Forgets what was appended at `from` and after it.
    pub(crate) fn truncate(&mut self, from: Offset) {
        while let Some((token, base)) = self.order.pop_back_if(|(_, base)| *base >= from) {
            self.forget(&token, base);
        }
    }

    /// Those appended before `end`, oldest first.
    pub(crate) fn before(&self, end: Offset) -> Vec<(IdempotencyToken, Written)> {
        self.order
            .iter()
            .filter(|(_, base)| *base < end)
            .filter_map(|(token, base)| {
                let written = self.get(token).filter(|written| written.base == *base)?;
                Some((token.clone(), written))
            })
            .collect()
    }

    /// A token may have come again after it was forgotten: only the append at `base` is.
    fn forget(&mut self, token: &IdempotencyToken, base: Offset) {
        if self.get(token).is_some_and(|written| written.base == base) {
            self.known.remove(token);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(number: u32) -> IdempotencyToken {
        IdempotencyToken::new(number.to_be_bytes()).unwrap()
    }

    fn at(base: i64) -> Written {
        Written {
            base: Offset(base),
            record_count: 1,
        }
    }

    #[test]
    fn the_last_ones_are_kept() {
        let mut tokens = Tokens::new(3);
        for number in 0..5 {
            tokens.insert(token(number), at(i64::from(number)));
        }
        assert_eq!(tokens.get(&token(1)), None);
        assert_eq!(tokens.get(&token(2)), Some(at(2)));
        assert_eq!(
            tokens.before(Offset(4)),
            [(token(2), at(2)), (token(3), at(3))]
        );
        tokens.truncate(Offset(3));
        assert_eq!(tokens.get(&token(3)), None);
        assert_eq!(tokens.get(&token(2)), Some(at(2)));
    }

    #[test]
    fn one_that_comes_again_after_it_was_forgotten_is_new() {
        let mut tokens = Tokens::new(2);
        for (number, base) in [(1, 0), (2, 1), (3, 2), (1, 3), (4, 4)] {
            tokens.insert(token(number), at(base));
        }
        assert_eq!(tokens.get(&token(1)), Some(at(3)));
        assert_eq!(tokens.get(&token(4)), Some(at(4)));
        assert_eq!(tokens.get(&token(3)), None);
    }
}
