//! Where changes come from: the topics of streams and of tables.

use arrow::datatypes::SchemaRef;
use datafusion::physical_plan::ExecutionPlan;
use futures::FutureExt;
use futures::future::BoxFuture;
use weir_connectors::topic::{TableFollower, TopicScanExec, as_topic_scan};
use weir_topics::Topic;

use super::{Boxed, Description, Follows, Operator};
use crate::dataflow::Ranges;
use crate::delta::Delta;
use crate::error::{Error, Result};
use crate::planning::Kernel;

/// The records of a stream, which only come.
pub(crate) struct StreamSource {
    topic: Topic,
    kernel: Kernel,
}

impl StreamSource {
    /// `kernel` reads `topic` by one scan.
    pub(crate) fn new(topic: Topic, kernel: Kernel) -> Self {
        Self { topic, kernel }
    }
}

/// The scan of a topic within a plan.
pub(crate) fn scan_of(plan: &dyn ExecutionPlan) -> Option<&TopicScanExec> {
    as_topic_scan(plan).or_else(|| {
        let mut children = plan.children().into_iter();
        children.find_map(|child| scan_of(child.as_ref()))
    })
}

impl Operator for StreamSource {
    fn step<'a>(&'a mut self, ranges: &'a Ranges) -> BoxFuture<'a, Result<Delta>> {
        async move {
            let Some((from, to)) = ranges.new_of(self.topic.id()) else {
                return Ok(Delta::default());
            };
            let scan = scan_of(self.kernel.plan().as_ref());
            let scan = scan.ok_or(Error::Internal("a stream's plan has lost its scan"))?;
            scan.set_range(from, to)?;
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
            name: "Stream",
            detail: self.topic.name().to_string(),
            follows: Follows::Rows,
        }
    }

    fn inputs(&self) -> Vec<&dyn Operator> {
        Vec::new()
    }

    fn remembers(&self) -> bool {
        false
    }

    fn inputs_mut(&mut self) -> Vec<&mut Boxed> {
        Vec::new()
    }
}

/// The rows of a table, or of a view that is kept, which come and go.
pub(crate) struct TableSource {
    follower: TableFollower,
    /// Filters, and the columns that are asked for.
    kernel: Kernel,
    columns: usize,
    only_grows: bool,
}

impl TableSource {
    /// `kernel` takes rows of the table's first `columns` columns, hidden ones included.
    pub(crate) fn new(
        follower: TableFollower,
        kernel: Kernel,
        columns: usize,
        only_grows: bool,
    ) -> Self {
        Self {
            follower,
            kernel,
            columns,
            only_grows,
        }
    }
}

impl Operator for TableSource {
    fn step<'a>(&'a mut self, ranges: &'a Ranges) -> BoxFuture<'a, Result<Delta>> {
        async move {
            let id = self.follower.table().topic().id();
            let Some((_, [to])) = ranges.new_of(id) else {
                return Ok(Delta::default());
            };
            let changed = self.follower.changes(*to).await?;
            if self.only_grows && !changed.removed.is_empty() {
                let topic = self.follower.table().topic().name();
                return Err(Error::Shrunk(topic.to_string()));
            }
            let columns: Vec<usize> = (0..self.columns).collect();
            let mut delta = Delta::default();
            for (batches, into) in [
                (changed.added, &mut delta.plus),
                (changed.removed, &mut delta.minus),
            ] {
                let batches = batches.iter().map(|batch| batch.project(&columns));
                let batches = batches.collect::<Result<Vec<_>, _>>()?;
                if !batches.is_empty() {
                    *into = self.kernel.run([batches]).await?;
                }
            }
            Ok(delta)
        }
        .boxed()
    }

    fn only_grows(&self) -> bool {
        self.only_grows
    }

    fn schema(&self) -> SchemaRef {
        self.kernel.schema()
    }

    fn describe(&self) -> Description {
        Description {
            name: "Table",
            detail: self.follower.table().topic().name().to_string(),
            follows: Follows::Changes,
        }
    }

    fn inputs(&self) -> Vec<&dyn Operator> {
        Vec::new()
    }

    fn inputs_mut(&mut self) -> Vec<&mut Boxed> {
        Vec::new()
    }
}
