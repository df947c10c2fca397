//! Files as tables: local folders that the operator allowed, S3, GCS, Azure and web servers.
//!
//! A location becomes a place when it passes the policy ([`FilePolicy`]) and, for object stores, a connection
//! ([`ConnectionSpec`]) opens the store ([`FileStores::resolve`]). [`open_table`] makes a table of a place;
//! [`copy_plan`] and `INSERT INTO` such a table write to one, so that all files are seen or none.
//!
//! DataFusion reaches stores through [`FileStores::registry`] alone, under internal URLs that name a store by number:
//! no statement gets at a store, or at a connection's secrets, by writing a URL.

mod cloud;
mod connection;
mod copy;
mod detect;
mod folder;
mod format;
mod function;
mod listing;
mod local;
mod location;
mod mount;
mod network;
mod objects;
mod policy;
mod probe;
mod provider;
mod stage;
mod stores;
mod table;
#[cfg(test)]
mod tests;
mod web;
mod write;

pub use connection::{ConnectionSpec, ValidConnection, is_secret, validate_connection};
pub use copy::{CopyTo, copy_plan};
pub use folder::FolderWriter;
pub use format::Format;
pub use function::{FUNCTIONS, function_table, is_function};
pub use objects::ObjectFolder;
pub use policy::FilePolicy;
pub use probe::Seen;
pub use provider::FileTableProvider;
pub(crate) use stores::store_error;
pub use stores::{FileStores, Place};
pub(crate) use table::internal;
pub use table::{FileTable, check_table, format_of_location, open_table};
pub use write::written_rows;
