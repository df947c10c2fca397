//! One connection after its start: messages in their order, and what they share.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use futures::{FutureExt, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use weir_engine::{RowStream, Session, TransactionStatus};

use super::cancel::Place;
use super::cursor::Cursor;
use super::listener::shutting_down;
use super::portal::Portal;
use super::prepared::Prepared;
use super::settings::Reported;
use super::startup::Stream;
use super::value::Zone;
use super::wire::{Closed, Frontend, Report, Severity, Status, read};
use super::{Postgres, failure};

/// Bytes that are gathered before they are sent.
pub(super) const SEND_BYTES: usize = 64 << 10;
/// Prepared statements, portals and cursors that a connection may have.
const NAMED_MAX: usize = 10_000;
/// Bytes of the texts and values of those with a name.
const NAMED_BYTES_MAX: usize = 16 << 20;

/// Why something did not come to its end.
#[derive(Debug)]
pub(super) enum Fault {
    /// The client is told.
    Report(Box<Report>),
    /// There is nobody to tell.
    Closed(Closed),
}

/// What comes of carrying out a part of a message.
pub(super) type Outcome<T> = Result<T, Fault>;

impl From<Closed> for Fault {
    fn from(closed: Closed) -> Self {
        Self::Closed(closed)
    }
}

impl<T: Into<Report>> From<T> for Fault {
    fn from(report: T) -> Self {
        Self::Report(Box::new(report.into()))
    }
}

/// One connection.
pub(super) struct Connection {
    pub(super) door: Arc<Postgres>,
    pub(super) wire: Stream,
    pub(super) session: Session,
    pub(super) place: Place,
    pub(super) reported: Reported,
    pub(super) statements: HashMap<String, Arc<Prepared>>,
    pub(super) portals: HashMap<String, Portal>,
    pub(super) cursors: HashMap<String, Cursor>,
    /// Permits for what named statements and portals hold, a permit a KiB.
    room: Arc<Semaphore>,
    /// Whether a message of the extended protocol failed, and all up to `Sync` are passed over.
    skips: bool,
    /// What stops what runs now.
    pub(super) stop: CancellationToken,
}

impl Connection {
    pub(super) fn new(
        door: Arc<Postgres>,
        wire: Stream,
        session: Session,
        place: Place,
        reported: Reported,
    ) -> Self {
        let stop = place.stop.begin();
        Self {
            door,
            wire,
            session,
            place,
            reported,
            statements: HashMap::new(),
            portals: HashMap::new(),
            cursors: HashMap::new(),
            room: Arc::new(Semaphore::new(NAMED_BYTES_MAX >> 10)),
            skips: false,
            stop,
        }
    }

    /// Serves the connection until its end.
    ///
    /// # Errors
    /// When the stream breaks.
    pub(super) async fn run(&mut self) -> Result<(), Closed> {
        self.ready().await?;
        loop {
            let Some(frame) = self.await_message().await? else {
                return Ok(());
            };
            let door = Arc::clone(&self.door);
            let _in_flight = door.in_flight.enter();
            self.stop = self.place.stop.begin();
            let message = match read(frame.tag, frame.body) {
                Ok(Frontend::Terminate) => return Ok(()),
                Ok(message) => message,
                Err(error) => {
                    let report = Report::from(error);
                    let is_fatal = report.severity == Severity::Fatal;
                    self.failed(&report);
                    if is_fatal {
                        self.wire.flush().await?;
                        self.wire.shutdown().await;
                        return Ok(());
                    }
                    // Only a `Query` is answered at once; what else is wrong is passed over up to a `Sync`.
                    match frame.tag {
                        b'Q' => self.ready().await?,
                        _ => self.skips = true,
                    }
                    continue;
                }
            };
            // A user who may no longer sign in gets nothing more, nor what was computed before.
            if let Err(error) = self.session.rights() {
                let report = Report::from(error).with_severity(Severity::Fatal);
                self.wire.out.report(&report);
                self.wire.flush().await?;
                self.wire.shutdown().await;
                return Ok(());
            }
            self.carry_out(message).await?;
            drop(frame.memory);
        }
    }

