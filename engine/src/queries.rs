//! The queries that run now and those that ran lately: who they are, how far they are, and how to stop them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use datafusion::execution::memory_pool::MemoryPool;
use datafusion::physical_plan::ExecutionPlan;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use weir_base::{Clock, Kind, QueryId, SqlState};
use weir_catalog::ObjectId;
use weir_catalog::accounts::PolicyId;

use crate::answer::Progress;
use crate::error::Error;
use crate::memory::QueryPool;
use crate::security::Principal;

/// Ended queries that are kept for those who ask what became of them.
const ENDED_KEPT: usize = 256;
/// Characters of a query's text that are kept.
const SQL_KEPT: usize = 10_000;

/// What a query is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryState {
    /// It has come, and is read and planned.
    Planning,
    /// It waits for its turn.
    Queued,
    /// It runs.
    Running,
    /// It gave all its rows.
    Finished,
    /// It ended with an error.
    Failed,
    /// Somebody stopped it, or its reader left.
    Cancelled,
}

impl QueryState {
    /// The state as `weir.queries` shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planning => "planning",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A query as an operator sees it.
#[derive(Debug, Clone)]
pub struct QueryInfo {
    /// Its identity.
    pub id: QueryId,
    /// Whose it is.
    pub user: String,
    /// Its text, cut at 10,000 characters.
    pub sql: String,
    /// What it is doing.
    pub state: QueryState,
    /// When it came, in milliseconds since the Unix epoch.
    pub started_at_ms: i64,
    /// How long it has taken so far, or took.
    pub elapsed: Duration,
    /// Rows given out.
    pub rows: u64,
    /// Bytes given out, as Arrow arrays.
    pub bytes: u64,
    /// Bytes spilled to disk.
    pub spilled_bytes: u64,
    /// Bytes reserved now.
    pub memory_bytes: u64,
    /// Whether it is a live query.
    pub live: bool,
    /// Why it failed.
    pub error: Option<String>,
}

/// Why a query is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopReason {
    ReaderLeft,
    Killed,
    Shutdown,
    /// What it may read was taken from its user.
    Revoked,
}

impl StopReason {
    pub(crate) fn error(self) -> Error {
        match self {
            Self::ReaderLeft => Error::new(Kind::Cancelled, "the client went away"),
            Self::Killed => Error::new(Kind::Cancelled, "the query was cancelled on request"),
            Self::Shutdown => Error::new(Kind::Unavailable, "the server is shutting down")
                .with_sqlstate(SqlState::ADMIN_SHUTDOWN),
            Self::Revoked => Error::new(
                Kind::Denied,
                "the query was ended: its user may no longer read what it reads",
            )
            .with_sqlstate(SqlState::INSUFFICIENT_PRIVILEGE),
        }
    }
}

/// A query from its arrival to its end.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) id: QueryId,
    pub(crate) pool: Arc<QueryPool>,
    pub(crate) stop: CancellationToken,
    user: String,
    sql: String,
    /// What it reads, and with whose rights: a query without end is stopped when they no longer hold.
    reads: Mutex<Reads>,
    started_at_ms: i64,
    started: Instant,
    rows: AtomicU64,
    bytes: AtomicU64,
    live: AtomicBool,
    truncated: AtomicBool,
    changing: Mutex<Changing>,
}

#[derive(Debug, Default)]
struct Reads {
    principal: Option<Principal>,
    /// With the policies that hide something of it.
    objects: BTreeMap<ObjectId, Vec<PolicyId>>,
}

#[derive(Debug)]
struct Changing {
    state: QueryState,
    ended: Option<Duration>,
    stop_reason: Option<StopReason>,
    error: Option<String>,
    plan: Option<Arc<dyn ExecutionPlan>>,
    spilled_bytes: u64,
}

