//! `CREATE …`: check, plan, make the topic where there is one, and commit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::sql::sqlparser::ast;
use weir_base::{Kind, Options, SqlState, TopicName};
use weir_catalog::{
    Body, Column, Connection, Created, ExternalTable, IfExists, NewObject, ObjectKind, ObjectName,
    Table, View,
};
use weir_connectors::files;
use weir_connectors::topic::Format;
use weir_sql::statement;
use weir_topics::{Cleanup, TopicConfig, TopicSpec};

use super::definitions::{
    column_of_field, depends_on_itself, if_exists, query_columns, roomy, topic_exists, topic_name,
};
use super::{Execution, normalized, position_of};
use crate::answer::Answer;
use crate::error::{Error, Result};
use crate::planning::{Planner, Reading};

/// How soon rows of temporary tables are on disk, where they only make room in memory.
const TEMPORARY_FLUSH_MS: u64 = 60_000;

impl Execution {
    pub(super) async fn create_schema(
        &self,
        create: statement::CreateSchema,
        sql: String,
    ) -> Result<Answer> {
        let name = match self.new_name(&create.name)? {
            name if name.schema == self.variables.schema() || name.schema == "weir" => name.name,
            name => {
                return Err(Error::invalid(
                    SqlState::SYNTAX_ERROR,
                    format!("schema name {name} has too many parts"),
                )
                .with_position(position_of(&create.name)));
            }
        };
        let _ddl = self.may_define().await?;
        let if_exists = if create.if_not_exists {
            IfExists::Keep
        } else {
            IfExists::Refuse
        };
        self.create(
            NewObject {
                sql,
                ..self.new_object(ObjectName::global(name), Body::Schema)
            },
            if_exists,
        )
        .await?;
        Ok(self.done("CREATE SCHEMA"))
    }

    pub(super) async fn create_table(
        &self,
        create: statement::CreateTable,
        sql: String,
    ) -> Result<Answer> {
        let is_temporary = self.is_to_be_temporary(&create.name, create.temporary)?;
        let name = self.name_of_new(&create.name, is_temporary)?;
        if let Some(columns) = create.unique.first() {
            return Err(Error::unsupported(format!(
                "UNIQUE ({}) is not supported",
                columns
                    .iter()
                    .map(|column| column.value.as_str())
                    .collect::<Vec<_>>()
                    .join(", ")
            ))
            .with_hint("a table has one key: PRIMARY KEY"));
        }
        if create.watermark.is_some() {
            return Err(Error::unsupported("a table has no WATERMARK")
                .with_hint("streams have: CREATE STREAM"));
        }
        let ddl = match is_temporary {
            true => None,
            false => self.may_define().await?,
        };
        let snapshot = self.snapshot();
        let if_exists = if_exists(create.or_replace, create.if_not_exists)?;
        if self.exists(&name, ObjectKind::Table, if_exists)? {
            return Ok(self.done("CREATE TABLE"));
        }
        refuse_changelog(&create.options)?;
        Options::new(create.options.iter().cloned()).finish()?;
        let planner = self.planner(Arc::clone(&snapshot), Reading::Bounded);
        let source = match &create.query {
            Some(query) => Some(planner.query(query, &self.request.parameters).await?),
            None => None,
        };
        let (mut columns, implied) = match &source {
            Some(plan) if create.columns.is_empty() => {
                (query_columns(&roomy(plan), &create.column_names)?, vec![])
            }
            _ => self.columns(&planner, &create.columns)?,
        };
        if columns.is_empty() {
            return Err(Error::invalid(
                SqlState::INVALID_TABLE_DEFINITION,
                "a table needs at least one column",
            )
            .with_position(position_of(&create.name)));
        }
        let primary_key = self.key_columns(&mut columns, &create.primary_key)?;
        let checks = self.checks(&name.name, &columns, implied, &create.checks)?;
        let topic = match is_temporary {
            true => self.temporary_topic_name(&name)?,
            false => {
                let topic = topic_name(&name)?;
                // A table that was renamed, or that a transaction has dropped, may still have the topic of that name.
                let is_taken = snapshot.get(&name).is_some() || self.is_of_a_table(&topic);
                self.free_topic_name(topic, is_taken)?
            }
        };
        let made = self
            .engine
            .log
            .create_topic(
                &topic,
                TopicSpec {
                    partitions: 1,
                    owned: true,
                },
                // Of each row the last change is all that is needed.
                TopicConfig {
                    cleanup: Cleanup::Compact,
                    // What does not outlive its session need not outlive the machine.
                    flush_ms: is_temporary.then_some(TEMPORARY_FLUSH_MS),
                    ..TopicConfig::default()
                },
            )
            .await?;
        let table = Table {
            columns,
            checks,
            primary_key,
            topic,
            topic_id: made.id(),
            options: BTreeMap::new(),
            retired_sources: BTreeSet::new(),
        };
        let sql = if create.query.is_some() {
            String::new()
        } else {
            sql
        };
        let new = NewObject {
            sql,
            ..self.new_object(name.clone(), Body::Table(table))
        };
        match source {
            Some(plan) if !create.without_data => {
                // The rows are written before the table can be seen, so that it appears whole or not at all.
                let entry = self.planned_entry(&new, if_exists)?;
                let written = self.fill(&planner, &entry, plan).await;
                let rows = match written {
                    Ok(rows) => rows,
                    Err(error) => {
                        self.forget_topic(made.id()).await;
                        return Err(error);
                    }
                };
                self.create_with_topic(new, if_exists, made.id()).await?;
                drop(ddl);
                if create.drop_on_commit {
                    self.drop_on_commit(&name).await;
                }
                self.wrote("CREATE TABLE AS", rows)
            }
            _ => {
                self.create_with_topic(new, if_exists, made.id()).await?;
                if create.drop_on_commit {
                    self.drop_on_commit(&name).await;
                }
                Ok(self.done("CREATE TABLE"))
            }
        }
    }

