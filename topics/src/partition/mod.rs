//! A partition: records numbered from 0, in segments, with one writer and any number of readers.

mod append;
mod compact;
mod cut;
mod isolation;
mod pins;
mod read;
mod stored;
mod upkeep;
mod write;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;
use weir_base::{Offset, PartitionId, TopicName};

pub use append::{Appended, Head};
pub use isolation::ProducerState;
pub use pins::Pin;
pub use read::{Batches, SegmentInfo};
pub use stored::{StoredBatches, StoredStretch};

use crate::config::ConfigCell;
use crate::open_files::FileKey;
use crate::recovery::recover;
use crate::segment::{Place, Segment};
use crate::shared::Shared;
use crate::{Error, Result};
use append::Queue;
use pins::Kept;
use write::Writer;

/// A partition of a topic. Clones are the same partition.
#[derive(Clone)]
pub struct Partition(Arc<Inner>);

struct Inner {
    place: Place,
    dir: PathBuf,
    number: u64,
    shared: Arc<Shared>,
    config: ConfigCell,
    /// In order of base offset; the last one grows.
    segments: RwLock<Vec<Arc<Segment>>>,
    /// What is appended and not yet on disk. Held for moments only.
    queue: Mutex<Queue>,
    /// Held by the thread that writes.
    writer: Mutex<Writer>,
    /// Held while files are removed or replaced; taken before the writer's.
    upkeep: Mutex<()>,
    /// From where on records are kept. Held for moments only.
    kept: Mutex<Kept>,
    stable: watch::Sender<Offset>,
    /// The last stable offset. It moves with `stable`, under the queue's lock.
    committed: watch::Sender<Offset>,
    deleted: AtomicBool,
}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Partition({})", self.0.place)
    }
}

impl Partition {
    /// The topic's name.
    pub fn topic(&self) -> &TopicName {
        &self.0.place.topic
    }

    /// Its number within the topic.
    pub fn id(&self) -> PartitionId {
        self.0.place.partition
    }

    /// The log start offset: the first one that new readers see. It moves on by retention and [`Partition::delete_before`];
    /// who must not lose what is there now takes a [`Partition::pin`].
    pub fn start_offset(&self) -> Offset {
        self.0.kept.lock().bounds.start
    }

    /// Before which offset records may have been dropped because later ones have their keys: what the latest of each key were before
    /// it cannot be told any more.
    pub fn compacted_offset(&self) -> Offset {
        self.0.kept.lock().bounds.thinned
    }

    /// The exclusive end of what is on disk: nothing after it is read. Who reads only what is committed ends at
    /// [`Partition::last_stable_offset`].
    pub fn stable_offset(&self) -> Offset {
        *self.0.stable.borrow()
    }

    /// The offset that the next record will have, if those before it reach the disk.
    pub fn next_offset(&self) -> Offset {
        self.0.queue.lock().next
    }

    /// Where the partition stands: for a writer whose records depend on those before them.
    pub fn head(&self) -> Head {
        let queue = self.0.queue.lock();
        Head {
            stable: self.stable_offset(),
            next: queue.next,
            given_up: queue.given_up,
        }
    }

    /// The stable offset, and a wake-up whenever it moves. It also wakes when the topic is deleted: a read then says so.
    pub fn watch(&self) -> watch::Receiver<Offset> {
        self.0.stable.subscribe()
    }

    /// What its segments take up, in bytes.
    pub fn size_bytes(&self) -> u64 {
        let segments = self.0.segments.read();
        segments.iter().map(|s| s.extent.read().bytes).sum()
    }

    /// Its key among all partitions of this process.
    pub(crate) fn number(&self) -> u64 {
        self.0.number
    }

    /// Opens the partition in `dir`, repairing what a crash left.
    pub(crate) fn open(
        shared: &Arc<Shared>,
        place: Place,
        dir: PathBuf,
        config: ConfigCell,
    ) -> Result<Self> {
        let number = shared.next_number();
        let mut found = recover(
            &dir,
            &place,
            number,
            &shared.settings,
            config.get().flush_ms.is_some(),
        )?;
        let end = found.segments.last().map(|last| last.end());
        let end = end.unwrap_or(found.bounds.start);
        let isolation = &mut found.remembered.isolation;
        isolation.settle(end);
        isolation.prune(found.bounds.start);
        isolation.cut(found.bounds.start);
        let committed = isolation.last_stable(end);
        let partition = Self(Arc::new(Inner {
            place,
            dir,
            number,
            shared: Arc::clone(shared),
            config,
            segments: RwLock::new(found.segments),
            queue: Mutex::new(Queue::new(end, found.remembered)),
            writer: Mutex::new(Writer::new(found.dirty, shared.clock.now_ms())),
            upkeep: Mutex::default(),
            kept: Mutex::new(Kept::new(found.bounds)),
            stable: watch::Sender::new(end),
            committed: watch::Sender::new(committed),
            deleted: AtomicBool::new(false),
        }));
        partition.remove_doomed();
        Ok(partition)
    }

    /// Makes all who watch look again.
    pub(crate) fn wake_readers(&self) {
        self.0.stable.send_modify(|_| ());
        self.0.committed.send_modify(|_| ());
    }

    /// Ends all use of it: the topic is gone. Waits for a write under way.
    pub(crate) fn delete(&self) {
        self.0.deleted.store(true, Ordering::Release);
        let _upkeep = self.0.upkeep.lock();
        let _writer = self.0.writer.lock();
        self.fail_waiting(&self.gone());
        self.0.shared.files.forget(self.0.number);
    }

    fn check_exists(&self) -> Result<()> {
        if self.0.deleted.load(Ordering::Acquire) {
            Err(self.gone())
        } else {
            Ok(())
        }
    }

    fn gone(&self) -> Error {
        Error::TopicNotFound(self.0.place.topic.to_string())
    }

    fn mark_key(&self) -> FileKey {
        FileKey {
            partition: self.0.number,
            segment: None,
        }
    }
}
