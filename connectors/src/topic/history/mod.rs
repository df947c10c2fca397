//! History: closed segments of a stream as Parquet files.
//!
//! A stream's rows up to some offset of each partition are in Parquet, those from there on in the log. A manifest for each
//! partition says which file answers for which offsets; it is replaced in one step, so that a reader sees the rows of a segment in
//! the one place or in the other. Files are written once and never changed.
//!
//! # The folder
//! ```text
//! <topic>/<stream id>/partition=0/_manifest.json
//! <topic>/<stream id>/partition=0/00000000000000000000-00000000000000704512-0.parquet     first offset, exclusive end, a number
//! ```
//! A file has the stream's columns under the names that they had when it was written, and the hidden columns, in order of `_offset`;
//! other tools read the folder as a table with Hive partitions. Only files that the manifest names count.
//!
//! # What holds
//! - A file is durable before the manifest names it, and the manifest before the log lets go of anything.
//! - A file is read only where its columns are the stream's present ones, or where the log has the records no longer.
//! - A file that a query has in hand is removed after it.

mod convert;
mod files;
mod kept;
mod manifest;
mod next;
mod place;
mod sections;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use datafusion::config::ConfigOptions;
use datafusion::execution::TaskContext;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_plan::ExecutionPlan;
use object_store::ObjectMeta;
use object_store::path::Path;
use parking_lot::{Mutex, RwLock};
use weir_base::{Kind, Offset, PartitionId, TopicId, TopicName};
use weir_topics::{Partition, Topic};

use self::kept::{Doomed, Kept};
pub(crate) use self::manifest::DataFile;
use self::manifest::{Manifest, Shape, Unusable};
use super::hold::TopicHold;
use super::scan::TopicScanExec;
use super::schema::RowSchema;
use crate::{Error, Result};
pub use next::Conversion;
pub use place::HistoryPlace;
pub(crate) use sections::{Bounds, Section};

/// The history of one stream. It has one writer; readers take [`History::view`].
#[derive(Debug)]
pub struct History {
    place: HistoryPlace,
    topic: TopicName,
    topic_id: TopicId,
    stream: String,
    partitions: RwLock<Vec<Arc<Kept>>>,
    doomed: Mutex<Doomed>,
    /// Held by the one who changes a manifest.
    changing: tokio::sync::Mutex<()>,
    /// Its stream was dropped: nothing is written any more.
    retired: AtomicBool,
}

/// The state of a history at one moment, held for a query. Clones are the same state.
#[derive(Debug, Clone)]
pub struct HistoryView {
    place: HistoryPlace,
    topic: String,
    stream: String,
    partitions: Vec<Arc<Kept>>,
}

/// A part of a file that is to be read.
#[derive(Debug, Clone)]
pub(crate) struct FilePart {
    pub(crate) partition: PartitionId,
    pub(crate) file: DataFile,
    pub(crate) range: Bounds,
}

impl FilePart {
    /// Whether it is all of the file's rows.
    pub(crate) fn is_whole(&self) -> bool {
        self.range.start <= self.file.start && self.range.end >= self.file.end
    }
}

/// A Parquet file of a history, as `weir.history` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryFile {
    /// The partition.
    pub partition: PartitionId,
    /// Where it is, as a user would write it.
    pub location: String,
    /// The first offset that it answers for.
    pub start: Offset,
    /// The exclusive end of the offsets that it answers for.
    pub end: Offset,
    /// How many rows it has.
    pub rows: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// The smallest timestamp, in milliseconds since the epoch.
    pub min_timestamp_ms: i64,
    /// The largest timestamp, in milliseconds since the epoch.
    pub max_timestamp_ms: i64,
}

impl History {
    /// Opens what there is of the history of a stream, whose number no other stream ever had, and removes what an earlier run did not
    /// finish.
    ///
    /// # Errors
    /// When the place cannot be read; [`Kind::Corrupt`] when a manifest cannot be used and the log has not all records that it
    /// answered for.
    pub async fn open(place: HistoryPlace, topic: &Topic, stream: u64) -> Result<Self> {
        let history = Self {
            place,
            stream: stream.to_string(),
            topic: topic.name().clone(),
            topic_id: topic.id(),
            partitions: RwLock::default(),
            doomed: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
            retired: AtomicBool::new(false),
        };
        for partition in topic.partitions() {
            let kept = history.load(partition).await?;
            history.partitions.write().push(Arc::new(kept));
        }
        Ok(history)
    }

