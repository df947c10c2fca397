//! The idempotent producers that a partition remembers (KIP-98): the last batches of each, so that one that comes again is
//! not written again, and one that is missing is noticed.

use std::collections::{HashMap, VecDeque};

use weir_base::Offset;

use crate::batch::BatchHeader;
use crate::tokens::Written;

/// How many batches of a producer are remembered: as many as a client has on their way at once.
pub(crate) const BATCHES_MAX: usize = 5;

/// Where a batch stands among those of its producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sequence {
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
    /// The first record's number.
    pub(crate) first: i32,
    /// The last record's number.
    pub(crate) last: i32,
}

/// Why a batch is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rejected {
    /// A producer with the same id came after this one.
    Epoch { current: i16 },
    /// Batches before it are missing.
    Sequence { expected: i32 },
}

/// The producers of a partition, those that wrote last.
#[derive(Debug)]
pub(crate) struct Producers {
    by_id: HashMap<i64, Producer>,
    most: usize,
}

/// What is remembered of one producer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Producer {
    pub(crate) epoch: i16,
    /// The marker by which its epoch began, as long as it wrote nothing in it (KIP-890).
    pub(crate) begun: Option<Offset>,
    /// Its last batches in order, at most [`BATCHES_MAX`]; none only if its epoch has just begun.
    pub(crate) batches: VecDeque<Sent>,
}

/// A batch that was appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) first: i32,
    pub(crate) base: Offset,
    pub(crate) record_count: u32,
}

impl Sequence {
    /// That of a batch with this header; none if its producer is not idempotent.
    pub(crate) fn of(header: &BatchHeader) -> Option<Self> {
        (header.producer_id >= 0 && !header.is_control()).then(|| Self {
            producer_id: header.producer_id,
            epoch: header.producer_epoch,
            first: header.base_sequence,
            last: advanced(header.base_sequence, header.last_offset_delta),
        })
    }
}

/// The number that is `by` after `sequence`: after the largest comes 0.
fn advanced(sequence: i32, by: i32) -> i32 {
    let sum = i64::from(sequence) + i64::from(by);
    (sum % (i64::from(i32::MAX) + 1)) as i32
}

impl Sent {
    fn last(self) -> i32 {
        advanced(self.first, self.record_count.cast_signed() - 1)
    }

    fn written(self) -> Written {
        Written {
            base: self.base,
            record_count: self.record_count,
            fingerprint: Default::default(),
        }
    }
}

impl Producer {
    /// Forgets what is not before `end`; whether anything is left.
    fn retain_before(&mut self, end: Offset) -> bool {
        self.begun = self.begun.filter(|begun| *begun < end);
        self.batches.retain(|sent| sent.base < end);
        self.begun.is_some() || !self.batches.is_empty()
    }

    /// Where it was last heard of.
    fn last_at(&self) -> Option<Offset> {
        self.batches.back().map(|sent| sent.base).or(self.begun)
    }

    /// The number of its last record.
    pub(crate) fn last_sequence(&self) -> Option<i32> {
        self.batches.back().map(|sent| sent.last())
    }
}

