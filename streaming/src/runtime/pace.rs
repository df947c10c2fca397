//! How fast a job may read.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use crate::sources::STEP_ROWS;

/// A bound on the rows that are read in a second: a step takes those of a tenth of one, and the next waits until they are due. Nothing
/// is saved up while there is nothing to read.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    rows_per_second: NonZeroU64,
    /// Before this no step begins.
    due: Instant,
}

impl Pace {
    pub(super) fn new(rows_per_second: NonZeroU64, now: Instant) -> Self {
        Self {
            rows_per_second,
            due: now,
        }
    }

    /// The most rows that a step takes.
    pub(super) fn step_rows(&self) -> i64 {
        let tenth = i64::try_from(self.rows_per_second.get() / 10).unwrap_or(i64::MAX);
        tenth.clamp(1, STEP_ROWS)
    }

    /// When the next step may begin.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Counts the rows of a step.
    pub(super) fn took(&mut self, rows: u64, began: Instant) {
        let nanos = u128::from(rows) * 1_000_000_000 / u128::from(self.rows_per_second.get());
        let time = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let from = self.due.max(began);
        self.due = from.checked_add(time).unwrap_or(from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_due_at_their_rate() {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let mut pace = Pace::new(NonZeroU64::new(1000).unwrap(), start);
        assert_eq!(pace.step_rows(), 100);
        assert_eq!(pace.due(), start);
        pace.took(100, start);
        assert_eq!(pace.due(), after(100));
        // A step that took more than it was to is waited for longer.
        pace.took(250, after(100));
        assert_eq!(pace.due(), after(350));
        // What was not read in an idle second is not made up for.
        pace.took(100, after(1350));
        assert_eq!(pace.due(), after(1450));
        pace.took(u64::MAX, after(1450));
        assert!(pace.due() > after(1450));
    }

    #[test]
    fn a_step_takes_at_least_one_row() {
        let pace = |rate| Pace::new(NonZeroU64::new(rate).unwrap(), Instant::now());
        assert_eq!(pace(1).step_rows(), 1);
        assert_eq!(pace(u64::MAX).step_rows(), STEP_ROWS);
    }
}
