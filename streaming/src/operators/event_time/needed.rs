//! Up to when rows are needed of which all that may still come of them is late.

use std::fmt;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::datatypes::SchemaRef;

use crate::error::{Error, Result};
use crate::event_time::{Now, nanos_per_unit, native};

/// Rows that are needed until the watermark has passed a time of theirs, and so much more.
#[derive(Debug)]
pub(crate) struct WhileOpen {
    time: usize,
    name: String,
    nanos_per_unit: i128,
    nanos: i128,
    now: Now,
}

impl WhileOpen {
    /// `time` is the place of the column of the time; `nanos` come on top of it.
    pub(crate) fn new(schema: &SchemaRef, time: usize, nanos: i128, now: Now) -> Result<Self> {
        let field = schema.fields().get(time);
        let field = field.ok_or(Error::Internal("a row has no time"))?;
        Ok(Self {
            time,
            name: field.name().clone(),
            nanos_per_unit: nanos_per_unit(field.data_type())?,
            nanos,
            now,
        })
    }

    /// Says of rows whether they are needed no more; none while there is no watermark. What has no time is needed.
    pub(crate) fn is_over(
        &self,
    ) -> Option<impl Fn(&RecordBatch) -> Result<BooleanArray> + Send + Sync + '_> {
        let now = self.now.get()?;
        Some(move |rows: &RecordBatch| {
            let times = native(rows.column(self.time))?;
            let are_over = times.iter().map(|time| {
                time.is_some_and(|time| i128::from(time) * self.nanos_per_unit + self.nanos < now)
            });
            Ok(are_over.map(Some).collect())
        })
    }
}

impl fmt::Display for WhileOpen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.nanos / 1_000_000_000;
        match self.nanos % 1_000_000_000 {
            0 => write!(f, "{} by {seconds} s", self.name),
            rest => write!(f, "{} by {seconds}.{:09} s", self.name, rest.abs()),
        }
    }
}
