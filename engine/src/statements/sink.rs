//! `CREATE SINK`, `INSERT INTO … EMIT CHANGES`, and `ALTER SINK … PAUSE | RESUME`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::StringViewArray;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::sql::sqlparser::ast;
use weir_base::{Kind, Options, SqlState, TopicName};
use weir_catalog::{
    Body, Entry, IfExists, NewObject, ObjectId, ObjectKind, ObjectName, Privilege, Sink, Snapshot,
    View,
};
use weir_connectors::topic::{Envelope, NewSchema};
use weir_sql::statement::{self, Emit, SinkSource};
use weir_topics::{Cleanup, TopicConfig, is_internal};

use super::create_stream::PARTITIONS_MAX;
use super::definitions::{if_exists, query_columns, roomy, topic_name};
use super::materialized_view::{check_followed, check_repeatable};
use super::{Execution, normalized, position_of};
use crate::answer::Answer;
use crate::error::{Error, Result};
use crate::planning::Reading;
use crate::{rate, sinks, topic_config};

/// What `INSERT INTO … EMIT CHANGES` answers: the name of the sink that it has begun.
pub(super) fn begun_sink_columns() -> SchemaRef {
    let name = Field::new("sink", DataType::Utf8View, false);
    Arc::new(Schema::new(vec![name]))
}

/// What a sink is made of, before it is known where it writes to.
struct Draft {
    sink: Sink,
    depends_on: BTreeSet<ObjectId>,
    /// Whether its rows only come.
    only_grows: bool,
    /// The stream that was made for it to write to, if one was.
    made: Option<ObjectId>,
}

impl Execution {
    pub(super) async fn create_sink(
        &self,
        create: statement::CreateSink,
        sql: String,
    ) -> Result<Answer> {
        let name = self.new_name(&create.name)?;
        let _ddl = self.engine.ddl.lock().await;
        let if_exists = if_exists(create.or_replace, create.if_not_exists)?;
        if self.exists(&name, ObjectKind::Sink, if_exists)? {
            return Ok(self.done("CREATE SINK"));
        }
        let snapshot = self.snapshot();
        if if_exists == IfExists::Replace && snapshot.get(&name).is_some() {
            return Err(Error::unsupported(
                "CREATE OR REPLACE of a sink that is there is not supported yet",
            )
            .with_hint("drop it first"));
        }
        let (query, query_sql, from) = match create.source {
            SinkSource::Query { query, query_sql } => (*query, query_sql, None),
            SinkSource::Object(from) => {
                let object = self.name(&from)?;
                let found = snapshot.relation(&object);
                let found =
                    found.map_err(|error| Error::from(error).with_position(position_of(&from)))?;
                let all = format!("SELECT * FROM {}", object.sql());
                let query = weir_sql::parse_query(&all);
                let query = query.map_err(|error| Error::from_classified(&error))?;
                (*query, all, Some(found.id))
            }
        };
        let draft = self.draft(&query, query_sql, create.emit).await?;
        let mut draft = Draft {
            sink: Sink {
                from,
                options: create.options.into_iter().collect(),
                ..draft.sink
            },
            ..draft
        };
        let mut options = Options::new(draft.sink.options.clone());
        rate::take(&mut options)?;
        match &create.into {
            Some(into) => {
                options.finish()?;
                self.write_into(&mut draft, into, &[]).await?;
            }
            None => self.write_elsewhere(&mut draft, &name, options).await?,
        }
        self.begin_sink(name, draft, sql, if_exists).await?;
        Ok(self.done("CREATE SINK"))
    }

