//! Histories: of each stream the Parquet files of its closed segments, and the work that makes them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{Notify, OnceCell};
use weir_base::{Classify, Kind, Offset, PartitionId, SqlState, TopicId};
use weir_catalog::{Body, Entry, ObjectId, Stream};
use weir_connectors::topic::{History, HistoryFile, HistoryPlace};
use weir_topics::{Partition, Topic, TopicConfig};

use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::lanes::Lane;
use crate::rows::row_schema;

/// The name of a stream's option.
pub(crate) const OPTION: &str = "history";

/// Where a stream keeps the rows of closed segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HistoryMode {
    /// In Parquet, and in the log for Kafka's consumers, as long as retention has it.
    Both,
    /// In Parquet only: the log lets go of a segment when it is converted.
    Parquet,
    /// In the log only.
    Log,
}

/// The histories that are in use.
#[derive(Default)]
pub(crate) struct Histories {
    place: OnceCell<HistoryPlace>,
    open: Mutex<HashMap<(ObjectId, TopicId), Arc<Slot>>>,
    /// Streams that could not be converted.
    failures: Mutex<HashMap<ObjectId, Failure>>,
    /// Wakes the work when a history may have something to do.
    wake: Arc<Notify>,
}

type Slot = OnceCell<Arc<History>>;

/// Why a stream could not be converted. It is said once, and tried again after longer and longer.
#[derive(Debug, Clone)]
struct Failure {
    text: String,
    wait_ms: i64,
    again_at_ms: i64,
}

/// How long a stream that cannot be converted is left alone, at first and at most.
const WAIT_MS: i64 = 5_000;
const WAIT_MS_MAX: i64 = 300_000;

impl Failure {
    /// The next one of a stream that failed before.
    fn after(before: Option<&Self>, text: String, now_ms: i64) -> Self {
        let wait_ms = before.map_or(WAIT_MS, |before| (before.wait_ms * 2).min(WAIT_MS_MAX));
        Self {
            text,
            wait_ms,
            again_at_ms: now_ms.saturating_add(wait_ms),
        }
    }
}

impl HistoryMode {
    /// What a stream's option says.
    ///
    /// # Errors
    /// 22023 when it is none of the words.
    pub(crate) fn parse(word: &str) -> Result<Self> {
        match word {
            "both" => Ok(Self::Both),
            "parquet" => Ok(Self::Parquet),
            "log" => Ok(Self::Log),
            _ => Err(Error::invalid(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("option \"history\" cannot be {word:?}"),
            )
            .with_hint("use 'both' (Parquet beside the log), 'parquet' or 'log'")),
        }
    }

    /// The word that [`HistoryMode::parse`] reads.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Parquet => "parquet",
            Self::Log => "log",
        }
    }

    /// That of a stream. Raw values gain nothing from columns, so they stay in the log unless told otherwise; a compacted topic
    /// has no rows that stay, nor has one whose records are changes.
    pub(crate) fn of(stream: &Stream) -> Result<Self> {
        match stream.options.get(OPTION) {
            Some(word) => Self::parse(word),
            None if stream.is_raw() || stream.is_changelog() => Ok(Self::Log),
            None => Ok(Self::Both),
        }
    }
}

/// Refuses a history that cannot be: of a compacted topic, whose records do not stay, or of columns that Parquet does not know.
///
/// # Errors
/// 22023, 0A000.
pub(crate) fn check(
    engine: &Shared,
    entry: &Entry,
    options: &BTreeMap<String, String>,
    config: &TopicConfig,
) -> Result<()> {
    let Some(word) = options.get(OPTION) else {
        return Ok(());
    };
    if HistoryMode::parse(word)? == HistoryMode::Log {
        return Ok(());
    }
    if matches!(&entry.body, Body::Stream(stream) if stream.is_changelog()) {
        return Err(Error::unsupported(
            "a history of changes: what a stream of this format shows are rows",
        )
        .with_hint("leave history out"));
    }
    if config.cleanup.compacts() {
        return Err(Error::invalid(
            SqlState::INVALID_PARAMETER_VALUE,
            "a compacted topic has no history: its records do not stay",
        )
        .with_hint("use history = 'log' or \"cleanup.policy\" = 'delete'"));
    }
    Ok(History::can_hold(&row_schema(engine, entry)?)?)
}

