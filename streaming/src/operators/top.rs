//! `ORDER BY … LIMIT` over rows that only come: what is not among the first now will never be.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Boxed, Description, Follows, Operator, StateSize};
use crate::checkpoint::{Saving, Shelf};
use crate::dataflow::Ranges;
use crate::delta::Delta;
use crate::error::Result;
use crate::planning::Kernel;
use crate::state::RowCodec;

/// Keeps the first rows of an order.
pub(crate) struct Top {
    input: Boxed,
    /// Sorts, and cuts.
    kernel: Kernel,
    first: Vec<RecordBatch>,
    codec: RowCodec,
    shelf: Shelf,
    /// Whether the last checkpoint has other rows.
    changed: bool,
    detail: String,
}

impl Top {
    pub(crate) fn new(input: Boxed, kernel: Kernel, shelf: Shelf, detail: String) -> Result<Self> {
        let codec = RowCodec::new(&kernel.schema())?;
        let saved = shelf.get(&[])?;
        let first = saved.map(|saved| codec.unpack(&saved)).transpose()?;
        Ok(Self {
            input,
            kernel,
            first: first.unwrap_or_default(),
            codec,
            shelf,
            changed: false,
            detail,
        })
    }

    fn bytes(&self) -> usize {
        let bytes = self.first.iter().map(RecordBatch::get_array_memory_size);
        bytes.sum()
    }
}

impl Operator for Top {
    fn step<'a>(&'a mut self, ranges: &'a Ranges) -> BoxFuture<'a, Result<Delta>> {
        async move {
            let change = self.input.step(ranges).await?;
            if change.plus.is_empty() {
                return Ok(Delta::default());
            }
            let mut rows = self.first.clone();
            rows.extend(change.plus);
            let first = self.kernel.run([rows]).await?;
            let minus = std::mem::replace(&mut self.first, first.clone());
            self.changed = true;
            Delta { plus: first, minus }.consolidated(&self.schema())
        }
        .boxed()
    }

    fn only_grows(&self) -> bool {
        false
    }

    fn schema(&self) -> SchemaRef {
        self.kernel.schema()
    }

    fn describe(&self) -> Description {
        Description {
            name: "Top",
            detail: self.detail.clone(),
            follows: Follows::Changes,
        }
    }

    fn inputs(&self) -> Vec<&dyn Operator> {
        vec![self.input.as_ref()]
    }

    fn inputs_mut(&mut self) -> Vec<&mut Boxed> {
        vec![&mut self.input]
    }

    fn state(&self) -> StateSize {
        let rows = self.first.iter().map(|batch| batch.num_rows() as u64);
        let bytes = self.bytes();
        StateSize {
            rows: rows.sum(),
            bytes,
            unsaved: if self.changed { bytes } else { 0 },
        }
    }

    fn save(&mut self, saving: &mut Saving) -> Result<()> {
        if std::mem::take(&mut self.changed) {
            saving.put(&self.shelf, &[], &self.codec.pack(&self.first)?);
        }
        Ok(())
    }
}
