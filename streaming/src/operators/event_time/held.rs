//! Rows as one piece of memory.

use crate::error::Result;
use crate::state::{pack_onto, unpack};

/// Rows by their bytes, one behind the other.
#[derive(Debug, Default)]
pub(super) struct Held {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Held {
    pub(super) fn push(&mut self, row: &[u8]) {
        self.bytes.extend_from_slice(row);
        self.ends.push(self.bytes.len());
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// What it takes in memory.
    pub(super) fn size(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * size_of::<usize>()
    }

    /// The rows from one on as one byte string.
    pub(super) fn pack(&self, from: usize) -> Vec<u8> {
        let mut packed = Vec::new();
        let rows = self.iter().skip(from);
        rows.for_each(|row| pack_onto(&mut packed, row));
        packed
    }

    /// Adds what [`Held::pack`] made of rows.
    ///
    /// # Errors
    /// When it is something else.
    pub(super) fn unpack(&mut self, packed: &[u8]) -> Result<()> {
        unpack(packed, |row| self.push(row))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let row = self.bytes.get(start..*end).unwrap_or_default();
            start = *end;
            row
        })
    }

    /// All rows in the order of their bytes, which does not depend on the order in which they came.
    pub(super) fn sorted(&self) -> Vec<&[u8]> {
        let mut rows: Vec<&[u8]> = self.iter().collect();
        rows.sort_unstable();
        rows
    }

    /// Takes the rows of another.
    pub(super) fn append(&mut self, other: &Self) {
        other.iter().for_each(|row| self.push(row));
    }
}
