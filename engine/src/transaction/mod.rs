//! Transactions: several statements that see one moment, and whose changes happen together or not at all.
//!
//! A transaction fixes the offsets of all topics when it first reads, and keeps what it writes until `COMMIT`: rows for one
//! stream or table that is there, or any number of definitions and the rows of tables that it makes itself. What is more than
//! that is refused by name. What it has written its queries see. Nobody waits for its rows; if
//! somebody else has changed what it computed them from, `COMMIT` says so (SQLSTATE 40001).

mod definitions;
mod session;
mod temporary;
mod writes;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::BinaryArray;
use arrow::record_batch::RecordBatch;
use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;
use weir_base::{SqlState, TopicId, TopicName};
use weir_catalog::{Entry, ObjectId, Snapshot};
use weir_connectors::topic::TopicHold;
use weir_sql::Statement;
use weir_sql::statement::{self, AlterOperation, ObjectKind};
use weir_streaming::Positions;
use weir_topics::Topic;

use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::temporary::Steps;
use crate::variables::Variables;
pub(crate) use session::{IDLE_IN_TRANSACTION, Standing};
use writes::Writes;

/// How a session stands between statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionStatus {
    /// Outside of a transaction: each statement is its own.
    Idle,
    /// In a transaction.
    Open,
    /// In a transaction that has failed, and can only be ended.
    Failed,
}

/// Something that a session says beside its answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Its code.
    pub sqlstate: SqlState,
    /// What it says.
    pub message: String,
}

/// What is asked of a transaction when it begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Modes {
    pub(crate) read_only: Option<bool>,
    pub(crate) isolation: Option<String>,
}

/// The moment that statements see.
#[derive(Debug, Default)]
pub(crate) struct Moment {
    /// Each topic as it was at the first look: the offsets that it is read up to, and its log kept.
    pub(crate) held: HashMap<TopicName, TopicHold>,
    /// Up to where topics are shown, where the statement reads a view that is kept.
    pub(crate) shown: Option<Arc<Positions>>,
    /// What the transaction itself has written, which nobody else sees.
    pub(crate) written: Option<Written>,
}

impl Moment {
    /// `topic` as it is at this moment: up to what was stable when it was first named; or, where a view that is kept is read, up to
    /// where the view has come.
    pub(crate) fn hold(&mut self, topic: Topic) -> TopicHold {
        let shown = self.shown.as_ref();
        let shown = shown.and_then(|shown| shown.get(&topic.id())).cloned();
        let held = self.held.entry(topic.name().clone());
        let held = held.or_insert_with(|| match shown {
            Some(ends) => TopicHold::now(topic).up_to(ends),
            None => TopicHold::now(topic),
        });
        held.clone()
    }
}

/// Rows that a transaction has written to something that was there before.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    /// To what.
    pub(crate) id: ObjectId,
    /// The keys of rows that it has changed or removed.
    pub(crate) touched: BinaryArray,
    /// The rows that take their place, and those that are new.
    pub(crate) rows: Vec<RecordBatch>,
}

/// A transaction that is open.
pub(crate) struct Transaction {
    modes: Mutex<Modes>,
    /// What all its statements see.
    pub(crate) moment: Arc<Mutex<Moment>>,
    /// Whether `moment` is fixed.
    fixed: Mutex<bool>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Since the first definition: the right to make them, and the catalog with them.
    defining: Option<Defining>,
    writes: Option<Writes>,
    /// What it did to the temporary objects of its session.
    temporary: Option<Steps>,
    savepoints: Vec<Savepoint>,
    /// The settings as they shall be after `COMMIT`: without what `SET LOCAL` changed.
    settings: Variables,
    /// The settings when it began.
    settings_before: Variables,
}

/// Definitions that only the transaction sees.
struct Defining {
    _right: OwnedMutexGuard<()>,
    /// The catalog that they were made on.
    base: Arc<Snapshot>,
    /// The catalog with them.
    own: Arc<Snapshot>,
    /// Topics that were made for them.
    made: Vec<TopicId>,
    /// What is no longer needed when they are committed.
    dropped: Vec<Arc<Entry>>,
    /// Tables whose rows were written at once, as nobody else sees them.
    wrote: bool,
}

/// A point to which a transaction can be taken back.
struct Savepoint {
    name: String,
    own: Option<Arc<Snapshot>>,
    made: usize,
    dropped: usize,
    wrote: bool,
    /// Changes that were kept.
    changes: usize,
    /// Steps that were taken with temporary objects.
    temporary: usize,
    settings: Variables,
}

impl Transaction {
    fn new(modes: Modes, settings: Variables) -> Self {
        Self {
            modes: Mutex::new(modes),
            moment: Arc::default(),
            fixed: Mutex::new(false),
            state: Mutex::new(State {
                settings: settings.clone(),
                settings_before: settings,
                ..State::default()
            }),
        }
    }

