//! The transactions of a session, one after the other.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use weir_base::SqlState;
use weir_sql::statement;

use super::definitions::between;
use super::{Defining, Modes, Notice, Savepoint, State, Transaction, TransactionStatus};
use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::lanes::Lane;
use crate::temporary::Steps;
use crate::variables::Variables;

/// Notices that are kept for a door that takes none.
const NOTICES_MAX: usize = 100;

/// Where a session stands.
#[derive(Default)]
pub(crate) struct Standing(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// Counts beginnings and ends.
    number: u64,
    open: Option<Open>,
    notices: Vec<Notice>,
}

struct Open {
    transaction: Arc<Transaction>,
    is_implicit: bool,
    has_failed: bool,
}

impl std::fmt::Debug for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Standing").field(&self.status()).finish()
    }
}

impl Standing {
    /// The transaction that is open.
    pub(crate) fn open(&self) -> Option<Arc<Transaction>> {
        let inner = self.0.lock();
        inner
            .open
            .as_ref()
            .map(|open| Arc::clone(&open.transaction))
    }

    pub(crate) fn status(&self) -> TransactionStatus {
        match &self.0.lock().open {
            None => TransactionStatus::Idle,
            Some(open) if open.has_failed => TransactionStatus::Failed,
            Some(_) => TransactionStatus::Open,
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.0.lock().number
    }

    pub(crate) fn is_implicit(&self) -> bool {
        self.0
            .lock()
            .open
            .as_ref()
            .is_some_and(|open| open.is_implicit)
    }

    pub(crate) fn fail(&self) {
        if let Some(open) = &mut self.0.lock().open {
            open.has_failed = true;
        }
    }

    pub(crate) fn notice(&self, sqlstate: SqlState, message: impl Into<String>) {
        let mut inner = self.0.lock();
        if inner.notices.len() < NOTICES_MAX {
            inner.notices.push(Notice {
                sqlstate,
                message: message.into(),
            });
        }
    }

    pub(crate) fn take_notices(&self) -> Vec<Notice> {
        std::mem::take(&mut self.0.lock().notices)
    }

    /// Begins a transaction.
    pub(crate) fn begin(&self, modes: Modes, settings: Variables, is_implicit: bool) {
        let mut inner = self.0.lock();
        if let Some(open) = &mut inner.open {
            // What was begun by itself goes on as what was asked for.
            if open.is_implicit && !is_implicit {
                open.is_implicit = false;
                return;
            }
            drop(inner);
            self.notice(
                SqlState("25001"),
                "there is already a transaction in progress",
            );
            return;
        }
        inner.number += 1;
        inner.open = Some(Open {
            transaction: Arc::new(Transaction::new(modes, settings)),
            is_implicit,
            has_failed: false,
        });
    }

    /// Takes the transaction out, to be ended; says whether it has failed.
    fn take(&self) -> Option<(Arc<Transaction>, bool)> {
        let mut inner = self.0.lock();
        let open = inner.open.take()?;
        inner.number += 1;
        Some((open.transaction, open.has_failed))
    }

    /// Ends the transaction, well if it can be. Gives the settings of the session from then on, and whether it was committed.
    ///
    /// # Errors
    /// When it cannot be committed: nothing of it has happened.
    pub(crate) async fn commit(&self, engine: &Arc<Shared>) -> (Option<Variables>, Result<bool>) {
        let Some((transaction, has_failed)) = self.take() else {
            self.notice(SqlState("25P01"), "there is no transaction in progress");
            return (None, Ok(true));
        };
        if has_failed {
            return (Some(transaction.roll_back(engine).await), Ok(false));
        }
        let settings = transaction.state.lock().settings.clone();
        match transaction.commit(engine).await {
            Ok(()) => {
                transaction.keep_temporary(engine).await;
                (Some(settings), Ok(true))
            }
            Err(error) => (Some(transaction.roll_back(engine).await), Err(error)),
        }
    }

    /// Takes the transaction back. Gives the settings from before it.
    pub(crate) async fn roll_back(&self, engine: &Arc<Shared>) -> Option<Variables> {
        let Some((transaction, _)) = self.take() else {
            self.notice(SqlState("25P01"), "there is no transaction in progress");
            return None;
        };
        Some(transaction.roll_back(engine).await)
    }

    /// Lets go of what a session leaves behind that ends in the middle of a transaction.
    pub(crate) fn abandon(&self, engine: &Arc<Shared>) {
        if let Some((transaction, _)) = self.take() {
            let engine = Arc::clone(engine);
            let lanes = Arc::clone(&engine);
            lanes.lanes.spawn(Lane::Interactive, async move {
                transaction.roll_back(&engine).await;
            });
        }
    }

    /// Sets, or goes back to, a point within the transaction.
    ///
    /// # Errors
    /// 25P01 outside of one, 3B001 for a name that was not set.
    pub(crate) fn savepoint(
        &self,
        statement: &statement::Transaction,
        settings: Variables,
    ) -> Result<SavepointDone> {
        let mut inner = self.0.lock();
        let Some(open) = &mut inner.open else {
            return Err(Error::invalid(
                SqlState("25P01"),
                "savepoints can only be used in transaction blocks",
            ));
        };
        let mut state = open.transaction.state.lock();
        match statement {
            statement::Transaction::Savepoint(name) => {
                let savepoint = state.savepoint(name, settings);
                state.savepoints.push(savepoint);
                Ok(SavepointDone::default())
            }
            statement::Transaction::Release(name) => {
                let at = state.find(name)?;
                state.savepoints.truncate(at);
                Ok(SavepointDone::default())
            }
            statement::Transaction::RollbackTo(name) => {
                let at = state.find(name)?;
                let mut done = state.go_back(at)?;
                drop(state);
                if let Some(seen) = done.seen.take() {
                    open.transaction.moment.lock().written = seen;
                }
                if let Some(steps) = &done.temporary {
                    open.transaction.look_again(steps.topics());
                }
                open.has_failed = false;
                Ok(done)
            }
            _ => Ok(SavepointDone::default()),
        }
    }
}

/// What there is to do after going back to a savepoint.
#[derive(Default)]
pub(crate) struct SavepointDone {
    /// The settings as they were.
    pub(crate) settings: Option<Variables>,
    /// Topics that nothing needs any more.
    pub(crate) topics: Vec<weir_base::TopicId>,
    /// What was done to temporary objects since, to be taken back.
    pub(crate) temporary: Option<Steps>,
    /// What queries see of its own rows, where it has written any.
    pub(super) seen: Option<Option<super::Written>>,
}

impl State {
    fn find(&self, name: &str) -> Result<usize> {
        let at = self.savepoints.iter().rposition(|known| known.name == name);
        at.ok_or_else(|| {
            Error::invalid(
                SqlState("3B001"),
                format!("savepoint {name:?} does not exist"),
            )
        })
    }

