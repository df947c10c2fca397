//! Sinks: their jobs, each a task of its own, so that one whose target is slow or away holds up nobody.

mod open;
mod target;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::FutureExt;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use weir_base::{Classify, Kind, TopicId};
use weir_catalog::{Body, Entry, ObjectId, Snapshot};
use weir_streaming::{Feed, Holds, JobStatus, Positions};

pub(crate) use open::{feed, plan};
pub use target::is_of_sink;
pub(crate) use target::{FILES, envelope_of, files, group_id, record_schema};

use crate::engine::Shared;
use crate::error::Error;
use crate::lanes::{Lane, defect};
use crate::rate::RATE;
use crate::reads::tables_read;
use crate::views::{Failure, ViewState, ViewStatus};

/// The first and the longest wait after a failure of a target.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// How long a write may go on when its sink is to stop.
const GRACE: Duration = Duration::from_secs(5);

/// All sinks.
#[derive(Default)]
pub(crate) struct Sinks {
    status: Mutex<HashMap<ObjectId, ViewStatus>>,
    running: tokio::sync::Mutex<HashMap<ObjectId, RunningSink>>,
    /// What is kept of the tables that sinks read, also while they stand still.
    holds: Mutex<HashMap<ObjectId, Holds>>,
}

struct RunningSink {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Sinks {
    /// Starts all sinks of the catalog. What they need of tables is held on return.
    pub(crate) fn start(engine: &Arc<Shared>) {
        let snapshot = engine.catalog.snapshot();
        let entries: Vec<Arc<Entry>> = snapshot.sinks().cloned().collect();
        for entry in &entries {
            engine.sinks.hold(engine, &snapshot, entry);
        }
        let weak = Arc::downgrade(engine);
        engine.lanes.spawn(Lane::Heavy, async move {
            let Some(engine) = weak.upgrade() else { return };
            for entry in &entries {
                engine.sinks.run(&engine, entry).await;
            }
        });
    }

    /// What a sink is doing.
    pub(crate) fn status(&self, id: ObjectId) -> Option<ViewStatus> {
        self.status.lock().get(&id).cloned()
    }

    /// Makes a sink go on, or begin, unless it is to stand still.
    pub(crate) async fn run(&self, engine: &Arc<Shared>, entry: &Arc<Entry>) {
        let mut running = self.running.lock().await;
        if let Some(before) = running.remove(&entry.id) {
            before.end().await;
        }
        // Somebody may have dropped or paused it meanwhile.
        let snapshot = engine.catalog.snapshot();
        let Some(entry) = snapshot.by_id(entry.id) else {
            return;
        };
        if matches!(&entry.body, Body::Sink(sink) if sink.paused) {
            self.set(entry.id, ViewState::Paused);
            return;
        }
        self.set(entry.id, ViewState::Starting);
        let stop = engine.closing.child_token();
        let work = guarded(Arc::downgrade(engine), Arc::clone(entry), stop.clone());
        if let Some(task) = engine.lanes.spawn(Lane::Heavy, work) {
            running.insert(entry.id, RunningSink { stop, task });
        }
    }

    /// Ends sinks at the ends of their writes; they stay, and stand still.
    pub(crate) async fn pause(&self, ids: &[ObjectId]) {
        let mut running = self.running.lock().await;
        let ended = ids.iter().filter_map(|id| running.remove(id));
        let ended: Vec<RunningSink> = ended.collect();
        ended.iter().for_each(|sink| sink.stop.cancel());
        for sink in ended {
            sink.end().await;
        }
        ids.iter().for_each(|id| self.set(*id, ViewState::Paused));
    }

    /// Ends sinks that are about to be dropped.
    pub(crate) async fn end(&self, engine: &Shared, ids: &[ObjectId]) {
        self.pause(ids).await;
        for id in ids {
            if let Err(error) = engine.checkpoints.forget(id.0) {
                tracing::warn!(sink = id.0, %error, "the state of a sink that is gone stays until the next start");
            }
            self.status.lock().remove(id);
            self.holds.lock().remove(id);
        }
    }

    /// Begins those sinks anew that write to a relation, whose columns have changed.
    pub(crate) async fn target_changed(&self, engine: &Arc<Shared>, target: ObjectId) {
        let snapshot = engine.catalog.snapshot();
        for entry in snapshot.sinks() {
            if matches!(&entry.body, Body::Sink(sink) if sink.target == Some(target)) {
                self.run(engine, entry).await;
            }
        }
    }

    /// Stops all of them at the ends of their writes, before the log is closed.
    pub(crate) async fn close(&self) {
        let mut running = self.running.lock().await;
        running.values().for_each(|sink| sink.stop.cancel());
        for (_, sink) in running.drain() {
            sink.end().await;
        }
    }

