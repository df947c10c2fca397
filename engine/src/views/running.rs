//! The tasks in which jobs run.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};

use futures::FutureExt;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use weir_base::TopicId;
use weir_catalog::{Entry, ObjectId};
use weir_streaming::{Gathered, Group, Job};
use weir_topics::Topic;

use super::{Failure, NEAR_ROWS, RunningGroup, ViewState};
use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::lanes::{Lane, defect, panicked};

/// Saves the state of jobs that end.
pub(super) async fn save(jobs: Vec<Job>) {
    for mut job in jobs {
        let saved = async { Ok(job.checkpoint().await?) };
        let saved = safely(saved).await;
        if let Err(error) = saved {
            tracing::warn!(view = job.id(), %error, "the state of a view was not saved; it goes on from the last checkpoint");
        }
    }
}

/// The topics by which a job belongs to others. One that goes at a pace of its own belongs to none, whatever it reads.
pub(super) fn topics_of(job: &Job) -> Vec<TopicId> {
    let reads = job.reads().filter(|_| !job.is_paced());
    reads.chain(job.topic()).map(Topic::id).collect()
}

/// Stops some groups at the end of their steps, and gives their jobs.
pub(super) async fn take(
    groups: &mut Vec<RunningGroup>,
    which: impl Fn(&RunningGroup) -> bool,
) -> Vec<Job> {
    let (taken, rest) = std::mem::take(groups)
        .into_iter()
        .partition(|group| which(group));
    *groups = rest;
    let taken: Vec<RunningGroup> = taken;
    taken.iter().for_each(|group| group.stop.cancel());
    let mut jobs = Vec::new();
    for group in taken {
        match group.task.await {
            Ok(ended) => jobs.extend(ended),
            Err(error) => {
                let error = panicked(error);
                tracing::error!(%error, "a group of views has ended");
            }
        }
    }
    jobs
}

/// The work's result; a panic in it is an error.
pub(super) async fn safely<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(result) => result,
        Err(panic) => Err(defect(panic.as_ref())),
    }
}

/// The work on some views, which show these topics; a panic in the middle of a step fails the views, and ends nothing else.
pub(super) async fn guarded(
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
pub(super) async fn come_near(
    engine: Weak<Shared>,
    mut job: Job,
    stop: CancellationToken,
    tell: Option<oneshot::Sender<Result<()>>>,
) -> Vec<Job> {
    let id = ObjectId(job.id());
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return vec![job],
            () = job.turn() => {}
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
        // Whoever waits for it hears of it by its state.
        drop(engine.views.join_soon(&engine, id));
    }
    vec![job]
}

/// Runs a group until it is told to stop, and gives its jobs back.
pub(super) async fn follow(
    engine: Weak<Shared>,
    jobs: Vec<Job>,
    stop: CancellationToken,
) -> Vec<Job> {
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
                Ok(true) => {}
                Ok(false) => {
                    let moved = group.tend().await;
                    let Some(engine) = views() else {
                        return group.into_jobs();
                    };
                    group.jobs().iter().for_each(|job| engine.views.note(job));
                    engine.views.show(moved);
                    continue;
                }
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
