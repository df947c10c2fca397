//! `CREATE STREAM`: columns, the form of its records, and the topic, which may be there already.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use weir_base::{Options, SqlState, TopicId, TopicName};
use weir_catalog::{
    Body, Column, DEFAULT_SCHEMA, Entry, IfExists, NewObject, ObjectId, ObjectKind, ObjectName,
    Privilege, Snapshot, Stream, Watermark,
};
use weir_connectors::topic::{Format, OnError, RAW_COLUMN, RecordFormat};
use weir_sql::statement;
use weir_topics::is_internal;
use weir_topics::{Topic, TopicConfig, TopicSpec};

use super::columns::schema_of;
use super::definitions::{column_of_field, if_exists, topic_exists, topic_name};
use super::{Execution, ident_position, normalized, position_of};
use crate::answer::Answer;
use crate::error::{Error, Result};
use crate::planning::{Reading, check_watermark, plan_expression};
use crate::rows::row_schema;
use crate::{history, topic_config};

/// Partitions that one stream may have.
pub(super) const PARTITIONS_MAX: u32 = 1024;
/// The option that names the topic of records that cannot be decoded.
pub(crate) const DEAD_LETTER_TOPIC: &str = "dead_letter.topic";

/// Where a stream's records are.
enum Place {
    /// In a topic that is there.
    There(Topic),
    /// In one that is to be made.
    New(TopicName),
}