impl Running {
    /// A query that nobody has registered: what the engine runs for itself.
    pub(crate) fn new(sql: &str, user: &str, pool: Arc<QueryPool>, started_at_ms: i64) -> Self {
        Self {
            id: QueryId::new_now(),
            pool,
            stop: CancellationToken::new(),
            user: user.to_owned(),
            sql: sql.chars().take(SQL_KEPT).collect(),
            reads: Mutex::default(),
            started_at_ms,
            started: Instant::now(),
            rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            live: AtomicBool::new(false),
            truncated: AtomicBool::new(false),
            changing: Mutex::new(Changing {
                state: QueryState::Planning,
                ended: None,
                stop_reason: None,
                error: None,
                plan: None,
                spilled_bytes: 0,
            }),
        }
    }

    /// Notes that it reads an object with rights of its own user.
    pub(crate) fn reads(&self, principal: &Principal, object: ObjectId, policies: Vec<PolicyId>) {
        let mut reads = self.reads.lock();
        reads.principal.get_or_insert_with(|| principal.clone());
        reads.objects.insert(object, policies);
    }

    /// What it reads, and for whom; none of a query that reads nothing with rights of its own.
    pub(crate) fn read_for(&self) -> Option<(Principal, BTreeMap<ObjectId, Vec<PolicyId>>)> {
        let reads = self.reads.lock();
        Some((reads.principal.clone()?, reads.objects.clone()))
    }

    /// Its text, for lists and logs.
    pub(crate) fn text(&self) -> &str {
        &self.sql
    }

