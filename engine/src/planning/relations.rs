//! Opening what a statement names: streams and tables at fixed offsets, files, views by their text, system tables.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::catalog::TableProvider;
use datafusion::datasource::ViewTable;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableSource, cast};
use datafusion::sql::sqlparser::ast;
use weir_base::{Classify, Offset, SqlState};
use weir_catalog::{
    Body, Entry, MaterializedView, ObjectId, ObjectKind, ObjectName, Privilege, Snapshot,
};
use weir_connectors::topic::{FollowedTable, MirroredTable, StreamTable, TopicHold};
use weir_streaming::{OnRowError, WatermarkedStream, unique_key};
use weir_topics::Topic;

use super::files::Calls;
use super::late::view_of_late_rows;
use super::names::Mentioned;
use super::{Planner, Reading, Text, own_rows};
use crate::error::{Error, Result};
use crate::rows::row_schema;
use crate::security::Rights;
use crate::statements::{normalized, position_of};
use crate::system;
use crate::transaction::Written;

/// Relations by name, for DataFusion's planner.
pub(super) type Relations = HashMap<ObjectName, Arc<dyn TableSource>>;

impl Planner {
    /// Opens everything that `mentioned` names; `schema` is that of names that give none.
    pub(super) async fn open(
        &self,
        mentioned: &Mentioned,
        shows_hidden: bool,
        text: Text<'_>,
        schema: &str,
    ) -> Result<(Relations, Calls)> {
        self.settle_views(mentioned, text, schema).await?;
        let mut relations = Relations::with_capacity(mentioned.relations.len());
        for name in &mentioned.relations {
            let object = self.object(name, schema, text)?;
            if relations.contains_key(&object) {
                continue;
            }
            match self.relation(&object, shows_hidden, text).await {
                Ok(provider) => {
                    relations.insert(object, Self::source(provider));
                }
                Err(_) if self.is_cte(name, mentioned) => {}
                Err(error) => return Err(error.with_position(position_of(name))),
            }
        }
        let calls = Calls::open(self, &mentioned.calls, self.rights_for(text)).await?;
        Ok((relations, calls))
    }

    fn is_cte(&self, name: &ast::ObjectName, mentioned: &Mentioned) -> bool {
        match name.0.as_slice() {
            [part] => part
                .as_ident()
                .is_some_and(|ident| mentioned.ctes.contains(&normalized(ident))),
            _ => false,
        }
    }

    /// The columns of a relation of the catalog; none of anything else.
    pub(super) fn stored_columns(
        &self,
        name: &ast::ObjectName,
        schema: &str,
        text: Text<'_>,
    ) -> Vec<String> {
        let entry = self
            .object(name, schema, text)
            .ok()
            .and_then(|object| self.snapshot.get(&object).cloned());
        entry.map_or_else(Vec::new, |entry| {
            entry
                .columns()
                .iter()
                .map(|column| column.name.clone())
                .collect()
        })
    }

    pub(super) fn has_hidden_columns(
        &self,
        name: &ast::ObjectName,
        schema: &str,
        text: Text<'_>,
    ) -> bool {
        let entry = self
            .object(name, schema, text)
            .ok()
            .and_then(|object| self.snapshot.get(&object).cloned());
        entry.is_some_and(|entry| match &entry.body {
            // Its rows are no records.
            Body::Stream(stream) => !stream.is_changelog(),
            Body::Table(_) | Body::MaterializedView(_) => true,
            _ => false,
        })
    }

    /// What a name in `FROM` means. In a statement temporary relations come first; in the text of a view they come last, for what
    /// it was made on stays what it means.
    fn object(&self, name: &ast::ObjectName, schema: &str, text: Text<'_>) -> Result<ObjectName> {
        let mut meant = object(name, schema)?;
        let snapshot = self.snapshot_for(text);
        let [_] = name.0.as_slice() else {
            meant.schema = snapshot.meant_schema(&meant.schema).to_owned();
            return Ok(meant);
        };
        let own = snapshot.temporary(&meant.name);
        let own = own.filter(|_| match text {
            Text::Own => true,
            Text::OfView(_) => snapshot.get(&meant).is_none(),
        });
        Ok(own.map_or(meant, |own| own.name.clone()))
    }

    async fn relation(
        &self,
        object: &ObjectName,
        shows_hidden: bool,
        text: Text<'_>,
    ) -> Result<Arc<dyn TableProvider>> {
        if let Some(own) = self.opened.lock().own.get(object) {
            return Ok(Arc::clone(own));
        }
        self.stored(object, shows_hidden, text).await
    }

