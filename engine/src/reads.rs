//! What jobs read, as the catalog says it: so much is known before any of them is planned.

use std::collections::BTreeSet;

use weir_catalog::{Body, ObjectId, Snapshot};
use weir_topics::Topic;

use crate::engine::Shared;

/// The topics of tables, and of views that are kept, whose rows are read by who reads some relations, also through views that are not
/// kept. From what is in such a topic now, nobody could tell what it was before.
pub(crate) fn tables_read(
    engine: &Shared,
    snapshot: &Snapshot,
    relations: impl IntoIterator<Item = ObjectId>,
) -> Vec<Topic> {
    let mut open: Vec<ObjectId> = relations.into_iter().collect();
    let (mut seen, mut tables) = (BTreeSet::new(), Vec::new());
    while let Some(id) = open.pop() {
        let Some(entry) = snapshot.by_id(id).filter(|_| seen.insert(id)) else {
            continue;
        };
        let is_table = match &entry.body {
            Body::Table(_) | Body::MaterializedView(_) => true,
            Body::Stream(stream) => stream.is_changelog(),
            Body::View(_) => {
                open.extend(&entry.depends_on);
                false
            }
            _ => false,
        };
        if is_table && let Ok(topic) = engine.topic_of(entry) {
            tables.push(topic);
        }
    }
    tables
}
