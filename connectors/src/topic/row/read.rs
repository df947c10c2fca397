//! Rows read from JSON objects into record batches.

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use datafusion::common::ScalarValue;
use weir_base::SqlState;

use super::column::Wrong;
use super::fields::{Fields, Slot};
use super::json::{Cursor, Token};

/// What is done with a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Care {
    /// They are given as a column.
    Kept,
    /// They are looked at, so that a row with a wrong one is found out.
    Checked,
    /// They are passed over.
    Ignored,
}

/// A column of encoded rows.
#[derive(Clone)]
pub(crate) struct Wanted<'a> {
    pub(crate) field: &'a FieldRef,
    /// The name under which rows have it.
    pub(crate) key: &'a str,
    /// Its value in a row that does not name it; without one it is null, and refused where null is.
    pub(crate) fill: Option<ScalarValue>,
    pub(crate) care: Care,
}

impl<'a> Wanted<'a> {
    /// A column that is given, and must be in each row where it cannot be null.
    pub(crate) fn kept(field: &'a FieldRef, key: &'a str) -> Self {
        Self {
            field,
            key,
            fill: None,
            care: Care::Kept,
        }
    }
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
            let slot = match wanted.care {
                Care::Kept => Slot::new,
                Care::Checked => Slot::checked,
                Care::Ignored => continue,
            };
            let field = wanted.field;
            slots.push(slot(wanted.key, name, field, wanted.fill, strict)?);
            if wanted.care == Care::Kept {
                fields.push(FieldRef::clone(field));
            }
        }
        Ok(Self {
            schema: Schema::new(fields).into(),
            fields: Fields::new(slots, strict),
        })
    }

    /// Appends a row given as the text of a JSON object. After an error one more row may be there, which means nothing.
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
        if let Err(wrong) = self.fields.read(&mut cursor) {
            self.fields.give_up();
            return Err(wrong);
        }
        Ok(cursor.end()?)
    }

    /// Appends a row given as bare texts for the columns at `columns`; an absent text is null. After an error one more row is
    /// there, which means nothing.
    pub(crate) fn texts(&mut self, columns: &[usize], texts: &[Option<&str>]) -> Result<(), Wrong> {
        let read = self.fields.texts(columns, texts);
        if read.is_err() {
            self.fields.give_up();
        }
        read
    }

    /// Appends a row of nulls, whatever the columns require.
    pub(crate) fn null(&mut self) {
        self.fields.null();
    }

    /// The place of the column that rows call `key`.
    pub(crate) fn find(&self, key: &str) -> Result<usize, Wrong> {
        self.fields.find(key)
    }

    /// How many rows were appended since the last batch.
    pub(crate) fn rows(&self) -> usize {
        self.fields.rows()
    }

    /// The rows since the last batch that lacked a column which has a fill value, in order.
    pub(crate) fn take_filled(&mut self) -> Vec<usize> {
        self.fields.take_filled()
    }

    /// The columns of the rows so far; the reader starts anew.
    pub(crate) fn columns(&mut self) -> Result<Vec<ArrayRef>, ArrowError> {
        self.fields.take_filled();
        self.fields.finish()
    }

    /// The rows so far as a batch; the reader starts anew.
    pub(crate) fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        let options = RecordBatchOptions::new().with_row_count(Some(self.fields.rows()));
        self.fields.take_filled();
        let columns = self.fields.finish()?;
        RecordBatch::try_new_with_options(SchemaRef::clone(&self.schema), columns, &options)
    }
}
