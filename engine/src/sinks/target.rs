//! Where a sink writes to: a stream, a table, or a topic in an envelope.

use std::sync::Arc;
use std::time::Duration;

use weir_base::{ByteSize, Classify, Options, SqlState, parse_duration};
use weir_catalog::{Entry, ObjectId, ObjectKind, Sink};
use weir_connectors::files::FolderWriter;
use weir_connectors::topic::{
    ChangeEncoder, Envelope, RecordFormat, RowColumn, RowSchema, SourceProgress,
    TransactionalWriter,
};
use weir_streaming::{Dataflow, FileSink, Output, Rollover, RowCheck, TableSink, TopicSink};
use weir_topics::Topic;

use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::ingest::Checks;
use crate::planning::Planner;
use crate::planning::files::connection as connection_of;
use crate::rate::RATE;
use crate::rows::row_schema;

/// The connector of files.
pub(crate) const FILES: &str = "files";
/// Rows that become files at once, unless the options say otherwise.
const ROLLOVER_ROWS: u64 = 1_000_000;
/// Bytes of rows in memory that become files at once.
const ROLLOVER_BYTES: u64 = 64 << 20;
/// How long rows wait to become files at the most.
const ROLLOVER_INTERVAL: Duration = Duration::from_secs(60);

/// The group whose offsets say how far a sink is, and the transactional id under which it writes.
pub(crate) fn group_id(sink: ObjectId) -> String {
    format!("{GROUP_PREFIX}{sink}")
}

const GROUP_PREFIX: &str = "weir.sink.";

/// Whether a consumer group, or a transactional id, is a sink's: what changes it changes what the sink takes for written.
pub fn is_of_sink(id: &str) -> bool {
    id.starts_with(GROUP_PREFIX)
}

/// The stream or table whose columns a sink's rows have; none where they have columns of their own.
pub(super) fn written_into(sink: &Sink) -> Option<ObjectId> {
    match sink.options.contains_key("connector") {
        true => None,
        false => sink.target,
    }
}

/// The form that a sink's changes have as records.
///
/// # Errors
/// When there is none of that name.
pub(crate) fn envelope_of(options: &mut Options) -> Result<Option<Envelope>> {
    let named = options.take::<String>("envelope")?;
    let envelope = named.map(|name| name.parse::<Envelope>()).transpose();
    envelope.map_err(|reason| {
        Error::invalid(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("option \"envelope\": {reason}"),
        )
    })
}

/// What the records of a sink's topic look like: its query's columns, in the format and under the key that its options say.
///
/// # Errors
/// When the options do not go with the columns.
pub(crate) fn record_schema(
    engine: &Shared,
    sink: &Sink,
    topic: &str,
    options: &mut Options,
) -> Result<RowSchema> {
    let key = options.take::<String>("key")?;
    let key = key.iter().flat_map(|key| key.split(','));
    let columns = &sink.query.columns;
    let places = key.map(|name| {
        let name = name.trim();
        let place = columns.iter().position(|column| column.name == name);
        place.ok_or_else(|| {
            let known = columns.iter().map(|column| column.name.as_str());
            let error = Error::invalid(
                SqlState::UNDEFINED_COLUMN,
                format!("column {name:?} of option \"key\" is not among the query's columns"),
            );
            match weir_base::nearest::nearest(name, known) {
                Some(nearest) => error.with_hint(format!("did you mean {nearest:?}?")),
                None => error,
            }
        })
    });
    let places = places.collect::<Result<Vec<_>>>()?;
    let columns = columns.iter().map(|column| RowColumn::new(column.field()));
    let schema = RowSchema::new(columns.collect(), places)?;
    if options.take::<String>("on_error")?.is_some() {
        return Err(Error::unsupported(
            "option \"on_error\" is for records that are read, and a sink writes them",
        ));
    }
    let format = RecordFormat::take(options, false, &engine.schemas(), topic)?;
    Ok(schema.with_format(format)?)
}

/// The columns, by their places, that must tell the rows of a changing query apart.
pub(super) fn unique_key(engine: &Shared, sink: &Sink) -> Result<Option<Vec<usize>>> {
    let snapshot = engine.catalog.snapshot();
    if let Some(id) = written_into(sink) {
        let target = snapshot.require_id(id)?;
        let place = |name: &String| {
            let mut columns = target.columns().iter();
            columns.position(|column| column.name == *name)
        };
        let key: Vec<usize> = target.primary_key().iter().filter_map(place).collect();
        return Ok((!key.is_empty()).then_some(key));
    }
    let mut options = given(sink);
    if envelope_of(&mut options)? != Some(Envelope::Upsert) {
        return Ok(None);
    }
    let topic = topic_of(engine, sink)?;
    let schema = record_schema(engine, sink, topic.name().as_str(), &mut options)?;
    Ok(Some(schema.key().to_vec()))
}