    pub(super) async fn stored(
        &self,
        object: &ObjectName,
        shows_hidden: bool,
        text: Text<'_>,
    ) -> Result<Arc<dyn TableProvider>> {
        if let Some(system) = system::table(object, &self.system()) {
            return Ok(system);
        }
        let entry = match self.snapshot_for(text).relation(object) {
            Ok(entry) => Arc::clone(entry),
            Err(_) if super::files::looks_like_a_file(object) => {
                let rights = self.rights_for(text);
                rights.require_on_server(Privilege::Files, "read files")?;
                return super::files::open_path(self, &object.name).await;
            }
            Err(error) => {
                return match self.late_rows(object, text).await? {
                    Some(late) => Ok(late),
                    None => Err(error.into()),
                };
            }
        };
        self.permit(&entry, text)?;
        let rights = self.rights_for(text);
        let opened = self.open_entry(&entry, shows_hidden).await?;
        let opened = match opened.get_logical_plan() {
            Some(plan) if self.is_expanded(&entry) && !self.reads_sources(&entry, rights) => {
                self.guarded(plan.into_owned())
            }
            _ => opened,
        };
        self.policed(&entry, rights, opened)
    }

    /// Whether an entry is planned by the text that it was defined with.
    fn is_expanded(&self, entry: &Entry) -> bool {
        match &entry.body {
            Body::View(_) => true,
            Body::MaterializedView(kept) => self.expands_kept && is_its_query(kept),
            _ => false,
        }
    }

    /// Whether all that a view reads may be read with these rights, too: then it hides nothing.
    fn reads_sources(&self, entry: &Entry, rights: &Rights) -> bool {
        // Of files it is not known which the text names.
        let names_some = !entry.depends_on.is_empty();
        rights.is_admin()
            || names_some
                && entry.depends_on.iter().all(|id| {
                    self.snapshot.by_id(*id).is_some_and(|source| {
                        rights.allows(Privilege::Select, source, &self.snapshot)
                            && rights.policies_on(source).is_empty()
                            && (!self.is_expanded(source) || self.reads_sources(source, rights))
                    })
                })
    }

    /// What the relations of a text are looked up in: what a view reads need not be there for its reader.
    pub(super) fn snapshot_for(&self, text: Text<'_>) -> &Arc<Snapshot> {
        match text {
            Text::Own => &self.visible,
            Text::OfView(_) => &self.snapshot,
        }
    }

    /// With whose rights a text reads.
    pub(super) fn rights_for<'a>(&'a self, text: Text<'a>) -> &'a Rights {
        match text {
            Text::Own => &self.rights,
            Text::OfView(owner) => owner,
        }
    }

    /// Refuses to read what a text may not read, and notes what it reads.
    pub(super) fn permit(&self, entry: &Entry, text: Text<'_>) -> Result<()> {
        let rights = self.rights_for(text);
        rights.require(Privilege::Select, entry, &self.snapshot)?;
        if let Text::Own = text {
            self.opened.lock().named.insert(entry.id);
            if let Some(running) = &self.running {
                let policies = rights.policies_on(entry);
                let policies = policies.iter().map(|policy| policy.id).collect();
                running.reads(rights.principal(), entry.id, policies);
                // Rights that were taken since these were looked at may have been taken before it was known that this reads.
                if !Arc::ptr_eq(rights.accounts(), &self.engine.catalog.accounts()) {
                    self.engine.end_if_revoked(running);
                }
            }
        }
        Ok(())
    }

    pub(super) async fn open_entry(
        &self,
        entry: &Arc<Entry>,
        shows_hidden: bool,
    ) -> Result<Arc<dyn TableProvider>> {
        match &entry.body {
            Body::Stream(_) => self.stream(entry, shows_hidden).await,
            Body::Table(_) => self.table(entry, shows_hidden).await,
            Body::ExternalTable(table) => super::files::open_definition(self, table).await,
            Body::MaterializedView(kept) if !self.expands_kept || !is_its_query(kept) => {
                if self.reading != Reading::Live {
                    return self.table(entry, shows_hidden).await;
                }
                let table = self.engine.keyed_table(entry)?;
                let mut table = FollowedTable::new(table, shows_hidden);
                if kept.on_window_close {
                    table = table.that_only_grows();
                }
                if self.tells_keys {
                    table = table.with_key(Box::pin(self.key_of_view(entry, &kept.view)).await?);
                }
                Ok(Arc::new(table))
            }
            Body::View(view)
            | Body::MaterializedView(weir_catalog::MaterializedView { view, .. }) => {
                let plan = Box::pin(self.view_as_declared(entry, view)).await?;
                Ok(Arc::new(ViewTable::new(plan, Some(view.sql.clone()))))
            }
            Body::Schema | Body::Connection(_) | Body::Sink(_) => Err(Error::invalid(
                SqlState::WRONG_OBJECT_TYPE,
                format!("{} has no rows", entry.describe()),
            )),
        }
    }

