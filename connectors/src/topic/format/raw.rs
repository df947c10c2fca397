//! Bytes as they are, in one column.

use std::sync::Arc;

use arrow::array::builder::BinaryBuilder;
use arrow::array::{Array, ArrayRef, AsArray, BinaryArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use super::{Decode, Encode, Given};
use crate::topic::row::{Care, Wanted, Wrong};

/// Its column has whatever type of bytes the stream gives it.
pub(super) struct RawDecoder {
    /// The column's type, if it is kept.
    kept: Option<DataType>,
    values: BinaryBuilder,
    rows: usize,
}

impl RawDecoder {
    pub(super) fn new(columns: &[Wanted<'_>]) -> Self {
        let kept = columns
            .iter()
            .find(|column| column.care == Care::Kept)
            .map(|column| column.field.data_type().clone());
        Self {
            kept,
            values: BinaryBuilder::new(),
            rows: 0,
        }
    }
}

impl Decode for RawDecoder {
    fn decode(&mut self, bytes: &[u8]) -> Result<(), Wrong> {
        if self.kept.is_some() {
            self.values.append_value(bytes);
        }
        self.rows += 1;
        Ok(())
    }
    fn null(&mut self) {
        if self.kept.is_some() {
            self.values.append_null();
        }
        self.rows += 1;
    }
    fn rows(&self) -> usize {
        self.rows
    }
    fn finish(&mut self) -> Result<Vec<ArrayRef>, ArrowError> {
        self.rows = 0;
        let values: ArrayRef = Arc::new(self.values.finish());
        Ok(match &self.kept {
            None => vec![],
            Some(DataType::Binary) => vec![values],
            Some(other) => vec![cast(&values, other)?],
        })
    }
}

pub(super) struct RawEncoder(BinaryArray);

impl RawEncoder {
    pub(super) fn new(columns: &[Given<'_>]) -> Result<Self, ArrowError> {
        let [given] = columns else {
            return Err(ArrowError::SchemaError(format!(
                "raw bytes are one column, not {}",
                columns.len()
            )));
        };
        let values = cast(&given.array.slice(0, given.array.len()), &DataType::Binary)?;
        Ok(Self(values.as_binary::<i32>().clone()))
    }
}

impl Encode for RawEncoder {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) -> Result<bool, (usize, String)> {
        if self.0.is_null(row) {
            return Ok(false);
        }
        out.extend_from_slice(self.0.value(row));
        Ok(true)
    }
}
