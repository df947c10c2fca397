//! From a query's tree to a plan: names resolved on one catalog snapshot, offsets fixed once, DataFusion does the rest.
//!
//! A [`Planner`] serves one statement. It opens every relation that the statement names (views by planning their own
//! text), hands them to DataFusion's SQL planner as [`context::PlanContext`], and never looks at the catalog again.

mod asof;
mod bytea;
mod checked;
mod closing;
mod context;
pub(crate) mod decimals;
pub(crate) mod files;
mod from_text;
mod hidden;
mod insert;
mod interruptible;
mod late;
mod literals;
mod marks;
mod names;
mod own_rows;
mod parameters;
mod policies;
mod postgres;
mod predicates;
mod references;
mod relations;
mod reusable;
mod rewrite;
mod rounded;
mod size;
mod spans;
mod subqueries;
mod types;
mod watermarks;
mod windows;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::datasource::provider_as_source;
use datafusion::execution::TaskContext;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, LogicalPlan, TableSource};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};
use datafusion::sql::planner::{NullOrdering, ParserOptions, PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::ast;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use weir_base::{OffsetVector, SqlState};
use weir_catalog::{AccountId, ObjectId, ObjectName, Snapshot};
use weir_connectors::files::FileStores;
use weir_streaming::stateless_plan;

use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::functions;
use crate::queries::Running;
use crate::security::Rights;
use crate::session::{Session, WeakSession};
use crate::system::{Asker, System};
use crate::transaction::Moment;
use crate::variables::Variables;
pub(crate) use asof::is_versioned;
use context::PlanContext;
pub(crate) use from_text::value_of_text;
use parameters::with_parameters;
pub(crate) use parameters::{ParameterTypes, parameter_types, with_unknown_parameters};
pub(crate) use postgres::columns;
pub(crate) use postgres::operators::Operators;
pub(crate) use relations::object as relation_named;
pub(crate) use reusable::Made;
pub(crate) use types::UTC;
pub(crate) use watermarks::check_watermark;

/// How the statement reads streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Up to what is stable now.
    Bounded,
    /// History, and then each new row.
    Live,
}

/// Plans the queries of one statement.
pub(crate) struct Planner {
    engine: Arc<Shared>,
    pub(crate) snapshot: Arc<Snapshot>,
    /// Functions, rules and settings; its memory pool is the server's, see [`Self::task_context`].
    pub(crate) state: SessionState,
    runtime: Arc<RuntimeEnv>,
    variables: Variables,
    reading: Reading,
    stop: CancellationToken,
    running: Option<Arc<Running>>,
    /// What the statement's own text may read; that of a view reads with the rights of the view's owner.
    rights: Arc<Rights>,
    /// The catalog as it is for the one whose rights these are.
    visible: Arc<Snapshot>,
    /// Whether rows of windows wait until these close.
    closes_windows: bool,
    /// Whether a row whose watermark cannot be computed is left out, where a stream with a watermark is read once.
    leaves_out: bool,
    /// Whether views that are kept are planned by their text, as others are.
    expands_kept: bool,
    /// Whether tables that are followed are to say what tells their rows apart.
    tells_keys: bool,
    /// Whether the plan is run over later versions of its tables, too.
    is_reused: bool,
    /// Types of `$1`, `$2`, … as far as the client has said them.
    parameter_types: Vec<Option<FieldRef>>,
    /// The session that the statement is of.
    session: WeakSession,
    opened: Arc<Mutex<Opened>>,
    /// Of this statement, or of the transaction that it is in.
    moment: Arc<Mutex<Moment>>,
}

/// Whose text is planned.
#[derive(Debug, Clone, Copy)]
enum Text<'a> {
    /// The statement's own: what it names is what it depends on.
    Own,
    /// That of a view that it reads, with the rights of the view's owner.
    OfView(&'a Rights),
}

