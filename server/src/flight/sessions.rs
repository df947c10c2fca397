//! Sessions of Flight clients. gRPC has none: a session belongs to the token that a handshake gave, or is named by a cookie,
//! or belongs to the connection that a call came on.
//!
//! It holds the engine's session and what the client has prepared in it. It ends when it is closed, or when no connection
//! has it any more and nobody used it for a while.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tonic::Status;
use uuid::Uuid;
use weir_base::{Kind, SqlState};
use weir_engine::{Error, Principal, Session};

use super::prepared::Prepared;
use super::status::{exceeded, missing, status, unauthenticated};
use super::transactions::Transaction;

/// Prepared statements of one session.
const PREPARED_MAX: usize = 1000;
/// Bytes of their texts.
const PREPARED_BYTES_MAX: usize = 16 << 20;
/// Sessions that one connection keeps from expiring, of each kind.
const SESSIONS_OF_CONNECTION_MAX: usize = 64;

/// All sessions.
#[derive(Debug)]
pub(crate) struct Sessions {
    open: Mutex<Open>,
    idle_max: Duration,
    count_max: usize,
}

#[derive(Debug, Default)]
struct Open {
    by_id: HashMap<Uuid, Entry>,
    /// The sessions of tokens.
    by_token: HashMap<Uuid, Uuid>,
}

#[derive(Debug)]
struct Entry {
    session: Arc<ClientSession>,
    last_used: Instant,
}

/// A client's session.
#[derive(Debug)]
pub(crate) struct ClientSession {
    pub(crate) id: Uuid,
    pub(crate) engine: Session,
    /// Whether view types are sent as they are.
    views: AtomicBool,
    prepared: Mutex<HashMap<Uuid, Arc<Prepared>>>,
    transactions: Mutex<HashMap<Uuid, Arc<Transaction>>>,
}

/// What is known of a connection: who is at its other end, and the sessions that live as long as it does.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) peer: IpAddr,
    /// Whether a call on it was somebody's who was let in.
    is_known: AtomicBool,
    /// For the calls that name no session: one a user.
    own: Mutex<Vec<Arc<ClientSession>>>,
    /// Sessions that calls on it have named.
    named: Mutex<HashMap<Uuid, Arc<ClientSession>>>,
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
    /// RESOURCE_EXHAUSTED when there are too many.
    pub(crate) fn open(&self, engine: Session) -> Result<Arc<ClientSession>, Status> {
        let mut open = self.open.lock();
        self.expire(&mut open);
        if open.by_id.len() >= self.count_max {
            open.forget_oldest();
        }
        if open.by_id.len() >= self.count_max {
            let error = Error::new(
                Kind::LimitExceeded,
                format!("{} Flight sessions are open", open.by_id.len()),
            );
            return Err(status(
                &error
                    .with_sqlstate(SqlState::TOO_MANY_CONNECTIONS)
                    .with_hint("close connections, or raise flight_door.sessions"),
            ));
        }
        let session = Arc::new(ClientSession {
            id: Uuid::new_v4(),
            engine,
            views: AtomicBool::new(false),
            prepared: Mutex::default(),
            transactions: Mutex::default(),
        });
        let entry = Entry {
            session: Arc::clone(&session),
            last_used: Instant::now(),
        };
        open.by_id.insert(session.id, entry);
        Ok(session)
    }

    /// A token by which `session` is known from now on.
    pub(crate) fn give_token(&self, session: &ClientSession) -> String {
        let token = Uuid::new_v4();
        self.open.lock().by_token.insert(token, session.id);
        token.simple().to_string()
    }

    /// The session of a token that a handshake gave; `None` for what is no such token.
    ///
    /// # Errors
    /// UNAUTHENTICATED when it has expired.
    pub(crate) fn of_token(&self, token: &str) -> Option<Result<Arc<ClientSession>, Status>> {
        let token: Uuid = token.parse().ok()?;
        let mut open = self.open.lock();
        self.expire(&mut open);
        let id = open.by_token.get(&token).copied();
        let found = id.and_then(|id| used(&mut open, id));
        Some(found.ok_or_else(|| {
            unauthenticated(
                "the token is not known, or has expired",
                "connect again: a handshake gives a new one",
            )
        }))
    }

    /// The session that a handle names.
    pub(crate) fn of_handle(&self, id: Uuid) -> Option<Arc<ClientSession>> {
        used(&mut self.open.lock(), id)
    }

    /// The session of this name.
    ///
    /// # Errors
    /// NOT_FOUND when it was closed or has expired.
    pub(crate) fn of_id(&self, id: &str) -> Result<Arc<ClientSession>, Status> {
        let mut open = self.open.lock();
        self.expire(&mut open);
        let id: Option<Uuid> = id.parse().ok();
        id.and_then(|id| used(&mut open, id)).ok_or_else(|| {
            missing(
                "the session is not open",
                "it was closed, or nobody used it for a while; connect again",
            )
        })
    }

    /// Closes a session: its statements are forgotten, its token is worth nothing.
    pub(crate) fn close(&self, id: Uuid) {
        let mut open = self.open.lock();
        open.by_id.remove(&id);
        open.by_token.retain(|_, session| *session != id);
    }

    /// Closes what nobody has used for too long.
    pub(crate) fn expire_idle(&self) {
        self.expire(&mut self.open.lock());
    }

    fn expire(&self, open: &mut Open) {
        // Whoever uses a session, or has a connection that did, holds it too.
        open.by_id.retain(|_, entry| {
            Arc::strong_count(&entry.session) > 1 || entry.last_used.elapsed() < self.idle_max
        });
        let Open { by_id, by_token } = open;
        by_token.retain(|_, id| by_id.contains_key(id));
    }
}

