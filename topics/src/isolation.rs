//! What of a partition is decided: the transactions that are open in it, and those that were aborted (KIP-98).
//!
//! A transaction is open from its first batch in the partition to its marker. Who reads only what is committed reads up to the
//! *last stable offset*: before the first batch of every open transaction, and before the end of what is on disk. A marker
//! counts when it is on disk; until then it can be taken back.
//!
//! Besides, it knows which producers may write within a transaction here: those whose transaction the coordinator has noted as
//! having this partition. Only so can no batch come too late for its marker and stay open for ever (KIP-890). This is not kept
//! on disk; the coordinator says it again after a start.

use std::collections::{HashMap, VecDeque};

use weir_base::Offset;

use crate::batch::{BatchHeader, Marker, Outcome};

/// A transaction that was aborted, as a reader of only what is committed needs to know it: the batches of the producer from the
/// first to the last offset are not for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aborted {
    /// The producer.
    pub producer_id: i64,
    /// The offset of the transaction's first record.
    pub first_offset: Offset,
    /// The offset of the marker.
    pub last_offset: Offset,
}

/// A transaction that has written to the partition and has no marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) epoch: i16,
    /// The offset of its first record.
    pub(crate) first: Offset,
}

/// Why a batch is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Undue {
    /// The transaction is one of a later epoch.
    Epoch { current: i16 },
    /// The producer has no transaction here, or has one and wrote outside of it.
    Transaction,
}

/// The transactions of a partition.
#[derive(Debug, Default)]
pub(crate) struct Isolation {
    /// The epoch of each producer that may write within a transaction.
    admitted: HashMap<i64, i16>,
    open: HashMap<i64, Open>,
    /// Those whose marker is not on disk yet, in order of the marker.
    closing: VecDeque<Closing>,
    /// In order of the marker.
    aborted: VecDeque<Aborted>,
}

#[derive(Debug)]
struct Closing {
    producer_id: i64,
    open: Open,
    marker: Offset,
}

/// What was known of transactions at some offset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KnownTransactions {
    pub(crate) open: Vec<(i64, Open)>,
    pub(crate) aborted: Vec<Aborted>,
}

impl Isolation {
    /// Lets a producer write within its transaction.
    pub(crate) fn admit(&mut self, producer_id: i64, epoch: i16) {
        self.admitted.insert(producer_id, epoch);
    }

    /// Lets a producer no longer write within its transaction.
    pub(crate) fn dismiss(&mut self, producer_id: i64) {
        self.admitted.remove(&producer_id);
    }

    /// Whether the producer may write within a transaction.
    pub(crate) fn admits(&self, producer_id: i64, epoch: i16) -> bool {
        self.admitted.get(&producer_id) == Some(&epoch)
    }

    /// Whether a batch of an idempotent producer may be appended.
    pub(crate) fn check(
        &self,
        producer_id: i64,
        epoch: i16,
        transactional: bool,
    ) -> Result<(), Undue> {
        let admitted = self.admitted.get(&producer_id);
        match (transactional, admitted) {
            (true, Some(current)) if *current == epoch => Ok(()),
            (true, Some(current)) if *current > epoch => Err(Undue::Epoch { current: *current }),
            (true, _) => Err(Undue::Transaction),
            (false, Some(_)) => Err(Undue::Transaction),
            (false, None) if self.open.contains_key(&producer_id) => Err(Undue::Transaction),
            (false, None) => Ok(()),
        }
    }

    /// The open transaction of a producer.
    pub(crate) fn open(&self, producer_id: i64) -> Option<Open> {
        self.open.get(&producer_id).copied()
    }

    /// All open transactions, in order of producer.
    pub(crate) fn all_open(&self) -> Vec<(i64, Open)> {
        let mut open: Vec<_> = self.open.iter().map(|(id, open)| (*id, *open)).collect();
        open.sort_by_key(|(id, _)| *id);
        open
    }

    /// Notes a batch of a transaction.
    pub(crate) fn note(&mut self, producer_id: i64, epoch: i16, base: Offset) {
        let open = self.open.entry(producer_id);
        open.or_insert(Open { epoch, first: base }).epoch = epoch;
    }

    /// Notes a marker. One of a transaction that is not open here says nothing new.
    pub(crate) fn end(&mut self, marker: &Marker, at: Offset) {
        let producer_id = marker.producer_id;
        let Some(open) = self.open.remove(&producer_id) else {
            return;
        };
        self.closing.push_back(Closing {
            producer_id,
            open,
            marker: at,
        });
        if marker.outcome == Outcome::Abort {
            self.aborted.push_back(Aborted {
                producer_id,
                first_offset: open.first,
                last_offset: at,
            });
        }
    }