    /// Fixes the moment that the transaction sees, at its first statement that may read: all topics, as nobody knows which it
    /// will name.
    pub(crate) fn fix(&self, engine: &Shared) {
        let mut fixed = self.fixed.lock();
        if std::mem::replace(&mut *fixed, true) {
            return;
        }
        let has_views = engine
            .catalog
            .snapshot()
            .relations()
            .any(|entry| entry.kind() == weir_catalog::ObjectKind::MaterializedView);
        let mut moment = self.moment.lock();
        moment.shown = has_views.then(|| engine.views.positions());
        for topic in engine.log.topics() {
            moment.hold(topic);
        }
    }

    /// Whether it has written or defined something, which only it sees.
    pub(crate) fn has_changed(&self) -> bool {
        let state = self.state.lock();
        state.writes.is_some() || state.defining.is_some()
    }

    /// Whether the moment that it sees is fixed.
    pub(crate) fn is_fixed(&self) -> bool {
        *self.fixed.lock()
    }

    /// What was said about writing.
    pub(crate) fn read_only(&self) -> Option<bool> {
        self.modes.lock().read_only
    }

    /// What was said about isolation. It sees one moment, whatever that is.
    pub(crate) fn isolation(&self) -> Option<String> {
        self.modes.lock().isolation.clone()
    }

    /// Carries out `SET TRANSACTION`.
    ///
    /// # Errors
    /// 25001 when it would change what its statements were held to.
    pub(crate) fn set_modes(
        &self,
        read_only: Option<bool>,
        isolation: Option<String>,
    ) -> Result<()> {
        let too_late = |what: &str| {
            Error::invalid(
                SqlState("25001"),
                format!("SET TRANSACTION {what} must be called before any query"),
            )
        };
        let has_read = self.is_fixed();
        let mut modes = self.modes.lock();
        if has_read && isolation.is_some() && isolation != modes.isolation {
            return Err(too_late("ISOLATION LEVEL"));
        }
        if has_read && read_only == Some(false) && modes.read_only == Some(true) {
            return Err(too_late("READ WRITE"));
        }
        modes.read_only = read_only.or(modes.read_only);
        if let Some(isolation) = isolation {
            modes.isolation = Some(isolation);
        }
        Ok(())
    }

    /// Refuses what a transaction cannot take back.
    pub(crate) fn check(&self, statement: &Statement) -> Result<()> {
        let is_possible = match statement {
            Statement::Insert(insert) => insert.emit.is_none(),
            Statement::Copy(copy) => copy.target.is_none(),
            Statement::CopyFrom(copy) => copy.source.is_none(),
            Statement::Drop(drop) => is_transactional(drop.kind),
            Statement::Alter(alter) => {
                is_transactional(alter.kind)
                    && matches!(
                        alter.operation,
                        AlterOperation::RenameTo(_) | AlterOperation::SetSchema(_)
                    )
            }
            Statement::Query(_)
            | Statement::Explain(_)
            | Statement::Update(_)
            | Statement::Delete(_)
            | Statement::Truncate(_)
            | Statement::CreateSchema(_)
            | Statement::CreateTable(_)
            | Statement::CreateView(_)
            | Statement::CommentOn(_)
            | Statement::Show(_)
            | Statement::Describe(_)
            | Statement::Set(_)
            | Statement::Reset(_)
            | Statement::KillQuery(_)
            | Statement::Subscribe(_)
            | Statement::Cursor(_)
            | Statement::Prepared(_)
            | Statement::Transaction(_)
            | Statement::Notification(_) => true,
            Statement::Discard(what) => what != "ALL",
            _ => false,
        };
        if is_possible {
            return Ok(());
        }
        let tag = statement.tag();
        Err(Error::invalid(
            SqlState("25001"),
            format!("{tag} cannot run inside a transaction block"),
        )
        .with_hint(
            "it cannot be taken back: send it by itself, outside of BEGIN, and not with other statements in one message",
        ))
    }

    /// Refuses what writes, where the transaction may only read.
    pub(crate) fn check_writes(&self, statement: &Statement) -> Result<()> {
        if statement.reads_only() || statement::is_of_session(statement) {
            return Ok(());
        }
        let modes = self.modes.lock();
        if modes.read_only == Some(true) {
            return Err(read_only(statement));
        }
        if modes.isolation.as_deref() == Some("serializable") {
            return Err(Error::unsupported(
                "a serializable transaction that writes is not supported",
            )
            .with_hint("use REPEATABLE READ, which is what every transaction is"));
        }
        Ok(())
    }
}

/// The error of a statement that writes where nothing may.
pub(crate) fn read_only(statement: &Statement) -> Error {
    Error::invalid(
        SqlState::READ_ONLY_SQL_TRANSACTION,
        format!(
            "cannot execute {} in a read-only transaction",
            statement.tag()
        ),
    )
}

fn is_transactional(kind: ObjectKind) -> bool {
    matches!(
        kind,
        ObjectKind::Schema | ObjectKind::Table | ObjectKind::View
    )
}
