//! A session: the one way in for every front door, and whose it is.

use std::sync::{Arc, Weak};
use std::time::Duration;

use arrow::datatypes::{DataType, FieldRef, SchemaRef};
use parking_lot::{Mutex, RwLock};
use tokio::time::Instant;
use weir_base::{Classify, Kind, QueryId, SqlState};
use weir_topics::groups::Groups;
use weir_topics::transactions::Transactions;

use crate::answer::Answer;
use crate::description::Description;
use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::execution::timed_out;
use crate::kept::{Found, Lent, MadeOn};
use crate::lanes::Lane;
use crate::listing::Listing;
use crate::memory::QueryPool;
use crate::queries::{QueryInfo, Running};
use crate::request::{Ingest, Ingested, Request};
use crate::security::{AuditEvent, Principal, Rights};
use crate::statements::Execution;
use crate::temporary::Temporary;
use crate::transaction::{Modes, Notice, Standing, TransactionStatus};
use crate::variables::Variables;

/// Settings made by `SET`, kept from statement to statement. Clones share them.
#[derive(Debug, Clone)]
pub struct Session(Arc<Inner>);

/// A session that is known without being kept: what it holds itself (cursors, prepared statements) may refer to it by this.
#[derive(Debug, Clone, Default)]
pub(crate) struct WeakSession(Weak<Inner>);

impl WeakSession {
    /// The session, if it is still there.
    pub(crate) fn get(&self) -> Option<Session> {
        self.0.upgrade().map(Session)
    }
}

#[derive(Debug)]
struct Inner {
    engine: Arc<Shared>,
    principal: Principal,
    /// What the user may do, in the version of the accounts that was looked at last.
    rights: Mutex<Option<Arc<Rights>>>,
    variables: RwLock<Variables>,
    standing: Standing,
    temporary: Arc<Temporary>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Before its transaction is taken back: of what is gone nothing is to be.
        self.temporary.abandon(&self.engine);
        self.standing.abandon(&self.engine);
    }
}

impl Session {
    pub(crate) fn downgrade(&self) -> WeakSession {
        WeakSession(Arc::downgrade(&self.0))
    }

