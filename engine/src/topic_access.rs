//! Topics for a door that speaks the log's own protocol: which there are, who may write them, making and dropping them.
//!
//! Such a door appends batches to the log itself, after it has asked here. A topic takes any record, unless one of its streams
//! has `on_error = 'fail'`: a record that is no row of each such stream is refused, so that they can be read.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use weir_base::{Offset, PartitionId, SqlState, TopicId, TopicName};
use weir_catalog::{Body, Entry, Privilege, Snapshot};
use weir_connectors::topic::{OnError, check_records};
use weir_topics::{BatchView, Topic, TopicConfig};

use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::history;
use crate::ingest::{StreamWriter, stream_writer};
use crate::request::Request;
use crate::security::{Rights, denied};
use crate::session::Session;
use crate::topic_config;

/// A topic that a door may show.
#[derive(Clone)]
pub struct TopicAccess {
    topic: Topic,
    writes: Writes,
    rights: TopicRights,
}

/// What a user may do with a topic: what it may do with each of the streams and tables that are stored there, because records
/// have no more to tell them apart.
#[derive(Debug, Clone, Copy)]
struct TopicRights {
    reads: bool,
    writes: bool,
    owns: bool,
}

#[derive(Clone)]
enum Writes {
    /// Any bytes.
    Any,
    /// Rows of streams, checked one by one.
    Rows(Vec<Arc<StreamWriter>>),
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

    /// Refuses who may not read all that is stored there.
    ///
    /// # Errors
    /// 42501.
    pub fn require_reading(&self) -> Result<()> {
        self.require(self.rights.reads, Privilege::Select.sql())
    }

    /// Refuses who may not append.
    ///
    /// # Errors
    /// 42501.
    pub fn require_writing(&self) -> Result<()> {
        self.require(self.rights.writes, Privilege::Insert.sql())
    }

    fn require(&self, is_allowed: bool, what: &str) -> Result<()> {
        if is_allowed {
            return Ok(());
        }
        Err(denied(format!(
            "permission denied for topic \"{}\": {what} is not granted on all that is stored there",
            self.topic.name()
        )))
    }

    /// Whether any batch may be appended, without a look at its records.
    pub fn takes_any(&self) -> bool {
        matches!(self.writes, Writes::Any)
    }

    /// Checks what is to be appended. Unless the topic takes any batch, it decodes all records, so it takes its time.
    ///
    /// # Errors
    /// When the topic belongs to a table; when a record is no row of a stream that fails on such, by its number in the batch ([`Error::row`]).
    pub fn admit(&self, batch: &BatchView) -> Result<()> {
        match &self.writes {
            Writes::Any => Ok(()),
            Writes::Refused => Err(Error::invalid(
                SqlState::WRONG_OBJECT_TYPE,
                format!("topic \"{}\" is a table's changelog", self.topic.name()),
            )
            .with_hint("write the table by SQL")),
            Writes::Rows(writers) => {
                let plain = batch.clone().decompressed()?;
                let records = plain.records().collect::<weir_topics::Result<Vec<_>>>()?;
                for writer in writers {
                    let checked = check_records(writer.schema(), records.iter().copied());
                    let checked = checked.map_err(crate::ingest::from_row_error)?;
                    writer
                        .check(&checked.batch)
                        .map_err(|error| of_record(error, |row| checked.record_of(row)))?;
                }
                Ok(())
            }
        }
    }
}

