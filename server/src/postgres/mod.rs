//! The PostgreSQL door: psql, drivers and BI tools use Weir as the database that they know.
//!
//! It speaks version 3.0 of the protocol by itself, from [`wire`] on: pgwire's framework has no place for portals that live
//! through a `Sync`, for a client that leaves in the middle of an answer, or for rows that are sent as fast as they are read; and
//! its decoder trusts lengths. A connection is one [`Session`](weir_engine::Session), in [`connection`]; what it asks for in one
//! message is in [`simple`], step by step in [`extended`]. Rows go from Arrow arrays into messages in [`value`].
//!
//! The door itself carries out what is about the connection and not about data: cursors ([`cursor`]), prepared statements
//! ([`prepared`]), copies from and to the client ([`copy_in`], [`copy_out`]). All else goes to the session as it came.

mod cancel;
mod connection;
mod copy;
mod copy_in;
mod copy_out;
mod cursor;
mod extended;
mod failure;
mod listener;
mod portal;
mod prepared;
mod settings;
mod simple;
mod spooled;
mod startup;
mod value;
mod wire;

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use weir_engine::Engine;

use crate::config::PostgresSettings;
use crate::in_flight::InFlightCount;
use cancel::Connections;
pub(crate) use listener::serve;
use wire::Large;

/// What all connections share.
pub(crate) struct Postgres {
    engine: Engine,
    settings: PostgresSettings,
    tls: Option<TlsAcceptor>,
    /// The connections that are open, for those who ask to stop what one does.
    connections: Connections,
    /// Permits for the bytes of large messages in memory.
    large: Large,
    /// Statements that run, which a shutdown waits for.
    in_flight: InFlightCount,
    /// Cancelled when the server stops taking statements.
    draining: CancellationToken,
    /// Cancelled when connections are to end.
    close: CancellationToken,
}

impl Postgres {
    pub(crate) fn new(
        engine: Engine,
        settings: PostgresSettings,
        tls: Option<TlsAcceptor>,
        in_flight: InFlightCount,
        draining: CancellationToken,
        close: CancellationToken,
    ) -> Arc<Self> {
        let permits = usize::try_from(settings.messages_bytes.0 >> 10).unwrap_or(usize::MAX);
        Arc::new(Self {
            engine,
            tls,
            connections: Connections::default(),
            large: Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS))),
            in_flight,
            draining,
            close,
            settings,
        })
    }
}
