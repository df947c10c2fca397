//! Writes that are seen all at once or not at all.
//!
//! Every file of a statement goes to the store as an upload that is not completed: a temporary name on disk, parts that
//! nobody sees in an object store. Only when all rows went through are the uploads completed. DataFusion's own sinks
//! complete each file by itself, and complete what they have when their input fails.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::{BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, UploadPart,
};
use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::mount::Mount;
use super::stores::store_error;
use crate::{Error, Result};

/// How many uploads are completed or given up at a time.
const COMPLETIONS: usize = 16;

/// The uploads of one write. When the last user lets go of it, what was not completed is given up.
#[derive(Debug)]
pub(crate) struct Stage {
    mount: Arc<Mount>,
    shown: String,
    /// On disk, the deepest folder that was there before; folders made below it go when the write fails.
    folder: Option<PathBuf>,
    runtime: Handle,
    uploads: Mutex<Uploads>,
}

#[derive(Debug, Default)]
struct Uploads {
    waiting: Vec<Waiting>,
    failure: Option<Error>,
}

#[derive(Debug)]
struct Waiting {
    to: Path,
    upload: Box<dyn MultipartUpload>,
    /// Whether all parts are there.
    whole: bool,
}

impl Stage {
    /// A stage for a write below `base`. Must be called on a runtime.
    pub(crate) fn new(mount: Arc<Mount>, base: &Path, on_disk: bool, shown: &str) -> Arc<Self> {
        let folder = on_disk.then(|| {
            let mut folder = PathBuf::from(format!("/{base}"));
            while !folder.is_dir() && folder.pop() {}
            folder
        });
        Arc::new(Self {
            mount,
            shown: shown.to_owned(),
            folder,
            runtime: Handle::current(),
            uploads: Mutex::default(),
        })
    }

    /// The first error that the store gave, which DataFusion's sinks do not pass on.
    pub(crate) fn failure(&self) -> Option<Error> {
        self.uploads.lock().failure.as_ref().map(Error::retell)
    }

    fn failed(&self, error: &object_store::Error) {
        let mut uploads = self.uploads.lock();
        if uploads.failure.is_none() {
            uploads.failure = Some(store_error(&self.shown, error));
        }
    }

    /// Makes all files visible. It goes on to its end when the caller goes away, so that not only some of them are.
    pub(crate) async fn commit(self: &Arc<Self>) -> Result<()> {
        let stage = Arc::clone(self);
        let committed = self
            .runtime
            .spawn(async move { stage.complete_all().await });
        committed.await.map_err(|error| {
            Error::new(weir_base::Kind::Internal, "completing a write failed").with_source(error)
        })?
    }

    async fn complete_all(&self) -> Result<()> {
        let waiting = std::mem::take(&mut self.uploads.lock().waiting);
        if waiting.iter().any(|waiting| !waiting.whole) {
            self.uploads.lock().waiting = waiting;
            return Err(self.failure().unwrap_or_else(|| {
                Error::new(
                    weir_base::Kind::Internal,
                    "a file was not written to its end",
                )
            }));
        }
        let mut completions = futures::stream::iter(waiting)
            .map(|mut waiting| async move {
                let completed = waiting.upload.complete().await;
                (waiting, completed)
            })
            .buffer_unordered(COMPLETIONS);
        let (mut done, mut failed) = (Vec::new(), false);
        while let Some((waiting, completed)) = completions.next().await {
            match completed {
                Ok(_) => done.push(waiting.to),
                Err(error) => {
                    failed = true;
                    self.failed(&error);
                    self.uploads.lock().waiting.push(waiting);
                }
            }
        }
        drop(completions);
        if !failed {
            return match &self.folder {
                Some(_) => self.sync(done).await,
                None => Ok(()),
            };
        }
        for to in done {
            if let Err(error) = self.mount.delete(&to).await {
                tracing::warn!(location = %self.mount.show(&to), %error, "a file of a failed write was left behind");
            }
        }
        Err(self.failure().unwrap_or_else(|| {
            Error::new(
                weir_base::Kind::Unavailable,
                format!("{}: the write failed", self.shown),
            )
        }))
    }
}

