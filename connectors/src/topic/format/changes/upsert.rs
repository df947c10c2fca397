//! Rows by key, as in a compacted topic: the value is the row, and without one the row is gone.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::error::ArrowError;

use super::super::{Decode, Format};
use super::split;
use crate::topic::row::{Wanted, Wrong};

/// Decodes values by another format.
pub(crate) struct UpsertDecoder {
    rows: Box<dyn Decode>,
    deleted: Vec<bool>,
    gives_deleted: bool,
}

impl UpsertDecoder {
    pub(crate) fn new(of: &Format, columns: &[Wanted<'_>]) -> Result<Self, ArrowError> {
        let (rows, gives_deleted) = split(columns);
        Ok(Self {
            // What is not among the columns is the source's own business.
            rows: of.decoder(&rows, false)?,
            deleted: Vec::new(),
            gives_deleted,
        })
    }
}

impl Decode for UpsertDecoder {
    fn decode(&mut self, bytes: &[u8]) -> Result<(), Wrong> {
        let decoded = self.rows.decode(bytes);
        self.deleted.resize(self.rows.rows(), false);
        decoded
    }

    fn null(&mut self) {
        self.rows.null();
        self.deleted.resize(self.rows.rows(), true);
    }

    fn rows(&self) -> usize {
        self.rows.rows()
    }

    fn finish(&mut self) -> Result<Vec<ArrayRef>, ArrowError> {
        let mut columns = self.rows.finish()?;
        let deleted = std::mem::take(&mut self.deleted);
        if self.gives_deleted {
            columns.push(Arc::new(BooleanArray::from(deleted)));
        }
        Ok(columns)
    }
}
