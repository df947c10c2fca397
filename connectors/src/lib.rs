//! Where rows come from and where they go: files in folders and object stores, and topics of the embedded log.
//!
//! It turns places into DataFusion tables and plans. It does *not* know sessions, users or SQL statements: the engine
//! decides who may ask, resolves names, and hands in plain definitions. Start at [`files::FileStores`] for files, and
//! at [`topic`] for topics.

mod error;
pub mod files;
pub mod topic;

pub use error::{Error, Result};