impl Stage {
    /// Waits until files on disk outlast a loss of power: what was answered as written stays written.
    async fn sync(&self, files: Vec<Path>) -> Result<()> {
        let synced = tokio::task::spawn_blocking(move || {
            let parents: BTreeSet<PathBuf> = files.iter().filter_map(parent_on_disk).collect();
            sync_files(&files, |folder| parents.contains(folder))
        });
        let failed = |error: String| {
            Error::new(
                weir_base::Kind::Unavailable,
                format!(
                    "{}: the files are written, but may not outlast a loss of power: {error}",
                    self.shown
                ),
            )
        };
        match synced.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(error) => Err(failed(error.to_string())),
        }
    }
}

/// Brings files of a disk to it, and each folder above them once, as far up as `has_names` says that their names are new.
pub(super) fn sync_files(
    files: &[Path],
    has_names: impl Fn(&std::path::Path) -> bool,
) -> std::io::Result<()> {
    let mut folders = BTreeSet::new();
    for file in files {
        let file = PathBuf::from(format!("/{file}"));
        std::fs::File::open(&file)?.sync_all()?;
        let above = file.ancestors().skip(1);
        folders.extend(
            above
                .take_while(|above| has_names(above))
                .map(PathBuf::from),
        );
    }
    folders
        .iter()
        .filter(|folder| folder.is_dir())
        .try_for_each(|folder| std::fs::File::open(folder)?.sync_all())
}

fn parent_on_disk(file: &Path) -> Option<PathBuf> {
    Some(PathBuf::from(format!("/{file}")).parent()?.to_path_buf())
}

impl Drop for Stage {
    fn drop(&mut self) {
        let waiting = std::mem::take(&mut self.uploads.get_mut().waiting);
        if waiting.is_empty() {
            return;
        }
        let (mount, folder) = (Arc::clone(&self.mount), self.folder.take());
        self.runtime.spawn(async move {
            let aborts = futures::stream::iter(waiting).map(|mut waiting| async move {
                let aborted = waiting.upload.abort().await;
                (waiting.to, aborted)
            });
            let mut aborts = aborts.buffer_unordered(COMPLETIONS);
            while let Some((to, aborted)) = aborts.next().await {
                if let Err(error) = aborted {
                    tracing::warn!(location = %mount.show(&to), %error, "parts of a failed write were left behind");
                }
                if let Some(folder) = &folder {
                    remove_empty_folders(&to, folder);
                }
            }
        });
    }
}

/// Removes the folders of a file that was not written, up to one that was there before.
fn remove_empty_folders(file: &Path, until: &std::path::Path) {
    let file = PathBuf::from(format!("/{file}"));
    for folder in file.ancestors().skip(1) {
        // A folder that somebody else uses meanwhile is not empty, and is kept by that.
        if folder == until || !folder.starts_with(until) || std::fs::remove_dir(folder).is_err() {
            return;
        }
    }
}

/// The stage as DataFusion's sinks see it.
#[derive(Debug)]
pub(crate) struct StagedStore(pub(crate) Arc<Stage>);

impl StagedStore {
    async fn upload(&self, to: &Path) -> object_store::Result<StagedUpload> {
        let opened = self
            .0
            .mount
            .put_multipart_opts(to, PutMultipartOptions::default())
            .await;
        match opened {
            Ok(upload) => Ok(StagedUpload {
                stage: Arc::clone(&self.0),
                waiting: Some(Waiting {
                    to: to.clone(),
                    upload,
                    whole: false,
                }),
            }),
            Err(error) => {
                self.0.failed(&error);
                Err(error)
            }
        }
    }
}

impl fmt::Display for StagedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.mount.fmt(f)
    }
}

fn write_only<T>() -> object_store::Result<T> {
    Err(object_store::Error::NotSupported {
        source: "a write that is not finished cannot be read".into(),
    })
}

#[async_trait]
impl ObjectStore for StagedStore {
    async fn put_opts(
        &self,
        to: &Path,
        data: PutPayload,
        _: PutOptions,
    ) -> object_store::Result<PutResult> {
        let mut upload = self.upload(to).await?;
        upload.put_part(data).await?;
        upload.complete().await
    }

