//! Materialized views: their jobs, which run in groups that go in step, and up to where their rows are shown.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};

use futures::FutureExt;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use weir_base::{ByteSize, Classify, Kind, Offset, Options, SqlState, TopicId};
use weir_catalog::{Body, Entry, MaterializedView, ObjectId, ObjectKind};
use weir_streaming::{
    Dataflow, Gathered, Group, Job, JobStatus, JobStore, Moved, OnRowError, Positions, Upkeep,
    ViewSink, components,
};
use weir_topics::Topic;

use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::lanes::{Lane, defect, panicked};
use crate::memory::QueryPool;
use crate::planning::{Planner, Reading};
use crate::queries::Running;
use crate::settings::Limits;
use crate::variables::Variables;

/// What a view is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ViewState {
    /// It is computed from the beginning, and shows what it showed last.
    Starting,
    /// It follows its sources.
    Running,
    /// It was told to stand still.
    Paused,
    /// What it writes to is away: it tries again.
    Retrying(Failure),
    /// It cannot go on.
    Failed(Failure),
}

/// Why a view stands still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    kind: Kind,
    sqlstate: SqlState,
    message: String,
    hint: Option<String>,
}

impl Failure {
    pub(crate) fn of(error: &Error) -> Self {
        Self {
            kind: error.kind(),
            sqlstate: error.sqlstate(),
            message: error.to_string(),
            hint: error.hint(),
        }
    }

    fn error(&self) -> Error {
        let error = Error::new(self.kind, self.message.clone()).with_sqlstate(self.sqlstate);
        match &self.hint {
            Some(hint) => error.with_hint(hint.clone()),
            None => error,
        }
    }
}

impl ViewState {
    /// The state in a word.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Retrying(_) => "retrying",
            Self::Failed(_) => "failed",
        }
    }

    /// What is wrong, if something is.
    pub(crate) fn error(&self) -> Option<&str> {
        match self {
            Self::Retrying(failure) | Self::Failed(failure) => Some(&failure.message),
            _ => None,
        }
    }
}

/// A view as an operator sees it.
#[derive(Debug, Clone)]
pub(crate) struct ViewStatus {
    pub(crate) state: ViewState,
    /// How its job does, or did when it ended.
    pub(crate) job: JobStatus,
}

/// All views that are kept.
pub(crate) struct Views {
    status: Mutex<HashMap<ObjectId, ViewStatus>>,
    groups: tokio::sync::Mutex<Vec<RunningGroup>>,
    /// One view at a time is given another query.
    pub(crate) replacing: tokio::sync::Mutex<()>,
    /// Up to where each topic is shown to who reads a view.
    positions: RwLock<Arc<Positions>>,
    /// Counts the changes of both.
    changed: watch::Sender<u64>,
}

/// A group that runs.
struct RunningGroup {
    topics: HashSet<TopicId>,
    /// The view of a job that comes near the end of its sources for itself, and joins the others then.
    comes: Option<ObjectId>,
    stop: CancellationToken,
    task: JoinHandle<Vec<Job>>,
}

/// With so many rows to read, at the most, a job joins those that run: they wait for it.
const NEAR_ROWS: u64 = 64 * 1024;

impl Default for Views {
    fn default() -> Self {
        Self {
            status: Mutex::default(),
            groups: tokio::sync::Mutex::default(),
            replacing: tokio::sync::Mutex::default(),
            positions: RwLock::default(),
            changed: watch::Sender::new(0),
        }
    }
}

impl Views {
    /// Starts all views of the catalog.
    pub(crate) fn start(engine: &Arc<Shared>) {
        let snapshot = engine.catalog.snapshot();
        let entries: Vec<Arc<Entry>> = snapshot
            .relations()
            .filter(|entry| entry.kind() == ObjectKind::MaterializedView)
            .cloned()
            .collect();
        for entry in &entries {
            engine.views.set(entry.id, ViewState::Starting);
        }
        let weak = Arc::downgrade(engine);
        engine.lanes.spawn(Lane::Heavy, async move {
            if let Some(engine) = weak.upgrade()
                && let Err(error) = engine.views.run(&engine, &entries).await
            {
                tracing::error!(%error, "views could not be started");
            }
        });
    }