    async fn stream(&self, entry: &Entry, shows_hidden: bool) -> Result<Arc<dyn TableProvider>> {
        let topic = self.engine.topic_of(entry)?;
        let rows = Arc::new(row_schema(&self.engine, entry)?);
        let hold = self.hold(topic);
        let watermark = self.watermark(entry, &rows)?;
        let shown = match shows_hidden {
            true => rows.schema_with_hidden(),
            false => Arc::clone(rows.read_schema()),
        };
        // Which change of a key is its newest is told by hidden columns, and so is a watermark.
        let is_changelog = rows.format().value.is_changelog();
        let with_hidden = shows_hidden || is_changelog || watermark.is_some();
        let mut table = StreamTable::new(hold, Arc::clone(&rows), with_hidden)
            .keeping(Arc::clone(&self.engine.decoded_rows));
        // After the log is held: what it lets go of is in the history by then.
        if let Some(history) = self.engine.histories.of(&self.engine, entry).await? {
            table = table.with_history(history.view());
        }
        if self.reading == Reading::Live {
            table = table.live();
        }
        if let Body::Stream(stream) = &entry.body
            && stream.is_changelog()
        {
            let schema = entry.arrow_schema();
            return Ok(Arc::new(MirroredTable::new(table, rows, schema)?));
        }
        let table: Arc<dyn TableProvider> = match watermark {
            Some(watermark) => {
                let stream = WatermarkedStream::new(Arc::new(table), shown, watermark);
                // Of a view they are counted by its job.
                let on_error = match self.leaves_out {
                    true => OnRowError::Skip(Arc::default()),
                    false => OnRowError::Fail,
                };
                Arc::new(stream.with_on_row_error(on_error))
            }
            None => Arc::new(table),
        };
        match self.written_to(entry, shows_hidden)? {
            Some(written) => own_rows::over_stream(table, written),
            None => Ok(table),
        }
    }

    /// What the transaction has written to something itself.
    fn written_to(&self, entry: &Entry, shows_hidden: bool) -> Result<Option<Written>> {
        let written = self.moment.lock().written.clone();
        match written.filter(|written| written.id == entry.id) {
            Some(_) if shows_hidden => Err(Error::unsupported(format!(
                "the hidden columns of {} cannot be read after this transaction has written to it",
                entry.describe()
            ))
            .with_hint("commit first")),
            written => Ok(written),
        }
    }

    async fn table(&self, entry: &Entry, shows_hidden: bool) -> Result<Arc<dyn TableProvider>> {
        let table = self.engine.keyed_table(entry)?;
        if self.reading == Reading::Live {
            return Ok(Arc::new(FollowedTable::new(table, shows_hidden)));
        }
        let topic = self.engine.topic_of(entry)?;
        let hold = self.hold(topic);
        let end = hold.ends().first().copied().unwrap_or(Offset::ZERO);
        match self.written_to(entry, shows_hidden)? {
            Some(written) => own_rows::over_table(table.snapshot(end, true).await?, entry, written),
            None if self.is_reused => {
                let table = table.reused(shows_hidden);
                table.bind(end).await?;
                Ok(table.provider())
            }
            None => Ok(table.snapshot(end, shows_hidden).await?),
        }
    }

    /// Which columns of a view that is kept tell its rows apart. Its own key does not: it is a hash of the row.
    async fn key_of_view(
        &self,
        entry: &Entry,
        view: &weir_catalog::View,
    ) -> Result<Option<Vec<usize>>> {
        let plan = self.view_as_declared(entry, view).await?;
        Ok(unique_key(&self.state.optimize(&plan)?))
    }

    /// `topic` as this statement reads it.
    fn hold(&self, topic: Topic) -> TopicHold {
        self.moment.lock().hold(topic)
    }

