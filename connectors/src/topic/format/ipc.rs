//! Arrow IPC streams: each value a schema and any number of rows.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow::ipc::{CompressionType, root_as_message};
use weir_base::SqlState;

use super::{Decode, Encode, Given};
use crate::topic::convert::converted;
use crate::topic::row::{Care, Wanted, Wrong};
use crate::topic::row_error::RowError;

/// What is wrong with a stream that is cut off.
const ENDS_EARLY: &str = "it ends too early";
/// The most rows of one value: a few bytes can say that there are any number of nulls.
const ROWS_MAX: i64 = 1 << 20;
/// The most bytes that the compressed buffers of one value unpack to.
const UNPACKED_BYTES_MAX: i64 = 256 << 20;

/// A column as the decoder needs it.
struct Column {
    field: FieldRef,
    key: String,
    care: Care,
    /// What rows have that do not name it: null, or what it was filled with when it was added.
    fill: datafusion::common::ScalarValue,
    /// The arrays of the values so far.
    arrays: Vec<ArrayRef>,
}

pub(super) struct IpcDecoder {
    columns: Vec<Column>,
    strict: bool,
    rows: usize,
}

impl IpcDecoder {
    pub(super) fn new(columns: &[Wanted<'_>], strict: bool) -> Result<Self, ArrowError> {
        let columns = columns
            .iter()
            .map(|wanted| {
                let fill = match &wanted.fill {
                    Some(fill) => fill.clone(),
                    None => wanted
                        .field
                        .data_type()
                        .try_into()
                        .map_err(|error| ArrowError::ExternalError(Box::new(error)))?,
                };
                Ok(Column {
                    field: Arc::clone(wanted.field),
                    key: wanted.key.to_owned(),
                    care: wanted.care,
                    fill,
                    arrays: Vec::new(),
                })
            })
            .collect::<Result<_, ArrowError>>()?;
        Ok(Self {
            columns,
            strict,
            rows: 0,
        })
    }

    /// The values of each column in one batch, of those that are not ignored.
    fn aligned(&self, batch: &RecordBatch, before: usize) -> Result<Vec<ArrayRef>, RowError> {
        if self.strict {
            let schema = batch.schema();
            let known = |field: &&FieldRef| self.columns.iter().any(|c| c.key == *field.name());
            if let Some(field) = schema.fields().iter().find(|field| !known(field)) {
                let message = "there is no such column";
                return Err(RowError::column(field, message, SqlState::UNDEFINED_COLUMN));
            }
        }
        let rows = batch.num_rows();
        let read = self.columns.iter().filter(|c| c.care != Care::Ignored);
        read.map(|column| {
            let array = match batch.column_by_name(&column.key) {
                Some(given) => converted(&column.field, given, before)?,
                None => column.fill.to_array_of_size(rows).map_err(|error| {
                    RowError::column(&column.field, error.to_string(), SqlState::INTERNAL_ERROR)
                })?,
            };
            if !column.field.is_nullable()
                && let Some(nulls) = array.logical_nulls()
                && let Some(row) = (0..rows).find(|row| nulls.is_null(*row))
            {
                let message = "null is not allowed: it is declared NOT NULL";
                let state = SqlState::NOT_NULL_VIOLATION;
                return Err(RowError::column(&column.field, message, state).at(before + row));
            }
            Ok(array)
        })
        .collect()
    }
}

impl Decode for IpcDecoder {
    fn decode(&mut self, bytes: &[u8]) -> Result<(), Wrong> {
        let mut rows = 0;
        let mut arrays: Vec<Vec<ArrayRef>> = Vec::new();
        for batch in batches(bytes)? {
            arrays.push(self.aligned(&batch, rows).map_err(wrong)?);
            rows += batch.num_rows();
        }
        for arrays in arrays {
            let read = self.columns.iter_mut();
            let read = read.filter(|column| column.care != Care::Ignored);
            for (column, array) in read.zip(arrays) {
                if column.care == Care::Kept {
                    column.arrays.push(array);
                }
            }
        }
        self.rows += rows;
        Ok(())
    }