    /// Up to where topics are shown to who reads a view: the same moment of all that belong together.
    pub(crate) fn positions(&self) -> Arc<Positions> {
        Arc::clone(&self.positions.read())
    }

    /// Hears of each change of what is shown.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// What a view is doing.
    pub(crate) fn status(&self, id: ObjectId) -> Option<ViewStatus> {
        self.status.lock().get(&id).cloned()
    }

    /// Waits until a view shows what its sources have, as far as that goes.
    ///
    /// # Errors
    /// When it has failed: with what failed.
    pub(crate) async fn shown(&self, id: ObjectId) -> Result<()> {
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            match self.status(id).map(|status| status.state) {
                Some(ViewState::Starting) => {}
                Some(ViewState::Failed(failure)) => return Err(failure.error()),
                _ => return Ok(()),
            }
            if changed.changed().await.is_err() {
                return Ok(());
            }
        }
    }

    /// Waits until all views that run, or are about to, show what is in the log now.
    pub(crate) async fn flush(&self, engine: &Shared) {
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            let starts = |status: &ViewStatus| status.state == ViewState::Starting;
            if !self.status.lock().values().any(starts) || changed.changed().await.is_err() {
                break;
            }
        }
        let read: Vec<TopicId> = self.positions().keys().copied().collect();
        let wanted: BTreeMap<TopicId, Vec<Offset>> = read
            .into_iter()
            .filter_map(|id| {
                let topic = engine.log.topic_by_id(id)?;
                let partitions = topic.partitions().iter();
                let ends = partitions.map(weir_topics::Partition::last_stable_offset);
                Some((id, ends.collect()))
            })
            .collect();
        loop {
            changed.mark_unchanged();
            let positions = self.positions();
            let reached = wanted.iter().all(|(id, wanted)| {
                // A topic that nobody reads any more is waited for by nobody.
                positions
                    .get(id)
                    .is_none_or(|at| wanted.iter().zip(at).all(|(wanted, at)| at >= wanted))
            });
            if reached || changed.changed().await.is_err() {
                return;
            }
        }
    }

    fn set(&self, id: ObjectId, state: ViewState) {
        let mut status = self.status.lock();
        let status = status.entry(id).or_insert(ViewStatus {
            state: ViewState::Starting,
            job: JobStatus::default(),
        });
        status.state = state;
        self.changed.send_modify(|version| *version += 1);
    }

    fn note(&self, job: &Job) {
        if let Some(status) = self.status.lock().get_mut(&ObjectId(job.id())) {
            status.job = job.status();
        }
    }

    /// Shows where topics are after a step, and who failed in it.
    fn show(&self, moved: Moved) {
        for (id, error) in moved.failed {
            let error = Error::from(error);
            tracing::warn!(view = id, %error, "a materialized view has failed");
            self.set(ObjectId(id), ViewState::Failed(Failure::of(&error)));
        }
        if !moved.positions.is_empty() {
            let mut positions = self.positions.write();
            let mut all = Positions::clone(&positions);
            all.extend(moved.positions);
            *positions = Arc::new(all);
        }
        self.changed.send_modify(|version| *version += 1);
    }

    /// Forgets up to where topics were shown that no view follows any more: nobody is to wait for them.
    fn forget(&self, topics: &HashSet<TopicId>) {
        let mut positions = self.positions.write();
        let mut all = Positions::clone(&positions);
        all.retain(|topic, _| !topics.contains(topic));
        *positions = Arc::new(all);
        drop(positions);
        self.changed.send_modify(|version| *version += 1);
    }

    /// Makes views go on, or begin, together with those that they belong to.
    pub(crate) async fn run(&self, engine: &Arc<Shared>, entries: &[Arc<Entry>]) -> Result<()> {
        let mut jobs = Vec::new();
        for entry in entries {
            match &entry.body {
                Body::MaterializedView(view) if !view.paused => {}
                _ => {
                    self.set(entry.id, ViewState::Paused);
                    continue;
                }
            }
            self.set(entry.id, ViewState::Starting);
            match job(engine, entry, Table::AsItIs).await {
                Ok(job) => {
                    self.note(&job);
                    jobs.push(job);
                }
                Err(error) => {
                    tracing::warn!(view = %entry.name, %error, "a materialized view cannot start");
                    self.set(entry.id, ViewState::Failed(Failure::of(&error)));
                }
            }
        }
        let mut groups = self.groups.lock().await;
        let near = self.without_far(engine, &mut groups, jobs);
        self.put_together(engine, &mut groups, near).await
    }

    /// Lets those jobs come for themselves that have far to go and that none of the others waits for, and gives the rest.
    fn without_far(
        &self,
        engine: &Arc<Shared>,
        groups: &mut Vec<RunningGroup>,
        jobs: Vec<Job>,
    ) -> Vec<Job> {
        let reads = jobs.iter().flat_map(Job::reads).map(Topic::id);
        let read: HashSet<TopicId> = reads.collect();
        let is_far = |job: &Job| {
            let is_read = job.topic().is_some_and(|topic| read.contains(&topic.id()));
            job.dataflow().rows_behind() > NEAR_ROWS && !is_read
        };
        let (far, near) = jobs.into_iter().partition(is_far);
        let far: Vec<Job> = far;
        for job in far {
            self.come(engine, groups, job, None);
        }
        near
    }

    /// Computes another query of a view, whose definition is given, beside the one that runs. When it has come near the end of
    /// its sources, it waits for [`Views::replace`].
    ///
    /// # Errors
    /// When the query cannot be planned or computed, or is given up.
    pub(crate) async fn prepare(&self, engine: &Arc<Shared>, entry: &Entry) -> Result<()> {
        let status = self.status(entry.id);
        if status.is_some_and(|status| status.state == ViewState::Starting) {
            return Err(Error::invalid(
                SqlState::OBJECT_IN_USE,
                format!("{} is being computed", entry.describe()),
            )
            .with_hint("wait until it is running, or pause it"));
        }
        // What a statement that was broken off left.
        self.give_up(entry.id).await;
        let job = job(engine, entry, Table::Anothers).await?;
        let (near, is_near) = oneshot::channel();
        self.come(engine, &mut *self.groups.lock().await, job, Some(near));
        match is_near.await {
            Ok(result) => result,
            Err(_dropped) => Err(Error::new(
                Kind::Cancelled,
                format!(
                    "{} was stopped before its new query was computed",
                    entry.describe()
                ),
            )),
        }
    }

    /// Puts what [`Views::prepare`] computed in the place of what runs, whether it is waited for or not, and waits until it is
    /// shown.
    ///
    /// # Errors
    /// When the view fails on the way.
    pub(crate) async fn replace(&self, engine: &Arc<Shared>, id: ObjectId) -> Result<()> {
        self.set(id, ViewState::Starting);
        self.join_soon(engine, id);
        self.shown(id).await
    }

    fn join_soon(&self, engine: &Arc<Shared>, id: ObjectId) {
        let weak = Arc::downgrade(engine);
        engine.lanes.spawn(Lane::Heavy, async move {
            if let Some(engine) = weak.upgrade()
                && let Err(error) = engine.views.join(&engine, id).await
            {
                tracing::error!(%error, "a group of views has ended");
            }
        });
    }

    /// Gives up what [`Views::prepare`] computed.
    pub(crate) async fn give_up(&self, id: ObjectId) {
        let mut groups = self.groups.lock().await;
        if let Err(error) = take(&mut groups, |group| group.comes == Some(id)).await {
            tracing::error!(%error, "a group of views has ended");
        }
    }

    /// Lets jobs go on with those that they belong to.
    async fn put_together(
        &self,
        engine: &Arc<Shared>,
        groups: &mut Vec<RunningGroup>,
        mut jobs: Vec<Job>,
    ) -> Result<()> {
        if jobs.is_empty() {
            return Ok(());
        }
        let touched: HashSet<TopicId> = jobs.iter().flat_map(topics_of).collect();
        let is_meant =
            |group: &RunningGroup| group.comes.is_none() && !group.topics.is_disjoint(&touched);
        // One that takes the place of another, which has run until now.
        let new: HashSet<u64> = jobs.iter().map(Job::id).collect();
        let others = take(groups, is_meant).await?;
        jobs.extend(others.into_iter().filter(|job| !new.contains(&job.id())));
        self.regroup(engine, groups, jobs);
        Ok(())
    }

    /// Lets a job come near the end of its sources, beside those that run.
    /// It joins them then, unless there is one to tell.
    fn come(
        &self,
        engine: &Arc<Shared>,
        groups: &mut Vec<RunningGroup>,
        job: Job,
        tell: Option<oneshot::Sender<Result<()>>>,
    ) {
        let topics = topics_of(&job).into_iter().collect();
        let comes = Some(ObjectId(job.id()));
        let is_told = tell.is_some();
        let stop = engine.closing.child_token();
        let ids = vec![ObjectId(job.id())];
        let work = come_near(Arc::downgrade(engine), job, stop.clone(), tell);
        // One that is to take another's place leaves it alone when it fails.
        let ids = if is_told { Vec::new() } else { ids };
        let work = guarded(Arc::downgrade(engine), ids, HashSet::new(), work);
        if let Some(task) = engine.lanes.spawn(Lane::Heavy, work) {
            groups.push(RunningGroup {
                topics,
                comes,
                stop,
                task,
            });
        }
    }

    /// Puts a job that has come near among those that run.
    async fn join(&self, engine: &Arc<Shared>, id: ObjectId) -> Result<()> {
        let mut groups = self.groups.lock().await;
        let jobs = take(&mut groups, |group| group.comes == Some(id)).await?;
        self.put_together(engine, &mut groups, jobs).await
    }

    /// Stops all of them at the ends of their steps, before the log is closed.
    pub(crate) async fn close(&self) {
        let mut groups = self.groups.lock().await;
        match take(&mut groups, |_| true).await {
            Ok(jobs) => save(jobs).await,
            Err(error) => tracing::error!(%error, "a group of views has ended"),
        }
    }

    /// Ends views, and what they kept in memory; those that belonged to them go on.
    pub(crate) async fn end(
        &self,
        engine: &Arc<Shared>,
        ids: &[ObjectId],
        state: Option<ViewState>,
    ) {
        let mut groups = self.groups.lock().await;
        let topics: HashSet<TopicId> = {
            let snapshot = engine.catalog.snapshot();
            let entries = ids.iter().filter_map(|id| snapshot.by_id(*id));
            entries.filter_map(|entry| Some(entry.topic()?.1)).collect()
        };
        let is_meant = |group: &RunningGroup| !group.topics.is_disjoint(&topics);
        let meant = groups.iter().filter(|group| is_meant(group));
        let mut gone: HashSet<TopicId> = meant.flat_map(|group| &group.topics).copied().collect();
        let taken = take(&mut groups, is_meant).await;
        match taken {
            Ok(jobs) => {
                let is_meant = |job: &Job| ids.contains(&ObjectId(job.id()));
                let (ended, others) = jobs.into_iter().partition(is_meant);
                let near = self.without_far(engine, &mut groups, others);
                self.regroup(engine, &mut groups, near);
                if state.is_some() {
                    save(ended).await;
                }
            }
            Err(error) => tracing::error!(%error, "a group of views has ended"),
        }
        gone.retain(|topic| groups.iter().all(|group| !group.topics.contains(topic)));
        self.forget(&gone);
        for id in ids {
            match &state {
                Some(state) => self.set(*id, state.clone()),
                None => {
                    self.status.lock().remove(id);
                    let forgotten = engine.checkpoints.forget(id.0);
                    if let Err(error) = forgotten {
                        tracing::warn!(view = id.0, %error, "the state of a view that is gone stays until the next start");
                    }
                }
            }
        }
        self.changed.send_modify(|version| *version += 1);
    }

    /// Runs jobs in the groups that they form now.
    fn regroup(&self, engine: &Arc<Shared>, groups: &mut Vec<RunningGroup>, jobs: Vec<Job>) {
        let places: Vec<(Option<Topic>, Vec<Topic>)> = jobs
            .iter()
            .map(|job| (job.topic().cloned(), job.reads().cloned().collect()))
            .collect();
        let mut jobs: Vec<Option<Job>> = jobs.into_iter().map(Some).collect();
        for members in components(&places) {
            let members = members
                .into_iter()
                .filter_map(|at| jobs.get_mut(at)?.take());
            let members: Vec<Job> = members.collect();
            let topics: HashSet<TopicId> = members.iter().flat_map(topics_of).collect();
            let ids = members.iter().map(|job| ObjectId(job.id())).collect();
            let stop = engine.closing.child_token();
            let work = follow(Arc::downgrade(engine), members, stop.clone());
            let work = guarded(Arc::downgrade(engine), ids, topics.clone(), work);
            if let Some(task) = engine.lanes.spawn(Lane::Heavy, work) {
                groups.push(RunningGroup {
                    topics,
                    comes: None,
                    stop,
                    task,
                });
            }
        }
    }
}

