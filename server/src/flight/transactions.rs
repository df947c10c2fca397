//! Transactions. In: what clients begin and end by actions. Each runs in a session of the engine of its own, with the settings
//! of the client's session as they are when it begins; a client that goes away takes them along.

use std::sync::Arc;

use arrow_flight::sql::{
    ActionBeginSavepointRequest, ActionBeginSavepointResult, ActionBeginTransactionResult,
    ActionEndSavepointRequest, ActionEndTransactionRequest, EndTransaction,
};
use futures::StreamExt;
use tonic::Status;
use uuid::Uuid;
use weir_base::{Kind, SqlState};
use weir_engine::{AnswerKind, Error, Request, Session, quote_ident};

use super::Flight;
use super::sessions::{ClientSession, handle, parse_handle};
use super::status::{exceeded, invalid, missing, status};

/// Transactions that are open at once in a session.
const OPEN_MAX: usize = 16;
/// Bytes of a transaction's handle; a savepoint's begins with them.
const HANDLE_BYTES: usize = 32;
/// What a savepoint's end is to be, as the protocol numbers it.
const RELEASE: i32 = 1;
const ROLL_BACK: i32 = 2;

/// A transaction that is open.
#[derive(Debug)]
pub(crate) struct Transaction {
    engine: Session,
}

/// Runs a statement to its end, and gives the tag of a command.
pub(super) async fn run(session: &Session, request: Request) -> Result<String, Error> {
    let mut answer = session.execute(request).await?;
    while let Some(chunk) = answer.rows.next().await {
        chunk?;
    }
    Ok(match answer.kind {
        AnswerKind::Command { tag, .. } => tag,
        AnswerKind::Rows | AnswerKind::Live => String::new(),
    })
}

async fn done(session: &Session, sql: impl Into<String>) -> Result<String, Status> {
    run(session, Request::new(sql))
        .await
        .map_err(|error| status(&error))
}

/// Commits.
///
/// # Errors
/// When it cannot be done, or something in the transaction had failed: then nothing of it has happened.
pub(super) async fn commit(session: &Session) -> Result<(), Error> {
    // As in PostgreSQL, the end of a transaction that has failed is no error of the statement.
    match run(session, Request::new("COMMIT")).await?.as_str() {
        "ROLLBACK" => Err(Error::new(
            Kind::Conflict,
            "the transaction was rolled back, because a statement in it had failed",
        )
        .with_sqlstate(SqlState("25P02"))),
        _ => Ok(()),
    }
}

impl Flight {
    /// The session of the engine in which a statement of `caller` runs: its own, or that of the transaction that it names.
    pub(super) fn session_of(
        &self,
        caller: &ClientSession,
        transaction: Option<&[u8]>,
    ) -> Result<Session, Status> {
        match transaction.filter(|id| !id.is_empty()) {
            None => Ok(caller.engine.clone()),
            Some(id) => Ok(self.transaction(caller, id)?.1.engine.clone()),
        }
    }

    /// Begins a transaction.
    pub(super) async fn begin_transaction(
        &self,
        caller: &ClientSession,
    ) -> Result<ActionBeginTransactionResult, Status> {
        let engine = caller.engine.sibling();
        done(&engine, "BEGIN").await?;
        let id = Uuid::new_v4();
        let mut open = caller.transactions().lock();
        if open.len() >= OPEN_MAX {
            return Err(exceeded(
                format!("{OPEN_MAX} transactions are open in this session"),
                "end one of them",
            ));
        }
        open.insert(id, Arc::new(Transaction { engine }));
        Ok(ActionBeginTransactionResult {
            transaction_id: handle(caller.id, id).into(),
        })
    }

    /// Commits a transaction, or rolls it back. Either way it is over.
    pub(super) async fn end_transaction(
        &self,
        caller: &ClientSession,
        end: &ActionEndTransactionRequest,
    ) -> Result<(), Status> {
        let commits = match EndTransaction::try_from(end.action) {
            Ok(EndTransaction::Commit) => true,
            Ok(EndTransaction::Rollback) => false,
            _ => return Err(invalid("a transaction is committed or rolled back")),
        };
        let (id, transaction) = self.transaction(caller, &end.transaction_id)?;
        let (owner, _) = self.owner_of_transaction(caller, &end.transaction_id)?;
        owner.transactions().lock().remove(&id);
        let ended = match commits {
            true => commit(&transaction.engine).await,
            false => run(&transaction.engine, Request::new("ROLLBACK"))
                .await
                .map(drop),
        };
        ended.map_err(|error| status(&error))
    }

    /// Marks a place in a transaction.
    pub(super) async fn begin_savepoint(
        &self,
        caller: &ClientSession,
        begin: &ActionBeginSavepointRequest,
    ) -> Result<ActionBeginSavepointResult, Status> {
        let (_, transaction) = self.transaction(caller, &begin.transaction_id)?;
        // Savepoints are told apart by their ids: two may have one name.
        let id = Uuid::new_v4();
        done(&transaction.engine, format!("SAVEPOINT {}", name(id))).await?;
        let savepoint_id = [&begin.transaction_id[..], &id.into_bytes()].concat();
        Ok(ActionBeginSavepointResult {
            savepoint_id: savepoint_id.into(),
        })
    }

    /// Goes back to a place in a transaction, or forgets it.
    pub(super) async fn end_savepoint(
        &self,
        caller: &ClientSession,
        end: &ActionEndSavepointRequest,
    ) -> Result<(), Status> {
        let parts = end.savepoint_id.split_at_checked(HANDLE_BYTES);
        let (transaction, id) = parts.ok_or_else(unknown)?;
        let (_, transaction) = self.transaction(caller, transaction)?;
        let name = name(Uuid::from_slice(id).map_err(|_| unknown())?);
        let sql = match end.action {
            RELEASE => format!("RELEASE SAVEPOINT {name}"),
            ROLL_BACK => format!("ROLLBACK TO SAVEPOINT {name}"),
            _ => return Err(invalid("a savepoint is released or rolled back to")),
        };
        done(&transaction.engine, sql).await.map(drop)
    }

    fn transaction(
        &self,
        caller: &ClientSession,
        id: &[u8],
    ) -> Result<(Uuid, Arc<Transaction>), Status> {
        let (owner, id) = self.owner_of_transaction(caller, id)?;
        let transaction = owner.transactions().lock().get(&id).cloned();
        Ok((id, transaction.ok_or_else(unknown)?))
    }

    fn owner_of_transaction(
        &self,
        caller: &ClientSession,
        id: &[u8],
    ) -> Result<(Arc<ClientSession>, Uuid), Status> {
        let (session, id) = parse_handle(id).ok_or_else(unknown)?;
        let owner = self.sessions.of_handle(session);
        let owner = owner.filter(|owner| owner.is_of_user_of(caller));
        Ok((owner.ok_or_else(unknown)?, id))
    }
}

fn name(id: Uuid) -> String {
    quote_ident(&format!("savepoint {id}"))
}

fn unknown() -> Status {
    missing(
        "there is no such transaction",
        "it was ended, or its session has ended",
    )
}
