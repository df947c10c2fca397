//! Arrow IPC streams. In: batches. Out: IPC messages whose bodies share the arrays' own buffers.
//!
//! View types are sent as plain ones (`Utf8View` as `Utf8`): most readers of Arrow have no functions on views yet, and an IPC
//! message would carry the views' buffers whole, however few of their bytes a filter or a limit has left.

use std::sync::Arc;

use arrow::array::Array;
use arrow::buffer::Buffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::ipc::writer::StreamEncoder;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use bytes::Bytes;
use weir_base::ResumeToken;

use super::types::without_views;
use super::{EncodeError, Encoder, Output, Summary};

/// The end-of-stream mark: a continuation marker and a length of zero.
const END_BYTES: usize = 8;

pub(super) struct ArrowEncoder {
    stream: Option<StreamEncoder>,
    schema: SchemaRef,
    converts: bool,
    /// Bytes of the schema message, which `begin` sends and the stream's first call repeats.
    repeated: usize,
}

impl ArrowEncoder {
    pub(super) fn new(schema: &SchemaRef) -> Result<Self, EncodeError> {
        let fields: Vec<_> = schema
            .fields()
            .iter()
            .map(|field| without_views(field))
            .collect();
        let sent = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
        Ok(Self {
            stream: Some(StreamEncoder::try_new(&sent)?),
            converts: sent != *schema,
            schema: sent,
            repeated: 0,
        })
    }

    /// The batch in the types that are sent.
    fn converted(&self, batch: &RecordBatch) -> Result<RecordBatch, EncodeError> {
        let columns = batch
            .columns()
            .iter()
            .zip(self.schema.fields())
            .map(|(column, field)| {
                if column.data_type() == field.data_type() {
                    Ok(Arc::clone(column))
                } else {
                    cast(column, field.data_type())
                }
            })
            .collect::<Result<_, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(
            Arc::clone(&self.schema),
            columns,
            &options,
        )?)
    }

    fn push(&mut self, buffers: Vec<Buffer>, out: &mut Output) {
        for buffer in buffers {
            let skipped = buffer.len().min(self.repeated);
            self.repeated -= skipped;
            let buffer = buffer.slice(skipped);
            if buffer.len() < super::COPY_BELOW {
                out.tail().extend_from_slice(buffer.as_slice());
            } else {
                out.push(Bytes::from_owner(Shared(buffer)));
            }
        }
    }
}

/// Owns an Arrow buffer on behalf of `Bytes`.
struct Shared(Buffer);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl Encoder for ArrowEncoder {
    fn begin(&mut self, out: &mut Output) -> Result<(), EncodeError> {
        // An empty stream is the schema message and the end mark.
        let empty: Vec<u8> = StreamEncoder::try_new(&self.schema)?
            .finish()?
            .iter()
            .flat_map(Buffer::as_slice)
            .copied()
            .collect();
        let message = &empty[..empty.len().saturating_sub(END_BYTES)];
        out.tail().extend_from_slice(message);
        self.repeated = message.len();
        Ok(())
    }

