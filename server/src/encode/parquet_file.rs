//! Parquet, a row group at a time. In: batches. Out: the file's bytes as soon as a row group is full.
//!
//! View types are written as plain ones, because a reader is told the Arrow types that were written, and most have no functions on
//! views yet. What Parquet has no type for (intervals with nanoseconds, unions, structs without fields) is written as text.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, IntervalUnit, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use weir_base::ResumeToken;

use super::cell::cell;
use super::types::plain;
use super::{EncodeError, Encoder, Output, Summary, unique_names};

/// A row group is closed when its encoded columns take this much, so that memory stays bounded.
const ROW_GROUP_BYTES: usize = 16 << 20;

pub(super) struct ParquetEncoder {
    schema: SchemaRef,
    fits: Vec<Fit>,
    writer: Option<ArrowWriter<Vec<u8>>>,
}

/// How a column goes into Parquet.
#[derive(Debug, Clone, PartialEq)]
enum Fit {
    AsIs,
    Cast(DataType),
    Text,
}

impl ParquetEncoder {
    pub(super) fn new(schema: &SchemaRef) -> Result<Self, EncodeError> {
        let fits: Vec<Fit> = schema
            .fields()
            .iter()
            .map(|field| fit(field.data_type()))
            .collect();
        let fields: Vec<Field> = unique_names(schema)
            .into_iter()
            .zip(schema.fields())
            .zip(&fits)
            .map(|((name, field), fit)| {
                let field = field.as_ref().clone().with_name(name);
                match fit {
                    Fit::AsIs => field,
                    Fit::Cast(data_type) => field.with_data_type(data_type.clone()),
                    Fit::Text => field.with_data_type(DataType::Utf8),
                }
            })
            .collect();
        let schema = Arc::new(Schema::new(fields));
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(concat!("weir version ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), Some(properties))?;
        Ok(Self {
            schema,
            fits,
            writer: Some(writer),
        })
    }

    fn fitted(&self, batch: &RecordBatch) -> Result<RecordBatch, EncodeError> {
        let given = batch.schema();
        let columns = batch
            .columns()
            .iter()
            .zip(given.fields())
            .zip(&self.fits)
            .map(|((column, field), fit)| match fit {
                Fit::AsIs => Ok(Arc::clone(column)),
                Fit::Cast(data_type) => Ok(cast(column, data_type)?),
                Fit::Text => text(column, field),
            })
            .collect::<Result<Vec<_>, EncodeError>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(
            Arc::clone(&self.schema),
            columns,
            &options,
        )?)
    }
}

fn text(column: &ArrayRef, field: &Field) -> Result<ArrayRef, EncodeError> {
    let cell = cell(column.as_ref(), field)?;
    let mut builder = StringBuilder::new();
    let mut value = Vec::new();
    for row in 0..column.len() {
        if cell.is_null(row) {
            builder.append_null();
        } else {
            value.clear();
            cell.text(row, &mut value);
            builder.append_value(String::from_utf8_lossy(&value));
        }
    }
    Ok(Arc::new(builder.finish()))
}

fn fit(data_type: &DataType) -> Fit {
    let target = match data_type {
        DataType::RunEndEncoded(_, values) => plain(values.data_type()),
        other => plain(other),
    };
    if !is_writable(&target) {
        Fit::Text
    } else if target == *data_type {
        Fit::AsIs
    } else {
        Fit::Cast(target)
    }
}

/// Whether Parquet, or its writer, has a type for it. What holds such a thing becomes text as a whole.
fn is_writable(data_type: &DataType) -> bool {
    match data_type {
        DataType::Interval(IntervalUnit::MonthDayNano)
        | DataType::Union(_, _)
        | DataType::RunEndEncoded(_, _) => false,
        DataType::Dictionary(_, values) => is_writable(values),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => is_writable(item.data_type()),
        DataType::Struct(fields) => {
            !fields.is_empty() && fields.iter().all(|field| is_writable(field.data_type()))
        }
        _ => true,
    }
}

fn drain(writer: &mut ArrowWriter<Vec<u8>>, out: &mut Output) {
    out.push(Bytes::from(std::mem::take(writer.inner_mut())));
}

impl Encoder for ParquetEncoder {
    fn begin(&mut self, _out: &mut Output) -> Result<(), EncodeError> {
        Ok(())
    }

    fn rows(
        &mut self,
        batch: &RecordBatch,
        _position: Option<&ResumeToken>,
        out: &mut Output,
    ) -> Result<(), EncodeError> {
        let fitted = self.fitted(batch)?;
        if let Some(writer) = &mut self.writer {
            writer.write(&fitted)?;
            if writer.in_progress_size() >= ROW_GROUP_BYTES
                || writer.memory_size() >= 4 * ROW_GROUP_BYTES
            {
                writer.flush()?;
            }
            // The writer closes a row group of a million rows by itself.
            drain(writer, out);
        }
        Ok(())
    }

    fn end(&mut self, summary: &Summary, out: &mut Output) -> Result<(), EncodeError> {
        if let Some(mut writer) = self.writer.take() {
            if summary.truncated {
                writer.append_key_value_metadata(parquet::file::metadata::KeyValue::new(
                    "weir.truncated".to_owned(),
                    "true".to_owned(),
                ));
            }
            writer.finish()?;
            drain(&mut writer, out);
        }
        Ok(())
    }
}
