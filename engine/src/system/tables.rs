//! The `weir.*` tables.

use std::collections::{BTreeMap, HashMap};

use datafusion::common::Result;
use weir_base::TopicId;
use weir_catalog::secret::REDACTED;
use weir_catalog::{Body, Connection, Entry, ObjectKind, Stream, quote_ident, quote_literal};

use super::System;
use super::facts::TopicFacts;
use super::information_schema::all_columns;
use super::jobs;
use super::rows::{Definition, Rows, Type, Value, int};
use super::sinks;
use crate::history::HistoryMode;

use Type::{BigInt, Bool, Int, Text, Time};

pub(super) static TABLES: [Definition; 17] = [
    SCHEMAS,
    STREAMS,
    TABLES_TABLE,
    EXTERNAL_TABLES,
    VIEWS,
    MATERIALIZED_VIEWS,
    sinks::SINKS,
    jobs::JOBS,
    CONNECTIONS,
    COLUMNS,
    DEPENDENCIES,
    TOPICS,
    SEGMENTS,
    HISTORY,
    QUERIES,
    SETTINGS,
    FUNCTIONS,
];

const SCHEMAS: Definition = Definition {
    name: "schemas",
    columns: &[("name", Text), ("comment", Text), ("created_at", Time)],
    fill: |system, rows| {
        for entry in system.catalog.schemas() {
            // The schema `public` is there from the start, which no clock was asked for.
            let created_at = (entry.created_at_ms != 0).then_some(Value::Time(entry.created_at_ms));
            rows.push([
                ("name", (&entry.name.name).into()),
                ("comment", entry.comment.as_ref().into()),
                ("created_at", created_at.into()),
            ])?;
        }
        Ok(())
    },
};

const STREAMS: Definition = Definition {
    name: "streams",
    columns: &[
        ("schema", Text),
        ("name", Text),
        ("partitions", Int),
        ("format", Text),
        ("key", Text),
        ("watermark_column", Text),
        ("watermark", Text),
        ("topic", Text),
        ("records", BigInt),
        ("bytes", BigInt),
        ("history", Text),
        ("history_error", Text),
        ("comment", Text),
        ("created_at", Time),
    ],
    fill: streams,
};

const TABLES_TABLE: Definition = Definition {
    name: "tables",
    columns: &[
        ("schema", Text),
        ("name", Text),
        ("primary_key", Text),
        ("topic", Text),
        ("log_records", BigInt),
        ("bytes", BigInt),
        ("comment", Text),
        ("created_at", Time),
    ],
    fill: tables,
};

const EXTERNAL_TABLES: Definition = Definition {
    name: "external_tables",
    columns: &[
        ("schema", Text),
        ("name", Text),
        ("format", Text),
        ("location", Text),
        ("connection", Text),
        ("partitioned_by", Text),
        ("options", Text),
        ("comment", Text),
        ("created_at", Time),
    ],
    fill: external_tables,
};

const VIEWS: Definition = Definition {
    name: "views",
    columns: &[
        ("schema", Text),
        ("name", Text),
        ("definition", Text),
        ("comment", Text),
        ("created_at", Time),
    ],
    fill: |system, rows| {
        for entry in system.catalog.of_kind(ObjectKind::View) {
            let Body::View(view) = &entry.body else {
                continue;
            };
            rows.push([
                ("schema", (&entry.name.schema).into()),
                ("name", (&entry.name.name).into()),
                ("definition", (&view.sql).into()),
                ("comment", entry.comment.as_ref().into()),
                ("created_at", Value::Time(entry.created_at_ms)),
            ])?;
        }
        Ok(())
    },
};

