//! Writes the copies of one job's checkpoints, one after the other, beside the job.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fjall::{Database, Keyspace, Readable, Snapshot, UserKey, UserValue};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio::task::spawn_blocking;
use weir_base::Kind as ErrorKind;
use weir_connectors::files::ObjectFolder;

use super::Folder;
use super::object::{Chain, Kind, Name, Packed, Whole};
use crate::checkpoint::Manifest;
use crate::checkpoint::flight::Writes;
use crate::checkpoint::store::{MANIFEST, Turn};
use crate::error::{Error, Result};

/// Checkpoints that wait to be copied. With more, the older ones are left out, and all state is copied.
const WAITING_MAX: usize = 2;
/// The bytes of a part of a full copy, about.
const PART_BYTES: usize = 32 << 20;
/// Deltas of so many bytes are not worth a full copy, however small that is.
const DELTAS_BYTES_MIN: u64 = 64 << 20;
/// After so many deltas comes a full copy.
const DELTAS_MAX: u64 = 500;
/// The first and the longest wait after a failure.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// A checkpoint that is on disk.
#[derive(Debug)]
pub(in crate::checkpoint) struct Landed {
    pub(in crate::checkpoint) manifest: Manifest,
    pub(in crate::checkpoint) encoded: Vec<u8>,
    pub(in crate::checkpoint) writes: Arc<Writes>,
}

/// How the copies of a job do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CopyState {
    /// When the checkpoint was made that was copied last, in milliseconds since the epoch.
    pub copied_ms: Option<i64>,
    /// Why the last try failed.
    pub error: Option<String>,
}

/// Tells at any time how the copies of a job do: they are made beside it, when it has long gone on.
#[derive(Debug, Clone, Default)]
pub struct CopyProgress(Option<Arc<Queue>>);

impl CopyProgress {
    /// How they do now.
    pub fn state(&self) -> CopyState {
        let queue = self.0.as_ref();
        queue.map_or_else(CopyState::default, |queue| queue.state.lock().clone())
    }
}

impl PartialEq for CopyProgress {
    fn eq(&self, other: &Self) -> bool {
        self.state() == other.state()
    }
}

impl Eq for CopyProgress {}

/// Takes the checkpoints of a job. When it is dropped, what waits is still copied.
#[derive(Debug)]
pub(in crate::checkpoint) struct Copier(Arc<Queue>);

#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<VecDeque<Landed>>,
    changed: Notify,
    closed: AtomicBool,
    state: Mutex<CopyState>,
}

impl Copier {
    /// One that copies from a keyspace, and the work that does it. `turn` is held meanwhile.
    pub(super) fn new(
        folder: Folder,
        job: String,
        source: (Database, Keyspace),
        turn: Turn,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let queue = Arc::new(Queue::default());
        let (database, keyspace) = source;
        let work = Work {
            queue: Arc::clone(&queue),
            folder,
            job,
            database,
            keyspace,
            chain: None,
            delta_bytes: 0,
            full_bytes: 0,
        };
        let work = async move {
            let _turn = turn.lock_owned().await;
            work.run().await;
        };
        (Self(queue), work)
    }

    /// Has a checkpoint copied.
    pub(in crate::checkpoint) fn offer(&self, landed: Landed) {
        let mut waiting = self.0.waiting.lock();
        while waiting.len() >= WAITING_MAX {
            waiting.pop_front();
        }
        waiting.push_back(landed);
        drop(waiting);
        self.0.changed.notify_one();
    }

    /// Tells how it does.
    pub(in crate::checkpoint) fn progress(&self) -> CopyProgress {
        CopyProgress(Some(Arc::clone(&self.0)))
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        self.0.closed.store(true, Ordering::Release);
        self.0.changed.notify_one();
    }
}

struct Work {
    queue: Arc<Queue>,
    folder: Folder,
    job: String,
    database: Database,
    keyspace: Keyspace,
    /// What this has written, or goes on from.
    chain: Option<Chain>,
    delta_bytes: u64,
    full_bytes: u64,
}

impl Work {
    async fn run(mut self) {
        let (mut owes, mut pause) = (false, PAUSE.0);
        loop {
            let is_closed = self.queue.closed.load(Ordering::Acquire);
            let next = self.queue.waiting.lock().pop_front();
            let copied = match next {
                Some(landed) => self.copy(&landed).await,
                None if owes => self.copy_all().await,
                None if is_closed => return,
                None => {
                    self.queue.changed.notified().await;
                    continue;
                }
            };
            match copied {
                Ok(made_ms) => {
                    (owes, pause) = (false, PAUSE.0);
                    let mut state = self.queue.state.lock();
                    state.copied_ms = made_ms.or(state.copied_ms);
                    state.error = None;
                }
                Err(error) => {
                    let text = error.to_string();
                    let said = self.queue.state.lock().error.replace(text.clone());
                    if said.as_ref() != Some(&text) {
                        tracing::warn!(job = %self.job, %error, "a checkpoint cannot be copied; it is tried again");
                    }
                    owes = true;
                    self.chain = None;
                    if is_closed {
                        return;
                    }
                    self.rest(pause).await;
                    pause = (pause * 2).min(PAUSE.1);
                }
            }
        }
    }

