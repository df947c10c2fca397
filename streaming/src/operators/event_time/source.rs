//! A stream whose rows were read with their watermarks before the step.

use arrow::datatypes::SchemaRef;
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::dataflow::Ranges;
use crate::delta::Delta;
use crate::error::Result;
use crate::event_time::{EventSource, Rows};
use crate::operators::{Description, Follows, Operator};

/// The records of a stream, with the watermark of its partition before each.
pub(crate) struct WatermarkSource {
    rows: Rows,
    schema: SchemaRef,
    topic: String,
}

impl WatermarkSource {
    /// Gives what `source` has read.
    pub(crate) fn of(source: &EventSource) -> Self {
        Self {
            rows: Rows::clone(source.rows()),
            schema: SchemaRef::clone(source.schema()),
            topic: source.topic().name().to_string(),
        }
    }
}

impl Operator for WatermarkSource {
    fn step<'a>(&'a mut self, _ranges: &'a Ranges) -> BoxFuture<'a, Result<Delta>> {
        let rows = std::mem::take(&mut *self.rows.lock());
        std::future::ready(Ok(Delta::of_plus(rows))).boxed()
    }

    fn only_grows(&self) -> bool {
        true
    }

    fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }

    fn describe(&self) -> Description {
        Description {
            name: "Stream",
            detail: format!("{}, with the watermark of each partition", self.topic),
            follows: Follows::Rows,
            state: (0, 0),
        }
    }

    fn inputs(&self) -> Vec<&dyn Operator> {
        Vec::new()
    }
}
