//! The streams and keyed tables that are in use: what writes the one, and the state in memory of the other.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use weir_base::TopicId;
use weir_catalog::Entry;
use weir_connectors::topic::KeyedTable;

use crate::engine::Shared;
use crate::error::Result;
use crate::ingest::StreamWriter;
use crate::rows::row_schema;

/// Writers and tables by their topic.
#[derive(Default)]
pub(crate) struct Tables {
    open: Mutex<HashMap<TopicId, KeyedTable>>,
    /// What rows of streams are checked and written with.
    pub(crate) writers: Mutex<HashMap<TopicId, Arc<StreamWriter>>>,
}

impl Shared {
    /// The state of a table. It loads when it is first read.
    pub(crate) fn keyed_table(&self, entry: &Entry) -> Result<KeyedTable> {
        let topic = self.topic_of(entry)?;
        let mut open = self.tables.open.lock();
        if let Some(table) = open.get(&topic.id()) {
            return Ok(table.clone());
        }
        let rows = Arc::new(row_schema(self, entry)?);
        let id = topic.id();
        let table = KeyedTable::new(
            topic,
            rows,
            Arc::clone(&self.clock),
            Arc::clone(&self.memory),
        )?;
        open.insert(id, table.clone());
        Ok(table)
    }

    /// Forgets the state of what changed its definition or is gone; the next to use it builds it anew.
    pub(crate) fn forget_table(&self, topic: TopicId) {
        self.tables.open.lock().remove(&topic);
        self.tables.writers.lock().remove(&topic);
    }
}