impl Open {
    /// Closes the session that nobody has used for longest, of those that no connection and no call has.
    fn forget_oldest(&mut self) {
        let left = self.by_id.iter();
        let left = left.filter(|(_, entry)| Arc::strong_count(&entry.session) == 1);
        let oldest = left.min_by_key(|(_, entry)| entry.last_used);
        if let Some(id) = oldest.map(|(id, _)| *id) {
            self.by_id.remove(&id);
            self.by_token.retain(|_, session| *session != id);
        }
    }
}

fn used(open: &mut Open, id: Uuid) -> Option<Arc<ClientSession>> {
    let entry = open.by_id.get_mut(&id)?;
    entry.last_used = Instant::now();
    Some(Arc::clone(&entry.session))
}

impl Connection {
    pub(crate) fn new(peer: IpAddr) -> Self {
        Self {
            peer,
            is_known: AtomicBool::new(false),
            own: Mutex::default(),
            named: Mutex::default(),
        }
    }

    /// Whether somebody was let in by it.
    pub(crate) fn is_known(&self) -> bool {
        self.is_known.load(Ordering::Relaxed)
    }

    /// Notes that somebody was.
    pub(crate) fn let_in(&self) {
        self.is_known.store(true, Ordering::Relaxed);
    }

    /// A user's session of calls that name none, made by the first of them.
    ///
    /// # Errors
    /// As [`Sessions::open`].
    pub(crate) fn own_session(
        &self,
        principal: &Principal,
        open: impl FnOnce() -> Result<Arc<ClientSession>, Status>,
    ) -> Result<Arc<ClientSession>, Status> {
        let mut own = self.own.lock();
        let mut known = own.iter();
        if let Some(session) = known.find(|own| own.engine.principal().is_same(principal)) {
            return Ok(Arc::clone(session));
        }
        let session = open()?;
        // The connection of a proxy may have very many users; those beyond have a session for each call.
        if own.len() < SESSIONS_OF_CONNECTION_MAX {
            own.push(Arc::clone(&session));
        }
        Ok(session)
    }

    /// Keeps a session from expiring as long as the connection is open.
    pub(crate) fn keep(&self, session: &Arc<ClientSession>) {
        let mut named = self.named.lock();
        if named.len() < SESSIONS_OF_CONNECTION_MAX {
            named
                .entry(session.id)
                .or_insert_with(|| Arc::clone(session));
        }
    }

    /// Lets go of a session that was closed.
    pub(crate) fn forget(&self, id: Uuid) {
        self.named.lock().remove(&id);
        self.own.lock().retain(|own| own.id != id);
    }
}

impl ClientSession {
    /// Whether both are sessions of one user.
    pub(crate) fn is_of_user_of(&self, other: &Self) -> bool {
        self.engine.principal().is_same(other.engine.principal())
    }

    /// Whether view types are sent as they are.
    pub(crate) fn wants_views(&self) -> bool {
        self.views.load(Ordering::Relaxed)
    }

    pub(crate) fn set_views(&self, views: bool) {
        self.views.store(views, Ordering::Relaxed);
    }

    /// Keeps a prepared statement, and gives the handle by which [`Flight`](super::Flight) finds session and statement.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED when there are too many.
    pub(crate) fn keep_prepared(&self, statement: Arc<Prepared>) -> Result<Vec<u8>, Status> {
        let mut prepared = self.prepared.lock();
        if prepared.len() >= PREPARED_MAX {
            return Err(exceeded(
                format!("{PREPARED_MAX} statements are prepared in this session"),
                "close those that are no longer used",
            ));
        }
        let bytes: usize = prepared.values().map(|known| known.bytes()).sum();
        if bytes.saturating_add(statement.bytes()) > PREPARED_BYTES_MAX {
            return Err(exceeded(
                format!("the statements prepared in a session may have {PREPARED_BYTES_MAX} bytes"),
                "close those that are no longer used",
            ));
        }
        let id = Uuid::new_v4();
        prepared.insert(id, statement);
        Ok(handle(self.id, id))
    }

    pub(crate) fn prepared(&self, id: Uuid) -> Option<Arc<Prepared>> {
        self.prepared.lock().get(&id).cloned()
    }

    pub(crate) fn drop_prepared(&self, id: Uuid) -> bool {
        self.prepared.lock().remove(&id).is_some()
    }

    /// The transactions that are open in it.
    pub(crate) fn transactions(&self) -> &Mutex<HashMap<Uuid, Arc<Transaction>>> {
        &self.transactions
    }
}

/// What names a thing of a session to clients: the session, then the thing.
pub(crate) fn handle(session: Uuid, thing: Uuid) -> Vec<u8> {
    [session.into_bytes(), thing.into_bytes()].concat()
}

/// Session and thing of a handle.
pub(crate) fn parse_handle(handle: &[u8]) -> Option<(Uuid, Uuid)> {
    let (session, thing) = handle.split_at_checked(16)?;
    Some((
        Uuid::from_slice(session).ok()?,
        Uuid::from_slice(thing).ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_read_back() {
        let (session, thing) = (Uuid::new_v4(), Uuid::new_v4());
        assert_eq!(
            parse_handle(&handle(session, thing)),
            Some((session, thing))
        );
        for bad in [&b""[..], b"short", &[0; 31], &[0; 33]] {
            assert_eq!(parse_handle(bad), None);
        }
    }
}
