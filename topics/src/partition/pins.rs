//! What a partition keeps: from its start on, and further back for those who are still reading there.

use std::collections::BTreeMap;

use weir_base::Offset;

use super::Partition;
use crate::bounds::Bounds;

/// Holds a partition's records from [`Pin::start`] on until it is dropped: neither retention nor compaction nor
/// [`Partition::delete_before`] takes them from who reads under it. Each clone holds for itself.
#[derive(Debug)]
#[must_use = "records are kept only as long as the pin is"]
pub struct Pin {
    partition: Partition,
    start: Offset,
}

/// From where on a partition is kept, and by whom.
#[derive(Debug)]
pub(super) struct Kept {
    /// What is durable.
    pub(super) bounds: Bounds,
    /// How many pins start at each offset.
    pins: BTreeMap<Offset, usize>,
}

impl Partition {
    /// Keeps everything from the [`Partition::start_offset`] of now on, until the pin is dropped.
    pub fn pin(&self) -> Pin {
        let mut kept = self.0.kept.lock();
        let start = kept.bounds.start;
        kept.hold(start);
        Pin {
            partition: self.clone(),
            start,
        }
    }

    /// The first offset that can be read: the start, or what a pin holds before it.
    pub(super) fn kept_from(&self) -> Offset {
        self.0.kept.lock().from()
    }
}

impl Pin {
    /// The partition whose records are kept.
    pub fn partition(&self) -> &Partition {
        &self.partition
    }

    /// The first offset that is kept.
    pub fn start(&self) -> Offset {
        self.start
    }

    /// Lets go of what is before `offset`; of nothing when that is not after the pin's start.
    pub fn advance(&mut self, offset: Offset) {
        if offset > self.start {
            let mut kept = self.partition.0.kept.lock();
            // In this order, so that at no moment nothing is held.
            kept.hold(offset);
            kept.release(self.start);
            self.start = offset;
        }
    }
}

impl Clone for Pin {
    fn clone(&self) -> Self {
        self.partition.0.kept.lock().hold(self.start);
        Self {
            partition: self.partition.clone(),
            start: self.start,
        }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.partition.0.kept.lock().release(self.start);
    }
}

impl Kept {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            pins: BTreeMap::new(),
        }
    }

    /// The first offset that is kept.
    pub(super) fn from(&self) -> Offset {
        let pinned = self.pins.keys().next();
        pinned.map_or(self.bounds.start, |pinned| self.bounds.start.min(*pinned))
    }

    /// Before which nobody holds anything; `None` when nobody does at all.
    pub(super) fn free(&self) -> Option<Offset> {
        self.pins.keys().next().copied()
    }

    fn hold(&mut self, start: Offset) {
        *self.pins.entry(start).or_default() += 1;
    }

    fn release(&mut self, start: Offset) {
        if let Some(count) = self.pins.get_mut(&start) {
            *count -= 1;
            if *count == 0 {
                self.pins.remove(&start);
            }
        }
    }
}
