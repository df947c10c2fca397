//! The bare text of one column: of a number its digits, of a date its ISO form, of a text itself.

use arrow::array::ArrayRef;
use arrow::buffer::NullBuffer;
use arrow::error::ArrowError;

use super::{Decode, Encode, Given, utf8};
use crate::topic::row::{ColumnWriter, RowReader, Wanted, Wrong};

pub(super) struct TextDecoder(RowReader);

impl TextDecoder {
    pub(super) fn new(columns: &[Wanted<'_>]) -> Result<Self, ArrowError> {
        Ok(Self(RowReader::new(columns.iter().cloned(), false)?))
    }
}

impl Decode for TextDecoder {
    fn decode(&mut self, bytes: &[u8]) -> Result<(), Wrong> {
        self.0.texts(&[0], &[Some(utf8(bytes)?)])
    }
    fn null(&mut self) {
        self.0.null();
    }
    fn rows(&self) -> usize {
        self.0.rows()
    }
    fn finish(&mut self) -> Result<Vec<ArrayRef>, ArrowError> {
        self.0.columns()
    }
}

pub(super) struct TextEncoder<'a> {
    writer: ColumnWriter<'a>,
    nulls: Option<NullBuffer>,
    scratch: String,
}

impl<'a> TextEncoder<'a> {
    pub(super) fn new(columns: &[Given<'a>]) -> Result<Self, ArrowError> {
        let [given] = columns else {
            return Err(ArrowError::SchemaError(format!(
                "a text is one column, not {}",
                columns.len()
            )));
        };
        Ok(Self {
            writer: ColumnWriter::new(given.field, given.array)?,
            nulls: given.array.logical_nulls(),
            scratch: String::new(),
        })
    }
}

impl Encode for TextEncoder<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) -> Result<bool, (usize, String)> {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            return Ok(false);
        }
        self.writer
            .write_text(row, out, &mut self.scratch)
            .map_err(|message| (0, message))?;
        Ok(true)
    }
}