    /// `INSERT INTO t SELECT … EMIT CHANGES`: a sink without a name of its own.
    pub(super) async fn insert_changes(
        &self,
        insert: statement::Insert,
        sql: String,
    ) -> Result<Answer> {
        let ast::Statement::Insert(ast) = *insert.insert else {
            return Err(Error::new(Kind::Internal, "an INSERT that is none"));
        };
        let ast::TableObject::TableName(target) = &ast.table else {
            return Err(Error::unsupported(
                "INSERT INTO a function or a query is not supported",
            ));
        };
        if ast.on.is_some() || ast.returning.is_some() || ast.overwrite || insert.upsert {
            return Err(Error::unsupported(
                "INSERT … EMIT CHANGES takes no ON CONFLICT, RETURNING or WITH (upsert)",
            )
            .with_hint("in a table with a primary key, a row replaces the one of its key"));
        }
        let Some(query) = &ast.source else {
            return Err(Error::invalid(
                SqlState::SYNTAX_ERROR,
                "INSERT … EMIT CHANGES needs a query",
            ));
        };
        let columns: Vec<String> = ast
            .columns
            .iter()
            .filter_map(|name| name.0.last()?.as_ident().map(normalized))
            .collect();
        let _ddl = self.engine.ddl.lock().await;
        let mut draft = self.draft(query, sql.clone(), insert.emit).await?;
        self.write_into(&mut draft, target, &columns).await?;
        let name = self.free_sink_name(&self.name(target)?)?;
        self.begin_sink(name.clone(), draft, sql, IfExists::Refuse)
            .await?;
        let named = StringViewArray::from(vec![name.to_string()]);
        let batch = RecordBatch::try_new(begun_sink_columns(), vec![Arc::new(named)])?;
        Ok(self.rows(batch))
    }

    /// Plans a sink's query, and finds out whether its rows only come.
    async fn draft(
        &self,
        query: &ast::Query,
        query_sql: String,
        emit: Option<Emit>,
    ) -> Result<Draft> {
        let on_window_close = emit == Some(Emit::OnWindowClose);
        let mut drafts = Vec::with_capacity(2);
        // Views that are kept are read from their own sources where that says all: rows that only come have no other history.
        // But their windows are theirs: a sink's own `EMIT ON WINDOW CLOSE` says nothing of them.
        let ways: &[bool] = if on_window_close {
            &[false]
        } else {
            &[true, false]
        };
        for expands_kept in ways.iter().copied() {
            let planner = self.planner(self.snapshot(), Reading::Live);
            let planner = planner.expanding_kept(expands_kept);
            let planner = match on_window_close {
                true => planner.closing_windows(),
                false => planner,
            };
            let plan = planner.query(query, &[]).await?;
            self.refuse_policed_source(&planner, "a sink")?;
            check_repeatable(&plan, "a sink")?;
            check_followed(&plan, "a sink")?;
            let columns = query_columns(&roomy(&plan), &[])?;
            let (_, dataflow) = planner.followed(plan, None).await?;
            if dataflow.topics().next().is_none() {
                return Err(weir_streaming::Error::ReadsNoStream.into());
            }
            let only_grows = dataflow.only_grows();
            drafts.push(Draft {
                sink: Sink {
                    query: View {
                        sql: query_sql.clone(),
                        columns,
                        named_columns: false,
                        default_schema: self.variables.schema().to_owned(),
                    },
                    from: None,
                    expands_kept,
                    on_window_close,
                    target: None,
                    target_columns: Vec::new(),
                    options: BTreeMap::new(),
                    paused: false,
                },
                depends_on: planner.named_objects(),
                only_grows,
                made: None,
            });
            if only_grows {
                break;
            }
        }
        let draft = drafts.pop();
        draft.ok_or_else(|| Error::new(Kind::Internal, "a sink without a plan"))
    }