impl Execution {
    pub(super) async fn create_stream(
        &self,
        create: statement::CreateStream,
        sql: String,
    ) -> Result<Answer> {
        let name = self.new_name(&create.name)?;
        let _ddl = self.engine.ddl.lock().await;
        let snapshot = self.snapshot();
        let mut options = Options::new(create.options.iter().cloned());
        let named_topic = options.take::<TopicName>("topic")?;
        let mut if_exists = if_exists(create.or_replace, create.if_not_exists)?;
        let gives_columns = !create.columns.is_empty() || takes_schema(&create.options);
        if gives_columns && shows_raw(&snapshot, &name, named_topic.as_ref()) {
            if_exists = IfExists::Replace;
        } else if self.exists(&name, ObjectKind::Stream, if_exists)? {
            return Ok(self.done("CREATE STREAM"));
        }
        let key_columns = key_columns(&mut options)?;
        let place = self.place(&snapshot, &name, named_topic.as_ref())?;
        if let Place::There(topic) = &place {
            self.authorise_topic(topic.id(), &snapshot)?;
        }
        let topic = match &place {
            Place::There(topic) => topic.name().clone(),
            Place::New(topic) => topic.clone(),
        };
        let schemas = self.engine.schemas();
        let is_changelog = names_changelog(&create.options);
        let has_key_columns = !key_columns.is_empty() || is_changelog;
        let format = RecordFormat::take(&mut options, has_key_columns, &schemas, topic.as_str())?;
        let is_raw = format.value == Format::Raw;
        let derived = match create.columns.is_empty() {
            true => format.value.columns()?,
            false => None,
        };
        if create.columns.is_empty() != is_raw && derived.is_none() {
            let (message, hint) = if is_raw {
                (
                    "a stream of raw values has no columns of its own",
                    "leave them out: its column is _value, of BYTEA",
                )
            } else {
                (
                    "a stream needs at least one column",
                    "CREATE STREAM bids (auction BIGINT, price BIGINT)",
                )
            };
            return Err(Error::invalid(SqlState::INVALID_TABLE_DEFINITION, message)
                .with_hint(hint)
                .with_position(position_of(&create.name)));
        }
        let planner = self.planner(Arc::clone(&snapshot), Reading::Bounded);
        let (mut columns, implied) = self.columns(&planner, &create.columns)?;
        columns.extend(derived.iter().flatten().map(|field| Column {
            nullable: field.is_nullable(),
            ..column_of_field(field)
        }));
        let key = self.key_columns(&mut columns, &create.primary_key)?;
        let checks = match is_changelog {
            false => self.checks(&name.name, &columns, implied, &create.checks)?,
            // They are the source's own.
            true => Vec::new(),
        };
        if is_changelog {
            check_changelog(&create, &columns, &key, &key_columns)?;
        }
        let watermark = self.watermark(create.watermark.as_ref(), &columns)?;

        if let Some(connector) = options.take::<String>("connector")?
            && connector != "topic"
        {
            return Err(Error::unsupported(format!(
                "connector {connector:?} is not supported yet"
            ))
            .with_hint("leave it out: the stream is then a topic of the embedded log"));
        }
        if options.take::<String>("idle_timeout")?.is_some() {
            return Err(Error::unsupported("option \"idle_timeout\" is not supported yet")
                .with_hint("a partition without rows holds the watermark back: choose a key or a number of partitions such that each has rows"));
        }
        let partitions = options.take::<u32>("partitions")?;
        if partitions.is_some_and(|partitions| !(1..=PARTITIONS_MAX).contains(&partitions)) {
            return Err(Error::invalid(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("option \"partitions\" must be from 1 to {PARTITIONS_MAX}"),
            ));
        }
        if is_raw {
            let value = Field::new(RAW_COLUMN, DataType::Binary, true);
            columns = vec![column_of_field(&value)];
        }
        let (key, key_columns) = match is_changelog {
            true => (None, key),
            false => {
                let key = one_key(options.take("key")?, key, &key_columns, is_raw)?;
                (key, key_columns)
            }
        };
        check_key_columns(&columns, &key_columns)?;
        let dead_letter_topic = dead_letter_topic(&mut options, format.on_error, &topic)?;
        let config = match &place {
            Place::There(topic) => topic.config(),
            Place::New(_) => TopicConfig::default(),
        };
        let config = topic_config::take(&mut options, config)?;
        let history = options.take::<String>(history::OPTION)?;
        options.finish()?;
        self.refuse_volatile_defaults(&columns)?;
        let partitions = agreed_partitions(&place, partitions)?;

        let mut kept = kept_options(&create.options);
        if let Some(topic) = &dead_letter_topic {
            kept.insert(DEAD_LETTER_TOPIC.to_owned(), topic.to_string());
        }
        if let Some(word) = history {
            kept.insert(history::OPTION.to_owned(), word);
        }
        let stream = Stream {
            columns,
            checks,
            topic: topic.clone(),
            topic_id: match &place {
                Place::There(topic) => topic.id(),
                Place::New(_) => TopicId::random(),
            },
            named_topic: named_topic.is_some(),
            partitions,
            key,
            key_columns,
            format: format.value.name().to_owned(),
            watermark,
            options: kept,
            retired_sources: BTreeSet::new(),
        };
        let mut new = NewObject {
            sql,
            ..self.new_object(name, Body::Stream(stream))
        };
        // What contradicts itself is found before anything is made.
        let planned = self.planned_entry(&new, if_exists)?;
        let new_schema =
            row_schema(&self.engine, &planned)?.schema_to_register(&planned.name.name)?;
        if let Body::Stream(stream) = &planned.body {
            history::check(&self.engine, &planned, &stream.options, &config)?;
        }
        if let Some(topic) = dead_letter_topic {
            let id = self.dead_letter_stream(topic, partitions).await?;
            new.depends_on.insert(id);
        }
        if let Some(new_schema) = new_schema {
            self.engine.register_schema(new_schema).await?;
        }
        match place {
            Place::There(topic) => {
                if config != topic.config() {
                    self.engine.log.configure(topic.id(), config).await?;
                }
                let created = self.create(new, if_exists).await?;
                self.release_replaced(&created).await;
            }
            Place::New(topic) => self.create_over(&topic, config, new, if_exists).await?,
        }
        self.engine.tend_dead_letters();
        Ok(self.done("CREATE STREAM"))
    }

    /// Makes the topic of a new stream, and commits both.
    pub(super) async fn create_over(
        &self,
        topic: &TopicName,
        config: TopicConfig,
        mut new: NewObject,
        if_exists: IfExists,
    ) -> Result<()> {
        let Body::Stream(stream) = &mut new.body else {
            return Err(Error::new(
                weir_base::Kind::Internal,
                "a stream that is none",
            ));
        };
        let spec = TopicSpec {
            partitions: stream.partitions,
            owned: true,
        };
        let made = self.engine.log.create_topic(topic, spec, config).await?;
        stream.topic_id = made.id();
        self.create_with_topic(new, if_exists, made.id()).await
    }

