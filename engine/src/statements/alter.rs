//! `ALTER …` and `COMMENT ON`.

use datafusion::common::DFSchema;
use weir_base::{Options, SqlState};
use weir_catalog::{Body, Entry, Snapshot};
use weir_sql::statement::{self, AlterOperation, ColumnChange, Emit, ObjectKind};

use super::followed::texts_after_rename;
use super::{Execution, normalized, position_of};
use crate::answer::Answer;
use crate::error::{Error, Result};
use crate::history::{self, HistoryMode};
use crate::planning::{Reading, plan_expression};
use crate::rows;
use crate::topic_config::{self, TopicSetting};

impl Execution {
    pub(super) async fn alter(&self, alter: statement::Alter, tag: &'static str) -> Result<Answer> {
        if let AlterOperation::As {
            query,
            query_sql,
            emit,
        } = &alter.operation
        {
            let closes = *emit == Some(Emit::OnWindowClose);
            // Others may define things while it is computed.
            self.alter_query(
                &alter.name,
                alter.if_exists,
                query,
                closes,
                query_sql.clone(),
            )
            .await?;
            return Ok(self.done(tag));
        }
        let this = self.clone();
        self.to_the_end(async move { this.alter_at_once(alter, tag).await })
            .await
    }

    /// What takes no longer than a commit, and what it takes to run by it.
    async fn alter_at_once(&self, alter: statement::Alter, tag: &str) -> Result<Answer> {
        let kind = catalog_kind(self.altered_kind(&alter)?)?;
        let _ddl = self.may_change([&alter.name]).await?;
        let snapshot = self.snapshot();
        let name = self.object_name(alter.kind, &alter.name)?;
        let visible = self.rights.visible(&snapshot);
        let entry = match visible.require(kind, &name) {
            Ok(entry) => std::sync::Arc::clone(entry),
            Err(weir_catalog::Error::NotFound { .. }) if alter.if_exists => {
                return Ok(self.done(tag));
            }
            Err(error) => return Err(Error::from(error).with_position(position_of(&alter.name))),
        };
        let is_of_columns = !matches!(
            alter.operation,
            AlterOperation::RenameTo(_)
                | AlterOperation::SetSchema(_)
                | AlterOperation::SetOptions(_)
                | AlterOperation::ResetOptions(_)
                | AlterOperation::Pause
                | AlterOperation::Resume
                | AlterOperation::As { .. }
        );
        let moves_columns = matches!(
            alter.operation,
            AlterOperation::AddColumn { .. } | AlterOperation::DropColumn { .. }
        );
        if moves_columns && rows::is_positional(&entry) {
            return Err(Error::unsupported(format!(
                "the columns of {} are the fields of a line by their places, which cannot change",
                entry.describe()
            ))
            .with_hint("create another stream over the same topic: WITH (topic = '…')"));
        }
        if is_of_columns && rows::is_raw(&entry) {
            return Err(Error::unsupported(format!(
                "{} shows its records' values as they are and has no columns of its own",
                entry.describe()
            )));
        }
        let of_options = matches!(
            alter.operation,
            AlterOperation::SetOptions(_) | AlterOperation::ResetOptions(_)
        );
        let changes = match alter.operation {
            AlterOperation::RenameTo(to) => {
                let to = normalized(&to);
                let texts = texts_after_rename(&snapshot, &entry, &to);
                snapshot.rename(entry.id, &to, texts)?
            }
            AlterOperation::SetSchema(schema) => {
                snapshot.set_schema(entry.id, &normalized(&schema))?
            }
            AlterOperation::RenameColumn { from, to } => {
                snapshot.rename_column(entry.id, &normalized(&from), &normalized(&to))?
            }
            AlterOperation::AddColumn {
                column,
                if_not_exists,
                checks,
            } => self.add_column(&snapshot, &entry, &column, if_not_exists, &checks)?,
            AlterOperation::DropColumn {
                name,
                if_exists,
                cascade,
            } => {
                if cascade {
                    return Err(Error::unsupported("DROP COLUMN … CASCADE is not supported")
                        .with_hint("drop what depends on the column first"));
                }
                snapshot.drop_column(entry.id, &normalized(&name), if_exists)?
            }
            AlterOperation::AlterColumn { name, change } => {
                self.alter_column(&snapshot, &entry, &normalized(&name), change)?
            }
            AlterOperation::SetOptions(options) => {
                let changes = options.into_iter().map(|(name, value)| (name, Some(value)));
                self.set_options(&snapshot, &entry, changes.collect())
                    .await?
            }
            AlterOperation::ResetOptions(names) => {
                let changes = names.into_iter().map(|name| (name, None));
                self.set_options(&snapshot, &entry, changes.collect())
                    .await?
            }
            AlterOperation::Pause | AlterOperation::Resume => {
                let paused = matches!(alter.operation, AlterOperation::Pause);
                match entry.kind() {
                    weir_catalog::ObjectKind::Sink => self.pause_sink(&entry, paused).await?,
                    _ => self.pause_view(&entry, paused).await?,
                }
                return Ok(self.done(tag));
            }
            // Done above.
            AlterOperation::As { .. } => return Ok(self.done(tag)),
        };
        if moves_columns {
            self.check_schema(&changes)?;
        }
        self.commit(&snapshot, changes).await?;
        if self.transaction.is_some() {
            return Ok(self.done(tag));
        }
        if of_options {
            self.apply_job_options(&entry).await?;
        }
        if let Some((_, topic)) = entry.topic() {
            self.engine.forget_table(topic);
            self.engine.histories.changed();
        }
        self.engine.tend_dead_letters();
        self.engine
            .sinks
            .target_changed(&self.engine, entry.id)
            .await;
        Ok(self.done(tag))
    }

