//! What an operator decides before the engine starts.

use std::path::PathBuf;
use std::time::Duration;

use weir_base::ByteSize;

/// Where the engine keeps its data and what it may do.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder of the catalog, the topic log and scratch files.
    pub data_dir: PathBuf,
    /// Local folders that SQL may read and write.
    pub allow_paths: Vec<PathBuf>,
    /// Where locations on the network begin that SQL may name; none allows all.
    pub allow_locations: Vec<String>,
    /// Whether SQL may reach loopback, private and link-local addresses.
    pub allow_private_network: bool,
    /// A segment of the topic log that would grow past this is closed, and the next one begun.
    pub segment_bytes: ByteSize,
    /// How often the topic log looks for what retention and compaction take.
    pub upkeep_interval: Duration,
    /// Where closed segments of streams are kept as Parquet.
    pub history: HistorySettings,
    /// How often the state of each materialized view is saved: so much of its input is read again after a crash.
    pub checkpoint_interval: Duration,
    /// Where checkpoints of views are copied to.
    pub checkpoint_copies: CopySettings,
    /// Whether nobody gets in without credentials; else everybody is the operator.
    pub auth: bool,
    /// The bounds on every query.
    pub limits: Limits,
}

/// Where checkpoints of views are copied to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CopySettings {
    /// A folder of an object store, such as `s3://bucket/checkpoints/`, which no other server uses; `None` makes no copies.
    pub location: Option<String>,
    /// The connection, as `CREATE CONNECTION` made it, that leads to `location`.
    pub connection: Option<String>,
}

/// Where and how closed segments of streams are kept as Parquet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistorySettings {
    /// A folder of an object store, such as `s3://bucket/history/`, which no other server uses; `None` is `history` in the
    /// data folder.
    pub location: Option<String>,
    /// The connection, as `CREATE CONNECTION` made it, that leads to `location`.
    pub connection: Option<String>,
    /// How long the work rests when there was nothing to do.
    pub interval: Duration,
    /// Small segments are put together into files of about so many bytes of log.
    pub file_bytes: ByteSize,
}

impl Default for HistorySettings {
    fn default() -> Self {
        Self {
            location: None,
            connection: None,
            interval: Duration::from_secs(5),
            file_bytes: ByteSize(128 << 20),
        }
    }
}

/// The bounds on queries. Each has a default that suits a small machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Memory that all queries and the rows of tables share.
    pub memory: ByteSize,
    /// Memory of one query; past it operators spill, and what cannot spill fails with SQLSTATE 53200.
    pub query_memory: ByteSize,
    /// Memory of one materialized view; what it remembers goes to disk when it takes more than half of that.
    pub view_memory: ByteSize,
    /// Memory for rows of the ends of topics, decoded, apart from what queries have; 0 keeps none.
    pub decoded_rows: ByteSize,
    /// Disk that all queries together may spill to.
    pub spill: ByteSize,
    /// Wall clock of a bounded query, from its arrival to its last row.
    pub query_timeout: Duration,
    /// Rows of one answer; `None` is no bound.
    pub result_rows: Option<u64>,
    /// Bytes (as Arrow arrays) of one answer; `None` is no bound.
    pub result_bytes: Option<ByteSize>,
    /// Queries that run at once; more wait.
    pub concurrent_queries: usize,
    /// Queries that wait; more are refused.
    pub queued_queries: usize,
    /// How long a query waits before it is refused.
    pub queue_wait: Duration,
    /// Live queries that run at once; more are refused.
    pub live_queries: usize,
    /// Threads that run queries, and the default parallelism of a plan.
    pub threads: usize,
}

impl Settings {
    /// Settings with all defaults for data in `data_dir`.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            allow_paths: Vec::new(),
            allow_locations: Vec::new(),
            allow_private_network: false,
            segment_bytes: ByteSize(128 << 20),
            upkeep_interval: Duration::from_secs(5),
            history: HistorySettings::default(),
            checkpoint_interval: Duration::from_secs(10),
            checkpoint_copies: CopySettings::default(),
            auth: false,
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            memory: ByteSize(4 << 30),
            query_memory: ByteSize(2 << 30),
            view_memory: ByteSize(1 << 30),
            decoded_rows: ByteSize(256 << 20),
            spill: ByteSize(20 << 30),
            query_timeout: Duration::from_secs(300),
            result_rows: None,
            result_bytes: None,
            concurrent_queries: threads.max(2) * 4,
            queued_queries: 1_000,
            queue_wait: Duration::from_secs(30),
            live_queries: 200,
            threads,
        }
    }
}