    fn holds(&self, id: ObjectId) -> Holds {
        self.holds.lock().entry(id).or_default().clone()
    }

    /// Holds the tables that a sink reads, wherever it is.
    fn hold(&self, engine: &Shared, snapshot: &Snapshot, entry: &Entry) {
        let Body::Sink(sink) = &entry.body else {
            return;
        };
        let holds = self.holds(entry.id);
        if sink.expands_kept {
            // It reads streams alone.
            return;
        }
        let read = entry.depends_on.iter().copied();
        let read = read.filter(|id| Some(*id) != sink.target);
        for topic in tables_read(engine, snapshot, read) {
            holds.hold(&topic);
        }
    }

    fn set(&self, id: ObjectId, state: ViewState) {
        let mut status = self.status.lock();
        let status = status.entry(id).or_insert(ViewStatus {
            state: ViewState::Starting,
            job: JobStatus::default(),
        });
        status.state = state;
    }

    fn note(&self, id: ObjectId, feed: &Feed) {
        if let Some(status) = self.status.lock().get_mut(&id) {
            status.job = feed.job().status();
        }
    }
}

impl RunningSink {
    async fn end(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the task of a sink has ended");
        }
    }
}

/// As [`follow`]; a panic fails the sink, and ends nothing else.
async fn guarded(engine: Weak<Shared>, entry: Arc<Entry>, stop: CancellationToken) {
    let followed = AssertUnwindSafe(follow(&engine, &entry, &stop)).catch_unwind();
    if let Err(panic) = followed.await
        && let Some(engine) = engine.upgrade()
    {
        let failure = Failure::of(&defect(panic.as_ref()));
        engine.sinks.set(entry.id, ViewState::Failed(failure));
    }
}

/// Feeds a sink until it is told to stop, or cannot go on.
async fn follow(engine: &Weak<Shared>, entry: &Arc<Entry>, stop: &CancellationToken) {
    let mut life = Life {
        engine: Weak::clone(engine),
        entry: Arc::clone(entry),
        stop: stop.clone(),
        pause: PAUSE.0,
    };
    loop {
        match life.lead().await {
            Ok(()) => return,
            Err(Stumble::Again) => {}
            Err(Stumble::Wait(error)) => {
                if !life.wait_after(&error).await {
                    return;
                }
            }
            Err(Stumble::Fail(error)) => {
                if stop.is_cancelled() {
                    return;
                }
                tracing::warn!(sink = %entry.name, %error, "a sink has failed");
                life.set(ViewState::Failed(Failure::of(&error)));
                return;
            }
        }
    }
}

/// One sink's running, from its start to its end.
struct Life {
    engine: Weak<Shared>,
    entry: Arc<Entry>,
    stop: CancellationToken,
    /// How long the next failure is waited after.
    pause: Duration,
}

/// Why a feed does not go on.
enum Stumble {
    /// What it reads is another by now: it begins anew.
    Again,
    /// What it needs is away: it begins anew, after a while.
    Wait(Error),
    /// It cannot.
    Fail(Error),
}

impl From<weir_streaming::Error> for Stumble {
    fn from(error: weir_streaming::Error) -> Self {
        match error {
            weir_streaming::Error::Grown(_) => Self::Again,
            weir_streaming::Error::RowsGone { .. } | weir_streaming::Error::ChangesGone => Self::Fail(Error::from(error).with_hint(
                "the sink cannot go on without them: drop it, and create it anew with another target",
            )),
            error => Error::from(error).into(),
        }
    }
}

impl From<Error> for Stumble {
    fn from(error: Error) -> Self {
        match passes(&error) {
            true => Self::Wait(error),
            false => Self::Fail(error),
        }
    }
}

/// Whether the same may succeed later, when somebody has seen to it.
fn passes(error: &Error) -> bool {
    match error.kind() {
        Kind::Unavailable
        | Kind::LimitExceeded
        | Kind::Conflict
        | Kind::NotFound
        | Kind::Denied => true,
        Kind::Invalid | Kind::Corrupt | Kind::Cancelled | Kind::Internal => false,
    }
}

