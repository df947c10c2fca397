//! Arrow IPC streams and Parquet files.

use std::io::Write;

use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::{RowWriter, Sink, renamed, with_unique_names};
use crate::error::Result;

/// An Arrow IPC stream.
pub(crate) struct Arrow(StreamWriter<Sink>);

impl Arrow {
    /// A writer to `sink`.
    pub(crate) fn new(schema: &SchemaRef, sink: Sink) -> Result<Self> {
        Ok(Self(StreamWriter::try_new(sink, schema)?))
    }
}

impl RowWriter for Arrow {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        Ok(self.0.write(batch)?)
    }

    fn flush(&mut self) -> Result<()> {
        Ok(self.0.flush()?)
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        self.0.finish()?;
        Ok(self.0.flush()?)
    }
}

/// A Parquet file.
pub(crate) struct Parquet {
    writer: ArrowWriter<Sink>,
    schema: SchemaRef,
}

impl Parquet {
    /// A writer to `sink`.
    pub(crate) fn new(schema: &SchemaRef, sink: Sink) -> Result<Self> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .build();
        let schema = with_unique_names(schema);
        Ok(Self {
            writer: ArrowWriter::try_new(sink, schema.clone(), Some(properties))?,
            schema,
        })
    }
}

impl RowWriter for Parquet {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        Ok(self.writer.write(&renamed(batch, &self.schema)?)?)
    }

    /// Nothing: a Parquet file cannot be read before its end.
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let mut sink = self.writer.into_inner()?;
        Ok(sink.flush()?)
    }
}

#[cfg(test)]
mod tests {
    use arrow::ipc::reader::StreamReader;
    use bytes::Bytes;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::super::tests::{sample, written};
    use super::super::{Expanded, Format};

    #[test]
    fn arrow_and_parquet_read_back() {
        let batches = [sample(), sample()];
        let arrow = written(Format::Arrow, Expanded::Off, &batches).bytes();
        let rows: usize = StreamReader::try_new(arrow.as_slice(), None)
            .unwrap()
            .map(|batch| batch.unwrap().num_rows())
            .sum();
        assert_eq!(rows, 6);
        let parquet = Bytes::from(written(Format::Parquet, Expanded::Off, &batches).bytes());
        let reader = ParquetRecordBatchReaderBuilder::try_new(parquet).unwrap();
        let read: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
        assert_eq!(read[0].slice(0, 3).column(0), sample().column(0));
    }
}
