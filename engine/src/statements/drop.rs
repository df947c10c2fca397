//! `DROP …`: refused while something depends on it, unless with `CASCADE`.

use weir_catalog::{Change, ObjectKind};
use weir_sql::statement;

use super::alter::catalog_kind;
use super::{Execution, position_of};
use crate::answer::Answer;
use crate::error::{Error, Result};

impl Execution {
    pub(super) async fn drop_objects(&self, drop: statement::Drop) -> Result<Answer> {
        let tag = statement::Statement::Drop(drop.clone()).tag();
        let kind = catalog_kind(drop.kind)?;
        let _ddl = self.may_change(&drop.names).await?;
        let snapshot = self.snapshot();
        let visible = self.rights.visible(&snapshot);
        let mut doomed = Vec::with_capacity(drop.names.len());
        for name in &drop.names {
            match visible.require(kind, &self.object_name(drop.kind, name)?) {
                Ok(entry) => doomed.push(entry.id),
                Err(weir_catalog::Error::NotFound { .. }) if drop.if_exists => {}
                Err(error) => return Err(Error::from(error).with_position(position_of(name))),
            }
        }
        let changes = snapshot.remove(&doomed, drop.cascade)?;
        // Before jobs are ended.
        self.authorise_changes(&snapshot, &changes)?;
        let removed = changes.iter().filter_map(|change| match change {
            Change::Remove(id) => snapshot.by_id(*id),
            Change::Put(_) => None,
        });
        let removed: Vec<_> = removed.collect();
        let sinks = removed
            .iter()
            .filter(|entry| entry.kind() == ObjectKind::Sink);
        let sinks: Vec<_> = sinks.map(|entry| entry.id).collect();
        let removed: Vec<_> = removed
            .into_iter()
            .filter(|entry| !entry.is_temporary())
            .filter_map(|entry| Some((std::sync::Arc::clone(entry), entry.topic()?.1)))
            .collect();
        let views: Vec<_> = removed
            .iter()
            .filter(|(entry, _)| entry.kind() == ObjectKind::MaterializedView)
            .map(|(entry, _)| entry.id)
            .collect();
        if self.transaction.is_none() {
            self.end_sinks(&sinks).await;
            self.end_views(&views).await;
        }
        self.commit(&snapshot, changes).await?;
        if let Some(transaction) = &self.transaction {
            for (entry, _) in removed {
                transaction.dropped(entry);
            }
            return Ok(self.done(tag));
        }
        self.forget_sinks(&sinks).await;
        for (entry, topic) in removed {
            self.release_topic(topic).await;
            self.engine.histories.dropped(&self.engine, &entry).await;
        }
        self.engine.tend_dead_letters();
        Ok(self.done(tag))
    }
}
