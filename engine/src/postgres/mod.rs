//! What PostgreSQL's catalogs have that ours does not: its types, its numbers of things (OIDs), its own functions and operators.
//!
//! It knows no session and no table. [`types`] is where a column's Arrow type becomes a PostgreSQL type and back; [`oids`] gives each
//! object of our catalog its number; [`procs`] and [`facts`] read the tables in `data/`, whose numbers are PostgreSQL 15's, so
//! that a client which knows them by heart finds what it expects. A test compares these tables with a real server's.

pub(crate) mod facts;
pub(crate) mod oids;
pub(crate) mod procs;
mod types;
pub(crate) mod values;

pub use types::{Storage, Type, TypeRef, marked, named, numbered, type_of_field};
pub(crate) use types::{all, display_name, mark};
