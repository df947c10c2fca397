//! Where changes come from that a topic tells of: in go its records, out come the rows of keys that changed.

use arrow::datatypes::SchemaRef;
use futures::FutureExt;
use futures::future::BoxFuture;
use weir_connectors::topic::Newest;

use super::{Boxed, Description, Follows, Operator, StateSize};
use crate::checkpoint::{Saving, Shelf};
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
    shelf: Shelf,
    detail: String,
}

impl MirrorSource {
    pub(crate) fn new(
        changes: Boxed,
        newest: Newest,
        kernel: Kernel,
        shelf: Shelf,
        detail: String,
    ) -> Result<Self> {
        let mut newest = newest;
        if shelf.is_kept() {
            newest = newest.noting_what_is_unsaved();
        }
        if shelf.is_restored() {
            shelf.scan(&[], |key, saved| Ok(newest.restore(key, saved)?))?;
        }
        Ok(Self {
            changes,
            newest,
            kernel,
            shelf,
            detail,
        })
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
        }
    }

    fn inputs(&self) -> Vec<&dyn Operator> {
        vec![self.changes.as_ref()]
    }

    fn inputs_mut(&mut self) -> Vec<&mut Boxed> {
        vec![&mut self.changes]
    }

    fn state(&self) -> StateSize {
        let (rows, bytes) = self.newest.size();
        StateSize {
            rows,
            bytes,
            unsaved: self.newest.unsaved_bytes(),
        }
    }

    fn save(&mut self, saving: &mut Saving) -> Result<()> {
        let shelf = &self.shelf;
        self.newest.save(|key, saved| match saved {
            Some(saved) => saving.put(shelf, &[key], saved),
            None => saving.remove(shelf, &[key]),
        });
        Ok(())
    }
}
