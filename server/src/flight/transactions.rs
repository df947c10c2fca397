//! Transactions. In: what clients begin and end by actions. Each runs in a session of the engine of its own.

use arrow_flight::sql::{
    ActionBeginSavepointRequest, ActionBeginSavepointResult, ActionBeginTransactionResult,
    ActionEndSavepointRequest, ActionEndTransactionRequest,
};
use tonic::Status;
use weir_engine::Session;

use super::Flight;
use super::sessions::ClientSession;
use super::status::unsupported;

/// A transaction that is open.
#[derive(Debug)]
pub(crate) struct Transaction;

fn not_yet() -> Status {
    unsupported("transactions are not supported yet")
}

/// The session of the engine of a transaction.
pub(super) fn session_of(session: &ClientSession, id: &[u8]) -> Result<Session, Status> {
    let _ = (session, id);
    Err(not_yet())
}

/// Begins a transaction.
pub(super) async fn begin(
    flight: &Flight,
    caller: &ClientSession,
) -> Result<ActionBeginTransactionResult, Status> {
    let _ = (flight, caller);
    Err(not_yet())
}

/// Commits a transaction, or rolls it back.
pub(super) async fn end(
    caller: &ClientSession,
    end: &ActionEndTransactionRequest,
) -> Result<(), Status> {
    let _ = (caller, end);
    Err(not_yet())
}

/// Marks a place in a transaction.
pub(super) async fn begin_savepoint(
    caller: &ClientSession,
    begin: &ActionBeginSavepointRequest,
) -> Result<ActionBeginSavepointResult, Status> {
    let _ = (caller, begin);
    Err(not_yet())
}

/// Goes back to a place in a transaction, or forgets it.
pub(super) async fn end_savepoint(
    caller: &ClientSession,
    end: &ActionEndSavepointRequest,
) -> Result<(), Status> {
    let _ = (caller, end);
    Err(not_yet())
}
