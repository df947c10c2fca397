//! Statements: each is carried out by one function of [`Execution`], in the file of its kind.

mod access;
mod alter;
mod authorise;
mod change;
mod columns;
mod copy;
mod create;
mod create_stream;
mod definitions;
mod describe;
mod drop;
mod explain;
mod followed;
mod job_options;
mod live;
mod materialized_view;
mod query;
mod returning;
mod session;
mod show;
mod sink;
mod temporary;
mod test_connection;
mod transaction;
mod write;

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use datafusion::sql::sqlparser::ast;
use tokio::time::Instant;
use weir_base::{Classify, Kind, Position, SqlState};
use weir_catalog::{Change, ObjectName, Snapshot};
use weir_sql::{Parsed, Statement, statement};

pub(crate) use self::create_stream::DEAD_LETTER_TOPIC;
use crate::answer::{Answer, AnswerKind};
use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::execution::run_ready;
use crate::kept::{Asked, Place};
use crate::lanes::{Lane, panicked};
use crate::planning::{Planner, Reading};
use crate::queries::Running;
use crate::request::Request;
use crate::security::{AuditEvent, Rights};
use crate::session::Session;
use crate::transaction::{Transaction, read_only};
use crate::variables::Variables;

/// One statement on its way.
#[derive(Clone)]
pub(crate) struct Execution {
    pub(crate) engine: Arc<Shared>,
    pub(crate) session: Session,
    pub(crate) rights: Arc<Rights>,
    pub(crate) running: Arc<Running>,
    pub(crate) request: Request,
    pub(crate) variables: Variables,
    /// The transaction that it is in.
    pub(crate) transaction: Option<Arc<Transaction>>,
    /// When it must be done, and how long that is after its arrival.
    pub(crate) deadline: (Instant, Duration),
    /// As what its plan is kept.
    pub(crate) asked: Option<Asked>,
}

impl Execution {
    /// Carries out the statement up to its first row. A query's plan is made for `place`, if there is one.
    pub(crate) async fn run(&self, parsed: Parsed, place: Option<Place>) -> Result<Answer> {
        let statement = parsed.statement;
        if self.request.read_only && !statement.reads_only() {
            return Err(Error::invalid(
                SqlState::READ_ONLY_SQL_TRANSACTION,
                format!(
                    "{} is not allowed here: this request may only read",
                    statement.tag()
                ),
            )
            .with_hint("send it with POST"));
        }
        if self.variables.is_read_only()
            && !statement.reads_only()
            && !statement::is_of_session(&statement)
            && self
                .transaction
                .as_ref()
                .is_none_or(|open| open.read_only() != Some(false))
        {
            return Err(read_only(&statement));
        }
        if let Some(transaction) = &self.transaction {
            transaction.check(&statement)?;
            transaction.check_writes(&statement)?;
            if !matches!(statement, Statement::Transaction(_)) {
                self.fix_moment(transaction).await;
            }
        }
        self.refuse_ignored(&statement)?;
        self.refuse_unread(&statement)?;
        self.authorise(&statement)?;
        let tag = statement.tag();
        match statement {
            Statement::Query(query) => self.query(query, place).await,
            Statement::Explain(explain) => self.explain(explain).await,
            Statement::Insert(insert) if insert.emit.is_some() => {
                let this = self.clone();
                self.to_the_end(async move { this.insert_changes(insert, parsed.sql).await })
                    .await
            }
            Statement::Insert(insert) => self.insert(insert).await,
            Statement::Update(update) => self.update(*update).await,
            Statement::Delete(delete) => self.delete(*delete).await,
            Statement::Truncate(names) => self.truncate(&names).await,
            Statement::Copy(copy) => self.copy_to(copy).await,
            Statement::CreateSchema(create) => self.create_schema(create, parsed.sql).await,
            Statement::CreateStream(create) => self.create_stream(create, parsed.sql).await,
            Statement::CreateTable(create) => self.create_table(create, parsed.sql).await,
            Statement::CreateExternalTable(create) => {
                self.create_external_table(create, parsed.sql).await
            }
            Statement::CreateView(create) => self.create_view(create, parsed.sql).await,
            Statement::CreateConnection(create) => self.create_connection(create).await,
            Statement::TestConnection(test) => self.test_connection(test).await,
            Statement::Drop(drop) => {
                let this = self.clone();
                self.to_the_end(async move { this.drop_objects(drop).await })
                    .await
            }
            Statement::Alter(alter) => self.alter(alter, tag).await,
            Statement::CommentOn(comment) => self.comment_on(comment).await,
            Statement::Show(show) => self.show(show),
            Statement::Describe(describe) => self.describe(describe).await,
            Statement::Set(set) => self.set(&set),
            Statement::Reset(reset) => self.reset(&reset),
            Statement::Discard(what) => self.discard(&what).await,
            Statement::KillQuery(id) => self.kill_query(&id),
            Statement::Flush => {
                self.engine.views.flush(&self.engine).await;
                Ok(self.done("FLUSH"))
            }
            Statement::Access(access) => self.access(access, tag).await,
            Statement::Subscribe(subscribe) => self.subscribe(subscribe).await,
            Statement::CreateMaterializedView(create) => {
                self.create_materialized_view(create, parsed.sql).await
            }
            Statement::CreateSink(create) => {
                let this = self.clone();
                self.to_the_end(async move { this.create_sink(create, parsed.sql).await })
                    .await
            }
            Statement::CopyFrom(copy) => self.copy_from(copy).await,
            Statement::Transaction(transaction) => self.transaction(transaction, tag).await,
            Statement::Cursor(_) | Statement::Prepared(_) => Err(Error::unsupported(format!(
                "{tag} is not supported by this protocol"
            ))
            .with_hint("the PostgreSQL protocol has cursors and prepared statements")),
            Statement::Notification(_) => {
                Err(Error::unsupported(format!("{tag} is not supported yet")))
            }
        }
    }

