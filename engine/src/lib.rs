//! The engine: everything between a front door and the data.
//!
//! A door hands SQL text to [`Session::execute`] and gets an [`Answer`], a stream of Arrow record batches; rows come in
//! by [`Session::ingest`]. In between the engine parses, admits, resolves names on one catalog snapshot, fixes the
//! offsets a query reads up to, plans with DataFusion, runs, and enforces every limit.
//!
//! It is *not* a server: it knows no socket, no wire format and no HTTP status. Start at [`Engine::open`] and
//! [`Session::execute`].

mod admission;
mod answer;
mod changelog;
mod dead_letters;
mod description;
mod engine;
mod error;
mod execution;
mod functions;
mod history;
mod ingest;
mod kept;
mod lanes;
mod listing;
mod memory;
mod metrics;
mod parameters;
mod planning;
mod planning_error;
pub mod postgres;
mod queries;
mod rate;
mod reads;
mod request;
mod rows;
mod schemas;
mod security;
mod session;
mod settings;
mod sinks;
mod sql_types;
mod statements;
mod system;
mod tables;
mod temporary;
mod text;
mod topic_access;
mod topic_config;
mod transaction;
mod variables;
mod views;

pub use answer::{Answer, AnswerKind, Chunk, Progress, RowStream};
pub use changelog::{Envelope, KEY_COLUMN};
pub use description::Description;
pub use engine::Engine;
pub use error::{Error, Result};
pub use ingest::read_arrow;
pub use listing::{Listing, Relation, RelationKind};
pub use metrics::{JobMetrics, MetricsSnapshot};
pub use parameters::parameter_from_json;
pub use planning::columns::column_name;
pub use queries::{QueryInfo, QueryState};
pub use request::{Copied, Ingest, IngestFormat, Ingested, IngestedPartition, Request};
pub use schemas::RegistryError;
pub use security::{Credentials, Principal, Rights, ScramExchange, ScramHash, ScramVerifier};
pub use session::Session;
pub use settings::{CopySettings, HistorySettings, Limits, Settings};
pub use sinks::is_of_sink;
pub use sql_types::sql_name;
pub use topic_access::TopicAccess;
pub use topic_config::{SettingKind, TOPIC_SETTINGS, TopicSetting};
pub use transaction::{Notice, TransactionStatus};
pub use variables::session_config;

pub use datafusion::scalar::ScalarValue;
pub use weir_catalog::quote_ident;
/// What a [`Rights`] decides about.
pub use weir_catalog::{Entry, Privilege, Secret, Snapshot};
/// What the schema registry is made of: a door answers in its terms.
pub use weir_schemas as registry;
/// What statements are: a door that carries out some itself (cursors, copies from the client) reads them.
pub use weir_sql as sql;
