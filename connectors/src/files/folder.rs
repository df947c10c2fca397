//! A folder that grows by commits: files, and beside them the log of what was committed.
//!
//! ```text
//! <folder>/day=2024-01-01/<writer>-<commit>-<n>.parquet    what readers see
//! <folder>/_weir/<writer>/<commit>.json                    the commit: its files, and the position that it leads to; the last, and those of an hour
//! <folder>/_weir/<writer>/staged/<commit>-<n>              files before their commit
//! ```
//!
//! Files are staged, then the commit is put where there must be none yet, and then the files are brought to their places. What a crash
//! leaves of it the next start ends or removes: files of a commit are brought to their places, others are deleted. Whoever lists the
//! folder sees each row once, at the latest after that start; whoever reads the commits sees it from the moment of the commit.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use datafusion::arrow::array::{AsArray, RecordBatch, UInt32Array};
use datafusion::arrow::compute::{concat_batches, take_record_batch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::Session;
use datafusion::common::parsers::CompressionTypeVariant;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::collect;
use futures::TryStreamExt;
use object_store::path::{Path, PathPart};
use object_store::{ObjectStore, ObjectStoreExt, PutMode};
use serde::{Deserialize, Serialize};
use weir_base::{Classify, Kind, Options};

use super::connection::ConnectionSpec;
use super::format::{Format, FormatOptions};
use super::stage::sync_files;
use super::stores::{FileStores, Place, store_error};
use super::table::internal;
use super::write::{self, Target, partition_keys};
use crate::{Error, Result};

/// How long a commit is kept that others have come after. Nobody needs it but a late write of an earlier attempt, which must find that
/// its number is taken.
const KEPT_FOR: Duration = Duration::from_secs(60 * 60);
/// The folder of commits, which readers of tables pass over.
const LOG: &str = "_weir";

/// Writes rows to a folder, in commits.
pub struct FolderWriter {
    stores: FileStores,
    place: Place,
    schema: SchemaRef,
    partitioned_by: Vec<String>,
    format: FormatOptions,
    compression: CompressionTypeVariant,
    /// The writer's own name, under which nobody else writes.
    name: String,
    /// The number of the last commit; 0 before the first.
    last: u64,
    /// The commits that are kept, in order, and when each was made.
    kept: VecDeque<(u64, SystemTime)>,
}

impl fmt::Debug for FolderWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FolderWriter")
            .field("location", &self.place.shown)
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}

/// A commit as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Manifest {
    /// Where the sources were read up to.
    position: String,
    files: Vec<FileEntry>,
}

/// A file of a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct FileEntry {
    /// Below the folder.
    path: String,
    rows: u64,
}

impl FolderWriter {
    /// A writer to the folder `location`, called `name`, of rows in this schema. It takes `format` (Parquet without one) and the format's
    /// options. Nothing is read or written yet.
    ///
    /// # Errors
    /// What is wrong with location, columns or options; denied by the policy.
    pub fn new(
        stores: &FileStores,
        schema: SchemaRef,
        location: &str,
        connection: Option<&ConnectionSpec>,
        partitioned_by: Vec<String>,
        name: String,
        options: &mut Options,
    ) -> Result<Self> {
        let named = options.take::<String>("format")?;
        let named = named.unwrap_or_else(|| "parquet".to_owned());
        let format: Format = named
            .parse()
            .map_err(|reason| Error::invalid(format!("format {reason}")))?;
        if format == Format::Avro {
            return Err(Error::unsupported("Avro files can be read, not written")
                .with_hint("write Parquet, CSV, JSON or Arrow"));
        }
        let format = FormatOptions::take(format, &named, options)?;
        if format.array == Some(true) {
            return Err(
                Error::unsupported("JSON is written one object a line, not as an array")
                    .with_hint("leave out array = 'true'"),
            );
        }
        let place = stores.resolve(location, connection)?;
        if place.glob.is_some() {
            return Err(Error::invalid("a sink cannot write to a pattern"));
        }
        if place.is_web() {
            return Err(
                Error::unsupported("files of a web server can be read, not written")
                    .with_hint("write to a local folder, or to an s3, gcs or azure connection"),
            );
        }
        // Refuses columns that are not there.
        write::check_partition_columns(&schema, &partitioned_by)?;
        let compression = match format.format.is_text() {
            false => CompressionTypeVariant::UNCOMPRESSED,
            true => format
                .compression
                .unwrap_or(CompressionTypeVariant::UNCOMPRESSED),
        };
        Ok(Self {
            stores: stores.clone(),
            place,
            schema,
            partitioned_by,
            format,
            compression,
            name,
            last: 0,
            kept: VecDeque::new(),
        })
    }