    /// Refuses columns for which the schema of a stream's values has no place.
    fn check_schema(&self, changes: &[weir_catalog::Change]) -> Result<()> {
        for change in changes {
            if let weir_catalog::Change::Put(entry) = change
                && let Body::Stream(_) = &entry.body
            {
                // What would be registered is not: rows are there already that other columns made a schema for.
                rows::row_schema(&self.engine, entry)?.schema_to_register(&entry.name.name)?;
            }
        }
        Ok(())
    }

    /// Sets options of a stream, view or sink, or gives them their defaults: those of a topic at once, in one step; others by the
    /// changes that are answered.
    async fn set_options(
        &self,
        snapshot: &Snapshot,
        entry: &Entry,
        changes: Vec<(String, Option<String>)>,
    ) -> Result<Vec<weir_catalog::Change>> {
        if changes.is_empty() {
            return Err(Error::invalid(
                SqlState::SYNTAX_ERROR,
                "SET () and RESET () name an option",
            ));
        }
        let stream = match &entry.body {
            Body::Stream(stream) => stream,
            Body::MaterializedView(kept) => {
                return self.set_view_options(snapshot, entry, kept, changes);
            }
            Body::Sink(sink) => return self.set_sink_options(snapshot, entry, sink, changes),
            _ => {
                return Err(Error::invalid(
                    SqlState::WRONG_OBJECT_TYPE,
                    format!("{} has no options that can be changed", entry.describe()),
                ));
            }
        };
        let topic = self.engine.topic_of(entry)?;
        let mut config = topic.config();
        let mut options = stream.options.clone();
        for (name, value) in changes {
            match (TopicSetting::named(&name), value) {
                (Some(setting), Some(value)) => setting.set(&mut config, &value)?,
                (Some(setting), None) => setting.reset(&mut config),
                (None, Some(value)) if name == history::OPTION => {
                    HistoryMode::parse(&value)?;
                    options.insert(name, value);
                }
                (None, None) if name == history::OPTION => {
                    options.remove(&name);
                }
                (None, _) => {
                    let mut known = Options::new([(name, String::new())]);
                    // It knows the names that there are, and says which is nearest.
                    topic_config::take(&mut known, config)?;
                    known.take::<String>(history::OPTION)?;
                    known.finish()?;
                }
            }
        }
        history::check(&self.engine, entry, &options, &config)?;
        if config != topic.config() {
            self.engine.log.configure(topic.id(), config).await?;
        }
        Ok(snapshot.set_options(entry.id, options)?)
    }

