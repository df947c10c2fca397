//! What exists: schemas, streams, tables, external tables, views and connections; who may use it ([`accounts`]); in versions,
//! durably.
//!
//! A [`Snapshot`] is one version of the whole catalog, immutable and cheap to hold: a query resolves all its names on one.
//! Changes are planned by pure functions on a snapshot ([`Snapshot::create`], [`Snapshot::remove`], …), which know the rules
//! (names, dependencies), and become true by [`Catalog::commit`]: one atomic, synced batch, or nothing.
//!
//! It runs nothing: it neither parses SQL, nor creates topics, nor opens files. Start at [`Snapshot`] and [`Entry`].

pub mod accounts;
pub mod alter;
pub mod change;
pub mod column;
pub mod entry;
pub mod error;
pub mod ident;
pub mod render;
pub mod secret;
pub mod snapshot;
pub mod store;
pub mod temporary;

pub use accounts::{Account, AccountId, Accounts, Privilege};
pub use alter::ColumnChange;
pub use change::{Change, Created, IfExists, NewObject};
pub use column::{Check, Column, EXTENSION_NAME_KEY, Logical};
pub use entry::{
    Body, Connection, Entry, ExternalTable, MaterializedView, ObjectId, ObjectKind, ObjectName,
    Sink, Stream, Table, View, Watermark,
};
pub use error::{Error, Result};
pub use ident::{quote_ident, quote_literal};
pub use render::create_statement;
pub use secret::Secret;
pub use snapshot::{DEFAULT_SCHEMA, HIDDEN_COLUMNS, RESERVED_SCHEMAS, Snapshot};
pub use store::Catalog;
pub use temporary::TEMPORARY_SCHEMA;
