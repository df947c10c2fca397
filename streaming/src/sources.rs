//! What a query reads, how far it has come, and how far it goes next.

use tokio::sync::watch;
use weir_base::{Offset, OffsetVector, TopicId};
use weir_topics::{Partition, Pin, Topic};

use crate::error::{Error, Result};
use crate::runtime::Positions;

/// Bytes of the log that one step takes of all partitions at the most, unless a single batch is larger.
const STEP_BYTES: u64 = 8 << 20;
/// Rows that a step takes at the most.
pub(crate) const STEP_ROWS: i64 = 64 * 1024;
/// Rows up to which a step takes what is there in a partition without looking at its size.
const SMALL_STEP_ROWS: i64 = 4096;

/// A topic that a plan reads.
#[derive(Debug, Clone)]
pub(crate) struct Read {
    topic: Topic,
    /// The first offset of each partition that can be read.
    first: Vec<Offset>,
    how: How,
}

/// How a topic is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// Each record is a row.
    Stream,
    /// A table's rows are taken as they are at an offset, whatever lies before.
    Table,
    /// Of each key the newest record is a row.
    Mirror,
    /// By some as a stream, by others as a mirror.
    Both,
}

impl How {
    fn and(self, other: Self) -> Self {
        match self == other {
            true => self,
            false => Self::Both,
        }
    }

    fn is_table(self) -> bool {
        self == Self::Table
    }

    /// Whether what its records tell changes when compaction takes some away.
    fn counts_records(self) -> bool {
        matches!(self, Self::Stream | Self::Both)
    }

    /// Whether its rows at an offset are known only where compaction has not come so far.
    fn has_keys(self) -> bool {
        !matches!(self, Self::Stream)
    }
}

impl Read {
    pub(crate) fn topic(&self) -> &Topic {
        &self.topic
    }

    /// Whether what it was at an offset is known only where compaction has not come so far.
    pub(crate) fn has_keys(&self) -> bool {
        self.how.has_keys()
    }

    /// A number a partition that grows whenever rows are taken out of the topic; none while it has all that it ever had. What a
    /// table is at an offset does not depend on it.
    fn gone(&self) -> Option<Vec<Offset>> {
        if self.how.is_table() {
            return None;
        }
        let partitions = self.topic.partitions().iter().zip(&self.first);
        let gone = partitions.map(|(partition, first)| match self.how.counts_records() {
            true => Offset(first.0.saturating_add(partition.compacted_offset().0)),
            false => *first,
        });
        let gone: Vec<Offset> = gone.collect();
        gone.iter().any(|gone| *gone > Offset::ZERO).then_some(gone)
    }

    /// Adds it to others.
    pub(crate) fn add_to(self, reads: &mut Vec<Self>) {
        Self::add(reads, &self.topic, self.first, self.how);
    }

    /// Adds a topic that is read from `first` on.
    pub(crate) fn add(reads: &mut Vec<Self>, topic: &Topic, first: Vec<Offset>, how: How) {
        let known = reads.iter_mut().find(|read| read.topic.id() == topic.id());
        match known {
            // Two streams on one topic may reach back differently far.
            Some(known) => {
                let both = known.first.iter_mut().zip(first);
                both.for_each(|(known, first)| *known = first.min(*known));
                known.how = known.how.and(how);
            }
            None => reads.push(Self {
                topic: topic.clone(),
                first,
                how,
            }),
        }
    }
}

/// What is gone of topics, so that who goes on later knows whether more has gone since.
pub(crate) fn gone(reads: &[Read]) -> OffsetVector {
    let mut vector = OffsetVector::new();
    for read in reads {
        if let Some(gone) = read.gone() {
            vector.set(read.topic.name().clone(), gone);
        }
    }
    vector
}