    /// Waits a while, or until the job has ended.
    async fn rest(&self, pause: Duration) {
        let closed = async {
            while !self.queue.closed.load(Ordering::Acquire) {
                self.queue.changed.notified().await;
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = closed => {}
        }
    }

    /// Copies a checkpoint, by what it wrote if that continues what is there. Answers when the one was made that is there then.
    async fn copy(&mut self, landed: &Landed) -> Result<Option<i64>> {
        let Manifest {
            number, history, ..
        } = landed.manifest;
        let chain = match self.chain {
            // A full copy had it already.
            Some(chain) if chain.history == history && number <= chain.tip => return Ok(None),
            Some(chain) => Some(chain),
            None => self.found(history).await?,
        };
        let Some(chain) = chain.filter(|chain| {
            let is_next = chain.history == history && chain.tip.checked_add(1) == Some(number);
            let is_short = self.delta_bytes <= self.full_bytes.max(DELTAS_BYTES_MIN);
            is_next && is_short && number - chain.full <= DELTAS_MAX
        }) else {
            return self.copy_all().await;
        };
        let mut packed = Packed::default();
        for (key, value) in landed.writes.iter() {
            packed.push(key, value.map(AsRef::as_ref));
        }
        packed.push(&MANIFEST, Some(&landed.encoded));
        self.delta_bytes += packed.len() as u64;
        let name = Name {
            number,
            history,
            kind: Kind::Delta,
        };
        self.create(&(self.folder)()?, name, packed).await?;
        self.chain = Some(Chain {
            tip: number,
            ..chain
        });
        Ok(Some(landed.manifest.made_ms))
    }

    /// What is there of a history.
    async fn found(&mut self, history: u64) -> Result<Option<Chain>> {
        let listed = (self.folder)()?.list(&self.job).await?;
        let listed = listed
            .iter()
            .filter_map(|(name, bytes)| Some((Name::parse(name)?, *bytes)));
        let (names, bytes): (Vec<Name>, Vec<u64>) = listed.unzip();
        let chain = Chain::newest(&names, history);
        if let Some(chain) = chain {
            let of = |is_meant: &dyn Fn(&Name) -> bool| {
                let own = names.iter().zip(&bytes);
                let own = own.filter(|(name, _)| name.history == history && is_meant(name));
                own.map(|(_, bytes)| bytes).sum::<u64>()
            };
            self.full_bytes = of(&|name| name.number == chain.full && name.kind != Kind::Delta);
            self.delta_bytes = of(&|name| name.number > chain.full && name.kind == Kind::Delta);
        }
        Ok(chain)
    }

    /// Copies all state, as it is on disk now, and removes what was there before. Answers when its checkpoint was made.
    async fn copy_all(&mut self) -> Result<Option<i64>> {
        let folder = (self.folder)()?;
        let before = folder.list(&self.job).await?;
        let snapshot = self.database.snapshot();
        let Some(encoded) = snapshot.get(&self.keyspace, MANIFEST)? else {
            return Ok(None);
        };
        let manifest: Manifest = serde_json::from_slice(&encoded)
            .map_err(|_| Error::Internal("a manifest cannot be read"))?;
        let name = |kind| Name {
            number: manifest.number,
            history: manifest.history,
            kind,
        };
        let (sender, mut pieces) = mpsc::channel(1);
        let keyspace = self.keyspace.clone();
        let reading = spawn_blocking(move || read_out(&snapshot, &keyspace, &sender));
        let (mut parts, mut bytes) = (0, 0);
        while let Some(packed) = pieces.recv().await {
            bytes += packed.len() as u64;
            let part = name(Kind::Part(parts)).to_string();
            folder.put(&self.job, &part, packed.finish()).await?;
            parts += 1;
        }
        let read = reading.await;
        read.map_err(|_panic| Error::Internal("reading state was broken off"))??;
        let whole = Whole {
            parts,
            made_ms: manifest.made_ms,
            bytes,
        };
        let whole = serde_json::to_vec(&whole)
            .map_err(|_| Error::Internal("a full copy cannot be described"))?;
        let made = name(Kind::Whole);
        folder
            .put(&self.job, &made.to_string(), whole.into())
            .await?;
        let is_own = |other: &str| {
            Name::parse(other).is_some_and(|other| {
                let is_part = matches!(other.kind, Kind::Part(part) if part < parts);
                (other.number, other.history) == (made.number, made.history)
                    && (is_part || other.kind == Kind::Whole)
            })
        };
        for (other, _) in before.iter().filter(|(other, _)| !is_own(other)) {
            folder.remove(&self.job, other).await?;
        }
        (self.full_bytes, self.delta_bytes) = (bytes, 0);
        self.chain = Some(Chain {
            history: manifest.history,
            full: manifest.number,
            tip: manifest.number,
        });
        Ok(Some(manifest.made_ms))
    }

    async fn create(&self, folder: &ObjectFolder, name: Name, packed: Packed) -> Result<()> {
        let name = name.to_string();
        match folder.create(&self.job, &name, packed.finish()).await? {
            true => Ok(()),
            false => {
                let message = format!("another server writes copies of checkpoints to {name}");
                Err(weir_connectors::Error::new(ErrorKind::Conflict, message).into())
            }
        }
    }
}

/// Gives all of a keyspace in parts.
fn read_out(snapshot: &Snapshot, keyspace: &Keyspace, parts: &mpsc::Sender<Packed>) -> Result<()> {
    let gone = || Error::Internal("nobody takes a full copy");
    let mut packed = Packed::default();
    for found in snapshot.iter(keyspace) {
        let (key, value): (UserKey, UserValue) = found.into_inner()?;
        packed.push(&key, Some(&value));
        if packed.len() >= PART_BYTES {
            let full = std::mem::take(&mut packed);
            parts.blocking_send(full).map_err(|_| gone())?;
        }
    }
    parts.blocking_send(packed).map_err(|_| gone())
}