    /// Ends what was committed and removes what was not. Answers the position of the last commit.
    ///
    /// # Errors
    /// When the store cannot be reached, or holds what is no commit.
    pub async fn recover(&mut self) -> Result<Option<String>> {
        self.kept = self.commits().await?.into();
        let Some((last, _)) = self.kept.back().copied() else {
            self.last = 0;
            self.sweep().await?;
            return Ok(None);
        };
        let manifest = self.manifest(last).await?;
        self.last = last;
        self.publish(last, &manifest).await?;
        self.sweep().await?;
        for path in self.outdated() {
            match self.place.mount.delete(&path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(self.failed(&error)),
            }
        }
        Ok(Some(manifest.position))
    }

    /// Writes rows as files, and with them a position: both, or neither.
    ///
    /// # Errors
    /// When the store does not take them. Whether they were committed, [`FolderWriter::recover`] says.
    pub async fn commit(
        &mut self,
        session: &dyn Session,
        context: &Arc<TaskContext>,
        batches: &[RecordBatch],
        position: &str,
    ) -> Result<()> {
        let commit = self.last + 1;
        let mut files = Vec::new();
        let extension = write::extension(self.format.format, self.compression);
        for (number, (folder, batch)) in self.split(batches)?.into_iter().enumerate() {
            let staged = self.staged(commit, number);
            let rows = self.write(session, context, staged, batch).await?;
            let name = format!("{}-{commit:010}-{number}.{extension}", self.name);
            let path: Path = folder
                .iter()
                .map(|part| PathPart::from(part.as_str()))
                .chain([PathPart::from(name)])
                .collect();
            files.push(FileEntry {
                path: path.to_string(),
                rows,
            });
        }
        let manifest = Manifest {
            position: position.to_owned(),
            files,
        };
        let text = serde_json::to_vec(&manifest).map_err(|error| {
            Error::new(Kind::Internal, "a commit cannot be written").with_source(error)
        })?;
        let to = self.manifest_path(commit);
        let put = self
            .place
            .mount
            .put_opts(&to, Bytes::from(text).into(), PutMode::Create.into());
        put.await.map_err(|error| self.failed(&error))?;
        self.sync(vec![to]).await?;
        self.last = commit;
        self.kept.push_back((commit, SystemTime::now()));
        self.publish(commit, &manifest).await?;
        let staged = (0..manifest.files.len()).map(|number| self.staged(commit, number));
        let mut done: Vec<Path> = staged.collect();
        done.extend(self.outdated());
        self.delete_in_background(done);
        Ok(())
    }