    fn null(&mut self) {
        for column in &mut self.columns {
            if column.care == Care::Kept {
                let null = new_null_array(column.field.data_type(), 1);
                column.arrays.push(null);
            }
        }
        self.rows += 1;
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn finish(&mut self) -> Result<Vec<ArrayRef>, ArrowError> {
        self.rows = 0;
        let kept = self.columns.iter_mut();
        kept.filter(|column| column.care == Care::Kept)
            .map(|column| {
                let arrays = std::mem::take(&mut column.arrays);
                let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
                match arrays.as_slice() {
                    [] => Ok(new_null_array(column.field.data_type(), 0)),
                    arrays => concat(arrays),
                }
            })
            .collect()
    }
}

fn wrong(error: RowError) -> Wrong {
    let row = error.row.map(|row| format!("row {row}: "));
    Wrong {
        path: error.column,
        message: format!("{}{}", row.unwrap_or_default(), error.message),
        sqlstate: error.sqlstate,
        hint: error.hint,
    }
}

/// The batches of a record's value.
fn batches(bytes: &[u8]) -> Result<Vec<RecordBatch>, Wrong> {
    let stream = read_stream(bytes, ROWS_MAX);
    stream
        .map(|(_, batches)| batches)
        .map_err(|reason| Wrong::text(format!("not a whole Arrow stream: {reason}")))
}

/// Reads a stream that anybody may have written, of at most so many rows. The error is what is wrong with it.
pub(crate) fn read_stream(
    bytes: &[u8],
    rows_max: i64,
) -> Result<(SchemaRef, Vec<RecordBatch>), String> {
    check(bytes, rows_max)?;
    // The reader checks offsets and UTF-8, but panics at a schema that is none of Arrow's.
    let read = catch_unwind(AssertUnwindSafe(|| {
        let reader = StreamReader::try_new(std::io::Cursor::new(bytes), None)?;
        let schema = reader.schema();
        Ok::<_, ArrowError>((schema, reader.collect::<Result<Vec<_>, _>>()?))
    }));
    match read {
        Ok(read) => read.map_err(|error| match error {
            ArrowError::IoError(..) => ENDS_EARLY.to_owned(),
            error => error.to_string(),
        }),
        Err(_) => Err("its schema or its buffers are none of Arrow's".to_owned()),
    }
}

/// Finds a stream out that would make its reader take more memory than the stream is long, before it is read.
fn check(bytes: &[u8], rows_max: i64) -> Result<(), &'static str> {
    const ENDS: &str = ENDS_EARLY;
    let mut rest = bytes;
    let mut unpacked = 0_i64;
    let mut rows = 0_i64;
    loop {
        let Some((length, after)) = rest.split_first_chunk::<4>() else {
            return if rest.is_empty() { Ok(()) } else { Err(ENDS) };
        };
        rest = after;
        let mut length = i32::from_le_bytes(*length);
        if length == -1 {
            let (second, after) = rest.split_first_chunk::<4>().ok_or(ENDS)?;
            length = i32::from_le_bytes(*second);
            rest = after;
        }
        if length == 0 {
            return Ok(());
        }
        let length = usize::try_from(length).map_err(|_| "a message has no length")?;
        let (head, after) = rest.split_at_checked(length).ok_or(ENDS)?;
        // A copy, because the reader of the head wants it aligned.
        let head = head.to_vec();
        let message = root_as_message(&head).map_err(|_| "a message's head is damaged")?;
        let body = usize::try_from(message.bodyLength()).map_err(|_| "a body has no length")?;
        let (body, after) = after.split_at_checked(body).ok_or(ENDS)?;
        rest = after;
        let batch = message.header_as_record_batch();
        let dictionary = message.header_as_dictionary_batch();
        let Some(batch) = batch.or_else(|| dictionary.and_then(|batch| batch.data())) else {
            continue;
        };
        rows = rows.saturating_add(batch.length());
        if batch.length() < 0 || rows > rows_max {
            return Err("it has too many rows");
        }
        if batch.nodes().is_some_and(|nodes| {
            let wrong = |node: &arrow::ipc::FieldNode| {
                node.length() < 0 || node.null_count() < 0 || node.null_count() > node.length()
            };
            nodes.iter().any(wrong)
        }) {
            return Err("a column's length is wrong");
        }
        let packed = batch.compression().is_some_and(|compression| {
            [CompressionType::LZ4_FRAME, CompressionType::ZSTD].contains(&compression.codec())
        });
        for buffer in batch.buffers().into_iter().flatten() {
            let from = usize::try_from(buffer.offset()).map_err(|_| ENDS)?;
            let bytes = usize::try_from(buffer.length()).map_err(|_| ENDS)?;
            let buffer = body.get(from..).and_then(|rest| rest.get(..bytes));
            let buffer = buffer.ok_or("a buffer lies outside of its message")?;
            if packed && let Some((length, _)) = buffer.split_first_chunk::<8>() {
                unpacked = unpacked.saturating_add(i64::from_le_bytes(*length).max(-1));
                if unpacked > UNPACKED_BYTES_MAX {
                    return Err("it is too large when it is unpacked");
                }
            }
        }
    }
}

/// Writes each row as a stream of its own.
pub(super) struct IpcEncoder {
    batch: RecordBatch,
}

impl IpcEncoder {
    pub(super) fn new(columns: &[Given<'_>]) -> Result<Self, ArrowError> {
        let fields = columns
            .iter()
            .map(|given| given.field.clone().with_name(given.key));
        let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<Field>>()));
        let rows = columns.first().map_or(0, |given| given.array.len());
        let arrays = columns.iter().map(|given| given.array.slice(0, rows));
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(Self {
            batch: RecordBatch::try_new_with_options(schema, arrays.collect(), &options)?,
        })
    }
}

impl Encode for IpcEncoder {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) -> Result<bool, (usize, String)> {
        let write = || {
            let mut writer = StreamWriter::try_new(out, self.batch.schema_ref())?;
            writer.write(&compact(&self.batch.slice(row, 1))?)?;
            writer.finish()
        };
        write().map_err(|error: ArrowError| (0, error.to_string()))?;
        Ok(true)
    }
}

/// A row without what lies around it: views share whole buffers, which would be written with each row.
fn compact(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns = batch
        .columns()
        .iter()
        .map(|column| match column.data_type() {
            DataType::Utf8View => Arc::new(column.as_string_view().gc()) as ArrayRef,
            DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
            _ => ArrayRef::clone(column),
        });
    RecordBatch::try_new(batch.schema(), columns.collect())
}
