//! Giving rows of a stream the watermark of their partition before them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{
    ArrayRef, AsArray, Decimal128Array, Int64Array, RecordBatch, RecordBatchOptions,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::physical_expr::utils::{collect_columns, reassign_expr_columns};
use datafusion::physical_plan::PhysicalExpr;

use super::WATERMARK;
use super::stream::{WatermarkedStream, watermark_type};
use super::time::{nanos_per_unit, native};
use crate::error::{Error, Result};
use crate::operators::{OnRowError, in_row, is_of_a_row};

/// The columns that tell where a record is.
const PLACE: [&str; 2] = ["_partition", "_offset"];

/// How far event time has come in a partition, in nanoseconds since 1970. The rows of one record come at once: none is before
/// another.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Progress {
    /// With all rows so far.
    watermark: Option<i128>,
    /// Before the last record.
    before: Option<i128>,
    /// The last record.
    offset: Option<i64>,
}

impl Progress {
    /// A partition that has come so far.
    pub(super) fn at(watermark: Option<i128>) -> Self {
        Self {
            watermark,
            ..Self::default()
        }
    }

    /// Its watermark.
    pub(crate) fn watermark(&self) -> Option<i128> {
        self.watermark
    }

    /// Takes in a row of a record, and gives the watermark before it.
    fn pass(&mut self, offset: i64, watermark: Option<i128>) -> Option<i128> {
        if self.offset.replace(offset) != Some(offset) {
            self.before = self.watermark;
        }
        self.watermark = watermark.max(self.watermark);
        self.before
    }
}

/// What is read of a stream.
#[derive(Debug)]
pub(crate) struct Reading {
    /// Columns of the stream, with hidden ones.
    pub(crate) read: Vec<usize>,
    /// What of these is given: places in `read`, one behind the last for the watermark.
    given: Vec<usize>,
}

impl Reading {
    /// The columns of some names, and what the watermark needs.
    pub(crate) fn of<'a>(
        stream: &WatermarkedStream,
        names: impl Iterator<Item = &'a str>,
    ) -> Result<Self> {
        let inner = stream.stream().schema();
        let mut read = Vec::new();
        let mut wanted = Vec::new();
        for name in names {
            if name == WATERMARK {
                wanted.push(None);
                continue;
            }
            wanted.push(Some(read.len()));
            read.push(inner.index_of(name)?);
        }
        let needed = collect_columns(stream.watermark());
        let needed = needed.iter().map(|column| inner.index_of(column.name()));
        let mut needed = needed.collect::<Result<Vec<_>, _>>()?;
        for name in PLACE {
            needed.push(inner.index_of(name)?);
        }
        needed.sort_unstable();
        for at in needed {
            if !read.contains(&at) {
                read.push(at);
            }
        }
        let behind = read.len();
        let given = wanted.into_iter().map(|at| at.unwrap_or(behind)).collect();
        Ok(Self { read, given })
    }
}

/// How rows that are read are given.
#[derive(Debug)]
pub(super) struct Marking {
    watermark: Arc<dyn PhysicalExpr>,
    nanos_per_unit: i128,
    /// The places of the columns of partitions and offsets.
    place: [usize; 2],
    /// The columns that are given, by their places among those that are read; the watermark's comes behind these.
    columns: Vec<usize>,
    schema: SchemaRef,
    /// What becomes of a row whose watermark cannot be computed.
    on_error: OnRowError,
    /// What they are of, for people.
    name: String,
}

impl Marking {
    /// `read` is the schema of what `reading` reads.
    pub(super) fn new(
        stream: &WatermarkedStream,
        read: &SchemaRef,
        reading: Reading,
    ) -> Result<Self> {
        let watermark = reassign_expr_columns(Arc::clone(stream.watermark()), read)?;
        let mut fields = read.fields().to_vec();
        fields.push(Arc::new(Field::new(WATERMARK, watermark_type(), true)));
        let [partition, offset] = PLACE.map(|name| read.index_of(name));
        Ok(Self {
            nanos_per_unit: nanos_per_unit(&watermark.data_type(read)?)?,
            place: [partition?, offset?],
            schema: Arc::new(Schema::new(fields).project(&reading.given)?),
            columns: reading.given,
            on_error: stream.on_row_error().clone(),
            name: format!("the watermark {watermark}"),
            watermark,
        })
    }