    /// Lets a sink write into a stream or a table.
    async fn write_into(
        &self,
        draft: &mut Draft,
        into: &ast::ObjectName,
        columns: &[String],
    ) -> Result<()> {
        let snapshot = self.snapshot();
        let target = snapshot.relation(&self.name(into)?);
        let target = target.map_err(|error| Error::from(error).with_position(position_of(into)))?;
        let refused = |message: String, hint: &str| {
            let error = Error::unsupported(message).with_hint(hint);
            Err(error.with_position(position_of(into)))
        };
        match target.kind() {
            ObjectKind::Stream if matches!(&target.body, Body::Stream(stream) if stream.is_changelog()) =>
            {
                return refused(
                    format!("{} shows what is kept elsewhere", target.describe()),
                    "write changes to its topic: WITH (connector = 'topic', topic = '…', envelope = 'upsert' or 'debezium', key = '…')",
                );
            }
            ObjectKind::Stream if !draft.only_grows => {
                return refused(
                    format!(
                        "{} takes rows that only come, but rows of this query change and go",
                        target.describe()
                    ),
                    "write them into a table with a primary key, or into a topic: WITH (connector = 'topic', envelope = 'upsert', key = '…'), or envelope 'changelog' or 'debezium'",
                );
            }
            ObjectKind::Table if !draft.only_grows && target.primary_key().is_empty() => {
                return refused(
                    format!(
                        "rows of this query change and go, and {} has no primary key to find them by",
                        target.describe()
                    ),
                    "create the table with a PRIMARY KEY",
                );
            }
            ObjectKind::Stream if crate::rows::is_raw(target) => {
                return refused(
                    format!("{} has no columns of its own", target.describe()),
                    "write to its topic: WITH (connector = 'topic', topic = '…')",
                );
            }
            ObjectKind::Stream | ObjectKind::Table => {}
            _ => {
                return Err(Error::invalid(
                    SqlState::WRONG_OBJECT_TYPE,
                    format!("{} cannot be written to", target.describe()),
                )
                .with_position(position_of(into)));
            }
        }
        self.refuse_circle(&snapshot, draft, target)?;
        draft.sink.target = Some(target.id);
        draft.sink.target_columns = columns.to_vec();
        draft.depends_on.insert(target.id);
        let planner = self.planner(Arc::clone(&snapshot), Reading::Live);
        let planner = planner.expanding_kept(draft.sink.expands_kept);
        let planner = match draft.sink.on_window_close {
            true => planner.closing_windows(),
            false => planner,
        };
        let plan = sinks::plan(
            &planner,
            target,
            self.rights.principal().account(),
            &draft.sink,
        )
        .await?;
        check_repeatable(&plan, "a sink")
    }

    /// Lets a sink write where its options say.
    async fn write_elsewhere(
        &self,
        draft: &mut Draft,
        name: &ObjectName,
        mut options: Options,
    ) -> Result<()> {
        match options.take::<String>("connector")?.as_deref() {
            Some("topic") => self.write_to_topic(draft, name, options).await,
            Some(sinks::FILES) => self.write_to_files(draft, name, options),
            Some(other) => Err(Error::unsupported(format!(
                "connector {other:?} is not supported yet"
            ))
            .with_hint("use 'topic', a topic of the embedded log, or 'files'")),
            None => Err(Error::invalid(
                SqlState::INVALID_PARAMETER_VALUE,
                "a sink needs a target",
            )
            .with_hint("name a stream or a table with INTO, or a place: WITH (connector = 'topic', …)")),
        }
    }

