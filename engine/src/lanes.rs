//! Threads of the engine, apart from those that accept connections.
//!
//! Planning and tiny answers run in the *interactive* lane. Everything else runs in the *heavy* lane, whose threads the
//! operating system schedules after the others (a higher nice value), so that a server whose cores are all busy still
//! accepts, plans and answers small questions at once.

use std::any::Any;
use std::future::Future;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;
use weir_base::Kind;

use crate::error::{Error, Result};

/// How much later than others the heavy lane's threads are scheduled (`nice(2)`: each step is about a tenth).
const HEAVY_NICE: i32 = 5;

/// The engine's runtimes.
#[derive(Debug)]
pub(crate) struct Lanes {
    interactive: Option<Runtime>,
    heavy: Option<Runtime>,
}

/// Which lane a piece of work runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    Interactive,
    Heavy,
}

impl Lanes {
    pub(crate) fn start(threads: usize) -> Result<Self> {
        let fail = |error: std::io::Error| {
            Error::new(
                Kind::Internal,
                format!("cannot start query threads: {error}"),
            )
        };
        let interactive = Builder::new_multi_thread()
            .worker_threads(threads.clamp(1, 2))
            .thread_name("weir-plan")
            // Plans of deep expressions recurse.
            .thread_stack_size(16 << 20)
            .enable_all()
            .build()
            .map_err(fail)?;
        let heavy = Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name("weir-query")
            .thread_stack_size(8 << 20)
            .on_thread_start(|| weir_base::lower_priority(HEAVY_NICE))
            .enable_all()
            .build()
            .map_err(fail)?;
        Ok(Self {
            interactive: Some(interactive),
            heavy: Some(heavy),
        })
    }

    fn handle(&self, lane: Lane) -> Option<&Handle> {
        let runtime = match lane {
            Lane::Interactive => &self.interactive,
            Lane::Heavy => &self.heavy,
        };
        runtime.as_ref().map(Runtime::handle)
    }

    /// Runs `work` in `lane`, detached.
    pub(crate) fn spawn<F>(&self, lane: Lane, work: F) -> Option<JoinHandle<F::Output>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.handle(lane).map(|handle| handle.spawn(work))
    }

    /// Runs `work` in `lane` and waits for it. When the caller is dropped, so is the work.
    pub(crate) async fn run<T, F>(&self, lane: Lane, work: F) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send + 'static,
        T: Send + 'static,
    {
        let closing = || Error::new(Kind::Unavailable, "the server is shutting down");
        let mut task = AbortOnDrop(self.spawn(lane, work).ok_or_else(closing)?);
        match (&mut task.0).await {
            Ok(result) => result,
            Err(failed) => Err(panicked(failed)),
        }
    }
}

/// A task that ends when nobody waits for it any more.
pub(crate) struct AbortOnDrop<T>(pub(crate) JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What a caller is told when a task of ours panicked: a defect, without its details, which are in the log.
pub(crate) fn panicked(failed: tokio::task::JoinError) -> Error {
    if failed.is_cancelled() {
        return Error::new(Kind::Cancelled, "the query was stopped");
    }
    match failed.try_into_panic() {
        Ok(panic) => defect(panic.as_ref()),
        Err(failed) => defect(&failed.to_string()),
    }
}

/// What a caller is told of a panic: that there is a defect, whose details are in the log.
pub(crate) fn defect(panic: &(dyn Any + Send)) -> Error {
    let said = panic.downcast_ref::<&str>().copied();
    let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let error = said.unwrap_or("a panic without words");
    tracing::error!(error, "a query task panicked");
    Error::new(
        Kind::Internal,
        "the query failed because of a defect in the server",
    )
    .with_hint("the server's log has the details; please report it")
}

impl Drop for Lanes {
    fn drop(&mut self) {
        // An engine may be dropped on a thread of another runtime, where waiting for threads is not allowed.
        for runtime in [self.interactive.take(), self.heavy.take()]
            .into_iter()
            .flatten()
        {
            runtime.shutdown_background();
        }
    }
}
