//! Values of the PostgreSQL protocol: which type a column is of, its values as text and in binary, and parameters read.
//!
//! A batch is encoded by its columns: for each, one function is made that writes the value of a row, and rows are put
//! together from these, straight from the Arrow arrays.

mod array;
mod binary;
mod moment;
mod number;
mod parameter;
mod pg_type;
mod text;
mod text_input;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;

pub(super) use parameter::{ParameterError, from_text, parameter};
pub(super) use pg_type::PgType;

use super::wire::FieldDescription;
use crate::encode::EncodeError;
pub(super) use moment::Zone;

/// Writes the value of a row, which is not null.
type Write = Box<dyn Fn(usize, &mut Vec<u8>) -> Result<(), EncodeError> + Send>;

/// How values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    Binary,
}

impl Format {
    /// The format of a code in a message.
    pub(super) fn of_code(code: i16) -> Option<Self> {
        match code {
            0 => Some(Self::Text),
            1 => Some(Self::Binary),
            _ => None,
        }
    }

    pub(super) fn code(self) -> i16 {
        match self {
            Self::Text => 0,
            Self::Binary => 1,
        }
    }
}

/// The formats of so many columns, from the codes of a message: none is text for all, one is for all.
///
/// # Errors
/// What is wrong with them, in words.
pub(super) fn formats(codes: &[i16], columns: usize) -> Result<Vec<Format>, String> {
    let codes = codes
        .iter()
        .map(|code| Format::of_code(*code).ok_or_else(|| format!("there is no format {code}")));
    let codes = codes.collect::<Result<Vec<_>, _>>()?;
    match codes.as_slice() {
        [] => Ok(vec![Format::Text; columns]),
        [one] => Ok(vec![*one; columns]),
        many if many.len() == columns => Ok(many.to_vec()),
        many => Err(format!(
            "{} formats were given for {columns} columns",
            many.len()
        )),
    }
}

/// An answer's columns as the protocol describes them.
pub(super) fn describe(schema: &Schema, formats: &[Format]) -> Vec<FieldDescription> {
    let formats = formats
        .iter()
        .copied()
        .chain(std::iter::repeat(Format::Text));
    let fields = schema.fields().iter().zip(formats);
    fields
        .map(|(field, format)| FieldDescription {
            name: weir_engine::column_name(field).to_owned(),
            data_type: PgType::of_field(field),
            modifier: pg_type::modifier(field.data_type()),
            format: format.code(),
        })
        .collect()
}

/// One column of a batch.
pub(super) struct Column {
    nulls: Option<NullBuffer>,
    write: Write,
}

impl Column {
    pub(super) fn new(
        array: &ArrayRef,
        field: &Field,
        format: Format,
        zone: &Zone,
    ) -> Result<Self, EncodeError> {
        let array = plain(array)?;
        let nulls = array.logical_nulls().filter(|nulls| nulls.null_count() > 0);
        let data_type = PgType::of_field(field);
        let write = match format {
            Format::Text => text::writer(&array, field, &data_type, zone)?,
            Format::Binary => binary::writer(&array, field, &data_type, zone)?,
        };
        Ok(Self { nulls, write })
    }

    pub(super) fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// Writes the value of a row without its length; nothing for null.
    pub(super) fn value(&self, row: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self.is_null(row) {
            true => Ok(()),
            false => (self.write)(row, out),
        }
    }

    /// Writes the value of a row after its length, which is −1 for null.
    fn field(&self, row: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if self.is_null(row) {
            out.extend_from_slice(&(-1_i32).to_be_bytes());
            return Ok(());
        }
        let at = out.len();
        out.extend_from_slice(&[0; 4]);
        (self.write)(row, out)?;
        let length = u32::try_from(out.len() - at - 4).unwrap_or(u32::MAX);
        if let Some(place) = out.get_mut(at..at + 4) {
            place.copy_from_slice(&length.to_be_bytes());
        }
        Ok(())
    }
}

/// The columns of a batch, in these formats; text for those that have none.
pub(super) fn columns(
    batch: &RecordBatch,
    formats: &[Format],
    zone: &Zone,
) -> Result<Vec<Column>, EncodeError> {
    let schema = batch.schema();
    let formats = formats
        .iter()
        .copied()
        .chain(std::iter::repeat(Format::Text));
    let columns = batch.columns().iter().zip(schema.fields()).zip(formats);
    columns
        .map(|((array, field), format)| Column::new(array, field, format, zone))
        .collect()
}

/// Writes the fields of a row, after their number.
pub(super) fn row(columns: &[Column], row: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let count = u16::try_from(columns.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&count.to_be_bytes());
    columns.iter().try_for_each(|column| column.field(row, out))
}

/// An array without an encoding of its own: dictionaries and runs written out, lists of every form as lists.
fn plain(array: &ArrayRef) -> Result<ArrayRef, EncodeError> {
    let wanted = match array.data_type() {
        DataType::Dictionary(_, values) => values.as_ref().clone(),
        DataType::RunEndEncoded(_, values) => values.data_type().clone(),
        DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => DataType::List(Arc::clone(item)),
        _ => return Ok(Arc::clone(array)),
    };
    Ok(cast(array, &wanted)?)
}

#[cfg(test)]
mod tests;