    /// The topic that a stream is to have. One that is named may be there: it is read then, with all that is in it.
    fn place(
        &self,
        snapshot: &Snapshot,
        name: &ObjectName,
        named: Option<&TopicName>,
    ) -> Result<Place> {
        if let Some(topic) = named {
            let Some(there) = self.engine.log.topic(topic) else {
                return Ok(Place::New(topic.clone()));
            };
            let stored = snapshot.by_topic(there.id());
            if is_internal(topic) || stored.iter().any(|entry| entry.kind() == ObjectKind::Table) {
                return Err(Error::invalid(
                    SqlState::WRONG_OBJECT_TYPE,
                    format!("topic \"{topic}\" holds no rows of streams"),
                )
                .with_hint("give the stream a topic of another name"));
            }
            return Ok(Place::There(there));
        }
        let topic = topic_name(name)?;
        let old = snapshot
            .get(name)
            .and_then(|entry| entry.topic().map(|(_, id)| id));
        if let Some(there) = self.engine.log.topic(&topic)
            && old != Some(there.id())
        {
            return Err(topic_exists(&topic));
        }
        // A replaced stream's topic is kept until the new definition is committed, so the new one has a name of its own.
        self.free_topic_name(topic, old.is_some()).map(Place::New)
    }

    /// The stream of raw values over the topic that bad records go to; it is made when it is not there.
    async fn dead_letter_stream(&self, topic: TopicName, partitions: u32) -> Result<ObjectId> {
        let snapshot = self.snapshot();
        let name = ObjectName::new(DEFAULT_SCHEMA, topic.as_str());
        if let Some(there) = self.engine.log.topic(&topic) {
            let raw = snapshot
                .by_topic(there.id())
                .iter()
                .find(|entry| crate::rows::is_raw(entry));
            return match raw {
                Some(entry) => {
                    self.rights.require(Privilege::Insert, entry, &snapshot)?;
                    Ok(entry.id)
                }
                None => Err(Error::invalid(
                    SqlState::WRONG_OBJECT_TYPE,
                    format!("topic \"{topic}\" does not take records of any form"),
                )
                .with_hint("name one of raw values: \"dead_letter.topic\" = '…'")),
            };
        }
        if let Some(taken) = snapshot.get(&name) {
            return Err(Error::new(
                weir_base::Kind::Conflict,
                format!("{} already exists", taken.describe()),
            )
            .with_sqlstate(SqlState::DUPLICATE_TABLE)
            .with_hint("name another topic: \"dead_letter.topic\" = '…'"));
        }
        let config = TopicConfig::default();
        self.create_raw_stream(&name, &topic, partitions, config)
            .await
    }

    /// Makes a topic, and the stream that shows its records as they are.
    pub(super) async fn create_raw_stream(
        &self,
        name: &ObjectName,
        topic: &TopicName,
        partitions: u32,
        config: TopicConfig,
    ) -> Result<ObjectId> {
        let value = Field::new(RAW_COLUMN, DataType::Binary, true);
        let stream = Stream {
            columns: vec![column_of_field(&value)],
            checks: vec![],
            topic: topic.clone(),
            topic_id: TopicId::random(),
            named_topic: topic.as_str() != name.name,
            partitions,
            key: None,
            key_columns: vec![],
            format: Format::Raw.name().to_owned(),
            watermark: None,
            options: BTreeMap::new(),
            retired_sources: BTreeSet::new(),
        };
        let new = self.new_object(name.clone(), Body::Stream(stream));
        self.create_over(topic, config, new, IfExists::Refuse)
            .await?;
        Ok(self.snapshot().relation(name)?.id)
    }

