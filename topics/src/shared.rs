//! What all partitions of a log share: settings, open files, the queue of those with something to write, the failure.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};
use weir_base::Clock;

use crate::open_files::OpenFiles;
use crate::partition::Partition;
use crate::upkeep::Upkeep;
use crate::{Error, LogSettings, Result};

/// Shared by the log and all its partitions.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: LogSettings,
    pub(crate) files: OpenFiles,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) upkeep: Upkeep,
    failure: OnceLock<String>,
    work: Mutex<Work>,
    work_came: Condvar,
    numbers: AtomicU64,
}

#[derive(Debug, Default)]
struct Work {
    /// Partitions with something to write, each at most once.
    waiting: VecDeque<Partition>,
    /// No more is taken in; what waits is finished.
    closing: bool,
}

impl Shared {
    pub(crate) fn new(settings: LogSettings, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            files: OpenFiles::new(settings.open_files_max),
            settings,
            clock,
            upkeep: Upkeep::default(),
            failure: OnceLock::new(),
            work: Mutex::default(),
            work_came: Condvar::new(),
            numbers: AtomicU64::new(0),
        })
    }

    /// A number for a partition that none had before in this process.
    pub(crate) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Why the log takes no more writes, if so.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// Takes no more writes from now on. After a failed sync nobody knows what is on disk, and trying again would only seem
    /// to succeed, for the system has dropped the pages.
    pub(crate) fn stop(&self, reason: String) -> Error {
        let reason = self.failure.get_or_init(|| {
            tracing::error!(%reason, "the topic log stops taking writes");
            reason
        });
        Error::Stopped(reason.clone())
    }

    /// Refuses when the log has stopped.
    pub(crate) fn check_running(&self) -> Result<()> {
        match self.failure() {
            Some(reason) => Err(Error::Stopped(reason.to_owned())),
            None => Ok(()),
        }
    }

    /// Refuses when the log is closing.
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.work.lock().closing {
            Err(Error::Closed)
        } else {
            Ok(())
        }
    }

    /// Puts a partition in line for a writer.
    pub(crate) fn schedule(&self, partition: &Partition) -> Result<()> {
        let mut work = self.work.lock();
        if work.closing {
            return Err(Error::Closed);
        }
        work.waiting.push_back(partition.clone());
        drop(work);
        self.work_came.notify_one();
        Ok(())
    }

    /// Starts the threads that write.
    pub(crate) fn start_writers(self: &Arc<Self>) -> std::io::Result<Vec<JoinHandle<()>>> {
        (0..self.settings.writer_threads)
            .map(|number| {
                let shared = Arc::clone(self);
                std::thread::Builder::new()
                    .name(format!("topics-{number}"))
                    .spawn(move || shared.write_until_closed())
            })
            .collect()
    }

    /// Lets the writers finish what waits, and end.
    pub(crate) fn begin_close(&self) {
        self.work.lock().closing = true;
        self.work_came.notify_all();
    }

    fn write_until_closed(&self) {
        let mut work = self.work.lock();
        loop {
            let Some(partition) = work.waiting.pop_front() else {
                if work.closing {
                    return;
                }
                self.work_came.wait(&mut work);
                continue;
            };
            drop(work);
            let more = catch_unwind(AssertUnwindSafe(|| partition.write_group()));
            let more = more.unwrap_or_else(|_| {
                let error = self.stop("a writer met a defect".to_owned());
                partition.fail_waiting(&error);
                false
            });
            work = self.work.lock();
            if more {
                work.waiting.push_back(partition);
            }
        }
    }
}
