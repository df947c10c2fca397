//! Where the changes of a query go when they leave: topics of the embedded log, tables, files.

mod files;
mod table;
mod topic;

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;

pub use files::{FileSink, Rollover};
pub use table::TableSink;
pub use topic::TopicSink;

/// What rows are asked before they are written: the constraints of where they go.
#[derive(Clone)]
pub struct RowCheck(Arc<Check>);

type Check = dyn Fn(&RecordBatch) -> weir_connectors::Result<()> + Send + Sync;

impl RowCheck {
    /// A check that refuses a batch with the error that is to be told.
    pub fn new(
        check: impl Fn(&RecordBatch) -> weir_connectors::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(check))
    }

    fn all(&self, batches: &[RecordBatch]) -> weir_connectors::Result<()> {
        batches.iter().try_for_each(|batch| (self.0)(batch))
    }
}

impl fmt::Debug for RowCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RowCheck")
    }
}