/// Saves the state of jobs that end.
async fn save(jobs: Vec<Job>) {
    for mut job in jobs {
        if let Err(error) = job.checkpoint().await {
            tracing::warn!(view = job.id(), %error, "the state of a view was not saved; it goes on from the last checkpoint");
        }
    }
}

fn topics_of(job: &Job) -> Vec<TopicId> {
    job.reads().chain(job.topic()).map(Topic::id).collect()
}

/// Stops some groups at the end of their steps, and gives their jobs.
async fn take(
    groups: &mut Vec<RunningGroup>,
    which: impl Fn(&RunningGroup) -> bool,
) -> Result<Vec<Job>> {
    let (taken, rest) = std::mem::take(groups)
        .into_iter()
        .partition(|group| which(group));
    *groups = rest;
    let taken: Vec<RunningGroup> = taken;
    taken.iter().for_each(|group| group.stop.cancel());
    let mut jobs = Vec::new();
    for group in taken {
        jobs.extend(group.task.await.map_err(panicked)?);
    }
    Ok(jobs)
}

/// The work on some views, which show these topics; a panic in the middle of a step fails the views, and ends nothing else.
async fn guarded(
    engine: Weak<Shared>,
    ids: Vec<ObjectId>,
    topics: HashSet<TopicId>,
    work: impl Future<Output = Vec<Job>>,
) -> Vec<Job> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(jobs) => jobs,
        Err(panic) => {
            let failure = Failure::of(&defect(panic.as_ref()));
            if let Some(engine) = engine.upgrade() {
                engine.views.forget(&topics);
                for id in ids {
                    engine.views.set(id, ViewState::Failed(failure.clone()));
                }
            }
            Vec::new()
        }
    }
}

