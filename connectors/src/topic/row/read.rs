//! Rows read from JSON objects into record batches.

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use datafusion::common::ScalarValue;
use weir_base::SqlState;

use super::column::Wrong;
use super::fields::{Fields, Slot};
use super::json::{Cursor, Token};

/// A column to be read.
pub(crate) struct Wanted<'a> {
    pub(crate) field: &'a FieldRef,
    /// The key of the row's object that holds it.
    pub(crate) key: &'a str,
    /// Its value in a row that does not name it; without one it is null, and refused where null is.
    pub(crate) fill: Option<ScalarValue>,
}

/// Grows record batches from rows.
pub(crate) struct RowReader {
    schema: SchemaRef,
    fields: Fields,
}

impl RowReader {
    /// A reader of these columns. `strict` refuses fields that are not among them.
    ///
    /// # Errors
    /// When a column's type is none that rows can hold.
    pub(crate) fn new<'a>(
        columns: impl IntoIterator<Item = Wanted<'a>>,
        strict: bool,
    ) -> Result<Self, ArrowError> {
        let mut fields: Vec<FieldRef> = Vec::new();
        let mut slots = Vec::new();
        for wanted in columns {
            let name = wanted.field.name();
            slots.push(Slot::new(
                wanted.key,
                name,
                wanted.field,
                wanted.fill,
                strict,
            )?);
            fields.push(FieldRef::clone(wanted.field));
        }
        Ok(Self {
            schema: Schema::new(fields).into(),
            fields: Fields::new(slots, strict),
        })
    }

    /// Appends a row given as the text of a JSON object. After an error the rows so far are of no use.
    #[inline]
    pub(crate) fn object(&mut self, text: &str) -> Result<(), Wrong> {
        let mut cursor = Cursor::new(text);
        match cursor.token()? {
            Token::Object => {}
            other => {
                return Err(Wrong {
                    path: None,
                    message: format!("a row is a JSON object, found {}", other.describe()),
                    sqlstate: SqlState::INVALID_TEXT_REPRESENTATION,
                    hint: None,
                });
            }
        }
        self.fields.read(&mut cursor)?;
        Ok(cursor.end()?)
    }

    /// Appends a row given as bare texts for the columns at `columns`; an absent text is null.
    pub(crate) fn texts(&mut self, columns: &[usize], texts: &[Option<&str>]) -> Result<(), Wrong> {
        self.fields.texts(columns, texts)
    }

    /// The place of the column that rows call `key`.
    pub(crate) fn find(&self, key: &str) -> Result<usize, Wrong> {
        self.fields.find(key)
    }

    /// How many rows were appended since the last batch.
    #[cfg(test)]
    pub(crate) fn rows(&self) -> usize {
        self.fields.rows()
    }

    /// The rows since the last batch that lacked a column which has a fill value, in order.
    pub(crate) fn take_filled(&mut self) -> Vec<usize> {
        self.fields.take_filled()
    }

    /// The rows so far as a batch; the reader starts anew.
    pub(crate) fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        let options = RecordBatchOptions::new().with_row_count(Some(self.fields.rows()));
        self.fields.take_filled();
        let columns = self.fields.finish()?;
        RecordBatch::try_new_with_options(SchemaRef::clone(&self.schema), columns, &options)
    }
}
