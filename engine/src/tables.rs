//! The streams and keyed tables that are in use: what writes the one, and the state in memory of the other.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use weir_base::TopicId;
use weir_catalog::{Entry, ObjectId};
use weir_connectors::topic::{DecodeErrors, KeyedTable};

use crate::engine::Shared;
use crate::error::Result;
use crate::ingest::StreamWriter;
use crate::rows::row_schema;

/// Tables by their topic, and the writers of streams, of which several may have one.
#[derive(Default)]
pub(crate) struct Tables {
    open: Mutex<HashMap<TopicId, KeyedTable>>,
    /// What rows of streams are checked and written with.
    pub(crate) writers: Mutex<HashMap<ObjectId, Arc<StreamWriter>>>,
    /// How many records of topics could not be decoded.
    errors: Mutex<HashMap<TopicId, DecodeErrors>>,
}

impl Tables {
    /// Whether this is the state of its table, and not one of an earlier definition.
    pub(crate) fn is_open(&self, table: &KeyedTable) -> bool {
        let open = self.open.lock();
        let now = open.get(&table.topic().id());
        now.is_some_and(|now| now.is(table))
    }

    /// The count of a topic's records that could not be decoded.
    pub(crate) fn decode_errors(&self, topic: TopicId) -> DecodeErrors {
        self.errors.lock().entry(topic).or_default().clone()
    }

    /// The counts of all topics.
    pub(crate) fn all_decode_errors(&self) -> Vec<(TopicId, u64)> {
        let errors = self.errors.lock();
        errors
            .iter()
            .map(|(id, count)| (*id, count.get()))
            .collect()
    }
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

    /// Deletes a topic when the last that was stored in it is gone.
    pub(crate) async fn release_topic(&self, topic: TopicId) {
        if self.catalog.snapshot().by_topic(topic).is_empty() {
            self.forget_topic(topic).await;
        } else {
            self.forget_table(topic);
        }
    }

    /// Deletes a topic that nothing refers to. What fails here is tried again at the next start.
    pub(crate) async fn forget_topic(&self, topic: TopicId) {
        self.forget_table(topic);
        if let Err(error) = self.log.delete_topic(topic).await {
            tracing::warn!(topic.id = %topic, %error, "cannot delete a topic that is no longer used");
        }
    }

    /// Lets go of what definitions that were committed together no longer need.
    pub(crate) async fn after_definitions(self: &Arc<Self>, dropped: &[Arc<Entry>]) {
        for entry in dropped {
            if let Some((_, topic)) = entry.topic() {
                self.release_topic(topic).await;
                self.histories.dropped(self, entry).await;
            }
        }
        self.histories.changed();
        self.tend_dead_letters();
    }

    /// Forgets the state of what changed its definition or is gone; the next to use it builds it anew.
    pub(crate) fn forget_table(&self, topic: TopicId) {
        self.tables.open.lock().remove(&topic);
        // They hold the state of their tables.
        self.kept_plans.clear();
        let mut writers = self.tables.writers.lock();
        writers.retain(|_, writer| writer.writer.topic().id() != topic);
        if self.log.topic_by_id(topic).is_none() {
            self.tables.errors.lock().remove(&topic);
        }
    }
}
