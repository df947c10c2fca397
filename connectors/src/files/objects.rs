//! A folder of an object store that the server has for itself: whole objects under names, in folders of one level.

use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};

use super::connection::ConnectionSpec;
use super::stores::{FileStores, store_error};
use crate::{Error, Result};

/// A folder of objects. Clones are the same.
#[derive(Debug, Clone)]
pub struct ObjectFolder {
    store: Arc<dyn ObjectStore>,
    path: Path,
    shown: String,
}

impl ObjectFolder {
    /// A folder of an object store, such as `s3://bucket/checkpoints/`.
    ///
    /// # Errors
    /// As [`FileStores::resolve`]; refused when the location is no folder of an object store.
    pub fn new(
        stores: &FileStores,
        location: &str,
        connection: Option<&ConnectionSpec>,
    ) -> Result<Self> {
        let mut folder = location.to_owned();
        if !folder.ends_with('/') {
            folder.push('/');
        }
        let place = stores.resolve(&folder, connection)?;
        if place.glob.is_some() || place.is_on_disk() || place.is_web() {
            return Err(Error::invalid(format!(
                "{} is no folder of an object store",
                place.shown()
            ))
            .with_hint("name one: s3://bucket/checkpoints/"));
        }
        Ok(Self {
            store: place.store(),
            path: place.path().clone(),
            shown: place.shown().to_owned(),
        })
    }

    /// A folder of a store that was made elsewhere.
    pub fn of_store(store: Arc<dyn ObjectStore>, path: Path) -> Self {
        Self {
            shown: path.to_string(),
            store,
            path,
        }
    }

    /// The names of the objects in a folder, and how many bytes each has, in the order of their names.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list(&self, folder: &str) -> Result<Vec<(String, u64)>> {
        let listed = self.store.list(Some(&self.path.clone().join(folder)));
        let listed: Vec<_> = listed
            .try_collect()
            .await
            .map_err(|error| self.failed(&error))?;
        let named = listed.into_iter().filter_map(|object| {
            let name = object.location.filename()?.to_owned();
            Some((name, object.size))
        });
        let mut named: Vec<_> = named.collect();
        named.sort_unstable();
        Ok(named)
    }

    /// The folders that have objects.
    ///
    /// # Errors
    /// As [`ObjectFolder::list`].
    pub async fn folders(&self) -> Result<Vec<String>> {
        let listed = self.store.list_with_delimiter(Some(&self.path)).await;
        let listed = listed.map_err(|error| self.failed(&error))?;
        let names = listed.common_prefixes.iter().filter_map(Path::filename);
        Ok(names.map(str::to_owned).collect())
    }

    /// What an object holds.
    ///
    /// # Errors
    /// As [`ObjectFolder::list`], also when it is not there.
    pub async fn get(&self, folder: &str, name: &str) -> Result<Bytes> {
        let found = async {
            self.store
                .get(&self.object(folder, name))
                .await?
                .bytes()
                .await
        };
        found.await.map_err(|error| self.failed(&error))
    }

    /// Puts an object, in the place of one of its name.
    ///
    /// # Errors
    /// When the store does not take it.
    pub async fn put(&self, folder: &str, name: &str, bytes: Bytes) -> Result<()> {
        let put = self
            .store
            .put(&self.object(folder, name), bytes.into())
            .await;
        put.map(drop).map_err(|error| self.failed(&error))
    }

    /// Puts an object where there must be none; says whether there was none, or the same.
    ///
    /// # Errors
    /// When the store does not take it.
    pub async fn create(&self, folder: &str, name: &str, bytes: Bytes) -> Result<bool> {
        let path = self.object(folder, name);
        let created = self
            .store
            .put_opts(&path, bytes.clone().into(), PutMode::Create.into())
            .await;
        match created {
            Ok(_) => Ok(true),
            // An answer may have been lost, and the request been sent again.
            Err(object_store::Error::AlreadyExists { .. }) => {
                Ok(self.get(folder, name).await? == bytes)
            }
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Removes an object; one that is not there is removed already.
    ///
    /// # Errors
    /// When the store does not do it.
    pub async fn remove(&self, folder: &str, name: &str) -> Result<()> {
        match self.store.delete(&self.object(folder, name)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed(&error)),
        }
    }

    fn object(&self, folder: &str, name: &str) -> Path {
        self.path.clone().join(folder).join(name)
    }

    fn failed(&self, error: &object_store::Error) -> Error {
        store_error(&self.shown, error)
    }
}
