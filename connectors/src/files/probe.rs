//! A look through a connection, which need not be one that is kept: whether it leads anywhere, or why not.
//!
//! *In:* a connection and a location. *Out:* the first files there, or the error that a statement would meet. The policy of locations and
//! of addresses holds as it does for statements; the client is made for this look alone.

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use super::cloud;
use super::connection::{ConnectionSpec, Store, Target};
use super::location::Location;
use super::mount::Mount;
use super::stores::{FileStores, Opened, url_of};
use crate::{Error, Result};

/// Files that a look names.
const SEEN_MAX: usize = 20;
/// Somebody waits for the answer: a server that is away is asked once more, and no oftener.
const RETRIES_MAX: usize = 1;

/// A file that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its place, as a statement would name it.
    pub location: String,
    /// How long it is, in bytes.
    pub bytes: u64,
    /// When it was changed last, in milliseconds since the epoch.
    pub modified_ms: i64,
}

impl FileStores {
    /// The first files at a location, by a connection. Without a location it is what the connection itself is for, which those to web
    /// servers say.
    ///
    /// # Errors
    /// Invalid when the connection or the location is malformed or they do not belong together; denied by the policy or by the store;
    /// not found when there is no such bucket or file; unavailable when the store does not answer.
    pub async fn probe(
        &self,
        connection: &ConnectionSpec,
        location: Option<&str>,
    ) -> Result<Vec<Seen>> {
        let target = Target::of(connection)?;
        let own = match &target.store {
            Store::Http(http) => Some(http.url.to_string()),
            _ => None,
        };
        let Some(location) = location.map(str::to_owned).or(own) else {
            let hint = format!("write AT '{}://bucket/'", connection.kind);
            return Err(Error::invalid("the test needs a place to look at").with_hint(hint));
        };
        let Location::Remote {
            kind,
            root,
            path,
            glob: None,
            account,
        } = Location::parse(&location, self.working_dir())?
        else {
            let message = format!(
                "a connection is tested at a folder or file of a store, not at {location:?}"
            );
            return Err(Error::invalid(message));
        };
        self.policy().check_location(&url_of(kind, &root, &path))?;
        let Opened { mut target, shown } =
            Opened::of(kind, connection, &root, &path, account.as_deref())?;
        target.patience.max_retries = target.patience.max_retries.min(RETRIES_MAX);
        let mount = Mount {
            store: cloud::build(&target, &root, self.policy())?,
            prefix: Path::default(),
            shown,
            request_timeout: target.patience.request_timeout,
        };
        let inner = Path::parse(path.trim_matches('/'))
            .map_err(|_| Error::invalid(format!("{path:?} is not a path in an object store")))?;
        let is_web = matches!(target.store, Store::Http(_));
        let found = look(
            &mount,
            &inner,
            is_web,
            path.is_empty() || path.ends_with('/'),
        )
        .await;
        let found = found.map_err(|error| super::store_error(&location, &error))?;
        Ok(found
            .into_iter()
            .map(|meta| Seen {
                location: mount.show(&meta.location),
                bytes: meta.size,
                modified_ms: meta.last_modified.timestamp_millis(),
            })
            .collect())
    }
}

async fn look(
    mount: &Mount,
    path: &Path,
    is_web: bool,
    is_folder: bool,
) -> object_store::Result<Vec<ObjectMeta>> {
    // Web servers have no listing.
    if is_web || !is_folder {
        match mount.head(path).await {
            Err(object_store::Error::NotFound { .. }) if !is_web => {}
            found => return found.map(|meta| vec![meta]),
        }
    }
    let folder = Some(path).filter(|path| !path.as_ref().is_empty());
    let mut listed = mount.list(folder);
    let mut found = Vec::new();
    while found.len() < SEEN_MAX
        && let Some(meta) = listed.try_next().await?
    {
        found.push(meta);
    }
    Ok(found)
}
