//! What jobs read, as the catalog says it: so much is known before any of them is planned.

use std::collections::BTreeSet;
use std::sync::Arc;

use weir_catalog::{Body, Entry, ObjectId, Snapshot};
use weir_topics::Topic;

use crate::engine::Shared;

/// What is read by who reads some relations, also through views that are not kept.
pub(crate) fn relations_read(
    snapshot: &Snapshot,
    relations: impl IntoIterator<Item = ObjectId>,
) -> Vec<&Arc<Entry>> {
    let mut open: Vec<ObjectId> = relations.into_iter().collect();
    let (mut seen, mut read) = (BTreeSet::new(), Vec::new());
    while let Some(id) = open.pop() {
        let Some(entry) = snapshot.by_id(id).filter(|_| seen.insert(id)) else {
            continue;
        };
        match &entry.body {
            Body::View(_) => open.extend(&entry.depends_on),
            _ => read.push(entry),
        }
    }
    read
}

/// The topics of the tables, and of the views that are kept, among what is read. From what is in such a topic now, nobody could tell
/// what it was before.
pub(crate) fn tables_read(
    engine: &Shared,
    snapshot: &Snapshot,
    relations: impl IntoIterator<Item = ObjectId>,
) -> Vec<Topic> {
    let is_table = |entry: &&Arc<Entry>| match &entry.body {
        Body::Table(_) | Body::MaterializedView(_) => true,
        Body::Stream(stream) => stream.is_changelog(),
        _ => false,
    };
    let read = relations_read(snapshot, relations).into_iter();
    let topics = read.filter(is_table).map(|entry| engine.topic_of(entry));
    // One that was dropped needs no holding.
    topics.filter_map(Result::ok).collect()
}