    async fn write_to_topic(
        &self,
        draft: &mut Draft,
        name: &ObjectName,
        mut options: Options,
    ) -> Result<()> {
        let topic = match options.take::<TopicName>("topic")? {
            Some(topic) => topic,
            None => topic_name(name)?,
        };
        let partitions = options.take::<u32>("partitions")?;
        if partitions.is_some_and(|partitions| !(1..=PARTITIONS_MAX).contains(&partitions)) {
            return Err(Error::invalid(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("option \"partitions\" must be from 1 to {PARTITIONS_MAX}"),
            ));
        }
        let named = sinks::envelope_of(&mut options)?;
        let envelope = match named {
            Some(envelope) if envelope.says_deletions() || draft.only_grows => envelope,
            None if draft.only_grows => Envelope::Append,
            _ => {
                return Err(Error::unsupported(
                    "rows of this query change and go, and plain records cannot say so",
                )
                .with_hint(
                    "add envelope = 'upsert' and key = '…' for the newest row of each key, or envelope = 'changelog' or 'debezium' for each change",
                ));
            }
        };
        let schema = sinks::record_schema(&self.engine, &draft.sink, topic.as_str(), &mut options)?;
        let schema = Arc::new(schema);
        let clock = Arc::clone(&self.engine.clock);
        // What does not go together is found before anything is made.
        weir_connectors::topic::ChangeEncoder::new(Arc::clone(&schema), envelope, 1, clock)?;
        let register = async |schema: Option<NewSchema>| match schema {
            Some(schema) => self.engine.register_schema(schema).await,
            None => Ok(()),
        };
        let target = match self.engine.log.topic(&topic) {
            Some(there) => {
                let stored = self.snapshot();
                let stored = stored.by_topic(there.id());
                let stream = stored
                    .iter()
                    .find(|entry| entry.kind() == ObjectKind::Stream);
                let Some(stream) = stream.filter(|_| !is_internal(&topic)) else {
                    return Err(Error::invalid(
                        SqlState::WRONG_OBJECT_TYPE,
                        format!("topic \"{topic}\" does not take records"),
                    )
                    .with_hint("give the sink a topic of another name: topic = '…'"));
                };
                let there = there.spec().partitions;
                if partitions.is_some_and(|partitions| partitions != there) {
                    return Err(Error::invalid(
                        SqlState::INVALID_PARAMETER_VALUE,
                        format!("topic \"{topic}\" has {there} partitions already"),
                    )
                    .with_hint("leave option \"partitions\" out"));
                }
                options.finish()?;
                let snapshot = self.snapshot();
                // A record is one of every stream of the topic.
                for entry in stored {
                    self.rights.require(Privilege::Insert, entry, &snapshot)?;
                }
                self.refuse_circle(&snapshot, draft, stream)?;
                register(schema.schema_to_register(&name.name)?).await?;
                stream.id
            }
            None => {
                let config = TopicConfig {
                    cleanup: match envelope {
                        Envelope::Upsert => Cleanup::Compact,
                        _ => Cleanup::Delete,
                    },
                    ..TopicConfig::default()
                };
                let config = topic_config::take(&mut options, config)?;
                options.finish()?;
                let stream = self.free_stream_name(name, &topic);
                let partitions = partitions.unwrap_or(1);
                // A schema that is there already is no matter for who tries again; a stream would be in the way.
                register(schema.schema_to_register(&name.name)?).await?;
                let made = self
                    .create_raw_stream(&stream, &topic, partitions, config)
                    .await?;
                draft.made = Some(made);
                made
            }
        };
        draft.sink.target = Some(target);
        draft
            .sink
            .options
            .insert("topic".to_owned(), topic.to_string());
        draft.depends_on.insert(target);
        Ok(())
    }

    fn write_to_files(
        &self,
        draft: &mut Draft,
        name: &ObjectName,
        mut options: Options,
    ) -> Result<()> {
        if !draft.only_grows {
            return Err(Error::unsupported(
                "rows of this query change and go, and files that are written stay as they are",
            )
            .with_hint("write rows that only come, or the changes themselves into a topic: connector = 'topic', envelope = 'changelog'"));
        }
        let connection = options.take::<String>("connection")?;
        self.planner(self.snapshot(), Reading::Live).permit_files(
            &self.rights,
            connection.as_deref(),
            "write files",
        )?;
        if let Some(connection) = connection {
            let snapshot = self.snapshot();
            let connection = ObjectName::global(connection);
            let connection = snapshot.require(ObjectKind::Connection, &connection)?;
            draft.depends_on.insert(connection.id);
        }
        let new = NewObject {
            depends_on: draft.depends_on.clone(),
            ..self.new_object(name.clone(), Body::Sink(draft.sink.clone()))
        };
        let entry = self.planned_entry(&new, IfExists::Refuse)?;
        // What does not go together is found now.
        sinks::files(&self.engine, &entry, &draft.sink).map(|_| ())
    }

    /// Commits a sink, and starts it. What was made for one that cannot be committed is taken away again.
    async fn begin_sink(
        &self,
        name: ObjectName,
        draft: Draft,
        sql: String,
        if_exists: IfExists,
    ) -> Result<()> {
        let new = NewObject {
            sql,
            depends_on: draft.depends_on,
            ..self.new_object(name.clone(), Body::Sink(draft.sink))
        };
        if let Err(error) = self.create(new, if_exists).await {
            if let Some(made) = draft.made
                && let Err(error) = self.take_back_stream(made).await
            {
                tracing::warn!(stream = %made, %error, "the stream of a sink that was not made stays");
            }
            return Err(error);
        }
        let snapshot = self.snapshot();
        let entry = snapshot.get(&name);
        let entry = entry.ok_or_else(|| Error::new(Kind::Internal, "a sink that is not there"))?;
        self.engine.sinks.run(&self.engine, entry).await;
        Ok(())
    }