    fn add_column(
        &self,
        snapshot: &std::sync::Arc<Snapshot>,
        entry: &Entry,
        definition: &statement::ColumnDef,
        if_not_exists: bool,
        checks: &[statement::Check],
    ) -> Result<Vec<weir_catalog::Change>> {
        let planner = self.planner(std::sync::Arc::clone(snapshot), Reading::Bounded);
        let (columns, implied) = self.columns(&planner, std::slice::from_ref(definition))?;
        let Some(mut column) = columns.into_iter().next() else {
            return Ok(vec![]);
        };
        if if_not_exists && entry.column(&column.name).is_some() {
            return Ok(vec![]);
        }
        if let Some(default) = &column.default {
            let expr = rows::expression(&self.engine, default, &DFSchema::empty())?;
            if rows::is_volatile(&expr) {
                return Err(Error::unsupported(format!(
                    "rows that are there already cannot each get a value of their own from {default}"
                ))
                .with_hint("add the column without a default, then set one"));
            }
            // What older rows show is the default's value as of now, whatever the default becomes later.
            let value = rows::evaluate(&self.engine, default, &column.data_type)?;
            column.absent = if value.is_null() {
                None
            } else {
                Some(literal(&value))
            };
        }
        if !column.nullable && column.absent.is_none() && self.has_rows(entry) {
            return Err(Error::invalid(
                SqlState::NOT_NULL_VIOLATION,
                format!(
                    "column {:?} is NOT NULL, but {} has rows that would have no value",
                    column.name,
                    entry.describe()
                ),
            )
            .with_hint("give it a DEFAULT"));
        }
        let mut all = entry.columns().to_vec();
        all.push(column.clone());
        let checks = self.checks(&entry.name.name, &all, implied, checks)?;
        if !checks.is_empty() && self.has_rows(entry) {
            return Err(Error::unsupported(
                "a column with a CHECK cannot be added to what has rows already",
            )
            .with_hint("add the column without the check"));
        }
        Ok(snapshot.add_column(entry.id, column, checks, if_not_exists)?)
    }

    fn alter_column(
        &self,
        snapshot: &Snapshot,
        entry: &Entry,
        name: &str,
        change: ColumnChange,
    ) -> Result<Vec<weir_catalog::Change>> {
        let column = snapshot.require_column(entry, name)?;
        let change = match change {
            ColumnChange::SetDefault(default) => {
                let expr =
                    plan_expression(&self.engine.base_state, default.expr, &DFSchema::empty())?;
                rows::refuse_columns(&expr, "a default")?;
                rows::evaluate(&self.engine, &default.sql, &column.data_type)?;
                if rows::is_volatile(&expr) && entry.kind() == weir_catalog::ObjectKind::Stream {
                    return Err(Error::unsupported(
                        "a stream's default must give one value for all rows of a request",
                    ));
                }
                weir_catalog::ColumnChange::SetDefault(default.sql)
            }
            ColumnChange::DropDefault => weir_catalog::ColumnChange::DropDefault,
            ColumnChange::DropNotNull => weir_catalog::ColumnChange::DropNotNull,
            ColumnChange::SetNotNull if self.has_rows(entry) => {
                return Err(Error::unsupported(format!(
                    "{} has rows, which may be null in {name:?}",
                    entry.describe()
                ))
                .with_hint("create it anew with NOT NULL and copy the rows"));
            }
            ColumnChange::SetNotNull => weir_catalog::ColumnChange::SetNotNull,
            ColumnChange::SetType(..) => {
                return Err(Error::unsupported("the type of a column cannot be changed")
                    .with_hint("add a column of the new type, or create the table anew"));
            }
        };
        Ok(snapshot.alter_column(entry.id, name, change)?)
    }

