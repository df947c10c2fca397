//! `CREATE`, `ALTER … AS | PAUSE | RESUME` and `DROP` of materialized views.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use datafusion::sql::sqlparser::ast;
use weir_base::{Kind, Options, SqlState};
use weir_catalog::{
    Body, Change, Column, Entry, MaterializedView, NewObject, ObjectId, ObjectKind, Snapshot, View,
};
use weir_sql::statement::{self, Emit};
use weir_topics::{Cleanup, TopicConfig, TopicSpec};

use super::definitions::{depends_on_itself, if_exists, query_columns, roomy, topic_name};
use super::{Execution, position_of};
use crate::answer::Answer;
use crate::error::{Error, Result};
use crate::rate;
use crate::views::{self, ViewOptions, ViewState};

/// A query that is to be kept, as a statement has it.
struct KeptQuery<'a> {
    /// The view.
    name: &'a ast::ObjectName,
    query: &'a ast::Query,
    /// `EMIT ON WINDOW CLOSE`.
    on_window_close: bool,
    sql: String,
    /// What its `WITH` clause says; where there can be none, the view keeps what it has.
    options: Option<&'a BTreeMap<String, String>>,
    /// The names of its columns; without any, the query's own.
    columns: &'a [ast::Ident],
}

impl Execution {
    pub(super) async fn create_materialized_view(
        &self,
        create: statement::CreateMaterializedView,
        sql: String,
    ) -> Result<Answer> {
        let name = self.new_name(&create.name)?;
        let options: BTreeMap<String, String> = create.options.iter().cloned().collect();
        let given = ViewOptions::read(options.clone(), &self.engine.settings.limits)?;
        let ddl = self.engine.ddl.lock().await;
        let snapshot = self.snapshot();
        let if_exists = if_exists(create.or_replace, create.if_not_exists)?;
        if self.exists(&name, ObjectKind::MaterializedView, if_exists)? {
            return Ok(self.done("CREATE MATERIALIZED VIEW"));
        }
        let on_window_close = create.emit == Some(Emit::OnWindowClose);
        let query = KeptQuery {
            name: &create.name,
            query: &create.query,
            on_window_close,
            sql: create.query_sql,
            options: Some(&options),
            columns: &create.columns,
        };
        if let Some(entry) = snapshot.get(&name).cloned() {
            drop(ddl);
            self.replace_query(&entry, query).await?;
            return Ok(self.done("CREATE MATERIALIZED VIEW"));
        }
        let (view, depends_on) = self.kept_view(query).await?;
        rate::check(&snapshot, given.rate(), depends_on.iter().copied())?;
        let topic = self.free_topic_name(topic_name(&name)?, false)?;
        let spec = TopicSpec {
            partitions: 1,
            owned: true,
        };
        let config = TopicConfig {
            cleanup: Cleanup::Compact,
            ..TopicConfig::default()
        };
        let made = self.engine.log.create_topic(&topic, spec, config).await?;
        let kept = MaterializedView {
            view,
            topic,
            topic_id: made.id(),
            options,
            paused: false,
            generation: 0,
            on_window_close,
        };
        let new = NewObject {
            sql,
            depends_on,
            ..self.new_object(name.clone(), Body::MaterializedView(kept))
        };
        let this = self.clone();
        let begun = self.to_the_end(async move {
            this.create_with_topic(new, if_exists, made.id()).await?;
            let entry = this.snapshot().get(&name).cloned();
            let missing = || Error::new(Kind::Internal, "a view that is not there");
            let entry = entry.ok_or_else(missing)?;
            let views = &this.engine.views;
            let mut begun = views.run(&this.engine, std::slice::from_ref(&entry)).await;
            // One that cannot even be planned is not kept.
            let state = views.status(entry.id).map(|status| status.state);
            if let (Ok(()), Some(ViewState::Failed(_))) = (&begun, state) {
                begun = views.shown(entry.id).await;
            }
            if let Err(error) = begun {
                this.take_back(&entry).await?;
                return Err(error);
            }
            Ok(entry)
        });
        let entry = begun.await?;
        // Others may define things while this one is computed.
        drop(ddl);
        if let Err(error) = self.engine.views.shown(entry.id).await {
            let this = self.clone();
            self.to_the_end(async move {
                let _ddl = this.engine.ddl.lock().await;
                this.take_back(&entry).await
            })
            .await?;
            return Err(error);
        }
        Ok(self.done("CREATE MATERIALIZED VIEW"))
    }

