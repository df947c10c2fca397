//! Changes as records: what came and what went, in the forms that other systems know.

use std::collections::{HashMap, HashSet, VecDeque};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arrow::array::RecordBatch;
use weir_base::{Clock, Kind, PartitionId, SqlState};
use weir_topics::{EncodedBatch, RecordRef};

use super::format::Format;
use super::ingest::{Rows, encode_batch};
use super::keys::Keys;
use super::partition::partition_for_key;
use super::placing::{BATCH_BYTES_MAX, Placing};
use super::schema::RowSchema;
use super::writer::internal;
use crate::{Error, Result};

/// The form that changes have as records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Envelope {
    /// Each row that comes is a record. Rows cannot go.
    Append,
    /// The newest row of each key; null where there is none any more, which Kafka calls a tombstone.
    Upsert,
    /// Each row that comes or goes is a JSON object of its columns, with what happened to it in `_op`: `insert` or `delete`; where one
    /// takes the place of another with its key, `update_before` and next to it `update_after`.
    Changelog,
    /// As Debezium says changes: `{"before": …, "after": …, "op": "c" | "u" | "d", "ts_ms": …}`.
    Debezium,
}

impl Envelope {
    /// Its name in `WITH (envelope = '…')`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Upsert => "upsert",
            Self::Changelog => "changelog",
            Self::Debezium => "debezium",
        }
    }

    /// Whether rows may go in it.
    pub fn says_deletions(self) -> bool {
        self != Self::Append
    }
}

impl FromStr for Envelope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::Append, Self::Upsert, Self::Changelog, Self::Debezium];
        all.into_iter()
            .find(|envelope| envelope.name() == text)
            .ok_or_else(|| format!("{text:?} is not one of append, upsert, changelog, debezium"))
    }
}

/// Makes records of changes.
#[derive(Debug)]
pub struct ChangeEncoder {
    schema: Arc<RowSchema>,
    envelope: Envelope,
    partitions: u32,
    clock: Arc<dyn Clock>,
    turn: AtomicU32,
}

/// A record's value: a row's own text, or one that was made of it.
enum Value<'a> {
    Row(Option<&'a [u8]>),
    Made(Vec<u8>),
}

impl ChangeEncoder {
    /// Of rows in this schema, for a topic of so many partitions. The schema's key is that of the records.
    ///
    /// # Errors
    /// When the envelope needs a key and there is none, or another format than the schema's.
    pub fn new(
        schema: Arc<RowSchema>,
        envelope: Envelope,
        partitions: u32,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        if envelope == Envelope::Upsert && schema.key().is_empty() {
            return Err(Error::invalid("envelope 'upsert' needs a key")
                .with_hint("name the columns that tell rows apart: key = 'a, b'"));
        }
        let is_json = schema.format().value == Format::Json;
        if matches!(envelope, Envelope::Changelog | Envelope::Debezium) && !is_json {
            return Err(Error::unsupported(format!(
                "envelope '{}' is JSON, not {}",
                envelope.name(),
                schema.format().value.name()
            )));
        }
        Ok(Self {
            schema,
            envelope,
            partitions: partitions.max(1),
            clock,
            turn: AtomicU32::new(0),
        })
    }

    /// What rows look like.
    pub fn schema(&self) -> &Arc<RowSchema> {
        &self.schema
    }

    /// The batches that a change makes, those of each partition in order.
    ///
    /// # Errors
    /// When a row has no form in the format, or no key.
    pub fn encode(
        &self,
        gone: &[RecordBatch],
        come: &[RecordBatch],
    ) -> Result<Vec<(PartitionId, EncodedBatch)>> {
        let encoded = |batches: &[RecordBatch]| -> Result<Vec<Rows>> {
            let batches = batches.iter().filter(|batch| batch.num_rows() > 0);
            let rows = batches.map(|batch| encode_batch(&self.schema, batch).map_err(Error::from));
            rows.collect()
        };
        let (gone, come) = (encoded(gone)?, encoded(come)?);
        let bytes: usize = gone.iter().chain(&come).map(Rows::size_bytes).sum();
        let mut out = Out {
            placing: Placing::new(self.partitions, bytes.min(BATCH_BYTES_MAX)),
            partitions: self.partitions,
            unkeyed: self.turn.fetch_add(1, Ordering::Relaxed) % self.partitions,
            timestamp_ms: self.clock.now_ms(),
        };
        match self.envelope {
            Envelope::Append if !gone.is_empty() => {
                return Err(Error::new(
                    Kind::Internal,
                    "rows of an append-only query have gone",
                ));
            }
            Envelope::Append => self.each(&come, |key, value| out.push(key, Value::Row(value)))?,
            Envelope::Upsert => self.upsert(&gone, &come, &mut out)?,
            Envelope::Changelog => self.pairs(&gone, &come, |key, before, after| {
                let (went, came) = match (before, after) {
                    (Some(_), Some(_)) => ("update_before", "update_after"),
                    _ => ("delete", "insert"),
                };
                if before.is_some() {
                    out.push(key, operation(went, before))?;
                }
                match after {
                    Some(_) => out.push(key, operation(came, after)),
                    None => Ok(()),
                }
            })?,
            Envelope::Debezium => {
                let ts_ms = out.timestamp_ms;
                self.pairs(&gone, &come, |key, before, after| {
                    out.push(key, Value::Made(debezium(before, after, ts_ms)))
                })?;
            }
        }
        Ok(out.placing.finish())
    }