/// What the planner has opened so far.
#[derive(Default)]
struct Opened {
    /// Catalog objects that the statement itself names.
    named: BTreeSet<ObjectId>,
    /// Views that are kept, also those that it reads through others.
    views: BTreeSet<ObjectId>,
    /// Whether a policy hides rows or values of something that the statement reads.
    is_policed: bool,
    /// Whether something that the statement reads stands behind a guard.
    is_guarded: bool,
    /// Relations that only this statement knows.
    own: HashMap<ObjectName, Arc<dyn TableProvider>>,
}

impl Planner {
    pub(crate) fn new(
        engine: Arc<Shared>,
        running: &Running,
        snapshot: Arc<Snapshot>,
        variables: &Variables,
        reading: Reading,
    ) -> Self {
        let mut config = FileStores::configure(variables.config(&engine.settings.limits));
        if reading == Reading::Live {
            repeated_config(&mut config);
        }
        // The query's own pool, on top of what all share: disk, caches, object stores.
        let runtime = RuntimeEnv {
            memory_pool: Arc::clone(&running.pool) as _,
            ..engine.runtime.as_ref().clone()
        };
        // A copy shares all functions and rules; a `SessionStateBuilder` would register each function again, which costs
        // more than to plan a small query.
        let mut state = engine.base_state.clone();
        *state.config_mut() = config;
        // From here on `now()` is one moment.
        state.mark_start_execution();
        let rights = Arc::new(Rights::operator(engine.catalog.accounts()));
        let planner = Self {
            variables: variables.clone(),
            engine,
            visible: Arc::clone(&snapshot),
            snapshot,
            rights,
            running: None,
            state,
            runtime: Arc::new(runtime),
            reading,
            stop: running.stop.clone(),
            closes_windows: false,
            leaves_out: false,
            expands_kept: false,
            tells_keys: false,
            is_reused: false,
            parameter_types: Vec::new(),
            opened: Arc::default(),
            moment: Arc::default(),
            session: WeakSession::default(),
        };
        planner.looking()
    }

    /// Lets functions look into what the planner sees.
    fn looking(mut self) -> Self {
        let system = self.system();
        functions::postgres::in_statement(self.state.config_mut(), system);
        // What is computed while planning is computed with this configuration.
        self.state.mark_start_execution();
        self
    }

    /// What the statement's system tables and functions are made from.
    fn system(&self) -> System {
        System::of(
            &self.engine,
            &self.visible,
            &self.variables,
            &self.rights,
            Asker {
                session: self.session.clone(),
                query: self.running.as_ref().map(|running| running.id),
            },
        )
    }

    /// Plans a statement of this session, whose settings a function may change.
    #[must_use]
    pub(crate) fn of_session(mut self, session: &Session) -> Self {
        self.session = session.downgrade();
        self.looking()
    }

    /// Reads at the moment of a transaction.
    #[must_use]
    pub(crate) fn at(mut self, moment: Arc<Mutex<Moment>>) -> Self {
        self.moment = moment;
        self
    }

    /// Plans `$1`, `$2`, … of the statement's own text with these types, where they are known.
    #[must_use]
    pub(crate) fn with_parameter_types(mut self, types: &[Option<DataType>]) -> Self {
        let field = |(at, data_type): (usize, &Option<DataType>)| {
            let data_type = data_type.clone()?;
            Some(Arc::new(Field::new(
                format!("${}", at + 1),
                data_type,
                true,
            )))
        };
        self.parameter_types = types.iter().enumerate().map(field).collect();
        self
    }

    /// Plans for `running`, with these rights; without them it is the operator's.
    #[must_use]
    pub(crate) fn with_rights(mut self, rights: &Arc<Rights>, running: &Arc<Running>) -> Self {
        self.visible = rights.visible(&self.snapshot);
        self.rights = Arc::clone(rights);
        self.running = Some(Arc::clone(running));
        self.looking()
    }

    /// Whether a policy hides rows or values of something that was planned so far.
    pub(crate) fn is_policed(&self) -> bool {
        self.opened.lock().is_policed
    }

