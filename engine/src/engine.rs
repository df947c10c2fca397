//! The engine as a whole: what all sessions share, its opening and its closing.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionState;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use weir_base::{Classify, Clock, Kind, QueryId, SqlState, TopicId, TopicName};
use weir_catalog::accounts::{ADMIN, AccountKind, Token, TokenId};
use weir_catalog::{Body, Catalog, Entry, ObjectId, Privilege, Secret, Snapshot};
use weir_connectors::files::{FilePolicy, FileStores, ObjectFolder};
use weir_connectors::topic::DecodedRows;
use weir_streaming::Checkpoints;
use weir_topics::is_internal;
use weir_topics::{LogSettings, Topic, TopicLog};

use crate::admission::Admission;
use crate::dead_letters::DeadLetters;
use crate::error::{Error, Result};
use crate::functions;
use crate::history::Histories;
use crate::kept::KeptPlans;
use crate::lanes::{Lane, Lanes};
use crate::metrics::{Counters, MetricsSnapshot};
use crate::queries::{Queries, QueryInfo, Running, StopReason};
use crate::security::{Audit, OPERATOR, Principal, Rights, SignIns, new_token};
use crate::session::Session;
use crate::settings::{CopySettings, Settings};
use crate::sinks::Sinks;
use crate::tables::Tables;
use crate::transaction::Moment;
use crate::variables::Variables;
use crate::views::Views;

/// How long a close waits until the last checkpoints are copied.
const COPY_GRACE: Duration = Duration::from_secs(5);

/// A running engine. Clones share it.
#[derive(Debug, Clone)]
pub struct Engine(pub(crate) Arc<Shared>);

/// What all sessions share.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) lanes: Lanes,
    pub(crate) admission: Admission,
    pub(crate) queries: Queries,
    pub(crate) counters: Counters,
    pub(crate) memory: Arc<dyn MemoryPool>,
    pub(crate) runtime: Arc<RuntimeEnv>,
    /// Functions and rules, which every statement's planning starts from.
    pub(crate) base_state: SessionState,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) log: TopicLog,
    pub(crate) stores: FileStores,
    pub(crate) tables: Tables,
    pub(crate) histories: Histories,
    pub(crate) views: Views,
    pub(crate) kept_plans: KeptPlans,
    pub(crate) sinks: Sinks,
    /// The state of their jobs.
    pub(crate) checkpoints: Checkpoints,
    /// Of the ends of topics, for queries that look there again and again.
    pub(crate) decoded_rows: Arc<DecodedRows>,
    /// Cancelled when the engine closes.
    pub(crate) closing: CancellationToken,
    pub(crate) dead_letters: DeadLetters,
    pub(crate) sign_ins: SignIns,
    pub(crate) audit: Audit,
    /// One definition changes at a time.
    pub(crate) ddl: Arc<tokio::sync::Mutex<()>>,
    /// The next identity of a temporary object: no two sessions have the same.
    temporary_ids: AtomicU64,
    /// When it was opened.
    pub(crate) started_ms: i64,
    scratch: PathBuf,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("data_dir", &self.settings.data_dir)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// Notes the end of a query; only the first end counts.
    pub(crate) fn ended(&self, running: &Arc<Running>, outcome: Result<(), &Error>) {
        if !self.queries.end(running, outcome) {
            return;
        }
        self.counters.rows_out.add(running.rows());
        self.counters.bytes_out.add(running.bytes());
        match outcome {
            Ok(()) => self.counters.finished.add(1),
            Err(error) if error.sqlstate() == SqlState::TOO_MANY_CONNECTIONS => {
                self.counters.rejected.add(1);
            }
            Err(_) if running.was_stopped() => self.counters.cancelled.add(1),
            Err(error) => {
                self.counters.failed.add(1);
                tracing::debug!(query.id = %running.id, %error, "query failed");
            }
        }
    }

    /// Ends queries that read what their users may no longer read, or read otherwise.
    pub(crate) fn end_what_was_revoked(&self) {
        for query in self.queries.running() {
            self.end_if_revoked(&query);
        }
    }

    /// Ends a query if its user may no longer read what it reads.
    pub(crate) fn end_if_revoked(&self, query: &Running) {
        let (snapshot, accounts) = (self.catalog.snapshot(), self.catalog.accounts());
        let Some((principal, objects)) = query.read_for() else {
            return;
        };
        let rights = Rights::of(&principal, accounts, self.clock.now_ms());
        let may_go_on = rights.is_ok_and(|rights| {
            objects.iter().all(|(id, policies)| {
                // What was dropped ends the query in its own way.
                snapshot.by_id(*id).is_none_or(|entry| {
                    let now = rights
                        .policies_on(entry)
                        .into_iter()
                        .map(|policy| policy.id);
                    rights.allows(Privilege::Select, entry, &snapshot)
                        && now.eq(policies.iter().copied())
                })
            })
        });
        if !may_go_on {
            query.stop_for(StopReason::Revoked);
        }
    }

    /// Waits for views that are kept, and fixes one moment for all that they show.
    ///
    /// # Errors
    /// The first of them that has failed, and why.
    pub(crate) async fn show(
        self: &Arc<Self>,
        views: &[ObjectId],
        variables: &Variables,
        moment: &Mutex<Moment>,
    ) -> std::result::Result<(), (ObjectId, Error)> {
        if views.is_empty() || moment.lock().shown.is_some() {
            return Ok(());
        }
        for id in views {
            let shown = self.views.shown(*id).await;
            shown.map_err(|error| (*id, error))?;
        }
        if variables.reads_own_writes() {
            self.views.flush(self).await;
        }
        moment.lock().shown = Some(self.views.positions());
        Ok(())
    }

    /// An identity for a temporary object.
    pub(crate) fn temporary_id(&self) -> ObjectId {
        ObjectId(self.temporary_ids.fetch_add(1, Ordering::Relaxed))
    }

    /// The topic that a stream or table is stored in.
    pub(crate) fn topic_of(&self, entry: &Entry) -> Result<Topic> {
        let (name, id) = entry.topic().ok_or_else(|| {
            Error::new(Kind::Internal, format!("{} has no topic", entry.describe()))
        })?;
        self.log.topic_by_id(id).ok_or_else(|| {
            Error::new(Kind::NotFound, format!("{} was dropped", entry.describe()))
                .with_sqlstate(SqlState::UNDEFINED_TABLE)
                .with_hint(format!("its topic {name} is gone"))
        })
    }
}

