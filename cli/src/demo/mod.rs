//! `weir serve --demo`: a live auction feed and real files to join it with.
//!
//! The demo is a user like any other: it creates its streams and tables by SQL and writes through
//! [`Session::ingest`](weir_engine::Session::ingest). Its files are carried by the binary.

mod cities;
mod feed;
mod files;
mod generator;
mod schema;
mod welcome;

use std::path::{Path, PathBuf};

use futures::StreamExt;
use rand::random;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use weir_base::Classify;
use weir_engine::{Engine, Request, Session};

use crate::error::{Error, Result};
use cities::Cities;
use feed::Feed;
use generator::Generator;
pub(crate) use welcome::Welcome;

/// Writes the example files below `data_dir` and returns their folder, which SQL must be allowed to read.
pub(crate) fn unpack(data_dir: &Path) -> Result<PathBuf> {
    files::unpack(data_dir)
}

/// A running feed.
#[derive(Debug)]
pub(crate) struct Demo {
    stop: watch::Sender<bool>,
    feed: JoinHandle<()>,
}

impl Demo {
    /// Creates what is missing, writes some history if there is none, and starts to write `rate` rows a second.
    pub(crate) async fn start(engine: &Engine, folder: &Path, rate: u32) -> Result<Self> {
        let session = engine.session();
        for sql in schema::statements(folder) {
            execute(&session, &sql).await?;
        }
        let last = feed::last_ids(&session).await?;
        let generator = Generator::new(random(), Cities::load()?, last);
        let mut feed = Feed::new(session, generator, rate);
        if last == generator::LastIds::default() {
            feed.write_history().await?;
        }
        let (stop, stopped) = watch::channel(false);
        let feed = tokio::spawn(feed.run(stopped));
        Ok(Self { stop, feed })
    }

    /// Ends the feed after the rows that it is writing.
    pub(crate) async fn stop(self) {
        let _ = self.stop.send(true);
        // A feed that panicked has been reported by the panic itself.
        let _ = self.feed.await;
    }
}

/// Executes a statement and reads its answer to the end.
async fn execute(session: &Session, sql: &str) -> Result<Vec<arrow::record_batch::RecordBatch>> {
    let mut answer = session
        .execute(Request::new(sql))
        .await
        .map_err(|error| failed(&error))?;
    let mut batches = Vec::new();
    while let Some(chunk) = answer.rows.next().await {
        batches.push(chunk.map_err(|error| failed(&error))?.batch);
    }
    Ok(batches)
}

fn failed(error: &weir_engine::Error) -> Error {
    Error::Service {
        message: format!("the demo: {error}"),
        hint: error.hint(),
    }
}