    /// The next message; none when the client has left, or was told that it has to.
    async fn await_message(&mut self) -> Result<Option<super::wire::Frame>, Closed> {
        let in_transaction = self.session.transaction_status() != TransactionStatus::Idle;
        let idle = match in_transaction {
            true => self.session.idle_in_transaction_timeout(),
            false => self.door.settings.idle,
        };
        let silence = tokio::time::sleep(idle);
        let draining = self.door.draining.clone();
        let report = tokio::select! {
            biased;
            frame = self.wire.next() => return frame,
            () = draining.cancelled() => shutting_down(),
            () = silence => match in_transaction {
                true => Report::error("25P03", "terminating connection due to idle-in-transaction timeout"),
                false => Report::error("57P05", "terminating connection due to idle-session timeout"),
            }
            .with_severity(Severity::Fatal),
        };
        self.wire.out.report(&report);
        self.wire.flush().await?;
        self.wire.shutdown().await;
        Ok(None)
    }

    async fn carry_out(&mut self, message: Frontend) -> Result<(), Closed> {
        if self.skips && !matches!(message, Frontend::Sync) {
            return Ok(());
        }
        let done = match message {
            Frontend::Query(text) => {
                let done = self.simple(&text).await;
                self.end_simple(done).await?;
                return self.ready().await;
            }
            Frontend::Sync => {
                self.skips = false;
                let done = self.sync().await;
                if let Err(fault) = done {
                    self.tell(fault)?;
                }
                return self.ready().await;
            }
            Frontend::Flush => return self.wire.flush().await,
            Frontend::Parse(parse) => self.parse(parse).await,
            Frontend::Bind(bind) => self.bind(bind).await,
            Frontend::Describe(target) => self.describe(target).await,
            Frontend::Execute { portal, rows_max } => self.execute(&portal, rows_max).await,
            Frontend::Close(target) => {
                self.close(target);
                Ok(())
            }
            // What a client sends of a copy that has failed already.
            Frontend::CopyData(_) | Frontend::CopyDone | Frontend::CopyFail(_) => Ok(()),
            Frontend::FunctionCall => {
                self.failed(&Report::error(
                    "0A000",
                    "function calls by message are not supported",
                ));
                return self.ready().await;
            }
            Frontend::Password(_) => {
                Err(Report::error("08P01", "a password was not asked for").into())
            }
            Frontend::Terminate => Ok(()),
        };
        if let Err(fault) = done {
            self.tell(fault)?;
            self.skips = true;
            // A client may wait for it before it sends its Sync.
            self.wire.flush().await?;
        }
        if self.wire.out.len() >= SEND_BYTES {
            self.wire.flush().await?;
        }
        Ok(())
    }

    /// Tells of a failure, after which a transaction is one that has failed.
    fn tell(&mut self, fault: Fault) -> Result<(), Closed> {
        match fault {
            Fault::Closed(closed) => Err(closed),
            Fault::Report(report) => {
                self.failed(&report);
                Ok(())
            }
        }
    }

    fn failed(&mut self, report: &Report) {
        self.session.fail_transaction();
        self.forget_ended();
        self.wire.out.report(report);
    }

    async fn end_simple(&mut self, done: Outcome<()>) -> Result<(), Closed> {
        if let Err(fault) = done {
            self.tell(fault)?;
            Box::pin(self.session.end_implicit(false)).await.ok();
        }
        Ok(())
    }

    /// Tells of settings that changed, and that the next may come.
    pub(super) async fn ready(&mut self) -> Result<(), Closed> {
        self.forget_ended();
        self.notices();
        self.reported.tell(&self.session, &mut self.wire.out);
        let status = match self.session.transaction_status() {
            TransactionStatus::Idle => Status::Idle,
            TransactionStatus::Open => Status::Transaction,
            TransactionStatus::Failed => Status::Failed,
        };
        self.wire.out.ready(status);
        self.wire.flush().await
    }

