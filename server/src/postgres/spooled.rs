//! Rows of a query that are written to a file while its client takes its time: so that a portal that waits for its reader
//! holds up no other query, and a cursor can go back.

use std::path::Path;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use weir_engine::{Error, RowStream};

use super::wire::Report;
use crate::spool::Spool;

/// The rows of one query, as far as they have come. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Spooled {
    spool: Arc<Spool>,
    progress: watch::Receiver<Progress>,
    _drain: Arc<AbortOnDropHandle<()>>,
}

#[derive(Debug, Clone, Default)]
struct Progress {
    rows: u64,
    end: Option<Result<(), Error>>,
}

impl Spooled {
    /// Begins to write a query's rows, after those that it has given already.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub(super) fn start(
        folder: &Path,
        bytes_max: u64,
        before: Option<RecordBatch>,
        mut rows: RowStream,
    ) -> Result<Self, Error> {
        let name = format!("cursor-{}", uuid::Uuid::new_v4());
        let spool = Spool::create(folder, &name, bytes_max)?;
        let (sender, progress) = watch::channel(Progress::default());
        let file = Arc::clone(&spool);
        let drain = async move {
            let mut next = before.map(Ok);
            let end = loop {
                let batch = match next.take() {
                    Some(batch) => batch,
                    None => match rows.next().await {
                        Some(chunk) => chunk.map(|chunk| chunk.batch),
                        None => break Ok(()),
                    },
                };
                let file = Arc::clone(&file);
                let write = move || file.append(&batch?).map(|()| file.rows());
                match tokio::task::spawn_blocking(write).await {
                    Ok(Ok(rows)) => {
                        sender.send_modify(|progress| progress.rows = rows);
                    }
                    Ok(Err(error)) => break Err(error),
                    // It was dropped.
                    Err(_) => return,
                }
            };
            sender.send_modify(|progress| progress.end = Some(end));
        };
        let drain = AbortOnDropHandle::new(tokio::spawn(drain));
        Ok(Self {
            spool,
            progress,
            _drain: Arc::new(drain),
        })
    }

    /// Waits until there are so many rows, or all, and says how many there are.
    ///
    /// # Errors
    /// When the query failed before it gave so many.
    pub(super) async fn reaches(mut self, rows: u64) -> Result<u64, Report> {
        let reached = self
            .progress
            .wait_for(|progress| progress.rows >= rows || progress.end.is_some())
            .await;
        let Ok(progress) = reached else {
            return Err(Report::error("57P01", "the query was cut off"));
        };
        match &progress.end {
            Some(Err(error)) if progress.rows < rows => Err(error.into()),
            _ => Ok(progress.rows),
        }
    }

    /// How many rows there are when all are there.
    ///
    /// # Errors
    /// When the query failed.
    pub(super) async fn all(self) -> Result<u64, Report> {
        self.reaches(u64::MAX).await
    }

    /// The first rows of `[from, to)`, once they are there; none past the end.
    ///
    /// # Errors
    /// When the query failed before it gave the first, or the file cannot be read.
    pub(super) async fn read(self, from: u64, to: u64) -> Result<Option<RecordBatch>, Report> {
        let there = self.clone().reaches(from + 1).await?;
        if there <= from {
            return Ok(None);
        }
        let spool = Arc::clone(&self.spool);
        let reading = tokio::task::spawn_blocking(move || spool.read(from, to.min(there)));
        match reading.await {
            Ok(batch) => Ok(batch?),
            Err(_) => Err(Report::error("57P01", "the query was cut off")),
        }
    }
}
