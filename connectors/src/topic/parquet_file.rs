//! A Parquet file as the rows of a request.
//!
//! *In:* the bytes of a file that anybody may have written. *Out:* its batches, with the types that Parquet itself knows. Packed, rows
//! of any number and length take few bytes: what they come to is bounded here, before they are written out.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;

/// What a file begins and ends with.
const MAGIC: &[u8] = b"PAR1";
/// The most that a file's rows may come to, unpacked.
const UNPACKED_BYTES_MAX: usize = 256 << 20;
/// The most rows of a file, however small it is.
const ROWS_MAX: i64 = 8 << 20;
/// Rows that are unpacked before it is looked at what they have come to.
const BATCH_ROWS: usize = 4_096;

/// The batches of a Parquet file. Columns of text share the pages that they came in.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read_file(body: &Bytes) -> Result<(SchemaRef, Vec<RecordBatch>), String> {
    check_ends(body)?;
    // The decoder checks most that a file says of itself, and panics at some of it.
    let read = catch_unwind(AssertUnwindSafe(|| unpacked(body)));
    read.unwrap_or_else(|_| Err("what it says of itself does not fit together".to_owned()))
}

/// Refuses what ends too early to be a file: the decoder subtracts the footer's length from the file's.
fn check_ends(body: &[u8]) -> Result<(), String> {
    let footer = body
        .strip_prefix(MAGIC)
        .and_then(|rest| rest.strip_suffix(MAGIC))
        .and_then(|rest| rest.split_last_chunk::<4>());
    let Some((rest, length)) = footer else {
        return Err("it does not begin and end as one".to_owned());
    };
    match usize::try_from(u32::from_le_bytes(*length)) {
        Ok(length) if length <= rest.len() => Ok(()),
        _ => Err("its footer says that it is longer than the file".to_owned()),
    }
}

fn unpacked(body: &Bytes) -> Result<(SchemaRef, Vec<RecordBatch>), String> {
    let wrong = |error: ParquetError| error.to_string();
    // What a writer has noted of Arrow's own types is another schema, which may not fit.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let plain = ArrowReaderMetadata::load(body, options.clone()).map_err(wrong)?;
    let rows = plain.metadata().file_metadata().num_rows();
    let sizes = plain.metadata().row_groups().iter();
    let bytes = sizes.fold(0_i64, |sum, group| {
        sum.saturating_add(group.total_byte_size().max(0))
    });
    if rows > ROWS_MAX || usize::try_from(bytes).is_ok_and(|bytes| bytes > UNPACKED_BYTES_MAX) {
        return Err(too_large());
    }
    let options = options.with_schema(shared(plain.schema()));
    let metadata = ArrowReaderMetadata::load(body, options).map_err(wrong)?;
    let schema = Arc::clone(metadata.schema());
    let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(body.clone(), metadata)
        .with_batch_size(BATCH_ROWS)
        .build()
        .map_err(wrong)?;
    let mut batches = Vec::new();
    let (mut bytes, mut rows) = (0_usize, 0_i64);
    for batch in reader {
        let batch = batch.map_err(|error| error.to_string())?;
        bytes = bytes.saturating_add(unpacked_bytes(&batch));
        rows = rows.saturating_add(i64::try_from(batch.num_rows()).unwrap_or(i64::MAX));
        if bytes > UNPACKED_BYTES_MAX || rows > ROWS_MAX {
            return Err(too_large());
        }
        batches.push(batch);
    }
    Ok((schema, batches))
}

/// The schema with columns of text and bytes as views: a value that a dictionary has once is in memory once.
fn shared(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| {
        let viewed = match field.data_type() {
            DataType::Utf8 => DataType::Utf8View,
            DataType::Binary => DataType::BinaryView,
            other => other.clone(),
        };
        Field::clone(field).with_data_type(viewed)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// What the values of a batch are long, each counted as often as it is there.
fn unpacked_bytes(batch: &RecordBatch) -> usize {
    let sizes = batch.columns().iter().map(|column| {
        let views = match column.data_type() {
            DataType::Utf8View => column.as_string_view().views(),
            DataType::BinaryView => column.as_binary_view().views(),
            _ => return column.get_array_memory_size(),
        };
        // The lowest 32 bits of a view are the length of its value.
        let lengths = views.iter().map(|view| (view & 0xffff_ffff) as usize);
        lengths.fold(0_usize, usize::saturating_add)
    });
    sizes.fold(0_usize, usize::saturating_add)
}

fn too_large() -> String {
    format!(
        "unpacked it has more than {} MB, or more than {ROWS_MAX} rows: send it in parts",
        UNPACKED_BYTES_MAX >> 20
    )
}