    /// Fixes what a transaction sees, if nothing has yet.
    async fn fix_moment(&self, transaction: &Transaction) {
        // Its moment is that of the views, too: they come first to where they shall be.
        if self.variables.reads_own_writes() && !transaction.is_fixed() {
            self.engine.views.flush(&self.engine).await;
        }
        transaction.fix(&self.engine);
    }

    /// Refuses what a request says of live queries when it is none.
    fn refuse_unread(&self, statement: &Statement) -> Result<()> {
        let is_live = match statement {
            Statement::Query(query) => query.emit.is_some(),
            statement => matches!(statement, Statement::Subscribe(_)),
        };
        let said = match (&self.request.resume, self.request.envelope) {
            _ if is_live => return Ok(()),
            (Some(_), _) => "can be resumed",
            (None, Some(_)) => "has an envelope",
            (None, None) => return Ok(()),
        };
        Err(Error::invalid(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("only a live query {said}"),
        )
        .with_hint("add EMIT CHANGES"))
    }

    /// Refuses what DataFusion would pass over in silence.
    fn refuse_ignored(&self, statement: &Statement) -> Result<()> {
        let by_planner = crate::planning::is_versioned;
        if let Some(ignored) = weir_sql::unsupported::first_ignored_but(statement, by_planner) {
            let error = Error::unsupported(format!("{} is not supported", ignored.what))
                .with_position(ignored.position);
            return Err(match ignored.hint {
                Some(hint) => error.with_hint(hint),
                None => error,
            });
        }
        let state = &self.engine.base_state;
        for call in weir_sql::calls::decorated_calls(statement) {
            let is_aggregate = state.aggregate_functions().contains_key(&call.name);
            let is_window = state.window_functions().contains_key(&call.name);
            let is_scalar = state.scalar_functions().contains_key(&call.name)
                || state.higher_order_functions().contains_key(&call.name);
            let refused = if is_scalar && !is_aggregate && !is_window {
                call.clauses.first().map(|clause| {
                    let kind = if *clause == "OVER" {
                        "a window function or an aggregate"
                    } else {
                        "an aggregate"
                    };
                    let message =
                        format!("{clause} was given to {:?}, which is not {kind}", call.name);
                    Error::invalid(SqlState::WRONG_OBJECT_TYPE, message)
                })
            } else if is_window && !is_aggregate && call.clauses.contains(&"DISTINCT") {
                let message = format!(
                    "DISTINCT in the window function {:?} is not supported",
                    call.name
                );
                Some(Error::unsupported(message))
            } else {
                None
            };
            if let Some(error) = refused {
                return Err(error.with_position(call.position));
            }
        }
        Ok(())
    }