impl Engine {
    /// Opens the data folder of `settings`, creating it when it is not there.
    ///
    /// # Errors
    /// When the folder cannot be used: not writable, in use by another process, or of a later format.
    pub async fn open(settings: Settings, clock: Arc<dyn Clock>) -> Result<Self> {
        let dir = &settings.data_dir;
        std::fs::create_dir_all(dir).map_err(|error| unusable(dir, &error))?;
        // The log's lock comes first: it keeps a second process from everything in the folder.
        let log = TopicLog::open(
            LogSettings {
                segment_bytes_max: settings.segment_bytes.0,
                upkeep_interval_ms: u64::try_from(settings.upkeep_interval.as_millis())
                    .unwrap_or(u64::MAX),
                ..LogSettings::new(dir.join("topics"))
            },
            Arc::clone(&clock),
        )
        .await?;
        let catalog = Arc::new(Catalog::open(dir.join("catalog"))?);
        let scratch = dir.join("scratch");
        empty_folder(&scratch)?;
        remove_orphans(&catalog, &log).await;

        let limits = &settings.limits;
        let stores = FileStores::new(FilePolicy {
            allow_paths: settings.allow_paths.clone(),
            // Whatever is allowed, the server's own files are not.
            deny_paths: [
                "topics", "catalog", "scratch", "history", "state", "audit", "tls",
            ]
            .map(|own| dir.join(own))
            .to_vec(),
            allow_locations: settings.allow_locations.clone(),
            allow_private_network: settings.allow_private_network,
        })?;
        let checkpoints = open_checkpoints(&dir.join("state"), &catalog)?;
        let checkpoints = with_copies(checkpoints, &settings.checkpoint_copies, &catalog, &stores)?;
        let memory: Arc<dyn MemoryPool> = Arc::new(TrackConsumersPool::new(
            GreedyMemoryPool::new(usize::try_from(limits.memory.0).unwrap_or(usize::MAX)),
            std::num::NonZeroUsize::MIN.saturating_add(4),
        ));
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::clone(&memory))
            .with_object_store_registry(stores.registry())
            .with_cache_manager(FileStores::caches())
            .with_disk_manager_builder(
                DiskManagerBuilder::default()
                    .with_mode(DiskManagerMode::Directories(vec![scratch.clone()]))
                    .with_max_temp_directory_size(limits.spill.0),
            )
            .build_arc()?;
        let base_state =
            functions::state(Arc::clone(&runtime), Variables::default().config(limits))?;
        let engine = Self(Arc::new(Shared {
            lanes: Lanes::start(limits.threads)?,
            admission: Admission::new(limits),
            queries: Queries::new(Arc::clone(&clock)),
            counters: Counters::default(),
            tables: Tables::default(),
            histories: Histories::default(),
            views: Views::default(),
            kept_plans: KeptPlans::default(),
            sinks: Sinks::default(),
            checkpoints,
            decoded_rows: Arc::new(DecodedRows::new(
                usize::try_from(limits.decoded_rows.0).unwrap_or(usize::MAX),
            )),
            closing: CancellationToken::new(),
            dead_letters: DeadLetters::default(),
            sign_ins: SignIns::new()?,
            audit: Audit::open(&dir.join("audit"), settings.auth, Arc::clone(&clock))?,
            ddl: Arc::default(),
            temporary_ids: AtomicU64::new(ObjectId::FIRST_TEMPORARY.0),
            base_state,
            memory,
            runtime,
            catalog,
            log,
            stores,
            scratch,
            started_ms: clock.now_ms(),
            clock,
            settings,
        }));
        Sinks::start(&engine.0);
        Views::start(&engine.0);
        // What sinks and views go on from is held by now.
        engine.0.log.begin_upkeep();
        Histories::start(&engine.0);
        sweep_copies(&engine.0);
        engine.0.tend_dead_letters();
        Ok(engine)
    }

    /// Makes the first user, `weir`, with the role `admin` and a token, where people sign in and nobody could yet: the token's value,
    /// which is not shown again.
    ///
    /// # Errors
    /// When the catalog cannot be written, or the system gives no random bytes.
    pub fn first_token(&self) -> Result<Option<Secret>> {
        let now_ms = self.0.clock.now_ms();
        if !self.0.settings.auth || self.0.catalog.accounts().lets_an_admin_in(now_ms) {
            return Ok(None);
        }
        let (value, hash) = new_token()?;
        self.0.catalog.change_accounts(|accounts| {
            let user = match accounts.user(OPERATOR) {
                Some(user) => user.id,
                None => accounts.create_account(AccountKind::User, OPERATOR, None, now_ms)?,
            };
            accounts.change_account(user, |user| user.may_sign_in = true)?;
            accounts.grant_role(ADMIN, user)?;
            let name = format!("first-{now_ms}");
            accounts.create_token(Token {
                id: TokenId(0),
                name,
                user,
                hash,
                scope: None,
                expires_at_ms: None,
                created_at_ms: now_ms,
            })
        })?;
        Ok(Some(value))
    }

    /// A new session of the operator, who may do everything: for the server's own work, and for doors where nobody has to
    /// sign in ([`Engine::requires_sign_in`]).
    pub fn session(&self) -> Session {
        self.session_of(Principal::operator())
    }

    /// A new session of somebody who has signed in.
    pub fn session_of(&self, principal: Principal) -> Session {
        Session::new(Arc::clone(&self.0), principal)
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
            decoded_bytes: self.0.decoded_rows.size_bytes() as u64,
            spill_bytes: self.0.runtime.disk_manager.used_disk_space(),
            log_bytes: self.0.log.topics().iter().map(Topic::size_bytes).sum(),
            catalog_version: self.0.catalog.snapshot().version(),
        }
    }

    /// Of each topic that streams read, how many of its records could not be decoded, each as often as it was read.
    pub fn decode_errors(&self) -> BTreeMap<TopicName, u64> {
        let log = &self.0.log;
        let counts = self.0.tables.all_decode_errors().into_iter();
        counts
            .filter_map(|(id, count)| Some((log.topic_by_id(id)?.name().clone(), count)))
            .collect()
    }

    /// Of each topic with a stream that has dead letters, how many of them were copied since the start.
    pub fn dead_letters(&self) -> BTreeMap<TopicName, u64> {
        let mut counts = BTreeMap::new();
        for (topic, count) in self.0.dead_letters.counts() {
            *counts.entry(topic).or_default() += count;
        }
        counts
    }

    /// Whether the engine can answer and write.
    ///
    /// # Errors
    /// Says what is wrong when it cannot.
    pub fn ready(&self) -> Result<()> {
        let failed = |what, reason| {
            Err(Error::new(
                Kind::Unavailable,
                format!("the {what} has failed: {reason}"),
            ))
        };
        if let Some(reason) = self.0.log.failure() {
            return failed("topic log", reason);
        }
        if let Some(reason) = self.0.catalog.failure() {
            return failed("catalog", reason);
        }
        Ok(())
    }

    /// The embedded topic log.
    pub fn topics(&self) -> &TopicLog {
        &self.0.log
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
        self.0.closing.cancel();
        self.0.queries.close();
        self.0.kept_plans.clear();
        self.0.dead_letters.close();
        self.0.sinks.close().await;
        self.0.views.close().await;
        self.0.checkpoints.settle_copies(COPY_GRACE).await;
        if let Err(error) = self.0.log.close().await {
            tracing::error!(%error, "the topic log did not close cleanly; it repairs itself at the next start");
        }
    }
}