const MATERIALIZED_VIEWS: Definition = Definition {
    name: "materialized_views",
    columns: &[
        ("schema", Text),
        ("name", Text),
        ("definition", Text),
        ("topic", Text),
        ("state", Text),
        ("comment", Text),
        ("created_at", Time),
    ],
    fill: |system, rows| {
        for entry in system.catalog.of_kind(ObjectKind::MaterializedView) {
            let Body::MaterializedView(kept) = &entry.body else {
                continue;
            };
            let status = system.facts.job(entry.id);
            rows.push([
                ("schema", (&entry.name.schema).into()),
                ("name", (&entry.name.name).into()),
                ("definition", (&kept.view.sql).into()),
                ("topic", kept.topic.as_str().into()),
                ("state", status.map(|status| status.state.as_str()).into()),
                ("comment", entry.comment.as_ref().into()),
                ("created_at", Value::Time(entry.created_at_ms)),
            ])?;
        }
        Ok(())
    },
};

const CONNECTIONS: Definition = Definition {
    name: "connections",
    columns: &[
        ("name", Text),
        ("type", Text),
        ("options", Text),
        ("comment", Text),
        ("created_at", Time),
    ],
    fill: |system, rows| {
        for entry in system.catalog.connections() {
            let Body::Connection(connection) = &entry.body else {
                continue;
            };
            rows.push([
                ("name", (&entry.name.name).into()),
                ("type", (&connection.kind).into()),
                ("options", connection_options(connection)),
                ("comment", entry.comment.as_ref().into()),
                ("created_at", Value::Time(entry.created_at_ms)),
            ])?;
        }
        Ok(())
    },
};

const COLUMNS: Definition = Definition {
    name: "columns",
    columns: &[
        ("schema", Text),
        ("relation", Text),
        ("relation_type", Text),
        ("name", Text),
        ("position", Int),
        ("data_type", Text),
        ("arrow_type", Text),
        ("nullable", Bool),
        ("default", Text),
        ("in_primary_key", Bool),
        ("comment", Text),
    ],
    fill: columns,
};

const DEPENDENCIES: Definition = Definition {
    name: "dependencies",
    columns: &[
        ("schema", Text),
        ("name", Text),
        ("type", Text),
        ("depends_on_schema", Text),
        ("depends_on_name", Text),
        ("depends_on_type", Text),
    ],
    fill: dependencies,
};

const TOPICS: Definition = Definition {
    name: "topics",
    columns: &[
        ("topic", Text),
        ("topic_id", Text),
        ("partition", Int),
        ("start_offset", BigInt),
        ("end_offset", BigInt),
        ("bytes", BigInt),
        ("schema", Text),
        ("name", Text),
        ("type", Text),
    ],
    fill: topics,
};

const SEGMENTS: Definition = Definition {
    name: "segments",
    columns: &[
        ("topic", Text),
        ("partition", Int),
        ("base_offset", BigInt),
        ("end_offset", BigInt),
        ("bytes", BigInt),
        ("min_timestamp", Time),
        ("max_timestamp", Time),
    ],
    fill: segments,
};

const HISTORY: Definition = Definition {
    name: "history",
    columns: &[
        ("schema", Text),
        ("stream", Text),
        ("partition", Int),
        ("location", Text),
        ("start_offset", BigInt),
        ("end_offset", BigInt),
        ("rows", BigInt),
        ("bytes", BigInt),
        ("min_timestamp", Time),
        ("max_timestamp", Time),
    ],
    fill: history,
};

/// The columns of `weir.queries` and `SHOW QUERIES`.
pub(super) const QUERY_COLUMNS: &[(&str, Type)] = &[
    ("query_id", Text),
    ("state", Text),
    ("live", Bool),
    ("started_at", Time),
    ("elapsed_ms", BigInt),
    ("rows", BigInt),
    ("bytes", BigInt),
    ("memory_bytes", BigInt),
    ("spilled_bytes", BigInt),
    ("error", Text),
    ("user", Text),
    ("sql", Text),
];

const QUERIES: Definition = Definition {
    name: "queries",
    columns: QUERY_COLUMNS,
    fill: queries,
};

const SETTINGS: Definition = Definition {
    name: "settings",
    columns: &[("name", Text), ("value", Text), ("description", Text)],
    fill: |system, rows| {
        for setting in system.facts.settings() {
            rows.push([
                ("name", setting.name.into()),
                ("value", setting.value.into()),
                ("description", setting.description.into()),
            ])?;
        }
        Ok(())
    },
};

