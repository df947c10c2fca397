//! All stores that statements reach, and the registry through which DataFusion finds them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::cache::cache_manager::CacheManagerConfig;
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::prelude::SessionConfig;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parking_lot::RwLock;
use url::Url;
use weir_base::Kind;

use super::cloud;
use super::connection::{self, ConnectionSpec, Store, Target};
use super::listing::{Filter, FilteredStore};
use super::local::LocalStore;
use super::location::Location;
use super::mount::Mount;
use super::network::{self, Patience};
use super::policy::FilePolicy;
use crate::{Error, Result};

/// The scheme of URLs inside DataFusion. Their host names a mount; users never see them.
const SCHEME: &str = "weir";
const LOCAL: &str = "local";

/// The stores that statements reach: local files and, made when first named, those of connections and web servers.
///
/// Each connection's stores are its own, even when two connections name the same bucket, and they are found under URLs
/// that hold nothing but a number, so that credentials never meet the wrong statement.
#[derive(Clone)]
pub struct FileStores {
    inner: Arc<Inner>,
}

struct Inner {
    policy: Arc<FilePolicy>,
    working_dir: PathBuf,
    mounts: RwLock<Mounts>,
}

#[derive(Default)]
struct Mounts {
    by_host: HashMap<String, Arc<dyn ObjectStore>>,
    by_key: HashMap<MountKey, (String, Arc<Mount>)>,
    /// Web servers without a connection, oldest first: their number is bounded, as anybody can name another.
    web: VecDeque<MountKey>,
    made: u64,
}

const WEB_MOUNTS_MAX: usize = 512;

/// What makes a store another store. There are secrets in it, so it has no `Debug`.
#[derive(Clone, PartialEq, Eq, Hash)]
struct MountKey {
    connection: Option<String>,
    root: String,
    options: BTreeMap<String, String>,
}

impl fmt::Debug for FileStores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStores")
            .field("policy", &self.inner.policy)
            .field("mounts", &self.inner.mounts.read().by_host.len())
            .finish_non_exhaustive()
    }
}

/// A location that passed the policy, in the store where it lies.
#[derive(Debug, Clone)]
pub struct Place {
    pub(crate) host: String,
    pub(crate) mount: Arc<Mount>,
    /// As DataFusion sees it. Without the glob.
    pub(crate) path: Path,
    /// Whether the location says that it is a folder: it ends with a slash, or with a glob, or is one on disk.
    pub(crate) is_folder: bool,
    pub(crate) glob: Option<String>,
    /// The location as the user wrote it, without a query that may hold a signature.
    pub(crate) shown: String,
}

impl FileStores {
    /// Stores under a policy. Relative paths start at the folder in which the server runs.
    ///
    /// # Errors
    /// Unavailable when there is no such folder.
    pub fn new(policy: FilePolicy) -> Result<Self> {
        let working_dir = std::env::current_dir().map_err(|error| {
            Error::new(
                Kind::Unavailable,
                "the server's working folder cannot be found",
            )
            .with_source(error)
        })?;
        let policy = Arc::new(policy);
        let local = Arc::new(Mount {
            store: Arc::new(LocalStore::new(Arc::clone(&policy))),
            prefix: Path::default(),
            shown: "/".to_owned(),
            request_timeout: Patience::default().request_timeout,
        });
        let mut mounts = Mounts::default();
        mounts
            .by_host
            .insert(LOCAL.to_owned(), Arc::clone(&local) as _);
        mounts
            .by_key
            .insert(MountKey::local(), (LOCAL.to_owned(), local));
        Ok(Self {
            inner: Arc::new(Inner {
                policy,
                working_dir,
                mounts: RwLock::new(mounts),
            }),
        })
    }

    /// The registry to build DataFusion's `RuntimeEnv` with. It knows these stores and no others: in particular it
    /// gives no unchecked access to `file://`.
    pub fn registry(&self) -> Arc<dyn ObjectStoreRegistry> {
        Arc::new(self.clone())
    }

    /// The caches to build DataFusion's `RuntimeEnv` with: footers and statistics are kept, as they are checked against
    /// size and time of a file; listings are not, as they would never see a new file.
    pub fn caches() -> CacheManagerConfig {
        CacheManagerConfig::default().with_list_files_cache_limit(0)
    }