    /// Plans the query of a view that is to be kept: as it is stored, and what it depends on.
    async fn kept_view(&self, kept: KeptQuery<'_>) -> Result<(View, BTreeSet<ObjectId>)> {
        let planner = views::planner(&self.engine, &kept.sql, kept.on_window_close, usize::MAX)
            .in_schema(self.variables.schema())
            .with_rights(&self.rights, &self.running);
        let plan = planner.query(kept.query, &[]).await?;
        self.refuse_policed_source(&planner, "a materialized view")?;
        check_repeatable(&plan, "a materialized view")?;
        check_followed(&plan, "a materialized view")?;
        if kept.on_window_close {
            // What cannot be given once is refused before anything is made.
            planner.followed(plan.clone(), None).await?;
        }
        let columns = query_columns(&roomy(&plan), kept.columns)?;
        if columns.is_empty() {
            return Err(Error::invalid(
                SqlState::INVALID_TABLE_DEFINITION,
                "a materialized view needs at least one column",
            )
            .with_position(position_of(kept.name)));
        }
        let view = View {
            sql: kept.sql,
            default_schema: self.variables.schema().to_owned(),
            columns,
            named_columns: !kept.columns.is_empty(),
        };
        Ok((view, planner.named_objects()))
    }

    /// `ALTER MATERIALIZED VIEW v AS query`.
    pub(super) async fn alter_query(
        &self,
        name: &ast::ObjectName,
        if_exists: bool,
        query: &ast::Query,
        on_window_close: bool,
        sql: String,
    ) -> Result<()> {
        let snapshot = self.snapshot();
        let named = self.name(name)?;
        let visible = self.rights.visible(&snapshot);
        let entry = match visible.require(ObjectKind::MaterializedView, &named) {
            Ok(entry) => Arc::clone(entry),
            Err(weir_catalog::Error::NotFound { .. }) if if_exists => return Ok(()),
            Err(error) => return Err(Error::from(error).with_position(position_of(name))),
        };
        let query = KeptQuery {
            name,
            query,
            on_window_close,
            sql,
            options: None,
            columns: &[],
        };
        self.replace_query(&entry, query).await
    }

    /// Gives a view another query with the same columns. It is computed beside the one that runs, which is shown until then.
    async fn replace_query(&self, entry: &Arc<Entry>, query: KeptQuery<'_>) -> Result<()> {
        self.rights.require_owner(entry, &self.snapshot())?;
        let position = position_of(query.name);
        let (on_window_close, options) = (query.on_window_close, query.options.cloned());
        let (view, depends_on) = self.kept_view(query).await?;
        let views = &self.engine.views;
        let turn = Arc::clone(&views.replacing).lock_owned().await;
        // Another may have given it a query while the turn was waited for.
        let snapshot = self.snapshot();
        let entry = snapshot.require_id(entry.id)?;
        if depends_on_itself(&snapshot, entry.id, &depends_on) {
            return Err(Error::invalid(
                SqlState::INVALID_TABLE_DEFINITION,
                format!("view \"{}\" would read itself", entry.name),
            )
            .with_position(position));
        }
        let dependants = snapshot.with_dependants(&[entry.id]);
        let is_expanding =
            |entry: &&&Arc<Entry>| matches!(&entry.body, Body::Sink(sink) if sink.expands_kept);
        if let Some(sink) = dependants.iter().find(is_expanding) {
            // Its rows would be those of one query up to a place, and then those of another.
            return Err(Error::unsupported(format!(
                "{} writes the rows of this view's query as they come",
                sink.describe()
            ))
            .with_hint("drop the sink, and create it again over the new query")
            .with_position(position));
        }
        check_same_columns(entry.columns(), &view.columns)
            .map_err(|e| e.with_position(position))?;
        let change = move |snapshot: &Snapshot, id: ObjectId| {
            let (options, depends_on) = (options.clone(), depends_on.clone());
            snapshot.set_query(id, &view, on_window_close, options, depends_on)
        };
        let Body::MaterializedView(kept) = &entry.body else {
            return Err(Error::new(Kind::Internal, "only views that are kept run"));
        };
        let reader = dependants.iter().find(|reader| reader.id != entry.id);
        if let Some(reader) = reader
            && kept.on_window_close != on_window_close
        {
            return Err(Error::unsupported(format!(
                "{} reads the view as one whose rows {}",
                reader.describe(),
                if kept.on_window_close {
                    "only come"
                } else {
                    "change"
                }
            ))
            .with_hint("drop what reads it, and create that again over the new query")
            .with_position(position));
        }
        let changes = change(&snapshot, entry.id)?;
        if let Some(Change::Put(changed)) = changes.first() {
            if let Body::MaterializedView(kept) = &changed.body {
                let rate = rate::take(&mut Options::new(kept.options.clone()))?;
                let checked = rate::check(&snapshot, rate, changed.depends_on.iter().copied());
                checked.map_err(|error| error.with_position(position))?;
            }
            if !kept.paused {
                views.prepare(&self.engine, changed).await?;
            }
        }
        let (this, entry) = (self.clone(), Arc::clone(entry));
        let (old, paused) = (kept.generation, kept.paused);
        let readers: Vec<Arc<Entry>> = dependants.into_iter().cloned().collect();
        self.to_the_end(async move {
            // Nobody else's turn comes before this is done.
            let _turn = turn;
            let (engine, views) = (&this.engine, &this.engine.views);
            let committed = async {
                let _ddl = engine.ddl.lock().await;
                let snapshot = this.snapshot();
                // Whoever changed it meanwhile has the last word.
                if snapshot.by_id(entry.id).map(Arc::as_ref) != Some(entry.as_ref()) {
                    return Err(Error::new(
                        Kind::Conflict,
                        format!("{} was changed meanwhile", entry.describe()),
                    )
                    .with_sqlstate(SqlState::OBJECT_IN_USE)
                    .with_hint("try again"));
                }
                let changes = change(&snapshot, entry.id)?;
                this.commit(&snapshot, changes).await
            };
            if let Err(error) = committed.await {
                views.give_up(entry.id).await;
                return Err(error);
            }
            if !paused {
                views.replace(engine, entry.id).await?;
            }
            engine
                .checkpoints
                .retain(|job, generation| job != entry.id.0 || generation > old)?;
            // What tells the view's rows apart may be something else by now.
            for reader in &readers {
                if let Body::Sink(_) = &reader.body {
                    engine.sinks.run(engine, reader).await;
                }
            }
            Ok(())
        })
        .await
    }

