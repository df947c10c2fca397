//! Arrow IPC streams. In: batches. Out: IPC messages whose bodies share the arrays' own buffers.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, GenericByteViewArray};
use arrow::buffer::Buffer;
use arrow::datatypes::{ByteViewType, DataType, SchemaRef};
use arrow::ipc::writer::StreamEncoder;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use weir_base::OffsetVector;

use super::{EncodeError, Encoder, Output, Summary};

/// View arrays whose buffers hold this many bytes more than their rows use are compacted before they are sent.
const VIEW_WASTE_MAX: usize = 64 << 10;

pub(super) struct ArrowEncoder {
    stream: Option<StreamEncoder>,
    schema: SchemaRef,
}

impl ArrowEncoder {
    pub(super) fn new(schema: &SchemaRef) -> Result<Self, EncodeError> {
        Ok(Self {
            stream: Some(StreamEncoder::try_new(schema)?),
            schema: Arc::clone(schema),
        })
    }
}

/// Owns an Arrow buffer on behalf of `Bytes`.
struct Shared(Buffer);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        self.0.as_slice()
    }
}

fn push_all(buffers: Vec<Buffer>, out: &mut Output) {
    for buffer in buffers {
        if buffer.len() < super::COPY_BELOW {
            out.tail().extend_from_slice(buffer.as_slice());
        } else {
            out.push(Bytes::from_owner(Shared(buffer)));
        }
    }
}

impl Encoder for ArrowEncoder {
    fn begin(&mut self, _out: &mut Output) -> Result<(), EncodeError> {
        Ok(())
    }

    fn rows(
        &mut self,
        batch: &RecordBatch,
        _position: Option<&OffsetVector>,
        out: &mut Output,
    ) -> Result<(), EncodeError> {
        let Some(stream) = &mut self.stream else {
            return Ok(());
        };
        let compacted = compact(batch)?;
        push_all(stream.encode(compacted.as_ref().unwrap_or(batch))?, out);
        Ok(())
    }

    fn end(&mut self, _summary: &Summary, out: &mut Output) -> Result<(), EncodeError> {
        if let Some(stream) = self.stream.take() {
            push_all(stream.finish()?, out);
        }
        Ok(())
    }

    fn is_cheap(&self) -> bool {
        // Buffers of these types are passed on as they are; the others are re-encoded when they are slices.
        self.schema.fields().iter().all(|field| {
            field.data_type().is_primitive()
                || matches!(
                    field.data_type(),
                    DataType::Boolean
                        | DataType::Utf8
                        | DataType::LargeUtf8
                        | DataType::Utf8View
                        | DataType::Binary
                        | DataType::BinaryView
                )
        })
    }
}

/// The batch with every view array compacted whose buffers hold much that its rows do not use, as after a filter or a
/// limit: an IPC message carries the buffers whole. `None` when there is none.
fn compact(batch: &RecordBatch) -> Result<Option<RecordBatch>, EncodeError> {
    let is_view =
        |array: &ArrayRef| matches!(array.data_type(), DataType::Utf8View | DataType::BinaryView);
    if !batch.columns().iter().any(is_view) {
        return Ok(None);
    }
    let mut changed = false;
    let columns = batch
        .columns()
        .iter()
        .map(|column| {
            let compacted = match column.data_type() {
                DataType::Utf8View => compact_views(column.as_string_view()),
                DataType::BinaryView => compact_views(column.as_binary_view()),
                _ => None,
            };
            changed |= compacted.is_some();
            compacted.unwrap_or_else(|| Arc::clone(column))
        })
        .collect();
    Ok(if changed {
        Some(RecordBatch::try_new(batch.schema(), columns)?)
    } else {
        None
    })
}

fn compact_views<T: ByteViewType>(array: &GenericByteViewArray<T>) -> Option<ArrayRef> {
    let held: usize = array.data_buffers().iter().map(Buffer::len).sum();
    if held <= VIEW_WASTE_MAX {
        return None;
    }
    // The length is a view's low 32 bits; up to 12 bytes lie in the view itself.
    let used: usize = array
        .views()
        .iter()
        .map(|view| (*view as u32) as usize)
        .filter(|length| *length > 12)
        .sum();
    (held > used.saturating_mul(2).saturating_add(VIEW_WASTE_MAX))
        .then(|| Arc::new(array.gc()) as ArrayRef)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringViewArray};
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

    #[test]
    fn a_stream_reads_back_and_ends_with_its_mark() {
        let batches = [batch(10_000), batch(1).slice(0, 0), batch(3)];
        let bytes = body(Format::Arrow, &batches);
        assert_eq!(read(&bytes), batches);
        assert_eq!(
            &bytes[bytes.len() - 8..],
            [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]
        );
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
        assert_eq!(read(&bytes), [whole.slice(5, 3)]);
    }

    #[test]
    fn without_rows_there_is_a_schema() {
        let empty = batch(0);
        let bytes = body(Format::Arrow, std::slice::from_ref(&empty));
        assert_eq!(
            StreamReader::try_new(&bytes[..], None).unwrap().schema(),
            empty.schema()
        );
    }
}
