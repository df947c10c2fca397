//! The hidden columns of records, growing.

use std::sync::Arc;

use arrow::array::builder::{BinaryBuilder, StringBuilder};
use arrow::array::{
    ArrayRef, Int32Array, Int64Array, ListArray, StringArray, StructArray,
    TimestampMillisecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use weir_base::PartitionId;
use weir_topics::Record;

use super::schema::{Hidden, header_field};

/// The header of the last record of what a continuous query writes at once: up to where its sources were read, as an
/// [`OffsetVector`](weir_base::OffsetVector) is written. It is not shown in SQL.
pub(super) const POSITION_HEADER: &str = "weir.position";

/// Those hidden columns that are asked for. All rows of one record have the same.
#[derive(Default)]
pub(super) struct HiddenColumns {
    offsets: Option<Vec<i64>>,
    timestamps: Option<Vec<i64>>,
    keys: Option<BinaryBuilder>,
    headers: Option<HeaderColumns>,
    errors: Option<Vec<Option<String>>>,
}

struct HeaderColumns {
    names: StringBuilder,
    values: BinaryBuilder,
    counts: Vec<usize>,
}

impl HiddenColumns {
    pub(super) fn want(&mut self, hidden: Hidden) {
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
            Hidden::Error => self.errors = Some(Vec::new()),
        }
    }

    /// Whether `_error` is asked for.
    pub(super) fn wants_error(&self) -> bool {
        self.errors.is_some()
    }

    /// Appends a row of a record; `error` says why the record cannot be decoded, if it cannot.
    #[inline]
    pub(super) fn push(
        &mut self,
        record: &Record<'_>,
        error: Option<&str>,
    ) -> weir_topics::Result<()> {
        if let Some(headers) = &mut self.headers {
            let mut count = 0;
            for header in record.headers() {
                let (name, value) = header?;
                if name == POSITION_HEADER {
                    continue;
                }
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
        if let Some(errors) = &mut self.errors {
            errors.push(error.map(str::to_owned));
        }
        Ok(())
    }

    /// A column of `count` rows as it is; asked for twice, it is given twice.
    pub(super) fn column(
        &self,
        hidden: Hidden,
        partition: PartitionId,
        count: usize,
    ) -> Result<ArrayRef, ArrowError> {
        let nothing = || ArrowError::SchemaError(format!("{} was not read", hidden.name()));
        Ok(match hidden {
            Hidden::Partition => {
                let partition = i32::try_from(partition.0).unwrap_or(i32::MAX);
                Arc::new(Int32Array::from_value(partition, count))
            }
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
            Hidden::Error => {
                let errors = self.errors.as_ref().ok_or_else(nothing)?;
                Arc::new(errors.iter().map(Option::as_deref).collect::<StringArray>())
            }
        })
    }

    pub(super) fn clear(&mut self) {
        for numbers in [&mut self.offsets, &mut self.timestamps]
            .into_iter()
            .flatten()
        {
            numbers.clear();
        }
        if let Some(keys) = &mut self.keys {
            keys.finish();
        }
        if let Some(headers) = &mut self.headers {
            headers.names.finish();
            headers.values.finish();
            headers.counts.clear();
        }
        if let Some(errors) = &mut self.errors {
            errors.clear();
        }
    }
}