    /// Says what becomes of rows whose watermark cannot be computed.
    pub(super) fn on_row_error(&mut self, on_error: &OnRowError) {
        self.on_error = on_error.clone();
    }

    /// The schema of what is given.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The places of the columns of partitions and offsets among those that are read.
    pub(super) fn place(&self) -> [usize; 2] {
        self.place
    }

    /// A batch's rows with the watermarks before them; moves the watermarks over them.
    pub(super) fn mark(
        &self,
        batch: &RecordBatch,
        partitions: &mut [Progress],
    ) -> Result<RecordBatch> {
        let (batch, times) = self.timed(batch)?;
        let [partition, offset] = self.place;
        let numbers = batch.column(partition).as_primitive::<Int32Type>();
        let offsets = batch.column(offset).as_primitive::<Int64Type>();
        let mut before = Vec::with_capacity(batch.num_rows());
        for ((time, partition), offset) in times.iter().zip(numbers).zip(offsets) {
            let partition = partition.and_then(|partition| usize::try_from(partition).ok());
            let partition = partition.and_then(|partition| partitions.get_mut(partition));
            let (Some(partition), Some(offset)) = (partition, offset) else {
                return Err(Error::Internal("a row is in no partition of its stream"));
            };
            let time = time.map(|time| i128::from(time) * self.nanos_per_unit);
            before.push(partition.pass(offset, time));
        }
        let DataType::Decimal128(precision, scale) = watermark_type() else {
            return Err(Error::Internal("a watermark is no decimal"));
        };
        let before = Decimal128Array::from(before).with_precision_and_scale(precision, scale)?;
        let mut columns = batch.columns().to_vec();
        columns.push(Arc::new(before));
        let columns = self.columns.iter().filter_map(|at| columns.get(*at));
        let columns: Vec<ArrayRef> = columns.cloned().collect();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let schema = Arc::clone(&self.schema);
        Ok(RecordBatch::try_new_with_options(
            schema, columns, &options,
        )?)
    }

    /// A batch's rows, without those that are left out, and their own watermarks, in their own unit.
    fn timed(&self, batch: &RecordBatch) -> Result<(RecordBatch, Int64Array)> {
        match self.times(batch) {
            Err(error) if is_of_a_row(&error) => {}
            times => return Ok((batch.clone(), times?)),
        }
        let mut rows = Vec::new();
        let mut known = Vec::new();
        // The first of what is waiting is always the earliest.
        let mut waiting = vec![batch.clone()];
        while let Some(some) = waiting.pop() {
            match self.times(&some) {
                Ok(times) => {
                    known.extend(times.iter());
                    rows.push(some);
                }
                Err(error) if some.num_rows() > 1 && is_of_a_row(&error) => {
                    let half = some.num_rows() / 2;
                    waiting.push(some.slice(half, some.num_rows() - half));
                    waiting.push(some.slice(0, half));
                }
                Err(error) => match &self.on_error {
                    OnRowError::Skip(skipped) if is_of_a_row(&error) => {
                        skipped.fetch_add(1, Ordering::Relaxed);
                    }
                    _ => return Err(in_row(error, &self.name, &some)),
                },
            }
        }
        let rows = concat_batches(&batch.schema(), &rows)?;
        Ok((rows, Int64Array::from(known)))
    }

    fn times(&self, batch: &RecordBatch) -> Result<Int64Array> {
        let times = self.watermark.evaluate(batch)?;
        native(&times.into_array(batch.num_rows())?)
    }
}