    pub(crate) fn set_live(&self) {
        self.live.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_live(&self) -> bool {
        self.live.load(Ordering::Relaxed)
    }

    pub(crate) fn set_truncated(&self) {
        self.truncated.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_truncated(&self) -> bool {
        self.truncated.load(Ordering::Relaxed)
    }

    /// Notes that it waits for its turn.
    pub(crate) fn waits(&self) {
        self.changing.lock().state = QueryState::Queued;
    }

    /// Notes the plan, whose metrics tell the bytes spilled.
    pub(crate) fn runs(&self, plan: Option<Arc<dyn ExecutionPlan>>) {
        let mut changing = self.changing.lock();
        changing.state = QueryState::Running;
        changing.plan = plan;
    }

    pub(crate) fn gave_out(&self, rows: usize, bytes: usize) {
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Asks the query to stop; the first reason is kept.
    pub(crate) fn stop_for(&self, reason: StopReason) {
        self.changing.lock().stop_reason.get_or_insert(reason);
        self.stop.cancel();
    }

    pub(crate) fn reader_left(&self) {
        if self.changing.lock().ended.is_none() {
            self.stop_for(StopReason::ReaderLeft);
        }
    }

    pub(crate) fn stop_reason(&self) -> StopReason {
        self.changing
            .lock()
            .stop_reason
            .unwrap_or(StopReason::Killed)
    }

    /// Whether all that it does is done.
    pub(crate) fn has_ended(&self) -> bool {
        self.changing.lock().ended.is_some()
    }

    /// Whether somebody asked the query to stop.
    pub(crate) fn was_stopped(&self) -> bool {
        self.changing.lock().stop_reason.is_some()
    }

    pub(crate) fn progress(&self) -> Progress {
        let info = self.info();
        Progress {
            rows: info.rows,
            bytes: info.bytes,
            elapsed: info.elapsed,
            spilled_bytes: info.spilled_bytes,
            queued: info.state == QueryState::Queued,
        }
    }

    fn info(&self) -> QueryInfo {
        let changing = self.changing.lock();
        let spilled_bytes = changing
            .plan
            .as_deref()
            .map_or(changing.spilled_bytes, spilled_bytes);
        QueryInfo {
            id: self.id,
            user: self.user.clone(),
            sql: self.sql.clone(),
            state: changing.state,
            started_at_ms: self.started_at_ms,
            elapsed: changing.ended.unwrap_or_else(|| self.started.elapsed()),
            rows: self.rows(),
            bytes: self.bytes(),
            spilled_bytes,
            memory_bytes: self.pool.reserved() as u64,
            live: self.is_live(),
            error: changing.error.clone(),
        }
    }

    /// Ends the query; only the first end counts. Returns whether this was it.
    fn end(&self, outcome: Result<(), &Error>) -> bool {
        let mut changing = self.changing.lock();
        if changing.ended.is_some() {
            return false;
        }
        changing.ended = Some(self.started.elapsed());
        changing.spilled_bytes = changing.plan.take().as_deref().map_or(0, spilled_bytes);
        changing.state = match outcome {
            Ok(()) => QueryState::Finished,
            Err(_) if changing.stop_reason.is_some() => QueryState::Cancelled,
            Err(_) => QueryState::Failed,
        };
        changing.error = outcome.err().map(ToString::to_string);
        true
    }
}

/// Bytes that a plan and everything below it spilled.
fn spilled_bytes(plan: &dyn ExecutionPlan) -> u64 {
    let own = plan
        .metrics()
        .and_then(|metrics| metrics.spilled_bytes())
        .unwrap_or(0) as u64;
    own + plan
        .children()
        .into_iter()
        .map(|child| spilled_bytes(child.as_ref()))
        .sum::<u64>()
}

/// All queries of the server.
#[derive(Debug)]
pub(crate) struct Queries {
    clock: Arc<dyn Clock>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    running: HashMap<QueryId, Arc<Running>>,
    ended: VecDeque<Arc<Running>>,
    closed: bool,
}

impl Queries {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            known: Mutex::default(),
        }
    }

    /// Registers a query that has just come.
    ///
    /// # Errors
    /// When the engine is closing.
    pub(crate) fn begin(
        &self,
        sql: &str,
        user: &str,
        pool: Arc<QueryPool>,
    ) -> Result<Arc<Running>, Error> {
        let running = Arc::new(Running::new(sql, user, pool, self.clock.now_ms()));
        let mut known = self.known.lock();
        if known.closed {
            return Err(StopReason::Shutdown.error());
        }
        known.running.insert(running.id, Arc::clone(&running));
        Ok(running)
    }

    /// Moves a query to those that ended. Returns whether it was still running.
    pub(crate) fn end(&self, running: &Arc<Running>, outcome: Result<(), &Error>) -> bool {
        if !running.end(outcome) {
            return false;
        }
        let mut known = self.known.lock();
        known.running.remove(&running.id);
        known.ended.push_back(Arc::clone(running));
        if known.ended.len() > ENDED_KEPT {
            known.ended.pop_front();
        }
        true
    }

    pub(crate) fn list(&self) -> Vec<QueryInfo> {
        let known = self.known.lock();
        let mut all: Vec<_> = known
            .running
            .values()
            .chain(&known.ended)
            .map(|query| query.info())
            .collect();
        all.sort_by_key(|query| query.id);
        all
    }

    pub(crate) fn get(&self, id: QueryId) -> Option<QueryInfo> {
        let known = self.known.lock();
        let ended = || known.ended.iter().find(|query| query.id == id);
        known
            .running
            .get(&id)
            .or_else(ended)
            .map(|query| query.info())
    }

    /// Asks a running query to stop. Returns whether there is one of that id.
    pub(crate) fn cancel(&self, id: QueryId) -> bool {
        let running = self.known.lock().running.get(&id).cloned();
        running
            .inspect(|query| query.stop_for(StopReason::Killed))
            .is_some()
    }

    /// Whose running query of that id is.
    pub(crate) fn user_of(&self, id: QueryId) -> Option<String> {
        let known = self.known.lock();
        known.running.get(&id).map(|query| query.user.clone())
    }

    /// The queries that run.
    pub(crate) fn running(&self) -> Vec<Arc<Running>> {
        self.known.lock().running.values().cloned().collect()
    }

    pub(crate) fn count(&self, wanted: impl Fn(&Running) -> bool) -> usize {
        self.known
            .lock()
            .running
            .values()
            .filter(|query| wanted(query))
            .count()
    }

    /// Asks every query to stop, and lets no new one in.
    pub(crate) fn close(&self) {
        let mut known = self.known.lock();
        known.closed = true;
        let running: Vec<_> = known.running.values().cloned().collect();
        drop(known);
        for query in running {
            query.stop_for(StopReason::Shutdown);
        }
    }
}