/// Checks that a query can compute again what it gave up to `position`, when `gone_then` was gone.
///
/// # Errors
/// When rows have gone that it needs for that.
pub(crate) fn check_answer(
    reads: &[Read],
    position: &OffsetVector,
    gone_then: &OffsetVector,
) -> Result<()> {
    for read in reads {
        let name = read.topic.name();
        let at = position.topic(name).unwrap_or_default().iter();
        let mut partitions = at.zip(read.topic.partitions());
        // What each key's row was is known as long as none has been compacted away that was.
        let knows_rows = !read.how.has_keys()
            || partitions.all(|(at, partition)| *at >= partition.compacted_offset());
        let now = read.gone().unwrap_or_default();
        let then = gone_then.topic(name).unwrap_or_default().iter().copied();
        // Partitions that the topic got since have lost nothing.
        let mut both = now
            .into_iter()
            .zip(then.chain(std::iter::repeat(Offset::ZERO)));
        let is_whole = knows_rows && both.all(|(now, then)| now <= then);
        if !is_whole {
            return Err(Error::AnswerGone(name.to_string()));
        }
    }
    Ok(())
}

/// All topics of a query.
#[derive(Debug)]
pub(crate) struct Sources(Vec<Source>);

/// Ends of a step: for each source, of each partition.
pub(crate) type Ends = Vec<Vec<Offset>>;

/// What a step goes through.
#[derive(Debug, Default)]
pub(crate) struct Ranges(Vec<(TopicId, Vec<Offset>, Vec<Offset>)>);

impl Ranges {
    /// From where to where it goes through a topic, partition by partition.
    pub(crate) fn of(&self, topic: TopicId) -> Option<(&[Offset], &[Offset])> {
        let (_, from, to) = self.0.iter().find(|(id, _, _)| *id == topic)?;
        Some((from, to))
    }

    /// As [`Ranges::of`]; none when nothing of the topic is new.
    pub(crate) fn new_of(&self, topic: TopicId) -> Option<(&[Offset], &[Offset])> {
        self.of(topic).filter(|(from, to)| from != to)
    }
}

/// One topic of the query, and how far it has been read.
#[derive(Debug)]
struct Source {
    topic: Topic,
    how: How,
    /// Everything before it has been given.
    at: Vec<Offset>,
    stable: Vec<watch::Receiver<Offset>>,
}

impl Sources {
    /// Those of some topics. Without a position to go on from they start at the first rows that are there.
    ///
    /// # Errors
    /// When the position does not belong to them.
    pub(crate) fn new(reads: Vec<Read>, position: Option<&OffsetVector>) -> Result<Self> {
        if let Some(position) = position {
            check_topics(position, &reads)?;
        }
        let sources = reads.into_iter().map(|read| Source::new(read, position));
        Ok(Self(sources.collect::<Result<_>>()?))
    }

    /// Keeps what comes into tables after where they stand.
    pub(crate) fn pins(&self) -> Vec<Pin> {
        let tables = self.0.iter().filter(|source| source.how.has_keys());
        let partitions = tables.flat_map(|table| table.topic.partitions().iter().zip(&table.at));
        let pins = partitions.map(|(partition, at)| {
            let mut pin = partition.pin();
            pin.advance(*at);
            pin
        });
        pins.collect()
    }

    /// Whether what changed since where they stand can be told: no key's older rows are gone.
    pub(crate) fn is_whole(&self) -> bool {
        self.0.iter().all(|source| {
            let partitions = source.topic.partitions().iter().zip(&source.at);
            !source.how.has_keys()
                || partitions.into_iter().all(|(partition, at)| {
                    *at == Offset::ZERO
                        || (*at >= partition.start_offset() && *at >= partition.compacted_offset())
                })
        })
    }

    /// # Errors
    /// When it is not [whole](Sources::is_whole).
    pub(crate) fn check_whole(&self) -> Result<()> {
        match self.is_whole() {
            true => Ok(()),
            false => Err(Error::ChangesGone),
        }
    }

