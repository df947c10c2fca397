//! A stream whose rows were read with their watermarks before the step.

use arrow::datatypes::SchemaRef;
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::checkpoint::{Saving, Shelf};
use crate::dataflow::Ranges;
use crate::delta::Delta;
use crate::error::Result;
use crate::event_time::{EventSource, Own, Rows};
use crate::operators::{Boxed, Description, Follows, Operator};

/// The records of a stream, with the watermark of its partition before each.
pub(crate) struct WatermarkSource {
    rows: Rows,
    schema: SchemaRef,
    topic: String,
    own: Own,
    shelf: Shelf,
}

impl WatermarkSource {
    /// Gives what `source` has read, and keeps its watermarks.
    pub(crate) fn of(source: &EventSource, shelf: Shelf) -> Self {
        Self {
            own: Own::clone(source.own()),
            shelf,
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
        }
    }

    fn inputs(&self) -> Vec<&dyn Operator> {
        Vec::new()
    }

    fn inputs_mut(&mut self) -> Vec<&mut Boxed> {
        Vec::new()
    }

    fn save(&mut self, saving: &mut Saving) -> Result<()> {
        for (partition, own) in (0u32..).zip(self.own.lock().iter()) {
            if let Some(own) = own.watermark() {
                saving.put(&self.shelf, &[&partition.to_be_bytes()], &own.to_le_bytes());
            }
        }
        Ok(())
    }
}