    /// The markers before `stable` are on disk.
    pub(crate) fn settle(&mut self, stable: Offset) {
        while self
            .closing
            .pop_front_if(|closing| closing.marker < stable)
            .is_some()
        {}
    }

    /// The first offset that is not decided, before `stable`.
    pub(crate) fn last_stable(&self, stable: Offset) -> Offset {
        let closing = self.closing.iter().map(|closing| &closing.open);
        let undecided = self.open.values().chain(closing).map(|open| open.first);
        undecided.min().map_or(stable, |first| first.min(stable))
    }

    /// The aborted transactions that have an offset in `[from, to)`, in order of the marker.
    pub(crate) fn aborted(&self, from: Offset, to: Offset) -> Vec<Aborted> {
        let first = self
            .aborted
            .partition_point(|aborted| aborted.last_offset < from);
        let later = self.aborted.iter().skip(first);
        later
            .filter(|aborted| aborted.first_offset < to)
            .copied()
            .collect()
    }

    /// Takes back what was noted at `from` and after it.
    pub(crate) fn truncate(&mut self, from: Offset) {
        self.open.retain(|_, open| open.first < from);
        while let Some(closing) = self.closing.pop_back_if(|closing| closing.marker >= from) {
            if closing.open.first < from {
                self.open.insert(closing.producer_id, closing.open);
            }
        }
        while self
            .aborted
            .pop_back_if(|aborted| aborted.last_offset >= from)
            .is_some()
        {}
    }

    /// What is before `start` was deleted, so it need not be decided any more.
    pub(crate) fn cut(&mut self, start: Offset) {
        let closing = self.closing.iter_mut().map(|closing| &mut closing.open);
        for open in self.open.values_mut().chain(closing) {
            open.first = open.first.max(start);
        }
    }

    /// Forgets what ended before `start`, from where on records can be read.
    pub(crate) fn prune(&mut self, start: Offset) {
        while self
            .aborted
            .pop_front_if(|aborted| aborted.last_offset < start)
            .is_some()
        {}
    }

    /// What was known before `end` was appended.
    pub(crate) fn before(&self, end: Offset) -> KnownTransactions {
        let mut open = self.all_open();
        let closing = self.closing.iter();
        let closing = closing.filter(|closing| closing.marker >= end);
        open.extend(closing.map(|closing| (closing.producer_id, closing.open)));
        open.retain(|(_, open)| open.first < end);
        let aborted = self.aborted.iter().copied();
        KnownTransactions {
            open,
            aborted: aborted
                .filter(|aborted| aborted.last_offset < end)
                .collect(),
        }
    }

    /// Remembers what was known.
    pub(crate) fn fill(&mut self, known: KnownTransactions) {
        self.open.extend(known.open);
        self.aborted.extend(known.aborted);
    }
}

/// What of a range only those see who read also what is not committed.
#[derive(Debug, Default)]
pub(crate) struct Hidden(HashMap<i64, Vec<Aborted>>);

impl Hidden {
    pub(crate) fn new(aborted: Vec<Aborted>) -> Self {
        let mut by_producer: HashMap<i64, Vec<Aborted>> = HashMap::new();
        for aborted in aborted {
            let producer = by_producer.entry(aborted.producer_id);
            producer.or_default().push(aborted);
        }
        Self(by_producer)
    }

    /// Whether the batch is a marker, or of a transaction that was aborted.
    pub(crate) fn hides(&self, header: &BatchHeader) -> bool {
        if header.is_control() {
            return true;
        }
        if !header.is_transactional() {
            return false;
        }
        let Some(aborted) = self.0.get(&header.producer_id) else {
            return false;
        };
        // A producer's transactions follow one another.
        let ended = aborted.partition_point(|aborted| aborted.last_offset < header.base_offset);
        let next = aborted.get(ended);
        next.is_some_and(|aborted| aborted.first_offset <= header.base_offset)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Write(i64),
        End(i64, Outcome),
        /// So many of what is not on disk are.
        Settle(usize),
        GiveUp,
    }

    fn step() -> impl Strategy<Value = Step> {
        let outcome = prop_oneof![Just(Outcome::Abort), Just(Outcome::Commit)];
        prop_oneof![
            4 => (0..4i64).prop_map(Step::Write),
            3 => (0..4i64, outcome).prop_map(|(id, outcome)| Step::End(id, outcome)),
            3 => (1..6usize).prop_map(Step::Settle),
            1 => Just(Step::GiveUp),
        ]
    }

    fn marker(producer_id: i64, outcome: Outcome) -> Marker {
        Marker {
            producer_id,
            epoch: 0,
            outcome,
            coordinator_epoch: 0,
        }
    }

