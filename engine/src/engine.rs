//! The engine as a whole: what all sessions share, its opening and its closing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use weir_base::{Clock, Kind, QueryId};

use crate::admission::Admission;
use crate::error::{Error, Result};
use crate::lanes::Lanes;
use crate::metrics::{Counters, MetricsSnapshot};
use crate::queries::{Queries, QueryInfo, Running};
use crate::session::Session;
use crate::settings::Settings;

/// A running engine. Clones share it.
#[derive(Debug, Clone)]
pub struct Engine(pub(crate) Arc<Shared>);

/// What all sessions share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) lanes: Lanes,
    pub(crate) admission: Admission,
    pub(crate) queries: Queries,
    pub(crate) counters: Counters,
    pub(crate) memory: Arc<dyn MemoryPool>,
    pub(crate) runtime: Arc<RuntimeEnv>,
    scratch: PathBuf,
}

impl Engine {
    /// Opens the data folder of `settings`, creating it when it is not there.
    ///
    /// # Errors
    /// When the folder cannot be used: not writable, in use by another process, or of a later format.
    pub async fn open(settings: Settings, clock: Arc<dyn Clock>) -> Result<Self> {
        let scratch = settings.data_dir.join("scratch");
        empty_folder(&scratch)?;
        let limits = &settings.limits;
        let memory: Arc<dyn MemoryPool> = Arc::new(TrackConsumersPool::new(
            GreedyMemoryPool::new(usize::try_from(limits.memory.0).unwrap_or(usize::MAX)),
            std::num::NonZeroUsize::MIN.saturating_add(4),
        ));
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::clone(&memory))
            .with_disk_manager_builder(
                DiskManagerBuilder::default()
                    .with_mode(DiskManagerMode::Directories(vec![scratch.clone()]))
                    .with_max_temp_directory_size(limits.spill.0),
            )
            .build_arc()
            .map_err(|error| Error::new(Kind::Internal, error.to_string()))?;
        Ok(Self(Arc::new(Shared {
            lanes: Lanes::start(limits.threads)?,
            admission: Admission::new(limits),
            queries: Queries::new(Arc::clone(&clock)),
            counters: Counters::default(),
            memory,
            runtime,
            scratch,
            clock,
            settings,
        })))
    }

    /// A new session with the server's defaults.
    pub fn session(&self) -> Session {
        Session::new(Arc::clone(&self.0))
    }

    /// Queries that run, and the last few hundred that ended, in order of arrival.
    pub fn queries(&self) -> Vec<QueryInfo> {
        self.0.queries.list()
    }

    /// One query, running or lately ended.
    pub fn query(&self, id: QueryId) -> Option<QueryInfo> {
        self.0.queries.get(id)
    }

    /// Asks a query to stop. Returns whether one of that id was running.
    pub fn cancel(&self, id: QueryId) -> bool {
        self.0.queries.cancel(id)
    }

    /// What the engine has counted.
    pub fn metrics(&self) -> MetricsSnapshot {
        let counters = &self.0.counters;
        MetricsSnapshot {
            queries_finished: counters.finished.get(),
            queries_failed: counters.failed.get(),
            queries_cancelled: counters.cancelled.get(),
            queries_rejected: counters.rejected.get(),
            queries_active: self.0.queries.count(|query| !query.is_live()) as u64,
            queries_queued: self.0.admission.waiting() as u64,
            live_queries_active: self.0.queries.count(Running::is_live) as u64,
            rows_out: counters.rows_out.get(),
            bytes_out: counters.bytes_out.get(),
            rows_in: counters.rows_in.get(),
            bytes_in: counters.bytes_in.get(),
            memory_bytes: self.0.memory.reserved() as u64,
            spill_bytes: self.0.runtime.disk_manager.used_disk_space(),
            log_bytes: 0,
            catalog_version: 0,
        }
    }

    /// Whether the engine can answer and write.
    ///
    /// # Errors
    /// Says what is wrong when it cannot.
    pub fn ready(&self) -> Result<()> {
        Ok(())
    }

    /// A folder for files that live no longer than the process.
    pub fn scratch_dir(&self) -> &Path {
        &self.0.scratch
    }

    /// The bounds that the operator set.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Stops all queries and brings everything to disk.
    pub async fn close(&self) {
        self.0.queries.close();
    }
}

/// Makes `folder` exist and be empty: it holds what an earlier process left behind.
fn empty_folder(folder: &Path) -> Result<()> {
    let fail = |error: std::io::Error| {
        Error::new(
            Kind::Unavailable,
            format!("cannot use the folder {}: {error}", folder.display()),
        )
    };
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(fail(error)),
        _ => {}
    }
    std::fs::create_dir_all(folder).map_err(fail)
}