/// What takes a sink's changes.
pub(super) fn open(
    engine: &Arc<Shared>,
    planner: &Planner,
    entry: &Entry,
    sink: &Sink,
    dataflow: &Dataflow,
) -> Result<Output> {
    let sources = dataflow.topics().cloned().collect();
    let progress = SourceProgress::new(&engine.log, group_id(entry.id), sources);
    let connector = sink.options.get("connector").map(String::as_str);
    if connector == Some(FILES) {
        let (writer, rollover) = files(engine, entry, sink)?;
        let (state, context) = (planner.state.clone(), planner.task_context());
        let sink = FileSink::new(writer, rollover, entry.arrow_schema(), state, context);
        return Ok(Output::Sink(Box::new(sink)));
    }
    let Some(id) = written_into(sink) else {
        let topic = topic_of(engine, sink)?;
        let mut options = given(sink);
        let envelope = envelope_of(&mut options)?.unwrap_or(Envelope::Append);
        let schema = record_schema(engine, sink, topic.name().as_str(), &mut options)?;
        return topic_sink(engine, topic, schema, envelope, progress, None);
    };
    let snapshot = engine.catalog.snapshot();
    let target = Arc::clone(snapshot.require_id(id)?);
    let check = row_check(engine, &target)?;
    match target.kind() {
        ObjectKind::Stream => {
            let topic = engine.topic_of(&target)?;
            let schema = row_schema(engine, &target)?;
            topic_sink(engine, topic, schema, Envelope::Append, progress, check)
        }
        _ => {
            let table = engine.keyed_table(&target)?;
            let sink = TableSink::new(table, progress, check)?;
            Ok(Output::Sink(Box::new(sink)))
        }
    }
}

/// What writes a sink's files, and when.
///
/// # Errors
/// When an option is missing, unknown or wrong, or the place is not allowed.
pub(crate) fn files(
    engine: &Shared,
    entry: &Entry,
    sink: &Sink,
) -> Result<(FolderWriter, Rollover)> {
    let mut options = given(sink);
    options.take::<String>("connector")?;
    let location = options.take::<String>("location")?.ok_or_else(|| {
        Error::invalid(
            SqlState::INVALID_PARAMETER_VALUE,
            "a sink to files needs option \"location\"",
        )
        .with_hint("name a folder: location = '/data/out/' or 's3://bucket/out/'")
    })?;
    let connection = options.take::<String>("connection")?;
    let connection = connection
        .map(|name| connection_of(&engine.catalog.snapshot(), &name))
        .transpose()?;
    let partition_by = options.take::<String>("partition_by")?;
    let partition_by = partition_by.iter().flat_map(|names| names.split(','));
    let partition_by = partition_by.map(|name| name.trim().to_owned()).collect();
    let rollover = Rollover {
        rows: options.take("rollover_rows")?.unwrap_or(ROLLOVER_ROWS),
        bytes: options
            .take::<ByteSize>("rollover_bytes")?
            .map_or(ROLLOVER_BYTES, |bytes| bytes.0),
        interval: match options.take::<String>("rollover_interval")? {
            None => ROLLOVER_INTERVAL,
            Some(text) => parse_duration(&text).map_err(|reason| {
                Error::invalid(
                    SqlState::INVALID_PARAMETER_VALUE,
                    format!("option \"rollover_interval\": {reason}"),
                )
            })?,
        },
    };
    if rollover.rows == 0 || rollover.bytes == 0 {
        return Err(Error::invalid(
            SqlState::INVALID_PARAMETER_VALUE,
            "options \"rollover_rows\" and \"rollover_bytes\" must be more than zero",
        ));
    }
    let writer = FolderWriter::new(
        &engine.stores,
        entry.arrow_schema(),
        &location,
        connection.as_ref(),
        partition_by,
        // Of this sink alone, also when another gets its name.
        format!("{}-{:x}", entry.id, entry.created_at_ms),
        &mut options,
    )?;
    options.finish()?;
    Ok((writer, rollover))
}

fn topic_sink(
    engine: &Shared,
    topic: Topic,
    schema: RowSchema,
    envelope: Envelope,
    progress: SourceProgress,
    check: Option<RowCheck>,
) -> Result<Output> {
    let partitions = topic.spec().partitions;
    let clock = Arc::clone(&engine.clock);
    let encoder = ChangeEncoder::new(Arc::new(schema), envelope, partitions, clock)?;
    let writer = TransactionalWriter::new(&engine.log, topic, progress);
    let sink = TopicSink::new(encoder, writer, check);
    Ok(Output::Sink(Box::new(sink)))
}

/// The topic that a sink's options name, which a stream shows.
fn topic_of(engine: &Shared, sink: &Sink) -> Result<Topic> {
    let snapshot = engine.catalog.snapshot();
    let target = sink.target.and_then(|id| snapshot.by_id(id));
    let target = target
        .ok_or_else(|| Error::new(weir_base::Kind::Internal, "a sink's topic is not known"))?;
    engine.topic_of(target)
}

/// What a sink's options say of where it writes to.
fn given(sink: &Sink) -> Options {
    let given = sink.options.iter().filter(|(key, _)| *key != RATE);
    Options::new(given.map(|(key, value)| (key.clone(), value.clone())))
}

/// What the constraints of a stream or table say of rows.
fn row_check(engine: &Arc<Shared>, target: &Arc<Entry>) -> Result<Option<RowCheck>> {
    if target.checks().is_empty() {
        return Ok(None);
    }
    let checks = Checks::of(engine, target)?;
    let target = Arc::clone(target);
    Ok(Some(RowCheck::new(move |batch| {
        checks.check(batch, &target).map_err(|error| {
            let told = weir_connectors::Error::new(error.kind(), error.to_string());
            let told = told.with_sqlstate(error.sqlstate());
            match error.hint() {
                Some(hint) => told.with_hint(hint),
                None => told,
            }
        })
    })))
}

impl Planner {
    /// An expression of the catalog, planned over the columns of `schema`.
    pub(super) fn expression(
        &self,
        sql: &str,
        schema: &datafusion::common::DFSchema,
    ) -> Result<datafusion::logical_expr::Expr> {
        let expr = weir_sql::parse_expr(sql).map_err(|error| Error::from_classified(&error))?;
        crate::planning::plan_expression(&self.state, expr, schema)
    }
}
