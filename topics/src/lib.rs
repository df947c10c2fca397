//! The embedded topic log: topics, partitions, segments, offsets, bytes.
//!
//! A topic has partitions; a partition is a sequence of records, numbered from 0, in segment files of Kafka record batches.
//! An append is acknowledged when it is on disk, many in one sync; the offset up to which that holds is the partition's
//! *stable offset*, and no reader sees past it.
//!
//! It knows nothing of SQL, of Arrow, or of the Kafka protocol's requests. Start at [`TopicLog`]; the format of what is
//! stored is told in [`batch`], and how a folder is laid out and repaired in `docs/ARCHITECTURE.md`.

pub mod batch;

mod durable;
mod error;
mod faults;
mod index;
mod log;
mod mark;
mod meta;
mod open_files;
mod partition;
mod recovery;
mod scan;
mod segment;
mod settings;
mod shared;
mod token;
mod tokens;
mod topic;

pub use batch::{BatchBuilder, BatchView, EncodedBatch, Record, RecordRef};
pub use error::{Error, Result};
pub use log::TopicLog;
pub use partition::{Appended, Partition, SegmentInfo};
pub use settings::LogSettings;
pub use token::IdempotencyToken;
pub use topic::{Topic, TopicSpec};