    /// Removes a view whose creation failed, unless something depends on it by now.
    async fn take_back(&self, entry: &Entry) -> Result<()> {
        let snapshot = self.snapshot();
        if snapshot.by_id(entry.id).is_none() || !snapshot.dependants(entry.id).is_empty() {
            return Ok(());
        }
        self.end_views(&[entry.id]).await;
        let changes = snapshot.remove(&[entry.id], false)?;
        self.commit(&snapshot, changes).await?;
        if let Some((_, topic)) = entry.topic() {
            self.release_topic(topic).await;
        }
        Ok(())
    }

    /// Ends the jobs of views that are about to be dropped.
    pub(super) async fn end_views(&self, ids: &[ObjectId]) {
        if !ids.is_empty() {
            self.engine.views.end(&self.engine, ids, None).await;
        }
    }

    /// Makes a view stand still, or go on.
    pub(super) async fn pause_view(&self, entry: &Arc<Entry>, paused: bool) -> Result<()> {
        let snapshot = self.snapshot();
        let changes = snapshot.set_paused(entry.id, paused)?;
        let snapshot = self.commit(&snapshot, changes).await?;
        let views = &self.engine.views;
        if paused {
            views
                .end(&self.engine, &[entry.id], Some(ViewState::Paused))
                .await;
            return Ok(());
        }
        let runs = views.status(entry.id).map(|status| status.state);
        if matches!(runs, Some(ViewState::Running | ViewState::Starting)) {
            return Ok(());
        }
        match snapshot.by_id(entry.id) {
            Some(entry) => views.run(&self.engine, std::slice::from_ref(entry)).await,
            None => Ok(()),
        }
    }
}

/// Refuses another query's columns if they are not the view's.
fn check_same_columns(are: &[Column], shall_be: &[Column]) -> Result<()> {
    let show = |columns: &[Column]| {
        let columns = columns.iter();
        let columns = columns.map(|column| format!("{} {}", column.name, column.sql_type));
        columns.collect::<Vec<_>>().join(", ")
    };
    let (are, shall_be) = (show(are), show(shall_be));
    if are == shall_be {
        return Ok(());
    }
    Err(Error::unsupported(format!(
        "the new query has other columns than the view: ({shall_be}), not ({are})"
    ))
    .with_hint(
        "give them the same names and types, by AS and CAST, or drop the view and create it again",
    ))
}

/// Refuses relations whose changes nobody tells.
pub(super) fn check_followed(plan: &LogicalPlan, what: &str) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(schema) = scan.table_name.schema()
            && weir_catalog::RESERVED_SCHEMAS.contains(&schema)
        {
            let message = format!("{what} cannot read {}", scan.table_name);
            let error = Error::unsupported(message)
                .with_hint("what the server says about itself is read when it is asked for");
            return Err(error.into());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

/// Refuses what would give another answer each time that it is computed.
pub(super) fn check_repeatable(plan: &LogicalPlan, what: &str) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| match expr {
                Expr::ScalarFunction(call)
                    if call.func.signature().volatility != Volatility::Immutable =>
                {
                    let message = format!(
                        "{what} cannot have {}(), which gives another value each time",
                        call.func.name()
                    );
                    let error = Error::unsupported(message)
                        .with_hint("its rows must be the same whenever they are computed");
                    Err(error.into())
                }
                _ => Ok(TreeNodeRecursion::Continue),
            })
        })
    })?;
    Ok(())
}