    pub(super) async fn create_external_table(
        &self,
        create: statement::CreateExternalTable,
        sql: String,
    ) -> Result<Answer> {
        let name = self.new_name(&create.name)?;
        let _ddl = self.may_define().await?;
        let snapshot = self.snapshot();
        let if_exists = if_exists(create.or_replace, create.if_not_exists)?;
        if self.exists(&name, ObjectKind::ExternalTable, if_exists)? {
            return Ok(self.done("CREATE EXTERNAL TABLE"));
        }
        let planner = self.planner(Arc::clone(&snapshot), Reading::Bounded);
        let (columns, checks) = self.columns(&planner, &create.columns)?;
        if let Some(check) = checks.first() {
            return Err(Error::unsupported(format!(
                "files cannot keep to the length that {:?} declares",
                check.name
            ))
            .with_hint("use TEXT"));
        }
        let mut options: BTreeMap<String, String> = create.options.into_iter().collect();
        let connection = options.remove("connection");
        let declared_format = options.remove("format");
        let format = create.stored_as.or(declared_format);
        let partitioned_by = create
            .partitioned_by
            .iter()
            .map(|partition| {
                let partition_name = normalized(&partition.name);
                let (data_type, sql_type) = match &partition.data_type {
                    Some((data_type, sql_type)) => (
                        planner.field_of(data_type)?.data_type().clone(),
                        sql_type.clone(),
                    ),
                    None => {
                        let declared = columns.iter().find(|column| column.name == partition_name);
                        declared.map_or(
                            (arrow::datatypes::DataType::Utf8View, "TEXT".to_owned()),
                            |column| (column.data_type.clone(), column.sql_type.clone()),
                        )
                    }
                };
                Ok(Column::new(partition_name, data_type, sql_type))
            })
            .collect::<Result<Vec<_>>>()?;
        // A partition column may be declared among the columns, as in Hive; it is kept once.
        let columns: Vec<Column> = columns
            .into_iter()
            .filter(|column| {
                partitioned_by
                    .iter()
                    .all(|partition| partition.name != column.name)
            })
            .collect();
        let format = match format {
            Some(format) => format,
            None => files::format_of_location(&create.location)
                .map(str::to_owned)
                .ok_or_else(|| {
                    Error::invalid(
                        SqlState::INVALID_PARAMETER_VALUE,
                        format!("the format of {:?} is not known", create.location),
                    )
                    .with_hint("add STORED AS PARQUET, CSV, JSON, AVRO or ARROW")
                })?,
        };
        let mut table = ExternalTable {
            columns: (!columns.is_empty()).then_some(columns),
            format,
            location: create.location,
            connection,
            partitioned_by,
            options,
        };
        planner.permit_files(&self.rights, table.connection.as_deref(), "read files")?;
        // Opening it finds what is wrong now rather than at the first query, and tells the columns.
        let provider = crate::planning::files::open_definition(&planner, &table).await?;
        if table.columns.is_none() {
            let partitions: BTreeSet<&str> = table
                .partitioned_by
                .iter()
                .map(|column| column.name.as_str())
                .collect();
            let schema = provider.schema();
            let inferred = schema
                .fields()
                .iter()
                .filter(|field| !partitions.contains(field.name().as_str()));
            table.columns = Some(inferred.map(|field| column_of_field(field)).collect());
        }
        let new = NewObject {
            sql,
            ..self.new_object(name, Body::ExternalTable(table))
        };
        self.create(new, if_exists).await?;
        Ok(self.done("CREATE EXTERNAL TABLE"))
    }