    /// The settings that tables of files rely on, for every session that plans over them.
    #[must_use]
    pub fn configure(mut config: SessionConfig) -> SessionConfig {
        let execution = &mut config.options_mut().execution;
        // Which files of a folder belong to a table is decided by our own filter, which knows globs.
        execution.listing_table_ignore_subdirectory = false;
        execution.keep_partition_by_columns = false;
        config
    }

    /// Finds the place that `location` names, and checks that statements may reach it. It reaches out to no network.
    ///
    /// # Errors
    /// Invalid when the location or the connection is malformed or they do not belong together; denied by the policy.
    pub fn resolve(&self, location: &str, connection: Option<&ConnectionSpec>) -> Result<Place> {
        match Location::parse(location, &self.inner.working_dir)? {
            Location::Local { path, glob } => {
                if let Some(connection) = connection {
                    return Err(Error::invalid(format!(
                        "connection {:?} leads to {}, not to local files",
                        connection.name, connection.kind
                    )));
                }
                self.local(location, &path, glob)
            }
            Location::Remote {
                kind,
                root,
                path,
                glob,
                account,
            } => {
                self.inner
                    .policy
                    .check_location(&url_of(kind, &root, &path))?;
                let (host, mount) = match connection {
                    Some(spec) => self.connected(kind, spec, &root, &path, account.as_deref())?,
                    None if kind == connection::Kind::Http => self.web(&root)?,
                    None => {
                        return Err(Error::invalid(format!(
                            "a location in {} needs a connection",
                            kind.name()
                        ))
                        .with_hint(format!(
                            "CREATE CONNECTION name WITH (type = '{}', …), then give the option connection = 'name'",
                            kind.name()
                        )));
                    }
                };
                let inner = Path::parse(path.trim_matches('/')).map_err(|_| {
                    Error::invalid(format!("{path:?} is not a path in an object store"))
                })?;
                Ok(Place {
                    host,
                    path: mount.outer(&inner),
                    mount,
                    is_folder: path.is_empty() || path.ends_with('/') || glob.is_some(),
                    glob,
                    shown: location
                        .split(['?', '#'])
                        .next()
                        .unwrap_or(location)
                        .to_owned(),
                })
            }
        }
    }

    pub(super) fn policy(&self) -> &FilePolicy {
        &self.inner.policy
    }

    pub(super) fn working_dir(&self) -> &std::path::Path {
        &self.inner.working_dir
    }

    /// A folder of the server's own, which no statement can name. It is found under `host`.
    pub(crate) fn own_folder(&self, host: &str, dir: &std::path::Path) -> Result<Place> {
        let files = LocalFileSystem::new_with_prefix(dir).map_err(|error| {
            Error::new(
                Kind::Unavailable,
                format!("the folder {} cannot be used", dir.display()),
            )
            .with_source(error)
        })?;
        let shown = format!("{}/", dir.display());
        let mount = Arc::new(Mount {
            store: Arc::new(files),
            prefix: Path::from(host),
            shown: shown.clone(),
            request_timeout: Patience::default().request_timeout,
        });
        let store = Arc::clone(&mount) as _;
        self.inner
            .mounts
            .write()
            .by_host
            .insert(host.to_owned(), store);
        Ok(Place {
            host: host.to_owned(),
            path: mount.outer(&Path::default()),
            mount,
            is_folder: true,
            glob: None,
            shown,
        })
    }

    fn local(&self, shown: &str, path: &std::path::Path, glob: Option<String>) -> Result<Place> {
        if glob
            .as_deref()
            .is_some_and(|glob| glob.split('/').any(|part| part == ".."))
        {
            return Err(Error::invalid("\"..\" cannot follow a pattern"));
        }
        let ends_with_slash = path.as_os_str().as_encoded_bytes().ends_with(b"/");
        let real = self.inner.policy.check(path)?;
        let mounts = self.inner.mounts.read();
        let (host, mount) = mounts
            .by_key
            .get(&MountKey::local())
            .cloned()
            .ok_or_else(|| Error::new(Kind::Internal, "local files are not mounted"))?;
        Ok(Place {
            host,
            mount,
            path: Path::from_absolute_path(&real)
                .map_err(|_| Error::invalid(format!("{shown:?} is not a usable path")))?,
            is_folder: glob.is_some() || ends_with_slash || real.is_dir(),
            glob,
            shown: shown.to_owned(),
        })
    }

