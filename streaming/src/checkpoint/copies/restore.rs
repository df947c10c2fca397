//! From copies back to state on disk.

use fjall::{Database, Keyspace, OwnedWriteBatch, PersistMode};
use tokio::task::spawn_blocking;
use weir_connectors::files::ObjectFolder;

use super::object::{Chain, Kind, Name, Packed, Whole};
use crate::checkpoint::store::MANIFEST;
use crate::error::{Error, Result};

/// Writes the newest checkpoint that there are copies of into a keyspace; nothing if there is none that is whole. Its manifest comes
/// last: a crash leaves no checkpoint.
///
/// # Errors
/// When the copies cannot be read, or the keyspace not be written.
pub(super) async fn restore(
    folder: &ObjectFolder,
    job: &str,
    database: &Database,
    keyspace: &Keyspace,
) -> Result<()> {
    let listed = folder.list(job).await?;
    let names: Vec<Name> = listed
        .iter()
        .filter_map(|(name, _)| Name::parse(name))
        .collect();
    let mut newest: Option<(Whole, Chain)> = None;
    for chain in Chain::histories(&names) {
        let name = Name {
            number: chain.full,
            history: chain.history,
            kind: Kind::Whole,
        };
        let whole = folder.get(job, &name.to_string()).await?;
        let Ok(whole) = serde_json::from_slice::<Whole>(&whole) else {
            tracing::warn!(job, %name, "a full copy of a checkpoint is damaged");
            continue;
        };
        if newest
            .as_ref()
            .is_none_or(|(other, _)| whole.made_ms > other.made_ms)
        {
            newest = Some((whole, chain));
        }
    }
    let Some((whole, chain)) = newest else {
        return Ok(());
    };
    let target = Target {
        database: database.clone(),
        keyspace: keyspace.clone(),
    };
    let parts = (0..whole.parts).map(|part| (chain.full, Kind::Part(part)));
    let deltas = (chain.full + 1..=chain.tip).map(|number| (number, Kind::Delta));
    let mut manifest = None;
    target.empty().await?;
    for (number, kind) in parts.chain(deltas) {
        let name = Name {
            number,
            history: chain.history,
            kind,
        };
        let bytes = folder.get(job, &name.to_string()).await?;
        match target.write(bytes).await {
            Ok(found) => manifest = found.or(manifest),
            Err(error @ Error::Internal(_)) => {
                tracing::warn!(job, %name, %error, "state is not brought back from its copies");
                return target.empty().await;
            }
            Err(error) => return Err(error),
        }
    }
    match manifest {
        Some(manifest) => target.finish(manifest).await,
        None => target.empty().await,
    }
}

#[derive(Clone)]
struct Target {
    database: Database,
    keyspace: Keyspace,
}

impl Target {
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let target = self.clone();
        let done = spawn_blocking(move || work(target)).await;
        done.map_err(|_panic| Error::Internal("bringing state back was broken off"))?
    }

    async fn empty(&self) -> Result<()> {
        self.blocking(|target| Ok(target.keyspace.clear()?)).await
    }

    /// Writes what an object holds, and gives the manifest in it.
    async fn write(&self, packed: bytes::Bytes) -> Result<Option<Vec<u8>>> {
        let write = move |target: Self| {
            let mut batch: OwnedWriteBatch = target.database.batch();
            let mut manifest = None;
            Packed::each(&packed, |key, value| match value {
                Some(value) if key == MANIFEST => manifest = Some(value.to_vec()),
                Some(value) => batch.insert(&target.keyspace, key, value),
                None => batch.remove(&target.keyspace, key),
            })?;
            batch.commit()?;
            Ok(manifest)
        };
        self.blocking(write).await
    }

    async fn finish(&self, manifest: Vec<u8>) -> Result<()> {
        let finish = move |target: Self| {
            let mut batch = target.database.batch();
            batch.insert(&target.keyspace, MANIFEST, manifest);
            Ok(batch.durability(Some(PersistMode::SyncAll)).commit()?)
        };
        self.blocking(finish).await
    }
}
