//! A session: the one way in for every front door.

use std::sync::Arc;

use crate::answer::Answer;
use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::request::{Ingest, Ingested, Request};

/// Settings made by `SET`, kept from statement to statement. Clones share them.
#[derive(Debug, Clone)]
pub struct Session {
    engine: Arc<Shared>,
}

impl Session {
    pub(crate) fn new(engine: Arc<Shared>) -> Self {
        Self { engine }
    }

    /// Executes one statement. Returns once it is planned and admitted; its rows follow as a stream.
    ///
    /// # Errors
    /// Everything that is found before the first row: syntax, names, types, rights, limits.
    pub async fn execute(&self, request: Request) -> Result<Answer> {
        let _ = (&self.engine, request);
        Err(Error::unsupported("not yet"))
    }

    /// Appends rows to a stream, all or none; they are on disk when it returns.
    ///
    /// # Errors
    /// The first wrong row (see [`Error::row`]), an unknown stream, or a log that cannot write.
    pub async fn ingest(&self, ingest: Ingest) -> Result<Ingested> {
        let _ = (&self.engine, ingest);
        Err(Error::unsupported("not yet"))
    }
}