    /// Whether a part of what was planned is none of the reader's business.
    pub(crate) fn is_guarded(&self) -> bool {
        self.opened.lock().is_guarded
    }

    /// Plans windows such that their rows come once these have closed: `EMIT ON WINDOW CLOSE`.
    pub(crate) fn closing_windows(mut self) -> Self {
        self.closes_windows = true;
        self
    }

    /// Whether it does.
    pub(crate) fn closes_windows(&self) -> bool {
        self.closes_windows
    }

    /// Plans views that are kept by their text, from what they read, and not from their rows.
    #[must_use]
    pub(crate) fn expanding_kept(mut self, expands_kept: bool) -> Self {
        self.expands_kept = expands_kept;
        self
    }

    /// Finds out what tells apart the rows of each view that is followed.
    pub(crate) fn telling_keys(self) -> Self {
        Self {
            tells_keys: true,
            ..self
        }
    }

    /// Plans a query, parameters filled in.
    ///
    /// # Errors
    /// Unknown names, types that do not fit, what DataFusion does not support; each with its place where known.
    pub(crate) async fn query(
        &self,
        query: &ast::Query,
        parameters: &[ScalarValue],
    ) -> Result<LogicalPlan> {
        self.bound(self.unbound(query).await?, parameters)
    }

    /// Fills the parameters of a plan in, after which its subqueries can be made ready to run.
    fn bound(&self, plan: LogicalPlan, parameters: &[ScalarValue]) -> Result<LogicalPlan> {
        let plan = with_parameters(plan, parameters)?;
        match self.reading {
            Reading::Bounded => Ok(subqueries::runnable(plan, &self.state, &self.runtime)?),
            Reading::Live => Ok(plan),
        }
    }

    /// Plans a query, its parameters left open.
    ///
    /// # Errors
    /// As [`Self::query`], but for what is wrong with values.
    pub(crate) async fn unbound(&self, query: &ast::Query) -> Result<LogicalPlan> {
        let plan = self
            .statement(ast::Statement::Query(Box::new(query.clone())))
            .await?;
        Ok(references::written(plan, &self.state)?)
    }

    /// Plans a statement of DataFusion's: a query or an `INSERT`.
    pub(crate) async fn statement(&self, statement: ast::Statement) -> Result<LogicalPlan> {
        self.plan(statement, Text::Own, self.variables.schema())
            .await
    }

    /// Lets the statement read `table` under a name, whatever the catalog has there.
    pub(crate) fn also_knows(&self, name: ObjectName, table: Arc<dyn TableProvider>) {
        self.opened.lock().own.insert(name, table);
    }

    /// Plans the text of a view on the same snapshot and offsets, with the rights of its owner.
    pub(crate) async fn view(
        &self,
        owner: Option<AccountId>,
        view: &weir_catalog::View,
    ) -> Result<LogicalPlan> {
        let owner = self.rights.of_owner(owner);
        self.view_read_by(&owner, view).await
    }

    /// As [`Self::view`], with the rights of somebody else.
    async fn view_read_by(
        &self,
        reader: &Rights,
        view: &weir_catalog::View,
    ) -> Result<LogicalPlan> {
        let parsed = crate::text::parse_one(&view.sql)?;
        let query = match parsed.statement {
            weir_sql::Statement::Query(query) => Some(query.query),
            // A sink may have been made by an INSERT that goes on.
            weir_sql::Statement::Insert(insert) => match *insert.insert {
                ast::Statement::Insert(insert) => insert.source,
                _ => None,
            },
            _ => None,
        };
        let query = query.ok_or_else(|| {
            Error::invalid(
                SqlState::DATA_EXCEPTION,
                "the stored text of a view is no query",
            )
        })?;
        let statement = ast::Statement::Query(query);
        let plan = Box::pin(self.plan(statement, Text::OfView(reader), &view.default_schema)).await;
        plan.map_err(Error::without_position)
    }