/// Brings a job near the end of its sources, and tells it, or has it join those that run then. Gives it back when it is there, or
/// stopped.
async fn come_near(
    engine: Weak<Shared>,
    mut job: Job,
    stop: CancellationToken,
    tell: Option<oneshot::Sender<Result<()>>>,
) -> Vec<Job> {
    let id = ObjectId(job.id());
    loop {
        if stop.is_cancelled() {
            return vec![job];
        }
        if tell.as_ref().is_some_and(oneshot::Sender::is_closed) {
            return Vec::new();
        }
        let advanced = job.advance().await;
        let Some(engine) = engine.upgrade() else {
            return vec![job];
        };
        match advanced {
            Err(error) => {
                let error = Error::from(error);
                match tell {
                    // Nobody waits for it any more, perhaps.
                    Some(tell) => drop(tell.send(Err(error))),
                    None => {
                        let failure = Failure::of(&error);
                        engine.views.set(id, ViewState::Failed(failure));
                    }
                }
                return Vec::new();
            }
            Ok(is_there) => {
                if tell.is_none() {
                    engine.views.note(&job);
                }
                if is_there || job.dataflow().rows_behind() <= NEAR_ROWS {
                    break;
                }
            }
        }
        tokio::task::yield_now().await;
    }
    if let Some(tell) = tell {
        drop(tell.send(Ok(())));
    } else if let Some(engine) = engine.upgrade() {
        engine.views.join_soon(&engine, id);
    }
    vec![job]
}

