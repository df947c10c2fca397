//! JSON objects.

use arrow::array::ArrayRef;
use arrow::error::ArrowError;

use super::{Decode, Encode, Given, utf8};
use crate::topic::row::{RowReader, RowWriter, Wanted, Wrong};

pub(super) struct JsonDecoder(RowReader);

impl JsonDecoder {
    pub(super) fn new(columns: &[Wanted<'_>], strict: bool) -> Result<Self, ArrowError> {
        Ok(Self(RowReader::new(columns.iter().cloned(), strict)?))
    }
}

impl Decode for JsonDecoder {
    #[inline]
    fn decode(&mut self, bytes: &[u8]) -> Result<(), Wrong> {
        self.0.object(utf8(bytes)?)
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

pub(super) struct JsonEncoder<'a>(RowWriter<'a>);

impl<'a> JsonEncoder<'a> {
    pub(super) fn new(columns: &[Given<'a>]) -> Result<Self, ArrowError> {
        let columns = columns
            .iter()
            .map(|given| (given.key, given.field, given.array));
        Ok(Self(RowWriter::new(columns)?))
    }
}

impl Encode for JsonEncoder<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) -> Result<bool, (usize, String)> {
        self.0.write(row, out)?;
        Ok(true)
    }
}
