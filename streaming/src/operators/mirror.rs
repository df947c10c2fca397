//! Where changes come from that a topic tells of: in go its records, out come the rows of keys that changed.

use arrow::datatypes::SchemaRef;
use futures::FutureExt;
use futures::future::BoxFuture;
use weir_connectors::topic::Newest;

use super::{Boxed, Description, Follows, Operator};
use crate::dataflow::Ranges;
use crate::delta::Delta;
use crate::error::Result;
use crate::planning::Kernel;

/// The rows of a table that somebody else owns.
pub(crate) struct MirrorSource {
    /// The records of its topic.
    changes: Boxed,
    newest: Newest,
    /// Filters, and the columns that are asked for.
    kernel: Kernel,
    detail: String,
}

impl MirrorSource {
    pub(crate) fn new(changes: Boxed, newest: Newest, kernel: Kernel, detail: String) -> Self {
        Self {
            changes,
            newest,
            kernel,
            detail,
        }
    }
}

impl Operator for MirrorSource {
    fn step<'a>(&'a mut self, ranges: &'a Ranges) -> BoxFuture<'a, Result<Delta>> {
        async move {
            let changes = self.changes.step(ranges).await?;
            for batch in &changes.plus {
                self.newest.push(batch)?;
            }
            let renewed = self.newest.renewed()?;
            let mut delta = Delta::default();
            for (rows, into) in [
                (renewed.added, &mut delta.plus),
                (renewed.removed, &mut delta.minus),
            ] {
                if !rows.is_empty() {
                    *into = self.kernel.run([rows]).await?;
                }
            }
            Ok(delta)
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
            name: "Mirror",
            detail: self.detail.clone(),
            follows: Follows::Changes,
            state: self.newest.size(),
        }
    }

    fn inputs(&self) -> Vec<&dyn Operator> {
        vec![self.changes.as_ref()]
    }
}
