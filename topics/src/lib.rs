//! The embedded topic log: topics, partitions, segments, offsets, bytes.
//!
//! A topic has partitions; a partition is a sequence of records, numbered from 0, in segment files of Kafka record batches.
//! An append is acknowledged when it is on disk, many in one sync; the offset up to which that holds is the partition's
//! *stable offset*, and no reader sees past it.
//!
//! A topic's [`TopicConfig`] says how long records stay: by time, by size, or of each key the last one. A thread of the log goes
//! round and sees to it ([`TopicLog::maintain`]); who must not lose what is there now takes a [`Pin`].
//!
//! It knows nothing of SQL, of Arrow, or of the Kafka protocol's requests. Start at [`TopicLog`]; [`batch`] tells the format of
//! what is stored, [`groups`] who has read what, and [`transactions`] what is written together.
//!
//! # The folder
//! ```text
//! LOCK                                  held by the one process that has the folder
//! <topic id>/topic.json                 name, partitions, configuration
//! <topic id>/0/00000000000000000000.log     a segment of partition 0: record batches, back to back
//! <topic id>/0/00000000000000000000.index   where offsets and times lie in it; can be made again
//! <topic id>/0/<first>-<end>-<n>.log        what compaction left of the offsets from first to end; n is 1, 2 …, the highest counts
//! <topic id>/0/stable                       up to where rows were acknowledged
//! <topic id>/0/bounds                       where the partition starts, and up to where it is compacted
//! *.tmp                                 not finished; removed by the next start
//! ```
//!
//! # What holds
//! - A record below the stable offset was synced, and is never changed, moved or passed over: it is read, or the read fails and
//!   names the place. It goes only when it lies before the start offset, or in a compacted topic has a later one of its key; and
//!   never while a pin holds it.
//! - Where a topic has `flush_ms`, the stable offset is ahead of the sync by at most so many milliseconds. The death of the process
//!   loses nothing even then; a power cut loses what was not synced, always the last records.
//! - Offsets are given once. A partition from which all is deleted goes on where it was.
//! - The start offset and the bounds of compaction are on disk before a file that they make needless is removed, and a file that
//!   replaces others is on disk before those are: a crash between leaves files too many, and a start removes them.
//! - A batch is there whole or not at all, and so is a topic.
//! - What a start cuts off the end of a partition had not been acknowledged to anybody.
//! - Who reads only what is committed sees all of a transaction or nothing, and never less than before.
//! - After a sync has failed, nothing is written until a restart.

pub mod batch;
pub mod groups;
pub mod transactions;

mod bounds;
mod compaction;
mod config;
mod deadlines;
mod durable;
mod error;
mod faults;
mod index;
mod isolation;
mod journal;
mod log;
mod mark;
mod meta;
mod open_files;
mod partition;
mod producer_ids;
mod producers;
mod recovery;
mod remembered;
mod retention;
mod scan;
mod segment;
mod settings;
mod shared;
mod token;
mod tokens;
mod topic;
mod upkeep;

pub use batch::{BatchBuilder, BatchView, EncodedBatch, Record, RecordRef};
pub use config::{Cleanup, TopicConfig};
pub use error::{Error, Result};
pub use isolation::Aborted;
pub use log::TopicLog;
pub use partition::{
    Appended, Batches, Head, Partition, Pin, ProducerState, SegmentInfo, StoredBatches,
    StoredStretch,
};
pub use settings::LogSettings;
pub use token::{Fingerprint, IdempotencyToken};
pub use topic::{Topic, TopicSpec, is_internal};