impl Histories {
    /// The history of a stream, if it has or had one. It is read when it is first asked for.
    ///
    /// # Errors
    /// When the place of histories cannot be reached, or a manifest cannot be used.
    pub(crate) async fn of(&self, engine: &Shared, entry: &Entry) -> Result<Option<Arc<History>>> {
        if Self::has_none(entry) {
            return Ok(None);
        }
        let Some((_, topic_id)) = entry.topic() else {
            return Ok(None);
        };
        let slot = {
            let mut open = self.open.lock();
            Arc::clone(open.entry((entry.id, topic_id)).or_default())
        };
        let history = slot
            .get_or_try_init(|| async {
                let place = self.place(engine).await?.clone();
                let topic = engine.topic_of(entry)?;
                let history = History::open(place, &topic, entry.id.0).await;
                let history = history.map_err(|error| {
                    Error::from(error).in_context(&format!("the history of {}", entry.describe()))
                })?;
                Ok::<_, Error>(Arc::new(history))
            })
            .await?;
        Ok(Some(Arc::clone(history)))
    }

    /// The Parquet files of a stream, as far as its history has been looked at.
    pub(crate) fn files(&self, stream: ObjectId) -> Vec<HistoryFile> {
        let open = self.open.lock();
        let slots = open.iter().filter(|((id, _), _)| *id == stream);
        let known = slots.filter_map(|(_, slot)| slot.get());
        known.flat_map(|history| history.view().files()).collect()
    }

    /// Wakes the work: a stream was made, changed or dropped.
    pub(crate) fn changed(&self) {
        // What failed may do now.
        self.failures.lock().clear();
        self.wake.notify_one();
    }

    /// Forgets the history of a stream that was dropped, and removes its files. What cannot be removed now is said.
    pub(crate) async fn dropped(&self, engine: &Shared, entry: &Entry) {
        let Some((topic, topic_id)) = entry.topic() else {
            return;
        };
        self.failures.lock().remove(&entry.id);
        let known = self.open.lock().remove(&(entry.id, topic_id));
        match known {
            Some(slot) => {
                if let Some(history) = slot.get() {
                    history.retire().await;
                }
            }
            None if Self::has_none(entry) => return,
            None => {}
        }
        let removed = async {
            let place = self.place(engine).await?;
            Ok::<_, Error>(History::remove(place, topic.as_str(), entry.id.0).await?)
        };
        if let Err(error) = removed.await {
            tracing::warn!(stream = %entry.name, %error, "the history of a dropped stream stays where it is");
        }
    }

    /// Whether it is nothing that has or had a history.
    fn has_none(entry: &Entry) -> bool {
        match &entry.body {
            Body::Stream(stream) => {
                stream.is_changelog() || stream.is_raw() && !stream.options.contains_key(OPTION)
            }
            _ => true,
        }
    }

    async fn place(&self, engine: &Shared) -> Result<&HistoryPlace> {
        self.place
            .get_or_try_init(|| async {
                let settings = &engine.settings.history;
                let Some(location) = &settings.location else {
                    let dir = engine.settings.data_dir.join("history");
                    return Ok(HistoryPlace::local(&engine.stores, &dir)?);
                };
                let name = settings.connection.as_deref().unwrap_or_default();
                let snapshot = engine.catalog.snapshot();
                let connection = crate::planning::files::connection(&snapshot, name)?;
                Ok(HistoryPlace::remote(&engine.stores, location, &connection)?)
            })
            .await
    }

    /// Begins the work: one round now and then and when something changed, until the engine is closed or gone.
    pub(crate) fn start(engine: &Arc<Shared>) {
        let weak = Arc::downgrade(engine);
        let wait = engine.settings.history.interval;
        let (wake, closing) = (Arc::clone(&engine.histories.wake), engine.closing.clone());
        engine.lanes.spawn(Lane::Heavy, async move {
            if let Some(engine) = Weak::upgrade(&weak) {
                engine.histories.remove_orphans(&engine).await;
            }
            while let Some(engine) = Weak::upgrade(&weak) {
                engine.histories.round(&engine).await;
                // Only while it works does it keep the engine.
                drop(engine);
                tokio::select! {
                    () = closing.cancelled() => return,
                    () = wake.notified() => {}
                    () = tokio::time::sleep(wait) => {}
                }
            }
        });
    }