/// Opens the state of the jobs of a catalog. What is damaged can be computed again; what only cannot be read now is not thrown away.
fn open_checkpoints(folder: &Path, catalog: &Catalog) -> Result<Checkpoints> {
    let checkpoints = match Checkpoints::open(folder) {
        Ok(checkpoints) => checkpoints,
        Err(error) if error.is_damage() => {
            tracing::warn!(%error, "the state of materialized views is damaged: they are computed again");
            empty_folder(folder)?;
            Checkpoints::open(folder)?
        }
        Err(error) => return Err(error.into()),
    };
    let snapshot = catalog.snapshot();
    checkpoints.retain(|job, generation| has_job(&snapshot, job, generation))?;
    Ok(checkpoints)
}

/// Whether there is a job whose state this is.
fn has_job(snapshot: &Snapshot, job: u64, generation: u32) -> bool {
    let entry = snapshot.by_id(ObjectId(job));
    entry.is_some_and(|entry| match &entry.body {
        Body::MaterializedView(kept) => kept.generation == generation,
        _ => true,
    })
}

/// Has checkpoints copied to where the settings say.
fn with_copies(
    checkpoints: Checkpoints,
    settings: &CopySettings,
    catalog: &Arc<Catalog>,
    stores: &FileStores,
) -> Result<Checkpoints> {
    let Some(location) = settings.location.clone() else {
        return Ok(checkpoints);
    };
    let snapshot = catalog.snapshot();
    let views = snapshot.relations().filter_map(|entry| match &entry.body {
        Body::MaterializedView(kept) => Some((entry.id.0, kept.generation)),
        _ => None,
    });
    let connection = settings.connection.clone();
    let (catalog, stores) = (Arc::clone(catalog), stores.clone());
    let folder = move || {
        let name = connection.as_deref().unwrap_or_default();
        let connection = crate::planning::files::connection(&catalog.snapshot(), name);
        let connection = connection
            .map_err(|error| weir_connectors::Error::new(error.kind(), error.to_string()))?;
        ObjectFolder::new(&stores, &location, Some(&connection))
    };
    Ok(checkpoints.with_copies(folder, views.collect::<Vec<_>>())?)
}