    /// Where they stand.
    pub(crate) fn position(&self) -> OffsetVector {
        let mut position = OffsetVector::new();
        for source in &self.0 {
            position.set(source.topic.name().clone(), source.at.clone());
        }
        position
    }

    /// How many rows are there that were not read.
    pub(crate) fn rows_behind(&self) -> u64 {
        self.0.iter().map(Source::rows_behind).sum()
    }

    /// How many offsets lie before where they stand.
    pub(crate) fn rows_read(&self) -> u64 {
        let at = self.0.iter().flat_map(|source| &source.at);
        at.map(|at| at.0.unsigned_abs()).sum()
    }

    /// As [`Sources::rows_behind`], if they stood at `position`.
    pub(crate) fn rows_after(&self, position: &OffsetVector) -> u64 {
        let sources = self.0.iter().zip(self.ends_at(position));
        let rows = sources.flat_map(|(source, at)| {
            let ends = source.stable.iter().map(|stable| *stable.borrow());
            at.into_iter().zip(ends)
        });
        rows.map(|(at, end)| (end.0 - at.0).max(0).unsigned_abs())
            .sum()
    }

    /// The topics.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.0.iter().map(|source| &source.topic)
    }

    /// The end of all that is there.
    pub(crate) fn stable_position(&self) -> OffsetVector {
        let mut position = OffsetVector::new();
        for source in &self.0 {
            let ends = source.stable.iter().map(|stable| *stable.borrow());
            position.set(source.topic.name().clone(), ends.collect());
        }
        position
    }

    /// As [`Sources::stable_position`], but of topics that are shown no more than that; never before where they stand.
    pub(crate) fn position_within(&self, shown: Option<&Positions>) -> OffsetVector {
        let mut position = OffsetVector::new();
        for source in &self.0 {
            let shown = shown.and_then(|shown| shown.get(&source.topic.id()));
            let ends = source.stable.iter().zip(&source.at).enumerate();
            let ends = ends.map(|(partition, (stable, at))| {
                let stable = *stable.borrow();
                let shown = shown.and_then(|shown| shown.get(partition).copied());
                shown.map_or(stable, |shown| shown.min(stable)).max(*at)
            });
            position.set(source.topic.name().clone(), ends.collect());
        }
        position
    }

    /// # Errors
    /// When a topic has got more partitions.
    pub(crate) fn check_grown(&self) -> Result<()> {
        self.0.iter().try_for_each(Source::check_grown)
    }

    /// Where each stands.
    pub(crate) fn positions(&self) -> impl Iterator<Item = (TopicId, Vec<Offset>)> {
        let sources = self.0.iter();
        sources.map(|source| (source.topic.id(), source.at.clone()))
    }

    /// Where they stand after a step to `ends`.
    pub(crate) fn position_of(&self, ends: &Ends) -> OffsetVector {
        let mut position = OffsetVector::new();
        for (source, end) in self.0.iter().zip(ends) {
            position.set(source.topic.name().clone(), end.clone());
        }
        position
    }

    /// Waits until there are rows.
    ///
    /// # Errors
    /// When a topic was dropped, or has got more partitions.
    pub(crate) async fn ready(&mut self) -> Result<()> {
        self.check_grown()?;
        while self.rows_behind() == 0 {
            self.wait().await?;
        }
        Ok(())
    }

    /// Waits until there are rows of topics that are not among `others`.
    ///
    /// # Errors
    /// As [`Sources::ready`].
    pub(crate) async fn ready_but(&mut self, others: &[TopicId]) -> Result<()> {
        self.check_grown()?;
        let is_meant = |source: &Source| !others.contains(&source.topic.id());
        loop {
            let mut meant = self.0.iter().filter(|source| is_meant(source));
            if meant.any(|source| source.rows_behind() > 0) {
                return Ok(());
            }
            self.wait_for(is_meant).await?;
        }
    }

    /// Waits until there are rows, and says how far a step of so many rows goes.
    ///
    /// # Errors
    /// When a topic was dropped, or has got more partitions.
    pub(crate) async fn next_ends(&mut self, rows: i64) -> Result<Ends> {
        self.ready().await?;
        Ok(self.ends(rows))
    }

    /// How far a step of so many rows goes now; where nothing is new, not at all.
    pub(crate) fn ends(&mut self, rows: i64) -> Ends {
        let lagging = self.0.iter().map(Source::lagging).sum::<usize>().max(1);
        let share = i64::try_from(lagging).unwrap_or(i64::MAX);
        let rows = (rows / share).max(1);
        let bytes = (STEP_BYTES / share.unsigned_abs()).max(1);
        let sources = self.0.iter_mut();
        sources.map(|source| source.next_end(rows, bytes)).collect()
    }

    /// How far a step of so many rows goes that does not pass `position`.
    pub(crate) fn ends_towards(&mut self, position: &OffsetVector, rows: i64) -> Ends {
        let mut ends = self.ends(rows);
        for ((end, most), source) in ends.iter_mut().zip(self.ends_at(position)).zip(&self.0) {
            // A table is taken as it is at the position, and not on the way there.
            let most = most.into_iter();
            match source.how.is_table() {
                true => *end = most.collect(),
                false => end
                    .iter_mut()
                    .zip(most)
                    .for_each(|(end, most)| *end = most.min(*end)),
            }
        }
        ends
    }

    /// The ends that `position` gives; where it says nothing, there is no step.
    pub(crate) fn ends_at(&self, position: &OffsetVector) -> Ends {
        let ends = self.0.iter().map(|source| {
            let wanted = position.topic(source.topic.name()).unwrap_or_default();
            let at = source.at.iter().enumerate();
            at.map(|(partition, at)| wanted.get(partition).map_or(*at, |to| *at.max(to)))
                .collect()
        });
        ends.collect()
    }

    /// From where they stand to `ends`.
    pub(crate) fn ranges(&self, ends: &Ends) -> Ranges {
        let sources = self.0.iter().zip(ends);
        Ranges(
            sources
                .map(|(source, end)| (source.topic.id(), source.at.clone(), end.clone()))
                .collect(),
        )
    }

    /// Whether a step to `ends` would go nowhere.
    pub(crate) fn is_at(&self, ends: &Ends) -> bool {
        self.0
            .iter()
            .zip(ends)
            .all(|(source, end)| source.at == *end)
    }

    /// What was read by a step.
    pub(crate) fn go_to(&mut self, ends: Ends) {
        for (source, end) in self.0.iter_mut().zip(ends) {
            source.at = end;
        }
    }

    /// Waits until any source has a row that was not read.
    async fn wait(&mut self) -> Result<()> {
        self.wait_for(|_| true).await
    }

    /// Waits until one of some sources has a row that was not read.
    async fn wait_for(&mut self, is_meant: impl Fn(&Source) -> bool) -> Result<()> {
        if !self.0.iter().any(&is_meant) {
            // Nothing ever comes.
            std::future::pending::<()>().await;
        }
        let meant = self.0.iter_mut().filter(|source| is_meant(source));
        let waits = meant.flat_map(|source| {
            let topic = source.topic.name().clone();
            source.stable.iter_mut().map(move |stable| {
                let topic = topic.clone();
                Box::pin(async move {
                    let moved = stable.changed().await;
                    moved.map_err(|_closed| Error::Dropped(topic.to_string()))
                })
            })
        });
        let (woken, _, _) = futures::future::select_all(waits).await;
        woken?;
        // A topic that is deleted or grows wakes its readers too.
        self.check_grown()?;
        self.0.iter().try_for_each(Source::check_exists)
    }
}

