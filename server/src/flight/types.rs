//! Types as they are sent: those that drivers read.
//!
//! Views, dictionaries and run-end encoding are sent as the plain types of their values, small decimals and half floats as
//! the next larger type that JDBC has a column for. A client that reads views may say so by the session option
//! `flight.views`.

use std::sync::Arc;

use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

/// The schema of an answer as it is sent.
pub(crate) fn sent_schema(schema: &Schema, views: bool) -> SchemaRef {
    let fields: Vec<_> = schema
        .fields()
        .iter()
        .map(|field| sent_field(field, views))
        .collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

fn sent_field(field: &Field, views: bool) -> Field {
    let sent = sent_type(field.data_type(), views);
    field.clone().with_data_type(sent)
}

fn sent_type(data_type: &DataType, views: bool) -> DataType {
    let item = |field: &Arc<Field>| Arc::new(sent_field(field, views));
    match data_type {
        DataType::Utf8View if !views => DataType::Utf8,
        DataType::BinaryView if !views => DataType::Binary,
        DataType::List(field) => DataType::List(item(field)),
        DataType::LargeList(field) => DataType::LargeList(item(field)),
        DataType::ListView(field) => DataType::List(item(field)),
        DataType::LargeListView(field) => DataType::LargeList(item(field)),
        DataType::FixedSizeList(field, length) => DataType::FixedSizeList(item(field), *length),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(item).collect()),
        DataType::Map(entries, sorted) => DataType::Map(item(entries), *sorted),
        DataType::Dictionary(_, values) => sent_type(values, views),
        DataType::RunEndEncoded(_, values) => sent_type(values.data_type(), views),
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Float16 => DataType::Float32,
        other => other.clone(),
    }
}

/// The rows of `batch` in the types of `schema`, which is what [`sent_schema`] made of the batch's own.
///
/// # Errors
/// When a value has no counterpart; that would be a defect.
pub(crate) fn converted(
    batch: &RecordBatch,
    schema: &SchemaRef,
) -> Result<RecordBatch, ArrowError> {
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| {
            if column.data_type() == field.data_type() {
                Ok(Arc::clone(column))
            } else {
                cast(column, field.data_type())
            }
        })
        .collect::<Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, DictionaryArray, StringArray, StringViewArray};
    use arrow::datatypes::Int32Type;

    use super::*;

    #[test]
    fn views_and_dictionaries_are_sent_as_plain_text() {
        let views: ArrayRef = Arc::new(StringViewArray::from(vec![Some("a"), None]));
        let words: DictionaryArray<Int32Type> = vec![Some("x"), None].into_iter().collect();
        let batch =
            RecordBatch::try_from_iter([("v", views), ("d", Arc::new(words) as ArrayRef)]).unwrap();
        let schema = sent_schema(&batch.schema(), false);
        let sent = converted(&batch, &schema).unwrap();
        assert_eq!(
            sent.column(0).as_ref(),
            &StringArray::from(vec![Some("a"), None])
        );
        assert_eq!(
            sent.column(1).as_ref(),
            &StringArray::from(vec![Some("x"), None])
        );
        let kept = sent_schema(&batch.schema(), true);
        assert_eq!(kept.field(0).data_type(), &DataType::Utf8View);
        assert_eq!(kept.field(1).data_type(), &DataType::Utf8);
    }
}