/// The columns of `weir.functions` and `SHOW FUNCTIONS`.
pub(super) const FUNCTION_COLUMNS: &[(&str, Type)] = &[
    ("name", Text),
    ("type", Text),
    ("syntax", Text),
    ("description", Text),
];

const FUNCTIONS: Definition = Definition {
    name: "functions",
    columns: FUNCTION_COLUMNS,
    fill: functions,
};

/// The topics of streams and tables, with what the log knows of them.
fn topics_by_id(system: &System) -> HashMap<TopicId, TopicFacts> {
    let topics = system.facts.topics(false);
    topics.into_iter().map(|topic| (topic.id, topic)).collect()
}

fn topic_of<'a>(entry: &Entry, topics: &'a HashMap<TopicId, TopicFacts>) -> Option<&'a TopicFacts> {
    topics.get(&entry.topic()?.1)
}

/// What `weir.streams` and `SHOW STREAMS` both show of a stream.
pub(super) struct StreamFacts<'a> {
    pub(super) schema: Value,
    pub(super) name: Value,
    pub(super) partitions: Value,
    pub(super) format: Value,
    pub(super) records: Value,
    pub(super) bytes: Value,
    pub(super) comment: Value,
    entry: &'a Entry,
    stream: &'a Stream,
}

pub(super) fn stream_facts(system: &System) -> impl Iterator<Item = StreamFacts<'_>> {
    let topics = topics_by_id(system);
    let entries = system.catalog.of_kind(ObjectKind::Stream);
    entries.filter_map(move |entry| {
        let Body::Stream(stream) = &entry.body else {
            return None;
        };
        let topic = topic_of(entry, &topics);
        Some(StreamFacts {
            schema: (&entry.name.schema).into(),
            name: (&entry.name.name).into(),
            partitions: partition_count(stream, topic),
            format: (&stream.format).into(),
            records: topic.map(|topic| records(system, entry, topic)).into(),
            bytes: topic.map(TopicFacts::bytes).into(),
            comment: entry.comment.as_ref().into(),
            entry,
            stream,
        })
    })
}

/// How many partitions there are: a topic can be given more.
fn partition_count(stream: &Stream, topic: Option<&TopicFacts>) -> Value {
    let now = topic.and_then(|topic| i32::try_from(topic.partitions.len()).ok());
    Value::Int(now.unwrap_or(i32::try_from(stream.partitions).unwrap_or(i32::MAX)))
}

/// How many records of a stream there are: those of the log, and what only its history still has.
fn records(system: &System, entry: &Entry, topic: &TopicFacts) -> i64 {
    let files = system.facts.history(entry.id).into_iter();
    let older = files.filter(|file| {
        let partition = topic.partitions.iter().find(|it| it.id == file.partition);
        partition.is_some_and(|partition| file.end <= partition.start_offset)
    });
    let older: u64 = older.map(|file| file.rows).sum();
    topic
        .records()
        .saturating_add(i64::try_from(older).unwrap_or(i64::MAX))
}

fn streams(system: &System, rows: &mut Rows) -> Result<()> {
    for facts in stream_facts(system) {
        let (entry, stream) = (facts.entry, facts.stream);
        let watermark = stream.watermark.as_ref();
        rows.push([
            ("schema", facts.schema),
            ("name", facts.name),
            ("partitions", facts.partitions),
            ("format", facts.format),
            ("key", stream.key.as_ref().into()),
            (
                "watermark_column",
                watermark.map(|watermark| &watermark.column).into(),
            ),
            (
                "watermark",
                watermark.map(|watermark| &watermark.sql).into(),
            ),
            ("topic", stream.topic.as_str().into()),
            ("records", facts.records),
            ("bytes", facts.bytes),
            (
                "history",
                HistoryMode::of(stream).ok().map(HistoryMode::word).into(),
            ),
            (
                "history_error",
                system.facts.history_failure(entry.id).into(),
            ),
            ("comment", facts.comment),
            ("created_at", Value::Time(entry.created_at_ms)),
        ])?;
    }
    Ok(())
}

