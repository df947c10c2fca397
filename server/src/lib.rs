//! The front doors of Weir, and what a server needs around them: configuration, logs, metrics, start and stop.
//!
//! A door decodes a request, hands it to [`weir_engine::Session`], and encodes the answer. It does *not* plan, authorise or
//! limit queries; the engine does, for all doors alike. The doors are REST, in [`rest`](mod@rest), the PostgreSQL protocol, in
//! [`postgres`], Flight SQL, in [`flight`], and that of Kafka, in [`kafka`], which also talks to the log itself.
//!
//! Start at [`Config::load`] and [`Server::start`]; [`failure`] is the one table that says what an error is called in
//! every protocol.

mod config;
mod connections;
mod console;
mod encode;
mod error;
pub mod failure;
mod flight;
mod in_flight;
mod kafka;
mod logging;
mod metrics;
mod postgres;
mod rest;
mod running;
mod spool;
mod tls;

pub use config::{
    Config, FlightSettings, HttpSettings, KafkaSettings, Listen, LogFormat, LogSettings, Overrides,
    PostgresSettings,
};
pub use error::{Error, Result};
pub use logging::init_logging;
pub use rest::openapi_json;
pub use running::{Running, Server};
pub use tls::{Tls, TlsSettings};