    /// Does what there is to do for every stream. A stream that fails does not keep the others.
    pub(crate) async fn round(&self, engine: &Arc<Shared>) {
        let snapshot = engine.catalog.snapshot();
        for entry in snapshot.relations() {
            if engine.closing.is_cancelled() {
                return;
            }
            let now_ms = engine.clock.now_ms();
            let before = self.failures.lock().get(&entry.id).cloned();
            if before
                .as_ref()
                .is_some_and(|before| now_ms < before.again_at_ms)
            {
                continue;
            }
            match self.stream(engine, entry).await {
                Ok(()) => {
                    self.failures.lock().remove(&entry.id);
                }
                // It was dropped meanwhile.
                Err(error) if error.kind() == Kind::NotFound => {}
                Err(error) => {
                    let text = error.to_string();
                    if before.as_ref().is_none_or(|before| before.text != text) {
                        tracing::warn!(stream = %entry.name, %error, "cannot keep the history of a stream");
                    }
                    let failure = Failure::after(before.as_ref(), text, now_ms);
                    self.failures.lock().insert(entry.id, failure);
                }
            }
        }
    }

    /// Why the last try to convert a stream failed, if it did.
    pub(crate) fn failure(&self, stream: ObjectId) -> Option<String> {
        let failures = self.failures.lock();
        failures.get(&stream).map(|failure| failure.text.clone())
    }

    /// Up to where all streams over a topic have a partition's rows in Parquet: what the log can do without. None when one of them
    /// reads the log alone.
    async fn all_have(
        &self,
        engine: &Shared,
        topic: &Topic,
        partition: PartitionId,
    ) -> Result<Option<Offset>> {
        let snapshot = engine.catalog.snapshot();
        let mut least: Option<Offset> = None;
        for entry in snapshot.by_topic(topic.id()) {
            let Some(history) = self.of(engine, entry).await? else {
                return Ok(None);
            };
            let Some(end) = history.end(partition) else {
                return Ok(None);
            };
            least = Some(least.map_or(end, |least| least.min(end)));
        }
        Ok(least)
    }

    async fn remove_orphans(&self, engine: &Shared) {
        let snapshot = engine.catalog.snapshot();
        let known = snapshot.relations().filter_map(|entry| {
            let (topic, _) = entry.topic()?;
            Some((topic.to_string(), entry.id.0))
        });
        let known = known.collect();
        let removed = async {
            let place = self.place(engine).await?;
            Ok::<_, Error>(History::remove_orphans(place, &known).await?)
        };
        // A place that cannot be reached is said when a stream needs it.
        if let Err(error) = removed.await {
            tracing::debug!(%error, "the place of history was not looked through");
        }
    }

    async fn stream(&self, engine: &Arc<Shared>, entry: &Entry) -> Result<()> {
        let Body::Stream(stream) = &entry.body else {
            return Ok(());
        };
        let Some(history) = self.of(engine, entry).await? else {
            return Ok(());
        };
        let mode = HistoryMode::of(stream)?;
        let topic = engine.topic_of(entry)?;
        let config = topic.config();
        // First, so that what cannot be converted keeps nothing from going.
        if config.cleanup.deletes() {
            let now = engine.clock.now_ms();
            let (age, size) = (config.retention_ms, config.retention_bytes);
            history.retain(&topic, now, age, size).await?;
        }
        history.sweep().await?;
        let has_closed = |partition: &Partition| partition.segment_count() > 1;
        let is_due = !history.view().is_empty() || topic.partitions().iter().any(has_closed);
        if mode != HistoryMode::Log && !config.cleanup.compacts() && is_due {
            let rows = Arc::new(row_schema(engine, entry)?);
            if let Err(error) = History::can_hold(&rows) {
                // Who did not ask for it need not hear of it: the rows stay in the log.
                return match stream.options.contains_key(OPTION) {
                    true => Err(error.into()),
                    false => Ok(()),
                };
            }
            for partition in topic.partitions() {
                let number = partition.id();
                let target = engine.settings.history.file_bytes.0;
                loop {
                    let context = engine.base_state.task_ctx();
                    let done = history
                        .convert_next(&topic, number, &rows, context, target)
                        .await?;
                    let Some(done) = done else { break };
                    tracing::debug!(stream = %entry.name, partition = %number, from = %done.start, to = %done.end, "converted");
                    if engine.closing.is_cancelled() {
                        return Ok(());
                    }
                }
                if mode == HistoryMode::Parquet
                    && let Some(end) = self.all_have(engine, &topic, number).await?
                    && end > partition.start_offset()
                {
                    let partition = partition.clone();
                    blocking(move || Ok(partition.delete_before(end)?)).await?;
                }
            }
        }
        Ok(())
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Error::new(Kind::Internal, error.to_string())))
}
