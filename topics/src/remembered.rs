//! What a partition remembers of its writers: tokens and idempotent producers, so that a second attempt writes nothing; and their
//! transactions.
//!
//! All of it is in the batches themselves. A segment's index also says what was known at its end, so that a start need not read
//! all segments.

use bytes::Bytes;
use weir_base::Offset;

use crate::batch::Marker;
use crate::isolation::{Isolation, KnownTransactions};
use crate::producers::{Producer, Producers, Sequence};
use crate::tokens::{Tokens, Written};
use crate::{BatchView, Result};

#[derive(Debug)]
pub(crate) struct Remembered {
    pub(crate) tokens: Tokens,
    pub(crate) producers: Producers,
    pub(crate) isolation: Isolation,
}

/// What was remembered at some offset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) tokens: Vec<(Bytes, Written)>,
    pub(crate) producers: Vec<(i64, Producer)>,
    pub(crate) transactions: KnownTransactions,
}

impl Remembered {
    /// Nothing yet, of at most so many.
    pub(crate) fn new(tokens_max: usize, producers_max: usize) -> Self {
        Self {
            tokens: Tokens::new(tokens_max),
            producers: Producers::new(producers_max),
            isolation: Isolation::default(),
        }
    }

    /// Remembers the writer of a batch that was read.
    pub(crate) fn note(&mut self, batch: &BatchView) -> Result<()> {
        if let Some(marker) = batch.marker()? {
            self.note_marker(&marker, batch.base_offset());
            return Ok(());
        }
        // By offsets: some of its records may have been compacted away.
        let record_count = batch
            .header()
            .last_offset_delta
            .unsigned_abs()
            .saturating_add(1);
        if let Some(token) = batch.token()? {
            let written = Written {
                base: batch.base_offset(),
                record_count,
                fingerprint: token.fingerprint(),
            };
            self.tokens.insert(token.name().clone(), written);
        }
        if let Some(sequence) = Sequence::of(batch.header()) {
            let transactional = batch.header().is_transactional();
            self.note_produced(sequence, transactional, batch.base_offset(), record_count);
        }
        Ok(())
    }

    /// Remembers a batch of an idempotent producer at `base`.
    pub(crate) fn note_produced(
        &mut self,
        sequence: Sequence,
        transactional: bool,
        base: Offset,
        record_count: u32,
    ) {
        self.producers.note(sequence, base, record_count);
        if transactional {
            let Sequence {
                producer_id, epoch, ..
            } = sequence;
            self.isolation.note(producer_id, epoch, base);
        }
    }

    /// Remembers a marker at `at`.
    pub(crate) fn note_marker(&mut self, marker: &Marker, at: Offset) {
        self.producers
            .begin_epoch(marker.producer_id, marker.epoch, at);
        self.isolation.end(marker, at);
    }

    /// Forgets what was appended at `from` and after it.
    pub(crate) fn truncate(&mut self, from: Offset) {
        self.tokens.truncate(from);
        self.producers.truncate(from);
        self.isolation.truncate(from);
    }

    /// What was known before `end` was appended.
    pub(crate) fn before(&self, end: Offset) -> Known {
        Known {
            tokens: self.tokens.before(end),
            producers: self.producers.before(end),
            transactions: self.isolation.before(end),
        }
    }

    /// Remembers what was known.
    pub(crate) fn fill(&mut self, known: Known) {
        for (name, written) in known.tokens {
            self.tokens.insert(name, written);
        }
        for (id, producer) in known.producers {
            self.producers.insert(id, producer);
        }
        self.isolation.fill(known.transactions);
    }
}