    /// What was written, one record an offset: by whom, and how it ended there, if it is a marker.
    type Log = Vec<(i64, Option<Outcome>)>;

    /// Tells by the records alone, of which those before `stable` are on disk: the last stable offset, and what was aborted.
    fn told(log: &Log, stable: usize) -> (i64, Vec<Aborted>) {
        let (mut open, mut aborted) = (BTreeMap::new(), Vec::new());
        let mut undecided = stable as i64;
        for (at, (id, outcome)) in log.iter().enumerate() {
            let Some(outcome) = outcome else {
                open.entry(*id).or_insert(at as i64);
                continue;
            };
            let first: i64 = open.remove(id).unwrap();
            if at >= stable {
                undecided = undecided.min(first);
            }
            if *outcome == Outcome::Abort {
                aborted.push(Aborted {
                    producer_id: *id,
                    first_offset: Offset(first),
                    last_offset: Offset(at as i64),
                });
            }
        }
        let first = open.values().copied().min().unwrap_or(i64::MAX);
        (undecided.min(first), aborted)
    }

    fn replay(isolation: &mut Isolation, log: &Log, from: usize) {
        for (at, (id, outcome)) in log.iter().enumerate().skip(from) {
            match outcome {
                None => isolation.note(*id, 0, Offset(at as i64)),
                Some(outcome) => isolation.end(&marker(*id, *outcome), Offset(at as i64)),
            }
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_what_the_records_say(
            steps in proptest::collection::vec(step(), 0..60),
            from in 0..60i64,
            length in 0..60i64,
        ) {
            let (mut isolation, mut log, mut stable) = (Isolation::default(), Log::new(), 0);
            for step in steps {
                match step {
                    Step::Write(id) => {
                        log.push((id, None));
                        replay(&mut isolation, &log, log.len() - 1);
                    }
                    Step::End(id, _) if isolation.open(id).is_none() => {}
                    Step::End(id, outcome) => {
                        log.push((id, Some(outcome)));
                        replay(&mut isolation, &log, log.len() - 1);
                    }
                    Step::Settle(more) => {
                        stable = (stable + more).min(log.len());
                        isolation.settle(Offset(stable as i64));
                    }
                    Step::GiveUp => {
                        log.truncate(stable);
                        isolation.truncate(Offset(stable as i64));
                    }
                }
                let (last_stable, aborted) = told(&log, stable);
                prop_assert_eq!(isolation.last_stable(Offset(stable as i64)), Offset(last_stable));
                prop_assert_eq!(isolation.aborted(Offset(0), Offset(i64::MAX)), aborted);
            }

            let (from, to) = (Offset(from), Offset(from + length));
            let (_, mut aborted) = told(&log, stable);
            aborted.retain(|aborted| aborted.last_offset >= from && aborted.first_offset < to);
            prop_assert_eq!(isolation.aborted(from, to), aborted);

            // As a start does: what was known at the end of what is on disk, and what follows.
            let known = isolation.before(Offset(stable as i64));
            let mut again = Isolation::default();
            again.fill(known);
            replay(&mut again, &log, stable);
            let end = Offset(log.len() as i64);
            again.settle(end);
            isolation.settle(end);
            prop_assert_eq!(again.last_stable(end), isolation.last_stable(end));
            prop_assert_eq!(again.before(end), isolation.before(end));

            isolation.prune(to);
            let (_, mut aborted) = told(&log, stable);
            aborted.retain(|aborted| aborted.last_offset >= to);
            prop_assert_eq!(isolation.aborted(Offset(0), Offset(i64::MAX)), aborted);
        }
    }

    #[test]
    fn only_who_is_admitted_writes_within_a_transaction() {
        let mut isolation = Isolation::default();
        assert_eq!(isolation.check(7, 1, true), Err(Undue::Transaction));
        assert_eq!(isolation.check(7, 1, false), Ok(()));
        isolation.admit(7, 1);
        assert_eq!(isolation.check(7, 1, true), Ok(()));
        assert_eq!(isolation.check(7, 1, false), Err(Undue::Transaction));
        assert_eq!(
            isolation.check(7, 0, true),
            Err(Undue::Epoch { current: 1 })
        );
        assert_eq!(isolation.check(7, 2, true), Err(Undue::Transaction));
        assert_eq!(isolation.check(8, 1, true), Err(Undue::Transaction));
        isolation.note(7, 1, Offset(3));
        isolation.dismiss(7);
        assert_eq!(isolation.check(7, 1, true), Err(Undue::Transaction));
        assert_eq!(isolation.check(7, 1, false), Err(Undue::Transaction));
        isolation.end(&marker(7, Outcome::Commit), Offset(4));
        assert_eq!(isolation.check(7, 1, false), Ok(()));
    }
}
