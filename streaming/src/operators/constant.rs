//! What does not change: files, `VALUES`.

use arrow::datatypes::SchemaRef;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Boxed, Description, Follows, Operator};
use crate::dataflow::Ranges;
use crate::delta::Delta;
use crate::error::Result;
use crate::planning::Kernel;

/// Gives all its rows in the first step.
pub(crate) struct Constant {
    kernel: Kernel,
    detail: String,
    given: bool,
}

impl Constant {
    /// `given` says whether they were given before.
    pub(crate) fn new(kernel: Kernel, detail: String, given: bool) -> Self {
        Self {
            kernel,
            detail,
            given,
        }
    }
}

impl Operator for Constant {
    fn step<'a>(&'a mut self, _ranges: &'a Ranges) -> BoxFuture<'a, Result<Delta>> {
        async move {
            if std::mem::replace(&mut self.given, true) {
                return Ok(Delta::default());
            }
            Ok(Delta::of_plus(self.kernel.run([]).await?))
        }
        .boxed()
    }

    fn only_grows(&self) -> bool {
        true
    }

    fn schema(&self) -> SchemaRef {
        self.kernel.schema()
    }

    fn describe(&self) -> Description {
        Description {
            name: "Constant",
            detail: self.detail.clone(),
            follows: Follows::Rows,
        }
    }

    fn inputs(&self) -> Vec<&dyn Operator> {
        Vec::new()
    }

    fn is_fixed(&self) -> bool {
        true
    }

    fn inputs_mut(&mut self) -> Vec<&mut Boxed> {
        Vec::new()
    }
}
