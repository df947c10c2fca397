//! The queries of one WebSocket: each is planned and then read, and they take turns.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::{FutureExt, StreamExt};
use weir_base::QueryId;
use weir_engine::{Answer, AnswerKind, Chunk, Error, RowStream};

use super::sessions::InUse;
use super::steps::Steps;

/// The name that a client gave a query.
pub(super) type Name = Option<String>;

/// What happened to a query.
pub(super) enum Event {
    /// It runs; these are its columns.
    Runs(arrow::datatypes::SchemaRef),
    /// Its next rows.
    Rows(Chunk),
    /// It has ended.
    Ended,
    /// It has failed, or could not begin.
    Failed(Error),
}

/// A query, from its request to its last row.
pub(super) struct Query {
    pub(super) name: Name,
    pub(super) query_id: Option<QueryId>,
    pub(super) live: bool,
    pub(super) command: Option<String>,
    pub(super) row_count: u64,
    stage: Stage,
    _in_use: Option<InUse>,
}

type Planning = Pin<Box<dyn Future<Output = Result<Answer, Error>> + Send>>;

enum Stage {
    Planned(Planning),
    Read(Steps<RowStream>),
}

impl Query {
    /// One that `planning` begins. Dropping it ends the query.
    pub(super) fn new(
        name: Name,
        planning: impl Future<Output = Result<Answer, Error>> + Send + 'static,
        in_use: Option<InUse>,
    ) -> Self {
        Self {
            name,
            query_id: None,
            live: false,
            command: None,
            row_count: 0,
            stage: Stage::Planned(Box::pin(planning)),
            _in_use: in_use,
        }
    }

    /// Whether rows were left out because of a row limit.
    pub(super) fn truncated(&self) -> bool {
        use super::pump::Rows;
        match &self.stage {
            Stage::Planned(_) => false,
            Stage::Read(rows) => rows.truncated(),
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        loop {
            let answer = match &mut self.stage {
                Stage::Planned(planning) => std::task::ready!(planning.poll_unpin(context)),
                Stage::Read(rows) => {
                    match std::task::ready!(rows.poll_next_unpin(context)) {
                        None => return Poll::Ready(Event::Ended),
                        Some(Err(error)) => return Poll::Ready(Event::Failed(error)),
                        Some(Ok(chunk))
                            if chunk.batch.num_rows() == 0 && chunk.position.is_none() => {}
                        Some(Ok(chunk)) => {
                            self.row_count += chunk.batch.num_rows() as u64;
                            return Poll::Ready(Event::Rows(chunk));
                        }
                    }
                    continue;
                }
            };
            let Answer {
                query_id,
                schema,
                kind,
                rows,
            } = match answer {
                Ok(answer) => answer,
                Err(error) => return Poll::Ready(Event::Failed(error)),
            };
            self.query_id = Some(query_id);
            self.live = kind == AnswerKind::Live;
            self.command = match kind {
                AnswerKind::Command { tag, .. } => Some(tag),
                AnswerKind::Rows | AnswerKind::Live => None,
            };
            self.stage = Stage::Read(Steps::new(rows, self.live));
            return Poll::Ready(Event::Runs(schema));
        }
    }
}

/// The queries of a connection, each with a name of its own.
#[derive(Default)]
pub(super) struct Queries {
    queries: Vec<Query>,
    /// Who was asked first the last time.
    turn: usize,
}

impl Queries {
    pub(super) fn len(&self) -> usize {
        self.queries.len()
    }

    pub(super) fn has(&self, name: &Name) -> bool {
        self.queries.iter().any(|query| query.name == *name)
    }

    pub(super) fn add(&mut self, query: Query) {
        self.queries.push(query);
    }

    /// Takes a query out; dropping it ends it.
    pub(super) fn take(&mut self, name: &Name) -> Option<Query> {
        let at = self.queries.iter().position(|query| query.name == *name)?;
        Some(self.queries.swap_remove(at))
    }

    /// Takes any out.
    pub(super) fn pop(&mut self) -> Option<Query> {
        self.queries.pop()
    }

    /// The query of a name.
    pub(super) fn get(&self, name: &Name) -> Option<&Query> {
        self.queries.iter().find(|query| query.name == *name)
    }

    /// What happens next to one of them; nothing while there is none. Nothing is lost when it is dropped. None is asked twice
    /// while another waits that has something to tell.
    pub(super) async fn next(&mut self) -> (Name, Event) {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<(Name, Event)> {
        let count = self.queries.len();
        self.turn = self.turn.wrapping_add(1);
        for step in 0..count {
            let at = self.turn.wrapping_add(step) % count;
            let Some(query) = self.queries.get_mut(at) else {
                continue;
            };
            if let Poll::Ready(event) = query.poll(context) {
                self.turn = at;
                return Poll::Ready((query.name.clone(), event));
            }
        }
        Poll::Pending
    }
}
