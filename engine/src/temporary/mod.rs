//! Temporary tables and views: what a session has for itself, until it ends.
//!
//! Their definitions are laid over the catalog's ([`Temporary::over`]) and never get into it. Their rows are in topics that nobody else
//! sees and that are not synced; what a crash leaves of these the next start removes, as no definition names them. What a transaction
//! does to them is noted step by step ([`Steps`]), so that it can be taken back.

mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use weir_base::{Kind, TopicId};
use weir_catalog::{AccountId, Body, Change, Entry, ObjectId, ObjectName, Snapshot};

use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::lanes::Lane;
pub(crate) use steps::{Step, Steps};

/// The temporary objects of a session by their identities.
pub(crate) type Objects = Arc<BTreeMap<ObjectId, Arc<Entry>>>;

/// The temporary objects of one session.
#[derive(Debug, Default)]
pub(crate) struct Temporary(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// What they lie in, once there was one.
    schema: Option<Arc<Entry>>,
    objects: Objects,
    /// The topics of their rows, those included whose tables are dropped by a transaction that may take it back.
    topics: BTreeSet<TopicId>,
    /// What goes when the transaction that made it is committed.
    until_commit: BTreeSet<ObjectId>,
    /// A version of the catalog, and what it is with them.
    laid: Option<[Arc<Snapshot>; 2]>,
    /// Whether the session is gone: nothing is brought back any more.
    is_over: bool,
}

impl Temporary {
    /// The catalog with these objects in it.
    pub(crate) fn over(&self, base: Arc<Snapshot>) -> Arc<Snapshot> {
        let mut state = self.0.lock();
        let Some(schema) = &state.schema else {
            return base;
        };
        if let Some([known, laid]) = &state.laid
            && Arc::ptr_eq(known, &base)
        {
            return Arc::clone(laid);
        }
        let laid = Arc::new(base.with_temporary(schema, state.objects.values()));
        state.laid = Some([base, Arc::clone(&laid)]);
        laid
    }

    /// Makes the schema that they lie in, when there is none yet.
    pub(crate) fn make_schema(&self, engine: &Shared, owner: Option<AccountId>) {
        let mut state = self.0.lock();
        if state.schema.is_some() {
            return;
        }
        let id = engine.temporary_id();
        let number = id.0 - ObjectId::FIRST_TEMPORARY.0 + 1;
        let name = format!("pg_temp_{number}");
        state.schema = Some(Arc::new(Entry {
            id,
            name: ObjectName::global(name),
            body: Body::Schema,
            comment: None,
            sql: String::new(),
            depends_on: BTreeSet::new(),
            created_at_ms: engine.clock.now_ms(),
            owner,
        }));
    }

    /// Makes changes of these objects, and gives what there was before.
    ///
    /// # Errors
    /// When one would leave the schema that they lie in, that schema itself would change, or something runs for what is made.
    pub(crate) fn define(&self, changes: &[Change]) -> Result<Objects> {
        let mut state = self.0.lock();
        let schema = state.schema.as_ref();
        let schema = schema.ok_or_else(|| {
            Error::new(
                Kind::Internal,
                "a temporary object without a schema to lie in",
            )
        })?;
        let before = Arc::clone(&state.objects);
        let mut objects = before.as_ref().clone();
        for change in changes {
            match change {
                Change::Put(entry) if !matches!(entry.body, Body::Table(_) | Body::View(_)) => {
                    return Err(Error::unsupported(format!(
                        "a temporary {} is not supported",
                        entry.kind()
                    )));
                }
                Change::Put(entry) if entry.name.schema == schema.name.name => {
                    objects.insert(entry.id, Arc::clone(entry));
                }
                Change::Remove(id) if *id != schema.id => {
                    objects.remove(id);
                }
                _ => {
                    return Err(Error::unsupported(
                        "what is temporary cannot be moved into or out of its schema, and the schema cannot be changed",
                    ));
                }
            }
        }
        let made = objects.values().filter_map(|entry| Some(entry.topic()?.1));
        let made: Vec<TopicId> = made.collect();
        state.topics.extend(made);
        state.replace(Arc::new(objects));
        Ok(before)
    }

    /// Whether it has an object of this identity.
    fn has(&self, id: ObjectId) -> bool {
        self.0.lock().objects.contains_key(&id)
    }

    /// Goes back to what there was.
    fn go_back(&self, to: &Objects) {
        let mut state = self.0.lock();
        if !state.is_over {
            state.replace(Arc::clone(to));
        }
    }

    /// Drops one of them.
    fn lose(&self, id: ObjectId) {
        let mut state = self.0.lock();
        let mut objects = state.objects.as_ref().clone();
        objects.remove(&id);
        state.replace(Arc::new(objects));
    }

    /// The topics that no table needs any more: they are no longer known here.
    fn let_go(&self) -> Vec<TopicId> {
        let mut state = self.0.lock();
        let objects = Arc::clone(&state.objects);
        let used: BTreeSet<TopicId> = objects
            .values()
            .filter_map(|entry| Some(entry.topic()?.1))
            .collect();
        let free: Vec<TopicId> = state.topics.difference(&used).copied().collect();
        state.topics = used;
        free
    }

    /// Deletes the topics that no table needs any more.
    pub(crate) async fn tidy(&self, engine: &Shared) {
        for topic in self.let_go() {
            engine.forget_topic(topic).await;
        }
    }

    /// Notes that a table goes when the transaction that it was made in is committed.
    pub(crate) fn drop_on_commit(&self, name: &ObjectName) {
        let mut state = self.0.lock();
        let objects = Arc::clone(&state.objects);
        let named = objects.values().find(|entry| entry.name == *name);
        state.until_commit.extend(named.map(|entry| entry.id));
    }

    /// Drops what was to be there until the transaction is committed, with what reads it.
    pub(crate) fn commit(&self) {
        let mut state = self.0.lock();
        let mut gone = std::mem::take(&mut state.until_commit);
        if gone.is_empty() {
            return;
        }
        let mut objects = state.objects.as_ref().clone();
        // Views may read each other; one that reads what goes, goes.
        loop {
            let count = objects.len();
            objects.retain(|id, entry| {
                let goes = gone.contains(id) || !gone.is_disjoint(&entry.depends_on);
                if goes {
                    gone.insert(*id);
                }
                !goes
            });
            if objects.len() == count {
                break;
            }
        }
        state.replace(Arc::new(objects));
    }

    /// The changes that drop all of them.
    pub(crate) fn all_dropped(&self) -> Vec<Change> {
        let state = self.0.lock();
        state.objects.keys().copied().map(Change::Remove).collect()
    }

    /// Deletes all that the session had, in its own time.
    pub(crate) fn abandon(&self, engine: &Arc<Shared>) {
        {
            let mut state = self.0.lock();
            state.is_over = true;
            state.replace(Objects::default());
        }
        let topics = self.let_go();
        if topics.is_empty() {
            return;
        }
        let shared = Arc::clone(engine);
        engine.lanes.spawn(Lane::Interactive, async move {
            for topic in topics {
                shared.forget_topic(topic).await;
            }
        });
    }
}

impl State {
    fn replace(&mut self, objects: Objects) {
        self.objects = objects;
        self.laid = None;
    }
}