/// Runs a group until it is told to stop, and gives its jobs back.
async fn follow(engine: Weak<Shared>, jobs: Vec<Job>, stop: CancellationToken) -> Vec<Job> {
    let ids: Vec<ObjectId> = jobs.iter().map(|job| ObjectId(job.id())).collect();
    let topics: HashSet<TopicId> = jobs.iter().flat_map(topics_of).collect();
    let views = || engine.upgrade();
    let fail = |error: Error| {
        if let Some(engine) = views() {
            engine.views.forget(&topics);
            for id in &ids {
                engine
                    .views
                    .set(*id, ViewState::Failed(Failure::of(&error)));
            }
        }
    };
    let progress = |job: &Job| {
        if let Some(engine) = views() {
            engine.views.note(job);
        }
    };
    let mut group = match Group::gather(jobs, &stop, progress).await {
        Ok(Gathered {
            group,
            stopped: true,
            ..
        }) => return group.into_jobs(),
        Ok(Gathered { group, moved, .. }) => {
            let Some(engine) = views() else {
                return group.into_jobs();
            };
            engine.views.show(moved);
            for job in group.jobs() {
                engine.views.note(job);
                engine.views.set(ObjectId(job.id()), ViewState::Running);
            }
            group
        }
        Err(error) => {
            fail(error.into());
            return Vec::new();
        }
    };
    loop {
        if group.jobs().is_empty() {
            if let Some(engine) = views() {
                engine.views.forget(&topics);
            }
            return Vec::new();
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return group.into_jobs(),
            ready = group.ready() => match ready {
                Ok(()) => {}
                Err(weir_streaming::Error::Grown(_)) => {
                    // The plans know of no more partitions than there were.
                    if let Some(engine) = views() {
                        engine.views.forget(&topics);
                        again(&engine, ids.clone());
                    }
                    return Vec::new();
                }
                Err(error) => {
                    fail(error.into());
                    return Vec::new();
                }
            },
        }
        let moved = group.step().await;
        let Some(engine) = views() else {
            return group.into_jobs();
        };
        group.jobs().iter().for_each(|job| engine.views.note(job));
        engine.views.show(moved);
    }
}

