//! Rows as bytes: two rows are the same if, and only if, their bytes are.

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};

use crate::error::Result;

/// Rows that are decoded into one batch at most.
const BATCH_ROWS: usize = 8192;

/// Encodes rows of one schema, by Arrow's row format, and decodes them. Values are told apart as Arrow's total order does: a NaN
/// is a NaN, and -0 is not 0.
#[derive(Debug)]
pub(crate) struct RowCodec {
    schema: SchemaRef,
    /// None where rows have no columns.
    converter: Option<RowConverter>,
}

impl RowCodec {
    pub(crate) fn new(schema: &SchemaRef) -> Result<Self> {
        let fields = schema.fields().iter();
        let fields: Vec<_> = fields
            .map(|field| SortField::new(field.data_type().clone()))
            .collect();
        let converter = match fields.is_empty() {
            true => None,
            false => Some(RowConverter::new(fields)?),
        };
        Ok(Self {
            schema: schema.clone(),
            converter,
        })
    }

    /// Gives the bytes of each row to `see`.
    pub(crate) fn each(&self, batch: &RecordBatch, mut see: impl FnMut(&[u8])) -> Result<()> {
        match &self.converter {
            None => (0..batch.num_rows()).for_each(|_| see(&[])),
            Some(converter) => {
                let rows = converter.convert_columns(batch.columns())?;
                rows.iter().for_each(|row| see(row.as_ref()));
            }
        }
        Ok(())
    }

    /// The rows that some bytes stand for, in order.
    pub(crate) fn decode<'a>(
        &self,
        rows: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Vec<RecordBatch>> {
        let mut rows = rows.into_iter().peekable();
        let mut batches = Vec::new();
        while rows.peek().is_some() {
            let some = rows.by_ref().take(BATCH_ROWS);
            let (columns, count) = match &self.converter {
                None => (Vec::new(), some.count()),
                Some(converter) => {
                    let parser = converter.parser();
                    let some: Vec<_> = some.map(|row| parser.parse(row)).collect();
                    let count = some.len();
                    (converter.convert_rows(some)?, count)
                }
            };
            let options = RecordBatchOptions::new().with_row_count(Some(count));
            batches.push(RecordBatch::try_new_with_options(
                self.schema.clone(),
                columns,
                &options,
            )?);
        }
        Ok(batches)
    }
}