/// Removes the copies of what is gone, in its own time.
fn sweep_copies(engine: &Arc<Shared>) {
    let weak = Arc::downgrade(engine);
    engine.lanes.spawn(Lane::Heavy, async move {
        let Some(engine) = weak.upgrade() else { return };
        let catalog = Arc::clone(&engine.catalog);
        let is_kept = move |job, generation| has_job(&catalog.snapshot(), job, generation);
        // A place that cannot be reached is said by who copies.
        if let Err(error) = engine.checkpoints.retain_copies(is_kept).await {
            tracing::debug!(%error, "the place of checkpoints' copies was not looked through");
        }
    });
}

/// Deletes topics that were made for a stream or table which then was not committed, or whose deletion was cut off.
async fn remove_orphans(catalog: &Catalog, log: &TopicLog) {
    let snapshot = catalog.snapshot();
    let used: HashSet<TopicId> = snapshot
        .relations()
        .filter_map(|entry| entry.topic())
        .map(|(_, id)| id)
        .collect();
    for topic in log.topics() {
        if topic.spec().owned
            && !is_internal(topic.name())
            && !used.contains(&topic.id())
            && let Err(error) = log.delete_topic(topic.id()).await
        {
            tracing::warn!(topic = %topic.name(), %error, "cannot delete a topic that is no longer used");
        }
    }
}

fn unusable(folder: &Path, error: &std::io::Error) -> Error {
    Error::new(
        Kind::Unavailable,
        format!("cannot use the folder {}: {error}", folder.display()),
    )
}

/// Makes `folder` exist and be empty: it holds what an earlier process left behind.
fn empty_folder(folder: &Path) -> Result<()> {
    let fail = |error: std::io::Error| unusable(folder, &error);
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(fail(error)),
        _ => {}
    }
    std::fs::create_dir_all(folder).map_err(fail)
}