    fn connected(
        &self,
        kind: connection::Kind,
        spec: &ConnectionSpec,
        root: &str,
        path: &str,
        account: Option<&str>,
    ) -> Result<(String, Arc<Mount>)> {
        let Opened { target, shown } = Opened::of(kind, spec, root, path, account)?;
        let key = MountKey {
            connection: Some(spec.name.clone()),
            root: root.to_owned(),
            options: spec.options.clone(),
        };
        let label = format!("{}:{}", kind.name(), spec.name);
        self.mounted(key, &label, shown, target.patience.request_timeout, || {
            cloud::build(&target, root, &self.inner.policy)
        })
    }

    fn web(&self, root: &str) -> Result<(String, Arc<Mount>)> {
        // The client refuses it too, but a folder, of which there is no listing, never gets that far.
        if !self.inner.policy.allow_private_network
            && let Ok(url) = Url::parse(root)
        {
            network::check_literal(&url)?;
        }
        let key = MountKey {
            connection: None,
            root: root.to_owned(),
            options: BTreeMap::new(),
        };
        let timeout = Patience::default().request_timeout;
        self.mounted(key, "web", shown_root(root), timeout, || {
            cloud::build_web(root, &self.inner.policy)
        })
    }

    fn mounted(
        &self,
        key: MountKey,
        label: &str,
        shown: String,
        request_timeout: Duration,
        build: impl FnOnce() -> Result<Arc<dyn ObjectStore>>,
    ) -> Result<(String, Arc<Mount>)> {
        if let Some(found) = self.inner.mounts.read().by_key.get(&key) {
            return Ok(found.clone());
        }
        let store = build()?;
        let mut mounts = self.inner.mounts.write();
        if let Some(found) = mounts.by_key.get(&key) {
            return Ok(found.clone());
        }
        mounts.made += 1;
        let host = format!("m{}", mounts.made);
        // A connection that was replaced must not meet what the caches hold of the one before.
        let root = shown
            .split_once("://")
            .map_or("", |(_, root)| root)
            .trim_end_matches('/');
        let root = root.replace('/', "_");
        let prefix = [format!("{label}.{}", mounts.made), root]
            .into_iter()
            .collect();
        let mount = Arc::new(Mount {
            store,
            prefix,
            shown,
            request_timeout,
        });
        // What was made for former options of this connection is kept: a running query may still read through it.
        mounts.by_host.insert(host.clone(), Arc::clone(&mount) as _);
        if key.connection.is_none() {
            mounts.web.push_back(key.clone());
            if mounts.web.len() > WEB_MOUNTS_MAX
                && let Some(oldest) = mounts.web.pop_front()
                && let Some((host, _)) = mounts.by_key.remove(&oldest)
            {
                mounts.by_host.remove(&host);
            }
        }
        mounts
            .by_key
            .insert(key, (host.clone(), Arc::clone(&mount)));
        Ok((host, mount))
    }

    /// Registers a store for one write, under a host that nothing else uses.
    pub(crate) fn register_write(&self, host: &str, store: Arc<dyn ObjectStore>) {
        self.inner
            .mounts
            .write()
            .by_host
            .insert(host.to_owned(), store);
    }

    pub(crate) fn deregister_write(&self, host: &str) {
        self.inner.mounts.write().by_host.remove(host);
    }

    /// A host for one write.
    pub(crate) fn write_host(&self) -> String {
        let mut mounts = self.inner.mounts.write();
        mounts.made += 1;
        format!("w{}", mounts.made)
    }
}

/// A connection that leads to a place, and how that is shown.
pub(super) struct Opened {
    pub(super) target: Target,
    pub(super) shown: String,
}