    fn savepoint(&self, name: &str, settings: Variables) -> Savepoint {
        let defining = self.defining.as_ref();
        Savepoint {
            name: name.to_owned(),
            own: defining.map(|defining| Arc::clone(&defining.own)),
            made: defining.map_or(0, |defining| defining.made.len()),
            dropped: defining.map_or(0, |defining| defining.dropped.len()),
            wrote: defining.is_some_and(|defining| defining.wrote),
            changes: self.writes.as_ref().map_or(0, super::Writes::len),
            temporary: self.temporary.as_ref().map_or(0, Steps::len),
            settings,
        }
    }

    fn go_back(&mut self, at: usize) -> Result<SavepointDone> {
        let Some(savepoint) = self.savepoints.get(at) else {
            return Ok(SavepointDone::default());
        };
        let mut topics = Vec::new();
        let mut seen = None;
        if let Some(defining) = &mut self.defining {
            // Rows of tables that stay were written for good.
            if defining.wrote && savepoint.made > 0 {
                return Err(Error::unsupported(
                    "to go back behind rows that were written to a table of this transaction is not supported",
                )
                .with_hint("roll back the whole transaction"));
            }
            defining.own = match &savepoint.own {
                Some(own) => Arc::clone(own),
                None => Arc::clone(&defining.base),
            };
            topics = defining
                .made
                .split_off(savepoint.made.min(defining.made.len()));
            defining.dropped.truncate(savepoint.dropped);
            defining.wrote = savepoint.wrote;
        }
        if let Some(writes) = &mut self.writes {
            seen = Some(writes.truncate(savepoint.changes));
        }
        let temporary = self
            .temporary
            .as_mut()
            .map(|steps| steps.split_off(savepoint.temporary));
        let settings = savepoint.settings.clone();
        self.settings = settings.clone();
        self.savepoints.truncate(at + 1);
        Ok(SavepointDone {
            settings: Some(settings),
            topics,
            temporary,
            seen,
        })
    }
}

impl Transaction {
    /// Notes what a `SET` that is to outlive the transaction changed.
    pub(crate) fn change_settings<T>(&self, change: impl FnOnce(&mut Variables) -> T) -> T {
        change(&mut self.state.lock().settings)
    }

    async fn commit(&self, engine: &Arc<Shared>) -> Result<()> {
        let (defining, writes) = {
            let mut state = self.state.lock();
            (state.defining.take(), state.writes.take())
        };
        if let Some(writes) = writes.filter(|writes| writes.len() > 0) {
            return writes.commit(engine).await;
        }
        let Some(defining) = defining else {
            return Ok(());
        };
        let changes = between(&defining.base, &defining.own);
        let (shared, version) = (Arc::clone(engine), defining.base.version());
        let committed = match changes.is_empty() {
            true => Ok(()),
            false => {
                let commit = move || shared.catalog.commit(version, changes).map(drop);
                let committed = tokio::task::spawn_blocking(commit).await;
                committed
                    .map_err(crate::lanes::panicked)
                    .and_then(|done| done.map_err(Error::from))
            }
        };
        if let Err(error) = committed {
            // To be taken back with all that it made.
            self.state.lock().defining = Some(defining);
            return Err(error);
        }
        engine.after_definitions(&defining.dropped).await;
        Ok(())
    }

    /// Lets go of all that was made, and gives the settings from before.
    async fn roll_back(&self, engine: &Arc<Shared>) -> Variables {
        let (defining, temporary, settings) = {
            let mut state = self.state.lock();
            state.writes = None;
            let settings = state.settings_before.clone();
            (state.defining.take(), state.temporary.take(), settings)
        };
        if let Some(steps) = temporary {
            steps.undo(engine).await;
        }
        if let Some(Defining { made, .. }) = defining {
            for topic in made {
                engine.forget_topic(topic).await;
            }
        }
        settings
    }
}

/// How long a session may be silent in a transaction, where it does not say otherwise: what it holds keeps old rows in the log.
pub(crate) const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(10 * 60);
