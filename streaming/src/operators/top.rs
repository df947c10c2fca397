//! `ORDER BY … LIMIT` over rows that only come: what is not among the first now will never be.

use arrow::datatypes::SchemaRef;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Boxed, Description, Follows, Operator};
use crate::dataflow::Ranges;
use crate::delta::Delta;
use crate::error::Result;
use crate::planning::Kernel;

/// Keeps the first rows of an order.
pub(crate) struct Top {
    input: Boxed,
    /// Sorts, and cuts.
    kernel: Kernel,
    first: Vec<arrow::array::RecordBatch>,
    detail: String,
}

impl Top {
    pub(crate) fn new(input: Boxed, kernel: Kernel, detail: String) -> Self {
        Self {
            input,
            kernel,
            first: Vec::new(),
            detail,
        }
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
        let rows = self.first.iter().map(|batch| batch.num_rows() as u64).sum();
        let bytes = self
            .first
            .iter()
            .map(arrow::array::RecordBatch::get_array_memory_size);
        Description {
            name: "Top",
            detail: self.detail.clone(),
            follows: Follows::Changes,
            state: (rows, bytes.sum()),
        }
    }

    fn inputs(&self) -> Vec<&dyn Operator> {
        vec![self.input.as_ref()]
    }
}
