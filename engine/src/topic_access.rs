//! Topics for a door that speaks the log's own protocol: which there are, who may write them, making and dropping them.
//!
//! Such a door appends batches to the log itself, after it has asked here. A stream's topic takes what its stream takes: a
//! record that is no row of it is refused, so that every row that is stored can be read.

use std::fmt::Write as _;
use std::sync::Arc;

use weir_base::{Offset, PartitionId, SqlState, TopicId, TopicName};
use weir_catalog::{Body, Entry, ObjectKind, ObjectName};
use weir_connectors::topic::check_values;
use weir_topics::{BatchView, Topic, TopicConfig};

use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::history;
use crate::ingest::{StreamWriter, stream_writer};
use crate::request::Request;
use crate::session::Session;
use crate::topic_config;

/// A topic that a door may show.
#[derive(Clone)]
pub struct TopicAccess {
    topic: Topic,
    writes: Writes,
}

#[derive(Clone)]
enum Writes {
    /// Any bytes.
    Raw,
    /// Rows of a stream, checked one by one.
    Rows(Arc<StreamWriter>),
    /// None: it is a table's.
    Refused,
}

impl std::fmt::Debug for TopicAccess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("TopicAccess").field(&self.topic).finish()
    }
}

impl TopicAccess {
    /// The topic, to be read.
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// Whether any batch may be appended, without a look at its records.
    pub fn takes_any(&self) -> bool {
        matches!(self.writes, Writes::Raw)
    }

    /// Checks what is to be appended. It decodes the records of a stream with columns, so it takes its time.
    ///
    /// # Errors
    /// When the topic belongs to a table; when a record is no row of the stream, by its number in the batch ([`Error::row`]).
    pub fn admit(&self, batch: &BatchView) -> Result<()> {
        match &self.writes {
            Writes::Raw => Ok(()),
            Writes::Refused => Err(Error::invalid(
                SqlState::WRONG_OBJECT_TYPE,
                format!("topic \"{}\" is a table's changelog", self.topic.name()),
            )
            .with_hint("write the table by SQL")),
            Writes::Rows(writer) => {
                let plain = batch.clone().decompressed()?;
                let mut values = Vec::with_capacity(plain.record_count());
                for record in plain.records() {
                    values.push(record?.value);
                }
                let rows = check_values(writer.schema(), values);
                let rows = rows.map_err(crate::ingest::from_row_error)?;
                writer.check(&rows)
            }
        }
    }
}

impl Session {
    /// The topics of all streams and tables, in order of name.
    pub fn topics(&self) -> Vec<TopicAccess> {
        let engine = self.engine();
        let snapshot = engine.catalog.snapshot();
        let relations = snapshot.relations();
        let mut topics: Vec<_> = relations
            .filter_map(|entry| access(engine, entry).ok())
            .collect();
        topics.sort_by(|one, other| one.topic.name().cmp(other.topic.name()));
        topics
    }

    /// The topic of that name.
    ///
    /// # Errors
    /// 42P01 when no stream or table has one of that name.
    pub fn topic(&self, name: &str) -> Result<TopicAccess> {
        let log = &self.engine().log;
        let topic = TopicName::new(name).ok().and_then(|name| log.topic(&name));
        let topic = topic.ok_or_else(|| unknown(name))?;
        self.topic_by_id(topic.id()).map_err(|_| unknown(name))
    }

    /// The topic of that identity.
    ///
    /// # Errors
    /// 42P01 when no stream or table has it.
    pub fn topic_by_id(&self, id: TopicId) -> Result<TopicAccess> {
        let engine = self.engine();
        let snapshot = engine.catalog.snapshot();
        let owner = snapshot
            .relations()
            .find(|entry| entry.topic().is_some_and(|(_, topic)| topic == id));
        owner
            .ok_or_else(|| unknown(&id.to_string()))
            .and_then(|entry| access(engine, entry))
    }

    /// Makes a topic, and the stream that shows it in SQL: `CREATE STREAM "name" WITH (format = 'raw', …)`.
    ///
    /// # Errors
    /// As `CREATE STREAM`.
    pub async fn create_topic(
        &self,
        name: &str,
        partitions: u32,
        config: &TopicConfig,
    ) -> Result<TopicAccess> {
        let mut sql = format!(
            "CREATE STREAM {} WITH (format = 'raw', partitions = {partitions}",
            quoted(name)
        );
        for (setting, value) in topic_config::as_options(config) {
            _ = write!(sql, ", {} = '{value}'", quoted(&setting));
        }
        sql.push(')');
        self.execute(Request::new(sql)).await?;
        self.topic(name)
    }

