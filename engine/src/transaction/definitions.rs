//! Definitions in a transaction: they are made on a catalog of its own, and committed as one change.
//!
//! Who defines something has the right to, which one session at a time has; a transaction keeps it until its end.

use std::sync::Arc;

use tokio::sync::OwnedMutexGuard;
use weir_base::{Kind, SqlState, TopicId};
use weir_catalog::{Change, Entry, ObjectKind, Snapshot};

use super::{Defining, Transaction};
use crate::engine::Shared;
use crate::error::{Error, Result};

impl Transaction {
    /// The catalog as this transaction sees it.
    pub(crate) fn catalog(&self, engine: &Shared) -> Arc<Snapshot> {
        let state = self.state.lock();
        match &state.defining {
            Some(defining) => Arc::clone(&defining.own),
            None => engine.catalog.snapshot(),
        }
    }

    /// Takes the right to define, which the transaction keeps.
    pub(crate) async fn may_define(&self, engine: &Shared) -> Result<()> {
        {
            let state = self.state.lock();
            if state.defining.is_some() {
                return Ok(());
            }
            if state.writes.is_some() {
                return Err(Error::unsupported(
                    "definitions after rows were written to something that was there before, in one transaction, are not supported",
                )
                .with_hint("commit the rows first"));
            }
        }
        let right: OwnedMutexGuard<()> = Arc::clone(&engine.ddl).lock_owned().await;
        let base = engine.catalog.snapshot();
        self.state.lock().defining = Some(Defining {
            _right: right,
            own: Arc::clone(&base),
            base,
            made: Vec::new(),
            dropped: Vec::new(),
            wrote: false,
        });
        Ok(())
    }

    /// Makes changes that only this transaction sees.
    pub(crate) fn define(&self, snapshot: &Snapshot, changes: &[Change]) -> Result<Arc<Snapshot>> {
        let mut state = self.state.lock();
        let defining = state
            .defining
            .as_mut()
            .ok_or_else(|| Error::new(Kind::Internal, "a definition without the right to it"))?;
        for change in changes {
            let old = match change {
                Change::Remove(id) => snapshot.by_id(*id),
                Change::Put(entry) => snapshot.by_id(entry.id),
            };
            let new = match change {
                Change::Put(entry) => Some(entry.as_ref()),
                Change::Remove(_) => None,
            };
            for entry in [old.map(Arc::as_ref), new].into_iter().flatten() {
                check_kind(entry)?;
            }
        }
        let own = Arc::new(defining.own.apply(changes)?);
        defining.own = Arc::clone(&own);
        Ok(own)
    }

    /// Notes a topic that was made for a definition: it goes when that is taken back.
    pub(crate) fn made_topic(&self, topic: TopicId) {
        if let Some(defining) = &mut self.state.lock().defining {
            defining.made.push(topic);
        }
    }

    /// Notes what is to be let go of when the transaction is committed.
    pub(crate) fn dropped(&self, entry: Arc<Entry>) {
        if let Some(defining) = &mut self.state.lock().defining {
            defining.dropped.push(entry);
        }
    }

    /// Whether a table was made by this transaction, so that nobody else sees it.
    pub(crate) fn is_own(&self, entry: &Entry) -> bool {
        let state = self.state.lock();
        state.defining.as_ref().is_some_and(|defining| {
            entry
                .topic()
                .is_some_and(|(_, topic)| defining.made.contains(&topic))
        })
    }

    /// Notes that rows were written that cannot be taken back alone.
    pub(crate) fn wrote_own(&self, entry: &Entry) {
        if let Some(defining) = &mut self.state.lock().defining {
            defining.wrote = true;
        }
        // What comes sees them.
        if let Some((topic, _)) = entry.topic() {
            self.moment.lock().held.remove(topic);
        }
    }
}

/// Only what nothing runs for can be taken back.
fn check_kind(entry: &Entry) -> Result<()> {
    match entry.kind() {
        ObjectKind::Schema | ObjectKind::Table | ObjectKind::View => Ok(()),
        _ => Err(Error::invalid(
            SqlState("25001"),
            format!(
                "{} cannot be changed inside a transaction block",
                entry.describe()
            ),
        )
        .with_hint("do it outside of the transaction")),
    }
}

/// The changes that lead from one catalog to another.
pub(super) fn between(base: &Snapshot, own: &Snapshot) -> Vec<Change> {
    let mut changes: Vec<Change> = base
        .entries()
        .filter(|entry| own.by_id(entry.id).is_none())
        .map(|entry| Change::Remove(entry.id))
        .collect();
    // What others depend on comes first: it has the lower number.
    let mut put: Vec<&Arc<Entry>> = own
        .entries()
        .filter(|entry| base.by_id(entry.id).map(Arc::as_ref) != Some(entry.as_ref()))
        .collect();
    put.sort_by_key(|entry| entry.id);
    changes.extend(put.into_iter().cloned().map(Change::Put));
    changes
}
