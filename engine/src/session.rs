//! A session: the one way in for every front door, and whose it is.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::time::Instant;
use weir_base::{Classify, Kind, QueryId};
use weir_topics::groups::Groups;
use weir_topics::transactions::Transactions;

use crate::answer::Answer;
use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::execution::timed_out;
use crate::lanes::Lane;
use crate::memory::QueryPool;
use crate::queries::{QueryInfo, Running};
use crate::request::{Ingest, Ingested, Request};
use crate::security::{AuditEvent, Principal, Rights};
use crate::statements::Execution;
use crate::variables::Variables;

/// Settings made by `SET`, kept from statement to statement. Clones share them.
#[derive(Debug, Clone)]
pub struct Session(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    engine: Arc<Shared>,
    principal: Principal,
    /// What the user may do, in the version of the accounts that was looked at last.
    rights: Mutex<Option<Arc<Rights>>>,
    variables: RwLock<Variables>,
}

impl Session {
    pub(crate) fn new(engine: Arc<Shared>, principal: Principal) -> Self {
        Self(Arc::new(Inner {
            engine,
            principal,
            rights: Mutex::default(),
            variables: RwLock::default(),
        }))
    }

    /// Executes one statement. Returns once it is planned and admitted; its rows follow as a stream.
    ///
    /// Dropping the future, or the answer, stops the statement.
    ///
    /// # Errors
    /// Everything that is found before the first row: syntax, names, types, rights, limits.
    pub async fn execute(&self, request: Request) -> Result<Answer> {
        let engine = Arc::clone(&self.0.engine);
        let session = self.clone();
        engine
            .lanes
            .run(Lane::Interactive, async move {
                session.execute_here(request).await
            })
            .await
    }

    async fn execute_here(self, request: Request) -> Result<Answer> {
        let engine = Arc::clone(&self.0.engine);
        let limits = &engine.settings.limits;
        let rights = self.rights()?;
        let parsed = crate::text::parse_one(&request.sql)?;
        let variables = self.0.variables.read().clone();
        let timeout = variables
            .timeout(limits)
            .min(request.timeout.unwrap_or(Duration::MAX));
        let memory = usize::try_from(variables.query_memory(limits)).unwrap_or(usize::MAX);
        let pool = Arc::new(QueryPool::new(memory, Arc::clone(&engine.memory)));
        let shown = crate::text::redacted(&parsed);
        let running = engine
            .queries
            .begin(&shown, self.principal().user(), pool)?;
        let unanswered = Unanswered(Some((Arc::clone(&engine), Arc::clone(&running))));
        let deadline = Instant::now() + timeout;
        let execution = Execution {
            engine: Arc::clone(&engine),
            session: self.clone(),
            rights,
            running: Arc::clone(&running),
            request,
            variables,
            deadline: (deadline, timeout),
        };
        let done = tokio::select! {
            biased;
            () = running.stop.cancelled() => Err(running.stop_reason().error()),
            answer = execution.run(parsed) => answer,
            () = tokio::time::sleep_until(deadline) => Err(timed_out(timeout)),
        };
        unanswered.disarm();
        done.map_err(|error| {
            if error.kind() == Kind::Denied {
                engine.audit.note(AuditEvent::Denied {
                    user: self.principal().user(),
                    statement: &shown,
                    reason: error.message(),
                });
            }
            let error = error.with_query_id(running.id);
            engine.ended(&running, Err(&error));
            error
        })
    }

    /// Appends rows to a stream, all or none; they are on disk when it returns.
    ///
    /// # Errors
    /// The first wrong row (see [`Error::row`]), an unknown stream, or a log that cannot write.
    pub async fn ingest(&self, ingest: Ingest) -> Result<Ingested> {
        let engine = Arc::clone(&self.0.engine);
        let variables = self.0.variables.read().clone();
        crate::ingest::ingest(engine, &self.rights()?, &variables, ingest).await
    }

    /// Whose session it is.
    pub fn principal(&self) -> &Principal {
        &self.0.principal
    }

    /// What its user may do now.
    ///
    /// # Errors
    /// 28000 when the user or the token that it signed in by is gone, has expired, or may no longer sign in.
    pub fn rights(&self) -> Result<Arc<Rights>> {
        let engine = &self.0.engine;
        let (accounts, now_ms) = (engine.catalog.accounts(), engine.clock.now_ms());
        let mut known = self.0.rights.lock();
        if let Some(rights) = known.as_ref()
            && rights.still_hold(&accounts, now_ms)
        {
            return Ok(Arc::clone(rights));
        }
        let rights = Arc::new(Rights::of(&self.0.principal, accounts, now_ms)?);
        *known = Some(Arc::clone(&rights));
        Ok(rights)
    }

    /// The queries that run and lately ran, in order of arrival: all for admins, else the user's own.
    ///
    /// # Errors
    /// As [`Self::rights`].
    pub fn queries(&self) -> Result<Vec<QueryInfo>> {
        let rights = self.rights()?;
        let mut queries = self.0.engine.queries.list();
        queries.retain(|query| rights.is_admin() || query.user == self.principal().user());
        Ok(queries)
    }

    /// One of [`Self::queries`].
    ///
    /// # Errors
    /// As [`Self::rights`].
    pub fn query(&self, id: QueryId) -> Result<Option<QueryInfo>> {
        let rights = self.rights()?;
        let query = self.0.engine.queries.get(id);
        Ok(query.filter(|query| rights.is_admin() || query.user == self.principal().user()))
    }

    /// Asks one of [`Self::queries`] to stop. Returns whether it was running.
    ///
    /// # Errors
    /// As [`Self::rights`].
    pub fn cancel(&self, id: QueryId) -> Result<bool> {
        Ok(self.query(id)?.is_some() && self.0.engine.queries.cancel(id))
    }

    pub(crate) fn engine(&self) -> &Arc<Shared> {
        &self.0.engine
    }

    /// The consumer groups of the log.
    pub fn groups(&self) -> Groups {
        self.0.engine.log.groups()
    }

    /// The transactions of the log.
    pub fn transactions(&self) -> Transactions {
        self.0.engine.log.transactions()
    }

    /// The time by the engine's clock, in milliseconds since the epoch.
    pub fn now_ms(&self) -> i64 {
        self.0.engine.clock.now_ms()
    }

    pub(crate) fn change_variables<T>(&self, change: impl FnOnce(&mut Variables) -> T) -> T {
        change(&mut self.0.variables.write())
    }
}

/// Ends a query whose caller left before there was an answer.
struct Unanswered(Option<(Arc<Shared>, Arc<Running>)>);

impl Unanswered {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some((engine, running)) = self.0.take() {
            running.reader_left();
            let error = Error::new(Kind::Cancelled, "the client went away");
            engine.ended(&running, Err(&error));
        }
    }
}