impl Producers {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            by_id: HashMap::new(),
            most: most.max(1),
        }
    }

    /// What was appended as this batch before, if it comes again; none if it is the next one.
    pub(crate) fn check(&self, sequence: Sequence) -> Result<Option<Written>, Rejected> {
        let Some(producer) = self.by_id.get(&sequence.producer_id) else {
            return Ok(None);
        };
        if sequence.epoch < producer.epoch {
            return Err(Rejected::Epoch {
                current: producer.epoch,
            });
        }
        if sequence.epoch > producer.epoch {
            return match sequence.first {
                0 => Ok(None),
                _ => Err(Rejected::Sequence { expected: 0 }),
            };
        }
        let same = |sent: &&Sent| (sent.first, sent.last()) == (sequence.first, sequence.last);
        if let Some(sent) = producer.batches.iter().find(same) {
            return Ok(Some(sent.written()));
        }
        match producer.batches.back() {
            Some(last) if sequence.first != advanced(last.last(), 1) => Err(Rejected::Sequence {
                expected: advanced(last.last(), 1),
            }),
            None if sequence.first != 0 => Err(Rejected::Sequence { expected: 0 }),
            _ => Ok(None),
        }
    }

    /// Remembers a batch that was appended at `base`.
    pub(crate) fn note(&mut self, sequence: Sequence, base: Offset, record_count: u32) {
        let sent = Sent {
            first: sequence.first,
            base,
            record_count,
        };
        if let Some(producer) = self.by_id.get_mut(&sequence.producer_id) {
            if producer.epoch != sequence.epoch {
                producer.epoch = sequence.epoch;
                producer.batches.clear();
            }
            producer.begun = None;
            producer.batches.push_back(sent);
            if producer.batches.len() > BATCHES_MAX {
                producer.batches.pop_front();
            }
            return;
        }
        let producer = Producer {
            epoch: sequence.epoch,
            begun: None,
            batches: [sent].into(),
        };
        self.insert(sequence.producer_id, producer);
    }

    /// Fences off what a known producer sends under earlier epochs from the marker at `at` on. One that is not known has written
    /// nothing that its next batch would have to follow.
    pub(crate) fn begin_epoch(&mut self, producer_id: i64, epoch: i16, at: Offset) {
        if let Some(producer) = self.by_id.get_mut(&producer_id)
            && producer.epoch < epoch
        {
            *producer = Producer {
                epoch,
                begun: Some(at),
                batches: VecDeque::new(),
            };
        }
    }

    /// The producers that are known, in order of id.
    pub(crate) fn known(&self) -> Vec<(i64, &Producer)> {
        let mut known: Vec<_> = self.by_id.iter().map(|(id, known)| (*id, known)).collect();
        known.sort_by_key(|(id, _)| *id);
        known
    }

    /// Forgets what was appended at `from` and after it.
    pub(crate) fn truncate(&mut self, from: Offset) {
        self.by_id
            .retain(|_, producer| producer.retain_before(from));
    }

    /// What was known before `end` was appended.
    pub(crate) fn before(&self, end: Offset) -> Vec<(i64, Producer)> {
        let known = self.by_id.iter().filter_map(|(id, producer)| {
            let mut producer = producer.clone();
            producer.retain_before(end).then_some((*id, producer))
        });
        let mut known: Vec<_> = known.collect();
        known.sort_by_key(|(id, _)| *id);
        known
    }

    /// Remembers a producer that is not known; the one that has been silent longest makes room.
    pub(crate) fn insert(&mut self, id: i64, producer: Producer) {
        if self.by_id.len() >= self.most {
            let silent = self.by_id.iter().min_by_key(|(_, other)| other.last_at());
            if let Some(silent) = silent.map(|(id, _)| *id) {
                self.by_id.remove(&silent);
            }
        }
        self.by_id.insert(id, producer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(epoch: i16, first: i32, count: i32) -> Sequence {
        Sequence {
            producer_id: 7,
            epoch,
            first,
            last: advanced(first, count - 1),
        }
    }

    #[test]
    fn one_that_comes_again_is_known_and_a_gap_is_refused() {
        let mut producers = Producers::new(10);
        for (at, first) in [0, 10, 20, 30, 40, 50].into_iter().enumerate() {
            let sequence = batch(1, first, 10);
            assert_eq!(producers.check(sequence), Ok(None));
            producers.note(sequence, Offset(100 + 10 * at as i64), 10);
        }
        let known = producers.check(batch(1, 20, 10)).unwrap().unwrap();
        assert_eq!((known.base, known.record_count), (Offset(120), 10));
        let gap = Err(Rejected::Sequence { expected: 60 });
        assert_eq!(producers.check(batch(1, 0, 10)), gap, "forgotten");
        assert_eq!(producers.check(batch(1, 70, 10)), gap);
        assert_eq!(producers.check(batch(1, 50, 9)), gap, "another batch");
        assert_eq!(
            producers.check(batch(0, 60, 1)),
            Err(Rejected::Epoch { current: 1 })
        );
        assert_eq!(
            producers.check(batch(2, 60, 1)),
            Err(Rejected::Sequence { expected: 0 })
        );
        assert_eq!(producers.check(batch(2, 0, 1)), Ok(None));
        producers.truncate(Offset(130));
        assert_eq!(producers.check(batch(1, 30, 10)), Ok(None));
        assert_eq!(producers.before(Offset(120)).len(), 1);
        assert!(producers.before(Offset(110)).is_empty());
    }

    #[test]
    fn numbers_go_on_at_zero_after_the_largest() {
        let mut producers = Producers::new(10);
        let sequence = batch(0, i32::MAX - 1, 4);
        assert_eq!(sequence.last, 1);
        producers.note(sequence, Offset(0), 4);
        assert_eq!(producers.check(batch(0, 2, 1)), Ok(None));
        assert!(producers.check(sequence).unwrap().is_some());
    }

    #[test]
    fn the_one_that_was_silent_longest_makes_room() {
        let mut producers = Producers::new(2);
        for (at, producer_id) in [1, 2, 1, 3].into_iter().enumerate() {
            let first = i32::from(at == 2);
            let sequence = Sequence {
                producer_id,
                epoch: 0,
                first,
                last: first,
            };
            producers.note(sequence, Offset(at as i64), 1);
        }
        let ids: Vec<i64> = producers.before(Offset(9)).iter().map(|p| p.0).collect();
        assert_eq!(ids, [1, 3]);
    }
}