impl Opened {
    /// Reads a connection's options, and checks that it is one for that place.
    pub(super) fn of(
        kind: connection::Kind,
        spec: &ConnectionSpec,
        root: &str,
        path: &str,
        account: Option<&str>,
    ) -> Result<Self> {
        let target = Target::of(spec)?;
        let mismatch =
            |what: String| Err(Error::invalid(format!("connection {:?} {what}", spec.name)));
        let shown = match (&target.store, kind) {
            (Store::S3(_), connection::Kind::S3) => format!("s3://{root}/"),
            (Store::Gcs(_), connection::Kind::Gcs) => format!("gs://{root}/"),
            (Store::Azure(azure), connection::Kind::Azure) => {
                if account.is_some_and(|account| account != azure.account) {
                    return mismatch(format!("is of account {:?}", azure.account));
                }
                format!("az://{root}/")
            }
            (Store::Http(http), connection::Kind::Http) => {
                let wanted = Url::parse(root).ok().and_then(|root| root.join(path).ok());
                let below = wanted.as_ref().is_some_and(|wanted| {
                    wanted.origin() == http.url.origin() && is_below(wanted.path(), http.url.path())
                });
                if !below {
                    return mismatch(format!("is only for {}", http.url));
                }
                shown_root(root)
            }
            _ => return mismatch(format!("leads to {}, not to {}", spec.kind, kind.name())),
        };
        Ok(Self { target, shown })
    }
}

/// A place as a URL that the policy is asked about.
pub(super) fn url_of(kind: connection::Kind, root: &str, path: &str) -> String {
    let scheme = match kind {
        connection::Kind::S3 => "s3://",
        connection::Kind::Gcs => "gs://",
        connection::Kind::Azure => "az://",
        // Its root is a URL.
        connection::Kind::Http => "",
    };
    format!("{scheme}{}/{path}", root.trim_end_matches('/'))
}

impl MountKey {
    fn local() -> Self {
        Self {
            connection: None,
            root: String::new(),
            options: BTreeMap::new(),
        }
    }
}

/// A web server's URL without a query, which may hold a signature.
fn shown_root(root: &str) -> String {
    root.split('?').next().unwrap_or(root).to_owned()
}

fn is_below(path: &str, folder: &str) -> bool {
    match path.strip_prefix(folder) {
        Some(rest) => folder.ends_with('/') || rest.is_empty() || rest.starts_with('/'),
        None => false,
    }
}

impl Place {
    /// The location as the user wrote it, without secrets.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The store, whose paths are those of [`Place::path`].
    pub fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.mount) as _
    }

    /// The path within the store, without a glob.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The URL under which DataFusion finds this place; a filter decides which of its files are seen.
    pub(crate) fn url(&self, filter: Option<&Filter>) -> Result<Url> {
        internal_url(&self.host, &self.path, self.is_folder, filter)
    }

    pub(crate) fn is_on_disk(&self) -> bool {
        self.host == LOCAL
    }

    /// Whether this is on a web server, which is only read.
    pub(crate) fn is_web(&self) -> bool {
        self.mount.shown.starts_with("http")
    }

    /// Asks the store whether a location without trailing slash is a file; anything else is a folder.
    pub(crate) async fn settle(mut self) -> Result<Self> {
        if self.is_folder {
            return Ok(self);
        }
        match self.mount.head(&self.path).await {
            Ok(_) => Ok(self),
            Err(object_store::Error::NotFound { .. }) => {
                use futures::StreamExt;
                self.is_folder = self.mount.list(Some(&self.path)).next().await.is_some();
                Ok(self)
            }
            Err(error) => Err(store_error(&self.shown, &error)),
        }
    }
}

/// The error of this crate within a store's error.
pub(crate) fn store_error(shown: &str, error: &object_store::Error) -> Error {
    match Error::find(error) {
        Some(ours) => ours.retell(),
        None => super::mount::explanation(shown, Patience::default().request_timeout, error),
    }
}

pub(crate) fn internal_url(
    host: &str,
    path: &Path,
    is_folder: bool,
    filter: Option<&Filter>,
) -> Result<Url> {
    let internal = || Error::new(Kind::Internal, "an internal URL is malformed");
    let mut url = Url::parse(&format!("{SCHEME}://{host}/")).map_err(|_| internal())?;
    if let Some(filter) = filter {
        url.set_username(&filter.encode())
            .map_err(|()| internal())?;
    }
    let mut segments = url.path_segments_mut().map_err(|()| internal())?;
    segments.pop_if_empty().extend(path.parts());
    if is_folder {
        segments.push("");
    }
    drop(segments);
    Ok(url)
}