    pub(crate) fn new(engine: Arc<Shared>, principal: Principal) -> Self {
        Self(Arc::new(Inner {
            engine,
            principal,
            rights: Mutex::default(),
            variables: RwLock::default(),
            standing: Standing::default(),
            temporary: Arc::default(),
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
        let variables = self.0.variables.read().clone();
        let transaction = self.0.standing.open();
        let catalog = engine.catalog.snapshot();
        // What a session has for itself, and what a transaction has written or defined, nobody else sees.
        let own = self.0.temporary.over(Arc::clone(&catalog));
        let sees_more = !Arc::ptr_eq(&own, &catalog)
            || transaction.as_ref().is_some_and(|open| open.has_changed());
        let plans = &engine.kept_plans;
        let asked = match sees_more {
            true => None,
            false => plans.asked(&request, &variables, self.principal()),
        };
        let made_on = MadeOn {
            catalog,
            accounts: Arc::clone(rights.accounts()),
        };
        let found = asked.as_ref().map(|asked| plans.find(asked, made_on));
        let (text, place) = match found {
            Some(Found::Plan(plan)) => (Text::Kept(plan), None),
            found => {
                let place = match found {
                    Some(Found::Make(place)) => Some(place),
                    _ => None,
                };
                let parsed = crate::text::parse_one(&request.sql)?;
                (Text::Parsed(Box::new(parsed)), place)
            }
        };
        self.check_usable(text.statement())?;
        let timeout = variables
            .timeout(limits)
            .min(request.timeout.unwrap_or(Duration::MAX));
        let memory = usize::try_from(variables.query_memory(limits)).unwrap_or(usize::MAX);
        let pool = Arc::new(QueryPool::new(memory, Arc::clone(&engine.memory)));
        let shown = text.shown(&request);
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
            transaction,
            deadline: (deadline, timeout),
            asked,
        };
        let answered = async {
            match text {
                Text::Kept(plan) => Box::pin(execution.run_again(*plan)).await,
                Text::Parsed(parsed) => Box::pin(execution.run(*parsed, place)).await,
            }
        };
        let done = tokio::select! {
            biased;
            () = running.stop.cancelled() => Err(running.stop_reason().error()),
            answer = answered => answer,
            () = tokio::time::sleep_until(deadline) => Err(timed_out(timeout)),
        };
        unanswered.disarm();
        done.map_err(|error| {
            self.fail_transaction();
            self.note_denied(&shown, &error);
            let error = error.with_query_id(running.id);
            engine.ended(&running, Err(&error));
            error
        })
    }

    /// The columns that a `COPY t FROM STDIN` takes, in their order.
    ///
    /// # Errors
    /// When the text is no such statement, or names what is not there or takes no rows.
    pub async fn copy_columns(&self, sql: &str) -> Result<SchemaRef> {
        let engine = Arc::clone(&self.0.engine);
        let execution = self.planning(Request::new(sql))?;
        engine
            .lanes
            .run(Lane::Interactive, async move {
                let parsed = crate::text::parse_one(&execution.request.sql)?;
                match &parsed.statement {
                    weir_sql::Statement::CopyFrom(copy) => {
                        execution.authorise(&parsed.statement)?;
                        execution.copy_columns(copy)
                    }
                    other => Err(Error::invalid(
                        SqlState::SYNTAX_ERROR,
                        format!("{} takes no rows", other.tag()),
                    )),
                }
            })
            .await
    }

    /// The field of a column of a type.
    ///
    /// # Errors
    /// When there is no such type.
    pub fn type_of(&self, data_type: &weir_sql::ast::DataType) -> Result<FieldRef> {
        let execution = self.planning(Request::new(""))?;
        let planner = execution.planner(execution.snapshot(), crate::planning::Reading::Bounded);
        planner.field_of(data_type)
    }

    /// Says what one statement wants and gives, planned on the catalog as it would be to run. Nothing is run. `hints` are the
    /// types of parameters as far as the client has said them.
    ///
    /// # Errors
    /// What is found while it is planned: syntax, names, types.
    pub async fn describe(&self, sql: &str, hints: &[Option<DataType>]) -> Result<Description> {
        let engine = Arc::clone(&self.0.engine);
        let session = self.clone();
        let request = Request {
            hints: hints.to_vec(),
            ..Request::new(sql)
        };
        engine
            .lanes
            .run(Lane::Interactive, async move {
                session.describe_here(request).await
            })
            .await
    }

    async fn describe_here(self, request: Request) -> Result<Description> {
        let parsed = crate::text::parse_one(&request.sql)?;
        self.check_usable(Some(&parsed.statement))?;
        let execution = self.planning(request)?;
        let (deadline, timeout) = execution.deadline;
        tokio::select! {
            described = execution.describe_statement(parsed) => described,
            () = tokio::time::sleep_until(deadline) => Err(timed_out(timeout)),
        }
    }

    /// What plans a request that is not run.
    fn planning(&self, request: Request) -> Result<Execution> {
        let engine = Arc::clone(&self.0.engine);
        let rights = self.rights()?;
        let limits = &engine.settings.limits;
        let variables = self.0.variables.read().clone();
        let timeout = variables.timeout(limits);
        let memory = usize::try_from(variables.query_memory(limits)).unwrap_or(usize::MAX);
        let pool = Arc::new(QueryPool::new(memory, Arc::clone(&engine.memory)));
        // Nobody sees it among the queries: it reads nothing but what planning looks at.
        let running = Running::new("", self.principal().user(), pool, engine.clock.now_ms());
        let deadline = Instant::now() + timeout;
        Ok(Execution {
            engine: Arc::clone(&engine),
            session: self.clone(),
            rights,
            running: Arc::new(running),
            request,
            variables,
            transaction: self.0.standing.open(),
            deadline: (deadline, timeout),
            asked: None,
        })
    }

    /// Appends rows to a stream, all or none; they are on disk when it returns.
    ///
    /// # Errors
    /// The first wrong row (see [`Error::row`]), an unknown stream, or a log that cannot write.
    pub async fn ingest(&self, ingest: Ingest) -> Result<Ingested> {
        let engine = Arc::clone(&self.0.engine);
        let variables = self.0.variables.read().clone();
        let rights = self.rights()?;
        let what = format!("ingest into {}", ingest.stream);
        let done = crate::ingest::ingest(engine, &rights, &variables, ingest).await;
        done.inspect_err(|error| self.note_denied(&what, error))
    }

    /// The schemas and relations that its user sees, as of now; those of its transaction, where one is open.
    ///
    /// # Errors
    /// As [`Session::rights`].
    pub fn listing(&self) -> Result<Listing> {
        let engine = &self.0.engine;
        let snapshot = match self.0.standing.open() {
            Some(transaction) => transaction.catalog(engine),
            None => engine.catalog.snapshot(),
        };
        let snapshot = self.0.temporary.over(snapshot);
        Ok(crate::listing::list(&self.rights()?.visible(&snapshot)))
    }

    /// Another session of the same user, with the settings that this one has now.
    #[must_use]
    pub fn sibling(&self) -> Self {
        let sibling = Self::new(Arc::clone(&self.0.engine), self.0.principal.clone());
        let variables = self.0.variables.read().clone();
        sibling.change_variables(|settings| *settings = variables);
        sibling
    }

    /// Notes in the audit log that something was refused for want of a right.
    pub(crate) fn note_denied(&self, what: &str, error: &Error) {
        if error.kind() == Kind::Denied {
            self.0.engine.audit.note(AuditEvent::Denied {
                user: self.principal().user(),
                statement: what,
                reason: error.message(),
            });
        }
    }

    /// Notes in the audit log that something changed by another way than a statement.
    pub(crate) fn note_change(&self, what: &str) {
        self.0.engine.audit.note(AuditEvent::Changed {
            user: self.principal().user(),
            statement: what,
        });
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

    /// How the session stands: whether it is in a transaction.
    pub fn transaction_status(&self) -> TransactionStatus {
        self.0.standing.status()
    }

    /// A number that changes whenever a transaction begins or ends.
    pub fn transaction_number(&self) -> u64 {
        self.0.standing.number()
    }

    /// Notes that something failed that this session was asked for: an open transaction can then only be ended.
    pub fn fail_transaction(&self) {
        self.0.standing.fail();
    }

    /// Begins a transaction that a door needs for statements that come together, unless one is open.
    pub fn begin_implicit(&self) {
        if self.transaction_status() == TransactionStatus::Idle {
            let modes = Modes {
                isolation: Some(self.variables().text("default_transaction_isolation")),
                ..Modes::default()
            };
            self.0.standing.begin(modes, self.variables(), true);
        }
    }

    /// Ends a transaction that [`Self::begin_implicit`] began, if it is still that.
    ///
    /// # Errors
    /// When it cannot be committed: nothing of it has happened.
    pub async fn end_implicit(&self, commits: bool) -> Result<()> {
        if !self.0.standing.is_implicit() {
            return Ok(());
        }
        let engine = &self.0.engine;
        let (settings, done) = match commits {
            true => self.0.standing.commit(engine).await,
            false => (self.0.standing.roll_back(engine).await, Ok(true)),
        };
        if let Some(settings) = settings {
            self.change_variables(|variables| *variables = settings);
        }
        done.map(drop)
    }

    /// What the session has to say beside answers, since this was last asked.
    pub fn take_notices(&self) -> Vec<Notice> {
        self.0.standing.take_notices()
    }

    /// The value of a setting.
    ///
    /// # Errors
    /// 42704 when there is none of that name.
    pub fn setting(&self, name: &str) -> Result<String> {
        let open = self.0.standing.open();
        // Of the transaction, else of the next.
        let name = match name {
            "transaction_isolation" => match open.and_then(|open| open.isolation()) {
                Some(isolation) => return Ok(isolation),
                None => "default_transaction_isolation",
            },
            "transaction_read_only" => match open.and_then(|open| open.read_only()) {
                Some(read_only) => return Ok(if read_only { "on" } else { "off" }.to_owned()),
                None => "default_transaction_read_only",
            },
            name => name,
        };
        self.0
            .variables
            .read()
            .get(name, &self.0.engine.settings.limits)
    }

    /// Makes the settings that a client brings when it connects; `RESET` leads back to them.
    ///
    /// # Errors
    /// 42704 when there is none of a name, 22023 when a value is not accepted.
    pub fn bring_settings(
        &self,
        settings: impl IntoIterator<Item = (String, String)>,
    ) -> Result<()> {
        let limits = &self.0.engine.settings.limits;
        self.change_variables(|variables| {
            for (name, value) in settings {
                variables.set(&name, &value, limits)?;
            }
            variables.keep_as_brought();
            Ok(())
        })
    }

    /// How long a statement may take.
    pub fn statement_timeout(&self) -> Duration {
        self.0
            .variables
            .read()
            .timeout(&self.0.engine.settings.limits)
    }

    /// How long a connection may be silent in a transaction.
    pub fn idle_in_transaction_timeout(&self) -> Duration {
        self.0.variables.read().idle_in_transaction()
    }

    /// Refuses what comes in a transaction that has failed, but for its end.
    fn check_usable(&self, statement: Option<&weir_sql::Statement>) -> Result<()> {
        use weir_sql::statement::Transaction;
        let ends = matches!(
            statement,
            Some(weir_sql::Statement::Transaction(
                Transaction::Commit | Transaction::Rollback | Transaction::RollbackTo(_)
            ))
        );
        if ends || self.transaction_status() != TransactionStatus::Failed {
            return Ok(());
        }
        Err(Error::invalid(
            SqlState("25P02"),
            "current transaction is aborted, commands ignored until end of transaction block",
        )
        .with_hint("ROLLBACK"))
    }

    pub(crate) fn variables(&self) -> Variables {
        self.0.variables.read().clone()
    }

    /// What it has for itself.
    pub(crate) fn temporary(&self) -> &Arc<Temporary> {
        &self.0.temporary
    }

    pub(crate) fn standing(&self) -> &Standing {
        &self.0.standing
    }

    pub(crate) fn change_variables<T>(&self, change: impl FnOnce(&mut Variables) -> T) -> T {
        change(&mut self.0.variables.write())
    }
}

/// A text that has come.
enum Text {
    /// It is a query, whose plan is kept.
    Kept(Box<Lent>),
    Parsed(Box<weir_sql::Parsed>),
}

impl Text {
    /// The statement, unless it is a query that is known.
    fn statement(&self) -> Option<&weir_sql::Statement> {
        match self {
            Self::Kept(_) => None,
            Self::Parsed(parsed) => Some(&parsed.statement),
        }
    }

    /// What lists and logs show.
    fn shown(&self, request: &Request) -> Arc<str> {
        match self {
            // No query has secrets.
            Self::Kept(_) => Arc::from(request.sql.trim().trim_end_matches(';')),
            Self::Parsed(parsed) => Arc::from(crate::text::redacted(parsed)),
        }
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
