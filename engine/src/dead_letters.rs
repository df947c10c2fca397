//! Records that cannot be decoded, copied to another topic: what `on_error = 'dead_letter'` asks for.
//!
//! *In:* every record of a stream's topic. *Out:* those that cannot be decoded, appended to the stream's dead-letter topic, each
//! once. One task for each stream reads on as records arrive. It commits how far it is as a consumer group does, so that it
//! shows among the groups; what it appended and did not commit before a crash is recognised by its token.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinHandle;
use weir_base::{Clock, Offset, PartitionId, TopicId, TopicName};
use weir_catalog::{Body, Entry, ObjectId};
use weir_connectors::topic::{OnError, RecordChecker, RowSchema};
use weir_topics::groups::{CommitRequest, Groups, Membership, OffsetCommit};
use weir_topics::{BatchBuilder, Batches, EncodedBatch, IdempotencyToken, RecordRef, Topic};

use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::metrics::Counter;
use crate::rows::{record_format, row_schema};
use crate::statements::DEAD_LETTER_TOPIC;

/// How much is read at a time.
const READ_BYTES: usize = 1 << 20;
/// The most letters between two commits: far fewer than the tokens that a partition remembers.
const LETTERS_MAX: usize = 256;
/// Good records after which it is noted that they are good.
const RECORDS_BETWEEN_COMMITS: i64 = 100_000;
/// The first and the longest wait after a failure.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// The tasks that copy dead letters, by their streams.
#[derive(Default)]
pub(crate) struct DeadLetters(Mutex<HashMap<ObjectId, Copying>>);

struct Copying {
    /// The definition that the task works by.
    entry: Arc<Entry>,
    task: JoinHandle<()>,
    letters: Arc<Counter>,
}

impl Drop for Copying {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl DeadLetters {
    /// Ends all tasks. What they have not copied they copy after the next start.
    pub(crate) fn close(&self) {
        self.0.lock().clear();
    }

    /// How many records of each stream's topic were copied since the start.
    pub(crate) fn counts(&self) -> Vec<(TopicName, u64)> {
        let copying = self.0.lock();
        let counts = copying.values().filter_map(|copying| {
            let (topic, _) = copying.entry.topic()?;
            Some((topic.clone(), copying.letters.get()))
        });
        counts.collect()
    }
}

impl Shared {
    /// Starts a task for each stream that has dead letters and no task, and ends those of streams that changed or are gone.
    pub(crate) fn tend_dead_letters(&self) {
        let snapshot = self.catalog.snapshot();
        let mut copying = self.dead_letters.0.lock();
        copying.retain(|id, copying| snapshot.by_id(*id) == Some(&copying.entry));
        for entry in snapshot.relations() {
            if copying.contains_key(&entry.id) {
                continue;
            }
            match self.copier(entry) {
                Ok(Some(copier)) => {
                    let letters = Arc::clone(&copier.letters);
                    let started = Copying {
                        entry: Arc::clone(entry),
                        task: tokio::spawn(copier.run()),
                        letters,
                    };
                    copying.insert(entry.id, started);
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(stream = %entry.name, %error, "dead letters are not copied");
                }
            }
        }
    }

    /// Begins anew to copy from a topic that has more partitions now.
    pub(crate) fn tend_grown(&self, topic: TopicId) {
        let is_of = |copying: &Copying| copying.entry.topic().is_some_and(|(_, id)| id == topic);
        self.dead_letters
            .0
            .lock()
            .retain(|_, copying| !is_of(copying));
        self.tend_dead_letters();
    }