    /// Changes what a stream's topic is configured as, as a whole: `ALTER STREAM … SET (…)`.
    ///
    /// # Errors
    /// 42P01 without such a topic; refused for a table's, and where the stream's history does not allow it.
    pub async fn configure_topic(&self, name: &str, config: TopicConfig) -> Result<()> {
        let engine = self.engine();
        let _ddl = engine.ddl.lock().await;
        let (topic, owner) = self.owner(name)?;
        if let Body::Stream(stream) = &owner.body {
            history::check(engine, &owner, &stream.options, &config)?;
        }
        engine.log.configure(topic.topic.id(), config).await?;
        engine.histories.changed();
        Ok(())
    }

    /// Gives a stream's topic more partitions, `total` in all.
    ///
    /// # Errors
    /// 42P01 without such a topic; refused for a table's, and when that is not more than it has, or too many.
    pub async fn add_partitions(&self, name: &str, total: u32) -> Result<()> {
        let engine = self.engine();
        let _ddl = engine.ddl.lock().await;
        let (topic, _) = self.owner(name)?;
        let id = topic.topic.id();
        engine.log.add_partitions(id, total).await?;
        // Writers have the partitions of before.
        engine.forget_table(id);
        Ok(())
    }

    /// Deletes the records of a partition before an offset, in the log and in its streams' histories; answers the first offset that is
    /// kept.
    ///
    /// # Errors
    /// 42P01 without such a topic; refused for a table's; when the offset is past the end.
    pub async fn delete_records(
        &self,
        name: &str,
        partition: PartitionId,
        before: Offset,
    ) -> Result<Offset> {
        let engine = self.engine();
        let (topic, owner) = self.owner(name)?;
        let partition = topic.topic.partition(partition)?.clone();
        let number = partition.id();
        let start = tokio::task::spawn_blocking(move || partition.delete_before(before)).await;
        let start =
            start.unwrap_or_else(|error| Err(weir_topics::Error::Internal(error.to_string())))?;
        if let Some(history) = engine.histories.of(engine, &owner).await? {
            history.delete_before(number, start).await?;
        }
        Ok(start)
    }

    /// A stream's topic, and the stream.
    fn owner(&self, name: &str) -> Result<(TopicAccess, Arc<Entry>)> {
        let topic = self.topic(name)?;
        let snapshot = self.engine().catalog.snapshot();
        let mut relations = snapshot.relations();
        let owner = relations.find(|entry| {
            entry.kind() == ObjectKind::Stream
                && entry.topic().is_some_and(|(_, id)| id == topic.topic.id())
        });
        let owner = owner.cloned().ok_or_else(|| {
            Error::invalid(
                SqlState::WRONG_OBJECT_TYPE,
                format!("topic \"{name}\" is a table's changelog"),
            )
            .with_hint("a table is changed by SQL")
        })?;
        Ok((topic, owner))
    }

    /// A number for an idempotent producer, which none had before.
    ///
    /// # Errors
    /// When the log cannot note it.
    pub async fn new_producer_id(&self) -> Result<i64> {
        Ok(self.engine().log.new_producer_id().await?)
    }

    /// Drops a topic by dropping its stream.
    ///
    /// # Errors
    /// As `DROP STREAM`: what reads the stream keeps it from being dropped. A table's topic is not dropped so.
    pub async fn delete_topic(&self, name: &str) -> Result<()> {
        let (_, owner) = self.owner(name)?;
        let ObjectName { schema, name } = &owner.name;
        let sql = format!("DROP STREAM {}.{}", quoted(schema), quoted(name));
        self.execute(Request::new(sql)).await?;
        Ok(())
    }
}

fn access(engine: &Arc<Shared>, entry: &Arc<Entry>) -> Result<TopicAccess> {
    let topic = engine.topic_of(entry)?;
    let writes = match entry.kind() {
        ObjectKind::Stream => {
            let writer = stream_writer(engine, &entry.name)?;
            if writer.schema().is_raw() {
                Writes::Raw
            } else {
                Writes::Rows(writer)
            }
        }
        _ => Writes::Refused,
    };
    Ok(TopicAccess { topic, writes })
}

fn unknown(name: &str) -> Error {
    Error::new(
        weir_base::Kind::NotFound,
        format!("topic \"{name}\" does not exist"),
    )
    .with_sqlstate(SqlState::UNDEFINED_TABLE)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
