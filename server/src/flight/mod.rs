//! The Flight SQL door: Arrow record batches over gRPC, for ADBC, JDBC and what is built on them.
//!
//! A call's way: [`connection`] finds out whose it is ([`callers`], [`sessions`]), [`service`] reads what it asks for, and a
//! file of its kind answers: [`statements`] and [`prepared`] by the engine, [`metadata`] by what the engine lists. Rows leave by
//! [`rows`], failures by [`mod@status`]. A query is planned once: its answer waits under a ticket ([`tickets`]).
//!
//! `arrow-flight`'s `FlightSqlService` is not used: it leaves no place for `GetSchema` and `PollFlightInfo`, and answers
//! malformed messages as if they were defects. The messages themselves are its.

mod actions;
mod callers;
mod connection;
mod credentials;
mod described;
mod ingest;
mod metadata;
mod parameters;
mod prepared;
mod protocol;
mod put;
mod rows;
mod service;
mod session_options;
mod sessions;
mod sql_info;
mod statements;
mod status;
mod tickets;
mod transactions;
mod type_info;
mod types;

use std::sync::Arc;

use arrow_flight::sql::metadata::{SqlInfoData, XdbcTypeInfoData};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use weir_engine::Engine;

use crate::config::FlightSettings;
use crate::error::{Error, Result};
use crate::in_flight::InFlightCount;
use crate::metrics::Metrics;
pub(crate) use connection::serve;
use sessions::Sessions;
use tickets::Tickets;

/// What all connections share.
pub(crate) struct Flight {
    engine: Engine,
    settings: FlightSettings,
    sessions: Sessions,
    tickets: Arc<Tickets>,
    sql_info: SqlInfoData,
    type_info: XdbcTypeInfoData,
    /// Permits for the bytes of uploads in memory, a permit a KiB.
    upload_memory: Arc<Semaphore>,
    around: Around,
}

/// What the door shares with the others.
#[derive(Debug, Clone)]
pub(crate) struct Around {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) in_flight: InFlightCount,
    /// Cancelled when the server stops taking requests.
    pub(crate) draining: CancellationToken,
    /// Cancelled when connections are to close.
    pub(crate) close: CancellationToken,
}

impl Flight {
    /// A door to `engine`.
    ///
    /// # Errors
    /// Never, unless Weir describes itself in a way that Arrow cannot write.
    pub(crate) fn new(
        engine: Engine,
        settings: FlightSettings,
        around: Around,
    ) -> Result<Arc<Self>> {
        let described = |error: arrow_flight::error::FlightError| Error::Config {
            origin: "flight".to_owned(),
            reason: error.to_string(),
            hint: None,
        };
        let permits = usize::try_from(settings.uploads_bytes.0 >> 10).unwrap_or(usize::MAX);
        Ok(Arc::new(Self {
            sessions: Sessions::new(settings.session_idle, settings.sessions),
            tickets: Arc::new(Tickets::new(settings.ticket_expiry, settings.tickets)),
            sql_info: sql_info::describe().map_err(described)?,
            type_info: type_info::describe().map_err(described)?,
            upload_memory: Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS))),
            engine,
            settings,
            around,
        }))
    }

    /// Drops sessions and answers that nobody comes for any more.
    pub(crate) fn expire(&self) {
        self.tickets.expire_old();
        self.sessions.expire_idle();
    }

    fn message_bytes(&self) -> usize {
        usize::try_from(self.settings.message_bytes.0).unwrap_or(usize::MAX)
    }
}