    async fn plan(
        &self,
        mut statement: ast::Statement,
        text: Text<'_>,
        schema: &str,
    ) -> Result<LogicalPlan> {
        windows::expand(&mut statement, self.closes_windows)?;
        postgres::settle(&mut statement, &|name| {
            self.stored_columns(name, schema, text)
        })?;
        let shows_hidden = hidden::is_mentioned(&statement);
        if shows_hidden {
            hidden::exclude_hidden(&mut statement, &|name| {
                self.has_hidden_columns(name, schema, text)
            });
        }
        self.settle_joins_by_time(&mut statement, text, schema)?;
        literals::settle(&mut statement)?;
        let mentioned = names::mentioned(&statement);
        let (relations, calls) = self.open(&mentioned, shows_hidden, text, schema).await?;
        let doubtful = predicates::first_doubtful(&statement);
        let parameters = match text {
            Text::Own => self.parameter_types.clone(),
            Text::OfView(_) => Vec::new(),
        };
        let mut context = PlannerContext::new().with_prepare_param_data_types(parameters);
        self.with_context(schema, &relations, calls, |sql| {
            sql.sql_statement_to_plan_with_context(statement, &mut context)
                .and_then(postgres::first_rows::numbered)
                .and_then(postgres::lateral::unnested)
                .and_then(columns::restored)
                .and_then(decimals::doubles_win)
                .and_then(|plan| references::resolved(plan, &self.state))
                .and_then(|plan| match (text, self.reading) {
                    (Text::OfView(_), Reading::Bounded) => {
                        subqueries::runnable(plan, &self.state, &self.runtime)
                    }
                    // Parameters come first.
                    (Text::Own, _) | (_, Reading::Live) => Ok(plan),
                })
                .map_err(|error| predicates::placed(error.into(), doubtful))
        })
    }

    /// Looks for names without a schema in this one.
    #[must_use]
    pub(crate) fn in_schema(mut self, schema: &str) -> Self {
        self.variables = self.variables.in_schema(schema);
        self
    }

    /// The fields of declared columns.
    pub(crate) fn fields(&self, columns: Vec<ast::ColumnDef>) -> Result<SchemaRef> {
        let relations = HashMap::new();
        let context = PlanContext {
            state: &self.state,
            default_schema: self.variables.schema(),
            temporary_schema: None,
            relations: &relations,
            relation_planners: vec![],
            time_zone: types::UTC,
        };
        let sql = SqlToRel::new_with_options(&context, parser_options());
        Ok(Arc::new(sql.build_schema(columns)?))
    }

    fn with_context<T>(
        &self,
        default_schema: &str,
        relations: &HashMap<ObjectName, Arc<dyn TableSource>>,
        calls: files::Calls,
        plan: impl FnOnce(SqlToRel<'_, PlanContext<'_>>) -> Result<T>,
    ) -> Result<T> {
        let context = PlanContext {
            state: &self.state,
            default_schema,
            temporary_schema: self.snapshot.temporary_schema(),
            relations,
            relation_planners: match self.closes_windows {
                true => vec![
                    Arc::new(calls),
                    Arc::new(asof::JoinsByTime),
                    Arc::new(closing::ClosingWindows),
                ],
                false => vec![Arc::new(calls), Arc::new(asof::JoinsByTime)],
            },
            time_zone: self
                .state
                .config_options()
                .execution
                .time_zone
                .as_deref()
                .unwrap_or(types::UTC),
        };
        plan(SqlToRel::new_with_options(&context, parser_options()))
    }

