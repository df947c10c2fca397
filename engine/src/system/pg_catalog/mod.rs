//! `pg_catalog`: PostgreSQL 15's tables and views over our catalog.
//!
//! Which there are, and their columns and types, is read from a table of facts (`postgres/data/relations.txt`); here is what fills
//! them, a file for each group. A relation without a function that fills it is empty, because Weir has nothing of what it lists.

mod activity;
mod class;
mod constraint;
mod depend;
mod listing;
mod operator;
mod proc;
mod provider;
mod role;
mod rows;
mod setting;
mod types;

pub(super) use activity::process_number;
pub(super) use constraint::keyed;
pub(super) use provider::Relation;
pub(super) use rows::{Fill, Rows};
pub(crate) use setting::server_setting;

/// The function that fills the relation of this name.
pub(super) fn fill(name: &str) -> Option<Fill> {
    class::fill(name)
        .or_else(|| constraint::fill(name))
        .or_else(|| types::fill(name))
        .or_else(|| proc::fill(name))
        .or_else(|| operator::fill(name))
        .or_else(|| depend::fill(name))
        .or_else(|| role::fill(name))
        .or_else(|| setting::fill(name))
        .or_else(|| activity::fill(name))
        .or_else(|| listing::fill(name))
}