    /// Gives each row, as it is stored, with its key.
    fn each(
        &self,
        rows: &[Rows],
        mut see: impl FnMut(Option<&[u8]>, Option<&[u8]>) -> Result<()>,
    ) -> Result<()> {
        for rows in rows {
            let mut keys = Keys::new(&self.schema, rows.batch()).map_err(internal)?;
            for row in 0..rows.len() {
                let key = keys.key(row).map_err(internal)?;
                see(key, rows.value(row))?;
            }
        }
        Ok(())
    }

    fn upsert(&self, gone: &[Rows], come: &[Rows], out: &mut Out) -> Result<()> {
        let mut there: HashSet<Vec<u8>> = HashSet::new();
        self.each(come, |key, _| {
            there.insert(needed(key)?.to_vec());
            Ok(())
        })?;
        self.each(gone, |key, _| {
            let key = needed(key)?;
            match there.contains(key) {
                // What comes under the same key says it.
                true => Ok(()),
                false => out.push(Some(key), Value::Row(None)),
            }
        })?;
        self.each(come, |key, value| out.push(key, Value::Row(value)))
    }

    /// Gives each row that goes or comes, with its key: first those that go, then those that come. One that goes and one that comes
    /// under the same key are given as one: before and after.
    fn pairs(
        &self,
        gone: &[Rows],
        come: &[Rows],
        mut see: impl FnMut(Option<&[u8]>, Option<&[u8]>, Option<&[u8]>) -> Result<()>,
    ) -> Result<()> {
        let mut keys_come: HashMap<Vec<u8>, usize> = HashMap::new();
        self.each(come, |key, _| {
            if let Some(key) = key {
                *keys_come.entry(key.to_vec()).or_default() += 1;
            }
            Ok(())
        })?;
        let mut before: HashMap<Vec<u8>, VecDeque<Vec<u8>>> = HashMap::new();
        self.each(gone, |key, value| {
            match key.and_then(|key| Some((key, keys_come.get_mut(key)?))) {
                Some((key, pairs)) if *pairs > 0 => {
                    *pairs -= 1;
                    let rows = before.entry(key.to_vec()).or_default();
                    rows.push_back(value.unwrap_or_default().to_vec());
                    Ok(())
                }
                _ => see(key, value, None),
            }
        })?;
        self.each(come, |key, value| {
            let old = key.and_then(|key| before.get_mut(key)?.pop_front());
            see(key, old.as_deref(), value)
        })
    }
}

/// Where records go.
struct Out {
    placing: Placing,
    partitions: u32,
    /// The partition of records without a key.
    unkeyed: u32,
    timestamp_ms: i64,
}

impl Out {
    fn push(&mut self, key: Option<&[u8]>, value: Value<'_>) -> Result<()> {
        let partition = key.map_or(self.unkeyed, |key| partition_for_key(key, self.partitions));
        let value = match &value {
            Value::Row(row) => *row,
            Value::Made(made) => Some(made.as_slice()),
        };
        let record = RecordRef {
            timestamp_ms: self.timestamp_ms,
            key,
            value,
            headers: &[],
        };
        self.placing.push(partition, record)
    }
}

fn needed(key: Option<&[u8]>) -> Result<&[u8]> {
    key.ok_or_else(|| {
        Error::invalid("the key of a row is null, and no record can say so")
            .with_sqlstate(SqlState::NOT_NULL_VIOLATION)
            .with_hint("filter such rows out, or write coalesce(column, value)")
    })
}

/// A row's JSON object with the operation in front of its fields.
fn operation(op: &str, row: Option<&[u8]>) -> Value<'static> {
    let row = row.unwrap_or(b"{}");
    let fields = row.strip_prefix(b"{").unwrap_or(row);
    let mut made = format!("{{\"_op\":\"{op}\"").into_bytes();
    if fields != b"}" {
        made.push(b',');
    }
    made.extend_from_slice(fields);
    Value::Made(made)
}

fn debezium(before: Option<&[u8]>, after: Option<&[u8]>, ts_ms: i64) -> Vec<u8> {
    let op = match (before, after) {
        (None, _) => "c",
        (Some(_), Some(_)) => "u",
        (Some(_), None) => "d",
    };
    let mut made = b"{\"before\":".to_vec();
    made.extend_from_slice(before.unwrap_or(b"null"));
    made.extend_from_slice(b",\"after\":");
    made.extend_from_slice(after.unwrap_or(b"null"));
    made.extend_from_slice(format!(",\"op\":\"{op}\",\"ts_ms\":{ts_ms}}}").as_bytes());
    made
}