/// Begins views anew.
fn again(engine: &Arc<Shared>, ids: Vec<ObjectId>) {
    for id in &ids {
        engine.views.set(*id, ViewState::Starting);
    }
    let weak = Arc::downgrade(engine);
    engine.lanes.spawn(Lane::Heavy, async move {
        let Some(engine) = weak.upgrade() else { return };
        let snapshot = engine.catalog.snapshot();
        let entries = ids.iter().filter_map(|id| snapshot.by_id(*id).cloned());
        let entries: Vec<Arc<Entry>> = entries.collect();
        if let Err(error) = engine.views.run(&engine, &entries).await {
            tracing::error!(%error, "views could not be started again");
        }
    });
}

/// What the `WITH` clause of a view says.
#[derive(Debug, Clone, Default)]
pub(crate) struct ViewOptions {
    /// `on_error = 'fail' | 'skip'`: what becomes of a row that cannot be computed.
    on_error: OnRowError,
    /// `memory = '256MB'`: the view's own bound, below the server's.
    memory: Option<ByteSize>,
}

impl ViewOptions {
    /// Reads them.
    ///
    /// # Errors
    /// When an option is unknown, or its value is not among those that it can have.
    pub(crate) fn read(
        given: impl IntoIterator<Item = (String, String)>,
        limits: &Limits,
    ) -> Result<Self> {
        let mut options = Options::new(given);
        let on_error: Option<String> = options.take("on_error")?;
        let memory: Option<ByteSize> = options.take("memory")?;
        options.finish()?;
        let on_error = match on_error.as_deref() {
            None | Some("fail") => OnRowError::Fail,
            Some("skip") => OnRowError::Skip(Arc::default()),
            Some(other) => {
                return Err(wrong(format!("on_error cannot be '{other}'")).with_hint(
                    "'fail' stops the view at a row that cannot be computed, 'skip' leaves it out and counts it",
                ));
            }
        };
        if let Some(memory) = memory
            && (memory > limits.view_memory || memory < VIEW_MEMORY_MIN)
        {
            return Err(
                wrong(format!("memory cannot be {memory}")).with_hint(format!(
                    "{VIEW_MEMORY_MIN} up to limits.view_memory, {}",
                    limits.view_memory
                )),
            );
        }
        Ok(Self { on_error, memory })
    }