    /// Removes a stream that was made a moment ago, and its topic.
    async fn take_back_stream(&self, id: ObjectId) -> Result<()> {
        let snapshot = self.snapshot();
        let topic = snapshot.require_id(id)?.topic().map(|(_, topic)| topic);
        let changes = snapshot.remove(&[id], false)?;
        self.commit(&snapshot, changes).await?;
        if let Some(topic) = topic {
            self.release_topic(topic).await;
        }
        Ok(())
    }

    /// Refuses a sink that would read what it writes.
    fn refuse_circle(&self, snapshot: &Snapshot, draft: &Draft, target: &Entry) -> Result<()> {
        // All that changes when the target does.
        let mut moved = BTreeSet::from([target.id]);
        let mut open = vec![target.id];
        while let Some(id) = open.pop() {
            let shares_topic = snapshot.by_id(id).and_then(|entry| entry.topic());
            let same_topic = shares_topic.map(|(_, topic)| snapshot.by_topic(topic));
            let same_topic = same_topic.unwrap_or_default().iter().map(|entry| entry.id);
            let dependants = snapshot.dependants(id).into_iter();
            let next = dependants.filter_map(|entry| match &entry.body {
                Body::Sink(sink) if sink.target == Some(id) => None,
                Body::Sink(sink) => sink.target,
                Body::View(_) | Body::MaterializedView(_) => Some(entry.id),
                _ => None,
            });
            let next: Vec<ObjectId> = next.chain(same_topic).collect();
            open.extend(next.into_iter().filter(|id| moved.insert(*id)));
        }
        if draft.depends_on.is_disjoint(&moved) {
            return Ok(());
        }
        Err(Error::invalid(
            SqlState::INVALID_TABLE_DEFINITION,
            format!(
                "the sink would read what it writes to {}",
                target.describe()
            ),
        )
        .with_hint("it would never come to an end: write to another stream or table"))
    }

    /// A name for the sink of an `INSERT`.
    fn free_sink_name(&self, target: &ObjectName) -> Result<ObjectName> {
        let snapshot = self.snapshot();
        let names = (1..u32::MAX).map(|number| {
            let name = format!("{}_insert_{number}", target.name);
            ObjectName::new(&target.schema, name)
        });
        let mut free = names.filter(|name| snapshot.get(name).is_none());
        free.next()
            .ok_or_else(|| Error::new(Kind::LimitExceeded, "there are too many sinks"))
    }

    /// A name for the stream that shows a sink's topic: the topic's, or else one beside the sink.
    fn free_stream_name(&self, sink: &ObjectName, topic: &TopicName) -> ObjectName {
        let wanted = ObjectName::public(topic.as_str());
        if wanted != *sink && self.snapshot().get(&wanted).is_none() {
            return wanted;
        }
        ObjectName::new(&sink.schema, format!("{}_topic", sink.name))
    }

    /// Makes a sink stand still, or go on.
    pub(super) async fn pause_sink(&self, entry: &Arc<Entry>, paused: bool) -> Result<()> {
        let snapshot = self.snapshot();
        let changes = snapshot.set_paused(entry.id, paused)?;
        let snapshot = self.commit(&snapshot, changes).await?;
        let Some(entry) = snapshot.by_id(entry.id) else {
            return Ok(());
        };
        match paused {
            true => self.engine.sinks.pause(&[entry.id]).await,
            false => self.engine.sinks.run(&self.engine, entry).await,
        }
        Ok(())
    }

    /// Ends the jobs of sinks that are about to be dropped.
    pub(super) async fn end_sinks(&self, ids: &[ObjectId]) {
        self.engine.sinks.end(&self.engine, ids).await;
    }

    /// Forgets how far sinks were that are gone.
    pub(super) async fn forget_sinks(&self, ids: &[ObjectId]) {
        for id in ids {
            let group_id = sinks::group_id(*id);
            match self.engine.log.groups().delete(&group_id).await {
                Ok(()) | Err(weir_topics::groups::GroupError::NotFound) => {}
                Err(error) => {
                    tracing::warn!(group = group_id, %error, "the offsets of a dropped sink stay");
                }
            }
        }
    }
}
