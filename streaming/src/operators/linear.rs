//! What treats each row for itself: filters, projections, `UNNEST`, `UNION ALL`.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Boxed, Description, Follows, OnRowError, Operator, by_row, changes};
use crate::dataflow::Ranges;
use crate::delta::Delta;
use crate::error::Result;
use crate::planning::Kernel;

/// Runs a plan on the rows that came, and on those that went: what it makes of them comes and goes too.
pub(crate) struct Linear {
    inputs: Vec<Boxed>,
    kernel: Kernel,
    detail: String,
    on_error: OnRowError,
    /// Whether what it makes of rows is the same in whatever parts they are taken.
    is_by_row: bool,
}

impl Linear {
    pub(crate) fn new(inputs: Vec<Boxed>, kernel: Kernel, detail: String) -> Self {
        Self {
            inputs,
            kernel,
            detail,
            on_error: OnRowError::Fail,
            is_by_row: true,
        }
    }

    /// The same for a plan over windows, each of which comes as a whole, in one step, and is not to be taken apart.
    pub(crate) fn by_window(inputs: Vec<Boxed>, kernel: Kernel, detail: String) -> Self {
        Self {
            is_by_row: false,
            ..Self::new(inputs, kernel, detail)
        }
    }

    async fn run(
        &mut self,
        rows: impl Iterator<Item = Vec<RecordBatch>>,
        comes: bool,
    ) -> Result<Vec<RecordBatch>> {
        let (kernel, rows) = (&mut self.kernel, rows.collect());
        by_row::run(kernel, rows, &self.detail, &self.on_error, comes).await
    }
}

impl Operator for Linear {
    fn step<'a>(&'a mut self, ranges: &'a Ranges) -> BoxFuture<'a, Result<Delta>> {
        async move {
            let changes = changes(&mut self.inputs, ranges).await?;
            let mut delta = Delta::default();
            if changes.iter().any(|change| !change.plus.is_empty()) {
                let plus = changes.iter().map(|change| change.plus.clone());
                delta.plus = self.run(plus, true).await?;
            }
            if changes.iter().any(|change| !change.minus.is_empty()) {
                let minus = changes.iter().map(|change| change.minus.clone());
                delta.minus = self.run(minus, false).await?;
            }
            Ok(delta)
        }
        .boxed()
    }

    fn only_grows(&self) -> bool {
        self.inputs.iter().all(|input| input.only_grows())
    }

    fn schema(&self) -> SchemaRef {
        self.kernel.schema()
    }

    fn describe(&self) -> Description {
        Description {
            name: "Linear",
            detail: self.detail.clone(),
            follows: Follows::Rows,
        }
    }

    fn inputs(&self) -> Vec<&dyn Operator> {
        self.inputs.iter().map(AsRef::as_ref).collect()
    }

    fn remembers(&self) -> bool {
        false
    }

    fn is_fixed(&self) -> bool {
        self.inputs.iter().all(|input| input.is_fixed())
    }

    fn inputs_mut(&mut self) -> Vec<&mut Boxed> {
        self.inputs.iter_mut().collect()
    }

    fn on_row_error(&mut self, on_error: &OnRowError) {
        if self.is_by_row {
            self.on_error = on_error.clone();
        }
    }
}