impl Life {
    /// Feeds the sink until it is told to stop.
    async fn lead(&mut self) -> Result<(), Stumble> {
        let Some(engine) = self.engine.upgrade() else {
            return Ok(());
        };
        let (mut feed, views) = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Ok(()),
            opened = open(&engine, &self.entry) => opened?,
        };
        let changed = engine.views.watch();
        drop(engine);
        self.set(ViewState::Running);
        let led = self.feed(&mut feed, &views, changed).await;
        if led.is_ok()
            && let Err(error) = feed.save().await
        {
            tracing::warn!(sink = %self.entry.name, %error, "the state of a sink was not saved; it goes on from the last checkpoint");
        }
        led
    }

    /// Takes step after step until it is told to stop.
    async fn feed(
        &mut self,
        feed: &mut Feed,
        views: &[TopicId],
        mut changed: watch::Receiver<u64>,
    ) -> Result<(), Stumble> {
        loop {
            while feed.owes() {
                if !self.write(feed).await? {
                    return Ok(());
                }
            }
            feed.tend().await?;
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(()),
                () = feed.turn() => {}
            }
            let Some(engine) = self.engine.upgrade() else {
                return Ok(());
            };
            changed.mark_unchanged();
            let reads_views = !views.is_empty();
            let shown = reads_views.then(|| engine.views.positions());
            // A view that is not shown is not read, nor is what would be read with it.
            let is_shown = |shown: &Positions| views.iter().all(|view| shown.contains_key(view));
            // What views show moves with them; of all else, each row is waited for.
            let moves_with_views = match &shown {
                None => Some(Vec::new()),
                Some(shown) if is_shown(shown) => Some(shown.keys().copied().collect()),
                Some(_) => None,
            };
            let stepped = match &moves_with_views {
                Some(_) => feed.step(shown.as_deref()).await?,
                None => false,
            };
            engine.sinks.note(self.entry.id, feed);
            drop(engine);
            if self.stop.is_cancelled() {
                return Ok(());
            }
            if stepped {
                continue;
            }
            let wakes_at = feed.wakes_at().map(Instant::from_std);
            let is_due = async move {
                match wakes_at {
                    Some(wakes_at) => tokio::time::sleep_until(wakes_at).await,
                    None => std::future::pending().await,
                }
            };
            let ready = async {
                match &moves_with_views {
                    Some(others) => feed.ready_but(others).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(()),
                () = is_due => {}
                ready = ready => ready?,
                moved = changed.changed(), if reads_views => {
                    if moved.is_err() {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Writes what a feed owes, as often as it takes; says whether it was not told to stop meanwhile.
    async fn write(&mut self, feed: &mut Feed) -> Result<bool, Stumble> {
        let Some(mut written) = self.in_time(feed.write()).await else {
            return Ok(false);
        };
        loop {
            let Err(error) = written else {
                if self.pause != PAUSE.0 {
                    self.pause = PAUSE.0;
                    self.set(ViewState::Running);
                }
                return Ok(!self.stop.is_cancelled());
            };
            match Stumble::from(error) {
                Stumble::Wait(error) => {
                    if !self.wait_after(&error).await {
                        return Ok(false);
                    }
                }
                other => return Err(other),
            }
            let again = async {
                match feed.settle().await {
                    Ok(()) if !feed.owes() => Ok(()),
                    Ok(()) => feed.write().await,
                    Err(error) => Err(error),
                }
            };
            written = match self.in_time(again).await {
                None => return Ok(false),
                // Somebody else has written there: what is so is found out from the start.
                Some(Err(error)) if error.kind() == Kind::Conflict => return Err(Stumble::Again),
                Some(written) => written,
            };
        }
    }

    /// The work's result; none when it is told to stop and the work does not end soon: the next start finds out what became of it.
    async fn in_time<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let too_late = async {
            self.stop.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            biased;
            done = work => Some(done),
            () = too_late => None,
        }
    }

    /// Shows a failure, and waits a while, longer each time; says whether it was not told to stop meanwhile.
    async fn wait_after(&mut self, error: &Error) -> bool {
        if self.stop.is_cancelled() {
            return false;
        }
        if self.pause == PAUSE.0 {
            tracing::warn!(sink = %self.entry.name, %error, "a sink cannot write; it tries again");
        }
        self.set(ViewState::Retrying(Failure::of(error)));
        let pause = self.pause;
        self.pause = (pause * 2).min(PAUSE.1);
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            () = tokio::time::sleep(pause) => true,
        }
    }

    fn set(&self, state: ViewState) {
        if let Some(engine) = self.engine.upgrade() {
            engine.sinks.set(self.entry.id, state);
        }
    }
}

/// A feed that knows where it is, and the views whose rows it reads.
async fn open(engine: &Arc<Shared>, entry: &Entry) -> Result<(Feed, Vec<TopicId>), Stumble> {
    let holds = engine.sinks.holds(entry.id);
    let mut feed = feed(engine, entry, holds).await?;
    feed.open().await?;
    let snapshot = engine.catalog.snapshot();
    let is_view = |id: TopicId| {
        let mut stored = snapshot.by_topic(id).iter();
        stored.any(|entry| match &entry.body {
            // One with a rate is shown as it is.
            Body::MaterializedView(kept) => !kept.options.contains_key(RATE),
            _ => false,
        })
    };
    let topics = feed.job().reads().map(weir_topics::Topic::id);
    let views = topics.filter(|id| is_view(*id)).collect();
    Ok((feed, views))
}
