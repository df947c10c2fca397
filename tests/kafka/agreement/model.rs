//! What was acknowledged, as plain lists: where each row is, and who may see it.

use std::collections::{BTreeMap, BTreeSet};

/// A partition's number and an offset in it.
pub(super) type Place = (i64, i64);

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Decided,
    Aborted,
    /// Of the open transaction of that number.
    Open(usize),
}

/// One partition.
#[derive(Debug, Default)]
struct Lane {
    /// What each row says, by its offset.
    rows: BTreeMap<i64, (i64, Fate)>,
    /// SQL sees nothing before it.
    floor: i64,
    /// Kafka's log began there when it was last seen.
    log_start: i64,
}

/// The stream, as it must be.
#[derive(Debug)]
pub(super) struct Model {
    lanes: Vec<Lane>,
    /// Acknowledged by those who do not say where they put it.
    unplaced: BTreeSet<i64>,
    /// Sent, and no answer came: each is there once or not at all.
    unsure: BTreeSet<i64>,
    /// Whether retention may take rows at any moment.
    pub(super) retains: bool,
    /// Whether the log may lack what SQL has.
    pub(super) log_is_cut: bool,
    next: i64,
}

impl Model {
    pub(super) fn new(partitions: usize) -> Self {
        Self {
            lanes: (0..partitions).map(|_| Lane::default()).collect(),
            unplaced: BTreeSet::new(),
            unsure: BTreeSet::new(),
            retains: false,
            log_is_cut: false,
            next: 0,
        }
    }

    /// Numbers that no row has yet.
    pub(super) fn take(&mut self, count: i64) -> Vec<i64> {
        let from = self.next;
        self.next += count;
        (from..self.next).collect()
    }

    /// A batch was acknowledged at `base`, of an open transaction or of none.
    pub(super) fn placed(&mut self, partition: i64, base: i64, rows: &[i64], open: Option<usize>) {
        let fate = open.map_or(Fate::Decided, Fate::Open);
        let lane = self.lane(partition);
        if let Some((last, _)) = lane.rows.last_key_value() {
            assert!(*last < base, "offset {base} of {partition} is given twice");
        }
        for (offset, n) in (base..).zip(rows) {
            lane.rows.insert(offset, (*n, fate));
        }
    }

    /// Rows were acknowledged, somewhere.
    pub(super) fn acknowledged(&mut self, rows: &[i64]) {
        self.unplaced.extend(rows);
    }

    /// Rows were sent, and no answer came.
    pub(super) fn unanswered(&mut self, rows: &[i64]) {
        self.unsure.extend(rows);
    }

    /// A transaction has ended.
    pub(super) fn ended(&mut self, transaction: usize, committed: bool) {
        let fate = match committed {
            true => Fate::Decided,
            false => Fate::Aborted,
        };
        let rows = self
            .lanes
            .iter_mut()
            .flat_map(|lane| lane.rows.values_mut());
        for (_, now) in rows {
            if *now == Fate::Open(transaction) {
                *now = fate;
            }
        }
    }

    /// Everything before `offset` was deleted.
    pub(super) fn deleted(&mut self, partition: i64, before: i64) {
        let lane = self.lane(partition);
        lane.floor = lane.floor.max(before);
    }

    /// Rows that somebody saw: those whose place was not known have it now.
    pub(super) fn learn(&mut self, seen: impl IntoIterator<Item = (Place, i64)>) {
        for ((partition, offset), n) in seen {
            if let Some((known, _)) = self.lane(partition).rows.get(&offset) {
                assert_eq!(*known, n, "at {partition}:{offset}");
                continue;
            }
            let was_sent = self.unplaced.remove(&n) || self.unsure.remove(&n);
            assert!(
                was_sent,
                "{n} at {partition}:{offset} is there without reason, or twice"
            );
            let rows = &mut self.lane(partition).rows;
            rows.insert(offset, (n, Fate::Decided));
        }
    }

    /// All that there is has been learned: what was acknowledged is among it, what is not there will never be, and all is
    /// in the order in which it was sent.
    pub(super) fn settle(&mut self) {
        assert_eq!(
            self.unplaced,
            BTreeSet::new(),
            "acknowledged, and not there"
        );
        self.unsure.clear();
        for (partition, lane) in self.lanes.iter().enumerate() {
            let numbers = lane.rows.values().map(|(n, _)| *n);
            assert!(numbers.is_sorted(), "partition {partition} is out of order");
        }
    }

    /// Up to where a partition is decided; none when all of it is.
    pub(super) fn open_from(&self, partition: i64) -> Option<i64> {
        let rows = self.lanes[at(partition)].rows.iter();
        let mut open = rows.filter(|(_, (_, fate))| matches!(fate, Fate::Open(_)));
        open.next().map(|(offset, _)| *offset)
    }

    /// What a reader of what is committed sees of a partition from `from` on.
    pub(super) fn committed(&self, partition: i64, from: i64) -> Vec<(Place, i64)> {
        let end = self.open_from(partition).unwrap_or(i64::MAX);
        let rows = self.lanes[at(partition)].rows.range(from..end.max(from));
        rows.filter(|(_, (_, fate))| *fate == Fate::Decided)
            .map(|(offset, (n, _))| ((partition, *offset), *n))
            .collect()
    }

    /// What a query sees, unless retention took some of the oldest.
    pub(super) fn visible(&self) -> Vec<(Place, i64)> {
        let lanes = (0i64..).zip(&self.lanes);
        lanes
            .flat_map(|(partition, lane)| self.committed(partition, lane.floor))
            .collect()
    }

    /// Checks what a query gave, ordered by place.
    pub(super) fn check_query(&mut self, rows: &[(Place, i64)]) {
        if !self.retains {
            assert_eq!(rows, self.visible());
            return;
        }
        for partition in 0..self.partitions() {
            let got: Vec<_> = rows
                .iter()
                .filter(|((of, _), _)| *of == partition)
                .copied()
                .collect();
            let floor = self.lanes[at(partition)].floor;
            let wanted = self.committed(partition, floor);
            let gone = wanted.len().checked_sub(got.len());
            let gone = gone.expect("no more than there may be");
            assert_eq!(got, wanted[gone..], "the newest rows of {partition}");
            if let (true, Some(((_, first), _))) = (gone > 0, got.first()) {
                self.lane(partition).floor = *first;
            }
        }
    }

    /// Checks what a consumer read of a partition whose log began at `log_start`.
    pub(super) fn check_consumer(&mut self, partition: i64, log_start: i64, rows: &[(Place, i64)]) {
        assert_eq!(rows, self.committed(partition, log_start));
        let (retains, cut) = (self.retains, self.log_is_cut);
        let lane = self.lane(partition);
        assert!(lane.log_start <= log_start, "the log's start went back");
        assert!(
            retains || cut || log_start == lane.floor,
            "the log of {partition} begins at {log_start}, not at {}",
            lane.floor
        );
        lane.log_start = log_start;
    }

    pub(super) fn partitions(&self) -> i64 {
        self.lanes.len() as i64
    }

    /// The end of what is known of a partition.
    pub(super) fn end(&self, partition: i64) -> i64 {
        let last = self.lanes[at(partition)].rows.last_key_value();
        last.map_or(0, |(offset, _)| offset + 1)
    }

    fn lane(&mut self, partition: i64) -> &mut Lane {
        &mut self.lanes[at(partition)]
    }
}

fn at(partition: i64) -> usize {
    usize::try_from(partition).expect("a partition's number is not negative")
}
