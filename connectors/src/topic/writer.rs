//! Appending rows to the topic of a stream.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use sha2::{Digest, Sha256};
use weir_base::{Clock, Kind, Offset, PartitionId, SqlState};
use weir_topics::{Appended, EncodedBatch, Fingerprint, IdempotencyToken, RecordRef, Topic};

use super::ingest::Rows;
use super::keys::Keys;
use super::partition::partition_for_key;
use super::placing::{BATCH_BYTES_MAX, Placing};
use super::schema::RowSchema;
use crate::{Error, Result};

/// Appends rows to a stream's topic. Rows with a key go to the key's partition; the others of one request go to one
/// partition together, the next in turn, or the one that the request's idempotency key stands for.
#[derive(Debug)]
pub struct TopicWriter {
    topic: Topic,
    schema: Arc<RowSchema>,
    clock: Arc<dyn Clock>,
    turn: AtomicU32,
}

/// What a writer calls a request, and what the request is: a second attempt is the same name for the same content.
#[derive(Debug, Clone)]
pub struct IdempotencyKey {
    text: String,
    fingerprint: Fingerprint,
}

impl IdempotencyKey {
    /// The key `text` of a request whose content came as `content`: not the rows that it was made into, for a default such as
    /// `now()` makes others of it each time.
    pub fn new(text: impl Into<String>, content: &[u8]) -> Self {
        Self {
            text: text.into(),
            fingerprint: Fingerprint::of(content),
        }
    }

    /// The token of the request's `at`-th batch in a partition.
    fn token(&self, at: u32) -> Result<IdempotencyToken> {
        let mut name = Sha256::digest(self.text.as_bytes()).to_vec();
        name.extend_from_slice(&at.to_be_bytes());
        Ok(IdempotencyToken::new(name)?.standing_for(self.fingerprint))
    }

    fn refusal(&self, error: weir_topics::Error) -> Error {
        let weir_topics::Error::TokenReused {
            topic,
            partition,
            base,
        } = error
        else {
            return error.into();
        };
        Error::new(
            Kind::Conflict,
            format!(
                "idempotency key {:?} was used before for a request with other content, whose rows begin at offset {base} of partition {partition} of topic {:?}",
                self.text,
                topic.as_str()
            ),
        )
        .with_sqlstate(SqlState::INTEGRITY_CONSTRAINT_VIOLATION)
        .with_hint("nothing was written; give each request a key of its own, and repeat it only with the same body")
    }
}

/// Where rows were put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// How many rows.
    pub rows: u64,
    /// The offsets that they have, in order; a partition comes more than once when others wrote in between.
    pub ranges: Vec<WrittenRange>,
    /// Whether all of them had been written before under the same idempotency key.
    pub duplicate: bool,
}

/// A run of rows in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrittenRange {
    /// The partition.
    pub partition: PartitionId,
    /// The first row's offset.
    pub base: Offset,
    /// The offset after the last row's.
    pub end: Offset,
}

impl TopicWriter {
    /// A writer for `topic`, whose rows have this schema.
    pub fn new(topic: Topic, schema: Arc<RowSchema>, clock: Arc<dyn Clock>) -> Self {
        Self {
            topic,
            schema,
            clock,
            turn: AtomicU32::new(0),
        }
    }

    /// The topic.
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// What its rows look like.
    pub fn schema(&self) -> &Arc<RowSchema> {
        &self.schema
    }

    /// Appends rows; they are durable on return. The same request under the same idempotency key is stored once.
    ///
    /// # Errors
    /// When the key was used for another request, as far as the partitions remember (SQLSTATE 23000; of two at once, whose rows
    /// have keys and go to different partitions, both may be stored); when the log takes no more (it is full, stopped, or the disk does not keep up). Some of the rows may be stored then:
    /// nothing is acknowledged, and the same request under the same idempotency key stores the rest.
    pub async fn append(&self, rows: &Rows, key: Option<&IdempotencyKey>) -> Result<Written> {
        if let Some(key) = key {
            self.check_key(key)?;
        }
        let placed = self.place(rows, key)?;
        let mut appended: Vec<(PartitionId, Appended)> = Vec::with_capacity(placed.len());
        // Batches are counted in each partition, so that a request's first one there has a token that is known beforehand.
        let mut counts: HashMap<PartitionId, u32> = HashMap::new();
        for (partition, batch) in placed {
            let log = self.topic.partition(partition)?;
            log.ready().await?;
            let one = match key {
                Some(key) => {
                    let count = counts.entry(partition).or_default();
                    let token = key.token(*count)?;
                    *count += 1;
                    log.append(batch, Some(&token))
                        .map_err(|error| key.refusal(error))?
                }
                None => log.append(batch, None)?,
            };
            appended.push((partition, one));
        }
        let mut written = Written {
            rows: rows.len() as u64,
            ranges: Vec::new(),
            duplicate: !appended.is_empty()
                && appended.iter().all(|(_, appended)| appended.duplicate),
        };
        for (partition, appended) in appended {
            let (base, end) = appended.durable().await?;
            match written
                .ranges
                .iter_mut()
                .rev()
                .find(|range| range.partition == partition)
            {
                Some(range) if range.end == base => range.end = end,
                _ => written.ranges.push(WrittenRange {
                    partition,
                    base,
                    end,
                }),
            }
        }
        Ok(written)
    }

    /// Refuses a key that any partition remembers for another request, whatever partitions this one's rows go to.
    fn check_key(&self, key: &IdempotencyKey) -> Result<()> {
        let first = key.token(0)?;
        for partition in self.topic.partitions() {
            partition
                .remembers(&first)
                .map_err(|error| key.refusal(error))?;
        }
        Ok(())
    }

    /// The batches that rows are put in, in order of their first rows. The same rows and key give the same batches, so that
    /// a repeated request is recognised batch by batch.
    fn place(
        &self,
        rows: &Rows,
        key: Option<&IdempotencyKey>,
    ) -> Result<Vec<(PartitionId, EncodedBatch)>> {
        let partitions = self.topic.spec().partitions.max(1);
        let unkeyed = match key {
            Some(key) => partition_for_key(key.text.as_bytes(), partitions),
            None => self.turn.fetch_add(1, Ordering::Relaxed) % partitions,
        };
        let timestamp_ms = self.clock.now_ms();
        let mut keys = Keys::new(&self.schema, rows.batch()).map_err(internal)?;
        // Most rows are short: leave room for what frames them.
        let share = if self.schema.key().is_empty() {
            1
        } else {
            partitions as usize
        };
        let room = (rows.size_bytes() / share).min(BATCH_BYTES_MAX) / 8 * 9;
        let mut placing = Placing::new(partitions, room);
        for row in 0..rows.len() {
            let key = keys.key(row).map_err(internal)?;
            let partition = key.map_or(unkeyed, |key| partition_for_key(key, partitions));
            let record = RecordRef {
                timestamp_ms,
                key,
                value: rows.value(row),
                headers: &[],
            };
            placing.push(partition, record)?;
        }
        Ok(placing.finish())
    }
}

pub(super) fn internal(error: arrow::error::ArrowError) -> Error {
    Error::new(Kind::Internal, "a row's key cannot be written").with_source(error)
}

impl From<weir_topics::Error> for Error {
    fn from(error: weir_topics::Error) -> Self {
        use weir_base::Classify;
        let ours = Self::new(error.kind(), error.to_string()).with_sqlstate(error.sqlstate());
        let ours = match error.hint() {
            Some(hint) => ours.with_hint(hint),
            None => ours,
        };
        ours.with_source(error)
    }
}
