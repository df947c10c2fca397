//! Writing history: a run of a partition's rows into one Parquet file.

use arrow::array::AsArray;
use arrow::compute::{max, min};
use arrow::datatypes::{DataType, SchemaRef, TimestampMillisecondType};
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use parquet::arrow::AsyncArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use weir_base::Kind;

use super::place::HistoryPlace;
use crate::topic::Hidden;
use crate::{Error, Result};

/// Rows of a row group. Pages within it are pruned by statistics too; groups of an eighth are read 1.4 times as slowly.
const ROW_GROUP_ROWS: usize = 1 << 20;
/// Bytes of a row group, encoded: what a conversion holds in memory.
const ROW_GROUP_BYTES: usize = 128 << 20;
/// Bytes that are sent to the store at a time.
const UPLOAD_BYTES: usize = 8 << 20;

/// What a file that was written holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Converted {
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) min_timestamp_ms: i64,
    pub(super) max_timestamp_ms: i64,
}

/// Writes all of `rows`, whose last columns are the hidden ones, to a new file. It is durable on return.
///
/// # Errors
/// When a row cannot be read or the store fails; then there is no file, or one that nothing names.
pub(super) async fn write(
    place: &HistoryPlace,
    path: &Path,
    mut rows: SendableRecordBatchStream,
) -> Result<Converted> {
    let schema = rows.schema();
    let timestamps = timestamp_column(&schema)?;
    let buffered = BufWriter::with_capacity(place.store(), path.clone(), UPLOAD_BYTES);
    let failed = |error: parquet::errors::ParquetError| match Error::find(&error) {
        Some(ours) => ours.retell(),
        None => Error::new(
            Kind::Unavailable,
            format!("{} cannot be written", place.shown(path)),
        )
        .with_source(error),
    };
    let mut writer =
        AsyncArrowWriter::try_new(buffered, schema, Some(properties()?)).map_err(failed)?;
    let mut written = Converted {
        rows: 0,
        bytes: 0,
        min_timestamp_ms: i64::MAX,
        max_timestamp_ms: i64::MIN,
    };
    while let Some(batch) = rows.next().await {
        let batch = batch.map_err(crate::files::internal)?;
        let times = batch
            .column(timestamps)
            .as_primitive_opt::<TimestampMillisecondType>();
        if let Some((least, most)) = times.and_then(|times| Some((min(times)?, max(times)?))) {
            written.min_timestamp_ms = written.min_timestamp_ms.min(least);
            written.max_timestamp_ms = written.max_timestamp_ms.max(most);
        }
        written.rows += batch.num_rows() as u64;
        writer.write(&batch).await.map_err(failed)?;
    }
    writer.finish().await.map_err(failed)?;
    written.bytes = writer.bytes_written() as u64;
    place.settle(path).await?;
    Ok(written)
}

/// Whether Parquet can hold rows of this schema.
pub(super) fn can_hold(schema: &SchemaRef) -> std::result::Result<(), String> {
    // The schema's converter lets intervals through, and their writer does not: Parquet's have no nanoseconds.
    let interval = schema
        .flattened_fields()
        .into_iter()
        .find(|field| matches!(field.data_type(), DataType::Interval(_)));
    if let Some(field) = interval {
        return Err(format!("column {:?} is an INTERVAL", field.name()));
    }
    parquet::arrow::ArrowSchemaConverter::new()
        .convert(schema)
        .map(drop)
        .map_err(|error| error.to_string())
}

fn timestamp_column(schema: &SchemaRef) -> Result<usize> {
    let place = schema.index_of(Hidden::Timestamp.name());
    place.map_err(|error| {
        Error::new(Kind::Internal, "rows of a history have no timestamp").with_source(error)
    })
}

fn properties() -> Result<WriterProperties> {
    let level = ZstdLevel::try_new(1).map_err(|error| {
        Error::new(Kind::Internal, "the compression of history is not there").with_source(error)
    })?;
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES));
    // They grow from row to row, by little.
    for hidden in [Hidden::Offset, Hidden::Timestamp] {
        let column = ColumnPath::from(hidden.name());
        properties = properties
            .set_column_dictionary_enabled(column.clone(), false)
            .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED);
    }
    Ok(properties.build())
}
