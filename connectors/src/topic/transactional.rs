//! Records and the position that they bring a reader of other topics to, written together or not at all.
//!
//! It is what Kafka's clients call *consume, transform, produce*: the records of a step are a transaction, and the offsets of the
//! sources are those of a group, which the same transaction commits. Whoever reads committed records only sees each step once;
//! the group says how far the sink is, to us and to every tool that shows groups.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use weir_base::{Kind, Offset, OffsetVector, PartitionId};
use weir_topics::groups::{CommitRequest, Groups, Membership, OffsetCommit};
use weir_topics::transactions::{
    InitProducer, Outcome, TransactionVersion, TransactionalProducer, Transactions,
};
use weir_topics::{Appended, EncodedBatch, Topic, TopicLog};

use crate::{Error, Result};

/// How long a transaction may be open: far longer than a step takes to write.
const TIMEOUT_MS: i32 = 5 * 60 * 1000;

/// Writes to a topic in transactions that carry a position.
#[derive(Debug)]
pub struct TransactionalWriter {
    topic: Topic,
    transactions: Transactions,
    progress: SourceProgress,
    producer: Option<TransactionalProducer>,
    /// How many records of the producer each partition has.
    sequences: HashMap<PartitionId, i32>,
}

/// How far some topics were read, as the offsets of a consumer group.
#[derive(Debug, Clone)]
pub struct SourceProgress {
    groups: Groups,
    group_id: String,
    sources: Vec<Topic>,
}

/// What a group says about how far its sink is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Noted {
    /// Up to where all was written; none where nothing was.
    pub position: Option<OffsetVector>,
    /// Where a write leads that was announced.
    pub next: Option<OffsetVector>,
}

/// What is noted beside the offset of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Note {
    /// What is before the offset was written.
    Done,
    /// And then it was announced that what is before this one is written.
    Next(Offset),
    /// The offset itself was announced, and nothing had been written.
    First,
}

impl Note {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "" => Some(Self::Done),
            "first" => Some(Self::First),
            next => Some(Self::Next(Offset(
                next.strip_prefix("next ")?.parse().ok()?,
            ))),
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => Ok(()),
            Self::Next(end) => write!(f, "next {end}"),
            Self::First => f.write_str("first"),
        }
    }
}

impl TransactionalWriter {
    /// A writer to `topic`, which has its name to itself: the next of the same name takes its place.
    pub fn new(log: &TopicLog, topic: Topic, progress: SourceProgress) -> Self {
        Self {
            topic,
            transactions: log.transactions(),
            progress,
            producer: None,
            sequences: HashMap::new(),
        }
    }

    /// The topic that it writes to.
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// Makes sure that no earlier writer of the name writes any more, and gives up what it has not committed. Answers the position of
    /// the last commit.
    ///
    /// # Errors
    /// When the log cannot write; *unavailable* while a transaction of before is being ended.
    pub async fn begin(&mut self) -> Result<Option<OffsetVector>> {
        let request = InitProducer {
            transactional_id: self.progress.group_id.clone(),
            timeout_ms: TIMEOUT_MS,
            current: None,
        };
        let transactional_id = request.transactional_id.clone();
        let producer = self.transactions.init_producer(request).await?;
        self.producer = Some(TransactionalProducer {
            transactional_id,
            producer,
        });
        self.sequences.clear();
        Ok(self.progress.noted()?.position)
    }

    /// Writes batches and the position that they lead to, in one transaction: readers see them on return.
    ///
    /// # Errors
    /// When the log does not take them. Whether they were committed, the next [`TransactionalWriter::begin`] says.
    pub async fn commit(
        &mut self,
        batches: Vec<(PartitionId, EncodedBatch)>,
        position: &OffsetVector,
    ) -> Result<()> {
        let producer = self.producer.clone();
        let producer = producer.ok_or_else(|| {
            Error::new(
                Kind::Internal,
                "a transaction of a writer that has not begun",
            )
        })?;
        let touched: BTreeSet<PartitionId> =
            batches.iter().map(|(partition, _)| *partition).collect();
        let places: Vec<_> = touched
            .into_iter()
            .map(|partition| (self.topic.id(), partition))
            .collect();
        if !places.is_empty() {
            let added = self.transactions.add_partitions(&producer, &places).await?;
            added.into_iter().collect::<Result<(), _>>()?;
        }
        let mut appended: Vec<Appended> = Vec::with_capacity(batches.len());
        for (partition, batch) in batches {
            let log = self.topic.partition(partition)?;
            log.ready().await?;
            let sequence = self.sequences.entry(partition).or_default();
            let records = i64::from(batch.record_count());
            let batch = batch.in_transaction(producer.producer, *sequence)?;
            // After the largest comes 0 (KIP-98).
            let next = (i64::from(*sequence) + records) % (i64::from(i32::MAX) + 1);
            *sequence = i32::try_from(next).unwrap_or_default();
            appended.push(log.append(batch, None)?);
        }
        for appended in appended {
            appended.durable().await?;
        }
        let version = TransactionVersion::V1;
        let group_id = &self.progress.group_id;
        self.transactions
            .add_offsets(&producer, group_id)
            .await
            .map_err(group_error)?;
        let request = self.progress.request(Some(position), None)?;
        self.transactions
            .commit_offsets(&producer, request, version)
            .await
            .map_err(group_error)?;
        self.transactions
            .end(&producer, Outcome::Commit, version)
            .await?;
        Ok(())
    }
}

