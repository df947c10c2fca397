//! Groups of jobs that share sources, directly or through one another. They go in step: each step takes all of them to one
//! offset vector, and is shown when all have come there.

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;
use weir_base::{OffsetVector, TopicId};
use weir_topics::Topic;

use super::job::{Job, JobId, Positions};
use crate::error::{Error, Result};
use crate::sources::{STEP_ROWS, Sources};

/// Jobs in step, each behind those whose views it reads.
#[derive(Debug)]
pub struct Group {
    jobs: Vec<Job>,
    sources: Sources,
}

/// What became of jobs that were to be put together.
#[derive(Debug)]
pub struct Gathered {
    /// Those that are there.
    pub group: Group,
    /// Where their views are shown up to, and those that failed.
    pub moved: Moved,
    /// Whether it was broken off: then the jobs stand anywhere.
    pub stopped: bool,
}

/// What became of a step.
#[derive(Debug, Default)]
pub struct Moved {
    /// Where each topic that the group reads or writes is shown up to.
    pub positions: Positions,
    /// Jobs that failed. They are no longer in the group.
    pub failed: Vec<Failed>,
}

/// A job that failed.
#[derive(Debug)]
pub struct Failed {
    /// Which.
    pub id: JobId,
    /// The topic of its view's rows.
    pub topic: Option<TopicId>,
    /// Why.
    pub error: Error,
}

impl Failed {
    fn new(job: &Job, error: Error) -> Self {
        Self {
            id: job.id(),
            topic: job.topic().map(Topic::id),
            error,
        }
    }
}

impl Group {
    /// Puts jobs together, which may stand at different positions, in the order in which they read one another: they are brought to
    /// one, and their views shown.
    ///
    /// Those that fail on the way are left out. `stop` breaks it off.
    ///
    /// # Errors
    /// When a source is gone.
    pub async fn gather(
        jobs: Vec<Job>,
        stop: &CancellationToken,
        mut progress: impl FnMut(&Job),
    ) -> Result<Gathered> {
        let mut sources = base_sources(&jobs)?;
        // All that is there, however many steps that takes.
        let ends = sources.ends_at(&sources.stable_position());
        sources.go_to(ends);
        let mut position = sources.position();
        let mut moved = Moved::default();
        let mut gathered = Vec::with_capacity(jobs.len());
        let mut stopped = false;
        for mut job in jobs {
            if stopped {
                gathered.push(job);
                continue;
            }
            match bring(&mut job, &position, stop, &mut progress).await {
                Ok(true) => {
                    add_shown(&mut position, &job);
                    gathered.push(job);
                }
                Ok(false) => {
                    stopped = true;
                    gathered.push(job);
                }
                Err(error) => moved.failed.push(Failed::new(&job, error)),
            }
        }
        let group = Self {
            jobs: gathered,
            sources,
        };
        if !stopped {
            moved.positions = group.positions();
        }
        Ok(Gathered {
            group,
            moved,
            stopped,
        })
    }

    /// The jobs, apart again.
    pub fn into_jobs(self) -> Vec<Job> {
        self.jobs
    }

    /// Its jobs.
    pub fn jobs(&self) -> &[Job] {
        &self.jobs
    }

    /// Waits for rows, or until a checkpoint of one of its jobs is written or due; says whether there are rows.
    ///
    /// # Errors
    /// When a source was dropped, or has got more partitions.
    pub async fn ready(&mut self) -> Result<bool> {
        let due = self
            .jobs
            .iter()
            .filter_map(Job::bound)
            .map(|(due, _)| due)
            .max();
        let rows = async {
            self.sources.ready().await?;
            if let Some(due) = due {
                tokio::time::sleep_until(due.into()).await;
            }
            Ok(true)
        };
        let checkpoint_in = self.jobs.iter().filter_map(Job::checkpoint_in).min();
        let saving = self.jobs.iter_mut().filter(|job| job.is_saving());
        let mut saving: FuturesUnordered<_> = saving.map(Job::saved).collect();
        tokio::select! {
            biased;
            rows = rows => rows,
            Some(()) = saving.next() => Ok(false),
            () = tokio::time::sleep(checkpoint_in.unwrap_or_default()), if checkpoint_in.is_some() => Ok(false),
        }
    }

    /// Saves the state of those of its jobs for which it is time, without a step.
    pub async fn tend(&mut self) -> Moved {
        let mut moved = Moved::default();
        for mut job in std::mem::take(&mut self.jobs) {
            match job.tend().await {
                Ok(()) => self.jobs.push(job),
                Err(error) => moved.failed.push(Failed::new(&job, error)),
            }
        }
        moved.positions = self.positions();
        moved
    }