    /// The catalog as of now, with what the transaction has defined and what the session has for itself.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        let snapshot = match &self.transaction {
            Some(transaction) => transaction.catalog(&self.engine),
            None => self.engine.catalog.snapshot(),
        };
        self.session.temporary().over(snapshot)
    }

    /// Waits for the right to define something; a transaction keeps it.
    pub(crate) async fn may_define(&self) -> Result<Option<tokio::sync::MutexGuard<'_, ()>>> {
        match &self.transaction {
            Some(transaction) => {
                transaction.may_define(&self.engine).await?;
                Ok(None)
            }
            None => Ok(Some(self.engine.ddl.lock().await)),
        }
    }

    /// The catalog as it is for the session's user.
    pub(crate) fn visible(&self) -> Arc<Snapshot> {
        self.rights.visible(&self.snapshot())
    }

    /// A planner on one catalog snapshot, with the rights of the session's user.
    pub(crate) fn planner(&self, snapshot: Arc<Snapshot>, reading: Reading) -> Planner {
        let planner = Planner::new(
            Arc::clone(&self.engine),
            &self.running,
            snapshot,
            &self.variables,
            reading,
        )
        .of_session(&self.session)
        .with_rights(&self.rights, &self.running)
        .with_parameter_types(&self.request.hints);
        match &self.transaction {
            // What is live goes on past every moment.
            Some(transaction) if reading == Reading::Bounded => {
                planner.at(Arc::clone(&transaction.moment))
            }
            _ => planner,
        }
    }

    /// The catalog's name for what a statement names: a temporary object comes first.
    ///
    /// # Errors
    /// As [`Self::new_name`].
    pub(crate) fn name(&self, name: &ast::ObjectName) -> Result<ObjectName> {
        let mut meant = self.new_name(name)?;
        let snapshot = self.snapshot();
        if let [_] = name.0.as_slice() {
            if let Some(own) = snapshot.temporary(&meant.name) {
                return Ok(own.name.clone());
            }
        } else {
            meant.schema = snapshot.meant_schema(&meant.schema).to_owned();
        }
        Ok(meant)
    }

    /// The catalog's name for something that a statement makes.
    ///
    /// # Errors
    /// When it names another database, or has too many parts.
    pub(crate) fn new_name(&self, name: &ast::ObjectName) -> Result<ObjectName> {
        let parts: Vec<String> = name
            .0
            .iter()
            .filter_map(|part| part.as_ident())
            .map(normalized)
            .collect();
        let wrong = |message: String| {
            Error::invalid(SqlState::SYNTAX_ERROR, message).with_position(position_of(name))
        };
        match parts.as_slice() {
            [name] => Ok(ObjectName::new(self.variables.schema(), name)),
            [schema, name] => Ok(ObjectName::new(schema, name)),
            [database, schema, name] if database == "weir" => Ok(ObjectName::new(schema, name)),
            [database, _, _] => Err(wrong(format!(
                "database {database:?} not found: this server has one, \"weir\""
            ))),
            _ => Err(wrong(format!("name {name} has too many parts"))),
        }
    }

    /// Commits changes that were planned on `snapshot`, off the async threads.
    pub(crate) async fn commit(
        &self,
        snapshot: &Arc<Snapshot>,
        changes: Vec<Change>,
    ) -> Result<Arc<Snapshot>> {
        if changes.is_empty() {
            return Ok(self.snapshot());
        }
        self.authorise_changes(snapshot, &changes)?;
        let (temporary, changes) = temporary::apart(snapshot, changes)?;
        if changes.is_empty() {
            self.define_temporary(&temporary).await?;
            return Ok(self.snapshot());
        }
        self.note_change();
        if let Some(transaction) = &self.transaction {
            let defined = transaction.define(snapshot, &changes)?;
            self.define_temporary(&temporary).await?;
            return Ok(defined);
        }
        let (engine, version) = (Arc::clone(&self.engine), snapshot.version());
        let committed =
            tokio::task::spawn_blocking(move || engine.catalog.commit(version, changes)).await;
        let committed = committed
            .map_err(panicked)?
            .map_err(|error| Error::from_classified(&error))?;
        self.define_temporary(&temporary).await?;
        Ok(committed)
    }

    /// Carries work out to its end, also when who sent the statement goes away, or its time is over: cut off in the middle, what the
    /// catalog says and what runs would not be the same.
    pub(crate) async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        match self.engine.lanes.spawn(Lane::Interactive, work) {
            Some(task) => task.await.map_err(panicked)?,
            None => Err(Error::new(Kind::Unavailable, "the server is shutting down")),
        }
    }

    /// Notes in the audit log that the statement changes what exists, or who may use it.
    pub(crate) fn note_change(&self) {
        self.engine.audit.note(AuditEvent::Changed {
            user: self.rights.principal().user(),
            statement: self.running.text(),
        });
    }

    /// The answer of a command without rows.
    pub(crate) fn done(&self, tag: &str) -> Answer {
        let kind = AnswerKind::Command {
            tag: tag.to_owned(),
            rows: None,
            gives_rows: false,
        };
        run_ready(
            &self.engine,
            &self.running,
            kind,
            Arc::new(Schema::empty()),
            vec![],
        )
    }

    /// The answer of a statement that wrote rows: one row with their count.
    pub(crate) fn wrote(&self, tag: &str, rows: u64) -> Result<Answer> {
        let schema = Arc::new(Schema::new(vec![Field::new(
            "count",
            DataType::Int64,
            false,
        )]));
        let count = arrow::array::Int64Array::from(vec![i64::try_from(rows).unwrap_or(i64::MAX)]);
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(count)])?;
        let kind = AnswerKind::Command {
            tag: tag.to_owned(),
            rows: Some(rows),
            gives_rows: false,
        };
        Ok(run_ready(
            &self.engine,
            &self.running,
            kind,
            schema,
            vec![batch],
        ))
    }

    /// The answer of a statement whose rows are there.
    pub(crate) fn rows(&self, batch: RecordBatch) -> Answer {
        run_ready(
            &self.engine,
            &self.running,
            AnswerKind::Rows,
            batch.schema(),
            vec![batch],
        )
    }
}

