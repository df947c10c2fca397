//! Local files, each of them checked against the policy when it is touched.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::policy::FilePolicy;

/// The file system's root as a store that only shows what the policy allows.
///
/// A location is checked when a statement names it; this store checks again at each access, because a folder may hold
/// links that lead out of it.
#[derive(Debug)]
pub(crate) struct LocalStore {
    files: LocalFileSystem,
    policy: Arc<FilePolicy>,
}

impl LocalStore {
    pub(crate) fn new(policy: Arc<FilePolicy>) -> Self {
        Self {
            files: LocalFileSystem::new(),
            policy,
        }
    }

    fn check(&self, location: &Path) -> Result<()> {
        let path = self.files.path_to_filesystem(location)?;
        match self.policy.check(&path) {
            Ok(_) => Ok(()),
            Err(error) => Err(object_store::Error::PermissionDenied {
                path: location.to_string(),
                source: Box::new(error),
            }),
        }
    }
}

impl fmt::Display for LocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("local files")
    }
}

#[async_trait]
impl ObjectStore for LocalStore {
    async fn put_opts(
        &self,
        to: &Path,
        data: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.check(to)?;
        self.files.put_opts(to, data, options).await
    }

    async fn put_multipart_opts(
        &self,
        to: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.check(to)?;
        self.files.put_multipart_opts(to, options).await
    }

    async fn get_opts(&self, from: &Path, options: GetOptions) -> Result<GetResult> {
        self.check(from)?;
        self.files.get_opts(from, options).await
    }

    async fn get_ranges(&self, from: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.check(from)?;
        self.files.get_ranges(from, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let (files, policy) = (self.files.clone(), Arc::clone(&self.policy));
        let checked = locations.and_then(move |location| {
            let store = Self {
                files: files.clone(),
                policy: Arc::clone(&policy),
            };
            async move { store.check(&location).map(|()| location) }
        });
        self.files.delete_stream(checked.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let store = Self {
            files: self.files.clone(),
            policy: Arc::clone(&self.policy),
        };
        // What lies behind a link that leads out is not there, as for somebody who may not follow it.
        self.files
            .list(prefix)
            .try_filter(move |meta| futures::future::ready(store.check(&meta.location).is_ok()))
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let mut found = self.files.list_with_delimiter(prefix).await?;
        found
            .objects
            .retain(|meta| self.check(&meta.location).is_ok());
        found
            .common_prefixes
            .retain(|path| self.check(path).is_ok());
        Ok(found)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.check(from)?;
        self.check(to)?;
        self.files.copy_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use object_store::ObjectStoreExt;

    use super::*;

    #[tokio::test]
    async fn a_listing_hides_what_links_lead_out_to_and_a_read_refuses_it() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let (open, shut) = (root.join("open"), root.join("shut"));
        std::fs::create_dir_all(&open).unwrap();
        std::fs::create_dir_all(&shut).unwrap();
        std::fs::write(shut.join("secret.csv"), "x").unwrap();
        std::fs::write(open.join("a.csv"), "x").unwrap();
        symlink(&shut, open.join("door")).unwrap();
        let store = LocalStore::new(Arc::new(FilePolicy {
            allow_paths: vec![open.clone()],
            ..FilePolicy::default()
        }));
        let path = |path: std::path::PathBuf| Path::from_absolute_path(path).unwrap();

        let listed: Vec<ObjectMeta> = store
            .list(Some(&path(open.clone())))
            .try_collect()
            .await
            .unwrap();
        assert_eq!(
            listed
                .iter()
                .filter_map(|meta| meta.location.filename())
                .collect::<Vec<_>>(),
            ["a.csv"]
        );
        let secret = path(open.join("door/secret.csv"));
        assert!(store.get(&secret).await.is_err());
        assert!(
            store
                .put(&path(open.join("door/new.csv")), "x".into())
                .await
                .is_err()
        );
        assert!(store.delete(&secret).await.is_err());
        assert!(shut.join("secret.csv").exists());
        assert!(store.get(&path(open.join("a.csv"))).await.is_ok());
    }
}