impl Source {
    fn new(read: Read, position: Option<&OffsetVector>) -> Result<Self> {
        let Read { topic, first, how } = read;
        let name = topic.name().to_string();
        let mut at = first;
        if let Some(wanted) = position.and_then(|position| position.topic(topic.name())) {
            // Partitions that the topic got since are read from their beginning.
            if wanted.len() > at.len() {
                return Err(Error::WrongPosition(format!(
                    "topic {name} has {} partitions, not {}",
                    at.len(),
                    wanted.len()
                )));
            }
            let partitions = topic.partitions().iter().zip(&at);
            for ((wanted, (partition, first)), number) in wanted.iter().zip(partitions).zip(0u32..)
            {
                if wanted < first {
                    return Err(Error::RowsGone {
                        topic: name,
                        partition: number,
                        wanted: wanted.0,
                        start: first.0,
                    });
                }
                if *wanted > partition.last_stable_offset() {
                    return Err(Error::WrongPosition(format!(
                        "topic {name} partition {number} ends at offset {}, before {wanted}",
                        partition.last_stable_offset()
                    )));
                }
            }
            for (at, wanted) in at.iter_mut().zip(wanted) {
                *at = *wanted;
            }
        }
        let stable = topic
            .partitions()
            .iter()
            .map(Partition::watch_committed)
            .collect();
        Ok(Self {
            topic,
            how,
            at,
            stable,
        })
    }