    fn rows(
        &mut self,
        batch: &RecordBatch,
        _position: Option<&ResumeToken>,
        out: &mut Output,
    ) -> Result<(), EncodeError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let converted = if self.converts {
            Some(self.converted(batch)?)
        } else {
            None
        };
        let Some(stream) = &mut self.stream else {
            return Ok(());
        };
        let buffers = stream.encode(converted.as_ref().unwrap_or(batch))?;
        self.push(buffers, out);
        Ok(())
    }

    fn end(&mut self, _summary: &Summary, out: &mut Output) -> Result<(), EncodeError> {
        if let Some(stream) = self.stream.take() {
            let buffers = stream.finish()?;
            self.push(buffers, out);
        }
        Ok(())
    }

    fn is_cheap(&self) -> bool {
        // Buffers of these types are passed on as they are, or copied once.
        self.schema.fields().iter().all(|field| {
            field.data_type().is_primitive()
                || matches!(
                    field.data_type(),
                    DataType::Boolean
                        | DataType::Utf8
                        | DataType::LargeUtf8
                        | DataType::Binary
                        | DataType::LargeBinary
                )
        })
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, ListArray, StringArray, StringViewArray};
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::Field;
    use arrow::ipc::reader::StreamReader;

    use super::super::testing::body;
    use super::*;
    use crate::rest::Format;

    fn read(bytes: &[u8]) -> Vec<RecordBatch> {
        StreamReader::try_new(bytes, None)
            .unwrap()
            .map(Result::unwrap)
            .collect()
    }

    fn batch(rows: i64) -> RecordBatch {
        let numbers = Int64Array::from_iter_values(0..rows);
        let texts = StringViewArray::from_iter_values(
            (0..rows).map(|row| format!("a text that is long enough: {row}")),
        );
        RecordBatch::try_from_iter([
            ("n", Arc::new(numbers) as ArrayRef),
            ("t", Arc::new(texts) as ArrayRef),
        ])
        .unwrap()
    }

    /// The same rows with plain text.
    fn plain(batch: &RecordBatch) -> RecordBatch {
        let texts = cast(batch.column(1), &DataType::Utf8).unwrap();
        assert!(texts.as_any().is::<StringArray>());
        RecordBatch::try_from_iter([("n", Arc::clone(batch.column(0))), ("t", texts)]).unwrap()
    }

    /// The batch as it is sent.
    fn sent(batch: &RecordBatch) -> RecordBatch {
        ArrowEncoder::new(&batch.schema())
            .unwrap()
            .converted(batch)
            .unwrap()
    }

    #[test]
    fn a_stream_reads_back_and_ends_with_its_mark() {
        let batches = [batch(10_000), batch(1).slice(0, 0), batch(3)];
        let bytes = body(Format::Arrow, &batches);
        assert_eq!(read(&bytes), [sent(&batches[0]), sent(&batches[2])]);
        assert_eq!(
            &bytes[bytes.len() - 8..],
            [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]
        );
    }

    #[test]
    fn the_schema_comes_first_and_once() {
        let batch = batch(3);
        let mut encoder = ArrowEncoder::new(&batch.schema()).unwrap();
        let mut out = Output::default();
        encoder.begin(&mut out).unwrap();
        let schema = out.take().concat();
        encoder.rows(&batch, None, &mut out).unwrap();
        encoder.end(&Summary::default(), &mut out).unwrap();
        let whole = [schema.clone(), out.take().concat()].concat();
        assert!(!schema.is_empty());
        assert_eq!(read(&whole), [sent(&batch)]);
        let mut plain = Vec::new();
        let mut writer =
            arrow::ipc::writer::StreamWriter::try_new(&mut plain, &sent(&batch).schema()).unwrap();
        writer.write(&sent(&batch)).unwrap();
        writer.finish().unwrap();
        assert_eq!(whole, plain);
    }

    #[test]
    fn views_are_sent_as_plain_types_at_any_depth() {
        let texts: ArrayRef = Arc::new(StringViewArray::from(vec![
            Some("a"),
            None,
            Some("a longer text than twelve bytes"),
        ]));
        let lists = ListArray::new(
            Arc::new(Field::new_list_field(DataType::Utf8View, true)),
            OffsetBuffer::from_lengths([2, 1]),
            Arc::clone(&texts),
            None,
        );
        let batch = RecordBatch::try_from_iter([("l", Arc::new(lists) as ArrayRef)]).unwrap();
        let read = read(&body(Format::Arrow, &[batch]));
        let expected = ListArray::new(
            Arc::new(Field::new_list_field(DataType::Utf8, true)),
            OffsetBuffer::from_lengths([2, 1]),
            Arc::new(StringArray::from(vec![
                Some("a"),
                None,
                Some("a longer text than twelve bytes"),
            ])),
            None,
        );
        assert_eq!(read[0].column(0).as_ref(), &expected as &dyn Array);
    }

    #[test]
    fn large_buffers_are_not_copied() {
        let batch = batch(10_000);
        let mut encoder = ArrowEncoder::new(&batch.schema()).unwrap();
        let mut out = Output::default();
        encoder.rows(&batch, None, &mut out).unwrap();
        let values = batch.column(0).to_data().buffers()[0].as_ptr();
        assert!(out.take().iter().any(|part| part.as_ptr() == values));
    }

    #[test]
    fn a_slice_does_not_drag_its_buffers_along() {
        let whole = batch(100_000);
        let bytes = body(Format::Arrow, &[whole.slice(5, 3)]);
        assert!(bytes.len() < 10_000, "{} bytes for 3 rows", bytes.len());
        assert_eq!(read(&bytes), [plain(&whole.slice(5, 3))]);
    }

    #[test]
    fn without_rows_there_is_a_schema() {
        let empty = batch(0);
        let bytes = body(Format::Arrow, std::slice::from_ref(&empty));
        assert_eq!(
            StreamReader::try_new(&bytes[..], None).unwrap().schema(),
            plain(&empty).schema()
        );
    }
}
