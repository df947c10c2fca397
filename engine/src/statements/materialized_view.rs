//! `CREATE`, `ALTER … PAUSE | RESUME` and `DROP` of materialized views.

use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use weir_base::{Kind, Options, SqlState};
use weir_catalog::{
    Body, Entry, IfExists, MaterializedView, NewObject, ObjectId, ObjectKind, View,
};
use weir_sql::statement::{self, Emit};
use weir_topics::{Cleanup, TopicConfig, TopicSpec};

use super::definitions::{depends_on_itself, if_exists, query_columns, roomy, topic_name};
use super::{Execution, position_of};
use crate::answer::Answer;
use crate::error::{Error, Result};
use crate::views::{self, ViewState};

impl Execution {
    pub(super) async fn create_materialized_view(
        &self,
        create: statement::CreateMaterializedView,
        sql: String,
    ) -> Result<Answer> {
        let name = self.name(&create.name)?;
        if create.emit == Some(Emit::OnWindowClose) {
            return Err(
                Error::unsupported("EMIT ON WINDOW CLOSE is not supported yet")
                    .with_hint("without it the view shows each window as it grows"),
            );
        }
        Options::new(create.options.iter().cloned()).finish()?;
        let ddl = self.engine.ddl.lock().await;
        let snapshot = self.snapshot();
        let if_exists = if_exists(create.or_replace, create.if_not_exists)?;
        if self.exists(&name, ObjectKind::MaterializedView, if_exists)? {
            return Ok(self.done("CREATE MATERIALIZED VIEW"));
        }
        if if_exists == IfExists::Replace && snapshot.get(&name).is_some() {
            return Err(Error::unsupported(
                "CREATE OR REPLACE of a materialized view that is there is not supported yet",
            )
            .with_hint("drop it first"));
        }
        let planner = views::planner(&self.engine, &create.query_sql);
        let view = View {
            sql: create.query_sql,
            default_schema: self.variables.schema().to_owned(),
            columns: Vec::new(),
            named_columns: !create.columns.is_empty(),
        };
        let plan = planner.query(&create.query, &[]).await?;
        check_repeatable(&plan, "a materialized view")?;
        check_followed(&plan, "a materialized view")?;
        let columns = query_columns(&roomy(&plan), &create.columns)?;
        if columns.is_empty() {
            return Err(Error::invalid(
                SqlState::INVALID_TABLE_DEFINITION,
                "a materialized view needs at least one column",
            )
            .with_position(position_of(&create.name)));
        }
        let depends_on = planner.named_objects();
        if let Some(own) = snapshot.get(&name).map(|entry| entry.id)
            && depends_on_itself(&snapshot, own, &depends_on)
        {
            return Err(Error::invalid(
                SqlState::INVALID_TABLE_DEFINITION,
                format!("view \"{name}\" would read itself"),
            )
            .with_position(position_of(&create.name)));
        }
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
            view: View { columns, ..view },
            topic,
            topic_id: made.id(),
            options: create.options.into_iter().collect(),
            paused: false,
        };
        let new = NewObject {
            sql,
            depends_on,
            ..self.new_object(name.clone(), Body::MaterializedView(kept))
        };
        self.create_with_topic(new, if_exists, made.id()).await?;
        let entry = self.snapshot().get(&name).cloned();
        let entry = entry.ok_or_else(|| Error::new(Kind::Internal, "a view that is not there"))?;
        let begun = self
            .engine
            .views
            .run(&self.engine, std::slice::from_ref(&entry))
            .await;
        let begun = match begun {
            // One that cannot even be planned is not kept.
            Ok(()) => match self
                .engine
                .views
                .status(entry.id)
                .map(|status| status.state)
            {
                Some(ViewState::Failed(_)) => self.engine.views.shown(entry.id).await,
                _ => Ok(()),
            },
            error => error,
        };
        if let Err(error) = begun {
            self.take_back(&entry).await?;
            return Err(error);
        }
        // Others may define things while this one is computed.
        drop(ddl);
        if let Err(error) = self.engine.views.shown(entry.id).await {
            let _ddl = self.engine.ddl.lock().await;
            self.take_back(&entry).await?;
            return Err(error);
        }
        Ok(self.done("CREATE MATERIALIZED VIEW"))
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