    /// Waits for the views that are kept among what a statement reads, and fixes one moment for all that they show.
    async fn settle_views(
        &self,
        mentioned: &Mentioned,
        text: Text<'_>,
        schema: &str,
    ) -> Result<()> {
        // Of a plan that is kept it is asked before each run.
        let is_settled = !self.is_reused && self.moment.lock().shown.is_some();
        if self.reading == Reading::Live || is_settled {
            return Ok(());
        }
        let mut views = Vec::new();
        let mut seen = BTreeSet::new();
        let names = mentioned.relations.iter();
        let mut open: Vec<ObjectId> = names
            .filter_map(|name| {
                let name = self.object(name, schema, text).ok()?;
                // Of a view that is not there for the reader nobody waits, and nothing is told.
                let snapshot = self.snapshot_for(text);
                let entry = snapshot.get(&name);
                let entry = entry.or_else(|| view_of_late_rows(snapshot, &name));
                entry.map(|entry| entry.id)
            })
            .collect();
        while let Some(id) = open.pop() {
            let Some(entry) = self.snapshot.by_id(id).filter(|_| seen.insert(id)) else {
                continue;
            };
            match entry.kind() {
                ObjectKind::MaterializedView => views.push(id),
                ObjectKind::View => open.extend(&entry.depends_on),
                _ => {}
            }
        }
        let shown = self.engine.show(&views, &self.variables, &self.moment);
        let shown = shown.await;
        shown.map_err(|(id, error)| self.as_told(id, self.rights_for(text), error))?;
        self.opened.lock().views.extend(views);
        Ok(())
    }

    /// Why a view cannot be read, as it is told to one with these rights: the reason may show a row of what the view reads.
    fn as_told(&self, view: ObjectId, rights: &Rights, error: Error) -> Error {
        let entry = self.snapshot.by_id(view);
        if rights.is_admin() || entry.is_some_and(|entry| rights.owns(entry)) {
            return error;
        }
        Error::new(
            error.kind(),
            "a materialized view that this reads has failed",
        )
        .with_sqlstate(error.sqlstate())
        .with_hint("its owner finds the reason in weir.jobs")
    }

    /// The plan of a view, with the columns that it was created with.
    pub(crate) async fn view_as_declared(
        &self,
        entry: &Entry,
        view: &weir_catalog::View,
    ) -> Result<LogicalPlan> {
        let plan = self.view(entry.owner, view).await;
        let plan = plan.map_err(|error| error.in_context(&format!("view \"{}\"", entry.name)))?;
        as_declared(plan, entry)
    }
}

/// A view's plan with the columns that the view was created with: names, types, order. Columns that its relations have
/// got since then stay out, as they do in PostgreSQL.
fn as_declared(plan: LogicalPlan, entry: &Entry) -> Result<LogicalPlan> {
    let columns = entry.columns();
    let schema = Arc::clone(plan.schema());
    if schema.fields().len() < columns.len() {
        return Err(Error::invalid(
            SqlState::INVALID_TABLE_DEFINITION,
            format!(
                "{} has {} columns, but its query now gives {}",
                entry.describe(),
                columns.len(),
                schema.fields().len()
            ),
        ));
    }
    let exprs = schema
        .iter()
        .zip(columns)
        .map(|((relation, field), column)| {
            let expr = Expr::Column((relation, field).into());
            let expr = if same_type(field, &column.field()) {
                expr
            } else {
                cast(expr, column.data_type.clone())
            };
            expr.alias(&column.name)
        });
    Ok(LogicalPlanBuilder::from(plan)
        .project(exprs.collect::<Vec<_>>())?
        .build()?)
}

fn same_type(a: &Field, b: &Field) -> bool {
    a.data_type() == b.data_type() || matches!(a.data_type(), DataType::Null)
}

/// The catalog's name for a name in `FROM`.
///
/// # Errors
/// When it names another database.
pub(crate) fn object(name: &ast::ObjectName, default_schema: &str) -> Result<ObjectName> {
    let parts: Vec<String> = name
        .0
        .iter()
        .filter_map(|part| part.as_ident())
        .map(normalized)
        .collect();
    match parts.as_slice() {
        [name] => Ok(ObjectName::new(
            system::schema_of(name, default_schema),
            name,
        )),
        [schema, name] => Ok(ObjectName::new(schema, name)),
        [database, schema, name] if database == "weir" => Ok(ObjectName::new(schema, name)),
        _ => Err(Error::invalid(
            SqlState::UNDEFINED_TABLE,
            format!("{name} not found: this server has one database, \"weir\""),
        )
        .with_position(position_of(name))),
    }
}

/// Whether a view that is kept has the rows of its query as it stands: none waits, and none is left out.
fn is_its_query(kept: &MaterializedView) -> bool {
    !kept.on_window_close && !leaves_out(kept)
}

/// Whether rows that cannot be computed are left out of a view that is kept.
pub(super) fn leaves_out(kept: &MaterializedView) -> bool {
    let policy = kept.options.get("on_error");
    policy.is_some_and(|policy| policy == "skip")
}
