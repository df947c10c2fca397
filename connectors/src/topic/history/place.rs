//! Where history lies: a folder of the server's own, or one of an object store.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use datafusion::execution::object_store::ObjectStoreUrl;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutPayload};
use weir_base::Kind;

use crate::files::{ConnectionSpec, FileStores, Place};
use crate::{Error, Result};

/// A folder for histories. Clones are the same folder.
#[derive(Debug, Clone)]
pub struct HistoryPlace {
    place: Place,
    /// On a local disk, the folder: there it takes more than the store's own calls to make a file durable.
    dir: Option<PathBuf>,
}

impl HistoryPlace {
    /// A local folder, which is made if it is not there. No statement's policy applies: it is the server's own.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn local(stores: &FileStores, dir: &FsPath) -> Result<Self> {
        let unusable = |error: io::Error| {
            Error::new(
                Kind::Unavailable,
                format!("the folder of history, {}, cannot be used", dir.display()),
            )
            .with_source(error)
        };
        fs::create_dir_all(dir).map_err(unusable)?;
        let dir = dir.canonicalize().map_err(unusable)?;
        Ok(Self {
            place: stores.own_folder("history", &dir)?,
            dir: Some(dir),
        })
    }

    /// A folder of an object store, such as `s3://bucket/history/`.
    ///
    /// # Errors
    /// As [`FileStores::resolve`]; refused when the location is no folder of an object store.
    pub fn remote(
        stores: &FileStores,
        location: &str,
        connection: &ConnectionSpec,
    ) -> Result<Self> {
        let mut folder = location.to_owned();
        if !folder.ends_with('/') {
            folder.push('/');
        }
        let place = stores.resolve(&folder, Some(connection))?;
        if place.glob.is_some() || place.is_on_disk() || place.is_web() {
            return Err(
                Error::invalid(format!("history cannot be kept at {}", place.shown()))
                    .with_hint("name a folder of an object store: s3://bucket/history/"),
            );
        }
        Ok(Self { place, dir: None })
    }

    /// Whether it is a folder on a disk of this machine.
    pub(super) fn is_local(&self) -> bool {
        self.dir.is_some()
    }

    /// A path as it is within the place.
    pub(super) fn inner(&self, path: &Path) -> Path {
        let own = self.place.path().parts().count();
        path.parts().skip(own).collect()
    }

    /// The URL of the store within DataFusion.
    pub(super) fn store_url(&self) -> Result<ObjectStoreUrl> {
        let url = format!("weir://{}/", self.place.host);
        ObjectStoreUrl::parse(url).map_err(crate::files::internal)
    }

    pub(super) fn store(&self) -> Arc<dyn ObjectStore> {
        self.place.store()
    }

    /// The path of a file in this folder, as the store knows it.
    pub(super) fn path(&self, parts: &[&str]) -> Path {
        let base = self
            .place
            .path()
            .parts()
            .map(|part| part.as_ref().to_owned());
        base.chain(parts.iter().map(|part| (*part).to_owned()))
            .collect::<Vec<_>>()
            .iter()
            .map(String::as_str)
            .collect()
    }

    /// A file as messages and `weir.history` show it.
    pub(super) fn shown(&self, path: &Path) -> String {
        self.place.mount.show(path)
    }

    /// What a file holds; none when it is not there.
    pub(super) async fn read(&self, path: &Path) -> Result<Option<Bytes>> {
        match self.store().get(path).await {
            Ok(found) => found
                .bytes()
                .await
                .map(Some)
                .map_err(|e| self.failed(path, &e)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(path, &error)),
        }
    }

    /// Puts a small file in the place of the one that is there, in one step; durable on return.
    pub(super) async fn replace(&self, path: &Path, bytes: Vec<u8>) -> Result<()> {
        let Some(file) = self.on_disk(path) else {
            let put = self.store().put(path, PutPayload::from(bytes)).await;
            return put.map(drop).map_err(|error| self.failed(path, &error));
        };
        let shown = self.shown(path);
        blocking(shown, move || replace_durably(&file, &bytes)).await
    }

    /// Makes a file that was written through the store durable. An object store's are.
    pub(super) async fn settle(&self, path: &Path) -> Result<()> {
        let Some(file) = self.on_disk(path) else {
            return Ok(());
        };
        let shown = self.shown(path);
        blocking(shown, move || {
            File::open(&file)?.sync_all()?;
            sync_folders(&file)
        })
        .await
    }

    /// Removes a file; one that is not there is removed already.
    pub(super) async fn remove(&self, path: &Path) -> Result<()> {
        match self.store().delete(path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed(path, &error)),
        }
    }

    /// The files in a folder and below it. On disk also those that were never finished, which a store does not list.
    pub(super) async fn list(&self, folder: &Path) -> Result<Vec<ObjectMeta>> {
        let listed = self.store().list(Some(folder));
        listed
            .try_collect()
            .await
            .map_err(|error| self.failed(folder, &error))
    }

    /// Removes from a folder on disk what a crash left half written.
    pub(super) async fn remove_unfinished(&self, folder: &Path) -> Result<()> {
        let Some(dir) = self.on_disk(folder) else {
            return Ok(());
        };
        blocking(self.shown(folder), move || remove_unfinished(&dir)).await
    }

    pub(super) fn failed(&self, path: &Path, error: &object_store::Error) -> Error {
        crate::files::store_error(&self.shown(path), error)
    }

    fn on_disk(&self, path: &Path) -> Option<PathBuf> {
        let dir = self.dir.as_ref()?;
        let inner = self.place.mount.inner(path);
        Some(
            inner
                .parts()
                .fold(dir.clone(), |dir, part| dir.join(part.as_ref())),
        )
    }
}

/// The store writes a file under its name, `#` and a number first.
fn remove_unfinished(dir: &FsPath) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name.contains('#') || name.ends_with(".tmp") {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

fn replace_durably(path: &FsPath, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let unfinished = path.with_extension("tmp");
    let mut file = File::create(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    sync_folders(path)
}

/// Makes the names that lead to a file durable: partition, stream, topic.
fn sync_folders(path: &FsPath) -> io::Result<()> {
    for folder in path.ancestors().skip(1).take(4) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

async fn blocking(
    shown: String,
    work: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> Result<()> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.unwrap_or_else(|error| Err(io::Error::other(error)));
    done.map_err(|error| {
        let kind = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Kind::LimitExceeded,
            _ => Kind::Unavailable,
        };
        Error::new(kind, format!("{shown} cannot be written")).with_source(error)
    })
}