    fn watermark(
        &self,
        declared: Option<&statement::Watermark>,
        columns: &[Column],
    ) -> Result<Option<Watermark>> {
        let Some(declared) = declared else {
            return Ok(None);
        };
        let name = normalized(&declared.column);
        let place = ident_position(&declared.column);
        let column = columns
            .iter()
            .find(|column| column.name == name)
            .ok_or_else(|| {
                Error::invalid(
                    SqlState::UNDEFINED_COLUMN,
                    format!("column {name:?} of the watermark does not exist"),
                )
                .with_position(place)
            })?;
        let is_time = |data_type: &arrow::datatypes::DataType| {
            matches!(data_type, arrow::datatypes::DataType::Timestamp(..))
        };
        if !is_time(&column.data_type) {
            return Err(Error::invalid(
                SqlState::DATATYPE_MISMATCH,
                format!(
                    "the watermark's column {name:?} must be a TIMESTAMP, not {}",
                    column.sql_type
                ),
            )
            .with_position(place));
        }
        let schema = datafusion::common::DFSchema::try_from(schema_of(columns).as_ref().clone())?;
        let expr = plan_expression(&self.engine.base_state, declared.expr.clone(), &schema)?;
        check_watermark(&expr, &declared.sql)?;
        let data_type = datafusion::logical_expr::ExprSchemable::get_type(&expr, &schema)?;
        if !is_time(&data_type) {
            return Err(Error::invalid(
                SqlState::DATATYPE_MISMATCH,
                format!(
                    "the watermark {} must be a TIMESTAMP, not {data_type}",
                    declared.sql
                ),
            ));
        }
        Ok(Some(Watermark {
            column: name,
            sql: declared.sql.clone(),
        }))
    }

    /// Refuses defaults that each row needs its own value of: rows of an ingest share one.
    fn refuse_volatile_defaults(&self, columns: &[Column]) -> Result<()> {
        for column in columns {
            let Some(sql) = &column.default else { continue };
            let expr =
                crate::rows::expression(&self.engine, sql, &datafusion::common::DFSchema::empty())?;
            if crate::rows::is_volatile(&expr) {
                return Err(Error::unsupported(format!(
                    "the default {sql} of column {:?} gives another value each time, which a stream cannot have",
                    column.name
                ))
                .with_hint("give the value with each row, or use a table"));
            }
        }
        Ok(())
    }
}

/// Whether records tell how rows changed.
fn names_changelog(options: &[(String, String)]) -> bool {
    let mut options = options.iter();
    options.any(|(key, format)| key == "format" && Format::names_changelog(format))
}

/// Checks what is declared of rows that somebody else owns.
fn check_changelog(
    create: &statement::CreateStream,
    columns: &[Column],
    key: &[String],
    key_columns: &[String],
) -> Result<()> {
    let refused = |message: &str, hint: &str| {
        Err(Error::invalid(SqlState::INVALID_TABLE_DEFINITION, message)
            .with_hint(hint)
            .with_position(position_of(&create.name)))
    };
    if key.is_empty() || !key_columns.is_empty() {
        return refused(
            "what tells the rows of this format apart is their PRIMARY KEY",
            "CREATE STREAM users (id BIGINT PRIMARY KEY, name TEXT) WITH (format = 'debezium_json')",
        );
    }
    if !create.checks.is_empty() || columns.iter().any(|column| column.default.is_some()) {
        return refused(
            "rows that somebody else owns have no CHECK and no DEFAULT here",
            "leave them out: the source has seen to them",
        );
    }
    if create.watermark.is_some() {
        return refused("rows that change have no WATERMARK", "leave it out");
    }
    Ok(())
}

/// Whether values are of a format whose schema can make the columns.
fn takes_schema(options: &[(String, String)]) -> bool {
    let mut formats = options
        .iter()
        .filter(|(key, _)| key.eq_ignore_ascii_case("format"));
    formats.any(|(_, format)| matches!(format.as_str(), "avro" | "protobuf"))
}

/// Whether the stream of that name shows the raw values of the topic: as a topic does that a client made, until somebody
/// gives it columns.
fn shows_raw(snapshot: &Snapshot, name: &ObjectName, topic: Option<&TopicName>) -> bool {
    let there = snapshot.get(name).map(|entry: &Arc<Entry>| &entry.body);
    matches!(there, Some(Body::Stream(stream)) if stream.is_raw() && Some(&stream.topic) == topic)
}