    /// What copies the dead letters of a stream, if it has any.
    fn copier(&self, entry: &Entry) -> Result<Option<Copier>> {
        let Body::Stream(stream) = &entry.body else {
            return Ok(None);
        };
        if record_format(self, stream)?.on_error != OnError::DeadLetter {
            return Ok(None);
        }
        let target = stream.options.get(DEAD_LETTER_TOPIC);
        let target = target.and_then(|name| TopicName::new(name.as_str()).ok());
        let target = target.and_then(|name| self.log.topic(&name));
        let target = target.ok_or_else(|| {
            Error::new(
                weir_base::Kind::NotFound,
                format!("the dead-letter topic of {} is gone", entry.describe()),
            )
        })?;
        let source = self.topic_of(entry)?;
        let group_id = format!("weir.dead_letter.{}", entry.id);
        let mut at = source.start_offsets();
        for (topic, partition, committed) in self.log.groups().committed(&group_id) {
            if topic == source.id()
                && let Some(at) = at.get_mut(partition.0 as usize)
            {
                *at = committed.offset.max(*at);
            }
        }
        Ok(Some(Copier {
            committed: at.clone(),
            at,
            source,
            target,
            schema: Arc::new(row_schema(self, entry)?),
            groups: self.log.groups(),
            group_id,
            clock: Arc::clone(&self.clock),
            letters: Arc::default(),
        }))
    }
}

/// Copies the dead letters of one stream.
struct Copier {
    source: Topic,
    target: Topic,
    schema: Arc<RowSchema>,
    groups: Groups,
    group_id: String,
    clock: Arc<dyn Clock>,
    letters: Arc<Counter>,
    /// Before these offsets all is copied.
    at: Vec<Offset>,
    /// Before these, it is known for good.
    committed: Vec<Offset>,
}

/// A record that cannot be decoded, as it is to be appended.
struct Letter {
    offset: Offset,
    reason: String,
    batch: EncodedBatch,
}

/// What was found in a piece of a partition.
struct Found {
    letters: Vec<Letter>,
    /// Where the piece ends.
    end: Offset,
}

impl Copier {
    async fn run(mut self) {
        let mut pause = PAUSE.0;
        loop {
            let before = self.at.clone();
            match self.follow().await {
                Ok(()) | Err(weir_topics::Error::TopicNotFound(_) | weir_topics::Error::Closed) => {
                    // One of the topics is gone, or the log closes: nothing is left to do.
                    return;
                }
                Err(error @ weir_topics::Error::Stopped(_)) => {
                    tracing::warn!(topic = %self.source.name(), %error, "no more dead letters are copied");
                    return;
                }
                Err(error) => {
                    if self.at != before {
                        pause = PAUSE.0;
                    }
                    let pause_s = pause.as_secs();
                    tracing::warn!(topic = %self.source.name(), %error, pause_s, "dead letters are not copied for now");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE.1);
                }
            }
        }
    }

    /// Copies what there is, and then what comes.
    async fn follow(&mut self) -> weir_topics::Result<()> {
        let partitions = self.source.partitions().to_vec();
        // What open transactions have written is not there yet.
        let mut decided: Vec<_> = partitions
            .iter()
            .map(weir_topics::Partition::watch_committed)
            .collect();
        loop {
            for (number, decided) in (0u32..).zip(&mut decided) {
                let end = *decided.borrow_and_update();
                self.copy(PartitionId(number), end).await?;
            }
            let moves = decided
                .iter_mut()
                .map(|decided| Box::pin(decided.changed()));
            let (moved, _, _) = futures::future::select_all(moves).await;
            if moved.is_err() {
                return Ok(());
            }
        }
    }

    /// Copies the dead letters of a partition before `end`.
    async fn copy(&mut self, partition: PartitionId, end: Offset) -> weir_topics::Result<()> {
        let place = partition.0 as usize;
        // A topic that is deleted wakes its readers too: then the read says so.
        loop {
            let (Some(at), Some(committed)) = (
                self.at.get(place).copied(),
                self.committed.get(place).copied(),
            ) else {
                return Ok(());
            };
            // What was cut off meanwhile cannot be copied.
            let from = at.max(self.source.partition(partition)?.start_offset());
            let found = self.find(partition, from, end).await?;
            let is_news = !found.letters.is_empty();
            self.append(partition, found.letters).await?;
            if let Some(at) = self.at.get_mut(place) {
                *at = found.end.max(from);
            }
            if is_news || found.end.0 - committed.0 >= RECORDS_BETWEEN_COMMITS {
                self.commit(partition, found.end).await?;
                if let Some(committed) = self.committed.get_mut(place) {
                    *committed = found.end;
                }
            }
            if found.end >= end {
                return Ok(());
            }
        }
    }