    /// Passes on what the session has to say beside answers.
    pub(super) fn notices(&mut self) {
        for notice in self.session.take_notices() {
            let report =
                Report::error(notice.sqlstate.0, notice.message).with_severity(Severity::Warning);
            self.wire.out.report(&report);
        }
    }

    /// Lets go of portals and cursors that live no longer than a transaction.
    pub(super) fn forget_ended(&mut self) {
        match self.session.transaction_status() {
            TransactionStatus::Open => {}
            TransactionStatus::Failed | TransactionStatus::Idle => {
                let transaction = self.session.transaction_number();
                self.portals
                    .retain(|_, portal| portal.outlives(transaction));
                self.cursors
                    .retain(|_, cursor| cursor.outlives(transaction));
            }
        }
    }

    /// The zone in which the session shows moments.
    pub(super) fn zone(&self) -> Zone {
        let name = self.session.setting("timezone");
        Zone::of_name(name.as_deref().unwrap_or("UTC"))
    }

    /// Refuses a further name where there are too many.
    pub(super) fn check_room(&self) -> Outcome<()> {
        if self.statements.len() + self.portals.len() + self.cursors.len() < NAMED_MAX {
            return Ok(());
        }
        let message =
            format!("a connection may have {NAMED_MAX} prepared statements, portals and cursors");
        Err(Report::error("53400", message).into())
    }

    /// Room for what a named statement or portal holds; none is needed for the unnamed one, which the next replaces.
    pub(super) fn room_for(
        &self,
        name: &str,
        bytes: usize,
    ) -> Outcome<Option<OwnedSemaphorePermit>> {
        if name.is_empty() {
            return Ok(None);
        }
        let permits = u32::try_from((bytes >> 10) + 1).unwrap_or(u32::MAX);
        match Arc::clone(&self.room).try_acquire_many_owned(permits) {
            Ok(room) => Ok(Some(room)),
            Err(_) => {
                let message = format!(
                    "the prepared statements and portals of a connection may have {NAMED_BYTES_MAX} bytes"
                );
                let report = Report::error("53400", message);
                Err(report
                    .with_hint("close those that are no longer used")
                    .into())
            }
        }
    }

    /// Does something that takes its time. A request to stop it, and a client that leaves, end it. What the engine does is
    /// given in a box: it is large, and would be in the state of every function up to the connection's own.
    pub(super) async fn guarded<T, E: Into<Fault>>(
        &mut self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Outcome<T> {
        let stop = self.stop.clone();
        let mut work = std::pin::pin!(work);
        if let Some(done) = work.as_mut().now_or_never() {
            return done.map_err(Into::into);
        }
        tokio::select! {
            biased;
            done = work => done.map_err(Into::into),
            () = stop.cancelled() => Err(canceled().into()),
            () = self.wire.left() => Err(Closed::Left.into()),
        }
    }

    /// The next batch of an answer. What is to be sent is sent before it waits. A live query ends with the server.
    pub(super) async fn next_batch(
        &mut self,
        rows: &mut RowStream,
        is_live: bool,
    ) -> Outcome<Option<arrow::record_batch::RecordBatch>> {
        if self.stop.is_cancelled() {
            return Err(canceled().into());
        }
        let chunk = match rows.next().now_or_never() {
            Some(chunk) => chunk,
            None => {
                self.wire.flush().await?;
                let draining = self.door.draining.clone();
                let next = async {
                    tokio::select! {
                        chunk = rows.next() => Ok::<_, Fault>(chunk),
                        () = draining.cancelled(), if is_live => {
                            Err(shutting_down().with_severity(Severity::Error).into())
                        }
                    }
                };
                self.guarded(next).await?
            }
        };
        match chunk {
            None => Ok(None),
            Some(Ok(chunk)) => Ok(Some(chunk.batch)),
            Some(Err(error)) => Err(failure::plain(&error).into()),
        }
    }
}

/// What is said when somebody asked to stop a statement.
pub(super) fn canceled() -> Report {
    Report::error("57014", "canceling statement due to user request")
}
