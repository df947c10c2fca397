//! Rows as bytes: two rows are the same if, and only if, their bytes are.

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, Rows, SortField};

use crate::error::{Error, Result};

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

/// Rows that were encoded; nothing for those without columns.
#[derive(Debug)]
pub(crate) struct RowBytes(Option<Rows>);

impl RowBytes {
    pub(crate) fn get(&self, row: usize) -> &[u8] {
        match &self.0 {
            None => &[],
            // The rows live as long as this.
            Some(rows) => rows.row(row).data(),
        }
    }
}

impl RowCodec {
    pub(crate) fn new(schema: &SchemaRef) -> Result<Self> {
        Self::ordered(schema, &[])
    }

    /// A codec whose bytes are in the order of the first columns by their options, and then of the others.
    pub(crate) fn ordered(schema: &SchemaRef, options: &[SortOptions]) -> Result<Self> {
        let options = options
            .iter()
            .copied()
            .chain(std::iter::repeat_with(SortOptions::default));
        let fields = schema.fields().iter().zip(options);
        let fields: Vec<_> = fields
            .map(|(field, options)| SortField::new_with_options(field.data_type().clone(), options))
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

    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The bytes of each row.
    pub(crate) fn encode(&self, batch: &RecordBatch) -> Result<RowBytes> {
        self.encode_columns(batch.columns())
    }

    /// As [`RowCodec::encode`], of rows that are no batch.
    pub(crate) fn encode_columns(&self, columns: &[ArrayRef]) -> Result<RowBytes> {
        match &self.converter {
            // No rows at all.
            Some(_) if columns.is_empty() => Ok(RowBytes(None)),
            Some(converter) => Ok(RowBytes(Some(converter.convert_columns(columns)?))),
            None => Ok(RowBytes(None)),
        }
    }

    /// Gives the bytes of each row to `see`.
    pub(crate) fn each(&self, batch: &RecordBatch, mut see: impl FnMut(&[u8])) -> Result<()> {
        let rows = self.encode(batch)?;
        (0..batch.num_rows()).for_each(|row| see(rows.get(row)));
        Ok(())
    }

    /// Rows as one byte string, as [`pack_onto`] makes it.
    pub(crate) fn pack(&self, batches: &[RecordBatch]) -> Result<Vec<u8>> {
        let mut packed = Vec::new();
        for batch in batches {
            self.each(batch, |row| pack_onto(&mut packed, row))?;
        }
        Ok(packed)
    }

    /// What [`RowCodec::pack`] made of rows, as rows.
    ///
    /// # Errors
    /// When it is something else.
    pub(crate) fn unpack(&self, packed: &[u8]) -> Result<Vec<RecordBatch>> {
        let mut rows = Vec::new();
        unpack(packed, |row| rows.push(row))?;
        self.decode(rows)
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

/// Puts a row behind others in one byte string: its length, four bytes little-endian, and its bytes.
pub(crate) fn pack_onto(packed: &mut Vec<u8>, row: &[u8]) {
    packed.extend((row.len() as u32).to_le_bytes());
    packed.extend_from_slice(row);
}

/// Gives the rows that [`pack_onto`] put into a byte string to `see`, in order.
///
/// # Errors
/// When it is something else.
pub(crate) fn unpack<'a>(mut packed: &'a [u8], mut see: impl FnMut(&'a [u8])) -> Result<()> {
    while let Some((length, rest)) = packed.split_first_chunk() {
        let row = rest.split_at_checked(u32::from_le_bytes(*length) as usize);
        let (row, rest) = row.ok_or(Error::Internal("rows in the state are cut off"))?;
        see(row);
        packed = rest;
    }
    Ok(())
}