    pub(super) async fn create_view(
        &self,
        create: statement::CreateView,
        sql: String,
    ) -> Result<Answer> {
        let is_temporary = self.is_to_be_temporary(&create.name, create.temporary)?;
        let name = self.name_of_new(&create.name, is_temporary)?;
        let _ddl = match is_temporary {
            true => None,
            false => self.may_define().await?,
        };
        let snapshot = self.snapshot();
        let if_exists = if_exists(create.or_replace, create.if_not_exists)?;
        if self.exists(&name, ObjectKind::View, if_exists)? {
            return Ok(self.done("CREATE VIEW"));
        }
        let planner = self.planner(Arc::clone(&snapshot), Reading::Bounded);
        let plan = planner.query(&create.query, &[]).await?;
        let columns = query_columns(plan.schema().as_arrow(), &create.columns)?;
        let depends_on = planner.named_objects();
        if is_temporary {
            self.refuse_shadowed(&snapshot, &depends_on)?;
        }
        let own = snapshot.get(&name).map(|entry| entry.id);
        if let Some(own) = own
            && depends_on_itself(&snapshot, own, &depends_on)
        {
            return Err(Error::invalid(
                SqlState::INVALID_TABLE_DEFINITION,
                format!("view \"{name}\" would read itself"),
            )
            .with_position(position_of(&create.name)));
        }
        let view = View {
            sql: create.query_sql,
            default_schema: self.variables.schema().to_owned(),
            columns,
            named_columns: !create.columns.is_empty(),
        };
        let new = NewObject {
            sql,
            depends_on,
            ..self.new_object(name, Body::View(view))
        };
        self.create(new, if_exists).await?;
        Ok(self.done("CREATE VIEW"))
    }

    pub(super) async fn create_connection(
        &self,
        create: statement::CreateConnection,
    ) -> Result<Answer> {
        let [part] = create.name.0.as_slice() else {
            return Err(Error::invalid(
                SqlState::SYNTAX_ERROR,
                "the name of a connection has no schema",
            )
            .with_position(position_of(&create.name)));
        };
        let name = part.as_ident().map(normalized).unwrap_or_default();
        let _ddl = self.may_define().await?;
        let if_exists = if_exists(create.or_replace, create.if_not_exists)?;
        if if_exists == IfExists::Keep && self.snapshot().connection(&name).is_some() {
            return Ok(self.done("CREATE CONNECTION"));
        }
        let validated = files::validate_connection(&name, create.options)?;
        let secrets = validated
            .secrets
            .into_iter()
            .map(|(key, text)| (key, weir_catalog::Secret::new(text)))
            .collect();
        let connection = Connection {
            kind: validated.kind,
            options: validated.options,
            secrets,
        };
        let new = self.new_object(ObjectName::global(name), Body::Connection(connection));
        self.create(new, if_exists).await?;
        Ok(self.done("CREATE CONNECTION"))
    }

    pub(super) fn new_object(&self, name: ObjectName, body: Body) -> NewObject {
        NewObject {
            name,
            body,
            comment: None,
            sql: String::new(),
            depends_on: BTreeSet::new(),
            created_at_ms: self.engine.clock.now_ms(),
            owner: self.session.principal().account(),
        }
    }

    /// Whether an object of that name and kind is there and shall stay as it is.
    pub(super) fn exists(
        &self,
        name: &ObjectName,
        kind: ObjectKind,
        if_exists: IfExists,
    ) -> Result<bool> {
        let snapshot = self.snapshot();
        let Some(entry) = snapshot.get(name) else {
            return Ok(false);
        };
        if if_exists == IfExists::Keep && entry.kind() == kind {
            return Ok(true);
        }
        if if_exists == IfExists::Replace && entry.kind() == kind {
            return Ok(false);
        }
        Err(Error::new(
            Kind::Conflict,
            format!("{} already exists", entry.describe()),
        )
        .with_sqlstate(SqlState::DUPLICATE_TABLE)
        .with_hint(format!(
            "drop it first, or write CREATE {} IF NOT EXISTS",
            kind.sql()
        )))
    }