    /// The rows of each folder.
    fn split(&self, batches: &[RecordBatch]) -> Result<Vec<(Vec<String>, RecordBatch)>> {
        let all = concat_batches(&self.schema, batches).map_err(|error| internal(error.into()))?;
        if all.num_rows() == 0 {
            return Ok(Vec::new());
        }
        if self.partitioned_by.is_empty() {
            return Ok(vec![(Vec::new(), all)]);
        }
        let keyed = write::keyed_schema(&self.schema, &self.partitioned_by)?;
        let texts = partition_keys(&all, &self.partitioned_by, &keyed)?;
        let columns = self.partitioned_by.iter().map(|name| {
            let column = texts.column_by_name(name);
            let text = column.and_then(|column| column.as_string_opt::<i32>());
            text.map(|text| (name, text))
                .ok_or_else(|| Error::new(Kind::Internal, "a partition column has not become text"))
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let mut rows: BTreeMap<Vec<String>, Vec<u32>> = BTreeMap::new();
        for row in 0..all.num_rows() {
            let folder = columns
                .iter()
                .map(|(name, text)| format!("{name}={}", text.value(row)));
            let row = u32::try_from(row).map_err(|_| {
                Error::new(
                    Kind::LimitExceeded,
                    "a commit has more rows than 32 bits count",
                )
            })?;
            rows.entry(folder.collect()).or_default().push(row);
        }
        let kept: Vec<usize> = (0..self.schema.fields().len())
            .filter(|at| {
                let name = self.schema.field(*at).name();
                !self.partitioned_by.contains(name)
            })
            .collect();
        let split = rows.into_iter().map(|(folder, rows)| {
            let part = take_record_batch(&all, &UInt32Array::from(rows))
                .and_then(|part| part.project(&kept))
                .map_err(|error| internal(error.into()))?;
            Ok((folder, part))
        });
        split.collect()
    }

    /// Writes a file that nobody sees as data.
    async fn write(
        &self,
        session: &dyn Session,
        context: &Arc<TaskContext>,
        to: Path,
        batch: RecordBatch,
    ) -> Result<u64> {
        let schema = batch.schema();
        let rows = MemorySourceConfig::try_new_exec(&[vec![batch]], schema, None);
        let rows = rows.map_err(internal)?;
        let target = Target {
            place: Place {
                path: to,
                is_folder: false,
                ..self.place.clone()
            },
            is_folder: false,
            partitioned_by: Vec::new(),
            writes: self.format.format,
            format: self.format.build(session, self.compression, false),
            extension: write::extension(self.format.format, self.compression),
        };
        let plan = write::plan(&self.stores, session, rows, target).await?;
        let counts = collect(plan, Arc::clone(context)).await;
        let counts = counts.map_err(|error| match Error::find(&error) {
            Some(ours) => mendable(ours.retell()),
            None => internal(error),
        })?;
        Ok(write::written_rows(&counts))
    }

    /// Brings the files of a commit to their places, those that are not there.
    async fn publish(&self, commit: u64, manifest: &Manifest) -> Result<()> {
        let mut placed = Vec::with_capacity(manifest.files.len());
        for (number, file) in manifest.files.iter().enumerate() {
            let to = below(&self.place.path, &file.path)?;
            let staged = self.staged(commit, number);
            match self.place.mount.head(&to).await {
                Ok(_) => {}
                Err(object_store::Error::NotFound { .. }) => {
                    let copied = self.place.mount.copy(&staged, &to).await;
                    copied.map_err(|error| self.failed(&error))?;
                }
                Err(error) => return Err(self.failed(&error)),
            }
            placed.push(to);
        }
        self.sync(placed).await?;
        Ok(())
    }

    /// The manifests of commits that nobody needs any more, which are forgotten.
    fn outdated(&mut self) -> Vec<Path> {
        let outdated = outdated(&mut self.kept, SystemTime::now());
        let paths = outdated
            .into_iter()
            .map(|commit| self.manifest_path(commit));
        paths.collect()
    }

    /// Deletes files that nobody waits for: what is left, a start removes.
    fn delete_in_background(&self, files: Vec<Path>) {
        let mount = Arc::clone(&self.place.mount);
        tokio::spawn(async move {
            for file in files {
                if let Err(error) = mount.delete(&file).await {
                    tracing::debug!(location = %mount.show(&file), %error, "a file of a sink's log was left behind");
                }
            }
        });
    }

    /// Removes what was staged and is of no commit.
    async fn sweep(&self) -> Result<()> {
        let staged = self.log().join("staged");
        let left: Vec<_> = self
            .place
            .mount
            .list(Some(&staged))
            .try_collect()
            .await
            .map_err(|error| self.failed(&error))?;
        for file in left {
            match self.place.mount.delete(&file.location).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(self.failed(&error)),
            }
        }
        Ok(())
    }

    /// The numbers of all commits, in order, and when each was made.
    async fn commits(&self) -> Result<Vec<(u64, SystemTime)>> {
        let listed = self
            .place
            .mount
            .list_with_delimiter(Some(&self.log()))
            .await;
        let listed = match listed {
            Ok(listed) => listed.objects,
            Err(object_store::Error::NotFound { .. }) => Vec::new(),
            Err(error) => return Err(self.failed(&error)),
        };
        let mut commits: Vec<(u64, SystemTime)> = listed
            .iter()
            .filter_map(|file| {
                let name = file.location.filename()?;
                let number = name.strip_suffix(".json")?.parse().ok()?;
                Some((number, file.last_modified.into()))
            })
            .collect();
        commits.sort_unstable();
        Ok(commits)
    }

    async fn manifest(&self, commit: u64) -> Result<Manifest> {
        let from = self.manifest_path(commit);
        let text = async { self.place.mount.get(&from).await?.bytes().await };
        let text = text.await.map_err(|error| self.failed(&error))?;
        serde_json::from_slice(&text).map_err(|error| {
            let shown = self.place.mount.show(&from);
            Error::new(Kind::Corrupt, format!("{shown} is no commit of a sink")).with_source(error)
        })
    }

    fn log(&self) -> Path {
        let path = self.place.path.clone();
        path.join(LOG).join(self.name.as_str())
    }

    fn manifest_path(&self, commit: u64) -> Path {
        self.log().join(format!("{commit:020}.json"))
    }

    fn staged(&self, commit: u64, number: usize) -> Path {
        let folder = self.log().join("staged");
        folder.join(format!("{commit}-{number}"))
    }

    fn failed(&self, error: &object_store::Error) -> Error {
        mendable(store_error(&self.place.shown, error))
    }

    /// Waits until files on disk, and their names, outlast a loss of power.
    async fn sync(&self, files: Vec<Path>) -> Result<()> {
        if !self.place.is_on_disk() || files.is_empty() {
            return Ok(());
        }
        // New folders have their names in those above them, up to the one that the sink's own is in.
        let mut top = PathBuf::from(format!("/{}", self.place.path));
        top.pop();
        let synced = tokio::task::spawn_blocking(move || {
            sync_files(&files, |folder| folder.starts_with(&top))
        });
        let synced = synced.await.map_err(|error| {
            Error::new(Kind::Internal, "syncing files was broken off").with_source(error)
        })?;
        synced.map_err(|error: std::io::Error| {
            let message = format!("{}: files could not be synced: {error}", self.place.shown);
            Error::new(Kind::Unavailable, message)
        })
    }
}

/// Takes those commits out that were made long ago; the last one stays, whenever that was.
fn outdated(kept: &mut VecDeque<(u64, SystemTime)>, now: SystemTime) -> Vec<u64> {
    let mut outdated = Vec::new();
    while kept.len() > 1
        && let Some((commit, made)) = kept.front().copied()
        // A clock that has gone back makes nothing old.
        && now.duration_since(made).is_ok_and(|age| age > KEPT_FOR)
    {
        outdated.push(commit);
        kept.pop_front();
    }
    outdated
}

/// The place was right when the writer was made: what is wrong with it now, somebody may mend.
fn mendable(error: Error) -> Error {
    match error.kind() {
        Kind::Invalid => Error::new(Kind::Unavailable, error.to_string()),
        _ => error,
    }
}

/// A path of a commit within the folder.
fn below(folder: &Path, path: &str) -> Result<Path> {
    let within = Path::parse(path).map_err(|_| {
        Error::new(
            Kind::Corrupt,
            format!("{path:?} is no path of a sink's file"),
        )
    })?;
    Ok(folder.parts().chain(within.parts()).collect())
}