    async fn put_multipart_opts(
        &self,
        to: &Path,
        _: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        Ok(Box::new(self.upload(to).await?))
    }

    async fn get_opts(&self, _: &Path, _: GetOptions) -> object_store::Result<GetResult> {
        write_only()
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        locations.map(|_| write_only()).boxed()
    }

    fn list(&self, _: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        futures::stream::once(async { write_only() }).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> object_store::Result<ListResult> {
        write_only()
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> object_store::Result<()> {
        write_only()
    }
}

/// An upload that its writer thinks complete and the stage completes, or that the stage gives up.
#[derive(Debug)]
struct StagedUpload {
    stage: Arc<Stage>,
    waiting: Option<Waiting>,
}

#[async_trait]
impl MultipartUpload for StagedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let Some(waiting) = &mut self.waiting else {
            return Box::pin(async { write_only() });
        };
        let part = waiting.upload.put_part(data);
        let stage = Arc::clone(&self.stage);
        Box::pin(async move {
            let put = part.await;
            if let Err(error) = &put {
                stage.failed(error);
            }
            put
        })
    }

    async fn complete(&mut self) -> object_store::Result<PutResult> {
        if let Some(mut waiting) = self.waiting.take() {
            waiting.whole = true;
            self.stage.uploads.lock().waiting.push(waiting);
        }
        Ok(PutResult {
            e_tag: None,
            version: None,
        })
    }

    async fn abort(&mut self) -> object_store::Result<()> {
        self.give_up();
        Ok(())
    }
}

impl StagedUpload {
    fn give_up(&mut self) {
        if let Some(waiting) = self.waiting.take() {
            self.stage.uploads.lock().waiting.push(waiting);
        }
    }
}

impl Drop for StagedUpload {
    fn drop(&mut self) {
        self.give_up();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use object_store::local::LocalFileSystem;

    use super::*;

    fn stage(root: &std::path::Path, base: &str) -> (Arc<Stage>, StagedStore, Path) {
        let mount = Arc::new(Mount {
            store: Arc::new(LocalFileSystem::new()),
            prefix: Path::default(),
            shown: "/".into(),
            request_timeout: Duration::from_secs(1),
        });
        let base = Path::from_absolute_path(root.join(base)).unwrap();
        let stage = Stage::new(mount, &base, true, "here");
        (Arc::clone(&stage), StagedStore(stage), base)
    }

    fn files(root: &std::path::Path) -> usize {
        std::fs::read_dir(root).unwrap().count()
    }

    #[tokio::test]
    async fn nothing_is_seen_before_the_commit_and_all_after_it() {
        let root = tempfile::tempdir().unwrap();
        let (stage, store, base) = stage(root.path(), "out");
        store
            .put(&base.clone().join("a"), "1".into())
            .await
            .unwrap();
        let mut large = store.put_multipart(&base.clone().join("b")).await.unwrap();
        large.put_part("2".into()).await.unwrap();
        large.complete().await.unwrap();
        assert!(!root.path().join("out/a").exists());
        stage.commit().await.unwrap();
        assert_eq!(std::fs::read(root.path().join("out/a")).unwrap(), b"1");
        assert_eq!(std::fs::read(root.path().join("out/b")).unwrap(), b"2");
        assert_eq!(files(&root.path().join("out")), 2);
    }

    #[tokio::test]
    async fn what_is_not_committed_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let (stage, store, base) = stage(root.path(), "out/day=1");
        store
            .put(&base.clone().join("a"), "1".into())
            .await
            .unwrap();
        let cut = store.put_multipart(&base.clone().join("b")).await.unwrap();
        drop((cut, store, stage));
        // The uploads are given up in tasks of this runtime, which has one thread.
        while files(root.path()) > 0 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_file_that_is_cut_off_is_not_committed() {
        let root = tempfile::tempdir().unwrap();
        let (stage, store, base) = stage(root.path(), "out");
        store
            .put(&base.clone().join("a"), "1".into())
            .await
            .unwrap();
        drop(store.put_multipart(&base.clone().join("b")).await.unwrap());
        assert!(stage.commit().await.is_err());
        assert!(!root.path().join("out/a").exists());
    }
}