/// The columns that are in keys alone: `"key.columns" = 'a, b'`.
fn key_columns(options: &mut Options) -> Result<Vec<String>> {
    let names = options.take::<String>("key.columns")?;
    Ok(names
        .iter()
        .flat_map(|names| names.split(','))
        .map(|name| name.trim().to_owned())
        .collect())
}

fn check_key_columns(columns: &[Column], key: &[String]) -> Result<()> {
    if let Some(unknown) = key
        .iter()
        .find(|name| columns.iter().all(|column| column.name != **name))
    {
        return Err(Error::invalid(
            SqlState::UNDEFINED_COLUMN,
            format!("column {unknown:?} of option \"key.columns\" does not exist"),
        ));
    }
    if !key.is_empty() && key.len() == columns.len() {
        return Err(Error::invalid(
            SqlState::INVALID_TABLE_DEFINITION,
            "all columns are in the records' keys, and none is in their values",
        ));
    }
    Ok(())
}

/// The one column whose value is also the records' key.
fn one_key(
    option: Option<String>,
    primary_key: Vec<String>,
    key_columns: &[String],
    is_raw: bool,
) -> Result<Option<String>> {
    match (option, primary_key.as_slice()) {
        (None, []) => Ok(None),
        _ if !key_columns.is_empty() => Err(Error::invalid(
            SqlState::INVALID_TABLE_DEFINITION,
            "a key is given twice",
        )
        .with_hint(
            "\"key.columns\" are in the records' keys alone; key and PRIMARY KEY name a column that is in values too",
        )),
        (None, [key]) | (Some(_), [key]) => Ok(Some(key.clone())),
        (Some(_), []) if is_raw => Err(Error::unsupported(
            "option \"key\" of a stream of raw values",
        )
        .with_hint("a Kafka producer gives each record its key")),
        (Some(key), []) => Ok(Some(key)),
        (_, _) => Err(Error::unsupported("a stream's key has one column")
            .with_hint("name the column by which rows are partitioned")),
    }
}

/// Where records go that cannot be decoded, if they go anywhere.
fn dead_letter_topic(
    options: &mut Options,
    on_error: OnError,
    topic: &TopicName,
) -> Result<Option<TopicName>> {
    let named = options.take::<TopicName>(DEAD_LETTER_TOPIC)?;
    let invalid = |message: String| Error::invalid(SqlState::INVALID_PARAMETER_VALUE, message);
    match (on_error, named) {
        (OnError::DeadLetter, Some(named)) if named == *topic => Err(invalid(format!(
            "option \"{DEAD_LETTER_TOPIC}\" names the stream's own topic"
        ))),
        (OnError::DeadLetter, Some(named)) => Ok(Some(named)),
        (OnError::DeadLetter, None) => TopicName::new(format!("{topic}.dead_letter"))
            .map(Some)
            .map_err(|error| {
                invalid(error.to_string())
                    .with_hint(format!("name it: \"{DEAD_LETTER_TOPIC}\" = '…'"))
            }),
        (_, Some(_)) => Err(invalid(format!(
            "option \"{DEAD_LETTER_TOPIC}\" goes with on_error = 'dead_letter'"
        ))),
        (_, None) => Ok(None),
    }
}

fn agreed_partitions(place: &Place, given: Option<u32>) -> Result<u32> {
    match (place, given) {
        (Place::There(topic), Some(given)) if topic.spec().partitions != given => {
            Err(Error::invalid(
                SqlState::INVALID_PARAMETER_VALUE,
                format!(
                    "topic \"{}\" has {} partitions, not {given}",
                    topic.name(),
                    topic.spec().partitions
                ),
            )
            .with_hint("leave option \"partitions\" out"))
        }
        (Place::There(topic), _) => Ok(topic.spec().partitions),
        (Place::New(_), given) => Ok(given.unwrap_or(1)),
    }
}

/// The options that say how records are encoded, as they were given.
fn kept_options(given: &[(String, String)]) -> BTreeMap<String, String> {
    given
        .iter()
        .map(|(key, value)| (key.to_lowercase(), value.clone()))
        .filter(|(key, _)| RecordFormat::OPTIONS.contains(&key.as_str()))
        .collect()
}