/// A name's part as the catalog knows it: folded to lower case unless quoted.
pub(crate) fn normalized(ident: &ast::Ident) -> String {
    if ident.quote_style.is_some() {
        ident.value.clone()
    } else {
        ident.value.to_lowercase()
    }
}

/// Where a name stands.
pub(crate) fn position_of(name: &ast::ObjectName) -> Option<Position> {
    name.0.first()?.as_ident().and_then(ident_position)
}

/// Where an identifier stands.
pub(crate) fn ident_position(ident: &ast::Ident) -> Option<Position> {
    let start = ident.span.start;
    (start.line > 0).then_some(Position {
        line: start.line,
        column: start.column,
    })
}

impl From<weir_catalog::Error> for Error {
    fn from(error: weir_catalog::Error) -> Self {
        Self::from_classified(&error)
    }
}

impl From<weir_connectors::Error> for Error {
    fn from(error: weir_connectors::Error) -> Self {
        Self::from_classified(&error)
    }
}

impl From<weir_streaming::Error> for Error {
    fn from(error: weir_streaming::Error) -> Self {
        match error {
            weir_streaming::Error::DataFusion(error) => error.into(),
            weir_streaming::Error::Row {
                source,
                operator,
                row,
            } => {
                let error = Self::from(*source);
                let message = format!("{error} in {operator}, for the row {row}");
                Self::new(error.kind(), message).with_sqlstate(error.sqlstate())
            }
            other => Self::from_classified(&other),
        }
    }
}

impl From<weir_topics::Error> for Error {
    fn from(error: weir_topics::Error) -> Self {
        Self::from_classified(&error)
    }
}

impl From<weir_base::OptionError> for Error {
    fn from(error: weir_base::OptionError) -> Self {
        let wrong = Self::invalid(SqlState::INVALID_PARAMETER_VALUE, error.to_string());
        match error.hint() {
            Some(hint) => wrong.with_hint(hint),
            None => wrong,
        }
    }
}
