//! Sessions over HTTP: settings made by `SET` that outlive a request. Idle ones expire.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;
use uuid::Uuid;
use weir_base::{Kind, SqlState};
use weir_engine::Session;

use super::Rest;
use super::caller::Caller;
use super::problem::Problem;

/// All open sessions.
#[derive(Debug)]
pub(crate) struct Sessions {
    open: Mutex<HashMap<Uuid, Open>>,
    idle_max: Duration,
    count_max: usize,
}

#[derive(Debug)]
struct Open {
    session: Session,
    last_used: Instant,
    in_use: usize,
}

/// A session that is being used, which keeps it from expiring.
#[derive(Debug)]
pub(crate) struct InUse {
    sessions: Arc<Sessions>,
    id: Uuid,
}

impl Drop for InUse {
    fn drop(&mut self) {
        if let Some(open) = self.sessions.open.lock().get_mut(&self.id) {
            open.in_use -= 1;
            open.last_used = Instant::now();
        }
    }
}

impl Sessions {
    pub(crate) fn new(idle_max: Duration, count_max: usize) -> Self {
        Self {
            open: Mutex::default(),
            idle_max,
            count_max,
        }
    }

    /// Opens a session.
    ///
    /// # Errors
    /// 429 when there are too many.
    fn open(&self, session: Session) -> Result<Uuid, Problem> {
        let mut open = self.open.lock();
        self.expire(&mut open);
        if open.len() >= self.count_max {
            return Err(Problem::new(
                Kind::LimitExceeded,
                format!("{} sessions are open", open.len()),
            )
            .with_sqlstate(SqlState::TOO_MANY_CONNECTIONS)
            .with_retry_after(Duration::from_secs(10))
            .with_hint("close sessions with DELETE /v1/sessions/{id}, or raise rest.sessions"));
        }
        let id = Uuid::new_v4();
        let last_used = Instant::now();
        open.insert(
            id,
            Open {
                session,
                last_used,
                in_use: 0,
            },
        );
        Ok(id)
    }

    /// The session of an id, and what keeps it from expiring while it is used.
    ///
    /// # Errors
    /// 404 when there is none, it expired, or it is another user's.
    pub(crate) fn get(
        self: &Arc<Self>,
        id: &str,
        caller: &Caller,
    ) -> Result<(Session, InUse), Problem> {
        let missing = || unknown(id);
        let uuid: Uuid = id.parse().map_err(|_| missing())?;
        let mut all = self.open.lock();
        self.expire(&mut all);
        let open = all
            .get_mut(&uuid)
            .filter(|open| caller.is_of(&open.session))
            .ok_or_else(missing)?;
        open.in_use += 1;
        open.last_used = Instant::now();
        let session = open.session.clone();
        drop(all);
        let in_use = InUse {
            sessions: Arc::clone(self),
            id: uuid,
        };
        Ok((session, in_use))
    }

    fn close(&self, id: &str, caller: &Caller) -> Result<(), Problem> {
        let uuid: Uuid = id.parse().map_err(|_| unknown(id))?;
        let mut all = self.open.lock();
        let is_own = all
            .get(&uuid)
            .is_some_and(|open| caller.is_of(&open.session));
        if !is_own {
            return Err(unknown(id));
        }
        all.remove(&uuid);
        Ok(())
    }

    /// Closes what nobody has used for too long.
    pub(crate) fn expire_idle(&self) {
        self.expire(&mut self.open.lock());
    }

    pub(crate) fn count(&self) -> usize {
        self.open.lock().len()
    }

    fn expire(&self, open: &mut HashMap<Uuid, Open>) {
        open.retain(|_, open| open.in_use > 0 || open.last_used.elapsed() < self.idle_max);
    }
}

fn unknown(id: &str) -> Problem {
    Problem::new(Kind::NotFound, format!("there is no session {id:?}"))
        .with_hint("it may have expired; open one with POST /v1/sessions")
}

/// An open session.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SessionDocument {
    /// The session's id, for `session` in later requests.
    session: String,
}

/// Opens a session.
#[utoipa::path(post, path = "/v1/sessions", tag = "sessions", operation_id = "openSession", responses(
    (status = 201, description = "The session is open.", body = SessionDocument, headers(("location" = String, description = "The session's resource."))),
))]
pub(crate) async fn open(
    State(rest): State<Arc<Rest>>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Problem> {
    let id = rest.sessions.open(caller.session(&rest)?)?.to_string();
    let location = HeaderValue::from_str(&format!("/v1/sessions/{id}"))
        .map_err(|error| Problem::new(Kind::Internal, error.to_string()))?;
    let document = Json(SessionDocument { session: id });
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        document,
    )
        .into_response())
}

/// Closes a session.
#[utoipa::path(delete, path = "/v1/sessions/{session}", tag = "sessions", operation_id = "closeSession",
    params(("session" = String, Path, description = "The session's id.")),
    responses((status = 204, description = "The session is closed.")))]
pub(crate) async fn close(
    State(rest): State<Arc<Rest>>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let Path(id) = id.map_err(super::path_problem)?;
    rest.sessions.close(&id, &caller)?;
    Ok(StatusCode::NO_CONTENT)
}