    pub(super) async fn create(&self, new: NewObject, if_exists: IfExists) -> Result<Created> {
        let snapshot = self.snapshot_for_new(&new.name);
        let created = snapshot.create(new, if_exists)?;
        self.commit(&snapshot, created.changes.clone()).await?;
        Ok(created)
    }

    pub(super) fn planned_entry(
        &self,
        new: &NewObject,
        if_exists: IfExists,
    ) -> Result<weir_catalog::Entry> {
        let snapshot = self.snapshot_for_new(&new.name);
        let created = snapshot.create(new.clone(), if_exists)?;
        created
            .changes
            .into_iter()
            .find_map(|change| match change {
                weir_catalog::Change::Put(entry) => Some(entry.as_ref().clone()),
                weir_catalog::Change::Remove(_) => None,
            })
            .ok_or_else(|| Error::new(Kind::Internal, "a creation without an entry"))
    }

    /// Commits an object whose topic was made for it, or takes the topic away again.
    pub(super) async fn create_with_topic(
        &self,
        new: NewObject,
        if_exists: IfExists,
        topic: weir_base::TopicId,
    ) -> Result<()> {
        match self.create(new, if_exists).await {
            // What it replaces is let go of by the session.
            Ok(created) if created.id.is_temporary() => Ok(()),
            Ok(created) => {
                if let Some(transaction) = &self.transaction {
                    transaction.made_topic(topic);
                }
                self.release_replaced(&created).await;
                Ok(())
            }
            Err(error) => {
                self.forget_topic(topic).await;
                Err(error)
            }
        }
    }

    /// Lets go of the topic of what was replaced.
    pub(super) async fn release_replaced(&self, created: &Created) {
        let Some(old) = &created.replaced else {
            return;
        };
        if let Some(transaction) = &self.transaction {
            return transaction.dropped(std::sync::Arc::clone(old));
        }
        if let Some((_, old)) = old.topic() {
            self.release_topic(old).await;
        }
    }

    /// Deletes a topic when the last that was stored in it is gone.
    pub(super) async fn release_topic(&self, topic: weir_base::TopicId) {
        self.engine.release_topic(topic).await;
    }

    /// Deletes a topic that nothing refers to.
    pub(super) async fn forget_topic(&self, topic: weir_base::TopicId) {
        self.engine.forget_topic(topic).await;
    }

    /// Whether a topic is one that a table keeps its rows in.
    fn is_of_a_table(&self, topic: &TopicName) -> bool {
        let known = self.engine.log.topic(topic);
        let entries = known.map(|topic| topic.id());
        let snapshot = self.engine.catalog.snapshot();
        entries.is_some_and(|id| {
            let stored = snapshot.by_topic(id);
            !stored.is_empty() && stored.iter().all(|entry| entry.kind() == ObjectKind::Table)
        })
    }

    pub(super) fn free_topic_name(&self, wanted: TopicName, may_change: bool) -> Result<TopicName> {
        if self.engine.log.topic(&wanted).is_none() {
            return Ok(wanted);
        }
        if !may_change {
            return Err(topic_exists(&wanted));
        }
        (2..1000_u32)
            .filter_map(|n| TopicName::new(format!("{wanted}.{n}")).ok())
            .find(|name| self.engine.log.topic(name).is_none())
            .ok_or_else(|| topic_exists(&wanted))
    }
}

impl Planner {
    /// The field of one declared type.
    pub(crate) fn field_of(&self, data_type: &ast::DataType) -> Result<arrow::datatypes::FieldRef> {
        let column = ast::ColumnDef {
            name: ast::Ident::new("c"),
            data_type: data_type.clone(),
            options: vec![],
        };
        let schema = self.fields(vec![column])?;
        schema
            .fields()
            .first()
            .cloned()
            .ok_or_else(|| Error::new(Kind::Internal, "a type without a field"))
    }
}

/// Refuses what is said by `CREATE STREAM`: a table is written here, and these rows are somebody else's.
fn refuse_changelog(options: &[(String, String)]) -> Result<()> {
    match options.iter().find(|(key, _)| key == "format") {
        Some((_, format)) if Format::names_changelog(format) => {
            Err(Error::unsupported(format!("CREATE TABLE with format '{format}'")).with_hint(
                "write CREATE STREAM … (id BIGINT PRIMARY KEY, …) WITH (topic = '…', format = '…'): it is read as a table",
            ))
        }
        _ => Ok(()),
    }
}