impl ObjectStoreRegistry for FileStores {
    fn register_store(&self, _: &Url, _: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        // Stores come from locations and connections only.
        tracing::error!("a store was registered past the policy, and is not used");
        None
    }

    fn get_store(&self, url: &Url) -> DataFusionResult<Arc<dyn ObjectStore>> {
        let store = (url.scheme() == SCHEME)
            .then(|| url.host_str())
            .flatten()
            .and_then(|host| self.inner.mounts.read().by_host.get(host).cloned())
            .ok_or_else(|| {
                DataFusionError::from(Error::new(
                    Kind::Denied,
                    "files are reached through this server's own stores only",
                ))
            })?;
        match Filter::decode(url.username()) {
            None => Ok(store),
            Some(filter) => Ok(Arc::new(FilteredStore::new(store, filter?))),
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_base::Classify;

    use super::*;

    fn spec(name: &str, kind: &str, options: &[(&str, &str)]) -> ConnectionSpec {
        ConnectionSpec {
            name: name.into(),
            kind: kind.into(),
            options: options
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    fn keys(secret: &str) -> Vec<(&'static str, String)> {
        vec![
            ("access_key_id", "id".into()),
            ("secret_access_key", secret.into()),
        ]
    }

    fn s3(name: &str, secret: &str) -> ConnectionSpec {
        let keys = keys(secret);
        spec(
            name,
            "s3",
            &keys
                .iter()
                .map(|(key, value)| (*key, value.as_str()))
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn connections_to_one_bucket_share_nothing() {
        let stores = FileStores::new(FilePolicy::default()).unwrap();
        let at = |connection: &ConnectionSpec| {
            stores
                .resolve("s3://lake/a.parquet", Some(connection))
                .unwrap()
        };
        let (one, two, again) = (
            at(&s3("one", "hush-hush")),
            at(&s3("two", "hush-hush")),
            at(&s3("one", "hush-hush")),
        );
        let replaced = at(&s3("one", "y"));
        assert_eq!(one.host, again.host);
        for other in [&two, &replaced] {
            assert_ne!(one.host, other.host);
            assert_ne!(one.path, other.path, "the caches would mix them up");
        }
        assert!(!format!("{stores:?} {one:?}").contains("hush-hush"));
        assert_eq!(one.mount.show(&one.path), "s3://lake/a.parquet");
    }

    #[test]
    fn a_connection_is_only_used_for_what_it_is() {
        let stores = FileStores::new(FilePolicy::default()).unwrap();
        let web = spec(
            "web",
            "http",
            &[("url", "https://h/data/"), ("bearer_token", "t")],
        );
        assert!(stores.resolve("https://h/data/x.csv", Some(&web)).is_ok());
        for (location, connection) in [
            ("https://h/other/x.csv", Some(&web)),
            ("https://h/database/x.csv", Some(&web)),
            ("https://h/data/../x.csv", Some(&web)),
            ("https://h:8443/data/x.csv", Some(&web)),
            ("http://h/data/x.csv", Some(&web)),
            ("s3://lake/x.csv", Some(&web)),
            ("/tmp/x.csv", Some(&web)),
            ("s3://lake/x.csv", None),
        ] {
            let error = stores.resolve(location, connection).unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid, "{location}: {error}");
        }
        for denied in ["/etc/passwd", "http://169.254.169.254/latest/meta-data/"] {
            let error = stores.resolve(denied, None).unwrap_err();
            assert_eq!(error.kind(), Kind::Denied, "{denied}");
        }
    }

    #[test]
    fn the_registry_gives_no_unchecked_access() {
        let stores = FileStores::new(FilePolicy::default()).unwrap();
        for url in ["file:///", "s3://lake", "weir://nope/", "http://h/"] {
            assert!(
                stores.get_store(&Url::parse(url).unwrap()).is_err(),
                "{url}"
            );
        }
    }
}