fn history(system: &System, rows: &mut Rows) -> Result<()> {
    for entry in system.catalog.of_kind(ObjectKind::Stream) {
        for file in system.facts.history(entry.id) {
            let time = |ms| (file.rows > 0).then_some(Value::Time(ms));
            rows.push([
                ("schema", (&entry.name.schema).into()),
                ("stream", (&entry.name.name).into()),
                ("partition", partition_number(file.partition.0)),
                ("location", file.location.into()),
                ("start_offset", file.start.0.into()),
                ("end_offset", file.end.0.into()),
                ("rows", file.rows.into()),
                ("bytes", file.bytes.into()),
                ("min_timestamp", time(file.min_timestamp_ms).into()),
                ("max_timestamp", time(file.max_timestamp_ms).into()),
            ])?;
        }
    }
    Ok(())
}

fn tables(system: &System, rows: &mut Rows) -> Result<()> {
    let topics = topics_by_id(system);
    for entry in system.catalog.of_kind(ObjectKind::Table) {
        let Body::Table(table) = &entry.body else {
            continue;
        };
        let topic = topic_of(entry, &topics);
        rows.push([
            ("schema", (&entry.name.schema).into()),
            ("name", (&entry.name.name).into()),
            ("primary_key", names_text(table.primary_key.iter())),
            ("topic", table.topic.as_str().into()),
            ("log_records", topic.map(TopicFacts::records).into()),
            ("bytes", topic.map(TopicFacts::bytes).into()),
            ("comment", entry.comment.as_ref().into()),
            ("created_at", Value::Time(entry.created_at_ms)),
        ])?;
    }
    Ok(())
}

fn external_tables(system: &System, rows: &mut Rows) -> Result<()> {
    for entry in system.catalog.of_kind(ObjectKind::ExternalTable) {
        let Body::ExternalTable(table) = &entry.body else {
            continue;
        };
        let partitions = table.partitioned_by.iter().map(|column| &column.name);
        rows.push([
            ("schema", (&entry.name.schema).into()),
            ("name", (&entry.name.name).into()),
            ("format", (&table.format).into()),
            ("location", (&table.location).into()),
            ("connection", table.connection.as_ref().into()),
            ("partitioned_by", names_text(partitions)),
            ("options", options_text(&table.options)),
            ("comment", entry.comment.as_ref().into()),
            ("created_at", Value::Time(entry.created_at_ms)),
        ])?;
    }
    Ok(())
}

fn columns(system: &System, rows: &mut Rows) -> Result<()> {
    for entry in system.catalog.relations() {
        for (position, column) in all_columns(entry).enumerate() {
            rows.push([
                ("schema", (&entry.name.schema).into()),
                ("relation", (&entry.name.name).into()),
                ("relation_type", entry.kind().to_string().into()),
                ("name", (&column.name).into()),
                ("position", int(position + 1)),
                ("data_type", (&column.sql_type).into()),
                ("arrow_type", column.data_type.to_string().into()),
                ("nullable", column.nullable.into()),
                ("default", column.default.as_ref().into()),
                (
                    "in_primary_key",
                    entry.primary_key().contains(&column.name).into(),
                ),
                ("comment", column.comment.as_ref().into()),
            ])?;
        }
    }
    Ok(())
}

fn dependencies(system: &System, rows: &mut Rows) -> Result<()> {
    let schema_of =
        |entry: &Entry| Some(entry.name.schema.clone()).filter(|schema| !schema.is_empty());
    for entry in system.catalog.entries() {
        for needed in entry
            .depends_on
            .iter()
            .filter_map(|id| system.catalog.by_id(*id))
        {
            rows.push([
                ("schema", schema_of(entry).into()),
                ("name", (&entry.name.name).into()),
                ("type", entry.kind().to_string().into()),
                ("depends_on_schema", schema_of(needed).into()),
                ("depends_on_name", (&needed.name.name).into()),
                ("depends_on_type", needed.kind().to_string().into()),
            ])?;
        }
    }
    Ok(())
}

