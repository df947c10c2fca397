//! Records decoded into the columns that are asked for.

use std::sync::Arc;

use arrow::array::builder::{BinaryBuilder, StringBuilder};
use arrow::array::{
    ArrayRef, Int32Array, Int64Array, ListArray, RecordBatch, RecordBatchOptions, StructArray,
    TimestampMillisecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use weir_base::{Kind, Offset, PartitionId, SqlState, TopicName};
use weir_topics::Record;

use super::row::{RowReader, Wanted};
use super::schema::{Hidden, RowSchema, header_field};
use crate::{Error, Result};

/// Decodes the records of one partition, each its value as a row, into batches of some columns.
pub(crate) struct RecordDecoder {
    topic: TopicName,
    partition: PartitionId,
    schema: SchemaRef,
    /// Where each output column comes from.
    columns: Vec<Source>,
    rows: RowReader,
    /// Whether any column is within the record's value.
    reads_value: bool,
    hidden: HiddenColumns,
    count: usize,
    /// What the records so far hold, in bytes.
    bytes: usize,
}

#[derive(Clone, Copy)]
enum Source {
    /// A place among the columns that the row reader gives.
    Row(usize),
    /// The record's value as it is.
    Value,
    Hidden(Hidden),
}

/// The hidden columns that are asked for, growing; and of raw records the value.
#[derive(Default)]
struct HiddenColumns {
    values: Option<BinaryBuilder>,
    offsets: Option<Vec<i64>>,
    timestamps: Option<Vec<i64>>,
    keys: Option<BinaryBuilder>,
    headers: Option<HeaderColumns>,
}

struct HeaderColumns {
    names: StringBuilder,
    values: BinaryBuilder,
    counts: Vec<usize>,
}

impl RecordDecoder {
    /// A decoder for the columns at `projection` of the schema with hidden columns: [`RowSchema::schema_with_hidden`].
    ///
    /// # Errors
    /// When a column is not there, or has a type that rows cannot hold.
    pub(crate) fn new(
        topic: &TopicName,
        partition: PartitionId,
        schema: &RowSchema,
        projection: &[usize],
    ) -> Result<Self> {
        let all = schema.schema_with_hidden();
        let shown = schema.columns().len();
        let mut wanted = Vec::new();
        let mut columns = Vec::new();
        let mut hidden = HiddenColumns::default();
        for at in projection {
            if let Some(column) = schema.columns().get(*at) {
                if schema.is_raw() {
                    columns.push(Source::Value);
                    hidden.values = Some(BinaryBuilder::new());
                    continue;
                }
                columns.push(Source::Row(wanted.len()));
                wanted.push(Wanted {
                    field: &column.field,
                    key: &column.source,
                    fill: column.absent.clone(),
                });
                continue;
            }
            let Some(which) = at.checked_sub(shown).and_then(|at| Hidden::ALL.get(at)) else {
                return Err(internal(format!("there is no column {at}")));
            };
            columns.push(Source::Hidden(*which));
            hidden.want(*which);
        }
        let reads_value = !wanted.is_empty();
        let rows = RowReader::new(wanted, false)
            .map_err(|error| internal("columns cannot be read").with_source(error))?;
        let schema = all
            .project(projection)
            .map_err(|error| internal("columns cannot be read").with_source(error))?;
        Ok(Self {
            topic: topic.clone(),
            partition,
            schema: Arc::new(schema),
            columns,
            rows,
            reads_value,
            hidden,
            count: 0,
            bytes: 0,
        })
    }

    /// How many records were pushed since the last batch.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// How many bytes of keys and values these have.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends a record.
    ///
    /// # Errors
    /// When its value is no row of this schema; the error names the record.
    #[inline]
    pub(crate) fn push(&mut self, record: &Record<'_>) -> Result<()> {
        if self.reads_value {
            let value = record.value.unwrap_or_default();
            let text = std::str::from_utf8(value)
                .map_err(|_| self.unreadable(record.offset, "it is not valid UTF-8".to_owned()))?;
            if let Err(wrong) = self.rows.object(text) {
                let place = wrong
                    .path
                    .map(|path| format!("column {path:?}: "))
                    .unwrap_or_default();
                return Err(self.unreadable(record.offset, format!("{place}{}", wrong.message)));
            }
        }
        self.hidden
            .push(record)
            .map_err(|error| self.unreadable(record.offset, error.to_string()))?;
        self.count += 1;
        self.bytes += record.value.map_or(0, <[u8]>::len) + record.key.map_or(0, <[u8]>::len);
        Ok(())
    }

    /// The records so far as a batch; the decoder starts anew.
    pub(crate) fn finish(&mut self) -> Result<RecordBatch> {
        let failed = |error| internal("decoded columns do not fit together").with_source(error);
        let count = std::mem::take(&mut self.count);
        self.bytes = 0;
        let rows = if self.reads_value {
            Some(self.rows.finish().map_err(failed)?)
        } else {
            None
        };
        let columns = self
            .columns
            .iter()
            .map(|source| match source {
                Source::Row(at) => rows
                    .as_ref()
                    .and_then(|rows| rows.columns().get(*at).cloned())
                    .ok_or_else(|| internal("a decoded column is missing")),
                Source::Value => {
                    let values = self.hidden.values.as_ref();
                    let values = values.ok_or_else(|| internal("a decoded column is missing"))?;
                    Ok(Arc::new(values.finish_cloned()) as ArrayRef)
                }
                Source::Hidden(Hidden::Partition) => {
                    let partition = i32::try_from(self.partition.0).unwrap_or(i32::MAX);
                    Ok(Arc::new(Int32Array::from_value(partition, count)) as ArrayRef)
                }
                Source::Hidden(hidden) => self.hidden.column(*hidden).map_err(failed),
            })
            .collect::<Result<Vec<_>>>()?;
        self.hidden.clear();
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .map_err(failed)
    }

    fn unreadable(&self, offset: Offset, message: String) -> Error {
        Error::new(
            Kind::Corrupt,
            format!(
                "topic {:?}, partition {}, offset {offset}: the record cannot be read as a row: {message}",
                self.topic.as_str(),
                self.partition
            ),
        )
        .with_sqlstate(SqlState::INVALID_TEXT_REPRESENTATION)
    }
}

impl HiddenColumns {
    fn want(&mut self, hidden: Hidden) {
        match hidden {
            Hidden::Partition => {}
            Hidden::Offset => self.offsets = Some(Vec::new()),
            Hidden::Timestamp => self.timestamps = Some(Vec::new()),
            Hidden::Key => self.keys = Some(BinaryBuilder::new()),
            Hidden::Headers => {
                self.headers = Some(HeaderColumns {
                    names: StringBuilder::new(),
                    values: BinaryBuilder::new(),
                    counts: Vec::new(),
                });
            }
        }
    }

    #[inline]
    fn push(&mut self, record: &Record<'_>) -> weir_topics::Result<()> {
        if let Some(headers) = &mut self.headers {
            let mut count = 0;
            for header in record.headers() {
                let (name, value) = header?;
                headers.names.append_value(name);
                headers.values.append_option(value);
                count += 1;
            }
            headers.counts.push(count);
        }
        if let Some(offsets) = &mut self.offsets {
            offsets.push(record.offset.0);
        }
        if let Some(timestamps) = &mut self.timestamps {
            timestamps.push(record.timestamp_ms);
        }
        if let Some(keys) = &mut self.keys {
            keys.append_option(record.key);
        }
        if let Some(values) = &mut self.values {
            values.append_option(record.value);
        }
        Ok(())
    }

    /// A column as it is; asked for twice, it is given twice.
    fn column(&self, hidden: Hidden) -> std::result::Result<ArrayRef, arrow::error::ArrowError> {
        let nothing =
            || arrow::error::ArrowError::SchemaError(format!("{} was not read", hidden.name()));
        Ok(match hidden {
            Hidden::Partition => return Err(nothing()),
            Hidden::Offset => Arc::new(Int64Array::from(self.offsets.clone().ok_or_else(nothing)?)),
            Hidden::Timestamp => Arc::new(
                TimestampMillisecondArray::from(self.timestamps.clone().ok_or_else(nothing)?)
                    .with_timezone("UTC"),
            ),
            Hidden::Key => Arc::new(self.keys.as_ref().ok_or_else(nothing)?.finish_cloned()),
            Hidden::Headers => {
                let headers = self.headers.as_ref().ok_or_else(nothing)?;
                let item = header_field();
                let DataType::Struct(fields) = item.data_type() else {
                    return Err(nothing());
                };
                let columns: Vec<ArrayRef> = vec![
                    Arc::new(headers.names.finish_cloned()),
                    Arc::new(headers.values.finish_cloned()),
                ];
                let items = StructArray::try_new(fields.clone(), columns, None)?;
                let ends = OffsetBuffer::from_lengths(headers.counts.iter().copied());
                Arc::new(ListArray::try_new(
                    Arc::new(item),
                    ends,
                    Arc::new(items),
                    None,
                )?)
            }
        })
    }

    fn clear(&mut self) {
        if let Some(offsets) = &mut self.offsets {
            offsets.clear();
        }
        if let Some(timestamps) = &mut self.timestamps {
            timestamps.clear();
        }
        for bytes in [&mut self.keys, &mut self.values].into_iter().flatten() {
            bytes.finish();
        }
        if let Some(headers) = &mut self.headers {
            headers.names.finish();
            headers.values.finish();
            headers.counts.clear();
        }
    }
}

fn internal(message: impl Into<String>) -> Error {
    Error::new(Kind::Internal, message)
}

/// The schema of some columns of the schema with hidden columns.
pub(crate) fn projected(schema: &RowSchema, projection: &[usize]) -> Result<Schema> {
    schema
        .schema_with_hidden()
        .project(projection)
        .map_err(|error| internal("columns cannot be read").with_source(error))
}