    /// Whether rows of this schema can be kept in Parquet.
    ///
    /// # Errors
    /// Refused, with the reason, when a column has a type that Parquet does not know.
    pub fn can_hold(rows: &RowSchema) -> Result<()> {
        convert::can_hold(&rows.schema_with_hidden()).map_err(|reason| {
            Error::unsupported(format!("history in Parquet: {reason}"))
                .with_hint("history = 'log' keeps the rows in the log only")
        })
    }

    /// The present state, for a query. Take hold of the log before: what the log lets go of is here by then.
    pub fn view(&self) -> HistoryView {
        HistoryView {
            place: self.place.clone(),
            topic: self.topic.to_string(),
            stream: self.stream.clone(),
            partitions: self.partitions.read().clone(),
        }
    }

    /// The exclusive end of what Parquet answers for in a partition; none without files.
    pub fn end(&self, partition: PartitionId) -> Option<Offset> {
        self.kept(partition).manifest.end()
    }

    /// Converts the next closed segments of a partition, or a file whose columns are no longer the stream's. Answers what was
    /// done; nothing when there is nothing to do.
    ///
    /// # Errors
    /// When a record cannot be read or decoded, or the store fails; then nothing has changed.
    pub async fn convert_next(
        &self,
        topic: &Topic,
        partition: PartitionId,
        rows: &Arc<RowSchema>,
        context: Arc<TaskContext>,
        bytes_target: u64,
    ) -> Result<Option<Conversion>> {
        let _changing = self.changing.lock().await;
        if self.retired.load(Ordering::Acquire) {
            return Ok(None);
        }
        let log = topic.partition(partition)?;
        let kept = self.kept(partition);
        let shape = rows.fingerprint();
        // First, so that what is chosen stays.
        let hold = TopicHold::now(topic.clone());
        let next = next::next(
            &kept.manifest,
            &log.segments(),
            hold.log_start(log),
            log.last_stable_offset(),
            shape,
            bytes_target,
        );
        let Some(next) = next else { return Ok(None) };
        let all: Vec<usize> = (0..rows.schema_with_hidden().fields().len()).collect();
        let range = next.start..next.end;
        let scan = TopicScanExec::of_partition(&hold, rows, all, partition, range)?;
        let number = kept.manifest.written;
        let name = format!("{:020}-{:020}-{number}.parquet", next.start.0, next.end.0);
        let path = self.path(partition, &name);
        let scanned = scan.execute(0, context).map_err(crate::files::internal)?;
        let written = match convert::write(&self.place, &path, scanned).await {
            Ok(written) => written,
            Err(error) => {
                // Nothing names it; the next start would remove it too.
                if let Err(error) = self.place.remove(&path).await {
                    tracing::warn!(file = %self.place.shown(&path), %error, "an unfinished file of history stays");
                }
                return Err(error);
            }
        };
        if self.retired.load(Ordering::Acquire) {
            self.place.remove(&path).await?;
            return Ok(None);
        }
        fail::fail_point!("history::written", |_| std::process::abort());
        let file = DataFile {
            name,
            start: next.start,
            end: next.end,
            rows: written.rows,
            bytes: written.bytes,
            min_timestamp_ms: written.min_timestamp_ms,
            max_timestamp_ms: written.max_timestamp_ms,
            shape: shape.to_owned(),
        };
        let changed = kept.manifest.with(file, Shape::of(rows));
        self.change(partition, &kept, changed).await?;
        fail::fail_point!("history::named", |_| std::process::abort());
        Ok(Some(next))
    }

