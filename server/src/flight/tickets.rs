//! Answers that wait for their reader, each under a ticket.
//!
//! A query is planned and begun when its client asks for a `FlightInfo`; its first rows are there when the ticket comes. A
//! ticket is worth one answer, once, for a while: then the query is cancelled. Who has the `FlightInfo` may cancel the query
//! before, or while it is read.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use arrow_flight::CancelStatus;
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use uuid::Uuid;
use weir_engine::RowStream;

use super::sessions::ClientSession;
use super::status::{exceeded, missing};
use crate::in_flight::InFlight;

/// All tickets that are worth something.
#[derive(Debug)]
pub(crate) struct Tickets {
    answers: Mutex<HashMap<Uuid, Answer>>,
    wait_max: Duration,
    count_max: usize,
}

/// An answer that waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) rows: RowStream,
    pub(crate) live: bool,
    /// The schema in which it is sent.
    pub(crate) sent: SchemaRef,
    /// Keeps the session that it runs in.
    pub(crate) session: Arc<ClientSession>,
    pub(crate) in_flight: InFlight,
}

#[derive(Debug)]
enum Answer {
    Waiting(Box<Waiting>, Instant),
    /// It is being read; the token stops that.
    Read(Arc<ClientSession>, CancellationToken),
}

impl Answer {
    /// Whether it is the answer to a user's query.
    fn is_of(&self, caller: &ClientSession) -> bool {
        match self {
            Self::Waiting(waiting, _) => waiting.session.is_of_user_of(caller),
            Self::Read(session, _) => session.is_of_user_of(caller),
        }
    }
}

/// An answer that is being read. Dropped, its ticket is forgotten.
#[derive(Debug)]
pub(crate) struct Reading {
    tickets: Arc<Tickets>,
    id: Uuid,
    pub(crate) cancelled: CancellationToken,
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.tickets.answers.lock().remove(&self.id);
    }
}

impl Tickets {
    pub(crate) fn new(wait_max: Duration, count_max: usize) -> Self {
        Self {
            answers: Mutex::default(),
            wait_max,
            count_max,
        }
    }

    /// Keeps an answer under a new ticket.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED when too many wait.
    pub(crate) fn keep(&self, waiting: Waiting) -> Result<Uuid, Status> {
        let mut answers = self.answers.lock();
        expire(&mut answers);
        let count = answers
            .values()
            .filter(|answer| matches!(answer, Answer::Waiting(..)))
            .count();
        if count >= self.count_max {
            return Err(exceeded(
                format!("{count} answers wait for those who asked for them"),
                "read the answers by DoGet, or cancel them; flight_door.tickets bounds their number",
            ));
        }
        let id = Uuid::new_v4();
        let until = Instant::now() + self.wait_max;
        answers.insert(id, Answer::Waiting(Box::new(waiting), until));
        Ok(id)
    }

    /// The answer of a ticket of the caller's, which from now on is being read.
    ///
    /// # Errors
    /// NOT_FOUND when there is none, or it was read before.
    pub(crate) fn take(
        self: &Arc<Self>,
        caller: &ClientSession,
        ticket: &[u8],
    ) -> Result<(Waiting, Reading), Status> {
        let mut answers = self.answers.lock();
        expire(&mut answers);
        let id = Uuid::from_slice(ticket).map_err(|_| worthless())?;
        let waits = |answer: &Answer| matches!(answer, Answer::Waiting(..)) && answer.is_of(caller);
        if !answers.get(&id).is_some_and(waits) {
            return Err(worthless());
        }
        let Some(Answer::Waiting(waiting, _)) = answers.remove(&id) else {
            return Err(worthless());
        };
        let cancelled = CancellationToken::new();
        let read = Answer::Read(Arc::clone(&waiting.session), cancelled.clone());
        answers.insert(id, read);
        let reading = Reading {
            tickets: Arc::clone(self),
            id,
            cancelled,
        };
        Ok((*waiting, reading))
    }

    /// Cancels the query of a ticket of the caller's.
    pub(crate) fn cancel(&self, caller: &ClientSession, ticket: &[u8]) -> CancelStatus {
        let mut answers = self.answers.lock();
        let id = Uuid::from_slice(ticket).unwrap_or_default();
        match answers.get(&id).filter(|answer| answer.is_of(caller)) {
            None => CancelStatus::NotCancellable,
            Some(Answer::Waiting(..)) => {
                answers.remove(&id);
                CancelStatus::Cancelled
            }
            Some(Answer::Read(_, cancelled)) => {
                cancelled.cancel();
                CancelStatus::Cancelled
            }
        }
    }

    /// Has an answer wait for longer. Returns whether it was waiting.
    pub(crate) fn renew(&self, caller: &ClientSession, ticket: &[u8]) -> bool {
        let mut answers = self.answers.lock();
        expire(&mut answers);
        let id = Uuid::from_slice(ticket).unwrap_or_default();
        match answers.get_mut(&id).filter(|answer| answer.is_of(caller)) {
            Some(Answer::Waiting(_, until)) => {
                *until = Instant::now() + self.wait_max;
                true
            }
            _ => false,
        }
    }

    /// Cancels what nobody came for in time.
    pub(crate) fn expire_old(&self) {
        expire(&mut self.answers.lock());
    }
}

fn worthless() -> Status {
    missing(
        "the ticket is worth nothing",
        "a ticket is for one DoGet, and only for a while (flight_door.ticket_expiry); ask for the FlightInfo again",
    )
}

fn expire(answers: &mut HashMap<Uuid, Answer>) {
    let now = Instant::now();
    answers.retain(|_, answer| match answer {
        Answer::Waiting(_, until) => *until > now,
        Answer::Read(..) => true,
    });
}
