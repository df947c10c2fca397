//! Leaving out rows that are late for their windows.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Decimal128Type, SchemaRef};
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::checkpoint::{Saving, Shelf};
use crate::dataflow::Ranges;
use crate::delta::Delta;
use crate::error::{Error, Result};
use crate::event_time::{nanos_per_unit, native};
use crate::operators::{Boxed, Description, Follows, Operator};

/// When a row is late: by the places of the columns that decide it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum TooLate {
    /// The watermark has reached the window's end.
    ReachedEnd {
        /// The column of the end.
        end: usize,
    },
    /// The watermark has passed the row's own time.
    PassedTime {
        /// The column of the time.
        time: usize,
    },
}

impl TooLate {
    /// Which rows of a batch are on time; `watermark` is the place of the watermark's column.
    fn on_time(self, batch: &RecordBatch, watermark: usize) -> Result<BooleanArray> {
        let (Self::ReachedEnd { end: time } | Self::PassedTime { time }) = self;
        let unit = nanos_per_unit(batch.column(time).data_type())?;
        let times = native(batch.column(time))?;
        let watermarks = batch.column(watermark);
        let watermarks = watermarks.as_primitive_opt::<Decimal128Type>();
        let watermarks = watermarks.ok_or(Error::Internal("a watermark is no decimal"))?;
        if times.null_count() > 0 {
            return Err(without_bounds());
        }
        let rows = times.values().iter().zip(watermarks);
        let on_time = rows.map(|(time, watermark)| {
            let time = i128::from(*time) * unit;
            watermark.is_none_or(|watermark| match self {
                Self::ReachedEnd { .. } => watermark < time,
                Self::PassedTime { .. } => watermark <= time,
            })
        });
        Ok(on_time.collect::<Vec<bool>>().into())
    }
}

/// Of what a null makes a window.
pub(super) fn without_bounds() -> Error {
    Error::Windows {
        message: "a row is in a window without an end".to_owned(),
        hint: "the size of a window may not be null",
    }
}

/// Passes on the rows that are on time, without their watermarks, and counts the others.
pub(crate) struct OnTime {
    input: Boxed,
    too_late: TooLate,
    watermark: usize,
    /// All columns but the watermark's.
    columns: Vec<usize>,
    schema: SchemaRef,
    /// How many were late, of all that count together.
    late: Arc<AtomicU64>,
    /// How many were late here.
    late_here: u64,
    shelf: Shelf,
}

impl OnTime {
    /// `watermark` is the place of the watermark's column.
    ///
    /// # Errors
    /// When rows of the input may go again.
    pub(crate) fn new(
        input: Boxed,
        too_late: TooLate,
        watermark: usize,
        late: Arc<AtomicU64>,
        shelf: Shelf,
    ) -> Result<Self> {
        if !input.only_grows() {
            return Err(Error::Windows {
                message: "rows of a window that closes may not change, but those of a table or of another view do".to_owned(),
                hint: "put the window around the stream alone, and join with the table when the view is read",
            });
        }
        let schema = input.schema();
        let columns = 0..schema.fields().len();
        let columns: Vec<usize> = columns.filter(|at| *at != watermark).collect();
        let saved = shelf.get(&[])?;
        let saved = saved.and_then(|saved| saved.as_ref().try_into().ok());
        let late_here = saved.map_or(0, u64::from_le_bytes);
        late.fetch_add(late_here, Ordering::Relaxed);
        Ok(Self {
            late_here,
            shelf,
            schema: Arc::new(schema.project(&columns)?),
            input,
            too_late,
            watermark,
            columns,
            late,
        })
    }
}

impl Operator for OnTime {
    fn step<'a>(&'a mut self, ranges: &'a Ranges) -> BoxFuture<'a, Result<Delta>> {
        async move {
            let change = self.input.step(ranges).await?;
            let mut rows = Vec::with_capacity(change.plus.len());
            for batch in change.plus {
                let on_time = self.too_late.on_time(&batch, self.watermark)?;
                let late = batch.num_rows() - on_time.true_count();
                let batch = batch.project(&self.columns)?;
                if late == 0 {
                    rows.push(batch);
                    continue;
                }
                self.late_here += late as u64;
                self.late.fetch_add(late as u64, Ordering::Relaxed);
                let batch = filter_record_batch(&batch, &on_time)?;
                if batch.num_rows() > 0 {
                    rows.push(batch);
                }
            }
            Ok(Delta::of_plus(rows))
        }
        .boxed()
    }

    fn only_grows(&self) -> bool {
        true
    }

    fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }

    fn describe(&self) -> Description {
        let rule = match self.too_late {
            TooLate::ReachedEnd { .. } => {
                "without rows whose partition's watermark had reached the end of their window"
            }
            TooLate::PassedTime { .. } => {
                "without rows whose partition's watermark had passed their time"
            }
        };
        Description {
            name: "OnTime",
            detail: rule.to_owned(),
            follows: Follows::Rows,
        }
    }

    fn inputs(&self) -> Vec<&dyn Operator> {
        vec![self.input.as_ref()]
    }

    fn inputs_mut(&mut self) -> Vec<&mut Boxed> {
        vec![&mut self.input]
    }

    fn save(&mut self, saving: &mut Saving) -> Result<()> {
        saving.put(&self.shelf, &[], &self.late_here.to_le_bytes());
        Ok(())
    }
}
