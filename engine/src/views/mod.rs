//! Materialized views: their jobs, which run in groups that go in step, and up to where their rows are shown.

mod job;
mod running;
mod status;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use weir_base::{Kind, Offset, SqlState, TopicId};
use weir_catalog::{Body, Entry, ObjectId, ObjectKind};
use weir_streaming::{Failed, Holds, Job, JobStatus, Moved, Positions, components};
use weir_topics::Topic;

use self::job::{Table, job};
use self::running::{come_near, follow, guarded, safely, save, take, topics_of};
use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::lanes::{Lane, panicked};
use crate::reads::tables_read;

pub(crate) use self::job::{ViewOptions, planner, upkeep};
pub(crate) use self::status::{Failure, ViewState, ViewStatus};

/// All views that are kept.
pub(crate) struct Views {
    status: Mutex<HashMap<ObjectId, ViewStatus>>,
    groups: tokio::sync::Mutex<Vec<RunningGroup>>,
    /// One view at a time is given another query.
    pub(crate) replacing: Arc<tokio::sync::Mutex<()>>,
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
            replacing: Arc::default(),
            positions: RwLock::default(),
            changed: watch::Sender::new(0),
        }
    }
}

impl Views {
    /// Starts all views of the catalog. What they need of tables is held on return, until their jobs hold it themselves.
    pub(crate) fn start(engine: &Arc<Shared>) {
        let snapshot = engine.catalog.snapshot();
        let entries: Vec<Arc<Entry>> = snapshot
            .relations()
            .filter(|entry| entry.kind() == ObjectKind::MaterializedView)
            .cloned()
            .collect();
        let held = Holds::default();
        for entry in &entries {
            engine.views.set(entry.id, ViewState::Starting);
            for topic in tables_read(engine, &snapshot, entry.depends_on.iter().copied()) {
                held.hold(&topic);
            }
        }
        let weak = Arc::downgrade(engine);
        engine.lanes.spawn(Lane::Heavy, async move {
            if let Some(engine) = weak.upgrade()
                && let Err(error) = engine.views.run(&engine, &entries).await
            {
                tracing::error!(%error, "views could not be started");
            }
            drop(held);
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
        // Nobody is to wait for what a view has written whose step failed.
        let failed: HashSet<TopicId> = moved
            .failed
            .iter()
            .filter_map(|failed| failed.topic)
            .collect();
        for Failed { id, error, .. } in moved.failed {
            let error = Error::from(error);
            tracing::warn!(view = id, %error, "a materialized view has failed");
            self.set(ObjectId(id), ViewState::Failed(Failure::of(&error)));
        }
        if !moved.positions.is_empty() || !failed.is_empty() {
            let mut positions = self.positions.write();
            let mut all = Positions::clone(&positions);
            all.retain(|topic, _| !failed.contains(topic));
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
            match safely(job(engine, entry, Table::AsItIs)).await {
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
        // Somebody may have dropped, paused or changed a view while its job was made: then that is the last word.
        let snapshot = engine.catalog.snapshot();
        jobs.retain(|job| {
            let id = ObjectId(job.id());
            let now = snapshot.by_id(id);
            if now.is_none() {
                self.status.lock().remove(&id);
            }
            let then = entries.iter().find(|entry| entry.id == id);
            let is_meant = |(then, now): (&Arc<Entry>, &Arc<Entry>)| runs_as(then, now);
            then.zip(now).is_some_and(is_meant)
        });
        let near = self.without_far(engine, &mut groups, jobs);
        self.put_together(engine, &mut groups, near).await;
        Ok(())
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
        let joins = self.join_soon(engine, id);
        let joined = match joins {
            Some(joins) => joins.await.map_err(panicked)?,
            None => false,
        };
        match joined {
            true => self.shown(id).await,
            // It was paused, or dropped: it has its query when it runs again.
            false => Ok(()),
        }
    }

    fn join_soon(&self, engine: &Arc<Shared>, id: ObjectId) -> Option<JoinHandle<bool>> {
        let weak = Arc::downgrade(engine);
        engine.lanes.spawn(Lane::Heavy, async move {
            match weak.upgrade() {
                Some(engine) => engine.views.join(&engine, id).await,
                None => false,
            }
        })
    }

    /// Gives up what [`Views::prepare`] computed.
    pub(crate) async fn give_up(&self, id: ObjectId) {
        let mut groups = self.groups.lock().await;
        take(&mut groups, |group| group.comes == Some(id)).await;
    }

    /// Lets jobs go on with those that they belong to.
    async fn put_together(
        &self,
        engine: &Arc<Shared>,
        groups: &mut Vec<RunningGroup>,
        mut jobs: Vec<Job>,
    ) {
        if jobs.is_empty() {
            return;
        }
        let touched: HashSet<TopicId> = jobs.iter().flat_map(topics_of).collect();
        let is_meant =
            |group: &RunningGroup| group.comes.is_none() && !group.topics.is_disjoint(&touched);
        // One that takes the place of another, which has run until now.
        let new: HashSet<u64> = jobs.iter().map(Job::id).collect();
        let others = take(groups, is_meant).await;
        jobs.extend(others.into_iter().filter(|job| !new.contains(&job.id())));
        self.regroup(engine, groups, jobs);
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

    /// Puts a job that has come near among those that run; says whether there was one.
    async fn join(&self, engine: &Arc<Shared>, id: ObjectId) -> bool {
        let mut groups = self.groups.lock().await;
        let jobs = take(&mut groups, |group| group.comes == Some(id)).await;
        if jobs.is_empty() {
            return false;
        }
        self.set(id, ViewState::Starting);
        self.put_together(engine, &mut groups, jobs).await;
        true
    }

    /// Stops all of them at the ends of their steps, before the log is closed.
    pub(crate) async fn close(&self) {
        let mut groups = self.groups.lock().await;
        save(take(&mut groups, |_| true).await).await;
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
        // Who comes for itself waits for nobody.
        let is_meant = |group: &RunningGroup| match group.comes {
            Some(id) => ids.contains(&id),
            None => !group.topics.is_disjoint(&topics),
        };
        let meant = groups.iter().filter(|group| is_meant(group));
        let mut gone: HashSet<TopicId> = meant.flat_map(|group| &group.topics).copied().collect();
        let jobs = take(&mut groups, is_meant).await;
        let is_ended = |job: &Job| ids.contains(&ObjectId(job.id()));
        let (ended, others) = jobs.into_iter().partition(is_ended);
        let near = self.without_far(engine, &mut groups, others);
        self.regroup(engine, &mut groups, near);
        if state.is_some() {
            save(ended).await;
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
            .map(|job| match job.is_paced() {
                false => (job.topic().cloned(), job.reads().cloned().collect()),
                // It would hold the others back.
                true => (None, Vec::new()),
            })
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

/// Whether a view runs, and computes what its entry said before.
fn runs_as(then: &Entry, now: &Entry) -> bool {
    match (&then.body, &now.body) {
        (Body::MaterializedView(then), Body::MaterializedView(now)) => {
            !now.paused && then.generation == now.generation
        }
        _ => false,
    }
}