    /// Those of a view that is there. The server's limit may have become lower since.
    fn of(view: &MaterializedView, limits: &Limits) -> Result<Self> {
        let least = Limits {
            view_memory: ByteSize(u64::MAX),
            ..limits.clone()
        };
        Self::read(view.options.clone(), &least)
    }

    fn memory(&self, limits: &Limits) -> usize {
        let memory = self
            .memory
            .map_or(limits.view_memory, |memory| memory.min(limits.view_memory));
        usize::try_from(memory.0).unwrap_or(usize::MAX)
    }
}

/// The least memory that a view can be given.
const VIEW_MEMORY_MIN: ByteSize = ByteSize(16 << 20);

fn wrong(message: String) -> Error {
    Error::invalid(SqlState::INVALID_PARAMETER_VALUE, message)
}

/// What a view's job finds in its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Table {
    /// What the last job of the same query left.
    AsItIs,
    /// What another job writes, until this one takes its place.
    Anothers,
}

/// The job of a view, at the beginning or where its last checkpoint was made.
async fn job(engine: &Arc<Shared>, entry: &Entry, has: Table) -> Result<Job> {
    let Body::MaterializedView(view) = &entry.body else {
        return Err(Error::new(
            Kind::Internal,
            "only views that are kept have jobs",
        ));
    };
    let limits = &engine.settings.limits;
    let options = ViewOptions::of(view, limits)?;
    let memory = options.memory(limits);
    let planner = planner(engine, &view.view.sql, view.on_window_close, memory);
    let store = engine.checkpoints.of(entry.id.0, view.generation)?;
    let table = engine.keyed_table(entry)?;
    let begin = async || {
        let dataflow = planner.dataflow(entry, &view.view, Some(store.clone()));
        let dataflow = dataflow.await?;
        Ok::<_, Error>(dataflow.on_row_error(options.on_error.clone()))
    };
    let mut dataflow = begin().await?;
    let sink = if has == Table::Anothers {
        ViewSink::of_unknown(table)?
    } else if table.stable_offset() == Offset::ZERO {
        ViewSink::new(table)?
    } else {
        // What came since the checkpoint may be in the table already: up to where it says.
        let written = table.written_from().await?;
        match written.filter(|written| dataflow.is_restored() && dataflow.reaches(written)) {
            Some(written) => {
                dataflow.go_to(&written).await?;
                ViewSink::new(table)?
            }
            None => {
                if dataflow.is_restored() {
                    store.clear()?;
                    dataflow = begin().await?;
                }
                ViewSink::of_unknown(table)?
            }
        }
    };
    Ok(Job::new(entry.id.0, dataflow, sink, upkeep(engine, memory)))
}

/// When the state of a job is saved.
pub(crate) fn upkeep(engine: &Shared, memory: usize) -> Upkeep {
    Upkeep {
        clock: Arc::clone(&engine.clock),
        interval: engine.settings.checkpoint_interval,
        // The rest is for what a step needs.
        memory: memory / 2,
    }
}

/// A planner for a view, with a memory of its own.
pub(crate) fn planner(
    engine: &Arc<Shared>,
    sql: &str,
    on_window_close: bool,
    memory: usize,
) -> Planner {
    let pool = Arc::new(QueryPool::new(memory, Arc::clone(&engine.memory)));
    let running = Running::new(sql, pool, engine.clock.now_ms());
    let planner = Planner::new(
        Arc::clone(engine),
        &running,
        engine.catalog.snapshot(),
        &Variables::default(),
        Reading::Live,
    );
    match on_window_close {
        true => planner.closing_windows(),
        false => planner,
    }
}

impl Planner {
    /// The operators of a view's query, whose rows have the view's columns.
    async fn dataflow(
        &self,
        entry: &Entry,
        view: &weir_catalog::View,
        store: Option<JobStore>,
    ) -> Result<Dataflow> {
        let plan = self.view_as_declared(entry, view).await?;
        let (_, dataflow) = self.followed(plan, store).await?;
        Ok(dataflow)
    }
}
