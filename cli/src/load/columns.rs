//! Arrow and Parquet files as Arrow streams of a bounded number of rows.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};

use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::reader::{FileReader, StreamReader};
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::reader::ChunkReader;

use super::batches::{ARROW, BODY_BYTES_MAX, Batch};
use crate::error::Result;

/// How an Arrow IPC *file* starts; a stream starts otherwise.
const FILE_MAGIC: &[u8; 6] = b"ARROW1";

/// Reads an Arrow file, of either kind.
pub(super) fn arrow_file(
    mut file: File,
    rows: usize,
    take: impl FnMut(Batch) -> bool,
) -> Result<()> {
    let mut start = Vec::new();
    file.by_ref()
        .take(FILE_MAGIC.len() as u64)
        .read_to_end(&mut start)?;
    file.seek(SeekFrom::Start(0))?;
    if start == FILE_MAGIC {
        let reader = FileReader::try_new(BufReader::new(file), None)?;
        let schema = reader.schema();
        cut(&schema, reader, rows, take)
    } else {
        arrow_stream(Box::new(BufReader::new(file)), rows, take)
    }
}

/// Reads an Arrow stream.
pub(super) fn arrow_stream(
    input: Box<dyn BufRead>,
    rows: usize,
    take: impl FnMut(Batch) -> bool,
) -> Result<()> {
    let reader = StreamReader::try_new(input, None)?;
    let schema = reader.schema();
    cut(&schema, reader, rows, take)
}

/// Reads a Parquet file.
pub(super) fn parquet(
    input: impl ChunkReader + 'static,
    rows: usize,
    take: impl FnMut(Batch) -> bool,
) -> Result<()> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(input)?
        .with_batch_size(rows)
        .build()?;
    let schema = arrow::record_batch::RecordBatchReader::schema(&reader);
    cut(&schema, reader, rows, take)
}

/// Sends each batch in parts of at most `rows` rows, and of a size that one request may have.
fn cut(
    schema: &SchemaRef,
    batches: impl Iterator<Item = Result<RecordBatch, ArrowError>>,
    rows: usize,
    mut take: impl FnMut(Batch) -> bool,
) -> Result<()> {
    for batch in batches {
        let batch = batch?;
        let bytes = batch.get_array_memory_size();
        let parts = bytes.div_ceil(BODY_BYTES_MAX).max(1);
        let step = rows.min(batch.num_rows().div_ceil(parts)).max(1);
        for from in (0..batch.num_rows()).step_by(step) {
            let part = batch.slice(from, step.min(batch.num_rows() - from));
            let body = encoded(schema, &part)?;
            let read_bytes = (bytes / batch.num_rows() * part.num_rows()) as u64;
            let wanted = take(Batch {
                body,
                content_type: ARROW,
                rows: part.num_rows() as u64,
                read_bytes,
            });
            if !wanted {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn encoded(schema: &SchemaRef, batch: &RecordBatch) -> Result<Bytes> {
    let mut writer = StreamWriter::try_new(Vec::new(), schema)?;
    writer.write(batch)?;
    writer.finish()?;
    Ok(Bytes::from(writer.into_inner()?))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, AsArray, Int64Array};
    use arrow::datatypes::Int64Type;
    use arrow::ipc::writer::FileWriter;
    use parquet::arrow::ArrowWriter;

    use super::*;

    fn batch(count: i64) -> RecordBatch {
        let numbers: ArrayRef = Arc::new((0..count).collect::<Int64Array>());
        RecordBatch::try_from_iter([("n", numbers)]).unwrap()
    }

    fn numbers(batches: &[Batch]) -> Vec<i64> {
        batches
            .iter()
            .flat_map(|batch| StreamReader::try_new(batch.body.as_ref(), None).unwrap())
            .flat_map(|batch| {
                let batch = batch.unwrap();
                batch
                    .column(0)
                    .as_primitive::<Int64Type>()
                    .values()
                    .to_vec()
            })
            .collect()
    }

    #[test]
    fn every_row_is_sent_once_in_parts_of_the_size_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let data = batch(10);
        let file = folder.path().join("a.arrow");
        let mut writer = FileWriter::try_new(File::create(&file).unwrap(), &data.schema()).unwrap();
        writer.write(&data).unwrap();
        writer.finish().unwrap();
        let stream = folder.path().join("s.arrow");
        let mut writer =
            StreamWriter::try_new(File::create(&stream).unwrap(), &data.schema()).unwrap();
        writer.write(&data).unwrap();
        writer.finish().unwrap();
        for path in [file, stream] {
            let mut batches = Vec::new();
            arrow_file(File::open(path).unwrap(), 4, |batch| {
                batches.push(batch);
                true
            })
            .unwrap();
            assert_eq!(
                batches.iter().map(|batch| batch.rows).collect::<Vec<_>>(),
                [4, 4, 2]
            );
            assert_eq!(numbers(&batches), (0..10).collect::<Vec<_>>());
        }
        let mut writer = ArrowWriter::try_new(Vec::new(), data.schema(), None).unwrap();
        writer.write(&data).unwrap();
        let bytes = Bytes::from(writer.into_inner().unwrap());
        let mut batches = Vec::new();
        parquet(bytes, 3, |batch| {
            batches.push(batch);
            true
        })
        .unwrap();
        assert_eq!(numbers(&batches), (0..10).collect::<Vec<_>>());
    }
}