    /// Optimizes a plan and makes it executable.
    pub(crate) async fn physical(&self, plan: &LogicalPlan) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = match size::reads_little(plan)? {
            true => self.one_thread().create_physical_plan(plan).await?,
            false => self.state.create_physical_plan(plan).await?,
        };
        Ok(interruptible::interruptible(plan, &self.stop)?)
    }

    /// Plans for one thread: of what reads little, others would only hand rows on.
    fn one_thread(&self) -> SessionState {
        let mut state = self.state.clone();
        state.config_mut().options_mut().execution.target_partitions = 1;
        state
    }

    /// As [`Self::physical`], of a live query that needs to remember nothing; none of one that must.
    pub(crate) async fn stateless(
        &self,
        plan: &LogicalPlan,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let plan = stateless_plan(plan, &self.state).await?;
        let plan = plan.map(|plan| interruptible::interruptible(plan, &self.stop));
        Ok(plan.transpose()?)
    }

    /// What the plans of this statement are executed with: the query's own memory.
    pub(crate) fn task_context(&self) -> Arc<TaskContext> {
        Arc::new(TaskContext::from(&self.state).with_runtime(Arc::clone(&self.runtime)))
    }

    /// The catalog objects that the statement's own text names, directly.
    pub(crate) fn named_objects(&self) -> BTreeSet<ObjectId> {
        self.opened.lock().named.clone()
    }

    /// The offsets that the topics named so far are read up to.
    pub(crate) fn position(&self) -> OffsetVector {
        let mut position = OffsetVector::new();
        for (topic, hold) in &self.moment.lock().held {
            position.set(topic.clone(), hold.ends().to_vec());
        }
        position
    }

    /// A table function's or catalog relation's source for the planner.
    fn source(provider: Arc<dyn TableProvider>) -> Arc<dyn TableSource> {
        provider_as_source(provider)
    }
}

/// An expression over the columns of `schema`, which names no relation.
pub(crate) fn plan_expression(
    state: &SessionState,
    mut expr: ast::Expr,
    schema: &DFSchema,
) -> Result<Expr> {
    postgres::settle(&mut expr, &|_| vec![])?;
    literals::settle(&mut expr)?;
    let relations = HashMap::new();
    let context = PlanContext {
        state,
        default_schema: "public",
        temporary_schema: None,
        relations: &relations,
        relation_planners: vec![],
        time_zone: types::UTC,
    };
    let sql = SqlToRel::new_with_options(&context, parser_options());
    Ok(sql.sql_to_expr(expr, schema, &mut PlannerContext::new())?)
}

/// A planned expression over the columns of `schema`, ready to run. What `now()` gives is the moment of this call.
pub(crate) fn executable(
    state: &SessionState,
    expr: Expr,
    schema: &DFSchema,
) -> Result<Arc<dyn PhysicalExpr>> {
    let mut state = state.clone();
    state.mark_start_execution();
    let context = SimplifyContext::builder()
        .with_schema(Arc::new(schema.clone()))
        .with_config_options(Arc::clone(state.config_options()))
        .with_query_execution_start_time(state.execution_props().query_execution_start_time)
        .build();
    let simplifier = ExprSimplifier::new(context);
    let expr = decimals::settled_expression(expr, schema, |expr| simplifier.coerce(expr, schema))?;
    let expr = simplifier.simplify(expr)?;
    Ok(state.create_physical_expr(expr, schema)?)
}

fn parser_options() -> ParserOptions {
    ParserOptions {
        // See `literals`.
        parse_float_as_decimal: true,
        enable_ident_normalization: true,
        support_varchar_with_length: true,
        map_string_types_to_utf8view: true,
        enable_options_value_normalization: false,
        collect_spans: true,
        // PostgreSQL's: nulls are larger than everything.
        default_null_ordering: NullOrdering::NullsMax,
    }
}

/// What a plan that is executed again and again may not have: parallelism that keeps state, and filters that change.
fn repeated_config(config: &mut datafusion::execution::config::SessionConfig) {
    *config = std::mem::take(config).with_target_partitions(1);
    let options = config.options_mut();
    options.optimizer.enable_dynamic_filter_pushdown = false;
    options.optimizer.enable_topk_dynamic_filter_pushdown = false;
    options.optimizer.enable_join_dynamic_filter_pushdown = false;
    options.optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    options.optimizer.enable_round_robin_repartition = false;
}