    /// Lets go of files that retention does not keep, by the rule of the log's own.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn retain(
        &self,
        topic: &Topic,
        now_ms: i64,
        retention_ms: Option<u64>,
        retention_bytes: Option<u64>,
    ) -> Result<()> {
        if retention_ms.is_none() && retention_bytes.is_none() {
            return Ok(());
        }
        for partition in topic.partitions() {
            let kept = self.kept(partition.id());
            let Some(end) = kept.manifest.end() else {
                continue;
            };
            let segments = partition.segments().into_iter();
            let newer = segments.filter(|segment| segment.base_offset >= end);
            let start = manifest::retained_from(
                &kept.manifest.files,
                newer.map(|segment| segment.bytes).sum(),
                now_ms,
                retention_ms,
                retention_bytes,
            );
            if let Some(start) = start {
                self.delete_before(partition.id(), start).await?;
            }
        }
        Ok(())
    }

    /// Lets go of the rows of a partition before `start`, and of the files that have no others. What the log still has of them is
    /// for the log to let go of.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn delete_before(&self, partition: PartitionId, start: Offset) -> Result<()> {
        let _changing = self.changing.lock().await;
        let kept = self.kept(partition);
        let changed = kept.manifest.starting_at(start);
        if changed != kept.manifest {
            self.change(partition, &kept, changed).await?;
        }
        Ok(())
    }

    /// Removes files that no manifest names and no query reads. Those of a query that still runs are left for the next time.
    ///
    /// # Errors
    /// When the store fails; what was not removed is left for the next start.
    pub async fn sweep(&self) -> Result<()> {
        let unread = self.doomed.lock().unread();
        for path in unread {
            self.place.remove(&path).await?;
        }
        Ok(())
    }

    /// Writes nothing any more: the stream was dropped. Waits for a conversion that is under way.
    pub async fn retire(&self) {
        self.retired.store(true, Ordering::Release);
        let _changing = self.changing.lock().await;
    }

    /// Removes what a local place has of streams that are not there: topic and number. A crash can leave it between the dropping of a
    /// stream and the removal of its files. An object store is left alone, as others may use it too.
    ///
    /// # Errors
    /// When the place cannot be read or changed.
    pub async fn remove_orphans(
        place: &HistoryPlace,
        known: &BTreeSet<(String, u64)>,
    ) -> Result<()> {
        if !place.is_local() {
            return Ok(());
        }
        for file in place.list(&place.path(&[])).await? {
            let inner = place.inner(&file.location);
            let mut parts = inner.parts();
            let (Some(topic), Some(stream)) = (parts.next(), parts.next()) else {
                continue;
            };
            let Ok(stream) = stream.as_ref().parse::<u64>() else {
                continue;
            };
            if !known.contains(&(topic.as_ref().to_owned(), stream)) {
                place.remove(&file.location).await?;
            }
        }
        Ok(())
    }

    /// Removes everything of a stream that was dropped.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn remove(place: &HistoryPlace, topic: &str, stream: u64) -> Result<()> {
        let folder = place.path(&[topic, &stream.to_string()]);
        for file in place.list(&folder).await? {
            place.remove(&file.location).await?;
        }
        Ok(())
    }

    /// Puts a manifest in the place of `before`, on disk first.
    async fn change(&self, partition: PartitionId, before: &Kept, next: Manifest) -> Result<()> {
        let json = serde_json::to_vec_pretty(&next).map_err(|error| {
            Error::new(Kind::Internal, "a manifest cannot be written").with_source(error)
        })?;
        let path = self.path(partition, manifest::FILE_NAME);
        self.place.replace(&path, json).await?;
        let kept = Arc::new(Kept::new(next, Some(before)));
        {
            let mut partitions = self.partitions.write();
            let at = partition.0 as usize;
            while partitions.len() <= at {
                let empty = Manifest::new(self.topic_id, PartitionId(partitions.len() as u32));
                partitions.push(Arc::new(Kept::new(empty, None)));
            }
            if let Some(place) = partitions.get_mut(at) {
                *place = Arc::clone(&kept);
            }
        }
        let mut doomed = self.doomed.lock();
        for file in before.manifest.files_not_in(&kept.manifest) {
            doomed.add(self.path(partition, &file.name), before.guard(file));
        }
        Ok(())
    }

    async fn load(&self, partition: &Partition) -> Result<Kept> {
        let id = partition.id();
        let folder = self.folder(id);
        let path = self.path(id, manifest::FILE_NAME);
        let manifest = match self.place.read(&path).await? {
            None => Manifest::new(self.topic_id, id),
            Some(bytes) => self.usable(&bytes, partition, &path)?,
        };
        self.place.remove_unfinished(&folder).await?;
        for file in self.place.list(&folder).await? {
            let name = file.location.filename().unwrap_or_default();
            let is_named = manifest.files.iter().any(|file| file.name == name);
            if name.ends_with(".parquet") && !is_named {
                self.place.remove(&file.location).await?;
            }
        }
        Ok(Kept::new(manifest, None))
    }

    /// The manifest that was read, or an empty one where the log can answer for everything.
    fn usable(&self, bytes: &[u8], partition: &Partition, path: &Path) -> Result<Manifest> {
        let reason = match serde_json::from_slice::<Manifest>(bytes) {
            Ok(manifest) => match manifest.check(self.topic_id) {
                Ok(()) => return Ok(manifest),
                Err(Unusable::AnotherTopic) => {
                    return Ok(Manifest::new(self.topic_id, partition.id()));
                }
                Err(Unusable::Version(version)) => format!("version {version} is not known here"),
                Err(Unusable::Gap) => "its files do not follow one another".to_owned(),
            },
            Err(error) => error.to_string(),
        };
        let shown = self.place.shown(path);
        if partition.start_offset() == Offset::ZERO {
            tracing::error!(manifest = %shown, %reason, "history is made again from the log");
            return Ok(Manifest::new(self.topic_id, partition.id()));
        }
        Err(Error::new(Kind::Corrupt, format!("{shown}: {reason}")).with_hint(
            "the log has not all records any more: bring the file back from a backup, or move it away to go on without history",
        ))
    }

    fn kept(&self, partition: PartitionId) -> Arc<Kept> {
        let partitions = self.partitions.read();
        partitions.get(partition.0 as usize).map_or_else(
            || Arc::new(Kept::new(Manifest::new(self.topic_id, partition), None)),
            Arc::clone,
        )
    }

    fn folder(&self, partition: PartitionId) -> Path {
        let partition = format!("partition={partition}");
        self.place
            .path(&[self.topic.as_str(), &self.stream, &partition])
    }

    fn path(&self, partition: PartitionId, name: &str) -> Path {
        let partition = format!("partition={partition}");
        self.place
            .path(&[self.topic.as_str(), &self.stream, &partition, name])
    }
}