    fn has_rows(&self, entry: &Entry) -> bool {
        self.engine.topic_of(entry).is_ok_and(|topic| {
            topic
                .partitions()
                .iter()
                .any(|partition| partition.next_offset().0 > 0)
        })
    }

    pub(super) async fn comment_on(&self, comment: statement::CommentOn) -> Result<Answer> {
        let _ddl = self.may_define().await?;
        let snapshot = self.snapshot();
        let entry = match comment.kind {
            Some(kind) => {
                let name = self.object_name(kind, &comment.name)?;
                snapshot.require(catalog_kind(kind)?, &name)
            }
            None => snapshot.relation(&self.name(&comment.name)?),
        };
        let entry =
            entry.map_err(|error| Error::from(error).with_position(position_of(&comment.name)))?;
        let column = comment.column.as_ref().map(normalized);
        let changes = snapshot.set_comment(entry.id, column.as_deref(), comment.comment)?;
        self.commit(&snapshot, changes).await?;
        Ok(self.done("COMMENT"))
    }
}

/// A value as a literal of SQL that reads back as it.
fn literal(value: &datafusion::common::ScalarValue) -> String {
    use datafusion::common::ScalarValue as Value;
    match value {
        Value::Boolean(Some(value)) => value.to_string(),
        Value::Int8(_) | Value::Int16(_) | Value::Int32(_) | Value::Int64(_) => value.to_string(),
        other => {
            let text = arrow::util::display::array_value_to_string(
                &other.to_array().unwrap_or_else(|_| {
                    arrow::array::new_null_array(&arrow::datatypes::DataType::Null, 1)
                }),
                0,
            );
            weir_catalog::quote_literal(&text.unwrap_or_default())
        }
    }
}

impl Execution {
    /// The kind of what is altered: what is renamed or moved as a table may be a view, as PostgreSQL has it.
    pub(super) fn altered_kind(&self, alter: &statement::Alter) -> Result<ObjectKind> {
        let moves = matches!(
            alter.operation,
            AlterOperation::RenameTo(_) | AlterOperation::SetSchema(_)
        );
        if alter.kind == ObjectKind::Table
            && moves
            && let Some(entry) = self.visible().get(&self.name(&alter.name)?)
            && entry.kind() == weir_catalog::ObjectKind::View
        {
            return Ok(ObjectKind::View);
        }
        Ok(alter.kind)
    }

    /// The catalog's name for an object of `kind`, which decides whether it lies in a schema.
    pub(super) fn object_name(
        &self,
        kind: ObjectKind,
        name: &datafusion::sql::sqlparser::ast::ObjectName,
    ) -> Result<weir_catalog::ObjectName> {
        if matches!(kind, ObjectKind::Schema | ObjectKind::Connection) {
            let last = name
                .0
                .last()
                .and_then(|part| part.as_ident())
                .map(normalized)
                .unwrap_or_default();
            return Ok(weir_catalog::ObjectName::global(last));
        }
        self.name(name)
    }
}

/// The catalog's kind for a kind of the statement's.
pub(super) fn catalog_kind(kind: ObjectKind) -> Result<weir_catalog::ObjectKind> {
    use weir_catalog::ObjectKind as Kind;
    Ok(match kind {
        ObjectKind::Schema => Kind::Schema,
        ObjectKind::Stream => Kind::Stream,
        ObjectKind::Table => Kind::Table,
        ObjectKind::ExternalTable => Kind::ExternalTable,
        ObjectKind::View => Kind::View,
        ObjectKind::Connection => Kind::Connection,
        ObjectKind::MaterializedView => Kind::MaterializedView,
        ObjectKind::Sink => Kind::Sink,
    })
}