impl SourceProgress {
    /// Of a group that reads `sources`.
    pub fn new(log: &TopicLog, group_id: impl Into<String>, sources: Vec<Topic>) -> Self {
        Self {
            groups: log.groups(),
            group_id: group_id.into(),
            sources,
        }
    }

    /// What was noted last.
    ///
    /// # Errors
    /// When it makes no position.
    pub fn noted(&self) -> Result<Noted> {
        let noted = self.groups.committed(&self.group_id);
        if noted.is_empty() {
            return Ok(Noted::default());
        }
        let broken = || {
            let message = format!("the offsets of group {:?} make no position", self.group_id);
            Error::new(Kind::Corrupt, message)
                .with_hint("somebody has changed them: what was written is not known any more; drop the sink, and create it anew with another target")
        };
        let (mut position, mut next) = (OffsetVector::new(), OffsetVector::new());
        let (mut is_first, mut announces) = (false, false);
        for source in &self.sources {
            let mut of_source: Vec<_> = noted
                .iter()
                .filter(|(topic, _, _)| *topic == source.id())
                .collect();
            of_source.sort_unstable_by_key(|(_, partition, _)| *partition);
            let mut in_order = (0u32..).zip(&of_source);
            if of_source.is_empty() || in_order.any(|(at, (_, is, _))| PartitionId(at) != *is) {
                return Err(broken());
            }
            let (mut at, mut to) = (Vec::new(), Vec::new());
            for (_, _, committed) in of_source {
                let note = Note::parse(&committed.metadata).ok_or_else(broken)?;
                is_first |= note == Note::First;
                announces |= note != Note::Done;
                at.push(committed.offset);
                to.push(match note {
                    Note::Next(end) => end,
                    Note::First | Note::Done => committed.offset,
                });
            }
            position.set(source.name().clone(), at);
            next.set(source.name().clone(), to);
        }
        Ok(Noted {
            position: (!is_first).then_some(position),
            next: announces.then_some(next),
        })
    }

    /// Notes a position, none where nothing was written, and announces the one that comes next; durable on return.
    ///
    /// # Errors
    /// When the log cannot write.
    pub async fn note(
        &self,
        position: Option<&OffsetVector>,
        next: Option<&OffsetVector>,
    ) -> Result<()> {
        let request = self.request(position, next)?;
        self.groups.commit(request).await.map_err(group_error)
    }

    fn request(
        &self,
        position: Option<&OffsetVector>,
        next: Option<&OffsetVector>,
    ) -> Result<CommitRequest> {
        let missing = |topic: &Topic| {
            let message = format!("a position says nothing of topic {}", topic.name());
            Error::new(Kind::Internal, message)
        };
        let mut offsets = Vec::new();
        for source in &self.sources {
            let at = position.or(next).and_then(|at| at.topic(source.name()));
            let at = at.ok_or_else(|| missing(source))?;
            for (partition, offset) in (0u32..).zip(at) {
                let partition = PartitionId(partition);
                let note = match (position, next) {
                    (None, _) => Note::First,
                    (Some(_), None) => Note::Done,
                    (Some(_), Some(next)) => {
                        let end = next.end(source.name(), partition);
                        Note::Next(end.ok_or_else(|| missing(source))?)
                    }
                };
                offsets.push(OffsetCommit {
                    topic: source.id(),
                    partition,
                    offset: *offset,
                    leader_epoch: -1,
                    metadata: note.to_string(),
                });
            }
        }
        Ok(CommitRequest {
            membership: Membership {
                group_id: self.group_id.clone(),
                member_id: String::new(),
                instance_id: None,
                generation: -1,
            },
            offsets,
        })
    }
}

fn group_error(error: weir_topics::groups::GroupError) -> Error {
    use weir_base::Classify;
    let ours = Error::new(error.kind(), error.to_string()).with_sqlstate(error.sqlstate());
    let ours = match error.hint() {
        Some(hint) => ours.with_hint(hint),
        None => ours,
    };
    ours.with_source(error)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_note_reads_back_as_it_was(end in 0..i64::MAX) {
            for note in [Note::Done, Note::Next(Offset(end)), Note::First] {
                prop_assert_eq!(Note::parse(&note.to_string()), Some(note));
            }
        }

        #[test]
        fn no_note_panics(text in ".*") {
            let _ = Note::parse(&text);
        }
    }
}