impl HistoryView {
    /// The first offset of a partition that can be read, when its log begins at `log_start`.
    pub fn first_offset(&self, partition: PartitionId, log_start: Offset) -> Offset {
        self.manifest(partition).map_or(log_start, |manifest| {
            sections::first_offset(manifest, log_start)
        })
    }

    /// Its files, by partition and offset.
    pub fn files(&self) -> Vec<HistoryFile> {
        let files = self.partitions.iter().flat_map(|kept| {
            let partition = kept.manifest.partition;
            kept.manifest.files.iter().map(move |file| HistoryFile {
                partition,
                location: self.place.shown(&self.path(partition, &file.name)),
                start: file.start,
                end: file.end,
                rows: file.rows,
                bytes: file.bytes,
                min_timestamp_ms: file.min_timestamp_ms,
                max_timestamp_ms: file.max_timestamp_ms,
            })
        });
        files.collect()
    }

    /// Whether no partition has a file.
    pub fn is_empty(&self) -> bool {
        self.partitions
            .iter()
            .all(|kept| kept.manifest.files.is_empty())
    }

    /// How a range of a partition is read.
    pub(crate) fn sections(
        &self,
        partition: PartitionId,
        log_start: Offset,
        rows: &RowSchema,
        range: Bounds,
    ) -> Vec<Section<'_>> {
        match self.manifest(partition) {
            Some(manifest) => sections::sections(
                manifest,
                log_start,
                rows.fingerprint(),
                range.start,
                range.end,
            ),
            None if range.start.max(log_start) < range.end => {
                vec![Section::Log((range.start.max(log_start)..range.end).into())]
            }
            None => Vec::new(),
        }
    }

    /// Plans that read parts of files, on up to `threads` threads.
    pub(crate) fn plans(
        &self,
        (runtime, options): (&RuntimeEnv, &ConfigOptions),
        rows: &RowSchema,
        parts: Vec<FilePart>,
        projection: &[usize],
        limit: Option<usize>,
        threads: usize,
    ) -> datafusion::error::Result<Vec<Arc<dyn ExecutionPlan>>> {
        let shape = rows.fingerprint();
        let reading = files::Reading {
            place: &self.place,
            rows,
            shape,
            projection,
            limit,
            runtime,
            options,
        };
        let parts = parts.into_iter().filter_map(|part| {
            let kept = self.partitions.get(part.partition.0 as usize)?;
            Some(files::Part {
                partition: part.partition,
                meta: self.meta(part.partition, &part.file),
                guard: kept.guard(&part.file),
                file: part.file,
                range: part.range,
            })
        });
        let shapes = |name: &str| {
            let mut manifests = self.partitions.iter();
            manifests.find_map(|kept| kept.manifest.shapes.get(name).cloned())
        };
        reading.plans(parts.collect(), threads, shapes)
    }

    fn manifest(&self, partition: PartitionId) -> Option<&Manifest> {
        let kept = self.partitions.get(partition.0 as usize);
        kept.map(|kept| &kept.manifest)
    }

    fn path(&self, partition: PartitionId, name: &str) -> Path {
        let partition = format!("partition={partition}");
        self.place
            .path(&[&self.topic, &self.stream, &partition, name])
    }

    /// What a store would say of a file. It never changes, so the time by which caches tell one state from another can stand still.
    fn meta(&self, partition: PartitionId, file: &DataFile) -> ObjectMeta {
        ObjectMeta {
            location: self.path(partition, &file.name),
            last_modified: chrono::DateTime::from_timestamp_nanos(0),
            size: file.bytes,
            e_tag: None,
            version: None,
        }
    }
}