impl Session {
    /// The topics of all streams and tables that are there for the user, in order of name; none for a user who may no longer sign in.
    pub fn topics(&self) -> Vec<TopicAccess> {
        let Ok(rights) = self.rights() else {
            return Vec::new();
        };
        let engine = self.engine();
        let snapshot = engine.catalog.snapshot();
        let ids: BTreeSet<TopicId> = snapshot
            .relations()
            .filter_map(|entry| entry.topic())
            .map(|(_, id)| id)
            .collect();
        let mut topics: Vec<_> = ids
            .into_iter()
            .filter_map(|id| access(engine, &rights, &snapshot, id)?.ok())
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
    /// 42P01 when no stream or table has it, or none that is there for the user.
    pub fn topic_by_id(&self, id: TopicId) -> Result<TopicAccess> {
        let engine = self.engine();
        let (snapshot, rights) = (engine.catalog.snapshot(), self.rights()?);
        access(engine, &rights, &snapshot, id).ok_or_else(|| unknown(&id.to_string()))?
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
        let (topic, streams) = self.owners(name, "configure")?;
        for entry in &streams {
            if let Body::Stream(stream) = &entry.body {
                history::check(engine, entry, &stream.options, &config)?;
            }
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
        let (topic, _) = self.owners(name, "add partitions to")?;
        let id = topic.topic.id();
        engine.log.add_partitions(id, total).await?;
        // Writers have the partitions of before.
        engine.forget_table(id);
        engine.tend_grown(id);
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
        let (topic, streams) = self.owners(name, "delete records of")?;
        let partition = topic.topic.partition(partition)?.clone();
        // History goes first: after a crash in between, all is still there where the log has it. What is before the log's start is
        // no measure for it: there history may be the only one that has the rows. An offset that the log refuses deletes nothing.
        if before <= partition.stable_offset() {
            for entry in &streams {
                if let Some(history) = engine.histories.of(engine, entry).await? {
                    history.delete_before(partition.id(), before).await?;
                }
            }
        }
        let start = tokio::task::spawn_blocking(move || partition.delete_before(before)).await;
        let start =
            start.unwrap_or_else(|error| Err(weir_topics::Error::Internal(error.to_string())))?;
        Ok(start)
    }

    /// A topic of streams, and the streams, for what is noted in the audit log.
    fn owners(&self, name: &str, doing: &str) -> Result<(TopicAccess, Vec<Arc<Entry>>)> {
        let topic = self.topic(name)?;
        let what = format!("{doing} topic {}", quoted(name));
        topic
            .require(topic.rights.owns, "ownership")
            .inspect_err(|error| self.note_denied(&what, error))?;
        self.note_change(&what);
        if matches!(topic.writes, Writes::Refused) {
            return Err(Error::invalid(
                SqlState::WRONG_OBJECT_TYPE,
                format!("topic \"{name}\" is a table's changelog"),
            )
            .with_hint("a table is changed by SQL"));
        }
        let snapshot = self.engine().catalog.snapshot();
        let streams = snapshot.by_topic(topic.topic.id()).to_vec();
        Ok((topic, streams))
    }

    /// A number for an idempotent producer, which none had before.
    ///
    /// # Errors
    /// When the log cannot note it.
    pub async fn new_producer_id(&self) -> Result<i64> {
        Ok(self.engine().log.new_producer_id().await?)
    }

    /// Drops a topic by dropping its streams.
    ///
    /// # Errors
    /// As `DROP STREAM`: what reads the streams keeps them from being dropped. A table's topic is not dropped so.
    pub async fn delete_topic(&self, name: &str) -> Result<()> {
        let (_, streams) = self.owners(name, "delete")?;
        let streams = streams.iter().map(|entry| {
            let name = &entry.name;
            format!("{}.{}", quoted(&name.schema), quoted(&name.name))
        });
        let sql = format!("DROP STREAM {}", streams.collect::<Vec<_>>().join(", "));
        self.execute(Request::new(sql)).await?;
        Ok(())
    }
}

/// A topic as it is for one with these rights; none when nothing is stored there that is there for it.
fn access(
    engine: &Arc<Shared>,
    rights: &Rights,
    snapshot: &Arc<Snapshot>,
    id: TopicId,
) -> Option<Result<TopicAccess>> {
    let stored = snapshot.by_topic(id);
    let first = stored.first()?;
    let all = |allowed: &dyn Fn(&Entry) -> bool| stored.iter().all(|entry| allowed(entry));
    let allowed = match rights.is_admin() {
        true => TopicRights {
            reads: true,
            writes: true,
            owns: true,
        },
        false if !stored.iter().any(|entry| rights.sees(entry, snapshot)) => return None,
        false => TopicRights {
            // Records cannot be masked.
            reads: all(&|entry| {
                rights.allows(Privilege::Select, entry, snapshot)
                    && rights.policies_on(entry).is_empty()
            }),
            writes: all(&|entry| rights.allows(Privilege::Insert, entry, snapshot)),
            owns: all(&|entry| rights.owns(entry)),
        },
    };
    Some(engine.topic_of(first).and_then(|topic| {
        Ok(TopicAccess {
            topic,
            writes: writes(engine, stored)?,
            rights: allowed,
        })
    }))
}

fn writes(engine: &Arc<Shared>, stored: &[Arc<Entry>]) -> Result<Writes> {
    let mut strict = Vec::new();
    for entry in stored {
        let Body::Stream(stream) = &entry.body else {
            return Ok(Writes::Refused);
        };
        let fails = match stream.options.get("on_error") {
            Some(policy) => policy == OnError::Fail.name(),
            // A record that tells of no row by its key can be no row of nulls.
            None => stream.is_changelog(),
        };
        if fails {
            strict.push(stream_writer(engine, &entry.name)?);
        }
    }
    Ok(match strict.is_empty() {
        true => Writes::Any,
        false => Writes::Rows(strict),
    })
}

/// An error of a row as one of the record that the row comes from.
fn of_record(error: Error, record_of: impl Fn(usize) -> usize) -> Error {
    let Some(row) = error.row() else {
        return error;
    };
    let row = usize::try_from(row.saturating_sub(1)).unwrap_or(usize::MAX);
    error.at_row(record_of(row) as u64 + 1, None)
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
