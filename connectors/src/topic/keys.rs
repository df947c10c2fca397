//! The keys of rows.

use arrow::array::{Array, RecordBatch};
use arrow::error::ArrowError;

use super::row::{ColumnWriter, write_string};
use super::schema::RowSchema;

/// The keys of rows: the text of the key's column, or a JSON list of the columns' values when there are more.
pub(crate) struct Keys<'a> {
    columns: Vec<ColumnWriter<'a>>,
    arrays: Vec<&'a dyn Array>,
    scratch: String,
    key: Vec<u8>,
}

impl<'a> Keys<'a> {
    pub(crate) fn new(schema: &RowSchema, batch: &'a RecordBatch) -> Result<Self, ArrowError> {
        let mut columns = Vec::new();
        let mut arrays: Vec<&dyn Array> = Vec::new();
        for at in schema.key() {
            let (Some(column), Some(array)) = (schema.columns().get(*at), batch.columns().get(*at))
            else {
                return Err(ArrowError::SchemaError(format!(
                    "there is no key column {at}"
                )));
            };
            columns.push(ColumnWriter::new(&column.field, array.as_ref())?);
            arrays.push(array.as_ref());
        }
        Ok(Self {
            columns,
            arrays,
            scratch: String::new(),
            key: Vec::new(),
        })
    }

    /// The key of a row; none when the schema has no key, or the row's is null.
    pub(crate) fn key(&mut self, row: usize) -> Result<Option<&[u8]>, ArrowError> {
        self.key.clear();
        let invalid = ArrowError::InvalidArgumentError;
        if self.arrays.is_empty() || self.arrays.iter().all(|array| array.is_null(row)) {
            return Ok(None);
        }
        if let [column] = &self.columns[..] {
            column
                .write_bare(row, &mut self.key, &mut self.scratch)
                .map_err(invalid)?;
            return Ok(Some(&self.key));
        }
        for (at, column) in self.columns.iter().enumerate() {
            self.key.push(if at == 0 { b'[' } else { b',' });
            column
                .write(row, &mut self.key, &mut self.scratch)
                .map_err(invalid)?;
        }
        self.key.push(b']');
        Ok(Some(&self.key))
    }
}

/// A key as a person reads it in a message.
pub(crate) fn show_key(key: &[u8]) -> String {
    let mut out = Vec::new();
    write_string(&String::from_utf8_lossy(key), &mut out);
    String::from_utf8_lossy(&out).chars().take(200).collect()
}