    /// Looks through the next piece of a partition.
    async fn find(
        &self,
        partition: PartitionId,
        from: Offset,
        end: Offset,
    ) -> weir_topics::Result<Found> {
        let (source, schema) = (self.source.clone(), Arc::clone(&self.schema));
        let now_ms = self.clock.now_ms();
        let looked = tokio::task::spawn_blocking(move || {
            look(&source, &schema, partition, from, end, now_ms)
        });
        match looked.await {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(topic = %self.source.name(), %error, "looking for dead letters was broken off");
                Err(weir_topics::Error::Closed)
            }
        }
    }

    /// Appends letters, durably. One that was appended before is known by its token.
    async fn append(
        &self,
        partition: PartitionId,
        letters: Vec<Letter>,
    ) -> weir_topics::Result<()> {
        let targets = u32::try_from(self.target.partitions().len()).unwrap_or(u32::MAX);
        let target = self
            .target
            .partition(PartitionId(partition.0 % targets.max(1)))?;
        let mut appended = Vec::with_capacity(letters.len());
        for letter in letters {
            let token = token(self.source.id(), partition, letter.offset)?;
            target.ready().await?;
            let one = match target.append(letter.batch, Some(&token)) {
                Err(weir_topics::Error::BatchTooLarge { .. }) => {
                    let short = self.short(partition, letter.offset, &letter.reason)?;
                    target.append(short, Some(&token))?
                }
                one => one?,
            };
            appended.push(one);
        }
        for one in appended {
            let is_new = !one.duplicate;
            one.durable().await?;
            self.letters.add(u64::from(is_new));
        }
        Ok(())
    }

    /// What stands for a record that is too large with what is said of it: only that.
    fn short(
        &self,
        partition: PartitionId,
        offset: Offset,
        reason: &str,
    ) -> weir_topics::Result<EncodedBatch> {
        let mut headers = Headers::default();
        headers.own(self.source.name(), partition, offset, reason);
        headers.0.push(("weir.too_large".to_owned(), None));
        headers.batch(None, None, self.clock.now_ms())
    }

    async fn commit(&self, partition: PartitionId, offset: Offset) -> weir_topics::Result<()> {
        let request = CommitRequest {
            membership: Membership {
                group_id: self.group_id.clone(),
                member_id: String::new(),
                instance_id: None,
                generation: -1,
            },
            offsets: vec![OffsetCommit {
                topic: self.source.id(),
                partition,
                offset,
                leader_epoch: -1,
                metadata: String::new(),
            }],
        };
        match self.groups.commit(request).await {
            Ok(()) => Ok(()),
            Err(weir_topics::groups::GroupError::Log(error)) => Err(error),
            Err(error) => {
                // It is looked through again after the next start.
                tracing::warn!(group = %self.group_id, %error, "how far dead letters are copied cannot be noted");
                Ok(())
            }
        }
    }
}

/// The letters among the records from `from` on, up to a bound.
fn look(
    source: &Topic,
    schema: &RowSchema,
    partition: PartitionId,
    from: Offset,
    end: Offset,
    now_ms: i64,
) -> weir_topics::Result<Found> {
    let log = source.partition(partition)?;
    // What retention took meanwhile has no letters any more.
    let from = from.max(log.start_offset());
    let Batches { batches, next } = log.read(from, end.max(from), READ_BYTES)?;
    let mut found = Found {
        letters: Vec::new(),
        end: next.min(end.max(from)),
    };
    let mut checker = match RecordChecker::new(schema) {
        Ok(checker) => checker,
        Err(error) => {
            tracing::error!(topic = %source.name(), %error, "records cannot be checked");
            return Err(weir_topics::Error::Closed);
        }
    };
    for batch in batches {
        let batch = batch.decompressed()?;
        for record in batch.records() {
            let record = record?;
            if record.offset < from || record.offset >= end {
                continue;
            }
            let Some(reason) = checker.check(&record) else {
                continue;
            };
            let mut headers = Headers::default();
            for header in record.headers() {
                let (name, value) = header?;
                headers.0.push((name.to_owned(), value.map(<[u8]>::to_vec)));
            }
            headers.own(source.name(), partition, record.offset, &reason);
            found.letters.push(Letter {
                offset: record.offset,
                batch: headers.batch(record.key, record.value, now_ms)?,
                reason,
            });
            if found.letters.len() >= LETTERS_MAX {
                found.end = Offset(record.offset.0 + 1);
                return Ok(found);
            }
        }
    }
    Ok(found)
}

/// The headers of a letter: those of the record, and after them what is wrong and where it is from.
#[derive(Default)]
struct Headers(Vec<(String, Option<Vec<u8>>)>);

impl Headers {
    fn own(&mut self, topic: &TopicName, partition: PartitionId, offset: Offset, reason: &str) {
        for (name, text) in [
            ("weir.error", reason.to_owned()),
            ("weir.topic", topic.to_string()),
            ("weir.partition", partition.to_string()),
            ("weir.offset", offset.to_string()),
        ] {
            self.0.push((name.to_owned(), Some(text.into_bytes())));
        }
    }

    /// A batch of one record that has them.
    fn batch(
        &self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        timestamp_ms: i64,
    ) -> weir_topics::Result<EncodedBatch> {
        let headers: Vec<_> = self
            .0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_deref()))
            .collect();
        let mut builder = BatchBuilder::new();
        builder.push(RecordRef {
            timestamp_ms,
            key,
            value,
            headers: &headers,
        })?;
        Ok(builder.build())
    }
}

fn token(
    source: TopicId,
    partition: PartitionId,
    offset: Offset,
) -> weir_topics::Result<IdempotencyToken> {
    let mut name = source.0.as_bytes().to_vec();
    name.extend_from_slice(&partition.0.to_be_bytes());
    name.extend_from_slice(&offset.0.to_be_bytes());
    IdempotencyToken::new(name)
}