fn topics(system: &System, rows: &mut Rows) -> Result<()> {
    let relations = system.catalog.relations();
    let owners: HashMap<TopicId, &Entry> = relations
        .filter_map(|entry| Some((entry.topic()?.1, entry.as_ref())))
        .collect();
    for topic in system.facts.topics(false) {
        let owner = owners.get(&topic.id);
        for partition in &topic.partitions {
            rows.push([
                ("topic", topic.name.as_str().into()),
                ("topic_id", topic.id.to_string().into()),
                ("partition", partition_number(partition.id.0)),
                ("start_offset", partition.start_offset.0.into()),
                ("end_offset", partition.end_offset.0.into()),
                ("bytes", partition.bytes.into()),
                ("schema", owner.map(|owner| &owner.name.schema).into()),
                ("name", owner.map(|owner| &owner.name.name).into()),
                ("type", owner.map(|owner| owner.kind().to_string()).into()),
            ])?;
        }
    }
    Ok(())
}

fn segments(system: &System, rows: &mut Rows) -> Result<()> {
    for topic in system.facts.topics(true) {
        for partition in &topic.partitions {
            for segment in &partition.segments {
                // A segment without records has no times.
                let is_timed = segment.min_timestamp_ms <= segment.max_timestamp_ms
                    && segment.end_offset > segment.base_offset;
                let time = |ms| is_timed.then_some(Value::Time(ms));
                rows.push([
                    ("topic", topic.name.as_str().into()),
                    ("partition", partition_number(partition.id.0)),
                    ("base_offset", segment.base_offset.0.into()),
                    ("end_offset", segment.end_offset.0.into()),
                    ("bytes", segment.bytes.into()),
                    ("min_timestamp", time(segment.min_timestamp_ms).into()),
                    ("max_timestamp", time(segment.max_timestamp_ms).into()),
                ])?;
            }
        }
    }
    Ok(())
}

pub(super) fn queries(system: &System, rows: &mut Rows) -> Result<()> {
    for query in system.facts.queries() {
        let elapsed_ms = u64::try_from(query.elapsed.as_millis()).unwrap_or(u64::MAX);
        rows.push([
            ("query_id", query.id.to_string().into()),
            ("state", query.state.as_str().into()),
            ("live", query.live.into()),
            ("started_at", Value::Time(query.started_at_ms)),
            ("elapsed_ms", elapsed_ms.into()),
            ("rows", query.rows.into()),
            ("bytes", query.bytes.into()),
            ("memory_bytes", query.memory_bytes.into()),
            ("spilled_bytes", query.spilled_bytes.into()),
            ("error", query.error.into()),
            ("user", query.user.into()),
            ("sql", query.sql.into()),
        ])?;
    }
    Ok(())
}

pub(super) fn functions(system: &System, rows: &mut Rows) -> Result<()> {
    for function in system.facts.functions() {
        rows.push([
            ("name", function.name.into()),
            ("type", function.kind.into()),
            ("syntax", function.syntax.into()),
            ("description", function.description.into()),
        ])?;
    }
    Ok(())
}

/// A connection's options with `'***'` for its secrets.
pub(super) fn connection_options(connection: &Connection) -> Value {
    let mut options = connection.options.clone();
    let secrets = connection.secrets.keys();
    options.extend(secrets.map(|key| (key.clone(), REDACTED.to_owned())));
    options_text(&options)
}

pub(super) fn partition_number(number: u32) -> Value {
    Value::Int(i32::try_from(number).unwrap_or(i32::MAX))
}

/// Names as in a statement: `a, "B"`; null for none.
fn names_text<'a>(names: impl Iterator<Item = &'a String>) -> Value {
    let names: Vec<String> = names.map(|name| quote_ident(name)).collect();
    (!names.is_empty()).then(|| names.join(", ")).into()
}

/// Options as in a statement: `region = 'eu-1', …`; null for none.
pub(super) fn options_text(options: &BTreeMap<String, String>) -> Value {
    let options: Vec<String> = options
        .iter()
        .map(|(key, value)| format!("{} = {}", quote_ident(key), quote_literal(value)))
        .collect();
    (!options.is_empty()).then(|| options.join(", ")).into()
}
