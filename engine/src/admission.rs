//! Who may run now: a bounded number of queries, a bounded queue, and a refusal that says when to come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use weir_base::{Kind, SqlState};

use crate::error::{Error, Result};
use crate::queries::Running;
use crate::settings::Limits;

/// The gate before the heavy lane.
#[derive(Debug)]
pub(crate) struct Admission {
    bounded: Arc<Semaphore>,
    live: Arc<Semaphore>,
    waiting: AtomicUsize,
    limits: Limits,
}

/// The right to run; given back when dropped.
#[derive(Debug)]
pub(crate) struct Admitted(#[allow(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl Admission {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            bounded: Arc::new(Semaphore::new(limits.concurrent_queries.max(1))),
            live: Arc::new(Semaphore::new(limits.live_queries)),
            waiting: AtomicUsize::new(0),
            limits: limits.clone(),
        }
    }

    /// Queries that wait now.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Waits for the turn of a bounded query.
    ///
    /// # Errors
    /// 53300 with a time to come back when too many wait or the wait is too long; 57014 when the query is stopped.
    pub(crate) async fn bounded(&self, query: &Running) -> Result<Admitted> {
        if let Ok(permit) = Arc::clone(&self.bounded).try_acquire_owned() {
            return Ok(Admitted(permit));
        }
        let _waiting =
            Waiting::join(&self.waiting, self.limits.queued_queries).ok_or_else(|| {
                busy(format!(
                    "{} queries run and {} wait already",
                    self.limits.concurrent_queries, self.limits.queued_queries
                ))
            })?;
        query.waits();
        tokio::select! {
            permit = Arc::clone(&self.bounded).acquire_owned() => permit.map(Admitted).map_err(|_closed| busy("the server is shutting down")),
            () = tokio::time::sleep(self.limits.queue_wait) => {
                Err(busy(format!("the query waited {} s for its turn", self.limits.queue_wait.as_secs())))
            }
            () = query.stop.cancelled() => Err(query.stop_reason().error()),
        }
    }

    /// Admits a live query, which never waits: it would wait for one that never ends.
    ///
    /// # Errors
    /// 53300 when as many as allowed are running.
    pub(crate) fn live(&self) -> Result<Admitted> {
        Arc::clone(&self.live)
            .try_acquire_owned()
            .map(Admitted)
            .map_err(|_none| {
                busy(format!(
                    "{} live queries run already",
                    self.limits.live_queries
                ))
            })
    }
}

fn busy(message: impl Into<String>) -> Error {
    Error::new(Kind::LimitExceeded, message)
        .with_sqlstate(SqlState::TOO_MANY_CONNECTIONS)
        .with_hint("try again later, or let the operator raise the limit")
        .with_retry_after(Duration::from_secs(1))
}

struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn join(count: &'a AtomicUsize, most: usize) -> Option<Self> {
        let joined = count.fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| {
            (now < most).then_some(now + 1)
        });
        joined.is_ok().then_some(Self(count))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