    fn check_grown(&self) -> Result<()> {
        match self.topic.has_grown() {
            true => Err(Error::Grown(self.topic.name().to_string())),
            false => Ok(()),
        }
    }

    fn check_exists(&self) -> Result<()> {
        let mut partitions = self.topic.partitions().iter().zip(&self.at);
        partitions.try_for_each(|(partition, at)| match partition.read(*at, *at, 0) {
            Ok(_) => Ok(()),
            Err(weir_topics::Error::TopicNotFound(topic)) => Err(Error::Dropped(topic)),
            Err(error) => Err(Error::Connector(error.into())),
        })
    }

    /// The rows that are there and were not read, partition by partition.
    fn behind(&self) -> impl Iterator<Item = i64> {
        let ends = self.stable.iter().map(|stable| *stable.borrow());
        self.at
            .iter()
            .zip(ends)
            .map(|(at, end)| (end.0 - at.0).max(0))
    }

    fn rows_behind(&self) -> u64 {
        self.behind().map(i64::unsigned_abs).sum()
    }

    /// How many partitions have rows that were not read.
    fn lagging(&self) -> usize {
        self.behind().filter(|rows| *rows > 0).count()
    }

    /// Where the next step ends: all that is there, up to each partition's share of a step.
    fn next_end(&mut self, rows: i64, bytes: u64) -> Vec<Offset> {
        let partitions = self.topic.partitions().iter();
        let read = self.at.iter().zip(&mut self.stable).zip(partitions);
        read.map(|((at, stable), partition)| {
            let stable = *stable.borrow_and_update();
            if self.how.is_table() {
                return stable.max(*at);
            }
            let most = stable.min(Offset(at.0.saturating_add(rows))).max(*at);
            if most.0 - at.0 <= SMALL_STEP_ROWS {
                return most;
            }
            // A range of no length would be no progress.
            let ranges = partition.ranges(*at, most, bytes);
            ranges
                .first()
                .map(|first| first.end)
                .filter(|end| end > at)
                .map_or(most, |end| end.min(most))
        })
        .collect()
    }
}

/// A token must name exactly the topics that the query reads.
fn check_topics(position: &OffsetVector, reads: &[Read]) -> Result<()> {
    for (topic, _) in position.iter() {
        if reads.iter().all(|read| read.topic.name() != topic) {
            return Err(Error::WrongPosition(format!(
                "the query does not read topic {topic}"
            )));
        }
    }
    match reads
        .iter()
        .find(|read| position.topic(read.topic.name()).is_none())
    {
        Some(missing) => Err(Error::WrongPosition(format!(
            "it says nothing of topic {}",
            missing.topic.name()
        ))),
        None => Ok(()),
    }
}
