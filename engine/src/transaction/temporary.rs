//! Temporary objects in a transaction: they change at once, as nobody else sees them, and how they were is kept until its end.

use std::sync::Arc;

use weir_base::TopicName;
use weir_catalog::Entry;
use weir_connectors::topic::TopicHold;

use super::Transaction;
use crate::engine::Shared;
use crate::error::Result;
use crate::temporary::{Objects, Step, Steps, Temporary};

impl Transaction {
    /// Notes that temporary objects were made, changed or dropped, and what there was before.
    pub(crate) fn defined_temporary(&self, of: &Arc<Temporary>, before: Objects) {
        self.note(of, Step::Defined(before));
    }

    /// Notes that rows of a temporary table are about to change: they are held as they are.
    ///
    /// # Errors
    /// When the table is gone.
    pub(crate) fn writes_temporary(
        &self,
        engine: &Shared,
        of: &Arc<Temporary>,
        entry: &Arc<Entry>,
    ) -> Result<()> {
        let hold = TopicHold::now(engine.topic_of(entry)?);
        self.note(of, Step::Wrote(Arc::clone(entry), hold));
        Ok(())
    }

    fn note(&self, of: &Arc<Temporary>, step: Step) {
        let mut state = self.state.lock();
        let since = state.savepoints.last().map_or(0, |last| last.temporary);
        let steps = state
            .temporary
            .get_or_insert_with(|| Steps::new(Arc::clone(of)));
        steps.push(step, since);
    }

    /// Lets what comes see the rows of these topics as they are now.
    pub(crate) fn look_again<'a>(&self, topics: impl IntoIterator<Item = &'a TopicName>) {
        let mut moment = self.moment.lock();
        for topic in topics {
            moment.held.remove(topic);
        }
    }

    /// Lets go of how temporary objects were before.
    pub(super) async fn keep_temporary(&self, engine: &Shared) {
        let steps = self.state.lock().temporary.take();
        if let Some(steps) = steps {
            steps.keep(engine).await;
        }
    }
}
