//! The keys of rows.

use arrow::array::{Array, RecordBatch};
use arrow::error::ArrowError;

use super::format::{Encode, Given};
use super::row::{ColumnWriter, write_string};
use super::schema::RowSchema;

/// The keys of rows. Where the schema gives keys no format: the text of the key's column, or a JSON list of the columns'
/// values when there are more.
pub(crate) struct Keys<'a> {
    form: Form<'a>,
    arrays: Vec<&'a dyn Array>,
    key: Vec<u8>,
}

enum Form<'a> {
    Text(ColumnWriter<'a>, String),
    List(Vec<ColumnWriter<'a>>, String),
    /// As columns that are in the key alone.
    Encoded(Box<dyn Encode + 'a>),
}

impl<'a> Keys<'a> {
    pub(crate) fn new(schema: &'a RowSchema, batch: &'a RecordBatch) -> Result<Self, ArrowError> {
        let mut given = Vec::new();
        for at in schema.key() {
            let (Some(column), Some(array)) = (schema.columns().get(*at), batch.columns().get(*at))
            else {
                return Err(ArrowError::SchemaError(format!(
                    "there is no key column {at}"
                )));
            };
            given.push(Given {
                key: &column.source,
                field: &column.field,
                array: array.as_ref(),
            });
        }
        let writer = |given: &Given<'a>| ColumnWriter::new(given.field, given.array);
        let form = match (schema.format().key, given.as_slice()) {
            (Some(format), _) => Form::Encoded(format.encoder(&given)?),
            (None, [given]) => Form::Text(writer(given)?, String::new()),
            (None, given) => {
                let writers = given.iter().map(writer).collect::<Result<_, _>>()?;
                Form::List(writers, String::new())
            }
        };
        Ok(Self {
            form,
            arrays: given.into_iter().map(|given| given.array).collect(),
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
        let key = &mut self.key;
        match &mut self.form {
            Form::Text(column, scratch) => {
                column.write_bare(row, key, scratch).map_err(invalid)?;
            }
            Form::List(columns, scratch) => {
                for (at, column) in columns.iter().enumerate() {
                    key.push(if at == 0 { b'[' } else { b',' });
                    column.write(row, key, scratch).map_err(invalid)?;
                }
                key.push(b']');
            }
            Form::Encoded(encoder) => {
                let encoded = encoder.encode(row, key);
                if !encoded.map_err(|(_, message)| invalid(message))? {
                    return Ok(None);
                }
            }
        }
        Ok(Some(&self.key))
    }
}

/// A key as a person reads it in a message.
pub(crate) fn show_key(key: &[u8]) -> String {
    let mut out = Vec::new();
    write_string(&String::from_utf8_lossy(key), &mut out);
    String::from_utf8_lossy(&out).chars().take(200).collect()
}