    /// Takes one step through what is there.
    pub async fn step(&mut self) -> Moved {
        let bounds = self.jobs.iter().filter_map(Job::bound);
        let rows = bounds.map(|(_, rows)| rows).min().unwrap_or(STEP_ROWS);
        let ends = self.sources.ends(rows);
        let mut position = self.sources.position_of(&ends);
        let mut moved = Moved::default();
        let jobs = std::mem::take(&mut self.jobs);
        for mut job in jobs {
            match job.step_to(&position).await {
                Ok(_) => {
                    add_shown(&mut position, &job);
                    self.jobs.push(job);
                }
                Err(error) => moved.failed.push(Failed::new(&job, error)),
            }
        }
        self.sources.go_to(ends);
        moved.positions = self.positions();
        moved
    }

    /// Where topics are shown up to. One that goes at a pace of its own tells nobody: others read the same topics, and are further.
    fn positions(&self) -> Positions {
        if self.jobs.iter().any(Job::is_paced) {
            return Positions::new();
        }
        let mut positions: Positions = self.sources.positions().collect();
        let views = self.jobs.iter().filter_map(Job::shown);
        positions.extend(views.map(|(topic, end)| (topic.id(), vec![end])));
        positions
    }
}

/// Lets those that read a job's view read up to where it is now.
fn add_shown(position: &mut OffsetVector, job: &Job) {
    if let Some((topic, end)) = job.shown() {
        position.set(topic.name().clone(), vec![end]);
    }
}

/// Takes a job to a position, and shows its view. Says whether it came there.
async fn bring(
    job: &mut Job,
    position: &OffsetVector,
    stop: &CancellationToken,
    progress: &mut impl FnMut(&Job),
) -> Result<bool> {
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(false),
            () = job.turn() => {}
        }
        let is_there = job.approach(position).await?;
        progress(job);
        if is_there {
            job.show().await?;
            return Ok(true);
        }
        tokio::task::yield_now().await;
    }
}

/// What jobs read that none of them writes.
fn base_sources(jobs: &[Job]) -> Result<Sources> {
    let own: Vec<TopicId> = jobs.iter().filter_map(Job::topic).map(Topic::id).collect();
    let mut reads = Vec::new();
    for job in jobs {
        for read in job.dataflow().reads() {
            if !own.contains(&read.topic().id()) {
                read.clone().add_to(&mut reads);
            }
        }
    }
    Sources::new(reads, None)
}

/// Which of some jobs, given by what each writes and reads, belong together: the places of each group's jobs, in the order in which
/// they read one another.
pub fn components(jobs: &[(Option<Topic>, Vec<Topic>)]) -> Vec<Vec<usize>> {
    // Union by topic: whoever touches a topic belongs to all who touch it.
    let mut group_of: Vec<usize> = (0..jobs.len()).collect();
    let touches = |(own, reads): &(Option<Topic>, Vec<Topic>), id: TopicId| {
        own.iter().chain(reads).any(|topic| topic.id() == id)
    };
    for (at, (own, reads)) in jobs.iter().enumerate() {
        for id in reads.iter().chain(own).map(Topic::id) {
            for (other, job) in jobs.iter().enumerate() {
                if touches(job, id) {
                    let (from, to) = (group_of[other], group_of[at]);
                    group_of
                        .iter_mut()
                        .filter(|group| **group == from)
                        .for_each(|group| *group = to);
                }
            }
        }
    }
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for leader in 0..jobs.len() {
        let members: Vec<usize> = (0..jobs.len())
            .filter(|at| group_of[*at] == leader)
            .collect();
        if !members.is_empty() {
            groups.push(in_order(jobs, members));
        }
    }
    groups
}

/// Jobs so that each comes behind those whose views it reads.
fn in_order(jobs: &[(Option<Topic>, Vec<Topic>)], mut members: Vec<usize>) -> Vec<usize> {
    let mut ordered: Vec<usize> = Vec::with_capacity(members.len());
    while !members.is_empty() {
        let waits_for = |at: usize, members: &[usize]| {
            let reads = &jobs[at].1;
            let mut others = members.iter().filter(|other| **other != at);
            others.any(|other| {
                let written = jobs[*other].0.as_ref();
                written.is_some_and(|written| reads.iter().any(|read| read.id() == written.id()))
            })
        };
        // Views cannot read one another in a circle; were it so, any order is as good.
        let next = members.iter().position(|at| !waits_for(*at, &members));
        ordered.push(members.remove(next.unwrap_or(0)));
    }
    ordered
}
